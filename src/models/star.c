/* star.c - text similarity plus co-occurrence, no training.   [Lee et al. 2024, arXiv:2410.16458]
 *
 *   score(x) = 1/m sum over the n latest items j, t = 0 for the latest: decay^t (a S[j][x] + (1 - a) C[j][x])
 *   S[j][x]  = cosine of tf-idf rows (text=tfidf) or of the dataset's item vectors (text=vectors), at least 0
 *   C[j][x]  = row_j . row_x of the item-user matrix of event counts, its columns divided by the square root
 *              of the user's number of events (norm=activity) or its rows by their length (norm=cos)
 *
 * Diagonals are 0; m is the smaller of n and the length of the history. Of a S + (1 - a) C the
 * `neighbours` largest a row are kept. pop times popularity is added, small enough to order only what
 * would tie, and all there is for an empty history.
 *
 * counts=train: C and popularity see training events only. counts=all: every event before a user's test
 * target, so the validation events of all users too: right for asking about test, a leak when asking about
 * validation.
 *
 * Where we differ from the paper: no language model (tf-idf of our own, or vectors from any encoder), no
 * ratings, no second stage. The defaults were chosen on the validation events of Amazon Beauty. */
#include "models/star.h"

#include "base/alloc.h"
#include "math/gemm.h"
#include "math/math.h"
#include "text/lsa.h"

#include <math.h>
#include <string.h>

#define STAR_OPTIONS(X)                                                                                      \
    X(choice, text, tfidf, 0, 0,                                                                             \
      "tfidf|vectors: item similarity from the text columns or from item vectors")                           \
    X(choice, norm, activity, 0, 0, "activity|cos: how co-occurrence is normalised")                         \
    X(choice, counts, train, 0, 0, "train|all: events counted; all: everything before the test targets")     \
    X(float, a, 0.5, 0, 1, "weight of item similarity; the rest goes to co-occurrence")                      \
    X(int, n, 3, 1, 1000000, "events of the history that vote, the latest")                                  \
    X(float, decay, 0.6, 0, 1, "weight of an event relative to the one after it")                            \
    X(int, neighbours, 200, 0, 1000000, "neighbours kept an item, the nearest (0: all)")                     \
    X(float, pop, 0.00001, 0, 1, "weight of popularity, which breaks ties")                                  \
    X(int, words, 1, 0, 3, "text=tfidf: word n-grams up to this length (0: none)")                           \
    X(int, chars_least, 3, 1, 8, "text=tfidf: shortest character n-gram")                                    \
    X(int, chars_most, 0, 0, 8, "text=tfidf: longest character n-gram inside words (0: none)")               \
    X(int, df_least, 1, 1, 1000000, "text=tfidf: n-grams in fewer items are dropped")                        \
    X(float, df_most, 0.1, 0, 1, "text=tfidf: n-grams in a larger share of items are dropped")               \
    X(text, columns, "", 0, 255, "text=tfidf: text columns, comma separated (empty: all)")

typedef struct star_config {
    STAR_OPTIONS(SG_OPTION_FIELD)
} star_config;
#define SG_OPTION_STRUCT star_config
static const sg_option star_options[] = {STAR_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

typedef struct star {
    float *share; /* owned (n_items): popularity times `pop` */
    sg_sparse near;
} star;

/* ---- fit ---- */

typedef struct star_job {
    const star_config *config;
    const sg_dataset *data;
    int32_t n_items;
    /* text=tfidf: rows and, by feature, the items that have it */
    sg_tfidf rows;
    int64_t *post_offsets; /* owned (features + 1) */
    int32_t *post_item;    /* owned */
    float *post_value;     /* owned */
    /* text=vectors */
    int32_t dim;
    float *unit;   /* owned (n_items, dim): rows of unit length */
    float **block; /* owned, one a thread: (SG_SPARSE_RUN, n_items) cosines of the run from block_first */
    int32_t *block_first;
    int threads;
    /* co-occurrence */
    int64_t *end; /* owned (n_users): events that count */
    sg_places places;
    float *weight; /* owned: of each item (norm=cos) or of each user (norm=activity) */
} star_job;

static void job_free(star_job *j)
{
    sg_tfidf_free(&j->rows);
    sg_free(j->post_offsets);
    sg_free(j->post_item);
    sg_free(j->post_value);
    sg_free(j->unit);
    for (int t = 0; j->block && t < j->threads; t++)
        sg_free(j->block[t]);
    sg_free(j->block);
    sg_free(j->block_first);
    sg_free(j->end);
    sg_places_free(&j->places);
    sg_free(j->weight);
}

/* Rows of tf-idf, and the same numbers by feature. */
static sg_status prepare_text(star_job *j, sg_pool *pool, sg_error *err)
{
    const star_config *c = j->config;
    sg_lsa_config text;
    int64_t *next;
    sg_status st;

    sg_options_init(&text, sg_lsa_options, sg_n_lsa_options);
    text.words = c->words;
    text.chars_least = c->chars_least;
    text.chars_most = c->chars_most;
    text.df_least = c->df_least;
    text.df_most = c->df_most;
    memcpy(text.columns, c->columns, sizeof text.columns);
    if ((st = sg_tfidf_new(&j->rows, j->data, &text, pool, err)))
        return st;
    const sg_tfidf *r = &j->rows;
    j->post_offsets = sg_alloc_zero((size_t)r->features + 2, sizeof *j->post_offsets);
    j->post_item = sg_alloc_array((size_t)r->offsets[r->n], sizeof *j->post_item);
    j->post_value = sg_alloc_array((size_t)r->offsets[r->n], sizeof *j->post_value);
    if (!j->post_offsets || !j->post_item || !j->post_value)
        return sg_fail_memory(err, "tf-idf by feature");
    next = j->post_offsets + 1;
    for (int64_t k = 0; k < r->offsets[r->n]; k++)
        next[r->index[k] + 1]++;
    for (int32_t f = 0; f < r->features; f++)
        next[f + 1] += next[f];
    for (int32_t i = 0; i < r->n; i++)
        for (int64_t k = r->offsets[i]; k < r->offsets[i + 1]; k++) {
            const int64_t at = next[r->index[k]]++;

            j->post_item[at] = i;
            j->post_value[at] = r->value[k];
        }
    return SG_OK;
}

static sg_status prepare_vectors(star_job *j, const sg_vectors *v, sg_error *err)
{
    const size_t n = (size_t)j->n_items;

    if (!v)
        return sg_fail(err, SG_ERR_MISSING,
                       "star: text=vectors needs item vectors: run `sedge embed DATA` first");
    if (v->n != j->n_items)
        return sg_fail(err, SG_ERR_FORMAT, "star: expected vectors of %d items, found %d", (int)j->n_items,
                       (int)v->n);
    j->dim = v->dim;
    j->unit = sg_alloc_array(n * (size_t)v->dim, sizeof *j->unit);
    j->block = sg_alloc_zero((size_t)j->threads, sizeof *j->block);
    j->block_first = sg_alloc_array((size_t)j->threads, sizeof *j->block_first);
    if (!j->unit || !j->block || !j->block_first)
        return sg_fail_memory(err, "vectors");
    for (int t = 0; t < j->threads; t++) {
        j->block_first[t] = -1;
        if (!(j->block[t] = sg_alloc_array(SG_SPARSE_RUN * n, sizeof **j->block)))
            return sg_fail_memory(err, "vectors");
    }
    for (size_t i = 0; i < n; i++) {
        const float *x = v->data + i * (size_t)v->dim;
        const float length = sqrtf(sg_dot(x, x, (size_t)v->dim));

        for (int32_t k = 0; k < v->dim; k++)
            j->unit[i * (size_t)v->dim + (size_t)k] = length > 0 ? x[k] / length : 0;
    }
    return SG_OK;
}

/* Event counts of one (item, user) pair after another: places of an item are in order of users. */
static double row_length(const sg_places *p, int32_t i)
{
    double sum = 0;

    for (int64_t k = p->offsets[i], first = k; k < p->offsets[i + 1]; k++)
        if (k + 1 == p->offsets[i + 1] || p->user[k + 1] != p->user[k]) {
            const double count = (double)(k + 1 - first);

            sum += count * count;
            first = k + 1;
        }
    return sqrt(sum);
}

static sg_status prepare_counts(star_job *j, const sg_split *split, sg_error *err)
{
    const sg_dataset *d = j->data;
    const bool all = strcmp(j->config->counts, "all") == 0, cos = strcmp(j->config->norm, "cos") == 0;
    sg_status st;

    if (!(j->end = sg_alloc_array((size_t)d->n_users, sizeof *j->end)))
        return sg_fail_memory(err, "counts");
    for (int32_t u = 0; u < d->n_users; u++)
        j->end[u] = all ? d->user_offsets[u + 1] : split->train_end[u];
    for (size_t i = 0; all && i < split->n_test; i++)
        if (split->test[i].target_begin < j->end[split->test[i].user])
            j->end[split->test[i].user] = split->test[i].target_begin;
    if ((st = sg_places_new(&j->places, d, j->end, err)))
        return st;
    if (!(j->weight = sg_alloc_array(cos ? (size_t)d->n_items : (size_t)d->n_users, sizeof *j->weight)))
        return sg_fail_memory(err, "counts");
    if (cos)
        for (int32_t i = 0; i < d->n_items; i++) {
            const double length = row_length(&j->places, i);

            j->weight[i] = length > 0 ? (float)(1 / length) : 0;
        }
    else
        for (int32_t u = 0; u < d->n_users; u++)
            j->weight[u] =
                j->end[u] > d->user_offsets[u] ? (float)(1 / (double)(j->end[u] - d->user_offsets[u])) : 0;
    return SG_OK;
}

static void add_text(const star_job *j, int32_t i, sg_accumulator *a)
{
    for (int64_t k = j->rows.offsets[i]; k < j->rows.offsets[i + 1]; k++) {
        const int32_t f = j->rows.index[k];
        const float x = (float)j->config->a * j->rows.value[k];

        for (int64_t p = j->post_offsets[f]; p < j->post_offsets[f + 1]; p++)
            sg_accumulate(a, j->post_item[p], x * j->post_value[p]);
    }
}

static void add_vectors(star_job *j, int32_t i, sg_accumulator *a)
{
    const int32_t first = i - i % SG_SPARSE_RUN;
    const int rows = j->n_items - first < SG_SPARSE_RUN ? j->n_items - first : SG_SPARSE_RUN;
    const float *cosine = j->block[a->thread] + (size_t)(i - first) * (size_t)j->n_items;

    if (j->block_first[a->thread] != first) {
        sg_gemm(NULL, SG_F32, false, true, rows, j->n_items, j->dim, 1,
                j->unit + (size_t)first * (size_t)j->dim, j->dim, j->unit, j->dim, 0, j->block[a->thread],
                j->n_items);
        j->block_first[a->thread] = first;
    }
    for (int32_t x = 0; x < j->n_items; x++)
        if (cosine[x] > 0)
            sg_accumulate(a, x, (float)j->config->a * cosine[x]);
}

static void add_counts(const star_job *j, int32_t i, sg_accumulator *a)
{
    const sg_dataset *d = j->data;
    const float share = 1 - (float)j->config->a;
    const bool cos = strcmp(j->config->norm, "cos") == 0;

    for (int64_t p = j->places.offsets[i]; p < j->places.offsets[i + 1]; p++) {
        const int32_t u = j->places.user[p];
        const float x = share * (cos ? j->weight[i] : j->weight[u]);

        for (int64_t e = d->user_offsets[u]; e < j->end[u]; e++)
            sg_accumulate(a, d->item[e], cos ? x * j->weight[d->item[e]] : x);
    }
}

static void near_row(void *ctx, int32_t i, sg_accumulator *a)
{
    star_job *j = ctx;

    if (j->rows.offsets)
        add_text(j, i, a);
    if (j->unit)
        add_vectors(j, i, a);
    if (j->end)
        add_counts(j, i, a);
    for (int32_t k = 0; k < a->n_touched; k++) /* the diagonal is 0: leave it out */
        if (a->touched[k] == i) {
            a->sum[i] = 0;
            a->touched[k] = a->touched[--a->n_touched];
            break;
        }
}

static sg_status build(sg_model *m, const star_config *c, const sg_train_data *t, sg_pool *pool,
                       sg_error *err)
{
    const uint64_t dim = (uint64_t)m->n_items;
    star_job j = {.config = c, .data = t->data, .n_items = m->n_items, .threads = sg_pool_threads(pool)};
    int64_t *count;
    sg_status st = SG_OK;

    if (c->a > 0)
        st = strcmp(c->text, "tfidf") == 0 ? prepare_text(&j, pool, err)
                                           : prepare_vectors(&j, t->vectors, err);
    if (st || (st = prepare_counts(&j, t->split, err)))
        goto done;
    if (!(count = sg_alloc_array(dim, sizeof *count))) {
        st = sg_fail_memory(err, "counts");
        goto done;
    }
    for (int32_t i = 0; i < m->n_items; i++)
        count[i] = j.places.offsets[i + 1] - j.places.offsets[i];
    if ((st = sg_model_array_put(m, "count", SG_DT_I64, 1, &dim, count, err)))
        goto done;
    if (c->a >= 1) { /* no co-occurrence */
        sg_free(j.end);
        j.end = NULL;
    }
    st = sg_sparse_build(m, "near", c->neighbours, near_row, &j, pool, err);
done:
    job_free(&j);
    return st;
}

static sg_status star_fit(sg_model *m, const sg_train_data *t, sg_pool *pool, const sg_progress *progress,
                          sg_error *err)
{
    return build(m, m->config, t, pool, err);
}

/* ---- use ---- */

sg_status sg_star_fit(sg_model *m, double a, const sg_train_data *t, sg_error *err)
{
    star_config c;

    sg_options_init(&c, star_options, sizeof star_options / sizeof *star_options);
    c.a = a;
    return build(m, &c, t, NULL, err);
}

sg_status sg_star_need(sg_star *out, const sg_model *m, double weight, sg_error *err)
{
    star_config c;

    sg_options_init(&c, star_options, sizeof star_options / sizeof *star_options);
    if (!sg_model_array_has(m, "near.offsets"))
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: star=%g: expected a model that was trained with star above 0, found one without",
                       m->class->name, weight);
    out->vote =
        (sg_sparse_vote){.rows = &out->near, .latest = c.n, .decay = c.decay, .mean = true, .weight = weight};
    return sg_sparse_need(&out->near, m, "near", err);
}

static sg_status star_ready(sg_model *m, sg_error *err)
{
    const star_config *c = m->config;
    star *s = m->state;
    sg_status st;

    if ((st = sg_popularity_need(&s->share, m, err)))
        return st;
    for (int32_t i = 0; i < m->n_items; i++)
        s->share[i] *= (float)c->pop;
    return sg_sparse_need(&s->near, m, "near", err);
}

static void star_fini(sg_model *m)
{
    sg_free(((star *)m->state)->share);
}

static sg_status star_score(sg_session *s, const sg_histories *h, float *scores, sg_error *err)
{
    const star_config *c = s->model->config;
    const star *m = s->model->state;
    const sg_sparse_vote vote = {
        .share = m->share, .rows = &m->near, .latest = c->n, .decay = c->decay, .mean = true, .weight = 1};

    return sg_sparse_score(s, h, &vote, scores);
}

const sg_model_class sg_model_star = {
    .name = "star",
    .summary = "item similarity plus co-occurrence, no training",
    .paper = "Lee et al. 2024, arXiv:2410.16458, retrieval stage",
    .options = star_options,
    .n_options = sizeof star_options / sizeof *star_options,
    .config_bytes = sizeof(star_config),
    .state_bytes = sizeof(star),
    .fit = star_fit,
    .ready = star_ready,
    .fini = star_fini,
    .score = star_score,
};
