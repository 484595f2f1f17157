/* explain.c - why an item is in the list, as JSON: the events of the history without which its score would fall, and the way
 * down its semantic ID with what each prefix means. The numbers are models/explain.h's. */
#include "api/meaning.h"
#include "api/session.h"

#include "models/explain.h"
#include "models/prefixes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { REASONS = 3, WORDS = 4 };

json_t *api_item_json(const sedge_session *s, int32_t item)
{
    const sg_bytes id = sg_strings_at(&s->model->model->item_ids, (size_t)item);
    json_t *o = json_pack("{s:s%}", "item", id.data, id.size), *title;

    if (o && (title = s->data ? api_title(s->data->set, api_data_item(s, item)) : NULL))
        json_object_set_new(o, "title", title);
    return o;
}

/* A float in the digits it has: 0.3744, not 0.3743635416030884. */
static json_t *score_json(float x)
{
    char text[32];

    snprintf(text, sizeof text, "%.7g", (double)x);
    return json_real(strtod(text, NULL));
}

json_t *api_hit_json(const sedge_session *s, size_t i)
{
    json_t *o = json_object();

    json_object_set_new(o, "rank", json_integer((json_int_t)i + 1));
    json_object_update_new(o, api_item_json(s, s->item[i]));
    json_object_set_new(o, "score", score_json(s->score[i]));
    return o;
}

/* ---- what moved it ---------------------------------------------------------------------------------------------------- */

/* The events with the largest positive effects on hit i. */
static json_t *reasons_json(const sg_explanation *x, const sedge_session *s, size_t i)
{
    const float *effect = x->effect + i * (size_t)x->n_events;
    const int32_t *order = x->order + i * (size_t)x->n_events;
    json_t *list = json_array();

    for (int r = 0; r < x->n_events && r < REASONS && effect[order[r]] > 0; r++) {
        const int64_t event = x->first_event + order[r];
        json_t *o = api_item_json(s, s->history[event]);

        json_object_set_new(o, "position", json_integer((json_int_t)event + 1));
        json_object_set_new(o, "effect", score_json(effect[order[r]]));
        json_array_append_new(list, o);
    }
    return list;
}

/* ---- where it lies ------------------------------------------------------------------------------------------------------ */

typedef struct meanings { /* from the model folder, or else from the texts of the dataset */
    json_t *kept;
    sg_meaning *texts;
} meanings;

static sg_status meanings_open(meanings *m, const sedge_session *s, sg_error *err)
{
    const sg_model *model = s->model->model;
    sg_status st = SG_OK;

    if (!model->catalogue)
        return SG_OK;
    if (model->dir)
        st = sg_prefixes_open(&m->kept, model->dir, err);
    if (st == SG_OK && !m->kept && s->same_items)
        st = sg_meaning_new(&m->texts, s->data->set, err);
    return st;
}

/* What the prefix that `node` stands for means, into its step of the path. */
static void add_meaning(json_t *step, const meanings *m, const sg_catalogue *c, const int32_t *codes, int depth, int32_t node)
{
    int32_t first, last;

    if (m->kept) {
        json_object_update_missing(step, sg_prefixes_find(m->kept, codes, depth));
    } else if (m->texts) {
        sg_catalogue_span(c, depth, node, &first, &last);
        if (last - first > 1)
            json_object_set_new(step, "words", sg_meaning_words(m->texts, c, first, last, WORDS));
    }
}

static json_t *path_json(const sedge_session *s, const meanings *m, const sg_explanation *x, size_t i)
{
    const size_t levels = (size_t)x->levels;
    const int32_t *codes = x->codes + i * levels;
    json_t *path = json_array();
    int32_t node = 0;

    for (size_t l = 0; l < levels; l++) {
        json_t *o = json_pack("{s:i, s:i, s:i}", "level", (int)l + 1, "code", (int)codes[l], "items", (int)x->below[i * levels + l]);

        node = sg_catalogue_child(s->model->model->catalogue, (int)l, node, codes[l]);
        if (x->logp)
            json_object_set_new(o, "probability", score_json(expf(x->logp[i * levels + l])));
        add_meaning(o, m, s->model->model->catalogue, codes, (int)l + 1, node);
        json_array_append_new(path, o);
    }
    return path;
}

sg_status api_session_explain(json_t **out, sedge_session *s, const sedge_request *r, sg_error *err)
{
    const sg_model *model = s->model->model;
    sg_explanation x = {0};
    meanings m = {0};
    json_t *items;
    sg_status st = api_session_run(s, r, err);

    *out = NULL;
    if (st)
        return st;
    const int64_t offsets[] = {0, (int64_t)s->n_history};
    const sg_histories h = {.n = 1,
                            .offsets = offsets,
                            .item = s->history,
                            .timestamp = s->has_time ? s->time : NULL,
                            .user = s->user >= 0 ? &s->user : NULL};

    if (s->n && s->n_history && (st = sg_explain(&x, s->session, &h, s->item, (int)s->n, 0, err)))
        goto done;
    if ((st = meanings_open(&m, s, err)))
        goto done;
    *out = json_pack("{s:s, s:o}", "model", model->class->name, "items", items = json_array());
    for (size_t i = 0; i < s->n; i++) {
        json_t *o = api_hit_json(s, i);

        if (x.n && x.levels)
            json_object_set_new(o, "path", path_json(s, &m, &x, i));
        json_object_set_new(o, "because", x.n ? reasons_json(&x, s, i) : json_array());
        json_array_append_new(items, o);
    }
    if (!*out)
        st = sg_fail_memory(err, "explanation");
done:
    sg_explanation_free(&x);
    json_decref(m.kept);
    sg_meaning_free(m.texts);
    return st;
}
