/* token_ids.h - a list of token numbers that grows. */
#ifndef SG_TEXT_TOKEN_IDS_H
#define SG_TEXT_TOKEN_IDS_H

#include "base/alloc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of tokens, numbered as SentencePiece and GGUF do. */
enum {
    SG_TOKEN_ABSENT = 0,
    SG_TOKEN_NORMAL,
    SG_TOKEN_UNKNOWN,
    SG_TOKEN_CONTROL,
    SG_TOKEN_USER,
    SG_TOKEN_UNUSED,
    SG_TOKEN_BYTE
};
/* May a model make this token from text? kind (by id): of text that is never to be a control token; NULL: any. */
static inline bool sg_token_may_be(const uint8_t *kind, int32_t id)
{
    return id >= 0 && (!kind || kind[id] != SG_TOKEN_CONTROL);
}

typedef struct sg_token_ids {
    int32_t *id; /* owned */
    size_t n, cap;
} sg_token_ids;

/* False: out of memory. */
static inline bool sg_token_ids_add(sg_token_ids *l, int32_t id)
{
    if (l->n == l->cap && !sg_grow(&l->id, &l->cap, l->n + 1, sizeof *l->id))
        return false;
    l->id[l->n++] = id;
    return true;
}

#endif
