/* eval.c - an evaluation counts what a slow one counts, does not depend on threads or batches, and says
 * what it did. */
#define _GNU_SOURCE
#include "shop.h"

#include "eval/eval.h"
#include "eval/ranks.h"
#include "file/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { USERS = 300, ITEMS = 90 };

static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("expected %.12g, found %.12g", expected, found);
}

static double number(const json_t *o, const char *path) /* "metrics.filtered.recall@10" */
{
    char part[64];
    const char *end;

    for (; o && *path; path = *end ? end + 1 : end) {
        end = strchrnul(path, '.');
        snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
        o = json_object_get(o, part);
    }
    if (!json_is_number(o))
        fail_msg("no number at '%s'", path);
    return json_number_value(o);
}

static json_t *evaluate(const sg_model *m, const shop *s, const sg_eval_spec *spec, sg_pool *pool)
{
    json_t *out;
    sg_error err;

    if (sg_eval(&out, m, &s->train, spec, pool, NULL, &err))
        fail_msg("%s", err.message);
    return out;
}

static char *print_part(const json_t *o, const char *key)
{
    sg_buf b = {0};

    sg_json_print(&b, json_object_get(o, key));
    return sg_buf_take(&b);
}

/* The definition, one user after another: sort nothing, look at every pair. */
static void agrees_with_a_slow_one(void **state)
{
    (void)state;
    shop s;
    sg_model *m;
    sg_session *session;
    json_t *out;
    double recall[2] = {0}, ndcg[2] = {0}, mrr[2] = {0};
    float score[ITEMS];
    sg_error err;

    shop_init(&s, USERS, ITEMS, 2);
    m = shop_model(&s, "itemknn", NULL, NULL);
    out = evaluate(m, &s, &(sg_eval_spec){.test = true}, NULL);
    assert_int_equal(sg_session_new(&session, m, NULL, &err), SG_OK);
    for (size_t i = 0; i < s.split->n_test; i++) {
        const sg_case *c = &s.split->test[i];
        const int64_t offsets[] = {c->begin, c->end};
        const int32_t target = s.item[c->target_begin];

        assert_int_equal(m->class->score(session, &(sg_histories){.n = 1, .offsets = offsets, .item = s.item},
                                         score, &err),
                         SG_OK);
        for (int f = 0; f < 2; f++) {
            bool seen[ITEMS] = {false};
            int rank = 1;

            for (int64_t e = c->begin; f && e < c->end; e++)
                seen[s.item[e]] = true;
            for (int32_t j = 0; j < ITEMS; j++)
                rank += j != target && !seen[j] && score[j] >= score[target];
            if (seen[target] || rank > 10)
                continue;
            recall[f]++;
            ndcg[f] += 1 / log2(rank + 1);
            mrr[f] += 1.0 / rank;
        }
    }
    const double n = (double)s.split->n_test;
    assert_true(recall[0] > 10 && recall[1] > 10 && recall[0] != recall[1]);
    assert_near(number(out, "metrics.unfiltered.recall@10"), recall[0] / n, 1e-12);
    assert_near(number(out, "metrics.filtered.recall@10"), recall[1] / n, 1e-12);
    assert_near(number(out, "metrics.unfiltered.hit@10"), recall[0] / n, 1e-12);
    assert_near(number(out, "metrics.filtered.precision@10"), recall[1] / n / 10, 1e-12);
    assert_near(number(out, "metrics.unfiltered.ndcg@10"), ndcg[0] / n, 1e-12);
    assert_near(number(out, "metrics.filtered.ndcg@10"), ndcg[1] / n, 1e-12);
    assert_near(number(out, "metrics.unfiltered.mrr@10"), mrr[0] / n, 1e-12);
    assert_near(number(out, "metrics.filtered.map@10"), mrr[1] / n, 1e-12);
    double chosen[2];
    assert_int_equal(sg_eval_select(chosen, m, &s.train, 0, NULL, &err), SG_OK);
    json_decref(out);
    out = evaluate(m, &s, &(sg_eval_spec){.unfiltered = true}, NULL);
    assert_near(number(out, "metrics.unfiltered.recall@10"), chosen[1], 0);
    assert_near(number(out, "metrics.unfiltered.ndcg@10"), chosen[0], 0);
    assert_null(json_object_get(json_object_get(out, "metrics"), "filtered"));
    json_decref(out);
    sg_session_free(session);
    sg_model_free(m);
    shop_fini(&s);
    assert_int_equal(sg_alloc_live(), 0);
}

static void same_numbers_for_any_threads_and_batch(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 4}, batches[] = {0, 1, 7, 100};
    shop s;
    sg_model *m;
    char *first[3] = {NULL};
    static const char *const parts[] = {"metrics", "intervals", "cold"};
    sg_error err;

    shop_init(&s, USERS, ITEMS, 3);
    m = shop_model(&s, "star", NULL, NULL);
    for (int t = 0; t < 3; t++)
        for (int b = 0; b < 4; b++) {
            sg_pool *pool;
            json_t *out;

            assert_int_equal(sg_pool_new(&pool, threads[t], &err), SG_OK);
            out = evaluate(
                m, &s,
                &(sg_eval_spec){
                    .test = true, .batch = batches[b], .bootstrap = 50, .ties = SG_TIES_RANDOM, .seed = 5},
                pool);
            for (int p = 0; p < 3; p++) {
                char *text = print_part(out, parts[p]);

                if (!first[p]) {
                    first[p] = text;
                } else {
                    assert_string_equal(text, first[p]);
                    sg_free(text);
                }
            }
            json_decref(out);
            sg_pool_free(pool);
        }
    for (int p = 0; p < 3; p++)
        sg_free(first[p]);
    sg_model_free(m);
    shop_fini(&s);
}

/* The same model behind the role `recommend`: ranked by its lists, every number that ties do not touch is
 * the same. */
static sg_status as_lists(sg_session *session, const sg_histories *h, const sg_filter *f, int k,
                          int32_t *item, float *score, sg_error *err)
{
    const sg_model_class *class = session->model->class;
    sg_model_class plain = *class;
    sg_model copy = *session->model;
    sg_session other = *session;
    sg_status st;

    plain.recommend = NULL;
    copy.class = &plain;
    other.model = &copy;
    st = sg_session_recommend(&other, h, f, k, item, score, err);
    session->scores = other.scores;
    session->cap_scores = other.cap_scores;
    return st;
}

static void lists_and_scores_agree(void **state)
{
    (void)state;
    static const char *const keys[] = {"recall@5", "ndcg@20",      "coverage@10",
                                       "gini@10",  "popularity@5", "novelty@20"};
    shop s;
    sg_model *m;
    json_t *scored, *listed, *exact;

    shop_init(&s, USERS, ITEMS, 4);
    m = shop_model(&s, "star", (const char *const[]){"pop=0.001", NULL}, NULL);
    float *share = *(float **)m->state; /* popularity of its own for each item: no ties */
    for (int32_t i = 0; i < ITEMS; i++)
        share[i] += 1e-6f * (float)i;
    sg_model_class class = *m->class, *plain = (sg_model_class *)(uintptr_t)m->class;
    class.recommend = as_lists;
    scored = evaluate(m, &s, &(sg_eval_spec){.test = true}, NULL);
    m->class = &class;
    listed = evaluate(m, &s, &(sg_eval_spec){.test = true}, NULL);
    exact = evaluate(m, &s, &(sg_eval_spec){.test = true, .exact = true}, NULL);
    m->class = plain;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (int f = 0; f < 2; f++) {
            char path[64];

            snprintf(path, sizeof path, "metrics.%s.%s", sg_filter_names[f], keys[i]);
            assert_near(number(scored, path), number(listed, path), 1e-12);
            assert_near(number(scored, path), number(exact, path), 0);
        }
    assert_string_equal(json_string_value(json_object_get(json_object_get(scored, "receipt"), "ranked_by")),
                        "score");
    assert_string_equal(json_string_value(json_object_get(json_object_get(listed, "receipt"), "ranked_by")),
                        "list");
    json_decref(scored);
    json_decref(listed);
    json_decref(exact);
    sg_model_free(m);
    shop_fini(&s);
    assert_int_equal(sg_alloc_live(), 0);
}

static void several_targets_are_a_set(void **state)
{
    (void)state;
    sg_split_spec last = {.kind = SG_SPLIT_LAST_N, .n = 2, .text = "last:2"};
    shop s;
    sg_model *m;
    json_t *out;
    sg_error err;
    double hits = 0, recall = 0;

    shop_init(&s, USERS, ITEMS, 5);
    sg_split_free(s.split);
    assert_int_equal(sg_split_new(&s.split, &s.data, &last, &err), SG_OK);
    s.train.split = s.split;
    m = shop_model(&s, "markov1", NULL, NULL);
    out = evaluate(m, &s, &(sg_eval_spec){.test = true, .per_user_path = NULL}, NULL);
    const sg_eval_spec e = {.test = true};
    sg_ranks r;
    assert_int_equal(sg_ranks_run(&r, m, &s.train,
                                  &(sg_ranks_spec){.eval = &e, .want = {true, false}, .k = 1, .stage = "x"},
                                  NULL, NULL, &err),
                     SG_OK);
    for (size_t i = 0; i < r.n; i++) {
        const int64_t a = r.offsets[i], n = r.offsets[i + 1] - a;
        int found = 0;

        assert_in_range(n, 1, 2); /* 1: the same item twice */
        assert_true(n == 1 || (r.item[a] != r.item[a + 1] && r.rank[0][a] != r.rank[0][a + 1]));
        for (int64_t k = 0; k < n; k++)
            found += r.rank[0][a + k] >= 1 && r.rank[0][a + k] <= 10;
        hits += found > 0;
        recall += (double)found / (double)n;
    }
    assert_near(number(out, "metrics.unfiltered.hit@10"), hits / (double)r.n, 1e-12);
    assert_near(number(out, "metrics.unfiltered.recall@10"), recall / (double)r.n, 1e-12);
    assert_true(hits != recall);
    assert_string_equal(json_string_value(json_object_get(json_object_get(out, "receipt"), "split")),
                        "last:2");
    sg_ranks_free(&r);
    json_decref(out);
    sg_model_free(m);
    shop_fini(&s);
}

static void floors_stand_beside_and_are_kept(void **state)
{
    (void)state;
    shop s;
    sg_model *m;
    json_t *out, *own, *again, *valid;
    char *path;

    shop_init(&s, USERS, ITEMS, 6);
    m = shop_model(&s, "markov1", NULL, NULL);
    out = evaluate(m, &s, &(sg_eval_spec){.test = true, .floors = true}, NULL);
    own = json_object_get(json_object_get(out, "floors"), "markov1");
    assert_near(number(own, "filtered.ndcg@10"), number(out, "metrics.filtered.ndcg@10"), 0);
    assert_near(number(own, "unfiltered.recall@1"), number(out, "metrics.unfiltered.recall@1"), 0);
    assert_true(number(out, "floors.pop.filtered.recall@10") <
                number(out, "floors.itemknn.filtered.recall@10"));
    path = sg_path_join(s.dir, "floors.json");
    assert_true(sg_file_exists(path));
    again = evaluate(m, &s, &(sg_eval_spec){.test = true, .floors = true}, NULL);
    assert_true(json_equal(json_object_get(out, "floors"), json_object_get(again, "floors")));
    valid = evaluate(m, &s, &(sg_eval_spec){.floors = true}, NULL); /* another question: counted anew */
    assert_false(json_equal(json_object_get(out, "floors"), json_object_get(valid, "floors")));
    json_decref(again);
    assert_int_equal(sg_file_write(path, "not json", 8, NULL), SG_OK);
    again = evaluate(m, &s, &(sg_eval_spec){.test = true, .floors = true}, NULL);
    assert_true(json_equal(json_object_get(out, "floors"), json_object_get(again, "floors")));
    json_decref(out);
    json_decref(again);
    json_decref(valid);
    sg_free(path);
    sg_model_free(m);
    shop_fini(&s);
    assert_int_equal(sg_alloc_live(), 0);
}

static void cold_targets_are_counted_apart(void **state)
{
    (void)state;
    shop s;
    sg_model *m;
    json_t *out;
    bool trained[ITEMS] = {false};
    int cold = 0;

    shop_init(&s, 15, ITEMS, 7); /* few users: many items are never trained */
    for (int32_t u = 0; u < 15; u++)
        for (int64_t e = s.offsets[u]; e < s.split->train_end[u]; e++)
            trained[s.item[e]] = true;
    for (size_t i = 0; i < s.split->n_test; i++)
        cold += !trained[s.item[s.split->test[i].target_begin]];
    assert_true(cold > 1);
    m = shop_model(&s, "star", (const char *const[]){"a=1", NULL}, NULL); /* text knows items nobody had */
    out = evaluate(m, &s, &(sg_eval_spec){.test = true}, NULL);
    assert_int_equal((int)number(out, "cold.targets"), cold);
    assert_near(number(out, "cold.share"), cold / (double)s.split->n_test, 1e-12);
    assert_true(number(out, "cold.unfiltered.recall@50") > 0);

    /* asked alone they have the same figures; among themselves better ones, by lists as by scores */
    json_t *alone = evaluate(m, &s, &(sg_eval_spec){.test = true, .cold = true, .floors = true}, NULL);
    assert_int_equal((int)number(alone, "receipt.cases"), cold);
    assert_near(number(alone, "metrics.filtered.recall@10"), number(out, "cold.filtered.recall@10"), 1e-12);
    assert_near(number(alone, "floors.pop.filtered.recall@10"), 0, 1e-12);
    json_t *shelf =
        evaluate(m, &s, &(sg_eval_spec){.test = true, .cold = true, .candidates_cold = true}, NULL);
    assert_true(number(shelf, "metrics.filtered.mrr@50") > number(alone, "metrics.filtered.mrr@50"));
    assert_string_equal(json_string_value(json_object_get(json_object_get(shelf, "receipt"), "candidates")),
                        "items without a training event");
    json_decref(shelf);
    json_decref(alone);
    json_decref(out);
    sg_model_free(m);
    shop_fini(&s);
}

static void a_subset_is_the_same_one_each_time(void **state)
{
    (void)state;
    shop s;
    sg_model *m;
    json_t *a, *b, *c;

    shop_init(&s, USERS, ITEMS, 8);
    m = shop_model(&s, "star", NULL, NULL);
    a = evaluate(m, &s, &(sg_eval_spec){.test = true, .users_max = 100, .seed = 1}, NULL);
    b = evaluate(m, &s, &(sg_eval_spec){.test = true, .users_max = 100, .seed = 1}, NULL);
    c = evaluate(m, &s, &(sg_eval_spec){.test = true, .users_max = 100, .seed = 2}, NULL);
    assert_int_equal((int)number(a, "receipt.cases"), 100);
    assert_true(json_equal(json_object_get(a, "metrics"), json_object_get(b, "metrics")));
    assert_false(json_equal(json_object_get(a, "metrics"), json_object_get(c, "metrics")));
    json_decref(a);
    json_decref(b);
    json_decref(c);
    sg_model_free(m);
    shop_fini(&s);
}

static void the_receipt_names_what_was_done(void **state)
{
    (void)state;
    shop s;
    sg_model *m;
    json_t *out, *r;
    sg_buf lines = {0};

    shop_init(&s, USERS, ITEMS, 9);
    m = shop_model(&s, "itemknn", (const char *const[]){"last=3", NULL}, NULL);
    out = evaluate(
        m, &s, &(sg_eval_spec){.test = true, .ties = SG_TIES_OPTIMISTIC, .seed = 12, .bootstrap = 20}, NULL);
    r = json_object_get(out, "receipt");
    static const char *const texts[][2] = {
        {"split", "loo"}, {"asked", "test"}, {"candidates", "all items"}, {"ties", "optimistic"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_string_equal(json_string_value(json_object_get(r, texts[i][0])), texts[i][1]);
    assert_string_equal(json_string_value(json_object_get(json_object_get(r, "data"), "sha256")),
                        s.data.sha256);
    assert_int_equal((int)number(r, "model.options.last"), 3);
    assert_int_equal((int)number(r, "seed"), 12);
    assert_int_equal((int)number(r, "items"), ITEMS);
    assert_int_equal((int)number(r, "model.trained.data.events"), (int)s.data.n_events);
    const json_t *interval =
        json_object_get(json_object_get(json_object_get(out, "intervals"), "filtered"), "recall@10");
    assert_true(json_real_value(json_array_get(interval, 0)) <= number(out, "metrics.filtered.recall@10"));
    assert_true(json_real_value(json_array_get(interval, 1)) >= number(out, "metrics.filtered.recall@10"));
    json_decref(out);
    sg_buf_free(&lines);
    sg_model_free(m);
    shop_fini(&s);
}

/* Event e of the data happens at 10 e: a request for the test target of user u comes when that target does. */
static sg_status check_times(sg_session *session, const sg_histories *h, float *scores, sg_error *err)
{
    extern const sg_model_class sg_model_star;

    for (int i = 0; i < h->n; i++) {
        const int64_t events = h->offsets[i + 1] - h->offsets[i], last = h->timestamp[h->offsets[i + 1] - 1];

        assert_int_equal(h->now[i], last + 10);
        assert_int_equal(last - h->timestamp[h->offsets[i]], 10 * (events - 1));
    }
    return sg_model_star.score(session, h, scores, err);
}

static void a_request_comes_when_its_target_does(void **state)
{
    (void)state;
    shop s;
    sg_model *m;

    shop_init(&s, USERS, ITEMS, 8);
    int64_t *time = sg_alloc_array((size_t)s.data.n_events, sizeof *time);
    for (int64_t e = 0; e < s.data.n_events; e++)
        time[e] = 10 * e;
    s.data.timestamp = time;
    m = shop_model(&s, "star", NULL, NULL);
    sg_model_class class = *m->class, *plain = (sg_model_class *)(uintptr_t)m->class;
    class.score = check_times;
    m->class = &class;
    json_decref(evaluate(m, &s, &(sg_eval_spec){.test = true}, NULL));
    m->class = plain;
    sg_free(time);
    sg_model_free(m);
    shop_fini(&s);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    shop s, other;
    sg_model *m;
    json_t *out;
    sg_error err;

    shop_init(&s, USERS, ITEMS, 10);
    shop_init(&other, USERS, ITEMS - 1, 10);
    m = shop_model(&s, "pop", NULL, NULL);
    assert_int_equal(sg_eval(&out, m, &other.train, &(sg_eval_spec){.test = true}, NULL, NULL, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message, "the model knows 90 items, shop has 89: not the same catalogue");
    shop_fini(&other);
    shop_init(&other, USERS, ITEMS, 10);
    other.item_bytes[5] = '7';
    assert_int_equal(sg_eval(&out, m, &other.train, &(sg_eval_spec){.test = true}, NULL, NULL, &err),
                     SG_ERR_USAGE);
    assert_string_equal(err.message,
                        "item 0 is 'item-0' in the model and 'item-7' in shop: not the same catalogue");
    assert_int_equal(
        sg_eval(&out, m, &s.train, &(sg_eval_spec){.k = (const int[]){5, 5}, .n_k = 2}, NULL, NULL, &err),
        SG_ERR_USAGE);
    assert_string_equal(err.message, "k: expected ascending cut-offs from 1, found 5");
    (*(float **)m->state)[4] = NAN;
    assert_int_equal(sg_eval(&out, m, &s.train, &(sg_eval_spec){.test = true}, NULL, NULL, &err),
                     SG_ERR_NUMERIC);
    assert_string_equal(err.message, "pop: a score of case 0 (user number 0) is not a number");
    assert_null(out);
    sg_model_free(m);
    shop_fini(&other);
    shop_fini(&s);
    assert_int_equal(sg_alloc_live(), 0);
}

/* ---- files ---- */

static void trec_files_hold_lists_and_targets(void **state)
{
    (void)state;
    shop s;
    sg_model *m;
    json_t *out;
    char *run, *qrels, first[120];
    sg_buf text = {0};
    sg_error err;
    size_t lines = 0;

    shop_init(&s, USERS, ITEMS, 11);
    s.user_bytes[1] = ' '; /* "u0" becomes "u " */
    run = sg_path_join(s.dir, "run.txt");
    qrels = sg_path_join(s.dir, "qrels.txt");
    m = shop_model(&s, "pop", NULL, NULL);
    out = evaluate(m, &s, &(sg_eval_spec){.test = true, .run_path = run, .qrels_path = qrels}, NULL);
    json_decref(out);
    assert_int_equal(sg_file_read(&text, qrels, 1 << 24, &err), SG_OK);
    snprintf(first, sizeof first, "u%%20 0 item-%d 1\n", (int)s.item[s.split->test[0].target_begin]);
    assert_memory_equal(text.data, first, strlen(first));
    for (size_t i = 0; i < text.size; i++)
        lines += text.data[i] == '\n';
    assert_int_equal(lines, s.split->n_test);
    assert_int_equal(sg_file_read(&text, run, 1 << 24, &err), SG_OK);
    assert_memory_equal(text.data, "u%20 Q0 item-", 13);
    assert_non_null(strstr(text.data, " pop.filtered\n"));
    lines = 0;
    for (size_t i = 0; i < text.size; i++)
        lines += text.data[i] == '\n';
    assert_int_equal(lines, 50 * s.split->n_test);
    sg_buf_free(&text);
    sg_free(run);
    sg_free(qrels);
    sg_model_free(m);
    shop_fini(&s);
    assert_int_equal(sg_alloc_live(), 0);
}

static void paired_tests_tell_runs_apart(void **state)
{
    (void)state;
    shop s;
    sg_model *pop, *star, *other;
    char *a, *b, *c;
    json_t *out;
    sg_error err;

    shop_init(&s, USERS, ITEMS, 12);
    a = sg_path_join(s.dir, "a.safetensors");
    b = sg_path_join(s.dir, "b.safetensors");
    c = sg_path_join(s.dir, "c.safetensors");
    pop = shop_model(&s, "pop", NULL, NULL);
    star = shop_model(&s, "star", NULL, NULL);
    other = shop_model(&s, "star", (const char *const[]){"decay=0.59", NULL}, NULL);
    json_decref(evaluate(star, &s, &(sg_eval_spec){.test = true, .per_user_path = a}, NULL));
    json_decref(evaluate(pop, &s, &(sg_eval_spec){.test = true, .per_user_path = b}, NULL));
    json_decref(evaluate(other, &s, &(sg_eval_spec){.test = true, .per_user_path = c}, NULL));

    if (sg_eval_compare(&out, a, b, 999, 1, &err))
        fail_msg("%s", err.message);
    assert_true(number(out, "filtered.ndcg@10.difference") > 0.02);
    assert_near(number(out, "filtered.ndcg@10.difference"),
                number(out, "filtered.ndcg@10.a") - number(out, "filtered.ndcg@10.b"), 1e-12);
    assert_true(number(out, "filtered.ndcg@10.p_bootstrap") < 0.01);
    assert_true(number(out, "filtered.ndcg@10.p_randomisation") < 0.01);
    const json_t *interval =
        json_object_get(json_object_get(json_object_get(out, "filtered"), "ndcg@10"), "interval");
    assert_true(json_real_value(json_array_get(interval, 0)) > 0);
    json_decref(out);

    assert_int_equal(sg_eval_compare(&out, a, c, 999, 1, &err), SG_OK); /* nearly the same model */
    assert_true(number(out, "filtered.ndcg@10.p_bootstrap") > 0.05);
    assert_true(number(out, "filtered.ndcg@10.p_randomisation") > 0.05);
    json_decref(out);

    assert_int_equal(sg_eval_compare(&out, a, a, 99, 1, &err), SG_OK); /* the same run */
    assert_near(number(out, "unfiltered.recall@5.p_randomisation"), 1, 0);
    assert_near(number(out, "unfiltered.recall@5.p_bootstrap"), 1, 0);
    json_decref(out);

    json_decref(evaluate(pop, &s, &(sg_eval_spec){.test = true, .users_max = 50, .per_user_path = b}, NULL));
    assert_int_equal(sg_eval_compare(&out, a, b, 99, 1, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, "has 50: a paired test needs the same ones"));
    json_decref(evaluate(pop, &s, &(sg_eval_spec){.per_user_path = b}, NULL));
    assert_int_equal(sg_eval_compare(&out, a, b, 99, 1, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, "differs between"));
    sg_free(a);
    sg_free(b);
    sg_free(c);
    sg_model_free(pop);
    sg_model_free(star);
    sg_model_free(other);
    shop_fini(&s);
    assert_int_equal(sg_alloc_live(), 0);
}

/* 400 yes-or-no cases, 30 % yes: the interval is that of the binomial, 1.96 sqrt(p q / n) to either side. */
static void bootstrap_intervals_have_the_right_width(void **state)
{
    (void)state;
    enum { N = 400, RESAMPLES = 4000 };
    float value[N];
    double *mean, *threads, low, high;
    sg_pool *pool;
    sg_error err;

    for (int i = 0; i < N; i++)
        value[i] = i % 10 < 3;
    assert_int_equal(sg_pool_new(&pool, 3, &err), SG_OK);
    assert_int_equal(sg_bootstrap_means(&mean, value, N, 1, RESAMPLES, 1, NULL, &err), SG_OK);
    assert_int_equal(sg_bootstrap_means(&threads, value, N, 1, RESAMPLES, 1, pool, &err), SG_OK);
    assert_memory_equal(mean, threads, RESAMPLES * sizeof *mean);
    assert_int_equal(sg_bootstrap_interval(&low, &high, mean, RESAMPLES, 1, 0, &err), SG_OK);
    const double half = 1.96 * sqrt(0.3 * 0.7 / N);
    assert_near(low, 0.3 - half,
                0.1 * half); /* a percentile of 4000 resamples: sd of about 3 % of the half width */
    assert_near(high, 0.3 + half, 0.1 * half);
    sg_free(mean);
    sg_free(threads);
    sg_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_slow_one),
        cmocka_unit_test(same_numbers_for_any_threads_and_batch),
        cmocka_unit_test(lists_and_scores_agree),
        cmocka_unit_test(several_targets_are_a_set),
        cmocka_unit_test(floors_stand_beside_and_are_kept),
        cmocka_unit_test(cold_targets_are_counted_apart),
        cmocka_unit_test(a_subset_is_the_same_one_each_time),
        cmocka_unit_test(the_receipt_names_what_was_done),
        cmocka_unit_test(a_request_comes_when_its_target_does),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(trec_files_hold_lists_and_targets),
        cmocka_unit_test(paired_tests_tell_runs_apart),
        cmocka_unit_test(bootstrap_intervals_have_the_right_width),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
