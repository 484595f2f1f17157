/* spread.h - many times as one histogram of fixed size: quantiles to 0.8 %, whatever their number. */
#ifndef SG_SERVE_SPREAD_H
#define SG_SERVE_SPREAD_H

#include <stdint.h>

/* Buckets are even within each doubling, from a microsecond to four minutes; what lies outside is in the first or last. */
enum {
    SG_SPREAD_STEPS = 128,
    SG_SPREAD_DOUBLINGS = 28,
    SG_SPREAD_BUCKETS = SG_SPREAD_STEPS * SG_SPREAD_DOUBLINGS
};

typedef struct sg_spread {
    uint64_t n, bucket[SG_SPREAD_BUCKETS];
    double sum, most; /* seconds */
} sg_spread;

void sg_spread_add(sg_spread *s, double seconds);
double
sg_spread_edge(int bucket); /* seconds, where the bucket begins; that of SG_SPREAD_BUCKETS is the end */
/* No less than the share q of the times is up to this: the end of the bucket it falls into. 0 when there are none. */
double sg_spread_quantile(const sg_spread *s, double q);

#endif
