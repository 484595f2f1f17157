/* lm.c - a decoder reading prompts and writing on, tokens a second, one text and many together; beside it peer_lm.py, the same file
 * through llama.cpp.
 *
 *   bench_lm MODEL [THREADS [PROMPT [LENGTH [TEXTS]]]]    PROMPT and LENGTH: tokens, 256 and 64; TEXTS: 16 (each prompt begins with a
 *   token of its own, so that nothing is shared); with the tokens that were written */
#include "base/alloc.h"
#include "bench.h"
#include "lm/generate.h"

enum { REPEATS = 5, TEXTS_MOST = 256 };

static void stop(const sg_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

/* n prompts of `tokens` tokens, then `length` tokens each; tokens a second of reading and of writing. */
static void run(const sg_llama *m, sg_pool *pool, int n, int tokens, int length)
{
    static const char text[] = "A recommender engineer opens the log of a shop and reads it line by line: "
                               "who bought what, when, and what "
                               "came after. ";
    double read[REPEATS], write[REPEATS];
    sg_token_list prompt[TEXTS_MOST] = {{0}};
    sg_generate_config c;
    char name[200];
    sg_error err;

    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.length = length;
    c.batch = n;
    for (int i = 0; i < n; i++) {
        while (prompt[i].n < (size_t)tokens)
            if (sg_text_tokens(&prompt[i], sg_llama_tokenizer(m), (sg_bytes){text, sizeof text - 1}, true,
                               &err))
                stop(&err);
        prompt[i].n = (size_t)tokens;
        prompt[i].id[0] += i;
    }
    for (int r = 0; r < REPEATS; r++) {
        sg_answer out[TEXTS_MOST] = {{0}};
        sg_generate_report report;
        sg_desk *desk;

        if (sg_llama_desk(&desk, m, tokens + length, pool, &err) ||
            sg_generate(out, &report, &(sg_generate_job){desk, prompt, n, -1, NULL, NULL}, &c, NULL, &err))
            stop(&err);
        read[r] = report.prompt_tokens / report.seconds[0];
        write[r] = (report.tokens - n) / report.seconds[1]; /* the first ones came of reading */
        if (r == 0) {
            fprintf(stderr, "tokens");
            for (size_t i = 0; i < out[0].text[0].tokens.n; i++)
                fprintf(stderr, " %d", (int)out[0].text[0].tokens.id[i]);
            fprintf(stderr, "\n");
        }
        for (int i = 0; i < n; i++)
            sg_answer_free(&out[i]);
        sg_desk_free(desk);
    }
    snprintf(name, sizeof name, "lm prompt %d texts %d", tokens, n);
    bench_row(sg_pool_threads(pool), name, read, REPEATS, "tokens/s");
    snprintf(name, sizeof name, "lm decode %d texts %d", length, n);
    bench_row(sg_pool_threads(pool), name, write, REPEATS, "tokens/s");
    for (int i = 0; i < n; i++)
        sg_free(prompt[i].id);
}

int main(int argc, char **argv)
{
    const int threads = argc > 2 ? atoi(argv[2]) : 0, prompt = argc > 3 ? atoi(argv[3]) : 256,
              length = argc > 4 ? atoi(argv[4]) : 64, texts = argc > 5 ? atoi(argv[5]) : 16;
    sg_llama *m = NULL;
    sg_pool *pool;
    sg_error err;

    if (argc < 2 || prompt < 1 || length < 2 || texts < 1 || texts > TEXTS_MOST) {
        fprintf(stderr, "usage: bench_lm MODEL [THREADS [PROMPT [LENGTH [TEXTS]]]]\n");
        return 2;
    }
    if (sg_pool_new(&pool, threads, &err) || sg_llama_open(&m, argv[1], &err))
        stop(&err);
    bench_header();
    run(m, pool, 1, prompt, length);
    if (texts > 1)
        run(m, pool, texts, prompt, length);
    sg_llama_close(m);
    sg_pool_free(pool);
    return 0;
}
