/* decode.c - what a recommendation by a model over semantic IDs costs, the model included, on one core:
 * milliseconds of one user at a time, users a second in batches, and how often the beam's top 10 are the
 * exact ones.
 *
 * usage: bench_decode [MODEL DATA] [--beam N] [--users N] [--exact N]
 *   MODEL DATA  a trained model folder and its dataset; without: an untrained TIGER at the options of its
 * class over a synthetic shop of 12,101 items (exactness means nothing there and is left out, and so is
 * completing the search, which an untrained model's flat probabilities send everywhere)
 *   --beam N    only this beam (default: 20 and 50)
 *   --users N   test users asked, evenly spread (default 2000)
 *   --exact N   of these, how many are also scored exactly (default 1000) */
#include "base/alloc.h"
#include "base/io.h"
#include "bench.h"
#include "data/dataset.h"
#include "models/model.h"

#include <math.h>
#include <sedge/sedge.h>
#include <unistd.h>

enum { K = 10, BATCH = 256 };

typedef struct asked { /* the histories of the test users */
    int n;
    int64_t *offsets;
    int32_t *item, *user;
} asked;

static void stop(const char *message)
{
    fprintf(stderr, "bench_decode: %s\n", message);
    exit(1);
}

static void need(int status, const sedge_error *err)
{
    if (status)
        stop(err->message);
}

static void need_sg(sg_status st, const sg_error *err)
{
    if (st)
        stop(err->message);
}

/* Vectors made of text, IDs made of these, in a dataset folder at `dir`. */
static void make_shop(const char *dir)
{
    const char *set[] = {"items=12101", "users=4000"};
    sedge_error err;

    need(sedge_synth(
             &(sedge_synth_params){.size = sizeof(sedge_synth_params), .out = dir, .set = set, .n_set = 2},
             NULL, &err),
         &err);
    need(sedge_embed(&(sedge_embed_params){.size = sizeof(sedge_embed_params), .data = dir}, NULL, &err),
         &err);
    need(sedge_tokenize(&(sedge_tokenize_params){.size = sizeof(sedge_tokenize_params), .data = dir}, NULL,
                        &err),
         &err);
}

static sg_model *untrained(const sg_dataset *d, const sg_split *split)
{
    sg_error err;
    sg_ids ids;
    sg_model *m;

    need_sg(sg_ids_open(&ids, d, &err), &err);
    need_sg(sg_model_new(&m, sg_model_class_find("tiger", &err), &err), &err);
    need_sg(sg_model_build(m, &(sg_train_data){.data = d, .split = split, .ids = &ids}, 1, &err), &err);
    sg_ids_close(&ids);
    return m;
}

static asked test_users(const sg_dataset *d, const sg_split *split, int n)
{
    asked a = {.n = (size_t)n < split->n_test ? n : (int)split->n_test};
    size_t events = 0;

    a.offsets = sg_alloc_array((size_t)a.n + 1, sizeof *a.offsets);
    a.user = sg_alloc_array((size_t)a.n, sizeof *a.user);
    a.item = sg_alloc_array((size_t)d->n_events, sizeof *a.item);
    if (!a.offsets || !a.user || !a.item)
        stop("out of memory");
    for (int i = 0; i < a.n; i++) {
        const sg_case *c = &split->test[(size_t)i * split->n_test / (size_t)a.n];

        a.offsets[i] = (int64_t)events;
        a.user[i] = c->user;
        memcpy(a.item + events, d->item + c->begin, (size_t)(c->end - c->begin) * sizeof *a.item);
        events += (size_t)(c->end - c->begin);
    }
    a.offsets[a.n] = (int64_t)events;
    return a;
}

static sg_histories histories(const asked *a, int first, int n)
{
    return (sg_histories){.n = n, .offsets = a->offsets + first, .item = a->item, .user = a->user + first};
}

static bool holds(const int32_t *list, int n, int32_t item)
{
    for (int i = 0; i < n; i++)
        if (list[i] == item)
            return true;
    return false;
}

/* One user at a time, as a server is asked. Lists (n, K) are kept: what follows looks at them. */
static void time_alone(const char *name, sg_session *s, const asked *a, int32_t *list, float *score)
{
    const sg_filter unseen = {.seen = true};
    double *ms = sg_alloc_array((size_t)a->n, sizeof *ms);
    char label[128];
    sg_error err;

    if (!ms)
        stop("out of memory");
    for (int i = -20; i < a->n; i++) { /* twenty to warm up */
        const int u = i < 0 ? (i + a->n) % a->n : i;
        const sg_histories h = histories(a, u < 0 ? 0 : u, 1);
        const double start = sg_now();

        need_sg(sg_session_recommend(s, &h, &unseen, K, list + (size_t)(u < 0 ? 0 : u) * K,
                                     score + (size_t)(u < 0 ? 0 : u) * K, &err),
                &err);
        if (i >= 0)
            ms[i] = (sg_now() - start) * 1e3;
    }
    snprintf(label, sizeof label, "%s one user at a time", name);
    bench_row(1, label, ms, a->n, "ms a user");
    snprintf(label, sizeof label, "%s one user at a time p99", name);
    bench_value(label, ms[(size_t)a->n * 99 / 100], "ms a user");
    sg_free(ms);
}

static void time_batches(const char *name, sg_session *s, const asked *a)
{
    const sg_filter unseen = {.seen = true};
    int32_t *item = sg_alloc_array(BATCH * K, sizeof *item);
    float *score = sg_alloc_array(BATCH * K, sizeof *score);
    const double start = sg_now();
    char label[128];
    sg_error err;

    if (!item || !score)
        stop("out of memory");
    for (int first = 0; first < a->n; first += BATCH) {
        const sg_histories h = histories(a, first, a->n - first < BATCH ? a->n - first : BATCH);

        need_sg(sg_session_recommend(s, &h, &unseen, K, item, score, &err), &err);
    }
    snprintf(label, sizeof label, "%s batches of %d", name, BATCH);
    bench_value(label, a->n / (sg_now() - start), "users a second");
    sg_free(item);
    sg_free(score);
}

/* Places of all lists that hold an item of the catalogue, not of the history, and not twice. */
static void count_legal(const char *name, const sg_model *m, const asked *a, const int32_t *list)
{
    size_t legal = 0;
    char label[128];

    for (int i = 0; i < a->n; i++)
        for (int j = 0; j < K; j++) {
            const int32_t item = list[(size_t)i * K + (size_t)j];

            legal += item >= 0 && item < m->n_items && !holds(list + (size_t)i * K, j, item) &&
                     !holds(a->item + a->offsets[i], (int)(a->offsets[i + 1] - a->offsets[i]), item);
        }
    snprintf(label, sizeof label, "%s legal items", name);
    bench_value(label, (double)legal / ((double)a->n * K), "share");
}

/* Users whose list holds the same items as the K best of all scores. */
static void count_exact(const char *name, sg_session *s, const asked *a, int n, const int32_t *list)
{
    enum { TOGETHER = 4 };
    const size_t n_items = (size_t)s->model->n_items;
    float *scores = sg_alloc_array(TOGETHER * n_items, sizeof *scores), best[K];
    int same = 0;
    int32_t item[K];
    char label[128];
    sg_error err;

    if (!scores)
        stop("out of memory");
    for (int first = 0; first < n; first += TOGETHER) {
        const sg_histories h = histories(a, first, n - first < TOGETHER ? n - first : TOGETHER);

        need_sg(s->model->class->score(s, &h, scores, &err), &err);
        for (int i = 0; i < h.n; i++) {
            float *row = scores + (size_t)i * n_items;
            int found = 0;

            for (int64_t e = h.offsets[i]; e < h.offsets[i + 1]; e++)
                row[h.item[e]] = -INFINITY;
            sg_topk(item, best, K, row, n_items);
            for (int j = 0; j < K; j++)
                found += holds(list + (size_t)(first + i) * K, K, item[j]);
            same += found == K;
        }
    }
    snprintf(label, sizeof label, "%s top %d as exact over %d users", name, K, n);
    bench_value(label, (double)same / n, "share");
    sg_free(scores);
}

static void bench_beam(const sg_model *m, const asked *a, int beam, bool complete, int exact)
{
    int32_t *list = sg_alloc_array((size_t)a->n * K, sizeof *list);
    float *score = sg_alloc_array((size_t)a->n * K, sizeof *score);
    sg_session *s;
    sg_error err;
    char name[64];

    if (!list || !score)
        stop("out of memory");
    need_sg(sg_session_new(&s, m, NULL, &err), &err);
    s->beam = beam;
    s->plain = !complete;
    snprintf(name, sizeof name, "%s %d beams%s", m->class->name, beam, complete ? " completed" : "");
    time_alone(name, s, a, list, score);
    time_batches(name, s, a);
    count_legal(name, m, a, list);
    if (exact > 0)
        count_exact(name, s, a, exact < a->n ? exact : a->n, list);
    sg_session_free(s);
    sg_free(list);
    sg_free(score);
}

int main(int argc, char **argv)
{
    static const int usual[] = {20, 50};
    const char *path[2];
    int n_path = 0, beam = 0, users = 2000, exact = 1000;
    char shop[64] = "";
    sg_dataset *d;
    sg_split *split;
    sg_split_spec loo;
    sg_model *m;
    sg_error err;
    asked a;

    for (int i = 1; i < argc; i++) {
        int *value = !strcmp(argv[i], "--beam")    ? &beam
                     : !strcmp(argv[i], "--users") ? &users
                     : !strcmp(argv[i], "--exact") ? &exact
                                                   : NULL;

        if (value && i + 1 < argc)
            *value = atoi(argv[++i]);
        else if (!value && n_path < 2)
            path[n_path++] = argv[i];
        else
            stop("usage: bench_decode [MODEL DATA] [--beam N] [--users N] [--exact N]");
    }
    if (n_path == 1 || users < 1 || beam < 0)
        stop("usage: bench_decode [MODEL DATA] [--beam N] [--users N] [--exact N]");
    if (n_path == 0) {
        snprintf(shop, sizeof shop, "bench-decode-%ld", (long)getpid());
        make_shop(shop);
        exact = 0;
    }
    need_sg(sg_dataset_open(&d, n_path ? path[1] : shop, &err), &err);
    need_sg(sg_split_parse(&loo, "loo", &err), &err);
    need_sg(sg_split_new(&split, d, &loo, &err), &err);
    if (n_path)
        need_sg(sg_model_open(&m, path[0], &err), &err);
    else
        m = untrained(d, split);
    if (m->n_items != d->n_items || !m->class->score || !m->class->recommend)
        stop("expected a model that searches, and the dataset it was trained on");
    a = test_users(d, split, users);
    bench_header();
    for (int i = 0; i < (beam ? 1 : 2); i++)
        for (int complete = 0; complete < (n_path ? 2 : 1); complete++)
            bench_beam(m, &a, beam ? beam : usual[i], complete, exact);
    sg_model_free(m);
    sg_split_free(split);
    sg_dataset_close(d);
    if (shop[0])
        need_sg(sg_dir_remove(shop, &err), &err);
    sg_free(a.offsets);
    sg_free(a.user);
    sg_free(a.item);
    return 0;
}
