/* hstu_rank_parts.h - what the two files of HSTU for ranking share: hstu_rank.c learns, hstu_rank_ask.c asks. */
#ifndef SG_MODELS_HSTU_RANK_PARTS_H
#define SG_MODELS_HSTU_RANK_PARTS_H

#include "models/rates.h"
#include "models/slow.h"
#include "models/tasks.h"
#include "nn/hstu.h"

#define HSTU_RANK_OPTIONS(X)                                                                                 \
    SG_TASK_OPTIONS(X)                                                                                       \
    X(int, dim, 64, 4, 4096, "width of item, action and position vectors")                                   \
    X(int, blocks, 2, 1, 64, "layers")                                                                       \
    X(int, heads, 2, 1, 64, "attention heads")                                                               \
    X(int, dqk, 32, 1, 1024, "width of queries and keys of a head")                                          \
    X(int, dv, 32, 1, 1024, "width of values of a head")                                                     \
    X(int, hidden, 64, 1, 4096, "width inside the head that predicts")                                       \
    X(int, length, 100, 2, 16384, "events of the history that are read, the latest; two tokens each")        \
    X(choice, bias, both, 0, 0,                                                                              \
      "both|position|time|none: what attention knows of distance; times where there are any")                \
    X(bool, softmax, false, 0, 1, "weights of attention by softmax instead of SiLU")                         \
    X(bool, target_aware, true, 0, 1, "candidates go through the layers; else only the history does")        \
    X(bool, action_item, false, 0, 1,                                                                        \
      "an action's token carries its item, too, so that one layer is enough to see what was liked")          \
    X(int, series, 0, 0, 16777216,                                                                           \
      "rows of the table for what is known of users (import --user-series), which then stands among the "    \
      "events (0: it is not read)")                                                                          \
    X(float, prior, 1, 0, 1000,                                                                              \
      "logits start from how much each item is liked, of this variance before anybody answers (0: from 0)")  \
    X(float, dropout, 0.2, 0, 0.9, "share of each block's result dropped while training")                    \
    X(float, dropout_input, 0.2, 0, 0.9, "share of the input vectors' numbers dropped while training")       \
    X(float, item_sd, 0.02, 0, 10, "standard deviation of item vectors at the start")                        \
    X(float, item_scale, 0, 0, 1000,                                                                         \
      "item vectors are read times this (0: sqrt(dim), as published): how far a step of the optimizer "      \
      "moves them")                                                                                          \
    X(float, position_sd, 0, 0, 10,                                                                          \
      "standard deviation of position vectors at the start (0: 1 / sqrt(dim), as published)")                \
    X(float, retrieval, 0, 0, 1000, "weight of the retrieval loss (0: ranking alone)")                       \
    X(int, negatives, 128, 1, 65536, "retrieval: uniform negatives of a position")                           \
    X(float, temperature, 0.05, 0.001, 100, "retrieval: cosines are divided by it")                          \
    X(float, alpha, 2, 1, 2,                                                                                 \
      "stochastic length: attention over runs costs length^alpha at most, the rest is left out (2: "         \
      "nothing)")

typedef struct hstu_rank_config {
    HSTU_RANK_OPTIONS(SG_OPTION_FIELD)
} hstu_rank_config;

typedef struct hstu_rank {
    sg_param *item, *action, *position;        /* (n_items, dim), (actions or ratings, dim), (tokens, dim) */
    sg_param *value;                           /* (series, dim) or NULL */
    sg_series series;                          /* in the model's arrays */
    sg_param *inner, *inner_bias, *out, *bias; /* (hidden, dim), (hidden), (tasks, hidden), (tasks) */
    sg_hstu stack;
    float scale;        /* of item vectors */
    sg_param *doubt;    /* (hidden, tasks) or NULL */
    const float *prior; /* (n_items, tasks, SG_RATE), the model's array "prior"; NULL: none */
    sg_runs runs;       /* training, as rates */
    sg_rates rates;
} hstu_rank;

/* ---- hstu_rank.c: tokens and answers ---- */
int sg_hstu_rank_tasks(const sg_model *m);
/* Row of the action table; -1: unknown, a token without a vector of its own. */
int32_t sg_hstu_rank_action(const hstu_rank_config *c, const int32_t *action, const float *rating, int64_t e);
/* The last row of the action table, that of items: what all of them have in common, so that one that was seen a few times is near it (LN
 * makes any vector long, and a random one is noise). */
int32_t sg_hstu_rank_shown(const hstu_rank_config *c);
/* n tokens: item, action and value rows (-1: none), places. slow NULL: none at all. */
sg_tensor *sg_hstu_rank_embed(sg_graph *g, const hstu_rank *s, const int32_t *item, const int32_t *action,
                              const int32_t *slow, const int32_t *place, int n);

typedef struct hstu_rank_priors { /* (rows, tasks) */
    float *logit, *doubt;
} hstu_rank_priors;

bool sg_hstu_rank_priors_take(hstu_rank_priors *p, sg_graph *g, size_t rows, size_t tasks);
/* Row `row` from (tasks, SG_RATE) numbers; NULL: nothing is known. */
void sg_hstu_rank_priors_set(hstu_rank_priors *p, size_t row, size_t tasks, const float *from);

/* Logits (n, tasks) of n items shown after a history. h (n, dim): of the layers at the item, or, not target-aware, before it. */
sg_tensor *sg_hstu_rank_logits(sg_graph *g, const sg_model *m, sg_tensor *h, const int32_t *item, int n,
                               const hstu_rank_priors *p);

/* ---- hstu_rank_ask.c ---- */
typedef struct hstu_rank_known { /* of the user, among n events and the candidates, which stand at n */
    int32_t value[SG_SLOW_MOST], before[SG_SLOW_MOST];
    int n;
} hstu_rank_known;

typedef struct hstu_rank_reader { /* of one session: what the cache holds */
    sg_hstu_cache cache;
    int32_t *item, *action; /* owned (length): of the events read */
    int64_t *time;          /* owned (length + 1), the last one scratch */
    int32_t *
        at; /* owned (length + 1): tokens before each event and what stands before it; at[n]: all but what stands at n */
    hstu_rank_known slow;
    int n;
    float *last; /* owned (dim): h at the last action */
} hstu_rank_reader;

void sg_hstu_rank_session_fini(sg_session *session);
sg_status sg_hstu_rank_rank(sg_session *session, const sg_histories *h, const int32_t *item, int n, float *p,
                            sg_error *err);
sg_status sg_hstu_rank_score(sg_session *session, const sg_histories *h, float *scores, sg_error *err);

#endif
