/* evidence.h - documents found by strings of tokens that a model says they hold: SEAL's scores.
 *
 * A string g that the model writes after a query with probability p(g|q), and that stands in the documents with frequency
 * p(g) = F(g) / (all tokens), weighs
 *   w(g) = max(0, log p(g|q) (1 - p(g)) - log p(g) (1 - p(g|q)))
 * and a document scores the sum over its strings, the heaviest first, of w(g)^alpha cover(g), where
 *   cover(g) = 1 - beta + beta (tokens of g that no heavier string of the document has) / (tokens of g), each token counted once.
 * A string counts for a document when one of its places there overlaps no place of a string that counted before it.
 *   [Bevilacqua et al., NeurIPS 2022, arXiv:2204.10628] */
#ifndef SG_LM_EVIDENCE_H
#define SG_LM_EVIDENCE_H

#include "index/fm.h"

/* Documents of some parts each (title, text): strings never run from one part into the next. */
typedef struct sg_shelf {
    const sg_fm *fm;        /* borrowed, as all here: item d * parts + i is part i of document d */
    const int64_t *offsets; /* (n * parts + 1) where parts begin among all tokens */
    int32_t n, parts;
} sg_shelf;

typedef struct sg_gram {
    const int32_t *token; /* (n) borrowed */
    int32_t n;
    double logp;      /* log p(g|q) */
    double weight;    /* w(g): made by sg_evidence_rank */
    sg_fm_range rows; /* likewise: its places in the documents */
} sg_gram;

typedef struct sg_hit {
    int32_t document;
    double score;
} sg_hit;

double sg_gram_weight(double logp, double count, double tokens);

typedef struct sg_evidence_how {
    double alpha, beta;
    int most; /* documents asked for */
    int frequent; /* strings with more places than this count for documents alone that rarer ones found; 0: no such limit */
    const uint8_t *
        allow; /* (documents) 1 = may be found; NULL: all. What strings weigh stays what all documents make of it */
} sg_evidence_how;

typedef struct sg_evidence sg_evidence; /* one thread's scratch */
sg_status sg_evidence_new(sg_evidence **out, const sg_shelf *s,
                          sg_error *err); /* what s names must outlive it */
void sg_evidence_free(sg_evidence *e);
/* gram (n): sorted here, the heaviest first; those alike are to be given once. hit (how->most): the best documents; those that score
 * alike in the order of their numbers. *n_hit: how many there are. */
sg_status sg_evidence_rank(sg_hit *hit, int *n_hit, sg_evidence *e, sg_gram *gram, int n,
                           const sg_evidence_how *how, sg_error *err);

#endif
