/* token_files.c - from a path to a tokenizer, and GPT-2's pair of files. */
#include "text/token_parts.h"

#include "base/io.h"
#include "base/utf8.h"
#include "file/json.h"

#include <string.h>

enum {
    CONFIG_MAX =
        20 << 20 /* bytes that tokenizer_config.json takes as JSON; its added tokens are copied from it */
};

/* ---- vocab.json, merges.txt, tokenizer_config.json ---------------------------------------------------------------------------- */
/* Written as the one file would be, and read by its reader: one path. */
static json_t *added_tokens(const json_t *config)
{
    const json_t *by_id = json_object_get(config, "added_tokens_decoder");
    json_t *list = json_array();

    for (void *it = json_object_iter((json_t *)(uintptr_t)by_id); it;
         it = json_object_iter_next((json_t *)(uintptr_t)by_id, it)) {
        json_t *o = json_copy(json_object_iter_value(it)); /* shared members */
        const char *key = json_object_iter_key(it);
        json_int_t id = 0;

        for (const char *p = key; *p; p++)
            id = *p < '0' || *p > '9' || id > INT32_MAX ? -1 : id < 0 ? -1 : id * 10 + (*p - '0');
        json_object_set_new(o, "id", json_integer(*key ? id : -1));
        json_array_append_new(list, o);
    }
    return list;
}

/* Looks at all lines of merges.txt. */
static sg_status count_merges(sg_token_list *list, sg_bytes text, const char *name, sg_error *err)
{
    sg_bytes side[2];
    size_t line = 0;

    for (*list = (sg_token_list){.text = text}; sg_merge_line(side, &text, &line); list->n++) {
        if (!side[0].size || !side[1].size || memchr(side[1].data, ' ', side[1].size))
            return sg_fail(err, SG_ERR_FORMAT, "%s: merges, line %zu: expected two tokens", name, line);
        if (!sg_utf8_valid(side[0].data, side[0].size) || !sg_utf8_valid(side[1].data, side[1].size))
            return sg_fail(err, SG_ERR_FORMAT, "%s: merges, line %zu: expected UTF-8", name, line);
    }
    return SG_OK;
}

static json_t *cutting(const json_t *config)
{
    const char *class = json_string_value(json_object_get(config, "tokenizer_class"));
    const bool prefix = json_is_true(json_object_get(config, "add_prefix_space"));

    if (!class || strncmp(class, "Qwen2Tokenizer", 14) != 0)
        return json_pack("{s:s, s:b}", "type", "ByteLevel", "add_prefix_space", prefix);
    return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s}, {s:s, s:b, s:b}]}", "type", "Sequence", "pretokenizers",
                     "type", "Split", "pattern", "Regex", sg_qwen2_regex, "behavior", "Isolated", "type",
                     "ByteLevel", "add_prefix_space", prefix, "use_regex", 0);
}

/* All but vocabulary and merges, as tokenizer.json has it: *root, and the added tokens, printed. */
static sg_status read_config(json_t **root, sg_buf *added, sg_bytes config, const char *name, sg_error *err)
{
    json_t *c = NULL, *list;
    const char *class;
    sg_status st = config.data ? sg_json_parse_light(&c, config, CONFIG_MAX, name, err) : SG_OK;

    if (st)
        return st;
    class = json_string_value(json_object_get(c, "tokenizer_class"));
    list = added_tokens(c);
    if (list)
        sg_json_print_compact(added, list);
    *root = json_pack("{s:o?, s:{s:s}, s:{s:s}}", "pre_tokenizer", cutting(c), "decoder", "type", "ByteLevel",
                      "model", "type", "BPE");
    if (*root && class && strncmp(class, "Qwen2Tokenizer", 14) == 0)
        json_object_set_new(*root, "normalizer", json_pack("{s:s}", "type", "NFC"));
    st = *root && list && !added->failed ? SG_OK : sg_fail_memory(err, name);
    json_decref(list);
    json_decref(c);
    return st;
}

sg_status sg_tokenizer_from_pair(sg_tokenizer **out, sg_bytes vocab, sg_bytes merges, sg_bytes config,
                                 const char *name, sg_error *err)
{
    sg_token_source s = {.lines = true};
    sg_buf added = {0};
    sg_status st;

    *out = NULL;
    if (!(st = sg_token_list_read(&s.vocab, vocab, name, err)) &&
        !(st = count_merges(&s.merges, merges, name, err)) &&
        !(st = read_config(&s.root, &added, config, name, err)) &&
        !(st = sg_token_list_read(&s.added, (sg_bytes){added.data, added.size}, name, err))) {
        s.taken = added.size;
        st = sg_tokenizer_from_source(out, &s, name, err);
    }
    sg_token_source_free(&s);
    sg_buf_free(&added);
    return st;
}

/* ---- a path ---------------------------------------------------------------------------------------------------------------------- */
/* *out: the file of this name in the folder, compressed or not, owned by the caller; NULL: none. */
static sg_status find_in(char **out, const char *dir, const char *name, sg_error *err)
{
    static const char *const endings[] = {"", ".zst", ".gz"};

    *out = NULL;
    for (size_t i = 0; i < sizeof endings / sizeof *endings && !*out; i++) {
        sg_buf b = {0};

        sg_buf_printf(&b, "%s/%s%s", dir, name, endings[i]);
        if (b.failed) {
            sg_buf_free(&b);
            return sg_fail_memory(err, dir);
        }
        if (sg_file_exists(b.data))
            *out = sg_buf_take(&b);
        sg_buf_free(&b);
    }
    return SG_OK;
}

static sg_status read_in(sg_buf *out, const char *dir, const char *name, sg_error *err)
{
    char *path;
    sg_status st = find_in(&path, dir, name, err);

    if (!st)
        st = path ? sg_file_read_any(out, path, SG_TOKENIZER_BYTES_MAX, err)
                  : sg_fail(err, SG_ERR_MISSING, "%s: expected a file %s", dir, name);
    sg_free(path);
    return st;
}

static sg_bytes view(const sg_buf *b)
{
    return (sg_bytes){b->data ? b->data : "", b->size};
}

static sg_status open_pair(sg_tokenizer **out, const char *dir, sg_error *err)
{
    sg_buf vocab = {0}, merges = {0}, config = {0};
    sg_status st;

    if (!(st = read_in(&vocab, dir, "vocab.json", err)) && !(st = read_in(&merges, dir, "merges.txt", err))) {
        st = read_in(&config, dir, "tokenizer_config.json", err);
        if (!st || st == SG_ERR_MISSING)
            st = sg_tokenizer_from_pair(out, view(&vocab), view(&merges), st ? (sg_bytes){0} : view(&config),
                                        dir, err);
    }
    sg_buf_free(&vocab);
    sg_buf_free(&merges);
    sg_buf_free(&config);
    return st;
}

static sg_status open_file(sg_tokenizer **out, const char *path, sg_error *err)
{
    sg_buf text = {0};
    sg_gguf *gguf = NULL;
    sg_status st;
    bool is_gguf;

    if ((st = sg_gguf_detect(&is_gguf, path, err)))
        return st;
    if (is_gguf) {
        if (!(st = sg_gguf_open(&gguf, path, err)))
            st = sg_tokenizer_from_gguf(out, gguf, err);
        sg_gguf_close(gguf);
        return st;
    }
    if (!(st = sg_file_read_any(&text, path, SG_TOKENIZER_BYTES_MAX, err)))
        st = text.size && *text.data == '{' ? sg_tokenizer_from_json(out, view(&text), path, err)
                                            : sg_tokenizer_from_spiece(out, view(&text), path, err);
    sg_buf_free(&text);
    return st;
}

sg_status sg_tokenizer_open(sg_tokenizer **out, const char *path, sg_error *err)
{
    static const char *const single[] = {"tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model",
                                         "sentencepiece.bpe.model"};
    sg_status st;

    *out = NULL;
    if (!sg_dir_exists(path))
        return open_file(out, path, err);
    for (size_t i = 0; i < sizeof single / sizeof *single; i++) {
        char *file;

        if ((st = find_in(&file, path, single[i], err)))
            return st;
        if (!file)
            continue;
        st = i == 1 ? open_pair(out, path, err) : open_file(out, file, err);
        sg_free(file);
        return st;
    }
    return sg_fail(err, SG_ERR_MISSING,
                   "%s: expected tokenizer.json, vocab.json with merges.txt, or a SentencePiece .model",
                   path);
}
