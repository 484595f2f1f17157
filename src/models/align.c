/* align.c - pairs, the reference, the loss. */
#include "models/align.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "models/reward.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 64, WATCHED = 256, DRAW_ASKED = 1, DRAW_PLACE, DRAW_BEST, DRAW_WORST };

/* ---- the judge ----------------------------------------------------------------------------------------- */

static bool same_items(const sg_strings *a, const sg_strings *b)
{
    bool same = a->n == b->n;

    for (size_t i = 0; same && i < a->n; i++) {
        const sg_bytes x = sg_strings_at(a, i), y = sg_strings_at(b, i);

        same = x.size == y.size && (x.size == 0 || memcmp(x.data, y.data, x.size) == 0);
    }
    return same;
}

static sg_status open_judge(sg_model **judge, sg_align *a, const sg_train_data *t, sg_error *err)
{
    const char *dir = a->spec.reward;
    sg_reward_trust trust;
    sg_status st = sg_model_open(judge, dir, err);

    if (st)
        return st;
    if ((*judge)->class != &sg_model_onerec_reward)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected a judge of slates (onerec-reward), found %s", dir,
                       (*judge)->class->name);
    if (!same_items(&(*judge)->item_ids, &t->data->item_ids))
        return sg_fail(err, SG_ERR_USAGE, "%s: its items are not those of %s", dir, t->data->name);
    if ((st = sg_reward_check(&trust, *judge, t, NULL, err)))
        return st;
    a->accuracy = trust.accuracy;
    if (a->spec.least > 0 && !(trust.accuracy >= a->spec.least))
        return trust.pairs
                   ? sg_fail(err, SG_ERR_USAGE,
                             "%s: right about %.1f %% of %lld held-out pairs of slates: expected at least "
                             "%.1f %% (reward_least)",
                             dir, 100 * trust.accuracy, (long long)trust.pairs, 100 * a->spec.least)
                   : sg_fail(
                         err, SG_ERR_USAGE,
                         "%s: no held-out pairs of slates to measure it by; reward_least=0 takes it as it is",
                         dir);
    return SG_OK;
}

/* ---- pairs --------------------------------------------------------------------------------------------- */

typedef struct writer { /* what writing and judging the slates of one history takes */
    sg_session *session, *bench;
    sg_slate_spec find;
    int32_t *item, *lead;        /* owned (responses, items), (responses) */
    float *logp, *lead_logp, *p; /* owned (responses); (responses); (responses, tasks) */
    int32_t *of, *offsets;       /* owned (responses), all 0; (responses + 1) */
} writer;

static void writer_free(writer *w)
{
    sg_session_free(w->session);
    sg_session_free(w->bench);
    sg_free(w->item);
    sg_free(w->lead);
    sg_free(w->logp);
    sg_free(w->lead_logp);
    sg_free(w->p);
    sg_free(w->of);
    sg_free(w->offsets);
}

static sg_status writer_new(writer *w, const sg_align *a, const sg_model *judge, sg_error *err)
{
    const size_t n = (size_t)a->spec.responses;
    sg_status st;

    w->find = (sg_slate_spec){
        .items = a->spec.items, .beams = a->spec.responses, .branch = a->spec.branch, .seen = true};
    w->item = sg_alloc_array(n * (size_t)a->spec.items, sizeof *w->item);
    w->lead = sg_alloc_array(n, sizeof *w->lead);
    w->logp = sg_alloc_array(n, sizeof *w->logp);
    w->lead_logp = sg_alloc_array(n, sizeof *w->lead_logp);
    w->p = sg_alloc_array(n, (size_t)judge->class->tasks(judge) * sizeof *w->p);
    w->of = sg_alloc_zero(n, sizeof *w->of);
    w->offsets = sg_alloc_array(n + 1, sizeof *w->offsets);
    if (!w->item || !w->lead || !w->logp || !w->lead_logp || !w->p || !w->of || !w->offsets)
        return sg_fail_memory(err, "slates");
    for (size_t i = 0; i <= n; i++)
        w->offsets[i] = (int32_t)i * a->spec.items;
    st = sg_session_new(&w->session, a->model, NULL, err);
    return st ? st : sg_session_new(&w->bench, judge, NULL, err);
}

/* How many slates are whole; they come first, as they are the likeliest of their length. */
static int whole(const writer *w)
{
    int n = 0;

    while (n < w->find.beams && w->item[n * w->find.items + w->find.items - 1] >= 0)
        n++;
    return n;
}

static uint64_t key_of(const sg_align *a, uint64_t draw)
{
    return sg_rng_mix(8 * a->spec.seed + draw);
}

/* Slates after the events begin .. end - 1, written and judged; *out, or false: none differ enough. */
static sg_status make_pair(sg_pair *out, bool *made, writer *w, const sg_align *a, const sg_align_example *e,
                           int64_t end, sg_error *err)
{
    const sg_dataset *d = a->data;
    const int64_t offsets[] = {e->begin, end};
    const sg_histories h = {.n = 1,
                            .offsets = offsets,
                            .item = d->item,
                            .user = &e->user,
                            .rating = d->rating,
                            .action = d->action};
    const sg_model *judge = w->bench->model;
    const int tasks = judge->class->tasks(judge), goal = judge->class->goal(judge);
    int best = 0, worst = 0;
    sg_status st;

    *made = false;
    if ((st = sg_slates_find(w->item, w->logp, w->lead, w->lead_logp, w->find.beams, &a->coder, w->session,
                             &h, 0, 1, &w->find, err)))
        return st;
    const int n = whole(w);
    if (n < 2)
        return SG_OK;
    if ((st = sg_reward_slates(w->bench, &h, &(sg_slates){n, w->of, w->offsets, w->item}, w->p, err)))
        return st;
    for (int i = 1; i < n; i++) {
        best = w->p[i * tasks + goal] > w->p[best * tasks + goal] ? i : best;
        worst = w->p[i * tasks + goal] < w->p[worst * tasks + goal] ? i : worst;
    }
    if (!((double)w->p[best * tasks + goal] - (double)w->p[worst * tasks + goal] > a->spec.gap))
        return SG_OK;
    if (a->spec.random) {
        best = (int)sg_rng_below((uint64_t)n, key_of(a, DRAW_BEST), SG_RNG_SAMPLE, (uint64_t)e->user,
                                 (uint64_t)end);
        worst = (int)sg_rng_below((uint64_t)n - 1, key_of(a, DRAW_WORST), SG_RNG_SAMPLE, (uint64_t)e->user,
                                  (uint64_t)end);
        worst += worst >= best;
    }
    out->end = end;
    for (int i = 0; i < 2; i++) {
        const int from = i ? worst : best;

        memcpy(out->item[i], w->item + from * w->find.items, (size_t)w->find.items * sizeof **out->item);
        out->reward[i] = w->p[from * tasks + goal];
    }
    *made = true;
    return SG_OK;
}

static sg_status make_pairs(sg_align *a, size_t n, const sg_model *judge, sg_error *err)
{
    writer w = {0};
    size_t cap = 0;
    sg_status st = writer_new(&w, a, judge, err);

    for (size_t i = 0; !st && i < n; i++) {
        const sg_align_example *e = &a->examples[i];
        sg_pair pair = {.example = (uint32_t)i};
        bool made;

        a->pair_of[i] = -1;
        if (!(sg_rng_double(key_of(a, DRAW_ASKED), SG_RNG_SAMPLE, i, 0) < a->spec.share))
            continue;
        const int64_t end = e->first + (int64_t)sg_rng_below((uint64_t)(e->last - e->first + 1),
                                                             key_of(a, DRAW_PLACE), SG_RNG_SAMPLE, i, 0);

        a->asked++;
        if ((st = make_pair(&pair, &made, &w, a, e, end, err)) || !made)
            continue;
        if (!sg_grow(&a->pairs, &cap, a->n + 1, sizeof *a->pairs)) {
            st = sg_fail_memory(err, "pairs of slates");
            break;
        }
        a->pair_of[i] = (int32_t)a->n;
        a->pairs[a->n++] = pair;
        a->reward_best += (double)pair.reward[0];
        a->reward_worst += (double)pair.reward[1];
    }
    writer_free(&w);
    if (!st && a->n == 0)
        st = sg_fail(
            err, SG_ERR_USAGE,
            "onerec: of %lld examples asked, none gave slates whose rewards differ by more than gap=%g",
            (long long)a->asked, a->spec.gap);
    a->reward_best /= a->n ? (double)a->n : 1;
    a->reward_worst /= a->n ? (double)a->n : 1;
    return st;
}

/* The weights are about to move; what they said will be asked in the precision of the training. */
static sg_status keep_weights(sg_align *a, sg_error *err)
{
    const sg_params *ps = &a->model->params;

    if (!(a->before = sg_alloc_zero(ps->n, sizeof *a->before)))
        return sg_fail_memory(err, "weights of the reference");
    for (size_t i = 0; i < ps->n; i++) {
        if (!(a->before[i] = sg_alloc_array(ps->list[i]->count, sizeof(float))))
            return sg_fail_memory(err, "weights of the reference");
        memcpy(a->before[i], ps->list[i]->value, ps->list[i]->count * sizeof(float));
    }
    return SG_OK;
}

static void forget_weights(sg_align *a)
{
    for (size_t i = 0; a->before && i < a->model->params.n; i++)
        sg_free(a->before[i]);
    sg_free(a->before);
    a->before = NULL;
}

sg_status sg_align_start(sg_align *a, sg_model *m, const sg_coder *coder, const sg_train_data *t,
                         const sg_align_example *examples, size_t n, const sg_align_spec *spec, sg_error *err)
{
    sg_model *judge = NULL;
    sg_status st;

    sg_align_free(a);
    *a = (sg_align){.spec = *spec, .model = m, .coder = *coder, .data = t->data, .examples = examples};
    a->coder.spec.dropout = 0; /* p_0 and p are asked alike */
    if (!(a->pair_of = sg_alloc_array(n, sizeof *a->pair_of)))
        return sg_fail_memory(err, "pairs of slates");
    if (!(st = open_judge(&judge, a, t, err)) && !(st = make_pairs(a, n, judge, err)))
        st = keep_weights(a, err);
    sg_model_free(judge);
    if (st)
        return st;
    a->reference = sg_alloc_array(a->n, 2 * sizeof *a->reference);
    a->opening = sg_alloc_array(a->n, (size_t)coder->names.size[0] * sizeof *a->opening);
    return a->reference && a->opening ? SG_OK : sg_fail_memory(err, "reference");
}

void sg_align_free(sg_align *a)
{
    if (a->model)
        forget_weights(a);
    sg_free(a->pairs);
    sg_free(a->pair_of);
    sg_free(a->reference);
    sg_free(a->opening);
    *a = (sg_align){0};
}

/* ---- log p --------------------------------------------------------------------------------------------- */

/* (2 n, 1) log-probabilities of y_w and y_l of n pairs, one after the other. opening: NULL, or (n) logits of their first codes. */
static sg_tensor *log_probs(sg_graph *g, const sg_align *a, const int32_t *pair, int n, const float **opening)
{
    const sg_coder *s = &a->coder;
    const int items = a->spec.items, history = s->spec.history;
    sg_slate_rows b;

    if (!sg_slate_rows_take(&b, g, s, n, (size_t)n * (size_t)history, 2 * (size_t)n,
                            2 * (size_t)n * (size_t)items))
        return NULL;
    for (int i = 0; i < n; i++) {
        const sg_pair *p = &a->pairs[pair[i]];
        const sg_align_example *e = &a->examples[p->example];
        const int64_t have = p->end - e->begin, begin = have > history ? p->end - history : e->begin;

        sg_slate_rows_example(&b, e->user, a->data->item + begin, (int)(p->end - begin));
        for (int j = 0; j < 2; j++)
            sg_slate_rows_add(&b, s, (int)(p->end - begin), p->item[j], items);
    }
    sg_tensor *x = sg_slate_rows_forward(g, s, &b);
    sg_tensor *logits = sg_scale(g, sg_linear(g, x, s->names.head, NULL), s->names.scale);
    sg_tensor *each = sg_log_prob(g, logits, b.begin, b.size, b.target);

    for (int i = 0; logits && opening && i < n; i++)
        opening[i] = logits->data + (size_t)b.own[2 * i] * (size_t)logits->dim[1];
    return sg_scale(g, sg_segment_mean(g, each, b.own, 2 * n),
                    (float)(items * (s->names.levels + 1) - 1)); /* to sums */
}

static double log_sum(const float *x, int n)
{
    double most = -INFINITY, sum = 0;

    for (int i = 0; i < n; i++)
        most = (double)x[i] > most ? (double)x[i] : most;
    for (int i = 0; i < n; i++)
        sum += exp((double)x[i] - most);
    return most + log(sum);
}

/* Exchanges the weights with those of the start. */
static void swap_weights(sg_align *a)
{
    for (size_t i = 0; i < a->model->params.n; i++) {
        sg_param *p = a->model->params.list[i];
        float *keep = p->value;

        p->value = a->before[i];
        a->before[i] = keep;
        p->version++;
    }
}

static sg_status ask_reference(sg_align *a, sg_pool *pool, sg_precision precision, sg_error *err)
{
    const int codes = a->coder.names.size[0];
    int32_t pair[CHUNK];
    const float *opening[CHUNK];
    sg_graph *g;
    sg_status st = sg_graph_new(&g, pool, precision, err);

    if (st)
        return st;
    swap_weights(a);
    for (size_t first = 0; !st && first < a->n; first += CHUNK) {
        const int n = (int)(a->n - first < CHUNK ? a->n - first : CHUNK);

        for (int i = 0; i < n; i++)
            pair[i] = (int32_t)first + i;
        sg_graph_begin(g, SG_INFER, 0, 0);
        const sg_tensor *y = log_probs(g, a, pair, n, opening);
        if ((st = sg_graph_status(g, err)))
            break;
        memcpy(a->reference + 2 * first, y->data, 2 * (size_t)n * sizeof *a->reference);
        for (int i = 0; i < n; i++) {
            const double all = log_sum(opening[i], codes);

            for (int c = 0; c < codes; c++)
                a->opening[(first + (size_t)i) * (size_t)codes + (size_t)c] =
                    (float)((double)opening[i][c] - all);
        }
    }
    swap_weights(a);
    sg_graph_free(g);
    if (!st)
        forget_weights(a);
    return st;
}

/* ---- the loss ------------------------------------------------------------------------------------------ */

/* beta (log p / p_0 (y_w) - log p / p_0 (y_l)) of n pairs, (n, 1) */
static sg_tensor *margins(sg_graph *g, sg_align *a, const int32_t *pair, int n, const float **opening)
{
    int32_t *side = sg_scratch(g, 2 * (size_t)n, sizeof *side);
    sg_tensor *reference = sg_tensor_2d(g, 2 * n, 1);
    sg_error err;

    if (!side || !reference)
        return NULL;
    if (a->before && ask_reference(a, sg_graph_pool(g), sg_graph_precision(g), &err))
        return sg_graph_fail(g, err.status, "%s", err.message);
    for (int i = 0; i < n; i++) {
        memcpy(reference->data + 2 * i, a->reference + 2 * (size_t)pair[i], 2 * sizeof *a->reference);
        side[i] = 2 * i;
        side[n + i] = 2 * i + 1;
    }
    sg_tensor *gain = sg_minus(g, log_probs(g, a, pair, n, opening), reference);

    return sg_scale(g, sg_minus(g, sg_rows(g, gain, side, n), sg_rows(g, gain, side + n, n)),
                    (float)a->spec.beta);
}

static sg_tensor *dpo(sg_graph *g, sg_tensor *margin, int n)
{
    float *yes = sg_scratch(g, (size_t)n, sizeof *yes);

    if (!yes)
        return NULL;
    for (int i = 0; i < n; i++)
        yes[i] = 1;
    return sg_bce_logits(g, margin, yes, NULL);
}

sg_tensor *sg_align_loss(sg_graph *g, sg_align *a, const uint32_t *example, int n)
{
    int32_t *pair = sg_scratch(g, (size_t)n, sizeof *pair);
    int found = 0;

    for (int i = 0; pair && i < n; i++)
        if (a->pair_of[example[i]] >= 0)
            pair[found++] = a->pair_of[example[i]];
    return found ? dpo(g, margins(g, a, pair, found, NULL), found) : NULL;
}

static int put(json_t *o, const char *name, double x)
{
    return json_object_set_new(o, name, isfinite(x) ? json_real(x) : json_null());
}

sg_status sg_align_notes(sg_align *a, sg_pool *pool, json_t *notes, sg_error *err)
{
    const int all = (int)(a->n < WATCHED ? a->n : WATCHED), codes = a->coder.names.size[0];
    double loss = 0, right = 0, kl = 0;
    const float *opening[CHUNK];
    int32_t pair[CHUNK];
    sg_graph *g;
    sg_status st = sg_graph_new(&g, pool, SG_F32, err);

    if (st)
        return st;
    for (int first = 0; !st && first < all; first += CHUNK) {
        const int n = all - first < CHUNK ? all - first : CHUNK;

        for (int i = 0; i < n; i++)
            pair[i] = first + i;
        sg_graph_begin(g, SG_INFER, 0, 0);
        const sg_tensor *margin = margins(g, a, pair, n, opening);
        if ((st = sg_graph_status(g, err)))
            break;
        for (int i = 0; i < n; i++) {
            const float *before = a->opening + (size_t)pair[i] * (size_t)codes;
            const double now = log_sum(opening[i], codes);

            loss += log1p(exp(-(double)margin->data[i]));
            right += margin->data[i] > 0;
            for (int c = 0; c < codes; c++)
                kl += exp((double)before[c]) * ((double)before[c] - ((double)opening[i][c] - now));
        }
    }
    sg_graph_free(g);
    if (!st && (put(notes, "reward_accuracy", a->accuracy) ||
                json_object_set_new(notes, "pairs", json_integer((json_int_t)a->n)) ||
                put(notes, "reward_best", a->reward_best) || put(notes, "reward_worst", a->reward_worst) ||
                put(notes, "dpo_loss", loss / all) || put(notes, "pairs_in_order", right / all) ||
                put(notes, "kl_first_code", kl / all)))
        st = sg_fail_memory(err, "training notes");
    return st;
}
