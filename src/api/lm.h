/* lm.h - what the files of language models' functions share. */
#ifndef SG_API_LM_H
#define SG_API_LM_H

#include "api/api.h"
#include "lm/llm.h"

sg_bytes api_bytes(const char *s); /* NULL: empty */

/* The model of a call, here or elsewhere, with its adapter beside it. */
sg_status api_lm_open(sg_llm **out, const sedge_lm_params *p, const sg_llm_config *o, sg_error *err);

/* Prompts of a call: its own, or one a line of its file. */
typedef struct api_prompt {
    char *text, *system; /* owned; system NULL: none */
    json_t *id;          /* owned; NULL: none */
} api_prompt;
typedef struct api_prompts {
    api_prompt *item; /* owned */
    size_t n, cap;
} api_prompts;
sg_status api_prompts_read(api_prompts *out, const sedge_lm_params *p, sg_error *err);
void api_prompts_free(api_prompts *p);

sg_status api_lm_generate(api_call *c, const sedge_lm_params *p, const sg_generate_config *o); /* by a model here */
sg_status api_lm_ask(api_call *c, const sedge_lm_params *p, const sg_llm_config *o);           /* by an endpoint */

#endif
