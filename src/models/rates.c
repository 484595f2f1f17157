/* rates.c - effects of items on yes-or-no answers, filtered forward in time. */
#include "models/rates.h"

#include "base/alloc.h"

#include <math.h>
#include <stdlib.h>

typedef struct moment {
    int64_t time, event;
} moment;

static int by_time(const void *a, const void *b)
{
    const moment *x = a, *y = b;

    return x->time != y->time ? (x->time > y->time) - (x->time < y->time)
                              : (x->event > y->event) - (x->event < y->event);
}

/* *order (*n): the training events as they happened. */
static sg_status order_events(moment **order, size_t *n, const sg_train_data *t, sg_error *err)
{
    const sg_dataset *d = t->data;
    moment *m;

    *n = 0;
    for (int32_t u = 0; u < d->n_users; u++)
        *n += (size_t)(t->split->train_end[u] - d->user_offsets[u]);
    if (!(*order = m = sg_alloc_array(*n, sizeof *m)))
        return sg_fail_memory(err, "order of events");
    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < t->split->train_end[u]; e++)
            *m++ = (moment){d->timestamp ? d->timestamp[e] : 0, e};
    qsort(*order, *n, sizeof **order, by_time);
    return SG_OK;
}

typedef struct effect {
    double mean, variance;
} effect;

typedef struct share { /* of yes so far */
    double yes, all;
} share;

static double logit_of(const share *s)
{
    return log((s->yes + 1) / (s->all - s->yes + 1)); /* never infinite */
}

/* What one answer says of a user and an item: the part of the surprise that falls to each is its share of the doubt. */
static void learn(effect *user, effect *item, double base, bool yes)
{
    static const double LEAST = 0.02; /* answers are never taken as more certain than that */
    const double p = 1 / (1 + exp(-base - user->mean - item->mean)),
                 slope = p * (1 - p) > LEAST ? p * (1 - p) : LEAST;
    const double doubt = user->variance + item->variance + 1 / slope, surprise = ((double)yes - p) / slope;
    effect *const both[] = {user, item};

    for (int i = 0; i < 2; i++) {
        const double gain = both[i]->variance / doubt;

        both[i]->mean += gain * surprise;
        both[i]->variance *= 1 - gain;
    }
}

static void put(float *to, double base, const effect *item)
{
    to[0] = (float)(base + item->mean);
    to[1] = (float)item->variance;
}

sg_status sg_rates_filter(sg_rates *out, const sg_model *m, const sg_train_data *t, double variance,
                          sg_error *err)
{
    const sg_dataset *d = t->data;
    const int tasks = m->class->tasks(m);
    const size_t width = (size_t)tasks, n_items = (size_t)d->n_items * width,
                 n_users = (size_t)d->n_users * width;
    effect *item = sg_alloc_array(n_items, sizeof *item), *user = sg_alloc_array(n_users, sizeof *user);
    share *every = sg_alloc_zero(width, sizeof *every);
    int32_t *who = sg_alloc_array((size_t)d->n_events, sizeof *who);
    moment *order = NULL;
    size_t n;
    sg_status st;

    sg_rates_free(out);
    *out = (sg_rates){.tasks = tasks,
                      .before = sg_alloc_zero((size_t)d->n_events * width, SG_RATE * sizeof *out->before),
                      .after = sg_alloc_array(n_items, SG_RATE * sizeof *out->after)};
    if (!item || !user || !every || !who || !out->before || !out->after) {
        st = sg_fail_memory(err, "effects of items");
        goto done;
    }
    if ((st = order_events(&order, &n, t, err)))
        goto done;
    for (size_t i = 0; i < n_items; i++)
        item[i] = (effect){0, variance};
    for (size_t i = 0; i < n_users; i++)
        user[i] = (effect){0, 1};
    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < d->user_offsets[u + 1]; e++)
            who[e] = u;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < width; k++) {
            const size_t e = (size_t)order[i].event;
            effect *b = &item[(size_t)d->item[e] * width + k];
            const int label = m->class->label(m, d, order[i].event, (int)k);
            const double base = logit_of(&every[k]);

            put(out->before + (e * width + k) * SG_RATE, base, b);
            if (label < 0)
                continue;
            learn(&user[(size_t)who[e] * width + k], b, base, label == 1);
            every[k].yes += label == 1;
            every[k].all++;
        }
    for (size_t i = 0; i < n_items; i++)
        put(out->after + i * SG_RATE, logit_of(&every[i % width]), &item[i]);
done:
    if (st)
        sg_rates_free(out);
    sg_free(order);
    sg_free(item);
    sg_free(user);
    sg_free(every);
    sg_free(who);
    return st;
}

void sg_rates_free(sg_rates *r)
{
    sg_free(r->before);
    sg_free(r->after);
    *r = (sg_rates){0};
}
