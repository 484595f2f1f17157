/* counts.h - what the floors and star count: popularity, sparse rows of item-item sums built in parallel. */
#ifndef SG_MODELS_COUNTS_H
#define SG_MODELS_COUNTS_H

#include "models/model.h"

/* Events per item: those of training, or all of them. count (n_items) is owned by the caller. */
sg_status sg_count_items(int64_t **count, const sg_train_data *t, bool all, sg_error *err);

/* *share (n_items) = count_j / (1 + largest count), below 1, from the model's array "count"; a buffer that
 * is already there is used again. Owned by the caller, also on failure. */
sg_status sg_popularity_need(float **share, const sg_model *m, sg_error *err);

/* A row being summed: sum (n) is 0 but at the n_touched items of touched, where it is positive. One a
 * thread. */
typedef struct sg_accumulator {
    float *sum;
    int32_t *touched, *scratch;
    int32_t n_touched;
    int thread; /* for scratch of the caller's own */
} sg_accumulator;
static inline void sg_accumulate(sg_accumulator *a, int32_t item, float value) /* value > 0 */
{
    if (a->sum[item] == 0)
        a->touched[a->n_touched++] = item;
    a->sum[item] += value;
}

/* Rows of (item, value), items ascending. */
typedef struct sg_sparse {
    int32_t n;
    const int64_t *offsets; /* (n + 1) */
    const int32_t *index;
    const float *value;
} sg_sparse;

/* row(ctx, i, a) sums row i into a. A thread gets runs of SG_SPARSE_RUN rows that begin at multiples of
 * it. Of each row the `top` largest are kept (0: all; ties: lower item) and put into the model as arrays
 * NAME.offsets, NAME.index, NAME.value. Same bytes for any number of threads. */
enum { SG_SPARSE_RUN = 64 };
typedef void sg_sparse_row(void *ctx, int32_t i, sg_accumulator *a);
sg_status sg_sparse_build(sg_model *m, const char *name, int32_t top, sg_sparse_row *row, void *ctx,
                          sg_pool *pool, sg_error *err);
/* Finds those arrays again and checks every offset and item number. */
sg_status sg_sparse_need(sg_sparse *out, const sg_model *m, const char *name, sg_error *err);

/* How the models above this file score: share (n_items), plus `weight` times the rows of the `latest` last
 * events of the history, the last one times 1, each earlier one times `decay` of the one after it; `mean`:
 * divided by how many there were. */
typedef struct sg_sparse_vote {
    const float *share;    /* NULL: what is in scores already */
    const sg_sparse *rows; /* NULL: share alone */
    double weight;
    int64_t latest;
    double decay;
    bool mean;
} sg_sparse_vote;
sg_status sg_sparse_score(sg_session *s, const sg_histories *h, const sg_sparse_vote *vote, float *scores);

/* Which events hold an item: event numbers begin..end of item i, ascending. */
typedef struct sg_places {
    int64_t *offsets; /* owned (n_items + 1) */
    int64_t *event;   /* owned */
    int32_t *user;    /* owned, of each event */
} sg_places;
/* end (n_users): events user_offsets[u] .. end[u] of user u count. */
sg_status sg_places_new(sg_places *out, const sg_dataset *d, const int64_t *end, sg_error *err);
void sg_places_free(sg_places *p);

#endif
