/* llm_chat.c - prompts are looked up first; the rest is asked, equal ones once, and kept as soon as it is answered. */
#include "lm/llm_parts.h"

#include "base/alloc.h"
#include "file/json.h"
#include "file/receipt.h"
#include "lm/endpoint.h"
#include "lm/stop.h"

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

/* All that an answer depends on, as one text. The batch is none of it, and stands there as it always did for the sake of older caches,
 * in which `think` was unknown; `draws` counts the ways in which a model here has taken its random numbers. */
static sg_status describe_params(chat *c, sg_error *err)
{
    const sg_llm_config *o = &c->l->config;
    sg_generate_config usual, g = o->generate;
    json_t *all;

    sg_options_init(&usual, sg_generate_options, sg_n_generate_options);
    g.batch = usual.batch;
    all = sg_receipt_options(&g, sg_generate_options, sg_n_generate_options);
    if (all && g.think)
        json_object_del(all, "think");
    if (all && !json_object_set_new(all, "stop", json_string(o->stop)) &&
        !json_object_set_new(all, "json_object", json_boolean(o->json_object)) &&
        (c->l->client || g.temperature <= 0 || !json_object_set_new(all, "draws", json_integer(2))))
        sg_json_print_compact(&c->params, all);
    json_decref(all);
    return c->params.data && !c->params.failed ? SG_OK : sg_fail_memory(err, "options");
}

/* Of the turns behind some parts. */
static sg_status hash_turns(sg_cache_key key, const sg_bytes *before, size_t n_before, const sg_turns *t,
                            sg_error *err)
{
    const size_t n = n_before + 2 * t->n;
    sg_bytes *part = sg_alloc_array(n, sizeof *part);

    if (!part)
        return sg_fail_memory(err, "prompt");
    memcpy(part, before, n_before * sizeof *before);
    for (size_t i = 0; i < t->n; i++) {
        part[n_before + 2 * i] = sg_llm_bytes(t->turn[i].role);
        part[n_before + 2 * i + 1] = t->turn[i].text;
    }
    sg_cache_key_of(key, part, n);
    sg_free(part);
    return SG_OK;
}

static sg_status key_of(sg_cache_key key, const chat *c, const sg_turns *t, sg_error *err)
{
    const sg_bytes before[] = {sg_llm_bytes("chat"),
                               sg_llm_bytes(c->cache ? c->l->id : ""),
                               {c->params.data, c->params.size},
                               c->w->origin};

    return hash_turns(key, before, 4, t, err);
}

/* The same request, the same draws, with a cache or without, whatever else is asked. */
static sg_status number_of(uint64_t *number, const chat *c, const sg_turns *t, sg_error *err)
{
    const sg_bytes before[] = {sg_llm_bytes("draw"), c->w->origin};
    sg_cache_key key;
    const sg_status st = hash_turns(key, before, 2, t, err);

    key[16] = 0;
    *number = st ? 0 : strtoull(key, NULL, 16);
    return st;
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
        bool found = false, cut = false;

        if ((st = c->w->make(c->w->ctx, i, &t, err)) || (st = key_of(r.key, c, &t, err)))
            break;
        text.size = 0;
        if (c->cache)
            st = sg_cache_find(c->cache, r.key, c->w->since, &text, &cut, &found, err);
        if (found && !st) {
            const sg_llm_answer a = {{text.data ? text.data : "", text.size}, r.key, true, cut};

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

typedef struct said { /* an answer as it came */
    sg_bytes text;
    bool cut;
    double tokens_in, tokens_out;
} said;

static sg_status keep(const chat *c, const request *r, const said *s, sg_error *err)
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
                                   .text = s->text,
                                   .model = sg_llm_bytes(c->l->name),
                                   .origin = c->w->origin,
                                   .tokens_in = s->tokens_in,
                                   .tokens_out = s->tokens_out,
                                   .time = (int64_t)time(NULL),
                                   .cut = s->cut};

        st = sg_cache_put(c->cache, r->key, &a, err);
    }
    sg_buf_free(&prompt);
    return st;
}

/* Keeps an answer, then hands it to every request that asked for it. */
static sg_status hand_out(const chat *c, const request *r, const said *whole, sg_error *err)
{
    said s = *whole;
    sg_status st;

    s.text = sg_stop_before(s.text, c->l->config.stop);
    s.cut = s.cut && s.text.size == whole->text.size;
    const sg_llm_answer a = {s.text, c->cache ? r->key : "", false, s.cut};
    st = c->cache ? keep(c, r, &s, err) : SG_OK;
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

static sg_status take_remote(void *ctx, size_t i, const json_t *answer, sg_error *err)
{
    const chat *c = ctx;
    said s = {.tokens_in = sg_endpoint_usage(answer, "prompt_tokens", 0),
              .tokens_out = sg_endpoint_usage(answer, "completion_tokens", 0)};
    const sg_status st = sg_endpoint_read_chat(&s.text, &s.cut, answer, err);

    return st ? st : hand_out(c, c->first[i], &s, err);
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
enum { STRETCH = 1024 /* requests whose prompts are there at once */ };

typedef struct local {
    const chat *c;
    sg_token_list *prompt; /* owned (STRETCH) */
    const request **of;    /* owned (STRETCH) */
    uint64_t *number;      /* owned (STRETCH): of its draws */
    sg_answer *answer;     /* owned (STRETCH) */
    int n;
    sg_stopper stop;
    size_t before; /* requests that are done with, of the stretches before this one */
    const sg_progress *progress;
} local;

/* One more of the stretch, unless it cannot be asked. */
static sg_status add_local(local *m, const request *r, sg_error *err)
{
    const chat *c = m->c;
    const int known = sg_llama_places(c->l->decoder);
    sg_token_list *prompt = &m->prompt[m->n];
    sg_turns t = {0};
    sg_status st = c->w->make(c->w->ctx, r->i, &t, err);

    prompt->n = 0;
    if (!st && !(st = number_of(&m->number[m->n], c, &t, err)) &&
        !(st = sg_chat_tokens(prompt, c->l->decoder, t.turn, t.n, c->l->config.generate.think, err)) &&
        prompt->n >= (size_t)known)
        st = sg_fail(err, SG_ERR_USAGE,
                     "prompt: expected fewer tokens than the %d that the model knows, found %zu", known,
                     prompt->n);
    if (!st) {
        m->of[m->n++] = r;
        return SG_OK;
    }
    if (st == SG_ERR_USAGE && c->w->give_up && (st = give_up_all(c, r, err)) == SG_ERR_MEMORY)
        sg_fail_memory(err, "answers");
    return st;
}

static sg_status take_local(void *ctx, int i, sg_answer *answer, sg_error *err)
{
    const local *m = ctx;
    const chat *c = m->c;
    const sg_written *w = &answer->text[0];
    sg_buf text = {0};
    sg_status st =
        sg_tokenizer_decode(&text, sg_llama_tokenizer(c->l->decoder), w->tokens.id, w->tokens.n, true, err);

    if (!st && text.failed)
        st = sg_fail_memory(err, "answer");
    if (!st) {
        const said s = {
            {text.data ? text.data : "", text.size}, !w->ended, (double)m->prompt[i].n, (double)w->tokens.n};

        st = hand_out(c, m->of[i], &s, err);
    }
    sg_buf_free(&text);
    sg_answer_free(answer);
    return st;
}

static sg_status ends_local(bool *yes, void *ctx, int i, const sg_token_list *written, sg_error *err)
{
    local *m = ctx;

    (void)i;
    return sg_stopper_reached(yes, &m->stop, written, err);
}

static uint64_t number_local(void *ctx, int i)
{
    const local *m = ctx;

    return m->number[i];
}

/* What the model says of its texts becomes a word about all requests. */
static int tell_local(void *ctx, const sg_progress_event *e)
{
    const local *m = ctx;
    const bool one = strcmp(e->unit, "tokens") == 0;
    const sg_progress_event all = {.stage = "ask",
                                   .unit = "requests",
                                   .done = (double)m->before + (one ? 0 : e->done),
                                   .total = (double)m->c->n_first,
                                   .loss = (double)NAN};

    return m->progress && m->progress->call ? m->progress->call(m->progress->user, &all) : 0;
}

static sg_status answer_stretch(local *m, sg_desk *desk, size_t first, size_t n, sg_error *err)
{
    const chat *c = m->c;
    const sg_generate_watch watch = {
        .ctx = m, .ends = *m->stop.text ? ends_local : NULL, .done = take_local, .number = number_local};
    const sg_progress progress = {tell_local, m};
    sg_generate_report ignored;
    sg_status st = SG_OK;

    m->n = 0;
    for (size_t i = 0; i < n && !st; i++)
        st = add_local(m, c->first[first + i], err);
    const sg_generate_job job = {.desk = desk,
                                 .prompt = m->prompt,
                                 .n = m->n,
                                 .end = sg_chat_end(c->l->decoder),
                                 .guide = c->w->guide,
                                 .watch = &watch};
    m->before = first + n - (size_t)m->n; /* with those that could not be asked */
    return st ? st : sg_generate(m->answer, &ignored, &job, &c->l->config.generate, &progress, err);
}

/* Each answer is kept as soon as it is there. */
static sg_status answer_all(const chat *c, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    local m = {.c = c,
               .prompt = sg_alloc_zero(STRETCH, sizeof *m.prompt),
               .of = sg_alloc_zero(STRETCH, sizeof *m.of),
               .number = sg_alloc_zero(STRETCH, sizeof *m.number),
               .answer = sg_alloc_zero(STRETCH, sizeof *m.answer),
               .stop = {sg_llama_tokenizer(c->l->decoder), c->l->config.stop, {0}},
               .progress = progress};
    sg_desk *desk = NULL;
    sg_status st = m.prompt && m.of && m.number && m.answer
                       ? sg_llama_desk(&desk, c->l->decoder, sg_llama_places(c->l->decoder), pool, err)
                       : sg_fail_memory(err, "requests");

    for (size_t i = 0; i < c->n_first && !st; i += STRETCH)
        st = answer_stretch(&m, desk, i, c->n_first - i < STRETCH ? c->n_first - i : STRETCH, err);
    sg_desk_free(desk);
    for (size_t i = 0; i < STRETCH && m.prompt; i++)
        sg_free(m.prompt[i].id);
    for (size_t i = 0; i < STRETCH && m.answer; i++)
        sg_answer_free(&m.answer[i]);
    sg_free(m.prompt);
    sg_free(m.of);
    sg_free(m.number);
    sg_free(m.answer);
    sg_stopper_free(&m.stop);
    return st;
}

sg_status sg_llm_chat(sg_llm *l, const sg_llm_work *w, sg_cache *cache, sg_llm_count *count, sg_pool *pool,
                      const sg_progress *progress, sg_error *err)
{
    chat c = {.l = l, .w = w, .cache = cache};
    sg_status st;

    *count = (sg_llm_count){0};
    if (w->guide && *l->config.stop)
        return sg_fail(err, SG_ERR_USAGE,
                       "stop: expected no answers of a given form, which end where it ends");
    if (!(st = sg_llm_need(l, SG_LLM_CHAT | (w->guide ? SG_LLM_CONSTRAIN : 0),
                           w->guide ? "an answer of a given form" : "a conversation", err)) &&
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
