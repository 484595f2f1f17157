/* bert.h - encoders of the BERT family (BERT, RoBERTa, XLM-RoBERTa) over packed tokens. */
#ifndef SG_LM_BERT_H
#define SG_LM_BERT_H

#include "lm/depth.h"
#include "lm/weights.h"
#include "nn/transformer.h"

#include <jansson.h>

typedef struct sg_bert_config {
    int dim, layers, heads, ffn, vocab, places, types;
    int place_first; /* RoBERTa counts positions from pad_token_id + 1 */
    sg_act act;
    float eps;
} sg_bert_config;

typedef struct sg_bert_layer sg_bert_layer;
typedef struct sg_bert { /* read-only once open, for any number of threads */
    sg_bert_config config;
    sg_params params; /* owned */
    sg_param *word, *place, *type;
    sg_norm norm;
    sg_bert_layer *layer; /* owned: (layers) */
} sg_bert;

/* config.json of a folder, where `where` begins what errors say; or the key-values of a GGUF file. */
sg_status sg_bert_config_read(sg_bert_config *out, const json_t *config, const char *where, sg_error *err);
sg_status sg_bert_config_gguf(sg_bert_config *out, const sg_gguf *file, sg_error *err);
bool sg_bert_is_gguf(const sg_gguf *file); /* it holds such an encoder */
sg_status sg_bert_open(sg_bert *out, const sg_bert_config *c, const sg_weights *w,
                       sg_error *err); /* w must outlive it */
void sg_bert_close(sg_bert *b);
/* From now on the weights learn: they get values of their own. */
sg_status sg_bert_learn(sg_bert *b, sg_error *err);
/* The name of weight p in the file: with the prefix and in the spelling that it has there. */
const char *sg_bert_file_name(char name[160], const sg_weights *w, const sg_param *p);
int sg_bert_tokens_max(const sg_bert *b);

/* Last hidden states (tokens, dim); sequence i owns ids offsets[i] .. offsets[i + 1] - 1. type: (tokens) or NULL: all 0. */
sg_tensor *sg_bert_forward(sg_graph *g, const sg_bert *b, const int32_t *id, const int32_t *type,
                           const int32_t *offsets, int batch);
/* Those of another layer, or of two. */
sg_tensor *sg_bert_hidden(sg_graph *g, const sg_bert *b, const int32_t *id, const int32_t *type,
                          const int32_t *offsets, int batch, sg_depth depth);

#endif
