/* cobra_parts.h - what the two files of COBRA share: cobra.c learns, cobra_fuse.c recommends. */
#ifndef SG_MODELS_COBRA_PARTS_H
#define SG_MODELS_COBRA_PARTS_H

#include "models/names.h"
#include "models/sequence.h"
#include "models/star.h"
#include "nn/transformer.h"

#define COBRA_OPTIONS(X)                                                                                     \
    X(int, dim, 64, 4, 4096, "width of tokens and item vectors")                                             \
    X(int, layers, 2, 1, 64, "transformer blocks")                                                           \
    X(int, heads, 2, 1, 64, "attention heads; dim must be a multiple")                                       \
    X(int, ffn, 256, 4, 16384, "inner width of the feed-forward parts")                                      \
    X(int, history, 20, 1, 2048, "items of the history that are read, the latest")                           \
    X(float, dropout, 0.2, 0, 0.9, "share of activations dropped while training")                            \
    X(float, dropout_input, 0.2, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(int, levels, 3, 1, 16,                                                                                 \
      "codes of an ID that are written; items that share them are told apart by vectors")                    \
    X(int, text_dim, 256, 1, 65536, "numbers of an item's text vector that the tower reads, the first")      \
    X(int, hidden, 128, 1, 16384, "inner width of the tower over text vectors")                              \
    X(bool, item_vectors, false, 0, 1, "each item also has a vector of its own")                             \
    X(bool, prefix_vectors, false, 0, 1, "a token also carries vectors of the prefixes of its ID")           \
    X(float, content, 0, 0, 100,                                                                             \
      "prefixes and item_vectors start from text vectors of this many times init_sd (0: from nothing)")      \
    X(choice, softmax, level, 0, 0,                                                                          \
      "level|legal: loss of an ID over all codes of a level (paper), or over codes that exist")              \
    X(bool, leave_unseen, false, 0, 1,                                                                       \
      "softmax=legal: codes that only items without a training event bear are not learned against, so that " \
      "these may be recommended")                                                                            \
    X(float, label_smoothing, 0, 0, 0.9, "share of the label spread over all codes")                         \
    X(float, sparse, 1, 0, 1000, "weight of the loss of IDs, the mean over their codes")                     \
    X(float, dense, 1, 0, 1000, "weight of the loss of vectors")                                             \
    X(float, temperature, 0.07, 0.001, 100, "cosines are divided by it in the loss of vectors")              \
    X(int, negatives, 512, 0, 1000000,                                                                       \
      "items drawn to be compared with, beside those of the batch (paper: none drawn; 0: all items)")        \
    X(float, init_sd, 0.02, 0.000001, 10, "standard deviation of the token vectors at the start")            \
    X(int, beam, 20, 1, 1000000, "IDs kept while decoding, unless the caller says otherwise")                \
    X(int, neighbours, 0, 0, 1000000, "items kept of each ID, the nearest (0: all)")                         \
    X(choice, fuse, id, 0, 0,                                                                                \
      "id|all: cosines are compared inside their ID first, or among all candidates at once")                 \
    X(float, tau, 0.9, 0, 1000, "weight of the log-probability of the ID")                                   \
    X(float, psi, 16, 0, 1000, "weight of the cosine")                                                       \
    X(float, star, 0, 0, 10000, "scores of STAR times this are added (0: none)")                             \
    X(float, star_text, 0.5, 0, 1, "star: share of item similarity by text; the rest is co-occurrence")

typedef struct cobra_config {
    COBRA_OPTIONS(SG_OPTION_FIELD)
} cobra_config;

typedef struct cobra_shelf { /* items by ID: of the model, or of what is on offer */
    sg_catalogue *ids;       /* owned: IDs that exist; ID i is the i-th in order */
    int32_t n_items;
    int32_t *id_of;      /* owned (n_items); -1: not on offer */
    int32_t *id_offsets; /* owned (ids + 1) and the items of each ID, ascending */
    int32_t *id_items;
} cobra_shelf;

typedef struct cobra {
    cobra_shelf shelf;                     /* of all its items */
    sg_names names;                        /* of the shelf's IDs */
    sg_param *position, *depth;            /* (history + 1, dim), (levels, dim) */
    sg_param *text, *item;                 /* (n_items, text_dim) frozen, (n_items, dim) or NULL */
    sg_param *straight, *up, *up_b, *down; /* tower */
    sg_param *in, *in_b, *out, *out_b;     /* item vector to token, state to item vector */
    sg_param *write_up, *write_up_b, *write_down, *write_down_b; /* network that writes codes */
    sg_norm norm_write, norm_code;
    sg_tower tower;
    sg_runs runs;   /* training */
    int32_t *known; /* owned (n_known): items with training events */
    int n_known;
    float *vectors; /* owned (n_items, dim) of a model that is done */
    sg_star star;
} cobra;

typedef struct cobra_session {
    float *vectors; /* owned: of a model that is being trained */
} cobra_session;

/* ---- cobra.c: tokens ---- */
/* Unit vectors (n, dim) of these items. */
sg_tensor *sg_cobra_items(const sg_model *m, sg_graph *g, const int32_t *item, int n);
/* Sums (n, dim) of the vectors of the first `upto[i]` codes of these IDs and of their prefixes; ID -1: zeros. */
sg_tensor *sg_cobra_ids(const sg_model *m, sg_graph *g, const int32_t *id, const int32_t *upto, int n);
/* The same of whole IDs by their codes (n, levels), which training need not have known; first code -1: zeros. */
sg_tensor *sg_cobra_codes(const sg_model *m, sg_graph *g, const int32_t *codes, int n);
/* e and v (n, dim) of n items one after the other, (2 n, dim): what the decoder reads. place (n): of each item. */
sg_tensor *sg_cobra_interleave(const sg_model *m, sg_graph *g, sg_tensor *e, sg_tensor *v,
                               const int32_t *place, int n);
/* What writes a code, from the decoder's state and the sum of the codes before it, (n, dim) each; depth (n): which code. */
sg_tensor *sg_cobra_states(const sg_model *m, sg_graph *g, sg_tensor *state, sg_tensor *before,
                           const int32_t *depth, int n);
/* The vector that a state at e(ID) gives. */
sg_tensor *sg_cobra_dense(const sg_model *m, sg_graph *g, sg_tensor *state);

/* ---- cobra_fuse.c ---- */
/* Vectors (n_items, dim) of all items, from sg_alloc. */
sg_status sg_cobra_all_items(float **out, const sg_model *m, sg_graph *g, sg_error *err);
sg_status sg_cobra_recommend(sg_session *session, const sg_histories *h, const sg_filter *f, int k,
                             int32_t *item, float *score, sg_error *err);
/* The codes of the ID; then, at the code that follows, which of the items of the ID by their vectors. */
sg_status sg_cobra_path(sg_session *session, const sg_histories *h, const int32_t *item, int n, float *logp,
                        sg_error *err);
void sg_cobra_session_fini(sg_session *session);

#endif
