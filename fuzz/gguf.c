/* gguf.c - any bytes as a GGUF file: values and tensors that come out lie inside it, tensors decode, a tokenizer in it works. */
#include "token_kit.h"

#include "file/gguf.h"

static volatile double sink;

static double read_values(const sg_gguf *g)
{
    double sum = 0, x;

    for (size_t i = 0; i < sg_gguf_values(g); i++) {
        const sg_gguf_value *v = sg_gguf_value_at(g, i);
        sg_bytes s[4];

        FUZZ_CHECK(sg_gguf_find(g, v->key) == v);
        for (size_t k = 0; k < v->bytes; k++)
            sum += v->data[k];
        for (size_t k = 0; k < v->count && k < 100; k++)
            sum += sg_gguf_number(&x, v, k) ? x : 0;
        if (sg_gguf_strings(s, v->count < 4 ? v->count : 4, v))
            for (size_t k = 0; k < v->count && k < 4; k++)
                sum += s[k].size ? s[k].data[s[k].size - 1] : 0;
    }
    return sum;
}

static double read_tensors(const sg_gguf *g)
{
    float x[256];
    double sum = 0;
    sg_error err = {0};

    for (size_t i = 0; i < sg_gguf_count(g); i++) {
        const sg_gguf_tensor *t = sg_gguf_at(g, i);
        const size_t block = sg_gguf_block(t->type);

        FUZZ_CHECK(sg_gguf_tensor_find(g, t->name) == t);
        if (!block)
            FUZZ_CHECK(sg_gguf_decode(x, g, t, 0, 0, &err) == SG_ERR_FORMAT);
        for (size_t at = 0; block && at < t->count && at < 64 * block; at += block) {
            FUZZ_CHECK(sg_gguf_decode(x, g, t, at, block, &err) == SG_OK);
            sum += x[block - 1];
        }
        if (block && t->count) {
            FUZZ_CHECK(sg_gguf_decode(x, g, t, t->count - block, block, &err) == SG_OK);
            FUZZ_CHECK(sg_gguf_decode(x, g, t, t->count, block, &err) == SG_ERR_USAGE);
        }
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sg_gguf *g;
    sg_tokenizer *t;
    sg_error err = {0};

    if (sg_gguf_parse(&g, (sg_bytes){(const char *)data, size}, "fuzz", &err)) {
        FUZZ_CHECK(!g && strncmp(err.message, "fuzz", 4) == 0 && !strchr(err.message, '\n'));
        return 0;
    }
    sink = read_values(g) + read_tensors(g);
    if (sg_tokenizer_from_gguf(&t, g, &err) == SG_OK) {
        token_kit_use_all(t);
        sg_tokenizer_close(t);
    } else {
        FUZZ_CHECK(!t && strncmp(err.message, "fuzz", 4) == 0 && !strchr(err.message, '\n'));
    }
    json_t *form = NULL;
    if (sg_tokenizer_gguf_json(&form, g, &err) == SG_OK)
        json_decref(form);
    else
        FUZZ_CHECK(!form && strncmp(err.message, "fuzz", 4) == 0 && !strchr(err.message, '\n'));
    sg_gguf_close(g);
    return 0;
}

/* ---- seeds ---- */
static void put(sg_buf *b, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        sg_buf_putc(b, (char)(x >> (8 * i)));
}

static void put_string(sg_buf *b, const char *s)
{
    put(b, strlen(s), 8);
    sg_buf_puts(b, s);
}

static void put_text(sg_buf *b, const char *key, const char *value)
{
    put_string(b, key);
    put(b, SG_GGUF_STRING, 4);
    put_string(b, value);
}

static void put_list(sg_buf *b, const char *key, const char *const *list, size_t n)
{
    put_string(b, key);
    put(b, SG_GGUF_ARRAY, 4);
    put(b, SG_GGUF_STRING, 4);
    put(b, n, 8);
    for (size_t i = 0; i < n; i++)
        put_string(b, list[i]);
}

static void put_numbers(sg_buf *b, const char *key, int kind, const uint32_t *list, size_t n)
{
    put_string(b, key);
    put(b, SG_GGUF_ARRAY, 4);
    put(b, (uint64_t)kind, 4);
    put(b, n, 8);
    for (size_t i = 0; i < n; i++)
        put(b, list[i], 4);
}

static void put_tensor(sg_buf *b, const char *name, uint64_t columns, int type, uint64_t offset)
{
    put_string(b, name);
    put(b, 2, 4);
    put(b, columns, 8);
    put(b, 1, 8);
    put(b, (uint64_t)type, 4);
    put(b, offset, 8);
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const models[] = {"gpt2", "llama", "bert", "t5"};
    static const char *const tokens[] = {"<unk>", "<s>",          "a",      "b",
                                         "ab",    "\xe2\x96\x81", "<0x41>", "\xe2\x96\x81\x61"},
                             *const merges[] = {"a b"};
    static const uint32_t kinds[] = {2, 3, 1, 1, 1, 1, 6, 1},
                          scores[] = {0, 0, 0xbf800000, 0xc0000000, 0xbf000000, 0, 0, 0xbf800000};
    static const int types[] = {0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 30};

    if (i >= sizeof models / sizeof *models)
        return false;
    sg_buf_puts(out, "GGUF");
    put(out, 3, 4);
    put(out, 11, 8);
    put(out, 7, 8);
    put_text(out, "tokenizer.ggml.model", models[i]);
    put_text(out, "tokenizer.ggml.pre", "smollm");
    put_list(out, "tokenizer.ggml.tokens", tokens, 8);
    put_list(out, "tokenizer.ggml.merges", merges, 1);
    put_numbers(out, "tokenizer.ggml.token_type", SG_GGUF_I32, kinds, 8);
    put_numbers(out, "tokenizer.ggml.scores", SG_GGUF_F32, scores, 8);
    put_numbers(out, "tokenizer.ggml.unknown_token_id", SG_GGUF_U32, kinds, 0);
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        char name[8] = {'t', (char)('a' + k)};

        put_tensor(out, name, 256, types[k], 0);
    }
    while (out->size % 32)
        sg_buf_putc(out, 0);
    for (int k = 0; k < 1024; k++)
        sg_buf_putc(out, (char)(k * 37));
    return true;
}
