/* optim.c - one pass over weights, gradients and moments; t = number of the step, g = gradient after clipping.
 *
 *   AdamW    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
 *            w = w - lr (decay w + m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps))        [Loshchilov & Hutter 2019]
 *   Adagrad  v = v + g^2;  w = w - lr (decay w + g / (sqrt(v) + eps))                    [Duchi et al. 2011]
 *   SGD      m = b1 m + g;  w = w - lr (decay w + m)
 *   row_wise, sparse tables: v is one number a row and takes mean(g^2) in place of g^2
 *
 * Arithmetic in f32, the norm in double. Every number is updated on its own, and the norm is a sum over fixed pieces
 * joined in order, so threads do not change a bit. The gradient is zeroed in the same pass. */
#include "nn/optim.h"

#include "base/alloc.h"
#include "math/kernels.h"
#include "nn/piece.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

typedef struct slot { /* beside the parameter of the same number */
    sg_param *param;  /* borrowed */
    float *m, *v;     /* owned; NULL where the rule has none */
    size_t n_v;       /* numbers in v: count, or rows */
} slot;

typedef struct piece {
    const slot *slot;
    size_t number; /* of this slot's pieces */
    double sum_sq;
} piece;

struct sg_optim {
    sg_optim_spec spec;
    slot *slots; /* owned: (n), trainable parameters only */
    size_t n;
    piece *pieces; /* owned: of the current step, kept between steps */
    size_t n_pieces, cap_pieces;
    int64_t steps;
};

/* What one step does to every number, ready in f32. */
typedef struct rule {
    sg_optim_kind kind;
    float clip;   /* factor on the gradient */
    float b1, c1; /* c1 = 1 - b1 */
    float b2, c2; /* c2 = 1 - b2 */
    float lr;
    float step; /* AdamW: lr / (1 - b1^t) */
    float root; /* AdamW: 1 / sqrt(1 - b2^t) */
    float eps;
    float decay; /* lr * weight_decay */
} rule;

typedef struct step_ctx {
    sg_optim *optim;
    rule rule;
} step_ctx;

static bool slot_init(slot *s, sg_param *p, const sg_optim_spec *spec)
{
    s->param = p;
    s->n_v = spec->row_wise && p->sparse ? (size_t)p->dim[0] : p->count;
    if ((spec->kind == SG_OPTIM_ADAMW || (spec->kind == SG_OPTIM_SGD && spec->beta1 > 0)) &&
        !(s->m = sg_alloc_zero(p->count, sizeof(float))))
        return false;
    if (spec->kind == SG_OPTIM_SGD)
        return true;
    if (!(s->v = sg_alloc_zero(s->n_v, sizeof(float))))
        return false;
    if (spec->kind == SG_OPTIM_ADAGRAD)
        for (size_t i = 0; i < s->n_v; i++)
            s->v[i] = (float)spec->accumulator;
    return true;
}

sg_status sg_optim_new(sg_optim **out, sg_params *ps, const sg_optim_spec *spec, sg_error *err)
{
    sg_optim *o;
    sg_status st;

    *out = NULL;
    if ((st = sg_params_need_grads(ps, err)))
        return st;
    if (!(o = sg_alloc_zero(1, sizeof *o)) || !(o->slots = sg_alloc_zero(ps->n, sizeof *o->slots)))
        goto memory;
    o->spec = *spec;
    for (size_t i = 0; i < ps->n; i++) {
        if (!ps->list[i]->grad || ps->list[i]->frozen)
            continue;
        o->n++;
        if (!slot_init(&o->slots[o->n - 1], ps->list[i], spec))
            goto memory;
    }
    *out = o;
    return SG_OK;
memory:
    sg_optim_free(o);
    return sg_fail_memory(err, "optimizer state");
}

void sg_optim_free(sg_optim *o)
{
    if (!o)
        return;
    for (size_t i = 0; o->slots && i < o->n; i++) {
        sg_free(o->slots[i].m);
        sg_free(o->slots[i].v);
    }
    sg_free(o->slots);
    sg_free(o->pieces);
    sg_free(o);
}

double sg_schedule_lr(const sg_optim_spec *spec, int64_t step)
{
    const int64_t top = spec->warmup + spec->hold; /* last step at the full rate */
    double left;

    if (step < spec->warmup)
        return spec->lr * (double)step / (double)spec->warmup;
    if (step <= top || spec->schedule == SG_SCHEDULE_CONSTANT)
        return spec->lr;
    if (spec->schedule == SG_SCHEDULE_INVSQRT)
        return spec->lr * sqrt((double)(top > 0 ? top : 1) / (double)step);
    if (spec->total <= top || step >= spec->total)
        left = 0;
    else if (spec->schedule == SG_SCHEDULE_LINEAR)
        left = (double)(spec->total - step) / (double)(spec->total - top);
    else
        left = 0.5 * (1 + cos(3.14159265358979323846 * (double)(step - top) / (double)(spec->total - top)));
    return spec->lr * (spec->lr_floor + (1 - spec->lr_floor) * left);
}

/* ---- one run of numbers -------------------------------------------------------------------------------------- */

/* A moment without gradients shrinks into the subnormal numbers and stays there, a hundred times slower to handle. */
static inline float flush(float x)
{
    return fabsf(x) < FLT_MIN ? 0 : x;
}

static void adamw(const rule *r, float *w, float *g, float *m, float *v, size_t n, float decay)
{
    const sg_adamw a = {.clip = r->clip,
                        .beta1 = r->b1,
                        .rest1 = r->c1,
                        .beta2 = r->b2,
                        .rest2 = r->c2,
                        .step = r->step,
                        .root = r->root,
                        .eps = r->eps,
                        .keep = 1 - decay};

    sg_kernels_best()->adamw(w, m, v, g, n, &a);
}

static void adagrad(const rule *r, float *restrict w, float *restrict g, float *restrict v, size_t n,
                    float decay)
{
    const float clip = r->clip, lr = r->lr, eps = r->eps, keep = 1 - decay;

    for (size_t i = 0; i < n; i++) {
        const float gi = g[i] * clip;

        v[i] += gi * gi;
        w[i] = w[i] * keep - lr * gi / (sqrtf(v[i]) + eps);
        g[i] = 0;
    }
}

/* m NULL: no momentum */
static void sgd(const rule *r, float *restrict w, float *restrict g, float *restrict m, size_t n, float decay)
{
    const float clip = r->clip, lr = r->lr, b1 = r->b1, keep = 1 - decay;

    for (size_t i = 0; m && i < n; i++) {
        m[i] = flush(b1 * m[i] + g[i] * clip);
        w[i] = w[i] * keep - lr * m[i];
        g[i] = 0;
    }
    for (size_t i = 0; !m && i < n; i++) {
        w[i] = w[i] * keep - lr * (g[i] * clip);
        g[i] = 0;
    }
}

/* one row of a sparse table whose second moment is one number */
static void update_row(const rule *r, float *restrict w, float *restrict g, float *restrict m, float *v,
                       size_t n, float decay)
{
    const float mean = (float)(sg_sum_sq(g, n) * (double)r->clip * (double)r->clip / (double)n);
    const float keep = 1 - decay;

    if (r->kind == SG_OPTIM_ADAGRAD) {
        *v += mean;
        const float rate = r->lr * r->clip / (sqrtf(*v) + r->eps);
        for (size_t i = 0; i < n; i++) {
            w[i] = w[i] * keep - rate * g[i];
            g[i] = 0;
        }
        return;
    }
    assert(m); /* only Adagrad goes without */
    *v = r->b2 * *v + r->c2 * mean;
    const float rate = r->step / (sqrtf(*v) * r->root + r->eps);
    for (size_t i = 0; i < n; i++) {
        m[i] = r->b1 * m[i] + r->c1 * (g[i] * r->clip);
        w[i] = w[i] * keep - rate * m[i];
        g[i] = 0;
    }
}

static void update_run(const rule *r, const slot *s, size_t at, size_t n)
{
    sg_param *p = s->param;
    const float decay = p->decay ? r->decay : 0;
    float *w = p->value + at, *g = p->grad + at;

    if (r->kind == SG_OPTIM_SGD)
        sgd(r, w, g, s->m ? s->m + at : NULL, n, decay);
    else if (s->n_v != p->count)
        update_row(r, w, g, s->m ? s->m + at : NULL, s->v + at / n, n, decay);
    else if (r->kind == SG_OPTIM_ADAGRAD)
        adagrad(r, w, g, s->v + at, n, decay);
    else
        adamw(r, w, g, s->m + at, s->v + at, n, decay);
}

/* ---- a step -------------------------------------------------------------------------------------------------- */

static void norm_body(void *ctx, size_t number, size_t begin, size_t end, int thread)
{
    sg_optim *o = ctx;

    for (size_t i = begin; i < end; i++)
        o->pieces[i].sum_sq = sg_param_piece_sum_sq(o->pieces[i].slot->param, o->pieces[i].number);
}

static void cut_to_unit_ball(float *w, size_t n)
{
    const double length = sqrt(sg_sum_sq(w, n));
    const float c = (float)((1 - 1e-6) / length); /* so that rounding does not leave it outside */

    for (size_t i = 0; length > 1 && i < n; i++)
        w[i] *= c;
}

static void update_body(void *ctx, size_t number, size_t begin, size_t end, int thread)
{
    const step_ctx *c = ctx;

    for (size_t i = begin; i < end; i++) {
        const slot *s = c->optim->pieces[i].slot;
        sg_param *p = s->param;
        const size_t each = p->sparse ? sg_param_piece_rows(p) : SG_PARAM_PIECE;
        const size_t all = p->sparse ? (size_t)p->n_touched : p->count, dim = (size_t)p->dim[1];
        const size_t from = c->optim->pieces[i].number * each, to = from + each < all ? from + each : all;

        if (!p->sparse)
            update_run(&c->rule, s, from, to - from);
        for (size_t k = from; p->sparse && k < to; k++) {
            p->is_touched[p->touched[k]] = 0;
            update_run(&c->rule, s, (size_t)p->touched[k] * dim, dim);
            if (p->ball)
                cut_to_unit_ball(p->value + (size_t)p->touched[k] * dim, dim);
        }
    }
}

static bool list_pieces(sg_optim *o)
{
    size_t n = 0;

    for (size_t i = 0; i < o->n; i++)
        n += sg_param_pieces(o->slots[i].param);
    if (!sg_grow(&o->pieces, &o->cap_pieces, n, sizeof *o->pieces))
        return false;
    o->n_pieces = 0;
    for (size_t i = 0; i < o->n; i++)
        for (size_t k = 0; k < sg_param_pieces(o->slots[i].param); k++)
            o->pieces[o->n_pieces++] = (piece){&o->slots[i], k, 0};
    return true;
}

static sg_status not_finite(const sg_optim *o, sg_error *err)
{
    const char *name = "";

    for (size_t i = o->n_pieces; i-- > 0;)
        if (!isfinite(o->pieces[i].sum_sq))
            name = o->pieces[i].slot->param->name;
    return sg_fail(err, SG_ERR_NUMERIC, "step %lld: gradient of '%s' is not a finite number",
                   (long long)o->steps + 1, name);
}

static rule rule_of(const sg_optim *o, double norm)
{
    const sg_optim_spec *s = &o->spec;
    const double lr = sg_schedule_lr(s, o->steps), t = (double)o->steps;

    return (rule){
        .kind = s->kind,
        .clip = s->clip > 0 && norm > s->clip ? (float)(s->clip / norm) : 1,
        .b1 = (float)s->beta1,
        .c1 = (float)(1 - s->beta1),
        .b2 = (float)s->beta2,
        .c2 = (float)(1 - s->beta2),
        .lr = (float)lr,
        .step = (float)(lr / (1 - pow(s->beta1, t))),
        .root = (float)(1 / sqrt(1 - pow(s->beta2, t))),
        .eps = (float)fmax(s->eps, 1e-20), /* with eps 0, an untouched number would be 0 / 0 */
        .decay = (float)(lr * s->weight_decay),
    };
}

sg_status sg_optim_step(sg_optim *o, sg_pool *pool, double *norm, sg_error *err)
{
    double sum = 0;
    step_ctx ctx;

    if (!list_pieces(o))
        return sg_fail_memory(err, "optimizer step");
    sg_parallel_for(pool, o->n_pieces, 4, norm_body, o);
    for (size_t i = 0; i < o->n_pieces; i++)
        sum += o->pieces[i].sum_sq;
    if (norm)
        *norm = sqrt(sum);
    if (!isfinite(sum))
        return not_finite(o, err);
    o->steps++;
    ctx = (step_ctx){o, rule_of(o, sqrt(sum))};
    sg_parallel_for(pool, o->n_pieces, 4, update_body, &ctx);
    for (size_t i = 0; i < o->n; i++) {
        o->slots[i].param->n_touched = 0;
        o->slots[i].param->version++;
    }
    return SG_OK;
}

/* ---- what a checkpoint keeps --------------------------------------------------------------------------------- */

int64_t sg_optim_steps(const sg_optim *o)
{
    return o->steps;
}

void sg_optim_set_steps(sg_optim *o, int64_t steps)
{
    o->steps = steps;
}

static void add_slot(sg_optim_slot *out, size_t cap, size_t *n, char moment, const sg_param *p, float *data,
                     size_t count)
{
    if (!data)
        return;
    if (*n < cap) {
        snprintf(out[*n].name, sizeof out[*n].name, "%c.%s", moment, p->name);
        out[*n].data = data;
        out[*n].count = count;
    }
    ++*n;
}

size_t sg_optim_slots(const sg_optim *o, sg_optim_slot *out, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < o->n; i++) {
        const slot *s = &o->slots[i];

        add_slot(out, cap, &n, 'm', s->param, s->m, s->param->count);
        add_slot(out, cap, &n, 'v', s->param, s->v, s->n_v);
    }
    return n;
}
