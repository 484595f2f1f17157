/* npy.c - any bytes: a clean error, or an array all of whose numbers can be read. */
#include "text/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sg_npy a;
    sg_error err;
    volatile float sum = 0;

    if (sg_npy_parse(&a, (sg_bytes){(const char *)data, size}, "fuzz.npy", &err))
        return 0;
    for (uint64_t r = 0; r < a.rows && a.cols; r++)
        for (uint64_t c = 0; c < a.cols; c++)
            sum += sg_npy_at(&a, r, c);
    return 0;
}
