/* detokenizer.c - tokens to text: a list of strings goes through the steps of the file and is joined at the end. */
#define _GNU_SOURCE /* memmem */
#include "text/token_parts.h"

#include "base/utf8.h"

#include <string.h>

typedef struct strings {
    sg_buf text;
    size_t *end; /* owned: string i ends at end[i] */
    size_t n, cap;
    bool failed;
} strings;

static void close_string(strings *s)
{
    if (!sg_grow(&s->end, &s->cap, s->n + 1, sizeof *s->end)) {
        s->failed = true;
        return;
    }
    s->end[s->n++] = s->text.size;
}

static void add_string(strings *s, const char *text, size_t size)
{
    sg_buf_add(&s->text, text, size);
    close_string(s);
}

static sg_bytes string_at(const strings *s, size_t i)
{
    const size_t start = i ? s->end[i - 1] : 0;

    return (sg_bytes){s->text.data ? s->text.data + start : "", s->end[i] - start};
}

static void clear(strings *s)
{
    s->n = s->text.size = 0;
}

/* ---- GPT-2's letters for bytes ------------------------------------------------------------------------------------------- */
/* The byte that a letter stands for, -1: none. */
int sg_letter_byte(uint32_t c)
{
    if ((c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255))
        return (int)c;
    if (c >= 256 && c < 256 + 33)
        return (int)(c - 256); /* 0 .. 32 */
    if (c >= 289 && c < 289 + 34)
        return (int)(c - 289 + 127); /* 127 .. 160 */
    return c == 323 ? 173 : -1;
}

bool sg_byte_letters_read(sg_buf *out, sg_bytes spelling)
{
    const char *s = spelling.data, *end = s + spelling.size;
    const size_t before = out->size;

    while (s < end) {
        const int byte = sg_letter_byte(sg_utf8_next(&s));

        if (byte < 0) {
            out->size = before;
            return false;
        }
        sg_buf_putc(out, (char)byte);
    }
    return true;
}

void sg_byte_letters_write(sg_buf *out, const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const uint32_t c = (unsigned char)s[i];
        const bool plain = (c >= 33 && c <= 126) || (c >= 161 && c != 173);

        sg_utf8_put(out, plain ? c : c <= 32 ? c + 256 : c <= 160 ? c - 127 + 289 : 323);
    }
}

/* ---- the steps ------------------------------------------------------------------------------------------------------------- */
static void bytes(strings *to, const strings *from)
{
    sg_buf raw = {0};

    for (size_t i = 0; i < from->n; i++) {
        const sg_bytes s = string_at(from, i);

        if (!sg_byte_letters_read(&raw, s))
            sg_buf_add(&raw, s.data, s.size);
    }
    sg_utf8_clean(&to->text, raw.data ? raw.data : "", raw.size);
    to->failed = to->failed || raw.failed;
    sg_buf_free(&raw);
    close_string(to);
}

/* Appends s with every `find` replaced. */
static void replace_all(sg_buf *out, sg_bytes s, sg_bytes find, sg_bytes put)
{
    while (find.size) {
        const char *hit = memmem(s.data, s.size, find.data, find.size);

        if (!hit)
            break;
        sg_buf_add(out, s.data, (size_t)(hit - s.data));
        sg_buf_add(out, put.data, put.size);
        s.size -= (size_t)(hit - s.data) + find.size;
        s.data = hit + find.size;
    }
    sg_buf_add(out, s.data, s.size);
}

static void clean_up(sg_buf *text)
{
    static const char *const change[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    sg_buf other = {0};

    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        const sg_bytes find = {change[i][0], strlen(change[i][0])},
                       put = {change[i][1], strlen(change[i][1])};

        if (!text->size || !memmem(text->data, text->size, find.data, find.size))
            continue;
        other.size = 0;
        replace_all(&other, (sg_bytes){text->data, text->size}, find, put);
        text->size = 0;
        sg_buf_add(text, other.data, other.size);
        text->failed = text->failed || other.failed;
    }
    sg_buf_free(&other);
}

static void wordpiece(strings *to, const sg_decode_step *step, const strings *from)
{
    sg_buf word = {0};

    for (size_t i = 0; i < from->n; i++) {
        const sg_bytes s = string_at(from, i);
        const bool inside = step->find.size && s.size >= step->find.size &&
                            memcmp(s.data, step->find.data, step->find.size) == 0;

        word.size = 0;
        if (i && inside) {
            sg_buf_add(&word, s.data + step->find.size, s.size - step->find.size);
        } else {
            if (i)
                sg_buf_putc(&word, ' ');
            sg_buf_add(&word, s.data, s.size);
        }
        if (step->cleanup)
            clean_up(&word);
        add_string(to, word.data, word.size);
    }
    to->failed = to->failed || word.failed;
    sg_buf_free(&word);
}

int sg_byte_token(sg_bytes s)
{
    int value = 0;

    if (s.size != 6 || memcmp(s.data, "<0x", 3) != 0 || s.data[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        const char c = s.data[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                 : -1;

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void flush_bytes(strings *to, sg_buf *held)
{
    if (!held->size)
        return;
    if (sg_utf8_valid(held->data, held->size))
        add_string(to, held->data, held->size);
    else
        for (size_t i = 0; i < held->size; i++)
            add_string(to, "\xef\xbf\xbd", 3);
    held->size = 0;
}

static void fallback(strings *to, const strings *from)
{
    sg_buf held = {0};

    for (size_t i = 0; i < from->n; i++) {
        const sg_bytes s = string_at(from, i);
        const int byte = sg_byte_token(s);

        if (byte >= 0) {
            sg_buf_putc(&held, (char)byte);
            continue;
        }
        flush_bytes(to, &held);
        add_string(to, s.data, s.size);
    }
    flush_bytes(to, &held);
    to->failed = to->failed || held.failed;
    sg_buf_free(&held);
}

static void meta(sg_buf *out, const sg_decode_step *step, sg_bytes s, bool first)
{
    replace_all(out, s, (sg_bytes){step->find.data, step->find.size},
                first && !step->keep_first ? (sg_bytes){"", 0} : (sg_bytes){" ", 1});
}

static void strip(sg_buf *out, const sg_decode_step *step, sg_bytes s)
{
    for (size_t i = 0; i < step->start && s.size >= step->find.size &&
                       memcmp(s.data, step->find.data, step->find.size) == 0;
         i++) {
        s.data += step->find.size;
        s.size -= step->find.size;
    }
    for (size_t i = 0; i < step->stop && s.size >= step->find.size &&
                       memcmp(s.data + s.size - step->find.size, step->find.data, step->find.size) == 0;
         i++)
        s.size -= step->find.size;
    sg_buf_add(out, s.data, s.size);
}

static sg_status replace(sg_buf *out, const sg_decode_step *step, sg_matcher *matcher, sg_bytes s,
                         sg_error *err)
{
    const sg_bytes find = {step->find.data, step->find.size}, put = {step->put.data, step->put.size};
    size_t at = 0;

    if (!step->pattern) {
        replace_all(out, s, find, put);
        return SG_OK;
    }
    while (at < s.size) {
        size_t start, end;
        bool found;
        const sg_status st = sg_pattern_next(step->pattern, matcher, s, at, &start, &end, &found, err);

        if (st)
            return st;
        if (!found)
            break;
        sg_buf_add(out, s.data + at, start - at);
        sg_buf_add(out, put.data, put.size);
        if (start == end && end < s.size) { /* an empty match: the character after it stays */
            const size_t n = sg_utf8_bytes(s.data[end]);

            sg_buf_add(out, s.data + end, n);
            end += n;
        }
        at = end;
    }
    sg_buf_add(out, s.data + at, s.size - at);
    return SG_OK;
}

static sg_status run_step(strings *to, const sg_decode_step *step, const strings *from, sg_matcher *matcher,
                          sg_error *err)
{
    sg_status st = SG_OK;

    if (step->kind == SG_DECODE_BYTES) {
        bytes(to, from);
    } else if (step->kind == SG_DECODE_WORDPIECE) {
        wordpiece(to, step, from);
    } else if (step->kind == SG_DECODE_FALLBACK) {
        fallback(to, from);
    } else if (step->kind == SG_DECODE_FUSE) {
        add_string(to, from->text.data ? from->text.data : "", from->text.size);
    } else {
        for (size_t i = 0; i < from->n && !st; i++) {
            const sg_bytes s = string_at(from, i);

            if (step->kind == SG_DECODE_META)
                meta(&to->text, step, s, i == 0);
            else if (step->kind == SG_DECODE_STRIP)
                strip(&to->text, step, s);
            else if (step->kind == SG_DECODE_SUFFIX)
                replace_all(&to->text, s, (sg_bytes){step->find.data, step->find.size},
                            i + 1 == from->n ? (sg_bytes){"", 0} : (sg_bytes){" ", 1});
            else
                st = replace(&to->text, step, matcher, s, err);
            close_string(to);
        }
    }
    return st;
}

/* SentencePiece looks at the kinds of tokens, not only at their text, so its one step begins from the numbers. */
static void spiece(sg_buf *out, const sg_tokenizer *t, const sg_decode_step *step, const int32_t *id,
                   size_t n)
{
    static const sg_bytes meta_space = {"\xe2\x96\x81", 3};
    bool begun = false;
    sg_buf held = {0};

    for (size_t i = 0; i <= n; i++) {
        const bool known = i < n && id[i] >= 0 && (size_t)id[i] < t->n;
        const int kind = known ? t->kind[id[i]] : SG_TOKEN_ABSENT;
        sg_bytes s = known ? t->token[id[i]] : (sg_bytes){"", 0};

        if (kind == SG_TOKEN_BYTE && sg_byte_token(s) >= 0) {
            sg_buf_putc(&held, (char)sg_byte_token(s));
            continue;
        }
        if (held.size) {
            sg_utf8_clean(out, held.data, held.size);
            begun = true;
            held.size = 0;
        }
        if (kind == SG_TOKEN_ABSENT || kind == SG_TOKEN_CONTROL)
            continue;
        if (kind == SG_TOKEN_UNKNOWN) {
            sg_buf_puts(out, " \xe2\x81\x87 ");
            begun = true;
            continue;
        }
        if (!begun && (step->strip_one || step->strip_all) && s.size >= 3 &&
            memcmp(s.data, meta_space.data, 3) == 0) {
            s.data += 3;
            s.size -= 3;
            begun = !step->strip_all;
        }
        begun = begun || s.size;
        replace_all(out, s, meta_space, (sg_bytes){" ", 1});
    }
    out->failed = out->failed || held.failed;
    sg_buf_free(&held);
}

static void gather(strings *s, const sg_tokenizer *t, const int32_t *id, size_t n, bool skip_special)
{
    for (size_t i = 0; i < n; i++)
        if (id[i] >= 0 && (size_t)id[i] < t->n && t->kind[id[i]] != SG_TOKEN_ABSENT &&
            !(skip_special && sg_tokenizer_is_special(t, id[i])))
            add_string(s, t->token[id[i]].data, t->token[id[i]].size);
}

bool sg_tokenizer_raw(sg_buf *out, const sg_tokenizer *t, int32_t id)
{
    const sg_bytes s = sg_tokenizer_token(t, id);
    const int byte = sg_byte_token(s);

    if (t->n_decode == 1 && t->decode[0].kind == SG_DECODE_BYTES) {
        if (!sg_byte_letters_read(out, s))
            sg_buf_add(out, s.data, s.size);
        return true;
    }
    for (size_t i = 0; i < t->n_decode && byte >= 0; i++)
        if (t->decode[i].kind == SG_DECODE_FALLBACK ||
            (t->decode[i].kind == SG_DECODE_SPIECE && t->kind[id] == SG_TOKEN_BYTE)) {
            sg_buf_putc(out, (char)byte);
            return true;
        }
    return false;
}

sg_status sg_tokenizer_decode(sg_buf *out, const sg_tokenizer *t, const int32_t *id, size_t n,
                              bool skip_special, sg_error *err)
{
    strings a = {0}, b = {0};
    sg_matcher *matcher = NULL;
    sg_status st = SG_OK;

    if (t->n_decode && t->decode[0].kind == SG_DECODE_SPIECE) {
        spiece(out, t, &t->decode[0], id, n);
        return out->failed ? sg_fail_memory(err, "text") : SG_OK;
    }
    gather(&a, t, id, n, skip_special);
    for (size_t i = 0; i < t->n_decode && !st; i++) {
        const strings from = a;

        if (t->decode[i].pattern && !matcher && !(matcher = sg_matcher_new())) {
            st = sg_fail_memory(err, "text");
            break;
        }
        clear(&b);
        st = run_step(&b, &t->decode[i], &from, matcher, err);
        a = b;
        b = from;
    }
    for (size_t i = 0; i < a.n && !st; i++) {
        const sg_bytes s = string_at(&a, i);

        if (i && !t->n_decode)
            sg_buf_putc(out, ' ');
        sg_buf_add(out, s.data, s.size);
    }
    if (!st && (out->failed || a.failed || b.failed || a.text.failed || b.text.failed))
        st = sg_fail_memory(err, "text");
    sg_matcher_free(matcher);
    sg_buf_free(&a.text);
    sg_buf_free(&b.text);
    sg_free(a.end);
    sg_free(b.end);
    return st;
}
