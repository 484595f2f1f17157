/* lm_ask.c - prompts of a call, and their answers from an endpoint. */
#include "api/lm.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "file/json.h"

#include <stdio.h>
#include <string.h>

/* ---- prompts -------------------------------------------------------------------------------------------------------------- */
static sg_status add_prompt(api_prompts *to, const char *text, const char *system, json_t *id, size_t line,
                            sg_error *err)
{
    if (!sg_grow(&to->item, &to->cap, to->n + 1, sizeof *to->item))
        return sg_fail_memory(err, "prompts");
    api_prompt *p = &to->item[to->n++];
    *p = (api_prompt){sg_strdup(text ? text : ""), system ? sg_strdup(system) : NULL, json_incref(id), line};
    return p->text && (p->system || !system) ? SG_OK : sg_fail_memory(err, "prompts");
}

static sg_status read_line(api_prompts *to, const sedge_lm_params *p, const json_t *line, size_t number,
                           const char *where, sg_error *err)
{
    const char *prompt, *system = p->system;
    sg_status st;

    if (!json_is_object(line))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an object with a 'prompt', found %s", where,
                       sg_json_describe(line, (char[64]){0}));
    if ((st = sg_json_need_string(&prompt, line, "prompt", where, err)) ||
        (json_object_get(line, "system") && (st = sg_json_need_string(&system, line, "system", where, err))))
        return st;
    return add_prompt(to, prompt, system, json_object_get(line, "id"), number, err);
}

sg_status api_prompts_read(api_prompts *out, const sedge_lm_params *p, sg_error *err)
{
    char where[SG_JSON_WHERE];
    json_t *line;
    sg_reader *r;
    sg_status st;

    if (!p->file)
        return add_prompt(out, p->prompt, p->system, NULL, 0, err);
    if (p->prompt)
        return sg_fail(err, SG_ERR_USAGE, "expected a prompt or a file of prompts, found both");
    st = sg_reader_open(&r, p->file, err);
    while (!st && !(st = sg_json_line(&line, where, r, err)) && line) {
        st = read_line(out, p, line, (size_t)sg_reader_line_number(r), where, err);
        json_decref(line);
    }
    sg_reader_close(r);
    if (!st && !out->n)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected prompts, found none", p->file);
    return st;
}

void api_prompts_free(api_prompts *p)
{
    for (size_t i = 0; i < p->n; i++) {
        sg_free(p->item[i].text);
        sg_free(p->item[i].system);
        json_decref(p->item[i].id);
    }
    sg_free(p->item);
    *p = (api_prompts){0};
}

/* ---- an endpoint ---------------------------------------------------------------------------------------------------------- */
typedef struct asking {
    const api_prompts *all;
    json_t **answer; /* owned: (n) objects */
    sg_turn turn[2]; /* of the request at hand */
    api_losses lost;
    const char *file; /* borrowed */
} asking;

static sg_status make(void *ctx, size_t i, sg_turns *out, sg_error *err)
{
    asking *a = ctx;
    const api_prompt *p = &a->all->item[i];

    (void)err;
    a->turn[0] = (sg_turn){"system", api_bytes(p->system)};
    a->turn[1] = (sg_turn){"user", api_bytes(p->text)};
    *out = (sg_turns){a->turn + !p->system, p->system ? 2 : 1};
    return SG_OK;
}

/* {"id": ...}, or nothing yet. */
static json_t *named(const api_prompt *p)
{
    json_t *o = json_object();

    if (o && p->id && json_object_set(o, "id", p->id)) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static sg_status give_up(void *ctx, size_t i, const sg_error *why)
{
    asking *a = ctx;
    const sg_status st = api_losses_note(&a->lost, i, a->file, a->all->item[i].line, why);

    if (st)
        return st;
    a->answer[i] = named(&a->all->item[i]);
    return a->answer[i] && !json_object_set_new(a->answer[i], "error", json_string(a->lost.why[i]))
               ? SG_OK
               : SG_ERR_MEMORY;
}

static sg_status take(void *ctx, size_t i, const sg_llm_answer *answer, sg_error *err)
{
    asking *a = ctx;
    sg_buf clean = {0};

    sg_utf8_clean(&clean, answer->text.data, answer->text.size);
    a->answer[i] = named(&a->all->item[i]);
    const bool good =
        !clean.failed && a->answer[i] &&
        !json_object_set_new(a->answer[i], "text", json_stringn(clean.data ? clean.data : "", clean.size)) &&
        !json_object_set_new(a->answer[i], "stopped", json_string(answer->cut ? "length" : "end"));
    sg_buf_free(&clean);
    return good ? SG_OK : sg_fail_memory(err, "answer");
}

/* What a call asks of an endpoint that none can do is said before anything is sent. */
static sg_status check(const sg_llm *l, const sedge_lm_params *p, const sg_generate_config *o, sg_error *err)
{
    const struct {
        bool asked;
        const char *what;
    } held[] = {{p->choices != NULL, "choices"},
                {p->schema != NULL, "schema"},
                {p->n_fm > 0, "fm"},
                {o->beam > 1, "beam"}};
    sg_status st;

    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (held[i].asked && (st = sg_llm_need(l, SG_LLM_CONSTRAIN, held[i].what, err)))
            return st;
    if (p->adapter && (st = sg_llm_need(l, SG_LLM_TRAIN, "adapter", err)))
        return st;
    if (!p->chat)
        return sg_fail(err, SG_ERR_USAGE, "chat: expected with an endpoint, which answers conversations");
    return sg_llm_need(l, SG_LLM_CHAT, "generate", err);
}

static sg_status report(json_t **out, asking *a, const sedge_lm_params *p, const sg_client_use *use,
                        const sg_llm_count *count, sg_error *err)
{
    json_t *list = json_array();
    bool good = list != NULL;

    if (!p->file) {
        *out = json_incref(a->answer[0]);
    } else {
        for (size_t i = 0; i < a->all->n && good; i++)
            good = !json_array_append(list, a->answer[i]);
        *out = good ? json_pack("{s:I, s:O}", "texts", (json_int_t)a->all->n, "list", list) : NULL;
    }
    json_decref(list);
    good = *out && !json_object_set_new(*out, "prompt_tokens", json_real(use->tokens_in)) &&
           !json_object_set_new(*out, "tokens", json_real(use->tokens_out)) &&
           !json_object_set_new(*out, "calls", json_integer((json_int_t)use->calls)) &&
           (!p->cache || !json_object_set_new(*out, "cached", json_integer((json_int_t)count->cached)));
    return good ? api_losses_report(*out, &a->lost, err) : sg_fail_memory(err, "result");
}

sg_status api_lm_ask(api_call *c, const sedge_lm_params *p, const sg_llm_config *o)
{
    api_prompts all = {0};
    asking a = {.all = &all, .file = p->file};
    sg_cache *cache = NULL;
    sg_llm *l = NULL;
    sg_llm_count count;
    sg_status st;

    if ((st = sg_llm_open(&l, p->model, o, &c->err)) || (st = check(l, p, &o->generate, &c->err)) ||
        (st = api_prompts_read(&all, p, &c->err)) || (st = api_lm_cache(&cache, p, &c->err)) ||
        (st = api_losses_make(&a.lost, all.n, &c->err)))
        goto done;
    if (!(a.answer = sg_alloc_zero(all.n, sizeof *a.answer))) {
        st = sg_fail_memory(&c->err, "answers");
        goto done;
    }
    const sg_llm_work work = {.n = all.n,
                              .ctx = &a,
                              .origin = api_bytes("lm generate"),
                              .make = make,
                              .take = take,
                              .give_up = p->file ? give_up : NULL};
    if (!(st = sg_llm_chat(l, &work, cache, &count, NULL, &c->progress, &c->err)))
        st = report(&c->result, &a, p, sg_llm_used(l), &count, &c->err);
done:
    for (size_t i = 0; i < all.n && a.answer; i++)
        json_decref(a.answer[i]);
    sg_free(a.answer);
    api_losses_free(&a.lost);
    api_prompts_free(&all);
    sg_cache_close(cache);
    sg_llm_close(l);
    return st;
}
