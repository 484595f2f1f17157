/* hkmeans.c - hierarchical k-means: a cluster of more than `leaf` items is split in `branch` again. An ID is the path, then
 * (as collision digit) the number of the item in its leaf.                           [DSI: Tay et al. 2022, section 3.2.2]
 *
 * Paths of different length are filled with 0: nothing else begins with a path that ended. A cluster of equal vectors
 * cannot be split and stays a leaf, whatever its size. */
#include "quantize/quantize.h"

#include "base/alloc.h"
#include "quantize/kmeans.h"

#include <string.h>

typedef struct cluster {
    uint32_t begin, end; /* in order */
    int depth;
} cluster;

typedef struct tree {
    const sg_quantize_data *d;
    const sg_tokenize_config *c;
    uint32_t *order, *spare; /* owned: (n) items, cluster by cluster */
    float *x, *centre;       /* owned: (n, dim) and (branch, dim) scratch */
    int32_t *code;           /* owned: (n) scratch */
    int32_t *path;           /* owned: (n, SG_LEVELS_MAX) */
    cluster *open;           /* owned: clusters to look at, the newest first */
    size_t n_open, cap;
    int depth; /* of the deepest leaf */
    uint64_t splits;
} tree;

static bool tree_init(tree *t)
{
    const size_t n = (size_t)t->d->n, dim = (size_t)t->d->dim;

    t->order = sg_alloc_array(n, sizeof *t->order);
    t->spare = sg_alloc_array(n, sizeof *t->spare);
    t->x = sg_alloc_array(n, dim * sizeof *t->x);
    t->centre = sg_alloc_array((size_t)t->c->branch, dim * sizeof *t->centre);
    t->code = sg_alloc_array(n, sizeof *t->code);
    t->path = sg_alloc_zero(n, SG_LEVELS_MAX * sizeof *t->path);
    return t->order && t->spare && t->x && t->centre && t->code && t->path &&
           sg_grow(&t->open, &t->cap, 1, sizeof *t->open);
}

static void tree_fini(tree *t)
{
    sg_free(t->order);
    sg_free(t->spare);
    sg_free(t->x);
    sg_free(t->centre);
    sg_free(t->code);
    sg_free(t->path);
    sg_free(t->open);
}

/* Splits k, whose parts become open clusters; *split false: its vectors are all alike. */
static sg_status split(tree *t, cluster k, bool *split, sg_pool *pool, const sg_progress *progress,
                       sg_error *err)
{
    const sg_kmeans_spec spec = {.codes = t->c->branch,
                                 .iterations = t->c->iterations,
                                 .restarts = t->c->restarts,
                                 .random_init = !t->c->kmeans_init,
                                 .balanced = t->c->balanced,
                                 .sample = t->c->sample,
                                 .seed = (uint64_t)t->c->seed * 1000003 + t->splits++};
    const size_t n = k.end - k.begin, dim = (size_t)t->d->dim;
    uint32_t at = k.begin;
    sg_kmeans_stats stats;
    sg_status st;

    for (size_t i = 0; i < n; i++)
        memcpy(t->x + i * dim, t->d->x + t->order[k.begin + i] * dim, dim * sizeof *t->x);
    if ((st = sg_kmeans(t->centre, t->code, &stats, t->x, n, t->d->dim, &spec, pool, progress, err)))
        return st;
    *split = false;
    for (size_t i = 1; i < n; i++)
        *split |= memcmp(t->x, t->x + i * dim, dim * sizeof *t->x) != 0 && t->code[i] != t->code[0];
    if (!*split)
        return SG_OK;
    if (!sg_grow(&t->open, &t->cap, t->n_open + (size_t)t->c->branch, sizeof *t->open))
        return sg_fail_memory(err, "hierarchical k-means");
    memcpy(t->spare, t->order + k.begin, n * sizeof *t->spare);
    for (int32_t b = 0; b < t->c->branch; b++) {
        const uint32_t begin = at;

        for (size_t i = 0; i < n; i++)
            if (t->code[i] == b) {
                t->path[t->spare[i] * (size_t)SG_LEVELS_MAX + (size_t)k.depth] = b;
                t->order[at++] = t->spare[i];
            }
        if (at > begin)
            t->open[t->n_open++] = (cluster){begin, at, k.depth + 1};
    }
    return SG_OK;
}

static sg_status grow(tree *t, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    for (uint32_t i = 0; i < (uint32_t)t->d->n; i++)
        t->order[i] = i;
    t->open[t->n_open++] = (cluster){0, (uint32_t)t->d->n, 0};
    while (t->n_open) {
        const cluster k = t->open[--t->n_open];
        bool is_split = false;
        sg_status st;

        /* all items have a first code; one level is kept for the number in the leaf */
        if ((k.depth == 0 || k.end - k.begin > (uint32_t)t->c->leaf) && k.depth < SG_LEVELS_MAX - 1 &&
            (st = split(t, k, &is_split, pool, progress, err)))
            return st;
        if (!is_split)
            t->depth = k.depth > t->depth ? k.depth : t->depth;
    }
    return SG_OK;
}

sg_status sg_hkmeans(sg_codes *out, const sg_quantize_data *d, const sg_tokenize_config *c, sg_pool *pool,
                     const sg_progress *progress, sg_error *err)
{
    tree t = {.d = d, .c = c};
    sg_status st;

    if (d->fit)
        return sg_fail(err, SG_ERR_USAGE,
                       "hkmeans keeps no centres to encode other items with: text_only_train has to be off");
    if (!tree_init(&t))
        st = sg_fail_memory(err, "hierarchical k-means");
    else if ((st = grow(&t, pool, progress, err)) == SG_OK) {
        int32_t *codes;

        out->levels = t.depth > 0 ? t.depth : 1;
        if (!(codes = sg_alloc_array((size_t)d->n, (size_t)out->levels * sizeof *codes))) {
            st = sg_fail_memory(err, "hierarchical k-means");
        } else {
            for (int l = 0; l < out->levels; l++)
                out->size[l] = c->branch;
            for (size_t i = 0; i < (size_t)d->n; i++)
                memcpy(codes + i * (size_t)out->levels, t.path + i * SG_LEVELS_MAX,
                       (size_t)out->levels * sizeof *codes);
            sg_free(out->codes);
            out->codes = codes;
        }
    }
    tree_fini(&t);
    return st;
}
