/* token_gguf.c - the tokenizer inside a GGUF file, from its tokenizer.ggml.* keys.
 *
 * The file names a family of cutting patterns (tokenizer.ggml.pre) instead of holding them. Control and user-defined tokens are
 * looked for in the text first, as in tokenizer.json. */
#include "text/token_parts.h"

#include "base/utf8.h"

#include <math.h>
#include <string.h>

#define KEY(x) "tokenizer.ggml." x

typedef struct lists { /* what the arrays hold */
    sg_bytes *token;
    uint8_t *kind;
    float *score;
    size_t n;
} lists;

static sg_status read_lists(lists *l, const sg_gguf *g, sg_error *err)
{
    const sg_gguf_value *token = sg_gguf_find(g, KEY("tokens")), *kind = sg_gguf_find(g, KEY("token_type"));
    const sg_gguf_value *score = sg_gguf_find(g, KEY("scores"));
    double x;

    if (!token || !token->array || token->kind != SG_GGUF_STRING || !token->count)
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected an array of strings", sg_gguf_name(g), KEY("tokens"));
    if ((kind && kind->count != token->count) || (score && score->count != token->count))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected as many types and scores as tokens, %zu", sg_gguf_name(g), token->count);
    l->n = token->count;
    l->token = sg_alloc_array(l->n, sizeof *l->token);
    l->kind = sg_alloc_array(l->n, 1);
    l->score = sg_alloc_array(l->n, sizeof *l->score);
    if (!l->token || !l->kind || !l->score)
        return sg_fail_memory(err, sg_gguf_name(g));
    if (!sg_gguf_strings(l->token, l->n, token))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected an array of strings", sg_gguf_name(g), KEY("tokens"));
    for (size_t i = 0; i < l->n; i++) {
        l->kind[i] = kind && sg_gguf_number(&x, kind, i) && x >= 1 && x <= 6 ? (uint8_t)x : SG_TOKEN_NORMAL;
        l->score[i] = score && sg_gguf_number(&x, score, i) ? (float)x : 0;
    }
    return SG_OK;
}

static bool flag(const sg_gguf *g, const char *key, bool otherwise)
{
    return sg_gguf_number_or(g, key, otherwise) != 0;
}

/* A token number; -1: none. */
static int32_t id_of(const sg_gguf *g, const sg_tokenizer *t, const char *key)
{
    const double x = sg_gguf_number_or(g, key, -1);

    return x >= 0 && x < (double)t->n && floor(x) == x ? (int32_t)x : -1;
}

static sg_status add_around(sg_tokenizer *t, const sg_gguf *g, bool bos, bool eos, const char *bos_key, const char *eos_key, sg_error *err)
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

static sg_status set_added(sg_tokenizer *t, const lists *l, sg_error *err)
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
typedef struct family {
    const char *name, *regex;
    bool digits, nfc, whole_first;
} family;

static const family families[] = {
    {"gpt-2", sg_gpt2_regex, false, false, false},
    {"smollm", sg_gpt2_regex, true, false, false},
    {"qwen2", sg_qwen2_regex, false, true, false},
    {"llama-bpe", sg_llama3_regex, false, false, true},
};

static sg_status find_family(const family **out, const sg_gguf *g, sg_error *err)
{
    const sg_bytes name = sg_gguf_string(g, KEY("pre"));

    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strlen(families[i].name) == name.size && memcmp(families[i].name, name.data, name.size) == 0) {
            *out = &families[i];
            return SG_OK;
        }
    return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': the family '%.*s' is not supported", sg_gguf_name(g), KEY("pre"),
                   name.size > 60 ? 60 : (int)name.size, name.data);
}

static sg_status set_family(sg_tokenizer *t, const sg_gguf *g, sg_error *err)
{
    const family *f;
    sg_pre_step *cut = NULL;
    sg_norm_step *norm = NULL;
    const sg_status st = find_family(&f, g, err);

    if (st)
        return st;
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
    sg_bytes *list = sg_alloc_array(n, sizeof *list);
    sg_status st;

    if (!list)
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
            st = sg_tokenizer_add_merge(t, (sg_bytes){list[i].data, at}, (sg_bytes){space + 1, list[i].size - at - 1}, (uint32_t)i, err);
    }
    sg_free(list);
    return st;
}

static sg_status read_byte_bpe(sg_tokenizer *t, const sg_gguf *g, const lists *l, sg_error *err)
{
    sg_decode_step *decode = sg_tokenizer_add_decode(t);
    sg_status st;

    if (!decode)
        return sg_fail_memory(err, t->name);
    decode->kind = SG_DECODE_BYTES;
    if ((st = sg_tokenizer_set_tokens(t, l->token, l->kind, l->n, err)) || (st = set_family(t, g, err)) ||
        (st = sg_tokenizer_set_byte_bpe(t, l->n, err)) || (st = read_merges(t, g, err)))
        return st;
    t->model = SG_MODEL_BPE;
    return add_around(t, g, flag(g, KEY("add_bos_token"), false), flag(g, KEY("add_eos_token"), false), KEY("bos_token_id"),
                      KEY("eos_token_id"), err);
}

/* Member `key`, which o keeps; false: out of memory (value NULL too). */
static bool put(json_t *o, const char *key, json_t *value)
{
    return json_object_set_new(o, key, value) == 0;
}

static json_t *bytes_step(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 0);
}

static json_t *cut_json(const family *f)
{
    json_t *list = json_array();

    if (!list || (f->digits && json_array_append_new(list, json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1))) ||
        json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", f->regex, "behavior",
                                              "Isolated", "invert", 0)) ||
        json_array_append_new(list, bytes_step())) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", list);
}

/* What add_around put into the single text's template. */
static json_t *around_json(const sg_gguf *g, const lists *l)
{
    const double first = flag(g, KEY("add_bos_token"), false) ? sg_gguf_number_or(g, KEY("bos_token_id"), -1) : -1;
    const double last = flag(g, KEY("add_eos_token"), false) ? sg_gguf_number_or(g, KEY("eos_token_id"), -1) : -1;
    const double id[2] = {first, last};
    json_t *single = json_array(), *pair = json_array(), *tokens = json_object();
    bool done = single && pair && tokens;

    if (!(first >= 0 || last >= 0)) {
        json_decref(single);
        json_decref(pair);
        json_decref(tokens);
        return bytes_step();
    }
    for (int part = 0; part < 2 && done; part++) { /* first A last, then first A first B last as llama.cpp and the library have it */
        json_t *to = part ? pair : single;

        for (int i = 0; i < 2 && done; i++) {
            if (id[i] >= 0 && id[i] < (double)l->n) {
                const sg_bytes s = l->token[(size_t)id[i]];

                done = !json_array_append_new(to, json_pack("{s:{s:s%, s:i}}", "SpecialToken", "id", s.data, s.size, "type_id", 0)) &&
                       !json_object_setn_new(tokens, s.data, s.size,
                                             json_pack("{s:s%, s:[i], s:[s%]}", "id", s.data, s.size, "ids", (int)id[i], "tokens", s.data, s.size));
            }
            if (i == 0 && done)
                done = !json_array_append_new(to, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0)) &&
                       (!part || !json_array_append_new(to, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "B", "type_id", 1)));
        }
    }
    if (done)
        return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single, "pair", pair, "special_tokens", tokens);
    json_decref(single);
    json_decref(pair);
    json_decref(tokens);
    return NULL;
}

/* The model's part: vocabulary and merges. */
static sg_status model_json(json_t **out, const sg_gguf *g, const lists *l, const family *f, sg_error *err)
{
    const sg_gguf_value *merges = sg_gguf_find(g, KEY("merges"));
    const size_t n = merges && merges->array ? merges->count : 0;
    sg_bytes *list = sg_alloc_array(n + 1, sizeof *list);
    json_t *vocab = json_object(), *all = json_array(), *o = NULL;
    bool done = list && vocab && all;

    if (done && !sg_gguf_strings(list, n, merges)) {
        sg_free(list);
        json_decref(vocab);
        json_decref(all);
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected an array of strings", sg_gguf_name(g), KEY("merges"));
    }
    for (size_t i = 0; i < l->n + n && done; i++) {
        const sg_bytes t = i < l->n ? l->token[i] : list[i - l->n];

        if (t.size && (!sg_utf8_valid(t.data, t.size) || memchr(t.data, 0, t.size))) {
            sg_free(list);
            json_decref(vocab);
            json_decref(all);
            return sg_fail(err, SG_ERR_FORMAT, "%s: expected tokens and merges in UTF-8", sg_gguf_name(g));
        }
    }
    for (size_t i = 0; i < l->n && done; i++)
        if (l->token[i].size)
            done = !json_object_setn_new(vocab, l->token[i].data, l->token[i].size, json_integer((json_int_t)i));
    for (size_t i = 0; i < n && done; i++)
        done = !json_array_append_new(all, json_stringn(list[i].data, list[i].size));
    if (done)
        o = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix",
                      "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", f->whole_first, "vocab", vocab, "merges", all);
    else {
        json_decref(vocab);
        json_decref(all);
    }
    sg_free(list);
    *out = o;
    return o ? SG_OK : sg_fail_memory(err, sg_gguf_name(g));
}

static json_t *added_json(const lists *l)
{
    json_t *list = json_array();

    for (size_t i = 0; i < l->n && list; i++) {
        const bool special = l->kind[i] == SG_TOKEN_CONTROL;

        if (!l->token[i].size || (!special && l->kind[i] != SG_TOKEN_USER))
            continue;
        if (json_array_append_new(list, json_pack("{s:i, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (int)i, "content", l->token[i].data,
                                                  l->token[i].size, "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special",
                                                  special))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

sg_status sg_tokenizer_gguf_json(json_t **out, const sg_gguf *g, sg_error *err)
{
    const sg_bytes kind = sg_gguf_string(g, KEY("model"));
    json_t *o = NULL, *model = NULL;
    const family *f;
    lists l = {0};
    sg_status st;

    *out = NULL;
    if (kind.size != 4 || memcmp(kind.data, "gpt2", 4) != 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected gpt2, which has a form as tokenizer.json, found '%.*s'", sg_gguf_name(g),
                       KEY("model"), kind.size > 60 ? 60 : (int)kind.size, kind.data ? kind.data : "");
    if (!(st = find_family(&f, g, err)) && !(st = read_lists(&l, g, err)) && !(st = model_json(&model, g, &l, f, err))) {
        o = json_pack("{s:s, s:n, s:n}", "version", "1.0", "truncation", "padding");
        if (!o || !put(o, "added_tokens", added_json(&l)) || !put(o, "normalizer", f->nfc ? json_pack("{s:s}", "type", "NFC") : json_null()) ||
            !put(o, "pre_tokenizer", cut_json(f)) || !put(o, "post_processor", around_json(g, &l)) || !put(o, "decoder", bytes_step()) ||
            json_object_set(o, "model", model))
            st = sg_fail_memory(err, sg_gguf_name(g));
    }
    json_decref(model);
    sg_free(l.token);
    sg_free(l.kind);
    sg_free(l.score);
    if (st)
        json_decref(o);
    else
        *out = o;
    return st;
}

/* One pre-tokenizer of tokenizer.json: does it cut digits apart, by which pattern does it cut. */
static void look_at_cut(const json_t *step, bool *digits, const char **regex)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    const char *pattern = json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));

    if (!type)
        return;
    if (strcmp(type, "Digits") == 0)
        *digits = true;
    if (strcmp(type, "Split") == 0 && pattern)
        *regex = pattern;
    if (strcmp(type, "ByteLevel") == 0 && !json_is_false(json_object_get(step, "use_regex")) && !*regex)
        *regex = sg_gpt2_regex;
}

sg_status sg_tokenizer_gguf_family(const char **out, const json_t *root, const char *where, sg_error *err)
{
    const json_t *cut = json_object_get(root, "pre_tokenizer"), *list = json_object_get(cut, "pretokenizers");
    const bool nfc = json_is_object(json_object_get(root, "normalizer"));
    const char *regex = NULL;
    bool digits = false;

    look_at_cut(cut, &digits, &regex);
    for (size_t i = 0; i < json_array_size(list); i++)
        look_at_cut(json_array_get(list, i), &digits, &regex);
    for (size_t i = 0; i < sizeof families / sizeof *families && regex; i++)
        if (strcmp(families[i].regex, regex) == 0 && families[i].digits == digits && families[i].nfc == nfc) {
            *out = families[i].name;
            return SG_OK;
        }
    return sg_fail(err, SG_ERR_FORMAT, "%s: expected a byte-level BPE that cuts as GPT-2, SmolLM, Qwen2 or Llama 3 do, found another", where);
}

/* ---- llama, t5: SentencePiece ------------------------------------------------------------------------------------------------------ */
static sg_status read_scored(sg_tokenizer *t, const sg_gguf *g, const lists *l, bool bpe, sg_error *err)
{
    const sg_gguf_value *map = sg_gguf_find(g, KEY("precompiled_charsmap"));
    sg_spiece s = {.token = l->token, .kind = l->kind, .score = l->score, .n = l->n, .bpe = bpe, .escape = true, .fall_back = true};
    sg_status st;

    s.dummy_prefix = flag(g, KEY("add_space_prefix"), true);
    s.few_spaces = flag(g, KEY("remove_extra_whitespaces"), !bpe);
    if (map && map->array && map->kind == SG_GGUF_U8)
        s.charsmap = (sg_bytes){map->data, map->bytes};
    if ((st = sg_tokenizer_set_spiece(t, &s, err)))
        return st;
    return add_around(t, g, flag(g, KEY("add_bos_token"), bpe), flag(g, KEY("add_eos_token"), !bpe), KEY("bos_token_id"),
                      KEY("eos_token_id"), err);
}

/* ---- bert: WordPiece --------------------------------------------------------------------------------------------------------------- */
/* The converter writes "##x" as "x" and "x" as U+2581 "x"; control tokens stay. */
static void undo_marks(sg_bytes *out, sg_buf *block, const lists *l)
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

static sg_status read_wordpiece(sg_tokenizer *t, const sg_gguf *g, const lists *l, sg_error *err)
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
    if ((st = sg_tokenizer_set_tokens(t, token, l->kind, l->n, err)) || (st = sg_tokenizer_set_trie(t, NULL, l->n, err)))
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
    st = add_around(t, g, true, true, sg_gguf_find(g, KEY("cls_token_id")) ? KEY("cls_token_id") : KEY("bos_token_id"),
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
    lists l = {0};
    sg_status st;

    *out = NULL;
    if ((st = sg_tokenizer_new(&t, sg_gguf_name(g), err)) || (st = read_lists(&l, g, err)))
        goto done;
    if (model.size == 4 && memcmp(model.data, "gpt2", 4) == 0)
        st = read_byte_bpe(t, g, &l, err);
    else if (model.size == 4 && memcmp(model.data, "bert", 4) == 0)
        st = read_wordpiece(t, g, &l, err);
    else if (model.size == 5 && memcmp(model.data, "llama", 5) == 0)
        st = read_scored(t, g, &l, true, err);
    else if (model.size == 2 && memcmp(model.data, "t5", 2) == 0)
        st = read_scored(t, g, &l, false, err);
    else
        st = sg_fail(err, SG_ERR_FORMAT, "%s: '%s': the kind '%.*s' is not supported", sg_gguf_name(g), KEY("model"),
                     model.size > 60 ? 60 : (int)model.size, model.data);
    if (st || (st = set_added(t, &l, err)))
        goto done;
    *out = t;
    t = NULL;
done:
    sg_free(l.token);
    sg_free(l.kind);
    sg_free(l.score);
    sg_tokenizer_close(t);
    return st;
}
