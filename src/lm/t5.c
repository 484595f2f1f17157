/* t5.c - encoder and decoder with relative positions, RMSNorm before every part, and no biases.   [Raffel et al. 2020; v1.1: Shazeer 2020]
 *
 *   encoder:  x += O attend(Q n, K n, V n) + b,  n = RMS(x);   x += D f(RMS(x));   states: RMS(x)
 *   decoder:  the same over what is written so far;  then x += O' attend(Q' n, K' e, V' e),  e: the encoder's states;  then the same f
 *   f(m) = relu(U m),  or (v1.1)  gelu(G m) * (U m);   logits = E RMS(x) / sqrt(dim), E the word table; v1.1: H RMS(x)
 *
 * Attention has no scale; b is a number for each head and distance, by buckets that grow with the distance, those of the first layer for
 * all. Across to the encoder there is no b. */
#include "lm/t5.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "lm/desk_rows.h"
#include "lm/matrix.h"
#include "math/attention.h"
#include "math/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONFIG_MOST = 64 << 20,
    CHUNK = 64, /* rows of the decoder that go through all layers at once */
    GRAIN = 1 << 14,
    PAST = 16, /* numbers behind a bias that kernels may read */
};

typedef struct attention {
    sg_matrix q, k, v, o;
    sg_param *norm;
} attention;

typedef struct block {
    attention self, cross; /* cross: of a decoder */
    sg_matrix gate, up, down; /* gate: v1.1 */
    sg_param *norm_ffn;
} block;

typedef struct stack {
    block *block; /* owned: (layers) */
    int layers;
    sg_param *norm, *bias; /* bias (buckets, heads) */
} stack;

struct sg_t5 {
    sg_t5_config config;
    sg_weights *weights;     /* owned */
    sg_tokenizer *tokenizer; /* owned */
    sg_params params;
    stack encoder, decoder; /* decoder.layers 0: the folder has none */
    sg_matrix output;
    const char *words;
};

/* ---- config.json --------------------------------------------------------------------------------------------------------- */
bool sg_t5_is(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));

    return type && strcmp(type, "t5") == 0;
}

/* otherwise -1: it has to be there */
static sg_status read_int(int *out, const json_t *config, const char *key, int otherwise, int64_t least, int64_t most, const char *where,
                          sg_error *err)
{
    int64_t x = otherwise;
    const json_t *value = json_object_get(config, key);
    sg_status st = SG_OK;

    if (otherwise < 0 || (value && !json_is_null(value)))
        st = sg_json_need_int(&x, config, key, least, most, where, err);
    *out = (int)x;
    return st;
}

static sg_status read_form(sg_t5_config *c, const char *form, const char *where, sg_error *err)
{
    static const struct {
        const char *name;
        bool gated;
        sg_act act;
    } forms[] = {{"relu", false, SG_RELU}, {"gated-gelu", true, SG_GELU_TANH}, {"gated-silu", true, SG_SILU}};

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(form, forms[i].name) == 0) {
            c->gated = forms[i].gated;
            c->act = forms[i].act;
            return SG_OK;
        }
    return sg_fail(err, SG_ERR_FORMAT, "%s: 'feed_forward_proj': expected relu, gated-gelu or gated-silu, found '%.100s'", where, form);
}

sg_status sg_t5_config_read(sg_t5_config *out, const json_t *config, const char *where, sg_error *err)
{
    const json_t *tied = json_object_get(config, "tie_word_embeddings"), *scaled = json_object_get(config, "scale_decoder_outputs");
    const char *form = "relu";
    double eps = 1e-6;
    sg_t5_config *c = out;
    sg_status st;

    *c = (sg_t5_config){0};
    if (!sg_t5_is(config))
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'model_type': expected t5, found %s", where,
                       sg_json_describe(json_object_get(config, "model_type"), (char[64]){0}));
    if ((st = read_int(&c->dim, config, "d_model", -1, 1, 1 << 16, where, err)) ||
        (st = read_int(&c->head_dim, config, "d_kv", -1, 1, 1 << 12, where, err)) ||
        (st = read_int(&c->heads, config, "num_heads", -1, 1, 1 << 12, where, err)) ||
        (st = read_int(&c->layers, config, "num_layers", -1, 1, 1000, where, err)) ||
        (st = read_int(&c->ffn, config, "d_ff", -1, 1, 1 << 20, where, err)) ||
        (st = read_int(&c->vocab, config, "vocab_size", -1, 1, 1 << 24, where, err)) ||
        (st = read_int(&c->layers_decoder, config, "num_decoder_layers", c->layers, 1, 1000, where, err)) ||
        (st = read_int(&c->buckets, config, "relative_attention_num_buckets", 32, 1, 4096, where, err)) ||
        (st = read_int(&c->distance, config, "relative_attention_max_distance", 128, 1, 1 << 20, where, err)) ||
        (st = read_int(&c->start, config, "decoder_start_token_id", 0, 0, c->vocab - 1, where, err)) ||
        (st = read_int(&c->end, config, "eos_token_id", 1, 0, c->vocab - 1, where, err)))
        return st;
    if (json_object_get(config, "feed_forward_proj") && (st = sg_json_need_string(&form, config, "feed_forward_proj", where, err)))
        return st;
    if (json_object_get(config, "layer_norm_epsilon") && (st = sg_json_need_real(&eps, config, "layer_norm_epsilon", where, err)))
        return st;
    if (!(eps >= 0 && eps < 1))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an epsilon of norms from 0 to 1, found %g", where, eps);
    if (c->buckets < 4 || c->buckets % 4 || c->distance <= c->buckets / 2)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a multiple of 4 buckets, and a distance above half of them, found %d and %d", where,
                       c->buckets, c->distance);
    c->eps = (float)eps;
    c->scaled = !json_is_false(tied) && !json_is_false(scaled); /* newer files say it by a name of its own */
    return read_form(c, form, where, err);
}

/* ---- weights ------------------------------------------------------------------------------------------------------------- */
typedef struct loader {
    sg_t5 *m;
    const char *stack; /* "encoder" or "decoder" */
    int block, part;   /* layer.%d of block.%d */
    sg_error *err;
} loader;

static const char *full(const loader *l, char name[160], const char *rest)
{
    snprintf(name, 160, "%s.block.%d.layer.%d.%s.weight", l->stack, l->block, l->part, rest);
    return name;
}

static sg_status load_param(const loader *l, sg_param **out, const char *name, int rows, int cols)
{
    *out = sg_param_add(&l->m->params, 0, SG_INIT_ZERO, 0, SG_PARAM_FROZEN, rows, cols, "%s", name);
    return *out ? sg_weights_load(l->m->weights, *out, name, l->err) : sg_fail_memory(l->err, name);
}

static sg_status load_matrix(const loader *l, sg_matrix *out, const char *rest, int rows, int in)
{
    char name[160];

    return sg_matrix_open(out, &l->m->params, l->m->weights, full(l, name, rest), rows, in, 0, l->err);
}

static sg_status load_attention(const loader *l, attention *a, const char *kind)
{
    const sg_t5_config *c = &l->m->config;
    const int inner = c->heads * c->head_dim;
    char name[160], rest[64];
    sg_matrix *to[] = {&a->q, &a->k, &a->v};
    sg_status st = SG_OK;

    for (int i = 0; i < 3 && !st; i++) {
        snprintf(rest, sizeof rest, "%s.%c", kind, "qkv"[i]);
        st = load_matrix(l, to[i], rest, inner, c->dim);
    }
    snprintf(rest, sizeof rest, "%s.o", kind);
    if (st || (st = load_matrix(l, &a->o, rest, c->dim, inner)))
        return st;
    return load_param(l, &a->norm, full(l, name, "layer_norm"), c->dim, 0);
}

static sg_status load_block(loader *l, block *b, bool decoder)
{
    const sg_t5_config *c = &l->m->config;
    char name[160];
    sg_status st;

    l->part = 0;
    if ((st = load_attention(l, &b->self, "SelfAttention")))
        return st;
    l->part++;
    if (decoder && (st = load_attention(l, &b->cross, "EncDecAttention")))
        return st;
    l->part += decoder;
    if ((c->gated && (st = load_matrix(l, &b->gate, "DenseReluDense.wi_0", c->ffn, c->dim))) ||
        (st = load_matrix(l, &b->up, c->gated ? "DenseReluDense.wi_1" : "DenseReluDense.wi", c->ffn, c->dim)) ||
        (st = load_matrix(l, &b->down, "DenseReluDense.wo", c->dim, c->ffn)))
        return st;
    return load_param(l, &b->norm_ffn, full(l, name, "layer_norm"), c->dim, 0);
}

static sg_status load_stack(loader *l, stack *s, const char *name, int layers)
{
    const sg_t5_config *c = &l->m->config;
    char long_name[160];
    sg_status st;

    l->stack = name;
    if (!(s->block = sg_alloc_zero((size_t)layers, sizeof *s->block)))
        return sg_fail_memory(l->err, "layers");
    s->layers = layers;
    for (l->block = 0; l->block < layers; l->block++)
        if ((st = load_block(l, &s->block[l->block], s == &l->m->decoder)))
            return st;
    l->block = l->part = 0;
    if ((st = load_param(l, &s->bias, full(l, long_name, "SelfAttention.relative_attention_bias"), c->buckets, c->heads)))
        return st;
    snprintf(long_name, sizeof long_name, "%s.final_layer_norm.weight", name);
    return load_param(l, &s->norm, long_name, c->dim, 0);
}

static sg_status load_all(sg_t5 *m, sg_error *err)
{
    const sg_t5_config *c = &m->config;
    loader l = {.m = m, .err = err};
    sg_status st;

    m->words = sg_weights_has(m->weights, "shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight";
    if ((st = load_stack(&l, &m->encoder, "encoder", c->layers)) || !sg_weights_has(m->weights, "decoder.final_layer_norm.weight"))
        return st;
    if ((st = load_stack(&l, &m->decoder, "decoder", c->layers_decoder)))
        return st;
    return sg_matrix_open(&m->output, &m->params, m->weights, sg_weights_has(m->weights, "lm_head.weight") ? "lm_head.weight" : m->words, c->vocab, c->dim, 0, err);
}

static void close_stack(stack *s)
{
    for (int i = 0; i < s->layers; i++) {
        block *b = &s->block[i];
        sg_matrix *all[] = {&b->self.q, &b->self.k, &b->self.v, &b->self.o, &b->cross.q, &b->cross.k, &b->cross.v, &b->cross.o,
                            &b->gate,   &b->up,     &b->down};

        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            sg_matrix_close(all[k]);
    }
    sg_free(s->block);
}

void sg_t5_close(sg_t5 *m)
{
    if (!m)
        return;
    close_stack(&m->encoder);
    close_stack(&m->decoder);
    sg_matrix_close(&m->output);
    sg_params_free(&m->params);
    sg_tokenizer_close(m->tokenizer);
    sg_weights_close(m->weights);
    sg_free(m);
}

sg_status sg_t5_open(sg_t5 **out, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "config.json");
    sg_t5 *m = sg_alloc_zero(1, sizeof *m);
    json_t *root = NULL;
    sg_status st = path && m ? sg_json_read(&root, path, CONFIG_MOST, err) : sg_fail_memory(err, "model");

    *out = NULL;
    if (!st) {
        m->params.bare = true;
        st = sg_t5_config_read(&m->config, root, path, err);
    }
    if (!st && !(st = sg_weights_open(&m->weights, dir, err)) && !(st = sg_tokenizer_open(&m->tokenizer, dir, err))) {
        if (sg_tokenizer_size(m->tokenizer) > m->config.vocab)
            st = sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %d tokens, the rows of the word table, found a tokenizer of %d", dir,
                         m->config.vocab, (int)sg_tokenizer_size(m->tokenizer));
        else
            st = load_all(m, err);
    }
    json_decref(root);
    sg_free(path);
    if (st) {
        sg_t5_close(m);
        return st;
    }
    *out = m;
    return SG_OK;
}

const sg_t5_config *sg_t5_config_of(const sg_t5 *m)
{
    return &m->config;
}

const sg_tokenizer *sg_t5_tokenizer(const sg_t5 *m)
{
    return m->tokenizer;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */
/* Rows on their way through the layers: of the encoder those of one text, of the decoder those of many. */
struct sg_t5_work {
    const sg_t5 *m; /* borrowed */
    sg_pool *pool;  /* borrowed */
    int room, n;    /* rows */
    size_t memory_floats, bias_floats, scratch_floats;
    float *memory; /* owned: all of the below for `room` rows */
    float *x, *n_x, *q, *k, *v, *a, *gate, *up, *sums;
    float *bias;    /* owned: (heads, 2 room - 1 + PAST): by distance */
    int bias_room;  /* the middle */
    float *scratch; /* owned: of attention, a thread */
};

static size_t inner_of(const sg_t5 *m)
{
    return (size_t)m->config.heads * (size_t)m->config.head_dim;
}

static size_t most_sums(const stack *s, int rows, size_t most)
{
    for (int i = 0; i < s->layers; i++) {
        const block *b = &s->block[i];
        const sg_matrix *all[] = {&b->self.q, &b->self.k, &b->self.v, &b->self.o, &b->cross.q, &b->cross.k, &b->cross.v, &b->cross.o,
                                  &b->gate,   &b->up,     &b->down};

        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            const size_t here = all[k]->in ? sg_matrix_floats(all[k], rows) : 0;

            most = here > most ? here : most;
        }
    }
    return most;
}

/* The bucket of a key that stands `distance` after the query, in the arithmetic of the models' makers: f32. */
static int bucket_of(const sg_t5_config *c, int distance, bool both)
{
    const int n_buckets = both ? c->buckets / 2 : c->buckets, exact = n_buckets / 2;
    const int side = both && distance > 0 ? n_buckets : 0, n = both ? abs(distance) : distance < 0 ? -distance : 0;

    if (n < exact)
        return side + n;
    const float share = logf((float)n / (float)exact) / (float)log((double)c->distance / exact) * (float)(n_buckets - exact);
    const int at = exact + (int)share;

    return side + (at < n_buckets ? at : n_buckets - 1);
}

/* Biases of distances -room .. room, the middle being 0. */
static void fill_bias(sg_t5_work *w, const stack *s, bool both)
{
    const sg_t5_config *c = &w->m->config;
    const int room = w->bias_room;
    const size_t row = 2 * (size_t)room + 1 + PAST;

    for (int d = -room; d <= room; d++) {
        const float *from = s->bias->value + (size_t)bucket_of(c, d, both) * (size_t)c->heads;

        for (int h = 0; h < c->heads; h++)
            w->bias[(size_t)h * row + (size_t)(d + room)] = from[h];
    }
    for (int h = 0; h < c->heads; h++)
        memset(w->bias + (size_t)h * row + row - PAST, 0, PAST * sizeof *w->bias);
}

static const float *bias_of(const sg_t5_work *w, int head)
{
    return w->bias + (size_t)head * (2 * (size_t)w->bias_room + 1 + PAST) + (size_t)w->bias_room;
}

/* Room for n rows that look at up to `keys` keys, and biases of distances up to `reach`. */
static sg_status make_room(sg_t5_work *w, const stack *s, int n, int keys, int reach, bool both, sg_error *err)
{
    const sg_t5_config *c = &w->m->config;
    const size_t dim = (size_t)c->dim, inner = inner_of(w->m), rows = (size_t)n;
    const size_t parts[] = {rows * dim,   rows * dim,   rows * inner,          rows * inner,         rows * inner,
                            rows * inner, rows * (size_t)c->ffn, rows * (size_t)c->ffn, most_sums(s, n, s == &w->m->decoder ? sg_matrix_floats(&w->m->output, SG_DESK_LOGITS) : 0)};
    const size_t scratch = (sg_attend_head_floats(rows, (size_t)keys, (size_t)c->head_dim) + 15) / 16 * 16;
    float **const to[] = {&w->x, &w->n_x, &w->q, &w->k, &w->v, &w->a, &w->gate, &w->up, &w->sums};
    size_t all = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        all += (parts[i] + 15) / 16 * 16;
    if (all > w->memory_floats) {
        sg_free(w->memory);
        w->memory_floats = 0;
        if (!(w->memory = sg_alloc_array(all, sizeof *w->memory)))
            return sg_fail_memory(err, "encoder");
        w->memory_floats = all;
    }
    if (scratch > w->scratch_floats) {
        sg_free(w->scratch);
        w->scratch_floats = 0;
        if (!(w->scratch = sg_alloc_array(scratch * (size_t)sg_pool_threads(w->pool), sizeof *w->scratch)))
            return sg_fail_memory(err, "encoder");
        w->scratch_floats = scratch;
    }
    if (reach > w->bias_room || !w->bias) {
        sg_free(w->bias);
        w->bias_room = 0;
        if (!(w->bias = sg_alloc_array((2 * (size_t)reach + 1 + PAST) * (size_t)c->heads, sizeof *w->bias)))
            return sg_fail_memory(err, "encoder");
        w->bias_room = reach;
        fill_bias(w, s, both);
    }
    float *at = w->memory;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *to[i] = at;
        at += (parts[i] + 15) / 16 * 16;
    }
    w->room = n;
    return SG_OK;
}

sg_status sg_t5_work_new(sg_t5_work **out, const sg_t5 *m, sg_pool *pool, sg_error *err)
{
    if (!(*out = sg_alloc_zero(1, sizeof **out)))
        return sg_fail_memory(err, "encoder");
    **out = (sg_t5_work){.m = m, .pool = pool};
    return SG_OK;
}

void sg_t5_work_free(sg_t5_work *w)
{
    if (!w)
        return;
    sg_free(w->memory);
    sg_free(w->bias);
    sg_free(w->scratch);
    sg_free(w);
}

static sg_status read_words(sg_t5_work *w, const int32_t *id, int n, sg_error *err)
{
    const size_t dim = (size_t)w->m->config.dim;
    sg_status st = SG_OK;

    w->n = n;
    for (int r = 0; r < n && !st; r++)
        st = sg_weights_read(w->x + (size_t)r * dim, w->m->weights, w->m->words, (size_t)id[r] * dim, dim, err);
    return st;
}

static void norm_rows(const sg_t5_work *w, const sg_param *p)
{
    const size_t dim = (size_t)w->m->config.dim;
    float inv;

    for (size_t r = 0; r < (size_t)w->n; r++)
        sg_kernels_best()->rmsnorm(w->n_x + r * dim, &inv, w->x + r * dim, p->value, dim, w->m->config.eps);
}

static void times(const sg_t5_work *w, const sg_matrix *m, const float *x, float *y)
{
    sg_matrix_times(w->pool, m, w->n, x, NULL, y, w->sums);
}

static void add_rows(const sg_t5_work *w)
{
    sg_kernels_best()->add(w->x, w->x, w->n_x, (size_t)w->n * (size_t)w->m->config.dim);
}

static void act_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_t5_work *w = ctx;
    const sg_kernels *k = sg_kernels_best();
    const sg_t5_config *c = &w->m->config;

    if (c->gated) {
        k->act((int)c->act, w->gate + begin, w->gate + begin, end - begin);
        k->mul(w->up + begin, w->gate + begin, w->up + begin, end - begin);
    } else {
        k->act((int)c->act, w->up + begin, w->up + begin, end - begin);
    }
}

static void feed_forward(sg_t5_work *w, const block *b)
{
    norm_rows(w, b->norm_ffn);
    if (w->m->config.gated)
        times(w, &b->gate, w->n_x, w->gate);
    times(w, &b->up, w->n_x, w->up);
    sg_parallel_for(w->pool, (size_t)w->n * (size_t)w->m->config.ffn, GRAIN, act_body, w);
    times(w, &b->down, w->up, w->n_x);
    add_rows(w);
}

/* ---- encoder --------------------------------------------------------------------------------------------------------------- */
static void encode_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const sg_t5_work *w = ctx;
    const size_t d = (size_t)w->m->config.head_dim, ld = inner_of(w->m);

    for (size_t h = begin; h < end; h++)
        sg_attend_head(&(sg_attend){.n_q = w->n, .n_k = w->n, .dh = (int)d, .q = w->q + h * d, .k = w->k + h * d, .v = w->v + h * d,
                                    .ld_q = ld, .ld_k = ld, .ld_v = ld, .out = w->a + h * d, .ld_out = ld, .scale = 1,
                                    .bias = bias_of(w, (int)h)},
                       true, w->scratch + (size_t)thread * w->scratch_floats);
}

sg_status sg_t5_encode(float *states, sg_t5_work *w, const int32_t *id, int n, sg_error *err)
{
    const sg_t5 *m = w->m;
    sg_status st;

    for (int i = 0; i < n; i++)
        if (id[i] < 0 || id[i] >= m->config.vocab)
            return sg_fail(err, SG_ERR_USAGE, "token %d: expected a number below %d, found %d", i, m->config.vocab, (int)id[i]);
    if ((st = make_room(w, &m->encoder, n, n, n, true, err)) || (st = read_words(w, id, n, err)))
        return st;
    for (int i = 0; i < m->encoder.layers; i++) {
        const block *b = &m->encoder.block[i];

        norm_rows(w, b->self.norm);
        times(w, &b->self.q, w->n_x, w->q);
        times(w, &b->self.k, w->n_x, w->k);
        times(w, &b->self.v, w->n_x, w->v);
        sg_parallel_for(w->pool, (size_t)m->config.heads, 1, encode_body, w);
        times(w, &b->self.o, w->a, w->n_x);
        add_rows(w);
        feed_forward(w, b);
    }
    norm_rows(w, m->encoder.norm);
    memcpy(states, w->n_x, (size_t)n * (size_t)m->config.dim * sizeof *states);
    return SG_OK;
}

/* ---- the desk -------------------------------------------------------------------------------------------------------------- */
typedef struct encoded { /* a prompt */
    int texts, n;        /* that look at it; tokens */
    float *k, *v;        /* owned: (layers, n, inner) */
} encoded;

typedef struct text {
    bool open;
    int length;
    encoded *prompt; /* shared; NULL: none */
    float *k, *v;    /* owned, kept for the next text: (layers, places, inner) */
} text;

typedef struct run { /* neighbouring rows of one text */
    int text, first, n;
} run;

typedef struct t5_desk {
    sg_desk desk;
    const sg_t5 *m;
    sg_pool *pool;
    text *text; /* owned */
    size_t cap_text;
    int n_texts;
    sg_t5_work *encoder, *work;   /* owned */
    float *states, *logits;       /* owned: SG_DESK_LOGITS rows */
    run run[CHUNK];
    int32_t place[CHUNK], seen[CHUNK]; /* of rows in their texts; keys that they see */
    int32_t none[CHUNK];               /* zeros */
    int n_runs, layer;
    bool cross;
} t5_desk;

static void leave_prompt(encoded *e)
{
    if (!e || --e->texts > 0)
        return;
    sg_free(e->k);
    sg_free(e->v);
    sg_free(e);
}

static sg_status desk_open(sg_desk *desk, int *out, sg_error *err)
{
    t5_desk *d = (t5_desk *)(void *)desk;
    const size_t past = (size_t)d->m->decoder.layers * (size_t)desk->places * inner_of(d->m);
    int at = 0;

    while (at < d->n_texts && d->text[at].open)
        at++;
    if (at == d->n_texts) {
        if (!sg_grow(&d->text, &d->cap_text, (size_t)at + 1, sizeof *d->text))
            return sg_fail_memory(err, "texts");
        d->text[d->n_texts++] = (text){0};
    }
    text *t = &d->text[at];
    if ((!t->k && !(t->k = sg_alloc_array(past, sizeof *t->k))) || (!t->v && !(t->v = sg_alloc_array(past, sizeof *t->v))))
        return sg_fail_memory(err, "past of a text");
    t->open = true;
    *out = at;
    return SG_OK;
}

static void desk_cut(sg_desk *desk, int which, int length)
{
    text *t = &((t5_desk *)(void *)desk)->text[which];

    t->length = length < 0 ? 0 : length < t->length ? length : t->length;
}

static void desk_close(sg_desk *desk, int which)
{
    text *t = &((t5_desk *)(void *)desk)->text[which];

    leave_prompt(t->prompt);
    t->prompt = NULL;
    t->length = 0;
    t->open = false;
}

static sg_status desk_fork(sg_desk *desk, int *out, int from, sg_error *err)
{
    t5_desk *d = (t5_desk *)(void *)desk;
    const size_t inner = inner_of(d->m);
    const sg_status st = desk_open(desk, out, err);

    if (st)
        return st;
    text *t = &d->text[*out];
    const text *old = &d->text[from];
    for (size_t i = 0; i < (size_t)d->m->decoder.layers; i++) {
        const size_t at = i * (size_t)desk->places * inner, bytes = (size_t)old->length * inner * sizeof *t->k;

        memcpy(t->k + at, old->k + at, bytes);
        memcpy(t->v + at, old->v + at, bytes);
    }
    t->length = old->length;
    t->prompt = old->prompt;
    if (t->prompt)
        t->prompt->texts++;
    return SG_OK;
}

/* Keys and values of a prompt for every layer of the decoder, once. */
static sg_status encode_prompt(encoded **out, t5_desk *d, const int32_t *prompt, int n, sg_error *err)
{
    const sg_t5 *m = d->m;
    const size_t part = (size_t)n * inner_of(m), all = part * (size_t)m->decoder.layers;
    encoded *e = sg_alloc_zero(1, sizeof *e);
    float *states = sg_alloc_array((size_t)n * (size_t)m->config.dim, sizeof *states);
    sg_status st = SG_OK;

    if (e) {
        *e = (encoded){1, n, sg_alloc_array(all, sizeof *e->k), sg_alloc_array(all, sizeof *e->v)};
        if (!e->k || !e->v)
            st = sg_fail_memory(err, "prompt");
    }
    if (!e || !states)
        st = sg_fail_memory(err, "prompt");
    if (!st && !(st = sg_t5_encode(states, d->encoder, prompt, n, err)))
        for (int i = 0; i < m->decoder.layers; i++) {
            times(d->encoder, &m->decoder.block[i].cross.k, states, e->k + (size_t)i * part);
            times(d->encoder, &m->decoder.block[i].cross.v, states, e->v + (size_t)i * part);
        }
    sg_free(states);
    if (st) {
        leave_prompt(e);
        return st;
    }
    *out = e;
    return SG_OK;
}

static sg_status desk_begin(sg_desk *desk, int *out, int *known, const int32_t *prompt, int n, sg_error *err)
{
    t5_desk *d = (t5_desk *)(void *)desk;
    encoded *e = NULL;
    sg_status st;

    *known = 0;
    if ((st = encode_prompt(&e, d, prompt, n, err)))
        return st;
    if ((st = desk_open(desk, out, err))) {
        leave_prompt(e);
        return st;
    }
    d->text[*out].prompt = e;
    return SG_OK;
}

static void desk_free(sg_desk *desk)
{
    t5_desk *d = (t5_desk *)(void *)desk;

    for (int i = 0; i < d->n_texts; i++) {
        desk_close(desk, i);
        sg_free(d->text[i].k);
        sg_free(d->text[i].v);
    }
    sg_free(d->text);
    sg_t5_work_free(d->encoder);
    sg_t5_work_free(d->work);
    sg_free(d->states);
    sg_free(d->logits);
    sg_free(d);
}

static void desk_attend_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const t5_desk *d = ctx;
    const sg_t5_work *w = d->work;
    const size_t width = (size_t)d->m->config.head_dim, ld = inner_of(d->m), heads = (size_t)d->m->config.heads;

    for (size_t i = begin; i < end; i++) {
        const run *r = &d->run[i / heads];
        const text *t = &d->text[r->text];
        const size_t h = i % heads, at = h * width;
        const int keys = d->cross ? t->prompt->n : d->seen[r->first + r->n - 1];
        const size_t past = (size_t)d->layer * (size_t)(d->cross ? keys : d->desk.places) * ld + at;
        const float *k = d->cross ? t->prompt->k : t->k, *v = d->cross ? t->prompt->v : t->v;

        sg_attend_head(&(sg_attend){.n_q = r->n, .n_k = keys, .dh = (int)width, .q = w->q + (size_t)r->first * ld + at, .k = k + past,
                                    .v = v + past, .ld_q = ld, .ld_k = ld, .ld_v = ld, .out = w->a + (size_t)r->first * ld + at,
                                    .ld_out = ld, .scale = 1, .lo = d->cross ? NULL : d->none, .hi = d->cross ? NULL : d->seen + r->first,
                                    .bias = d->cross ? NULL : bias_of(w, (int)h), .place = d->cross ? NULL : d->place + r->first},
                       true, w->scratch + (size_t)thread * w->scratch_floats);
    }
}

static void keep_rows(t5_desk *d)
{
    const size_t ld = inner_of(d->m);

    for (int i = 0; i < d->n_runs; i++) {
        const run *r = &d->run[i];
        const text *t = &d->text[r->text];
        const size_t to = ((size_t)d->layer * (size_t)d->desk.places + (size_t)d->place[r->first]) * ld, from = (size_t)r->first * ld,
                     bytes = (size_t)r->n * ld * sizeof *t->k;

        memcpy(t->k + to, d->work->k + from, bytes);
        memcpy(t->v + to, d->work->v + from, bytes);
    }
}

static void run_layer(t5_desk *d)
{
    const block *b = &d->m->decoder.block[d->layer];
    sg_t5_work *w = d->work;
    const size_t units = (size_t)d->n_runs * (size_t)d->m->config.heads;

    norm_rows(w, b->self.norm);
    times(w, &b->self.q, w->n_x, w->q);
    times(w, &b->self.k, w->n_x, w->k);
    times(w, &b->self.v, w->n_x, w->v);
    keep_rows(d);
    d->cross = false;
    sg_parallel_for(w->pool, units, 1, desk_attend_body, d);
    times(w, &b->self.o, w->a, w->n_x);
    add_rows(w);

    norm_rows(w, b->cross.norm);
    times(w, &b->cross.q, w->n_x, w->q);
    d->cross = true;
    sg_parallel_for(w->pool, units, 1, desk_attend_body, d);
    times(w, &b->cross.o, w->a, w->n_x);
    add_rows(w);
    feed_forward(w, b);
}

static void make_logits(void *ctx, int n, const float *states, float *logits)
{
    t5_desk *d = ctx;

    sg_matrix_times(d->pool, &d->m->output, n, states, NULL, logits, d->work->sums);
}

static sg_status check_pieces(t5_desk *d, const sg_piece *piece, int n, sg_error *err)
{
    int keys = d->desk.places;
    sg_status st;

    for (int i = 0; i < n; i++) {
        const text *t = &d->text[piece[i].text];

        if (!t->prompt)
            return sg_fail(err, SG_ERR_USAGE, "expected a prompt for the encoder, found none");
        if ((st = sg_desk_check(&d->desk, &piece[i], t->length, err)))
            return st;
        keys = t->prompt->n > keys ? t->prompt->n : keys;
    }
    return make_room(d->work, &d->m->decoder, CHUNK, keys, d->desk.places, false, err);
}

static sg_status desk_read(sg_desk *desk, const sg_piece *piece, int n, sg_error *err)
{
    t5_desk *d = (t5_desk *)(void *)desk;
    sg_t5_work *w = d->work;
    const sg_desk_output out = {make_logits, d, d->m->config.dim, desk->vocab, d->states, d->logits};
    sg_desk_place p = {0, 0};
    sg_status st = check_pieces(d, piece, n, err);

    while (!st) {
        const sg_desk_place begin = p;
        int32_t id[CHUNK];
        int which, at, rows = 0;

        for (d->n_runs = 0; rows < CHUNK && sg_desk_next(&which, &at, &p, piece, n); rows++) {
            if (rows == 0 || at == 0)
                d->run[d->n_runs++] = (run){piece[which].text, rows, 0};
            d->run[d->n_runs - 1].n++;
            id[rows] = piece[which].id[at];
            d->place[rows] = d->text[piece[which].text].length + at;
            d->seen[rows] = d->place[rows] + 1;
        }
        if (!rows || (st = read_words(w, id, rows, err)))
            break;
        for (d->layer = 0; d->layer < d->m->decoder.layers; d->layer++)
            run_layer(d);
        norm_rows(w, d->m->decoder.norm);
        if (d->m->config.scaled)
            sg_kernels_best()->scale(w->n_x, 1 / sqrtf((float)d->m->config.dim), w->n_x, (size_t)rows * (size_t)d->m->config.dim);
        sg_desk_answer(&out, piece, begin, w->n_x, rows);
    }
    for (int i = 0; i < n && !st; i++)
        d->text[piece[i].text].length += piece[i].n;
    return st;
}

sg_status sg_t5_desk(sg_desk **out, const sg_t5 *m, int places, sg_pool *pool, sg_error *err)
{
    static const sg_desk_ops ops = {desk_open, desk_begin, desk_fork, desk_cut, desk_close, desk_read, desk_free};
    const sg_t5_config *c = &m->config;
    t5_desk *d;
    sg_status st;

    *out = NULL;
    if (!m->decoder.layers)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a decoder, found an encoder alone", sg_weights_name(m->weights));
    if (!(d = sg_alloc_zero(1, sizeof *d)))
        return sg_fail_memory(err, "session");
    *d = (t5_desk){.desk = {&ops, c->vocab, places, c->end, c->start}, .m = m, .pool = pool};
    d->states = sg_alloc_array(SG_DESK_LOGITS * (size_t)c->dim, sizeof *d->states);
    d->logits = sg_alloc_array(SG_DESK_LOGITS * (size_t)c->vocab, sizeof *d->logits);
    if (!d->states || !d->logits)
        st = sg_fail_memory(err, "session");
    else if (!(st = sg_t5_work_new(&d->encoder, m, pool, err)))
        st = sg_t5_work_new(&d->work, m, pool, err);
    if (st) {
        desk_free(&d->desk);
        return st;
    }
    *out = &d->desk;
    return SG_OK;
}
