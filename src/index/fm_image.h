/* fm_image.h - the bytes of an FM-index, the same in memory and in the file; little-endian, shared by build and open.
 *
 * The text: every item's tokens from last to first, then a mark; at the very end the end symbol. So what stands before a
 * place in the text comes behind it in the item. Symbols: 0 end, 1 mark, token + 2.
 *
 *   header   256 bytes, below
 *   before   u32 (symbols + 1): rows whose suffix begins with a lower symbol
 *   base     u32 (symbols): where a symbol's places begin in the last row of the wavelet matrix
 *   planes   (levels) bit vectors (n): the symbol before each row's suffix, highest bit first; each plane in the order
 *            that sorting by the planes above it, stable, gives
 *   marked   bit vector (n): rows whose place in the text is a multiple of step
 *   starts   bit vector (n): places in the text where an item begins
 *   sample   u32 (marked rows): their place / step
 * Each part starts at a multiple of 64 bytes; what lies between is zero.
 *
 * A bit vector is lines of 64 bytes: u32, the ones before the line, then 480 bits. One line answers a rank. */
#ifndef SG_INDEX_FM_IMAGE_H
#define SG_INDEX_FM_IMAGE_H

#include "index/fm.h"
#include "index/image.h"

enum { SG_FM_VERSION = 1, SG_FM_LEVELS_MAX = 24, SG_FM_LINE = 480, SG_FM_FIRST_TOKEN = 2 };
#define SG_FM_MAGIC "SGFMIDX\n"

typedef struct sg_fm_header {
    char magic[8];
    uint32_t version, symbols;
    uint64_t checksum; /* of the whole file with this field 0 */
    uint32_t n, n_items, step, levels;
    uint32_t zero[54];
} sg_fm_header;
_Static_assert(sizeof(sg_fm_header) == sizeof(sg_image_header) &&
                   offsetof(sg_fm_header, checksum) == offsetof(sg_image_header, checksum),
               "one checksum for both kinds of image");

typedef struct sg_fm_list { /* the successors of rows first .. last - 1, which are many */
    uint32_t first, last, ends;
    uint32_t at, n; /* in sg_fm.listed */
} sg_fm_list;

struct sg_fm {
    uint32_t n, n_items, symbols, step;
    int levels;
    const uint32_t *before, *base;
    const uint64_t *plane[SG_FM_LEVELS_MAX];
    uint32_t zeros[SG_FM_LEVELS_MAX]; /* zero bits of each plane */
    const uint64_t *marked, *starts;
    const uint32_t *sample;
    size_t bytes;
    const char *image; /* owned, borrowed or inside map */
    char *owned;
    sg_map map;
    sg_fm_list *list;   /* owned: (n_lists) by row; not in the file */
    sg_fm_next *listed; /* owned: (n_listed) */
    size_t n_lists, n_listed;
};

/* Lists the successors of the most frequent tokens, and of the start of an item, as many as a tenth of the places can hold. */
sg_status sg_fm_list_frequent(sg_fm *f, sg_error *err);

static inline size_t sg_fm_line_words(uint32_t n)
{
    return ((size_t)n / SG_FM_LINE + 1) * 8;
}

static inline bool sg_fm_bit(const uint64_t *v, uint32_t i)
{
    const uint32_t at = i % SG_FM_LINE + 32;

    return v[(size_t)(i / SG_FM_LINE) * 8 + at / 64] >> at % 64 & 1;
}

uint32_t sg_fm_rank(const uint64_t *v, uint32_t i); /* ones before bit i; 0 <= i <= n */

/* Places the parts (image NULL: only the size is found). False when it does not fit this machine. */
bool sg_fm_place(sg_fm *f, const sg_fm_header *h, const char *image);
/* The symbol before the suffix of a row, and the row of the suffix that begins there. */
uint32_t sg_fm_step_back(const sg_fm *f, uint32_t *row);
/* Where symbol c of rows r lies in the last row of the matrix. */
sg_fm_range sg_fm_descend(const sg_fm *f, sg_fm_range r, uint32_t c);

#endif
