/* stop.c - all that was written is spelled anew after each token: what a token spells may depend on those before it. */
#define _GNU_SOURCE /* memmem */
#include "lm/stop.h"

#include <string.h>

void sg_stopper_free(sg_stopper *s)
{
    sg_buf_free(&s->written);
}

sg_bytes sg_stop_before(sg_bytes text, const char *stop)
{
    const char *at = *stop && text.size ? memmem(text.data, text.size, stop, strlen(stop)) : NULL;

    return at ? (sg_bytes){text.data, (size_t)(at - text.data)} : text;
}

sg_status sg_stopper_reached(bool *yes, sg_stopper *s, const sg_token_list *written, sg_error *err)
{
    sg_status st;

    *yes = false;
    if (!*s->text)
        return SG_OK;
    s->written.size = 0;
    if ((st = sg_tokenizer_decode(&s->written, s->tokenizer, written->id, written->n, true, err)))
        return st;
    if (s->written.failed)
        return sg_fail_memory(err, "answer");
    *yes = s->written.size && memmem(s->written.data, s->written.size, s->text, strlen(s->text)) != NULL;
    return SG_OK;
}
