/* sentence.c - texts through tokenizer, encoder and pooling, many at once.
 *
 * Texts are sorted by length, longest first, and cut into batches of about BATCH_TOKENS tokens; a thread takes a batch as a whole
 * and works on it alone: nothing is padded, nobody waits for the other inside a layer, and what a layer makes stays in the
 * thread's own cache. Batches depend on the texts alone, and a row of a product does not depend on the others. */
#include "lm/sentence.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "file/json.h"
#include "lm/bert.h"
#include "lm/adapter.h"
#include "lm/decoder.h"
#include "lm/llama.h"
#include "lm/pooling.h"
#include "lm/t5.h"
#include "math/gemm.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SG_OPTION_STRUCT sg_sentence_config
const sg_option sg_sentence_options[] = {SG_SENTENCE_OPTIONS(SG_OPTION_ROW)};
const size_t sg_n_sentence_options = sizeof sg_sentence_options / sizeof *sg_sentence_options;

enum {
    CONFIG_MOST = 16 << 20,
    GRAIN_TEXTS = 64,
    BATCH_TOKENS = 512,
    T5_PLACES = 512, /* tokens that these models were trained on; they know no limit */
    ROUND = 8        /* batches a thread between two words about progress */
};

struct sg_sentence {
    sg_weights *weights;           /* owned; NULL: the decoder's */
    const sg_tokenizer *tokenizer; /* owned, or the decoder's, or that of t5 */
    sg_bert bert;
    sg_llama *decoder;   /* owned; NULL: not a decoder */
    sg_t5 *t5;           /* owned, its encoder; NULL: neither */
    sg_adapter *adapter; /* owned; NULL: none */
    sg_pooling pooling;
    sg_params beside;   /* of an encoder that has one: its pooler */
    sg_dense tanh;      /* that pooler, borrowed from `beside`; in 0: there is none */
    json_t *prompts;    /* owned: texts by name; NULL: none */
    const char *prompt; /* in `prompts`: that of texts for which nothing else is said; NULL: none */
    bool lower;         /* texts are read in lower case */
    int places;         /* tokens that the model knows */
    int tokens;         /* that a text may have */
};

/* ---- the folder ---------------------------------------------------------------------------------------------------------- */
static sg_status read_length(sg_sentence *s, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "sentence_bert_config.json");
    json_t *root = NULL;
    int64_t most = s->places;
    sg_status st = SG_OK;

    if (!path)
        return sg_fail_memory(err, "path");
    if (sg_file_exists(path) && !(st = sg_json_read(&root, path, CONFIG_MOST, err)) &&
        json_is_integer(json_object_get(root, "max_seq_length")))
        st = sg_json_need_int(&most, root, "max_seq_length", 1, INT32_MAX, path, err);
    s->lower = json_is_true(json_object_get(root, "do_lower_case"));
    s->tokens = most < s->places ? (int)most : s->places;
    json_decref(root);
    sg_free(path);
    return st;
}

/* config_sentence_transformers.json: {"prompts": {"query": "query: "}, "default_prompt_name": "query"} */
static sg_status read_prompts(sg_sentence *s, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "config_sentence_transformers.json");
    json_t *root = NULL, *prompts, *text;
    const json_t *name;
    const char *key;
    sg_status st = SG_OK;

    if (!path)
        return sg_fail_memory(err, "path");
    if (!sg_file_exists(path) || (st = sg_json_read(&root, path, CONFIG_MOST, err)))
        goto done;
    prompts = json_object_get(root, "prompts");
    name = json_object_get(root, "default_prompt_name");
    if (prompts && !json_is_null(prompts) && !json_is_object(prompts))
        st = sg_fail(err, SG_ERR_FORMAT, "%s: 'prompts': expected an object, found %s", path,
                     sg_json_describe(prompts, (char[64]){0}));
    json_object_foreach(prompts, key, text)
    {
        if (!st && !json_is_string(text))
            st = sg_fail(err, SG_ERR_FORMAT, "%s: prompt '%.60s': expected a string, found %s", path, key,
                         sg_json_describe(text, (char[64]){0}));
    }
    if (!st && json_is_object(prompts))
        s->prompts = json_incref(prompts);
    if (!st && json_is_string(name) &&
        !(s->prompt = json_string_value(json_object_get(s->prompts, json_string_value(name)))))
        st =
            sg_fail(err, SG_ERR_FORMAT, "%s: 'default_prompt_name': expected one of 'prompts', found '%.60s'",
                    path, json_string_value(name));
done:
    json_decref(root);
    sg_free(path);
    return st;
}

/* The layer behind the first token that BERT was trained with, where the file has it. */
static sg_status open_tanh(sg_sentence *s, sg_error *err)
{
    const int dim = s->bert.config.dim;
    sg_param *p[2];
    char name[160];
    sg_status st = SG_OK;

    s->beside = (sg_params){.bare = true};
    p[0] = sg_param_add(&s->beside, 0, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, dim, dim, "pooler.dense.weight");
    p[1] = sg_param_add(&s->beside, 0, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, dim, 0, "pooler.dense.bias");
    if (s->beside.failed)
        return sg_fail_memory(err, "pooler");
    for (int i = 0; i < 2; i++)
        if (!sg_weights_has(s->weights, sg_bert_file_name(name, s->weights, p[i])))
            return SG_OK;
    for (int i = 0; i < 2 && !st; i++)
        st = sg_weights_load(s->weights, p[i], sg_bert_file_name(name, s->weights, p[i]), err);
    s->tanh = (sg_dense){dim, st ? 0 : dim, true, p[0]->value, p[1]->value};
    return st;
}

/* config NULL: a .gguf file. */
static sg_status open_encoder(sg_sentence *s, const json_t *config, const char *where, const char *path,
                              sg_error *err)
{
    const sg_gguf *file;
    sg_tokenizer *t = NULL;
    sg_bert_config c;
    sg_status st;

    if ((config && (st = sg_bert_config_read(&c, config, where, err))) ||
        (st = sg_weights_open(&s->weights, path, err)))
        return st;
    file = sg_weights_gguf(s->weights);
    if ((!config && (st = sg_bert_config_gguf(&c, file, err))) ||
        (st = sg_bert_open(&s->bert, &c, s->weights, err)) || (st = open_tanh(s, err)) ||
        (st = config ? sg_tokenizer_open(&t, path, err) : sg_tokenizer_from_gguf(&t, file, err)))
        return st;
    s->tokenizer = t;
    s->places = sg_bert_tokens_max(&s->bert);
    if (sg_tokenizer_size(t) > c.vocab)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected at most %d tokens, the rows of the word table, found a tokenizer of %d",
                       path, c.vocab, (int)sg_tokenizer_size(t));
    return SG_OK;
}

static sg_status open_decoder(sg_sentence *s, const char *path, sg_error *err)
{
    const sg_status st = sg_llama_open(&s->decoder, path, err);

    if (st)
        return st;
    s->tokenizer = sg_llama_tokenizer(s->decoder);
    s->places = sg_llama_config_of(s->decoder)->places;
    return SG_OK;
}

static sg_status open_t5(sg_sentence *s, const char *dir, sg_error *err)
{
    const sg_status st = sg_t5_open(&s->t5, dir, err);

    if (st)
        return st;
    s->tokenizer = sg_t5_tokenizer(s->t5);
    s->places = T5_PLACES;
    return SG_OK;
}

static int layers_of(const sg_sentence *s)
{
    return s->decoder ? sg_llama_config_of(s->decoder)->layers
           : s->t5    ? sg_t5_config_of(s->t5)->layers
                      : s->bert.config.layers;
}

/* Of hidden states. */
static int dim_of(const sg_sentence *s)
{
    return s->decoder ? sg_llama_config_of(s->decoder)->dim
           : s->t5    ? sg_t5_config_of(s->t5)->dim
                      : s->bert.config.dim;
}

static bool is_decoder(const json_t *config)
{
    static const char *const types[] = {"llama", "qwen2", "qwen3"};
    const char *type = json_string_value(json_object_get(config, "model_type"));

    for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

static sg_status open_folder(sg_sentence *s, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "config.json");
    json_t *root = NULL;
    sg_status st = path ? sg_json_read(&root, path, CONFIG_MOST, err) : sg_fail_memory(err, "path");

    if (!st)
        st = is_decoder(root) ? open_decoder(s, dir, err)
             : sg_t5_is(root) ? open_t5(s, dir, err)
                              : open_encoder(s, root, path, dir, err);
    if (!st)
        st = sg_pooling_open(&s->pooling, dir, dim_of(s), err);
    if (!st)
        st = read_length(s, dir, err);
    if (!st)
        st = read_prompts(s, dir, err);
    json_decref(root);
    sg_free(path);
    return st;
}

/* What a .gguf file says of poolers: one number, where it was made from such a folder. */
static sg_status read_pooling(sg_pooling *p, const sg_gguf *file, int dim, sg_error *err)
{
    static const sg_pooler poolers[] = {SG_POOL_MEAN, SG_POOL_MEAN, SG_POOL_CLS,
                                        SG_POOL_LAST}; /* none, mean, cls, last */
    const sg_bytes arch = sg_gguf_string(file, "general.architecture");
    char key[100];

    snprintf(key, sizeof key, "%.*s.pooling_type", arch.size < 60 ? (int)arch.size : 60,
             arch.data ? arch.data : "");
    const double type = sg_gguf_number_or(file, key, 0);

    if (!(type == 0 || type == 1 || type == 2 || type == 3))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected 0 to 3, found %g", sg_gguf_name(file), key,
                       type);
    *p = (sg_pooling){.in = dim, .out = dim, .assumed = type == 0};
    p->use[poolers[(int)type]] = true;
    return SG_OK;
}

static sg_status open_file(sg_sentence *s, const char *path, sg_error *err)
{
    sg_gguf *file;
    bool t5;
    sg_status st;

    if ((st = sg_t5_is_at(&t5, path, err)) || (st = sg_gguf_open(&file, path, err)))
        return st;
    if (!(st = t5                      ? open_t5(s, path, err)
               : sg_bert_is_gguf(file) ? open_encoder(s, NULL, path, path, err)
                                       : open_decoder(s, path, err)))
        st = read_pooling(&s->pooling, file, dim_of(s), err);
    s->tokens = s->places;
    sg_gguf_close(file);
    return st;
}

sg_status sg_sentence_open(sg_sentence **out, const char *path, sg_error *err)
{
    sg_sentence *s = sg_alloc_zero(1, sizeof *s);
    sg_status st;

    *out = NULL;
    if (!s)
        return sg_fail_memory(err, path);
    st = sg_dir_exists(path) ? open_folder(s, path, err) : open_file(s, path, err);
    if (st) {
        sg_sentence_close(s);
        return st;
    }
    *out = s;
    return SG_OK;
}

sg_status sg_sentence_adapt(sg_sentence *s, const char *dir, sg_error *err)
{
    sg_adapter *a;
    sg_status st;

    if (!s->decoder && !s->t5)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: adapters are read beside decoders of the Llama family and T5s alone", dir);
    const sg_adapter_host host = s->decoder ? sg_llama_host(s->decoder) : sg_t5_host(s->t5);
    if ((st = sg_adapter_open(&a, dir, &host, err)))
        return st;
    if (s->decoder) {
        sg_llama_adapt(s->decoder, a);
        s->tokenizer = sg_llama_tokenizer(s->decoder);
        s->places = sg_llama_places(s->decoder);
        s->tokens = s->tokens < s->places ? s->tokens : s->places;
    } else {
        sg_t5_adapt(s->t5, a);
    }
    sg_adapter_free(s->adapter);
    s->adapter = a;
    return SG_OK;
}

void sg_sentence_close(sg_sentence *s)
{
    if (!s)
        return;
    sg_bert_close(&s->bert);
    sg_params_free(&s->beside);
    sg_pooling_close(&s->pooling);
    json_decref(s->prompts);
    if (!s->decoder && !s->t5)
        sg_tokenizer_close((sg_tokenizer *)(uintptr_t)s->tokenizer);
    sg_llama_close(s->decoder);
    sg_t5_close(s->t5);
    sg_adapter_free(s->adapter);
    sg_weights_close(s->weights);
    sg_free(s);
}

const struct sg_t5 *sg_sentence_t5(const sg_sentence *s)
{
    return s->t5;
}

const sg_llama *sg_sentence_decoder(const sg_sentence *s)
{
    return s->decoder;
}

/* ---- texts to tokens ----------------------------------------------------------------------------------------------------- */
typedef struct encoded {
    int32_t *id; /* owned */
    int32_t n;
    int32_t cut; /* 1: the text had more */
    size_t text; /* which one */
} encoded;

typedef struct worker { /* one a thread */
    sg_encoder *encoder;
    sg_graph *graph;
    sg_reading *reading; /* of a decoder, else NULL */
    sg_t5_work *t5;      /* of a T5, else NULL */
    float *states;       /* (longest text, dim) of these two */
    sg_buf with_prefix, lower;
    float *pool_work;
    sg_status st;
    sg_error err;
} worker;

typedef struct job {
    const sg_sentence *s;
    sg_pooling pooling; /* borrows from s */
    const sg_bytes *text;
    size_t n;
    const char *prefix;
    size_t tokens; /* at most, in a text */
    size_t skip;   /* of them, of the prefix: not pooled */
    sg_depth depth;
    sg_decoder *both; /* owned: of a decoder whose tokens see those behind them; NULL: otherwise */
    int width;
    sg_precision precision;
    encoded *list;           /* (n) */
    size_t *batch;           /* (n_batches + 1): where each begins in list */
    size_t n_batches, first; /* first: batch that piece 0 of this round is */
    float *vectors;          /* (n, width) */
    worker *workers;
} job;

/* What is given to the tokenizer: valid until the next call. */
static sg_status prepare(sg_bytes *out, const job *j, worker *w, sg_bytes text)
{
    if (*j->prefix) {
        w->with_prefix.size = 0;
        sg_buf_puts(&w->with_prefix, j->prefix);
        sg_buf_add(&w->with_prefix, text.data, text.size);
        text = (sg_bytes){w->with_prefix.data, w->with_prefix.size};
    }
    if (j->s->lower && text.size) {
        sg_buf clean = {0};

        sg_utf8_clean(&clean, text.data, text.size);
        w->lower.size = 0;
        if (!clean.failed)
            sg_lower(&w->lower, clean.data, clean.size);
        w->lower.failed |= clean.failed;
        sg_buf_free(&clean);
        text = (sg_bytes){w->lower.data, w->lower.size};
    }
    *out = text;
    return w->with_prefix.failed || w->lower.failed ? sg_fail_memory(&w->err, "text") : SG_OK;
}

static sg_status tokenize(const job *j, worker *w, size_t i)
{
    /* one token more than is wanted tells whether anything was cut: one that the template does not add */
    const sg_encode_how how = {.literal = true, .most = j->tokens + 1};
    encoded *e = &j->list[i];
    sg_bytes text;
    const int32_t *id;
    size_t n;
    sg_status st;

    if ((st = prepare(&text, j, w, j->text[i])) ||
        (st = sg_encoder_run(&id, &n, w->encoder, text, &how, &w->err)))
        return st;
    e->cut = n > j->tokens;
    if (e->cut && (st = sg_encoder_run(&id, &n, w->encoder, text,
                                       &(sg_encode_how){.literal = true, .most = j->tokens}, &w->err)))
        return st;
    e->n = (int32_t)(n < j->tokens ? n : j->tokens);
    e->text = i;
    if (!(e->id = sg_alloc_array(n + 1, sizeof *e->id)))
        return sg_fail_memory(&w->err, "tokens");
    if (n)
        memcpy(e->id, id, (size_t)e->n * sizeof *id);
    return SG_OK;
}

static void tokenize_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const job *j = ctx;
    worker *w = &j->workers[thread];

    for (size_t i = begin; i < end && !w->st; i++)
        w->st = tokenize(j, w, i);
}

static int longest_first(const void *a, const void *b)
{
    const encoded *x = a, *y = b;

    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : (x->text > y->text) - (x->text < y->text);
}

/* Batches are a piece's work, so they are cut by the texts alone: at least one text, then as many as stay within BATCH_TOKENS. */
static void cut_batches(job *j)
{
    size_t tokens = 0;

    for (size_t i = 0; i < j->n; i++) {
        if (i == 0 || tokens + (size_t)j->list[i].n > BATCH_TOKENS) {
            j->batch[j->n_batches++] = i;
            tokens = 0;
        }
        tokens += (size_t)j->list[i].n;
    }
    j->batch[j->n_batches] = j->n;
}

/* ---- tokens to vectors --------------------------------------------------------------------------------------------------- */
static sg_tensor *both_ways(const job *j, sg_graph *g, const sg_decoder_batch *b)
{
    sg_tensor *x = sg_decoder_states(g, j->both, b, j->depth.layer);

    return j->depth.other && x
               ? sg_scale(g, sg_plus(g, x, sg_decoder_states(g, j->both, b, j->depth.other)), 0.5f)
               : x;
}

static sg_status run_batch(const job *j, worker *w, size_t first, size_t end)
{
    const size_t batch = end - first;
    int32_t *offsets, *id;
    size_t n = 0;

    sg_graph_begin(w->graph, SG_INFER, 0, 0);
    for (size_t i = first; i < end; i++)
        n += (size_t)j->list[i].n;
    offsets = sg_scratch(w->graph, batch + 1, sizeof *offsets);
    id = sg_scratch(w->graph, n, sizeof *id);
    if (offsets && id) {
        offsets[0] = 0;
        for (size_t i = 0; i < batch; i++) {
            const encoded *e = &j->list[first + i];

            offsets[i + 1] = offsets[i] + e->n;
            memcpy(id + offsets[i], e->id, (size_t)e->n * sizeof *id);
        }
        const sg_decoder_batch packed = {
            .n = (int)n, .batch = (int)batch, .id = id, .offsets = offsets, .both_ways = true};
        const sg_tensor *x =
            !n        ? NULL
            : j->both ? both_ways(j, w->graph, &packed)
                      : sg_bert_hidden(w->graph, &j->s->bert, id, NULL, offsets, (int)batch, j->depth);

        for (size_t i = 0; i < batch; i++) {
            float *to = j->vectors + j->list[first + i].text * (size_t)j->width;
            const size_t length = (size_t)j->list[first + i].n;

            if (!length) /* no token, not even one around: nothing to say */
                memset(to, 0, (size_t)j->width * sizeof *to);
            else if (x)
                sg_pooling_run(to, j->width, &j->pooling, x->data + (size_t)offsets[i] * (size_t)x->dim[1],
                               length, j->skip, w->pool_work);
        }
    }
    return sg_graph_status(w->graph, &w->err);
}

/* A decoder, or a T5, reads one text after the other. */
static sg_status run_texts(const job *j, worker *w, size_t first, size_t end)
{
    sg_status st = SG_OK;

    for (size_t i = first; i < end && !st; i++) {
        const encoded *e = &j->list[i];
        float *to = j->vectors + e->text * (size_t)j->width;

        if (w->reading)
            sg_reading_cut(w->reading, 0);
        if (!e->n)
            memset(to, 0, (size_t)j->width * sizeof *to);
        else if (!(st = w->reading ? sg_reading_states(w->reading, e->id, e->n, w->states, &w->err)
                                   : sg_t5_hidden(w->states, w->t5, e->id, e->n, j->depth, &w->err)))
            sg_pooling_run(to, j->width, &j->pooling, w->states, (size_t)e->n, j->skip, w->pool_work);
    }
    return st;
}

/* Sessions with room for the longest text. */
static sg_status readings_new(job *j, int threads, sg_error *err)
{
    const int longest = j->n && j->list[0].n > 0 ? j->list[0].n : 1;
    sg_status st = SG_OK;

    for (int t = 0; t < threads && !st && ((j->s->decoder && !j->both) || j->s->t5); t++) {
        worker *w = &j->workers[t];

        if (!(st = j->s->decoder ? sg_reading_new(&w->reading, j->s->decoder, longest, NULL, err)
                                 : sg_t5_work_new(&w->t5, j->s->t5, NULL, err)) &&
            !(w->states = sg_alloc_array((size_t)longest * (size_t)j->pooling.in, sizeof *w->states)))
            st = sg_fail_memory(err, "states");
        if (!st && w->reading &&
            (j->depth.other || j->depth.layer < layers_of(j->s))) /* not the last one alone */
            st = sg_reading_depth(w->reading, j->depth, err);
    }
    return st;
}

static void batch_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const job *j = ctx;
    worker *w = &j->workers[thread];

    for (size_t i = begin; i < end && !w->st; i++)
        w->st = ((j->s->decoder && !j->both) || j->s->t5 ? run_texts : run_batch)(
            j, w, j->batch[j->first + i], j->batch[j->first + i + 1]);
}

static sg_status failure_of(const job *j, int threads, sg_error *err)
{
    for (int t = 0; t < threads; t++)
        if (j->workers[t].st) {
            *err = j->workers[t].err;
            return j->workers[t].st;
        }
    return SG_OK;
}

static sg_status make_vectors(job *j, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    const int threads = sg_pool_threads(pool);
    const size_t round = (size_t)threads * ROUND;
    sg_status st = SG_OK;

    for (j->first = 0; j->first < j->n_batches && !st; j->first += round) {
        const size_t n = j->n_batches - j->first < round ? j->n_batches - j->first : round;

        sg_parallel_for(pool, n, 1, batch_body, j);
        if (!(st = failure_of(j, threads, err)))
            st = sg_progress_tick(progress,
                                  &(sg_progress_event){.stage = "embed",
                                                       .unit = "texts",
                                                       .done = (double)j->batch[j->first + n],
                                                       .total = (double)j->n,
                                                       .loss = (double)NAN},
                                  err);
    }
    return st;
}

static sg_status check_finite(const job *j, sg_error *err)
{
    for (size_t i = 0; i < j->n * (size_t)j->width; i++)
        if (!isfinite(j->vectors[i]))
            return sg_fail(err, SG_ERR_NUMERIC,
                           "text %zu: the model's numbers are not finite: there is no vector",
                           i / (size_t)j->width + 1);
    return SG_OK;
}

/* ---- all together -------------------------------------------------------------------------------------------------------- */
static sg_status workers_new(job *j, int threads, sg_error *err)
{
    sg_status st = SG_OK;

    if (!(j->workers = sg_alloc_zero((size_t)threads, sizeof *j->workers)))
        return sg_fail_memory(err, "encoder");
    for (int t = 0; t < threads && !st; t++) {
        worker *w = &j->workers[t];

        if (!(st = sg_encoder_new(&w->encoder, j->s->tokenizer, err)) &&
            !(st = sg_graph_new(&w->graph, NULL, j->precision, err)) &&
            !(w->pool_work = sg_alloc_array(sg_pooling_floats(&j->pooling), sizeof *w->pool_work)))
            st = sg_fail_memory(err, "encoder");
    }
    return st;
}

static void workers_free(job *j, int threads)
{
    for (int t = 0; j->workers && t < threads; t++) {
        sg_encoder_free(j->workers[t].encoder);
        sg_graph_free(j->workers[t].graph);
        sg_reading_free(j->workers[t].reading);
        sg_t5_work_free(j->workers[t].t5);
        sg_free(j->workers[t].states);
        sg_buf_free(&j->workers[t].with_prefix);
        sg_buf_free(&j->workers[t].lower);
        sg_free(j->workers[t].pool_work);
    }
    sg_free(j->workers);
}

static sg_status make_report(json_t **out, const job *j, double seconds, sg_error *err)
{
    json_int_t tokens = 0, cut = 0, empty = 0;
    sg_buf pooling = {0};

    for (size_t i = 0; i < j->n; i++) {
        tokens += j->list[i].n;
        cut += j->list[i].cut;
        empty += j->text[j->list[i].text].size == 0;
    }
    for (int i = 0; i < SG_N_POOLERS; i++)
        if (j->pooling.use[i])
            sg_buf_printf(&pooling, pooling.size ? ", %s" : "%s", sg_pooler_name((sg_pooler)i));
    *out =
        json_pack("{s:I, s:i, s:I, s:I, s:I, s:i, s:s, s:b, s:s, s:f}", "texts", (json_int_t)j->n, "dim",
                  j->width, "empty", empty, "tokens", tokens, "texts_cut", cut, "tokens_max", (int)j->tokens,
                  "pooling", pooling.failed ? "" : pooling.data, "unit_length", j->pooling.unit, "precision",
                  j->precision == SG_BF16 ? "bf16" : "f32", "seconds", seconds);
    sg_buf_free(&pooling);
    if (!*out || (*j->prefix && json_object_set_new(*out, "prompt", json_string(j->prefix))) ||
        (j->pooling.assumed &&
         json_object_set_new(*out, "warning",
                             json_string("the model's files say nothing of poolers: the mean is taken")))) {
        json_decref(*out);
        *out = NULL;
        return sg_fail_memory(err, "report");
    }
    return SG_OK;
}

static sg_status choose_pooler(job *j, const sg_sentence_config *c, sg_error *err)
{
    static const struct {
        const char *name;
        sg_pooler pooler;
    } choices[] = {
        {"cls", SG_POOL_CLS},   {"cls_tanh", SG_POOL_CLS},        {"max", SG_POOL_MAX},
        {"mean", SG_POOL_MEAN}, {"mean_sqrt", SG_POOL_MEAN_SQRT}, {"weightedmean", SG_POOL_WEIGHTED},
        {"last", SG_POOL_LAST}, {"avg_first_last", SG_POOL_MEAN}, {"avg_top2", SG_POOL_MEAN}};
    const int layers = layers_of(j->s);
    const bool first_last = strcmp(c->pooling, "avg_first_last") == 0,
               top2 = strcmp(c->pooling, "avg_top2") == 0;
    const bool behind = strcmp(c->pooling, "cls_tanh") == 0;
    sg_status st;

    j->depth = (sg_depth){c->layer < 0 ? layers + 1 + c->layer : c->layer, 0};
    if (j->depth.layer < 0 || j->depth.layer > layers)
        return sg_fail(err, SG_ERR_USAGE,
                       "layer: expected at most %d, the layers of the model, or at least %d, found %d",
                       layers, -layers - 1, c->layer);
    if ((first_last || top2 || behind) && j->depth.layer != layers)
        return sg_fail(err, SG_ERR_USAGE, "layer: %s is that of certain layers", c->pooling);
    if (behind && !j->s->tanh.in)
        return sg_fail(
            err, SG_ERR_USAGE,
            "pooling: cls_tanh needs an encoder with a pooler behind its first token, and this one has none");
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (strcmp(c->pooling, choices[i].name) == 0 &&
            (st = sg_pooling_only(&j->pooling, choices[i].pooler, err)))
            return st;
    if (behind)
        j->pooling.dense[j->pooling.n_dense++] = j->s->tanh;
    if (layers > 1 && (first_last || top2))
        j->depth = (sg_depth){first_last ? 1 : layers - 1, layers};
    if (layers == 1 && top2) /* the vectors of words are all there is below it */
        j->depth = (sg_depth){0, 1};
    return SG_OK;
}

static sg_status choose_prompt(job *j, const sg_sentence_config *c, sg_error *err)
{
    const char *named = json_string_value(json_object_get(j->s->prompts, c->prompt_name));

    if (*c->prefix && *c->prompt_name)
        return sg_fail(err, SG_ERR_USAGE, "prompt_name: expected this or a prefix, found both");
    if (*c->prompt_name && !named && strcmp(c->prompt_name, "none") != 0) {
        sg_buf names = {0};
        const char *key;
        json_t *text;

        json_object_foreach(j->s->prompts, key, text) sg_buf_printf(&names, names.size ? ", %s" : "%s", key);
        const sg_status st = sg_fail(err, SG_ERR_USAGE, "prompt_name: expected %s%.200s, found %s",
                                     names.size ? "none or one of " : "none, since the folder has no prompts",
                                     names.size && !names.failed ? names.data : "", c->prompt_name);

        sg_buf_free(&names);
        return st;
    }
    j->prefix = *c->prefix        ? c->prefix
                : *c->prompt_name ? named ? named : ""
                : j->s->prompt    ? j->s->prompt
                                  : "";
    return SG_OK;
}

/* Texts must have room for more than what the tokenizer puts around them; what of the prompt is not pooled: its tokens, without one that
 * stands behind it, and not those that were cut off. */
static sg_status count_tokens(job *j, sg_error *err)
{
    const sg_encode_how how = {.literal = true, .most = j->tokens};
    worker *w = &j->workers[0];
    const int32_t *id;
    sg_bytes text;
    size_t n;
    sg_status st =
        sg_encoder_run(&id, &n, w->encoder, (sg_bytes){"", 0}, &(sg_encode_how){.literal = true}, err);

    if (!st && n >= j->tokens)
        return sg_fail(err, SG_ERR_USAGE,
                       "tokens: expected more than the %zu that the tokenizer puts around a text, found %zu",
                       n, j->tokens);
    if (st || !*j->prefix || !j->pooling.prompt_left_out)
        return st;
    if ((st = prepare(&text, j, w, (sg_bytes){"", 0})) ||
        (st = sg_encoder_run(&id, &n, w->encoder, text, &how, &w->err))) {
        *err = w->err;
        return st;
    }
    j->skip = n - (n > 0 && sg_tokenizer_is_special(j->s->tokenizer, id[n - 1]));
    return SG_OK;
}

/* The desk reads a text from its front: tokens that see those behind them go through the layers of training. */
static sg_status open_both_ways(job *j, const sg_sentence_config *c, sg_pool *pool, sg_error *err)
{
    const sg_llama *m = j->s->decoder;
    sg_status st;

    if (!c->both_ways)
        return SG_OK;
    if (!m || (j->s->adapter && j->s->adapter->soft))
        return sg_fail(err, SG_ERR_USAGE, "both_ways: expected a decoder%s",
                       m ? " without vectors in front of a text" : "");
    if ((st = sg_decoder_new(
             &j->both, m, &(sg_decoder_spec){.learn_from = sg_llama_config_of(m)->layers, .keep_bits = true},
             pool, err)))
        return st;
    sg_decoder_adapt(j->both, j->s->adapter);
    return SG_OK;
}

sg_status sg_sentence_encode(float **vectors, int32_t *dim, const sg_sentence *s, const sg_bytes *text,
                             size_t n, const sg_sentence_config *c, sg_pool *pool,
                             const sg_progress *progress, json_t **report, sg_error *err)
{
    const double start = sg_now();
    const int threads = sg_pool_threads(pool);
    job j = {.s = s, .text = text, .n = n, .tokens = (size_t)s->tokens, .pooling = s->pooling};
    sg_status st;

    *vectors = NULL;
    *report = NULL;
    if ((st = choose_pooler(&j, c, err)) || (st = choose_prompt(&j, c, err)))
        return st;
    if (c->tokens > s->places)
        return sg_fail(err, SG_ERR_USAGE, "tokens: expected at most %d, found %d", s->places, c->tokens);
    if (c->width > j.pooling.out)
        return sg_fail(err, SG_ERR_USAGE, "width: expected at most %d, found %d", j.pooling.out, c->width);
    j.tokens = c->tokens ? (size_t)c->tokens : j.tokens;
    j.width = c->width ? c->width : j.pooling.out;
    j.precision = s->decoder || s->t5                 ? SG_F32
                  : strcmp(c->precision, "auto") == 0 ? sg_precision_best()
                  : strcmp(c->precision, "bf16") == 0 ? SG_BF16
                                                      : SG_F32;
    j.list = sg_alloc_zero(n, sizeof *j.list);
    j.batch = sg_alloc_array(n + 1, sizeof *j.batch);
    j.vectors = sg_alloc_array(n * (size_t)j.width, sizeof *j.vectors);
    if (!j.list || !j.batch || !j.vectors)
        st = sg_fail_memory(err, "vectors");
    else if (!(st = open_both_ways(&j, c, pool, err)) && !(st = workers_new(&j, threads, err)) &&
             !(st = count_tokens(&j, err))) {
        sg_parallel_for(pool, n, GRAIN_TEXTS, tokenize_body, &j);
        if (!(st = failure_of(&j, threads, err))) {
            qsort(j.list, n, sizeof *j.list, longest_first);
            cut_batches(&j);
            if (!(st = readings_new(&j, threads, err)) && !(st = make_vectors(&j, pool, progress, err)) &&
                !(st = check_finite(&j, err)))
                st = make_report(report, &j, sg_now() - start, err);
        }
    }
    for (size_t i = 0; j.list && i < n; i++)
        sg_free(j.list[i].id);
    workers_free(&j, threads);
    sg_decoder_free(j.both);
    sg_free(j.list);
    sg_free(j.batch);
    if (st) {
        sg_free(j.vectors);
        return st;
    }
    *vectors = j.vectors;
    *dim = j.width;
    return SG_OK;
}
