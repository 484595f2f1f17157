/* handle_model.c - what the model is asked: recommendations, in batches where requests are alike; items; the
 * model itself. */
#include "serve/server.h"

#include "base/alloc.h"
#include "serve/answer.h"
#include "serve/reply.h"

#include <stdlib.h>
#include <string.h>

enum { K_USUAL = 10, USERS_SHOWN = 5, CHILDREN_SHOWN = 512, ITEMS_SHOWN = 24 };

const sg_field sg_recommend_fields[] = {
    {"model", SG_FIELD_TEXT, .meaning = "which of the served models (the first)"},
    {"user", SG_FIELD_TEXT, .meaning = "a user of the dataset or of stored events"},
    {"history", SG_FIELD_TEXTS, .most = offsetof(sg_serve_config, history_max),
     .meaning = "or any history: item ids, oldest first"},
    {"times", SG_FIELD_INTS, .most = offsetof(sg_serve_config, history_max),
     .meaning = "when each of the history was, in seconds since 1970; for models that read times"},
    {"k", SG_FIELD_INT, .most = offsetof(sg_serve_config, k_max), .least = 1,
     .meaning = "length of the list (10)"},
    {"beam", SG_FIELD_INT, .most = offsetof(sg_serve_config, beam_max), .least = 1,
     .meaning = "prefixes kept while decoding semantic IDs (the model's own)"},
    {"seen", SG_FIELD_BOOL, .meaning = "items of the history may come back (false)"},
    {"allow", SG_FIELD_TEXTS, .most = offsetof(sg_serve_config, list_max), .meaning = "only these items"},
    {"deny", SG_FIELD_TEXTS, .most = offsetof(sg_serve_config, list_max), .meaning = "never these items"},
    {"explain", SG_FIELD_BOOL, .meaning = "why each item is there; costs about 33 recommendations (false)"},
    {"deadline_ms", SG_FIELD_INT, .least = 1, .meaning = "answered 504 when it has waited longer"},
    {.name = NULL},
};

static sg_bytes text_of(const json_t *v)
{
    return (sg_bytes){json_string_value(v), json_string_length(v)};
}

static int int_of(const sg_job *j, const char *key, int otherwise)
{
    const json_t *v = json_object_get(j->body, key);

    return json_is_integer(v) ? (int)json_integer_value(v) : otherwise;
}

bool sg_take_model(sg_server *s, sg_job *j)
{
    const json_t *wait = json_object_get(j->body, "deadline_ms"), *model = json_object_get(j->body, "model");
    double ms = s->config->deadline;

    if (json_is_string(model) && (j->model = sg_server_find(s, text_of(model))) < 0) {
        sg_reply_error(j->x, 404, "model_not_found", "model",
                       "no model is named '%.200s'; GET /v1/models lists them", json_string_value(model));
        return false;
    }
    if (json_is_integer(wait) && (ms <= 0 || (double)json_integer_value(wait) < ms))
        ms = (double)json_integer_value(wait);
    j->deadline = ms > 0 ? j->x->started + ms / 1000 : 0;
    return true;
}

bool sg_take_history(sg_server *s, sg_job *j)
{
    const json_t *user = json_object_get(j->body, "user"), *history = json_object_get(j->body, "history");
    const json_t *times = json_object_get(j->body, "times");

    if (!sg_take_model(s, j))
        return false;
    if (json_is_string(user) == json_is_array(history)) {
        sg_reply_error(j->x, 400, "invalid_request", "user",
                       json_is_string(user) ? "expected a user or a history, found both"
                                            : "expected a user or a history, found neither");
        return false;
    }
    if (history && json_is_array(history) && json_array_size(history) == 0) {
        sg_reply_error(j->x, 400, "out_of_range", "history",
                       "'history': expected at least one item, found none");
        return false;
    }
    if (json_is_array(times) && json_array_size(times) != json_array_size(history)) {
        sg_reply_error(j->x, 400, "out_of_range", "times",
                       "'times': expected one for each of %zu items of the history, found %zu",
                       json_array_size(history), json_array_size(times));
        return false;
    }
    return !json_is_string(user) || !sg_store_refuse(s, j);
}

void sg_take_length(const sg_server *s, sg_job *j)
{
    const int most = s->config->k_max;

    j->k = int_of(j, "k", K_USUAL < most ? K_USUAL : most);
    j->beam = int_of(j, "beam", 0);
}

bool sg_handle_recommend(sg_server *s, sg_job *j)
{
    if (!sg_take_history(s, j))
        return true;
    sg_take_length(s, j);
    j->keep_seen = json_is_true(json_object_get(j->body, "seen"));
    j->explain = json_is_true(json_object_get(j->body, "explain"));
    j->filtered =
        json_is_array(json_object_get(j->body, "allow")) || json_array_size(json_object_get(j->body, "deny"));
    return false;
}

bool sg_recommend_alike(void *server, const void *a, const void *b)
{
    const sg_job *x = a, *y = b;

    (void)server;
    return !x->work && !y->work && x->model == y->model && x->k == y->k && x->beam == y->beam &&
           x->keep_seen == y->keep_seen && !x->filtered && !y->filtered && !x->explain && !y->explain;
}

/* ---- a request in numbers --------------------------------------------------------------------------- */
typedef struct adding {
    sg_query *q;
    const sg_source *source;
} adding;

static sg_status add_event(void *ctx, const sg_store_event *e, sg_error *err)
{
    const adding *a = ctx;
    const int64_t last = a->q->n_history ? a->q->time[a->q->n_history - 1] : e->time;

    /* models read times as ascending; an event that came late stands where it came */
    return sg_query_add(a->q, a->source, e->item, e->time > last ? e->time : last, err);
}

static sg_status add_user(sg_query *q, sg_worker *w, const sg_serve_config *c, sg_bytes user, sg_error *err)
{
    const sg_source *source = &w->source;
    bool erased = false;
    sg_status st;

    if (!source->data && !w->store)
        return sg_fail(err, SG_ERR_USAGE,
                       "users are not known here: the server has neither a dataset nor a store");
    if (w->store && (st = sg_store_erased(w->store, user, &erased, err)))
        return st;
    if (source->data && !erased && (st = sg_query_add_user(q, source, user, err)) && st != SG_ERR_MISSING)
        return st;
    if (w->store) {
        if (q->n_history == 0)
            q->has_time = true;
        if ((st = sg_store_events(w->store, user, c->history_max, add_event, &(adding){q, source}, err)))
            return st;
    }
    if (q->n_history == 0)
        return sg_fail(err, SG_ERR_MISSING,
                       q->n_unknown ? "user '%.*s': no item of the history is in the catalogue"
                                    : "user '%.*s' is not known",
                       (int)user.size, user.data);
    return SG_OK;
}

static sg_status add_history(sg_query *q, const sg_source *source, const json_t *body, sg_error *err)
{
    const json_t *history = json_object_get(body, "history"), *times = json_object_get(body, "times");
    int64_t last = 0;
    sg_status st = SG_OK;
    json_t *id;
    size_t i;

    q->has_time = json_is_array(times);
    json_array_foreach(history, i, id)
    {
        const int64_t time = (int64_t)json_integer_value(json_array_get(times, i));

        last = i && time < last ? last : time; /* models read times as ascending */
        if ((st = sg_query_add(q, source, text_of(id), last, err)))
            return st;
    }
    if (q->n_history == 0)
        return sg_fail(err, SG_ERR_MISSING,
                       "item '%.200s' is not in the catalogue, nor is any other of the history",
                       json_string_value(json_array_get(history, 0)));
    return SG_OK;
}

static sg_status add_filter(sg_query *q, const sg_source *source, const json_t *body, sg_error *err)
{
    const json_t *allow = json_object_get(body, "allow"), *deny = json_object_get(body, "deny");
    const bool only = json_is_array(allow);
    json_t *id;
    sg_status st;
    size_t i;

    if (!only && !json_array_size(deny))
        return SG_OK;
    if ((st = sg_query_filter(q, source, !only, err)))
        return st;
    json_array_foreach(allow, i, id) sg_query_switch(q, source, text_of(id), true);
    json_array_foreach(deny, i, id) sg_query_switch(q, source, text_of(id), false);
    return SG_OK;
}

static sg_status build(sg_query *q, sg_worker *w, const sg_serve_config *c, const sg_job *j, sg_error *err)
{
    const json_t *user = json_object_get(j->body, "user");
    sg_status st;

    sg_query_start(q, j->k, j->beam, j->keep_seen);
    if ((st = json_is_string(user) ? add_user(q, w, c, text_of(user), err)
                                   : add_history(q, &w->source, j->body, err)))
        return st;
    return j->items ? sg_rank_filter(q, &w->source, j->items, err) : add_filter(q, &w->source, j->body, err);
}

/* ---- workers ---------------------------------------------------------------------------------------- */
sg_status sg_worker_init(sg_worker *w, sg_server *s, sg_error *err)
{
    const size_t batch = (size_t)s->config->batch;

    if (!(w->query = sg_alloc_zero(batch, sizeof *w->query)) ||
        !(w->key = sg_alloc_zero(batch, sizeof *w->key)) ||
        !(w->model = sg_alloc_zero((size_t)s->n_models, sizeof *w->model)))
        return sg_fail_memory(err, "workers");
    return s->spec->store ? sg_store_open(&w->store, s->spec->store, s->config->store_ms, err) : SG_OK;
}

static void drop_session(sg_worker_model *m)
{
    sg_session_free(m->session);
    sg_loaded_release(m->loaded);
    *m = (sg_worker_model){0};
}

void sg_worker_fini(sg_worker *w, const sg_server *s)
{
    for (int i = 0; w->model && i < s->n_models; i++)
        drop_session(&w->model[i]);
    sg_free(w->model);
    sg_free(w->key);
    for (int i = 0; w->query && i < s->config->batch; i++)
        sg_query_free(&w->query[i]);
    sg_free(w->query);
    sg_batch_free(&w->batch);
    sg_free(w->p);
    sg_store_close(w->store);
}

/* A session on what is served now as model i, which becomes the one at hand. */
static sg_status renew(sg_worker *w, sg_server *s, int i, sg_error *err)
{
    sg_loaded *now = sg_server_model(s, i);
    sg_worker_model *m = &w->model[i];
    sg_status st = SG_OK;

    if (now == m->loaded) {
        sg_loaded_release(now);
    } else {
        drop_session(m);
        m->loaded = now;
        if ((st = sg_session_new(&m->session, now->source.model, NULL, err)))
            drop_session(m);
    }
    w->loaded = m->loaded;
    w->session = m->session;
    return st;
}

void sg_recommend_refresh(void *server, int thread)
{
    sg_server *s = server;

    for (int i = 0; i < s->n_models; i++)
        renew(&s->worker[thread], s, i, NULL); /* without memory now, the next request tries again */
}

static bool has_role_rank(const sg_worker *w)
{
    return w->loaded->source.model->class->rank != NULL;
}

static void answer(sg_server *s, sg_worker *w, sg_job *j, const sg_query *q)
{
    const sg_source *source = &w->source;
    const json_t *user = json_object_get(j->body, "user");
    json_t *o = json_pack("{s:s, s:s, s:i, s:i}", "object", j->items ? "ranking" : "recommendation", "model",
                          sg_server_name(s, j->model, w->loaded), "history_length", (int)q->n_history,
                          "unknown", (int)q->n_unknown);
    sg_error e;
    sg_status st;

    if (json_is_string(user))
        json_object_set(o, "user", (json_t *)(uintptr_t)user);
    st = j->items     ? sg_rank_answer(o, source, q, has_role_rank(w) ? w->p : NULL, j, &e)
         : j->explain ? sg_answer_explained(o, source, q, w->session, &e)
                      : sg_answer_items(o, source, q, &e);
    if (!st && j->explain)
        st = sg_answer_history(o, source, q, &e);
    if (!st) {
        sg_reply(j->x, 200, o);
        return;
    }
    json_decref(o);
    sg_reply_status(j->x, st, &e);
}

/* Does nobody wait for it any more? Then it is answered without being computed. */
static bool given_up(sg_server *s, sg_job *j)
{
    if (atomic_load(&s->abandon))
        sg_reply_error(j->x, 503, "draining", NULL, "the server is stopping");
    else if (sg_http_gone(j->x))
        sg_reply_error(j->x, 499, "client_gone", NULL, "the client did not wait for its answer");
    else if (j->deadline > 0 && sg_now() > j->deadline)
        sg_reply_error(j->x, 504, "deadline", NULL, "the request waited longer than its deadline");
    else
        return false;
    return true;
}

/* ---- what was read before --------------------------------------------------------------------------- */
/* Gives every query the past of its history, or none of them. */
static void take_pasts(sg_worker *w, sg_job **job, sg_query **q, int n)
{
    sg_recall *r = w->loaded->recall;

    if (w->source.view &&
        w->source.view->recoded) /* a past knows items by their numbers, not by their codes */
        return;
    for (int i = 0; r && i < n; i++) {
        const json_t *user = json_object_get(job[i]->body, "user");

        q[i]->past = sg_recall_take(r, json_is_string(user) ? sg_recall_user(text_of(user)) : 0,
                                    q[i]->history, q[i]->n_history, &w->key[i]);
        if (q[i]->past)
            continue;
        for (; i >= 0; i--) { /* out of memory: read from the beginning */
            sg_recall_drop(r, q[i]->past);
            q[i]->past = NULL;
        }
        return;
    }
}

static void put_pasts(sg_worker *w, sg_query **q, int n, uint64_t ticket, bool good)
{
    for (int i = 0; i < n; i++) {
        if (q[i]->past && good)
            sg_recall_put(w->loaded->recall, q[i]->past, w->key[i], ticket);
        else
            sg_recall_drop(w->loaded->recall, q[i]->past);
        q[i]->past = NULL;
    }
}

/* Runs the queries of jobs that are alike together. */
static void run_alike(sg_server *s, sg_worker *w, sg_job **job, sg_query **q, int n, uint64_t ticket)
{
    const double start = sg_now();
    sg_error e;
    sg_status st;

    w->session->cold_share =
        job[0]->items ? 0 : (float)s->config->new_share; /* given items are scored, not mixed */
    w->session->cold_prefix = s->config->new_prefix;
    if (job[0]->items && has_role_rank(w)) {
        st = sg_rank_run(q[0], w, job[0], &e);
    } else {
        take_pasts(w, job, q, n);
        st = sg_query_run_batch(q, n, &w->batch, w->session, &e);
        put_pasts(w, q, n, ticket, !st);
    }
    w->session->cold_share = 0; /* nor do explanations want it */
    sg_metrics_batch(&s->metrics, n);
    for (int i = 0; i < n; i++) {
        if (st)
            sg_reply_status(job[i]->x, st, &e);
        else
            answer(s, w, job[i], q[i]);
        sg_http_answer(job[i]->x);
    }
    const int us = (int)((sg_now() - start) * 1e6 / n), old = atomic_load(&s->service_us);

    atomic_store(&s->service_us, old ? (7 * old + us) / 8 : us);
}

static void run_lists(sg_server *s, sg_worker *w, void **jobs, int n, sg_status none,
                      const sg_error *none_error)
{
    sg_job *live[SG_SERVE_BATCH_MAX], *group[SG_SERVE_BATCH_MAX];
    sg_query *query[SG_SERVE_BATCH_MAX];
    const uint64_t ticket = none ? 0 : sg_recall_ticket(w->loaded->recall);
    sg_error e;
    int n_live = 0;

    for (int i = 0; i < n; i++) {
        sg_job *j = jobs[i];
        sg_status st;

        if (!given_up(s, j)) {
            if (none) {
                sg_reply_status(j->x, none, none_error);
            } else if (!(st = build(&w->query[n_live], w, s->config, j, &e))) {
                live[n_live++] = j;
                continue;
            } else {
                sg_store_note(s, st, &e);
                sg_reply_status(j->x, st, &e);
            }
        }
        sg_http_answer(j->x);
    }
    /* what was put together is alike but for one thing: whether the histories have times */
    for (int timed = 0; timed < 2; timed++) {
        int n_group = 0;

        for (int i = 0; i < n_live; i++)
            if (w->query[i].has_time == timed) {
                group[n_group] = live[i];
                query[n_group++] = &w->query[i];
            }
        if (n_group)
            run_alike(s, w, group, query, n_group, ticket);
    }
    if (n_live && !atomic_exchange(&w->loaded->used, true))
        sg_lane_refresh(s->lane[SG_LANE_ADMIN]);
}

/* What is not a list comes alone. */
static void run_other(sg_server *s, sg_worker *w, sg_job *j)
{
    bool handed_on = false;

    if (given_up(s, j))
        ;
    else if (j->work == SG_WORK_TEXTS)
        sg_texts_run(s, w, j);
    else if (j->work == SG_WORK_QUERY)
        sg_retrieve_run(s, w, j);
    else if (sg_items_encode(w, j) && !(handed_on = sg_lane_put(s->lane[SG_LANE_STORE], j)))
        sg_reply_error(j->x, 429, "overloaded", NULL, "too many requests wait for the store");
    if (!handed_on)
        sg_http_answer(j->x);
}

void sg_recommend_run(void *server, int thread, void **jobs, int n)
{
    sg_server *s = server;
    sg_worker *w = &s->worker[thread];
    sg_job *first = jobs[0];
    sg_error e;
    const sg_status none = renew(w, s, first->model, &e);

    if (!none) {
        w->source = sg_source_now(w->loaded);
        w->session->offer = w->source.view ? &w->source.view->offer : NULL;
    }
    if (first->work && none) {
        sg_reply_status(first->x, none, &e);
        sg_http_answer(first->x);
    } else if (first->work) {
        run_other(s, w, first);
    } else {
        run_lists(s, w, jobs, n, none, &e);
    }
    if (!none) {
        w->session->offer = NULL;
        sg_source_let_go(&w->source, w->loaded);
    }
}

/* ---- what is there ---------------------------------------------------------------------------------- */
static json_t *some_users(const sg_dataset *d)
{
    json_t *list = json_array();

    for (int i = 0; i < USERS_SHOWN && i < d->n_users; i++) {
        const sg_bytes id = sg_strings_at(
            &d->user_ids, (size_t)i * (size_t)(d->n_users / USERS_SHOWN ? d->n_users / USERS_SHOWN : 1));

        json_array_append_new(list, json_stringn(id.data, id.size));
    }
    return list;
}

static json_t *roles_json(const sg_loaded *l)
{
    const sg_model_class *c = l->source.model->class;
    json_t *roles = json_array();

    if (c->recommend || c->score)
        json_array_append_new(roles, json_string("recommend"));
    if (c->rank)
        json_array_append_new(roles, json_string("rank"));
    if (c->retrieve)
        json_array_append_new(roles, json_string("retrieve"));
    return roles;
}

/* The encoder of texts, under the name that POST /v1/embeddings knows it by. */
static json_t *encoder_json(const sg_loaded *l)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:s, s:[s]}", "id", sg_tower_name(l->tower), "object", "model",
                          "created", (json_int_t)l->when, "owned_by", "sedge", "roles", "embed");

    if (o && sg_tower_dim(l->tower))
        json_object_set_new(o, "dimensions", json_integer(sg_tower_dim(l->tower)));
    return o;
}

/* A model and what it offers now. */
static json_t *served_json(const sg_server *s, int i, const sg_loaded *l, const sg_source *source)
{
    json_t *model = sg_model_json(source->model);

    json_object_set_new(model, "id", json_string(sg_server_name(s, i, l)));
    json_object_set_new(model, "object", json_string("model"));
    json_object_set_new(model, "created", json_integer((json_int_t)l->when));
    json_object_set_new(model, "owned_by", json_string("sedge"));
    json_object_set_new(model, "roles", roles_json(l));
    json_object_set_new(model, "items_on_offer",
                        json_integer(source->view ? source->view->n_items : source->model->n_items));
    json_object_set_new(model, "sha256", json_string(source->model->sha256));
    if (source->data)
        json_object_set_new(model, "dataset",
                            json_pack("{s:s, s:i, s:i, s:I, s:s, s:o}", "name", source->data->name, "users",
                                      (int)source->data->n_users, "items", (int)source->data->n_items,
                                      "events", (json_int_t)source->data->n_events, "sha256",
                                      source->data->sha256, "example_users", some_users(source->data)));
    return model;
}

static bool is_listed(const json_t *list, const char *id)
{
    const json_t *one;
    size_t i;

    json_array_foreach(list, i,
                       one) if (strcmp(json_string_value(json_object_get(one, "id")), id) == 0) return true;
    return false;
}

bool sg_handle_models(sg_server *s, sg_job *j)
{
    json_t *list = json_array(), *encoders = json_array();

    for (int i = 0; i < s->n_models; i++) {
        sg_loaded *l = sg_server_model(s, i);
        sg_source source = sg_source_now(l);

        json_array_append_new(list, served_json(s, i, l, &source));
        if (sg_tower_name(l->tower) && !is_listed(encoders, sg_tower_name(l->tower)))
            json_array_append_new(encoders, encoder_json(l));
        sg_source_let_go(&source, l);
        sg_loaded_release(l);
    }
    json_array_extend(list, encoders);
    json_decref(encoders);
    sg_reply(j->x, 200, json_pack("{s:s, s:o}", "object", "list", "data", list));
    return true;
}

bool sg_handle_training(sg_server *s, sg_job *j)
{
    sg_loaded *l = sg_server_loaded(s);
    json_t *o = json_pack("{s:s, s:s}", "object", "training", "model", l->source.model->class->name);

    json_object_update(o, l->training);
    sg_reply(j->x, 200, o);
    sg_loaded_release(l);
    return true;
}

/* "12,3" as codes; their number, or -1: it is no list of codes, or too long. */
static int read_codes(int32_t *codes, int most, const char *text)
{
    int n = 0;

    for (char *end; text && *text; text = *end ? end + 1 : end) {
        const long code = strtol(text, &end, 10);

        if (n == most || end == text || *text < '0' || *text > '9' || code > INT32_MAX ||
            (*end && (*end != ',' || !end[1])))
            return -1;
        codes[n++] = (int32_t)code;
    }
    return n;
}

/* The children that have items on offer, the first of them in the list; returns how many there are. */
static int32_t add_children(json_t *list, const sg_source *s, int32_t *codes, int depth, int32_t node)
{
    const sg_children below = sg_catalogue_children(sg_source_catalogue(s), depth, node);
    const bool any_gone = s->view && s->view->n_gone;
    int32_t n = 0;

    for (int32_t i = 0; i < below.n; i++) {
        if (any_gone && sg_source_below(s, depth + 1, below.first + i) == 0)
            continue;
        if (n++ >= CHILDREN_SHOWN)
            continue;
        codes[depth] = sg_child_code(&below, i);
        json_array_append_new(list, sg_source_child_json(s, codes, depth + 1, below.first + i));
    }
    return n;
}

/* Everything here is looked up, no items are walked through: it runs on the thread of HTTP. */
static json_t *prefix_json(const sg_source *s, int32_t *codes, int depth, int32_t node)
{
    const sg_catalogue *c = sg_source_catalogue(s);
    const int32_t n = sg_source_below(s, depth, node);
    json_t *o = depth ? sg_source_child_json(s, codes, depth, node)
                      : json_pack("{s:i, s:i}", "level", 0, "items", (int)n);
    json_t *children = json_array(), *items = json_array(), *path = json_array();
    int32_t first, last;

    for (int l = 0; l < depth; l++)
        json_array_append_new(path, json_integer(codes[l]));
    sg_catalogue_span(c, depth, node, &first, &last);
    if (depth < sg_catalogue_levels(c))
        json_object_set_new(o, "n_children", json_integer(add_children(children, s, codes, depth, node)));
    for (int32_t leaf = first; leaf < last && n <= ITEMS_SHOWN; leaf++)
        if (sg_source_offers(s, sg_catalogue_item(c, leaf)))
            json_array_append_new(items, sg_source_item_json(s, sg_catalogue_item(c, leaf)));
    json_object_set_new(o, "object", json_string("prefix"));
    json_object_set_new(o, "codes", path);
    json_object_set_new(o, "children", children);
    json_object_set_new(o, "below", items);
    return o;
}

bool sg_handle_prefix(sg_server *s, sg_job *j)
{
    sg_look look;

    sg_look_begin(&look, s);
    const sg_catalogue *c = sg_source_catalogue(&look.source);
    int32_t codes[SG_CATALOGUE_LEVELS_MAX + 1], node = 0;
    const int depth = c ? read_codes(codes, sg_catalogue_levels(c), j->id) : 0;

    for (int i = 0; c && i < depth && node >= 0; i++)
        node = sg_catalogue_child(c, i, node, codes[i]);
    if (!c)
        sg_reply_error(j->x, 404, "not_found", NULL, "%s has no semantic IDs",
                       look.source.model->class->name);
    else if (depth < 0)
        sg_reply_error(j->x, 400, "invalid_request", "id", "id: expected up to %d codes such as 12,3",
                       sg_catalogue_levels(c));
    else if (node < 0 || sg_source_below(&look.source, depth, node) == 0)
        sg_reply_error(j->x, 404, "not_found", "id", "no item has a semantic ID that begins with '%s'",
                       j->id);
    else
        sg_reply(j->x, 200, prefix_json(&look.source, codes, depth, node));
    sg_look_end(&look);
    return true;
}

static json_t *texts_json(const sg_dataset *d, int32_t item)
{
    json_t *o = json_object();

    for (int c = 0; c < d->n_columns; c++) {
        const sg_bytes text = sg_strings_at(&d->columns[c].text, (size_t)item);

        if (text.size)
            json_object_set_new(o, d->columns[c].name, json_stringn(text.data, text.size));
    }
    return o;
}

static void add_semantic_id(json_t *into, const sg_source *s, int32_t item)
{
    const sg_catalogue *c = sg_source_catalogue(s);
    const int levels = sg_catalogue_levels(c);
    int32_t codes[SG_CATALOGUE_LEVELS_MAX], node = 0, length;
    json_t *id = json_array(), *path = json_array();

    sg_catalogue_codes(c, item, codes);
    length = sg_catalogue_length(c, codes);
    for (int l = 0; l < levels; l++) {
        node = sg_catalogue_child(c, l, node, codes[l]);
        json_array_append_new(id, json_integer(codes[l]));
        if (l < length)
            json_array_append_new(path, sg_source_step_json(s, codes, l + 1, node));
    }
    json_object_set_new(into, "semantic_id", id);
    json_object_set_new(into, "path", path);
}

bool sg_handle_item(sg_server *s, sg_job *j)
{
    const sg_bytes id = {j->id, strlen(j->id)};
    sg_look look;

    sg_look_begin(&look, s);
    const sg_source *source = &look.source;
    const int32_t item = sg_source_offered(source, id);

    if (item < 0 && sg_source_item(source, id) >= 0) {
        sg_reply_error(j->x, 404, "removed", "id", "item '%s' was removed from the catalogue", j->id);
    } else if (item < 0) {
        sg_reply_error(j->x, 404, "not_found", "id", "item '%s' is not in the catalogue", j->id);
    } else {
        const sg_added *added = sg_source_added(source, item);
        const int32_t in_data = sg_source_data_item(source, item);
        json_t *o = sg_source_item_json(source, item);

        json_object_set_new(o, "object", json_string("item"));
        json_object_set_new(o, "added", json_boolean(added));
        if (added && sg_added_has_texts(added))
            json_object_set_new(o, "texts", sg_added_texts(added));
        else if (in_data >= 0)
            json_object_set_new(o, "texts", texts_json(source->data, in_data));
        if (added && added->expires)
            json_object_set_new(o, "expires_at", json_integer((json_int_t)added->expires));
        if (source->model->catalogue)
            add_semantic_id(o, source, item);
        sg_reply(j->x, 200, o);
    }
    sg_look_end(&look);
    return true;
}
