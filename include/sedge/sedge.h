/* sedge.h - the public interface of sedge: interaction logs and item content in, a generative recommender out.
 *
 * Three rules hold everywhere.
 *   Errors     A function that can fail returns SEDGE_OK (0) or a code and fills the caller's sedge_error (NULL is fine) with
 *              one sentence. There is no global state; nothing here prints, exits or aborts.
 *   Memory     Strings handed out through `char **json` belong to the caller: sedge_free. NULL may be freed.
 *   Growth     A parameter struct begins with its own size, and zero means "the default" in every other field, so
 *              `sedge_eval_params p = {.size = sizeof p, .model = "run", .data = "shop"};` keeps working when fields are added.
 *
 * A sedge_model and a sedge_data never change and may be shared by all threads; a sedge_session belongs to one thread at a time
 * and must be freed before its model. This is version 0 of the interface: it may change until 1.0. */
#ifndef SEDGE_SEDGE_H
#define SEDGE_SEDGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SEDGE_API __attribute__((visibility("default")))
#else
#define SEDGE_API
#endif

enum sedge_status {
    SEDGE_OK = 0,
    SEDGE_ERR_USAGE,   /* the caller asked for something that cannot be: unknown option, value out of range */
    SEDGE_ERR_IO,      /* open, read, write, rename, sync */
    SEDGE_ERR_FORMAT,  /* bytes that are not what they should be */
    SEDGE_ERR_MEMORY,  /* out of memory, or a size that does not fit */
    SEDGE_ERR_MISSING, /* a file, item, user that is not there */
    SEDGE_ERR_NUMERIC, /* NaN or infinity where a number should be */
    SEDGE_ERR_CANCEL,  /* the progress function asked to stop */
    SEDGE_ERR_AWAY,    /* another process that cannot be reached, or does not answer in time: later it may */
};

typedef struct sedge_error {
    int status;
    char message[1024]; /* one line: where, what was expected, what was found */
} sedge_error;

SEDGE_API const char *sedge_version(void);
SEDGE_API void sedge_free(void *p);
/* The word of `known` that a mistyped one probably means, or NULL: for a program's own "did you mean". */
SEDGE_API const char *sedge_nearest(const char *word, const char *const *known, size_t n);

/* ---- recommending ------------------------------------------------------------------------------------------------ */
typedef struct sedge_model sedge_model; /* a model folder, mapped read-only */
typedef struct sedge_data sedge_data; /* a dataset folder, mapped read-only: user histories and item texts */
typedef struct sedge_session sedge_session; /* one thread's caches */

SEDGE_API int sedge_model_open(sedge_model **out, const char *dir, sedge_error *err);
SEDGE_API void sedge_model_free(sedge_model *m);
SEDGE_API const char *sedge_model_name(const sedge_model *m); /* "tiger" */
SEDGE_API size_t sedge_model_items(const sedge_model *m);
/* Id of item i (0 .. items - 1): *id is not followed by a 0 byte; borrowed from the model. */
SEDGE_API int sedge_model_item(const sedge_model *m, size_t i, const char **id, size_t *size,
                               sedge_error *err);
SEDGE_API int sedge_model_describe(const sedge_model *m, char **json,
                                   sedge_error *err); /* options, counts, receipt */

SEDGE_API int sedge_data_open(sedge_data **out, const char *dir, sedge_error *err);
SEDGE_API void sedge_data_free(sedge_data *d);

typedef struct sedge_session_params {
    size_t size;
    const sedge_data
        *data;   /* borrowed; needed for requests by user id and for titles in explanations; NULL: none */
    int threads; /* 0: one */
    int beam;    /* prefixes kept while decoding semantic IDs; 0: the model's default */
    int plain;   /* 1: no second search where the beam may have missed an item */
    int groups; /* above 1: the beam in so many groups whose first codes keep apart, by `diversity` in log-probability; 0: none */
    double diversity;
    double
        temperature; /* above 0: items are drawn without replacement from softmax(logits / temperature); seed: of the draw */
    uint64_t seed;
    double
        mmr; /* 0 .. 1, above 0: lists by maximal marginal relevance; likeness is the share of leading codes in common */
} sedge_session_params;
SEDGE_API int sedge_session_new(sedge_session **out, const sedge_model *m, const sedge_session_params *p,
                                sedge_error *err);
SEDGE_API void sedge_session_free(sedge_session *s);

typedef struct sedge_request {
    size_t size;
    const char *const *history; /* item ids, oldest first; those the model does not know are left out */
    size_t n_history;
    const char *user;         /* instead of a history: a user of the session's data */
    int k;                    /* 0: 10 */
    int keep_seen;            /* 1: items of the history may come back */
    const char *const *allow; /* only these items (NULL: all) ... */
    size_t n_allow;
    const char *const *deny; /* ... and never these */
    size_t n_deny;
} sedge_request;

typedef struct sedge_hit {
    const char *item; /* id, valid until the session's next call */
    float score; /* higher is better; what it means is the model's: a log-probability, an inner product */
} sedge_hit;

/* Best first into hits[0 .. k-1]; *n_hits says how many there were. */
SEDGE_API int sedge_session_recommend(sedge_session *s, const sedge_request *r, sedge_hit *hits,
                                      size_t *n_hits, sedge_error *err);
/* The same as JSON, with for each item why it is there: its semantic ID with the probability and the meaning of each prefix, and
 * the events of the history without which its score would fall most. */
SEDGE_API int sedge_session_explain(sedge_session *s, const sedge_request *r, char **json, sedge_error *err);

/* ---- one function for each verb of the command -------------------------------------------------------------------------
 * Each takes folders and options and gives back one JSON object. Options are "key=value" strings; sedge_options lists them. */
typedef struct sedge_event {
    const char *stage;  /* "import", "train", "evaluate" */
    const char *note;   /* one line of text, or NULL */
    const char *unit;   /* "events", "steps", "users", or NULL */
    double done, total; /* total 0: unknown */
    double loss;        /* NaN: none */
    int message;        /* 1: a line worth keeping, 0: where the work is */
} sedge_event;

typedef struct sedge_run {
    size_t size;
    int threads; /* 0: one per core this process may use */
    int (*progress)(void *user,
                    const sedge_event *e); /* NULL: silent; non-zero stops at the next safe point */
    void *user;
} sedge_run;

/* Options of "import", "synth", "embed", "lm", "know", "tokenize", "train", "eval", "recommend", "serve", "bench", "inspect", "compare":
 * [{"name", "type", "default", "least", "most", "choices", "meaning"}]. */
SEDGE_API int sedge_options(const char *verb, char **json, sedge_error *err);
/* All models, or one with its options. */
SEDGE_API int sedge_models(const char *name, char **json, sedge_error *err);

typedef struct sedge_import_params {
    size_t size;
    const sedge_run *run; /* here and below: NULL for all cores and silence */
    const char *const *files, *const *item_text;
    size_t n_files, n_item_text;
    const char *out; /* dataset folder to make */
    const char *const *set;
    size_t n_set;
    const char *const *user_series; /* files about the users: attributes, and what changes slowly */
    size_t n_user_series;
} sedge_import_params;
SEDGE_API int sedge_import(const sedge_import_params *p, char **json, sedge_error *err);

typedef struct sedge_synth_params {
    size_t size;
    const sedge_run *run;
    const char *out;
    const char *const *set;
    size_t n_set;
} sedge_synth_params;
SEDGE_API int sedge_synth(const sedge_synth_params *p, char **json, sedge_error *err);

typedef struct sedge_stats_params {
    size_t size;
    const sedge_run *run;
    const char *data;
} sedge_stats_params;
SEDGE_API int sedge_stats(const sedge_stats_params *p, char **json, sedge_error *err);

typedef struct sedge_embed_params {
    size_t size;
    const sedge_run *run;
    const char *data;
    const char *
        encoder; /* NULL: "lsa"; or the folder of a model; or the address of an endpoint, http://HOST/v1; or the folder of
                            another dataset, whose own "lsa" is used again */
    const char *vectors; /* instead of encoding: a .npy or .safetensors file */
    const char *tensor;  /* .safetensors: which tensor; NULL: the first that fits */
    const char
        *ids; /* file of item ids, one a line, that says which row is which; NULL: rows are items in order */
    const char *const *set;
    size_t n_set;
    const char *
        cache; /* file that keeps vectors by the text they were made from, for models and endpoints; NULL: none */
    const char
        *texts; /* instead of text columns: {"id", "answer"} a line, as sedge_know exports; NULL: columns */
} sedge_embed_params;
SEDGE_API int sedge_embed(const sedge_embed_params *p, char **json, sedge_error *err);

/* A language model by itself. generate: continues the prompt, or answers it (chat). score: how likely texts are after the prompt.
 * embed: vectors of texts, by an encoder's folder, as a .safetensors file. What of a file has no answer or score does not end the others:
 * its place in "list" has an "error", and "failures" counts them. A model may write U+0000: "text" then holds \u0000, which some readers of JSON
 * refuse unless they are told otherwise (jansson: JSON_ALLOW_NUL). */
typedef struct sedge_lm_params {
    size_t size;
    const sedge_run *run;
    const char
        *model; /* a Hugging Face folder or a .gguf file, or the address of an endpoint, http://HOST/v1 */
    const char *prompt; /* generate: what to continue; score: what stands before every text; NULL: nothing */
    const char *system; /* chat: the system's turn; NULL: the template's own */
    int chat;           /* 1: the prompt is a user's turn, in the form that the model was trained on */
    const char *text;   /* score, embed: one text, or ... */
    const char *
        file; /* ... a file with a text a line; generate: prompts instead of one, a JSON object a line: {"prompt": ...},
                           and if need be "system" and "id", which comes back */
    const char *out; /* embed: the file to write */
    const char *const *set;
    size_t n_set;
    const char *choices; /* generate: a file with a text a line; an answer is one of them */
    const char *schema;  /* generate: a file with a JSON schema; an answer is JSON that fits it */
    const char *const *
        fm; /* generate: files with a text a line; an answer is a part of one of them, or, with the option whole, one */
    size_t n_fm;
    const char *adapter; /* the folder of an adapter (PEFT's files) beside the model; NULL: none */
    const char *cache;   /* SQLite file that keeps what was answered; made when it is not there; NULL: none */
} sedge_lm_params;
SEDGE_API int sedge_lm_generate(const sedge_lm_params *p, char **json, sedge_error *err);
SEDGE_API int sedge_lm_score(const sedge_lm_params *p, char **json, sedge_error *err);
SEDGE_API int sedge_lm_embed(const sedge_lm_params *p, char **json, sedge_error *err);

/* A language model learns. tune: from texts, into a folder with an adapter or a model. merge: a model, with or without an adapter,
 * written as a Hugging Face folder, or as one file when `out` ends in .gguf. */
typedef struct sedge_tune_params {
    size_t size;
    const sedge_run *run;
    const char *model;   /* a Hugging Face folder or a .gguf file */
    const char *data;    /* tune: .jsonl with instructions, conversations or texts, or plain text */
    const char *adapter; /* merge: the folder of an adapter; NULL: none */
    const char *out;
    int resume; /* tune: go on from the checkpoint in out, when there is one */
    const char *const *set;
    size_t n_set;
} sedge_tune_params;
SEDGE_API int sedge_lm_tune(const sedge_tune_params *p, char **json, sedge_error *err);
SEDGE_API int sedge_lm_merge(const sedge_tune_params *p, char **json, sedge_error *err);

/* Documents of a collection (a dataset with queries and judgements) by what a language model writes; or items for users, by the titles of
 * those before. lessons: examples to tune on, made from the judgements. retrieve: ranked documents, their metrics, and a TREC run. */
typedef struct sedge_lessons_params {
    size_t size;
    const sedge_run *run;
    const char *data;
    const char *
        what; /* "titles": query to title; "ngrams": query to strings of the document; "queries": document to query */
    const char *split; /* train, dev or test; NULL: train */
    const char *out;   /* .jsonl file to write, as sedge_lm_tune reads it */
    const char *const *set;
    size_t n_set;
} sedge_lessons_params;
SEDGE_API int sedge_lm_lessons(const sedge_lessons_params *p, char **json, sedge_error *err);

typedef struct sedge_retrieve_params {
    size_t size;
    const sedge_run *run;
    const char *model;   /* a Hugging Face folder or a .gguf file */
    const char *adapter; /* the folder of an adapter beside it; NULL: none */
    const char *data;
    const char *
        by; /* "title": held to their trie; "substring": to an index of all strings of the documents; NULL: substring */
    const char *split; /* NULL: test */
    const char *out;   /* TREC run to write; NULL: none */
    const char *const *set;
    size_t n_set;
    const char *const *deny; /* documents that are never listed; ids that there are not are passed over */
    size_t n_deny;
} sedge_retrieve_params;
SEDGE_API int sedge_lm_retrieve(const sedge_retrieve_params *p, char **json, sedge_error *err);

/* What a language model says about every item or user of a dataset: a template is filled with what the dataset knows, asked once, and the
 * answers are kept. A second call asks nothing; after a kill the next one goes on. */
typedef struct sedge_know_params {
    size_t size;
    const sedge_run *run;
    const char *data;
    const char *prompt; /* file with the template (docs/text.md) */
    const char *llm; /* folder or .gguf file of a chat model, or the address of an endpoint, http://HOST/v1 */
    const char *cache; /* SQLite file that keeps answers; made when it is not there */
    const char *out;   /* {"id", "prompt", "answer"} a line; NULL: none is written */
    int dry;           /* 1: only says what would be asked */
    const char *const *set;
    size_t n_set;
} sedge_know_params;
SEDGE_API int sedge_know(const sedge_know_params *p, char **json, sedge_error *err);

typedef struct sedge_tokenize_params {
    size_t size;
    const sedge_run *run;
    const char *data;
    const char *ids;  /* instead of fitting: published IDs, {"item": ["<a_1>", "<b_2>", ...]} */
    int ids_key_base; /* item id = key + base */
    const char *const *set;
    size_t n_set;
} sedge_tokenize_params;
SEDGE_API int sedge_tokenize(const sedge_tokenize_params *p, char **json, sedge_error *err);

typedef struct sedge_train_params {
    size_t size;
    const sedge_run *run;
    const char *model, *data, *out;
    const char *recipe; /* YAML file whose `train` part is applied before `set`; NULL: none */
    int resume;         /* 1: go on from the checkpoint in `out` when there is one */
    const char *const *set;
    size_t n_set;
} sedge_train_params;
SEDGE_API int sedge_train(const sedge_train_params *p, char **json, sedge_error *err);

typedef struct sedge_eval_params {
    size_t size;
    const sedge_run *run;
    const char *model, *data;
    const char *run_path, *qrels_path; /* TREC files to write; NULL: none */
    const char *per_user_path;         /* ranks of every case, for sedge_compare; NULL: none */
    const char *const *set;
    size_t n_set;
} sedge_eval_params;
SEDGE_API int sedge_eval(const sedge_eval_params *p, char **json, sedge_error *err);

typedef struct sedge_recommend_params {
    size_t size;
    const sedge_run *run;
    const char *model;
    const char *data; /* NULL: the dataset the model was trained on, if it is still there */
    const char *user; /* or: */
    const char *const *history, *const *allow, *const *deny;
    size_t n_history, n_allow, n_deny;
    int explain;
    const char *const *set;
    size_t n_set;
    const char *query; /* instead of user and history, of models that retrieve: documents for a text */
} sedge_recommend_params;
SEDGE_API int sedge_recommend(const sedge_recommend_params *p, char **json, sedge_error *err);

/* Returns once run->progress, which is called about ten times a second, asks to stop, and what was under way is answered. */
typedef struct sedge_serve_params {
    size_t size;
    const sedge_run *run; /* threads: workers */
    const char *model;
    const char *data; /* NULL: as in sedge_recommend */
    const char *
        store; /* of users' events and added items: an SQLite file, or postgresql://...; NULL: none are kept */
    const char *key_file; /* NULL: no keys; loopback addresses only, or: */
    int insecure;
    void (*log)(void *user,
                const char *line); /* one JSON object, from any thread, never two at once; NULL: silent */
    void *log_user;
    const char *const *set;
    size_t n_set;
    const char *const *also; /* NAME=DIR: further models, which requests ask for by name */
    size_t n_also;
    const char *encoder; /* folder of a language model for texts; NULL: the model folder's own encoder */
} sedge_serve_params;
SEDGE_API int sedge_serve(const sedge_serve_params *p, sedge_error *err);

/* Load on a server that runs somewhere: requests are sent when they are due, and times count from then. */
typedef struct sedge_bench_params {
    size_t size;
    const sedge_run *run;
    const char *url;       /* http://HOST:PORT */
    const char *data;      /* dataset folder whose users are asked for; or: */
    const char *bodies;    /* file with a request body in each line */
    const char *key_file;  /* the server's: its first key is sent; NULL: none */
    const char *csv, *svg; /* histogram of the times to write; NULL: none */
    const char *const *set;
    size_t n_set;
} sedge_bench_params;
SEDGE_API int sedge_bench(const sedge_bench_params *p, char **json, sedge_error *err);

typedef struct sedge_reproduce_params {
    size_t size;
    const sedge_run *run;
    const char *recipe;     /* YAML file */
    const char *data;       /* folder that the recipe's paths start from; NULL: the current one */
    const char *out;        /* work folder; NULL: out/NAME */
    int fresh;              /* 1: every stage again, even when nothing it depends on has changed */
    const char *const *set; /* "stage.key=value", or "key=value" for the training stage */
    size_t n_set;
} sedge_reproduce_params;
SEDGE_API int sedge_reproduce(const sedge_reproduce_params *p, char **json, sedge_error *err);

typedef struct sedge_inspect_params {
    size_t size;
    const sedge_run *run;
    const char *path; /* a dataset, a model folder, a .safetensors or a .gguf file */
    int ids;          /* 1: what each prefix of the semantic IDs in the dataset holds */
    const char *const *set;
    size_t n_set;
} sedge_inspect_params;
SEDGE_API int sedge_inspect(const sedge_inspect_params *p, char **json, sedge_error *err);

typedef struct sedge_report_params {
    size_t size;
    const sedge_run *run;
    const char *model; /* model folder */
    const char *data;  /* NULL: as in sedge_recommend */
    const char *out;   /* HTML file to write */
} sedge_report_params;
SEDGE_API int sedge_report(const sedge_report_params *p, char **json, sedge_error *err);

typedef struct sedge_compare_params {
    size_t size;
    const sedge_run *run;
    const char *a, *b; /* files written through per_user_path */
    const char *const *set;
    size_t n_set;
} sedge_compare_params;
SEDGE_API int sedge_compare(const sedge_compare_params *p, char **json, sedge_error *err);

#ifdef __cplusplus
}
#endif

#endif
