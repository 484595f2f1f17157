/* retrieval.h - ranked documents for the queries of a collection: read from a TREC run or made by a model, and measured.
 *
 * As trec_eval does it: documents stand by falling score (f32), equal scores by falling document id; what the run says about ranks
 * is not read. Means are over all queries of the split with a relevant document; a query without a list counts 0.
 *
 *   ndcg@k     sum over the first k of grade / log2(rank + 1), over the best that the judged grades can reach in k places;
 *              grades below 0 count as 0
 *   recall@k   relevant ones among the first k, over all relevant ones
 *   mrr@k      1 / rank of the first relevant one among the first k
 *   hits@k     1 when there is one */
#ifndef SG_EVAL_RETRIEVAL_H
#define SG_EVAL_RETRIEVAL_H

#include "data/collection.h"
#include "eval/eval.h"

/* Lists by number of query; a query without a list has none. */
typedef struct sg_run {
    int32_t n_queries;
    int64_t *offsets;  /* owned (n_queries + 1) */
    int32_t *doc;      /* owned: best first */
    float *score;      /* owned */
    int64_t n_invalid; /* places of a list that a model left empty */
} sg_run;

typedef struct sg_retrieval_values {
    double ndcg, recall, mrr, hits;
} sg_retrieval_values;

/* QUERY Q0 DOC RANK SCORE TAG. Unknown queries and documents, and a document that stands twice for a query, are errors. d: its index
 * of items is built. */
sg_status sg_run_read(sg_run *out, sg_dataset *d, const sg_collection *c, const char *path, sg_error *err);
/* The first k documents of the class's role retrieve for the queries that the split asks. Of spec users_max (a pseudo-random subset
 * of about so many; 0: all), beam and free are read. */
sg_status sg_run_make(sg_run *out, const sg_model *m, const sg_collection *c, sg_collection_split split,
                      const sg_eval_spec *spec, int k, sg_pool *pool, const sg_progress *progress,
                      sg_error *err);
sg_status sg_run_write(const sg_run *r, const sg_dataset *d, const sg_collection *c, const char *path,
                       const char *tag, sg_error *err);
void sg_run_free(sg_run *r); /* a zeroed one is fine */

/* One query at cut-off k. */
sg_retrieval_values sg_run_query(const sg_run *r, const sg_collection *c, sg_collection_split split,
                                 int32_t query, int k);
/* *out = {"ndcg@10": ...}; every query of the split is asked, or only those with a list. */
sg_status sg_run_measure(json_t **out, const sg_run *r, const sg_collection *c, sg_collection_split split,
                         const int *k, int n_k, sg_error *err);

/* What model selection goes by: ndcg@10 and recall@10 of (a subset of) the dev queries. */
sg_status sg_retrieval_select(double value[2], const sg_model *m, const sg_train_data *t, int64_t queries_max,
                              sg_pool *pool, sg_error *err);
/* {"retrieval": {"ndcg@10": ...}, "receipt": {...}}. path: of a run of another system, or NULL: m answers. */
sg_status sg_eval_retrieval(json_t **out, const sg_model *m, const char *path, const sg_train_data *t,
                            const sg_eval_spec *spec, sg_pool *pool, const sg_progress *progress,
                            sg_error *err);

#endif
