/* explain.c - why an item is in the list.
 *
 * Two answers that hold for any model. What moved it: the hits are scored again with one event of the history left out, and
 *   effect of event e on item i = score(i | history) - score(i | history without e),
 * so a positive effect is an event that speaks for the item. Where it lies: the scores of models over semantic IDs are
 * log-probabilities, and those of the items below a prefix add up to the prefix, so with S(prefix) = sum of exp(score)
 *   P(code | prefix) = S(prefix, code) / S(prefix),
 * the share among items that exist. What a prefix means is read from the texts of the items below it. */
#include "api/meaning.h"
#include "api/session.h"

#include "base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_MAX = 32, REASONS = 3, WORDS = 4 };

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
typedef struct effects {
    size_t n_events, first;         /* events first .. first + n_events - 1 of the history were left out in turn */
    float *score;                   /* (n_events + 1, n): score of each hit; row 0 with the whole history */
} effects;

static sg_status leave_out(effects *x, sedge_session *s, sg_error *err)
{
    const size_t n = s->n, h = s->n_history;
    const size_t rows = (x->n_events = h < EVENTS_MAX ? h : EVENTS_MAX) + 1;
    int64_t *offsets = sg_alloc_array(rows + 1, sizeof *offsets), *time = sg_alloc_array(rows * (h + 1), sizeof *time);
    int32_t *history = sg_alloc_array(rows * (h + 1), sizeof *history), *user = sg_alloc_array(rows, sizeof *user);
    int32_t *item = sg_alloc_array(rows * n, sizeof *item);
    float *score = sg_alloc_array(rows * n, sizeof *score);
    uint8_t *allow = sg_alloc_zero((size_t)s->model->model->n_items, 1);
    size_t at = 0;
    sg_status st = SG_OK;

    x->score = sg_alloc_array(rows * n, sizeof *x->score);
    x->first = h - x->n_events;
    if (!offsets || !time || !history || !user || !item || !score || !allow || !x->score) {
        st = sg_fail_memory(err, "explanation");
        goto done;
    }
    for (size_t r = 0; r < rows; r++) {
        offsets[r] = (int64_t)at;
        user[r] = s->user;
        for (size_t e = 0; e < h; e++)
            if (r == 0 || e != x->first + r - 1) {
                time[at] = s->has_time ? s->time[e] : 0;
                history[at++] = s->history[e];
            }
    }
    offsets[rows] = (int64_t)at;
    for (size_t i = 0; i < n; i++)
        allow[s->item[i]] = 1;
    const sg_histories all = {.n = (int)rows,
                              .offsets = offsets,
                              .item = history,
                              .timestamp = s->has_time ? time : NULL,
                              .user = s->user >= 0 ? user : NULL};
    const sg_filter f = {.allow = allow};

    if ((st = sg_session_recommend(s->session, &all, &f, (int)n, item, score, err)))
        goto done;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            float found = -INFINITY;

            for (size_t j = 0; j < n; j++)
                if (item[r * n + j] == s->item[i])
                    found = score[r * n + j];
            x->score[r * n + i] = found;
        }
done:
    sg_free(offsets);
    sg_free(time);
    sg_free(history);
    sg_free(user);
    sg_free(item);
    sg_free(score);
    sg_free(allow);
    return st;
}

/* The events with the largest positive effects on hit i. */
static json_t *reasons_json(const effects *x, const sedge_session *s, size_t i)
{
    json_t *list = json_array();
    bool used[EVENTS_MAX] = {0};

    for (int r = 0; r < REASONS; r++) {
        size_t best = 0;
        float most = 0;

        for (size_t e = 0; e < x->n_events; e++) {
            const float effect = x->score[i] - x->score[(e + 1) * s->n + i];

            if (!used[e] && isfinite(effect) && effect > most) {
                most = effect;
                best = e;
            }
        }
        if (most <= 0)
            break;
        used[best] = true;
        json_t *o = api_item_json(s, s->history[x->first + best]);

        json_object_set_new(o, "position", json_integer((json_int_t)(x->first + best) + 1));
        json_object_set_new(o, "effect", score_json(most));
        json_array_append_new(list, o);
    }
    return list;
}

/* ---- where it lies ------------------------------------------------------------------------------------------------------ */
/* Sum of exp(score - most) over the items of leaves first .. last - 1. */
static double mass(const sg_catalogue *c, const float *scores, double most, int32_t first, int32_t last)
{
    double sum = 0;

    for (int32_t leaf = first; leaf < last; leaf++)
        sum += exp((double)scores[sg_catalogue_item(c, leaf)] - most);
    return sum;
}

static json_t *path_json(const sedge_session *s, sg_meaning *meaning, size_t i, const float *scores)
{
    const sg_catalogue *c = s->model->model->catalogue;
    const int levels = sg_catalogue_levels(c);
    int32_t codes[SG_LEVELS_MAX], node = 0;
    double most = -INFINITY, above = 0;
    json_t *path = json_array();

    for (int32_t j = 0; scores && j < s->model->model->n_items; j++)
        most = scores[j] > most ? scores[j] : most;
    if (scores)
        above = mass(c, scores, most, 0, s->model->model->n_items);
    sg_catalogue_codes(c, s->item[i], codes);
    for (int l = 0; l < levels; l++) {
        json_t *o = json_pack("{s:i, s:i}", "level", l + 1, "code", (int)codes[l]);
        int32_t first, last;

        node = sg_catalogue_child(c, l, node, codes[l]);
        sg_catalogue_span(c, l + 1, node, &first, &last);
        json_object_set_new(o, "items", json_integer(last - first));
        if (scores) {
            const double here = mass(c, scores, most, first, last);

            json_object_set_new(o, "probability", json_real(above > 0 ? here / above : 0));
            above = here;
        }
        if (meaning && last - first > 1)
            json_object_set_new(o, "words", sg_meaning_words(meaning, c, first, last, WORDS));
        json_array_append_new(path, o);
    }
    return path;
}

/* The scores of all items for the history at hand; *out stays NULL when the model only searches. */
static sg_status score_all(float **out, sedge_session *s, sg_error *err)
{
    const sg_model *m = s->model->model;
    const int64_t offsets[] = {0, (int64_t)s->n_history};
    const sg_histories h = {.n = 1,
                            .offsets = offsets,
                            .item = s->history,
                            .timestamp = s->has_time ? s->time : NULL,
                            .user = s->user >= 0 ? &s->user : NULL};

    *out = NULL;
    if (!m->catalogue || !m->class->score)
        return SG_OK;
    if (!(*out = sg_alloc_array((size_t)m->n_items, sizeof **out)))
        return sg_fail_memory(err, "explanation");
    return m->class->score(s->session, &h, *out, err);
}

sg_status api_session_explain(json_t **out, sedge_session *s, const sedge_request *r, sg_error *err)
{
    const sg_model *m = s->model->model;
    sg_meaning *meaning = NULL;
    effects x = {0};
    float *scores = NULL;
    json_t *items;
    sg_status st = api_session_run(s, r, err);

    *out = NULL;
    if (st)
        return st;
    if (s->n && (st = leave_out(&x, s, err)))
        goto done;
    if (m->catalogue && s->same_items && (st = sg_meaning_new(&meaning, s->data->set, err)))
        goto done;
    if (s->n && (st = score_all(&scores, s, err)))
        goto done;
    *out = json_pack("{s:s, s:o}", "model", m->class->name, "items", items = json_array());
    for (size_t i = 0; i < s->n; i++) {
        json_t *o = api_hit_json(s, i);

        if (m->catalogue)
            json_object_set_new(o, "path", path_json(s, meaning, i, scores));
        json_object_set_new(o, "because", reasons_json(&x, s, i));
        json_array_append_new(items, o);
    }
    if (!*out)
        st = sg_fail_memory(err, "explanation");
done:
    sg_meaning_free(meaning);
    sg_free(scores);
    sg_free(x.score);
    return st;
}
