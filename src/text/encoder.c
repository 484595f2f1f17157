/* encoder.c - text to numbers: added tokens, normalizer, added tokens again, pre-tokenizer, model, template. */
#include "text/token_parts.h"

#include "base/utf8.h"

#include <string.h>

/* Words come again: what the model made of a short piece is kept, one piece a place. Does not change any result. */
enum { KEY_MAX = 28, KEPT_IDS = 8, KEPT = 1 << 14 };

typedef struct kept {
    char key[KEY_MAX];
    uint8_t size; /* 0: nothing here */
    uint8_t n;
    bool literal;
    int32_t id[KEPT_IDS];
} kept;

struct sg_encoder {
    const sg_tokenizer *t; /* borrowed */
    sg_matcher *matcher;
    sg_norm_scratch norm;
    sg_pieces pieces;
    sg_bpe_scratch bpe;
    sg_unigram_scratch unigram;
    kept *kept; /* (KEPT) */
    sg_buf clean;
    sg_token_ids a, b, out;
    uint8_t *type; /* of out */
    size_t cap_type;
};

sg_status sg_encoder_new(sg_encoder **out, const sg_tokenizer *t, sg_error *err)
{
    sg_encoder *e = sg_alloc_zero(1, sizeof *e);

    *out = NULL;
    if (!e || !(e->kept = sg_alloc_zero(KEPT, sizeof *e->kept)) || !(e->matcher = sg_matcher_new())) {
        sg_encoder_free(e);
        return sg_fail_memory(err, t->name);
    }
    e->t = t;
    e->norm.matcher = e->pieces.matcher = e->matcher;
    *out = e;
    return SG_OK;
}

void sg_encoder_free(sg_encoder *e)
{
    if (!e)
        return;
    sg_matcher_free(e->matcher);
    sg_norm_scratch_free(&e->norm);
    sg_pieces_free(&e->pieces);
    sg_bpe_scratch_free(&e->bpe);
    sg_unigram_scratch_free(&e->unigram);
    sg_free(e->kept);
    sg_buf_free(&e->clean);
    sg_free(e->a.id);
    sg_free(e->b.id);
    sg_free(e->out.id);
    sg_free(e->type);
    sg_free(e);
}

static bool run_model(sg_encoder *e, sg_token_ids *to, const char *s, size_t size, bool literal)
{
    const uint8_t *kind = literal ? e->t->kind : NULL;

    switch (e->t->model) {
    case SG_MODEL_BPE:
        return sg_bpe_encode(to, &e->t->bpe, &e->bpe, s, size);
    case SG_MODEL_WORDPIECE:
        return sg_wordpiece_encode(to, &e->t->wordpiece, s, size, kind);
    case SG_MODEL_UNIGRAM:
        return sg_unigram_encode(to, &e->t->unigram, &e->unigram, s, size, kind);
    }
    return true;
}

static kept *place_of(sg_encoder *e, const char *s, size_t size)
{
    uint64_t hash = size, part = 0;

    for (; size >= 8; s += 8, size -= 8) {
        memcpy(&part, s, 8);
        hash = (hash ^ part) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    part = 0;
    for (size_t i = 0; i < size; i++)
        part = part << 8 | (unsigned char)s[i];
    hash = (hash ^ part) * 0x9e3779b97f4a7c15u;
    return &e->kept[(hash >> 40) & (KEPT - 1)];
}

static bool encode_piece(sg_encoder *e, sg_token_ids *to, const char *s, size_t size, bool literal)
{
    const size_t before = to->n;
    kept *k;

    if (size > KEY_MAX)
        return run_model(e, to, s, size, literal);
    k = place_of(e, s, size);
    if (k->size == size && k->literal == literal && memcmp(k->key, s, size) == 0) {
        if (!sg_grow(&to->id, &to->cap, to->n + KEPT_IDS, sizeof *to->id))
            return false;
        memcpy(to->id + to->n, k->id, sizeof k->id);
        to->n += k->n;
        return true;
    }
    if (!run_model(e, to, s, size, literal))
        return false;
    if (to->n - before <= KEPT_IDS) {
        memcpy(k->key, s, size);
        k->size = (uint8_t)size;
        k->literal = literal;
        k->n = (uint8_t)(to->n - before);
        if (k->n)
            memcpy(k->id, to->id + before, k->n * sizeof *k->id);
    }
    return true;
}

/* ---- added tokens -------------------------------------------------------------------------------------------------------- */
typedef struct hit {
    size_t start, end;
    int32_t id;
} hit;

static bool word_before(sg_bytes text, size_t at)
{
    const char *s = text.data + (at ? sg_utf8_before(text.data, at) : 0);

    return at && sg_char_is_word(sg_utf8_next(&s));
}

static bool word_after(sg_bytes text, size_t at)
{
    const char *s = text.data + at;

    return at < text.size && sg_char_is_word(sg_utf8_next(&s));
}

static size_t spaces_begin(sg_bytes text, size_t at, size_t least)
{
    while (at > least) {
        const size_t before = sg_utf8_before(text.data, at);
        const char *s = text.data + before;

        if (!sg_char_is_space(sg_utf8_next(&s)))
            break;
        at = before;
    }
    return at < least ? least : at;
}

static size_t spaces_end(sg_bytes text, size_t at)
{
    while (at < text.size) {
        const char *s = text.data + at;

        if (!sg_char_is_space(sg_utf8_next(&s)))
            break;
        at = (size_t)(s - text.data);
    }
    return at;
}

static bool is_said(const uint8_t *said, size_t from, size_t to)
{
    while (said && from < to)
        if (said[from++])
            return true;
    return false;
}

/* The next added token; said: sg_encode_how's, or NULL; *scan: where the search goes on; taken: the end of the one before, with the spaces
 * behind it that it took: a token that begins among these is found all the same. */
static bool next_hit(hit *out, const sg_tokenizer *t, const sg_added_trie *from, sg_bytes text, size_t *scan,
                     size_t taken, bool literal, const uint8_t *said)
{
    for (size_t at = *scan; at < text.size; at++) {
        const unsigned char c = (unsigned char)text.data[at];
        int32_t i = -1;
        size_t bytes;

        if (from->starts[c])
            i = sg_trie_longest(&from->trie, text.data + at, text.size - at, &bytes);
        if (i < 0 && said && t->normal.starts[c] &&
            (i = sg_trie_longest(&t->normal.trie, text.data + at, text.size - at, &bytes)) >= 0 &&
            !t->added[i].special)
            i = -1; /* in normalised text, later */
        if (i < 0)
            continue;
        const sg_added *a = &t->added[i];
        const size_t end = at + bytes;
        const bool glued = a->single_word && (word_before(text, at) || word_after(text, end));

        if (glued || (a->special && (literal || is_said(said, at, end)))) {
            at = end - 1;
            continue;
        }
        *scan = end;
        *out = (hit){a->left ? spaces_begin(text, at, taken) : at, a->right ? spaces_end(text, end) : end,
                     a->id};
        return true;
    }
    *scan = text.size;
    return false;
}

/* ---- the text between them ----------------------------------------------------------------------------------------------- */
static sg_status encode_plain(sg_encoder *e, sg_token_ids *to, sg_bytes text, bool first, bool literal,
                              sg_error *err)
{
    const sg_status st = sg_pretokenizer_run(&e->pieces, &e->t->pre, text, first, err);

    for (size_t i = 0; i < e->pieces.n && !st; i++) {
        const sg_span span = e->pieces.span[i];

        if (!encode_piece(e, to, e->pieces.text + span.start, span.end - span.start, literal))
            return sg_fail_memory(err, "tokens");
    }
    return st;
}

static sg_status encode_section(sg_encoder *e, sg_token_ids *to, sg_bytes raw, bool first, bool literal,
                                sg_error *err)
{
    size_t scan = 0, taken = 0;
    sg_bytes text;
    bool moved;
    sg_status st;
    hit h;

    if ((st = sg_normalizer_run(&text, &moved, &e->t->normalizer, &e->norm, raw, err)))
        return st;
    first = first && !moved;
    if (text.size >= UINT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "expected a text that stays below 4 GiB");
    while (next_hit(&h, e->t, &e->t->normal, text, &scan, taken, literal, NULL)) {
        if (h.start > taken && (st = encode_plain(e, to, (sg_bytes){text.data + taken, h.start - taken},
                                                  first && taken == 0, literal, err)))
            return st;
        if (!sg_token_ids_add(to, h.id))
            return sg_fail_memory(err, "tokens");
        taken = h.end;
    }
    if (taken < text.size)
        st = encode_plain(e, to, (sg_bytes){text.data + taken, text.size - taken}, first && taken == 0,
                          literal, err);
    return st;
}

static sg_status encode_text(sg_encoder *e, sg_token_ids *to, sg_bytes text, const sg_encode_how *how,
                             sg_error *err)
{
    const uint8_t *said = how->said;
    size_t scan = 0, taken = 0;
    sg_status st = SG_OK;
    hit h;

    to->n = 0;
    if (!sg_utf8_valid(text.data, text.size)) {
        e->clean.size = 0;
        sg_utf8_clean(&e->clean, text.data, text.size);
        if (e->clean.failed) {
            sg_buf_free(&e->clean);
            return sg_fail_memory(err, "text");
        }
        text = (sg_bytes){e->clean.data, e->clean.size};
    }
    while (next_hit(&h, e->t, &e->t->raw, text, &scan, taken, how->literal, said)) {
        if (h.start > taken &&
            (st = encode_section(e, to, (sg_bytes){text.data + taken, h.start - taken}, taken == 0,
                                 how->literal || is_said(said, taken, h.start), err)))
            return st;
        if (!sg_token_ids_add(to, h.id))
            return sg_fail_memory(err, "tokens");
        taken = h.end;
    }
    if (taken < text.size)
        st = encode_section(e, to, (sg_bytes){text.data + taken, text.size - taken}, taken == 0,
                            how->literal || is_said(said, taken, text.size), err);
    return st;
}

/* ---- around it --------------------------------------------------------------------------------------------------------------- */
static size_t added_by(const sg_template *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++)
        n += t->item[i].what == 2;
    return n;
}

static void shorten(sg_token_ids *ids, size_t most, bool keep_end)
{
    if (ids->n <= most)
        return;
    if (keep_end)
        memmove(ids->id, ids->id + ids->n - most, most * sizeof *ids->id);
    ids->n = most;
}

static bool put(sg_encoder *e, const int32_t *id, size_t n, uint8_t type)
{
    if (!sg_grow(&e->out.id, &e->out.cap, e->out.n + n, sizeof *e->out.id) ||
        !sg_grow(&e->type, &e->cap_type, e->out.n + n, sizeof *e->type))
        return false;
    if (n) {
        memcpy(e->out.id + e->out.n, id, n * sizeof *id);
        memset(e->type + e->out.n, type, n);
    }
    e->out.n += n;
    return true;
}

static sg_status put_all(sg_encoder *e, const sg_template *t, bool bare, bool pair, sg_error *err)
{
    bool done = true;

    e->out.n = 0;
    if (!t->n || bare) {
        done = done && put(e, e->a.id, e->a.n, 0) && (!pair || put(e, e->b.id, e->b.n, 1));
    } else {
        for (size_t i = 0; i < t->n && done; i++) {
            const sg_template_item *x = &t->item[i];
            const sg_token_ids *ids = x->what ? &e->b : &e->a;

            done = x->what == 2 ? put(e, &x->id, 1, x->type) : put(e, ids->id, ids->n, x->type);
        }
    }
    return done ? SG_OK : sg_fail_memory(err, "tokens");
}

static size_t room(const sg_encode_how *how, const sg_template *t)
{
    const size_t around = how->bare ? 0 : added_by(t);

    return !how->most ? SIZE_MAX : how->most > around ? how->most - around : 0;
}

static const sg_encode_how as_the_file_says;

sg_status sg_encoder_run(const int32_t **id, size_t *n, sg_encoder *e, sg_bytes text,
                         const sg_encode_how *how, sg_error *err)
{
    sg_status st;

    how = how ? how : &as_the_file_says;
    if ((st = encode_text(e, &e->a, text, how, err)))
        return st;
    shorten(&e->a, room(how, &e->t->single), how->keep_end);
    if ((st = put_all(e, &e->t->single, how->bare, false, err)))
        return st;
    *id = e->out.id;
    *n = e->out.n;
    return SG_OK;
}

sg_status sg_encoder_pair(const int32_t **id, const uint8_t **type, size_t *n, sg_encoder *e, sg_bytes a,
                          sg_bytes b, const sg_encode_how *how, sg_error *err)
{
    sg_status st;

    how = how ? how : &as_the_file_says;
    if ((st = encode_text(e, &e->a, a, how, err)) || (st = encode_text(e, &e->b, b, how, err)))
        return st;
    const size_t most = room(how, &e->t->pair);
    if (e->a.n > most || e->b.n > most - e->a.n) { /* the longer one gives first; equal ones share */
        const bool swap = e->a.n > e->b.n;
        size_t less = swap ? e->b.n : e->a.n, more;

        more = less > most ? less : most - less > less ? most - less : less;
        if (less > most || more > most - less) {
            less = most / 2;
            more = less + most % 2;
        }
        shorten(&e->a, swap ? more : less, how->keep_end);
        shorten(&e->b, swap ? less : more, how->keep_end);
    }
    if ((st = put_all(e, &e->t->pair, how->bare, true, err)))
        return st;
    *id = e->out.id;
    *type = e->type;
    *n = e->out.n;
    return SG_OK;
}
