/* load.c - one thread, many connections. The schedule is a function of the seed, so requests that wait to be sent are a
 * number and a time, not a queue: memory does not grow with what the server cannot bear. */
#include "serve/load.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SG_OPTION_STRUCT sg_load_config
const sg_option sg_load_options[] = {SG_LOAD_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
const size_t sg_n_load_options = sizeof sg_load_options / sizeof *sg_load_options;

enum { HEAD_MAX = 8192, SCRATCH = 65536, EVENTS = 256, TICKS_PER_SECOND = 20 };

typedef struct wire { /* a connection and the request on it */
    int fd;           /* -1: not open */
    bool busy;        /* a request is on it */
    bool used;        /* it has brought an answer: when it ends now, the server was tired of waiting for us */
    bool counted;
    double due;
    sg_buf out; /* owned: the request */
    size_t sent;
    char head[HEAD_MAX + 1]; /* of the answer */
    size_t n_head;
    bool has_head, closes;
    int status;
    uint64_t left; /* bytes of its body that are still to come */
} wire;

typedef struct load {
    const sg_load_spec *spec;
    const sg_load_config *c;
    sg_load_result *r;
    struct sockaddr_storage address;
    socklen_t address_size;
    char host[300];
    int epoll, timer;
    wire *wires; /* owned (connections) */
    int *free;   /* owned (connections): wires without a request, the latest used last */
    int n_free, n_open;
    double *share;     /* owned (n_bodies): summed up over ranks */
    uint32_t *order;   /* owned (n_bodies): body of a rank */
    char *scratch;     /* owned (SCRATCH) */
    double begin, end; /* of what is counted */
    double due;        /* of the next request */
    uint64_t number;   /* of it */
    double last;       /* when the latest answer came */
} load;

/* ---- what is due ---------------------------------------------------------------------------------------- */
static void next_due(load *l)
{
    const double u = sg_rng_double((uint64_t)l->c->seed, SG_RNG_SAMPLE, l->number, 0);

    l->due += (strcmp(l->c->arrivals, "fixed") == 0 ? 1 : -log1p(-u)) / l->c->rate;
    l->number++;
}

static sg_status make_shares(load *l, sg_error *err)
{
    const size_t n = l->spec->n_bodies;
    double sum = 0;

    if (n > UINT32_MAX || !(l->share = sg_alloc_array(n, sizeof *l->share)) ||
        !(l->order = sg_alloc_array(n, sizeof *l->order)))
        return sg_fail_memory(err, "bodies");
    for (size_t i = 0; i < n; i++)
        l->share[i] = sum += pow((double)(i + 1), -l->c->zipf);
    sg_rng_permutation(l->order, (uint32_t)n, (uint64_t)l->c->seed, SG_RNG_SAMPLE, 1);
    return SG_OK;
}

static size_t draw_body(const load *l)
{
    const size_t n = l->spec->n_bodies;
    const double x = l->share[n - 1] * sg_rng_double((uint64_t)l->c->seed, SG_RNG_SAMPLE, l->number, 2);
    size_t low = 0, high = n - 1;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (l->share[mid] > x)
            high = mid;
        else
            low = mid + 1;
    }
    return l->order[low];
}

/* ---- connections ---------------------------------------------------------------------------------------- */
static sg_status find_address(load *l, sg_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const char *from = l->spec->url, *colon;
    struct addrinfo *list = NULL;
    char name[256];
    size_t n;

    if (strncasecmp(from, "http://", 7) == 0)
        from += 7;
    n = strcspn(from, "/");
    colon = memchr(from, ']', n) ? memchr(from, ']', n) : from; /* [::1]:8080 */
    colon = memchr(colon, ':', n - (size_t)(colon - from));
    if (!colon || from[n + (from[n] == '/')] || n >= sizeof name)
        return sg_fail(err, SG_ERR_USAGE, "address: expected http://HOST:PORT, found '%.200s'", l->spec->url);
    snprintf(l->host, sizeof l->host, "%.*s", (int)n, from);
    snprintf(name, sizeof name, "%.*s", (int)(colon - from), from);
    if (name[0] == '[') {
        memmove(name, name + 1, strlen(name));
        name[strcspn(name, "]")] = 0;
    }
    const int rc = getaddrinfo(name, strrchr(l->host, ':') + 1, &hints, &list);

    if (rc || !list)
        return sg_fail(err, SG_ERR_IO, "%s: %s", l->host, gai_strerror(rc));
    memcpy(&l->address, list->ai_addr, list->ai_addrlen);
    l->address_size = list->ai_addrlen;
    freeaddrinfo(list);
    return SG_OK;
}

/* Is anybody there? Asked once, before the load. */
static sg_status try_address(const load *l, sg_error *err)
{
    const int fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sg_status st = SG_OK;

    if (fd < 0 || connect(fd, (const struct sockaddr *)&l->address, l->address_size))
        st = sg_fail_errno(err, l->host, "cannot connect");
    if (fd >= 0)
        close(fd);
    return st;
}

static void hang_up(load *l, wire *w)
{
    if (w->fd >= 0) {
        close(w->fd);
        l->n_open--;
    }
    w->fd = -1;
    w->used = false;
}

static bool dial(load *l, wire *w)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = w};
    const int on = 1;

    w->fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->fd < 0)
        return false;
    l->n_open++;
    l->r->connections = l->n_open > l->r->connections ? l->n_open : l->r->connections;
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return (!connect(w->fd, (const struct sockaddr *)&l->address, l->address_size) || errno == EINPROGRESS) &&
           !epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &e);
}

/* ---- one request ---------------------------------------------------------------------------------------- */
static void let_go(load *l, wire *w)
{
    w->busy = false;
    l->free[l->n_free++] = (int)(w - l->wires);
}

static void count_answer(load *l, const wire *w)
{
    const double now = sg_now();
    int i = 0;

    l->last = now;
    if (!w->counted)
        return;
    while (i < SG_LOAD_STATUSES - 1 && l->r->answers[i].n && l->r->answers[i].status != w->status)
        i++;
    l->r->answers[i].status = w->status;
    l->r->answers[i].n++;
    sg_spread_add(w->status >= 200 && w->status < 300 ? &l->r->good : &l->r->other, now - w->due);
}

static void count_broken(load *l, wire *w, const char *why)
{
    if (w->counted) {
        l->r->broken++;
        if (!l->r->trouble[0])
            snprintf(l->r->trouble, sizeof l->r->trouble, "%s", why);
    }
    hang_up(l, w);
    let_go(l, w);
}

static void work_on(load *l, wire *w);

/* The connection ended under a request. One that had been idle may have been closed by the server just then: that is how HTTP
 * is, and not an error; the request goes over a new one. */
static void on_end(load *l, wire *w, const char *why)
{
    const bool again = w->used && w->n_head == 0;

    if (!again) {
        count_broken(l, w, why);
        return;
    }
    hang_up(l, w);
    w->sent = 0;
    if (dial(l, w))
        work_on(l, w);
    else
        count_broken(l, w, strerror(errno));
}

static const char *header(const char *head, const char *name)
{
    const size_t n = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':')
            return line + 3 + n + strspn(line + 3 + n, " \t");
    return NULL;
}

/* False: it is not what a server of HTTP/1.1 says. */
static bool read_head(wire *w, size_t head_bytes)
{
    const size_t more = w->n_head - head_bytes; /* of the body, read with it */
    const char *length, *connection;

    w->head[head_bytes - 2] = 0;
    if (strncmp(w->head, "HTTP/1.1 ", 9) != 0 || !(length = header(w->head, "Content-Length")))
        return false;
    w->status = atoi(w->head + 9);
    w->left = strtoull(length, NULL, 10);
    connection = header(w->head, "Connection");
    w->closes = connection && strncasecmp(connection, "close", 5) == 0;
    w->has_head = true;
    if (more > w->left)
        return false;
    w->left -= more;
    return true;
}

/* Reads what is there. False: the connection is over, and the request dealt with. */
static bool read_some(load *l, wire *w, ssize_t *n)
{
    const bool head = !w->has_head;

    *n = head ? recv(w->fd, w->head + w->n_head, HEAD_MAX - w->n_head, 0)
              : recv(w->fd, l->scratch, SCRATCH, 0);
    if (*n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (*n <= 0) {
        on_end(l, w, *n < 0 ? strerror(errno) : "the server closed the connection");
        return false;
    }
    if (w->counted)
        l->r->bytes += (uint64_t)*n;
    if (!head) {
        w->left -= (uint64_t)*n <= w->left ? (uint64_t)*n : w->left;
        return true;
    }
    w->n_head += (size_t)*n;
    w->head[w->n_head] = 0;
    const char *end = strstr(w->head, "\r\n\r\n");

    if (end ? !read_head(w, (size_t)(end - w->head) + 4) : w->n_head == HEAD_MAX) {
        count_broken(l, w, "expected an HTTP/1.1 answer with a Content-Length");
        return false;
    }
    return true;
}

static void work_on(load *l, wire *w)
{
    while (w->busy && w->sent < w->out.size) {
        const ssize_t n = send(w->fd, w->out.data + w->sent, w->out.size - w->sent, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n < 0) {
            if (errno != EPIPE && errno != ECONNRESET) {
                on_end(l, w, strerror(errno));
                return;
            }
            break; /* an answer may have come before the end: 413 */
        }
        w->sent += (size_t)n;
    }
    while (w->busy) {
        ssize_t n;

        if (!read_some(l, w, &n) || n < 0)
            return;
        if (w->has_head && w->left == 0) {
            count_answer(l, w);
            w->used = true;
            if (w->closes)
                hang_up(l, w);
            let_go(l, w);
        }
    }
}

static void start(load *l, wire *w)
{
    const double now = sg_now();
    sg_buf body = {0};

    w->busy = true;
    w->counted = l->due >= l->begin;
    w->due = l->due;
    w->sent = w->n_head = 0;
    w->has_head = w->closes = false;
    w->left = 0;
    l->spec->body(l->spec->ctx, draw_body(l), &body);
    w->out.size = 0;
    sg_buf_printf(&w->out, "POST %s HTTP/1.1\r\nHost: %s\r\n", l->c->path, l->host);
    if (l->spec->key)
        sg_buf_printf(&w->out, "Authorization: Bearer %s\r\n", l->spec->key);
    sg_buf_printf(&w->out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body.size);
    sg_buf_add(&w->out, body.data, body.size);
    if (w->counted) {
        l->r->due++;
        sg_spread_add(&l->r->delay, now - w->due);
    }
    if (body.failed || w->out.failed)
        count_broken(l, w, "out of memory");
    else if (w->fd < 0 && !dial(l, w))
        count_broken(l, w, strerror(errno));
    else
        work_on(l, w);
    sg_buf_free(&body);
}

/* ---- the loop ------------------------------------------------------------------------------------------- */
static void start_due(load *l)
{
    const double now = sg_now();

    while (l->due < l->end && l->due <= now) {
        if (now > l->due + l->c->timeout) { /* nobody waits for it any more */
            l->r->due += l->due >= l->begin;
            l->r->late += l->due >= l->begin;
        } else if (l->n_free) {
            start(l, &l->wires[l->free[--l->n_free]]);
        } else {
            return;
        }
        next_due(l);
    }
}

static void give_up_late(load *l)
{
    const double now = sg_now();

    for (int i = 0; i < l->c->connections; i++) {
        wire *w = &l->wires[i];

        if (w->busy && now > w->due + l->c->timeout) {
            l->r->timeouts += w->counted;
            hang_up(l, w);
            let_go(l, w);
        }
    }
}

static void set_timer(const load *l, double at)
{
    const time_t seconds = (time_t)at;
    const struct itimerspec t = {.it_value = {seconds, (long)((at - (double)seconds) * 1e9) + 1}};

    timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static sg_status turn(load *l, double tick, sg_error *err)
{
    struct epoll_event event[EVENTS];
    int n;

    set_timer(l, l->due < l->end && l->n_free && l->due < tick ? l->due : tick);
    if ((n = epoll_wait(l->epoll, event, EVENTS, -1)) < 0 && errno != EINTR)
        return sg_fail_errno(err, l->host, "cannot wait");
    for (int i = 0; i < n; i++) {
        wire *w = event[i].data.ptr;
        uint64_t expired;

        if (!w) {
            if (read(l->timer, &expired, sizeof expired) < 0) { /* set again meanwhile */
            }
        } else if (w->busy) {
            work_on(l, w);
        } else if (w->fd >= 0 && (event[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
            hang_up(l, w); /* idle: the server has its reasons */
        }
    }
    return SG_OK;
}

static sg_status run(load *l, sg_error *err)
{
    const double start_time = sg_now();
    sg_progress_event e = {
        .stage = "load", .unit = "seconds", .total = l->c->warmup + l->c->seconds, .loss = (double)NAN};
    double tick = start_time;
    sg_status st = SG_OK;

    l->begin = start_time + l->c->warmup;
    l->end = l->begin + l->c->seconds;
    l->due = start_time;
    next_due(l);
    while (!st && (l->due < l->end || l->n_free < l->c->connections)) {
        start_due(l);
        if (sg_now() >= tick) {
            give_up_late(l);
            e.done = sg_now() < l->end ? sg_now() - start_time : e.total;
            st = sg_progress_tick(l->spec->progress, &e, err);
            tick = sg_now() + 1.0 / TICKS_PER_SECOND;
        }
        if (!st)
            st = turn(l, tick, err);
    }
    l->r->seconds = (l->last > l->end ? l->last : l->end) - l->begin;
    return st;
}

static sg_status prepare(load *l, sg_error *err)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    sg_status st;

    if ((st = find_address(l, err)) || (st = try_address(l, err)) || (st = make_shares(l, err)))
        return st;
    l->wires = sg_alloc_zero((size_t)l->c->connections, sizeof *l->wires);
    l->free = sg_alloc_array((size_t)l->c->connections, sizeof *l->free);
    l->scratch = sg_alloc_array(SCRATCH, 1);
    if (!l->wires || !l->free || !l->scratch)
        return sg_fail_memory(err, "connections");
    for (int i = 0; i < l->c->connections; i++) {
        l->wires[i].fd = -1;
        l->free[l->n_free++] = l->c->connections - 1 - i;
    }
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->epoll < 0 || l->timer < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->timer, &e))
        return sg_fail_errno(err, l->host, "cannot wait");
    return SG_OK;
}

sg_status sg_load_run(sg_load_result *out, const sg_load_spec *spec, sg_error *err)
{
    load l = {.spec = spec, .c = spec->config, .r = out, .epoll = -1, .timer = -1};
    sg_status st;

    *out = (sg_load_result){0};
    if (!(st = prepare(&l, err)))
        st = run(&l, err);
    for (int i = 0; l.wires && i < l.c->connections; i++) {
        if (l.wires[i].fd >= 0)
            close(l.wires[i].fd);
        sg_buf_free(&l.wires[i].out);
    }
    if (l.epoll >= 0)
        close(l.epoll);
    if (l.timer >= 0)
        close(l.timer);
    sg_free(l.wires);
    sg_free(l.free);
    sg_free(l.share);
    sg_free(l.order);
    sg_free(l.scratch);
    return st;
}
