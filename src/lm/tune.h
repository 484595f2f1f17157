/* tune.h - sedge lm tune: a decoder or a T5 learns from texts. Adapters, vectors in front, last layers, or all of it. */
#ifndef SG_LM_TUNE_H
#define SG_LM_TUNE_H

#include "base/option.h"
#include "base/pool.h"
#include "base/progress.h"

#include <jansson.h>

#define SG_TUNE_OPTIONS(X)                                                                                   \
    X(choice, method, lora, 0, 0,                                                                            \
      "lora|bottleneck|prompt|tokens|last|full: tune: low-rank parts, layers behind attention and "          \
      "feed-forward, vectors in front, new tokens alone, last layers, everything")                           \
    X(text, new_tokens, "", 0, 255,                                                                          \
      "tune, lora, tokens, full: a file of new tokens, one a line, perhaps with a tab and a phrase that it " \
      "begins as the mean of; their rows learn")                                                             \
    X(int, rank, 8, 1, 4096, "tune, lora: rank of the parts; bottleneck: numbers in between")                \
    X(float, alpha, 16, 0, 100000, "tune, lora: what the parts give is multiplied by alpha / rank")          \
    X(bool, rslora, false, 0, 1, "tune, lora: by alpha / sqrt(rank) instead")                                \
    X(float, dropout, 0, 0, 0.9, "tune, lora: share of what goes into the parts that is dropped")            \
    X(text, targets, all, 0, 255,                                                                            \
      "tune, lora, bottleneck: matrices that have parts, of q_proj, k_proj, v_proj, o_proj, gate_proj, "     \
      "up_proj, down_proj (T5: q, k, v, o, wi, wo); lm_head, by name alone")                                 \
    X(text, layers, all, 0, 255,                                                                             \
      "tune, lora, bottleneck: layers that have parts, from 0 (20-29), and their ranks if not rank "         \
      "(0-19:4,20-29:16)")                                                                                   \
    X(int, soft, 20, 1, 65536, "tune, prompt: vectors in front of every text")                               \
    X(int, last, 2, 1, 1000, "tune, last: layers that learn")                                                \
    X(bool, keep_bits, false, 0, 1,                                                                          \
      "tune: matrices that do not learn stay in the bits of a .gguf file: less memory")                      \
    X(bool, recompute, false, 0, 1,                                                                          \
      "tune: layers are worked out again on the way back: less memory, slower")                              \
    X(bool, chat, false, 0, 1, "tune: prompts are a user's turn, in the form that the model was trained on") \
    X(bool, prompt_counts, false, 0, 1, "tune: prompts are learned, too, not completions alone")             \
    X(float, smoothing, 0, 0, 0.9,                                                                           \
      "tune: share of a target that is spread over all tokens (label smoothing)")                            \
    X(int, length, 1024, 2, 1048576, "tune: tokens of an example, at most (and as the model knows)")         \
    X(int, tokens, 2048, 2, 16777216, "tune: tokens of a step, at most (one example at least)")              \
    X(int, epochs, 3, 1, 1000000, "tune: passes over the examples, at most")                                 \
    X(int, steps, 0, 0, 2000000000, "tune: steps, at most (0: by epochs alone)")                             \
    X(float, lr, 0.0002, 0, 10, "tune: learning rate")                                                       \
    X(choice, schedule, cosine, 0, 0, "constant|linear|cosine: tune: learning rate over time")               \
    X(float, warmup, 0.03, 0, 1, "tune: share of the steps over which the learning rate rises")              \
    X(float, lr_floor, 0, 0, 1, "tune: share of lr left at the end")                                         \
    X(float, weight_decay, 0, 0, 10, "tune: decoupled weight decay")                                         \
    X(float, clip, 1, 0, 1000000, "tune: gradient norm, at most (0: no clipping)")                           \
    X(float, valid, 0.05, 0, 0.5, "tune: share of the examples that are asked, not learned")                 \
    X(float, valid_every, 0.5, 0.0001, 1000000, "tune: epochs between validations")                          \
    X(float, checkpoint_every, 0.5, 0.0001, 1000000, "tune: epochs between checkpoints")                     \
    X(choice, precision, auto, 0, 0, "auto|f32|bf16: tune: arithmetic of matrix products")                   \
    X(int, seed, 1, 0, 2147483647, "tune: random seed")

typedef struct sg_tune_config {
    SG_TUNE_OPTIONS(SG_OPTION_FIELD)
} sg_tune_config;
extern const sg_option sg_tune_options[];
extern const size_t sg_n_tune_options;

typedef struct sg_tune_job {
    const char *model, *data, *out; /* a folder or .gguf file, texts, the folder to make */
    bool resume;                    /* go on from OUT/checkpoint when there is one */
} sg_tune_job;

/* Leaves in OUT what was best on validation (last, without any): an adapter as PEFT has it, or for `last` and `full` a model's folder;
 * and training.jsonl. OUT/checkpoint exists while unfinished: going on from it gives the bytes of a run that was never stopped. */
sg_status sg_tune(const sg_tune_job *job, const sg_tune_config *c, sg_pool *pool, const sg_progress *progress,
                  json_t **report, sg_error *err);

#endif
