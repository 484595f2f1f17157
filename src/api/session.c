/* session.c - models, datasets and sessions of the public interface; a request by history or by user. */
#include "api/session.h"

#include "serve/answer.h"

#include "base/alloc.h"

#include <string.h>

/* ---- handles ---------------------------------------------------------------------------------------- */
int sedge_model_open(sedge_model **out, const char *dir, sedge_error *err)
{
    api_call c;
    sg_status st = api_begin(&c, NULL, 0, NULL);
    sedge_model *m = NULL;

    *out = NULL;
    if (!st && !(st = api_need(dir, "a model folder", &c.err)) && !(m = sg_alloc_zero(1, sizeof *m)))
        st = sg_fail_memory(&c.err, "model");
    if (!st && !(st = sg_model_open(&m->model, dir, &c.err))) {
        sg_model_item(m->model,
                      (sg_bytes){"", 0}); /* builds the index of ids: from here on the model never changes */
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
        return api_error(
            err, &e,
            sg_fail(&e, SG_ERR_USAGE, "expected an item below %zu, found %zu", m->model->item_ids.n, i));
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
        sg_dataset_item(d->set,
                        (sg_bytes){"", 0}); /* builds the indexes: from here on the dataset never changes */
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

int sedge_session_new(sedge_session **out, const sedge_model *m, const sedge_session_params *given,
                      sedge_error *err)
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
    sg_source_init(&s->source, m->model, p.data ? p.data->set : NULL);
    s->beam = p.beam;
    if (!(p.mmr >= 0 && p.mmr <= 1))
        st = sg_fail(&e, SG_ERR_USAGE, "session: expected mmr from 0 to 1, found %g", p.mmr);
    else if (p.threads < 0 || p.beam < 0)
        st = sg_fail(&e, SG_ERR_USAGE, "session: threads and beam may not be negative");
    else if (p.threads > 1)
        st = sg_pool_new(&s->pool, p.threads, &e);
    else
        st = SG_OK;
    if (!st && !(st = sg_session_new(&s->session, m->model, s->pool, &e))) {
        s->session->plain = p.plain != 0;
        s->session->groups = p.groups;
        s->session->diversity = (float)p.diversity;
        s->session->temperature = (float)p.temperature;
        s->session->seed = p.seed;
        s->session->apart = (float)p.mmr;
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
    sg_query_free(&s->query);
    sg_source_fini(&s->source);
    sg_buf_free(&s->text);
    sg_free(s);
}

/* ---- a request in numbers --------------------------------------------------------------------------- */
static sg_bytes text_of(const char *id)
{
    return id ? (sg_bytes){id, strlen(id)} : (sg_bytes){"", 0};
}

static sg_status history_of_ids(sedge_session *s, const sedge_request *r, sg_error *err)
{
    sg_status st = SG_OK;

    for (size_t i = 0; !st && i < r->n_history; i++)
        st = sg_query_add(&s->query, &s->source, text_of(r->history[i]), 0, err);
    if (!st && r->n_history && s->query.n_history == 0)
        st =
            sg_fail(err, SG_ERR_MISSING, "item '%s' is not in the catalogue, nor is any other of the history",
                    text_of(r->history[0]).data);
    return st;
}

static sg_status read_filter(sedge_session *s, const sedge_request *r, sg_error *err)
{
    sg_status st;

    if (!r->allow && !r->n_deny)
        return SG_OK;
    if ((st = sg_query_filter(&s->query, &s->source, !r->allow, err)))
        return st;
    for (size_t i = 0; r->allow && i < r->n_allow; i++)
        sg_query_switch(&s->query, &s->source, text_of(r->allow[i]), true);
    for (size_t i = 0; i < r->n_deny; i++)
        sg_query_switch(&s->query, &s->source, text_of(r->deny[i]), false);
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

    sg_query_start(&s->query, k, s->beam, r.keep_seen);
    if (k < 1 || k > 1000000)
        return sg_fail(err, SG_ERR_USAGE, "k: expected 1 to 1000000, found %d", k);
    if (r.user && r.n_history)
        return sg_fail(err, SG_ERR_USAGE, "expected a user or a history, found both");
    if (!r.user && !r.n_history)
        return sg_fail(err, SG_ERR_USAGE, "expected a user or a history, found neither");
    if ((st = r.user ? sg_query_add_user(&s->query, &s->source, text_of(r.user), err)
                     : history_of_ids(s, &r, err)) ||
        (st = read_filter(s, &r, err)))
        return st;
    return sg_query_run(&s->query, s->session, err);
}

sg_status api_session_explain(json_t **out, sedge_session *s, const sedge_request *r, sg_error *err)
{
    sg_status st = api_session_run(s, r, err);

    *out = NULL;
    if (st || (st = sg_source_meanings(&s->source, err)))
        return st;
    if (!(*out = json_pack("{s:s}", "model", s->source.model->class->name)))
        return sg_fail_memory(err, "explanation");
    return sg_answer_explained(*out, &s->source, &s->query, s->session, err);
}

int sedge_session_recommend(sedge_session *s, const sedge_request *r, sedge_hit *hits, size_t *n_hits,
                            sedge_error *err)
{
    sg_error e;
    sg_status st = api_session_run(s, r, &e);

    *n_hits = 0;
    if (st)
        return api_error(err, &e, st);
    s->text.size = 0;
    for (size_t i = 0; i < s->query.n; i++) {
        const sg_bytes id = sg_strings_at(&s->source.model->item_ids, (size_t)s->query.item[i]);

        sg_buf_add(&s->text, id.data, id.size);
        sg_buf_putc(&s->text, 0);
    }
    if (s->text.failed) {
        sg_buf_free(&s->text);
        return api_error(err, &e, sg_fail_memory(&e, "hits"));
    }
    const char *id = s->text.data;

    for (size_t i = 0; i < s->query.n; i++, id += strlen(id) + 1)
        hits[i] = (sedge_hit){.item = id, .score = s->query.score[i]};
    *n_hits = s->query.n;
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
