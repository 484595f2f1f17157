/* token_files.c - from a path to a tokenizer, and GPT-2's pair of files. */
#include "text/token_parts.h"

#include "base/io.h"
#include "file/json.h"

#include <string.h>

/* ---- vocab.json, merges.txt, tokenizer_config.json ---------------------------------------------------------------------------- */
/* Written as the one file would be, and read by its reader: one path. */
static json_t *added_tokens(const json_t *config)
{
    const json_t *by_id = json_object_get(config, "added_tokens_decoder");
    json_t *list = json_array();

    for (void *it = json_object_iter((json_t *)(uintptr_t)by_id); it; it = json_object_iter_next((json_t *)(uintptr_t)by_id, it)) {
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

static sg_status merge_lines(json_t **out, sg_bytes text, const char *name, sg_error *err)
{
    size_t line = 0;

    *out = json_array();
    for (const char *s = text.data, *end = s + text.size, *next; s < end; s = next) {
        const char *stop = memchr(s, '\n', (size_t)(end - s)), *space;

        line++;
        next = stop ? stop + 1 : end;
        stop = stop ? stop : end;
        if (stop > s && stop[-1] == '\r')
            stop--;
        if (stop == s || (line == 1 && stop - s >= 8 && memcmp(s, "#version", 8) == 0))
            continue;
        space = memchr(s, ' ', (size_t)(stop - s));
        if (!space || space == s || space + 1 == stop || memchr(space + 1, ' ', (size_t)(stop - space - 1)))
            return sg_fail(err, SG_ERR_FORMAT, "%s: merges, line %zu: expected two tokens", name, line);
        json_t *pair = json_array();
        if (json_array_append_new(pair, json_stringn(s, (size_t)(space - s))) ||
            json_array_append_new(pair, json_stringn(space + 1, (size_t)(stop - space - 1)))) {
            json_decref(pair);
            return sg_fail(err, SG_ERR_FORMAT, "%s: merges, line %zu: expected UTF-8", name, line);
        }
        if (json_array_append_new(*out, pair))
            return sg_fail_memory(err, name);
    }
    return SG_OK;
}

static json_t *cutting(const json_t *config)
{
    const char *class = json_string_value(json_object_get(config, "tokenizer_class"));
    const bool prefix = json_is_true(json_object_get(config, "add_prefix_space"));

    if (!class || strncmp(class, "Qwen2Tokenizer", 14) != 0)
        return json_pack("{s:s, s:b}", "type", "ByteLevel", "add_prefix_space", prefix);
    return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s}, {s:s, s:b, s:b}]}", "type", "Sequence", "pretokenizers", "type", "Split", "pattern",
                     "Regex", sg_qwen2_regex, "behavior", "Isolated", "type", "ByteLevel", "add_prefix_space", prefix, "use_regex", 0);
}

sg_status sg_tokenizer_from_pair(sg_tokenizer **out, sg_bytes vocab, sg_bytes merges, sg_bytes config, const char *name, sg_error *err)
{
    json_t *root = NULL, *v = NULL, *m = NULL, *c = NULL;
    const char *class;
    sg_status st;

    *out = NULL;
    if ((st = sg_json_parse_light(&v, vocab, sg_tokenizer_weight_max(vocab.size), name, err)) || (st = merge_lines(&m, merges, name, err)) ||
        (config.data && (st = sg_json_parse_light(&c, config, SG_JSON_WEIGHT_SMALL, name, err))))
        goto done;
    class = json_string_value(json_object_get(c, "tokenizer_class"));
    root = json_pack("{s:o?, s:o?, s:{s:s}, s:{s:s, s:O, s:O}}", "added_tokens", added_tokens(c), "pre_tokenizer", cutting(c), "decoder",
                     "type", "ByteLevel", "model", "type", "BPE", "vocab", v, "merges", m);
    if (class && strncmp(class, "Qwen2Tokenizer", 14) == 0)
        json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
    st = root ? sg_tokenizer_from_json_value(out, root, name, err) : sg_fail_memory(err, name);
done:
    json_decref(root);
    json_decref(v);
    json_decref(m);
    json_decref(c);
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
            st = sg_tokenizer_from_pair(out, view(&vocab), view(&merges), st ? (sg_bytes){0} : view(&config), dir, err);
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
    static const char *const single[] = {"tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"};
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
    return sg_fail(err, SG_ERR_MISSING, "%s: expected tokenizer.json, vocab.json with merges.txt, or a SentencePiece .model", path);
}
