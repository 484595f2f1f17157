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
#include "models/hstu_rank_parts.h"

#include "base/rng.h"
#include "models/thin.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SG_OPTION_STRUCT hstu_rank_config
static const sg_option hstu_rank_options[] = {HSTU_RANK_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

enum { RATINGS = 21 }; /* 0, 0.5, ... 10 */
static const float EPS = 1e-6f;

/* ---- tasks and tokens ---------------------------------------------------------------------------------- */

static sg_tasks tasks_of(const sg_model *m)
{
    const hstu_rank_config *c = m->config;

    return SG_TASKS_OF(c);
}

int sg_hstu_rank_tasks(const sg_model *m)
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

int32_t sg_hstu_rank_shown(const hstu_rank_config *c)
{
    return SG_TASKS_OF(c).rating ? RATINGS : c->actions;
}

int32_t sg_hstu_rank_action(const hstu_rank_config *c, const int32_t *action, const float *rating, int64_t e)
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
    const int tasks = sg_hstu_rank_tasks(m), own = 2 * c->length + 1,
              tokens = own + (c->series ? SG_SLOW_MOST : 0);
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
    s->item = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL, (float)c->item_sd, SG_PARAM_SPARSE, m->n_items,
                           c->dim, "item.weight");
    s->action = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL, 1 / sqrtf((float)c->dim), 0,
                             sg_hstu_rank_shown(c) + 1, c->dim, "action.weight");
    s->position = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL,
                               c->position_sd > 0 ? (float)c->position_sd : 1 / sqrtf((float)c->dim), 0,
                               tokens, c->dim, "position.weight");
    if (c->series)
        s->value = sg_param_add(ps, seed, SG_INIT_TRUNC_NORMAL, 1 / sqrtf((float)c->dim), 0, c->series,
                                c->dim, "series.weight");
    s->inner = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, c->hidden, c->dim, "head.inner.weight");
    if (c->prior > 0)
        s->doubt = sg_param_add(ps, seed, SG_INIT_ZERO, 0, 0, c->hidden, tasks, "head.doubt.weight");
    s->inner_bias =
        sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, c->hidden, 0, "head.inner.bias");
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
    if ((st = sg_model_array_need(&a, m, "prior", SG_DT_F32, 3,
                                  (int64_t[]){m->n_items, sg_hstu_rank_tasks(m), SG_RATE}, err)))
        return st;
    s->prior = a->data;
    for (size_t i = 0; i < a->count; i++)
        if (!isfinite(s->prior[i]))
            return sg_fail(err, SG_ERR_FORMAT,
                           "hstu-rank: array 'prior': expected finite numbers, found %g at %zu",
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
                       "hstu-rank: series=%d: nothing is known of the users of %s beside their events; "
                       "import with --user-series",
                       c->series, t->data->name);
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
                                 (uint64_t[]){(uint64_t)m->n_items, (uint64_t)s->rates.tasks, SG_RATE}, after,
                                 err)))
        return st;
    return hstu_rank_ready(m, err);
}

/* ---- forward ------------------------------------------------------------------------------------------- */

sg_tensor *sg_hstu_rank_embed(sg_graph *g, const hstu_rank *s, const int32_t *item, const int32_t *action,
                              const int32_t *slow, const int32_t *place, int n)
{
    sg_tensor *x = sg_scale(g, sg_embed(g, s->item, item, n), s->scale);

    x = sg_plus(g, x, sg_embed(g, s->action, action, n));
    if (slow && s->value)
        x = sg_plus(g, x, sg_embed(g, s->value, slow, n));
    return sg_plus(g, x, sg_embed(g, s->position, place, n));
}

bool sg_hstu_rank_priors_take(hstu_rank_priors *p, sg_graph *g, size_t rows, size_t tasks)
{
    p->logit = sg_scratch(g, rows * tasks, sizeof *p->logit);
    p->doubt = sg_scratch(g, rows * tasks, sizeof *p->doubt);
    return p->logit && p->doubt;
}

void sg_hstu_rank_priors_set(hstu_rank_priors *p, size_t row, size_t tasks, const float *from)
{
    for (size_t k = 0; k < tasks; k++) {
        p->logit[row * tasks + k] = from ? from[k * SG_RATE] : 0;
        p->doubt[row * tasks + k] = from ? from[k * SG_RATE + 1] : 0;
    }
}

sg_tensor *sg_hstu_rank_logits(sg_graph *g, const sg_model *m, sg_tensor *h, const int32_t *item, int n,
                               const hstu_rank_priors *p)
{
    const hstu_rank_config *c = m->config;
    const hstu_rank *s = m->state;
    sg_tensor *x = sg_layernorm(g, h, NULL, NULL, EPS), *inner, *y;

    if (!c->target_aware)
        x = sg_times(g, x, sg_scale(g, sg_embed(g, s->item, item, n), s->scale));
    inner = sg_linear(g, x, s->inner, s->inner_bias);
    if (inner && s->doubt)
        inner = sg_linear_onto(g, inner, sg_input(g, p->doubt, 2, (int[]){inner->dim[0], s->doubt->dim[1]}),
                               s->doubt, NULL);
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
    int32_t *offsets;                      /* (n + 1) */
    int32_t *item, *action, *slow, *place; /* (tokens) */
    int64_t *time;                         /* (tokens) */
    int32_t *next; /* (tokens) the item after an action, where that event is positive; else -1 */
    int32_t *row, *before,
        *shown;        /* (events) token of the item, the one of the action before it (-1: none), the item */
    int acted;         /* token of the last action of the sequence at hand, -1: none */
    float *y, *weight; /* (events, tasks) */
    hstu_rank_priors prior; /* of the events */
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
    return b->item && b->action && b->slow && b->place && b->time && b->next && b->row && b->before &&
           b->shown && b->y && b->weight && sg_hstu_rank_priors_take(&b->prior, g, events, (size_t)tasks);
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
static void add_event(batch *b, const sg_model *m, const sg_dataset *d, int64_t e, int first, int64_t fresh,
                      bool learns, bool last)
{
    const hstu_rank_config *c = m->config;
    const hstu_rank *s = m->state;
    const int tasks = sg_hstu_rank_tasks(m);
    const int64_t time = d->timestamp ? d->timestamp[e] : 0;

    b->row[b->events] = b->tokens;
    b->before[b->events] = b->acted;
    b->shown[b->events] = d->item[e];
    for (int i = 0; i < tasks; i++) {
        b->y[b->events * tasks + i] = (float)(hstu_rank_label(m, d, e, i) == 1);
        b->weight[b->events * tasks + i] = (float)(learns && e >= fresh);
    }
    sg_hstu_rank_priors_set(&b->prior, (size_t)b->events, (size_t)tasks,
                            s->rates.before ? s->rates.before + (size_t)(e * tasks) * SG_RATE : NULL);
    b->events++;
    add_token(b, first, d->item[e], sg_hstu_rank_shown(c), -1, time);
    if (!last) {
        b->acted = b->tokens;
        add_token(b, first, c->action_item ? d->item[e] : -1, sg_hstu_rank_action(c, d->action, d->rating, e),
                  e + 1 >= fresh && hstu_rank_label(m, d, e + 1, c->goal) == 1 ? d->item[e + 1] : -1, time);
    }
}

/* The runs of a step. An event that two runs share is learned where it has a history: in the earlier one. */
static bool pack(batch *b, sg_graph *g, const sg_model *m, const uint32_t *example, int n, uint64_t seed,
                 uint64_t step)
{
    const hstu_rank_config *c = m->config;
    const hstu_rank *s = m->state;
    const sg_runs *r = &s->runs;
    const sg_dataset *d = r->data;
    int32_t *place = sg_scratch(g, (size_t)r->length + 1, sizeof *place), value[SG_SLOW_MOST],
            slot[SG_SLOW_MOST];
    int64_t *time = sg_scratch(g, (size_t)r->length + 1, sizeof *time);
    float *key = sg_scratch(g, 2 * (size_t)r->length, sizeof *key);

    *b = (batch){.n = n, .offsets = sg_scratch(g, (size_t)n + 1, sizeof *b->offsets)};
    if (!b->offsets || !place || !time || !key ||
        !take_batch(b, g, n * (r->length + 1), sg_hstu_rank_tasks(m)))
        return false;
    for (int i = 0; i < n; i++) {
        const int64_t begin = d->user_offsets[r->user[example[i]]], end = r->end[example[i]];
        const int all = (int)(end - begin - 1 < r->length ? end - begin - 1 : r->length);
        const int64_t first = end - all - 1;
        const int keep =
            sg_thin_length(all, r->length, r->alpha, sg_rng_double(seed, SG_RNG_SAMPLE, step, example[i]));
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

static sg_tensor *hstu_rank_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                                 uint64_t step)
{
    const hstu_rank_config *c = m->config;
    const hstu_rank *s = m->state;
    const sg_item_loss retrieval = {
        .kind = "sampled", .negatives = c->negatives, .temperature = c->temperature, .cosine = true};
    sg_tensor *x, *h, *y, *loss;
    batch b;

    if (!pack(&b, g, m, example, n, seed, step))
        return NULL;
    x = sg_dropout(g, sg_hstu_rank_embed(g, s, b.item, b.action, b.slow, b.place, b.tokens),
                   (float)c->dropout_input);
    const bool timed = s->runs.data->timestamp != NULL;
    h = sg_hstu_forward(g, &s->stack, x,
                        &(sg_hstu_tokens){b.n, b.offsets, timed ? b.time : NULL, timed ? b.time : NULL});
    y = sg_hstu_rank_logits(g, m, sg_rows(g, h, c->target_aware ? b.row : b.before, b.events), b.shown,
                            b.events, &b.prior);
    loss = sg_bce_logits(g, y, b.y, b.weight);
    if (c->retrieval > 0)
        loss = sg_plus(g, loss,
                       sg_scale(g, sg_sum(g, sg_item_loss_of(g, h, s->item, b.next, &retrieval, seed, step)),
                                (float)c->retrieval));
    return loss;
}

const sg_model_class sg_model_hstu_rank = {
    .name = "hstu-rank",
    .summary =
        "ranks candidates: HSTU over items and the actions on them, many candidates at the price of few",
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
    .score = sg_hstu_rank_score,
    .rank = sg_hstu_rank_rank,
    .tasks = sg_hstu_rank_tasks,
    .goal = hstu_rank_goal,
    .task_name = hstu_rank_task_name,
    .label = hstu_rank_label,
    .session_bytes = sizeof(hstu_rank_reader),
    .session_fini = sg_hstu_rank_session_fini,
};
