/* tune.c - the loop that tunes a language model.
 *
 * An epoch takes the lessons in an order drawn from (seed, epoch) and packs them into steps of at most `tokens` tokens, whole lessons
 * only. Where the loop stands is the number of steps done, so that a run that goes on from a checkpoint gives the same bytes. */
#include "lm/tune.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "file/state.h"
#include "lm/identity.h"
#include "lm/learner.h"
#include "math/gemm.h"
#include "nn/optim.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SG_OPTION_STRUCT sg_tune_config
const sg_option sg_tune_options[] = {SG_TUNE_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
const size_t sg_n_tune_options = sizeof sg_tune_options / sizeof *sg_tune_options;

enum { BAD_STEPS_MAX = 10 /* in a row, whose gradient is not finite */ };
enum { STREAM_VALID = SG_RNG_USER + 70 };

typedef struct state { /* everything a checkpoint keeps, beside weights and moments */
    int64_t step, best_step, skipped;
    int64_t told; /* the last step that stands in the log, -1: none */
    int64_t bad;  /* steps in a row whose gradient was not finite */
    double best, first, loss_sum, seconds, tokens;
    int64_t loss_n;
    sg_buf log;   /* training.jsonl so far */
    float **keep; /* owned: (learning weights) as they were at best_step; NULL: no validation */
} state;

typedef struct loop {
    const sg_tune_job *job;
    const sg_tune_config *c;
    sg_pool *pool;
    const sg_progress *progress;
    sg_learner *learner;
    sg_params learns; /* the list alone is owned: weights that learn */
    sg_lessons lessons;
    uint32_t *train, *valid, *order; /* owned: lesson numbers; order: this epoch's permutation of train */
    size_t n_train, n_valid;
    size_t *begin; /* owned: (steps of this epoch + 1) places in order */
    size_t n_begin, cap_begin;
    int64_t epoch;      /* of order and begin; -1: none */
    int64_t epoch_step; /* steps before this epoch */
    int64_t total;
    double per_epoch; /* steps of an epoch, about */
    sg_graph *graph;
    sg_optim *optim;
    sg_precision precision;
    double started, seconds_before;
    char model[65]; /* which it is, by its files */
    state s;
    sg_error *err;
} loop;

/* ---- a step's tokens -------------------------------------------------------------------------------------------------------- */
static size_t length_of(const loop *l, uint32_t lesson)
{
    return l->lessons.begin[lesson + 1] - l->lessons.begin[lesson] + (size_t)l->learner->beside;
}

/* Lessons list[from] ... that fit a step: the number after the last. */
static size_t fill(const loop *l, const uint32_t *list, size_t n, size_t from)
{
    size_t tokens = length_of(l, list[from]), to = from + 1;

    while (to < n && tokens + length_of(l, list[to]) <= (size_t)l->c->tokens)
        tokens += length_of(l, list[to++]);
    return to;
}

static sg_status plan_epoch(loop *l, int64_t epoch)
{
    l->n_begin = 0;
    sg_rng_permutation(l->order, (uint32_t)l->n_train, (uint64_t)l->c->seed, SG_RNG_SHUFFLE, (uint64_t)epoch);
    for (size_t i = 0; i < l->n_train; i++)
        l->order[i] = l->train[l->order[i]];
    for (size_t at = 0; at <= l->n_train; at = at < l->n_train ? fill(l, l->order, l->n_train, at) : at + 1) {
        if (!sg_grow(&l->begin, &l->cap_begin, l->n_begin + 1, sizeof *l->begin))
            return sg_fail_memory(l->err, "steps");
        l->begin[l->n_begin++] = at;
    }
    l->epoch = epoch;
    return SG_OK;
}

/* Plans the epoch that holds step l->s.step. */
static sg_status find_epoch(loop *l)
{
    sg_status st = SG_OK;

    if (l->epoch < 0)
        st = plan_epoch(l, 0);
    while (!st && l->s.step >= l->epoch_step + (int64_t)l->n_begin - 1) {
        l->epoch_step += (int64_t)l->n_begin - 1;
        st = plan_epoch(l, l->epoch + 1);
    }
    return st;
}

/* Steps in all: epochs differ a little in how lessons fall together. */
static sg_status count_steps(loop *l)
{
    sg_status st = SG_OK;

    for (int e = 0; e < l->c->epochs && !st; e++) {
        if ((st = plan_epoch(l, e)))
            break;
        l->total += (int64_t)l->n_begin - 1;
        if (l->c->steps && l->total >= l->c->steps) {
            l->total = l->c->steps;
            break;
        }
    }
    l->per_epoch = (double)l->n_begin - 1;
    l->epoch = -1;
    return st;
}

/* Of a step: its tokens, and how many of them count. */
static void count_tokens(const loop *l, const uint32_t *list, size_t n, size_t *tokens, size_t *counted)
{
    *tokens = *counted = 0;
    for (size_t i = 0; i < n; i++) {
        *tokens += length_of(l, list[i]);
        for (size_t k = l->lessons.begin[list[i]]; k < l->lessons.begin[list[i] + 1]; k++)
            *counted += l->lessons.counts[k];
    }
}

static sg_status list_weights(loop *l)
{
    sg_params *from = l->learner->adapter ? &l->learner->adapter->params : l->learner->weights;
    sg_status st = sg_params_need_grads(from, l->err);

    for (size_t i = 0; i < from->n && !st; i++) {
        if (from->list[i]->frozen)
            continue;
        if (!sg_grow(&l->learns.list, &l->learns.cap, l->learns.n + 1, sizeof(sg_param *)))
            st = sg_fail_memory(l->err, "weights");
        else
            l->learns.list[l->learns.n++] = from->list[i];
    }
    return st;
}

static sg_status split_lessons(loop *l)
{
    const size_t n = l->lessons.n;

    if (n > UINT32_MAX)
        return sg_fail(l->err, SG_ERR_USAGE, "%s: expected fewer than 2^32 examples, found %zu", l->job->data,
                       n);
    l->train = sg_alloc_array(n, sizeof *l->train);
    l->valid = sg_alloc_array(n, sizeof *l->valid);
    l->order = sg_alloc_array(n, sizeof *l->order);
    if (!l->train || !l->valid || !l->order)
        return sg_fail_memory(l->err, "examples");
    for (size_t i = 0; i < n; i++) {
        if (sg_rng_double((uint64_t)l->c->seed, STREAM_VALID, 0, i) < l->c->valid)
            l->valid[l->n_valid++] = (uint32_t)i;
        else
            l->train[l->n_train++] = (uint32_t)i;
    }
    if (l->n_train == 0)
        return sg_fail(l->err, SG_ERR_USAGE, "%s: expected more examples than the %zu kept for validation",
                       l->job->data, l->n_valid);
    return SG_OK;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------------------ */
/* What must be equal for a run to go on, as one text: the model's files, too, for another model may have the same sizes. */
static void identity(sg_buf *out, const loop *l)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a of what is learned */

    for (size_t i = 0; i < l->lessons.begin[l->lessons.n]; i++)
        h = (h ^ ((uint64_t)(uint32_t)l->lessons.id[i] << 1 ^ l->lessons.counts[i])) * 0x100000001b3u;
    sg_buf_printf(out, "model=%.16s data=%016" PRIx64 " arithmetic=%d", l->model, h, (int)l->precision);
    for (size_t i = 0; i < sg_n_tune_options; i++) {
        sg_buf_printf(out, " %s=", sg_tune_options[i].name);
        sg_options_print(out, l->c, &sg_tune_options[i]);
    }
}

static double elapsed(const loop *l)
{
    return l->seconds_before + sg_now() - l->started;
}

static sg_status describe(sg_state *out, const loop *l, sg_error *err)
{
    const size_t slots = sg_optim_slots(l->optim, NULL, 0);
    sg_optim_slot *slot = sg_alloc_zero(slots, sizeof *slot);

    *out = (sg_state){.format = "sedge-tune-2"};
    if (!slot)
        return sg_fail_memory(err, "checkpoint");
    identity(&out->same, l);
    for (size_t i = 0; i < l->learns.n; i++) {
        sg_param *p = l->learns.list[i];

        sg_state_add(out, "weight", p->name, p->value, p->count);
        if (l->s.keep)
            sg_state_add(out, "best", p->name, l->s.keep[i], p->count);
    }
    sg_optim_slots(l->optim, slot, slots);
    for (size_t i = 0; i < slots; i++)
        sg_state_add(out, "optim", slot[i].name, slot[i].data, slot[i].count);
    sg_free(slot);
    return SG_OK;
}

static sg_status save_checkpoint(const loop *l, sg_error *err)
{
    sg_state file;
    sg_status st = describe(&file, l, err);

    snprintf(file.numbers, sizeof file.numbers,
             "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
             " %a %a %a %a %a",
             l->s.step, l->s.best_step, l->s.skipped, l->s.told, l->s.bad, l->s.loss_n,
             sg_optim_steps(l->optim), l->s.best, l->s.first, l->s.loss_sum, elapsed(l), l->s.tokens);
    if (!st)
        st = sg_state_save(&file, l->s.log.data, l->job->out, err);
    sg_state_free(&file);
    return st;
}

static sg_status load_checkpoint(loop *l)
{
    sg_state file;
    int64_t steps = 0;
    bool found = false;
    sg_status st = describe(&file, l, l->err);

    if (!st && !(st = sg_state_load(&file, &l->s.log, &found, l->job->out, l->err)) && found &&
        (sscanf(file.numbers,
                "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
                " %la %la %la %la %la",
                &l->s.step, &l->s.best_step, &l->s.skipped, &l->s.told, &l->s.bad, &l->s.loss_n, &steps,
                &l->s.best, &l->s.first, &l->s.loss_sum, &l->s.seconds, &l->s.tokens) != 12 ||
         l->s.step < 0 || l->s.told > l->s.step || steps < 0))
        st = sg_fail(l->err, SG_ERR_FORMAT, "%s/checkpoint: expected twelve counters, found '%.100s'",
                     l->job->out, file.numbers);
    if (found && !st) {
        sg_optim_set_steps(l->optim, steps);
        for (size_t i = 0; i < l->learns.n; i++)
            l->learns.list[i]->version++;
    }
    l->seconds_before = l->s.seconds;
    sg_state_free(&file);
    return st;
}

/* A run that was stopped is worth hours: it is continued or removed on purpose, never by accident. */
static sg_status check_unfinished(const loop *l)
{
    if (sg_state_exists(l->job->out) && !l->job->resume)
        return sg_fail(l->err, SG_ERR_USAGE,
                       "%s: holds an unfinished run; go on with --resume, or remove %s/checkpoint",
                       l->job->out, l->job->out);
    return SG_OK;
}

/* ---- the loop --------------------------------------------------------------------------------------------------------------- */
static sg_optim_spec optim_spec(const loop *l)
{
    const sg_tune_config *c = l->c;

    return (sg_optim_spec){.kind = SG_OPTIM_ADAMW,
                           .lr = c->lr,
                           .beta1 = 0.9,
                           .beta2 = 0.999,
                           .eps = 1e-8,
                           .weight_decay = c->weight_decay,
                           .clip = c->clip,
                           .schedule = strcmp(c->schedule, "constant") == 0 ? SG_SCHEDULE_CONSTANT
                                       : strcmp(c->schedule, "linear") == 0 ? SG_SCHEDULE_LINEAR
                                                                            : SG_SCHEDULE_COSINE,
                           .warmup = (int64_t)ceil(c->warmup * (double)l->total),
                           .total = l->total,
                           .lr_floor = c->lr_floor};
}

/* Mean loss of a token that counts, over the lessons that are kept back. */
static sg_status ask_valid(loop *l, double *out)
{
    double sum = 0, n = 0;
    sg_status st = SG_OK;

    for (size_t at = 0, to; at < l->n_valid && !st; at = to) {
        size_t tokens, counted;

        to = fill(l, l->valid, l->n_valid, at);
        count_tokens(l, l->valid + at, to - at, &tokens, &counted);
        sg_graph_begin(l->graph, SG_INFER, (uint64_t)l->c->seed, 0);
        const sg_tensor *loss = sg_learner_loss(l->learner, l->graph, &l->lessons, l->valid + at, to - at,
                                                0); /* comparable, whatever was
                                                                                                                learned */

        if (!(st = sg_graph_status(l->graph, l->err))) {
            sum += (double)loss->data[0] * (double)counted;
            n += (double)counted;
            st = sg_progress_tick(l->progress,
                                  &(sg_progress_event){.stage = "validate",
                                                       .unit = "texts",
                                                       .done = (double)to,
                                                       .total = (double)l->n_valid,
                                                       .loss = (double)NAN},
                                  l->err);
        }
    }
    *out = n > 0 ? sum / n : (double)NAN;
    return st;
}

static sg_status validate(loop *l)
{
    const double loss = l->s.loss_n ? l->s.loss_sum / (double)l->s.loss_n : (double)NAN;
    const sg_optim_spec spec = optim_spec(l);
    double found = (double)NAN;
    sg_status st = l->n_valid ? ask_valid(l, &found) : SG_OK;
    const bool best = l->n_valid && (l->s.best_step < 0 || found < l->s.best);

    if (st)
        return st;
    if (l->n_valid && !isfinite(found) && l->s.step == 0)
        return sg_fail(l->err, SG_ERR_NUMERIC,
                       "the model's numbers are not finite: there is no validation loss");
    if (l->n_valid && !isfinite(found))
        return sg_fail(l->err, SG_ERR_NUMERIC,
                       "training diverged: no finite validation loss after %" PRId64 " steps; try a lower lr",
                       l->s.step);
    if (l->s.step == 0)
        l->s.first = found;
    if (best) {
        l->s.best = found;
        l->s.best_step = l->s.step;
        for (size_t i = 0; i < l->learns.n; i++)
            memcpy(l->s.keep[i], l->learns.list[i]->value, l->learns.list[i]->count * sizeof(float));
    }
    sg_buf_printf(&l->s.log, "{\"step\":%" PRId64 ",\"epoch\":%.4f", l->s.step,
                  (double)l->s.step / l->per_epoch);
    if (l->s.loss_n)
        sg_buf_printf(&l->s.log, ",\"loss\":%.6f,\"lr\":%.6g", loss, sg_schedule_lr(&spec, l->s.step));
    if (l->n_valid)
        sg_buf_printf(&l->s.log, ",\"loss_valid\":%.6f,\"best\":%s", found, best ? "true" : "false");
    sg_buf_puts(&l->s.log, "}\n");
    if (l->s.log.failed)
        return sg_fail_memory(l->err, "training log");
    l->s.loss_sum = 0;
    l->s.loss_n = 0;
    l->s.told = l->s.step;
    if (l->s.step == 0)
        return sg_progress_say(l->progress, l->err, "tune", "before: validation loss %.4f", found);
    if (!l->n_valid)
        return sg_progress_say(l->progress, l->err, "tune", "step %" PRId64 ", epoch %.2f: loss %.4f",
                               l->s.step, (double)l->s.step / l->per_epoch, loss);
    return sg_progress_say(l->progress, l->err, "tune",
                           "step %" PRId64 ", epoch %.2f: loss %.4f, validation loss %.4f%s", l->s.step,
                           (double)l->s.step / l->per_epoch, loss, found, best ? " (best so far)" : "");
}

static sg_status one_step(loop *l)
{
    size_t tokens, counted;
    sg_tensor *loss;
    sg_status st = find_epoch(l);

    if (st)
        return st;
    const size_t at = l->begin[l->s.step - l->epoch_step], n = l->begin[l->s.step - l->epoch_step + 1] - at;
    sg_graph_begin(l->graph, SG_TRAIN, (uint64_t)l->c->seed, (uint64_t)l->s.step);
    loss = sg_learner_loss(l->learner, l->graph, &l->lessons, l->order + at, n, (float)l->c->smoothing);
    if ((st = sg_graph_status(l->graph, l->err)) || (st = sg_backward(l->graph, loss, l->err)))
        return st;
    st = sg_optim_step(l->optim, l->pool, NULL, l->err);
    if (st == SG_ERR_NUMERIC && ++l->s.bad < BAD_STEPS_MAX) {
        l->s.skipped++; /* the optimizer left everything as it was; another batch may be fine */
        sg_params_zero_grads(&l->learns);
    } else if (st == SG_ERR_NUMERIC) {
        return sg_fail(l->err, SG_ERR_NUMERIC,
                       "training diverged: no finite gradient for %d steps before step %" PRId64
                       "; try a lower lr",
                       BAD_STEPS_MAX, l->s.step + 1);
    } else if (st) {
        return st;
    } else {
        l->s.bad = 0;
        l->s.loss_sum += (double)loss->data[0];
        l->s.loss_n++;
    }
    l->s.step++;
    count_tokens(l, l->order + at, n, &tokens, &counted);
    l->s.tokens += (double)tokens;
    return sg_progress_tick(l->progress,
                            &(sg_progress_event){.stage = "tune",
                                                 .unit = "steps",
                                                 .done = (double)l->s.step,
                                                 .total = (double)l->total,
                                                 .loss = st ? (double)NAN : (double)loss->data[0]},
                            l->err);
}

static int64_t steps_of(const loop *l, double epochs)
{
    const int64_t steps = (int64_t)llround(epochs * l->per_epoch);

    return steps > 0 ? steps : 1;
}

/* Whether a line of the log is due: also after a stop between a step and its line. */
static bool is_line_due(const loop *l)
{
    if (l->s.told == l->s.step)
        return false;
    return l->s.step ? l->s.step % steps_of(l, l->c->valid_every) == 0 || l->s.step >= l->total
                     : l->n_valid > 0;
}

static sg_status learn(loop *l)
{
    const int64_t every_checkpoint = steps_of(l, l->c->checkpoint_every);
    sg_status st = is_line_due(l) ? validate(l) : SG_OK;

    while (!st && l->s.step < l->total) {
        if (!(st = one_step(l)) && is_line_due(l))
            st = validate(l);
        if (!st && l->s.step % every_checkpoint == 0 && l->s.step < l->total)
            st = save_checkpoint(l, l->err);
    }
    return st;
}

static sg_status run(loop *l)
{
    const sg_status st = learn(l);
    sg_error other;

    /* steps are whole, and a validation that was not finished has left nothing */
    if (st == SG_ERR_CANCEL && save_checkpoint(l, &other))
        return sg_fail(l->err, other.status,
                       "stopped; what was learned since the last checkpoint could not be kept: %s",
                       other.message);
    return st;
}

/* The best weights, or the last, into OUT; the checkpoint away. */
static sg_status finish(loop *l)
{
    char *log = sg_path_join(l->job->out, "training.jsonl");
    sg_status st = SG_OK;

    for (size_t i = 0; l->s.best_step >= 0 && i < l->learns.n; i++) {
        sg_param *p = l->learns.list[i];

        memcpy(p->value, l->s.keep[i], p->count * sizeof *p->value);
        p->version++;
    }
    if (!log)
        st = sg_fail_memory(l->err, "path");
    if (!st)
        st = sg_learner_save(l->learner, l->job->model, l->job->out, l->err);
    if (!st && !(st = sg_file_write(log, l->s.log.data ? l->s.log.data : "", l->s.log.size, l->err)))
        st = sg_state_remove(l->job->out, l->err);
    sg_free(log);
    return st;
}

static sg_status prepare(loop *l)
{
    const sg_tune_config *c = l->c;
    sg_lessons_how how = {c->length, c->chat, c->prompt_counts};
    sg_status st;

    l->precision = strcmp(c->precision, "auto") == 0   ? sg_precision_best()
                   : strcmp(c->precision, "bf16") == 0 ? SG_BF16
                                                       : SG_F32;
    if ((st = check_unfinished(l)) || (st = sg_learner_open(&l->learner, l->job, c, l->pool, l->err)) ||
        (st = sg_model_identify(l->model, l->job->model, NULL, l->err)) || (st = list_weights(l)))
        return st;
    how.most = c->length < l->learner->places ? c->length : l->learner->places;
    if ((st = sg_lessons_read(&l->lessons, &l->learner->lessons, l->job->data, &how, l->progress, l->err)) ||
        (st = split_lessons(l)) || (st = count_steps(l)))
        return st;
    const sg_optim_spec spec = optim_spec(l);
    if ((st = sg_graph_new(&l->graph, l->pool, l->precision, l->err)) ||
        (st = sg_optim_new(&l->optim, &l->learns, &spec, l->err)))
        return st;
    if (l->n_valid && !(l->s.keep = sg_alloc_zero(l->learns.n, sizeof *l->s.keep)))
        return sg_fail_memory(l->err, "best weights");
    for (size_t i = 0; l->s.keep && i < l->learns.n; i++)
        if (!(l->s.keep[i] = sg_alloc_zero(l->learns.list[i]->count, sizeof(float))))
            return sg_fail_memory(l->err, "best weights");
    if (l->job->resume && (st = load_checkpoint(l)))
        return st;
    return sg_progress_say(
        l->progress, l->err, "tune",
        "%s: %zu of %zu weights learn, %zu examples (%zu kept for validation) of %zu tokens%s, %" PRId64
        " steps%s",
        c->method, sg_params_count(&l->learns),
        sg_params_count(l->learner->weights) +
            (l->learner->adapter ? sg_params_count(&l->learner->adapter->params) : 0),
        l->lessons.n, l->n_valid, l->lessons.begin[l->lessons.n], l->lessons.cut ? ", some of them cut" : "",
        l->total, l->s.step ? ", resumed" : "");
}

static json_t *report_of(const loop *l)
{
    json_t *o = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "method", l->c->method, "weights",
        (json_int_t)sg_params_count(&l->learns), "examples", (json_int_t)l->lessons.n, "examples_cut",
        (json_int_t)l->lessons.cut, "tokens_counted", (json_int_t)l->lessons.counted, "steps",
        (json_int_t)l->s.step, "skipped_steps", (json_int_t)l->s.skipped, "seconds", elapsed(l),
        "tokens_per_second", l->s.tokens / elapsed(l), "best_step", (json_int_t)l->s.best_step);

    if (o && l->n_valid &&
        (json_object_set_new(o, "loss_valid_before", json_real(l->s.first)) ||
         json_object_set_new(o, "loss_valid", json_real(l->s.best)))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static void close_all(loop *l)
{
    for (size_t i = 0; l->s.keep && i < l->learns.n; i++)
        sg_free(l->s.keep[i]);
    sg_free(l->s.keep);
    sg_buf_free(&l->s.log);
    sg_optim_free(l->optim);
    sg_graph_free(l->graph);
    sg_free(l->train);
    sg_free(l->valid);
    sg_free(l->order);
    sg_free(l->begin);
    sg_free(l->learns.list);
    sg_lessons_free(&l->lessons);
    sg_learner_free(l->learner);
}

sg_status sg_tune(const sg_tune_job *job, const sg_tune_config *c, sg_pool *pool, const sg_progress *progress,
                  json_t **report, sg_error *err)
{
    loop l = {
        .job = job, .c = c, .pool = pool, .progress = progress, .epoch = -1, .started = sg_now(), .err = err};
    sg_status st;

    *report = NULL;
    l.s.best_step = l.s.told = -1;
    if (!(st = prepare(&l)) && !(st = run(&l)) && !(st = finish(&l)) && !(*report = report_of(&l)))
        st = sg_fail_memory(err, "report");
    close_all(&l);
    return st;
}
