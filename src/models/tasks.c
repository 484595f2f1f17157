/* tasks.c - labels of events. */
#include "models/tasks.h"

#include <jansson.h>
#include <stdio.h>

void sg_task_name(sg_tasks t, const sg_dataset *d, int task, char *text, size_t bytes)
{
    const json_t *actions = d ? json_object_get(d->about, "actions") : NULL;
    const char *name = json_string_value(json_array_get(actions, (size_t)task));

    if (t.rating)
        snprintf(text, bytes, "liked");
    else if (name)
        snprintf(text, bytes, "%s", name);
    else
        snprintf(text, bytes, "action %d", task);
}

int sg_task_label(sg_tasks t, const sg_dataset *d, int64_t e, int task)
{
    if (t.rating)
        return d->rating ? (double)d->rating[e] >= t.like : -1;
    return d->action ? d->action[e] == task : -1;
}

sg_status sg_tasks_check_goal(sg_tasks t, int goal, const char *model, sg_error *err)
{
    return goal < sg_tasks_count(t)
               ? SG_OK
               : sg_fail(err, SG_ERR_USAGE, "%s: goal: expected a task from 0 to %d, found %d", model,
                         sg_tasks_count(t) - 1, goal);
}

sg_status sg_tasks_check_data(sg_tasks t, const sg_dataset *d, const char *model, sg_error *err)
{
    const char *label = t.rating ? "rating" : "action";

    if (t.rating ? !d->rating : !d->action)
        return sg_fail(err, SG_ERR_USAGE, "%s: label=%s needs %ss, %s has none", model, label, label,
                       d->name);
    for (int64_t e = 0; !t.rating && e < d->n_events; e++)
        if (d->action[e] < 0 || d->action[e] >= t.actions)
            return sg_fail(err, SG_ERR_USAGE, "%s: actions=%d: event %lld has action %d", model, t.actions,
                           (long long)e, (int)d->action[e]);
    return SG_OK;
}
