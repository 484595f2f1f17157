/* embed.c - texts to vectors by a model folder, texts a second; beside it peer_embed.py, the same texts through transformers and
 * onnxruntime.
 *
 *   bench_embed MODEL TEXTS [THREADS [PRECISION [OUT.safetensors]]]    TEXTS: a file, a text a line; PRECISION: auto, f32 or bf16;
 *                                                                      with OUT: once, and the vectors are kept */
#include "base/alloc.h"
#include "base/io.h"
#include "bench.h"
#include "file/safetensors.h"
#include "lm/sentence.h"

enum { REPEATS = 3 };

static void stop(const sg_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static size_t lines_of(sg_bytes **out, const sg_buf *all)
{
    size_t n = 0, cap = 0;

    *out = NULL;
    for (size_t at = 0, end; at < all->size; at = end + 1) {
        const char *newline = memchr(all->data + at, '\n', all->size - at);

        end = newline ? (size_t)(newline - all->data) : all->size;
        if (!sg_grow(out, &cap, n + 1, sizeof **out))
            exit(1);
        (*out)[n++] = (sg_bytes){all->data + at, end - at};
    }
    return n;
}

int main(int argc, char **argv)
{
    const int threads = argc > 3 ? atoi(argv[3]) : 0, repeats = argc > 5 ? 1 : REPEATS;
    sg_sentence_config c;
    sg_sentence *model;
    sg_pool *pool;
    sg_bytes *text;
    sg_buf all = {0};
    double value[REPEATS];
    char name[200];
    sg_error err;

    if (argc < 3) {
        fprintf(stderr, "usage: bench_embed MODEL TEXTS [THREADS [PRECISION [OUT.safetensors]]]\n");
        return 2;
    }
    sg_options_init(&c, sg_sentence_options, sg_n_sentence_options);
    if ((argc > 4 &&
         sg_options_set(&c, sg_sentence_options, sg_n_sentence_options, "precision", argv[4], &err)) ||
        sg_pool_new(&pool, threads, &err) || sg_file_read_any(&all, argv[2], (size_t)1 << 32, &err) ||
        sg_sentence_open(&model, argv[1], &err))
        stop(&err);
    const size_t n = lines_of(&text, &all);

    bench_header();
    for (int r = 0; r < repeats; r++) {
        const double start = sg_now();
        float *vectors;
        int32_t dim;
        json_t *report;

        if (sg_sentence_encode(&vectors, &dim, model, text, n, &c, pool, NULL, &report, &err))
            stop(&err);
        value[r] = (double)n / (sg_now() - start);
        snprintf(name, sizeof name, "embed %s %s (%zu texts, %lld tokens)", sg_path_base(argv[1]),
                 json_string_value(json_object_get(report, "precision")), n,
                 (long long)json_integer_value(json_object_get(report, "tokens")));
        json_decref(report);
        if (argc > 5 &&
            sg_tensors_write(argv[5], &(sg_tensor_desc){"vectors", SG_DT_F32, 2, {n, (uint64_t)dim}, vectors},
                             1, NULL, 0, &err))
            stop(&err);
        sg_free(vectors);
    }
    bench_row(sg_pool_threads(pool), name, value, repeats, "texts/s");
    sg_sentence_close(model);
    sg_pool_free(pool);
    sg_free(text);
    sg_buf_free(&all);
    return 0;
}
