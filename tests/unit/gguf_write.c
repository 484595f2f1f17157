/* gguf_write.c - what is written is read again: values of every kind, tensors of every type, offsets, odd sizes; rounding of blocks. */
#include "base/alloc.h"
#include "base/half.h"
#include "base/io.h"
#include "base/rng.h"
#include "file/gguf_write.h"
#include "folder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { COLS = 64, ROWS = 7 };

static float random_at(size_t i)
{
    return (float)sg_rng_normal(3, SG_RNG_TEST, 0, i);
}

static void everything_comes_back(void **state)
{
    (void)state;
    static const int types[] = {SG_GGUF_F32_TYPE, SG_GGUF_F16_TYPE, SG_GGUF_BF16_TYPE, SG_GGUF_Q8_0_TYPE,
                                SG_GGUF_Q4_0_TYPE};
    static const sg_bytes words[] = {{"a", 1}, {"", 0}, {"\xe2\x96\x81z", 4}};
    static const int32_t numbers[] = {1, -7, 1 << 30};
    char path[200], name[20];
    float x[ROWS * COLS], y[ROWS * COLS];
    sg_gguf_out *o;
    sg_gguf *g;
    sg_bytes s[3];
    double number;
    sg_error err;

    snprintf(path, sizeof path, "%s/a.gguf", folder);
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = random_at(i);
    assert_int_equal(sg_gguf_out_new(&o, &err), SG_OK);
    sg_gguf_out_string(o, "general.architecture", words[2]);
    sg_gguf_out_u32(o, "u", 4000000000u);
    sg_gguf_out_f32(o, "f", -0.1f);
    sg_gguf_out_bool(o, "b", true);
    sg_gguf_out_strings(o, "words", words, 3);
    sg_gguf_out_i32s(o, "numbers", numbers, 3);
    for (size_t t = 0; t < 5; t++) {
        snprintf(name, sizeof name, "t%zu", t);
        sg_gguf_out_tensor(o, name, types[t], 2, (const uint64_t[]){COLS, ROWS});
    }
    sg_gguf_out_tensor(o, "empty", SG_GGUF_F32_TYPE, 1, (const uint64_t[]){0});
    sg_gguf_out_tensor(o, "odd", SG_GGUF_F32_TYPE, 1, (const uint64_t[]){3});
    assert_int_equal(sg_gguf_out_begin(o, path, &err), SG_OK);
    for (size_t t = 0; t < 5; t++)
        for (size_t r = 0; r < ROWS; r++) /* in pieces */
            assert_int_equal(sg_gguf_out_put(o, x + r * COLS, COLS, &err), SG_OK);
    assert_int_equal(sg_gguf_out_put(o, x, 3, &err), SG_OK);
    assert_int_equal(sg_gguf_out_commit(o, &err), SG_OK);
    sg_gguf_out_free(o);

    if (sg_gguf_open(&g, path, &err))
        fail_msg("%s", err.message);
    assert_memory_equal(sg_gguf_string(g, "general.architecture").data, words[2].data, 4);
    assert_true(sg_gguf_number_or(g, "u", 0) == 4000000000.0 &&
                (float)sg_gguf_number_or(g, "f", 0) == -0.1f && sg_gguf_number_or(g, "b", 0) == 1);
    assert_true(sg_gguf_strings(s, 3, sg_gguf_find(g, "words")) && s[1].size == 0 && s[2].size == 4);
    for (size_t i = 0; i < 3; i++)
        assert_true(sg_gguf_number(&number, sg_gguf_find(g, "numbers"), i) && number == numbers[i]);
    /* relative to the numbers (floats: half a unit of 24, 11 and 8 bits) or to the largest of a block (1 / 254 of it;
     * 4 bits reach from -8 to 7: a largest number of the other sign loses an eighth) */
    static const double rounding[] = {0, 0x1p-11, 0x1p-8, 0.5 / 127 * 1.01, 0.125 * 1.01};
    for (size_t t = 0; t < 5; t++) {
        snprintf(name, sizeof name, "t%zu", t);
        const sg_gguf_tensor *tensor = sg_gguf_tensor_find(g, name);
        assert_true(tensor && tensor->type == types[t] && tensor->rank == 2 && tensor->dim[0] == COLS &&
                    tensor->dim[1] == ROWS);
        assert_int_equal((uintptr_t)tensor->data % 32, 0);
        assert_int_equal(sg_gguf_decode(y, g, tensor, 0, tensor->count, &err), SG_OK);
        for (size_t i = 0; i < ROWS * COLS; i++) {
            double size = fabs((double)x[i]);

            for (size_t k = i / 32 * 32; k < i / 32 * 32 + 32 && t >= 3; k++)
                size = fmax(size, fabs((double)x[k]));
            if (!(fabs((double)y[i] - (double)x[i]) <= rounding[t] * size))
                fail_msg("%s[%zu]: expected %g, found %g", name, i, (double)x[i], (double)y[i]);
        }
    }
    assert_int_equal(sg_gguf_tensor_find(g, "empty")->count, 0);
    assert_int_equal(sg_gguf_decode(y, g, sg_gguf_tensor_find(g, "odd"), 0, 3, &err), SG_OK);
    assert_memory_equal(y, x, 3 * sizeof *x);
    sg_gguf_close(g);
}

static void copies_are_what_they_were(void **state)
{
    (void)state;
    char path[200];
    sg_gguf *from, *to;
    sg_gguf_out *o;
    sg_error err;

    snprintf(path, sizeof path, "%s/b.gguf", folder);
    assert_int_equal(sg_gguf_open(&from, TEST_SOURCE_DIR "/tests/parity/llama.gguf", &err), SG_OK);
    assert_int_equal(sg_gguf_out_new(&o, &err), SG_OK);
    for (size_t i = 0; i < sg_gguf_values(from); i++)
        sg_gguf_out_copy(o, sg_gguf_value_at(from, i));
    assert_int_equal(sg_gguf_out_begin(o, path, &err), SG_OK);
    assert_int_equal(sg_gguf_out_commit(o, &err), SG_OK);
    sg_gguf_out_free(o);
    assert_int_equal(sg_gguf_open(&to, path, &err), SG_OK);
    assert_int_equal(sg_gguf_values(from), sg_gguf_values(to));
    for (size_t i = 0; i < sg_gguf_values(from); i++) {
        const sg_gguf_value *a = sg_gguf_value_at(from, i), *b = sg_gguf_value_at(to, i);

        assert_string_equal(a->key, b->key);
        assert_true(a->kind == b->kind && a->array == b->array && a->count == b->count &&
                    a->bytes == b->bytes);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    sg_gguf_close(from);
    sg_gguf_close(to);
}

/* Every f16 comes back from its f32, and between two of them to the nearer, on the line to the even one. */
static void halves_are_rounded_to_nearest(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const float x = sg_f16_to_f32((uint16_t)h), next = sg_f16_to_f32((uint16_t)(h + 1));
        const float middle = h + 1 < 0x7c00 ? x + (next - x) / 2 : 65520;

        assert_int_equal(sg_f32_to_f16(x), h);
        assert_int_equal(sg_f32_to_f16(-x), h | 0x8000);
        assert_int_equal(sg_f32_to_f16(middle), h + (h & 1));
        assert_int_equal(sg_f32_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(sg_f32_to_f16(nextafterf(middle, 1e9f)), h + 1);
    }
    assert_int_equal(sg_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(sg_f32_to_f16(-1e30f), 0xfc00);
    assert_int_equal(sg_f32_to_f16(NAN) & 0x7fff, 0x7e00);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(copies_are_what_they_were),
        cmocka_unit_test(halves_are_rounded_to_nearest),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
