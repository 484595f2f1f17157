/* past.c - what a request costs whose history was read before but for its last event, against one that reads all of it.
 * usage: bench_past MODEL DATA [runs [beam]]
 * MODEL: a folder of a model that keeps pasts, DATA: the dataset it learned from. CPU time of one thread for a list of 10, over
 * histories of several lengths, each by several users; "least" and "median" are over runs, each the mean of all users. */
#include "base/alloc.h"
#include "bench.h"
#include "models/past.h"

#include <time.h>

enum { RUNS_MAX = 101, K = 10, USERS = 16 };

typedef struct bench {
    sg_model *m;
    sg_dataset *d;
    sg_session *session;
    int runs;
} bench;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static void fail(const sg_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

/* One list after the first n events of a user. */
static void ask(const bench *b, int32_t user, int n, sg_past *past, int32_t *item, float *score)
{
    const int64_t begin = b->d->user_offsets[user], offsets[] = {begin, begin + n};
    const sg_filter f = {.seen = true};
    const sg_histories h = {.n = 1,
                            .offsets = offsets,
                            .item = b->d->item,
                            .timestamp = b->d->timestamp,
                            .past = past ? &past : NULL};
    sg_error err;

    if (sg_session_recommend(b->session, &h, &f, K, item, score, &err))
        fail(&err);
}

/* Users with at least n events, spread over the dataset. */
static int choose(const bench *b, int n, int32_t user[USERS])
{
    int have = 0, seen = 0, found = 0;

    for (int32_t u = 0; u < b->d->n_users; u++)
        have += b->d->user_offsets[u + 1] - b->d->user_offsets[u] >= n;
    for (int32_t u = 0; u < b->d->n_users && found < USERS; u++)
        if (b->d->user_offsets[u + 1] - b->d->user_offsets[u] >= n &&
            seen++ % (have / USERS ? have / USERS : 1) == 0)
            user[found++] = u;
    return found;
}

static void measure(const bench *b, int n)
{
    double whole[RUNS_MAX], more[RUNS_MAX], ratio[RUNS_MAX];
    int32_t user[USERS], item[2][K];
    float score[2][K];
    const int users = choose(b, n, user);
    sg_past *past[USERS] = {0};
    size_t bytes = 0;
    char name[80];
    sg_error err;

    if (!users)
        return;
    for (int i = 0; i < users; i++)
        if (sg_past_new(&past[i], b->m, &err))
            fail(&err);
    for (int run = -2; run < b->runs; run++) { /* the first: arenas, kernels */
        double sum[2] = {0};

        for (int i = 0; i < users; i++) {
            double from = now();

            ask(b, user[i], n, NULL, item[0], score[0]);
            sum[0] += now() - from;
            if (n > 1)
                ask(b, user[i], n - 1, past[i], item[1], score[1]);
            from = now();
            ask(b, user[i], n, past[i], item[1], score[1]);
            sum[1] += now() - from;
            if (memcmp(item[0], item[1], sizeof *item) != 0 ||
                memcmp(score[0], score[1], sizeof *score) != 0) {
                fprintf(stderr, "user %d after %d events: the lists differ\n", (int)user[i], n);
                exit(1);
            }
        }
        if (run < 0)
            continue;
        whole[run] = sum[0] / users;
        more[run] = sum[1] / users;
        ratio[run] = sum[0] / sum[1];
    }
    for (int i = 0; i < users; i++) {
        bytes += sg_past_bytes(past[i]);
        sg_past_free(past[i]);
    }
    snprintf(name, sizeof name, "%s %d events: from the beginning", b->m->class->name, n);
    bench_row(1, name, whole, b->runs, "us CPU");
    snprintf(name, sizeof name, "%s %d events: the last one alone", b->m->class->name, n);
    bench_row(1, name, more, b->runs, "us CPU");
    snprintf(name, sizeof name, "%s %d events: ratio", b->m->class->name, n);
    bench_row(1, name, ratio, b->runs, "x");
    snprintf(name, sizeof name, "%s %d events: kept", b->m->class->name, n);
    bench_value(name, (double)bytes / users, "bytes");
}

int main(int argc, char **argv)
{
    static const int lengths[] = {2, 5, 10, 20, 35, 50, 100, 150, 200};
    bench b = {.runs = argc > 3 ? atoi(argv[3]) : 11};
    sg_error err;

    if (argc < 3 || b.runs < 1 || b.runs > RUNS_MAX) {
        fprintf(stderr, "usage: bench_past MODEL DATA [runs [beam]]\n");
        return 2;
    }
    if (sg_model_open(&b.m, argv[1], &err) || sg_dataset_open(&b.d, argv[2], &err) ||
        sg_session_new(&b.session, b.m, NULL, &err))
        fail(&err);
    if (!sg_model_keeps(b.m) || b.m->n_items != b.d->n_items) {
        fprintf(stderr, "%s keeps no pasts, or did not learn from %s\n", argv[1], argv[2]);
        return 2;
    }
    b.session->beam = argc > 4 ? atoi(argv[4]) : 0;
    bench_header();
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        measure(&b, lengths[i]);
    sg_session_free(b.session);
    sg_dataset_close(b.d);
    sg_model_free(b.m);
    return 0;
}
