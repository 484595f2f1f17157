/* spiece.c - SentencePiece's tokenizers: its .model file, and what such a file says put to work.
 *
 * [google/sentencepiece src/sentencepiece_model.proto] The file is a protocol buffer; only these fields matter here:
 * pieces 1 {piece 1, score 2, type 3}, trainer_spec 2 {model_type 3, treat_whitespace_as_suffix 24, byte_fallback 35},
 * normalizer_spec 3 {precompiled_charsmap 2, add_dummy_prefix 3, remove_extra_whitespaces 4, escape_whitespaces 5}. */
#include "text/token_parts.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <math.h>
#include <string.h>

/* ---- models from scores ------------------------------------------------------------------------------------------------ */
static int by_score_falling(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x < y) - (x > y);
}

/* Equal scores have equal ranks, so that the leftmost pair goes first. */
static uint32_t rank_of(const float *sorted, size_t n, float score)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;

        if (sorted[mid] > score)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint32_t)lo;
}

/* Calls for every way to put a token together from two others; count: only how many. */
static size_t each_pair(sg_tokenizer *t, const float *score, const float *sorted, bool count)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++) {
        const sg_bytes s = t->token[i];

        if (t->kind[i] != SG_TOKEN_NORMAL && t->kind[i] != SG_TOKEN_USER)
            continue;
        for (size_t cut = s.size ? sg_utf8_bytes(*s.data) : 0; cut < s.size;
             cut += sg_utf8_bytes(s.data[cut])) {
            const int32_t a = sg_trie_find(&t->trie, s.data, cut);
            const int32_t b = a < 0 ? -1 : sg_trie_find(&t->trie, s.data + cut, s.size - cut);

            if (b < 0 || t->kind[a] != SG_TOKEN_NORMAL || t->kind[b] != SG_TOKEN_NORMAL)
                continue;
            n++;
            if (!count)
                sg_bpe_add(&t->bpe, a, b, rank_of(sorted, t->n, score[i]), (int32_t)i);
        }
    }
    return n;
}

static sg_status set_bpe(sg_tokenizer *t, const float *score, sg_error *err)
{
    float *sorted = sg_alloc_array(t->n, sizeof *sorted);
    sg_status st = SG_OK;

    if (!sorted)
        return sg_fail_memory(err, t->name);
    memcpy(sorted, score, t->n * sizeof *sorted);
    qsort(sorted, t->n, sizeof *sorted, by_score_falling);
    const size_t n = each_pair(t, score, sorted, true);
    if (t->nodes_max && n > t->nodes_max)
        st = sg_fail(err, SG_ERR_FORMAT,
                     "%s: expected tokens that are put together in at most %zu ways, found %zu", t->name,
                     t->nodes_max, n);
    else if (!(st = sg_bpe_reserve(&t->bpe, n, err)))
        each_pair(t, score, sorted, false);
    t->bpe.fuse_unknown = true;
    t->model = SG_MODEL_BPE;
    sg_free(sorted);
    return st;
}

static sg_status set_unigram(sg_tokenizer *t, const float *score, sg_error *err)
{
    sg_unigram *u = &t->unigram;
    float least = 0, most = 0;
    bool any = false;

    u->score = sg_alloc_array(t->n, sizeof *u->score);
    u->fixed = sg_alloc_zero(t->n, sizeof *u->fixed);
    if (!u->score || !u->fixed)
        return sg_fail_memory(err, t->name);
    for (size_t i = 0; i < t->n; i++) {
        u->score[i] = score[i];
        u->fixed[i] = t->kind[i] == SG_TOKEN_USER;
        if (t->kind[i] != SG_TOKEN_NORMAL)
            continue;
        least = !any || score[i] < least ? score[i] : least;
        most = !any || score[i] > most ? score[i] : most;
        any = true;
    }
    u->single = true;
    u->unknown_score = least - 10.0f;
    u->fixed_score = most;
    t->model = SG_MODEL_UNIGRAM;
    return SG_OK;
}

/* Tokens of one kind, as keys: the others are empty. */
static sg_status build_kind(sg_trie *out, const sg_tokenizer *t, const sg_spiece *s, int kind, int or_kind,
                            sg_error *err)
{
    sg_bytes *key = sg_alloc_array(s->n, sizeof *key);
    sg_status st;

    if (!key)
        return sg_fail_memory(err, t->name);
    for (size_t i = 0; i < s->n; i++)
        key[i] = s->kind[i] == kind || s->kind[i] == or_kind ? t->token[i] : (sg_bytes){"", 0};
    st = sg_trie_build_within(out, key, s->n, t->nodes_max ? t->nodes_max : UINT32_MAX, err);
    sg_free(key);
    return st ? sg_error_prefix(err, t->name) : SG_OK;
}

static sg_status set_normalizer(sg_tokenizer *t, const sg_spiece *s, bool any_fixed, sg_error *err)
{
    sg_norm_step *step = sg_normalizer_add(&t->normalizer);

    if (!step)
        return sg_fail_memory(err, t->name);
    step->kind = SG_NORM_SPIECE;
    step->dummy_prefix = s->dummy_prefix;
    step->few_spaces = s->few_spaces;
    step->escape = s->escape;
    step->has_map = s->charsmap.size;
    if (step->has_map && sg_charsmap_parse(&step->map, s->charsmap, err))
        return sg_error_prefix(err, t->name);
    return any_fixed ? build_kind(&step->keep, t, s, SG_TOKEN_USER, SG_TOKEN_USER, err) : SG_OK;
}

sg_status sg_tokenizer_set_spiece(sg_tokenizer *t, const sg_spiece *s, sg_error *err)
{
    bool any_fixed = false;
    int32_t unknown = -1;
    sg_decode_step *decode = sg_tokenizer_add_decode(t);
    sg_status st;

    if (!decode)
        return sg_fail_memory(err, t->name);
    *decode =
        (sg_decode_step){.kind = SG_DECODE_SPIECE, .strip_one = s->dummy_prefix, .strip_all = s->few_spaces};
    for (size_t i = 0; i < s->n; i++) {
        if (s->kind[i] < SG_TOKEN_NORMAL || s->kind[i] > SG_TOKEN_BYTE)
            return sg_fail(err, SG_ERR_FORMAT, "%s: token %zu: expected a kind from 1 to 6, found %d",
                           t->name, i, s->kind[i]);
        if (!isfinite(s->score[i]))
            return sg_fail(err, SG_ERR_FORMAT, "%s: token %zu: expected a finite number as score", t->name,
                           i);
        if (s->bpe && s->kind[i] == SG_TOKEN_UNUSED)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: token %zu: unused tokens of a BPE model are not supported", t->name, i);
        if (s->kind[i] == SG_TOKEN_UNKNOWN)
            unknown = (int32_t)i;
        any_fixed = any_fixed || s->kind[i] == SG_TOKEN_USER;
    }
    if (unknown < 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a token for what is unknown, found none", t->name);
    if ((st = sg_tokenizer_set_tokens(t, s->token, s->kind, s->n, err)) ||
        (st = build_kind(&t->trie, t, s, SG_TOKEN_NORMAL, SG_TOKEN_USER, err)) ||
        (st = set_normalizer(t, s, any_fixed, err)))
        return st;
    if (s->bpe) {
        t->bpe.unknown = unknown;
        t->bpe.fall_back = s->fall_back;
        sg_tokenizer_byte_tokens(t->bpe.byte_id, t);
        if (any_fixed && (st = build_kind(&t->bpe.fixed, t, s, SG_TOKEN_USER, SG_TOKEN_USER, err)))
            return st;
        st = set_bpe(t, s->score, err);
        return st ? st : sg_tokenizer_cut_words(t, err);
    }
    t->unigram.unknown = unknown;
    t->unigram.fall_back = s->fall_back;
    sg_tokenizer_byte_tokens(t->unigram.byte_id, t);
    return set_unigram(t, s->score, err);
}

/* ---- the file ------------------------------------------------------------------------------------------------------------ */
typedef struct cursor {
    const unsigned char *p, *end;
} cursor;

typedef struct field {
    uint32_t number, wire;
    uint64_t value; /* varint, 32 or 64 bits */
    cursor in;      /* of a length-delimited field */
} field;

static bool take_varint(cursor *c, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && c->p < c->end; shift += 7) {
        const unsigned char byte = *c->p++;

        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* The next field; false: the end, or *bad. */
static bool take_field(cursor *c, field *f, bool *bad)
{
    uint64_t key, size;

    if (c->p == c->end)
        return false;
    *bad = true;
    if (!take_varint(c, &key))
        return false;
    *f = (field){.number = (uint32_t)(key >> 3), .wire = (uint32_t)(key & 7)};
    if (f->wire == 0) {
        if (!take_varint(c, &f->value))
            return false;
    } else if (f->wire == 1 || f->wire == 5) {
        const size_t n = f->wire == 1 ? 8 : 4;

        if ((size_t)(c->end - c->p) < n)
            return false;
        for (size_t i = n; i-- > 0;)
            f->value = f->value << 8 | c->p[i];
        c->p += n;
    } else if (f->wire == 2) {
        if (!take_varint(c, &size) || size > (uint64_t)(c->end - c->p))
            return false;
        f->in = (cursor){c->p, c->p + size};
        c->p += size;
    } else {
        return false;
    }
    *bad = false;
    return true;
}

typedef struct model { /* what the file says, while it is read */
    sg_bytes *token;   /* owned lists */
    uint8_t *kind;
    float *score;
    size_t n, cap_token, cap_kind, cap_score;
    uint64_t type;
    bool suffix;
    sg_spiece spiece;
} model;

static sg_bytes text_of(const field *f)
{
    return f->wire == 2 ? (sg_bytes){(const char *)f->in.p, (size_t)(f->in.end - f->in.p)}
                        : (sg_bytes){"", 0};
}

static bool read_piece(model *m, cursor c, bool *bad)
{
    sg_bytes token = {"", 0};
    uint64_t kind = SG_TOKEN_NORMAL;
    float score = 0;
    field f;

    while (take_field(&c, &f, bad))
        if (f.number == 1) {
            token = text_of(&f);
        } else if (f.number == 2 && f.wire == 5) {
            const uint32_t bits = (uint32_t)f.value;

            memcpy(&score, &bits, 4);
        } else if (f.number == 3) {
            kind = f.value;
        }
    *bad = *bad || !token.size;
    if (!sg_grow(&m->token, &m->cap_token, m->n + 1, sizeof *m->token) ||
        !sg_grow(&m->kind, &m->cap_kind, m->n + 1, 1) ||
        !sg_grow(&m->score, &m->cap_score, m->n + 1, sizeof *m->score))
        return false;
    m->token[m->n] = token;
    m->kind[m->n] = kind > 255 ? 255 : (uint8_t)kind;
    m->score[m->n++] = score;
    return true;
}

static void read_trainer(model *m, cursor c, bool *bad)
{
    field f;

    while (take_field(&c, &f, bad))
        if (f.number == 3)
            m->type = f.value;
        else if (f.number == 24)
            m->suffix = f.value;
        else if (f.number == 35)
            m->spiece.fall_back = f.value;
}

static void read_normalizer(model *m, cursor c, bool *bad)
{
    field f;

    while (take_field(&c, &f, bad))
        if (f.number == 2)
            m->spiece.charsmap = text_of(&f);
        else if (f.number == 3)
            m->spiece.dummy_prefix = f.value;
        else if (f.number == 4)
            m->spiece.few_spaces = f.value;
        else if (f.number == 5)
            m->spiece.escape = f.value;
}

static sg_status read_model(model *m, sg_bytes file, const char *name, sg_error *err)
{
    cursor c = {(const unsigned char *)file.data, (const unsigned char *)file.data + file.size};
    bool bad = false;
    field f;

    m->type = 1;
    m->spiece.dummy_prefix = m->spiece.few_spaces = m->spiece.escape = true;
    while (!bad && take_field(&c, &f, &bad)) {
        if (f.wire != 2)
            continue;
        if (f.number == 1 && !read_piece(m, f.in, &bad))
            return sg_fail_memory(err, name);
        if (f.number == 2)
            read_trainer(m, f.in, &bad);
        if (f.number == 3)
            read_normalizer(m, f.in, &bad);
    }
    if (bad)
        return sg_fail(err, SG_ERR_FORMAT, "%s: byte %zu: expected a field of a SentencePiece model", name,
                       (size_t)((const char *)c.p - file.data));
    if (m->type != 1 && m->type != 2)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a Unigram or BPE model, found type %llu", name,
                       (unsigned long long)m->type);
    if (m->suffix)
        return sg_fail(err, SG_ERR_FORMAT, "%s: spaces behind words are not supported", name);
    if (!m->n)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a SentencePiece model, found no tokens", name);
    m->spiece.token = m->token;
    m->spiece.kind = m->kind;
    m->spiece.score = m->score;
    m->spiece.n = m->n;
    m->spiece.bpe = m->type == 2;
    return SG_OK;
}

sg_status sg_tokenizer_from_spiece(sg_tokenizer **out, sg_bytes file, const char *name, sg_error *err)
{
    sg_tokenizer *t = NULL;
    model m = {0};
    sg_status st;

    *out = NULL;
    if ((st = sg_tokenizer_new(&t, name, err)) || (st = read_model(&m, file, name, err)) ||
        (st = sg_tokenizer_set_spiece(t, &m.spiece, err)))
        goto done;
    *out = t;
    t = NULL;
done:
    sg_free(m.token);
    sg_free(m.kind);
    sg_free(m.score);
    sg_tokenizer_close(t);
    return st;
}
