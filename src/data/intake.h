/* intake.h - inside an import: where the parsers of the formats put events, and what they may ask for. */
#ifndef SG_DATA_INTAKE_H
#define SG_DATA_INTAKE_H

#include "data/events.h"
#include "data/import.h"
#include "data/table.h"
#include "data/vocab.h"

enum { SG_ID_BYTES_MAX = 1024, SG_EXAMPLES_MAX = 5, SG_SEEN_RATING = 1, SG_SEEN_TIME = 2 };

/* What an event looks like in its file; data NULL: no such column, or no value. */
typedef struct sg_raw_event {
    sg_bytes user, item, time, rating, action;
} sg_raw_event;

/* Events wait for each other, so that the look-ups of their ids overlap. */
enum { SG_WAITING_MAX = 32, SG_WAITING_BYTES = 8192 };
typedef struct sg_waiting {
    sg_event event;      /* all but the numbers of user and item */
    sg_bytes user, item; /* in the room of the intake */
    uint32_t user_hash, item_hash;
    uint64_t line;
} sg_waiting;

typedef struct sg_intake {
    const sg_import_spec *spec; /* borrowed, as are progress and in */
    const sg_progress *progress;
    sg_input *in;                   /* the file being read */
    uint64_t bytes_done, bytes_all; /* of the files, for progress */

    sg_vocab *users, *items, *actions; /* owned */
    sg_events *events;                 /* owned */
    sg_waiting *waiting;               /* owned: (SG_WAITING_MAX) */
    size_t n_waiting, room_used;
    char *room;                            /* owned: SG_WAITING_BYTES of ids */
    bool stopped;                          /* an error has ended the import: no more rows are forgiven */
    bool action_words;                     /* actions are names, numbered as they come; else integers */
    bool has_time, has_rating, has_action; /* from the first file; the others must agree */
    bool by_number;
    int n_files;
    int64_t time_begin, time_end; /* of the time window, in microseconds, end not included */

    uint64_t rows, dropped_rating, dropped_time, bad;
    uint8_t *user_seen, *item_seen; /* owned: by number, SG_SEEN_RATING: after rating_min, SG_SEEN_TIME: after
                                       the window too */
    size_t cap_user_seen, cap_item_seen;
    json_t *examples; /* owned: the first messages about bad rows */
    json_t *warnings; /* owned: sentences */
    int32_t *rank;    /* owned: of users, by number; NULL: in order of appearance */
} sg_intake;

sg_status sg_intake_init(sg_intake *k, const sg_import_spec *spec, const sg_progress *progress,
                         const char *scratch_dir, bool by_number, sg_error *err);
void sg_intake_fini(sg_intake *k); /* a zeroed one is fine */

/* Says which columns the events of this file have; before its first event. */
sg_status sg_intake_columns(sg_intake *k, bool time, bool rating, bool action, sg_error *err);
/* Takes one event that stands in `line`: checks and reads its values, applies the filters that need only the
 * event. An error of its text is one of the row: give it to sg_intake_bad. */
sg_status sg_intake_event(sg_intake *k, uint64_t line, const sg_raw_event *raw, sg_error *err);
/* Numbers the events that still wait: after the last one, and before the vocabularies are looked at. */
sg_status sg_intake_flush(sg_intake *k, sg_error *err);
/* What to do about an error of a row: SG_OK when it may be skipped (counted and noted), else st, to be
 * returned. */
sg_status sg_intake_bad(sg_intake *k, sg_status st, sg_error *err);
sg_status sg_intake_warn(sg_intake *k, sg_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The formats. Each reads k->in to its end. */
sg_status sg_import_s3rec(sg_intake *k, sg_error *err);
sg_status sg_import_recbole(sg_intake *k, sg_error *err);
sg_status sg_import_movielens(sg_intake *k, sg_error *err);
sg_status sg_import_amazon(sg_intake *k, sg_error *err);
sg_status sg_import_csv(sg_intake *k, sg_error *err); /* separator of the spec, or ',' */
sg_status sg_import_tsv(sg_intake *k, sg_error *err); /* no quoting */
sg_status sg_import_jsonl(sg_intake *k, sg_error *err);
sg_status sg_import_sequences(sg_intake *k, sg_error *err);

/* *out: owned, rank of each id among all when numeric ids stand first, by value, and the rest behind them as
 * they came. */
sg_status sg_number_order(int32_t **out, const sg_vocab *v, sg_error *err);

typedef struct sg_import_format {
    const char *name;
    sg_status (*read)(sg_intake *k, sg_error *err);
    bool by_number; /* users and items stand in the order of their numeric ids, others behind them as they
                       came */
} sg_import_format;
/* By name; "auto" or NULL: by what `in` begins with. */
sg_status sg_import_format_find(const sg_import_format **out, const char *name, sg_input *in, sg_error *err);
/* What an item file is, by what it begins with. */
typedef enum sg_item_format {
    SG_ITEMS_CSV,
    SG_ITEMS_TSV,
    SG_ITEMS_RECBOLE,
    SG_ITEMS_MOVIES_DAT,
    SG_ITEMS_U_ITEM,
    SG_ITEMS_JSON_LINES,
    SG_ITEMS_PYTHON_LINES,
    SG_ITEMS_JSON
} sg_item_format;
sg_status sg_item_format_find(sg_item_format *out, sg_input *in, sg_error *err);

/* Which column is what: indexes, -1 for none. */
typedef struct sg_columns {
    int user, item, time, rating, action;
} sg_columns;
/* name NULL: there is no header, n columns. where: file name for messages. */
sg_status sg_columns_find(sg_columns *out, const sg_import_spec *spec, const sg_bytes *name, size_t n,
                          const char *where, sg_error *err);
/* Index of the column the caller named or numbered. */
sg_status sg_column_named(int *out, const char *wanted, const sg_bytes *name, size_t n, const char *where,
                          sg_error *err);
/* Index of the first of these usual names that is there, compared without case, '_', '-', ' ' and '.'; -1:
 * none. */
int sg_column_usual(const char *const *usual, const sg_bytes *name, size_t n);
extern const char *const sg_usual_item[]; /* NULL at the end */

/* The rows of a table from here on, each of n fields. `held`: the current row is the first of them. */
sg_status sg_table_events(sg_intake *k, sg_table *t, const sg_columns *c, size_t n, bool held, sg_error *err);
/* Checks the types of a RecBole header and takes them off the names. */
sg_status sg_recbole_header(sg_bytes *name, size_t n, const char *where, sg_error *err);
/* JSON lines; `needed`: a sentence when the first line lacks a user or item column, NULL for the usual one.
 */
sg_status sg_json_lines(sg_intake *k, const char *needed, sg_error *err);

#endif
