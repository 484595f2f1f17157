/* decoder.c - the equations of lm/llama.c on a tape. */
#include "lm/decoder.h"

#include "base/alloc.h"
#include "lm/llama_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const sg_part_names[SG_PARTS] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                             "gate_proj", "up_proj", "down_proj"};

void sg_part_shape(int *out, int *in, const sg_llama_config *c, sg_part part)
{
    const int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const int shape[SG_PARTS][2] = {{q, c->dim},      {kv, c->dim},     {kv, c->dim},    {c->dim, q},
                                    {c->ffn, c->dim}, {c->ffn, c->dim}, {c->dim, c->ffn}};

    *out = shape[part][0];
    *in = shape[part][1];
}

/* ---- weights ---------------------------------------------------------------------------------------------------------------- */
typedef struct maker {
    sg_decoder *d;
    const sg_llama *m;
    const sg_decoder_spec *spec;
    sg_pool *pool;
    sg_error *err;
} maker;

static sg_status make_layer(const maker *k, int i)
{
    const sg_llama_layer *from = &k->m->layer[i];
    sg_decoder_layer *to = &k->d->layer[i];
    const sg_matrix *const w[SG_PARTS] = {&from->q,    &from->k,  &from->v,   &from->o,
                                          &from->gate, &from->up, &from->down};
    const sg_param *const bias[SG_PARTS] = {from->q_bias, from->k_bias, from->v_bias};
    const struct {
        sg_param **to;
        const sg_param *from;
        const char *name;
    } vector[] = {{&to->norm_self, from->norm_self, "input_layernorm"},
                  {&to->norm_ffn, from->norm_ffn, "post_attention_layernorm"},
                  {&to->q_norm, from->q_norm, "self_attn.q_norm"},
                  {&to->k_norm, from->k_norm, "self_attn.k_norm"}};
    const sg_taking how = {&k->d->params, i >= k->spec->learn_from, k->spec->keep_bits, k->pool, 0};
    char name[96];
    sg_status st = SG_OK;

    for (size_t v = 0; v < sizeof vector / sizeof *vector && !st; v++) {
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", i, vector[v].name);
        st = sg_vector_take(vector[v].to, vector[v].from, name, &how, k->err);
    }
    for (int p = 0; p < SG_PARTS && !st; p++) {
        const char *block = p < SG_PART_GATE ? "self_attn" : "mlp";

        snprintf(name, sizeof name, "model.layers.%d.%s.%s.weight", i, block, sg_part_names[p]);
        if ((st = sg_matrix_take(&to->w[p], w[p], name, &how, k->err)))
            break;
        snprintf(name, sizeof name, "model.layers.%d.%s.%s.bias", i, block, sg_part_names[p]);
        st = sg_vector_take(&to->bias[p], bias[p], name, &how, k->err);
    }
    return st;
}

/* The word table, which inference reads a row at a time from the file; tied, it is the output matrix. The loss reads it as numbers. */
static sg_status make_words(const maker *k)
{
    static const char name[] = "model.embed_tokens.weight";
    sg_decoder *d = k->d;
    const sg_llama_config *c = &d->config;
    const bool own = k->spec->own_head;
    const int rows = k->m->words_rows || k->m->output_rows ? c->vocab : 0;
    const sg_taking how = {&d->params, k->spec->learn_words, false, k->pool, rows},
                    head = {&d->params, k->spec->learn_words || own, false, k->pool, rows};
    const sg_status st =
        sg_matrix_take(&d->output, &k->m->output, c->tied && !own ? name : "lm_head.weight", &head, k->err);

    if (st || (c->tied && !own)) {
        d->words = d->output;
        return st;
    }
    if (c->tied) {
        d->config.tied = false;
        return sg_matrix_take(&d->words, &k->m->output, name, &how, k->err);
    }
    return sg_words_take(&d->words, k->m->weights, k->m->words, k->m->output.out, c->dim, name, &how, k->err);
}

sg_status sg_decoder_new(sg_decoder **out, const sg_llama *m, const sg_decoder_spec *spec, sg_pool *pool,
                         sg_error *err)
{
    sg_decoder *d = sg_alloc_zero(1, sizeof *d);
    const maker k = {d, m, spec, pool, err};
    sg_status st = SG_OK;

    *out = NULL;
    if (!d)
        return sg_fail_memory(err, "decoder");
    d->config = m->config;
    d->params.bare = true;
    if (!(d->layer = sg_alloc_zero((size_t)m->config.layers, sizeof *d->layer)) ||
        !(d->frequency = sg_alloc_array((size_t)m->config.head_dim / 2, sizeof *d->frequency)))
        st = sg_fail_memory(err, "decoder");
    for (int i = 0; !st && i < m->config.head_dim / 2; i++)
        d->frequency[i] = sg_llama_frequency(m, i);
    if (!st)
        st = make_words(&k);
    for (int i = 0; i < m->config.layers && !st; i++)
        st = make_layer(&k, i);
    const sg_taking last = {&d->params, spec->learn_from < m->config.layers, false, pool, 0};
    if (!st)
        st = sg_vector_take(&d->norm, m->norm, "model.norm.weight", &last, err);
    if (st) {
        sg_decoder_free(d);
        return st;
    }
    *out = d;
    return SG_OK;
}

void sg_decoder_free(sg_decoder *d)
{
    if (!d)
        return;
    sg_params_free(&d->params);
    sg_free(d->layer);
    sg_free(d->frequency);
    sg_free(d);
}

static void put_rows(sg_param *table, const sg_row_set *s)
{
    for (int i = 0; s && i < s->n; i++)
        memcpy(table->value + (size_t)s->id[i] * (size_t)table->dim[1],
               s->rows->value + (size_t)i * (size_t)table->dim[1],
               (size_t)table->dim[1] * sizeof *table->value);
    table->version += s != NULL;
}

void sg_decoder_put_rows(const sg_decoder *d)
{
    put_rows(d->words, d->words_rows);
    if (d->output != d->words)
        put_rows(d->output, d->output_rows);
}

/* ---- forward ---------------------------------------------------------------------------------------------------------------- */
typedef struct step { /* what the layers of a step share; in step memory */
    const sg_decoder *d;
    const sg_decoder_batch *b;
    const float *turn; /* (n, head_dim) */
} step;

typedef struct part_of_step {
    const step *s;
    const sg_decoder_layer *layer;
} part_of_step;

/* Norm of each head, then its rotation. */
static sg_tensor *place(sg_graph *g, const step *s, sg_tensor *x, int heads, sg_param *norm)
{
    const int n = s->b->n, dh = s->d->config.head_dim;

    if (norm) {
        x = sg_rmsnorm(g, sg_reshape(g, x, 2, (int[]){n * heads, dh}), norm, s->d->config.eps);
        x = sg_reshape(g, x, 2, (int[]){n, heads * dh});
    }
    return sg_rope_halves(g, x, heads, s->turn);
}

static sg_tensor *linear(sg_graph *g, const sg_decoder_layer *y, sg_part part, sg_tensor *x)
{
    return sg_lora_linear(g, x, y->w[part], y->bias[part], &y->low[part]);
}

static sg_tensor *layer_forward(sg_graph *g, sg_tensor *x, sg_tensor *beside, const void *ctx)
{
    (void)beside;
    const part_of_step *part = ctx;
    const step *s = part->s;
    const sg_decoder_layer *y = part->layer;
    const sg_llama_config *c = &s->d->config;
    const sg_attention_spec how = {.heads = c->heads,
                                   .kv_heads = c->kv_heads,
                                   .batch = s->b->batch,
                                   .offsets_q = s->b->offsets,
                                   .offsets_k = s->b->offsets,
                                   .mask = s->b->both_ways ? SG_MASK_NONE : SG_MASK_CAUSAL,
                                   .scale = 1 / sqrtf((float)c->head_dim)};
    sg_tensor *n = sg_rmsnorm(g, x, y->norm_self, c->eps);
    sg_tensor *q = place(g, s, linear(g, y, SG_PART_Q, n), c->heads, y->q_norm);
    sg_tensor *k = place(g, s, linear(g, y, SG_PART_K, n), c->kv_heads, y->k_norm);
    sg_tensor *v = linear(g, y, SG_PART_V, n);

    x = sg_plus(g, x, linear(g, y, SG_PART_O, sg_attention(g, q, k, v, &how)));
    n = sg_rmsnorm(g, x, y->norm_ffn, c->eps);
    n = sg_silu_times(g, linear(g, y, SG_PART_GATE, n), linear(g, y, SG_PART_UP, n));
    return sg_plus(g, x, linear(g, y, SG_PART_DOWN, n));
}

/* Angles of all tokens: positions count from the front of each sequence. In double: positions times slow frequencies lose digits
 * in float. */
static const float *turns_of(sg_graph *g, const sg_decoder *d, const sg_decoder_batch *b)
{
    const size_t half = (size_t)d->config.head_dim / 2;
    float *turn = sg_scratch(g, (size_t)b->n * 2 * half, sizeof *turn);

    for (int i = 0; turn && i < b->batch; i++)
        for (int t = b->offsets[i]; t < b->offsets[i + 1]; t++)
            for (size_t k = 0; k < half; k++) {
                const double angle = (double)(t - b->offsets[i]) * d->frequency[k];

                turn[(size_t)t * 2 * half + k] = (float)cos(angle);
                turn[(size_t)t * 2 * half + half + k] = (float)sin(angle);
            }
    return turn;
}

/* Vectors of the words, where an adapter has rows of its own for some of them: those of the rows, which learn. */
static sg_tensor *look_up(sg_graph *g, const sg_decoder *d, const int32_t *id, int n)
{
    int32_t *own, *row;
    int n_own = 0;

    if (!d->words_rows)
        return sg_embed(g, d->words, id, n);
    own = sg_scratch(g, (size_t)n, sizeof *own);
    row = sg_scratch(g, (size_t)n, sizeof *row);
    if (!own || !row)
        return NULL;
    for (int t = 0; t < n; t++) {
        const int at = sg_row_find(d->words_rows, id[t]);

        row[t] = at < 0 ? t : n + n_own;
        if (at >= 0)
            own[n_own++] = at;
    }
    sg_tensor *x = sg_embed(g, d->words, id, n);
    if (!n_own || !x)
        return x;
    return sg_rows(g, sg_concat_rows(g, (sg_tensor *[]){x, sg_embed(g, d->words_rows->rows, own, n_own)}, 2),
                   row, n);
}

/* Vectors of the words, those of `soft` in some places. */
static sg_tensor *words(sg_graph *g, const sg_decoder *d, const sg_decoder_batch *b)
{
    sg_tensor *x;
    int32_t *row;

    for (int t = 0; t < b->n; t++)
        if (b->id[t] < 0 || b->id[t] >= d->config.vocab)
            return sg_graph_fail(g, SG_ERR_USAGE, "token %d: expected a number below %d, found %d", t,
                                 d->config.vocab, (int)b->id[t]);
    x = look_up(g, d, b->id, b->n);
    if (!b->soft || !b->soft_at || !x)
        return x;
    if (!(row = sg_scratch(g, (size_t)b->n, sizeof *row)))
        return NULL;
    for (int t = 0; t < b->n; t++)
        row[t] = b->soft_at[t] < 0 ? t : b->n + b->soft_at[t];
    return sg_rows(g, sg_concat_rows(g, (sg_tensor *[]){x, b->soft}, 2), row, b->n);
}

sg_tensor *sg_decoder_states(sg_graph *g, const sg_decoder *d, const sg_decoder_batch *b, int layers)
{
    sg_tensor *x = words(g, d, b);
    step *s = sg_scratch(g, 1, sizeof *s);
    part_of_step *part = sg_scratch(g, (size_t)layers, sizeof *part);

    if (!x || !s || !part)
        return NULL;
    *s = (step){d, b, turns_of(g, d, b)};
    if (!s->turn)
        return NULL;
    for (int i = 0; i < layers; i++) {
        part[i] = (part_of_step){s, &d->layer[i]};
        x = b->recompute ? sg_recompute(g, x, NULL, layer_forward, &part[i])
                         : layer_forward(g, x, NULL, &part[i]);
    }
    return layers == d->config.layers ? sg_rmsnorm(g, x, d->norm, d->config.eps) : x;
}

sg_tensor *sg_decoder_loss(sg_graph *g, const sg_decoder *d, sg_tensor *x, const int32_t *target,
                           const float *weight, float smooth)
{
    const sg_row_set *s = d->output_rows;

    sg_decoder_put_rows(d);
    return sg_lora_ce(g, x, d->output, &d->head, s ? s->rows : NULL, s ? s->id : NULL, target, weight,
                      smooth);
}
