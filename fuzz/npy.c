/* npy.c - any bytes as a NumPy array: a clean error, or an array all of whose numbers can be read. */
#include "fuzz.h"

#include "text/npy.h"

#include <string.h>

static volatile float sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sg_npy a;
    sg_error err = {0};
    float sum = 0;

    if (sg_npy_parse(&a, (sg_bytes){(const char *)data, size}, "fuzz.npy", &err)) {
        FUZZ_CHECK(strncmp(err.message, "fuzz.npy: ", 10) == 0 && !strchr(err.message, '\n'));
        return 0;
    }
    for (uint64_t r = 0; r < a.rows && a.cols; r++)
        for (uint64_t c = 0; c < a.cols; c++)
            sum += sg_npy_at(&a, r, c);
    sink = sum; /* so that the reads are not optimised away */
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const struct {
        int version;
        const char *header;
        size_t bytes;
    } seeds[] = {
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24},
        {2, "{'shape': (3L, 2L), 'fortran_order': True, 'descr': \"<f8\"}", 48},
        {3, "{'descr': '>f2', 'fortran_order': False, 'shape': (6,)}", 12},
        {1, "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 16},
        {1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}", 4},
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    const size_t n = strlen(seeds[i].header);
    const char head[] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y', (char)seeds[i].version, 0, (char)n, 0, 0, 0};
    sg_buf_add(out, head, seeds[i].version == 1 ? 10 : 12);
    sg_buf_add(out, seeds[i].header, n);
    for (size_t k = 0; k < seeds[i].bytes; k++)
        sg_buf_putc(out, (char)(k * 37));
    return true;
}
