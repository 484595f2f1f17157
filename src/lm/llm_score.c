/* llm_score.c - how likely texts are after a prompt. */
#include "lm/llm_parts.h"

#include "base/alloc.h"
#include "lm/endpoint.h"

#include <math.h>

enum { SCORE_CALL_TOKENS = 16 };

/* ---- scores ---------------------------------------------------------------------------------------------------------------- */
typedef struct scoring {
    sg_llm *l;
    sg_bytes prompt;
    const sg_bytes *text;
    double *logp;
    int *tokens;
} scoring;

static sg_status make_score(void *ctx, size_t i, sg_client_ask *out, sg_error *err)
{
    const scoring *s = ctx;
    size_t a = 0, b = 0;
    sg_status st;

    if ((st = sg_llm_tokens(s->l, s->prompt, &a, err)) || (st = sg_llm_tokens(s->l, s->text[i], &b, err)))
        return st;
    out->tokens_in = (double)(a + b + SCORE_CALL_TOKENS);
    out->body = sg_endpoint_score(s->l->config.client.model, s->prompt, s->text[i]);
    return out->body ? SG_OK : sg_fail_memory(err, "request");
}

static size_t characters(sg_bytes text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.size; i++)
        n += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return n;
}

static sg_status take_score(void *ctx, size_t i, const json_t *answer, sg_error *err)
{
    const scoring *s = ctx;

    return sg_endpoint_read_score(&s->logp[i], &s->tokens[i], characters(s->prompt), answer, err);
}

/* The text's tokens after the prompt's: the last token of the prompt is read again, since it says how likely the first one is. */
static sg_status score_local(const scoring *s, const sg_token_list *prompt, size_t i, sg_pool *pool,
                             sg_error *err)
{
    const sg_encode_how rest = {.bare = true, .literal = true};
    sg_llm *l = s->l;
    const int32_t *id = NULL;
    size_t n = 0, common = 0;
    double *logp = NULL, ignored;
    sg_status st;

    if ((st = sg_encoder_run(&id, &n, l->counter, s->text[i], &rest, err)) ||
        (st = sg_llm_session(l, prompt, &common, (int)n + 1, pool, err)))
        return st;
    s->logp[i] = 0;
    s->tokens[i] = (int)n;
    if (!(logp = sg_alloc_array(n + 1, sizeof *logp)))
        return sg_fail_memory(err, "scores");
    if (common + 1 < prompt->n)
        st = sg_reading_feed(l->reading, prompt->id + common, (int)(prompt->n - 1 - common), NULL, err);
    if (!st && !(st = sg_reading_score(l->reading, prompt->id + prompt->n - 1, 1, &ignored, err)))
        st = sg_reading_score(l->reading, id, (int)n, logp, err);
    for (size_t k = 0; k < n && !st; k++)
        s->logp[i] += logp[k];
    if (!st)
        sg_llm_hold(l, prompt);
    sg_free(logp);
    return st;
}

static sg_status score_texts(const scoring *s, size_t n, sg_pool *pool, const sg_progress *progress,
                             sg_error *err)
{
    sg_token_list prompt = {0};
    sg_status st = sg_text_tokens(&prompt, sg_llama_tokenizer(s->l->decoder), s->prompt, true, err);

    if (!st && prompt.n == 0)
        st = sg_fail(err, SG_ERR_USAGE, "expected a prompt, found nothing");
    for (size_t i = 0; i < n && !st; i++)
        if (!(st = score_local(s, &prompt, i, pool, err)))
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "score",
                                                       .unit = "texts",
                                                       .done = (double)i + 1,
                                                       .total = (double)n,
                                                       .loss = (double)NAN},
                                  err);
    sg_free(prompt.id);
    return st;
}

sg_status sg_llm_score(double *logp, int *tokens, sg_llm *l, sg_bytes prompt, const sg_bytes *text, size_t n,
                       sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    scoring s = {l, prompt, text, logp, tokens};
    const sg_client_work work = {
        .path = "/completions", .n = n, .ctx = &s, .make = make_score, .take = take_score};
    const sg_status st = sg_llm_need(l, SG_LLM_SCORE, "scoring", err);

    if (st)
        return st;
    return l->client ? sg_client_run(l->client, &work, progress, err)
                     : score_texts(&s, n, pool, progress, err);
}
