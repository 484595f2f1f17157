/* progress.c - forwards to the caller. */
#include "base/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

sg_status sg_progress_tick(const sg_progress *p, const sg_progress_event *e, sg_error *err)
{
    if (p && p->call && p->call(p->user, e))
        return sg_fail(err, SG_ERR_CANCEL, "%s: cancelled", e->stage);
    return SG_OK;
}

sg_status sg_progress_say(const sg_progress *p, sg_error *err, const char *stage, const char *format, ...)
{
    char text[1024];
    va_list args;

    if (!p || !p->call)
        return SG_OK;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return sg_progress_tick(
        p, &(sg_progress_event){.stage = stage, .note = text, .loss = (double)NAN, .message = 1}, err);
}

double sg_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
