/* token_gguf.c - the tokenizer inside a GGUF file, from its tokenizer.ggml.* keys.
 *
 * The file names a family of cutting patterns (tokenizer.ggml.pre) instead of holding them. Control and user-defined tokens are
 * looked for in the text first, as in tokenizer.json. */
#include "text/token_gguf.h"

#include "base/utf8.h"

#include <math.h>
#include <string.h>

/* More than the largest known, of 262,000 tokens or of 446,000 merges: opening a file takes its size and 64 MiB, at most. */
enum {
    TOKENS_MAX = 400000,
    ADDED_MAX = 100000,
    MERGES_MAX = 1 << 19,
    TEXT_MAX = 4 << 20 /* bytes of all tokens */,
    NODES_MAX = 1 << 20
};

#define KEY(x) SG_GGUF_TOKENIZER x

sg_status sg_gguf_lists_read(sg_gguf_lists *l, const sg_gguf *g, sg_error *err)
{
    const sg_gguf_value *token = sg_gguf_find(g, KEY("tokens")), *kind = sg_gguf_find(g, KEY("token_type"));
    const sg_gguf_value *score = sg_gguf_find(g, KEY("scores"));
    double x;

    if (!token || !token->array || token->kind != SG_GGUF_STRING || !token->count)
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected an array of strings", sg_gguf_name(g),
                       KEY("tokens"));
    if (token->count > TOKENS_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected at most %d, found %zu", sg_gguf_name(g),
                       KEY("tokens"), TOKENS_MAX, token->count);
    if (token->bytes - 8 * token->count > TEXT_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected at most %d bytes, found %zu", sg_gguf_name(g),
                       KEY("tokens"), TEXT_MAX, token->bytes - 8 * token->count);
    if ((kind && kind->count != token->count) || (score && score->count != token->count))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected as many types and scores as tokens, %zu",
                       sg_gguf_name(g), token->count);
    l->n = token->count;
    l->token = sg_alloc_array(l->n, sizeof *l->token);
    l->kind = sg_alloc_array(l->n, 1);
    l->score = sg_alloc_array(l->n, sizeof *l->score);
    if (!l->token || !l->kind || !l->score)
        return sg_fail_memory(err, sg_gguf_name(g));
    if (!sg_gguf_strings(l->token, l->n, token))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected an array of strings", sg_gguf_name(g),
                       KEY("tokens"));
    size_t added = 0;
    for (size_t i = 0; i < l->n; i++) {
        l->kind[i] = kind && sg_gguf_number(&x, kind, i) && x >= 1 && x <= 6 ? (uint8_t)x : SG_TOKEN_NORMAL;
        l->score[i] = score && sg_gguf_number(&x, score, i) ? (float)x : 0;
        if (!isfinite(l->score[i]))
            return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': token %zu: expected a finite number",
                           sg_gguf_name(g), KEY("scores"), i);
        added += l->kind[i] == SG_TOKEN_CONTROL || l->kind[i] == SG_TOKEN_USER;
    }
    if (added > ADDED_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %d tokens beside the model's own, found %zu",
                       sg_gguf_name(g), ADDED_MAX, added);
    return SG_OK;
}

void sg_gguf_lists_free(sg_gguf_lists *l)
{
    sg_free(l->token);
    sg_free(l->kind);
    sg_free(l->score);
    *l = (sg_gguf_lists){0};
}

bool sg_gguf_flag(const sg_gguf *g, const char *key, bool otherwise)
{
    return sg_gguf_number_or(g, key, otherwise) != 0;
}

/* A token number; -1: none. */
static int32_t id_of(const sg_gguf *g, const sg_tokenizer *t, const char *key)
{
    const double x = sg_gguf_number_or(g, key, -1);

    return x >= 0 && x < (double)t->n && floor(x) == x ? (int32_t)x : -1;
}

static sg_status add_around(sg_tokenizer *t, const sg_gguf *g, bool bos, bool eos, const char *bos_key,
                            const char *eos_key, sg_error *err)
{
    const int32_t first = bos ? id_of(g, t, bos_key) : -1, last = eos ? id_of(g, t, eos_key) : -1;
    bool done = true;

    if (first < 0 && last < 0)
        return SG_OK;
    for (int pair = 0; pair < 2; pair++) {
        sg_template *to = pair ? &t->pair : &t->single;

        done = done && (first < 0 || sg_template_add(to, 2, first, 0)) && sg_template_add(to, 0, 0, 0);
        if (pair)
            done = done && (last < 0 || sg_template_add(to, 2, last, 0)) && sg_template_add(to, 1, 0, 1);
        done = done && (last < 0 || sg_template_add(to, 2, last, pair));
    }
    return done ? SG_OK : sg_fail_memory(err, t->name);
}

static sg_status set_added(sg_tokenizer *t, const sg_gguf_lists *l, sg_error *err)
{
    sg_added *added = sg_alloc_array(l->n, sizeof *added);
    size_t n = 0;
    sg_status st;

    if (!added)
        return sg_fail_memory(err, t->name);
    for (size_t i = 0; i < l->n; i++)
        if (l->token[i].size && (l->kind[i] == SG_TOKEN_CONTROL || l->kind[i] == SG_TOKEN_USER))
            added[n++] = (sg_added){.id = (int32_t)i, .special = l->kind[i] == SG_TOKEN_CONTROL};
    st = sg_tokenizer_set_added(t, added, n, err);
    sg_free(added);
    return st;
}

/* ---- gpt2: byte-level BPE ---------------------------------------------------------------------------------------------------------- */
const sg_gguf_family sg_gguf_families[SG_GGUF_FAMILIES] = {
    {"gpt-2", sg_gpt2_regex, false, false, false, false},
    {"smollm", sg_gpt2_regex, true, false, false, false},
    {"qwen2", sg_qwen2_regex, false, true, false, false},
    {"llama-bpe", sg_llama3_regex, false, false, true, true},
};

sg_status sg_gguf_family_find(const sg_gguf_family **out, const sg_gguf *g, sg_error *err)
{
    const sg_bytes name = sg_gguf_string(g, KEY("pre"));

    for (size_t i = 0; i < sizeof sg_gguf_families / sizeof *sg_gguf_families; i++)
        if (strlen(sg_gguf_families[i].name) == name.size &&
            memcmp(sg_gguf_families[i].name, name.data, name.size) == 0) {
            *out = &sg_gguf_families[i];
            return SG_OK;
        }
    return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': the family '%.*s' is not supported", sg_gguf_name(g),
                   KEY("pre"), name.size > 60 ? 60 : (int)name.size, name.data);
}

static sg_status set_family(sg_tokenizer *t, const sg_gguf_family *f, sg_error *err)
{
    sg_pre_step *cut = NULL;
    sg_norm_step *norm = NULL;

    if (f->nfc && !(norm = sg_normalizer_add(&t->normalizer)))
        return sg_fail_memory(err, t->name);
    if (norm)
        *norm = (sg_norm_step){.kind = SG_NORM_FORM, .form = SG_FORM_NFC};
    if (f->digits && !(cut = sg_pretokenizer_add(&t->pre)))
        return sg_fail_memory(err, t->name);
    if (cut)
        *cut = (sg_pre_step){.kind = SG_PRE_DIGITS, .cut = SG_CUT_ISOLATED};
    t->bpe.whole_first = f->whole_first;
    return sg_tokenizer_cut_at(t, f->regex, SG_CUT_ISOLATED, err);
}

static sg_status read_merges(sg_tokenizer *t, const sg_gguf *g, sg_error *err)
{
    const sg_gguf_value *merges = sg_gguf_find(g, KEY("merges"));
    const size_t n = merges && merges->array ? merges->count : 0;
    sg_bytes *list;
    sg_status st;

    if (n > MERGES_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected at most %d, found %zu", t->name, KEY("merges"),
                       MERGES_MAX, n);
    if (!(list = sg_alloc_array(n, sizeof *list)))
        return sg_fail_memory(err, t->name);
    if (!n || n >= UINT32_MAX || !sg_gguf_strings(list, n, merges))
        st = sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected an array of strings", t->name, KEY("merges"));
    else
        st = sg_bpe_reserve(&t->bpe, n, err);
    for (size_t i = 0; i < n && !st; i++) {
        const char *space = memchr(list[i].data, ' ', list[i].size);
        const size_t at = space ? (size_t)(space - list[i].data) : 0;

        if (!at || at + 1 == list[i].size)
            st = sg_fail(err, SG_ERR_FORMAT, "%s: merge %zu: expected two tokens", t->name, i);
        else
            st = sg_tokenizer_add_merge(t, (sg_bytes){list[i].data, at},
                                        (sg_bytes){space + 1, list[i].size - at - 1}, (uint32_t)i, err);
    }
    sg_free(list);
    return st;
}

static sg_status read_byte_bpe(sg_tokenizer *t, const sg_gguf *g, const sg_gguf_lists *l, sg_error *err)
{
    sg_decode_step *decode = sg_tokenizer_add_decode(t);
    const sg_gguf_family *f;
    sg_status st;

    if (!decode)
        return sg_fail_memory(err, t->name);
    decode->kind = SG_DECODE_BYTES;
    if ((st = sg_gguf_family_find(&f, g, err)) ||
        (st = sg_tokenizer_set_tokens(t, l->token, l->kind, l->n, err)) || (st = set_family(t, f, err)) ||
        (st = sg_tokenizer_set_byte_bpe(t, l->n, err)) || (st = read_merges(t, g, err)))
        return st;
    t->model = SG_MODEL_BPE;
    return add_around(t, g, sg_gguf_flag(g, KEY("add_bos_token"), f->begins),
                      sg_gguf_flag(g, KEY("add_eos_token"), false), KEY("bos_token_id"), KEY("eos_token_id"),
                      err);
}

/* ---- llama, t5: SentencePiece ------------------------------------------------------------------------------------------------------ */
static sg_status read_scored(sg_tokenizer *t, const sg_gguf *g, const sg_gguf_lists *l, bool bpe,
                             sg_error *err)
{
    const sg_gguf_value *map = sg_gguf_find(g, KEY("precompiled_charsmap"));
    sg_spiece s = {.token = l->token,
                   .kind = l->kind,
                   .score = l->score,
                   .n = l->n,
                   .bpe = bpe,
                   .escape = true,
                   .fall_back = true};
    sg_status st;

    s.dummy_prefix = sg_gguf_flag(g, KEY("add_space_prefix"), true);
    s.few_spaces = sg_gguf_flag(g, KEY("remove_extra_whitespaces"), !bpe);
    if (map && map->array && map->kind == SG_GGUF_U8)
        s.charsmap = (sg_bytes){map->data, map->bytes};
    if ((st = sg_tokenizer_set_spiece(t, &s, err)))
        return st;
    return add_around(t, g, sg_gguf_flag(g, KEY("add_bos_token"), bpe),
                      sg_gguf_flag(g, KEY("add_eos_token"), !bpe), KEY("bos_token_id"), KEY("eos_token_id"),
                      err);
}

/* ---- bert: WordPiece --------------------------------------------------------------------------------------------------------------- */
/* The converter writes "##x" as "x" and "x" as U+2581 "x"; control tokens stay. */
static void undo_marks(sg_bytes *out, sg_buf *block, const sg_gguf_lists *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const size_t before = block->size;
        sg_bytes s = l->token[i];

        if (l->kind[i] != SG_TOKEN_CONTROL && l->kind[i] != SG_TOKEN_UNKNOWN && s.size) {
            if (s.size > 3 && memcmp(s.data, "\xe2\x96\x81", 3) == 0)
                s = (sg_bytes){s.data + 3, s.size - 3};
            else
                sg_buf_puts(block, "##");
        }
        sg_buf_add(block, s.data, s.size);
        out[i].size = block->size - before;
    }
    for (size_t i = 0, at = 0; i < l->n; at += out[i++].size)
        out[i].data = block->data ? block->data + at : "";
}

static sg_status read_wordpiece(sg_tokenizer *t, const sg_gguf *g, const sg_gguf_lists *l, sg_error *err)
{
    sg_bytes *token = sg_alloc_array(l->n, sizeof *token);
    sg_norm_step *norm = sg_normalizer_add(&t->normalizer);
    sg_pre_step *spaces = sg_pretokenizer_add(&t->pre), *punct = sg_pretokenizer_add(&t->pre);
    sg_decode_step *decode = sg_tokenizer_add_decode(t);
    sg_buf block = {0};
    sg_status st;

    if (!token || !norm || !spaces || !punct || !decode) {
        st = sg_fail_memory(err, t->name);
        goto done;
    }
    *norm = (sg_norm_step){.kind = SG_NORM_BERT, .clean = true, .han = true, .accents = true, .lower = true};
    t->pre.step[0] = (sg_pre_step){.kind = SG_PRE_SPACES};
    t->pre.step[1] = (sg_pre_step){.kind = SG_PRE_PUNCT, .cut = SG_CUT_ISOLATED};
    decode->kind = SG_DECODE_WORDPIECE;
    decode->cleanup = true;
    sg_buf_puts(&decode->find, "##");
    undo_marks(token, &block, l);
    if (block.failed || decode->find.failed) {
        st = sg_fail_memory(err, t->name);
        goto done;
    }
    if ((st = sg_tokenizer_set_tokens(t, token, l->kind, l->n, err)) ||
        (st = sg_tokenizer_set_trie(t, NULL, l->n, err)))
        goto done;
    sg_wordpiece *w = &t->wordpiece;
    w->most = 100;
    if ((w->unknown = id_of(g, t, KEY("unknown_token_id"))) < 0)
        w->unknown = sg_tokenizer_find(t, (sg_bytes){"[UNK]", 5});
    if (w->unknown < 0) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected '%s'", t->name, KEY("unknown_token_id"));
        goto done;
    }
    w->inside = sg_trie_step(&t->trie, 0, '#');
    w->inside = w->inside ? sg_trie_step(&t->trie, w->inside, '#') : 0;
    w->goes_on = w->inside;
    t->model = SG_MODEL_WORDPIECE;
    st = add_around(
        t, g, true, true, sg_gguf_find(g, KEY("cls_token_id")) ? KEY("cls_token_id") : KEY("bos_token_id"),
        sg_gguf_find(g, KEY("seperator_token_id")) ? KEY("seperator_token_id") : KEY("eos_token_id"), err);
done:
    sg_buf_free(&block);
    sg_free(token);
    return st;
}

sg_status sg_tokenizer_from_gguf(sg_tokenizer **out, const sg_gguf *g, sg_error *err)
{
    const sg_bytes model = sg_gguf_string(g, KEY("model"));
    sg_tokenizer *t = NULL;
    sg_gguf_lists l = {0};
    sg_status st;

    *out = NULL;
    if ((st = sg_tokenizer_new(&t, sg_gguf_name(g), err)) || (st = sg_gguf_lists_read(&l, g, err)))
        goto done;
    t->nodes_max = NODES_MAX;
    if (model.size == 4 && memcmp(model.data, "gpt2", 4) == 0)
        st = read_byte_bpe(t, g, &l, err);
    else if (model.size == 4 && memcmp(model.data, "bert", 4) == 0)
        st = read_wordpiece(t, g, &l, err);
    else if (model.size == 5 && memcmp(model.data, "llama", 5) == 0)
        st = read_scored(t, g, &l, true, err);
    else if (model.size == 2 && memcmp(model.data, "t5", 2) == 0)
        st = read_scored(t, g, &l, false, err);
    else
        st = sg_fail(err, SG_ERR_FORMAT, "%s: '%s': the kind '%.*s' is not supported", sg_gguf_name(g),
                     KEY("model"), model.size > 60 ? 60 : (int)model.size, model.data);
    if (st || (st = set_added(t, &l, err)))
        goto done;
    *out = t;
    t = NULL;
done:
    sg_gguf_lists_free(&l);
    sg_tokenizer_close(t);
    return st;
}
