/* tokenize.c - DATA/vectors.safetensors -> DATA/ids.safetensors: prepare, quantise, make unique, examine, save. */
#include "quantize/tokenize.h"

#include "base/alloc.h"
#include "data/split.h"
#include "file/json.h"
#include "math/math.h"
#include "quantize/quantize.h"
#include "quantize/refresh.h"

#include <math.h>
#include <string.h>

#define SG_OPTION_STRUCT sg_tokenize_config
const sg_option sg_tokenize_options[] = {SG_TOKENIZE_OPTIONS(SG_OPTION_ROW)};
const size_t sg_n_tokenize_options = sizeof sg_tokenize_options / sizeof *sg_tokenize_options;

/* Shift and scale of the inputs, from the rows that teach. standardise: each number to mean 0, variance 1. Else what
 * learns a latent still gets mean 0 and variance 1 over all numbers together, so that lr means the same for every encoder. */
static sg_status prepare(sg_codes *out, float *x, const sg_quantize_data *d, bool each, sg_error *err)
{
    const size_t dim = (size_t)d->dim, n = d->fit ? d->n_fit : (size_t)d->n;
    double *sum = sg_alloc_zero(dim, 2 * sizeof *sum), *square = sum + dim, all = 0;

    out->shift = sg_alloc_array(dim, sizeof *out->shift);
    out->scale = sg_alloc_array(dim, sizeof *out->scale);
    if (!sum || !out->shift || !out->scale) {
        sg_free(sum);
        return sg_fail_memory(err, "standardised vectors");
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < dim; k++)
            sum[k] += (double)d->x[(d->fit ? d->fit[i] : i) * dim + k];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < dim; k++) {
            const double y = (double)d->x[(d->fit ? d->fit[i] : i) * dim + k] - sum[k] / (double)n;

            square[k] += y * y / (double)n;
        }
    for (size_t k = 0; k < dim; k++)
        all += square[k] / (double)dim;
    for (size_t k = 0; k < dim; k++) {
        const double variance = each ? square[k] : all;

        out->shift[k] = (float)(sum[k] / (double)n);
        out->scale[k] = variance > 1e-20 ? (float)(1 / sqrt(variance)) : 1;
    }
    for (size_t i = 0; i < (size_t)d->n; i++)
        for (size_t k = 0; k < dim; k++)
            x[i * dim + k] = (x[i * dim + k] - out->shift[k]) * out->scale[k];
    sg_free(sum);
    return SG_OK;
}

/* Items with an event among the training events of the leave-one-out split, ascending. */
static sg_status trained_items(uint32_t **fit, uint32_t *n_fit, const sg_dataset *d, sg_error *err)
{
    uint8_t *seen = sg_alloc_zero((size_t)d->n_items, 1);
    sg_split *split = NULL;
    sg_split_spec spec;
    sg_status st;

    *fit = sg_alloc_array((size_t)d->n_items, sizeof **fit);
    if (!seen || !*fit)
        st = sg_fail_memory(err, "training items");
    else if ((st = sg_split_parse(&spec, "loo", err)) == SG_OK)
        st = sg_split_new(&split, d, &spec, err);
    for (int32_t u = 0; st == SG_OK && u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < split->train_end[u]; e++)
            seen[d->item[e]] = 1;
    for (int32_t i = 0; st == SG_OK && i < d->n_items; i++)
        if (seen[i])
            (*fit)[(*n_fit)++] = (uint32_t)i;
    if (st == SG_OK && *n_fit == 0)
        st = sg_fail(err, SG_ERR_MISSING, "%s: no item has a training event", d->dir);
    sg_split_free(split);
    sg_free(seen);
    return st;
}

/* What the last level quantised: z less the codes before it, or its part of z. */
static sg_status reassign_clashes(sg_codes *c, const float *x, int dim, int32_t spare, sg_error *err)
{
    const float *z = c->latent ? c->latent : x;
    const size_t width = (size_t)c->book_dim, each = (size_t)c->book_codes * width;
    float *left = sg_alloc_array((size_t)c->n, width * sizeof *left);
    sg_status st;

    if (!left)
        return sg_fail_memory(err, "free codes");
    for (size_t i = 0; i < (size_t)c->n; i++)
        memcpy(left + i * width, z + (c->product ? ((i + 1) * (size_t)c->levels - 1) * width : i * width),
               width * sizeof *left);
    for (size_t i = 0; !c->product && i < (size_t)c->n; i++)
        for (int l = 0; l + 1 < c->levels && l < sg_codes_length(c, i); l++)
            sg_axpy(left + i * width, -1,
                    c->book + (size_t)l * each + (size_t)c->codes[i * (size_t)c->levels + (size_t)l] * width,
                    width);
    st = sg_collisions_next(c, left, c->book + (size_t)(c->levels - 1) * each, c->book_dim, spare, err);
    sg_free(left);
    return st;
}

static void print_options(sg_buf *out, const sg_tokenize_config *c)
{
    json_t *options = json_object();

    for (size_t i = 0; i < sg_n_tokenize_options; i++) {
        sg_buf value = {0};

        sg_options_print(&value, c, &sg_tokenize_options[i]);
        json_object_set_new(options, sg_tokenize_options[i].name, json_string(value.data ? value.data : ""));
        sg_buf_free(&value);
    }
    sg_json_print_compact(out, options);
    json_decref(options);
}

#define KMEANS  "iterations sample restarts kmeans_init balanced standardise text_only_train "
#define LEARNED "epochs batch lr optimizer hidden standardise text_only_train "
#define BOOKS                                                                                                \
    "codes latent iterations kmeans_init gradient simvq beta codebook ema_decay restart_dead collision "     \
    "spare "

static const struct method {
    const char *name;
    sg_quantizer *run;
    bool scaled;       /* inputs come with mean 0 and variance 1 */
    bool blind;        /* does not look at them */
    const char *reads; /* options, beside method, seed and refresh (which says itself what it needs) */
} methods[] = {
    {"rkmeans", sg_rkmeans, false, false, "levels codes last epsilon collision spare keep " KMEANS},
    {"alit", sg_alit, false, false, "codes tau cap collision spare " KMEANS},
    {"rqvae", sg_autoencode, true, false, "levels " BOOKS LEARNED},
    {"vqvae", sg_autoencode, true, false, BOOKS LEARNED},
    {"fsq", sg_autoencode, true, false, "levels grid " LEARNED},
    {"lfq", sg_autoencode, true, false, "levels codes beta entropy sharpness residual " LEARNED},
    {"pq", sg_pq, false, false, "levels codes collision spare " KMEANS},
    {"opq", sg_opq, false, false,
     "levels codes collision spare rotations iterations sample restarts kmeans_init standardise "
     "text_only_train"},
    {"hkmeans", sg_hkmeans, false, false, "branch leaf " KMEANS},
    {"atomic", sg_atomic_codes, false, true, ""},
    {"naive", sg_naive_codes, false, true, ""},
    {"random", sg_random_codes, false, true, "levels codes"},
};

static const struct method *method_of(const sg_tokenize_config *c)
{
    const struct method *m = methods;

    while (strcmp(m->name, c->method) != 0) /* the choice was checked with the options */
        m++;
    return m;
}

static bool has_word(const char *list, const char *word)
{
    const size_t n = strlen(word);

    for (; *list; list += strcspn(list, " "), list += *list == ' ')
        if (strncmp(list, word, n) == 0 && (list[n] == ' ' || !list[n]))
            return true;
    return false;
}

static const sg_option *option_of(const char *name)
{
    return sg_options_find(sg_tokenize_options, sg_n_tokenize_options, name);
}

/* "NAME=VALUE: WHO SAYS" */
static sg_status refuse(const sg_tokenize_config *c, const sg_option *row, const char *who, const char *says,
                        sg_error *err)
{
    sg_buf value = {0};
    sg_status st;

    sg_options_print(&value, c, row);
    st = value.failed ? sg_fail_memory(err, "options")
                      : sg_fail(err, SG_ERR_USAGE, "%s=%.*s: %s %s", row->name, (int)value.size,
                                value.data ? value.data : "", who, says);
    sg_buf_free(&value);
    return st;
}

/* Options that others make idle. */
static sg_status check_beside(const sg_tokenize_config *c, bool learns, sg_error *err)
{
    const struct {
        const char *option, *needs;
        bool idle;
    } of[] = {
        {"epsilon", "last=sinkhorn", strcmp(c->last, "nearest") == 0},
        {"keep", "refresh=DATA", !c->refresh[0]},
        {"restarts", "no refresh, whose centres are the start", c->refresh[0]},
        {"kmeans_init", "no refresh, whose centres are the start", c->refresh[0]},
        {"sample", "balanced=false, all vectors are looked at", c->balanced},
        {"codebook", "simvq=false, whose points are fixed", c->simvq},
        {"ema_decay", "simvq=false, whose points are fixed", c->simvq},
        {"restart_dead", "simvq=false, whose points are fixed", c->simvq},
        {"ema_decay", "codebook=ema", strcmp(c->codebook, "ema") != 0},
        {"iterations", "kmeans_init=true, whose iterations they are", learns && !c->kmeans_init},
    };

    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (of[i].idle && !sg_option_is_initial(c, option_of(of[i].option)))
            return refuse(c, option_of(of[i].option), "expected beside it", of[i].needs, err);
    return SG_OK;
}

/* What is not at its default has to be read by the method. */
static sg_status check_options(const sg_tokenize_config *c, sg_error *err)
{
    const struct method *m = method_of(c);

    for (const sg_option *row = sg_tokenize_options; row < sg_tokenize_options + sg_n_tokenize_options;
         row++) {
        if (has_word("method seed refresh", row->name) || has_word(m->reads, row->name) ||
            sg_option_is_initial(c, row))
            continue;
        return strcmp(row->name, "collision") == 0
                   ? refuse(c, row, m->name, "has no codebook whose nearest free code could be taken", err)
                   : refuse(c, row, m->name, "has no use for this option", err);
    }
    return check_beside(c, m->scaled, err);
}

/* Quantises and makes unique; *report: the doctor's view of the codes as the method gave them. */
static sg_status make_codes(sg_codes *out, json_t **report, float *x, const sg_quantize_data *d,
                            const sg_tokenize_config *c, sg_pool *pool, const sg_progress *progress,
                            sg_error *err)
{
    const struct method *m = method_of(c);
    sg_codes plain;
    sg_status st = SG_OK;

    if (!m->blind && (m->scaled || c->standardise) && (st = prepare(out, x, d, c->standardise, err)))
        return st;
    if ((st = m->run(out, d, c, pool, progress, err)))
        return st;
    plain = *out; /* borrowed view: the doctor looks at the codes before anything made them unique */
    if ((st = sg_doctor(report, &plain, c->method, d->x, d->dim, err)))
        return st;
    return strcmp(c->collision, "next") == 0 ? reassign_clashes(out, d->x, d->dim, c->spare, err)
                                             : sg_collisions_append(out, c->spare, err);
}

/* The codes of before where they still fit. */
static sg_status renew_codes(sg_codes *out, json_t **report, const sg_dataset *set, const sg_quantize_data *d,
                             const sg_tokenize_config *c, sg_pool *pool, const sg_progress *progress,
                             sg_error *err)
{
    int32_t *digit = sg_alloc_array((size_t)d->n, sizeof *digit);
    json_t *renewed = NULL;
    sg_former f = {0};
    sg_codes plain;
    sg_status st;

    if (!digit) {
        st = sg_fail_memory(err, "collision digits");
        goto done;
    }
    if ((st = sg_former_open(&f, c->refresh, set, c, d->dim, err)) ||
        (st = sg_refresh(out, &f, d, c, pool, progress, err)))
        goto done;
    plain = *out;
    if ((st = sg_doctor(report, &plain, c->method, d->x, d->dim, err)))
        goto done;
    for (size_t i = 0; i < (size_t)d->n; i++)
        digit[i] = sg_former_digit(&f, out, i);
    if (!(st = f.digit ? sg_collisions_keep(out, digit, f.ids.size[c->levels], c->spare, err)
                       : sg_collisions_append(out, c->spare, err)) &&
        (!(renewed = sg_former_report(&f, out, c->refresh)) ||
         json_object_set_new(*report, "refresh", renewed)))
        st = sg_fail_memory(err, "report");
done:
    sg_free(digit);
    sg_former_close(&f);
    return st;
}

static void complete_report(json_t *report, const sg_codes *c, const sg_tokenize_config *config)
{
    json_t *collisions = json_object_get(report, "collisions");

    json_object_set_new(collisions, "policy", json_string(config->collision));
    json_object_set_new(collisions, "digit_codes", json_integer(c->digit ? c->size[c->levels - 1] : 0));
    json_object_set_new(report, "method", json_string(config->method));
}

sg_status sg_tokenize(const sg_dataset *d, const sg_tokenize_config *c, sg_pool *pool,
                      const sg_progress *progress, json_t **report, sg_error *err)
{
    const double start = sg_now();
    sg_vectors v = {0};
    sg_codes codes = {0};
    sg_quantize_data data;
    uint32_t *fit = NULL, n_fit = 0;
    float *x = NULL;
    sg_buf options = {0};
    sg_status st;

    *report = NULL;
    v.n = d->n_items;
    if ((st = check_options(c, err)) || (!method_of(c)->blind && (st = sg_vectors_open(&v, d, err))) ||
        (st = sg_codes_init(&codes, d->n_items, strcmp(c->method, "alit") == 0 ? c->cap : c->levels, c->codes,
                            err)) ||
        (c->text_only_train && (st = trained_items(&fit, &n_fit, d, err))))
        goto done;
    if (v.data && !(x = sg_alloc_array((size_t)v.n, (size_t)v.dim * sizeof *x))) {
        st = sg_fail_memory(err, "item vectors");
        goto done;
    }
    if (x)
        memcpy(x, v.data, (size_t)v.n * (size_t)v.dim * sizeof *x);
    data = (sg_quantize_data){x, v.n, v.dim, fit, n_fit};
    if ((st = c->refresh[0] ? renew_codes(&codes, report, d, &data, c, pool, progress, err)
                            : make_codes(&codes, report, x, &data, c, pool, progress, err)))
        goto done;
    complete_report(*report, &codes, c);
    print_options(&options, c);
    st = options.failed ? sg_fail_memory(err, "options")
                        : sg_codes_save(d, &codes, v.dim, c->method, options.data, *report, err);
    if (!st) /* not into the file: the same vectors, options and seed give the same bytes */
        json_object_set_new(*report, "seconds", json_real(sg_now() - start));
done:
    if (st) {
        json_decref(*report);
        *report = NULL;
    }
    sg_buf_free(&options);
    sg_free(fit);
    sg_free(x);
    sg_codes_fini(&codes);
    sg_vectors_close(&v);
    return st;
}
