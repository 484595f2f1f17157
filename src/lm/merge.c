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

sg_status sg_merge(const char *model, const char *adapter, const char *out, const sg_merge_config *c, sg_pool *pool, json_t **report,
                   sg_error *err)
{
    static const struct {
        const char *name;
        int dtype; /* -1: not in a folder */
        int gguf;
    } types[] = {{"f32", SG_DT_F32, SG_GGUF_F32_TYPE}, {"f16", SG_DT_F16, SG_GGUF_F16_TYPE}, {"bf16", SG_DT_BF16, SG_GGUF_BF16_TYPE},
                 {"q8_0", -1, SG_GGUF_Q8_0_TYPE},      {"q4_0", -1, SG_GGUF_Q4_0_TYPE}};
    const bool gguf = is_gguf(out);
    sg_llama *m = NULL;
    sg_decoder *d = NULL;
    sg_adapter *a = NULL;
    size_t t = 0;
    sg_status st;

    *report = NULL;
    while (strcmp(types[t].name, c->type) != 0)
        t++;
    if (!gguf && types[t].dtype < 0)
        return sg_fail(err, SG_ERR_USAGE, "type: expected f32, f16 or bf16 for a folder, found %s (a file that ends in .gguf takes it)",
                       c->type);
    if ((st = sg_llama_open(&m, model, err)) || (!gguf && (st = sg_decoder_save_check(m, model, out, err))) ||
        (adapter && (st = sg_adapter_open(&a, adapter, sg_llama_config_of(m), err))))
        goto done;
    const sg_decoder_spec spec = {.learn_from = adapter ? 0 : sg_llama_config_of(m)->layers}; /* a copy to merge into */
    if ((st = sg_decoder_new(&d, m, &spec, pool, err)) || (a && (st = sg_decoder_merge(d, a, pool, err))))
        goto done;
    st = gguf ? sg_decoder_to_gguf(d, m, model, out, types[t].gguf, err)
              : sg_decoder_save(d, m, model, out, (sg_dtype)types[t].dtype, err);
    if (!st && !(*report = json_pack("{s:s, s:s, s:I}", "out", out, "type", c->type, "weights", (json_int_t)sg_params_count(&d->params))))
        st = sg_fail_memory(err, "report");
done:
    sg_adapter_free(a);
    sg_decoder_free(d);
    sg_llama_close(m);
    return st;
}
