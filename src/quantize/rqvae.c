/* rqvae.c - residual quantisation of a learned latent; with one level that is VQ-VAE, with a grid (grid.c) in place of the
 * codebooks FSQ and LFQ.       [Lee et al. 2022, arXiv:2203.01941; Rajput et al. 2023; van den Oord et al. 2017]
 *
 *   z = encoder(x);  r_0 = z;  c_l = argmin_k |r_{l-1} - e^l_k|^2;  r_l = r_{l-1} - sg(e^l_{c_l});  x' = decoder(sum_l e^l_{c_l})
 *   L = |x - x'|^2 + sum_l ( |sg r_{l-1} - e^l_{c_l}|^2 + beta |r_{l-1} - sg e^l_{c_l}|^2 ), mean over the items of a batch
 *
 * Each r_l is z less codes held fixed, so the third term is the commitment of Lee et al., eq. 6, too: |z - sg sum_{j<=l} e^j|^2; they take
 * its mean over levels, which is beta / levels.
 *
 * Encoder and decoder are ReLU MLPs, D -> hidden -> latent and back; the gradient of x' goes straight through the sum of
 * codes to z, or turned with it (straight.c). With simvq the codes are e = C W^T, C fixed points, W learned: a step
 * moves all codes, used or not. [Zhu et al. 2024] With codebook=ema the second term is replaced by running means:
 *   N_k = g N_k + (1 - g) n_k;  m_k = g m_k + (1 - g) sum of r;  e_k = m_k / N_k
 * Codes nobody used during an epoch are put on what different items of its last batch brought to their level, or of the
 * batch before where the last one has fewer items than there are codes. The rate falls along a cosine to a twentieth, so
 * that codes come to rest. */
#include "quantize/quantize.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "math/gemm.h"
#include "math/math.h"
#include "nn/optim.h"
#include "quantize/grid.h"
#include "quantize/kmeans.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTHS_MAX = 8, INFER_ROWS = 1024 };

typedef struct net {
    int widths[WIDTHS_MAX + 2]; /* dim, hidden ..., latent */
    int n;                      /* layers of the encoder */
    sg_param *enc_w[WIDTHS_MAX + 1], *enc_b[WIDTHS_MAX + 1];
    sg_param *dec_w[WIDTHS_MAX + 1], *dec_b[WIDTHS_MAX + 1];
    sg_param *book[SG_LEVELS_MAX]; /* (codes, latent) */
    sg_param *map[SG_LEVELS_MAX];  /* simvq: (latent, latent), else NULL */
} net;

typedef struct trainer {
    const sg_quantize_data *data;
    const sg_tokenize_config *config;
    sg_pool *pool;
    const sg_progress *progress;
    sg_params *params;
    sg_grid grid; /* without numbers: codebooks */
    int levels, latent;
    net net;
    sg_graph *graph;
    sg_optim *optim;
    uint32_t n;      /* items that teach */
    uint32_t *order; /* (n) of this epoch */
    float *batch;    /* (batch, dim) */
    int32_t *code;   /* (levels, batch) */
    float *residual; /* (levels, batch, latent): what each level was given; of the last batch */
    float *
        fuller; /* the same of the batch before it, when the last one of an epoch has too few items to restart codes from */
    int in_batch;      /* items of the last batch */
    int in_fuller;     /* 0: the last batch will do */
    uint8_t *taken;    /* (batch) items a code of this level was put on */
    int64_t *used;     /* (levels, codes): of this epoch */
    float *weight;     /* (levels, codes): N of ema */
    float *mean;       /* (levels, codes, latent): m of ema */
    float *sum;        /* (codes, latent) */
    double loss, lost; /* of this epoch: L and |x - x'|^2, mean over items */
} trainer;

/* ---- the network ---------------------------------------------------------------------------------------------- */

static sg_status parse_widths(net *m, int dim, int latent, const sg_tokenize_config *c, sg_error *err)
{
    const char *at = c->hidden;

    m->widths[m->n] = dim;
    while (*at) {
        char *end;
        const long width = strtol(at, &end, 10);

        if (end == at || width < 1 || width > 65536 || (*end && *end != ',') || (*end == ',' && !end[1]) ||
            m->n == WIDTHS_MAX)
            return sg_fail(err, SG_ERR_USAGE,
                           "hidden: expected at most %d widths like 512,256,128, found '%s'", WIDTHS_MAX,
                           c->hidden);
        m->widths[++m->n] = (int)width;
        at = *end ? end + 1 : end;
    }
    m->widths[++m->n] = latent;
    return SG_OK;
}

static void declare(trainer *t)
{
    const sg_tokenize_config *c = t->config;
    const uint64_t seed = (uint64_t)c->seed;
    const int *w = t->net.widths;

    for (int i = 0; i < t->net.n; i++) {
        const int j = t->net.n - 1 - i; /* decoder.i mirrors encoder.j */

        t->net.enc_w[i] = sg_param_add(t->params, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, w[i + 1], w[i],
                                       "encoder.%d.weight", i);
        t->net.enc_b[i] =
            sg_param_add(t->params, seed, SG_INIT_ZERO, 0, 0, w[i + 1], 0, "encoder.%d.bias", i);
        t->net.dec_w[i] = sg_param_add(t->params, seed, SG_INIT_XAVIER_UNIFORM, 1, 0, w[j], w[j + 1],
                                       "decoder.%d.weight", i);
        t->net.dec_b[i] = sg_param_add(t->params, seed, SG_INIT_ZERO, 0, 0, w[j], 0, "decoder.%d.bias", i);
    }
    for (int l = 0; !t->grid.numbers && l < t->levels; l++) {
        const bool fixed = c->simvq || strcmp(c->codebook, "ema") == 0;

        t->net.book[l] = sg_param_add(t->params, seed, SG_INIT_NORMAL, 1 / (float)c->codes,
                                      fixed ? SG_PARAM_FROZEN : 0, c->codes, c->latent, "codebook.%d", l);
        if (!c->simvq)
            continue;
        t->net.map[l] =
            sg_param_add(t->params, seed, SG_INIT_ZERO, 0, 0, c->latent, c->latent, "codebook.%d.map", l);
        for (int i = 0; t->net.map[l] && i < c->latent; i++) /* from the identity on */
            t->net.map[l]->value[i * c->latent + i] = 1;
    }
}

static sg_tensor *encoder(sg_graph *g, const net *m, sg_tensor *x)
{
    for (int i = 0; i < m->n; i++) {
        x = sg_linear(g, x, m->enc_w[i], m->enc_b[i]);
        if (i + 1 < m->n)
            x = sg_activate(g, x, SG_RELU);
    }
    return x;
}

static sg_tensor *decoder(sg_graph *g, const net *m, sg_tensor *z)
{
    for (int i = 0; i < m->n; i++) {
        z = sg_linear(g, z, m->dec_w[i], m->dec_b[i]);
        if (i + 1 < m->n)
            z = sg_activate(g, z, SG_RELU);
    }
    return z;
}

/* out (n, last width) = encoder or decoder of x, in tiles, without a tape, in f32 */
static sg_status infer(trainer *t, float *out, const float *x, size_t n, bool decode, sg_error *err)
{
    const int from = decode ? t->latent : t->data->dim, to = decode ? t->data->dim : t->latent;
    sg_graph *g;
    sg_status st = sg_graph_new(&g, t->pool, SG_F32, err);

    for (size_t i = 0; st == SG_OK && i < n; i += INFER_ROWS) {
        const int rows = n - i < INFER_ROWS ? (int)(n - i) : INFER_ROWS;

        sg_graph_begin(g, SG_INFER, 0, 0);
        sg_tensor *in = sg_input(g, x + i * (size_t)from, 2, (int[]){rows, from});
        const sg_tensor *y = decode ? decoder(g, &t->net, in) : encoder(g, &t->net, in);
        if ((st = sg_graph_status(g, err)) == SG_OK)
            memcpy(out + i * (size_t)to, y->data, (size_t)rows * (size_t)to * sizeof *out);
    }
    sg_graph_free(g);
    return st;
}

static const float *row_of(const trainer *t, uint32_t i)
{
    return t->data->x + (size_t)(t->data->fit ? t->data->fit[i] : i) * (size_t)t->data->dim;
}

/* ---- codebooks ------------------------------------------------------------------------------------------------ */

/* k-means, level by level, of the latents that the untrained encoder gives; of 64 vectors a code at most. */
static sg_status init_books(trainer *t, sg_error *err)
{
    const sg_tokenize_config *c = t->config;
    const size_t dim = (size_t)t->data->dim, latent = (size_t)c->latent,
                 most = (size_t)c->codes * 64 + (size_t)c->batch;
    const size_t n = t->n < most ? t->n : most;
    float *x = sg_alloc_array(n, dim * sizeof *x), *z = sg_alloc_array(n, latent * sizeof *z);
    int32_t *code = sg_alloc_array(n, sizeof *code);
    sg_status st = x && z && code ? SG_OK : sg_fail_memory(err, "codebooks");

    for (size_t i = 0; st == SG_OK && i < n; i++)
        memcpy(x + i * dim, row_of(t, t->order[i]), dim * sizeof *x);
    if (st == SG_OK)
        st = infer(t, z, x, n, false, err);
    for (int l = 0; st == SG_OK && l < t->levels; l++) {
        const sg_kmeans_spec spec = {.codes = c->codes,
                                     .iterations = c->iterations,
                                     .restarts = 1,
                                     .seed = (uint64_t)c->seed * 1000 + (uint64_t)l};
        float *centre = t->net.book[l]->value;
        sg_kmeans_stats stats;

        if ((st = sg_kmeans(centre, code, &stats, z, n, c->latent, &spec, t->pool, NULL, err)))
            break;
        t->net.book[l]->version++;
        for (size_t i = 0; i < n; i++)
            sg_axpy(z + i * latent, -1, centre + (size_t)code[i] * latent, latent);
    }
    sg_free(x);
    sg_free(z);
    sg_free(code);
    return st;
}

static void start_means(trainer *t, int l, size_t k)
{
    const size_t at = (size_t)l * (size_t)t->config->codes + k, latent = (size_t)t->config->latent;

    t->weight[at] = 1;
    memcpy(t->mean + at * latent, t->net.book[l]->value + k * latent, latent * sizeof *t->mean);
}

/* One running-mean step of level l from the last batch, items in order. */
static void move_means(trainer *t, int l)
{
    const sg_tokenize_config *c = t->config;
    const size_t codes = (size_t)c->codes, latent = (size_t)c->latent, rows = (size_t)c->batch;
    const float keep = (float)c->ema_decay, take = (float)(1 - c->ema_decay);
    const int32_t *code = t->code + (size_t)l * rows;
    const float *r = t->residual + (size_t)l * rows * latent;
    float *weight = t->weight + (size_t)l * codes, *mean = t->mean + (size_t)l * codes * latent;

    for (size_t k = 0; k < codes; k++)
        weight[k] *= keep;
    memset(t->sum, 0, codes * latent * sizeof *t->sum);
    for (int i = 0; i < t->in_batch; i++) {
        weight[code[i]] += take;
        sg_axpy(t->sum + (size_t)code[i] * latent, 1, r + (size_t)i * latent, latent);
    }
    for (size_t k = 0; k < codes; k++) {
        float *m = mean + k * latent, *e = t->net.book[l]->value + k * latent;

        for (size_t d = 0; d < latent; d++)
            m[d] = keep * m[d] + take * t->sum[k * latent + d];
        if (weight[k] > 1e-5f) /* a code that nobody used for long rests where it is */
            for (size_t d = 0; d < latent; d++)
                e[d] = m[d] / weight[k];
    }
    t->net.book[l]->version++;
}

/* Codes without an item in this epoch go to what random items, each to another one, brought to their level. Those that are more than
 * the items wait for the next epoch. */
static void restart_dead(trainer *t, int epoch)
{
    const size_t codes = (size_t)t->config->codes, latent = (size_t)t->config->latent,
                 rows = (size_t)t->config->batch;
    const float *from = t->in_fuller ? t->fuller : t->residual;
    const size_t n = (size_t)(t->in_fuller ? t->in_fuller : t->in_batch);

    for (int l = 0; l < t->levels; l++) {
        const uint64_t where = (uint64_t)epoch * SG_LEVELS_MAX + (uint64_t)l;
        size_t free = n;

        memset(t->taken, 0, n);
        for (size_t k = 0; k < codes && free; k++) {
            if (t->used[(size_t)l * codes + k])
                continue;
            size_t i = sg_rng_below(n, (uint64_t)t->config->seed, SG_RNG_KMEANS, where, k);

            while (t->taken[i])
                i = (i + 1) % n;
            t->taken[i] = 1;
            free--;
            memcpy(t->net.book[l]->value + k * latent, from + ((size_t)l * rows + i) * latent,
                   latent * sizeof(float));
            t->net.book[l]->version++;
            start_means(t, l, k);
        }
    }
}

/* Before the step that overwrites what the last batch brought. */
static void keep_fuller(trainer *t, int items)
{
    float *last = t->residual;

    t->in_fuller = 0;
    if (t->grid.numbers || items >= t->config->codes || items >= t->in_batch)
        return;
    t->residual = t->fuller;
    t->fuller = last;
    t->in_fuller = t->in_batch;
}

/* ---- a step --------------------------------------------------------------------------------------------------- */

static bool moves_by_means(const trainer *t)
{
    return !t->grid.numbers && !t->config->simvq && t->net.book[0]->frozen;
}

/* z -> sum of codes, with the loss terms of the codebooks in *loss; notes codes and what each level was given. */
static sg_tensor *quantise(trainer *t, sg_tensor *z, sg_tensor **loss, sg_error *err)
{
    const sg_tokenize_config *c = t->config;
    const size_t rows = (size_t)c->batch, latent = (size_t)t->latent;
    sg_graph *g = t->graph;
    sg_tensor *r = z, *sum = NULL;

    for (int l = 0; l < t->levels && r; l++) {
        int32_t *code = t->code + (size_t)l * rows;
        sg_tensor *book = NULL, *e, *near;

        if (c->simvq && !(book = sg_linear(g, sg_leaf(g, t->net.book[l]), t->net.map[l], NULL)))
            return NULL;
        memcpy(t->residual + (size_t)l * rows * latent, r->data,
               (size_t)t->in_batch * latent * sizeof(float));
        if (sg_assign(code, NULL, r->data, (size_t)t->in_batch, t->latent,
                      book ? book->data : t->net.book[l]->value, c->codes, t->pool, err))
            return sg_graph_fail(g, err ? err->status : SG_ERR_MEMORY, "%s",
                                 err ? err->message : "out of memory: codes");
        for (int i = 0; i < t->in_batch; i++)
            t->used[(size_t)l * (size_t)c->codes + (size_t)code[i]]++;
        e = book ? sg_rows(g, book, code, t->in_batch) : sg_embed(g, t->net.book[l], code, t->in_batch);
        near = sg_scale(g, sg_sum_sq_rows(g, r, sg_stop(g, e)), (float)c->beta);
        if (!moves_by_means(t))
            near = sg_plus(g, near, sg_sum_sq_rows(g, sg_stop(g, r), e));
        *loss = *loss ? sg_plus(g, *loss, near) : near;
        r = sg_minus(g, r, sg_stop(g, e));
        sum = sum ? sg_plus(g, sum, sg_stop(g, e)) : sg_stop(g, e);
    }
    if (!sum)
        return NULL;
    return strcmp(c->gradient, "rotation") == 0 ? sg_rotate_through(g, sum, z)
                                                : sg_straight_through(g, sum, z);
}

/* The same on a grid. */
static sg_tensor *quantise_on_grid(trainer *t, sg_tensor *z, sg_tensor **loss)
{
    const size_t rows = (size_t)t->in_batch, codes = (size_t)t->grid.codes;

    if (!z)
        return NULL;
    memcpy(t->residual, z->data, z->count * sizeof(float));
    sg_grid_codes(t->code, t->residual, rows, t->levels, &t->grid);
    for (size_t i = 0; i < rows * (size_t)t->levels; i++)
        t->used[i % (size_t)t->levels * codes + (size_t)t->code[i]]++;
    return sg_grid_quantise(t->graph, &t->grid, z, t->data->dim, t->config, loss);
}

static sg_status step(trainer *t, uint32_t first, uint64_t number, sg_error *err)
{
    const sg_tokenize_config *c = t->config;
    const size_t dim = (size_t)t->data->dim;
    sg_graph *g = t->graph;
    sg_tensor *x, *lost, *loss = NULL;
    sg_status st;

    const int items = t->n - first < (uint32_t)c->batch ? (int)(t->n - first) : c->batch;

    keep_fuller(t, items);
    t->in_batch = items;
    for (int i = 0; i < t->in_batch; i++)
        memcpy(t->batch + (size_t)i * dim, row_of(t, t->order[first + (uint32_t)i]), dim * sizeof *t->batch);
    sg_graph_begin(g, SG_TRAIN, (uint64_t)c->seed, number);
    x = sg_input(g, t->batch, 2, (int[]){t->in_batch, t->data->dim});
    sg_tensor *z = encoder(g, &t->net, x);
    sg_tensor *codes = t->grid.numbers ? quantise_on_grid(t, z, &loss) : quantise(t, z, &loss, err);
    lost = sg_sum_sq_rows(g, decoder(g, &t->net, codes), x);
    loss = loss ? sg_plus(g, lost, loss) : lost;
    if ((st = sg_backward(g, loss, err)) || (st = sg_optim_step(t->optim, t->pool, NULL, err)))
        return st;
    t->loss += (double)loss->data[0] * t->in_batch / t->n;
    t->lost += (double)lost->data[0] * t->in_batch / t->n;
    for (int l = 0; moves_by_means(t) && l < t->levels; l++)
        move_means(t, l);
    return SG_OK;
}

/* ---- progress ------------------------------------------------------------------------------------------------- */

/* "254/256/250 of 256 codes used, perplexity 201/190/180" */
static void describe_usage(const trainer *t, char text[320])
{
    const size_t codes = (size_t)(t->grid.numbers ? t->grid.codes : t->config->codes);
    char used[128] = "", worth[128] = "";

    for (int l = 0; l < t->levels; l++) {
        const size_t a = strlen(used), b = strlen(worth);
        double entropy = 0;
        int count = 0;

        for (size_t k = 0; k < codes; k++) {
            const double p = (double)t->used[(size_t)l * codes + k] / t->n;

            count += p > 0;
            entropy -= p > 0 ? p * log(p) : 0;
        }
        snprintf(used + a, sizeof used - a, "%s%d", l ? "/" : "", count);
        snprintf(worth + b, sizeof worth - b, "%s%.0f", l ? "/" : "", exp(entropy));
    }
    snprintf(text, 320, "%s of %zu codes used, perplexity %s", used, codes, worth);
}

static sg_status report_epoch(const trainer *t, int epoch, double variance, sg_error *err)
{
    const int every = t->config->epochs > 20 ? t->config->epochs / 20 : 1;
    char usage[320];
    sg_status st = sg_progress_tick(t->progress,
                                    &(sg_progress_event){.stage = "tokenize",
                                                         .unit = "epochs",
                                                         .done = epoch + 1,
                                                         .total = t->config->epochs,
                                                         .loss = t->loss},
                                    err);

    if (st || ((epoch + 1) % every && epoch > 0 && epoch + 1 < t->config->epochs))
        return st;
    describe_usage(t, usage);
    return sg_progress_say(t->progress, err, "tokenize",
                           "epoch %d: loss %.4g, reconstruction error %.1f %%, %s", epoch + 1, t->loss,
                           variance > 0 ? 100 * t->lost / variance : 0.0, usage);
}

/* ---- the whole ------------------------------------------------------------------------------------------------ */

static sg_status train(trainer *t, double variance, sg_error *err)
{
    const sg_tokenize_config *c = t->config;
    const bool books = !t->grid.numbers;
    const size_t codes = (size_t)(books ? c->codes : t->grid.codes);
    uint64_t number = 0;
    sg_status st;

    sg_rng_permutation(t->order, t->n, (uint64_t)c->seed, SG_RNG_SHUFFLE, 0);
    if (books && c->kmeans_init && (st = init_books(t, err)))
        return st;
    for (int l = 0; books && l < t->levels; l++)
        for (size_t k = 0; k < codes; k++)
            start_means(t, l, k);
    for (int epoch = 0; epoch < c->epochs; epoch++) {
        memset(t->used, 0, (size_t)t->levels * codes * sizeof *t->used);
        t->loss = t->lost = 0;
        sg_rng_permutation(t->order, t->n, (uint64_t)c->seed, SG_RNG_SHUFFLE, (uint64_t)epoch + 1);
        for (uint32_t i = 0; i < t->n; i += (uint32_t)c->batch)
            if ((st = step(t, i, number++, err))) {
                char where[320];

                snprintf(where, sizeof where, "%s, epoch %d (a smaller lr may help)", c->method, epoch + 1);
                return st == SG_ERR_NUMERIC ? sg_error_prefix(err, where) : st;
            }
        if ((st = report_epoch(t, epoch, variance, err)))
            return st;
        if (books && !c->simvq && c->restart_dead && epoch + 1 < c->epochs)
            restart_dead(t, epoch);
    }
    return SG_OK;
}

/* Codebooks as they are searched, and codes of the latents; left becomes what no code took. */
static sg_status encode_by_books(trainer *t, sg_codes *out, float *left, sg_error *err)
{
    const sg_tokenize_config *c = t->config;
    const size_t n = (size_t)t->data->n, latent = (size_t)t->latent, each = (size_t)c->codes * latent;
    const double before = sg_variance(out->latent, n, latent, t->pool) / (double)n;
    sg_status st;

    if (!(out->book = sg_alloc_array((size_t)t->levels, each * sizeof *out->book)))
        return sg_fail_memory(err, "codebooks");
    out->book_levels = t->levels;
    out->book_codes = c->codes;
    out->book_dim = t->latent;
    for (int l = 0; l < t->levels; l++) {
        float *book = out->book + (size_t)l * each;

        if (c->simvq)
            sg_gemm(NULL, SG_F32, false, true, c->codes, t->latent, t->latent, 1, t->net.book[l]->value,
                    t->latent, t->net.map[l]->value, t->latent, 0, book, t->latent);
        else
            memcpy(book, t->net.book[l]->value, each * sizeof *book);
    }
    if ((st = sg_residual_codes(out->codes, out->error, left, n, t->latent, out->book, t->levels, c->codes,
                                t->pool, err)))
        return st;
    for (int l = 0; l < t->levels; l++)
        out->error[l] = before > 0 ? out->error[l] / before : 0;
    return SG_OK;
}

/* Latents of all items, their codes, and how well the decoder gets the inputs back. */
static sg_status encode_all(trainer *t, sg_codes *out, sg_error *err)
{
    const size_t n = (size_t)t->data->n, latent = (size_t)t->latent, dim = (size_t)t->data->dim;
    float *left = sg_alloc_array(n, latent * sizeof *left), *back = sg_alloc_array(n, dim * sizeof *back);
    double before, lost = 0;
    sg_status st;

    out->latent = sg_alloc_array(n, latent * sizeof *out->latent);
    if (!left || !back || !out->latent) {
        st = sg_fail_memory(err, t->config->method);
        goto done;
    }
    if ((st = infer(t, out->latent, t->data->x, n, false, err)))
        goto done;
    memcpy(left, out->latent, n * latent * sizeof *left);
    if (t->grid.numbers)
        sg_grid_codes(out->codes, left, n, t->levels, &t->grid);
    else if ((st = encode_by_books(t, out, left, err)))
        goto done;
    for (size_t i = 0; !t->grid.numbers && i < n * latent; i++)
        left[i] = out->latent[i] - left[i]; /* the sum of the codes */
    if ((st = infer(t, back, left, n, true, err)))
        goto done;
    for (size_t i = 0; i < n; i++)
        lost += (double)sg_dist2(back + i * dim, t->data->x + i * dim, dim);
    before = sg_variance(t->data->x, n, dim, t->pool);
    out->reconstruction = before > 0 ? lost / before : 0;
done:
    sg_free(left);
    sg_free(back);
    return st;
}

static sg_status trainer_init(trainer *t, sg_error *err)
{
    const sg_tokenize_config *c = t->config;
    const size_t rows = (size_t)c->batch, levels = (size_t)t->levels, latent = (size_t)t->latent;
    const size_t codes = (size_t)(t->grid.numbers ? t->grid.codes : c->codes),
                 books = t->grid.numbers ? 0 : codes;
    const uint32_t steps = (t->n + (uint32_t)c->batch - 1) / (uint32_t)c->batch;
    const sg_optim_spec spec = {.kind =
                                    strcmp(c->optimizer, "adagrad") == 0 ? SG_OPTIM_ADAGRAD : SG_OPTIM_ADAMW,
                                .lr = c->lr,
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .eps = 1e-8,
                                .accumulator = 0.1,
                                .schedule = SG_SCHEDULE_COSINE,
                                .total = (int64_t)steps * c->epochs,
                                .lr_floor = 0.05};
    sg_status st;

    if ((st = parse_widths(&t->net, t->data->dim, t->latent, c, err)))
        return st;
    declare(t);
    t->order = sg_alloc_array(t->n, sizeof *t->order);
    t->batch = sg_alloc_array(rows, (size_t)t->data->dim * sizeof *t->batch);
    t->code = sg_alloc_array(levels * rows, sizeof *t->code);
    t->residual = sg_alloc_array(levels * rows, latent * sizeof *t->residual);
    t->fuller = sg_alloc_array(levels * rows, latent * sizeof *t->fuller);
    t->taken = sg_alloc_array(rows, sizeof *t->taken);
    t->used = sg_alloc_zero(levels * codes, sizeof *t->used);
    t->weight = sg_alloc_array(levels * books, sizeof *t->weight);
    t->mean = sg_alloc_array(levels * books, latent * sizeof *t->mean);
    t->sum = sg_alloc_array(books, latent * sizeof *t->sum);
    if (!t->order || !t->batch || !t->code || !t->residual || !t->fuller || !t->taken || !t->used ||
        !t->weight || !t->mean || !t->sum)
        return sg_fail_memory(err, c->method);
    if ((st = sg_optim_new(&t->optim, t->params, &spec, err)))
        return st;
    return sg_graph_new(&t->graph, t->pool, sg_precision_best(), err);
}

sg_status sg_autoencode(sg_codes *out, const sg_quantize_data *d, const sg_tokenize_config *c, sg_pool *pool,
                        const sg_progress *progress, sg_error *err)
{
    trainer t = {.data = d,
                 .config = c,
                 .pool = pool,
                 .progress = progress,
                 .params = &out->network,
                 .n = d->fit ? d->n_fit : (uint32_t)d->n,
                 .levels = strcmp(c->method, "vqvae") == 0 ? 1 : c->levels,
                 .latent = c->latent};
    sg_status st = SG_OK;

    if (strcmp(c->method, "fsq") == 0 || strcmp(c->method, "lfq") == 0) {
        st = sg_grid_init(&t.grid, c, err);
        t.latent = sg_grid_width(&t.grid, t.levels);
    }
    out->levels = t.levels;
    for (int l = 0; t.grid.numbers && l < t.levels; l++)
        out->size[l] = t.grid.codes;
    if (st || (st = trainer_init(&t, err)) ||
        (st = train(&t, sg_variance(d->x, (size_t)d->n, (size_t)d->dim, pool) / d->n, err)))
        goto done;
    st = encode_all(&t, out, err);
done:
    sg_graph_free(t.graph);
    sg_optim_free(t.optim);
    sg_free(t.order);
    sg_free(t.batch);
    sg_free(t.code);
    sg_free(t.residual);
    sg_free(t.fuller);
    sg_free(t.taken);
    sg_free(t.used);
    sg_free(t.weight);
    sg_free(t.mean);
    sg_free(t.sum);
    return st;
}
