/* stop.h - a text behind which nothing is wanted: writing ends with it, and it is no part of the answer. */
#ifndef SG_LM_STOP_H
#define SG_LM_STOP_H

#include "lm/chat.h"

typedef struct sg_stopper {
    const sg_tokenizer *tokenizer; /* borrowed, as the text */
    const char *text;              /* "": none */
    sg_buf written;                /* owned: room to decode in */
} sg_stopper;
void sg_stopper_free(sg_stopper *s);

/* Does it stand in what these tokens spell? */
sg_status sg_stopper_reached(bool *yes, sg_stopper *s, const sg_token_list *written, sg_error *err);
/* What stands before the first one. */
sg_bytes sg_stop_before(sg_bytes text, const char *stop);

#endif
