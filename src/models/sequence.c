/* sequence.c - item sequences: runs, packing, losses and scores over the item table. */
#include "models/sequence.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "math/gemm.h"
#include "math/math.h"
#include "models/thin.h"

#include <assert.h>
#include <math.h>
#include <string.h>

sg_status sg_runs_new(sg_runs *out, const sg_train_data *t, int length, bool latest, double alpha,
                      sg_error *err)
{
    size_t cap_user = 0, cap_end = 0;

    sg_runs_free(out);
    *out = (sg_runs){.data = t->data, .learned = t->learned, .length = length, .alpha = alpha};
    for (int32_t u = 0; u < t->data->n_users; u++) {
        const int64_t begin = t->data->user_offsets[u], fresh = t->learned ? t->learned[u] : begin;

        for (int64_t end = t->split->train_end[u]; end - begin >= 2 && end > fresh;
             end = latest ? begin : end - length) {
            if (!sg_grow(&out->user, &cap_user, out->n + 1, sizeof *out->user) ||
                !sg_grow(&out->end, &cap_end, out->n + 1, sizeof *out->end))
                return sg_fail_memory(err, "training examples");
            out->user[out->n] = u;
            out->end[out->n++] = end;
        }
    }
    return SG_OK;
}

void sg_runs_free(sg_runs *r)
{
    sg_free(r->user);
    sg_free(r->end);
    *r = (sg_runs){0};
}

/* Arrays for out->tokens tokens; times when `timed`. */
static bool take_tokens(sg_sequences *out, sg_graph *g, bool timed)
{
    const size_t tokens = (size_t)out->tokens;

    out->item = sg_scratch(g, tokens, sizeof *out->item);
    out->time = timed ? sg_scratch(g, tokens, sizeof *out->time) : NULL;
    out->next = timed ? sg_scratch(g, tokens, sizeof *out->next) : NULL;
    return out->item && (!timed || (out->time && out->next));
}

static bool is_label(const sg_runs *r, int32_t user, int64_t event)
{
    return (!r->learned || event >= r->learned[user]) &&
           (r->like <= 0 || (double)r->data->rating[event] >= r->like);
}

/* n inputs of a run of a user that begins at event `first`, all or those at `place`, each with the event after it. */
static void pack_run(sg_sequences *out, const sg_runs *r, int at, int32_t user, int64_t first,
                     const int32_t *place, int n)
{
    const sg_dataset *d = r->data;

    for (int i = 0; i < n; i++) {
        const int64_t event = first + (place ? place[i] : i);

        out->item[at + i] = d->item[event];
        out->target[at + i] = is_label(r, user, event + 1) ? d->item[event + 1] : -1;
        if (out->time) {
            out->time[at + i] = d->timestamp[event];
            out->next[at + i] = d->timestamp[event + 1];
        }
    }
}

bool sg_runs_pack(sg_sequences *out, sg_graph *g, const sg_runs *r, const uint32_t *example, int n,
                  uint64_t seed, uint64_t step)
{
    const sg_dataset *d = r->data;
    int32_t *all = sg_scratch(g, (size_t)n, sizeof *all),
            *place = sg_scratch(g, (size_t)r->length, sizeof *place);
    float *key = sg_scratch(g, 2 * (size_t)r->length, sizeof *key);

    *out = (sg_sequences){.n = n, .offsets = sg_scratch(g, (size_t)n + 1, sizeof *out->offsets)};
    if (!out->offsets || !all || !place || !key)
        return false;
    for (int i = 0; i < n; i++) {
        const int64_t have = r->end[example[i]] - d->user_offsets[r->user[example[i]]] - 1;

        all[i] = (int)(have < r->length ? have : r->length);
        out->offsets[i] = out->tokens;
        out->tokens +=
            sg_thin_length(all[i], r->length, r->alpha, sg_rng_double(seed, SG_RNG_SAMPLE, step, example[i]));
    }
    out->offsets[n] = out->tokens;
    if (!take_tokens(out, g, d->timestamp != NULL) ||
        !(out->target = sg_scratch(g, (size_t)out->tokens, sizeof *out->target)))
        return false;
    for (int i = 0; i < n; i++) {
        const int keep = out->offsets[i + 1] - out->offsets[i];
        const int64_t first = r->end[example[i]] - all[i] - 1;
        const bool part = keep < all[i];

        if (part)
            sg_thin_places(place, keep, d->timestamp ? d->timestamp + first : NULL, all[i], key, seed,
                           sg_rng_u64(seed, SG_RNG_SAMPLE, step, example[i]));
        pack_run(out, r, out->offsets[i], r->user[example[i]], first, part ? place : NULL, keep);
    }
    return true;
}

bool sg_runs_pack_whole(sg_sequences *out, sg_graph *g, const sg_runs *r, const uint32_t *example, int n)
{
    const sg_dataset *d = r->data;

    *out = (sg_sequences){.n = n, .offsets = sg_scratch(g, (size_t)n + 1, sizeof *out->offsets)};
    if (!out->offsets)
        return false;
    for (int i = 0; i < n; i++) {
        const int64_t have = r->end[example[i]] - d->user_offsets[r->user[example[i]]];

        out->offsets[i] = out->tokens;
        out->tokens += (int)(have < r->length + 1 ? have : r->length + 1);
    }
    out->offsets[n] = out->tokens;
    if (!take_tokens(out, g, false))
        return false;
    for (int i = 0; i < n; i++) {
        const int len = out->offsets[i + 1] - out->offsets[i];

        memcpy(out->item + out->offsets[i], d->item + r->end[example[i]] - len,
               (size_t)len * sizeof *out->item);
    }
    return true;
}

/* Event `first` is the first token's; the history is read from event `begin` on. */
static void pack_times(sg_sequences *out, const sg_histories *h, int i, int64_t begin, int64_t first)
{
    const int from = out->offsets[i], end = out->offsets[i + 1];
    int64_t least = h->timestamp[begin];

    for (int64_t e = begin; e < first; e++)
        least = h->timestamp[e] > least ? h->timestamp[e] : least;
    for (int t = from; t < end; t++) {
        const int64_t time = h->timestamp[first + t - from];

        out->time[t] = least = time > least ? time : least;
        if (t > from)
            out->next[t - 1] = out->time[t];
    }
    if (end > from)
        out->next[end - 1] = h->now ? h->now[i] : out->time[end - 1];
}

bool sg_histories_resume(sg_sequences *out, sg_graph *g, const sg_histories *h, int length, int step,
                         bool timed)
{
    *out = (sg_sequences){.n = h->n,
                          .offsets = sg_scratch(g, (size_t)h->n + 1, sizeof *out->offsets),
                          .last = sg_scratch(g, (size_t)h->n, sizeof *out->last),
                          .before = h->past ? sg_scratch(g, (size_t)h->n, sizeof *out->before) : NULL};
    if (!out->offsets || !out->last || (h->past && !out->before))
        return false;
    for (int i = 0; i < h->n; i++) {
        const int64_t begin = sg_window_begin(h, i, length, step);
        const int have = (int)(h->offsets[i + 1] - begin);

        out->offsets[i] = out->tokens;
        if (h->past)
            out->before[i] = sg_past_agree(h, i, begin, timed && h->timestamp, have > 0 ? have - 1 : 0);
        out->tokens += have - (h->past ? out->before[i] : 0);
        out->last[i] = have ? out->tokens - 1 : -1;
    }
    out->offsets[h->n] = out->tokens;
    if (!take_tokens(out, g, h->timestamp != NULL))
        return false;
    for (int i = 0; i < h->n; i++) {
        const size_t len = (size_t)(out->offsets[i + 1] - out->offsets[i]);
        const int64_t first = h->offsets[i + 1] - (int64_t)len;

        if (len)
            memcpy(out->item + out->offsets[i], h->item + first, len * sizeof *out->item);
        if (out->time && len)
            pack_times(out, h, i, sg_window_begin(h, i, length, step), first);
    }
    return true;
}

bool sg_histories_note(sg_graph *g, const sg_histories *h, int length, int step)
{
    for (int i = 0; h->past && i < h->n; i++)
        if (!sg_past_note(h, i, sg_window_begin(h, i, length, step))) {
            sg_graph_fail(g, SG_ERR_MEMORY, "past of a history: out of memory");
            return false;
        }
    return true;
}

bool sg_histories_pack(sg_sequences *out, sg_graph *g, const sg_histories *h, int length)
{
    sg_histories whole = *h;

    whole.past = NULL;
    return sg_histories_resume(out, g, &whole, length, 1, false);
}

bool sg_sequences_append(sg_sequences *out, sg_graph *g, const sg_sequences *q)
{
    *out = (sg_sequences){.n = q->n,
                          .tokens = q->tokens + q->n,
                          .offsets = sg_scratch(g, (size_t)q->n + 1, sizeof *out->offsets),
                          .last = sg_scratch(g, (size_t)q->n, sizeof *out->last)};
    if (!out->offsets || !out->last || !take_tokens(out, g, false))
        return false;
    for (int i = 0; i <= q->n; i++)
        out->offsets[i] = q->offsets[i] + i;
    for (int i = 0; i < q->n; i++) {
        memcpy(out->item + out->offsets[i], q->item + q->offsets[i],
               (size_t)(q->offsets[i + 1] - q->offsets[i]) * sizeof *out->item);
        out->last[i] = out->offsets[i + 1] - 1;
        out->item[out->last[i]] = -1;
    }
    return true;
}

int32_t *sg_places_from_end(sg_graph *g, const sg_sequences *q)
{
    int32_t *place = sg_scratch(g, (size_t)q->tokens, sizeof *place);

    for (int b = 0; place && b < q->n; b++)
        for (int i = q->offsets[b]; i < q->offsets[b + 1]; i++)
            place[i] = q->offsets[b + 1] - 1 - i;
    return place;
}

int32_t *sg_places_from_start(sg_graph *g, const sg_sequences *q)
{
    int32_t *place = sg_scratch(g, (size_t)q->tokens, sizeof *place);

    for (int b = 0; place && b < q->n; b++)
        for (int i = q->offsets[b]; i < q->offsets[b + 1]; i++)
            place[i] = i - q->offsets[b] + (q->before ? q->before[b] : 0);
    return place;
}

sg_status sg_sampler_new(sg_sampler *out, const sg_train_data *t, double alpha, sg_error *err)
{
    const size_t n = (size_t)t->data->n_items;
    double events = 0, odds = 0;

    sg_sampler_free(out);
    out->upto = alpha > 0 ? sg_alloc_zero(n, sizeof *out->upto) : NULL;
    out->label = sg_alloc_zero(n, sizeof *out->label);
    if (!out->label || (alpha > 0 && !out->upto))
        return sg_fail_memory(err, "sampler of negatives");
    for (int32_t u = 0; u < t->data->n_users; u++)
        for (int64_t e = t->data->user_offsets[u]; e < t->split->train_end[u]; e++, events++)
            out->label[t->data->item[e]]++;
    for (size_t i = 0; i < n; i++) {
        odds += out->label[i] > 0 ? pow(out->label[i], alpha) : 0;
        if (out->upto)
            out->upto[i] = odds;
        out->label[i] /= events;
    }
    return SG_OK;
}

void sg_sampler_free(sg_sampler *s)
{
    sg_free(s->upto);
    sg_free(s->label);
    *s = (sg_sampler){0};
}

static int32_t draw(const sg_sampler *from, int32_t n_items, uint64_t seed, uint64_t step, uint64_t i)
{
    int32_t low = 0, high = n_items - 1;

    if (!from || !from->upto)
        return (int32_t)sg_rng_below((uint64_t)n_items, seed, SG_RNG_NEGATIVE, step, i);
    const double u = sg_rng_double(seed, SG_RNG_NEGATIVE, step, i) * from->upto[n_items - 1];
    while (low < high) { /* the first with u < upto */
        const int32_t middle = low + (high - low) / 2;

        if (u < from->upto[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Negatives into spec: the labels of the batch, if asked for, then those drawn. */
static bool take_negatives(sg_graph *g, sg_sampled_spec *spec, const sg_item_loss *loss, int rows,
                           int32_t n_items, uint64_t seed, uint64_t step)
{
    const size_t drawn = (size_t)loss->negatives * (loss->shared ? 1 : (size_t)rows);
    int32_t *negative = sg_scratch(g, drawn + (size_t)rows, sizeof *negative);
    size_t n = 0;

    if (!negative)
        return false;
    for (int r = 0; loss->batch && r < rows; r++)
        if (spec->target[r] >= 0)
            negative[n++] = spec->target[r];
    spec->n_neg = (int)n + loss->negatives;
    for (size_t i = 0; i < drawn; i++)
        negative[n++] = draw(loss->from, n_items, seed, step, i);
    spec->negatives = negative;
    return true;
}

/* logq log(how many of the negatives are expected to be item i), for the items at hand. */
static bool correct_logits(sg_graph *g, sg_sampled_spec *spec, const sg_item_loss *loss, int rows,
                           int32_t n_items)
{
    const sg_sampler *from = loss->from;
    const int n_negative = spec->n_neg * (spec->shared ? 1 : rows), labels = spec->n_neg - loss->negatives;
    float *logq = sg_scratch(g, (size_t)n_items, sizeof *logq);

    assert(from || labels == 0);
    for (int k = 0; logq && k < rows + n_negative; k++) {
        const int32_t i = k < rows ? spec->target[k] : spec->negatives[k - rows];
        double share = 1.0 / n_items;

        if (i < 0)
            continue;
        if (from && from->upto)
            share = (from->upto[i] - (i ? from->upto[i - 1] : 0)) / from->upto[n_items - 1];
        const double expected = loss->negatives * share + (labels ? labels * from->label[i] : 0);
        logq[i] = (float)(loss->logq * log(fmax(expected, 1e-12)));
    }
    spec->logq = logq;
    return logq != NULL;
}

sg_tensor *sg_item_loss_of(sg_graph *g, sg_tensor *h, sg_param *table, const int32_t *target,
                           const sg_item_loss *spec, uint64_t seed, uint64_t step)
{
    const float scale = (float)(1 / spec->temperature);
    const int n_items = table->dim[0];
    sg_sampled_spec sampled = {.target = target, .shared = spec->shared, .scale = scale, .l2 = spec->cosine};

    if (!h)
        return NULL;
    if (!strcmp(spec->kind, "ce"))
        return sg_softmax_ce(g, h, table, NULL, target, NULL, scale, (float)spec->label_smoothing);
    if (!take_negatives(g, &sampled, spec, h->dim[0], n_items, seed, step))
        return NULL;
    if (!strcmp(spec->kind, "bpr_max"))
        return sg_sampled_bpr_max(g, h, table, &sampled, (float)spec->bpr_reg);
    if (!strcmp(spec->kind, "top1_max"))
        return sg_sampled_top1_max(g, h, table, &sampled);
    if (!strcmp(spec->kind, "sampled")) {
        if (spec->logq > 0 && !correct_logits(g, &sampled, spec, h->dim[0], n_items))
            return NULL;
        return sg_sampled_ce(g, h, table, &sampled);
    }
    if (!strcmp(spec->kind, "bce") || n_items < 2)
        return sg_sampled_bce(g, h, table, &sampled, 1);
    const double alpha = (double)sampled.n_neg / (n_items - 1);
    return sg_sampled_bce(g, h, table, &sampled,
                          (float)(alpha * (spec->gbce_t * (1 - 1 / alpha) + 1 / alpha)));
}

/* Lengths of the rows of a table, counted when it is new to the session. */
static sg_status measure_rows(sg_session *s, const sg_param *table, sg_error *err)
{
    const size_t n = (size_t)table->dim[0], dim = (size_t)table->dim[1];

    if (s->inverse_of == table && s->inverse_version == table->version)
        return SG_OK;
    s->inverse_of = NULL;
    if (!sg_grow(&s->inverse, &s->cap_inverse, n, sizeof *s->inverse))
        return sg_fail_memory(err, "lengths of item vectors");
    for (size_t j = 0; j < n; j++)
        s->inverse[j] = 1 / fmaxf(sqrtf(sg_dot(table->value + j * dim, table->value + j * dim, dim)), 1e-12f);
    s->inverse_of = table;
    s->inverse_version = table->version;
    return SG_OK;
}

sg_status sg_item_scores(sg_session *s, sg_tensor *h, sg_param *table, const sg_param *bias, bool cosine,
                         float *scores, sg_error *err)
{
    const int n = table->dim[0], dim = table->dim[1];
    sg_graph *g = s->graph;
    sg_status st;

    if ((st = sg_graph_status(g, err)))
        return st;
    sg_gemm_linear(s->pool, sg_graph_precision(g), h->dim[0], h->data, dim, table, bias ? bias->value : NULL,
                   scores, n);
    if (!cosine)
        return SG_OK;
    if ((st = measure_rows(s, table, err))) /* the user's own length does not change ranks */
        return st;
    for (int i = 0; i < h->dim[0]; i++)
        for (int j = 0; j < n; j++)
            scores[(size_t)i * (size_t)n + (size_t)j] *= s->inverse[j];
    return SG_OK;
}
