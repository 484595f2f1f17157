/* stream.c - one pass in order of time: every event is asked before it is learned, once each; the future changes nothing; a run that
 * was stopped goes on with the same bytes. */
#include "scratch.h"
#include "tiny.h"

#include "base/io.h"
#include "models/sequence.h"
#include "train/train.h"

#define HSTU "dim=16 blocks=2 heads=2 dqk=8 dv=12 length=8 negatives=7"
#define RANK "dim=16 blocks=1 heads=2 dqk=8 dv=8 hidden=8 length=8 like=3"

static char folder[SCRATCH_MAX];

typedef struct flow { /* a tiny dataset with times and ratings */
    tiny t;
    int64_t time[4000];
    float rating[4000];
} flow;

static void flow_new(flow *f, int n_users)
{
    tiny_new(&f->t, n_users, 20, 24, 5);
    assert_true(f->t.data.n_events <= 4000);
    for (int32_t u = 0; u < n_users; u++) {
        int64_t now = 1000 + (int64_t)sg_rng_below(3000, 7, SG_RNG_TEST, 9, (uint64_t)u);

        for (int64_t e = f->t.user_offsets[u]; e < f->t.user_offsets[u + 1]; e++) {
            f->time[e] = now += (int64_t)sg_rng_below(400, 7, SG_RNG_TEST, 10, (uint64_t)e);
            f->rating[e] = (float)(1 + sg_rng_below(5, 7, SG_RNG_TEST, 11, (uint64_t)e));
        }
    }
    f->t.data.timestamp = f->time;
    f->t.data.rating = f->rating;
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

static int count_down(void *user, const sg_progress_event *e)
{
    int *left = user;

    return !e->message && *left > 0 && --*left == 0;
}

/* The report; NULL when it was cancelled after `stop` steps (-1: never). */
static json_t *train(flow *f, const char *model, const char *options, const char *name, const char *how,
                     bool resume, int threads, int stop)
{
    const sg_train_spec spec = spec_of(how, resume);
    const sg_progress progress = {count_down, &stop};
    sg_error err = {0};
    char dir[128];
    sg_pool *pool;
    json_t *report = NULL;

    snprintf(dir, sizeof dir, "%s/%s", folder, name);
    assert_int_equal(sg_pool_new(&pool, threads, &err), SG_OK);
    sg_model *m = tiny_model(&f->t, model, options, 5);
    const sg_status st = sg_train(m, &f->t.train, dir, &spec, pool, &progress, &report, &err);
    if (st && st != SG_ERR_CANCEL)
        fail_msg("%s", err.message);
    sg_model_free(m);
    sg_pool_free(pool);
    return report;
}

static const json_t *windows_of(const json_t *report)
{
    const json_t *w = json_object_get(json_object_get(report, "stream"), "windows");

    assert_non_null(w);
    return w;
}

static json_int_t integer(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* Each training event is in one window, and asked unless it is its user's first. */
static void every_event_is_asked_once(void **state)
{
    (void)state;
    static const int wanted[] = {1, 7, 40, 5000};

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        json_int_t events = 0, asked = 0, want_events = 0, want_asked = 0, last = 0, steps = 0;
        size_t k;
        json_t *w;
        char how[80];
        flow f;

        flow_new(&f, 40);
        snprintf(how, sizeof how, "stream=%d batch=8", wanted[i]);
        json_t *report = train(&f, "hstu", HSTU, "once", how, false, 1, -1);
        json_array_foreach(windows_of(report), k, w)
        {
            assert_true(k == 0 || integer(w, "from") >= last);
            assert_true(integer(w, "until") > integer(w, "from"));
            assert_true(integer(w, "step") >= steps);
            last = integer(w, "until");
            steps = integer(w, "step");
            events += integer(w, "events");
            asked += integer(w, "asked");
        }
        for (int32_t u = 0; u < 40; u++) {
            want_events += f.t.split->train_end[u] - f.t.user_offsets[u];
            want_asked += f.t.split->train_end[u] - f.t.user_offsets[u] - 1;
        }
        assert_int_equal(events, want_events);
        assert_int_equal(asked, want_asked);
        if (wanted[i] < 100)
            assert_int_equal(json_array_size(windows_of(report)), wanted[i]);
        json_decref(report);
        tiny_free(&f.t);
    }
}

/* Labels in the examples of a pass. */
static int64_t count_labels(const sg_train_data *t)
{
    sg_error err = {0};
    sg_runs r = {0};
    sg_graph *g;
    int64_t labels = 0;

    assert_int_equal(sg_graph_new(&g, NULL, SG_F32, &err), SG_OK);
    assert_int_equal(sg_runs_new(&r, t, 8, false, 2, &err), SG_OK);
    for (uint32_t i = 0; i < r.n; i++) {
        int64_t own = 0;
        sg_sequences q;

        sg_graph_begin(g, SG_TRAIN, 1, i);
        assert_true(sg_runs_pack(&q, g, &r, &i, 1, 1, i));
        for (int k = 0; k < q.tokens; k++)
            own += q.target[k] >= 0;
        assert_true(own > 0); /* no run for nothing */
        labels += own;
    }
    sg_runs_free(&r);
    sg_graph_free(g);
    return labels;
}

/* The labels of all windows together are all events but each user's first, once each. */
static void every_event_is_learned_once(void **state)
{
    (void)state;
    int64_t learned[40], end[40], seen = 0, want = 0;
    flow f;

    flow_new(&f, 40);
    for (int32_t u = 0; u < 40; u++) {
        end[u] = f.t.split->train_end[u];
        learned[u] = f.t.user_offsets[u];
        want += end[u] - f.t.user_offsets[u] - 1;
    }
    f.t.train.learned = learned;
    for (int part = 1; part <= 5; part++) {
        for (int32_t u = 0; u < 40; u++)
            f.t.split->train_end[u] = learned[u] + (end[u] - learned[u]) * part / 5;
        seen += count_labels(&f.t.train);
        for (int32_t u = 0; u < 40; u++)
            learned[u] = f.t.split->train_end[u];
    }
    assert_int_equal(seen, want);
    tiny_free(&f.t);
}

/* Of what a window says, all but how long it took. */
static char *words(const json_t *window)
{
    json_t *copy = json_deep_copy(window);
    char *text;

    json_object_del(copy, "seconds");
    text = json_dumps(copy, JSON_SORT_KEYS);
    json_decref(copy);
    return text;
}

/* Other items and ratings in the last window change nothing of what the windows before say, and not what the last is asked with. */
static void the_future_changes_nothing(void **state)
{
    (void)state;
    static const char *const models[][2] = {
        {"hstu", HSTU}, {"hstu-rank", RANK}, {"gru4rec", "dim=8 hidden=8 length=8"}};

    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        flow a, b;

        flow_new(&a, 40);
        flow_new(&b, 40);
        json_t *first = train(&a, models[i][0], models[i][1], "a", "stream=6 batch=8 lr=0.01", false, 1, -1);
        const json_int_t from = integer(json_array_get(windows_of(first), 5), "from");
        for (int64_t e = 0; e < b.t.data.n_events; e++)
            if (b.time[e] >= from) {
                b.t.item[e] = (b.t.item[e] + 7) % 20;
                b.rating[e] = 6 - b.rating[e];
            }
        json_t *second = train(&b, models[i][0], models[i][1], "b", "stream=6 batch=8 lr=0.01", false, 1, -1);
        for (size_t w = 0; w < 6; w++) {
            char *x = words(json_array_get(windows_of(first), w)),
                 *y = words(json_array_get(windows_of(second), w));

            if (w < 5)
                assert_string_equal(x, y);
            else
                assert_string_not_equal(x, y);
            free(x);
            free(y);
        }
        json_decref(first);
        json_decref(second);
        tiny_free(&a.t);
        tiny_free(&b.t);
    }
}

static void read_file(sg_buf *out, const char *name, const char *file)
{
    sg_error err = {0};
    char path[160];

    snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    if (sg_file_read(out, path, (size_t)1 << 24, &err))
        fail_msg("%s", err.message);
}

static void same_weights(const char *a, const char *b)
{
    sg_buf x = {0}, y = {0};

    read_file(&x, a, "model.safetensors");
    read_file(&y, b, "model.safetensors");
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    sg_buf_free(&x);
    sg_buf_free(&y);
}

static void stopped_runs_go_on_with_the_same_bytes(void **state)
{
    (void)state;
    static const char *const models[][2] = {{"hstu", HSTU}, {"hstu-rank", RANK}};
    static const char how[] = "stream=5 batch=4 lr=0.01 schedule=linear ema=0.9";

    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        sg_error err = {0};
        char dir[128];
        json_t *whole, *parts = NULL;
        flow f;

        snprintf(dir, sizeof dir, "%s/parts", folder);
        sg_dir_remove(dir, &err);
        flow_new(&f, 40);
        whole = train(&f, models[i][0], models[i][1], "whole", how, false, 1, -1);
        for (int stop = 3; !parts; stop += 5)
            parts = train(&f, models[i][0], models[i][1], "parts", how, true, 2, stop);
        same_weights("whole", "parts");
        for (size_t w = 0; w < 5; w++) {
            char *x = words(json_array_get(windows_of(whole), w)),
                 *y = words(json_array_get(windows_of(parts), w));

            assert_string_equal(x, y);
            free(x);
            free(y);
        }
        json_decref(whole);
        json_decref(parts);
        tiny_free(&f.t);
    }
}

/* The pattern, item i after item i - 1, is found as it streams by; the receipt of the model says so. */
static void later_windows_are_predicted_better(void **state)
{
    (void)state;
    sg_error err = {0};
    char dir[128];
    sg_model *m;
    flow f;

    flow_new(&f, 150);
    json_t *report = train(&f, "hstu", "dim=32 dqk=32 dv=32 length=8 bias=position dropout=0 dropout_input=0",
                           "better", "stream=30 batch=4 lr=0.01", false, 2, -1);
    const json_t *w = windows_of(report);
    assert_true(json_number_value(json_object_get(json_array_get(w, 29), "ndcg10")) > 0.6);
    assert_true(json_number_value(json_object_get(json_array_get(w, 1), "ndcg10")) < 0.5);
    const json_t *mean = json_object_get(json_object_get(report, "stream"), "mean");
    assert_true(json_number_value(json_object_get(
                    json_object_get(json_object_get(mean, "metrics"), "unfiltered"), "ndcg@10")) >
                json_number_value(json_object_get(
                    json_object_get(json_object_get(json_object_get(mean, "floors"), "pop"), "unfiltered"),
                    "ndcg@10")));
    snprintf(dir, sizeof dir, "%s/better", folder);
    assert_int_equal(sg_model_open(&m, dir, &err), SG_OK);
    assert_int_equal(json_array_size(windows_of(m->receipt)), 30);
    sg_model_free(m);
    json_decref(report);
    tiny_free(&f.t);
}

static void says_what_cannot_stream(void **state)
{
    (void)state;
    static const struct {
        const char *model, *options, *message;
        bool timed;
    } cases[] = {
        {"tiger", "dim=16 layers=1 heads=2 head_dim=8 ffn=24 history=6",
         "stream: tiger cannot learn as time goes by; hstu, hstu-rank, sasrec, gru4rec and narm can", true},
        {"hstu", HSTU, "stream: expected timestamps, tiny has none", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sg_train_spec spec = spec_of("stream=3", false);
        sg_error err = {0};
        json_t *report;
        flow f;

        flow_new(&f, 40);
        if (!cases[i].timed)
            f.t.data.timestamp = NULL;
        sg_model *m = tiny_model(&f.t, cases[i].model, cases[i].options, 5);
        assert_int_equal(sg_train(m, &f.t.train, folder, &spec, NULL, NULL, &report, &err), SG_ERR_USAGE);
        assert_string_equal(err.message, cases[i].message);
        sg_model_free(m);
        tiny_free(&f.t);
    }
}

static int begin(void **state)
{
    (void)state;
    return scratch_make(folder, "stream");
}

static int end(void **state)
{
    sg_error err = {0};

    (void)state;
    return sg_dir_remove(folder, &err) ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_is_asked_once),
        cmocka_unit_test(every_event_is_learned_once),
        cmocka_unit_test(the_future_changes_nothing),
        cmocka_unit_test(stopped_runs_go_on_with_the_same_bytes),
        cmocka_unit_test(later_windows_are_predicted_better),
        cmocka_unit_test(says_what_cannot_stream),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
