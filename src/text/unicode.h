/* unicode.h - what kind of character, in the words that tokenizer files use. */
#ifndef SG_TEXT_UNICODE_H
#define SG_TEXT_UNICODE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* These are the answers of huggingface/tokenizers, which come from several versions of Unicode (unicode_table.h). */
bool sg_char_is_space(uint32_t c);      /* White_Space */
bool sg_char_is_numeric(uint32_t c);    /* category N */
bool sg_char_is_punct(uint32_t c);      /* category P, and the ASCII signs $+<=>^`|~ */
bool sg_char_is_other(uint32_t c);      /* category C but for unassigned ones: control, format, private */
bool sg_char_is_mark(uint32_t c);       /* category M */
bool sg_char_is_nonspacing(uint32_t c); /* category Mn */
bool sg_char_is_word(uint32_t c);       /* letter, mark, decimal digit, connector or joiner: \w of UTS #18 */
bool sg_char_is_han(uint32_t c);        /* the blocks between whose characters BERT puts spaces */
/* Does c, behind the character `before`, begin a grapheme cluster? [UAX #29] *state: 0 at the first character. */
bool sg_char_begins_cluster(uint32_t before, uint32_t c, int32_t *state);

typedef enum sg_form { SG_FORM_NFC, SG_FORM_NFD, SG_FORM_NFKC, SG_FORM_NFKD } sg_form;

typedef struct sg_wide { /* scratch: code points */
    int32_t *code;       /* owned */
    size_t cap;
} sg_wide;

/* Appends valid UTF-8 in a normal form [UAX #15]; false: out of memory. */
bool sg_normal_form(sg_buf *out, sg_wide *scratch, const char *s, size_t size, sg_form form);
/* Appends lower-cased text, one character at a time: no rule looks at its neighbours. */
void sg_lower(sg_buf *out, const char *s, size_t size);

#endif
