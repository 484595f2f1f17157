/* opt.h - the command line by tables: one table feeds parsing, --help, the man page and the shell completion.
 *
 * A verb has options of its own (where to read and write) and names a table of the library (what a step does). Those of the
 * library need no line here: `--core-user 5` is `--set core_user=5`. */
#ifndef SEDGE_CLI_OPT_H
#define SEDGE_CLI_OPT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct sg_list { /* strings, borrowed from argv or from the pool below */
    const char **item;
    size_t n, cap;
} sg_list;

typedef enum sg_opt_kind {
    SG_OPT_KIND_END,
    SG_OPT_KIND_STRING,
    SG_OPT_KIND_INT,
    SG_OPT_KIND_FLAG,
    SG_OPT_KIND_LIST,
    SG_OPT_KIND_SET
} sg_opt_kind;

typedef struct sg_opt {
    sg_opt_kind kind;
    char letter;       /* 0: none */
    const char *name;  /* without the dashes */
    void *to;          /* const char *, int, bool, sg_list */
    const char *value; /* what stands for the value in the help */
    const char *help;
} sg_opt;

#define SG_OPT_STRING(letter, name, to, value, help)                                                         \
    {                                                                                                        \
        SG_OPT_KIND_STRING, letter, name, to, value, help                                                    \
    }
#define SG_OPT_INT(letter, name, to, value, help)                                                            \
    {                                                                                                        \
        SG_OPT_KIND_INT, letter, name, to, value, help                                                       \
    }
#define SG_OPT_FLAG(letter, name, to, help)                                                                  \
    {                                                                                                        \
        SG_OPT_KIND_FLAG, letter, name, to, NULL, help                                                       \
    }
/* may be repeated, and takes every word up to the next option: --item-text a.tsv b.tsv */
#define SG_OPT_LIST(letter, name, to, value, help)                                                           \
    {                                                                                                        \
        SG_OPT_KIND_LIST, letter, name, to, value, help                                                      \
    }
/* takes every word that has a '=': --set dim=64 layers=2 */
#define SG_OPT_SET(to, help)                                                                                 \
    {                                                                                                        \
        SG_OPT_KIND_SET, 's', "set", to, "KEY=VALUE", help                                                   \
    }
#define SG_OPT_END                                                                                           \
    {                                                                                                        \
        SG_OPT_KIND_END, 0, NULL, NULL, NULL, NULL                                                           \
    }

/* What every verb understands. */
typedef struct sg_common {
    bool json, quiet, help;
    int threads;
} sg_common;

struct sg_verb;
typedef struct sg_args {
    const struct sg_verb *verb;
    sg_list words; /* what is no option, in order */
    sg_common common;
    int argc; /* as the program got it, for hints that repeat the command */
    char **argv;
} sg_args;

typedef struct sg_verb {
    const char *name, *words, *summary; /* words: "DIR DATA" for the usage line */
    const char *about;                  /* a paragraph for --help and the man page; NULL: none */
    const char *examples;               /* lines for --help and the man page; NULL: none */
    size_t least, most;                 /* how many words */
    const sg_opt *options;
    const char *library; /* table of the library whose options are also flags here; NULL: none */
    sg_list *set;        /* where those go, as KEY=VALUE */
    int (*run)(const sg_args *args);
} sg_verb;
extern const sg_verb *const sg_verbs[]; /* NULL at the end */

extern const sg_opt sg_common_options[];

/* 0, or 2 after a line on stderr. */
int sg_opt_parse(sg_args *args, int argc, char **argv);
json_t *sg_opt_library(const sg_verb *verb); /* new reference: array of the library's options; NULL: none */
void sg_opt_free(sg_args *args);             /* and every string of the pool */

void sg_list_add(sg_list *list, const char *item);
void sg_list_free(sg_list *list);
char *sg_pool_printf(const char *format, ...)
    __attribute__((format(printf, 1, 2))); /* lives until sg_opt_free */

/* One line on stderr that begins with "sedge VERB: ", then where help is. Returns 2. */
int sg_usage(const sg_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));

void sg_help_main(void);
void sg_help_verb(const sg_verb *verb);
int sg_help_man(void);
int sg_help_completion(const char *shell); /* 0, or 2 after a line on stderr */

#endif
