/* recall.c - a hash table of pasts and the order in which they were used, under one lock.
 *
 * Histories without a user are found by a hash of their events, tried from the whole history down to one that is some
 * events shorter. What a hash finds wrongly costs its reading, no more: the past says what it holds. */
#include "serve/recall.h"

#include "base/alloc.h"
#include "base/progress.h"
#include "base/rng.h"

#include <pthread.h>

enum { LOOK_BACK = 16 /* new events of a history, at most, for its past to be found */, SLOTS_LEAST = 64 };

typedef struct entry {
    struct entry *next;          /* of the same slot */
    struct entry *newer, *older; /* in the order of use */
    sg_past *past;               /* owned */
    uint64_t key;
    size_t bytes;
    double used;
} entry;

struct sg_recall {
    const sg_model *model; /* borrowed */
    size_t budget;
    double seconds;
    pthread_mutex_t lock; /* of all below */
    entry **slot;         /* owned (n_slots), a power of two */
    size_t n_slots;
    entry *newest, *oldest;
    uint64_t erasures; /* tickets: what was taken before the latest is not put back */
    bool closed;
    sg_recall_counts counts;
};

sg_status sg_recall_new(sg_recall **out, const sg_model *m, size_t bytes, double seconds, sg_error *err)
{
    sg_recall *r;

    *out = NULL;
    if (bytes == 0 || !sg_model_keeps(m))
        return SG_OK;
    r = sg_alloc_zero(1, sizeof *r);
    if (!r || !(r->slot = sg_alloc_zero(SLOTS_LEAST, sizeof(entry *)))) {
        sg_free(r);
        return sg_fail_memory(err, "kept histories");
    }
    r->model = m;
    r->budget = bytes;
    r->seconds = seconds;
    r->n_slots = SLOTS_LEAST;
    pthread_mutex_init(&r->lock, NULL);
    *out = r;
    return SG_OK;
}

/* ---- the table, under the lock -------------------------------------------------------------------------- */
static entry **place_of(sg_recall *r, uint64_t key)
{
    entry **at = &r->slot[key & (r->n_slots - 1)];

    while (*at && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

/* Takes the entry at this place out of table and order; it is the caller's. */
static entry *take_out(sg_recall *r, entry **at)
{
    entry *e = *at;

    *at = e->next;
    *(e->newer ? &e->newer->older : &r->newest) = e->older;
    *(e->older ? &e->older->newer : &r->oldest) = e->newer;
    r->counts.bytes -= e->bytes;
    r->counts.pasts--;
    return e;
}

/* More slots when there are more entries than slots; without memory for them, chains grow longer. */
static void widen(sg_recall *r)
{
    const size_t n = 2 * r->n_slots;
    entry **slot;

    if (r->counts.pasts < r->n_slots || !(slot = sg_alloc_zero(n, sizeof(entry *))))
        return;
    for (entry *e = r->newest; e; e = e->older) {
        e->next = slot[e->key & (n - 1)];
        slot[e->key & (n - 1)] = e;
    }
    sg_free(r->slot);
    r->slot = slot;
    r->n_slots = n;
}

static void put_in(sg_recall *r, entry *e)
{
    entry **at;

    widen(r);
    at = &r->slot[e->key & (r->n_slots - 1)];
    e->next = *at;
    *at = e;
    e->newer = NULL;
    e->older = r->newest;
    *(r->newest ? &r->newest->newer : &r->oldest) = e;
    r->newest = e;
    r->counts.bytes += e->bytes;
    r->counts.pasts++;
}

/* Takes out the oldest until `spare` bytes are free, and those not used since `since`; chained by next. */
static entry *make_room(sg_recall *r, size_t spare, double since)
{
    entry *gone = NULL;

    while (r->oldest && (r->counts.bytes + spare > r->budget || r->oldest->used < since)) {
        entry *e;

        if (r->oldest->used < since)
            r->counts.forgotten++;
        else
            r->counts.evictions++;
        e = take_out(r, place_of(r, r->oldest->key));
        e->next = gone;
        gone = e;
    }
    return gone;
}

static void free_all(entry *e)
{
    for (entry *next; e; e = next) {
        next = e->next;
        sg_past_free(e->past);
        sg_free(e);
    }
}

/* ---- keys ------------------------------------------------------------------------------------------------ */
static uint64_t mix(uint64_t hash, uint64_t more)
{
    return sg_rng_mix(hash ^ (more + 0x9e3779b97f4a7c15u));
}

uint64_t sg_recall_user(sg_bytes user)
{
    uint64_t hash = mix(1, user.size);

    for (size_t i = 0; i < user.size; i++)
        hash = mix(hash, (unsigned char)user.data[i]);
    return hash | 1; /* odd: a user; never 0 */
}

/* even: a history */
static uint64_t history_key(uint64_t hash)
{
    return hash & ~(uint64_t)1;
}

/* ---- taking and putting back ----------------------------------------------------------------------------- */
static entry *find(sg_recall *r, uint64_t user, const uint64_t *key, int n)
{
    entry **at;

    if (user)
        return *(at = place_of(r, user)) ? take_out(r, at) : NULL;
    for (int i = 0; i < n; i++)
        if (*(at = place_of(r, key[i])))
            return take_out(r, at);
    return NULL;
}

uint64_t sg_recall_ticket(sg_recall *r)
{
    uint64_t ticket = 0;

    if (r) {
        pthread_mutex_lock(&r->lock);
        ticket = r->erasures;
        pthread_mutex_unlock(&r->lock);
    }
    return ticket;
}

sg_past *sg_recall_take(sg_recall *r, uint64_t user, const int32_t *item, size_t n, uint64_t *key)
{
    uint64_t keys[LOOK_BACK + 1], hash = 2; /* of the whole history, then of shorter ones */
    int n_keys = 0;
    sg_past *p = NULL;
    entry *e;

    if (!r)
        return NULL;
    for (size_t i = 0; !user && i < n; i++) {
        hash = mix(hash, (uint64_t)item[i]);
        if (i + 1 + LOOK_BACK >= n) {
            keys[n - 1 - i] = history_key(hash);
            n_keys++;
        }
    }
    *key = user ? user : n ? keys[0] : 0;
    pthread_mutex_lock(&r->lock);
    if ((e = find(r, user, keys, n_keys)))
        r->counts.hits++;
    else
        r->counts.misses++;
    pthread_mutex_unlock(&r->lock);
    if (e)
        p = e->past;
    sg_free(e);
    if (!p && sg_past_new(&p, r->model, NULL))
        return NULL;
    return p;
}

void sg_recall_put(sg_recall *r, sg_past *p, uint64_t key, uint64_t ticket)
{
    entry *e = sg_alloc_zero(1, sizeof *e), *gone = NULL;
    bool kept = false;

    if (e) {
        *e = (entry){.past = p, .key = key, .bytes = sizeof *e + sg_past_bytes(p), .used = sg_now()};
        pthread_mutex_lock(&r->lock);
        kept = !r->closed && ticket == r->erasures && e->bytes <= r->budget;
        if (kept) {
            entry **at = place_of(r, key); /* of one that was read beside this one */

            if (*at) {
                entry *other = take_out(r, at);

                other->next = NULL;
                free_all(other);
            }
            gone = make_room(r, e->bytes, e->used - r->seconds);
            put_in(r, e);
        }
        pthread_mutex_unlock(&r->lock);
    }
    free_all(gone);
    if (!kept) {
        sg_free(e);
        sg_recall_drop(r, p);
    }
}

void sg_recall_drop(sg_recall *r, sg_past *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&r->lock);
    r->counts.forgotten++;
    pthread_mutex_unlock(&r->lock);
    sg_past_free(p);
}

void sg_recall_forget(sg_recall *r, uint64_t user)
{
    entry **at, *e = NULL;

    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->erasures++;
    if (*(at = place_of(r, user))) {
        e = take_out(r, at);
        e->next = NULL;
        r->counts.forgotten++;
    }
    pthread_mutex_unlock(&r->lock);
    free_all(e);
}

void sg_recall_sweep(sg_recall *r, double now)
{
    entry *gone;

    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    gone = make_room(r, 0, now - r->seconds);
    pthread_mutex_unlock(&r->lock);
    free_all(gone);
}

void sg_recall_close(sg_recall *r)
{
    entry *gone;

    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closed = true;
    r->budget = 0;
    gone = make_room(r, 1, 0);
    pthread_mutex_unlock(&r->lock);
    free_all(gone);
}

sg_recall_counts sg_recall_count(sg_recall *r)
{
    sg_recall_counts c = {0};

    if (!r)
        return c;
    pthread_mutex_lock(&r->lock);
    c = r->counts;
    pthread_mutex_unlock(&r->lock);
    return c;
}

void sg_recall_free(sg_recall *r)
{
    if (!r)
        return;
    sg_recall_close(r);
    pthread_mutex_destroy(&r->lock);
    sg_free(r->slot);
    sg_free(r);
}
