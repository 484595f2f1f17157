/* schema.c - any bytes as a JSON schema: a clean error, or a guide under which texts of random tokens end as JSON. */
#include "fuzz.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "file/json.h"
#include "lm/guide.h"

#include <string.h>

enum { TOKENS_MOST = 300, SEEDS = 6 };

/* A byte a token, and a few longer ones. */
static sg_tokenizer *tokenizer(void)
{
    static sg_tokenizer *t;
    static const char *const more[] = {"\\\":\\\"", "true", "},{", "  ", "\\\\\\\"", "12"};
    sg_buf b = {0};
    sg_error err;

    if (t)
        return t;
    sg_buf_puts(&b, "{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    for (int i = 0, other = 256; i < 256; i++) {
        const bool plain = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
        const int c = plain ? i : other++;

        sg_buf_printf(&b, "%s\"\\u%04x\":%d", i ? "," : "", (unsigned)c, i);
    }
    for (int i = 0; i < 6; i++)
        sg_buf_printf(&b, ",\"%s\":%d", more[i], 256 + i);
    sg_buf_puts(&b, "}},\"decoder\":{\"type\":\"ByteLevel\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_"
                    "prefix_space\":false}}");
    FUZZ_CHECK(!b.failed && sg_tokenizer_from_json(&t, (sg_bytes){b.data, b.size}, "bytes", &err) == SG_OK);
    sg_buf_free(&b);
    return t;
}

/* Writes until the guide lets the text end and chance agrees, or it is long. */
static void wander(sg_guide *g, uint64_t turn)
{
    int32_t text[TOKENS_MOST];
    sg_guide_state s = g->begin;
    sg_error err = {0};
    size_t n = 0;

    for (; n < TOKENS_MOST; n++) {
        const int32_t *id;
        int32_t count;
        bool ends;

        if (sg_guide_next(g, &id, &count, &ends, s, &err)) {
            FUZZ_CHECK(err.message[0] && !strchr(err.message, '\n'));
            return;
        }
        FUZZ_CHECK(ends || count > 0);
        if (ends && (count == 0 || sg_rng_below(2, turn, SG_RNG_TEST, 1, n) == 0)) {
            sg_buf spelling = {0};
            json_t *root;

            FUZZ_CHECK(sg_tokenizer_decode(&spelling, tokenizer(), text, n, false, &err) == SG_OK);
            FUZZ_CHECK(sg_json_parse(&root, (sg_bytes){spelling.data, spelling.size}, "text", &err) == SG_OK);
            json_decref(root);
            sg_buf_free(&spelling);
            return;
        }
        text[n] = id[sg_rng_below((uint64_t)count, turn, SG_RNG_TEST, 0, n)];
        sg_guide_step(g, &s, text[n]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *root;
    sg_guide *g;
    sg_error err = {0};

    tokenizer(); /* before anything is counted */
    if (size > 4096 || sg_json_parse(&root, (sg_bytes){(const char *)data, size}, "fuzz", &err))
        return 0;
    if (sg_guide_schema(&g, root, tokenizer(), "fuzz", &err)) {
        FUZZ_CHECK(!g && strncmp(err.message, "fuzz: schema: ", 14) == 0 && !strchr(err.message, '\n'));
    } else {
        for (uint64_t turn = 0; turn < 3; turn++)
            wander(g, turn);
        sg_guide_free(g);
    }
    json_decref(root);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[SEEDS] = {
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":5},\"b\":{\"enum\":[1,"
        "\"x\",null]}},\"required\":[\"b\"]}",
        "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":-2,\"maximum\":3},\"minItems\":1,"
        "\"maxItems\":4}",
        "{\"anyOf\":[{\"type\":[\"number\",\"null\"]},{\"const\":{\"k\":[1.5,\"\\u00e9\"]}}]}",
        "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}}}",
        "{\"type\":\"string\",\"minLength\":2}",
        "{\"type\":\"number\",\"minimum\":0}",
    };

    if (i >= SEEDS)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}
