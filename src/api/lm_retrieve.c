/* lm_retrieve.c - documents of a collection by what a language model writes, as a TREC run and measured. */
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

static sg_status make_retriever(sg_retriever **out, const api_documents *d, sg_retrieve_by by,
                                const sg_tokenizer *t, api_call *c)
{
    const size_t n = (size_t)d->set->n_items;
    sg_bytes *text = sg_alloc_array(2 * n + 1, sizeof *text);
    sg_status st = text ? SG_OK : sg_fail_memory(&c->err, "documents");

    for (size_t i = 0; i < n && text; i++) {
        text[i] = sg_strings_at(&d->title, i);
        text[n + i] = sg_strings_at(&d->text, i);
    }
    if (!st)
        st = sg_retriever_new(out, &(sg_documents){text, text + n, d->set->n_items}, by, t, &c->progress,
                              &c->err);
    sg_free(text);
    return st;
}

/* The split's queries, and whose lists they are. */
typedef struct asked {
    sg_bytes *text;  /* owned: (n) */
    int32_t *query;  /* owned: (n) */
    sg_found *found; /* owned: (n) */
    int n;
} asked;

static sg_status list_queries(asked *a, const api_documents *d, sg_collection_split split, sg_error *err)
{
    const sg_collection *c = d->collection;
    const size_t n = (size_t)sg_collection_asked(c, split);

    a->text = sg_alloc_array(n, sizeof *a->text);
    a->query = sg_alloc_array(n, sizeof *a->query);
    a->found = sg_alloc_zero(n, sizeof *a->found);
    if (!a->text || !a->query || !a->found)
        return sg_fail_memory(err, "queries");
    for (int32_t q = 0; q < c->n_queries; q++)
        if (sg_collection_relevant(c, split, q)) {
            a->query[a->n] = q;
            a->text[a->n++] = sg_strings_at(&c->query_text, (size_t)q);
        }
    return SG_OK;
}

static void asked_free(asked *a)
{
    for (int i = 0; i < a->n; i++)
        sg_free(a->found[i].hit);
    sg_free(a->text);
    sg_free(a->query);
    sg_free(a->found);
}

static sg_status make_run(sg_run *out, const asked *a, int32_t n_queries, sg_error *err)
{
    int64_t all = 0;
    int at = 0;

    for (int i = 0; i < a->n; i++)
        all += a->found[i].n;
    out->n_queries = n_queries;
    out->offsets = sg_alloc_zero((size_t)n_queries + 1, sizeof *out->offsets);
    out->doc = sg_alloc_array((size_t)all + 1, sizeof *out->doc);
    out->score = sg_alloc_array((size_t)all + 1, sizeof *out->score);
    if (!out->offsets || !out->doc || !out->score)
        return sg_fail_memory(err, "run");
    all = 0;
    for (int32_t q = 0; q < n_queries; q++) {
        if (at < a->n && a->query[at] == q) {
            for (int i = 0; i < a->found[at].n; i++) {
                out->doc[all] = a->found[at].hit[i].document;
                out->score[all++] = (float)a->found[at].hit[i].score;
            }
            at++;
        }
        out->offsets[q + 1] = all;
    }
    return SG_OK;
}

static sg_status report(api_call *c, const asked *a, const api_documents *d, sg_collection_split split,
                        const char *by, const char *out, const sg_retrieve_report *r)
{
    static const int cuts[] = {1, 10, 100};
    json_t *metrics = NULL;
    sg_run run = {0};
    sg_status st = make_run(&run, a, d->collection->n_queries, &c->err);

    if (!st && out)
        st = sg_run_write(&run, d->set, d->collection, out, by, &c->err);
    if (!st)
        st = sg_run_measure(&metrics, &run, d->collection, split, cuts, 3, &c->err);
    if (!st &&
        !(c->result = json_pack("{s:s, s:s, s:i, s:i, s:I, s:O, s:f, s:f, s:f, s:f, s:f, s:f}", "by", by,
                                "split", sg_collection_split_names[split], "documents", (int)d->set->n_items,
                                "queries", a->n, "listed", (json_int_t)run.offsets[run.n_queries], "metrics",
                                metrics, "texts", r->texts, "tokens", r->generate.tokens, "prompt_tokens",
                                r->generate.prompt_tokens, "seconds_prompt", r->generate.seconds[0],
                                "seconds_write", r->generate.seconds[1], "seconds_rank", r->seconds_rank)))
        st = sg_fail_memory(&c->err, "result");
    json_decref(metrics);
    sg_run_free(&run);
    return st;
}

static sg_status retrieve(api_call *c, const sedge_retrieve_params *p, const sg_retrieve_config *o)
{
    const char *by = p->by ? p->by : "substring";
    api_documents d = {0};
    asked a = {0};
    api_writer m = {0};
    sg_retriever *r = NULL;
    sg_desk *desk = NULL;
    sg_collection_split split = SG_COLLECTION_TEST;
    sg_retrieve_by how = SG_BY_SUBSTRING;
    sg_retrieve_report done;
    sg_pool *pool;
    sg_status st;

    if (!(st = read_by(&how, by, &c->err)) && !(st = api_documents_open(&d, p->data, &c->err)) &&
        !(st = api_documents_split(&split, &d, p->split ? p->split : "test", &c->err)) &&
        !(st = list_queries(&a, &d, split, &c->err)) &&
        !(st = api_writer_open(&m, p->model, p->adapter, &c->err)) &&
        !(st = make_retriever(&r, &d, how, api_writer_tokenizer(&m), c)) && !(st = api_pool(c, &pool)) &&
        !(st = api_writer_desk(&desk, &m, sg_retrieve_length(r, o), pool, &c->err)) &&
        !(st = sg_retrieve(a.found, &done, r, desk, a.text, a.n, o, &c->progress, &c->err)))
        st = report(c, &a, &d, split, by, p->out, &done);
    sg_desk_free(desk);
    sg_retriever_free(r);
    api_writer_close(&m);
    asked_free(&a);
    api_documents_close(&d);
    return st;
}

int sedge_lm_retrieve(const sedge_retrieve_params *given, char **json, sedge_error *err)
{
    sedge_retrieve_params p;
    sg_retrieve_config o;
    const api_table table = {&o, sg_retrieve_options, sg_n_retrieve_options};
    api_call c;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(&table, 1);
    if (!st && !(st = api_need(p.model, "a model", &c.err)) &&
        !(st = api_need(p.data, "a dataset folder", &c.err)) &&
        !(st = api_assign(&table, 1, p.set, p.n_set, &c.err)))
        st = retrieve(&c, &p, &o);
    return api_end(&c, st, json, err);
}
