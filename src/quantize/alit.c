/* alit.c - residual k-means with as many codes as an item needs.  [after ALIT, Duggal et al. 2024, arXiv:2411.02393: more tokens
 * for what is hard to reconstruct; here for items, one level a round]
 *
 * r_0 = x;  c_l = argmin_k |r_{l-1} - e^l_k|^2;  r_l = r_{l-1} - e^l_{c_l}
 * The ID ends after level l when |r_l|^2 / |x|^2 < tau and no other item has the same l codes; at `cap` levels at the latest. Level
 * l + 1 learns its centres from the items that go on, so late codes are spent on what needs them. An end is a code too, the
 * last of its level: an ID that has ended is filled up with it, so no ID is the beginning of another one. */
#include "quantize/quantize.h"

#include "base/alloc.h"
#include "math/math.h"
#include "quantize/kmeans.h"

#include <string.h>

typedef struct growing { /* the items that go on; arrays hold all at first */
    size_t n, dim;
    uint32_t *item; /* (n) ascending */
    float *left;    /* (n, dim) */
    float *whole;   /* (n) |x|^2 */
    bool *teaches;  /* (n) */
    int32_t *code;  /* (n) of this level */
    float *fit;     /* (n, dim) what is left of those that teach, when not all do */
    int32_t *fit_code;
    uint32_t *order; /* (items) by their codes */
    bool *alone;     /* (items) no other item has the same codes */
} growing;

static bool growing_init(growing *g, const sg_quantize_data *d)
{
    const size_t n = (size_t)d->n, dim = (size_t)d->dim;

    *g = (growing){.n = n,
                   .dim = dim,
                   .item = sg_alloc_array(n, sizeof *g->item),
                   .left = sg_alloc_array(n, dim * sizeof *g->left),
                   .whole = sg_alloc_array(n, sizeof *g->whole),
                   .teaches = sg_alloc_zero(n, sizeof *g->teaches),
                   .code = sg_alloc_array(n, sizeof *g->code),
                   .order = sg_alloc_array(n, sizeof *g->order),
                   .alone = sg_alloc_array(n, sizeof *g->alone)};
    if (d->fit) {
        g->fit = sg_alloc_array((size_t)d->n_fit, dim * sizeof *g->fit);
        g->fit_code = sg_alloc_array((size_t)d->n_fit, sizeof *g->fit_code);
    }
    if (!g->item || !g->left || !g->whole || !g->teaches || !g->code || !g->order || !g->alone ||
        (d->fit && (!g->fit || !g->fit_code)))
        return false;
    memcpy(g->left, d->x, n * dim * sizeof *g->left);
    for (size_t i = 0; i < n; i++) {
        g->item[i] = (uint32_t)i;
        g->whole[i] = (float)sg_total_sq(d->x + i * dim, dim);
        g->teaches[i] = !d->fit;
    }
    for (size_t i = 0; d->fit && i < d->n_fit; i++)
        g->teaches[d->fit[i]] = true;
    return true;
}

static void growing_fini(growing *g)
{
    sg_free(g->item);
    sg_free(g->left);
    sg_free(g->whole);
    sg_free(g->teaches);
    sg_free(g->code);
    sg_free(g->fit);
    sg_free(g->fit_code);
    sg_free(g->order);
    sg_free(g->alone);
}

/* Centres of this level from those that teach, codes of all. *taught: false when none of them goes on. */
static sg_status fit_level(growing *g, bool *taught, float *centre, const sg_kmeans_spec *spec, sg_pool *pool,
                           const sg_progress *progress, sg_error *err)
{
    sg_kmeans_stats stats;
    size_t n = 0;
    sg_status st;

    *taught = true;
    if (!g->fit)
        return sg_kmeans(centre, g->code, &stats, g->left, g->n, (int)g->dim, spec, pool, progress, err);
    for (size_t i = 0; i < g->n; i++)
        if (g->teaches[i])
            memcpy(g->fit + n++ * g->dim, g->left + i * g->dim, g->dim * sizeof *g->fit);
    if (!(*taught = n > 0))
        return SG_OK;
    if ((st = sg_kmeans(centre, g->fit_code, &stats, g->fit, n, (int)g->dim, spec, pool, progress, err)) ||
        (st = sg_assign(g->code, NULL, g->left, g->n, (int)g->dim, centre, spec->codes, pool, err)))
        return st;
    for (size_t i = 0, k = 0; spec->balanced && i < g->n;
         i++) /* those that teach keep the codes they taught with */
        if (g->teaches[i])
            g->code[i] = g->fit_code[k++];
    return SG_OK;
}

/* Items whose codes so far nobody shares. */
static sg_status find_alone(growing *g, const sg_codes *c, sg_error *err)
{
    const size_t row = (size_t)c->levels * sizeof *c->codes;
    const sg_status st = sg_codes_order(g->order, c->codes, c->n, c->levels, c->size, err);

    for (int32_t i = 0, end; !st && i < c->n; i = end) {
        for (end = i + 1; end < c->n && memcmp(c->codes + g->order[i] * (size_t)c->levels,
                                               c->codes + g->order[end] * (size_t)c->levels, row) == 0;)
            end++;
        for (int32_t j = i; j < end; j++)
            g->alone[g->order[j]] = end - i == 1;
    }
    return st;
}

/* Takes out the items whose IDs end here; returns what is left of them, the sum of squares. */
static double let_end(growing *g, float tau)
{
    double ended = 0;
    size_t n = 0;

    for (size_t i = 0; i < g->n; i++) {
        const double left = sg_total_sq(g->left + i * g->dim, g->dim);

        if (g->alone[g->item[i]] && (left < (double)tau * (double)g->whole[i] || g->whole[i] <= 0)) {
            ended += left;
            continue;
        }
        g->item[n] = g->item[i];
        g->whole[n] = g->whole[i];
        g->teaches[n] = g->teaches[i];
        memmove(g->left + n * g->dim, g->left + i * g->dim, g->dim * sizeof *g->left);
        n++;
    }
    g->n = n;
    return ended;
}

/* Levels that nobody reached are left out. */
static void drop_levels(sg_codes *c, int levels)
{
    for (size_t i = 0; i < (size_t)c->n; i++)
        memmove(c->codes + i * (size_t)levels, c->codes + i * (size_t)c->levels,
                (size_t)levels * sizeof *c->codes);
    c->levels = c->book_levels = levels;
}

sg_status sg_alit(sg_codes *out, const sg_quantize_data *d, const sg_tokenize_config *c, sg_pool *pool,
                  const sg_progress *progress, sg_error *err)
{
    const size_t each = (size_t)c->codes * (size_t)d->dim;
    const double total = sg_variance(d->x, (size_t)d->n, (size_t)d->dim, pool);
    double ended = 0;
    growing g = {0};
    int level = 0;
    sg_status st = SG_OK;

    if (c->codes >= 65536)
        return sg_fail(err, SG_ERR_USAGE,
                       "alit: expected at most 65535 codes, so that one is left for the end, found %d",
                       c->codes);
    out->book = sg_alloc_array((size_t)c->cap * each, sizeof *out->book);
    if (!growing_init(&g, d) || !out->book) {
        st = sg_fail_memory(err, "residual k-means");
        goto done;
    }
    out->ends = true;
    out->book_codes = c->codes;
    out->book_dim = d->dim;
    for (int l = 1; l < c->cap; l++)
        out->size[l] = c->codes + 1;
    for (size_t i = 0; i < (size_t)d->n * (size_t)c->cap; i++)
        out->codes[i] = c->codes;
    for (; level < c->cap && g.n; level++) {
        const sg_kmeans_spec spec = {.codes = c->codes,
                                     .iterations = c->iterations,
                                     .restarts = c->restarts,
                                     .random_init = !c->kmeans_init,
                                     .balanced = c->balanced,
                                     .sample = c->sample,
                                     .seed = (uint64_t)c->seed * 1000 + (uint64_t)level};
        float *centre = out->book + (size_t)level * each;
        const size_t n = g.n;
        bool taught;

        if ((st = fit_level(&g, &taught, centre, &spec, pool, progress, err)))
            goto done;
        if (!taught)
            break;
        for (size_t i = 0; i < n; i++) {
            sg_axpy(g.left + i * g.dim, -1, centre + (size_t)g.code[i] * g.dim, g.dim);
            out->codes[g.item[i] * (size_t)c->cap + (size_t)level] = g.code[i];
        }
        if ((st = find_alone(&g, out, err)))
            goto done;
        out->error[level] = total > 0 ? (ended + sg_energy(g.left, n, g.dim, pool)) / total : 0;
        ended += let_end(&g, (float)c->tau);
        if ((st = sg_progress_say(progress, err, "tokenize",
                                  "level %d: %zu items, %.1f %% of the variance left, %zu go on", level + 1,
                                  n, 100 * out->error[level], g.n)))
            goto done;
    }
    drop_levels(out, level);
    out->reconstruction = out->error[level - 1];
done:
    growing_fini(&g);
    return st;
}
