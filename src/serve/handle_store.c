/* handle_store.c - users: what they did is appended, read, erased. One thread writes; requests that wait
 * together share a commit. */
#include "serve/server.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "serve/reply.h"

#include <string.h>

enum { EVENTS_SHOWN = 100 };

static const sg_field event_fields[] = {
    {"user", SG_FIELD_TEXT, .needed = true, .meaning = "who"},
    {"item", SG_FIELD_TEXT, .needed = true, .meaning = "what"},
    {"timestamp", SG_FIELD_INT, .least = 0, .meaning = "when, in seconds since 1970 (now)"},
    {"action", SG_FIELD_TEXT, .meaning = "click, buy, ..."},
    {"id", SG_FIELD_TEXT, .meaning = "name of the event: sent again under it, it is stored once"},
    {.name = NULL},
};
const sg_field sg_events_fields[] = {
    {"events", SG_FIELD_OBJECTS, .needed = true, .most = offsetof(sg_serve_config, events_max),
     .inner = event_fields, .meaning = "all of them are stored, or none"},
    {.name = NULL},
};

static sg_bytes text_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_string(v) ? (sg_bytes){json_string_value(v), json_string_length(v)} : (sg_bytes){NULL, 0};
}

static sg_bytes id_of(const sg_job *j)
{
    return (sg_bytes){j->id, strlen(j->id)};
}

bool sg_no_store(const sg_server *s, sg_job *j)
{
    if (s->store_write)
        return false;
    sg_reply_error(j->x, 501, "no_store", NULL, "this server keeps nothing; it was started without --store");
    return true;
}

bool sg_store_refuse(sg_server *s, sg_job *j)
{
    if (!atomic_load(&s->store_away))
        return false;
    sg_reply_status(j->x, SG_ERR_AWAY, NULL);
    return true;
}

void sg_store_note(sg_server *s, sg_status st, const sg_error *err)
{
    if (st == SG_ERR_AWAY && !atomic_exchange(&s->store_away, true))
        sg_server_log(s, "error", "store away", json_pack("{s:s}", "error", err->message));
}

void sg_users_refresh(void *server, int thread)
{
    sg_server *s = server;
    sg_error e;
    sg_status st;

    (void)thread;
    if (!s->store_read)
        return;
    if ((st = sg_store_check(s->store_read, &e))) /* whatever is wrong with it, it cannot be used */
        sg_store_note(s, SG_ERR_AWAY, &e);
    else if (atomic_exchange(&s->store_away, false))
        sg_server_log(s, "info", "store back", NULL);
}

/* With the header Idempotency-Key: K, events without an id get K/0, K/1, ...: the request sent again stores nothing again. */
static bool name_events(sg_server *s, sg_job *j, const json_t *events)
{
    const char *key = sg_http_header(j->x, "Idempotency-Key");
    const int most = s->config->id_max - 10; /* room for the number of an event */
    json_t *e;
    size_t i;

    if (!key)
        return true;
    if (!*key || strlen(key) > (size_t)(most > 0 ? most : 0) || !sg_utf8_valid(key, strlen(key))) {
        sg_reply_error(j->x, 400, "invalid_request", "Idempotency-Key",
                       "'Idempotency-Key': expected 1 to %d bytes of UTF-8", most > 0 ? most : 0);
        return false;
    }
    json_array_foreach(events, i, e) if (!text_of(e, "id").size &&
                                         json_object_set_new(e, "id", json_sprintf("%s/%d", key, (int)i)))
    {
        sg_reply(j->x, 500, NULL);
        return false;
    }
    return true;
}

bool sg_handle_events(sg_server *s, sg_job *j)
{
    const json_t *events = json_object_get(j->body, "events");
    json_t *e;
    size_t i;

    sg_look look;

    if (sg_no_store(s, j) || sg_store_refuse(s, j) || !name_events(s, j, events))
        return true;
    sg_look_begin(&look, s);
    json_array_foreach(events, i, e) j->n_unknown += sg_source_item(&look.source, text_of(e, "item")) < 0;
    sg_look_end(&look);
    return false;
}

bool sg_handle_erase(sg_server *s, sg_job *j)
{
    return sg_no_store(s, j) || sg_store_refuse(s, j);
}

/* ---- the writer ------------------------------------------------------------------------------------- */
static size_t count_events(const sg_job *j)
{
    return json_array_size(json_object_get(j->body, "events"));
}

static void read_events(sg_store_event *to, const sg_job *j)
{
    const json_t *time_sent;
    json_t *o;
    size_t i;

    json_array_foreach(json_object_get(j->body, "events"), i, o)
    {
        to[i] = (sg_store_event){.user = text_of(o, "user"),
                                 .item = text_of(o, "item"),
                                 .action = text_of(o, "action"),
                                 .id = text_of(o, "id"),
                                 .time = (int64_t)time(NULL)};
        if (json_is_integer(time_sent = json_object_get(o, "timestamp")))
            to[i].time = json_integer_value(time_sent);
    }
}

static void reply_stored(sg_server *s, const sg_job *j, const bool *fresh)
{
    const int n = (int)count_events(j);
    int n_fresh = 0;

    for (int i = 0; i < n; i++)
        n_fresh += fresh[i];
    atomic_fetch_add(&s->metrics.events, (uint64_t)n_fresh);
    sg_reply(j->x, 200,
             json_pack("{s:s, s:i, s:i, s:i}", "object", "events", "stored", n_fresh, "repeated", n - n_fresh,
                       "unknown_items", j->n_unknown));
}

static sg_status store_all(sg_store *store, const sg_store_event *e, bool *fresh, size_t n, sg_error *err)
{
    sg_status st = sg_store_begin(store, err);

    if (st)
        return st;
    if (!(st = sg_store_add(store, e, fresh, n, err)))
        st = sg_store_commit(store, err);
    if (st)
        sg_store_rollback(store);
    return st;
}

/* One transaction for all: a commit waits for the disk, and that costs the same for one event and for a
 * thousand. */
static sg_status append(sg_server *s, sg_job **job, int n, sg_error *err)
{
    sg_store_event *e;
    bool *fresh;
    size_t n_events = 0, at = 0;
    sg_status st;

    for (int i = 0; i < n; i++)
        n_events += count_events(job[i]);
    e = sg_alloc_array(n_events, sizeof *e);
    fresh = sg_alloc_zero(n_events, sizeof *fresh);
    for (int i = 0; e && i < n; at += count_events(job[i++]))
        read_events(e + at, job[i]);
    st = e && fresh ? store_all(s->store_write, e, fresh, n_events, err) : sg_fail_memory(err, "events");
    at = 0;
    for (int i = 0; !st && i < n; at += count_events(job[i++]))
        reply_stored(s, job[i], fresh + at);
    sg_free(e);
    sg_free(fresh);
    return st;
}

/* What was read of the user is gone before anybody hears that it is; after the commit, so that who reads the user from now on
 * finds nothing. */
static void forget(sg_server *s, const sg_job *j)
{
    for (int i = 0; i < s->n_models; i++) {
        sg_loaded *l = sg_server_model(s, i);

        sg_recall_forget(l->recall, sg_recall_user(id_of(j)));
        sg_loaded_release(l);
    }
}

static sg_status erase(sg_server *s, const sg_job *j, sg_error *err)
{
    sg_loaded *l = sg_server_loaded(s);
    const bool in_data = l->source.data && sg_dataset_user(l->source.data, id_of(j)) >= 0;
    sg_store *store = s->store_write;
    int64_t n = 0;
    sg_status st = sg_store_begin(store, err);

    sg_loaded_release(l);
    if (st)
        return st;
    if ((st = sg_store_erase(store, id_of(j), in_data, &n, err)) || (st = sg_store_commit(store, err))) {
        sg_store_rollback(store);
    } else {
        forget(s, j);
        st = sg_store_flush(store, err);
    }
    if (!st)
        sg_reply(j->x, 200,
                 json_pack("{s:s, s:s, s:I, s:b}", "object", "user.erased", "user", j->id, "events",
                           (json_int_t)n, "hidden_in_dataset", in_data));
    return st;
}

static void finish(sg_server *s, sg_job **job, int n, sg_status st, const sg_error *err)
{
    sg_store_note(s, st, err);
    if (st && st != SG_ERR_AWAY)
        sg_server_log(s, "error", "store", json_pack("{s:s}", "error", err->message));
    for (int i = 0; i < n; i++) {
        if (st) /* whatever the answer was to be, it is not on the disk */
            sg_reply_status(job[i]->x, st, err);
        sg_http_answer(job[i]->x);
    }
}

/* Items are seen once they are on the disk, and before anybody is told. l (n_models): what is served. */
static sg_status change_items(sg_server *s, sg_loaded **l, sg_job **job, int n, sg_error *err)
{
    sg_status st = sg_store_begin(s->store_write, err);

    if (st)
        return st;
    for (int i = 0; !st && i < n; i++)
        st = job[i]->work == SG_WORK_ITEMS ? sg_items_add(s, l, job[i], err)
                                           : sg_items_remove(s, l, job[i], err);
    if (!st)
        st = sg_store_commit(s->store_write, err);
    if (st) {
        sg_store_rollback(s->store_write);
        for (int i = 0; i < s->n_models; i++)
            sg_stock_undo(l[i]->stock, 0);
        return st;
    }
    for (int i = 0; i < s->n_models; i++) {
        const sg_status one = sg_stock_publish(l[i]->stock, err);

        st = st ? st : one;
    }
    return st;
}

static sg_status change_served_items(sg_server *s, sg_job **job, int n, sg_error *err)
{
    sg_loaded **l = sg_alloc_array((size_t)s->n_models, sizeof *l);
    sg_status st;

    if (!l)
        return sg_fail_memory(err, "models");
    pthread_mutex_lock(&s->items_lock);
    for (int i = 0; i < s->n_models; i++)
        l[i] = sg_server_model(s, i);
    st = change_items(s, l, job, n, err);
    for (int i = 0; i < s->n_models; i++)
        sg_loaded_release(l[i]);
    pthread_mutex_unlock(&s->items_lock);
    sg_free(l);
    return st;
}

void sg_store_refresh(void *server, int thread)
{
    (void)thread;
    sg_items_expire(server);
}

/* Requests that wait together have no order among themselves: nobody has seen the answer to one before sending another. */
void sg_store_run(void *server, int thread, void **jobs, int n)
{
    sg_server *s = server;
    sg_job *events[SG_STORE_BATCH], *erasures[SG_STORE_BATCH], *items[SG_STORE_BATCH];
    int n_events = 0, n_erasures = 0, n_items = 0;
    sg_error e;
    sg_status st;

    (void)thread;
    for (int i = 0; i < n; i++) {
        sg_job *j = jobs[i];

        if (j->work == SG_WORK_ITEMS || j->route->handle == sg_handle_remove_item)
            items[n_items++] = j;
        else if (j->body)
            events[n_events++] = j;
        else
            erasures[n_erasures++] = j;
    }
    if (n_events) {
        st = append(s, events, n_events, &e);
        finish(s, events, n_events, st, &e);
    }
    if (n_items) {
        st = change_served_items(s, items, n_items, &e);
        finish(s, items, n_items, st, &e);
    }
    for (int i = 0; i < n_erasures; i++) {
        st = erase(s, erasures[i], &e);
        finish(s, &erasures[i], 1, st, &e);
    }
}

/* ---- reading ---------------------------------------------------------------------------------------- */
typedef struct shown {
    json_t *list;
    const sg_source *source;
} shown;

static json_t *event_json(const sg_source *s, sg_bytes item, int64_t time, bool has_time, const char *from)
{
    const int32_t i = sg_source_item(s, item);
    json_t *o = i >= 0 ? sg_source_item_json(s, i) : json_pack("{s:s%}", "item", item.data, item.size);

    if (has_time)
        json_object_set_new(o, "timestamp", json_integer((json_int_t)time));
    json_object_set_new(o, "from", json_string(from));
    return o;
}

static sg_status show_event(void *ctx, const sg_store_event *e, sg_error *err)
{
    const shown *to = ctx;
    json_t *o = event_json(to->source, e->item, e->time, true, "store");

    if (e->action.size)
        json_object_set_new(o, "action", json_stringn(e->action.data, e->action.size));
    return json_array_append_new(to->list, o) ? sg_fail_memory(err, "events") : SG_OK;
}

static int64_t show_dataset(json_t *list, const sg_source *s, sg_bytes user)
{
    const sg_dataset *d = s->data;
    const int32_t u = d ? sg_dataset_user(s->data, user) : -1;
    int64_t begin, end;

    if (u < 0)
        return 0;
    begin = d->user_offsets[u];
    end = d->user_offsets[u + 1];
    for (int64_t e = end - begin > EVENTS_SHOWN ? end - EVENTS_SHOWN : begin; e < end; e++)
        json_array_append_new(list, event_json(s, sg_strings_at(&d->item_ids, (size_t)d->item[e]),
                                               d->timestamp ? d->timestamp[e] : 0, d->timestamp != NULL,
                                               "dataset"));
    return end - begin;
}

bool sg_handle_user(sg_server *s, sg_job *j)
{
    return sg_store_refuse(s, j);
}

static void show_user(sg_server *s, sg_job *j)
{
    const sg_bytes user = id_of(j);
    sg_look look;
    json_t *list = json_array();
    int64_t n_data = 0, n_store = 0;
    bool erased = false;
    sg_status st = SG_OK;
    sg_error e;

    sg_look_begin(&look, s);
    if (s->store_read)
        st = sg_store_erased(s->store_read, user, &erased, &e);
    if (!erased)
        n_data = show_dataset(list, &look.source, user);
    if (!st && s->store_read && !(st = sg_store_count(s->store_read, user, &n_store, &e)))
        st = sg_store_events(s->store_read, user, EVENTS_SHOWN, show_event, &(shown){list, &look.source}, &e);
    while (json_array_size(list) > EVENTS_SHOWN)
        json_array_remove(list, 0);
    if (st) {
        sg_store_note(s, st, &e);
        sg_reply_status(j->x, st, &e);
    } else if (n_data + n_store == 0) {
        sg_reply_error(j->x, 404, "not_found", "id", "user '%s' is not known", j->id);
    } else {
        sg_reply(j->x, 200,
                 json_pack("{s:s, s:s, s:I, s:I, s:O}", "object", "user", "user", j->id, "events_dataset",
                           (json_int_t)n_data, "events_store", (json_int_t)n_store, "events", list));
    }
    json_decref(list);
    sg_look_end(&look);
}

void sg_users_run(void *server, int thread, void **job, int n)
{
    (void)thread;
    for (int i = 0; i < n; i++) {
        sg_job *j = job[i];

        show_user(server, j);
        sg_http_answer(j->x);
    }
}
