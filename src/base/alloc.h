/* alloc.h - the only door to the heap: overflow-checked sizes, cache-line alignment, fault injection for tests.
 *
 * Every allocation is 64-byte aligned. sg_alloc_fail_at(n) makes the n-th call from now fail (0: never), so a test can
 * walk through every allocation of an operation; sg_alloc_live counts blocks, so it can see a leak. */
#ifndef SG_BASE_ALLOC_H
#define SG_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *sg_alloc(size_t bytes); /* uninitialised; NULL when out of memory; 0 bytes give a valid pointer */
void *sg_alloc_zero(size_t count, size_t each);  /* zeroed; NULL on overflow */
void *sg_alloc_array(size_t count, size_t each); /* uninitialised; NULL on overflow */
void *sg_realloc(void *p, size_t bytes);         /* p from this door or NULL; old block kept on failure */
void sg_free(void *p);
char *sg_strdup(const char *s);
char *sg_strndup(const char *s, size_t n);

/* *out = a * b, *out = a + b; false when the result does not fit. Every size from outside goes through these. */
bool sg_mul(size_t *out, size_t a, size_t b);
bool sg_add(size_t *out, size_t a, size_t b);

/* Makes room for `need` elements of `each` bytes in *array (capacity *cap, in elements), growing by half.
 * False when out of memory; the array is unchanged then. */
bool sg_grow(void *array_ptr, size_t *cap, size_t need, size_t each);

void sg_alloc_fail_at(uint64_t n); /* tests only */
uint64_t sg_alloc_calls(void);     /* calls since the start of the process */
int64_t sg_alloc_live(void);       /* blocks not yet freed */

#endif
