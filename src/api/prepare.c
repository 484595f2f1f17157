/* prepare.c - the verbs between a dataset and a generative model: embed and tokenize. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "api/api.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/receipt.h"
#include "lm/llm.h"
#include "quantize/tokenize.h"
#include "text/columns.h"
#include "text/encoder_file.h"
#include "text/lsa.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* {"data": ..., "items": n, "dim": d, "source": FILE}: what an import leaves. */
static sg_status report_vectors(json_t **out, const sg_dataset *d, const char *source, sg_error *err)
{
    sg_vectors v = {0};
    sg_status st;

    if ((st = sg_vectors_open(&v, d, err)))
        return st;
    *out = json_pack("{s:s, s:i, s:i, s:s}", "data", d->name, "items", (int)v.n, "dim", (int)v.dim, "source",
                     source);
    sg_vectors_close(&v);
    return *out ? SG_OK : sg_fail_memory(err, "report");
}

/* The option of the built-in encoder that model folders share. */
static api_table columns_table(sg_lsa_config *o)
{
    return (api_table){o, sg_options_find(sg_lsa_options, sg_n_lsa_options, "columns"), 1};
}

/* {"columns": ..., "prefix": ...}: how vectors came about, kept beside them. */
static sg_status options_text(sg_buf *out, const api_table *tables, size_t n, sg_error *err)
{
    json_t *all = json_object();
    int bad = !all;

    for (size_t i = 0; i < n; i++) {
        json_t *part = sg_receipt_options(tables[i].config, tables[i].row, tables[i].n);

        bad |= !part || json_object_update(all, part);
        json_decref(part);
    }
    if (!bad)
        sg_json_print_compact(out, all);
    json_decref(all);
    return bad || out->failed ? sg_fail_memory(err, "options") : SG_OK;
}

/* Nobody knows how vectors that were imported came about, nor what a file of texts would say of another item. */
static sg_status forget_encoder(const sg_dataset *d, sg_error *err)
{
    char *path = sg_path_join(d->dir, SG_DATASET_ENCODER);
    sg_status st = path ? SG_OK : sg_fail_memory(err, "path");

    if (!st && sg_file_exists(path) && remove(path))
        st = sg_fail_errno(err, path, "cannot remove");
    sg_free(path);
    return st;
}

/* Writes the vectors, and the encoder for texts that come later (columns NULL: there is none), and tells what the report of every
 * encoder tells. */
static sg_status keep(api_call *c, const sg_dataset *d, const float *vectors, int32_t dim,
                      const char *encoder, const api_table *tables, size_t n_tables, const char *columns,
                      const sg_lsa_fit *fit)
{
    char *path = sg_path_join(d->dir, SG_DATASET_ENCODER);
    sg_buf text = {0};
    sg_status st = path ? options_text(&text, tables, n_tables, &c->err) : sg_fail_memory(&c->err, "path");

    if (!st && !(st = sg_vectors_save(d, vectors, d->n_items, dim, encoder, text.data, &c->err)))
        st = columns ? sg_text_encoder_save(path, d, encoder, text.data, columns, fit, &c->err)
                     : forget_encoder(d, &c->err);
    if (!st && (json_object_set_new(c->result, "encoder", json_string(encoder)) ||
                json_object_set_new(c->result, "items", json_integer(d->n_items)) ||
                json_object_set_new(c->result, "dim", json_integer(dim))))
        st = sg_fail_memory(&c->err, "report");
    sg_buf_free(&text);
    sg_free(path);
    return st;
}

static sg_status encode_lsa(api_call *c, const sg_dataset *d, const char *const *set, size_t n_set)
{
    sg_lsa_config o;
    const api_table table = {&o, sg_lsa_options, sg_n_lsa_options};
    sg_lsa_fit fit = {0};
    float *vectors = NULL;
    int32_t dim = 0;
    sg_pool *pool;
    sg_status st;

    api_defaults(&table, 1);
    if (!(st = api_assign(&table, 1, set, n_set, &c->err)) && !(st = api_pool(c, &pool)) &&
        !(st = sg_lsa_encode(&vectors, &dim, &fit, d, &o, pool, &c->progress, &c->result, &c->err)))
        st = keep(c, d, vectors, dim, "lsa", &table, 1, o.columns, &fit);
    sg_lsa_fit_free(&fit);
    sg_free(vectors);
    return st;
}

/* One text an item; bytes of all of them in `all`. */
static sg_status item_texts(sg_bytes **out, sg_buf *all, const sg_dataset *d, const char *columns,
                            sg_error *err)
{
    const size_t n = (size_t)d->n_items;
    size_t *end = sg_alloc_array(n + 1, sizeof *end);
    sg_bytes *text = sg_alloc_array(n, sizeof *text);
    sg_text_plan plan = {0};
    sg_status st = end && text ? sg_text_plan_new(&plan, d, columns, err) : sg_fail_memory(err, "item texts");

    for (size_t i = 0; !st && i < n; i++) {
        sg_text_plan_join(all, &plan, i);
        end[i] = all->size;
    }
    if (!st && all->failed)
        st = sg_fail_memory(err, "item texts");
    for (size_t i = 0; !st && i < n; i++) {
        const size_t begin = i ? end[i - 1] : 0;

        text[i] = (sg_bytes){all->data ? all->data + begin : "", end[i] - begin};
    }
    sg_text_plan_free(&plan);
    sg_free(end);
    if (st)
        sg_free(text);
    else
        *out = text;
    return st;
}

/* Puts {"id": ..., "answer": ...} of a line behind the text of its item. */
static sg_status add_answer(sg_buf *item, sg_dataset *d, const json_t *line, const char *where, sg_error *err)
{
    const char *id, *answer;
    int32_t i;
    sg_status st;

    if ((st = sg_json_need_string(&id, line, "id", where, err)) ||
        (st = sg_json_need_string(&answer, line, "answer", where, err)))
        return st;
    if ((i = sg_dataset_item(d, (sg_bytes){id, strlen(id)})) < 0)
        return sg_fail(err, SG_ERR_MISSING, "%s: expected an item of the dataset, found '%s'", where, id);
    if (item[i].size)
        sg_buf_putc(&item[i], ' ');
    sg_buf_puts(&item[i], answer);
    return item[i].failed ? sg_fail_memory(err, "item texts") : SG_OK;
}

static sg_status add_answers(sg_buf *item, sg_dataset *d, const char *path, sg_error *err)
{
    char where[SG_JSON_WHERE];
    json_t *line;
    sg_reader *r;
    sg_status st = sg_reader_open(&r, path, err);

    while (!st && !(st = sg_json_line(&line, where, r, err)) && line) {
        st = add_answer(item, d, line, where, err);
        json_decref(line);
    }
    sg_reader_close(r);
    return st;
}

/* The same with texts from a file: of those columns that were named, then the file's. Lines need not cover all items. */
static sg_status item_texts_of(sg_bytes **out, sg_buf *all, sg_dataset *d, const char *columns,
                               const char *path, sg_error *err)
{
    const size_t n = (size_t)d->n_items;
    sg_buf *item;
    sg_text_plan plan = {0};
    sg_status st = SG_OK;

    if (!path)
        return item_texts(out, all, d, columns, err);
    item = sg_alloc_zero(n, sizeof *item);
    *out = sg_alloc_array(n, sizeof **out);
    if (!item || !*out)
        st = sg_fail_memory(err, "item texts");
    else if (*columns && !(st = sg_text_plan_new(&plan, d, columns, err)))
        for (size_t i = 0; i < n; i++)
            sg_text_plan_join(&item[i], &plan, i);
    if (!st)
        st = add_answers(item, d, path, err);
    for (size_t i = 0; !st && i < n; i++) {
        (*out)[i].size = item[i].size;
        sg_buf_add(all, item[i].data, item[i].size);
    }
    if (!st && all->failed)
        st = sg_fail_memory(err, "item texts");
    for (size_t i = 0, at = 0; !st && i < n; at += (*out)[i++].size)
        (*out)[i].data = all->data ? all->data + at : "";
    for (size_t i = 0; item && i < n; i++)
        sg_buf_free(&item[i]);
    sg_free(item);
    sg_text_plan_free(&plan);
    return st;
}

static sg_status encode_model(api_call *c, sg_dataset *d, const sedge_embed_params *p)
{
    sg_llm_config o;
    sg_lsa_config columns;
    const api_table tables[] = {columns_table(&columns),
                                {&o.sentence, sg_sentence_options, sg_n_sentence_options},
                                {&o, sg_llm_options, sg_n_llm_options},
                                {&o.client, sg_client_options, sg_n_client_options}};
    sg_llm *model = NULL;
    sg_cache *cache = NULL;
    sg_bytes *text = NULL;
    sg_buf all = {0};
    float *vectors = NULL;
    int32_t dim = 0;
    sg_pool *pool;
    sg_status st;

    sg_llm_config_init(&o);
    api_defaults(tables, 1);
    if (!(st = api_assign(tables, 4, p->set, p->n_set, &c->err)) &&
        !(st = sg_llm_open(&model, p->encoder, &o, &c->err)) &&
        (!p->cache || !(st = sg_cache_open(&cache, p->cache, &c->err))) &&
        !(st = item_texts_of(&text, &all, d, columns.columns, p->texts, &c->err)) &&
        !(st = api_pool(c, &pool)) &&
        !(st = sg_llm_embed(&vectors, &dim, model, text, (size_t)d->n_items, cache, pool, &c->progress,
                            &c->result, &c->err)))
        st = keep(c, d, vectors, dim, sg_llm_name(model), tables, 2, p->texts ? NULL : columns.columns, NULL);
    sg_free(vectors);
    sg_free(text);
    sg_buf_free(&all);
    sg_cache_close(cache);
    sg_llm_close(model);
    return st;
}

static bool same_folder(const char *a, const char *b)
{
    char *x = realpath(a, NULL), *y = realpath(b, NULL);
    const bool same = x && y && strcmp(x, y) == 0;

    free(x);
    free(y);
    return same;
}

/* Vectors by the encoder that another dataset was embedded with, so that both lie in one space. Columns that are not here are empty. */
static sg_status encode_like(api_call *c, const sg_dataset *d, const char *dir, size_t n_set)
{
    char *path = sg_path_join(dir, SG_DATASET_ENCODER);
    sg_text_encoder *e = NULL;
    sg_bytes *text = NULL;
    sg_buf options = {0};
    float *vectors = NULL;
    sg_status st = path ? SG_OK : sg_fail_memory(&c->err, "path");

    if (!st && same_folder(dir, d->dir))
        st = sg_fail(&c->err, SG_ERR_USAGE, "%s: expected the folder of another dataset", dir);
    if (!st && n_set)
        st = sg_fail(&c->err, SG_ERR_USAGE,
                     "%s: its encoder is used as it is: expected no options, found %zu", dir, n_set);
    if (!st && !sg_file_exists(path))
        st = sg_fail(&c->err, SG_ERR_MISSING,
                     "%s: holds no " SG_DATASET_ENCODER ": run `sedge embed %s` first", dir, dir);
    if (st || (st = sg_text_encoder_open(&e, path, &c->err)))
        goto done;
    const int dim = sg_text_encoder_dim(e), n_columns = sg_text_encoder_columns(e);

    if (!dim) {
        st = sg_fail(&c->err, SG_ERR_USAGE, "%s: its encoder is a model: expected that model's folder, %s",
                     dir, sg_text_encoder_name(e));
        goto done;
    }
    text = sg_alloc_array((size_t)n_columns + 1, sizeof *text);
    vectors = sg_alloc_array((size_t)d->n_items, (size_t)dim * sizeof *vectors);
    sg_json_print_compact(&options, sg_text_encoder_options(e));
    if (!text || !vectors || options.failed)
        st = sg_fail_memory(&c->err, "item vectors");
    for (int32_t i = 0; !st && i < d->n_items; i++) {
        for (int k = 0; k < n_columns; k++) {
            const sg_text_column *column = sg_dataset_column(d, sg_text_encoder_column(e, k));

            text[k] = column ? sg_strings_at(&column->text, (size_t)i) : (sg_bytes){"", 0};
        }
        st = sg_text_encoder_item(vectors + (size_t)i * (size_t)dim, e, text, &c->err);
    }
    if (!st &&
        !(st =
              sg_vectors_save(d, vectors, d->n_items, dim, sg_text_encoder_name(e), options.data, &c->err)) &&
        !(st = forget_encoder(d, &c->err)))
        st = report_vectors(&c->result, d, path, &c->err);
done:
    sg_buf_free(&options);
    sg_free(text);
    sg_free(vectors);
    sg_text_encoder_close(e);
    sg_free(path);
    return st;
}

static bool is_dataset(const char *dir)
{
    char *path = sg_path_join(dir, SG_DATASET_JSON);
    const bool is = path && sg_file_exists(path);

    sg_free(path);
    return is;
}

static sg_status check_encoder(const char *encoder, sg_error *err)
{
    static const char *const encoders[] = {"lsa"};
    const char *near;

    if (!encoder || strcmp(encoder, "lsa") == 0 || sg_llm_is_remote(encoder) || sg_dir_exists(encoder) ||
        sg_file_exists(encoder))
        return SG_OK;
    near = sg_nearest(encoder, encoders, 1);
    if (near)
        return sg_fail(err, SG_ERR_USAGE, "unknown encoder '%s' (did you mean '%s'?)", encoder, near);
    return sg_fail(err, SG_ERR_USAGE,
                   "unknown encoder '%s': expected lsa, the folder of a model or of a dataset, or an address",
                   encoder);
}

int sedge_embed(const sedge_embed_params *given, char **json, sedge_error *err)
{
    sedge_embed_params p;
    api_call c;
    sg_dataset *d = NULL;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    if (!st && p.encoder && p.vectors)
        st = sg_fail(&c.err, SG_ERR_USAGE, "expected an encoder or a file of vectors, found both");
    if (!st && (p.cache || p.texts) && (!p.encoder || strcmp(p.encoder, "lsa") == 0))
        st = sg_fail(&c.err, SG_ERR_USAGE,
                     "%s: expected the folder of a model or an address as encoder, found %s",
                     p.cache ? "cache" : "texts", p.encoder ? p.encoder : "none");
    if (!st && !(st = check_encoder(p.encoder, &c.err)) &&
        !(st = api_need(p.data, "a dataset folder", &c.err)) && !(st = sg_dataset_open(&d, p.data, &c.err))) {
        if (p.encoder && is_dataset(p.encoder))
            st = encode_like(&c, d, p.encoder, p.n_set);
        else if (!p.vectors)
            st = p.encoder && strcmp(p.encoder, "lsa") != 0 ? encode_model(&c, d, &p)
                                                            : encode_lsa(&c, d, p.set, p.n_set);
        else if (!(st = sg_vectors_import(d, p.vectors, p.tensor, p.ids, &c.err)) &&
                 !(st = forget_encoder(d, &c.err)))
            st = report_vectors(&c.result, d, p.vectors, &c.err);
    }
    sg_dataset_close(d);
    return api_end(&c, st, json, err);
}

/* IDs are fitted or read: what says how to do the one is nothing to the other. */
static sg_status check_tokenize(const sedge_tokenize_params *p, sg_error *err)
{
    if (p->ids && p->n_set)
        return sg_fail(err, SG_ERR_USAGE,
                       "ids: %s is read as it is: expected no options of a method beside it, found %s",
                       p->ids, p->set[0]);
    if (!p->ids && p->ids_key_base)
        return sg_fail(err, SG_ERR_USAGE, "key base %d: expected a file of IDs beside it", p->ids_key_base);
    return SG_OK;
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
    if (!st && !(st = api_need(p.data, "a dataset folder", &c.err)) &&
        !(st = api_assign(tables, 1, p.set, p.n_set, &c.err)) && !(st = check_tokenize(&p, &c.err)) &&
        !(st = sg_dataset_open(&d, p.data, &c.err))) {
        if (!p.ids)
            st = (st = api_pool(&c, &pool)) ? st : sg_tokenize(d, &o, pool, &c.progress, &c.result, &c.err);
        else if (!(st = sg_ids_import(d, p.ids, p.ids_key_base, &c.err)))
            st = sg_ids_report(&c.result, d, 1, 5, &c.err);
    }
    sg_dataset_close(d);
    return api_end(&c, st, json, err);
}
