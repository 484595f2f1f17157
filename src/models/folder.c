/* folder.c - a model as a folder: written beside its place and swapped in, opened by mapping.
 *
 *   config.json         {"format", "model", "items", "users", "options", "receipt"}
 *   model.safetensors   weights and counted arrays under their names
 *   items.safetensors   id.bytes U8, id.offsets I64 (n_items + 1), as in a dataset; id.index I32, the hash table of ids
 *   catalogue.bin       semantic IDs, for models that have them
 *   README.md           what this is, for people
 *   manifest.json       size and sha256 of all of these */
#define _GNU_SOURCE
#include "models/model.h"

#include "base/alloc.h"
#include "file/json.h"
#include "file/manifest.h"
#include "file/receipt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT "sedge-model-1"
static const char *const own_files[] = {"config.json",   "model.safetensors", "items.safetensors",
                                        "catalogue.bin", "README.md",         SG_MANIFEST_NAME};
enum { N_OWN_FILES = sizeof own_files / sizeof *own_files };

/* Folders up to this size are hashed when opened, which takes a tenth of a second at most; of larger ones only the sizes are
 * checked. */
enum { HASH_BYTES_MAX = 64 << 20 };

/* ---- writing ---- */

static sg_status write_weights(const sg_model *m, const char *path, sg_error *err)
{
    const size_t n = m->params.n + m->n_arrays;
    sg_tensor_desc *list = sg_alloc_zero(n, sizeof *list), *d = list;
    const sg_meta meta[] = {{"format", FORMAT}, {"model", m->class->name}};
    sg_status st;

    if (!list)
        return sg_fail_memory(err, "weights");
    for (size_t i = 0; i < m->params.n; i++, d++) {
        const sg_param *p = m->params.list[i];

        *d = (sg_tensor_desc){.name = p->name, .dtype = SG_DT_F32, .rank = p->rank, .data = p->value};
        for (int k = 0; k < p->rank; k++)
            d->dim[k] = (uint64_t)p->dim[k];
    }
    for (size_t i = 0; i < m->n_arrays; i++, d++) {
        const sg_model_array *a = &m->arrays[i];

        *d = (sg_tensor_desc){.name = a->name, .dtype = a->dtype, .rank = a->rank, .data = a->data};
        memcpy(d->dim, a->dim, sizeof a->dim);
    }
    st = sg_tensors_write(path, list, n, meta, 2, err);
    sg_free(list);
    return st;
}

static sg_status write_items(const sg_model *m, const char *path, sg_error *err)
{
    const sg_strings *ids = &m->item_ids;
    size_t n_index = 0;
    int32_t *index = sg_item_index_new(&n_index, ids);
    const sg_tensor_desc list[] = {
        {.name = "id.index", .dtype = SG_DT_I32, .rank = 1, .dim = {n_index}, .data = index},
        {.name = "id.offsets", .dtype = SG_DT_I64, .rank = 1, .dim = {ids->n + 1}, .data = ids->offsets},
        {.name = "id.bytes",
         .dtype = SG_DT_U8,
         .rank = 1,
         .dim = {(uint64_t)ids->offsets[ids->n]},
         .data = ids->bytes},
    };

    const sg_status st =
        index ? sg_tensors_write(path, list, 3, NULL, 0, err) : sg_fail_memory(err, "index of ids");

    sg_free(index);
    return st;
}

static sg_status write_config(const sg_model *m, const char *path, sg_error *err)
{
    json_t *c = json_object();
    sg_status st;

    if ((st = sg_receipt_text(c, "format", FORMAT, err)) ||
        (st = sg_receipt_text(c, "model", m->class->name, err)) ||
        (st = sg_receipt_put(c, "items", json_integer(m->n_items), err)) ||
        (st = sg_receipt_put(c, "users", json_integer(m->n_users), err)) ||
        (st = sg_receipt_put(c, "options",
                             sg_receipt_options(m->config, m->class->options, m->class->n_options), err)) ||
        (st = sg_receipt_put(c, "receipt", json_incref(m->receipt), err)))
        goto done;
    st = sg_json_write(path, c, err);
done:
    json_decref(c);
    return st;
}

/* Text in a Markdown table cell. */
static void put_cell(sg_buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '|')
            sg_buf_putc(b, '\\');
        sg_buf_putc(b, *s == '\n' ? ' ' : *s);
    }
}

static sg_status write_card(const sg_model *m, const char *path, sg_error *err)
{
    const char *data = json_string_value(json_object_get(json_object_get(m->receipt, "data"), "name"));
    size_t weights = sg_params_count(&m->params);
    sg_buf b = {0}, receipt = {0};
    sg_status st;

    for (size_t i = 0; i < m->n_arrays; i++)
        weights += m->arrays[i].count;
    sg_buf_printf(&b, "---\nlibrary_name: sedge\ntags:\n- recommendation\n- %s\n---\n", m->class->name);
    sg_buf_printf(&b, "# %s on %s\n\n%s (%s).\n\n", m->class->name, data ? data : "data of unknown name",
                  m->class->summary, m->class->paper);
    sg_buf_printf(&b, "%d items, %d users seen in training, %zu numbers.\n\n", (int)m->n_items,
                  (int)m->n_users, weights);
    sg_buf_puts(
        &b, "    sedge recommend . --history ITEM,ITEM,ITEM -k 10\n    sedge eval . DATA\n\n## Options\n\n"
            "| option | value | meaning |\n| --- | --- | --- |\n");
    for (size_t i = 0; i < m->class->n_options; i++) {
        const sg_option *o = &m->class->options[i];
        sg_buf value = {0};

        sg_options_print(&value, m->config, o);
        sg_buf_printf(&b, "| %s | ", o->name);
        put_cell(&b, value.data ? value.data : "");
        sg_buf_puts(&b, " | ");
        put_cell(&b, o->meaning);
        sg_buf_puts(&b, " |\n");
        sg_buf_free(&value);
    }
    sg_buf_puts(&b, "\n## Receipt\n\nWhat it learned from and how. A folder with the same receipt holds the "
                    "same bytes.\n\n");
    sg_receipt_print(&receipt, m->receipt);
    for (const char *s = receipt.failed ? NULL : receipt.data; s && *s;) { /* indented: a code block */
        const char *end = strchr(s, '\n');

        sg_buf_puts(&b, "    ");
        sg_buf_add(&b, s, (size_t)(end - s) + 1);
        s = end + 1;
    }
    st = b.failed || receipt.failed ? sg_fail_memory(err, "README.md")
                                    : sg_file_write(path, b.data, b.size, err);
    sg_buf_free(&receipt);
    sg_buf_free(&b);
    return st;
}

typedef sg_status write_file(const sg_model *m, const char *path, sg_error *err);

static sg_status write_catalogue(const sg_model *m, const char *path, sg_error *err)
{
    return m->catalogue ? sg_catalogue_save(m->catalogue, path, err) : SG_OK;
}

/* The same file in the new folder: a second link where the file system has such, else a copy. */
static sg_status keep_file(const char *from, const char *to, sg_error *err)
{
    sg_map map;
    sg_status st;

    if (sg_io_fault())
        return sg_fail_errno(err, from, "cannot link");
    if (link(from, to) == 0)
        return SG_OK;
    if ((st = sg_map_open(&map, from, err)))
        return st;
    st = sg_file_write(to, map.data, map.size, err);
    sg_map_close(&map);
    return st;
}

/* Whatever else the old folder holds (training.jsonl, checkpoint) is also in the new one. top: leave out
 * our own files. */
static sg_status keep_others(const char *old, const char *new, bool top, sg_error *err)
{
    DIR *d = opendir(old);
    const struct dirent *e;
    sg_status st = SG_OK;

    if (!d)
        return errno == ENOENT ? SG_OK : sg_fail_errno(err, old, "cannot read folder");
    while (!st && (e = readdir(d))) {
        bool skip = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
        char *from, *to;

        for (int i = 0; top && i < N_OWN_FILES; i++)
            skip |= strcmp(e->d_name, own_files[i]) == 0;
        if (skip)
            continue;
        from = sg_path_join(old, e->d_name);
        to = sg_path_join(new, e->d_name);
        if (!from || !to)
            st = sg_fail_memory(err, "path");
        else if (!sg_dir_exists(from))
            st = keep_file(from, to, err);
        else if (!(st = sg_dir_make(to, err)) && !(st = keep_others(from, to, false, err)))
            st = sg_dir_sync(to, err);
        sg_free(from);
        sg_free(to);
    }
    closedir(d);
    return st;
}

/* A folder may be replaced when it is empty, a model, or a training that has not ended. */
static const char *marker_in(const char *dir)
{
    static const char checkpoint[] = "checkpoint/state.safetensors";
    char *manifest = sg_path_join(dir, SG_MANIFEST_NAME), *state = sg_path_join(dir, checkpoint);
    const bool training = manifest && state && !sg_file_exists(manifest) && sg_file_exists(state);

    sg_free(manifest);
    sg_free(state);
    return training ? checkpoint : SG_MANIFEST_NAME;
}

sg_status sg_model_save_check(const char *dir, sg_error *err)
{
    sg_folder probe;
    const sg_status st = sg_folder_begin(&probe, dir, marker_in(dir), err);

    if (!st)
        sg_folder_abort(&probe);
    return st;
}

sg_status sg_model_save(const sg_model *m, const char *dir, sg_error *err)
{
    static write_file *const write[] = {write_config, write_weights, write_items, write_catalogue,
                                        write_card};
    sg_folder f = {0};
    sg_status st;

    if ((st = sg_folder_begin(&f, dir, marker_in(dir), err)))
        return st;
    for (size_t i = 0; !st && i < sizeof write / sizeof *write; i++) {
        char *path = sg_path_join(f.tmp, own_files[i]);

        st = path ? write[i](m, path, err) : sg_fail_memory(err, "path");
        sg_free(path);
    }
    if (st || (st = sg_manifest_write(f.tmp, err)) || (st = keep_others(f.dir, f.tmp, true, err))) {
        sg_folder_abort(&f);
        return st;
    }
    return sg_folder_commit(&f, err);
}

/* ---- opening ---- */

static sg_status read_config(sg_model **out, const char *path, sg_error *err)
{
    json_t *c = NULL, *options, *receipt;
    const sg_model_class *class;
    const char *format, *name;
    int64_t n_items, n_users;
    sg_status st;

    if ((st = sg_json_read(&c, path, (size_t)16 << 20, err)) ||
        (st = sg_json_need_string(&format, c, "format", path, err)))
        goto done;
    if (strcmp(format, FORMAT) != 0) {
        st = sg_fail(err, SG_ERR_FORMAT, "%s: 'format': expected \"" FORMAT "\", found \"%s\"", path, format);
        goto done;
    }
    if ((st = sg_json_need_string(&name, c, "model", path, err)) ||
        (st = sg_json_need_int(&n_items, c, "items", 1, INT32_MAX, path, err)) ||
        (st = sg_json_need_int(&n_users, c, "users", 0, INT32_MAX, path, err)) ||
        (st = sg_json_need_object(&options, c, "options", path, err)) ||
        (st = sg_json_need_object(&receipt, c, "receipt", path, err)))
        goto done;
    if (!(class = sg_model_class_find(name, err))) {
        sg_error_prefix(err, path);
        st = SG_ERR_USAGE;
        goto done;
    }
    if ((st = sg_model_new(out, class, err)))
        goto done;
    (*out)->n_items = (int32_t)n_items;
    (*out)->n_users = (int32_t)n_users;
    json_decref((*out)->receipt);
    (*out)->receipt = json_incref(receipt);
    st = sg_receipt_read_options((*out)->config, class->options, class->n_options, options, path, err);
done:
    json_decref(c);
    return st;
}

/* Folders of before have none; the first to look an id up makes it. */
static sg_status open_index(sg_model *m, const char *path, sg_error *err)
{
    const sg_file_tensor *t = sg_tensors_find(m->items_file, "id.index");
    sg_status st;

    if (!t)
        return SG_OK;
    if ((st = sg_tensors_need(&t, m->items_file, "id.index", SG_DT_I32, 1, (const int64_t[]){-1}, err)))
        return st;
    if (t->count < (size_t)m->n_items || (t->count & (t->count - 1)))
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: tensor 'id.index': expected a power of two of at least %d slots, found %zu", path,
                       (int)m->n_items, t->count);
    m->item_index = t->data;
    m->n_item_index = t->count;
    return SG_OK;
}

static sg_status open_items(sg_model *m, const char *path, sg_error *err)
{
    const sg_file_tensor *offsets, *bytes;
    const int64_t *o;
    sg_status st;

    if ((st = sg_tensors_open(&m->items_file, path, err)) ||
        (st = sg_tensors_need(&offsets, m->items_file, "id.offsets", SG_DT_I64, 1,
                              (const int64_t[]){(int64_t)m->n_items + 1}, err)) ||
        (st = sg_tensors_need(&bytes, m->items_file, "id.bytes", SG_DT_U8, 1, (const int64_t[]){-1}, err)))
        return st;
    o = offsets->data;
    for (int32_t i = 0; i < m->n_items; i++)
        if (o[i] < 0 || o[i] > o[i + 1] || o[i + 1] > (int64_t)bytes->count)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor 'id.offsets': expected ascending numbers up to %zu, found %lld, %lld",
                           path, bytes->count, (long long)o[i], (long long)o[i + 1]);
    m->item_ids = (sg_strings){.n = (size_t)m->n_items, .bytes = bytes->data, .offsets = o};
    return open_index(m, path, err);
}

static sg_status open_catalogue(sg_model *m, const char *path, sg_error *err)
{
    size_t count;
    sg_status st;
    int levels;

    if (!m->class->needs_ids)
        return SG_OK;
    if ((st = sg_catalogue_open(&m->catalogue, path, err)))
        return st;
    if (sg_catalogue_items(m->catalogue) != m->n_items)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected semantic IDs of %d items, found %d", path,
                       (int)m->n_items, (int)sg_catalogue_items(m->catalogue));
    levels = sg_catalogue_levels(m->catalogue);
    if (!sg_mul(&count, (size_t)m->n_items, (size_t)levels) ||
        !(m->codes = sg_alloc_array(count, sizeof *m->codes)))
        return sg_fail_memory(err, "semantic IDs");
    for (int32_t i = 0; i < m->n_items; i++)
        sg_catalogue_codes(m->catalogue, i, m->codes + (size_t)i * (size_t)levels);
    return SG_OK;
}

static sg_status open_weights(sg_model *m, const char *path, sg_error *err)
{
    sg_status st;

    if ((st = sg_tensors_open(&m->weights_file, path, err)))
        return st;
    m->params.bare = true;
    if (m->class->weights && (st = m->class->weights(m, 0, err)))
        return st;
    if (m->params.failed)
        return sg_fail_memory(err, "weights");
    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];
        const sg_file_tensor *t;
        int64_t dim[4];

        for (int k = 0; k < p->rank; k++)
            dim[k] = p->dim[k];
        if ((st = sg_tensors_need(&t, m->weights_file, p->name, SG_DT_F32, p->rank, dim, err)))
            return st;
        sg_param_map(p, t->data);
    }
    for (size_t i = 0; i < sg_tensors_count(m->weights_file); i++) {
        const sg_file_tensor *t = sg_tensors_at(m->weights_file, i);

        if (!sg_params_find(&m->params, t->name) && (st = sg_model_array_map(m, t, err)))
            return st;
    }
    return m->class->ready ? m->class->ready(m, err) : SG_OK;
}

/* Checks sizes, and hashes where that is quick; the hash of the weights names the model in receipts. */
static sg_status check_manifest(sg_model *m, const char *dir, const char *manifest, sg_error *err)
{
    json_t *j = NULL, *files, *one;
    const char *sha, *name;
    double bytes = 0;
    sg_status st;

    if ((st = sg_json_read(&j, manifest, (size_t)16 << 20, err)))
        return st;
    if ((st = sg_json_need_object(&files, j, "files", manifest, err)))
        goto done;
    json_object_foreach(files, name, one) bytes += json_number_value(json_object_get(one, "bytes"));
    if ((st = sg_manifest_check_files(files, dir, manifest, bytes <= HASH_BYTES_MAX, err)))
        goto done;
    sha = json_string_value(json_object_get(json_object_get(files, "model.safetensors"), "sha256"));
    if (!sha || strlen(sha) != 64)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected the sha256 of model.safetensors", manifest);
    else
        memcpy(m->sha256, sha, 65);
done:
    json_decref(j);
    return st;
}

/* key=value,key=value */
static sg_status change_options(sg_model *m, const char *text, sg_error *err)
{
    char key[64], value[1024];
    sg_status st = SG_OK;

    while (*text && !st) {
        const size_t size = strcspn(text, ","), to = strcspn(text, "=");

        if (to == 0 || to >= size || to >= sizeof key || size - to > sizeof value)
            return sg_fail(err, SG_ERR_USAGE, "options of the model: expected key=value, found '%.*s'",
                           (int)(size < 80 ? size : 80), text);
        snprintf(key, sizeof key, "%.*s", (int)to, text);
        snprintf(value, sizeof value, "%.*s", (int)(size - to - 1), text + to + 1);
        st = sg_options_set(m->config, m->class->options, m->class->n_options, key, value, err);
        text += size + (text[size] == ',');
    }
    return st;
}

sg_status sg_model_open(sg_model **out, const char *dir, sg_error *err)
{
    return sg_model_open_with(out, dir, "", err);
}

sg_status sg_model_open_with(sg_model **out, const char *dir, const char *options, sg_error *err)
{
    char *path[N_OWN_FILES] = {0};
    sg_model *m = NULL;
    sg_status st = SG_OK;

    *out = NULL;
    for (int i = 0; !st && i < N_OWN_FILES; i++)
        if (!(path[i] = sg_path_join(dir, own_files[i])))
            st = sg_fail_memory(err, "path");
    if (!st && !sg_dir_exists(dir))
        st = sg_fail(err, SG_ERR_MISSING, "%s: no such model folder", dir);
    else if (!st && !sg_file_exists(path[0]))
        st = sg_fail(err, SG_ERR_MISSING, "%s: holds no config.json: not a model folder", dir);
    if (st || (st = read_config(&m, path[0], err)) || (st = check_manifest(m, dir, path[5], err)) ||
        (st = change_options(m, options, err)) || (st = open_items(m, path[2], err)) ||
        (st = open_catalogue(m, path[3], err)) || (st = open_weights(m, path[1], err)))
        goto done;
    if (!(m->dir = sg_strdup(dir))) {
        st = sg_fail_memory(err, "path");
        goto done;
    }
    *out = m;
    m = NULL;
done:
    sg_model_free(m);
    for (int i = 0; i < N_OWN_FILES; i++)
        sg_free(path[i]);
    return st;
}
