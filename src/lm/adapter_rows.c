/* adapter_rows.c - rows of new tokens, or of tokens that learned, in the files of PEFT: `trainable_token_indices` beside low-rank parts,
 * and TRAINABLE_TOKENS. PEFT saves whole tables beside them where a model was resized, or where lm_head is a target. */
#include "lm/adapter_parts.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MOST = 1 << 20 };
static const char head[] = "lm_head";

static bool is_tied(const sg_adapter *a)
{
    return a->host.words == a->host.output;
}

/* Whether a tensor is `table` as one of these endings says. */
static bool ends_as(const char *tensor, const char *table, const char *const *ending)
{
    const size_t before = sizeof SG_ADAPTER_BEFORE - 1, n = strlen(table);

    if (strncmp(tensor, SG_ADAPTER_BEFORE, before) != 0 || strncmp(tensor + before, table, n) != 0)
        return false;
    while (*ending && strcmp(tensor + before + n, *ending) != 0)
        ending++;
    return *ending != NULL;
}

static const char *const wholes[] = {".weight", ".base_layer.weight", ".token_adapter.base_layer.weight",
                                     NULL};
static const char *const deltas[] = {".token_adapter.trainable_tokens_delta", ".trainable_tokens_delta",
                                     NULL};

bool sg_adapter_rows_have(const sg_adapter *a, const char *tensor)
{
    return ends_as(tensor, a->host.table, wholes) || ends_as(tensor, head, wholes) ||
           ends_as(tensor, a->host.table, deltas) || ends_as(tensor, head, deltas);
}

sg_status sg_adapter_rows_declare(sg_adapter *a, bool output, int n, sg_error *err)
{
    sg_row_set *s = output ? &a->output : &a->words;

    s->n = n;
    s->id = sg_alloc_zero((size_t)n, sizeof *s->id);
    s->rows = sg_param_add(&a->params, 0, SG_INIT_ZERO, 0, 0, n, a->host.dim, "%s%s",
                           output ? head : a->host.table, deltas[a->config.kind == SG_ADAPTER_TOKENS]);
    if (s->rows && !s->rows->value) /* of a bare set */
        s->rows->value = sg_alloc_zero(s->rows->count, sizeof *s->rows->value);
    return s->id && s->rows && s->rows->value ? SG_OK : sg_fail_memory(err, "rows of tokens");
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------ */
typedef struct source {                  /* of the rows of one table */
    const sg_file_tensor *delta, *whole; /* NULL: none */
    const json_t *ids;                   /* of delta */
} source;

typedef struct pair {
    int32_t id, from; /* row of delta; -1: of the whole table */
} pair;

static int by_id(const void *a, const void *b)
{
    const pair *x = a, *y = b;

    return x->id != y->id ? (x->id > y->id) - (x->id < y->id) : (x->from < y->from) - (x->from > y->from);
}

/* Mean size of the numbers of row r of a table of the adapter's file, and of how far they are from the model's own. */
static sg_status row_distance(double *size, double *far, float *room, const sg_adapter *a,
                              const sg_weights *w, const char *found, const char *own, size_t r,
                              sg_error *err)
{
    const size_t dim = (size_t)a->host.dim;
    float *other = room + dim;
    sg_status st;

    if ((st = sg_weights_read(room, w, found, r * dim, dim, err)) ||
        (st = sg_weights_read(other, a->host.weights, own, r * dim, dim, err)))
        return st;
    for (size_t i = 0; i < dim; i++) {
        *size += fabs((double)other[i]);
        *far += fabs((double)room[i] - (double)other[i]);
    }
    return SG_OK;
}

/* Rows of a whole table that the model has as well must be the model's, up to the number type of either file, but for those of delta. */
static sg_status check_whole(const sg_adapter *a, const source *s, const pair *own_rows, size_t n_own,
                             const sg_weights *w, const char *own, sg_error *err)
{
    const bool quantised = sg_weights_gguf(a->host.weights) != NULL;
    const sg_file_tensor *t = s->whole;
    double size = 0, far = 0;
    float *room;
    size_t at = 0;
    sg_status st = SG_OK;

    if (t->rank != 2 || t->dim[0] < (uint64_t)a->host.rows ||
        t->dim[0] > (uint64_t)a->host.rows + TOKENS_MOST || t->dim[1] != (uint64_t)a->host.dim)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: tensor '%s': expected (%d, %d) like the model's own, or more rows",
                       sg_weights_name(w), t->name, a->host.rows, a->host.dim);
    if (!(room = sg_alloc_array(2 * (size_t)a->host.dim, sizeof *room)))
        return sg_fail_memory(err, t->name);
    for (int r = 0; r < a->host.rows && !st; r++) {
        while (at < n_own && own_rows[at].id < r)
            at++;
        if (at == n_own || own_rows[at].id != r)
            st = row_distance(&size, &far, room, a, w, t->name, own, (size_t)r, err);
    }
    if (!st && !(far <= size * (quantised ? 0.25 : 0x1p-8)))
        st = sg_fail(err, SG_ERR_FORMAT,
                     "%s: tensor '%s': expected the model's own table, found one that has learned",
                     sg_weights_name(w), t->name);
    sg_free(room);
    return st;
}

/* The ids of delta, ascending; *n: how many. */
static sg_status read_ids(pair *list, size_t *n, const source *s, int dim, const char *path, const char *file,
                          sg_error *err)
{
    *n = json_array_size(s->ids);
    if (!s->delta && *n)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected the rows of %zu tokens, found none", file, *n);
    if (s->delta && (s->delta->rank != 2 || s->delta->dim[0] != *n || s->delta->dim[1] != (uint64_t)dim))
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: tensor '%s': expected (%zu, %d), the tokens of adapter_config.json", file,
                       s->delta->name, *n, dim);
    for (size_t i = 0; i < *n; i++) {
        const json_t *id = json_array_get(s->ids, i);

        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > 1 << 24)
            return sg_fail(err, SG_ERR_FORMAT, "%s: token indices: expected numbers of tokens, found %s",
                           path, sg_json_describe(id, (char[64]){0}));
        list[i] = (pair){(int32_t)json_integer_value(id), (int32_t)i};
    }
    if (*n)
        qsort(list, *n, sizeof *list, by_id);
    for (size_t i = 1; i < *n; i++)
        if (list[i].id == list[i - 1].id)
            return sg_fail(err, SG_ERR_FORMAT, "%s: token indices: expected each once, found %d twice", path,
                           (int)list[i].id);
    return SG_OK;
}

static sg_status read_values(sg_row_set *to, const source *s, const pair *list, size_t n, const sg_weights *w,
                             sg_error *err)
{
    const size_t dim = (size_t)to->rows->dim[1];
    sg_status st = SG_OK;

    for (size_t i = 0; i < n && !st; i++) {
        const bool whole = list[i].from < 0;
        const size_t row = whole ? (size_t)list[i].id : (size_t)list[i].from;

        to->id[i] = list[i].id;
        st = sg_weights_read(to->rows->value + i * dim, w, whole ? s->whole->name : s->delta->name, row * dim,
                             dim, err);
    }
    return st;
}

/* The rows of one table: those of delta, and those of a whole one behind the end of the model's. */
static sg_status load_set(sg_adapter *a, bool output, const source *s, const char *path, const sg_weights *w,
                          sg_error *err)
{
    const size_t most = json_array_size(s->ids), rows = (size_t)a->host.rows,
                 behind = s->whole && s->whole->rank == 2 && s->whole->dim[0] > rows &&
                                  s->whole->dim[0] <= rows + TOKENS_MOST
                              ? (size_t)s->whole->dim[0] - rows
                              : 0;
    pair *list = most <= TOKENS_MOST ? sg_alloc_zero(most + behind + 1, sizeof *list) : NULL;
    size_t n = 0, kept;
    sg_status st;

    if (most > TOKENS_MOST)
        return sg_fail(err, SG_ERR_FORMAT, "%s: token indices: expected at most %d, found %zu", path,
                       TOKENS_MOST, most);
    if (!list)
        return sg_fail_memory(err, "rows of tokens");
    if ((st = read_ids(list, &n, s, a->host.dim, path, sg_weights_name(w), err)) ||
        (s->whole && (st = check_whole(a, s, list, n, w, output ? a->host.output : a->host.words, err))))
        goto done;
    for (size_t i = 0; i < behind; i++)
        list[n + i] = (pair){(int32_t)(rows + i), -1};
    n += behind;
    if (n)
        qsort(list, n, sizeof *list, by_id);
    kept = 0; /* of a token that stands in both, delta's row comes first */
    for (size_t i = 0; i < n; i++)
        if (i == 0 || list[i].id != list[i - 1].id)
            list[kept++] = list[i];
    if (kept && !(output && is_tied(a)) && !(st = sg_adapter_rows_declare(a, output, (int)kept, err)))
        st = read_values(output ? &a->output : &a->words, s, list, kept, w, err);
    if (!st && kept && list[kept - 1].id >= a->vocab)
        a->vocab = list[kept - 1].id + 1;
done:
    sg_free(list);
    return st;
}

/* Tokens behind the end of the model's tables must have rows in both. */
static sg_status check_behind(const sg_adapter *a, const char *file, sg_error *err)
{
    for (int32_t id = a->host.rows; id < a->vocab; id++)
        for (int k = 0; k < (is_tied(a) ? 1 : 2); k++)
            if (sg_row_find(k ? &a->output : &a->words, id) < 0)
                return sg_fail(err, SG_ERR_FORMAT,
                               "%s: token %d: expected a row of '%s', as of all tokens behind the model's "
                               "%d, found none",
                               file, (int)id, k ? head : a->host.table, a->host.rows);
    return SG_OK;
}

static sg_status indices(const json_t **words, const json_t **output, const sg_adapter *a, const json_t *o,
                         const char *path, sg_error *err)
{
    const bool alone = a->config.kind == SG_ADAPTER_TOKENS;
    const char *key = alone ? "token_indices" : "trainable_token_indices";
    const json_t *ids = json_object_get(o, key), *targets = json_object_get(o, "target_modules"), *one;
    const char *name;
    size_t i;

    if (alone) {
        const json_t *list = json_is_array(ids) && json_array_size(ids) ? ids : NULL;

        if (!list)
            return sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected numbers of tokens, found %s", path, key,
                           sg_json_describe(ids, (char[64]){0}));
        *words = json_is_array(targets) ? NULL : list;
        json_array_foreach(targets, i, one)
        {
            if (json_is_string(one) && strcmp(json_string_value(one), head) == 0)
                *output = list;
            else if (json_is_string(one) && strcmp(json_string_value(one), "embed_tokens") == 0)
                *words = list;
            else
                return sg_fail(err, SG_ERR_FORMAT,
                               "%s: 'target_modules': expected embed_tokens and lm_head, found %s", path,
                               sg_json_describe(one, (char[64]){0}));
        }
        return SG_OK;
    }
    if (!ids || json_is_null(ids))
        return SG_OK;
    if (json_is_array(ids)) {
        *words = ids;
        return SG_OK;
    }
    json_object_foreach((json_t *)(uintptr_t)ids, name, one)
    {
        if (!json_is_array(one) || (strcmp(name, "embed_tokens") != 0 && strcmp(name, head) != 0))
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: '%s': expected lists of tokens for embed_tokens and lm_head, found '%.100s'",
                           path, key, name);
        *(strcmp(name, head) == 0 ? output : words) = one;
    }
    return json_is_object(ids) ? SG_OK
                               : sg_fail(err, SG_ERR_FORMAT, "%s: '%s': expected lists of tokens, found %s",
                                         path, key, sg_json_describe(ids, (char[64]){0}));
}

sg_status sg_adapter_rows_load(sg_adapter *a, const json_t *o, const char *path, const sg_weights *w,
                               const sg_tensors *file, sg_error *err)
{
    source words = {0}, output = {0};
    sg_status st;

    for (size_t i = 0; i < sg_tensors_count(file); i++) {
        const sg_file_tensor *t = sg_tensors_at(file, i);

        if (ends_as(t->name, a->host.table, wholes))
            words.whole = t;
        if (ends_as(t->name, head, wholes))
            output.whole = t;
        if (ends_as(t->name, a->host.table, deltas))
            words.delta = t;
        if (ends_as(t->name, head, deltas))
            output.delta = t;
    }
    if ((st = indices(&words.ids, &output.ids, a, o, path, err)))
        return st;
    if (is_tied(a)) { /* one table: what PEFT writes of it twice is the same */
        output.delta = NULL;
        if (!words.ids)
            words.ids = output.ids;
        if (!words.whole)
            words.whole = output.whole;
        output.ids = NULL;
    }
    if ((words.ids || output.ids || words.delta || output.delta) && !a->host.takes_rows)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected no rows of tokens beside a T5, found some", path);
    if ((st = load_set(a, false, &words, path, w, err)) || (st = load_set(a, true, &output, path, w, err)))
        return st;
    if (a->vocab > a->host.rows && !a->host.takes_rows)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected tables of %d rows beside a T5, found more",
                       sg_weights_name(w), a->host.rows);
    return check_behind(a, sg_weights_name(w), err);
}

/* ---- writing ------------------------------------------------------------------------------------------------------------------ */
static json_t *list_of(const sg_row_set *s)
{
    json_t *list = json_array();

    for (int i = 0; list && i < s->n; i++)
        if (json_array_append_new(list, json_integer(s->id[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

bool sg_adapter_rows_tell(json_t *config, const sg_adapter *a)
{
    const bool alone = a->config.kind == SG_ADAPTER_TOKENS;
    json_t *targets = alone ? json_array() : NULL;
    bool good = true;

    if (!a->words.n && !a->output.n)
        return true;
    if (alone) {
        good =
            targets && (!a->words.n || json_array_append_new(targets, json_string("embed_tokens")) == 0) &&
            (!a->output.n || json_array_append_new(targets, json_string(head)) == 0) &&
            json_object_set(config, "target_modules", targets) == 0 &&
            json_object_set_new(config, "token_indices", list_of(a->words.n ? &a->words : &a->output)) == 0;
    } else if (!a->output.n) {
        good = json_object_set_new(config, "trainable_token_indices", list_of(&a->words)) == 0;
    } else {
        json_t *both = json_object();

        good = both && (!a->words.n || json_object_set_new(both, "embed_tokens", list_of(&a->words)) == 0) &&
               json_object_set_new(both, head, list_of(&a->output)) == 0 &&
               json_object_set(config, "trainable_token_indices", both) == 0;
        json_decref(both);
    }
    json_decref(targets);
    return good;
}
