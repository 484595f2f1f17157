/* token_gguf.h - what a GGUF file says of its tokenizer, for the files that read it and that write it anew as tokenizer.json. */
#ifndef SG_TEXT_TOKEN_GGUF_H
#define SG_TEXT_TOKEN_GGUF_H

#include "text/token_parts.h"

#define SG_GGUF_TOKENIZER "tokenizer.ggml."
enum { SG_GGUF_FAMILIES = 4 };

typedef struct sg_gguf_lists { /* what the arrays hold */
    sg_bytes *token;           /* owned, as all here: (n) */
    uint8_t *kind;
    float *score;
    size_t n;
} sg_gguf_lists;
sg_status sg_gguf_lists_read(sg_gguf_lists *l, const sg_gguf *g, sg_error *err);
void sg_gguf_lists_free(sg_gguf_lists *l);

typedef struct sg_gguf_family { /* of byte-level BPEs: how they cut */
    const char *name, *regex;
    bool digits, nfc, whole_first;
    bool begins; /* texts have a token in front, unless add_bos_token says otherwise */
} sg_gguf_family;
extern const sg_gguf_family sg_gguf_families[SG_GGUF_FAMILIES];
sg_status sg_gguf_family_find(const sg_gguf_family **out, const sg_gguf *g, sg_error *err);

bool sg_gguf_flag(const sg_gguf *g, const char *key, bool otherwise);

#endif
