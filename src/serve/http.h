/* http.h - HTTP/1.1 by libmicrohttpd: connections, limits and deadlines; what is asked and answered is the
 * caller's.
 *
 * One thread runs the loop and calls every function of the spec. A request may be answered at once, or later
 * from any thread by sg_http_answer; meanwhile its connection costs nothing. Requests that could be read in
 * two ways (a length beside a chunked body, two lengths, two hosts) are refused and the connection is closed.
 */
#ifndef SG_SERVE_HTTP_H
#define SG_SERVE_HTTP_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_http sg_http;

typedef struct sg_exchange {   /* one request and its answer */
    const char *method, *path; /* borrowed until done; the path is as it was sent, without the query */
    sg_buf body;               /* owned */
    double started;            /* sg_now() when its headers were there */
    /* the answer */
    int status;
    sg_buf answer;             /* owned */
    const char *type;          /* of the answer; a literal */
    const char *allow;         /* header Allow; a literal, or NULL */
    int retry_after;           /* seconds; 0: none */
    bool close;                /* the connection ends with this answer */
    void *user;                /* the caller's */
    struct sg_http_line *line; /* ours */
} sg_exchange;

typedef struct sg_http_spec {
    const char *address;                  /* a number: 127.0.0.1, ::1, 0.0.0.0 */
    int port;                             /* 0: a free one */
    int connections, connections_address; /* at most, in all and from one address (0: no limit) */
    size_t header_bytes, body_bytes;
    double header_seconds; /* from the connection to the end of the first headers */
    double body_seconds;   /* from the headers to the end of the body */
    double write_seconds;  /* from the answer to the client having read it */
    double idle_seconds;   /* between an answer and the end of the next headers */
    void *ctx;
    /* The headers are there. true: read the body, then call request. false: x holds the answer already. */
    bool (*headers)(void *ctx, sg_exchange *x);
    /* The whole request is there. true: x holds the answer. false: sg_http_answer will come. */
    bool (*request)(void *ctx, sg_exchange *x);
    /* The answer was sent, or the client is gone. x is freed afterwards. */
    void (*done)(void *ctx, sg_exchange *x, bool sent);
    /* Something is wrong with the request line or the headers; fills x with an error of this status. */
    void (*refuse)(void *ctx, sg_exchange *x, int status, const char *message);
} sg_http_spec;

sg_status sg_http_open(sg_http **out, const sg_http_spec *spec, sg_error *err);
int sg_http_port(const sg_http *h);
int sg_http_connections(const sg_http *h);
const char *sg_http_header(const sg_exchange *x, const char *name); /* borrowed; NULL: not sent */
/* One turn of the loop: waits at most this long for something to do. */
sg_status sg_http_turn(sg_http *h, double seconds, sg_error *err);
bool sg_http_gone(const sg_exchange *x); /* any thread, before the answer: the client has closed its side */
void sg_http_answer(sg_exchange *x);     /* any thread, once; x may be gone as soon as this is called */
void sg_http_stop_listening(sg_http *h);
/* Ends every connection. Nothing may wait for an answer any more. */
void sg_http_close(sg_http *h);

/* "%41" becomes "A", in place. False: a broken escape, or one that stands for a 0 byte. */
bool sg_http_unescape(char *s);

#endif
