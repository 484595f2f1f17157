/* handle_items.c - items that come and go while the model serves.
 *
 * An item that comes is checked on the thread of HTTP, gets its vector in the model lane, and in the store lane its semantic ID
 * and its place on the disk. When the answer is there, so is the item, for every request that begins afterwards. */
#include "serve/server.h"

#include "base/alloc.h"
#include "base/option.h"
#include "file/json.h"
#include "serve/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 4096, CODES_TEXT = SG_CATALOGUE_LEVELS_MAX * 8 };

static const sg_field item_fields[] = {
    {"id", SG_FIELD_TEXT, .needed = true, .meaning = "id of the item"},
    {"texts", SG_FIELD_MAP, .longest = offsetof(sg_serve_config, text_max),
     .meaning = "its texts by the dataset's columns, which its semantic ID comes from; without them an item "
                "of the model that was "
                "removed comes back as it was"},
    {"expires_at", SG_FIELD_INT, .least = 1,
     .meaning = "seconds since 1970 after which it is not on offer any more (never)"},
    {.name = NULL},
};
const sg_field sg_items_fields[] = {
    {"items", SG_FIELD_OBJECTS, .needed = true, .most = offsetof(sg_serve_config, items_max),
     .inner = item_fields, .meaning = "all of them are added, or none"},
    {.name = NULL},
};

static sg_bytes text_of(const json_t *v)
{
    return json_is_string(v) ? (sg_bytes){json_string_value(v), json_string_length(v)} : (sg_bytes){NULL, 0};
}

static int64_t expiry_of(const json_t *item)
{
    const json_t *v = json_object_get(item, "expires_at");

    return json_is_integer(v) ? (int64_t)json_integer_value(v) : 0;
}

/* ---- on the thread of HTTP --------------------------------------------------------------------------------- */

/* Texts of columns that the encoder does not read would be lost: a wrong name is an error. */
static bool check_columns(sg_job *j, const sg_tower *t, const json_t *texts, size_t i)
{
    const char *known[COLUMNS_MAX], *key;
    const int n = sg_tower_columns(t) < COLUMNS_MAX ? sg_tower_columns(t) : COLUMNS_MAX;
    char param[96];
    json_t *v;

    if (n == 0) /* they are kept as they are */
        return true;
    for (int k = 0; k < n; k++)
        known[k] = sg_tower_column(t, k);
    json_object_foreach((json_t *)(uintptr_t)texts, key, v)
    {
        const char *near;
        int k = 0;

        while (k < n && strcmp(known[k], key) != 0)
            k++;
        if (k < n)
            continue;
        near = sg_nearest(key, known, (size_t)n);
        snprintf(param, sizeof param, "items[%zu].texts", i);
        if (near)
            sg_reply_error(j->x, 400, "unknown_parameter", param,
                           "'%s': unknown column '%.60s' (did you mean '%s'?)", param, key, near);
        else
            sg_reply_error(j->x, 400, "unknown_parameter", param, "'%s': unknown column '%.60s'", param, key);
        return false;
    }
    return true;
}

static bool check_item(sg_job *j, const sg_tower *t, const json_t *items, size_t i)
{
    const json_t *item = json_array_get(items, i), *id = json_object_get(item, "id");
    char param[96];

    for (size_t k = 0; k < i; k++)
        if (json_equal(json_object_get(json_array_get(items, k), "id"), id)) {
            snprintf(param, sizeof param, "items[%zu].id", i);
            sg_reply_error(j->x, 400, "invalid_request", param, "'%s': items[%zu] has the same id", param, k);
            return false;
        }
    if (expiry_of(item) && expiry_of(item) <= (int64_t)time(NULL)) {
        snprintf(param, sizeof param, "items[%zu].expires_at", i);
        sg_reply_error(j->x, 400, "out_of_range", param, "'%s': expected a time to come, found %lld", param,
                       (long long)expiry_of(item));
        return false;
    }
    return check_columns(j, t, json_object_get(item, "texts"), i);
}

/* An item that the model does not have needs a semantic ID, and that comes from its texts. */
static bool check_new(sg_loaded *l, sg_job *j, const json_t *items, size_t i)
{
    const json_t *item = json_array_get(items, i);
    const sg_bytes id = text_of(json_object_get(item, "id"));
    char param[96];
    sg_error e;

    if (sg_model_item(l->source.model, id) >= 0)
        return true;
    if (sg_stock_takes_items(l->stock, &e)) {
        snprintf(param, sizeof param, "items[%zu].id", i);
        sg_reply_error(j->x, 422, "items_are_learned", param, "item '%.*s' cannot be added: %s", (int)id.size,
                       id.data, e.message);
        return false;
    }
    if (json_object_size(json_object_get(item, "texts")))
        return true;
    snprintf(param, sizeof param, "items[%zu].texts", i);
    sg_reply_error(j->x, 400, "missing_parameter", param, "'%s': expected, found nothing", param);
    return false;
}

static bool check_items(sg_loaded *l, sg_job *j)
{
    const json_t *items = json_object_get(j->body, "items");

    if (json_array_size(items) == 0) {
        sg_reply_error(j->x, 400, "out_of_range", "items", "'items': expected at least one, found none");
        return false;
    }
    for (size_t i = 0; i < json_array_size(items); i++)
        if (!check_item(j, l->tower, items, i) || !check_new(l, j, items, i))
            return false;
    return true;
}

bool sg_handle_add_items(sg_server *s, sg_job *j)
{
    sg_loaded *l;
    bool good;

    if (sg_no_store(s, j) || sg_store_refuse(s, j))
        return true;
    l = sg_server_loaded(s);
    good = check_items(l, j);
    sg_loaded_release(l);
    j->work = SG_WORK_ITEMS;
    return !good;
}

bool sg_handle_remove_item(sg_server *s, sg_job *j)
{
    return sg_no_store(s, j) || sg_store_refuse(s, j);
}

/* ---- in the model lane ------------------------------------------------------------------------------------- */

static sg_status encode_one(float *x, const sg_tower *t, const json_t *texts, sg_error *err)
{
    const int n = sg_tower_columns(t);
    sg_bytes *text = sg_alloc_array((size_t)n, sizeof *text);
    sg_status st;

    if (!text)
        return sg_fail_memory(err, "texts of an item");
    for (int i = 0; i < n; i++)
        text[i] = text_of(json_object_get(texts, sg_tower_column(t, i)));
    st = sg_tower_item(x, t, text, err);
    sg_free(text);
    return st;
}

/* Does the item get a semantic ID from its texts? */
static bool has_vector(const sg_stock *s, const json_t *item)
{
    return json_object_size(json_object_get(item, "texts")) && !sg_stock_takes_items(s, NULL);
}

/* False: x holds the error. */
static bool encode_items(const sg_loaded *l, sg_job *j)
{
    const json_t *items = json_object_get(j->body, "items");
    const size_t n = json_array_size(items), dim = (size_t)sg_tower_item_dim(l->tower);
    sg_error e;

    sg_free(j->x_items);
    if (!(j->x_items = sg_alloc_array(n, dim * sizeof *j->x_items))) {
        sg_reply(j->x, 500, NULL);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(items, i);
        const sg_status st = has_vector(l->stock, item) ? encode_one(j->x_items + i * dim, l->tower,
                                                                     json_object_get(item, "texts"), &e)
                                                        : SG_OK;

        if (st == SG_ERR_USAGE) {
            char param[96];

            snprintf(param, sizeof param, "items[%zu].texts", i);
            sg_reply_error(j->x, 400, "invalid_request", param, "'%s': %s", param, e.message);
        } else if (st) {
            sg_reply_status(j->x, st, &e);
        }
        if (st)
            return false;
    }
    return true;
}

bool sg_items_encode(sg_worker *w, sg_job *j)
{
    if (!encode_items(w->loaded, j))
        return false;
    sg_loaded_hold(w->loaded);
    j->loaded = w->loaded;
    return true;
}

/* ---- in the store lane ------------------------------------------------------------------------------------- */

/* Codes of a record; 0: the model offers no semantic IDs that change. */
static int levels_of(const sg_loaded *l)
{
    const sg_model *m = l->source.model;

    return m->class->living && m->class->living(m) && m->catalogue ? sg_catalogue_levels(m->catalogue) : 0;
}

static json_t *codes_json(const int32_t *codes, int n)
{
    json_t *list = json_array();

    for (int l = 0; l < n; l++)
        json_array_append_new(list, json_integer(codes[l]));
    return list;
}

static void print_codes(char text[CODES_TEXT], const int32_t *codes, int n)
{
    size_t at = 0;

    text[0] = 0;
    for (int l = 0; l < n; l++)
        at += (size_t)snprintf(text + at, CODES_TEXT - at, l ? ",%d" : "%d", (int)codes[l]);
}

static sg_status keep(sg_store *store, const sg_added *a, const sg_loaded *l, sg_error *err)
{
    char codes[CODES_TEXT];

    print_codes(codes, a->codes, levels_of(l));
    return sg_store_put_item(store,
                             &(sg_store_item){.id = a->id,
                                              .texts = a->texts,
                                              .tower = {sg_tower_sha256(l->tower), 64},
                                              .codes = {codes, strlen(codes)},
                                              .expires = a->expires},
                             err);
}

/* Sent again as it was? */
static bool is_repeated(const sg_added *a, const json_t *item)
{
    json_t *known = a && a->expires == expiry_of(item) ? sg_added_texts(a) : NULL;
    const json_t *texts = json_object_get(item, "texts");
    const bool same =
        known && (json_is_object(texts) ? json_equal(known, texts) : json_object_size(known) == 0);

    json_decref(known);
    return same;
}

/* *added: NULL where it was there already. False: x holds the error. */
static bool add_one(const sg_added **added, sg_loaded *l, sg_job *j, size_t i)
{
    json_t *item = json_array_get(json_object_get(j->body, "items"), i);
    const sg_bytes id = text_of(json_object_get(item, "id"));
    json_t *texts = json_object_get(item, "texts");
    json_t *given = json_is_object(texts) ? json_incref(texts) : json_object();
    char param[96];
    sg_error e;
    sg_status st;

    *added = NULL;
    snprintf(param, sizeof param, "items[%zu].id", i);
    if (sg_stock_offers(l->stock, id)) {
        json_decref(given);
        if (is_repeated(sg_stock_find(l->stock, id), item))
            return true;
        sg_reply_error(j->x, 409, "exists", param,
                       "item '%.*s' is in the catalogue and is not the same: remove it first", (int)id.size,
                       id.data);
        return false;
    }
    st = sg_stock_add(added, l->stock,
                      &(sg_arrival){.id = id,
                                    .texts = given,
                                    .expires = expiry_of(item),
                                    .x = has_vector(l->stock, item)
                                             ? j->x_items + i * (size_t)sg_tower_item_dim(l->tower)
                                             : NULL,
                                    .dim = sg_tower_item_dim(l->tower)},
                      &e);
    json_decref(given);
    if (st == SG_ERR_USAGE)
        sg_reply_error(j->x, 409, "no_place", param, "item '%.*s': %s", (int)id.size, id.data, e.message);
    else if (st)
        sg_reply_status(j->x, st, &e);
    return !st;
}

static json_t *added_json(const sg_added *a, const json_t *id, const sg_loaded *l, const sg_added *known)
{
    json_t *o = json_pack("{s:O, s:b}", "item", id, "added", a != NULL);

    if (levels_of(l))
        json_object_set_new(o, "semantic_id", codes_json(a ? a->codes : known->codes, levels_of(l)));
    return o;
}

static sg_status add_to_first(sg_server *s, sg_loaded *l, sg_job *j, sg_error *err)
{
    const json_t *items = json_object_get(j->body, "items");
    const size_t n = json_array_size(items), mark = sg_stock_mark(l->stock);
    const sg_added **added = NULL;
    json_t *list = NULL;
    sg_status st = SG_OK;
    int n_fresh = 0;

    if (j->loaded != l && (!check_items(l, j) || !encode_items(l, j))) /* the model is another by now */
        return SG_OK;
    if (!(added = sg_alloc_array(n, sizeof *added)) || !(list = json_array())) {
        sg_free(added);
        return sg_fail_memory(err, "items");
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_object_get(json_array_get(items, i), "id");

        if (!add_one(&added[i], l, j, i)) {
            sg_stock_undo(l->stock, mark);
            goto done;
        }
        n_fresh += added[i] != NULL;
        json_array_append_new(list, added_json(added[i], id, l, sg_stock_find(l->stock, text_of(id))));
    }
    for (size_t i = 0; !st && i < n; i++)
        if (added[i])
            st = keep(s->store_write, added[i], l, err);
    if (!st) {
        atomic_fetch_add(&s->metrics.items_added, (uint64_t)n_fresh);
        sg_reply(j->x, 200,
                 json_pack("{s:s, s:i, s:i, s:O}", "object", "items", "added", n_fresh, "repeated",
                           (int)n - n_fresh, "items", list));
    }
done:
    json_decref(list);
    sg_free(added);
    return st;
}

/* Another model takes the items of an accepted request as far as it can: what it has comes back, what is new needs its own vector and
 * semantic ID. */
static sg_status follow(sg_loaded *l, const sg_job *j, sg_error *err)
{
    const json_t *items = json_object_get(j->body, "items");
    float *x = sg_alloc_array((size_t)sg_tower_item_dim(l->tower), sizeof *x);
    sg_status st = x ? SG_OK : sg_fail_memory(err, "vector of an item");

    for (size_t i = 0; !st && i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        json_t *texts = json_object_get(item, "texts"),
               *given = json_is_object(texts) ? json_incref(texts) : json_object();
        sg_arrival a = {.id = text_of(json_object_get(item, "id")),
                        .texts = given,
                        .expires = expiry_of(item),
                        .dim = sg_tower_item_dim(l->tower)};
        const sg_added *added;

        if (!sg_stock_offers(l->stock, a.id)) {
            if (has_vector(l->stock, item) && !(st = encode_one(x, l->tower, given, err)))
                a.x = x;
            if (!st)
                st = sg_stock_add(&added, l->stock, &a, err);
            st = st == SG_ERR_USAGE ? SG_OK : st; /* it cannot */
        }
        json_decref(given);
    }
    sg_free(x);
    return st;
}

sg_status sg_items_add(sg_server *s, sg_loaded **l, sg_job *j, sg_error *err)
{
    sg_status st = add_to_first(s, l[0], j, err);

    for (int i = 1; !st && j->x->status == 200 && i < s->n_models; i++)
        st = follow(l[i], j, err);
    return st;
}

sg_status sg_items_remove(sg_server *s, sg_loaded **l, sg_job *j, sg_error *err)
{
    const sg_bytes id = {j->id, strlen(j->id)};
    bool was_there = false;
    sg_error e;
    sg_status st;

    for (int i = 0; i < s->n_models; i++) {
        if (!(st = sg_stock_remove(l[i]->stock, id, &e)))
            was_there = true;
        else if (st == SG_ERR_MEMORY || (i == 0 && st == SG_ERR_USAGE)) {
            if (st == SG_ERR_USAGE)
                sg_reply_error(j->x, 409, "last_item", "id", "item '%s': %s", j->id, e.message);
            else
                sg_reply_status(j->x, st, &e);
            return SG_OK;
        }
    }
    if (!was_there) {
        sg_reply_error(j->x, 404, "not_found", "id", "item '%s' is not in the catalogue", j->id);
        return SG_OK;
    }
    if (!(st = sg_store_remove_item(s->store_write, id, err))) {
        atomic_fetch_add(&s->metrics.items_removed, 1);
        sg_reply(j->x, 200,
                 json_pack("{s:s, s:s, s:b}", "object", "item.removed", "item", j->id, "removed", 1));
    }
    return st;
}

/* How many items of the model ended; -1: an error, which is in the log. */
static int expire(sg_server *s, sg_loaded *l, int64_t now)
{
    const sg_added *a;
    sg_error e;
    sg_status st = SG_OK;
    int n = 0;

    while (!st && (a = sg_stock_expired(l->stock, now)) && !(st = sg_stock_remove(l->stock, a->id, &e)))
        n++;
    if (n && (st = sg_stock_publish(l->stock, &e)))
        sg_stock_undo(l->stock, 0);
    if (!st)
        return n;
    sg_server_log(s, "error", "items expired", json_pack("{s:s}", "error", e.message));
    return -1;
}

/* The store knows the time itself, so nothing has to be written down. */
void sg_items_expire(sg_server *s)
{
    const int64_t now = (int64_t)time(NULL);
    int n = 0;

    pthread_mutex_lock(&s->items_lock);
    for (int i = 0; i < s->n_models; i++) {
        sg_loaded *l = sg_server_model(s, i);
        const int one = expire(s, l, now);

        n = one > n ? one : n;
        sg_loaded_release(l);
    }
    pthread_mutex_unlock(&s->items_lock);
    atomic_fetch_add(&s->metrics.items_expired, (uint64_t)n);
    if (n)
        sg_server_log(s, "info", "items expired", json_pack("{s:i}", "items", n));
}

/* ---- at the start, and for a new model --------------------------------------------------------------------- */

typedef struct filling {
    sg_loaded *l;
    const sg_added **anew; /* owned: whose semantic IDs another tower made */
    size_t n_anew, cap_anew;
    int n_left_out;
    bool gone; /* these rows at hand */
} filling;

/* Does the item have these codes of this tower? */
static bool read_codes(int32_t *codes, const filling *f, const sg_store_item *item)
{
    const sg_catalogue *c = f->l->source.model->catalogue;
    const char *at = item->codes.size ? item->codes.data : "";
    int n = 0;

    if (item->tower.size != 64 || memcmp(item->tower.data, sg_tower_sha256(f->l->tower), 64) != 0)
        return false;
    for (char *end; *at && n < sg_catalogue_levels(c); at = *end == ',' ? end + 1 : end, n++) {
        const long code = strtol(at, &end, 10);

        if (end == at || (*end && *end != ',') || code < 0 || code >= sg_catalogue_size(c, n))
            return false;
        codes[n] = (int32_t)code;
    }
    return n == sg_catalogue_levels(c) && !*at;
}

/* Vectors are computed for items alone whose codes are not known, or taken; or for all that have texts, where the model reads them. */
static sg_status add_stored(filling *f, const sg_arrival *given, sg_error *err)
{
    const bool reads = sg_stock_reads_vectors(f->l->stock) && json_object_size(given->texts);
    sg_arrival a = *given;
    const sg_added *added;
    float *x = NULL;
    sg_status st = SG_ERR_USAGE;

    if (a.codes && !reads)
        st = sg_stock_add(&added, f->l->stock, &a, err);
    if (st != SG_ERR_USAGE)
        return st;
    if (!(x = sg_alloc_array((size_t)sg_tower_item_dim(f->l->tower), sizeof *x)))
        return sg_fail_memory(err, "vector of an item");
    a.codes = reads ? given->codes : NULL;
    a.x = x;
    a.dim = sg_tower_item_dim(f->l->tower);
    if (!(st = encode_one(x, f->l->tower, a.texts, err)) &&
        !(st = sg_stock_add(&added, f->l->stock, &a, err)) && !a.record_only &&
        !(a.codes && memcmp(added->codes, a.codes, (size_t)levels_of(f->l) * sizeof *a.codes) == 0)) {
        if (!sg_grow(&f->anew, &f->cap_anew, f->n_anew + 1, sizeof *f->anew))
            st = sg_fail_memory(err, "items");
        else
            f->anew[f->n_anew++] = added;
    }
    sg_free(x);
    return st;
}

/* An item of the store, a: its texts and when it ends. over: it is gone, or its time has passed. own: the model has it, too.
 * What the model learned of an item goes before what the store says, unless the item was added anew to this very model. */
static sg_status take_item(filling *f, sg_arrival *a, bool over, bool own, sg_error *err)
{
    sg_stock *stock = f->l->stock;
    const bool takes = !sg_stock_takes_items(stock, err);
    const sg_added *added;
    sg_status st = SG_OK;

    if (own && (over || (takes && a->codes)))
        st = sg_stock_remove(stock, a->id, err);
    if (own && st == SG_ERR_USAGE) /* the last one has to stay */
        return SG_OK;
    if (st || (own && over))
        return st;
    if (own && !(takes && a->codes)) {
        a->record_only = true;
        a->codes = NULL;
        return sg_stock_add(&added, stock, a, err);
    }
    a->record_only = over;
    st = takes ? add_stored(f, a, err) : SG_ERR_USAGE;
    if (st == SG_ERR_USAGE) { /* its words say nothing to this encoder, or the model takes none */
        f->n_left_out += !over;
        st = SG_OK;
    }
    return st;
}

static sg_status take_row(void *ctx, const sg_store_item *item, sg_error *err)
{
    filling *f = ctx;
    int32_t codes[SG_CATALOGUE_LEVELS_MAX];
    const bool over = f->gone || (item->expires && item->expires <= (int64_t)time(NULL));
    const bool own = sg_stock_offers(f->l->stock, item->id);
    sg_arrival a = {.id = item->id, .expires = item->expires};
    json_t *texts = NULL;
    sg_status st;

    if (!item->texts.size)
        return own ? take_item(f, &a, true, true, err) : SG_OK;
    if ((st = sg_json_parse(&texts, item->texts, "texts of an item in the store", err)))
        return st;
    a.texts = texts;
    if (levels_of(f->l) && read_codes(codes, f, item))
        a.codes = codes;
    st = take_item(f, &a, over, own, err);
    json_decref(texts);
    return st;
}

/* The semantic IDs of another tower are written down, so that the next start need not compute them again. */
static sg_status keep_anew(const filling *f, sg_store *store, sg_error *err)
{
    sg_status st = f->n_anew ? sg_store_begin(store, err) : SG_OK;

    if (st || !f->n_anew)
        return st;
    for (size_t i = 0; !st && i < f->n_anew; i++)
        st = keep(store, f->anew[i], f->l, err);
    if (!st)
        st = sg_store_commit(store, err);
    if (st)
        sg_store_rollback(store);
    return st;
}

sg_status sg_items_fill(sg_server *s, sg_loaded *l, sg_store *store, bool first, sg_error *err)
{
    filling f = {.l = l, .gone = true};
    sg_status st = sg_store_items(store, true, take_row, &f, err);

    f.gone = false;
    if (!st && !(st = sg_store_items(store, false, take_row, &f, err)) &&
        !(st = sg_stock_publish(l->stock, err)) && first)
        st = keep_anew(&f, store, err);
    if (!st && f.n_left_out)
        sg_server_log(s, "warning", "items of the store that this model cannot offer",
                      json_pack("{s:i}", "items", f.n_left_out));
    sg_free(f.anew);
    return st;
}
