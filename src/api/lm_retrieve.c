/* lm_retrieve.c - documents, or items for users, by what a language model writes: as a TREC run, and measured. */
#include "api/lm_documents.h"
#include "api/lm_writer.h"

#include "base/alloc.h"
#include "eval/retrieval.h"

#include <string.h>

static sg_status read_by(sg_retrieve_by *out, const char *by, sg_error *err)
{
    if (strcmp(by, "title") != 0 && strcmp(by, "substring") != 0)
        return sg_fail(err, SG_ERR_USAGE, "by: expected title or substring, found '%s'", by);
    *out = by[0] == 't' ? SG_BY_TITLE : SG_BY_SUBSTRING;
    return SG_OK;
}

/* *allow: NULL, or owned by the caller, for as long as the retriever. */
static sg_status make_retriever(sg_retriever **out, uint8_t **allow, const api_documents *d,
                                sg_retrieve_by by, const sg_tokenizer *t, const sedge_retrieve_params *p,
                                api_call *c)
{
    const size_t n = (size_t)d->set->n_items;
    sg_bytes *text = sg_alloc_array(2 * n + 1, sizeof *text);
    sg_status st = text ? SG_OK : sg_fail_memory(&c->err, "documents");

    for (size_t i = 0; i < n && text; i++) {
        text[i] = sg_strings_at(&d->title, i);
        text[n + i] = sg_strings_at(&d->text, i);
    }
    if (!st && p->n_deny && !(*allow = sg_alloc_array(n + 1, 1)))
        st = sg_fail_memory(&c->err, "documents");
    if (*allow)
        memset(*allow, 1, n);
    for (size_t i = 0; *allow && i < p->n_deny; i++) {
        const int32_t document = sg_dataset_item(d->set, (sg_bytes){p->deny[i], strlen(p->deny[i])});

        if (document >= 0)
            (*allow)[document] = 0;
    }
    if (!st)
        st = sg_retriever_new(out, &(sg_documents){text, text + n, d->set->n_items, *allow}, by, t,
                              &c->progress, &c->err);
    sg_free(text);
    return st;
}

static sg_status make_run(sg_run *out, const sg_found *found, int32_t n, sg_error *err)
{
    int64_t all = 0;

    for (int32_t q = 0; q < n; q++)
        all += found[q].n;
    out->n_queries = n;
    out->offsets = sg_alloc_zero((size_t)n + 1, sizeof *out->offsets);
    out->doc = sg_alloc_array((size_t)all + 1, sizeof *out->doc);
    out->score = sg_alloc_array((size_t)all + 1, sizeof *out->score);
    if (!out->offsets || !out->doc || !out->score)
        return sg_fail_memory(err, "run");
    all = 0;
    for (int32_t q = 0; q < n; q++) {
        for (int i = 0; i < found[q].n; i++) {
            out->doc[all] = found[q].hit[i].document;
            out->score[all++] = (float)found[q].hit[i].score;
        }
        out->offsets[q + 1] = all;
    }
    return SG_OK;
}

static sg_status report(api_call *c, const sg_found *found, const api_documents *d, const char *by,
                        const char *out, const sg_retrieve_report *r)
{
    static const int cuts[] = {1, 10, 100};
    json_t *metrics = NULL;
    sg_run run = {0};
    sg_status st = make_run(&run, found, d->asked.n_queries, &c->err);

    if (!st && out)
        st = sg_run_write(&run, d->set, &d->asked, out, by, &c->err);
    if (!st)
        st = sg_run_measure(&metrics, &run, &d->asked, d->split, cuts, 3, &c->err);
    if (!st && !(c->result = json_pack(
                     "{s:s, s:s, s:i, s:i, s:I, s:O, s:f, s:f, s:f, s:f, s:f, s:f}", "by", by, "split",
                     sg_collection_split_names[d->split], "documents", (int)d->set->n_items, "queries",
                     (int)d->asked.n_queries, "listed", (json_int_t)run.offsets[run.n_queries], "metrics",
                     metrics, "texts", r->texts, "tokens", r->generate.tokens, "prompt_tokens",
                     r->generate.prompt_tokens, "seconds_prompt", r->generate.seconds[0], "seconds_write",
                     r->generate.seconds[1], "seconds_rank", r->seconds_rank)))
        st = sg_fail_memory(&c->err, "result");
    json_decref(metrics);
    sg_run_free(&run);
    return st;
}

/* The lists of all queries. */
static sg_status ask(sg_found **found, sg_retrieve_report *report, sg_retriever *r, sg_desk *desk,
                     const api_documents *d, const sg_retrieve_config *o, api_call *c)
{
    const size_t n = (size_t)d->asked.n_queries;
    sg_bytes *query = sg_alloc_array(n, sizeof *query);
    sg_status st = SG_OK;

    if (!query || !(*found = sg_alloc_zero(n, sizeof **found)))
        st = sg_fail_memory(&c->err, "queries");
    for (size_t i = 0; i < n && !st; i++)
        query[i] = sg_strings_at(&d->asked.query_text, i);
    if (!st)
        st = sg_retrieve(*found, report, r, desk, query, (int)n, o, &c->progress, &c->err);
    sg_free(query);
    return st;
}

static sg_status retrieve(api_call *c, const sedge_retrieve_params *p, const sg_retrieve_config *o,
                          const api_queries_config *q)
{
    const char *by = p->by ? p->by : "substring";
    api_documents d = {0};
    sg_found *found = NULL;
    api_writer m = {0};
    sg_retriever *r = NULL;
    sg_desk *desk = NULL;
    uint8_t *allow = NULL;
    sg_retrieve_by how = SG_BY_SUBSTRING;
    sg_retrieve_report done;
    sg_pool *pool;
    sg_status st;

    if (!(st = read_by(&how, by, &c->err)) &&
        !(st = api_documents_open(&d, p->data, p->split, "test", q, &c->err)) &&
        !(st = api_writer_open(&m, p->model, p->adapter, &c->err)) &&
        !(st = make_retriever(&r, &allow, &d, how, api_writer_tokenizer(&m), p, c)) &&
        !(st = api_pool(c, &pool)) &&
        !(st = api_writer_desk(&desk, &m, sg_retrieve_length(r, o), pool, &c->err)) &&
        !(st = ask(&found, &done, r, desk, &d, o, c)))
        st = report(c, found, &d, by, p->out, &done);
    for (int32_t i = 0; i < d.asked.n_queries && found; i++)
        sg_free(found[i].hit);
    sg_free(found);
    sg_desk_free(desk);
    sg_retriever_free(r);
    sg_free(allow);
    api_writer_close(&m);
    api_documents_close(&d);
    return st;
}

int sedge_lm_retrieve(const sedge_retrieve_params *given, char **json, sedge_error *err)
{
    sedge_retrieve_params p;
    sg_retrieve_config o;
    api_queries_config q;
    const api_table tables[] = {{&o, sg_retrieve_options, sg_n_retrieve_options},
                                {&q, api_queries_options, api_n_queries_options}};
    api_call c;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(tables, 2);
    if (!st && !(st = api_need(p.model, "a model", &c.err)) &&
        !(st = api_need(p.data, "a dataset folder", &c.err)) &&
        !(st = api_assign(tables, 2, p.set, p.n_set, &c.err)))
        st = retrieve(&c, &p, &o, &q);
    return api_end(&c, st, json, err);
}
