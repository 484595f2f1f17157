/* param.h - the named weights of a model: declared once, then initialised, saved, loaded, updated. */
#ifndef SG_NN_PARAM_H
#define SG_NN_PARAM_H

#include "math/graph.h"

typedef enum sg_init {
    SG_INIT_ZERO,
    SG_INIT_ONE,
    SG_INIT_NORMAL,
    SG_INIT_XAVIER_UNIFORM,
    SG_INIT_XAVIER_NORMAL,
    SG_INIT_TRUNC_NORMAL,
} sg_init;

typedef struct sg_params {
    sg_param **list; /* owned, in order of declaration */
    size_t n, cap;
    bool failed; /* a declaration ran out of memory: sticky */
    bool
        bare; /* set before declaring: values are neither taken nor initialised, sg_param_map will give them */
} sg_params;

/* BALL: with SPARSE, rows stay within the unit ball. */
enum { SG_PARAM_SPARSE = 1, SG_PARAM_NO_DECAY = 2, SG_PARAM_FROZEN = 4, SG_PARAM_BALL = 8 };

/* Declares a weight and initialises it from (seed, name), whatever the order: N(0, sd), U(+-sqrt(6/(in+out))), ...
 * scale: sd of NORMAL and TRUNC_NORMAL (cut at 2 sd), gain of XAVIER. (rows, cols) is (out, in); cols 0: a vector.
 * Name by printf, at most 95 bytes, different from all others. NULL (sticky) when out of memory. */
sg_param *sg_param_add(sg_params *ps, uint64_t seed, sg_init init, float scale, int flags, int rows, int cols,
                       const char *name_format, ...) __attribute__((format(printf, 8, 9)));
/* value lives elsewhere (count numbers in a mapped file): borrowed, read-only, never freed here. */
void sg_param_map(sg_param *p, const float *value);
void sg_params_free(sg_params *ps);
sg_param *sg_params_find(const sg_params *ps, const char *name); /* NULL when absent */
sg_status sg_params_need_grads(sg_params *ps,
                               sg_error *err);   /* allocates gradients of all that are not frozen */
void sg_params_zero_grads(sg_params *ps);        /* sparse ones: only touched rows */
uint64_t sg_params_version(const sg_params *ps); /* above 0; changes whenever a value does */
size_t sg_params_count(const sg_params *ps);     /* numbers in all */
double sg_params_grad_norm(const sg_params *ps); /* sqrt of the sum of squares, in double */
void sg_params_scale_grads(sg_params *ps, float c);

#endif
