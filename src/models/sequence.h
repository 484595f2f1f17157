/* sequence.h - what models that read item sequences and guess the next item share: runs of training events
 * packed into batches, histories packed for scoring, the losses over the item table, scores of all items. */
#ifndef SG_MODELS_SEQUENCE_H
#define SG_MODELS_SEQUENCE_H

#include "models/past.h"

/* An example is a run of at most length + 1 training events of one user; consecutive runs overlap by one
 * event, so that every event but a user's first is a label exactly once. Of a user some of whose events were
 * labels in an earlier pass, the runs that hold others. */
typedef struct sg_runs {
    const sg_dataset *data; /* borrowed, as learned is */
    const int64_t *learned; /* (n_users) or NULL: events before are no labels */
    int length;
    double like;   /* above 0: events rated below are no labels */
    double alpha;  /* below 2: long runs are read in part, models/thin.h */
    int32_t *user; /* owned (n) */
    int64_t *end;  /* owned (n): where the events of the run end (exclusive) */
    size_t n;
} sg_runs;

/* latest: only the last run of each user. alpha: 2 is all of every run. */
sg_status sg_runs_new(sg_runs *out, const sg_train_data *t, int length, bool latest, double alpha,
                      sg_error *err);
void sg_runs_free(sg_runs *r);

/* Sequences one after the other, in step memory. */
typedef struct sg_sequences {
    int n, tokens;
    int32_t *offsets; /* (n + 1) */
    int32_t *item;    /* (tokens) */
    int32_t *target; /* (tokens) the next item, whether or not it is read; -1: no label; NULL: of histories */
    int32_t *last;   /* (n) last token of each, -1: empty; NULL: of runs */
    int64_t *time;   /* (tokens) NULL: no timestamps */
    int64_t *next;   /* (tokens) time of the next event; at the end of a history: of the request */
    int32_t *before; /* (n) tokens of the history that come before these and were read earlier; NULL: none */
} sg_sequences;

/* The runs of a training step. False: out of memory, the graph's error says so. */
bool sg_runs_pack(sg_sequences *out, sg_graph *g, const sg_runs *r, const uint32_t *example, int n,
                  uint64_t seed, uint64_t step);
/* All their events, the last one too, without targets and times. */
bool sg_runs_pack_whole(sg_sequences *out, sg_graph *g, const sg_runs *r, const uint32_t *example, int n);
/* The latest `length` events of each. Times that fall are raised to the one before. */
bool sg_histories_pack(sg_sequences *out, sg_graph *g, const sg_histories *h, int length);
/* The same for models that keep pasts: the window moves by `step` events, and where h has pasts these are cut down to what
 * is still good, all but the last event at most, and what comes after is packed. timed: how an event is read depends on
 * the time of the next. sg_histories_note when it was read. */
bool sg_histories_resume(sg_sequences *out, sg_graph *g, const sg_histories *h, int length, int step,
                         bool timed);
bool sg_histories_note(sg_graph *g, const sg_histories *h, int length, int step);
/* One more token, without item (-1), at the end of every sequence; no times. */
bool sg_sequences_append(sg_sequences *out, sg_graph *g, const sg_sequences *q);
/* (tokens) places counted from the end of each sequence, so that a window can slide. NULL: out of memory. */
int32_t *sg_places_from_end(sg_graph *g, const sg_sequences *q);
/* The same counted from the start of what is read of the history. */
int32_t *sg_places_from_start(sg_graph *g, const sg_sequences *q);

/* Where negatives come from, for the option table of a model whose losses sample. */
#define SG_NEGATIVE_OPTIONS(X)                                                                               \
    X(bool, negatives_shared, true, 0, 1,                                                                    \
      "one set of negatives for the whole batch instead of one a position")                                  \
    X(bool, negatives_batch, false, 0, 1, "all labels of the batch are negatives, too")                      \
    X(float, negatives_alpha, 0, 0, 1,                                                                       \
      "negatives are drawn in proportion to (training events)^alpha (0: uniform)")                           \
    X(float, logq, 0, 0, 1,                                                                                  \
      "loss=sampled: this times log(how often a draw is expected to bring an item) is taken off its logits")

typedef struct sg_sampler {
    double *upto;  /* owned (n_items): running sum of (training events)^alpha; NULL: uniform */
    double *label; /* owned (n_items): share of an item among the training events */
} sg_sampler;
sg_status sg_sampler_new(sg_sampler *out, const sg_train_data *t, double alpha, sg_error *err);
void sg_sampler_free(sg_sampler *s);

typedef struct sg_item_loss {
    const char *kind;       /* "ce", "bce", "gbce", "sampled", "bpr_max", "top1_max" */
    int negatives;          /* all but ce: how many are drawn ... */
    bool shared;            /* ... one set for the whole batch instead of one a position */
    bool batch;             /* shared: the targets are negatives, too */
    const sg_sampler *from; /* NULL: uniform */
    double logq;            /* sampled: share of the correction of logits for how often an item is drawn */
    double bpr_reg;         /* bpr_max: weight of the negatives' squared scores */
    double gbce_t;          /* gbce: calibration */
    double temperature;     /* logits are divided by it */
    double label_smoothing; /* ce */
    bool cosine;            /* sampled: both sides to unit length */
} sg_item_loss;

/* h (tokens, dim) against rows of table (n_items, dim). */
sg_tensor *sg_item_loss_of(sg_graph *g, sg_tensor *h, sg_param *table, const int32_t *target,
                           const sg_item_loss *spec, uint64_t seed, uint64_t step);
/* scores (rows, n_items) = h table^T + bias (n_items) or NULL, each item's divided by its length when `cosine`. */
sg_status sg_item_scores(sg_session *s, sg_tensor *h, sg_param *table, const sg_param *bias, bool cosine,
                         float *scores, sg_error *err);

#endif
