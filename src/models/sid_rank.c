/* sid_rank.c - ranking with semantic IDs as embedding keys.
 *      [Singh et al., RecSys 2024, arXiv:2306.08121; Zheng et al. 2025, arXiv:2504.02137]
 *
 *   v_i      sum over the item's keys of T[key]      (quantize/keys.h; with_item: and a row of its own)
 *   u        mean of v over the latest `history` positive events of the user
 *   p(task)  sigmoid(W_2 SiLU(W_1 [v_i, u, v_i u] + b_1) + b_2), binary cross-entropy
 *
 * A new item has no row that learned, and a hashed one has that of strangers; by its prefixes it has those of its kin. The
 * papers' towers are larger; their other features are not in our data. Every training event is an example, asked with the
 * history before it. */
#include "models/model.h"

#include "base/alloc.h"
#include "math/graph.h"
#include "models/tasks.h"
#include "quantize/keys.h"

#include <math.h>
#include <string.h>

#define SID_RANK_OPTIONS(X)                                                                                  \
    SG_TASK_OPTIONS(X)                                                                                       \
    X(choice, keys, prefix, 0, 0,                                                                            \
      "item|hash|unigrams|tuple|bigrams|prefix|pieces: the rows whose sum is an item's vector")              \
    X(int, depth, 3, 1, 16, "codes of the ID that keys read, from the first on")                             \
    X(int, rows, 4096, 1, 100000000, "rows of the table (keys=item, unigrams: as many as there are keys)")   \
    X(bool, with_item, false, 0, 1, "a row of each item's own beside its keys")                              \
    X(int, dim, 32, 1, 4096, "width of the vectors")                                                         \
    X(int, hidden, 64, 1, 4096, "width inside the head")                                                     \
    X(int, history, 20, 0, 1024, "positive events of the user that are read, the latest (0: none)")          \
    X(float, dropout, 0.1, 0, 0.9, "share of the head's input dropped while training")

typedef struct sid_rank_config {
    SID_RANK_OPTIONS(SG_OPTION_FIELD)
} sid_rank_config;
#define SG_OPTION_STRUCT sid_rank_config
static const sg_option sid_rank_options[] = {SID_RANK_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

enum { MICROBATCH = 512, SCAN = 8 }; /* SCAN: events looked at for each positive one that is wanted */
static const char *const kinds[] = {"item", "hash", "unigrams", "tuple", "bigrams", "prefix", "pieces"};

typedef struct sid_rank {
    sg_param *table; /* (rows of keys [+ n_items], dim) */
    sg_param *inner, *inner_bias, *out,
        *bias;                             /* (hidden, dim or 3 dim), (hidden), (tasks, hidden), (tasks) */
    int32_t size[SG_CATALOGUE_LEVELS_MAX]; /* codes of the levels */
    int each;                              /* rows of an item */
    const int32_t *key;                    /* (n_items, each), -1: none; of the model's arrays */
    const sg_dataset *data;                /* training */
    int64_t *event;                        /* owned (examples) */
    int32_t *user;                         /* owned (examples) */
} sid_rank;

static sg_tasks tasks_of(const sg_model *m)
{
    const sid_rank_config *c = m->config;

    return SG_TASKS_OF(c);
}

static sg_keys_spec keys_of(const sg_model *m, const int64_t *times)
{
    const sid_rank_config *c = m->config;
    sid_rank *state = m->state;
    sg_keys_spec s = {.n = m->n_items,
                      .codes = m->codes,
                      .size = state->size,
                      .levels = sg_catalogue_levels(m->catalogue),
                      .depth = c->depth,
                      .rows = c->rows,
                      .times = times};

    for (int l = 0; l < s.levels; l++)
        state->size[l] = sg_catalogue_size(m->catalogue, l);
    for (int i = 0; i < (int)(sizeof kinds / sizeof *kinds); i++)
        if (!strcmp(c->keys, kinds[i]))
            s.kind = (sg_keys_kind)i;
    return s;
}

static sg_status sid_rank_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const sid_rank_config *c = m->config;
    sid_rank *s = m->state;
    sg_params *ps = &m->params;
    const sg_keys_spec keys = keys_of(m, NULL);
    const int tasks = sg_tasks_count(SG_TASKS_OF(c));
    const sg_status st = sg_tasks_check_goal(SG_TASKS_OF(c), c->goal, "sid-rank", err);

    if (st)
        return st;
    if (c->depth > keys.levels)
        return sg_fail(err, SG_ERR_USAGE, "depth: expected at most the %d codes of an ID, found %d",
                       keys.levels, c->depth);
    const int64_t rows = sg_keys_rows(&keys) + (c->with_item ? m->n_items : 0);
    if (rows > INT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "rows: expected a table of at most %d rows, found %lld", INT32_MAX,
                       (long long)rows);
    s->each = sg_keys_each(&keys) + c->with_item;
    s->table = sg_param_add(ps, seed, SG_INIT_NORMAL, 0.1f / sqrtf((float)s->each), SG_PARAM_SPARSE,
                            (int)rows, c->dim, "key.weight");
    s->inner = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->hidden,
                            c->history ? 3 * c->dim : c->dim, "head.inner.weight");
    s->inner_bias =
        sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->hidden, 0, "head.inner.bias");
    s->out = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, tasks, c->hidden, "head.out.weight");
    s->bias = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, tasks, 0, "head.out.bias");
    return SG_OK;
}

/* Keys depend on what was shown in training: they are kept with the model. */
static sg_status sid_rank_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const sid_rank_config *c = m->config;
    sid_rank *s = m->state;
    const size_t n = (size_t)m->n_items, each = (size_t)s->each;
    const uint64_t dim[] = {n, each};
    int64_t *times = sg_alloc_zero(n + 1, sizeof *times);
    int32_t *key = sg_alloc_array(n, each * sizeof *key), *row = sg_alloc_array(n, each * sizeof *row);
    const sg_keys_spec spec = keys_of(m, times);
    const int own = sg_keys_each(&spec);
    sg_status st = times && key && row ? SG_OK : sg_fail_memory(err, "keys of items");

    for (int32_t u = 0; !st && u < t->data->n_users; u++)
        for (int64_t e = t->data->user_offsets[u]; e < t->split->train_end[u]; e++)
            times[t->data->item[e]]++;
    if (!st)
        st = sg_keys_make(row, &spec, err);
    for (size_t i = 0; !st && i < n; i++) {
        memcpy(key + i * each, row + i * (size_t)own, (size_t)own * sizeof *key);
        if (c->with_item)
            key[i * each + each - 1] = (int32_t)(sg_keys_rows(&spec) + (int64_t)i);
    }
    sg_free(times);
    sg_free(row);
    if (st)
        sg_free(key);
    return st ? st : sg_model_array_put(m, "key", SG_DT_I32, 2, dim, key, err);
}

static sg_status sid_rank_ready(sg_model *m, sg_error *err)
{
    sid_rank *s = m->state;
    const sg_model_array *a;
    const sg_status st =
        sg_model_array_need(&a, m, "key", SG_DT_I32, 2, (int64_t[]){m->n_items, s->each}, err);

    if (st)
        return st;
    s->key = a->data;
    for (size_t i = 0; i < a->count; i++)
        if (s->key[i] < -1 || s->key[i] >= s->table->dim[0])
            return sg_fail(err, SG_ERR_FORMAT, "sid-rank: array 'key': expected rows from -1 to %d, found %d",
                           s->table->dim[0] - 1, (int)s->key[i]);
    return SG_OK;
}

static void sid_rank_fini(sg_model *m)
{
    sid_rank *s = m->state;

    sg_free(s->event);
    sg_free(s->user);
}

/* ---- forward ------------------------------------------------------------------------------------------ */

/* (n, dim) vectors of items */
static sg_tensor *vectors(sg_graph *g, const sid_rank *s, const int32_t *item, int n)
{
    const size_t each = (size_t)s->each;
    int32_t *key = sg_scratch(g, (size_t)n * each, sizeof *key);

    if (!key)
        return NULL;
    for (size_t i = 0; i < (size_t)n; i++)
        memcpy(key + i * each, s->key + (size_t)item[i] * each, each * sizeof *key);
    return sg_embed_bag(g, s->table, key, n, s->each);
}

/* Logits (rows, tasks) of items v met by users u, both (rows, dim); u NULL: without histories. */
static sg_tensor *logits(sg_graph *g, const sid_rank *s, sg_tensor *v, sg_tensor *u, float dropout)
{
    sg_tensor *x = u ? sg_concat_cols(g, (sg_tensor *[]){v, u, sg_times(g, v, u)}, 3) : v;

    return sg_linear(g, sg_linear_act(g, sg_dropout(g, x, dropout), s->inner, s->inner_bias, SG_SILU, 0),
                     s->out, s->bias);
}

/* ---- training ----------------------------------------------------------------------------------------- */

static sg_status sid_rank_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const sid_rank_config *c = m->config;
    const sg_dataset *d = t->data;
    sid_rank *s = m->state;
    sg_status st = sg_tasks_check_data(SG_TASKS_OF(c), d, "sid-rank", err);

    *n = 0;
    if (st || (st = sid_rank_ready(m, err)))
        return st;
    s->data = d;
    for (int32_t u = 0; u < d->n_users; u++)
        *n += (size_t)(t->split->train_end[u] - d->user_offsets[u]);
    s->event = sg_alloc_array(*n + 1, sizeof *s->event);
    s->user = sg_alloc_array(*n + 1, sizeof *s->user);
    if (!s->event || !s->user)
        return sg_fail_memory(err, "training events");
    size_t at = 0;
    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < t->split->train_end[u]; e++) {
            s->event[at] = e;
            s->user[at++] = u;
        }
    return SG_OK;
}

/* The latest positive events of begin .. end - 1, at most `most`, into item; the latest first. */
static int positives(int32_t *item, int most, const sg_dataset *d, sg_tasks tasks, int goal, int64_t begin,
                     int64_t end)
{
    int n = 0;

    for (int64_t e = end - 1; e >= begin && n < most && end - e <= (int64_t)most * SCAN; e--)
        if (sg_task_label(tasks, d, e, goal) != 0)
            item[n++] = d->item[e];
    return n;
}

static sg_tensor *sid_rank_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                                uint64_t step)
{
    const sid_rank_config *c = m->config;
    const sid_rank *s = m->state;
    const sg_dataset *d = s->data;
    const sg_tasks tasks = SG_TASKS_OF(c);
    const size_t n_tasks = (size_t)sg_tasks_count(tasks);
    int32_t *item = sg_scratch(g, (size_t)n, sizeof *item),
            *offsets = sg_scratch(g, (size_t)n + 1, sizeof *offsets);
    int32_t *past = sg_scratch(g, (size_t)n * (size_t)c->history + 1, sizeof *past);
    float *y = sg_scratch(g, (size_t)n, n_tasks * sizeof *y);
    int total = 0;

    (void)seed;
    (void)step;
    if (!item || !offsets || !past || !y)
        return NULL;
    for (int i = 0; i < n; i++) {
        const int64_t e = s->event[example[i]];

        item[i] = d->item[e];
        offsets[i] = total;
        total +=
            positives(past + total, c->history, d, tasks, c->goal, d->user_offsets[s->user[example[i]]], e);
        for (size_t t = 0; t < n_tasks; t++)
            y[(size_t)i * n_tasks + t] = (float)(sg_task_label(tasks, d, e, (int)t) == 1);
    }
    offsets[n] = total;
    return sg_bce_logits(
        g,
        logits(g, s, vectors(g, s, item, n),
               c->history ? sg_segment_mean(g, vectors(g, s, past, total), offsets, n) : NULL,
               (float)c->dropout),
        y, NULL);
}

/* ---- asking ------------------------------------------------------------------------------------------- */

/* Items of history i that count, the latest first. */
static int past_of(int32_t *item, const sid_rank_config *c, const sg_histories *h, int i)
{
    const sg_dataset d = {.item = h->item, .action = h->action, .rating = h->rating};

    return positives(item, c->history, &d, SG_TASKS_OF(c), c->goal, h->offsets[i], h->offsets[i + 1]);
}

/* Logits of n items after history i, in the graph until its next begin. */
static sg_tensor *ask(sg_session *session, const sg_histories *h, int i, const int32_t *item, int n)
{
    const sid_rank_config *c = session->model->config;
    const sid_rank *s = session->model->state;
    sg_graph *g = session->graph;
    sg_tensor *u = NULL;

    sg_graph_begin(g, SG_INFER, 0, 0);
    if (c->history) {
        int32_t *past = sg_scratch(g, (size_t)c->history, sizeof *past),
                *same = sg_scratch(g, (size_t)n, sizeof *same);

        if (!past || !same)
            return NULL;
        const int32_t offsets[] = {0, past_of(past, c, h, i)};
        memset(same, 0, (size_t)n * sizeof *same);
        u = sg_rows(g, sg_segment_mean(g, vectors(g, s, past, offsets[1]), offsets, 1), same, n);
    }
    return logits(g, s, vectors(g, s, item, n), u, 0);
}

static sg_status sid_rank_rank(sg_session *session, const sg_histories *h, const int32_t *item, int n,
                               float *p, sg_error *err)
{
    const size_t tasks = (size_t)sg_tasks_count(tasks_of(session->model));

    for (int first = 0; first < n; first += MICROBATCH) {
        const int some = n - first < MICROBATCH ? n - first : MICROBATCH;
        const sg_tensor *y = ask(session, h, 0, item + first, some);
        const sg_status st = sg_graph_status(session->graph, err);

        if (st)
            return st;
        for (size_t j = 0; j < (size_t)some * tasks; j++)
            p[(size_t)first * tasks + j] = 1 / (1 + expf(-y->data[j]));
    }
    return SG_OK;
}

/* Logits of task `goal`. */
static sg_status sid_rank_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sid_rank_config *c = session->model->config;
    const int32_t n_items = session->model->n_items;
    const size_t tasks = (size_t)sg_tasks_count(SG_TASKS_OF(c));
    int32_t item[MICROBATCH];

    for (int i = 0; i < h->n; i++, scores += n_items)
        for (int32_t first = 0; first < n_items; first += MICROBATCH) {
            const int n = n_items - first < MICROBATCH ? n_items - first : MICROBATCH;

            for (int j = 0; j < n; j++)
                item[j] = first + j;
            const sg_tensor *y = ask(session, h, i, item, n);
            const sg_status st = sg_graph_status(session->graph, err);

            if (st)
                return st;
            for (int j = 0; j < n; j++)
                scores[first + j] = y->data[(size_t)j * tasks + (size_t)c->goal];
        }
    return SG_OK;
}

static int sid_rank_tasks(const sg_model *m)
{
    return sg_tasks_count(tasks_of(m));
}

static int sid_rank_goal(const sg_model *m)
{
    const sid_rank_config *c = m->config;

    return c->goal;
}

static void sid_rank_task_name(const sg_model *m, const sg_dataset *d, int task, char *text, size_t bytes)
{
    sg_task_name(tasks_of(m), d, task, text, bytes);
}

static int sid_rank_label(const sg_model *m, const sg_dataset *d, int64_t e, int task)
{
    return sg_task_label(tasks_of(m), d, e, task);
}

const sg_model_class sg_model_sid_rank = {
    .name = "sid-rank",
    .summary = "ranks candidates: semantic IDs as keys of the embedding table, so that new items start from "
               "their kin",
    .paper = "Singh et al., RecSys 2024, arXiv:2306.08121; Zheng et al. 2025, arXiv:2504.02137",
    .options = sid_rank_options,
    .n_options = sizeof sid_rank_options / sizeof *sid_rank_options,
    .config_bytes = sizeof(sid_rank_config),
    .state_bytes = sizeof(sid_rank),
    .needs_ids = true,
    .weights = sid_rank_weights,
    .init = sid_rank_init,
    .ready = sid_rank_ready,
    .fini = sid_rank_fini,
    .examples = sid_rank_examples,
    .loss = sid_rank_loss,
    .score = sid_rank_score,
    .rank = sid_rank_rank,
    .tasks = sid_rank_tasks,
    .goal = sid_rank_goal,
    .task_name = sid_rank_task_name,
    .label = sid_rank_label,
};
