/* llm_chat.c - prompts are looked up first; the rest is asked, equal ones once, and kept as soon as it is answered. */
#include "lm/llm_parts.h"

#include "base/alloc.h"
#include "file/json.h"
#include "file/receipt.h"
#include "lm/endpoint.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

/* ---- chat: which requests are to be asked ---------------------------------------------------------------------------------- */
typedef struct request {
    size_t i;
    sg_cache_key key;
    struct request *same; /* the next request with this key; NULL: none */
    bool repeated;        /* another one with this key is asked */
} request;

typedef struct chat {
    sg_llm *l;
    const sg_llm_work *w;
    sg_cache *cache;
    sg_buf params;   /* the options of answers, as part of keys */
    request *ask;    /* owned: (n): those that the cache does not have */
    request **first; /* owned: (n_first): of each key the one that is asked, in the order of requests */
    size_t n, n_first;
} chat;

/* All that an answer depends on, as one text. */
static sg_status describe_params(chat *c, sg_error *err)
{
    const sg_llm_config *o = &c->l->config;
    json_t *all = sg_receipt_options(&o->generate, sg_generate_options, sg_n_generate_options);

    if (all && !json_object_set_new(all, "stop", json_string(o->stop)) &&
        !json_object_set_new(all, "json_object", json_boolean(o->json_object)))
        sg_json_print_compact(&c->params, all);
    json_decref(all);
    return c->params.data && !c->params.failed ? SG_OK : sg_fail_memory(err, "options");
}

static sg_status key_of(sg_cache_key key, const chat *c, const sg_turns *t, sg_error *err)
{
    const size_t n = 4 + 2 * t->n;
    sg_bytes *part = sg_alloc_array(n, sizeof *part);

    if (!part)
        return sg_fail_memory(err, "prompt");
    part[0] = sg_llm_bytes("chat");
    part[1] = sg_llm_bytes(c->cache ? c->l->id : "");
    part[2] = (sg_bytes){c->params.data, c->params.size};
    part[3] = c->w->origin;
    for (size_t i = 0; i < t->n; i++) {
        part[4 + 2 * i] = sg_llm_bytes(t->turn[i].role);
        part[5 + 2 * i] = t->turn[i].text;
    }
    sg_cache_key_of(key, part, n);
    sg_free(part);
    return SG_OK;
}

static sg_status count_tokens(chat *c, const sg_turns *t, double *tokens, sg_error *err)
{
    sg_status st = SG_OK;

    *tokens = 0;
    for (size_t i = 0; i < t->n && !st; i++) {
        size_t n = 0;

        st = sg_llm_tokens(c->l, t->turn[i].text, &n, err);
        *tokens += (double)n + 4; /* role and ends of the turn */
    }
    return st;
}

static int by_key(const void *a, const void *b)
{
    const request *x = *(request *const *)a, *y = *(request *const *)b;
    const int d = strcmp(x->key, y->key);

    return d ? d : (x->i > y->i) - (x->i < y->i);
}

/* Links requests with equal keys, so that each is asked once. */
static sg_status link_equal(chat *c, sg_llm_count *count, sg_error *err)
{
    if (!(c->first = sg_alloc_array(c->n + 1, sizeof *c->first)))
        return sg_fail_memory(err, "requests");
    for (size_t i = 0; i < c->n; i++)
        c->first[i] = &c->ask[i];
    if (c->n)
        qsort(c->first, c->n, sizeof *c->first, by_key);
    for (size_t i = 1; i < c->n; i++)
        if (strcmp(c->first[i - 1]->key, c->first[i]->key) == 0) {
            c->first[i - 1]->same = c->first[i];
            c->first[i]->repeated = true;
        }
    for (size_t i = 0; i < c->n; i++) {
        if (c->ask[i].repeated)
            count->repeated++;
        else
            c->first[c->n_first++] = &c->ask[i];
    }
    return SG_OK;
}

/* Hands out what the cache has; the rest is kept in c->ask. */
static sg_status look_up(chat *c, sg_llm_count *count, sg_error *err)
{
    size_t cap = 0;
    sg_buf text = {0};
    sg_status st = SG_OK;

    for (size_t i = 0; i < c->w->n && !st; i++) {
        request r = {.i = i};
        sg_turns t = {0};
        bool found = false;

        if ((st = c->w->make(c->w->ctx, i, &t, err)) || (st = key_of(r.key, c, &t, err)))
            break;
        text.size = 0;
        if (c->cache)
            st = sg_cache_find(c->cache, r.key, c->w->since, &text, &found, err);
        if (found && !st) {
            const sg_llm_answer a = {{text.data ? text.data : "", text.size}, r.key, true};

            count->cached++;
            st = c->w->dry ? SG_OK : c->w->take(c->w->ctx, i, &a, err);
        } else if (!st) {
            if (!sg_grow(&c->ask, &cap, c->n + 1, sizeof *c->ask))
                st = sg_fail_memory(err, "requests");
            else
                c->ask[c->n++] = r;
        }
    }
    sg_buf_free(&text);
    return st ? st : link_equal(c, count, err);
}

static sg_status estimate(chat *c, sg_llm_count *count, sg_error *err)
{
    sg_status st = SG_OK;

    count->asked = c->n_first;
    for (size_t i = 0; i < c->n_first && !st; i++) {
        sg_turns t = {0};
        double tokens = 0;

        if (!(st = c->w->make(c->w->ctx, c->first[i]->i, &t, err)))
            st = count_tokens(c, &t, &tokens, err);
        count->tokens_in += tokens;
        count->tokens_out += c->l->config.generate.length;
    }
    return st;
}

/* ---- chat: answers --------------------------------------------------------------------------------------------------------- */
static void prompt_text(sg_buf *out, const sg_turns *t)
{
    for (size_t i = 0; i < t->n; i++) {
        sg_buf_printf(out, "[%s]\n", t->turn[i].role);
        sg_buf_add(out, t->turn[i].text.data, t->turn[i].text.size);
        sg_buf_putc(out, '\n');
    }
}

static sg_status keep(const chat *c, const request *r, sg_bytes text, double tokens_in, double tokens_out,
                      sg_error *err)
{
    sg_turns t = {0};
    sg_buf prompt = {0};
    sg_status st = c->w->make(c->w->ctx, r->i, &t, err);

    if (st)
        return st;
    prompt_text(&prompt, &t);
    if (prompt.failed) {
        st = sg_fail_memory(err, "prompt");
    } else {
        const sg_cache_answer a = {.prompt = {prompt.data, prompt.size},
                                   .text = text,
                                   .model = sg_llm_bytes(c->l->name),
                                   .origin = c->w->origin,
                                   .tokens_in = tokens_in,
                                   .tokens_out = tokens_out,
                                   .time = (int64_t)time(NULL)};

        st = sg_cache_put(c->cache, r->key, &a, err);
    }
    sg_buf_free(&prompt);
    return st;
}

static sg_bytes before_stop(const chat *c, sg_bytes text)
{
    const char *stop = c->l->config.stop;
    const size_t size = strlen(stop);

    for (size_t i = 0; size && i + size <= text.size; i++)
        if (memcmp(text.data + i, stop, size) == 0)
            return (sg_bytes){text.data, i};
    return text;
}

/* Keeps an answer, then hands it to every request that asked for it. */
static sg_status hand_out(const chat *c, const request *r, sg_bytes text, double tokens_in, double tokens_out,
                          sg_error *err)
{
    const sg_llm_answer a = {before_stop(c, text), c->cache ? r->key : "", false};
    sg_status st = c->cache ? keep(c, r, a.text, tokens_in, tokens_out, err) : SG_OK;

    for (; r && !st; r = r->same)
        st = c->w->take(c->w->ctx, r->i, &a, err);
    return st == SG_ERR_FORMAT
               ? SG_ERR_IO
               : st; /* the answer was one: what its taker says is no reason to give up on it */
}

/* ---- chat: an endpoint ----------------------------------------------------------------------------------------------------- */
static sg_status make_remote(void *ctx, size_t i, sg_client_ask *out, sg_error *err)
{
    chat *c = ctx;
    const sg_llm_config *o = &c->l->config;
    sg_turns t = {0};
    sg_status st;

    if ((st = c->w->make(c->w->ctx, c->first[i]->i, &t, err)) ||
        (st = count_tokens(c, &t, &out->tokens_in, err)))
        return st;
    out->tokens_out = o->generate.length;
    out->body = sg_endpoint_chat(o->client.model, t.turn, t.n, &o->generate, o->stop, o->json_object);
    return out->body ? SG_OK : sg_fail_memory(err, "request");
}

static double usage_of(const json_t *answer, const char *key)
{
    return json_number_value(json_object_get(json_object_get(answer, "usage"), key));
}

static sg_status take_remote(void *ctx, size_t i, const json_t *answer, sg_error *err)
{
    const chat *c = ctx;
    sg_bytes text;
    const sg_status st = sg_endpoint_read_chat(&text, answer, err);

    return st ? st
              : hand_out(c, c->first[i], text, usage_of(answer, "prompt_tokens"),
                         usage_of(answer, "completion_tokens"), err);
}

static sg_status give_up_all(const chat *c, const request *r, const sg_error *why)
{
    sg_status st = SG_OK;

    for (; r && !st; r = r->same)
        st = c->w->give_up(c->w->ctx, r->i, why);
    return st;
}

static sg_status give_up_remote(void *ctx, size_t i, const sg_error *why)
{
    const chat *c = ctx;

    return c->w->give_up ? give_up_all(c, c->first[i], why) : why->status;
}

/* ---- chat: a model of ours ------------------------------------------------------------------------------------------------- */
typedef struct batch { /* requests that are answered together */
    sg_token_list *prompt; /* owned (n) */
    const request **of;    /* owned (n) */
    sg_answer *answer;     /* owned (n) */
    int n;
} batch;

static void batch_free(batch *b, size_t most)
{
    for (size_t i = 0; i < most && b->prompt; i++)
        sg_free(b->prompt[i].id);
    for (size_t i = 0; i < most && b->answer; i++)
        sg_answer_free(&b->answer[i]);
    sg_free(b->prompt);
    sg_free(b->of);
    sg_free(b->answer);
}

/* One more of the batch, unless it cannot be asked. */
static sg_status add_local(batch *b, const chat *c, const request *r, sg_error *err)
{
    const int known = sg_llama_places(c->l->decoder);
    sg_token_list *prompt = &b->prompt[b->n];
    sg_turns t = {0};
    sg_status st = c->w->make(c->w->ctx, r->i, &t, err);

    if (!st && !(st = sg_chat_tokens(prompt, c->l->decoder, t.turn, t.n, err)) &&
        (c->l->config.generate.think || !(st = sg_chat_no_thinking(prompt, c->l->decoder, err))) && prompt->n >= (size_t)known)
        st = sg_fail(err, SG_ERR_USAGE, "prompt: expected fewer tokens than the %d that the model knows, found %zu", known, prompt->n);
    if (!st) {
        b->of[b->n++] = r;
        return SG_OK;
    }
    prompt->n = 0;
    return st == SG_ERR_USAGE && c->w->give_up ? give_up_all(c, r, err) : st;
}

static sg_status hand_out_local(const chat *c, const batch *b, int i, sg_error *err)
{
    const sg_token_list *tokens = &b->answer[i].text[0].tokens;
    sg_buf text = {0};
    sg_status st = sg_tokenizer_decode(&text, sg_llama_tokenizer(c->l->decoder), tokens->id, tokens->n, true, err);

    if (!st && text.failed)
        st = sg_fail_memory(err, "answer");
    if (!st)
        st = hand_out(c, b->of[i], (sg_bytes){text.data ? text.data : "", text.size}, (double)b->prompt[i].n, (double)tokens->n, err);
    sg_buf_free(&text);
    return st;
}

/* Requests first .. first + n - 1. */
static sg_status answer_some(const chat *c, sg_desk *desk, size_t first, size_t n, sg_error *err)
{
    sg_generate_report ignored;
    batch b = {.prompt = sg_alloc_zero(n, sizeof *b.prompt), .of = sg_alloc_zero(n, sizeof *b.of), .answer = sg_alloc_zero(n, sizeof *b.answer)};
    sg_status st = b.prompt && b.of && b.answer ? SG_OK : sg_fail_memory(err, "requests");

    for (size_t i = 0; i < n && !st; i++)
        st = add_local(&b, c, c->first[first + i], err);
    if (!st) {
        const sg_generate_job job = {.desk = desk, .prompt = b.prompt, .n = b.n, .end = sg_chat_end(c->l->decoder), .guide = c->w->guide};

        st = sg_generate(b.answer, &ignored, &job, &c->l->config.generate, NULL, err);
    }
    for (int i = 0; i < b.n && !st; i++)
        st = hand_out_local(c, &b, i, err);
    batch_free(&b, n);
    return st;
}

/* As many together as the option `batch` says: what was answered is kept before the next ones are read. */
static sg_status answer_all(const chat *c, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    const size_t each = (size_t)c->l->config.generate.batch;
    sg_desk *desk;
    sg_status st = sg_llama_desk(&desk, c->l->decoder, sg_llama_places(c->l->decoder), pool, err);

    for (size_t i = 0; i < c->n_first && !st; i += each) {
        const size_t n = c->n_first - i < each ? c->n_first - i : each;

        if (!(st = answer_some(c, desk, i, n, err)))
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "ask",
                                                       .unit = "requests",
                                                       .done = (double)(i + n),
                                                       .total = (double)c->n_first,
                                                       .loss = (double)NAN},
                                  err);
    }
    sg_desk_free(desk);
    return st;
}

sg_status sg_llm_chat(sg_llm *l, const sg_llm_work *w, sg_cache *cache, sg_llm_count *count, sg_pool *pool,
                      const sg_progress *progress, sg_error *err)
{
    chat c = {.l = l, .w = w, .cache = cache};
    sg_status st;

    *count = (sg_llm_count){0};
    if (!(st = sg_llm_need(l, SG_LLM_CHAT | (w->guide ? SG_LLM_CONSTRAIN : 0), w->guide ? "an answer of a given form" : "a conversation", err)) &&
        (!cache || !(st = sg_llm_identify(l, err))) && !(st = describe_params(&c, err)) &&
        !(st = look_up(&c, count, err)) && !(st = estimate(&c, count, err)) && !w->dry && c.n_first) {
        if (!l->client) {
            st = answer_all(&c, pool, progress, err);
        } else {
            const sg_client_work work = {.path = "/chat/completions",
                                         .n = c.n_first,
                                         .ctx = &c,
                                         .make = make_remote,
                                         .take = take_remote,
                                         .give_up = give_up_remote};

            st = sg_client_run(l->client, &work, progress, err);
        }
    }
    sg_buf_free(&c.params);
    sg_free(c.ask);
    sg_free(c.first);
    return st;
}
