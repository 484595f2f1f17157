/* synth.h - a synthetic shop with known structure: the product's embedded default dataset. */
#ifndef SG_DATA_SYNTH_H
#define SG_DATA_SYNTH_H

#include "base/option.h"
#include "base/pool.h"
#include "base/progress.h"

#include <jansson.h>

#define SG_SYNTH_OPTIONS(X)                                                                                  \
    X(int, users, 2000, 1, 100000000, "users")                                                               \
    X(int, items, 1000, 8, 16000000, "items")                                                                \
    X(float, events_mean, 12, 3, 10000, "mean events a user (geometric, at least 5)")                        \
    X(int, categories, 12, 1, 10000, "top categories; each has subcategories and brands of its own")         \
    X(float, drift, 0.15, 0, 1, "chance that a user's interest moves before an event")                       \
    X(float, sequence, 0.5, 0, 1,                                                                            \
      "share of events that follow the item-to-item chain (accessory of the last item)")                     \
    X(float, skew, 1.0, 0, 4, "Zipf exponent of popularity inside a category")                               \
    X(float, noise, 0.05, 0, 1, "share of events drawn at random")                                           \
    X(float, cold, 0.05, 0, 0.9, "share of items that appear only in the last tenth of time")                \
    X(int, seed, 1, 0, 2147483647, "random seed")

typedef struct sg_synth_config {
    SG_SYNTH_OPTIONS(SG_OPTION_FIELD)
} sg_synth_config;
extern const sg_option sg_synth_options[];
extern const size_t sg_n_synth_options;

/* Writes a dataset folder like an import does, plus truth.json and truth.safetensors (clusters, chains: what an oracle knows).
 * Memory does not grow with the number of events. */
sg_status sg_synth(const char *dir, const sg_synth_config *c, sg_pool *pool, const sg_progress *progress,
                   json_t **report, sg_error *err);
struct sg_dataset;
struct sg_split;
/* The options that d was made with, from its truth.json. */
sg_status sg_synth_config_read(sg_synth_config *c, const struct sg_dataset *d, sg_error *err);
/* Metrics of the oracle that knows the generator, on the cases of the split: *out like sg_eval's "metrics". */
sg_status sg_synth_oracle(json_t **out, const struct sg_dataset *d, const struct sg_split *s, bool test,
                          sg_pool *pool, sg_error *err);

#endif
