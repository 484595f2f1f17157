/* t5.h - encoders and decoders of the T5 family (T5, T5 v1.1, Flan-T5, sentence-T5's encoder) from a Hugging Face folder or a GGUF file. */
#ifndef SG_LM_T5_H
#define SG_LM_T5_H

#include "lm/depth.h"
#include "lm/desk.h"
#include "lm/weights.h"
#include "math/graph.h"
#include "text/tokenizer.h"

#include <jansson.h>

typedef struct sg_t5_config {
    int dim, head_dim, heads, layers, layers_decoder, ffn, vocab;
    int buckets, distance; /* of relative positions: how many, and where the last one begins */
    bool gated;            /* v1.1: act(G x) * (U x); else act(U x) */
    sg_act act;
    bool scaled; /* states are divided by sqrt(dim) before the output matrix */
    float eps;
    int start, end; /* tokens that a decoder begins with, and that ends a text */
} sg_t5_config;

/* config.json, where `where` begins what errors say; or the key-values of a GGUF file. */
sg_status sg_t5_config_read(sg_t5_config *out, const json_t *config, const char *where, sg_error *err);
sg_status sg_t5_config_gguf(sg_t5_config *out, const sg_gguf *file, sg_error *err);
bool sg_t5_is(const json_t *config);                              /* model_type is t5 */
sg_status sg_t5_is_at(bool *is, const char *path, sg_error *err); /* a folder or a .gguf file with one */

typedef struct sg_t5 sg_t5; /* read-only once open: any number of threads may use it */
sg_status sg_t5_open(sg_t5 **out, const char *path, sg_error *err); /* a folder or a .gguf file */
void sg_t5_close(sg_t5 *m);
const sg_t5_config *sg_t5_config_of(const sg_t5 *m);
const sg_tokenizer *sg_t5_tokenizer(const sg_t5 *m);
bool sg_t5_writes(const sg_t5 *m); /* it has a decoder */

typedef struct sg_t5_work sg_t5_work; /* scratch of one caller; pool borrowed, NULL: one thread */
sg_status sg_t5_work_new(sg_t5_work **out, const sg_t5 *m, sg_pool *pool, sg_error *err);
void sg_t5_work_free(sg_t5_work *w);
/* states (n, dim) of a text of n tokens, after the encoder's last norm. */
sg_status sg_t5_encode(float *states, sg_t5_work *w, const int32_t *id, int n, sg_error *err);
/* Those of another layer, or of two. */
sg_status sg_t5_hidden(float *states, sg_t5_work *w, const int32_t *id, int n, sg_depth depth, sg_error *err);

/* A desk whose texts are written by the decoder; sg_desk_begin gives a prompt to the encoder. places: room for a written text. */
sg_status sg_t5_desk(sg_desk **out, const sg_t5 *m, int places, sg_pool *pool, sg_error *err);

#endif
