/* refresh.c - residual k-means again over a catalogue that has moved on, so that most IDs stay and codes go on meaning what they meant.
 *
 * Centres start from the old ones, level by level, so code k of a level stays the neighbourhood that it was. An item whose codes so far are
 * its old ones keeps the next one, too, as long as no other centre is nearer by more than `keep` of the squared distance: what a small
 * step of a centre would move across a border stays where models and users know it. Digits stay with the items that have them. */
#include "quantize/refresh.h"

#include "base/alloc.h"
#include "math/math.h"
#include "quantize/kmeans.h"

#include <string.h>

/* ---- what was ----------------------------------------------------------------------------------------------------- */
static sg_status check_book(sg_former *f, const sg_tokenize_config *c, int dim, sg_error *err)
{
    const char *name = sg_tensors_name(f->ids.file), *method = sg_tensors_meta(f->ids.file, "method");
    const sg_file_tensor *book;
    sg_status st;

    if (!method || strcmp(method, "rkmeans") != 0)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected IDs of rkmeans, found %s", name,
                       method ? method : "others");
    if (sg_tensors_find(f->ids.file, "shift"))
        return sg_fail(err, SG_ERR_USAGE, "%s: expected IDs of vectors as they are, found standardised ones",
                       name);
    if ((st = sg_tensors_need(&book, f->ids.file, "codebooks", SG_DT_F32, 3, (int64_t[]){-1, -1, -1}, err)))
        return st;
    if (book->dim[0] != (uint64_t)c->levels || book->dim[1] != (uint64_t)c->codes)
        return sg_fail(err, SG_ERR_USAGE,
                       "%s: expected %d levels of %d codes (options levels, codes), found %llu of %llu", name,
                       c->levels, c->codes, (unsigned long long)book->dim[0],
                       (unsigned long long)book->dim[1]);
    if (book->dim[2] != (uint64_t)dim)
        return sg_fail(
            err, SG_ERR_USAGE,
            "%s: expected codebooks %d wide as the item vectors are, found %llu (sedge embed --encoder)",
            name, dim, (unsigned long long)book->dim[2]);
    f->digit = f->ids.levels > c->levels;
    if (f->ids.levels > c->levels + 1)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %d levels with the digit, found %d", name,
                       c->levels + 1, f->ids.levels);
    for (int l = 0; l < c->levels; l++)
        if (f->ids.size[l] != c->codes)
            return sg_fail(err, SG_ERR_FORMAT, "%s: expected %d codes at level %d, found %d", name, c->codes,
                           l + 1, (int)f->ids.size[l]);
    f->book = book->data;
    return SG_OK;
}

sg_status sg_former_open(sg_former *f, const char *dir, const sg_dataset *d, const sg_tokenize_config *c,
                         int dim, sg_error *err)
{
    sg_dataset *old = NULL;
    sg_status st;

    *f = (sg_former){0};
    if (strcmp(c->method, "rkmeans") != 0 || c->standardise || c->balanced ||
        strcmp(c->last, "nearest") != 0 || strcmp(c->collision, "append") != 0 || c->text_only_train)
        return sg_fail(err, SG_ERR_USAGE,
                       "refresh: expected method=rkmeans, last=nearest, collision=append, not balanced, "
                       "standardise or text_only_train");
    if ((st = sg_dataset_open(&old, dir, err)) || (st = sg_ids_open(&f->ids, old, err)) ||
        (st = check_book(f, c, dim, err)))
        goto done;
    f->n = d->n_items;
    f->gone = old->n_items;
    if (!(f->was = sg_alloc_array((size_t)d->n_items, sizeof *f->was))) {
        st = sg_fail_memory(err, "items that were there");
        goto done;
    }
    for (int32_t i = 0; i < d->n_items; i++) {
        const int32_t k = sg_dataset_item(old, sg_strings_at(&d->item_ids, (size_t)i));

        f->was[i] = k < 0 ? NULL : f->ids.codes + (size_t)k * (size_t)f->ids.levels;
        f->known += k >= 0;
    }
    f->gone -= f->known;
done:
    sg_dataset_close(old);
    if (st)
        sg_former_close(f);
    return st;
}

void sg_former_close(sg_former *f)
{
    sg_free(f->was);
    if (f->ids.file)
        sg_ids_close(&f->ids);
    *f = (sg_former){0};
}

/* ---- codes --------------------------------------------------------------------------------------------------------- */
typedef struct keeping {
    const sg_former *f;
    const float *left, *centre;
    const float *nearest; /* (n) squared distance to the nearest centre */
    int32_t *code;        /* (n) that centre; becomes the item's code */
    uint8_t *same;        /* (n) all codes so far are the old ones */
    size_t dim;
    int level;
    float slack;
} keeping;

static void keep_body(void *ctx, size_t piece, size_t begin, size_t end, int thread)
{
    const keeping *k = ctx;

    for (size_t i = begin; i < end; i++) {
        const int32_t old = k->same[i] ? k->f->was[i][k->level] : -1;

        if (old >= 0 && old != k->code[i] &&
            sg_dist2(k->left + i * k->dim, k->centre + (size_t)old * k->dim, k->dim) <=
                k->slack * k->nearest[i])
            k->code[i] = old;
        k->same[i] = old >= 0 && old == k->code[i];
    }
}

static sg_status level(float *left, const sg_former *f, sg_codes *out, int32_t *code, float *nearest,
                       uint8_t *same, int l, const sg_quantize_data *d, const sg_tokenize_config *c,
                       sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    const size_t n = (size_t)d->n, dim = (size_t)d->dim, each = (size_t)c->codes * dim;
    float *centre = out->book + (size_t)l * each;
    const sg_kmeans_spec spec = {.codes = c->codes,
                                 .iterations = c->iterations,
                                 .restarts = 1,
                                 .sample = c->sample,
                                 .start = f->book + (size_t)l * each,
                                 .seed = (uint64_t)c->seed * 1000 + (uint64_t)l};
    sg_kmeans_stats stats;
    sg_status st;

    if ((st = sg_kmeans(centre, code, &stats, left, n, d->dim, &spec, pool, progress, err)) ||
        (st = sg_assign(code, nearest, left, n, d->dim, centre, c->codes, pool, err)))
        return st;
    keeping k = {.f = f,
                 .left = left,
                 .centre = centre,
                 .nearest = nearest,
                 .code = code,
                 .same = same,
                 .dim = dim,
                 .level = l,
                 .slack = 1 + (float)c->keep};

    sg_parallel_for(pool, n, 256, keep_body, &k);
    for (size_t i = 0; i < n; i++) {
        out->codes[i * (size_t)out->levels + (size_t)l] = code[i];
        sg_axpy(left + i * dim, -1, centre + (size_t)code[i] * dim, dim);
    }
    return SG_OK;
}

sg_status sg_refresh(sg_codes *out, const sg_former *f, const sg_quantize_data *d,
                     const sg_tokenize_config *c, sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    const size_t n = (size_t)d->n, dim = (size_t)d->dim;
    const double total = sg_variance(d->x, n, dim, pool);
    float *left = sg_alloc_array(n * dim, sizeof *left), *nearest = sg_alloc_array(n, sizeof *nearest);
    int32_t *code = sg_alloc_array(n, sizeof *code);
    uint8_t *same = sg_alloc_array(n, 1);
    sg_status st = SG_OK;

    out->book = sg_alloc_array((size_t)c->levels * (size_t)c->codes, dim * sizeof *out->book);
    if (!left || !nearest || !code || !same || !out->book) {
        st = sg_fail_memory(err, "codebooks");
        goto done;
    }
    out->book_levels = c->levels;
    out->book_codes = c->codes;
    out->book_dim = d->dim;
    memcpy(left, d->x, n * dim * sizeof *left);
    for (size_t i = 0; i < n; i++)
        same[i] = f->was[i] != NULL;
    for (int l = 0; l < c->levels && !st; l++)
        if (!(st = level(left, f, out, code, nearest, same, l, d, c, pool, progress, err)))
            out->error[l] = total > 0 ? sg_energy(left, n, dim, pool) / total : 0;
    out->reconstruction = out->error[c->levels - 1];
done:
    sg_free(left);
    sg_free(nearest);
    sg_free(code);
    sg_free(same);
    return st;
}

/* ---- digits --------------------------------------------------------------------------------------------------------- */
int32_t sg_former_digit(const sg_former *f, const sg_codes *c, size_t item)
{
    const int32_t *was = f->was[item];

    if (!was || memcmp(was, c->codes + item * (size_t)c->levels, (size_t)c->levels * sizeof *was) != 0)
        return -1;
    return f->digit ? was[c->levels] : 0;
}

json_t *sg_former_report(const sg_former *f, const sg_codes *c, const char *dir)
{
    int32_t same[SG_LEVELS_MAX] = {0}, whole = 0;
    json_t *prefixes = json_array(), *out;

    for (int32_t i = 0; i < f->n; i++) {
        const int32_t *was = f->was[i], *now = c->codes + (size_t)i * (size_t)c->levels;
        int l = 0;

        if (!was)
            continue;
        while (l < c->book_levels && was[l] == now[l])
            same[l++]++;
        whole += l == c->book_levels && (f->digit ? was[l] : 0) == (c->digit ? now[l] : 0);
    }
    for (int l = 0; l < c->book_levels; l++)
        json_array_append_new(prefixes, json_real(f->known ? (double)same[l] / (double)f->known : 0));
    out = json_pack("{s:s, s:i, s:i, s:i, s:f, s:o}", "from", dir, "items", (int)f->known, "new",
                    (int)(f->n - f->known), "gone", (int)f->gone, "kept",
                    f->known ? (double)whole / (double)f->known : 0, "kept_prefixes", prefixes);
    return out;
}
