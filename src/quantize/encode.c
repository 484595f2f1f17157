/* encode.c - new items through frozen codebooks: the network or the rotation if there is one, level by level the nearest
 * centre of what is left or of the level's part, then the tokenizer's collision rule against the IDs that are taken; before it,
 * where IDs end, the tokenizer's rule of when. */
#include "quantize/encode.h"

#include "base/alloc.h"
#include "data/dataset.h"
#include "file/json.h"
#include "math/gemm.h"
#include "math/math.h"
#include "quantize/quantize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS_MAX = 16, ROWS = 1024 };

typedef struct layer {
    int in, out;
    const float *weight, *bias; /* borrowed: (out, in), (out) */
} layer;

struct sg_encoder {
    sg_tensors *file; /* owned */
    int dim, levels, book_codes, book_dim, widest;
    int total;                         /* levels of an ID, with the digit */
    const float *book, *shift, *scale; /* borrowed; shift and scale may be NULL */
    int n_layers;
    layer layers[LAYERS_MAX];
    const float *rotation; /* borrowed: (dim, dim) or NULL */
    bool product;          /* each level has its own part of the vector, book_dim wide */
    bool next;
    bool ends;
    double tau; /* ends: an ID may, once less of the vector's square is left */
};

/* ---- the file ------------------------------------------------------------------------------------------------- */

static sg_status read_layers(sg_encoder *e, sg_error *err)
{
    for (int i = 0; i < LAYERS_MAX; i++) {
        layer *l = &e->layers[i];
        char name[48];
        const sg_file_tensor *w, *b;
        sg_status st;

        snprintf(name, sizeof name, "encoder.%d.weight", i);
        if (!sg_tensors_find(e->file, name))
            break;
        if ((st = sg_tensors_need(&w, e->file, name, SG_DT_F32, 2, (int64_t[]){-1, i ? l[-1].out : -1}, err)))
            return st;
        snprintf(name, sizeof name, "encoder.%d.bias", i);
        if ((st = sg_tensors_need(&b, e->file, name, SG_DT_F32, 1, (int64_t[]){(int64_t)w->dim[0]}, err)))
            return st;
        if (w->dim[0] < 1 || w->dim[1] < 1 || w->dim[0] > 65536 || w->dim[1] > 65536)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor 'encoder.%d.weight': expected 1 to 65536 rows and columns",
                           sg_tensors_name(e->file), i);
        *l = (layer){(int)w->dim[1], (int)w->dim[0], w->data, b->data};
        e->widest = l->out > e->widest ? l->out : e->widest;
        e->n_layers++;
    }
    return SG_OK;
}

static sg_status read_scaling(const float **out, const sg_encoder *e, const char *name, sg_error *err)
{
    const sg_file_tensor *t = sg_tensors_find(e->file, name);
    const sg_status st =
        t ? sg_tensors_need(&t, e->file, name, SG_DT_F32, 1, (int64_t[]){e->dim}, err) : SG_OK;

    *out = t && !st ? t->data : NULL;
    return st;
}

static sg_status read_policy(sg_encoder *e, sg_error *err)
{
    const char *text = sg_tensors_meta(e->file, "options");
    json_t *options = NULL, *tau;
    sg_status st = SG_OK;

    e->ends = sg_tensors_meta(e->file, "ends") && strcmp(sg_tensors_meta(e->file, "ends"), "true") == 0;
    if (text &&
        !(st = sg_json_parse(&options, (sg_bytes){text, strlen(text)}, sg_tensors_name(e->file), err)))
        e->next = json_is_string(json_object_get(options, "collision")) &&
                  strcmp(json_string_value(json_object_get(options, "collision")), "next") == 0;
    tau = json_object_get(options, "tau");
    e->tau = json_is_string(tau) ? strtod(json_string_value(tau), NULL) : 0;
    json_decref(options);
    return st;
}

static sg_status read_file(sg_encoder *e, const char *path, sg_error *err)
{
    const sg_file_tensor *book, *size, *turn;
    const char *method;
    sg_status st;

    if ((st = sg_tensors_open(&e->file, path, err)))
        return st;
    method = sg_tensors_meta(e->file, "method");
    if (!sg_tensors_find(e->file, "codebooks"))
        return sg_fail(err, SG_ERR_USAGE, "%s: method '%s' keeps no codebooks: new items cannot be encoded",
                       path, method ? method : "unknown");
    if ((st = sg_tensors_need(&book, e->file, "codebooks", SG_DT_F32, 3, (int64_t[]){-1, -1, -1}, err)) ||
        (st = sg_tensors_need(&size, e->file, "sizes", SG_DT_I32, 1, (int64_t[]){-1}, err)) ||
        (st = read_layers(e, err)))
        return st;
    if (book->dim[0] < 1 || book->dim[0] > SG_LEVELS_MAX || book->dim[1] < 1 || book->dim[1] > 65536 ||
        book->dim[2] < 1 || book->dim[2] > 65536 ||
        (size->dim[0] != book->dim[0] && size->dim[0] != book->dim[0] + 1) ||
        (e->n_layers && (uint64_t)e->layers[e->n_layers - 1].out != book->dim[2]))
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor 'codebooks' does not fit the other tensors", path);
    e->levels = (int)book->dim[0];
    e->total = (int)size->dim[0];
    e->book_codes = (int)book->dim[1];
    e->book_dim = (int)book->dim[2];
    e->book = book->data;
    e->product = method && (strcmp(method, "pq") == 0 || strcmp(method, "opq") == 0);
    e->dim = e->product ? e->book_dim * e->levels : e->n_layers ? e->layers[0].in : e->book_dim;
    if (e->product && e->n_layers)
        return sg_fail(err, SG_ERR_FORMAT, "%s: method '%s' has no network, and the file has one", path,
                       method);
    if ((turn = sg_tensors_find(e->file, "rotation"))) {
        if ((st =
                 sg_tensors_need(&turn, e->file, "rotation", SG_DT_F32, 2, (int64_t[]){e->dim, e->dim}, err)))
            return st;
        e->rotation = turn->data;
    }
    e->widest = e->dim > e->widest ? e->dim : e->widest;
    if ((st = read_scaling(&e->shift, e, "shift", err)) || (st = read_scaling(&e->scale, e, "scale", err)))
        return st;
    if (!e->shift != !e->scale)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected both or none of the tensors 'shift' and 'scale'",
                       path);
    return read_policy(e, err);
}

sg_status sg_encoder_open(sg_encoder **out, const char *path, sg_error *err)
{
    sg_encoder *e = sg_alloc_zero(1, sizeof *e);
    sg_status st = e ? read_file(e, path, err) : sg_fail_memory(err, "encoder");

    *out = st ? NULL : e;
    if (st)
        sg_encoder_close(e);
    return st;
}

void sg_encoder_close(sg_encoder *e)
{
    if (!e)
        return;
    sg_tensors_close(e->file);
    sg_free(e);
}

int sg_encoder_dim(const sg_encoder *e)
{
    return e->dim;
}

int sg_encoder_levels(const sg_encoder *e)
{
    return e->levels;
}

/* ---- codes ---------------------------------------------------------------------------------------------------- */

/* What the codebooks approximate: a (rows, widest) holds it, dense, in the end; b is scratch. */
static void latents(const sg_encoder *e, float *a, float *b, const float *x, size_t rows)
{
    const size_t dim = (size_t)e->dim;

    for (size_t i = 0; i < rows * dim; i++)
        a[i] = e->shift ? (x[i] - e->shift[i % dim]) * e->scale[i % dim] : x[i];
    if (e->rotation) {
        sg_gemm(NULL, SG_F32, false, false, (int)rows, e->dim, e->dim, 1, a, e->dim, e->rotation, e->dim, 0,
                b, e->dim);
        memcpy(a, b, rows * dim * sizeof *a);
    }
    for (int i = 0; i < e->n_layers; i++) {
        const layer *l = &e->layers[i];
        const size_t out = (size_t)l->out;

        sg_gemm(NULL, SG_F32, false, true, (int)rows, l->out, l->in, 1, a, l->in, l->weight, l->in, 0, b,
                l->out);
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < out; k++) {
                const float y = b[r * out + k] + l->bias[k];

                a[r * out + k] = y > 0 || i + 1 == e->n_layers ? y : 0; /* ReLU between layers */
            }
    }
}

/* Codes of latents a (rows, dense), which are used up. left (levels) or NULL: mean square of what each level leaves, where codes are
 * of residuals. */
static sg_status codes_of(const sg_encoder *e, int32_t *codes, double *left, float *a, size_t rows,
                          sg_pool *pool, sg_error *err)
{
    return e->product
               ? sg_product_codes(codes, a, rows, e->book_dim, e->book, e->levels, e->book_codes, pool, err)
               : sg_residual_codes(codes, left, a, rows, e->book_dim, e->book, e->levels, e->book_codes, pool,
                                   err);
}

sg_status sg_encoder_codes(const sg_encoder *e, int32_t *codes, const float *x, size_t n, sg_pool *pool,
                           sg_error *err)
{
    const size_t most = n < ROWS ? n : ROWS;
    float *a = sg_alloc_array(most, (size_t)e->widest * sizeof *a),
          *b = sg_alloc_array(most, (size_t)e->widest * sizeof *b);
    sg_status st = a && b ? SG_OK : sg_fail_memory(err, "codes of new items");

    for (size_t i = 0; st == SG_OK && i < n; i += most) {
        const size_t rows = n - i < most ? n - i : most;

        latents(e, a, b, x + i * (size_t)e->dim, rows);
        st = codes_of(e, codes + i * (size_t)e->levels, NULL, a, rows, pool, err);
    }
    sg_free(a);
    sg_free(b);
    return st;
}

/* ---- a place among the others --------------------------------------------------------------------------------- */

/* The least digit that is free behind node (a prefix of all codes, -1: nothing there yet), the end of the ID where it is nobody
 * else's; -1: none is. */
static int32_t free_digit(const sg_catalogue *c, int levels, int32_t node)
{
    sg_children kids;
    int32_t digit = 0, end;

    if (levels == sg_catalogue_levels(c))
        return node < 0 ? 0 : -1;
    end = sg_catalogue_size(c, levels) - sg_catalogue_ends(c);
    if (node < 0)
        return sg_catalogue_ends(c) ? end : 0;
    kids = sg_catalogue_children(c, levels, node);
    while (digit < kids.n && sg_child_code(&kids, digit) == digit)
        digit++;
    return digit < end ? digit : -1;
}

/* Among the last codes behind `prefix` the nearest to left (book_dim) that may be taken. alone: only by itself. */
static int32_t nearest_free(const sg_encoder *e, int32_t *digit, const float *left, const sg_catalogue *c,
                            int32_t prefix, bool alone)
{
    const size_t width = (size_t)e->book_dim;
    const float *book = e->book + (size_t)(e->levels - 1) * (size_t)e->book_codes * width;
    float least = 0;
    int32_t best = -1;

    for (int32_t k = 0; k < e->book_codes; k++) {
        const float d = sg_dist2(left, book + (size_t)k * width, width);
        const int32_t node = best < 0 || d < least ? sg_catalogue_child(c, e->levels - 1, prefix, k) : 0;
        int32_t here;

        if ((best >= 0 && d >= least) || (alone && node >= 0) || (here = free_digit(c, e->levels, node)) < 0)
            continue;
        best = k;
        least = d;
        *digit = here;
    }
    return best;
}

static sg_status place(const sg_encoder *e, int32_t *codes, const float *left, const sg_catalogue *c,
                       sg_error *err)
{
    const int last = e->levels - 1;
    int32_t prefix = 0, node, digit;

    for (int l = 0; l < last && prefix >= 0; l++)
        prefix = sg_catalogue_child(c, l, prefix, codes[l]);
    node = prefix < 0 ? -1 : sg_catalogue_child(c, last, prefix, codes[last]);
    if (node >= 0 && e->next) { /* a code of its own first, then any with a digit left */
        const int32_t own = nearest_free(e, &digit, left, c, prefix, true);

        if (own >= 0) {
            codes[last] = own;
            node = -1;
        }
    }
    digit = free_digit(c, e->levels, node);
    if (digit < 0 && (codes[last] = nearest_free(e, &digit, left, c, prefix, false)) < 0)
        return sg_fail(err, SG_ERR_USAGE, "no free ID is left behind the first %d codes of the new item",
                       last);
    if (e->total > e->levels)
        codes[e->levels] = digit;
    return SG_OK;
}

/* Ends the ID as soon as little is left of the vector, whose square was `whole`, and the codes are no other item's. False: not before
 * the last codebook. */
static bool end_early(const sg_encoder *e, int32_t *codes, const double *left, double whole,
                      const sg_catalogue *c)
{
    int32_t node = 0;

    for (int n = 1; n < e->levels; n++) {
        node = node < 0 ? -1 : sg_catalogue_child(c, n - 1, node, codes[n - 1]);
        if (node >= 0 || (left[n - 1] >= e->tau * whole && whole > 0))
            continue;
        for (int l = n; l < e->total; l++)
            codes[l] = sg_catalogue_size(c, l) - 1;
        return true;
    }
    return false;
}

sg_status sg_encoder_place(const sg_encoder *e, int32_t *codes, const float *x, const sg_catalogue *c,
                           sg_error *err)
{
    const size_t width = (size_t)e->book_dim, each = (size_t)e->book_codes * width;
    double left[SG_LEVELS_MAX], whole = 0;
    float *a, *b;
    sg_status st;

    if (sg_catalogue_ends(c) != e->ends)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected a catalogue whose IDs %s", sg_tensors_name(e->file),
                       e->ends ? "end" : "are equally long");
    if (sg_catalogue_levels(c) != e->total)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected a catalogue of %d levels, found %d",
                       sg_tensors_name(e->file), e->total, sg_catalogue_levels(c));
    for (int l = 0; l < e->levels; l++)
        if (sg_catalogue_size(c, l) != e->book_codes + (e->ends && l > 0))
            return sg_fail(err, SG_ERR_USAGE, "%s: level %d: expected a catalogue with %d codes, found %d",
                           sg_tensors_name(e->file), l + 1, e->book_codes + (e->ends && l > 0),
                           sg_catalogue_size(c, l));
    a = sg_alloc_array((size_t)e->widest, sizeof *a);
    b = sg_alloc_array((size_t)e->widest, sizeof *b);
    if (!a || !b) {
        st = sg_fail_memory(err, "codes of a new item");
    } else {
        latents(e, a, b, x, 1);
        whole = sg_total_sq(a, width);
        st = codes_of(e, codes, left, a, 1, NULL, err);
    }
    if (st == SG_OK && e->ends && end_early(e, codes, left, whole, c))
        goto done;
    if (st == SG_OK &&
        !e->product) /* a: what all levels left; what the last one was given is that and its centre */
        sg_axpy(a, 1, e->book + (size_t)(e->levels - 1) * each + (size_t)codes[e->levels - 1] * width, width);
    if (st == SG_OK)
        st = place(e, codes, e->product ? a + (size_t)(e->levels - 1) * width : a, c, err);
done:
    sg_free(a);
    sg_free(b);
    return st;
}
