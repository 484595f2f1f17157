/* evidence.c - SEAL's weights and scores: worked out by hand, and against a computation that looks at every place of every document. */
#include "base/alloc.h"
#include "base/rng.h"
#include "lm/evidence.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PARTS = 2, DOCUMENTS = 40, LONGEST = 12, GRAMS = 25, GRAM_MOST = 4, TOKENS = 5 };

static void weights_are_log_odds(void **state)
{
    (void)state;
    /* p(g|q) = 1/4, p(g) = 1/10: log (1/4 9/10) / (1/10 3/4) = log 3 */
    assert_true(fabs(sg_gram_weight(log(0.25), 2, 20) - log(3)) < 1e-12);
    assert_true(fabs(sg_gram_weight(log(0.5), 1, 20) - log(19)) < 1e-12);
    assert_true(sg_gram_weight(log(0.04), 1, 20) == 0); /* less likely than without the query */
    assert_true(fabs(sg_gram_weight(log(0.05), 1, 20)) < 1e-12);
    assert_true(sg_gram_weight(0, 1, 20) > 10 && isfinite(sg_gram_weight(0, 1, 20)));
    assert_true(sg_gram_weight(log(0.5), 0, 20) == 0);
    assert_true(sg_gram_weight(log(0.5), 20, 20) == 0);
    assert_true(sg_gram_weight(log(0.5), 0, 0) == 0);
    assert_true(sg_gram_weight(-INFINITY, 1, 20) == 0);
    assert_true(sg_gram_weight((double)NAN, 1, 20) == 0);
}

typedef struct corpus {
    int32_t token[DOCUMENTS * PARTS * LONGEST];
    int64_t offsets[DOCUMENTS * PARTS + 1];
    int32_t n;
    sg_fm *fm;
    sg_evidence *e;
} corpus;

static void open_corpus(corpus *c, int32_t n_tokens)
{
    sg_error err;

    assert_int_equal(sg_fm_new(&c->fm, c->token, c->offsets, c->n * PARTS, n_tokens, 1, &err), SG_OK);
    assert_int_equal(sg_evidence_new(&c->e, &(sg_shelf){c->fm, c->offsets, c->n, PARTS}, &err), SG_OK);
}

static void close_corpus(corpus *c)
{
    sg_evidence_free(c->e);
    sg_fm_free(c->fm);
}

static void documents_add_up_what_does_not_overlap(void **state)
{
    (void)state;
    static const int32_t text[] = {1, 2, /**/ 3, 4, 5,  1,  2,  /**/ 6, /**/ 3, 4,
                                   1, 4, 7,      9, 10, 11, 12, 13,     14,     15};
    static const int32_t a[] = {3, 4}, b[] = {1, 2}, c[] = {4, 5}, d[] = {1}, e[] = {4, 7}, across[] = {2, 3};
    sg_gram gram[] = {
        {.token = a, .n = 2, .logp = log(0.25)}, /* twice: log 3 */
        {.token = b, .n = 2, .logp = log(0.5)},  /* twice: log 9 */
        {.token = c, .n = 2, .logp = log(0.4)},  /* once: log 38/3; in the way of a in the first document */
        {.token = d, .n = 1, .logp = log(0.3)},  /* three times: log 17/7; inside b in the first one */
        {.token = e, .n = 2, .logp = log(0.1)},  /* once: log 19/9; half of it is in a, which weighs more */
        {.token = across,
         .n = 2,
         .logp = log(0.9)}}; /* the end of a title and the beginning of its text: nowhere */
    corpus s = {.offsets = {0, 2, 7, 8, 20}, .n = 2};
    sg_hit hit[2];
    int n;
    sg_error err;

    memcpy(s.token, text, sizeof text);
    open_corpus(&s, 16);
    assert_int_equal(sg_evidence_rank(hit, &n, s.e, gram, 6, &(sg_evidence_how){1, 0.5, 2, 0, NULL}, &err),
                     SG_OK);
    assert_int_equal(n, 2);
    assert_int_equal(hit[0].document, 0);
    assert_true(fabs(hit[0].score - (log(38.0 / 3) + log(9))) < 1e-12);
    assert_int_equal(hit[1].document, 1);
    assert_true(fabs(hit[1].score - (log(3) + log(17.0 / 7) + 0.75 * log(19.0 / 9))) < 1e-12);
    assert_int_equal(sg_evidence_rank(hit, &n, s.e, gram, 6, &(sg_evidence_how){2, 0, 1, 0, NULL}, &err),
                     SG_OK); /* squares, tokens may repeat */
    assert_int_equal(n, 1);
    assert_true(fabs(hit[0].score - (pow(log(38.0 / 3), 2) + pow(log(9), 2))) < 1e-12);
    /* a, b and d stand in two places or more: they find nothing, and add to what c and e found */
    assert_int_equal(sg_evidence_rank(hit, &n, s.e, gram, 6, &(sg_evidence_how){1, 0.5, 2, 1, NULL}, &err),
                     SG_OK);
    assert_int_equal(n, 2);
    assert_true(fabs(hit[1].score - (log(3) + log(17.0 / 7) + 0.75 * log(19.0 / 9))) < 1e-12);
    for (int i = 0; i < 6; i++)
        if (gram[i].token == e)
            gram[i].logp = log(0.01);
    assert_int_equal(sg_evidence_rank(hit, &n, s.e, gram, 6, &(sg_evidence_how){1, 0.5, 2, 1, NULL}, &err),
                     SG_OK);
    assert_int_equal(n, 1); /* nothing rare leads to the second document any more */
    close_corpus(&s);
}

/* ---- brute force ------------------------------------------------------------------------------------------------------------ */
static bool stands(const corpus *s, const sg_gram *g, int64_t at, int64_t end)
{
    return at + g->n <= end && memcmp(s->token + at, g->token, (size_t)g->n * sizeof *g->token) == 0;
}

static double count(const corpus *s, const sg_gram *g)
{
    double sum = 0;

    for (int32_t p = 0; p < s->n * PARTS; p++)
        for (int64_t at = s->offsets[p]; at < s->offsets[p + 1]; at++)
            sum += stands(s, g, at, s->offsets[p + 1]);
    return sum;
}

/* gram: in the order of weights. */
static double score(const corpus *s, int32_t doc, const sg_gram *gram, int n, double alpha, double beta)
{
    bool taken[DOCUMENTS * PARTS * LONGEST] = {false}, seen[TOKENS] = {false};
    double sum = 0;

    for (int i = 0; i < n; i++) {
        const sg_gram *g = &gram[i];
        const double w = sg_gram_weight(g->logp, count(s, g), (double)s->offsets[s->n * PARTS]);
        bool counts = false, inside[TOKENS] = {false};
        int all = 0, fresh = 0;

        for (int pass = 0; pass < 2 && w > 0; pass++)
            for (int32_t p = doc * PARTS; p < (doc + 1) * PARTS; p++)
                for (int64_t at = s->offsets[p]; at < s->offsets[p + 1]; at++) {
                    bool clear = true;

                    if (!stands(s, g, at, s->offsets[p + 1]))
                        continue;
                    for (int32_t k = 0; k < g->n; k++)
                        clear &= !taken[at + k];
                    counts |= clear && pass == 0;
                    for (int32_t k = 0; k < g->n && counts && pass == 1; k++)
                        taken[at + k] = true;
                }
        if (!counts)
            continue;
        for (int32_t k = 0; k < g->n; k++)
            inside[g->token[k]] = true;
        for (int t = 0; t < TOKENS; t++) {
            all += inside[t];
            fresh += inside[t] && !seen[t];
            seen[t] |= inside[t];
        }
        sum += pow(w, alpha) * (1 - beta + beta * fresh / all);
    }
    return sum;
}

static uint64_t seed(void)
{
    const char *text = getenv("SEDGE_TEST_SEED");

    return text ? strtoull(text, NULL, 10) : 20240111;
}

static int32_t draw(int n, uint64_t a, uint64_t b)
{
    return (int32_t)sg_rng_below((uint64_t)n, seed(), SG_RNG_TEST, a, b);
}

static void make_corpus(corpus *s, uint64_t turn)
{
    int64_t at = 0;

    *s = (corpus){.n = 1 + draw(DOCUMENTS, turn, 0)};
    for (int32_t p = 0; p < s->n * PARTS; p++) {
        s->offsets[p] = at;
        for (int k = draw(LONGEST + 1, turn, 10 + (uint64_t)p); k > 0; k--, at++) /* some parts are empty */
            s->token[at] = draw(TOKENS, turn, 1000 + (uint64_t)at);
    }
    s->offsets[s->n * PARTS] = at;
    if (at == 0)
        make_corpus(s, turn + 1000);
}

static int make_grams(sg_gram *gram, int32_t *token, uint64_t turn)
{
    int n = 0;

    for (uint64_t i = 0; i < GRAMS; i++) {
        sg_gram g = {.token = token,
                     .n = 1 + draw(GRAM_MOST, turn, 20000 + i),
                     .logp = -0.1 - draw(50, turn, 21000 + i) / 20.0};
        bool known = false;

        for (int32_t k = 0; k < g.n; k++)
            token[k] = draw(TOKENS, turn, 22000 + i * 10 + (uint64_t)k);
        for (int k = 0; k < n && !known; k++)
            known = gram[k].n == g.n && memcmp(gram[k].token, g.token, (size_t)g.n * sizeof *token) == 0;
        if (!known)
            gram[n++] = g;
        token += g.n;
    }
    return n;
}

static void documents_are_those_of_brute_force(void **state)
{
    (void)state;
    for (uint64_t turn = 0; turn < 300; turn++) {
        static corpus s;
        const double alpha = 0.5 + draw(5, turn, 1) / 2.0, beta = draw(5, turn, 2) / 4.0;
        int32_t token[GRAMS * GRAM_MOST];
        sg_gram gram[GRAMS];
        sg_hit hit[DOCUMENTS];
        int n, found = 0;
        sg_error err;

        make_corpus(&s, turn);
        open_corpus(&s, TOKENS);
        const int grams = make_grams(gram, token, turn);
        assert_int_equal(sg_evidence_rank(hit, &n, s.e, gram, grams,
                                          &(sg_evidence_how){alpha, beta, DOCUMENTS, 0, NULL}, &err),
                         SG_OK);
        for (int i = 1; i < grams; i++)
            assert_true(gram[i].weight <= gram[i - 1].weight);
        for (int32_t d = 0; d < s.n; d++) {
            const double want = score(&s, d, gram, grams, alpha, beta);
            int at = 0;

            while (at < n && hit[at].document != d)
                at++;
            found += want > 0;
            if (want > 0)
                assert_true(at < n && fabs(hit[at].score - want) <= 1e-9 * want);
        }
        for (int i = 1; i < n; i++)
            assert_true(hit[i].score < hit[i - 1].score ||
                        (hit[i].score == hit[i - 1].score && hit[i].document > hit[i - 1].document));
        assert_int_equal(n, found);
        const int most = 1 + draw(DOCUMENTS, turn, 3); /* a shorter list is the beginning of the long one */
        sg_hit few[DOCUMENTS];
        int n_few;
        assert_int_equal(sg_evidence_rank(few, &n_few, s.e, gram, grams,
                                          &(sg_evidence_how){alpha, beta, most, 0, NULL}, &err),
                         SG_OK);
        assert_int_equal(n_few, most < n ? most : n);
        for (int i = 0; i < n_few; i++)
            assert_true(few[i].document == hit[i].document && few[i].score == hit[i].score);

        uint8_t allow[DOCUMENTS]; /* what is deleted is left out, and nothing else changes */
        int at = 0;
        for (int d = 0; d < DOCUMENTS; d++)
            allow[d] = draw(3, turn, 400 + (uint64_t)d) != 0;
        assert_int_equal(sg_evidence_rank(few, &n_few, s.e, gram, grams,
                                          &(sg_evidence_how){alpha, beta, most, 0, allow}, &err),
                         SG_OK);
        for (int i = 0; i < n && at < most; i++)
            if (allow[hit[i].document]) {
                assert_true(at < n_few && few[at].document == hit[i].document &&
                            few[at].score == hit[i].score);
                at++;
            }
        assert_int_equal(at, n_few);
        close_corpus(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_log_odds),
        cmocka_unit_test(documents_add_up_what_does_not_overlap),
        cmocka_unit_test(documents_are_those_of_brute_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
