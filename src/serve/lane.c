/* lane.c - a ring under one lock. Jobs are taken in order; a batch skips over those that are not like its
 * first, which stay where they are. */
#include "serve/lane.h"

#include "base/alloc.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

typedef struct worker {
    sg_lane *lane;
    pthread_t thread;
    int number;
    bool refresh;
    void **job; /* owned (batch) */
} worker;

struct sg_lane {
    sg_lane_spec spec;
    pthread_mutex_t lock;
    pthread_cond_t something; /* a job, a refresh, the end */
    void **ring;              /* owned (cap) */
    int first, n;
    bool end;
    worker *worker; /* owned (threads) */
    int n_started;
};

static void **at(const sg_lane *l, int i)
{
    return &l->ring[(l->first + i) % l->spec.cap];
}

/* Moves jobs that are like the first of the batch from the ring to it. */
static int take_alike(sg_lane *l, void **job, int n)
{
    int kept = 0;

    for (int i = 0; i < l->n; i++) {
        void *one = *at(l, i);

        if (n < l->spec.batch && (n == 0 || !l->spec.alike || l->spec.alike(l->spec.ctx, job[0], one)))
            job[n++] = one;
        else
            *at(l, kept++) = one;
    }
    l->n = kept;
    return n;
}

static struct timespec after(double seconds)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)(seconds * 1e9);
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void *work(void *ctx)
{
    worker *w = ctx;
    sg_lane *l = w->lane;

    pthread_mutex_lock(&l->lock);
    for (;;) {
        int n;

        while (!l->n && !l->end && !w->refresh)
            pthread_cond_wait(&l->something, &l->lock);
        if (w->refresh) {
            w->refresh = false;
            pthread_mutex_unlock(&l->lock);
            if (l->spec.refresh)
                l->spec.refresh(l->spec.ctx, w->number);
            pthread_mutex_lock(&l->lock);
            continue;
        }
        if (!l->n)
            break; /* the end */
        n = take_alike(l, w->job, 0);
        if (l->spec.wait > 0 && n < l->spec.batch && !l->end) {
            const struct timespec until = after(l->spec.wait);

            while (n < l->spec.batch && !l->end &&
                   pthread_cond_timedwait(&l->something, &l->lock, &until) != ETIMEDOUT)
                n = take_alike(l, w->job, n);
            n = take_alike(l, w->job, n);
        }
        if (l->n)
            pthread_cond_signal(&l->something); /* what is left is another's */
        pthread_mutex_unlock(&l->lock);
        l->spec.run(l->spec.ctx, w->number, w->job, n);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Signals are the program's main thread's. */
static int start(worker *w)
{
    sigset_t all, old;
    int e;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    e = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return e;
}

sg_status sg_lane_new(sg_lane **out, const sg_lane_spec *spec, sg_error *err)
{
    sg_lane *l = sg_alloc_zero(1, sizeof *l);
    pthread_condattr_t clock;
    sg_status st = SG_OK;

    *out = NULL;
    if (!l)
        return sg_fail_memory(err, "workers");
    l->spec = *spec;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&l->something, &clock);
    pthread_condattr_destroy(&clock);
    l->ring = sg_alloc_array((size_t)spec->cap, sizeof *l->ring);
    l->worker = sg_alloc_zero((size_t)spec->threads, sizeof *l->worker);
    if (!l->ring || !l->worker)
        st = sg_fail_memory(err, "workers");
    for (int i = 0; !st && i < spec->threads; i++) {
        worker *w = &l->worker[i];

        *w = (worker){.lane = l, .number = i, .job = sg_alloc_array((size_t)spec->batch, sizeof *w->job)};
        if (!w->job || start(w)) {
            sg_free(w->job);
            st = sg_fail_memory(err, "workers");
        } else {
            l->n_started++;
        }
    }
    if (st)
        sg_lane_free(l);
    else
        *out = l;
    return st;
}

bool sg_lane_put(sg_lane *l, void *job)
{
    bool room;

    pthread_mutex_lock(&l->lock);
    if ((room = l->n < l->spec.cap && !l->end)) {
        *at(l, l->n) = job;
        l->n++;
        pthread_cond_signal(&l->something);
    }
    pthread_mutex_unlock(&l->lock);
    return room;
}

int sg_lane_length(sg_lane *l)
{
    int n;

    pthread_mutex_lock(&l->lock);
    n = l->n;
    pthread_mutex_unlock(&l->lock);
    return n;
}

void sg_lane_refresh(sg_lane *l)
{
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < l->n_started; i++)
        l->worker[i].refresh = true;
    pthread_cond_broadcast(&l->something);
    pthread_mutex_unlock(&l->lock);
}

void sg_lane_free(sg_lane *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->end = true;
    pthread_cond_broadcast(&l->something);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->n_started; i++) {
        pthread_join(l->worker[i].thread, NULL);
        sg_free(l->worker[i].job);
    }
    pthread_cond_destroy(&l->something);
    pthread_mutex_destroy(&l->lock);
    sg_free(l->worker);
    sg_free(l->ring);
    sg_free(l);
}
