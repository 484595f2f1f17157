/* recommend.c - the verb recommend: one request to a model folder. */
#include "api/session.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "serve/answer.h"
#include "serve/source.h"
#include "text/normalise.h"

#include <string.h>

static sg_status answer(api_call *c, sedge_session *s, const sedge_request *r, bool explain)
{
    const double start = sg_now();
    sg_status st;

    if (explain)
        st = api_session_explain(&c->result, s, r, &c->err);
    else if (!(st = api_session_run(s, r, &c->err)) &&
             !(c->result = json_pack("{s:s}", "model", s->source.model->class->name)))
        st = sg_fail_memory(&c->err, "result");
    else if (!st)
        st = sg_answer_items(c->result, &s->source, &s->query, &c->err);
    if (st)
        return st;
    if (r->user)
        json_object_set_new(c->result, "user", json_string(r->user));
    json_object_set_new(c->result, "unknown", json_integer((json_int_t)s->query.n_unknown));
    json_object_set_new(c->result, "milliseconds", json_real(1e3 * (sg_now() - start)));
    return sg_answer_history(c->result, &s->source, &s->query, &c->err);
}

/* Models read words: without any, all documents would be as good. */
static sg_status check_query(const char *text, sg_error *err)
{
    sg_words words = {0};
    sg_status st;

    if (!sg_utf8_valid(text, strlen(text)))
        return sg_fail(err, SG_ERR_USAGE, "query: expected UTF-8");
    if (!(st = sg_words_split(&words, (sg_bytes){text, strlen(text)}, err)) && words.n == 0)
        st = sg_fail(err, SG_ERR_USAGE, "query: expected a word, found '%s'", text);
    sg_words_free(&words);
    return st;
}

/* Documents for a text, with their titles where the dataset is there. */
static sg_status answer_query(api_call *c, const sg_model *m, const sg_dataset *d, const char *text,
                              const api_recommend_config *o)
{
    const sg_text_column *title = d && sg_same_items(m, d) ? sg_dataset_column(d, "title") : NULL;
    const sg_bytes query = {text, strlen(text)};
    const int k = o->k < m->n_items ? o->k : m->n_items;
    const double start = sg_now();
    int32_t *item = sg_alloc_array((size_t)k, sizeof *item);
    float *score = sg_alloc_array((size_t)k, sizeof *score);
    json_t *items = json_array();
    sg_session *s = NULL;
    sg_pool *pool;
    sg_status st = SG_OK;
    int failed = !items || !item || !score;

    if (!m->class->retrieve)
        st = sg_fail(&c->err, SG_ERR_USAGE, "query: %s answers histories, not queries", m->class->name);
    else if (!failed && !(st = api_pool(c, &pool)) && !(st = sg_session_new(&s, m, pool, &c->err))) {
        s->beam = o->beam;
        st = m->class->retrieve(s, &query, 1, k, item, score, &c->err);
    }
    for (int i = 0; !st && !failed && i < k && item[i] >= 0; i++) {
        const sg_bytes id = sg_strings_at(&m->item_ids, (size_t)item[i]);
        json_t *hit =
            json_pack("{s:i, s:s%, s:f}", "rank", i + 1, "item", id.data, id.size, "score", (double)score[i]);

        if (hit && title) {
            const sg_bytes name = sg_strings_at(&title->text, (size_t)item[i]);

            failed |= json_object_set_new(hit, "title", json_stringn(name.data, name.size));
        }
        failed |= json_array_append_new(items, hit);
    }
    if (!st &&
        (failed || !(c->result = json_pack("{s:s, s:s, s:O, s:f}", "model", m->class->name, "query", text,
                                           "items", items, "milliseconds", 1e3 * (sg_now() - start)))))
        st = sg_fail_memory(&c->err, "result");
    json_decref(items);
    sg_session_free(s);
    sg_free(item);
    sg_free(score);
    return st;
}

/* A failed call of ours as our own error. */
static sg_status taken(api_call *c, int status, const sedge_error *e)
{
    return status ? sg_fail(&c->err, (sg_status)status, "%s", e->message) : SG_OK;
}

int sedge_recommend(const sedge_recommend_params *given, char **json, sedge_error *err)
{
    sedge_recommend_params p;
    api_recommend_config o;
    const api_table tables[] = {{&o, api_recommend_options, api_n_recommend_options}};
    sedge_model *m = NULL;
    sedge_data *d = NULL;
    sedge_session *s = NULL;
    char *data = NULL;
    sedge_error e;
    api_call c;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(tables, 1);
    if (st || (st = api_need(p.model, "a model folder", &c.err)) ||
        (st = api_assign(tables, 1, p.set, p.n_set, &c.err)) ||
        (st = taken(&c, sedge_model_open(&m, p.model, &e), &e)))
        goto done;
    if (p.query && (p.user || p.n_history || p.explain)) {
        st = sg_fail(&c.err, SG_ERR_USAGE, "query: expected no user, history or explanation beside it");
        goto done;
    }
    if (p.query && (o.groups > 1 || o.temperature > 0 || o.mmr > 0 || o.seen || p.n_allow || p.n_deny)) {
        st = sg_fail(&c.err, SG_ERR_USAGE,
                     "query: expected no groups, temperature, mmr, seen, allow or deny: they are of lists "
                     "for histories");
        goto done;
    }
    if (p.query && (st = check_query(p.query, &c.err)))
        goto done;
    if (!p.data && (st = sg_source_data_dir(&data, p.model, &c.err)))
        goto done;
    p.data = p.data ? p.data : data;
    if (p.user && !p.data) {
        st = sg_fail(
            &c.err, SG_ERR_USAGE,
            "user '%s': the dataset the model learned from is not there any more; name one with --data DATA",
            p.user);
        goto done;
    }
    if (p.data && (st = taken(&c, sedge_data_open(&d, p.data, &e), &e)))
        goto done;
    if (p.query) {
        st = answer_query(&c, m->model, d ? d->set : NULL, p.query, &o);
        goto done;
    }
    const sedge_session_params sp = {.size = sizeof sp,
                                     .data = d,
                                     .threads = c.run.threads,
                                     .beam = o.beam,
                                     .plain = o.plain,
                                     .groups = o.groups,
                                     .diversity = o.diversity,
                                     .temperature = o.temperature,
                                     .seed = (uint64_t)o.seed,
                                     .mmr = o.mmr};

    if ((st = taken(&c, sedge_session_new(&s, m, &sp, &e), &e)))
        goto done;
    const sedge_request r = {.size = sizeof r,
                             .history = p.history,
                             .n_history = p.n_history,
                             .user = p.user,
                             .k = o.k,
                             .keep_seen = o.seen,
                             .allow = p.allow,
                             .n_allow = p.n_allow,
                             .deny = p.deny,
                             .n_deny = p.n_deny};
    st = answer(&c, s, &r, p.explain);
done:
    sedge_session_free(s);
    sedge_data_free(d);
    sedge_model_free(m);
    sg_free(data);
    return api_end(&c, st, json, err);
}
