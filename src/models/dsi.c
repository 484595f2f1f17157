/* dsi.c - a differentiable search index: one network that has read a collection writes the ID of a document for a query.
 *                                                      [Tay et al., NeurIPS 2022, arXiv:2202.06991]
 * A T5-style encoder-decoder, as TIGER's, reads words and writes the codes of a document:
 *
 *   encoder  task w1 .. wn                 decoder  BOS d1 .. d(L-1)  ->  d1 .. dL
 *
 * What a document's ID is was said by `sedge tokenize`: atomic (one code a document), naive (the digits of its number) or hkmeans
 * (clusters in clusters, then a number in the leaf). Only IDs that exist are written: the beam search knows the prefix tree.
 *
 * Indexing teaches documents: inputs2targets (text -> ID), targets2inputs (ID -> text), bidirectional (both), span (the ID and the
 * text one after the other, with spans taken out that are to be filled in: the ID half of the time, and parts of the text).
 * Retrieval teaches queries of the training split; both are mixed, told apart by their first token. Queries that were made for the
 * documents may stand for their text [DSI-QG, Zhuang et al. 2022, arXiv:2206.10128].
 *
 * prefix_vectors=true is for what the paper leaves to the decoder: the same digit means other things after other digits. Codes then
 * have a vector of their whole prefix, too, and are learned against those that exist after it, as in TIGER.
 *
 * Token rows: codes (of each level its own, or with level_offset=false digits shared by all levels), BOS, tasks, gaps, words. */
#include "decode/free.h"
#include "file/receipt.h"
#include "math/math.h"
#include "models/coder.h"
#include "models/dsi_lessons.h"

#include <math.h>
#include <string.h>

#define DSI_OPTIONS(X)                                                                                       \
    X(int, dim, 128, 4, 4096, "width of token vectors")                                                      \
    X(int, layers, 2, 1, 64, "encoder blocks, and as many decoder blocks")                                   \
    X(int, heads, 4, 1, 64, "attention heads")                                                               \
    X(int, head_dim, 32, 4, 512, "width of an attention head")                                               \
    X(int, ffn, 512, 4, 16384, "inner width of the feed-forward part")                                       \
    X(float, dropout, 0.1, 0, 0.9, "share of activations dropped while training")                            \
    X(int, length, 32, 1, 512, "words of a text that are read")                                              \
    X(int, words, 20000, 16, 1000000, "words with a vector of their own, the most frequent")                 \
    X(int, hashed, 1000, 1, 100000, "vectors that all other words share")                                    \
    X(choice, document, direct, 0, 0,                                                                        \
      "direct|set|inverted|none: its first words, its words once and without those that say nothing, words " \
      "from anywhere in it")                                                                                 \
    X(text, queries, "", 0, 255,                                                                             \
      "queries made for the documents, which are drawn as their texts are: a file (sedge know), or "         \
      "sentences: theirs (empty: none)")                                                                     \
    X(float, overlap, 0.3, 0, 1, "queries: share of a query's words that must stand in its document")        \
    X(choice, task, inputs2targets, 0, 0,                                                                    \
      "inputs2targets|targets2inputs|bidirectional|span: how documents are learned")                         \
    X(float, ratio, 1, 0, 1000, "examples of indexing for each of retrieval (0: indexing alone)")            \
    X(float, drop, 0, 0, 0.9, "share of the words of a text left out while training")                        \
    X(bool, level_offset, true, 0, 1, "a digit has a vector for each level; else one, as in a text")         \
    X(bool, prefix_vectors, false, 0, 1,                                                                     \
      "codes are written, and read back, with a vector of their whole prefix beside their own: what a "      \
      "digit "                                                                                               \
      "means depends on those before it")                                                                    \
    X(float, label_smoothing, 0, 0, 0.9, "share of the label spread over all codes of the level")            \
    X(float, init_sd, 1, 0.0001, 10,                                                                         \
      "spread of the stored token vectors; read as vector / init_sd: below 1 they learn faster")             \
    X(int, buckets, 32, 4, 512, "relative position buckets")                                                 \
    X(int, bucket_distance, 128, 8, 65536, "distance from which all positions share a bucket")               \
    X(int, beam, 100, 1, 1000000, "prefixes kept while decoding, unless the caller says otherwise")

typedef struct dsi_config {
    DSI_OPTIONS(SG_OPTION_FIELD)
} dsi_config;
#define SG_OPTION_STRUCT dsi_config
static const sg_option dsi_options[] = {DSI_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct dsi {
    sg_coder coder;
    sg_dsi_tokens tokens;
    sg_lexicon lexicon;
    sg_dsi_texts texts; /* training */
    size_t n_index;     /* examples of indexing: two of a document when both directions are learned */
} dsi;

/* ---- weights --------------------------------------------------------------------------------------------------------------- */
static sg_status dsi_weights(sg_model *m, uint64_t seed, sg_error *err)
{
    const dsi_config *c = m->config;
    dsi *s = m->state;
    sg_dsi_tokens *k = &s->tokens;
    sg_status st;

    k->n_words = c->words + c->hashed;
    if ((st = sg_coder_declare(&s->coder, m, seed,
                               &(sg_coder_spec){.dim = c->dim,
                                                .layers = c->layers,
                                                .heads = c->heads,
                                                .head_dim = c->head_dim,
                                                .ffn = c->ffn,
                                                .act = "relu",
                                                .dropout = (float)c->dropout,
                                                .own_tokens = SG_DSI_FIRSTS + SG_DSI_GAPS + k->n_words,
                                                .one_alphabet = !c->level_offset,
                                                .prefix_vectors = c->prefix_vectors,
                                                .buckets = c->buckets,
                                                .bucket_distance = c->bucket_distance,
                                                .tied = true,
                                                .init_sd = c->init_sd,
                                                .legal = c->prefix_vectors},
                               err)))
        return st;
    k->bos = s->coder.bos;
    k->first = s->coder.own0;
    k->gap = k->first + SG_DSI_FIRSTS;
    k->word = k->gap + SG_DSI_GAPS;
    return SG_OK;
}

static sg_status dsi_ready(sg_model *m, sg_error *err)
{
    const dsi_config *c = m->config;
    dsi *s = m->state;

    return sg_lexicon_need(&s->lexicon, m, c->words, c->hashed, NULL, err);
}

/* Words of documents, then of the training queries. */
static void lexicon_text(void *ctx, size_t i, sg_buf *out)
{
    const sg_train_data *t = ctx;
    const size_t docs = (size_t)t->data->n_items;

    if (i < docs)
        sg_lexicon_document(out, t->data, i);
    else if (sg_collection_relevant(t->collection, SG_COLLECTION_TRAIN, (int32_t)(i - docs))) {
        const sg_bytes text = sg_strings_at(&t->collection->query_text, i - docs);

        sg_buf_add(out, text.data, text.size);
    }
}

static sg_status dsi_init(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const dsi_config *c = m->config;
    sg_status st;

    if (!*c->queries && !strcmp(c->document, "none"))
        return sg_fail(err, SG_ERR_USAGE,
                       "dsi: document=none: expected queries=FILE or queries=sentences beside it: nothing "
                       "else would say "
                       "what is in a document");
    if (!*c->queries &&
        !sg_option_is_initial(
            c, sg_options_find(dsi_options, sizeof dsi_options / sizeof *dsi_options, "overlap")))
        return sg_fail(err, SG_ERR_USAGE,
                       "dsi: overlap: expected queries=FILE or queries=sentences beside it");

    if (!t->collection)
        return sg_fail(
            err, SG_ERR_USAGE,
            "dsi learns documents and queries, and %s holds events: `sedge import beir` makes a collection",
            t->data->name);
    if ((st = sg_lexicon_fit(m, c->words, NULL, lexicon_text, (void *)(uintptr_t)t,
                             (size_t)t->data->n_items + (size_t)t->collection->n_queries, err)))
        return st;
    return dsi_ready(m, err); /* validation asks before training ends */
}

static void dsi_fini(sg_model *m)
{
    dsi *s = m->state;

    sg_coder_free(&s->coder);
    sg_lexicon_free(&s->lexicon);
    sg_dsi_texts_free(&s->texts);
}

/* ---- training ------------------------------------------------------------------------------------------- */
static sg_dsi_form form_of(const dsi_config *c)
{
    return !strcmp(c->document, "direct")     ? SG_DSI_DIRECT
           : !strcmp(c->document, "set")      ? SG_DSI_SET
           : !strcmp(c->document, "inverted") ? SG_DSI_INVERTED
                                              : SG_DSI_NONE;
}

static sg_dsi_task task_of(const dsi_config *c)
{
    return !strcmp(c->task, "inputs2targets")   ? SG_DSI_TO_ID
           : !strcmp(c->task, "targets2inputs") ? SG_DSI_TO_TEXT
           : !strcmp(c->task, "bidirectional")  ? SG_DSI_BOTH
                                                : SG_DSI_SPANS;
}

static sg_status note_made(sg_model *m, const sg_dsi_made *made, sg_error *err)
{
    return sg_receipt_put(m->receipt, "queries",
                          json_pack("{s:I, s:I, s:I, s:I, s:I}", "read", (json_int_t)made->read, "kept",
                                    (json_int_t)made->kept, "repeated", (json_int_t)made->repeated, "strange",
                                    (json_int_t)made->strange, "conflicting", (json_int_t)made->conflicting),
                          err);
}

static sg_status dsi_examples(sg_model *m, const sg_train_data *t, size_t *n, sg_error *err)
{
    const dsi_config *c = m->config;
    dsi *s = m->state;
    sg_status st;

    sg_dsi_texts_free(&s->texts);
    if ((st = sg_dsi_texts_new(&s->texts, t, &s->lexicon, c->length, c->queries, c->overlap, err)) ||
        (*c->queries && (st = note_made(m, &s->texts.counts, err))))
        return st;
    if (c->ratio > 0 && s->texts.n_asked == 0)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: no query of the training split has a relevant document: expected ratio=0",
                       t->data->dir);
    s->n_index = (size_t)t->data->n_items * (task_of(c) == SG_DSI_BOTH ? 2 : 1);
    *n = s->n_index + (c->ratio > 0 ? (size_t)ceil((double)s->n_index / c->ratio) : 0);
    return SG_OK;
}

/* Cross-entropy of what the decoder is to say, x (n_dec, dim). With vectors of prefixes, codes are told apart from the others that
 * exist after the same prefix, words from all words; both weigh by their number. */
static sg_tensor *say_loss(sg_graph *g, const dsi *s, const sg_dsi_lessons *l, sg_tensor *x, float smoothing)
{
    const int levels = s->coder.names.levels, codes = l->n_ids * levels;
    int32_t *row;
    int words = 0, k = 0;

    if (!s->coder.names.prefix)
        return sg_softmax_ce_range(g, x, s->coder.names.head, l->begin, l->size, l->target, NULL,
                                   s->coder.names.scale, smoothing);
    if (!(row = sg_scratch(g, (size_t)codes + 1, sizeof *row)))
        return NULL;
    for (int i = 0; i < l->n_ids; i++)
        for (int j = 0; j < levels; j++) {
            row[k++] = l->id_row[i] + j;
            l->target[l->id_row[i] + j] = -1;
        }
    for (int i = 0; i < l->n_dec; i++)
        words += l->target[i] >= 0;
    sg_tensor *of_codes = codes ? sg_names_loss_legal(g, &s->coder.names, sg_rows(g, x, row, codes),
                                                      l->id_doc, l->n_ids, smoothing)
                                : NULL;
    if (codes && !words)
        return of_codes;
    sg_tensor *of_words = sg_softmax_ce_range(g, x, s->coder.names.head, l->begin, l->size, l->target, NULL,
                                              s->coder.names.scale, smoothing);

    if (!codes)
        return of_words; /* 0 when nothing at all is asked */
    return sg_plus(g, sg_scale(g, of_codes, (float)codes / (float)(codes + words)),
                   sg_scale(g, of_words, (float)words / (float)(codes + words)));
}

static sg_tensor *dsi_loss(sg_model *m, sg_graph *g, const uint32_t *example, int n, uint64_t seed,
                           uint64_t step)
{
    const dsi_config *c = m->config;
    const dsi *s = m->state;
    sg_dsi_lessons l = {.names = &s->coder.names,
                        .codes = m->codes,
                        .texts = &s->texts,
                        .tokens = s->tokens,
                        .form = form_of(c),
                        .task = task_of(c),
                        .drop = c->drop,
                        .n_index = s->n_index,
                        .seed = seed,
                        .step = step};

    if (!sg_dsi_lessons_take(&l, g, n))
        return NULL;
    for (int i = 0; i < n; i++)
        sg_dsi_teach(&l, example[i]);

    sg_tensor *memory = sg_coder_read(g, &s->coder, &(sg_read){.batch = n, .offsets = l.enc_at, .id = l.enc});
    sg_tensor *x = sg_coder_write(
        g, &s->coder, sg_coder_embed(g, &s->coder, l.dec, l.prefix, l.n_dec), memory,
        &(sg_coder_written){.targets = n, .batch = n, .own = l.dec_at, .rows = l.dec_at, .tokens = l.enc_at});

    return say_loss(g, s, &l, x, (float)c->label_smoothing);
}

/* ---- decoding --------------------------------------------------------------------------------------------------------------- */
/* Reads the queries and prepares a decoder for at most cap prefixes a level. */
static sg_status decoder_open(sg_coder_decoder *d, sg_session *session, const sg_bytes *query, int n, int cap,
                              sg_lexicon_room *room, sg_error *err)
{
    const dsi_config *c = session->model->config;
    const dsi *s = session->model->state;
    const int32_t task = s->tokens.first + (c->ratio > 0 || *c->queries ? SG_DSI_RETRIEVE : SG_DSI_INDEX);
    sg_graph *g = session->graph;
    int32_t *id, *offsets;
    sg_status st;

    sg_graph_begin(g, SG_INFER, 0, 0);
    id = sg_scratch(g, (size_t)n, ((size_t)c->length + 1) * sizeof *id);
    offsets = sg_scratch(g, (size_t)n + 1, sizeof *offsets);
    if (!id || !offsets)
        return sg_graph_status(g, err);
    offsets[0] = 0;
    for (int i = 0; i < n; i++) {
        int32_t *at = id + offsets[i];
        size_t words;

        *at = task;
        if ((st = sg_lexicon_read(at + 1, &words, &s->lexicon, room, query[i], (size_t)c->length, err)))
            return st;
        for (size_t w = 1; w <= words; w++)
            at[w] += s->tokens.word;
        offsets[i + 1] = offsets[i] + 1 + (int32_t)words;
    }
    return sg_coder_decoder_begin(
        d, &s->coder, g, sg_coder_read(g, &s->coder, &(sg_read){.batch = n, .offsets = offsets, .id = id}),
        offsets, NULL, n, cap, 1, err);
}

static sg_status dsi_retrieve(sg_session *session, const sg_bytes *query, int n, int k, int32_t *item,
                              float *score, sg_error *err)
{
    enum { ROWS = 1024 }; /* prefixes decoded together */
    const dsi_config *c = session->model->config;
    const int asked = session->beam ? session->beam : c->beam, beam = asked > k ? asked : k;
    const int most = beam < session->model->n_items ? beam : session->model->n_items;
    const int together = most < ROWS ? ROWS / most : 1;
    const sg_beam_spec spec = {.beam = beam, .k = k, .renormalise = c->prefix_vectors};
    sg_lexicon_room room = {0};
    sg_status st = SG_OK;
    sg_coder_decoder d;

    for (int first = 0; !st && first < n; first += together) {
        const int some = n - first < together ? n - first : together;

        if (!(st = decoder_open(&d, session, query + first, some, some * most, &room, err)))
            st = session->free
                     ? sg_free_search(item + (size_t)first * (size_t)k, score + (size_t)first * (size_t)k,
                                      session->model->catalogue, some, most, k, sg_coder_decoder_step, &d,
                                      sg_graph_arena(session->graph), err)
                     : sg_beam_search(item + (size_t)first * (size_t)k, score + (size_t)first * (size_t)k,
                                      session->model->catalogue, some, &spec, sg_coder_decoder_step, &d,
                                      session->pool, sg_graph_arena(session->graph), err);
    }
    sg_lexicon_room_free(&room);
    return st;
}

const sg_model_class sg_model_dsi = {
    .name = "dsi",
    .summary = "encoder-decoder that has read a collection and writes the ID of a document for a query",
    .paper = "Tay et al., NeurIPS 2022, arXiv:2202.06991",
    .options = dsi_options,
    .n_options = sizeof dsi_options / sizeof *dsi_options,
    .config_bytes = sizeof(dsi_config),
    .state_bytes = sizeof(dsi),
    .needs_ids = true,
    .weights = dsi_weights,
    .init = dsi_init,
    .ready = dsi_ready,
    .fini = dsi_fini,
    .examples = dsi_examples,
    .loss = dsi_loss,
    .retrieve = dsi_retrieve,
};
