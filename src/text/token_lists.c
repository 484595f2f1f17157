/* token_lists.c - what is long in a tokenizer.json, read straight from its text: a json_t of it would take ten times as much. */
#include "text/token_parts.h"

#include "file/json.h"
#include "file/json_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDED_MAX = 100000, SPARE_IDS = 100000 };

static bool is(sg_bytes s, const char *word)
{
    return s.size == strlen(word) && memcmp(s.data, word, s.size) == 0;
}

static bool opens(const sg_json_reader *r)
{
    return r->step == SG_JSON_STEP_OBJECT || r->step == SG_JSON_STEP_ARRAY;
}

/* ---- the text ---------------------------------------------------------------------------------------------------------------- */
/* The list that the reader stands before, NULL: something else. */
static sg_token_list *list_here(sg_token_source *s, const sg_json_reader *r, bool in_model)
{
    const bool array = r->step == SG_JSON_STEP_ARRAY;

    if (!opens(r))
        return NULL;
    if (r->depth == 2)
        return array && is(r->key, "added_tokens") ? &s->added : NULL;
    if (r->depth != 3 || !in_model)
        return NULL;
    return is(r->key, "vocab") ? &s->vocab : array && is(r->key, "merges") ? &s->merges : NULL;
}

static sg_status keep_rest(sg_buf *rest, sg_bytes piece, const char *name, sg_error *err)
{
    if (piece.size > SG_TOKENIZER_REST_MAX - rest->size)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected at most %zu MiB beside vocabulary, merges and added tokens, found more",
                       name, SG_TOKENIZER_REST_MAX >> 20);
    sg_buf_add(rest, piece.data, piece.size);
    return rest->failed ? sg_fail_memory(err, name) : SG_OK;
}

/* All of the text is read; *rest: it without the members of the lists. */
static sg_status split(sg_token_source *s, sg_buf *rest, sg_json_reader *r, sg_error *err)
{
    size_t from = 0;
    bool in_model = false;
    sg_status st;

    do {
        if ((st = sg_json_reader_next(r, err)))
            return st;
        if (r->depth ==
            (r->step == SG_JSON_STEP_OBJECT ? 2 : 1)) /* a member of the whole begins, or has ended */
            in_model = r->step == SG_JSON_STEP_OBJECT && is(r->key, "model");
        sg_token_list *list = list_here(s, r, in_model);
        if (!list)
            continue;
        const bool array = r->step == SG_JSON_STEP_ARRAY;
        if ((st = keep_rest(rest, (sg_bytes){r->text.data + from, r->begin - from}, r->name, err)) ||
            (st = sg_json_reader_skip(r, &list->n, err)) ||
            (st = keep_rest(rest, (sg_bytes){array ? "[]" : "{}", 2}, r->name, err)))
            return st;
        list->text = (sg_bytes){r->text.data + r->begin, r->at - r->begin};
        from = r->at;
    } while (r->step != SG_JSON_STEP_END);
    return keep_rest(rest, (sg_bytes){r->text.data + from, r->text.size - from}, r->name, err);
}

sg_status sg_token_source_read(sg_token_source *s, sg_bytes file, const char *name, sg_error *err)
{
    sg_json_reader r;
    sg_buf rest = {0};
    sg_status st;

    *s = (sg_token_source){0};
    sg_json_reader_init(&r, file, name);
    st = split(s, &rest, &r, err);
    sg_json_reader_fini(&r);
    s->taken = sg_json_weight((sg_bytes){rest.data, rest.size});
    if (!st)
        st =
            sg_json_parse_light(&s->root, (sg_bytes){rest.data, rest.size}, SG_TOKENIZER_REST_MAX, name, err);
    sg_buf_free(&rest);
    return st;
}

sg_status sg_token_list_read(sg_token_list *list, sg_bytes text, const char *name, sg_error *err)
{
    sg_json_reader r;
    sg_status st;

    *list = (sg_token_list){0};
    sg_json_reader_init(&r, text, name);
    if (!(st = sg_json_reader_next(&r, err))) {
        const bool is_list = opens(&r);

        st = sg_json_reader_skip(&r, &list->n, err);
        if (is_list)
            list->text = (sg_bytes){text.data + r.begin, r.at - r.begin};
    }
    if (!st)
        st = sg_json_reader_next(&r, err);
    sg_json_reader_fini(&r);
    return st;
}

void sg_token_source_free(sg_token_source *s)
{
    json_decref(s->root);
    *s = (sg_token_source){0};
}

/* The reader of a list, which has been read before, behind its bracket. */
static sg_status begin(sg_json_reader *r, const sg_token_list *list, const char *name, sg_error *err)
{
    sg_json_reader_init(r, list->text, name);
    r->known = true;
    return sg_json_reader_next(r, err);
}

/* ---- memory ------------------------------------------------------------------------------------------------------------------ */
sg_status sg_tokenizer_take(sg_tokenizer *t, size_t count, size_t each, const char *what, sg_error *err)
{
    size_t bytes;

    if (!sg_mul(&bytes, count, each) || bytes > t->room)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected a tokenizer that takes at most %zu MiB, found more with its %s", t->name,
                       SG_TOKENIZER_ROOM >> 20, what);
    t->room -= bytes;
    return SG_OK;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------------------ */
typedef struct spellings { /* what becomes the tokenizer's block and list of tokens */
    sg_buf block;          /* has room for all: it never moves */
    sg_bytes *token;       /* by id */
    size_t n, cap;
} spellings;

static sg_status put_spelling(spellings *list, sg_tokenizer *t, size_t i, sg_bytes s, sg_error *err)
{
    sg_status st;

    if ((st = sg_tokenizer_take(t, s.size, 1, "tokens", err)) ||
        (i >= list->n &&
         (st = sg_tokenizer_take(t, i + 1 - list->n, sizeof *t->token + sizeof *t->kind, "tokens", err))))
        return st;
    for (; list->n <= i; list->n++)
        list->token[list->n] = (sg_bytes){"", 0};
    list->token[i] = (sg_bytes){list->block.data + list->block.size, s.size};
    sg_buf_add(&list->block, s.data, s.size);
    return SG_OK;
}

static sg_status fail_number(const sg_tokenizer *t, sg_bytes s, size_t most, const char *found, sg_error *err)
{
    return sg_fail(err, SG_ERR_FORMAT, "%s: token '%.*s': expected a number below %zu, found %s", t->name,
                   s.size < 60 ? (int)s.size : 60, s.data, most, found);
}

static bool is_id(int64_t id, size_t most)
{
    return id >= 0 && (uint64_t)id < most;
}

/* The double next to it, n at most 308: pow(10, 23) is another. */
static double power_of_ten(int64_t n)
{
    char text[8];
    double x = 1;

    if (n > 22) { /* up to there all are exact */
        snprintf(text, sizeof text, "1e%d", (int)n);
        return strtod(text, NULL);
    }
    for (; n > 0; n--)
        x *= 10;
    return x;
}

/* Ties between cuts are decided by the last bit of a score, so it must be the library's: serde_json takes the digits as a whole
 * number, rounds that to a double and multiplies or divides it by a power of ten, which rounds again. */
static double as_serde_reads(sg_bytes s)
{
    const bool negative = *s.data == '-';
    uint64_t digits = 0;
    int64_t power = 0, given = 0;
    bool behind = false, full = false; /* of digits, the others are not looked at */
    size_t i = negative;

    for (; i < s.size && (s.data[i] | 0x20) != 'e'; i++) {
        uint64_t more;

        if (s.data[i] == '.') {
            behind = true;
            continue;
        }
        full = full || __builtin_mul_overflow(digits, 10, &more) ||
               __builtin_add_overflow(more, (uint64_t)(s.data[i] - '0'), &more);
        digits = full ? digits : more;
        power += full ? !behind : -behind;
    }
    for (size_t k = i + 1; k < s.size; k++)
        given = s.data[k] < '0' || given > 1 << 20 ? given : given * 10 + (s.data[k] - '0');
    power += i + 1 < s.size && s.data[i + 1] == '-' ? -given : given;
    double x = (double)digits;
    for (; power < -308 && x != 0; power += 308)
        x /= 1e308;
    if (x != 0)
        x = power < 0 ? x / power_of_ten(-power) : x * power_of_ten(power);
    return negative ? -x : x;
}

/* Unigram: [spelling, score]. */
static sg_status read_piece(spellings *list, sg_tokenizer *t, sg_json_reader *r, size_t i, sg_error *err)
{
    const bool array = r->step == SG_JSON_STEP_ARRAY;
    sg_status st = SG_OK;
    bool spelled = false, scored = false;

    for (size_t k = 0; array && !(st = sg_json_reader_next(r, err)) && r->step != SG_JSON_STEP_CLOSE; k++) {
        if (k == 0 && (spelled = r->step == SG_JSON_STEP_STRING))
            st = put_spelling(list, t, i, r->string, err);
        if (k == 1 && (scored = r->step == SG_JSON_STEP_INTEGER || r->step == SG_JSON_STEP_REAL))
            t->unigram.score[i] = as_serde_reads(r->string);
        if (st || (st = sg_json_reader_skip(r, NULL, err)))
            return st;
    }
    if (st)
        return st;
    return spelled && scored
               ? SG_OK
               : sg_fail(err, SG_ERR_FORMAT, "%s: vocab: entry %zu: expected [string, number]", t->name, i);
}

static sg_status read_vocab(spellings *list, sg_tokenizer *t, const sg_token_source *s, sg_error *err)
{
    const size_t most = s->vocab.n + SPARE_IDS;
    sg_json_reader r;
    char text[64];
    sg_status st;

    if (!s->vocab.text.size)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected 'vocab'", t->name);
    st = begin(&r, &s->vocab, t->name, err);
    const bool array = r.step == SG_JSON_STEP_ARRAY;
    if (!st && array && !(st = sg_tokenizer_take(t, s->vocab.n, sizeof *t->unigram.score, "pieces", err)) &&
        !(t->unigram.score = sg_alloc_array(s->vocab.n, sizeof *t->unigram.score)))
        st = sg_fail_memory(err, t->name);
    for (size_t i = 0; i < s->vocab.n && !st && !(st = sg_json_reader_next(&r, err)); i++)
        st = array ? read_piece(list, t, &r, i, err)
             : r.step == SG_JSON_STEP_INTEGER && is_id(r.integer, most)
                 ? put_spelling(list, t, (size_t)r.integer, r.key, err)
                 : fail_number(t, r.key, most, sg_json_reader_describe(&r, text), err);
    sg_json_reader_fini(&r);
    return st;
}

static bool is_true(const json_t *o, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(o, key);

    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

/* One added token, which joins the spellings; without a spelling it is none. */
static sg_status read_added_token(sg_added *out, size_t *n, spellings *list, sg_tokenizer *t, size_t most,
                                  const json_t *o, sg_error *err)
{
    const json_t *content = json_object_get(o, "content"), *id = json_object_get(o, "id");
    const sg_bytes s = {json_string_value(content), json_string_length(content)};
    const bool special = is_true(o, "special", false);
    char text[64];
    sg_status st;

    if (!s.size)
        return SG_OK;
    if (!json_is_integer(id) || !is_id(json_integer_value(id), most))
        return fail_number(t, s, most, sg_json_describe(id, text), err);
    if ((st = put_spelling(list, t, (size_t)json_integer_value(id), s, err)))
        return st;
    out[(*n)++] = (sg_added){.id = (int32_t)json_integer_value(id),
                             .special = special,
                             .normalized = is_true(o, "normalized", !special),
                             .single_word = is_true(o, "single_word", false),
                             .left = is_true(o, "lstrip", false),
                             .right = is_true(o, "rstrip", false)};
    return SG_OK;
}

/* Each is an object of a few members, so a json_t at a time will do. */
static sg_status read_added(sg_added **out, size_t *n, spellings *list, sg_tokenizer *t,
                            const sg_token_source *s, sg_error *err)
{
    const size_t count = s->added.n, most = list->n + count + SPARE_IDS;
    sg_json_reader r;
    sg_status st;

    if (count > ADDED_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %d added tokens, found %zu", t->name,
                       ADDED_MAX, count);
    if ((st = sg_tokenizer_take(t, count, sizeof **out, "added tokens", err)))
        return st;
    if (!(*out = sg_alloc_array(count, sizeof **out)))
        return sg_fail_memory(err, t->name);
    if (!count)
        return SG_OK;
    st = begin(&r, &s->added, t->name, err);
    for (size_t i = 0; i < count && !st; i++) {
        json_t *o = NULL;

        if (!(st = sg_json_reader_next(&r, err)) && !(st = sg_json_reader_skip(&r, NULL, err)) &&
            !(st = sg_json_parse_light(&o, (sg_bytes){r.text.data + r.begin, r.at - r.begin},
                                       SG_TOKENIZER_REST_MAX, t->name, err)))
            st = read_added_token(*out, n, list, t, most, o, err);
        json_decref(o);
    }
    sg_json_reader_fini(&r);
    return st;
}

/* The spellings become the tokenizer's. */
static sg_status keep_tokens(sg_tokenizer *t, spellings *list, sg_error *err)
{
    t->block = list->block;
    t->token = list->token;
    *list = (spellings){.n = list->n};
    if (!(t->kind = sg_alloc_zero(list->n, 1)))
        return sg_fail_memory(err, t->name);
    t->n = list->n;
    for (size_t i = 0; i < t->n; i++)
        t->kind[i] = t->token[i].size ? SG_TOKEN_NORMAL : SG_TOKEN_ABSENT;
    return SG_OK;
}

sg_status sg_tokenizer_read_tokens(sg_tokenizer *t, size_t *n_vocab, sg_added **added, size_t *n_added,
                                   const sg_token_source *s, sg_error *err)
{
    const size_t tokens = s->vocab.n + s->added.n + 2 * SPARE_IDS,
                 bytes = s->vocab.text.size + s->added.text.size + 1;
    spellings list = {0};
    sg_status st;

    *added = NULL;
    *n_added = 0;
    /* room for all: what is not written to is not there, and nothing moves */
    if (!sg_grow(&list.block.data, &list.block.cap, bytes, 1) ||
        !sg_grow(&list.token, &list.cap, tokens, sizeof *list.token))
        st = sg_fail_memory(err, t->name);
    else if (!(st = read_vocab(&list, t, s, err))) {
        *n_vocab = list.n;
        if (!(st = read_added(added, n_added, &list, t, s, err)))
            st = keep_tokens(t, &list, err);
    }
    sg_buf_free(&list.block);
    sg_free(list.token);
    return st;
}

/* ---- merges ------------------------------------------------------------------------------------------------------------------ */
/* "left right"; without a space: no sides. */
static void cut_at_space(sg_bytes side[2], sg_bytes s)
{
    const char *space = memchr(s.data, ' ', s.size);
    const size_t at = space ? (size_t)(space - s.data) : 0;

    side[0] = (sg_bytes){s.data, at};
    side[1] = space ? (sg_bytes){space + 1, s.size - at - 1} : (sg_bytes){"", 0};
}

/* "left right", or [left, right], whose strings last a step and are kept; a side without bytes: neither. */
static sg_status read_merge(sg_bytes side[2], sg_buf kept[2], sg_json_reader *r, sg_error *err)
{
    const bool array = r->step == SG_JSON_STEP_ARRAY;
    sg_status st = SG_OK;

    side[0] = side[1] = (sg_bytes){"", 0};
    if (r->step == SG_JSON_STEP_STRING)
        cut_at_space(side, r->string);
    for (size_t k = 0; array && !st && !(st = sg_json_reader_next(r, err)) && r->step != SG_JSON_STEP_CLOSE;
         k++) {
        if (k < 2 && r->step == SG_JSON_STEP_STRING) {
            kept[k].size = 0;
            sg_buf_add(&kept[k], r->string.data, r->string.size);
            side[k] = (sg_bytes){kept[k].data, kept[k].size};
        }
        st = sg_json_reader_skip(r, NULL, err);
    }
    return st ? st : kept[0].failed || kept[1].failed ? sg_fail_memory(err, r->name) : SG_OK;
}

bool sg_merge_line(sg_bytes side[2], sg_bytes *text, size_t *line)
{
    side[0] = side[1] = (sg_bytes){"", 0};
    while (text->size) {
        const char *s = text->data, *stop = memchr(s, '\n', text->size);
        size_t size = stop ? (size_t)(stop - s) : text->size;

        text->data += size + (stop != NULL);
        text->size -= size + (stop != NULL);
        ++*line;
        size -= size && s[size - 1] == '\r';
        if (size && (*line > 1 || size < 8 || memcmp(s, "#version", 8) != 0)) {
            cut_at_space(side, (sg_bytes){s, size});
            return true;
        }
    }
    return false;
}

static sg_status add_json_merges(sg_tokenizer *t, const sg_token_list *list, sg_error *err)
{
    sg_json_reader r;
    sg_buf kept[2] = {0};
    sg_bytes side[2];
    sg_status st = begin(&r, list, t->name, err);

    for (size_t i = 0; i < list->n && !st; i++) {
        if ((st = sg_json_reader_next(&r, err)) || (st = read_merge(side, kept, &r, err)))
            break;
        st = side[0].size && side[1].size
                 ? sg_tokenizer_add_merge(t, side[0], side[1], (uint32_t)i, err)
                 : sg_fail(err, SG_ERR_FORMAT, "%s: merge %zu: expected two tokens", t->name, i);
    }
    sg_json_reader_fini(&r);
    sg_buf_free(&kept[0]);
    sg_buf_free(&kept[1]);
    return st;
}

static sg_status add_merge_lines(sg_tokenizer *t, sg_bytes text, sg_error *err)
{
    sg_bytes side[2];
    sg_status st = SG_OK;
    size_t line = 0;

    for (uint32_t i = 0; !st && sg_merge_line(side, &text, &line); i++)
        st = sg_tokenizer_add_merge(t, side[0], side[1], i, err);
    return st;
}

sg_status sg_tokenizer_read_merges(sg_tokenizer *t, const sg_token_source *s, sg_error *err)
{
    const sg_token_list *list = &s->merges;
    sg_status st;

    if (!s->lines && !list->text.size)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an array as 'merges'", t->name);
    if ((st = sg_tokenizer_take(t, sg_bpe_slots(list->n), sizeof *t->bpe.merge, "merges", err)) ||
        (st = sg_bpe_reserve(&t->bpe, list->n, err)))
        return st;
    return s->lines ? add_merge_lines(t, list->text, err) : add_json_merges(t, list, err);
}
