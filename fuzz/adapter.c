/* adapter.c - any bytes as the two files of an adapter, a 0 byte between them: a clean error, or low-rank parts that fit the model. */
#include "learn_kit.h"

#include "lm/adapter.h"

static volatile float sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = memchr(data, 0, size);
    const size_t first = cut ? (size_t)(cut - data) : size;
    sg_llama *m = kit_model();
    sg_adapter *a;
    sg_error err = {0};

    if (!kit_put(0, "adapter_config.json", data, first) ||
        !kit_put(1, "adapter_model.safetensors", cut ? cut + 1 : data, cut ? size - first - 1 : 0))
        return 0;
    if (sg_adapter_open(&a, kit_dir, (sg_adapter_host[]){sg_llama_host(m)}, &err)) {
        FUZZ_CHECK(!a && strncmp(err.message, kit_dir, strlen(kit_dir)) == 0 && !strchr(err.message, '\n'));
        return 0;
    }
    for (size_t i = 0; i < a->params.n; i++) {
        const sg_param *p = a->params.list[i];

        FUZZ_CHECK(p->value && !p->mapped &&
                   p->count == (size_t)p->dim[0] * (size_t)(p->rank == 2 ? p->dim[1] : 1));
        for (size_t k = 0; k < p->count; k++)
            sink += p->value[k];
    }
    for (int i = 0; i < KIT_LAYERS * SG_PARTS; i++) {
        int out, in;

        sg_part_shape(&out, &in, sg_llama_config_of(m), (sg_part)(i % SG_PARTS));
        FUZZ_CHECK(!a->low[i].a == !a->low[i].b);
        if (a->low[i].a)
            FUZZ_CHECK(a->low[i].a->dim[1] == (a->low[i].behind ? out : in) && a->low[i].b->dim[0] == out &&
                       a->low[i].a->dim[0] == a->low[i].b->dim[1]);
    }
    for (int t = 0; t < 2; t++) {
        const sg_row_set *s = t ? &a->output : &a->words;

        for (int k = 0; k < s->n; k++)
            FUZZ_CHECK(s->id[k] >= 0 && s->id[k] < a->vocab && (k == 0 || s->id[k - 1] < s->id[k]) &&
                       s->rows->dim[0] == s->n);
    }
    sg_llama_adapt(m, a);
    FUZZ_CHECK(sg_llama_places(m) >= 1);
    sg_llama_adapt(m, NULL);
    sg_adapter_free(a);
    return 0;
}

static void put_tensors(sg_buf *out, const char *header, size_t numbers)
{
    const size_t n = (strlen(header) + 7) / 8 * 8;

    for (int i = 0; i < 8; i++)
        sg_buf_putc(out, (char)(n >> (8 * i)));
    sg_buf_puts(out, header);
    for (size_t i = strlen(header); i < n; i++)
        sg_buf_putc(out, ' ');
    for (size_t i = 0; i < 4 * numbers; i++)
        sg_buf_putc(out, (char)(i % 4 == 3 ? 0x3f : 0));
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char lora[] = "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4.0,\"lora_dropout\":0.1,"
                               "\"use_rslora\":true,\"bias\":\"none\","
                               "\"base_model_name_or_path\":\"x\",\"target_modules\":[\"q_proj\"]}";
    static const char parts[] = "{\"base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight\":{"
                                "\"dtype\":\"F32\",\"shape\":[2,4],"
                                "\"data_offsets\":[0,32]},\"base_model.model.model.layers.1.self_attn.q_proj."
                                "lora_B.weight\":{\"dtype\":\"F32\","
                                "\"shape\":[4,2],\"data_offsets\":[32,64]}}";
    static const char prompt[] = "{\"peft_type\":\"PROMPT_TUNING\",\"num_virtual_tokens\":3,\"token_dim\":4}";
    static const char vectors[] =
        "{\"prompt_embeddings\":{\"dtype\":\"F16\",\"shape\":[3,4],\"data_offsets\":[0,24]}}";

    static const char ranks[] = "{\"peft_type\":\"LORA\",\"r\":8,\"lora_alpha\":4.0,\"rank_pattern\":{"
                                "\"model.layers.1.self_attn.q_proj\":2}}";

    static const char behind[] = "{\"peft_type\":\"BOTTLENECK\",\"r\":2,\"non_linearity\":\"gelu\"}";
    static const char layers[] =
        "{\"base_model.model.model.layers.0.mlp.down_proj.adapter_down.bias\":{\"dtype\":\"F32\",\"shape\":["
        "2],"
        "\"data_offsets\":[0,8]},\"base_model.model.model.layers.0.mlp.down_proj.adapter_down.weight\":{"
        "\"dtype\":\"F32\","
        "\"shape\":[2,4],\"data_offsets\":[8,40]},\"base_model.model.model.layers.0.mlp.down_proj.adapter_up."
        "bias\":{"
        "\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[40,56]},\"base_model.model.model.layers.0.mlp."
        "down_proj."
        "adapter_up.weight\":{\"dtype\":\"F32\",\"shape\":[4,2],\"data_offsets\":[56,88]}}";

    static const char rows[] = "{\"peft_type\":\"TRAINABLE_TOKENS\",\"token_indices\":[2,1],\"target_"
                               "modules\":[\"embed_tokens\",\"lm_head\"]}";
    static const char deltas[] =
        "{\"base_model.model.lm_head.trainable_tokens_delta\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_"
        "offsets\":[0,32]},"
        "\"base_model.model.model.embed_tokens.trainable_tokens_delta\":{\"dtype\":\"F32\",\"shape\":[2,4],"
        "\"data_offsets\":[32,64]}}";
    static const struct {
        const char *config, *tensors;
        size_t numbers;
    } seeds[] = {{lora, parts, 16},
                 {prompt, vectors, 6},
                 {ranks, parts, 16},
                 {behind, layers, 22},
                 {rows, deltas, 16}};

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i].config);
    sg_buf_putc(out, 0);
    put_tensors(out, seeds[i].tensors, seeds[i].numbers);
    return true;
}
