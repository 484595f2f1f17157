/* json_reader.c - any bytes as JSON read step by step: what jansson refuses is refused, what it accepts has the same values. */
#include "fuzz.h"

#include "json_same.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_CHECK(!json_same((sg_bytes){(const char *)data, size}));
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        "{\"name\": \"beauty\", \"n\\u0061me2\": 22363, \"ratio\": 0.1, \"big\": 1e300, \"list\": [1, -2, "
        "true, null, \"\\u00e9\\n\\\"\"]}",
        "[[], {}, [{\"a\": [0.30000000000000004, -0.0, 1e-320]}], \"\xc3\xa9\x7f\", \"\\ud83d\\ude00 "
        "\xf0\x9f\x98\x80\"]",
        "{\"a\":{\"a\":0,\"b\":{\"a\":1}},\"b\":[{\"a\":2},{\"a\":3}],\"\\u0063\":4,\"\":false}",
        " -9223372036854775808 ",
        "[9223372036854775807, 12E+3, 0, -0, 1.5e-7, \"\\/\\b\\f\\r\\t\\\\\"]",
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}
