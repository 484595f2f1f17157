/* prepare.c - the verbs between a dataset and a generative model: embed and tokenize. */
#include "api/api.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/receipt.h"
#include "quantize/tokenize.h"
#include "text/lsa.h"

#include <stdio.h>
#include <string.h>

/* {"data": ..., "items": n, "dim": d, "source": FILE}: what an import leaves. */
static sg_status report_vectors(json_t **out, const sg_dataset *d, const char *source, sg_error *err)
{
    sg_vectors v = {0};
    sg_status st;

    if ((st = sg_vectors_open(&v, d, err)))
        return st;
    *out = json_pack("{s:s, s:i, s:i, s:s}", "data", d->name, "items", (int)v.n, "dim", (int)v.dim, "source", source);
    sg_vectors_close(&v);
    return *out ? SG_OK : sg_fail_memory(err, "report");
}

static sg_status encode(api_call *c, const sg_dataset *d, const sg_lsa_config *o)
{
    json_t *options = sg_receipt_options(o, sg_lsa_options, sg_n_lsa_options);
    sg_buf text = {0};
    float *vectors = NULL;
    int32_t dim = 0;
    sg_pool *pool;
    sg_status st;

    if (options)
        sg_json_print_compact(&text, options);
    if (!options || text.failed)
        st = sg_fail_memory(&c->err, "options");
    else if (!(st = api_pool(c, &pool)) && !(st = sg_lsa_encode(&vectors, &dim, d, o, pool, &c->progress, &c->result, &c->err)))
        st = sg_vectors_save(d, vectors, d->n_items, dim, "lsa", text.data, &c->err);
    if (!st && (json_object_set_new(c->result, "encoder", json_string("lsa")) ||
                json_object_set_new(c->result, "items", json_integer(d->n_items)) ||
                json_object_set_new(c->result, "dim", json_integer(dim))))
        st = sg_fail_memory(&c->err, "report");
    sg_free(vectors);
    sg_buf_free(&text);
    json_decref(options);
    return st;
}

int sedge_embed(const sedge_embed_params *given, char **json, sedge_error *err)
{
    static const char *const encoders[] = {"lsa"};
    sedge_embed_params p;
    sg_lsa_config o;
    const api_table tables[] = {{&o, sg_lsa_options, sg_n_lsa_options}};
    api_call c;
    sg_dataset *d = NULL;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(tables, 1);
    if (!st && p.encoder && strcmp(p.encoder, "lsa") != 0) {
        const char *near = sg_nearest(p.encoder, encoders, 1);

        st = near ? sg_fail(&c.err, SG_ERR_USAGE, "unknown encoder '%s' (did you mean '%s'?)", p.encoder, near)
                  : sg_fail(&c.err, SG_ERR_USAGE, "unknown encoder '%s': this build has lsa", p.encoder);
    }
    if (!st && p.encoder && p.vectors)
        st = sg_fail(&c.err, SG_ERR_USAGE, "expected an encoder or a file of vectors, found both");
    if (!st && !(st = api_need(p.data, "a dataset folder", &c.err)) && !(st = api_assign(tables, 1, p.set, p.n_set, &c.err)) &&
        !(st = sg_dataset_open(&d, p.data, &c.err))) {
        if (!p.vectors)
            st = encode(&c, d, &o);
        else if (!(st = sg_vectors_import(d, p.vectors, p.tensor, p.ids, &c.err)))
            st = report_vectors(&c.result, d, p.vectors, &c.err);
    }
    sg_dataset_close(d);
    return api_end(&c, st, json, err);
}

int sedge_tokenize(const sedge_tokenize_params *given, char **json, sedge_error *err)
{
    sedge_tokenize_params p;
    sg_tokenize_config o;
    const api_table tables[] = {{&o, sg_tokenize_options, sg_n_tokenize_options}};
    api_call c;
    sg_dataset *d = NULL;
    sg_pool *pool;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(tables, 1);
    if (!st && !(st = api_need(p.data, "a dataset folder", &c.err)) && !(st = api_assign(tables, 1, p.set, p.n_set, &c.err)) &&
        !(st = sg_dataset_open(&d, p.data, &c.err))) {
        if (!p.ids)
            st = (st = api_pool(&c, &pool)) ? st : sg_tokenize(d, &o, pool, &c.progress, &c.result, &c.err);
        else if (!(st = sg_ids_import(d, p.ids, p.ids_key_base, &c.err)))
            st = sg_ids_report(&c.result, d, 1, 5, &c.err);
    }
    sg_dataset_close(d);
    return api_end(&c, st, json, err);
}
