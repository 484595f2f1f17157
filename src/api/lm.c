/* lm.c - language models by themselves: generate, score, embed. */
#include "api/api.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "file/json.h"
#include "file/safetensors.h"
#include "lm/adapter.h"
#include "lm/generate.h"
#include "lm/sentence.h"

#include <math.h>
#include <string.h>

enum { TEXTS_MOST = 1 << 30 /* bytes of a file of texts */ };

static sg_bytes bytes_of(const char *s)
{
    return (sg_bytes){s ? s : "", s ? strlen(s) : 0};
}

/* The texts of a call; `all` holds their bytes. */
static sg_status read_texts(sg_bytes **out, size_t *n, sg_buf *all, const sedge_lm_params *p, sg_error *err)
{
    sg_reader *r = NULL;
    size_t cap = 0, *end = NULL, cap_end = 0;
    sg_status st = SG_OK;

    *n = 0;
    if (!p->text == !p->file)
        return sg_fail(err, SG_ERR_USAGE, "expected a text or a file of texts, found %s",
                       p->text ? "both" : "neither");
    if (p->text) {
        if (!sg_grow(out, &cap, 1, sizeof **out))
            return sg_fail_memory(err, "texts");
        (*out)[(*n)++] = bytes_of(p->text);
        return SG_OK;
    }
    if ((st = sg_reader_open(&r, p->file, err)))
        return st;
    for (;;) {
        const char *line;
        size_t size;

        if ((st = sg_reader_line(r, &line, &size, err)) || !line)
            break;
        sg_buf_add(all, line, size);
        if (all->failed || all->size > TEXTS_MOST || !sg_grow(&end, &cap_end, *n + 1, sizeof *end)) {
            st = sg_fail_memory(err, p->file);
            break;
        }
        end[(*n)++] = all->size;
    }
    sg_reader_close(r);
    if (!st && !sg_grow(out, &cap, *n + 1, sizeof **out))
        st = sg_fail_memory(err, "texts");
    for (size_t i = 0; !st && i < *n; i++) {
        const size_t begin = i ? end[i - 1] : 0;

        (*out)[i] = (sg_bytes){all->data ? all->data + begin : "", end[i] - begin};
    }
    sg_free(end);
    return st;
}

/* The model, and the adapter beside it. */
static sg_status open_model(sg_llama **m, sg_adapter **a, const sedge_lm_params *p, sg_error *err)
{
    sg_status st = sg_llama_open(m, p->model, err);

    if (st || !p->adapter)
        return st;
    if ((st = sg_adapter_open(a, p->adapter, sg_llama_config_of(*m), err)))
        return st;
    if ((*a)->soft)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected an adapter of low-rank parts, found vectors in front of texts", p->adapter);
    sg_llama_adapt(*m, *a);
    return SG_OK;
}

/* ---- generate ------------------------------------------------------------------------------------------------------------- */
static sg_status prompt_tokens(sg_token_list *out, const sg_llama *m, const sedge_lm_params *p, sg_error *err)
{
    const sg_turn turns[] = {{"system", bytes_of(p->system)}, {"user", bytes_of(p->prompt)}};

    if (!p->chat && p->system)
        return sg_fail(err, SG_ERR_USAGE, "system: expected with chat only");
    if (p->chat)
        return sg_chat_tokens(out, m, turns + !p->system, p->system ? 2 : 1, err);
    return sg_text_tokens(out, sg_llama_tokenizer(m), bytes_of(p->prompt), false, err);
}

static sg_status generate(api_call *c, const sedge_lm_params *p, const sg_generate_config *o)
{
    sg_llama *m = NULL;
    sg_adapter *a = NULL;
    sg_reading *r = NULL;
    sg_token_list prompt = {0}, out = {0};
    sg_buf text = {0}, clean = {0};
    double seconds[2] = {0};
    bool ended = false;
    sg_pool *pool;
    sg_status st;

    if (!(st = open_model(&m, &a, p, &c->err)) && !(st = prompt_tokens(&prompt, m, p, &c->err)) &&
        !(st = api_pool(c, &pool))) {
        const int most = sg_llama_config_of(m)->places;
        const size_t want = prompt.n + (size_t)o->length;

        if (prompt.n == 0)
            st = sg_fail(&c->err, SG_ERR_USAGE, "expected a prompt, found nothing");
        else if (prompt.n >= (size_t)most)
            st = sg_fail(&c->err, SG_ERR_USAGE,
                         "prompt: expected fewer tokens than the %d that the model knows, found %zu", most,
                         prompt.n);
        else if (!(st = sg_reading_new(&r, m, want < (size_t)most ? (int)want : most, pool, &c->err))) {
            sg_generate_config within = *o;

            within.length = want < (size_t)most ? o->length : most - (int)prompt.n;
            st = sg_generate(&out, &ended, seconds, r, m, &prompt, p->chat ? sg_chat_end(m) : -1, &within,
                             &c->progress, &c->err);
        }
    }
    if (!st && !(st = sg_tokenizer_decode(&text, sg_llama_tokenizer(m), out.id, out.n, true, &c->err))) {
        sg_utf8_clean(&clean, text.data ? text.data : "", text.size);
        c->result = json_pack("{s:o, s:I, s:I, s:s, s:f, s:f}", "text",
                              json_stringn(clean.data ? clean.data : "", clean.size), "prompt_tokens",
                              (json_int_t)prompt.n, "tokens", (json_int_t)out.n, "stopped",
                              ended ? "end" : "length", "seconds_prompt", seconds[0], "seconds", seconds[1]);
        if (!c->result || clean.failed)
            st = sg_fail_memory(&c->err, "result");
    }
    sg_free(prompt.id);
    sg_free(out.id);
    sg_buf_free(&text);
    sg_buf_free(&clean);
    sg_reading_free(r);
    sg_llama_close(m);
    sg_adapter_free(a);
    return st;
}

/* ---- score ---------------------------------------------------------------------------------------------------------------- */
typedef struct scores {
    json_t *list; /* owned until it is in the result */
    double sum;
    json_int_t tokens; /* that something stood before */
} scores;

static sg_status score_text(scores *s, sg_reading *r, const sg_llama *m, const sg_token_list *prompt,
                            sg_bytes text, sg_error *err)
{
    const sg_encode_how rest = {.bare = true, .literal = true};
    sg_token_list ids = {0};
    sg_encoder *e = NULL;
    double *logp = NULL, sum = 0;
    const int32_t *id = NULL;
    size_t n = 0;
    sg_status st = SG_OK;

    sg_reading_cut(r, (int)prompt->n);
    if (prompt->n == 0)
        st = sg_text_tokens(&ids, sg_llama_tokenizer(m), text, true, err);
    else if (!(st = sg_encoder_new(&e, sg_llama_tokenizer(m), err)))
        st = sg_encoder_run(&id, &n, e, text, &rest, err);
    if (!st && prompt->n == 0) {
        id = ids.id;
        n = ids.n;
    }
    if (!st && !(logp = sg_alloc_array(n + 1, sizeof *logp)))
        st = sg_fail_memory(err, "scores");
    /* the last token of the prompt is read again: it says how likely the text's first one is */
    if (!st && prompt->n) {
        double ignored;

        sg_reading_cut(r, (int)prompt->n - 1);
        st = sg_reading_score(r, prompt->id + prompt->n - 1, 1, &ignored, err);
    }
    if (!st)
        st = sg_reading_score(r, id, (int)n, logp, err);
    if (!st) {
        const size_t counted = prompt->n ? n : n ? n - 1 : 0;

        for (size_t i = n - counted; i < n; i++)
            sum += logp[i];
        s->sum += sum;
        s->tokens += (json_int_t)counted;
        if (json_array_append_new(s->list,
                                  json_pack("{s:f, s:I}", "logp", sum, "tokens", (json_int_t)counted)))
            st = sg_fail_memory(err, "result");
    }
    sg_free(logp);
    sg_free(ids.id);
    sg_encoder_free(e);
    return st;
}

static sg_status score(api_call *c, const sedge_lm_params *p)
{
    sg_llama *m = NULL;
    sg_adapter *a = NULL;
    sg_reading *r = NULL;
    sg_token_list prompt = {0};
    sg_bytes *text = NULL;
    sg_buf all = {0};
    size_t n = 0;
    scores s = {.list = json_array()};
    sg_pool *pool;
    sg_status st;

    if (!(st = read_texts(&text, &n, &all, p, &c->err)) && !(st = open_model(&m, &a, p, &c->err)) &&
        (!p->prompt || !(st = prompt_tokens(&prompt, m, p, &c->err))) && !(st = api_pool(c, &pool))) {
        const int known = sg_llama_config_of(m)->places;
        size_t longest = 0; /* a text has no more tokens than bytes, and those around it */

        for (size_t i = 0; i < n; i++)
            longest = text[i].size > longest ? text[i].size : longest;
        longest += prompt.n + 16;
        if (!(st = sg_reading_new(&r, m, longest < (size_t)known ? (int)longest : known, pool, &c->err)) &&
            prompt.n)
            st = sg_reading_feed(r, prompt.id, (int)prompt.n, NULL, &c->err);
    }
    for (size_t i = 0; i < n && !st; i++)
        if (!(st = score_text(&s, r, m, &prompt, text[i], &c->err)))
            st = sg_progress_tick(&c->progress,
                                  &(sg_progress_event){.stage = "score",
                                                       .unit = "texts",
                                                       .done = (double)i + 1,
                                                       .total = (double)n,
                                                       .loss = (double)NAN},
                                  &c->err);
    if (!st) {
        c->result =
            json_pack("{s:I, s:I, s:f, s:f, s:O}", "texts", (json_int_t)n, "tokens", s.tokens, "logp", s.sum,
                      "perplexity", s.tokens ? exp(-s.sum / (double)s.tokens) : 1.0, "list", s.list);
        st = c->result ? SG_OK : sg_fail_memory(&c->err, "result");
    }
    json_decref(s.list);
    sg_free(prompt.id);
    sg_free(text);
    sg_buf_free(&all);
    sg_reading_free(r);
    sg_llama_close(m);
    sg_adapter_free(a);
    return st;
}

/* ---- embed ---------------------------------------------------------------------------------------------------------------- */
static sg_status embed(api_call *c, const sedge_lm_params *p, const sg_sentence_config *o)
{
    sg_sentence *m = NULL;
    sg_bytes *text = NULL;
    sg_buf all = {0};
    float *vectors = NULL;
    size_t n = 0;
    int32_t dim = 0;
    sg_pool *pool;
    sg_status st;

    if (!(st = api_need(p->out, "a file to write (out)", &c->err)) &&
        !(st = read_texts(&text, &n, &all, p, &c->err)) && !(st = sg_sentence_open(&m, p->model, &c->err)) &&
        !(st = api_pool(c, &pool)) &&
        !(st = sg_sentence_encode(&vectors, &dim, m, text, n, o, pool, &c->progress, &c->result, &c->err))) {
        const sg_tensor_desc tensor = {"vectors", SG_DT_F32, 2, {n, (uint64_t)dim}, vectors};

        st = sg_tensors_write(p->out, &tensor, 1, &(sg_meta){"encoder", p->model}, 1, &c->err);
    }
    sg_free(vectors);
    sg_free(text);
    sg_buf_free(&all);
    sg_sentence_close(m);
    return st;
}

/* ---- the three functions -------------------------------------------------------------------------------------------------- */
static sg_status begin(api_call *c, sedge_lm_params *p, const sedge_lm_params *given)
{
    const sg_status st = api_begin(c, p, sizeof *p, given);

    return st ? st : api_need(p->model, "a model", &c->err);
}

int sedge_lm_generate(const sedge_lm_params *given, char **json, sedge_error *err)
{
    sedge_lm_params p;
    sg_generate_config o;
    const api_table table = {&o, sg_generate_options, sg_n_generate_options};
    api_call c;
    sg_status st = begin(&c, &p, given);

    api_defaults(&table, 1);
    if (!st && !(st = api_assign(&table, 1, p.set, p.n_set, &c.err)))
        st = generate(&c, &p, &o);
    return api_end(&c, st, json, err);
}

int sedge_lm_score(const sedge_lm_params *given, char **json, sedge_error *err)
{
    sedge_lm_params p;
    api_call c;
    sg_status st = begin(&c, &p, given);

    if (!st && !(st = api_assign(NULL, 0, p.set, p.n_set, &c.err)))
        st = score(&c, &p);
    return api_end(&c, st, json, err);
}

int sedge_lm_embed(const sedge_lm_params *given, char **json, sedge_error *err)
{
    sedge_lm_params p;
    sg_sentence_config o;
    const api_table table = {&o, sg_sentence_options, sg_n_sentence_options};
    api_call c;
    sg_status st = begin(&c, &p, given);

    api_defaults(&table, 1);
    if (!st && !(st = api_assign(&table, 1, p.set, p.n_set, &c.err)))
        st = embed(&c, &p, &o);
    return api_end(&c, st, json, err);
}
