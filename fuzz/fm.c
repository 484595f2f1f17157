/* fm.c - any bytes as an FM-index: opening says no, or everything can be asked without leaving the file. The checksum is
 * put right first, so that the checks behind it are reached. */
#include "base/alloc.h"
#include "index/fm_image.h"

#include <assert.h>
#include <string.h>

enum { FANOUT = 8, DEPTH = 4 };

static void walk(const sg_fm *f, sg_fm_range r, int depth)
{
    sg_fm_next next[FANOUT];
    const int32_t n = sg_fm_successors(f, r, next, FANOUT, NULL);

    for (uint32_t row = r.first; row < r.last && row < r.first + 8; row++) {
        int32_t item, behind;
        sg_error err;

        if (sg_fm_locate(f, row, &item, &behind, &err) == SG_OK)
            assert(item >= 0 && item < sg_fm_items(f) && behind >= 0);
    }
    for (int32_t i = 0; i < n && i < FANOUT; i++) {
        const sg_fm_range one = sg_fm_extend(f, r, next[i].token);

        assert(one.first == next[i].range.first && one.last == next[i].range.last && one.last <= f->n);
        if (depth < DEPTH)
            walk(f, one, depth + 1);
    }
}

static void ask(sg_bytes file)
{
    sg_fm *f;
    sg_error err;

    if (sg_fm_parse(&f, file, "file", &err) == SG_OK) {
        walk(f, sg_fm_anywhere(f), 0);
        walk(f, sg_fm_at_start(f), 0);
    }
    sg_fm_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy;

    ask((sg_bytes){(const char *)data, size});
    if (size < sizeof(sg_fm_header) || size % 64 != 0 || !(copy = sg_alloc(size)))
        return 0;
    memcpy(copy, data, size);
    ((sg_fm_header *)(void *)copy)->checksum = sg_image_checksum(copy, size);
    ask((sg_bytes){copy, size});
    sg_free(copy);
    return 0;
}
