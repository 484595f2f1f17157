/* lessons.c - any bytes as lines to learn from: a clean error that names the line, or tokens of the model with marks that fit. */
#include "learn_kit.h"

#include "lm/lessons.h"

static volatile size_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const sg_lessons_how how = {
        .most = 2 + (int)(size % 40), .chat = size % 3 == 0, .prompt_counts = size % 5 == 0};
    const sg_llama *m = kit_model();
    char path[128];
    sg_lessons l;
    sg_error err = {0};

    if (!kit_put(0, "lines.jsonl", data, size))
        return 0;
    snprintf(path, sizeof path, "%s/lines.jsonl", kit_dir);
    if (sg_lessons_read(&l, (sg_lessons_for[]){sg_lessons_for_llama(m)}, path, &how, NULL, &err)) {
        FUZZ_CHECK(strncmp(err.message, path, strlen(path)) == 0 && !strchr(err.message, '\n') && !l.id &&
                   !l.begin);
        return 0;
    }
    FUZZ_CHECK(l.n > 0 && l.begin[0] == 0);
    for (size_t i = 0; i < l.n; i++) {
        size_t counted = 0;

        FUZZ_CHECK(l.begin[i + 1] > l.begin[i] + 1 && l.begin[i + 1] - l.begin[i] <= (size_t)how.most &&
                   !l.counts[l.begin[i]]);
        for (size_t t = l.begin[i]; t < l.begin[i + 1]; t++) {
            FUZZ_CHECK(l.id[t] >= 0 && l.id[t] < KIT_VOCAB && l.counts[t] <= 1);
            counted += l.counts[t];
        }
        FUZZ_CHECK(counted > 0);
        sink += counted;
    }
    sg_lessons_free(&l);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char turns[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": "
        "\"a\"}, "
        "{\"role\": \"assistant\", \"content\": \"b\"}, {\"role\": \"user\", \"content\": \"c\"}, {\"role\": "
        "\"assistant\", \"content\": \"d\"}]}\n";
    static const char *const seeds[] = {
        "{\"prompt\": \"ab\", \"completion\": \" c\"}\n{\"text\": \"abc\"}\n",
        "{\"instruction\": \"a\", \"input\": \"b\", \"output\": \"c\\u0000<|im_end|>\"}\n\n{\"instruction\": "
        "\"a\", \"output\": \"\"}\n",
        turns};

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}
