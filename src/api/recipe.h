/* recipe.h - a YAML file that says how a figure is made, from the raw file to the metric.
 *
 *   name: beauty/tiger
 *   about: one line
 *   data:                       # or  synth: {users: 2000, ...}  for a synthetic shop
 *     files: [{path: amazon14/Beauty.txt.zst, sha256: ed96...}]
 *     item_text: [{path: amazon14/Beauty.items.tsv.zst, sha256: 3bb3...}]
 *     user_series: [{path: users.tsv}]
 *     options: {format: s3rec}
 *   embed: {dim: 256}           # options of sedge embed, also encoder: FOLDER, cache: FILE, texts: FILE; {} for the defaults; left out: no such stage
 *   tokenize: {method: rkmeans}
 *   train: {model: tiger, options: {lr: 0.001, epochs: 100}}
 *   evaluate: {split: test}
 *   expected:
 *     ids: {usage: {least: 0.8}, evenness@1: {least: 0.5}, unique_share: {least: 0.8}}   # also perplexity (evenness: its share of the
 *                               # codes) and error, the share of the variance left; without @LEVEL the worst level, the last of error;
 *                               # with IDs that miss one the chain ends before training
 *     unfiltered: {recall@10: {least: 0.0648}}
 *     filtered: {recall@10: {value: 0.0110, within: 0.00005}}
 *     ranking: {liked: {gauc: {least: 0.72}, ne: {most: 0.8}}}     # of models that rank candidates, by question */
#ifndef SG_API_RECIPE_H
#define SG_API_RECIPE_H

#include "api/api.h"

typedef struct sg_recipe {
    char *path;   /* owned */
    json_t *root; /* owned: the checked file */
    const char *name, *model;
    /* parts, borrowed from root; NULL where the recipe has none */
    const json_t *files, *item_text, *user_series, *import, *synth, *embed, *tokenize, *train, *evaluate,
        *expected;
} sg_recipe;

sg_status api_recipe_read(sg_recipe *out, const char *path, sg_error *err);
void api_recipe_free(sg_recipe *r);
/* Applies the options of `train` to the tables; the recipe must be one for this model. */
sg_status api_recipe_train(const char *path, const char *model, const api_table *tables, size_t n_tables,
                           sg_error *err);

#endif
