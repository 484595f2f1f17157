/* json.c - any bytes as JSON: what is printed reads back as the same value. */
#include "fuzz.h"

#include "file/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value, *again;
    sg_error err = {0};

    if (sg_json_parse(&value, (sg_bytes){(const char *)data, size}, "fuzz", &err)) {
        FUZZ_CHECK(!value && strncmp(err.message, "fuzz:", 5) == 0 && !strchr(err.message, '\n'));
        return 0;
    }
    for (int compact = 0; compact < 2; compact++) {
        sg_buf text = {0};

        if (compact)
            sg_json_print_compact(&text, value);
        else
            sg_json_print(&text, value);
        FUZZ_CHECK(sg_json_parse(&again, (sg_bytes){text.data, text.size}, "again", &err) == SG_OK);
        FUZZ_CHECK(json_equal(value, again));
        json_decref(again);
        sg_buf_free(&text);
    }
    json_decref(value);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        ("{\"name\": \"beauty\", \"users\": 22363, \"ratio\": 0.1, \"big\": 1e300, \"list\": [1, -2, true, "
         "null, \"\\u00e9\\n\\\"\"]}"),
        "[[], {}, [{\"a\": [0.30000000000000004, -0.0, 1e-320]}], \"\xc3\xa9\x7f\"]",
        "9223372036854775807",
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}
