/* merge.h - sedge lm merge: a language model written anew, with an adapter's parts in its weights. */
#ifndef SG_LM_MERGE_H
#define SG_LM_MERGE_H

#include "base/option.h"
#include "base/progress.h"
#include "lm/adapter.h"

#define SG_MERGE_OPTIONS(X)                                                                                  \
    X(choice, type, bf16, 0, 0,                                                                              \
      "f32|f16|bf16|q8_0|q4_0: merge: numbers of the matrices that are written (q8_0, q4_0: .gguf alone)")

typedef struct sg_merge_config {
    SG_MERGE_OPTIONS(SG_OPTION_FIELD)
} sg_merge_config;
extern const sg_option sg_merge_options[];
extern const size_t sg_n_merge_options;

/* adapter NULL: none. out: a folder, or a file that ends in .gguf. */
sg_status sg_merge(const char *model, const char *adapter, const char *out, const sg_merge_config *c,
                   sg_pool *pool, json_t **report, sg_error *err);

#endif
