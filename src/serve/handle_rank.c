/* handle_rank.c - given items instead of the best of all: their scores, or a list in a new order.
 *
 * The items are the only ones that a request allows, and it asks for as many as there are, with a beam as wide: so
 * generative models score every one of them exactly. Models with the role rank say what probability each task has. */
#include "serve/server.h"

#include "base/alloc.h"
#include "serve/answer.h"
#include "serve/reply.h"

#include <string.h>

#define WHOM                                                                                                 \
    {"model", SG_FIELD_TEXT, .meaning = "which of the served models (the first)"},                           \
        {"user", SG_FIELD_TEXT, .meaning = "a user of the dataset or of stored events"},                     \
        {"history", SG_FIELD_TEXTS, .most = offsetof(sg_serve_config, history_max),                          \
         .meaning = "or any history: item ids, oldest first"},                                               \
        {"times", SG_FIELD_INTS, .most = offsetof(sg_serve_config, history_max),                             \
         .meaning = "when each of the history was, in seconds since 1970; for models that read times"},      \
    {                                                                                                        \
        "items", SG_FIELD_TEXTS, .needed = true, .most = offsetof(sg_serve_config, rank_max),                \
                                 .meaning = "the items to score; those of the history may be among them"     \
    }
#define DEADLINE                                                                                             \
    {                                                                                                        \
        "deadline_ms", SG_FIELD_INT, .least = 1, .meaning = "answered 504 when it has waited longer"         \
    }

const sg_field sg_rank_fields[] = {WHOM, DEADLINE, {.name = NULL}};
const sg_field sg_rerank_fields[] = {
    WHOM,
    {"top_n", SG_FIELD_INT, .most = offsetof(sg_serve_config, rank_max), .least = 1,
     .meaning = "length of the answer (all)"},
    DEADLINE,
    {.name = NULL},
};

static bool take_items(sg_server *s, sg_job *j)
{
    const json_t *items = json_object_get(j->body, "items");

    if (json_array_size(items) == 0) {
        sg_reply_error(j->x, 400, "out_of_range", "items", "'items': expected at least one item, found none");
        return false;
    }
    if (!sg_take_history(s, j))
        return false;
    j->items = items;
    j->k = j->beam = (int)json_array_size(items);
    j->keep_seen = true;
    j->filtered = true;
    return true;
}

bool sg_handle_rank(sg_server *s, sg_job *j)
{
    return !take_items(s, j);
}

bool sg_handle_rerank(sg_server *s, sg_job *j)
{
    j->best_first = true;
    return !take_items(s, j);
}

static int32_t item_at(const sg_source *s, const json_t *items, size_t i)
{
    const json_t *id = json_array_get(items, i);

    return sg_source_offered(s, (sg_bytes){json_string_value(id), json_string_length(id)});
}

sg_status sg_rank_filter(sg_query *q, const sg_source *s, const json_t *items, sg_error *err)
{
    const size_t n = json_array_size(items);
    const sg_status st = sg_query_filter(q, s, false, err);
    size_t known = 0;

    for (size_t i = 0; !st && i < n; i++) {
        const json_t *id = json_array_get(items, i);

        sg_query_switch(q, s, (sg_bytes){json_string_value(id), json_string_length(id)}, true);
        known += item_at(s, items, i) >= 0;
    }
    if (!st && !known)
        return sg_fail(err, SG_ERR_MISSING,
                       "item '%.200s' is not in the catalogue, nor is any other of the items",
                       json_string_value(json_array_get(items, 0)));
    return st;
}

/* ---- the role rank ----------------------------------------------------------------------------------------- */

static const sg_model_class *class_of(const sg_worker *w)
{
    return w->loaded->source.model->class;
}

static bool is_among(const int32_t *item, size_t n, int32_t one)
{
    for (size_t i = 0; i < n; i++)
        if (item[i] == one)
            return true;
    return false;
}

/* Insertion from the front: at most --rank-max items, whose computation costs far more. Equal ones stay as they were given. */
static void sort_by_goal(sg_query *q, float *p, float *row, size_t tasks)
{
    for (size_t i = 1; i < q->n; i++) {
        const int32_t item = q->item[i];
        const float score = q->score[i];
        size_t at = i;

        memcpy(row, p + i * tasks, tasks * sizeof *row);
        for (; at > 0 && q->score[at - 1] < score; at--) {
            q->item[at] = q->item[at - 1];
            q->score[at] = q->score[at - 1];
            memcpy(p + at * tasks, p + (at - 1) * tasks, tasks * sizeof *p);
        }
        q->item[at] = item;
        q->score[at] = score;
        memcpy(p + at * tasks, row, tasks * sizeof *row);
    }
}

sg_status sg_rank_run(sg_query *q, sg_worker *w, const sg_job *j, sg_error *err)
{
    const sg_model *m = w->loaded->source.model;
    const size_t given = json_array_size(j->items), tasks = (size_t)class_of(w)->tasks(m);
    const size_t goal = class_of(w)->goal ? (size_t)class_of(w)->goal(m) : 0;
    int64_t offsets[2];
    const sg_histories h = sg_query_histories(q, offsets);
    sg_status st;

    q->n = 0;
    if (!sg_grow(&q->item, &q->cap_item, given, sizeof *q->item) ||
        !sg_grow(&q->score, &q->cap_score, given, sizeof *q->score) ||
        !sg_grow(&w->p, &w->cap_p, (given + 1) * tasks, sizeof *w->p)) /* one row more, to sort with */
        return sg_fail_memory(err, "items to rank");
    for (size_t i = 0; i < given; i++) {
        const int32_t item = item_at(&w->source, j->items, i);

        if (item >= 0 && !is_among(q->item, q->n, item))
            q->item[q->n++] = item;
    }
    if ((st = class_of(w)->rank(w->session, &h, q->item, (int)q->n, w->p, err)))
        return st;
    for (size_t i = 0; i < q->n; i++)
        q->score[i] = w->p[i * tasks + goal];
    sort_by_goal(q, w->p, w->p + q->n * tasks, tasks);
    return SG_OK;
}

static json_t *probabilities_json(const sg_source *s, const float *p)
{
    const sg_model *m = s->model;
    json_t *o = json_object();
    char name[64];

    for (int k = 0; k < m->class->tasks(m); k++) {
        m->class->task_name(m, s->data, k, name, sizeof name);
        json_object_set_new(o, name, sg_score_json(p[k]));
    }
    return o;
}

/* ---- the answer -------------------------------------------------------------------------------------------- */

/* Where an item stands among the hits, from 0; q->n: nowhere. */
static size_t place_of(const sg_query *q, int32_t item)
{
    size_t r = 0;

    while (r < q->n && q->item[r] != item)
        r++;
    return r;
}

static void add_probabilities(json_t *into, const sg_source *s, const sg_query *q, const float *p,
                              size_t place)
{
    if (p && place < q->n)
        json_object_set_new(into, "probabilities",
                            probabilities_json(s, p + place * (size_t)s->model->class->tasks(s->model)));
}

static json_t *given_json(const sg_source *s, const sg_query *q, const float *p, const json_t *id,
                          int32_t item)
{
    const size_t place = item >= 0 ? place_of(q, item) : q->n;
    json_t *o = item >= 0 ? sg_source_item_json(s, item) : json_pack("{s:O}", "item", id);

    json_object_set_new(o, "score", place < q->n ? sg_score_json(q->score[place]) : json_null());
    json_object_set_new(o, "rank", place < q->n ? json_integer((json_int_t)place + 1) : json_null());
    add_probabilities(o, s, q, p, place);
    return o;
}

static json_t *result_json(const sg_source *s, const sg_query *q, const float *p, size_t index, int32_t item,
                           size_t place)
{
    json_t *o = json_pack("{s:I}", "index", (json_int_t)index);

    json_object_update_new(o, sg_source_item_json(s, item));
    json_object_set_new(o, "relevance_score", sg_score_json(q->score[place]));
    add_probabilities(o, s, q, p, place);
    return o;
}

sg_status sg_rank_answer(json_t *into, const sg_source *s, const sg_query *q, const float *p, const sg_job *j,
                         sg_error *err)
{
    const size_t n = json_array_size(j->items);
    const json_t *top = json_object_get(j->body, "top_n");
    const size_t most = json_is_integer(top) ? (size_t)json_integer_value(top) : n;
    int32_t *item = sg_alloc_array(n, sizeof *item);
    json_t *list = json_array();

    for (size_t i = 0; item && i < n; i++) {
        item[i] = item_at(s, j->items, i);
        if (!j->best_first)
            json_array_append_new(list, given_json(s, q, p, json_array_get(j->items, i), item[i]));
    }
    for (size_t r = 0; item && j->best_first && r < q->n; r++)
        for (size_t i = 0; i < n && json_array_size(list) < most; i++) /* an item may be given twice */
            if (item[i] == q->item[r])
                json_array_append_new(list, result_json(s, q, p, i, item[i], r));
    const bool failed = !item || json_object_set(into, j->best_first ? "results" : "items", list);

    json_decref(list);
    sg_free(item);
    return failed ? sg_fail_memory(err, "answer") : SG_OK;
}
