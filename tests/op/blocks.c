/* blocks.c - products with matrices in few bits, in every instruction set this CPU has, against double. */
#include "math/blocks.h"

#include "base/half.h"
#include "op/op.h"

enum { ROWS_MOST = 16, MOST = ROWS_MOST * 200 };

static void check(const sg_kernels *k, int rows, int out, int in, int bits, int block, bool half)
{
    static uint16_t q[200][128];
    static float scale[200][8], least[200][8], x[ROWS_MOST * 128], y[MOST], sums[ROWS_MOST * 8];
    const int n = in / block;
    sg_blocks b;
    sg_error err;

    assert_int_equal(sg_blocks_new(&b, out, in, bits, block, &err), SG_OK);
    for (int o = 0; o < out; o++) {
        for (int i = 0; i < in; i++) {
            const uint64_t bits_of = sg_rng_u64(1, SG_RNG_TEST, (uint64_t)o, (uint64_t)i);

            /* bf16: sign, an exponent near 1, any fraction */
            q[o][i] = bits == 16 ? (uint16_t)((bits_of & 0x80ff) | 0x3f00)
                                 : (uint16_t)(bits_of & ((1u << bits) - 1));
        }
        for (int j = 0; j < n; j++) {
            scale[o][j] = op_random((size_t)(o * n + j), 5);
            least[o][j] = op_random((size_t)(o * n + j), 6) * 4;
            for (uint16_t bits16; half && !sg_f16_is(&bits16, scale[o][j]);) /* the nearest with 11 bits */
                scale[o][j] = (float)((int)(scale[o][j] * 512)) / 512;
            for (uint16_t bits16; half && !sg_f16_is(&bits16, least[o][j]);)
                least[o][j] = (float)((int)(least[o][j] * 128)) / 128;
        }
        sg_blocks_set(&b, o, q[o], scale[o], least[o]);
    }
    if (half) {
        assert_int_equal(sg_blocks_narrow(&b, &err), SG_OK);
        assert_true(bits == 16 || (b.scale16 && b.least16 && !b.scale && !b.least));
    }
    for (int i = 0; i < rows * in; i++)
        x[i] = op_random((size_t)i, 7);
    for (int j = 0; j < rows * n; j++) {
        sums[j] = 0;
        for (int i = 0; i < block; i++)
            sums[j] += x[j * block + i];
    }
    for (int i = 0; i < rows * out; i++)
        y[i] = NAN;
    for (int p = 0; p * SG_BLOCK_COLS < out; p++)
        k->blocks(y + p * SG_BLOCK_COLS, x, sums, rows, &b, p);
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < out; o++) {
            double want = 0, size = 0;

            for (int i = 0; i < in; i++) {
                const double w = bits == 16
                                     ? (double)sg_bf16_to_f32(q[o][i])
                                     : (double)scale[o][i / block] * q[o][i] + (double)least[o][i / block];

                want += w * (double)x[r * in + i];
                size +=
                    fabs(w * (double)x[r * in + i]) +
                    (bits == 16 ? 0 : fabs((double)scale[o][i / block] * q[o][i] * (double)x[r * in + i]));
            }
            /* chains of 128 terms and their parts, each rounded to 6e-8 */
            if (!(fabs((double)y[r * out + o] - want) <= 4e-6 * size))
                fail_msg("%d bits, row %d, column %d of %d: expected %g, found %g", bits, r, o, out, want,
                         (double)y[r * out + o]);
        }
    sg_blocks_free(&b);
}

static void products(void **state)
{
    (void)state;
    static const int rows[] = {1, 2, 3, 6, 7, 10, 16}, outs[] = {1, 17, 64, 100, 200}, ins[] = {32, 128};

    for (int isa = SG_ISA_BASE; isa <= SG_ISA_MOST; isa++)
        for (size_t r = 0; r < 7 && sg_kernels_for((sg_isa)isa); r++)
            for (size_t o = 0; o < 5; o++)
                for (size_t i = 0; i < 2; i++) {
                    for (int half = 0; half <= 1; half++) {
                        check(sg_kernels_for((sg_isa)isa), rows[r], outs[o], ins[i], 4, 32, half);
                        check(sg_kernels_for((sg_isa)isa), rows[r], outs[o], ins[i], 8, 16, half);
                    }
                    check(sg_kernels_for((sg_isa)isa), rows[r], outs[o], ins[i], 16, 32, false);
                }
}

/* Every f16 number but the infinite ones is found again, and nothing between two of them. */
static void finds_numbers_that_are_f16(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 1u << 16; h++) {
        uint16_t back = 0;
        const float x = sg_f16_to_f32((uint16_t)h);

        if ((h >> 10 & 31) == 31) {
            assert_false(sg_f16_is(&back, x));
            continue;
        }
        assert_true(sg_f16_is(&back, x));
        assert_int_equal(back, h);
        assert_false(sg_f16_is(&back, nextafterf(x, INFINITY)));
    }
    assert_false(sg_f16_is(&(uint16_t){0}, 65536));
}

/* Numbers out of a matrix: inputs that are no whole group of 16, rows that are no whole panel. */
static void decoding(void **state)
{
    (void)state;
    static const int outs[] = {1, 64, 100}, ins[] = {32, 128, 20}, all_bits[] = {4, 8, 16};
    static uint16_t q[128];
    static float scale[64], least[64], w[128 * 128];
    sg_error err;

    for (int isa = SG_ISA_BASE; isa <= SG_ISA_MOST; isa++)
        for (int c = 0; c < 54 && sg_kernels_for((sg_isa)isa); c++) {
            const bool narrow = c >= 27; /* scales that are f16 numbers, kept as such */
            const int out = outs[c % 3], in = ins[c / 3 % 3], bits = all_bits[c / 9 % 3],
                      block = in == 20 ? 10 : 16;
            sg_blocks b;

            assert_int_equal(sg_blocks_new(&b, out, in, bits, block, &err), SG_OK);
            for (int fill = 1; fill >= 0; fill--) /* then each row anew, against what was decoded */
                for (int o = 0; o < out; o++) {
                    for (int i = 0; i < in; i++)
                        q[i] = bits == 16
                                   ? (uint16_t)(sg_rng_u64(1, SG_RNG_TEST, (uint64_t)o, (uint64_t)i) & 0x3fff)
                                   : (uint16_t)(sg_rng_u64(1, SG_RNG_TEST, (uint64_t)o, (uint64_t)i) &
                                                ((1u << bits) - 1));
                    for (int j = 0; j < in / block; j++) {
                        scale[j] = op_random((size_t)(o * 8 + j), 5);
                        least[j] = op_random((size_t)(o * 8 + j), 6) * 4;
                        if (narrow) {
                            scale[j] = sg_f16_to_f32(sg_f32_to_f16(scale[j]));
                            least[j] = sg_f16_to_f32(sg_f32_to_f16(least[j]));
                        }
                    }
                    if (fill)
                        sg_blocks_set(&b, o, q, scale, least);
                    if (fill && narrow && o == out - 1) {
                        assert_int_equal(sg_blocks_narrow(&b, &err), SG_OK);
                        assert_true(bits == 16 || b.scale16);
                    }
                    for (int p = 0; fill && o == out - 1 && p * SG_BLOCK_COLS < out; p++)
                        sg_kernels_for((sg_isa)isa)->decode_blocks(w, &b, p);
                    for (int i = 0; i < in && !fill; i++) {
                        const double part =
                            bits == 16 ? (double)sg_bf16_to_f32(q[i]) : (double)scale[i / block] * q[i];
                        const double want = part + (bits == 16 ? 0 : (double)least[i / block]);

                        /* a product and a sum, rounded once or twice */
                        assert_true(fabs((double)w[o * in + i] - want) <= 2.4e-7 * (fabs(part) + fabs(want)));
                    }
                }
            sg_blocks_free(&b);
        }
}

/* Any number of threads, and rows alone or together: the same bytes. */
static void threads_and_company(void **state)
{
    (void)state;
    enum { OUT = 300, IN = 64, ROWS = 9 };
    static uint16_t q[IN];
    static float x[ROWS * IN], one[ROWS * OUT], two[ROWS * OUT], alone[OUT], sums[ROWS * 2], bias[OUT];
    const float scale[2] = {0.5f, 0.25f}, least[2] = {-1, 2};
    sg_pool *pool;
    sg_blocks b;
    sg_error err;

    assert_int_equal(sg_blocks_new(&b, OUT, IN, 4, 32, &err), SG_OK);
    assert_int_equal(sg_pool_new(&pool, 3, &err), SG_OK);
    for (int o = 0; o < OUT; o++) {
        for (int i = 0; i < IN; i++)
            q[i] = (uint16_t)((o * 7 + i * 3) & 15);
        sg_blocks_set(&b, o, q, scale, least);
        bias[o] = (float)o;
    }
    for (int i = 0; i < ROWS * IN; i++)
        x[i] = op_random((size_t)i, 9);
    assert_int_equal(sg_blocks_sums(&b, ROWS), ROWS * 2);
    sg_blocks_times(NULL, &b, ROWS, x, bias, one, sums);
    sg_blocks_times(pool, &b, ROWS, x, bias, two, sums);
    assert_memory_equal(one, two, sizeof one);
    for (int r = 0; r < ROWS; r++) {
        sg_blocks_times(NULL, &b, 1, x + r * IN, bias, alone, sums);
        assert_memory_equal(one + r * OUT, alone, sizeof alone);
    }
    sg_blocks_free(&b);
    sg_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decoding), cmocka_unit_test(products),
                                       cmocka_unit_test(finds_numbers_that_are_f16),
                                       cmocka_unit_test(threads_and_company)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
