/* heterrec.c - what the model promises: it guesses from the past alone and is asked as it learned, right gradients, items of equal
 * features are told apart by their own vectors only, SASRec without features, a saved model answers the same. */
#include "text_shop.h"

#include "base/io.h"

#include <math.h>

enum { DIM = 8 };
#define SMALL "dim=8 layers=1 heads=2 ffn=14 length=8 dropout=0 dropout_input=0 init_sd=0.3 "
#define ALONE "ahead=1 token_loss=0 "

typedef struct kit {
    shop s;
    float v[ITEMS * DIM];
    sg_vectors vectors;
} kit;

static void kit_new(kit *k, int users)
{
    shop_new(&k->s, users);
    k->vectors = (sg_vectors){.n = ITEMS, .dim = DIM, .data = k->v};
    for (int i = 0; i < ITEMS * DIM; i++)
        k->v[i] = (float)sg_rng_normal(4, SG_RNG_TEST, 1, (uint64_t)i);
    k->s.t.train.vectors = &k->vectors;
}

static void learns_as_it_is_asked(void **state)
{
    static const char *const options[] = {
        SMALL ALONE, SMALL ALONE "columns=categories,brand token_layers=2", SMALL ALONE "tokens=false",
        SMALL ALONE "vectors=false columns=brand", SMALL ALONE "values=0 vectors=false"};

    (void)state;
    for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
        sg_error err = {0};
        size_t n;
        kit k;

        kit_new(&k, 1);
        k.s.t.split->train_end[0] = k.s.t.user_offsets[1] < 7 ? k.s.t.user_offsets[1] : 7;
        sg_model *m = tiny_model(&k.s.t, "heterrec", options[o], 3);
        sg_param *place = sg_params_find(&m->params, "position.weight");
        memset(place->value, 0,
               place->count * sizeof(float)); /* they count from the end: differently in a prefix */
        place->version++;
        assert_int_equal(m->class->examples(m, &k.s.t.train, &n, &err), SG_OK);
        assert_true(fabs(tiny_loss(m, 1) - tiny_prefix_loss(m, &k.s.t, (int)k.s.t.split->train_end[0])) <
                    1e-4);
        sg_model_free(m);
        shop_free(&k.s);
    }
}

static void gradients_are_slopes(void **state)
{
    static const char *const options[] = {SMALL, SMALL "columns=categories,brand token_loss=1 ahead=2",
                                          SMALL "tokens=false negatives=3",
                                          SMALL "values=0 vectors=false temperature=0.5"};

    (void)state;
    for (size_t o = 0; o < sizeof options / sizeof *options; o++) {
        kit k;

        kit_new(&k, 10);
        tiny_check_gradient_of(&k.s.t, "heterrec", options[o]);
        shop_free(&k.s);
    }
}

/* The loss over several steps, of a model whose steps add nothing: the mean of the cross-entropies of the next items with weights 1/s. */
static void steps_look_further_ahead(void **state)
{
    sg_error err = {0};
    float scores[ITEMS];
    double sum[3] = {0}, want = 0;
    size_t n;
    kit k;

    (void)state;
    kit_new(&k, 1);
    const int end = k.s.t.user_offsets[1] < 7 ? (int)k.s.t.user_offsets[1] : 7;
    k.s.t.split->train_end[0] = end;
    sg_model *m = tiny_model(&k.s.t, "heterrec", SMALL "token_loss=0 ahead=3", 3);
    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];

        if (strncmp(p->name, "step.", 5) == 0 || strcmp(p->name, "position.weight") == 0)
            memset(p->value, 0, p->count * sizeof(float));
        p->version++;
    }
    assert_int_equal(m->class->examples(m, &k.s.t.train, &n, &err), SG_OK);
    for (int e = 1; e < end; e++) {
        double total = 0;

        tiny_score(m, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, e}, .item = k.s.t.item}, scores);
        for (int i = 0; i < ITEMS; i++)
            total += exp((double)scores[i]);
        for (int s = 0; s < 3 && e + s < end; s++)
            sum[s] += log(total) - (double)scores[k.s.t.item[e + s]];
    }
    for (int s = 0; s < 3; s++)
        want += sum[s] / (end - 1 - s) / (s + 1) / (1 + 1 / 2.0 + 1 / 3.0);
    assert_true(fabs(tiny_loss(m, 1) - want) < 1e-4);
    sg_model_free(m);
    shop_free(&k.s);
}

/* content: the items' own vectors start at what their text says, on top of chance. */
static void starts_from_text(void **state)
{
    kit k;

    (void)state;
    kit_new(&k, 3);
    sg_model *plain = tiny_model(&k.s.t, "heterrec", SMALL, 3),
             *told = tiny_model(&k.s.t, "heterrec", SMALL "content=2", 3);
    const float *a = sg_params_find(&plain->params, "item.weight")->value,
                *b = sg_params_find(&told->params, "item.weight")->value;
    double mean[DIM] = {0}, sum_sq = 0;
    for (int i = 0; i < ITEMS * DIM; i++)
        mean[i % DIM] += (double)k.v[i] / ITEMS;
    for (int i = 0; i < ITEMS * DIM; i++) {
        const double x = (double)k.v[i] - mean[i % DIM], added = (double)b[i] - (double)a[i];

        sum_sq += added * added;
        assert_true(x * added > 0 || fabs(x) < 1e-4);
    }
    assert_true(fabs(sqrt(sum_sq / (ITEMS * DIM)) - 2 * 0.3) < 1e-4);
    sg_model_free(plain);
    sg_model_free(told);
    shop_free(&k.s);
}

static void a_saved_model_answers_the_same(void **state)
{
    char dir[] = "/tmp/sedge-heterrec-XXXXXX", path[64];
    float before[ITEMS], after[ITEMS];
    sg_error err = {0};
    sg_model *back = NULL;
    kit k;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/model", dir);
    kit_new(&k, 3);
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 4}, .item = k.s.t.item};
    sg_model *m = tiny_model(&k.s.t, "heterrec", SMALL "columns=categories,brand", 3);
    tiny_score(m, &h, before);
    if (sg_model_save(m, path, &err) || sg_model_open(&back, path, &err))
        fail_msg("%s", err.message);
    tiny_score(back, &h, after);
    assert_memory_equal(before, after, sizeof before);
    sg_model_free(back);
    sg_model_free(m);
    sg_dir_remove(dir, NULL);
    shop_free(&k.s);
}

static void says_what_is_wrong(void **state)
{
    static const struct {
        const char *set, *message;
    } cases[] = {
        {"columns=colour", "no text column 'colour': expected one of title, categories, brand"},
        {"columns=title",
         "heterrec: column title: expected values that items share, found none; values=0 goes without"},
        {"columns=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o", "columns: expected at most 14 names, found 15"}};
    const sg_model_class *class;
    sg_error err = {0};
    kit k;

    (void)state;
    kit_new(&k, 3);
    class = sg_model_class_find("heterrec", &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sg_model *m;

        assert_int_equal(sg_model_new(&m, class, &err), SG_OK);
        assert_int_equal(sg_options_assign(m->config, class->options, class->n_options, cases[i].set, &err),
                         SG_OK);
        assert_true(sg_model_build(m, &k.s.t.train, 1, &err) != SG_OK);
        assert_string_equal(err.message, cases[i].message);
        sg_model_free(m);
    }
    shop_free(&k.s);
}

/* Without features and tokens, one step ahead, it is SASRec: with the same weights the same scores, but for the order of sums. */
static void without_features_it_is_sasrec(void **state)
{
    const int64_t offsets[] = {0, 5};
    float ours[ITEMS], theirs[ITEMS];
    kit k;

    (void)state;
    kit_new(&k, 6);
    sg_model *m = tiny_model(
        &k.s.t, "heterrec",
        "dim=8 layers=2 heads=2 ffn=16 length=6 dropout=0 dropout_input=0 init_sd=0.3 values=0 vectors=false "
        "tokens=false ahead=1 token_loss=0",
        3);
    sg_model *sasrec =
        tiny_model(&k.s.t, "sasrec", "dim=8 layers=2 heads=2 ffn=16 length=6 dropout=0 dropout_input=0", 4);

    assert_int_equal(m->params.n, sasrec->params.n);
    for (size_t i = 0; i < m->params.n; i++) {
        const sg_param *from = m->params.list[i];
        sg_param *to = sg_params_find(&sasrec->params, from->name);

        assert_non_null(to);
        assert_int_equal(to->count, from->count);
        memcpy(to->value, from->value, from->count * sizeof(float));
        to->version++;
    }
    tiny_score(m, &(sg_histories){.n = 1, .offsets = offsets, .item = k.s.t.item}, ours);
    tiny_score(sasrec, &(sg_histories){.n = 1, .offsets = offsets, .item = k.s.t.item}, theirs);
    for (int i = 0; i < ITEMS; i++)
        assert_true(fabs((double)ours[i] - (double)theirs[i]) < 1e-6);
    sg_model_free(m);
    sg_model_free(sasrec);
    shop_free(&k.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_as_it_is_asked),
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(steps_look_further_ahead),
        cmocka_unit_test(starts_from_text),
        cmocka_unit_test(a_saved_model_answers_the_same),
        cmocka_unit_test(without_features_it_is_sasrec),
        cmocka_unit_test(says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
