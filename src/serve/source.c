/* source.c - a model beside the dataset it knows users and titles by. */
#include "serve/source.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/receipt.h"
#include "models/prefixes.h"

#include <string.h>

enum { WORDS = 4 };

void sg_source_init(sg_source *s, sg_model *m, sg_dataset *d)
{
    const char *sha = json_string_value(json_object_get(json_object_get(m->receipt, "data"), "sha256"));

    *s = (sg_source){.model = m, .data = d};
    s->same_items = d && sg_same_items(m, d);
    s->same_users = d && sha && strcmp(sha, d->sha256) == 0;
    sg_model_item(m, (sg_bytes){"", 0}); /* builds the indexes: from here on nothing changes */
    if (d)
        sg_dataset_user(d, (sg_bytes){"", 0});
    if (d && !s->same_items)
        sg_dataset_item(d, (sg_bytes){"", 0});
}

void sg_source_fini(sg_source *s)
{
    json_decref(s->prefixes);
    sg_meaning_free(s->words);
    *s = (sg_source){0};
}

sg_status sg_source_meanings(sg_source *s, sg_error *err)
{
    sg_status st = SG_OK;

    if (s->has_meanings || !s->model->catalogue)
        return SG_OK;
    if (s->model->dir)
        st = sg_prefixes_open(&s->prefixes, s->model->dir, err);
    if (!st && !s->prefixes && s->same_items)
        st = sg_meaning_new(&s->words, s->data, err);
    s->has_meanings = !st;
    return st;
}

sg_status sg_source_data_dir(char **out, const char *model_dir, sg_error *err)
{
    char *path = sg_path_join(model_dir, "training.json");
    json_t *training = NULL;
    sg_status st = path ? SG_OK : sg_fail_memory(err, "path");

    *out = NULL;
    if (!st && sg_file_exists(path) && !(st = sg_json_read(&training, path, SG_JSON_BYTES_MAX, err))) {
        const char *found = json_string_value(json_object_get(training, "data"));

        if (found && sg_dir_exists(found) && !(*out = sg_strdup(found)))
            st = sg_fail_memory(err, "path");
    }
    json_decref(training);
    sg_free(path);
    return st;
}

bool sg_same_items(const sg_model *m, const sg_dataset *d)
{
    const sg_strings *a = &m->item_ids, *b = &d->item_ids;

    if (m->n_items != d->n_items || a->n != b->n)
        return false;
    if (a->offsets[0] == b->offsets[0] &&
        memcmp(a->offsets, b->offsets, (a->n + 1) * sizeof *a->offsets) == 0)
        return memcmp(a->bytes + a->offsets[0], b->bytes + b->offsets[0],
                      (size_t)(a->offsets[a->n] - a->offsets[0])) == 0;
    for (size_t i = 0; i < a->n; i++) {
        const sg_bytes x = sg_strings_at(a, i), y = sg_strings_at(b, i);

        if (x.size != y.size || (x.size && memcmp(x.data, y.data, x.size) != 0))
            return false;
    }
    return true;
}

const char *const sg_title_names[SG_N_TITLE_NAMES] = {"title", "movie_title", "name"};

json_t *sg_item_title(const sg_dataset *d, int32_t item)
{
    for (size_t i = 0; d && item >= 0 && i < SG_N_TITLE_NAMES; i++) {
        const sg_text_column *column = sg_dataset_column(d, sg_title_names[i]);

        if (column) {
            const sg_bytes text = sg_strings_at(&column->text, (size_t)item);

            return text.size ? json_stringn(text.data, text.size) : NULL;
        }
    }
    return NULL;
}

int32_t sg_source_item(const sg_source *s, sg_bytes id)
{
    const int32_t item = sg_model_item(s->model, id);
    const sg_added *a = item < 0 && s->view ? sg_view_find(s->view, id) : NULL;

    return a ? a->number : item;
}

int32_t sg_source_offered(const sg_source *s, sg_bytes id)
{
    const int32_t item = sg_source_item(s, id);

    return sg_source_offers(s, item) ? item : -1;
}

bool sg_source_offers(const sg_source *s, int32_t item)
{
    return !s->view || sg_view_offers(s->view, s->model, item);
}

int32_t sg_source_items(const sg_source *s)
{
    return s->view ? s->view->offer.n_items : s->model->n_items;
}

const sg_catalogue *sg_source_catalogue(const sg_source *s)
{
    return s->view && s->view->offer.catalogue ? s->view->offer.catalogue : s->model->catalogue;
}

const sg_added *sg_source_added(const sg_source *s, int32_t item)
{
    if (item >= s->model->n_items)
        return s->view->later[item - s->model->n_items];
    return s->view && s->view->n_added
               ? sg_view_find(s->view, sg_strings_at(&s->model->item_ids, (size_t)item))
               : NULL;
}

int32_t sg_source_data_item(const sg_source *s, int32_t item)
{
    if (!s->data || item >= s->model->n_items)
        return -1;
    return s->same_items ? item : sg_dataset_item(s->data, sg_strings_at(&s->model->item_ids, (size_t)item));
}

json_t *sg_source_item_json(const sg_source *s, int32_t item)
{
    const sg_added *a = sg_source_added(s, item);
    const sg_bytes id = a ? a->id : sg_strings_at(&s->model->item_ids, (size_t)item);
    json_t *o = json_pack("{s:s%}", "item", id.data, id.size), *title;

    if (a)
        json_object_set_new(o, "added", json_true());
    if (a && a->title.size)
        json_object_set_new(o, "title", json_stringn(a->title.data, a->title.size));
    else if (o && (!a || !sg_added_has_texts(a)) &&
             (title = s->data ? sg_item_title(s->data, sg_source_data_item(s, item)) : NULL))
        json_object_set_new(o, "title", title);
    return o;
}

int32_t sg_source_below(const sg_source *s, int depth, int32_t node)
{
    int32_t first, last;

    sg_catalogue_span(sg_source_catalogue(s), depth, node, &first, &last);
    return last - first - (s->view ? sg_view_gone(s->view, first, last) : 0);
}

json_t *sg_source_child_json(const sg_source *s, const int32_t *codes, int depth, int32_t node)
{
    json_t *child = json_pack("{s:i, s:i, s:i}", "level", depth, "code", (int)codes[depth - 1], "items",
                              (int)sg_source_below(s, depth, node));

    if (sg_catalogue_ended(sg_source_catalogue(s), depth, codes[depth - 1])) /* written like a code */
        json_object_set_new(child, "end", json_true());
    if (s->prefixes) { /* copied: threads share it, and an object that takes a value counts it */
        json_t *known = json_deep_copy(sg_prefixes_find(s->prefixes, codes, depth));

        json_object_update_missing(child, known);
        json_decref(known);
    }
    return child;
}

json_t *sg_source_step_json(const sg_source *s, const int32_t *codes, int depth, int32_t node)
{
    const sg_catalogue *c = sg_source_catalogue(s);
    json_t *step = sg_source_child_json(s, codes, depth, node);
    int32_t first, last;

    sg_catalogue_span(c, depth, node, &first, &last);
    if (!s->prefixes && s->words && last - first > 1)
        json_object_set_new(step, "words", sg_meaning_words(s->words, c, first, last, WORDS));
    return step;
}

json_t *sg_model_json(const sg_model *m)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:i, s:o, s:O}", "kind", "model", "model", m->class->name,
                          "paper", m->class->paper, "items", (int)m->n_items, "users", (int)m->n_users,
                          "options", sg_receipt_options(m->config, m->class->options, m->class->n_options),
                          "receipt", m->receipt);

    if (o && m->catalogue) {
        json_t *codes = json_array();

        for (int l = 0; l < sg_catalogue_levels(m->catalogue); l++)
            json_array_append_new(codes, json_integer(sg_catalogue_size(m->catalogue, l)));
        json_object_set_new(
            o, "catalogue",
            json_pack("{s:o, s:I}", "codes", codes, "bytes", (json_int_t)sg_catalogue_bytes(m->catalogue)));
    }
    return o;
}
