/* itemknn.c - items seen near the latest ones: score(j) = sum over the last `last` items i of c_ij /
 * sqrt(n_i n_j) + pop * count_j / (1 + largest count).
 *
 * c_ij: pairs of training events of one user at a distance of at most `window`, in either order (i = j:
 * each pair once); n_i: training events of item i. */
#include "models/counts.h"

#include "base/alloc.h"

#include <math.h>
#include <string.h>

#define ITEMKNN_OPTIONS(X)                                                                                   \
    X(int, last, 10, 1, 1000000, "events of the history that vote, the latest")                              \
    X(int, window, 10, 1, 1000000, "events of one user at most this far apart are a pair")                   \
    X(int, neighbours, 0, 0, 1000000, "neighbours kept an item, the nearest (0: all)")                       \
    X(float, pop, 0.0001, 0, 1000000, "weight of popularity, which breaks ties")

typedef struct itemknn_config {
    ITEMKNN_OPTIONS(SG_OPTION_FIELD)
} itemknn_config;
#define SG_OPTION_STRUCT itemknn_config
static const sg_option itemknn_options[] = {ITEMKNN_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct itemknn {
    float *share; /* owned (n_items): popularity times `pop` */
    sg_sparse near;
} itemknn;

typedef struct pair_ctx {
    const sg_dataset *data;
    const sg_split *split;
    const sg_places *places;
    int64_t window;
    const int64_t *count;
} pair_ctx;

static void count_pairs(void *ctx, int32_t i, sg_accumulator *a)
{
    const pair_ctx *p = ctx;

    for (int64_t at = p->places->offsets[i]; at < p->places->offsets[i + 1]; at++) {
        const int64_t e = p->places->event[at];
        const int32_t u = p->places->user[at];
        const int64_t begin = p->data->user_offsets[u], end = p->split->train_end[u];

        for (int64_t x = e - begin > p->window ? e - p->window : begin; x < e; x++)
            if (p->data->item[x] != i)
                sg_accumulate(a, p->data->item[x], 1);
        for (int64_t x = e + 1; x < end && x - e <= p->window; x++)
            sg_accumulate(a, p->data->item[x], 1);
    }
    for (int32_t k = 0; k < a->n_touched; k++) {
        const int32_t j = a->touched[k];

        a->sum[j] = (float)((double)a->sum[j] / sqrt((double)p->count[i] * (double)p->count[j]));
    }
}

static sg_status itemknn_fit(sg_model *m, const sg_train_data *t, sg_pool *pool, const sg_progress *progress,
                             sg_error *err)
{
    const itemknn_config *c = m->config;
    const uint64_t dim = (uint64_t)m->n_items;
    sg_places places;
    int64_t *count;
    sg_status st;

    if ((st = sg_count_items(&count, t, false, err)) ||
        (st = sg_model_array_put(m, "count", SG_DT_I64, 1, &dim, count, err)) ||
        (st = sg_places_new(&places, t->data, t->split->train_end, err)))
        return st;
    st = sg_sparse_build(m, "near", c->neighbours, count_pairs,
                         &(pair_ctx){t->data, t->split, &places, c->window, count}, pool, err);
    sg_places_free(&places);
    return st;
}

static sg_status itemknn_ready(sg_model *m, sg_error *err)
{
    const itemknn_config *c = m->config;
    itemknn *s = m->state;
    sg_status st;

    if ((st = sg_popularity_need(&s->share, m, err)))
        return st;
    for (int32_t i = 0; i < m->n_items; i++)
        s->share[i] *= (float)c->pop;
    return sg_sparse_need(&s->near, m, "near", err);
}

static void itemknn_fini(sg_model *m)
{
    sg_free(((itemknn *)m->state)->share);
}

static sg_status itemknn_score(sg_session *s, const sg_histories *h, float *scores, sg_error *err)
{
    const itemknn_config *c = s->model->config;
    const itemknn *knn = s->model->state;
    const sg_sparse_vote vote = {
        .share = knn->share, .rows = &knn->near, .latest = c->last, .decay = 1, .weight = 1};

    return sg_sparse_score(s, h, &vote, scores);
}

const sg_model_class sg_model_itemknn = {
    .name = "itemknn",
    .summary = "items seen near the latest ones of the history",
    .paper = "Sarwar et al., WWW 2001, with a window",
    .options = itemknn_options,
    .n_options = sizeof itemknn_options / sizeof *itemknn_options,
    .config_bytes = sizeof(itemknn_config),
    .state_bytes = sizeof(itemknn),
    .fit = itemknn_fit,
    .ready = itemknn_ready,
    .fini = itemknn_fini,
    .score = itemknn_score,
};
