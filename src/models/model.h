/* model.h - what a model is: options, weights, a way to learn, and the roles it can play.
 *
 * The rest of the product (training loop, evaluation, command, server, C ABI) knows this file and no model. */
#ifndef SG_MODELS_MODEL_H
#define SG_MODELS_MODEL_H

#include "base/option.h"
#include "base/progress.h"
#include "data/dataset.h"
#include "data/split.h"
#include "index/catalogue.h"
#include "nn/param.h"

typedef struct sg_model sg_model;
typedef struct sg_session sg_session;

/* A batch of histories, packed: history i is item[offsets[i]] .. item[offsets[i + 1]], oldest first. */
typedef struct sg_histories {
    int n;
    const int64_t *offsets;   /* (n + 1) */
    const int32_t *item;      /* item numbers of the model */
    const int64_t *timestamp; /* NULL: none */
    const int32_t *user;      /* (n) user numbers of the dataset, -1: unknown; NULL: all unknown */
} sg_histories;

/* What to leave out, per request. */
typedef struct sg_filter {
    bool seen;            /* drop items of the history */
    const uint8_t *allow; /* (n_items) 1 = may be recommended; NULL: all */
} sg_filter;

/* What training may see: the dataset cut by the split. Nothing outside [user_offsets[u], train_end[u]) may be read as an
 * event, except by models whose documentation says so (option `counts=all` of pop and star). */
typedef struct sg_train_data {
    const sg_dataset *data;
    const sg_split *split;
    const sg_vectors *vectors; /* NULL when the dataset has none */
    const sg_ids *ids;         /* NULL when the dataset has none */
} sg_train_data;

typedef struct sg_model_class {
    const char *name;    /* "sasrec" */
    const char *summary; /* one line for `sedge models` */
    const char *paper;   /* "Kang & McAuley, ICDM 2018, arXiv:1808.09781" */
    const sg_option *options;
    size_t n_options;
    size_t config_bytes;
    size_t state_bytes; /* zeroed memory for the class, at model->state */
    bool needs_vectors, needs_ids;

    /* Declares the weights (model->params) for n_items items; also called when a folder is opened, before values are
     * read. Models without gradients may declare arrays here too, or in fit when sizes depend on the data (then
     * `adopt` below rebuilds them from the file). */
    sg_status (*weights)(sg_model *m, uint64_t seed, sg_error *err);
    /* Called after weights were read from a folder or after training: builds what scoring needs. May be NULL. */
    sg_status (*ready)(sg_model *m, sg_error *err);
    void (*fini)(sg_model *m); /* frees what hangs on model->state; may be NULL */

    /* Learning, one of two ways. (a) fit: all at once, no gradients. */
    sg_status (*fit)(sg_model *m, const sg_train_data *t, sg_pool *pool, const sg_progress *progress, sg_error *err);
    /* (b) examples + loss: the loop in src/train draws batches of example numbers and calls loss. */
    sg_status (*examples)(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err); /* may keep state for loss */
    sg_tensor *(*loss)(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed, uint64_t step);

    /* Role recommend, one or both ways. score: (n, n_items) for all items, higher is better; -inf: never.
     * recommend: (n, k) best first, item -1 where fewer than k were found. A class without it gets top-k of score. */
    sg_status (*score)(sg_session *s, const sg_histories *h, float *scores, sg_error *err);
    sg_status (*recommend)(sg_session *s, const sg_histories *h, const sg_filter *f, int k, int32_t *item, float *score,
                           sg_error *err);
    size_t session_bytes; /* zeroed memory for the class, at session->state */
    void (*session_fini)(sg_session *s);
} sg_model_class;

struct sg_model {
    const sg_model_class *class;
    void *config;       /* owned: struct of options */
    void *state;        /* owned: state_bytes, the class's own */
    sg_params params;
    int32_t n_items, n_users;
    sg_strings item_ids; /* of the catalogue; borrowed from `files` or the dataset */
    sg_catalogue *catalogue; /* owned; NULL for models without semantic IDs */
    int32_t *codes;          /* owned: (n_items, levels) of the catalogue, or NULL */
    sg_tensors *weights_file, *items_file; /* owned: open files behind mapped weights and ids */
    void *item_index;        /* owned: id -> number */
    char *dir;               /* owned; NULL before it was saved */
    struct json_t *receipt;  /* owned: what it was trained on (data sha256, split, seed, options, versions) */
};

struct sg_session {
    const sg_model *model; /* borrowed: must outlive the session */
    sg_pool *pool;         /* borrowed; NULL: one thread */
    sg_graph *graph;       /* owned; SG_INFER */
    void *state;           /* owned: session_bytes */
    int beam;              /* beams of generative models; 0: their default */
};

extern const sg_model_class *const sg_model_classes[]; /* NULL at the end */
const sg_model_class *sg_model_class_find(const char *name, sg_error *err); /* error names the nearest */

/* A model of this class with default options; set options through sg_options_set(m->config, ...), then build. */
sg_status sg_model_new(sg_model **out, const sg_model_class *class, sg_error *err);
/* Takes items, catalogue and codes from the data and declares the weights. */
sg_status sg_model_build(sg_model *m, const sg_train_data *t, uint64_t seed, sg_error *err);
void sg_model_free(sg_model *m);

/* Folder: config.json (class, options, counts, receipt), model.safetensors, items.safetensors (ids), catalogue.bin (semantic
 * IDs), README.md, manifest.json (size and sha256 of each). Written beside and renamed into place. */
sg_status sg_model_save(const sg_model *m, const char *dir, sg_error *err);
sg_status sg_model_open(sg_model **out, const char *dir, sg_error *err); /* maps the weights; checks the manifest */
int32_t sg_model_item(sg_model *m, sg_bytes id);                         /* -1: unknown */

sg_status sg_session_new(sg_session **out, const sg_model *m, sg_pool *pool, sg_error *err);
void sg_session_free(sg_session *s);
/* Top k with the filter, by the class's recommend or by top-k of its score. item, score: (n, k). */
sg_status sg_session_recommend(sg_session *s, const sg_histories *h, const sg_filter *f, int k, int32_t *item,
                               float *score, sg_error *err);

#endif
