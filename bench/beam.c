/* beam.c - what constrained decoding costs beside the model: microseconds a user for a whole search (4
 * levels), the time inside the model's step function taken out.
 *
 * Catalogue: 12,101 items (the size of Amazon Beauty) or 1M, 3 codes of 256 and a collision digit. */
#include "base/alloc.h"
#include "base/rng.h"
#include "bench.h"
#include "decode/beam.h"

enum { LEVELS = 4, CODES = 256, POOL = 1 << 22, BATCH_MAX = 256, REPEATS = 15, HISTORY = 20 };

typedef struct model {
    const float *pool;
    uint64_t round;
    double inside;
} model;

static sg_status step(void *ctx, const sg_beam_rows *rows, sg_error *err)
{
    model *m = ctx;

    m->inside -= sg_now();
    for (int r = 0; r < rows->n; r++)
        memcpy(rows->logits + (size_t)r * (size_t)rows->ld,
               m->pool + sg_rng_below(POOL - 4096, m->round, SG_RNG_TEST, (uint64_t)rows->level, (uint64_t)r),
               (size_t)rows->ld * sizeof(float));
    m->inside += sg_now();
    return SG_OK;
}

static void stop(const sg_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static sg_catalogue *make_shop(int32_t n)
{
    int32_t *codes = sg_alloc_array((size_t)n * LEVELS, sizeof *codes),
            size[LEVELS] = {CODES, CODES, CODES, 1};
    uint32_t *used = sg_alloc_zero(CODES * CODES * CODES, sizeof *used);
    sg_catalogue *c;
    sg_error err;

    for (int32_t i = 0; codes && used && i < n; i++) {
        uint32_t prefix = 0;

        for (int l = 0; l < 3; l++) {
            codes[(size_t)i * LEVELS + (size_t)l] =
                (int32_t)sg_rng_below(CODES, 1, SG_RNG_TEST, (uint64_t)i, (uint64_t)l);
            prefix = prefix * CODES + (uint32_t)codes[(size_t)i * LEVELS + (size_t)l];
        }
        codes[(size_t)i * LEVELS + 3] = (int32_t)used[prefix]++;
        size[3] = (int32_t)used[prefix] > size[3] ? (int32_t)used[prefix] : size[3];
    }
    if (!codes || !used || sg_catalogue_new(&c, codes, n, LEVELS, size, &err))
        exit(1);
    sg_free(codes);
    sg_free(used);
    return c;
}

static void time_search(const sg_catalogue *c, const char *name, const sg_beam_spec *spec, int batch,
                        sg_pool *pool, const float *logits)
{
    sg_arena *arena = sg_arena_new(0);
    int32_t *item = sg_alloc_array((size_t)batch * (size_t)spec->k, sizeof *item);
    float *score = sg_alloc_array((size_t)batch * (size_t)spec->k, sizeof *score);
    double us[REPEATS];
    sg_error err;

    for (int i = -2; i < REPEATS; i++) { /* two to warm up */
        model m = {.pool = logits, .round = (uint64_t)(i + 2)};
        const double start = sg_now();

        sg_arena_reset(arena);
        if (sg_beam_search(item, score, c, batch, spec, step, &m, pool, arena, &err))
            stop(&err);
        if (i >= 0)
            us[i] = (sg_now() - start - m.inside) * 1e6 / batch;
    }
    bench_row(sg_pool_threads(pool), name, us, REPEATS, "us a user");
    sg_free(item);
    sg_free(score);
    sg_arena_free(arena);
}

static void time_exact(const sg_catalogue *c, const char *name, const float *logits)
{
    sg_arena *arena = sg_arena_new(0);
    float *scores = sg_alloc_array((size_t)sg_catalogue_items(c), sizeof *scores);
    double us[REPEATS];
    sg_error err;

    for (int i = 0; i < REPEATS; i++) {
        model m = {.pool = logits, .round = (uint64_t)i};
        const double start = sg_now();

        sg_arena_reset(arena);
        if (sg_exact_scores(scores, c, 1, true, 0, step, &m, NULL, arena, &err))
            stop(&err);
        us[i] = (sg_now() - start - m.inside) * 1e6;
    }
    bench_row(1, name, us, REPEATS, "us a user");
    sg_free(scores);
    sg_arena_free(arena);
}

static void bench_shop(int32_t n, sg_pool *pool, const float *logits)
{
    static int64_t offsets[BATCH_MAX + 1];
    static int32_t deny[BATCH_MAX * HISTORY];
    static float warm[LEVELS] = {1, 1, 1, 1};
    sg_catalogue *c = make_shop(n);
    uint8_t *allow = sg_alloc_array((size_t)n, 1);
    char name[96];

    for (int i = 0; i < BATCH_MAX * HISTORY; i++)
        deny[i] = (int32_t)sg_rng_below((uint64_t)n, 3, SG_RNG_TEST, 0, (uint64_t)i);
    for (int i = 0; i <= BATCH_MAX; i++)
        offsets[i] = i * HISTORY;
    for (int32_t i = 0; allow && i < n; i++)
        allow[i] = sg_rng_below(10, 4, SG_RNG_TEST, 0, (uint64_t)i) == 0;
    for (int beam = 20; beam <= 50; beam += 30)
        for (int batch = 1; batch <= BATCH_MAX; batch *= 16) {
            sg_beam_spec spec = {.beam = beam, .k = 10, .renormalise = true};

            snprintf(name, sizeof name, "%d items %d beams batch %d", n, beam, batch);
            time_search(c, name, &spec, batch, NULL, logits);
            if (batch > 1)
                time_search(c, name, &spec, batch, pool, logits);
            spec.deny_offsets = offsets;
            spec.deny = deny;
            snprintf(name, sizeof name, "%d items %d beams batch %d history denied", n, beam, batch);
            time_search(c, name, &spec, batch, NULL, logits);
            spec.allow = allow;
            snprintf(name, sizeof name, "%d items %d beams batch %d history denied a tenth allowed", n, beam,
                     batch);
            time_search(c, name, &spec, batch, NULL, logits);
            spec = (sg_beam_spec){.beam = beam, .k = 10, .renormalise = true, .temperature = warm};
            snprintf(name, sizeof name, "%d items %d beams batch %d sampling", n, beam, batch);
            time_search(c, name, &spec, batch, NULL, logits);
        }
    snprintf(name, sizeof name, "%d items all scored", n);
    time_exact(c, name, logits);
    sg_free(allow);
    sg_catalogue_free(c);
}

int main(void)
{
    float *logits = sg_alloc_array(POOL, sizeof *logits);
    sg_pool *pool;
    sg_error err;

    if (!logits)
        return 1;
    if (sg_pool_new(&pool, 2, &err))
        stop(&err);
    for (size_t i = 0; i < POOL; i++)
        logits[i] = (float)(2 * sg_rng_normal(2, SG_RNG_TEST, 0, i));
    bench_header();
    bench_shop(12101, pool, logits);
    bench_shop(1000000, pool, logits);
    sg_pool_free(pool);
    sg_free(logits);
    return 0;
}
