/* dataset.h - a dataset folder, mapped read-only.
 *
 *   dataset.json          name, counts, provenance (source files, their sha256, filters with counts), format version
 *   events.safetensors    user_offsets I64 (n_users + 1); item I32 (n_events); optional timestamp I64 (seconds),
 *                         rating F32, action I32, row I64; rows sorted by user, then (timestamp, source row), stable
 *   items.safetensors     id bytes + offsets; for each text column NAME: text.NAME.bytes U8, text.NAME.offsets I64 (n_items + 1)
 *   users.safetensors     id bytes + offsets
 *   vectors.safetensors   (sedge embed) vectors F32 (n_items, dim), metadata: encoder, options
 *   ids.safetensors       (sedge tokenize) codes I32 (n_items, levels), sizes I32 (levels), codebooks..., metadata: method
 *
 * Items and users are numbered from 0 in order of first appearance in the source (for numeric-id formats such as
 * s3rec: in order of the numeric id). The id strings are what users of the product see. */
#ifndef SG_DATA_DATASET_H
#define SG_DATA_DATASET_H

#include "base/status.h"
#include "base/buf.h"
#include "file/safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_strings { /* n strings, one after the other */
    size_t n;
    const char *bytes;
    const int64_t *offsets; /* (n + 1) */
} sg_strings;
static inline sg_bytes sg_strings_at(const sg_strings *s, size_t i)
{
    return (sg_bytes){s->bytes + s->offsets[i], (size_t)(s->offsets[i + 1] - s->offsets[i])};
}

typedef struct sg_text_column {
    const char *name; /* "title", "categories", "brand", ... */
    sg_strings text;  /* n_items */
} sg_text_column;

typedef struct sg_dataset {
    char *dir;          /* owned */
    char *name;         /* owned */
    char sha256[65];    /* over the events and items files: names the data in receipts */
    int32_t n_users, n_items;
    int64_t n_events;
    const int64_t *user_offsets; /* (n_users + 1) into the columns below */
    const int32_t *item;
    const int64_t *timestamp; /* NULL: none */
    const float *rating;      /* NULL: none */
    const int32_t *action;    /* NULL: none */
    sg_strings user_ids, item_ids;
    sg_text_column *columns;  /* owned array */
    int n_columns;
    sg_tensors *events, *items, *users; /* owned: the open files behind the pointers above */
    void *user_index, *item_index;      /* owned: string -> number, built on first use */
} sg_dataset;

sg_status sg_dataset_open(sg_dataset **out, const char *dir, sg_error *err); /* checks every offset and item number */
void sg_dataset_close(sg_dataset *d);
int32_t sg_dataset_item(sg_dataset *d, sg_bytes id); /* -1 when unknown */
int32_t sg_dataset_user(sg_dataset *d, sg_bytes id);
const sg_text_column *sg_dataset_column(const sg_dataset *d, const char *name); /* NULL when absent */

/* Item vectors and semantic IDs that live beside the dataset. Missing: SG_ERR_MISSING and a hint which command makes them. */
typedef struct sg_vectors {
    sg_tensors *file; /* owned */
    int32_t n, dim;
    const float *data; /* (n, dim) */
} sg_vectors;
sg_status sg_vectors_open(sg_vectors *out, const sg_dataset *d, sg_error *err);
void sg_vectors_close(sg_vectors *v);

enum { SG_LEVELS_MAX = 16 };
typedef struct sg_ids {
    sg_tensors *file; /* owned */
    int32_t n;
    int levels;                  /* with the collision digit, when there is one */
    int32_t size[SG_LEVELS_MAX]; /* codes per level: code of level l is in 0 .. size[l]-1 */
    const int32_t *codes;        /* (n, levels); tuples are unique */
} sg_ids;
sg_status sg_ids_open(sg_ids *out, const sg_dataset *d, sg_error *err);
void sg_ids_close(sg_ids *ids);

#endif
