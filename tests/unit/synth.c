/* synth.c - the synthetic shop is what it says, the same on any number of threads, and its oracle's odds are the true ones. */
#include "base/alloc.h"
#include "base/io.h"
#include "data/dataset.h"
#include "data/split.h"
#include "data/synth.h"
#include "data/synth_world.h"
#include "file/json.h"
#include "folder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char data[80];

static int make_dir(void **state)
{
    if (folder_make(state))
        return -1;
    snprintf(data, sizeof data, "%s/d", folder);
    return 0;
}

static sg_synth_config config(const char *const *set)
{
    sg_synth_config c;

    sg_options_init(&c, sg_synth_options, sg_n_synth_options);
    for (; set && *set; set++)
        assert_int_equal(sg_options_assign(&c, sg_synth_options, sg_n_synth_options, *set, NULL), SG_OK);
    return c;
}

#define CONFIG(...) config((const char *const[]){__VA_ARGS__, NULL})

static sg_dataset *synth(const sg_synth_config *c, int threads)
{
    sg_pool *pool;
    sg_dataset *d = NULL;
    sg_error err = {0};

    assert_int_equal(sg_pool_new(&pool, threads, NULL), SG_OK);
    if (sg_synth(data, c, pool, NULL, NULL, &err) || sg_dataset_open(&d, data, &err))
        fail_msg("%s", err.message);
    sg_pool_free(pool);
    return d;
}

static void same_bytes_on_any_number_of_threads(void **state)
{
    (void)state;
    const sg_synth_config c = CONFIG("users=3000", "items=500", "events_mean=30");
    char first[65] = "";

    for (int threads = 1; threads <= 4; threads *= 2) {
        sg_dataset *d = synth(&c, threads);

        if (!*first)
            strcpy(first, d->sha256);
        assert_string_equal(d->sha256, first);
        sg_dataset_close(d);
    }
    sg_dataset *d =
        synth(&(sg_synth_config){.users = 1, .items = 8, .events_mean = 3, .categories = 1, .seed = 2}, 1);
    assert_string_not_equal(d->sha256, first);
    sg_dataset_close(d);
    assert_int_equal(sg_alloc_live(), 0);
}

static void keeps_the_promises_of_its_options(void **state)
{
    (void)state;
    const sg_synth_config c = CONFIG("users=4000", "items=600", "events_mean=20", "cold=0.2");
    sg_dataset *d = synth(&c, 2);
    sg_world *w;
    int64_t cold_events = 0, partners = 0, followers = 0, top = 0;
    int64_t counts[600] = {0};
    uint32_t cold = 0;

    assert_int_equal(sg_world_new(&w, &c, NULL), SG_OK);
    assert_int_equal(d->n_users, 4000);
    assert_int_equal(d->n_items, 600);
    /* mean of 4000 geometric counts of sd 15.5: standard error 0.25 */
    assert_true(fabs((double)d->n_events / 4000 - 19.5) < 1);
    for (int32_t u = 0; u < d->n_users; u++) {
        assert_true(d->user_offsets[u + 1] - d->user_offsets[u] >= SG_SYNTH_EVENTS_LEAST);
        for (int64_t e = d->user_offsets[u]; e < d->user_offsets[u + 1]; e++) {
            const uint32_t place = w->place[d->item[e]];

            counts[d->item[e]]++;
            for (int64_t f = d->user_offsets[u]; f < e; f++)
                assert_int_not_equal(d->item[e], d->item[f]); /* nothing twice */
            if (sg_world_cold(w, place)) {
                assert_true(d->timestamp[e] >= SG_SYNTH_COLD_FROM);
                cold_events++;
            }
            assert_in_range(d->timestamp[e], SG_SYNTH_START, SG_SYNTH_START + SG_SYNTH_SPAN);
            assert_true(d->rating[e] >= 1 && d->rating[e] <= 5 && d->action[e] >= 0 && d->action[e] <= 2);
            if (e > d->user_offsets[u]) {
                followers++;
                partners += sg_world_partner(w, w->place[d->item[e - 1]]) == place;
            }
        }
    }
    for (uint32_t p = 0; p < w->n; p++)
        cold += sg_world_cold(w, p);
    assert_in_range(cold, 100, 140); /* 120 but for rounding in each line */
    assert_true(cold_events > 500);
    /* 0.95 * 0.5 * 0.7 = 0.33 at least, less what was seen or is cold, more by chance */
    assert_true((double)partners / (double)followers > 0.25 && (double)partners / (double)followers < 0.5);
    for (int i = 0; i < 600; i++)
        top = counts[i] > top ? counts[i] : top;
    assert_true((double)top > 4 * (double)d->n_events / 600); /* popularity is skewed */
    sg_world_free(w);
    sg_dataset_close(d);
    assert_int_equal(sg_alloc_live(), 0);
}

static void every_node_of_the_tree_is_a_range(void **state)
{
    (void)state;
    static const char *const sizes[] = {"items=8", "items=9", "items=37", "items=1000", "items=4097"};

    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const sg_synth_config c = CONFIG(sizes[k], "cold=0.9");
        sg_world *w;

        assert_int_equal(sg_world_new(&w, &c, NULL), SG_OK);
        assert_int_equal(sg_world_lines(w, 0, w->n_lines).end, w->n);
        for (uint32_t l = 0; l < w->n_lines; l++) {
            const sg_range r = sg_world_line(w, l), s = sg_world_sub(w, l);

            assert_true(r.begin < r.end && s.begin <= r.begin && r.end <= s.end);
            assert_false(sg_world_cold(w, r.begin)); /* something is always on sale */
            for (uint32_t p = r.begin; p < r.end; p++) {
                assert_int_equal(sg_world_line_of(w, p), l);
                assert_int_equal(w->place[w->item[p]], p);
                assert_int_equal(sg_world_line_of(w, sg_world_partner(w, p)), sg_world_next_line(w, l));
            }
        }
        sg_world_free(w);
    }
}

/* Plays the next event of one shopper many times, each time with other random numbers, and compares with the odds. */
static void odds_are_the_true_ones(void **state)
{
    (void)state;
    enum { PLAYS = 60000, ITEMS = 60 };
    const sg_synth_config c = CONFIG("items=60", "categories=3", "events_mean=30", "cold=0.3", "drift=0.3");
    sg_world *w;
    sg_odds *odds;
    sg_shopper s = {0};
    int late = 0, early = 0;

    assert_int_equal(sg_world_new(&w, &c, NULL), SG_OK);
    assert_int_equal(sg_odds_new(&odds, w, NULL), SG_OK);
    for (uint64_t u = 0; u < 40 && (!late || !early); u++) {
        double p[ITEMS], total = 0, chi = 0;
        int seen[ITEMS] = {0}, cells = 0;

        assert_true(sg_shopper_start(&s, w, u));
        const uint32_t stop = u % 4 ? s.n - 1 : 0; /* also the first event, which follows nothing */
        while (s.i < stop)
            sg_shopper_next(&s);
        const bool all = sg_shopper_time(&s) >= SG_SYNTH_COLD_FROM;
        if (s.n > 25 || (all ? late++ : early++) > 4)
            continue;
        sg_odds_next(p, odds, &s);
        for (int i = 0; i < ITEMS; i++) {
            total += p[i];
            assert_true(p[i] == 0 || !sg_shopper_seen(&s, (uint32_t)i));
        }
        assert_true(fabs(total - 1) < 1e-12);
        for (uint64_t play = 0; play < PLAYS; play++) {
            sg_shopper t = s;
            uint32_t had[256];

            assert_true(s.seen_size <= 256);
            memcpy(had, s.seen, s.seen_size * sizeof *had);
            t.draws = 1000000 * (play + 1);
            seen[sg_shopper_next(&t).place]++;
            memcpy(s.seen, had, s.seen_size * sizeof *had); /* t shared it */
        }
        for (int i = 0; i < ITEMS; i++) {
            if (p[i] == 0)
                assert_int_equal(seen[i], 0);
            if (p[i] * PLAYS < 5)
                continue;
            chi += (seen[i] - p[i] * PLAYS) * (seen[i] - p[i] * PLAYS) / (p[i] * PLAYS);
            cells++;
        }
        assert_true(chi < cells + 5 * sqrt(2.0 * cells)); /* mean cells, sd sqrt(2 cells): 5 sd */
    }
    assert_true(late && early);
    sg_shopper_fini(&s);
    sg_odds_free(odds);
    sg_world_free(w);
    assert_int_equal(sg_alloc_live(), 0);
}

static sg_split *loo(const sg_dataset *d)
{
    sg_split_spec spec = {0};
    sg_split *s;

    assert_int_equal(sg_split_new(&s, d, &spec, NULL), SG_OK);
    return s;
}

static double metric(const json_t *o, const char *name)
{
    return json_number_value(json_object_get(json_object_get(o, "unfiltered"), name));
}

/* Recall@10 of the ten most popular items of training. */
static double popularity_recall(const sg_dataset *d, const sg_split *s)
{
    int64_t *count = sg_alloc_zero((size_t)d->n_items, sizeof *count);
    double hits = 0;

    for (int32_t u = 0; u < d->n_users; u++)
        for (int64_t e = d->user_offsets[u]; e < s->train_end[u]; e++)
            count[d->item[e]]++;
    for (size_t i = 0; i < s->n_test; i++) {
        int rank = 0;

        for (int32_t k = 0; k < d->n_items; k++)
            rank += count[k] >= count[d->item[s->test[i].target_begin]];
        hits += rank <= 10;
    }
    sg_free(count);
    return hits / (double)s->n_test;
}

static void oracle_is_far_above_popularity(void **state)
{
    (void)state;
    const sg_synth_config c = CONFIG("users=1500");
    sg_dataset *d = synth(&c, 2);
    sg_split *s = loo(d);
    sg_pool *pool;
    json_t *one, *two;

    assert_int_equal(sg_synth_oracle(&one, d, s, true, NULL, NULL), SG_OK);
    assert_int_equal(sg_pool_new(&pool, 2, NULL), SG_OK);
    assert_int_equal(sg_synth_oracle(&two, d, s, true, pool, NULL), SG_OK);
    assert_true(json_equal(one, two));
    assert_int_equal(json_integer_value(json_object_get(one, "cases")), 1500);
    assert_true(metric(one, "recall@10") > 5 * popularity_recall(d, s));
    assert_true(metric(one, "recall@10") > 0.5 && metric(one, "recall@10") < 0.95);
    assert_true(metric(one, "recall@1") == metric(one, "ndcg@1"));
    json_decref(one);
    json_decref(two);
    sg_pool_free(pool);
    sg_split_free(s);
    sg_dataset_close(d);
    assert_int_equal(sg_alloc_live(), 0);
}

static void noise_alone_cannot_be_foreseen(void **state)
{
    (void)state;
    const sg_synth_config c = CONFIG("users=1000", "noise=1", "items=200", "cold=0");
    sg_dataset *d = synth(&c, 1);
    sg_split *s = loo(d);
    json_t *o;

    assert_int_equal(sg_synth_oracle(&o, d, s, true, NULL, NULL), SG_OK);
    assert_true(metric(o, "recall@50") == 0); /* all unseen items tie, and ties count against the oracle */
    json_decref(o);
    sg_split_free(s);
    sg_dataset_close(d);
}

static void oracle_refuses_other_data(void **state)
{
    (void)state;
    const sg_synth_config c = CONFIG("users=50", "items=60");
    char path[128];
    json_t *truth, *o;
    sg_error err;
    sg_dataset *d = synth(&c, 1);
    sg_split *s = loo(d);

    snprintf(path, sizeof path, "%s/truth.json", data);
    assert_int_equal(sg_json_read(&truth, path, 1 << 20, NULL), SG_OK);
    json_object_set_new(json_object_get(truth, "options"), "seed", json_integer(7));
    assert_int_equal(sg_json_write(path, truth, NULL), SG_OK);
    assert_int_equal(sg_synth_oracle(&o, d, s, true, NULL, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, " are not those that truth.json describes"));
    json_object_set_new(json_object_get(truth, "options"), "seed", json_integer(-1));
    assert_int_equal(sg_json_write(path, truth, NULL), SG_OK);
    assert_int_equal(sg_synth_oracle(&o, d, s, true, NULL, &err), SG_ERR_FORMAT);
    assert_non_null(
        strstr(err.message, "truth.json: 'seed': expected a number from 0 to 2.14748e+09, found -1"));
    json_decref(truth);
    remove(path);
    assert_int_equal(sg_synth_oracle(&o, d, s, true, NULL, &err), SG_ERR_MISSING);
    assert_non_null(strstr(err.message, "no truth.json here: only data made by `sedge synth` has an oracle"));
    sg_split_free(s);
    sg_dataset_close(d);
    assert_int_equal(sg_alloc_live(), 0);
}

static void refuses_options_out_of_range(void **state)
{
    (void)state;
    sg_synth_config c = config(NULL);
    sg_error err;

    c.items = 7;
    assert_int_equal(sg_synth(data, &c, NULL, NULL, NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "items: expected a number from 8 to 1.6e+07, found 7");
    c = config(NULL);
    c.drift = (double)NAN;
    assert_int_equal(sg_synth(data, &c, NULL, NULL, NULL, &err), SG_ERR_USAGE);
}

static void extreme_shops_work(void **state)
{
    (void)state;
    const sg_synth_config extremes[] = {
        CONFIG("users=3", "items=8", "events_mean=10000", "cold=0.9"),
        CONFIG("users=20", "items=9", "skew=4", "noise=1", "cold=0.9"),
        CONFIG("users=20", "items=500", "skew=4", "sequence=1", "noise=0", "drift=0"),
        CONFIG("users=20", "items=5000", "categories=10000", "skew=0"),
        CONFIG("users=20", "items=3000", "categories=1", "drift=1"),
        CONFIG("users=2", "items=8000", "events_mean=5000"),
    };

    for (size_t i = 0; i < sizeof extremes / sizeof *extremes; i++) {
        sg_dataset *d = synth(&extremes[i], 1);
        sg_split *s = loo(d);
        json_t *o;
        sg_error err = {0};

        if (sg_synth_oracle(&o, d, s, false, NULL, &err))
            fail_msg("%s", err.message);
        json_decref(o);
        sg_split_free(s);
        sg_dataset_close(d);
    }
    assert_int_equal(sg_alloc_live(), 0);
}

static void names_read_well_and_follow_the_tree(void **state)
{
    (void)state;
    const sg_synth_config c = CONFIG("items=2000", "categories=14");
    sg_dataset *d = synth(&c, 1);
    const sg_text_column *title = sg_dataset_column(d, "title"), *brand = sg_dataset_column(d, "brand"),
                         *categories = sg_dataset_column(d, "categories");
    sg_world *w;

    assert_int_equal(sg_world_new(&w, &c, NULL), SG_OK);
    assert_true(title && brand && categories);
    for (size_t i = 0; i < 2000; i++) {
        const sg_bytes t = sg_strings_at(&title->text, i), b = sg_strings_at(&brand->text, i),
                       k = sg_strings_at(&categories->text, i);
        const uint32_t partner = w->item[sg_world_partner(w, w->place[i])];
        const sg_bytes tp = sg_strings_at(&title->text, partner), bp = sg_strings_at(&brand->text, partner);

        assert_true(t.size > b.size && memcmp(t.data, b.data, b.size) == 0 && t.data[b.size] == ' ');
        assert_true(t.data[0] >= 'A' && t.data[0] <= 'Z');
        assert_true(k.size > 6 && memchr(k.data, '>', k.size));
        assert_true(b.size == bp.size &&
                    memcmp(b.data, bp.data, b.size) == 0); /* accessories are of the same brand */
        assert_true(tp.size > bp.size);
    }
    sg_world_free(w);
    sg_dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_on_any_number_of_threads),
        cmocka_unit_test(keeps_the_promises_of_its_options),
        cmocka_unit_test(every_node_of_the_tree_is_a_range),
        cmocka_unit_test(odds_are_the_true_ones),
        cmocka_unit_test(oracle_is_far_above_popularity),
        cmocka_unit_test(noise_alone_cannot_be_foreseen),
        cmocka_unit_test(oracle_refuses_other_data),
        cmocka_unit_test(refuses_options_out_of_range),
        cmocka_unit_test(extreme_shops_work),
        cmocka_unit_test(names_read_well_and_follow_the_tree),
    };

    return cmocka_run_group_tests(tests, make_dir, folder_drop);
}
