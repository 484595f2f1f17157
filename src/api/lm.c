/* lm.c - language models by themselves: score and embed; generate is in lm_generate.c. */
#include "api/lm.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/safetensors.h"

#include <math.h>
#include <string.h>

enum { TEXTS_MOST = 1 << 30 /* bytes of a file of texts */ };

/* The texts of a call; `all` holds their bytes. */
static sg_status read_texts(sg_bytes **out, size_t *n, sg_buf *all, const sedge_lm_params *p, sg_error *err)
{
    sg_reader *r = NULL;
    size_t cap = 0, *end = NULL, cap_end = 0;
    sg_status st = SG_OK;

    *n = 0;
    if (!p->text == !p->file)
        return sg_fail(err, SG_ERR_USAGE, "expected a text or a file of texts, found %s",
                       p->text ? "both" : "neither");
    if (p->text) {
        if (!sg_grow(out, &cap, 1, sizeof **out))
            return sg_fail_memory(err, "texts");
        (*out)[(*n)++] = (sg_bytes){p->text, strlen(p->text)};
        return SG_OK;
    }
    if ((st = sg_reader_open(&r, p->file, err)))
        return st;
    for (;;) {
        const char *line;
        size_t size;

        if ((st = sg_reader_line(r, &line, &size, err)) || !line)
            break;
        sg_buf_add(all, line, size);
        if (all->failed || all->size > TEXTS_MOST || !sg_grow(&end, &cap_end, *n + 1, sizeof *end)) {
            st = sg_fail_memory(err, p->file);
            break;
        }
        end[(*n)++] = all->size;
    }
    sg_reader_close(r);
    if (!st && !sg_grow(out, &cap, *n + 1, sizeof **out))
        st = sg_fail_memory(err, "texts");
    for (size_t i = 0; !st && i < *n; i++) {
        const size_t begin = i ? end[i - 1] : 0;

        (*out)[i] = (sg_bytes){all->data ? all->data + begin : "", end[i] - begin};
    }
    sg_free(end);
    return st;
}

sg_bytes api_bytes(const char *s)
{
    return (sg_bytes){s ? s : "", s ? strlen(s) : 0};
}

sg_status api_lm_open(sg_llm **out, const sedge_lm_params *p, const sg_llm_config *o, sg_error *err)
{
    sg_status st = sg_llm_open(out, p->model, o, err);

    if (!st && p->adapter && (st = sg_llm_adapt(*out, p->adapter, err))) {
        sg_llm_close(*out);
        *out = NULL;
    }
    return st;
}

/* ---- score ---------------------------------------------------------------------------------------------------------------- */
static sg_status report_scores(json_t **out, const double *logp, const int *tokens, size_t n, sg_error *err)
{
    json_t *list = json_array();
    json_int_t all = 0;
    double sum = 0;
    bool good = list != NULL;

    for (size_t i = 0; i < n && good; i++) {
        sum += logp[i];
        all += tokens[i];
        good = !json_array_append_new(list, json_pack("{s:f, s:i}", "logp", logp[i], "tokens", tokens[i]));
    }
    if (good)
        *out = all ? json_pack("{s:I, s:I, s:f, s:f, s:O}", "texts", (json_int_t)n, "tokens", all, "logp", sum, "perplexity",
                               exp(-sum / (double)all), "list", list)
                   : json_pack("{s:I, s:I, s:f, s:O}", "texts", (json_int_t)n, "tokens", all, "logp", sum, "list", list); /* of no token: none */
    json_decref(list);
    return *out ? SG_OK : sg_fail_memory(err, "result");
}

static sg_status score(api_call *c, const sedge_lm_params *p, const sg_llm_config *o)
{
    const sg_turn turns[] = {{"system", api_bytes(p->system)}, {"user", api_bytes(p->prompt)}};
    const sg_turns chat = {(sg_turn *)(uintptr_t)turns + !p->system, p->system ? 2 : 1};
    sg_llm *l = NULL;
    sg_bytes *text = NULL;
    sg_buf all = {0};
    size_t n = 0;
    double *logp = NULL;
    int *tokens = NULL;
    sg_pool *pool;
    sg_status st;

    if (p->system && !p->chat)
        return sg_fail(&c->err, SG_ERR_USAGE, "system: expected with chat only");
    if ((st = read_texts(&text, &n, &all, p, &c->err)) || (st = api_lm_open(&l, p, o, &c->err)) || (st = api_pool(c, &pool)))
        goto done;
    logp = sg_alloc_zero(n + 1, sizeof *logp);
    tokens = sg_alloc_zero(n + 1, sizeof *tokens);
    if (!logp || !tokens)
        st = sg_fail_memory(&c->err, "scores");
    else if (!(st = sg_llm_score(logp, tokens, l, api_bytes(p->prompt), p->chat ? &chat : NULL, text, n, pool, &c->progress, &c->err)))
        st = report_scores(&c->result, logp, tokens, n, &c->err);
done:
    sg_free(logp);
    sg_free(tokens);
    sg_free(text);
    sg_buf_free(&all);
    sg_llm_close(l);
    return st;
}

/* ---- embed ---------------------------------------------------------------------------------------------------------------- */
static sg_status embed(api_call *c, const sedge_lm_params *p, const sg_llm_config *o)
{
    sg_llm *l = NULL;
    sg_bytes *text = NULL;
    sg_buf all = {0};
    float *vectors = NULL;
    size_t n = 0;
    int32_t dim = 0;
    sg_pool *pool;
    sg_status st;

    if (!(st = api_need(p->out, "a file to write (out)", &c->err)) && !(st = read_texts(&text, &n, &all, p, &c->err)) &&
        !(st = api_lm_open(&l, p, o, &c->err)) && !(st = api_pool(c, &pool)) &&
        !(st = sg_llm_embed(&vectors, &dim, l, text, n, NULL, pool, &c->progress, &c->result, &c->err))) {
        const sg_tensor_desc tensor = {"vectors", SG_DT_F32, 2, {n, (uint64_t)dim}, vectors};

        st = sg_tensors_write(p->out, &tensor, 1, &(sg_meta){"encoder", sg_llm_name(l)}, 1, &c->err);
    }
    sg_free(vectors);
    sg_free(text);
    sg_buf_free(&all);
    sg_llm_close(l);
    return st;
}

/* ---- the three functions -------------------------------------------------------------------------------------------------- */
static sg_status begin(api_call *c, sedge_lm_params *p, const sedge_lm_params *given)
{
    const sg_status st = api_begin(c, p, sizeof *p, given);

    return st ? st : api_need(p->model, "a model", &c->err);
}

/* Options of the model, wherever it is, behind those of a task. */
static sg_status assign(sg_llm_config *o, const api_table *own, const sedge_lm_params *p, sg_error *err)
{
    const api_table tables[] = {*own, {o, sg_llm_options, sg_n_llm_options}, {&o->client, sg_client_options, sg_n_client_options}};

    return api_assign(tables + !own->n, own->n ? 3 : 2, p->set, p->n_set, err);
}

int sedge_lm_generate(const sedge_lm_params *given, char **json, sedge_error *err)
{
    sedge_lm_params p;
    sg_llm_config o;
    const api_table own = {&o.generate, sg_generate_options, sg_n_generate_options};
    api_call c;
    sg_status st = begin(&c, &p, given);

    sg_llm_config_init(&o);
    if (!st && !(st = assign(&o, &own, &p, &c.err)))
        st = sg_llm_is_remote(p.model) ? api_lm_ask(&c, &p, &o) : api_lm_generate(&c, &p, &o.generate);
    return api_end(&c, st, json, err);
}

int sedge_lm_score(const sedge_lm_params *given, char **json, sedge_error *err)
{
    sedge_lm_params p;
    sg_llm_config o;
    api_call c;
    sg_status st = begin(&c, &p, given);

    sg_llm_config_init(&o);
    if (!st && !(st = assign(&o, &(api_table){NULL, NULL, 0}, &p, &c.err)))
        st = score(&c, &p, &o);
    return api_end(&c, st, json, err);
}

int sedge_lm_embed(const sedge_lm_params *given, char **json, sedge_error *err)
{
    sedge_lm_params p;
    sg_llm_config o;
    const api_table own = {&o.sentence, sg_sentence_options, sg_n_sentence_options};
    api_call c;
    sg_status st = begin(&c, &p, given);

    sg_llm_config_init(&o);
    if (!st && !(st = assign(&o, &own, &p, &c.err)))
        st = embed(&c, &p, &o);
    return api_end(&c, st, json, err);
}
