/* wire.c - libcurl's multi interface, one easy handle a slot. */
#include "lm/wire.h"

#include "base/alloc.h"
#include "base/progress.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { POLL_MS = 100 /* how soon a late first byte is seen, at the latest */ };

typedef struct slot {
    struct sg_wire *wire; /* borrowed */
    CURL *easy;           /* owned */
    bool busy, begun;     /* begun: a byte of the answer came */
    bool full;            /* the answer was longer than it may be */
    bool failed;          /* out of memory */
    double since;         /* when it was posted */
    double retry_after;
    sg_buf body;
    char why[CURL_ERROR_SIZE];
} slot;

struct sg_wire {
    CURLM *multi;
    struct curl_slist *headers; /* owned; one of them holds the secret */
    char *authorization;        /* owned */
    sg_wire_limits limits;
    slot *slot; /* owned: (n) */
    size_t n;
};

static sg_status fail_curl(const char *what, sg_error *err)
{
    return sg_fail(err, SG_ERR_IO, "libcurl: %s", what);
}

/* ---- what arrives -------------------------------------------------------------------------------------------------------- */
/* Seconds, or a date of HTTP; -1: neither. */
static double read_retry_after(const char *text)
{
    char *end;
    const double seconds = strtod(text, &end);
    time_t when;

    if (end != text)
        return seconds >= 0 && seconds < 1e9 ? seconds : -1;
    if ((when = curl_getdate(text, NULL)) < 0)
        return -1;
    return when > time(NULL) ? difftime(when, time(NULL)) : 0;
}

static size_t on_header(char *data, size_t each, size_t n, void *ctx)
{
    static const char name[] = "retry-after:";
    const size_t size = each * n;
    slot *s = ctx;
    char text[128];

    s->begun = true;
    if (size > sizeof name && size - sizeof name < sizeof text - 1 &&
        strncasecmp(data, name, sizeof name - 1) == 0) {
        const size_t rest = size - (sizeof name - 1);

        memcpy(text, data + sizeof name - 1, rest);
        text[rest] = 0;
        s->retry_after = read_retry_after(text + strspn(text, " \t"));
    }
    return size;
}

static size_t on_body(char *data, size_t each, size_t n, void *ctx)
{
    const size_t size = each * n;
    slot *s = ctx;

    s->begun = true;
    if (size > s->wire->limits.bytes_max - s->body.size) {
        s->full = true;
        return 0;
    }
    sg_buf_add(&s->body, data, size);
    s->failed = s->body.failed;
    return s->failed ? 0 : size;
}

/* ---- a closed connection is no signal -------------------------------------------------------------------------------------- */
typedef struct quiet {
    sigset_t old;
    bool pending; /* somebody else's SIGPIPE was there before */
} quiet;

/* What libcurl writes encrypted may meet a closed socket: the signal is held back in this thread, and taken away. */
static void hold_pipe(quiet *q)
{
    sigset_t pipe, now;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&now);
    q->pending = sigismember(&now, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe, &q->old);
}

static void release_pipe(const quiet *q)
{
    sigset_t pipe;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    if (!q->pending)
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) > 0)
            ;
    pthread_sigmask(SIG_SETMASK, &q->old, NULL);
}

/* ---- a wire -------------------------------------------------------------------------------------------------------------- */
static bool add_header(sg_wire *w, const char *line)
{
    struct curl_slist *longer = curl_slist_append(w->headers, line);

    if (longer)
        w->headers = longer;
    return longer != NULL;
}

static bool make_headers(sg_wire *w, const char *secret)
{
    static const char bearer[] = "Authorization: Bearer ";

    if (*secret) {
        const size_t size = sizeof bearer + strlen(secret);

        if (!(w->authorization = sg_alloc(size)))
            return false;
        snprintf(w->authorization, size, "%s%s", bearer, secret);
    }
    return add_header(w, "Content-Type: application/json") && add_header(w, "Accept: application/json") &&
           add_header(w, "Expect:") && /* no round trip before a long body */
           (!w->authorization || add_header(w, w->authorization));
}

static bool make_slot(sg_wire *w, slot *s, const char *ca)
{
    const sg_wire_limits *l = &w->limits;

    s->wire = w;
    if (!(s->easy = curl_easy_init()) || (*ca && curl_easy_setopt(s->easy, CURLOPT_CAINFO, ca)))
        return false;
    return !curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L) &&
           !curl_easy_setopt(s->easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
           !curl_easy_setopt(s->easy, CURLOPT_FOLLOWLOCATION, 0L) &&
           !curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, w->headers) &&
           !curl_easy_setopt(s->easy, CURLOPT_ERRORBUFFER, s->why) &&
           !curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s) &&
           !curl_easy_setopt(s->easy, CURLOPT_HEADERFUNCTION, on_header) &&
           !curl_easy_setopt(s->easy, CURLOPT_HEADERDATA, s) &&
           !curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_body) &&
           !curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s) &&
           !curl_easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(l->connect * 1000)) &&
           !curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, (long)(l->total * 1000));
}

sg_status sg_wire_new(sg_wire **out, size_t slots, const char *secret, const char *ca,
                      const sg_wire_limits *limits, sg_error *err)
{
    sg_wire *w;

    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return fail_curl("cannot be started", err);
    if (!(w = sg_alloc_zero(1, sizeof *w)) || !(w->slot = sg_alloc_zero(slots, sizeof *w->slot))) {
        sg_free(w);
        curl_global_cleanup();
        return sg_fail_memory(err, "connections");
    }
    w->limits = *limits;
    w->n = slots;
    bool good = make_headers(w, secret) && (w->multi = curl_multi_init());
    for (size_t i = 0; i < slots && good; i++)
        good = make_slot(w, &w->slot[i], ca);
    if (!good) {
        sg_wire_free(w);
        return sg_fail_memory(err, "connections");
    }
    *out = w;
    return SG_OK;
}

/* A memset that the compiler may not leave out, since nobody reads what it writes. */
static void wipe(char *s)
{
    for (volatile char *p = s; *p; p++)
        *p = 0;
}

void sg_wire_cut(sg_wire *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->slot[i].busy)
            curl_multi_remove_handle(w->multi, w->slot[i].easy);
        w->slot[i].busy = false;
        sg_buf_free(&w->slot[i].body);
    }
}

void sg_wire_free(sg_wire *w)
{
    quiet q;

    if (!w)
        return;
    hold_pipe(&q);
    sg_wire_cut(w);
    for (size_t i = 0; i < w->n; i++)
        curl_easy_cleanup(w->slot[i].easy);
    curl_multi_cleanup(w->multi);
    release_pipe(&q);
    for (struct curl_slist *l = w->headers; l; l = l->next)
        wipe(l->data);
    curl_slist_free_all(w->headers);
    if (w->authorization)
        wipe(w->authorization);
    sg_free(w->authorization);
    sg_free(w->slot);
    sg_free(w);
    curl_global_cleanup();
}

sg_status sg_wire_post(sg_wire *w, size_t i, const char *url, sg_bytes body, sg_error *err)
{
    slot *s = &w->slot[i];

    sg_buf_free(&s->body);
    s->begun = s->full = s->failed = false;
    s->retry_after = -1;
    s->why[0] = 0;
    s->since = sg_now();
    const bool sealed = strncasecmp(url, "https:", 6) == 0;
    if (curl_easy_setopt(s->easy, CURLOPT_URL, url) ||
        curl_easy_setopt(s->easy, CURLOPT_NOPROXY, w->authorization && !sealed ? "*" : NULL) ||
        curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size) ||
        curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, body.data) || curl_multi_add_handle(w->multi, s->easy))
        return fail_curl("a request cannot be sent", err);
    s->busy = true;
    return SG_OK;
}

/* ---- replies ------------------------------------------------------------------------------------------------------------- */
static void take_reply(sg_wire_reply *r, slot *s, CURLcode code)
{
    curl_off_t connected = 0, uploaded = 0;
    long status = 0;

    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(s->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
    curl_multi_remove_handle(s->wire->multi, s->easy);
    s->busy = false;
    *r = (sg_wire_reply){.slot = (size_t)(s - s->wire->slot),
                         .sent = uploaded > 0,
                         .status = (int)status,
                         .retry_after = s->retry_after,
                         .body = {s->body.data ? s->body.data : "", s->body.size}};
    if (code == CURLE_OK)
        return;
    if (s->full) {
        r->end = SG_WIRE_LONG;
        snprintf(r->why, sizeof r->why, "expected an answer of at most %zu bytes, found more",
                 s->wire->limits.bytes_max);
        return;
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
        r->end = SG_WIRE_UNTRUSTED;
        snprintf(r->why, sizeof r->why, "%s: %.180s",
                 code == CURLE_SSL_CACERT_BADFILE
                     ? "expected PEM certificates in ca"
                     : "its certificate is not trusted (ca names others to trust)",
                 s->why[0] ? s->why : curl_easy_strerror(code));
        return;
    }
    r->end = code == CURLE_OPERATION_TIMEDOUT ? SG_WIRE_LATE : SG_WIRE_BROKEN;
    curl_easy_getinfo(s->easy, CURLINFO_CONNECT_TIME_T, &connected);
    if (r->end == SG_WIRE_BROKEN)
        snprintf(r->why, sizeof r->why, "%s", s->why[0] ? s->why : curl_easy_strerror(code));
    else if (!connected)
        snprintf(r->why, sizeof r->why, "no connection within %g s", s->wire->limits.connect);
    else
        snprintf(r->why, sizeof r->why, "no whole answer within %g s", s->wire->limits.total);
}

/* One that curl is done with, or whose first byte is late. */
static bool next_reply(sg_wire *w, sg_wire_reply *r, bool *no_memory)
{
    const double now = sg_now();
    const CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(w->multi, &left)))
        if (m->msg == CURLMSG_DONE) {
            const CURLcode code = m->data.result; /* m does not outlive the handle's removal */
            char *at;

            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &at);
            slot *s = (slot *)(void *)at;
            *no_memory = s->failed || code == CURLE_OUT_OF_MEMORY;
            take_reply(r, s, code);
            return true;
        }
    for (size_t i = 0; i < w->n; i++) {
        slot *s = &w->slot[i];

        if (s->busy && !s->begun && now - s->since > w->limits.first_byte) {
            take_reply(r, s, CURLE_OPERATION_TIMEDOUT);
            snprintf(r->why, sizeof r->why, "no answer began within %g s", w->limits.first_byte);
            return true;
        }
    }
    return false;
}

static sg_status next_within(sg_wire *w, double seconds, sg_wire_reply *reply, bool *came, sg_error *err)
{
    const double until = sg_now() + seconds;

    for (;;) {
        bool no_memory = false;
        int running;

        if (curl_multi_perform(w->multi, &running))
            return fail_curl("the connections failed", err);
        *came = next_reply(w, reply, &no_memory);
        if (no_memory)
            return sg_fail_memory(err, "answer");
        const double left = until - sg_now();
        if (*came || left <= 0)
            return SG_OK;
        if (curl_multi_poll(w->multi, NULL, 0, left * 1000 < POLL_MS ? (int)(left * 1000) + 1 : POLL_MS,
                            NULL))
            return fail_curl("the connections failed", err);
    }
}

sg_status sg_wire_wait(sg_wire *w, double seconds, sg_wire_reply *reply, bool *came, sg_error *err)
{
    sg_status st;
    quiet q;

    hold_pipe(&q);
    st = next_within(w, seconds, reply, came, err);
    release_pipe(&q);
    return st;
}

/* ---- addresses ----------------------------------------------------------------------------------------------------------- */
static sg_status check_parts(CURLU *u, const char *url, sg_error *err)
{
    static const CURLUPart none[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT};
    char *part = NULL;

    /* of an address with a password only the scheme may be shown, and it may be all that was understood */
    if (curl_url_set(u, CURLUPART_URL, url, 0))
        return sg_fail(err, SG_ERR_USAGE,
                       "expected an address such as http://127.0.0.1:8080/v1, found one that "
                       "cannot be read");
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (curl_url_get(u, none[i], &part, 0) == CURLUE_OK) {
            curl_free(part);
            return sg_fail(err, SG_ERR_USAGE,
                           "expected an address without user, password and query, found one of them (a key "
                           "belongs into a file or the environment)");
        }
    if (curl_url_get(u, CURLUPART_SCHEME, &part, 0))
        return sg_fail_memory(err, "address");
    const bool known = strcmp(part, "http") == 0 || strcmp(part, "https") == 0;
    curl_free(part);
    return known ? SG_OK : sg_fail(err, SG_ERR_USAGE, "%s: expected http:// or https://", url);
}

sg_status sg_wire_check_url(const char *url, sg_error *err)
{
    if (strlen(url) > SG_WIRE_URL_MOST)
        return sg_fail(err, SG_ERR_USAGE, "expected an address of at most %d bytes, found %zu",
                       SG_WIRE_URL_MOST, strlen(url));
    CURLU *u = curl_url();
    const sg_status st = u ? check_parts(u, url, err) : sg_fail_memory(err, "address");

    curl_url_cleanup(u);
    return st;
}
