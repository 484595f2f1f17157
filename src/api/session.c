/* session.c - models, datasets and sessions of the public interface; a request by history or by user. */
#include "api/session.h"

#include "base/alloc.h"

#include <string.h>

/* ---- handles -------------------------------------------------------------------------------------------------------- */
int sedge_model_open(sedge_model **out, const char *dir, sedge_error *err)
{
    api_call c;
    sg_status st = api_begin(&c, NULL, 0, NULL);
    sedge_model *m = NULL;

    *out = NULL;
    if (!st && !(st = api_need(dir, "a model folder", &c.err)) && !(m = sg_alloc_zero(1, sizeof *m)))
        st = sg_fail_memory(&c.err, "model");
    if (!st && !(st = sg_model_open(&m->model, dir, &c.err))) {
        sg_model_item(m->model, (sg_bytes){"", 0}); /* builds the index of ids: from here on the model never changes */
        *out = m;
        m = NULL;
    }
    sg_free(m);
    return api_end(&c, st, NULL, err);
}

void sedge_model_free(sedge_model *m)
{
    if (m)
        sg_model_free(m->model);
    sg_free(m);
}

const char *sedge_model_name(const sedge_model *m)
{
    return m->model->class->name;
}

size_t sedge_model_items(const sedge_model *m)
{
    return (size_t)m->model->n_items;
}

int sedge_model_item(const sedge_model *m, size_t i, const char **id, size_t *size, sedge_error *err)
{
    sg_error e = {0};

    if (i >= m->model->item_ids.n)
        return api_error(err, &e, sg_fail(&e, SG_ERR_USAGE, "expected an item below %zu, found %zu", m->model->item_ids.n, i));
    const sg_bytes text = sg_strings_at(&m->model->item_ids, i);
    *id = text.data;
    *size = text.size;
    return api_error(err, &e, SG_OK);
}

int sedge_data_open(sedge_data **out, const char *dir, sedge_error *err)
{
    api_call c;
    sg_status st = api_begin(&c, NULL, 0, NULL);
    sedge_data *d = NULL;

    *out = NULL;
    if (!st && !(st = api_need(dir, "a dataset folder", &c.err)) && !(d = sg_alloc_zero(1, sizeof *d)))
        st = sg_fail_memory(&c.err, "dataset");
    if (!st && !(st = sg_dataset_open(&d->set, dir, &c.err))) {
        sg_dataset_item(d->set, (sg_bytes){"", 0}); /* builds the indexes: from here on the dataset never changes */
        sg_dataset_user(d->set, (sg_bytes){"", 0});
        *out = d;
        d = NULL;
    }
    sg_free(d);
    return api_end(&c, st, NULL, err);
}

void sedge_data_free(sedge_data *d)
{
    if (d)
        sg_dataset_close(d->set);
    sg_free(d);
}

int sedge_session_new(sedge_session **out, const sedge_model *m, const sedge_session_params *given, sedge_error *err)
{
    sedge_session_params p = {.size = sizeof p};
    sedge_session *s = sg_alloc_zero(1, sizeof *s);
    sg_error e;
    sg_status st;

    *out = NULL;
    if (given)
        memcpy(&p, given, given->size < sizeof p ? given->size : sizeof p);
    if (!s)
        return api_error(err, &e, sg_fail_memory(&e, "session"));
    s->model = m;
    s->data = p.data;
    if (p.threads < 0 || p.beam < 0)
        st = sg_fail(&e, SG_ERR_USAGE, "session: threads and beam may not be negative");
    else if (p.threads > 1)
        st = sg_pool_new(&s->pool, p.threads, &e);
    else
        st = SG_OK;
    if (!st && !(st = sg_session_new(&s->session, m->model, s->pool, &e))) {
        const char *sha = json_string_value(json_object_get(json_object_get(m->model->receipt, "data"), "sha256"));

        s->session->beam = p.beam;
        s->session->complete = p.complete != 0;
        s->same_items = s->data && api_same_items(m->model, s->data->set);
        s->same_data = s->data && sha && strcmp(sha, s->data->set->sha256) == 0;
        *out = s;
        s = NULL;
    }
    sedge_session_free(s);
    return api_error(err, &e, st);
}

void sedge_session_free(sedge_session *s)
{
    if (!s)
        return;
    sg_session_free(s->session);
    sg_pool_free(s->pool);
    sg_free(s->history);
    sg_free(s->time);
    sg_free(s->allow);
    sg_free(s->item);
    sg_free(s->score);
    sg_buf_free(&s->text);
    sg_free(s);
}

/* ---- a request in numbers --------------------------------------------------------------------------------------------- */
static int32_t model_item(const sedge_session *s, sg_bytes id)
{
    return sg_model_item(s->model->model, id); /* only reads: the index was built when the model was opened */
}

int32_t api_data_item(const sedge_session *s, int32_t item)
{
    if (!s->data)
        return -1;
    return s->same_items ? item : sg_dataset_item(s->data->set, sg_strings_at(&s->model->model->item_ids, (size_t)item));
}

static sg_status history_of_user(sedge_session *s, const char *user, sg_error *err)
{
    sg_dataset *d;

    if (!s->data)
        return sg_fail(err, SG_ERR_USAGE, "user '%s': a dataset with the users' histories is needed", user);
    d = s->data->set;
    const int32_t u = sg_dataset_user(d, (sg_bytes){user, strlen(user)});

    if (u < 0)
        return sg_fail(err, SG_ERR_MISSING, "user '%s' is not in %s", user, d->dir);
    const int64_t begin = d->user_offsets[u], end = d->user_offsets[u + 1];

    if (!sg_grow(&s->history, &s->cap_history, (size_t)(end - begin), sizeof *s->history) ||
        !sg_grow(&s->time, &s->cap_time, (size_t)(end - begin), sizeof *s->time))
        return sg_fail_memory(err, "history");
    for (int64_t e = begin; e < end; e++) {
        const int32_t item = s->same_items ? d->item[e] : model_item(s, sg_strings_at(&d->item_ids, (size_t)d->item[e]));

        if (item < 0) {
            s->n_unknown++;
            continue;
        }
        s->time[s->n_history] = d->timestamp ? d->timestamp[e] : 0;
        s->history[s->n_history++] = item;
    }
    s->has_time = d->timestamp != NULL;
    s->user = s->same_data ? u : -1;
    return SG_OK;
}

static sg_status history_of_ids(sedge_session *s, const sedge_request *r, sg_error *err)
{
    if (!sg_grow(&s->history, &s->cap_history, r->n_history, sizeof *s->history))
        return sg_fail_memory(err, "history");
    for (size_t i = 0; i < r->n_history; i++) {
        const char *id = r->history[i] ? r->history[i] : "";
        const int32_t item = model_item(s, (sg_bytes){id, strlen(id)});

        if (item >= 0)
            s->history[s->n_history++] = item;
        else
            s->n_unknown++;
    }
    if (r->n_history && s->n_history == 0)
        return sg_fail(err, SG_ERR_MISSING, "item '%s' is not in the catalogue, nor is any other of the history", r->history[0] ? r->history[0] : "");
    return SG_OK;
}

static sg_status read_allow(sedge_session *s, const sedge_request *r, sg_error *err)
{
    const size_t n = (size_t)s->model->model->n_items;

    if (!(s->has_allow = r->allow || r->n_deny))
        return SG_OK;
    if (!s->allow && !(s->allow = sg_alloc_array(n, 1)))
        return sg_fail_memory(err, "filter");
    memset(s->allow, r->allow ? 0 : 1, n);
    for (size_t i = 0; r->allow && i < r->n_allow; i++) {
        const int32_t item = r->allow[i] ? model_item(s, (sg_bytes){r->allow[i], strlen(r->allow[i])}) : -1;

        if (item >= 0)
            s->allow[item] = 1;
    }
    for (size_t i = 0; i < r->n_deny; i++) {
        const int32_t item = r->deny[i] ? model_item(s, (sg_bytes){r->deny[i], strlen(r->deny[i])}) : -1;

        if (item >= 0)
            s->allow[item] = 0;
    }
    return SG_OK;
}

sg_status api_session_run(sedge_session *s, const sedge_request *given, sg_error *err)
{
    sedge_request r = {0};
    sg_status st;

    if (!given || given->size < sizeof given->size)
        return sg_fail(err, SG_ERR_USAGE, "request: expected a struct that begins with its own size");
    memcpy(&r, given, given->size < sizeof r ? given->size : sizeof r);
    const int k = r.k ? r.k : 10;
    s->n = s->n_history = s->n_unknown = 0;
    s->has_time = false;
    s->user = -1;
    if (k < 1 || k > 1000000)
        return sg_fail(err, SG_ERR_USAGE, "k: expected 1 to 1000000, found %d", k);
    if (r.user && r.n_history)
        return sg_fail(err, SG_ERR_USAGE, "expected a user or a history, found both");
    if (!r.user && !r.n_history)
        return sg_fail(err, SG_ERR_USAGE, "expected a user or a history, found neither");
    if ((st = r.user ? history_of_user(s, r.user, err) : history_of_ids(s, &r, err)) || (st = read_allow(s, &r, err)))
        return st;
    if (!sg_grow(&s->item, &s->cap_item, (size_t)k, sizeof *s->item) ||
        !sg_grow(&s->score, &s->cap_score, (size_t)k, sizeof *s->score))
        return sg_fail_memory(err, "hits");
    const int64_t offsets[] = {0, (int64_t)s->n_history};
    const sg_histories h = {.n = 1,
                            .offsets = offsets,
                            .item = s->history,
                            .timestamp = s->has_time ? s->time : NULL,
                            .user = s->user >= 0 ? &s->user : NULL};
    const sg_filter f = {.seen = !r.keep_seen, .allow = s->has_allow ? s->allow : NULL};

    if ((st = sg_session_recommend(s->session, &h, &f, k, s->item, s->score, err)))
        return st;
    while (s->n < (size_t)k && s->item[s->n] >= 0)
        s->n++;
    return SG_OK;
}

int sedge_session_recommend(sedge_session *s, const sedge_request *r, sedge_hit *hits, size_t *n_hits, sedge_error *err)
{
    sg_error e;
    sg_status st = api_session_run(s, r, &e);

    *n_hits = 0;
    if (st)
        return api_error(err, &e, st);
    s->text.size = 0;
    for (size_t i = 0; i < s->n; i++) {
        const sg_bytes id = sg_strings_at(&s->model->model->item_ids, (size_t)s->item[i]);

        sg_buf_add(&s->text, id.data, id.size);
        sg_buf_putc(&s->text, 0);
    }
    if (s->text.failed) {
        sg_buf_free(&s->text);
        return api_error(err, &e, sg_fail_memory(&e, "hits"));
    }
    const char *id = s->text.data;

    for (size_t i = 0; i < s->n; i++, id += strlen(id) + 1)
        hits[i] = (sedge_hit){.item = id, .score = s->score[i]};
    *n_hits = s->n;
    return api_error(err, &e, SG_OK);
}

int sedge_session_explain(sedge_session *s, const sedge_request *r, char **json, sedge_error *err)
{
    api_call c;
    sg_status st = api_begin(&c, NULL, 0, NULL);

    if (!st)
        st = api_session_explain(&c.result, s, r, &c.err);
    return api_end(&c, st, json, err);
}
