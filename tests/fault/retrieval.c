/* retrieval.c - the n-th allocation or file operation fails, for every n: importing a collection, measuring a run, and models that
 * learn documents and answer queries. */
#include "faults.h"

#include "folder.h"

#include "data/import_beir.h"
#include "eval/retrieval.h"

#include <stdio.h>

static void put(const char *name, const char *text)
{
    assert_int_equal(sg_file_write(in_folder(name), text, strlen(text), NULL), SG_OK);
}

static int begin(void **state)
{
    if (folder_make(state) || sg_dir_make(in_folder("col/qrels"), NULL))
        return -1;
    put("col/corpus.jsonl",
        "{\"_id\": \"d1\", \"title\": \"red\\u0020apples\", \"text\": \"Apples are red. Some are green.\"}\n"
        "{\"_id\": \"d2\", \"text\": \"pears are green\"}\n{\"_id\": \"d3\", \"text\": \"plums\"}\n");
    put("col/queries.jsonl",
        "{\"_id\": \"q1\", \"text\": \"red fruit\"}\n{\"_id\": \"q2\", \"text\": \"green fruit\"}\n");
    put("col/qrels/train.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2\nq2\td2\t1\n");
    put("col/qrels/dev.tsv", "q2\td2\t1\n");
    put("col/qrels/test.tsv", "q1\td1\t1\nq1\td3\t2\n");
    put("run", "q1 Q0 d3 1 0.5 x\nq1 Q0 d%31 2 0.25 x\n");
    put("made.jsonl", "{\"id\": \"d1\", \"answer\": \"some red apples\\ngreen apples\"}\n");
    return 0;
}

static sg_status import(void *ctx, sg_error *err)
{
    const sg_beir_spec spec = {.folder = in_folder("col")};
    json_t *report;
    const sg_status st = sg_import_beir(in_folder("data"), &spec, NULL, &report, err);

    json_decref(report);
    return st;
}

/* The folder is there whole, or it is not there. */
static void whole_or_absent(void *ctx, bool done)
{
    if (done || sg_file_exists(in_folder("data/dataset.json")))
        assert_int_equal(sg_dataset_verify(in_folder("data"), NULL), SG_OK);
    assert_int_equal(sg_dir_remove(in_folder("data"), NULL), SG_OK);
}

static void importing(void **state)
{
    (void)state;
    faults_jansson(true);
    assert_true(faults_walk(FAULTS_ALLOC, import, whole_or_absent, NULL) > 20);
    faults_jansson(false);
    assert_true(faults_walk(FAULTS_IO, import, whole_or_absent, NULL) > 10);
}

static void nothing(void *ctx, bool done)
{
    (void)ctx;
    (void)done;
}

static sg_status measure(void *ctx, sg_error *err)
{
    static const int k[] = {1, 10};
    sg_dataset *d = NULL;
    sg_collection *c = NULL;
    sg_run r = {0};
    json_t *measured = NULL;
    sg_status st;

    if (!(st = sg_dataset_open(&d, in_folder("data"), err)) && !(st = sg_collection_open(&c, d, err)) &&
        !(st = sg_run_read(&r, d, c, in_folder("run"), err)) &&
        !(st = sg_run_measure(&measured, &r, c, SG_COLLECTION_TEST, k, 2, err)))
        st = sg_run_write(&r, d, c, in_folder("written"), "tag", err);
    json_decref(measured);
    sg_run_free(&r);
    sg_collection_close(c);
    sg_dataset_close(d);
    return st;
}

static void measuring(void **state)
{
    (void)state;
    assert_int_equal(import(NULL, NULL), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, measure, nothing, NULL) > 20);
    assert_true(faults_walk(FAULTS_IO, measure, nothing, NULL) > 3);
}

/* Builds a model, draws one loss of it, and lets it answer. */
static sg_status learn_and_answer(void *ctx, sg_error *err)
{
    static const int32_t codes[] = {0, 0, 0, 1, 1, 0};
    const sg_ids ids = {.n = 3, .levels = 2, .size = {2, 2}, .codes = codes};
    const sg_model_class *class = sg_model_class_find("dsi", NULL);
    const char *const set[] = {"dim=8", "layers=1", "heads=1",  "head_dim=8",
                               "ffn=8", "words=20", "hashed=2", ctx};
    sg_train_data t = {.ids = &ids};
    sg_split split = {.spec = {.text = "loo"}};
    sg_dataset *d = NULL;
    sg_collection *c = NULL;
    sg_model *m = NULL;
    sg_graph *g = NULL;
    sg_run r = {0};
    size_t n;
    sg_status st;

    if ((st = sg_dataset_open(&d, in_folder("data"), err)) || (st = sg_collection_open(&c, d, err)) ||
        (st = sg_model_new(&m, class, err)))
        goto done;
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        assert_int_equal(sg_options_assign(m->config, class->options, class->n_options, set[i], NULL), SG_OK);
    t.data = d;
    t.split = &split;
    t.collection = c;
    if ((st = sg_model_build(m, &t, 1, err)) || (st = class->examples(m, &t, &n, err)) ||
        (st = sg_graph_new(&g, NULL, SG_F32, err)))
        goto done;
    sg_graph_begin(g, SG_INFER, 1, 0);
    class->loss(m, g, (const uint32_t[]){0, 1, 5}, 3, 1, 0);
    if (!(st = sg_graph_status(g, err)))
        st = sg_run_make(&r, m, c, SG_COLLECTION_TEST, &(sg_eval_spec){.free = strchr(ctx, '/') != NULL}, 2,
                         NULL, NULL, err);
done:
    sg_run_free(&r);
    sg_graph_free(g);
    sg_model_free(m);
    sg_collection_close(c);
    sg_dataset_close(d);
    return st;
}

static void learning(void **state)
{
    char queries[2 * SCRATCH_MAX + 16];

    (void)state;
    snprintf(queries, sizeof queries, "queries=%s", in_folder("made.jsonl"));
    assert_true(faults_walk(FAULTS_ALLOC, learn_and_answer, nothing, queries) > 50);
    assert_true(faults_walk(FAULTS_ALLOC, learn_and_answer, nothing, (char[]){"queries=sentences"}) > 50);
    assert_true(faults_walk(FAULTS_IO, learn_and_answer, nothing, queries) > 3);
}

/* Counts a collection, saves the model, opens it again, and lets it answer. */
static sg_status count_and_answer(void *ctx, sg_error *err)
{
    const sg_model_class *class = sg_model_class_find("bm25", NULL);
    sg_train_data t = {0};
    sg_split split = {.spec = {.text = "loo"}};
    sg_dataset *d = NULL;
    sg_collection *c = NULL;
    sg_model *m = NULL, *opened = NULL;
    sg_run r = {0};
    sg_status st;

    (void)ctx;
    if ((st = sg_dataset_open(&d, in_folder("data"), err)) || (st = sg_collection_open(&c, d, err)) ||
        (st = sg_model_new(&m, class, err)))
        goto done;
    t.data = d;
    t.split = &split;
    t.collection = c;
    if (!(st = sg_model_build(m, &t, 1, err)) && !(st = sg_model_fit(m, &t, NULL, NULL, err)) &&
        !(st = sg_model_save(m, in_folder("bm25"), err)) &&
        !(st = sg_model_open(&opened, in_folder("bm25"), err)))
        st = sg_run_make(&r, opened, c, SG_COLLECTION_TEST, &(sg_eval_spec){0}, 2, NULL, NULL, err);
    if (!st)
        assert_int_equal(r.offsets[r.n_queries], 1); /* "red fruit": d1 */
done:
    sg_run_free(&r);
    sg_model_free(m);
    sg_model_free(opened);
    sg_collection_close(c);
    sg_dataset_close(d);
    return st;
}

static void counting(void **state)
{
    (void)state;
    assert_true(faults_walk(FAULTS_ALLOC, count_and_answer, nothing, NULL) > 50);
    assert_true(faults_walk(FAULTS_IO, count_and_answer, nothing, NULL) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(importing),
        cmocka_unit_test(measuring),
        cmocka_unit_test(learning),
        cmocka_unit_test(counting),
    };

    return cmocka_run_group_tests(tests, begin, folder_drop);
}
