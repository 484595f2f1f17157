/* generate.c - texts that are written together are those written alone, bit by bit; beams are the best texts there are; what a guide
 * forbids never comes. */
#include "base/alloc.h"
#include "base/rng.h"
#include "file/json.h"
#include "lm/adapter.h"
#include "lm/generate.h"

#include "../scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { VOCAB = 40, TEXTS = 9, LENGTH = 20, PLACES = 64 };

static sg_llama *open_model(const char *name)
{
    char path[300];
    sg_llama *m;
    sg_error err;

    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/parity/%s", name);
    if (sg_llama_open(&m, path, &err))
        fail_msg("%s", err.message);
    return m;
}

static sg_desk *open_desk(const sg_llama *m, sg_pool *pool)
{
    sg_desk *d;
    sg_error err;

    assert_int_equal(sg_llama_desk(&d, m, PLACES, pool, &err), SG_OK);
    return d;
}

/* Prompts of 1 to 40 tokens; `shared` of them at their start are the same. */
static void make_prompts(sg_token_list *p, int n, size_t shared)
{
    for (int i = 0; i < n; i++) {
        const size_t length = shared + 1 + (size_t)sg_rng_below(40 - shared, 1, SG_RNG_TEST, 0, (uint64_t)i);

        p[i] = (sg_token_list){sg_alloc_array(length, sizeof *p[i].id), length, length};
        assert_non_null(p[i].id);
        for (size_t k = 0; k < length; k++)
            p[i].id[k] = (int32_t)sg_rng_below(VOCAB, 2, SG_RNG_TEST, k < shared ? 1000 : (uint64_t)i, k);
    }
}

static void free_prompts(sg_token_list *p, int n)
{
    for (int i = 0; i < n; i++)
        sg_free(p[i].id);
}

static void write_with(sg_answer *out, const sg_llama *m, sg_pool *pool, const sg_token_list *prompt, int n,
                       sg_guide *guide, const sg_generate_config *c)
{
    sg_desk *d = open_desk(m, pool);
    sg_generate_report report;
    sg_error err;

    memset(out, 0, (size_t)n * sizeof *out);
    if (sg_generate(out, &report, &(sg_generate_job){d, prompt, n, -1, guide, NULL}, c, NULL, &err))
        fail_msg("%s", err.message);
    sg_desk_free(d);
}

static void assert_same(const sg_answer *a, const sg_answer *b)
{
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; i++) {
        assert_int_equal(a->text[i].tokens.n, b->text[i].tokens.n);
        assert_memory_equal(a->text[i].tokens.id, b->text[i].tokens.id,
                            a->text[i].tokens.n * sizeof(int32_t));
        assert_true(a->text[i].logp == b->text[i].logp);
        assert_int_equal(a->text[i].ended, b->text[i].ended);
    }
}

static void together(const char *model, size_t shared, double temperature, int beam)
{
    sg_llama *m = open_model(model);
    sg_token_list prompt[TEXTS];
    sg_answer alone[TEXTS], all[TEXTS];
    sg_generate_config c;
    sg_pool *pool;
    sg_error err;

    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.length = LENGTH;
    c.temperature = temperature;
    c.beam = beam;
    c.batch = 1;
    make_prompts(prompt, TEXTS, shared);
    write_with(alone, m, NULL, prompt, TEXTS, NULL, &c);
    for (int i = 0; i < TEXTS && temperature == 0;
         i++) { /* a desk for every one (draws depend on the number of a prompt) */
        sg_answer one;

        write_with(&one, m, NULL, &prompt[i], 1, NULL, &c);
        assert_same(&one, &alone[i]);
        sg_answer_free(&one);
    }
    for (int threads = 1; threads <= 2; threads++)
        for (c.batch = 3; c.batch <= 16; c.batch += 13) {
            assert_int_equal(sg_pool_new(&pool, threads, &err), SG_OK);
            write_with(all, m, pool, prompt, TEXTS, NULL, &c);
            for (int i = 0; i < TEXTS; i++) {
                assert_same(&alone[i], &all[i]);
                sg_answer_free(&all[i]);
            }
            sg_pool_free(pool);
        }
    for (int i = 0; i < TEXTS; i++)
        sg_answer_free(&alone[i]);
    free_prompts(prompt, TEXTS);
    sg_llama_close(m);
}

static void texts_do_not_depend_on_what_is_written_beside_them(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "llama.gguf", "qwen2",
                                         "qwen3"}; /* f32, 8 bits, bf16, f16 */

    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        together(models[i], 0, 0, 1);
        together(models[i], 20, 1.3, 1);
        together(models[i], 20, 0, 3);
    }
}

/* A folder like qwen2 whose generation_config.json names these tokens as ends. */
static sg_llama *open_with_ends(const char *ends)
{
    static const char *const names[] = {"config.json", "tokenizer.json", "model.safetensors",
                                        "generation_config.json"};
    char dir[SCRATCH_MAX], path[200], from[300];
    sg_llama *m;
    FILE *f;
    sg_error err;

    assert_int_equal(scratch_make(dir, "ends"), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, TEST_SOURCE_DIR "/tests/parity/qwen2/%s", names[i]);
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(symlink(from, path), 0);
    }
    snprintf(path, sizeof path, "%s/%s", dir, names[3]);
    assert_non_null(f = fopen(path, "w"));
    fprintf(f, "{\"eos_token_id\": %s}\n", ends);
    assert_int_equal(fclose(f), 0);
    if (sg_llama_open(&m, dir, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    return m;
}

/* Any of them ends a text, the likeliest one a guided one; what is no token of the model is passed over. */
static void all_tokens_that_end_a_text_do(void **state)
{
    (void)state;
    const sg_generate_config likeliest = {.length = LENGTH, .top_p = 1, .beam = 1, .batch = 1};
    const sg_generate_config beams = {.length = LENGTH, .top_p = 1, .beam = 3, .batch = 1};
    sg_llama *m = open_model("qwen2"), *other;
    sg_token_list prompts[TEXTS], prompt;
    sg_answer all = {0}, cut;
    char ends[100];
    size_t at = 0;
    int k = 0;

    make_prompts(prompts, TEXTS, 0);
    do { /* one that is answered at length */
        sg_answer_free(&all);
        assert_true(k < TEXTS);
        prompt = prompts[k++];
        write_with(&all, m, NULL, &prompt, 1, NULL, &likeliest);
    } while (all.text[0].tokens.n <= 4);
    const sg_token_list *t = &all.text[0].tokens;
    const int32_t last = t->id[4];
    while (t->id[at] != last)
        at++;
    snprintf(ends, sizeof ends, "[1, 1000000, -5, %d, \"x\", 1]", (int)last);
    other = open_with_ends(ends);
    assert_int_equal(sg_llama_config_of(other)->ends.n, 2);
    assert_int_equal(sg_llama_config_of(other)->end, 1);
    write_with(&cut, other, NULL, &prompt, 1, NULL, &likeliest);
    assert_int_equal(cut.text[0].tokens.n, at);
    assert_memory_equal(cut.text[0].tokens.id, t->id, at * sizeof *t->id);
    assert_true(cut.text[0].ended);
    sg_answer_free(&cut);
    write_with(&cut, other, NULL, &prompt, 1, NULL, &beams);
    for (int i = 0; i < cut.n; i++)
        for (size_t i_token = 0; i_token < cut.text[i].tokens.n; i_token++)
            assert_true(cut.text[i].tokens.id[i_token] != last && cut.text[i].tokens.id[i_token] != 1);
    sg_answer_free(&cut);
    sg_answer_free(&all);

    /* a text of one token that the guide allows, then the likelier end: not the first of the list */
    sg_guide *guide;
    sg_error err;
    float logits[VOCAB];
    const int32_t only = 7;
    sg_reading *r;
    assert_int_equal(sg_reading_new(&r, m, PLACES, NULL, &err), SG_OK);
    assert_int_equal(sg_reading_feed(r, prompt.id, (int)prompt.n, logits, &err), SG_OK);
    const double first = sg_token_logp(logits, VOCAB, only);
    assert_int_equal(sg_reading_feed(r, &only, 1, logits, &err), SG_OK);
    sg_reading_free(r);
    int32_t likely = 0;
    for (int32_t i = 0; i < VOCAB; i++)
        likely = i != only && logits[i] > logits[likely] ? i : likely;
    assert_true(likely != 1);
    snprintf(ends, sizeof ends, "[1, %d]", (int)likely);
    sg_llama_close(other);
    other = open_with_ends(ends);
    assert_int_equal(sg_guide_choices(&guide, &only, (int64_t[]){0, 1}, 1, &err), SG_OK);
    for (int beam = 1; beam <= 2; beam++) {
        sg_generate_config c = likeliest;

        c.beam = beam;
        write_with(&cut, other, NULL, &prompt, 1, guide, &c);
        assert_int_equal(cut.n, 1);
        assert_int_equal(cut.text[0].tokens.n, 1);
        assert_true(cut.text[0].ended);
        assert_true(fabs(cut.text[0].logp - first - sg_token_logp(logits, VOCAB, likely)) < 1e-5);
        sg_answer_free(&cut);
    }
    sg_guide_free(guide);
    free_prompts(prompts, TEXTS);
    sg_llama_close(other);
    sg_llama_close(m);
}

/* However a text is cut into pieces, forked or taken from another: the same logits. */
static void pasts_are_shared_without_a_trace(void **state)
{
    (void)state;
    sg_llama *m = open_model("llama.gguf");
    sg_desk *d = open_desk(m, NULL);
    float want[VOCAB], got[VOCAB], other[VOCAB];
    int32_t id[50];
    int whole, base, fork, known;
    sg_error err;

    for (int i = 0; i < 50; i++)
        id[i] = (int32_t)sg_rng_below(VOCAB, 3, SG_RNG_TEST, 0, (uint64_t)i);
    assert_int_equal(sg_desk_open(d, &whole, &err), SG_OK);
    assert_int_equal(sg_desk_read(d, &(sg_piece){.text = whole, .id = id, .n = 50, .logits = want}, 1, &err),
                     SG_OK);
    assert_int_equal(sg_desk_open(d, &base, &err), SG_OK);
    assert_int_equal(sg_desk_read(d, &(sg_piece){.text = base, .id = id, .n = 21}, 1, &err), SG_OK);
    assert_int_equal(sg_desk_fork(d, &fork, base, &err), SG_OK);
    /* both write into the page that they share */
    const sg_piece both[] = {{.text = base, .id = id + 30, .n = 7, .logits = other},
                             {.text = fork, .id = id + 21, .n = 29, .logits = got}};
    assert_int_equal(sg_desk_read(d, both, 2, &err), SG_OK);
    assert_memory_equal(want, got, sizeof want);
    assert_memory_not_equal(want, other, sizeof want);
    sg_desk_cut(d, base, 21);
    assert_int_equal(
        sg_desk_read(d, &(sg_piece){.text = base, .id = id + 21, .n = 29, .logits = other}, 1, &err), SG_OK);
    assert_memory_equal(want, other, sizeof want);
    sg_desk_close(d, base);
    sg_desk_close(d, fork);
    assert_int_equal(sg_desk_begin(d, &fork, &known, id, 40, &err),
                     SG_OK); /* 39 are there: the last one is read for its logits */
    assert_int_equal(known, 39);
    assert_int_equal(
        sg_desk_read(d, &(sg_piece){.text = fork, .id = id + known, .n = 11, .logits = got}, 1, &err), SG_OK);
    assert_memory_equal(want, got, sizeof want);
    sg_desk_free(d);
    sg_llama_close(m);
}

/* ---- beams ------------------------------------------------------------------------------------------------------------------ */
enum { CHOICES = 200 };

static void make_choices(int32_t *token, int64_t *offsets)
{
    int64_t at = 0;

    for (int i = 0; i < CHOICES; i++) {
        const int n = 1 + (int)sg_rng_below(4, 5, SG_RNG_TEST, 0, (uint64_t)i);

        offsets[i] = at;
        for (int k = 0; k < n;
             k++) /* few tokens: many begin alike, some are the beginning of others, some are the same */
            token[at++] = 2 + (int32_t)sg_rng_below(6, 6, SG_RNG_TEST, (uint64_t)i, (uint64_t)k);
    }
    offsets[CHOICES] = at;
}

static void beams_find_the_best_choices(void **state)
{
    (void)state;
    sg_llama *m = open_model("qwen2");
    sg_token_list prompt;
    int32_t token[CHOICES * 5];
    int64_t offsets[CHOICES + 1];
    double score[CHOICES];
    sg_generate_config c;
    sg_guide *guide;
    sg_answer a;
    sg_error err;

    make_prompts(&prompt, 1, 0);
    make_choices(token, offsets);
    for (int i = 0; i < CHOICES; i++) { /* by reading each of them, and the end behind it */
        int32_t text[6];
        double logp[6] = {0};
        const int n = (int)(offsets[i + 1] - offsets[i]);
        sg_reading *r;

        assert_int_equal(sg_reading_new(&r, m, PLACES, NULL, &err), SG_OK);
        assert_int_equal(sg_reading_feed(r, prompt.id, (int)prompt.n - 1, NULL, &err), SG_OK);
        text[0] = prompt.id[prompt.n - 1];
        memcpy(text + 1, token + offsets[i], (size_t)n * sizeof *text);
        text[n + 1 > 5 ? 5 : n + 1] = 1;
        assert_int_equal(sg_reading_score(r, text, n + 2 > 6 ? 6 : n + 2, logp, &err), SG_OK);
        score[i] = 0;
        for (int k = 1; k <= n + 1; k++)
            score[i] += logp[k];
        sg_reading_free(r);
    }
    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.beam = CHOICES;
    assert_int_equal(sg_guide_choices(&guide, token, offsets, CHOICES, &err), SG_OK);
    write_with(&a, m, NULL, &prompt, 1, guide, &c);
    assert_in_range(a.n, 100, CHOICES - 1); /* some were the same */
    for (int i = 0; i < a.n; i++) {
        const sg_token_list *t = &a.text[i].tokens;
        bool found = false;

        assert_true(a.text[i].ended);
        if (i > 0)
            assert_true(a.text[i].logp <= a.text[i - 1].logp);
        for (int k = 0; k < CHOICES && !found; k++)
            if ((int64_t)t->n == offsets[k + 1] - offsets[k] &&
                memcmp(t->id, token + offsets[k], t->n * sizeof *t->id) == 0) {
                found = true;
                assert_true(fabs(score[k] - a.text[i].logp) <= 1e-5);
            }
        assert_true(found);
    }
    const double best = a.text[0].logp;
    sg_answer_free(&a);
    c.beam = 4; /* a narrow beam may miss the best, and finds nothing better */
    write_with(&a, m, NULL, &prompt, 1, guide, &c);
    assert_int_equal(a.n, 4);
    assert_true(a.text[0].logp <= best + 1e-9);
    sg_answer_free(&a);
    sg_guide_free(guide);
    sg_free(prompt.id);
    sg_llama_close(m);
}

/* A wide beam without a guide: no text of two tokens is likelier. */
static void beams_find_the_best_texts(void **state)
{
    (void)state;
    sg_llama *m = open_model("llama");
    sg_desk *d = open_desk(m, NULL);
    sg_token_list prompt;
    sg_generate_config c;
    float first[VOCAB], second[VOCAB];
    double best = -INFINITY;
    int text, fork;
    sg_answer a;
    sg_error err;

    make_prompts(&prompt, 1, 0);
    assert_int_equal(sg_desk_open(d, &text, &err), SG_OK);
    assert_int_equal(
        sg_desk_read(d, &(sg_piece){.text = text, .id = prompt.id, .n = (int)prompt.n, .logits = first}, 1,
                     &err),
        SG_OK);
    for (int32_t i = 0; i < VOCAB; i++) {
        const double one = sg_token_logp(first, VOCAB, i);

        if (i == 1) { /* the end */
            best = one > best ? one : best;
            continue;
        }
        assert_int_equal(sg_desk_fork(d, &fork, text, &err), SG_OK);
        assert_int_equal(
            sg_desk_read(d, &(sg_piece){.text = fork, .id = &i, .n = 1, .logits = second}, 1, &err), SG_OK);
        for (int32_t k = 0; k < VOCAB; k++)
            best = fmax(best, one + sg_token_logp(second, VOCAB, k));
        sg_desk_close(d, fork);
    }
    sg_desk_free(d);
    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.length = 2;
    c.beam = VOCAB;
    write_with(&a, m, NULL, &prompt, 1, NULL, &c);
    assert_true(fabs(a.text[0].logp - best) <= 1e-9);
    sg_answer_free(&a);
    sg_free(prompt.id);
    sg_llama_close(m);
}

/* ---- guides ----------------------------------------------------------------------------------------------------------------- */
/* Walks a guide by random numbers: 1 to `most` tokens; returns their number. */
static size_t wander(int32_t *out, size_t most, sg_guide *g, uint64_t turn)
{
    sg_guide_state s = g->begin;
    size_t n = 0;

    for (;;) {
        const int32_t *id;
        int32_t count;
        bool ends;
        sg_error err;

        if (sg_guide_next(g, &id, &count, &ends, s, &err))
            fail_msg("%s", err.message);
        assert_true(ends || count > 0);
        for (int32_t i = 1; i < count; i++)
            assert_true(id[i] > id[i - 1]);
        if (ends && (count == 0 || n == most || sg_rng_below(3, 7, SG_RNG_TEST, turn, 1000 + n) == 0))
            return n;
        assert_true(n < most);
        out[n] = id[sg_rng_below((uint64_t)count, 7, SG_RNG_TEST, turn, n)];
        sg_guide_step(g, &s, out[n++]);
    }
}

static void guided_texts_are_choices(void **state)
{
    (void)state;
    int32_t token[CHOICES * 5], text[8];
    int64_t offsets[CHOICES + 1];
    bool seen[CHOICES] = {false};
    sg_guide *g;
    sg_error err;

    make_choices(token, offsets);
    assert_int_equal(sg_guide_choices(&g, token, offsets, CHOICES, &err), SG_OK);
    for (uint64_t turn = 0; turn < 10000; turn++) {
        const size_t n = wander(text, 8, g, turn);
        bool found = false;

        for (int k = 0; k < CHOICES; k++)
            if ((int64_t)n == offsets[k + 1] - offsets[k] &&
                memcmp(text, token + offsets[k], n * sizeof *text) == 0)
                found = seen[k] = true;
        assert_true(found);
    }
    for (int k = 0; k < CHOICES; k++)
        assert_true(seen[k]);
    sg_guide_free(g);
}

static void guided_texts_are_parts_of_items(void **state)
{
    (void)state;
    int32_t token[CHOICES * 5], text[8];
    int64_t offsets[CHOICES + 1];
    sg_guide *g;
    sg_fm *fm;
    sg_error err;

    make_choices(token, offsets);
    assert_int_equal(sg_fm_new(&fm, token, offsets, CHOICES, VOCAB, 0, &err), SG_OK);
    for (int whole = 0; whole <= 1; whole++) {
        assert_int_equal(sg_guide_fm(&g, fm, whole, &err), SG_OK);
        for (uint64_t turn = 0; turn < 10000; turn++) {
            const size_t n = wander(text, 8, g, turn);
            bool found = false;

            assert_true(n > 0);
            for (int k = 0; k < CHOICES && !found; k++)
                for (int64_t at = offsets[k]; at + (int64_t)n <= offsets[k + 1] && !found; at++)
                    found = memcmp(text, token + at, n * sizeof *text) == 0 &&
                            (!whole || (at == offsets[k] && at + (int64_t)n == offsets[k + 1]));
            assert_true(found);
        }
        sg_guide_free(g);
    }
    sg_fm_free(fm);
}

/* A byte a token, so that every byte can be written: GPT-2's letters for them. */
static sg_tokenizer *open_bytes(void)
{
    json_t *vocab = json_object(), *root;
    sg_tokenizer *t;
    char *text;
    sg_error err;

    for (int b = 0, more = 256; b < 256; b++) {
        const bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        const int c = plain ? b : more++;
        const char spelling[] = {c < 128 ? (char)c : (char)(0xc0 | c >> 6),
                                 c < 128 ? 0 : (char)(0x80 | (c & 63)), 0};

        json_object_set_new(vocab, spelling, json_integer(b));
    }
    json_object_set_new(vocab, "tru", json_integer(256));
    json_object_set_new(
        vocab, "\":\"",
        json_integer(257)); /* through the end of a string, and two spaces that JSON allows and we do not */
    json_object_set_new(vocab, "\xc4\xa0\xc4\xa0", json_integer(258));
    root = json_pack("{s:{s:s, s:o, s:[]}, s:{s:s}, s:{s:s, s:b}}", "model", "type", "BPE", "vocab", vocab,
                     "merges", "decoder", "type", "ByteLevel", "pre_tokenizer", "type", "ByteLevel",
                     "add_prefix_space", 0);
    text = json_dumps(root, 0);
    if (sg_tokenizer_from_json(&t, (sg_bytes){text, strlen(text)}, "bytes", &err))
        fail_msg("%s", err.message);
    free(text);
    json_decref(root);
    return t;
}

static json_t *parse(const char *text)
{
    json_t *root;
    sg_error err;

    if (sg_json_parse(&root, (sg_bytes){text, strlen(text)}, "test", &err))
        fail_msg("%s: %s", text, err.message);
    return root;
}

static sg_guide *schema_of(const char *text, const sg_tokenizer *t)
{
    json_t *root = parse(text);
    sg_guide *g;
    sg_error err;

    if (sg_guide_schema(&g, root, t, "schema.json", &err))
        fail_msg("%s", err.message);
    json_decref(root);
    return g;
}

static const char schema[] =
    "{\"type\": \"object\", \"title\": \"x\", \"properties\": {\"na\\\"me\": {\"type\": \"string\", "
    "\"minLength\": 1, \"maxLength\": 6},"
    "\"kind\": {\"enum\": [\"a b\", 7, null, [1, {\"z\": false}]]}, \"stars\": {\"type\": \"integer\", "
    "\"minimum\": -1, \"maximum\": 12},"
    "\"size\": {\"type\": \"number\"}, \"n\": {\"type\": [\"integer\", \"null\"], \"minimum\": 0},"
    "\"list\": {\"type\": \"array\", \"items\": {\"type\": \"boolean\"}, \"minItems\": 1, \"maxItems\": 3},"
    "\"any\": {\"type\": \"array\", \"items\": {\"anyOf\": [{\"type\": \"number\", \"minimum\": 0}, "
    "{\"type\": \"object\", \"properties\": {}}]}}},"
    "\"required\": [\"kind\", \"list\"]}";

static void check_answer(const json_t *root)
{
    static const char *const kinds[] = {"\"a b\"", "7", "null", "[1,{\"z\":false}]"};
    const json_t *name = json_object_get(root, "na\"me"), *stars = json_object_get(root, "stars"),
                 *list = json_object_get(root, "list");
    char *kind = json_dumps(json_object_get(root, "kind"), JSON_ENCODE_ANY | JSON_COMPACT);
    int known = 0;
    size_t i;
    const json_t *v;

    for (size_t k = 0; k < 4; k++)
        known += kind && strcmp(kind, kinds[k]) == 0;
    assert_int_equal(known, 1);
    free(kind);
    if (name) {
        size_t characters = 0;

        for (const char *p = json_string_value(name); *p; p++)
            characters += (*p & 0xc0) != 0x80;
        assert_in_range(characters, 1, 6);
    }
    if (stars)
        assert_true(json_is_integer(stars) && json_integer_value(stars) >= -1 &&
                    json_integer_value(stars) <= 12);
    assert_true(!json_object_get(root, "size") || json_is_number(json_object_get(root, "size")));
    if (json_object_get(root, "n"))
        assert_true(json_is_null(json_object_get(root, "n")) ||
                    json_integer_value(json_object_get(root, "n")) >= 0);
    assert_in_range(json_array_size(list), 1, 3);
    json_array_foreach(list, i, v) assert_true(json_is_boolean(v));
    json_array_foreach(json_object_get(root, "any"), i, v)
        assert_true(json_is_object(v) ? json_object_size(v) == 0 : json_number_value(v) >= 0);
}

static void guided_texts_fit_a_schema(void **state)
{
    (void)state;
    enum { MOST = 4000 };
    static int32_t text[MOST];
    sg_tokenizer *t = open_bytes();
    sg_guide *g = schema_of(schema, t);
    int members[8] = {0};

    for (uint64_t turn = 0; turn < 10000; turn++) {
        const size_t n = wander(text, MOST, g, turn);
        sg_buf spelling = {0};
        json_t *root;
        sg_error err;

        assert_int_equal(sg_tokenizer_decode(&spelling, t, text, n, false, &err), SG_OK);
        if (sg_json_parse(&root, (sg_bytes){spelling.data, spelling.size}, "answer", &err))
            fail_msg("%s: %s", spelling.data, err.message);
        check_answer(root);
        members[json_object_size(root)]++;
        json_decref(root);
        sg_buf_free(&spelling);
    }
    assert_true(members[2] > 0 && members[7] > 0); /* none of those that may be left out, and all */
    sg_guide_free(g);
    sg_tokenizer_close(t);
}

/* SentencePiece's form: words of ASCII, and <0xXX> for each byte. */
static sg_tokenizer *open_fallback(void)
{
    json_t *vocab = json_object(), *root;
    sg_tokenizer *t;
    char *text, spelling[8];
    sg_error err;

    for (int b = 0; b < 256; b++) {
        snprintf(spelling, sizeof spelling, "<0x%02X>", (unsigned)b);
        json_object_set_new(vocab, spelling, json_integer(b));
    }
    for (int c = '!', more = 256; c <= '~'; c++)
        json_object_set_new(vocab, (char[]){(char)c, 0}, json_integer(more++));
    json_object_set_new(vocab, "\xe2\x96\x81", json_integer(256 + '~' - '!' + 1));
    root = json_pack("{s:{s:s, s:o, s:[], s:b}, s:{s:s, s:[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]}}", "model",
                     "type", "BPE", "vocab", vocab, "merges", "byte_fallback", 1, "decoder", "type",
                     "Sequence", "decoders", "type", "Replace", "pattern", "String", "\xe2\x96\x81",
                     "content", " ", "type", "ByteFallback", "type", "Fuse");
    text = json_dumps(root, 0);
    if (sg_tokenizer_from_json(&t, (sg_bytes){text, strlen(text)}, "fallback", &err))
        fail_msg("%s", err.message);
    free(text);
    json_decref(root);
    return t;
}

/* Characters that are several tokens, none of which is one: in values, in names, and counted. */
static void characters_may_be_several_tokens(void **state)
{
    (void)state;
    static const char want[] = "{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\xe6\x9d\xb1\"}";
    sg_tokenizer *tokenizers[] = {open_bytes(), open_fallback()};

    for (size_t k = 0; k < 2; k++) {
        const sg_tokenizer *t = tokenizers[k];
        sg_guide *g = schema_of("{\"type\": \"object\", \"properties\": {\"\xc3\xa9\": {\"enum\": "
                                "[\"\xf0\x9f\x98\x80\xe6\x9d\xb1\"]}},"
                                "\"required\": [\"\xc3\xa9\"]}",
                                t);
        int32_t text[200];
        sg_error err;

        for (uint64_t turn = 0; turn < 50; turn++) {
            const size_t n = wander(text, 200, g, turn);
            sg_buf spelling = {0};
            size_t size = 0;

            assert_int_equal(sg_tokenizer_decode(&spelling, t, text, n, false, &err), SG_OK);
            for (size_t i = 0; i < spelling.size; i++) /* a space may stand behind ':' */
                if (spelling.data[i] != ' ')
                    spelling.data[size++] = spelling.data[i];
            assert_int_equal(size, strlen(want));
            assert_memory_equal(spelling.data, want, size);
            sg_buf_free(&spelling);
            for (size_t i = 0; i < n && k == 1; i++) /* a character that is a token is written as one */
                assert_true(text[i] >= 128);
        }
        sg_guide_free(g);
        g = schema_of("{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}", t);
        int longest = 0;
        for (uint64_t turn = 0; turn < 3000; turn++) {
            const size_t n = wander(text, 200, g, turn);
            sg_buf spelling = {0};
            json_t *root;
            int characters = 0, bytes = 0;

            assert_int_equal(sg_tokenizer_decode(&spelling, t, text, n, false, &err), SG_OK);
            if (sg_json_parse(&root, (sg_bytes){spelling.data, spelling.size}, "answer", &err))
                fail_msg("%s: %s", spelling.data, err.message);
            for (const char *p = json_string_value(root); *p; p++, bytes++)
                characters += (*p & 0xc0) != 0x80;
            assert_in_range(characters, 2, 3);
            assert_null(strstr(json_string_value(root), "\xef\xbf\xbd"));
            longest = bytes > longest ? bytes : longest;
            json_decref(root);
            sg_buf_free(&spelling);
        }
        assert_true(longest > 3); /* not ASCII alone */
        sg_guide_free(g);
        sg_tokenizer_close(tokenizers[k]);
    }
}

/* A type beside values or ways that are of it anyway changes nothing. */
static void a_type_may_say_it_again(void **state)
{
    (void)state;
    sg_tokenizer *t = open_bytes();

    sg_guide_free(schema_of(
        "{\"enum\": [1, 2, null], \"type\": [\"number\", \"null\"], \"title\": \"x\", \"default\": 1}", t));
    sg_guide_free(schema_of("{\"const\": [], \"type\": \"array\"}", t));
    sg_guide_free(schema_of(
        "{\"anyOf\": [{\"type\": \"integer\"}, {\"type\": [\"null\"]}], \"type\": [\"number\", \"null\"]}",
        t));
    sg_tokenizer_close(t);
}

/* What a schema does not say in its subset is an error, not ignored. */
static void schemas_that_are_not_known_are_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"[1]", "expected an object"},
        {"{}", "expected a type, enum, const or anyOf"},
        {"{\"type\": \"text\"}",
         "expected a type string, integer, number, boolean, null, array or object, found text"},
        {"{\"type\": \"string\", \"pattern\": \"a\"}", "not supported: pattern"},
        {"{\"$ref\": \"#\"}", "not supported: $ref"},
        {"{\"type\": \"array\"}", "expected items of an array"},
        {"{\"type\": \"array\", \"items\": {\"type\": \"null\"}, \"minItems\": 3, \"maxItems\": 2}",
         "expected maxItems not below minItems"},
        {"{\"type\": \"string\", \"minLength\": -1}", "expected an integer from 0 to 4096 as minLength"},
        {"{\"type\": \"string\", \"minLength\": 2, \"maxLength\": 1}",
         "expected maxLength not below minLength"},
        {"{\"type\": \"integer\", \"minimum\": 1}", "a minimum other than 0 needs a maximum"},
        {"{\"type\": \"integer\", \"maximum\": 5}", "a maximum needs a minimum, at most 1000 below it"},
        {"{\"type\": \"integer\", \"minimum\": 0.5}", "expected integers as minimum and maximum"},
        {"{\"type\": \"number\", \"maximum\": 5}", "a number may have a minimum of 0, no other bound"},
        {"{\"enum\": []}", "expected a list with something in it: enum"},
        {"{\"anyOf\": [{\"type\": \"integer\"}], \"minimum\": 0, \"maximum\": 1}",
         "not supported together: anyOf and minimum"},
        {"{\"anyOf\": [{\"type\": \"integer\"}], \"type\": \"string\"}",
         "expected each way to be of the type beside anyOf"},
        {"{\"oneOf\": [{\"enum\": [1]}], \"type\": \"integer\"}",
         "expected each way to be of the type beside oneOf"},
        {"{\"anyOf\": [{\"type\": [\"null\", \"number\"]}], \"type\": [\"null\", \"integer\"]}",
         "expected each way to be of the type beside anyOf"},
        {"{\"enum\": [\"a\", \"bc\"], \"type\": \"string\", \"maxLength\": 1}",
         "not supported together: enum and maxLength"},
        {"{\"enum\": [\"a\", 1.5], \"type\": [\"string\", \"integer\"]}",
         "the type does not hold all values of enum"},
        {"{\"const\": true, \"type\": \"null\"}", "the type does not hold all values of const"},
        {"{\"const\": 1, \"enum\": [2]}", "not supported together: const and enum"},
        {"{\"type\": \"object\", \"required\": [\"a\"]}", "required: expected names of properties"},
        {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}}, \"required\": \"a\"}",
         "required: expected a list of names of properties"},
        {"{\"type\": \"array\", \"maxItems\": 4096, \"minItems\": 4096, \"items\": {\"type\": \"string\", "
         "\"maxLength\": 4096}}",
         "too large"},
    };
    sg_tokenizer *t = open_bytes();

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *root = parse(rows[i][0]);
        char want[300];
        sg_guide *g;
        sg_error err;

        snprintf(want, sizeof want, "schema.json: schema: %s", rows[i][1]);
        assert_int_equal(sg_guide_schema(&g, root, t, "schema.json", &err), SG_ERR_FORMAT);
        assert_string_equal(err.message, want);
        json_decref(root);
    }
    sg_tokenizer_close(t);
}

/* Vectors of an adapter in front of every text, more than a page of them: what is written together is what is written alone, and each
 * token is the likeliest one of the graph that learned the vectors. */
static void an_adapters_vectors_stand_in_front(void **state)
{
    (void)state;
    enum { SOFT = 21, FEW = 4, MOST = SOFT + PLACES };
    const sg_adapter_config config = {.kind = SG_ADAPTER_PROMPT, .tokens = SOFT};
    sg_token_list prompt[FEW];
    sg_generate_config c;
    sg_answer all[FEW];
    sg_adapter *a;
    sg_decoder *d;
    sg_llama *m = open_model("llama");
    sg_graph *g;
    sg_desk *desk;
    int text, other, known;
    sg_error err;

    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.length = 10;
    assert_int_equal(sg_decoder_new(&d, m, &(sg_decoder_spec){.learn_from = 2}, NULL, &err), SG_OK);
    assert_int_equal(sg_adapter_new(&a, &config, (sg_adapter_host[]){sg_llama_host(m)}, d->words, 7, &err),
                     SG_OK);
    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    make_prompts(prompt, FEW, 17); /* shared: they are read once */
    sg_llama_adapt(m, a);
    assert_int_equal(sg_llama_desk(&desk, m, PLACES, NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "expected room for 1 to 43 tokens, as many as the model knows, found 64");
    for (int beam = 1; beam < 4; beam += 2) {
        sg_generate_report report;

        c.beam = beam;
        memset(all, 0, sizeof all);
        assert_int_equal(sg_llama_desk(&desk, m, sg_llama_places(m), NULL, &err), SG_OK);
        for (int i = 0; i < FEW; i++)
            prompt[i].n = prompt[i].n < 30 ? prompt[i].n : 30;
        assert_int_equal(
            sg_generate(all, &report, &(sg_generate_job){desk, prompt, FEW, -1, NULL, NULL}, &c, NULL, &err),
            SG_OK);
        for (int i = 0; i < FEW; i++) {
            const sg_token_list *w = &all[i].text[0].tokens;
            const int n = SOFT + (int)prompt[i].n + (int)w->n;
            int32_t id[MOST] = {0}, at[MOST], target[MOST];
            const int32_t offsets[2] = {0, n};
            double logp = 0;

            for (int t = 0; t < n; t++) {
                at[t] = t < SOFT ? t : -1;
                target[t] = -1;
            }
            memcpy(id + SOFT, prompt[i].id, prompt[i].n * sizeof *id);
            memcpy(id + SOFT + prompt[i].n, w->id, w->n * sizeof *id);
            for (int t = SOFT + (int)prompt[i].n - 1; t + 1 < n + all[i].text[0].ended; t++)
                target[t] = t + 1 < n ? id[t + 1] : desk->ends.id[0];
            sg_graph_begin(g, SG_INFER, 1, 1);
            const sg_decoder_batch b = {
                .n = n, .batch = 1, .id = id, .offsets = offsets, .soft = sg_leaf(g, a->soft), .soft_at = at};
            sg_tensor *x = sg_decoder_states(g, d, &b, 2);
            assert_int_equal(sg_graph_status(g, &err), SG_OK);
            for (int t = 0; t < n; t++) {
                float logits[VOCAB];
                int best = 0;

                for (int v = 0; v < VOCAB; v++) {
                    logits[v] = 0;
                    for (int k = 0; k < d->config.dim; k++)
                        logits[v] += x->data[t * d->config.dim + k] * d->output->value[v * d->config.dim + k];
                    best = logits[v] > logits[best] ? v : best;
                }
                if (target[t] < 0)
                    continue;
                logp += sg_token_logp(logits, VOCAB, target[t]);
                assert_true(beam > 1 || logits[target[t]] >= logits[best] - 1e-4f);
            }
            assert_true(fabs(logp - all[i].text[0].logp) < 1e-4); /* f32 sums of two layers */
            sg_answer_free(&all[i]);
        }
        sg_desk_free(desk);
    }
    assert_int_equal(sg_llama_desk(&desk, m, 43, NULL, &err), SG_OK);
    assert_int_equal(sg_desk_begin(desk, &text, &known, prompt[0].id, 10, &err), SG_OK);
    assert_int_equal(known, 0);
    assert_int_equal(sg_desk_read(desk, &(sg_piece){.text = text, .id = prompt[0].id, .n = 10}, 1, &err),
                     SG_OK);
    assert_int_equal(sg_desk_begin(desk, &other, &known, prompt[0].id, 10, &err), SG_OK);
    assert_int_equal(known, 9);
    sg_desk_cut(desk, text, 0);
    assert_int_equal(sg_desk_read(desk, &(sg_piece){.text = text, .id = prompt[0].id, .n = 44}, 1, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message, "expected at most 43 tokens more, room was made for 43, found 44");
    sg_desk_free(desk);
    free_prompts(prompt, FEW);
    sg_graph_free(g);
    sg_adapter_free(a);
    sg_decoder_free(d);
    sg_llama_close(m);
}

static void errors(void **state)
{
    (void)state;
    sg_llama *m = open_model("llama");
    sg_desk *d = open_desk(m, NULL);
    int32_t id[PLACES] = {5};
    sg_token_list prompt = {id, 0, 0};
    sg_generate_report report;
    sg_generate_config c;
    sg_answer a = {0};
    sg_error err;
    const sg_generate_job job = {d, &prompt, 1, -1, NULL, NULL};

    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    assert_int_equal(sg_generate(&a, &report, &job, &c, NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "expected a prompt, found nothing");
    prompt.n = PLACES;
    assert_int_equal(sg_generate(&a, &report, &job, &c, NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "prompt: expected fewer tokens than the 64 that there is room for, found 64");
    prompt.n = 3;
    c.beam = 2;
    c.temperature = 1;
    assert_int_equal(sg_generate(&a, &report, &job, &c, NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "beam: expected 1 with a temperature, found 2");
    c.beam = 1;
    id[2] = VOCAB;
    assert_int_equal(sg_generate(&a, &report, &job, &c, NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "token 2: expected a number below 40, found 40");
    sg_desk_free(d);
    sg_llama_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_do_not_depend_on_what_is_written_beside_them),
        cmocka_unit_test(pasts_are_shared_without_a_trace),
        cmocka_unit_test(beams_find_the_best_choices),
        cmocka_unit_test(beams_find_the_best_texts),
        cmocka_unit_test(guided_texts_are_choices),
        cmocka_unit_test(guided_texts_are_parts_of_items),
        cmocka_unit_test(guided_texts_fit_a_schema),
        cmocka_unit_test(all_tokens_that_end_a_text_do),
        cmocka_unit_test(characters_may_be_several_tokens),
        cmocka_unit_test(a_type_may_say_it_again),
        cmocka_unit_test(schemas_that_are_not_known_are_refused),
        cmocka_unit_test(an_adapters_vectors_stand_in_front),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
