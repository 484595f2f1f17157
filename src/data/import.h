/* import.h - logs and catalogues of the world into a dataset folder, streaming, with every drop counted. */
#ifndef SG_DATA_IMPORT_H
#define SG_DATA_IMPORT_H

#include "base/progress.h"
#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct sg_import_spec {
    const char *format;       /* s3rec, recbole, movielens, amazon, csv, tsv, jsonl, sequences-json; NULL or "auto": by content */
    const char *const *path;  /* event files, in order */
    int n_path;
    const char *const *item_text; /* item files: TSV/CSV with header, JSONL, JSON {id: {...}}, RecBole .item, movies.dat, Amazon meta */
    int n_item_text;
    const char *name;         /* dataset name; NULL: from the file name */
    /* column mapping for csv, tsv, jsonl: names or 1-based numbers; NULL: user|user_id|userId..., item..., timestamp..., rating... */
    const char *column_user, *column_item, *column_time, *column_rating, *column_action;
    char separator;           /* 0: by format */
    bool no_header;
    /* filters, applied in this order; each prints its counts */
    double rating_min;        /* events below are dropped; -inf: off */
    int64_t time_min, time_max; /* INT64_MIN, INT64_MAX: off */
    bool dedup;               /* keep the first event of a (user, item) pair */
    int core_user, core_item; /* k-core: events a user, an item must keep; 0: off */
    bool core_once;           /* count once instead of until nothing changes */
    int length_min, length_max; /* users with fewer events dropped; only the last length_max events kept; 0: off */
    size_t memory_max;        /* bytes for sorting before spilling to disk; 0: 1 GiB */
    int64_t bad_rows_max;     /* rows with errors to skip, counted and noted in the report; the next one ends the import */
    int64_t item_id_base;     /* added to the numeric ids of item files: 1 when they count from 0 and the events from 1 */
    const char *column_item_id; /* id column of the item files; NULL: item_id, parent_asin, asin, ..., id */
    const char *item_columns; /* text columns of the item files to keep, separated by commas; NULL: all */
    bool items_all;           /* keep items that only item files name */
} sg_import_spec;

sg_import_spec sg_import_defaults(void);
/* *report: rows read, kept, dropped by reason, users, items, seconds; owned by the caller. dir is made whole or not at all. */
sg_status sg_import(const char *dir, const sg_import_spec *spec, const sg_progress *progress, json_t **report, sg_error *err);

#endif
