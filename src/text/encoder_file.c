/* encoder_file.c - the built-in encoder written down, and applied to one text at a time:
 *   x = scale * sum over n-grams of (1 + ln tf) idf right / norm,
 * which is text/lsa.c's row of that item, but for right being kept in 16 bits. */
#include "text/encoder_file.h"

#include "base/alloc.h"
#include "base/half.h"
#include "file/json.h"
#include "file/receipt.h"
#include "text/ngram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 4096, FEATURES_MAX = 1 << 24, DIM_MAX = 4096 };

struct sg_text_encoder {
    sg_tensors *file;          /* owned */
    json_t *options, *columns; /* owned */
    sg_column_plan *plan;      /* owned (n_columns); column names nothing yet */
    sg_text_column *column;    /* owned (n_columns): names, borrowed from columns */
    int n_columns;
    int features, dim; /* dim 0: a language model */
    sg_ngram_spec spec;
    bool normalise;
    const uint64_t *hash;
    const float *idf, *scale;
    const uint16_t *right;
};

/* ---- writing ------------------------------------------------------------------------------------------------- */

static sg_status columns_text(sg_buf *out, const sg_dataset *d, const char *columns, sg_error *err)
{
    json_t *list = json_array();
    sg_text_plan plan;
    sg_status st = sg_text_plan_new(&plan, d, columns, err);

    for (int i = 0; !st && i < plan.n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "name", plan.list[i].column->name, "kind",
                                              sg_column_kind_name(plan.list[i].kind), "numbers",
                                              plan.list[i].numbers));
    if (!st) {
        sg_json_print_compact(out, list);
        st = out->failed || json_array_size(list) != (size_t)plan.n ? sg_fail_memory(err, "encoder") : SG_OK;
        sg_text_plan_free(&plan);
    }
    json_decref(list);
    return st;
}

typedef struct ranked {
    uint64_t hash;
    int32_t feature;
} ranked;

static int by_hash(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static sg_status write_fit(const char *path, const sg_lsa_fit *f, const sg_meta *meta, size_t n_meta,
                           sg_error *err)
{
    const size_t n = (size_t)f->features, dim = (size_t)f->dim;
    ranked *order = sg_alloc_array(n, sizeof *order);
    uint64_t *hash = sg_alloc_array(n, sizeof *hash);
    float *idf = sg_alloc_array(n, sizeof *idf);
    uint16_t *right = sg_alloc_array(n, dim * sizeof *right);
    sg_status st;

    if (order && hash && idf && right) {
        for (size_t i = 0; i < n; i++)
            order[i] = (ranked){f->hash[i], (int32_t)i};
        qsort(order, n, sizeof *order, by_hash);
        for (size_t i = 0; i < n; i++) {
            const size_t from = (size_t)order[i].feature;

            hash[i] = order[i].hash;
            idf[i] = f->idf[from];
            for (size_t k = 0; k < dim; k++)
                right[i * dim + k] = sg_f32_to_f16(f->right[from * dim + k]);
        }
        const sg_tensor_desc list[] = {{"hash", SG_DT_U64, 1, {n}, hash},
                                       {"idf", SG_DT_F32, 1, {n}, idf},
                                       {"right", SG_DT_F16, 2, {n, dim}, right},
                                       {"scale", SG_DT_F32, 1, {dim}, f->scale}};

        st = sg_tensors_write(path, list, sizeof list / sizeof *list, meta, n_meta, err);
    } else {
        st = sg_fail_memory(err, "encoder");
    }
    sg_free(order);
    sg_free(hash);
    sg_free(idf);
    sg_free(right);
    return st;
}

sg_status sg_text_encoder_save(const char *path, const sg_dataset *d, const char *encoder,
                               const char *options_json, const char *columns, const sg_lsa_fit *fit,
                               sg_error *err)
{
    sg_buf text = {0};
    sg_status st = columns_text(&text, d, columns, err);

    if (!st) {
        const sg_meta meta[] = {
            {"dataset", d->sha256}, {"encoder", encoder}, {"options", options_json}, {"columns", text.data}};

        st = fit ? write_fit(path, fit, meta, 4, err) : sg_tensors_write(path, NULL, 0, meta, 4, err);
    }
    sg_buf_free(&text);
    return st;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static sg_status read_meta(json_t **out, const sg_tensors *file, const char *key, sg_error *err)
{
    const char *text = sg_tensors_meta(file, key);

    if (!text)
        return sg_fail(err, SG_ERR_FORMAT, "%s: metadata '%s' is missing", sg_tensors_name(file), key);
    return sg_json_parse(out, (sg_bytes){text, strlen(text)}, sg_tensors_name(file), err);
}

static bool read_kind(sg_column_kind *out, const char *name)
{
    for (int k = SG_COLUMN_SKIPPED; name && k <= SG_COLUMN_CATEGORY; k++)
        if (strcmp(name, sg_column_kind_name((sg_column_kind)k)) == 0) {
            *out = (sg_column_kind)k;
            return true;
        }
    return false;
}

static sg_status read_columns(sg_text_encoder *e, sg_error *err)
{
    const size_t n = json_array_size(e->columns);

    if (!json_is_array(e->columns) || n < 1 || n > COLUMNS_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: metadata 'columns': expected a list of 1 to %d columns",
                       sg_tensors_name(e->file), COLUMNS_MAX);
    e->plan = sg_alloc_zero(n, sizeof *e->plan);
    e->column = sg_alloc_zero(n, sizeof *e->column);
    if (!e->plan || !e->column)
        return sg_fail_memory(err, "encoder");
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(e->columns, i);

        e->column[i].name = json_string_value(json_object_get(one, "name"));
        e->plan[i].numbers = json_is_true(json_object_get(one, "numbers"));
        if (!e->column[i].name ||
            !read_kind(&e->plan[i].kind, json_string_value(json_object_get(one, "kind"))))
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: metadata 'columns': expected a name and a kind of column %zu",
                           sg_tensors_name(e->file), i);
    }
    e->n_columns = (int)n;
    return SG_OK;
}

static sg_status read_fit(sg_text_encoder *e, sg_error *err)
{
    const sg_file_tensor *hash, *idf, *right, *scale;
    sg_lsa_config c;
    sg_status st;

    sg_options_init(&c, sg_lsa_options, sg_n_lsa_options);
    if ((st = sg_receipt_read_options(&c, sg_lsa_options, sg_n_lsa_options, e->options,
                                      sg_tensors_name(e->file), err)) ||
        (st = sg_tensors_need(&hash, e->file, "hash", SG_DT_U64, 1, (int64_t[]){-1}, err)) ||
        (st = sg_tensors_need(&idf, e->file, "idf", SG_DT_F32, 1, (int64_t[]){(int64_t)hash->dim[0]}, err)) ||
        (st = sg_tensors_need(&right, e->file, "right", SG_DT_F16, 2, (int64_t[]){(int64_t)hash->dim[0], -1},
                              err)) ||
        (st = sg_tensors_need(&scale, e->file, "scale", SG_DT_F32, 1, (int64_t[]){(int64_t)right->dim[1]},
                              err)))
        return st;
    if (hash->dim[0] < 1 || hash->dim[0] > FEATURES_MAX || right->dim[1] < 1 || right->dim[1] > DIM_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor 'right': expected 1 to %d rows and 1 to %d columns",
                       sg_tensors_name(e->file), FEATURES_MAX, DIM_MAX);
    e->features = (int)hash->dim[0];
    e->dim = (int)right->dim[1];
    e->hash = hash->data;
    e->idf = idf->data;
    e->right = right->data;
    e->scale = scale->data;
    e->spec = (sg_ngram_spec){c.words, c.chars_least, c.chars_most};
    e->normalise = c.normalise;
    return SG_OK;
}

/* Takes the file, which may be NULL after st. */
static sg_status finish_open(sg_text_encoder **out, sg_tensors *file, sg_status st, sg_error *err)
{
    sg_text_encoder *e = sg_alloc_zero(1, sizeof *e);

    *out = NULL;
    if (!e) {
        sg_tensors_close(file);
        return st ? st : sg_fail_memory(err, "encoder");
    }
    e->file = file;
    if (st || (st = read_meta(&e->options, e->file, "options", err)) ||
        (st = read_meta(&e->columns, e->file, "columns", err)) || (st = read_columns(e, err)))
        goto done;
    if (!sg_tensors_meta(e->file, "encoder"))
        st = sg_fail(err, SG_ERR_FORMAT, "%s: metadata 'encoder' is missing", sg_tensors_name(file));
    else if (strcmp(sg_text_encoder_name(e), "lsa") == 0)
        st = read_fit(e, err);
done:
    if (st)
        sg_text_encoder_close(e);
    else
        *out = e;
    return st;
}

sg_status sg_text_encoder_open(sg_text_encoder **out, const char *path, sg_error *err)
{
    sg_tensors *file = NULL;
    const sg_status st = sg_tensors_open(&file, path, err);

    return finish_open(out, file, st, err);
}

sg_status sg_text_encoder_parse(sg_text_encoder **out, sg_bytes bytes, const char *name, sg_error *err)
{
    sg_tensors *file = NULL;
    const sg_status st = sg_tensors_parse(&file, bytes, name, err);

    return finish_open(out, file, st, err);
}

void sg_text_encoder_close(sg_text_encoder *e)
{
    if (!e)
        return;
    sg_tensors_close(e->file);
    json_decref(e->options);
    json_decref(e->columns);
    sg_free(e->plan);
    sg_free(e->column);
    sg_free(e);
}

const char *sg_text_encoder_name(const sg_text_encoder *e)
{
    return sg_tensors_meta(e->file, "encoder");
}

const json_t *sg_text_encoder_options(const sg_text_encoder *e)
{
    return e->options;
}

int sg_text_encoder_dim(const sg_text_encoder *e)
{
    return e->dim;
}

int sg_text_encoder_columns(const sg_text_encoder *e)
{
    return e->n_columns;
}

const char *sg_text_encoder_column(const sg_text_encoder *e, int i)
{
    return e->column[i].name;
}

/* ---- one text ------------------------------------------------------------------------------------------------ */

typedef struct one_item { /* a plan over columns of a single row */
    sg_text_plan plan;
    sg_text_column *column; /* owned */
    int64_t *offsets;       /* owned (n, 2) */
} one_item;

static void one_item_free(one_item *o)
{
    sg_free(o->plan.list);
    sg_free(o->column);
    sg_free(o->offsets);
}

static sg_status one_item_new(one_item *o, const sg_text_encoder *e, const sg_bytes *text, sg_error *err)
{
    const size_t n = (size_t)e->n_columns;

    *o = (one_item){.plan.list = sg_alloc_array(n, sizeof *o->plan.list),
                    .plan.n = e->n_columns,
                    .column = sg_alloc_array(n, sizeof *o->column),
                    .offsets = sg_alloc_array(n, 2 * sizeof *o->offsets)};
    if (!o->plan.list || !o->column || !o->offsets) {
        one_item_free(o);
        return sg_fail_memory(err, "text of an item");
    }
    for (size_t i = 0; i < n; i++) {
        o->offsets[2 * i] = 0;
        o->offsets[2 * i + 1] = (int64_t)text[i].size;
        o->column[i] =
            (sg_text_column){e->column[i].name, {1, text[i].size ? text[i].data : "", o->offsets + 2 * i}};
        o->plan.list[i] = e->plan[i];
        o->plan.list[i].column = &o->column[i];
    }
    return SG_OK;
}

sg_status sg_text_encoder_join(sg_buf *out, const sg_text_encoder *e, const sg_bytes *text, sg_error *err)
{
    one_item o;
    const sg_status st = one_item_new(&o, e, text, err);

    if (st)
        return st;
    sg_text_plan_join(out, &o.plan, 0);
    one_item_free(&o);
    return out->failed ? sg_fail_memory(err, "text of an item") : SG_OK;
}

/* The feature of this hash, or -1. */
static int find_feature(const sg_text_encoder *e, uint64_t hash)
{
    int low = 0, high = e->features;

    while (low < high) {
        const int middle = low + (high - low) / 2;

        if (e->hash[middle] < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low < e->features && e->hash[low] == hash ? low : -1;
}

static void add_feature(double *sum, const sg_text_encoder *e, int feature, double weight)
{
    const uint16_t *row = e->right + (size_t)feature * (size_t)e->dim;

    for (int k = 0; k < e->dim; k++)
        sum[k] += weight * (double)sg_f16_to_f32(row[k]);
}

static sg_status project(float *x, const sg_text_encoder *e, const sg_grams *g, sg_error *err)
{
    double *sum = sg_alloc_zero((size_t)e->dim, sizeof *sum), square = 0, norm = 0;

    if (!sum)
        return sg_fail_memory(err, "vector of a text");
    for (size_t i = 0; i < g->n; i++) {
        const int feature = find_feature(e, g->list[i].hash + !g->list[i].hash);

        if (feature >= 0) {
            const double w = (1 + log((double)g->list[i].count)) * (double)e->idf[feature];

            square += w * w;
            add_feature(sum, e, feature, w);
        }
    }
    for (int k = 0; k < e->dim; k++) {
        sum[k] *= square > 0 ? (double)e->scale[k] / sqrt(square) : 0;
        norm += sum[k] * sum[k];
    }
    for (int k = 0; k < e->dim; k++)
        x[k] = (float)(e->normalise && norm > 0 ? sum[k] / sqrt(norm) : sum[k]);
    sg_free(sum);
    return isfinite(norm) ? SG_OK
                          : sg_fail(err, SG_ERR_NUMERIC, "%s: a text gave a vector that is not finite",
                                    sg_tensors_name(e->file));
}

static sg_status encode(float *x, size_t *words, const sg_text_encoder *e, const sg_text_plan *plan,
                        sg_error *err)
{
    sg_grams g = {0};
    sg_status st = sg_grams_of_item(&g, plan, &e->spec, 0, err);

    if (words)
        *words = g.words.n;
    if (!st)
        st = project(x, e, &g, err);
    sg_grams_free(&g);
    return st;
}

sg_status sg_text_encoder_item(float *x, const sg_text_encoder *e, const sg_bytes *text, sg_error *err)
{
    one_item o;
    sg_status st = one_item_new(&o, e, text, err);

    if (st)
        return st;
    st = encode(x, NULL, e, &o.plan, err);
    one_item_free(&o);
    return st;
}

sg_status sg_text_encoder_text(float *x, size_t *words, const sg_text_encoder *e, sg_bytes text,
                               sg_error *err)
{
    const int64_t offsets[] = {0, (int64_t)text.size};
    const sg_text_column column = {"text", {1, text.size ? text.data : "", offsets}};
    sg_column_plan plan = {.column = &column, .kind = SG_COLUMN_TEXT};

    return encode(x, words, e, &(sg_text_plan){&plan, 1}, err);
}
