/* api.h - what the functions of sedge.h share: one way in, one way out, options by table. */
#ifndef SG_API_API_H
#define SG_API_API_H

#include "base/option.h"
#include "base/pool.h"
#include "base/progress.h"
#include "data/dataset.h"
#include "data/split.h"
#include "models/model.h"

#include "sedge/sedge.h"

#include <jansson.h>
#include <locale.h>

/* ---- one call of a verb ------------------------------------------------------------------------------------------------ */
typedef struct api_call {
    sg_pool *pool;        /* owned; made by api_pool */
    sedge_run run;        /* the caller's */
    sg_progress progress; /* forwards to it */
    locale_t locale_old;  /* numbers are read and printed in the C locale, whatever the program set */
    json_t *result;       /* owned: becomes the JSON text */
    sg_error err;
} api_call;

/* params: our zeroed struct of `bytes`; given: the caller's, which begins with its size and `run` and may be older (smaller).
 * NULL, 0, NULL: a function without a struct. */
sg_status api_begin(api_call *c, void *params, size_t bytes, const void *given);
sg_status api_pool(api_call *c, sg_pool **out); /* the threads that the caller asked for */
/* Frees the call's memory, hands out the result and the error. Returns the status. */
int api_end(api_call *c, sg_status st, char **json, sedge_error *err);
int api_error(sedge_error *out, const sg_error *err, sg_status st); /* copies; returns st */
sg_status api_need(const char *value, const char *what,
                   sg_error *err); /* "expected a dataset folder, found nothing" */

/* ---- options ------------------------------------------------------------------------------------------------------------ */
typedef struct api_table { /* a config and the table that fills it */
    void *config;
    const sg_option *row;
    size_t n;
} api_table;

void api_defaults(const api_table *tables, size_t n_tables);
/* Each "key=value" goes to the first table that knows the key; an unknown key names the nearest of all. */
sg_status api_assign(const api_table *tables, size_t n_tables, const char *const *set, size_t n_set,
                     sg_error *err);
/* The same from an object of a recipe; `where` begins the message. */
sg_status api_assign_object(const api_table *tables, size_t n_tables, const json_t *object, const char *where,
                            sg_error *err);
json_t *api_options_json(const sg_option *table, size_t n); /* NULL: out of memory */

/* Tables that belong to verbs, not to a module below. */
#define API_IMPORT_OPTIONS(X)                                                                                \
    X(choice, format, auto, 0, 0,                                                                            \
      "auto|s3rec|recbole|movielens|amazon|csv|tsv|jsonl|sequences-json|beir: what the files are")           \
    X(text, name, "", 0, 200, "name of the dataset (empty: from the file name)")                             \
    X(text, user, "", 0, 200,                                                                                \
      "csv, tsv, jsonl: column of the user, by name or number from 1 (empty: found by its name)")            \
    X(text, item, "", 0, 200, "column of the item")                                                          \
    X(text, time, "", 0, 200, "column of the time")                                                          \
    X(text, rating, "", 0, 200, "column of the rating")                                                      \
    X(text, action, "", 0, 200, "column of the action")                                                      \
    X(text, separator, "", 0, 3, "csv: character between columns, or tab (empty: by format)")                \
    X(bool, header, true, 0, 1, "csv, tsv: the first line names the columns")                                \
    X(text, rating_min, "", 0, 40, "events rated lower are dropped (empty: none)")                           \
    X(text, time_min, "", 0, 40,                                                                             \
      "events before this are dropped: seconds since 1970 or YYYY-MM-DD (empty: none)")                      \
    X(text, time_max, "", 0, 40, "events from this on are dropped (empty: none)")                            \
    X(bool, dedup, false, 0, 1, "of equal (user, item) pairs only the first event is kept")                  \
    X(int, core_user, 0, 0, 1000000, "k-core: events that a user must keep (0: off)")                        \
    X(int, core_item, 0, 0, 1000000, "k-core: events that an item must keep (0: off)")                       \
    X(bool, core_once, false, 0, 1, "k-core counted once instead of until nothing changes")                  \
    X(int, length_min, 0, 0, 1000000, "users with fewer events are dropped (0: off)")                        \
    X(int, length_max, 0, 0, 1000000000, "only the last events of a user are kept, this many (0: all)")      \
    X(float, cold, 0, 0, 0.9,                                                                                \
      "share of items held out: taken from all events but the last of each user (0: none)")                  \
    X(int, cold_seed, 1, 0, 2147483647, "cold, dev: which ones")                                             \
    X(int, bad_rows, 0, 0, 2147483647,                                                                       \
      "rows with errors that are skipped and counted; the next one ends the import")                         \
    X(text, item_id, "", 0, 200, "item files: column of the item id (empty: found by its name)")             \
    X(int, item_id_base, 0, -1000000, 1000000,                                                               \
      "item files: added to numeric ids; 1 when they count from 0 and the events from 1")                    \
    X(text, item_columns, "", 0, 255, "item files: text columns to keep, separated by commas (empty: all)")  \
    X(bool, items_all, false, 0, 1, "items that only item files name are kept, too")                         \
    X(float, dev, 0.1, 0, 0.9,                                                                               \
      "beir: share of the training queries held out where the folder has no dev split (0: none)")            \
    X(int, memory, 1024, 16, 1000000, "MiB for sorting before going to disk")
typedef struct api_import_config {
    API_IMPORT_OPTIONS(SG_OPTION_FIELD)
} api_import_config;

#define API_TRAIN_OPTIONS(X)                                                                                 \
    X(int, seed, 1, 0, 2147483647, "random seed")                                                            \
    X(choice, precision, auto, 0, 0, "auto|f32|bf16: arithmetic of matrix products")                         \
    X(text, protocol, "loo", 0, 200,                                                                         \
      "which events teach and which are asked: loo, last:N, ratio:R, time:VALID,TEST")
typedef struct api_train_config {
    API_TRAIN_OPTIONS(SG_OPTION_FIELD)
} api_train_config;

#define API_EVAL_OPTIONS(X)                                                                                  \
    X(choice, split, test, 0, 0, "valid|test: which cases are asked")                                        \
    X(text, k, "1,5,10,20,50", 0, 200,                                                                       \
      "cut-offs of the metrics, ascending; queries for documents: 1,10,100 unless told")                     \
    X(choice, ties, pessimistic, 0, 0,                                                                       \
      "pessimistic|optimistic|random: where the target stands among equal scores")                           \
    X(choice, filter, both, 0, 0, "both|unfiltered|filtered: may items of the history be recommended")       \
    X(int, bootstrap, 1000, 0, 1000000, "resamples over users for 95 % intervals (0: none)")                 \
    X(int, users, 0, 0, 2147483647, "cases asked, a fixed random subset (0: all)")                           \
    X(int, beam, 0, 0, 1000000, "prefixes kept while decoding semantic IDs (0: the model's default)")        \
    X(bool, plain, false, 0, 1,                                                                              \
      "one search and no second one where the beam may have missed an item: faster, less exact")             \
    X(bool, free, false, 0, 1, "queries: IDs are written without the prefix tree, to see how many are none") \
    X(bool, exact, false, 0, 1,                                                                              \
      "score every item even where the model searches (slow; what the beam can be checked with)")            \
    X(bool, cold, false, 0, 1, "only cases whose target has no training event")                              \
    X(choice, candidates, all, 0, 0,                                                                         \
      "all|cold: items that are ranked; cold: those without a training event alone")                         \
    X(int, batch, 0, 0, 1000000, "cases scored at once (0: a good one)")                                     \
    X(bool, floors, true, 0, 1, "pop, markov1 and itemknn on the same cases stand beside the result")        \
    X(bool, oracle, true, 0, 1, "synthetic shops: also what knowing the generator reaches")                  \
    X(text, model_options, "", 0, 1000,                                                                      \
      "options of the model, other than it was trained with: star=0,psi=10; what only training heeds "       \
      "changes nothing")                                                                                     \
    X(text, protocol, "", 0, 200,                                                                            \
      "another one than the model was trained for: loo, last:N, ratio:R, time:VALID,TEST")                   \
    X(int, seed, 1, 0, 2147483647, "seed of random ties, subset and bootstrap")
typedef struct api_eval_config {
    API_EVAL_OPTIONS(SG_OPTION_FIELD)
} api_eval_config;

#define API_RECOMMEND_OPTIONS(X)                                                                             \
    X(int, k, 10, 1, 100000, "length of the list")                                                           \
    X(int, beam, 0, 0, 1000000, "prefixes kept while decoding semantic IDs (0: the model's default)")        \
    X(bool, plain, false, 0, 1,                                                                              \
      "one search and no second one where the beam may have missed an item: faster, less exact")             \
    X(int, groups, 1, 1, 1000, "diverse beam search: the beam in so many groups (with semantic IDs)")        \
    X(float, diversity, 0.2, 0, 1000,                                                                        \
      "groups: what a first code loses, in log-probability, for each beam of an earlier group")              \
    X(float, temperature, 0, 0, 1000,                                                                        \
      "above 0: items are drawn, without replacement, instead of the most probable")                         \
    X(int, seed, 1, 0, 2147483647, "temperature: seed of the draw")                                          \
    X(float, mmr, 0, 0, 1,                                                                                   \
      "maximal marginal relevance: what likeness to items before counts against relevance (with semantic "   \
      "IDs)")                                                                                                \
    X(bool, seen, false, 0, 1, "items of the history may come back")
typedef struct api_recommend_config {
    API_RECOMMEND_OPTIONS(SG_OPTION_FIELD)
} api_recommend_config;

#define API_INSPECT_OPTIONS(X)                                                                               \
    X(int, depth, 1, 1, 16, "ids: prefixes up to this length")                                               \
    X(int, top, 5, 1, 100, "ids: words, brands and example items a prefix")
typedef struct api_inspect_config {
    API_INSPECT_OPTIONS(SG_OPTION_FIELD)
} api_inspect_config;

#define API_COMPARE_OPTIONS(X)                                                                               \
    X(int, resamples, 10000, 100, 10000000, "bootstrap resamples and randomisation rounds")                  \
    X(int, seed, 1, 0, 2147483647, "random seed")
typedef struct api_compare_config {
    API_COMPARE_OPTIONS(SG_OPTION_FIELD)
} api_compare_config;

#define API_KNOW_OPTIONS(X)                                                                                  \
    X(int, most, 0, 0, 2147483647, "only the first items or users, this many (0: all)")                      \
    X(int, failures, 0, 0, 2147483647,                                                                       \
      "items or users that may stay without an answer; the next one ends the run")                           \
    X(float, max_age, 0, 0, 1e6, "days after which an answer is asked for again (0: never)")
typedef struct api_know_config {
    API_KNOW_OPTIONS(SG_OPTION_FIELD)
} api_know_config;

extern const sg_option api_know_options[];
extern const size_t api_n_know_options;
extern const sg_option api_import_options[], api_train_options[], api_eval_options[], api_recommend_options[],
    api_inspect_options[], api_compare_options[];
extern const size_t api_n_import_options, api_n_train_options, api_n_eval_options, api_n_recommend_options,
    api_n_inspect_options, api_n_compare_options;

/* ---- folders -------------------------------------------------------------------------------------------------------------- */
struct sedge_data {
    sg_dataset *set; /* owned */
};
struct sedge_model {
    sg_model *model; /* owned */
};

/* A dataset with what stands beside it, as training and evaluation take it. */
typedef struct api_data {
    sg_dataset *set;
    sg_split *split;
    sg_vectors vectors;
    sg_ids ids;
    sg_collection *collection; /* owned; NULL: events */
    sg_train_data train;       /* borrows the above */
} api_data;
sg_status api_data_open(api_data *d, const char *dir, const char *protocol,
                        sg_error *err); /* vectors, ids: when they are there */
void api_data_close(api_data *d);

/* The protocol a model was trained for ("loo" when it does not say). */
const char *api_model_protocol(const sg_model *m);

#endif
