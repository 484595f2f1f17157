/* eval.h - rank every item for every case, count the metrics with and without the history filter, write
 * the receipt.
 *
 * A case is one question of the split: a history and the items that came next (one with leave-one-out).
 * All items of the catalogue are candidates. The rank of a target is 1 + the items scored higher + its
 * share of the ties: all of them (pessimistic, the default), none, or a random one. "filtered" takes the
 * history's items out of the candidates; a target that is itself in the history is then never found.
 * Models that make lists (role recommend) are ranked by their lists.
 * Collections of documents and queries are another matter: eval/retrieval.h. */
#ifndef SG_EVAL_EVAL_H
#define SG_EVAL_EVAL_H

#include "models/model.h"

#include <jansson.h>

typedef enum sg_ties { SG_TIES_PESSIMISTIC, SG_TIES_OPTIMISTIC, SG_TIES_RANDOM } sg_ties;

typedef struct sg_eval_spec {
    bool test;    /* else valid */
    const int *k; /* cut-offs, ascending; NULL: 1 5 10 20 50 */
    int n_k;
    sg_ties ties;
    uint64_t seed;
    int bootstrap;     /* resamples for confidence intervals (0: none; default of the command: 1000) */
    int64_t users_max; /* 0: all; else a pseudo-random subset of the cases, the same for a given seed */
    int beam;          /* generative models; 0: their default */
    bool plain;        /* they do not search again where the beam may have missed an item */
    bool
        free; /* retrieval: codes are written without the prefix tree; what is no document leaves its place empty */
    int batch;            /* 0: a good one; changes no number */
    bool cold;            /* only cases of which no target has a training event */
    bool candidates_cold; /* only items without a training event are candidates */
    bool exact;           /* rank by score even where the model makes lists and can do both */
    bool floors; /* also evaluate pop, markov1, itemknn on the same cases (kept in DATA/floors.json) */
    bool unfiltered, filtered; /* which of the two; both false means both */
    const char *run_path;      /* TREC files, or NULL; the run is filtered when that was asked for */
    const char *qrels_path;
    const char *per_user_path; /* safetensors with each case's ranks, for paired tests, or NULL */
} sg_eval_spec;

/* *out = {"metrics": {"unfiltered": {"recall@10": ...}, "filtered": {...}}, "ranking": {"liked": {"auc": ...}}
 * of models that rank candidates, "intervals": ..., "cold": ..., "floors": ..., "receipt": {...}, "seconds": s}; owned by the caller. */
sg_status sg_eval(json_t **out, const sg_model *m, const sg_train_data *t, const sg_eval_spec *spec,
                  sg_pool *pool, const sg_progress *progress, sg_error *err);
/* What model selection goes by, on (a subset of) the validation cases: value[0], more is better, and one to
 * look at. NDCG@10 and recall@10, history unfiltered; of models that rank candidates AUC and NE. Cheap. */
sg_status sg_eval_select(double value[2], const sg_model *m, const sg_train_data *t, int64_t users_max,
                         sg_pool *pool, sg_error *err);
const char *const *sg_eval_select_names(const sg_model *m); /* (2) "ndcg@10", "recall@10" */
/* The test cases of t->split in short, into `out`: "metrics" with pop and markov1 beside them in "floors", or "ranking" of models that
 * rank candidates, with the item's rate; floors learn from the training events of the split. main: as sg_eval_select gives. */
sg_status sg_eval_window(json_t *out, double main[2], const sg_model *m, const sg_train_data *t,
                         int64_t users_max, uint64_t seed, sg_pool *pool, sg_error *err);
/* Paired comparison of two per-user files: difference of means, bootstrap interval, two-sided p (paired
 * bootstrap, and randomisation test), for recall and NDCG at 5, 10 and 20. */
sg_status sg_eval_compare(json_t **out, const char *path_a, const char *path_b, int resamples, uint64_t seed,
                          sg_error *err);

/* ---- the pieces, also for tests ---- */

/* One user, n relevant items, cut-off k. DCG = sum over hits of 1 / log2(rank + 1). */
typedef struct sg_metric_values {
    double recall;    /* hits / n */
    double hit;       /* 1 when there is one */
    double precision; /* hits / k */
    double ndcg;      /* DCG over the best one n items can reach in k places */
    double mrr;       /* 1 / rank of the first hit */
    double map;       /* sum over hits of precision at the hit, over min(n, k) */
    double f1;        /* 2 hits / (n + k) */
    double ndcg_full; /* DCG over that of k hits, as if there were always enough relevant items */
    double map_all;   /* like map, over n */
} sg_metric_values;
/* rank: of the relevant items, from 1, any order; 0: not found. */
sg_metric_values sg_metrics_ranks(const int32_t *rank, int n, int k);
/* list (n) best first, -1: no item there; relevant (n_relevant): item numbers, each counted once. */
sg_metric_values sg_metrics_list(const int32_t *list, int n, const int32_t *relevant, int n_relevant, int k);

/* Probabilities against what happened. NaN where there is nothing to divide by. */
typedef struct sg_answer_values {
    int64_t n, positives;
    double log_loss; /* mean of -log of the probability given to what happened, probabilities cut at 1e-7 */
    double ne;       /* that over the entropy of the mean label: 1 is always saying the base rate */
    double auc;      /* a positive above a negative, ties half */
    double gauc;     /* AUC inside each user who has both, weighted by the user's answers */
    double calibration; /* sum of probabilities over positives */
} sg_answer_values;
/* p, y (0 or 1), user (n). */
sg_status sg_metrics_answers(sg_answer_values *out, const float *p, const uint8_t *y, const int32_t *user,
                             size_t n, sg_error *err);

/* What all lists together show. */
typedef struct sg_exposure {
    int32_t n_items;
    int n_k;
    const int *k;          /* borrowed, ascending */
    const int64_t *events; /* borrowed (n_items): popularity; NULL: popularity and novelty are 0 */
    const int64_t *users;  /* borrowed (n_items): training users of each item */
    int64_t n_users;
    int64_t *shown;               /* owned (n_k, n_items) */
    double *popularity, *novelty; /* owned (n_k): sums over lists of the list's mean */
    int64_t *lists;               /* owned (n_k): lists that are not empty */
} sg_exposure;
typedef struct sg_exposure_values {
    double coverage;   /* items shown at least once / all items */
    double gini;       /* of how often items are shown, never included: 0 all alike, 1 always the same one */
    double popularity; /* mean over lists of the mean number of training events of an item */
    double novelty;    /* mean over lists of the mean of -log2(share of training users who had the item) */
} sg_exposure_values;
sg_status sg_exposure_init(sg_exposure *e, int32_t n_items, const int *k, int n_k, sg_error *err);
void sg_exposure_fini(sg_exposure *e);
/* One user's list, best first; -1: no item. */
void sg_exposure_add(sg_exposure *e, const int32_t *list, int n);
sg_status sg_exposure_at(sg_exposure_values *out, const sg_exposure *e, int i_k, sg_error *err);

/* Ranks of targets (distinct items) among n scores; false when a score is NaN. A target scored -inf gets
 * rank 0. */
typedef struct sg_rank_target { /* scratch, and the answer */
    int32_t item;
    float score;
    int32_t greater, equal; /* candidates scored above, and the same, itself included */
    int32_t rank;           /* from 1; 0: cannot be recommended */
} sg_rank_target;
typedef struct sg_rank_spec {
    sg_ties ties;
    uint64_t seed, place; /* of random ties */
} sg_rank_spec;
bool sg_rank_all(sg_rank_target *t, int n_target, const float *score, int32_t n, const sg_rank_spec *spec);
/* After sg_rank_all: the same without the items of seen, whose scores become -inf; a target among them
 * gets rank 0. */
void sg_rank_unseen(sg_rank_target *t, int n_target, float *score, const int32_t *seen, int64_t n_seen,
                    const sg_rank_spec *spec);

#endif
