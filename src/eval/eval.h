/* eval.h - rank every item for every case, count the metrics with and without the history filter, write the receipt. */
#ifndef SG_EVAL_EVAL_H
#define SG_EVAL_EVAL_H

#include "models/model.h"

#include <jansson.h>

typedef enum sg_ties { SG_TIES_PESSIMISTIC, SG_TIES_OPTIMISTIC, SG_TIES_RANDOM } sg_ties;

typedef struct sg_eval_spec {
    bool test;            /* else valid */
    const int *k;         /* cut-offs, ascending; NULL: 1 5 10 20 50 */
    int n_k;
    sg_ties ties;
    uint64_t seed;
    int bootstrap;        /* resamples for confidence intervals (0: none; default of the command: 1000) */
    int64_t users_max;    /* 0: all; else a fixed pseudo-random subset (the same for a given seed) */
    int beam;             /* generative models; 0: their default */
    int batch;            /* 0: a good one */
    bool floors;          /* also evaluate pop, markov1, itemknn on the same cases */
    bool unfiltered, filtered; /* which of the two; both false means both */
    const char *run_path, *qrels_path; /* TREC files to write, or NULL */
    const char *per_user_path;         /* safetensors with each case's rank, for paired tests, or NULL */
} sg_eval_spec;

/* *out = {"metrics": {"unfiltered": {"recall@10": ...}, "filtered": {...}}, "intervals": ..., "floors": ...,
 * "receipt": {...}, "seconds": s}; owned by the caller. */
sg_status sg_eval(json_t **out, const sg_model *m, const sg_train_data *t, const sg_eval_spec *spec, sg_pool *pool,
                  const sg_progress *progress, sg_error *err);
/* The number used for model selection: NDCG@10, history unfiltered, on (a subset of) the validation cases. Cheap. */
sg_status sg_eval_select(double *ndcg10, double *recall10, const sg_model *m, const sg_train_data *t, int64_t users_max,
                         sg_pool *pool, sg_error *err);

/* The pieces, also for tests. rank from 1; 0 = not found in the list. */
typedef struct sg_metric_values { double recall, ndcg, mrr, map, precision, hit; } sg_metric_values;
/* One user: relevance of a ranked list. list (n), relevant (n_relevant) as sets of item numbers. */
sg_metric_values sg_metrics_list(const int32_t *list, int n, const int32_t *relevant, int n_relevant, int k);

/* Paired comparison of two per-user files: difference of means, bootstrap interval, two-sided p (paired bootstrap, and
 * randomisation test). */
sg_status sg_eval_compare(json_t **out, const char *path_a, const char *path_b, int resamples, uint64_t seed, sg_error *err);

#endif
