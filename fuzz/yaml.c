/* yaml.c - any bytes as a recipe: JSON values with the places where they stand, or an error with one. */
#include "fuzz.h"

#include "file/json.h"
#include "file/yaml.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value, *places;
    sg_error err = {0};
    sg_buf text = {0};

    if (sg_yaml_parse(&value, &places, (sg_bytes){(const char *)data, size}, "fuzz", &err)) {
        FUZZ_CHECK(!value && !places && strncmp(err.message, "fuzz:", 5) == 0 && !strchr(err.message, '\n'));
        return 0;
    }
    sg_json_print(&text, value); /* what was read can be written, and read again as the same */
    json_t *again;
    FUZZ_CHECK(sg_json_parse(&again, (sg_bytes){text.data, text.size}, "again", &err) == SG_OK);
    FUZZ_CHECK(json_equal(value, again));
    sg_buf_free(&text);
    json_decref(again);
    json_decref(value);
    json_decref(places);
    return 0;
}

bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char *const seeds[] = {
        "model: tiger\ndata: {name: beauty, sha256: \"00ff\"}\ntrain:\n  lr: 1e-3\n  steps: [1, -2, 3.5, .5, "
        "~, true, 'x']\n",
        "# comment\n---\n- a\n- |\n  block\n  text\n- >-\n  folded\n  text\n- {}\n- []\n- "
        "\"\\u00e9\\n\"\n...\n",
        "a: &x [1]\nb: *x\n",
        "? key\n: value\n!!str tagged: 1\n",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    };

    if (i >= sizeof seeds / sizeof *seeds)
        return false;
    sg_buf_puts(out, seeds[i]);
    return true;
}
