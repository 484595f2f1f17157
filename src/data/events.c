/* events.c - in memory: a counting sort by user, then a merge sort by time of those users that need one (logs
 * are mostly in time order). Beyond: runs sorted that way, appended to one temporary file, merged by a heap
 * into a second one. */
#include "data/events.h"

#include "base/alloc.h"
#include "data/scratch.h"

#include <string.h>

enum {
    BLOCK_EVENTS = 1 << 15,
    RUN_EVENTS_MIN = 1024,
    BATCH_EVENTS = 1 << 13,
    MERGE_BATCH_MIN = 64,
    INSERTION_MAX = 24
};
enum { AHEAD = 16 }; /* events: their places are fetched while the ones before are written */

typedef struct run {
    uint64_t begin, end; /* events in the file not yet in the buffer */
    sg_event *buffer;    /* borrowed: its part of one allocation */
    size_t at, n;
} run;

struct sg_events {
    size_t memory_events; /* sorted in memory at a time */
    size_t block_events;
    sg_user_order *order;
    void *order_ctx;
    char *dir; /* owned: where temporary files go */

    sg_event **block; /* owned: events as they came, block_events each */
    size_t n_blocks, cap_blocks;
    size_t n_here; /* events in the blocks */

    sg_scratch runs_file; /* sorted runs, one after the other, users as numbers */
    uint64_t *run_begin;  /* owned: (n_runs + 1), in events */
    size_t n_runs, cap_runs;

    sg_event *sorted; /* owned: the run being written; after sorting everything, when nothing was spilled */
    sg_scratch sorted_file; /* else */
    sg_event *batch;        /* owned: of sorted_file */
    uint64_t count, at;
};

sg_status sg_events_new(sg_events **out, const char *scratch_dir, size_t memory_max, sg_user_order *order,
                        void *ctx, sg_error *err)
{
    sg_events *e = sg_alloc_zero(1, sizeof *e);

    *out = NULL;
    if (!e || !(e->dir = sg_strdup(scratch_dir))) {
        sg_free(e);
        return sg_fail_memory(err, "events");
    }
    e->memory_events = memory_max / (2 * sizeof(sg_event)); /* sorting moves them into a second array */
    if (e->memory_events < RUN_EVENTS_MIN)
        e->memory_events = RUN_EVENTS_MIN;
    if (e->memory_events > UINT32_MAX)
        e->memory_events = UINT32_MAX;
    e->block_events = e->memory_events < BLOCK_EVENTS ? e->memory_events : BLOCK_EVENTS;
    e->order = order;
    e->order_ctx = ctx;
    *out = e;
    return SG_OK;
}

static void free_blocks(sg_events *e)
{
    for (size_t i = 0; i < e->n_blocks; i++)
        sg_free(e->block[i]);
    e->n_blocks = 0;
}

void sg_events_free(sg_events *e)
{
    if (!e)
        return;
    free_blocks(e);
    sg_scratch_close(&e->runs_file);
    sg_scratch_close(&e->sorted_file);
    sg_free(e->block);
    sg_free(e->run_begin);
    sg_free(e->sorted);
    sg_free(e->batch);
    sg_free(e->dir);
    sg_free(e);
}

/* ---- sorting in memory ---- */

static inline bool before(const sg_event *a, const sg_event *b)
{
    return a->time != b->time ? a->time < b->time : a->row < b->row;
}

static void insertion_sort(sg_event *e, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const sg_event x = e[i];
        size_t k = i;

        for (; k && before(&x, &e[k - 1]); k--)
            e[k] = e[k - 1];
        e[k] = x;
    }
}

/* e is two sorted halves, [0, half) and [half, n); room holds half of them. */
static void merge_halves(sg_event *e, size_t half, size_t n, sg_event *room)
{
    size_t a = 0, b = half, to = 0;

    memcpy(room, e, half * sizeof *e);
    while (a < half && b < n)
        e[to++] = before(&e[b], &room[a]) ? e[b++] : room[a++];
    memcpy(e + to, room + a, (half - a) * sizeof *e);
}

static void merge_sort(sg_event *e, size_t n, sg_event *room)
{
    if (n <= INSERTION_MAX) {
        insertion_sort(e, n);
        return;
    }
    merge_sort(e, n / 2, room);
    merge_sort(e + n / 2, n - n / 2, room);
    if (before(&e[n / 2], &e[n / 2 - 1]))
        merge_halves(e, n / 2, n, room);
}

static bool in_order(const sg_event *e, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (before(&e[i], &e[i - 1]))
            return false;
    return true;
}

/* The events of the blocks into sorted (n_here), by rank of user, then (time, row). */
static sg_status sort_blocks(sg_events *e, const int32_t *rank, size_t n_users, sg_error *err)
{
    const size_t n = e->n_here;
    uint32_t *end =
        sg_alloc_zero(n_users + 1, sizeof *end); /* while scattering: where the user's next event goes */
    sg_event *sorted = e->sorted, *room = NULL;
    size_t longest = 0;

    if (!end)
        goto no_memory;
    for (size_t i = 0; i < n; i++)
        end[e->block[i / e->block_events][i % e->block_events].user]++;
    if (rank) { /* counts stand by number; the slots are handed out by rank */
        uint32_t *by_rank = sg_alloc_zero(n_users + 1, sizeof *by_rank);

        if (!by_rank)
            goto no_memory;
        for (size_t u = 0; u < n_users; u++)
            by_rank[rank[u]] = end[u];
        for (size_t r = 0, sum = 0; r < n_users; r++) {
            const uint32_t count = by_rank[r];

            by_rank[r] = (uint32_t)sum;
            sum += count;
        }
        for (size_t u = 0; u < n_users; u++)
            end[u] = by_rank[rank[u]];
        sg_free(by_rank);
    } else {
        for (size_t u = 0, sum = 0; u < n_users; u++) {
            const uint32_t count = end[u];

            end[u] = (uint32_t)sum;
            sum += count;
        }
    }
    for (size_t b = 0, left = n; left; b++) {
        const size_t take = left < e->block_events ? left : e->block_events;

        for (size_t i = 0; i < take; i++) {
            if (i + AHEAD < take)
                __builtin_prefetch(&sorted[end[e->block[b][i + AHEAD].user]], 1);
            sorted[end[e->block[b][i].user]++] = e->block[b][i];
        }
        left -= take;
    }
    for (size_t i = 0, next; i < n; i = next) {
        for (next = i + 1; next < n && sorted[next].user == sorted[i].user;)
            next++;
        if (in_order(sorted + i, next - i))
            continue;
        if (next - i > INSERTION_MAX && next - i > longest) {
            longest = next - i;
            sg_free(room);
            if (!(room = sg_alloc_array(longest / 2, sizeof *room)))
                goto no_memory;
        }
        merge_sort(sorted + i, next - i, room);
    }
    sg_free(end);
    sg_free(room);
    return SG_OK;
no_memory:
    sg_free(end);
    sg_free(room);
    return sg_fail_memory(err, "sorting events");
}

/* ---- spilling ---- */

/* Blocks and the sorted array stay for the next run: the same memory again and again. */
static sg_status spill(sg_events *e, sg_error *err)
{
    const int32_t *rank;
    size_t n_users;
    sg_status st;

    if (!sg_grow(&e->run_begin, &e->cap_runs, e->n_runs + 2, sizeof *e->run_begin) ||
        (!e->sorted && !(e->sorted = sg_alloc_array(e->memory_events, sizeof *e->sorted))))
        return sg_fail_memory(err, "runs of events");
    if ((!e->runs_file.dir && (st = sg_scratch_open(&e->runs_file, e->dir, err))) ||
        (st = e->order(e->order_ctx, &rank, &n_users, err)) || (st = sort_blocks(e, rank, n_users, err)))
        return st;
    e->run_begin[e->n_runs] = e->runs_file.size / sizeof *e->sorted;
    if ((st = sg_scratch_append(&e->runs_file, e->sorted, e->n_here * sizeof *e->sorted, err)))
        return st;
    e->run_begin[++e->n_runs] = e->runs_file.size / sizeof *e->sorted;
    e->n_here = 0;
    return SG_OK;
}

sg_event *sg_events_add(sg_events *e, sg_error *err)
{
    if (e->n_here == e->memory_events && spill(e, err))
        return NULL;
    if (e->n_here == e->n_blocks * e->block_events) {
        sg_event *block = NULL;

        if (!sg_grow(&e->block, &e->cap_blocks, e->n_blocks + 1, sizeof *e->block) ||
            !(block = sg_alloc_array(e->block_events, sizeof *block))) {
            sg_fail_memory(err, "events");
            return NULL;
        }
        e->block[e->n_blocks++] = block;
    }
    e->count++;
    const size_t i = e->n_here++;
    return &e->block[i / e->block_events][i % e->block_events];
}

static sg_status refill(sg_events *e, run *r, size_t buffer_events, const int32_t *rank, sg_error *err)
{
    const size_t n = r->end - r->begin < buffer_events ? (size_t)(r->end - r->begin) : buffer_events;
    const sg_status st = n ? sg_scratch_read(&e->runs_file, r->begin * sizeof *r->buffer, r->buffer,
                                             n * sizeof *r->buffer, err)
                           : SG_OK;

    r->begin += n;
    r->n = n;
    r->at = 0;
    for (size_t i = 0; rank && !st && i < n; i++)
        r->buffer[i].user = rank[r->buffer[i].user];
    return st;
}

static inline bool run_before(const run *a, const run *b)
{
    const sg_event *x = &a->buffer[a->at], *y = &b->buffer[b->at];

    return x->user != y->user ? x->user < y->user : before(x, y);
}

/* Restores the heap below i: heap[0] is the run whose next event comes first. */
static void sift_down(run **heap, size_t n, size_t i)
{
    run *moving = heap[i];

    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && run_before(heap[child + 1], heap[child]))
            child++;
        if (!run_before(heap[child], moving))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

static sg_status merge_runs(sg_events *e, const int32_t *rank, sg_error *err)
{
    size_t each = e->memory_events / (e->n_runs + 1), n_out = 0, n_live = 0;
    run *runs = sg_alloc_zero(e->n_runs, sizeof *runs);
    run **heap = sg_alloc_array(e->n_runs, sizeof *heap);
    sg_event *room = NULL, *out;
    sg_status st = SG_OK;

    each = each < MERGE_BATCH_MIN ? MERGE_BATCH_MIN : each > BLOCK_EVENTS ? BLOCK_EVENTS : each;
    if (!runs || !heap || !(room = sg_alloc_array(each * (e->n_runs + 1), sizeof *room)))
        st = sg_fail_memory(err, "merging events");
    else
        st = sg_scratch_open(&e->sorted_file, e->dir, err);
    for (size_t i = 0; !st && i < e->n_runs; i++) {
        runs[i] = (run){.begin = e->run_begin[i], .end = e->run_begin[i + 1], .buffer = room + each * i};
        st = refill(e, &runs[i], each, rank, err);
        heap[n_live++] = &runs[i];
    }
    for (size_t i = n_live / 2; !st && i-- > 0;)
        sift_down(heap, n_live, i);
    out = st ? NULL : room + each * e->n_runs;
    while (!st && n_live) {
        run *r = heap[0];

        out[n_out++] = r->buffer[r->at++];
        if (r->at == r->n && !(st = refill(e, r, each, rank, err)) && r->n == 0)
            heap[0] = heap[--n_live];
        if (!st && n_live)
            sift_down(heap, n_live, 0);
        if (!st && (n_out == each || !n_live)) {
            st = sg_scratch_append(&e->sorted_file, out, n_out * sizeof *out, err);
            n_out = 0;
        }
    }
    sg_free(runs);
    sg_free(heap);
    sg_free(room);
    return st;
}

sg_status sg_events_sort(sg_events *e, sg_error *err)
{
    const int32_t *rank;
    size_t n_users;
    sg_status st;

    if (e->n_runs && e->n_here && (st = spill(e, err)))
        return st;
    if ((st = e->order(e->order_ctx, &rank, &n_users, err)))
        return st;
    if (!e->n_runs) {
        if (!(e->sorted = sg_alloc_array(e->n_here, sizeof *e->sorted)))
            return sg_fail_memory(err, "sorting events");
        if ((st = sort_blocks(e, rank, n_users, err)))
            return st;
        free_blocks(e);
        for (uint64_t i = 0; rank && i < e->count; i++)
            e->sorted[i].user = rank[e->sorted[i].user];
    } else {
        free_blocks(e);
        sg_free(e->sorted);
        e->sorted = NULL;
        if ((st = merge_runs(e, rank, err)))
            return st;
        sg_scratch_close(&e->runs_file);
        if (!(e->batch = sg_alloc_array(BATCH_EVENTS, sizeof *e->batch)))
            return sg_fail_memory(err, "events");
    }
    e->at = 0;
    return SG_OK;
}

uint64_t sg_events_count(const sg_events *e)
{
    return e->count;
}

int sg_events_runs(const sg_events *e)
{
    return (int)e->n_runs;
}

/* ---- passes ---- */

void sg_events_rewind(sg_events *e)
{
    e->at = 0;
}

sg_status sg_events_next(sg_events *e, const sg_event **batch, size_t *n, sg_error *err)
{
    const uint64_t left = e->count - e->at;
    sg_status st = SG_OK;

    *n = left < BATCH_EVENTS ? (size_t)left : BATCH_EVENTS;
    *batch = e->sorted ? e->sorted + e->at : e->batch;
    if (!e->sorted && *n)
        st = sg_scratch_read(&e->sorted_file, e->at * sizeof **batch, e->batch, *n * sizeof **batch, err);
    e->at += *n;
    return st;
}

/* Kept events move forward over the dropped ones: what is written was read before. */
sg_status sg_events_filter(sg_events *e, sg_event_keep *keep, void *ctx, sg_error *err)
{
    uint64_t to = 0, from = 0;
    const sg_event *batch;
    size_t n, kept;
    sg_status st;

    sg_events_rewind(e);
    for (;;) {
        if ((st = sg_events_next(e, &batch, &n, err)))
            return st;
        if (!n)
            break;
        sg_event *in_place = e->sorted ? e->sorted + to : e->batch;
        kept = 0;
        for (size_t i = 0; i < n; i++)
            if (keep(ctx, &batch[i]))
                in_place[kept++] = batch[i];
        if (!e->sorted && kept && to + kept != from + n &&
            (st = sg_scratch_write(&e->sorted_file, to * sizeof *batch, in_place, kept * sizeof *batch, err)))
            return st;
        from += n;
        to += kept;
    }
    e->count = to;
    sg_events_rewind(e);
    return SG_OK;
}
