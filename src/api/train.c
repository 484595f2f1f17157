/* train.c - the verb train: a dataset and options in, a model folder out. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "api/api.h"
#include "api/recipe.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/receipt.h"
#include "file/state.h"
#include "math/gemm.h"
#include "models/prefixes.h"
#include "models/tower.h"
#include "quantize/tokenize.h"
#include "train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    sg_model *model;
    sg_train_spec spec;
    api_train_config run;
    api_data data;
} job;

static sg_status read_options(api_call *c, job *j, const sedge_train_params *p)
{
    const api_table tables[] = {{j->model->config, j->model->class->options, j->model->class->n_options},
                                {&j->spec.config, sg_train_options, sg_n_train_options},
                                {&j->run, api_train_options, api_n_train_options}};
    sg_status st = SG_OK;

    api_defaults(tables + 1, 2);
    if (p->recipe)
        st = api_recipe_train(p->recipe, p->model, tables, 3, &c->err);
    if (st || (st = api_assign(tables, 3, p->set, p->n_set, &c->err)))
        return st;
    j->spec.seed = (uint64_t)j->run.seed;
    j->spec.resume = p->resume;
    j->spec.precision = strcmp(j->run.precision, "auto") == 0   ? sg_precision_best()
                        : strcmp(j->run.precision, "bf16") == 0 ? SG_BF16
                                                                : SG_F32;
    return SG_OK;
}

/* A run that was stopped is worth hours: it is continued or removed on purpose, never by accident. */
static sg_status check_unfinished(api_call *c, const sedge_train_params *p)
{
    char *path = sg_path_join(p->out, "checkpoint");
    bool unfinished;

    sg_state_sweep(p->out);
    unfinished = path && sg_dir_exists(path);
    sg_free(path);
    if (!path)
        return sg_fail_memory(&c->err, "path");
    if (unfinished && !p->resume)
        return sg_fail(&c->err, SG_ERR_USAGE,
                       "%s: holds an unfinished run; go on with --resume, or remove %s/checkpoint", p->out,
                       p->out);
    return sg_model_save_check(p->out, &c->err); /* now, not after hours */
}

/* DIR/training.json: where the data lay, with which options, how it went. */
static sg_status write_training(api_call *c, const job *j, const sedge_train_params *p)
{
    char *path = sg_path_join(p->out, "training.json"), *data = realpath(p->data, NULL);
    json_t *all = json_pack("{s:s, s:s, s:O}", "model", j->model->class->name, "data", data ? data : p->data,
                            "report", c->result);
    sg_status st;

    st = path && all ? sg_json_write(path, all, &c->err) : sg_fail_memory(&c->err, "training.json");
    json_decref(all);
    free(data);
    sg_free(path);
    return st;
}

/* DIR/ids.json: what the prefixes of semantic IDs mean, so that explanations need no dataset. */
static sg_status write_meanings(api_call *c, const job *j, const sedge_train_params *p)
{
    json_t *report;
    sg_status st;

    if (!j->model->class->needs_ids)
        return SG_OK;
    if ((st = sg_ids_report(&report, j->data.set, j->data.ids.levels, 5, &c->err)))
        return st;
    st = sg_prefixes_save(p->out, report, &c->err);
    json_decref(report);
    return st;
}

static sg_status add_receipt(api_call *c, job *j)
{
    json_t *training;
    sg_status st;

    if (!j->model->class->loss)
        return SG_OK;
    training = sg_receipt_options(&j->spec.config, sg_train_options, sg_n_train_options);
    if ((st = sg_receipt_put(j->model->receipt, "training", training, &c->err)))
        return st;
    return sg_receipt_text(j->model->receipt, "precision", j->spec.precision == SG_BF16 ? "bf16" : "f32",
                           &c->err);
}

int sedge_train(const sedge_train_params *given, char **json, sedge_error *err)
{
    sedge_train_params p;
    const sg_model_class *class = NULL;
    job j = {0};
    sg_pool *pool;
    api_call c;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    if (st || (st = api_need(p.model, "a model", &c.err)) ||
        (st = api_need(p.data, "a dataset folder", &c.err)) ||
        (st = api_need(p.out, "a folder for the model", &c.err)))
        goto done;
    if (!(class = sg_model_class_find(p.model, &c.err))) {
        st = c.err.status;
        goto done;
    }
    if ((st = sg_model_new(&j.model, class, &c.err)) || (st = read_options(&c, &j, &p)) ||
        (st = check_unfinished(&c, &p)) || (st = api_data_open(&j.data, p.data, j.run.protocol, &c.err)) ||
        (st = sg_model_build(j.model, &j.data.train, j.spec.seed, &c.err)) || (st = add_receipt(&c, &j)) ||
        (st = api_pool(&c, &pool)) || (st = sg_dir_make(p.out, &c.err)) ||
        (st = sg_train(j.model, &j.data.train, p.out, &j.spec, pool, &c.progress, &c.result, &c.err)))
        goto done;
    if ((st = write_meanings(&c, &j, &p)) == SG_OK &&
        (st = sg_tower_save(p.out, &j.data.train, &c.err)) == SG_OK)
        st = write_training(&c, &j, &p);
done:
    sg_model_free(j.model); /* before the dataset: item ids may be borrowed */
    api_data_close(&j.data);
    return api_end(&c, st, json, err);
}
