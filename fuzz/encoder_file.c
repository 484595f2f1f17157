/* encoder_file.c - any bytes as a kept encoder: a clean error, or an encoder that makes finite vectors or says that it cannot. */
#include "fuzz.h"

#include "base/alloc.h"
#include "text/encoder_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void encode(const sg_text_encoder *e)
{
    static const char text[] = "Mifo desk lamp > Walnut, 30 cm; L'Etoile gr\xc3\xbcn";
    const int n = sg_text_encoder_columns(e), dim = sg_text_encoder_dim(e);
    sg_bytes *cell = sg_alloc_array((size_t)n, sizeof *cell);
    float *x = sg_alloc_array((size_t)dim + 1, sizeof *x);
    sg_buf joined = {0};
    sg_error err;
    size_t words;

    FUZZ_CHECK(cell && x);
    for (int i = 0; i < n; i++) {
        FUZZ_CHECK(sg_text_encoder_column(e, i) != NULL);
        cell[i] = (sg_bytes){text, i % 3 ? sizeof text - 1 : 0};
    }
    FUZZ_CHECK(sg_text_encoder_join(&joined, e, cell, &err) == SG_OK);
    if (dim && !sg_text_encoder_item(x, e, cell, &err))
        for (int k = 0; k < dim; k++)
            FUZZ_CHECK(isfinite(x[k]));
    if (dim && !sg_text_encoder_text(x, &words, e, cell[n > 1], &err))
        for (int k = 0; k < dim; k++)
            FUZZ_CHECK(isfinite(x[k]));
    sg_buf_free(&joined);
    sg_free(cell);
    sg_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sg_text_encoder *e;
    sg_error err = {0};

    if (sg_text_encoder_parse(&e, (sg_bytes){(const char *)data, size}, "fuzz", &err))
        FUZZ_CHECK(strncmp(err.message, "fuzz", 4) == 0 && !strchr(err.message, '\n'));
    else
        encode(e);
    sg_text_encoder_close(e);
    return 0;
}

/* Files as they are written: of the built-in encoder over two columns, and of a language model. */
bool fuzz_seed(size_t i, sg_buf *out)
{
    static const char columns[] = "[{\"name\": \"title\", \"kind\": \"text\", \"numbers\": false}, "
                                  "{\"name\": \"brand\", \"kind\": \"category\", \"numbers\": true}]";
    static const uint64_t hash[] = {3, 9, 1u << 31};
    static const float idf[] = {1, 2, 3}, scale[] = {1, 1};
    static const uint16_t right[] = {0x3c00, 0, 0x3800, 0xbc00, 1, 0x7bff};
    const sg_meta meta[] = {{"options", "{\"dim\": 2, \"chars_most\": 4}"},
                            {"columns", columns},
                            {"encoder", i ? "model" : "lsa"}};
    const sg_tensor_desc list[] = {{"hash", SG_DT_U64, 1, {3}, hash},
                                   {"idf", SG_DT_F32, 1, {3}, idf},
                                   {"right", SG_DT_F16, 2, {3, 2}, right},
                                   {"scale", SG_DT_F32, 1, {2}, scale}};
    char path[] = "/tmp/sedge-fuzz-XXXXXX";
    sg_map map;

    if (i > 1)
        return false;
    close(mkstemp(path));
    FUZZ_CHECK(sg_tensors_write(path, i ? NULL : list, i ? 0 : 4, meta, 3, NULL) == SG_OK);
    FUZZ_CHECK(sg_map_open(&map, path, NULL) == SG_OK);
    sg_buf_add(out, map.data, map.size);
    sg_map_close(&map);
    unlink(path);
    return true;
}
