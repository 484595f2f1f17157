/* endpoint.c - any bytes as an endpoint's answer: a text, vectors or scores, or an error of one line. */
#include "fuzz.h"

#include "base/utf8.h"
#include "file/json.h"
#include "lm/endpoint.h"

#include <math.h>
#include <string.h>

enum { TEXTS = 3, WIDTH_MOST = 64 };

static void check_error(const sg_error *err)
{
    FUZZ_CHECK(strncmp(err->message, "answer", 6) == 0 && !strchr(err->message, '\n'));
}

static void read_vectors(const json_t *answer)
{
    float x[TEXTS * WIDTH_MOST];
    sg_error err = {0};
    int32_t dim;

    if (sg_endpoint_embed_dim(&dim, answer, &err)) {
        check_error(&err);
        return;
    }
    FUZZ_CHECK(dim > 0);
    if (dim > WIDTH_MOST)
        return;
    if (sg_endpoint_read_embed(x, TEXTS, dim, answer, &err)) {
        check_error(&err);
        return;
    }
    for (int i = 0; i < TEXTS * dim; i++)
        FUZZ_CHECK(isfinite(x[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *answer;
    sg_error err = {0};
    sg_bytes text;
    bool cut;
    double logp;
    int tokens;

    if (sg_json_parse_foreign(&answer, (sg_bytes){(const char *)data, size}, "answer", &err)) {
        check_error(&err);
        return 0;
    }
    if (sg_endpoint_read_chat(&text, &cut, answer, &err))
        check_error(&err);
    else
        FUZZ_CHECK(text.data && sg_utf8_valid(text.data, text.size));
    const double used = sg_endpoint_usage(answer, "prompt_tokens", 7);
    FUZZ_CHECK(used >= 0 && used <= 1e9);
    read_vectors(answer);
    if (sg_endpoint_read_score(&logp, &tokens, 1, answer, &err))
        check_error(&err);
    else
        FUZZ_CHECK(tokens >= 0);
    json_decref(answer);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        "{\"choices\": [{\"index\": 0, \"message\": {\"role\": \"assistant\", \"content\": \"yes\"}}], "
        "\"usage\": "
        "{\"prompt_tokens\": 3}}",
        "{\"data\": [{\"index\": 2, \"embedding\": [1, -2.5]}, {\"index\": 0, \"embedding\": [0, 1e3]}, "
        "{\"index\": 1, "
        "\"embedding\": [3, 4]}]}",
        "{\"data\": [{\"embedding\": [1e30]}, {\"embedding\": [1e300]}, {\"embedding\": [null]}]}",
        "{\"choices\": [{\"logprobs\": {\"token_logprobs\": [null, -1, -0.5], \"text_offset\": [0, 1, 4]}}]}",
        ("\xef\xbb\xbf{\"created\": 123456789012345678901, \"id\": 1, \"id\": 2, \"choices\": [{\"message\": "
         "{\"content\": "
         "\"a\\u0000\\ud800b\\ud83d\\ude00\"}}], \"usage\": {\"prompt_tokens\": -3}}"),
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}
