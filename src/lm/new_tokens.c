/* new_tokens.c - new tokens from a file: the tokenizer with them, and where their rows begin. */
#include "lm/new_tokens.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "file/json.h"
#include "lm/adapter_parts.h"
#include "lm/llama_parts.h"

#include <string.h>

enum { FILE_MOST = 64 << 20, TOKENS_MOST = 100000, TOKEN_BYTES = 1000 };
static const size_t WEIGHT_MOST =
    (size_t)512 << 20; /* of a tokenizer.json as a json_t: twice that of 256,000 tokens and 512,000 merges */

/* ---- the file ------------------------------------------------------------------------------------------------------------------- */
static sg_status read_lines(sg_new_tokens *t, const char *path, sg_error *err)
{
    size_t cap_token = 0, cap_phrase = 0;
    sg_status st = sg_file_read_any(&t->text, path, FILE_MOST, err);

    if (st)
        return st;
    for (size_t at = 0, line = 1; at < t->text.size; line++) {
        const char *s = t->text.data + at, *end = memchr(s, '\n', t->text.size - at);
        size_t size = end ? (size_t)(end - s) : t->text.size - at;

        at += size + 1;
        size -= size && s[size - 1] == '\r';
        const char *tab = memchr(s, '\t', size);
        const sg_bytes token = {s, tab ? (size_t)(tab - s) : size};
        const sg_bytes phrase = {tab ? tab + 1 : s, tab ? size - token.size - 1 : 0};
        if (!token.size || token.size > TOKEN_BYTES || !sg_utf8_valid(s, size))
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s:%zu: expected a token of 1 to %d bytes of UTF-8, perhaps a tab and a phrase",
                           path, line, TOKEN_BYTES);
        if (t->n == TOKENS_MOST)
            return sg_fail(err, SG_ERR_FORMAT, "%s:%zu: expected at most %d tokens", path, line, TOKENS_MOST);
        if (!sg_grow(&t->token, &cap_token, (size_t)t->n + 1, sizeof *t->token) ||
            !sg_grow(&t->phrase, &cap_phrase, (size_t)t->n + 1, sizeof *t->phrase))
            return sg_fail_memory(err, path);
        t->token[t->n] = token;
        t->phrase[t->n++] = phrase;
    }
    return t->n ? SG_OK : sg_fail(err, SG_ERR_FORMAT, "%s: expected tokens, one a line, found none", path);
}

/* ---- the tokenizer -------------------------------------------------------------------------------------------------------------- */
static sg_status read_tokenizer(json_t **out, const sg_llama *m, const char *model, sg_error *err)
{
    const sg_gguf *file = sg_weights_gguf(m->weights);
    char *path = file ? NULL : sg_path_join(model, "tokenizer.json");
    sg_buf text = {0};
    sg_status st = SG_OK;

    if (file)
        st = sg_tokenizer_gguf_json(out, file, err);
    else if (!path)
        st = sg_fail_memory(err, "path");
    else if (!sg_file_exists(path))
        st = sg_fail(err, SG_ERR_USAGE,
                     "new_tokens: expected a model with a tokenizer.json, found none in %s", model);
    else if (!(st = sg_file_read(&text, path, SG_TOKENIZER_BYTES_MAX, err)))
        st = sg_json_parse_light(out, (sg_bytes){text.data ? text.data : "", text.size}, WEIGHT_MOST, path,
                                 err);
    sg_buf_free(&text);
    sg_free(path);
    return st;
}

static bool add_token(json_t *list, sg_bytes token, int32_t id)
{
    return json_array_append_new(list, json_pack("{s:i, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (int)id,
                                                 "content", token.data, token.size, "single_word", 0,
                                                 "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 0)) ==
           0;
}

static sg_status make_tokenizer(sg_new_tokens *t, json_t *root, const char *path, const sg_tokenizer *old,
                                sg_error *err)
{
    json_t *added = json_object_get(root, "added_tokens");
    sg_status st;

    if (!json_is_array(added)) {
        added = json_array();
        if (json_object_set_new(root, "added_tokens", added))
            return sg_fail_memory(err, path);
    }
    for (int i = 0; i < t->n; i++) {
        if (sg_tokenizer_find(old, t->token[i]) >= 0)
            return sg_fail(err, SG_ERR_USAGE,
                           "%s:%d: expected a token that the tokenizer does not have, found '%.*s'", path,
                           i + 1, (int)t->token[i].size, t->token[i].data);
        if (!add_token(added, t->token[i], t->first + i))
            return sg_fail_memory(err, path);
    }
    sg_json_print_compact(&t->json, root);
    if (t->json.failed)
        return sg_fail_memory(err, path);
    if ((st = sg_tokenizer_from_json(&t->with, (sg_bytes){t->json.data, t->json.size}, path, err)))
        return st;
    for (int i = 0; i < t->n; i++)
        if (sg_tokenizer_find(t->with, t->token[i]) != t->first + i)
            return sg_fail(err, SG_ERR_USAGE, "%s:%d: expected each token once, found '%.*s' again", path,
                           i + 1, (int)t->token[i].size, t->token[i].data);
    return SG_OK;
}

sg_status sg_new_tokens_read(sg_new_tokens *out, const char *path, const sg_llama *m, const char *model,
                             sg_error *err)
{
    json_t *root = NULL;
    sg_status st;

    *out = (sg_new_tokens){0};
    if (!(st = read_lines(out, path, err)) && !(st = read_tokenizer(&root, m, model, err))) {
        out->first = sg_tokenizer_size(m->own_tokenizer);
        out->vocab = out->first + out->n > m->output.out ? out->first + out->n : m->output.out;
        st = make_tokenizer(out, root, path, m->own_tokenizer, err);
    }
    json_decref(root);
    if (st)
        sg_new_tokens_free(out);
    return st;
}

void sg_new_tokens_free(sg_new_tokens *t)
{
    sg_tokenizer_close(t->with);
    sg_buf_free(&t->text);
    sg_buf_free(&t->json);
    sg_free(t->token);
    sg_free(t->phrase);
    *t = (sg_new_tokens){0};
}

/* ---- rows ----------------------------------------------------------------------------------------------------------------------- */
/* Mean of the rows id[0] ... of a table of the files, or (id NULL) of its first n. */
static sg_status mean_of(float *out, const sg_weights *w, const char *table, const int32_t *id, size_t n,
                         size_t dim, sg_error *err)
{
    double *sum = sg_alloc_zero(dim, sizeof *sum);
    sg_status st = sum ? SG_OK : sg_fail_memory(err, table);

    for (size_t i = 0; i < n && !st; i++)
        if (!(st = sg_weights_read(out, w, table, (id ? (size_t)id[i] : i) * dim, dim, err)))
            for (size_t k = 0; k < dim; k++)
                sum[k] += (double)out[k];
    for (size_t k = 0; k < dim && !st; k++)
        out[k] = (float)(sum[k] / (double)n);
    sg_free(sum);
    return st;
}

static sg_status fill(sg_row_set *s, const sg_new_tokens *t, const sg_adapter_host *host, const char *table,
                      sg_encoder *e, sg_error *err)
{
    const size_t dim = (size_t)host->dim,
                 all = (size_t)(host->tokens < host->rows ? host->tokens : host->rows);
    float *mean = sg_alloc_array(dim, sizeof *mean);
    sg_status st =
        mean ? mean_of(mean, host->weights, table, NULL, all, dim, err) : sg_fail_memory(err, table);

    for (int i = 0; i < t->n && !st; i++) {
        float *row = s->rows->value + (size_t)i * dim;
        const int32_t *id = NULL;
        size_t n = 0;

        s->id[i] = t->first + i;
        memcpy(row, mean, dim * sizeof *row);
        if (t->phrase[i].size &&
            !(st = sg_encoder_run(&id, &n, e, t->phrase[i], &(sg_encode_how){.bare = true, .literal = true},
                                  err)) &&
            n)
            st = mean_of(row, host->weights, table, id, n, dim, err);
    }
    sg_free(mean);
    return st;
}

sg_status sg_new_tokens_give(sg_new_tokens *t, sg_adapter *a, const sg_llama *m, sg_error *err)
{
    const bool tied = a->host.words == a->host.output;
    sg_encoder *e = NULL;
    sg_status st;

    if ((st = sg_adapter_rows_declare(a, false, t->n, err)) ||
        (!tied && (st = sg_adapter_rows_declare(a, true, t->n, err))) ||
        (st = sg_encoder_new(&e, m->own_tokenizer, err)))
        return st;
    if (!(st = fill(&a->words, t, &a->host, a->host.words, e, err)) && !tied)
        st = fill(&a->output, t, &a->host, a->host.output, e, err);
    sg_encoder_free(e);
    if (st)
        return st;
    a->tokenizer = t->with;
    a->tokenizer_json = t->json;
    t->with = NULL;
    t->json = (sg_buf){0};
    return SG_OK;
}
