/* cobra.c - what the cascade promises: training and decoding agree, the fusion is the formula, nothing leaves its ID. */
#include "tiny.h"

#include "base/io.h"
#include "base/pool.h"
#include "models/explain.h"

#include <math.h>
#include <unistd.h>

enum { ITEMS = 20, WIDTH = 5, DIM = 6 };

#define SMALL                                                                                                \
    "dim=16 layers=2 heads=2 ffn=24 history=8 dropout=0 dropout_input=0 hidden=12 text_dim=6 init_sd=0.3 "

typedef struct kit {
    tiny t;
    float v[ITEMS * DIM];
    sg_vectors vectors;
} kit;

static void kit_init(kit *k, int n_users, int length_most)
{
    *k = (kit){.vectors = {.n = ITEMS, .dim = DIM, .data = k->v}};
    for (size_t i = 0; i < ITEMS * DIM; i++)
        k->v[i] = (float)sg_rng_normal(1, SG_RNG_TEST, 0, i);
    tiny_new(&k->t, n_users, ITEMS, length_most, WIDTH);
    k->t.train.vectors = &k->vectors;
}

/* Positions count from the end, so that one event only has the same in a run and in its prefixes: without them they compare. */
static sg_model *model_without_positions(kit *k, const char *options)
{
    sg_model *m = tiny_model(&k->t, "cobra", options, 3);
    sg_param *p = sg_params_find(&m->params, "position.weight"),
             *prefix = sg_params_find(&m->params, "prefix.weight");

    memset(p->value, 0, p->count * sizeof(float));
    p->version++;
    for (size_t i = 0; prefix && i < prefix->count; i++)
        prefix->value[i] = 0.3f * (float)sg_rng_normal(1, SG_RNG_TEST, 1, i);
    return m;
}

/* Scores of all items after one history; those that were not found: -inf. */
static void score_with(sg_model *m, sg_pool *pool, const sg_histories *h, const sg_filter *f, int beam, int k,
                       int32_t *item, float *score)
{
    sg_error err = {0};
    sg_session *s;

    assert_int_equal(sg_session_new(&s, m, pool, &err), SG_OK);
    s->beam = beam;
    if (sg_session_recommend(s, h, f, k, item, score, &err))
        fail_msg("%s", err.message);
    sg_session_free(s);
}

static void score_all(sg_model *m, const int32_t *history, int n, float *by_item)
{
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, n}, .item = history};
    int32_t item[ITEMS];
    float score[ITEMS];

    score_with(m, NULL, &h, NULL, ITEMS, ITEMS, item, score);
    for (int i = 0; i < ITEMS; i++)
        by_item[i] = -INFINITY;
    for (int i = 0; i < ITEMS; i++) {
        assert_in_range(item[i], 0, ITEMS - 1);
        assert_true(i == 0 || score[i] <= score[i - 1]);
        by_item[item[i]] = score[i];
    }
}

static double log_sum_exp(const float *x, int n)
{
    double most = -INFINITY, total = 0;

    for (int i = 0; i < n; i++)
        most = fmax(most, (double)x[i]);
    for (int i = 0; i < n; i++)
        total += exp((double)x[i] - most);
    return most + log(total);
}

/* The loss of the first run against what is decoded prefix by prefix. sparse: the ID alone, by scores that are its log-probability
 * less log(items that share it); else the vectors alone, of a model whose items all share one ID. */
static void training_equals_decoding(const char *options, bool sparse, int levels)
{
    kit k;
    sg_error err = {0};
    size_t n;
    double sum = 0;
    float by_item[ITEMS];

    kit_init(&k, 40, 9);
    k.t.split->train_end[0] = k.t.user_offsets[1] < 7 ? k.t.user_offsets[1] : 7;
    const int end = (int)k.t.split->train_end[0];
    sg_model *m = model_without_positions(&k, options);
    assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_OK);
    for (int e = 1; e < end; e++) {
        score_all(m, k.t.item, e, by_item);
        if (sparse)
            sum -= (by_item[k.t.item[e]] + log(levels == 1 ? WIDTH : 1)) / levels;
        else
            sum += log_sum_exp(by_item, ITEMS) - by_item[k.t.item[e]];
    }
    assert_true(fabs(tiny_loss(m, 1) - sum / (end - 1)) < 1e-4); /* f32 */
    sg_model_free(m);
    tiny_free(&k.t);
}

static void training_loss_equals_decoded_scores(void **state)
{
    (void)state;
    training_equals_decoding(SMALL "levels=1 dense=0 tau=1 psi=0 fuse=id", true, 1);
    training_equals_decoding(SMALL "levels=3 dense=0 tau=1 psi=0 fuse=id", true, 3);
    training_equals_decoding(SMALL "levels=3 dense=0 tau=1 psi=0 fuse=id softmax=legal prefix_vectors=true",
                             true, 3);
    training_equals_decoding(SMALL "levels=3 dense=0 tau=1 psi=0 fuse=id softmax=legal negatives=3", true, 3);
}

/* Told the ID, the vector part of the loss is the softmax over all items of u . v / temperature, u after the right ID. */
static void vectors_are_learned_as_they_are_asked(void **state)
{
    (void)state;
    static const char *const kinds[] = {"", "item_vectors=true content=1"};

    for (int kind = 0; kind < 2; kind++) {
        kit k;
        sg_error err = {0};
        size_t n;
        double sum = 0;
        float by_item[ITEMS];
        char options[512];

        kit_init(&k, 40, 9);
        for (int i = 0; i < ITEMS; i++) { /* one ID for all: the third code tells them apart */
            k.t.codes[3 * i] = k.t.codes[3 * i + 1] = 0;
            k.t.codes[3 * i + 2] = i;
        }
        k.t.ids.size[2] = ITEMS;
        snprintf(options, sizeof options,
                 SMALL "levels=2 sparse=0 tau=0 psi=5 temperature=0.2 negatives=0 %s", kinds[kind]);
        k.t.split->train_end[0] = k.t.user_offsets[1] < 7 ? k.t.user_offsets[1] : 7;
        const int end = (int)k.t.split->train_end[0];
        sg_model *m = model_without_positions(&k, options);
        assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_OK);
        for (int e = 1; e < end; e++) {
            score_all(m, k.t.item, e, by_item);
            sum += log_sum_exp(by_item, ITEMS) - (double)by_item[k.t.item[e]];
        }
        assert_true(fabs(tiny_loss(m, 1) - sum / (end - 1)) < 1e-4); /* f32 */
        sg_model_free(m);
        tiny_free(&k.t);
    }
}

static void the_gradient_is_the_slope(void **state)
{
    (void)state;
    static const char *const options[] = {
        SMALL "negatives=0", SMALL "softmax=legal prefix_vectors=true label_smoothing=0.1 negatives=0",
        SMALL "levels=2 item_vectors=true negatives=5 temperature=0.5 dense=0.7 sparse=2"};

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        kit k;

        kit_init(&k, 40, 12);
        tiny_check_gradient_of(&k.t, "cobra", options[i]);
        tiny_free(&k.t);
    }
}

/* fuse=all is tau log p(ID) + psi cosine; fuse=id takes log sum exp of the ID's items off: each from two models that see one part
 * alone. */
static void the_fusion_is_the_formula(void **state)
{
    (void)state;
    kit k;
    float sparse[ITEMS], dense[ITEMS], all[ITEMS], by_id[ITEMS], expected;

    kit_init(&k, 20, 9);
    sg_model *only_id = model_without_positions(&k, SMALL "levels=1 tau=1 psi=0 fuse=all");
    sg_model *only_vector = model_without_positions(&k, SMALL "levels=1 tau=0 psi=1 fuse=all");
    sg_model *both = model_without_positions(&k, SMALL "levels=1 tau=0.9 psi=16 fuse=all");
    sg_model *inside = model_without_positions(&k, SMALL "levels=1 tau=0.9 psi=16 fuse=id");

    score_all(only_id, k.t.item, 4, sparse);
    score_all(only_vector, k.t.item, 4, dense);
    score_all(both, k.t.item, 4, all);
    score_all(inside, k.t.item, 4, by_id);
    double total = 0;
    for (int id = 0; id < ITEMS / WIDTH; id++) {
        float x[WIDTH];

        for (int i = 0; i < WIDTH; i++)
            x[i] = 16 * (dense[id * WIDTH + i] + 1);
        for (int i = id * WIDTH; i < (id + 1) * WIDTH; i++) {
            assert_true(sparse[i] == sparse[id * WIDTH]); /* psi=0: by ID */
            assert_true(fabsf(dense[i] + 1) <= 1.00001f); /* tau=0: by the cosine alone */
            expected = 0.9f * sparse[i] + 16 * dense[i];
            assert_true(fabsf(all[i] - expected) < 1e-4f);
            assert_true(fabsf(by_id[i] - (expected + 16 - (float)log_sum_exp(x, WIDTH))) < 1e-4f);
        }
        total += exp((double)sparse[id * WIDTH]);
    }
    assert_true(fabs(total - 1) < 1e-5); /* all first codes exist */
    sg_model_free(only_id);
    sg_model_free(only_vector);
    sg_model_free(both);
    sg_model_free(inside);
    tiny_free(&k.t);
}

/* Along the codes of each item, then among those that share its ID: with tau=1 and fuse=id the sum is the score. */
static void the_path_sums_to_the_score(void **state)
{
    (void)state;
    kit k;
    sg_error err = {0};
    sg_session *s;
    float by_item[ITEMS], logp[ITEMS * 3];
    int32_t item[ITEMS];

    kit_init(&k, 20, 9);
    for (int i = 0; i < ITEMS; i++)
        item[i] = (7 * i) % ITEMS;
    for (int levels = 1; levels <= 3; levels++) {
        char options[512];

        snprintf(options, sizeof options, SMALL "tau=1 fuse=id softmax=legal prefix_vectors=true levels=%d",
                 levels);
        sg_model *m = model_without_positions(&k, options);
        score_all(m, k.t.item, 4, by_item);
        assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
        const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 4}, .item = k.t.item};
        assert_int_equal(m->class->path(s, &h, item, ITEMS, logp, &err), SG_OK);
        for (int i = 0; i < ITEMS; i++)
            assert_true(fabsf(logp[3 * i] + logp[3 * i + 1] + logp[3 * i + 2] - by_item[item[i]]) < 1e-4f);
        sg_session_free(s);
        sg_model_free(m);
    }
    tiny_free(&k.t);
}

static void items_come_from_their_ids_and_no_more_than_asked(void **state)
{
    (void)state;
    kit k;
    float sparse[ITEMS], score[ITEMS];
    int32_t item[ITEMS];

    kit_init(&k, 20, 9);
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 4}, .item = k.t.item};
    sg_model *only_id = model_without_positions(&k, SMALL "levels=1 tau=1 psi=0");
    sg_model *m = model_without_positions(&k, SMALL "levels=1 neighbours=2");
    score_all(only_id, k.t.item, 4, sparse);
    int best = 0;
    for (int i = 0; i < ITEMS; i++)
        best = sparse[i] > sparse[best] ? i : best;
    score_with(m, NULL, &h, NULL, 1, 1, item, score); /* one ID */
    assert_int_equal(item[0] / WIDTH, best / WIDTH);
    score_with(m, NULL, &h, NULL, ITEMS, ITEMS, item, score); /* all four, two items each */
    int of_id[ITEMS / WIDTH] = {0};
    for (int i = 0; i < 8; i++)
        of_id[item[i] / WIDTH]++;
    for (int id = 0; id < ITEMS / WIDTH; id++)
        assert_int_equal(of_id[id], 2);
    assert_int_equal(item[8], -1);
    assert_true(score[8] == -INFINITY);
    sg_model_free(only_id);
    sg_model_free(m);
    tiny_free(&k.t);
}

/* IDs of which nothing may be shown take no place in the beam: as many items as are allowed come back. */
static void filters_only_remove(void **state)
{
    (void)state;
    kit k;
    uint8_t allow[ITEMS] = {0};
    int32_t history[WIDTH + 1], item[ITEMS];
    float by_item[ITEMS], score[ITEMS];

    kit_init(&k, 20, 9);
    for (int i = 0; i < WIDTH; i++)
        history[i] = 5 + i; /* all items of the second ID, and one of the third */
    history[WIDTH] = 11;
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, WIDTH + 1}, .item = history};
    sg_model *m = model_without_positions(&k, SMALL "levels=1");
    score_all(m, history, WIDTH + 1, by_item);

    score_with(m, NULL, &h, &(sg_filter){.seen = true}, 3, ITEMS, item, score);
    for (int i = 0; i < ITEMS - WIDTH - 1; i++) {
        assert_true(item[i] >= 0 && item[i] / WIDTH != 1 && item[i] != 11);
        assert_true(score[i] == by_item[item[i]]);
    }
    assert_int_equal(item[ITEMS - WIDTH - 1], -1);

    allow[6] = allow[11] = allow[19] = 1;
    score_with(m, NULL, &h, &(sg_filter){.seen = true, .allow = allow}, 1, 1, item, score);
    assert_int_equal(item[0], 19);
    score_with(m, NULL, &h, &(sg_filter){.allow = allow}, 3, 5, item, score);
    for (int i = 0; i < 3; i++)
        assert_true(allow[item[i]]);
    assert_int_equal(item[3], -1);
    sg_model_free(m);
    tiny_free(&k.t);
}

/* What may not be shown takes no place of the few that an ID has: hide the nearest item of each ID, the next one comes. */
static void hidden_items_take_no_place(void **state)
{
    (void)state;
    kit k;
    uint8_t allow[ITEMS];
    float by_item[ITEMS], score[ITEMS];
    int32_t item[ITEMS], next[ITEMS / WIDTH];

    kit_init(&k, 20, 9);
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 4}, .item = k.t.item};
    sg_model *m = model_without_positions(&k, SMALL "levels=1"),
             *few = model_without_positions(&k, SMALL "levels=1 neighbours=1");
    score_all(m, k.t.item, 4, by_item);
    memset(allow, 1, sizeof allow);
    for (int id = 0; id < ITEMS / WIDTH; id++) {
        int best = id * WIDTH;

        for (int i = id * WIDTH; i < (id + 1) * WIDTH; i++)
            best = by_item[i] > by_item[best] ? i : best;
        allow[best] = 0;
        next[id] = -1;
        for (int i = id * WIDTH; i < (id + 1) * WIDTH; i++)
            if (i != best && (next[id] < 0 || by_item[i] > by_item[next[id]]))
                next[id] = i;
    }
    score_with(few, NULL, &h, &(sg_filter){.allow = allow}, ITEMS, ITEMS / WIDTH, item, score);
    for (int i = 0; i < ITEMS / WIDTH; i++) {
        assert_in_range(item[i], 0, ITEMS - 1);
        assert_int_equal(item[i], next[item[i] / WIDTH]);
        assert_float_equal(score[i], by_item[item[i]], 1e-6);
    }
    sg_model_free(m);
    sg_model_free(few);
    tiny_free(&k.t);
}

static void star_is_added_to_every_item(void **state)
{
    (void)state;
    kit k;
    float without[ITEMS], with[ITEMS], star[ITEMS];
    int moved = 0;

    kit_init(&k, 40, 9);
    sg_model *a = model_without_positions(&k, SMALL "levels=2");
    sg_model *b = model_without_positions(&k, SMALL "levels=2 star=3 star_text=0");
    sg_model *c = tiny_model(&k.t, "star", "a=0 pop=0", 1);
    sg_error err = {0};
    assert_int_equal(sg_model_fit(c, &k.t.train, NULL, NULL, &err), SG_OK);
    score_all(a, k.t.item, 4, without);
    score_all(b, k.t.item, 4, with);
    tiny_score(c, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, 4}, .item = k.t.item}, star);
    for (int i = 0; i < ITEMS; i++) {
        assert_true(fabsf(with[i] - without[i] - 3 * star[i]) < 1e-4f);
        moved += star[i] > 0;
    }
    assert_true(moved > 2);
    sg_model_free(a);
    sg_model_free(b);
    sg_model_free(c);
    tiny_free(&k.t);
}

/* However much cosines weigh, items of an ID stand in their order, and their shares of the ID's probability sum to one. */
static void heavy_cosines_keep_their_order(void **state)
{
    static const char *const heavy[] = {SMALL "levels=1 tau=1 psi=1000 fuse=id",
                                        SMALL "levels=1 tau=1 psi=300 fuse=id",
                                        SMALL "levels=1 tau=1 psi=1000 fuse=all"};
    (void)state;
    kit k;
    float cosine[ITEMS], sparse[ITEMS], score[ITEMS], logp[ITEMS * 3];
    int32_t item[ITEMS];
    sg_error err = {0};
    sg_session *s;

    kit_init(&k, 20, 9);
    for (int i = 0; i < ITEMS; i++)
        item[i] = i;
    sg_model *only_vector = model_without_positions(&k, SMALL "levels=1 tau=0 psi=1 fuse=all");
    sg_model *only_id = model_without_positions(&k, SMALL "levels=1 tau=1 psi=0 fuse=all");
    score_all(only_vector, k.t.item, 4, cosine);
    score_all(only_id, k.t.item, 4, sparse);
    for (size_t h = 0; h < sizeof heavy / sizeof *heavy; h++) {
        sg_model *m = model_without_positions(&k, heavy[h]);

        score_all(m, k.t.item, 4, score);
        assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
        const sg_histories one = {.n = 1, .offsets = (int64_t[]){0, 4}, .item = k.t.item};
        assert_int_equal(m->class->path(s, &one, item, ITEMS, logp, &err), SG_OK);
        for (int id = 0; id < ITEMS; id += WIDTH) {
            double total = 0;

            for (int i = id; i < id + WIDTH; i++) {
                assert_true(isfinite(score[i]));
                for (int j = id; j < id + WIDTH; j++)
                    assert_true(cosine[i] <= cosine[j] || score[i] > score[j]);
                total += exp((double)score[i] - (double)sparse[i]);
                assert_true(h == 2 ||
                            fabsf(logp[3 * i] + logp[3 * i + 1] - score[i]) < 1e-3f); /* f32, hundreds */
            }
            assert_true(h == 2 || fabs(total - 1) < 1e-4);
        }
        sg_session_free(s);
        sg_model_free(m);
    }
    sg_model_free(only_vector);
    sg_model_free(only_id);
    tiny_free(&k.t);
}

/* A list of k is the beginning of every longer one, and as long as was asked, whatever the beam. */
static void a_short_list_begins_every_longer_one(void **state)
{
    static const char *const kinds[] = {SMALL "levels=1 fuse=all", SMALL "levels=2 fuse=all",
                                        SMALL "levels=3 fuse=id softmax=legal prefix_vectors=true",
                                        SMALL "levels=3 fuse=all star=20 star_text=0",
                                        SMALL "levels=2 neighbours=1 fuse=all"};
    enum { BATCH = 3 };
    (void)state;
    kit k;

    kit_init(&k, 20, 9);
    const sg_histories h = {.n = BATCH, .offsets = (int64_t[]){0, 4, 5, 11}, .item = k.t.item};
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        sg_model *m = model_without_positions(&k, kinds[kind]);

        for (int beam = 1; beam <= 4; beam++)
            for (int seen = 0; seen < 2; seen++) {
                int32_t all[BATCH * ITEMS], some[BATCH * ITEMS];
                float score[BATCH * ITEMS], value[BATCH * ITEMS];
                const sg_filter f = {.seen = seen};

                score_with(m, NULL, &h, &f, beam, ITEMS, all, score);
                for (int u = 0; u < BATCH; u++) {
                    int found = 0;

                    for (int i = 0; i < ITEMS; i++) {
                        found += all[u * ITEMS + i] >= 0;
                        assert_true(i == 0 || score[u * ITEMS + i] <= score[u * ITEMS + i - 1]);
                        for (int j = 0; j < i; j++)
                            assert_true(all[u * ITEMS + i] < 0 || all[u * ITEMS + i] != all[u * ITEMS + j]);
                    }
                    assert_true(kind == 4 ? found >= beam
                                : seen    ? found < ITEMS
                                          : found == ITEMS); /* one of each ID, or all */
                }
                for (int n = 1; n < ITEMS; n++) {
                    score_with(m, NULL, &h, &f, beam, n, some, value);
                    for (int u = 0; u < BATCH; u++) {
                        assert_memory_equal(some + u * n, all + u * ITEMS, (size_t)n * sizeof *some);
                        assert_memory_equal(value + u * n, score + u * ITEMS, (size_t)n * sizeof *value);
                    }
                }
            }
        sg_model_free(m);
    }
    tiny_free(&k.t);
}

/* Explained are any items, those of IDs that the beam would not reach too. */
static void explains_more_items_than_the_beam_holds(void **state)
{
    (void)state;
    kit k;
    float by_item[ITEMS];
    int32_t item[ITEMS];
    sg_error err = {0};
    sg_explanation x;
    sg_session *s;

    kit_init(&k, 20, 9);
    sg_model *m = model_without_positions(&k, SMALL "levels=3 beam=2 fuse=all");
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 4}, .item = k.t.item};
    score_all(m, k.t.item, 4, by_item);
    for (int i = 0; i < ITEMS; i++)
        item[i] = ITEMS - 1 - i;
    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    assert_int_equal(sg_explain(&x, s, &h, item, ITEMS, 2, &err), SG_OK);
    for (int i = 0; i < ITEMS; i++)
        assert_float_equal(x.score[i], by_item[item[i]], 1e-5);
    sg_explanation_free(&x);
    sg_session_free(s);
    sg_model_free(m);
    tiny_free(&k.t);
}

/* STAR is counted while training: a model without cannot be asked for it later. */
static void says_that_star_has_to_be_trained(void **state)
{
    static const char *const classes[] = {"cobra", "tiger", "sasrec"};
    (void)state;
    kit k;

    kit_init(&k, 20, 9);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        sg_error err = {0};
        char expected[256];
        sg_model *m = tiny_model(&k.t, classes[i], "dim=16", 3);

        assert_int_equal(sg_options_assign(m->config, m->class->options, m->class->n_options, "star=3", &err),
                         SG_OK);
        snprintf(expected, sizeof expected,
                 "%s: star=3: expected a model that was trained with star above 0, found one without",
                 classes[i]);
        assert_int_equal(m->class->ready(m, &err), SG_ERR_USAGE);
        assert_string_equal(err.message, expected);
        sg_model_free(m);
    }
    tiny_free(&k.t);
}

/* Nothing is learned against an item that training has not seen: neither its text nor its ID matter. */
static void unseen_items_are_no_negatives(void **state)
{
    (void)state;
    kit k;
    sg_error err = {0};
    double loss[4];
    size_t n;

    for (int turn = 0; turn < 4;
         turn++) { /* two with the option, two without: item 7 as it is, and changed */
        const bool changed = turn % 2;

        kit_init(&k, 40, 9);
        for (int64_t e = 0; e < k.t.user_offsets[40]; e++)
            if (k.t.item[e] == 7)
                k.t.item[e] = 8;
        for (int j = 0; j < DIM; j++)
            k.v[7 * DIM + j] = changed ? 100 : 0.5f;
        k.v[7 * DIM] = changed ? -100 : 0.5f;
        sg_model *m =
            tiny_model(&k.t, "cobra",
                       turn < 2 ? SMALL "negatives=0 softmax=legal prefix_vectors=true leave_unseen=true"
                                : SMALL "negatives=0 softmax=legal prefix_vectors=true",
                       3);
        sg_param *text = sg_params_find(&m->params, "text.weight"),
                 *prefix = sg_params_find(&m->params, "prefix.weight");
        for (size_t i = 0; i < text->count;
             i++) /* the same spread in both: all but item 7 read what they read */
            if (i / DIM != 7)
                text->value[i] = k.v[i];
        for (size_t i = 0; changed && i < prefix->count;
             i++) /* prefixes of two codes, then names in the order of items */
            if (i / 16 == 7 || i / 16 == ITEMS + 7)
                prefix->value[i] =
                    i % 3 ? 5 : -5; /* what is read is normalised: it would not see a constant */
        assert_int_equal(m->class->examples(m, &k.t.train, &n, &err), SG_OK);
        loss[turn] = tiny_loss(m, 10);
        sg_model_free(m);
        tiny_free(&k.t);
    }
    assert_true(loss[0] == loss[1]);
    assert_true(loss[2] != loss[3]); /* without the option its codes are learned against */
}

static void a_user_gets_the_same_alone_in_a_batch_and_on_any_threads(void **state)
{
    (void)state;
    kit k;
    int32_t all[4 * 7], one[7];
    float score[4 * 7], alone[7];
    const int64_t offsets[] = {0, 5, 5, 30, 31};
    sg_error err = {0};
    sg_pool *pool;

    kit_init(&k, 10, 30);
    assert_int_equal(sg_pool_new(&pool, 2, &err), SG_OK);
    sg_model *m = tiny_model(&k.t, "cobra", SMALL "levels=2", 3);
    score_with(m, pool, &(sg_histories){.n = 4, .offsets = offsets, .item = k.t.item}, NULL, 4, 7, all,
               score);
    for (int i = 0; i < 4; i++) {
        score_with(m, NULL, &(sg_histories){.n = 1, .offsets = offsets + i, .item = k.t.item}, NULL, 4, 7,
                   one, alone);
        assert_memory_equal(one, all + 7 * i, sizeof one);
        assert_memory_equal(alone, score + 7 * i, sizeof alone);
    }
    score_with(m, NULL, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, 8}, .item = k.t.item + 22}, NULL, 4,
               7, one, alone);
    for (int i = 0; i < 7; i++) { /* of a long history the latest 8 matter */
        assert_int_equal(one[i], all[14 + i]);
        assert_true(fabsf(alone[i] - score[14 + i]) < 1e-4f);
    }
    sg_model_free(m);
    sg_pool_free(pool);
    tiny_free(&k.t);
}

static void says_that_its_lists_are_neither_spread_nor_drawn(void **state)
{
    (void)state;
    kit k;
    sg_error err = {0};
    sg_session *s;
    int32_t item[2];
    float score[2];

    kit_init(&k, 10, 9);
    sg_model *m = tiny_model(&k.t, "cobra", SMALL, 3);
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 4}, .item = k.t.item};
    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    s->temperature = 1;
    assert_int_equal(sg_session_recommend(s, &h, NULL, 2, item, score, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "cobra: lists cannot be spread (groups) or drawn (temperature)");
    sg_session_free(s);
    sg_model_free(m);
    tiny_free(&k.t);
}

static sg_status build_and_ask(kit *k, sg_error *err)
{
    const sg_histories h = {.n = 2, .offsets = (int64_t[]){0, 4, 9}, .item = k->t.item};
    const sg_model_class *class = sg_model_class_find("cobra", err);
    uint8_t allow[ITEMS];
    int32_t item[2 * 5];
    float score[2 * 5];
    char text[] =
        SMALL "levels=2 softmax=legal prefix_vectors=true content=1 item_vectors=true star=2 star_text=0";
    sg_session *s = NULL;
    sg_model *m;
    sg_graph *g = NULL;
    size_t n;
    sg_status st = sg_model_new(&m, class, err);

    memset(allow, 1, sizeof allow);
    for (char *save = NULL, *p = strtok_r(text, " ", &save); !st && p; p = strtok_r(NULL, " ", &save))
        st = sg_options_assign(m->config, class->options, class->n_options, p, err);
    if (st || (st = sg_model_build(m, &k->t.train, 1, err)) ||
        (st = class->examples(m, &k->t.train, &n, err)) || (st = sg_graph_new(&g, NULL, SG_F32, err)))
        goto done;
    sg_graph_begin(g, SG_INFER, 0, 0);
    class->loss(m, g, (const uint32_t[]){0, 1}, 2, 1, 0);
    if ((st = sg_graph_status(g, err)) || (st = class->ready(m, err)) ||
        (st = sg_session_new(&s, m, NULL, err)))
        goto done;
    st = sg_session_recommend(s, &h, &(sg_filter){.seen = true, .allow = allow}, 5, item, score, err);
done:
    sg_session_free(s);
    sg_graph_free(g);
    sg_model_free(m);
    return st;
}

static void survives_failing_memory(void **state)
{
    (void)state;
    kit k;
    sg_status st = SG_ERR_MEMORY;
    sg_error err;
    uint64_t n = 0;

    kit_init(&k, 20, 9);
    const int64_t live = sg_alloc_live();
    while (st) {
        sg_alloc_fail_at(++n);
        st = build_and_ask(&k, &err);
        sg_alloc_fail_at(0);
        assert_true(st == SG_OK || st == SG_ERR_MEMORY);
        assert_int_equal(sg_alloc_live(), live);
    }
    assert_true(n > 50);
    tiny_free(&k.t);
}

static void says_what_is_missing(void **state)
{
    (void)state;
    kit k;
    sg_error err = {0};
    sg_model *m;

    kit_init(&k, 10, 9);
    const sg_train_data without = {.data = &k.t.data, .split = k.t.split, .ids = &k.t.ids};
    assert_int_equal(sg_model_new(&m, sg_model_class_find("cobra", &err), &err), SG_OK);
    assert_int_equal(sg_model_build(m, &without, 1, &err), SG_ERR_MISSING);
    assert_string_equal(err.message, "cobra needs item vectors: run `sedge embed DATA` first");
    sg_model_free(m);
    tiny_free(&k.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_loss_equals_decoded_scores),
        cmocka_unit_test(vectors_are_learned_as_they_are_asked),
        cmocka_unit_test(the_gradient_is_the_slope),
        cmocka_unit_test(the_fusion_is_the_formula),
        cmocka_unit_test(the_path_sums_to_the_score),
        cmocka_unit_test(items_come_from_their_ids_and_no_more_than_asked),
        cmocka_unit_test(filters_only_remove),
        cmocka_unit_test(hidden_items_take_no_place),
        cmocka_unit_test(star_is_added_to_every_item),
        cmocka_unit_test(heavy_cosines_keep_their_order),
        cmocka_unit_test(a_short_list_begins_every_longer_one),
        cmocka_unit_test(explains_more_items_than_the_beam_holds),
        cmocka_unit_test(says_that_star_has_to_be_trained),
        cmocka_unit_test(unseen_items_are_no_negatives),
        cmocka_unit_test(a_user_gets_the_same_alone_in_a_batch_and_on_any_threads),
        cmocka_unit_test(says_that_its_lists_are_neither_spread_nor_drawn),
        cmocka_unit_test(survives_failing_memory),
        cmocka_unit_test(says_what_is_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
