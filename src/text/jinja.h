/* jinja.h - chat templates, which are programs in Jinja, run as Hugging Face's libraries run them (trim_blocks, lstrip_blocks).
 *
 * Known is what templates use for turns of text: if, for (with conditions, loop, break, continue), set (of names, members of a namespace,
 * blocks), macro, generation; expressions with their operators, slices, lists and dicts; filters, tests and methods of strings as jinja.c and
 * jinja_calls.c list them. What is not known is an error that names it, and only where it is reached: what a template says of tools may use
 * anything. The day of today does not exist here (strftime_now is not defined), so that the same conversation is always the same text. */
#ifndef SG_TEXT_JINJA_H
#define SG_TEXT_JINJA_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

typedef struct sg_jinja_turn {
    const char *role;
    sg_bytes text; /* UTF-8 */
} sg_jinja_turn;

typedef struct sg_jinja_vars {
    const sg_jinja_turn *turn; /* messages */
    size_t n;
    bool answer;           /* add_generation_prompt */
    bool no_thinking;      /* enable_thinking is false; otherwise it is not defined */
    const char *bos, *eos; /* bos_token, eos_token; NULL: not defined */
} sg_jinja_vars;

typedef struct sg_jinja_out {
    sg_buf text;
    sg_buf said; /* for each byte of text: 0, it is the template's; otherwise 1 + i % 255, turn i said it */
} sg_jinja_out;

/* Appends. "chat template, line 3: ...": what is not known, what raise_exception says, or more than 20 million steps or 256 MiB. */
sg_status sg_jinja_render(sg_jinja_out *out, sg_bytes source, const sg_jinja_vars *vars, sg_error *err);
void sg_jinja_out_free(sg_jinja_out *out);

#endif
