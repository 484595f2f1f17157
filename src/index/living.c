/* living.c - edits by copied paths, publication by one pointer, memory back once no reader can see it.
 *
 * Published versions are numbered. A reader announces the number it found before it takes the current snapshot, so the
 * snapshot is at least as new. What version v no longer holds is freed when no announced number is below v: a reader
 * whose announcement the editor did not see took the snapshot after version v was in place. */
#include "index/living.h"

#include "base/alloc.h"
#include "index/twig.h"

#include <assert.h>
#include <string.h>

enum {
    ROUND = 8,
    SPARE_SIZES = 36,
    LOOK_EVERY = 8
}; /* twigs have room for a multiple of 8; those of up to 280 children are used again */

typedef struct snapshot snapshot;
struct snapshot {
    sg_catalogue c;
    snapshot *next; /* among those to be freed, oldest first */
    uint64_t since;
};

typedef struct seat {
    _Alignas(64) _Atomic(uint64_t) pinned; /* version + 1; 0: reads nothing */
    atomic_bool taken;
} seat;

/* Hints live as long as the catalogue: they are taken from blocks. */
enum { HINT_BLOCK = 1 << 16 };
typedef struct hint_block hint_block;
struct hint_block {
    hint_block *older;
    size_t used;
    char bytes[HINT_BLOCK];
};

struct sg_living {
    seat readers[SG_LIVING_READERS_MAX];
    _Alignas(64) _Atomic(const snapshot *) current;
    _Atomic(uint64_t) version;
    _Alignas(64) atomic_int seats; /* those from here on were never taken */
    sg_catalogue draft;
    uint64_t root; /* of the draft, as in sg_twig.ref */
    uint64_t edit;
    sg_twig *fresh;          /* replaced or cut off since the last publication, newest first */
    sg_twig *old, **old_end; /* waiting for readers, oldest first */
    snapshot *gone, **gone_end;
    snapshot *spare_snapshot; /* freed, for the next publications */
    sg_twig *spare[SG_CATALOGUE_LEVELS_MAX]
                  [SPARE_SIZES]; /* freed twigs of each level and size, for the next edits */
    sg_hints hints;
    hint_block *hint_block; /* owned: the newest */
};

static sg_twig *twig_of(uint64_t ref)
{
    return ref & 1 ? NULL : (sg_twig *)(uintptr_t)ref;
}

/* ---- twigs --------------------------------------------------------------------------------------------- */

/* An edit and its publication give back about as many twigs, of the same sizes, as the next edit takes. */
static sg_twig **spare_of(sg_living *w, int level, uint32_t cap)
{
    return cap / ROUND < SPARE_SIZES ? &w->spare[level][cap / ROUND] : NULL;
}

static void free_twig(sg_living *w, sg_twig *t)
{
    sg_twig **spare = spare_of(w, t->level, t->cap);

    if (!spare) {
        sg_free(t);
        return;
    }
    t->next = *spare;
    *spare = t;
}

static sg_twig *new_twig(sg_living *w, int level, uint32_t n)
{
    const uint32_t cap = (n + ROUND) & ~(uint32_t)(ROUND - 1); /* room for one more */
    sg_twig **spare = spare_of(w, level, cap);

    if (spare && *spare) {
        sg_twig *t = *spare;

        *spare = t->next;
        t->edit = w->edit;
        return t;
    }

    const bool last = level + 1 == w->draft.levels, wide = w->draft.level[level].size > 256;
    const size_t rows = (size_t)(w->draft.levels - level - 1);
    const size_t refs = last ? 0 : cap * sizeof(uint64_t), items = last ? cap * sizeof(uint32_t) : 0;
    const size_t counts = rows * (cap + 1) * sizeof(uint32_t);
    char *p = sg_alloc(sizeof(sg_twig) + refs + items + counts + cap * (wide ? sizeof(uint16_t) : 1));
    sg_twig *t = (void *)p;

    if (!p)
        return NULL;
    p += sizeof *t;
    *t = (sg_twig){.cap = cap, .level = level, .edit = w->edit};
    t->ref = last ? NULL : (void *)p;
    t->item = last ? (void *)p : NULL;
    t->before = (void *)(p += refs + items);
    p += counts;
    t->code8 = wide ? NULL : (void *)p;
    t->code16 = wide ? (void *)p : NULL;
    return t;
}

static void copy_twig(sg_twig *to, const sg_twig *t, int level, int levels)
{
    to->n = t->n;
    if (t->ref)
        memcpy(to->ref, t->ref, t->n * sizeof *t->ref);
    else
        memcpy(to->item, t->item, t->n * sizeof *t->item);
    for (int j = level + 2; j <= levels; j++)
        memcpy(sg_twig_before(to, level, j), sg_twig_before(t, level, j), (t->n + 1) * sizeof *t->before);
    if (t->code8)
        memcpy(to->code8, t->code8, t->n);
    else
        memcpy(to->code16, t->code16, t->n * sizeof *t->code16);
}

static void copy_node(sg_twig *to, const sg_catalogue *base, int level, uint32_t node)
{
    const sg_children kids = sg_catalogue_children(base, level, (int32_t)node);
    const uint32_t first = (uint32_t)kids.first;

    to->n = (uint32_t)kids.n;
    for (uint32_t i = 0; i < to->n; i++) {
        if (to->ref)
            to->ref[i] = (uint64_t)(first + i) << 1 | 1;
        else
            to->item[i] = (uint32_t)sg_catalogue_item(base, (int32_t)(first + i));
    }
    for (int j = level + 2; j <= base->levels;
         j++) { /* first nodes of each child, from those a level above */
        const uint32_t *above = j > level + 2 ? sg_twig_before(to, level, j - 1) : NULL;
        uint32_t *row = sg_twig_before(to, level, j), origin = first, from;

        for (int k = level + 1; k < j - 1; k++)
            origin = sg_image_first_child(&base->level[k], origin);
        from = sg_image_first_child(&base->level[j - 1], origin);
        for (uint32_t i = 0; i <= to->n; i++)
            row[i] = sg_image_first_child(&base->level[j - 1], origin + (above ? above[i] : i)) - from;
    }
    assert(to->code8 || to->code16);
    if (to->code8)
        memcpy(to->code8, kids.code, to->n);
    else
        memcpy(to->code16, kids.code, to->n * sizeof *to->code16);
}

/* A twig of this edit was never published: nobody else knows it. */
static void let_go(sg_living *w, sg_twig *t)
{
    if (t && t->edit == w->edit) {
        free_twig(w, t);
    } else if (t) {
        t->next = w->fresh;
        w->fresh = t;
    }
}

/* The node behind *ref as a twig that this edit may change, with room for one more child; NULL: out of memory. */
static sg_twig *own(sg_living *w, int level, uint64_t *ref)
{
    sg_twig *t = twig_of(*ref), *mine;
    const uint32_t n =
        t ? t->n : (uint32_t)sg_catalogue_children(w->draft.base, level, (int32_t)(*ref >> 1)).n;

    if (t && t->edit == w->edit && t->n < t->cap)
        return t;
    if (!(mine = new_twig(w, level, n)))
        return NULL;
    if (t)
        copy_twig(mine, t, level, w->draft.levels);
    else
        copy_node(mine, w->draft.base, level, (uint32_t)(*ref >> 1));
    let_go(w, t);
    *ref = (uint64_t)(uintptr_t)mine;
    return mine;
}

/* ---- edits --------------------------------------------------------------------------------------------- */

typedef struct path {
    sg_twig *twig[SG_CATALOGUE_LEVELS_MAX];
    uint32_t at[SG_CATALOGUE_LEVELS_MAX]; /* the child on the path, or where it belongs */
} path;

/* Makes levels 0 .. last of the path the edit's own; what the draft holds stays the same. */
static bool own_path(sg_living *w, path *p, const int32_t *codes, int last)
{
    uint64_t *ref = &w->root;

    for (int l = 0; l <= last; l++) {
        if (!(p->twig[l] = own(w, l, ref)))
            return false;
        w->draft.root = twig_of(w->root);
        p->at[l] = sg_twig_find(p->twig[l], (uint32_t)codes[l]);
        ref = p->twig[l]->ref + p->at[l]; /* not followed after the last */
    }
    return true;
}

/* One node more (step 1) or less (-1) in each of the levels from .. levels, behind the path. */
static void count_nodes(sg_living *w, const path *p, int above, int from, uint32_t step)
{
    const int levels = w->draft.levels;

    for (int l = 0; l < above; l++)
        for (int j = l + 2 > from ? l + 2 : from; j <= levels; j++) {
            uint32_t *row = sg_twig_before(p->twig[l], l, j);

            for (uint32_t i = p->at[l] + 1; i <= p->twig[l]->n; i++)
                row[i] += step;
        }
    for (int j = from; j <= levels; j++) {
        w->draft.level[j - 1].children += step;
        if (j < levels)
            w->draft.level[j].nodes += step;
    }
}

static void insert_child(sg_twig *t, int level, int levels, uint32_t at, uint32_t code, uint64_t child)
{
    const size_t after = t->n - at;

    if (t->ref) {
        memmove(t->ref + at + 1, t->ref + at, after * sizeof *t->ref);
        t->ref[at] = child;
    } else {
        memmove(t->item + at + 1, t->item + at, after * sizeof *t->item);
        t->item[at] = (uint32_t)child;
    }
    for (int j = level + 2; j <= levels; j++) {
        uint32_t *row = sg_twig_before(t, level, j);

        for (uint32_t i = t->n + 1; i > at; i--)
            row[i] = row[i - 1] + 1;
    }
    if (t->code8) {
        memmove(t->code8 + at + 1, t->code8 + at, after);
        t->code8[at] = (uint8_t)code;
    } else {
        memmove(t->code16 + at + 1, t->code16 + at, after * sizeof *t->code16);
        t->code16[at] = (uint16_t)code;
    }
    t->n++;
}

static void remove_child(sg_twig *t, int level, int levels, uint32_t at)
{
    const size_t after = --t->n - at;

    if (t->ref)
        memmove(t->ref + at, t->ref + at + 1, after * sizeof *t->ref);
    else
        memmove(t->item + at, t->item + at + 1, after * sizeof *t->item);
    for (int j = level + 2; j <= levels; j++) {
        uint32_t *row = sg_twig_before(t, level, j);

        for (uint32_t i = at + 1; i <= t->n; i++)
            row[i] = row[i + 1] - 1;
    }
    if (t->code8)
        memmove(t->code8 + at, t->code8 + at + 1, after);
    else
        memmove(t->code16 + at, t->code16 + at + 1, after * sizeof *t->code16);
}

/* Twigs of one child each, for levels from .. levels - 1: *ref leads to the first. False: out of memory, nothing kept. */
static bool make_chain(sg_living *w, uint64_t *ref, const int32_t *codes, int32_t item, int from)
{
    const int levels = w->draft.levels;
    uint64_t below = (uint32_t)item;

    for (int l = levels - 1; l >= from; l--) {
        sg_twig *t = new_twig(w, l, 0);

        if (!t) {
            for (l++; l < levels; l++) {
                t = twig_of(below);
                below = t->ref ? t->ref[0] : 0;
                free_twig(w, t);
            }
            return false;
        }
        t->n = 0;
        for (int j = l + 2; j <= levels; j++)
            *sg_twig_before(t, l, j) = 0;
        insert_child(t, l, levels, 0, (uint32_t)codes[l], below);
        below = (uint64_t)(uintptr_t)t;
    }
    *ref = below;
    return true;
}

static sg_hint *take_hint(sg_living *w)
{
    const size_t bytes = (sizeof(sg_hint) + (size_t)w->draft.levels * sizeof(uint16_t) + 7) / 8 * 8;
    hint_block *b = w->hint_block;

    if (!b || b->used + bytes > HINT_BLOCK) {
        if (!(b = sg_alloc(sizeof *b)))
            return NULL;
        b->older = w->hint_block;
        b->used = 0;
        w->hint_block = b;
    }
    b->used += bytes;
    return (void *)(b->bytes + b->used - bytes);
}

/* Notes that the item may have these codes. */
static bool add_hint(sg_living *w, int32_t item, const int32_t *codes)
{
    _Atomic(sg_hint_slot *) *chunk = &w->hints.chunk[item / SG_HINT_CHUNK];
    sg_hint_slot *slots = atomic_load_explicit(chunk, memory_order_relaxed);
    const int levels = w->draft.levels;
    const sg_hint *newest;
    sg_hint *hint;

    if (!slots) {
        if (!(slots = sg_alloc_zero(SG_HINT_CHUNK, sizeof *slots)))
            return false;
        atomic_store_explicit(chunk, slots, memory_order_release);
    }
    newest = atomic_load_explicit(&slots[item % SG_HINT_CHUNK], memory_order_relaxed);
    for (const sg_hint *h = newest; h; h = h->older) {
        int l = 0;

        while (l < levels && h->code[l] == (uint16_t)codes[l])
            l++;
        if (l == levels)
            return true;
    }
    if (!(hint = take_hint(w)))
        return false;
    hint->older = newest;
    for (int l = 0; l < levels; l++)
        hint->code[l] = (uint16_t)codes[l];
    atomic_store_explicit(&slots[item % SG_HINT_CHUNK], hint, memory_order_release);
    return true;
}

sg_status sg_living_put(sg_living *w, int32_t item, const int32_t *codes, sg_error *err)
{
    const int levels = w->draft.levels;
    int32_t leaf, old[SG_CATALOGUE_LEVELS_MAX];
    uint64_t child;
    int shared, choice;
    path p = {0};

    if (item < 0 || item == INT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "catalogue: expected an item number from 0 to %d, found %d",
                       INT32_MAX - 1, item);
    for (int l = 0; l < levels; l++)
        if (codes[l] < 0 || codes[l] >= (int32_t)w->draft.level[l].size)
            return sg_fail(err, SG_ERR_USAGE,
                           "catalogue: item %d, level %d: expected a code from 0 to %d, found %d", item,
                           l + 1, (int)w->draft.level[l].size - 1, codes[l]);
    for (int l = sg_catalogue_length(&w->draft, codes) + 1; l < levels; l++)
        if (!sg_catalogue_ended(&w->draft, l + 1, codes[l]))
            return sg_fail(err, SG_ERR_USAGE,
                           "catalogue: item %d, level %d: expected the end of the ID after its end, found %d",
                           item, l + 1, codes[l]);
    if (sg_twig_leaf(&w->draft, item, old, &choice) >= 0)
        return sg_fail(err, SG_ERR_USAGE, "catalogue: item %d is there already", item);
    if ((shared = sg_twig_shared(&w->draft, codes, &leaf, &choice)) == levels)
        return sg_fail(err, SG_ERR_USAGE, "catalogue: items %d and %d have the same codes",
                       sg_twig_item(&w->draft, (uint32_t)leaf), item);
    if (w->draft.level[levels - 1].children == INT32_MAX)
        return sg_fail(err, SG_ERR_USAGE, "catalogue: it holds %d items, as many as it can", INT32_MAX);
    if (!own_path(w, &p, codes, shared) || !add_hint(w, item, codes) ||
        !make_chain(w, &child, codes, item, shared + 1))
        return sg_fail_memory(err, "catalogue");
    assert(p.twig[shared]);
    insert_child(p.twig[shared], shared, levels, p.at[shared], (uint32_t)codes[shared], child);
    count_nodes(w, &p, shared, shared + 1, 1);
    if ((uint32_t)item >= w->draft.items)
        w->draft.items = (uint32_t)item + 1;
    return SG_OK;
}

sg_status sg_living_drop(sg_living *w, int32_t item, sg_error *err)
{
    const int levels = w->draft.levels;
    int32_t codes[SG_CATALOGUE_LEVELS_MAX];
    int choice; /* the deepest level at which something is left beside the item */
    uint64_t cut;
    path p;

    if (item < 0 || item >= (int32_t)w->draft.items || sg_twig_leaf(&w->draft, item, codes, &choice) < 0)
        return sg_fail(err, SG_ERR_MISSING, "catalogue: no item %d", item);
    if (choice < 0)
        return sg_fail(err, SG_ERR_USAGE, "catalogue: item %d is the last one and has to stay", item);
    if (!own_path(w, &p, codes, choice))
        return sg_fail_memory(err, "catalogue");
    cut = choice + 1 < levels ? p.twig[choice]->ref[p.at[choice]] : 1;
    remove_child(p.twig[choice], choice, levels, p.at[choice]);
    count_nodes(w, &p, choice, choice + 1, (uint32_t)-1);
    for (sg_twig *t = twig_of(cut), *below; t; t = below) { /* one child each */
        below = t->ref ? twig_of(t->ref[0]) : NULL;
        let_go(w, t);
    }
    return SG_OK;
}

const sg_catalogue *sg_living_draft(const sg_living *w)
{
    return &w->draft;
}

/* ---- publication --------------------------------------------------------------------------------------- */

/* The least version that somebody may still read. */
static uint64_t oldest_pin(const sg_living *w, uint64_t version)
{
    for (int i = 0; i < atomic_load(&w->seats); i++) {
        const uint64_t pinned = atomic_load(&w->readers[i].pinned);

        if (pinned && pinned - 1 < version)
            version = pinned - 1;
    }
    return version;
}

static void reclaim(sg_living *w, uint64_t least)
{
    while (w->old && w->old->since <= least) {
        sg_twig *t = w->old;

        w->old = t->next;
        free_twig(w, t);
    }
    if (!w->old)
        w->old_end = &w->old;
    while (w->gone && w->gone->since <= least) {
        snapshot *s = w->gone;

        w->gone = s->next;
        s->next = w->spare_snapshot;
        w->spare_snapshot = s;
    }
    if (!w->gone)
        w->gone_end = &w->gone;
}

sg_status sg_living_publish(sg_living *w, sg_error *err)
{
    const uint64_t version = atomic_load_explicit(&w->version, memory_order_relaxed) + 1;
    const bool look = version % LOOK_EVERY ==
                      0; /* what readers announce lies in their caches: looking costs as much as an edit */
    snapshot *s = w->spare_snapshot ? w->spare_snapshot : sg_alloc(sizeof *s);
    snapshot *before = (snapshot *)(uintptr_t)atomic_load_explicit(&w->current, memory_order_relaxed);

    if (!s)
        return sg_fail_memory(err, "catalogue");
    w->spare_snapshot = s == w->spare_snapshot ? s->next : NULL;
    w->draft.version = version;
    /* without the levels that are not there: every line that readers have seen costs more to write than the rest does */
    const size_t head = offsetof(sg_catalogue, level) + (size_t)w->draft.levels * sizeof *w->draft.level;
    const size_t tail = offsetof(sg_catalogue, leaf_item);

    memcpy(&s->c, &w->draft, head);
    memcpy((char *)&s->c + tail, (const char *)&w->draft + tail, sizeof s->c - tail);
    s->next = NULL;
    if (look)
        atomic_store(&w->current, s); /* who announces a version after we looked finds this snapshot */
    else
        atomic_store_explicit(&w->current, s, memory_order_release);
    atomic_store_explicit(&w->version, version, memory_order_release);
    w->edit++;
    for (sg_twig *t = w->fresh, *next; t; t = next) {
        next = t->next;
        t->next = NULL;
        t->since = version;
        *w->old_end = t;
        w->old_end = &t->next;
    }
    w->fresh = NULL;
    if (before) {
        before->since = version;
        *w->gone_end = before;
        w->gone_end = &before->next;
    }
    if (look)
        reclaim(w, oldest_pin(w, version));
    return SG_OK;
}

sg_status sg_living_new(sg_living **out, const sg_catalogue *base, sg_error *err)
{
    sg_living *w = sg_alloc_zero(1, sizeof *w);
    sg_status st;

    *out = NULL;
    assert(!base->root);
    if (!w)
        return sg_fail_memory(err, "living catalogue");
    w->edit = 1;
    w->root = 1; /* node 0 of the image */
    w->old_end = &w->old;
    w->gone_end = &w->gone;
    w->draft = (sg_catalogue){.levels = base->levels,
                              .ends = base->ends,
                              .items = base->items,
                              .bytes = base->bytes,
                              .base = base,
                              .hints = &w->hints};
    for (int l = 0; l < base->levels; l++)
        w->draft.level[l] = (sg_image_level){
            .nodes = base->level[l].nodes, .children = base->level[l].children, .size = base->level[l].size};
    if (!(w->draft.root = own(w, 0, &w->root)))
        st = sg_fail_memory(err, "living catalogue");
    else
        st = sg_living_publish(w, err);
    if (st) {
        sg_living_free(w);
        return st;
    }
    *out = w;
    return SG_OK;
}

static void free_tree(uint64_t ref)
{
    sg_twig *t = twig_of(ref);

    if (!t)
        return;
    for (uint32_t i = 0; t->ref && i < t->n; i++)
        free_tree(t->ref[i]);
    sg_free(t);
}

void sg_living_free(sg_living *w)
{
    if (!w)
        return;
    for (sg_twig *t = w->fresh, *next; t; t = next) {
        next = t->next;
        sg_free(t);
    }
    reclaim(w, UINT64_MAX);
    for (snapshot *t = w->spare_snapshot, *next; t; t = next) {
        next = t->next;
        sg_free(t);
    }
    sg_free((snapshot *)(uintptr_t)atomic_load(&w->current));
    free_tree(w->root);
    for (int i = 0; i < SG_CATALOGUE_LEVELS_MAX * SPARE_SIZES; i++)
        for (sg_twig *t = w->spare[i / SPARE_SIZES][i % SPARE_SIZES], *next; t; t = next) {
            next = t->next;
            sg_free(t);
        }
    for (size_t i = 0; i < sizeof w->hints.chunk / sizeof *w->hints.chunk; i++)
        sg_free(atomic_load(&w->hints.chunk[i]));
    for (hint_block *b = w->hint_block, *older; b; b = older) {
        older = b->older;
        sg_free(b);
    }
    sg_free(w);
}

/* ---- readers ------------------------------------------------------------------------------------------- */

sg_status sg_living_join(sg_living *w, int *reader, sg_error *err)
{
    for (int i = 0; i < SG_LIVING_READERS_MAX; i++) {
        bool taken = false;

        if (atomic_compare_exchange_strong(&w->readers[i].taken, &taken, true)) {
            for (int seats = atomic_load(&w->seats); seats <= i;) /* before the first pin */
                atomic_compare_exchange_weak(&w->seats, &seats, i + 1);
            *reader = i;
            return SG_OK;
        }
    }
    return sg_fail(err, SG_ERR_USAGE, "catalogue: more than %d readers", SG_LIVING_READERS_MAX);
}

void sg_living_leave(sg_living *w, int reader)
{
    assert(!atomic_load(&w->readers[reader].pinned));
    atomic_store(&w->readers[reader].taken, false);
}

const sg_catalogue *sg_living_pin(sg_living *w, int reader)
{
    assert(!atomic_load(&w->readers[reader].pinned));
    atomic_store(&w->readers[reader].pinned, atomic_load(&w->version) + 1);
    return &atomic_load(&w->current)->c;
}

void sg_living_unpin(sg_living *w, int reader)
{
    atomic_store(&w->readers[reader].pinned, 0);
}

uint64_t sg_catalogue_version(const sg_catalogue *c)
{
    return c->version;
}
