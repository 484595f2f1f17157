/* onerec.c - slates are found as they are learned, the judge is consistent, alignment starts where it should and moves where it should. */
#include "tiny.h"

#include "base/io.h"
#include "models/align.h"
#include "models/explain.h"
#include "models/reward.h"
#include "scratch.h"

#define SMALL                                                                                                \
    "dim=16 layers=2 heads=2 head_dim=8 ffn=12 experts=4 top=2 act=silu history=6 dropout=0 items=3 "
#define JUDGE "dim=16 heads=2 hidden=8 history=6 items=3 dropout=0 item_sd=1 hold=0.3 "

enum { ITEMS = 12, USERS = 30 };

typedef struct made { /* a tiny dataset with ratings, and folders of a judge of it and of what is aligned */
    tiny t;
    float *rating;
    char judge[SCRATCH_MAX], base[SCRATCH_MAX], options[512];
} made;

static void save(made *d, const char *dir, const char *name, const char *options, uint64_t seed)
{
    sg_error err = {0};
    sg_model *m = tiny_model(&d->t, name, options, seed);

    if (sg_model_save(m, dir, &err))
        fail_msg("%s", err.message);
    sg_model_free(m);
}

static void made_new(made *d, const char *judge_options)
{

    tiny_new(&d->t, USERS, ITEMS, 12, 4);
    d->rating = sg_alloc_array((size_t)d->t.data.n_events, sizeof *d->rating);
    assert_non_null(d->rating);
    for (int64_t e = 0; e < d->t.data.n_events; e++) /* even items are good */
        d->rating[e] = d->t.item[e] % 2 ? 1 + (float)(e % 3) : 5 - (float)(e % 2);
    d->t.data.rating = d->rating;
    assert_int_equal(scratch_make(d->judge, "onerec"), 0);
    assert_int_equal(scratch_make(d->base, "onerec"), 0);
    save(d, d->judge, "onerec-reward", judge_options, 7);
    save(d, d->base, "onerec", SMALL, 3);
}

/* An alignment of the model in `base`, unless options name another. */
static const char *with_judge(made *d, const char *options)
{
    snprintf(d->options, sizeof d->options, "init=%s %.300s reward=%s", d->base, options, d->judge);
    return d->options;
}

static void made_free(made *d)
{
    sg_dir_remove(d->judge, NULL);
    sg_dir_remove(d->base, NULL);
    sg_free(d->rating);
    tiny_free(&d->t);
}

static const sg_coder *coder_of(const sg_model *m) /* it comes first in the state of the class */
{
    return m->state;
}

/* log p of a slate after a history as training sees it */
static double slate_logp(const sg_model *m, const int32_t *history, int n, const int32_t *slate, int items)
{
    const sg_coder *s = coder_of(m);
    sg_error err = {0};
    sg_slate_rows b;
    sg_graph *g;
    double sum = 0;

    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    sg_graph_begin(g, SG_INFER, 0, 0);
    assert_true(sg_slate_rows_take(&b, g, s, 1, (size_t)n, 1, (size_t)items));
    sg_slate_rows_example(&b, 0, history, n);
    sg_slate_rows_add(&b, s, n, slate, items);
    const sg_tensor *y = sg_log_prob(
        g, sg_scale(g, sg_linear(g, sg_slate_rows_forward(g, s, &b), s->names.head, NULL), s->names.scale),
        b.begin, b.size, b.target);
    if (sg_graph_status(g, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < y->count; i++)
        sum += (double)y->data[i];
    sg_graph_free(g);
    return sum;
}

static void find(const sg_model *m, const sg_histories *h, const sg_slate_spec *spec, int32_t *item,
                 float *logp, int k)
{
    sg_error err = {0};
    int32_t *lead = sg_alloc_array((size_t)h->n * (size_t)k, sizeof *lead);
    float *lead_logp = sg_alloc_array((size_t)h->n * (size_t)k, sizeof *lead_logp);
    sg_session *s;

    assert_true(lead && lead_logp);
    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    if (sg_slates_find(item, logp, lead, lead_logp, k, coder_of(m), s, h, 0, h->n, spec, &err))
        fail_msg("%s", err.message);
    sg_session_free(s);
    sg_free(lead);
    sg_free(lead_logp);
}

/* What the search adds up, code by code from kept keys and values, is what the training's pass over the whole slate says. */
static void check_slates(const char *options)
{
    enum { BEAMS = 6, N = 3 };
    tiny t;
    int32_t item[2 * BEAMS * N];
    float logp[2 * BEAMS];
    const int64_t offsets[] = {0, 4, 9};

    tiny_new(&t, USERS, ITEMS, 12, 4);
    sg_model *m = tiny_model(&t, "onerec", options, 3);
    sg_param *prefix = sg_params_find(&m->params, "prefix.weight");
    for (size_t i = 0; prefix && i < prefix->count; i++)
        prefix->value[i] = (float)sg_rng_normal(1, SG_RNG_TEST, 0, i);
    const sg_histories h = {.n = 2, .offsets = offsets, .item = t.item};
    find(m, &h, &(sg_slate_spec){.items = N, .beams = BEAMS, .branch = 3, .seen = true}, item, logp, BEAMS);
    for (int u = 0; u < 2; u++)
        for (int b = 0; b < BEAMS; b++) {
            const int32_t *slate = item + (u * BEAMS + b) * N;
            const int from = (int)(offsets[u + 1] - offsets[u] > 6 ? offsets[u + 1] - 6 : offsets[u]);

            assert_true(b == 0 || logp[u * BEAMS + b] <= logp[u * BEAMS + b - 1]);
            for (int i = 0; i < N; i++) {
                assert_in_range(slate[i], 0, ITEMS - 1);
                for (int j = 0; j < i; j++)
                    assert_int_not_equal(slate[i], slate[j]);
                for (int64_t e = offsets[u]; e < offsets[u + 1]; e++)
                    assert_int_not_equal(slate[i], t.item[e]);
            }
            assert_true(fabs(slate_logp(m, t.item + from, (int)offsets[u + 1] - from, slate, N) -
                             (double)logp[u * BEAMS + b]) < 1e-3);
        }
    sg_model_free(m);
    tiny_free(&t);
}

static void slates_are_scored_as_they_are_learned(void **state)
{
    (void)state;
    check_slates(SMALL);
    check_slates(SMALL "prefix_vectors=true tied=false");
    check_slates(SMALL "experts=0 gated=true cross_bias=false");
}

/* With room for everything the search is enumeration: the best pair of items is the best of all pairs. */
static void wide_searches_find_the_best(void **state)
{
    enum { BEAMS = ITEMS * (ITEMS - 1) };
    (void)state;
    tiny t;
    static int32_t item[BEAMS * 2];
    static float logp[BEAMS];
    int place = 0;

    tiny_new(&t, USERS, ITEMS, 12, 4);
    sg_model *m = tiny_model(&t, "onerec", SMALL "items=2", 3);
    find(m, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, 4}, .item = t.item},
         &(sg_slate_spec){.items = 2, .beams = BEAMS, .branch = ITEMS}, item, logp, BEAMS);
    assert_true(isfinite(logp[BEAMS - 1])); /* each pair of different items once */
    for (int32_t a = 0; a < ITEMS; a++)
        for (int32_t b = 0; b < ITEMS; b++)
            if (a != b && slate_logp(m, t.item, 4, (int32_t[]){a, b}, 2) > (double)logp[0] + 1e-4)
                place++;
    assert_int_equal(place, 0);
    sg_model_free(m);
    tiny_free(&t);
}

/* Where the filter leaves fewer items than a slate has, slates end. */
static void slates_end_where_nothing_is_left(void **state)
{
    enum { BEAMS = 4, N = 3 };
    (void)state;
    tiny t;
    uint8_t allow[ITEMS] = {[3] = 1, [7] = 1};
    int32_t item[BEAMS * N];
    float logp[BEAMS];

    tiny_new(&t, USERS, ITEMS, 12, 4);
    sg_model *m = tiny_model(&t, "onerec", SMALL, 3);
    find(m, &(sg_histories){.n = 1, .offsets = (int64_t[]){0, 4}, .item = t.item},
         &(sg_slate_spec){.items = N, .beams = BEAMS, .branch = 2, .allow = allow}, item, logp, BEAMS);
    for (int b = 0; b < BEAMS; b++) {
        assert_true(isfinite(logp[b]) == (b < 2));
        assert_true(b >= 2 ? item[b * N] == -1
                           : item[b * N] + item[b * N + 1] == 10 && item[b * N + 2] == -1);
    }
    sg_model_free(m);
    tiny_free(&t);
}

static void lists_have_k_different_items(void **state)
{
    (void)state;
    static const char *const lists[] = {SMALL "list=slates beam=3 branch=2", SMALL "list=next",
                                        SMALL "list=slates items=1"};
    tiny t;

    tiny_new(&t, USERS, ITEMS, 12, 4);
    for (int i = 0; i < 3; i++) {
        sg_error err = {0};
        int32_t item[2 * 8];
        float score[2 * 8];
        sg_session *s;
        sg_model *m = tiny_model(&t, "onerec", lists[i], 3);
        const sg_histories h = {
            .n = 2, .offsets = (int64_t[]){0, 4, 4}, .item = t.item}; /* the second is empty */

        assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
        if (sg_session_recommend(s, &h, &(sg_filter){.seen = true}, 8, item, score, &err))
            fail_msg("%s", err.message);
        for (int u = 0; u < 2; u++)
            for (int k = 0; k < 8; k++) {
                assert_in_range(item[u * 8 + k], 0, ITEMS - 1);
                assert_true(k == 0 || score[u * 8 + k] <= score[u * 8 + k - 1]);
                for (int j = 0; j < k; j++)
                    assert_int_not_equal(item[u * 8 + k], item[u * 8 + j]);
                for (int j = 0; u == 0 && j < 4; j++)
                    assert_int_not_equal(item[k], t.item[j]);
            }
        sg_session_free(s);
        sg_model_free(m);
    }
    tiny_free(&t);
}

/* However long lists are: with beam=3 the slates and the first items fill a few places, what comes next the others. */
static void a_short_list_begins_every_longer_one(void **state)
{
    enum { BATCH = 3 };
    static const char *const kinds[] = {SMALL "list=slates beam=3 branch=2",
                                        SMALL "list=slates beam=1 branch=1 items=2",
                                        SMALL "list=slates beam=5 items=1", SMALL "list=next beam=2"};
    (void)state;
    tiny t;

    tiny_new(&t, USERS, ITEMS, 12, 4);
    const sg_histories h = {.n = BATCH, .offsets = (int64_t[]){0, 4, 4, 9}, .item = t.item};
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        int32_t all[BATCH * ITEMS], some[BATCH * ITEMS];
        float score[BATCH * ITEMS], value[BATCH * ITEMS];
        sg_error err = {0};
        sg_session *s;
        sg_model *m = tiny_model(&t, "onerec", kinds[kind], 3);

        assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
        assert_int_equal(sg_session_recommend(s, &h, NULL, ITEMS, all, score, &err), SG_OK);
        for (int i = 0; i < BATCH * ITEMS; i++)
            assert_true(all[i] >= 0 && (i % ITEMS == 0 || score[i] <= score[i - 1]));
        for (int n = 1; n < ITEMS; n++) {
            assert_int_equal(sg_session_recommend(s, &h, NULL, n, some, value, &err), SG_OK);
            for (int u = 0; u < BATCH; u++) {
                assert_memory_equal(some + u * n, all + u * ITEMS, (size_t)n * sizeof *some);
                for (int i = 0; i < n; i++) /* of list=next a wider batch is another product */
                    assert_float_equal(value[u * n + i], score[u * ITEMS + i], 1e-5);
            }
        }
        sg_session_free(s);
        sg_model_free(m);
    }
    tiny_free(&t);
}

/* What a list of slates cannot do is said, not done with other lists. */
static void says_what_lists_of_slates_cannot(void **state)
{
    (void)state;
    static const char *const spread =
        "onerec: list=slates: lists cannot be spread (groups) or drawn (temperature); expected list=next";
    sg_error err = {0};
    int32_t item[4];
    float score[ITEMS];
    sg_explanation x;
    sg_session *s;
    tiny t;

    tiny_new(&t, USERS, ITEMS, 12, 4);
    sg_model *m = tiny_model(&t, "onerec", SMALL "list=slates", 3);
    const sg_histories h = {.n = 1, .offsets = (int64_t[]){0, 4}, .item = t.item};
    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    s->temperature = 1;
    assert_int_equal(sg_session_recommend(s, &h, NULL, 4, item, score, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, spread);
    s->temperature = 0;
    s->groups = 2;
    s->diversity = 0.5f;
    assert_int_equal(sg_session_recommend(s, &h, NULL, 4, item, score, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, spread);
    s->groups = 0;
    assert_int_equal(sg_session_recommend(s, &h, NULL, 4, item, score, &err), SG_OK);
    assert_int_equal(sg_explain(&x, s, &h, item, 4, 2, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "onerec: list=slates: slates give an item its score, no path of codes "
                                     "does: expected list=next to explain");
    assert_int_equal(m->class->score(s, &h, score, &err), SG_ERR_USAGE);
    assert_string_equal(
        err.message,
        "onerec: list=slates: items have no score but that of a list's slates; expected list=next");
    sg_session_free(s);
    sg_model_free(m);
    tiny_free(&t);
}

static void gradients_are_right(void **state)
{
    (void)state;
    tiny_check_gradient("onerec", SMALL "top=4"); /* who is asked does not change with a step */
    tiny_check_gradient("onerec", SMALL "experts=0 prefix_vectors=true");
}

/* ---- the judge ---- */

static void the_judge_learns_by_its_gradient(void **state)
{
    (void)state;
    made d;

    made_new(&d, JUDGE);
    tiny_check_gradient_of(&d.t, "onerec-reward", JUDGE "layers=2");
    made_free(&d);
}

/* A slate is judged alike alone and among others, a single item as the role rank does, and the other items of a slate matter. */
static void slates_are_judged_alike_in_any_company(void **state)
{
    (void)state;
    made d;
    sg_error err = {0};
    sg_session *s;
    float all[3 * 2], one[2], p[2];

    made_new(&d, JUDGE);
    sg_model *m = tiny_model(&d.t, "onerec-reward", JUDGE, 7);
    const sg_histories h = {.n = 2, .offsets = (int64_t[]){0, 3, 9}, .item = d.t.item, .rating = d.rating};
    const int32_t item[] = {1, 2, 3, 5, 1, 2, 4};
    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    assert_int_equal(sg_reward_slates(s, &h,
                                      &(sg_slates){3, (int32_t[]){1, 0, 1}, (int32_t[]){0, 3, 4, 7}, item},
                                      all, &err),
                     SG_OK);
    assert_int_equal(
        sg_reward_slates(s, &h, &(sg_slates){1, (int32_t[]){1}, (int32_t[]){0, 3}, item}, one, &err), SG_OK);
    assert_true(fabsf(one[0] - all[0]) < 1e-6f && fabsf(one[1] - all[1]) < 1e-6f);
    assert_true(fabsf(all[0] - all[4]) > 1e-5f);
    assert_int_equal(m->class->rank(s, &h, item + 3, 1, p, &err), SG_OK);
    assert_true(fabsf(p[0] - all[2]) < 1e-6f && fabsf(p[1] - all[3]) < 1e-6f);
    sg_session_free(s);
    sg_model_free(m);
    made_free(&d);
}

static void the_judge_is_measured_on_users_it_never_saw(void **state)
{
    (void)state;
    made d;
    sg_error err = {0};
    sg_reward_trust trust;
    size_t n;

    made_new(&d, JUDGE);
    sg_model *m = tiny_model(&d.t, "onerec-reward", JUDGE, 7);
    sg_model *all = tiny_model(&d.t, "onerec-reward", JUDGE "hold=0", 7);
    assert_int_equal(sg_reward_check(&trust, m, &d.t.train, NULL, &err), SG_OK);
    assert_true(trust.slates > 2 && trust.pairs > 0 && trust.accuracy >= 0 && trust.accuracy <= 1);
    assert_int_equal(m->class->examples(m, &d.t.train, &n, &err), SG_OK);
    const size_t taught = n;
    assert_int_equal(all->class->examples(all, &d.t.train, &n, &err), SG_OK);
    assert_true(taught < n);
    assert_int_equal(sg_reward_check(&trust, all, &d.t.train, NULL, &err), SG_OK);
    assert_true(trust.slates == 0 && trust.pairs == 0 && isnan(trust.accuracy));
    sg_model_free(m);
    sg_model_free(all);
    made_free(&d);
}

/* ---- alignment ---- */

static sg_align *align_of(sg_model *m);

static double note(sg_model *m, const tiny *t, const char *name)
{
    sg_error err = {0};
    json_t *notes = json_object();

    if (m->class->notes(m, &t->train, NULL, notes, &err))
        fail_msg("%s", err.message);
    const double x = json_number_value(json_object_get(notes, name));
    json_decref(notes);
    return x;
}

#define ALIGNED SMALL "share=1 responses=8 branch=3 reward_least=0 lambda=1 beta=1 gap=0"

/* One step of plain descent on the loss of all examples. */
static void descend(sg_model *m, size_t n, float rate)
{
    sg_error err = {0};
    uint32_t example[64];
    sg_graph *g;

    assert_in_range(n, 1, 64);
    for (size_t i = 0; i < n; i++)
        example[i] = (uint32_t)i;
    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    sg_graph_begin(g, SG_TRAIN, 1, 0);
    sg_tensor *loss = m->class->loss(m, g, example, (int)n, 1, 0);
    if (sg_graph_status(g, &err) || sg_backward(g, loss, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < m->params.n; i++) {
        sg_param *p = m->params.list[i];

        for (size_t j = 0; j < p->count; j++)
            p->value[j] -= rate * p->grad[j];
        p->version++;
    }
    sg_params_zero_grads(&m->params);
    sg_graph_free(g);
}

/* Of all examples, the experts' shares of the one block: the smallest. */
static double least_share(sg_model *m, const tiny *t)
{
    sg_error err = {0};
    json_t *notes = json_object();
    double least = 1, sum = 0;

    if (m->class->notes(m, &t->train, NULL, notes, &err))
        fail_msg("%s", err.message);
    const json_t *share = json_object_get(json_object_get(notes, "experts"), "0");
    assert_int_equal(json_array_size(share), 4);
    for (size_t e = 0; e < 4; e++) {
        const double x = json_number_value(json_array_get(share, e));

        least = x < least ? x : least;
        sum += x;
    }
    assert_true(fabs(sum - 1) < 1e-9);
    json_decref(notes);
    return least;
}

/* The loss of balance counts by its weight, and brings back experts that hardly anybody asks. */
static void balance_brings_experts_back(void **state)
{
    (void)state;
    static const char *const options[] = {SMALL "layers=1", SMALL "layers=1 balance=1",
                                          SMALL "layers=1 balance=2"};
    double loss[3], least[3];
    sg_error err = {0};
    size_t n;
    tiny t;

    tiny_new(&t, USERS, ITEMS, 12, 4);
    for (int i = 0; i < 3; i++) {
        sg_model *m = tiny_model(&t, "onerec", options[i], 3);
        sg_param *gate = sg_params_find(&m->params, "decoder.0.ffn.gate.weight");

        assert_non_null(gate);
        for (int k = 0; k < 16;
             k++) { /* 0 or 1 is always first, which of 2 and 3 comes second hangs on little */
            gate->value[k] = (float)sg_rng_normal(5, SG_RNG_TEST, 0, (uint64_t)k);
            gate->value[16 + k] = -gate->value[k];
            gate->value[2 * 16 + k] = 0.02f * gate->value[k];
            gate->value[3 * 16 + k] = -0.02f * (float)sg_rng_normal(5, SG_RNG_TEST, 1, (uint64_t)k);
        }
        if (m->class->examples(m, &t.train, &n, &err))
            fail_msg("%s", err.message);
        loss[i] = tiny_loss(m, (int)n);
        assert_int_equal(sg_params_need_grads(&m->params, &err), SG_OK);
        for (int step = 0; step < 60; step++)
            descend(m, n, 0.2f);
        least[i] = least_share(m, &t);
        sg_model_free(m);
    }
    assert_in_range((loss[1] - loss[0]) * 1000, 900,
                    4000); /* about 1, at most as many as there are experts */
    assert_true(fabs(loss[2] - loss[0] - 2 * (loss[1] - loss[0])) < 1e-4);
    assert_true(least[2] > 0.2 && least[2] > 2 * least[0]);
    tiny_free(&t);
}

static void alignment_starts_at_ln_2_and_moves_apart(void **state)
{
    (void)state;
    made d;
    sg_error err = {0};
    size_t n;

    made_new(&d, JUDGE);
    sg_model *m = tiny_model(&d.t, "onerec", with_judge(&d, ALIGNED), 3);
    if (m->class->examples(m, &d.t.train, &n, &err))
        fail_msg("%s", err.message);
    const double plain = note(m, &d.t, "ntp_loss"); /* of the first examples, all of them here */
    assert_true(n <= 64 && note(m, &d.t, "pairs") > 5);
    assert_true(note(m, &d.t, "reward_best") > note(m, &d.t, "reward_worst"));
    assert_true(fabs(note(m, &d.t, "dpo_loss") - log(2)) < 1e-6);
    assert_true(fabs(note(m, &d.t, "kl_first_code")) < 1e-6);
    assert_true(fabs(tiny_loss(m, (int)n) - plain - log(2)) < 1e-4);
    assert_int_equal(sg_params_need_grads(&m->params, &err), SG_OK);
    for (int i = 0; i < 40; i++)
        descend(m, n, 0.02f);
    assert_true(note(m, &d.t, "dpo_loss") < log(2) - 0.02);
    assert_true(note(m, &d.t, "pairs_in_order") > 0.8);
    assert_true(note(m, &d.t, "kl_first_code") > 0);
    sg_model_free(m);
    made_free(&d);
}

static void pairs_are_the_best_and_the_worst(void **state)
{
    (void)state;
    made d;
    sg_error err = {0};
    size_t n;
    int turned = 0;

    made_new(&d, JUDGE);
    for (int random = 0; random < 2; random++) {
        char options[400];

        snprintf(options, sizeof options, "%s pairs=%s", ALIGNED, random ? "random" : "reward");
        sg_model *m = tiny_model(&d.t, "onerec", with_judge(&d, options), 3);
        if (m->class->examples(m, &d.t.train, &n, &err))
            fail_msg("%s", err.message);
        const sg_align *a = align_of(m);

        assert_true(a->n > 5);
        for (size_t i = 0; i < a->n; i++) {
            const sg_pair *p = &a->pairs[i];

            assert_int_not_equal(memcmp(p->item[0], p->item[1], 3 * sizeof(int32_t)), 0);
            assert_true(i == 0 || p->example > a->pairs[i - 1].example);
            assert_int_equal(a->pair_of[p->example], i);
            turned += p->reward[0] < p->reward[1];
            assert_true(random || p->reward[0] > p->reward[1]);
        }
        sg_model_free(m);
    }
    assert_true(turned > 0); /* the control does not ask the judge */
    made_free(&d);
}

/* Which examples get a pair, as a set of bits. */
static uint64_t asked(made *d, const char *options, uint64_t seed)
{
    sg_error err = {0};
    uint64_t bits = 0;
    size_t n;
    sg_model *m = tiny_model(&d->t, "onerec", with_judge(d, options), seed);

    for (size_t i = 0; i < m->params.n; i++) /* of one model, whatever the seed */
        for (size_t j = 0; j < m->params.list[i]->count; j++)
            m->params.list[i]->value[j] = 0.3f * (float)sg_rng_normal(1, SG_RNG_TEST, i, j);
    if (m->class->examples(m, &d->t.train, &n, &err))
        fail_msg("%s", err.message);
    assert_in_range(n, 8, 64);
    for (size_t i = 0; i < align_of(m)->n; i++)
        bits |= (uint64_t)1 << align_of(m)->pairs[i].example;
    sg_model_free(m);
    return bits;
}

/* The training's seed says which examples are asked; a further round, from other weights, asks others with the same seed. */
static void rounds_ask_other_examples(void **state)
{
    (void)state;
    made d;
    char dir[SCRATCH_MAX], options[300];

    made_new(&d, JUDGE);
    assert_int_equal(scratch_make(dir, "onerec"), 0);
    const uint64_t first = asked(&d, ALIGNED " share=0.5", 3);
    assert_true(first == asked(&d, ALIGNED " share=0.5", 3));
    assert_true(first != asked(&d, ALIGNED " share=0.5", 4));
    save(&d, dir, "onerec", SMALL, 5);
    snprintf(options, sizeof options, ALIGNED " share=0.5 init=%s", dir);
    const uint64_t second = asked(&d, options, 3);
    assert_true(second != first);
    assert_true(second == asked(&d, options, 3));
    sg_dir_remove(dir, NULL);
    made_free(&d);
}

static void gradients_of_an_alignment_are_right(void **state)
{
    (void)state;
    made d;

    made_new(&d, JUDGE);
    save(&d, d.base, "onerec", SMALL " top=4", 3);
    tiny_check_gradient_of(&d.t, "onerec", with_judge(&d, ALIGNED " top=4"));
    made_free(&d);
}

static void without_weight_it_is_plain_training(void **state)
{
    (void)state;
    made d;
    sg_error err = {0};
    size_t n;

    made_new(&d, JUDGE);
    sg_model *plain = tiny_model(&d.t, "onerec", SMALL, 3),
             *m = tiny_model(&d.t, "onerec", with_judge(&d, ALIGNED " lambda=0"), 3);
    assert_int_equal(plain->class->examples(plain, &d.t.train, &n, &err), SG_OK);
    assert_int_equal(m->class->examples(m, &d.t.train, &n, &err), SG_OK);
    assert_true(tiny_loss(plain, 20) == tiny_loss(m, 20));
    sg_model_free(plain);
    sg_model_free(m);
    made_free(&d);
}

static void expect(made *d, const char *options, const char *message)
{
    sg_error err = {0};
    size_t n;
    sg_model *m = tiny_model(&d->t, "onerec", with_judge(d, options), 3);
    char want[256];

    assert_int_not_equal(m->class->examples(m, &d->t.train, &n, &err), SG_OK);
    snprintf(want, sizeof want, message, d->judge);
    assert_string_equal(err.message, want);
    sg_model_free(m);
}

static void judges_that_cannot_be_trusted_are_refused(void **state)
{
    (void)state;
    made d;
    sg_error err = {0};

    made_new(&d, JUDGE);
    expect(&d, ALIGNED " gap=1",
           "onerec: of 41 examples asked, none gave slates whose rewards differ by more than gap=1");
    sg_model *m = tiny_model(&d.t, "onerec-reward", JUDGE, 7);
    sg_reward_trust trust;
    char text[128];

    assert_int_equal(sg_reward_check(&trust, m, &d.t.train, NULL, &err), SG_OK);
    sg_model_free(m);
    snprintf(text, sizeof text,
             "%%s: right about %.1f %%%% of %lld held-out pairs of slates: expected at least 99.9 %%%% "
             "(reward_least)",
             100 * trust.accuracy, (long long)trust.pairs);
    expect(&d, ALIGNED " reward_least=0.999", text);
    made_free(&d);
    made_new(&d, JUDGE "hold=0");
    expect(&d, ALIGNED " reward_least=0.6",
           "%s: no held-out pairs of slates to measure it by; reward_least=0 takes it as it is");
    m = tiny_model(&d.t, "pop", "", 1);
    assert_int_equal(sg_model_fit(m, &d.t.train, NULL, NULL, &err), SG_OK);
    assert_int_equal(sg_model_save(m, d.judge, &err), SG_OK);
    sg_model_free(m);
    expect(&d, ALIGNED, "%s: expected a judge of slates (onerec-reward), found pop");
    made_free(&d);
}

static sg_align *align_of(sg_model *m)
{
    char *p = m->state; /* struct onerec ends with it */

    return (sg_align *)(void *)(p + m->class->state_bytes - sizeof(sg_align));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slates_are_scored_as_they_are_learned),
        cmocka_unit_test(wide_searches_find_the_best),
        cmocka_unit_test(slates_end_where_nothing_is_left),
        cmocka_unit_test(a_short_list_begins_every_longer_one),
        cmocka_unit_test(says_what_lists_of_slates_cannot),
        cmocka_unit_test(lists_have_k_different_items),
        cmocka_unit_test(gradients_are_right),
        cmocka_unit_test(balance_brings_experts_back),
        cmocka_unit_test(the_judge_learns_by_its_gradient),
        cmocka_unit_test(slates_are_judged_alike_in_any_company),
        cmocka_unit_test(the_judge_is_measured_on_users_it_never_saw),
        cmocka_unit_test(alignment_starts_at_ln_2_and_moves_apart),
        cmocka_unit_test(pairs_are_the_best_and_the_worst),
        cmocka_unit_test(rounds_ask_other_examples),
        cmocka_unit_test(gradients_of_an_alignment_are_right),
        cmocka_unit_test(without_weight_it_is_plain_training),
        cmocka_unit_test(judges_that_cannot_be_trusted_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
