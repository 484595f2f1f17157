/* rates.c - shares of yes of items, counted forward in time. */
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

    return x->time != y->time ? (x->time > y->time) - (x->time < y->time) : (x->event > y->event) - (x->event < y->event);
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

typedef struct count {
    double yes, all;
} count;

static float logit(count item, count every, double weight)
{
    const double base = (every.yes + 1) / (every.all + 2); /* never 0 or 1 */

    return (float)log((item.yes + weight * base) / (item.all - item.yes + weight * (1 - base)));
}

sg_status sg_rates_count(sg_rates *out, const sg_model *m, const sg_train_data *t, double weight, sg_error *err)
{
    const sg_dataset *d = t->data;
    const int tasks = m->class->tasks(m);
    const size_t width = (size_t)tasks, n_items = (size_t)d->n_items;
    count *of = sg_alloc_zero((n_items + 1) * width, sizeof *of), *every = of ? of + n_items * width : NULL;
    moment *order = NULL;
    size_t n;
    sg_status st;

    sg_rates_free(out);
    *out = (sg_rates){.tasks = tasks,
                      .before = sg_alloc_zero((size_t)d->n_events * width, sizeof *out->before),
                      .after = sg_alloc_array(n_items * width, sizeof *out->after)};
    if (!of || !out->before || !out->after) {
        st = sg_fail_memory(err, "rates of items");
        goto done;
    }
    if ((st = order_events(&order, &n, t, err)))
        goto done;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < tasks; k++) {
            const int64_t e = order[i].event;
            count *c = &of[(size_t)d->item[e] * width + (size_t)k];
            const int label = m->class->label(m, d, e, k);

            out->before[(size_t)e * width + (size_t)k] = logit(*c, every[k], weight);
            c->yes += label == 1;
            c->all += label >= 0;
            every[k].yes += label == 1;
            every[k].all += label >= 0;
        }
    for (size_t i = 0; i < n_items; i++)
        for (int k = 0; k < tasks; k++)
            out->after[i * width + (size_t)k] = logit(of[i * width + (size_t)k], every[k], weight);
done:
    if (st)
        sg_rates_free(out);
    sg_free(order);
    sg_free(of);
    return st;
}

void sg_rates_free(sg_rates *r)
{
    sg_free(r->before);
    sg_free(r->after);
    *r = (sg_rates){0};
}
