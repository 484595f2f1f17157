/* safetensors.c - any bytes as a safetensors file: tensors that come out lie inside the file, cover it once and are aligned. */
#include "fuzz.h"

#include "file/safetensors.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sg_tensors *t;
    sg_error err = {0};
    uint64_t total = 0;
    volatile unsigned char sum = 0;

    if (sg_tensors_parse(&t, (sg_bytes){(const char *)data, size}, "fuzz", &err)) {
        FUZZ_CHECK(!t && strncmp(err.message, "fuzz", 4) == 0 && !strchr(err.message, '\n'));
        return 0;
    }
    for (size_t i = 0; i < sg_tensors_count(t); i++) {
        const sg_file_tensor *x = sg_tensors_at(t, i);
        const unsigned char *p = x->data;

        FUZZ_CHECK((uintptr_t)p % sg_dtype_bytes(x->dtype) == 0);
        FUZZ_CHECK(x->bytes == x->count * sg_dtype_bytes(x->dtype));
        FUZZ_CHECK(sg_tensors_find(t, x->name) == x);
        for (size_t k = 0; k < x->bytes; k++)
            sum = (unsigned char)(sum + p[k]);
        total += x->bytes;
    }
    (void)sum;
    FUZZ_CHECK(total < size);
    sg_tensors_meta(t, "format");
    sg_tensors_close(t);
    return 0;
}

static void add_file(sg_buf *out, const char *header, size_t data)
{
    const uint64_t n = strlen(header);

    for (int i = 0; i < 8; i++)
        sg_buf_putc(out, (char)(n >> (8 * i)));
    sg_buf_puts(out, header);
    for (size_t i = 0; i < data; i++)
        sg_buf_putc(out, (char)i);
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const struct {
        const char *header;
        size_t data;
    } seeds[] = {
        {"{}", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"I64\","
         "\"shape\":[],"
         "\"data_offsets\":[8,16]},\"__metadata__\":{\"format\":\"pt\"}}  ",
         16},
        {"{\"c\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},\"d\":{\"dtype\":\"F64\",\"shape\":["
         "1],"
         "\"data_offsets\":[3,11]},\"e\":{\"dtype\":\"BF16\",\"shape\":[0,7],\"data_offsets\":[11,11]}}",
         11},
        {"{\"x\":{\"dtype\":\"I8\",\"shape\":[1,1,1,1,1,1,1,4294967296],\"data_offsets\":[0,4294967296]}}",
         4},
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    add_file(out, seeds[i].header, seeds[i].data);
    return true;
}
