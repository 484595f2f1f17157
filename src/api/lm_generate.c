/* lm_generate.c - texts from prompts: one or many, free or held to a list, a schema or an index. */
#include "api/lm.h"
#include "api/lm_writer.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "file/json.h"
#include "file/receipt.h"
#include "file/sha256.h"
#include "lm/identity.h"
#include "lm/stop.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- prompts -------------------------------------------------------------------------------------------------------------- */
static sg_status tokens_of(sg_token_list *out, const api_writer *m, const api_prompt *p, bool chat,
                           bool think, sg_error *err)
{
    sg_turn turns[] = {{"system", api_bytes(p->system)}, {"user", api_bytes(p->text)}};

    if (m->t5 && (chat || p->system))
        return sg_fail(err, SG_ERR_USAGE, "chat: expected a decoder, found a T5");
    if (!chat && p->system)
        return sg_fail(err, SG_ERR_USAGE, "system: expected with chat only");
    if (!chat && !think)
        return sg_fail(err, SG_ERR_USAGE, "think: expected with chat only");
    if (chat)
        return sg_chat_tokens(out, m->llama, turns + !p->system, p->system ? 2 : 1, think, err);
    return sg_text_tokens(out, api_writer_tokenizer(m), api_bytes(p->text), false, err);
}

/* ---- guides --------------------------------------------------------------------------------------------------------------- */
typedef struct strings { /* of tokens */
    sg_token_list all;
    int64_t *offsets; /* owned: (n + 1) */
    size_t n, cap;
} strings;

/* The lines of a file that are not empty. */
static sg_status read_strings(strings *s, const sg_tokenizer *t, const char *path, sg_error *err)
{
    sg_reader *r;
    sg_status st = sg_reader_open(&r, path, err);

    if (st)
        return st;
    for (;;) {
        const char *line;
        size_t size;

        if ((st = sg_reader_line(r, &line, &size, err)) || !line)
            break;
        if (!size)
            continue;
        if (s->n >= INT32_MAX - 1 || !sg_grow(&s->offsets, &s->cap, s->n + 2, sizeof *s->offsets)) {
            st = sg_fail_memory(err, path);
            break;
        }
        s->offsets[s->n] = (int64_t)s->all.n;
        if ((st = sg_bare_tokens(&s->all, t, (sg_bytes){line, size}, err)))
            break;
        if ((int64_t)s->all.n > s->offsets[s->n])
            s->offsets[++s->n] = (int64_t)s->all.n;
    }
    sg_reader_close(r);
    if (!st && !s->n)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a text a line, found none", path);
    return st;
}

static sg_status guide_by_index(sg_guide **out, sg_fm **fm, const sg_tokenizer *t, const sedge_lm_params *p,
                                bool whole, sg_error *err)
{
    strings s = {0};
    sg_status st = SG_OK;

    for (size_t i = 0; i < p->n_fm && !st; i++)
        st = read_strings(&s, t, p->fm[i], err);
    if (!st && !(st = sg_fm_new(fm, s.all.id, s.offsets, (int32_t)s.n, sg_tokenizer_size(t), 0, err)))
        st = sg_guide_fm(out, *fm, whole, err);
    sg_free(s.all.id);
    sg_free(s.offsets);
    return st;
}

static sg_status guide_by_choices(sg_guide **out, const sg_tokenizer *t, const char *path, sg_error *err)
{
    strings s = {0};
    sg_status st = read_strings(&s, t, path, err);

    if (!st)
        st = sg_guide_choices(out, s.all.id, s.offsets, (int32_t)s.n, err);
    sg_free(s.all.id);
    sg_free(s.offsets);
    return st;
}

static sg_status guide_by_schema(sg_guide **out, const sg_tokenizer *t, const char *path, sg_error *err)
{
    json_t *root = NULL;
    sg_status st = sg_json_read(&root, path, SG_JSON_BYTES_MAX, err);

    if (!st)
        st = sg_guide_schema(out, root, t, path, err);
    json_decref(root);
    return st;
}

/* *out NULL: free. *fm: what the guide reads. */
static sg_status open_guide(sg_guide **out, sg_fm **fm, const sg_tokenizer *t, const sedge_lm_params *p,
                            bool whole, sg_error *err)
{
    const int asked = (p->choices != NULL) + (p->schema != NULL) + (p->n_fm > 0);

    if (asked > 1)
        return sg_fail(err, SG_ERR_USAGE, "expected one of choices, schema and fm, found %s",
                       asked == 2 ? "two" : "three");
    if (p->choices)
        return guide_by_choices(out, t, p->choices, err);
    if (p->schema)
        return guide_by_schema(out, t, p->schema, err);
    return p->n_fm ? guide_by_index(out, fm, t, p, whole, err) : SG_OK;
}

/* ---- answers -------------------------------------------------------------------------------------------------------------- */
/* Members text, tokens, stopped and logp. */
static sg_status add_text(json_t *to, const sg_tokenizer *t, const sg_written *w, const char *stop,
                          sg_error *err)
{
    sg_buf text = {0}, clean = {0};
    sg_status st = sg_tokenizer_decode(&text, t, w->tokens.id, w->tokens.n, true, err);

    if (!st) {
        const sg_bytes answer = sg_stop_before((sg_bytes){text.data ? text.data : "", text.size}, stop);

        sg_utf8_clean(&clean, answer.data, answer.size);
        if (clean.failed || !to ||
            json_object_set_new(to, "text", json_stringn(clean.data ? clean.data : "", clean.size)) ||
            json_object_set_new(to, "tokens", json_integer((json_int_t)w->tokens.n)) ||
            json_object_set_new(to, "stopped", json_string(w->ended ? "end" : "length")) ||
            json_object_set_new(to, "logp", json_real(w->logp)))
            st = sg_fail_memory(err, "result");
    }
    sg_buf_free(&text);
    sg_buf_free(&clean);
    return st;
}

/* One answer: its best text, and with beams all of them. */
static sg_status add_answer(json_t *to, const sg_tokenizer *t, const sg_answer *a, size_t prompt_tokens,
                            bool beams, const char *stop, sg_error *err)
{
    json_t *list = beams ? json_array() : NULL;
    sg_status st = add_text(to, t, &a->text[0], stop, err);

    if (!st && json_object_set_new(to, "prompt_tokens", json_integer((json_int_t)prompt_tokens)))
        st = sg_fail_memory(err, "result");
    for (int i = 0; i < a->n && beams && !st; i++) {
        json_t *one = json_object();

        if (!(st = add_text(one, t, &a->text[i], stop, err)) && json_array_append(list, one))
            st = sg_fail_memory(err, "result");
        json_decref(one);
    }
    if (!st && beams && json_object_set(to, "beams", list))
        st = sg_fail_memory(err, "result");
    json_decref(list);
    return st;
}

/* ---- all of them ---------------------------------------------------------------------------------------------------------- */
typedef struct writing {
    const sedge_lm_params *p;
    const sg_generate_config *o;
    api_writer m;
    api_prompts all;
    json_t **result; /* owned (all.n): members of an answer; NULL: there is none */
    api_losses lost;
    size_t cached;
    int *of;               /* owned (all.n): prompts that are written on */
    sg_token_list *tokens; /* owned (all.n): of those */
    int n;
    sg_answer *answer; /* owned (n) */
    sg_stopper stop;
    sg_cache *cache;     /* owned; NULL: none */
    sg_cache_key before; /* of all that answers depend on but the prompt, as part of keys */
} writing;

static const char *const file_kinds[] = {"choices", "schema", "fm"};

/* The files of the form that answers are held to, by their bytes. */
static sg_status add_files(sg_buf *to, const char *kind, const char *const *path, size_t n, sg_error *err)
{
    sg_status st = SG_OK;

    for (size_t i = 0; i < n && path[i] && !st; i++) {
        char hex[65];

        if (!(st = sg_sha256_file(hex, NULL, path[i], err)))
            sg_buf_printf(to, " %s %s", kind, hex);
    }
    return st;
}

/* The batch changes no answer: it is left out. */
static sg_status hash_model(writing *w, sg_error *err)
{
    json_t *options = sg_receipt_options(w->o, sg_generate_options, sg_n_generate_options);
    sg_buf how = {0};
    char hex[65];
    sg_status st;

    json_object_del(options, "batch");
    if (options)
        sg_json_print_compact(&how, options);
    json_decref(options);
    sg_buf_puts(&how, w->p->chat ? " chat" : " plain");
    if (!(st = sg_model_identify(hex, w->p->model, w->p->adapter, err)) &&
        !(st = add_files(&how, file_kinds[0], &w->p->choices, 1, err)) &&
        !(st = add_files(&how, file_kinds[1], &w->p->schema, 1, err)) &&
        !(st = add_files(&how, file_kinds[2], w->p->fm, w->p->n_fm, err)))
        st = !options || how.failed ? sg_fail_memory(err, "options") : SG_OK;
    if (!st) {
        const sg_bytes part[] = {
            api_bytes("generate"), api_bytes(hex), {how.data, how.size}, api_bytes(w->stop.text)};

        sg_cache_key_of(w->before, part, 4);
    }
    sg_buf_free(&how);
    return st;
}

/* What is drawn depends on the number of the prompt, too. */
static void key_of(sg_cache_key key, const writing *w, size_t i)
{
    const api_prompt *p = &w->all.item[i];
    char number[32] = "";

    if (w->o->temperature > 0)
        snprintf(number, sizeof number, "%zu", i);
    const sg_bytes part[] = {api_bytes(w->before), api_bytes(number), api_bytes(p->system ? "system" : ""),
                             api_bytes(p->system), api_bytes(p->text)};
    sg_cache_key_of(key, part, 5);
}

/* What is kept of prompt i, unless it cannot be read: such a one is asked again, and replaced. */
static sg_status find(writing *w, size_t i, sg_error *err)
{
    sg_buf text = {0};
    sg_cache_key key;
    bool cut, found = false;
    sg_status st;

    key_of(key, w, i);
    if (!(st = sg_cache_find(w->cache, key, 0, &text, &cut, &found, err)) && found &&
        (st = sg_json_parse_foreign(&w->result[i], (sg_bytes){text.data ? text.data : "", text.size},
                                    w->p->cache, err)) == SG_ERR_FORMAT)
        st = SG_OK;
    if (w->result[i] && !json_is_string(json_object_get(w->result[i], "text"))) {
        json_decref(w->result[i]);
        w->result[i] = NULL;
    }
    w->cached += w->result[i] != NULL;
    sg_buf_free(&text);
    return st;
}

/* An answer is there: what it says stays, its tokens go. */
static sg_status take(void *ctx, int at, sg_answer *a, sg_error *err)
{
    writing *w = ctx;
    const int i = w->of[at];
    json_t *one = w->result[i] = json_object();
    sg_buf text = {0};
    sg_status st =
        add_answer(one, api_writer_tokenizer(&w->m), a, w->tokens[at].n, w->o->beam > 1, w->stop.text, err);

    if (!st && w->cache) {
        const sg_written *best = &a->text[0];
        sg_cache_key key;

        sg_json_print_compact(&text, one);
        const sg_cache_answer kept = {.prompt = api_bytes(w->all.item[i].text),
                                      .text = {text.data, text.size},
                                      .model = api_bytes(w->p->model),
                                      .origin = api_bytes("lm generate"),
                                      .tokens_in = (double)w->tokens[at].n,
                                      .tokens_out = (double)best->tokens.n,
                                      .time = (int64_t)time(NULL),
                                      .cut = !best->ended};
        key_of(key, w, (size_t)i);
        st = text.failed ? sg_fail_memory(err, "answer") : sg_cache_put(w->cache, key, &kept, err);
    }
    sg_buf_free(&text);
    sg_answer_free(a);
    return st;
}

static sg_status ends(bool *yes, void *ctx, int at, const sg_token_list *written, sg_error *err)
{
    writing *w = ctx;

    (void)at;
    return sg_stopper_reached(yes, &w->stop, written, err);
}

static uint64_t number_of(void *ctx, int at)
{
    const writing *w = ctx;

    return (uint64_t)w->of[at];
}

/* The tokens of all prompts that the cache has no answer to. Of a file one that is too long is lost, and the others are not. */
static sg_status list_prompts(writing *w, sg_error *err)
{
    const size_t places = w->m.t5 ? SIZE_MAX : (size_t)sg_llama_places(w->m.llama);
    sg_status st = SG_OK;

    w->of = sg_alloc_zero(w->all.n, sizeof *w->of);
    w->tokens = sg_alloc_zero(w->all.n, sizeof *w->tokens);
    w->answer = sg_alloc_zero(w->all.n, sizeof *w->answer);
    w->result = sg_alloc_zero(w->all.n, sizeof *w->result);
    if (!w->of || !w->tokens || !w->answer || !w->result)
        return sg_fail_memory(err, "prompts");
    for (size_t i = 0; i < w->all.n && !st; i++) {
        sg_token_list *t = &w->tokens[w->n];

        if ((w->cache && (st = find(w, i, err))) || w->result[i])
            continue;
        t->n = 0;
        if ((st = tokens_of(t, &w->m, &w->all.item[i], w->p->chat, w->o->think, err)))
            break;
        w->of[w->n] = (int)i;
        w->n++;
        if ((t->n == 0 || t->n >= places) && w->p->file) {
            if (t->n)
                sg_fail(err, SG_ERR_USAGE,
                        "prompt: expected fewer tokens than the %zu that there is room for, found %zu",
                        places, t->n);
            else
                sg_fail(err, SG_ERR_USAGE, "expected a prompt, found nothing");
            if ((st = api_losses_note(&w->lost, i, w->p->file, w->all.item[i].line, err)))
                sg_fail_memory(err, "prompts");
            w->n--;
        }
    }
    return st;
}

/* Members of answer i behind those that `to` has. */
static sg_status add_result(json_t *to, const writing *w, size_t i, sg_error *err)
{
    const json_t *id = w->all.item[i].id;

    if ((id && json_object_set(to, "id", (json_t *)(uintptr_t)id)) ||
        (w->lost.why[i] ? json_object_set_new(to, "error", json_string(w->lost.why[i]))
                        : json_object_update(to, w->result[i])))
        return sg_fail_memory(err, "result");
    return SG_OK;
}

static sg_status report(json_t **out, const writing *w, const sg_generate_report *r, sg_error *err)
{
    const bool many = w->p->file != NULL;
    json_t *list = many ? json_array() : NULL, *all = json_object();
    sg_status st = all ? SG_OK : sg_fail_memory(err, "result");

    for (size_t i = 0; i < w->all.n && !st; i++) {
        json_t *one = many ? json_object() : json_incref(all);

        st = add_result(one, w, i, err);
        if (!st && many && json_array_append(list, one))
            st = sg_fail_memory(err, "result");
        json_decref(one);
    }
    if (!st && (json_object_set_new(all, "seconds_prompt", json_real(r->seconds[0])) ||
                json_object_set_new(all, "seconds", json_real(r->seconds[1])) ||
                (w->cache && json_object_set_new(all, "cached", json_integer((json_int_t)w->cached))) ||
                (many && (json_object_set_new(all, "texts", json_integer((json_int_t)w->all.n)) ||
                          json_object_set_new(all, "prompt_tokens", json_real(r->prompt_tokens)) ||
                          json_object_set_new(all, "tokens", json_real(r->tokens)) ||
                          json_object_set(all, "list", list)))))
        st = sg_fail_memory(err, "result");
    json_decref(list);
    *out = all;
    return st ? st : api_losses_report(all, &w->lost, err);
}

static void free_writing(writing *w)
{
    for (size_t i = 0; i < w->all.n; i++) {
        if (w->answer)
            sg_answer_free(&w->answer[i]);
        if (w->tokens)
            sg_free(w->tokens[i].id);
        if (w->result)
            json_decref(w->result[i]);
    }
    sg_free(w->answer);
    sg_free(w->tokens);
    sg_free(w->of);
    sg_free(w->result);
    api_losses_free(&w->lost);
    sg_stopper_free(&w->stop);
    sg_cache_close(w->cache);
    api_prompts_free(&w->all);
    api_writer_close(&w->m);
}

/* Whatever is not kept yet is written together. */
static sg_status write_all(writing *w, api_call *c, sg_generate_report *r)
{
    const sg_generate_watch watch = {
        .ctx = w, .ends = *w->stop.text ? ends : NULL, .done = take, .number = number_of};
    sg_desk *desk = NULL;
    sg_guide *guide = NULL;
    sg_fm *fm = NULL;
    sg_pool *pool;
    sg_status st;

    if (!(st = open_guide(&guide, &fm, w->stop.tokenizer, w->p, w->o->whole, &c->err)) && w->n &&
        !(st = api_pool(c, &pool)) && !(st = api_writer_desk(&desk, &w->m, w->o->length, pool, &c->err))) {
        const sg_generate_job job = {.desk = desk,
                                     .prompt = w->tokens,
                                     .n = w->n,
                                     .end = w->p->chat ? sg_chat_end(w->m.llama) : -1,
                                     .guide = guide,
                                     .watch = &watch};

        st = sg_generate(w->answer, r, &job, w->o, &c->progress, &c->err);
    }
    sg_guide_free(guide);
    sg_fm_free(fm);
    sg_desk_free(desk);
    return st;
}

sg_status api_lm_generate(api_call *c, const sedge_lm_params *p, const sg_llm_config *o)
{
    writing w = {.p = p, .o = &o->generate, .stop = {.text = o->stop}};
    sg_generate_report r = {0};
    sg_status st;

    if (*o->stop && (p->choices || p->schema || p->n_fm))
        return sg_fail(&c->err, SG_ERR_USAGE,
                       "stop: expected without choices, schema and fm, which say where an answer ends");
    if (o->generate.whole && !p->n_fm)
        return sg_fail(&c->err, SG_ERR_USAGE, "whole: expected with fm only");
    if (!(st = api_writer_open(&w.m, p->model, p->adapter, &c->err)) &&
        !(st = api_prompts_read(&w.all, p, &c->err)) && !(st = api_losses_make(&w.lost, w.all.n, &c->err)) &&
        !(st = api_lm_cache(&w.cache, p, &c->err))) {
        w.stop.tokenizer = api_writer_tokenizer(&w.m);
        if ((!w.cache || !(st = hash_model(&w, &c->err))) && !(st = list_prompts(&w, &c->err)) &&
            !(st = write_all(&w, c, &r)))
            st = report(&c->result, &w, &r, &c->err);
    }
    free_writing(&w);
    return st;
}
