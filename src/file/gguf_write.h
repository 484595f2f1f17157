/* gguf_write.h - GGUF files, version 3: key-values, then tensors one after the other. Written beside the final place, then renamed.
 *
 * Describe everything (values, then tensors), begin, give each tensor's numbers in order, commit. A failure while describing is kept and
 * reported by begin. */
#ifndef SG_FILE_GGUF_WRITE_H
#define SG_FILE_GGUF_WRITE_H

#include "file/gguf.h"

/* ggml's numbers of the types that can be written */
enum {
    SG_GGUF_F32_TYPE = 0,
    SG_GGUF_F16_TYPE = 1,
    SG_GGUF_Q4_0_TYPE = 2,
    SG_GGUF_Q8_0_TYPE = 8,
    SG_GGUF_BF16_TYPE = 30
};

typedef struct sg_gguf_out sg_gguf_out;
sg_status sg_gguf_out_new(sg_gguf_out **out, sg_error *err);
void sg_gguf_out_free(sg_gguf_out *o); /* removes what was not committed; NULL is fine */

void sg_gguf_out_string(sg_gguf_out *o, const char *key, sg_bytes value);
void sg_gguf_out_u32(sg_gguf_out *o, const char *key, uint32_t value);
void sg_gguf_out_f32(sg_gguf_out *o, const char *key, float value);
void sg_gguf_out_bool(sg_gguf_out *o, const char *key, bool value);
void sg_gguf_out_strings(sg_gguf_out *o, const char *key, const sg_bytes *list, size_t n);
void sg_gguf_out_i32s(sg_gguf_out *o, const char *key, const int32_t *list, size_t n);
void sg_gguf_out_f32s(sg_gguf_out *o, const char *key, const float *list, size_t n);
void sg_gguf_out_u8s(sg_gguf_out *o, const char *key, sg_bytes list);
void sg_gguf_out_copy(sg_gguf_out *o, const sg_gguf_value *v); /* as another file has it */

/* dim[0] is the contiguous one and a multiple of sg_gguf_block(type). */
void sg_gguf_out_tensor(sg_gguf_out *o, const char *name, int type, int rank, const uint64_t *dim);

sg_status sg_gguf_out_begin(sg_gguf_out *o, const char *path, sg_error *err);
/* The next n numbers of the tensor at hand, a multiple of its block; the next tensor follows when it is full. */
sg_status sg_gguf_out_put(sg_gguf_out *o, const float *x, size_t n, sg_error *err);
sg_status sg_gguf_out_commit(sg_gguf_out *o, sg_error *err); /* wants every tensor full */

#endif
