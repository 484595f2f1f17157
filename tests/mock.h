/* mock.h - an endpoint in OpenAI's dialect on a free port of the loopback, that misbehaves as its script says.
 *
 * Request number n (from 0) meets step n of the script; past its end all are answered well. A good chat answer is "re: " and the
 * last message; a vector of a text holds its length, its first byte and 1; a score is -0.5 a character.
 *
 * Its threads outlive an answer by a moment, so it keeps its bytes in memory of its own: faults.h counts blocks of the library's
 * door, and would meet one of the mock's there. */
#ifndef TESTS_MOCK_H
#define TESTS_MOCK_H

#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum mock_kind {
    MOCK_GOOD,
    MOCK_STATUS,   /* `status`, with the text */
    MOCK_TEXT,     /* status 200, with the text whatever it is */
    MOCK_HANG,     /* nothing, until the mock is stopped */
    MOCK_TRICKLE,  /* the head at once, then a byte every 50 ms, likewise */
    MOCK_CUT,      /* half of the bytes that were promised */
    MOCK_ECHO_KEY, /* status 401, repeats the Authorization header */
} mock_kind;

typedef struct mock_step {
    mock_kind kind;
    int status;
    const char *text, *retry_after;
} mock_step;

typedef struct mock_body {
    char *data; /* followed by a 0 byte once anything was added */
    size_t size;
} mock_body;

typedef struct mock {
    struct MHD_Daemon *daemon;
    char url[64];
    const mock_step *script;
    size_t n_script;
    const char *(*say)(const char *prompt); /* what a chat answers; NULL: "re: " and the prompt */
    const char *reason;                     /* why it ends; NULL: "stop" */
    pthread_mutex_t lock;
    size_t requests, now, most_now; /* most_now: at once */
    char authorization[256];        /* of the last one */
    mock_body last;                 /* its body */
    double think;                   /* seconds before every answer */
    bool stopping;
} mock;

typedef struct mock_call {
    mock_body body;
    size_t number;
    struct mock *mock; /* borrowed */
} mock_call;

static inline void mock_add(mock_body *b, const char *data, size_t size)
{
    char *grown = realloc(b->data, b->size + size + 1);

    assert_non_null(grown);
    b->data = grown;
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
}

static inline double mock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void mock_sleep(double seconds)
{
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
}

static inline bool mock_stopping(mock *m)
{
    bool yes;

    pthread_mutex_lock(&m->lock);
    yes = m->stopping;
    pthread_mutex_unlock(&m->lock);
    return yes;
}

/* ---- good answers -------------------------------------------------------------------------------------------------------- */
static inline json_t *mock_chat(const mock *m, const json_t *asked)
{
    const json_t *messages = json_object_get(asked, "messages");
    const char *prompt = json_string_value(
        json_object_get(json_array_get(messages, json_array_size(messages) - 1), "content"));
    char text[4096];

    snprintf(text, sizeof text, "re: %s", prompt ? prompt : "");
    return json_pack("{s:[{s:i, s:{s:s, s:s}, s:s}], s:{s:i, s:i}}", "choices", "index", 0, "message", "role",
                     "assistant", "content", m->say && prompt ? m->say(prompt) : text, "finish_reason",
                     m->reason ? m->reason : "stop", "usage", "prompt_tokens", 10, "completion_tokens", 5);
}

static inline json_t *mock_embed(const json_t *asked)
{
    const json_t *input = json_object_get(asked, "input"), *one;
    json_t *data = json_array();
    size_t i;

    json_array_foreach(input, i, one)
    {
        const char *text = json_string_value(one);
        const size_t at =
            json_array_size(input) - 1 - i; /* in another order than asked, as the dialect allows */
        const char *other = json_string_value(json_array_get(input, at));

        (void)text;
        json_array_append_new(data, json_pack("{s:i, s:[f, i, i]}", "index", (int)at, "embedding",
                                              (double)strlen(other), (int)(unsigned char)other[0], 1));
    }
    return json_pack("{s:o, s:{s:i}}", "data", data, "usage", "prompt_tokens", 7);
}

static inline json_t *mock_score(const json_t *asked)
{
    const char *prompt = json_string_value(json_object_get(asked, "prompt"));
    json_t *logp = json_array(), *offset = json_array();

    for (size_t i = 0; prompt && prompt[i]; i++) { /* one token a byte */
        json_array_append_new(logp, i ? json_real(-0.5) : json_null());
        json_array_append_new(offset, json_integer((json_int_t)i));
    }
    return json_pack("{s:[{s:{s:o, s:o}}]}", "choices", "logprobs", "token_logprobs", logp, "text_offset",
                     offset);
}

/* ---- the server ---------------------------------------------------------------------------------------------------------- */
static inline ssize_t mock_trickle(void *ctx, uint64_t at, char *out, size_t most)
{
    const mock_call *c = ctx;

    (void)at;
    (void)most;
    if (mock_stopping(c->mock))
        return MHD_CONTENT_READER_END_OF_STREAM;
    mock_sleep(0.05);
    *out = ' ';
    return 1;
}

static inline ssize_t mock_half(void *ctx, uint64_t at, char *out, size_t most)
{
    (void)ctx;
    if (at >= 50)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    memset(out, '[', most < 50 ? most : 50);
    return (ssize_t)(most < 50 ? most : 50);
}

static inline enum MHD_Result mock_send(struct MHD_Connection *to, int status, const char *text,
                                        const char *retry_after)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result sent;

    if (retry_after)
        MHD_add_response_header(r, "Retry-After", retry_after);
    sent = MHD_queue_response(to, (unsigned)status, r);
    MHD_destroy_response(r);
    return sent;
}

static inline enum MHD_Result mock_good(mock *m, struct MHD_Connection *to, const char *path,
                                        const mock_call *c)
{
    json_t *asked = json_loadb(c->body.data ? c->body.data : "", c->body.size, 0, NULL), *answer = NULL;
    char *text = NULL;
    enum MHD_Result sent;

    if (strstr(path, "/chat/completions"))
        answer = mock_chat(m, asked);
    else if (strstr(path, "/embeddings"))
        answer = mock_embed(asked);
    else if (strstr(path, "/completions"))
        answer = mock_score(asked);
    if (answer)
        text = json_dumps(answer, JSON_COMPACT);
    sent =
        mock_send(to, answer ? 200 : 404, text ? text : "{\"error\": {\"message\": \"no such path\"}}", NULL);
    free(text);
    json_decref(asked);
    json_decref(answer);
    return sent;
}

static inline enum MHD_Result mock_answer(mock *m, struct MHD_Connection *to, const char *path, mock_call *c)
{
    const mock_step step = c->number < m->n_script ? m->script[c->number] : (mock_step){0};
    struct MHD_Response *r;
    enum MHD_Result sent;
    char text[600];

    mock_sleep(m->think);
    switch (step.kind) {
    case MOCK_HANG:
        while (!mock_stopping(m))
            mock_sleep(0.02);
        return mock_good(m, to, path, c);
    case MOCK_TRICKLE:
        c->mock = m;
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 64, mock_trickle, c, NULL);
        break;
    case MOCK_CUT:
        r = MHD_create_response_from_callback(100, 64, mock_half, c, NULL);
        break;
    case MOCK_STATUS:
        return mock_send(to, step.status, step.text ? step.text : "", step.retry_after);
    case MOCK_TEXT:
        return mock_send(to, 200, step.text, NULL);
    case MOCK_ECHO_KEY:
        snprintf(text, sizeof text, "{\"error\": {\"message\": \"wrong key: %s\"}}", m->authorization);
        return mock_send(to, 401, text, NULL);
    default:
        return mock_good(m, to, path, c);
    }
    sent = MHD_queue_response(to, 200, r);
    MHD_destroy_response(r);
    return sent;
}

static inline enum MHD_Result mock_request(void *ctx, struct MHD_Connection *from, const char *path,
                                           const char *method, const char *version, const char *data,
                                           size_t *size, void **state)
{
    mock *m = ctx;
    mock_call *c = *state;
    const char *key = MHD_lookup_connection_value(from, MHD_HEADER_KIND, "Authorization");

    (void)method;
    (void)version;
    if (!c) {
        *state = calloc(1, sizeof *c);
        return MHD_YES;
    }
    if (*size) {
        mock_add(&c->body, data, *size);
        *size = 0;
        return MHD_YES;
    }
    pthread_mutex_lock(&m->lock);
    c->number = m->requests++;
    m->most_now = ++m->now > m->most_now ? m->now : m->most_now;
    snprintf(m->authorization, sizeof m->authorization, "%s", key ? key : "");
    m->last.size = 0;
    mock_add(&m->last, c->body.data, c->body.size);
    pthread_mutex_unlock(&m->lock);
    return mock_answer(m, from, path, c);
}

static inline void mock_done(void *ctx, struct MHD_Connection *with, void **state,
                             enum MHD_RequestTerminationCode why)
{
    mock *m = ctx;
    mock_call *c = *state;

    (void)with;
    (void)why;
    if (!c)
        return;
    pthread_mutex_lock(&m->lock);
    m->now--;
    pthread_mutex_unlock(&m->lock);
    free(c->body.data);
    free(c);
}

/* With a certificate and its key (texts of PEM) over TLS; NULL: plainly. */
static inline void mock_start_with(mock *m, const mock_step *script, size_t n, const char *certificate,
                                   const char *key)
{
    const struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)certificate},
                                         {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
                                         {MHD_OPTION_END, 0, NULL}};

    *m = (mock){.script = script, .n_script = n};
    pthread_mutex_init(&m->lock, NULL);
    m->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                                     (unsigned)(certificate ? MHD_USE_TLS : 0),
                                 0, NULL, NULL, mock_request, m, MHD_OPTION_NOTIFY_COMPLETED, mock_done, m,
                                 MHD_OPTION_ARRAY, certificate ? tls : tls + 2, MHD_OPTION_END);
    assert_non_null(m->daemon);
    snprintf(m->url, sizeof m->url, "%s://127.0.0.1:%d/v1", certificate ? "https" : "http",
             (int)MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
}

static inline void mock_start(mock *m, const mock_step *script, size_t n)
{
    mock_start_with(m, script, n, NULL, NULL);
}

static inline void mock_stop(mock *m)
{
    pthread_mutex_lock(&m->lock);
    m->stopping = true;
    pthread_mutex_unlock(&m->lock);
    MHD_stop_daemon(m->daemon);
    pthread_mutex_destroy(&m->lock);
    free(m->last.data);
}

#endif
