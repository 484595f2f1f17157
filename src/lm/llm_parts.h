/* llm_parts.h - what the files of one interface share: llm.c opens, llm_chat.c, llm_embed.c and llm_score.c work. */
#ifndef SG_LM_LLM_PARTS_H
#define SG_LM_LLM_PARTS_H

#include "lm/llm.h"

#include <string.h>

struct sg_llm {
    sg_llm_config config;
    unsigned offers;
    char *name;              /* owned: for people, the path, or address and model */
    char *id;                /* owned: for keys; NULL: not yet needed */
    char *adapter;           /* owned: its folder; NULL: none */
    sg_client *client;       /* owned; NULL: local */
    sg_sentence *sentence;   /* owned; NULL: remote */
    const sg_llama *decoder; /* of sentence; NULL: another kind of model */
    const sg_t5 *t5;         /* likewise */
    sg_tokenizer *tokenizer; /* owned: of an endpoint; or NULL */
    sg_encoder *counter;     /* owned; NULL: no tokenizer */
};

static inline sg_bytes sg_llm_bytes(const char *s)
{
    return (sg_bytes){s, strlen(s)};
}

/* Makes l->id: the sha256 of the model's files, which all have to be read, or an endpoint's address and model. */
sg_status sg_llm_identify(sg_llm *l, sg_error *err);

#endif
