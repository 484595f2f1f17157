/* merge.c - W + scale B A, written in the form asked for. */
#include "lm/merge.h"

#include "lm/folder.h"
#include "lm/to_gguf.h"

#include <string.h>

#define SG_OPTION_STRUCT sg_merge_config
const sg_option sg_merge_options[] = {SG_MERGE_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
const size_t sg_n_merge_options = sizeof sg_merge_options / sizeof *sg_merge_options;

static bool is_gguf(const char *path)
{
    const size_t n = strlen(path);

    return n > 5 && strcmp(path + n - 5, ".gguf") == 0;
}

typedef struct merging {
    const char *model, *adapter, *out; /* adapter NULL: none */
    bool gguf;
    int type; /* of GGUF, or an sg_dtype */
    sg_pool *pool;
} merging;

static sg_status merge_llama(size_t *weights, const merging *j, sg_error *err)
{
    sg_llama *m = NULL;
    sg_decoder *d = NULL;
    sg_adapter *a = NULL;
    sg_status st;

    if ((st = sg_llama_open(&m, j->model, err)) ||
        (!j->gguf && (st = sg_decoder_save_check(m, j->model, j->out, err))))
        goto done;
    const sg_adapter_host host = sg_llama_host(m);
    if (j->adapter && (st = sg_adapter_open(&a, j->adapter, &host, err)))
        goto done;
    sg_llama_adapt(m, a);
    const sg_decoder_spec spec = {.learn_from = j->adapter ? 0 : host.layers,
                                  .own_head = sg_adapter_head(a).a != NULL}; /* a copy to merge into */
    if ((st = sg_decoder_new(&d, m, &spec, j->pool, err)))
        goto done;
    sg_decoder_adapt(d, a);
    if (a && (st = sg_adapter_merge(&d->params, a, j->pool, err)))
        goto done;
    *weights = sg_params_count(&d->params);
    st = j->gguf ? sg_decoder_to_gguf(d, m, j->model, j->out, j->type, err)
                 : sg_decoder_save(d, m, j->model, j->out, (sg_dtype)j->type, err);
done:
    sg_adapter_free(a);
    sg_decoder_free(d);
    sg_llama_close(m);
    return st;
}

static sg_status merge_t5(size_t *weights, const merging *j, sg_error *err)
{
    sg_t5 *m = NULL;
    sg_seq2seq *d = NULL;
    sg_adapter *a = NULL;
    sg_status st;

    if ((st = sg_t5_open(&m, j->model, err)) ||
        (!j->gguf && (st = sg_seq2seq_save_check(m, j->model, j->out, err))))
        goto done;
    const sg_adapter_host host = sg_t5_host(m);
    if (j->adapter && (st = sg_adapter_open(&a, j->adapter, &host, err)))
        goto done;
    const bool own_head = sg_adapter_head(a).a != NULL;
    if ((st = sg_seq2seq_new(&d, m, &(sg_seq2seq_spec){.learns = a != NULL, .own_head = own_head}, j->pool,
                             err)) ||
        (a && (st = sg_adapter_merge(&d->params, a, j->pool, err))))
        goto done;
    if (own_head)
        sg_seq2seq_unscale(d);
    *weights = sg_params_count(&d->params);
    st = j->gguf ? sg_seq2seq_to_gguf(d, m, j->model, j->out, j->type, err)
                 : sg_seq2seq_save(d, m, j->model, j->out, (sg_dtype)j->type, err);
done:
    sg_adapter_free(a);
    sg_seq2seq_free(d);
    sg_t5_close(m);
    return st;
}

sg_status sg_merge(const char *model, const char *adapter, const char *out, const sg_merge_config *c,
                   sg_pool *pool, json_t **report, sg_error *err)
{
    static const struct {
        const char *name;
        int dtype; /* -1: not in a folder */
        int gguf;
    } types[] = {{"f32", SG_DT_F32, SG_GGUF_F32_TYPE},
                 {"f16", SG_DT_F16, SG_GGUF_F16_TYPE},
                 {"bf16", SG_DT_BF16, SG_GGUF_BF16_TYPE},
                 {"q8_0", -1, SG_GGUF_Q8_0_TYPE},
                 {"q4_0", -1, SG_GGUF_Q4_0_TYPE}};
    const bool gguf = is_gguf(out);
    size_t t = 0, weights = 0;
    bool t5;
    sg_status st;

    *report = NULL;
    while (strcmp(types[t].name, c->type) != 0)
        t++;
    if (!gguf && types[t].dtype < 0)
        return sg_fail(
            err, SG_ERR_USAGE,
            "type: expected f32, f16 or bf16 for a folder, found %s (a file that ends in .gguf takes it)",
            c->type);
    const merging j = {model, adapter, out, gguf, gguf ? types[t].gguf : types[t].dtype, pool};
    if ((st = sg_t5_is_at(&t5, model, err)))
        return st;
    st = t5 ? merge_t5(&weights, &j, err) : merge_llama(&weights, &j, err);
    if (!st && !(*report = json_pack("{s:s, s:s, s:I}", "out", out, "type", c->type, "weights",
                                     (json_int_t)weights)))
        st = sg_fail_memory(err, "report");
    return st;
}
