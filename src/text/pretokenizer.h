/* pretokenizer.h - cuts normalised text into the pieces between which no token reaches: a list of steps. */
#ifndef SG_TEXT_PRETOKENIZER_H
#define SG_TEXT_PRETOKENIZER_H

#include "base/buf.h"
#include "base/status.h"
#include "text/pattern.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What becomes of a match. */
typedef enum sg_cut {
    SG_CUT_REMOVED,
    SG_CUT_ISOLATED,
    SG_CUT_PREVIOUS,
    SG_CUT_NEXT,
    SG_CUT_CONTIGUOUS
} sg_cut;

typedef enum sg_pre_kind {
    SG_PRE_PATTERN, /* matches of a pattern or of a string, cut as `cut` says */
    SG_PRE_DIGITS,
    SG_PRE_SPACES,
    SG_PRE_PUNCT,
    SG_PRE_WORDS,  /* runs of word characters and runs of what is neither word nor space */
    SG_PRE_PREFIX, /* a space in front of each piece that has none */
    SG_PRE_META,   /* spaces become U+2581 */
} sg_pre_kind;

typedef enum sg_meta_prefix { SG_META_ALWAYS, SG_META_FIRST, SG_META_NEVER } sg_meta_prefix;

typedef struct sg_pre_step {
    sg_pre_kind kind;
    sg_cut cut;            /* PATTERN, PUNCT, DIGITS */
    bool invert;           /* PATTERN */
    sg_pattern *pattern;   /* owned; NULL: the string `text` */
    sg_buf text;           /* PATTERN; META: what a space becomes */
    sg_meta_prefix prefix; /* META */
    bool split;            /* META: cut before each U+2581 */
} sg_pre_step;

typedef struct sg_pretokenizer {
    sg_pre_step *step; /* owned */
    size_t n, cap;
} sg_pretokenizer;

typedef struct sg_span {
    uint32_t start, end;
} sg_span;

typedef struct sg_pieces { /* what comes out, and scratch */
    const char *text;      /* borrowed, or one of the buffers */
    sg_span *span;         /* one of the lists: not empty, in order, not overlapping */
    size_t n;
    sg_span *list[2]; /* owned */
    size_t cap[2];
    sg_buf buffer[2];
    sg_matcher *matcher; /* borrowed */
} sg_pieces;

sg_pre_step *sg_pretokenizer_add(sg_pretokenizer *p); /* zeroed; NULL: out of memory */
void sg_pretokenizer_free(sg_pretokenizer *p);
/* first: the text is where the input begins. Text of less than 4 GiB. */
sg_status sg_pretokenizer_run(sg_pieces *out, const sg_pretokenizer *p, sg_bytes text, bool first,
                              sg_error *err);
void sg_pieces_free(sg_pieces *p);

#endif
