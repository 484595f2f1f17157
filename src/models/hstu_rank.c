/* hstu_rank.c - ranking candidates by transducing items and what was done with them.   [Zhai et al., ICML 2024]
 *
 *   tokens     x_0 a_0 x_1 a_1 ...        c E[item] + A[it is an item], A[action], + P[place]
 *   series     what is known of the user stands among them, V[value] + P[place] (models/slow.h); nothing is asked there
 *   h          HSTU layers over all tokens (nn/hstu.h), each at the time of its event
 *   p(task)    sigmoid(W_2 SiLU(W_1 LN(h at x_i) + b_1) + b_2): asked of the item before its action is seen, so that
 *              the item meets the history in every layer (target-aware)
 *   prior      adds to that logit how much the item is liked apart from who answers, in training as earlier events alone tell
 *              (models/rates.h), and W_3 v_item to what SiLU reads, v the doubt about it: the layers learn the rest
 *   retrieval  softmax of cosine(h at a_i, E) / temperature among uniform negatives, where event i + 1 is a positive one
 *
 * label=rating: one task, "liked", a rating of at least `like`; the action token is the rating in halves.
 * label=action: a task for each action, "was it this one". Scoring keeps the keys and values of a user's history from
 * request to request and asks candidates in microbatches (M-FALCON); when the history outgrows `length` events, it is
 * cut an eighth at a time, so that kept keys serve several requests. Recommending goes by the retrieval head where it
 * was trained, else by the probability of task `goal` of every item.
 * Where we differ: both tokens of an event carry its own time, the request's for a candidate, so that what is kept
 * does not depend on when somebody asks next; the divisor is the most tokens there can be, not the batch's longest.
 * target_aware=false is the ablation: logits from h at a_{i-1} times E[item] instead of h at x_i. */
#include "models/slow.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "models/rates.h"
#include "models/tasks.h"
#include "models/thin.h"
#include "nn/hstu.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HSTU_RANK_OPTIONS(X)                                                                                 \
    SG_TASK_OPTIONS(X)                                                                                       \
    X(int, dim, 64, 4, 4096, "width of item, action and position vectors")                                   \
    X(int, blocks, 2, 1, 64, "layers")                                                                       \
    X(int, heads, 2, 1, 64, "attention heads")                                                               \
    X(int, dqk, 32, 1, 1024, "width of queries and keys of a head")                                          \
    X(int, dv, 32, 1, 1024, "width of values of a head")                                                     \
    X(int, hidden, 64, 1, 4096, "width inside the head that predicts")                                       \
    X(int, length, 100, 2, 16384, "events of the history that are read, the latest; two tokens each")        \
    X(choice, bias, both, 0, 0,                                                                              \
      "both|position|time|none: what attention knows of distance; times where there are any")                \
    X(bool, softmax, false, 0, 1, "weights of attention by softmax instead of SiLU")                         \
    X(bool, target_aware, true, 0, 1, "candidates go through the layers; else only the history does")        \
    X(bool, action_item, false, 0, 1,                                                                        \
      "an action's token carries its item, too, so that one layer is enough to see what was liked")          \
    X(int, series, 0, 0, 16777216,                                                                           \
      "rows of the table for what is known of users (import --user-series), which then stands among the "    \
      "events (0: it is not read)")                                                                          \
    X(float, prior, 1, 0, 1000,                                                                              \
      "logits start from how much each item is liked, of this variance before anybody answers (0: from 0)")  \
    X(float, dropout, 0.2, 0, 0.9, "share of each block's result dropped while training")                    \
    X(float, dropout_input, 0.2, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(float, item_sd, 0.02, 0, 10, "standard deviation of item vectors at the start")                        \
    X(float, item_scale, 0, 0, 1000,                                                                         \
      "item vectors are read times this (0: sqrt(dim), as published): how far a step of the optimizer moves them")    \
    X(float, position_sd, 0, 0, 10,                                                                          \
      "standard deviation of position vectors at the start (0: 1 / sqrt(dim), as published)")                \
    X(float, retrieval, 0, 0, 1000, "weight of the retrieval loss (0: ranking alone)")                       \
    X(int, negatives, 128, 1, 65536, "retrieval: uniform negatives of a position")                           \
    X(float, temperature, 0.05, 0.001, 100, "retrieval: cosines are divided by it")                          \
    X(float, alpha, 2, 1, 2,                                                                                 \
      "stochastic length: attention over runs costs length^alpha at most, the rest is left out (2: nothing)")

typedef struct hstu_rank_config {
    HSTU_RANK_OPTIONS(SG_OPTION_FIELD)
} hstu_rank_config;
#define SG_OPTION_STRUCT hstu_rank_config
static const sg_option hstu_rank_options[] = {HSTU_RANK_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

enum { RATINGS = 21, MICROBATCH = 512 }; /* ratings 0, 0.5, ... 10 */
static const float EPS = 1e-6f;

typedef struct hstu_rank {
    sg_param *item, *action, *position;        /* (n_items, dim), (actions or ratings, dim), (tokens, dim) */
    sg_param *value;                           /* (series, dim) or NULL */
    sg_series series;                          /* in the model's arrays */
    sg_param *inner, *inner_bias, *out, *bias; /* (hidden, dim), (hidden), (tasks, hidden), (tasks) */
    sg_hstu stack;
    float scale; /* of item vectors */
    sg_param *doubt;    /* (hidden, tasks) or NULL */
    const float *prior; /* (n_items, tasks, SG_RATE), the model's array "prior"; NULL: none */
    sg_runs runs;       /* training, as rates */
    sg_rates rates;
} hstu_rank;

/* ---- tasks and tokens ---------------------------------------------------------------------------------- */

static sg_tasks tasks_of(const sg_model *m)
{
    const hstu_rank_config *c = m->config;

    return SG_TASKS_OF(c);
}

static int hstu_rank_tasks(const sg_model *m)
{
    return sg_tasks_count(tasks_of(m));
}

static int hstu_rank_goal(const sg_model *m)
{
    const hstu_rank_config *c = m->config;

    return c->goal;
}

static void hstu_rank_task_name(const sg_model *m, const sg_dataset *d, int task, char *text, size_t bytes)
{
    sg_task_name(tasks_of(m), d, task, text, bytes);
}

static int hstu_rank_label(const sg_model *m, const sg_dataset *d, int64_t e, int task)
{
    return sg_task_label(tasks_of(m), d, e, task);
}

/* Rows of the action table; the last is that of items: what all of them have in common, so that one that was seen a few times is near it
 * (LN makes any vector long, and a random one is noise). */
static int32_t action_rows(const hstu_rank_config *c)
{
    return (SG_TASKS_OF(c).rating ? RATINGS : c->actions) + 1;
}

/* Row of the action table; -1: unknown, a token without a vector of its own. */
static int32_t action_row(const hstu_rank_config *c, const int32_t *action, const float *rating, int64_t e)
{
    if (SG_TASKS_OF(c).rating) {
        const float halves = rating ? roundf(2 * rating[e]) : -1;

        return !rating ? -1 : halves > 0 ? (int32_t)fminf(halves, RATINGS - 1) : 0;
    }
    return action && action[e] >= 0 && action[e] < c->actions ? action[e] : -1;
}

static sg_status hstu_rank_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const hstu_rank_config *c = m->config;
    hstu_rank *s = m->state;
    sg_params *ps = &m->params;
    const bool both = !strcmp(c->bias, "both");
    const int tasks = hstu_rank_tasks(m), own = 2 * c->length + 1, tokens = own + (c->series ? SG_SLOW_MOST : 0);
    const sg_hstu_shape shape = {.dim = c->dim,
                                 .blocks = c->blocks,
                                 .heads = c->heads,
                                 .d_qk = c->dqk,
                                 .d_v = c->dv,
                                 .length = tokens,
                                 .divisor = (float)own,
                                 .position = both || !strcmp(c->bias, "position"),
                                 .time = both || !strcmp(c->bias, "time"),
                                 .softmax = c->softmax,
                                 .dropout = (float)c->dropout};

    sg_status st = sg_tasks_check_goal(SG_TASKS_OF(c), c->goal, "hstu-rank", err);

    if (st)
        return st;
    s->scale = c->item_scale > 0 ? (float)c->item_scale : sqrtf((float)c->dim);
    s->item = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL, (float)c->item_sd, SG_PARAM_SPARSE, m->n_items, c->dim, "item.weight");
    s->action = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL, 1 / sqrtf((float)c->dim), 0,
                             action_rows(c), c->dim, "action.weight");
    s->position = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL,
                               c->position_sd > 0 ? (float)c->position_sd : 1 / sqrtf((float)c->dim), 0, tokens, c->dim,
                               "position.weight");
    if (c->series)
        s->value = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL, 1 / sqrtf((float)c->dim), 0, c->series, c->dim, "series.weight");
    s->inner = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->hidden, c->dim, "head.inner.weight");
    if (c->prior > 0)
        s->doubt = sg_param_add(ps, seed, SG_INIT_ZERO, 0, 0, c->hidden, tasks, "head.doubt.weight");
    s->inner_bias = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->hidden, 0, "head.inner.bias");
    s->out = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, tasks, c->hidden, "head.out.weight");
    s->bias = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, tasks, 0, "head.out.bias");
    return sg_hstu_declare(&s->stack, ps, seed, &shape, err);
}

static void hstu_rank_fini(sg_model *m)
{
    hstu_rank *s = m->state;

    sg_hstu_fini(&s->stack);
    sg_runs_free(&s->runs);
    sg_rates_free(&s->rates);
}

static sg_status hstu_rank_ready(sg_model *m, sg_error *err)
{
    const hstu_rank_config *c = m->config;
    hstu_rank *s = m->state;
    const sg_model_array *a;
    sg_status st;

    if (c->series && (st = sg_slow_need(&s->series, m, err)))
        return st;
    if (c->prior <= 0)
        return SG_OK;
    if ((st = sg_model_array_need(&a, m, "prior", SG_DT_F32, 3, (int64_t[]){m->n_items, hstu_rank_tasks(m), SG_RATE}, err)))
        return st;
    s->prior = a->data;
    for (size_t i = 0; i < a->count; i++)
        if (!isfinite(s->prior[i]))
            return sg_fail(err, SG_ERR_FORMAT, "hstu-rank: array 'prior': expected finite numbers, found %g at %zu",
                           (double)s->prior[i], i);
    return SG_OK;
}

static sg_status hstu_rank_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const hstu_rank_config *c = m->config;
    hstu_rank *s = m->state;
    sg_status st;

    if (!c->series)
        return SG_OK;
    if (!t->data->series.offsets)
        return sg_fail(err, SG_ERR_USAGE,
                       "hstu-rank: series=%d: nothing is known of the users of %s beside their events; import with --user-series", c->series,
                       t->data->name);
    st = sg_slow_put(m, t->data, err);
    return st ? st : sg_slow_need(&s->series, m, err); /* validation asks before training ends */
}

/* Rates for training, and those of all events for asking. */
static sg_status count_rates(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const hstu_rank_config *c = m->config;
    hstu_rank *s = m->state;
    float *after;
    sg_status st;

    if (c->prior <= 0)
        return SG_OK;
    if ((st = sg_rates_filter(&s->rates, m, t, c->prior, err)))
        return st;
    after = s->rates.after;
    s->rates.after = NULL; /* the model's */
    if ((st = sg_model_array_put(m, "prior", SG_DT_F32, 3,
                                 (uint64_t[]){(uint64_t)m->n_items, (uint64_t)s->rates.tasks, SG_RATE}, after, err)))
        return st;
    return hstu_rank_ready(m, err);
}

/* ---- forward ------------------------------------------------------------------------------------------- */

/* n tokens: item, action and value rows (-1: none), places. slow NULL: none at all. */
static sg_tensor *embed(sg_graph *g, const hstu_rank *s, const int32_t *item, const int32_t *action, const int32_t *slow,
                        const int32_t *place, int n)
{
    sg_tensor *x = sg_scale(g, sg_embed(g, s->item, item, n), s->scale);

    x = sg_plus(g, x, sg_embed(g, s->action, action, n));
    if (slow && s->value)
        x = sg_plus(g, x, sg_embed(g, s->value, slow, n));
    return sg_plus(g, x, sg_embed(g, s->position, place, n));
}

/* What the head reads of items shown after a history: h at the item, or, not target-aware, h before it and the item. */
static sg_tensor *meet(sg_graph *g, const hstu_rank *s, sg_tensor *before, const int32_t *item, int n)
{
    return sg_times(g, sg_layernorm(g, before, NULL, NULL, EPS),
                    sg_scale(g, sg_embed(g, s->item, item, n), s->scale));
}

typedef struct priors { /* (rows, tasks) */
    float *logit, *doubt;
} priors;

static bool take_priors(priors *p, sg_graph *g, size_t rows, size_t tasks)
{
    p->logit = sg_scratch(g, rows * tasks, sizeof *p->logit);
    p->doubt = sg_scratch(g, rows * tasks, sizeof *p->doubt);
    return p->logit && p->doubt;
}

/* Row `row` from (tasks, SG_RATE) numbers; NULL: nothing is known. */
static void set_prior(priors *p, size_t row, size_t tasks, const float *from)
{
    for (size_t k = 0; k < tasks; k++) {
        p->logit[row * tasks + k] = from ? from[k * SG_RATE] : 0;
        p->doubt[row * tasks + k] = from ? from[k * SG_RATE + 1] : 0;
    }
}

static sg_tensor *logits(sg_graph *g, const hstu_rank *s, sg_tensor *x, const priors *p)
{
    sg_tensor *inner = sg_linear(g, x, s->inner, s->inner_bias), *y;

    if (inner && s->doubt)
        inner = sg_linear_onto(g, inner, sg_input(g, p->doubt, 2, (int[]){inner->dim[0], s->doubt->dim[1]}), s->doubt, NULL);
    y = sg_linear(g, sg_activate(g, inner, SG_SILU), s->out, s->bias);
    return y && s->doubt ? sg_plus(g, y, sg_input(g, p->logit, 2, y->dim)) : y;
}

/* ---- training ------------------------------------------------------------------------------------------ */

static sg_status hstu_rank_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const hstu_rank_config *c = m->config;
    const sg_dataset *d = t->data;
    hstu_rank *s = m->state;
    sg_status st = sg_tasks_check_data(SG_TASKS_OF(c), d, "hstu-rank", err);

    if (st)
        return st;
    if (!strcmp(c->bias, "time") && !d->timestamp)
        return sg_fail(err, SG_ERR_USAGE, "hstu-rank: bias=time needs timestamps, %s has none", d->name);
    if ((st = sg_runs_new(&s->runs, t, c->length, false, c->alpha, err)))
        return st;
    *n = s->runs.n;
    return count_rates(m, t, err);
}

typedef struct batch {
    int n, tokens, events;
    int32_t *offsets;               /* (n + 1) */
    int32_t *item, *action, *slow, *place; /* (tokens) */
    int64_t *time;                  /* (tokens) */
    int32_t *next;                  /* (tokens) the item after an action, where that event is positive; else -1 */
    int32_t *row, *before, *shown;  /* (events) token of the item, the one of the action before it (-1: none), the item */
    int acted;                      /* token of the last action of the sequence at hand, -1: none */
    float *y, *weight;              /* (events, tasks) */
    priors prior;                   /* of the events */
} batch;

static bool take_batch(batch *b, sg_graph *g, int most, int tasks)
{
    const size_t events = (size_t)most, tokens = 2 * events + (size_t)b->n * SG_SLOW_MOST;

    b->item = sg_scratch(g, tokens, sizeof *b->item);
    b->action = sg_scratch(g, tokens, sizeof *b->action);
    b->slow = sg_scratch(g, tokens, sizeof *b->slow);
    b->place = sg_scratch(g, tokens, sizeof *b->place);
    b->time = sg_scratch(g, tokens, sizeof *b->time);
    b->next = sg_scratch(g, tokens, sizeof *b->next);
    b->row = sg_scratch(g, events, sizeof *b->row);
    b->before = sg_scratch(g, events, sizeof *b->before);
    b->shown = sg_scratch(g, events, sizeof *b->shown);
    b->y = sg_scratch(g, events, (size_t)tasks * sizeof *b->y);
    b->weight = sg_scratch(g, events, (size_t)tasks * sizeof *b->weight);
    return b->item && b->action && b->slow && b->place && b->time && b->next && b->row && b->before && b->shown && b->y && b->weight &&
           take_priors(&b->prior, g, events, (size_t)tasks);
}

static void add_token(batch *b, int first, int32_t item, int32_t action, int32_t next, int64_t time)
{
    b->item[b->tokens] = item;
    b->action[b->tokens] = action;
    b->slow[b->tokens] = -1;
    b->next[b->tokens] = next;
    b->time[b->tokens] = time;
    b->place[b->tokens] = b->tokens - first;
    b->tokens++;
}

static void add_slow(batch *b, int first, int32_t value, int64_t time)
{
    add_token(b, first, -1, -1, -1, time);
    b->slow[b->tokens - 1] = value;
}

/* Event e of a sequence that began at token `first`; the last one's action is not read. Those before `fresh` are no labels. */
static void add_event(batch *b, const sg_model *m, const sg_dataset *d, int64_t e, int first, int64_t fresh, bool learns,
                      bool last)
{
    const hstu_rank_config *c = m->config;
    const hstu_rank *s = m->state;
    const int tasks = hstu_rank_tasks(m);
    const int64_t time = d->timestamp ? d->timestamp[e] : 0;

    b->row[b->events] = b->tokens;
    b->before[b->events] = b->acted;
    b->shown[b->events] = d->item[e];
    for (int i = 0; i < tasks; i++) {
        b->y[b->events * tasks + i] = (float)(hstu_rank_label(m, d, e, i) == 1);
        b->weight[b->events * tasks + i] = (float)(learns && e >= fresh);
    }
    set_prior(&b->prior, (size_t)b->events, (size_t)tasks,
              s->rates.before ? s->rates.before + (size_t)(e * tasks) * SG_RATE : NULL);
    b->events++;
    add_token(b, first, d->item[e], action_rows(c) - 1, -1, time);
    if (!last) {
        b->acted = b->tokens;
        add_token(b, first, c->action_item ? d->item[e] : -1, action_row(c, d->action, d->rating, e),
                  e + 1 >= fresh && hstu_rank_label(m, d, e + 1, c->goal) == 1 ? d->item[e + 1] : -1, time);
    }
}

/* The runs of a step. An event that two runs share is learned where it has a history: in the earlier one. */
static bool pack(batch *b, sg_graph *g, const sg_model *m, const uint32_t *example, int n, uint64_t seed, uint64_t step)
{
    const hstu_rank_config *c = m->config;
    const hstu_rank *s = m->state;
    const sg_runs *r = &s->runs;
    const sg_dataset *d = r->data;
    int32_t *place = sg_scratch(g, (size_t)r->length + 1, sizeof *place), value[SG_SLOW_MOST], slot[SG_SLOW_MOST];
    int64_t *time = sg_scratch(g, (size_t)r->length + 1, sizeof *time);
    float *key = sg_scratch(g, 2 * (size_t)r->length, sizeof *key);

    *b = (batch){.n = n, .offsets = sg_scratch(g, (size_t)n + 1, sizeof *b->offsets)};
    if (!b->offsets || !place || !time || !key || !take_batch(b, g, n * (r->length + 1), hstu_rank_tasks(m)))
        return false;
    for (int i = 0; i < n; i++) {
        const int64_t begin = d->user_offsets[r->user[example[i]]], end = r->end[example[i]];
        const int all = (int)(end - begin - 1 < r->length ? end - begin - 1 : r->length);
        const int64_t first = end - all - 1;
        const int keep = sg_thin_length(all, r->length, r->alpha, sg_rng_double(seed, SG_RNG_SAMPLE, step, example[i]));
        const int at = b->offsets[i] = b->tokens;
        const int64_t fresh = r->learned ? r->learned[r->user[example[i]]] : 0;

        if (keep < all)
            sg_thin_places(place, keep, d->timestamp ? d->timestamp + first : NULL, all, key, seed,
                           sg_rng_u64(seed, SG_RNG_SAMPLE, step, example[i]));
        for (int j = 0; j < keep && keep == all; j++)
            place[j] = j;
        place[keep] = all; /* the event that is only shown */
        for (int j = 0; j <= keep && d->timestamp; j++)
            time[j] = d->timestamp[first + place[j]];
        const int n_slow = c->series ? sg_slow_merge(value, slot, &s->series, m->n_users, r->user[example[i]],
                                                     d->timestamp ? time : NULL, keep + 1)
                                     : 0;
        b->acted = -1;
        for (int j = 0, k = 0; j <= keep; j++) {
            for (; k < n_slow && slot[k] == j; k++)
                add_slow(b, at, value[k] % c->series, d->timestamp ? time[j] : 0);
            add_event(b, m, d, first + place[j], at, fresh, j > 0 || first == begin, j == keep);
        }
    }
    b->offsets[n] = b->tokens;
    return true;
}

static sg_tensor *hstu_rank_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed, uint64_t step)
{
    const hstu_rank_config *c = m->config;
    const hstu_rank *s = m->state;
    const sg_item_loss retrieval = {
        .kind = "sampled", .negatives = c->negatives, .temperature = c->temperature, .cosine = true};
    sg_tensor *x, *h, *asked, *loss;
    batch b;

    if (!pack(&b, g, m, example, n, seed, step))
        return NULL;
    x = sg_dropout(g, embed(g, s, b.item, b.action, b.slow, b.place, b.tokens), (float)c->dropout_input);
    const bool timed = s->runs.data->timestamp != NULL;
    h = sg_hstu_forward(g, &s->stack, x,
                        &(sg_hstu_tokens){b.n, b.offsets, timed ? b.time : NULL, timed ? b.time : NULL});
    asked = c->target_aware ? sg_layernorm(g, sg_rows(g, h, b.row, b.events), NULL, NULL, EPS)
                            : meet(g, s, sg_rows(g, h, b.before, b.events), b.shown, b.events);
    loss = sg_bce_logits(g, logits(g, s, asked, &b.prior), b.y, b.weight);
    if (c->retrieval > 0)
        loss = sg_plus(g, loss,
                       sg_scale(g, sg_sum(g, sg_item_loss_of(g, h, s->item, b.next, &retrieval, seed, step)),
                                (float)c->retrieval));
    return loss;
}

/* ---- scoring ------------------------------------------------------------------------------------------- */

typedef struct known { /* of the user, among n events and the candidates, which stand at n */
    int32_t value[SG_SLOW_MOST], before[SG_SLOW_MOST];
    int n;
} known;

typedef struct reader { /* of one session: what the cache holds */
    sg_hstu_cache cache;
    int32_t *item, *action; /* owned (length): of the events read */
    int64_t *time;          /* owned (length + 1), the last one scratch */
    int32_t *at;            /* owned (length + 1): tokens before each event and what stands before it; at[n]: all but what stands at n */
    known slow;
    int n;
    float *last; /* owned (dim): h at the last action */
} reader;

static void hstu_rank_session_fini(sg_session *session)
{
    reader *r = session->state;

    if (r->cache.stack)
        sg_hstu_cache_free(&r->cache);
    sg_free(r->item);
    sg_free(r->action);
    sg_free(r->time);
    sg_free(r->at);
    sg_free(r->last);
    *r = (reader){0};
}

static sg_status start_reading(sg_session *session, sg_error *err)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    reader *r = session->state;
    sg_status st;

    if (r->last)
        return SG_OK;
    hstu_rank_session_fini(session); /* of a start that ran out of memory */
    if ((st = sg_hstu_cache_new(&r->cache, &s->stack, 2 * c->length + (c->series ? SG_SLOW_MOST : 0), err)))
        return st;
    r->at = sg_alloc_zero((size_t)c->length + 1, sizeof *r->at);
    r->item = sg_alloc_array((size_t)c->length, sizeof *r->item);
    r->action = sg_alloc_array((size_t)c->length, sizeof *r->action);
    r->time = sg_alloc_array((size_t)c->length + 1, sizeof *r->time);
    if (!r->at || !r->item || !r->action || !r->time || !(r->last = sg_alloc_zero((size_t)c->dim, sizeof *r->last)))
        return sg_fail_memory(err, "history of the session");
    return SG_OK;
}

static int64_t window_begin(const sg_histories *h, int i, int length)
{
    const int64_t have = h->offsets[i + 1] - h->offsets[i], step = length / 8 > 0 ? length / 8 : 1;

    return h->offsets[i] + (have > length ? (have - length + step - 1) / step * step : 0);
}

/* How many events of the history, from event `begin`, the cache holds already. */
static int kept(const reader *r, const hstu_rank_config *c, const sg_histories *h, int64_t begin, int n)
{
    int i = 0;

    for (int64_t last = INT64_MIN; i < n && i < r->n; i++) {
        const int64_t time = h->timestamp ? h->timestamp[begin + i] : 0;

        last = i && time < last ? last : time; /* times that fall are raised to the one before */
        if (r->item[i] != h->item[begin + i] || r->action[i] != action_row(c, h->action, h->rating, begin + i) ||
            r->time[i] != last)
            break;
    }
    return i;
}


/* The tokens of events from..n - 1 and what stands before them and at n, into the arrays; how many, and *acted: the last action. */
typedef struct fresh {
    int32_t *item, *action, *slow, *place;
    int64_t *time;
    int n, acted;
} fresh;

static void put_token(fresh *f, const reader *r, int32_t item, int32_t action, int32_t slow, int64_t time)
{
    f->item[f->n] = item;
    f->action[f->n] = action;
    f->slow[f->n] = slow;
    f->place[f->n] = r->cache.n + f->n;
    f->time[f->n++] = time;
}

static void put_slow(fresh *f, const reader *r, const hstu_rank_config *c, int slot)
{
    for (int k = 0; k < r->slow.n; k++)
        if (r->slow.before[k] == slot)
            put_token(f, r, -1, -1, r->slow.value[k] % c->series, r->time[slot]);
}

/* Events r->n .. n - 1 of the history after what the cache holds; times are in r->time already. */
static sg_status append(sg_session *session, const sg_histories *h, int64_t begin, int n, sg_error *err)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    reader *r = session->state;
    sg_graph *g = session->graph;
    const size_t most = 2 * (size_t)(n - r->n) + (size_t)r->slow.n;
    sg_status st;

    sg_graph_begin(g, SG_INFER, 0, 0);
    fresh f = {.item = sg_scratch(g, most, sizeof *f.item),
               .action = sg_scratch(g, most, sizeof *f.action),
               .slow = sg_scratch(g, most, sizeof *f.slow),
               .place = sg_scratch(g, most, sizeof *f.place),
               .time = sg_scratch(g, most, sizeof *f.time),
               .acted = -1};
    if (!f.item || !f.action || !f.slow || !f.place || !f.time)
        return sg_graph_status(g, err);
    for (int i = r->n; i < n; i++) {
        r->at[i] = r->cache.n + f.n;
        put_slow(&f, r, c, i);
        r->item[i] = h->item[begin + i];
        r->action[i] = action_row(c, h->action, h->rating, begin + i);
        put_token(&f, r, r->item[i], action_rows(c) - 1, -1, r->time[i]);
        f.acted = f.n;
        put_token(&f, r, c->action_item ? r->item[i] : -1, r->action[i], -1, r->time[i]);
    }
    r->at[n] = r->cache.n + f.n;
    put_slow(&f, r, c, n);
    if (f.n == 0) {
        r->n = n;
        return SG_OK;
    }
    const sg_tensor *x = sg_hstu_cache_append(g, &r->cache, embed(g, s, f.item, f.action, f.slow, f.place, f.n), f.time, NULL);
    if ((st = sg_graph_status(g, err))) {
        sg_hstu_cache_cut(&r->cache, r->n = 0); /* r->last is not that of the events that were left */
        r->slow.n = 0;
        return st;
    }
    r->n = n;
    if (f.acted >= 0)
        memcpy(r->last, x->data + (size_t)f.acted * (size_t)c->dim, (size_t)c->dim * sizeof *r->last);
    return SG_OK;
}

/* Times of the history as the layers see them, never falling, and of the request behind them. */
static void read_times(reader *r, const sg_histories *h, int row, int64_t begin, int n)
{
    for (int i = 0; i < n; i++) {
        r->time[i] = h->timestamp ? h->timestamp[begin + i] : 0;
        if (i && r->time[i] < r->time[i - 1])
            r->time[i] = r->time[i - 1];
    }
    r->time[n] = h->now ? h->now[row] : n ? r->time[n - 1] : 0;
    if (n && r->time[n] < r->time[n - 1])
        r->time[n] = r->time[n - 1];
}

/* What is known of the user at each event and at the request, into the session; how many of the first `same` events it stands before as
 * it did: the cache is good up to there. */
static int know(sg_session *session, const sg_histories *h, int row, int n, int same)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    reader *r = session->state;
    const known old = r->slow;
    int i = 0;

    if (!c->series)
        return same;
    r->slow.n = sg_slow_merge(r->slow.value, r->slow.before, &s->series, session->model->n_users, h->user ? h->user[row] : -1,
                              h->timestamp ? r->time : NULL, n + 1);
    while (i < old.n && i < r->slow.n && old.value[i] == r->slow.value[i] && old.before[i] == r->slow.before[i])
        i++;
    if (i < old.n && old.before[i] < same)
        same = old.before[i];
    if (i < r->slow.n && r->slow.before[i] < same)
        same = r->slow.before[i];
    return same;
}

/* Leaves history i of h in the session's cache. */
static sg_status read_history(sg_session *session, const sg_histories *h, int i, sg_error *err)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    reader *r = session->state;
    const int64_t begin = window_begin(h, i, c->length);
    const int n = (int)(h->offsets[i + 1] - begin);
    sg_status st;

    if (!h->timestamp && sg_hstu_knows_time(&s->stack))
        return sg_fail(err, SG_ERR_USAGE,
                       "hstu-rank: this model learned from times: expected histories with timestamps");
    if ((st = start_reading(session, err)))
        return st;
    int same = kept(r, c, h, begin, n);
    read_times(r, h, i, begin, n);
    same = know(session, h, i, n, same);
    if (same == n && r->n > n && n > 0)
        same--; /* only the state of the last action of all is kept */
    sg_hstu_cache_cut(&r->cache, r->at[same]); /* what stood before the candidates, too: they may come at another time */
    r->n = same;
    if (n == 0)
        memset(r->last, 0, (size_t)c->dim * sizeof *r->last);
    return append(session, h, begin, n, err);
}

/* Logits of n candidates after the history in the cache, in the graph until its next begin. */
static sg_tensor *ask(sg_session *session, const int32_t *item, int n, int64_t now)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    const size_t tasks = (size_t)hstu_rank_tasks(session->model);
    reader *r = session->state;
    sg_graph *g = session->graph;

    sg_graph_begin(g, SG_INFER, 0, 0);
    int32_t *place = sg_scratch(g, (size_t)n, sizeof *place), *kind = sg_scratch(g, (size_t)n, sizeof *kind);
    priors prior;
    if (!place || !kind || !take_priors(&prior, g, (size_t)n, tasks))
        return NULL;
    for (int i = 0; i < n; i++) {
        place[i] = c->target_aware ? r->cache.n : 0;
        kind[i] = action_rows(c) - 1;
        set_prior(&prior, (size_t)i, tasks, s->prior ? s->prior + (size_t)item[i] * tasks * SG_RATE : NULL);
    }
    if (c->target_aware)
        return logits(g, s,
                      sg_layernorm(g, sg_hstu_cache_ask(g, &r->cache, embed(g, s, item, kind, NULL, place, n), now), NULL,
                                   NULL, EPS),
                      &prior);
    return logits(g, s, meet(g, s, sg_rows(g, sg_input(g, r->last, 2, (int[]){1, c->dim}), place, n), item, n), &prior);
}

static int64_t request_time(const reader *r, const sg_histories *h, int i)
{
    const int64_t last = r->n ? r->time[r->n - 1] : 0;

    return h->now ? h->now[i] : last;
}

static sg_status hstu_rank_rank(sg_session *session, const sg_histories *h, const int32_t *item, int n, float *p,
                                sg_error *err)
{
    const size_t tasks = (size_t)hstu_rank_tasks(session->model);
    sg_status st = read_history(session, h, 0, err);

    for (int first = 0; !st && first < n; first += MICROBATCH) {
        const int m = n - first < MICROBATCH ? n - first : MICROBATCH;
        const sg_tensor *y = ask(session, item + first, m, request_time(session->state, h, 0));

        if ((st = sg_graph_status(session->graph, err)))
            break;
        for (size_t j = 0; j < (size_t)m * tasks; j++)
            p[(size_t)first * tasks + j] = 1 / (1 + expf(-y->data[j]));
    }
    return st;
}

/* Logits of task `goal` of every item. */
static sg_status score_by_goal(sg_session *session, int64_t now, float *scores, sg_error *err)
{
    const hstu_rank_config *c = session->model->config;
    const int32_t n_items = session->model->n_items;
    const size_t tasks = (size_t)hstu_rank_tasks(session->model);
    int32_t item[MICROBATCH];
    sg_status st = SG_OK;

    for (int32_t first = 0; !st && first < n_items; first += MICROBATCH) {
        const int n = n_items - first < MICROBATCH ? n_items - first : MICROBATCH;

        for (int i = 0; i < n; i++)
            item[i] = first + i;
        const sg_tensor *y = ask(session, item, n, now);
        if ((st = sg_graph_status(session->graph, err)))
            break;
        for (int i = 0; i < n; i++)
            scores[first + i] = y->data[(size_t)i * tasks + (size_t)c->goal];
    }
    return st;
}

static sg_status hstu_rank_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    const hstu_rank_config *c = session->model->config;
    const hstu_rank *s = session->model->state;
    reader *r = session->state;
    sg_graph *g = session->graph;
    sg_status st = SG_OK;

    for (int i = 0; !st && i < h->n; i++, scores += session->model->n_items) {
        if ((st = read_history(session, h, i, err)))
            break;
        if (c->retrieval > 0) {
            sg_graph_begin(g, SG_INFER, 0, 0);
            st = sg_item_scores(session, sg_input(g, r->last, 2, (int[]){1, c->dim}), s->item, NULL, true, scores, err);
        } else {
            st = score_by_goal(session, request_time(r, h, i), scores, err);
        }
    }
    return st;
}

const sg_model_class sg_model_hstu_rank = {
    .name = "hstu-rank",
    .summary = "ranks candidates: HSTU over items and the actions on them, many candidates at the price of few",
    .paper = "Zhai et al., ICML 2024, arXiv:2402.17152",
    .options = hstu_rank_options,
    .n_options = sizeof hstu_rank_options / sizeof *hstu_rank_options,
    .streams = true,
    .config_bytes = sizeof(hstu_rank_config),
    .state_bytes = sizeof(hstu_rank),
    .weights = hstu_rank_weights,
    .init = hstu_rank_init,
    .ready = hstu_rank_ready,
    .fini = hstu_rank_fini,
    .examples = hstu_rank_examples,
    .loss = hstu_rank_loss,
    .score = hstu_rank_score,
    .rank = hstu_rank_rank,
    .tasks = hstu_rank_tasks,
    .goal = hstu_rank_goal,
    .task_name = hstu_rank_task_name,
    .label = hstu_rank_label,
    .session_bytes = sizeof(reader),
    .session_fini = hstu_rank_session_fini,
};
