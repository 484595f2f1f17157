/* learn_kit.h - a decoder of two layers in memory, with a byte-level tokenizer and a chat template; a folder for files. */
#ifndef SG_FUZZ_LEARN_KIT_H
#define SG_FUZZ_LEARN_KIT_H

#include "fuzz.h"

#include "base/alloc.h"
#include "file/safetensors.h"
#include "lm/llama_parts.h"

#include <string.h>

enum { KIT_VOCAB = 264, KIT_DIM = 4, KIT_FFN = 6, KIT_LAYERS = 2 };

static inline sg_tokenizer *kit_tokenizer(void)
{
    sg_buf list = {0}, json = {0};
    sg_tokenizer *t = NULL;
    int next = 256; /* GPT-2's letters: printable bytes stand for themselves, the others for U+0100 on */

    for (int b = 0; b < 256; b++) {
        const bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;

        sg_buf_printf(&list, "\"\\u%04x\":%d,", itself ? b : next++, b);
    }
    sg_buf_printf(&json,
                  "{\"added_tokens\":[{\"id\":257,\"content\":\"<|im_start|>\",\"special\":true},{\"id\":258,"
                  "\"content\":\"<|im_end|>\","
                  "\"special\":true}],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                  "\"decoder\":{\"type\":\"ByteLevel\"},"
                  "\"model\":{\"type\":\"BPE\",\"vocab\":{%s\"ab\":256,\"<|im_start|>\":257,\"<|im_end|>\":"
                  "258},\"merges\":[\"a b\"]}}",
                  list.data);
    FUZZ_CHECK(!sg_tokenizer_from_json(&t, (sg_bytes){json.data, json.size}, "kit", NULL));
    sg_buf_free(&list);
    sg_buf_free(&json);
    return t;
}

/* Lives until the program ends. */
static inline sg_llama *kit_model(void)
{
    static const struct {
        const char *name;
        int rows, cols;
    } parts[] = {{"input_layernorm", KIT_DIM, 0},        {"post_attention_layernorm", KIT_DIM, 0},
                 {"self_attn.q_proj", KIT_DIM, KIT_DIM}, {"self_attn.k_proj", KIT_DIM, KIT_DIM},
                 {"self_attn.v_proj", KIT_DIM, KIT_DIM}, {"self_attn.o_proj", KIT_DIM, KIT_DIM},
                 {"mlp.gate_proj", KIT_FFN, KIT_DIM},    {"mlp.up_proj", KIT_FFN, KIT_DIM},
                 {"mlp.down_proj", KIT_DIM, KIT_FFN}};
    static const sg_llama_config config = {.dim = KIT_DIM,
                                           .layers = KIT_LAYERS,
                                           .heads = 1,
                                           .kv_heads = 1,
                                           .head_dim = KIT_DIM,
                                           .ffn = KIT_FFN,
                                           .vocab = KIT_VOCAB,
                                           .places = 64,
                                           .tied = true,
                                           .eps = 1e-5f,
                                           .theta = 10000,
                                           .scaling = {.factor = 1},
                                           .end = 258};
    static sg_llama *model;
    sg_buf head = {0}, file = {0};
    size_t at = 0;
    sg_tensors *tensors;
    sg_weights *w;
    char name[100];

    if (model)
        return model;
    for (int l = 0; l <= KIT_LAYERS; l++)
        for (size_t p = 0; p < (l < KIT_LAYERS ? sizeof parts / sizeof *parts : 2); p++) {
            const int rows = l < KIT_LAYERS ? parts[p].rows
                             : p            ? KIT_DIM
                                            : KIT_VOCAB,
                      cols = l < KIT_LAYERS ? parts[p].cols
                             : p            ? 0
                                            : KIT_DIM;
            const size_t bytes = (size_t)rows * (size_t)(cols ? cols : 1) * 4;

            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, parts[p].name);
            if (l == KIT_LAYERS)
                snprintf(name, sizeof name, "model.%s.weight", p ? "norm" : "embed_tokens");
            sg_buf_printf(&head, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%d", at ? "," : "{", name, rows);
            if (cols)
                sg_buf_printf(&head, ",%d", cols);
            sg_buf_printf(&head, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
            at += bytes;
        }
    sg_buf_putc(&head, '}');
    while (head.size % 8)
        sg_buf_putc(&head, ' ');
    for (int i = 0; i < 8; i++)
        sg_buf_putc(&file, (char)(head.size >> (8 * i)));
    sg_buf_add(&file, head.data, head.size);
    for (size_t i = 0; i < at; i++)
        sg_buf_putc(&file, 0);
    FUZZ_CHECK(!sg_tensors_parse(&tensors, (sg_bytes){file.data, file.size}, "kit", NULL)); /* file: kept */
    FUZZ_CHECK(!sg_weights_over(&w, tensors, NULL, NULL));
    FUZZ_CHECK(!sg_llama_over(&model, &config, w, kit_tokenizer(), NULL));
    FUZZ_CHECK(
        (model->chat.template = sg_strdup(
             "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
             "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")));
    sg_buf_free(&head);
    return model;
}

/* A folder of its own, in memory where there is such a place; removed at the end. */
static char kit_dir[64], kit_names[2][40];

static inline void kit_clean(void)
{
    char path[128];

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", kit_dir, kit_names[i]);
        unlink(path);
    }
    rmdir(kit_dir);
}

static inline bool kit_put(int i, const char *name, const uint8_t *data, size_t size)
{
    char path[128];
    FILE *f;

    if (!kit_dir[0]) {
        snprintf(kit_dir, sizeof kit_dir, "%s/sedge-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
        if (!mkdtemp(kit_dir))
            return false;
        atexit(kit_clean);
    }
    snprintf(kit_names[i], sizeof kit_names[i], "%s", name);
    snprintf(path, sizeof path, "%s/%s", kit_dir, name);
    if (!(f = fopen(path, "wb")))
        return false;
    const bool done = fwrite(data, 1, size, f) == size;
    return fclose(f) == 0 && done;
}

#endif
