/* markov1.c - a first-order Markov chain: score(j) = count(last item -> j) + count_j / (1 + largest
 * count).
 *
 * Counts are of neighbouring training events. On review data, where people review a day's purchases
 * together, this floor beats several published neural rows: no table should be without it. */
#include "models/counts.h"

#include "base/alloc.h"

#define MARKOV1_OPTIONS(X)                                                                                   \
    X(int, neighbours, 0, 0, 1000000, "followers kept an item, the most frequent (0: all)")

typedef struct markov1_config {
    MARKOV1_OPTIONS(SG_OPTION_FIELD)
} markov1_config;
#define SG_OPTION_STRUCT markov1_config
static const sg_option markov1_options[] = {MARKOV1_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct markov1 {
    float *share; /* owned (n_items): popularity */
    sg_sparse next;
} markov1;

typedef struct follow_ctx {
    const sg_dataset *data;
    const sg_split *split;
    const sg_places *places;
} follow_ctx;

static void count_followers(void *ctx, int32_t i, sg_accumulator *a)
{
    const follow_ctx *f = ctx;

    for (int64_t p = f->places->offsets[i]; p < f->places->offsets[i + 1]; p++) {
        const int64_t next = f->places->event[p] + 1;

        if (next < f->split->train_end[f->places->user[p]])
            sg_accumulate(a, f->data->item[next], 1);
    }
}

static sg_status markov1_fit(sg_model *m, const sg_train_data *t, sg_pool *pool, const sg_progress *progress,
                             sg_error *err)
{
    const markov1_config *c = m->config;
    const uint64_t dim = (uint64_t)m->n_items;
    sg_places places;
    int64_t *count;
    sg_status st;

    if ((st = sg_count_items(&count, t, false, err)) ||
        (st = sg_model_array_put(m, "count", SG_DT_I64, 1, &dim, count, err)) ||
        (st = sg_places_new(&places, t->data, t->split->train_end, err)))
        return st;
    st = sg_sparse_build(m, "next", c->neighbours, count_followers, &(follow_ctx){t->data, t->split, &places},
                         pool, err);
    sg_places_free(&places);
    return st;
}

static sg_status markov1_ready(sg_model *m, sg_error *err)
{
    markov1 *s = m->state;
    sg_status st;

    if ((st = sg_popularity_need(&s->share, m, err)))
        return st;
    return sg_sparse_need(&s->next, m, "next", err);
}

static void markov1_fini(sg_model *m)
{
    sg_free(((markov1 *)m->state)->share);
}

static sg_status markov1_score(sg_session *s, const sg_histories *h, float *scores, sg_error *err)
{
    const markov1 *c = s->model->state;

    return sg_sparse_score(
        s, h, &(sg_sparse_vote){.share = c->share, .rows = &c->next, .latest = 1, .decay = 1, .weight = 1},
        scores);
}

const sg_model_class sg_model_markov1 = {
    .name = "markov1",
    .summary = "what most often followed the last item",
    .paper = "first-order Markov chain baseline",
    .options = markov1_options,
    .n_options = sizeof markov1_options / sizeof *markov1_options,
    .config_bytes = sizeof(markov1_config),
    .state_bytes = sizeof(markov1),
    .fit = markov1_fit,
    .ready = markov1_ready,
    .fini = markov1_fini,
    .score = markov1_score,
};
