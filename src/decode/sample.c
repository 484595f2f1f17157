/* sample.c - draws without replacement from a tree of probabilities.   [Kool, van Hoof, Welling 2019,
 * arXiv:1903.06059]
 *
 * Each leaf i has G_i = phi_i + Gumbel(0); the k largest G are k draws without replacement. They are found
 * from the top down: given G of a parent, its children are drawn so that their maximum is exactly G: H_c =
 * phi_c + Gumbel(0),  Z = max_c H_c,  G_c = -log(exp(-G) - exp(-Z) + exp(-H_c)) written with v = G - H_c +
 * log1p(-exp(H_c - Z)) as G_c = G - max(0, v) - log1p(exp(-|v|)). phi runs over what is alive, renormalised
 * at each prefix. */
#include "decode/search.h"

#include "base/rng.h"

#include <math.h>

static double perturbed(const sg_prefix *p, float x, double temperature, uint64_t seed, uint64_t draw,
                        int level, int32_t node)
{
    const uint64_t bits = sg_rng_u64(seed, SG_RNG_SAMPLE, draw, (uint64_t)(level + 1) << 32 | (uint32_t)node);
    const double u = ((double)(bits >> 12) + 0.5) * 0x1p-52; /* (0, 1), both ends excluded */

    return p->phi + ((double)x / temperature - p->lse_hot) - log(-log(u));
}

static double conditioned(const sg_prefix *p, double h)
{
    const double v = p->gumbel - h + log1p(-exp(h - p->highest));

    return p->gumbel - (v > 0 ? v : 0) - log1p(exp(-fabs(v)));
}

/* Below this value of H a child stays under the floor: the formula above solved for H. */
static double least_worth(const sg_prefix *p, double floor)
{
    return -log(exp(-floor) - exp(-p->gumbel) + exp(-p->highest));
}

void sg_draw_children(sg_prefix *p, sg_picks *picks, const float *x, double *h, double temperature,
                      uint64_t seed, uint64_t draw, int level)
{
    const int32_t first = p->kids.first;
    double top = -INFINITY, sum = 0, least;

    for (int32_t i = 0; i < p->kids.n; i++)
        if (x[i] / temperature > top)
            top = x[i] / temperature;
    for (int32_t i = 0; i < p->kids.n; i++)
        if (!isnan(x[i]))
            sum += exp(x[i] / temperature - top);
    p->lse_hot = top + log(sum);
    p->highest = -INFINITY;
    for (int32_t i = 0; i < p->kids.n; i++) {
        h[i] = isnan(x[i]) ? NAN : perturbed(p, x[i], temperature, seed, draw, level, first + i);
        if (h[i] > p->highest) /* not for NaN */
            p->highest = h[i];
    }
    least = least_worth(p, (double)picks->floor) -
            1e-3; /* NaN or infinite where that underflows: then all are tried */
    for (int32_t i = 0; i < p->kids.n; i++)
        if (!isnan(h[i]) && !(h[i] < least))
            sg_picks_put(picks, (float)conditioned(p, h[i]), first + i);
}

void sg_draw_child(sg_prefix *child, const sg_prefix *p, float x, double temperature, uint64_t seed,
                   uint64_t draw, int level, int32_t node)
{
    child->phi = p->phi + ((double)x / temperature - p->lse_hot);
    child->gumbel = conditioned(p, perturbed(p, x, temperature, seed, draw, level, node));
}
