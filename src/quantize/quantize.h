/* quantize.h - what the files of this folder share: codes on their way from vectors to DATA/ids.safetensors. */
#ifndef SG_QUANTIZE_QUANTIZE_H
#define SG_QUANTIZE_QUANTIZE_H

#include "nn/param.h"
#include "quantize/tokenize.h"

enum { SG_PARTS_MAX = 64 }; /* levels of codes in memory; those of semantic IDs are SG_LEVELS_MAX at most */

/* Codes of all items, with what made them. */
typedef struct sg_codes {
    int32_t n;
    int levels; /* with the collision digit, once there is one */
    int32_t size[SG_PARTS_MAX];
    int32_t *codes; /* owned: (n, levels) */
    bool digit;     /* the last level is a collision digit */
    bool ends;      /* the last code of a level, but of the first, ends an ID (catalogue.h) */
    int book_levels, book_codes, book_dim;
    float *book;     /* owned: codebooks (book_levels, book_codes, book_dim), or NULL */
    bool product;    /* the codebooks are those of parts of the latent, side by side; else of residuals */
    float *rotation; /* owned: (dim, dim) latent = x rotation, or NULL */
    float *shift, *scale; /* owned: (dim of the vectors) inputs are (x - shift) * scale, or NULL */
    float
        *latent; /* owned: (n, book_dim or, product, dim) what the codebooks approximate; NULL: the inputs */
    double error
        [SG_PARTS_MAX]; /* share of the variance (of the latents, rqvae) left after each level; NaN: unknown */
    double reconstruction; /* share of the inputs' variance that the codes lose; NaN: unknown */
    sg_params network;     /* encoder and decoder, of methods that learn a latent */
} sg_codes;

sg_status sg_codes_init(sg_codes *c, int32_t n, int levels, int32_t codes,
                        sg_error *err); /* error NaN, no codebooks */
void sg_codes_fini(sg_codes *c);

/* What every quantizer gets: x (n, dim) after shift and scale; fit (n_fit) rows to learn from, ascending, NULL: all. */
typedef struct sg_quantize_data {
    const float *x;
    int32_t n;
    int dim;
    const uint32_t *fit;
    uint32_t n_fit;
} sg_quantize_data;

/* Fills out->codes and what it knows beside them; may change levels and sizes. */
typedef sg_status sg_quantizer(sg_codes *out, const sg_quantize_data *d, const sg_tokenize_config *c,
                               sg_pool *pool, const sg_progress *progress, sg_error *err);
sg_quantizer sg_rkmeans, sg_alit, sg_pq, sg_opq, sg_hkmeans, sg_random_codes, sg_atomic_codes, sg_naive_codes;
sg_quantizer sg_autoencode; /* rqvae, vqvae, fsq, lfq */

/* Even codes, each n / codes items or one more: the most probable centres after Sinkhorn's rounds that allow it. *worst: how far a column
 * sum of the plan is from even, as a share. */
sg_status sg_sinkhorn(int32_t *code, double *worst, const float *x, size_t n, int dim, const float *centre,
                      int codes, double epsilon, sg_error *err);
int sg_codes_length(const sg_codes *c, size_t item); /* codes before the end, or before the digit */
double sg_energy(const float *x, size_t n, size_t dim, sg_pool *pool); /* sum of squares */
double sg_variance(const float *x, size_t n, size_t dim,
                   sg_pool *pool); /* sum of squares about the mean of the rows */
/* Greedy codes of latents z (n, dim): level by level the nearest centre of what is left; z becomes what is left at the end.
 * error (levels) or NULL: mean of |left|^2 after each level. */
sg_status sg_residual_codes(int32_t *codes, double *error, float *z, size_t n, int dim, const float *book,
                            int levels, int book_codes, sg_pool *pool, sg_error *err);

/* The same of a product quantiser, part by part: codes (n, levels) of z (n, levels book_dim). */
sg_status sg_product_codes(int32_t *codes, const float *z, size_t n, int book_dim, const float *book,
                           int levels, int book_codes, sg_pool *pool, sg_error *err);

/* Rows of codes in lexicographic order, equal rows by number: order (n). */
sg_status sg_codes_order(uint32_t *order, const int32_t *codes, int32_t n, int levels, const int32_t *size,
                         sg_error *err);
/* Makes rows unique. spare: digits more than the items need, for new ones; above 0 there is a digit in every case. left (n, dim), book
 * (codes, dim): what the last level quantised and its codebook; needed by next only. */
sg_status sg_collisions_append(sg_codes *c, int32_t spare, sg_error *err);
/* append, where items have digits already: wanted (n), different behind equal codes, -1: none. There is a digit in every case, of at
 * least `size` codes. */
sg_status sg_collisions_keep(sg_codes *c, const int32_t *wanted, int32_t size, int32_t spare, sg_error *err);
sg_status sg_collisions_next(sg_codes *c, const float *left, const float *book, int dim, int32_t spare,
                             sg_error *err);

/* The doctor. method: who made the codes, "import": someone else; its advice names options of that method. x (n, dim) may be NULL. Levels
 * before the digit are judged; owned by the caller. */
sg_status sg_doctor(json_t **out, const sg_codes *c, const char *method, const float *x, int dim,
                    sg_error *err);

/* Writes DATA/ids.safetensors; dim: of the vectors the codes were made from. The report goes into the metadata. */
sg_status sg_codes_save(const sg_dataset *d, const sg_codes *c, int dim, const char *method,
                        const char *options, const json_t *report, sg_error *err);

#endif
