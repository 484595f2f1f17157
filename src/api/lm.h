/* lm.h - what the files of language models' functions share. */
#ifndef SG_API_LM_H
#define SG_API_LM_H

#include "api/api.h"
#include "lm/adapter.h"
#include "lm/generate.h"

/* The tokens of a prompt, or of a conversation that begins with it (chat). */
sg_status api_prompt_tokens(sg_token_list *out, const sg_llama *m, const char *prompt, const char *system, bool chat, sg_error *err);

/* The adapter of a call beside the model, one of the two; *a stays NULL where there is none. It is freed after the model. */
sg_status api_lm_adapt(sg_adapter **a, sg_llama *llama, sg_t5 *t5, const sedge_lm_params *p, sg_error *err);

sg_status api_lm_generate(api_call *c, const sedge_lm_params *p, const sg_generate_config *o);

#endif
