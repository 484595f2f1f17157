/* lm_generate.c - texts from prompts: one or many, free or held to a list, a schema or an index. */
#include "api/lm.h"
#include "api/lm_writer.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "file/json.h"

#include <string.h>

/* ---- prompts -------------------------------------------------------------------------------------------------------------- */
static sg_status tokens_of(sg_token_list *out, const api_writer *m, const api_prompt *p, bool chat, bool think, sg_error *err)
{
    sg_status st;

    sg_turn turns[] = {{"system", api_bytes(p->system)}, {"user", api_bytes(p->text)}};

    if (m->t5 && (chat || p->system))
        return sg_fail(err, SG_ERR_USAGE, "chat: expected a decoder, found a T5");
    if (!chat && p->system)
        return sg_fail(err, SG_ERR_USAGE, "system: expected with chat only");
    if (chat) {
        st = sg_chat_tokens(out, m->llama, turns + !p->system, p->system ? 2 : 1, err);
        return st || think ? st : sg_chat_no_thinking(out, m->llama, err);
    }
    return sg_text_tokens(out, api_writer_tokenizer(m), api_bytes(p->text), false, err);
}

static sg_status make_tokens(sg_token_list **out, const api_writer *m, const api_prompts *p, bool chat, bool think, sg_error *err)
{
    sg_status st = SG_OK;

    if (!(*out = sg_alloc_zero(p->n, sizeof **out)))
        return sg_fail_memory(err, "prompts");
    for (size_t i = 0; i < p->n && !st; i++)
        st = tokens_of(&(*out)[i], m, &p->item[i], chat, think, err);
    return st;
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

static sg_status guide_by_index(sg_guide **out, sg_fm **fm, const sg_tokenizer *t, const sedge_lm_params *p, bool whole, sg_error *err)
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
static sg_status open_guide(sg_guide **out, sg_fm **fm, const sg_tokenizer *t, const sedge_lm_params *p, bool whole, sg_error *err)
{
    const int asked = (p->choices != NULL) + (p->schema != NULL) + (p->n_fm > 0);

    if (asked > 1)
        return sg_fail(err, SG_ERR_USAGE, "expected one of choices, schema and fm, found %s", asked == 2 ? "two" : "three");
    if (p->choices)
        return guide_by_choices(out, t, p->choices, err);
    if (p->schema)
        return guide_by_schema(out, t, p->schema, err);
    return p->n_fm ? guide_by_index(out, fm, t, p, whole, err) : SG_OK;
}

/* ---- answers -------------------------------------------------------------------------------------------------------------- */
/* Members text, tokens, stopped and logp. */
static sg_status add_text(json_t *to, const sg_tokenizer *t, const sg_written *w, sg_error *err)
{
    sg_buf text = {0}, clean = {0};
    sg_status st = sg_tokenizer_decode(&text, t, w->tokens.id, w->tokens.n, true, err);

    if (!st) {
        sg_utf8_clean(&clean, text.data ? text.data : "", text.size);
        if (clean.failed || !to || json_object_set_new(to, "text", json_stringn(clean.data ? clean.data : "", clean.size)) ||
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
static sg_status add_answer(json_t *to, const sg_tokenizer *t, const sg_answer *a, size_t prompt_tokens, bool beams, sg_error *err)
{
    json_t *list = beams ? json_array() : NULL;
    sg_status st = add_text(to, t, &a->text[0], err);

    if (!st && json_object_set_new(to, "prompt_tokens", json_integer((json_int_t)prompt_tokens)))
        st = sg_fail_memory(err, "result");
    for (int i = 0; i < a->n && beams && !st; i++) {
        json_t *one = json_object();

        if (!(st = add_text(one, t, &a->text[i], err)) && json_array_append(list, one))
            st = sg_fail_memory(err, "result");
        json_decref(one);
    }
    if (!st && beams && json_object_set(to, "beams", list))
        st = sg_fail_memory(err, "result");
    json_decref(list);
    return st;
}

static sg_status report(json_t **out, const sg_tokenizer *t, const api_prompts *p, const sg_token_list *tokens, const sg_answer *answer, const sg_generate_report *r, bool many,
                        bool beams, sg_error *err)
{
    json_t *list = many ? json_array() : NULL, *all = json_object();
    sg_status st = all ? SG_OK : sg_fail_memory(err, "result");

    for (size_t i = 0; i < p->n && !st; i++) {
        json_t *one = many ? json_object() : json_incref(all);

        if (p->item[i].id && json_object_set(one, "id", p->item[i].id))
            st = sg_fail_memory(err, "result");
        if (!st)
            st = add_answer(one, t, &answer[i], tokens[i].n, beams, err);
        if (!st && many && json_array_append(list, one))
            st = sg_fail_memory(err, "result");
        json_decref(one);
    }
    if (!st && (json_object_set_new(all, "seconds_prompt", json_real(r->seconds[0])) ||
                json_object_set_new(all, "seconds", json_real(r->seconds[1])) ||
                (many && (json_object_set_new(all, "texts", json_integer((json_int_t)p->n)) ||
                          json_object_set_new(all, "prompt_tokens", json_real(r->prompt_tokens)) ||
                          json_object_set_new(all, "tokens", json_real(r->tokens)) || json_object_set(all, "list", list)))))
        st = sg_fail_memory(err, "result");
    json_decref(list);
    *out = all;
    return st;
}

sg_status api_lm_generate(api_call *c, const sedge_lm_params *p, const sg_generate_config *o)
{
    sg_generate_report r;
    api_writer m = {0};
    sg_desk *desk = NULL;
    sg_guide *guide = NULL;
    sg_fm *fm = NULL;
    sg_answer *answer = NULL;
    sg_token_list *tokens = NULL;
    api_prompts all = {0};
    sg_pool *pool;
    sg_status st;

    if ((st = api_writer_open(&m, p->model, p->adapter, &c->err)) || (st = api_prompts_read(&all, p, &c->err)) ||
        (st = make_tokens(&tokens, &m, &all, p->chat, o->think, &c->err)) ||
        (st = open_guide(&guide, &fm, api_writer_tokenizer(&m), p, o->whole, &c->err)) || (st = api_pool(c, &pool)) ||
        (st = api_writer_desk(&desk, &m, o->length, pool, &c->err)))
        goto done;
    if (!(answer = sg_alloc_zero(all.n, sizeof *answer))) {
        st = sg_fail_memory(&c->err, "answers");
        goto done;
    }
    const sg_generate_job job = {.desk = desk,
                                 .prompt = tokens,
                                 .n = (int)all.n,
                                 .end = p->chat ? sg_chat_end(m.llama) : -1,
                                 .guide = guide};
    if (!(st = sg_generate(answer, &r, &job, o, &c->progress, &c->err)))
        st = report(&c->result, api_writer_tokenizer(&m), &all, tokens, answer, &r, p->file != NULL, o->beam > 1, &c->err);
done:
    for (size_t i = 0; i < all.n; i++) {
        if (answer)
            sg_answer_free(&answer[i]);
        if (tokens)
            sg_free(tokens[i].id);
    }
    sg_free(answer);
    sg_free(tokens);
    sg_guide_free(guide);
    sg_fm_free(fm);
    api_prompts_free(&all);
    sg_desk_free(desk);
    api_writer_close(&m);
    return st;
}
