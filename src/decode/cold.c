/* cold.c - room in the list for items that the model has never seen.   [TIGER, section 4.2]
 *
 * Down the list of found items, best first: a known item takes a place; an unseen one only while the quota
 * lasts. Behind each item come the unseen items that share its first cold_prefix codes, again while the quota
 * lasts. */
#include "decode/search.h"

#include "index/bits.h"

#include <math.h>

typedef struct list {
    int32_t *item;
    float *score;
    int n, k, quota;
} list;

static bool is_listed(const list *l, int32_t item)
{
    for (int i = 0; i < l->n; i++)
        if (l->item[i] == item)
            return true;
    return false;
}

static void append(list *l, int32_t item, float score, bool cold)
{
    if (l->n == l->k || (cold && l->quota == 0) || is_listed(l, item))
        return;
    l->item[l->n] = item;
    l->score[l->n++] = score;
    l->quota -= cold;
}

static bool may_return(const sg_catalogue *c, const sg_allowed *a, const sg_denied *d, int32_t leaf)
{
    const int levels = sg_catalogue_levels(c);

    for (int32_t i = 0; i < d->n; i++)
        if (d->node[i * (levels + 1) + levels] == leaf)
            return false;
    return !a->any_mask || sg_bits_get(a->alive[levels], (size_t)leaf);
}

static bool was_seen(int32_t *seen, int *n_seen, int32_t node)
{
    for (int i = 0; i < *n_seen; i++)
        if (seen[i] == node)
            return true;
    seen[(*n_seen)++] = node;
    return false;
}

int sg_cold_mix(int32_t *item, float *score, const sg_catalogue *c, const sg_beam_spec *spec,
                const sg_allowed *a, const sg_denied *d, const sg_found *found, int n, int32_t *seen)
{
    const int levels = sg_catalogue_levels(c);
    const int depth = spec->cold_prefix > 0 ? spec->cold_prefix : levels - 1;
    list l = {item, score, 0, spec->k, (int)floor((double)spec->cold_share * spec->k)};
    int n_seen = 0;

    for (int i = 0; i < n && l.n < l.k; i++) {
        const int32_t own = sg_catalogue_item(c, found[i].leaf);
        int32_t node = found[i].leaf, first, last;

        append(&l, own, found[i].score, spec->cold[own]);
        for (int level = levels; level > depth; level--)
            node = sg_catalogue_parent(c, level, node);
        if (l.quota == 0 || was_seen(seen, &n_seen, node))
            continue;
        sg_catalogue_span(c, depth, node, &first, &last);
        for (int32_t leaf = first; leaf < last && l.quota > 0 && l.n < l.k; leaf++) {
            const int32_t other = sg_catalogue_item(c, leaf);

            if (spec->cold[other] && may_return(c, a, d, leaf))
                append(&l, other, found[i].score, true);
        }
    }
    return l.n;
}
