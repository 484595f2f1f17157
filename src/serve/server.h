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

enum { SG_STORE_BATCH = 256 /* requests that share a commit */ };

typedef struct sg_job { /* a request on its way; hangs on its exchange */
    sg_exchange *x;
    const sg_route *route;    /* NULL: none */
    char allow[SG_ALLOW_MAX]; /* methods of a path that was asked with another */
    char *id;                 /* owned: of the path, unescaped */
    json_t *body;             /* owned: checked against the route's fields */
    double deadline;          /* sg_now() after which it is not computed any more; 0: none */
    int model;       /* which of the server's */
    int k, beam;
    bool keep_seen, filtered, explain;
    const json_t *
        items; /* borrowed from body: only these are scored, wherever they stand; NULL: the best of all are found */
    bool best_first; /* of items: as results, not in their own order */
    int n_unknown;   /* events of items that the model does not know */
    char trace[33];  /* trace id of the traceparent header; empty: none */
} sg_job;

typedef struct sg_worker_model {
    sg_loaded *loaded;   /* held, while there is a session on it */
    sg_session *session; /* owned */
} sg_worker_model;

typedef struct sg_worker { /* of the model lane; its thread's own */
    sg_worker_model *model; /* owned (n_models) */
    sg_loaded *loaded;      /* of the model at hand */
    sg_session *session;
    uint64_t *key; /* owned (batch): what pasts are put back under */
    sg_store *store;       /* owned; NULL: there is none */
    sg_query *query;       /* owned (batch) */
    sg_batch batch;
} sg_worker;

typedef struct sg_served { /* a model under its name */
    char *name;        /* owned; NULL: the first one, named as its class is */
    const char *dir;   /* borrowed from the spec */
    sg_loaded *loaded; /* held */
} sg_served;

typedef struct sg_server {
    const sg_serve_spec *spec;
    const sg_serve_config *config; /* spec's */
    sg_http *http;
    sg_lane *lane[SG_N_LANES]; /* SG_LANE_HERE: NULL */
    sg_worker *worker;         /* owned (n_workers) */
    int n_workers;
    sg_store *store_read, *store_write; /* the users lane's, the store lane's; NULL: there is none */
    atomic_bool store_away;             /* it did not answer lately: nobody waits for it until it does again */
    double store_checked;               /* sg_now() of the last time that it was asked; the HTTP thread's */
    sg_metrics metrics;
    time_t started;
    int active;                   /* requests between headers and done; the HTTP thread's */
    uint64_t refused;             /* answered 429 since the log said so; the HTTP thread's */
    double refused_told;          /* when it did */
    bool draining, keyless_local; /* no keys: only loopback names are answered to */
    atomic_bool abandon;          /* what waits is answered 503 */
    atomic_int service_us;        /* time of a request in the model lane, smoothed */
    int n_models;
    double swept;                 /* when pasts that nobody asks for were last let go of; the HTTP thread's */
    pthread_mutex_t lock;         /* of what the two below hold */
    sg_served *served;            /* owned (n_models) */
    sg_keys *keys;                /* owned; NULL: everybody may do everything */
    pthread_mutex_t log_lock;
} sg_server;

sg_loaded *sg_server_loaded(sg_server *s);       /* the first model, held for the caller */
sg_loaded *sg_server_model(sg_server *s, int i); /* any of them */
int sg_server_find(sg_server *s, sg_bytes name); /* -1: there is none of this name */
const char *sg_server_name(const sg_server *s, int i, const sg_loaded *l);
/* A line of the log; members is taken. */
void sg_server_log(sg_server *s, const char *level, const char *message, json_t *members);
sg_status sg_server_reload(sg_server *s, sg_error *err);

/* Handlers, and what runs in the lanes. */
extern const sg_field sg_recommend_fields[], sg_rank_fields[], sg_rerank_fields[], sg_events_fields[];
bool sg_handle_recommend(sg_server *s, sg_job *j);
bool sg_handle_rank(sg_server *s, sg_job *j);
bool sg_handle_rerank(sg_server *s, sg_job *j);
bool sg_handle_models(sg_server *s, sg_job *j);
bool sg_handle_training(sg_server *s, sg_job *j);
bool sg_handle_prefix(sg_server *s, sg_job *j);
bool sg_handle_item(sg_server *s, sg_job *j);
bool sg_handle_events(sg_server *s, sg_job *j);
bool sg_handle_user(sg_server *s, sg_job *j);
bool sg_handle_erase(sg_server *s, sg_job *j);
bool sg_handle_reload(sg_server *s, sg_job *j);
bool sg_handle_metrics(sg_server *s, sg_job *j);
bool sg_handle_page(sg_server *s, sg_job *j);
bool sg_handle_health(sg_server *s, sg_job *j);
bool sg_handle_ready(sg_server *s, sg_job *j);
bool sg_handle_openapi(sg_server *s, sg_job *j);

/* The model, the user or history and the deadline of a body. False: x holds the error. */
bool sg_take_history(sg_server *s, sg_job *j);
sg_status sg_rank_filter(sg_query *q, const sg_source *s, const json_t *items,
                         sg_error *err); /* nothing but the items */
sg_status sg_rank_answer(json_t *into, const sg_source *s, const sg_query *q, const sg_job *j, sg_error *err);

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
void sg_users_run(void *server, int thread, void **job, int n);
void sg_users_refresh(void *server, int thread);
void sg_admin_run(void *server, int thread, void **job, int n);

#endif
