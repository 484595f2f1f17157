/* logits.c - a decoder's logits after many prompts and what it writes on greedily, for peer_logits.py, which holds them against
 * transformers and llama.cpp.
 *
 *   bench_logits MODEL PROMPTS OUT [THREADS [LENGTH]]    PROMPTS: a text a line; LENGTH: tokens written, 64
 *
 * OUT.logits: float32 (prompts, vocab) of what follows each prompt; OUT.tokens: a line a prompt, its tokens, '|', those written, with the one
 * that ended the text. */
#include "base/alloc.h"
#include "bench.h"
#include "lm/generate.h"

static void stop(const sg_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static void put(FILE *f, const sg_token_list *t)
{
    for (size_t i = 0; i < t->n; i++)
        fprintf(f, "%d ", (int)t->id[i]);
}

/* The prompts of a file, at most cap; returns how many. */
static int prompts(sg_token_list *out, int cap, const char *path, const sg_llama *m)
{
    sg_reader *r;
    sg_error err;
    const char *line;
    size_t size;
    int n = 0;

    if (sg_reader_open(&r, path, &err))
        stop(&err);
    for (; n < cap; n++) {
        if (sg_reader_line(r, &line, &size, &err))
            stop(&err);
        if (!line)
            break;
        if (sg_text_tokens(&out[n], sg_llama_tokenizer(m), (sg_bytes){line, size}, true, &err))
            stop(&err);
    }
    sg_reader_close(r);
    return n;
}

static FILE *file(const char *out, const char *end)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s.%s", out, end);
    if (!(f = fopen(path, "wb"))) {
        perror(path);
        exit(1);
    }
    return f;
}

int main(int argc, char **argv)
{
    enum { CAP = 10000 };
    const int threads = argc > 4 ? atoi(argv[4]) : 0, length = argc > 5 ? atoi(argv[5]) : 64;
    sg_token_list *prompt = calloc(CAP, sizeof *prompt);
    sg_answer *answer = calloc(CAP, sizeof *answer);
    sg_generate_report report;
    sg_generate_config c;
    sg_llama *m = NULL;
    sg_reading *r;
    sg_pool *pool;
    sg_desk *desk;
    sg_error err;
    size_t longest = 0;
    int n;

    if (argc < 4 || length < 1) {
        fprintf(stderr, "usage: bench_logits MODEL PROMPTS OUT [THREADS [LENGTH]]\n");
        return 2;
    }
    if (sg_pool_new(&pool, threads, &err) || sg_llama_open(&m, argv[1], &err))
        stop(&err);
    n = prompts(prompt, CAP, argv[2], m);
    for (int i = 0; i < n; i++)
        longest = prompt[i].n > longest ? prompt[i].n : longest;

    FILE *const logits = file(argv[3], "logits"), *const tokens = file(argv[3], "tokens");
    const size_t vocab = (size_t)sg_llama_config_of(m)->vocab;
    float *row = malloc(vocab * sizeof *row);

    if (sg_reading_new(&r, m, (int)longest, pool, &err))
        stop(&err);
    for (int i = 0; i < n; i++) {
        sg_reading_cut(r, 0);
        if (sg_reading_feed(r, prompt[i].id, (int)prompt[i].n, row, &err))
            stop(&err);
        fwrite(row, sizeof *row, vocab, logits);
    }
    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.length = length;
    if (sg_llama_desk(&desk, m, (int)longest + length, pool, &err) ||
        sg_generate(answer, &report, &(sg_generate_job){.desk = desk, .prompt = prompt, .n = n, .end = -1},
                    &c, NULL, &err))
        stop(&err);
    for (int i = 0; i < n; i++) {
        put(tokens, &prompt[i]);
        fprintf(tokens, "| ");
        put(tokens, &answer[i].text[0].tokens);
        if (answer[i].text[0].ended)
            fprintf(tokens, "%d", sg_llama_config_of(m)->end);
        fprintf(tokens, "\n");
        sg_answer_free(&answer[i]);
        sg_free(prompt[i].id);
    }
    if (fclose(logits) | fclose(tokens)) {
        perror(argv[3]);
        return 1;
    }
    sg_desk_free(desk);
    sg_reading_free(r);
    sg_llama_close(m);
    sg_pool_free(pool);
    free(row);
    free(answer);
    free(prompt);
    return 0;
}
