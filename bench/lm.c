/* lm.c - a decoder reading a prompt and writing on, tokens a second; beside it peer_lm.py, the same file through llama.cpp.
 *
 *   bench_lm MODEL [THREADS [PROMPT [LENGTH]]]    PROMPT and LENGTH: tokens, 256 and 64; with the tokens that were written */
#include "base/alloc.h"
#include "bench.h"
#include "lm/generate.h"

enum { REPEATS = 5 };

static void stop(const sg_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

int main(int argc, char **argv)
{
    static const char text[] = "A recommender engineer opens the log of a shop and reads it line by line: "
                               "who bought what, when, and what "
                               "came after. ";
    const int threads = argc > 2 ? atoi(argv[2]) : 0, n_prompt = argc > 3 ? atoi(argv[3]) : 256,
              length = argc > 4 ? atoi(argv[4]) : 64;
    double read[REPEATS], write[REPEATS];
    sg_generate_config c;
    sg_llama *m;
    sg_pool *pool;
    sg_token_list prompt = {0};
    char name[200];
    sg_error err;

    if (argc < 2) {
        fprintf(stderr, "usage: bench_lm MODEL [THREADS [PROMPT [LENGTH]]]\n");
        return 2;
    }
    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.length = length;
    if (sg_pool_new(&pool, threads, &err) || sg_llama_open(&m, argv[1], &err))
        stop(&err);
    while (prompt.n < (size_t)n_prompt)
        if (sg_text_tokens(&prompt, sg_llama_tokenizer(m), (sg_bytes){text, sizeof text - 1}, true, &err))
            stop(&err);
    prompt.n = (size_t)n_prompt;
    bench_header();
    for (int r = 0; r < REPEATS; r++) {
        sg_token_list out = {0};
        sg_reading *reading;
        double seconds[2];
        bool ended;

        if (sg_reading_new(&reading, m, n_prompt + length, pool, &err) ||
            sg_generate(&out, &ended, seconds, reading, m, &prompt, -1, &c, NULL, &err))
            stop(&err);
        read[r] = n_prompt / seconds[0];
        write[r] = (double)out.n / seconds[1];
        if (r == 0) {
            fprintf(stderr, "tokens");
            for (size_t i = 0; i < out.n; i++)
                fprintf(stderr, " %d", (int)out.id[i]);
            fprintf(stderr, "\n");
        }
        sg_reading_free(reading);
        sg_free(out.id);
    }
    snprintf(name, sizeof name, "lm %s prompt %d", sg_path_base(argv[1]), n_prompt);
    bench_row(sg_pool_threads(pool), name, read, REPEATS, "tokens/s");
    snprintf(name, sizeof name, "lm %s decode %d", sg_path_base(argv[1]), length);
    bench_row(sg_pool_threads(pool), name, write, REPEATS, "tokens/s");
    sg_free(prompt.id);
    sg_llama_close(m);
    sg_pool_free(pool);
    return 0;
}
