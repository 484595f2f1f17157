/* reward.c - a judge of slates.   [OneRec: Deng et al. 2025, arXiv:2502.18965, section 3.3]
 *
 *   u        state of a causal transformer after the user's latest events: item, rating, action and place of each
 *   e_i      v_i * W u                       the item as this user sees it
 *   r(task)  W2 SiLU(W1 sum_i h_i + b1) + b2, h = self-attention over the items of the slate, one tower a task
 *   loss     binary cross-entropy against the slate's share of each task, all tasks alike
 *
 * Tasks: "value", the rating on a scale from `worst` to `best` (what watch time is to videos); "liked", a rating of at least `like`; then
 * one an action. Without ratings=true the actions alone. Examples are the runs of events of a user; after each event begin two
 * slates, the next `items` events and the next one alone, so that single items are judged, too (role rank).
 * `hold` of the users teach nothing: on their slates it is measured how far the judge can be trusted.
 * Where we differ: the paper's towers are session watch time, view, follow and like; ours are what the data has. */
#include "models/reward.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "models/content.h"
#include "models/tasks.h"
#include "nn/transformer.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REWARD_OPTIONS(X)                                                                                    \
    X(int, dim, 64, 4, 4096, "width of item vectors and states")                                             \
    X(int, layers, 1, 1, 64, "blocks over the history")                                                      \
    X(int, heads, 2, 1, 64, "attention heads; a divisor of dim")                                             \
    X(int, hidden, 64, 1, 4096, "width inside the towers")                                                   \
    X(int, history, 20, 1, 2048, "events of the history that are read, the latest")                          \
    X(int, items, 5, 1, 64, "items of a slate")                                                              \
    X(bool, ratings, true, 0, 1, "tasks value and liked, from ratings")                                      \
    X(float, worst, 1, -1000000, 1000000, "rating that is worth nothing")                                    \
    X(float, best, 5, -1000000, 1000000, "rating that is worth 1")                                           \
    X(float, like, 4, -1000000, 1000000, "liked is a rating from here on")                                   \
    X(int, actions, 0, 0, 1024, "tasks of actions: how many actions there are (0: none is read)")            \
    X(int, goal, 0, 0, 1025, "the task that slates are judged by")                                           \
    X(float, hold, 0.1, 0, 0.9, "share of users kept out of training, to measure how often it is right")     \
    X(float, item_sd, 0.1, 0, 10, "standard deviation of item vectors at the start")                         \
    X(float, content, 0, 0, 10,                                                                              \
      "item vectors start from the data's item vectors, of this spread, too (0: they do not)")               \
    X(float, dropout, 0.2, 0, 0.9, "share of activations dropped while training")

typedef struct reward_config {
    REWARD_OPTIONS(SG_OPTION_FIELD)
} reward_config;
#define SG_OPTION_STRUCT reward_config
static const sg_option reward_options[] = {REWARD_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

enum { RATINGS = 21, SLATES = 512, TRUST_MOST = 4096 }; /* ratings 0, 0.5, ... 10 */
static const float EPS = 1e-6f;

typedef struct run {
    int32_t user;
    int64_t begin, first, last; /* events read from begin on; slates begin at first .. last */
} run;

typedef struct reward {
    sg_param *item, *start, *rating, *action,
        *place;           /* (n_items, dim), (1, dim), (RATINGS, dim), (actions, dim), (history + 1, dim) */
    sg_param *view;       /* (dim, dim) W */
    sg_tower past, among; /* over the history, over the slate */
    sg_param *inner, *inner_bias, *out,
        *bias;              /* (tasks hidden, dim), (tasks hidden), (tasks, hidden), (tasks) */
    const sg_dataset *data; /* training: borrowed */
    int64_t *train_end;     /* borrowed: the split's */
    run *runs;              /* owned */
} reward;

/* ---- tasks --------------------------------------------------------------------------------------------- */

static int rated(const reward_config *c)
{
    return c->ratings ? 2 : 0;
}

static int reward_tasks(const sg_model *m)
{
    const reward_config *c = m->config;

    return rated(c) + c->actions;
}

static int reward_goal(const sg_model *m)
{
    const reward_config *c = m->config;

    return c->goal;
}

static void reward_task_name(const sg_model *m, const sg_dataset *d, int task, char *text, size_t bytes)
{
    const reward_config *c = m->config;

    if (task < rated(c))
        snprintf(text, bytes, "%s", task ? "liked" : "value");
    else
        sg_task_name((sg_tasks){false, c->like, c->actions}, d, task - rated(c), text, bytes);
}

/* The order that the value gives is measured by what was liked. */
static int reward_label(const sg_model *m, const sg_dataset *d, int64_t e, int task)
{
    const reward_config *c = m->config;

    return sg_task_label((sg_tasks){task < rated(c), c->like, c->actions}, d, e, task - rated(c));
}

/* What event e is worth in a task, 0 to 1. */
static double worth(const reward_config *c, const sg_dataset *d, int64_t e, int task)
{
    if (task >= rated(c))
        return d->action[e] == task - rated(c);
    if (task == 1)
        return (double)d->rating[e] >= c->like;
    return fmin(fmax(((double)d->rating[e] - c->worst) / (c->best - c->worst), 0), 1);
}

/* ---- weights ------------------------------------------------------------------------------------------- */

static sg_status reward_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const reward_config *c = m->config;
    reward *s = m->state;
    sg_params *ps = &m->params;
    const int tasks = reward_tasks(m);
    const float sd = 1 / sqrtf((float)c->dim);
    const sg_block_spec block = {
        .dim = c->dim, .heads = c->heads, .ffn = 2 * c->dim, .act = SG_GELU, .bias = true, .eps = EPS};
    sg_status st;

    if (tasks == 0)
        return sg_fail(err, SG_ERR_USAGE,
                       "onerec-reward: nothing to learn: expected ratings=true or actions above 0");
    if (c->goal >= tasks)
        return sg_fail(err, SG_ERR_USAGE, "onerec-reward: goal: expected a task from 0 to %d, found %d",
                       tasks - 1, c->goal);
    if (c->ratings && !(c->best > c->worst))
        return sg_fail(err, SG_ERR_USAGE, "onerec-reward: best: expected a rating above worst=%g, found %g",
                       c->worst, c->best);
    s->item = sg_param_add(ps, seed, SG_INIT_NORMAL, (float)c->item_sd, SG_PARAM_SPARSE, m->n_items, c->dim,
                           "item.weight");
    s->start = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, SG_PARAM_NO_DECAY, 1, c->dim, "start.weight");
    if (c->ratings)
        s->rating = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, RATINGS, c->dim, "rating.weight");
    if (c->actions)
        s->action = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, c->actions, c->dim, "action.weight");
    s->place = sg_param_add(ps, seed, SG_INIT_NORMAL, sd, 0, c->history + 1, c->dim, "place.weight");
    s->view = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->dim, c->dim, "view.weight");
    if ((st = sg_tower_declare(&s->past, ps, seed, c->layers, &block, "past.", err)) ||
        (st = sg_tower_declare(&s->among, ps, seed, 1, &block, "among.", err)))
        return st;
    s->inner =
        sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, tasks * c->hidden, c->dim, "tower.inner.weight");
    s->inner_bias =
        sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, tasks * c->hidden, 0, "tower.inner.bias");
    s->out = sg_param_add(ps, seed, SG_INIT_NORMAL, 1 / sqrtf((float)c->hidden), 0, tasks, c->hidden,
                          "tower.out.weight");
    s->bias = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, tasks, 0, "tower.out.bias");
    return SG_OK;
}

static sg_status reward_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const reward_config *c = m->config;
    reward *s = m->state;

    return c->content > 0 ? sg_content_add(s->item, t, c->content, err) : SG_OK;
}

static void reward_fini(sg_model *m)
{
    reward *s = m->state;

    sg_tower_free(&s->past);
    sg_tower_free(&s->among);
    sg_free(s->runs);
}

/* ---- forward ------------------------------------------------------------------------------------------- */

/* Events of one sequence each, behind a token that stands for the user before them. */
typedef struct events {
    int n, tokens;
    int32_t *offsets;                                /* (n + 1) */
    int32_t *item, *start, *rating, *action, *place; /* (tokens) rows, -1: none */
} events;

static bool take_events(events *b, sg_graph *g, int n, size_t tokens)
{
    *b = (events){.n = n,
                  .offsets = sg_scratch(g, (size_t)n + 1, sizeof *b->offsets),
                  .item = sg_scratch(g, tokens, sizeof *b->item),
                  .start = sg_scratch(g, tokens, sizeof *b->start),
                  .rating = sg_scratch(g, tokens, sizeof *b->rating),
                  .action = sg_scratch(g, tokens, sizeof *b->action),
                  .place = sg_scratch(g, tokens, sizeof *b->place)};
    return b->offsets && b->item && b->start && b->rating && b->action && b->place;
}

/* Sequence i: events first .. first + n - 1 of the arrays; ratings and actions may be NULL, unknown. */
static void add_events(events *b, int i, const reward_config *c, const int32_t *item, const float *rating,
                       const int32_t *action, int64_t first, int n)
{
    b->offsets[i] = b->tokens;
    for (int k = -1; k < n; k++, b->tokens++) {
        const int64_t e = first + k;
        const float halves = k >= 0 && rating ? roundf(2 * rating[e]) : -1;

        b->item[b->tokens] = k < 0 ? -1 : item[e];
        b->start[b->tokens] = k < 0 ? 0 : -1;
        b->rating[b->tokens] = k < 0 || !rating ? -1 : halves > 0 ? (int32_t)fminf(halves, RATINGS - 1) : 0;
        b->action[b->tokens] = k < 0 || !action || action[e] < 0 || action[e] >= c->actions ? -1 : action[e];
        b->place[b->tokens] = k + 1;
    }
    b->offsets[i + 1] = b->tokens;
}

/* W u after each token. */
static sg_tensor *read_events(sg_graph *g, const reward *s, const events *b, float dropout)
{
    sg_tensor *x =
        sg_plus(g, sg_embed(g, s->item, b->item, b->tokens), sg_embed(g, s->start, b->start, b->tokens));

    if (s->rating)
        x = sg_plus(g, x, sg_embed(g, s->rating, b->rating, b->tokens));
    if (s->action)
        x = sg_plus(g, x, sg_embed(g, s->action, b->action, b->tokens));
    x = sg_dropout(g, sg_plus(g, x, sg_embed(g, s->place, b->place, b->tokens)), dropout);
    return sg_linear(g, sg_tower_forward(g, &s->past, x, b->offsets, b->n, SG_MASK_CAUSAL, dropout), s->view,
                     NULL);
}

/* Logits (n, tasks) of slates; state[i]: row of `view` that slate i comes after. */
static sg_tensor *judge(sg_graph *g, const sg_model *m, sg_tensor *view, const int32_t *state,
                        const sg_slates *q, float dropout)
{
    const reward_config *c = m->config;
    const reward *s = m->state;
    const int total = q->offsets[q->n], tasks = reward_tasks(m);
    int32_t *row = sg_scratch(g, (size_t)total + 1, sizeof *row);
    int32_t *task = sg_scratch(g, (size_t)q->n * (size_t)tasks + 1, sizeof *task);
    sg_tensor *count = sg_tensor_2d(g, q->n, c->dim), *ones = sg_tensor_2d(g, c->hidden, 1);

    if (!row || !task || !count || !ones)
        return NULL;
    for (int i = 0; i < q->n; i++) {
        for (int j = q->offsets[i]; j < q->offsets[i + 1]; j++)
            row[j] = state[i];
        for (int j = 0; j < c->dim; j++)
            count->data[(size_t)i * (size_t)c->dim + (size_t)j] = (float)(q->offsets[i + 1] - q->offsets[i]);
    }
    for (int i = 0; i < q->n * tasks; i++)
        task[i] = i % tasks;
    for (int i = 0; i < c->hidden; i++)
        ones->data[i] = 1;
    sg_tensor *e = sg_times(g, sg_dropout(g, sg_embed(g, s->item, q->item, total), dropout),
                            sg_rows(g, view, row, total));
    sg_tensor *h = sg_tower_forward(g, &s->among, e, q->offsets, q->n, SG_MASK_NONE, dropout);
    sg_tensor *sum = sg_times(g, sg_segment_mean(g, h, q->offsets, q->n), count);
    sg_tensor *inner = sg_linear_act(g, sum, s->inner, s->inner_bias, SG_SILU, dropout);
    /* a row for each tower, against its own row of W2 */
    sg_tensor *each = sg_reshape(g, inner, 2, (int[]){q->n * tasks, c->hidden});
    sg_tensor *y = sg_matmul(g, sg_times(g, each, sg_embed(g, s->out, task, q->n * tasks)), ones, false);

    return sg_add_row(g, sg_reshape(g, y, 2, (int[]){q->n, tasks}), sg_leaf(g, s->bias));
}

/* ---- training ------------------------------------------------------------------------------------------ */

bool sg_reward_held(const sg_model *m, int32_t user)
{
    const reward_config *c = m->config;

    return (double)(sg_rng_mix((uint64_t)user ^ 0x6f6e65726563u) >> 11) * 0x1p-53 < c->hold;
}

static sg_status check_data(const sg_model *m, const sg_dataset *d, sg_error *err)
{
    const reward_config *c = m->config;
    sg_status st = SG_OK;

    if (c->ratings && !d->rating)
        return sg_fail(err, SG_ERR_USAGE, "onerec-reward: ratings=true needs ratings, %s has none", d->name);
    if (c->actions)
        st = sg_tasks_check_data((sg_tasks){false, c->like, c->actions}, d, "onerec-reward", err);
    return st;
}

static sg_status reward_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const reward_config *c = m->config;
    reward *s = m->state;
    const int64_t step = c->history > 1 ? c->history / 2 : 1;
    size_t cap = 0;
    sg_status st = check_data(m, t->data, err);

    if (st)
        return st;
    s->data = t->data;
    s->train_end = t->split->train_end;
    *n = 0;
    for (int32_t u = 0; u < t->data->n_users; u++) {
        const int64_t begin = t->data->user_offsets[u], end = t->split->train_end[u];

        for (int64_t first = begin;
             first < end && !sg_reward_held(m, u);) { /* as TIGER's runs: the later half of each is asked */
            int64_t last = first + (first == begin ? c->history : step) - 1;

            last = last < end ? last : end - 1;
            if (!sg_grow(&s->runs, &cap, *n + 1, sizeof *s->runs))
                return sg_fail_memory(err, "onerec-reward examples");
            s->runs[(*n)++] = (run){u, last - begin > c->history ? last - c->history : begin, first, last};
            first = last + 1;
        }
    }
    return SG_OK;
}

typedef struct slate_batch {
    sg_slates slates;
    int32_t *state, *offsets, *item;
    float *y; /* (n, tasks) */
} slate_batch;

static bool take_slates(slate_batch *b, sg_graph *g, size_t slates, size_t items, size_t tasks)
{
    b->state = sg_scratch(g, slates + 1, sizeof *b->state);
    b->offsets = sg_scratch(g, slates + 1, sizeof *b->offsets);
    b->item = sg_scratch(g, items + 1, sizeof *b->item);
    b->y = sg_scratch(g, slates + 1, tasks * sizeof *b->y);
    b->slates = (sg_slates){.offsets = b->offsets, .item = b->item};
    return b->state && b->offsets && b->item && b->y;
}

/* The slate of events e .. e + n - 1, after row `state`. */
static void add_slate(slate_batch *b, const sg_model *m, const sg_dataset *d, int32_t state, int64_t e, int n)
{
    const reward_config *c = m->config;
    const int tasks = reward_tasks(m), i = b->slates.n++, at = i ? b->offsets[i] : 0;

    b->offsets[0] = 0;
    b->state[i] = state;
    memcpy(b->item + at, d->item + e, (size_t)n * sizeof *b->item);
    b->offsets[i + 1] = at + n;
    for (int t = 0; t < tasks; t++) {
        double sum = 0;

        for (int k = 0; k < n; k++)
            sum += worth(c, d, e + k, t);
        b->y[(size_t)i * (size_t)tasks + (size_t)t] = (float)(sum / n);
    }
}

static sg_tensor *reward_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                              uint64_t step)
{
    const reward_config *c = m->config;
    const reward *s = m->state;
    const sg_dataset *d = s->data;
    size_t tokens = 0, starts = 0;
    slate_batch b = {0};
    events read;

    for (int i = 0; i < n; i++) {
        const run *r = &s->runs[example[i]];

        tokens += (size_t)(r->last - r->begin) + 1;
        starts += (size_t)(r->last - r->first) + 1;
    }
    if (!take_events(&read, g, n, tokens) ||
        !take_slates(&b, g, 2 * starts, (size_t)(c->items + 1) * starts, (size_t)reward_tasks(m)))
        return NULL;
    for (int i = 0; i < n; i++) {
        const run *r = &s->runs[example[i]];
        const int32_t at = read.tokens;
        const int64_t end = s->train_end[r->user];

        add_events(&read, i, c, d->item, d->rating, d->action, r->begin, (int)(r->last - r->begin));
        for (int64_t e = r->first; e <= r->last; e++) {
            const int whole = (int)(end - e < c->items ? end - e : c->items);

            add_slate(&b, m, d, at + (int32_t)(e - r->begin), e, whole);
            if (whole > 1)
                add_slate(&b, m, d, at + (int32_t)(e - r->begin), e, 1);
        }
    }
    return sg_bce_logits(
        g, judge(g, m, read_events(g, s, &read, (float)c->dropout), b.state, &b.slates, (float)c->dropout),
        b.y, NULL);
}

/* ---- judging ------------------------------------------------------------------------------------------- */

sg_status sg_reward_slates(sg_session *session, const sg_histories *h, const sg_slates *q, float *p,
                           sg_error *err)
{
    const sg_model *m = session->model;
    const reward_config *c = m->config;
    const reward *s = m->state;
    const size_t tasks = (size_t)reward_tasks(m);
    sg_graph *g = session->graph;
    sg_status st;
    events read;

    sg_graph_begin(g, SG_INFER, 0, 0);
    if (!take_events(&read, g, h->n, (size_t)h->n * (size_t)(c->history + 1)))
        return sg_graph_status(g, err);
    for (int i = 0; i < h->n; i++) {
        const int64_t have = h->offsets[i + 1] - h->offsets[i], n = have < c->history ? have : c->history;

        add_events(&read, i, c, h->item, c->ratings ? h->rating : NULL, c->actions ? h->action : NULL,
                   h->offsets[i + 1] - n, (int)n);
    }
    sg_tensor *view = read_events(g, s, &read, 0);
    for (int first = 0; first < q->n; first += SLATES) {
        const int n = q->n - first < SLATES ? q->n - first : SLATES;
        int32_t *state = sg_scratch(g, (size_t)n, sizeof *state),
                *offsets = sg_scratch(g, (size_t)n + 1, sizeof *offsets);
        const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));

        if (!state || !offsets)
            return sg_graph_status(g, err);
        for (int i = 0; i <= n; i++)
            offsets[i] = q->offsets[first + i] - q->offsets[first];
        for (int i = 0; i < n; i++) /* the state after the last event */
            state[i] = read.offsets[q->of[first + i] + 1] - 1;
        const sg_tensor *y =
            judge(g, m, view, state,
                  &(sg_slates){.n = n, .offsets = offsets, .item = q->item + q->offsets[first]}, 0);
        if ((st = sg_graph_status(g, err)))
            return st;
        for (size_t j = 0; j < (size_t)n * tasks; j++)
            p[(size_t)first * tasks + j] = 1 / (1 + expf(-y->data[j]));
        sg_arena_back(sg_graph_arena(g), mark);
    }
    return sg_graph_status(g, err);
}

/* n items, each a slate of its own after the first history of h. */
static sg_status judge_items(sg_session *session, const sg_histories *h, const int32_t *item, int n, float *p,
                             sg_error *err)
{
    int32_t *of = sg_alloc_zero((size_t)n, sizeof *of),
            *offsets = sg_alloc_array((size_t)n + 1, sizeof *offsets);
    sg_status st = SG_OK;

    if (!of || !offsets)
        st = sg_fail_memory(err, "slates");
    for (int i = 0; !st && i <= n; i++)
        offsets[i] = i;
    if (!st)
        st = sg_reward_slates(session, h, &(sg_slates){n, of, offsets, item}, p, err);
    sg_free(of);
    sg_free(offsets);
    return st;
}

static sg_status reward_rank(sg_session *session, const sg_histories *h, const int32_t *item, int n, float *p,
                             sg_error *err)
{
    return judge_items(session, h, item, n, p, err);
}

static sg_status reward_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const sg_model *m = session->model;
    const reward_config *c = m->config;
    const size_t tasks = (size_t)reward_tasks(m), n = (size_t)m->n_items;
    int32_t *item = sg_alloc_array(n, sizeof *item);
    float *p = sg_alloc_array(n, tasks * sizeof *p);
    sg_status st = item && p ? SG_OK : sg_fail_memory(err, "scores");

    for (size_t i = 0; !st && i < n; i++)
        item[i] = (int32_t)i;
    for (int row = 0; !st && row < h->n; row++, scores += n) {
        const sg_histories one = sg_histories_rows(h, row, 1);

        st = judge_items(session, &one, item, (int)n, p, err);
        for (size_t i = 0; !st && i < n; i++)
            scores[i] = p[i * tasks + (size_t)c->goal];
    }
    sg_free(item);
    sg_free(p);
    return st;
}

/* ---- how far it can be trusted ------------------------------------------------------------------------- */

typedef struct verdict {
    double found; /* what the slate was worth */
    float said;
} verdict;

static int by_found(const void *a, const void *b)
{
    const verdict *x = a, *y = b;

    return (x->found > y->found) - (x->found < y->found);
}

/* Pairs of different worth: the better one said to be better, ties half. */
static void count_pairs(sg_reward_trust *out, verdict *v, size_t n)
{
    double right = 0;

    qsort(v, n, sizeof *v, by_found);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i && v[j].found < v[i].found; j++) {
            right += v[i].said > v[j].said ? 1 : v[i].said == v[j].said ? 0.5 : 0;
            out->pairs++;
        }
    out->slates = (int64_t)n;
    out->accuracy = out->pairs ? right / (double)out->pairs : (double)NAN;
}

sg_status sg_reward_check(sg_reward_trust *out, const sg_model *m, const sg_train_data *t, sg_pool *pool,
                          sg_error *err)
{
    const reward_config *c = m->config;
    const sg_dataset *d = t->data;
    const size_t tasks = (size_t)reward_tasks(m);
    verdict *v = sg_alloc_array(TRUST_MOST, sizeof *v);
    float *p = sg_alloc_array(tasks, sizeof *p);
    sg_session *session = NULL;
    size_t n = 0;
    sg_status st = v && p ? check_data(m, d, err) : sg_fail_memory(err, "slates");

    *out = (sg_reward_trust){0};
    if (st || (st = sg_session_new(&session, m, pool, err)))
        goto done;
    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u];
             sg_reward_held(m, u) && n < TRUST_MOST && e + c->items <= t->split->train_end[u];
             e += c->items) {
            const int64_t offsets[] = {d->user_offsets[u], e};
            const sg_histories h = {
                .n = 1, .offsets = offsets, .item = d->item, .rating = d->rating, .action = d->action};
            const sg_slates one = {1, (int32_t[]){0}, (int32_t[]){0, c->items}, d->item + e};
            double found = 0;

            if ((st = sg_reward_slates(session, &h, &one, p, err)))
                goto done;
            for (int k = 0; k < c->items; k++)
                found += worth(c, d, e + k, c->goal);
            v[n++] = (verdict){found, p[c->goal]};
        }
    count_pairs(out, v, n);
done:
    sg_session_free(session);
    sg_free(v);
    sg_free(p);
    return st;
}

static sg_status reward_notes(sg_model *m, const sg_train_data *t, sg_pool *pool, json_t *notes,
                              sg_error *err)
{
    sg_reward_trust trust;
    const sg_status st = sg_reward_check(&trust, m, t, pool, err);

    if (st)
        return st;
    if (json_object_set_new(notes, "held_slates", json_integer((json_int_t)trust.slates)) ||
        json_object_set_new(notes, "pairwise_accuracy",
                            trust.pairs ? json_real(trust.accuracy) : json_null()))
        return sg_fail_memory(err, "training notes");
    return SG_OK;
}

const sg_model_class sg_model_onerec_reward = {
    .name = "onerec-reward",
    .summary = "judges slates of items: the reward that OneRec is aligned with; ranks single items, too",
    .paper = "Deng et al. 2025, arXiv:2502.18965",
    .options = reward_options,
    .n_options = sizeof reward_options / sizeof *reward_options,
    .config_bytes = sizeof(reward_config),
    .state_bytes = sizeof(reward),
    .weights = reward_weights,
    .init = reward_init,
    .fini = reward_fini,
    .examples = reward_examples,
    .loss = reward_loss,
    .notes = reward_notes,
    .score = reward_score,
    .rank = reward_rank,
    .tasks = reward_tasks,
    .goal = reward_goal,
    .task_name = reward_task_name,
    .label = reward_label,
};
