/* rows.h - rows that stand for those of a model's tables of words and outputs, and behind their end: new tokens, or some that learned. */
#ifndef SG_LM_ROWS_H
#define SG_LM_ROWS_H

#include "nn/param.h"

typedef struct sg_row_set {
    int n;
    int32_t *id;    /* owned: (n) tokens, ascending */
    sg_param *rows; /* borrowed from an adapter's parameters: (n, dim); NULL: none */
} sg_row_set;

/* The row of a token; -1: the table's own. s may be NULL. */
static inline int sg_row_find(const sg_row_set *s, int32_t id)
{
    int low = 0, high = s ? s->n : 0;

    while (low < high) {
        const int mid = low + (high - low) / 2;

        if (s->id[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return s && low < s->n && s->id[low] == id ? low : -1;
}

#endif
