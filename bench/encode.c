/* encode.c - microseconds from a new item's vector to its free ID, one item at a time, and its insert.
 *
 * usage: bench_encode DATA   (with vectors and IDs of rkmeans or rqvae; each vector, moved a little, is a new item) */
#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "bench.h"
#include "data/dataset.h"
#include "index/living.h"
#include "quantize/encode.h"

int main(int argc, char **argv)
{
    char path[4096];
    sg_dataset *d = NULL;
    sg_vectors v = {0};
    sg_ids ids = {0};
    sg_encoder *e = NULL;
    sg_catalogue *base = NULL;
    sg_living *w = NULL;
    sg_error err;

    if (argc != 2) {
        fprintf(stderr, "usage: bench_encode DATA\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/%s", argv[1], SG_DATASET_IDS);
    if (sg_dataset_open(&d, argv[1], &err) || sg_vectors_open(&v, d, &err) || sg_ids_open(&ids, d, &err) ||
        sg_encoder_open(&e, path, &err) ||
        sg_catalogue_new(&base, ids.codes, ids.n, ids.levels, ids.size, &err) ||
        sg_living_new(&w, base, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }

    double *find = sg_alloc_array((size_t)v.n, sizeof *find), *put = sg_alloc_array((size_t)v.n, sizeof *put);
    float *x = sg_alloc_array((size_t)v.dim, sizeof *x);
    int placed = 0, full = 0;

    if (!find || !put || !x)
        return 1;
    for (int32_t i = 0; i < v.n; i++) {
        int32_t codes[SG_LEVELS_MAX];
        double start;

        for (int k = 0; k < v.dim; k++)
            x[k] = v.data[(size_t)i * (size_t)v.dim + (size_t)k] +
                   (float)(1e-3 * sg_rng_normal(1, SG_RNG_TEST, (uint64_t)i, (uint64_t)k));
        start = sg_now();
        if (sg_encoder_place(e, codes, x, sg_living_draft(w), &err)) {
            full++; /* no ID is free behind the prefix */
            continue;
        }
        find[placed] = (sg_now() - start) * 1e6;
        start = sg_now();
        if (sg_living_put(w, v.n + i, codes, &err) || sg_living_publish(w, &err)) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        put[placed++] = (sg_now() - start) * 1e6;
    }
    bench_header();
    bench_value("width of the vectors", v.dim, "numbers");
    if (placed) {
        bench_row(1, "vector to free ID", find, placed, "us");
        bench_row(1, "insert and publish", put, placed, "us");
    }
    bench_value("new items without a free ID", full, "items");
    sg_living_free(w);
    sg_catalogue_free(base);
    sg_encoder_close(e);
    sg_ids_close(&ids);
    sg_vectors_close(&v);
    sg_dataset_close(d);
    sg_free(find);
    sg_free(put);
    sg_free(x);
    return 0;
}
