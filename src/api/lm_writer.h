/* lm_writer.h - a model here that writes: a decoder, or a T5, with an adapter or without. */
#ifndef SG_API_LM_WRITER_H
#define SG_API_LM_WRITER_H

#include "lm/adapter.h"
#include "lm/desk.h"
#include "lm/t5.h"

typedef struct api_writer { /* one of the two */
    sg_llama *llama;
    sg_t5 *t5;
    sg_adapter *adapter; /* owned, as all here; NULL: none */
} api_writer;

/* adapter NULL: none. */
sg_status api_writer_open(api_writer *m, const char *path, const char *adapter, sg_error *err);
void api_writer_close(api_writer *m); /* a zeroed one is fine */
const sg_tokenizer *api_writer_tokenizer(const api_writer *m);
/* For texts of so many tokens behind their prompts; a decoder has room for all that it knows. */
sg_status api_writer_desk(sg_desk **out, const api_writer *m, int length, sg_pool *pool, sg_error *err);

#endif
