/* template_answer.c - what of an answer a template asked for. */
#include "text/template_parts.h"

#include "base/utf8.h"
#include "file/json.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_MOST = 80 };

static sg_bytes trimmed(sg_bytes s)
{
    while (s.size && sg_template_space((unsigned char)s.data[0])) {
        s.data++;
        s.size--;
    }
    while (s.size && sg_template_space((unsigned char)s.data[s.size - 1]))
        s.size--;
    return s;
}

/* In UTF-8 and without U+0000, which many who read the lines of answers would take for their end. */
static void add_clean(sg_buf *out, sg_bytes text)
{
    for (size_t at = 0; at < text.size;) {
        const char *zero = memchr(text.data + at, 0, text.size - at);
        const size_t n = zero ? (size_t)(zero - text.data) - at : text.size - at;

        sg_utf8_clean(out, text.data + at, n);
        if (zero)
            sg_buf_puts(out, "\xef\xbf\xbd");
        at += n + (zero != NULL);
    }
}

static sg_status fail_answer(const char *expected, sg_bytes answer, sg_error *err)
{
    const sg_bytes shown = trimmed(answer);
    sg_buf clean = {0};
    sg_status st;

    sg_utf8_clean(&clean, shown.data, shown.size < SHOWN_MOST ? shown.size : SHOWN_MOST);
    st = clean.failed      ? sg_fail_memory(err, "answer")
         : shown.size == 0 ? sg_fail(err, SG_ERR_FORMAT, "answer: expected %s, found nothing", expected)
                           : sg_fail(err, SG_ERR_FORMAT, "answer: expected %s, found '%s'%s", expected,
                                     clean.data, shown.size > SHOWN_MOST ? " and more" : "");
    sg_buf_free(&clean);
    return st;
}

static bool has_keys(const json_t *value, const char *keys)
{
    for (const char *p = keys ? keys : ""; *p;) {
        const size_t size = strcspn(p, ",");
        char key[SG_TEMPLATE_KEY_MOST + 1];

        snprintf(key, sizeof key, "%.*s", (int)size, p);
        if (!json_object_get(value, key))
            return false;
        p += size + (p[size] == ',');
    }
    return true;
}

/* The first object or array in the answer that is whole: models like to talk before and after it, and put it into fences. */
static sg_status answer_json(sg_buf *out, const sg_template *t, sg_bytes answer, sg_error *err)
{
    char expected[256];

    for (size_t i = 0, tries = 0; i < answer.size && tries < 16; i++)
        if (answer.data[i] == '{' || answer.data[i] == '[') {
            json_t *value =
                json_loadb(answer.data + i, answer.size - i,
                           JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
            const bool good = value && has_keys(value, t->keys);

            tries++;
            if (good)
                sg_json_print_compact(out, value);
            json_decref(value);
            if (good)
                return out->failed ? sg_fail_memory(err, "answer") : SG_OK;
        }
    snprintf(expected, sizeof expected, t->keys ? "JSON with %s" : "JSON", t->keys);
    return fail_answer(expected, answer, err);
}

static sg_status answer_match(sg_buf *out, const sg_template *t, sg_bytes answer, sg_error *err)
{
    sg_matcher *m = sg_matcher_new();
    sg_buf clean = {0};
    size_t start = 0, end = 0;
    bool found = false;
    char expected[256];
    sg_status st;

    sg_utf8_clean(&clean, answer.data, answer.size);
    sg_buf_add(&clean, "", 0);
    st = m && !clean.failed
             ? sg_pattern_next(t->pattern, m, (sg_bytes){clean.data ? clean.data : "", clean.size}, 0, &start,
                               &end, &found, err)
             : sg_fail_memory(err, "answer");
    if (!st && found)
        add_clean(out, (sg_bytes){clean.data + start, end - start});
    sg_buf_free(&clean);
    sg_matcher_free(m);
    if (st)
        return st;
    snprintf(expected, sizeof expected, "a match of %s", t->regex);
    return !found ? fail_answer(expected, answer, err) : out->failed ? sg_fail_memory(err, "answer") : SG_OK;
}

sg_status sg_template_answer(sg_buf *out, const sg_template *t, sg_bytes answer, sg_error *err)
{
    sg_bytes text = trimmed(answer);

    if (t->answer == SG_ANSWER_JSON)
        return answer_json(out, t, answer, err);
    if (t->answer == SG_ANSWER_MATCH)
        return answer_match(out, t, answer, err);
    if (t->answer == SG_ANSWER_LINE) {
        const char *newline = text.size ? memchr(text.data, '\n', text.size) : NULL;

        if (newline)
            text.size = (size_t)(newline - text.data);
        text = trimmed(text);
    }
    if (!text.size)
        return fail_answer("a text", answer, err);
    add_clean(out, text);
    return out->failed ? sg_fail_memory(err, "answer") : SG_OK;
}
