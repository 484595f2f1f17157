/* table.c - a row is cut along a bit mask of its separators and newlines, 64 bytes at a time; the shape of
 * the data then costs one step a field and none a byte. Quoted fields leave the mask and come back behind the
 * closing quote. */
#include "data/table.h"

#include "base/alloc.h"
#include "data/scan.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

void sg_table_init(sg_table *t, sg_input *in, char separator, bool doubled, bool quotes)
{
    *t =
        (sg_table){.in = in, .separator = separator, .doubled = doubled, .quotes = quotes, .block = SIZE_MAX};
}

void sg_table_fini(sg_table *t)
{
    sg_free(t->field);
    sg_free(t->escaped);
    *t = (sg_table){0};
}

/* Bit i: byte i is the separator or a newline. */
static inline uint64_t marks(const char *p, char separator)
{
    uint64_t mask = 0;

#ifdef __SSE2__
    const __m128i a = _mm_set1_epi8(separator), b = _mm_set1_epi8('\n');

    for (int i = 0; i < 4; i++) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));

        mask |=
            (uint64_t)(unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(x, a), _mm_cmpeq_epi8(x, b)))
            << 16 * i;
    }
#else
    for (int i = 0; i < 64; i++)
        mask |= (uint64_t)(p[i] == separator || p[i] == '\n') << i;
#endif
    return mask;
}

static inline void look_at(sg_table *t, size_t offset)
{
    t->block = offset;
    t->mask = marks(t->in->data + offset, t->separator);
}

/* *out: offset of the next mark at or after the ones taken; false: none before the end of the window. */
static inline bool next_mark(sg_table *t, size_t *out)
{
    while (!t->mask) {
        if (t->block + 64 >= t->in->end)
            return false;
        look_at(t, t->block + 64);
    }
    *out = t->block + (size_t)__builtin_ctzll(t->mask);
    t->mask &= t->mask - 1;
    return true;
}

enum quoted { CLOSED, OPEN, CUT };

/* From the quote at `begin` to the one that closes it: *close. OPEN: the input has no such quote. CUT: more
 * input is needed to tell. */
static enum quoted find_close(const sg_input *in, size_t begin, size_t *close, bool *escaped,
                              uint64_t *newlines)
{
    size_t at = begin + 1;

    *escaped = false;
    for (;;) {
        const char *q = at < in->end ? memchr(in->data + at, '"', in->end - at) : NULL;

        if (!q)
            return in->ended ? OPEN : CUT;
        at = (size_t)(q - in->data);
        if (at + 1 == in->end && !in->ended)
            return CUT;
        if (at + 1 == in->end || q[1] != '"')
            break;
        *escaped = true;
        at += 2;
    }
    *close = at;
    for (const char *p = in->data + begin, *end = in->data + at; (p = memchr(p, '\n', (size_t)(end - p)));
         p++)
        ++*newlines;
    return CLOSED;
}

static bool add_field(sg_table *t, size_t begin, size_t end)
{
    if (t->n_fields == t->cap && !sg_grow(&t->field, &t->cap, t->n_fields + 1, sizeof *t->field))
        return false;
    t->field[t->n_fields++] = (sg_bytes){t->in->data + begin, end - begin};
    return true;
}

/* Takes one doubled quote of each pair away, in place: the row is complete and never looked at again. */
static void unescape(sg_table *t)
{
    for (size_t i = 0; i < t->n_escaped; i++) {
        sg_bytes *f = &t->field[t->escaped[i]];
        char *to = t->in->data + (f->data - t->in->data);
        size_t n = 0;

        for (size_t k = 0; k < f->size; k++) {
            to[n++] = f->data[k];
            k += f->data[k] == '"'; /* its twin */
        }
        f->size = n;
    }
}

/* What a row can come to. */
enum row { ROW, NO_ROW, MORE, JUNK, UNCLOSED, NO_MEMORY };

/* Cuts the row that begins at in->begin. JUNK: text after a closing quote, *at is its place; the row is
 * consumed. */
static enum row cut_row(sg_table *t, uint64_t *newlines, size_t *at)
{
    sg_input *in = t->in;
    size_t start = in->begin, end;
    bool junk = false, escaped;

    t->n_fields = t->n_escaped = 0;
    *newlines = 0;
    if (start == in->end)
        return in->ended ? NO_ROW : MORE;
    for (;;) {
        if (t->quotes && start < in->end && in->data[start] == '"') {
            size_t close, behind;
            const enum quoted q = find_close(in, start, &close, &escaped, newlines);

            if (q != CLOSED)
                return q == CUT ? MORE : UNCLOSED;
            if (escaped) {
                if (!sg_grow(&t->escaped, &t->cap_escaped, t->n_escaped + 1, sizeof *t->escaped))
                    return NO_MEMORY;
                t->escaped[t->n_escaped++] = t->n_fields;
            }
            if (!add_field(t, start + 1, close))
                return NO_MEMORY;
            look_at(t, close + 1);
            if (!next_mark(t, &end)) {
                if (!in->ended)
                    return MORE;
                end = in->end;
            }
            behind = close + 1 + (close + 2 == end && in->data[close + 1] == '\r');
            if (behind != end && !junk) {
                junk = true;
                *at = close + 1;
            }
        } else {
            do {
                if (!next_mark(t, &end)) {
                    if (!in->ended)
                        return MORE;
                    end = in->end;
                }
                if (t->doubled && end + 1 == in->end && !in->ended && in->data[end] == t->separator)
                    return MORE;
            } while (end < in->end && in->data[end] != '\n' &&
                     (end < start || (t->doubled && in->data[end + 1] != t->separator)));
            const bool last = end == in->end || in->data[end] == '\n';
            if (!add_field(t, start, last && end > start && in->data[end - 1] == '\r' ? end - 1 : end))
                return NO_MEMORY;
        }
        if (end == in->end || in->data[end] == '\n')
            break;
        start = end + 1 + t->doubled;
    }
    in->begin = end + (end < in->end);
    *newlines += 1;
    return junk ? JUNK : ROW;
}

static sg_status take_row(sg_table *t, bool *got, sg_error *err)
{
    sg_input *in = t->in;
    uint64_t newlines = 0;
    size_t at = 0;
    enum row row;
    sg_status st;

    *got = false;
    if (t->block > in->begin || in->begin - t->block >= 64)
        look_at(t, in->begin);
    while ((row = cut_row(t, &newlines, &at)) == MORE) {
        if ((st = sg_input_more(in, err)))
            return st;
        look_at(t, in->begin);
    }
    t->line = in->line + 1;
    if (row == NO_ROW)
        return SG_OK;
    if (row == NO_MEMORY)
        return sg_fail_memory(err, in->path);
    if (row == UNCLOSED) {
        in->broken = true;
        return sg_input_fail(in, t->line, err, "a quoted field that begins in this row is not closed");
    }
    in->line += newlines;
    *got = true;
    if (row == JUNK) {
        const char *place = in->data + at;
        char room[SG_QUOTE_ROOM];
        size_t field = 0;

        while (field < t->n_fields && t->field[field].data <= place)
            field++;
        return sg_input_fail(in, t->line, err, "expected '%c' after the closing quote of field %zu, found %s",
                             t->separator, field, sg_quote(room, (sg_bytes){place, 1}));
    }
    if (in->nul)
        for (size_t i = 0; i < t->n_fields; i++)
            if (memchr(t->field[i].data, 0, t->field[i].size))
                return sg_input_fail(in, t->line, err, "expected text, found a NUL byte in field %zu", i + 1);
    if (t->n_escaped)
        unescape(t);
    return SG_OK;
}

sg_status sg_table_next(sg_table *t, bool *got, sg_error *err)
{
    uint64_t blank = 0;
    sg_status st;

    if (t->held) {
        t->held = false;
        *got = true;
        return SG_OK;
    }
    do {
        if ((st = take_row(t, got, err)) || !*got)
            return st;
        if (t->n_fields > 1 || t->field[0].size)
            break;
        blank = blank ? blank : t->line;
    } while (true);
    if (!blank)
        return SG_OK;
    t->held = true;
    return sg_input_fail(t->in, blank, err, "expected a row, found an empty line");
}
