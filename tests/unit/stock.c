/* stock.c - items that come and go: what a model scores with them is what a model built with them scores; views stay as they
 * are; edits are taken back without a trace. */
#include "models/content.h"
#include "serve/stock.h"
#include "tiny.h"

#define SMALL "dim=16 layers=2 heads=2 head_dim=8 ffn=24 history=6 dropout=0 "
enum { N = 12, MORE = 4, ALL = N + MORE, WIDTH = 4 };

static sg_bytes name_of(int i, char text[12])
{
    return (sg_bytes){text, (size_t)snprintf(text, 12, "n%d", i)};
}

/* Item i of the larger shop, with codes of it. */
static const sg_added *add_as(sg_stock *s, int i, const int32_t *codes)
{
    const sg_added *added;
    json_t *texts = json_pack("{s:i}", "number", i);
    char text[12];
    sg_error err;

    if (sg_stock_add(&added, s, &(sg_arrival){.id = name_of(i, text), .texts = texts, .codes = codes}, &err))
        fail_msg("%s", err.message);
    json_decref(texts);
    return added;
}

static const sg_added *add(sg_stock *s, int i)
{
    return add_as(s, i, (const int32_t[]){i / WIDTH, i % WIDTH, 0});
}

static void drop(sg_stock *s, int i)
{
    char text[12];
    sg_error err;

    if (sg_stock_remove(s, name_of(i, text), &err))
        fail_msg("%s", err.message);
}

static void publish(sg_stock *s)
{
    assert_int_equal(sg_stock_publish(s, NULL), SG_OK);
}

/* All items after a history, by the beam and by exact scores. */
static void score(const sg_model *m, const sg_view *v, const int32_t *item, int n, int k, int32_t *found,
                  float *scores, float *exact)
{
    const int64_t offsets[2] = {0, n};
    const sg_histories h = {.n = 1, .offsets = offsets, .item = item};
    sg_session *s;
    sg_error err;

    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    s->offer = v ? &v->offer : NULL;
    s->beam = ALL;
    if (sg_session_recommend(s, &h, NULL, k, found, scores, &err) || m->class->score(s, &h, exact, &err))
        fail_msg("%s", err.message);
    sg_session_free(s);
}

/* options with "ends": IDs of several lengths. */
static void open_two(tiny *small, tiny *large, sg_model **a, sg_model **b, const char *options)
{
    tiny_new(small, 20, N, 9, WIDTH);
    tiny_new(large, 20, ALL, 9, WIDTH);
    small->ids.size[0] = large->ids.size[0]; /* codes of its level that no item has yet */
    if (strncmp(options, "ends ", 5) == 0) {
        tiny_let_end(small);
        tiny_let_end(large);
        options += 5;
    }
    *a = tiny_model(small, "tiger", options, 5);
    *b = tiny_model(large, "tiger", options, 5);
    sg_model_item(*a, (sg_bytes){"", 0});
}

static void scores_are_those_of_a_model_with_the_items(const char *options)
{
    const int32_t history[] = {3, N + 1, 7, N + 3};
    tiny small, large;
    sg_model *a, *b;
    sg_stock *s;
    const sg_view *v;
    int32_t found[2][ALL];
    float scores[2][ALL], exact[2][ALL];

    open_two(&small, &large, &a, &b, options);
    assert_int_equal(sg_stock_new(&s, a, NULL, NULL), SG_OK);
    for (int i = N; i < ALL; i++)
        assert_int_equal(add_as(s, i, large.codes + 3 * (size_t)i)->number, i);
    publish(s);
    v = sg_stock_view(s);
    assert_true(v->edited && v->n_items == ALL && v->n_added == MORE);
    score(a, v, history, 4, ALL, found[0], scores[0], exact[0]);
    score(b, NULL, history, 4, ALL, found[1], scores[1], exact[1]);
    assert_memory_equal(found[0], found[1], sizeof found[0]);
    assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
    assert_memory_equal(exact[0], exact[1], sizeof exact[0]);
    /* one that is gone is read, and not found */
    drop(s, 5);
    drop(s, N + 1);
    publish(s);
    score(a, v, history, 4, ALL, found[0], scores[0], exact[0]); /* the old view is as it was */
    assert_memory_equal(found[0], found[1], sizeof found[0]);
    sg_view_release(s, v);
    v = sg_stock_view(s);
    assert_int_equal(v->n_items, ALL - 2);
    score(a, v, history, 4, ALL, found[0], scores[0], exact[0]);
    for (int i = 0, j = 0; i < ALL; i++) {
        if (found[1][i] == 5 || found[1][i] == N + 1)
            continue;
        assert_int_equal(found[0][j], found[1][i]);
        assert_true(strstr(options, "renormalise") || scores[0][j] == scores[1][i]);
        j++;
    }
    assert_int_equal(found[0][ALL - 2], -1);
    assert_true(exact[0][5] == -INFINITY && exact[0][N + 1] == -INFINITY);
    assert_true(sg_view_offers(v, a, 4) && !sg_view_offers(v, a, 5) && !sg_view_offers(v, a, N + 1) &&
                !sg_view_offers(v, a, ALL));
    sg_view_release(s, v);
    sg_stock_free(s);
    sg_model_free(a);
    sg_model_free(b);
    tiny_free(&small);
    tiny_free(&large);
}

static void tiger_takes_items_it_was_not_trained_on(void **state)
{
    (void)state;
    scores_are_those_of_a_model_with_the_items(SMALL);
    scores_are_those_of_a_model_with_the_items(SMALL "augment=prefix user_tokens=3 tied=false");
    scores_are_those_of_a_model_with_the_items(SMALL "prefix_vectors=true"); /* which start from nothing */
    scores_are_those_of_a_model_with_the_items("ends " SMALL);
    scores_are_those_of_a_model_with_the_items("ends " SMALL "prefix_vectors=true user_tokens=3");
}

/* A prefix without a vector counts as its codes alone; those of the training keep theirs, whatever numbers they get. */
static void prefixes_keep_their_vectors(void **state)
{
    const int32_t history[] = {3, 7, 2};
    tiny small, large;
    sg_model *a, *b;
    sg_stock *s;
    const sg_view *v;
    int32_t found[2][ALL];
    float scores[2][ALL], exact[2][ALL];

    (void)state;
    open_two(&small, &large, &a, &b, SMALL "prefix_vectors=true softmax=level");
    sg_param *prefix = sg_params_find(&a->params, "prefix.weight");
    for (size_t i = 0; i < prefix->count; i++)
        prefix->value[i] = (float)sg_rng_normal(1, SG_RNG_TEST, 0, i);
    score(a, NULL, history, 3, N, found[1], scores[1], exact[1]);
    assert_int_equal(sg_stock_new(&s, a, NULL, NULL), SG_OK);
    drop(s, 0); /* all that comes behind gets another number */
    drop(s, 4);
    for (int i = N; i < ALL; i++)
        add(s, i);
    publish(s);
    v = sg_stock_view(s);
    score(a, v, history, 3, ALL, found[0], scores[0], exact[0]);
    for (int i = 0; i < N; i++)
        assert_true(i == 0 || i == 4 ? exact[0][i] == -INFINITY : exact[0][i] == exact[1][i]);
    for (int i = N; i < ALL; i++)
        assert_true(isfinite(exact[0][i]));
    sg_view_release(s, v);
    sg_stock_free(s);
    sg_model_free(a);
    sg_model_free(b);
    tiny_free(&small);
    tiny_free(&large);
}

/* ---- cobra: an item is its codes and its text ---- */
enum { DIM = 6 };

typedef struct vectors { /* vectors of both shops: the larger begins with the smaller */
    float x[ALL * DIM];
    sg_vectors small, large;
} vectors;

#define COBRA                                                                                                \
    "dim=16 layers=2 heads=2 ffn=24 history=6 dropout=0 dropout_input=0 hidden=12 text_dim=8 init_sd=0.3 "   \
    "beam=16 "

/* The larger model has the text vectors that the smaller one's frame makes. */
static void open_two_with_texts(tiny *small, tiny *large, vectors *t, sg_model **a, sg_model **b,
                                const char *options)
{
    const sg_model_array *frame;
    sg_error err;

    for (size_t i = 0; i < ALL * DIM; i++)
        t->x[i] = (float)sg_rng_normal(1, SG_RNG_TEST, 7, i);
    t->small = (sg_vectors){.n = N, .dim = DIM, .data = t->x};
    t->large = (sg_vectors){.n = ALL, .dim = DIM, .data = t->x};
    tiny_new(small, 20, N, 9, WIDTH);
    tiny_new(large, 20, ALL, 9, WIDTH);
    small->ids.size[0] = large->ids.size[0];
    memcpy(large->codes + 3 * N, (int32_t[]){0, 0, 1},
           3 * sizeof(int32_t)); /* shares its first codes with item 0, the others nothing */
    small->train.vectors = &t->small;
    large->train.vectors = &t->large;
    *a = tiny_model(small, "cobra", options, 5);
    *b = tiny_model(large, "cobra", options, 5);
    sg_model_item(*a, (sg_bytes){"", 0});
    sg_param *from = sg_params_find(&(*a)->params, "text.weight"),
             *to = sg_params_find(&(*b)->params, "text.weight");
    memcpy(to->value, from->value, from->count * sizeof(float));
    if (sg_model_array_need(&frame, *a, "text.frame", SG_DT_F64, 1, (int64_t[]){9}, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < ALL; i++) {
        float row[8];

        sg_content_row(row, frame->data, t->x + i * DIM, DIM, 8, 1);
        if (i < N)
            assert_memory_equal(row, from->value + (size_t)i * 8, sizeof row); /* as training made them */
        memcpy(to->value + (size_t)i * 8, row, sizeof row);
    }
}

static const sg_added *add_text(sg_stock *s, int i, const int32_t *codes, const float *x)
{
    const sg_added *added;
    json_t *texts = json_pack("{s:i}", "number", i);
    char text[12];
    sg_error err;

    if (sg_stock_add(
            &added, s,
            &(sg_arrival){.id = name_of(i, text), .texts = texts, .codes = codes, .x = x, .dim = DIM}, &err))
        fail_msg("%s", err.message);
    json_decref(texts);
    return added;
}

static void lists_of(const sg_model *m, const sg_view *v, const int32_t *history, int n, const sg_filter *f,
                     int k, int32_t *found, float *scores, float *path)
{
    const int64_t offsets[2] = {0, n};
    const sg_histories h = {.n = 1, .offsets = offsets, .item = history};
    sg_session *s;
    sg_error err;
    int listed = 0;

    assert_int_equal(sg_session_new(&s, m, NULL, &err), SG_OK);
    s->offer = v ? &v->offer : NULL;
    if (sg_session_recommend(s, &h, f, k, found, scores, &err))
        fail_msg("%s", err.message);
    while (listed < k && found[listed] >= 0)
        listed++;
    if (path && m->class->path(s, &h, found, listed, path, &err))
        fail_msg("%s", err.message);
    sg_session_free(s);
}

static void texts_make_lists_of_a_model_with_the_items(const char *options)
{
    const int32_t history[] = {3, N + 1, 7, N};
    int32_t found[2][ALL];
    float scores[2][ALL], path[2][3 * ALL];
    tiny small, large;
    vectors t;
    sg_model *a, *b;
    sg_stock *s;

    open_two_with_texts(&small, &large, &t, &a, &b, options);
    assert_int_equal(sg_stock_new(&s, a, NULL, NULL), SG_OK);
    for (int i = N; i < ALL; i++)
        assert_int_equal(add_text(s, i, large.codes + 3 * (size_t)i, t.x + i * DIM)->number, i);
    publish(s);
    const sg_view *old = sg_stock_view(s);
    lists_of(a, old, history, 4, NULL, ALL, found[0], scores[0], path[0]);
    lists_of(b, NULL, history, 4, NULL, ALL, found[1], scores[1], path[1]);
    assert_memory_equal(found[0], found[1], sizeof found[0]);
    assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
    assert_memory_equal(path[0], path[1], sizeof path[0]);
    lists_of(a, old, history, 4, &(sg_filter){.seen = true}, ALL, found[0], scores[0], NULL);
    lists_of(b, NULL, history, 4, &(sg_filter){.seen = true}, ALL, found[1], scores[1], NULL);
    assert_memory_equal(found[0], found[1], sizeof found[0]);
    assert_int_equal(found[0][ALL - 4], -1);
    /* what is gone is read as before, and not found, nor are IDs of which all is gone */
    lists_of(b, NULL, history, 4,
             &(sg_filter){.allow = (const uint8_t[ALL]){1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0}}, ALL,
             found[1], scores[1], NULL);
    drop(s, 5);
    for (int i = N + 1; i < ALL; i++)
        drop(s, i);
    publish(s);
    const sg_view *v = sg_stock_view(s);
    lists_of(a, v, history, 4, NULL, ALL, found[0], scores[0], NULL);
    assert_memory_equal(found[0], found[1], sizeof found[0]);
    for (int i = 0; found[0][i] >= 0; i++)
        assert_float_equal(scores[0][i], scores[1][i], 1e-5);
    sg_view_release(s, old);
    sg_view_release(s, v);
    sg_stock_free(s);
    sg_model_free(a);
    sg_model_free(b);
    tiny_free(&small);
    tiny_free(&large);
}

static void cobra_takes_items_by_their_texts(void **state)
{
    (void)state;
    texts_make_lists_of_a_model_with_the_items(COBRA "levels=1 fuse=all");
    texts_make_lists_of_a_model_with_the_items(COBRA "levels=2 fuse=all");
    texts_make_lists_of_a_model_with_the_items(COBRA "levels=3 fuse=all prefix_vectors=true");
}

/* An item of the model that comes back with other texts is what these say; as it was, what training knew. */
static void cobra_reads_the_texts_that_an_item_came_back_with(void **state)
{
    const int32_t history[] = {3, 5};
    int32_t found[2][N];
    float scores[3][N], x[DIM], by_item[3] = {0};
    const sg_added *added;
    tiny small, large;
    vectors t;
    sg_model *a, *b;
    sg_stock *s;
    sg_error err;

    (void)state;
    open_two_with_texts(&small, &large, &t, &a, &b, COBRA "levels=1 fuse=all");
    assert_int_equal(sg_stock_new(&s, a, NULL, NULL), SG_OK);
    json_t *texts = json_object();
    for (int i = 0; i < DIM; i++)
        x[i] = -t.x[5 * DIM + i];
    for (int turn = 0; turn < 3; turn++) { /* as it is; with other texts and the same codes; as it was */
        if (turn) {
            drop(s, 5);
            publish(s);
            if (turn == 1)
                add_text(s, 5, small.codes + 15, x);
            else
                assert_int_equal(
                    sg_stock_add(&added, s, &(sg_arrival){.id = {"n5", 2}, .texts = texts}, &err), SG_OK);
            publish(s);
        }
        const sg_view *v = sg_stock_view(s);
        lists_of(a, v->edited ? v : NULL, history, 1, NULL, N, found[0], scores[turn], NULL);
        for (int i = 0; i < N; i++)
            by_item[turn] = found[0][i] == 5 ? scores[turn][i] : by_item[turn];
        lists_of(a, v->edited ? v : NULL, history, 2, NULL, N, found[1], scores[turn], NULL); /* read, too */
        sg_view_release(s, v);
    }
    assert_true(by_item[0] != by_item[1] && by_item[0] == by_item[2]);
    assert_true(scores[0][0] != scores[1][0] && scores[0][0] == scores[2][0]);
    json_decref(texts);
    sg_stock_free(s);
    sg_model_free(a);
    sg_model_free(b);
    tiny_free(&small);
    tiny_free(&large);
}

static void cobra_stays_as_it_is_beside_star_and_vectors_of_its_own(void **state)
{
    static const char *const options[] = {COBRA "star=1 star_text=0", COBRA "item_vectors=true", COBRA};

    (void)state;
    for (int i = 0; i < 3; i++) {
        tiny small, large;
        vectors t;
        sg_model *a, *b;

        open_two_with_texts(&small, &large, &t, &a, &b, options[i]);
        assert_int_equal(a->class->living(a), i == 2);
        sg_model_free(a);
        sg_model_free(b);
        tiny_free(&small);
        tiny_free(&large);
    }
}

/* With a share, an item that the model never saw stands behind the one whose first codes it has, with that one's score; where the share
 * is less than a place, lists are those of the scores. */
static void new_items_stand_behind_their_like(void **state)
{
    const int32_t history[] = {3, 7}, twin[] = {0, 0, 1};
    const int64_t offsets[2] = {0, 2};
    const sg_histories h = {.n = 1, .offsets = offsets, .item = history};
    const sg_added *added;
    int32_t found[N + 1], plain[4];
    float scores[N + 1], plain_scores[4];
    bool lifted = false;
    tiny small, large;
    sg_model *a, *b;
    sg_session *session;
    sg_stock *s;
    sg_error err;

    (void)state;
    open_two(&small, &large, &a, &b, SMALL);
    assert_int_equal(sg_stock_new(&s, a, NULL, NULL), SG_OK);
    json_t *texts = json_object();
    assert_int_equal(
        sg_stock_add(&added, s, &(sg_arrival){.id = {"twin", 4}, .texts = texts, .codes = twin}, &err),
        SG_OK);
    json_decref(texts);
    publish(s);
    const sg_view *v = sg_stock_view(s);
    assert_int_equal(sg_session_new(&session, a, NULL, &err), SG_OK);
    session->offer = &v->offer;
    session->beam = ALL;
    assert_int_equal(sg_session_recommend(session, &h, NULL, 4, plain, plain_scores, &err), SG_OK);
    session->cold_share = 0.2f; /* 0 places of 4 */
    assert_int_equal(sg_session_recommend(session, &h, NULL, 4, found, scores, &err), SG_OK);
    assert_memory_equal(found, plain, sizeof plain);
    assert_memory_equal(scores, plain_scores, sizeof plain_scores);
    session->cold_share = 1;
    assert_int_equal(sg_session_recommend(session, &h, NULL, N + 1, found, scores, &err), SG_OK);
    for (int i = 1; i <= N; i++)
        lifted |= found[i] == N && found[i - 1] == 0 && scores[i] == scores[i - 1];
    assert_true(lifted && found[N] >= 0); /* all of them */
    sg_session_free(session);
    sg_view_release(s, v);
    sg_stock_free(s);
    sg_model_free(a);
    sg_model_free(b);
    tiny_free(&small);
    tiny_free(&large);
}

/* Scores per code stay per code when there are new items to make room for: known items come in the order, with the scores, that they
 * have without these. */
static void lists_per_code_stay_so_beside_new_items(void **state)
{
    const int32_t history[] = {3, 7};
    const int64_t offsets[2] = {0, 2};
    const sg_histories h = {.n = 1, .offsets = offsets, .item = history};
    int32_t found[2][N + 1], at = 0;
    float scores[2][N + 1], exact[N + 1];
    tiny small, large;
    sg_model *a, *b;
    sg_session *session;
    sg_stock *s;
    sg_error err;

    (void)state;
    open_two(&small, &large, &a, &b, "ends " SMALL "length_norm=0.8");
    score(a, NULL, history, 2, N, found[0], scores[0], exact);
    assert_int_equal(sg_stock_new(&s, a, NULL, NULL), SG_OK);
    add_as(s, N, large.codes + 3 * (size_t)N);
    publish(s);
    const sg_view *v = sg_stock_view(s);
    assert_int_equal(sg_session_new(&session, a, NULL, &err), SG_OK);
    session->offer = &v->offer;
    session->beam = ALL;
    session->cold_share = 0.1f;
    assert_int_equal(sg_session_recommend(session, &h, NULL, N + 1, found[1], scores[1], &err), SG_OK);
    for (int i = 0; i <= N && found[1][i] >= 0; i++)
        if (found[1][i] < N) {
            assert_int_equal(found[1][i], found[0][at]);
            assert_float_equal(scores[1][i], scores[0][at], 1e-5);
            at++;
        }
    assert_int_equal(at, N);
    sg_session_free(session);
    sg_view_release(s, v);
    sg_stock_free(s);
    sg_model_free(a);
    sg_model_free(b);
    tiny_free(&small);
    tiny_free(&large);
}

/* Leaves that items share: one that came weighs as one that training never saw, whether its leaf was there or not. */
static void new_items_share_leaves(void **state)
{
    static const int32_t own[] = {3, 0, 0}, with[] = {1, 1, 1}; /* a leaf of its own; that of item 5 */
    const int32_t history[] = {3, N + 1, 7};
    int32_t found[ALL];
    float scores[ALL], exact[ALL];
    tiny small, large;
    sg_model *a, *b;
    sg_stock *s;
    int events = 1;

    (void)state;
    open_two(&small, &large, &a, &b, SMALL "leaf=shared");
    for (int u = 0; u < 20; u++)
        for (int64_t e = small.user_offsets[u]; e < small.split->train_end[u]; e++)
            events += small.item[e] == 5;
    assert_int_equal(sg_stock_new(&s, a, NULL, NULL), SG_OK);
    add_as(s, N, own);
    add_as(s, N + 1, with);
    drop(s, 4);
    publish(s);
    const sg_view *v = sg_stock_view(s);
    score(a, v, history, 3, N + 1, found, scores, exact);
    for (int i = 0; i <= N; i++)
        assert_true(found[i] >= 0 && found[i] != 4 && fabsf(scores[i] - exact[found[i]]) < 1e-4f);
    assert_true(isfinite(exact[N]) && exact[4] == -INFINITY);
    assert_true(fabs((double)exact[5] - (double)exact[N + 1] - log(events)) < 1e-4);
    sg_view_release(s, v);
    sg_stock_free(s);
    sg_model_free(a);
    sg_model_free(b);
    tiny_free(&small);
    tiny_free(&large);
}

static void models_without_ids_hide_items(void **state)
{
    const int32_t history[] = {3, 7};
    const int64_t offsets[2] = {0, 2};
    const sg_histories h = {.n = 1, .offsets = offsets, .item = history};
    const sg_added *added;
    int32_t found[N];
    float scores[N];
    char text[12];
    tiny t;
    sg_session *session;
    sg_stock *s;
    sg_error err;

    (void)state;
    tiny_new(&t, 20, N, 9, WIDTH);
    sg_model *m = tiny_model(&t, "sasrec", "dim=8 layers=1", 5);
    sg_model_item(m, (sg_bytes){"", 0});
    assert_int_equal(sg_stock_new(&s, m, NULL, NULL), SG_OK);
    assert_int_equal(sg_stock_takes_items(s, &err), SG_ERR_USAGE);
    assert_string_equal(
        err.message,
        "sasrec scores items by what it learned of each in training: a new item needs a new training");
    json_t *texts = json_object();
    assert_int_equal(sg_stock_add(&added, s, &(sg_arrival){.id = name_of(N, text), .texts = texts}, &err),
                     SG_ERR_USAGE);
    for (int i = 0; i < N - 1; i++)
        drop(s, i);
    assert_int_equal(sg_stock_remove(s, name_of(N - 1, text), &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "it is the last item and has to stay");
    assert_int_equal(sg_stock_add(&added, s, &(sg_arrival){.id = name_of(6, text), .texts = texts}, &err),
                     SG_OK);
    json_decref(texts);
    publish(s);
    assert_int_equal(sg_session_new(&session, m, NULL, &err), SG_OK);
    const sg_view *v = sg_stock_view(s);
    session->offer = &v->offer;
    assert_int_equal(sg_session_recommend(session, &h, NULL, N, found, scores, &err), SG_OK);
    assert_true((found[0] == 6 || found[0] == N - 1) && (found[1] == 6 || found[1] == N - 1) &&
                found[0] != found[1]);
    assert_int_equal(found[2], -1);
    sg_session_free(session);
    sg_view_release(s, v);
    sg_stock_free(s);
    sg_model_free(m);
    tiny_free(&t);
}

/* Below every prefix of a catalogue that stays as it is, the view knows how many items are gone; after an undo, too. */
static void a_catalogue_that_stays_knows_what_is_gone(void **state)
{
    tiny t;
    sg_stock *s;
    sg_error err;

    (void)state;
    tiny_new(&t, 20, N, 9, WIDTH);
    sg_model *m = tiny_model(&t, "tiger", SMALL "star=1 star_text=0", 5);
    json_t *texts = json_object();
    sg_model_item(m, (sg_bytes){"", 0});
    assert_int_equal(sg_stock_new(&s, m, NULL, NULL), SG_OK);
    for (int turn = 0; turn < 40; turn++) {
        const int item = turn * 7 % N;
        const size_t mark = sg_stock_mark(s);
        char text[12];

        if (turn % 3 == 2 && !sg_stock_offers(s, name_of(item, text))) {
            const sg_added *added;

            assert_int_equal(
                sg_stock_add(&added, s, &(sg_arrival){.id = name_of(item, text), .texts = texts}, &err),
                SG_OK);
        } else if (sg_stock_offers(s, name_of(item, text)) && turn < 30) {
            drop(s, item);
        }
        if (turn % 5 == 4)
            sg_stock_undo(s, mark);
        publish(s);
        const sg_view *v = sg_stock_view(s);
        for (int32_t first = 0; first <= N; first++)
            for (int32_t last = first, gone = 0; last <= N; last++) {
                assert_int_equal(sg_view_gone(v, first, last), gone);
                gone += last < N && !sg_view_offers(v, m, sg_catalogue_item(m->catalogue, last));
            }
        assert_int_equal(N - sg_view_gone(v, 0, N), v->n_items);
        sg_view_release(s, v);
    }
    json_decref(texts);
    sg_stock_free(s);
    sg_model_free(m);
    tiny_free(&t);
}

/* After an undo everything is as it was at the mark, whatever the edits were. */
static void edits_are_taken_back(void **state)
{
    tiny small, large;
    sg_model *a, *b;
    sg_stock *s;
    char text[12];
    sg_error err;

    (void)state;
    open_two(&small, &large, &a, &b, SMALL);
    assert_int_equal(sg_stock_new(&s, a, NULL, NULL), SG_OK);
    sg_stock_undo(s, 0);
    add(s, N);
    drop(s, 3);
    publish(s);
    for (int round = 0; round < 3; round++) {
        size_t mark;

        add(s, N + 1);
        drop(s, N);
        mark = sg_stock_mark(s);
        add(s, N + 2);
        add(s, 3);
        drop(s, 4);
        add(s, N);
        drop(s, N + 1);
        sg_stock_undo(s, mark);
        assert_true(sg_stock_offers(s, name_of(N + 1, text)) && !sg_stock_offers(s, name_of(N, text)));
        assert_true(!sg_stock_offers(s, name_of(N + 2, text)) && !sg_stock_offers(s, name_of(3, text)));
        assert_true(sg_stock_offers(s, name_of(4, text)));
        assert_null(sg_stock_find(s, name_of(N + 2, text)));
        sg_stock_undo(s, 0);
        assert_true(sg_stock_offers(s, name_of(N, text)) && !sg_stock_offers(s, name_of(N + 1, text)));
        assert_int_equal(sg_stock_find(s, name_of(N, text))->number, N);
        publish(s); /* nothing */
    }
    const sg_view *v = sg_stock_view(s);
    assert_true(v->version == 1 && v->n_items == N);
    sg_view_release(s, v);
    assert_int_equal(sg_stock_remove(s, name_of(N + 1, text), &err), SG_ERR_MISSING);
    assert_string_equal(err.message, "item 'n13' is not in the catalogue");
    sg_stock_free(s);
    sg_model_free(a);
    sg_model_free(b);
    tiny_free(&small);
    tiny_free(&large);
}

static void items_expire_in_order(void **state)
{
    tiny small, large;
    sg_model *a, *b;
    sg_stock *s;

    (void)state;
    open_two(&small, &large, &a, &b, SMALL);
    assert_int_equal(sg_stock_new(&s, a, NULL, NULL), SG_OK);
    assert_true(sg_stock_next_expiry(s) == INT64_MAX && !sg_stock_expired(s, INT64_MAX));
    for (int i = N; i < ALL; i++) {
        const int32_t codes[] = {i / WIDTH, i % WIDTH, 0};
        const sg_added *added;
        json_t *texts = json_object();
        char text[12];

        assert_int_equal(sg_stock_add(&added, s,
                                      &(sg_arrival){.id = name_of(i, text),
                                                    .texts = texts,
                                                    .codes = codes,
                                                    .expires = i == N ? 0 : 1000 - i},
                                      NULL),
                         SG_OK);
        json_decref(texts);
    }
    publish(s);
    for (int i = ALL - 1; i > N; i--) {
        assert_int_equal(sg_stock_next_expiry(s), 1000 - i);
        assert_null(sg_stock_expired(s, 999 - i));
        assert_int_equal(sg_stock_expired(s, 1000 - i)->number, i);
        drop(s, i);
        publish(s);
    }
    assert_true(sg_stock_next_expiry(s) == INT64_MAX);
    sg_stock_free(s);
    sg_model_free(a);
    sg_model_free(b);
    tiny_free(&small);
    tiny_free(&large);
}

/* The n-th allocation fails, for every n: an error, and after an undo the stock is what it was. */
static void edits_survive_without_memory(void **state)
{
    tiny small, large;
    sg_model *a, *b;
    char text[12];
    bool done = false;

    (void)state;
    open_two(&small, &large, &a, &b, SMALL);
    for (uint64_t n = 1; !done; n++) {
        const int32_t codes[] = {N / WIDTH, N % WIDTH, 0};
        json_t *texts = json_object();
        const sg_added *added;
        sg_stock *s;
        sg_error err;
        sg_status st;
        const int64_t live = sg_alloc_live();

        assert_int_equal(sg_stock_new(&s, a, NULL, NULL), SG_OK);
        sg_alloc_fail_at(n);
        if (!(st = sg_stock_add(
                  &added, s, &(sg_arrival){.id = name_of(N, text), .texts = texts, .codes = codes}, &err)) &&
            !(st = sg_stock_remove(s, name_of(2, text), &err)))
            st = sg_stock_publish(s, &err);
        sg_alloc_fail_at(0);
        done = st == SG_OK;
        if (!done) {
            assert_int_equal(st, SG_ERR_MEMORY);
            sg_stock_undo(s, 0);
            assert_true(!sg_stock_offers(s, name_of(N, text)) && sg_stock_offers(s, name_of(2, text)));
            add(s, N); /* and it goes on */
            drop(s, 2);
            publish(s);
        }
        assert_true(sg_stock_offers(s, name_of(N, text)) && !sg_stock_offers(s, name_of(2, text)));
        sg_stock_free(s);
        json_decref(texts);
        assert_int_equal(sg_alloc_live(), live);
    }
    sg_model_free(a);
    sg_model_free(b);
    tiny_free(&small);
    tiny_free(&large);
}

/* A folder's hash table may say anything: an item is found or not, no search is endless and no number leaves the list. */
static void any_index_is_survived(void **state)
{
    int32_t index[32];
    char text[12];
    tiny t;

    (void)state;
    tiny_new(&t, 20, N, 9, WIDTH);
    sg_model *m = tiny_model(&t, "sasrec", "dim=8 layers=1", 5);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 32; i++)
            index[i] = (int32_t)sg_rng_below(40, 3, SG_RNG_TEST, (uint64_t)round, (uint64_t)i) -
                       (round % 3 ? 0 : 10);
        m->item_index = index;
        m->n_item_index = 32;
        for (int i = 0; i < N + 3; i++) {
            const int32_t found = sg_model_item(m, name_of(i, text));

            assert_true(found == -1 || found == i);
        }
    }
    for (int i = 0; i < 32; i++)
        index[i] = 0; /* full, and wrong */
    assert_int_equal(sg_model_item(m, name_of(5, text)), -1);
    sg_model_free(m);
    tiny_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiger_takes_items_it_was_not_trained_on),
        cmocka_unit_test(prefixes_keep_their_vectors),
        cmocka_unit_test(new_items_stand_behind_their_like),
        cmocka_unit_test(lists_per_code_stay_so_beside_new_items),
        cmocka_unit_test(cobra_takes_items_by_their_texts),
        cmocka_unit_test(cobra_reads_the_texts_that_an_item_came_back_with),
        cmocka_unit_test(cobra_stays_as_it_is_beside_star_and_vectors_of_its_own),
        cmocka_unit_test(new_items_share_leaves),
        cmocka_unit_test(models_without_ids_hide_items),
        cmocka_unit_test(a_catalogue_that_stays_knows_what_is_gone),
        cmocka_unit_test(edits_are_taken_back),
        cmocka_unit_test(items_expire_in_order),
        cmocka_unit_test(edits_survive_without_memory),
        cmocka_unit_test(any_index_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
