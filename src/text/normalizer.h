/* normalizer.h - what a tokenizer does to text before it cuts it: a list of steps from text to text. */
#ifndef SG_TEXT_NORMALIZER_H
#define SG_TEXT_NORMALIZER_H

#include "base/buf.h"
#include "base/status.h"
#include "text/charsmap.h"
#include "text/pattern.h"
#include "text/trie.h"
#include "text/unicode.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum sg_norm_kind {
    SG_NORM_FORM, /* NFC, NFD, NFKC, NFKD */
    SG_NORM_LOWER,
    SG_NORM_MARKS,   /* marks away */
    SG_NORM_STRIP,   /* white space away at the ends */
    SG_NORM_REPLACE, /* of a string or a pattern */
    SG_NORM_PREPEND, /* to text that is not empty */
    SG_NORM_BERT,
    SG_NORM_CHARSMAP,
    SG_NORM_BYTES,  /* GPT-2's letters for the bytes */
    SG_NORM_SPIECE, /* all that SentencePiece does, with its own options */
} sg_norm_kind;

typedef struct sg_norm_step {
    sg_norm_kind kind;
    sg_form form;
    bool left, right;                /* STRIP */
    bool clean, han, accents, lower; /* BERT: accents true: away with them */
    bool dummy_prefix, few_spaces,
        escape;          /* SPIECE: a space in front, runs of spaces to one, spaces as U+2581 */
    bool has_map;        /* SPIECE */
    sg_charsmap map;     /* CHARSMAP, SPIECE */
    sg_trie keep;        /* SPIECE: pieces that go through untouched; without nodes: none */
    sg_pattern *pattern; /* REPLACE, owned; NULL: the string `find` */
    sg_buf find, put;    /* REPLACE, PREPEND */
} sg_norm_step;

typedef struct sg_normalizer {
    sg_norm_step *step; /* owned */
    size_t n, cap;
} sg_normalizer;

typedef struct sg_norm_scratch {
    sg_buf text[2];
    sg_wide wide;
    sg_matcher *matcher; /* borrowed */
} sg_norm_scratch;

/* A zeroed step to fill in; NULL: out of memory. It is freed with the normalizer. */
sg_norm_step *sg_normalizer_add(sg_normalizer *n);
void sg_normalizer_free(sg_normalizer *n);
/* *out lies in `text` or in the scratch; text is valid UTF-8. *moved: what *out begins with stood behind something in the text
 * that is gone, by the library's account of places: there a Replace moves its result to the last character it took. */
sg_status sg_normalizer_run(sg_bytes *out, bool *moved, const sg_normalizer *n, sg_norm_scratch *scratch,
                            sg_bytes text, sg_error *err);
void sg_norm_scratch_free(sg_norm_scratch *s);

#endif
