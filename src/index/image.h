/* image.h - the bytes of a catalogue, the same in memory and in the file; little-endian, shared by build and open.
 *
 *   header          256 bytes, below
 *   for each level l = 0 .. levels-1, from the nodes of level l down to their children:
 *     links         average branching > 4: u32 first[nodes[l] + 1], the first child of each node, nodes[l+1] at the end;
 *                   else u64 bits[], bit j set when child j is the first of its parent, then u32 sample[], the place
 *                   of set bit 64 i: the first child of node v is the place of set bit v (select)
 *     codes         u8 (size <= 256) or u16 code[nodes[l+1]]
 *   leaf_item       bit-packed permutation, `width` bits a number
 *   item_leaf       its inverse
 * Each part starts at a multiple of 64 bytes; what lies between is zero. Where parts lie follows from the header, so a
 * file has no pointers to be wrong. */
#ifndef SG_INDEX_IMAGE_H
#define SG_INDEX_IMAGE_H

#include "index/catalogue.h"

#include "base/io.h"
#include "index/bits.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the catalogue is mapped as it is: little-endian only"
#endif

enum { SG_IMAGE_VERSION = 1, SG_IMAGE_SAMPLE = 64, SG_IMAGE_BRANCHING = 4 };
#define SG_IMAGE_MAGIC "SGTRIE\r\n"

typedef struct sg_image_header {
    char magic[8];
    uint32_t version;
    uint32_t levels;
    uint64_t checksum; /* of the whole file with this field 0 */
    uint32_t size[SG_CATALOGUE_LEVELS_MAX];
    uint32_t nodes[SG_CATALOGUE_LEVELS_MAX + 1];
    uint32_t ends; /* 1: IDs end */
    uint32_t zero[24];
} sg_image_header;
_Static_assert(sizeof(sg_image_header) == 256, "the header is 256 bytes");

typedef struct sg_image_level { /* from the nodes of one level to their children */
    uint32_t nodes, children, size;
    const uint32_t *first; /* NULL: bits and sample */
    const uint64_t *bits;
    const uint32_t *sample;
    const uint8_t *code8; /* NULL: code16 */
    const uint16_t *code16;
} sg_image_level;

struct sg_twig;
struct sg_hints;

struct sg_catalogue {
    int levels, width;
    bool ends;
    uint32_t items; /* item numbers are below it */
    sg_image_level level[SG_CATALOGUE_LEVELS_MAX];
    const uint64_t *leaf_item, *item_leaf;
    size_t bytes;
    const char *image; /* owned, borrowed or inside map */
    char *owned;       /* the image when it is ours */
    sg_map map;        /* the open file */

    /* A snapshot of a living catalogue (twig.h) has no image of its own, and `level` holds its counts only: */
    const struct sg_twig *root; /* NULL: not a snapshot */
    const sg_catalogue *base;
    const struct sg_hints *hints;
    uint64_t version;
};

/* The first child of a node; for the number past the last node: the number past the last child. */
static inline uint32_t sg_image_first_child(const sg_image_level *v, uint32_t node)
{
    if (v->first)
        return v->first[node];
    if (node == v->nodes)
        return v->children;
    return (uint32_t)sg_bits_select(v->bits, v->sample[node / SG_IMAGE_SAMPLE], node % SG_IMAGE_SAMPLE);
}

/* Places the parts of an image with this header, checked by the caller (image NULL: only its size is found); c->bytes
 * is the size that the file must have. False when it does not fit this machine. */
bool sg_image_place(sg_catalogue *c, const sg_image_header *h, const char *image);
sg_status sg_image_check_ends(const sg_catalogue *c, const char *name,
                              sg_error *err);                /* after an end nothing but ends */
uint64_t sg_image_checksum(const char *image, size_t bytes); /* bytes: a multiple of 64 */

#endif
