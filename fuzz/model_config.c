/* model_config.c - any bytes as the config.json of a language model: a clean error, or sizes within their bounds; with the tensors of
 * an empty file behind it, opening fails cleanly, whatever the sizes. The same for the key-values of a GGUF file. */
#include "fuzz.h"

#include "file/json.h"
#include "lm/bert.h"
#include "lm/llama.h"
#include "lm/t5.h"

#include <string.h>

static const char empty[] = "\x08\0\0\0\0\0\0\0{}      ";

static void try_bert(const json_t *config)
{
    sg_bert_config c;
    sg_tensors *file;
    sg_weights *w;
    sg_bert b;
    sg_error err = {0};

    if (sg_bert_config_read(&c, config, "fuzz", &err)) {
        FUZZ_CHECK(strncmp(err.message, "fuzz:", 5) == 0 && !strchr(err.message, '\n'));
        return;
    }
    FUZZ_CHECK(c.dim > 0 && c.heads > 0 && c.dim % c.heads == 0 && c.ffn > 0 && c.vocab > 0 &&
               c.places > c.place_first);
    FUZZ_CHECK(c.layers > 0 && c.layers <= 1000);
    FUZZ_CHECK(sg_tensors_parse(&file, (sg_bytes){empty, 16}, "fuzz", &err) == SG_OK);
    FUZZ_CHECK(sg_weights_over(&w, file, NULL, &err) == SG_OK);
    FUZZ_CHECK(sg_bert_open(&b, &c, w, &err) == SG_ERR_FORMAT && !strchr(err.message, '\n'));
    sg_weights_close(w);
    sg_tensors_close(file);
}

static void check_llama(const sg_llama_config *c)
{
    FUZZ_CHECK(c->dim > 0 && c->layers > 0 && c->layers <= 1000 && c->heads > 0 && c->kv_heads > 0 &&
               c->heads % c->kv_heads == 0);
    FUZZ_CHECK(c->head_dim > 0 && c->head_dim % 2 == 0 && c->ffn > 0 && c->vocab > 0 && c->places > 0);
    FUZZ_CHECK(c->eps >= 0 && c->theta >= 1 && c->end >= -1);
}

static void open_llama(const sg_llama_config *c, const sg_tensors *file, const sg_gguf *gguf)
{
    sg_weights *w;
    sg_llama *m;
    sg_error err = {0};

    check_llama(c);
    FUZZ_CHECK(sg_weights_over(&w, file, gguf, &err) == SG_OK);
    if (sg_llama_over(&m, c, w, NULL, &err) == SG_OK)
        sg_llama_close(m);
    else
        FUZZ_CHECK(!m && !strchr(err.message, '\n'));
    sg_weights_close(w);
}

static void try_llama(const json_t *config)
{
    sg_llama_config c;
    sg_tensors *file;
    sg_error err = {0};

    if (sg_llama_config_read(&c, config, "fuzz", &err)) {
        FUZZ_CHECK(strncmp(err.message, "fuzz:", 5) == 0 && !strchr(err.message, '\n'));
        return;
    }
    FUZZ_CHECK(sg_tensors_parse(&file, (sg_bytes){empty, 16}, "fuzz", &err) == SG_OK);
    open_llama(&c, file, NULL);
    sg_tensors_close(file);
}

static void try_t5(const json_t *config)
{
    sg_t5_config c;
    sg_error err = {0};

    if (sg_t5_config_read(&c, config, "fuzz", &err)) {
        FUZZ_CHECK(strncmp(err.message, "fuzz:", 5) == 0 && !strchr(err.message, '\n'));
        return;
    }
    FUZZ_CHECK(c.dim > 0 && c.head_dim > 0 && c.heads > 0 && c.layers > 0 && c.layers_decoder > 0 &&
               c.ffn > 0);
    FUZZ_CHECK(c.buckets >= 4 && c.distance > c.buckets / 2 && c.eps >= 0);
    FUZZ_CHECK(c.start >= 0 && c.start < c.vocab && c.end >= 0 && c.end < c.vocab);
}

static void try_gguf(sg_bytes bytes)
{
    sg_llama_config c;
    sg_gguf *file;
    sg_error err = {0};

    if (sg_gguf_parse(&file, bytes, "fuzz", &err))
        return;
    if (sg_llama_config_gguf(&c, file, &err) == SG_OK)
        open_llama(&c, NULL, file);
    else
        FUZZ_CHECK(strncmp(err.message, "fuzz:", 5) == 0 && !strchr(err.message, '\n'));
    sg_gguf_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const sg_bytes bytes = {(const char *)data, size};
    json_t *config;
    sg_error err = {0};

    if (size >= 4 && memcmp(data, "GGUF", 4) == 0) {
        try_gguf(bytes);
        return 0;
    }
    if (sg_json_parse(&config, bytes, "fuzz", &err))
        return 0;
    try_bert(config);
    try_llama(config);
    try_t5(config);
    json_decref(config);
    return 0;
}

static void put(sg_buf *b, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        sg_buf_putc(b, (char)(x >> (8 * i)));
}

static void put_key(sg_buf *b, const char *key, uint32_t kind)
{
    put(b, strlen(key), 8);
    sg_buf_puts(b, key);
    put(b, kind, 4);
}

/* A whole model of one layer: dim 32, 2 heads, 2 tokens, all in Q8_0 but the norms. */
static void put_gguf(sg_buf *b)
{
    static const struct {
        const char *key;
        uint32_t value;
    } values[] = {{"llama.embedding_length", 32},    {"llama.block_count", 1},
                  {"llama.attention.head_count", 2}, {"llama.feed_forward_length", 32},
                  {"llama.context_length", 8},       {"llama.vocab_size", 2}};
    static const struct {
        const char *name;
        uint64_t rows; /* 0: a vector */
    } tensors[] = {
        {"token_embd.weight", 2},     {"output_norm.weight", 0},        {"blk.0.attn_norm.weight", 0},
        {"blk.0.ffn_norm.weight", 0}, {"blk.0.attn_q.weight", 32},      {"blk.0.attn_k.weight", 32},
        {"blk.0.attn_v.weight", 32},  {"blk.0.attn_output.weight", 32}, {"blk.0.ffn_gate.weight", 32},
        {"blk.0.ffn_up.weight", 32},  {"blk.0.ffn_down.weight", 32}};
    const size_t n_values = sizeof values / sizeof *values, n_tensors = sizeof tensors / sizeof *tensors;

    sg_buf_puts(b, "GGUF");
    put(b, 3, 4);
    put(b, n_tensors, 8);
    put(b, n_values + 1, 8);
    put_key(b, "general.architecture", SG_GGUF_STRING);
    put(b, 5, 8);
    sg_buf_puts(b, "llama");
    for (size_t i = 0; i < n_values; i++) {
        put_key(b, values[i].key, SG_GGUF_U32);
        put(b, values[i].value, 4);
    }
    for (size_t i = 0; i < n_tensors; i++) { /* all begin at the same bytes */
        put_key(b, tensors[i].name, tensors[i].rows ? 2 : 1);
        put(b, 32, 8);
        if (tensors[i].rows)
            put(b, tensors[i].rows, 8);
        put(b, tensors[i].rows ? 8 : 0, 4);
        put(b, 0, 8);
    }
    while (b->size % 32)
        sg_buf_putc(b, 0);
    for (int i = 0; i < 34 * 32; i++)
        sg_buf_putc(b, (char)i);
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        "{\"model_type\":\"bert\",\"hidden_size\":24,\"num_hidden_layers\":2,\"num_attention_heads\":3,"
        "\"intermediate_size\":40,"
        "\"vocab_size\":30,\"max_position_embeddings\":16,\"type_vocab_size\":2,\"hidden_act\":\"gelu\","
        "\"layer_norm_eps\":1e-12,"
        "\"position_embedding_type\":\"absolute\",\"pad_token_id\":0}",
        "{\"model_type\":\"xlm-roberta\",\"hidden_size\":65536,\"num_hidden_layers\":1,\"num_attention_"
        "heads\":4096,\"intermediate_size\":"
        "1048576,\"vocab_size\":16777216,\"max_position_embeddings\":514,\"type_vocab_size\":1,\"pad_token_"
        "id\":1}",
        "{\"model_type\":\"qwen3\",\"hidden_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
        "\"num_key_value_heads\":2,"
        "\"head_dim\":16,\"intermediate_size\":64,\"vocab_size\":40,\"max_position_embeddings\":64,\"rms_"
        "norm_eps\":1e-6,"
        "\"rope_theta\":1e6,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
        "\"high_freq_factor\":4,"
        "\"original_max_position_embeddings\":8192},\"tie_word_embeddings\":true,\"eos_token_"
        "id\":[1,2],"
        "\"hidden_act\":\"silu\"}",
        "{\"model_type\":\"t5\",\"d_model\":32,\"d_kv\":8,\"num_heads\":4,\"num_layers\":1,\"d_ff\":48,"
        "\"vocab_size\":40,"
        "\"num_decoder_layers\":2,\"feed_forward_proj\":\"gated-gelu\",\"layer_norm_epsilon\":1e-6,\"eos_"
        "token_id\":1,"
        "\"relative_attention_num_buckets\":32,\"relative_attention_max_distance\":128,\"tie_word_"
        "embeddings\":false}",
    };

    if (i == sizeof seeds / sizeof *seeds) {
        put_gguf(out);
        return true;
    }
    if (i > sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}
