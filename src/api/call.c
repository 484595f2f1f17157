/* call.c - one way into the library and one way out. */
#include "api/api.h"

#include "base/alloc.h"
#include "file/json.h"

#include <math.h>
#include <string.h>

const char *sedge_version(void)
{
    return SEDGE_VERSION;
}

void sedge_free(void *p)
{
    sg_free(p);
}

const char *sedge_nearest(const char *word, const char *const *known, size_t n)
{
    return sg_nearest(word, known, n);
}

static int forward(void *user, const sg_progress_event *e)
{
    const sedge_run *run = user;
    const sedge_event out = {.stage = e->stage,
                             .note = e->note,
                             .unit = e->unit,
                             .done = e->done,
                             .total = e->total,
                             .loss = e->message ? (double)NAN : e->loss,
                             .message = e->message};

    return run->progress(run->user, &out);
}

/* Copies a struct that begins with its size; what an older caller does not have stays zero. */
static bool take_struct(void *to, size_t bytes, const void *given)
{
    size_t size;

    if (!given)
        return false;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size)
        return false;
    memcpy(to, given, size < bytes ? size : bytes);
    return true;
}

sg_status api_begin(api_call *c, void *params, size_t bytes, const void *given)
{
    struct head {
        size_t size;
        const sedge_run *run;
    } head;
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);

    *c = (api_call){.locale_old = plain ? uselocale(plain) : (locale_t)0};
    if (!params)
        return SG_OK;
    memset(params, 0, bytes);
    if (!take_struct(params, bytes, given))
        return sg_fail(&c->err, SG_ERR_USAGE, "parameters: expected a struct that begins with its own size");
    memcpy(&head, params, sizeof head);
    if (head.run && !take_struct(&c->run, sizeof c->run, head.run))
        return sg_fail(&c->err, SG_ERR_USAGE, "run: expected a struct that begins with its own size");
    if (c->run.threads < 0)
        return sg_fail(&c->err, SG_ERR_USAGE, "threads: expected at least 0, found %d", c->run.threads);
    if (c->run.progress)
        c->progress = (sg_progress){.call = forward, .user = &c->run};
    return SG_OK;
}

sg_status api_pool(api_call *c, sg_pool **out)
{
    sg_status st = SG_OK;

    if (!c->pool)
        st = sg_pool_new(&c->pool, c->run.threads, &c->err);
    *out = c->pool;
    return st;
}

int api_error(sedge_error *out, const sg_error *err, sg_status st)
{
    if (out) {
        out->status = (int)st;
        if (st)
            memcpy(out->message, err->message, sizeof out->message);
        else
            out->message[0] = 0;
    }
    return (int)st;
}

int api_end(api_call *c, sg_status st, char **json, sedge_error *err)
{
    sg_buf text = {0};

    if (json)
        *json = NULL;
    if (!st && json) {
        if (c->result)
            sg_json_print_compact(&text, c->result);
        if (!c->result || !(*json = sg_buf_take(&text)))
            st = sg_fail_memory(&c->err, "result");
    }
    json_decref(c->result);
    sg_pool_free(c->pool);
    if (c->locale_old)
        freelocale(uselocale(c->locale_old));
    return api_error(err, &c->err, st);
}

sg_status api_need(const char *value, const char *what, sg_error *err)
{
    return value && value[0] ? SG_OK : sg_fail(err, SG_ERR_USAGE, "expected %s, found nothing", what);
}
