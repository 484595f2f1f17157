/* log_softmax.c - x - log(sum(exp(x))) in place; -inf stays -inf. The sum runs in double. */
#include "math/math.h"

#include <math.h>

void sg_log_softmax(float *x, size_t n)
{
    float most = -INFINITY, log_sum;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    if (most == -INFINITY)
        return; /* nothing has any probability */
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - most);
    log_sum = (float)log(sum);
    for (size_t i = 0; i < n; i++)
        x[i] = (x[i] - most) - log_sum; /* not one shift: its rounding would be that of `most` */
}
