/* npy.c - what np.save writes is read; what is hostile or not floats is one clear error; any mutant is survived. */
#include "base/alloc.h"
#include "base/rng.h"
#include "text/npy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct test_file {
    char bytes[1024];
    size_t size;
} test_file;

static test_file make(int version, const char *header, const void *data, size_t bytes)
{
    test_file f = {.bytes = "\x93NUMPY"};
    const size_t n = strlen(header);

    f.bytes[6] = (char)version;
    f.bytes[8] = (char)(n & 255);
    f.bytes[9] = (char)(n >> 8);
    f.size = version == 1 ? 10 : 12;
    memcpy(f.bytes + f.size, header, n);
    f.size += n;
    if (bytes)
        memcpy(f.bytes + f.size, data, bytes);
    f.size += bytes;
    return f;
}

static sg_status parse(sg_npy *a, const test_file *f, sg_error *err)
{
    return sg_npy_parse(a, (sg_bytes){f->bytes, f->size}, "x.npy", err);
}

static void reads_every_kind_of_float(void **state)
{
    (void)state;
    static const float f4[6] = {1, -2, 3.5f, 0, 1e30f, -0.125f};
    static const double f8[6] = {1, -2, 3.5, 0, 1e30, -0.125};
    static const uint16_t f2[6] = {0x3c00, 0xc000, 0x4300, 0, 0x7bff, 0xb000};
    char swapped[24];
    sg_npy a;
    sg_error err;

    test_file f =
        make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      \n", f4, sizeof f4);
    assert_int_equal(parse(&a, &f, &err), SG_OK);
    assert_true(a.rows == 2 && a.cols == 3);
    for (uint64_t i = 0; i < 6; i++)
        assert_true(sg_npy_at(&a, i / 3, i % 3) == f4[i]);
    f = make(2, "{'shape': (3L, 2L), 'fortran_order': True, 'descr': \"<f8\"}", f8, sizeof f8);
    assert_int_equal(parse(&a, &f, &err), SG_OK);
    for (uint64_t i = 0; i < 6; i++)
        assert_true(sg_npy_at(&a, i % 3, i / 3) == f4[i]);
    f = make(3, "{'descr': '<f2', 'fortran_order': False, 'shape': (6,)}", f2, sizeof f2);
    assert_int_equal(parse(&a, &f, &err), SG_OK);
    assert_true(a.rows == 6 && a.cols == 1 && sg_npy_at(&a, 1, 0) == -2 && sg_npy_at(&a, 4, 0) == 65504);
    for (int i = 0; i < 24; i++)
        swapped[i] = ((const char *)f4)[i / 4 * 4 + 3 - i % 4];
    f = make(1, "{'descr': '>f4', 'fortran_order': False, 'shape': (1, 6)}", swapped, 24);
    assert_int_equal(parse(&a, &f, &err), SG_OK);
    for (uint64_t i = 0; i < 6; i++)
        assert_true(sg_npy_at(&a, 0, i) == f4[i]);
    f = make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3)}", NULL, 0);
    assert_int_equal(parse(&a, &f, &err), SG_OK);
    assert_true(a.rows == 0);
}

/* Every f16 there is, against its definition. */
static void converts_every_half(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const int exponent = bits >> 10 & 31, fraction = bits & 1023;
        const double sign = bits & 0x8000 ? -1 : 1;
        const float x = sg_f16_to_f32((uint16_t)bits);

        if (exponent == 31 && fraction) {
            assert_true(isnan(x));
            continue;
        }
        const double expected = exponent == 31 ? INFINITY
                                : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                               : ldexp(fraction, -24);
        assert_true((double)x == sign * expected && !signbit(x) == (sign > 0));
    }
    assert_true(sg_bf16_to_f32(0x3f80) == 1 && sg_bf16_to_f32(0xc040) == -3);
}

static void assert_refused(const test_file *f, const char *message)
{
    sg_npy a;
    sg_error err;

    assert_int_equal(parse(&a, f, &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, message);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    static const char data[64];
    const char *const dict =
        "x.npy: header: expected 'descr', 'fortran_order' and 'shape' as np.save writes them";
    test_file f = make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", data, 20);

    assert_refused(&f, "x.npy: expected (2, 3) numbers of 4 bytes, found 20 bytes of data");
    f = make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", data, 20);
    assert_refused(&f, "x.npy: expected (4294967296, 4294967296) numbers of 4 bytes, found 20 bytes of data");
    f = make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1)}", data, 20);
    assert_refused(&f, dict);
    f = make(1, "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)}", data, 24);
    assert_refused(&f, "x.npy: expected floats of 2, 4 or 8 bytes, found dtype '<i4'");
    f = make(1, "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}", data, 24);
    assert_refused(
        &f, "x.npy: expected an array of floats, found pickled Python objects, which could run code: save a "
            "plain array with np.save(file, array.astype('f4'))");
    f = make(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", data, 8);
    assert_refused(&f, "x.npy: expected an array of floats, found a structured array");
    f = make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3)}", data, 24);
    assert_refused(&f, "x.npy: expected an array (items, dim), found 3 dimensions");
    f = make(1, "{'descr': '<f4', 'fortran_order': False}", data, 24);
    assert_refused(&f, "x.npy: header: expected 'descr', 'fortran_order' and 'shape', and nothing after");
    f = make(1, "{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}", data, 8);
    assert_refused(&f, dict);
    f = make(4, "{}", NULL, 0);
    assert_refused(&f, "x.npy: expected .npy version 1, 2 or 3, found 4");
    f = (test_file){.bytes = "PK\3\4 a zip file", .size = 20};
    assert_refused(&f, "x.npy: expected a .npy file, found other first bytes");
    f = make(1, "{'descr'", NULL, 0);
    f.bytes[9] = 1;
    assert_refused(&f, "x.npy: header of 264 bytes is cut short");
}

/* Truncations, and bytes replaced at random: nothing is read beyond the end (seen by ASan), nothing is leaked. */
static void survives_mutants(void **state)
{
    (void)state;
    static const float f4[6] = {1, 2, 3, 4, 5, 6};
    const test_file good =
        make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", f4, sizeof f4);
    sg_error err;

    for (uint64_t round = 0; round < 20000; round++) {
        const size_t size = round % 2 ? good.size : sg_rng_below(good.size + 1, 1, SG_RNG_TEST, round, 0);
        char *bytes = sg_alloc(size);
        sg_npy a;

        memcpy(bytes, good.bytes, size);
        for (uint64_t k = 0; k < round % 4 && size; k++)
            bytes[sg_rng_below(size, 1, SG_RNG_TEST, round, 2 * k + 1)] =
                (char)sg_rng_u64(1, SG_RNG_TEST, round, 2 * k + 2);
        if (sg_npy_parse(&a, (sg_bytes){bytes, size}, "x.npy", &err) == SG_OK)
            for (uint64_t r = 0; r < a.rows && a.cols; r++)
                for (uint64_t c = 0; c < a.cols; c++)
                    (void)sg_npy_at(&a, r, c);
        sg_free(bytes);
    }
    assert_int_equal(sg_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind_of_float),
        cmocka_unit_test(converts_every_half),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(survives_mutants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
