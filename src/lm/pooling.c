/* pooling.c - poolers, dense layers, unit length.   [sentence-transformers: Pooling, Dense, Normalize]
 *
 *   cls h_1    max max_t h_t    mean sum h_t / n    mean_sqrt sum h_t / sqrt n    weighted sum t h_t / sum t    last h_n
 *
 * Sums over tokens run in double, in order. */
#include "lm/pooling.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "lm/weights.h"
#include "math/math.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { JSON_MOST = 1 << 20, WIDTH_MOST = 1 << 16 };

static const struct {
    const char *name, *flag;
} poolers[] = {
    [SG_POOL_CLS] = {"cls", "pooling_mode_cls_token"},
    [SG_POOL_MAX] = {"max", "pooling_mode_max_tokens"},
    [SG_POOL_MEAN] = {"mean", "pooling_mode_mean_tokens"},
    [SG_POOL_MEAN_SQRT] = {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"},
    [SG_POOL_WEIGHTED] = {"weightedmean", "pooling_mode_weightedmean_tokens"},
    [SG_POOL_LAST] = {"lasttoken", "pooling_mode_lasttoken"},
};

const char *sg_pooler_name(sg_pooler p)
{
    return poolers[p].name;
}

/* ---- the folder ---------------------------------------------------------------------------------------------------------- */
static sg_status read_config(json_t **out, const char *path, sg_error *err)
{
    sg_status st = sg_json_read(out, path, JSON_MOST, err);

    if (!st && !json_is_object(*out)) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected an object, found %s", path,
                     sg_json_describe(*out, (char[64]){0}));
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

static sg_status read_poolers(sg_pooling *p, const json_t *config, const char *where, sg_error *err)
{
    const json_t *mode = json_object_get(config, "pooling_mode");
    int n = 0;

    for (int i = 0; i < SG_N_POOLERS; i++) {
        p->use[i] = mode ? json_is_string(mode) && strcmp(json_string_value(mode), poolers[i].name) == 0
                         : json_is_true(json_object_get(config, poolers[i].flag));
        n += p->use[i];
    }
    if (!n)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a pooling mode that is known here, found none",
                       where);
    p->prompt_left_out = json_is_false(json_object_get(config, "include_prompt"));
    p->out = n * p->in;
    return SG_OK;
}

static sg_status read_dense(sg_pooling *p, const char *dir, const json_t *config, const char *where,
                            sg_error *err)
{
    const char *act = json_string_value(json_object_get(config, "activation_function"));
    const size_t size = act ? strlen(act) : 0;
    sg_params ps = {.bare = true};
    sg_weights *file = NULL;
    int64_t in, out;
    sg_dense *d;
    sg_status st;

    if (p->n_dense == SG_DENSE_MOST)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected at most %d dense layers", where, SG_DENSE_MOST);
    d = &p->dense[p->n_dense];
    if ((st = sg_json_need_int(&in, config, "in_features", p->out, p->out, where, err)) ||
        (st = sg_json_need_int(&out, config, "out_features", 1, WIDTH_MOST, where, err)))
        return st;
    d->tanh = size >= 4 && strcmp(act + size - 4, "Tanh") == 0;
    if (!d->tanh && (size < 8 || strcmp(act + size - 8, "Identity") != 0))
        return sg_fail(err, SG_ERR_FORMAT, "%s: 'activation_function': expected Tanh or Identity, found %s",
                       where,
                       sg_json_describe(json_object_get(config, "activation_function"), (char[64]){0}));
    const bool bias = !json_is_false(json_object_get(config, "bias"));
    sg_param *w = sg_param_add(&ps, 0, SG_INIT_ZERO, 0, 0, (int)out, (int)in, "linear.weight");
    sg_param *b = bias ? sg_param_add(&ps, 0, SG_INIT_ZERO, 0, 0, (int)out, 0, "linear.bias") : NULL;

    if (ps.failed)
        st = sg_fail_memory(err, where);
    else if (!(st = sg_weights_open(&file, dir, err)) && !(st = sg_weights_load(file, w, w->name, err)) && b)
        st = sg_weights_load(file, b, b->name, err);
    d->in = (int)in;
    d->out = (int)out;
    if (!st) { /* copied: the file is not needed any more */
        d->w = sg_alloc_array(w->count, sizeof *d->w);
        d->b = b ? sg_alloc_array(b->count, sizeof *d->b) : NULL;
        p->n_dense++;
        if (d->w)
            memcpy(d->w, w->value, w->count * sizeof *d->w);
        if (d->b)
            memcpy(d->b, b->value, b->count * sizeof *d->b);
        if (!d->w || (b && !d->b))
            st = sg_fail_memory(err, where);
        p->out = (int)out;
    }
    sg_params_free(&ps);
    sg_weights_close(file);
    return st;
}

/* One entry of modules.json after the encoder itself. */
static sg_status add_module(sg_pooling *p, bool *pooled, const char *dir, const char *type, const char *path,
                            sg_error *err)
{
    const char *dot = strrchr(type, '.'), *kind = dot ? dot + 1 : type;
    char *folder = sg_path_join(dir, path), *file = folder ? sg_path_join(folder, "config.json") : NULL;
    json_t *config = NULL;
    sg_status st = SG_OK;

    if (!file)
        st = sg_fail_memory(err, "path");
    else if (strcmp(kind, "Normalize") == 0)
        p->unit = true;
    else if (strcmp(kind, "Pooling") == 0 && !*pooled) {
        if (!(st = read_config(&config, file, err)))
            st = read_poolers(p, config, file, err);
        *pooled = true;
    } else if (strcmp(kind, "Dense") == 0 && *pooled && !p->unit) {
        if (!(st = read_config(&config, file, err)))
            st = read_dense(p, folder, config, file, err);
    } else {
        st = sg_fail(err, SG_ERR_FORMAT, "%s/modules.json: a module '%.100s' is not supported in this place",
                     dir, type);
    }
    json_decref(config);
    sg_free(folder);
    sg_free(file);
    return st;
}

static sg_status read_modules(sg_pooling *p, const char *dir, const char *path, sg_error *err)
{
    json_t *root = NULL, *module;
    bool pooled = false;
    size_t i;
    sg_status st = sg_json_read(&root, path, JSON_MOST, err);

    if (!st && !json_is_array(root))
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected an array, found %s", path,
                     sg_json_describe(root, (char[64]){0}));
    json_array_foreach(st ? NULL : root, i, module)
    {
        const char *type, *at;

        if ((st = sg_json_need_string(&type, module, "type", path, err)) ||
            (st = sg_json_need_string(&at, module, "path", path, err)))
            break;
        if (i == 0) /* the encoder: its files are those of the folder */
            st = *at ? sg_fail(err, SG_ERR_FORMAT,
                               "%s: expected the encoder in the folder itself, found '%.100s'", path, at)
                     : SG_OK;
        else if (*at == '/' || strstr(at, ".."))
            st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a folder inside this one, found '%.100s'", path,
                         at);
        else
            st = add_module(p, &pooled, dir, type, at, err);
        if (st)
            break;
    }
    if (!st && !pooled)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a module Pooling, found none", path);
    json_decref(root);
    return st;
}

sg_status sg_pooling_open(sg_pooling *out, const char *dir, int dim, sg_error *err)
{
    char *path = sg_path_join(dir, "modules.json");
    sg_status st = SG_OK;

    *out = (sg_pooling){.in = dim, .out = dim};
    if (!path)
        return sg_fail_memory(err, "path");
    if (sg_file_exists(path))
        st = read_modules(out, dir, path, err);
    else
        out->use[SG_POOL_MEAN] = out->assumed = true;
    sg_free(path);
    if (st)
        sg_pooling_close(out);
    return st;
}

void sg_pooling_close(sg_pooling *p)
{
    for (int i = 0; i < p->n_dense; i++) {
        sg_free(p->dense[i].w);
        sg_free(p->dense[i].b);
    }
    *p = (sg_pooling){0};
}

sg_status sg_pooling_only(sg_pooling *p, sg_pooler pooler, sg_error *err)
{
    if (p->n_dense)
        return sg_fail(err, SG_ERR_USAGE, "pooling: the model has a dense layer behind its own");
    for (int i = 0; i < SG_N_POOLERS; i++)
        p->use[i] = i == (int)pooler;
    p->out = p->in;
    p->assumed = false;
    return SG_OK;
}

/* ---- one text ------------------------------------------------------------------------------------------------------------ */
/* Tokens from `skip` on; weights count from the first one of all. Where none is left, as sentence-transformers has it (but no -inf). */
static void pool(float *out, sg_pooler how, const float *x, size_t n, size_t skip, size_t d)
{
    for (size_t k = 0; k < d; k++) {
        const float *h = x + k;
        double sum = 0, weight = 0;

        switch (how) {
        case SG_POOL_CLS:
            out[k] = h[skip < n ? skip * d : 0];
            continue;
        case SG_POOL_LAST:
            out[k] = skip < n ? h[(n - 1) * d] : 0;
            continue;
        case SG_POOL_MAX:
            out[k] = skip < n ? h[skip * d] : 0;
            for (size_t t = skip + 1; t < n; t++)
                out[k] = h[t * d] > out[k] ? h[t * d] : out[k];
            continue;
        default:
            for (size_t t = skip; t < n; t++) {
                const double w = how == SG_POOL_WEIGHTED ? (double)(t + 1) : 1;

                sum += w * (double)h[t * d];
                weight += w;
            }
            out[k] = weight > 0 ? (float)(sum / (how == SG_POOL_MEAN_SQRT ? sqrt(weight) : weight)) : 0;
        }
    }
}

static void run_dense(float *y, const sg_dense *d, const float *x)
{
    for (int o = 0; o < d->out; o++) {
        const float z = sg_dot(d->w + (size_t)o * (size_t)d->in, x, (size_t)d->in) + (d->b ? d->b[o] : 0);

        y[o] = d->tanh ? tanhf(z) : z;
    }
}

static size_t widest(const sg_pooling *p)
{
    size_t most = (size_t)p->in * SG_N_POOLERS;

    for (int i = 0; i < p->n_dense; i++)
        most = (size_t)p->dense[i].out > most ? (size_t)p->dense[i].out : most;
    return most;
}

size_t sg_pooling_floats(const sg_pooling *p)
{
    return 2 * widest(p);
}

void sg_pooling_run(float *out, int width, const sg_pooling *p, const float *x, size_t n, size_t skip,
                    float *work)
{
    float *y = work, *other = work + widest(p);
    size_t at = 0;
    double sum = 0;

    for (int i = 0; i < SG_N_POOLERS; i++)
        if (p->use[i]) {
            pool(y + at, (sg_pooler)i, x, n, skip, (size_t)p->in);
            at += (size_t)p->in;
        }
    for (int i = 0; i < p->n_dense; i++) {
        float *from = y;

        run_dense(other, &p->dense[i], from);
        y = other;
        other = from;
    }
    for (int k = 0; k < width; k++)
        sum += (double)y[k] * (double)y[k];
    for (int k = 0; k < width; k++)
        out[k] = p->unit && sum > 0 ? (float)((double)y[k] / sqrt(sum)) : y[k];
}
