/* t5_desk.c - the decoder of a T5 over rows of many texts: their own past, and what the encoder says of their prompts. */
#include "lm/t5_parts.h"

#include "base/alloc.h"
#include "lm/desk_rows.h"
#include "math/attention.h"
#include "math/kernels.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 64 /* rows that go through all layers at once */ };

typedef struct encoded { /* a prompt */
    int texts, n;        /* that look at it; tokens */
    float *k, *v;        /* owned: (layers, n, inner) */
} encoded;

typedef struct text {
    bool open;
    int length;
    encoded *prompt; /* shared; NULL: none */
    float *k, *v;    /* owned, kept for the next text: (layers, places, inner) */
} text;

typedef struct run { /* neighbouring rows of one text */
    int text, first, n;
} run;

typedef struct t5_desk {
    sg_desk desk;
    const sg_t5 *m;
    sg_pool *pool;
    text *text; /* owned */
    size_t cap_text;
    int n_texts;
    sg_t5_work *encoder, *work; /* owned */
    float *states, *logits;     /* owned: SG_DESK_LOGITS rows */
    run run[CHUNK];
    int32_t place[CHUNK], seen[CHUNK]; /* of rows in their texts; keys that they see */
    int32_t none[CHUNK];               /* zeros */
    int n_runs, layer;
    bool cross;
} t5_desk;

static void leave_prompt(encoded *e)
{
    if (!e || --e->texts > 0)
        return;
    sg_free(e->k);
    sg_free(e->v);
    sg_free(e);
}

static sg_status desk_open(sg_desk *desk, int *out, sg_error *err)
{
    t5_desk *d = (t5_desk *)(void *)desk;
    const size_t past = (size_t)d->m->decoder.layers * (size_t)desk->places * sg_t5_inner(d->m);
    int at = 0;

    while (at < d->n_texts && d->text[at].open)
        at++;
    if (at == d->n_texts) {
        if (!sg_grow(&d->text, &d->cap_text, (size_t)at + 1, sizeof *d->text))
            return sg_fail_memory(err, "texts");
        d->text[d->n_texts++] = (text){0};
    }
    text *t = &d->text[at];
    if ((!t->k && !(t->k = sg_alloc_array(past, sizeof *t->k))) ||
        (!t->v && !(t->v = sg_alloc_array(past, sizeof *t->v))))
        return sg_fail_memory(err, "past of a text");
    t->open = true;
    *out = at;
    return SG_OK;
}

static void desk_cut(sg_desk *desk, int which, int length)
{
    text *t = &((t5_desk *)(void *)desk)->text[which];

    t->length = length < 0 ? 0 : length < t->length ? length : t->length;
}

static void desk_close(sg_desk *desk, int which)
{
    text *t = &((t5_desk *)(void *)desk)->text[which];

    leave_prompt(t->prompt);
    t->prompt = NULL;
    t->length = 0;
    t->open = false;
}

static sg_status desk_fork(sg_desk *desk, int *out, int from, sg_error *err)
{
    t5_desk *d = (t5_desk *)(void *)desk;
    const size_t inner = sg_t5_inner(d->m);
    const sg_status st = desk_open(desk, out, err);

    if (st)
        return st;
    text *t = &d->text[*out];
    const text *old = &d->text[from];
    for (size_t i = 0; i < (size_t)d->m->decoder.layers; i++) {
        const size_t at = i * (size_t)desk->places * inner,
                     bytes = (size_t)old->length * inner * sizeof *t->k;

        memcpy(t->k + at, old->k + at, bytes);
        memcpy(t->v + at, old->v + at, bytes);
    }
    t->length = old->length;
    t->prompt = old->prompt;
    if (t->prompt)
        t->prompt->texts++;
    return SG_OK;
}

/* Keys and values of a prompt for every layer of the decoder, once. */
static sg_status encode_prompt(encoded **out, t5_desk *d, const int32_t *prompt, int n, sg_error *err)
{
    const sg_t5 *m = d->m;
    const size_t part = (size_t)n * sg_t5_inner(m), all = part * (size_t)m->decoder.layers;
    encoded *e = sg_alloc_zero(1, sizeof *e);
    float *states = sg_alloc_array((size_t)n * (size_t)m->config.dim, sizeof *states);
    sg_status st = SG_OK;

    if (e) {
        *e = (encoded){1, n, sg_alloc_array(all, sizeof *e->k), sg_alloc_array(all, sizeof *e->v)};
        if (!e->k || !e->v)
            st = sg_fail_memory(err, "prompt");
    }
    if (!e || !states)
        st = sg_fail_memory(err, "prompt");
    if (!st && !(st = sg_t5_encode(states, d->encoder, prompt, n, err)))
        for (int i = 0; i < m->decoder.layers; i++) {
            sg_t5_rows_times(d->encoder, &m->decoder.block[i].w[SG_T5_CROSS_K], states,
                             e->k + (size_t)i * part);
            sg_t5_rows_times(d->encoder, &m->decoder.block[i].w[SG_T5_CROSS_V], states,
                             e->v + (size_t)i * part);
        }
    sg_free(states);
    if (st) {
        leave_prompt(e);
        return st;
    }
    *out = e;
    return SG_OK;
}

static sg_status desk_begin(sg_desk *desk, int *out, int *known, const int32_t *prompt, int n, sg_error *err)
{
    t5_desk *d = (t5_desk *)(void *)desk;
    encoded *e = NULL;
    sg_status st;

    *known = 0;
    if ((st = encode_prompt(&e, d, prompt, n, err)))
        return st;
    if ((st = desk_open(desk, out, err))) {
        leave_prompt(e);
        return st;
    }
    d->text[*out].prompt = e;
    return SG_OK;
}

static void desk_free(sg_desk *desk)
{
    t5_desk *d = (t5_desk *)(void *)desk;

    for (int i = 0; i < d->n_texts; i++) {
        desk_close(desk, i);
        sg_free(d->text[i].k);
        sg_free(d->text[i].v);
    }
    sg_free(d->text);
    sg_t5_work_free(d->encoder);
    sg_t5_work_free(d->work);
    sg_free(d->states);
    sg_free(d->logits);
    sg_free(d);
}

static void desk_attend_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const t5_desk *d = ctx;
    const sg_t5_work *w = d->work;
    const size_t width = (size_t)d->m->config.head_dim, ld = sg_t5_inner(d->m),
                 heads = (size_t)d->m->config.heads;

    for (size_t i = begin; i < end; i++) {
        const run *r = &d->run[i / heads];
        const text *t = &d->text[r->text];
        const size_t h = i % heads, at = h * width;
        const int keys = d->cross ? t->prompt->n : d->seen[r->first + r->n - 1];
        const size_t past = (size_t)d->layer * (size_t)(d->cross ? keys : d->desk.places) * ld + at;
        const float *k = d->cross ? t->prompt->k : t->k, *v = d->cross ? t->prompt->v : t->v;

        sg_attend_head(&(sg_attend){.n_q = r->n,
                                    .n_k = keys,
                                    .dh = (int)width,
                                    .q = w->q + (size_t)r->first * ld + at,
                                    .k = k + past,
                                    .v = v + past,
                                    .ld_q = ld,
                                    .ld_k = ld,
                                    .ld_v = ld,
                                    .out = w->a + (size_t)r->first * ld + at,
                                    .ld_out = ld,
                                    .scale = 1,
                                    .lo = d->cross ? NULL : d->none,
                                    .hi = d->cross ? NULL : d->seen + r->first,
                                    .bias = d->cross ? NULL : sg_t5_rows_bias(w, (int)h),
                                    .place = d->cross ? NULL : d->place + r->first},
                       true, w->scratch + (size_t)thread * w->scratch_floats);
    }
}

static void keep_rows(t5_desk *d)
{
    const size_t ld = sg_t5_inner(d->m);

    for (int i = 0; i < d->n_runs; i++) {
        const run *r = &d->run[i];
        const text *t = &d->text[r->text];
        const size_t to = ((size_t)d->layer * (size_t)d->desk.places + (size_t)d->place[r->first]) * ld,
                     from = (size_t)r->first * ld, bytes = (size_t)r->n * ld * sizeof *t->k;

        memcpy(t->k + to, d->work->k + from, bytes);
        memcpy(t->v + to, d->work->v + from, bytes);
    }
}

static void run_layer(t5_desk *d)
{
    const sg_t5_block *b = &d->m->decoder.block[d->layer];
    sg_t5_work *w = d->work;
    const size_t units = (size_t)d->n_runs * (size_t)d->m->config.heads;

    sg_t5_rows_norm(w, b->norm_self);
    sg_t5_rows_times(w, &b->w[SG_T5_Q], w->n_x, w->q);
    sg_t5_rows_times(w, &b->w[SG_T5_K], w->n_x, w->k);
    sg_t5_rows_times(w, &b->w[SG_T5_V], w->n_x, w->v);
    keep_rows(d);
    d->cross = false;
    sg_parallel_for(w->pool, units, 1, desk_attend_body, d);
    sg_t5_rows_times(w, &b->w[SG_T5_O], w->a, w->n_x);
    sg_t5_rows_add(w);

    sg_t5_rows_norm(w, b->norm_cross);
    sg_t5_rows_times(w, &b->w[SG_T5_CROSS_Q], w->n_x, w->q);
    d->cross = true;
    sg_parallel_for(w->pool, units, 1, desk_attend_body, d);
    sg_t5_rows_times(w, &b->w[SG_T5_CROSS_O], w->a, w->n_x);
    sg_t5_rows_add(w);
    sg_t5_rows_ffn(w, b);
}

static void make_logits(void *ctx, int n, const float *states, float *logits)
{
    t5_desk *d = ctx;

    sg_matrix_times(d->pool, &d->m->output, n, states, NULL, logits, d->work->sums);
}

static sg_status check_pieces(t5_desk *d, const sg_piece *piece, int n, sg_error *err)
{
    int keys = d->desk.places;
    sg_status st;

    for (int i = 0; i < n; i++) {
        const text *t = &d->text[piece[i].text];

        if (!t->prompt)
            return sg_fail(err, SG_ERR_USAGE, "expected a prompt for the encoder, found none");
        if ((st = sg_desk_check(&d->desk, &piece[i], t->length, err)))
            return st;
        keys = t->prompt->n > keys ? t->prompt->n : keys;
    }
    return sg_t5_rows_room(d->work, &d->m->decoder, CHUNK, keys, d->desk.places, false, err);
}

static sg_status desk_read(sg_desk *desk, const sg_piece *piece, int n, sg_error *err)
{
    t5_desk *d = (t5_desk *)(void *)desk;
    sg_t5_work *w = d->work;
    const sg_desk_output out = {make_logits, d, d->m->config.dim, desk->vocab, d->states, d->logits};
    sg_desk_place p = {0, 0};
    sg_status st = check_pieces(d, piece, n, err);

    while (!st) {
        const sg_desk_place begin = p;
        int32_t id[CHUNK];
        int which, at, rows = 0;

        for (d->n_runs = 0; rows < CHUNK && sg_desk_next(&which, &at, &p, piece, n); rows++) {
            if (rows == 0 || at == 0)
                d->run[d->n_runs++] = (run){piece[which].text, rows, 0};
            d->run[d->n_runs - 1].n++;
            id[rows] = piece[which].id[at];
            d->place[rows] = d->text[piece[which].text].length + at;
            d->seen[rows] = d->place[rows] + 1;
        }
        if (!rows || (st = sg_t5_rows_words(w, id, rows, err)))
            break;
        for (d->layer = 0; d->layer < d->m->decoder.layers; d->layer++)
            run_layer(d);
        sg_t5_rows_norm(w, d->m->decoder.norm);
        if (d->m->config.scaled)
            sg_kernels_best()->scale(w->n_x, 1 / sqrtf((float)d->m->config.dim), w->n_x,
                                     (size_t)rows * (size_t)d->m->config.dim);
        sg_desk_answer(&out, piece, begin, w->n_x, rows);
    }
    for (int i = 0; i < n && !st; i++)
        d->text[piece[i].text].length += piece[i].n;
    return st;
}

sg_status sg_t5_desk(sg_desk **out, const sg_t5 *m, int places, sg_pool *pool, sg_error *err)
{
    static const sg_desk_ops ops = {desk_open,  desk_begin, desk_fork, desk_cut,
                                    desk_close, desk_read,  desk_free};
    const sg_t5_config *c = &m->config;
    t5_desk *d;
    sg_status st;

    *out = NULL;
    if (!m->decoder.layers)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a decoder, found an encoder alone",
                       sg_weights_name(m->weights));
    if (!(d = sg_alloc_zero(1, sizeof *d)))
        return sg_fail_memory(err, "session");
    *d = (t5_desk){.desk = {&ops, c->vocab, places, {{c->end}, 1}, c->start}, .m = m, .pool = pool};
    d->states = sg_alloc_array(SG_DESK_LOGITS * (size_t)c->dim, sizeof *d->states);
    d->logits = sg_alloc_array(SG_DESK_LOGITS * (size_t)c->vocab, sizeof *d->logits);
    if (!d->states || !d->logits)
        st = sg_fail_memory(err, "session");
    else if (!(st = sg_t5_work_new(&d->encoder, m, pool, err)))
        st = sg_t5_work_new(&d->work, m, pool, err);
    if (st) {
        desk_free(&d->desk);
        return st;
    }
    *out = &d->desk;
    return SG_OK;
}
