/* pattern.c - PCRE2, compiled to machine code where the system lets it. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include "base/alloc.h"

#include <pcre2.h>
#include <stdint.h>
#include <string.h>

enum { REGEX_MAX = 10000, JIT_STACK_MAX = 1 << 20, MATCH_LIMIT = 10000000 };

struct sg_pattern {
    pcre2_code *code;
};

struct sg_matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static void *take(size_t bytes, void *unused)
{
    return sg_alloc(bytes);
}

static void give(void *p, void *unused)
{
    sg_free(p);
}

#define SPACES                                                                                               \
    "\\t-\\r\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NUMBERS "\\p{N}\\x{1d2c0}-\\x{1d2d3}" /* Kaktovik numerals, which PCRE2 10.42 does not know */
#define WORDS   "\\p{L}\\p{M}" NUMBERS "\\p{Pc}"

/* Spells out \s \S \w \W \p{N}; inside [...] the negated ones stay, a class cannot hold the complement of another. */
static void spell_out(sg_buf *out, sg_bytes regex)
{
    bool inside = false;

    for (size_t i = 0; i < regex.size; i++) {
        const char c = regex.data[i], next = i + 1 < regex.size ? regex.data[i + 1] : 0;

        if (c != '\\' || !next) {
            if (c == '[')
                inside = true;
            else if (c == ']')
                inside = false;
            sg_buf_putc(out, c);
            continue;
        }
        i++;
        if (next == 's' || next == 'w') {
            sg_buf_printf(out, inside ? "%s" : "[%s]", next == 's' ? SPACES : WORDS);
        } else if ((next == 'S' || next == 'W') && !inside) {
            sg_buf_printf(out, "[^%s]", next == 'S' ? SPACES : WORDS);
        } else if (next == 'p' && regex.size - i >= 4 && memcmp(regex.data + i, "p{N}", 4) == 0) {
            i += 3;
            sg_buf_printf(out, inside ? "%s" : "[%s]", NUMBERS);
        } else {
            sg_buf_printf(out, "\\%c", next);
        }
    }
}

sg_status sg_pattern_new(sg_pattern **out, sg_bytes regex, sg_error *err)
{
    pcre2_general_context *memory = NULL;
    pcre2_compile_context *context = NULL;
    sg_pattern *p = NULL;
    sg_buf text = {0};
    sg_status st = SG_OK;
    size_t where;
    int code;

    *out = NULL;
    if (regex.size > REGEX_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "expected a pattern of at most %d bytes, found %zu", REGEX_MAX,
                       regex.size);
    spell_out(&text, regex);
    if (text.failed || !(p = sg_alloc_zero(1, sizeof *p)) ||
        !(memory = pcre2_general_context_create(take, give, NULL)) ||
        !(context = pcre2_compile_context_create(memory))) {
        st = sg_fail_memory(err, "pattern");
        goto done;
    }
    p->code = pcre2_compile((PCRE2_SPTR)(text.data ? text.data : ""), text.size,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &where, context);
    if (!p->code) {
        char why[120] = "";

        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        st = code == PCRE2_ERROR_HEAP_FAILED
                 ? sg_fail_memory(err, "pattern")
                 : sg_fail(err, SG_ERR_FORMAT, "pattern '%.100s': %s", text.data ? text.data : "", why);
        goto done;
    }
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* where it cannot, the interpreter matches */
    *out = p;
    p = NULL;
done:
    pcre2_compile_context_free(context);
    pcre2_general_context_free(memory);
    sg_pattern_free(p);
    sg_buf_free(&text);
    return st;
}

size_t sg_pattern_bytes(const sg_pattern *p)
{
    size_t code = 0, machine = 0;

    pcre2_pattern_info(p->code, PCRE2_INFO_SIZE, &code);
    pcre2_pattern_info(p->code, PCRE2_INFO_JITSIZE, &machine);
    return sizeof *p + code + 2 * machine; /* whose pages are never full */
}

void sg_pattern_free(sg_pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    sg_free(p);
}

sg_matcher *sg_matcher_new(void)
{
    pcre2_general_context *memory = pcre2_general_context_create(take, give, NULL);
    sg_matcher *m = memory ? sg_alloc_zero(1, sizeof *m) : NULL;

    if (m) {
        m->data = pcre2_match_data_create(1, memory);
        m->context = pcre2_match_context_create(memory);
        m->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_MAX, memory);
        if (m->data && m->context) {
            pcre2_set_match_limit(m->context, MATCH_LIMIT);
            if (m->stack) /* NULL where there is no machine code */
                pcre2_jit_stack_assign(m->context, NULL, m->stack);
        } else {
            sg_matcher_free(m);
            m = NULL;
        }
    }
    pcre2_general_context_free(memory);
    return m;
}

void sg_matcher_free(sg_matcher *m)
{
    if (!m)
        return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    sg_free(m);
}

sg_status sg_pattern_next(const sg_pattern *p, sg_matcher *m, sg_bytes text, size_t at, size_t *start,
                          size_t *end, bool *found, sg_error *err)
{
    const int n =
        pcre2_match(p->code, (PCRE2_SPTR)text.data, text.size, at, PCRE2_NO_UTF_CHECK, m->data, m->context);
    const size_t *place = pcre2_get_ovector_pointer(m->data);

    *found = n >= 0;
    *start = *end = text.size;
    if (n == PCRE2_ERROR_NOMATCH)
        return SG_OK;
    if (n == PCRE2_ERROR_NOMEMORY)
        return sg_fail_memory(err, "pattern");
    if (n < 0)
        return sg_fail(err, SG_ERR_FORMAT,
                       "a pattern of the tokenizer gives up on this text (PCRE2 error %d)", n);
    *start = place[0];
    *end = place[1];
    if (*end < *start || *end < at) /* \K can do this */
        return sg_fail(err, SG_ERR_FORMAT, "a pattern of the tokenizer matches backwards");
    if (*start < at)
        *start = at;
    return SG_OK;
}
