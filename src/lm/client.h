/* client.h - many requests to one endpoint that speaks OpenAI's dialect: retried, paced, within a budget.
 *
 * What may pass is tried again: no connection, a cut or late answer, one that is no JSON, and the statuses 408, 409, 425, 429 and 5xx;
 * after retry_seconds, twice as long every time and at most a minute, less a random part, and never before the server's Retry-After.
 * A 429 holds back all requests. A try that was sent and ended late, cut or with an answer that is no JSON is charged with all that it could
 * cost, since its provider may bill it; a status that refuses is not. Everything else is final, a certificate that is not trusted above all:
 * nothing is sent then. The key is in the Authorization header and nowhere else: where a server repeats it, it is cut out of answers and of
 * what errors say. */
#ifndef SG_LM_CLIENT_H
#define SG_LM_CLIENT_H

#include "base/option.h"
#include "base/progress.h"

#include <jansson.h>

#define SG_CLIENT_OPTIONS(X)                                                                                 \
    X(text, model, "", 0, 255, "endpoint: name of the model there")                                          \
    X(text, key_file, "", 0, 255, "endpoint: file with the key, which only its owner may read")              \
    X(text, key_env, "SEDGE_LLM_KEY", 0, 255,                                                                \
      "endpoint: variable of the environment with the key, when there is no key_file")                       \
    X(text, ca, "", 0, 255,                                                                                  \
      "endpoint: PEM file of certificates to trust in place of the system's (empty: $CURL_CA_BUNDLE)")       \
    X(int, concurrency, 4, 1, 1024, "endpoint: requests under way at once")                                  \
    X(int, retries, 6, 0, 100, "endpoint: how often a request is tried again")                               \
    X(float, retry_seconds, 1, 0, 3600, "endpoint: wait before the first retry, doubled by each")            \
    X(float, connect_seconds, 10, 0.001, 3600, "endpoint: a connection must stand within this time")         \
    X(float, first_byte_seconds, 120, 0.001, 86400, "endpoint: an answer must begin within this time")       \
    X(float, total_seconds, 600, 0.001, 86400, "endpoint: an answer must be there within this time")         \
    X(float, requests_a_minute, 0, 0, 1e9, "endpoint: pace, evenly (0: as fast as they are answered)")       \
    X(float, tokens_a_minute, 0, 0, 1e12, "endpoint: pace of tokens, asked and answered (0: no bound)")      \
    X(int, calls_most, 0, 0, 2147483647, "endpoint: budget of calls, retries included (0: no bound)")        \
    X(float, tokens_most, 0, 0, 1e15, "endpoint: budget of tokens, asked and answered (0: no bound)")        \
    X(float, money_most, 0, 0, 1e12, "endpoint: budget of money, in the unit of the prices (0: no bound)")   \
    X(float, price_in, 0, 0, 1e9, "endpoint: price of a million tokens asked")                               \
    X(float, price_out, 0, 0, 1e9, "endpoint: price of a million tokens answered")

typedef struct sg_client_config {
    SG_CLIENT_OPTIONS(SG_OPTION_FIELD)
} sg_client_config;
extern const sg_option sg_client_options[];
extern const size_t sg_n_client_options;

typedef struct sg_client_use { /* of a client, so far */
    uint64_t calls;            /* sent, retries included */
    uint64_t answers;          /* good ones: a request that was retried counts once */
    double tokens_in, tokens_out,
        money; /* of answers as the server counts, or else, and of requests that were lost once sent, as estimated */
} sg_client_use;

typedef struct sg_client sg_client; /* one thread's */
/* url: http://HOST/v1; c is copied. */
sg_status sg_client_new(sg_client **out, const char *url, const sg_client_config *c, sg_error *err);
void sg_client_free(sg_client *c);
const sg_client_use *sg_client_used(const sg_client *c);
const char *sg_client_url(const sg_client *c);
const char *sg_client_model(const sg_client *c);

typedef struct sg_client_ask {
    json_t *body;                 /* owned by the client once made */
    double tokens_in, tokens_out; /* what it costs at most, about */
} sg_client_ask;

typedef struct sg_client_work {
    const char *path; /* "/chat/completions" */
    size_t n;
    void *ctx;
    sg_status (*make)(void *ctx, size_t i, sg_client_ask *out, sg_error *err);
    /* In the order in which answers come. SG_ERR_FORMAT: it is not such an answer, with the reason: the request has failed. */
    sg_status (*take)(void *ctx, size_t i, const json_t *answer, sg_error *err);
    /* The request has failed for good; SG_OK: go on with the others. NULL: the work ends. Not asked about refusals that all others
     * would meet, too (401, 403, 404). */
    sg_status (*give_up)(void *ctx, size_t i, const sg_error *why);
} sg_client_work;

/* Answers requests 0 .. n - 1. When it ends early what is under way is still awaited and taken, unless the caller's progress says
 * to stop or memory is out. */
sg_status sg_client_run(sg_client *c, const sg_client_work *w, const sg_progress *progress, sg_error *err);

#endif
