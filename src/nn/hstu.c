/* hstu.c - layers of hierarchical sequential transduction units. */
#include "nn/hstu.h"

#include "base/alloc.h"

#include <string.h>

static const float EPS = 1e-6f, SD = 0.02f;

sg_status sg_hstu_declare(sg_hstu *s, sg_params *ps, uint64_t seed, const sg_hstu_shape *shape, sg_error *err)
{
    const int inner = shape->heads * shape->d_v, keys = shape->heads * shape->d_qk, dim = shape->dim;

    s->shape = *shape;
    if (!(s->block = sg_alloc_zero((size_t)shape->blocks, sizeof *s->block)))
        return sg_fail_memory(err, "hstu");
    for (int i = 0; i < shape->blocks; i++) {
        sg_hstu_block *b = &s->block[i];

        b->uvqk =
            sg_param_add(ps, seed, SG_INIT_NORMAL, SD, 0, 2 * (inner + keys), dim, "block.%d.uvqk.weight", i);
        b->out = sg_param_add(ps, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, dim, inner, "block.%d.out.weight", i);
        b->out_bias =
            sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, dim, 0, "block.%d.out.bias", i);
        if (shape->position)
            b->position = sg_param_add(ps, seed, SG_INIT_NORMAL, SD, SG_PARAM_NO_DECAY, 2 * shape->length - 1,
                                       0, "block.%d.bias.position", i);
        if (shape->time)
            b->time = sg_param_add(ps, seed, SG_INIT_ZERO, 0, SG_PARAM_NO_DECAY, SG_HSTU_BUCKETS, 0,
                                   "block.%d.bias.time", i);
    }
    return SG_OK;
}

void sg_hstu_fini(sg_hstu *s)
{
    sg_free(s->block);
    s->block = NULL;
}

bool sg_hstu_knows_time(const sg_hstu *s)
{
    for (int i = 0; i < s->shape.blocks; i++)
        for (int b = 0; b < SG_HSTU_BUCKETS && s->block[i].time; b++)
            if (s->block[i].time->value[b] != 0)
                return true;
    return false;
}

static sg_hstu_spec attention_of(const sg_hstu_shape *c, const sg_hstu_block *b, const sg_hstu_tokens *t)
{
    const int inner = c->heads * c->d_v, keys = c->heads * c->d_qk;

    return (sg_hstu_spec){.heads = c->heads,
                          .d_qk = c->d_qk,
                          .d_v = c->d_v,
                          .at_v = inner,
                          .at_q = 2 * inner,
                          .at_k = 2 * inner + keys,
                          .silu = true,
                          .batch = t->n,
                          .offsets = t->offsets,
                          .scale = 1,
                          .divisor = c->softmax ? 1 : c->divisor,
                          .softmax = c->softmax,
                          .position = b->position,
                          .time = t->time_k ? b->time : NULL,
                          .time_q = t->time_q,
                          .time_k = t->time_k};
}

/* U, V, Q, K before SiLU: what is kept for the way back; gate and attention apply it as they read. */
static sg_tensor *project(sg_graph *g, const sg_hstu_block *b, sg_tensor *x)
{
    return sg_linear(g, sg_layernorm(g, x, NULL, NULL, EPS), b->uvqk, NULL);
}

static sg_tensor *gate(sg_graph *g, const sg_hstu_shape *c, const sg_hstu_block *b, sg_tensor *x,
                       sg_tensor *uvqk, sg_tensor *attended)
{
    return sg_linear_onto(g, x, sg_hstu_gate(g, attended, uvqk, 0, EPS, c->dropout), b->out, b->out_bias);
}

sg_tensor *sg_hstu_forward(sg_graph *g, const sg_hstu *s, sg_tensor *x, const sg_hstu_tokens *t)
{
    for (int i = 0; i < s->shape.blocks; i++) {
        const sg_hstu_spec spec = attention_of(&s->shape, &s->block[i], t);
        sg_tensor *uvqk = project(g, &s->block[i], x);

        x = gate(g, &s->shape, &s->block[i], x, uvqk, sg_hstu_attention(g, uvqk, uvqk, uvqk, &spec));
    }
    return x;
}

/* ---- scoring ------------------------------------------------------------------------------------------- */

sg_status sg_hstu_cache_new(sg_hstu_cache *c, const sg_hstu *s, int cap, sg_error *err)
{
    const sg_hstu_shape *k = &s->shape;
    sg_status st = SG_OK;

    *c = (sg_hstu_cache){.stack = s, .cap = cap};
    c->past = sg_alloc_zero((size_t)k->blocks, sizeof *c->past);
    c->time = sg_alloc_array((size_t)cap, sizeof *c->time);
    if (!c->past || !c->time)
        st = sg_fail_memory(err, "keys of the history");
    for (int i = 0; !st && i < k->blocks; i++)
        st = sg_hstu_past_init(&c->past[i], k->heads, k->d_qk, k->d_v, cap, err);
    if (st)
        sg_hstu_cache_free(c);
    return st;
}

void sg_hstu_cache_free(sg_hstu_cache *c)
{
    for (int i = 0; c->past && i < c->stack->shape.blocks; i++)
        sg_hstu_past_fini(&c->past[i]);
    sg_free(c->past);
    sg_free(c->time);
    *c = (sg_hstu_cache){0};
}

sg_status sg_hstu_cache_room(sg_hstu_cache *c, int cap, sg_error *err)
{
    int64_t *time;
    sg_status st;

    if (cap <= c->cap)
        return SG_OK;
    for (int i = 0; i < c->stack->shape.blocks; i++)
        if ((st = sg_hstu_past_room(&c->past[i], cap, err)))
            return st;
    if (!(time = sg_realloc(c->time, (size_t)cap * sizeof *time)))
        return sg_fail_memory(err, "keys of the history");
    c->time = time;
    c->cap = cap;
    return SG_OK;
}

size_t sg_hstu_cache_bytes(const sg_hstu_cache *c)
{
    size_t bytes = (size_t)c->cap * sizeof *c->time;

    for (int i = 0; c->past && i < c->stack->shape.blocks; i++)
        bytes += sizeof *c->past + sg_hstu_past_bytes(&c->past[i]);
    return bytes;
}

void sg_hstu_cache_cut(sg_hstu_cache *c, int n)
{
    if (n < c->n)
        c->n = n;
    for (int i = 0; i < c->stack->shape.blocks; i++)
        c->past[i].n = c->n;
}

sg_tensor *sg_hstu_cache_append(sg_graph *g, sg_hstu_cache *c, sg_tensor *x, const int64_t *time,
                                const int64_t *asked)
{
    const sg_hstu *s = c->stack;
    const int n = x ? x->dim[0] : 0;

    if (n > c->cap - c->n)
        return sg_graph_fail(g, SG_ERR_USAGE, "hstu: %d tokens after %d, room for %d", n, c->n, c->cap);
    for (int i = 0; i < n; i++)
        c->time[c->n + i] = time ? time[i] : 0;
    for (int i = 0; i < s->shape.blocks; i++) {
        const sg_hstu_tokens t = {.time_q = asked ? asked : c->time + c->n, .time_k = c->time};
        const sg_hstu_spec spec = attention_of(&s->shape, &s->block[i], &t);
        sg_tensor *uvqk = project(g, &s->block[i], x), *act = sg_activate(g, uvqk, SG_SILU);

        x = gate(g, &s->shape, &s->block[i], x, uvqk, sg_hstu_append(g, act, act, act, &spec, &c->past[i]));
    }
    c->n += x ? n : 0;
    sg_hstu_cache_cut(c, c->n); /* of blocks that were reached before a failure, too */
    return x;
}

sg_tensor *sg_hstu_cache_ask(sg_graph *g, const sg_hstu_cache *c, sg_tensor *x, int64_t now)
{
    const sg_hstu *s = c->stack;
    const sg_hstu_tokens t = {.time_q = &now, .time_k = c->time};

    for (int i = 0; i < s->shape.blocks; i++) {
        const sg_hstu_spec spec = attention_of(&s->shape, &s->block[i], &t);
        sg_tensor *uvqk = project(g, &s->block[i], x), *act = sg_activate(g, uvqk, SG_SILU);

        x = gate(g, &s->shape, &s->block[i], x, uvqk, sg_hstu_ask(g, act, act, act, &spec, &c->past[i]));
    }
    return x;
}
