/* endpoint.h - what OpenAI's dialect looks like: bodies of requests, and what is in the answers. */
#ifndef SG_LM_ENDPOINT_H
#define SG_LM_ENDPOINT_H

#include "lm/generate.h"

#include <jansson.h>

/* NULL: out of memory. Bytes that are no UTF-8 become U+FFFD. */
json_t *sg_endpoint_chat(const char *model, const sg_turn *turn, size_t n, const sg_generate_config *o,
                         const char *stop, bool json);
json_t *sg_endpoint_embed(const char *model, const sg_bytes *text, size_t n, const char *prefix);
json_t *sg_endpoint_score(const char *model, sg_bytes prompt, sg_bytes text);

/* Tokens that an answer says it took: "prompt_tokens", "completion_tokens"; what it does not say, or cannot be, is `otherwise`. */
double sg_endpoint_usage(const json_t *answer, const char *key, double otherwise);
/* Answers; what they are not: SG_ERR_FORMAT. *text lives as long as the answer; *cut: it did not end by itself. */
sg_status sg_endpoint_read_chat(sg_bytes *text, bool *cut, const json_t *answer, sg_error *err);
/* out: (n, dim); a vector of another width is an error. */
sg_status sg_endpoint_read_embed(float *out, size_t n, int32_t dim, const json_t *answer, sg_error *err);
sg_status sg_endpoint_embed_dim(int32_t *dim, const json_t *answer, sg_error *err);
/* Sum over the tokens that begin at or after character `from` of what was sent, and how many they are. */
sg_status sg_endpoint_read_score(double *logp, int *tokens, size_t from, const json_t *answer, sg_error *err);

#endif
