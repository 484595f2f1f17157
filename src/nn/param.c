/* param.c - the named weights of a model: declared once, then initialised, saved, loaded, updated.
 *
 * A weight's first value depends on (seed, name, index) alone, so adding a layer or changing the order of declaration
 * moves no other weight. (rows, cols) is (out, in) for linear layers and (entries, width) for tables. */
#include "nn/param.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "math/gemm.h"
#include "nn/piece.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* FNV-1a: names the random stream of a weight */
static uint64_t hash_name(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

static void fill_normal(float *w, size_t n, uint64_t seed, uint64_t name, double sd)
{
    for (size_t i = 0; i < n; i++)
        w[i] = (float)(sd * sg_rng_normal(seed, SG_RNG_INIT, name, i));
}

static void fill_uniform(float *w, size_t n, uint64_t seed, uint64_t name, double bound)
{
    for (size_t i = 0; i < n; i++)
        w[i] = (float)(bound * (2 * sg_rng_double(seed, SG_RNG_INIT, name, i) - 1));
}

/* N(0, sd) without what lies beyond 2 sd: such a number (4.6 % of them) is drawn again, from a stream of its own */
static void fill_trunc_normal(float *w, size_t n, uint64_t seed, uint64_t name, double sd)
{
    for (size_t i = 0; i < n; i++) {
        double z = sg_rng_normal(seed, SG_RNG_INIT, name, i);

        for (uint64_t again = 1; fabs(z) > 2; again++)
            z = sg_rng_normal(seed, SG_RNG_INIT, name + again * 0x9e3779b97f4a7c15u, i);
        w[i] = (float)(sd * z);
    }
}

static void initialise(sg_param *p, uint64_t seed, sg_init init, double scale)
{
    const uint64_t name = hash_name(p->name);
    const double fan = p->rank == 2 ? (double)p->dim[0] + p->dim[1] : 2.0 * p->dim[0];

    switch (init) {
    case SG_INIT_ZERO:
        memset(p->value, 0, p->count * sizeof(float));
        break;
    case SG_INIT_ONE:
        for (size_t i = 0; i < p->count; i++)
            p->value[i] = 1;
        break;
    case SG_INIT_NORMAL:
        fill_normal(p->value, p->count, seed, name, scale);
        break;
    case SG_INIT_XAVIER_UNIFORM:
        fill_uniform(p->value, p->count, seed, name, scale * sqrt(6 / fan));
        break;
    case SG_INIT_XAVIER_NORMAL:
        fill_normal(p->value, p->count, seed, name, scale * sqrt(2 / fan));
        break;
    case SG_INIT_TRUNC_NORMAL:
        fill_trunc_normal(p->value, p->count, seed, name, scale);
        break;
    }
}

static void param_free(sg_param *p)
{
    if (!p)
        return;
    if (p->packed)
        sg_gemm_forget(p);
    if (!p->mapped)
        sg_free(p->value);
    sg_free(p->grad);
    sg_free(p->touched);
    sg_free(p->is_touched);
    sg_free(p);
}

static void *declare_failed(sg_params *ps, sg_param *p)
{
    ps->failed = true;
    param_free(p);
    return NULL;
}

sg_param *sg_param_add(sg_params *ps, uint64_t seed, sg_init init, float scale, int flags, int rows, int cols,
                       const char *name_format, ...)
{
    sg_param *p;
    va_list args;

    if (ps->failed || rows < 0 || cols < 0 || !(p = sg_alloc_zero(1, sizeof *p)))
        return declare_failed(ps, NULL);
    va_start(args, name_format);
    vsnprintf(p->name, sizeof p->name, name_format, args);
    va_end(args);
    p->rank = cols ? 2 : 1;
    p->dim[0] = rows;
    p->dim[1] = cols;
    p->decay = !(flags & SG_PARAM_NO_DECAY);
    p->sparse = (flags & SG_PARAM_SPARSE) && cols;
    p->ball = (flags & SG_PARAM_BALL) && p->sparse;
    p->frozen = flags & SG_PARAM_FROZEN;
    p->version = 1;
    if (!sg_mul(&p->count, (size_t)rows, cols ? (size_t)cols : 1) ||
        !sg_grow(&ps->list, &ps->cap, ps->n + 1, sizeof(sg_param *)))
        return declare_failed(ps, p);
    if (!ps->bare) {
        if (!(p->value = sg_alloc_array(p->count, sizeof(float))))
            return declare_failed(ps, p);
        initialise(p, seed, init, (double)scale);
    }
    ps->list[ps->n++] = p;
    return p;
}

void sg_param_map(sg_param *p, const float *value)
{
    if (!p->mapped)
        sg_free(p->value);
    p->value = (float *)(uintptr_t)value; /* never written: a mapped weight has no gradient */
    p->mapped = true;
    p->version++;
}

void sg_params_free(sg_params *ps)
{
    for (size_t i = 0; i < ps->n; i++)
        param_free(ps->list[i]);
    sg_free(ps->list);
    *ps = (sg_params){0};
}

sg_param *sg_params_find(const sg_params *ps, const char *name)
{
    for (size_t i = 0; i < ps->n; i++)
        if (strcmp(ps->list[i]->name, name) == 0)
            return ps->list[i];
    return NULL;
}

static bool need_grad(sg_param *p)
{
    if (!p->grad && !(p->grad = sg_alloc_zero(p->count, sizeof(float))))
        return false;
    if (!p->sparse || p->is_touched)
        return true;
    if (!p->touched && !(p->touched = sg_alloc_array((size_t)p->dim[0], sizeof *p->touched)))
        return false;
    p->n_touched = 0;
    return (p->is_touched = sg_alloc_zero((size_t)p->dim[0], 1));
}

sg_status sg_params_need_grads(sg_params *ps, sg_error *err)
{
    if (ps->failed)
        return sg_fail_memory(err, "weights");
    for (size_t i = 0; i < ps->n; i++)
        if (!ps->list[i]->frozen && !ps->list[i]->mapped && !need_grad(ps->list[i]))
            return sg_fail_memory(err, ps->list[i]->name);
    return SG_OK;
}

void sg_params_zero_grads(sg_params *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        sg_param *p = ps->list[i];

        if (!p->grad)
            continue;
        if (!p->sparse) {
            memset(p->grad, 0, p->count * sizeof(float));
            continue;
        }
        for (int32_t k = 0; k < p->n_touched; k++) {
            memset(p->grad + (size_t)p->touched[k] * (size_t)p->dim[1], 0, (size_t)p->dim[1] * sizeof(float));
            p->is_touched[p->touched[k]] = 0;
        }
        p->n_touched = 0;
    }
}

uint64_t sg_params_version(const sg_params *ps)
{
    uint64_t sum = 1;

    for (size_t i = 0; i < ps->n; i++)
        sum += ps->list[i]->version;
    return sum;
}

size_t sg_params_count(const sg_params *ps)
{
    size_t n = 0;

    for (size_t i = 0; i < ps->n; i++)
        n += ps->list[i]->count;
    return n;
}

/* The same pieces, joined in the same order, as the norm inside sg_optim_step: both give the same bits. */
double sg_params_grad_norm(const sg_params *ps)
{
    double sum = 0;

    for (size_t i = 0; i < ps->n; i++) {
        const sg_param *p = ps->list[i];

        if (!p->grad || p->frozen)
            continue;
        for (size_t piece = 0; piece < sg_param_pieces(p); piece++)
            sum += sg_param_piece_sum_sq(p, piece);
    }
    return sqrt(sum);
}

void sg_params_scale_grads(sg_params *ps, float c)
{
    for (size_t i = 0; i < ps->n; i++) {
        sg_param *p = ps->list[i];
        const size_t dim = (size_t)p->dim[1];

        if (!p->grad)
            continue;
        if (!p->sparse) {
            for (size_t j = 0; j < p->count; j++)
                p->grad[j] *= c;
            continue;
        }
        for (int32_t k = 0; k < p->n_touched; k++)
            for (size_t j = 0; j < dim; j++)
                p->grad[(size_t)p->touched[k] * dim + j] *= c;
    }
}
