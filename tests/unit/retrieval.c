/* retrieval.c - graded judgements and ranked lists: against a computation that looks at everything anew, and what a folder that was
 * tampered with is told. */
#include "folder.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "data/import_beir.h"
#include "eval/retrieval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { DOCS = 90, QUERIES = 40 };

/* Grade -1 .. 3 of a pair; INT32_MIN: not judged. Query 7 has many. */
static int32_t judged(int q, int d)
{
    const uint64_t x = sg_rng_below(100, 3, SG_RNG_TEST, (uint64_t)q, (uint64_t)d);

    if (q == 5) /* nothing relevant */
        return x < 10 ? 0 : INT32_MIN;
    return x < (q == 7 ? 95u : 12u) ? (int32_t)sg_rng_below(5, 4, SG_RNG_TEST, (uint64_t)q, (uint64_t)d) - 1
                                    : INT32_MIN;
}

static void put(const char *name, sg_buf *text)
{
    assert_false(text->failed);
    assert_int_equal(sg_file_write(in_folder(name), text->data, text->size, NULL), SG_OK);
    sg_buf_free(text);
}

static void open_both(sg_dataset **d, sg_collection **c)
{
    const sg_beir_spec spec = {.folder = in_folder("col")};
    json_t *report;
    sg_buf docs = {0}, queries = {0}, qrels = {0};
    sg_error err = {0};

    assert_int_equal(sg_dir_make(in_folder("col/qrels"), NULL), SG_OK);
    for (int i = 0; i < DOCS; i++)
        sg_buf_printf(&docs, "{\"_id\": \"d%d\", \"title\": \"t\", \"text\": \"x %d\"}\n", i, i);
    for (int q = 0; q < QUERIES; q++)
        sg_buf_printf(&queries, "{\"_id\": \"q%d\", \"text\": \"y\"}\n", q);
    for (int d2 = DOCS - 1; d2 >= 0; d2--)
        for (int q = 0; q < QUERIES; q++)
            if (judged(q, d2) != INT32_MIN)
                sg_buf_printf(&qrels, "q%d\td%d\t%d\n", q, d2, (int)judged(q, d2));
    put("col/corpus.jsonl", &docs);
    put("col/queries.jsonl", &queries);
    put("col/qrels/test.tsv", &qrels);
    if (sg_import_beir(in_folder("data"), &spec, NULL, &report, &err) ||
        sg_dataset_open(d, in_folder("data"), &err) || sg_collection_open(c, *d, &err))
        fail_msg("%s", err.message);
    json_decref(report);
}

/* Is document number d, by position, rank r of query q in the run we write? A different set and order for every query. */
static double score_of(int q, int d)
{
    return (double)sg_rng_below(1000, 5, SG_RNG_TEST, (uint64_t)q, (uint64_t)d);
}

static bool listed(int q, int d)
{
    return q != 3 && sg_rng_below(4, 6, SG_RNG_TEST, (uint64_t)q, (uint64_t)d) != 0;
}

/* Whether d stands before e: falling score, then falling id. */
static bool before(int q, int d, int e)
{
    char a[16], b[16];

    snprintf(a, sizeof a, "d%d", d);
    snprintf(b, sizeof b, "d%d", e);
    return score_of(q, d) != score_of(q, e) ? score_of(q, d) > score_of(q, e) : strcmp(a, b) > 0;
}

static int rank_of(int q, int d)
{
    int rank = 1;

    for (int e = 0; e < DOCS; e++)
        rank += e != d && listed(q, e) && before(q, e, d);
    return rank;
}

static void equals_looking_at_everything(void **state)
{
    static const int ks[] = {1, 3, 10, 80};
    sg_dataset *d;
    sg_collection *c;
    sg_buf text = {0};
    sg_error err = {0};
    json_t *measured;
    sg_run r;

    (void)state;
    open_both(&d, &c);
    for (int q = 0; q < QUERIES; q++)
        for (int i = 0; i < DOCS; i++)
            if (listed(q, i))
                sg_buf_printf(&text, "q%d Q0 d%d 1 %g t\n", q, i, score_of(q, i));
    put("run", &text);
    if (sg_run_read(&r, d, c, in_folder("run"), &err) ||
        sg_run_measure(&measured, &r, c, SG_COLLECTION_TEST, ks, 4, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < 4; i++) {
        double ndcg = 0, recall = 0, mrr = 0, hits = 0;
        int asked = 0;

        for (int q = 0; q < QUERIES; q++) {
            double dcg = 0, best = 0;
            int relevant = 0, found = 0, first = 0;

            for (int e = 0; e < DOCS; e++)
                if (judged(q, e) > 0) {
                    const int rank = listed(q, e) ? rank_of(q, e) : INT32_MAX;
                    int place = 1; /* among all relevant ones by grade */

                    for (int o = 0; o < DOCS; o++)
                        place += judged(q, o) > judged(q, e) || (judged(q, o) == judged(q, e) && o < e);
                    best += place <= ks[i] ? judged(q, e) / log2(place + 1.0) : 0;
                    relevant++;
                    if (rank > ks[i])
                        continue;
                    dcg += judged(q, e) / log2(rank + 1.0);
                    found++;
                    first = first && first < rank ? first : rank;
                }
            if (!relevant)
                continue;
            asked++;
            ndcg += dcg / best;
            recall += (double)found / relevant;
            mrr += first ? 1.0 / first : 0;
            hits += first > 0;
        }
        char key[4][32];
        const char *name[] = {"ndcg", "recall", "mrr", "hits"};
        const double want[] = {ndcg / asked, recall / asked, mrr / asked, hits / asked};

        assert_int_equal(asked, QUERIES - 1);
        assert_int_equal(sg_collection_asked(c, SG_COLLECTION_TEST), asked);
        for (int n = 0; n < 4; n++) {
            snprintf(key[n], sizeof key[n], "%s@%d", name[n], ks[i]);
            assert_true(fabs(json_number_value(json_object_get(measured, key[n])) - want[n]) <
                        1e-12); /* doubles, other order */
        }
    }
    json_decref(measured);
    sg_run_free(&r);
    sg_collection_close(c);
    sg_dataset_close(d);
}

/* A run that is written reads back as it was. */
static void writes_what_it_reads(void **state)
{
    sg_dataset *d;
    sg_collection *c;
    sg_error err = {0};
    sg_run a, b;

    (void)state;
    open_both(&d, &c);
    if (sg_run_read(&a, d, c, in_folder("run"), &err) ||
        sg_run_write(&a, d, c, in_folder("again"), "tag", &err) ||
        sg_run_read(&b, d, c, in_folder("again"), &err))
        fail_msg("%s", err.message);
    assert_memory_equal(a.offsets, b.offsets, (QUERIES + 1) * sizeof *a.offsets);
    assert_memory_equal(a.doc, b.doc, (size_t)a.offsets[QUERIES] * sizeof *a.doc);
    assert_memory_equal(a.score, b.score, (size_t)a.offsets[QUERIES] * sizeof *a.score);
    sg_run_free(&a);
    sg_run_free(&b);
    sg_collection_close(c);
    sg_dataset_close(d);
}

/* Numbers of collection.safetensors that point nowhere, changed one by one in an open file's copy. */
static void refuses_judgements_of_nothing(void **state)
{
    sg_dataset *d;
    sg_collection *c, *other;
    sg_error err = {0};
    int32_t *doc, *grade;
    int64_t *offsets;

    (void)state;
    open_both(&d, &c);
    const sg_judgements right = c->split[SG_COLLECTION_TEST];
    const size_t n = (size_t)right.n;

    doc = sg_alloc_array(n, sizeof *doc);
    grade = sg_alloc_array(n, sizeof *grade);
    offsets = sg_alloc_array(QUERIES + 1, sizeof *offsets);
    const struct {
        int what, at;
        int64_t value;
        const char *says;
    } wrong[] = {
        {0, 0, DOCS, "tensor 'test.doc': expected ascending numbers below 90 for query 0, found 90"},
        {0, 1, -1, "tensor 'test.doc': expected ascending numbers below 90 for query 0, found -1"},
        {1, 0, 1001, "tensor 'test.grade': expected numbers from -1000 to 1000, found 1001"},
        {2, 1, 10000000, "tensor 'test.offsets': expected ascending numbers, found 10000000 before"},
        {2, 0, 1, "tensor 'test.offsets': expected numbers from 0 to"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sg_collection copy = *c;

        memcpy(doc, right.doc, n * sizeof *doc);
        memcpy(grade, right.grade, n * sizeof *grade);
        memcpy(offsets, right.offsets, (QUERIES + 1) * sizeof *offsets);
        if (wrong[i].what == 0)
            doc[wrong[i].at] = (int32_t)wrong[i].value;
        else if (wrong[i].what == 1)
            grade[wrong[i].at] = (int32_t)wrong[i].value;
        else
            offsets[wrong[i].at] = wrong[i].value;
        copy.split[SG_COLLECTION_TEST] = (sg_judgements){right.n, offsets, doc, grade};
        assert_int_equal(sg_dir_make(in_folder("broken"), NULL), SG_OK);
        assert_int_equal(sg_collection_write(in_folder("broken"), &copy, NULL), SG_OK);
        sg_dataset there = *d;
        there.dir = (char *)(uintptr_t)in_folder("broken");
        assert_int_equal(sg_collection_open(&other, &there, &err), SG_ERR_FORMAT);
        assert_non_null(strstr(err.message, wrong[i].says));
    }
    sg_free(doc);
    sg_free(grade);
    sg_free(offsets);
    sg_collection_close(c);
    sg_dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_looking_at_everything),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(refuses_judgements_of_nothing),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
