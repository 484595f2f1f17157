/* serve.h - the server: a model folder behind HTTP, until it is asked to stop. */
#ifndef SG_SERVE_SERVE_H
#define SG_SERVE_SERVE_H

#include "base/option.h"
#include "base/progress.h"

enum { SG_SERVE_BATCH_MAX = 1024 };

/* The first part is how it works, the second is the one table of limits: what goes beyond is refused before it costs anything. */
#define SG_SERVE_OPTIONS(X)                                                                                  \
    X(text, address, "127.0.0.1", 0, 64,                                                                     \
      "address to listen at; one that others can reach needs --key-file or --insecure")                      \
    X(int, port, 8080, 0, 65535, "port to listen at (0: a free one, named in the log)")                      \
    X(int, queue, 256, 1, 1000000,                                                                           \
      "requests that wait for a worker; more are answered 429 with Retry-After")                             \
    X(int, queue_ms, 5, 1, 3600000,                                                                          \
      "milliseconds that a request may be expected to wait; more, beyond a batch for each worker: 429")      \
    X(int, batch, 8, 1, SG_SERVE_BATCH_MAX,                                                                  \
      "waiting requests of the same kind that a worker computes together")                                   \
    X(int, batch_wait, 0, 0, 10000000,                                                                       \
      "microseconds that a worker waits for a batch to fill (0: takes what is there)")                       \
    X(int, cache, 64, 0, 1048576,                                                                            \
      "MiB, a model, for what was read of histories: new events are read alone (0: all is read each time)")  \
    X(int, cache_seconds, 3600, 1, 31536000, "seconds after which what nobody asked for is let go of")       \
    X(int, deadline, 0, 0, 3600000,                                                                          \
      "milliseconds after which a waiting request is answered 504, not computed (0: never)")                 \
    X(int, drain, 10000, 0, 3600000,                                                                         \
      "milliseconds that requests under way have left when the server is asked to stop")                     \
    X(float, new_share, 0.1, 0, 1,                                                                           \
      "share of a list that added items may take for the codes they share with found ones (0: by their "     \
      "scores)")                                                                                             \
    X(int, new_prefix, 0, 0, 16, "how many first codes they have to share (0: all but the last)")            \
    X(choice, log, requests, 0, 0, "requests|errors|off: which answers have a line in the log")              \
    X(int, k_max, 100, 1, 100000, "limit: length of a list")                                                 \
    X(int, beam_max, 200, 1, 1000000, "limit: prefixes kept while decoding semantic IDs")                    \
    X(int, history_max, 1000, 1, 1000000, "limit: items of a history; of a stored user the latest are read") \
    X(int, rank_max, 1000, 1, 1000000, "limit: items to score in one request")                               \
    X(int, list_max, 10000, 1, 10000000, "limit: items in allow, and in deny")                               \
    X(int, items_max, 100, 1, 10000, "limit: items added in one request")                                    \
    X(int, inputs_max, 256, 1, 100000, "limit: texts to embed in one request")                               \
    X(int, text_max, 8192, 1, 16777216, "limit: bytes of a text")                                            \
    X(int, events_max, 1000, 1, 1000000, "limit: events in one request")                                     \
    X(int, id_max, 255, 1, 65536, "limit: bytes of an id")                                                   \
    X(int, depth_max, 8, 3, 1000, "limit: nesting of JSON")                                                  \
    X(int, body_max, 1048576, 16, 1073741824, "limit: bytes of a body")                                      \
    X(int, header_max, 16384, 512, 1048576, "limit: bytes of the request line and headers")                  \
    X(int, connections_max, 512, 1, 1000000,                                                                 \
      "limit: connections, below ulimit -n; more wait to be accepted")                                       \
    X(int, address_max, 0, 0, 1000000, "limit: connections from one address (0: none)")                      \
    X(int, header_ms, 10000, 10, 3600000, "deadline: from connecting to the end of the headers")             \
    X(int, body_ms, 10000, 10, 3600000, "deadline: from the headers to the end of the body")                 \
    X(int, write_ms, 30000, 10, 3600000, "deadline: for the client to read its answer")                      \
    X(int, idle_ms, 60000, 10, 3600000, "deadline: from an answer to the end of the next headers")           \
    X(int, store_ms, 5000, 10, 3600000, "deadline: for the store to do one thing; then 503")
typedef struct sg_serve_config {
    SG_SERVE_OPTIONS(SG_OPTION_FIELD)
} sg_serve_config;
extern const sg_option sg_serve_options[];
extern const size_t sg_n_serve_options;

typedef struct sg_serve_spec {
    const sg_serve_config *config;
    const char *model;       /* folder; read again by POST /admin/reload */
    const char *const *also; /* (n_also) NAME=DIR: further models, which requests ask for by name */
    size_t n_also;
    const char *data; /* dataset folder; NULL: the one the model learned from, when it is still there */
    const char *
        store; /* of users' events and added items: an SQLite file, or postgresql://...; NULL: none are kept */
    const char *encoder;  /* folder of a language model for texts; NULL: the model folder's own encoder */
    const char *key_file; /* NULL: no keys */
    bool insecure;        /* other than loopback addresses without keys */
    int threads;          /* workers; 0: one per core */
    const sg_progress
        *progress; /* called about ten times a second; asks to stop: the server drains and returns */
    void (*log)(void *ctx,
                const char *line); /* one JSON object, no newline; never two at once. NULL: silent */
    void *log_ctx;
} sg_serve_spec;

/* SG_OK once it was asked to stop and every request under way was answered. */
sg_status sg_serve(const sg_serve_spec *spec, sg_error *err);

#endif
