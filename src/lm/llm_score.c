/* llm_score.c - how likely texts are after a prompt. */
#include "lm/llm_parts.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "lm/endpoint.h"
#include "lm/score.h"

enum { SCORE_CALL_TOKENS = 16 };

/* ---- scores ---------------------------------------------------------------------------------------------------------------- */
typedef struct scoring {
    sg_llm *l;
    sg_bytes prompt;
    const sg_turns *chat; /* instead of it; NULL: none */
    const sg_bytes *text;
    double *logp;
    int *tokens;
    size_t from; /* an endpoint: characters of the prompt */
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

/* Of what is sent in place of a text, in which broken bytes are characters, too. */
static sg_status count_characters(size_t *n, sg_bytes text, sg_error *err)
{
    sg_buf clean = {0};
    sg_status st;

    *n = 0;
    sg_utf8_clean(&clean, text.data, text.size);
    for (size_t i = 0; i < clean.size; i++)
        *n += ((unsigned char)clean.data[i] & 0xc0) != 0x80;
    st = clean.failed ? sg_fail_memory(err, "prompt") : SG_OK;
    sg_buf_free(&clean);
    return st;
}

static sg_status take_score(void *ctx, size_t i, const json_t *answer, sg_error *err)
{
    const scoring *s = ctx;

    return sg_endpoint_read_score(&s->logp[i], &s->tokens[i], s->from, answer, err);
}

static sg_status score_here(const scoring *s, size_t n, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    const sg_tokenizer *t = s->l->decoder ? sg_llama_tokenizer(s->l->decoder) : sg_t5_tokenizer(s->l->t5);
    sg_token_list prompt = {0};
    sg_desk *desk = NULL;
    sg_status st = SG_OK;

    if (s->chat)
        st = sg_chat_tokens(&prompt, s->l->decoder, s->chat->turn, s->chat->n, err);
    else if (s->prompt.size)
        st = sg_text_tokens(&prompt, t, s->prompt, false, err);
    if (!st && !(st = s->l->decoder ? sg_llama_desk(&desk, s->l->decoder, sg_llama_places(s->l->decoder), pool, err)
                                    : sg_score_t5_desk(&desk, s->l->t5, s->text, n, pool, err)))
        st = sg_score_texts(s->logp, s->tokens, desk, t, &prompt, s->text, n, progress, err);
    sg_desk_free(desk);
    sg_free(prompt.id);
    return st;
}

sg_status sg_llm_score(double *logp, int *tokens, sg_llm *l, sg_bytes prompt, const sg_turns *chat, const sg_bytes *text, size_t n,
                       sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    scoring s = {l, prompt, chat, text, logp, tokens, 0};
    const sg_client_work work = {
        .path = "/completions", .n = n, .ctx = &s, .make = make_score, .take = take_score};
    sg_status st = sg_llm_need(l, chat ? SG_LLM_SCORE | SG_LLM_CHAT : SG_LLM_SCORE, "scoring", err);

    if (st)
        return st;
    if (chat && l->client)
        return sg_fail(err, SG_ERR_USAGE, "scoring behind a conversation needs a model here: how %s writes one down is not known", l->name);
    if (l->client)
        return (st = count_characters(&s.from, prompt, err)) ? st : sg_client_run(l->client, &work, progress, err);
    return score_here(&s, n, pool, progress, err);
}
