/* lm.c - whichever allocation, open or read of a language model's files fails, in opening, embedding or writing: a clear error, no
 * leak. */
#include "faults.h"

#include "lm/retrieve.h"
#include "lm/sentence.h"
#include "lm/t5.h"

static const char *path;

static sg_status open_encoder(void *ctx, sg_error *err)
{
    sg_sentence *s;
    const sg_status st = sg_sentence_open(&s, path, err);

    (void)ctx;
    sg_sentence_close(s);
    return st;
}

static sg_status open_decoder(void *ctx, sg_error *err)
{
    sg_llama *m;
    const sg_status st = sg_llama_open(&m, path, err);

    (void)ctx;
    sg_llama_close(m);
    return st;
}

typedef struct parts {
    sg_llama_config config;
    sg_weights *weights;
} parts;

static sg_status load_decoder(void *ctx, sg_error *err)
{
    const parts *p = ctx;
    sg_llama *m;
    const sg_status st = sg_llama_over(&m, &p->config, p->weights, NULL, err);

    sg_llama_close(m);
    return st;
}

static enum { PREFIX, PROMPT, LAYERS, BOTH_WAYS } embeds; /* what embed does beside embedding */

static sg_status embed(void *ctx, sg_error *err)
{
    const sg_bytes text[3] = {{"a b c", 5}, {"", 0}, {"d", 1}};
    sg_sentence_config c;
    float *vectors = NULL;
    json_t *report = NULL;
    int32_t dim;
    sg_status st;

    sg_options_init(&c, sg_sentence_options, sg_n_sentence_options);
    snprintf(c.prefix, sizeof c.prefix, "%s", embeds == PREFIX ? "b " : "");
    snprintf(c.pooling, sizeof c.pooling, "%s", embeds == LAYERS ? "avg_top2" : "auto");
    c.both_ways = embeds == BOTH_WAYS;
    snprintf(c.precision, sizeof c.precision, "f32");
    st = sg_sentence_encode(&vectors, &dim, ctx, text, 3, &c, NULL, NULL, &report, err);
    if (!st)
        sg_free(vectors);
    json_decref(report);
    return st;
}

/* Ends where PCRE2 makes no machine code, as above. */
static sg_status turn_tokens(void *ctx, sg_error *err)
{
    const sg_turn turn = {"user", {"the", 3}};
    sg_token_list prompt = {0};
    const sg_status st = sg_chat_tokens(&prompt, ctx, &turn, 1, true, err);

    sg_free(prompt.id);
    return st;
}

/* Two texts at one desk, by beams or freely, held to a list or to a schema. */
typedef struct talk {
    sg_llama *m;
    int beam;
    bool choices, schema;
} talk;

static sg_status talk_on(void *ctx, sg_error *err)
{
    static const char text[] = "{\"type\": \"array\", \"items\": {\"type\": \"null\"}, \"maxItems\": 2}";
    static const int32_t token[] = {2, 3, 4, 2, 5, 6};
    static const int64_t offsets[] = {0, 3, 6};
    const talk *t = ctx;
    static int32_t ids[] = {5, 17, 3, 3, 29, 11, 0, 36, 8, 21, 5, 17, 3, 3, 29, 11, 0, 36, 8, 21};
    const sg_token_list prompt[2] = {{ids, 20, 20}, {ids, 19, 19}};
    sg_answer out[2] = {{0}};
    sg_generate_config c;
    sg_generate_report report;
    json_t *schema = json_loads(text, 0, NULL);
    sg_guide *guide = NULL;
    sg_desk *d = NULL;
    sg_status st;

    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.length = 5;
    c.beam = t->beam;
    if (!(st = t->choices ? sg_guide_choices(&guide, token, offsets, 2, err) : SG_OK) &&
        !(st = sg_llama_desk(&d, t->m, 60, NULL, err)))
        st = sg_generate(out, &report, &(sg_generate_job){d, prompt, 2, -1, guide, NULL}, &c, NULL, err);
    sg_guide_free(guide);
    guide = NULL;
    if (!st && t->schema &&
        !(st = sg_guide_schema(&guide, schema, sg_llama_tokenizer(t->m), "schema", err))) {
        const int32_t *id;
        int32_t n;
        bool ends;

        /* the small model has no brackets: nothing can follow, and that is said once all was found out */
        st = sg_guide_next(guide, &id, &n, &ends, guide->begin, err);
        st = st == SG_ERR_FORMAT ? SG_OK : st;
    }
    sg_guide_free(guide);
    for (int i = 0; i < 2; i++)
        sg_answer_free(&out[i]);
    sg_desk_free(d);
    json_decref(schema);
    return st;
}

/* Documents by their titles or by strings that stand in them. */
typedef struct library {
    sg_llama *m;
    sg_retrieve_by by;
    sg_retriever *r; /* to ask; NULL: made here, nothing is asked */
} library;

static sg_status read_library(sg_retriever **out, const library *l, sg_error *err)
{
    static const sg_bytes title[] = {{"a b", 3}, {"", 0}, {"a b", 3}},
                          text[] = {{"the cat", 7}, {"c", 1}, {"", 0}};

    return sg_retriever_new(out, &(sg_documents){title, text, 3, NULL}, l->by, sg_llama_tokenizer(l->m), NULL,
                            err);
}

static sg_status retrieve(void *ctx, sg_error *err)
{
    static const sg_bytes query[] = {{"cat", 3}, {"the cat and the dog and the cat and the dog", 43}};
    const library *l = ctx;
    sg_found found[2] = {{0}};
    sg_retrieve_report report;
    sg_retrieve_config c;
    sg_retriever *r = NULL;
    sg_desk *desk = NULL;
    sg_status st;

    sg_options_init(&c, sg_retrieve_options, sg_n_retrieve_options);
    c.beam = 2;
    c.length = 3;
    c.query_tokens = 40; /* the second one is cut */
    if (!l->r)
        st = read_library(&r, l, err);
    else if (!(st = sg_llama_desk(&desk, l->m, 60, NULL, err)))
        st = sg_retrieve(found, &report, l->r, desk, query, 2, &c, NULL, err);
    sg_retriever_free(r);
    sg_desk_free(desk);
    for (int i = 0; i < 2; i++)
        sg_free(found[i].hit);
    return st;
}

/* As faults_walk over allocations, and past those that PCRE2 does without: it then makes no machine code, and loses a block. */
static int walk_on(faults_operation *operation, void *ctx)
{
    for (int n = 1;; n++) {
        const int64_t live = sg_alloc_live();
        const uint64_t calls = sg_alloc_calls();
        sg_error err = {0};

        sg_alloc_fail_at((uint64_t)n);
        const sg_status st = operation(ctx, &err);
        sg_alloc_fail_at(0);
        if (st && (st != SG_ERR_MEMORY || strchr(err.message, '\n')))
            fail_msg("fault %d: status %d, '%s'", n, (int)st, err.message);
        if (st && sg_alloc_live() != live)
            fail_msg("fault %d leaks %d blocks: %s", n, (int)(sg_alloc_live() - live), err.message);
        if (sg_alloc_calls() - calls < (uint64_t)n)
            return n - 1;
    }
}

static sg_status open_t5(void *ctx, sg_error *err)
{
    sg_t5 *m;
    const sg_status st = sg_t5_open(&m, path, err);

    (void)ctx;
    sg_t5_close(m);
    return st;
}

static sg_status write_t5(void *ctx, sg_error *err)
{
    static int32_t ids[] = {5, 17, 3, 29, 11, 1};
    const sg_token_list prompt[2] = {{ids, 6, 6}, {ids, 5, 5}};
    sg_answer out[2] = {{0}};
    sg_generate_config c;
    sg_generate_report report;
    sg_desk *d = NULL;
    sg_status st;

    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.length = 4;
    c.beam = 2;
    if (!(st = sg_t5_desk(&d, ctx, 5, NULL, err)))
        st = sg_generate(out, &report, &(sg_generate_job){d, prompt, 2, -1, NULL, NULL}, &c, NULL, err);
    for (int i = 0; i < 2; i++)
        sg_answer_free(&out[i]);
    sg_desk_free(d);
    return st;
}

static void opening_survives_every_fault(void **state)
{
    (void)state;
    static const char *const encoders[] = {
        TEST_SOURCE_DIR "/tests/parity/bert", TEST_SOURCE_DIR "/tests/parity/roberta",
        TEST_SOURCE_DIR "/tests/parity/prompts", TEST_SOURCE_DIR "/tests/parity/bert.gguf"};
    static const char *const decoders[] = {TEST_SOURCE_DIR "/tests/parity/qwen2",
                                           TEST_SOURCE_DIR "/tests/parity/llama.gguf"};

    for (size_t i = 0; i < 4; i++) {
        path = encoders[i];
        assert_true(faults_walk(FAULTS_ALLOC, open_encoder, NULL, NULL) >= 50);
        assert_true(faults_walk(FAULTS_IO, open_encoder, NULL, NULL) >= (i < 3 ? 10 : 2));
    }
    for (size_t i = 0; i < 2; i++) {
        path = decoders[i];
        /* ends where PCRE2 makes no machine code and the pattern is interpreted: the weights have a walk of their own */
        assert_true(faults_walk(FAULTS_ALLOC, open_decoder, NULL, NULL) >= 40);
        assert_true(faults_walk(FAULTS_IO, open_decoder, NULL, NULL) >= 2);
    }
}

static void loading_weights_survives_every_fault(void **state)
{
    (void)state;
    static const char *const decoders[] = {TEST_SOURCE_DIR "/tests/parity/qwen2",
                                           TEST_SOURCE_DIR "/tests/parity/llama",
                                           TEST_SOURCE_DIR "/tests/parity/llama.gguf"};
    sg_error err;

    for (size_t i = 0; i < 3; i++) {
        sg_llama *m;
        parts p;

        assert_int_equal(sg_llama_open(&m, decoders[i], &err), SG_OK);
        p.config = *sg_llama_config_of(m);
        sg_llama_close(m);
        assert_int_equal(sg_weights_open(&p.weights, decoders[i], &err), SG_OK);
        assert_true(faults_walk(FAULTS_ALLOC, load_decoder, NULL, &p) >= 20);
        sg_weights_close(p.weights);
    }
}

static void work_survives_every_fault(void **state)
{
    (void)state;
    sg_sentence *s;
    sg_llama *m;
    sg_t5 *t5;
    sg_error err;

    embeds = PREFIX;
    path = TEST_SOURCE_DIR "/tests/parity/t5";
    assert_true(faults_walk(FAULTS_ALLOC, open_t5, NULL, NULL) >= 40);
    assert_true(faults_walk(FAULTS_IO, open_t5, NULL, NULL) >= 5);
    assert_int_equal(sg_t5_open(&t5, path, &err), SG_OK);
    assert_int_equal(write_t5(t5, &err), SG_OK); /* packs the weights once */
    assert_true(faults_walk(FAULTS_ALLOC, write_t5, NULL, t5) >= 30);
    assert_int_equal(sg_sentence_open(&s, path, &err), SG_OK); /* its encoder alone */
    assert_int_equal(embed(s, &err), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, embed, NULL, s) >= 8);
    sg_sentence_close(s);
    sg_t5_close(t5);

    path = TEST_SOURCE_DIR "/tests/parity/bert";
    assert_int_equal(sg_sentence_open(&s, path, &err), SG_OK);
    assert_int_equal(embed(s, &err), SG_OK); /* packs the weights once */
    assert_true(faults_walk(FAULTS_ALLOC, embed, NULL, s) >= 8);
    sg_sentence_close(s);
    for (int i = 0; i < 3;
         i++) { /* a prompt and lower case; states of two layers; a decoder that looks both ways */
        path = i == 0 ? TEST_SOURCE_DIR "/tests/parity/prompts" : TEST_SOURCE_DIR "/tests/parity/llama";
        embeds = i == 0 ? PROMPT : i == 1 ? LAYERS : BOTH_WAYS;
        assert_int_equal(sg_sentence_open(&s, path, &err), SG_OK);
        assert_int_equal(embed(s, &err), SG_OK);
        assert_true(faults_walk(FAULTS_ALLOC, embed, NULL, s) >= 8);
        sg_sentence_close(s);
    }
    path = TEST_SOURCE_DIR "/tests/parity/llama.gguf";
    assert_int_equal(sg_llama_open(&m, path, &err), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, turn_tokens, NULL, m) >= 8);
    for (int i = 0; i < 3; i++) {
        talk t = {m, i == 1 ? 3 : 1, i == 1, i == 2};

        assert_true(faults_walk(FAULTS_ALLOC, talk_on, NULL, &t) >= 20);
    }
    for (int by = 0; by < 2; by++) {
        library l = {m, (sg_retrieve_by)by, NULL};

        assert_true(walk_on(retrieve, &l) >= 20);
        assert_int_equal(read_library(&l.r, &l, &err), SG_OK);
        assert_true(walk_on(retrieve, &l) >= 20);
        sg_retriever_free(l.r);
    }
    sg_llama_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_survives_every_fault),
        cmocka_unit_test(loading_weights_survives_every_fault),
        cmocka_unit_test(work_survives_every_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
