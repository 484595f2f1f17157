/* llm_score.c - how likely texts are after a prompt; with a cache only those that are not in it are asked about. */
#include "lm/llm_parts.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "lm/endpoint.h"
#include "lm/score.h"

#include <stdio.h>
#include <time.h>

enum { SCORE_CALL_TOKENS = 16 };

typedef struct scoring {
    sg_llm *l;
    const sg_llm_scores *w;
    sg_cache *cache; /* NULL: none */
    double *logp;
    int *tokens;
    sg_cache_key before; /* of the model and the prompt, as part of keys */
    size_t *wanted;      /* owned (n): texts that are asked about */
    sg_bytes *text;      /* owned (n) */
    size_t n;
    double *logp_wanted; /* owned (n) */
    int *tokens_wanted;  /* owned (n) */
    size_t from;         /* an endpoint: characters of the prompt */
} scoring;

/* ---- the cache --------------------------------------------------------------------------------------------------------------- */
static sg_status hash_prompt(scoring *s, sg_error *err)
{
    const sg_turns none = {NULL, 0}, *t = s->w->chat ? s->w->chat : &none;
    const size_t n = 4 + 2 * t->n;
    sg_bytes *part = sg_alloc_array(n, sizeof *part);

    if (!part)
        return sg_fail_memory(err, "prompt");
    part[0] = sg_llm_bytes("score");
    part[1] = sg_llm_bytes(s->l->id);
    part[2] = sg_llm_bytes(s->w->chat ? "chat" : "prompt");
    part[3] = s->w->chat ? (sg_bytes){"", 0} : s->w->prompt;
    for (size_t i = 0; i < t->n; i++) {
        part[4 + 2 * i] = sg_llm_bytes(t->turn[i].role);
        part[5 + 2 * i] = t->turn[i].text;
    }
    sg_cache_key_of(s->before, part, n);
    sg_free(part);
    return SG_OK;
}

static void key_of(sg_cache_key key, const scoring *s, size_t i)
{
    const sg_bytes part[] = {{s->before, sizeof s->before - 1}, s->w->text[i]};

    sg_cache_key_of(key, part, 2);
}

static sg_status find_score(bool *found, const scoring *s, size_t i, sg_error *err)
{
    sg_buf text = {0};
    sg_cache_key key;
    bool cut;
    sg_status st;

    key_of(key, s, i);
    if (!(st = sg_cache_find(s->cache, key, 0, &text, &cut, found, err)) && *found)
        *found = text.data && sscanf(text.data, "%lf %d", &s->logp[i], &s->tokens[i]) == 2;
    sg_buf_free(&text);
    return st;
}

/* Score number `at` of those that are asked about is there. */
static sg_status take(void *ctx, size_t at, sg_error *err)
{
    const scoring *s = ctx;
    const size_t i = s->wanted[at];
    char text[64];
    sg_cache_key key;

    s->logp[i] = s->logp_wanted[at];
    s->tokens[i] = s->tokens_wanted[at];
    if (!s->cache)
        return SG_OK;
    snprintf(text, sizeof text, "%.17g %d", s->logp[i], s->tokens[i]);
    const sg_cache_answer a = {.prompt = s->w->text[i],
                               .text = sg_llm_bytes(text),
                               .model = sg_llm_bytes(s->l->name),
                               .origin = sg_llm_bytes("score"),
                               .time = (int64_t)time(NULL)};
    key_of(key, s, i);
    return sg_cache_put(s->cache, key, &a, err);
}

static sg_status give_up(void *ctx, size_t at, const sg_error *why)
{
    const scoring *s = ctx;

    return s->w->give_up(s->w->ctx, s->wanted[at], why);
}

/* Scores that the cache has go to their places; the other texts are wanted. */
static sg_status look_up(scoring *s, sg_error *err)
{
    const size_t n = s->w->n;
    sg_status st = SG_OK;

    s->wanted = sg_alloc_array(n + 1, sizeof *s->wanted);
    s->text = sg_alloc_array(n + 1, sizeof *s->text);
    s->logp_wanted = sg_alloc_zero(n + 1, sizeof *s->logp_wanted);
    s->tokens_wanted = sg_alloc_zero(n + 1, sizeof *s->tokens_wanted);
    if (!s->wanted || !s->text || !s->logp_wanted || !s->tokens_wanted)
        return sg_fail_memory(err, "scores");
    if (s->cache && ((st = sg_llm_identify(s->l, err)) || (st = hash_prompt(s, err))))
        return st;
    for (size_t i = 0; i < n && !st; i++) {
        bool found = false;

        s->logp[i] = 0;
        s->tokens[i] = 0;
        if (s->cache)
            st = find_score(&found, s, i, err);
        if (!found && !st) {
            s->wanted[s->n] = i;
            s->text[s->n++] = s->w->text[i];
        }
    }
    return st;
}

/* ---- an endpoint ------------------------------------------------------------------------------------------------------------- */
static sg_status make_score(void *ctx, size_t i, sg_client_ask *out, sg_error *err)
{
    const scoring *s = ctx;
    size_t a = 0, b = 0;
    sg_status st;

    if ((st = sg_llm_tokens(s->l, s->w->prompt, &a, err)) || (st = sg_llm_tokens(s->l, s->text[i], &b, err)))
        return st;
    out->tokens_in = (double)(a + b + SCORE_CALL_TOKENS);
    out->body = sg_endpoint_score(s->l->config.client.model, s->w->prompt, s->text[i]);
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
    sg_status st = sg_endpoint_read_score(&s->logp_wanted[i], &s->tokens_wanted[i], s->from, answer, err);

    if (st)
        return st;
    st = take(ctx, i, err);
    return st == SG_ERR_FORMAT ? SG_ERR_IO : st; /* the answer was one */
}

static sg_status score_there(scoring *s, const sg_progress *progress, sg_error *err)
{
    const sg_client_work work = {.path = "/completions",
                                 .n = s->n,
                                 .ctx = s,
                                 .make = make_score,
                                 .take = take_score,
                                 .give_up = s->w->give_up ? give_up : NULL};
    const sg_status st = count_characters(&s->from, s->w->prompt, err);

    return st ? st : sg_client_run(s->l->client, &work, progress, err);
}

/* ---- a model of ours --------------------------------------------------------------------------------------------------------- */
static sg_status score_here(scoring *s, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    const sg_llama *decoder = s->l->decoder;
    const sg_turns *chat = s->w->chat;
    const sg_tokenizer *t = decoder ? sg_llama_tokenizer(decoder) : sg_t5_tokenizer(s->l->t5);
    sg_token_list prompt = {0};
    sg_desk *desk = NULL;
    sg_status st = SG_OK;

    if (chat)
        st = sg_chat_tokens(&prompt, decoder, chat->turn, chat->n, true, err);
    else if (s->w->prompt.size)
        st = sg_text_tokens(&prompt, t, s->w->prompt, false, err);
    if (!st && !(st = decoder ? sg_llama_desk(&desk, decoder, sg_llama_places(decoder), pool, err)
                              : sg_score_t5_desk(&desk, s->l->t5, s->text, s->n, pool, err))) {
        const sg_score_job job = {
            desk, t, &prompt, s->text, s->n, s->wanted, s, take, s->w->give_up ? give_up : NULL};

        st = sg_score_texts(s->logp_wanted, s->tokens_wanted, &job, progress, err);
    }
    sg_desk_free(desk);
    sg_free(prompt.id);
    return st;
}

sg_status sg_llm_score(double *logp, int *tokens, size_t *cached, sg_llm *l, const sg_llm_scores *w,
                       sg_cache *cache, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    scoring s = {.l = l, .w = w, .cache = cache, .logp = logp, .tokens = tokens};
    sg_status st = sg_llm_need(l, w->chat ? SG_LLM_SCORE | SG_LLM_CHAT : SG_LLM_SCORE, "scoring", err);

    *cached = 0;
    if (st)
        return st;
    if (w->chat && l->client)
        return sg_fail(
            err, SG_ERR_USAGE,
            "scoring behind a conversation needs a model here: how %s writes one down is not known", l->name);
    if (!(st = look_up(&s, err)) && (s.n || !w->n))
        st = l->client ? score_there(&s, progress, err) : score_here(&s, pool, progress, err);
    *cached = w->n - s.n;
    sg_free(s.wanted);
    sg_free(s.text);
    sg_free(s.logp_wanted);
    sg_free(s.tokens_wanted);
    return st;
}
