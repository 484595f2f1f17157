/* fm.h - which strings of tokens occur in the items, and what may come next: an FM-index, memory-mapped.
 *
 * Each item is a string of tokens. A string that occurs is a range of rows, as many as it has occurrences; putting a token
 * behind it is one step, and the tokens that may come next are listed without trying others. Matches never run from one
 * item into the next. An index never changes: any number of threads may read one.    [Ferragina & Manzini 2000; SEAL 2022] */
#ifndef SG_INDEX_FM_H
#define SG_INDEX_FM_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SG_FM_TOKENS_MAX = (1 << 24) - 2, SG_FM_STEP = 32, SG_FM_STEP_MAX = 1 << 16 };

typedef struct sg_fm sg_fm;

/* Item i is token[offsets[i]] .. token[offsets[i + 1] - 1], each 0 .. n_tokens - 1; offsets (n_items + 1). n_items >= 1.
 * step: one in so many places is kept for sg_fm_locate (0: SG_FM_STEP); a smaller one is faster and larger. */
sg_status sg_fm_new(sg_fm **out, const int32_t *token, const int64_t *offsets, int32_t n_items,
                    int32_t n_tokens, int step, sg_error *err);
sg_status sg_fm_open(sg_fm **out, const char *path, sg_error *err); /* mapped; checked */
/* The same from bytes in memory: borrowed when they are 8-byte aligned, else copied. name stands in errors. */
sg_status sg_fm_parse(sg_fm **out, sg_bytes file, const char *name, sg_error *err);
sg_status sg_fm_save(const sg_fm *f, const char *path, sg_error *err); /* atomic; same items, same bytes */
void sg_fm_free(sg_fm *f);

int32_t sg_fm_items(const sg_fm *f);
int32_t sg_fm_tokens(const sg_fm *f); /* of the vocabulary */
size_t sg_fm_bytes(const sg_fm *f);   /* as a file, which memory maps */
size_t sg_fm_memory(const sg_fm *f);  /* with what is kept beside it: the successors of frequent tokens */

typedef struct
    sg_fm_range { /* occurrences of a string: rows first .. last - 1; last - first is their number */
    uint32_t first, last;
} sg_fm_range;
sg_fm_range
sg_fm_anywhere(const sg_fm *f); /* the empty string: what follows may stand anywhere in an item ... */
sg_fm_range sg_fm_at_start(const sg_fm *f); /* ... or only at its start */
sg_fm_range sg_fm_extend(const sg_fm *f, sg_fm_range r,
                         int32_t token); /* one token to the right; may be empty */

typedef struct sg_fm_next {
    int32_t token;
    sg_fm_range range; /* of the string with this token behind it */
} sg_fm_next;
/* The tokens that follow the string somewhere, ascending: the first `most` of them into next; returns how many there are.
 * *ends or NULL: in how many of its places the string ends an item. */
int32_t sg_fm_successors(const sg_fm *f, sg_fm_range r, sg_fm_next *next, int32_t most, uint32_t *ends);

/* Where row r.first <= row < r.last of a string lies: the item, and how many of its tokens stand behind the string. */
sg_status sg_fm_locate(const sg_fm *f, uint32_t row, int32_t *item, int32_t *behind, sg_error *err);

#endif
