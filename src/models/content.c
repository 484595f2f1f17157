/* content.c - mean item vectors of groups of items; sums in double, in the order of the items. */
#include "models/content.h"

#include "base/alloc.h"
#include "math/math.h"

#include <math.h>
#include <string.h>

typedef struct sums {
    double *mean;   /* owned (n_rows, dim) */
    double *centre; /* owned (dim) */
    int32_t *count; /* owned (n_rows) */
} sums;

static void add_items(sums *s, const sg_vectors *v, const int32_t *row, int per, int dim)
{
    for (int32_t i = 0; i < v->n; i++) {
        const float *x = v->data + (size_t)i * (size_t)v->dim;

        for (int j = 0; j < dim; j++)
            s->centre[j] += (double)x[j] / v->n;
        for (int k = 0; k < per; k++) {
            const int32_t r = row[(size_t)i * (size_t)per + (size_t)k];

            if (r < 0)
                continue;
            s->count[r]++;
            for (int j = 0; j < dim; j++)
                s->mean[(size_t)r * (size_t)dim + (size_t)j] += (double)x[j];
        }
    }
}

/* Sums to centred means; the root mean square of the rows that somebody names. */
static double finish(sums *s, int32_t n_rows, int dim)
{
    double sum_sq = 0;
    int64_t named = 0;

    for (int32_t r = 0; r < n_rows; r++) {
        named += s->count[r] > 0;
        for (int j = 0; s->count[r] && j < dim; j++) {
            double *x = &s->mean[(size_t)r * (size_t)dim + (size_t)j];

            *x = *x / s->count[r] - s->centre[j];
            sum_sq += *x * *x;
        }
    }
    return named ? sqrt(sum_sq / ((double)named * dim)) : 0;
}

sg_status sg_content_rows(float **out, const sg_train_data *t, const int32_t *row, int per, int32_t n_rows,
                          int dim, double spread, sg_error *err)
{
    const sg_vectors *v = t->vectors;
    sums s;

    *out = NULL;
    if (!v)
        return sg_fail(err, SG_ERR_MISSING, "content needs item vectors: run `sedge embed DATA` first");
    const int have = v->dim < dim ? v->dim : dim;
    s = (sums){sg_alloc_zero((size_t)n_rows * (size_t)have, sizeof *s.mean),
               sg_alloc_zero((size_t)have, sizeof *s.centre), sg_alloc_zero((size_t)n_rows, sizeof *s.count)};
    if (s.mean && s.centre && s.count && (*out = sg_alloc_zero((size_t)n_rows * (size_t)dim, sizeof **out))) {
        add_items(&s, v, row, per, have);
        const double rms = finish(&s, n_rows, have);

        for (int32_t r = 0; r < n_rows; r++)
            for (int j = 0; rms > 0 && j < have; j++)
                (*out)[(size_t)r * (size_t)dim + (size_t)j] =
                    (float)(s.mean[(size_t)r * (size_t)have + (size_t)j] * spread / rms);
    }
    sg_free(s.mean);
    sg_free(s.centre);
    sg_free(s.count);
    return *out ? SG_OK : sg_fail_memory(err, "content");
}

sg_status sg_content_frame(double **frame, const sg_train_data *t, int dim, sg_error *err)
{
    const sg_vectors *v = t->vectors;
    sums s = {0};
    int32_t *row;

    *frame = NULL;
    if (!v)
        return sg_fail(err, SG_ERR_MISSING, "content needs item vectors: run `sedge embed DATA` first");
    const int have = v->dim < dim ? v->dim : dim;
    s = (sums){sg_alloc_zero((size_t)v->n * (size_t)have, sizeof *s.mean),
               sg_alloc_zero((size_t)dim, sizeof *s.centre), sg_alloc_zero((size_t)v->n, sizeof *s.count)};
    row = sg_alloc_array((size_t)v->n, sizeof *row);
    if (s.mean && s.centre && s.count && row && (*frame = sg_alloc_zero((size_t)dim + 1, sizeof **frame))) {
        for (int32_t i = 0; i < v->n; i++)
            row[i] = i;
        add_items(&s, v, row, 1, have);
        memcpy(*frame, s.centre, (size_t)have * sizeof **frame);
        (*frame)[dim] = finish(&s, v->n, have);
    }
    sg_free(row);
    sg_free(s.mean);
    sg_free(s.centre);
    sg_free(s.count);
    return *frame ? SG_OK : sg_fail_memory(err, "content");
}

void sg_content_row(float *row, const double *frame, const float *x, int have, int dim, double spread)
{
    for (int j = 0; j < dim; j++)
        row[j] = j < have && frame[dim] > 0 ? (float)(((double)x[j] - frame[j]) * spread / frame[dim]) : 0;
}

sg_status sg_content_add(sg_param *table, const sg_train_data *t, double spread, sg_error *err)
{
    const int32_t n = table->dim[0];
    int32_t *row = sg_alloc_array((size_t)n, sizeof *row);
    float *start;
    sg_status st;

    if (!row)
        return sg_fail_memory(err, "content");
    for (int32_t i = 0; i < n; i++)
        row[i] = i;
    if (!(st = sg_content_rows(&start, t, row, 1, n, table->dim[1], spread, err))) {
        sg_axpy(table->value, 1, start, table->count);
        sg_free(start);
    }
    sg_free(row);
    return st;
}
