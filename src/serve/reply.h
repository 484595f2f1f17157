/* reply.h - answers as JSON; errors in the shape of OpenAI's API. */
#ifndef SG_SERVE_REPLY_H
#define SG_SERVE_REPLY_H

#include "serve/http.h"

#include <jansson.h>

/* value is taken; NULL: out of memory, which becomes a 500. */
void sg_reply(sg_exchange *x, int status, json_t *value);
/* {"error": {"message", "type", "param", "code"}}; param may be NULL. */
void sg_reply_error(sg_exchange *x, int status, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* An error of ours: usage and format are 400, missing is 404, away is 503, the rest 500. */
void sg_reply_status(sg_exchange *x, sg_status st, const sg_error *err);

#endif
