/* keys.h - semantic IDs as keys of an embedding table: which rows stand for an item, whose vectors are added up.
 *
 *   item       a row an item                                 hash       item number, hashed into the rows
 *   unigrams   (level, code)                                 tuple      the codes together, hashed
 *   bigrams    neighbouring codes with their level, hashed   prefix     every prefix of the codes, hashed
 *   pieces     a vocabulary of runs of codes, chosen like SentencePiece's unigram model: EM, the least needed fifth dropped
 *              again and again; each ID is cut into the most probable pieces
 *   [Singh et al., RecSys 2024, arXiv:2306.08121; Zheng et al. 2025, arXiv:2504.02137] */
#ifndef SG_QUANTIZE_KEYS_H
#define SG_QUANTIZE_KEYS_H

#include "base/status.h"

#include <stdint.h>

typedef enum sg_keys_kind {
    SG_KEYS_ITEM,
    SG_KEYS_HASH,
    SG_KEYS_UNIGRAMS,
    SG_KEYS_TUPLE,
    SG_KEYS_BIGRAMS,
    SG_KEYS_PREFIX,
    SG_KEYS_PIECES,
} sg_keys_kind;

typedef struct sg_keys_spec {
    sg_keys_kind kind;
    int32_t n;            /* items */
    const int32_t *codes; /* (n, levels) */
    const int32_t *size;  /* (levels): codes of level l are below size[l] */
    int levels, depth;    /* depth: codes that are read, from the first on, at most levels */
    int32_t
        rows; /* of the table; of no meaning for item and unigrams, whose tables have the size they need */
    const int64_t *times; /* (n) how often items were shown in training; pieces only */
} sg_keys_spec;

/* Rows that an item has at most, and rows of the table. */
int sg_keys_each(const sg_keys_spec *spec);
int64_t sg_keys_rows(const sg_keys_spec *spec);
/* row (n, each): rows of each item, -1 where it has fewer. SG_ERR_USAGE: what does not fit together, such as a table of pieces that
 * is smaller than the codes alone. */
sg_status sg_keys_make(int32_t *row, const sg_keys_spec *spec, sg_error *err);

#endif
