/* endpoint.c - /chat/completions, /embeddings, and /completions with echo and logprobs. */
#include "lm/endpoint.h"

#include "base/utf8.h"
#include "file/json.h"

#include <math.h>
#include <string.h>
#include <strings.h>

enum { TOKENS_MOST = 1000000000 /* of one answer: more is no count */ };

/* ---- requests ------------------------------------------------------------------------------------------------------------ */
static json_t *text_json(const char *before, sg_bytes text)
{
    sg_buf clean = {0};
    json_t *s = NULL;

    sg_buf_puts(&clean, before);
    sg_utf8_clean(&clean, text.data, text.size);
    if (!clean.failed)
        s = json_stringn_nocheck(clean.data ? clean.data : "", clean.size);
    sg_buf_free(&clean);
    return s;
}

/* The object, or NULL when something did not fit. */
static json_t *whole(json_t *o, int bad)
{
    if (!bad)
        return o;
    json_decref(o);
    return NULL;
}

json_t *sg_endpoint_chat(const char *model, const sg_turn *turn, size_t n, const sg_generate_config *o,
                         const char *stop, bool json)
{
    json_t *messages = json_array();
    int bad = 0;

    for (size_t i = 0; i < n; i++)
        bad |= json_array_append_new(
            messages, json_pack("{s:s, s:o}", "role", turn[i].role, "content", text_json("", turn[i].text)));
    json_t *root = json_pack("{s:s, s:o, s:i, s:f, s:i}", "model", model, "messages", messages, "max_tokens",
                             o->length, "temperature", o->temperature, "seed", o->seed);
    /* what not every server knows is sent only when it was asked for */
    if (o->top_p < 1)
        bad |= json_object_set_new(root, "top_p", json_real(o->top_p));
    if (o->top_k > 0)
        bad |= json_object_set_new(root, "top_k", json_integer(o->top_k));
    if (o->min_p > 0)
        bad |= json_object_set_new(root, "min_p", json_real(o->min_p));
    if (!o->think) /* as llama.cpp and vLLM take it */
        bad |= json_object_set_new(root, "chat_template_kwargs", json_pack("{s:b}", "enable_thinking", 0));
    if (*stop)
        bad |= json_object_set_new(root, "stop", json_string(stop));
    if (json)
        bad |= json_object_set_new(root, "response_format", json_pack("{s:s}", "type", "json_object"));
    return whole(root, bad || !root);
}

json_t *sg_endpoint_embed(const char *model, const sg_bytes *text, size_t n, const char *prefix)
{
    json_t *list = json_array();
    int bad = 0;

    for (size_t i = 0; i < n; i++)
        bad |= json_array_append_new(list, text_json(prefix, text[i]));
    json_t *root = json_pack("{s:s, s:o, s:s}", "model", model, "input", list, "encoding_format", "float");
    return whole(root, bad || !root);
}

json_t *sg_endpoint_score(const char *model, sg_bytes prompt, sg_bytes text)
{
    sg_buf both = {0};
    json_t *root = NULL;

    sg_utf8_clean(&both, prompt.data, prompt.size);
    sg_utf8_clean(&both, text.data, text.size);
    if (!both.failed)
        root =
            json_pack("{s:s, s:s%, s:i, s:b, s:i, s:f}", "model", model, "prompt", both.data ? both.data : "",
                      both.size, "max_tokens", 0, "echo", 1, "logprobs", 1, "temperature", 0.0);
    sg_buf_free(&both);
    return root;
}

/* ---- answers ------------------------------------------------------------------------------------------------------------- */
static sg_status first_choice(const json_t **out, const json_t *answer, sg_error *err)
{
    json_t *choices;
    sg_status st;

    if ((st = sg_json_need_array(&choices, answer, "choices", "answer", err)))
        return st;
    *out = json_array_get(choices, 0);
    return json_is_object(*out)
               ? SG_OK
               : sg_fail(err, SG_ERR_FORMAT, "answer: 'choices': expected an object in the list, found %s",
                         sg_json_describe(*out, (char[64]){0}));
}

/* OpenAI's words, and those of others who speak its dialect. What is not said is taken for whole. */
static bool is_cut(const char *reason)
{
    static const char *const words[] = {"length", "max_tokens", "model_length", "content_filter"};

    for (size_t i = 0; reason && i < sizeof words / sizeof *words; i++)
        if (strcasecmp(reason, words[i]) == 0)
            return true;
    return false;
}

sg_status sg_endpoint_read_chat(sg_bytes *text, bool *cut, const json_t *answer, sg_error *err)
{
    const json_t *choice, *content;
    json_t *message;
    sg_status st;

    if ((st = first_choice(&choice, answer, err)) ||
        (st = sg_json_need_object(&message, choice, "message", "answer: 'choices'", err)))
        return st;
    content = json_object_get(message, "content");
    if (!json_is_string(content))
        return sg_fail(err, SG_ERR_FORMAT, "answer: 'message': 'content': expected a string, found %s",
                       sg_json_describe(content, (char[64]){0}));
    *text = (sg_bytes){json_string_value(content), json_string_length(content)};
    *cut = is_cut(json_string_value(json_object_get(choice, "finish_reason")));
    return SG_OK;
}

double sg_endpoint_usage(const json_t *answer, const char *key, double otherwise)
{
    const json_t *n = json_object_get(json_object_get(answer, "usage"), key);

    return json_is_number(n) && json_number_value(n) >= 0 && json_number_value(n) <= TOKENS_MOST
               ? json_number_value(n)
               : otherwise;
}

static sg_status embedding_of(const json_t **vector, size_t *place, const json_t *row, size_t i, size_t n,
                              sg_error *err)
{
    const json_t *index = json_object_get(row, "index");
    const json_int_t at = json_is_integer(index) ? json_integer_value(index) : (json_int_t)i;

    *vector = json_object_get(row, "embedding");
    if (!json_is_array(*vector) || json_array_size(*vector) == 0)
        return sg_fail(err, SG_ERR_FORMAT, "answer: 'embedding': expected a list of numbers, found %s",
                       sg_json_describe(*vector, (char[64]){0}));
    if (at < 0 || (size_t)at >= n)
        return sg_fail(err, SG_ERR_FORMAT, "answer: 'index': expected 0 to %zu, found %lld", n - 1,
                       (long long)at);
    *place = (size_t)at;
    return SG_OK;
}

sg_status sg_endpoint_embed_dim(int32_t *dim, const json_t *answer, sg_error *err)
{
    const json_t *vector;
    json_t *data;
    size_t place;
    sg_status st;

    if ((st = sg_json_need_array(&data, answer, "data", "answer", err)) ||
        (st = embedding_of(&vector, &place, json_array_get(data, 0), 0, SIZE_MAX, err)))
        return st;
    if (json_array_size(vector) > 65536)
        return sg_fail(err, SG_ERR_FORMAT, "answer: 'embedding': expected at most 65536 numbers, found %zu",
                       json_array_size(vector));
    *dim = (int32_t)json_array_size(vector);
    return SG_OK;
}

sg_status sg_endpoint_read_embed(float *out, size_t n, int32_t dim, const json_t *answer, sg_error *err)
{
    json_t *data;
    sg_status st;

    if ((st = sg_json_need_array(&data, answer, "data", "answer", err)))
        return st;
    if (json_array_size(data) != n)
        return sg_fail(err, SG_ERR_FORMAT, "answer: 'data': expected %zu vectors, found %zu", n,
                       json_array_size(data));
    for (size_t i = 0; i < n * (size_t)dim; i++)
        out[i] = NAN; /* what stays so was answered by nobody */
    for (size_t i = 0; i < n; i++) {
        const json_t *vector;
        size_t place;

        if ((st = embedding_of(&vector, &place, json_array_get(data, i), i, n, err)))
            return st;
        if (json_array_size(vector) != (size_t)dim)
            return sg_fail(err, SG_ERR_FORMAT, "answer: 'embedding': expected %d numbers, found %zu",
                           (int)dim, json_array_size(vector));
        for (size_t k = 0; k < (size_t)dim; k++) {
            const json_t *x = json_array_get(vector, k);

            if (!json_is_number(x) || !(fabs(json_number_value(x)) <= 1e30))
                return sg_fail(err, SG_ERR_FORMAT, "answer: 'embedding': expected a number, found %s",
                               sg_json_describe(x, (char[64]){0}));
            out[place * (size_t)dim + k] = (float)json_number_value(x);
        }
    }
    for (size_t i = 0; i < n; i++)
        if (isnan(out[i * (size_t)dim]))
            return sg_fail(err, SG_ERR_FORMAT, "answer: 'data': expected a vector of text %zu, found none",
                           i);
    return SG_OK;
}

sg_status sg_endpoint_read_score(double *logp, int *tokens, size_t from, const json_t *answer, sg_error *err)
{
    const json_t *choice;
    json_t *logprobs, *each, *offset;
    sg_status st;

    *logp = 0;
    *tokens = 0;
    if ((st = first_choice(&choice, answer, err)) ||
        (st = sg_json_need_object(&logprobs, choice, "logprobs", "answer: 'choices'", err)) ||
        (st = sg_json_need_array(&each, logprobs, "token_logprobs", "answer: 'logprobs'", err)) ||
        (st = sg_json_need_array(&offset, logprobs, "text_offset", "answer: 'logprobs'", err)))
        return st;
    if (json_array_size(each) != json_array_size(offset))
        return sg_fail(err, SG_ERR_FORMAT,
                       "answer: 'logprobs': expected lists of one length, found %zu and %zu",
                       json_array_size(each), json_array_size(offset));
    for (size_t i = 0; i < json_array_size(each); i++) {
        const json_t *x = json_array_get(each, i), *at = json_array_get(offset, i);

        if (!json_is_integer(at) || (!json_is_number(x) && !(i == 0 && json_is_null(x))))
            return sg_fail(err, SG_ERR_FORMAT, "answer: 'logprobs': expected numbers, found %s",
                           sg_json_describe(json_is_integer(at) ? x : at, (char[64]){0}));
        if (json_integer_value(at) < 0 || (size_t)json_integer_value(at) < from || json_is_null(x))
            continue;
        *logp += json_number_value(x);
        ++*tokens;
    }
    return SG_OK;
}
