/* coder.h - the encoder-decoder that writes semantic IDs, which TIGER, OneRec and DSI are made of.   [Raffel et al. 2020; Rajput et al. 2023]
 *
 *   encoder  [user] a1 .. aL b1 .. bL ...    T5 blocks over the codes of the latest items, or over tokens of the model's own
 *   decoder  BOS d1 .. d(L-1)                T5 blocks over the codes written so far, which look at the encoder's result
 *
 * Token of code c at level l: first(l) + c; then BOS; then the hashed user tokens; then the model's own. Relative position bias, shared
 * by the layers of a stack. The models differ in what they ask of it: their losses and searches are their own. */
#ifndef SG_MODELS_CODER_H
#define SG_MODELS_CODER_H

#include "decode/stack.h"
#include "models/names.h"
#include "models/past.h"
#include "nn/transformer.h"

typedef struct sg_coder_spec {
    int dim, layers, heads, head_dim, ffn;
    const char *act; /* "relu", "gelu" or "silu" */
    bool gated;
    int experts, top; /* of the decoder's feed-forward part (nn/moe.h); 0: one for all */
    float dropout;
    int history, step; /* items that are read; events by which the window moves */
    bool causal;       /* an item sees itself whole and all before it, so that one pass serves every prefix */
    int user_tokens;   /* hashed; 0: none */
    int own_tokens;    /* of the model, for what it reads and writes beside codes; 0: none */
    bool one_alphabet; /* a code has one vector for all levels */
    bool prefix_vectors;
    bool cross_bias;              /* the decoder knows how far back a history token is */
    int buckets, bucket_distance; /* of relative positions */
    bool tied;
    double init_sd;   /* of stored token vectors, which are read as vector / init_sd */
    bool legal;       /* softmax over codes that exist */
    bool renormalise; /* ... while decoding alone */
    bool
        shared; /* the last code only tells items apart that share a leaf: it is not read and not learned, and in place of the decoder
                    `leaf` says how likely it is */
    float
        length_norm; /* recommended items are ranked by log-probability over codes to this power; 0: as they are */
} sg_coder_spec;

typedef struct sg_coder {
    sg_coder_spec spec;
    sg_names names;
    const int32_t *codes; /* borrowed: the model's */
    const float *
        leaf; /* borrowed (items): with spec.shared, log-weights of the items that share a leaf; others weigh 0. Set by the model */
    int32_t bos, user0, own0;                   /* tokens; own0: the first of the model's own */
    sg_param *bias_enc, *bias_dec, *bias_cross; /* (buckets, heads) */
    sg_block *enc, *dec;                        /* owned (layers) */
    sg_norm norm_enc, norm_dec;
} sg_coder;

/* Declares the weights of m, whose catalogue and codes are there. */
sg_status sg_coder_declare(sg_coder *s, sg_model *m, uint64_t seed, const sg_coder_spec *spec, sg_error *err);
void sg_coder_free(sg_coder *s);

/* Vectors of n tokens; prefix: their rows in the prefix table (-1: none), used when there is one; NULL: none of them has one. */
sg_tensor *sg_coder_embed(sg_graph *g, const sg_coder *s, const int32_t *id, const int32_t *prefix, int n);

/* Tokens to states of the encoder: sequence i is tokens offsets[i] .. offsets[i + 1] - 1. */
typedef struct sg_read {
    int batch;
    const int32_t *offsets;     /* (batch + 1) */
    const int32_t *id, *prefix; /* as sg_coder_embed takes them */
    const int32_t *limit;       /* how many tokens of its sequence each sees; NULL: all */
    sg_kept *const *kept;       /* (layers, batch) of tokens that were read earlier; NULL: none */
} sg_read;
sg_tensor *sg_coder_read(sg_graph *g, const sg_coder *s, const sg_read *r);

/* Items to encoder tokens. Sequence i owns item[offsets[i]] .. item[offsets[i + 1] - 1]. */
typedef struct sg_coder_source {
    int batch;
    const int32_t *user; /* (batch), -1: unknown */
    const int32_t *item;
    const int32_t *offsets;    /* (batch + 1), items */
    const int32_t *before;     /* (batch) tokens that were read earlier; NULL: none */
    sg_kept *const *kept;      /* (layers, batch) of them; NULL: none */
    int32_t *tokens;           /* (batch + 1), token offsets: filled by encode */
    const sg_session *session; /* its items may have come after the training; NULL: training */
} sg_coder_source;
sg_tensor *sg_coder_encode(sg_graph *g, const sg_coder *s,
                           sg_coder_source *in); /* NULL also when nothing is new */
/* Tokens that the encoder reads of an item that the training knew: its codes, without the end of an ID that ends early, without a last
 * one that is shared. */
int sg_coder_length(const sg_coder *s, int32_t item);

/* The decoder's blocks over packed rows, in training: target i owns rows own[i] .. own[i + 1] - 1, example i rows rows[i] ..
 * rows[i + 1] - 1; row r sees the first limit[r] (NULL: all) tokens of its example's memory, which are tokens[i] .. tokens[i + 1] - 1.
 * x: the rows' vectors. */
typedef struct sg_coder_written {
    int targets, batch;
    const int32_t *own, *rows, *limit, *tokens;
    sg_moe_load *load; /* NULL, or what the decoder's experts were asked is added to it */
} sg_coder_written;
sg_tensor *sg_coder_write(sg_graph *g, const sg_coder *s, sg_tensor *x, sg_tensor *memory,
                          const sg_coder_written *w);

/* ---- decoding ---- */
typedef struct sg_coder_decoder {
    const sg_coder *coder;
    const sg_catalogue *offered; /* that is searched */
    int32_t
        *here[2]; /* with spec.shared: (cap) node of each prefix in it, of this level and the one before */
    sg_stack stack;
    int32_t *node
        [2]; /* (cap) node of each prefix in the catalogue of the training, whose prefixes have vectors, -1: it is not
                         there; of this level and the one before */
} sg_coder_decoder;

/* Encodes histories first .. first + n - 1 and prepares a decoder for at most cap prefixes a level, in a new step of the session's
 * graph. Pasts keep, of each encoder block, keys and values of the tokens, and after these, of each decoder block, those of the
 * memory. items: how many each may write one after the other; above 1, sg_coder_decoder_write puts them in front of a search. */
sg_status sg_coder_decoder_open(sg_coder_decoder *d, const sg_coder *coder, sg_session *session,
                                const sg_histories *all, int first, int n, int cap, int items, sg_error *err);
/* The same after any memory: sequence i has rows tokens[i] .. tokens[i + 1] - 1. kept: (layers, n) of it; NULL: the memory is all there is. */
sg_status sg_coder_decoder_begin(sg_coder_decoder *d, const sg_coder *coder, sg_graph *g, sg_tensor *memory,
                                 const int32_t *tokens, sg_kept *const *kept, int n, int cap, int items,
                                 sg_error *err);
sg_status sg_coder_decoder_step(void *decoder, const sg_beam_rows *rows, sg_error *err); /* sg_beam_step */

/* BOS and all codes of item[i] for start i of the stack's (decode/stack.h: sg_stack_starts). */
sg_status sg_coder_decoder_write(sg_coder_decoder *d, const int32_t *item, sg_error *err);

/* The roles of a model that writes one item. beam: when the session has none of its own. prior_of: what is added to the scores of
 * items (decode/beam.h); NULL: nothing. */
typedef sg_status sg_coder_prior(sg_prior *out, sg_session *session, const sg_histories *h, bool seen,
                                 sg_error *err);
sg_status sg_coder_recommend(const sg_coder *s, sg_session *session, const sg_histories *h,
                             const sg_filter *f, int k, int beam, sg_coder_prior *prior_of, int32_t *item,
                             float *score, sg_error *err);
sg_status sg_coder_score(const sg_coder *s, sg_session *session, const sg_histories *h, float *scores,
                         sg_error *err);
sg_status sg_coder_path(const sg_coder *s, sg_session *session, const sg_histories *h, const int32_t *item,
                        int n, float *logp, sg_error *err);
int sg_coder_past_cut(const sg_coder *s, sg_past *p, int n);

#endif
