/* generate.h - writing on, token by token: many texts at once, each freely or led by a guide, the likeliest or drawn or by beam search. */
#ifndef SG_LM_GENERATE_H
#define SG_LM_GENERATE_H

#include "base/option.h"
#include "base/progress.h"
#include "lm/chat.h"
#include "lm/desk.h"
#include "lm/guide.h"

#define SG_GENERATE_OPTIONS(X)                                                                               \
    X(int, length, 128, 1, 1048576, "generate: tokens written, at most")                                     \
    X(float, temperature, 0, 0, 100,                                                                         \
      "generate: 0 takes the most likely token, 1 draws as likely as the model says")                        \
    X(int, top_k, 0, 0, 1048576, "generate: draws among the k most likely only (0: all)")                    \
    X(float, top_p, 1, 0, 1, "generate: draws among the fewest that have this share of the probability")     \
    X(float, min_p, 0, 0, 1,                                                                                 \
      "generate: draws among those at least this likely, in units of the most likely one")                   \
    X(int, beam, 1, 1, 1024, "generate: texts kept beside each other, the likeliest of them are the answer") \
    X(float, length_penalty, 0, 0, 10,                                                                       \
      "generate: beams are compared by their log-probability divided by their length to this power")         \
    X(int, batch, 16, 1, 1024, "generate: texts that the model reads and writes together")                   \
    X(bool, whole, false, 0, 1, "generate, with an index: whole texts of it only, from start to end")        \
    X(bool, think, true, 0, 1, "generate, chat: false: a model that thinks first (Qwen3) answers at once")   \
    X(int, seed, 1, 0, 2147483647, "generate: random seed")

typedef struct sg_generate_config {
    SG_GENERATE_OPTIONS(SG_OPTION_FIELD)
} sg_generate_config;
extern const sg_option sg_generate_options[];
extern const size_t sg_n_generate_options;

typedef struct sg_written {
    sg_token_list tokens; /* owned; without the one that ended it */
    bool
        ended; /* by a token or a watch that ends it, or the guide let nothing follow; else it was cut at the length */
    double logp; /* of its tokens and the one that ended it, among all tokens of the model */
} sg_written;

typedef struct sg_answer { /* to one prompt */
    sg_written *text;      /* owned: best first; one, or up to `beam` */
    int n;
} sg_answer;

/* Told and asked on the way; any of them may be NULL. What is handed over is valid during the call. */
typedef struct sg_generate_watch {
    void *ctx;
    sg_status (*first)(void *ctx, int prompt, const float *logits,
                       sg_error *err); /* (vocab) of what follows the prompt; once */
    sg_status (*kept)(void *ctx, int prompt, const sg_token_list *written, double logp,
                      sg_error *err); /* a text that goes on, of all beams */
    /* Does the text end with the last of these tokens? It is asked of each new one; with a guide never. */
    sg_status (*ends)(bool *yes, void *ctx, int prompt, const sg_token_list *written, sg_error *err);
    sg_status (*done)(void *ctx, int prompt, sg_answer *a,
                      sg_error *err);          /* an answer, as soon as it is there: it may be freed */
    uint64_t (*number)(void *ctx, int prompt); /* that draws depend on; NULL: the prompt's place among all */
} sg_generate_watch;

typedef struct sg_generate_job {
    sg_desk *desk;               /* borrowed, as all here */
    const sg_token_list *prompt; /* (n) each of at least one token, and fewer than the desk has room for */
    int n;
    int32_t end;                    /* ends a text, beside the model's own token; -1: none */
    sg_guide *guide;                /* of all of them; NULL: any token may follow */
    const sg_generate_watch *watch; /* NULL: nobody */
} sg_generate_job;

typedef struct sg_generate_report {
    double seconds[2];    /* of steps that read prompts, of those that only wrote */
    double prompt_tokens; /* read; those that texts share once */
    double tokens;        /* written, of all beams */
} sg_generate_report;

/* out (n, zeroed): freed by the caller, also after an error. An answer does not depend on the other prompts (but for the number that its
 * draws take), `batch` or the threads. */
sg_status sg_generate(sg_answer *out, sg_generate_report *report, const sg_generate_job *job,
                      const sg_generate_config *c, const sg_progress *progress, sg_error *err);
void sg_answer_free(sg_answer *a);

#endif
