/* adapter.h - what is learned beside a model that stays as it is, in the files of PEFT: adapter_config.json and
 * adapter_model.safetensors. Low-rank parts of its matrices (LORA), or vectors in front of every text (PROMPT_TUNING). And, in files of the
 * same kind that PEFT does not know (BOTTLENECK), small layers behind attention and feed-forward, before they are added to the states. */
#ifndef SG_LM_ADAPTER_H
#define SG_LM_ADAPTER_H

#include "lm/decoder.h"
#include "lm/rows.h"
#include "lm/seq2seq.h"

enum { SG_ADAPTER_LAYERS = 1000 /* of a model, at most */ };

/* The model that an adapter belongs to: its matrices are places, numbered from 0. The last place, and the last kind, is the output matrix
 * lm_head, which belongs to no layer (-1); where it is the word table as well, the words' vectors stay without the adapter's part. */
typedef struct sg_adapter_host {
    const void *config;         /* borrowed: of a decoder or a T5 */
    const sg_weights *weights;  /* borrowed: its files */
    int rows, tokens;           /* of its tables of words and outputs there; of its tokenizer */
    bool takes_rows;            /* other rows may stand for some of these, and behind them */
    const char *words, *output; /* the names of the tables (one table: one pointer) ... */
    const char *table;          /* ... and what PEFT calls that of words, without ".weight" */
    const char *const *part;    /* (n_parts) kinds of matrices: what their names end in */
    int n_parts, n_places;
    unsigned ends;                  /* bit p: kind p is the last of attention or of a feed-forward */
    int layers, places, dim, heads; /* places: of a text, at most */
    const char *task, *layer_word; /* for PEFT: the kind of model, what stands before the number of a layer */
    /* Name without ".weight", layer, kind and shape of place i; false: this model has no such matrix. */
    bool (*place)(char name[96], int *layer, int *part, int *rows, int *in, const void *config, int i);
} sg_adapter_host;
sg_adapter_host sg_llama_host(const sg_llama *m);
sg_adapter_host sg_t5_host(const sg_t5 *m);

typedef enum sg_adapter_kind {
    SG_ADAPTER_LORA,
    SG_ADAPTER_PROMPT,
    SG_ADAPTER_BOTTLENECK,
    SG_ADAPTER_TOKENS
} sg_adapter_kind;

typedef struct sg_adapter_config {
    sg_adapter_kind kind;
    int rank;   /* BOTTLENECK: numbers in between */
    sg_act act; /* BOTTLENECK */
    double alpha, dropout;
    bool rslora;                         /* alpha / sqrt(rank) instead of alpha / rank [Kalajdzievski 2023] */
    unsigned targets;                    /* bit p: matrices of kind p have one */
    bool by_layer;                       /* layers have ranks of their own: */
    uint16_t rank_at[SG_ADAPTER_LAYERS]; /* 0: this layer has no parts */
    int tokens;                          /* PROMPT: vectors in front */
    int vocab;      /* tokens of the model with new ones (LORA, TOKENS); 0: none are new */
    char base[256]; /* where the model was when this was learned */
} sg_adapter_config;

typedef struct sg_adapter {
    sg_adapter_config config;
    sg_adapter_host host;
    sg_params params;
    sg_lora *low;   /* owned: (places of the host) */
    sg_param *soft; /* (tokens, dim); NULL: another kind */
    /* LORA, TOKENS: rows that stand for those of the tables; output: empty where one table is both. */
    sg_row_set words, output;
    int vocab;               /* tokens of the model with these */
    sg_tokenizer *tokenizer; /* owned: with the new tokens; NULL: the model's own */
    sg_buf tokenizer_json;
} sg_adapter;

/* "q_proj,v_proj", or "all" (of the layers: all but lm_head): the bits of `targets`, of those that the kind may have. */
sg_status sg_adapter_targets(sg_adapter_config *config, const char *names, const sg_adapter_host *host,
                             sg_error *err);
/* "all", or the layers that have parts, "4-7,11", and their ranks where they are not config->rank, "4-7:2,8-11:16". */
sg_status sg_adapter_layers(sg_adapter_config *config, const char *text, const sg_adapter_host *host,
                            sg_error *err);

/* A new one, which changes nothing yet (LORA, BOTTLENECK), or whose vectors are those of words (a table) drawn at random (PROMPT). */
sg_status sg_adapter_new(sg_adapter **out, const sg_adapter_config *config, const sg_adapter_host *host,
                         const sg_param *words, uint64_t seed, sg_error *err);
sg_status sg_adapter_open(sg_adapter **out, const char *dir, const sg_adapter_host *host, sg_error *err);
sg_status sg_adapter_save(const sg_adapter *a, const char *dir, sg_error *err);
void sg_adapter_free(sg_adapter *a);
/* Its part of the output matrix; empty: none. a NULL: none. */
sg_lora sg_adapter_head(const sg_adapter *a);

/* Beside a model on a tape, or one that only reads, at desks made from now on: while a lives. NULL: none. A T5 takes no vectors in front,
 * and no rows. A decoder that reads has the adapter's tokens and tokenizer as well; one on a tape is made after that, of the same size. */
void sg_decoder_adapt(sg_decoder *d, const sg_adapter *a);
void sg_llama_adapt(sg_llama *m, const sg_adapter *a);
void sg_seq2seq_adapt(sg_seq2seq *d, const sg_adapter *a);
void sg_t5_adapt(sg_t5 *m, const sg_adapter *a);
/* The weights of a model on a tape, ps, as they are with a; of its own are those that a has parts of (own_head, where that is lm_head). */
sg_status sg_adapter_merge(const sg_params *ps, const sg_adapter *a, sg_pool *pool, sg_error *err);

#endif
