/* cache.h - answers and vectors that were paid for once, in SQLite, by what they were made from.
 *
 *   answers     key -> text, with the model, the origin (template and version), tokens, time, and whether its length ended it
 *   vectors     key -> numbers, with the encoder
 *   knowledge   (kind, id, origin) -> key of an answer: what is known about an item or a user, and how many of the user's events were
 *               told to the model
 *
 * A key is the sha256 of all that the result depends on. What a put has returned from survives a kill -9. One handle belongs to one
 * thread; any number may be open on a file. */
#ifndef SG_LM_CACHE_H
#define SG_LM_CACHE_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_cache sg_cache;
typedef char sg_cache_key[65];

sg_status sg_cache_open(sg_cache **out, const char *path, sg_error *err); /* made when it is not there */
void sg_cache_close(sg_cache *c);

/* Every part with its length, so that no two lists of parts have one key. */
void sg_cache_key_of(sg_cache_key key, const sg_bytes *part, size_t n);

typedef struct sg_cache_answer {
    sg_bytes prompt, text, model, origin;
    double tokens_in, tokens_out;
    int64_t time; /* seconds since 1970 */
    bool cut;     /* it was ended by its length */
} sg_cache_answer;
/* text is appended to; since: older ones do not count (0: all do). */
sg_status sg_cache_find(sg_cache *c, const char *key, int64_t since, sg_buf *text, bool *cut, bool *found,
                        sg_error *err);
sg_status sg_cache_put(sg_cache *c, const char *key, const sg_cache_answer *a, sg_error *err);

/* *dim 0: any, and then that of the vector found; a vector of another width is an error. out NULL: only asked whether there. */
sg_status sg_cache_vector(sg_cache *c, const char *key, float *out, int32_t *dim, bool *found, sg_error *err);
sg_status sg_cache_put_vector(sg_cache *c, const char *key, sg_bytes encoder, const float *x, int32_t dim,
                              sg_error *err);
/* Many puts at once; after a failure between them: roll back. */
sg_status sg_cache_begin(sg_cache *c, sg_error *err);
sg_status sg_cache_commit(sg_cache *c, sg_error *err);
void sg_cache_rollback(sg_cache *c);

typedef struct sg_knowledge {
    sg_bytes kind, id, origin; /* kind: "item", "user" */
    int64_t events;            /* of the user, from the first on, that the prompt told; 0: none */
    sg_bytes key;
    sg_bytes prompt, text, model; /* when read */
    int64_t time;
} sg_knowledge;
sg_status sg_cache_know(sg_cache *c, const sg_knowledge *k, sg_error *err); /* replaces what was known */
/* Calls each with what is known of a kind by an origin, ids in byte order; returns what it returned when that is no SG_OK. */
typedef sg_status sg_knowledge_each(void *ctx, const sg_knowledge *k, sg_error *err);
sg_status sg_cache_each(sg_cache *c, sg_bytes kind, sg_bytes origin, sg_knowledge_each *each, void *ctx,
                        sg_error *err);
/* A text about a user may be used from event number `first` of the user on (from 0) only if it has seen none of them:
 * "user 'u1': expected a text that was made before event 3, found one that has seen 5 events". */
sg_status sg_knowledge_before(const sg_knowledge *k, int64_t first, sg_error *err);
/* Forgets a user or item: its knowledge, and the answers that nothing else refers to. *n: rows of knowledge removed. */
sg_status sg_cache_forget(sg_cache *c, sg_bytes kind, sg_bytes id, int64_t *n, sg_error *err);

#endif
