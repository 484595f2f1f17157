/* tokenize.h - item vectors to semantic IDs by one of the methods; collision digit; the codebook doctor. */
#ifndef SG_QUANTIZE_TOKENIZE_H
#define SG_QUANTIZE_TOKENIZE_H

#include "base/option.h"
#include "base/pool.h"
#include "base/progress.h"
#include "data/dataset.h"

#include <jansson.h>

#define SG_TOKENIZE_OPTIONS(X)                                                                               \
    X(choice, method, rkmeans, 0, 0,                                                                         \
      "rkmeans|alit|rqvae|vqvae|fsq|lfq|pq|opq|hkmeans|atomic|naive|random: residual k-means, the same "     \
      "with as many codes as an "                                                                            \
      "item needs, RQ-VAE, one level of it, grid or sign codes of a learned latent, product quantisers, "    \
      "hierarchical k-means; "                                                                               \
      "controls: item numbers, their digits, chance")                                                        \
    X(int, levels, 3, 1, 8, "codes per item before the collision digit")                                     \
    X(int, codes, 256, 2, 65536, "codes per level")                                                          \
    X(bool, standardise, false, 0, 1, "inputs to mean 0, variance 1 per dimension first")                    \
    X(int, iterations, 50, 1, 10000, "k-means: Lloyd iterations at most")                                    \
    X(int, sample, 256, 0, 1000000,                                                                          \
      "k-means: vectors a code that all iterations but the last look at, when there are twice as many (0: "  \
      "all)")                                                                                                \
    X(int, restarts, 1, 1, 100, "k-means: runs with other seeds, the best is kept")                          \
    X(float, tau, 0.3, 0, 1,                                                                                 \
      "alit: an ID ends when less of the vector's square is left and no other item shares it")               \
    X(int, cap, 6, 1, 15, "alit: codes per item, at most, before the collision digit")                       \
    X(bool, balanced, false, 0, 1,                                                                           \
      "k-means, but opq: every code gets as many items (that teach) as any other")                           \
    X(choice, last, nearest, 0, 0,                                                                           \
      "nearest|sinkhorn: the last code of rkmeans; sinkhorn shares the items evenly")                        \
    X(float, epsilon, 0.003, 0.0001, 10, "sinkhorn: how soft; distances are divided by half their range")    \
    X(int, branch, 10, 2, 65536, "hkmeans: parts of a cluster that is split")                                \
    X(int, leaf, 100, 1, 65536, "hkmeans: items of a cluster that is not split any more")                    \
    X(int, rotations, 20, 0, 10000, "opq: rounds of turning the space and moving the centres")               \
    X(choice, collision, append, 0, 0,                                                                       \
      "append|next: items with equal codes get one more code, or the nearest free last code")                \
    X(int, spare, 0, 0, 65535,                                                                               \
      "digits more than the items need, so that as many new items find a place behind any codes")            \
    X(int, epochs, 500, 1, 1000000, "rqvae: passes over the items")                                          \
    X(int, batch, 1024, 8, 1000000, "rqvae: items a step")                                                   \
    X(float, lr, 0.001, 0, 10, "rqvae: learning rate")                                                       \
    X(choice, optimizer, adamw, 0, 0, "adamw|adagrad: rqvae optimizer")                                      \
    X(text, hidden, "512,256,128", 0, 255, "rqvae: widths of the encoder, mirrored in the decoder")          \
    X(int, latent, 32, 2, 1024, "rqvae: width of the quantised vector")                                      \
    X(text, grid, "8,6,5", 0, 255,                                                                           \
      "fsq: steps of each number of a level's latent; their product is the number of codes")                 \
    X(float, entropy, 0.1, 0, 1000, "lfq: weight of sharp codes and even use; codes is a power of 2")        \
    X(float, sharpness, 100, 0.001, 10000, "lfq: inverse temperature of the codes' probabilities")           \
    X(bool, residual, false, 0, 1,                                                                           \
      "lfq: every level sees what the ones before left of the same latent, else its own part of it")         \
    X(choice, gradient, ste, 0, 0, "ste|rotation: how the gradient passes the rqvae codes")                  \
    X(bool, simvq, false, 0, 1, "rqvae: codebooks are a learned linear map of fixed points")                 \
    X(float, beta, 0.25, 0, 10, "rqvae, lfq: weight of the commitment term")                                 \
    X(choice, codebook, ema, 0, 0, "grad|ema: how rqvae codebooks move")                                     \
    X(float, ema_decay, 0.99, 0, 0.99999, "rqvae, codebook=ema: decay")                                      \
    X(bool, kmeans_init, true, 0, 1,                                                                         \
      "codes start from k-means++ (rqvae: k-means of the first latents), else at random")                    \
    X(bool, restart_dead, true, 0, 1,                                                                        \
      "rqvae: codes nobody uses are moved to random latents; not with simvq, whose points are fixed")        \
    X(text, refresh, "", 0, 255,                                                                             \
      "rkmeans: dataset whose codebooks are the start, and whose IDs are kept where they still fit (empty: " \
      "none)")                                                                                               \
    X(float, keep, 0.1, 0, 100,                                                                              \
      "refresh: an item keeps its code unless another centre is nearer by more than this share of the "      \
      "squared distance")                                                                                    \
    X(bool, text_only_train, false, 0, 1,                                                                    \
      "fit on items with a training event only; the rest are just encoded")                                  \
    X(int, seed, 1, 0, 2147483647, "random seed")

typedef struct sg_tokenize_config {
    SG_TOKENIZE_OPTIONS(SG_OPTION_FIELD)
} sg_tokenize_config;
extern const sg_option sg_tokenize_options[];
extern const size_t sg_n_tokenize_options;

/* Reads DATA/vectors.safetensors (not the controls, which need none), writes DATA/ids.safetensors. *report: per level usage, perplexity, dead codes,
 * reconstruction error; collisions, unique share, advice (array of sentences); owned by the caller. */
sg_status sg_tokenize(const sg_dataset *d, const sg_tokenize_config *c, sg_pool *pool,
                      const sg_progress *progress, json_t **report, sg_error *err);
/* IDs made elsewhere: {"item": ["<a_1>", "<b_2>", ...]} as published by LETTER and others. key_base: item id = key + key_base. */
sg_status sg_ids_import(const sg_dataset *d, const char *path, int key_base, sg_error *err);
/* The doctor on existing IDs, and what each prefix holds: top words, brands, example items. depth: prefix lengths shown. */
sg_status sg_ids_report(json_t **out, const sg_dataset *d, int depth, int top, sg_error *err);

#endif
