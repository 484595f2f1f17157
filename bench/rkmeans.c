/* rkmeans.c - residual k-means of 200,000 vectors of 384 numbers into 4 x 256 codes; the peer is peer_rkmeans.py.
 *
 * Vectors are sums of three random choices (64, 256 and 1,024 directions, each weaker than the one before) and noise, so
 * that every level has something to find.
 *
 * usage: bench_rkmeans [--write FILE | --read FILE] [vectors [dim [iterations [threads [sample]]]]]   (default 200000 384 10 2 256)
 *        --write: the vectors as .npy for the peer, and nothing else; --read: a file written so; sample: vectors a centre that all
 *        iterations but the last look at, 0: all */
#include "base/alloc.h"
#include "base/rng.h"
#include "bench.h"
#include "quantize/quantize.h"

enum { LEVELS = 4, CODES = 256 };

static float *make_vectors(size_t n, size_t dim)
{
    static const uint64_t choices[] = {64, 256, 1024};
    float *x = sg_alloc_array(n, dim * sizeof *x), *direction = sg_alloc_array(1344, dim * sizeof *direction);

    if (!x || !direction)
        exit(1);
    for (size_t i = 0; i < 1344 * dim; i++)
        direction[i] = (float)sg_rng_normal(1, SG_RNG_TEST, 0, i);
    for (size_t i = 0; i < n; i++) {
        float *row = x + i * dim;

        for (size_t d = 0; d < dim; d++)
            row[d] = 0.3f * (sg_rng_float(1, SG_RNG_TEST, 2 + i, d) - 0.5f);
        for (uint64_t c = 0, first = 0; c < 3; first += choices[c++])
            sg_axpy(row, 1 / (float)(c + 1),
                    direction + (first + sg_rng_below(choices[c], 1, SG_RNG_TEST, 1, i * 3 + c)) * dim, dim);
    }
    sg_free(direction);
    return x;
}

static void write_npy(const char *path, const float *x, size_t n, size_t dim)
{
    char header[128];
    FILE *f = fopen(path, "wb");

    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
    snprintf(header + 10, 117, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", n, dim);
    header[10 + strlen(header + 10)] = ' ';
    header[127] = '\n';
    if (!f || fwrite(header, 1, 128, f) != 128 || fwrite(x, dim * sizeof *x, n, f) != n || fclose(f)) {
        perror(path);
        exit(1);
    }
}

static float *read_npy(const char *path, size_t n, size_t dim)
{
    float *x = sg_alloc_array(n, dim * sizeof *x);
    FILE *f = fopen(path, "rb");

    if (!x || !f || fseek(f, 128, SEEK_SET) || fread(x, dim * sizeof *x, n, f) != n || fclose(f)) {
        perror(path);
        exit(1);
    }
    return x;
}

int main(int argc, char **argv)
{
    const char *to = argc > 2 && strcmp(argv[1], "--write") == 0 ? argv[2] : NULL;
    const char *from = argc > 2 && strcmp(argv[1], "--read") == 0 ? argv[2] : NULL;
    char **word = argv + (to || from ? 3 : 1);
    const int words = argc - (to || from ? 3 : 1);
    const size_t n = words > 0 ? (size_t)atoll(word[0]) : 200000,
                 dim = words > 1 ? (size_t)atoi(word[1]) : 384;
    const int threads = words > 3 ? atoi(word[3]) : 2;
    float *x = from ? read_npy(from, n, dim) : make_vectors(n, dim);
    sg_tokenize_config c;
    sg_pool *pool;
    sg_codes codes;
    double seconds;
    sg_error err;

    if (to) {
        write_npy(to, x, n, dim);
        return 0;
    }
    sg_options_init(&c, sg_tokenize_options, sg_n_tokenize_options);
    c.levels = LEVELS;
    c.codes = CODES;
    c.iterations = words > 2 ? atoi(word[2]) : 10;
    c.sample = words > 4 ? atoi(word[4]) : c.sample;
    if (sg_pool_new(&pool, threads, &err) || sg_codes_init(&codes, (int32_t)n, LEVELS, CODES, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    bench_header();
    seconds = -sg_now();
    if (sg_rkmeans(&codes, &(sg_quantize_data){x, (int32_t)n, (int)dim, NULL, 0}, &c, pool, NULL, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    seconds += sg_now();
    bench_row(threads, "residual k-means", &seconds, 1, "s");
    for (int l = 0; l < LEVELS; l++)
        bench_row(threads, "share of the variance left", &codes.error[l], 1, "");
    sg_codes_fini(&codes);
    sg_pool_free(pool);
    sg_free(x);
    return 0;
}
