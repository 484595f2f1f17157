/* model.c - a model in memory: new, build, fit, the arrays that are counted rather than trained, item ids
 * to numbers. */
#include "models/model.h"

#include "base/alloc.h"
#include "file/receipt.h"

#include <assert.h>
#include <string.h>

const sg_model_class *sg_model_class_find(const char *name, sg_error *err)
{
    const char *known[64];
    const char *nearest;
    size_t n = 0;

    for (; sg_model_classes[n]; n++) {
        assert(n < sizeof known / sizeof *known);
        if (strcmp(sg_model_classes[n]->name, name) == 0)
            return sg_model_classes[n];
        known[n] = sg_model_classes[n]->name;
    }
    nearest = sg_nearest(name, known, n);
    if (nearest)
        sg_fail(err, SG_ERR_USAGE, "unknown model '%s' (did you mean '%s'?)", name, nearest);
    else
        sg_fail(err, SG_ERR_USAGE, "unknown model '%s'", name);
    return NULL;
}

sg_status sg_model_new(sg_model **out, const sg_model_class *class, sg_error *err)
{
    sg_model *m = sg_alloc_zero(1, sizeof *m);

    *out = NULL;
    if (!m)
        return sg_fail_memory(err, class->name);
    m->class = class;
    if (!(m->config = sg_alloc_zero(1, class->config_bytes)) ||
        !(m->state = sg_alloc_zero(1, class->state_bytes)) || !(m->receipt = json_object())) {
        sg_model_free(m);
        return sg_fail_memory(err, class->name);
    }
    sg_options_init(m->config, class->options, class->n_options);
    *out = m;
    return SG_OK;
}

void sg_model_free(sg_model *m)
{
    if (!m)
        return;
    if (m->class->fini && m->state)
        m->class->fini(m);
    sg_params_free(&m->params);
    for (size_t i = 0; i < m->n_arrays; i++)
        sg_free(m->arrays[i].owned);
    sg_free(m->arrays);
    sg_catalogue_free(m->catalogue);
    sg_free(m->codes);
    sg_tensors_close(m->weights_file);
    sg_tensors_close(m->items_file);
    sg_free(m->item_index_own);
    sg_free(m->dir);
    json_decref(m->receipt);
    sg_free(m->state);
    sg_free(m->config);
    sg_free(m);
}

static sg_status take_ids(sg_model *m, const sg_train_data *t, sg_error *err)
{
    const sg_ids *ids = t->ids;
    sg_status st;
    size_t count;

    if (ids->n != m->n_items)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected semantic IDs of %d items, found %d", t->data->name,
                       (int)m->n_items, (int)ids->n);
    if ((st = sg_catalogue_new(&m->catalogue, ids->codes, ids->n, ids->levels, ids->size, err)) ||
        (ids->ends && (st = sg_catalogue_let_end(m->catalogue, err))))
        return st;
    if (!sg_mul(&count, (size_t)ids->n, (size_t)ids->levels) ||
        !(m->codes = sg_alloc_array(count, sizeof *m->codes)))
        return sg_fail_memory(err, "semantic IDs");
    memcpy(m->codes, ids->codes, count * sizeof *m->codes);
    return SG_OK;
}

static sg_status start_receipt(sg_model *m, const sg_train_data *t, uint64_t seed, sg_error *err)
{
    const sg_dataset *d = t->data;
    json_t *data;
    sg_status st;

    if ((st = sg_receipt_object(&data, m->receipt, "data", err)) ||
        (st = sg_receipt_text(data, "name", d->name, err)) ||
        (st = sg_receipt_text(data, "sha256", d->sha256, err)) ||
        (st = sg_receipt_put(data, "users", json_integer(d->n_users), err)) ||
        (st = sg_receipt_put(data, "items", json_integer(d->n_items), err)) ||
        (st = sg_receipt_put(data, "events", json_integer((json_int_t)d->n_events), err)) ||
        (st = sg_receipt_text(m->receipt, "split", t->split->spec.text ? t->split->spec.text : "loo", err)) ||
        (st = sg_receipt_put(m->receipt, "seed", json_integer((json_int_t)seed), err)) ||
        (st = sg_receipt_text(m->receipt, "sedge", SEDGE_VERSION, err)))
        return st;
    return SG_OK;
}

sg_status sg_model_build(sg_model *m, const sg_train_data *t, uint64_t seed, sg_error *err)
{
    const sg_dataset *d = t->data;
    sg_status st;

    assert(m->n_items == 0); /* a model is built once */
    if (d->n_items < 1)
        return sg_fail(err, SG_ERR_USAGE, "%s: the dataset has no items", d->name);
    if (d->n_events == 0 && !m->class->retrieve)
        return sg_fail(
            err, SG_ERR_USAGE,
            "%s learns from events, and %s holds documents and queries: expected a model that retrieves",
            m->class->name, d->name);
    if (m->class->needs_vectors && !t->vectors)
        return sg_fail(err, SG_ERR_MISSING, "%s needs item vectors: run `sedge embed DATA` first",
                       m->class->name);
    if (m->class->needs_ids && !t->ids)
        return sg_fail(err, SG_ERR_MISSING, "%s needs semantic IDs: run `sedge tokenize DATA` first",
                       m->class->name);
    m->n_items = d->n_items;
    m->n_users = d->n_users;
    m->item_ids = d->item_ids;
    if (m->class->needs_ids && (st = take_ids(m, t, err)))
        return st;
    if ((st = start_receipt(m, t, seed, err)))
        return st;
    if (m->class->weights && (st = m->class->weights(m, seed, err)))
        return st;
    if (m->params.failed)
        return sg_fail_memory(err, "weights");
    return m->class->init ? m->class->init(m, t, err) : SG_OK;
}

sg_status sg_model_fit(sg_model *m, const sg_train_data *t, sg_pool *pool, const sg_progress *progress,
                       sg_error *err)
{
    sg_status st;

    if (!m->class->fit)
        return sg_fail(err, SG_ERR_USAGE, "%s learns by training steps, not in one pass", m->class->name);
    if ((st = m->class->fit(m, t, pool, progress, err)))
        return st;
    return m->class->ready ? m->class->ready(m, err) : SG_OK;
}

/* ---- arrays ---- */

static sg_model_array *find_array(const sg_model *m, const char *name)
{
    for (size_t i = 0; i < m->n_arrays; i++)
        if (strcmp(m->arrays[i].name, name) == 0)
            return &m->arrays[i];
    return NULL;
}

static sg_status put_array(sg_model *m, const sg_model_array *array, sg_error *err)
{
    sg_model_array *old = find_array(m, array->name);

    if (!old) {
        if (!sg_grow(&m->arrays, &m->cap_arrays, m->n_arrays + 1, sizeof *m->arrays)) {
            sg_free(array->owned);
            return sg_fail_memory(err, array->name);
        }
        old = &m->arrays[m->n_arrays++];
        old->owned = NULL;
    }
    sg_free(old->owned);
    *old = *array;
    return SG_OK;
}

sg_status sg_model_array_put(sg_model *m, const char *name, sg_dtype dtype, int rank, const uint64_t *dim,
                             void *data, sg_error *err)
{
    sg_model_array a = {.dtype = dtype, .rank = rank, .count = 1, .data = data, .owned = data};

    assert(rank <= 4 && strlen(name) < sizeof a.name);
    if (!data)
        return sg_fail_memory(err, name);
    memcpy(a.name, name, strlen(name) + 1);
    for (int i = 0; i < rank; i++) {
        a.dim[i] = dim[i];
        a.count *= (size_t)dim[i]; /* the caller has allocated that much */
    }
    return put_array(m, &a, err);
}

sg_status sg_model_array_map(sg_model *m, const sg_file_tensor *t, sg_error *err)
{
    sg_model_array a = {.dtype = t->dtype, .rank = t->rank, .count = t->count, .data = t->data};

    if (strlen(t->name) >= sizeof a.name || t->rank > 4)
        return sg_fail(err, SG_ERR_FORMAT,
                       "tensor '%s': expected a name below 64 bytes and at most 4 dimensions", t->name);
    memcpy(a.name, t->name, strlen(t->name) + 1);
    for (int i = 0; i < t->rank; i++)
        a.dim[i] = t->dim[i];
    return put_array(m, &a, err);
}

static void print_shape(sg_buf *b, int rank, const uint64_t *dim)
{
    sg_buf_putc(b, '(');
    for (int i = 0; i < rank; i++)
        sg_buf_printf(b, i ? ", %llu" : "%llu", (unsigned long long)dim[i]);
    sg_buf_putc(b, ')');
}

bool sg_model_array_has(const sg_model *m, const char *name)
{
    return find_array(m, name) != NULL;
}

sg_status sg_model_array_need(const sg_model_array **out, const sg_model *m, const char *name, sg_dtype dtype,
                              int rank, const int64_t *dim, sg_error *err)
{
    const sg_model_array *a = find_array(m, name);
    sg_buf want = {0}, found = {0};
    bool same = a && a->dtype == dtype && a->rank == rank;

    for (int i = 0; same && i < rank; i++)
        same = dim[i] < 0 || a->dim[i] == (uint64_t)dim[i];
    if (same) {
        *out = a;
        return SG_OK;
    }
    if (!a)
        return sg_fail(err, SG_ERR_FORMAT, "%s: array '%s' is missing", m->class->name, name);
    sg_buf_putc(&want, '(');
    for (int i = 0; i < rank; i++)
        if (dim[i] < 0)
            sg_buf_puts(&want, i ? ", any" : "any");
        else
            sg_buf_printf(&want, i ? ", %lld" : "%lld", (long long)dim[i]);
    sg_buf_putc(&want, ')');
    print_shape(&found, a->rank, a->dim);
    const sg_status st =
        want.failed || found.failed
            ? sg_fail_memory(err, name)
            : sg_fail(err, SG_ERR_FORMAT, "%s: array '%s': expected %s %s, found %s %s", m->class->name, name,
                      sg_dtype_name(dtype), want.data, sg_dtype_name(a->dtype), found.data);
    sg_buf_free(&want);
    sg_buf_free(&found);
    return st;
}

/* ---- item ids ---- */

static uint64_t hash_bytes(sg_bytes s)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < s.size; i++)
        h = (h ^ (unsigned char)s.data[i]) * 0x100000001b3u;
    return h ^ (h >> 32);
}

static bool same_bytes(sg_bytes a, sg_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Open addressing, at most half full, -1: free. Folders keep it: where an id belongs must not change. */
int32_t *sg_item_index_new(size_t *n_slots, const sg_strings *ids)
{
    size_t n = 16;
    int32_t *index;

    while (n < 2 * ids->n)
        n *= 2;
    if (!(index = sg_alloc_array(n, sizeof *index)))
        return NULL;
    memset(index, 0xff, n * sizeof *index);
    for (size_t i = 0; i < ids->n; i++) {
        size_t slot = (size_t)hash_bytes(sg_strings_at(ids, i)) & (n - 1);

        while (index[slot] >= 0)
            slot = (slot + 1) & (n - 1);
        index[slot] = (int32_t)i;
    }
    *n_slots = n;
    return index;
}

static bool index_items(sg_model *m)
{
    m->item_index = m->item_index_own = sg_item_index_new(&m->n_item_index, &m->item_ids);
    return m->item_index != NULL;
}

/* A file may say anything: no number is trusted, and no search goes round twice. */
int32_t sg_model_item(sg_model *m, sg_bytes id)
{
    if (!m->item_index && !index_items(m)) { /* no memory for the table: look at every id */
        for (size_t i = 0; i < m->item_ids.n; i++)
            if (same_bytes(sg_strings_at(&m->item_ids, i), id))
                return (int32_t)i;
        return -1;
    }
    size_t slot = (size_t)hash_bytes(id) & (m->n_item_index - 1);

    for (size_t looked = 0; looked < m->n_item_index; looked++, slot = (slot + 1) & (m->n_item_index - 1)) {
        const int32_t i = m->item_index[slot];

        if (i < 0 || (size_t)i >= m->item_ids.n)
            return -1;
        if (same_bytes(sg_strings_at(&m->item_ids, (size_t)i), id))
            return i;
    }
    return -1;
}
