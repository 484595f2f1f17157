/* encoder_file.h - encoder.safetensors: what gives a text that comes later a vector as those of the dataset have.
 *
 *   metadata    encoder ("lsa", or the folder of a language model), options (JSON), columns (JSON: name, kind and numbers of
 *               each text column, as in text/columns.h), dataset (sha256)
 *   hash U64 (features), ascending; idf F32 (features); right F16 (features, dim); scale F32 (dim)    of the built-in encoder */
#ifndef SG_TEXT_ENCODER_FILE_H
#define SG_TEXT_ENCODER_FILE_H

#include "text/columns.h"
#include "text/lsa.h"

typedef struct sg_text_encoder sg_text_encoder; /* read-only once open: any number of threads may use it */

/* columns: as given to the encoder (text/columns.h). fit NULL: the encoder is a language model in a folder. */
sg_status sg_text_encoder_save(const char *path, const sg_dataset *d, const char *encoder,
                               const char *options_json, const char *columns, const sg_lsa_fit *fit,
                               sg_error *err);
sg_status sg_text_encoder_open(sg_text_encoder **out, const char *path, sg_error *err);
/* The same from bytes in memory, borrowed; name stands in errors. */
sg_status sg_text_encoder_parse(sg_text_encoder **out, sg_bytes file, const char *name, sg_error *err);
void sg_text_encoder_close(sg_text_encoder *e);

const char *sg_text_encoder_name(const sg_text_encoder *e);
const json_t *sg_text_encoder_options(const sg_text_encoder *e); /* an object */
int sg_text_encoder_dim(const sg_text_encoder *e); /* of the built-in encoder; 0: it is a language model */
/* Its columns, with no text yet: the plan to hand over with the texts of one item. */
int sg_text_encoder_columns(const sg_text_encoder *e);
const char *sg_text_encoder_column(const sg_text_encoder *e, int i);

/* One item: text (columns), size 0 where it has none. */
sg_status sg_text_encoder_join(sg_buf *out, const sg_text_encoder *e, const sg_bytes *text, sg_error *err);
/* The built-in encoder's vector x (dim) of an item, and of plain text; *words: how many the text has (NULL: not asked). Text
 * without any n-gram that it knows is all zeros. SG_ERR_NUMERIC: the file's numbers make one that is not finite. */
sg_status sg_text_encoder_item(float *x, const sg_text_encoder *e, const sg_bytes *text, sg_error *err);
sg_status sg_text_encoder_text(float *x, size_t *words, const sg_text_encoder *e, sg_bytes text,
                               sg_error *err);

#endif
