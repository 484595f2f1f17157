/* tiger.c - what the generative model promises: one encoder pass serves every prefix, decoding is legal and exact. */
#include "tiny.h"

#include <math.h>

#define SMALL "dim=16 layers=2 heads=2 head_dim=8 ffn=24 history=6 dropout=0 "

/* log-probability of every item after a history, by a beam as wide as the catalogue */
static void score_all(sg_model *m, const int32_t *item, int n, int32_t user, int beam, int k, int32_t *out,
                      float *score)
{
    sg_error err = {0};
    sg_session *s;
    const int64_t offsets[2] = {0, n};
    const sg_histories h = {.n = 1, .offsets = offsets, .item = item, .user = &user};

    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    s->beam = beam;
    if (sg_session_recommend(s, &h, NULL, k, out, score, &err))
        fail_msg("%s", err.message);
    sg_session_free(s);
}

/* The training loss of all targets of a user in one pass equals the mean over its prefixes of -log p(next item), each asked on its
 * own by cached, constrained decoding: causality of the encoder, the caches and the loss agree. */
static void training_loss_equals_decoded_scores(const char *options, bool ends)
{
    enum { ITEMS = 12 };
    const bool legal = strstr(options, "softmax=legal") != NULL;
    sg_error err = {0};
    tiny t;
    size_t n;
    double sum = 0;
    int codes = 0;
    int32_t item[ITEMS];
    float score[ITEMS];

    tiny_new(&t, 20, ITEMS, 9, 4); /* the others are there so that no item is unknown */
    if (ends)
        tiny_let_end(&t);
    t.split->train_end[0] = t.user_offsets[1] < 7 ? t.user_offsets[1] : 7; /* one run: history 6 */
    const int end = (int)t.split->train_end[0];
    sg_model *m = tiny_model(&t, "tiger", options, 3);
    sg_param *prefix =
        sg_params_find(&m->params, "prefix.weight"); /* zero at the start: fill it, so that it counts */
    for (size_t i = 0; prefix && i < prefix->count; i++)
        prefix->value[i] = (float)sg_rng_normal(1, SG_RNG_TEST, 0, i);
    assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
    for (int e = 1; e < end; e++) {
        int found = 0;

        score_all(m, t.item, e, 0, ITEMS, ITEMS, item, score);
        for (int i = 0; i < ITEMS; i++)
            if (item[i] == t.item[e]) {
                sum -= (double)score[i];
                found++;
            }
        assert_int_equal(found, 1);
        const int length = sg_catalogue_length(m->catalogue, t.codes + 3 * (size_t)t.item[e]);
        codes += length < 3 && !legal ? length + 1 : length; /* the end too, where there is something else */
    }
    const int own = strstr(options, "augment=prefix") ? end - 1 : 1; /* examples of user 0 */
    assert_true((int)n > own);
    assert_true(fabs(tiny_loss(m, own) - sum / codes) < 1e-4);
    sg_model_free(m);
    tiny_free(&t);
}

static void one_pass_over_a_user_equals_its_prefixes(void **state)
{
    (void)state;
    for (int ends = 0; ends < 2; ends++) {
        training_loss_equals_decoded_scores(SMALL, ends);
        training_loss_equals_decoded_scores(SMALL "user_tokens=3 tied=false gated=true", ends);
        training_loss_equals_decoded_scores(SMALL "prefix_vectors=true", ends);
        training_loss_equals_decoded_scores(SMALL "softmax=legal", ends);
        training_loss_equals_decoded_scores(SMALL "softmax=legal prefix_vectors=true", ends);
    }
}

/* Scores per code: as lists, where the beam holds all, and of all items. */
static void scores_may_be_per_code(void **state)
{
    enum { ITEMS = 12 };
    (void)state;
    sg_error err;
    tiny t;
    int32_t item[2][ITEMS];
    float score[2][ITEMS], all[ITEMS];
    const int64_t offsets[2] = {0, 4};
    int moved = 0;

    tiny_new(&t, 20, ITEMS, 9, 4);
    tiny_let_end(&t);
    for (int i = 0; i < 2; i++) {
        sg_model *m = tiny_model(&t, "tiger", i ? SMALL "length_norm=0.7" : SMALL, 5);

        score_all(m, t.item, 4, 3, ITEMS, ITEMS, item[i], score[i]);
        if (i)
            tiny_score(
                m, &(sg_histories){.n = 1, .offsets = offsets, .item = t.item, .user = (const int32_t[]){3}},
                all);
        for (int k = 0; i && k < ITEMS; k++) {
            const double length = sg_catalogue_length(m->catalogue, t.codes + 3 * (size_t)item[1][k]);
            int at = 0;

            while (item[0][at] != item[1][k])
                at++;
            moved += at != k;
            assert_float_equal(score[1][k], (double)score[0][at] / pow(length, 0.7), 1e-5);
            assert_float_equal(score[1][k], all[item[1][k]], 1e-5);
            assert_true(k == 0 || score[1][k] <= score[1][k - 1]);
        }
        sg_model_free(m);
    }
    assert_true(moved > 2);
    sg_model *m = tiny_model(&t, "tiger", SMALL "length_norm=1", 5);
    sg_session *s;

    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    s->beam = ITEMS; /* the best three of a wider beam */
    assert_int_equal(sg_session_recommend(s, &(sg_histories){.n = 1, .offsets = offsets, .item = t.item},
                                          NULL, 3, item[0], score[0], &err),
                     SG_OK);
    assert_int_equal(sg_session_recommend(s, &(sg_histories){.n = 1, .offsets = offsets, .item = t.item},
                                          NULL, ITEMS, item[1], score[1], &err),
                     SG_OK);
    assert_memory_equal(item[0], item[1], 3 * sizeof(int32_t));
    sg_session_free(s);
    sg_model_free(m);
    tiny_free(&t);
}

/* Pairs of items with equal codes. turned: their digits the other way round. */
static void share_leaves(tiny *t, int turned)
{
    for (int32_t i = 0; i < t->ids.n; i++) {
        int32_t *code = t->codes + 3 * (size_t)i;

        code[0] = i / 4;
        code[1] = i % 4 / 2;
        code[2] = i % 2 == turned;
    }
}

/* The first items of a list do not depend on how many follow, also where a beam of three is compared by length. */
static void a_short_list_begins_every_longer_one(void **state)
{
    enum { ITEMS = 24, BATCH = 3 };
    static const char *const kinds[] = {SMALL "beam=3", SMALL "beam=3 length_norm=1",
                                        SMALL "beam=5 length_norm=1",
                                        SMALL "beam=3 length_norm=0.5 softmax=legal"};
    (void)state;
    tiny t;

    tiny_new(&t, 20, ITEMS, 9, 6);
    tiny_let_end(&t);
    const sg_histories h = {.n = BATCH, .offsets = (int64_t[]){0, 4, 6, 11}, .item = t.item};
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        int32_t all[BATCH * ITEMS], some[BATCH * ITEMS];
        float score[BATCH * ITEMS], value[BATCH * ITEMS];
        sg_error err = {0};
        sg_session *s;
        sg_model *m = tiny_model(&t, "tiger", kinds[kind], 5);

        assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
        assert_int_equal(sg_session_recommend(s, &h, NULL, ITEMS, all, score, &err), SG_OK);
        for (int i = 0; i < BATCH * ITEMS; i++)
            assert_true(all[i] >= 0 && (i % ITEMS == 0 || score[i] <= score[i - 1]));
        for (int n = 1; n < ITEMS; n++) {
            assert_int_equal(sg_session_recommend(s, &h, NULL, n, some, value, &err), SG_OK);
            for (int u = 0; u < BATCH; u++)
                for (int i = 0; i < n; i++) {
                    assert_int_equal(some[u * n + i], all[u * ITEMS + i]);
                    assert_float_equal(value[u * n + i], score[u * ITEMS + i], 1e-5);
                }
        }
        sg_session_free(s);
        sg_model_free(m);
    }
    tiny_free(&t);
}

/* leaf=shared: what is learned is all codes but the digit; an item's score is theirs and its share of the events of its leaf; digits
 * could be any; lists hold every item once, as exact scores have it. */
static void leaves_may_be_shared(void **state)
{
    enum { ITEMS = 12 };
    static const char *const kinds[] = {"", "softmax=legal", "softmax=legal prefix_vectors=true",
                                        "augment=prefix user_tokens=3", "renormalise=true"};
    const int64_t offsets[2] = {0, 5};
    sg_error err = {0};

    (void)state;
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        float by_item[2][ITEMS], exact[ITEMS], score[ITEMS];
        char options[300];

        snprintf(options, sizeof options, SMALL "leaf=shared %s", kinds[kind]);
        for (int turned = 0; turned < 2; turned++) {
            double events[ITEMS], sum = 0;
            int32_t item[ITEMS];
            size_t n;
            tiny t;

            tiny_new(&t, 20, ITEMS, 9, 4);
            share_leaves(&t, turned);
            t.split->train_end[0] = t.user_offsets[1] < 7 ? t.user_offsets[1] : 7;
            const int end = (int)t.split->train_end[0];
            for (int i = 0; i < ITEMS; i++)
                events[i] = 1;
            for (int u = 0; u < 20; u++)
                for (int64_t e = t.user_offsets[u]; e < t.split->train_end[u]; e++)
                    events[t.item[e]]++;
            sg_model *m = tiny_model(&t, "tiger", options, 3);
            assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
            for (int e = 1; e < end; e++) {
                score_all(m, t.item, e, 0, ITEMS, ITEMS, item, score);
                for (int i = 0; i < ITEMS; i++) {
                    const int32_t one = item[i];

                    assert_in_range(one, 0, ITEMS - 1);
                    by_item[turned][one] = score[i];
                    if (one == t.item[e])
                        sum -= (double)score[i] - log(events[one] / (events[one] + events[one ^ 1]));
                }
                for (int i = 0; i < ITEMS; i += 2)
                    assert_true(fabs((double)by_item[turned][i] - (double)by_item[turned][i + 1] -
                                     log(events[i] / events[i + 1])) < 1e-4);
            }
            if (!strstr(options, "renormalise")) /* which learns over all codes of a level */
                assert_true(fabs(tiny_loss(m, strstr(options, "augment") ? end - 1 : 1) -
                                 sum / (2 * (end - 1))) < 1e-4);
            tiny_score(
                m, &(sg_histories){.n = 1, .offsets = offsets, .item = t.item, .user = (const int32_t[]){0}},
                exact);
            score_all(m, t.item, 5, 0, 2, ITEMS, item, score); /* a narrow beam, widened to the list */
            for (int i = 0; i < ITEMS; i++)
                assert_float_equal(score[i], exact[item[i]], 1e-4);
            sg_model_free(m);
            tiny_free(&t);
        }
        for (int i = 0; i < ITEMS; i++)
            assert_float_equal(by_item[0][i], by_item[1][i], 1e-5);
    }
}

static void prefix_training_equals_decoding(void **state)
{
    (void)state;
    for (int ends = 0; ends < 2; ends++) {
        training_loss_equals_decoded_scores(SMALL "augment=prefix", ends);
        training_loss_equals_decoded_scores(SMALL "augment=prefix user_tokens=3", ends);
    }
}

static void decoding_gives_every_item_once_and_probabilities_add_up(void **state)
{
    enum { ITEMS = 12 };
    (void)state;
    tiny t;
    int32_t item[ITEMS];
    float score[ITEMS];
    double sum = 0;
    int seen[ITEMS] = {0};

    tiny_new(&t, 20, ITEMS, 9, 4);
    sg_model *m = tiny_model(&t, "tiger", SMALL "renormalise=true", 5);
    score_all(m, t.item, 4, 3, ITEMS, ITEMS, item, score);
    for (int i = 0; i < ITEMS; i++) {
        assert_in_range(item[i], 0, ITEMS - 1);
        assert_int_equal(seen[item[i]]++, 0);
        assert_true(i == 0 || score[i] <= score[i - 1]);
        sum += exp((double)score[i]);
    }
    assert_true(fabs(sum - 1) < 1e-4); /* over codes that exist, the items' probabilities sum to one */
    sg_model_free(m);
    tiny_free(&t);
}

/* STAR's scores times the weight are added to every item, in lists as in scores of all items; of a history that is filtered out
 * nothing is left. What is drawn cannot have them. */
static void star_is_added_to_every_item(void **state)
{
    enum { ITEMS = 20 };
    (void)state;
    tiny t;
    float with[ITEMS], without[ITEMS], star[ITEMS], score[ITEMS];
    int32_t item[ITEMS];
    sg_error err = {0};
    sg_session *s;
    int moved = 0;

    tiny_new(&t, 40, ITEMS, 9, 5);
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 4}, .item = t.item};
    sg_model *a = tiny_model(&t, "tiger", SMALL "softmax=legal", 3);
    sg_model *b = tiny_model(&t, "tiger", SMALL "softmax=legal star=3 star_text=0", 3);
    sg_model *c = tiny_model(&t, "star", "a=0 pop=0", 1);
    assert_int_equal(sg_model_fit(c, &t.train, NULL, NULL, &err), SG_OK);
    tiny_score(a, &h, without);
    tiny_score(b, &h, with);
    tiny_score(c, &h, star);
    for (int i = 0; i < ITEMS; i++) {
        assert_true(fabsf(with[i] - without[i] - 3 * star[i]) < 1e-4f);
        moved += star[i] > 0;
    }
    assert_true(moved > 2);
    assert_int_equal(sg_session_new(&s, b, NULL, &err), SG_OK);
    s->beam = 2;
    for (int seen = 0; seen < 2; seen++) {
        assert_int_equal(sg_session_recommend(s, &h, &(sg_filter){.seen = seen}, 5, item, score, &err),
                         SG_OK);
        for (int i = 0; i < 5; i++) {
            int better = 0;

            for (int j = 0; j < ITEMS; j++) {
                bool out = false;

                for (int e = 0; seen && e < 4; e++)
                    out = out || t.item[e] == j;
                better += !out && with[j] > with[item[i]] + 1e-4f;
            }
            assert_int_equal(better, i);
            assert_true(fabsf(score[i] - with[item[i]]) < 1e-4f);
        }
    }
    s->temperature = 1;
    assert_int_equal(sg_session_recommend(s, &h, NULL, 5, item, score, &err), SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "tiger: lists with STAR's scores cannot be spread (groups) or drawn (temperature)");
    sg_session_free(s);
    sg_model_free(a);
    sg_model_free(b);
    sg_model_free(c);
    tiny_free(&t);
}

/* Items that training has not seen are no answers of its softmax. */
static void unseen_items_are_no_answers(void **state)
{
    enum { ITEMS = 12, UNSEEN = 5 };
    (void)state;
    sg_error err = {0};
    double loss[4];
    tiny t;
    size_t n;

    tiny_new(&t, 30, ITEMS, 9, 4);
    for (int64_t e = 0; e < t.user_offsets[30]; e++)
        if (t.item[e] == UNSEEN)
            t.item[e] = UNSEEN + 1;
    for (int turn = 0; turn < 4; turn++) {
        sg_model *m = tiny_model(&t, "tiger",
                                 turn < 2 ? SMALL "softmax=legal prefix_vectors=true leave_unseen=true"
                                          : SMALL "softmax=legal prefix_vectors=true",
                                 3);
        sg_param *prefix = sg_params_find(&m->params, "prefix.weight");

        for (int i = 0; turn % 2 && i < 16;
             i++) /* prefixes of two codes, then of three, in the order of items */
            prefix->value[16 * UNSEEN + i] = prefix->value[16 * (ITEMS + UNSEEN) + i] = 3;
        assert_int_equal(m->class->examples(m, &t.train, &n, &err), SG_OK);
        loss[turn] = tiny_loss(m, 20);
        sg_model_free(m);
    }
    assert_true(loss[0] == loss[1]);
    assert_true(loss[2] != loss[3]); /* without the option they are */
    tiny_free(&t);
}

static void long_histories_keep_the_latest_and_make_each_target_once(void **state)
{
    (void)state;
    sg_error err = {0};
    tiny t;
    size_t n_user, n_prefix, targets = 0;

    tiny_new(&t, 30, 20, 60, 5);
    sg_model *by_user = tiny_model(&t, "tiger", SMALL, 3);
    sg_model *by_prefix = tiny_model(&t, "tiger", SMALL "augment=prefix", 3);
    assert_int_equal(by_user->class->examples(by_user, &t.train, &n_user, &err), SG_OK);
    assert_int_equal(by_prefix->class->examples(by_prefix, &t.train, &n_prefix, &err), SG_OK);
    for (int u = 0; u < 30; u++)
        targets += (size_t)(t.split->train_end[u] - t.user_offsets[u] - 1);
    assert_int_equal(n_prefix, targets);
    assert_true(n_user < n_prefix / 2);

    int32_t a[5], b[5];
    float sa[5], sb[5];
    score_all(by_user, t.item, 12, 0, 20, 5, a, sa); /* history=6: the first six do not matter */
    score_all(by_user, t.item + 6, 6, 0, 20, 5, b, sb);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_equal(sa, sb, sizeof sa);
    sg_model_free(by_user);
    sg_model_free(by_prefix);
    tiny_free(&t);
}

/* Lists and scores of all users, asked `together` at a time. */
static void ask_all(const sg_model *m, const tiny *t, int users, int together, bool complete, sg_pool *pool,
                    int32_t *item, float *score)
{
    enum { K = 5 };
    const sg_filter unseen = {.seen = true};
    sg_error err = {0};
    sg_session *s;

    assert_int_equal(sg_session_new(&s, m, pool, &err), SG_OK);
    s->beam = 6;
    s->plain = !complete;
    for (int u = 0; u < users; u += together) {
        const sg_histories h = {.n = users - u < together ? users - u : together,
                                .offsets = t->user_offsets + u,
                                .item = t->item};

        if (sg_session_recommend(s, &h, &unseen, K, item + u * K, score + u * K, &err))
            fail_msg("%s", err.message);
    }
    sg_session_free(s);
}

static void a_user_gets_the_same_alone_in_a_batch_and_on_any_threads(void **state)
{
    enum { USERS = 60, N = USERS * 5 };
    (void)state;
    static const char *const options[] = {SMALL, SMALL "softmax=legal prefix_vectors=true gated=true",
                                          "dim=20 heads=3 head_dim=16 ffn=40"};
    int32_t item[4][N];
    float score[4][N];
    sg_error err = {0};
    sg_pool *pool;

    assert_int_equal(sg_pool_new(&pool, 3, &err), SG_OK);
    for (int i = 0; i < 3; i++)
        for (int complete = 0; complete < 2; complete++) {
            tiny t;

            tiny_new(&t, USERS, 40, 9, 8);
            sg_model *m = tiny_model(&t, "tiger", options[i], 5);
            ask_all(m, &t, USERS, 1, complete, NULL, item[0], score[0]);
            ask_all(m, &t, USERS, USERS, complete, NULL, item[1], score[1]);
            ask_all(m, &t, USERS, USERS, complete, pool, item[2], score[2]);
            ask_all(m, &t, USERS, 7, complete, pool, item[3], score[3]);
            for (int j = 1; j < 4; j++) {
                assert_memory_equal(item[j], item[0], sizeof item[0]);
                assert_memory_equal(score[j], score[0], sizeof score[0]);
            }
            sg_model_free(m);
            tiny_free(&t);
        }
    sg_pool_free(pool);
}

/* Groups, draws, lists by marginal relevance: legal lists of different items whose scores are those of the exact search; the same seed draws the same. */
static void check_ways(const char *options, bool ends)
{
    enum { USERS = 9, ITEMS = 40, K = 6, WAYS = 5 };
    static const struct way {
        int groups;
        float temperature;
        uint64_t seed;
        float apart;
    } ways[WAYS] = {{3, 0, 0, 0}, {1, 2, 7, 0}, {1, 2, 7, 0}, {1, 2, 8, 0}, {1, 0, 0, 0.5f}};
    int32_t item[WAYS][USERS * K];
    float score[WAYS][USERS * K];
    sg_error err = {0};
    tiny t;

    tiny_new(&t, USERS, ITEMS, 9, 8);
    if (ends)
        tiny_let_end(&t);
    sg_model *m = tiny_model(&t, "tiger", options, 5);
    for (int w = 0; w < WAYS; w++) {
        const sg_histories h = {.n = USERS, .offsets = t.user_offsets, .item = t.item};
        sg_session *s;

        assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
        s->beam = 8;
        s->groups = ways[w].groups;
        s->diversity = 1;
        s->temperature = ways[w].temperature;
        s->seed = ways[w].seed;
        s->apart = ways[w].apart;
        if (sg_session_recommend(s, &h, NULL, K, item[w], score[w], &err))
            fail_msg("%s", err.message);
        sg_session_free(s);
        for (int u = 0; u < USERS; u++) {
            int32_t all[ITEMS];
            float exact[ITEMS];

            score_all(m, t.item + t.user_offsets[u], (int)(t.user_offsets[u + 1] - t.user_offsets[u]), u,
                      ITEMS, ITEMS, all, exact);
            for (int i = 0; i < K; i++) {
                int found = 0;

                assert_true(!i || ways[w].temperature > 0 || ways[w].apart > 0 ||
                            score[w][u * K + i] <= score[w][u * K + i - 1]);
                for (int j = 0; j < i; j++)
                    assert_int_not_equal(item[w][u * K + i], item[w][u * K + j]);
                for (int j = 0; j < ITEMS; j++)
                    if (all[j] == item[w][u * K + i]) {
                        assert_true(fabsf(exact[j] - score[w][u * K + i]) < 1e-3f);
                        found++;
                    }
                assert_int_equal(found, 1);
            }
        }
    }
    assert_memory_equal(item[1], item[2], sizeof item[1]);
    assert_true(memcmp(item[1], item[3], sizeof item[1]) != 0);
    sg_model_free(m);
    tiny_free(&t);
}

static void lists_may_be_spread_or_drawn(void **state)
{
    (void)state;
    check_ways(SMALL, false);
    check_ways(SMALL "length_norm=0.8", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_pass_over_a_user_equals_its_prefixes),
        cmocka_unit_test(scores_may_be_per_code),
        cmocka_unit_test(a_short_list_begins_every_longer_one),
        cmocka_unit_test(leaves_may_be_shared),
        cmocka_unit_test(prefix_training_equals_decoding),
        cmocka_unit_test(decoding_gives_every_item_once_and_probabilities_add_up),
        cmocka_unit_test(star_is_added_to_every_item),
        cmocka_unit_test(unseen_items_are_no_answers),
        cmocka_unit_test(long_histories_keep_the_latest_and_make_each_target_once),
        cmocka_unit_test(a_user_gets_the_same_alone_in_a_batch_and_on_any_threads),
        cmocka_unit_test(lists_may_be_spread_or_drawn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
