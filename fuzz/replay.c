/* replay.c - runs a fuzz target without a fuzzer: every file of a corpus folder, then mutants of each: cut short at many
 * places, bytes flipped, set to the edges of their range, copied from elsewhere. The same mutants every time. */
#include "base/rng.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CUTS = 64, MUTANTS = 2000, BYTES_MAX = 1 << 20 };

/* Runs on an exact copy, so that a sanitizer sees the first byte read past the end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = calloc(1, size ? size : 1);

    if (!copy)
        exit(1);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void mutate(const uint8_t *data, size_t size, uint64_t seed)
{
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, '"', '\n', ','};
    uint8_t *copy = malloc(size);
    const size_t changes = sg_rng_below(6, seed, SG_RNG_TEST, 0, 0) + 1;

    if (!copy)
        exit(1);
    memcpy(copy, data, size);
    for (size_t i = 1; i <= changes; i++) {
        const size_t at = sg_rng_below(size, seed, SG_RNG_TEST, i, 0);

        switch (sg_rng_below(3, seed, SG_RNG_TEST, i, 1)) {
        case 0:
            copy[at] ^= (uint8_t)(1u << sg_rng_below(8, seed, SG_RNG_TEST, i, 2));
            break;
        case 1:
            copy[at] = edges[sg_rng_below(sizeof edges, seed, SG_RNG_TEST, i, 2)];
            break;
        default:
            copy[at] = data[sg_rng_below(size, seed, SG_RNG_TEST, i, 2)];
        }
    }
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int replay(const char *path)
{
    static uint8_t data[BYTES_MAX];
    FILE *f = fopen(path, "rb");
    size_t size;

    if (!f)
        return 0;
    size = fread(data, 1, sizeof data, f);
    fclose(f);
    run(data, size);
    for (size_t i = 0; i < CUTS; i++)
        run(data, size * i / CUTS);
    for (uint64_t i = 0; i < MUTANTS && size > 0; i++)
        mutate(data, size, i + size);
    return 1;
}

int main(int argc, char **argv)
{
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    struct dirent *e;
    int n = 0;

    run((const uint8_t *)"", 0);
    while (dir && (e = readdir(dir))) {
        char path[4096];

        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
        n += replay(path);
    }
    if (dir)
        closedir(dir);
    printf("%d files and their mutants\n", n);
    return n ? 0 : 1;
}
