/* learner.c - which kind of model a job is about. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "lm/learner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sg_status sg_learner_adapter(sg_adapter **out, const sg_tune_job *job, const sg_tune_config *c,
                             const sg_adapter_host *host, const sg_param *words, int vocab, sg_error *err)
{
    const bool prompt = strcmp(c->method, "prompt") == 0, lora = strcmp(c->method, "lora") == 0,
               tokens = strcmp(c->method, "tokens") == 0 || strcmp(c->method, "full") == 0;
    sg_adapter_config a = {.kind = lora     ? SG_ADAPTER_LORA
                                   : prompt ? SG_ADAPTER_PROMPT
                                   : tokens ? SG_ADAPTER_TOKENS
                                            : SG_ADAPTER_BOTTLENECK,
                           .act = SG_GELU,
                           .rank = c->rank,
                           .alpha = c->alpha,
                           .dropout = c->dropout,
                           .rslora = c->rslora,
                           .tokens = c->soft,
                           .vocab = vocab};
    char *base = realpath(job->model, NULL);
    sg_status st;

    if (base)
        snprintf(a.base, sizeof a.base, "%s", strlen(base) < sizeof a.base ? base : job->model);
    free(base);
    if (!prompt && !tokens &&
        ((st = sg_adapter_targets(&a, c->targets, host, err)) ||
         (st = sg_adapter_layers(&a, c->layers, host, err))))
        return st;
    return sg_adapter_new(out, &a, host, words, (uint64_t)c->seed, err);
}

sg_status sg_learner_open(sg_learner **out, const sg_tune_job *job, const sg_tune_config *c, sg_pool *pool,
                          sg_error *err)
{
    bool t5;
    const sg_status st = sg_t5_is_at(&t5, job->model, err);

    *out = NULL;
    if (!st && strcmp(c->method, "tokens") == 0 && !*c->new_tokens)
        return sg_fail(err, SG_ERR_USAGE, "new_tokens: expected a file for method tokens, found none");
    if (!st && *c->new_tokens &&
        (t5 || (strcmp(c->method, "tokens") != 0 && strcmp(c->method, "lora") != 0 &&
                strcmp(c->method, "full") != 0)))
        return sg_fail(err, SG_ERR_USAGE,
                       "new_tokens: expected a decoder and method lora, tokens or full, found %s",
                       t5 ? "a T5" : c->method);
    return st ? st : t5 ? sg_learner_t5(out, job, c, pool, err) : sg_learner_llama(out, job, c, pool, err);
}
