/* token_gguf_json.c - the tokenizer of a GGUF file as tokenizer.json: byte-level BPEs, and Unigrams as T5s have them; and which family of
 * GGUF's a tokenizer.json belongs to. */
#include "text/token_gguf.h"

#include "base/base64.h"
#include "base/utf8.h"

#include <string.h>

#define KEY(x) SG_GGUF_TOKENIZER x

/* Member `key`, which o keeps; false: out of memory (value NULL too). */
static bool put(json_t *o, const char *key, json_t *value)
{
    return json_object_set_new(o, key, value) == 0;
}

static json_t *bytes_step(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1,
                     "use_regex", 0);
}

static json_t *cut_json(const sg_gguf_family *f)
{
    json_t *list = json_array();

    if (!list ||
        (f->digits &&
         json_array_append_new(list, json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1))) ||
        json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                                              f->regex, "behavior", "Isolated", "invert", 0)) ||
        json_array_append_new(list, bytes_step())) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", list);
}

/* A token around texts, when there is one. */
static bool add_special(json_t *to, json_t *tokens, const sg_gguf_lists *l, double id)
{
    if (!(id >= 0 && id < (double)l->n))
        return true;
    const sg_bytes s = l->token[(size_t)id];
    return !json_array_append_new(
               to, json_pack("{s:{s:s%, s:i}}", "SpecialToken", "id", s.data, s.size, "type_id", 0)) &&
           !json_object_setn_new(tokens, s.data, s.size,
                                 json_pack("{s:s%, s:[i], s:[s%]}", "id", s.data, s.size, "ids", (int)id,
                                           "tokens", s.data, s.size));
}

static bool add_text(json_t *to, const char *which, int type)
{
    return !json_array_append_new(to, json_pack("{s:{s:s, s:i}}", "Sequence", "id", which, "type_id", type));
}

/* What add_around put into the templates. */
static json_t *around_json(const sg_gguf *g, const sg_gguf_lists *l, bool begins, bool unigram)
{
    const double first =
        sg_gguf_flag(g, KEY("add_bos_token"), begins) ? sg_gguf_number_or(g, KEY("bos_token_id"), -1) : -1;
    const double last =
        sg_gguf_flag(g, KEY("add_eos_token"), unigram) ? sg_gguf_number_or(g, KEY("eos_token_id"), -1) : -1;
    json_t *single = json_array(), *pair = json_array(), *tokens = json_object();
    bool done = single && pair && tokens;

    if (!(first >= 0 || last >= 0)) {
        json_decref(single);
        json_decref(pair);
        json_decref(tokens);
        return unigram ? json_null() : bytes_step();
    }
    /* first A last; first A first B last as llama.cpp and the library have it, of a Unigram A last B last */
    done = done && add_special(single, tokens, l, first) && add_text(single, "A", 0) &&
           add_special(single, tokens, l, last) && add_special(pair, tokens, l, first) &&
           add_text(pair, "A", 0) && (!unigram || add_special(pair, tokens, l, last)) &&
           add_text(pair, "B", 1) && add_special(pair, tokens, l, last);
    if (done)
        return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single, "pair", pair,
                         "special_tokens", tokens);
    json_decref(single);
    json_decref(pair);
    json_decref(tokens);
    return NULL;
}

/* The model's part: vocabulary and merges. */
static sg_status model_json(json_t **out, const sg_gguf *g, const sg_gguf_lists *l, const sg_gguf_family *f,
                            sg_error *err)
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
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected an array of strings", sg_gguf_name(g),
                       KEY("merges"));
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
            done =
                !json_object_setn_new(vocab, l->token[i].data, l->token[i].size, json_integer((json_int_t)i));
    for (size_t i = 0; i < n && done; i++)
        done = !json_array_append_new(all, json_stringn(list[i].data, list[i].size));
    if (done)
        o = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
                      "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                      "byte_fallback", 0, "ignore_merges", f->whole_first, "vocab", vocab, "merges", all);
    else {
        json_decref(vocab);
        json_decref(all);
    }
    sg_free(list);
    *out = o;
    return o ? SG_OK : sg_fail_memory(err, sg_gguf_name(g));
}

/* Those that are found in a text before it is cut; of a Unigram the unknown one, too, as the library has it. */
static json_t *added_json(const sg_gguf_lists *l, bool unigram)
{
    json_t *list = json_array();

    for (size_t i = 0; i < l->n && list; i++) {
        const bool special = l->kind[i] == SG_TOKEN_CONTROL || (unigram && l->kind[i] == SG_TOKEN_UNKNOWN);

        if (!l->token[i].size || (!special && l->kind[i] != SG_TOKEN_USER))
            continue;
        if (json_array_append_new(list,
                                  json_pack("{s:i, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (int)i, "content",
                                            l->token[i].data, l->token[i].size, "single_word", 0, "lstrip", 0,
                                            "rstrip", 0, "normalized", 0, "special", special))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* ---- Unigram --------------------------------------------------------------------------------------------------------------- */
static sg_status check_pieces(const sg_gguf_lists *l, const sg_gguf *g, sg_error *err)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->token[i].size && (!sg_utf8_valid(l->token[i].data, l->token[i].size) ||
                                 memchr(l->token[i].data, 0, l->token[i].size)))
            return sg_fail(err, SG_ERR_FORMAT, "%s: expected tokens in UTF-8", sg_gguf_name(g));
    return SG_OK;
}

/* Pieces with their scores as the file has them, f32; a reader of JSON gets the same numbers back. Rows behind the last piece, of which the
 * file says that nobody uses them, would be pieces here. */
static json_t *pieces_json(const sg_gguf_lists *l, json_int_t unknown)
{
    json_t *vocab = json_array();
    size_t n = l->n;

    while (n > (size_t)unknown + 1 && l->kind[n - 1] == SG_TOKEN_UNUSED)
        n--;
    for (size_t i = 0; i < n && vocab; i++)
        if (json_array_append_new(vocab, json_pack("[s%, f]", l->token[i].data ? l->token[i].data : "",
                                                   l->token[i].size, (double)l->score[i]))) {
            json_decref(vocab);
            vocab = NULL;
        }
    return json_pack("{s:s, s:I, s:o, s:b}", "type", "Unigram", "unk_id", unknown, "vocab", vocab,
                     "byte_fallback", 0);
}

static json_t *charsmap_json(const sg_gguf *g)
{
    const sg_gguf_value *map = sg_gguf_find(g, KEY("precompiled_charsmap"));
    sg_buf text = {0};
    json_t *o = NULL;

    if (!map || !map->array || map->kind != SG_GGUF_U8)
        return json_null();
    sg_base64_encode(&text, (sg_bytes){map->data, map->bytes});
    if (!text.failed)
        o = json_pack("{s:s, s:s%}", "type", "Precompiled", "precompiled_charsmap",
                      text.data ? text.data : "", text.size);
    sg_buf_free(&text);
    return o;
}

static json_t *spaces_json(const sg_gguf *g, bool cut)
{
    json_t *mark = json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", "\xe2\x96\x81",
                             "prepend_scheme",
                             sg_gguf_flag(g, KEY("add_space_prefix"), true) ? "always" : "never", "split", 1);

    if (!cut || !sg_gguf_flag(g, KEY("remove_extra_whitespaces"), true))
        return mark;
    return json_pack("{s:s, s:[{s:s}, o]}", "type", "Sequence", "pretokenizers", "type", "WhitespaceSplit",
                     mark);
}

static sg_status unigram_json(json_t *o, const sg_gguf *g, const sg_gguf_lists *l, sg_error *err)
{
    double unknown = sg_gguf_number_or(g, KEY("unknown_token_id"), -1);
    const sg_status st = check_pieces(l, g, err);

    for (size_t i = 0; i < l->n && unknown < 0; i++)
        unknown = l->kind[i] == SG_TOKEN_UNKNOWN ? (double)i : -1;
    if (st)
        return st;
    if (!(unknown >= 0 && unknown < (double)l->n))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected the number of a token", sg_gguf_name(g),
                       KEY("unknown_token_id"));
    return put(o, "normalizer", charsmap_json(g)) && put(o, "pre_tokenizer", spaces_json(g, true)) &&
                   put(o, "post_processor", around_json(g, l, false, true)) &&
                   put(o, "decoder", spaces_json(g, false)) &&
                   put(o, "model", pieces_json(l, (json_int_t)unknown))
               ? SG_OK
               : sg_fail_memory(err, sg_gguf_name(g));
}

/* ---- both ------------------------------------------------------------------------------------------------------------------ */
static sg_status bpe_json(json_t *o, const sg_gguf *g, const sg_gguf_lists *l, sg_error *err)
{
    json_t *model = NULL;
    const sg_gguf_family *f;
    sg_status st;

    if ((st = sg_gguf_family_find(&f, g, err)) || (st = model_json(&model, g, l, f, err)))
        return st;
    if (!put(o, "model", model) ||
        !put(o, "normalizer", f->nfc ? json_pack("{s:s}", "type", "NFC") : json_null()) ||
        !put(o, "pre_tokenizer", cut_json(f)) ||
        !put(o, "post_processor", around_json(g, l, f->begins, false)) || !put(o, "decoder", bytes_step()))
        return sg_fail_memory(err, sg_gguf_name(g));
    return SG_OK;
}

sg_status sg_tokenizer_gguf_json(json_t **out, const sg_gguf *g, sg_error *err)
{
    const sg_bytes kind = sg_gguf_string(g, KEY("model"));
    const bool bpe = kind.size == 4 && memcmp(kind.data, "gpt2", 4) == 0,
               unigram = kind.size == 2 && memcmp(kind.data, "t5", 2) == 0;
    json_t *o;
    sg_gguf_lists l = {0};
    sg_status st;

    *out = NULL;
    if (!bpe && !unigram)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: '%s': expected gpt2 or t5, which have a form as tokenizer.json, found '%.*s'",
                       sg_gguf_name(g), KEY("model"), kind.size > 60 ? 60 : (int)kind.size,
                       kind.data ? kind.data : "");
    if (!(o = json_pack("{s:s, s:n, s:n}", "version", "1.0", "truncation", "padding")))
        return sg_fail_memory(err, sg_gguf_name(g));
    if (!(st = sg_gguf_lists_read(&l, g, err)) &&
        !(st = bpe ? bpe_json(o, g, &l, err) : unigram_json(o, g, &l, err)) &&
        !put(o, "added_tokens", added_json(&l, unigram)))
        st = sg_fail_memory(err, sg_gguf_name(g));
    sg_gguf_lists_free(&l);
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
    for (size_t i = 0; i < sizeof sg_gguf_families / sizeof *sg_gguf_families && regex; i++)
        if (strcmp(sg_gguf_families[i].regex, regex) == 0 && sg_gguf_families[i].digits == digits &&
            sg_gguf_families[i].nfc == nfc) {
            *out = sg_gguf_families[i].name;
            return SG_OK;
        }
    return sg_fail(
        err, SG_ERR_FORMAT,
        "%s: expected a byte-level BPE that cuts as GPT-2, SmolLM, Qwen2 or Llama 3 do, found another",
        where);
}
