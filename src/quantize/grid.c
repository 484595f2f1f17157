/* grid.c - finite scalar quantisation and look-up free quantisation.  [Mentzer et al. 2024; Yu et al. 2024, MAGVIT-v2]
 *
 * fsq, L places:  b = tanh(z + s) h - o,  h = (L - 1) (1 + 1e-3) / 2,  o = 1/2 for even L else 0,  s = atanh(o / h)
 *                 z' = round(b) / floor(L / 2);  the gradient passes the rounding, not the tanh
 * lfq:            z' = sign(z), straight through;
 *                 loss += D ( beta mean (z - sg z')^2 + entropy mean over levels ( E H(c | x) - H(E p(c | x)) ) ): sharp for an item, even over
 *                 all. The weights are meant for means over numbers; the loss sums the D numbers of an input, hence the D.
 * residual lfq:   r_0 = z;  q_l = sign(r_l) / 2^l;  r_{l+1} = r_l - q_l;  z' = sum of q_l: levels halve what is left of |z| < 2, and
 *                 terms are those of lfq for 2^l r_l, commitments as they are
 * A level's code is its places as digits, the first number the lowest. */
#include "quantize/grid.h"

#include "math/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

sg_status sg_grid_init(sg_grid *grid, const sg_tokenize_config *c, sg_error *err)
{
    const char *at = c->grid;

    *grid = (sg_grid){.signs = strcmp(c->method, "lfq") == 0, .codes = 1, .residual = c->residual};
    if (grid->signs) {
        while (grid->codes < c->codes && grid->numbers < 14) {
            grid->step[grid->numbers++] = 2;
            grid->codes *= 2;
        }
        if (grid->codes != c->codes)
            return sg_fail(err, SG_ERR_USAGE, "lfq: expected codes to be a power of 2 up to 16384, found %d",
                           c->codes);
        return SG_OK;
    }
    while (*at) {
        char *end;
        const long step = strtol(at, &end, 10);

        if (end == at || step < 2 || step > 256 || (*end && *end != ',') || (*end == ',' && !end[1]) ||
            grid->numbers == SG_GRID_NUMBERS_MAX || (long)grid->codes * step > 65536)
            return sg_fail(
                err, SG_ERR_USAGE,
                "grid: expected steps like 8,6,5 of 2 to 256 with a product up to 65536, found '%s'",
                c->grid);
        grid->step[grid->numbers++] = (int)step;
        grid->codes *= (int)step;
        at = *end ? end + 1 : end;
    }
    return grid->numbers ? SG_OK : sg_fail(err, SG_ERR_USAGE, "grid: expected steps like 8,6,5, found none");
}

/* ---- one number ----------------------------------------------------------------------------------------------- */

typedef struct bound {
    float half, offset, shift, unit;
} bound;

static bound bound_of(int step)
{
    const float half = (float)(step - 1) * 1.001f / 2, offset = step % 2 ? 0 : 0.5f;

    return (bound){half, offset, atanhf(offset / half), (float)(step / 2)};
}

static float round_number(float z, const bound *b)
{
    return rintf(tanhf(z + b->shift) * b->half - b->offset) / b->unit;
}

int sg_grid_width(const sg_grid *grid, int levels)
{
    return grid->residual ? grid->numbers : grid->numbers * levels;
}

/* Of one item, level by level. */
static void residual_signs(int32_t *codes, float *z, int levels, int numbers)
{
    for (int l = 0; l < levels; l++)
        codes[l] = 0;
    for (int k = 0; k < numbers; k++) {
        float left = z[k], sum = 0, unit = 1;

        for (int l = 0; l < levels; l++, unit /= 2) {
            const float q = left > 0 ? unit : -unit;

            codes[l] |= (left > 0) << k;
            left -= q;
            sum += q;
        }
        z[k] = sum;
    }
}

void sg_grid_codes(int32_t *codes, float *z, size_t n, int levels, const sg_grid *grid)
{
    for (size_t i = 0; grid->residual && i < n; i++)
        residual_signs(codes + i * (size_t)levels, z + i * (size_t)grid->numbers, levels, grid->numbers);
    for (size_t i = 0; !grid->residual && i < n * (size_t)levels; i++) {
        int32_t digit = 1;

        codes[i] = 0;
        for (int k = 0; k < grid->numbers; k++, z++) {
            const bound b = bound_of(grid->step[k]);
            const int32_t place =
                grid->signs ? *z > 0 : (int32_t)lrintf(round_number(*z, &b) * b.unit) + grid->step[k] / 2;

            *z = grid->signs ? (*z > 0 ? 1 : -1) : round_number(*z, &b);
            codes[i] += place * digit;
            digit *= grid->step[k];
        }
    }
}

/* ---- ops ------------------------------------------------------------------------------------------------------ */

typedef struct rounding {
    sg_tensor *z;
    sg_grid grid;
} rounding;

static void round_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const rounding *r = saved;
    float *dz = sg_grad(g, r->z);

    for (size_t i = 0; dz && i < out->count; i++) {
        const bound b = bound_of(r->grid.step[i % (size_t)r->grid.numbers]);
        const float t = tanhf(r->z->data[i] + b.shift);

        dz[i] += out->grad[i] * (1 - t * t) * b.half / b.unit;
    }
}

static sg_tensor *round_latent(sg_graph *g, const sg_grid *grid, sg_tensor *z)
{
    sg_tensor *y = z ? sg_tensor_2d(g, z->dim[0], z->dim[1]) : NULL;
    rounding *r = y ? sg_scratch(g, 1, sizeof *r) : NULL;

    if (!r)
        return NULL;
    *r = (rounding){z, *grid};
    for (size_t i = 0; i < z->count; i++) {
        const bound b = bound_of(grid->step[i % (size_t)grid->numbers]);

        y->data[i] = round_number(z->data[i], &b);
    }
    if (sg_wants(g, z))
        sg_tape(g, y, round_back, r);
    return y;
}

typedef struct entropies {
    sg_tensor *z;
    float sharpness;
    int codes;
    float *p;    /* (rows, codes) */
    float *mean; /* (codes) */
} entropies;

static float sign_of(int code, int bit)
{
    return code >> bit & 1 ? 1 : -1;
}

static double surprise(double p) /* log p, for p log p and its slope */
{
    return p > 1e-30 ? log(p) : log(1e-30);
}

static void entropy_back(sg_graph *g, sg_tensor *out, void *saved)
{
    const entropies *e = saved;
    const int rows = e->z->dim[0], bits = e->z->dim[1];
    float *dz = sg_grad(g, e->z);

    for (int r = 0; dz && r < rows; r++) {
        const float *p = e->p + (size_t)r * (size_t)e->codes;
        double own = 0, all = 0;

        for (int k = 0; k < e->codes;
             k++) { /* slopes of both entropies by p, less their mean: by the logits */
            own -= (double)p[k] * surprise((double)p[k]);
            all += (double)p[k] * surprise((double)e->mean[k]);
        }
        for (int k = 0; k < e->codes; k++) {
            const double slope =
                (double)p[k] * (surprise((double)e->mean[k]) - all - surprise((double)p[k]) - own) / rows;

            for (int b = 0; b < bits; b++)
                dz[r * bits + b] += out->grad[0] * (float)slope * 2 * e->sharpness * sign_of(k, b);
        }
    }
}

sg_tensor *sg_sign_entropy(sg_graph *g, sg_tensor *z, float sharpness)
{
    sg_tensor *y = z ? sg_tensor_new(g, 0, NULL) : NULL;
    entropies *e = y ? sg_scratch(g, 1, sizeof *e) : NULL;
    double own = 0, all = 0;

    if (!e)
        return NULL;
    const int rows = z->dim[0], bits = z->dim[1], codes = 1 << bits;

    *e = (entropies){z, sharpness, codes, sg_scratch(g, (size_t)rows, (size_t)codes * sizeof *e->p),
                     sg_scratch(g, (size_t)codes, sizeof *e->mean)};
    if (!e->p || !e->mean)
        return NULL;
    memset(e->mean, 0, (size_t)codes * sizeof *e->mean);
    for (int r = 0; r < rows; r++) {
        float *p = e->p + (size_t)r * (size_t)codes;
        double of[2][SG_GRID_NUMBERS_MAX];

        for (int b = 0; b < bits; b++)
            for (int k = 0; k < 2; k++)
                of[k][b] = 1 / (1 + exp((k ? -4 : 4) * (double)sharpness * (double)z->data[r * bits + b]));
        for (int k = 0; k < codes; k++) { /* bits are independent: p is their product */
            double product = 1;

            for (int b = 0; b < bits; b++)
                product *= of[k >> b & 1][b];
            p[k] = (float)product;
            e->mean[k] += p[k] / (float)rows;
            own -= product * surprise(product);
        }
    }
    for (int k = 0; k < codes; k++)
        all -= (double)e->mean[k] * surprise((double)e->mean[k]);
    y->data[0] = (float)(own / rows - all);
    if (sg_wants(g, z))
        sg_tape(g, y, entropy_back, e);
    return y;
}

static sg_tensor *signs_of(sg_graph *g, sg_tensor *z, float unit)
{
    sg_tensor *signs = z ? sg_tensor_2d(g, z->dim[0], z->dim[1]) : NULL;

    for (size_t i = 0; signs && i < z->count; i++)
        signs->data[i] = z->data[i] > 0 ? unit : -unit;
    return signs;
}

static void add_term(sg_graph *g, sg_tensor **loss, sg_tensor *term, double weight)
{
    term = sg_scale(g, term, (float)weight);
    *loss = *loss ? sg_plus(g, *loss, term) : term;
}

static sg_tensor *take_signs(sg_graph *g, sg_tensor *z, const sg_grid *grid, int dim,
                             const sg_tokenize_config *c, sg_tensor **loss)
{
    const double commitment = c->beta * dim / (c->levels * grid->numbers),
                 entropy = c->entropy * dim / c->levels;
    sg_tensor *left = z, *sum = signs_of(g, z, 1), *signs = sum;
    float unit = 1;

    add_term(g, loss, sg_sum_sq_rows(g, z, signs), commitment);
    for (int l = 0; l < c->levels && sum; l++) {
        if (grid->residual && l > 0) {
            left = sg_minus(g, left, signs);
            unit /= 2;
            if (!(signs = signs_of(g, left, unit)))
                return NULL;
            add_term(g, loss, sg_sum_sq_rows(g, left, signs), commitment);
            sum = sg_plus(g, sum, signs);
        }
        if (c->entropy > 0)
            add_term(g, loss,
                     sg_sign_entropy(g,
                                     grid->residual
                                         ? left
                                         : sg_slice_cols(g, z, l * grid->numbers, (l + 1) * grid->numbers),
                                     (float)c->sharpness / unit),
                     entropy);
    }
    return sum ? sg_straight_through(g, sum, z) : NULL;
}

sg_tensor *sg_grid_quantise(sg_graph *g, const sg_grid *grid, sg_tensor *z, int dim,
                            const sg_tokenize_config *c, sg_tensor **loss)
{
    return grid->signs ? take_signs(g, z, grid, dim, c, loss) : round_latent(g, grid, z);
}
