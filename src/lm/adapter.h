/* adapter.h - what is learned beside a decoder that stays as it is, in the files of PEFT: adapter_config.json and
 * adapter_model.safetensors. Low-rank parts of its matrices (LORA), or vectors in front of every text (PROMPT_TUNING). */
#ifndef SG_LM_ADAPTER_H
#define SG_LM_ADAPTER_H

#include "lm/decoder.h"

typedef enum sg_adapter_kind { SG_ADAPTER_LORA, SG_ADAPTER_PROMPT } sg_adapter_kind;

typedef struct sg_adapter_config {
    sg_adapter_kind kind;
    int rank;
    double alpha, dropout;
    bool rslora;      /* alpha / sqrt(rank) instead of alpha / rank [Kalajdzievski 2023] */
    unsigned targets; /* bit p: matrices of sg_part p have one */
    int tokens;       /* PROMPT: vectors in front */
    char base[256];   /* where the decoder was when this was learned */
} sg_adapter_config;

typedef struct sg_adapter {
    sg_adapter_config config;
    sg_llama_config of; /* the decoder it belongs to */
    sg_params params;
    sg_lora *low;       /* owned: (layers, SG_PARTS) */
    sg_param *soft;     /* (tokens, dim); NULL: LORA */
} sg_adapter;

/* "q_proj,v_proj", or "all": the bits of `targets`. */
sg_status sg_adapter_targets(unsigned *out, const char *names, sg_error *err);

/* A new one, which changes nothing yet (LORA), or whose vectors are those of words drawn at random (PROMPT). */
sg_status sg_adapter_new(sg_adapter **out, const sg_adapter_config *config, const sg_decoder *d, uint64_t seed, sg_error *err);
sg_status sg_adapter_open(sg_adapter **out, const char *dir, const sg_llama_config *of, sg_error *err);
sg_status sg_adapter_save(const sg_adapter *a, const char *dir, sg_error *err);
void sg_adapter_free(sg_adapter *a);

/* Beside a decoder on a tape, or one that only reads: from now on, while a lives; vectors in front, at desks made from now on.
 * NULL: none. */
void sg_decoder_adapt(sg_decoder *d, const sg_adapter *a);
void sg_llama_adapt(sg_llama *m, const sg_adapter *a);
/* The decoder's own weights as they are with a. */
sg_status sg_decoder_merge(sg_decoder *d, const sg_adapter *a, sg_pool *pool, sg_error *err);

#endif
