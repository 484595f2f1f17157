/* generate.c - the loop of writing: logits, a token, read it. */
#include "lm/generate.h"

#include "base/alloc.h"
#include "lm/sample.h"

#include <math.h>

#define SG_OPTION_STRUCT sg_generate_config
const sg_option sg_generate_options[] = {SG_GENERATE_OPTIONS(SG_OPTION_ROW)};
const size_t sg_n_generate_options = sizeof sg_generate_options / sizeof *sg_generate_options;

sg_status sg_generate(sg_token_list *out, bool *ended, double seconds[2], sg_reading *r, const sg_llama *m,
                      const sg_token_list *prompt, int32_t end, const sg_generate_config *c,
                      const sg_progress *progress, sg_error *err)
{
    const size_t vocab = (size_t)sg_llama_config_of(m)->vocab;
    const sg_sampling how = {c->temperature, c->top_k, c->top_p, c->min_p, (uint64_t)c->seed};
    float *logits = sg_alloc_array(vocab, sizeof *logits), *value = sg_alloc_array(vocab, sizeof *value);
    int32_t *index = sg_alloc_array(vocab, sizeof *index);
    double start = sg_now();
    sg_status st;

    *ended = false;
    if (!logits || !value || !index)
        st = sg_fail_memory(err, "logits");
    else
        st = sg_reading_feed(r, prompt->id, (int)prompt->n, logits, err);
    seconds[0] = sg_now() - start;
    start = sg_now();
    for (int step = 0; step < c->length && !st; step++) {
        const int32_t id = sg_sample(logits, vocab, &how, 0, (uint64_t)step, index, value);

        if ((*ended = id == sg_llama_config_of(m)->end || id == end))
            break;
        if (!sg_grow(&out->id, &out->cap, out->n + 1, sizeof *out->id))
            st = sg_fail_memory(err, "tokens");
        else
            out->id[out->n++] = id;
        if (!st && step + 1 < c->length && !(st = sg_reading_feed(r, &id, 1, logits, err)))
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "generate",
                                                       .unit = "tokens",
                                                       .done = step + 1,
                                                       .total = c->length,
                                                       .loss = (double)NAN},
                                  err);
    }
    seconds[1] = sg_now() - start;
    sg_free(logits);
    sg_free(value);
    sg_free(index);
    return st;
}
