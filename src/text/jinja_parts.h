/* jinja_parts.h - what the files of the template language share: tokens, values, the state of a run. */
#ifndef SG_TEXT_JINJA_PARTS_H
#define SG_TEXT_JINJA_PARTS_H

#include "text/jinja.h"

#include "base/arena.h"

enum { SG_JINJA_DEPTH = 64, SG_JINJA_STEPS = 20000000, SG_JINJA_ARGS = 8 };
#define SG_JINJA_BYTES ((size_t)256 << 20)

typedef enum sg_jinja_type {
    SG_J_TEXT,
    SG_J_OPEN_VAR,
    SG_J_CLOSE_VAR,
    SG_J_OPEN_BLOCK,
    SG_J_CLOSE_BLOCK,
    SG_J_NAME,
    SG_J_STRING,
    SG_J_INT,
    SG_J_OP,
    SG_J_END
} sg_jinja_type;

typedef struct sg_jinja_token {
    sg_jinja_type type;
    int line;
    sg_bytes s; /* TEXT and STRING: as it reads; NAME, OP: as it is written */
    int64_t n;  /* INT */
    uint32_t
        next; /* OPEN_BLOCK of if, elif, else, for, macro, set: that of the clause after it, or of the end */
    uint32_t close; /* OPEN_BLOCK of if, for, macro, set: that of the end */
} sg_jinja_token;

typedef enum sg_jinja_kind {
    SG_J_UNDEFINED,
    SG_J_NONE,
    SG_J_BOOL,
    SG_J_NUMBER,
    SG_J_STR,
    SG_J_LIST,
    SG_J_DICT,
    SG_J_LOOP,
    SG_J_MACRO,
    SG_J_GLOBAL
} sg_jinja_kind;

struct sg_jinja_list;
typedef struct sg_jinja_value {
    sg_jinja_kind kind;
    int64_t n;                  /* BOOL, NUMBER; LOOP: which turn; MACRO: its token; GLOBAL: which */
    sg_bytes s;                 /* STR; UNDEFINED: its name */
    const uint8_t *said;        /* STR: (s.size), or NULL: all of it the template's */
    struct sg_jinja_list *list; /* LIST, DICT; LOOP: what is looped over */
} sg_jinja_value;

typedef struct sg_jinja_list {
    sg_jinja_value *item, *key; /* key: DICT */
    size_t n, cap;
    bool space; /* a namespace, whose members can be set */
} sg_jinja_list;

typedef struct sg_jinja_args {
    sg_jinja_value item[SG_JINJA_ARGS], named[SG_JINJA_ARGS];
    sg_bytes name[SG_JINJA_ARGS];
    size_t n, n_named;
} sg_jinja_args;

typedef struct sg_jinja_variable {
    sg_bytes name;
    sg_jinja_value value;
} sg_jinja_variable;

typedef enum sg_jinja_flow { SG_J_ON, SG_J_BREAK, SG_J_CONTINUE } sg_jinja_flow;

typedef struct sg_jinja {
    sg_arena *arena; /* owned: all of a run */
    sg_jinja_token *token;
    size_t n_tokens, cap_tokens;
    size_t at; /* token at hand */
    int dead;  /* above 0: read, not worked out */
    int depth;
    int64_t steps;
    sg_jinja_variable *variable; /* owned: innermost last */
    size_t n_variables, cap_variables;
    size_t frame, floor,
        root; /* first of the innermost scope; of those that a macro sees besides the first `root` */
    sg_jinja_flow flow;
    sg_jinja_out *out;
    sg_status st; /* the first failure; nothing is done after it */
    sg_error *err;
} sg_jinja;

/* jinja_lex.c */
void sg_jinja_cut(sg_jinja *j, sg_bytes source); /* fills token, links blocks */

/* jinja_values.c. Failures are in j->st, and what comes back then is undefined. */
sg_jinja_value sg_jinja_fail(sg_jinja *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *sg_jinja_take(sg_jinja *j, size_t count, size_t each); /* NULL after a failure */
bool sg_jinja_is(sg_bytes s, const char *word);
bool sg_jinja_same(sg_bytes a, sg_bytes b);
sg_jinja_value sg_jinja_bool(bool yes);
sg_jinja_value sg_jinja_number(int64_t n);
sg_jinja_value sg_jinja_text(const char *s);                       /* borrowed, the template's */
sg_jinja_value sg_jinja_new_list(sg_jinja *j, sg_jinja_kind kind); /* LIST or DICT */
void sg_jinja_append(sg_jinja *j, sg_jinja_value to, sg_jinja_value item);
void sg_jinja_put(sg_jinja *j, sg_jinja_value to, sg_jinja_value key, sg_jinja_value item); /* replaces */
const sg_jinja_value *sg_jinja_get(sg_jinja_value of, sg_bytes key);                        /* NULL: none */
bool sg_jinja_truth(sg_jinja_value v);
bool sg_jinja_equal(sg_jinja_value a, sg_jinja_value b);
bool sg_jinja_in(sg_jinja *j, sg_jinja_value what, sg_jinja_value of);
sg_jinja_value sg_jinja_str(sg_jinja *j, sg_jinja_value v); /* as it prints */
sg_jinja_value sg_jinja_cat(sg_jinja *j, sg_jinja_value a, sg_jinja_value b);
sg_jinja_value sg_jinja_part(sg_jinja_value v, size_t from, size_t to); /* bytes of a string */
sg_jinja_value sg_jinja_items(sg_jinja *j, sg_jinja_value v);           /* what a loop goes over, as a LIST */
sg_jinja_value sg_jinja_slice(sg_jinja *j, sg_jinja_value v, const int64_t *from, const int64_t *to,
                              int64_t step); /* NULL: the end */
sg_jinja_value sg_jinja_index(sg_jinja *j, sg_jinja_value v, sg_jinja_value at);

/* jinja.c: the token at hand and what stands from it on */
bool sg_jinja_take_op(sg_jinja *j, const char *op); /* false: another one, still at hand */
bool sg_jinja_take_word(sg_jinja *j, const char *word);
void sg_jinja_need(sg_jinja *j, sg_jinja_type type, const char *what);
sg_bytes sg_jinja_need_name(sg_jinja *j);
bool sg_jinja_step(sg_jinja *j);                                        /* counts; false: stop */
sg_jinja_value *sg_jinja_find(sg_jinja *j, sg_bytes name);              /* a variable; NULL: none */
void sg_jinja_assign(sg_jinja *j, sg_bytes name, sg_jinja_value value); /* in the innermost scope */
sg_jinja_value sg_jinja_expression(sg_jinja *j);
sg_jinja_value sg_jinja_plain(sg_jinja *j); /* without a condition behind it */

/* jinja_run.c */
void sg_jinja_run(sg_jinja *j, size_t from, size_t to);               /* tokens */
sg_jinja_value sg_jinja_capture(sg_jinja *j, size_t from, size_t to); /* what they write, as a string */

/* jinja_calls.c */
sg_jinja_value sg_jinja_filter(sg_jinja *j, sg_bytes name, sg_jinja_value v, const sg_jinja_args *a);
sg_jinja_value sg_jinja_test(sg_jinja *j, sg_bytes name, sg_jinja_value v, const sg_jinja_args *a);
sg_jinja_value sg_jinja_method(sg_jinja *j, sg_bytes name, sg_jinja_value v, const sg_jinja_args *a);

#endif
