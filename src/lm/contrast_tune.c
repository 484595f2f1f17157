/* contrast_tune.c - contrastive learning: from lines of pairs to a folder, epoch by epoch (contrast.c has the step). */
#include "lm/contrast.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "file/json.h"
#include "lm/folder.h"
#include "lm/learner.h"
#include "math/gemm.h"
#include "nn/optim.h"
#include "text/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SG_OPTION_STRUCT sg_contrast_config
const sg_option sg_contrast_options[] = {SG_CONTRAST_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
const size_t sg_n_contrast_options = sizeof sg_contrast_options / sizeof *sg_contrast_options;

enum { CONFIG_MOST = 16 << 20, LIST_MOST = 10000 };
enum { STREAM_VALID = SG_RNG_USER + 71, STREAM_POSITIVE, STREAM_NEGATIVE };

/* ---- pairs ------------------------------------------------------------------------------------------------------------------ */
typedef struct pair {
    size_t query, pos, neg; /* first text of each */
    int n_pos, n_neg;
} pair;

typedef struct loop {
    const char *model, *out;
    const sg_contrast_config *c;
    sg_pool *pool;
    const sg_progress *progress;
    sg_weights *weights;
    const sg_tokenizer *tokenizer; /* owned, or the decoder's */
    sg_encoder *encoder;
    sg_bert bert;
    sg_llama *llama; /* owned, as the next two; NULL: an encoder learns */
    sg_decoder *decoder;
    sg_adapter *adapter;
    sg_contrast_model m; /* one of them */
    sg_params *learns;   /* of it */
    const char *where;   /* the line that is read */
    sg_contrast_how how;
    size_t *begin; /* owned: (texts + 1) first token of each */
    int32_t *id;   /* owned */
    size_t n_texts, cap_begin, n_id, cap_id;
    pair *list; /* owned */
    size_t n, cap;
    uint32_t *train, *valid, *order; /* owned */
    size_t n_train, n_valid;
    bool lone;                   /* a single pair was kept for validation: it is learned, too */
    int32_t *batch_id, *offsets; /* owned: of a step */
    size_t cap_batch, cap_offsets;
    sg_graph *graph;
    sg_optim *optim;
    float **keep; /* owned: weights as they were best */
    double best, first;
    sg_buf log;
    sg_error *err;
} loop;

static sg_status add_text(loop *l, const char *prefix, sg_bytes text)
{
    const sg_encode_how how = {.literal = true, .most = (size_t)l->c->length};
    sg_buf all = {0};
    const int32_t *id;
    size_t n;
    sg_status st;

    sg_buf_puts(&all, prefix);
    sg_buf_add(&all, text.data, text.size);
    if (all.failed)
        st = sg_fail_memory(l->err, "text");
    else if (!(st = sg_encoder_run(&id, &n, l->encoder, (sg_bytes){all.data ? all.data : "", all.size}, &how,
                                   l->err))) {
        if (!sg_grow(&l->id, &l->cap_id, l->n_id + n, sizeof *l->id) ||
            !sg_grow(&l->begin, &l->cap_begin, l->n_texts + 2, sizeof *l->begin))
            st = sg_fail_memory(l->err, "text");
        else if (n == 0)
            st = sg_fail(l->err, SG_ERR_FORMAT, "%s: expected texts of one token at least, found one without",
                         l->where);
        else
            memcpy(l->id + l->n_id, id, n * sizeof *id);
    }
    if (!st) {
        l->begin[0] = 0;
        l->n_id += n;
        l->begin[++l->n_texts] = l->n_id;
    }
    sg_buf_free(&all);
    return st;
}

/* A text, or a list of them; *n: how many. */
static sg_status add_list(loop *l, int *n, const json_t *o, const char *key, const char *where)
{
    const json_t *v = json_object_get(o, key);
    const size_t many = json_is_array(v) ? json_array_size(v) : v ? 1 : 0;
    sg_status st = SG_OK;

    if (many > LIST_MOST)
        return sg_fail(l->err, SG_ERR_FORMAT, "%s: '%s': expected at most %d texts, found %zu", where, key,
                       LIST_MOST, many);
    for (size_t i = 0; i < many && !st; i++) {
        const json_t *s = json_is_array(v) ? json_array_get(v, i) : v;

        st = json_is_string(s)
                 ? add_text(l, l->c->passage_prefix, (sg_bytes){json_string_value(s), json_string_length(s)})
                 : sg_fail(l->err, SG_ERR_FORMAT, "%s: '%s': expected texts, found %s", where, key,
                           sg_json_describe(s, (char[64]){0}));
    }
    *n = (int)many;
    return st;
}

static sg_status add_pair(loop *l, const json_t *o, const char *where)
{
    const json_t *query = json_object_get(o, "query");
    pair p = {.query = l->n_texts};
    sg_status st;

    if (!json_is_string(query))
        return sg_fail(l->err, SG_ERR_FORMAT, "%s: expected a 'query' of text and 'pos', its answers", where);
    if ((st = add_text(l, l->c->query_prefix,
                       (sg_bytes){json_string_value(query), json_string_length(query)})))
        return st;
    p.pos = l->n_texts;
    if ((st = add_list(l, &p.n_pos, o, "pos", where)))
        return st;
    p.neg = l->n_texts;
    if ((st = add_list(l, &p.n_neg, o, "neg", where)))
        return st;
    if (p.n_pos == 0)
        return sg_fail(l->err, SG_ERR_FORMAT, "%s: expected a 'query' of text and 'pos', its answers", where);
    if (!sg_grow(&l->list, &l->cap, l->n + 1, sizeof *l->list))
        return sg_fail_memory(l->err, "pairs");
    l->list[l->n++] = p;
    return SG_OK;
}

static sg_status read_pairs(loop *l, const char *path)
{
    char where[SG_JSON_WHERE];
    json_t *line;
    sg_reader *r;
    sg_status st = sg_reader_open(&r, path, l->err);

    while (!st && !(st = sg_json_line(&line, where, r, l->err)) && line) {
        l->where = where;
        st = add_pair(l, line, where);
        json_decref(line);
    }
    sg_reader_close(r);
    if (st)
        return st;
    l->train = sg_alloc_array(l->n + 1, sizeof *l->train);
    l->valid = sg_alloc_array(l->n + 1, sizeof *l->valid);
    l->order = sg_alloc_array(l->n + 1, sizeof *l->order);
    if (!l->train || !l->valid || !l->order)
        return sg_fail_memory(l->err, "pairs");
    for (size_t i = 0; i < l->n; i++) {
        if (sg_rng_double((uint64_t)l->c->seed, STREAM_VALID, 0, i) < l->c->valid)
            l->valid[l->n_valid++] = (uint32_t)i;
        else
            l->train[l->n_train++] = (uint32_t)i;
    }
    if (l->n_valid == 1) { /* its answer is the only one to choose: it tells nothing */
        for (size_t i = 0; i < l->n; i++)
            l->train[i] = (uint32_t)i;
        l->n_train = l->n;
        l->n_valid = 0;
        l->lone = true;
    }
    if (l->n_train < 2)
        return sg_fail(l->err, SG_ERR_FORMAT, "%s: expected at least two pairs to learn from, found %zu",
                       path, l->n_train);
    return SG_OK;
}

static sg_status take_text(loop *l, int *texts, size_t text)
{
    const size_t n = l->begin[text + 1] - l->begin[text], at = *texts ? (size_t)l->offsets[*texts] : 0;

    if (!sg_grow(&l->batch_id, &l->cap_batch, at + n + 1, sizeof *l->batch_id) ||
        !sg_grow(&l->offsets, &l->cap_offsets, (size_t)*texts + 2, sizeof *l->offsets))
        return sg_fail_memory(l->err, "step");
    l->offsets[0] = 0;
    if (n)
        memcpy(l->batch_id + at, l->id + l->begin[text], n * sizeof *l->id);
    l->offsets[++*texts] = (int32_t)(at + n);
    return SG_OK;
}

/* Pairs list[from .. to - 1]; which answer and which wrong ones of several: drawn anew for each `draw`. */
static sg_status make_batch(loop *l, sg_contrast_batch *out, const uint32_t *list, size_t from, size_t to,
                            uint64_t draw)
{
    const uint64_t seed = (uint64_t)l->c->seed;
    int texts = 0;
    sg_status st = SG_OK;

    for (size_t i = from; i < to && !st; i++)
        st = take_text(l, &texts, l->list[list[i]].query);
    for (size_t i = from; i < to && !st; i++) {
        const pair *p = &l->list[list[i]];

        st = take_text(l, &texts,
                       p->pos + sg_rng_below((uint64_t)p->n_pos, seed, STREAM_POSITIVE, draw, list[i]));
    }
    for (size_t i = from; i < to && !st; i++) {
        const pair *p = &l->list[list[i]];

        for (int k = 0; k < l->c->negatives && k < p->n_neg && !st; k++) {
            const uint64_t first = sg_rng_below((uint64_t)p->n_neg, seed, STREAM_NEGATIVE, draw, list[i]);

            st = take_text(l, &texts, p->neg + (first + (uint64_t)k) % (uint64_t)p->n_neg);
        }
    }
    *out = (sg_contrast_batch){(int)(to - from), texts, l->batch_id, l->offsets};
    return st;
}

/* ---- the loop --------------------------------------------------------------------------------------------------------------- */
static sg_status find_kind(bool *encoder, const char *model, sg_error *err)
{
    static const char *const types[] = {"bert", "roberta", "xlm-roberta"};
    char *path = sg_path_join(model, "config.json");
    json_t *o = NULL;
    sg_status st = path ? SG_OK : sg_fail_memory(err, "path");

    *encoder = false;
    if (!st && sg_dir_exists(model) && !(st = sg_json_read(&o, path, CONFIG_MOST, err))) {
        const char *type = json_string_value(json_object_get(o, "model_type"));

        for (size_t i = 0; type && i < sizeof types / sizeof *types; i++)
            *encoder = *encoder || strcmp(type, types[i]) == 0;
    }
    json_decref(o);
    sg_free(path);
    return st;
}

bool sg_contrast_is_encoder(const char *model)
{
    bool is;

    return !find_kind(&is, model, NULL) && is;
}

bool sg_contrast_is_pairs(const char *data)
{
    static const char *const of_lessons[] = {"messages", "prompt", "instruction", "text"};
    sg_reader *r = NULL;
    const char *line;
    json_t *o = NULL;
    size_t size = 0;
    bool is = false;

    if (!sg_reader_open(&r, data, NULL)) {
        while (!sg_reader_line(r, &line, &size, NULL) && line && size == 0)
            ;
        if (size > 0 && !sg_json_parse(&o, (sg_bytes){line, size}, data, NULL))
            is = json_object_get(o, "query") != NULL;
        for (size_t i = 0; i < sizeof of_lessons / sizeof *of_lessons; i++)
            is = is && !json_object_get(o, of_lessons[i]);
    }
    json_decref(o);
    sg_reader_close(r);
    return is;
}

static sg_status read_widths(loop *l)
{
    const int dim = sg_contrast_dim(&l->m);
    const char *at = l->c->widths;

    while (*at) {
        char *end;
        const long width = strtol(at, &end, 10);

        if (end == at || (*end && *end != ',') || width < 1 || width > dim || l->how.n_widths == 8)
            return sg_fail(l->err, SG_ERR_USAGE,
                           "widths: expected up to 8 numbers from 1 to %d with commas between, found '%s'",
                           dim, l->c->widths);
        l->how.width[l->how.n_widths++] = (int)width;
        at = end + (*end == ',');
    }
    return SG_OK;
}

/* Options of decoders must be as they are when nothing is said. */
static sg_status check_options(const loop *l)
{
    static const char *const of_decoders[] = {"pooling", "both_ways", "rank", "alpha", "targets"};
    sg_contrast_config plain;
    sg_buf says = {0}, unsaid = {0};
    sg_status st = SG_OK;

    sg_options_init(&plain, sg_contrast_options, sg_n_contrast_options);
    for (size_t i = 0; i < sizeof of_decoders / sizeof *of_decoders && !st; i++) {
        const sg_option *row = sg_options_find(sg_contrast_options, sg_n_contrast_options, of_decoders[i]);

        says.size = unsaid.size = 0;
        sg_options_print(&says, l->c, row);
        sg_options_print(&unsaid, &plain, row);
        if (says.failed || unsaid.failed)
            st = sg_fail_memory(l->err, "options");
        else if (says.size != unsaid.size || memcmp(says.data, unsaid.data, says.size) != 0)
            st = sg_fail(l->err, SG_ERR_USAGE, "%s: expected with a decoder only", row->name);
    }
    sg_buf_free(&says);
    sg_buf_free(&unsaid);
    return st;
}

static sg_status open_encoder(loop *l)
{
    char *path = sg_path_join(l->model, "config.json");
    sg_tokenizer *t = NULL;
    sg_bert_config config;
    json_t *o = NULL;
    sg_status st = path ? sg_json_read(&o, path, CONFIG_MOST, l->err) : sg_fail_memory(l->err, "path");

    if (st || (st = check_options(l)) || (st = sg_bert_config_read(&config, o, path, l->err)) ||
        (st = sg_weights_open(&l->weights, l->model, l->err)) ||
        (st = sg_bert_open(&l->bert, &config, l->weights, l->err)) ||
        (st = sg_bert_learn(&l->bert, l->err)) || (st = sg_tokenizer_open(&t, l->model, l->err)))
        goto done;
    l->tokenizer = t;
    l->m = (sg_contrast_model){.bert = &l->bert};
    l->learns = &l->bert.params;
    if (sg_tokenizer_size(t) > config.vocab)
        st = sg_fail(l->err, SG_ERR_FORMAT,
                     "%s: expected at most %d tokens, the rows of the word table, found a tokenizer of %d",
                     l->model, config.vocab, (int)sg_tokenizer_size(t));
done:
    json_decref(o);
    sg_free(path);
    return st;
}

/* Its weights stay as they are: the parts of an adapter beside them learn. */
static sg_status open_decoder(loop *l)
{
    const sg_contrast_config *c = l->c;
    sg_tune_config parts;
    sg_status st;

    if ((st = sg_llama_open(&l->llama, l->model, l->err)))
        return st;
    const sg_llama_config *of = sg_llama_config_of(l->llama);
    const sg_adapter_host host = sg_llama_host(l->llama);
    const sg_tune_job job = {.model = l->model};
    sg_options_init(&parts, sg_tune_options, sg_n_tune_options); /* method: lora */
    parts.rank = c->rank;
    parts.alpha = c->alpha;
    parts.seed = c->seed;
    memcpy(parts.targets, c->targets, sizeof parts.targets);
    if ((st = sg_decoder_new(&l->decoder, l->llama,
                             &(sg_decoder_spec){.learn_from = of->layers, .keep_bits = true}, l->pool,
                             l->err)) ||
        (st = sg_learner_adapter(&l->adapter, &job, &parts, &host, l->decoder->words, 0, l->err)) ||
        (st = sg_params_need_grads(&l->adapter->params, l->err)))
        return st;
    if (sg_adapter_head(l->adapter).a)
        return sg_fail(
            l->err, SG_ERR_USAGE,
            "targets: expected matrices of layers, found lm_head, which vectors do not pass through");
    sg_decoder_adapt(l->decoder, l->adapter);
    l->tokenizer = sg_llama_tokenizer(l->llama);
    l->m = (sg_contrast_model){.decoder = l->decoder, .both_ways = c->both_ways};
    l->learns = &l->adapter->params;
    return SG_OK;
}

static sg_status choose_pooler(loop *l)
{
    static const struct {
        const char *name;
        sg_pooler pooler;
    } choices[] = {{"cls", SG_POOL_CLS}, {"mean", SG_POOL_MEAN}, {"last", SG_POOL_LAST}};
    sg_pooling pooling = {.use[SG_POOL_MEAN] = true};
    sg_status st = SG_OK;
    int n = 0;

    if (sg_dir_exists(l->model) && (st = sg_pooling_open(&pooling, l->model, sg_contrast_dim(&l->m), l->err)))
        return st;
    for (size_t i = 0; i < sizeof choices / sizeof *choices && !st; i++)
        if (strcmp(l->c->pooling, choices[i].name) == 0)
            st = sg_pooling_only(&pooling, choices[i].pooler, l->err);
    for (int p = 0; p < SG_N_POOLERS; p++)
        if (pooling.use[p]) {
            l->how.pooler = (sg_pooler)p;
            n++;
        }
    if (!st &&
        (n != 1 || pooling.n_dense ||
         (l->how.pooler != SG_POOL_CLS && l->how.pooler != SG_POOL_MEAN && l->how.pooler != SG_POOL_LAST)))
        st = sg_fail(l->err, SG_ERR_USAGE,
                     "%s: expected vectors that are one of cls, mean and lasttoken, without dense layers",
                     l->model);
    sg_pooling_close(&pooling);
    return st;
}

static sg_status open_model(loop *l)
{
    bool encoder;
    sg_status st;

    if ((st = find_kind(&encoder, l->model, l->err)) || (st = encoder ? open_encoder(l) : open_decoder(l)) ||
        (st = choose_pooler(l)) || (st = sg_encoder_new(&l->encoder, l->tokenizer, l->err)))
        return st;
    const int places = l->m.bert ? sg_bert_tokens_max(&l->bert) : sg_llama_places(l->llama);
    if (l->c->length > places)
        return sg_fail(l->err, SG_ERR_USAGE,
                       "length: expected at most %d, the places that the model knows, found %d", places,
                       l->c->length);
    l->how.temperature = (float)l->c->temperature;
    l->how.tokens = l->c->tokens;
    return read_widths(l);
}

/* The pair after the last of the batch that begins at `at`; a pair that would be left by itself at the end belongs to it, too: a loss over
 * one answer is 0. */
static size_t batch_end(const loop *l, size_t n, size_t at)
{
    const size_t batch = (size_t)l->c->batch;

    return n - at <= batch + 1 ? n : at + batch;
}

static sg_status validate(loop *l, int64_t step, double loss_train)
{
    double sum = 0, n = 0, hits = 0;
    sg_status st = SG_OK;

    for (size_t at = 0, to; at < l->n_valid && !st; at = to) {
        sg_contrast_batch b;
        sg_contrast_told told;

        to = batch_end(l, l->n_valid, at);
        if (!(st = make_batch(l, &b, l->valid, at, to, 0)) &&
            !(st = sg_contrast_step(&told, l->graph, &l->m, &b, &l->how, false, 0, l->err))) {
            sum += told.loss * told.asked;
            hits += told.correct;
            n += told.asked;
        }
    }
    if (st || l->n_valid == 0)
        return st;
    if (n == 0) { /* of step 0 already: the answers that are drawn here are the same every time */
        l->n_valid = 0;
        return sg_progress_say(
            l->progress, l->err, "tune",
            "the pairs kept for validation have no wrong answers: the last weights are kept");
    }
    const double loss = sum / n;
    if (!isfinite(loss) && step == 0)
        return sg_fail(l->err, SG_ERR_NUMERIC,
                       "the model's numbers are not finite: there is no validation loss");
    if (!isfinite(loss))
        return sg_fail(l->err, SG_ERR_NUMERIC,
                       "training diverged: no finite validation loss after %lld steps; try a lower lr",
                       (long long)step);
    const bool best = step == 0 || loss < l->best;
    if (step == 0)
        l->first = loss;
    if (best) {
        l->best = loss;
        for (size_t i = 0; i < l->learns->n; i++)
            memcpy(l->keep[i], l->learns->list[i]->value, l->learns->list[i]->count * sizeof(float));
    }
    sg_buf_printf(&l->log, "{\"step\":%lld", (long long)step);
    if (step)
        sg_buf_printf(&l->log, ",\"loss\":%.6f", loss_train);
    sg_buf_printf(&l->log, ",\"loss_valid\":%.6f,\"accuracy\":%.4f,\"best\":%s}\n", loss, hits / n,
                  best ? "true" : "false");
    return sg_progress_say(l->progress, l->err, "tune",
                           "step %lld: validation loss %.4f, nearest is the own answer %.4f%s",
                           (long long)step, loss, hits / n, best && step ? " (best so far)" : "");
}

static int64_t steps_of_epoch(const loop *l)
{
    const size_t batch = (size_t)l->c->batch;

    return (int64_t)(l->n_train / batch + (l->n_train % batch > 1));
}

static sg_status run(loop *l, int64_t *steps)
{
    const size_t batch = (size_t)l->c->batch;
    const int64_t per_epoch = steps_of_epoch(l), total = per_epoch * l->c->epochs;
    sg_status st = validate(l, 0, 0);

    for (int e = 0; e < l->c->epochs && !st; e++) {
        double sum = 0, asked = 0;

        sg_rng_permutation(l->order, (uint32_t)l->n_train, (uint64_t)l->c->seed, SG_RNG_SHUFFLE, (uint64_t)e);
        for (size_t i = 0; i < l->n_train; i++)
            l->order[i] = l->train[l->order[i]];
        for (int64_t k = 0; k < per_epoch && !st; k++) {
            const size_t from = (size_t)k * batch, to = batch_end(l, l->n_train, from);
            sg_contrast_batch b;
            sg_contrast_told told;

            if ((st = make_batch(l, &b, l->order, from, to, (uint64_t)e)) ||
                (st =
                     sg_contrast_step(&told, l->graph, &l->m, &b, &l->how, true, (uint64_t)*steps, l->err)) ||
                (st = sg_optim_step(l->optim, l->pool, NULL, l->err)))
                break;
            sum += told.loss * told.asked;
            asked += told.asked;
            ++*steps;
            st = sg_progress_tick(l->progress,
                                  &(sg_progress_event){.stage = "tune",
                                                       .unit = "steps",
                                                       .done = (double)*steps,
                                                       .total = (double)total,
                                                       .loss = told.loss},
                                  l->err);
        }
        if (!st)
            st = validate(l, *steps, asked > 0 ? sum / asked : 0);
    }
    return st;
}

static sg_status copy_modules(const loop *l)
{
    char *path = sg_path_join(l->model, "modules.json");
    json_t *list = NULL;
    sg_status st = path ? SG_OK : sg_fail_memory(l->err, "path");

    if (!st && sg_file_exists(path))
        st = sg_json_read(&list, path, CONFIG_MOST, l->err);
    for (size_t i = 0; i < json_array_size(list) && !st; i++) {
        const char *folder = json_string_value(json_object_get(json_array_get(list, i), "path"));
        char *from, *to;

        if (!folder || !*folder || strchr(folder, '/') || *folder == '.')
            continue; /* read at the opening: others are refused there */
        from = sg_path_join(l->model, folder);
        to = sg_path_join(l->out, folder);
        if (!from || !to)
            st = sg_fail_memory(l->err, "path");
        else if (!(st = sg_dir_make(to, l->err)))
            st = sg_model_file_copy(from, to, "config.json", l->err);
        sg_free(from);
        sg_free(to);
    }
    json_decref(list);
    sg_free(path);
    return st;
}

/* Weights as they were best, in place of the last ones. */
static void take_best(loop *l)
{
    for (size_t i = 0; i < l->learns->n && l->n_valid; i++)
        memcpy(l->learns->list[i]->value, l->keep[i], l->learns->list[i]->count * sizeof(float));
}

static sg_status save_encoder(loop *l)
{
    static const char *const names[] = {"config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "vocab.txt",
                                        "vocab.json",
                                        "merges.txt",
                                        "modules.json",
                                        "special_tokens_map.json",
                                        "sentence_bert_config.json",
                                        "sentencepiece.bpe.model",
                                        "tokenizer.model",
                                        "config_sentence_transformers.json"};
    const sg_params *ps = &l->bert.params;
    char *path = sg_path_join(l->out, "model.safetensors");
    sg_tensor_desc *list = sg_alloc_zero(ps->n, sizeof *list);
    char(*name)[160] = sg_alloc_zero(ps->n, sizeof *name);
    sg_status st = path && list && name ? sg_dir_make(l->out, l->err) : sg_fail_memory(l->err, l->out);

    for (size_t i = 0; i < ps->n && !st; i++) {
        sg_param *p = ps->list[i];

        list[i] = (sg_tensor_desc){sg_bert_file_name(name[i], l->weights, p),
                                   SG_DT_F32,
                                   p->rank,
                                   {(uint64_t)p->dim[0], (uint64_t)p->dim[1]},
                                   p->value};
    }
    for (size_t i = 0; i < sizeof names / sizeof *names && !st; i++)
        st = sg_model_file_copy(l->model, l->out, names[i], l->err);
    if (!st && !(st = copy_modules(l)))
        st = sg_tensors_write(path, list, ps->n, &(sg_meta){"format", "pt"}, 1, l->err);
    sg_free(name);
    sg_free(list);
    sg_free(path);
    return st;
}

static sg_status save(loop *l)
{
    char *log = sg_path_join(l->out, "training.jsonl");
    sg_status st = log && !l->log.failed ? sg_dir_make(l->out, l->err) : sg_fail_memory(l->err, l->out);

    take_best(l);
    if (!st && !(st = l->adapter ? sg_adapter_save(l->adapter, l->out, l->err) : save_encoder(l)))
        st = sg_file_write(log, l->log.data ? l->log.data : "", l->log.size, l->err);
    sg_free(log);
    return st;
}

static sg_status prepare(loop *l, const char *data)
{
    const sg_contrast_config *c = l->c;
    const sg_precision precision = strcmp(c->precision, "auto") == 0   ? sg_precision_best()
                                   : strcmp(c->precision, "bf16") == 0 ? SG_BF16
                                                                       : SG_F32;
    sg_status st;

    if (sg_same_folder(l->model, l->out))
        return sg_fail(l->err, SG_ERR_USAGE, "%s: expected another folder than the model's own", l->out);
    if ((st = open_model(l)) || (st = read_pairs(l, data)))
        return st;
    const int64_t total = steps_of_epoch(l) * c->epochs;
    const sg_optim_spec spec = {.kind = SG_OPTIM_ADAMW,
                                .lr = c->lr,
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .eps = 1e-8,
                                .weight_decay = c->weight_decay,
                                .clip = c->clip,
                                .schedule = SG_SCHEDULE_LINEAR,
                                .warmup = (int64_t)ceil(c->warmup * (double)total),
                                .total = total};
    if ((st = sg_graph_new(&l->graph, l->pool, precision, l->err)) ||
        (st = sg_optim_new(&l->optim, l->learns, &spec, l->err)))
        return st;
    if (!(l->keep = sg_alloc_zero(l->learns->n, sizeof *l->keep)))
        return sg_fail_memory(l->err, "best weights");
    for (size_t i = 0; i < l->learns->n && l->n_valid; i++)
        if (!(l->keep[i] = sg_alloc_zero(l->learns->list[i]->count, sizeof(float))))
            return sg_fail_memory(l->err, "best weights");
    if (l->lone)
        return sg_progress_say(
            l->progress, l->err, "tune",
            "%zu weights learn, %zu pairs: one kept for validation would tell nothing, it is "
            "learned, too, and the last weights are kept",
            sg_params_count(l->learns), l->n);
    return sg_progress_say(l->progress, l->err, "tune",
                           "%zu weights learn, %zu pairs (%zu kept for validation)",
                           sg_params_count(l->learns), l->n, l->n_valid);
}

sg_status sg_contrast(const char *model, const char *data, const char *out, const sg_contrast_config *c,
                      sg_pool *pool, const sg_progress *progress, json_t **report, sg_error *err)
{
    const double start = sg_now();
    loop l = {.model = model, .out = out, .c = c, .pool = pool, .progress = progress, .err = err};
    int64_t steps = 0;
    sg_status st;

    *report = NULL;
    if (!(st = prepare(&l, data)) && !(st = run(&l, &steps)) && !(st = save(&l))) {
        *report =
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:f}", "method", "contrastive", "pooling",
                      sg_pooler_name(l.how.pooler), "weights", (json_int_t)sg_params_count(l.learns), "pairs",
                      (json_int_t)l.n, "steps", (json_int_t)steps, "seconds", sg_now() - start);
        if (!*report ||
            (l.n_valid && (json_object_set_new(*report, "loss_valid_before", json_real(l.first)) ||
                           json_object_set_new(*report, "loss_valid", json_real(l.best)))))
            st = sg_fail_memory(err, "report");
    }
    for (size_t i = 0; l.keep && i < l.learns->n; i++)
        sg_free(l.keep[i]);
    sg_free(l.keep);
    sg_buf_free(&l.log);
    sg_optim_free(l.optim);
    sg_graph_free(l.graph);
    sg_free(l.batch_id);
    sg_free(l.offsets);
    sg_free(l.train);
    sg_free(l.valid);
    sg_free(l.order);
    sg_free(l.list);
    sg_free(l.begin);
    sg_free(l.id);
    sg_encoder_free(l.encoder);
    if (!l.llama)
        sg_tokenizer_close((sg_tokenizer *)(uintptr_t)l.tokenizer);
    sg_decoder_free(l.decoder);
    sg_adapter_free(l.adapter);
    sg_llama_close(l.llama);
    sg_bert_close(&l.bert);
    sg_weights_close(l.weights);
    return st;
}
