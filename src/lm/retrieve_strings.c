/* retrieve_strings.c - a beam search over all strings of the documents. Every text that a beam holds on the way is a string, and so are
 * the single tokens that are likeliest after the query, of which one reading says all. */
#include "lm/retrieve_parts.h"

#include "base/alloc.h"
#include "math/math.h"

#include <math.h>
#include <string.h>

enum {
    BEAM = 15,
    PARTS = 2 /* title, text */,
    STEP = 1 /* every place is kept: strings of one token have thousands */
};

/* ---- documents -------------------------------------------------------------------------------------------------------------- */
sg_status sg_strings_new(sg_retriever *r, const sg_documents *d, const sg_progress *progress, sg_error *err)
{
    const size_t n = (size_t)d->n;
    const int32_t vocab = sg_tokenizer_size(r->tokenizer);
    sg_strings_of *s = &r->strings;
    sg_bytes *part = sg_alloc_array(PARTS * n + 1, sizeof *part);
    sg_status st = part ? SG_OK : sg_fail_memory(err, "documents");

    for (size_t i = 0; i < n && part; i++) {
        part[PARTS * i] = d->title[i];
        part[PARTS * i + 1] = d->text[i];
    }
    if (!st && d->n > INT32_MAX / PARTS)
        st = sg_fail(err, SG_ERR_USAGE, "expected at most %d documents, found %d", (int)(INT32_MAX / PARTS),
                     (int)d->n);
    if (!st)
        st = sg_read_texts(&s->list, r->tokenizer, part, d->n * PARTS, 0, progress, err);
    if (!st && s->list.offsets[s->list.n] == 0)
        st = sg_fail(err, SG_ERR_FORMAT, "expected documents with texts, found none with one");
    if (!st)
        st = sg_fm_new(&s->fm, s->list.id, s->list.offsets, s->list.n, vocab, STEP, err);
    if (!st && !(s->single = sg_alloc_array((size_t)vocab, sizeof *s->single)))
        st = sg_fail_memory(err, "documents");
    if (!st) {
        const sg_shelf shelf = {s->fm, s->list.offsets, d->n, PARTS};

        s->n_single = sg_fm_successors(s->fm, sg_fm_anywhere(s->fm), s->single, vocab, NULL);
        if (!(st = sg_evidence_new(&s->evidence, &shelf, err)))
            st = sg_guide_fm(&r->guide, s->fm, false, err);
    }
    sg_free(part);
    return st;
}

void sg_strings_free(sg_strings_of *s)
{
    sg_token_lists_free(&s->list);
    sg_evidence_free(s->evidence);
    sg_fm_free(s->fm);
    sg_free(s->single);
}

/* ---- strings of a query ----------------------------------------------------------------------------------------------------- */
typedef struct written { /* for one query */
    sg_gram *gram;       /* owned: its tokens are set when all are there */
    size_t *begin;       /* owned: (n) where its tokens begin */
    int32_t *id;         /* owned */
    size_t n, n_id, cap_gram, cap_begin, cap_id;
    size_t n_single; /* the first ones, of one token each */
} written;

typedef struct collection {
    const sg_retrieve_job *job;
    written *w;    /* owned: (job->n) */
    float *weight; /* owned: (tokens that occur) as all below */
    float *best;
    int32_t *index;
} collection;

static sg_status add(written *w, const int32_t *id, size_t n, double logp, sg_error *err)
{
    if (!sg_grow(&w->gram, &w->cap_gram, w->n + 1, sizeof *w->gram) ||
        !sg_grow(&w->begin, &w->cap_begin, w->n + 1, sizeof *w->begin) ||
        !sg_grow(&w->id, &w->cap_id, w->n_id + n, sizeof *w->id))
        return sg_fail_memory(err, "strings");
    memcpy(w->id + w->n_id, id, n * sizeof *id);
    w->begin[w->n] = w->n_id;
    w->gram[w->n++] = (sg_gram){.n = (int32_t)n, .logp = logp};
    w->n_id += n;
    return SG_OK;
}

/* The single tokens that weigh most. */
static sg_status add_singles(void *ctx, int prompt, const float *logits, sg_error *err)
{
    collection *c = ctx;
    const sg_strings_of *s = &c->job->r->strings;
    const int32_t vocab = c->job->desk->vocab;
    const double tokens = (double)s->list.offsets[s->list.n];
    written *w = &c->w[prompt];
    size_t n = (size_t)c->job->config->unigrams < (size_t)s->n_single ? (size_t)c->job->config->unigrams
                                                                      : (size_t)s->n_single;
    sg_status st = SG_OK;
    float top;
    const double all = log((double)sg_sum_exp(&top, logits, (size_t)vocab)) + (double)top;

    if (!n)
        return SG_OK;
    for (int32_t i = 0; i < s->n_single; i++) {
        const int32_t id = s->single[i].token;

        c->weight[i] =
            id < vocab
                ? (float)sg_gram_weight((double)logits[id] - all,
                                        (double)(s->single[i].range.last - s->single[i].range.first), tokens)
                : 0;
    }
    n = sg_topk(c->index, c->best, n, c->weight, (size_t)s->n_single);
    for (size_t i = 0; i < n && c->best[i] > 0 && !st; i++) {
        const int32_t id = s->single[c->index[i]].token;

        st = add(w, &id, 1, (double)logits[id] - all, err);
    }
    w->n_single = w->n;
    return st;
}

static sg_status add_string(void *ctx, int prompt, const sg_token_list *text, double logp, sg_error *err)
{
    written *w = &((collection *)ctx)->w[prompt];

    for (size_t i = 0; i < w->n_single && text->n == 1; i++)
        if (w->id[i] == text->id[0])
            return SG_OK;
    return add(w, text->id, text->n, logp, err);
}

static sg_status rank(sg_found *out, const sg_retrieve_job *job, written *w, sg_error *err)
{
    const sg_retrieve_config *c = job->config;
    const sg_evidence_how how = {c->alpha, c->beta, c->k < job->r->n ? c->k : job->r->n, c->frequent,
                                 job->r->allow};

    if (!(out->hit = sg_alloc_array((size_t)how.most, sizeof *out->hit)))
        return sg_fail_memory(err, "documents");
    for (size_t i = 0; i < w->n; i++)
        w->gram[i].token = w->id + w->begin[i];
    job->report->texts += (double)w->n;
    return sg_evidence_rank(out->hit, &out->n, job->r->strings.evidence, w->gram, (int)w->n, &how, err);
}

sg_status sg_strings_retrieve(sg_found *out, const sg_retrieve_job *job, sg_error *err)
{
    const size_t single = (size_t)job->r->strings.n_single;
    collection c = {.job = job};
    const sg_generate_watch watch = {.ctx = &c, .first = add_singles, .kept = add_string};
    sg_answer *answer = sg_alloc_zero((size_t)job->n, sizeof *answer);
    sg_status st = SG_OK;

    c.w = sg_alloc_zero((size_t)job->n, sizeof *c.w);
    c.weight = sg_alloc_array(single + 1, sizeof *c.weight);
    c.best = sg_alloc_array(single + 1, sizeof *c.best);
    c.index = sg_alloc_array(single + 1, sizeof *c.index);
    if (!answer || !c.w || !c.weight || !c.best || !c.index)
        st = sg_fail_memory(err, "strings");
    if (!st)
        st = sg_retrieve_write(answer, job, job->config->beam ? job->config->beam : BEAM, job->config->length,
                               0, &watch, err);
    const double start = sg_now();
    for (int i = 0; i < job->n && !st; i++)
        st = rank(&out[i], job, &c.w[i], err);
    job->report->seconds_rank += sg_now() - start;
    for (int i = 0; i < job->n && c.w; i++) {
        sg_free(c.w[i].gram);
        sg_free(c.w[i].begin);
        sg_free(c.w[i].id);
    }
    for (int i = 0; i < job->n && answer; i++)
        sg_answer_free(&answer[i]);
    sg_free(answer);
    sg_free(c.w);
    sg_free(c.weight);
    sg_free(c.best);
    sg_free(c.index);
    return st;
}
