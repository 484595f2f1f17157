/* run_corpus.c - a fuzz target as an ordinary test: its seeds, cut at every length, every byte changed to the values at
 * which parsers break, pieces removed and doubled, and pseudo-random mutants of those. The same mutants every time.
 *
 *   fuzz_NAME [--corpus DIR]  the test, over the seeds of the target and the files of DIR; SEDGE_FUZZ_SECONDS (3) bounds it. The process
 *                             takes at most 64 MiB more than it began with and the largest input
 *   fuzz_NAME FILE...         these inputs alone, for instance a crash that libFuzzer found */
#include "fuzz.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/progress.h"
#include "base/rng.h"

#include <dirent.h>
#include <string.h>

enum { SEEDS_MAX = 256, MEMORY_MAX_KIB = 64 << 10 };

static double deadline;
static uint64_t runs;
static size_t largest; /* bytes of an input */

/* The input lies in a block of exactly its size, so that a sanitizer sees every step past its end. */
static void run(const char *data, size_t size)
{
    const int64_t live = sg_alloc_live();
    uint8_t *copy = malloc(size ? size : 1);

    FUZZ_CHECK(copy);
    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    FUZZ_CHECK(sg_alloc_live() <= live || runs == 0); /* the first run may set things up that stay */
    runs++;
    largest = size > largest ? size : largest;
}

/* KiB that the process had resident at once, at most; 0: not known, or those of a sanitizer. */
static long resident(void)
{
    long kib = 0;
#ifndef SEDGE_SANITIZED
    FILE *f = fopen("/proc/self/status", "r");
    char line[200];

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
#endif
    return kib;
}

static bool out_of_time(void)
{
    return sg_now() > deadline;
}

/* About `n` evenly spread places of a long seed, all of a short one. */
static size_t stride(size_t size, size_t n)
{
    return size / n + 1;
}

static void run_cuts(const sg_buf *seed)
{
    for (size_t n = 0; n < seed->size && !out_of_time(); n += stride(seed->size, 2000))
        run(seed->data, n);
}

static void run_flips(const sg_buf *seed)
{
    static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff, '"', '0', '9', '-', '\n', ',', '{', '['};
    char *p = seed->data;

    for (size_t i = 0; i < seed->size && !out_of_time(); i += stride(seed->size, 1000)) {
        const char before = p[i];

        for (size_t v = 0; v < sizeof values && !out_of_time(); v++) {
            p[i] = (char)values[v];
            run(p, seed->size);
        }
        p[i] = (char)(before + 1);
        run(p, seed->size);
        p[i] = (char)(before ^ 0x20);
        run(p, seed->size);
        p[i] = before;
    }
}

/* Pieces of 1 to 16 bytes left out or put in twice. */
static void run_pieces(const sg_buf *seed)
{
    for (size_t n = 1; n <= 16; n *= 2)
        for (size_t i = 0; i + n <= seed->size && !out_of_time(); i += stride(seed->size, 500)) {
            sg_buf b = {0};

            sg_buf_add(&b, seed->data, i);
            sg_buf_add(&b, seed->data + i + n, seed->size - i - n);
            run(b.data, b.size);
            b.size = i;
            sg_buf_add(&b, seed->data + i, n);
            sg_buf_add(&b, seed->data + i, seed->size - i);
            run(b.data, b.size);
            sg_buf_free(&b);
        }
}

static void run_random(const sg_buf *seed, uint64_t which)
{
    for (uint64_t m = 0; m < 3000 && seed->size && !out_of_time(); m++) {
        sg_buf b = {0};

        sg_buf_add(&b, seed->data, seed->size);
        for (uint64_t k = 0; k <= m % 8; k++)
            b.data[sg_rng_below(b.size, which, SG_RNG_TEST, m, 2 * k)] =
                (char)sg_rng_u64(which, SG_RNG_TEST, m, 2 * k + 1);
        run(b.data, b.size);
        sg_buf_free(&b);
    }
}

/* The seeds of the target, then the files of the folder by name. */
static size_t read_seeds(sg_buf seeds[SEEDS_MAX], const char *corpus)
{
    struct dirent **list = NULL;
    const int files = corpus ? scandir(corpus, &list, NULL, alphasort) : 0;
    size_t n = 0;

    while (fuzz_seed && n < SEEDS_MAX && fuzz_seed(n, &seeds[n]))
        n++;
    for (int i = 0; i < files; i++) {
        char *path = sg_path_join(corpus, list[i]->d_name);

        FUZZ_CHECK(path);
        if (n < SEEDS_MAX && sg_file_exists(path)) {
            FUZZ_CHECK(sg_file_read(&seeds[n], path, SIZE_MAX, NULL) == SG_OK);
            n++;
        }
        sg_free(path);
        free(list[i]);
    }
    free(list);
    return n;
}

static int run_files(char **path, int n)
{
    for (int i = 0; i < n; i++) {
        sg_buf file = {0};
        sg_error err;

        if (sg_file_read(&file, path[i], SIZE_MAX, &err)) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        run(file.data, file.size);
        sg_buf_free(&file);
    }
    return 0;
}

/* Every seed gets its share of the time that is left, and every kind of mutant its share of that. */
static int run_seeds(const char *corpus)
{
    const char *seconds = getenv("SEDGE_FUZZ_SECONDS");
    const double end = sg_now() + (seconds ? atof(seconds) : 3);
    const long before = resident();
    static sg_buf seeds[SEEDS_MAX];
    const size_t n = read_seeds(seeds, corpus);

    run("", 0);
    for (size_t i = 0; i < n; i++) {
        const double begin = sg_now(), share = (end - begin) / (double)(n - i);

        run(seeds[i].data, seeds[i].size);
        deadline = begin + share * 0.3;
        run_cuts(&seeds[i]);
        deadline = begin + share * 0.7;
        run_flips(&seeds[i]);
        deadline = begin + share * 0.85;
        run_pieces(&seeds[i]);
        deadline = begin + share;
        run_random(&seeds[i], i);
        sg_buf_free(&seeds[i]);
    }
    const long took = resident() - before;
    printf("%zu seeds, %llu inputs, %.1f MiB at most\n", n, (unsigned long long)runs, (double)took / 1024);
    FUZZ_CHECK(took <= MEMORY_MAX_KIB + (long)(largest / 1024)); /* whatever the input says of its sizes */
    return n ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--corpus") == 0)
        return run_seeds(argv[2]);
    return argc > 1 ? run_files(argv + 1, argc - 1) : run_seeds(NULL);
}
