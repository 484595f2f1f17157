/* chat.c - conversations as a model's own chat template writes them. The template, a program in Jinja, is run (text/jinja.c); what people said
 * is known byte by byte in what it writes, and never read as a special token. */
#define _GNU_SOURCE /* memmem */
#include "lm/chat.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "text/jinja.h"

#include <string.h>

static sg_bytes bytes_of(const char *text)
{
    return (sg_bytes){text, strlen(text)};
}

static bool add(sg_token_list *out, const int32_t *id, size_t n)
{
    if (!sg_grow(&out->id, &out->cap, out->n + n, sizeof *out->id))
        return false;
    if (n)
        memcpy(out->id + out->n, id, n * sizeof *id);
    out->n += n;
    return true;
}

static sg_status encode(sg_token_list *out, const sg_tokenizer *t, sg_bytes text, const sg_encode_how *how,
                        sg_error *err)
{
    sg_encoder *e;
    const int32_t *id;
    size_t n;
    sg_status st = sg_encoder_new(&e, t, err);

    if (!st && !(st = sg_encoder_run(&id, &n, e, text, how, err)) && !add(out, id, n))
        st = sg_fail_memory(err, "tokens");
    sg_encoder_free(e);
    return st;
}

sg_status sg_text_tokens(sg_token_list *out, const sg_tokenizer *t, sg_bytes text, bool literal,
                         sg_error *err)
{
    return encode(out, t, text, &(sg_encode_how){.literal = literal}, err);
}

sg_status sg_bare_tokens(sg_token_list *out, const sg_tokenizer *t, sg_bytes text, sg_error *err)
{
    return encode(out, t, text, &(sg_encode_how){.bare = true, .literal = true}, err);
}

/* Bytes from .. to of what a template wrote. */
static sg_status encode_part(sg_token_list *out, const sg_llama *m, const sg_jinja_out *o, size_t from,
                             size_t to, sg_error *err)
{
    if (from == to)
        return SG_OK;
    return encode(out, sg_llama_tokenizer(m), (sg_bytes){o->text.data + from, to - from},
                  &(sg_encode_how){.bare = true, .said = (const uint8_t *)o->said.data + from}, err);
}

/* ---- what a template writes ------------------------------------------------------------------------------------------------- */
/* Whether each turn of a system or a user that says something is in what was written: some templates pass over what they have no form for. */
static sg_status check_heard(const sg_jinja_out *o, const sg_turn *turn, size_t n, sg_error *err)
{
    bool heard[256] = {false};

    for (size_t i = 0; i < o->said.size; i++)
        heard[(uint8_t)o->said.data[i]] = true;
    for (size_t i = 0; i < n; i++) {
        size_t blank = 0;

        while (blank < turn[i].text.size && strchr(" \t\n\v\f\r", turn[i].text.data[blank]))
            blank++;
        if (!heard[1 + i % 255] && blank < turn[i].text.size && strcmp(turn[i].role, "assistant") != 0)
            return sg_fail(err, SG_ERR_USAGE, "the model's chat template leaves out what the %.20s says",
                           turn[i].role);
    }
    return SG_OK;
}

/* The size of a name of turns at s, "<|user|>", "[INST]", "<<SYS>>"; 0: none. */
static size_t name_size(const char *s, size_t size)
{
    static const char *const ends[][2] = {{"<|", "|>"}, {"[", "]"}, {"<<", ">>"}};

    for (size_t i = 0; i < 3; i++) {
        const size_t a = strlen(ends[i][0]), b = strlen(ends[i][1]);
        size_t n = a;

        if (size < a || memcmp(s, ends[i][0], a) != 0)
            continue;
        while (n < size && ((s[n] >= 'A' && s[n] <= 'Z') || s[n] == '/' || s[n] == '_' ||
                            (i == 0 && s[n] >= 'a' && s[n] <= 'z')))
            n++;
        if (n > a && size - n >= b && memcmp(s + n, ends[i][1], b) == 0)
            return n + b;
    }
    return 0;
}

/* Where the names of turns are text and no tokens, a text that spells one would forge a turn. */
static sg_status check_forged(const sg_llama *m, const sg_jinja_out *o, const sg_turn *turn, size_t n,
                              sg_error *err)
{
    const sg_tokenizer *t = sg_llama_tokenizer(m);
    size_t size;

    for (size_t at = 0; at < o->text.size; at += size ? size : 1) {
        const sg_bytes name = {o->text.data + at,
                               size = o->said.data[at] ? 0 : name_size(o->text.data + at, o->text.size - at)};
        const int32_t id = size ? sg_tokenizer_find(t, name) : -1;

        if (!size || o->said.data[at + size - 1] || (id >= 0 && sg_tokenizer_is_special(t, id)))
            continue;
        for (size_t i = 0; i < n; i++)
            if (turn[i].text.size && memmem(turn[i].text.data, turn[i].text.size, name.data, name.size))
                return sg_fail(err, SG_ERR_USAGE,
                               "expected a text without %.*s, which names turns in this model's chat "
                               "template and is no token",
                               (int)(name.size < 60 ? name.size : 60), name.data);
    }
    return SG_OK;
}

/* Turns as a template takes them: in UTF-8. *room: (n) buffers, owned by the caller, of those that had to be mended. */
static sg_status clean(sg_jinja_turn *to, sg_buf *room, const sg_turn *turn, size_t n, sg_error *err)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = (sg_jinja_turn){turn[i].role, turn[i].text};
        if (sg_utf8_valid(turn[i].text.data, turn[i].text.size))
            continue;
        sg_utf8_clean(&room[i], turn[i].text.data, turn[i].text.size);
        if (room[i].failed)
            return sg_fail_memory(err, "messages");
        to[i].text = (sg_bytes){room[i].data, room[i].size};
    }
    return SG_OK;
}

typedef enum head { NO_HEAD, HEAD, HEAD_WITHOUT_THOUGHTS } head; /* of an answer, behind the turns */

/* Into *out, which the caller frees whatever comes back. */
static sg_status render(sg_jinja_out *out, const sg_llama *m, const sg_turn *turn, size_t n, head what,
                        sg_error *err)
{
    const char *template = sg_llama_chat_template(m);
    sg_jinja_turn *turns = sg_alloc_zero(n + 1, sizeof *turns);
    sg_buf *room = sg_alloc_zero(n + 1, sizeof *room);
    const sg_jinja_vars vars = {.turn = turns,
                                .n = n,
                                .answer = what != NO_HEAD,
                                .no_thinking = what == HEAD_WITHOUT_THOUGHTS,
                                .bos = sg_llama_bos(m),
                                .eos = sg_llama_eos(m)};
    sg_status st = turns && room ? SG_OK : sg_fail_memory(err, "messages");

    if (!st && !*template)
        st = sg_fail(err, SG_ERR_MISSING, "expected a model with a chat template, found none in its files");
    if (!st && !(st = clean(turns, room, turn, n, err)) &&
        !(st = sg_jinja_render(out, bytes_of(template), &vars, err)) &&
        !(st = check_heard(out, turn, n, err)))
        st = check_forged(m, out, turn, n, err);
    for (size_t i = 0; room && i < n; i++)
        sg_buf_free(&room[i]);
    sg_free(room);
    sg_free(turns);
    return st;
}

/* ---- tokens ----------------------------------------------------------------------------------------------------------------- */
static sg_status add_no_thoughts(sg_token_list *out, const sg_llama *m, sg_error *err)
{
    return encode(out, sg_llama_tokenizer(m), bytes_of("<think>\n\n</think>\n\n"),
                  &(sg_encode_how){.bare = true}, err);
}

sg_status sg_chat_tokens(sg_token_list *out, const sg_llama *m, const sg_turn *turn, size_t n, bool think,
                         sg_error *err)
{
    const char *template = sg_llama_chat_template(m);
    const bool asks = strstr(template, "enable_thinking") != NULL;
    sg_jinja_out o = {0};
    sg_status st;

    if (!think && !asks && !strstr(template, "</think>"))
        return sg_fail(err, SG_ERR_USAGE, "think: the model's chat template has no thoughts to leave out");
    if (!(st = render(&o, m, turn, n, think || !asks ? HEAD : HEAD_WITHOUT_THOUGHTS, err)) &&
        !(st = encode_part(out, m, &o, 0, o.text.size, err)) && !think && !asks)
        st = add_no_thoughts(out, m, err);
    sg_jinja_out_free(&o);
    return st;
}

/* Where what turn i says ends; 0: nowhere. */
static size_t said_end(const sg_jinja_out *o, size_t i)
{
    size_t at = o->said.size;

    while (at > 0 && (uint8_t)o->said.data[at - 1] != 1 + i % 255)
        at--;
    return at;
}

static bool ends_turn(const sg_llama *m, int32_t id)
{
    return sg_tokenizer_is_special(sg_llama_tokenizer(m), id) ||
           sg_ends_has(&sg_llama_config_of(m)->ends, id);
}

int32_t sg_chat_end(const sg_llama *m)
{
    const sg_turn turn[] = {{"user", {"a", 1}}, {"assistant", {"b", 1}}};
    sg_token_list tail = {0};
    sg_jinja_out o = {0};
    int32_t end = -1;
    sg_error err;

    if (!render(&o, m, turn, 2, NO_HEAD, &err) && said_end(&o, 1) &&
        !encode_part(&tail, m, &o, said_end(&o, 1), o.text.size, &err))
        for (size_t i = 0; i < tail.n && end < 0; i++)
            end = ends_turn(m, tail.id[i]) ? tail.id[i] : -1;
    sg_free(tail.id);
    sg_jinja_out_free(&o);
    return end;
}

/* How far two writings are the same, up to a tag that only one of them has. */
static size_t shared_front(const sg_jinja_out *a, const sg_jinja_out *b)
{
    const size_t most = a->text.size < b->text.size ? a->text.size : b->text.size;
    size_t n = 0, tag;

    while (n < most && a->text.data[n] == b->text.data[n] && a->said.data[n] == b->said.data[n])
        n++;
    if (n == a->text.size)
        return n;
    while (n > 0 && n < b->text.size && ((unsigned char)b->text.data[n] & 0xc0) == 0x80)
        n--;
    for (tag = n; tag > 0 && b->text.data[tag - 1] != '<' && b->text.data[tag - 1] != '>' &&
                  b->text.data[tag - 1] != '\n';)
        tag--;
    return tag > 0 && b->text.data[tag - 1] == '<' ? tag - 1 : n;
}

sg_status sg_chat_lesson(sg_token_list *out, size_t *asked, const sg_llama *m, const sg_turn *turn, size_t at,
                         sg_error *err)
{
    const int32_t end = sg_chat_end(m);
    sg_jinja_out before = {0}, whole = {0};
    sg_status st;

    if (!(st = render(&before, m, turn, at, HEAD, err)) &&
        !(st = render(&whole, m, turn, at + 1, NO_HEAD, err))) {
        const size_t front = shared_front(&before, &whole);

        if (!(st = encode_part(out, m, &whole, 0, front, err))) {
            *asked = out->n;
            st = encode_part(out, m, &whole, front, whole.text.size, err);
        }
        for (size_t i = *asked; !st && end >= 0 && i < out->n; i++)
            if (out->id[i] == end)
                out->n = i + 1;
    }
    sg_jinja_out_free(&before);
    sg_jinja_out_free(&whole);
    return st;
}
