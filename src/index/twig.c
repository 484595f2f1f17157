/* twig.c - reading a snapshot of a living catalogue; the numbers of nodes are those that a rebuild would give. */
#include "index/twig.h"

#include <assert.h>

/* A node on the way down: a twig, or a node of the image with what turns its numbers into the snapshot's. */
typedef struct spot {
    const sg_twig *twig; /* NULL: in the image from level `top` on */
    int top;
    uint32_t node;   /* in the image */
    uint32_t parent; /* in the snapshot; known where the node is a twig or at `top` */
    uint32_t slot;   /* of a leaf in the twig of the last level */
    uint32_t
        start[SG_CATALOGUE_LEVELS_MAX + 1]; /* in the snapshot, first node of each level below twig or top */
    uint32_t low[SG_CATALOGUE_LEVELS_MAX + 1]; /* in the image, the same below top */
} spot;

/* Last child that begins at or before `at`. */
static uint32_t holder(const uint32_t *before, uint32_t n, uint32_t at)
{
    uint32_t low = 0;

    while (n > 1) { /* before[low] <= at < before[low + n] */
        const uint32_t half = n / 2;

        low += before[low + half] <= at ? half : 0;
        n -= half;
    }
    return low;
}

/* To the node of `level`; start and low are filled down to `deep` (level .. levels). */
static void descend(spot *s, const sg_catalogue *c, int level, uint32_t node, int deep)
{
    const sg_twig *t = c->root;

    s->twig = t;
    s->parent = 0;
    for (int j = 0; j <= deep; j++)
        s->start[j] = 0;
    for (int l = 0; l < level; l++) {
        const uint32_t at = node - s->start[level];
        const uint32_t i = level == l + 1 ? at : holder(sg_twig_before(t, l, level), t->n, at);

        s->parent = s->start[l];
        s->start[l + 1] += i;
        for (int j = l + 2; j <= deep; j++)
            s->start[j] += sg_twig_before(t, l, j)[i];
        if (l + 1 == c->levels) {
            s->slot = i;
            return;
        }
        if (t->ref[i] & 1) {
            s->twig = NULL;
            s->top = l + 1;
            s->low[l + 1] = (uint32_t)(t->ref[i] >> 1);
            for (int j = l + 1; j < deep; j++)
                s->low[j + 1] = sg_image_first_child(&c->base->level[j], s->low[j]);
            s->node = s->low[level] + (node - s->start[level]);
            return;
        }
        t = (const sg_twig *)(uintptr_t)t->ref[i];
        s->twig = t;
    }
}

sg_children sg_twig_children(const sg_catalogue *c, int level, uint32_t node)
{
    spot s;

    descend(&s, c, level, node, level + 1);
    if (!s.twig) {
        sg_children k = sg_catalogue_children(c->base, level, (int32_t)s.node);

        k.first += (int32_t)(s.start[level + 1] - s.low[level + 1]);
        return k;
    }
    return (sg_children){
        .first = (int32_t)s.start[level + 1],
        .n = (int32_t)s.twig->n,
        .code = s.twig->code8 ? (const void *)s.twig->code8 : (const void *)s.twig->code16,
        .wide = !s.twig->code8,
    };
}

int32_t sg_twig_parent(const sg_catalogue *c, int level, uint32_t node)
{
    spot s;

    descend(&s, c, level, node, level);
    if (s.twig || s.top == level)
        return (int32_t)s.parent;
    return sg_catalogue_parent(c->base, level, (int32_t)s.node) +
           (int32_t)(s.start[level - 1] - s.low[level - 1]);
}

int32_t sg_twig_item(const sg_catalogue *c, uint32_t leaf)
{
    spot s = {0};

    descend(&s, c, c->levels, leaf, c->levels);
    return s.twig ? (int32_t)s.twig->item[s.slot] : sg_catalogue_item(c->base, (int32_t)s.node);
}

void sg_twig_span(const sg_catalogue *c, int level, uint32_t node, int32_t *first, int32_t *last)
{
    spot s;

    descend(&s, c, level, node, c->levels);
    if (level == c->levels) {
        *first = (int32_t)node;
        *last = *first + 1;
    } else if (s.twig) {
        *first = (int32_t)s.start[c->levels];
        *last = *first + (int32_t)(level + 1 < c->levels ? sg_twig_before(s.twig, level, c->levels)[s.twig->n]
                                                         : s.twig->n);
    } else {
        const int32_t shift = (int32_t)(s.start[c->levels] - s.low[c->levels]);

        sg_catalogue_span(c->base, level, (int32_t)s.node, first, last);
        *first += shift;
        *last += shift;
    }
}

void sg_twig_lift(const sg_catalogue *c, int level, const uint64_t *below, uint64_t *above, uint32_t begin,
                  uint32_t end)
{
    while (begin < end) {
        spot s;
        uint32_t last, first_kid, next;

        descend(&s, c, level, begin, level + 1);
        if (s.twig) {
            if (sg_bits_any(below, s.start[level + 1], s.start[level + 1] + s.twig->n))
                sg_bits_set(above, begin);
            begin++;
            continue;
        }
        const sg_image_level *v = &c->base->level[level];
        uint32_t past = s.low[s.top] + 1; /* the image goes on in one piece until here */

        for (int j = s.top; j < level; j++)
            past = sg_image_first_child(&c->base->level[j], past);
        last = begin + (past - s.node);
        last = last < end ? last : end;
        for (first_kid = sg_image_first_child(v, s.node); begin < last; begin++, first_kid = next) {
            const uint32_t shift = s.start[level + 1] - s.low[level + 1];

            next = sg_image_first_child(v, ++s.node);
            if (sg_bits_any(below, first_kid + shift, next + shift))
                sg_bits_set(above, begin);
        }
    }
}

int sg_twig_shared(const sg_catalogue *c, const int32_t *codes, int32_t *leaf, int *choice)
{
    const sg_twig *t = c->root;
    uint32_t first_leaf = 0;

    *leaf = -1;
    *choice = -1;
    for (int l = 0; l < c->levels; l++) {
        const uint32_t i = sg_twig_find(t, (uint32_t)codes[l]);
        const bool here = i < t->n && sg_twig_code(t, i) == (uint32_t)codes[l];

        if (t->n > here)
            *choice = l;
        if (!here)
            return l;
        first_leaf += l + 1 < c->levels ? sg_twig_before(t, l, c->levels)[i] : i;
        if (l + 1 == c->levels)
            break;
        if (!(t->ref[i] & 1)) {
            t = (const sg_twig *)(uintptr_t)t->ref[i];
            continue;
        }

        int32_t node = (int32_t)(t->ref[i] >> 1), low, past;

        sg_catalogue_span(c->base, l + 1, node, &low, &past);
        for (int j = l + 1; j < c->levels; j++) {
            const sg_children kids = sg_catalogue_children(c->base, j, node);

            node = sg_catalogue_child(c->base, j, node, codes[j]);
            if (kids.n > (node >= 0))
                *choice = j;
            if (node < 0)
                return j;
        }
        *leaf = (int32_t)first_leaf + node - low;
        return c->levels;
    }
    *leaf = (int32_t)first_leaf;
    return c->levels;
}

/* Does this snapshot hold the item under these codes? */
static int32_t confirm(const sg_catalogue *c, int32_t item, const int32_t *codes, int *choice)
{
    int32_t leaf;

    return sg_twig_shared(c, codes, &leaf, choice) == c->levels && sg_twig_item(c, (uint32_t)leaf) == item
               ? leaf
               : -1;
}

int32_t sg_twig_leaf(const sg_catalogue *c, int32_t item, int32_t *codes, int *choice)
{
    sg_hint_slot *slots = atomic_load_explicit(&c->hints->chunk[item / SG_HINT_CHUNK], memory_order_acquire);
    const sg_hint *hint =
        slots ? atomic_load_explicit(&slots[item % SG_HINT_CHUNK], memory_order_acquire) : NULL;
    int32_t leaf;

    for (; hint; hint = hint->older) {
        for (int l = 0; l < c->levels; l++)
            codes[l] = hint->code[l];
        if ((leaf = confirm(c, item, codes, choice)) >= 0)
            return leaf;
    }
    if (item >= sg_catalogue_items(c->base))
        return -1;
    sg_catalogue_codes(c->base, item, codes);
    return confirm(c, item, codes, choice);
}
