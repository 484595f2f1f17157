/* http.c - libmicrohttpd behind our own words; no other file names it.
 *
 * The loop is ours (poll over the vendor's epoll, then MHD_run on the caller's thread), so callbacks need no
 * locks. A request that is answered later suspends its connection; sg_http_answer resumes it and wakes the
 * loop by an eventfd: the vendor's own signal exists only with its own threads. Whichever of "suspended" and
 * "answered" comes second resumes.
 *
 * The vendor's timeout counts from the last byte, which a client that sends one byte a second never reaches.
 * So each connection has one deadline for the step it is in; past it the socket is shut down, which the
 * vendor sees as a client that left. */
#include "serve/http.h"

#include "base/alloc.h"
#include "base/progress.h"
#include "serve/gzip.h"
#include "serve/http_strict.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Later versions have an option for what http_strict.c finds out by where the texts of this one stand. */
#if MHD_VERSION >= 0x00097701
enum { IN_PLACE = false, DISCIPLINE = MHD_OPTION_CLIENT_DISCIPLINE_LVL };
#else
enum { IN_PLACE = true, DISCIPLINE = MHD_OPTION_STRICT_FOR_CLIENT };
#endif
enum { BACKLOG = 1024, SWEEPS_PER_SECOND = 10, GZIP_LEAST = 1024 /* less fits into a packet anyway */ };

typedef struct connection {
    struct connection *next, *previous;
    int fd;
    double deadline;    /* of the step it is in; 0: none, it waits for us */
    const char *target; /* of the request line, as it came; the vendor's, until the request is there */
    size_t target_size;
    bool target_good;
} connection;

struct sg_http {
    sg_http_spec spec;
    struct MHD_Daemon *daemon;
    connection *first; /* owned by the vendor's callbacks */
    int n_connections, port;
    int fd;          /* listening; -1: not any more */
    int epoll, wake; /* the vendor's; ours, readable when a connection was resumed */
    double swept;
};

enum { OPEN, SUSPENDED, ANSWERED };

typedef struct sg_http_line {
    sg_http *http;
    struct MHD_Connection *mhd;
    connection *connection;
    sg_exchange x;
    atomic_int state;
    bool reading; /* the headers were good: the body is being read */
    bool takes_gzip, is_gzip;
} sg_http_line;

static void set_deadline(connection *c, double seconds)
{
    if (c)
        c->deadline = seconds > 0 ? sg_now() + seconds : 0;
}

/* ---- answers ---------------------------------------------------------------------------------------- */
static bool add_headers(struct MHD_Response *r, const sg_exchange *x)
{
    char seconds[16];
    bool good =
        MHD_add_response_header(r, "Content-Type", x->type ? x->type : "application/json") == MHD_YES &&
        MHD_add_response_header(r, "X-Content-Type-Options", "nosniff") == MHD_YES &&
        MHD_add_response_header(r, "Cache-Control", "no-store") == MHD_YES &&
        MHD_add_response_header(
            r, "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'") == MHD_YES;

    if (x->answer.size >= GZIP_LEAST || x->line->is_gzip)
        good = good && MHD_add_response_header(r, "Vary", "Accept-Encoding") == MHD_YES;
    if (x->line->is_gzip)
        good = good && MHD_add_response_header(r, "Content-Encoding", "gzip") == MHD_YES;
    if (x->allow)
        good = good && MHD_add_response_header(r, "Allow", x->allow) == MHD_YES;
    if (x->status == 401)
        good = good && MHD_add_response_header(r, "WWW-Authenticate", "Bearer") == MHD_YES;
    if (x->close)
        good = good && MHD_add_response_header(r, "Connection", "close") == MHD_YES;
    if (x->retry_after > 0) {
        snprintf(seconds, sizeof seconds, "%d", x->retry_after);
        good = good && MHD_add_response_header(r, "Retry-After", seconds) == MHD_YES;
    }
    return good;
}

/* On whichever thread has made the answer: that of HTTP has enough to do. */
static void pack(sg_http_line *l)
{
    l->is_gzip =
        l->takes_gzip && !l->x.answer.failed && l->x.answer.size >= GZIP_LEAST && sg_gzip(&l->x.answer);
}

static enum MHD_Result send_answer(sg_http_line *l)
{
    sg_exchange *x = &l->x;
    struct MHD_Response *r;
    enum MHD_Result sent = MHD_NO;

    if (x->answer.failed) { /* no memory for what was to be said */
        sg_buf_free(&x->answer);
        x->status = 500;
    }
    /* the text stays in x, which lives until the vendor has said that the request is over */
    r = MHD_create_response_from_buffer(
        x->answer.size, x->answer.data ? x->answer.data : (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    set_deadline(l->connection, l->http->spec.write_seconds);
    if (r && add_headers(r, x))
        sent = MHD_queue_response(l->mhd, (unsigned)x->status, r);
    if (r)
        MHD_destroy_response(r);
    return sent;
}

bool sg_http_gone(const sg_exchange *x)
{
    const connection *c = x->line->connection;
    char next;

    /* the descriptor stays ours: a connection that waits for its answer is not closed */
    return c && recv(c->fd, &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void resume(const sg_http *h, struct MHD_Connection *mhd)
{
    const uint64_t one = 1;

    MHD_resume_connection(mhd);
    if (write(h->wake, &one, sizeof one) < 0) { /* full: it is awake already */
    }
}

void sg_http_answer(sg_exchange *x)
{
    sg_http_line *l = x->line;
    struct MHD_Connection *mhd = l->mhd;
    const sg_http *h = l->http;

    pack(l);
    if (atomic_exchange(&l->state, ANSWERED) == SUSPENDED)
        resume(h, mhd);
}

/* ---- requests --------------------------------------------------------------------------------------- */
typedef struct seen {
    int host, length, encoding, authorization;
    sg_strict strict;
} seen;

static enum MHD_Result see_header(void *to, enum MHD_ValueKind kind, const char *key, size_t key_size,
                                  const char *value, size_t value_size)
{
    seen *s = to;

    (void)kind;
    sg_strict_header(&s->strict, key, key_size, value ? value : "", value_size);
    s->host += strcasecmp(key, "Host") == 0;
    s->length += strcasecmp(key, "Content-Length") == 0;
    s->encoding += strcasecmp(key, "Transfer-Encoding") == 0;
    s->authorization += strcasecmp(key, "Authorization") == 0;
    return MHD_YES;
}

/* "http://HOST/path" is "/path" when HOST is what the header says. */
static bool take_target(sg_exchange *x, const char *host)
{
    const char *authority, *path;

    if (strncasecmp(x->path, "http://", 7) != 0)
        return x->path[0] == '/' || strcmp(x->path, "*") == 0;
    authority = x->path + 7;
    path = authority + strcspn(authority, "/");
    if (!host || strlen(host) != (size_t)(path - authority) ||
        strncasecmp(host, authority, strlen(host)) != 0)
        return false;
    x->path = *path ? path : "/";
    return true;
}

/* Requests that two readers could take for different ones, and those that are too large. */
static bool accept_headers(sg_http_line *l, const char *version)
{
    const sg_http_spec *spec = &l->http->spec;
    sg_exchange *x = &l->x;
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(l->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const char *length = MHD_lookup_connection_value(l->mhd, MHD_HEADER_KIND, "Content-Length");
    char text[96];
    const connection *c = l->connection;
    seen s = {0};

    if (c)
        sg_strict_start(&s.strict, IN_PLACE, c->target_good, x->method, c->target, c->target_size, version);
    else
        sg_strict_start(&s.strict, false, sg_strict_target(x->path), x->method, x->path, 0, version);
    MHD_get_connection_values_n(l->mhd, MHD_HEADER_KIND, see_header, &s);
    x->close = true;
    if (size && size->header_size > spec->header_bytes) {
        snprintf(text, sizeof text, "expected at most %zu bytes of headers, found %zu", spec->header_bytes,
                 size->header_size);
        spec->refuse(spec->ctx, x, 431, text);
    } else if (!sg_strict_end(&s.strict, size ? size->header_size : 0)) {
        spec->refuse(spec->ctx, x, 400,
                     "expected METHOD TARGET HTTP/1.1 and lines NAME: VALUE, each ended by CR LF, without "
                     "control characters");
    } else if (!take_target(x, MHD_lookup_connection_value(l->mhd, MHD_HEADER_KIND, "Host"))) {
        spec->refuse(spec->ctx, x, 400,
                     "expected a path that begins with /, or http:// with the host of the header Host");
    } else if (s.host > 1 || s.length > 1 || s.authorization > 1) {
        spec->refuse(spec->ctx, x, 400, "expected one Host, one Content-Length and one Authorization header");
    } else if (s.encoding && s.length) {
        spec->refuse(spec->ctx, x, 400, "expected Content-Length or Transfer-Encoding, found both");
    } else if (s.encoding) {
        spec->refuse(spec->ctx, x, 411, "expected a Content-Length; bodies in chunks are not read");
    } else if (length && (!*length || length[strspn(length, "0123456789")])) {
        spec->refuse(spec->ctx, x, 400, "expected a number as Content-Length");
    } else if (length && (strlen(length) > 18 || strtoull(length, NULL, 10) > spec->body_bytes)) {
        snprintf(text, sizeof text, "expected a body of at most %zu bytes", spec->body_bytes);
        spec->refuse(spec->ctx, x, 413, text);
    } else {
        x->close = false;
        return spec->headers(spec->ctx, x);
    }
    return false;
}

static connection *connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return i ? i->socket_context : NULL;
}

static void *on_target(void *ctx, const char *target, struct MHD_Connection *mhd)
{
    connection *c = connection_of(mhd);

    (void)ctx;
    if (c) {
        c->target = target;
        c->target_size = strlen(target);
        c->target_good = sg_strict_target(target); /* before the vendor takes its query to pieces */
    }
    return NULL;
}

static enum MHD_Result begin(sg_http *h, struct MHD_Connection *mhd, const char *path, const char *method,
                             const char *version, void **line)
{
    sg_http_line *l = sg_alloc_zero(1, sizeof *l);

    if (!l)
        return MHD_NO; /* the connection is cut */
    l->http = h;
    l->mhd = mhd;
    l->connection = connection_of(mhd);
    l->x = (sg_exchange){.method = method, .path = path, .started = sg_now(), .line = l};
    atomic_init(&l->state, OPEN);
    *line = l;
    set_deadline(l->connection, h->spec.body_seconds);
    if (!accept_headers(l, version)) {
        atomic_store(&l->state, ANSWERED);
        return send_answer(l);
    }
    l->reading = true;
    l->takes_gzip = sg_gzip_accepted(sg_http_header(&l->x, "Accept-Encoding"));
    return MHD_YES;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *mhd, const char *path, const char *method,
                                  const char *version, const char *data, size_t *size, void **line)
{
    sg_http *h = ctx;
    sg_http_line *l = *line;

    if (!l)
        return begin(h, mhd, path, method, version, line);
    if (*size) {
        if (l->x.body.size + *size > h->spec.body_bytes)
            return MHD_NO;
        sg_buf_add(&l->x.body, data, *size);
        *size = 0;
        return l->x.body.failed ? MHD_NO : MHD_YES;
    }
    if (!l->reading)
        return atomic_load(&l->state) == ANSWERED ? send_answer(l) : MHD_YES;
    l->reading = false;
    set_deadline(l->connection, 0);
    if (h->spec.request(h->spec.ctx, &l->x)) {
        pack(l);
        return send_answer(l);
    }
    int open = OPEN;

    if (atomic_load(&l->state) == ANSWERED)
        return send_answer(l);
    MHD_suspend_connection(mhd);
    if (!atomic_compare_exchange_strong(&l->state, &open, SUSPENDED))
        resume(h, mhd); /* answered in between */
    return MHD_YES;
}

static void on_completed(void *ctx, struct MHD_Connection *mhd, void **line,
                         enum MHD_RequestTerminationCode why)
{
    sg_http *h = ctx;
    sg_http_line *l = *line;

    (void)mhd;
    if (!l)
        return;
    h->spec.done(h->spec.ctx, &l->x, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    set_deadline(l->connection, h->spec.idle_seconds);
    sg_buf_free(&l->x.body);
    sg_buf_free(&l->x.answer);
    sg_free(l);
    *line = NULL;
}

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    sg_http *h = ctx;
    connection *c = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *i = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

        if (!i || !(c = sg_alloc_zero(1, sizeof *c)))
            return; /* without memory for it, this one has no deadline */
        c->fd = (int)i->connect_fd;
        c->next = h->first;
        if (h->first)
            h->first->previous = c;
        h->first = c;
        h->n_connections++;
        set_deadline(c, h->spec.header_seconds);
        *context = c;
    } else if (c) {
        if (c->previous)
            c->previous->next = c->next;
        else
            h->first = c->next;
        if (c->next)
            c->next->previous = c->previous;
        h->n_connections--;
        sg_free(c);
        *context = NULL;
    }
}

/* Paths are unescaped by whoever knows where an id begins and ends: an escaped slash is part of it. */
static size_t leave_escaped(void *ctx, struct MHD_Connection *mhd, char *s)
{
    (void)ctx;
    (void)mhd;
    return strlen(s);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool sg_http_unescape(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (*s != '%') {
            *to++ = *s;
            continue;
        }
        const int high = hex_digit(s[1]), low = high < 0 ? -1 : hex_digit(s[2]);

        if (low < 0 || high + low == 0)
            return false;
        *to++ = (char)(high * 16 + low);
        s += 2;
    }
    *to = 0;
    return true;
}

const char *sg_http_header(const sg_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->line->mhd, MHD_HEADER_KIND, name);
}

/* ---- the loop --------------------------------------------------------------------------------------- */
static sg_status listen_at(int *out, const sg_http_spec *spec, sg_error *err)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    const int on = 1;
    struct addrinfo *list = NULL;
    char port[16], where[300];
    sg_status st = SG_OK;
    int fd = -1;

    snprintf(port, sizeof port, "%d", spec->port);
    snprintf(where, sizeof where, strchr(spec->address, ':') ? "[%s]:%s" : "%s:%s", spec->address, port);
    if (getaddrinfo(spec->address, port, &hints, &list) || !list)
        return sg_fail(err, SG_ERR_USAGE, "address: expected a number such as 127.0.0.1 or ::1, found '%s'",
                       spec->address);
    fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, BACKLOG)) {
        st = sg_fail_errno(err, where, "cannot listen");
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    *out = fd;
    return st;
}

static int port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t size = sizeof a;

    if (getsockname(fd, (struct sockaddr *)&a, &size))
        return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

sg_status sg_http_open(sg_http **out, const sg_http_spec *spec, sg_error *err)
{
    sg_http *h = sg_alloc_zero(1, sizeof *h);
    sg_status st;

    *out = NULL;
    if (!h)
        return sg_fail_memory(err, "server");
    h->spec = *spec;
    if ((st = listen_at(&h->fd, spec, err))) {
        sg_free(h);
        return st;
    }
    h->port = port_of(h->fd);
    /* room for the headers, the table of them, and the answer's own; the exact limit is accept_headers' */
    const size_t room = 2 * spec->header_bytes + 16384;

    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, h, MHD_OPTION_LISTEN_SOCKET,
        h->fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)spec->connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)spec->connections_address, MHD_OPTION_CONNECTION_MEMORY_LIMIT, room, DISCIPLINE, 1,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
        MHD_OPTION_END);
    h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const union MHD_DaemonInfo *i =
        h->daemon ? MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;

    if (h->wake < 0 || !i) {
        st = sg_fail(err, SG_ERR_IO, "%s:%d: the HTTP server did not start", spec->address, spec->port);
        sg_http_close(h);
        return st;
    }
    h->epoll = i->epoll_fd;
    *out = h;
    return SG_OK;
}

int sg_http_port(const sg_http *h)
{
    return h->port;
}

int sg_http_connections(const sg_http *h)
{
    return h->n_connections;
}

static void cut_late(sg_http *h)
{
    const double now = sg_now();

    if (now - h->swept < 1.0 / SWEEPS_PER_SECOND)
        return;
    h->swept = now;
    for (connection *c = h->first; c; c = c->next)
        if (c->deadline > 0 && now > c->deadline) {
            shutdown(c->fd, SHUT_RDWR);
            c->deadline = 0;
        }
}

sg_status sg_http_turn(sg_http *h, double seconds, sg_error *err)
{
    struct pollfd on[] = {{.fd = h->epoll, .events = POLLIN}, {.fd = h->wake, .events = POLLIN}};
    unsigned long long soon;
    int ms = (int)(seconds * 1000);
    uint64_t count;

    cut_late(h);
    if (MHD_get_timeout(h->daemon, &soon) == MHD_YES && soon < (unsigned long long)ms)
        ms = (int)soon;
    if (poll(on, 2, ms) < 0 && errno != EINTR)
        return sg_fail_errno(err, "HTTP server", "cannot wait");
    if ((on[1].revents & POLLIN) &&
        read(h->wake, &count, sizeof count) < 0) { /* somebody else's turn: nothing is lost */
    }
    if (MHD_run(h->daemon) != MHD_YES)
        return sg_fail(err, SG_ERR_IO, "the HTTP server's loop failed");
    return SG_OK;
}

void sg_http_stop_listening(sg_http *h)
{
    if (h->fd < 0)
        return;
    if (h->daemon)
        MHD_quiesce_daemon(h->daemon);
    close(h->fd);
    h->fd = -1;
}

void sg_http_close(sg_http *h)
{
    if (!h)
        return;
    sg_http_stop_listening(h);
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    if (h->wake >= 0)
        close(h->wake);
    sg_free(h);
}
