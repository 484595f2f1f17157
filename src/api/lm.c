/* lm.c - language models by themselves: score and embed; generate is in lm_generate.c. */
#include "api/lm.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/safetensors.h"

#include <math.h>
#include <stdio.h>
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

sg_status api_lm_cache(sg_cache **out, const sedge_lm_params *p, sg_error *err)
{
    *out = NULL;
    return p->cache ? sg_cache_open(out, p->cache, err) : SG_OK;
}

/* ---- what is lost ---------------------------------------------------------------------------------------------------------- */
sg_status api_losses_make(api_losses *l, size_t n, sg_error *err)
{
    l->n = n;
    l->why = sg_alloc_zero(n + 1, sizeof *l->why);
    return l->why ? SG_OK : sg_fail_memory(err, "answers");
}

sg_status api_losses_note(api_losses *l, size_t i, const char *file, size_t line, const sg_error *why)
{
    sg_error copy = *why;
    char where[300];

    snprintf(where, sizeof where, "%.250s:%zu", file, line);
    sg_error_prefix(&copy, where);
    l->count += !l->why[i];
    sg_free(l->why[i]);
    l->why[i] = sg_strdup(copy.message);
    return l->why[i] ? SG_OK : SG_ERR_MEMORY;
}

sg_status api_losses_report(json_t *result, const api_losses *l, sg_error *err)
{
    return l->count && json_object_set_new(result, "failures", json_integer((json_int_t)l->count))
               ? sg_fail_memory(err, "result")
               : SG_OK;
}

void api_losses_free(api_losses *l)
{
    for (size_t i = 0; i < l->n && l->why; i++)
        sg_free(l->why[i]);
    sg_free(l->why);
    *l = (api_losses){0};
}

/* ---- score ---------------------------------------------------------------------------------------------------------------- */
typedef struct scores {
    double *logp; /* owned, as all here */
    int *tokens;
    size_t n, cached;
    api_losses lost;
    const char *file; /* borrowed; NULL: one text */
} scores;

static json_t *score_of(const scores *s, size_t i)
{
    return s->lost.why[i] ? json_pack("{s:s}", "error", s->lost.why[i])
                          : json_pack("{s:f, s:i}", "logp", s->logp[i], "tokens", s->tokens[i]);
}

static sg_status report_scores(json_t **out, const scores *s, bool cache, sg_error *err)
{
    json_t *list = json_array();
    json_int_t all = 0;
    double sum = 0;
    bool good = list != NULL;

    for (size_t i = 0; i < s->n && good; i++) {
        sum += s->logp[i];
        all += s->tokens[i];
        good = !json_array_append_new(list, score_of(s, i));
    }
    const double each = exp(-sum / (double)all);
    const bool tells = all && isfinite(each); /* nothing of no tokens; endpoints give logarithms of -9999 */
    json_t *perplexity = tells && good ? json_real(each) : NULL;
    if (good && !tells == !perplexity)
        *out = json_pack("{s:I, s:I, s:f, s:o*, s:O}", "texts", (json_int_t)s->n, "tokens", all, "logp", sum,
                         "perplexity", perplexity, "list", list);
    json_decref(list);
    if (!*out || (cache && json_object_set_new(*out, "cached", json_integer((json_int_t)s->cached))))
        return sg_fail_memory(err, "result");
    return api_losses_report(*out, &s->lost, err);
}

static sg_status lose(void *ctx, size_t i, const sg_error *why)
{
    scores *s = ctx;

    s->logp[i] = 0;
    s->tokens[i] = 0;
    return api_losses_note(&s->lost, i, s->file, i + 1, why);
}

static sg_status score(api_call *c, const sedge_lm_params *p, const sg_llm_config *o)
{
    const sg_turn turns[] = {{"system", api_bytes(p->system)}, {"user", api_bytes(p->prompt)}};
    const sg_turns chat = {(sg_turn *)(uintptr_t)turns + !p->system, p->system ? 2 : 1};
    scores s = {.file = p->file};
    sg_llm_scores work = {.prompt = api_bytes(p->prompt),
                          .chat = p->chat ? &chat : NULL,
                          .ctx = &s,
                          .give_up = p->file ? lose : NULL};
    sg_cache *cache = NULL;
    sg_llm *l = NULL;
    sg_bytes *text = NULL;
    sg_buf all = {0};
    sg_pool *pool;
    sg_status st;

    if (p->system && !p->chat)
        return sg_fail(&c->err, SG_ERR_USAGE, "system: expected with chat only");
    if ((st = read_texts(&text, &s.n, &all, p, &c->err)) || (st = api_lm_open(&l, p, o, &c->err)) ||
        (st = api_lm_cache(&cache, p, &c->err)) || (st = api_pool(c, &pool)) ||
        (st = api_losses_make(&s.lost, s.n, &c->err)))
        goto done;
    s.logp = sg_alloc_zero(s.n + 1, sizeof *s.logp);
    s.tokens = sg_alloc_zero(s.n + 1, sizeof *s.tokens);
    work.text = text;
    work.n = s.n;
    if (!s.logp || !s.tokens)
        st = sg_fail_memory(&c->err, "scores");
    else if (!(st = sg_llm_score(s.logp, s.tokens, &s.cached, l, &work, cache, pool, &c->progress, &c->err)))
        st = report_scores(&c->result, &s, cache != NULL, &c->err);
done:
    sg_free(s.logp);
    sg_free(s.tokens);
    api_losses_free(&s.lost);
    sg_free(text);
    sg_buf_free(&all);
    sg_cache_close(cache);
    sg_llm_close(l);
    return st;
}

/* ---- embed ---------------------------------------------------------------------------------------------------------------- */
static sg_status embed(api_call *c, const sedge_lm_params *p, const sg_llm_config *o)
{
    sg_llm *l = NULL;
    sg_cache *cache = NULL;
    sg_bytes *text = NULL;
    sg_buf all = {0};
    float *vectors = NULL;
    size_t n = 0;
    int32_t dim = 0;
    sg_pool *pool;
    sg_status st;

    if (!(st = api_need(p->out, "a file to write (out)", &c->err)) &&
        !(st = read_texts(&text, &n, &all, p, &c->err)) && !(st = api_lm_open(&l, p, o, &c->err)) &&
        !(st = api_lm_cache(&cache, p, &c->err)) && !(st = api_pool(c, &pool)) &&
        !(st = sg_llm_embed(&vectors, &dim, l, text, n, cache, pool, &c->progress, &c->result, &c->err))) {
        const sg_tensor_desc tensor = {"vectors", SG_DT_F32, 2, {n, (uint64_t)dim}, vectors};

        st = sg_tensors_write(p->out, &tensor, 1, &(sg_meta){"encoder", sg_llm_name(l)}, 1, &c->err);
    }
    sg_free(vectors);
    sg_free(text);
    sg_buf_free(&all);
    sg_cache_close(cache);
    sg_llm_close(l);
    return st;
}

/* ---- the three functions -------------------------------------------------------------------------------------------------- */
static sg_status begin(api_call *c, sedge_lm_params *p, const sedge_lm_params *given)
{
    const sg_status st = api_begin(c, p, sizeof *p, given);

    return st ? st : api_need(p->model, "a model", &c->err);
}

static bool is_one_of(const char *key, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(key, list[i]) == 0)
            return true;
    return false;
}

sg_status api_lm_check_set(const char *const *set, size_t n, const char *model, sg_error *err)
{
    static const char *const there[] = {"offers", "tokenizer", "json_object"}, *const here[] = {
                                                                                   "batch", "length_penalty",
                                                                                   "whole"};
    const bool remote = sg_llm_is_remote(model);

    for (size_t i = 0; i < n; i++) {
        char key[64];

        snprintf(key, sizeof key, "%.*s", (int)strcspn(set[i], "="), set[i]);
        if (!remote &&
            (is_one_of(key, there, 3) || sg_options_find(sg_client_options, sg_n_client_options, key)))
            return sg_fail(err, SG_ERR_USAGE, "%s: expected with an endpoint only, %s is here", key, model);
        if (remote && is_one_of(key, here, 3))
            return sg_fail(err, SG_ERR_USAGE, "%s: expected with a model here only, %s is an endpoint", key,
                           model);
    }
    return SG_OK;
}

/* Options of the model, wherever it is, behind those of a task. What the task has no use for is none of them. */
static sg_status assign(sg_llm_config *o, const api_table *own, bool writes, const sedge_lm_params *p,
                        sg_error *err)
{
    static const char *const written[] = {"stop", "json_object"}, *const sent[] = {"prefix"};
    const api_table tables[] = {
        *own, {o, sg_llm_options, sg_n_llm_options}, {&o->client, sg_client_options, sg_n_client_options}};
    sg_status st = api_assign(tables + !own->n, own->n ? 3 : 2, p->set, p->n_set, err);

    if (st || (st = api_lm_check_set(p->set, p->n_set, p->model, err)))
        return st;
    for (size_t i = 0; i < p->n_set; i++) {
        char key[64];

        snprintf(key, sizeof key, "%.*s", (int)strcspn(p->set[i], "="), p->set[i]);
        if (!writes && is_one_of(key, written, 2))
            return sg_fail(err, SG_ERR_USAGE, "%s: expected with generate only", key);
        if (sg_llm_is_remote(p->model) && !is_one_of(key, sent, 1) &&
            sg_options_find(sg_sentence_options, sg_n_sentence_options, key))
            return sg_fail(err, SG_ERR_USAGE, "%s: expected with a model here only, %s is an endpoint", key,
                           p->model);
    }
    return SG_OK;
}

int sedge_lm_generate(const sedge_lm_params *given, char **json, sedge_error *err)
{
    sedge_lm_params p;
    sg_llm_config o;
    const api_table own = {&o.generate, sg_generate_options, sg_n_generate_options};
    api_call c;
    sg_status st = begin(&c, &p, given);

    sg_llm_config_init(&o);
    if (!st && !(st = assign(&o, &own, true, &p, &c.err)))
        st = sg_llm_is_remote(p.model) ? api_lm_ask(&c, &p, &o) : api_lm_generate(&c, &p, &o);
    return api_end(&c, st, json, err);
}

int sedge_lm_score(const sedge_lm_params *given, char **json, sedge_error *err)
{
    sedge_lm_params p;
    sg_llm_config o;
    api_call c;
    sg_status st = begin(&c, &p, given);

    sg_llm_config_init(&o);
    if (!st && !(st = assign(&o, &(api_table){NULL, NULL, 0}, false, &p, &c.err)))
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
    if (!st && !(st = assign(&o, &own, false, &p, &c.err)))
        st = embed(&c, &p, &o);
    return api_end(&c, st, json, err);
}
