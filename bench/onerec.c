/* onerec.c - what lists are worth in a synthetic shop, whose generator knows how much each user likes each item.
 *
 *   bench_onerec [--valid] DATA JUDGE MODEL...
 *
 * Of the judge (onerec-reward): how often it is right which of two held-out slates was better, by their ratings, as the product measures
 * it; by what the generator knows of the same slates; and how often the generator itself would be right about the ratings, which is
 * as good as it gets. Of each model, over at most 2,000 test cases (--valid: validation cases) with the history filtered: recall@10 and
 * ndcg@10, the judge's mean reward of the ten items, each a slate of its own, and of the first five as one; the true mean worth of the
 * ten, 0 to 1; the share of places that hold an item, new to the list and to the user; of every model but the first, in how many cases
 * it has the target and the first has not (gained), and the other way round (lost): the difference of their recalls, and how much of it
 * is chance. Of other data with ratings the same, without what only a generator knows. */
#include "bench.h"

#include "base/alloc.h"
#include "data/split.h"
#include "data/synth_world.h"
#include "models/reward.h"

#include <math.h>

enum { K = 10, SLATE = 5, CASES = 2000 };

static sg_error err;

static void check(sg_status st)
{
    if (st) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

typedef struct shop {
    sg_dataset *data;
    sg_split *split;
    const sg_case *cases; /* (n_cases) of the split */
    size_t n_cases;
    sg_world *world; /* NULL: other data */
} shop;

static void open_shop(shop *s, const char *dir, bool valid)
{
    const sg_split_spec loo = {.kind = SG_SPLIT_LOO, .text = "loo"};
    sg_synth_config c = {0};

    check(sg_dataset_open(&s->data, dir, &err));
    check(sg_split_new(&s->split, s->data, &loo, &err));
    if (sg_synth_config_read(&c, s->data, &err) ==
        SG_OK) /* else it is no shop of ours: nobody knows the truth */
        check(sg_world_new(&s->world, &c, &err));
    s->cases = valid ? s->split->valid : s->split->test;
    s->n_cases = valid ? s->split->n_valid : s->split->n_test;
}

/* The mean over the noise of a rating's worth, (rating - 1) / 4. */
static double worth(double liking)
{
    double sum = 0;

    for (int k = 2; k <= 5; k++) { /* E = sum of P(rating >= k): floor(liking + u + 0.5) >= k */
        const double u = k - 0.5 - liking;

        sum += u <= -1 ? 1 : u >= 1 ? 0 : (1 - u) / 2;
    }
    return sum / 4;
}

/* ---- the judge ---- */

typedef struct verdict {
    double rated, known, said;
} verdict;

static double right_share(const verdict *v, int n, double (*truth)(const verdict *),
                          double (*guess)(const verdict *))
{
    double right = 0, pairs = 0;

    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) {
            const double t = truth(v + i) - truth(v + j), g = guess(v + i) - guess(v + j);

            if (fabs(t) < 1e-9)
                continue;
            pairs++;
            right += g == 0 ? 0.5 : (g > 0) == (t > 0);
        }
    return pairs > 0 ? right / pairs : 0;
}

static double by_ratings(const verdict *v)
{
    return v->rated;
}

static double by_truth(const verdict *v)
{
    return v->known;
}

static double by_judge(const verdict *v)
{
    return v->said;
}

static void measure_judge(const shop *s, const sg_model *judge)
{
    enum { MOST = 4096 };
    static verdict v[MOST];
    const sg_dataset *d = s->data;
    const int tasks = judge->class->tasks(judge), goal = judge->class->goal(judge);
    float *p = sg_alloc_array((size_t)tasks, sizeof *p);
    sg_shopper shopper = {0};
    sg_session *session;
    int n = 0;

    if (!p)
        exit(1);
    check(sg_session_new(&session, judge, NULL, &err));
    for (int32_t u = 0; u < d->n_users; u++) {
        const int64_t begin = d->user_offsets[u];

        if (!sg_reward_held(judge, u) || (s->world && !sg_shopper_start(&shopper, s->world, (uint64_t)u)))
            continue;
        for (int64_t e = begin; n < MOST && e + SLATE <= s->split->train_end[u]; e += SLATE) {
            const sg_histories h = {.n = 1,
                                    .offsets = (int64_t[]){begin, e},
                                    .item = d->item,
                                    .rating = d->rating,
                                    .action = d->action};

            check(sg_reward_slates(
                session, &h, &(sg_slates){1, (int32_t[]){0}, (int32_t[]){0, SLATE}, d->item + e}, p, &err));
            v[n] = (verdict){.said = (double)p[goal]};
            for (int k = 0; k < SLATE; k++) {
                v[n].rated += (double)d->rating[e + k];
                if (s->world) {
                    const sg_synth_event event = sg_shopper_next(&shopper);

                    v[n].known += worth(sg_shopper_liking(&shopper, event.place));
                }
            }
            n++;
        }
    }
    bench_value("judge right about ratings", right_share(v, n, by_ratings, by_judge), "share");
    if (s->world) {
        bench_value("judge right about the truth", right_share(v, n, by_truth, by_judge), "share");
        bench_value("truth right about ratings", right_share(v, n, by_ratings, by_truth), "share");
    }
    sg_shopper_fini(&shopper);
    sg_session_free(session);
    sg_free(p);
}

/* ---- lists ---- */

typedef struct sums {
    double recall, ndcg, reward_items, reward_slate, worth, valid;
} sums;

/* Adds a list to the sums; whether the target is in it. */
static bool measure_list(sums *t, const shop *s, sg_session *bench, const sg_case *c, const int32_t *item)
{
    const sg_dataset *d = s->data;
    const sg_model *judge = bench->model;
    const int tasks = judge->class->tasks(judge), goal = judge->class->goal(judge);
    const sg_histories h = {.n = 1,
                            .offsets = (int64_t[]){c->begin, c->end},
                            .item = d->item,
                            .rating = d->rating,
                            .action = d->action};
    int32_t of[K + 1] = {0}, offsets[K + 2], slate[K + SLATE];
    float *p = sg_alloc_array((size_t)(K + 1) * (size_t)tasks, sizeof *p);
    sg_shopper shopper = {0};
    bool found = false;

    if (!p || (s->world && !sg_shopper_start(&shopper, s->world, (uint64_t)c->user)))
        exit(1);
    for (int64_t e = d->user_offsets[c->user]; s->world && e < c->target_begin; e++)
        sg_shopper_next(&shopper);
    for (int k = 0; k < K; k++) {
        bool valid = item[k] >= 0 && item[k] < d->n_items;

        for (int j = 0; j < k; j++)
            valid = valid && item[j] != item[k];
        for (int64_t e = c->begin; e < c->end; e++)
            valid = valid && d->item[e] != item[k];
        t->valid += valid / (double)K;
        if (item[k] == d->item[c->target_begin]) {
            found = true;
            t->recall++;
            t->ndcg += 1 / log2(k + 2);
        }
        if (item[k] >= 0 && s->world)
            t->worth += worth(sg_shopper_liking(&shopper, s->world->place[item[k]])) / K;
        slate[k] = item[k] < 0 ? 0 : item[k];
        offsets[k] = k;
    }
    offsets[K] = K;
    offsets[K + 1] = K + SLATE;
    memcpy(slate + K, slate, SLATE * sizeof *slate);
    check(sg_reward_slates(bench, &h, &(sg_slates){K + 1, of, offsets, slate}, p, &err));
    for (int k = 0; k < K; k++)
        t->reward_items += (double)p[k * tasks + goal] / K;
    t->reward_slate += (double)p[K * tasks + goal];
    sg_shopper_fini(&shopper);
    sg_free(p);
    return found;
}

/* first_found: (CASES) whether the first model found the target; is_first: that is filled in. */
static void measure_model(bool *first_found, bool is_first, const shop *s, const sg_model *judge,
                          const char *dir)
{
    enum { BATCH = 64 };
    const sg_dataset *d = s->data;
    const size_t step = (s->n_cases + CASES - 1) / CASES,
                 n = step ? s->n_cases / step : 0; /* evenly thinned */
    int gained = 0, lost = 0;
    sums t = {0};
    sg_session *session, *bench;
    sg_model *m;
    char name[256];

    check(sg_model_open(&m, dir, &err));
    check(sg_session_new(&session, m, NULL, &err));
    check(sg_session_new(&bench, judge, NULL, &err));
    for (size_t first = 0; first < n; first += BATCH) {
        const int batch = (int)(n - first < BATCH ? n - first : BATCH);
        int64_t offsets[BATCH + 1] = {0};
        int32_t user[BATCH], item[BATCH * K];
        float score[BATCH * K];
        size_t cap = 0;
        int32_t *history = NULL;

        for (int i = 0; i < batch; i++) {
            const sg_case *c = &s->cases[(first + (size_t)i) * step];

            user[i] = c->user;
            offsets[i + 1] = offsets[i] + c->end - c->begin;
            if (!sg_grow(&history, &cap, (size_t)offsets[i + 1] + 1, sizeof *history))
                exit(1);
            memcpy(history + offsets[i], d->item + c->begin, (size_t)(c->end - c->begin) * sizeof *history);
        }
        check(sg_session_recommend(
            session, &(sg_histories){.n = batch, .offsets = offsets, .item = history, .user = user},
            &(sg_filter){.seen = true}, K, item, score, &err));
        for (int i = 0; i < batch; i++) {
            bool *const before = &first_found[first + (size_t)i];
            const bool found =
                measure_list(&t, s, bench, &s->cases[(first + (size_t)i) * step], item + i * K);

            if (is_first)
                *before = found;
            gained += found && !*before;
            lost += !found && *before;
        }
        sg_free(history);
    }
    const struct {
        const char *name;
        double sum;
    } rows[] = {{"recall@10", t.recall},
                {"ndcg@10", t.ndcg},
                {"reward of the ten", t.reward_items},
                {"reward of the first five", t.reward_slate},
                {"valid places", t.valid},
                {"true worth of the ten", t.worth}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows - !s->world; i++) {
        snprintf(name, sizeof name, "%s: %s", dir, rows[i].name);
        bench_value(name, n ? rows[i].sum / (double)n : 0, "mean");
    }
    for (int i = 0; i < 2 && !is_first; i++) {
        snprintf(name, sizeof name, "%s: %s", dir, i ? "lost" : "gained");
        bench_value(name, i ? lost : gained, "cases");
    }
    sg_session_free(session);
    sg_session_free(bench);
    sg_model_free(m);
}

int main(int argc, char **argv)
{
    const bool valid = argc > 1 && !strcmp(argv[1], "--valid");
    static bool found[CASES];
    sg_model *judge;
    shop s = {0};

    argv += valid;
    argc -= valid;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_onerec [--valid] DATA JUDGE MODEL...\n");
        return 2;
    }
    open_shop(&s, argv[1], valid);
    check(sg_model_open(&judge, argv[2], &err));
    if (judge->class != &sg_model_onerec_reward) {
        fprintf(stderr, "%s: expected an onerec-reward\n", argv[2]);
        return 2;
    }
    bench_header();
    measure_judge(&s, judge);
    for (int i = 3; i < argc; i++)
        measure_model(found, i == 3, &s, judge, argv[i]);
    sg_model_free(judge);
    sg_world_free(s.world);
    sg_split_free(s.split);
    sg_dataset_close(s.data);
    return 0;
}
