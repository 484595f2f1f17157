/* contrast.h - sedge lm tune on pairs, of an encoder or a decoder: texts that belong together get near vectors, others do not. */
#ifndef SG_LM_CONTRAST_H
#define SG_LM_CONTRAST_H

#include "base/option.h"
#include "base/progress.h"
#include "lm/bert.h"
#include "lm/decoder.h"
#include "lm/pooling.h"

#include <jansson.h>

#define SG_CONTRAST_OPTIONS(X)                                                                               \
    X(text, query_prefix, "", 0, 255, "tune on pairs: put before every query (e5: \"query: \")")             \
    X(text, passage_prefix, "", 0, 255, "tune on pairs: put before every other text (e5: \"passage: \")")    \
    X(choice, pooling, auto, 0, 0,                                                                           \
      "auto|cls|mean|last: tune a decoder on pairs: which hidden states make the vector (auto: as its "      \
      "folder says, or the mean)")                                                                           \
    X(bool, both_ways, false, 0, 1,                                                                          \
      "tune a decoder on pairs: tokens see those behind them, too (LLM2Vec, GritLM)")                        \
    X(int, rank, 8, 1, 4096, "tune a decoder on pairs: rank of the low-rank parts that learn")               \
    X(float, alpha, 16, 0, 100000,                                                                           \
      "tune a decoder on pairs: what the parts give is multiplied by alpha / rank")                          \
    X(text, targets, all, 0, 255,                                                                            \
      "tune a decoder on pairs: matrices that have parts, of q_proj, k_proj, v_proj, o_proj, gate_proj, "    \
      "up_proj, down_proj")                                                                                  \
    X(int, length, 128, 2, 1048576, "tune on pairs: tokens of a text, at most")                              \
    X(int, batch, 64, 2, 65536, "tune on pairs: pairs of a step; the other pairs are the wrong answers")     \
    X(int, negatives, 1, 0, 100, "tune on pairs: further wrong answers of a query, of those in its line")    \
    X(int, tokens, 4096, 2, 16777216,                                                                        \
      "tune on pairs: tokens that are worked on at once; a larger batch takes less memory so")               \
    X(text, widths, "", 0, 255,                                                                              \
      "tune on pairs: vectors cut to these widths shall work, too, as 256,64 (Matryoshka; empty: whole)")    \
    X(float, temperature, 0.05, 0.0001, 100, "tune on pairs: cosines are divided by it")                     \
    X(int, epochs, 1, 1, 1000000, "tune on pairs: passes over the pairs")                                    \
    X(float, lr, 0.00002, 0, 10, "tune on pairs: learning rate")                                             \
    X(float, warmup, 0.1, 0, 1, "tune on pairs: share of the steps over which the learning rate rises")      \
    X(float, weight_decay, 0.01, 0, 10, "tune on pairs: decoupled weight decay of matrices")                 \
    X(float, clip, 1, 0, 1000000, "tune on pairs: gradient norm, at most (0: no clipping)")                  \
    X(float, valid, 0.05, 0, 0.5, "tune on pairs: share of the pairs that are asked, not learned")           \
    X(choice, precision, auto, 0, 0, "auto|f32|bf16: tune an encoder: arithmetic of matrix products")        \
    X(int, seed, 1, 0, 2147483647, "tune on pairs: random seed")

typedef struct sg_contrast_config {
    SG_CONTRAST_OPTIONS(SG_OPTION_FIELD)
} sg_contrast_config;
extern const sg_option sg_contrast_options[];
extern const size_t sg_n_contrast_options;

/* What gives the states of tokens: one of the two. */
typedef struct sg_contrast_model {
    const sg_bert *bert;
    const sg_decoder *decoder;
    bool both_ways; /* its tokens see those behind them */
} sg_contrast_model;

int sg_contrast_dim(const sg_contrast_model *m); /* numbers of a state */

/* Texts of one step as packed tokens, and what the gradient of the contrastive loss is: with all texts at once on the tape, or
 * [GradCache, Gao et al. 2021] vectors first, without one, then the loss and the gradient of the vectors, then piece by piece the texts. */
typedef struct sg_contrast_batch {
    int pairs, texts;       /* texts: queries, their answers in the same order, further wrong answers */
    const int32_t *id;      /* (offsets[texts]) */
    const int32_t *offsets; /* (texts + 1) */
} sg_contrast_batch;

typedef struct sg_contrast_how {
    sg_pooler pooler; /* CLS, MEAN or LAST */
    int width[8], n_widths;
    float temperature;
    int tokens; /* worked on at once */
} sg_contrast_how;

typedef struct sg_contrast_told {
    double loss; /* mean over the queries that are asked */
    int asked;   /* queries that have a wrong answer in the batch */
    int correct; /* of them, those whose own answer was nearest */
} sg_contrast_told;

/* Loss of the batch; learn: gradients of the weights that learn are added to. Not wrong for a query is a text that is the answer of a pair
 * with the same query, wherever in the batch it stands. */
sg_status sg_contrast_step(sg_contrast_told *told, sg_graph *g, const sg_contrast_model *m,
                           const sg_contrast_batch *batch, const sg_contrast_how *how, bool learn,
                           uint64_t step, sg_error *err);

/* A folder of the BERT family, or a decoder; lines {"query": "...", "pos": ["..."], "neg": ["..."]} (neg may be missing; a text stands for
 * a list of one); the folder to make: best on validation. Of an encoder all weights learn, of a decoder the parts of an adapter. */
sg_status sg_contrast(const char *model, const char *data, const char *out, const sg_contrast_config *c,
                      sg_pool *pool, const sg_progress *progress, json_t **report, sg_error *err);

/* Whether `model` is a folder of the BERT family; false also where its config.json cannot be read. */
bool sg_contrast_is_encoder(const char *model);
/* Whether the first line of `data` is such a pair, and no lesson as well; false also where it cannot be read. */
bool sg_contrast_is_pairs(const char *data);

#endif
