/* charsmap.h - SentencePiece's precompiled table of replacements: a double-array trie over UTF-8, then the replacements.
 *
 * [google/sentencepiece normalizer, Darts-clone] u32 bytes of the trie, its units, then strings that end with a 0 byte. */
#ifndef SG_TEXT_CHARSMAP_H
#define SG_TEXT_CHARSMAP_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_charsmap {
    uint32_t *unit; /* owned */
    size_t n;
    char *text; /* owned: valid UTF-8, ends with a 0 byte */
    size_t size;
    bool changes[128]; /* this ASCII character may be replaced */
} sg_charsmap;

sg_status sg_charsmap_parse(sg_charsmap *out, sg_bytes file, sg_error *err);
void sg_charsmap_free(sg_charsmap *m);
/* The replacement of the longest or shortest prefix of s that has one, and the length of that prefix; NULL: none. */
const char *sg_charsmap_find(const sg_charsmap *m, const char *s, size_t size, bool longest, size_t *bytes);
/* As Hugging Face applies it: a grapheme cluster of less than six bytes is looked up as one, others by character. */
void sg_charsmap_apply(sg_buf *out, const sg_charsmap *m, const char *s, size_t size);

#endif
