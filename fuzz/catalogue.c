/* catalogue.c - any bytes as a catalogue file: opening says no, or all of it can be walked. The checksum is
 * put right first, so that the checks behind it are reached. */
#include "base/alloc.h"
#include "index/image.h"

#include <assert.h>
#include <string.h>

static void walk(const sg_catalogue *c)
{
    const int levels = sg_catalogue_levels(c);
    int32_t codes[SG_CATALOGUE_LEVELS_MAX], first, last;

    for (int l = 0; l < levels; l++)
        for (int32_t node = 0; node < sg_catalogue_nodes(c, l); node++) {
            const sg_children kids = sg_catalogue_children(c, l, node);

            assert(kids.n > 0 && kids.first + kids.n <= sg_catalogue_nodes(c, l + 1));
            for (int32_t i = 0; i < kids.n; i++) {
                assert(sg_catalogue_child(c, l, node, sg_child_code(&kids, i)) == kids.first + i);
                assert(sg_catalogue_parent(c, l + 1, kids.first + i) == node);
            }
            sg_catalogue_span(c, l, node, &first, &last);
            assert(first < last && last <= sg_catalogue_items(c));
        }
    for (int32_t i = 0; i < sg_catalogue_items(c); i++) {
        assert(sg_catalogue_item(c, sg_catalogue_leaf(c, i)) == i);
        sg_catalogue_codes(c, i, codes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sg_catalogue *c;
    sg_error err;
    char *copy;

    if (sg_catalogue_parse(&c, (sg_bytes){(const char *)data, size}, "file", &err) == SG_OK)
        walk(c);
    sg_catalogue_free(c);
    if (size < sizeof(sg_image_header) || size % 64 != 0)
        return 0;
    if (!(copy = sg_alloc(size)))
        return 0;
    memcpy(copy, data, size);
    ((sg_image_header *)(void *)copy)->checksum = sg_image_checksum(copy, size);
    if (sg_catalogue_parse(&c, (sg_bytes){copy, size}, "file", &err) == SG_OK)
        walk(c);
    sg_catalogue_free(c);
    sg_free(copy);
    return 0;
}
