/* generate.h - writing on, token by token. */
#ifndef SG_LM_GENERATE_H
#define SG_LM_GENERATE_H

#include "base/option.h"
#include "base/progress.h"
#include "lm/chat.h"

#define SG_GENERATE_OPTIONS(X)                                                                               \
    X(int, length, 128, 1, 1048576, "generate: tokens written, at most")                                     \
    X(float, temperature, 0, 0, 100,                                                                         \
      "generate: 0 takes the most likely token, 1 draws as likely as the model says")                        \
    X(int, top_k, 0, 0, 1048576, "generate: draws among the k most likely only (0: all)")                    \
    X(float, top_p, 1, 0, 1, "generate: draws among the fewest that have this share of the probability")     \
    X(float, min_p, 0, 0, 1,                                                                                 \
      "generate: draws among those at least this likely, in units of the most likely one")                   \
    X(int, seed, 1, 0, 2147483647, "generate: random seed")

typedef struct sg_generate_config {
    SG_GENERATE_OPTIONS(SG_OPTION_FIELD)
} sg_generate_config;
extern const sg_option sg_generate_options[];
extern const size_t sg_n_generate_options;

/* Reads the prompt, then writes to `out` until a token that ends (end: one more than the model's own, -1: none), or `length` tokens.
 * *ended: it was such a token; it is not in `out`. seconds: of reading and of writing. */
sg_status sg_generate(sg_token_list *out, bool *ended, double seconds[2], sg_reading *r, const sg_llama *m,
                      const sg_token_list *prompt, int32_t end, const sg_generate_config *c,
                      const sg_progress *progress, sg_error *err);

#endif
