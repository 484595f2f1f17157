/* retrieve.c - retrieval with a wide beam is scoring everything there is; what is written stands in the documents; odd titles and queries. */
#include "base/alloc.h"
#include "base/rng.h"
#include "lm/retrieve.h"
#include "lm/t5.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    PLACES = 64,
    TOKENS = 40,
    DOCUMENTS = 30,
    QUERIES = 5,
    WORDS = 150 /* many: a string that stands once is rarer than the model thinks */
};

static sg_llama *m;
static const char *const queries[QUERIES] = {"abc", "the cat. A dog?", "", "z", "bc ab <|im_end|>"};

static int setup(void **state)
{
    sg_error err;

    (void)state;
    return sg_llama_open(&m, TEST_SOURCE_DIR "/tests/parity/llama", &err);
}

static int teardown(void **state)
{
    (void)state;
    sg_llama_close(m);
    return 0;
}

static sg_bytes bytes_of(const char *s)
{
    return (sg_bytes){s, strlen(s)};
}

typedef struct library { /* documents of a few letters */
    char room[2 * DOCUMENTS][3 * WORDS + 1];
    sg_bytes title[DOCUMENTS], text[DOCUMENTS];
    sg_documents d;
} library;

static void make_text(char *to, int words, int letters, uint64_t a)
{
    for (int i = 0; i < words; i++) {
        if (i)
            *to++ = ' ';
        for (uint64_t k = 0; k < 1 + sg_rng_below(2, 1, SG_RNG_TEST, a, (uint64_t)i * 10 + 5); k++)
            *to++ = (char)('a' + sg_rng_below((uint64_t)letters, 1, SG_RNG_TEST, a, (uint64_t)i * 10 + k));
    }
    *to = 0;
}

/* Some titles are the same, some are the beginning of others, some are empty. */
static void make_library(library *l)
{
    for (int i = 0; i < DOCUMENTS; i++) {
        make_text(l->room[2 * i], (int)sg_rng_below(4, 2, SG_RNG_TEST, 0, (uint64_t)i), 3, (uint64_t)i);
        make_text(l->room[2 * i + 1], (int)sg_rng_below(WORDS + 1, 2, SG_RNG_TEST, 1, (uint64_t)i), 26,
                  1000 + (uint64_t)i);
        l->title[i] = bytes_of(l->room[2 * i]);
        l->text[i] = bytes_of(l->room[2 * i + 1]);
    }
    l->title[7] = bytes_of(" \n "); /* says nothing, either */
    l->title[9] = l->title[8] = bytes_of("a\t b");
    l->title[10] = bytes_of("a b"); /* white space is one space */
    l->d = (sg_documents){l->title, l->text, DOCUMENTS, NULL};
}

static void retrieve(sg_found *out, const library *l, sg_retrieve_by by, const sg_bytes *query, int n,
                     int threads, const sg_retrieve_config *c)
{
    sg_retrieve_report report;
    sg_retriever *r;
    sg_desk *desk;
    sg_pool *pool;
    sg_error err;

    memset(out, 0, (size_t)n * sizeof *out);
    assert_int_equal(sg_pool_new(&pool, threads, &err), SG_OK);
    assert_int_equal(sg_llama_desk(&desk, m, PLACES, pool, &err), SG_OK);
    if (sg_retriever_new(&r, &l->d, by, sg_llama_tokenizer(m), NULL, &err) ||
        sg_retrieve(out, &report, r, desk, query, n, c, NULL, &err))
        fail_msg("%s", err.message);
    sg_retriever_free(r);
    sg_desk_free(desk);
    sg_pool_free(pool);
}

static void found_free(sg_found *f, int n)
{
    for (int i = 0; i < n; i++)
        sg_free(f[i].hit);
}

static void defaults(sg_retrieve_config *c)
{
    sg_options_init(c, sg_retrieve_options, sg_n_retrieve_options);
}

/* ---- by reading everything --------------------------------------------------------------------------------------------------- */
static void tokens_of(sg_token_list *out, sg_bytes text)
{
    sg_buf line = {0};
    sg_error err;

    out->n = 0;
    sg_retrieve_completion(&line, text);
    if (line.size)
        assert_int_equal(sg_bare_tokens(out, sg_llama_tokenizer(m), (sg_bytes){line.data, line.size}, &err),
                         SG_OK);
    sg_buf_free(&line);
}

/* log p of n tokens after the query's prompt; ends: and of the end behind them. */
static double read_logp(sg_retrieve_by by, const char *query, const int32_t *id, size_t n, bool ends)
{
    sg_token_list prompt = {0};
    sg_buf text = {0};
    double logp[PLACES], sum = 0;
    int32_t all[PLACES];
    sg_reading *r;
    sg_error err;

    sg_retrieve_prompt(&text, by, bytes_of(query));
    assert_int_equal(
        sg_text_tokens(&prompt, sg_llama_tokenizer(m), (sg_bytes){text.data, text.size}, true, &err), SG_OK);
    assert_int_equal(sg_reading_new(&r, m, PLACES, NULL, &err), SG_OK);
    assert_int_equal(sg_reading_feed(r, prompt.id, (int)prompt.n - 1, NULL, &err), SG_OK);
    all[0] = prompt.id[prompt.n - 1];
    memcpy(all + 1, id, n * sizeof *id);
    all[n + 1] = 1;
    assert_int_equal(sg_reading_score(r, all, (int)n + 1 + ends, logp, &err), SG_OK);
    for (size_t i = 1; i < n + 1 + ends; i++)
        sum += logp[i];
    sg_reading_free(r);
    sg_buf_free(&text);
    sg_free(prompt.id);
    return sum;
}

static void a_wide_beam_of_titles_scores_all_of_them(void **state)
{
    (void)state;
    library l;
    sg_retrieve_config c;
    sg_found found[QUERIES];
    sg_bytes query[QUERIES];
    sg_token_list t = {0};

    make_library(&l);
    defaults(&c);
    c.beam = DOCUMENTS;
    for (int q = 0; q < QUERIES; q++)
        query[q] = bytes_of(queries[q]);
    retrieve(found, &l, SG_BY_TITLE, query, QUERIES, 1, &c);
    for (int q = 0; q < QUERIES; q++) {
        int titled = 0;

        for (int32_t d = 0; d < DOCUMENTS; d++) {
            int at = 0;

            tokens_of(&t, l.title[d]);
            titled += t.n > 0;
            while (at < found[q].n && found[q].hit[at].document != d)
                at++;
            assert_int_equal(at<found[q].n, t.n> 0);
            if (t.n)
                assert_true(fabs(found[q].hit[at].score -
                                 read_logp(SG_BY_TITLE, queries[q], t.id, t.n, true) / (double)t.n) < 1e-5);
        }
        assert_int_equal(found[q].n, titled);
        for (int i = 1; i < titled; i++)
            assert_true(found[q].hit[i].score <= found[q].hit[i - 1].score);
        for (int i = 0; i < titled; i++)
            if (found[q].hit[i].document == 8) { /* three documents with one title, in their order */
                assert_int_equal(found[q].hit[i + 1].document, 9);
                assert_int_equal(found[q].hit[i + 2].document, 10);
            }
    }
    sg_free(t.id);
    found_free(found, QUERIES);
}

enum { STRINGS_MOST = 2000 };
typedef struct strings {
    sg_gram gram[STRINGS_MOST];
    int n;
} strings;

/* Every string of one or two tokens that stands in a part, each once. */
static void all_strings(strings *s, const int32_t *token, const int64_t *offsets, const char *query)
{
    s->n = 0;
    for (int p = 0; p < 2 * DOCUMENTS; p++)
        for (int64_t at = offsets[p]; at < offsets[p + 1]; at++)
            for (int32_t n = 1; n <= 2 && at + n <= offsets[p + 1]; n++) {
                bool known = false;

                for (int i = 0; i < s->n && !known; i++)
                    known = s->gram[i].n == n &&
                            memcmp(s->gram[i].token, token + at, (size_t)n * sizeof *token) == 0;
                if (!known)
                    s->gram[s->n++] =
                        (sg_gram){.token = token + at,
                                  .n = n,
                                  .logp = read_logp(SG_BY_SUBSTRING, query, token + at, (size_t)n, false)};
            }
}

/* sg_evidence_rank has its own brute force in tests/unit/evidence.c. */
static void a_wide_beam_of_strings_knows_all_of_them(void **state)
{
    (void)state;
    static strings s;
    library l;
    sg_retrieve_config c;
    sg_token_list all = {0}, t = {0};
    int64_t offsets[2 * DOCUMENTS + 1] = {0};
    sg_evidence *e;
    sg_fm *fm;
    sg_error err;

    make_library(&l);
    for (int p = 0; p < 2 * DOCUMENTS; p++) {
        tokens_of(&t, p % 2 ? l.text[p / 2] : l.title[p / 2]);
        assert_true(sg_grow(&all.id, &all.cap, all.n + t.n + 1, sizeof *all.id));
        if (t.n)
            memcpy(all.id + all.n, t.id, t.n * sizeof *t.id);
        all.n += t.n;
        offsets[p + 1] = (int64_t)all.n;
    }
    assert_int_equal(sg_fm_new(&fm, all.id, offsets, 2 * DOCUMENTS, TOKENS, 0, &err), SG_OK);
    assert_int_equal(sg_evidence_new(&e, &(sg_shelf){fm, offsets, DOCUMENTS, 2}, &err), SG_OK);
    for (int q = 0; q < QUERIES; q++) {
        const sg_bytes query = bytes_of(queries[q]);
        sg_hit want[DOCUMENTS];
        int n;

        all_strings(&s, all.id, offsets, queries[q]);
        defaults(&c);
        c.beam = 900; /* more than there are */
        c.length = 2;
        assert_in_range(s.n, 500, 900);
        assert_int_equal(sg_evidence_rank(want, &n, e, s.gram, s.n,
                                          &(sg_evidence_how){c.alpha, c.beta, DOCUMENTS, c.frequent, NULL},
                                          &err),
                         SG_OK);
        for (c.unigrams = 0; c.unigrams < 200;
             c.unigrams += 100) { /* beams hold them already: they do not count twice */
            sg_found found;

            retrieve(&found, &l, SG_BY_SUBSTRING, &query, 1, 1, &c);
            assert_in_range(n, 20, DOCUMENTS);
            assert_int_equal(found.n, n);
            for (int i = 0; i < n; i++)
                assert_true(fabs(found.hit[i].score - want[i].score) <=
                            1e-3 * (1 + want[i].score)); /* log-probabilities in f32 */
            found_free(&found, 1);
        }
    }
    sg_evidence_free(e);
    sg_fm_free(fm);
    sg_free(all.id);
    sg_free(t.id);
}

static void a_query_finds_the_same_alone(void **state)
{
    (void)state;
    library l;
    sg_retrieve_config c;
    sg_bytes query[QUERIES];

    make_library(&l);
    for (int q = 0; q < QUERIES; q++)
        query[q] = bytes_of(queries[q]);
    for (int by = 0; by < 2; by++) {
        sg_found one[QUERIES], all[QUERIES];

        defaults(&c);
        c.beam = 3;
        c.batch = 1;
        for (int q = 0; q < QUERIES; q++)
            retrieve(&one[q], &l, (sg_retrieve_by)by, &query[q], 1, 1, &c);
        for (int threads = 1; threads <= 2; threads++)
            for (c.batch = 1; c.batch <= 64; c.batch += 21) {
                retrieve(all, &l, (sg_retrieve_by)by, query, QUERIES, threads, &c);
                for (int q = 0; q < QUERIES; q++) {
                    assert_int_equal(all[q].n, one[q].n);
                    for (int i = 0; i < one[q].n; i++)
                        assert_true(all[q].hit[i].document == one[q].hit[i].document &&
                                    all[q].hit[i].score == one[q].hit[i].score);
                }
                found_free(all, QUERIES);
            }
        found_free(one, QUERIES);
    }
}

/* The likeliest half of what a query finds is deleted: a list as long as before has none of it, and the others as they were; by title
 * with the beams that theirs took, too. */
static void deleted_documents_are_never_found(void **state)
{
    (void)state;
    library l;
    sg_retrieve_config c;
    const sg_bytes query = bytes_of(queries[0]);

    make_library(&l);
    for (int by = 0; by < 2; by++) {
        uint8_t allow[DOCUMENTS];
        sg_found all, some;
        int at = 0;

        defaults(&c);
        c.beam = by == SG_BY_TITLE ? DOCUMENTS : 3;
        c.k = DOCUMENTS;
        retrieve(&all, &l, (sg_retrieve_by)by, &query, 1, 1, &c);
        assert_true(all.n > 10);
        memset(allow, 1, sizeof allow);
        for (int i = 0; i < all.n / 2; i++)
            allow[all.hit[i].document] = 0;
        l.d.allow = allow;
        c.k = 5;
        if (by == SG_BY_TITLE)
            c.beam = 5;
        retrieve(&some, &l, (sg_retrieve_by)by, &query, 1, 1, &c);
        assert_int_equal(some.n, 5);
        for (int i = 0; i < all.n && at < 5; i++)
            if (allow[all.hit[i].document]) {
                if (by == SG_BY_SUBSTRING ||
                    at == 0) /* five titles beside each other: no promise but of the best */
                    assert_true(some.hit[at].document == all.hit[i].document &&
                                some.hit[at].score == all.hit[i].score);
                at++;
            }
        for (int i = 0; i < 5; i++)
            assert_true(allow[some.hit[i].document]);
        l.d.allow = NULL;
        found_free(&all, 1);
        found_free(&some, 1);
    }
}

/* ---- what beams hold ------------------------------------------------------------------------------------------------------- */
typedef struct witness {
    const int32_t *token;
    const int64_t *offsets;
    int n, first, kept;
    double logp_first[TOKENS];
} witness;

static sg_status see_first(void *ctx, int prompt, const float *logits, sg_error *err)
{
    witness *w = ctx;

    (void)err;
    assert_int_equal(prompt, w->first);
    w->first++;
    for (int i = 0; i < TOKENS; i++)
        w->logp_first[i] = sg_token_logp(logits, TOKENS, i);
    return SG_OK;
}

static sg_status see_kept(void *ctx, int prompt, const sg_token_list *written, double logp, sg_error *err)
{
    witness *w = ctx;
    bool stands = false;

    (void)err;
    assert_int_equal(prompt, w->first - 1);
    assert_true(logp < 0);
    for (int p = 0; p < w->n && !stands; p++)
        for (int64_t at = w->offsets[p]; at + (int64_t)written->n <= w->offsets[p + 1] && !stands; at++)
            stands = memcmp(w->token + at, written->id, written->n * sizeof *written->id) == 0;
    assert_true(stands);
    if (written->n == 1)
        assert_true(fabs(logp - w->logp_first[written->id[0]]) < 1e-5);
    w->kept++;
    return SG_OK;
}

static void every_string_on_the_way_stands_in_the_documents(void **state)
{
    (void)state;
    enum { PARTS = 20, LONG = 15, PROMPTS = 8 };
    int32_t token[PARTS * LONG], id[PROMPTS][3];
    int64_t offsets[PARTS + 1];
    sg_token_list prompt[PROMPTS];
    sg_answer answer[PROMPTS] = {{0}};
    sg_generate_report report;
    sg_generate_config c;
    sg_guide *guide;
    sg_desk *desk;
    sg_fm *fm;
    sg_error err;

    for (int i = 0; i < PARTS * LONG; i++)
        token[i] = 2 + (int32_t)sg_rng_below(TOKENS - 2, 3, SG_RNG_TEST, 0, (uint64_t)i);
    for (int i = 0; i <= PARTS; i++)
        offsets[i] = i * LONG;
    for (int i = 0; i < PROMPTS; i++) {
        for (int k = 0; k < 3; k++)
            id[i][k] = (int32_t)sg_rng_below(TOKENS, 4, SG_RNG_TEST, (uint64_t)i, (uint64_t)k);
        prompt[i] = (sg_token_list){id[i], 3, 3};
    }
    witness w = {.token = token, .offsets = offsets, .n = PARTS};
    const sg_generate_watch watch = {.ctx = &w, .first = see_first, .kept = see_kept};
    assert_int_equal(sg_fm_new(&fm, token, offsets, PARTS, TOKENS, 0, &err), SG_OK);
    assert_int_equal(sg_guide_fm(&guide, fm, false, &err), SG_OK);
    assert_int_equal(sg_llama_desk(&desk, m, PLACES, NULL, &err), SG_OK);
    sg_options_init(&c, sg_generate_options, sg_n_generate_options);
    c.beam = 5;
    c.length = 10;
    c.batch = 1; /* one after the other: the witness knows which */
    assert_int_equal(sg_generate(answer, &report,
                                 &(sg_generate_job){desk, prompt, PROMPTS, -1, guide, &watch}, &c, NULL,
                                 &err),
                     SG_OK);
    assert_int_equal(w.first, PROMPTS);
    assert_true(w.kept == (int)report.tokens);
    assert_true(w.kept >= 5 * PROMPTS);
    for (int i = 0; i < PROMPTS; i++)
        sg_answer_free(&answer[i]);
    sg_guide_free(guide);
    sg_desk_free(desk);
    sg_fm_free(fm);
}

/* A T5 reads queries with its encoder: titles against reading each of them. */
static void encoders_read_queries(void **state)
{
    (void)state;
    sg_encode_how bare = {.bare = true, .literal = true};
    sg_token_list prompt = {0};
    sg_retrieve_report report;
    sg_retrieve_config c;
    sg_found found = {0};
    sg_encoder *e;
    sg_retriever *r;
    sg_desk *desk;
    library l;
    sg_buf text = {0};
    sg_t5 *t5;
    int titled = 0;
    sg_error err;

    make_library(&l);
    defaults(&c);
    c.beam = DOCUMENTS;
    const sg_bytes query = bytes_of("the cat in a hat");
    assert_int_equal(sg_t5_open(&t5, TEST_SOURCE_DIR "/tests/parity/t5", &err), SG_OK);
    assert_int_equal(sg_encoder_new(&e, sg_t5_tokenizer(t5), &err), SG_OK);
    assert_int_equal(sg_retriever_new(&r, &l.d, SG_BY_TITLE, sg_t5_tokenizer(t5), NULL, &err), SG_OK);
    assert_int_equal(sg_t5_desk(&desk, t5, sg_retrieve_length(r, &c) + 1, NULL, &err), SG_OK);
    if (sg_retrieve(&found, &report, r, desk, &query, 1, &c, NULL, &err))
        fail_msg("%s", err.message);
    sg_retrieve_prompt(&text, SG_BY_TITLE, query);
    assert_int_equal(
        sg_text_tokens(&prompt, sg_t5_tokenizer(t5), (sg_bytes){text.data, text.size}, true, &err), SG_OK);
    for (int32_t d = 0; d < DOCUMENTS; d++) {
        double logp[PLACES], sum = 0;
        int32_t id[PLACES];
        const int32_t *title = NULL;
        size_t n = 0;
        int at = 0, which, known;

        text.size = 0;
        sg_retrieve_completion(&text, l.title[d]);
        if (!text.size)
            continue;
        titled++;
        assert_int_equal(sg_encoder_run(&title, &n, e, (sg_bytes){text.data, text.size}, &bare, &err), SG_OK);
        id[0] = desk->start;
        memcpy(id + 1, title, n * sizeof *id);
        id[n + 1] = desk->ends.id[0];
        assert_int_equal(sg_desk_begin(desk, &which, &known, prompt.id, (int)prompt.n, &err), SG_OK);
        assert_int_equal(
            sg_desk_read(desk, &(sg_piece){.text = which, .id = id, .n = (int)n + 2, .logp = logp}, 1, &err),
            SG_OK);
        sg_desk_close(desk, which);
        for (size_t i = 1; i < n + 2; i++)
            sum += logp[i];
        while (at < found.n && found.hit[at].document != d)
            at++;
        assert_true(at < found.n && fabs(found.hit[at].score - sum / (double)n) < 1e-5);
    }
    assert_int_equal(found.n, titled);
    found_free(&found, 1);
    sg_free(prompt.id);
    sg_buf_free(&text);
    sg_encoder_free(e);
    sg_desk_free(desk);
    sg_retriever_free(r);
    sg_t5_close(t5);
}

/* ---- odd ones --------------------------------------------------------------------------------------------------------------- */
static void queries_of_any_length_are_read(void **state)
{
    (void)state;
    static char text[20000];
    library l;
    sg_retrieve_config c;
    sg_found found[3];
    const sg_bytes query[] = {{text, sizeof text}, {"\xff\xfe\x00 \n", 5}, {text, 44}};

    memset(text, 'q', sizeof text);
    make_library(&l);
    defaults(&c);
    for (int by = 0; by < 2; by++) {
        retrieve(found, &l, (sg_retrieve_by)by, query, 3, 1, &c);
        for (int q = 0; q < 3; q++)
            assert_true(found[q].n > 0);
        found_free(found, 3);
    }
    c.query_tokens = 20; /* both are cut to the same */
    retrieve(found, &l, SG_BY_TITLE, query, 3, 1, &c);
    assert_int_equal(found[0].n, found[2].n);
    for (int i = 0; i < found[0].n; i++)
        assert_true(found[0].hit[i].document == found[2].hit[i].document &&
                    found[0].hit[i].score == found[2].hit[i].score);
    found_free(found, 3);
}

static void says_what_is_missing(void **state)
{
    (void)state;
    const sg_bytes none[] = {{"", 0}, {"  ", 2}};
    const sg_bytes a = bytes_of("a");
    char text[200];
    sg_bytes title = {text, sizeof text};
    sg_retrieve_report report;
    sg_retrieve_config c;
    sg_found found = {0};
    sg_retriever *r;
    sg_desk *desk;
    sg_error err;

    assert_int_equal(sg_retriever_new(&r, &(sg_documents){none, none, 2, NULL}, SG_BY_TITLE,
                                      sg_llama_tokenizer(m), NULL, &err),
                     SG_ERR_FORMAT);
    assert_string_equal(err.message, "expected documents with titles, found none with one");
    assert_int_equal(sg_retriever_new(&r, &(sg_documents){none, none, 2, NULL}, SG_BY_SUBSTRING,
                                      sg_llama_tokenizer(m), NULL, &err),
                     SG_ERR_FORMAT);
    assert_string_equal(err.message, "expected documents with texts, found none with one");
    memset(text, 'a', sizeof text);
    assert_int_equal(sg_retriever_new(&r, &(sg_documents){&title, none, 1, NULL}, SG_BY_TITLE,
                                      sg_llama_tokenizer(m), NULL, &err),
                     SG_OK);
    assert_int_equal(sg_llama_desk(&desk, m, PLACES, NULL, &err), SG_OK);
    defaults(&c);
    assert_int_equal(sg_retrieve(&found, &report, r, desk, &a, 1, &c, NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "expected a model with room for more than 64 tokens, texts alone have 202");
    sg_desk_free(desk);
    sg_retriever_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wide_beam_of_titles_scores_all_of_them),
        cmocka_unit_test(a_wide_beam_of_strings_knows_all_of_them),
        cmocka_unit_test(deleted_documents_are_never_found),
        cmocka_unit_test(a_query_finds_the_same_alone),
        cmocka_unit_test(every_string_on_the_way_stands_in_the_documents),
        cmocka_unit_test(encoders_read_queries),
        cmocka_unit_test(queries_of_any_length_are_read),
        cmocka_unit_test(says_what_is_missing),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
