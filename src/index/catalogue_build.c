/* catalogue_build.c - from tuples to the image: radix sort of the items by their codes, then two passes over
 * the leaves.
 *
 * A leaf shares its first d codes with the leaf before it and starts a new node at each level d+1 .. levels.
 * The first pass counts these nodes, which fixes the layout; the second writes them. O(n levels), 8 bytes an
 * item beside the image. */
#include "index/image.h"

#include "base/alloc.h"
#include "index/bits.h"

#include <assert.h>
#include <string.h>

typedef struct tuples {
    const int32_t *codes; /* (n, levels) borrowed */
    uint32_t n;
    int levels;
} tuples;

static sg_status check_tuples(const tuples *t, const int32_t *size, sg_error *err)
{
    if (t->levels < 1 || t->levels > SG_CATALOGUE_LEVELS_MAX)
        return sg_fail(err, SG_ERR_USAGE, "catalogue: expected 1 to %d levels, found %d",
                       SG_CATALOGUE_LEVELS_MAX, t->levels);
    for (int l = 0; l < t->levels; l++)
        if (size[l] < 1 || size[l] > SG_CATALOGUE_SIZE_MAX)
            return sg_fail(err, SG_ERR_USAGE, "catalogue: level %d: expected 1 to %d codes, found %d", l + 1,
                           SG_CATALOGUE_SIZE_MAX, size[l]);
    for (size_t i = 0, at = 0; i < t->n; i++)
        for (int l = 0; l < t->levels; l++, at++)
            if (t->codes[at] < 0 || t->codes[at] >= size[l])
                return sg_fail(err, SG_ERR_USAGE,
                               "catalogue: item %zu, level %d: expected a code from 0 to %d, found %d", i,
                               l + 1, size[l] - 1, t->codes[at]);
    return SG_OK;
}

/* order = the items in order of their tuples; spare: (n) scratch, count: (65536) scratch. */
static void sort_items(const tuples *t, const int32_t *size, uint32_t *order, uint32_t *spare,
                       uint32_t *count)
{
    uint32_t *from = order, *to = spare;

    for (uint32_t i = 0; i < t->n; i++)
        order[i] = i;
    for (int l = t->levels - 1; l >= 0; l--) {
        const int32_t *code = t->codes + l;
        const size_t stride = (size_t)t->levels;
        uint32_t *swap = from;

        memset(count, 0, (size_t)size[l] * sizeof *count);
        for (size_t i = 0; i < t->n; i++)
            count[code[i * stride]]++;
        for (uint32_t c = 0, at = 0; c < (uint32_t)size[l]; c++) {
            const uint32_t here = count[c];

            count[c] = at;
            at += here;
        }
        for (uint32_t i = 0; i < t->n; i++)
            to[count[code[from[i] * stride]]++] = from[i];
        from = to;
        to = swap;
    }
    if (from != order)
        memcpy(order, from, t->n * sizeof *order);
}

/* Codes that leaf i shares with the leaf before it; 0 for the first. */
static int shared_codes(const tuples *t, const uint32_t *order, uint32_t i)
{
    const int32_t *a, *b;
    int d = 0;

    if (i == 0)
        return 0;
    a = t->codes + (size_t)order[i - 1] * (size_t)t->levels;
    b = t->codes + (size_t)order[i] * (size_t)t->levels;
    while (d < t->levels && a[d] == b[d])
        d++;
    return d;
}

static sg_status fail_shared(const tuples *t, uint32_t a, uint32_t b, sg_error *err)
{
    sg_buf text = {0};

    for (int l = 0; l < t->levels; l++)
        sg_buf_printf(&text, "%s%d", l ? ", " : "", t->codes[(size_t)b * (size_t)t->levels + (size_t)l]);
    sg_fail(err, SG_ERR_USAGE, "catalogue: items %u and %u have the same codes (%s)", a, b,
            text.failed || !text.data ? "" : text.data);
    sg_buf_free(&text);
    return SG_ERR_USAGE;
}

static sg_status count_nodes(const tuples *t, const uint32_t *order, uint32_t *nodes, sg_error *err)
{
    nodes[0] = 1;
    for (uint32_t i = 0; i < t->n; i++) {
        const int d = shared_codes(t, order, i);

        if (d == t->levels)
            return fail_shared(t, order[i - 1], order[i], err);
        for (int l = d + 1; l <= t->levels; l++)
            nodes[l]++;
    }
    return SG_OK;
}

/* Writes through the read-only pointers of c: the image is still ours alone. */
static void put_child(const sg_image_level *v, uint32_t child, uint32_t code, bool starts, uint32_t parent)
{
    if (v->code8)
        ((uint8_t *)(uintptr_t)v->code8)[child] = (uint8_t)code;
    else
        ((uint16_t *)(uintptr_t)v->code16)[child] = (uint16_t)code;
    if (!starts)
        return;
    if (v->first) {
        ((uint32_t *)(uintptr_t)v->first)[parent] = child;
        return;
    }
    sg_bits_set((uint64_t *)(uintptr_t)v->bits, child);
    if (parent % SG_IMAGE_SAMPLE == 0)
        ((uint32_t *)(uintptr_t)v->sample)[parent / SG_IMAGE_SAMPLE] = child;
}

static void fill_image(sg_catalogue *c, const tuples *t, const uint32_t *order)
{
    uint32_t used[SG_CATALOGUE_LEVELS_MAX + 1] = {1};

    for (uint32_t i = 0; i < t->n; i++) {
        const int32_t *code = t->codes + (size_t)order[i] * (size_t)t->levels;
        const int d = shared_codes(t, order, i);

        for (int l = d; l < t->levels; l++)
            put_child(&c->level[l], used[l + 1]++, (uint32_t)code[l], l > d || i == 0, used[l] - 1);
        sg_packed_put((uint64_t *)(uintptr_t)c->leaf_item, c->width, i, order[i]);
        sg_packed_put((uint64_t *)(uintptr_t)c->item_leaf, c->width, order[i], i);
    }
    for (int l = 0; l < t->levels; l++)
        if (c->level[l].first)
            ((uint32_t *)(uintptr_t)c->level[l].first)[c->level[l].nodes] = c->level[l].children;
}

static sg_status build(sg_catalogue *c, const tuples *t, const int32_t *size, const uint32_t *order,
                       sg_error *err)
{
    sg_image_header h = {.version = SG_IMAGE_VERSION, .levels = (uint32_t)t->levels};
    sg_status st;

    memcpy(h.magic, SG_IMAGE_MAGIC, sizeof h.magic);
    for (int l = 0; l < t->levels; l++)
        h.size[l] = (uint32_t)size[l];
    if ((st = count_nodes(t, order, h.nodes, err)))
        return st;
    if (!sg_image_place(c, &h, NULL) || !(c->owned = sg_alloc_zero(c->bytes, 1)))
        return sg_fail_memory(err, "catalogue");
    sg_image_place(c, &h, c->owned);
    fill_image(c, t, order);
    memcpy(c->owned, &h, sizeof h);
    h.checksum = sg_image_checksum(c->owned, c->bytes);
    memcpy(c->owned, &h, sizeof h);
    return SG_OK;
}

sg_status sg_catalogue_new(sg_catalogue **out, const int32_t *codes, int32_t n, int levels,
                           const int32_t *size, sg_error *err)
{
    const tuples t = {codes, n > 0 ? (uint32_t)n : 0, levels};
    uint32_t *order = NULL, *spare = NULL, *count = NULL;
    sg_catalogue *c = NULL;
    sg_status st;

    *out = NULL;
    if (n < 1)
        return sg_fail(err, SG_ERR_USAGE, "catalogue: expected at least one item, found %d", n);
    if ((st = check_tuples(&t, size, err)))
        return st;
    if (!(c = sg_alloc_zero(1, sizeof *c)) || !(order = sg_alloc_array(t.n, sizeof *order)) ||
        !(spare = sg_alloc_array(t.n, sizeof *spare)) ||
        !(count = sg_alloc_array(SG_CATALOGUE_SIZE_MAX, sizeof *count))) {
        st = sg_fail_memory(err, "catalogue");
        goto done;
    }
    sort_items(&t, size, order, spare, count);
    sg_free(spare); /* before the image is taken */
    spare = NULL;
    if ((st = build(c, &t, size, order, err)))
        goto done;
    *out = c;
    c = NULL;
done:
    sg_free(order);
    sg_free(spare);
    sg_free(count);
    sg_catalogue_free(c);
    return st;
}

sg_status sg_catalogue_let_end(sg_catalogue *c, sg_error *err)
{
    sg_image_header h;
    sg_error why;

    assert(c->owned);
    c->ends = true;
    if (sg_image_check_ends(c, "catalogue", &why))
        return sg_fail(err, SG_ERR_USAGE, "%s", why.message);
    memcpy(&h, c->owned, sizeof h);
    h.ends = 1;
    h.checksum = 0;
    memcpy(c->owned, &h, sizeof h);
    h.checksum = sg_image_checksum(c->owned, c->bytes);
    memcpy(c->owned, &h, sizeof h);
    return SG_OK;
}
