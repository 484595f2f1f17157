/* normalise.h - any bytes to words: Unicode NFKC, case folded, cut at word boundaries.
 *
 * A word is a run of letters, marks and digits. '.' and ',' between digits stay ("0.5"), an apostrophe between letters is
 * dropped ("L'Oreal" = "loreal"), everything else separates. Han, Hiragana and Katakana, which write no spaces, are
 * one word a character. Bytes that are no UTF-8 separate words. text/normalise.c is the only file that names utf8proc. */
#ifndef SG_TEXT_NORMALISE_H
#define SG_TEXT_NORMALISE_H

#include "base/buf.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct sg_words {
    uint32_t *code; /* owned: code points of all words, one after the other */
    size_t *start;  /* owned: word i is code[start[i]] .. code[start[i + 1]] */
    size_t n;       /* words */
    size_t cap_code, cap_start;
    char *clean; /* owned scratch: valid UTF-8 */
    int32_t *wide;
    size_t cap_clean, cap_wide;
} sg_words;

/* Replaces what w holds; its memory is kept between calls. */
sg_status sg_words_split(sg_words *w, sg_bytes text, sg_error *err);
void sg_words_print(sg_buf *out, const sg_words *w, size_t i); /* word i in UTF-8 */
void sg_words_free(sg_words *w);

#endif
