/* sentence.h - text to vectors by a model in a Hugging Face or sentence-transformers folder, or in a GGUF file.
 *
 *   config.json, model.safetensors, tokenizer.json    the encoder (lm/bert.h) or decoder (lm/llama.h)
 *   modules.json, 1_Pooling, 2_Dense, ..._Normalize   what becomes of its hidden states; without modules.json: their mean
 *   sentence_bert_config.json, config_sentence_transformers.json    tokens of a text, lower case; prompts */
#ifndef SG_LM_SENTENCE_H
#define SG_LM_SENTENCE_H

#include "base/option.h"
#include "base/pool.h"
#include "base/progress.h"
#include "math/graph.h"

#include <jansson.h>

#define SG_SENTENCE_OPTIONS(X)                                                                               \
    X(text, prefix, "", 0, 255,                                                                              \
      "model folders: put before every text (e5: \"passage: \", for questions \"query: \")")                 \
    X(text, prompt_name, "", 0, 255,                                                                         \
      "model folders: the folder's prompt of this name before every text (none: no prompt; empty: the one "  \
      "that the folder says)")                                                                               \
    X(int, tokens, 0, 0, 1048576, "model folders: tokens of a text that are read (0: as the folder says)")   \
    X(int, width, 0, 0, 65536,                                                                               \
      "model folders: vectors are cut to this many numbers before they get unit length (0: all)")            \
    X(choice, pooling, auto, 0, 0,                                                                           \
      "auto|cls|cls_tanh|max|mean|mean_sqrt|weightedmean|last|avg_first_last|avg_top2: model folders: "      \
      "which "                                                                                               \
      "hidden states make the vector (auto: as the folder says)")                                            \
    X(int, layer, -1, -1000, 1000,                                                                           \
      "model folders: states of this layer: 0 the vectors of words, 1 the first layer's, -1 the last's, -2 " \
      "those before it")                                                                                     \
    X(bool, both_ways, false, 0, 1,                                                                          \
      "model folders, decoders: tokens see those behind them, too (LLM2Vec, GritLM)")                        \
    X(choice, precision, auto, 0, 0,                                                                         \
      "auto|f32|bf16: model folders: arithmetic of matrix products (of a decoder: always f32)")

typedef struct sg_sentence_config {
    SG_SENTENCE_OPTIONS(SG_OPTION_FIELD)
} sg_sentence_config;
extern const sg_option sg_sentence_options[];
extern const size_t sg_n_sentence_options;

typedef struct sg_sentence sg_sentence; /* read-only once open: any number of threads may use it */
sg_status sg_sentence_open(sg_sentence **out, const char *path, sg_error *err); /* a folder or a .gguf file */
void sg_sentence_close(sg_sentence *s);
sg_status sg_sentence_adapt(sg_sentence *s, const char *dir,
                            sg_error *err); /* an adapter beside a decoder or a T5 */
struct sg_llama;
const struct sg_llama *sg_sentence_decoder(const sg_sentence *s); /* NULL: another kind of model */
struct sg_t5;
const struct sg_t5 *sg_sentence_t5(const sg_sentence *s); /* likewise */

/* *vectors: (n, *dim), owned by the caller. Equal texts, equal vectors, whatever stands beside them. report: tokens, texts cut,
 * precision, seconds. */
sg_status sg_sentence_encode(float **vectors, int32_t *dim, const sg_sentence *s, const sg_bytes *text,
                             size_t n, const sg_sentence_config *c, sg_pool *pool,
                             const sg_progress *progress, json_t **report, sg_error *err);

#endif
