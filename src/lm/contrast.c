/* contrast.c - contrastive learning of an encoder or a decoder: a step.   [in-batch negatives: Karpukhin et al. 2020; GradCache: Gao et al. 2021;
 * Matryoshka vectors: Kusupati et al. 2022]
 *
 *   loss = mean over widths w of mean_r -log softmax_j(cos(q_r[:w], c_j[:w]) / temperature)_r
 *
 * c: the answers of all queries of the step, then further wrong ones. */
#include "lm/contrast.h"

#include "base/alloc.h"
#include "math/kernels.h"

#include <stdlib.h>
#include <string.h>

/* ---- vectors ---------------------------------------------------------------------------------------------------------------- */
/* States of the tokens of n texts. */
static sg_tensor *states(sg_graph *g, const sg_contrast_model *m, const int32_t *id, const int32_t *offsets,
                         int n)
{
    sg_decoder_batch *b; /* read again on the way back */

    if (m->bert)
        return sg_bert_forward(g, m->bert, id, NULL, offsets, n);
    if (!(b = sg_scratch(g, 1, sizeof *b)))
        return NULL;
    *b = (sg_decoder_batch){
        .n = offsets[n], .batch = n, .id = id, .offsets = offsets, .both_ways = m->both_ways};
    return sg_decoder_states(g, m->decoder, b, m->decoder->config.layers);
}

int sg_contrast_dim(const sg_contrast_model *m)
{
    return m->bert ? m->bert->config.dim : m->decoder->config.dim;
}

/* Vectors of texts first .. end - 1, before they get unit length. */
static sg_tensor *vectors(sg_graph *g, const sg_contrast_model *m, const sg_contrast_batch *batch,
                          sg_pooler pooler, int first, int end)
{
    const int n = end - first;
    int32_t *offsets = sg_scratch(g, (size_t)n + 1, sizeof *offsets),
            *row = sg_scratch(g, (size_t)n, sizeof *row);
    sg_tensor *x;

    if (!offsets || !row)
        return NULL;
    for (int i = 0; i <= n; i++)
        offsets[i] = batch->offsets[first + i] - batch->offsets[first];
    for (int i = 0; i < n; i++)
        row[i] = pooler == SG_POOL_CLS ? offsets[i] : offsets[i + 1] - 1;
    x = states(g, m, batch->id + batch->offsets[first], offsets, n);
    return pooler == SG_POOL_MEAN ? sg_segment_mean(g, x, offsets, n) : sg_rows(g, x, row, n);
}

/* ---- which answers are wrong ------------------------------------------------------------------------------------------------ */
typedef struct named_text {
    const int32_t *id;
    int n, number;
} named_text;

static int by_tokens(const void *a, const void *b)
{
    const named_text *x = a, *y = b;
    const int d = x->n != y->n ? (x->n > y->n) - (x->n < y->n)
                  : x->n       ? memcmp(x->id, y->id, (size_t)x->n * sizeof *x->id)
                               : 0;

    return d ? d : (x->number > y->number) - (x->number < y->number);
}

/* name[i] is the first text of the batch that is the same as text i, as the model reads it. */
static int32_t *name_texts(sg_graph *g, const sg_contrast_batch *b)
{
    int32_t *name = sg_scratch(g, (size_t)b->texts, sizeof *name);
    named_text *list = sg_scratch(g, (size_t)b->texts, sizeof *list);

    if (!name || !list)
        return NULL;
    for (int i = 0; i < b->texts; i++)
        list[i] = (named_text){b->id + b->offsets[i], b->offsets[i + 1] - b->offsets[i], i};
    qsort(list, (size_t)b->texts, sizeof *list, by_tokens);
    for (int i = 0, first = 0; i < b->texts; i++) {
        const size_t bytes = (size_t)list[i].n * sizeof *list[i].id;

        if (list[i].n != list[first].n || (bytes && memcmp(list[i].id, list[first].id, bytes) != 0))
            first = i;
        name[list[i].number] = list[first].number;
    }
    return name;
}

/* Marks with r + 1 what is right for query r, by name. */
static void mark_right(int32_t *right, const int32_t *name, int pairs, int r)
{
    for (int k = 0; k < pairs; k++)
        if (name[k] == name[r])
            right[name[pairs + k]] = r + 1;
}

/* For the loss: each query's own answer, -1 for one that has no wrong ones, and the further right ones, which it leaves out. */
static bool tell_apart(sg_among_spec *out, int *asked, sg_graph *g, const sg_contrast_batch *b)
{
    const int n = b->texts - b->pairs;
    int32_t *own = sg_scratch(g, (size_t)b->pairs, sizeof *own),
            *offsets = sg_scratch(g, (size_t)b->pairs + 1, sizeof *offsets);
    int32_t *right = sg_scratch(g, (size_t)b->texts, sizeof *right), *name = name_texts(g, b),
            *left_out = NULL;
    size_t count = 0;

    *asked = 0;
    if (!own || !offsets || !right || !name)
        return false;
    for (int pass = 0; pass < 2; pass++) { /* counts, then lists them */
        if (pass && (count > INT32_MAX || !(left_out = sg_scratch(g, count + 1, sizeof *left_out)))) {
            sg_graph_fail(g, SG_ERR_MEMORY, "out of memory: answers that are the same");
            return false;
        }
        memset(right, 0, (size_t)b->texts * sizeof *right);
        count = 0;
        for (int r = 0; r < b->pairs; r++) {
            const size_t before = count;

            mark_right(right, name, b->pairs, r);
            offsets[r] = (int32_t)before;
            for (int j = 0; j < n; j++)
                if (j != r && right[name[b->pairs + j]] == r + 1) {
                    if (pass)
                        left_out[count] = j;
                    count++;
                }
            own[r] = count - before < (size_t)n - 1 ? r : -1;
            *asked += pass && own[r] >= 0;
        }
    }
    offsets[b->pairs] = (int32_t)count;
    out->own = own;
    out->offsets = offsets;
    out->out = left_out;
    return true;
}

static int nearest_is_own(const sg_tensor *q, const sg_tensor *c, const sg_among_spec *among)
{
    const size_t d = (size_t)q->dim[1];
    int correct = 0;

    for (int r = 0; r < q->dim[0]; r++) {
        const float *x = q->data + (size_t)r * d;
        const float own = sg_kernels_best()->dot(x, c->data + (size_t)r * d, d);
        int32_t out = among->offsets[r]; /* they ascend */
        bool best = among->own[r] >= 0;

        for (int j = 0; j < c->dim[0] && best; j++) {
            if (out < among->offsets[r + 1] && among->out[out] == j)
                out++;
            else
                best = j == r || sg_kernels_best()->dot(x, c->data + (size_t)j * d, d) < own;
        }
        correct += best;
    }
    return correct;
}

/* ---- a step ----------------------------------------------------------------------------------------------------------------- */
/* Loss of the vectors e (texts, dim), queries first. */
static sg_tensor *loss_of(sg_contrast_told *told, sg_graph *g, sg_tensor *e, const sg_contrast_batch *batch,
                          const sg_contrast_how *how)
{
    const int texts = batch->texts, pairs = batch->pairs;
    int32_t *row = sg_scratch(g, (size_t)texts, sizeof *row);
    sg_among_spec among = {.scale = 1 / how->temperature};
    sg_tensor *sum = NULL;

    *told = (sg_contrast_told){0};
    if (!e || !row || !tell_apart(&among, &told->asked, g, batch))
        return NULL;
    for (int i = 0; i < texts; i++)
        row[i] = i;
    sg_tensor *q = sg_rows(g, e, row, pairs), *c = sg_rows(g, e, row + pairs, texts - pairs);
    const int whole = e->dim[1], n = how->n_widths ? how->n_widths : 1;

    for (int i = 0; i < n; i++) {
        const int width = how->n_widths && how->width[i] < whole ? how->width[i] : whole;
        sg_tensor *a = width < whole ? sg_slice_cols(g, q, 0, width) : q,
                  *b = width < whole ? sg_slice_cols(g, c, 0, width) : c;
        sg_tensor *one;

        a = sg_l2norm(g, a, 1e-12f);
        b = sg_l2norm(g, b, 1e-12f);
        one = sg_batch_ce_among(g, a, b, &among);
        sum = sum ? sg_plus(g, sum, one) : one;
        if (i == 0 && a && b)
            told->correct = nearest_is_own(a, b, &among);
    }
    return sg_scale(g, sum, 1 / (float)n);
}

/* Texts from `first` on that are worked on at once: the number after the last. */
static int piece_end(const sg_contrast_batch *batch, int tokens, int first)
{
    int end = first + 1;

    while (end < batch->texts && batch->offsets[end + 1] - batch->offsets[first] <= tokens)
        end++;
    return end;
}

static sg_status all_at_once(sg_contrast_told *told, sg_graph *g, const sg_contrast_model *m,
                             const sg_contrast_batch *batch, const sg_contrast_how *how, bool learn,
                             uint64_t step, sg_error *err)
{
    sg_tensor *x;
    sg_status st;

    sg_graph_begin(g, learn ? SG_TRAIN : SG_INFER, 0, step);
    x = loss_of(told, g, vectors(g, m, batch, how->pooler, 0, batch->texts), batch, how);
    if ((st = sg_graph_status(g, err)))
        return st;
    told->loss = (double)x->data[0];
    return learn ? sg_backward(g, x, err) : SG_OK;
}

static sg_status in_pieces(sg_contrast_told *told, sg_graph *g, const sg_contrast_model *m,
                           const sg_contrast_batch *batch, const sg_contrast_how *how, bool learn,
                           uint64_t step, sg_param *e, sg_error *err)
{
    const size_t dim = (size_t)sg_contrast_dim(m);
    sg_status st = SG_OK;

    for (int at = 0, end; at < batch->texts && !st; at = end) {
        end = piece_end(batch, how->tokens, at);
        sg_graph_begin(g, SG_INFER, 0, step);
        const sg_tensor *x = vectors(g, m, batch, how->pooler, at, end);
        if (!(st = sg_graph_status(g, err)))
            memcpy(e->value + (size_t)at * dim, x->data, x->count * sizeof *x->data);
    }
    if (st)
        return st;
    sg_graph_begin(g, learn ? SG_TRAIN : SG_INFER, 0, step);
    sg_tensor *x = loss_of(told, g, sg_leaf(g, e), batch, how);
    if ((st = sg_graph_status(g, err)))
        return st;
    told->loss = (double)x->data[0];
    if (!learn)
        return SG_OK;
    st = sg_backward(g, x, err);
    for (int at = 0, end; at < batch->texts && !st; at = end) { /* d loss = sum of vector x its gradient */
        end = piece_end(batch, how->tokens, at);
        sg_graph_begin(g, SG_TRAIN, 0, step);
        sg_tensor *y = vectors(g, m, batch, how->pooler, at, end);
        x = sg_sum(g,
                   sg_times(g, y, sg_input(g, e->grad + (size_t)at * dim, 2, (int[]){end - at, (int)dim})));
        if (!(st = sg_graph_status(g, err)))
            st = sg_backward(g, x, err);
    }
    return st;
}

sg_status sg_contrast_step(sg_contrast_told *told, sg_graph *g, const sg_contrast_model *m,
                           const sg_contrast_batch *batch, const sg_contrast_how *how, bool learn,
                           uint64_t step, sg_error *err)
{
    const int dim = sg_contrast_dim(m);
    sg_param e = {.name = "vectors",
                  .rank = 2,
                  .dim = {batch->texts, dim},
                  .count = (size_t)batch->texts * (size_t)dim};
    sg_status st;

    if (batch->offsets[batch->texts] <= how->tokens)
        return all_at_once(told, g, m, batch, how, learn, step, err);
    e.value = sg_alloc_array(e.count, sizeof *e.value);
    e.grad = sg_alloc_zero(e.count, sizeof *e.grad);
    st = e.value && e.grad ? in_pieces(told, g, m, batch, how, learn, step, &e, err)
                           : sg_fail_memory(err, "vectors");
    sg_free(e.value);
    sg_free(e.grad);
    return st;
}
