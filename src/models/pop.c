/* pop.c - the most popular items, the same for everybody: score(j) = count_j / (1 + largest count).
 *
 * counts=train counts training events. counts=all counts every event of the dataset, targets included:
 * that is how the PopRec rows of S3-Rec were made (CIKM 2020, and the papers that quote them), and what
 * their figures can be checked with; it is a leak in any honest comparison. */
#include "models/counts.h"

#include "base/alloc.h"

#include <string.h>

#define POP_OPTIONS(X)                                                                                       \
    X(choice, counts, train, 0, 0, "train|all: which events count; all includes the targets (a leak)")

typedef struct pop_config {
    POP_OPTIONS(SG_OPTION_FIELD)
} pop_config;
#define SG_OPTION_STRUCT pop_config
static const sg_option pop_options[] = {POP_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct pop {
    float *share; /* owned (n_items) */
} pop;

static sg_status pop_fit(sg_model *m, const sg_train_data *t, sg_pool *pool, const sg_progress *progress,
                         sg_error *err)
{
    const pop_config *c = m->config;
    const uint64_t dim = (uint64_t)m->n_items;
    int64_t *count;
    sg_status st;

    if ((st = sg_count_items(&count, t, strcmp(c->counts, "all") == 0, err)))
        return st;
    return sg_model_array_put(m, "count", SG_DT_I64, 1, &dim, count, err);
}

static sg_status pop_ready(sg_model *m, sg_error *err)
{
    return sg_popularity_need(&((pop *)m->state)->share, m, err);
}

static void pop_fini(sg_model *m)
{
    sg_free(((pop *)m->state)->share);
}

static sg_status pop_score(sg_session *s, const sg_histories *h, float *scores, sg_error *err)
{
    const pop *p = s->model->state;

    return sg_sparse_score(s, h, &(sg_sparse_vote){.share = p->share}, scores);
}

const sg_model_class sg_model_pop = {
    .name = "pop",
    .summary = "the most popular items, the same for everybody",
    .paper = "popularity baseline",
    .options = pop_options,
    .n_options = sizeof pop_options / sizeof *pop_options,
    .config_bytes = sizeof(pop_config),
    .state_bytes = sizeof(pop),
    .fit = pop_fit,
    .ready = pop_ready,
    .fini = pop_fini,
    .score = pop_score,
};
