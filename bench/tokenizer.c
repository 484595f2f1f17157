/* tokenizer.c - text to token numbers on one core, millions of tokens a second; beside it peer_tokenizer.py, the same text through
 * huggingface/tokenizers and google/sentencepiece.
 *
 *   bench_tokenizer TEXT TOKENIZER...    TEXT: a file, a document a line
 *   bench_tokenizer                      a text made here, and the small tokenizers of tests/parity */
#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "bench.h"
#include "text/tokenizer.h"

enum { REPEATS = 7 };

static void stop(const sg_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static void run(const char *path, const sg_buf *text)
{
    double value[REPEATS];
    sg_tokenizer *t;
    sg_encoder *e;
    sg_error err;
    size_t tokens = 0;
    char name[200];

    if (sg_tokenizer_open(&t, path, &err))
        stop(&err);
    for (int r = 0; r < REPEATS; r++) { /* a new encoder each time: it has seen nothing */
        const double start = sg_now();

        if (sg_encoder_new(&e, t, &err))
            stop(&err);
        tokens = 0;
        for (size_t at = 0, end; at < text->size; at = end + 1) {
            const char *stop_at = memchr(text->data + at, '\n', text->size - at);
            const int32_t *id;
            size_t n;

            end = stop_at ? (size_t)(stop_at - text->data) : text->size;
            if (sg_encoder_run(&id, &n, e, (sg_bytes){text->data + at, end - at}, NULL, &err))
                stop(&err);
            tokens += n;
        }
        value[r] = sg_now() - start;
        sg_encoder_free(e);
    }
    for (int r = 0; r < REPEATS; r++)
        value[r] = (double)tokens / value[r] / 1e6;
    snprintf(name, sizeof name, "tokenizer %s (%zu tokens)", sg_path_base(path), tokens);
    bench_row(1, name, value, REPEATS, "Mtokens/s");
    sg_tokenizer_close(t);
}

static void make_text(sg_buf *text)
{
    static const char *const words[] = {
        "the",       "of",        "recommendation",           "isn't", "caf\xc3\xa9",    "2024",
        "x = f(y);", "tokenizer", "\xe6\x88\x91\xe4\xbb\xac", "shop",  "great product,", "would",
        "buy",       "again!"};
    enum { WORDS = sizeof words / sizeof *words };

    for (uint64_t i = 0; i < 300000; i++) {
        sg_buf_puts(text, words[sg_rng_below(WORDS, 1, SG_RNG_TEST, i, 0)]);
        sg_buf_putc(text, i % 20 == 19 ? '\n' : ' ');
    }
}

int main(int argc, char **argv)
{
    static const char *const small[] = {"bytes.json", "wordpiece.json", "unigram.json", "spiece_bpe.model"};
    sg_buf text = {0};
    sg_error err;

    if (argc > 1 && sg_file_read_any(&text, argv[1], (size_t)1 << 30, &err))
        stop(&err);
    if (argc == 1)
        make_text(&text);
    bench_header();
    for (int i = 2; i < argc; i++)
        run(argv[i], &text);
    for (size_t i = 0; argc == 1 && i < sizeof small / sizeof *small; i++) {
        char path[300];

        snprintf(path, sizeof path, "%s/tests/parity/tokenizers/%s", BENCH_SOURCE_DIR, small[i]);
        run(path, &text);
    }
    sg_buf_free(&text);
    return 0;
}
