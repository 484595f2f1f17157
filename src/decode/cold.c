/* cold.c - room in the list for items that the model has never seen.   [TIGER, section 4.2]
 *
 * Found items, seen or not, take places in their order. Behind each come the unseen items that share its first cold_prefix codes,
 * while the quota of the list, floor(cold_share * k), lasts. However many are lifted, the first k - quota found are listed: these are
 * not lifted themselves, so that the quota is for items that need it. */
#include "decode/search.h"

#include "index/bits.h"

#include <math.h>

typedef struct list {
    int32_t *item;
    float *score;
    int n, k, quota;
} list;

int sg_cold_quota(float share, int k)
{
    return (int)floor((double)share * k * (1 + 1e-7)); /* 0.7f is a little less than 0.7 */
}

static bool is_listed(const list *l, int32_t item)
{
    for (int i = 0; i < l->n; i++)
        if (l->item[i] == item)
            return true;
    return false;
}

static void append(list *l, int32_t item, float score)
{
    l->item[l->n] = item;
    l->score[l->n++] = score;
}

static bool was_found(const sg_found *found, int n, int32_t leaf)
{
    for (int i = 0; i < n; i++)
        if (found[i].leaf == leaf)
            return true;
    return false;
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
    list l = {item, score, 0, spec->k, sg_cold_quota(spec->cold_share, spec->k)};
    const int sure = n < l.k - l.quota ? n : l.k - l.quota;
    int n_seen = 0;

    for (int i = 0; i < n && l.n < l.k; i++) {
        const int32_t own = sg_catalogue_item(c, found[i].leaf);
        int32_t node = found[i].leaf, first, last;

        if (!is_listed(&l, own))
            append(&l, own, found[i].score);
        for (int level = levels; level > depth; level--)
            node = sg_catalogue_parent(c, level, node);
        if (l.quota == 0 || was_seen(seen, &n_seen, node))
            continue;
        sg_catalogue_span(c, depth, node, &first, &last);
        for (int32_t leaf = first; leaf < last && l.quota > 0 && l.n < l.k; leaf++) {
            const int32_t other = sg_catalogue_item(c, leaf);

            if (!spec->cold[other] || !may_return(c, a, d, leaf) || was_found(found, sure, leaf) ||
                is_listed(&l, other))
                continue;
            append(&l, other, found[i].score);
            l.quota--;
        }
    }
    return l.n;
}
