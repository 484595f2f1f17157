/* lessons.c - JSONL and plain text as sequences of tokens with what counts in them. */
#include "lm/lessons.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TURNS_MOST = 4096, TEXT_MOST = 1 << 30, SAY_EVERY = 256 };

typedef struct maker {
    sg_lessons *out;
    size_t cap_id, cap_counts, cap_begin;
    const sg_lessons_for *of;
    const sg_lessons_how *how;
    sg_token_list *list; /* the lesson being made ... */
    uint8_t *counts;     /* owned: ... and what counts of it */
    size_t cap_marks;
    sg_error *err;
} maker;

static sg_bytes bytes_of(const json_t *s)
{
    return (sg_bytes){json_string_value(s), json_string_length(s)};
}

/* Tokens added since the last call count, or not. */
static sg_status mark(maker *k, size_t marked, bool counts)
{
    if (!sg_grow(&k->counts, &k->cap_marks, k->list->n + 1, 1))
        return sg_fail_memory(k->err, "tokens");
    memset(k->counts + marked, counts || k->how->prompt_counts, k->list->n - marked);
    return SG_OK;
}

static sg_status add_end(maker *k, int32_t id)
{
    if (id < 0)
        return SG_OK;
    if (!sg_grow(&k->list->id, &k->list->cap, k->list->n + 1, sizeof *k->list->id))
        return sg_fail_memory(k->err, "tokens");
    k->list->id[k->list->n++] = id;
    return SG_OK;
}

/* A text of its own with its end, whether the tokenizer puts one or not. */
static sg_status add_whole(maker *k, sg_bytes text, bool literal)
{
    const size_t begin = k->list->n;
    const sg_status st = sg_text_tokens(k->list, k->of->tokenizer, text, literal, k->err);

    if (st || (k->list->n > begin && k->list->id[k->list->n - 1] == k->of->end))
        return st;
    return add_end(k, k->of->end);
}

/* A text behind something else: nothing around it, and no special token that it spells is one. */
static sg_status add_bare(maker *k, sg_bytes text)
{
    const sg_encode_how how = {.bare = true, .literal = true};
    const int32_t *id;
    sg_encoder *e;
    size_t n;
    sg_status st = sg_encoder_new(&e, k->of->tokenizer, k->err);

    if (!st && !(st = sg_encoder_run(&id, &n, e, text, &how, k->err))) {
        if (!sg_grow(&k->list->id, &k->list->cap, k->list->n + n, sizeof *k->list->id))
            st = sg_fail_memory(k->err, "tokens");
        else if (n) {
            memcpy(k->list->id + k->list->n, id, n * sizeof *id);
            k->list->n += n;
        }
    }
    sg_encoder_free(e);
    return st;
}

/* The lesson at hand into the set, cut to length; one in which nothing counts is left out. */
static sg_status keep(maker *k)
{
    sg_lessons *o = k->out;
    size_t begin = 0, end = k->list->n, first = 1;
    const size_t most = (size_t)k->how->most, old = o->begin[o->n];

    while (first < end && !k->counts[first])
        first++;
    if (first >= end)
        return SG_OK;
    if (end > most) { /* one token before the first that counts stays */
        begin = end - most < first - 1 ? end - most : first - 1;
        end = begin + most < end ? begin + most : end;
        o->cut++;
    }
    const size_t n = end - begin;
    if (!sg_grow(&o->id, &k->cap_id, old + n, sizeof *o->id) ||
        !sg_grow(&o->counts, &k->cap_counts, old + n, 1) ||
        !sg_grow(&o->begin, &k->cap_begin, o->n + 2, sizeof *o->begin))
        return sg_fail_memory(k->err, "tokens");
    memcpy(o->id + old, k->list->id + begin, n * sizeof *o->id);
    memcpy(o->counts + old, k->counts + begin, n);
    o->counts[old] = 0;
    for (size_t i = old; i < old + n; i++)
        o->counted += o->counts[i];
    o->begin[++o->n] = old + n;
    return SG_OK;
}

/* ---- conversations ---------------------------------------------------------------------------------------------------------- */

/* What the model is given before turn `at`, then that turn as its template writes it, and its end. Turns of the assistant before it count, too,
 * where the tokens before them are those that they were given: at a seam a tokenizer may join what the model itself would write apart. */
static sg_status conversation(maker *k, const sg_turn *turn, size_t at)
{
    sg_token_list before = {0};
    const int32_t end = sg_chat_end(k->of->chat);
    size_t asked = 0;
    sg_status st;

    k->list->n = 0;
    if (!(st = sg_chat_lesson(k->list, &asked, k->of->chat, turn, at, k->err)) && !(st = mark(k, 0, false)))
        st = mark(k, asked, true);
    for (size_t i = 0; i < at && !st; i++) {
        if (strcmp(turn[i].role, "assistant") != 0)
            continue;
        before.n = 0;
        if ((st = sg_chat_tokens(&before, k->of->chat, turn, i, true, k->err)))
            break;
        if (before.n < asked && memcmp(before.id, k->list->id, before.n * sizeof *before.id) == 0)
            for (size_t t = before.n; t < asked; t++) {
                k->counts[t] = 1;
                if (k->list->id[t] == end)
                    break;
            }
    }
    sg_free(before.id);
    return st;
}

static sg_status read_messages(maker *k, const json_t *list, const char *where)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    const size_t n = json_array_size(list);
    sg_turn *turn = sg_alloc_zero(n, sizeof *turn);
    size_t last = SIZE_MAX;
    sg_status st = SG_OK;

    if (!turn)
        return sg_fail_memory(k->err, "messages");
    if (n > TURNS_MOST)
        st = sg_fail(k->err, SG_ERR_FORMAT, "%s: 'messages': expected at most %d, found %zu", where,
                     TURNS_MOST, n);
    for (size_t i = 0; i < n && !st; i++) {
        const json_t *one = json_array_get(list, i), *role = json_object_get(one, "role"),
                     *text = json_object_get(one, "content");

        for (size_t r = 0; r < 3; r++)
            if (json_is_string(role) && strcmp(json_string_value(role), roles[r]) == 0)
                turn[i].role = roles[r];
        if (!turn[i].role || !json_is_string(text))
            st = sg_fail(
                k->err, SG_ERR_FORMAT,
                "%s: message %zu: expected a 'role' system, user or assistant and a 'content' of text", where,
                i + 1);
        turn[i].text = bytes_of(text);
        if (turn[i].role == roles[2])
            last = i;
    }
    if (!st && last == SIZE_MAX)
        st = sg_fail(k->err, SG_ERR_FORMAT, "%s: 'messages': expected a turn of the assistant, found none",
                     where);
    if (!st)
        st = conversation(k, turn, last);
    sg_free(turn);
    return st;
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------ */
static sg_status answer(maker *k, sg_bytes prompt, sg_bytes completion)
{
    size_t marked;
    sg_status st;

    if (k->how->chat) {
        const sg_turn turn[] = {{"user", prompt}, {"assistant", completion}};

        return conversation(k, turn, 1);
    }
    if (k->of->encoder) {
        if ((st = add_whole(k, prompt, false)) || (st = mark(k, 0, false)))
            return st;
        marked = k->list->n;
        return (st = add_whole(k, completion, true)) ? st : mark(k, marked, true);
    }
    if ((st = sg_text_tokens(k->list, k->of->tokenizer, prompt, false, k->err)) || (st = mark(k, 0, false)))
        return st;
    marked = k->list->n;
    if ((st = add_bare(k, completion)) || (st = add_end(k, k->of->end)))
        return st;
    return mark(k, marked, true);
}

static sg_status need_text(sg_bytes *out, const json_t *o, const char *key, const char *where, sg_error *err)
{
    const json_t *text = json_object_get(o, key);

    if (!json_is_string(text))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected a text, found %s", where, key,
                       text ? sg_json_describe(text, (char[64]){0}) : "nothing");
    *out = bytes_of(text);
    return SG_OK;
}

static sg_status read_instruction(maker *k, const json_t *o, const char *where)
{
    sg_bytes ask = {"", 0}, input = ask, output = ask;
    sg_buf prompt = {0};
    sg_status st;

    if ((st = need_text(&ask, o, "instruction", where, k->err)) ||
        (st = need_text(&output, o, "output", where, k->err)) ||
        (json_object_get(o, "input") && (st = need_text(&input, o, "input", where, k->err))))
        return st;
    sg_buf_add(&prompt, ask.data, ask.size);
    if (input.size) {
        sg_buf_putc(&prompt, '\n');
        sg_buf_add(&prompt, input.data, input.size);
    }
    if (!k->how->chat)
        sg_buf_putc(&prompt, '\n');
    st = prompt.failed ? sg_fail_memory(k->err, where)
                       : answer(k, (sg_bytes){prompt.data ? prompt.data : "", prompt.size}, output);
    sg_buf_free(&prompt);
    return st;
}

static sg_status read_object(maker *k, const json_t *o, const char *where)
{
    sg_bytes a, b;
    sg_status st;

    k->list->n = 0;
    if (json_is_array(json_object_get(o, "messages")) && k->of->chat)
        return read_messages(k, json_object_get(o, "messages"), where);
    if (json_object_get(o, "instruction"))
        return read_instruction(k, o, where);
    if (json_object_get(o, "prompt")) {
        if ((st = need_text(&a, o, "prompt", where, k->err)) ||
            (st = need_text(&b, o, "completion", where, k->err)))
            return st;
        return answer(k, a, b);
    }
    if (k->of->encoder)
        return sg_fail(k->err, SG_ERR_FORMAT,
                       "%s: expected 'prompt' and 'completion', or 'instruction' and 'output', for an "
                       "encoder and decoder",
                       where);
    if (!json_object_get(o, "text"))
        return sg_fail(
            k->err, SG_ERR_FORMAT,
            "%s: expected 'messages', 'prompt' and 'completion', 'instruction' and 'output', or 'text'",
            where);
    if ((st = need_text(&a, o, "text", where, k->err)) ||
        (st = sg_text_tokens(k->list, k->of->tokenizer, a, true, k->err)) || (st = add_end(k, k->of->end)))
        return st;
    return mark(k, 0, true);
}

static sg_status read_lines(maker *k, const char *path, const sg_progress *progress)
{
    char where[SG_JSON_WHERE];
    json_t *line;
    sg_reader *r;
    sg_status st = sg_reader_open(&r, path, k->err);

    while (!st && !(st = sg_json_line(&line, where, r, k->err)) && line) {
        if (!(st = read_object(k, line, where)) && !(st = keep(k)) &&
            sg_reader_line_number(r) % SAY_EVERY == 0)
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "read",
                                                       .unit = "bytes",
                                                       .done = (double)sg_reader_offset(r),
                                                       .total = (double)sg_reader_size(r),
                                                       .loss = (double)NAN},
                                  k->err);
        json_decref(line);
    }
    sg_reader_close(r);
    return st;
}

/* ---- plain text ------------------------------------------------------------------------------------------------------------- */
static sg_status read_plain(maker *k, const char *path)
{
    sg_token_list all = {0}, *piece = k->list;
    sg_buf text = {0};
    sg_status st = sg_file_read_any(&text, path, TEXT_MOST, k->err);

    if (!st)
        st = sg_text_tokens(&all, k->of->tokenizer, (sg_bytes){text.data ? text.data : "", text.size}, true,
                            k->err);
    for (size_t at = 0; at + 1 < all.n && !st; at += (size_t)k->how->most) {
        sg_token_list part = {.id = all.id + at,
                              .n = all.n - at < (size_t)k->how->most ? all.n - at : (size_t)k->how->most};

        k->list = &part;
        if (!(st = mark(k, 0, true)))
            st = keep(k);
    }
    k->list = piece;
    sg_free(all.id);
    sg_buf_free(&text);
    return st;
}

static bool ends_with(const char *s, const char *ending)
{
    const size_t n = strlen(s), m = strlen(ending);

    return n >= m && strcmp(s + n - m, ending) == 0;
}

static bool is_json(const char *path)
{
    static const char *const endings[] = {".jsonl",   ".json",      ".jsonl.gz",
                                          ".json.gz", ".jsonl.zst", ".json.zst"};

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(path, endings[i]))
            return true;
    return false;
}

sg_lessons_for sg_lessons_for_llama(const sg_llama *m)
{
    return (sg_lessons_for){sg_llama_tokenizer(m), sg_llama_config_of(m)->end, m, false};
}

sg_status sg_lessons_read(sg_lessons *out, const sg_lessons_for *of, const char *path,
                          const sg_lessons_how *how, const sg_progress *progress, sg_error *err)
{
    sg_token_list list = {0};
    maker k = {.out = out, .of = of, .how = how, .list = &list, .err = err};
    sg_status st = SG_OK;

    *out = (sg_lessons){0};
    if (of->encoder && (how->chat || how->prompt_counts))
        return sg_fail(err, SG_ERR_USAGE, "%s: expected a decoder, found an encoder and decoder",
                       how->chat ? "chat" : "prompt_counts");
    if (of->encoder && !is_json(path))
        return sg_fail(err, SG_ERR_USAGE, "%s: expected a .jsonl file, of prompts and what is to be answered",
                       path);
    if (!sg_grow(&out->begin, &k.cap_begin, 1, sizeof *out->begin))
        st = sg_fail_memory(err, "tokens");
    else
        out->begin[0] = 0;
    if (!st)
        st = is_json(path) ? read_lines(&k, path, progress) : read_plain(&k, path);
    if (!st && out->n == 0)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected texts to learn from, found none", path);
    sg_free(list.id);
    sg_free(k.counts);
    if (st)
        sg_lessons_free(out);
    return st;
}

void sg_lessons_free(sg_lessons *l)
{
    sg_free(l->begin);
    sg_free(l->id);
    sg_free(l->counts);
    *l = (sg_lessons){0};
}
