/* learner_llama.c - decoders of the Llama family learn from lessons one after the other, with a prompt's vectors in front of each. */
#include "lm/learner.h"

#include "base/alloc.h"
#include "lm/folder.h"
#include "lm/new_tokens.h"

#include <string.h>

typedef struct learner {
    sg_learner learner;
    sg_llama *m;   /* owned */
    sg_decoder *d; /* owned */
    sg_adapter
        *tokens; /* owned: new ones of a model that learns itself, whose rows begin its tables; NULL: none */
} learner;

static sg_tensor *loss(sg_learner *base, sg_graph *g, const sg_lessons *from, const uint32_t *lesson,
                       size_t n_lessons, float smooth)
{
    learner *l = (learner *)(void *)base;
    const int soft = base->beside;
    int n = 0, t = 0;
    int32_t *id, *offsets, *at, *target;

    for (size_t i = 0; i < n_lessons; i++)
        n += (int)(from->begin[lesson[i] + 1] - from->begin[lesson[i]]) + soft;
    id = sg_scratch(g, (size_t)n, sizeof *id);
    offsets = sg_scratch(g, n_lessons + 1, sizeof *offsets);
    at = sg_scratch(g, (size_t)n, sizeof *at);
    target = sg_scratch(g, (size_t)n, sizeof *target);
    if (!id || !offsets || !at || !target)
        return NULL;
    for (size_t i = 0; i < n_lessons; i++) {
        const size_t end = from->begin[lesson[i] + 1];

        offsets[i] = t;
        for (int k = 0; k < soft; k++, t++) {
            id[t] = 0;
            at[t] = k;
            target[t] = -1;
        }
        for (size_t k = from->begin[lesson[i]]; k < end; k++, t++) {
            id[t] = from->id[k];
            at[t] = -1;
            target[t] = k + 1 < end && from->counts[k + 1] ? from->id[k + 1] : -1;
        }
    }
    offsets[n_lessons] = t;
    const sg_decoder_batch b = {.n = n,
                                .batch = (int)n_lessons,
                                .id = id,
                                .offsets = offsets,
                                .soft = soft ? sg_leaf(g, base->adapter->soft) : NULL,
                                .soft_at = soft ? at : NULL,
                                .recompute = base->recompute};
    sg_decoder_batch *kept = sg_scratch(g, 1, sizeof *kept); /* read again on the way back */

    if (!kept)
        return NULL;
    *kept = b;
    return sg_decoder_loss(g, l->d, sg_decoder_states(g, l->d, kept, l->d->config.layers), target, NULL,
                           smooth);
}

static sg_status save(const sg_learner *base, const char *model, const char *dir, sg_error *err)
{
    const learner *l = (const learner *)(const void *)base;

    return sg_decoder_save(l->d, l->m, model, dir, SG_DT_F32, err);
}

static sg_status save_tokenizer(const sg_learner *base, const char *model, const char *dir, sg_error *err)
{
    const learner *l = (const learner *)(const void *)base;

    return sg_llama_tokenizer_save(l->m, model, dir, err);
}

static void learner_free(sg_learner *base)
{
    learner *l = (learner *)(void *)base;

    sg_adapter_free(base->adapter);
    sg_adapter_free(l->tokens);
    sg_decoder_free(l->d);
    sg_llama_close(l->m);
    sg_free(l);
}

/* An adapter with rows for new tokens, which the model has from then on: l->tokens or l->learner.adapter. */
static sg_status add_tokens(sg_adapter **to, learner *l, const sg_tune_job *job, const sg_tune_config *c,
                            sg_error *err)
{
    const sg_adapter_host host = sg_llama_host(l->m);
    sg_new_tokens t;
    sg_status st;

    if (sg_same_folder(job->model, job->out))
        return sg_fail(err, SG_ERR_USAGE, "%s: expected another folder than the model's own", job->out);
    if ((st = sg_new_tokens_read(&t, c->new_tokens, l->m, job->model, err)))
        return st;
    if (!(st = sg_learner_adapter(to, job, c, &host, NULL, t.vocab, err)) && sg_adapter_head(*to).a &&
        !sg_llama_config_of(l->m)->tied)
        st = sg_fail(err, SG_ERR_USAGE,
                     "targets: expected no lm_head beside new tokens, whose rows of the output matrix learn: "
                     "PEFT has no files for both, but where that "
                     "is the word table");
    if (!st && !(st = sg_new_tokens_give(&t, *to, l->m, err)))
        sg_llama_adapt(l->m, *to);
    sg_new_tokens_free(&t);
    return st;
}

static sg_status open_model(learner *l, const sg_tune_job *job, const sg_tune_config *c, sg_pool *pool,
                            sg_error *err)
{
    const bool full = strcmp(c->method, "full") == 0, adapter = !full && strcmp(c->method, "last") != 0;
    sg_status st;

    if ((st = sg_llama_open(&l->m, job->model, err)))
        return st;
    const sg_llama_config *of = sg_llama_config_of(l->m);
    const sg_adapter_host host = sg_llama_host(l->m);
    if (!adapter && !full && c->last > of->layers)
        return sg_fail(err, SG_ERR_USAGE, "last: expected at most %d, the layers of the model, found %d",
                       of->layers, c->last);
    if (!adapter && (st = sg_decoder_save_check(l->m, job->model, job->out, err)))
        return st;
    const sg_decoder_spec spec = {.learn_from = adapter ? of->layers
                                                : full  ? 0
                                                        : of->layers - c->last,
                                  .learn_words = full,
                                  .keep_bits = c->keep_bits};
    if (*c->new_tokens && (st = add_tokens(adapter ? &l->learner.adapter : &l->tokens, l, job, c, err)))
        return st;
    if ((st = sg_decoder_new(&l->d, l->m, &spec, pool, err)))
        return st;
    if (adapter && !l->learner.adapter &&
        (st = sg_learner_adapter(&l->learner.adapter, job, c, &host, l->d->words, 0, err)))
        return st;
    if (l->tokens)
        sg_decoder_adapt(l->d, l->tokens); /* puts the rows into the tables, which learn from there */
    sg_decoder_adapt(l->d, l->learner.adapter);
    l->learner.weights = &l->d->params;
    l->learner.lessons = sg_lessons_for_llama(l->m);
    l->learner.layers = of->layers;
    l->learner.dim = of->dim;
    l->learner.vocab = of->vocab;
    l->learner.beside = l->learner.adapter && l->learner.adapter->soft ? c->soft : 0;
    l->learner.places = of->places - l->learner.beside;
    if (l->learner.places < 2)
        return sg_fail(err, SG_ERR_USAGE, "soft: expected at most %d, the model knows %d places, found %d",
                       of->places - 2, of->places, c->soft);
    return SG_OK;
}

sg_status sg_learner_llama(sg_learner **out, const sg_tune_job *job, const sg_tune_config *c, sg_pool *pool,
                           sg_error *err)
{
    static const sg_learner_ops ops = {loss, save, save_tokenizer, learner_free};
    learner *l = sg_alloc_zero(1, sizeof *l);

    *out = NULL;
    if (!l)
        return sg_fail_memory(err, "model");
    l->learner.ops = &ops;
    l->learner.recompute = c->recompute;
    return sg_learner_made(out, &l->learner, open_model(l, job, c, pool, err));
}
