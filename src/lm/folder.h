/* folder.h - a language model written as a Hugging Face folder: config.json, model.safetensors, the tokenizer's files. */
#ifndef SG_LM_FOLDER_H
#define SG_LM_FOLDER_H

#include "lm/decoder.h"
#include "lm/seq2seq.h"

/* d with its weights as they are; m and `model` (its path): where config and tokenizer come from. dtype: F32, F16 or BF16. An existing
 * folder keeps its other files. */
sg_status sg_decoder_save(const sg_decoder *d, const sg_llama *m, const char *model, const char *dir,
                          sg_dtype dtype, sg_error *err);
sg_status sg_seq2seq_save(const sg_seq2seq *d, const sg_t5 *m, const char *model, const char *dir,
                          sg_dtype dtype, sg_error *err);
/* Whether that can be done, before hours of work: the tokenizer of some .gguf files has no other form, and nobody writes over the
 * model that is being read. */
sg_status sg_decoder_save_check(const sg_llama *m, const char *model, const char *dir, sg_error *err);
sg_status sg_seq2seq_save_check(const sg_t5 *m, const char *model, const char *dir, sg_error *err);
/* The tokenizer of m, with an adapter's tokens, in the files of a folder that exists. */
sg_status sg_llama_tokenizer_save(const sg_llama *m, const char *model, const char *dir, sg_error *err);

/* A file of a model's folder into another one; fine where there is none. */
sg_status sg_model_file_copy(const char *model, const char *dir, const char *name, sg_error *err);
bool sg_same_folder(const char *a, const char *b);

#endif
