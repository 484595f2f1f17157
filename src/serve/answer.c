/* answer.c - hits as JSON, and why an item is among them: the events of the history without which its score
 * would fall, and the way down its semantic ID with what each prefix means. The numbers are
 * models/explain.h's. */
#include "serve/answer.h"

#include "models/explain.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { REASONS = 3, HISTORY_SHOWN = 20 };

/* 0.3744, not 0.3743635416030884 */
json_t *sg_score_json(float x)
{
    char text[32];

    if (!isfinite(x))
        return json_null();
    snprintf(text, sizeof text, "%.7g", (double)x);
    return json_real(strtod(text, NULL));
}

static json_t *hit_json(const sg_source *s, const sg_query *q, size_t i)
{
    json_t *o = json_object();

    json_object_set_new(o, "rank", json_integer((json_int_t)i + 1));
    json_object_update_new(o, sg_source_item_json(s, q->item[i]));
    json_object_set_new(o, "score", sg_score_json(q->score[i]));
    return o;
}

/* The events with the largest positive effects on hit i. */
static json_t *reasons_json(const sg_explanation *x, const sg_source *s, const sg_query *q, size_t i)
{
    const float *effect = x->effect + i * (size_t)x->n_events;
    const int32_t *order = x->order + i * (size_t)x->n_events;
    json_t *list = json_array();

    for (int r = 0; r < x->n_events && r < REASONS && effect[order[r]] > 0; r++) {
        const int64_t event = x->first_event + order[r];
        json_t *o = sg_source_item_json(s, q->history[event]);

        json_object_set_new(o, "position", json_integer((json_int_t)event + 1));
        json_object_set_new(o, "effect", sg_score_json(effect[order[r]]));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *path_json(const sg_source *s, const sg_explanation *x, size_t i)
{
    const size_t levels = (size_t)x->levels;
    const int32_t *codes = x->codes + i * levels;
    const size_t length = (size_t)sg_catalogue_length(sg_source_catalogue(s), codes);
    json_t *path = json_array();
    int32_t node = 0;

    for (size_t l = 0; l < levels && l <= length; l++) {
        json_t *o;

        node = sg_catalogue_child(sg_source_catalogue(s), (int)l, node, codes[l]);
        o = sg_source_step_json(s, codes, (int)l + 1, node);
        if (x->logp)
            json_object_set_new(o, "probability", sg_score_json(expf(x->logp[i * levels + l])));
        json_array_append_new(path, o);
    }
    return path;
}

sg_status sg_answer_items(json_t *into, const sg_source *s, const sg_query *q, sg_error *err)
{
    json_t *items = json_array();

    for (size_t i = 0; i < q->n; i++)
        json_array_append_new(items, hit_json(s, q, i));
    return json_object_set_new(into, "items", items) ? sg_fail_memory(err, "answer") : SG_OK;
}

sg_status sg_answer_explained(json_t *into, const sg_source *s, const sg_query *q, sg_session *session,
                              sg_error *err)
{
    sg_explanation x = {0};
    int64_t offsets[2];
    const sg_histories h = sg_query_histories(q, offsets);
    sg_status st = SG_OK;
    json_t *items, *o;
    size_t i;

    if (q->n && q->n_history && (st = sg_explain(&x, session, &h, q->item, (int)q->n, 0, err)))
        return st;
    st = sg_answer_items(into, s, q, err);
    items = json_object_get(into, "items");
    json_array_foreach(items, i, o)
    {
        if (x.n && x.levels)
            json_object_set_new(o, "path", path_json(s, &x, i));
        json_object_set_new(o, "because", x.n ? reasons_json(&x, s, q, i) : json_array());
    }
    sg_explanation_free(&x);
    return st;
}

sg_status sg_answer_history(json_t *into, const sg_source *s, const sg_query *q, sg_error *err)
{
    const size_t first = q->n_history > HISTORY_SHOWN ? q->n_history - HISTORY_SHOWN : 0;
    json_t *list = json_array();

    for (size_t i = first; i < q->n_history; i++)
        json_array_append_new(list, sg_source_item_json(s, q->history[i]));
    json_object_set_new(into, "history_length", json_integer((json_int_t)q->n_history));
    return json_object_set_new(into, "history", list) ? sg_fail_memory(err, "answer") : SG_OK;
}
