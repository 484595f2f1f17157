/* dataset.h - a dataset folder, mapped read-only.
 *
 *   dataset.json          name, counts, provenance (source files, their sha256, filters with counts), format version,
 *                         size and sha256 of the three files below
 *   events.safetensors    user_offsets I64 (n_users + 1); item I32 (n_events); optional timestamp I64 (seconds),
 *                         rating F32, action I32, row I64; rows sorted by user, then (timestamp, source row), stable
 *   items.safetensors     id.bytes U8, id.offsets I64 (n_items + 1); for each text column NAME: text.NAME.bytes U8, text.NAME.offsets I64 (n_items + 1)
 *   users.safetensors     id.bytes U8, id.offsets I64 (n_users + 1); where something is known of users: series.offsets I64
 *                         (n_users + 1), series.time I64, series.value I32, series.of I32 (values), series.name.bytes, .offsets (values + 1)
 *   vectors.safetensors   (sedge embed) vectors F32 (n_items, dim), metadata: encoder, options, dataset (sha256)
 *   encoder.safetensors   (sedge embed) what gives a text that comes later its vector: text/encoder_file.h
 *   collection.safetensors  (sedge import beir) queries and judgements: data/collection.h. Such a dataset has neither users nor events.
 *   ids.safetensors       (sedge tokenize) codes I32 (n_items, levels), sizes I32 (levels), codebooks..., metadata: method, dataset (sha256)
 *
 * Items and users are numbered from 0 in order of first appearance in the source (for numeric-id formats such as
 * s3rec: in order of the numeric id). The id strings are what users of the product see. */
#ifndef SG_DATA_DATASET_H
#define SG_DATA_DATASET_H

#include "base/status.h"
#include "base/buf.h"
#include "file/safetensors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_DATASET_FORMAT     "sedge-dataset"
#define SG_DATASET_VERSION    1
#define SG_DATASET_JSON       "dataset.json"
#define SG_DATASET_EVENTS     "events.safetensors"
#define SG_DATASET_ITEMS      "items.safetensors"
#define SG_DATASET_USERS      "users.safetensors"
#define SG_DATASET_VECTORS    "vectors.safetensors"
#define SG_DATASET_IDS        "ids.safetensors"
#define SG_DATASET_ENCODER    "encoder.safetensors"
#define SG_DATASET_COLLECTION "collection.safetensors"

typedef struct sg_strings { /* n strings, one after the other */
    size_t n;
    const char *bytes;
    const int64_t *offsets; /* (n + 1) */
} sg_strings;
static inline sg_bytes sg_strings_at(const sg_strings *s, size_t i)
{
    return (sg_bytes){s->bytes + s->offsets[i], (size_t)(s->offsets[i + 1] - s->offsets[i])};
}

/* The tensors NAME.offsets and NAME.bytes of an open file: n strings (-1: any number), every offset and byte checked. */
sg_status sg_strings_need(sg_strings *out, const sg_tensors *t, const char *name, int64_t n, sg_error *err);

typedef struct sg_text_column {
    const char *name; /* "title", "categories", "brand", ... */
    sg_strings text;  /* n_items */
} sg_text_column;

/* What is known of users beside their events: "age=24", or "city=Riga" from a time on. */
typedef struct sg_series {
    int64_t n;
    const int64_t *offsets; /* (n_users + 1) into the two below; NULL: nothing is known */
    const int64_t *time;    /* (n) since when, never falling for a user; INT64_MIN: always */
    const int32_t *value;   /* (n) number of a name */
    const int32_t *of;      /* (names.n) which series a value belongs to, from 0 */
    sg_strings names;       /* of the values */
} sg_series;
/* Whether every number points to something that is there. */
sg_status sg_series_check(const sg_series *s, int32_t n_users, const char *where, sg_error *err);

typedef struct sg_dataset {
    char *dir;       /* owned */
    char *name;      /* owned */
    json_t *about;   /* owned: dataset.json */
    char sha256[65]; /* over the events and items files, and the collection: names the data in receipts */
    bool collection; /* holds queries and judgements */
    int32_t n_users, n_items;
    int64_t n_events;
    const int64_t *user_offsets; /* (n_users + 1) into the columns below */
    const int32_t *item;
    const int64_t *timestamp; /* NULL: none */
    const float *rating;      /* NULL: none */
    const int32_t *action;    /* NULL: none */
    const int64_t *row;       /* NULL: none */
    sg_strings user_ids, item_ids;
    sg_series series;
    sg_text_column *columns; /* owned array */
    int n_columns;
    sg_tensors *events, *items, *users;       /* owned: the open files behind the pointers above */
    struct sg_vocab *user_index, *item_index; /* owned: string -> number, built on first use */
} sg_dataset;

/* Checks sizes, every offset, item number, the order of times, and that text is UTF-8; hashes are not read again. */
sg_status sg_dataset_open(sg_dataset **out, const char *dir, sg_error *err);
void sg_dataset_close(sg_dataset *d);
sg_status sg_dataset_verify(const char *dir,
                            sg_error *err); /* hashes the files again: are they the ones that were written? */
/* -1 when unknown. The first call builds the index (without memory for it, it searches): not for several threads at once. */
int32_t sg_dataset_item(sg_dataset *d, sg_bytes id);
int32_t sg_dataset_user(sg_dataset *d, sg_bytes id);
/* What names the data: over the sha256 of its events and items files, and the collection where there is one. files: the object kept in dataset.json. */
sg_status sg_dataset_sha256(char hex[65], const json_t *files, const char *where, sg_error *err);
const sg_text_column *sg_dataset_column(const sg_dataset *d, const char *name); /* NULL when absent */

/* Item vectors and semantic IDs that live beside the dataset. Missing: SG_ERR_MISSING and a hint which command makes them.
 * Files that say (metadata "dataset") that they were made for other data are refused. */
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
    bool ends;                   /* the last code of a level, but of the first, ends an ID (catalogue.h) */
    int32_t size[SG_LEVELS_MAX]; /* codes per level: code of level l is in 0 .. size[l]-1 */
    const int32_t *codes;        /* (n, levels); tuples are unique */
} sg_ids;
sg_status sg_ids_open(sg_ids *out, const sg_dataset *d, sg_error *err);
void sg_ids_close(sg_ids *ids);

#endif
