/* template_parts.h - what a template is inside, for the files that read one, fill it and read its answers. */
#ifndef SG_TEXT_TEMPLATE_PARTS_H
#define SG_TEXT_TEMPLATE_PARTS_H

#include "text/pattern.h"
#include "text/template.h"

enum { SG_TEMPLATE_GUARDS_MAX = 64, SG_TEMPLATE_KEY_MOST = 120 /* bytes of a key of JSON */ };

typedef struct sg_template_hole { /* a slot */
    char *name;                   /* owned */
    int line;                     /* that first names it */
    bool declared, used;
    bool keep_end, list, number, lines, json;
    size_t tokens;               /* at most; 0: any number */
    char *separator, *otherwise; /* owned; NULL: none */
} sg_template_hole;

typedef struct sg_template_piece {
    size_t turn;
    int slot;   /* -1: text */
    char *text; /* owned */
    size_t size;
} sg_template_piece;

typedef enum sg_answer_kind {
    SG_ANSWER_TEXT,
    SG_ANSWER_LINE,
    SG_ANSWER_JSON,
    SG_ANSWER_MATCH
} sg_answer_kind;

struct sg_template {
    char *file, *name, *version, *origin; /* owned */
    sg_template_hole slot[SG_TEMPLATE_SLOTS_MAX];
    size_t n_slots;
    const char *role[SG_TEMPLATE_TURNS_MAX];
    size_t n_turns;
    sg_template_piece *piece; /* owned */
    size_t n_pieces, cap_pieces;
    char *guard[SG_TEMPLATE_GUARDS_MAX]; /* owned */
    size_t n_guards;
    size_t budget; /* 0: none */
    sg_answer_kind answer;
    char *keys;          /* owned: SG_ANSWER_JSON, separated by commas; NULL: any */
    char *regex;         /* owned */
    sg_pattern *pattern; /* owned */
    bool whole;          /* an answer that its length has cut is none */
    int repairs;
    char *fallback; /* owned; NULL: none */
};

static inline bool sg_template_space(unsigned char c)
{
    return c <= ' ' || c == 0x7f;
}

/* ---- the parser: its words and lines, and the head, in template_head.c; turns in template.c ---- */
typedef struct sg_template_parser {
    sg_template *t;
    const char *at, *end; /* of the file */
    int line;
    sg_bytes text;  /* the line */
    size_t word_at; /* in it */
    sg_buf value;   /* of the word last read */
    sg_error *err;
} sg_template_parser;

#define SG_TEMPLATE_FAIL(p, ...) sg_template_fail((p)->t, (p)->line, (p)->err, __VA_ARGS__)
sg_status sg_template_fail(const sg_template *t, int line, sg_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool sg_template_line(sg_template_parser *p); /* the next line into p->text; false: there is none */
void sg_template_skip(sg_template_parser *p);
sg_status sg_template_word(sg_template_parser *p, bool *found); /* the next word of the line into p->value */
sg_template_hole *sg_template_hole_find(sg_template *t, sg_bytes name); /* NULL: there is none */
sg_status sg_template_hole_add(sg_template_parser *p, sg_bytes name, sg_template_hole **out);
sg_status sg_template_directive(sg_template_parser *p,
                                const char *word); /* a line of the head that begins with word */

#endif
