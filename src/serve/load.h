/* load.h - how a server bears a load: requests are sent when they are due, whether or not earlier ones are answered, and their
 * time counts from when they were due. A server that stands still for a second is therefore charged for every request of
 * that second, not only for the one it was at. */
#ifndef SG_SERVE_LOAD_H
#define SG_SERVE_LOAD_H

#include "base/buf.h"
#include "base/option.h"
#include "base/progress.h"
#include "serve/spread.h"

#define SG_LOAD_OPTIONS(X)                                                                                   \
    X(float, rate, 100, 0.001, 1000000, "requests that are due in a second")                                 \
    X(float, seconds, 10, 0.01, 86400, "how long requests are due and counted")                              \
    X(float, warmup, 2, 0, 3600, "seconds before that, of the same load, not counted")                       \
    X(choice, arrivals, poisson, 0, 0, "poisson|fixed: each when it likes, or one as long after the other")  \
    X(float, zipf, 1, 0, 10, "the r-th most asked body is asked in proportion to 1 / r^zipf (0: all alike)") \
    X(int, connections, 256, 1, 60000,                                                                       \
      "connections at most; a request that finds all of them busy waits, which counts")                      \
    X(float, timeout, 10, 0.001, 3600, "seconds after it was due that an answer is waited for")              \
    X(text, path, "/v1/recommend", 1, 255, "what is posted to")                                              \
    X(int, k, 10, 1, 100000, "--data: length of the lists that users ask for")                               \
    X(int, seed, 1, 0, 2147483647, "seed of arrivals and users")
typedef struct sg_load_config {
    SG_LOAD_OPTIONS(SG_OPTION_FIELD)
} sg_load_config;
extern const sg_option sg_load_options[];
extern const size_t sg_n_load_options;

typedef struct sg_load_spec {
    const sg_load_config *config;
    const char *url; /* http://HOST:PORT */
    const char *key; /* sent as Bearer; NULL: none */
    size_t n_bodies;
    void (*body)(void *ctx, size_t i, sg_buf *out); /* appends body i */
    void *ctx;
    const sg_progress *progress;
} sg_load_spec;

enum { SG_LOAD_STATUSES = 24 };
typedef struct sg_load_result {
    uint64_t due,
        late; /* requests counted; of them: those never sent, since no connection became free in time */
    uint64_t timeouts, broken; /* sent, not answered in time; the connection was refused or ended */
    struct {
        int status;
        uint64_t n;
    } answers[SG_LOAD_STATUSES];
    sg_spread good, other; /* from due to the end of the answer: statuses 200 to 299; all others */
    sg_spread delay;       /* from due to sent: our own, and waiting for a free connection */
    uint64_t bytes;        /* of answers */
    double
        seconds; /* from the first counted request being due to the end of the schedule or the last answer */
    int connections;   /* opened at the same time, at most */
    char trouble[160]; /* what the first broken request ran into; empty: none */
} sg_load_result;

/* SG_ERR_IO when nobody answers at the address; everything else is part of the result. */
sg_status sg_load_run(sg_load_result *out, const sg_load_spec *spec, sg_error *err);

#endif
