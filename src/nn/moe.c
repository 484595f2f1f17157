/* moe.c - routing, and the experts one after the other over the rows that ask them. */
#include "nn/moe.h"

#include <assert.h>
#include <string.h>

void sg_moe_declare(sg_moe *m, sg_params *ps, uint64_t seed, const sg_moe_spec *s, const char *prefix)
{
    assert(s->experts <= SG_EXPERTS_MOST && s->top >= 1 && s->top <= s->experts);
    *m = (sg_moe){.spec = *s};
    m->gate =
        sg_param_add(ps, seed, SG_INIT_NORMAL, s->sd_in, 0, s->experts, s->dim, "%s.gate.weight", prefix);
    for (int e = 0; e < s->experts; e++) {
        m->expert[e].w1 =
            sg_param_add(ps, seed, SG_INIT_NORMAL, s->sd_in, 0, s->ffn, s->dim, "%s.%d.w1.weight", prefix, e);
        if (s->gated)
            m->expert[e].w3 = sg_param_add(ps, seed, SG_INIT_NORMAL, s->sd_in, 0, s->ffn, s->dim,
                                           "%s.%d.w3.weight", prefix, e);
        m->expert[e].w2 = sg_param_add(ps, seed, SG_INIT_NORMAL, s->sd_out, 0, s->dim, s->ffn,
                                       "%s.%d.w2.weight", prefix, e);
    }
}

/* The most probable experts of one row. Comparing keeps NaN out of the indexes: the first ones are chosen then. */
static void choose(int32_t *out, const float *p, int experts, int top)
{
    bool taken[SG_EXPERTS_MOST] = {false};

    for (int k = 0; k < top; k++) {
        int best = -1;

        for (int e = 0; e < experts; e++)
            if (!taken[e] && (best < 0 || p[e] > p[best]))
                best = e;
        taken[best] = true;
        out[k] = best;
    }
}

static bool route_rows(sg_moe_route *r, sg_graph *g, const sg_moe *m, const sg_tensor *p)
{
    const int rows = p->dim[0], experts = m->spec.experts, top = m->spec.top;
    const size_t n = (size_t)rows * (size_t)top;
    int32_t at[SG_EXPERTS_MOST];

    *r = (sg_moe_route){.expert = sg_scratch(g, n + 1, sizeof *r->expert),
                        .slot = sg_scratch(g, n + 1, sizeof *r->slot),
                        .row = sg_scratch(g, n + 1, sizeof *r->row)};
    if (!r->expert || !r->slot || !r->row)
        return false;
    for (int i = 0; i < rows; i++)
        choose(r->expert + (size_t)i * (size_t)top, p->data + (size_t)i * (size_t)experts, experts, top);
    for (size_t i = 0; i < n; i++)
        r->first[r->expert[i] + 1]++;
    for (int e = 0; e < experts; e++) {
        at[e] = r->first[e];
        r->first[e + 1] += r->first[e];
    }
    for (size_t i = 0; i < n; i++) {
        r->slot[i] = at[r->expert[i]]++;
        r->row[r->slot[i]] = (int32_t)(i / (size_t)top);
    }
    return true;
}

/* 0 where a row asks the expert, else so low that nothing is left of it in a softmax. */
static sg_tensor *mask_of(sg_graph *g, const sg_moe_route *r, int rows, int experts, int top)
{
    sg_tensor *mask = sg_tensor_2d(g, rows, experts);

    for (size_t i = 0; mask && i < mask->count; i++)
        mask->data[i] = -1e30f;
    for (size_t i = 0; mask && i < (size_t)rows * (size_t)top; i++)
        mask->data[i / (size_t)top * (size_t)experts + (size_t)r->expert[i]] = 0;
    return mask;
}

static sg_tensor *balance_of(sg_graph *g, const sg_moe_route *r, sg_tensor *p, int top)
{
    const int rows = p->dim[0], experts = p->dim[1];
    sg_tensor *f = sg_tensor_2d(g, rows, experts);

    for (int i = 0; f && i < rows; i++)
        for (int e = 0; e < experts; e++)
            f->data[(size_t)i * (size_t)experts + (size_t)e] =
                (float)(r->first[e + 1] - r->first[e]) / ((float)rows * (float)top);
    return sg_scale(g, sg_mean(g, sg_times(g, p, f)), (float)experts * (float)experts);
}

sg_tensor *sg_moe_forward(sg_graph *g, const sg_moe *m, sg_tensor *x, float dropout, sg_moe_route *route)
{
    const sg_moe_spec *s = &m->spec;
    sg_tensor *logits = sg_linear(g, x, m->gate, NULL), *p = sg_softmax(g, logits);
    sg_tensor *part[SG_EXPERTS_MOST];
    sg_moe_route own, *r = route ? route : &own;
    int parts = 0;

    if (!p || !route_rows(r, g, m, p))
        return NULL;
    if (route)
        r->balance = balance_of(g, r, p, s->top);
    if (s->renormalise)
        p = sg_softmax(g, sg_plus(g, logits, mask_of(g, r, x->dim[0], s->experts, s->top)));
    for (int e = 0; e < s->experts; e++) {
        const int n = r->first[e + 1] - r->first[e];

        if (n == 0)
            continue;
        sg_tensor *in = sg_rows(g, x, r->row + r->first[e], n);
        sg_tensor *inner = sg_activate(g, sg_linear(g, in, m->expert[e].w1, NULL), s->act);

        if (s->gated)
            inner = sg_times(g, inner, sg_linear(g, in, m->expert[e].w3, NULL));
        part[parts++] = sg_linear(g, sg_dropout(g, inner, dropout), m->expert[e].w2, NULL);
    }
    return parts ? sg_mix_rows(g, sg_concat_rows(g, part, parts), p, r->slot, r->expert, s->top) : x;
}

sg_tensor *sg_moe_forward_counted(sg_graph *g, const sg_moe *m, sg_tensor *x, float dropout,
                                  sg_moe_load *load)
{
    const int experts = m->spec.experts;
    sg_moe_route r = {0};

    if (!load)
        return sg_moe_forward(g, m, x, dropout, NULL);
    x = sg_moe_forward(g, m, x, dropout, &r);
    for (int e = 0; load->asked && e < experts; e++)
        load->asked[load->blocks * experts + e] += r.first[e + 1] - r.first[e];
    load->balance = load->blocks++ ? sg_plus(g, load->balance, r.balance) : r.balance;
    return x;
}
