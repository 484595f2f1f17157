/* spread.c - the bucket of a time is its exponent and the first bits of its mantissa. */
#include "serve/spread.h"

#include <math.h>

static int bucket_of(double seconds)
{
    int exponent;
    const double mantissa = frexp(seconds * 1e6, &exponent); /* 1/2 .. 1 */

    if (!(seconds >= 1e-6))
        return 0;
    if (exponent > SG_SPREAD_DOUBLINGS)
        return SG_SPREAD_BUCKETS - 1;
    return (exponent - 1) * SG_SPREAD_STEPS + (int)((mantissa - 0.5) * 2 * SG_SPREAD_STEPS);
}

void sg_spread_add(sg_spread *s, double seconds)
{
    s->bucket[bucket_of(seconds)]++;
    s->n++;
    s->sum += seconds;
    s->most = seconds > s->most ? seconds : s->most;
}

double sg_spread_edge(int bucket)
{
    const double step = bucket % SG_SPREAD_STEPS / (double)SG_SPREAD_STEPS;

    return 1e-6 * ldexp(1 + step, bucket / SG_SPREAD_STEPS);
}

double sg_spread_quantile(const sg_spread *s, double q)
{
    const uint64_t need = (uint64_t)ceil(q * (double)s->n);
    uint64_t sum = 0;

    for (int i = 0; i < SG_SPREAD_BUCKETS; i++)
        if ((sum += s->bucket[i]) >= need && sum)
            return sg_spread_edge(i + 1) < s->most ? sg_spread_edge(i + 1) : s->most;
    return 0;
}
