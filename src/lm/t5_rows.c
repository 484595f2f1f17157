/* t5_rows.c - rows through the parts of a T5's layers, and the encoder made of them (formulas: lm/t5.c). */
#include "lm/t5_parts.h"

#include "base/alloc.h"
#include "lm/desk_rows.h"
#include "math/attention.h"
#include "math/kernels.h"

#include <string.h>

enum {
    GRAIN = 1 << 14,
    PAST = 16, /* numbers behind a bias that kernels may read */
};

/* Scratch of products of rows with the matrices of a stack. */
static size_t most_sums(const sg_t5_stack *s, int rows, size_t most)
{
    for (int i = 0; i < s->layers; i++) {
        for (int p = 0; p < SG_T5_MATRICES; p++) {
            const sg_matrix *m = &s->block[i].w[p];
            const size_t here = m->in ? sg_matrix_floats(m, rows) : 0;

            most = here > most ? here : most;
        }
    }
    return most;
}

/* Biases of distances -room .. room, the middle being 0. */
static void fill_bias(sg_t5_work *w, const sg_t5_stack *s, bool both)
{
    const sg_t5_config *c = &w->m->config;
    const int room = w->bias_room;
    const size_t row = 2 * (size_t)room + 1 + PAST;

    for (int d = -room; d <= room; d++) {
        const float *from =
            s->bias->value + (size_t)sg_t5_bucket(d, both, c->buckets, c->distance) * (size_t)c->heads;

        for (int h = 0; h < c->heads; h++)
            w->bias[(size_t)h * row + (size_t)(d + room)] = from[h];
    }
    for (int h = 0; h < c->heads; h++)
        memset(w->bias + (size_t)h * row + row - PAST, 0, PAST * sizeof *w->bias);
}

const float *sg_t5_rows_bias(const sg_t5_work *w, int head)
{
    return w->bias + (size_t)head * (2 * (size_t)w->bias_room + 1 + PAST) + (size_t)w->bias_room;
}

sg_status sg_t5_rows_room(sg_t5_work *w, const sg_t5_stack *s, int n, int keys, int reach, bool both,
                          sg_error *err)
{
    const sg_t5_config *c = &w->m->config;
    const size_t dim = (size_t)c->dim, inner = sg_t5_inner(w->m), rows = (size_t)n;
    /* what the encoder says goes through the decoder's cross-attention, too */
    const size_t other = s == &w->m->decoder ? sg_matrix_floats(&w->m->output, SG_DESK_LOGITS)
                                             : most_sums(&w->m->decoder, n, 0);
    const size_t parts[] = {rows * dim,
                            rows * dim,
                            rows * inner,
                            rows * inner,
                            rows * inner,
                            rows * inner,
                            rows * (size_t)c->ffn,
                            rows * (size_t)c->ffn,
                            most_sums(s, n, other)};
    const size_t scratch = (sg_attend_head_floats(rows, (size_t)keys, (size_t)c->head_dim) + 15) / 16 * 16;
    float **const to[] = {&w->x, &w->n_x, &w->q, &w->k, &w->v, &w->a, &w->gate, &w->up, &w->sums};
    size_t all = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        all += (parts[i] + 15) / 16 * 16;
    if (all > w->memory_floats) {
        sg_free(w->memory);
        w->memory_floats = 0;
        if (!(w->memory = sg_alloc_array(all, sizeof *w->memory)))
            return sg_fail_memory(err, "encoder");
        w->memory_floats = all;
    }
    if (scratch > w->scratch_floats) {
        sg_free(w->scratch);
        w->scratch_floats = 0;
        if (!(w->scratch = sg_alloc_array(scratch * (size_t)sg_pool_threads(w->pool), sizeof *w->scratch)))
            return sg_fail_memory(err, "encoder");
        w->scratch_floats = scratch;
    }
    if (reach > w->bias_room || !w->bias) {
        sg_free(w->bias);
        w->bias_room = 0;
        if (!(w->bias = sg_alloc_array((2 * (size_t)reach + 1 + PAST) * (size_t)c->heads, sizeof *w->bias)))
            return sg_fail_memory(err, "encoder");
        w->bias_room = reach;
        fill_bias(w, s, both);
    }
    float *at = w->memory;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *to[i] = at;
        at += (parts[i] + 15) / 16 * 16;
    }
    return SG_OK;
}

sg_status sg_t5_work_new(sg_t5_work **out, const sg_t5 *m, sg_pool *pool, sg_error *err)
{
    if (!(*out = sg_alloc_zero(1, sizeof **out)))
        return sg_fail_memory(err, "encoder");
    **out = (sg_t5_work){.m = m, .pool = pool};
    return SG_OK;
}

void sg_t5_work_free(sg_t5_work *w)
{
    if (!w)
        return;
    sg_free(w->memory);
    sg_free(w->bias);
    sg_free(w->scratch);
    sg_free(w);
}

sg_status sg_t5_rows_words(sg_t5_work *w, const int32_t *id, int n, sg_error *err)
{
    const size_t dim = (size_t)w->m->config.dim;
    sg_status st = SG_OK;

    w->n = n;
    for (int r = 0; r < n && !st; r++)
        st = sg_weights_read(w->x + (size_t)r * dim, w->m->weights, w->m->words, (size_t)id[r] * dim, dim,
                             err);
    return st;
}

void sg_t5_rows_norm(const sg_t5_work *w, const sg_param *p)
{
    const size_t dim = (size_t)w->m->config.dim;
    float inv;

    for (size_t r = 0; r < (size_t)w->n; r++)
        sg_kernels_best()->rmsnorm(w->n_x + r * dim, &inv, w->x + r * dim, p->value, dim, w->m->config.eps);
}

void sg_t5_rows_times(const sg_t5_work *w, const sg_matrix *m, const float *x, float *y)
{
    sg_matrix_times(w->pool, m, w->n, x, NULL, y, w->sums);
}

void sg_t5_rows_add(const sg_t5_work *w)
{
    sg_kernels_best()->add(w->x, w->x, w->n_x, (size_t)w->n * (size_t)w->m->config.dim);
}

static void act_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_t5_work *w = ctx;
    const sg_kernels *k = sg_kernels_best();
    const sg_t5_config *c = &w->m->config;

    if (c->gated) {
        k->act((int)c->act, w->gate + begin, w->gate + begin, end - begin);
        k->mul(w->up + begin, w->gate + begin, w->up + begin, end - begin);
    } else {
        k->act((int)c->act, w->up + begin, w->up + begin, end - begin);
    }
}

void sg_t5_rows_ffn(sg_t5_work *w, const sg_t5_block *b)
{
    sg_t5_rows_norm(w, b->norm_ffn);
    if (w->m->config.gated)
        sg_t5_rows_times(w, &b->w[SG_T5_GATE], w->n_x, w->gate);
    sg_t5_rows_times(w, &b->w[SG_T5_UP], w->n_x, w->up);
    sg_parallel_for(w->pool, (size_t)w->n * (size_t)w->m->config.ffn, GRAIN, act_body, w);
    sg_t5_rows_times(w, &b->w[SG_T5_DOWN], w->up, w->n_x);
    sg_t5_rows_add(w);
}

/* ---- encoder --------------------------------------------------------------------------------------------------------------- */
static void encode_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_t5_work *w = ctx;
    const size_t d = (size_t)w->m->config.head_dim, ld = sg_t5_inner(w->m);

    for (size_t h = begin; h < end; h++)
        sg_attend_head(&(sg_attend){.n_q = w->n,
                                    .n_k = w->n,
                                    .dh = (int)d,
                                    .q = w->q + h * d,
                                    .k = w->k + h * d,
                                    .v = w->v + h * d,
                                    .ld_q = ld,
                                    .ld_k = ld,
                                    .ld_v = ld,
                                    .out = w->a + h * d,
                                    .ld_out = ld,
                                    .scale = 1,
                                    .bias = sg_t5_rows_bias(w, (int)h)},
                       true, w->scratch + (size_t)thread * w->scratch_floats);
}

sg_status sg_t5_encode(float *states, sg_t5_work *w, const int32_t *id, int n, sg_error *err)
{
    return sg_t5_hidden(states, w, id, n, (sg_depth){w->m->encoder.layers, 0}, err);
}

sg_status sg_t5_hidden(float *states, sg_t5_work *w, const int32_t *id, int n, sg_depth depth, sg_error *err)
{
    const sg_t5 *m = w->m;
    const size_t count = (size_t)n * (size_t)m->config.dim;
    sg_status st;

    for (int i = 0; i < n; i++)
        if (id[i] < 0 || id[i] >= m->config.vocab)
            return sg_fail(err, SG_ERR_USAGE, "token %d: expected a number below %d, found %d", i,
                           m->config.vocab, (int)id[i]);
    if ((st = sg_t5_rows_room(w, &m->encoder, n, n, n, true, err)) || (st = sg_t5_rows_words(w, id, n, err)))
        return st;
    for (int i = 0; i < sg_depth_last(depth); i++) {
        const sg_t5_block *b = &m->encoder.block[i];

        sg_depth_take(states, depth, i, w->x, count);
        sg_t5_rows_norm(w, b->norm_self);
        sg_t5_rows_times(w, &b->w[SG_T5_Q], w->n_x, w->q);
        sg_t5_rows_times(w, &b->w[SG_T5_K], w->n_x, w->k);
        sg_t5_rows_times(w, &b->w[SG_T5_V], w->n_x, w->v);
        sg_parallel_for(w->pool, (size_t)m->config.heads, 1, encode_body, w);
        sg_t5_rows_times(w, &b->w[SG_T5_O], w->a, w->n_x);
        sg_t5_rows_add(w);
        sg_t5_rows_ffn(w, b);
    }
    const bool all = sg_depth_last(depth) == m->encoder.layers;

    if (all)
        sg_t5_rows_norm(w, m->encoder.norm);
    sg_depth_take(states, depth, sg_depth_last(depth), all ? w->n_x : w->x, count);
    return SG_OK;
}
