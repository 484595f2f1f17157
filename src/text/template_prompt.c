/* template_prompt.c - values in the slots of a template, and prompts that fit. */
#include "text/template_parts.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "file/json.h"
#include "text/tokenizer.h"

#include <string.h>

/* ---- values ---------------------------------------------------------------------------------------------------------------- */
typedef struct filled {
    sg_buf *entry;   /* owned: (n): each as it will be written */
    size_t n;        /* that are not empty */
    size_t from, to; /* of them those that are in the prompt */
    bool cut;
    sg_buf joined; /* owned: what stands in the prompt */
} filled;

typedef struct render {
    const sg_template *t;
    const sg_token_counter *counter;
    filled *value; /* owned: (n_slots) */
    sg_prompt *out;
    const char *who;
    sg_error *err;
} render;

/* Spaces around are left away, and those between are one; kept line ends are, too, at most two in a row. */
static void put_spaced(sg_buf *out, sg_bytes text, bool lines)
{
    size_t newlines = 0;
    bool space = false;

    for (size_t i = 0; i < text.size; i++) {
        const char c = text.data[i];

        if (sg_template_space((unsigned char)c)) {
            space = true;
            newlines += c == '\n';
            continue;
        }
        if (space && out->size) {
            if (lines && newlines)
                sg_buf_puts(out, newlines > 1 ? "\n\n" : "\n");
            else
                sg_buf_putc(out, ' ');
        }
        space = false;
        newlines = 0;
        sg_buf_putc(out, c);
    }
}

static size_t guard_at(const sg_template *t, const char *s, size_t size)
{
    for (size_t i = 0; i < t->n_guards; i++) {
        const size_t n = strlen(t->guard[i]);

        if (n <= size && memcmp(t->guard[i], s, n) == 0)
            return n;
    }
    return 0;
}

/* A guard that a value spells gets a space behind its first character; one of a single character becomes a space. Guards hold no
 * spaces, so no new one comes about. */
static void put_guarded(sg_buf *out, const sg_template *t, sg_bytes text)
{
    for (size_t i = 0; i < text.size;) {
        const size_t guard = guard_at(t, text.data + i, text.size - i), first = sg_utf8_bytes(text.data[i]);

        if (!guard || guard > first)
            sg_buf_add(out, text.data + i, first);
        if (guard)
            sg_buf_putc(out, ' ');
        i += first;
    }
}

static sg_status put_json(sg_buf *out, sg_bytes text, sg_error *err)
{
    json_t *s = json_stringn(text.data ? text.data : "", text.size);
    sg_buf quoted = {0};
    sg_status st = SG_OK;

    if (s)
        sg_json_print_compact(&quoted, s);
    if (quoted.failed || quoted.size < 2)
        st = sg_fail_memory(err, "slot");
    else
        sg_buf_add(out, quoted.data + 1, quoted.size - 2);
    sg_buf_free(&quoted);
    json_decref(s);
    return st;
}

static sg_status write_entry(sg_buf *out, const render *r, const sg_template_hole *s, sg_bytes text)
{
    sg_buf clean = {0}, spaced = {0}, quoted = {0};
    sg_status st = SG_OK;

    sg_utf8_clean(&clean, text.data, text.size);
    put_spaced(&spaced, (sg_bytes){clean.data, clean.size}, s->lines);
    if (s->json && spaced.size)
        st = put_json(&quoted, (sg_bytes){spaced.data, spaced.size}, r->err);
    if (!st) {
        const sg_buf *from = s->json ? &quoted : &spaced;

        put_guarded(out, r->t, (sg_bytes){from->data, from->size});
        if (clean.failed || spaced.failed || out->failed)
            st = sg_fail_memory(r->err, "slot");
    }
    sg_buf_free(&clean);
    sg_buf_free(&spaced);
    sg_buf_free(&quoted);
    return st;
}

static void join(filled *v, const sg_template_hole *s)
{
    v->joined.size = 0;
    for (size_t i = v->from; i < v->to; i++) {
        if (i > v->from)
            sg_buf_puts(&v->joined, s->separator ? s->separator : " ");
        if (s->number)
            sg_buf_printf(&v->joined, "%zu. ", i - v->from + 1);
        sg_buf_add(&v->joined, v->entry[i].data, v->entry[i].size);
    }
}

static sg_status fill(render *r, size_t i, const sg_slot_value *given)
{
    const sg_template_hole *s = &r->t->slot[i];
    filled *v = &r->value[i];
    sg_status st = SG_OK;

    if (!(v->entry = sg_alloc_zero(given->n + 1, sizeof *v->entry)))
        return sg_fail_memory(r->err, "slot");
    for (size_t k = 0; k < given->n && !st; k++)
        if (!(st = write_entry(&v->entry[v->n], r, s, given->part[k])))
            v->n += v->entry[v->n].size > 0;
    if (st)
        return st;
    if (v->n == 0) {
        if (!s->otherwise)
            return sg_template_fail(
                r->t, s->line, r->err,
                "slot '%s': expected a text of %s, found nothing (else=TEXT says what stands there)", s->name,
                r->who);
        sg_buf_puts(&v->entry[v->n], s->otherwise);
        if (v->entry[v->n++].failed)
            return sg_fail_memory(r->err, "slot");
    }
    v->to = v->n;
    join(v, s);
    return v->joined.failed ? sg_fail_memory(r->err, "slot") : SG_OK;
}

/* ---- fitting ---------------------------------------------------------------------------------------------------------------- */
static sg_status count(const render *r, const sg_buf *text, size_t *n)
{
    const sg_bytes b = {text->data ? text->data : "", text->size};

    if (r->counter && r->counter->count)
        return r->counter->count(r->counter->ctx, b, n, r->err);
    *n = (size_t)sg_tokens_about(b);
    return SG_OK;
}

static void compose(const render *r)
{
    const sg_template *t = r->t;

    for (size_t i = 0; i < t->n_turns; i++)
        r->out->text[i].size = 0;
    for (size_t i = 0; i < t->n_pieces; i++) {
        const sg_template_piece *p = &t->piece[i];
        sg_buf *to = &r->out->text[p->turn];

        if (p->slot < 0)
            sg_buf_add(to, p->text, p->size);
        else
            sg_buf_add(to, r->value[p->slot].joined.data, r->value[p->slot].joined.size);
        to->failed = to->failed || (p->slot >= 0 && r->value[p->slot].joined.failed);
    }
}

/* Tokens of the slot alone, or (slot < 0 or the whole is meant) of the prompt. */
static sg_status measure(const render *r, size_t i, bool whole, size_t *n)
{
    sg_status st = SG_OK;

    if (!whole && r->value[i].joined.failed)
        return sg_fail_memory(r->err, "slot");
    if (!whole)
        return count(r, &r->value[i].joined, n);
    compose(r);
    *n = 0;
    for (size_t k = 0; k < r->t->n_turns && !st; k++) {
        size_t one = 0;

        if (r->out->text[k].failed)
            return sg_fail_memory(r->err, "prompt");
        st = count(r, &r->out->text[k], &one);
        *n += one;
    }
    return st;
}

/* Leaves `keep` entries, at the end that counts. */
static void keep_entries(const render *r, size_t i, size_t keep)
{
    const sg_template_hole *s = &r->t->slot[i];
    filled *v = &r->value[i];

    v->from = s->keep_end ? v->n - keep : 0;
    v->to = v->from + keep;
    join(v, s);
}

/* The most entries of a list with which `most` is kept, at least one. */
static sg_status drop_entries(const render *r, size_t i, bool whole, size_t most)
{
    size_t least = 1, high = r->value[i].to - r->value[i].from,
           n = 0; /* `least` need not fit; `high` entries do not */
    sg_status st;

    keep_entries(r, i, high);
    if ((st = measure(r, i, whole, &n)) || n <= most)
        return st;
    while (least + 1 < high) {
        const size_t mid = least + (high - least) / 2;

        keep_entries(r, i, mid);
        if ((st = measure(r, i, whole, &n)))
            return st;
        if (n <= most)
            least = mid;
        else
            high = mid;
    }
    keep_entries(r, i, least);
    return SG_OK;
}

/* A part of the text of about `size` bytes that ends between characters, and between words where one ends in its last half. */
static sg_bytes part_of(sg_bytes text, size_t size, bool keep_end)
{
    size_t at = keep_end ? text.size - size : size;

    while (at > 0 && at < text.size && ((unsigned char)text.data[at] & 0xc0) == 0x80)
        at = keep_end ? at + 1 : at - 1;
    if (keep_end) {
        for (size_t k = at; k < at + (text.size - at) / 2 && k > 0; k++)
            if (text.data[k - 1] == ' ')
                return (sg_bytes){text.data + k, text.size - k};
        return (sg_bytes){text.data + at, text.size - at};
    }
    for (size_t k = at; k > at / 2 && k < text.size; k--)
        if (text.data[k] == ' ')
            return (sg_bytes){text.data, k};
    return (sg_bytes){text.data, at};
}

/* Cuts the value to the longest part with which `most` is kept; a value that cannot be cut so far keeps a character. */
static sg_status cut_value(const render *r, size_t i, bool whole, size_t most)
{
    filled *v = &r->value[i];
    const bool keep_end = r->t->slot[i].keep_end;
    sg_buf full = v->joined;
    size_t fits = 0, high = full.size, n = 0;
    sg_status st = SG_OK;

    v->joined = (sg_buf){0};
    while (fits + 1 < high && !st) {
        const size_t mid = fits + (high - fits) / 2;
        const sg_bytes part = part_of((sg_bytes){full.data, full.size}, mid, keep_end);

        v->joined.size = 0;
        sg_buf_add(&v->joined, part.data, part.size);
        if (v->joined.failed)
            st = sg_fail_memory(r->err, "slot");
        else if (!(st = measure(r, i, whole, &n)) && n <= most)
            fits = mid;
        else
            high = mid;
    }
    if (!st) {
        sg_bytes part = part_of((sg_bytes){full.data, full.size}, fits, keep_end);

        if (!part.size)
            part = keep_end ? (sg_bytes){full.data + sg_utf8_before(full.data, full.size),
                                         full.size - sg_utf8_before(full.data, full.size)}
                            : (sg_bytes){full.data, sg_utf8_bytes(full.data[0])};
        v->joined.size = 0;
        sg_buf_add(&v->joined, part.data, part.size);
        v->cut = v->cut || part.size < full.size;
        st = v->joined.failed ? sg_fail_memory(r->err, "slot") : SG_OK;
    }
    sg_buf_free(&full);
    return st;
}

static sg_status fit_slot(const render *r, size_t i)
{
    const sg_template_hole *s = &r->t->slot[i];
    size_t n = 0;
    sg_status st;

    if (!s->tokens || (st = measure(r, i, false, &n)) || n <= s->tokens)
        return s->tokens ? st : SG_OK;
    if (s->list &&
        ((st = drop_entries(r, i, false, s->tokens)) || (st = measure(r, i, false, &n)) || n <= s->tokens))
        return st;
    return cut_value(r, i, false, s->tokens);
}

/* The slot whose value is longest and was not `done`; n_slots: none that could be cut. */
static size_t longest(const render *r, const bool *done)
{
    size_t best = r->t->n_slots;

    for (size_t i = 0; i < r->t->n_slots; i++)
        if (!done[i] && r->value[i].joined.size > 1 &&
            (best == r->t->n_slots || r->value[i].joined.size > r->value[best].joined.size))
            best = i;
    return best;
}

static sg_status fit_budget(const render *r)
{
    const sg_template *t = r->t;
    bool done[SG_TEMPLATE_SLOTS_MAX] = {false};
    size_t n = 0;
    sg_status st = measure(r, 0, true, &n);

    for (size_t i = 0; i < t->n_slots && !st && n > t->budget; i++)
        if (t->slot[i].list && !r->value[i].cut && r->value[i].to - r->value[i].from > 1 &&
            !(st = drop_entries(r, i, true, t->budget)))
            st = measure(r, 0, true, &n);
    while (!st && n > t->budget) {
        const size_t i = longest(r, done);

        if (i == t->n_slots)
            return sg_fail(
                r->err, SG_ERR_FORMAT,
                "%s: budget: expected a prompt of at most %zu tokens, found %zu with every slot of %s cut",
                t->file, t->budget, n, r->who);
        done[i] = true;
        if (!(st = cut_value(r, i, true, t->budget)))
            st = measure(r, 0, true, &n);
    }
    r->out->tokens = n;
    return st;
}

/* No text of a slot may form a guard together with what stands around it. */
static sg_status check_guards(const render *r)
{
    const sg_template *t = r->t;
    size_t written = 0, found = 0;

    for (size_t i = 0; i < t->n_pieces && t->n_guards; i++)
        for (size_t k = 0; t->piece[i].slot < 0 && k < t->piece[i].size; k++)
            written += guard_at(t, t->piece[i].text + k, t->piece[i].size - k) > 0;
    for (size_t i = 0; i < t->n_turns && t->n_guards; i++)
        for (size_t k = 0; k < r->out->text[i].size; k++)
            found += guard_at(t, r->out->text[i].data + k, r->out->text[i].size - k) > 0;
    return found == written
               ? SG_OK
               : sg_fail(r->err, SG_ERR_FORMAT,
                         "%s: guard: a value of %s forms one with the text around its slot", t->file, r->who);
}

void sg_prompt_free(sg_prompt *p)
{
    for (size_t i = 0; i < SG_TEMPLATE_TURNS_MAX; i++)
        sg_buf_free(&p->text[i]);
    p->n = 0;
}

sg_status sg_template_render(sg_prompt *out, const sg_template *t, const sg_slot_value *value,
                             const sg_token_counter *counter, const char *who, sg_error *err)
{
    render r = {.t = t, .counter = counter, .out = out, .who = who, .err = err};
    sg_status st = SG_OK;

    if (!(r.value = sg_alloc_zero(t->n_slots + 1, sizeof *r.value)))
        return sg_fail_memory(err, "prompt");
    out->n = t->n_turns;
    out->tokens = out->dropped = out->cut = 0;
    for (size_t i = 0; i < t->n_turns; i++) {
        out->role[i] = t->role[i];
        if (out->text[i].failed) /* in an earlier render */
            sg_buf_free(&out->text[i]);
    }
    for (size_t i = 0; i < t->n_slots && !st; i++)
        if (!(st = fill(&r, i, &value[i])))
            st = fit_slot(&r, i);
    if (!st && t->budget)
        st = fit_budget(&r);
    if (!st) {
        compose(&r);
        for (size_t i = 0; i < t->n_turns && !st; i++)
            if (out->text[i].failed)
                st = sg_fail_memory(err, "prompt");
    }
    if (!st)
        st = check_guards(&r);
    for (size_t i = 0; i < t->n_slots; i++) {
        filled *v = &r.value[i];

        out->dropped += v->n - (v->to - v->from);
        out->cut += v->cut;
        for (size_t k = 0; v->entry && k <= value[i].n; k++)
            sg_buf_free(&v->entry[k]);
        sg_free(v->entry);
        sg_buf_free(&v->joined);
    }
    sg_free(r.value);
    return st;
}
