/* gguf.h - the container of llama.cpp's models: typed key-values, then tensors, many of them in blocks of few bits.
 *
 * [ggml docs/gguf.md] Versions 2 and 3, little-endian, mapped. Everything is checked when a file is opened, but for tensors of
 * a type not known here: they are listed, and only using one is an error. */
#ifndef SG_FILE_GGUF_H
#define SG_FILE_GGUF_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_gguf sg_gguf; /* an open file */
sg_status sg_gguf_open(sg_gguf **out, const char *path, sg_error *err);
sg_status sg_gguf_parse(sg_gguf **out, sg_bytes file, const char *name, sg_error *err); /* file borrowed */
sg_status sg_gguf_detect(bool *is, const char *path, sg_error *err); /* by the first four bytes */
void sg_gguf_close(sg_gguf *g);
const char *sg_gguf_name(const sg_gguf *g); /* the path, for messages */

/* ---- key-values ---- */
typedef enum sg_gguf_kind {
    SG_GGUF_U8,
    SG_GGUF_I8,
    SG_GGUF_U16,
    SG_GGUF_I16,
    SG_GGUF_U32,
    SG_GGUF_I32,
    SG_GGUF_F32,
    SG_GGUF_BOOL,
    SG_GGUF_STRING,
    SG_GGUF_ARRAY,
    SG_GGUF_U64,
    SG_GGUF_I64,
    SG_GGUF_F64
} sg_gguf_kind;
typedef struct sg_gguf_value {
    const char *key;   /* borrowed from the file object */
    sg_gguf_kind kind; /* of the value, or of an array's elements */
    bool array;
    size_t count;     /* elements of an array, otherwise 1 */
    const char *data; /* the first one as in the file, not aligned */
    size_t bytes;     /* of all */
} sg_gguf_value;
const char *sg_gguf_kind_name(sg_gguf_kind kind); /* "u32" */
size_t sg_gguf_values(const sg_gguf *g);
const sg_gguf_value *sg_gguf_value_at(const sg_gguf *g, size_t i);    /* by key, ascending */
const sg_gguf_value *sg_gguf_find(const sg_gguf *g, const char *key); /* NULL: none */
bool sg_gguf_number(double *out, const sg_gguf_value *v,
                    size_t i); /* element i; false: not a number (v NULL too) */
bool sg_gguf_strings(sg_bytes *out, size_t n,
                     const sg_gguf_value *v); /* the first n elements; false: not that many strings */
sg_bytes sg_gguf_string(const sg_gguf *g, const char *key); /* empty: none */
double sg_gguf_number_or(const sg_gguf *g, const char *key, double otherwise);

/* ---- tensors ---- */
enum { SG_GGUF_RANK_MAX = 4 };
typedef struct sg_gguf_tensor {
    const char *name; /* borrowed from the file object */
    int type;         /* ggml's number */
    int rank;
    uint64_t
        dim[SG_GGUF_RANK_MAX]; /* dim[0] is the contiguous one: a matrix of (out, in) has dim {in, out} */
    size_t count, bytes;       /* bytes 0 and data NULL when the type is not known */
    const void *data;          /* borrowed: inside the mapping */
} sg_gguf_tensor;
size_t sg_gguf_count(const sg_gguf *g);
const sg_gguf_tensor *sg_gguf_at(const sg_gguf *g, size_t i);                  /* by name, ascending */
const sg_gguf_tensor *sg_gguf_tensor_find(const sg_gguf *g, const char *name); /* NULL: none */
const char *sg_gguf_type_name(int type); /* "Q4_K"; of types not known here too */
size_t sg_gguf_block(int type);          /* values of a block; 0: not known here */

/* What a type of few bits is made of: value i is scale[i / block] * q[i] + least[i / block] with q of `bits` bits (4 or 8), up to the
 * last rounding of sg_gguf_decode. False: the type has no such form (F32, F16, BF16, not known here). */
bool sg_gguf_split_form(int *bits, int *block, int type);
/* The same n values from `first` on as sg_gguf_decode; q (n), scale and least (n / block). */
sg_status sg_gguf_split(uint16_t *q, float *scale, float *least, const sg_gguf *g, const sg_gguf_tensor *t,
                        size_t first, size_t n, sg_error *err);

/* Values first .. first + n as f32; both are multiples of the block. [ggml-quants] */
sg_status sg_gguf_decode(float *out, const sg_gguf *g, const sg_gguf_tensor *t, size_t first, size_t n,
                         sg_error *err);

#endif
