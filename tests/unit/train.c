/* train.c - the loop's promises: a stopped and resumed run ends with the same bytes, on any number of threads. */
#include "tiny.h"

#include "base/io.h"
#include "train/train.h"

#include <unistd.h>

#define TIGER  "dim=16 layers=1 heads=2 head_dim=8 ffn=24 history=6 dropout=0.1"
#define SASREC "dim=16 layers=1 heads=2 ffn=24 length=8"
#define HSTU   "dim=16 blocks=2 heads=2 dqk=8 dv=12 length=8"

#define GRU4REC  "dim=16 hidden=20 length=8"
#define NARM     "dim=16 hidden=20 length=8"
#define ATTREC   "dim=16 length=4"
#define S3REC    "dim=16 layers=1 heads=2 ffn=24 length=8 pretrain=2 attributes=0"
#define RECGPT   "dim=16 layers=1 heads=2 ffn=24 length=8 pretrain=1"
#define COBRA    "dim=16 layers=1 heads=2 ffn=24 history=8 levels=2 hidden=16 text_dim=6 item_vectors=true"
#define BERT4REC "dim=16 layers=1 heads=2 ffn=24 length=9"
#define VQREC    "dim=16 layers=1 heads=2 ffn=24 length=8 groups=3 codes=8"

static char folder[64];

typedef struct stop_at {
    int left; /* ticks until the stop; -1: never */
} stop_at;

static int count_down(void *user, const sg_progress_event *e)
{
    stop_at *s = user;

    return !e->message && s->left > 0 && --s->left == 0;
}

static sg_train_spec spec_of(const char *options, bool resume)
{
    sg_train_spec spec = {.seed = 11, .resume = resume};
    sg_error err = {0};
    char text[512];

    sg_options_init(&spec.config, sg_train_options, sg_n_train_options);
    snprintf(text, sizeof text, "%s", options);
    for (char *p = strtok(text, " "); p; p = strtok(NULL, " "))
        if (sg_options_assign(&spec.config, sg_train_options, sg_n_train_options, p, &err))
            fail_msg("%s", err.message);
    return spec;
}

static sg_status train_once(const char *model, const char *options, const char *dir, const char *how,
                            bool resume, int threads, int stop, sg_error *err)
{
    const sg_train_spec spec = spec_of(how, resume);
    stop_at s = {stop};
    const sg_progress progress = {count_down, &s};
    sg_pool *pool;
    json_t *report = NULL;
    float v[30 * 6], rating[60 * 14]; /* item vectors and ratings, for models that read them */
    tiny t;
    sg_status st;

    tiny_new(&t, 60, 30, 14, 6);
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        v[i] = (float)sg_rng_normal(1, SG_RNG_TEST, 0, i);
    for (int i = 0; i < 60 * 14; i++)
        rating[i] = (float)(1 + i % 5);
    t.data.rating = rating;
    t.train.vectors = &(const sg_vectors){.n = 30, .dim = 6, .data = v};
    assert_int_equal(sg_pool_new(&pool, threads, err), SG_OK);
    sg_model *m = tiny_model(&t, model, options, 5);
    st = sg_train(m, &t.train, dir, &spec, pool, &progress, &report, err);
    json_decref(report);
    sg_model_free(m);
    sg_pool_free(pool);
    tiny_free(&t);
    return st;
}

static void read_weights(sg_buf *out, const char *dir)
{
    sg_error err = {0};
    char *path = sg_path_join(dir, "model.safetensors");

    if (sg_file_read(out, path, (size_t)1 << 24, &err))
        fail_msg("%s", err.message);
    sg_free(path);
}

static void same_bytes(const char *a, const char *b)
{
    sg_buf x = {0}, y = {0};

    read_weights(&x, a);
    read_weights(&y, b);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    sg_buf_free(&x);
    sg_buf_free(&y);
}

static const char *place(const char *name)
{
    static char path[4][128];
    static int next;
    char *p = path[next++ % 4];

    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static void stop_and_resume_gives_the_same_bytes(const char *model, const char *options, const char *how)
{
    sg_error err = {0};
    const char *whole = place("whole"), *parts = place("parts");

    sg_dir_remove(whole, &err);
    sg_dir_remove(parts, &err);
    if (train_once(model, options, whole, how, false, 1, -1, &err))
        fail_msg("%s", err.message);
    for (int stop = 3;; stop += 5) { /* each run goes on where the one before was stopped */
        const sg_status st = train_once(model, options, parts, how, true, 2, stop, &err);

        if (st == SG_OK)
            break;
        if (st != SG_ERR_CANCEL)
            fail_msg("%s", err.message);
    }
    same_bytes(whole, parts);
}

static void resumes_tiger_bit_for_bit(void **state)
{
    (void)state;
    stop_and_resume_gives_the_same_bytes("tiger", TIGER,
                                         "epochs=4 batch=8 lr=0.01 ema=0.9 schedule=cosine warmup=5");
}

static void resumes_cobra_bit_for_bit(void **state)
{
    (void)state;
    stop_and_resume_gives_the_same_bytes("cobra", COBRA " negatives=8 softmax=legal prefix_vectors=true",
                                         "epochs=4 batch=8 lr=0.01");
}

static void resumes_sasrec_with_sparse_tables_bit_for_bit(void **state)
{
    (void)state;
    stop_and_resume_gives_the_same_bytes("sasrec", SASREC " loss=sampled negatives=10",
                                         "epochs=4 batch=8 lr=0.01 row_wise=true");
    stop_and_resume_gives_the_same_bytes("sasrec", SASREC " loss=ce",
                                         "epochs=4 batch=8 lr=0.01 valid_every=0.5");
}

static void resumes_hstu_bit_for_bit(void **state)
{
    (void)state;
    stop_and_resume_gives_the_same_bytes("hstu", HSTU " negatives=10 alpha=1.5", "epochs=4 batch=8 lr=0.01");
}

static void resumes_gru4rec_bit_for_bit(void **state)
{
    (void)state;
    stop_and_resume_gives_the_same_bytes("gru4rec", GRU4REC " loss=sampled negatives=10",
                                         "epochs=4 batch=8 lr=0.01");
}

static void resumes_bert4rec_bit_for_bit(void **state)
{
    (void)state;
    stop_and_resume_gives_the_same_bytes("bert4rec", BERT4REC, "epochs=4 batch=8 lr=0.01");
}

static void resumes_s3rec_bit_for_bit(void **state)
{
    (void)state;
    stop_and_resume_gives_the_same_bytes("s3rec", S3REC, "epochs=2 batch=8 lr=0.01");
}

static void resumes_recgpt_bit_for_bit(void **state)
{
    (void)state;
    stop_and_resume_gives_the_same_bytes("recgpt", RECGPT, "epochs=2 batch=8 lr=0.01");
}

static void resumes_vqrec_bit_for_bit(void **state)
{
    (void)state;
    stop_and_resume_gives_the_same_bytes("vqrec", VQREC " stage=pretrain", "epochs=4 batch=8 lr=0.01");
}

static void gives_the_same_bytes_on_1_2_and_4_threads(void **state)
{
    (void)state;
    sg_error err = {0};
    static const char *models[][2] = {
        {"tiger", TIGER},
        {"sasrec", SASREC},
        {"sasrec", SASREC " loss=gbce negatives=7"},
        {"sasrec",
         SASREC " gate=true gated=true act=silu loss=sampled negatives=7 negatives_batch=true logq=1"},
        {"hstu", HSTU " negatives=7"},
        {"heterrec", "dim=8 layers=1 ffn=16 length=10 values=0"},
        {"vqrec", VQREC},
        {"vqrec", VQREC " stage=pretrain"},
        {"sid-rank", "dim=8 hidden=8 depth=2 rows=100"},
        {"cobra", COBRA " negatives=0"},
        {"cobra", COBRA " negatives=9 softmax=legal prefix_vectors=true"},
        {"gru4rec", GRU4REC},
        {"gru4rec", GRU4REC " loss=bpr_max negatives=7 negatives_alpha=0.5"},
        {"narm", NARM},
        {"s3rec", S3REC},
        {"recgpt", RECGPT},
        {"attrec", ATTREC},
        {"bert4rec", BERT4REC}};

    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const char *one = place("t1"), *two = place("t2"), *four = place("t4");

        assert_int_equal(train_once(models[i][0], models[i][1], one, "epochs=2 batch=16", false, 1, -1, &err),
                         SG_OK);
        assert_int_equal(train_once(models[i][0], models[i][1], two, "epochs=2 batch=16", false, 2, -1, &err),
                         SG_OK);
        assert_int_equal(
            train_once(models[i][0], models[i][1], four, "epochs=2 batch=16", false, 4, -1, &err), SG_OK);
        same_bytes(one, two);
        same_bytes(one, four);
    }
}

static void refuses_to_resume_with_other_options(void **state)
{
    (void)state;
    sg_error err = {0};
    const char *dir = place("other");
    char expected[512];

    sg_dir_remove(dir, &err);
    assert_int_equal(train_once("sasrec", SASREC, dir, "epochs=4 batch=8", true, 1, 5, &err), SG_ERR_CANCEL);
    assert_int_equal(train_once("sasrec", SASREC, dir, "epochs=4 batch=16", true, 1, -1, &err), SG_ERR_USAGE);
    snprintf(expected, sizeof expected,
             "%s/checkpoint/state.safetensors: cannot resume with other options: checkpoint has batch=8, now "
             "asked batch=16",
             dir);
    assert_string_equal(err.message, expected);
}

static double best_on_the_chain(const char *model, const char *options, const char *how)
{
    sg_error err = {0};
    const char *dir = place("learn");
    char *path = sg_path_join(dir, "training.jsonl");
    sg_buf log = {0};

    sg_dir_remove(dir, &err);
    if (train_once(model, options, dir, how, false, 2, -1, &err))
        fail_msg("%s", err.message);
    assert_int_equal(sg_file_read(&log, path, 1 << 20, &err), SG_OK);
    double best = 0;
    for (const char *p = log.data; (p = strstr(p, "\"ndcg10\":")); p++)
        best = strtod(p + 9, NULL) > best ? strtod(p + 9, NULL) : best;
    sg_buf_free(&log);
    sg_free(path);
    return best;
}

static void learns_the_chain(const char *model, const char *options, const char *how)
{
    assert_true(best_on_the_chain(model, options, how) >
                0.6); /* 90 % of steps go to the next item; by chance the NDCG@10 of 30
                                                                  items is 0.15 */
}

static void tiger_learns_the_chain(void **state)
{
    (void)state;
    learns_the_chain("tiger", TIGER " dropout=0", "epochs=30 batch=8 lr=0.01 patience=0 valid_every=10");
}

static void cobra_learns_the_chain(void **state)
{
    (void)state;
    learns_the_chain("cobra", COBRA " dropout=0 dropout_input=0 negatives=0",
                     "epochs=30 batch=8 lr=0.01 patience=0 valid_every=10");
}

static void hstu_learns_the_chain(void **state)
{
    (void)state;
    learns_the_chain("hstu", HSTU " dropout=0 negatives=20",
                     "epochs=30 batch=8 lr=0.01 patience=0 valid_every=10");
    learns_the_chain("hstu", HSTU " dropout=0 loss=ce softmax=true",
                     "epochs=30 batch=8 lr=0.01 patience=0 valid_every=10");
}

static void gru4rec_learns_the_chain(void **state)
{
    (void)state;
    learns_the_chain("gru4rec", GRU4REC " dropout=0 dropout_input=0",
                     "epochs=30 batch=8 lr=0.01 patience=0 valid_every=10");
}

static void narm_learns_the_chain(void **state)
{
    (void)state;
    learns_the_chain("narm", NARM " dropout=0 dropout_input=0",
                     "epochs=30 batch=8 lr=0.01 patience=0 valid_every=10");
}

static void attrec_learns_the_chain(void **state)
{
    (void)state;
    /* a distance knows no direction: the last item itself is nearest, then both its neighbours, 1 / log2(3) or 1 / log2(4) */
    assert_true(best_on_the_chain("attrec", "dim=16 length=1 targets=1 weight=0 init_sd=0.1",
                                  "epochs=60 batch=32 lr=0.01 patience=0 valid_every=20") > 0.45);
}

static void s3rec_learns_the_chain_after_pretraining(void **state)
{
    (void)state;
    learns_the_chain("s3rec", S3REC " dropout=0 dropout_input=0",
                     "epochs=30 batch=8 lr=0.01 patience=0 valid_every=10");
}

/* Two epochs of pre-training are not validated and come on top. */
static void pretraining_comes_first_and_is_not_validated(void **state)
{
    (void)state;
    sg_error err = {0};
    const char *dir = place("pretrain");
    char *path = sg_path_join(dir, "training.jsonl");
    sg_buf log = {0};

    sg_dir_remove(dir, &err);
    if (train_once("s3rec", S3REC, dir, "epochs=2 batch=8", false, 1, -1, &err))
        fail_msg("%s", err.message);
    assert_int_equal(sg_file_read(&log, path, 1 << 20, &err), SG_OK);
    for (int epoch = 1; epoch <= 5; epoch++) {
        char what[32];

        snprintf(what, sizeof what, "\"epoch\":%d.0000", epoch);
        assert_int_equal(strstr(log.data, what) != NULL, epoch == 3 || epoch == 4);
    }
    sg_buf_free(&log);
    sg_free(path);
}

static void recgpt_learns_the_chain(void **state)
{
    (void)state;
    learns_the_chain("recgpt", RECGPT " dropout=0 dropout_input=0",
                     "epochs=30 batch=8 lr=0.01 patience=0 valid_every=10");
}

static void bert4rec_learns_the_chain(void **state)
{
    (void)state;
    learns_the_chain("bert4rec", BERT4REC " dropout=0 dropout_input=0",
                     "epochs=60 batch=8 lr=0.01 patience=0 valid_every=20");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumes_tiger_bit_for_bit),
        cmocka_unit_test(resumes_cobra_bit_for_bit),
        cmocka_unit_test(resumes_sasrec_with_sparse_tables_bit_for_bit),
        cmocka_unit_test(resumes_hstu_bit_for_bit),
        cmocka_unit_test(resumes_gru4rec_bit_for_bit),
        cmocka_unit_test(resumes_bert4rec_bit_for_bit),
        cmocka_unit_test(resumes_s3rec_bit_for_bit),
        cmocka_unit_test(resumes_recgpt_bit_for_bit),
        cmocka_unit_test(resumes_vqrec_bit_for_bit),
        cmocka_unit_test(gives_the_same_bytes_on_1_2_and_4_threads),
        cmocka_unit_test(refuses_to_resume_with_other_options),
        cmocka_unit_test(tiger_learns_the_chain),
        cmocka_unit_test(cobra_learns_the_chain),
        cmocka_unit_test(hstu_learns_the_chain),
        cmocka_unit_test(gru4rec_learns_the_chain),
        cmocka_unit_test(narm_learns_the_chain),
        cmocka_unit_test(attrec_learns_the_chain),
        cmocka_unit_test(s3rec_learns_the_chain_after_pretraining),
        cmocka_unit_test(pretraining_comes_first_and_is_not_validated),
        cmocka_unit_test(recgpt_learns_the_chain),
        cmocka_unit_test(bert4rec_learns_the_chain),
    };
    sg_error err;

    snprintf(folder, sizeof folder, "/tmp/sedge-train-%ld", (long)getpid());
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sg_dir_remove(folder, &err);
    return failed;
}
