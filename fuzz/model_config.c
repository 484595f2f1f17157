/* model_config.c - any bytes as the config.json of a language model: a clean error, or sizes within their bounds; with the tensors of
 * an empty file behind it, opening fails cleanly, whatever the sizes. */
#include "fuzz.h"

#include "file/json.h"
#include "lm/bert.h"

#include <string.h>

static void try_bert(const json_t *config)
{
    static const char empty[] = "\x08\0\0\0\0\0\0\0{}      ";
    sg_bert_config c;
    sg_tensors *file;
    sg_weights *w;
    sg_bert b;
    sg_error err = {0};

    if (sg_bert_config_read(&c, config, "fuzz", &err)) {
        FUZZ_CHECK(strncmp(err.message, "fuzz:", 5) == 0 && !strchr(err.message, '\n'));
        return;
    }
    FUZZ_CHECK(c.dim > 0 && c.heads > 0 && c.dim % c.heads == 0 && c.ffn > 0 && c.vocab > 0 && c.places > c.place_first);
    FUZZ_CHECK(c.layers > 0 && c.layers <= 1000);
    FUZZ_CHECK(sg_tensors_parse(&file, (sg_bytes){empty, 16}, "fuzz", &err) == SG_OK);
    FUZZ_CHECK(sg_weights_over(&w, file, NULL, &err) == SG_OK);
    FUZZ_CHECK(sg_bert_open(&b, &c, w, &err) == SG_ERR_FORMAT && !strchr(err.message, '\n'));
    sg_weights_close(w);
    sg_tensors_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *config;
    sg_error err = {0};

    if (sg_json_parse(&config, (sg_bytes){(const char *)data, size}, "fuzz", &err))
        return 0;
    try_bert(config);
    json_decref(config);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        "{\"model_type\":\"bert\",\"hidden_size\":24,\"num_hidden_layers\":2,\"num_attention_heads\":3,\"intermediate_size\":40,"
        "\"vocab_size\":30,\"max_position_embeddings\":16,\"type_vocab_size\":2,\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12,"
        "\"position_embedding_type\":\"absolute\",\"pad_token_id\":0}",
        "{\"model_type\":\"xlm-roberta\",\"hidden_size\":65536,\"num_hidden_layers\":1,\"num_attention_heads\":4096,\"intermediate_size\":"
        "1048576,\"vocab_size\":16777216,\"max_position_embeddings\":514,\"type_vocab_size\":1,\"pad_token_id\":1}",
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}
