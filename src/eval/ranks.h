/* ranks.h - inside src/eval: the ranks of all targets of all cases asked, and what the lists showed. */
#ifndef SG_EVAL_RANKS_H
#define SG_EVAL_RANKS_H

#include "eval/eval.h"

enum { SG_UNFILTERED = 0, SG_FILTERED = 1 };
extern const char *const sg_filter_names[2]; /* "unfiltered", "filtered" */

/* One list of one user, best first; -1: no item. Called in the order of cases, first unfiltered, then
 * filtered. */
typedef sg_status sg_list_sink(void *ctx, int filter, const sg_case *c, const int32_t *item,
                               const float *score, int n, sg_error *err);

typedef struct sg_ranks_spec {
    const sg_eval_spec *eval;
    bool want[2];       /* unfiltered, filtered */
    int k;              /* length of the lists */
    bool lists;         /* make lists even where ranks do not need them, for the sink */
    sg_list_sink *sink; /* NULL: none */
    void *sink_ctx;
    const char *stage; /* for progress */
} sg_ranks_spec;

typedef struct sg_ranks {
    size_t n;              /* cases asked */
    const sg_case **cases; /* owned array of borrowed pointers, in the order of the split */
    size_t n_target;
    int64_t *offsets;      /* owned (n + 1): targets of each case, distinct items */
    int32_t *item;         /* owned (n_target) */
    int32_t *rank[2];      /* owned (n_target), NULL when not wanted; 0: not found */
    const char *ranked_by; /* "score" or "list" */
} sg_ranks;

sg_status sg_ranks_run(sg_ranks *out, const sg_model *m, const sg_train_data *t, const sg_ranks_spec *spec,
                       sg_pool *pool, const sg_progress *progress, sg_error *err);
void sg_ranks_free(sg_ranks *r);
/* n and cases only: those that the specification asks. */
sg_status sg_ranks_choose(sg_ranks *r, const sg_train_data *t, const sg_eval_spec *spec, sg_error *err);

/* Mean over cases of the metric values at k. */
sg_metric_values sg_ranks_mean(const sg_ranks *r, int filter, int k);

/* Means of m columns over resampled cases: value (n, m) row-major, of each case; *mean (resamples, m),
 * owned by the caller. */
sg_status sg_bootstrap_means(double **mean, const float *value, size_t n, int m, int resamples, uint64_t seed,
                             sg_pool *pool, sg_error *err);
/* Percentiles 2.5 and 97.5 of one column. */
sg_status sg_bootstrap_interval(double *low, double *high, const double *mean, int resamples, int m,
                                int column, sg_error *err);

/* The ranks as a file for sg_eval_compare. length: of the lists they come from, 0 when every item was
 * ranked. */
sg_status sg_ranks_save(const sg_ranks *r, const char *path, const char *model, const char *data_sha256,
                        const char *split, int length, sg_error *err);

/* Pop, markov1 and itemknn on the same cases: {"pop": {"unfiltered": {...}, "filtered": {...}}, ...}.
 * Computed once per data, split and protocol, then read from DATA/floors.json; a folder that cannot be
 * written is no error. */
sg_status sg_floors(json_t **out, const sg_train_data *t, const sg_eval_spec *spec, sg_pool *pool,
                    const sg_progress *progress, sg_error *err);
/* Role rank: every target event is shown as the one candidate of a request that comes when it does, after
 * everything before it. {"liked": {"auc": ..., "ne": ..., "rare_items": {...}, "item_rate": {...}}, ...}, a member a task;
 * rare items: the answers about those with fewer than five events in training; the floor says each item's share of yes there. */
sg_status sg_answers_json(json_t **out, const sg_model *m, const sg_train_data *t, const sg_eval_spec *spec,
                          sg_pool *pool, const sg_progress *progress, sg_error *err);
/* Means over the tasks that have both answers; NaN: none has. */
sg_status sg_answers_mean(double *auc, double *ne, const sg_model *m, const sg_train_data *t,
                          const sg_eval_spec *spec, sg_pool *pool, sg_error *err);
/* {"recall@1": ..., ...} from ranks. */
sg_status sg_metrics_json(json_t **out, const sg_ranks *r, int filter, const int *k, int n_k, sg_error *err);

#endif
