/* handle_embeddings.c - texts to vectors, in the words of OpenAI's API. */
#include "serve/server.h"

#include "base/base64.h"
#include "base/alloc.h"
#include "serve/reply.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const sg_field sg_embeddings_fields[] = {
    {"input", SG_FIELD_INPUTS, .needed = true, .most = offsetof(sg_serve_config, inputs_max),
     .longest = offsetof(sg_serve_config, text_max), .meaning = "a text, or a list of texts"},
    {"model", SG_FIELD_TEXT, .meaning = "the encoder, as GET /v1/models names it (the only one)"},
    {"encoding_format", SG_FIELD_TEXT, .choices = "float|base64",
     .meaning = "numbers, or base64 of 32-bit floats, little-endian (float)"},
    {"dimensions", SG_FIELD_INT, .least = 1,
     .meaning = "vectors are cut to this many numbers and get unit length again (all)"},
    {"user", SG_FIELD_TEXT, .meaning = "who asks; not looked at"},
    {.name = NULL},
};

/* The first model whose encoder has this name (NULL: any), -1: none has; *any: the name of the first encoder there is. */
static int find_encoder(sg_server *s, const char *wanted, char any[256])
{
    int found = -1;

    any[0] = 0;
    for (int i = 0; i < s->n_models && found < 0; i++) {
        sg_loaded *l = sg_server_model(s, i);
        const char *name = sg_tower_name(l->tower);

        if (name && !any[0])
            snprintf(any, 256, "%s", name);
        if (name && (!wanted || strcmp(wanted, name) == 0))
            found = i;
        sg_loaded_release(l);
    }
    return found;
}

bool sg_handle_embeddings(sg_server *s, sg_job *j)
{
    const char *wanted = json_string_value(json_object_get(j->body, "model"));
    const json_t *input = json_object_get(j->body, "input");
    const int model = find_encoder(s, wanted, (char[256]){0});
    char any[256];

    find_encoder(s, NULL, any);
    j->work = SG_WORK_TEXTS;
    if (!any[0])
        sg_reply_error(
            j->x, 501, "no_encoder", NULL,
            "the model folder keeps no encoder of texts, and the server was started without --encoder");
    else if (model < 0)
        sg_reply_error(j->x, 404, "model_not_found", "model", "'model': expected '%s', found '%s'", any,
                       wanted);
    else if (json_is_array(input) && json_array_size(input) == 0)
        sg_reply_error(j->x, 400, "out_of_range", "input", "'input': expected at least one text, found none");
    else
        j->model = model;
    return model < 0 || (json_is_array(input) && json_array_size(input) == 0);
}

/* ---- in the model lane ------------------------------------------------------------------------------------- */

static void shorten(float *x, int32_t n)
{
    double sum = 0;

    for (int32_t k = 0; k < n; k++)
        sum += (double)x[k] * (double)x[k];
    for (int32_t k = 0; sum > 0 && k < n; k++)
        x[k] = (float)((double)x[k] / sqrt(sum));
}

/* 0.1, not 0.10000000149011612; nine digits tell any two floats apart. */
static json_t *floats_json(const float *x, int32_t n)
{
    json_t *list = json_array();
    char text[32];

    for (int32_t k = 0; k < n; k++) {
        snprintf(text, sizeof text, "%.9g", (double)x[k]);
        json_array_append_new(list, json_real(strtod(text, NULL)));
    }
    return list;
}

static json_t *base64_json(const float *x, int32_t n)
{
    sg_buf bytes = {0}, text = {0};
    json_t *out = NULL;

    for (int32_t k = 0; k < n; k++) {
        uint32_t bits;

        memcpy(&bits, x + k, sizeof bits);
        for (size_t b = 0; b < 4; b++)
            sg_buf_putc(&bytes, (char)(bits >> 8 * b));
    }
    sg_base64_encode(&text, (sg_bytes){bytes.data, bytes.size});
    if (!bytes.failed && !text.failed)
        out = json_stringn(text.data ? text.data : "", text.size);
    sg_buf_free(&bytes);
    sg_buf_free(&text);
    return out;
}

static json_t *answer_json(const sg_tower *t, float *x, int32_t dim, int32_t wanted, bool base64, size_t n,
                           size_t tokens)
{
    json_t *data = json_array();

    for (size_t i = 0; i < n; i++) {
        float *row = x + i * (size_t)dim;

        if (wanted < dim)
            shorten(row, wanted);
        json_array_append_new(data, json_pack("{s:s, s:I, s:o}", "object", "embedding", "index",
                                              (json_int_t)i, "embedding",
                                              base64 ? base64_json(row, wanted) : floats_json(row, wanted)));
    }
    if (json_array_size(data) != n) {
        json_decref(data);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:s, s:{s:I, s:I}}", "object", "list", "data", data, "model",
                     sg_tower_name(t), "usage", "prompt_tokens", (json_int_t)tokens, "total_tokens",
                     (json_int_t)tokens);
}

void sg_texts_run(sg_server *s, sg_worker *w, sg_job *j)
{
    const json_t *input = json_object_get(j->body, "input"), *wanted = json_object_get(j->body, "dimensions");
    const json_t *format = json_object_get(j->body, "encoding_format");
    const size_t n = json_is_array(input) ? json_array_size(input) : 1;
    sg_bytes *text = sg_alloc_array(n, sizeof *text);
    const sg_tower *t = w->loaded->tower;
    float *x = NULL;
    int32_t dim = 0;
    size_t tokens = 0;
    sg_error e;
    sg_status st = text ? SG_OK : sg_fail_memory(&e, "texts");

    for (size_t i = 0; !st && i < n; i++) {
        const json_t *one = json_is_array(input) ? json_array_get(input, i) : input;

        text[i] = (sg_bytes){json_string_value(one), json_string_length(one)};
    }
    if (!st && !sg_tower_name(t)) /* a model that took its place since the request was checked */
        st = sg_fail(&e, SG_ERR_MISSING, "the model folder keeps no encoder of texts");
    if (!st)
        st = sg_tower_texts(&x, &dim, &tokens, t, text, n, &e);
    if (st) {
        sg_reply_status(j->x, st, &e);
    } else if (json_is_integer(wanted) && json_integer_value(wanted) > dim) {
        sg_reply_error(j->x, 400, "out_of_range", "dimensions",
                       "'dimensions': expected at most %d, found %lld", (int)dim,
                       (long long)json_integer_value(wanted));
    } else {
        const bool base64 = json_is_string(format) && strcmp(json_string_value(format), "base64") == 0;

        atomic_fetch_add(&s->metrics.embeddings, (uint64_t)n);
        sg_reply(j->x, 200,
                 answer_json(t, x, dim, json_is_integer(wanted) ? (int32_t)json_integer_value(wanted) : dim,
                             base64, n, tokens));
    }
    sg_free(x);
    sg_free(text);
}
