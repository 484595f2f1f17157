/* recommend.c - the verb recommend: one request to a model folder. */
#include "api/session.h"

#include "base/alloc.h"
#include "serve/answer.h"

static sg_status answer(api_call *c, sedge_session *s, const sedge_request *r, bool explain)
{
    const double start = sg_now();
    sg_status st;

    if (explain)
        st = api_session_explain(&c->result, s, r, &c->err);
    else if (!(st = api_session_run(s, r, &c->err)) && !(c->result = json_pack("{s:s}", "model", s->source.model->class->name)))
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
    if (st || (st = api_need(p.model, "a model folder", &c.err)) || (st = api_assign(tables, 1, p.set, p.n_set, &c.err)) ||
        (st = taken(&c, sedge_model_open(&m, p.model, &e), &e)))
        goto done;
    if (!p.data && (st = sg_source_data_dir(&data, p.model, &c.err)))
        goto done;
    p.data = p.data ? p.data : data;
    if (p.user && !p.data) {
        st = sg_fail(&c.err, SG_ERR_USAGE, "user '%s': the dataset the model learned from is not there any more; name one with --data DATA",
                     p.user);
        goto done;
    }
    if (p.data && (st = taken(&c, sedge_data_open(&d, p.data, &e), &e)))
        goto done;
    const sedge_session_params sp = {.size = sizeof sp, .data = d, .threads = c.run.threads, .beam = o.beam, .plain = o.plain,
                                     .groups = o.groups, .diversity = o.diversity, .temperature = o.temperature,
                                     .seed = (uint64_t)o.seed, .mmr = o.mmr};

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
