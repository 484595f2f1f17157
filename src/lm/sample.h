/* sample.h - which token comes next. */
#ifndef SG_LM_SAMPLE_H
#define SG_LM_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct sg_sampling {
    double temperature; /* 0: the most likely token */
    int top_k;          /* only the k most likely (0: all) */
    double top_p;       /* only the fewest that have this share of the probability (1: all) */
    double min_p;       /* only those at least this likely, in units of the most likely one (0: all) */
    uint64_t seed;
} sg_sampling;

/* logits (n); scratch: n of each. Token number `step` of text number `text`: the same five, the same token. */
int32_t sg_sample(const float *logits, size_t n, const sg_sampling *s, uint64_t text, uint64_t step,
                  int32_t *index, float *value);

#endif
