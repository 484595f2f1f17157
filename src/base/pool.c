/* pool.c - workers spin briefly, then sleep; pieces are handed out by one atomic counter. */
#define _GNU_SOURCE
#include "base/pool.h"

#include "base/alloc.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum { SPINS = 2000 };

struct sg_pool {
    int threads;
    pthread_t *workers;   /* owned: threads - 1 */
    pthread_mutex_t lock; /* guards the sleep on wake and idle */
    pthread_cond_t wake;
    pthread_cond_t idle;
    _Atomic unsigned round; /* a new value: there is work */
    _Atomic int busy;       /* workers still in this round */
    _Atomic bool quit;
    sg_body *body;
    void *ctx;
    size_t n, grain, pieces;
    _Atomic size_t next;
};

typedef struct worker_arg {
    sg_pool *pool;
    int thread;
} worker_arg;

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void run_pieces(sg_pool *p, int thread)
{
    size_t piece;

    while ((piece = atomic_fetch_add(&p->next, 1)) < p->pieces) {
        const size_t begin = piece * p->grain;
        const size_t end = begin + p->grain < p->n ? begin + p->grain : p->n;

        p->body(p->ctx, piece, begin, end, thread);
    }
}

static void *worker_main(void *arg)
{
    const worker_arg w = *(worker_arg *)arg;
    sg_pool *p = w.pool;
    unsigned seen = 0;

    sg_free(arg);
    for (;;) {
        for (int i = 0; i < SPINS && atomic_load(&p->round) == seen && !atomic_load(&p->quit); i++)
            pause_cpu();
        if (atomic_load(&p->round) == seen) {
            pthread_mutex_lock(&p->lock);
            while (atomic_load(&p->round) == seen && !atomic_load(&p->quit))
                pthread_cond_wait(&p->wake, &p->lock);
            pthread_mutex_unlock(&p->lock);
        }
        if (atomic_load(&p->quit))
            return NULL;
        seen = atomic_load(&p->round);
        run_pieces(p, w.thread);
        if (atomic_fetch_sub(&p->busy, 1) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->idle);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

int sg_cores(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    return 1;
}

sg_status sg_pool_new(sg_pool **out, int threads, sg_error *err)
{
    sg_pool *p;

    *out = NULL;
    if (threads <= 0)
        threads = sg_cores();
    if (!(p = sg_alloc_zero(1, sizeof *p)) ||
        !(p->workers = sg_alloc_zero((size_t)threads, sizeof *p->workers))) {
        sg_free(p);
        return sg_fail_memory(err, "thread pool");
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->idle, NULL);
    p->threads = 1;
    for (int i = 1; i < threads; i++) {
        worker_arg *w = sg_alloc(sizeof *w);
        int e = ENOMEM;

        if (w)
            *w = (worker_arg){p, i};
        if (!w || (e = pthread_create(&p->workers[i - 1], NULL, worker_main, w))) {
            sg_free(w);
            sg_pool_free(p);
            return sg_fail(err, SG_ERR_MEMORY, "cannot start thread %d of %d: %s", i + 1, threads,
                           strerror(e));
        }
        p->threads++;
    }
    *out = p;
    return SG_OK;
}

void sg_pool_free(sg_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->quit, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->threads - 1; i++)
        pthread_join(p->workers[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->lock);
    sg_free(p->workers);
    sg_free(p);
}

int sg_pool_threads(const sg_pool *p)
{
    return p ? p->threads : 1;
}

void sg_parallel_for(sg_pool *p, size_t n, size_t grain, sg_body *body, void *ctx)
{
    if (n == 0)
        return;
    if (grain == 0)
        grain = 1;
    if (!p || p->threads == 1 || n <= grain) {
        for (size_t piece = 0, begin = 0; begin < n; piece++, begin += grain)
            body(ctx, piece, begin, begin + grain < n ? begin + grain : n, 0);
        return;
    }
    p->body = body;
    p->ctx = ctx;
    p->n = n;
    p->grain = grain;
    p->pieces = sg_pieces(n, grain);
    atomic_store(&p->next, 0);
    atomic_store(&p->busy, p->threads - 1);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->round, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    run_pieces(p, 0);
    for (int i = 0; i < SPINS && atomic_load(&p->busy); i++)
        pause_cpu();
    if (atomic_load(&p->busy)) {
        pthread_mutex_lock(&p->lock);
        while (atomic_load(&p->busy))
            pthread_cond_wait(&p->idle, &p->lock);
        pthread_mutex_unlock(&p->lock);
    }
}
