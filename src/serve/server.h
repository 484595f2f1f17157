/* server.h - the parts of a running server; for the files of this folder. */
#ifndef SG_SERVE_SERVER_H
#define SG_SERVE_SERVER_H

#include "serve/http.h"
#include "serve/key.h"
#include "serve/lane.h"
#include "serve/loaded.h"
#include "serve/metrics.h"
#include "serve/query.h"
#include "serve/route.h"
#include "serve/serve.h"
#include "serve/store.h"

#include <pthread.h>
#include <stdatomic.h>

typedef enum sg_work {               /* what the model lane does for it */
                       SG_WORK_LIST, /* recommend, rank, rerank */
                       SG_WORK_TEXTS,
                       SG_WORK_QUERY,
                       SG_WORK_ITEMS /* then it is the store lane's */
} sg_work;

enum { SG_STORE_BATCH = 256 /* requests that share a commit */ };

typedef struct sg_job { /* a request on its way; hangs on its exchange */
    sg_exchange *x;
    const sg_route *route;    /* NULL: none */
    char allow[SG_ALLOW_MAX]; /* methods of a path that was asked with another */
    char *id;                 /* owned: of the path, unescaped */
    json_t *body;             /* owned: checked against the route's fields */
    double deadline;          /* sg_now() after which it is not computed any more; 0: none */
    int model;                /* which of the server's */
    int k, beam;
    bool keep_seen, filtered, explain;
    const json_t *
        items; /* borrowed from body: only these are scored, wherever they stand; NULL: the best of all are found */
    bool best_first; /* of items: as results, not in their own order */
    sg_work work;
    sg_loaded *loaded; /* held: whose tower made the vectors; NULL: nobody's */
    float *x_items;    /* owned: vectors of the items in the body */
    int n_unknown;     /* events of items that the model does not know */
    char trace[33];    /* trace id of the traceparent header; empty: none */
} sg_job;

typedef struct sg_worker_model {
    sg_loaded *loaded;   /* held, while there is a session on it */
    sg_session *session; /* owned */
} sg_worker_model;

typedef struct sg_worker {  /* of the model lane; its thread's own */
    sg_worker_model *model; /* owned (n_models) */
    sg_loaded *loaded;      /* of the model at hand */
    sg_session *session;
    sg_source source; /* loaded's, with the items on offer while requests are at hand */
    uint64_t *key;    /* owned (batch): what pasts are put back under */
    sg_store *store;  /* owned; NULL: there is none */
    sg_query *query;  /* owned (batch) */
    float *p;         /* owned (items, tasks): what the role rank said of the hits of the query at hand */
    size_t cap_p;
    sg_batch batch;
} sg_worker;

typedef struct sg_served { /* a model under its name */
    char *name;            /* owned; NULL: the first one, named as its class is */
    const char *dir;       /* borrowed from the spec */
    sg_loaded *loaded;     /* held */
} sg_served;

typedef struct sg_server {
    const sg_serve_spec *spec;
    const sg_serve_config *config; /* spec's */
    sg_http *http;
    sg_lane *lane[SG_N_LANES]; /* SG_LANE_HERE: NULL */
    sg_worker *worker;         /* owned (n_workers) */
    int n_workers;
    sg_store *store_read, *store_write; /* the users lane's, the store lane's; NULL: there is none */
    atomic_bool store_away; /* it did not answer lately: nobody waits for it until it does again */
    double store_checked;   /* sg_now() of the last time that it was asked; the HTTP thread's */
    sg_metrics metrics;
    time_t started;
    int active;                   /* requests between headers and done; the HTTP thread's */
    uint64_t refused;             /* answered 429 since the log said so; the HTTP thread's */
    double refused_told;          /* when it did */
    bool draining, keyless_local; /* no keys: only loopback names are answered to */
    atomic_bool abandon;          /* what waits is answered 503 */
    atomic_int service_us;        /* time of a request in the model lane, smoothed */
    pthread_mutex_t items_lock;   /* of edits of stocks, and of the change to other ones */
    int n_models;
    double swept;         /* when pasts that nobody asks for were last let go of; the HTTP thread's */
    pthread_mutex_t lock; /* of what the two below hold */
    sg_served *served;    /* owned (n_models) */
    sg_keys *keys;        /* owned; NULL: everybody may do everything */
    pthread_mutex_t log_lock;
} sg_server;

sg_loaded *sg_server_loaded(sg_server *s);       /* the first model, held for the caller */
sg_loaded *sg_server_model(sg_server *s, int i); /* any of them */
int sg_server_find(sg_server *s, sg_bytes name); /* -1: there is none of this name */
const char *sg_server_name(const sg_server *s, int i, const sg_loaded *l);
typedef struct sg_look { /* the model and the items on offer at one moment */
    sg_loaded *loaded;
    sg_source source;
} sg_look;
void sg_look_begin(sg_look *l, sg_server *s);
void sg_look_end(sg_look *l);
/* The source of a model with the items on offer now; given back with sg_source_let_go. */
sg_source sg_source_now(sg_loaded *l);
void sg_source_let_go(sg_source *s, sg_loaded *l);
/* A line of the log; members is taken. */
void sg_server_log(sg_server *s, const char *level, const char *message, json_t *members);
sg_status sg_server_reload(sg_server *s, sg_error *err);

/* Handlers, and what runs in the lanes. */
extern const sg_field sg_recommend_fields[], sg_rank_fields[], sg_rerank_fields[], sg_events_fields[],
    sg_items_fields[], sg_embeddings_fields[], sg_retrieve_fields[];
bool sg_handle_recommend(sg_server *s, sg_job *j);
bool sg_handle_rank(sg_server *s, sg_job *j);
bool sg_handle_rerank(sg_server *s, sg_job *j);
bool sg_handle_retrieve(sg_server *s, sg_job *j);
bool sg_handle_models(sg_server *s, sg_job *j);
bool sg_handle_training(sg_server *s, sg_job *j);
bool sg_handle_prefix(sg_server *s, sg_job *j);
bool sg_handle_item(sg_server *s, sg_job *j);
bool sg_handle_add_items(sg_server *s, sg_job *j);
bool sg_handle_remove_item(sg_server *s, sg_job *j);
bool sg_handle_embeddings(sg_server *s, sg_job *j);
bool sg_handle_events(sg_server *s, sg_job *j);
bool sg_handle_user(sg_server *s, sg_job *j);
bool sg_handle_erase(sg_server *s, sg_job *j);
bool sg_handle_reload(sg_server *s, sg_job *j);
bool sg_handle_metrics(sg_server *s, sg_job *j);
bool sg_handle_page(sg_server *s, sg_job *j);
bool sg_handle_health(sg_server *s, sg_job *j);
bool sg_handle_ready(sg_server *s, sg_job *j);
bool sg_handle_openapi(sg_server *s, sg_job *j);

/* The model and the deadline of a body; the user or history, too. False: x holds the error. */
bool sg_take_model(sg_server *s, sg_job *j);
void sg_take_length(const sg_server *s, sg_job *j); /* k and beam of a list's body */
bool sg_take_history(sg_server *s, sg_job *j);
sg_status sg_rank_filter(sg_query *q, const sg_source *s, const json_t *items,
                         sg_error *err); /* nothing but the items */
/* p (q->n, tasks): probabilities of the hits, NULL: they have none. */
sg_status sg_rank_answer(json_t *into, const sg_source *s, const sg_query *q, const float *p, const sg_job *j,
                         sg_error *err);
/* The items' probabilities by the role rank; hits: all of them, by the task that recommending goes by. */
sg_status sg_rank_run(sg_query *q, sg_worker *w, const sg_job *j, sg_error *err);

/* Does the server keep nothing? Then x holds the error. */
bool sg_no_store(const sg_server *s, sg_job *j);
/* What was added and removed according to the store, onto a stock that is new; then published. */
sg_status sg_items_fill(sg_server *s, sg_loaded *l, sg_store *store, bool first,
                        sg_error *err); /* first: of the models */
/* In the store lane, for all models l (n_models): the first one decides, the others follow as far as they can. SG_OK with an answer
 * in x, whatever it says; else the store failed. */
sg_status sg_items_add(sg_server *s, sg_loaded **l, sg_job *j, sg_error *err);
sg_status sg_items_remove(sg_server *s, sg_loaded **l, sg_job *j, sg_error *err);
void sg_items_expire(sg_server *s);
/* In the model lane. */
void sg_texts_run(sg_server *s, sg_worker *w, sg_job *j);
void sg_retrieve_run(sg_server *s, sg_worker *w, sg_job *j);
bool sg_items_encode(sg_worker *w, sg_job *j); /* false: x holds the error */

/* Is the store away? Then x holds the error. */
bool sg_store_refuse(sg_server *s, sg_job *j);
/* What came of asking the store, any thread: from SG_ERR_AWAY on requests that need it are refused, until it answers. */
void sg_store_note(sg_server *s, sg_status st, const sg_error *err);

sg_status sg_worker_init(sg_worker *w, sg_server *s, sg_error *err);
void sg_worker_fini(sg_worker *w, const sg_server *s);
bool sg_recommend_alike(void *server, const void *a, const void *b);
void sg_recommend_run(void *server, int thread, void **job, int n);
void sg_recommend_refresh(void *server, int thread);
void sg_store_run(void *server, int thread, void **job, int n);
void sg_store_refresh(void *server, int thread);
void sg_admin_refresh(void *server, int thread);
void sg_users_run(void *server, int thread, void **job, int n);
void sg_users_refresh(void *server, int thread);
void sg_admin_run(void *server, int thread, void **job, int n);

#endif
