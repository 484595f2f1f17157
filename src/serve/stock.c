/* stock.c - a living catalogue with the ids and texts of what came, and a log of edits that takes them back. */
#include "serve/stock.h"

#include "base/alloc.h"
#include "index/living.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

typedef enum kind { PUT, SHOWN, DROPPED, LISTED, RELISTED } kind;

typedef struct edit { /* as it has to be taken back */
    kind kind;
    int32_t number;
    const sg_added *before;                 /* RELISTED: what its place held */
    sg_bytes id;                            /* LISTED, RELISTED */
    int32_t codes[SG_CATALOGUE_LEVELS_MAX]; /* DROPPED */
} edit;

struct sg_stock {
    sg_model *model; /* borrowed; its index of ids is built */
    const sg_tower *tower;
    sg_living
        *living;    /* owned; NULL before the first edit, and for models without a catalogue that changes */
    uint8_t *allow; /* owned (n_items): for the others; NULL before the first edit */
    int32_t n_gone; /* of allow */
    int32_t *gone;  /* owned: (n_gone) their leaves, ascending, of a model that has a catalogue */
    size_t cap_gone;
    int levels;
    const sg_added **by_id, **later; /* owned */
    size_t n_by_id, cap_by_id, n_later, cap_later;
    sg_added **all; /* owned, each too: every record ever made */
    size_t n_all, cap_all;
    edit *log; /* owned */
    size_t n_log, cap_log;
    bool broken; /* an edit could not be taken back */
    uint64_t version, recoded;
    _Atomic int64_t next_expiry;
    pthread_mutex_t lock; /* of the view and of what is held */
    sg_view *view;        /* held */
};

static bool has_catalogue(const sg_stock *s)
{
    return s->model->class->living && s->model->class->living(s->model) && s->model->catalogue;
}

static const sg_catalogue *draft(const sg_stock *s)
{
    return s->living ? sg_living_draft(s->living) : s->model->catalogue;
}

/* ---- looking up -------------------------------------------------------------------------------------------- */

static int compare_ids(sg_bytes a, sg_bytes b)
{
    const int c = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);

    return c ? c : (a.size > b.size) - (a.size < b.size);
}

/* The first that does not come before id. */
static size_t place_of(const sg_added *const *list, size_t n, sg_bytes id)
{
    size_t low = 0, high = n;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (compare_ids(list[middle]->id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const sg_added *find(const sg_added *const *list, size_t n, sg_bytes id)
{
    const size_t at = place_of(list, n, id);

    return at < n && compare_ids(list[at]->id, id) == 0 ? list[at] : NULL;
}

bool sg_added_has_texts(const sg_added *a)
{
    return a->texts.size > 2; /* {} */
}

json_t *sg_added_texts(const sg_added *a)
{
    return json_loadb(a->texts.data, a->texts.size, 0, NULL);
}

const sg_added *sg_view_find(const sg_view *v, sg_bytes id)
{
    return find(v->by_id, v->n_added, id);
}

bool sg_view_offers(const sg_view *v, const sg_model *m, int32_t item)
{
    if (item < 0 || item >= v->offer.n_items)
        return false;
    if (v->offer.catalogue)
        return sg_catalogue_leaf(v->offer.catalogue, item) >= 0;
    return v->offer.allow ? v->offer.allow[item] : item < m->n_items;
}

/* The first in list (n, ascending) that is not below leaf. */
static int32_t place_of_leaf(const int32_t *list, int32_t n, int32_t leaf)
{
    int32_t low = 0, high = n;

    while (low < high) {
        const int32_t middle = low + (high - low) / 2;

        if (list[middle] < leaf)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t sg_view_gone(const sg_view *v, int32_t first, int32_t last)
{
    return v->n_gone ? place_of_leaf(v->gone, v->n_gone, last) - place_of_leaf(v->gone, v->n_gone, first) : 0;
}

const sg_added *sg_stock_find(const sg_stock *s, sg_bytes id)
{
    return find(s->by_id, s->n_by_id, id);
}

static int32_t number_of(const sg_stock *s, sg_bytes id)
{
    const int32_t item = sg_model_item(s->model, id);
    const sg_added *a = item < 0 ? sg_stock_find(s, id) : NULL;

    return a ? a->number : item;
}

static bool offers(const sg_stock *s, int32_t item)
{
    if (item < 0)
        return false;
    if (s->living)
        return item < sg_catalogue_items(draft(s)) && sg_catalogue_leaf(draft(s), item) >= 0;
    return item < s->model->n_items && (!s->allow || s->allow[item]);
}

bool sg_stock_offers(const sg_stock *s, sg_bytes id)
{
    return offers(s, number_of(s, id));
}

sg_status sg_stock_takes_items(const sg_stock *s, sg_error *err)
{
    if (!has_catalogue(s))
        return sg_fail(
            err, SG_ERR_USAGE,
            "%s scores items by what it learned of each in training: a new item needs a new training",
            s->model->class->name);
    return sg_tower_takes_items(s->tower, err);
}

bool sg_stock_reads_vectors(const sg_stock *s)
{
    return has_catalogue(s) && s->model->class->take;
}

/* ---- editing ----------------------------------------------------------------------------------------------- */

static bool note(sg_stock *s, const edit *e)
{
    if (!sg_grow(&s->log, &s->cap_log, s->n_log + 1, sizeof *s->log))
        return false;
    s->log[s->n_log++] = *e;
    return true;
}

static sg_status need_living(sg_stock *s, sg_error *err)
{
    return s->living ? SG_OK : sg_living_new(&s->living, s->model->catalogue, err);
}

static sg_bytes title_of(const json_t *texts)
{
    for (size_t i = 0; i < SG_N_TITLE_NAMES; i++) {
        const json_t *v = json_object_get(texts, sg_title_names[i]);

        if (json_is_string(v))
            return (sg_bytes){json_string_value(v), json_string_length(v)};
    }
    return (sg_bytes){"", 0};
}

static sg_bytes put_bytes(char **at, sg_bytes from)
{
    char *to = *at;

    if (from.size)
        memcpy(to, from.data, from.size);
    *at += from.size;
    return (sg_bytes){to, from.size};
}

/* taken: NULL, or what the class took. */
static sg_added *new_record(sg_stock *s, const sg_arrival *a, int32_t number, const int32_t *codes,
                            const float *taken)
{
    enum { FLAGS = JSON_COMPACT | JSON_SORT_KEYS };
    const size_t codes_bytes = (size_t)s->levels * sizeof *codes;
    const size_t taken_bytes = taken ? (size_t)s->model->class->take_numbers(s->model) * sizeof *taken : 0;
    const size_t bytes = codes_bytes + taken_bytes, size = json_dumpb(a->texts, NULL, 0, FLAGS);
    const sg_bytes title = title_of(a->texts);
    sg_added *r;
    char *at;

    if (!size || !sg_grow(&s->all, &s->cap_all, s->n_all + 1, sizeof *s->all) ||
        !(r = sg_alloc(sizeof *r + bytes + a->id.size + title.size + size)))
        return NULL;
    at = (char *)r + sizeof *r + bytes;
    *r = (sg_added){.id = put_bytes(&at, a->id),
                    .title = put_bytes(&at, title),
                    .texts = {at, size},
                    .expires = a->expires,
                    .number = number};
    json_dumpb(a->texts, at, size, FLAGS);
    if (codes_bytes)
        memcpy(r->codes, codes, codes_bytes);
    if (taken)
        r->taken = memcpy((char *)r->codes + codes_bytes, taken, taken_bytes);
    s->all[s->n_all++] = r;
    return r;
}

/* Into the lists, or in the place of what they held under this id. */
static bool list(sg_stock *s, const sg_added *r)
{
    const size_t at = place_of(s->by_id, s->n_by_id, r->id), later = (size_t)(r->number - s->model->n_items);
    const sg_added *before = sg_stock_find(s, r->id);

    if (!sg_grow(&s->by_id, &s->cap_by_id, s->n_by_id + 1, sizeof *s->by_id) ||
        !sg_grow(&s->later, &s->cap_later, s->n_later + 1, sizeof *s->later) ||
        !note(s, &(edit){
                     .kind = before ? RELISTED : LISTED, .number = r->number, .before = before, .id = r->id}))
        return false;
    if (!before) {
        memmove(s->by_id + at + 1, s->by_id + at, (s->n_by_id - at) * sizeof *s->by_id);
        s->n_by_id++;
    }
    s->by_id[at] = r;
    if (r->number >= s->model->n_items) {
        s->later[later] = r;
        s->n_later += later == s->n_later;
    }
    return true;
}

static sg_status choose_codes(int32_t *codes, const sg_stock *s, const sg_arrival *a, int32_t number,
                              sg_error *err)
{
    const size_t bytes = (size_t)s->levels * sizeof *codes;

    if (a->codes || !a->x) {
        if (bytes)
            memcpy(codes, a->codes ? a->codes : s->model->codes + (size_t)number * (size_t)s->levels, bytes);
        return SG_OK;
    }
    return sg_tower_place(codes, s->tower, a->x, draft(s), err);
}

/* A model without a catalogue that changes: an item of its own is on offer, or not. For what is gone there is room. */
static void set_offer(sg_stock *s, int32_t item, bool on)
{
    const sg_catalogue *c = s->model->catalogue;
    const int32_t leaf = c ? sg_catalogue_leaf(c, item) : 0,
                  at = c ? place_of_leaf(s->gone, s->n_gone, leaf) : 0;

    s->allow[item] = on;
    if (c && on)
        memmove(s->gone + at, s->gone + at + 1, (size_t)(s->n_gone - at - 1) * sizeof *s->gone);
    if (c && !on) {
        memmove(s->gone + at + 1, s->gone + at, (size_t)(s->n_gone - at) * sizeof *s->gone);
        s->gone[at] = leaf;
    }
    s->n_gone += on ? -1 : 1;
}

static sg_status show(sg_stock *s, int32_t item, sg_error *err)
{
    if (!note(s, &(edit){.kind = SHOWN, .number = item}))
        return sg_fail_memory(err, "items on offer");
    set_offer(s, item, true);
    return SG_OK;
}

static sg_status put(sg_stock *s, const sg_arrival *a, int32_t number, int32_t *codes, sg_error *err)
{
    sg_status st;

    if (!has_catalogue(s))
        return show(s, number, err);
    if ((st = need_living(s, err)))
        return st;
    st = sg_living_put(s->living, number, codes, err);
    if (st == SG_ERR_USAGE && a->codes && a->x) /* somebody else has them by now */
        if (!(st = sg_tower_place(codes, s->tower, a->x, draft(s), err)))
            st = sg_living_put(s->living, number, codes, err);
    if (!st && !note(s, &(edit){.kind = PUT, .number = number})) {
        s->broken |= sg_living_drop(s->living, number, NULL) != SG_OK;
        st = sg_fail_memory(err, "item");
    }
    return st;
}

/* Has the item had other codes? */
static bool is_recoded(const sg_stock *s, const sg_added *before, int32_t number, const int32_t *codes)
{
    const int32_t *old = before ? before->codes
                         : number < s->model->n_items && s->levels > 0
                             ? s->model->codes + (size_t)number * (size_t)s->levels
                             : NULL;

    return old && s->levels && memcmp(old, codes, (size_t)s->levels * sizeof *codes) != 0;
}

/* What the model keeps of the item's vector; *out NULL: nothing. */
static sg_status take_vector(float **out, const sg_stock *s, const sg_arrival *a, sg_error *err)
{
    const sg_model *m = s->model;
    sg_status st;

    *out = NULL;
    if (!sg_stock_reads_vectors(s) || !a->x)
        return SG_OK;
    if (!(*out = sg_alloc_array((size_t)m->class->take_numbers(m), sizeof **out)))
        return sg_fail_memory(err, "vector of an item");
    if ((st = m->class->take(*out, m, a->x, a->dim, err))) {
        sg_free(*out);
        *out = NULL;
    }
    return st;
}

sg_status sg_stock_add(const sg_added **out, sg_stock *s, const sg_arrival *a, sg_error *err)
{
    int32_t codes[SG_CATALOGUE_LEVELS_MAX], number = number_of(s, a->id);
    const size_t begin = s->n_log;
    float *taken;
    sg_added *r;
    sg_status st;

    *out = NULL;
    if (s->broken)
        return sg_fail(err, SG_ERR_MEMORY,
                       "the catalogue ran out of memory; POST /admin/reload makes it anew");
    assert(a->record_only || !offers(s, number));
    if (!a->x && (!a->codes || sg_stock_reads_vectors(s)) && (number < 0 || number >= s->model->n_items))
        return sg_stock_takes_items(s, err) ? SG_ERR_USAGE
                                            : sg_fail(err, SG_ERR_USAGE, "a new item has to have texts");
    if (number < 0 && s->n_later >= (size_t)(INT32_MAX - 1 - s->model->n_items))
        return sg_fail(err, SG_ERR_USAGE, "the catalogue has as many items as it can");
    if ((st = choose_codes(codes, s, a, number, err)))
        return st;
    if (number < 0)
        number = s->model->n_items + (int32_t)s->n_later;
    if (!a->record_only && (st = put(s, a, number, codes, err)))
        return st;
    if ((st = take_vector(&taken, s, a, err))) {
        sg_stock_undo(s, begin);
        return st;
    }
    s->recoded += !a->record_only && is_recoded(s, sg_stock_find(s, a->id), number, codes);
    if (!(r = new_record(s, a, number, codes, taken)) || !list(s, r)) {
        sg_stock_undo(s, begin);
        st = sg_fail_memory(err, "item");
    } else {
        *out = r;
    }
    sg_free(taken);
    return st;
}

static sg_status hide(sg_stock *s, int32_t item, sg_error *err)
{
    if (!s->allow) {
        if (!(s->allow = sg_alloc((size_t)s->model->n_items)))
            return sg_fail_memory(err, "items on offer");
        memset(s->allow, 1, (size_t)s->model->n_items);
    }
    if (s->n_gone + 1 == s->model->n_items)
        return sg_fail(err, SG_ERR_USAGE, "it is the last item and has to stay");
    if ((s->model->catalogue && !sg_grow(&s->gone, &s->cap_gone, (size_t)s->n_gone + 1, sizeof *s->gone)) ||
        !note(s, &(edit){.kind = DROPPED, .number = item}))
        return sg_fail_memory(err, "items on offer");
    set_offer(s, item, false);
    return SG_OK;
}

sg_status sg_stock_remove(sg_stock *s, sg_bytes id, sg_error *err)
{
    const int32_t item = number_of(s, id);
    edit e = {.kind = DROPPED, .number = item};
    sg_status st;

    if (s->broken)
        return sg_fail(err, SG_ERR_MEMORY,
                       "the catalogue ran out of memory; POST /admin/reload makes it anew");
    if (!offers(s, item))
        return sg_fail(err, SG_ERR_MISSING, "item '%.*s' is not in the catalogue", (int)id.size, id.data);
    if (!has_catalogue(s))
        return hide(s, item, err);
    if ((st = need_living(s, err)))
        return st;
    if (sg_catalogue_nodes(draft(s), s->levels) == 1)
        return sg_fail(err, SG_ERR_USAGE, "it is the last item and has to stay");
    sg_catalogue_codes(draft(s), item, e.codes);
    if ((st = sg_living_drop(s->living, item, err)))
        return st;
    if (!note(s, &e)) {
        s->broken |= sg_living_put(s->living, item, e.codes, NULL) != SG_OK;
        return sg_fail_memory(err, "item");
    }
    return SG_OK;
}

static void unlist(sg_stock *s, const edit *e)
{
    const size_t at = place_of(s->by_id, s->n_by_id, e->id);
    const int32_t later = e->number - s->model->n_items;

    if (e->kind == RELISTED) {
        s->by_id[at] = e->before;
        if (later >= 0)
            s->later[later] = e->before;
        return;
    }
    memmove(s->by_id + at, s->by_id + at + 1, (s->n_by_id - at - 1) * sizeof *s->by_id);
    s->n_by_id--;
    s->n_later -= later >= 0;
}

size_t sg_stock_mark(const sg_stock *s)
{
    return s->n_log;
}

void sg_stock_undo(sg_stock *s, size_t mark)
{
    while (s->n_log > mark) {
        const edit *e = &s->log[--s->n_log];

        if (e->kind == PUT) {
            s->broken |= sg_living_drop(s->living, e->number, NULL) != SG_OK;
        } else if (e->kind == SHOWN) {
            set_offer(s, e->number, false);
        } else if (e->kind == DROPPED && s->living) {
            s->broken |= sg_living_put(s->living, e->number, e->codes, NULL) != SG_OK;
        } else if (e->kind == DROPPED) {
            set_offer(s, e->number, true);
        } else {
            unlist(s, e);
        }
    }
}

/* ---- expiry ------------------------------------------------------------------------------------------------ */

int64_t sg_stock_next_expiry(const sg_stock *s)
{
    return atomic_load(&s->next_expiry);
}

const sg_added *sg_stock_expired(const sg_stock *s, int64_t now)
{
    for (size_t i = 0; i < s->n_by_id; i++)
        if (s->by_id[i]->expires && s->by_id[i]->expires <= now && offers(s, s->by_id[i]->number))
            return s->by_id[i];
    return NULL;
}

static void look_for_expiry(sg_stock *s)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < s->n_by_id; i++)
        if (s->by_id[i]->expires && s->by_id[i]->expires < next && offers(s, s->by_id[i]->number))
            next = s->by_id[i]->expires;
    atomic_store(&s->next_expiry, next);
}

/* ---- views ------------------------------------------------------------------------------------------------- */

static void view_free(sg_stock *s, sg_view *v)
{
    if (v->reader >= 0) {
        sg_living_unpin(s->living, v->reader);
        sg_living_leave(s->living, v->reader);
    }
    sg_free((void *)(uintptr_t)v->by_id);
    sg_free((void *)(uintptr_t)v->later);
    sg_free((void *)(uintptr_t)v->gone);
    sg_free((void *)(uintptr_t)v->offer.codes);
    sg_free((void *)(uintptr_t)v->offer.allow);
    sg_free((void *)(uintptr_t)v->offer.cold);
    sg_free((void *)(uintptr_t)v->offer.taken);
    if (v->offer.own)
        s->model->class->offer_free(v->offer.own);
    sg_free(v);
}

/* Of the lists as they are; without a snapshot. NULL: out of memory. */
static sg_view *new_view(const sg_stock *s)
{
    sg_view *v = sg_alloc_zero(1, sizeof *v);
    const sg_added **by_id = sg_alloc_array(s->n_by_id, sizeof *by_id),
                   **later = sg_alloc_array(s->n_later, sizeof *later);
    const int32_t **codes = sg_alloc_array(s->n_later, sizeof *codes);
    const float **taken = s->living && sg_stock_reads_vectors(s)
                              ? sg_alloc_zero((size_t)s->model->n_items + s->n_later, sizeof *taken)
                              : NULL;
    uint8_t *allow = s->n_gone ? sg_alloc((size_t)s->model->n_items) : NULL;
    const int32_t n_gone = s->model->catalogue ? s->n_gone : 0;
    int32_t *gone = sg_alloc_array((size_t)n_gone, sizeof *gone);

    if (!v || !by_id || !later || !codes || !gone || (s->n_gone && !allow) ||
        (!taken && s->living && sg_stock_reads_vectors(s))) {
        sg_free(v);
        sg_free(by_id);
        sg_free(later);
        sg_free(codes);
        sg_free(taken);
        sg_free(allow);
        sg_free(gone);
        return NULL;
    }
    if (s->n_by_id)
        memcpy(by_id, s->by_id, s->n_by_id * sizeof *by_id);
    if (s->n_later)
        memcpy(later, s->later, s->n_later * sizeof *later);
    if (allow)
        memcpy(allow, s->allow, (size_t)s->model->n_items);
    if (n_gone)
        memcpy(gone, s->gone, (size_t)n_gone * sizeof *gone);
    for (size_t i = 0; i < s->n_later; i++)
        codes[i] = later[i]->codes;
    for (size_t i = 0; taken && i < s->n_by_id; i++)
        taken[by_id[i]->number] = by_id[i]->taken;
    *v = (sg_view){.offer = {.n_items = s->model->n_items,
                             .codes = codes,
                             .n_codes = (int32_t)s->n_later,
                             .allow = allow,
                             .taken = taken},
                   .n_items = s->model->n_items - s->n_gone,
                   .n_gone = n_gone,
                   .gone = gone,
                   .n_added = s->n_by_id,
                   .by_id = by_id,
                   .later = later,
                   .held = 1,
                   .reader = -1};
    return v;
}

sg_status sg_stock_new(sg_stock **out, const sg_model *m, const sg_tower *tower, sg_error *err)
{
    sg_stock *s = sg_alloc_zero(1, sizeof *s);

    *out = NULL;
    if (!s)
        return sg_fail_memory(err, "items on offer");
    s->model = (sg_model *)(uintptr_t)m; /* its index of ids is built: nothing changes */
    s->tower = tower;
    s->levels = has_catalogue(s) ? sg_catalogue_levels(m->catalogue) : 0;
    atomic_init(&s->next_expiry, INT64_MAX);
    pthread_mutex_init(&s->lock, NULL);
    if (!(s->view = new_view(s))) {
        sg_stock_free(s);
        return sg_fail_memory(err, "items on offer");
    }
    *out = s;
    return SG_OK;
}

void sg_stock_free(sg_stock *s)
{
    if (!s)
        return;
    if (s->view) {
        assert(s->view->held == 1);
        view_free(s, s->view);
    }
    sg_living_free(s->living);
    for (size_t i = 0; i < s->n_all; i++)
        sg_free(s->all[i]);
    sg_free(s->all);
    sg_free(s->by_id);
    sg_free(s->later);
    sg_free(s->allow);
    sg_free(s->gone);
    sg_free(s->log);
    pthread_mutex_destroy(&s->lock);
    sg_free(s);
}

const sg_view *sg_stock_view(sg_stock *s)
{
    sg_view *v;

    pthread_mutex_lock(&s->lock);
    v = s->view;
    v->held++;
    pthread_mutex_unlock(&s->lock);
    return v;
}

void sg_view_release(sg_stock *s, const sg_view *view)
{
    sg_view *v = (sg_view *)(uintptr_t)view;
    bool last;

    if (!v)
        return;
    pthread_mutex_lock(&s->lock);
    last = --v->held == 0;
    pthread_mutex_unlock(&s->lock);
    if (last)
        view_free(s, v);
}

/* (n_items) those that the model does not have. */
static uint8_t *mark_later(const sg_stock *s, int32_t n_items)
{
    const size_t own = (size_t)s->model->n_items, n = (size_t)n_items;
    uint8_t *cold = sg_alloc(n);

    if (cold) {
        memset(cold, 0, own);
        memset(cold + own, 1, n - own);
    }
    return cold;
}

sg_status sg_stock_publish(sg_stock *s, sg_error *err)
{
    const int32_t n_items = s->living ? sg_catalogue_items(draft(s)) : s->model->n_items;
    uint8_t *cold = NULL;
    sg_view *v, *old;
    sg_status st = SG_OK;

    if (!s->n_log)
        return SG_OK;
    if (!(v = new_view(s)) || (s->living && s->n_later && !(cold = mark_later(s, n_items)))) {
        if (v)
            view_free(s, v);
        return sg_fail_memory(err, "items on offer");
    }
    v->edited = true;
    v->recoded = s->recoded;
    v->version = s->version + 1;
    if (s->living) {
        int reader;

        if (!(st = sg_living_join(s->living, &reader, err)) && (st = sg_living_publish(s->living, err)))
            sg_living_leave(s->living, reader);
        if (st) {
            sg_free(cold);
            view_free(s, v);
            return st;
        }
        v->reader = reader;
        v->offer.catalogue = sg_living_pin(s->living, reader);
        v->offer.n_items = sg_catalogue_items(v->offer.catalogue);
        assert(!cold || v->offer.n_items == n_items);
        v->offer.cold = cold;
        v->n_items = sg_catalogue_nodes(v->offer.catalogue, s->levels);
        if (s->model->class->offer &&
            (st = s->model->class->offer(&v->offer.own, s->model, &v->offer, err))) {
            view_free(s, v);
            return st;
        }
    }
    s->n_log = 0;
    s->version++;
    look_for_expiry(s);
    pthread_mutex_lock(&s->lock);
    old = s->view;
    s->view = v;
    pthread_mutex_unlock(&s->lock);
    sg_view_release(s, old);
    return SG_OK;
}
