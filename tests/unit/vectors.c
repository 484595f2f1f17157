/* vectors.c - vectors made elsewhere become DATA/vectors.safetensors, by row or by item id. */
#include "base/alloc.h"
#include "base/io.h"
#include "text/lsa.h"
#include "unit/items.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct fixture {
    test_items items;
    char dir[64], file[96], ids[96];
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);

    snprintf(f->dir, sizeof f->dir, "/tmp/sedge-vectors-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->file, sizeof f->file, "%s/x.npy", f->dir);
    snprintf(f->ids, sizeof f->ids, "%s/ids.txt", f->dir);
    f->items.data.dir = f->dir;
    f->items.data.n_items = 3;
    f->items.data.item_ids = test_strings(&f->items, 3, (const char *const[]){"a", "bb", "c"});
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    sg_dir_remove(f->dir, NULL);
    test_items_free(&f->items);
    free(f);
    assert_int_equal(sg_alloc_live(), 0);
    return 0;
}

static void write_npy(const char *path, int rows, int cols, const float *x)
{
    sg_buf b = {0};

    sg_buf_add(&b, "\x93NUMPY\1\0\0\0", 10);
    sg_buf_printf(&b, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", rows, cols);
    b.data[8] = (char)(b.size - 10);
    sg_buf_add(&b, x, (size_t)(rows * cols) * sizeof *x);
    assert_int_equal(sg_file_write(path, b.data, b.size, NULL), SG_OK);
    sg_buf_free(&b);
}

static void assert_vectors(const fixture *f, int dim, const float *expected)
{
    char path[128];
    sg_tensors *t;
    const sg_file_tensor *x;
    sg_error err;

    snprintf(path, sizeof path, "%s/vectors.safetensors", f->dir);
    assert_int_equal(sg_tensors_open(&t, path, &err), SG_OK);
    assert_int_equal(sg_tensors_need(&x, t, "vectors", SG_DT_F32, 2, (int64_t[]){3, dim}, &err), SG_OK);
    assert_memory_equal(x->data, expected, 3 * (size_t)dim * sizeof *expected);
    assert_string_equal(sg_tensors_meta(t, "encoder"), "import");
    sg_tensors_close(t);
}

static void takes_npy_by_row_and_by_id(void **state)
{
    fixture *f = *state;
    sg_error err;

    write_npy(f->file, 3, 2, (float[]){1, 2, 3, 4, 5, 6});
    assert_int_equal(sg_vectors_import(&f->items.data, f->file, NULL, NULL, &err), SG_OK);
    assert_vectors(f, 2, (float[]){1, 2, 3, 4, 5, 6});
    write_npy(f->file, 4, 2, (float[]){1, 2, 3, 4, 5, 6, 7, 8});
    assert_int_equal(sg_file_write(f->ids, "c\nother\nbb\na\n", 13, &err), SG_OK);
    assert_int_equal(sg_vectors_import(&f->items.data, f->file, NULL, f->ids, &err), SG_OK);
    assert_vectors(f, 2, (float[]){7, 8, 5, 6, 1, 2});
}

static void takes_safetensors_of_every_float(void **state)
{
    fixture *f = *state;
    char path[128];
    const uint16_t half[3] = {0x3c00, 0x4000, 0x4200}, brain[3] = {0x3f80, 0x4000, 0x4040};
    const double wide[3] = {1, 2, 3};
    const sg_tensor_desc list[] = {{"c16", SG_DT_F16, 2, {3, 1}, half},
                                   {"b16", SG_DT_BF16, 2, {3, 1}, brain},
                                   {"d64", SG_DT_F64, 2, {3, 1}, wide},
                                   {"flat", SG_DT_F64, 1, {3}, wide}};
    const char *const names[] = {NULL, "c16", "b16", "d64"};
    sg_error err;
    char expected[256];

    snprintf(path, sizeof path, "%s/x.safetensors", f->dir);
    assert_int_equal(sg_tensors_write(path, list, 4, NULL, 0, &err), SG_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sg_vectors_import(&f->items.data, path, names[i], NULL, &err), SG_OK);
        assert_vectors(f, 1, (float[]){1, 2, 3});
    }
    assert_int_equal(sg_vectors_import(&f->items.data, path, "none", NULL, &err), SG_ERR_MISSING);
    snprintf(expected, sizeof expected, "%s: no tensor 'none'", path);
    assert_string_equal(err.message, expected);
    assert_int_equal(sg_vectors_import(&f->items.data, path, "flat", NULL, &err), SG_ERR_FORMAT);
}

static void assert_refused(fixture *f, const char *ids, sg_status status, const char *tail)
{
    sg_error err;
    const char *where = ids ? ids : f->file;

    assert_int_equal(sg_vectors_import(&f->items.data, f->file, NULL, ids, &err), status);
    assert_memory_equal(err.message, where, strlen(where));
    assert_string_equal(err.message + strlen(where), tail);
}

static void says_what_is_wrong(void **state)
{
    fixture *f = *state;
    sg_error err;

    assert_refused(f, NULL, SG_ERR_MISSING, ": cannot open: No such file or directory");
    write_npy(f->file, 2, 2, (float[]){1, 2, 3, 4});
    assert_refused(f, NULL, SG_ERR_FORMAT,
                   ": expected 3 rows, one for each item, found 2: a file with one item id a line can say "
                   "which row is which");
    sg_file_write(f->ids, "a\nbb\n", 5, &err);
    assert_refused(f, f->ids, SG_ERR_MISSING, ": item 'c' has no row (1 of 3 items have none)");
    sg_file_write(f->ids, "a\na\n", 4, &err);
    assert_refused(f, f->ids, SG_ERR_FORMAT, ":2: item 'a' stands on line 1 already");
    sg_file_write(f->ids, "a\nbb\nc\n", 7, &err);
    assert_refused(f, f->ids, SG_ERR_FORMAT, ": expected 2 lines, one id for each row, found 3");
    write_npy(f->file, 3, 2, (float[]){1, 2, 3, NAN, 5, 6});
    assert_refused(f, NULL, SG_ERR_NUMERIC, ": row 1, column 1: expected a finite number, found nan");
    assert_int_equal(sg_vectors_import(&f->items.data, "x.csv", NULL, NULL, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "x.csv: expected a file named *.npy or *.safetensors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(takes_npy_by_row_and_by_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_safetensors_of_every_float, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
