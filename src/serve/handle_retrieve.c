/* handle_retrieve.c - documents for a query in words, by models of the role retrieve. */
#include "serve/server.h"

#include "base/alloc.h"
#include "serve/answer.h"
#include "serve/reply.h"

#include <string.h>

const sg_field sg_retrieve_fields[] = {
    {"model", SG_FIELD_TEXT, .meaning = "which of the served models (the first)"},
    {"query", SG_FIELD_TEXT, .needed = true, .longest = offsetof(sg_serve_config, text_max),
     .meaning = "what is looked for, in words"},
    {"k", SG_FIELD_INT, .most = offsetof(sg_serve_config, k_max), .least = 1,
     .meaning = "length of the list (10)"},
    {"beam", SG_FIELD_INT, .most = offsetof(sg_serve_config, beam_max), .least = 1,
     .meaning = "prefixes kept while decoding semantic IDs (the model's own)"},
    {"deadline_ms", SG_FIELD_INT, .least = 1, .meaning = "answered 504 when it has waited longer"},
    {.name = NULL},
};

bool sg_handle_retrieve(sg_server *s, sg_job *j)
{
    if (!sg_take_model(s, j))
        return true;
    j->work = SG_WORK_QUERY;
    sg_take_length(s, j);
    return false;
}

/* ---- in the model lane ------------------------------------------------------------------------------------- */

/* The first k of the list that are on offer. A model knows nothing of what was removed: its list is longer by as many. */
static json_t *hits_json(const sg_source *s, const int32_t *item, const float *score, int n, int k)
{
    json_t *list = json_array();
    int shown = 0;

    for (int i = 0; i < n && item[i] >= 0 && shown < k; i++) {
        if (s->view && !sg_view_offers(s->view, s->model, item[i]))
            continue;
        json_t *o = json_pack("{s:i}", "rank", ++shown);

        json_object_update_new(o, sg_source_item_json(s, item[i]));
        json_object_set_new(o, "score", sg_score_json(score[i]));
        json_array_append_new(list, o);
    }
    if (json_array_size(list) == (size_t)shown)
        return list;
    json_decref(list);
    return NULL;
}

void sg_retrieve_run(sg_server *s, sg_worker *w, sg_job *j)
{
    const sg_source *source = &w->source;
    const sg_model *m = source->model;
    const json_t *text = json_object_get(j->body, "query");
    const sg_bytes query = {json_string_value(text), json_string_length(text)};
    const int gone =
        source->view && source->view->n_items < m->n_items ? m->n_items - source->view->n_items : 0;
    const int n = j->k + gone < m->n_items ? j->k + gone : m->n_items;
    int32_t *item = sg_alloc_array((size_t)n, sizeof *item);
    float *score = sg_alloc_array((size_t)n, sizeof *score);
    sg_error e;
    sg_status st = item && score ? SG_OK : sg_fail_memory(&e, "list");

    if (!st && !m->class->retrieve)
        st = sg_fail(&e, SG_ERR_USAGE, "%s answers histories, not queries", m->class->name);
    if (!st) {
        w->session->beam = j->beam;
        st = m->class->retrieve(w->session, &query, 1, n, item, score, &e);
    }
    if (st)
        sg_reply_status(j->x, st, &e);
    else
        sg_reply(j->x, 200,
                 json_pack("{s:s, s:s, s:O, s:o}", "object", "retrieval", "model",
                           sg_server_name(s, j->model, w->loaded), "query", text, "items",
                           hits_json(source, item, score, n, j->k)));
    sg_free(item);
    sg_free(score);
}
