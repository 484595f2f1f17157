/* safetensors.h - our one binary container, read by mapping, written atomically. [huggingface/safetensors format]
 *
 * 8 bytes little-endian length N, N bytes of JSON {name: {dtype, shape, data_offsets}, "__metadata__": {str: str}},
 * then the data. The reader accepts any valid file up to SG_SAFETENSORS_HEADER_MAX and no overlap, hole or overrun; a header
 * weighs (sg_json_weight) at most SG_JSON_WEIGHT_SMALL, that of some 36,000 tensors. Opening takes the size of the file and 64 MiB, at most. */
#ifndef SG_FILE_SAFETENSORS_H
#define SG_FILE_SAFETENSORS_H

#include "base/buf.h"
#include "base/io.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_SAFETENSORS_HEADER_MAX ((size_t)100 << 20)

typedef enum sg_dtype {
    SG_DT_F32,
    SG_DT_F64,
    SG_DT_F16,
    SG_DT_BF16,
    SG_DT_I8,
    SG_DT_U8,
    SG_DT_I16,
    SG_DT_U16,
    SG_DT_I32,
    SG_DT_U32,
    SG_DT_I64,
    SG_DT_U64,
    SG_DT_BOOL
} sg_dtype;
size_t sg_dtype_bytes(sg_dtype t);
const char *sg_dtype_name(sg_dtype t); /* "F32" ... as in the file */

enum { SG_TENSOR_RANK_MAX = 8 };
typedef struct sg_file_tensor {
    const char *name; /* borrowed from the file object */
    sg_dtype dtype;
    int rank;
    uint64_t dim[SG_TENSOR_RANK_MAX];
    size_t count, bytes;
    const void *
        data; /* borrowed: inside the mapping; 8-byte aligned in files we write, unaligned files are copied */
} sg_file_tensor;

typedef struct sg_tensors sg_tensors; /* an open file */
sg_status sg_tensors_open(sg_tensors **out, const char *path, sg_error *err);
sg_status sg_tensors_parse(sg_tensors **out, sg_bytes file, const char *name,
                           sg_error *err); /* file borrowed */
void sg_tensors_close(sg_tensors *t);
const char *sg_tensors_name(const sg_tensors *t); /* the path, for messages */
size_t sg_tensors_count(const sg_tensors *t);
const sg_file_tensor *sg_tensors_at(const sg_tensors *t, size_t i);           /* by name, ascending */
const sg_file_tensor *sg_tensors_find(const sg_tensors *t, const char *name); /* NULL when absent */
const char *sg_tensors_meta(const sg_tensors *t, const char *key);            /* NULL when absent */
/* Finds a tensor of this dtype and shape or says "FILE: tensor 'x': expected F32 (3, 4), found ...". dim -1: any. */
sg_status sg_tensors_need(const sg_file_tensor **out, const sg_tensors *t, const char *name, sg_dtype dtype,
                          int rank, const int64_t *dim, sg_error *err);

/* Writing. */
typedef struct sg_tensor_desc {
    const char *name;
    sg_dtype dtype;
    int rank;
    uint64_t dim[SG_TENSOR_RANK_MAX];
    const void *data; /* contiguous; not read by sg_tensors_stream */
} sg_tensor_desc;
typedef struct sg_meta {
    const char *key, *value;
} sg_meta;
/* Same input, same bytes, whatever the order of `list`: tensors lie in order of falling element size, then name, so that
 * data starts 64-byte aligned and every tensor is aligned to its element. Atomic. */
sg_status sg_tensors_write(const char *path, const sg_tensor_desc *list, size_t n, const sg_meta *meta,
                           size_t n_meta, sg_error *err);

/* The same file from data that comes piece by piece: describe all, then put bytes, for several tensors in turn if need be;
 * each tensor is filled from its front. Commit wants every tensor full. `list` and `meta` need not outlive the call. */
typedef struct sg_tensors_stream sg_tensors_stream;
sg_status sg_tensors_stream_open(sg_tensors_stream **out, const char *path, const sg_tensor_desc *list,
                                 size_t n, const sg_meta *meta, size_t n_meta, sg_error *err);
sg_status sg_tensors_stream_put(sg_tensors_stream *s, size_t i, const void *data, size_t bytes,
                                sg_error *err);                          /* i: in list */
sg_status sg_tensors_stream_commit(sg_tensors_stream *s, sg_error *err); /* s is freed in every case */
void sg_tensors_stream_abort(sg_tensors_stream *s);                      /* NULL is fine */

#endif
