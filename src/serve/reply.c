/* reply.c - what every answer looks like. */
#include "serve/reply.h"

#include "file/json.h"

#include <stdarg.h>
#include <stdio.h>

static const char out_of_memory[] =
    "{\"error\": {\"message\": \"out of memory\", \"type\": \"server_error\", \"param\": null, "
    "\"code\": \"out_of_memory\"}}";

void sg_reply(sg_exchange *x, int status, json_t *value)
{
    x->status = status;
    x->type = "application/json";
    sg_buf_free(&x->answer);
    if (value)
        sg_json_print_compact(&x->answer, value);
    json_decref(value);
    if (!value || x->answer.failed) {
        sg_buf_free(&x->answer);
        x->status = 500;
        sg_buf_puts(&x->answer, out_of_memory);
    }
    sg_buf_putc(&x->answer, '\n');
}

static const char *type_of(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

void sg_reply_error(sg_exchange *x, int status, const char *code, const char *param, const char *format, ...)
{
    sg_error e;
    char message[sizeof e.message];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    sg_fail(&e, SG_ERR_USAGE, "%s", message); /* one line, without control characters */
    sg_reply(x, status,
             json_pack("{s:{s:s, s:s, s:s?, s:s}}", "error", "message", e.message, "type", type_of(status),
                       "param", param, "code", code));
}

void sg_reply_status(sg_exchange *x, sg_status st, const sg_error *err)
{
    switch (st) {
    case SG_ERR_MISSING:
        sg_reply_error(x, 404, "not_found", NULL, "%s", err->message);
        return;
    case SG_ERR_USAGE:
    case SG_ERR_FORMAT:
        sg_reply_error(x, 400, "invalid_request", NULL, "%s", err->message);
        return;
    case SG_ERR_AWAY: /* where the store is, is told to the log only */
        x->retry_after = 1;
        sg_reply_error(x, 503, "store_unavailable", NULL,
                       "the store of users does not answer; try again in %d s", x->retry_after);
        return;
    default:
        sg_reply_error(x, 500, "internal", NULL, "%s", err->message);
    }
}
