/* pool.h - our threads. Work is cut into pieces by `grain`, never by the number of threads, so that partial results
 * joined in piece order give the same bytes on any number of threads. */
#ifndef SG_BASE_POOL_H
#define SG_BASE_POOL_H

#include "base/status.h"

#include <assert.h>
#include <stddef.h>

typedef struct sg_pool sg_pool;

/* threads 0: one per core this process may run on. A pool of 1 runs everything in the caller. */
sg_status sg_pool_new(sg_pool **out, int threads, sg_error *err);
void sg_pool_free(sg_pool *p);
int sg_pool_threads(const sg_pool *p); /* 1 for NULL */
int sg_cores(void);                    /* that this process may run on */

/* body(ctx, piece, begin, end, thread): rows begin..end of piece number `piece`; thread in 0..threads-1 picks scratch.
 * Pieces are ceil(n / grain). NULL pool: all in the caller. Must not be called from inside a body. */
typedef void sg_body(void *ctx, size_t piece, size_t begin, size_t end, int thread);
void sg_parallel_for(sg_pool *p, size_t n, size_t grain, sg_body *body, void *ctx);

static inline size_t sg_pieces(size_t n, size_t grain)
{
    assert(grain > 0);
    return (n + grain - 1) / grain;
}

#endif
