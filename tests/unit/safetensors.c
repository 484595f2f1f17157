/* safetensors.c - what was written is read; a header that does not describe the data exactly is refused, word by word. */
#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "file/safetensors.h"
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char path[80];

static int make_dir(void **state)
{
    if (folder_make(state))
        return -1;
    snprintf(path, sizeof path, "%s/t", folder);
    return 0;
}

/* A file with this header and so many bytes 0, 1, 2, ... of data, in memory that starts `shift` bytes off alignment. */
static _Alignas(64) char memory[4096];

static sg_bytes file(const char *header, size_t data, size_t shift)
{
    const size_t n = strlen(header);
    char *p = memory + shift;

    for (int i = 0; i < 8; i++)
        p[i] = (char)((uint64_t)n >> (8 * i));
    memcpy(p + 8, header, n);
    for (size_t i = 0; i < data; i++)
        p[8 + n + i] = (char)i;
    return (sg_bytes){p, 8 + n + data};
}

static void refuses_bytes(sg_bytes bytes, const char *message)
{
    sg_error err = {0};
    sg_tensors *t;

    assert_int_equal(sg_tensors_parse(&t, bytes, "f", &err), SG_ERR_FORMAT);
    assert_null(t);
    assert_string_equal(err.message, message);
    assert_int_equal(sg_alloc_live(), 0);
}

static void refuses(const char *header, size_t data, const char *message)
{
    refuses_bytes(file(header, data, 0), message);
}

#define T(dtype, shape, begin, end)                                                                          \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static void rejects_overlaps_holes_and_overruns(void **state)
{
    (void)state;
    refuses("{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("F32", "[2]", 4, 12) "}", 12,
            "f: tensor 'b': bytes 4..12 overlap tensor 'a'");
    refuses("{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("F32", "[2]", 0, 8) "}", 8,
            "f: tensor 'b': bytes 0..8 overlap tensor 'a'");
    refuses("{\"a\":" T("F32", "[1]", 0, 4) ",\"b\":" T("F32", "[1]", 8, 12) "}", 12,
            "f: bytes 4..8 of the data belong to no tensor");
    refuses("{\"a\":" T("F32", "[1]", 4, 8) "}", 8, "f: bytes 0..4 of the data belong to no tensor");
    refuses("{\"a\":" T("F32", "[1]", 0, 4) "}", 5, "f: bytes 4..5 of the data belong to no tensor");
    refuses("{}", 1, "f: bytes 0..1 of the data belong to no tensor");
    refuses("{\"a\":" T("F32", "[2]", 0, 8) "}", 7,
            "f: tensor 'a': bytes 0..8 are past the end of the data, 7 bytes");
}

static void rejects_wrong_entries(void **state)
{
    (void)state;
    refuses("{\"a\":" T("F33", "[2]", 0, 8) "}", 8, "f: tensor 'a': expected a known dtype, found \"F33\"");
    refuses("{\"a\":{\"dtype\":1,\"shape\":[],\"data_offsets\":[0,4]}}", 4,
            "f: tensor 'a': expected a known dtype, found 1");
    refuses("{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4,
            "f: tensor 'a': expected a known dtype, found nothing");
    refuses("{\"a\":[]}", 4, "f: tensor 'a': expected an object, found an array");
    refuses("{\"a\":" T("F32", "2", 0, 8) "}", 8, "f: tensor 'a': expected an array as shape, found 2");
    refuses("{\"a\":" T("F32", "[2,-1]", 0, 8) "}", 8,
            "f: tensor 'a': expected a size as dimension 1, found -1");
    refuses("{\"a\":" T("F32", "[2.0]", 0, 8) "}", 8,
            "f: tensor 'a': expected a size as dimension 0, found 2.0");
    refuses("{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4,
            "f: tensor 'a': expected at most 8 dimensions, found 9");
    refuses("{\"a\":" T("F32", "[4294967296,4294967296]", 0, 8) "}", 8, "f: tensor 'a': shape is too large");
    refuses("{\"a\":" T("F64", "[4611686018427387904]", 0, 8) "}", 8, "f: tensor 'a': shape is too large");
    refuses("{\"a\":" T("F32", "[2]", 0, 4) "}", 4, "f: tensor 'a': expected 8 bytes for its shape, found 4");
    refuses("{\"a\":" T("F32", "[0]", 4, 0) "}", 4,
            "f: tensor 'a': expected data_offsets [begin, end], found an array");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4,
            "f: tensor 'a': expected data_offsets [begin, end], found nothing");
    refuses("{\"__metadata__\":{\"a\":1}}", 0, "f: metadata 'a': expected a string");
    refuses("{\"__metadata__\":[]}", 0, "f: expected an object as __metadata__");
    refuses("{\"a\\nb\":[]}", 0,
            "f: tensor 'a?b': expected an object, found an array"); /* one line in any case */
}

static void rejects_broken_headers(void **state)
{
    (void)state;
    refuses_bytes((sg_bytes){"1234567", 7}, "f: expected a safetensors file, found 7 bytes");
    refuses_bytes((sg_bytes){"", 0}, "f: expected a safetensors file, found 0 bytes");
    refuses_bytes((sg_bytes){"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10},
                  "f: expected a safetensors header of at most 104857600 bytes, found 18446744073709551615");
    refuses_bytes((sg_bytes){"\x03\0\0\0\0\0\0\0{}", 10},
                  "f: expected a header of 3 bytes, found a file of 10");
    refuses("", 4, "f: expected a header that is a JSON object");
    refuses("[]", 0, "f: expected a header that is a JSON object");
    refuses(" {}", 0, "f: expected a header that is a JSON object");
    refuses("{\"a\":1,\"a\":1}", 0, "f: header:1:10: duplicate object key near '\"a\"'");
    refuses("{\"a\":}", 0, "f: header:1:6: unexpected token near '}'");
}

static void reads_unaligned_data_as_aligned(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        const sg_bytes f = file("{\"a\":" T("U8", "[3]", 0, 3) ",\"b\":" T("I64", "[1]", 3, 11) ",\"c\":" T(
                                    "F32", "[0,5]", 11, 11) "}",
                                11, shift);
        const sg_file_tensor *b;
        sg_tensors *t;

        assert_int_equal(sg_tensors_parse(&t, f, "f", NULL), SG_OK);
        assert_int_equal(sg_tensors_count(t), 3);
        b = sg_tensors_find(t, "b");
        assert_int_equal((uintptr_t)b->data % 8, 0);
        assert_int_equal(*(const int64_t *)b->data, 0x0a09080706050403);
        assert_int_equal(sg_tensors_find(t, "c")->bytes, 0);
        assert_null(sg_tensors_find(t, "d"));
        assert_null(sg_tensors_meta(t, "x"));
        sg_tensors_close(t);
    }
    assert_int_equal(sg_alloc_live(), 0);
}

static const float f32[6] = {1, 2, 3, 4, 5, 6};
static const uint8_t u8[3] = {7, 8, 9};
static const int64_t i64[1] = {-5};
static const sg_tensor_desc list[] = {
    {.name = "bytes", .dtype = SG_DT_U8, .rank = 1, .dim = {3}, .data = u8},
    {.name = "matrix", .dtype = SG_DT_F32, .rank = 2, .dim = {2, 3}, .data = f32},
    {.name = "scalar", .dtype = SG_DT_I64, .rank = 0, .data = i64},
    {.name = "nothing", .dtype = SG_DT_F64, .rank = 2, .dim = {0, 4}},
};
static const sg_meta meta[] = {{"format", "pt"}, {"note", "caf\xc3\xa9 \"x\""}};

static void reads_what_it_writes(void **state)
{
    (void)state;
    const sg_file_tensor *m;
    sg_tensors *t;
    sg_error err;

    assert_int_equal(sg_tensors_write(path, list, 4, meta, 2, NULL), SG_OK);
    assert_int_equal(sg_tensors_open(&t, path, NULL), SG_OK);
    assert_string_equal(sg_tensors_name(t), path);
    assert_int_equal(sg_tensors_count(t), 4);
    assert_string_equal(sg_tensors_at(t, 0)->name, "bytes");
    assert_string_equal(sg_tensors_at(t, 3)->name, "scalar");
    m = sg_tensors_find(t, "matrix");
    assert_int_equal(m->rank, 2);
    assert_int_equal(m->dim[1], 3);
    assert_memory_equal(m->data, f32, sizeof f32);
    assert_memory_equal(sg_tensors_find(t, "bytes")->data, u8, 3);
    assert_memory_equal(sg_tensors_find(t, "scalar")->data, i64, 8);
    assert_string_equal(sg_tensors_meta(t, "note"), "caf\xc3\xa9 \"x\"");
    assert_null(sg_tensors_meta(t, "other"));

    const int64_t any[] = {-1, 3}, other[] = {2, 4};
    assert_int_equal(sg_tensors_need(&m, t, "matrix", SG_DT_F32, 2, any, &err), SG_OK);
    assert_int_equal(sg_tensors_need(&m, t, "matrix", SG_DT_F32, 2, NULL, &err), SG_OK);
    assert_int_equal(sg_tensors_need(&m, t, "matrix", SG_DT_F32, 2, other, &err), SG_ERR_FORMAT);
    assert_null(m);
    char want[200];
    snprintf(want, sizeof want, "%s: tensor 'matrix': expected F32 (2, 4), found F32 (2, 3)", path);
    assert_string_equal(err.message, want);
    assert_int_equal(sg_tensors_need(&m, t, "none", SG_DT_I8, 1, any, &err), SG_ERR_FORMAT);
    snprintf(want, sizeof want, "%s: tensor 'none': expected I8 (any), found none", path);
    assert_string_equal(err.message, want);
    assert_int_equal(sg_tensors_need(&m, t, "scalar", SG_DT_I32, 1, NULL, &err), SG_ERR_FORMAT);
    snprintf(want, sizeof want, "%s: tensor 'scalar': expected I32 (any), found I64 ()", path);
    assert_string_equal(err.message, want);
    sg_tensors_close(t);
    assert_int_equal(sg_alloc_live(), 0);
}

static void writes_the_same_bytes_in_any_order(void **state)
{
    (void)state;
    const sg_tensor_desc turned[] = {list[3], list[2], list[0], list[1]};
    sg_buf a = {0}, b = {0};

    assert_int_equal(sg_tensors_write(path, list, 4, meta, 2, NULL), SG_OK);
    assert_int_equal(sg_file_read(&a, path, 1 << 20, NULL), SG_OK);
    assert_int_equal(sg_tensors_write(path, turned, 4, meta, 2, NULL), SG_OK);
    assert_int_equal(sg_file_read(&b, path, 1 << 20, NULL), SG_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    const uint64_t header = *(const uint64_t *)(const void *)a.data;
    assert_int_equal((header + 8) % 64, 0);
    assert_int_equal(a.size, 8 + header + 8 + 24 + 3);
    sg_buf_free(&a);
    sg_buf_free(&b);
    assert_int_equal(sg_tensors_write(path, NULL, 0, NULL, 0, NULL), SG_OK);
}

static void refuses_to_write_nonsense(void **state)
{
    (void)state;
    const sg_tensor_desc twice[] = {list[0], list[0]};
    const sg_tensor_desc huge = {
        .name = "huge", .dtype = SG_DT_F64, .rank = 2, .dim = {(uint64_t)1 << 40, (uint64_t)1 << 40}};
    const sg_tensor_desc broken = {.name = "\xff", .dtype = SG_DT_F64, .rank = 1, .dim = {0}};
    sg_error err;

    assert_int_equal(sg_tensors_write(path, twice, 2, NULL, 0, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, ": tensor 'bytes' is described twice"));
    assert_int_equal(sg_tensors_write(path, &huge, 1, NULL, 0, &err), SG_ERR_MEMORY);
    assert_non_null(strstr(err.message, ": tensor 'huge' is too large"));
    assert_int_equal(sg_tensors_write(path, &broken, 1, NULL, 0, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, ": the name of tensor 0 is not UTF-8"));
    assert_int_equal(sg_tensors_write(path, list, 1, &(sg_meta){"a", "\xff"}, 1, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, ": metadata 0 is not UTF-8"));
    assert_int_equal(sg_alloc_live(), 0);
}

static void streams_columns_in_turns(void **state)
{
    (void)state;
    enum { N = 300000 };
    const sg_tensor_desc columns[] = {
        {.name = "x", .dtype = SG_DT_I32, .rank = 1, .dim = {N}},
        {.name = "y", .dtype = SG_DT_I64, .rank = 1, .dim = {N}},
        {.name = "z", .dtype = SG_DT_U8, .rank = 1, .dim = {N}},
    };
    int32_t *x = sg_alloc_array(N, sizeof *x);
    int64_t *y = sg_alloc_array(N, sizeof *y);
    uint8_t *z = sg_alloc_array(N, sizeof *z);
    sg_tensors_stream *s;
    sg_tensors *t;
    sg_error err;
    const size_t steps[] = {1, 7, 100, 40000, 3, 90000};

    for (int i = 0; i < N; i++) {
        x[i] = i * 3;
        y[i] = (int64_t)i * i;
        z[i] = (uint8_t)(i * 7 >> 3);
    }
    assert_int_equal(sg_tensors_stream_open(&s, path, columns, 3, NULL, 0, NULL), SG_OK);
    for (size_t at = 0, k = 0; at < N; k++) {
        const size_t n = steps[k % 6] < N - at ? steps[k % 6] : N - at;

        assert_int_equal(sg_tensors_stream_put(s, 1, y + at, n * 8, NULL), SG_OK);
        assert_int_equal(sg_tensors_stream_put(s, 0, x + at, n * 4, NULL), SG_OK);
        assert_int_equal(sg_tensors_stream_put(s, 2, z + at, n, NULL), SG_OK);
        at += n;
    }
    assert_int_equal(sg_tensors_stream_put(s, 2, z, 1, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, ": tensor 'z': expected 300000 bytes, found more"));
    assert_int_equal(sg_tensors_stream_commit(s, NULL), SG_OK);
    assert_int_equal(sg_tensors_open(&t, path, NULL), SG_OK);
    assert_memory_equal(sg_tensors_find(t, "x")->data, x, N * 4);
    assert_memory_equal(sg_tensors_find(t, "y")->data, y, N * 8);
    assert_memory_equal(sg_tensors_find(t, "z")->data, z, N);
    sg_tensors_close(t);
    assert_int_equal(sg_tensors_stream_open(&s, path, columns, 3, NULL, 0, NULL), SG_OK);
    assert_int_equal(sg_tensors_stream_put(s, 0, x, N * 4, NULL), SG_OK);
    assert_int_equal(sg_tensors_stream_commit(s, &err), SG_ERR_USAGE);
    assert_non_null(strstr(err.message, ": tensor 'y': expected 2400000 bytes, found 0"));
    sg_free(x);
    sg_free(y);
    sg_free(z);
    assert_int_equal(sg_alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rejects_overlaps_holes_and_overruns),
        cmocka_unit_test(rejects_wrong_entries),
        cmocka_unit_test(rejects_broken_headers),
        cmocka_unit_test(reads_unaligned_data_as_aligned),
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(writes_the_same_bytes_in_any_order),
        cmocka_unit_test(refuses_to_write_nonsense),
        cmocka_unit_test(streams_columns_in_turns),
    };

    return cmocka_run_group_tests(tests, make_dir, folder_drop);
}
