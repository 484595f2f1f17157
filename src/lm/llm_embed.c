/* llm_embed.c - texts to vectors; with a cache only those that are new, each once. */
#include "lm/llm_parts.h"

#include "base/alloc.h"
#include "lm/endpoint.h"
#include "math/gemm.h"

#include <math.h>
#include <stdlib.h>

enum {
    EMBED_BATCH = 64 /* texts a request */,
    STRETCH = 4096 /* texts between two times that vectors are kept */
};

/* ---- vectors --------------------------------------------------------------------------------------------------------------- */
typedef struct embedding {
    sg_llm *l;
    const sg_bytes *text;
    size_t n;
    float *vectors; /* owned: (n, dim), once dim is known */
    int32_t dim;
    struct cached *to; /* borrowed: where an endpoint's vectors are kept as they come; NULL: nowhere */
} embedding;

static sg_status keep(const embedding *e, size_t first, size_t n, sg_error *err);

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
    if ((st = sg_endpoint_read_embed(e->vectors + first * (size_t)e->dim, n, e->dim, answer, err)) || !e->to)
        return st;
    st = keep(e, first, n, err);
    return st == SG_ERR_FORMAT ? SG_ERR_IO : st; /* the answer was one */
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
    if (o->layer != -1)
        sg_buf_printf(out, " layer=%d", o->layer);
    if (o->both_ways)
        sg_buf_puts(out, " both ways");
    if (*o->prompt_name)
        sg_buf_printf(out, " prompt=%s", o->prompt_name);
    sg_buf_printf(out, " prefix=%s", o->prefix);
    return out->failed ? sg_fail_memory(err, "encoder") : SG_OK;
}

typedef struct wanted { /* a text that is not in the cache */
    size_t i;
    sg_cache_key key;
} wanted;

typedef struct cached {
    sg_llm *l;
    sg_cache *cache;
    sg_buf encoder; /* what it is, as part of keys */
    const sg_bytes *text;
    size_t n;
    float *vectors; /* owned: (n, dim), once dim is known */
    int32_t dim;
    wanted *wanted; /* owned: (n_wanted), then sorted by key */
    size_t n_wanted;
    size_t *begin;            /* owned: (n_different + 1): of each different text, in wanted */
    sg_bytes *different;      /* owned: (n_different) */
    size_t n_different, done; /* done: of them */
    const sg_progress *progress;
    json_t *report; /* owned: sums over stretches */
} cached;

static sg_bytes encoder_of(const cached *c)
{
    return (sg_bytes){c->encoder.data, c->encoder.size};
}

static sg_status room_for_vectors(cached *c, int32_t dim, sg_error *err)
{
    size_t floats;

    if (c->vectors)
        return c->dim == dim ? SG_OK
                             : sg_fail(err, SG_ERR_FORMAT,
                                       "cache: expected vectors of %d numbers, as the model's are, found %d",
                                       (int)dim, (int)c->dim);
    c->dim = dim;
    if (!sg_mul(&floats, c->n, (size_t)dim) || !(c->vectors = sg_alloc_array(floats, sizeof *c->vectors)))
        return sg_fail_memory(err, "vectors");
    return SG_OK;
}

/* Vectors that the cache has go to their places; c->wanted: the others. */
static sg_status find_vectors(cached *c, sg_error *err)
{
    sg_status st = SG_OK;

    for (size_t i = 0; i < c->n && !st; i++) {
        const sg_bytes part[] = {sg_llm_bytes("vector"), encoder_of(c), c->text[i]};
        wanted *at = &c->wanted[c->n_wanted];
        int32_t dim = 0;
        bool found = true;

        at->i = i;
        sg_cache_key_of(at->key, part, 3);
        if (!c->vectors && !(st = sg_cache_vector(c->cache, at->key, NULL, &dim, &found, err)) && found)
            st = room_for_vectors(c, dim, err); /* the first one found says how wide they are */
        if (found && !st)
            st = sg_cache_vector(c->cache, at->key, c->vectors + i * (size_t)c->dim, &c->dim, &found, err);
        c->n_wanted += !found;
    }
    return st;
}

static int wanted_by_key(const void *a, const void *b)
{
    const wanted *x = a, *y = b;
    const int d = strcmp(x->key, y->key);

    return d ? d : (x->i > y->i) - (x->i < y->i);
}

/* Of equal texts one is encoded. */
static sg_status list_different(cached *c, sg_error *err)
{
    c->begin = sg_alloc_array(c->n_wanted + 1, sizeof *c->begin);
    c->different = sg_alloc_array(c->n_wanted + 1, sizeof *c->different);
    if (!c->begin || !c->different)
        return sg_fail_memory(err, "texts");
    if (c->n_wanted)
        qsort(c->wanted, c->n_wanted, sizeof *c->wanted, wanted_by_key);
    for (size_t i = 0; i < c->n_wanted; i++)
        if (i == 0 || strcmp(c->wanted[i].key, c->wanted[i - 1].key) != 0) {
            c->different[c->n_different] = c->text[c->wanted[i].i];
            c->begin[c->n_different++] = i;
        }
    c->begin[c->n_different] = c->n_wanted;
    return SG_OK;
}

static sg_status put_vectors(const cached *c, const embedding *e, size_t first, size_t n, sg_error *err)
{
    sg_status st = sg_cache_begin(c->cache, err);

    if (st)
        return st;
    for (size_t i = first; i < first + n && !st; i++)
        st = sg_cache_put_vector(c->cache, c->wanted[c->begin[c->done + i]].key, encoder_of(c),
                                 e->vectors + i * (size_t)e->dim, e->dim, err);
    if (!st)
        st = sg_cache_commit(c->cache, err);
    if (st)
        sg_cache_rollback(c->cache);
    return st;
}

static sg_status keep(const embedding *e, size_t first, size_t n, sg_error *err)
{
    const sg_status st = room_for_vectors(e->to, e->dim, err);

    return st ? st : put_vectors(e->to, e, first, n, err);
}

static void place_vectors(cached *c, const embedding *e)
{
    for (size_t u = 0; u < e->n; u++)
        for (size_t i = c->begin[c->done + u]; i < c->begin[c->done + u + 1]; i++)
            memcpy(c->vectors + c->wanted[i].i * (size_t)e->dim, e->vectors + u * (size_t)e->dim,
                   (size_t)e->dim * sizeof *e->vectors);
}

/* The report of all stretches: numbers that count are added up, what else it says is the same in each. */
static sg_status add_report(cached *c, json_t *one, sg_error *err)
{
    static const char *const sums[] = {"texts", "empty", "tokens", "texts_cut", "seconds"};
    int bad = 0;

    if (!c->report) {
        c->report = one;
        return SG_OK;
    }
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        const json_t *a = json_object_get(c->report, sums[i]), *b = json_object_get(one, sums[i]);

        if (json_is_integer(a))
            bad |= json_object_set_new(c->report, sums[i],
                                       json_integer(json_integer_value(a) + json_integer_value(b)));
        else if (a)
            bad |= json_object_set_new(c->report, sums[i],
                                       json_real(json_number_value(a) + json_number_value(b)));
    }
    json_decref(one);
    return bad ? sg_fail_memory(err, "report") : SG_OK;
}

/* What a stretch says of itself becomes a word about all. */
static int tell(void *ctx, const sg_progress_event *e)
{
    const cached *c = ctx;
    sg_progress_event all = *e;

    all.done = (double)c->done +
               (e->total > 0 ? e->done / e->total : 0) *
                   (double)(c->n_different - c->done < STRETCH ? c->n_different - c->done : STRETCH);
    all.total = (double)c->n_different;
    all.unit = "texts";
    return c->progress && c->progress->call ? c->progress->call(c->progress->user, &all) : 0;
}

static sg_status encode_stretch(cached *c, sg_pool *pool, sg_error *err)
{
    const size_t left = c->n_different - c->done;
    const sg_progress progress = {tell, c};
    embedding e = {.l = c->l, .text = c->different + c->done, .n = left < STRETCH ? left : STRETCH, .to = c};
    json_t *report = NULL;
    sg_status st;

    if (!(st = encode(&e, pool, &progress, &report, err)) && !(st = room_for_vectors(c, e.dim, err)) &&
        (c->l->client || !(st = put_vectors(c, &e, 0, e.n, err)))) {
        place_vectors(c, &e);
        c->done += e.n;
        st = add_report(c, report, err);
    } else {
        json_decref(report);
    }
    sg_free(e.vectors);
    return st;
}

static sg_status embed_cached(cached *c, sg_pool *pool, sg_error *err)
{
    sg_status st;

    if (!(c->wanted = sg_alloc_array(c->n + 1, sizeof *c->wanted)))
        return sg_fail_memory(err, "texts");
    if ((st = sg_llm_identify(c->l, err)) || (st = describe_encoder(&c->encoder, c->l, err)) ||
        (st = find_vectors(c, err)) || (st = list_different(c, err)))
        return st;
    while (c->done < c->n_different && !st)
        st = encode_stretch(c, pool, err);
    if (st)
        return st;
    if (!c->report)
        c->report = json_pack("{s:i, s:i}", "texts", 0, "dim", (int)c->dim);
    if (!c->report ||
        json_object_set_new(c->report, "cached", json_integer((json_int_t)(c->n - c->n_wanted))))
        return sg_fail_memory(err, "report");
    return SG_OK;
}

sg_status sg_llm_embed(float **vectors, int32_t *dim, sg_llm *l, const sg_bytes *text, size_t n,
                       sg_cache *cache, sg_pool *pool, const sg_progress *progress, json_t **report,
                       sg_error *err)
{
    cached c = {.l = l, .cache = cache, .text = text, .n = n, .progress = progress};
    embedding e = {.l = l, .text = text, .n = n};
    sg_status st;

    *vectors = NULL;
    *report = NULL;
    *dim = 0;
    if ((st = sg_llm_need(l, SG_LLM_EMBED, "embedding", err)))
        return st;
    if (n == 0)
        return sg_fail(err, SG_ERR_USAGE, "expected texts to embed, found none");
    if (!cache) {
        st = encode(&e, pool, progress, &c.report, err);
    } else {
        st = embed_cached(&c, pool, err);
        e.vectors = c.vectors;
        e.dim = c.dim;
    }
    sg_buf_free(&c.encoder);
    sg_free(c.wanted);
    sg_free(c.begin);
    sg_free(c.different);
    if (st) {
        sg_free(e.vectors);
        json_decref(c.report);
        return st;
    }
    *vectors = e.vectors;
    *dim = e.dim;
    *report = c.report;
    return SG_OK;
}
