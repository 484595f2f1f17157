/* tasks.h - what models that rank are asked about an event: was it liked, or which action was it. */
#ifndef SG_MODELS_TASKS_H
#define SG_MODELS_TASKS_H

#include "data/dataset.h"

typedef struct sg_tasks {
    bool rating; /* one task, "liked": a rating of at least `like`; else one an action, "was it this one" */
    double like;
    int actions;
} sg_tasks;

#define SG_TASK_OPTIONS(X)                                                                                   \
    X(choice, label, rating, 0, 0, "rating|action: what is predicted, and what is read of past events")      \
    X(float, like, 4, -1000000, 1000000, "label=rating: liked is a rating from here on")                     \
    X(int, actions, 3, 1, 1024, "label=action: how many actions there are")                                  \
    X(int, goal, 0, 0, 1023, "the task that makes an event positive and that recommending goes by")

/* Of a struct with the options above. */
#define SG_TASKS_OF(c) ((sg_tasks){!strcmp((c)->label, "rating"), (c)->like, (c)->actions})

static inline int sg_tasks_count(sg_tasks t)
{
    return t.rating ? 1 : t.actions;
}

/* d: whose actions the tasks are named by; NULL: unknown. */
/* d NULL: nobody knows the names of actions. */
void sg_task_name(sg_tasks t, const sg_dataset *d, int task, char *text, size_t bytes);
/* 1: yes, 0: no, -1: the event says nothing. */
int sg_task_label(sg_tasks t, const sg_dataset *d, int64_t e, int task);
/* The goal is one of the tasks; the data has what they are about. model: its name for the message. */
sg_status sg_tasks_check_goal(sg_tasks t, int goal, const char *model, sg_error *err);
sg_status sg_tasks_check_data(sg_tasks t, const sg_dataset *d, const char *model, sg_error *err);

#endif
