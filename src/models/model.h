/* model.h - what a model is: options, weights, a way to learn, and the roles it can play.
 *
 * The rest of the product (training loop, evaluation, command, server, C ABI) knows this file and no model. */
#ifndef SG_MODELS_MODEL_H
#define SG_MODELS_MODEL_H

#include "base/option.h"
#include "base/progress.h"
#include "data/collection.h"
#include "data/dataset.h"
#include "data/split.h"
#include "index/catalogue.h"
#include "nn/param.h"

typedef struct sg_model sg_model;
typedef struct sg_session sg_session;
typedef struct sg_past sg_past; /* models/past.h */

/* A batch of histories, packed: history i is item[offsets[i]] .. item[offsets[i + 1]], oldest first. */
typedef struct sg_histories {
    int n;
    const int64_t *offsets;   /* (n + 1) */
    const int32_t *item;      /* item numbers of the model */
    const int64_t *timestamp; /* NULL: none */
    const int32_t *user;      /* (n) user numbers of the dataset, -1: unknown; NULL: all unknown */
    const int64_t *now;       /* (n) time of the request; NULL: that of the last event */
    const int32_t *action;    /* what was done with each item, in the dataset's numbers; NULL: unknown */
    const float *rating;      /* NULL: unknown */
    sg_past *const *
        past; /* (n) what was read before of each, for classes that keep it: continued, and then holds all of the
                                 history; no two the same. After an error: of no use. NULL: all are read from the beginning */
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
    const int64_t
        *learned; /* (n_users): events before were labels already and are read only; NULL: none were */
    const sg_vectors *vectors;       /* NULL when the dataset has none */
    const sg_ids *ids;               /* NULL when the dataset has none */
    const sg_collection *collection; /* queries and judgements; NULL: the dataset is a log of events */
} sg_train_data;

/* What is on offer now, where items come and go while a model serves: its own items have the numbers below its n_items, those
 * that came later the numbers from there on. Nothing in it changes. */
typedef struct sg_offer {
    const sg_catalogue *catalogue; /* a snapshot, for classes that read it (`living`); else NULL */
    int32_t n_items;               /* item numbers are below it; the size of a filter's allow */
    const int32_t *const
        *codes; /* (n_codes) semantic IDs of the later items, also of those that are gone again */
    int32_t n_codes;
    const uint8_t *allow; /* (n_items) 1 = on offer; NULL: all, or the catalogue tells */
    const uint8_t *cold;  /* (n_items) 1 = the model never saw it; NULL: there are none */
    const float *const *
        taken; /* (the model's items, then n_codes) what the class took of an added item's vector; NULL: nothing */
    void *own; /* what the class made of it all (class->offer) */
} sg_offer;

typedef struct sg_model_class {
    const char *name;    /* "sasrec" */
    const char *summary; /* one line for `sedge models` */
    const char *paper;   /* "Kang & McAuley, ICDM 2018, arXiv:1808.09781" */
    const sg_option *options;
    size_t n_options;
    size_t config_bytes;
    size_t state_bytes; /* zeroed memory for the class, at model->state */
    bool needs_vectors, needs_ids;
    /* Does it score and find by the session's catalogue and codes, so that it takes items that it was not trained on? NULL: no. */
    bool (*living)(const sg_model *m);
    /* Of living classes that know an item by more than its codes, all optional. take_numbers: how many numbers it keeps of the vector x
     * (dim) of an item that comes; take makes them. An item without a vector is the model's own, as it was. offer: what sessions need of
     * an offer that nobody sees yet, for as long as it is there. */
    int (*take_numbers)(const sg_model *m);
    sg_status (*take)(float *out, const sg_model *m, const float *x, int dim, sg_error *err);
    sg_status (*offer)(void **out, const sg_model *m, const sg_offer *o, sg_error *err);
    void (*offer_free)(void *own);
    bool
        streams; /* examples and loss heed sg_train_data.learned, and init reads no events: it can be trained in one pass over time */

    /* Declares the weights (model->params) for n_items items; also called when a folder is opened, before values are
     * mapped. NULL for models without trained weights: their fit hands over arrays (sg_model_array_put), which are saved
     * and come back as they were. */
    sg_status (*weights)(sg_model *m, uint64_t seed, sg_error *err);
    /* After weights, for a new model only: values that start from the data, such as item vectors. May be NULL. */
    sg_status (*init)(sg_model *m, const sg_train_data *t, sg_error *err);
    /* Called after fit, after training, and after a folder was opened: builds what scoring needs and checks that the
     * arrays hold what scoring trusts (a folder may come from anywhere). May be NULL, may be called again. */
    sg_status (*ready)(sg_model *m, sg_error *err);
    void (*fini)(sg_model *m); /* frees what hangs on model->state; may be NULL */

    /* Learning, one of two ways. (a) fit: all at once, no gradients. */
    sg_status (*fit)(sg_model *m, const sg_train_data *t, sg_pool *pool, const sg_progress *progress,
                     sg_error *err);
    /* (b) examples + loss: the loop in src/train draws batches of example numbers and calls loss. */
    sg_status (*examples)(sg_model *m, const sg_train_data *t, size_t *n,
                          sg_error *err); /* may keep state for loss */
    sg_tensor *(*loss)(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                       uint64_t step);
    /* Epochs of another task before those that were asked for: nothing is validated in them. loss finds the epoch at hand in
     * m->epoch. NULL: none. */
    int (*pretrain)(const sg_model *m);
    /* What else there is to watch, at every validation, into the object `notes`: of the weights as they are, nothing else. NULL: none. */
    sg_status (*notes)(sg_model *m, const sg_train_data *t, sg_pool *pool, struct json_t *notes,
                       sg_error *err);

    /* Role recommend, one or both ways. score: (n, n_items) for all items, higher is better; -inf: never.
     * recommend: (n, k) best first, item -1 where fewer than k were found. A class without it gets top-k of score. */
    sg_status (*score)(sg_session *s, const sg_histories *h, float *scores, sg_error *err);
    sg_status (*recommend)(sg_session *s, const sg_histories *h, const sg_filter *f, int k, int32_t *item,
                           float *score, sg_error *err);
    /* Models over semantic IDs, optional: log-probability of each code of n items for one history, (n, levels). */
    sg_status (*path)(sg_session *s, const sg_histories *h, const int32_t *item, int n, float *logp,
                      sg_error *err);
    /* Role rank, optional: answers to yes-or-no questions ("liked") about n candidates, shown to the one history of h at
     * h->now: probabilities (n, tasks). label: what event e says, 1 yes, 0 no, -1 nothing. */
    sg_status (*rank)(sg_session *s, const sg_histories *h, const int32_t *item, int n, float *p,
                      sg_error *err);
    int (*tasks)(const sg_model *m);
    int (*goal)(const sg_model *m); /* the task that recommending goes by */
    /* d: whose actions the tasks are named by; NULL: unknown. */
    void (*task_name)(const sg_model *m, const sg_dataset *d, int task, char *text, size_t bytes);
    int (*label)(const sg_model *m, const sg_dataset *d, int64_t e, int task);
    /* Role retrieve, optional: documents (items) for queries in words. item, score: (n, k), best first, item -1 where fewer were
     * found. Such a class learns from collections (sg_train_data.collection), which have no events. */
    sg_status (*retrieve)(sg_session *s, const sg_bytes *query, int n, int k, int32_t *item, float *score,
                          sg_error *err);
    size_t session_bytes; /* zeroed memory for the class, at session->state */
    void (*session_fini)(sg_session *s);

    /* Pasts of histories, optional: score and recommend continue h->past where a model keeps them. */
    size_t past_bytes; /* zeroed memory for the class, at past->state; 0: the class keeps none */
    bool (*keeps)(const sg_model *m);
    int (*past_cut)(
        sg_past *p,
        int n); /* forgets all but the first n events, or more of them; returns how many are left */
    size_t (*past_size)(const sg_past *p); /* of what hangs on past->state */
    void (*past_fini)(sg_past *p);
} sg_model_class;

/* Numbers that are counted, not trained: co-occurrences, neighbour lists. Saved beside the weights. */
typedef struct sg_model_array {
    char name[64];
    sg_dtype dtype;
    int rank;
    uint64_t dim[4];
    size_t count;
    const void *data;
    void *owned; /* data when the model must free it; NULL: data lies in the mapped file */
} sg_model_array;

struct sg_model {
    const sg_model_class *class;
    void *config; /* owned: struct of options */
    void *state;  /* owned: state_bytes, the class's own */
    sg_params params;
    sg_model_array *arrays; /* owned */
    size_t n_arrays, cap_arrays;
    int32_t n_items, n_users;
    int64_t epoch; /* of training at hand, from 0 */
    sg_strings
        item_ids; /* of the catalogue; borrowed from items_file or the dataset, which must then outlive the model */
    sg_catalogue *catalogue; /* owned; NULL for models without semantic IDs */
    int32_t *codes;          /* owned: (n_items, levels) of the catalogue, or NULL */
    sg_tensors *weights_file,
        *items_file; /* owned: open files behind mapped weights and ids; NULL for a new model */
    const int32_t
        *item_index; /* hash table id -> number: of the open file, or made by the first sg_model_item */
    int32_t *item_index_own; /* owned: when it was made */
    size_t n_item_index;     /* a power of two */
    char *dir;               /* owned; NULL when not opened from a folder */
    char sha256[65];         /* of model.safetensors; empty when not opened from a folder */
    struct json_t
        *receipt; /* owned object: what it learned from (data, split, seed, versions); training adds to it */
};

struct sg_session {
    const sg_model *model; /* borrowed: must outlive the session */
    sg_pool *pool;         /* borrowed; NULL: one thread */
    const sg_offer *offer; /* borrowed, for the requests at hand; NULL: the model's own items */
    sg_graph *graph;       /* owned; SG_INFER */
    void *state;           /* owned: session_bytes */
    int beam;              /* beams of generative models; 0: their default */
    bool as_wide; /* at least as many as the items that are asked for, which are ranked anew or only scored */
    bool plain;   /* they do not search again for what the beam may have missed */
    bool free;    /* role retrieve: they write codes without looking whether they are an item's */
    int groups;   /* above 1: they search in groups whose first codes keep apart ... */
    float diversity;   /* ... a code that an earlier group took counts this much less */
    float temperature; /* above 0: they draw instead */
    uint64_t seed;     /* of the draw */
    float
        cold_share; /* above 0: items of the offer that the model never saw stand behind found ones with the same first codes, and
                              take this share of a list at most, beside the places that their scores give them (decode/beam.h) */
    int cold_prefix; /* how many codes; 0: all but the last */
    float apart;     /* above 0: lists by maximal marginal relevance (decode/mmr.h); semantic IDs, no offer */
    float *scores;   /* owned: scratch of sg_session_recommend */
    size_t cap_scores;
    float *inverse; /* owned: 1 / length of the rows of a table, kept by sg_item_scores ... */
    size_t cap_inverse;
    const sg_param *inverse_of; /* ... of this table, ... */
    uint64_t inverse_version;   /* ... as it was then */
};

extern const sg_model_class *const sg_model_classes[];                      /* NULL at the end */
const sg_model_class *sg_model_class_find(const char *name, sg_error *err); /* error names the nearest */

/* A model of this class with default options; set options through sg_options_set(m->config, ...), then build. */
sg_status sg_model_new(sg_model **out, const sg_model_class *class, sg_error *err);
/* Takes items, catalogue and codes from the data, declares the weights, starts the receipt (data, split, seed). */
sg_status sg_model_build(sg_model *m, const sg_train_data *t, uint64_t seed, sg_error *err);
/* fit, then ready: for classes that learn all at once. */
sg_status sg_model_fit(sg_model *m, const sg_train_data *t, sg_pool *pool, const sg_progress *progress,
                       sg_error *err);
void sg_model_free(sg_model *m);

/* Hands `data` (from sg_alloc) to the model under this name, replacing an array of that name; freed even on failure. */
sg_status sg_model_array_put(sg_model *m, const char *name, sg_dtype dtype, int rank, const uint64_t *dim,
                             void *data, sg_error *err);
/* The same for a tensor of the model's open file: borrowed. */
sg_status sg_model_array_map(sg_model *m, const sg_file_tensor *t, sg_error *err);
/* Finds an array of this dtype and shape (dim -1: any) or says what was found instead. */
sg_status sg_model_array_need(const sg_model_array **out, const sg_model *m, const char *name, sg_dtype dtype,
                              int rank, const int64_t *dim, sg_error *err);
bool sg_model_array_has(const sg_model *m, const char *name);

/* Folder: config.json (class, options, counts, receipt), model.safetensors (weights and arrays), items.safetensors (ids),
 * catalogue.bin (semantic IDs), README.md (model card), manifest.json (size and sha256 of each). Written beside and swapped
 * in; whatever fails, the old folder is intact. Files of the old folder that are none of these stay (training.jsonl,
 * checkpoint). The weights stay readable: a model opened from the old folder goes on with its mapping. */
sg_status sg_model_save(const sg_model *m, const char *dir, sg_error *err);
sg_status sg_model_save_check(const char *dir, sg_error *err); /* whether a model may be saved there */
sg_status sg_model_open(sg_model **out, const char *dir,
                        sg_error *err); /* maps the weights; checks the manifest */
/* options: those of the model that are other than in the folder, "star=0,psi=10"; what no longer fits the weights is an error. */
sg_status sg_model_open_with(sg_model **out, const char *dir, const char *options, sg_error *err);
/* -1: unknown. The first call builds the index, where the folder has none, and may not run beside others. */
int32_t sg_model_item(sg_model *m, sg_bytes id);
/* The index in new memory (*n slots), as a folder keeps it. NULL: out of memory. */
int32_t *sg_item_index_new(size_t *n, const sg_strings *ids);

static inline int32_t
sg_session_items(const sg_session *s) /* item numbers are below it: the row length of score */
{
    return s->offer ? s->offer->n_items : s->model->n_items;
}
static inline const sg_catalogue *sg_session_catalogue(const sg_session *s)
{
    return s->offer && s->offer->catalogue ? s->offer->catalogue : s->model->catalogue;
}
/* Codes (levels) of any item number, by what it has in the catalogue or, when it is not there any more, had last. */
void sg_session_codes(const sg_session *s, int32_t item, int32_t *codes);

/* Pasts, which histories are continued from (models/past.h): whether this model, with its options, keeps them; a new one,
 * of nothing; its bytes. */
bool sg_model_keeps(const sg_model *m);
sg_status sg_past_new(sg_past **out, const sg_model *m, sg_error *err);
void sg_past_free(sg_past *p);
size_t sg_past_bytes(const sg_past *p);

sg_status sg_session_new(sg_session **out, const sg_model *m, sg_pool *pool, sg_error *err);
void sg_session_free(sg_session *s);
/* Rows first .. first + n - 1 of h; borrowed. */
sg_histories sg_histories_rows(const sg_histories *h, int first, int n);
/* Top k with the filter, by the class's recommend or by top-k of its score. item, score: (n, k); item -1 and score -inf
 * where fewer were found. */
sg_status sg_session_recommend(sg_session *s, const sg_histories *h, const sg_filter *f, int k, int32_t *item,
                               float *score, sg_error *err);

#endif
