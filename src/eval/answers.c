/* answers.c - yes-or-no predictions against what happened: the metrics, and asking a model that ranks candidates.
 *
 * Labels come from the dataset as the model reads it. A request stands at each target event: the history is
 * everything of the user before it, earlier targets included, as it is when a ranking model is asked online. */
#include "base/alloc.h"
#include "eval/ranks.h"
#include "file/receipt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 5 }; /* events in training: items with fewer count as rare */

typedef struct answer {
    float p;
    uint8_t y;
    int32_t user;
} answer;

static int by_probability(const void *a, const void *b)
{
    const float x = ((const answer *)a)->p, y = ((const answer *)b)->p;

    return (x > y) - (x < y);
}

static int by_user(const void *a, const void *b)
{
    const answer *x = a, *y = b;

    return x->user != y->user ? (x->user > y->user) - (x->user < y->user) : by_probability(a, b);
}

/* Share of pairs (positive, negative) in the right order, of answers sorted by p; NaN: no pair. */
static double auc_of(const answer *a, size_t n)
{
    double below = 0, pairs = 0, positives = 0;

    for (size_t i = 0; i < n;) { /* runs of one p: those before are below, those inside count half */
        double yes = 0, no = 0;
        const float p = a[i].p;

        for (; i < n && a[i].p == p; i++) {
            yes += a[i].y;
            no += !a[i].y;
        }
        pairs += yes * (below + no / 2);
        below += no;
        positives += yes;
    }
    return positives > 0 && below > 0 ? pairs / (positives * below) : (double)NAN;
}

static double gauc_of(const answer *a, size_t n)
{
    double sum = 0, weight = 0;

    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && a[end].user == a[i].user;)
            end++;
        const double auc = auc_of(a + i, end - i);

        if (!isnan(auc)) {
            sum += auc * (double)(end - i);
            weight += (double)(end - i);
        }
    }
    return weight > 0 ? sum / weight : (double)NAN;
}

static double entropy(double p)
{
    return p > 0 && p < 1 ? -p * log(p) - (1 - p) * log(1 - p) : 0;
}

sg_status sg_metrics_answers(sg_answer_values *out, const float *p, const uint8_t *y, const int32_t *user,
                             size_t n, sg_error *err)
{
    static const double LEAST = 1e-7; /* f32 knows no probability nearer to 1 */
    answer *a = sg_alloc_array(n, sizeof *a);
    double loss = 0, sum = 0;

    *out = (sg_answer_values){.n = (int64_t)n};
    if (!a)
        return sg_fail_memory(err, "answers");
    for (size_t i = 0; i < n; i++) {
        if (!(p[i] >= 0 && p[i] <= 1)) {
            sg_free(a);
            return sg_fail(err, SG_ERR_NUMERIC, "expected probabilities from 0 to 1, found %g", (double)p[i]);
        }
        const double given = y[i] ? (double)p[i] : 1 - (double)p[i];

        a[i] = (answer){p[i], y[i], user[i]};
        loss -= log(given < LEAST ? LEAST : given > 1 - LEAST ? 1 - LEAST : given);
        sum += (double)p[i];
        out->positives += y[i];
    }
    out->log_loss = n ? loss / (double)n : (double)NAN;
    const double even = n ? entropy((double)out->positives / (double)n) : 0;
    out->ne = even > 0 ? out->log_loss / even : (double)NAN;
    out->calibration = out->positives ? sum / (double)out->positives : (double)NAN;
    qsort(a, n, sizeof *a, by_probability);
    out->auc = auc_of(a, n);
    qsort(a, n, sizeof *a, by_user);
    out->gauc = gauc_of(a, n);
    sg_free(a);
    return SG_OK;
}

/* ---- asking a model ---- */

typedef struct answers {
    int tasks;
    size_t n, cap[3]; /* events asked */
    float *p;         /* owned (n, tasks) */
    int32_t *user;    /* owned (n) */
    int64_t *event;   /* owned (n) */
} answers;

static void answers_free(answers *a)
{
    sg_free(a->p);
    sg_free(a->user);
    sg_free(a->event);
}

/* The target events of one case, in order. */
static sg_status ask_case(answers *a, sg_session *s, const sg_dataset *d, const sg_case *c, sg_error *err)
{
    sg_status st = SG_OK;

    for (int64_t e = c->target_begin; !st && e < c->target_end; e++) {
        const int64_t offsets[] = {c->begin, e};
        const sg_histories h = {.n = 1,
                                .offsets = offsets,
                                .item = d->item,
                                .timestamp = d->timestamp,
                                .user = &c->user,
                                .now = d->timestamp ? d->timestamp + e : NULL,
                                .action = d->action,
                                .rating = d->rating};

        if (!sg_grow(&a->p, &a->cap[0], (a->n + 1) * (size_t)a->tasks, sizeof *a->p) ||
            !sg_grow(&a->user, &a->cap[1], a->n + 1, sizeof *a->user) ||
            !sg_grow(&a->event, &a->cap[2], a->n + 1, sizeof *a->event))
            return sg_fail_memory(err, "answers");
        a->user[a->n] = c->user;
        a->event[a->n] = e;
        if (!(st = s->model->class->rank(s, &h, d->item + e, 1, a->p + a->n * (size_t)a->tasks, err)))
            a->n++;
    }
    return st;
}

static sg_status ask_all(answers *a, const sg_model *m, const sg_train_data *t, const sg_eval_spec *spec,
                         sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    sg_session *s = NULL;
    sg_ranks r = {0};
    sg_status st;

    *a = (answers){.tasks = m->class->tasks(m)};
    if ((st = sg_ranks_choose(&r, t, spec, err)) || (st = sg_session_new(&s, m, pool, err)))
        goto done;
    for (size_t i = 0; !st && i < r.n; i++)
        if (!(st = ask_case(a, s, t->data, r.cases[i], err)))
            st = sg_progress_tick(
                progress,
                &(sg_progress_event){
                    .stage = "rank", .unit = "users", .done = (double)i + 1, .total = (double)r.n},
                err);
done:
    sg_session_free(s);
    sg_ranks_free(&r);
    return st;
}

/* What the events say that answer one task. */
typedef struct task_labels {
    size_t n;
    float *p;      /* owned (n): of the model */
    float *floor;  /* owned (n): of the item's share of yes in training; NULL: not asked */
    uint8_t *y;    /* owned (n) */
    int32_t *user; /* owned (n) */
} task_labels;

static void labels_free(task_labels *l)
{
    sg_free(l->p);
    sg_free(l->floor);
    sg_free(l->y);
    sg_free(l->user);
}

static sg_status labels_of(task_labels *l, const answers *a, const sg_model *m, const sg_dataset *d, int task,
                           sg_error *err)
{
    *l = (task_labels){.p = sg_alloc_array(a->n, sizeof *l->p),
                       .y = sg_alloc_array(a->n, 1),
                       .user = sg_alloc_array(a->n, sizeof *l->user)};
    if (!l->p || !l->y || !l->user)
        return sg_fail_memory(err, "answers");
    for (size_t i = 0; i < a->n; i++) {
        const int label = m->class->label(m, d, a->event[i], task);

        if (label < 0)
            continue;
        l->p[l->n] = a->p[i * (size_t)a->tasks + (size_t)task];
        l->y[l->n] = (uint8_t)label;
        l->user[l->n++] = a->user[i];
    }
    return SG_OK;
}

static sg_status put_values(json_t *out, const sg_answer_values *v, sg_error *err)
{
    const struct {
        const char *name;
        double value;
    } values[] = {{"auc", v->auc},
                  {"gauc", v->gauc},
                  {"ne", v->ne},
                  {"log_loss", v->log_loss},
                  {"calibration", v->calibration}};
    sg_status st;

    if ((st = sg_receipt_put(out, "n", json_integer((json_int_t)v->n), err)) ||
        (st = sg_receipt_put(out, "positives", json_integer((json_int_t)v->positives), err)))
        return st;
    for (size_t i = 0; !st && i < sizeof values / sizeof *values; i++)
        st = sg_receipt_put(out, values[i].name, sg_receipt_number(values[i].value), err);
    return st;
}

/* Of the answers about items with fewer than FEW events in training, or none at all: how a model does where it has seen little. */
static sg_status put_rare(json_t *out, const answers *a, const task_labels *l, const sg_model *m,
                          const sg_train_data *t, int task, sg_error *err)
{
    const sg_dataset *d = t->data;
    int64_t *times = sg_alloc_zero((size_t)d->n_items + 1, sizeof *times);
    task_labels rare = {.p = sg_alloc_array(l->n, sizeof *rare.p),
                        .y = sg_alloc_array(l->n, 1),
                        .user = sg_alloc_array(l->n, sizeof *rare.user)};
    sg_answer_values v;
    json_t *part;
    sg_status st = times && rare.p && rare.y && rare.user ? SG_OK : sg_fail_memory(err, "answers");

    for (int32_t u = 0; !st && u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < t->split->train_end[u]; e++)
            times[d->item[e]]++;
    for (size_t i = 0, at = 0; !st && i < a->n; i++) {
        if (m->class->label(m, d, a->event[i], task) < 0)
            continue;
        if (times[d->item[a->event[i]]] < FEW) {
            rare.p[rare.n] = l->p[at];
            rare.y[rare.n] = l->y[at];
            rare.user[rare.n++] = l->user[at];
        }
        at++;
    }
    if (!st && rare.n && !(st = sg_metrics_answers(&v, rare.p, rare.y, rare.user, rare.n, err)) &&
        !(st = sg_receipt_object(&part, out, "rare_items", err)))
        st = put_values(part, &v, err);
    labels_free(&rare);
    sg_free(times);
    return st;
}

/* The floor: how often an item was answered with yes in training, as if ten more answers had been like all. */
static sg_status add_floor(task_labels *l, const answers *a, const sg_model *m, const sg_train_data *t,
                           int task, sg_error *err)
{
    const sg_dataset *d = t->data;
    double *yes = sg_alloc_zero((size_t)d->n_items + 1, sizeof *yes),
           *all = sg_alloc_zero((size_t)d->n_items + 1, sizeof *all);
    const size_t total = (size_t)d->n_items;
    size_t n = 0;

    l->floor = sg_alloc_array(a->n, sizeof *l->floor);
    if (!yes || !all || !l->floor) {
        sg_free(yes);
        sg_free(all);
        return sg_fail_memory(err, "answers");
    }
    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < t->split->train_end[u]; e++) {
            const int label = m->class->label(m, d, e, task);

            yes[d->item[e]] += label == 1;
            all[d->item[e]] += label >= 0;
            yes[total] += label == 1;
            all[total] += label >= 0;
        }
    const double base = all[total] > 0 ? yes[total] / all[total] : 0.5;
    for (size_t i = 0; i < a->n; i++) {
        const int32_t item = d->item[a->event[i]];

        if (m->class->label(m, d, a->event[i], task) >= 0)
            l->floor[n++] = (float)((yes[item] + 10 * base) / (all[item] + 10));
    }
    sg_free(yes);
    sg_free(all);
    return SG_OK;
}

static sg_status put_task(json_t *out, const answers *a, const sg_model *m, const sg_train_data *t, int task,
                          bool floors, sg_error *err)
{
    json_t *one, *floor;
    sg_answer_values v;
    task_labels l;
    char name[64];
    sg_status st = labels_of(&l, a, m, t->data, task, err);

    if (st || l.n == 0)
        goto done;
    m->class->task_name(m, t->data, task, name, sizeof name);
    if ((st = sg_metrics_answers(&v, l.p, l.y, l.user, l.n, err)) ||
        (st = sg_receipt_object(&one, out, name, err)) || (st = put_values(one, &v, err)) ||
        (st = put_rare(one, a, &l, m, t, task, err)) || !floors)
        goto done;
    if (!(st = add_floor(&l, a, m, t, task, err)) &&
        !(st = sg_metrics_answers(&v, l.floor, l.y, l.user, l.n, err)) &&
        !(st = sg_receipt_object(&floor, one, "item_rate", err)))
        st = put_values(floor, &v, err);
done:
    labels_free(&l);
    return st;
}

sg_status sg_answers_json(json_t **out, const sg_model *m, const sg_train_data *t, const sg_eval_spec *spec,
                          sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    json_t *all = json_object();
    answers a = {0};
    sg_status st = all ? ask_all(&a, m, t, spec, pool, progress, err) : sg_fail_memory(err, "answers");

    *out = NULL;
    for (int i = 0; !st && i < a.tasks; i++)
        st = put_task(all, &a, m, t, i, spec->floors, err);
    answers_free(&a);
    if (st)
        json_decref(all);
    else
        *out = all;
    return st;
}

sg_status sg_answers_mean(double *auc, double *ne, const sg_model *m, const sg_train_data *t,
                          const sg_eval_spec *spec, sg_pool *pool, sg_error *err)
{
    answers a;
    int n = 0;
    sg_status st = ask_all(&a, m, t, spec, pool, NULL, err);

    *auc = *ne = 0;
    for (int i = 0; !st && i < a.tasks; i++) {
        sg_answer_values v;
        task_labels l;

        if (!(st = labels_of(&l, &a, m, t->data, i, err)) &&
            !(st = sg_metrics_answers(&v, l.p, l.y, l.user, l.n, err)) && !isnan(v.auc)) {
            *auc += v.auc;
            *ne += v.ne;
            n++;
        }
        labels_free(&l);
    }
    *auc = n ? *auc / n : (double)NAN;
    *ne = n ? *ne / n : (double)NAN;
    answers_free(&a);
    return st;
}
