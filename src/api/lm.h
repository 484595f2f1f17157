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
    size_t line;         /* of the file; 0: of no file */
} api_prompt;
typedef struct api_prompts {
    api_prompt *item; /* owned */
    size_t n, cap;
} api_prompts;
sg_status api_prompts_read(api_prompts *out, const sedge_lm_params *p, sg_error *err);
void api_prompts_free(api_prompts *p);

/* What of a file got no answer: the others go on. */
typedef struct api_losses {
    char **why; /* owned (n), and each: "FILE:LINE: ..."; NULL: it has an answer */
    size_t n, count;
} api_losses;
sg_status api_losses_make(api_losses *l, size_t n, sg_error *err);
sg_status api_losses_note(api_losses *l, size_t i, const char *file, size_t line, const sg_error *why);
sg_status api_losses_report(json_t *result, const api_losses *l,
                            sg_error *err); /* "failures", where there are any */
void api_losses_free(api_losses *l);

/* *out NULL: the call has none. */
sg_status api_lm_cache(sg_cache **out, const sedge_lm_params *p, sg_error *err);

sg_status api_lm_generate(api_call *c, const sedge_lm_params *p,
                          const sg_llm_config *o);                                   /* by a model here */
sg_status api_lm_ask(api_call *c, const sedge_lm_params *p, const sg_llm_config *o); /* by an endpoint */

/* Options that do nothing where the model is, named by what was set. */
sg_status api_lm_check_set(const char *const *set, size_t n, const char *model, sg_error *err);

#endif
