/* token_json.c - Hugging Face's tokenizer.json. What is not known here is an error that names it: a tokenizer that leaves a
 * step out would give other numbers and say nothing. `truncation` and `padding` of the file are left to the caller. */
#include "text/token_parts.h"

#include "base/base64.h"

#include "file/json.h"

#include <string.h>

enum {
    NESTED_MAX = 8,
    TEMPLATE_MAX = 4096,
    STEP_BYTES = 4096 /* that a step takes, at most, while their list grows */
};

static const char *type_of(const json_t *o)
{
    const char *type = json_string_value(json_object_get(o, "type"));

    return type ? type : "";
}

static bool is_true(const json_t *o, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(o, key);

    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static sg_bytes string_of(const json_t *v)
{
    return json_is_string(v) ? (sg_bytes){json_string_value(v), json_string_length(v)} : (sg_bytes){"", 0};
}

static sg_status unknown_part(const sg_tokenizer *t, const char *part, const json_t *found, sg_error *err)
{
    const char *type = json_string_value(json_object_get(found, "type"));
    char text[64];

    return sg_fail(err, SG_ERR_FORMAT, "%s: %s of type %.60s is not supported", t->name, part,
                   type ? type : sg_json_describe(found, text));
}

static sg_status keep_string(sg_buf *out, const sg_tokenizer *t, const json_t *v, const char *what,
                             bool may_be_empty, sg_error *err)
{
    const sg_bytes s = string_of(v);

    if (!json_is_string(v) || (!s.size && !may_be_empty))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a string as %s", t->name, what);
    sg_buf_add(out, s.data, s.size);
    return out->failed ? sg_fail_memory(err, t->name) : SG_OK;
}

/* A "pattern" is {"String": s} or {"Regex": r}. */
static sg_status read_pattern(sg_pattern **regex, sg_buf *text, sg_tokenizer *t, const json_t *v,
                              sg_error *err)
{
    const json_t *r = json_object_get(v, "Regex");

    if (!json_is_string(r))
        return keep_string(text, t, json_is_string(v) ? v : json_object_get(v, "String"), "pattern", false,
                           err);
    return sg_tokenizer_set_pattern(t, regex, string_of(r), err);
}

/* A Sequence is its members, one after the other; anything else is one. */
typedef sg_status read_part(sg_tokenizer *t, const json_t *o, sg_error *err);

static sg_status each_part(sg_tokenizer *t, const json_t *o, const char *members, read_part *read, int depth,
                           sg_error *err)
{
    const json_t *list = json_object_get(o, members);
    sg_status st = SG_OK;

    if (json_is_null(o) || !o)
        return SG_OK;
    if (strcmp(type_of(o), "Sequence") != 0)
        return (st = sg_tokenizer_take(t, 1, STEP_BYTES, members, err)) ? st : read(t, o, err);
    if (depth == NESTED_MAX || !json_is_array(list))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected '%s' of a Sequence, nested at most %d deep", t->name,
                       members, NESTED_MAX);
    for (size_t i = 0; i < json_array_size(list) && !st; i++)
        st = each_part(t, json_array_get(list, i), members, read, depth + 1, err);
    return st;
}

/* ---- normalizer ------------------------------------------------------------------------------------------------------------ */
static sg_status read_charsmap(sg_charsmap *out, const sg_tokenizer *t, const json_t *v, sg_error *err)
{
    sg_buf bytes = {0};
    sg_status st;

    if (!json_is_string(v) || !sg_base64_decode(&bytes, string_of(v)))
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected base64 as precompiled_charsmap", t->name);
    else if (bytes.failed)
        st = sg_fail_memory(err, t->name);
    else if ((st = sg_charsmap_parse(out, (sg_bytes){bytes.data, bytes.size}, err)))
        sg_error_prefix(err, t->name);
    sg_buf_free(&bytes);
    return st;
}

static sg_status read_normalizer(sg_tokenizer *t, const json_t *o, sg_error *err)
{
    static const char *const forms[] = {
        [SG_FORM_NFC] = "NFC", [SG_FORM_NFD] = "NFD", [SG_FORM_NFKC] = "NFKC", [SG_FORM_NFKD] = "NFKD"};
    const char *type = type_of(o);
    sg_norm_step *s = sg_normalizer_add(&t->normalizer);

    if (!s)
        return sg_fail_memory(err, t->name);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(type, forms[i]) == 0) {
            s->kind = SG_NORM_FORM;
            s->form = (sg_form)i;
            return SG_OK;
        }
    if (strcmp(type, "BertNormalizer") == 0) {
        s->kind = SG_NORM_BERT;
        s->clean = is_true(o, "clean_text", true);
        s->han = is_true(o, "handle_chinese_chars", true);
        s->lower = is_true(o, "lowercase", true);
        s->accents = is_true(o, "strip_accents", s->lower);
    } else if (strcmp(type, "Lowercase") == 0) {
        s->kind = SG_NORM_LOWER;
    } else if (strcmp(type, "ByteLevel") == 0) {
        s->kind = SG_NORM_BYTES;
    } else if (strcmp(type, "StripAccents") == 0) {
        s->kind = SG_NORM_MARKS;
    } else if (strcmp(type, "Strip") == 0) {
        s->kind = SG_NORM_STRIP;
        s->left = is_true(o, "strip_left", true);
        s->right = is_true(o, "strip_right", true);
    } else if (strcmp(type, "Prepend") == 0) {
        s->kind = SG_NORM_PREPEND;
        return keep_string(&s->put, t, json_object_get(o, "prepend"), "'prepend'", true, err);
    } else if (strcmp(type, "Replace") == 0) {
        s->kind = SG_NORM_REPLACE;
        const sg_status st = keep_string(&s->put, t, json_object_get(o, "content"), "'content'", true, err);

        return st ? st : read_pattern(&s->pattern, &s->find, t, json_object_get(o, "pattern"), err);
    } else if (strcmp(type, "Precompiled") == 0) {
        s->kind = SG_NORM_CHARSMAP;
        return read_charsmap(&s->map, t, json_object_get(o, "precompiled_charsmap"), err);
    } else {
        return unknown_part(t, "normalizer", o, err);
    }
    return SG_OK;
}

/* ---- pre-tokenizer ----------------------------------------------------------------------------------------------------------- */
static sg_status read_cut(sg_cut *out, const sg_tokenizer *t, const json_t *v, sg_cut otherwise,
                          sg_error *err)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};
    char text[64];

    *out = otherwise;
    if (!v)
        return SG_OK;
    for (size_t i = 0; json_is_string(v) && i < sizeof names / sizeof *names; i++)
        if (strcmp(json_string_value(v), names[i]) == 0) {
            *out = (sg_cut)i;
            return SG_OK;
        }
    return sg_fail(err, SG_ERR_FORMAT, "%s: expected a known 'behavior', found %s", t->name,
                   sg_json_describe(v, text));
}

static sg_meta_prefix meta_prefix(const json_t *o)
{
    const char *scheme = json_string_value(json_object_get(o, "prepend_scheme"));

    if (!scheme)
        return is_true(o, "add_prefix_space", true) ? SG_META_ALWAYS : SG_META_NEVER;
    return strcmp(scheme, "first") == 0   ? SG_META_FIRST
           : strcmp(scheme, "never") == 0 ? SG_META_NEVER
                                          : SG_META_ALWAYS;
}

static sg_status read_pretokenizer(sg_tokenizer *t, const json_t *o, sg_error *err)
{
    const char *type = type_of(o);
    sg_pre_step *s;

    if (t->bpe.bytes)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected ByteLevel as the last pre-tokenizer, found %.60s behind it", t->name,
                       type);
    if (strcmp(type, "ByteLevel") == 0) {
        t->bpe.bytes = true;
        if (is_true(o, "add_prefix_space", true)) {
            if (!(s = sg_pretokenizer_add(&t->pre)))
                return sg_fail_memory(err, t->name);
            s->kind = SG_PRE_PREFIX;
        }
        return is_true(o, "use_regex", true) ? sg_tokenizer_cut_at(t, sg_gpt2_regex, SG_CUT_ISOLATED, err)
                                             : SG_OK;
    }
    if (!(s = sg_pretokenizer_add(&t->pre)))
        return sg_fail_memory(err, t->name);
    if (strcmp(type, "Split") == 0) {
        const sg_status st = read_cut(&s->cut, t, json_object_get(o, "behavior"), SG_CUT_ISOLATED, err);

        s->invert = is_true(o, "invert", false);
        return st ? st : read_pattern(&s->pattern, &s->text, t, json_object_get(o, "pattern"), err);
    }
    if (strcmp(type, "CharDelimiterSplit") == 0)
        return keep_string(&s->text, t, json_object_get(o, "delimiter"), "'delimiter'", false, err);
    if (strcmp(type, "Metaspace") == 0) {
        s->kind = SG_PRE_META;
        s->prefix = meta_prefix(o);
        s->split = is_true(o, "split", true);
        return keep_string(&s->text, t, json_object_get(o, "replacement"), "'replacement'", false, err);
    }
    if (strcmp(type, "Digits") == 0) {
        s->kind = SG_PRE_DIGITS;
        s->cut = is_true(o, "individual_digits", false) ? SG_CUT_ISOLATED : SG_CUT_CONTIGUOUS;
    } else if (strcmp(type, "WhitespaceSplit") == 0) {
        s->kind = SG_PRE_SPACES;
    } else if (strcmp(type, "Whitespace") == 0) {
        s->kind = SG_PRE_WORDS;
    } else if (strcmp(type, "Punctuation") == 0) {
        s->kind = SG_PRE_PUNCT;
        return read_cut(&s->cut, t, json_object_get(o, "behavior"), SG_CUT_ISOLATED, err);
    } else if (strcmp(type, "BertPreTokenizer") == 0) {
        s->kind = SG_PRE_SPACES;
        if (!(s = sg_pretokenizer_add(&t->pre)))
            return sg_fail_memory(err, t->name);
        s->kind = SG_PRE_PUNCT;
        s->cut = SG_CUT_ISOLATED;
    } else {
        return unknown_part(t, "pre-tokenizer", o, err);
    }
    return SG_OK;
}

static int32_t find_token(const sg_tokenizer *t, const json_t *spelling)
{
    return json_is_string(spelling) ? sg_tokenizer_find(t, string_of(spelling)) : -1;
}

/* ---- model ---------------------------------------------------------------------------------------------------------------------- */
static sg_status optional_string(sg_buf *out, const sg_tokenizer *t, const json_t *v, const char *what,
                                 sg_error *err)
{
    return !v || json_is_null(v) ? SG_OK : keep_string(out, t, v, what, true, err);
}

static sg_status read_bpe(sg_tokenizer *t, const sg_token_source *s, const json_t *m, size_t n_vocab,
                          sg_error *err)
{
    const json_t *dropout = json_object_get(m, "dropout");
    sg_bpe *b = &t->bpe;
    sg_status st;

    if (json_is_number(dropout) && json_number_value(dropout) > 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: a model with dropout is not supported", t->name);
    if ((st = optional_string(&b->prefix, t, json_object_get(m, "continuing_subword_prefix"),
                              "'continuing_subword_prefix'", err)) ||
        (st = optional_string(&b->suffix, t, json_object_get(m, "end_of_word_suffix"), "'end_of_word_suffix'",
                              err)))
        return st;
    if (b->bytes && (b->prefix.size || b->suffix.size))
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: a byte-level model with a prefix or suffix of words is not supported", t->name);
    if ((st = b->bytes ? sg_tokenizer_set_byte_bpe(t, n_vocab, err)
                       : sg_tokenizer_set_trie(t, NULL, n_vocab, err)))
        return st;
    if (!b->bytes)
        sg_tokenizer_byte_tokens(b->byte_id, t);
    b->fall_back = is_true(m, "byte_fallback", false);
    b->fuse_unknown = is_true(m, "fuse_unk", false);
    b->whole_first = is_true(m, "ignore_merges", false);
    b->unknown = find_token(t, json_object_get(m, "unk_token"));
    t->model = SG_MODEL_BPE;
    st = sg_tokenizer_read_merges(t, s, err);
    return st ? st : sg_tokenizer_cut_words(t, err);
}

static sg_status read_wordpiece(sg_tokenizer *t, const json_t *m, size_t n_vocab, bool whole, sg_error *err)
{
    const json_t *most = json_object_get(m, "max_input_chars_per_word"),
                 *prefix = json_object_get(m, "continuing_subword_prefix");
    const sg_bytes mark = prefix ? string_of(prefix) : (sg_bytes){"##", 2};
    sg_wordpiece *w = &t->wordpiece;
    const sg_status st = sg_tokenizer_set_trie(t, NULL, n_vocab, err);

    if (st)
        return st;
    w->whole = whole;
    w->most = json_is_integer(most) && json_integer_value(most) >= 0 ? (size_t)json_integer_value(most) : 100;
    w->unknown = find_token(t, json_object_get(m, "unk_token"));
    if (w->unknown < 0 && !whole)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected 'unk_token' to be a token", t->name);
    w->goes_on = true;
    for (size_t i = 0; i < mark.size && w->goes_on; i++)
        w->goes_on = (w->inside = sg_trie_step(&t->trie, w->inside, (uint8_t)mark.data[i])) != 0;
    t->model = SG_MODEL_WORDPIECE;
    return SG_OK;
}

static sg_status read_unigram(sg_tokenizer *t, const json_t *m, size_t n, sg_error *err)
{
    const json_t *unknown = json_object_get(m, "unk_id");
    sg_unigram *u = &t->unigram;
    double least = 0;
    sg_status st;

    if (!json_is_integer(unknown) || json_integer_value(unknown) < 0 ||
        (uint64_t)json_integer_value(unknown) >= n)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected 'unk_id' to be a token", t->name);
    if ((st = sg_tokenizer_set_trie(t, NULL, n, err)))
        return st;
    for (size_t i = 0; i < n; i++)
        least = i == 0 || u->score[i] < least ? u->score[i] : least;
    u->unknown = (int32_t)json_integer_value(unknown);
    u->unknown_score = least - 10;
    u->fall_back = is_true(m, "byte_fallback", false);
    sg_tokenizer_byte_tokens(u->byte_id, t);
    t->model = SG_MODEL_UNIGRAM;
    return SG_OK;
}

/* Files of before the type was written are known by what they hold. */
static const char *model_type(const json_t *m)
{
    if (*type_of(m))
        return type_of(m);
    return json_object_get(m, "merges")                     ? "BPE"
           : json_is_array(json_object_get(m, "vocab"))     ? "Unigram"
           : json_object_get(m, "max_input_chars_per_word") ? "WordPiece"
                                                            : "WordLevel";
}

static sg_status read_model(sg_tokenizer *t, const sg_token_source *s, const json_t *m, size_t n_vocab,
                            sg_error *err)
{
    const bool pieces = *s->vocab.text.data == '[';
    const char *type = model_type(m);

    if (t->bpe.bytes && strcmp(type, "BPE") != 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: ByteLevel before a model of type %.60s is not supported",
                       t->name, type);
    if (strcmp(type, "Unigram") == 0 && pieces)
        return read_unigram(t, m, n_vocab, err);
    if (pieces)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an object as 'vocab'", t->name);
    if (strcmp(type, "BPE") == 0)
        return read_bpe(t, s, m, n_vocab, err);
    if (strcmp(type, "WordPiece") == 0 || strcmp(type, "WordLevel") == 0)
        return read_wordpiece(t, m, n_vocab, strcmp(type, "WordLevel") == 0, err);
    return unknown_part(t, "model", m, err);
}

/* ---- template ----------------------------------------------------------------------------------------------------------------- */
static sg_status add_special(sg_template *to, const sg_tokenizer *t, const json_t *specials,
                             const json_t *name, int type, sg_error *err)
{
    const json_t *ids = json_object_get(
        json_object_get(specials, json_is_string(name) ? json_string_value(name) : ""), "ids");
    char text[64];

    if (!json_array_size(ids))
        return sg_fail(err, SG_ERR_FORMAT, "%s: template: expected the numbers of token %s", t->name,
                       sg_json_describe(name, text));
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);

        if (!json_is_integer(id) || json_integer_value(id) < 0 || (uint64_t)json_integer_value(id) >= t->n)
            return sg_fail(err, SG_ERR_FORMAT, "%s: template: expected a token, found %s", t->name,
                           sg_json_describe(id, text));
        if (to->n == TEMPLATE_MAX)
            return sg_fail(err, SG_ERR_FORMAT, "%s: template: expected at most %d tokens, found more",
                           t->name, TEMPLATE_MAX);
        if (!sg_template_add(to, 2, (int32_t)json_integer_value(id), type))
            return sg_fail_memory(err, t->name);
    }
    return SG_OK;
}

static sg_status read_template(sg_template *to, const sg_tokenizer *t, const json_t *items,
                               const json_t *specials, sg_error *err)
{
    sg_status st = SG_OK;

    if (!json_is_array(items))
        return sg_fail(err, SG_ERR_FORMAT, "%s: template: expected an array", t->name);
    for (size_t i = 0; i < json_array_size(items) && !st; i++) {
        const json_t *o = json_array_get(items, i), *sequence = json_object_get(o, "Sequence"),
                     *token = json_object_get(o, "SpecialToken");
        const json_t *type = json_object_get(sequence ? sequence : token, "type_id");
        const char *id = json_string_value(json_object_get(sequence, "id"));

        if (json_integer_value(type) < 0 || json_integer_value(type) > 255 || (sequence && !id) ||
            (!sequence && !token))
            st = sg_fail(err, SG_ERR_FORMAT, "%s: template: item %zu: expected a Sequence or a SpecialToken",
                         t->name, i);
        else if (token)
            st = add_special(to, t, specials, json_object_get(token, "id"), (int)json_integer_value(type),
                             err);
        else if (!sg_template_add(to, strcmp(id, "B") == 0, 0, (int)json_integer_value(type)))
            st = sg_fail_memory(err, t->name);
    }
    return st;
}

/* [CLS] and [SEP] as BERT and RoBERTa put them; `twice`: RoBERTa's two separators between texts, types all 0. */
static sg_status read_cls_sep(sg_tokenizer *t, const json_t *o, bool twice, sg_error *err)
{
    const json_t *cls = json_array_get(json_object_get(o, "cls"), 1),
                 *sep = json_array_get(json_object_get(o, "sep"), 1);
    const json_int_t c = json_integer_value(cls), s = json_integer_value(sep);
    const int second = twice ? 0 : 1;

    if (!json_is_integer(cls) || !json_is_integer(sep) || c < 0 || s < 0 || (uint64_t)c >= t->n ||
        (uint64_t)s >= t->n)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected 'cls' and 'sep' as [token, number]", t->name);
    const bool done =
        sg_template_add(&t->single, 2, (int32_t)c, 0) && sg_template_add(&t->single, 0, 0, 0) &&
        sg_template_add(&t->single, 2, (int32_t)s, 0) && sg_template_add(&t->pair, 2, (int32_t)c, 0) &&
        sg_template_add(&t->pair, 0, 0, 0) && sg_template_add(&t->pair, 2, (int32_t)s, 0) &&
        (!twice || sg_template_add(&t->pair, 2, (int32_t)s, 0)) && sg_template_add(&t->pair, 1, 0, second) &&
        sg_template_add(&t->pair, 2, (int32_t)s, second);
    return done ? SG_OK : sg_fail_memory(err, t->name);
}

static sg_status read_processor(sg_tokenizer *t, const json_t *o, sg_error *err)
{
    const char *type = type_of(o);
    const json_t *specials = json_object_get(o, "special_tokens");

    if (strcmp(type, "ByteLevel") == 0) /* concerns places in the text only */
        return SG_OK;
    if (t->single.n)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected one template, found a second, %.60s", t->name, type);
    if (strcmp(type, "TemplateProcessing") == 0) {
        const sg_status st = read_template(&t->single, t, json_object_get(o, "single"), specials, err);

        return st ? st : read_template(&t->pair, t, json_object_get(o, "pair"), specials, err);
    }
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0)
        return read_cls_sep(t, o, *type == 'R', err);
    return unknown_part(t, "post-processor", o, err);
}

/* ---- decoder ---------------------------------------------------------------------------------------------------------------------- */
static sg_status read_decoder(sg_tokenizer *t, const json_t *o, sg_error *err)
{
    const char *type = type_of(o);
    sg_decode_step *s = sg_tokenizer_add_decode(t);
    const json_t *start = json_object_get(o, "start"), *stop = json_object_get(o, "stop");

    if (!s)
        return sg_fail_memory(err, t->name);
    if (strcmp(type, "ByteLevel") == 0) {
        s->kind = SG_DECODE_BYTES;
    } else if (strcmp(type, "ByteFallback") == 0) {
        s->kind = SG_DECODE_FALLBACK;
    } else if (strcmp(type, "Fuse") == 0) {
        s->kind = SG_DECODE_FUSE;
    } else if (strcmp(type, "WordPiece") == 0) {
        s->kind = SG_DECODE_WORDPIECE;
        s->cleanup = is_true(o, "cleanup", true);
        return keep_string(&s->find, t, json_object_get(o, "prefix"), "'prefix'", true, err);
    } else if (strcmp(type, "Metaspace") == 0) {
        s->kind = SG_DECODE_META;
        s->keep_first = meta_prefix(o) == SG_META_NEVER;
        return keep_string(&s->find, t, json_object_get(o, "replacement"), "'replacement'", false, err);
    } else if (strcmp(type, "BPEDecoder") == 0) {
        s->kind = SG_DECODE_SUFFIX;
        return keep_string(&s->find, t, json_object_get(o, "suffix"), "'suffix'", false, err);
    } else if (strcmp(type, "Strip") == 0) {
        s->kind = SG_DECODE_STRIP;
        s->start = json_integer_value(start) > 0 ? (size_t)json_integer_value(start) : 0;
        s->stop = json_integer_value(stop) > 0 ? (size_t)json_integer_value(stop) : 0;
        return keep_string(&s->find, t, json_object_get(o, "content"), "'content'", false, err);
    } else if (strcmp(type, "Replace") == 0) {
        s->kind = SG_DECODE_REPLACE;
        const sg_status st = keep_string(&s->put, t, json_object_get(o, "content"), "'content'", true, err);

        return st ? st : read_pattern(&s->pattern, &s->find, t, json_object_get(o, "pattern"), err);
    } else {
        return unknown_part(t, "decoder", o, err);
    }
    return SG_OK;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------------------- */
static sg_status read_all(sg_tokenizer *t, const sg_token_source *s, sg_error *err)
{
    const json_t *root = s->root, *model = json_object_get(root, "model");
    sg_added *added = NULL;
    size_t n_vocab = 0, n_added = 0;
    sg_status st;

    if (!json_is_object(model))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an object as 'model'", t->name);
    if ((st = each_part(t, json_object_get(root, "normalizer"), "normalizers", read_normalizer, 0, err)) ||
        (st = each_part(t, json_object_get(root, "pre_tokenizer"), "pretokenizers", read_pretokenizer, 0,
                        err)) ||
        (st = sg_tokenizer_read_tokens(t, &n_vocab, &added, &n_added, s, err)) ||
        (st = read_model(t, s, model, n_vocab, err)) ||
        (st = sg_tokenizer_set_added(t, added, n_added, err)) ||
        (st = each_part(t, json_object_get(root, "post_processor"), "processors", read_processor, 0, err)))
        goto done;
    st = each_part(t, json_object_get(root, "decoder"), "decoders", read_decoder, 0, err);
done:
    sg_free(added);
    return st;
}

sg_status sg_tokenizer_from_source(sg_tokenizer **out, const sg_token_source *s, const char *name,
                                   sg_error *err)
{
    sg_tokenizer *t = NULL;
    sg_status st;

    *out = NULL;
    if (!(st = sg_tokenizer_new(&t, name, err))) {
        t->room = SG_TOKENIZER_ROOM;
        if (!(st = sg_tokenizer_take(t, s->taken, 1, "bytes of JSON", err)))
            st = read_all(t, s, err);
    }
    if (st)
        sg_tokenizer_close(t);
    else
        *out = t;
    return st;
}

sg_status sg_tokenizer_from_json(sg_tokenizer **out, sg_bytes file, const char *name, sg_error *err)
{
    sg_token_source s;
    sg_status st;

    *out = NULL;
    if (!(st = sg_token_source_read(&s, file, name, err)))
        st = sg_tokenizer_from_source(out, &s, name, err);
    sg_token_source_free(&s);
    return st;
}
