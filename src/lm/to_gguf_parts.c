/* to_gguf_parts.c - what .gguf files of all models have: tokens, keys of another file, tensors. */
#include "lm/to_gguf.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN = 2, TOKEN_CONTROL = 3, TOKEN_USER = 4, TOKEN_UNUSED = 5 };

/* Numbers that the tokenizer does not use get a name of their own: every row of the word table needs one. */
sg_status sg_gguf_put_tokens(sg_gguf_out *o, const sg_tokenizer *t, int rows, const json_t *added,
                             int unknown, sg_error *err)
{
    const size_t n = (size_t)rows, known = (size_t)sg_tokenizer_size(t);
    sg_bytes *token = sg_alloc_array(n, sizeof *token);
    int32_t *kind = sg_alloc_array(n, sizeof *kind);
    char(*name)[32] = sg_alloc_array(n, sizeof *name);
    sg_status st = token && kind && name ? SG_OK : sg_fail_memory(err, "tokens");

    for (size_t i = 0; i < n && !st; i++) {
        token[i] = i < known ? sg_tokenizer_token(t, (int32_t)i) : (sg_bytes){NULL, 0};
        kind[i] = token[i].size ? TOKEN_NORMAL : TOKEN_UNUSED;
        if (!token[i].size) {
            snprintf(name[i], sizeof name[i], "[PAD%zu]", i);
            token[i] = (sg_bytes){name[i], strlen(name[i])};
        }
    }
    for (size_t i = 0; i < json_array_size(added) && !st; i++) {
        const json_t *one = json_array_get(added, i);
        const json_int_t id = json_integer_value(json_object_get(one, "id"));

        if (id >= 0 && id < (json_int_t)n)
            kind[id] = json_is_true(json_object_get(one, "special")) ? TOKEN_CONTROL : TOKEN_USER;
    }
    if (!st) {
        if (unknown >= 0 && unknown < rows)
            kind[unknown] = TOKEN_UNKNOWN;
        sg_gguf_out_strings(o, SG_GGUF_TOKENS "tokens", token, n);
        sg_gguf_out_i32s(o, SG_GGUF_TOKENS "token_type", kind, n);
    }
    sg_free(token);
    sg_free(kind);
    sg_free(name);
    return st;
}

void sg_gguf_put_file(sg_gguf_out *o, const sg_gguf *from)
{
    static const char *const own[] = {"general.alignment", "general.file_type",
                                      "general.quantization_version"};

    for (size_t i = 0; i < sg_gguf_values(from); i++) {
        const sg_gguf_value *v = sg_gguf_value_at(from, i);
        bool ours = strncmp(v->key, "split.", 6) == 0;

        for (size_t k = 0; k < sizeof own / sizeof *own; k++)
            ours = ours || strcmp(v->key, own[k]) == 0;
        if (!ours)
            sg_gguf_out_copy(o, v);
    }
}

void sg_gguf_put_type(sg_gguf_out *o, int type)
{
    static const struct {
        int type;
        uint32_t file;
    } types[] = {{SG_GGUF_F32_TYPE, 0},
                 {SG_GGUF_F16_TYPE, 1},
                 {SG_GGUF_Q4_0_TYPE, 2},
                 {SG_GGUF_Q8_0_TYPE, 7},
                 {SG_GGUF_BF16_TYPE, 32}};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type)
            sg_gguf_out_u32(o, "general.file_type", types[i].file);
    sg_gguf_out_u32(o, "general.quantization_version", 2);
}

/* ---- tensors ---------------------------------------------------------------------------------------------------------------- */
void sg_gguf_describe(sg_gguf_out *o, const char *name, const sg_param *p, int type)
{
    if (p->rank == 1)
        sg_gguf_out_tensor(o, name, SG_GGUF_F32_TYPE, 1, (const uint64_t[]){p->count});
    else
        sg_gguf_out_tensor(o, name, (size_t)p->dim[1] % sg_gguf_block(type) == 0 ? type : SG_GGUF_F16_TYPE, 2,
                           (const uint64_t[]){(uint64_t)p->dim[1], (uint64_t)p->dim[0]});
}

sg_status sg_gguf_put_numbers(sg_gguf_out *o, const sg_param *p,
                              int (*row)(const void *ctx, const sg_param *p, int r), const void *ctx,
                              sg_error *err)
{
    const size_t in = p->rank == 2 ? (size_t)p->dim[1] : p->count;
    const int rows = p->rank == 2 ? p->dim[0] : 1;
    float *decoded = NULL;
    const float *x = p->value;
    sg_status st = SG_OK;

    if (p->blocks) {
        if (!(decoded = sg_alloc_array(p->count, sizeof *decoded)))
            return sg_fail_memory(err, p->name);
        sg_blocks_decode(NULL, p->blocks, decoded);
        x = decoded;
    }
    for (int r = 0; r < rows && !st; r++)
        st = sg_gguf_out_put(o, x + (size_t)(row && p->rank == 2 ? row(ctx, p, r) : r) * in, in, err);
    sg_free(decoded);
    return st;
}
