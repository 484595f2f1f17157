/* adapter_host.c - where adapters sit: decoders and T5s as rows of places. */
#include "lm/adapter.h"

#include "base/alloc.h"
#include "lm/llama_parts.h"
#include "math/gemm.h"

#include <stdio.h>
#include <string.h>

/* ---- decoders: (layers, SG_PARTS), lm_head -------------------------------------------------------------------------------------------- */
static bool llama_place(char name[96], int *layer, int *part, int *rows, int *in, const void *config, int i)
{
    const sg_llama_config *c = config;

    if (i == c->layers * SG_PARTS) {
        *layer = -1;
        *part = SG_PARTS;
        *rows = c->vocab;
        *in = c->dim;
        snprintf(name, 96, "lm_head");
        return true;
    }
    *layer = i / SG_PARTS;
    *part = i % SG_PARTS;
    sg_part_shape(rows, in, config, (sg_part)*part);
    snprintf(name, 96, "model.layers.%d.%s.%s", *layer, *part < SG_PART_GATE ? "self_attn" : "mlp",
             sg_part_names[*part]);
    return true;
}

sg_adapter_host sg_llama_host(const sg_llama *m)
{
    static const char *const kinds[] = {"q_proj",    "k_proj",  "v_proj",    "o_proj",
                                        "gate_proj", "up_proj", "down_proj", "lm_head"};
    const sg_llama_config *c = &m->config;

    return (sg_adapter_host){.config = c,
                             .weights = m->weights,
                             .rows = m->output.out,
                             .tokens = m->own_tokenizer ? sg_tokenizer_size(m->own_tokenizer) : 0,
                             .takes_rows = true,
                             .words = m->words,
                             .output = c->tied                       ? m->words
                                       : sg_weights_gguf(m->weights) ? "output.weight"
                                                                     : "lm_head.weight",
                             .table = "model.embed_tokens",
                             .part = kinds,
                             .n_parts = SG_PARTS + 1,
                             .n_places = c->layers * SG_PARTS + 1,
                             .ends = 1u << SG_PART_O | 1u << SG_PART_DOWN,
                             .layers = c->layers,
                             .places = c->places,
                             .dim = c->dim,
                             .heads = c->heads,
                             .task = "CAUSAL_LM",
                             .layer_word = "layers",
                             .place = llama_place};
}

/* Rows of the word table, or of the output matrix; NULL: none. One table has one set for both. */
static const sg_row_set *rows_of(const sg_adapter *a, bool output)
{
    const sg_row_set *s = !a ? NULL : output && a->host.words != a->host.output ? &a->output : &a->words;

    return s && s->n ? s : NULL;
}

void sg_decoder_adapt(sg_decoder *d, const sg_adapter *a)
{
    for (int i = 0; i < d->config.layers; i++)
        for (int p = 0; p < SG_PARTS; p++)
            d->layer[i].low[p] = a ? a->low[i * SG_PARTS + p] : (sg_lora){0};
    d->head = sg_adapter_head(a);
    d->words_rows = rows_of(a, false);
    d->output_rows = rows_of(a, true);
    sg_decoder_put_rows(d);
}

void sg_llama_adapt(sg_llama *m, const sg_adapter *a)
{
    m->config.vocab = a ? a->vocab : m->output.out;
    m->words_rows = rows_of(a, false);
    m->output_rows = rows_of(a, true);
    m->tokenizer = a && a->tokenizer ? a->tokenizer : m->own_tokenizer;
    m->tokenizer_json =
        a && a->tokenizer ? (sg_bytes){a->tokenizer_json.data, a->tokenizer_json.size} : (sg_bytes){0};
    m->soft = a ? a->soft : NULL;
    for (int i = 0; i < m->config.layers; i++) {
        sg_llama_layer *y = &m->layer[i];
        sg_matrix *const w[SG_PARTS] = {&y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down};

        for (int p = 0; p < SG_PARTS; p++)
            w[p]->low = a ? a->low[i * SG_PARTS + p] : (sg_lora){0};
    }
    m->output.low = sg_adapter_head(a);
}

/* ---- T5s: (layers of the encoder, then of the decoder; SG_T5_MATRICES), lm_head ------------------------------------------------------- */
typedef struct t5_place {
    bool decoder;
    int block;
    sg_t5_part part;
} t5_place;

static t5_place t5_place_at(const sg_t5_config *c, int i)
{
    const int block = i / SG_T5_MATRICES;
    const bool decoder = block >= c->layers;

    return (t5_place){decoder, decoder ? block - c->layers : block, (sg_t5_part)(i % SG_T5_MATRICES)};
}

static int t5_places(const sg_t5_config *c) /* of layers */
{
    return (c->layers + c->layers_decoder) * SG_T5_MATRICES;
}

static bool t5_place_of(char name[96], int *layer, int *part, int *rows, int *in, const void *config, int i)
{
    static const int kinds[SG_T5_MATRICES] = {0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6};
    const sg_t5_config *c = config;
    const t5_place p = t5_place_at(c, i);

    if (i == t5_places(c)) {
        *layer = -1;
        *part = c->gated ? 7 : 6;
        *rows = c->vocab;
        *in = c->dim;
        snprintf(name, 96, "lm_head");
        return true;
    }
    if (!sg_t5_has(c, p.decoder, p.block, p.part))
        return false;
    *layer = p.block;
    *part = kinds[p.part] - (kinds[p.part] > 4 && !c->gated);
    sg_t5_shape(rows, in, c, p.part);
    sg_t5_name(name, c, false, p.decoder, p.block, p.part);
    return true;
}

sg_adapter_host sg_t5_host(const sg_t5 *m)
{
    static const char *const gated[] = {"q", "k", "v", "o", "wi_0", "wi_1", "wo", "lm_head"};
    static const char *const plain[] = {"q", "k", "v", "o", "wi", "wo", "lm_head"};
    const sg_t5_config *c = &m->config;

    return (sg_adapter_host){.config = c,
                             .weights = m->weights,
                             .rows = c->vocab,
                             .tokens = sg_tokenizer_size(m->tokenizer),
                             .words = m->words,
                             .output = m->tied                       ? m->words
                                       : sg_weights_gguf(m->weights) ? "output.weight"
                                                                     : "lm_head.weight",
                             .table = "shared",
                             .part = c->gated ? gated : plain,
                             .n_parts = c->gated ? 8 : 7,
                             .n_places = t5_places(c) + 1,
                             .ends = 1u << 3 | 1u << (c->gated ? 6 : 5),
                             .layers = c->layers > c->layers_decoder ? c->layers : c->layers_decoder,
                             .dim = c->dim,
                             .heads = c->heads,
                             .task = "SEQ_2_SEQ_LM",
                             .layer_word = "block",
                             .place = t5_place_of};
}

void sg_seq2seq_adapt(sg_seq2seq *d, const sg_adapter *a)
{
    for (int i = 0; i < t5_places(&d->config); i++) {
        const t5_place p = t5_place_at(&d->config, i);
        sg_lora *low;

        if (sg_t5_has(&d->config, p.decoder, p.block, p.part) &&
            sg_seq2seq_matrix(d, p.decoder, p.block, p.part, &low))
            *low = a ? a->low[i] : (sg_lora){0};
    }
    d->head = sg_adapter_head(a);
}

void sg_t5_adapt(sg_t5 *m, const sg_adapter *a)
{
    for (int i = 0; i < t5_places(&m->config); i++) {
        const t5_place p = t5_place_at(&m->config, i);
        const sg_t5_stack *s = p.decoder ? &m->decoder : &m->encoder;

        if (p.block < s->layers)
            s->block[p.block].w[p.part].low = a ? a->low[i] : (sg_lora){0};
    }
    m->output.low = sg_adapter_head(a);
}

/* ---- weights ------------------------------------------------------------------------------------------------------------------ */
sg_status sg_adapter_merge(const sg_params *ps, const sg_adapter *a, sg_pool *pool, sg_error *err)
{
    if (a->soft)
        return sg_fail(
            err, SG_ERR_USAGE,
            "expected an adapter of low-rank parts: vectors in front of a text are no weights of a model");
    if (a->config.kind == SG_ADAPTER_BOTTLENECK)
        return sg_fail(err, SG_ERR_USAGE,
                       "expected an adapter of low-rank parts: layers of its own are no weights of a model");
    for (int i = 0; i < a->host.n_places; i++) {
        const sg_lora *l = &a->low[i];
        int layer, part, rows, in;
        char name[96 + 8];
        sg_param *w;

        if (!l->a || !a->host.place(name, &layer, &part, &rows, &in, a->host.config, i))
            continue;
        strcat(name, ".weight");
        w = sg_params_find(ps, name);
        if (!w || w->mapped || !w->value)
            return sg_fail(err, SG_ERR_USAGE, "tensor '%s': expected a copy of its own to merge into", name);
        sg_gemm(pool, SG_F32, false, false, rows, in, l->a->dim[0], l->scale, l->b->value, l->a->dim[0],
                l->a->value, in, 1, w->value, in);
        w->version++;
    }
    return SG_OK;
}
