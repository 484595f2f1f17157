/* gguf_blocks.c - every type of block decodes to the bits that the gguf package gives; gguf_blocks.py wrote the file. */
#include "base/alloc.h"
#include "file/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static sg_gguf *open_file(void)
{
    sg_gguf *g;
    sg_error err;

    if (sg_gguf_open(&g, TEST_SOURCE_DIR "/tests/parity/gguf_blocks.gguf", &err))
        fail_msg("%s", err.message);
    return g;
}

static void decodes_every_type_to_the_same_bits(void **state)
{
    (void)state;
    static const char *const types[] = {"F32",  "F16",  "BF16", "Q4_0", "Q4_1", "Q5_0",
                                        "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"};
    sg_gguf *g = open_file();
    float found[1024];

    assert_int_equal(sg_gguf_count(g), 2 * sizeof types / sizeof *types);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const sg_gguf_tensor *t = sg_gguf_tensor_find(g, types[i]), *wanted;
        char name[16];

        snprintf(name, sizeof name, "%s.f32", types[i]);
        wanted = sg_gguf_tensor_find(g, name);
        assert_non_null(t);
        assert_non_null(wanted);
        assert_string_equal(sg_gguf_type_name(t->type), types[i]);
        assert_true(t->rank == 2 && t->dim[0] == 512 && t->dim[1] == 2 && wanted->type == 0 &&
                    wanted->bytes == sizeof found);
        assert_int_equal(sg_gguf_decode(found, g, t, 0, 1024, NULL), SG_OK);
        for (size_t k = 0; k < 1024; k++)
            if (memcmp(&found[k], (const char *)wanted->data + 4 * k, 4) != 0)
                fail_msg("%s, value %zu: found %a", types[i], k, (double)found[k]);
        memset(found, 0, sizeof found);
        assert_int_equal(sg_gguf_decode(found, g, t, 768, 256, NULL), SG_OK);
        assert_memory_equal(found, (const char *)wanted->data + 4 * 768, 1024);
    }
    sg_gguf_close(g);
}

static void reads_values_that_the_package_wrote(void **state)
{
    (void)state;
    sg_gguf *g = open_file();
    sg_bytes s[3];
    double x;

    assert_true(sg_gguf_number_or(g, "test.u32", 0) == 7 && sg_gguf_number_or(g, "test.bool", 0) == 1);
    assert_true(sg_gguf_number_or(g, "test.i64", 0) == -0x1p40 && sg_gguf_number_or(g, "test.none", 5) == 5);
    assert_int_equal(sg_gguf_string(g, "test.string").size, 6);
    assert_memory_equal(sg_gguf_string(g, "test.string").data, "na\xc3\xafve", 6);
    assert_true(sg_gguf_strings(s, 3, sg_gguf_find(g, "test.strings")));
    assert_true(s[0].size == 1 && s[1].size == 0 && s[2].size == 6);
    assert_false(sg_gguf_strings(s, 4, sg_gguf_find(g, "test.strings")));
    assert_true(sg_gguf_number(&x, sg_gguf_find(g, "test.floats"), 1) && x == -2);
    assert_false(sg_gguf_number(&x, sg_gguf_find(g, "test.floats"), 2));
    sg_gguf_close(g);
}

static void takes_blocks_apart(void **state)
{
    (void)state;
    static const char *const types[] = {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"};
    sg_gguf *g = open_file();
    float whole[1024], scale[64], least[64];
    uint16_t q[1024];
    int bits, block;
    sg_error err;

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const sg_gguf_tensor *t = sg_gguf_tensor_find(g, types[i]);
        const size_t n = t->count < 1024 ? t->count : 1024;

        assert_true(sg_gguf_split_form(&bits, &block, t->type));
        assert_int_equal(sg_gguf_decode(whole, g, t, 0, n, &err), SG_OK);
        assert_int_equal(sg_gguf_split(q, scale, least, g, t, 0, n, &err), SG_OK);
        for (size_t k = 0; k < n; k++) {
            const double s = (double)scale[k / (size_t)block], m = (double)least[k / (size_t)block],
                         want = (double)whole[k];
            const double off = s * q[k] + m - want;

            assert_true(q[k] < 1 << bits);
            /* decode rounds two products and their sum */
            if (!((off < 0 ? -off : off) <= 2e-7 * ((s < 0 ? -s : s) * q[k] + (m < 0 ? -m : m))))
                fail_msg("%s: value %zu: expected %g, found %g", types[i], k, want, s * q[k] + m);
        }
    }
    const sg_gguf_tensor *plain = sg_gguf_tensor_find(g, "F16");
    assert_false(sg_gguf_split_form(&bits, &block, plain->type));
    assert_false(sg_gguf_split_form(&bits, &block, 99));
    assert_false(sg_gguf_split_form(&bits, &block, -1));
    assert_int_equal(sg_gguf_split(q, scale, least, g, plain, 0, 32, &err), SG_ERR_USAGE);
    sg_gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_every_type_to_the_same_bits),
        cmocka_unit_test(takes_blocks_apart),
        cmocka_unit_test(reads_values_that_the_package_wrote),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
