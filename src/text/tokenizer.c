/* tokenizer.c - what the readers of files fill in. Encoding is in encoder.c, decoding in detokenizer.c. */
#include "text/token_parts.h"

#include "base/utf8.h"

#include <math.h>
#include <string.h>

enum { ADDED_BYTES_MAX = 1 << 16 }; /* of an added token, also as it is normalised */

const char sg_gpt2_regex[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char sg_qwen2_regex[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char sg_llama3_regex[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

sg_status sg_tokenizer_new(sg_tokenizer **out, const char *name, sg_error *err)
{
    sg_tokenizer *t = sg_alloc_zero(1, sizeof *t);

    *out = t;
    if (!t || !(t->name = sg_strdup(name))) {
        sg_tokenizer_close(t);
        *out = NULL;
        return sg_fail_memory(err, name);
    }
    t->room = SIZE_MAX;
    t->bpe.token = t->wordpiece.token = t->unigram.token = &t->trie;
    t->bpe.unknown = t->wordpiece.unknown = t->unigram.unknown = -1;
    return SG_OK;
}

void sg_tokenizer_close(sg_tokenizer *t)
{
    if (!t)
        return;
    sg_buf_free(&t->block);
    sg_free(t->token);
    sg_free(t->kind);
    sg_trie_free(&t->trie);
    sg_free(t->added);
    sg_trie_free(&t->raw.trie);
    sg_trie_free(&t->normal.trie);
    sg_normalizer_free(&t->normalizer);
    sg_pretokenizer_free(&t->pre);
    sg_bpe_free(&t->bpe);
    sg_unigram_free(&t->unigram);
    sg_free(t->single.item);
    sg_free(t->pair.item);
    for (size_t i = 0; i < t->n_decode; i++) {
        sg_buf_free(&t->decode[i].find);
        sg_buf_free(&t->decode[i].put);
        sg_pattern_free(t->decode[i].pattern);
    }
    sg_free(t->decode);
    sg_free(t->name);
    sg_free(t);
}

int32_t sg_tokenizer_size(const sg_tokenizer *t)
{
    return (int32_t)t->n;
}

sg_bytes sg_tokenizer_token(const sg_tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n ? t->token[id] : (sg_bytes){"", 0};
}

int32_t sg_tokenizer_find(const sg_tokenizer *t, sg_bytes token)
{
    for (size_t i = 0; token.size && i < t->n; i++)
        if (t->token[i].size == token.size && memcmp(t->token[i].data, token.data, token.size) == 0)
            return (int32_t)i;
    return -1;
}

bool sg_tokenizer_is_special(const sg_tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n && t->kind[id] == SG_TOKEN_CONTROL;
}

sg_status sg_tokenizer_set_tokens(sg_tokenizer *t, const sg_bytes *token, const uint8_t *kind, size_t n,
                                  sg_error *err)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        if (!sg_utf8_valid(token[i].data, token[i].size))
            return sg_fail(err, SG_ERR_FORMAT, "%s: token %zu: expected UTF-8", t->name, i);
        sg_buf_add(&t->block, token[i].data, token[i].size);
    }
    t->token = sg_alloc_array(n, sizeof *t->token);
    t->kind = sg_alloc_zero(n, 1);
    if (t->block.failed || !t->token || !t->kind)
        return sg_fail_memory(err, t->name);
    t->n = n;
    for (size_t i = 0; i < n; at += token[i++].size) {
        t->token[i] = (sg_bytes){t->block.data ? t->block.data + at : "", token[i].size};
        t->kind[i] = (uint8_t)(token[i].size == 0 ? SG_TOKEN_ABSENT : kind ? kind[i] : SG_TOKEN_NORMAL);
    }
    return SG_OK;
}

/* A trie of n keys, of as many nodes as there is room for, and nodes_max. */
static sg_status build_trie(sg_trie *out, sg_tokenizer *t, const sg_bytes *key, size_t n, size_t nodes_max,
                            sg_error *err)
{
    const size_t sorting = n * SG_TRIE_KEY,
                 room = t->room > sorting ? (t->room - sorting) / SG_TRIE_NODE + 1 : 1;
    const sg_status st = sg_trie_build_within(out, key, n, room < nodes_max ? room : nodes_max, err);

    if (!st)
        t->room -= t->room < (size_t)out->nodes * SG_TRIE_NODE ? t->room : (size_t)out->nodes * SG_TRIE_NODE;
    return st ? sg_error_prefix(err, t->name) : SG_OK;
}

sg_status sg_tokenizer_set_trie(sg_tokenizer *t, const sg_bytes *raw, size_t n, sg_error *err)
{
    return build_trie(&t->trie, t, raw ? raw : t->token, n, t->nodes_max ? t->nodes_max : UINT32_MAX, err);
}

/* ---- added tokens -------------------------------------------------------------------------------------------------------- */
static sg_status build_added(sg_added_trie *out, sg_tokenizer *t, const sg_bytes *key, sg_error *err)
{
    const sg_status st = build_trie(&out->trie, t, key, t->n_added, UINT32_MAX, err);

    for (int c = 0; c < 256 && !st; c++)
        out->starts[c] = out->trie.root[c];
    return st;
}

sg_status sg_tokenizer_set_added(sg_tokenizer *t, const sg_added *added, size_t n, sg_error *err)
{
    sg_bytes *key;
    sg_norm_scratch scratch = {.text = {{.most = ADDED_BYTES_MAX}, {.most = ADDED_BYTES_MAX}}};
    sg_buf block = {0};
    sg_status st = SG_OK;

    if (!n)
        return SG_OK;
    if ((st = sg_tokenizer_take(t, n, sizeof *t->added + sizeof *key, "added tokens", err)))
        return st;
    key = sg_alloc_zero(n, sizeof *key);
    scratch.matcher = sg_matcher_new();
    t->added = sg_alloc_array(n, sizeof *t->added);
    bool room = true;
    for (int k = 0; k < 2; k++)
        room = room && sg_grow(&scratch.text[k].data, &scratch.text[k].cap, ADDED_BYTES_MAX, 1);
    if (!t->added || !key || !scratch.matcher || !room) {
        st = sg_fail_memory(err, t->name);
        goto done;
    }
    t->n_added = n;
    for (size_t i = 0; i < n; i++) {
        t->added[i] = added[i];
        t->added[i].text = t->token[added[i].id];
        if (added[i].special)
            t->kind[added[i].id] = SG_TOKEN_CONTROL;
        if (t->added[i].text.size > ADDED_BYTES_MAX) {
            st = sg_fail(err, SG_ERR_FORMAT, "%s: expected added tokens of at most %d bytes, found %zu",
                         t->name, ADDED_BYTES_MAX, t->added[i].text.size);
            goto done;
        }
        key[i] = added[i].normalized ? (sg_bytes){"", 0} : t->added[i].text;
    }
    if ((st = build_added(&t->raw, t, key, err)))
        goto done;
    for (size_t i = 0; i < n; i++) { /* lengths first: the block moves while it grows */
        sg_bytes text = {"", 0};
        bool moved;

        if (added[i].normalized &&
            (st = sg_normalizer_run(&text, &moved, &t->normalizer, &scratch, t->added[i].text, err))) {
            sg_error_prefix(err, t->name);
            goto done;
        }
        if ((st = sg_tokenizer_take(t, text.size, 3, "added tokens", err))) /* a block that grows is copied */
            goto done;
        sg_buf_add(&block, text.data, text.size);
        key[i].size = text.size;
    }
    if (block.failed) {
        st = sg_fail_memory(err, t->name);
        goto done;
    }
    for (size_t i = 0, at = 0; i < n; at += key[i++].size)
        key[i].data = block.data ? block.data + at : "";
    st = build_added(&t->normal, t, key, err);
done:
    sg_matcher_free(scratch.matcher);
    sg_norm_scratch_free(&scratch);
    sg_buf_free(&block);
    sg_free(key);
    return st;
}

bool sg_template_add(sg_template *t, int what, int32_t id, int type)
{
    if (!sg_grow(&t->item, &t->cap, t->n + 1, sizeof *t->item))
        return false;
    t->item[t->n++] = (sg_template_item){what, id, (uint8_t)type};
    return true;
}

sg_decode_step *sg_tokenizer_add_decode(sg_tokenizer *t)
{
    if (!sg_grow(&t->decode, &t->cap_decode, t->n_decode + 1, sizeof *t->decode))
        return NULL;
    t->decode[t->n_decode] = (sg_decode_step){0};
    return &t->decode[t->n_decode++];
}

sg_status sg_tokenizer_set_pattern(sg_tokenizer *t, sg_pattern **out, sg_bytes regex, sg_error *err)
{
    const sg_status st = sg_pattern_new(out, regex, err);

    return st ? sg_error_prefix(err, t->name)
              : sg_tokenizer_take(t, sg_pattern_bytes(*out), 1, "patterns", err);
}

sg_status sg_tokenizer_cut_at(sg_tokenizer *t, const char *regex, sg_cut cut, sg_error *err)
{
    sg_pre_step *step = sg_pretokenizer_add(&t->pre);

    if (!step)
        return sg_fail_memory(err, t->name);
    step->cut = cut;
    return sg_tokenizer_set_pattern(t, &step->pattern, (sg_bytes){regex, strlen(regex)}, err);
}

/* ---- models ---------------------------------------------------------------------------------------------------------------- */
void sg_tokenizer_byte_tokens(int32_t byte_id[256], const sg_tokenizer *t)
{
    for (int b = 0; b < 256; b++)
        byte_id[b] = -1;
    for (size_t i = t->n; i-- > 0;)
        if (sg_byte_token(t->token[i]) >= 0)
            byte_id[sg_byte_token(t->token[i])] = (int32_t)i;
}

/* raw[i]: bytes of token i below n, in the block, which has room for them. */
static void read_letters(sg_bytes *raw, sg_buf *block, const sg_tokenizer *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t before = block->size;

        sg_byte_letters_read(block, t->token[i]);
        raw[i] = (sg_bytes){block->data + before, block->size - before};
    }
}

sg_status sg_tokenizer_set_byte_bpe(sg_tokenizer *t, size_t n, sg_error *err)
{
    const size_t room = t->room;
    sg_bytes *raw = NULL;
    sg_buf block = {0};
    sg_status st;

    if ((st = sg_tokenizer_take(t, n, sizeof *raw, "tokens", err)) ||
        (st = sg_tokenizer_take(t, t->block.size, 1, "tokens", err)))
        return st;
    const size_t taken = room - t->room;
    if (!(raw = sg_alloc_array(n, sizeof *raw)) || !sg_grow(&block.data, &block.cap, t->block.size + 1, 1)) {
        st = sg_fail_memory(err, t->name);
    } else {
        read_letters(raw, &block, t, n);
        st = sg_tokenizer_set_trie(t, raw, n, err);
    }
    for (int b = 0; b < 256 && !st; b++)
        t->bpe.byte_id[b] = sg_trie_find(&t->trie, &(char){(char)b}, 1);
    t->bpe.bytes = true;
    t->room += taken; /* the trie has its own labels */
    sg_free(raw);
    sg_buf_free(&block);
    return st;
}

/* Down the trie from *node, which becomes 0 where no token goes on so. */
static void walk(uint32_t *node, const sg_tokenizer *t, sg_bytes spelling)
{
    const char *s = spelling.data, *end = s + spelling.size;
    bool found = true;

    while (s < end && found) {
        const bool cut =
            t->bpe.bytes && (size_t)(end - s) < sg_utf8_bytes(*s); /* that of a GGUF file may be no UTF-8 */
        const int byte = cut ? -1 : t->bpe.bytes ? sg_letter_byte(sg_utf8_next(&s)) : (unsigned char)*s++;

        found = byte >= 0 && (*node = sg_trie_step(&t->trie, *node, (uint8_t)byte)) != 0;
    }
    *node = found ? *node : 0;
}

sg_status sg_tokenizer_add_merge(sg_tokenizer *t, sg_bytes left, sg_bytes right, uint32_t rank, sg_error *err)
{
    const size_t skip = right.size >= t->bpe.prefix.size ? t->bpe.prefix.size : 0;
    const sg_bytes more = {right.data + skip, right.size - skip};
    uint32_t a = 0, b = 0, both;

    walk(&a, t, left);
    walk(&b, t, right);
    if ((both = a))
        walk(&both, t, more);
    const int32_t id[3] = {t->trie.value[a], t->trie.value[b], t->trie.value[both]};
    if (id[0] >= 0 && id[1] >= 0 && id[2] >= 0) {
        sg_bpe_add(&t->bpe, id[0], id[1], rank, id[2]);
        return SG_OK;
    }
    const sg_bytes first = id[0] < 0 || id[1] >= 0 ? left : right,
                   second = id[0] >= 0 && id[1] >= 0 ? more : (sg_bytes){"", 0};
    return sg_fail(err, SG_ERR_FORMAT, "%s: merge %u: expected '%.*s%.*s' to be a token", t->name,
                   (unsigned)rank, first.size < 80 ? (int)first.size : 80, first.data,
                   second.size < 80 ? (int)second.size : 80, second.data);
}

sg_status sg_tokenizer_cut_words(sg_tokenizer *t, sg_error *err)
{
    static const char word[] = "\xe2\x96\x81+[^\xe2\x96\x81]*|[^\xe2\x96\x81]+";
    const sg_bpe *b = &t->bpe;

    /* U+2581 must be a symbol: unknown ones are joined to their neighbours */
    if (t->pre.n || b->bytes || b->whole_first || b->prefix.size || b->suffix.size ||
        sg_trie_find(&t->trie, word, 3) < 0)
        return SG_OK;
    for (size_t i = 0; i < t->n; i++)
        for (size_t at = 1; at + 3 <= t->token[i].size; at++)
            if (memcmp(t->token[i].data + at, word, 3) == 0 &&
                (at < 3 || memcmp(t->token[i].data + at - 3, word, 3) != 0))
                return SG_OK;
    return sg_tokenizer_cut_at(t, word, SG_CUT_ISOLATED, err);
}

double sg_tokens_about(sg_bytes text)
{
    size_t plain = 0, other = 0;

    for (size_t i = 0; i < text.size; i++) {
        const unsigned char b = (unsigned char)text.data[i];

        plain += b < 0x80;
        other += b >= 0xc0;
    }
    return ceil((double)plain / 4) + (double)other;
}
