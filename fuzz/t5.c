/* t5.c - any bytes as the .gguf file of a T5, tokenizer and all: a clean error, or a model that reads a text and writes two tokens. */
#include "learn_kit.h"

#include "base/io.h"
#include "file/gguf_write.h"
#include "lm/t5_parts.h"

enum { SEED_DIM = 8, SEED_HEADS = 2, SEED_FFN = 12, SEED_TOKENS = 6, READ_MOST = 64 };

static volatile float sink;

static void use(const sg_t5 *m)
{
    const sg_t5_config *c = sg_t5_config_of(m);
    float *logits = sg_alloc_array((size_t)c->vocab, sizeof *logits);
    sg_encode_how how = {.most = READ_MOST};
    const int32_t *id;
    size_t n = 0;
    sg_encoder *e;
    sg_desk *d;
    int text, known;

    FUZZ_CHECK(logits && sg_encoder_new(&e, sg_t5_tokenizer(m), NULL) == SG_OK);
    FUZZ_CHECK(sg_encoder_run(&id, &n, e, (sg_bytes){"a b", 3}, &how, NULL) == SG_OK && n <= READ_MOST);
    if (sg_t5_writes(m) && n > 0) {
        const int32_t write[] = {c->start, c->end};

        FUZZ_CHECK(sg_t5_desk(&d, m, 2, NULL, NULL) == SG_OK &&
                   sg_desk_begin(d, &text, &known, id, (int)n, NULL) == SG_OK);
        FUZZ_CHECK(sg_desk_read(d, &(sg_piece){.text = text, .id = write, .n = 2, .logits = logits}, 1,
                                NULL) == SG_OK);
        for (int i = 0; i < c->vocab; i++)
            sink += logits[i];
        sg_desk_free(d);
    }
    sg_encoder_free(e);
    sg_free(logits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[128];
    bool is;
    sg_t5 *m;
    sg_error err = {0};

    kit_model(); /* makes the folder */
    if (!kit_put(0, "model.gguf", data, size))
        return 0;
    snprintf(path, sizeof path, "%s/model.gguf", kit_dir);
    if (sg_t5_is_at(&is, path, &err) || sg_t5_open(&m, path, &err)) {
        FUZZ_CHECK(*err.message && !strchr(err.message, '\n'));
        return 0;
    }
    FUZZ_CHECK(is && m->config.dim > 0 && m->config.heads > 0 && m->config.head_dim > 0 &&
               m->config.vocab >= sg_tokenizer_size(m->tokenizer));
    use(m);
    sg_t5_close(m);
    return 0;
}

static void put_tensors(sg_gguf_out *o, const sg_t5_config *c, bool numbers)
{
    static const float zeros[256];
    const struct {
        const char *name;
        int rows, in;
    } whole[] = {{"token_embd.weight", SEED_TOKENS, SEED_DIM},
                 {"enc.output_norm.weight", SEED_DIM, 0},
                 {"dec.output_norm.weight", SEED_DIM, 0}};

    for (int i = 0; i < 3 + 2 * SG_T5_PARTS; i++) {
        const bool decoder = i >= 3 + SG_T5_PARTS;
        const sg_t5_part part = (sg_t5_part)((i - 3 + SG_T5_PARTS) % SG_T5_PARTS);
        char name[96 + 8];
        int rows, in;

        if (i < 3) {
            snprintf(name, sizeof name, "%s", whole[i].name);
            rows = whole[i].rows;
            in = whole[i].in;
        } else {
            if (!sg_t5_has(c, decoder, 0, part))
                continue;
            sg_t5_name(name, c, true, decoder, 0, part);
            strcat(name, ".weight");
            sg_t5_shape(&rows, &in, c, part);
        }
        if (numbers)
            FUZZ_CHECK(sg_gguf_out_put(o, zeros, (size_t)rows * (size_t)(in ? in : 1), NULL) == SG_OK);
        else if (in)
            sg_gguf_out_tensor(o, name, SG_GGUF_F32_TYPE, 2,
                               (const uint64_t[]){(uint64_t)in, (uint64_t)rows});
        else
            sg_gguf_out_tensor(o, name, SG_GGUF_F32_TYPE, 1, (const uint64_t[]){(uint64_t)rows});
    }
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const sg_bytes token[SEED_TOKENS] = {{"<pad>", 5},
                                                {"</s>", 4},
                                                {"<unk>", 5},
                                                {"\xe2\x96\x81", 3},
                                                {"a", 1},
                                                {"\xe2\x96\x81"
                                                 "b",
                                                 4}};
    static const int32_t kind[SEED_TOKENS] = {3, 3, 2, 1, 1, 1};
    static const float score[SEED_TOKENS] = {0, 0, 0, -2, -3, -4};
    static const struct {
        const char *key;
        uint32_t value;
    } sizes[] = {{"t5.embedding_length", SEED_DIM},    {"t5.attention.head_count", SEED_HEADS},
                 {"t5.attention.key_length", 4},       {"t5.block_count", 1},
                 {"t5.feed_forward_length", SEED_FFN}, {"t5.attention.relative_buckets_count", 8},
                 {"tokenizer.ggml.eos_token_id", 1},   {"tokenizer.ggml.unknown_token_id", 2}};
    const sg_t5_config c = {
        .dim = SEED_DIM, .heads = SEED_HEADS, .head_dim = 4, .ffn = SEED_FFN, .buckets = 8, .gated = i == 1};
    char path[128];
    sg_gguf_out *o;
    sg_error err;

    if (i > 1)
        return false;
    kit_model();
    FUZZ_CHECK(kit_put(0, "seed.gguf", (const uint8_t *)"", 0));
    snprintf(path, sizeof path, "%s/seed.gguf", kit_dir);
    FUZZ_CHECK(sg_gguf_out_new(&o, &err) == SG_OK);
    sg_gguf_out_string(o, "general.architecture", (sg_bytes){"t5", 2});
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        sg_gguf_out_u32(o, sizes[k].key, sizes[k].value);
    sg_gguf_out_string(o, "tokenizer.ggml.model", (sg_bytes){"t5", 2});
    sg_gguf_out_strings(o, "tokenizer.ggml.tokens", token, SEED_TOKENS);
    sg_gguf_out_f32s(o, "tokenizer.ggml.scores", score, SEED_TOKENS);
    sg_gguf_out_i32s(o, "tokenizer.ggml.token_type", kind, SEED_TOKENS);
    put_tensors(o, &c, false);
    FUZZ_CHECK(sg_gguf_out_begin(o, path, &err) == SG_OK);
    put_tensors(o, &c, true);
    FUZZ_CHECK(sg_gguf_out_commit(o, &err) == SG_OK);
    sg_gguf_out_free(o);
    out->size = 0;
    FUZZ_CHECK(sg_file_read(out, path, 1 << 20, &err) == SG_OK);
    return true;
}
