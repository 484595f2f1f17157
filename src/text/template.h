/* template.h - prompts with named slots, from small text files.
 *
 *   template item-facts 2              name and version, the first line that says anything; '#' begins a comment above the first turn
 *   slot title tokens=48
 *   slot brand else="unknown"          what stands for an empty value, which is an error otherwise
 *   slot history list=", " keep=end    several values; what does not fit goes from the beginning
 *   guard <START>                      a text that no value may spell
 *   budget 1024                        tokens of all turns together
 *   answer match [0-9]+                what an answer must be: text, line, json KEY,KEY or match REGEX
 *   whole                              an answer that its length has cut counts as wrong
 *   repairs 2                          how often it is asked for again
 *   fallback unknown                   what stands when it never comes; without it: an error
 *   [system]
 *   You know cosmetics.
 *   [user]
 *   Which age is {title} by {brand} for? {{one number}}
 *
 * A slot is written {name}, braces are written twice. Attributes of a slot: tokens=N, keep=start|end, list=SEPARATOR, number (entries
 * as "1. ..."), lines (line ends stay; otherwise all white space is one space), json (the value stands between quotes of JSON),
 * else=TEXT. A slot without a line of its own has none of them. Prompts that are too long lose entries of lists first, then the longest
 * value is cut, at the end that is not to be kept. */
#ifndef SG_TEXT_TEMPLATE_H
#define SG_TEXT_TEMPLATE_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum { SG_TEMPLATE_SLOTS_MAX = 64, SG_TEMPLATE_TURNS_MAX = 64 };

typedef struct sg_template sg_template; /* read-only once open */
sg_status sg_template_open(sg_template **out, const char *path, sg_error *err);
sg_status sg_template_parse(sg_template **out, sg_bytes text, const char *name,
                            sg_error *err); /* name begins errors */
void sg_template_close(sg_template *t);

const char *sg_template_origin(
    const sg_template *t); /* "item-facts 2 0123456789abcdef": name, version, beginning of the sha256 */
size_t sg_template_slots(const sg_template *t);
const char *sg_template_slot(const sg_template *t, size_t i);
/* slot i is known[to[i]]; "t.txt:3: unknown slot 'titel' (did you mean 'title'?)". */
sg_status sg_template_bind(size_t *to, const sg_template *t, const char *const *known, size_t n,
                           sg_error *err);

typedef struct sg_slot_value { /* borrowed; a text has one part, a list any number */
    const sg_bytes *part;
    size_t n;
} sg_slot_value;

typedef struct sg_token_counter { /* count NULL: about four bytes a token */
    sg_status (*count)(void *ctx, sg_bytes text, size_t *n, sg_error *err);
    void *ctx;
} sg_token_counter;

typedef struct sg_prompt { /* a rendered template; zeroed before its first use */
    const char *role[SG_TEMPLATE_TURNS_MAX];
    sg_buf text[SG_TEMPLATE_TURNS_MAX]; /* owned */
    size_t n;
    size_t tokens;       /* of all turns; 0: there was no budget */
    size_t dropped, cut; /* entries of lists that are not in it; values that were shortened */
} sg_prompt;
void sg_prompt_free(sg_prompt *p); /* leaves it usable */

/* value: one a slot, in the template's order; who: in errors, what the values are of. */
sg_status sg_template_render(sg_prompt *out, const sg_template *t, const sg_slot_value *value,
                             const sg_token_counter *counter, const char *who, sg_error *err);

/* Appends what the answer holds; one that is not what it must be is SG_ERR_FORMAT, with what was expected and found. */
sg_status sg_template_answer(sg_buf *out, const sg_template *t, sg_bytes answer, sg_error *err);
bool sg_template_whole(const sg_template *t); /* an answer that its length has cut is no good one */
int sg_template_repairs(const sg_template *t);
const char *sg_template_fallback(const sg_template *t); /* NULL: none */

#endif
