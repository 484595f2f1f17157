/* vqrec.c - what the model promises: an item's vector hangs on its codes alone and survives any order of the catalogue, it learns as it
 * is asked, right gradients of every stage, a permutation that moves nothing changes nothing, semi-synthetic negatives differ from what they were made from
 * and count, what the user did does not, what stands still stands still, a saved model answers the same. */
#include "tiny.h"

#include "base/io.h"

enum { N = 20, DIM = 8, GROUPS = 4, CODES = 5 };
#define SMALL                                                                                                \
    "dim=8 layers=1 heads=2 ffn=14 length=8 dropout=0 dropout_input=0 init_sd=0.3 groups=4 codes=5 "         \
    "temperature=0.5 "

typedef struct kit {
    tiny t;
    float v[N * DIM];
    sg_vectors vectors;
    char dir[32], path[64];
} kit;

/* Item i has the vector number `number[i]`, or i. */
static void kit_new(kit *k, int users, const int *number)
{
    tiny_new(&k->t, users, N, 12, 5);
    for (int i = 0; i < N; i++)
        for (int d = 0; d < DIM; d++)
            k->v[i * DIM + d] =
                (float)sg_rng_normal(4, SG_RNG_TEST, 1, (uint64_t)((number ? number[i] : i) * DIM + d));
    k->vectors = (sg_vectors){.n = N, .dim = DIM, .data = k->v};
    k->t.train.vectors = &k->vectors;
    snprintf(k->dir, sizeof k->dir, "/tmp/sedge-vqrec-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    snprintf(k->path, sizeof k->path, "%s/pre", k->dir);
}

static void kit_free(kit *k)
{
    sg_dir_remove(k->dir, NULL);
    tiny_free(&k->t);
}

/* A pre-trained model in k->path: weights as they start, all of them away from zero. */
static void save_pretrained(kit *k)
{
    sg_error err = {0};
    sg_model *m = tiny_model(&k->t, "vqrec", SMALL "stage=pretrain", 11);

    if (sg_model_save(m, k->path, &err))
        fail_msg("%s", err.message);
    sg_model_free(m);
}

static sg_model *model_from(kit *k, const char *options)
{
    char text[400];

    snprintf(text, sizeof text, SMALL "init=%s %s", k->path, options);
    return tiny_model(&k->t, "vqrec", text, 3);
}

static void set_permutation(sg_model *m, bool identity)
{
    sg_param *p = sg_params_find(&m->params, "permute.weight");

    assert_non_null(p);
    for (size_t i = 0; identity && i < p->count; i++)
        p->value[i] = i % CODES == i / CODES % CODES ? 1e4f : 0;
    p->version++;
}

static void learns_as_it_is_asked(void **state)
{
    sg_error err = {0};
    size_t n;
    kit k;

    (void)state;
    kit_new(&k, 1, NULL);
    save_pretrained(&k);
    for (int align = 0; align < 2; align++) {
        k.t.split->train_end[0] = k.t.user_offsets[1] < 7 ? k.t.user_offsets[1] : 7;
        sg_model *m = model_from(&k, align ? "stage=align" : "");
        sg_param *place = sg_params_find(&m->params, "position.weight");
        memset(place->value, 0,
               place->count * sizeof(float)); /* they count from the end: differently in a prefix */
        place->version++;
        assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_OK);
        assert_true(fabs(tiny_loss(m, 1) - tiny_prefix_loss(m, &k.t, (int)k.t.split->train_end[0])) < 1e-4);
        sg_model_free(m);
    }
    kit_free(&k);
}

static void gradients_are_slopes(void **state)
{
    static const char *const options[] = {"", "stage=pretrain fake=0", "stage=pretrain fake=0.6",
                                          "fix_enc=true"};
    char text[400];
    kit k;

    (void)state;
    kit_new(&k, 10, NULL);
    save_pretrained(&k);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        snprintf(text, sizeof text, SMALL "%s", options[i]);
        tiny_check_gradient_of(&k.t, "vqrec", text);
    }
    snprintf(text, sizeof text, SMALL "stage=align sharp=1 rounds=5 init=%s", k.path);
    tiny_check_gradient_of(&k.t, "vqrec", text);
    kit_free(&k);
}

static void scores_in_batches_as_alone(void **state)
{
    float all[3 * N], one[N];
    kit k;

    (void)state;
    kit_new(&k, 10, NULL);
    sg_model *m = tiny_model(&k.t, "vqrec", SMALL, 3);
    const int64_t offsets[] = {0, 5, 5, 25};
    tiny_score(m, &(sg_histories){.n = 3, .offsets = offsets, .item = k.t.item}, all);
    for (int i = 0; i < 3; i++) {
        tiny_score(m, &(sg_histories){.n = 1, .offsets = offsets + i, .item = k.t.item}, one);
        assert_memory_equal(one, all + i * N, sizeof one);
    }
    tiny_score(m, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, 8}, .item = k.t.item + 17}, one);
    for (int j = 0; j < N; j++)
        assert_true(fabsf(one[j] - all[2 * N + j]) < 1e-5f);
    sg_model_free(m);
    kit_free(&k);
}

/* Another catalogue with the same texts in another order, encoded by the codebooks of the first: what was read and what is asked for
 * have other numbers and the same scores. */
static void the_order_of_the_catalogue_does_not_matter(void **state)
{
    int number[N];
    int32_t there[6], here[6];
    float a[N], b[N];
    kit k, other;

    (void)state;
    for (int i = 0; i < N; i++)
        number[i] = (7 * i + 3) % N;
    kit_new(&k, 5, NULL);
    kit_new(&other, 5, number);
    save_pretrained(&k);
    memcpy(other.path, k.path, sizeof k.path);
    sg_model *m = model_from(&k, "codebooks=init"), *n = model_from(&other, "codebooks=init");
    for (int i = 0; i < 6; i++) {
        here[i] = 3 * i + 1;
        there[i] = number[here[i]];
    }
    tiny_score(m, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, 6}, .item = there}, a);
    tiny_score(n, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, 6}, .item = here}, b);
    for (int i = 0; i < N; i++)
        assert_true(a[number[i]] == b[i]);
    sg_model_free(m);
    sg_model_free(n);
    kit_free(&other);
    kit_free(&k);
}

static void equal_codes_are_one_item(void **state)
{
    int number[N];
    float scores[N];
    kit k;

    (void)state;
    for (int i = 0; i < N; i++)
        number[i] = i == 9 ? 4 : i;
    kit_new(&k, 5, number);
    sg_model *m = tiny_model(&k.t, "vqrec", SMALL, 3);
    tiny_score(m, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, 5}, .item = k.t.item}, scores);
    assert_true(scores[4] == scores[9] && scores[4] != scores[5]);
    sg_model_free(m);
    kit_free(&k);
}

/* The model before the permutation, one that moves nothing, and the table after it was taken over: the same bytes. */
static void a_permutation_that_moves_nothing_changes_nothing(void **state)
{
    sg_error err = {0};
    float plain[N], aligned[N], after[N];
    kit k;

    (void)state;
    kit_new(&k, 5, NULL);
    save_pretrained(&k);
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 6}, .item = k.t.item};
    sg_model *m = model_from(&k, "codebooks=init"), *p = model_from(&k, "codebooks=init stage=align");
    tiny_score(m, &h, plain);
    tiny_score(p, &h, aligned);
    assert_memory_not_equal(plain, aligned, sizeof plain); /* it starts near, not at it */
    set_permutation(p, true);
    tiny_score(p, &h, aligned);
    assert_memory_equal(plain, aligned, sizeof plain);
    assert_int_equal(sg_model_save(p, k.path, &err), SG_OK);
    sg_model_free(m);
    m = model_from(&k, "codebooks=init");
    tiny_score(m, &h, after);
    assert_memory_equal(plain, after, sizeof plain);
    sg_model_free(m);
    sg_model_free(p);
    kit_free(&k);
}

/* A swap of two codes of group 1, learned somewhere, comes back as a swap of two rows of the table. */
static void a_learned_permutation_is_taken_over(void **state)
{
    sg_error err = {0};
    kit k;

    (void)state;
    kit_new(&k, 5, NULL);
    save_pretrained(&k);
    sg_model *pre, *p = model_from(&k, "codebooks=init stage=align");
    assert_int_equal(sg_model_open(&pre, k.path, &err), SG_OK);
    set_permutation(p, true);
    float *x = sg_params_find(&p->params, "permute.weight")->value;
    x[(CODES + 2) * CODES + 2] = x[(CODES + 3) * CODES + 3] = 0;
    x[(CODES + 2) * CODES + 3] = x[(CODES + 3) * CODES + 2] = 1e4f;
    snprintf(k.path, sizeof k.path, "%s/aligned", k.dir);
    assert_int_equal(sg_model_save(p, k.path, &err), SG_OK);
    sg_model *m = model_from(&k, "codebooks=init");
    const float *was = sg_params_find(&pre->params, "code.weight")->value,
                *is = sg_params_find(&m->params, "code.weight")->value;
    for (int r = 0; r < GROUPS * CODES; r++)
        assert_memory_equal(is + r * 8,
                            was + (r == CODES + 2   ? r + 1
                                   : r == CODES + 3 ? r - 1
                                                    : r) *
                                      8,
                            8 * sizeof *is);
    sg_model_free(m);
    sg_model_free(p);
    sg_model_free(pre);
    kit_free(&k);
}

/* One user alone has nobody's items to be compared with: only the negatives made from his own are left. */
static void what_the_user_did_is_no_negative(void **state)
{
    sg_error err = {0};
    size_t n;
    kit k;

    (void)state;
    kit_new(&k, 10, NULL);
    sg_model *m = tiny_model(&k.t, "vqrec", SMALL "stage=pretrain fake=0", 3);
    assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_OK);
    assert_true(fabs(tiny_loss(m, 1)) < 1e-6);
    assert_true(tiny_loss(m, 2) > 0.01);
    sg_model_free(m);
    m = tiny_model(&k.t, "vqrec", SMALL "stage=pretrain fake=0.5", 3);
    assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_OK);
    assert_true(tiny_loss(m, 1) > 0.01);
    sg_model_free(m);
    kit_free(&k);
}

/* Negatives made by changing next to nothing (one code at least) are harder than those of other codes: a large table tells them apart. */
static void negatives_of_few_changes_are_near(void **state)
{
    sg_error err = {0};
    double loss[2];
    size_t n;
    kit k;

    (void)state;
    kit_new(&k, 10, NULL);
    for (int i = 0; i < 2; i++) {
        sg_model *m = tiny_model(&k.t, "vqrec",
                                 i ? SMALL "stage=pretrain temperature=0.02 fake=1"
                                   : SMALL "stage=pretrain temperature=0.02 fake=0.000001",
                                 3);
        sg_param *code = sg_params_find(&m->params, "code.weight"),
                 *place = sg_params_find(&m->params, "position.weight");

        memset(place->value, 0, place->count * sizeof(float));
        for (int r = 0; r < GROUPS * CODES; r++) /* blocks that do nothing: the user is the item last read */
            for (int d = 0; d < 8; d++)
                code->value[r * 8 + d] = d == r % CODES ? 1.f : 0.f;
        code->version++;
        assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_OK);
        loss[i] = tiny_loss(m, 1);
        assert_true(loss[i] > 0);
        sg_model_free(m);
    }
    assert_true(loss[0] != loss[1]);
    kit_free(&k);
}

/* Frozen weights have no gradient, all others have. */
static void what_stands_still_stands_still(void **state)
{
    static const struct {
        const char *options, *moves; /* NULL: all */
    } cases[] = {{"", NULL}, {"fix_enc=true", "code.weight"}, {"stage=align", "permute.weight"}};
    kit k;

    (void)state;
    kit_new(&k, 5, NULL);
    save_pretrained(&k);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_model *m = model_from(&k, cases[i].options);

        for (size_t p = 0; p < m->params.n; p++)
            assert_int_equal(!m->params.list[p]->frozen,
                             !cases[i].moves || !strcmp(m->params.list[p]->name, cases[i].moves));
        sg_model_free(m);
    }
    kit_free(&k);
}

static void a_saved_model_answers_the_same(void **state)
{
    float before[N], after[N];
    sg_error err = {0};
    sg_model *back = NULL;
    kit k;

    (void)state;
    kit_new(&k, 3, NULL);
    save_pretrained(&k);
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 4}, .item = k.t.item};
    sg_model *m = model_from(&k, "stage=align");
    tiny_score(m, &h, before);
    if (sg_model_save(m, k.path, &err) || sg_model_open(&back, k.path, &err))
        fail_msg("%s", err.message);
    tiny_score(back, &h, after);
    assert_memory_equal(before, after, sizeof before);
    sg_model_free(back);
    sg_model_free(m);
    kit_free(&k);
}

static void expect_error(kit *k, const char *options, const char *message)
{
    const sg_model_class *class = sg_model_class_find("vqrec", NULL);
    sg_error err = {0};
    char text[600], want[600];
    sg_model *m;

    snprintf(text, sizeof text, "%s", options);
    assert_int_equal(sg_model_new(&m, class, &err), SG_OK);
    for (char *p = strtok(text, " "); p; p = strtok(NULL, " "))
        assert_int_equal(sg_options_assign(m->config, class->options, class->n_options, p, &err), SG_OK);
    assert_true(sg_model_build(m, &k->t.train, 1, &err) != SG_OK);
    snprintf(want, sizeof want, "%s%s", *message == ':' ? k->path : "", message);
    assert_string_equal(err.message, want);
    sg_model_free(m);
}

static void says_what_is_wrong(void **state)
{
    sg_error err = {0};
    char text[400];
    kit k;

    (void)state;
    kit_new(&k, 3, NULL);
    expect_error(&k, SMALL "groups=3",
                 "groups: expected a number that divides the 8 numbers of an item vector, found 3");
    expect_error(&k, SMALL "stage=align",
                 "stage=align: expected init=DIR beside it, a vqrec model of another catalogue");
    expect_error(&k, SMALL "codebooks=init",
                 "codebooks=init: expected init=DIR beside it, a vqrec model of another catalogue");
    snprintf(text, sizeof text, SMALL "init=%s", k.path);
    expect_error(&k, text, ": no such model folder");
    save_pretrained(&k);
    snprintf(text, sizeof text, SMALL "init=%s layers=2", k.path);
    expect_error(&k, text, ": has layers=1, expected 2 as here");
    k.vectors.dim = 4;
    snprintf(text, sizeof text, SMALL "init=%s codebooks=init", k.path);
    expect_error(&k, text, ": its codebooks take vectors of 8 numbers, found 4");
    k.vectors.dim = DIM;
    sg_model *m = tiny_model(&k.t, "sasrec", "dim=8 layers=1 ffn=14 length=8", 3);
    assert_int_equal(sg_model_save(m, k.path, &err), SG_OK);
    sg_model_free(m);
    snprintf(text, sizeof text, SMALL "init=%s", k.path);
    expect_error(&k, text, ": expected a model of class vqrec, found sasrec");
    k.t.train.vectors = NULL;
    expect_error(&k, SMALL, "vqrec needs item vectors: run `sedge embed DATA` first");
    kit_free(&k);
}

/* A folder may say anything: codes are looked at before they are rows of a table. */
static void wild_codes_are_refused(void **state)
{
    sg_error err = {0};
    sg_model *back = NULL;
    kit k;

    (void)state;
    kit_new(&k, 3, NULL);
    sg_model *m = tiny_model(&k.t, "vqrec", SMALL, 3);
    for (int bad = -1; bad < CODES + 1; bad += CODES + 1) {
        int32_t *codes = sg_alloc_zero((size_t)N * GROUPS, sizeof *codes);

        codes[N + 1] = bad;
        assert_int_equal(sg_model_array_put(m, "codes", SG_DT_I32, 2, (uint64_t[]){N, GROUPS}, codes, &err),
                         SG_OK);
        assert_int_equal(sg_model_save(m, k.path, &err), SG_OK);
        assert_int_equal(sg_model_open(&back, k.path, &err), SG_ERR_FORMAT);
        assert_string_equal(err.message, bad < 0
                                             ? "vqrec: array 'codes': expected codes from 0 to 4, found -1"
                                             : "vqrec: array 'codes': expected codes from 0 to 4, found 5");
    }
    sg_model_free(m);
    kit_free(&k);
}

static sg_status build_again(kit *k, const char *text, sg_error *err)
{
    const sg_model_class *class = sg_model_class_find("vqrec", NULL);
    char options[400];
    sg_model *m;
    sg_status st = sg_model_new(&m, class, err);

    snprintf(options, sizeof options, "%s", text);
    for (char *p = strtok(options, " "); !st && p; p = strtok(NULL, " "))
        st = sg_options_assign(m->config, class->options, class->n_options, p, err);
    if (!st)
        st = sg_model_build(m, &k->t.train, 1, err);
    sg_model_free(m);
    return st;
}

/* Starting from another model while the n-th allocation fails, for every n: an error, nothing leaked. */
static void carrying_over_survives_every_allocation(void **state)
{
    static const char *const options[] = {"stage=align codebooks=init", "stage=tune"};
    char text[400];
    kit k;

    (void)state;
    kit_new(&k, 3, NULL);
    save_pretrained(&k);
    for (int i = 0; i < 2; i++) {
        uint64_t n = 0, made;

        snprintf(text, sizeof text, SMALL "init=%s %s", k.path, options[i]);
        do {
            const int64_t live = sg_alloc_live();
            const uint64_t before = sg_alloc_calls();
            sg_error err = {0};

            sg_alloc_fail_at(++n);
            const sg_status st = build_again(&k, text, &err);
            sg_alloc_fail_at(0);
            made = sg_alloc_calls() - before;
            assert_true(!st || *err.message);
            assert_int_equal(sg_alloc_live(), live);
        } while (made >= n);
        assert_true(n > 50);
    }
    kit_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_as_it_is_asked),
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(scores_in_batches_as_alone),
        cmocka_unit_test(the_order_of_the_catalogue_does_not_matter),
        cmocka_unit_test(equal_codes_are_one_item),
        cmocka_unit_test(a_permutation_that_moves_nothing_changes_nothing),
        cmocka_unit_test(a_learned_permutation_is_taken_over),
        cmocka_unit_test(what_the_user_did_is_no_negative),
        cmocka_unit_test(negatives_of_few_changes_are_near),
        cmocka_unit_test(what_stands_still_stands_still),
        cmocka_unit_test(a_saved_model_answers_the_same),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(wild_codes_are_refused),
        cmocka_unit_test(carrying_over_survives_every_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
