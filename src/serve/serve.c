/* serve.c - the life of a server: starts, answers, takes a new model, drains, ends.
 *
 * Threads: the caller's runs HTTP and answers what is quick; the model lane computes, each worker with its
 * own session; one thread writes the store, one reads users; one opens models. A model in use is held by whoever uses it, so a
 * new one takes its place at once and the old one goes when the last request on it is answered. */
#include "serve/serve.h"

#include "base/alloc.h"
#include "base/pool.h"
#include "base/utf8.h"
#include "file/json.h"
#include "serve/reply.h"
#include "serve/server.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SG_OPTION_STRUCT sg_serve_config
const sg_option sg_serve_options[] = {SG_SERVE_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
const size_t sg_n_serve_options = sizeof sg_serve_options / sizeof *sg_serve_options;

static const double TURN_SECONDS = 0.1;
static const double STORE_CHECK_SECONDS = 0.5;
enum { RELOADS_WAITING = 4 };

/* ---- log -------------------------------------------------------------------------------------------- */
static void print_time(char text[40])
{
    struct timespec t;
    struct tm d;
    char seconds[24];

    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &d);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &d);
    snprintf(text, 40, "%s.%03dZ", seconds, (int)(t.tv_nsec / 1000000));
}

static void write_line(sg_server *s, const sg_buf *line)
{
    pthread_mutex_lock(&s->log_lock);
    if (s->spec->log && !line->failed && line->data)
        s->spec->log(s->spec->log_ctx, line->data);
    pthread_mutex_unlock(&s->log_lock);
}

void sg_server_log(sg_server *s, const char *level, const char *message, json_t *members)
{
    sg_buf line = {0};
    char text[40];
    json_t *o;

    print_time(text);
    o = json_pack("{s:s, s:s, s:s}", "time", text, "level", level, "message", message);
    if (members)
        json_object_update(o, members);
    json_decref(members);
    if (o)
        sg_json_print_compact(&line, o);
    json_decref(o);
    write_line(s, &line);
    sg_buf_free(&line);
}

/* The route, not the path: ids of users do not belong in logs. Nothing here needs to be escaped, so no JSON value is built:
 * this is written for every request. */
static void log_request(sg_server *s, const sg_job *j, bool sent, double seconds)
{
    const sg_exchange *x = j->x;
    const bool error = x->status >= 500 || !sent;
    sg_buf line = {0};
    char time[40];

    if (strcmp(s->config->log, "off") == 0 ||
        (strcmp(s->config->log, "errors") == 0 && x->status < 400 && sent))
        return;
    if (x->status ==
        429) { /* a line each would be one more thing to do for a server that has too much to do */
        s->refused++;
        return;
    }
    print_time(time);
    sg_buf_printf(
        &line,
        "{\"time\": \"%s\", \"level\": \"%s\", \"message\": \"request\", \"method\": \"%s\", \"route\": "
        "\"%s\", \"status\": %d, \"ms\": %.3f, \"bytes_in\": %zu, \"bytes_out\": %zu",
        time, error ? "error" : "info", j->route ? j->route->method : "-", j->route ? j->route->path : "-",
        x->status, seconds * 1e3, x->body.size, x->answer.size);
    if (!sent)
        sg_buf_puts(&line, ", \"sent\": false");
    if (j->trace[0])
        sg_buf_printf(&line, ", \"trace_id\": \"%s\"", j->trace);
    sg_buf_putc(&line, '}');
    write_line(s, &line);
    sg_buf_free(&line);
}

/* Once a second, and at the end. */
static void log_refused(sg_server *s, bool now)
{
    const double time = sg_now();

    if (!s->refused || (!now && time - s->refused_told < 1))
        return;
    sg_server_log(s, "info", "overloaded",
                  json_pack("{s:i, s:I}", "status", 429, "requests", (json_int_t)s->refused));
    s->refused = 0;
    s->refused_told = time;
}

/* ---- the model -------------------------------------------------------------------------------------- */
sg_loaded *sg_server_model(sg_server *s, int i)
{
    sg_loaded *l;

    pthread_mutex_lock(&s->lock);
    l = s->served[i].loaded;
    sg_loaded_hold(l);
    pthread_mutex_unlock(&s->lock);
    return l;
}

sg_source sg_source_now(sg_loaded *l)
{
    const sg_view *v = sg_stock_view(l->stock);
    sg_source s = l->source;

    if (v->edited)
        s.view = v;
    else
        sg_view_release(l->stock, v);
    return s;
}

void sg_source_let_go(sg_source *s, sg_loaded *l)
{
    sg_view_release(l->stock, s->view);
    s->view = NULL;
}

void sg_look_begin(sg_look *l, sg_server *s)
{
    l->loaded = sg_server_loaded(s);
    l->source = sg_source_now(l->loaded);
}

void sg_look_end(sg_look *l)
{
    sg_source_let_go(&l->source, l->loaded);
    sg_loaded_release(l->loaded);
}

sg_loaded *sg_server_loaded(sg_server *s)
{
    return sg_server_model(s, 0);
}

const char *sg_server_name(const sg_server *s, int i, const sg_loaded *l)
{
    return s->served[i].name ? s->served[i].name : l->source.model->class->name;
}

static bool is_name(const char *name, sg_bytes given)
{
    return strlen(name) == given.size && memcmp(name, given.data, given.size) == 0;
}

int sg_server_find(sg_server *s, sg_bytes name)
{
    int found = -1;

    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n_models && found < 0; i++)
        if (is_name(sg_server_name(s, i, s->served[i].loaded), name))
            found = i;
    pthread_mutex_unlock(&s->lock);
    return found;
}

static sg_status open_model(sg_loaded **out, const sg_server *s, int i, bool verify, sg_error *err)
{
    const sg_serve_config *c = s->config;
    sg_status st = sg_loaded_open(out, s->served[i].dir, s->spec->data, s->spec->encoder, verify, err);

    if (!st && (st = sg_recall_new(&(*out)->recall, (*out)->source.model, (size_t)c->cache << 20,
                                   c->cache_seconds, err))) {
        sg_loaded_release(*out);
        *out = NULL;
    }
    return st;
}

/* "NAME=DIR" */
static sg_status take_name(sg_served *to, const char *text, sg_error *err)
{
    static const char fits[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const size_t n = strspn(text, fits);

    if (n == 0 || n > 64 || text[n] != '=' || !text[n + 1])
        return sg_fail(
            err, SG_ERR_USAGE,
            "also: expected NAME=DIR, the name of letters, digits, '.', '_' and '-', found '%.200s'", text);
    to->dir = text + n + 1;
    if (!(to->name = sg_alloc(n + 1)))
        return sg_fail_memory(err, "models");
    memcpy(to->name, text, n);
    to->name[n] = 0;
    return SG_OK;
}

static sg_status open_models(sg_server *s, sg_error *err)
{
    const sg_serve_spec *spec = s->spec;
    sg_status st;

    if (!(s->served = sg_alloc_zero(spec->n_also + 1, sizeof *s->served)))
        return sg_fail_memory(err, "models");
    s->served[0].dir = spec->model;
    for (size_t i = 0; i <= spec->n_also; i++) {
        sg_served *one = &s->served[i];

        if ((i && (st = take_name(one, spec->also[i - 1], err))) ||
            (st = open_model(&one->loaded, s, (int)i, false, err)))
            return st;
        if (i && sg_server_find(s, (sg_bytes){one->name, strlen(one->name)}) >= 0)
            return sg_fail(err, SG_ERR_USAGE, "also: a model is named '%s' already", one->name);
        s->n_models++;
    }
    return SG_OK;
}

static void close_models(sg_server *s)
{
    for (size_t i = 0; s->served && i <= s->spec->n_also; i++) {
        sg_loaded_release(s->served[i].loaded);
        sg_free(s->served[i].name);
    }
    sg_free(s->served);
}

/* What came and went, onto the stocks of new models (NULL: of those that are served). */
static sg_status fill_items(sg_server *s, sg_store *store, sg_loaded **one, sg_error *err)
{
    sg_status st = SG_OK;

    for (int i = 0; !st && i < s->n_models; i++)
        st = sg_items_fill(s, one ? one[i] : s->served[i].loaded, store, i == 0, err);
    return st;
}

/* The stocks of new models take over; no edit may come in between. */
static sg_status take_over(sg_server *s, sg_loaded **one, sg_error *err)
{
    sg_store *store = NULL;
    sg_status st;

    if (!s->spec->store)
        return SG_OK;
    if (!(st = sg_store_open(&store, s->spec->store, s->config->store_ms, err)))
        st = fill_items(s, store, one, err);
    sg_store_close(store);
    return st;
}

sg_status sg_server_reload(sg_server *s, sg_error *err)
{
    sg_loaded **one = sg_alloc_zero((size_t)s->n_models, sizeof *one); /* new, then old */
    sg_keys *keys = NULL, *keys_old;
    sg_status st = one ? SG_OK : sg_fail_memory(err, "models");

    if (!st && s->spec->key_file)
        st = sg_keys_open(&keys, s->spec->key_file, err);
    for (int i = 0; !st && i < s->n_models; i++)
        st = open_model(&one[i], s, i, true, err);
    pthread_mutex_lock(&s->items_lock);
    if (!st)
        st = take_over(s, one, err);
    if (st) {
        pthread_mutex_unlock(&s->items_lock);
        for (int i = 0; one && i < s->n_models; i++)
            sg_loaded_release(one[i]);
        sg_free(one);
        sg_keys_free(keys);
        return st;
    }
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n_models; i++) {
        sg_loaded *old = s->served[i].loaded;

        s->served[i].loaded = one[i];
        one[i] = old;
    }
    keys_old = s->keys;
    s->keys = keys;
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_unlock(&s->items_lock);
    sg_keys_free(keys_old);
    for (int i = 0; i < s->n_models; i++) {
        sg_recall_close(one[i]->recall); /* whoever still works with the old one need not keep what it read */
        sg_loaded_release(one[i]);
    }
    sg_free(one);
    sg_lane_refresh(s->lane[SG_LANE_MODEL]); /* workers that have nothing to do let go of the old one, too */
    return SG_OK;
}

/* ---- who may ---------------------------------------------------------------------------------------- */
static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* A page of another site that found out our address (its name resolves to 127.0.0.1) still sends its own
 * name. */
static bool is_local_name(const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t n = strlen(names[i]);

        if (strncasecmp(host, names[i], n) == 0 && (host[n] == 0 || host[n] == ':'))
            return true;
    }
    return false;
}

/* "https://HOST": a page that we served; anything else is another site's. */
static bool is_own_origin(const char *origin, const char *host)
{
    const char *slashes = strstr(origin, "://");

    return slashes && host && strcasecmp(slashes + 3, host) == 0;
}

static bool refuse_stranger(sg_server *s, sg_job *j)
{
    const char *host = sg_http_header(j->x, "Host"), *origin = sg_http_header(j->x, "Origin");
    const char *given = sg_http_header(j->x, "Authorization");
    sg_scope scope = SG_SCOPE_ADMIN;

    if (s->keyless_local && host && !is_local_name(host)) {
        sg_reply_error(j->x, 403, "wrong_host", NULL,
                       "without keys, requests are answered to localhost only");
        return true;
    }
    if (origin && !is_own_origin(origin, host)) {
        sg_reply_error(j->x, 403, "wrong_origin", NULL,
                       "requests from pages of other sites are not answered");
        return true;
    }
    pthread_mutex_lock(&s->lock);
    if (s->keys) {
        scope = SG_SCOPE_OPEN;
        if (given && strncasecmp(given, "Bearer ", 7) == 0)
            scope = sg_keys_scope(s->keys, given + 7, strlen(given + 7));
    }
    pthread_mutex_unlock(&s->lock);
    if (scope >= j->route->scope)
        return false;
    if (scope == SG_SCOPE_OPEN)
        sg_reply_error(j->x, 401, "invalid_api_key", NULL,
                       "expected the header 'Authorization: Bearer KEY' with a key of this server");
    else
        sg_reply_error(j->x, 403, "insufficient_scope", NULL,
                       "this key may not do that: an admin key is needed");
    return true;
}

/* ---- requests --------------------------------------------------------------------------------------- */
static int route_number(const sg_job *j)
{
    return j->route ? (int)(j->route - sg_routes) : -1;
}

/* "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" */
static void take_trace(sg_job *j)
{
    const char *t = sg_http_header(j->x, "traceparent");

    if (t && strlen(t) >= 55 && t[2] == '-' && t[35] == '-' && strspn(t + 3, "0123456789abcdef") == 32 &&
        strspn(t + 3, "0-") < 32) {
        memcpy(j->trace, t + 3, 32);
        j->trace[32] = 0;
    }
}

/* NULL: no memory; x holds the error. */
static sg_job *new_job(sg_server *s, sg_exchange *x, const char **id)
{
    sg_job *j = sg_alloc_zero(1, sizeof *j);
    int i;

    *id = NULL;
    s->active++;
    if (!j) {
        sg_reply(x, 500, NULL);
        return NULL;
    }
    i = sg_route_find(x->method, x->path, id, j->allow);
    j->x = x;
    j->route = i >= 0 ? &sg_routes[i] : NULL;
    x->user = j;
    take_trace(j);
    return j;
}

static void on_refused(void *ctx, sg_exchange *x, int status, const char *message)
{
    const char *id;

    if (new_job(ctx, x, &id))
        sg_reply_error(x, status, "bad_request", NULL, "%s", message);
}

static bool take_id(sg_server *s, sg_job *j, const char *id)
{
    if (!(j->id = sg_strdup(id))) {
        sg_reply(j->x, 500, NULL);
        return false;
    }
    if (!sg_http_unescape(j->id) || !sg_utf8_valid(j->id, strlen(j->id))) {
        sg_reply_error(j->x, 400, "invalid_request", "id",
                       "id: expected UTF-8 with %%XX for special characters");
        return false;
    }
    if (strlen(j->id) > (size_t)s->config->id_max) {
        sg_reply_error(j->x, 400, "out_of_range", "id", "'id': expected 1 to %d bytes, found %zu",
                       s->config->id_max, strlen(j->id));
        return false;
    }
    return true;
}

static bool on_headers(void *ctx, sg_exchange *x)
{
    sg_server *s = ctx;
    const char *id;
    sg_job *j = new_job(s, x, &id);

    if (!j)
        return false;
    if (!j->route && j->allow[0]) {
        x->allow = j->allow;
        sg_reply_error(x, 405, "method_not_allowed", NULL, "%.20s is not a method of %.200s; it has %s",
                       x->method, x->path, j->allow);
    } else if (!j->route) {
        sg_reply_error(x, 404, "unknown_path", NULL,
                       "%.200s is not a path of this server; GET /openapi.json lists them", x->path);
    } else if (!refuse_stranger(s, j) && (!id || take_id(s, j, id))) {
        return true;
    }
    x->close = x->close || s->draining;
    return false;
}

/* Seconds until this many requests that wait are answered, by what requests took lately. */
static double expected_wait(sg_server *s, int waiting)
{
    return 1e-6 * atomic_load(&s->service_us) * waiting / s->n_workers;
}

/* A queue of fixed length is too short for a fast model or too long for a slow one; what a caller minds is the wait. A batch for
 * each worker may always wait, so that a request which takes longer than the limit by itself does not close the door. */
static bool has_room(sg_server *s, const sg_job *j)
{
    const sg_serve_config *c = s->config;
    const int waiting = j->route->lane == SG_LANE_MODEL ? sg_lane_length(s->lane[SG_LANE_MODEL]) : 0;

    return waiting < c->batch * s->n_workers || expected_wait(s, waiting) * 1e3 <= c->queue_ms;
}

/* Time until the queue of the model lane is empty, in whole seconds. */
static int retry_after(sg_server *s)
{
    const double seconds = expected_wait(s, sg_lane_length(s->lane[SG_LANE_MODEL]));

    return seconds < 1 ? 1 : seconds > 60 ? 60 : (int)(seconds + 0.5);
}

static void refuse(sg_server *s, sg_exchange *x)
{
    x->retry_after = retry_after(s);
    sg_reply_error(x, 429, "overloaded", NULL, "too many requests wait; try again in %d s", x->retry_after);
}

static bool on_request(void *ctx, sg_exchange *x)
{
    sg_server *s = ctx;
    sg_job *j = x->user;
    bool answered = true;

    x->close = s->draining;
    if (atomic_load(&s->abandon)) { /* on a connection that was still open; the lanes are gone */
        sg_reply_error(x, 503, "draining", NULL, "the server is stopping");
        return true;
    }
    if (j->route->lane == SG_LANE_MODEL &&
        !has_room(s, j)) { /* before the body is looked at: that costs more than the answer */
        refuse(s, x);
        return true;
    }
    if (!j->route->fields || (j->body = sg_fields_read(x, j->route->fields, s->config)))
        answered = j->route->handle(s, j);
    if (!answered && !sg_lane_put(s->lane[j->route->lane], j)) {
        refuse(s, x);
        answered = true;
    }
    return answered;
}

static void on_done(void *ctx, sg_exchange *x, bool sent)
{
    sg_server *s = ctx;
    sg_job *j = x->user;
    const double seconds = sg_now() - x->started;

    s->active--;
    if (!j)
        return;
    sg_metrics_answer(&s->metrics, route_number(j), sent ? x->status : 499, seconds);
    log_request(s, j, sent, seconds);
    json_decref(j->body);
    sg_loaded_release(j->loaded);
    sg_free(j->x_items);
    sg_free(j->id);
    sg_free(j);
}

/* ---- life ------------------------------------------------------------------------------------------- */
static sg_status start_lanes(sg_server *s, sg_error *err)
{
    const sg_serve_config *c = s->config;
    const sg_lane_spec model = {.threads = s->n_workers,
                                .cap = c->queue,
                                .batch = c->batch,
                                .wait = c->batch_wait * 1e-6,
                                .ctx = s,
                                .alike = sg_recommend_alike,
                                .run = sg_recommend_run,
                                .refresh = sg_recommend_refresh};
    const sg_lane_spec store = {.threads = 1,
                                .cap = c->queue,
                                .batch = SG_STORE_BATCH,
                                .ctx = s,
                                .run = sg_store_run,
                                .refresh = sg_store_refresh};
    const sg_lane_spec users = {.threads = 1,
                                .cap = c->queue,
                                .batch = 1,
                                .ctx = s,
                                .run = sg_users_run,
                                .refresh = sg_users_refresh};
    const sg_lane_spec admin = {.threads = 1,
                                .cap = RELOADS_WAITING,
                                .batch = 1,
                                .ctx = s,
                                .run = sg_admin_run,
                                .refresh = sg_admin_refresh};
    sg_status st;

    if (!(s->worker = sg_alloc_zero((size_t)s->n_workers, sizeof *s->worker)))
        return sg_fail_memory(err, "workers");
    for (int i = 0; i < s->n_workers; i++)
        if ((st = sg_worker_init(&s->worker[i], s, err)))
            return st;
    if ((st = sg_lane_new(&s->lane[SG_LANE_MODEL], &model, err)) ||
        (st = sg_lane_new(&s->lane[SG_LANE_STORE], &store, err)) ||
        (st = sg_lane_new(&s->lane[SG_LANE_USERS], &users, err)) ||
        (st = sg_lane_new(&s->lane[SG_LANE_ADMIN], &admin, err)))
        return st;
    sg_lane_refresh(s->lane[SG_LANE_MODEL]); /* the first request finds its session made */
    return SG_OK;
}

static sg_status listen_for_requests(sg_server *s, sg_error *err)
{
    const sg_serve_config *c = s->config;
    const sg_http_spec spec = {.address = c->address,
                               .port = c->port,
                               .connections = c->connections_max,
                               .connections_address = c->address_max,
                               .header_bytes = (size_t)c->header_max,
                               .body_bytes = (size_t)c->body_max,
                               .header_seconds = c->header_ms / 1e3,
                               .body_seconds = c->body_ms / 1e3,
                               .write_seconds = c->write_ms / 1e3,
                               .idle_seconds = c->idle_ms / 1e3,
                               .ctx = s,
                               .headers = on_headers,
                               .request = on_request,
                               .done = on_done,
                               .refuse = on_refused};

    return sg_http_open(&s->http, &spec, err);
}

static sg_status open_store(sg_server *s, sg_error *err)
{
    const char *where = s->spec->store;
    sg_status st;

    if (!where)
        return SG_OK;
    if (sg_store_id_max(where) && s->config->id_max > sg_store_id_max(where))
        return sg_fail(err, SG_ERR_USAGE, "id_max: expected at most %d with this store, found %d",
                       sg_store_id_max(where), s->config->id_max);
    if ((st = sg_store_open(&s->store_write, where, s->config->store_ms, err)))
        return st;
    return sg_store_open(&s->store_read, where, s->config->store_ms, err);
}

static sg_status start(sg_server *s, sg_error *err)
{
    const sg_serve_spec *spec = s->spec;
    sg_status st;

    if (!is_loopback(s->config->address) && !spec->key_file && !spec->insecure)
        return sg_fail(err, SG_ERR_USAGE,
                       "address '%s' can be reached by others: expected --key-file FILE, or --insecure when "
                       "something else keeps "
                       "strangers out",
                       s->config->address);
    if ((spec->key_file && (st = sg_keys_open(&s->keys, spec->key_file, err))) ||
        (st = open_models(s, err)) || (st = open_store(s, err)) ||
        (s->store_read && (st = fill_items(s, s->store_read, NULL, err))) ||
        (st = sg_metrics_init(&s->metrics, sg_n_routes, err)) || (st = start_lanes(s, err)))
        return st;
    s->keyless_local = !s->keys && !spec->insecure;
    return listen_for_requests(s, err);
}

/* Turns until every answer that was promised is sent, at most this long. */
static void finish_answers(sg_server *s, double seconds)
{
    const double until = sg_now() + seconds;

    while (s->active > 0 && sg_now() < until && !sg_http_turn(s->http, TURN_SECONDS, NULL))
        ;
}

/* The loop turns ten times a second. */
static bool expiry_is_due(sg_server *s)
{
    const int64_t now = (int64_t)time(NULL);
    bool due = false;

    for (int i = 0; i < s->n_models; i++) {
        sg_loaded *l = sg_server_model(s, i);

        due |= sg_stock_next_expiry(l->stock) <= now;
        sg_loaded_release(l);
    }
    return due;
}

/* A store that went away is found out, and one that is back, whether or not somebody asks for users. */
static void check_store(sg_server *s)
{
    const double now = sg_now();

    if (!s->store_read || now - s->store_checked < STORE_CHECK_SECONDS)
        return;
    s->store_checked = now;
    sg_lane_refresh(s->lane[SG_LANE_USERS]);
}

/* Once a second. */
static void sweep(sg_server *s)
{
    const double now = sg_now();

    if (now - s->swept < 1)
        return;
    s->swept = now;
    for (int i = 0; i < s->n_models; i++) {
        sg_loaded *l = sg_server_model(s, i);

        sg_recall_sweep(l->recall, now);
        sg_loaded_release(l);
    }
}

static sg_status run(sg_server *s, sg_error *err)
{
    const sg_progress_event tick = {.stage = "serve", .unit = "requests"};
    sg_status st = SG_OK;

    while (!st && !sg_progress_tick(s->spec->progress, &tick, NULL)) {
        check_store(s);
        st = sg_http_turn(s->http, TURN_SECONDS, err);
        if (expiry_is_due(s))
            sg_lane_refresh(s->lane[SG_LANE_STORE]);
        sweep(s);
        log_refused(s, false);
    }
    log_refused(s, true);
    s->draining = true;
    sg_server_log(s, "info", "draining", json_pack("{s:i}", "requests", s->active));
    if (!st)
        st = sg_http_turn(s->http, 0,
                          err); /* connections that the system has accepted for us are answered, too */
    sg_http_stop_listening(s->http);
    if (!st) {
        sg_http_turn(s->http, 0, NULL);
        finish_answers(s, s->config->drain / 1e3);
    }
    return st;
}

static void stop(sg_server *s)
{
    atomic_store(&s->abandon, true); /* what still waits after the drain time is answered, not computed */
    for (int i = 0; i < SG_N_LANES; i++)
        sg_lane_free(s->lane[i]);
    if (s->http)
        finish_answers(s, 1);
    sg_http_close(s->http);
    for (int i = 0; s->worker && i < s->n_workers; i++)
        sg_worker_fini(&s->worker[i], s);
    sg_free(s->worker);
    sg_store_close(s->store_read);
    sg_store_close(s->store_write);
    close_models(s);
    sg_keys_free(s->keys);
    sg_metrics_fini(&s->metrics);
    pthread_mutex_destroy(&s->items_lock);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->log_lock);
}

sg_status sg_serve(const sg_serve_spec *spec, sg_error *err)
{
    sg_server s = {.spec = spec, .config = spec->config, .started = time(NULL)};
    const double begun = sg_now();
    sg_status st;

    s.n_workers = spec->threads > 0 ? spec->threads : sg_cores();
    atomic_init(&s.abandon, false);
    atomic_init(&s.store_away, false);
    atomic_init(&s.service_us, 0);
    pthread_mutex_init(&s.items_lock, NULL);
    pthread_mutex_init(&s.lock, NULL);
    pthread_mutex_init(&s.log_lock, NULL);
    if (!(st = start(&s, err))) {
        sg_server_log(&s, "info", "listening",
                      json_pack("{s:s, s:i, s:s, s:i, s:b, s:i, s:f}", "address", s.config->address, "port",
                                sg_http_port(s.http), "model", s.served[0].loaded->source.model->class->name,
                                "items", (int)s.served[0].loaded->source.model->n_items, "keys",
                                s.keys != NULL, "workers", s.n_workers, "start_ms",
                                (double)(int64_t)((sg_now() - begun) * 1e6) / 1000));
        st = run(&s, err);
        sg_server_log(&s, "info", "stopped", NULL);
    }
    stop(&s);
    return st;
}
