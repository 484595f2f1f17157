/* llm.h - a language model, wherever it runs: a folder or a .gguf file here, or an endpoint that speaks OpenAI's dialect.
 *
 * Systems ask for capabilities, never for a vendor. What is asked is answered from the cache where one is given: a key is made of the
 * model, the options, the origin (template and version) and the text, so a second run asks nothing. */
#ifndef SG_LM_LLM_H
#define SG_LM_LLM_H

#include "lm/cache.h"
#include "lm/client.h"
#include "lm/generate.h"
#include "lm/sentence.h"
#include "lm/t5.h"

typedef enum sg_llm_can {
    SG_LLM_CHAT = 1 << 0,      /* messages -> text */
    SG_LLM_EMBED = 1 << 1,     /* texts -> vectors */
    SG_LLM_SCORE = 1 << 2,     /* log-probability of a text after a prompt */
    SG_LLM_HIDDEN = 1 << 3,    /* hidden states */
    SG_LLM_CONSTRAIN = 1 << 4, /* a mask of tokens at every step */
    SG_LLM_SOFT = 1 << 5,      /* vectors in place of tokens, with gradients */
    SG_LLM_TRAIN = 1 << 6,     /* adapters and fine-tuning */
} sg_llm_can;
enum { SG_N_LLM_CAN = 7 };
/* "chat, embed" */
void sg_llm_can_names(sg_buf *out, unsigned can);

#define SG_LLM_OPTIONS(X)                                                                                    \
    X(text, offers, "chat,embed", 0, 255, "endpoint: what it can: chat, embed, score")                       \
    X(text, tokenizer, "", 0, 255,                                                                           \
      "endpoint: tokenizer that counts its tokens, a folder or a file (empty: about four bytes a token)")    \
    X(text, stop, "", 0, 255, "an answer ends before this text (empty: none)")                               \
    X(bool, json_object, false, 0, 1, "endpoint: asks for answers that are a JSON object")

typedef struct sg_llm_config {
    SG_LLM_OPTIONS(SG_OPTION_FIELD)
    sg_client_config client;
    sg_generate_config generate;
    sg_sentence_config sentence;
} sg_llm_config;
extern const sg_option sg_llm_options[];
extern const size_t sg_n_llm_options;
void sg_llm_config_init(sg_llm_config *c);

typedef struct sg_llm sg_llm;             /* one thread's */
bool sg_llm_is_remote(const char *where); /* http:// or https:// */
sg_status sg_llm_open(sg_llm **out, const char *where, const sg_llm_config *c,
                      sg_error *err); /* c is copied */
void sg_llm_close(sg_llm *l);
/* An adapter beside a model here (needs TRAIN). */
sg_status sg_llm_adapt(sg_llm *l, const char *dir, sg_error *err);

unsigned sg_llm_offers(const sg_llm *l);
/* The model itself, for what goes beyond texts: vectors in place of tokens (lm/decoder.h), adapters and fine-tuning (lm/learner.h), desks.
 * NULL: it is another kind of model, or elsewhere. */
const sg_llama *sg_llm_decoder(const sg_llm *l);
const sg_t5 *sg_llm_t5(const sg_llm *l);
/* "KAR needs hidden: http://... offers chat, embed". */
sg_status sg_llm_need(const sg_llm *l, unsigned can, const char *who, sg_error *err);
const char *sg_llm_name(const sg_llm *l);          /* for people: the path, or address and model */
const sg_client_use *sg_llm_used(const sg_llm *l); /* NULL: local */
/* Tokens of a text: exactly with a tokenizer, about without. */
sg_status sg_llm_tokens(sg_llm *l, sg_bytes text, size_t *n, sg_error *err);

/* ---- chat -------------------------------------------------------------------------------------------------------------------- */
typedef struct sg_turns {
    sg_turn *turn; /* owned by whoever made them; valid until the next make */
    size_t n;
} sg_turns;

typedef struct sg_llm_answer {
    sg_bytes text;
    const char *key;  /* in the cache; "": there is none */
    bool cached, cut; /* cut: its length ended it */
} sg_llm_answer;

typedef struct sg_llm_work {
    size_t n;
    void *ctx;
    sg_bytes origin; /* template and version */
    int64_t since;   /* cached answers older than this time do not count; 0: all do */
    bool dry;        /* only counts: nothing is asked */
    sg_guide
        *guide; /* every answer is held to it (needs CONSTRAIN); the origin says which it is. NULL: none */
    /* May be called more than once for a request, with equal results. */
    sg_status (*make)(void *ctx, size_t i, sg_turns *out, sg_error *err);
    sg_status (*take)(void *ctx, size_t i, const sg_llm_answer *a, sg_error *err); /* in any order */
    sg_status (*give_up)(void *ctx, size_t i, const sg_error *why);                /* as in sg_client_work */
} sg_llm_work;

typedef struct sg_llm_count {
    size_t cached, asked, repeated; /* repeated: the same as another request of this work */
    double tokens_in, tokens_out;   /* of what is asked, about: before the answers came */
} sg_llm_count;

/* cache NULL: none. count: filled before the first request is sent. What a model here draws depends on the seed, the origin and the turns,
 * and not on what else is asked. */
sg_status sg_llm_chat(sg_llm *l, const sg_llm_work *w, sg_cache *cache, sg_llm_count *count, sg_pool *pool,
                      const sg_progress *progress, sg_error *err);

/* ---- embed, score --------------------------------------------------------------------------------------------------------- */
/* As sg_sentence_encode; with a cache only texts that are not in it are encoded, each once. report: also "cached". */
sg_status sg_llm_embed(float **vectors, int32_t *dim, sg_llm *l, const sg_bytes *text, size_t n,
                       sg_cache *cache, sg_pool *pool, const sg_progress *progress, json_t **report,
                       sg_error *err);
typedef struct sg_llm_scores {
    sg_bytes prompt;
    const sg_turns *chat; /* a conversation in place of the prompt; NULL: none */
    const sg_bytes *text; /* (n) */
    size_t n;
    void *ctx;
    /* Text i has no score, for this reason; SG_OK: go on. NULL: that is an error. */
    sg_status (*give_up)(void *ctx, size_t i, const sg_error *why);
} sg_llm_scores;

/* Log-probability of each text after the prompt, and its tokens; as in lm/score.h. With a cache each score is kept as soon as it is there;
 * *cached: how many it had. */
sg_status sg_llm_score(double *logp, int *tokens, size_t *cached, sg_llm *l, const sg_llm_scores *w,
                       sg_cache *cache, sg_pool *pool, const sg_progress *progress, sg_error *err);

#endif
