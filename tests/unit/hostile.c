/* hostile.c - weights, configs and GGUF files that a stranger may have made (hostile.h). */
#include "hostile.h"

#include "file/gguf.h"
#include "file/json.h"
#include "file/safetensors.h"
#include "lm/llama.h"

static int setup(void **state)
{
    char path[300];
    sg_buf weights = {0};
    sg_error err;

    (void)state;
    if (scratch_make(dir, "hostile"))
        return -1;
    snprintf(path, sizeof path, "%s/model.safetensors", dir); /* for folders whose config.json is looked at */
    const bool failed =
        sg_file_read(&weights, TEST_SOURCE_DIR "/tests/parity/llama/model.safetensors", MIB, &err) ||
        sg_file_write(path, weights.data, weights.size, &err);
    sg_buf_free(&weights);
    return failed ? -1 : 0;
}

static int teardown(void **state)
{
    sg_error err;

    (void)state;
    return sg_dir_remove(dir, &err);
}

static sg_status open_safetensors(const char *path, sg_error *err)
{
    sg_tensors *t;
    const sg_status st = sg_tensors_open(&t, path, err);

    sg_tensors_close(t);
    return st;
}

static sg_status open_gguf(const char *path, sg_error *err)
{
    sg_gguf *g;
    sg_llama_config c;
    sg_status st = sg_gguf_open(&g, path, err);

    if (!st)
        st = sg_llama_config_gguf(&c, g, err);
    sg_gguf_close(g);
    return st;
}

/* The model of the folder that the config.json is in. */
static sg_status open_config(const char *path, sg_error *err)
{
    char folder[300];
    sg_llama *m;

    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    const sg_status st = sg_llama_open(&m, folder, err);
    sg_llama_close(m);
    return st;
}

static const hostile_kind kinds[] = {{"safetensors", open_safetensors},
                                     {"gguf", open_gguf},
                                     {"tokenizer", open_tokenizer},
                                     {"config", open_config}};

/* ---- JSON ------------------------------------------------------------------------------------------------------------------- */
static void config_json(void **state)
{
    (void)state;
    static const size_t bytes[] = {500 << 10, 15 << 20};

    for (size_t i = 0; i < N_DENSE; i++)
        for (size_t k = 0; k < 2; k++) {
            char what[100];
            sg_buf b = {0};

            sg_buf_puts(&b, "{\"model_type\": \"llama\", \"x\": [");
            repeat(&b, dense[i], bytes[k]);
            sg_buf_puts(&b, "0]}");
            snprintf(what, sizeof what, "config.json of %.20s", dense[i]);
            check(what, "config", "config.json", &b, MOST, "config.json:");
            sg_buf_free(&b);
        }
    sg_buf b = {0};
    sg_buf_puts(&b, "{\"x\": \"");
    repeat(&b, "abcdefgh", 15 << 20);
    sg_buf_puts(&b, "\"}");
    check("config.json of one long text", "config", "config.json", &b, MOST, "config.json:");
    sg_buf_free(&b);
}

static uint64_t add_member(sg_buf *b, int i, uint64_t at, const char *shape, uint64_t bytes)
{
    sg_buf_printf(b, "%s\"t%d\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%llu,%llu]}", i ? "," : "",
                  i, shape, (unsigned long long)at, (unsigned long long)(at + bytes));
    return at + bytes;
}

/* Length, header, then so many bytes of data. */
static sg_buf safetensors_of(const sg_buf *header, size_t data)
{
    sg_buf b = {0};

    assert_false(header->failed);
    for (int i = 0; i < 8; i++)
        sg_buf_putc(&b, (char)(header->size >> (8 * i)));
    sg_buf_add(&b, header->data, header->size);
    for (size_t i = 0; i < data; i++)
        sg_buf_putc(&b, 1);
    return b;
}

static void safetensors(void **state)
{
    (void)state;
    sg_buf header = {0}, file;

    for (size_t i = 0; i < N_DENSE; i++) {
        char what[100];

        header.size = 0;
        sg_buf_puts(&header, "{\"a\":{\"dtype\":\"F32\",\"shape\":[");
        repeat(&header, dense[i], 12 << 20);
        sg_buf_puts(&header, "0],\"data_offsets\":[0,0]}}");
        file = safetensors_of(&header, 0);
        snprintf(what, sizeof what, "safetensors, a shape of %.20s", dense[i]);
        check(what, "safetensors", "x.safetensors", &file, MOST,
              "header: expected JSON that takes at most 48 MiB of memory");
        sg_buf_free(&file);
    }
    for (int n = 20000; n <= 400000; n *= 20) { /* tensors */
        uint64_t at = 0;

        header.size = 0;
        sg_buf_puts(&header, "{");
        for (int i = 0; i < n; i++)
            at = add_member(&header, i, at, "[1]", 4);
        sg_buf_puts(&header, "}");
        file = safetensors_of(&header, (size_t)at);
        check(n == 20000 ? "safetensors, 20,000 tensors" : "safetensors, 400,000 tensors", "safetensors",
              "x.safetensors", &file, MOST, n == 20000 ? NULL : "header: expected JSON that takes");
        sg_buf_free(&file);
    }
    for (size_t mib = 8; mib <= 90; mib *= 11) { /* a text */
        header.size = 0;
        sg_buf_puts(&header, "{\"__metadata__\":{\"log\":\"");
        repeat(&header, "abcdefgh", mib << 20);
        sg_buf_puts(&header, "\"}}");
        file = safetensors_of(&header, 0);
        check("safetensors, a long text", "safetensors", "x.safetensors", &file, MOST,
              mib == 8 ? NULL : "header: expected JSON that takes");
        sg_buf_free(&file);
    }
    header.size = 0;
    sg_buf_puts(&header, "{");
    add_member(&header, 0, 0, "[41943040]", 160u << 20);
    sg_buf_puts(&header, header.size % 4 ? "}" : "} "); /* data that lies between numbers is copied */
    file = safetensors_of(&header, 160u << 20);
    check("safetensors, a tensor to copy", "safetensors", "x.safetensors", &file, MOST, NULL);
    sg_buf_free(&file);
    sg_buf_free(&header);
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------------------- */
static void put(sg_buf *b, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        sg_buf_putc(b, i < 8 ? (char)(x >> (8 * i)) : 0);
}

static void put_text(sg_buf *b, const char *s)
{
    put(b, strlen(s), 8);
    sg_buf_puts(b, s);
}

static sg_buf gguf_of(uint64_t tensors, uint64_t values)
{
    sg_buf b = {0};

    sg_buf_puts(&b, "GGUF");
    put(&b, 3, 4);
    put(&b, tensors, 8);
    put(&b, values, 8);
    return b;
}

static void gguf(void **state)
{
    (void)state;
    sg_buf b;

    for (int kind = 0; kind < 2;
         kind++) /* as many as the file may hold, of which not one is there, or all are */
        for (int there = 0; there < 2; there++) {
            const uint64_t n = 1 << 20;
            char name[20];

            b = kind ? gguf_of(n, 0) : gguf_of(0, n);
            for (uint64_t i = 0; i < (there ? n : 0); i++) {
                snprintf(name, sizeof name, "%llu", (unsigned long long)i);
                put_text(&b, name);
                put(&b, kind ? 0 : SG_GGUF_U8, 4);
                put(&b, 0, kind ? 12 : 1);
            }
            if (!there)
                repeat(&b, "xxxxxxxx", (size_t)n * (kind ? 24 : 13) + 64);
            check(kind ? "GGUF, tensors" : "GGUF, key-values", "gguf", "x.gguf", &b, MOST,
                  "expected at most 65536 key-values and tensors");
            sg_buf_free(&b);
        }
    b = gguf_of(0, 65536); /* long names */
    for (int i = 0; i < 1000; i++) {
        put(&b, 60000, 8);
        repeat(&b, "abcdefgh", 60000 - 8);
        sg_buf_printf(&b, "%08d", i);
        put(&b, SG_GGUF_U8, 4);
        put(&b, 0, 1);
    }
    check("GGUF, long keys", "gguf", "x.gguf", &b, MOST, "expected keys and names of at most 8388608 bytes");
    sg_buf_free(&b);
    b = gguf_of(0, 1);
    put_text(&b, "a");
    put(&b, SG_GGUF_ARRAY, 4);
    put(&b, SG_GGUF_STRING, 4);
    put(&b, 1 << 20, 8);
    for (int i = 0; i < 1 << 20; i++)
        put(&b, 0, 8);
    check("GGUF, an array of texts", "gguf", "x.gguf", &b, MOST, "general.architecture");
    sg_buf_free(&b);
}

/* Tokens with digits behind them, up to so many bytes; -1: a, aa, aaa ...; kind: what all but the first are, 0: that is not said. */
static sg_buf gguf_tokens(const char *model, int n, int merges, int digits, int kind)
{
    sg_buf b = gguf_of(0, kind ? 6 : 5);
    char s[4000];

    put_text(&b, "tokenizer.ggml.model");
    put(&b, SG_GGUF_STRING, 4);
    put_text(&b, model);
    put_text(&b, "tokenizer.ggml.pre");
    put(&b, SG_GGUF_STRING, 4);
    put_text(&b, "smollm");
    put_text(&b, "tokenizer.ggml.unknown_token_id");
    put(&b, SG_GGUF_U32, 4);
    put(&b, 0, 4);
    put_text(&b, "tokenizer.ggml.tokens");
    put(&b, SG_GGUF_ARRAY, 4);
    put(&b, SG_GGUF_STRING, 4);
    put(&b, (uint64_t)n, 8);
    for (int i = 0; i < n; i++) {
        spell(s, i);
        if (digits < 0)
            snprintf(s, sizeof s, "%0*d", i + 1, 0);
        uint32_t x = (uint32_t)i;
        for (int k = (int)strlen(s); k < digits; k++, x = x * 31 + 7) {
            s[k] = (char)('0' + (x >> 4 & 7));
            s[k + 1] = 0;
        }
        put_text(&b, s);
    }
    if (kind) {
        put_text(&b, "tokenizer.ggml.token_type");
        put(&b, SG_GGUF_ARRAY, 4);
        put(&b, SG_GGUF_I32, 4);
        put(&b, (uint64_t)n, 8);
        for (int i = 0; i < n; i++)
            put(&b, i ? (uint64_t)kind : 2, 4);
    }
    put_text(&b, "tokenizer.ggml.merges");
    put(&b, SG_GGUF_ARRAY, 4);
    put(&b, SG_GGUF_STRING, 4);
    put(&b, (uint64_t)merges, 8);
    for (int i = 0; i < merges; i++) {
        const size_t size = spell(s, 26 + i % (n - 26)), cut = size - 1;

        memmove(s + cut + 1, s + cut, 2);
        s[cut] = ' ';
        put_text(&b, s);
    }
    return b;
}

static void gguf_tokenizers(void **state)
{
    (void)state;
    static const struct {
        const char *what, *model;
        int n, merges, digits, kind;
        const char *refused;
    } cases[] = {{"GGUF, 262,144 tokens and merges", "gpt2", 262144, 524288, 0, 0, NULL},
                 {"GGUF, 400,000 tokens and 524,288 merges", "gpt2", 400000, 1 << 19, 0, 0, NULL},
                 {"GGUF, 600,000 tokens", "gpt2", 600000, 1, 0, 0,
                  "'tokenizer.ggml.tokens': expected at most 400000, found 600000"},
                 {"GGUF, 2,000,000 merges", "gpt2", 1000, 2000000, 0, 0,
                  "'tokenizer.ggml.merges': expected at most 524288, found 2000000"},
                 {"GGUF, 262,144 tokens of BERT", "bert", 262144, 1, 0, 0, NULL},
                 {"GGUF, 100,000 long tokens", "bert", 100000, 1, 300, 0,
                  "'tokenizer.ggml.tokens': expected at most 4194304 bytes, found 300"},
                 {"GGUF, 20,000 long tokens", "bert", 20000, 1, 200, 0,
                  "expected tokens with at most 1048576 different beginnings"},
                 {"GGUF, 300,000 longer tokens", "bert", 300000, 1, 13, 0,
                  "expected tokens with at most 1048576 different beginnings"},
                 {"GGUF, 262,144 tokens of SentencePiece", "llama", 262144, 1, 0, 1, NULL},
                 {"GGUF, 390,000 tokens of SentencePiece", "llama", 390000, 1, 0, 1,
                  "put together in at most 1048576 ways, found 1117718"},
                 {"GGUF, tokens within tokens", "llama", 2800, 1, -1, 1,
                  "put together in at most 1048576 ways, found 39"},
                 {"GGUF, 390,000 tokens of Unigram", "t5", 390000, 1, 0, 1, NULL},
                 {"GGUF, 390,000 added tokens", "llama", 390000, 1, 0, 4,
                  "expected at most 100000 tokens beside the model's own, found 389999"},
                 {"GGUF, 100,000 added tokens", "llama", 100000, 1, 0, 4, NULL}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_buf b = gguf_tokens(cases[i].model, cases[i].n, cases[i].merges, cases[i].digits, cases[i].kind);

        check(cases[i].what, "tokenizer", "t.gguf", &b, MOST, cases[i].refused);
        sg_buf_free(&b);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return open_here(kinds, sizeof kinds / sizeof *kinds, argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_json),
        cmocka_unit_test(safetensors),
        cmocka_unit_test(gguf),
        cmocka_unit_test(gguf_tokenizers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
