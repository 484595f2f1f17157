/* llama.h - decoders of the Llama family (Llama, SmolLM, Qwen2, Qwen3) from a Hugging Face folder or a GGUF file.
 *
 * The model is read-only and shared; a session is one text being read or written: it keeps what attention needs of the past. */
#ifndef SG_LM_LLAMA_H
#define SG_LM_LLAMA_H

#include "base/pool.h"
#include "lm/depth.h"
#include "lm/ends.h"
#include "lm/weights.h"
#include "text/tokenizer.h"

#include <jansson.h>

/* Frequencies of the rotation, for texts longer than a model first knew: all divided by `factor` (linear), or only the slow ones, with
 * a slope between (llama3). factor 1: as they are. In a GGUF file the divisors themselves are a tensor. */
typedef struct sg_rope_scaling {
    double factor;
    bool by_wavelength; /* llama3 */
    double low, high,
        original; /* slower than original / low a turn: divided; faster than original / high: not */
} sg_rope_scaling;

typedef struct sg_llama_config {
    int dim, layers, heads, kv_heads, head_dim, ffn, vocab, places;
    bool qkv_bias; /* Qwen2 */
    bool qk_norm;  /* Qwen3: RMSNorm over each head of q and k, before they are turned */
    bool tied;     /* the word table is the output matrix */
    bool permuted; /* GGUF of arch llama: rows of q and k are interleaved */
    float eps, theta;
    sg_rope_scaling scaling;
    int end;      /* token that texts to learn from end with: the first of eos_token_id; -1: none */
    sg_ends ends; /* tokens that end a text being written */
} sg_llama_config;

/* config.json of a folder, or the key-values of a GGUF file; `where` begins what errors say. */
sg_status sg_llama_config_read(sg_llama_config *out, const json_t *config, const char *where, sg_error *err);
sg_status sg_llama_config_gguf(sg_llama_config *out, const sg_gguf *file, sg_error *err);

typedef struct sg_llama sg_llama;
sg_status sg_llama_open(sg_llama **out, const char *path, sg_error *err); /* a folder or a .gguf file */
/* Over weights and a tokenizer (NULL: none) that the caller keeps and closes afterwards. */
sg_status sg_llama_over(sg_llama **out, const sg_llama_config *c, const sg_weights *w, const sg_tokenizer *t,
                        sg_error *err);
void sg_llama_close(sg_llama *m);
const sg_llama_config *sg_llama_config_of(const sg_llama *m);
const sg_tokenizer *sg_llama_tokenizer(const sg_llama *m);
const char *sg_llama_chat_template(const sg_llama *m); /* the text that the files hold; "": none */
const char *
sg_llama_bos(const sg_llama *m); /* bos_token and eos_token as a template has them; NULL: not in the files */
const char *sg_llama_eos(const sg_llama *m);
int sg_llama_places(
    const sg_llama *m); /* tokens of a text, at most: an adapter's vectors in front take places, too */
double sg_llama_frequency(const sg_llama *m, int i); /* of pair i of each head: angle a token */

typedef struct sg_reading sg_reading; /* a session */
/* Room for `places` tokens; pool borrowed, NULL: one thread. */
sg_status sg_reading_new(sg_reading **out, const sg_llama *m, int places, sg_pool *pool, sg_error *err);
void sg_reading_free(sg_reading *r);
int sg_reading_length(const sg_reading *r);
void sg_reading_cut(sg_reading *r, int length); /* forgets all but the first `length` tokens */

/* Reads n more tokens. logits (vocab): of what follows the last one; NULL: not wanted. Too many, or no token of the model: an error
 * before anything is read. */
sg_status sg_reading_feed(sg_reading *r, const int32_t *id, int n, float *logits, sg_error *err);
/* Reads n more tokens; logp[i]: log-probability of id[i] after all before it; of the first token of all: 0, nothing says how likely. */
sg_status sg_reading_score(sg_reading *r, const int32_t *id, int n, double *logp, sg_error *err);
/* Reads n more tokens; states (n, dim): after the last norm. */
sg_status sg_reading_states(sg_reading *r, const int32_t *id, int n, float *states, sg_error *err);
/* From now on these are the states of another layer, or of two; nothing else may be asked of the session. */
sg_status sg_reading_depth(sg_reading *r, sg_depth depth, sg_error *err);

#endif
