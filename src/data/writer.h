/* writer.h - a dataset folder, written from rows that come in order; nothing but small buffers is held in memory.
 *
 * Counts and the bytes of all strings are told first, then events (by user, then time), users and items in order of their
 * numbers, each kind independently of the others. The folder appears at commit, whole, or not at all; an existing folder is
 * replaced only when it is empty or a dataset. */
#ifndef SG_DATA_WRITER_H
#define SG_DATA_WRITER_H

#include "base/status.h"
#include "data/dataset.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_dataset_event {
    int32_t user, item;
    int64_t timestamp; /* seconds */
    int64_t row;       /* place in the source */
    float rating;
    int32_t action;
} sg_dataset_event;

typedef struct sg_dataset_spec {
    const char *name;
    int32_t n_users, n_items;
    int64_t n_events;
    bool timestamp, rating, action, row;  /* which optional columns are kept */
    int64_t user_id_bytes, item_id_bytes; /* of all ids together */
    const char *const *column;            /* (n_columns) names of text columns */
    const int64_t *column_bytes;          /* (n_columns) of all cells together */
    int n_columns;
    const char *const *action_name; /* (n_actions) what action 0, 1, ... means; 0: nothing is said */
    int n_actions;
    const sg_series *series; /* of users; NULL: nothing is known */
    bool
        collection; /* the caller puts collection.safetensors there before the commit; no users and events are needed then */
} sg_dataset_spec;

typedef struct sg_dataset_writer sg_dataset_writer;
sg_status sg_dataset_writer_open(sg_dataset_writer **out, const char *dir, const sg_dataset_spec *spec,
                                 sg_error *err);
sg_status sg_dataset_writer_events(sg_dataset_writer *w, const sg_dataset_event *e, size_t n, sg_error *err);
sg_status sg_dataset_writer_user(sg_dataset_writer *w, sg_bytes id, sg_error *err);
sg_status sg_dataset_writer_item(sg_dataset_writer *w, sg_bytes id, const sg_bytes *cell,
                                 sg_error *err); /* cell (n_columns) */
/* Where further files of this folder can be put before the commit (borrowed). */
const char *sg_dataset_writer_dir(const sg_dataset_writer *w);
/* provenance (borrowed, NULL is fine) goes into dataset.json. w is freed in every case. */
sg_status sg_dataset_writer_commit(sg_dataset_writer *w, const json_t *provenance, sg_error *err);
void sg_dataset_writer_abort(sg_dataset_writer *w); /* NULL is fine */

/* Everything from memory: events in order; user_ids, item_ids NULL: the numbers in decimal. */
sg_status sg_dataset_write(const char *dir, const sg_dataset_spec *spec, const sg_dataset_event *events,
                           const sg_strings *user_ids, const sg_strings *item_ids, const sg_strings *cells,
                           sg_error *err);

#endif
