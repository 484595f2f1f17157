/* softmax_list.c - softmax cross-entropy of each row over a list of its own: the codes that exist after a prefix.
 *
 *   l_rj = scale x_r . (A[a_j] + B[b_j])      j in the list of row r      (an id of -1 adds nothing)
 *   ce_r = log sum_j exp l_rj - (1 - e) l_rt - e mean_j l_rj               (e: label smoothing)
 *   loss = mean of ce_r over the rows with a target
 *
 * x (rows, d); A, B tables with rows of d numbers; lists are short (a few to a few hundred), so products of rows are taken one
 * by one. Probabilities of all lists are kept for the way back. Rows are cut into pieces for x, table rows for A and B. */
#include "math/math.h"
#include "math/op.h"
#include "math/touch.h"

#include <math.h>
#include <string.h>

enum { ROWS = 8 }; /* rows a piece */

typedef struct lists {
    sg_tensor *x;
    sg_param *a, *b;
    sg_list_spec spec; /* ids, offsets and targets copied */
    size_t rows, d;
    int32_t *row;               /* (candidates) whose list a candidate is in */
    float *slope;               /* (candidates) d ce / d l */
    double *ce;                 /* (rows) */
    float c;                    /* backward: d loss / d ce times scale */
    const sg_id_groups *groups; /* backward: of the table at hand */
    float *grad;
} lists;

static void forward_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const lists *w = ctx;
    const sg_list_spec *s = &w->spec;

    for (size_t r = begin; r < end; r++) {
        const int32_t first = s->offsets[r], n = s->offsets[r + 1] - first;
        const float *x = w->x->data + r * w->d;
        float *l = w->slope + first;
        float most, sum;
        double mean = 0;

        w->ce[r] = 0;
        if (s->target[r] < 0)
            continue;
        for (int32_t j = 0; j < n; j++) {
            const int32_t a = s->id_a[first + j], b = w->b ? s->id_b[first + j] : -1;

            l[j] = s->scale * ((a >= 0 ? sg_dot(x, w->a->value + (size_t)a * w->d, w->d) : 0) +
                               (b >= 0 ? sg_dot(x, w->b->value + (size_t)b * w->d, w->d) : 0));
            mean += l[j];
        }
        mean /= n;
        most = sg_max(l, (size_t)n);
        w->ce[r] = most - (1 - s->label_smoothing) * (double)l[s->target[r]] - s->label_smoothing * mean;
        sg_exp_rows(l, l, (size_t)n, most, &sum);
        w->ce[r] += log((double)sum);
        for (int32_t j = 0; j < n; j++)
            l[j] = l[j] / sum - s->label_smoothing / (float)n;
        l[s->target[r]] -= 1 - s->label_smoothing;
    }
}

static void backward_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const lists *w = ctx;
    const sg_list_spec *s = &w->spec;

    for (size_t r = begin; r < end; r++) {
        float *dx = w->grad + r * w->d;

        for (int32_t j = s->offsets[r]; s->target[r] >= 0 && j < s->offsets[r + 1]; j++) {
            if (s->id_a[j] >= 0)
                sg_axpy(dx, w->c * w->slope[j], w->a->value + (size_t)s->id_a[j] * w->d, w->d);
            if (w->b && s->id_b[j] >= 0)
                sg_axpy(dx, w->c * w->slope[j], w->b->value + (size_t)s->id_b[j] * w->d, w->d);
        }
    }
}

static void backward_table(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const lists *w = ctx;

    for (size_t i = begin; i < end; i++) {
        float *to = w->grad + (size_t)w->groups->id[i] * w->d;

        for (uint32_t p = w->groups->begin[i]; p < w->groups->begin[i + 1]; p++) {
            const uint32_t j = w->groups->place[p];
            const size_t r = (size_t)w->row[j];

            if (w->spec.target[r] >= 0)
                sg_axpy(to, w->c * w->slope[j], w->x->data + r * w->d, w->d);
        }
    }
}

static void table_gradient(sg_graph *g, lists *w, sg_param *table, const int32_t *ids)
{
    const sg_arena_mark mark = sg_arena_here(sg_graph_arena(g));
    sg_id_groups groups;

    if (!sg_param_learns(table) || !sg_group_ids(g, &groups, ids, (size_t)w->spec.offsets[w->rows], NULL) ||
        !sg_param_touch(g, table, groups.id, groups.n))
        return;
    w->groups = &groups;
    w->grad = table->grad;
    sg_parallel_for(sg_graph_pool(g), groups.n, 4, backward_table, w);
    sg_arena_back(sg_graph_arena(g), mark);
}

static void back(sg_graph *g, sg_tensor *out, void *saved)
{
    lists *w = saved;
    size_t n = 0;

    for (size_t r = 0; r < w->rows; r++)
        n += w->spec.target[r] >= 0;
    if (n == 0)
        return;
    w->c = out->grad[0] * w->spec.scale / (float)n;
    if (w->x->needs_grad && (w->grad = sg_grad(g, w->x)))
        sg_parallel_for(sg_graph_pool(g), w->rows, ROWS, backward_rows, w);
    table_gradient(g, w, w->a, w->spec.id_a);
    if (w->b)
        table_gradient(g, w, w->b, w->spec.id_b);
}

static const int32_t *keep(sg_graph *g, const int32_t *from, size_t n)
{
    int32_t *to = sg_scratch(g, n ? n : 1, sizeof *to);

    if (to)
        memcpy(to, from, n * sizeof *to);
    return to;
}

static bool check(sg_graph *g, const lists *w)
{
    const sg_list_spec *s = &w->spec;

    if (w->a->rank != 2 || (size_t)w->a->dim[1] != w->d ||
        (w->b && (w->b->rank != 2 || (size_t)w->b->dim[1] != w->d)) ||
        !(s->label_smoothing >= 0 && s->label_smoothing < 1)) {
        sg_graph_fail(g, SG_ERR_USAGE, "softmax over lists: x %s and table '%s' do not fit",
                      sg_shape_of(w->x).s, w->a->name);
        return false;
    }
    for (size_t r = 0; r < w->rows; r++)
        if (s->target[r] >= s->offsets[r + 1] - s->offsets[r]) {
            sg_graph_fail(g, SG_ERR_USAGE, "softmax over lists: row %zu: target %d of a list of %d", r,
                          s->target[r], s->offsets[r + 1] - s->offsets[r]);
            return false;
        }
    return true;
}

sg_tensor *sg_softmax_ce_list(sg_graph *g, sg_tensor *x, sg_param *a, sg_param *b, const sg_list_spec *spec)
{
    const size_t rows = x ? sg_height(x) : 0;
    const size_t n = x ? (size_t)spec->offsets[rows] : 0;
    sg_tensor *out = x ? sg_tensor_new(g, 0, NULL) : NULL;
    lists *w = sg_scratch(g, 1, sizeof *w);
    double loss = 0;
    size_t asked = 0;

    if (!out || !w)
        return NULL;
    *w = (lists){.x = x, .a = a, .b = b, .spec = *spec, .rows = rows, .d = sg_width(x)};
    if (!check(g, w) || !(w->spec.offsets = keep(g, spec->offsets, rows + 1)) ||
        !(w->spec.id_a = keep(g, spec->id_a, n)) || (b && !(w->spec.id_b = keep(g, spec->id_b, n))) ||
        !(w->spec.target = keep(g, spec->target, rows)) || !(w->row = sg_scratch(g, n + 1, sizeof *w->row)) ||
        !(w->slope = sg_scratch(g, n + 1, sizeof *w->slope)) ||
        !(w->ce = sg_scratch(g, rows + 1, sizeof *w->ce)))
        return NULL;
    for (size_t r = 0; r < rows; r++)
        for (int32_t j = spec->offsets[r]; j < spec->offsets[r + 1]; j++)
            w->row[j] = (int32_t)r;
    sg_parallel_for(sg_graph_pool(g), rows, ROWS, forward_rows, w);
    for (size_t r = 0; r < rows; r++) {
        asked += w->spec.target[r] >= 0;
        loss += w->ce[r];
    }
    out->data[0] = asked ? (float)(loss / (double)asked) : 0;
    if (sg_graph_training(g) && (x->needs_grad || sg_param_learns(a) || sg_param_learns(b)))
        sg_tape(g, out, back, w);
    return out;
}
