/* counts.c - sparse rows: each piece of rows fills its own buffer, buffers are joined in piece order. */
#include "models/counts.h"

#include "base/alloc.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { INSERTION_MAX = 24 };

sg_status sg_count_items(int64_t **count, const sg_train_data *t, bool all, sg_error *err)
{
    const sg_dataset *d = t->data;

    if (!(*count = sg_alloc_zero((size_t)d->n_items, sizeof **count)))
        return sg_fail_memory(err, "item counts");
    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u], end = all ? d->user_offsets[u + 1] : t->split->train_end[u];
             e < end; e++)
            (*count)[d->item[e]]++;
    return SG_OK;
}

sg_status sg_popularity_need(float **share, const sg_model *m, sg_error *err)
{
    const sg_model_array *a;
    const int64_t *count;
    int64_t most = 0;
    sg_status st;

    if ((st = sg_model_array_need(&a, m, "count", SG_DT_I64, 1, (const int64_t[]){m->n_items}, err)))
        return st;
    if (!*share && !(*share = sg_alloc_array((size_t)m->n_items, sizeof **share)))
        return sg_fail_memory(err, "popularity");
    count = a->data;
    for (int32_t i = 0; i < m->n_items; i++) {
        if (count[i] < 0)
            return sg_fail(err, SG_ERR_FORMAT, "%s: array 'count': expected counts, found %lld",
                           m->class->name, (long long)count[i]);
        most = count[i] > most ? count[i] : most;
    }
    for (int32_t i = 0; i < m->n_items; i++)
        (*share)[i] = (float)((double)count[i] / (1.0 + (double)most));
    return SG_OK;
}

/* ---- places ---- */

void sg_places_free(sg_places *p)
{
    sg_free(p->offsets);
    sg_free(p->event);
    sg_free(p->user);
    *p = (sg_places){0};
}

sg_status sg_places_new(sg_places *out, const sg_dataset *d, const int64_t *end, sg_error *err)
{
    sg_places p = {.offsets = sg_alloc_zero((size_t)d->n_items + 2, sizeof *p.offsets)};
    int64_t *next;
    size_t n = 0;

    *out = (sg_places){0};
    for (int32_t u = 0; u < d->n_users; u++)
        n += (size_t)(end[u] - d->user_offsets[u]);
    p.event = sg_alloc_array(n, sizeof *p.event);
    p.user = sg_alloc_array(n, sizeof *p.user);
    if (!p.offsets || !p.event || !p.user) {
        sg_places_free(&p);
        return sg_fail_memory(err, "events by item");
    }
    next = p.offsets +
           1; /* offsets, one place ahead: after the second pass they have moved to where they belong */
    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < end[u]; e++)
            next[d->item[e] + 1]++;
    for (int32_t i = 0; i < d->n_items; i++)
        next[i + 1] += next[i];
    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < end[u]; e++) {
            const int64_t at = next[d->item[e]]++;

            p.event[at] = e;
            p.user[at] = u;
        }
    *out = p;
    return SG_OK;
}

/* ---- sparse rows ---- */

typedef struct row_piece {
    int32_t *index; /* owned */
    float *value;   /* owned */
    size_t n, cap_index, cap_value;
    int32_t row_size[SG_SPARSE_RUN];
    bool failed;
} row_piece;

typedef struct build_job {
    sg_sparse_row *row;
    void *ctx;
    int32_t n, top;
    sg_accumulator *acc; /* one a thread */
    row_piece *piece;
} build_job;

/* Merge sort from the bottom up: O(n log n) whatever the data. */
static void sort_items(int32_t *a, int32_t *scratch, int32_t n)
{
    for (int32_t begin = 0; begin < n; begin += INSERTION_MAX) {
        const int32_t end = begin + INSERTION_MAX < n ? begin + INSERTION_MAX : n;

        for (int32_t i = begin + 1; i < end; i++) {
            const int32_t x = a[i];
            int32_t j = i;

            for (; j > begin && a[j - 1] > x; j--)
                a[j] = a[j - 1];
            a[j] = x;
        }
    }
    for (int64_t width = INSERTION_MAX; width < n; width *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * width) {
            const int64_t middle = begin + width < n ? begin + width : n;
            const int64_t end = begin + 2 * width < n ? begin + 2 * width : n;
            int64_t i = begin, j = middle;

            for (int64_t k = begin; k < end; k++)
                scratch[k] = i < middle && (j == end || a[i] <= a[j]) ? a[i++] : a[j++];
        }
        memcpy(a, scratch, (size_t)n * sizeof *a);
    }
}

/* The touched items in ascending order. */
static void order_touched(sg_accumulator *a, int32_t n_items)
{
    if (a->n_touched < n_items / 16) {
        sort_items(a->touched, a->scratch, a->n_touched);
        return;
    }
    a->n_touched = 0;
    for (int32_t i = 0; i < n_items; i++) {
        a->touched[a->n_touched] = i;
        a->n_touched += a->sum[i] != 0;
    }
}

static uint32_t bits_of(float x) /* of positive numbers: in the same order */
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u;
}

/* The bits of the k-th largest sum, k <= n_touched, by counting 11, 11 and 10 bits at a time; *above: sums
 * larger than it. */
static uint32_t kth_largest(const sg_accumulator *a, int32_t k, int32_t *above)
{
    static const int shift[] = {21, 10, 0}, width[] = {11, 11, 10};
    uint32_t prefix = 0, mask = 0;

    *above = 0;
    for (int digit = 0; digit < 3; digit++) {
        int32_t count[1 << 11] = {0};
        const uint32_t size = 1u << width[digit];
        uint32_t d = size - 1;

        for (int32_t i = 0; i < a->n_touched; i++) {
            const uint32_t u = bits_of(a->sum[a->touched[i]]);

            if ((u & mask) == prefix)
                count[u >> shift[digit] & (size - 1)]++;
        }
        for (; d > 0 && *above + count[d] < k; d--)
            *above += count[d];
        prefix |= d << shift[digit];
        mask |= (size - 1) << shift[digit];
    }
    return prefix;
}

/* Keeps the `top` largest of the touched items, in their order, in scratch; of equal ones the first. */
static int32_t keep_largest(sg_accumulator *a, int32_t top)
{
    int32_t above, n = 0;
    const uint32_t least = kth_largest(a, top, &above);
    int32_t equal = top - above;

    for (int32_t i = 0; i < a->n_touched; i++) {
        const uint32_t u = bits_of(a->sum[a->touched[i]]);

        if (u > least || (u == least && equal-- > 0))
            a->scratch[n++] = a->touched[i];
    }
    return n;
}

static void build_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    build_job *j = ctx;
    sg_accumulator *a = &j->acc[thread];
    row_piece *p = &j->piece[piece];

    for (size_t i = begin; i < end && !p->failed; i++) {
        const int32_t *item;
        int32_t n;

        j->row(j->ctx, (int32_t)i, a);
        order_touched(a, j->n);
        n = a->n_touched;
        item = a->touched;
        if (j->top && n > j->top) {
            n = keep_largest(a, j->top);
            item = a->scratch;
        }
        p->row_size[i - begin] = n;
        p->failed = !sg_grow(&p->index, &p->cap_index, p->n + (size_t)n, sizeof *p->index) ||
                    !sg_grow(&p->value, &p->cap_value, p->n + (size_t)n, sizeof *p->value);
        for (int32_t k = 0; k < n && !p->failed; k++) {
            p->index[p->n] = item[k];
            p->value[p->n++] = a->sum[item[k]];
        }
        for (int32_t k = 0; k < a->n_touched; k++)
            a->sum[a->touched[k]] = 0;
        a->n_touched = 0;
    }
}

static sg_status put_rows(sg_model *m, const char *name, int32_t n, const row_piece *piece, size_t pieces,
                          sg_error *err)
{
    char full[64];
    uint64_t dim = (uint64_t)n + 1;
    size_t total = 0;
    int64_t *offsets;
    int32_t *index;
    float *value;
    sg_status st;

    for (size_t p = 0; p < pieces; p++)
        total += piece[p].n;
    offsets = sg_alloc_array((size_t)n + 1, sizeof *offsets);
    index = sg_alloc_array(total, sizeof *index);
    value = sg_alloc_array(total, sizeof *value);
    if (!offsets || !index || !value) {
        sg_free(offsets);
        sg_free(index);
        sg_free(value);
        return sg_fail_memory(err, name);
    }
    offsets[0] = 0;
    total = 0;
    for (int32_t i = 0; i < n; i++)
        offsets[i + 1] = offsets[i] + piece[i / SG_SPARSE_RUN].row_size[i % SG_SPARSE_RUN];
    for (size_t p = 0; p < pieces; p++) {
        if (piece[p].n) {
            memcpy(index + total, piece[p].index, piece[p].n * sizeof *index);
            memcpy(value + total, piece[p].value, piece[p].n * sizeof *value);
        }
        total += piece[p].n;
    }
    snprintf(full, sizeof full, "%s.offsets", name);
    st = sg_model_array_put(m, full, SG_DT_I64, 1, &dim, offsets, err);
    dim = total;
    snprintf(full, sizeof full, "%s.index", name);
    if (st)
        sg_free(index);
    else
        st = sg_model_array_put(m, full, SG_DT_I32, 1, &dim, index, err);
    snprintf(full, sizeof full, "%s.value", name);
    if (st)
        sg_free(value);
    else
        st = sg_model_array_put(m, full, SG_DT_F32, 1, &dim, value, err);
    return st;
}

sg_status sg_sparse_build(sg_model *m, const char *name, int32_t top, sg_sparse_row *row, void *ctx,
                          sg_pool *pool, sg_error *err)
{
    const size_t n = (size_t)m->n_items, threads = (size_t)sg_pool_threads(pool),
                 pieces = sg_pieces(n, SG_SPARSE_RUN);
    build_job j = {.row = row, .ctx = ctx, .n = m->n_items, .top = top};
    sg_status st = SG_OK;
    bool failed;

    j.acc = sg_alloc_zero(threads, sizeof *j.acc);
    j.piece = sg_alloc_zero(pieces, sizeof *j.piece);
    failed = !j.acc || !j.piece;
    for (size_t i = 0; !failed && i < threads; i++) {
        j.acc[i] = (sg_accumulator){.sum = sg_alloc_zero(n, sizeof(float)),
                                    .touched = sg_alloc_array(n + 1, sizeof(int32_t)),
                                    .scratch = sg_alloc_array(n, sizeof(int32_t)),
                                    .thread = (int)i};
        failed = !j.acc[i].sum || !j.acc[i].touched || !j.acc[i].scratch;
    }
    if (!failed)
        sg_parallel_for(pool, n, SG_SPARSE_RUN, build_rows, &j);
    for (size_t p = 0; !failed && p < pieces; p++)
        failed = j.piece[p].failed;
    st = failed ? sg_fail_memory(err, name) : put_rows(m, name, m->n_items, j.piece, pieces, err);
    for (size_t i = 0; j.acc && i < threads; i++) {
        sg_free(j.acc[i].sum);
        sg_free(j.acc[i].touched);
        sg_free(j.acc[i].scratch);
    }
    for (size_t p = 0; j.piece && p < pieces; p++) {
        sg_free(j.piece[p].index);
        sg_free(j.piece[p].value);
    }
    sg_free(j.acc);
    sg_free(j.piece);
    return st;
}

sg_status sg_sparse_need(sg_sparse *out, const sg_model *m, const char *name, sg_error *err)
{
    const sg_model_array *offsets, *index, *value;
    char full[64];
    sg_status st;

    snprintf(full, sizeof full, "%s.offsets", name);
    if ((st = sg_model_array_need(&offsets, m, full, SG_DT_I64, 1, (const int64_t[]){(int64_t)m->n_items + 1},
                                  err)))
        return st;
    snprintf(full, sizeof full, "%s.index", name);
    if ((st = sg_model_array_need(&index, m, full, SG_DT_I32, 1, (const int64_t[]){-1}, err)))
        return st;
    snprintf(full, sizeof full, "%s.value", name);
    if ((st = sg_model_array_need(&value, m, full, SG_DT_F32, 1, (const int64_t[]){(int64_t)index->count},
                                  err)))
        return st;
    *out = (sg_sparse){.n = m->n_items, .offsets = offsets->data, .index = index->data, .value = value->data};
    for (int32_t i = 0; i < out->n; i++)
        if (out->offsets[i] > out->offsets[i + 1])
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: array '%s.offsets': expected ascending numbers, found a step back at %d",
                           m->class->name, name, (int)i);
    if (out->offsets[0] != 0 || out->offsets[out->n] != (int64_t)index->count)
        return sg_fail(err, SG_ERR_FORMAT, "%s: array '%s.offsets': expected 0 to %zu, found %lld to %lld",
                       m->class->name, name, index->count, (long long)out->offsets[0],
                       (long long)out->offsets[out->n]);
    for (size_t i = 0; i < index->count; i++)
        if (out->index[i] < 0 || out->index[i] >= m->n_items)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: array '%s.index': expected item numbers below %d, found %d", m->class->name,
                           name, (int)m->n_items, (int)out->index[i]);
    return SG_OK;
}

typedef struct score_job {
    const sg_histories *h;
    const sg_sparse_vote *vote;
    size_t n_items;
    float *scores;
} score_job;

static void score_rows(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const score_job *j = ctx;
    const sg_sparse_vote *v = j->vote;
    const sg_histories *h = j->h;

    for (size_t i = begin; i < end; i++) {
        const int64_t have = h->offsets[i + 1] - h->offsets[i], n = have < v->latest ? have : v->latest;
        float *scores = j->scores + i * j->n_items;
        double weight = v->mean && n ? v->weight / (double)n : v->weight;

        if (v->share)
            memcpy(scores, v->share, j->n_items * sizeof *scores);
        for (int64_t e = h->offsets[i + 1]; v->rows && e-- > h->offsets[i + 1] - n; weight *= v->decay) {
            const int64_t *row = v->rows->offsets + h->item[e];

            for (int64_t k = row[0]; k < row[1]; k++)
                scores[v->rows->index[k]] += (float)weight * v->rows->value[k];
        }
    }
}

sg_status sg_sparse_score(sg_session *s, const sg_histories *h, const sg_sparse_vote *vote, float *scores)
{
    score_job j = {h, vote, (size_t)s->model->n_items, scores};

    sg_parallel_for(s->pool, (size_t)h->n, 8, score_rows, &j);
    return SG_OK;
}
