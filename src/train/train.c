/* train.c - the training loop.
 *
 * Step s of epoch e takes examples order(e)[s * batch ...], where order(e) is a permutation drawn from (seed, e): where the
 * loop stands is two numbers, so a checkpoint and a resume continue with the same bytes as a run that was never stopped. */
#include "train/train.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "eval/eval.h"
#include "file/receipt.h"
#include "file/state.h"
#include "train/loop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SG_OPTION_STRUCT sg_train_config
const sg_option sg_train_options[] = {SG_TRAIN_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
const size_t sg_n_train_options = sizeof sg_train_options / sizeof *sg_train_options;

enum { BAD_STEPS_MAX = 10 }; /* steps in a row whose gradient is not finite */

typedef sg_loop loop;

static sg_optim_spec optim_spec(const sg_train_config *c, int64_t total)
{
    return (sg_optim_spec){
        .kind = !strcmp(c->optimizer, "adamw")     ? SG_OPTIM_ADAMW
                : !strcmp(c->optimizer, "adagrad") ? SG_OPTIM_ADAGRAD
                                                   : SG_OPTIM_SGD,
        .lr = c->lr,
        .beta1 = c->beta1,
        .beta2 = c->beta2,
        .eps = c->eps,
        .weight_decay = c->weight_decay,
        .clip = c->clip,
        .schedule = !strcmp(c->schedule, "constant") ? SG_SCHEDULE_CONSTANT
                    : !strcmp(c->schedule, "linear") ? SG_SCHEDULE_LINEAR
                    : !strcmp(c->schedule, "cosine") ? SG_SCHEDULE_COSINE
                                                     : SG_SCHEDULE_INVSQRT,
        .warmup = c->warmup,
        .total = total,
        .lr_floor = c->lr_floor,
        .row_wise = c->row_wise,
    };
}

static double elapsed(const loop *l)
{
    return l->seconds_before + sg_now() - l->started;
}

double sg_loop_seconds(const sg_loop *l)
{
    return elapsed(l);
}

double sg_loop_rate(const sg_loop *l)
{
    const sg_optim_spec spec = optim_spec(&l->spec->config, l->total);

    return sg_schedule_lr(&spec, l->state.step);
}

static int64_t steps_of(const loop *l, double epochs)
{
    const int64_t steps = (int64_t)llround(epochs * (double)l->per_epoch);

    return steps > 0 ? steps : 1;
}

/* Exchanges the weights with their average (or back). */
static void swap_average(loop *l)
{
    if (l->state.average)
        for (size_t i = 0; i < l->m->params.n; i++) {
            sg_param *p = l->m->params.list[i];
            float *keep = p->value;

            p->value = l->state.average[i];
            l->state.average[i] = keep;
            p->version++;
        }
}

static void move_average(loop *l)
{
    const double decay = l->spec->config.ema;
    /* young averages forget faster, so that the start does not linger: decay_t = min(decay, (1 + t) / (10 + t)) */
    const double young = (1.0 + (double)l->state.step) / (10.0 + (double)l->state.step);
    const float keep = (float)(decay < young ? decay : young);

    if (l->state.average)
        for (size_t i = 0; i < l->m->params.n; i++) {
            const sg_param *p = l->m->params.list[i];
            float *a = l->state.average[i];

            for (size_t j = 0; j < p->count; j++)
                a[j] = keep * a[j] + (1 - keep) * p->value[j];
        }
}

void sg_loop_remember(sg_loop *l, const double metric[2])
{
    memcpy(l->state.best_metric, metric, sizeof l->state.best_metric);
    l->state.best_step = l->state.step;
    l->state.since_best = 0;
    for (size_t i = 0; i < l->m->params.n; i++)
        memcpy(l->state.best[i], l->m->params.list[i]->value, l->m->params.list[i]->count * sizeof(float));
}

sg_loop_text sg_loop_number(double x, int digits, const char *none)
{
    sg_loop_text out;

    if (isnan(x))
        snprintf(out.text, sizeof out.text, "%s", none);
    else
        snprintf(out.text, sizeof out.text, "%.*f", digits, x);
    return out;
}

/* "ndcg@10" is ndcg10 in training.jsonl. */
static sg_loop_text log_key(const char *name)
{
    sg_loop_text key = {{0}};

    for (size_t i = 0; *name && i + 1 < sizeof key.text; name++)
        if (*name != '@')
            key.text[i++] = *name;
    return key;
}

/* What the class watches, into *notes: owned by the caller, NULL without any. */
static sg_status take_notes(json_t **notes, loop *l, sg_error *err)
{
    sg_status st;

    *notes = NULL;
    if (!l->m->class->notes)
        return SG_OK;
    if (!(*notes = json_object()))
        return sg_fail_memory(err, "training notes");
    if ((st = l->m->class->notes(l->m, l->data, l->pool, *notes, err))) {
        json_decref(*notes);
        *notes = NULL;
    }
    return st;
}

static sg_status log_notes(loop *l, sg_error *err)
{
    json_t *notes;
    char *text = NULL;
    const sg_status st = take_notes(&notes, l, err);

    if (st || !notes)
        return st;
    if ((text = json_dumps(notes, JSON_COMPACT | JSON_REAL_PRECISION(6))))
        sg_buf_printf(&l->state.log, ",\"notes\":%s", text);
    json_decref(notes);
    free(text);
    return text ? SG_OK : sg_fail_memory(err, "training notes");
}

static sg_status validate(loop *l, sg_error *err)
{
    const double loss = l->state.loss_n ? l->state.loss_sum / (double)l->state.loss_n : 0;
    const char *const *name = sg_eval_select_names(l->m);
    double found[2];
    sg_status st;

    swap_average(l);
    if (!(st = sg_eval_select(found, l->m, l->data, l->spec->config.valid_users, l->pool, err))) {
        l->state.since_best++;
        if (l->state.best_step < 0 || found[0] > l->state.best_metric[0])
            sg_loop_remember(l, found);
    }
    swap_average(l);
    if (st)
        return st;
    sg_buf_printf(&l->state.log,
                  "{\"step\":%lld,\"epoch\":%.4f,\"loss\":%.6f,\"lr\":%.6g,\"%s\":%s,\"%s\":%s,\"best\":%s,"
                  "\"seconds\":%.2f",
                  (long long)l->state.step, (double)l->state.step / (double)l->per_epoch, loss,
                  sg_loop_rate(l), log_key(name[0]).text, sg_loop_number(found[0], 6, "null").text,
                  log_key(name[1]).text, sg_loop_number(found[1], 6, "null").text,
                  l->state.since_best ? "false" : "true", elapsed(l));
    if ((st = log_notes(l, err)))
        return st;
    sg_buf_puts(&l->state.log, "}\n");
    if (l->state.log.failed)
        return sg_fail_memory(err, "training log");
    l->state.loss_sum = 0;
    l->state.loss_n = 0;
    return sg_progress_say(
        l->progress, err, "train", "step %lld, epoch %.2f: loss %.4f, validation %s %s, %s %s%s",
        (long long)l->state.step, (double)l->state.step / (double)l->per_epoch, loss, name[0],
        sg_loop_number(found[0], 4, "-").text, name[1], sg_loop_number(found[1], 4, "-").text,
        isnan(found[0])       ? " (every answer is the same: there is nothing to choose by)"
        : l->state.since_best ? ""
                              : " (best so far)");
}

sg_status sg_loop_step(sg_loop *l, int64_t pass, int64_t first, sg_error *err)
{
    const uint64_t seed = l->spec->seed;
    const int64_t in_epoch = l->state.step - first;
    const size_t begin = (size_t)in_epoch * (size_t)l->spec->config.batch;
    const size_t left = l->n - begin;
    const int batch = (int)(left < (size_t)l->spec->config.batch ? left : (size_t)l->spec->config.batch);
    sg_tensor *loss;
    double norm;
    sg_status st;

    if (in_epoch == 0 || l->state.step == l->state.resumed_at)
        sg_rng_permutation(l->order, (uint32_t)l->n, seed, SG_RNG_SHUFFLE, (uint64_t)pass);
    l->m->epoch = pass;
    sg_graph_begin(l->graph, SG_TRAIN, seed, (uint64_t)l->state.step);
    loss = l->m->class->loss(l->m, l->graph, l->order + begin, batch, seed, (uint64_t)l->state.step);
    if ((st = sg_graph_status(l->graph, err)) || (st = sg_backward(l->graph, loss, err)))
        return st;
    st = sg_optim_step(l->optim, l->pool, &norm, err);
    if (st == SG_ERR_NUMERIC && ++l->bad < BAD_STEPS_MAX) {
        l->state.skipped++; /* the optimizer left everything as it was; another batch may be fine */
        sg_params_zero_grads(&l->m->params);
    } else if (st == SG_ERR_NUMERIC) {
        return sg_fail(err, SG_ERR_NUMERIC,
                       "training diverged: no finite gradient for %d steps before step %lld; try a lower lr",
                       BAD_STEPS_MAX, (long long)l->state.step + 1);
    } else if (st) {
        return st;
    } else {
        l->bad = 0;
        l->state.loss_sum += loss->data[0];
        l->state.loss_n++;
    }
    l->state.step++;
    if (l->state.step == l->pretrain) { /* the losses of another task */
        l->state.loss_sum = 0;
        l->state.loss_n = 0;
    }
    move_average(l);
    return sg_progress_tick(l->progress,
                            &(sg_progress_event){.stage = "train",
                                                 .unit = "steps",
                                                 .done = (double)l->state.step,
                                                 .total = (double)l->total,
                                                 .loss = st ? (double)NAN : (double)loss->data[0]},
                            err);
}

bool sg_loop_over(const sg_loop *l)
{
    const sg_train_config *c = &l->spec->config;

    return l->state.step >= l->total || (c->minutes > 0 && elapsed(l) >= c->minutes * 60);
}

static bool finished(const loop *l)
{
    return sg_loop_over(l) || (l->spec->config.patience && l->state.since_best >= l->spec->config.patience);
}

sg_status sg_loop_checkpoint(sg_loop *l, sg_error *err)
{
    l->state.seconds = elapsed(l);
    return sg_checkpoint_save(l->dir, l->m, l->optim, &l->state, l->spec, err);
}

/* The whole step that was done when the caller asked to stop is kept. */
sg_status sg_loop_stopped(sg_loop *l, sg_status st)
{
    sg_error other;

    if (st == SG_ERR_CANCEL)
        sg_loop_checkpoint(l, &other);
    return st;
}

static sg_status run(loop *l, sg_error *err)
{
    const sg_train_config *c = &l->spec->config;
    const int64_t every_valid = steps_of(l, c->valid_every),
                  every_checkpoint = steps_of(l, c->checkpoint_every);
    sg_status st;

    while (!finished(l)) {
        const int64_t epoch = l->state.step / l->per_epoch;

        if ((st = sg_loop_step(l, epoch, epoch * l->per_epoch, err)))
            return sg_loop_stopped(l, st);
        if (l->state.step > l->pretrain && (l->state.step % every_valid == 0 || l->state.step >= l->total))
            if ((st = validate(l, err)))
                return st;
        if (l->state.step % every_checkpoint == 0 && !finished(l))
            if ((st = sg_loop_checkpoint(l, err)))
                return st;
    }
    if (l->state.best_step < 0 && (st = validate(l, err)))
        return st;
    return SG_OK;
}

/* The best weights into the model, the model and its log into the folder, the checkpoint away. */
static sg_status finish(loop *l, sg_error *err)
{
    char *log = sg_path_join(l->dir, "training.jsonl");
    sg_status st;

    if (!log)
        return sg_fail_memory(err, "path");
    for (size_t i = 0; i < l->m->params.n; i++) {
        sg_param *p = l->m->params.list[i];

        memcpy(p->value, l->state.best[i], p->count * sizeof(float));
        p->version++;
    }
    if (!(st = l->m->class->ready ? l->m->class->ready(l->m, err) : SG_OK) &&
        !(st = sg_model_save(l->m, l->dir, err)) &&
        !(st = sg_file_write(log, l->state.log.data ? l->state.log.data : "", l->state.log.size, err)))
        st = sg_state_remove(l->dir, err);
    sg_free(log);
    return st;
}

static sg_status fit_at_once(sg_model *m, const sg_train_data *t, const char *dir, sg_pool *pool,
                             const sg_progress *progress, json_t **report, sg_error *err)
{
    const double start = sg_now();
    sg_status st;

    if ((st = m->class->fit(m, t, pool, progress, err)) ||
        (m->class->ready && (st = m->class->ready(m, err))) || (st = sg_model_save(m, dir, err)))
        return st;
    *report = json_pack("{s:s, s:f}", "model", m->class->name, "seconds", sg_now() - start);
    return *report ? SG_OK : sg_fail_memory(err, "training report");
}

static sg_status count_steps(loop *l, sg_error *err)
{
    const sg_train_config *c = &l->spec->config;
    sg_status st;

    if (c->stream)
        return sg_stream_plan(l, err);
    if ((st = l->m->class->examples(l->m, l->data, &l->n, err)))
        return st;
    if (l->n == 0 || l->n > UINT32_MAX)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: expected training examples from 1 to 2^32 - 1, found %zu (is the split right?)",
                       l->data->data->dir, l->n);
    l->per_epoch = (int64_t)sg_pieces(l->n, (size_t)c->batch);
    l->pretrain = l->m->class->pretrain ? l->m->class->pretrain(l->m) * l->per_epoch : 0;
    l->total = l->pretrain + c->epochs * l->per_epoch;
    l->n_most = l->n;
    return SG_OK;
}

sg_status sg_train(sg_model *m, const sg_train_data *t, const char *dir, const sg_train_spec *spec,
                   sg_pool *pool, const sg_progress *progress, json_t **report, sg_error *err)
{
    loop l = {
        .m = m, .data = t, .spec = spec, .pool = pool, .progress = progress, .dir = dir, .started = sg_now()};
    const sg_train_config *c = &spec->config;
    json_t *notes = NULL;
    sg_status st;

    *report = NULL;
    if (c->stream && !m->class->streams)
        return sg_fail(
            err, SG_ERR_USAGE,
            "stream: %s cannot learn as time goes by; hstu, hstu-rank, sasrec, gru4rec and narm can",
            m->class->name);
    if (m->class->fit)
        return fit_at_once(m, t, dir, pool, progress, report, err);
    if ((st = count_steps(&l, err)))
        goto done;
    if (c->steps && c->steps < l.total)
        l.total = c->steps;
    const sg_optim_spec how = optim_spec(c, l.total);
    if (!(l.order = sg_alloc_array(l.n_most, sizeof *l.order))) {
        st = sg_fail_memory(err, "training order");
        goto done;
    }
    if ((st = sg_params_need_grads(&m->params, err)) ||
        (st = sg_graph_new(&l.graph, pool, spec->precision, err)) ||
        (st = sg_optim_new(&l.optim, &m->params, &how, err)) ||
        (st = sg_train_state_init(&l.state, &m->params, c->ema > 0, err)))
        goto done;
    if (spec->resume && (st = sg_checkpoint_load(dir, m, l.optim, &l.state, spec, err)))
        goto done;
    l.state.resumed_at = l.state.step;
    l.seconds_before = l.state.seconds;
    if ((st = sg_progress_say(progress, err, "train", "%s: %zu weights, %zu examples, %lld steps an epoch%s",
                              m->class->name, sg_params_count(&m->params), l.n, (long long)l.per_epoch,
                              l.state.step ? ", resumed" : "")) ||
        (st = c->stream ? sg_stream_run(&l, err) : run(&l, err)) || (st = finish(&l, err)))
        goto done;
    const char *const *names = sg_eval_select_names(m);
    *report =
        json_pack("{s:s, s:I, s:I, s:f, s:I, s:{s:o, s:o}, s:I, s:f}", "model", m->class->name, "weights",
                  (json_int_t)sg_params_count(&m->params), "steps", (json_int_t)l.state.step, "epochs",
                  (double)l.state.step / (double)l.per_epoch, "best_step", (json_int_t)l.state.best_step,
                  "best_valid", names[0], sg_receipt_number(l.state.best_metric[0]), names[1],
                  sg_receipt_number(l.state.best_metric[1]), "skipped_steps", (json_int_t)l.state.skipped,
                  "seconds", elapsed(&l));
    st = *report ? sg_stream_report(&l, *report, err) : sg_fail_memory(err, "training report");
    if (!st && !(st = take_notes(&notes, &l, err)) && notes && json_object_set(*report, "notes", notes))
        st = sg_fail_memory(err, "training report");
done:
    json_decref(notes);
    sg_stream_free(l.stream);
    sg_train_state_fini(&l.state, &m->params);
    sg_optim_free(l.optim);
    sg_graph_free(l.graph);
    sg_free(l.order);
    return st;
}
