/* import.h - logs and catalogues of the world into a dataset folder, streaming, with every drop counted.
 *
 * Order: events by user, then time as precise as the source gives it, then row of the source, stable. Without
 * times the rows are the order. Users and items are numbered by first appearance; in s3rec, movielens and
 * sequences-json by the value of their numeric ids (ids that are no numbers behind them, by appearance).
 * Times: a number counts seconds below 1e11, milliseconds below 1e14, microseconds below 1e17, else
 * nanoseconds, by its magnitude; or ISO 8601, UTC when it names no zone. The dataset keeps whole seconds,
 * rounded down. A row that is not what it should be ends the import with one line, `FILE:LINE: expected ...,
 * found ...`. */
#ifndef SG_DATA_IMPORT_H
#define SG_DATA_IMPORT_H

#include "base/progress.h"
#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct sg_import_spec {
    /* s3rec, recbole, movielens, amazon, csv, tsv, jsonl, sequences-json; NULL or "auto": by content */
    const char *format;
    const char *const *path; /* event files, in order */
    int n_path;
    /* TSV or CSV with a header, JSON lines, JSON {id: {...}}, RecBole .item, movies.dat, u.item, Amazon
     * metadata */
    const char *const *item_text;
    int n_item_text;
    const char *const *
        user_series; /* CSV or TSV with a header, RecBole .user, MovieLens' u.user or users.dat: data/user_series.h */
    int n_user_series;
    const char *name; /* dataset name; NULL: from the file name */

    /* Columns of csv, tsv, jsonl: names or numbers from 1; NULL: user_id, item_id, timestamp, rating and
     * names like them. Without a header, user and item are the first two, and there is no other unless it is
     * named. */
    const char *column_user, *column_item, *column_time, *column_rating, *column_action;
    char separator; /* 0: by format */
    bool no_header;
    const char *column_item_id; /* of item files; NULL: item_id, parent_asin, asin, ..., id */
    const char *item_columns;   /* text columns to keep, separated by commas; NULL: all */
    int64_t item_id_base; /* added to ids of item files: 1 when they count from 0 and the events from 1 */
    bool items_all;       /* keep items that only item files name */

    /* filters, applied in this order */
    double rating_min;          /* events below are dropped; -inf: off */
    int64_t time_min, time_max; /* seconds, both included; INT64_MIN, INT64_MAX: off */
    bool dedup;                 /* keep the first event of a (user, item) pair */
    int core_user, core_item;   /* k-core: events a user, an item must keep; 0: off */
    bool core_once;             /* count once instead of until nothing changes */
    int length_min;             /* users with fewer events are dropped; 0: off */
    int length_max;             /* only the last so many events of a user are kept; 0: off */
    double cold; /* share of items held out of all events but users' last (sg_filter_cold); 0: off */
    uint64_t cold_seed;

    size_t memory_max;    /* bytes for sorting before spilling to disk; 0: 1 GiB */
    int64_t bad_rows_max; /* bad rows to skip, counted and noted in the report; one more ends the import */
} sg_import_spec;

sg_import_spec sg_import_defaults(void);

/* *report, owned by the caller (NULL: not wanted): name, format, sources [{path, rows, bytes, sha256}], rows,
 * bad_rows, bad_row_examples, filters [{filter, dropped, events, users, items}] in order with what each left,
 * users, items, events, item_sources [{path, rows, matched, without_events, repeated, repaired_bytes, ...}],
 * text_columns, items_with_text, warnings, seconds, events_per_second, spilled_runs. All but the last three
 * are the provenance in dataset.json. dir is made whole or not at all. */
sg_status sg_import(const char *dir, const sg_import_spec *spec, const sg_progress *progress, json_t **report,
                    sg_error *err);

#endif
