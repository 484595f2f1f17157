/* onednn.c - the door to oneDNN: single-threaded products of one tile.
 *
 * f32 goes through dnnl_sgemm, which keeps no primitives, so that a new shape costs nothing. oneDNN's own threads stay off:
 * its OpenMP runtime is asked, through whichever library it brought along, to use one thread around our calls. */
#define _GNU_SOURCE
#include "math/onednn.h"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

/* ---- one thread ----------------------------------------------------------------------------------------------- */

typedef struct omp_calls {
    int (*get_max)(void);
    void (*set_num)(int);
} omp_calls;

static omp_calls omp;
static pthread_once_t omp_once = PTHREAD_ONCE_INIT;

static void find_omp(void)
{
    void *get = dlsym(RTLD_DEFAULT, "omp_get_max_threads"), *set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");

    if (get && set) {
        memcpy(&omp.get_max, &get, sizeof get);
        memcpy(&omp.set_num, &set, sizeof set);
    }
}

/* The setting belongs to the calling thread; what the host program had set is put back. */
static int one_thread(void)
{
    int before = 1;

    pthread_once(&omp_once, find_omp);
    if (omp.set_num && (before = omp.get_max()) != 1)
        omp.set_num(1);
    return before;
}

static void threads_back(int before)
{
    if (before != 1)
        omp.set_num(before);
}

/* ---- f32 ------------------------------------------------------------------------------------------------------ */

void sg_dnn_f32(bool ta, bool tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc)
{
    if (k > 0) {
        const int before = one_thread();

        dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        threads_back(before);
        return;
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            c[(size_t)i * (size_t)ldc + (size_t)j] = beta == 0 ? 0 : beta * c[(size_t)i * (size_t)ldc + (size_t)j];
}
