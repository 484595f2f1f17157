/* living.c - inserts and deletes in a catalogue of a million items while 4 threads read it.
 *
 * Items get 3 codes of 256 and a collision digit (uniform). The editor puts and drops items, each edit published by
 * itself; its time is the thread's own (CPU, less what reading that clock takes) and from the wall clock, which holds
 * what other threads took from its core.
 * Readers pin a snapshot, walk from the root to an item, ask for its codes and its leaf again, and check that this
 * version holds the item. Their rate is measured with the editor at rest and at work. A beam step on the image and on
 * a snapshot with all edits in it shows what reading through them costs.
 *
 * usage: bench_living [items [edits [readers]]]   (default 1000000 100000 4) */
#include "base/alloc.h"
#include "base/rng.h"
#include "bench.h"
#include "decode/beam.h"
#include "index/living.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { LEVELS = 4, CODES = 256, DIGITS = 16, READERS_MAX = 64, BEAMS = 50, SEARCHES = 200 };

typedef struct shop {
    int32_t n, total;               /* at first; with those that are put */
    int32_t *codes;                 /* (total, LEVELS) unique */
    _Atomic(uint64_t) *born, *died; /* (total): versions that hold the item: born .. died - 1 */
} shop;

typedef struct walker {
    const shop *s;
    sg_living *w;
    const atomic_bool *stop;
    uint64_t number, walks, illegal;
    double longest; /* seconds in one pin */
} walker;

static void *walk(void *ctx)
{
    walker *a = ctx;
    sg_error err;
    int reader;

    if (sg_living_join(a->w, &reader, &err))
        return NULL;
    while (!atomic_load_explicit(a->stop, memory_order_relaxed)) {
        const double start = sg_now();
        const sg_catalogue *c = sg_living_pin(a->w, reader);
        const double pinned = sg_now() - start;
        const uint64_t version = sg_catalogue_version(c);
        int32_t node = 0, item, codes[LEVELS];

        for (int l = 0; l < LEVELS; l++) {
            const sg_children kids = sg_catalogue_children(c, l, node);

            node = kids.first +
                   (int32_t)sg_rng_below((uint64_t)kids.n, a->number, SG_RNG_TEST, a->walks, (uint64_t)l);
        }
        item = sg_catalogue_item(c, node);
        sg_catalogue_codes(c, item, codes);
        a->illegal += item < 0 || item >= a->s->total || sg_catalogue_leaf(c, item) != node ||
                      memcmp(codes, a->s->codes + (size_t)item * LEVELS, sizeof codes) != 0 ||
                      version < atomic_load(&a->s->born[item]) || version >= atomic_load(&a->s->died[item]);
        sg_living_unpin(a->w, reader);
        a->walks++;
        a->longest = pinned > a->longest ? pinned : a->longest;
    }
    sg_living_leave(a->w, reader);
    return NULL;
}

static void make_shop(shop *s)
{
    uint8_t *used = sg_alloc_zero(CODES * CODES * CODES, 1);

    s->codes = sg_alloc_array((size_t)s->total, LEVELS * sizeof *s->codes);
    s->born = sg_alloc_zero((size_t)s->total, sizeof *s->born);
    s->died = sg_alloc_array((size_t)s->total, sizeof *s->died);
    if (!used || !s->codes || !s->born || !s->died)
        exit(1);
    for (int32_t i = 0; i < s->total; i++) {
        uint64_t prefix;

        for (uint64_t turn = 0;
             used[prefix = sg_rng_below(CODES * CODES * CODES, 1, SG_RNG_TEST, (uint64_t)i, turn)] == DIGITS;)
            turn++;
        for (int l = 0; l < 3; l++)
            s->codes[(size_t)i * LEVELS + (size_t)l] = (int32_t)(prefix >> (16 - 8 * l) & 255);
        s->codes[(size_t)i * LEVELS + 3] = used[prefix]++;
        atomic_store(&s->born[i], i < s->n ? 0 : UINT64_MAX);
        atomic_store(&s->died[i], UINT64_MAX);
    }
    sg_free(used);
}

static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu_cost(void) /* of reading the clock, microseconds */
{
    double us[101];

    for (int i = 0; i < 101; i++) {
        us[i] = -cpu_now();
        us[i] = (us[i] + cpu_now()) * 1e6;
    }
    qsort(us, 101, sizeof *us, bench_ascending);
    return us[50];
}

static void die(const sg_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

/* Puts every new item and drops as many old ones, in turns. cpu, wall (2, edits / 2): microseconds of put and drop. */
static void edit(sg_living *w, shop *s, int32_t edits, double *cpu, double *wall)
{
    const int32_t half = edits / 2, step = s->n / half;
    const double clock = cpu_cost();
    sg_error err;

    for (int32_t i = 0; i < edits; i++) {
        const bool put = i % 2 == 0;
        const int32_t item = put ? s->n + i / 2 : i / 2 * step;
        const double start = sg_now(), cpu_start = cpu_now();

        atomic_store(put ? &s->born[item] : &s->died[item], (uint64_t)i + 2); /* before anybody can see it */
        if ((put ? sg_living_put(w, item, s->codes + (size_t)item * LEVELS, &err)
                 : sg_living_drop(w, item, &err)) ||
            sg_living_publish(w, &err))
            die(&err);
        cpu[(put ? 0 : half) + i / 2] = (cpu_now() - cpu_start) * 1e6 - clock;
        wall[(put ? 0 : half) + i / 2] = (sg_now() - start) * 1e6;
    }
}

static void report_edits(int threads, const char *what, double *value, int32_t n, const char *clock)
{
    char name[96];
    double sum = 0;

    for (int32_t i = 0; i < n; i++)
        sum += value[i];
    sum /= n;
    snprintf(name, sizeof name, "%s %s", what, clock);
    bench_row(threads, name, value, n, "us");
    snprintf(name, sizeof name, "%s %s mean", what, clock);
    bench_row(threads, name, &sum, 1, "us");
    snprintf(name, sizeof name, "%s %s 99th of 100", what, clock);
    bench_row(threads, name, &value[n / 100 * 99], 1, "us");
}

static sg_status noise(void *ctx, const sg_beam_rows *rows, sg_error *err)
{
    const float *pool = ctx;

    for (int r = 0; r < rows->n; r++)
        memcpy(rows->logits + (size_t)r * (size_t)rows->ld, pool + (rows->code[r] + 1) * 64,
               (size_t)rows->ld * sizeof *pool);
    return SG_OK;
}

static void time_beam(const char *name, const sg_catalogue *c)
{
    static float pool[CODES * 66];
    static double us[SEARCHES];
    const sg_beam_spec spec = {.beam = BEAMS, .k = BEAMS, .renormalise = true};
    sg_arena *arena = sg_arena_new(0);
    int32_t item[BEAMS];
    float score[BEAMS];
    sg_error err;

    for (int i = 0; i < SEARCHES; i++) {
        for (size_t k = 0; k < CODES * 66; k++)
            pool[k] = sg_rng_float((uint64_t)i, SG_RNG_TEST, 7, k) * 8;
        sg_arena_reset(arena);
        us[i] = -sg_now();
        if (sg_beam_search(item, score, c, 1, &spec, noise, pool, NULL, arena, &err))
            die(&err);
        us[i] = (us[i] + sg_now()) * 1e6;
    }
    bench_row(1, name, us, SEARCHES, "us");
    sg_arena_free(arena);
}

int main(int argc, char **argv)
{
    shop s = {.n = argc > 1 ? atoi(argv[1]) : 1000000};
    const int32_t edits = argc > 2 ? atoi(argv[2]) : 100000, half = edits / 2;
    const int readers = argc > 3 ? atoi(argv[3]) : 4;
    const int32_t size[LEVELS] = {CODES, CODES, CODES, DIGITS};
    double *cpu = sg_alloc_array((size_t)edits, sizeof *cpu),
           *wall = sg_alloc_array((size_t)edits, sizeof *wall);
    double rate[2] = {0}, longest = 0, illegal = 0;
    sg_catalogue *base;
    sg_living *w;
    sg_error err;

    if (s.n < 2 || half < 1 || half > s.n || readers < 0 || readers > READERS_MAX || !cpu || !wall)
        return 2;
    s.total = s.n + half;
    make_shop(&s);
    if (sg_catalogue_new(&base, s.codes, s.n, LEVELS, size, &err) || sg_living_new(&w, base, &err))
        die(&err);
    bench_header();
    time_beam("beam search of 50, image", base);
    time_beam("beam search of 50, no edits", sg_living_draft(w));
    for (int phase = 0; phase < 2; phase++) { /* the editor rests, then works */
        const struct timespec second = {1, 0};
        pthread_t thread[READERS_MAX];
        walker walkers[READERS_MAX];
        atomic_bool stop = false;
        double start = sg_now();

        for (int i = 0; i < readers; i++) {
            walkers[i] =
                (walker){.s = &s, .w = w, .stop = &stop, .number = (uint64_t)(phase * READERS_MAX + i)};
            pthread_create(&thread[i], NULL, walk, &walkers[i]);
        }
        if (phase == 0)
            nanosleep(&second, NULL);
        else
            edit(w, &s, edits, cpu, wall);
        atomic_store(&stop, true);
        for (int i = 0; i < readers; i++)
            pthread_join(thread[i], NULL);
        for (int i = 0; i < readers; i++) {
            rate[phase] += (double)walkers[i].walks / (sg_now() - start);
            illegal += (double)walkers[i].illegal;
            if (phase == 1)
                longest = walkers[i].longest > longest ? walkers[i].longest : longest;
        }
    }
    report_edits(readers + 1, "insert and publish", cpu, half, "cpu");
    report_edits(readers + 1, "insert and publish", wall, half, "clock");
    report_edits(readers + 1, "delete and publish", cpu + half, half, "cpu");
    report_edits(readers + 1, "delete and publish", wall + half, half, "clock");
    bench_row(readers, "walks, no edits", &rate[0], 1, "per second");
    bench_row(readers + 1, "walks, with edits", &rate[1], 1, "per second");
    longest *= 1e6;
    bench_row(readers + 1, "longest pin (a turn off the core included)", &longest, 1, "us");
    bench_value("items not in their version", illegal, "items");
    time_beam("beam search of 50, all edits", sg_living_draft(w));
    sg_living_free(w);
    sg_catalogue_free(base);
    sg_free(s.codes);
    sg_free((void *)s.born);
    sg_free((void *)s.died);
    sg_free(cpu);
    sg_free(wall);
    return 0;
}
