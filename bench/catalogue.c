/* catalogue.c - size of the prefix index and time of one constrained step of 50 beams, at 1M and 10M items.
 *
 * Items get 3 codes of 256 (uniform, or skewed towards low codes as trained codebooks are) and a collision
 * digit. The time of step l runs from the moment the model has handed over the logits of level l to the
 * moment it is asked for the next level: log-softmax over legal codes, best 50 of all children, their
 * children looked up. Every search meets other prefixes.
 *
 * usage: bench_catalogue [items ...]   (default 1000000 10000000) */
#include "base/alloc.h"
#include "base/rng.h"
#include "bench.h"
#include "decode/beam.h"

#include <math.h>
#include <unistd.h>

enum { BEAMS = 50, SEARCHES = 200, LEVELS = 4, CODES = 256, POOL = 1 << 22 };

typedef struct clock_ctx {
    const float *pool;
    uint64_t search;
    double handed[LEVELS]; /* logits done */
    double asked[LEVELS + 1];
} clock_ctx;

static sg_status hand_over(void *ctx, const sg_beam_rows *rows, sg_error *err)
{
    clock_ctx *t = ctx;

    t->asked[rows->level] = sg_now();
    for (int r = 0; r < rows->n; r++)
        memcpy(rows->logits + (size_t)r * (size_t)rows->ld,
               t->pool +
                   sg_rng_below(POOL - 4096, t->search, SG_RNG_TEST, (uint64_t)rows->level, (uint64_t)r),
               (size_t)rows->ld * sizeof(float));
    t->handed[rows->level] = sg_now();
    return SG_OK;
}

static int32_t *make_codes(int32_t n, bool skewed, int32_t *size)
{
    int32_t *codes = sg_alloc_array((size_t)n * LEVELS, sizeof *codes);
    uint32_t *used = sg_alloc_zero(CODES * CODES * CODES, sizeof *used);

    if (!codes || !used) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    for (int l = 0; l < LEVELS; l++)
        size[l] = l < 3 ? CODES : 1;
    for (int32_t i = 0; i < n; i++) {
        uint32_t prefix = 0;

        for (int l = 0; l < 3; l++) {
            const double u = sg_rng_double(1, SG_RNG_TEST, (uint64_t)i, (uint64_t)l);
            const int32_t code = (int32_t)(CODES * (skewed ? u * sqrt(u) : u));

            codes[(size_t)i * LEVELS + (size_t)l] = code;
            prefix = prefix * CODES + (uint32_t)code;
        }
        codes[(size_t)i * LEVELS + 3] = (int32_t)used[prefix]++;
        if ((int32_t)used[prefix] > size[3])
            size[3] = (int32_t)used[prefix];
    }
    sg_free(used);
    return codes;
}

static void time_steps(const sg_catalogue *c, const char *name, bool renormalise, const float *pool)
{
    static double step[LEVELS + 1][SEARCHES];
    const sg_beam_spec spec = {.beam = BEAMS, .k = BEAMS, .renormalise = renormalise};
    sg_arena *arena = sg_arena_new(0);
    clock_ctx t = {.pool = pool};
    int32_t item[BEAMS];
    float score[BEAMS];
    char label[128];

    for (int i = 0; i < SEARCHES; i++) {
        sg_error err;

        t.search = (uint64_t)i;
        for (int l = 0; l < LEVELS; l++)
            t.asked[l] = t.handed[l] = 0;
        sg_arena_reset(arena);
        if (sg_beam_search(item, score, c, 1, &spec, hand_over, &t, NULL, arena, &err)) {
            fprintf(stderr, "%s\n", err.message);
            exit(1);
        }
        t.asked[LEVELS] = sg_now();
        for (int l = LEVELS - 1; l >= 0; l--)
            if (t.handed[l] == 0) /* no prefix was open */
                t.asked[l] = t.handed[l] = t.asked[l + 1];
        step[LEVELS][i] = 0;
        for (int l = 0; l < LEVELS; l++) {
            step[l][i] = (t.asked[l + 1] - t.handed[l]) * 1e6;
            step[LEVELS][i] += step[l][i] / LEVELS;
        }
    }
    for (int l = 0; l <= LEVELS; l++) {
        if (l < LEVELS)
            snprintf(label, sizeof label, "%s %s step %d", name, renormalise ? "legal" : "all", l + 1);
        else
            snprintf(label, sizeof label, "%s %s mean step", name, renormalise ? "legal" : "all");
        bench_row(1, label, step[l], SEARCHES, "us");
    }
    sg_arena_free(arena);
}

static void bench_shop(int32_t n, bool skewed, const float *pool)
{
    int32_t size[LEVELS], *codes = make_codes(n, skewed, size);
    sg_catalogue *c, *mapped;
    char name[64], label[128], path[64];
    double seconds;
    sg_error err;

    snprintf(name, sizeof name, "%s %d", skewed ? "skewed" : "uniform", n);
    snprintf(path, sizeof path, "bench-catalogue-%ld.bin", (long)getpid());
    seconds = -sg_now();
    if (sg_catalogue_new(&c, codes, n, LEVELS, size, &err)) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    seconds += sg_now();
    sg_free(codes);
    snprintf(label, sizeof label, "%s build", name);
    bench_value(label, seconds, "s");
    snprintf(label, sizeof label, "%s size", name);
    bench_value(label, (double)sg_catalogue_bytes(c) / n, "bytes an item");
    if (sg_catalogue_save(c, path, &err)) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    sg_catalogue_free(c);
    seconds = -sg_now();
    if (sg_catalogue_open(&mapped, path, &err)) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    seconds += sg_now();
    snprintf(label, sizeof label, "%s open and check", name);
    bench_value(label, seconds, "s");
    time_steps(mapped, name, true, pool);
    time_steps(mapped, name, false, pool);
    sg_catalogue_free(mapped);
    unlink(path);
}

int main(int argc, char **argv)
{
    static const int32_t usual[] = {1000000, 10000000};
    float *pool = sg_alloc_array(POOL, sizeof *pool);

    if (!pool)
        return 1;
    for (size_t i = 0; i < POOL; i++)
        pool[i] = (float)(2 * sg_rng_normal(2, SG_RNG_TEST, 0, i));
    bench_header();
    for (int i = 0; i < (argc > 1 ? argc - 1 : 2); i++)
        for (int skewed = 0; skewed < 2; skewed++)
            bench_shop(argc > 1 ? atoi(argv[i + 1]) : usual[i], skewed, pool);
    sg_free(pool);
    return 0;
}
