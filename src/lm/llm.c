/* llm.c - one interface; what it opens says what it can. Prompts are looked up first, the rest is asked, equal ones once. */
#include "lm/llm.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/receipt.h"
#include "file/sha256.h"
#include "lm/endpoint.h"
#include "math/gemm.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SG_OPTION_STRUCT sg_llm_config
const sg_option sg_llm_options[] = {SG_LLM_OPTIONS(SG_OPTION_ROW)};
const size_t sg_n_llm_options = sizeof sg_llm_options / sizeof *sg_llm_options;

enum { EMBED_BATCH = 64 /* texts a request */, SCORE_CALL_TOKENS = 16 };

struct sg_llm {
    sg_llm_config config;
    unsigned offers;
    char *name, *id;         /* owned */
    sg_client *client;       /* owned; NULL: local */
    sg_sentence *sentence;   /* owned; NULL: remote */
    const sg_llama *decoder; /* of sentence; NULL: an encoder */
    sg_tokenizer *tokenizer; /* owned: of an endpoint; or NULL */
    sg_encoder *counter;     /* owned; NULL: no tokenizer */
    sg_reading *reading;     /* owned: a session of the decoder */
    int places;              /* of it */
    sg_token_list held;      /* owned: the prompt that the session has read */
};

static sg_bytes bytes_of(const char *s)
{
    return (sg_bytes){s, strlen(s)};
}

/* ---- capabilities ---------------------------------------------------------------------------------------------------------- */
static const char *const can_name[SG_N_LLM_CAN] = {"chat",      "embed", "score", "hidden",
                                                   "constrain", "soft",  "train"};

void sg_llm_can_names(sg_buf *out, unsigned can)
{
    bool first = true;

    for (int i = 0; i < SG_N_LLM_CAN; i++)
        if (can & 1u << i) {
            sg_buf_printf(out, first ? "%s" : ", %s", can_name[i]);
            first = false;
        }
    if (first)
        sg_buf_puts(out, "nothing");
}

sg_status sg_llm_need(const sg_llm *l, unsigned can, const char *who, sg_error *err)
{
    const unsigned missing = can & ~l->offers;
    sg_buf lacks = {0}, has = {0};
    sg_status st = SG_OK;

    if (!missing)
        return SG_OK;
    sg_llm_can_names(&lacks, missing);
    sg_llm_can_names(&has, l->offers);
    if (lacks.failed || has.failed)
        st = sg_fail_memory(err, "capabilities");
    else
        st = sg_fail(err, SG_ERR_USAGE, "%s needs %s: %s offers %s", who, lacks.data, l->name, has.data);
    sg_buf_free(&lacks);
    sg_buf_free(&has);
    return st;
}

static sg_status read_offers(unsigned *out, const char *list, sg_error *err)
{
    static const unsigned remote = SG_LLM_CHAT | SG_LLM_EMBED | SG_LLM_SCORE;

    *out = 0;
    for (const char *p = list; *p;) {
        const size_t size = strcspn(p, ",");
        unsigned bit = 0;

        for (int i = 0; i < SG_N_LLM_CAN; i++)
            if (strlen(can_name[i]) == size && strncmp(can_name[i], p, size) == 0)
                bit = 1u << i;
        if (!(bit & remote))
            return sg_fail(err, SG_ERR_USAGE, "offers: expected chat, embed or score, found '%.*s'",
                           (int)size, p);
        *out |= bit;
        p += size + (p[size] == ',');
    }
    return SG_OK;
}

/* ---- what a model is, for keys --------------------------------------------------------------------------------------------- */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Files that decide what a model answers; notes and other formats of the weights do not. */
static bool counts(const char *name)
{
    static const char *const ends[] = {".json", ".safetensors", ".model", ".txt", ".gguf", ".zst", ".gz"};
    const size_t size = strlen(name);

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (size > strlen(ends[i]) && strcmp(name + size - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

static sg_status hash_path(sg_sha256 *h, const char *path, const char *shown, bool inside, sg_error *err);

/* Names in byte order: the modules of a sentence-transformers folder are folders inside it. */
static sg_status hash_folder(sg_sha256 *h, const char *dir, bool inside, sg_error *err)
{
    DIR *d = sg_io_fault() ? NULL : opendir(dir);
    const struct dirent *e;
    char **name = NULL;
    size_t n = 0, cap = 0;
    sg_status st = SG_OK;

    if (!d)
        return sg_fail_errno(err, dir, "open");
    while (!st && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        if (!sg_grow(&name, &cap, n + 1, sizeof *name) || !(name[n] = sg_strdup(e->d_name)))
            st = sg_fail_memory(err, dir);
        else
            n++;
    }
    closedir(d);
    if (n)
        qsort(name, n, sizeof *name, by_name);
    for (size_t i = 0; i < n; i++) {
        char *path = st ? NULL : sg_path_join(dir, name[i]);

        if (!st)
            st = path ? hash_path(h, path, name[i], inside, err) : sg_fail_memory(err, dir);
        sg_free(path);
        sg_free(name[i]);
    }
    sg_free(name);
    return st;
}

static sg_status hash_path(sg_sha256 *h, const char *path, const char *shown, bool inside, sg_error *err)
{
    char hex[65];
    sg_status st;

    if (sg_dir_exists(path))
        return inside ? SG_OK : hash_folder(h, path, true, err);
    if (!counts(shown))
        return SG_OK;
    if ((st = sg_sha256_file(hex, NULL, path, err)))
        return st;
    sg_sha256_add(h, shown, strlen(shown) + 1);
    sg_sha256_add(h, hex, 64);
    return SG_OK;
}

static sg_status identify(sg_llm *l, const char *where, sg_error *err)
{
    sg_sha256 h;
    char hex[65];
    sg_status st;

    sg_sha256_init(&h);
    if ((st = sg_dir_exists(where) ? hash_folder(&h, where, false, err)
                                   : hash_path(&h, where, ".gguf.gguf", false, err)))
        return st;
    sg_sha256_hex(&h, hex);
    l->id = sg_strdup(hex);
    return l->id ? SG_OK : sg_fail_memory(err, "model");
}

/* ---- opening --------------------------------------------------------------------------------------------------------------- */
void sg_llm_config_init(sg_llm_config *c)
{
    sg_options_init(c, sg_llm_options, sg_n_llm_options);
    sg_options_init(&c->client, sg_client_options, sg_n_client_options);
    sg_options_init(&c->generate, sg_generate_options, sg_n_generate_options);
    sg_options_init(&c->sentence, sg_sentence_options, sg_n_sentence_options);
}

bool sg_llm_is_remote(const char *where)
{
    return strncmp(where, "http://", 7) == 0 || strncmp(where, "https://", 8) == 0;
}

static sg_status open_remote(sg_llm *l, const char *url, sg_error *err)
{
    sg_buf name = {0};
    sg_status st;

    if ((st = read_offers(&l->offers, l->config.offers, err)) ||
        (st = sg_client_new(&l->client, url, &l->config.client, err)))
        return st;
    if (*l->config.tokenizer && ((st = sg_tokenizer_open(&l->tokenizer, l->config.tokenizer, err)) ||
                                 (st = sg_encoder_new(&l->counter, l->tokenizer, err))))
        return st;
    sg_buf_printf(&name, *l->config.client.model ? "%s %s" : "%s", sg_client_url(l->client),
                  l->config.client.model);
    l->name = sg_buf_take(&name);
    l->id = l->name ? sg_strdup(l->name) : NULL;
    return l->id ? SG_OK : sg_fail_memory(err, "model");
}

static sg_status open_local(sg_llm *l, const char *path, sg_error *err)
{
    sg_status st;

    if (!(l->name = sg_strdup(path)))
        return sg_fail_memory(err, "model");
    if ((st = sg_sentence_open(&l->sentence, path, err)) || (st = identify(l, path, err)))
        return st;
    l->offers = SG_LLM_EMBED | SG_LLM_HIDDEN;
    if (!(l->decoder = sg_sentence_decoder(l->sentence)))
        return SG_OK;
    l->offers |= SG_LLM_SCORE;
    if (sg_chat_end(l->decoder) >= 0)
        l->offers |= SG_LLM_CHAT;
    return sg_encoder_new(&l->counter, sg_llama_tokenizer(l->decoder), err);
}

sg_status sg_llm_open(sg_llm **out, const char *where, const sg_llm_config *c, sg_error *err)
{
    sg_llm *l = sg_alloc_zero(1, sizeof *l);
    sg_status st;

    *out = NULL;
    if (!l)
        return sg_fail_memory(err, "model");
    l->config = *c;
    if ((st = sg_llm_is_remote(where) ? open_remote(l, where, err) : open_local(l, where, err))) {
        sg_llm_close(l);
        return st;
    }
    *out = l;
    return SG_OK;
}

void sg_llm_close(sg_llm *l)
{
    if (!l)
        return;
    sg_reading_free(l->reading);
    sg_encoder_free(l->counter);
    sg_tokenizer_close(l->tokenizer);
    sg_sentence_close(l->sentence);
    sg_client_free(l->client);
    sg_free(l->held.id);
    sg_free(l->name);
    sg_free(l->id);
    sg_free(l);
}

unsigned sg_llm_offers(const sg_llm *l)
{
    return l->offers;
}

const char *sg_llm_name(const sg_llm *l)
{
    return l->name;
}

const char *sg_llm_id(const sg_llm *l)
{
    return l->id;
}

const sg_client_use *sg_llm_used(const sg_llm *l)
{
    return l->client ? sg_client_used(l->client) : NULL;
}

sg_status sg_llm_tokens(sg_llm *l, sg_bytes text, size_t *n, sg_error *err)
{
    const sg_encode_how how = {.bare = true, .literal = true};
    const int32_t *id;

    if (l->counter)
        return sg_encoder_run(&id, n, l->counter, text, &how, err);
    *n = (size_t)sg_tokens_about(text);
    return SG_OK;
}

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
    part[0] = bytes_of("chat");
    part[1] = bytes_of(c->l->id);
    part[2] = (sg_bytes){c->params.data, c->params.size};
    part[3] = c->w->origin;
    for (size_t i = 0; i < t->n; i++) {
        part[4 + 2 * i] = bytes_of(t->turn[i].role);
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
                                   .model = bytes_of(c->l->name),
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

static sg_status give_up_remote(void *ctx, size_t i, const sg_error *why)
{
    const chat *c = ctx;
    sg_status st = c->w->give_up ? SG_OK : why->status;

    for (const request *r = c->first[i]; r && !st; r = r->same)
        st = c->w->give_up(c->w->ctx, r->i, why);
    return st;
}

/* ---- chat: a model of ours ------------------------------------------------------------------------------------------------- */
/* A session with room for a prompt and its answer; what it has read in common with this prompt is not read again. */
static sg_status session_for(sg_llm *l, const sg_token_list *prompt, size_t *common, int length,
                             sg_pool *pool, sg_error *err)
{
    const int known = sg_llama_config_of(l->decoder)->places;
    const size_t want = prompt->n + (size_t)length;
    size_t same = 0;
    sg_status st;

    if (prompt->n >= (size_t)known)
        return sg_fail(err, SG_ERR_USAGE,
                       "prompt: expected fewer tokens than the %d that the model knows, found %zu", known,
                       prompt->n);
    if (!l->reading || want > (size_t)l->places) {
        const int places = want < (size_t)known ? (int)want : known;

        sg_reading_free(l->reading);
        l->reading = NULL;
        l->held.n = 0;
        if ((st = sg_reading_new(&l->reading, l->decoder, places, pool, err)))
            return st;
        l->places = places;
    }
    while (same < l->held.n && same + 1 < prompt->n && l->held.id[same] == prompt->id[same])
        same++;
    sg_reading_cut(l->reading, (int)same);
    l->held.n = 0; /* until this prompt is read */
    if (!sg_grow(&l->held.id, &l->held.cap, prompt->n + 1, sizeof *l->held.id))
        return sg_fail_memory(err, "prompt");
    *common = same;
    return SG_OK;
}

static sg_status answer_local(const chat *c, const request *r, sg_pool *pool, sg_error *err)
{
    sg_llm *l = c->l;
    sg_generate_config o = l->config.generate;
    const sg_tokenizer *tokenizer = sg_llama_tokenizer(l->decoder);
    sg_token_list prompt = {0}, out = {0};
    sg_buf text = {0};
    double seconds[2];
    size_t common = 0;
    sg_turns t = {0};
    bool ended;
    sg_status st;

    if (!(st = c->w->make(c->w->ctx, r->i, &t, err)) &&
        !(st = sg_chat_tokens(&prompt, l->decoder, t.turn, t.n, err)) &&
        !(st = session_for(l, &prompt, &common, o.length, pool, err))) {
        const sg_token_list rest = {.id = prompt.id + common, .n = prompt.n - common};

        if (prompt.n + (size_t)o.length > (size_t)l->places)
            o.length = l->places - (int)prompt.n;
        st = sg_generate(&out, &ended, seconds, l->reading, l->decoder, &rest, sg_chat_end(l->decoder), &o,
                         NULL, err);
    }
    if (!st) {
        memcpy(l->held.id, prompt.id, prompt.n * sizeof *prompt.id);
        l->held.n = prompt.n;
        st = sg_tokenizer_decode(&text, tokenizer, out.id, out.n, true, err);
    }
    if (!st && text.failed)
        st = sg_fail_memory(err, "answer");
    if (!st)
        st = hand_out(c, r, (sg_bytes){text.data ? text.data : "", text.size}, (double)prompt.n,
                      (double)out.n, err);
    sg_free(prompt.id);
    sg_free(out.id);
    sg_buf_free(&text);
    return st;
}

static sg_status answer_all(const chat *c, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    sg_status st = SG_OK;

    for (size_t i = 0; i < c->n_first && !st; i++) {
        if ((st = answer_local(c, c->first[i], pool, err)) == SG_ERR_USAGE && c->w->give_up) {
            st = SG_OK;
            for (const request *r = c->first[i]; r && !st; r = r->same)
                st = c->w->give_up(c->w->ctx, r->i, err);
        }
        if (!st)
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "ask",
                                                       .unit = "requests",
                                                       .done = (double)i + 1,
                                                       .total = (double)c->n_first,
                                                       .loss = (double)NAN},
                                  err);
    }
    return st;
}

sg_status sg_llm_chat(sg_llm *l, const sg_llm_work *w, sg_cache *cache, sg_llm_count *count, sg_pool *pool,
                      const sg_progress *progress, sg_error *err)
{
    chat c = {.l = l, .w = w, .cache = cache};
    sg_status st;

    *count = (sg_llm_count){0};
    if (!(st = sg_llm_need(l, SG_LLM_CHAT, "a conversation", err)) && !(st = describe_params(&c, err)) &&
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

/* ---- vectors --------------------------------------------------------------------------------------------------------------- */
typedef struct embedding {
    sg_llm *l;
    const sg_bytes *text;
    size_t n;
    float *vectors; /* owned: (n, dim), once dim is known */
    int32_t dim;
    sg_error err; /* of the taker */
} embedding;

static sg_status make_embed(void *ctx, size_t i, sg_client_ask *out, sg_error *err)
{
    const embedding *e = ctx;
    const size_t first = i * EMBED_BATCH, n = e->n - first < EMBED_BATCH ? e->n - first : EMBED_BATCH;
    sg_status st = SG_OK;

    for (size_t k = 0; k < n && !st; k++) {
        size_t tokens = 0;

        st = sg_llm_tokens(e->l, e->text[first + k], &tokens, err);
        out->tokens_in += (double)tokens;
    }
    if (st)
        return st;
    out->body =
        sg_endpoint_embed(e->l->config.client.model, e->text + first, n, e->l->config.sentence.prefix);
    return out->body ? SG_OK : sg_fail_memory(err, "request");
}

static sg_status take_embed(void *ctx, size_t i, const json_t *answer, sg_error *err)
{
    embedding *e = ctx;
    const size_t first = i * EMBED_BATCH, n = e->n - first < EMBED_BATCH ? e->n - first : EMBED_BATCH;
    size_t floats;
    sg_status st;

    if (!e->vectors) {
        if ((st = sg_endpoint_embed_dim(&e->dim, answer, err)))
            return st;
        if (!sg_mul(&floats, e->n, (size_t)e->dim) ||
            !(e->vectors = sg_alloc_array(floats, sizeof *e->vectors)))
            return sg_fail_memory(err, "vectors");
    }
    return sg_endpoint_read_embed(e->vectors + first * (size_t)e->dim, n, e->dim, answer, err);
}

static sg_status encode_remote(embedding *e, const sg_progress *progress, json_t **report, sg_error *err)
{
    const sg_client_work work = {.path = "/embeddings",
                                 .n = (e->n + EMBED_BATCH - 1) / EMBED_BATCH,
                                 .ctx = e,
                                 .make = make_embed,
                                 .take = take_embed};
    const double start = sg_now();
    const sg_status st = sg_client_run(e->l->client, &work, progress, err);
    const sg_client_use *use = sg_client_used(e->l->client);

    if (st)
        return st;
    *report = json_pack("{s:I, s:i, s:I, s:f, s:f}", "texts", (json_int_t)e->n, "dim", (int)e->dim, "calls",
                        (json_int_t)use->calls, "tokens", use->tokens_in, "seconds", sg_now() - start);
    return *report ? SG_OK : sg_fail_memory(err, "report");
}

static sg_status encode(embedding *e, sg_pool *pool, const sg_progress *progress, json_t **report,
                        sg_error *err)
{
    return e->l->client ? encode_remote(e, progress, report, err)
                        : sg_sentence_encode(&e->vectors, &e->dim, e->l->sentence, e->text, e->n,
                                             &e->l->config.sentence, pool, progress, report, err);
}

/* What a vector depends on beside the text. */
static sg_status describe_encoder(sg_buf *out, const sg_llm *l, sg_error *err)
{
    const sg_sentence_config *o = &l->config.sentence;
    const bool bf16 = strcmp(o->precision, "bf16") == 0 ||
                      (strcmp(o->precision, "auto") == 0 && sg_precision_best() == SG_BF16);

    sg_buf_printf(out, "%s tokens=%d width=%d pooling=%s", l->id, o->tokens, o->width, o->pooling);
    if (!l->client)
        sg_buf_puts(out, bf16 && !l->decoder ? " bf16" : " f32");
    sg_buf_printf(out, " prefix=%s", o->prefix);
    return out->failed ? sg_fail_memory(err, "encoder") : SG_OK;
}

typedef struct wanted {
    size_t i;
    sg_cache_key key;
} wanted;

static int wanted_by_key(const void *a, const void *b)
{
    const wanted *x = a, *y = b;
    const int d = strcmp(x->key, y->key);

    return d ? d : (x->i > y->i) - (x->i < y->i);
}

static sg_status put_vectors(sg_cache *cache, sg_bytes encoder, const wanted *w, const size_t *begin,
                             const embedding *e, sg_error *err)
{
    sg_status st = sg_cache_begin(cache, err);

    if (st)
        return st;
    for (size_t i = 0; i < e->n && !st; i++)
        st = sg_cache_put_vector(cache, w[begin[i]].key, encoder, e->vectors + i * (size_t)e->dim, e->dim,
                                 err);
    if (!st)
        st = sg_cache_commit(cache, err);
    if (st)
        sg_cache_rollback(cache);
    return st;
}

/* The vectors of w (n, sorted by key), each text once, kept as soon as a stretch of them is made. */
static sg_status encode_wanted(float **vectors, int32_t *dim, sg_llm *l, const sg_bytes *text, size_t n_text,
                               const wanted *w, size_t n, sg_cache *cache, sg_bytes encoder, sg_pool *pool,
                               const sg_progress *progress, json_t **report, sg_error *err)
{
    size_t *begin = sg_alloc_array(n + 1, sizeof *begin); /* of each different text, in w */
    sg_bytes *different = sg_alloc_array(n + 1, sizeof *different);
    embedding e = {.l = l, .text = different};
    size_t floats;
    sg_status st;

    if (!begin || !different) {
        st = sg_fail_memory(err, "texts");
    } else {
        for (size_t i = 0; i < n; i++)
            if (i == 0 || strcmp(w[i].key, w[i - 1].key) != 0) {
                different[e.n] = text[w[i].i];
                begin[e.n++] = i;
            }
        begin[e.n] = n;
        st = encode(&e, pool, progress, report, err);
    }
    if (!st && *dim && *dim != e.dim)
        st =
            sg_fail(err, SG_ERR_FORMAT, "cache: expected vectors of %d numbers, as the model's are, found %d",
                    (int)e.dim, (int)*dim);
    if (!st)
        st = put_vectors(cache, encoder, w, begin, &e, err);
    if (!st && !*vectors &&
        (!sg_mul(&floats, n_text, (size_t)e.dim) || !(*vectors = sg_alloc_array(floats, sizeof **vectors))))
        st = sg_fail_memory(err, "vectors");
    if (!st) {
        *dim = e.dim;
        for (size_t u = 0; u < e.n; u++)
            for (size_t i = begin[u]; i < begin[u + 1]; i++)
                memcpy(*vectors + w[i].i * (size_t)e.dim, e.vectors + u * (size_t)e.dim,
                       (size_t)e.dim * sizeof *e.vectors);
    }
    sg_free(e.vectors);
    sg_free(begin);
    sg_free(different);
    return st;
}

/* Vectors that the cache has go to their places; w: the others. */
static sg_status find_vectors(float **vectors, int32_t *dim, wanted *w, size_t *n_wanted,
                              const sg_bytes *text, size_t n, sg_cache *cache, sg_bytes encoder,
                              sg_error *err)
{
    sg_status st = SG_OK;

    *n_wanted = 0;
    for (size_t i = 0; i < n && !st; i++) {
        const sg_bytes part[] = {bytes_of("vector"), encoder, text[i]};
        wanted *at = &w[*n_wanted];
        bool found;
        size_t floats;

        at->i = i;
        sg_cache_key_of(at->key, part, 3);
        if (!*vectors) { /* the first one found says how wide they are */
            if (!(st = sg_cache_vector(cache, at->key, NULL, dim, &found, err)) && found &&
                (!sg_mul(&floats, n, (size_t)*dim) || !(*vectors = sg_alloc_array(floats, sizeof **vectors))))
                st = sg_fail_memory(err, "vectors");
        }
        found = false;
        if (!st && *vectors)
            st = sg_cache_vector(cache, at->key, *vectors + i * (size_t)*dim, dim, &found, err);
        *n_wanted += !found;
    }
    return st;
}

static sg_status embed_cached(float **vectors, int32_t *dim, sg_llm *l, const sg_bytes *text, size_t n,
                              sg_cache *cache, sg_pool *pool, const sg_progress *progress, json_t **report,
                              sg_error *err)
{
    wanted *w = sg_alloc_array(n + 1, sizeof *w);
    sg_buf encoder = {0};
    size_t n_wanted = 0;
    sg_status st;

    if (!w)
        st = sg_fail_memory(err, "texts");
    else if (!(st = describe_encoder(&encoder, l, err)) &&
             !(st = find_vectors(vectors, dim, w, &n_wanted, text, n, cache,
                                 (sg_bytes){encoder.data, encoder.size}, err))) {
        if (n_wanted) {
            qsort(w, n_wanted, sizeof *w, wanted_by_key);
            st = encode_wanted(vectors, dim, l, text, n, w, n_wanted, cache,
                               (sg_bytes){encoder.data, encoder.size}, pool, progress, report, err);
        } else {
            *report = json_pack("{s:I, s:i}", "texts", (json_int_t)0, "dim", (int)*dim);
        }
        if (!st &&
            (!*report || json_object_set_new(*report, "cached", json_integer((json_int_t)(n - n_wanted)))))
            st = sg_fail_memory(err, "report");
    }
    sg_free(w);
    sg_buf_free(&encoder);
    return st;
}

sg_status sg_llm_embed(float **vectors, int32_t *dim, sg_llm *l, const sg_bytes *text, size_t n,
                       sg_cache *cache, sg_pool *pool, const sg_progress *progress, json_t **report,
                       sg_error *err)
{
    embedding e = {.l = l, .text = text, .n = n};
    sg_status st;

    *vectors = NULL;
    *report = NULL;
    *dim = 0;
    if ((st = sg_llm_need(l, SG_LLM_EMBED, "embedding", err)))
        return st;
    if (n == 0)
        return sg_fail(err, SG_ERR_USAGE, "expected texts to embed, found none");
    if (cache) {
        st = embed_cached(vectors, dim, l, text, n, cache, pool, progress, report, err);
    } else {
        st = encode(&e, pool, progress, report, err);
        *vectors = e.vectors;
        *dim = e.dim;
    }
    if (st) {
        sg_free(*vectors);
        *vectors = NULL;
    }
    return st;
}

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
        (st = session_for(l, prompt, &common, (int)n + 1, pool, err)))
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
    if (!st) {
        memcpy(l->held.id, prompt->id, prompt->n * sizeof *prompt->id);
        l->held.n = prompt->n;
    }
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
