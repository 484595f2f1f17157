/* eval.c - the verbs eval and compare. */
#include "api/api.h"

#include "base/alloc.h"
#include "base/io.h"
#include "data/synth.h"
#include "eval/eval.h"
#include "eval/retrieval.h"
#include "serve/source.h"

#include <stdlib.h>
#include <string.h>

enum { K_MAX = 16 };

/* "1,5,10" into an ascending list. */
static sg_status read_cutoffs(int *k, int *n, const char *text, sg_error *err)
{
    const char *at = text;

    for (*n = 0; *at; (*n)++) {
        char *end;
        const long x = strtol(at, &end, 10);

        if (*n == K_MAX || end == at || x < 1 || x > 1000000 || (*end && (*end != ',' || !end[1])) ||
            (*n && x <= k[*n - 1]))
            return sg_fail(err, SG_ERR_USAGE,
                           "k: expected at most %d ascending numbers such as 1,5,10, found '%s'", K_MAX,
                           text);
        k[*n] = (int)x;
        at = *end ? end + 1 : end;
    }
    return *n ? SG_OK : sg_fail(err, SG_ERR_USAGE, "k: expected numbers such as 1,5,10, found nothing");
}

static sg_eval_spec spec_of(const api_eval_config *o, const sedge_eval_params *p)
{
    return (sg_eval_spec){
        .test = strcmp(o->split, "test") == 0,
        .ties = strcmp(o->ties, "pessimistic") == 0  ? SG_TIES_PESSIMISTIC
                : strcmp(o->ties, "optimistic") == 0 ? SG_TIES_OPTIMISTIC
                                                     : SG_TIES_RANDOM,
        .seed = (uint64_t)o->seed,
        .bootstrap = o->bootstrap,
        .users_max = o->users,
        .beam = o->beam,
        .plain = o->plain,
        .free = o->free,
        .batch = o->batch,
        .exact = o->exact,
        .cold = o->cold,
        .candidates_cold = strcmp(o->candidates, "cold") == 0,
        .floors = o->floors,
        .unfiltered = strcmp(o->filter, "filtered") != 0,
        .filtered = strcmp(o->filter, "unfiltered") != 0,
        .run_path = p->run_path,
        .qrels_path = p->qrels_path,
        .per_user_path = p->per_user_path,
    };
}

/* A synthetic shop knows what can be known: its oracle stands beside the model. */
static sg_status add_oracle(api_call *c, const api_data *d, bool test, sg_pool *pool)
{
    char *path = sg_path_join(d->set->dir, "truth.json");
    json_t *oracle = NULL;
    sg_status st = SG_OK;

    if (!path)
        return sg_fail_memory(&c->err, "path");
    if (sg_file_exists(path) && !(st = sg_synth_oracle(&oracle, d->set, d->split, test, pool, &c->err)) &&
        json_object_set(c->result, "oracle", oracle))
        st = sg_fail_memory(&c->err, "oracle");
    json_decref(oracle);
    sg_free(path);
    return st;
}

/* Documents for queries: of a model, or (m NULL) of a TREC run that any system may have written. */
static sg_status eval_retrieval(api_call *c, const api_data *d, const sg_model *m, const sedge_eval_params *p,
                                sg_eval_spec *spec, sg_pool *pool)
{
    if (!d->collection)
        return sg_fail(&c->err, SG_ERR_USAGE,
                       "%s: expected a collection of documents and queries (sedge import beir), found events",
                       p->data);
    if (m && !m->class->retrieve)
        return sg_fail(&c->err, SG_ERR_USAGE, "%s: %s answers histories, and %s asks queries", p->model,
                       m->class->name, p->data);
    if (p->qrels_path || p->per_user_path)
        return sg_fail(&c->err, SG_ERR_USAGE, "qrels, per-user: not for queries");
    return sg_eval_retrieval(&c->result, m, m ? NULL : p->model, &d->train, spec, pool, &c->progress,
                             &c->err);
}

int sedge_eval(const sedge_eval_params *given, char **json, sedge_error *err)
{
    sedge_eval_params p;
    api_eval_config o, usual;
    const api_table tables[] = {{&o, api_eval_options, api_n_eval_options}};
    sg_eval_spec spec;
    int k[K_MAX];
    sg_model *m = NULL;
    api_data d = {0};
    sg_pool *pool;
    api_call c;
    bool lists;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(tables, 1);
    usual = o;
    if (st || (st = api_need(p.model, "a model folder", &c.err)) ||
        (st = api_need(p.data, "a dataset folder", &c.err)) ||
        (st = api_assign(tables, 1, p.set, p.n_set, &c.err)))
        goto done;
    spec = spec_of(&o, &p);
    lists = sg_file_exists(p.model) && !sg_dir_exists(p.model);
    if ((st = read_cutoffs(k, &spec.n_k, o.k, &c.err)) || (st = api_pool(&c, &pool)) ||
        (!lists && (st = sg_model_open_with(&m, p.model, o.model_options, &c.err))) ||
        (st = api_data_open(&d, p.data,
                            o.protocol[0] ? o.protocol
                            : m           ? api_model_protocol(m)
                                          : "loo",
                            &c.err)))
        goto done;
    spec.k = d.collection && !strcmp(o.k, usual.k) ? NULL : k; /* retrieval has its own */
    if (lists && !d.collection) {
        st = sg_model_open(&m, p.model, &c.err); /* which says that it is none */
        goto done;
    }
    if (lists) {
        st = eval_retrieval(&c, &d, NULL, &p, &spec, pool);
        goto done;
    }
    if (!sg_same_items(m, d.set)) {
        st = sg_fail(&c.err, SG_ERR_USAGE, "%s: learned from other items than %s holds (%d and %d)", p.model,
                     p.data, (int)m->n_items, (int)d.set->n_items);
        goto done;
    }
    if (d.collection || !d.set->n_events ||
        (m->class->retrieve && !m->class->recommend && !m->class->score)) {
        st = eval_retrieval(&c, &d, m, &p, &spec, pool);
        goto done;
    }
    if (!(st = sg_eval(&c.result, m, &d.train, &spec, pool, &c.progress, &c.err)) && o.oracle && !o.cold &&
        !spec.candidates_cold)
        st = add_oracle(&c, &d, spec.test, pool);
done:
    sg_model_free(m);
    api_data_close(&d);
    return api_end(&c, st, json, err);
}

int sedge_compare(const sedge_compare_params *given, char **json, sedge_error *err)
{
    sedge_compare_params p;
    api_compare_config o;
    const api_table tables[] = {{&o, api_compare_options, api_n_compare_options}};
    api_call c;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(tables, 1);
    if (!st && !(st = api_need(p.a, "two files of ranks", &c.err)) &&
        !(st = api_need(p.b, "two files of ranks", &c.err)) &&
        !(st = api_assign(tables, 1, p.set, p.n_set, &c.err)))
        st = sg_eval_compare(&c.result, p.a, p.b, o.resamples, (uint64_t)o.seed, &c.err);
    return api_end(&c, st, json, err);
}
