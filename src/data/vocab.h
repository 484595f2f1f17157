/* vocab.h - strings to numbers, in order of first appearance; and the same over strings that lie elsewhere. */
#ifndef SG_DATA_VOCAB_H
#define SG_DATA_VOCAB_H

#include "base/buf.h"
#include "base/status.h"
#include "data/dataset.h"

#include <stddef.h>
#include <stdint.h>

typedef struct sg_vocab sg_vocab;

sg_status sg_vocab_new(sg_vocab **out, sg_error *err);
/* A look-up over n strings that must outlive it; of equal strings the first is found. Nothing can be added. */
sg_status sg_vocab_over(sg_vocab **out, const sg_strings *strings, sg_error *err);
void sg_vocab_free(sg_vocab *v);

/* *number: of the string, a new one (the count so far) when it was not there. At most INT32_MAX strings. */
sg_status sg_vocab_add(sg_vocab *v, sg_bytes s, int32_t *number, sg_error *err);
int32_t sg_vocab_find(const sg_vocab *v, sg_bytes s); /* -1: not there */

/* For many look-ups that do not wait for each other: hash all, prefetch stage 0 of all, then 1, then 2, then add: a look-up
 * reads three places one after the other, each a cache miss in a large vocabulary. */
uint32_t sg_vocab_hash(const sg_vocab *v, sg_bytes s);
void sg_vocab_prefetch(const sg_vocab *v, uint32_t hash, int stage);
sg_status sg_vocab_add_hashed(sg_vocab *v, sg_bytes s, uint32_t hash, int32_t *number, sg_error *err);
int32_t sg_vocab_count(const sg_vocab *v);
sg_bytes sg_vocab_at(const sg_vocab *v, int32_t number);
sg_strings sg_vocab_strings(const sg_vocab *v); /* a view, valid until the next add */

#endif
