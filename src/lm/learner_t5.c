/* learner_t5.c - T5s learn from lessons: the encoder reads what does not count, the decoder writes what does. */
#include "lm/learner.h"

#include "base/alloc.h"
#include "lm/folder.h"

#include <string.h>

typedef struct learner {
    sg_learner learner;
    sg_t5 *m;      /* owned */
    sg_seq2seq *d; /* owned */
} learner;

/* The decoder begins with a token of its own, and then has before it what it was to write. */
static sg_tensor *loss(sg_learner *base, sg_graph *g, const sg_lessons *from, const uint32_t *lesson,
                       size_t n, float smooth)
{
    learner *l = (learner *)(void *)base;
    size_t all = 0;
    int32_t *read, *write, *target;
    sg_seq2seq_batch b = {.batch = (int)n, .recompute = base->recompute};

    for (size_t i = 0; i < n; i++)
        all += from->begin[lesson[i] + 1] - from->begin[lesson[i]];
    read = sg_scratch(g, all, sizeof *read);
    write = sg_scratch(g, all, sizeof *write);
    target = sg_scratch(g, all, sizeof *target);
    int32_t *read_offsets = sg_scratch(g, n + 1, sizeof *read_offsets),
            *write_offsets = sg_scratch(g, n + 1, sizeof *write_offsets);
    if (!read || !write || !target || !read_offsets || !write_offsets)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        int32_t before = l->d->config.start;

        read_offsets[i] = b.n_read;
        write_offsets[i] = b.n_write;
        for (size_t k = from->begin[lesson[i]]; k < from->begin[lesson[i] + 1]; k++) {
            if (!from->counts[k]) {
                read[b.n_read++] = from->id[k];
                continue;
            }
            write[b.n_write] = before;
            target[b.n_write++] = before = from->id[k];
        }
    }
    read_offsets[n] = b.n_read;
    write_offsets[n] = b.n_write;
    b.read = read;
    b.write = write;
    b.read_offsets = read_offsets;
    b.write_offsets = write_offsets;
    return sg_seq2seq_loss(g, l->d, sg_seq2seq_states(g, l->d, &b), target, smooth);
}

static sg_status save(const sg_learner *base, const char *model, const char *dir, sg_error *err)
{
    const learner *l = (const learner *)(const void *)base;

    return sg_seq2seq_save(l->d, l->m, model, dir, SG_DT_F32, err);
}

static void learner_free(sg_learner *base)
{
    learner *l = (learner *)(void *)base;

    sg_adapter_free(base->adapter);
    sg_seq2seq_free(l->d);
    sg_t5_close(l->m);
    sg_free(l);
}

static sg_status open_model(learner *l, const sg_tune_job *job, const sg_tune_config *c, sg_pool *pool,
                            sg_error *err)
{
    const bool full = strcmp(c->method, "full") == 0;
    sg_status st;

    if (strcmp(c->method, "prompt") == 0 || strcmp(c->method, "last") == 0 ||
        strcmp(c->method, "tokens") == 0)
        return sg_fail(err, SG_ERR_USAGE, "method: expected lora, bottleneck or full for a T5, found %s",
                       c->method);
    if ((st = sg_t5_open(&l->m, job->model, err)) ||
        (full && (st = sg_seq2seq_save_check(l->m, job->model, job->out, err))))
        return st;
    const sg_t5_config *of = sg_t5_config_of(l->m);
    const sg_adapter_host host = sg_t5_host(l->m);
    if ((st = sg_seq2seq_new(&l->d, l->m, &(sg_seq2seq_spec){.learns = full, .keep_bits = c->keep_bits}, pool,
                             err)) ||
        (!full && (st = sg_learner_adapter(&l->learner.adapter, job, c, &host, NULL, 0, err))))
        return st;
    sg_seq2seq_adapt(l->d, l->learner.adapter);
    l->learner.weights = &l->d->params;
    l->learner.lessons = (sg_lessons_for){sg_t5_tokenizer(l->m), of->end, NULL, true};
    l->learner.layers = of->layers + of->layers_decoder;
    l->learner.dim = of->dim;
    l->learner.vocab = of->vocab;
    l->learner.places = INT32_MAX; /* positions are relative */
    return SG_OK;
}

sg_status sg_learner_t5(sg_learner **out, const sg_tune_job *job, const sg_tune_config *c, sg_pool *pool,
                        sg_error *err)
{
    static const sg_learner_ops ops = {loss, save, NULL, learner_free};
    learner *l = sg_alloc_zero(1, sizeof *l);

    *out = NULL;
    if (!l)
        return sg_fail_memory(err, "model");
    l->learner.ops = &ops;
    l->learner.recompute = c->recompute;
    return sg_learner_made(out, &l->learner, open_model(l, job, c, pool, err));
}
