/* lm_tune.c - language models that learn: tune, merge. */
#include "api/api.h"

#include "lm/contrast.h"
#include "lm/merge.h"
#include "lm/tune.h"

static sg_status begin(api_call *c, sedge_tune_params *p, const sedge_tune_params *given)
{
    const sg_status st = api_begin(c, p, sizeof *p, given);

    if (st)
        return st;
    return p->model ? api_need(p->out, "a folder to write (out)", &c->err)
                    : api_need(p->model, "a model", &c->err);
}

static sg_status tune_decoder(api_call *c, const sedge_tune_params *p)
{
    sg_tune_config o;
    const api_table table = {&o, sg_tune_options, sg_n_tune_options};
    sg_pool *pool;
    sg_status st;

    api_defaults(&table, 1);
    if (!(st = api_assign(&table, 1, p->set, p->n_set, &c->err)) && !(st = api_pool(c, &pool)))
        st = sg_tune(&(sg_tune_job){p->model, p->data, p->out, p->resume != 0}, &o, pool, &c->progress,
                     &c->result, &c->err);
    return st;
}

static sg_status tune_on_pairs(api_call *c, const sedge_tune_params *p)
{
    sg_contrast_config o;
    const api_table table = {&o, sg_contrast_options, sg_n_contrast_options};
    sg_pool *pool;
    sg_status st;

    if (p->resume)
        return sg_fail(&c->err, SG_ERR_USAGE, "resume: tuning on pairs leaves no checkpoint");
    api_defaults(&table, 1);
    if (!(st = api_assign(&table, 1, p->set, p->n_set, &c->err)) && !(st = api_pool(c, &pool)))
        st = sg_contrast(p->model, p->data, p->out, &o, pool, &c->progress, &c->result, &c->err);
    return st;
}

int sedge_lm_tune(const sedge_tune_params *given, char **json, sedge_error *err)
{
    sedge_tune_params p;
    api_call c;
    sg_status st = begin(&c, &p, given);

    if (!st && !(st = api_need(p.data, "texts to learn from", &c.err)))
        st = sg_contrast_is_encoder(p.model) || sg_contrast_is_pairs(p.data) ? tune_on_pairs(&c, &p)
                                                                             : tune_decoder(&c, &p);
    return api_end(&c, st, json, err);
}

int sedge_lm_merge(const sedge_tune_params *given, char **json, sedge_error *err)
{
    sedge_tune_params p;
    sg_merge_config o;
    const api_table table = {&o, sg_merge_options, sg_n_merge_options};
    sg_pool *pool;
    api_call c;
    sg_status st = begin(&c, &p, given);

    api_defaults(&table, 1);
    if (!st && !(st = api_assign(&table, 1, p.set, p.n_set, &c.err)) && !(st = api_pool(&c, &pool)))
        st = sg_merge(p.model, p.adapter, p.out, &o, pool, &c.result, &c.err);
    return api_end(&c, st, json, err);
}
