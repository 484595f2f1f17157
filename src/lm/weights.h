/* weights.h - the tensors of a language model's files by name, as f32, whatever the container and the number type.
 *
 * A folder holds model.safetensors, or several files that model.safetensors.index.json lists; a .gguf file holds all in one.
 * The files stay mapped while the model lives: weights that are f32 there are used where they lie. */
#ifndef SG_LM_WEIGHTS_H
#define SG_LM_WEIGHTS_H

#include "file/gguf.h"
#include "file/safetensors.h"
#include "nn/param.h"

typedef struct sg_weights sg_weights;

sg_status sg_weights_open(sg_weights **out, const char *path, sg_error *err); /* a folder, or a .gguf file */
/* The same over files that the caller opened and closes after it; one of the two is NULL. */
sg_status sg_weights_over(sg_weights **out, const sg_tensors *file, const sg_gguf *gguf, sg_error *err);
void sg_weights_close(sg_weights *w);
const char *sg_weights_name(const sg_weights *w);    /* the path, for messages */
const sg_gguf *sg_weights_gguf(const sg_weights *w); /* NULL: safetensors */

bool sg_weights_has(const sg_weights *w, const char *name);
const sg_file_tensor *sg_weights_find(const sg_weights *w,
                                      const char *name); /* NULL: none, or in a GGUF file */
/* A tensor that `known` does not know would not be used, and the model be another one than its file holds: an error that names it. */
typedef bool sg_weights_known(const void *ctx, const char *name);
sg_status sg_weights_check(const sg_weights *w, sg_weights_known *known, const void *ctx, sg_error *err);
/* Numbers first .. first + n - 1 of a tensor as f32; in a GGUF file both are multiples of its type's block. */
sg_status sg_weights_read(float *out, const sg_weights *w, const char *name, size_t first, size_t n,
                          sg_error *err);
/* Gives p (declared bare) the tensor `name`, which must have the shape of p; "FILE: tensor 'x': expected (3, 4), found ...". */
sg_status sg_weights_load(const sg_weights *w, sg_param *p, const char *name, sg_error *err);

#endif
