/* lm.c - language models by themselves: score and embed; generate is in lm_generate.c. */
#include "api/lm.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/safetensors.h"
#include "lm/sentence.h"

#include <math.h>
#include <string.h>

enum { TEXTS_MOST = 1 << 30 /* bytes of a file of texts */ };

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
        (*out)[(*n)++] = (sg_bytes){p->text, strlen(p->text)};
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

sg_status api_lm_adapt(sg_adapter **a, sg_llama *llama, sg_t5 *t5, const sedge_lm_params *p, sg_error *err)
{
    sg_adapter_host host;
    sg_status st;

    if (!p->adapter)
        return SG_OK;
    host = t5 ? sg_t5_host(sg_t5_config_of(t5)) : sg_llama_host(sg_llama_config_of(llama));
    if ((st = sg_adapter_open(a, p->adapter, &host, err)))
        return st;
    if (t5)
        sg_t5_adapt(t5, *a);
    else
        sg_llama_adapt(llama, *a);
    return SG_OK;
}

/* ---- score ---------------------------------------------------------------------------------------------------------------- */
typedef struct scores {
    json_t *list; /* owned until it is in the result */
    double sum;
    json_int_t tokens; /* that something stood before */
} scores;

enum { TOGETHER = 16 /* texts that are read at once */ };

typedef struct one { /* text being scored */
    int text; /* at the desk; -1: none */
    sg_token_list ids;
    double *logp;
} one;

/* The tokens of a text; behind a prompt they stand bare, and its last token, read again, says how likely the first one is. */
static sg_status open_one(one *t, sg_desk *desk, int before, const sg_llama *m, const sg_token_list *prompt, sg_bytes text, sg_error *err)
{
    sg_status st;

    *t = (one){.text = -1};
    if (prompt->n == 0) {
        st = sg_text_tokens(&t->ids, sg_llama_tokenizer(m), text, true, err);
    } else {
        if (!sg_grow(&t->ids.id, &t->ids.cap, 1, sizeof *t->ids.id))
            return sg_fail_memory(err, "scores");
        t->ids.id[t->ids.n++] = prompt->id[prompt->n - 1];
        st = sg_bare_tokens(&t->ids, sg_llama_tokenizer(m), text, err);
    }
    if (!st && !(t->logp = sg_alloc_zero(t->ids.n + 1, sizeof *t->logp)))
        st = sg_fail_memory(err, "scores");
    if (!st)
        st = before < 0 ? sg_desk_open(desk, &t->text, err) : sg_desk_fork(desk, &t->text, before, err);
    return st;
}

static sg_status report_one(scores *s, const one *t, sg_error *err)
{
    const size_t counted = t->ids.n ? t->ids.n - 1 : 0; /* nothing stands before the first one */
    double sum = 0;

    for (size_t i = 1; i < t->ids.n; i++)
        sum += t->logp[i];
    s->sum += sum;
    s->tokens += (json_int_t)counted;
    if (json_array_append_new(s->list, json_pack("{s:f, s:I}", "logp", sum, "tokens", (json_int_t)counted)))
        return sg_fail_memory(err, "result");
    return SG_OK;
}

/* n texts, TOGETHER at most, behind text `before` of the desk (-1: nothing). */
static sg_status score_some(scores *s, sg_desk *desk, int before, const sg_llama *m, const sg_token_list *prompt, const sg_bytes *text,
                            int n, sg_error *err)
{
    sg_piece piece[TOGETHER];
    one t[TOGETHER];
    int opened = 0;
    sg_status st = SG_OK;

    for (; opened < n && !st; opened++) {
        if (!(st = open_one(&t[opened], desk, before, m, prompt, text[opened], err)))
            piece[opened] =
                (sg_piece){.text = t[opened].text, .id = t[opened].ids.id, .n = (int)t[opened].ids.n, .logp = t[opened].logp};
    }
    if (!st)
        st = sg_desk_read(desk, piece, n, err);
    for (int i = 0; i < opened; i++) {
        if (!st)
            st = report_one(s, &t[i], err);
        if (t[i].text >= 0)
            sg_desk_close(desk, t[i].text);
        sg_free(t[i].ids.id);
        sg_free(t[i].logp);
    }
    return st;
}

/* Reads all of the prompt but its last token. */
static sg_status read_prompt(int *text, sg_desk *desk, const sg_token_list *prompt, sg_error *err)
{
    sg_piece piece = {.id = prompt->id, .n = (int)prompt->n - 1};
    const sg_status st = sg_desk_open(desk, text, err);

    piece.text = *text;
    return st ? st : sg_desk_read(desk, &piece, 1, err);
}

static sg_status score(api_call *c, const sedge_lm_params *p)
{
    sg_llama *m = NULL;
    sg_adapter *a = NULL;
    sg_desk *desk = NULL;
    sg_token_list prompt = {0};
    sg_bytes *text = NULL;
    sg_buf all = {0};
    size_t n = 0;
    scores s = {.list = json_array()};
    int before = -1;
    sg_pool *pool;
    sg_status st;

    if (!(st = read_texts(&text, &n, &all, p, &c->err)) && !(st = sg_llama_open(&m, p->model, &c->err)) &&
        !(st = api_lm_adapt(&a, m, NULL, p, &c->err)) &&
        (!p->prompt || !(st = api_prompt_tokens(&prompt, m, p->prompt, p->system, p->chat, &c->err))) &&
        !(st = api_pool(c, &pool)) && !(st = sg_llama_desk(&desk, m, sg_llama_places(m), pool, &c->err)) && prompt.n)
        st = read_prompt(&before, desk, &prompt, &c->err);
    for (size_t i = 0; i < n && !st; i += TOGETHER) {
        const size_t left = n - i < TOGETHER ? n - i : TOGETHER;

        if (!(st = score_some(&s, desk, before, m, &prompt, text + i, (int)left, &c->err)))
            st = sg_progress_tick(&c->progress,
                                  &(sg_progress_event){.stage = "score",
                                                       .unit = "texts",
                                                       .done = (double)(i + left),
                                                       .total = (double)n,
                                                       .loss = (double)NAN},
                                  &c->err);
    }
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
    sg_desk_free(desk);
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
        st = api_lm_generate(&c, &p, &o);
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
