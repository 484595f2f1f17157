/* source.h - what requests are asked of: a model and, when there is one, the dataset it knows users and
 * titles by. */
#ifndef SG_SERVE_SOURCE_H
#define SG_SERVE_SOURCE_H

#include "models/model.h"
#include "serve/meaning.h"
#include "serve/stock.h"

#include <jansson.h>

/* Once made it only changes through sg_source_meanings; any number of threads may read it. */
typedef struct sg_source {
    sg_model *model; /* borrowed; its index of ids is built */
    sg_dataset
        *data;       /* borrowed, or NULL; its index of users is built, and that of items unless same_items */
    bool same_items; /* item numbers of data and model are the same */
    bool same_users; /* data is what the model was trained on: user numbers mean the same */
    bool has_meanings;
    json_t *prefixes;    /* owned: what prefixes mean, by the model folder; or else ... */
    sg_meaning *words;   /* owned: ... by the texts of the dataset; or NULL, both */
    const sg_view *view; /* borrowed, in copies for requests: items on offer; NULL: the model's own */
} sg_source;

void sg_source_init(sg_source *s, sg_model *m, sg_dataset *d);
void sg_source_fini(sg_source *s);
/* Loads what explanations say of prefixes, once; nothing happens for models without semantic IDs. */
sg_status sg_source_meanings(sg_source *s, sg_error *err);

/* *out: the dataset folder a model was trained on, when its training.json names one that is still there; else
 * NULL. Owned by the caller. */
sg_status sg_source_data_dir(char **out, const char *model_dir, sg_error *err);
/* Items of the model and of the dataset are the same, in the same order. */
bool sg_same_items(const sg_model *m, const sg_dataset *d);
/* Title of an item of the dataset, or NULL when it has none. */
json_t *sg_item_title(const sg_dataset *d, int32_t item);

/* What a model is: class, counts, options, receipt, size of the catalogue; NULL: out of memory. */
json_t *sg_model_json(const sg_model *m);

int32_t sg_source_item(const sg_source *s,
                       sg_bytes id); /* -1: unknown; one that was removed is known to histories */
int32_t sg_source_offered(const sg_source *s, sg_bytes id); /* -1: not on offer */
int32_t sg_source_items(const sg_source *s);                /* item numbers on offer are below it */
const sg_catalogue *
sg_source_catalogue(const sg_source *s); /* has every item on offer; NULL: the model has no semantic IDs */
int32_t sg_source_below(const sg_source *s, int depth,
                        int32_t node); /* items on offer below a node of that catalogue */
bool sg_source_offers(const sg_source *s, int32_t item);
const sg_added *sg_source_added(const sg_source *s,
                                int32_t item); /* what is known of an item that was added; NULL: it was not */
int32_t sg_source_data_item(const sg_source *s,
                            int32_t item); /* the dataset's number of the model's item, or -1 */
/* {"item", "title"}, and "added": true where it came after the training; NULL: out of memory */
json_t *sg_source_item_json(const sg_source *s, int32_t item);
/* One step down a semantic ID: {"level", "code", "items"} and what the prefix codes[0 .. depth - 1], which
 * ends at `node`, means. */
/* The same without what would have to be counted first: for long lists. */
json_t *sg_source_child_json(const sg_source *s, const int32_t *codes, int depth, int32_t node);
json_t *sg_source_step_json(const sg_source *s, const int32_t *codes, int depth, int32_t node);

#endif
