/* catalogue.c - reading the prefix index: open with every link checked, then walk it. The layout is in
 * image.h. */
#include "index/image.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "index/twig.h"

#include <assert.h>
#include <string.h>

/* ---- the image ----------------------------------------------------------------------------------------- */

static const char *place(const char *image, size_t *at, size_t bytes)
{
    const char *here = image ? image + *at : NULL; /* NULL: only the size is asked for */

    *at += (bytes + 63) & ~(size_t)63;
    return here;
}

bool sg_image_place(sg_catalogue *c, const sg_image_header *h, const char *image)
{
    const uint32_t n = h->nodes[h->levels];
    size_t at = sizeof *h;

    if ((uint64_t)n * 64 + (1u << 20) >
        SIZE_MAX / 8) /* 32-bit machines: all levels together stay below that */
        return false;
    c->levels = (int)h->levels;
    c->ends = h->ends;
    c->items = n;
    c->image = image;
    for (int l = 0; l < c->levels; l++) {
        sg_image_level *v = &c->level[l];

        *v = (sg_image_level){.nodes = h->nodes[l], .children = h->nodes[l + 1], .size = h->size[l]};
        if (v->children / SG_IMAGE_BRANCHING > v->nodes) {
            v->first = (const void *)place(image, &at, ((size_t)v->nodes + 1) * sizeof *v->first);
        } else {
            v->bits = (const void *)place(image, &at, ((size_t)v->children + 63) / 64 * sizeof *v->bits);
            v->sample = (const void *)place(
                image, &at, ((size_t)v->nodes + SG_IMAGE_SAMPLE - 1) / SG_IMAGE_SAMPLE * sizeof *v->sample);
        }
        if (v->size <= 256)
            v->code8 = (const void *)place(image, &at, v->children);
        else
            v->code16 = (const void *)place(image, &at, (size_t)v->children * sizeof *v->code16);
    }
    for (c->width = 1; n > UINT64_C(1) << c->width;)
        c->width++;
    c->leaf_item = (const void *)place(image, &at, sg_packed_words(n, c->width) * 8);
    c->item_leaf = (const void *)place(image, &at, sg_packed_words(n, c->width) * 8);
    c->bytes = at;
    return true;
}

/* Eight lanes, so that it runs at the speed of memory. Against rot, not against forgery: every link is
 * checked too. */
static void mix_lines(uint64_t lane[8], const char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64) {
        uint64_t w[8];

        memcpy(w, p + i, 64);
        for (int j = 0; j < 8; j++) {
            lane[j] = (lane[j] ^ w[j]) * UINT64_C(0x9fb21c651e98df25);
            lane[j] ^= lane[j] >> 32;
        }
    }
}

uint64_t sg_image_checksum(const char *image, size_t bytes)
{
    uint64_t lane[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    sg_image_header h;
    uint64_t sum = bytes;

    memcpy(&h, image, sizeof h);
    h.checksum = 0;
    mix_lines(lane, (const char *)&h, sizeof h);
    mix_lines(lane, image + sizeof h, bytes - sizeof h);
    for (int j = 0; j < 8; j++)
        sum = sg_rng_mix(sum ^ lane[j]);
    return sum;
}

/* ---- checks -------------------------------------------------------------------------------------------- */

static sg_status check_header(const sg_image_header *h, size_t bytes, const char *name, sg_error *err)
{
    if (bytes < sizeof *h || memcmp(h->magic, SG_IMAGE_MAGIC, sizeof h->magic) != 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: not a catalogue file", name);
    if (h->version != SG_IMAGE_VERSION)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected catalogue version %d, found %u", name,
                       SG_IMAGE_VERSION, h->version);
    if (h->levels < 1 || h->levels > SG_CATALOGUE_LEVELS_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected 1 to %d levels, found %u", name,
                       SG_CATALOGUE_LEVELS_MAX, h->levels);
    if (h->nodes[0] != 1 || h->nodes[h->levels] > INT32_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected one root and at most %d items, found %u and %u",
                       name, INT32_MAX, h->nodes[0], h->nodes[h->levels]);
    for (uint32_t l = 0; l < h->levels; l++) {
        if (h->size[l] < 1 || h->size[l] > SG_CATALOGUE_SIZE_MAX)
            return sg_fail(err, SG_ERR_FORMAT, "%s: level %u: expected 1 to %d codes, found %u", name, l + 1,
                           SG_CATALOGUE_SIZE_MAX, h->size[l]);
        if (h->nodes[l + 1] < h->nodes[l])
            return sg_fail(err, SG_ERR_FORMAT, "%s: level %u: expected at least %u prefixes, found %u", name,
                           l + 1, h->nodes[l], h->nodes[l + 1]);
    }
    for (uint32_t l = h->levels; l < SG_CATALOGUE_LEVELS_MAX; l++)
        if (h->size[l] || h->nodes[l + 1])
            return sg_fail(err, SG_ERR_FORMAT, "%s: counts beyond level %u", name, h->levels);
    for (size_t i = 0; i < sizeof h->zero / sizeof *h->zero; i++)
        if (h->zero[i] || h->ends > 1)
            return sg_fail(err, SG_ERR_FORMAT, "%s: header is not zero where it should be", name);
    return SG_OK;
}

static bool links_are_sound(const sg_image_level *v)
{
    uint32_t node = 0;

    if (v->first) {
        for (uint32_t i = 0; i < v->nodes; i++)
            if (v->first[i] >= v->first[i + 1])
                return false;
        return v->first[0] == 0 && v->first[v->nodes] == v->children;
    }
    if (!sg_bits_get(v->bits, 0))
        return false;
    for (uint32_t i = 0; i < v->children; i += 64) {
        uint64_t w = v->bits[i / 64];

        if (v->children - i < 64 && w >> (v->children - i))
            return false;
        for (; w; w &= w - 1, node++)
            if (node >= v->nodes || (node % SG_IMAGE_SAMPLE == 0 &&
                                     v->sample[node / SG_IMAGE_SAMPLE] != i + (uint32_t)__builtin_ctzll(w)))
                return false;
    }
    return node == v->nodes;
}

/* Codes are in range and ascend within each node; `first` of the links has been checked. */
static bool codes_are_sound(const sg_image_level *v)
{
    uint32_t node = 0, last = 0;

    assert(v->code8 || v->code16);
    for (uint32_t i = 0; i < v->children; i++) {
        const uint32_t code = v->code8 ? v->code8[i] : v->code16[i];
        const bool starts = v->first ? v->first[node] == i : sg_bits_get(v->bits, i);

        if (code >= v->size || (!starts && code <= last))
            return false;
        node += starts;
        last = code;
    }
    return true;
}

static bool items_are_sound(const sg_catalogue *c)
{
    const uint32_t n = c->level[c->levels - 1].children;

    for (uint32_t leaf = 0; leaf < n; leaf++) {
        const uint32_t item = sg_packed_get(c->leaf_item, c->width, leaf);

        if (item >= n || sg_packed_get(c->item_leaf, c->width, item) != leaf)
            return false;
    }
    return true;
}

sg_status sg_image_check_ends(const sg_catalogue *c, const char *name, sg_error *err)
{
    for (int l = 1; l + 1 < c->levels; l++) /* children of level l are the nodes of the level below */
        for (int32_t v = 0; v < sg_catalogue_nodes(c, l); v++) {
            const sg_children kids = sg_catalogue_children(c, l, v);

            if (!sg_catalogue_ended(c, l + 1, sg_child_code(&kids, kids.n - 1)))
                continue;

            const sg_children next = sg_catalogue_children(c, l + 1, kids.first + kids.n - 1);

            if (next.n != 1 || !sg_catalogue_ended(c, l + 2, sg_child_code(&next, 0)))
                return sg_fail(err, SG_ERR_FORMAT,
                               "%s: level %d: expected the end of the ID alone after its end", name, l + 2);
        }
    return SG_OK;
}

static sg_status check_image(const sg_catalogue *c, const char *name, sg_error *err)
{
    for (int l = 0; l < c->levels; l++) {
        if (!links_are_sound(&c->level[l]))
            return sg_fail(err, SG_ERR_FORMAT, "%s: level %d: links do not fit the number of prefixes", name,
                           l + 1);
        if (!codes_are_sound(&c->level[l]))
            return sg_fail(err, SG_ERR_FORMAT, "%s: level %d: codes are out of range or do not ascend", name,
                           l + 1);
    }
    if (!items_are_sound(c))
        return sg_fail(err, SG_ERR_FORMAT, "%s: items and leaves do not match one to one", name);
    return c->ends ? sg_image_check_ends(c, name, err) : SG_OK;
}

/* ---- open and close ------------------------------------------------------------------------------------ */

static sg_status adopt(sg_catalogue *c, sg_bytes file, const char *name, sg_error *err)
{
    const sg_image_header *h = (const void *)file.data;
    sg_status st;

    if ((st = check_header(h, file.size, name, err)))
        return st;
    if (!sg_image_place(c, h, file.data))
        return sg_fail(err, SG_ERR_MEMORY, "%s: too large for this machine", name);
    if (c->bytes != file.size)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected %zu bytes, found %zu", name, c->bytes, file.size);
    if (sg_image_checksum(file.data, file.size) != h->checksum)
        return sg_fail(err, SG_ERR_FORMAT, "%s: checksum does not match: the file is damaged", name);
    return check_image(c, name, err);
}

sg_status sg_catalogue_parse(sg_catalogue **out, sg_bytes file, const char *name, sg_error *err)
{
    sg_catalogue *c = sg_alloc_zero(1, sizeof *c);
    sg_status st;

    *out = NULL;
    if (!c)
        return sg_fail_memory(err, "catalogue");
    if ((uintptr_t)file.data % 8 != 0) {
        if (!(c->owned = sg_alloc(file.size))) {
            sg_free(c);
            return sg_fail_memory(err, "catalogue");
        }
        memcpy(c->owned, file.data, file.size);
        file.data = c->owned;
    }
    if ((st = adopt(c, file, name, err))) {
        sg_catalogue_free(c);
        return st;
    }
    *out = c;
    return SG_OK;
}

sg_status sg_catalogue_open(sg_catalogue **out, const char *path, sg_error *err)
{
    sg_map map;
    sg_status st;

    *out = NULL;
    if ((st = sg_map_open(&map, path, err)))
        return st;
    if ((st = sg_catalogue_parse(out, (sg_bytes){map.data, map.size}, path, err)))
        sg_map_close(&map);
    else
        (*out)->map = map;
    return st;
}

sg_status sg_catalogue_save(const sg_catalogue *c, const char *path, sg_error *err)
{
    assert(!c->root);
    return sg_file_write(path, c->image, c->bytes, err);
}

void sg_catalogue_free(sg_catalogue *c)
{
    if (!c)
        return;
    if (c->map.data)
        sg_map_close(&c->map);
    sg_free(c->owned);
    sg_free(c);
}

/* ---- walking ------------------------------------------------------------------------------------------- */

int sg_catalogue_levels(const sg_catalogue *c)
{
    return c->levels;
}

int32_t sg_catalogue_items(const sg_catalogue *c)
{
    return (int32_t)c->items;
}

int32_t sg_catalogue_size(const sg_catalogue *c, int level)
{
    return (int32_t)c->level[level].size;
}

bool sg_catalogue_ends(const sg_catalogue *c)
{
    return c->ends;
}

bool sg_catalogue_ended(const sg_catalogue *c, int level, int32_t code)
{
    return c->ends && level > 1 && code + 1 == (int32_t)c->level[level - 1].size;
}

int sg_catalogue_length(const sg_catalogue *c, const int32_t *codes)
{
    int n = c->levels;

    for (int l = 1; c->ends && l < n; l++)
        if (sg_catalogue_ended(c, l + 1, codes[l]))
            n = l;
    return n;
}

int32_t sg_catalogue_nodes(const sg_catalogue *c, int level)
{
    return (int32_t)(level < c->levels ? c->level[level].nodes : c->level[level - 1].children);
}

size_t sg_catalogue_bytes(const sg_catalogue *c)
{
    return c->bytes;
}

/* The next set bit after child i, or the number of children. */
static uint32_t next_start(const sg_image_level *v, uint32_t i)
{
    const uint32_t words = (v->children + 63) / 64;
    uint32_t at = ++i / 64;
    uint64_t w;

    if (i >= v->children)
        return v->children;
    for (w = v->bits[at] & ~UINT64_C(0) << i % 64; !w;)
        if (++at == words)
            return v->children;
        else
            w = v->bits[at];
    return at * 64 + (uint32_t)__builtin_ctzll(w);
}

void sg_catalogue_prefetch(const sg_catalogue *c, int level, int32_t node)
{
    const sg_image_level *v = &c->level[level];

    if (c->root)
        return;
    if (v->first)
        __builtin_prefetch(v->first + node);
    else
        __builtin_prefetch(v->bits + v->sample[node / SG_IMAGE_SAMPLE] / 64);
}

sg_children sg_catalogue_children(const sg_catalogue *c, int level, int32_t node)
{
    if (c->root)
        return sg_twig_children(c, level, (uint32_t)node);

    const sg_image_level *v = &c->level[level];
    const uint32_t first = sg_image_first_child(v, (uint32_t)node);
    const uint32_t last = v->first ? v->first[node + 1] : next_start(v, first);

    return (sg_children){
        .first = (int32_t)first,
        .n = (int32_t)(last - first),
        .code = v->code8 ? (const void *)(v->code8 + first) : (const void *)(v->code16 + first),
        .wide = !v->code8,
    };
}

int32_t sg_catalogue_child(const sg_catalogue *c, int level, int32_t node, int32_t code)
{
    const sg_children k = sg_catalogue_children(c, level, node);
    int32_t low = 0, high = k.n;

    while (low < high) {
        const int32_t middle = low + (high - low) / 2;

        if (sg_child_code(&k, middle) < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < k.n && sg_child_code(&k, low) == code ? k.first + low : -1;
}

int32_t sg_catalogue_parent(const sg_catalogue *c, int level, int32_t node)
{
    if (c->root)
        return sg_twig_parent(c, level, (uint32_t)node);

    const sg_image_level *v = &c->level[level - 1];
    const uint32_t child = (uint32_t)node;
    const uint32_t *start = v->first ? v->first : v->sample;
    uint32_t low = 0, high = v->first ? v->nodes : (v->nodes + SG_IMAGE_SAMPLE - 1) / SG_IMAGE_SAMPLE;

    while (high - low > 1) { /* start[low] <= child < start[high] */
        const uint32_t middle = low + (high - low) / 2;

        if (start[middle] <= child)
            low = middle;
        else
            high = middle;
    }
    if (v->first)
        return (int32_t)low;
    return (int32_t)(low * SG_IMAGE_SAMPLE + sg_bits_rank(v->bits, start[low], (size_t)child + 1) - 1);
}

int32_t sg_catalogue_item(const sg_catalogue *c, int32_t leaf)
{
    if (c->root)
        return sg_twig_item(c, (uint32_t)leaf);
    return (int32_t)sg_packed_get(c->leaf_item, c->width, (size_t)leaf);
}

int32_t sg_catalogue_leaf(const sg_catalogue *c, int32_t item)
{
    int32_t codes[SG_CATALOGUE_LEVELS_MAX];
    int choice;

    if (c->root)
        return sg_twig_leaf(c, item, codes, &choice);
    return (int32_t)sg_packed_get(c->item_leaf, c->width, (size_t)item);
}

void sg_catalogue_codes(const sg_catalogue *c, int32_t item, int32_t *codes)
{
    int choice;

    if (c->root) {
        sg_twig_leaf(c, item, codes, &choice);
        return;
    }

    int32_t node = sg_catalogue_leaf(c, item);

    for (int l = c->levels; l > 0; l--) {
        const sg_image_level *v = &c->level[l - 1];

        codes[l - 1] = v->code8 ? v->code8[node] : v->code16[node];
        node = sg_catalogue_parent(c, l, node);
    }
}

void sg_catalogue_span(const sg_catalogue *c, int level, int32_t node, int32_t *first, int32_t *last)
{
    uint32_t begin = (uint32_t)node, end = begin + 1;

    if (c->root) {
        sg_twig_span(c, level, begin, first, last);
        return;
    }
    for (int l = level; l < c->levels; l++) {
        begin = sg_image_first_child(&c->level[l], begin);
        end = sg_image_first_child(&c->level[l], end);
    }
    *first = (int32_t)begin;
    *last = (int32_t)end;
}

/* The same as below for levels whose links are bits: a word of children at a time. node: parents begun before
 * the word. */
static void lift_words(const sg_image_level *v, const uint64_t *below, uint64_t *above, uint32_t node,
                       uint32_t first, uint32_t last)
{
    for (uint32_t i = first / 64; i * 64 < last; i++) {
        uint64_t inside = ~UINT64_C(0), starts, marked;

        if (i == first / 64)
            inside &= ~UINT64_C(0) << first % 64;
        if (last - i * 64 < 64)
            inside &= (UINT64_C(1) << last % 64) - 1;
        starts = v->bits[i] & inside;
        marked = below[i] & inside;
        while (marked) {
            const uint64_t through = marked ^ (marked - 1); /* bits up to the lowest marked child */
            const uint64_t later = starts & ~through;

            sg_bits_set(above, node + sg_bits_count(starts & through) - 1);
            marked &= later ? ~((later ^ (later - 1)) >> 1) : 0; /* its brothers have nothing to add */
        }
        node += sg_bits_count(starts);
    }
}

void sg_catalogue_lift(const sg_catalogue *c, int level, const uint64_t *below, uint64_t *above,
                       int32_t begin, int32_t end)
{
    const sg_image_level *v = &c->level[level];

    if (begin >= end)
        return;
    if (c->root) {
        sg_twig_lift(c, level, below, above, (uint32_t)begin, (uint32_t)end);
        return;
    }
    if (v->bits) {
        lift_words(v, below, above, (uint32_t)begin, sg_image_first_child(v, (uint32_t)begin),
                   sg_image_first_child(v, (uint32_t)end));
        return;
    }
    for (int32_t node = begin; node < end; node++)
        if (sg_bits_any(below, v->first[node], v->first[node + 1]))
            sg_bits_set(above, (size_t)node);
}
