/* to_gguf.h - a decoder written as one .gguf file, in the layout that llama.cpp reads. */
#ifndef SG_LM_TO_GGUF_H
#define SG_LM_TO_GGUF_H

#include "file/gguf_write.h"
#include "lm/decoder.h"

/* type: of matrices (those whose rows are no whole blocks become F16); vectors are F32. Keys come from m's own .gguf file, or from its
 * config and tokenizer.json (byte-level BPE). */
sg_status sg_decoder_to_gguf(const sg_decoder *d, const sg_llama *m, const char *model, const char *path, int type, sg_error *err);

#endif
