/* inspect.c - what is in a folder or a file. */
#include "api/api.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "file/gguf.h"
#include "file/json.h"
#include "file/receipt.h"
#include "quantize/tokenize.h"
#include "serve/source.h"

#include <string.h>

/* ---- parts ------------------------------------------------------------------------------------------------------------- */
static json_t *tensors_json(const sg_tensors *file)
{
    json_t *list = json_array();

    for (size_t i = 0; i < sg_tensors_count(file); i++) {
        const sg_file_tensor *t = sg_tensors_at(file, i);
        json_t *shape = json_array();

        for (int r = 0; r < t->rank; r++)
            json_array_append_new(shape, json_integer((json_int_t)t->dim[r]));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:I}", "name", t->name, "dtype",
                                              sg_dtype_name(t->dtype), "shape", shape, "bytes",
                                              (json_int_t)t->bytes));
    }
    return list;
}

static sg_status file_tensors(json_t *into, const char *dir, const char *name, sg_error *err)
{
    char *path = sg_path_join(dir, name);
    sg_tensors *file = NULL;
    sg_status st = path ? sg_tensors_open(&file, path, err) : sg_fail_memory(err, "path");

    if (!st && json_object_set_new(into, "tensors", tensors_json(file)))
        st = sg_fail_memory(err, "tensors");
    sg_tensors_close(file);
    sg_free(path);
    return st;
}

/* Name, share of items that have any text, and the first text of a column. */
static json_t *columns_json(const sg_dataset *d)
{
    json_t *list = json_array();

    for (int c = 0; c < d->n_columns; c++) {
        const sg_strings *text = &d->columns[c].text;
        size_t filled = 0, first = 0;

        for (size_t i = 0; i < text->n; i++)
            if (sg_strings_at(text, i).size && filled++ == 0)
                first = i;
        json_t *o = json_pack("{s:s, s:f}", "name", d->columns[c].name, "filled",
                              text->n ? (double)filled / (double)text->n : 0);

        if (filled) {
            const sg_bytes s = sg_strings_at(text, first);

            json_object_set_new(o, "example", json_stringn(s.data, s.size));
        }
        json_array_append_new(list, o);
    }
    return list;
}

/* {"queries": n, "asked": {"train": n, ...}} of a collection. */
static sg_status inspect_collection(json_t *out, const sg_dataset *d, sg_error *err)
{
    sg_collection *c;
    json_t *asked;
    sg_status st = sg_collection_open(&c, d, err);

    if (st || !c)
        return st;
    if (!(asked = json_object()))
        st = sg_fail_memory(err, "inspection");
    for (int s = 0; !st && s < SG_COLLECTION_SPLITS; s++)
        if (json_object_set_new(asked, sg_collection_split_names[s], json_integer(sg_collection_asked(c, s))))
            st = sg_fail_memory(err, "inspection");
    if (!st && (json_object_set_new(out, "queries", json_integer(c->n_queries)) ||
                json_object_set(out, "asked", asked)))
        st = sg_fail_memory(err, "inspection");
    json_decref(asked);
    sg_collection_close(c);
    return st;
}

static sg_status inspect_dataset(json_t **out, const char *path, sg_error *err)
{
    sg_dataset *d = NULL;
    sg_vectors v = {0};
    sg_ids ids = {0};
    char *file = sg_path_join(path, "dataset.json");
    json_t *about = NULL;
    sg_status st;

    if (!file)
        return sg_fail_memory(err, "path");
    if ((st = sg_dataset_open(&d, path, err)) || (st = sg_json_read(&about, file, SG_JSON_BYTES_MAX, err)))
        goto done;
    *out = json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:s, s:b, s:b, s:b, s:o, s:O}", "kind", "dataset",
                     "path", path, "name", d->name, "users", (int)d->n_users, "items", (int)d->n_items,
                     "events", (json_int_t)d->n_events, "sha256", d->sha256, "timestamps",
                     d->timestamp != NULL, "ratings", d->rating != NULL, "actions", d->action != NULL,
                     "columns", columns_json(d), "about", about);
    if (!*out) {
        st = sg_fail_memory(err, "inspection");
        goto done;
    }
    if ((st = inspect_collection(*out, d, err)))
        goto done;
    if (d->n_users && d->n_items) { /* something to ask for: the first user, the first item */
        const sg_bytes user = sg_strings_at(&d->user_ids, 0), item = sg_strings_at(&d->item_ids, 0);

        json_object_set_new(*out, "example_user", json_stringn(user.data, user.size));
        json_object_set_new(*out, "example_item", json_stringn(item.data, item.size));
    }
    if ((st = sg_vectors_open(&v, d, err)) == SG_OK) {
        const char *encoder = sg_tensors_meta(v.file, "encoder");

        json_object_set_new(
            *out, "vectors",
            json_pack("{s:i, s:s}", "dim", (int)v.dim, "encoder", encoder ? encoder : "unknown"));
        sg_vectors_close(&v);
    }
    if (st != SG_OK && st != SG_ERR_MISSING)
        goto done;
    if ((st = sg_ids_open(&ids, d, err)) == SG_OK) {
        const char *method = sg_tensors_meta(ids.file, "method");
        json_t *sizes = json_array();

        for (int l = 0; l < ids.levels; l++)
            json_array_append_new(sizes, json_integer(ids.size[l]));
        json_object_set_new(*out, "ids",
                            json_pack("{s:s, s:o}", "method", method ? method : "unknown", "codes", sizes));
        sg_ids_close(&ids);
    }
    st = st == SG_ERR_MISSING ? SG_OK : st;
done:
    json_decref(about);
    sg_dataset_close(d);
    sg_free(file);
    return st;
}

static sg_status inspect_model(json_t **out, const char *path, sg_error *err)
{
    char *file = sg_path_join(path, "training.json");
    sg_model *m = NULL;
    json_t *training = NULL;
    sg_status st = file ? sg_model_open(&m, path, err) : sg_fail_memory(err, "path");

    if (!st && !(*out = sg_model_json(m)))
        st = sg_fail_memory(err, "inspection");
    if (!st && json_object_set_new(*out, "path", json_string(path)))
        st = sg_fail_memory(err, "inspection");
    if (!st && sg_file_exists(file) && !(st = sg_json_read(&training, file, SG_JSON_BYTES_MAX, err)))
        json_object_set(*out, "training", training);
    if (!st)
        st = file_tensors(*out, path, "model.safetensors", err);
    json_decref(training);
    sg_model_free(m);
    sg_free(file);
    return st;
}

static sg_status inspect_tensors(json_t **out, const char *path, sg_error *err)
{
    sg_tensors *file = NULL;
    sg_status st = sg_tensors_open(&file, path, err);

    if (!st && !(*out = json_pack("{s:s, s:s, s:o}", "kind", "safetensors", "path", path, "tensors",
                                  tensors_json(file))))
        st = sg_fail_memory(err, "inspection");
    sg_tensors_close(file);
    return st;
}

/* Key, kind and value; arrays, which hold whole vocabularies, by their length. */
static json_t *value_json(const sg_gguf_value *v)
{
    json_t *o = json_pack("{s:s, s:s}", "key", v->key, "kind", sg_gguf_kind_name(v->kind));
    sg_buf text = {0};
    sg_bytes s;
    double x;

    if (v->array) {
        json_object_set_new(o, "count", json_integer((json_int_t)v->count));
    } else if (sg_gguf_strings(&s, 1, v)) {
        sg_utf8_clean(&text, s.data, s.size);
        json_object_set_new(o, "value", json_stringn(text.data ? text.data : "", text.size));
        sg_buf_free(&text);
    } else if (sg_gguf_number(&x, v, 0)) {
        json_object_set_new(o, "value",
                            v->kind == SG_GGUF_BOOL ? json_boolean(x != 0)
                            : v->kind == SG_GGUF_F32 || v->kind == SG_GGUF_F64 || x < INT64_MIN || x > 0x1p62
                                ? json_real(x)
                                : json_integer((json_int_t)x));
    }
    return o;
}

static json_t *gguf_tensors_json(const sg_gguf *file)
{
    json_t *list = json_array();

    for (size_t i = 0; i < sg_gguf_count(file); i++) {
        const sg_gguf_tensor *t = sg_gguf_at(file, i);
        json_t *shape = json_array();

        for (int r = t->rank; r-- > 0;) /* rows first, as everywhere else */
            json_array_append_new(shape, json_integer((json_int_t)t->dim[r]));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:I}", "name", t->name, "dtype",
                                              sg_gguf_type_name(t->type), "shape", shape, "bytes",
                                              (json_int_t)t->bytes));
    }
    return list;
}

static sg_status inspect_gguf(json_t **out, const char *path, sg_error *err)
{
    sg_gguf *file = NULL;
    sg_status st = sg_gguf_open(&file, path, err);
    json_t *values = st ? NULL : json_array();

    for (size_t i = 0; !st && i < sg_gguf_values(file); i++)
        json_array_append_new(values, value_json(sg_gguf_value_at(file, i)));
    if (!st && !(*out = json_pack("{s:s, s:s, s:o, s:o}", "kind", "gguf", "path", path, "values", values,
                                  "tensors", gguf_tensors_json(file))))
        st = sg_fail_memory(err, "inspection");
    sg_gguf_close(file);
    return st;
}

static sg_status look_for(bool *there, const char *dir, const char *name, sg_error *err)
{
    char *path = sg_path_join(dir, name);

    *there = path && sg_file_exists(path);
    sg_free(path);
    return path ? SG_OK : sg_fail_memory(err, "path");
}

static sg_status inspect_path(json_t **out, const char *path, sg_error *err)
{
    bool dataset, model, gguf;
    sg_status st;

    if (!sg_dir_exists(path) && sg_file_exists(path)) {
        if ((st = sg_gguf_detect(&gguf, path, err)))
            return st;
        return gguf ? inspect_gguf(out, path, err) : inspect_tensors(out, path, err);
    }
    if (!sg_dir_exists(path))
        return sg_fail(err, SG_ERR_MISSING, "%s: no such file or folder", path);
    if ((st = look_for(&dataset, path, "dataset.json", err)) ||
        (st = look_for(&model, path, "config.json", err)))
        return st;
    if (dataset)
        return inspect_dataset(out, path, err);
    if (model)
        return inspect_model(out, path, err);
    return sg_fail(err, SG_ERR_USAGE, "%s: neither a dataset (dataset.json) nor a model (config.json)", path);
}

/* ---- the verb -------------------------------------------------------------------------------------------------------------- */
int sedge_model_describe(const sedge_model *m, char **json, sedge_error *err)
{
    api_call c;
    sg_status st = api_begin(&c, NULL, 0, NULL);

    if (!(c.result = sg_model_json(m->model)))
        st = sg_fail_memory(&c.err, "description");
    return api_end(&c, st, json, err);
}

int sedge_inspect(const sedge_inspect_params *given, char **json, sedge_error *err)
{
    sedge_inspect_params p;
    api_inspect_config o;
    const api_table tables[] = {{&o, api_inspect_options, api_n_inspect_options}};
    api_call c;
    sg_dataset *d = NULL;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(tables, 1);
    if (!st &&
        !(st = api_need(p.path, "a dataset, a model folder, a .safetensors or a .gguf file", &c.err)) &&
        !(st = api_assign(tables, 1, p.set, p.n_set, &c.err))) {
        if (!p.ids)
            st = inspect_path(&c.result, p.path, &c.err);
        else if (!(st = sg_dataset_open(&d, p.path, &c.err)))
            st = sg_ids_report(&c.result, d, o.depth, o.top, &c.err);
    }
    sg_dataset_close(d);
    return api_end(&c, st, json, err);
}
