/* writer.c - a file or folder is replaced wholly or not at all, whichever write, sync, rename or close fails. */
#include "faults.h"
#include "folder.h"

static char path[80];

static int make_dir(void **state)
{
    if (folder_make(state))
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static char large[600000]; /* more than the writer's buffer */

static sg_status write_large(void *ctx, sg_error *err)
{
    sg_writer *w;
    sg_status st;

    (void)ctx;
    if ((st = sg_writer_open(&w, path, err)))
        return st;
    for (size_t at = 0; !st && at < sizeof large; at += 100000)
        st = sg_writer_put(w, large + at, 100000, err);
    if (!st)
        st = sg_writer_put_at(w, 10, "patch", 5, err);
    if (!st)
        return sg_writer_commit(w, err);
    sg_writer_abort(w);
    return st;
}

/* The old file, or (only when the very last step failed) the new one; never a part of it, never a second file. */
static void old_or_new(void *ctx, bool done)
{
    sg_buf b = {0};

    (void)ctx;
    assert_int_equal(sg_file_read(&b, path, SIZE_MAX, NULL), SG_OK);
    if (done || b.size != 3) {
        assert_int_equal(b.size, sizeof large);
        assert_memory_equal(b.data + 10, "patch", 5);
        assert_int_equal(sg_file_write(path, "old", 3, NULL), SG_OK);
    } else {
        assert_string_equal(b.data, "old");
    }
    sg_buf_free(&b);
    assert_int_equal(faults_entries(folder), 1);
}

static void files_survive_every_fault(void **state)
{
    (void)state;
    memset(large, 'x', sizeof large);
    assert_int_equal(sg_file_write(path, "old", 3, NULL), SG_OK);
    /* open, 3 writes, sync, close, rename, and open, sync, close of the folder */
    assert_true(faults_walk(FAULTS_IO, write_large, old_or_new, NULL) >= 10);
    assert_int_equal(sg_file_write(path, "old", 3, NULL), SG_OK);
    assert_true(faults_walk(FAULTS_ALLOC, write_large, old_or_new, NULL) >= 5);
    remove(path);
}

static sg_status replace_folder(void *ctx, sg_error *err)
{
    sg_folder f;
    char *name;
    sg_status st;

    (void)ctx;
    if ((st = sg_folder_begin(&f, path, "mark", err)))
        return st;
    name = sg_path_join(f.tmp, "mark");
    st = name ? sg_file_write(name, "new", 3, err) : sg_fail_memory(err, "mark");
    sg_free(name);
    if (!st)
        return sg_folder_commit(&f, err);
    sg_folder_abort(&f);
    return st;
}

static void old_or_new_folder(void *ctx, bool done)
{
    char *name = sg_path_join(path, "mark");
    sg_buf b = {0};

    (void)ctx;
    assert_int_equal(sg_file_read(&b, name, 10, NULL), SG_OK);
    if (done)
        assert_string_equal(b.data, "new");
    assert_int_equal(faults_entries(path), 1);
    assert_int_equal(faults_entries(folder), 1);
    assert_int_equal(sg_file_write(name, "old", 3, NULL), SG_OK);
    sg_buf_free(&b);
    sg_free(name);
}

static void folders_survive_every_fault(void **state)
{
    (void)state;
    assert_int_equal(replace_folder(NULL, NULL), SG_OK);
    assert_true(faults_walk(FAULTS_IO, replace_folder, old_or_new_folder, NULL) >= 15);
    assert_true(faults_walk(FAULTS_ALLOC, replace_folder, old_or_new_folder, NULL) >= 10);
    assert_int_equal(sg_dir_remove(path, NULL), SG_OK);
}

static sg_status read_lines(void *ctx, sg_error *err)
{
    const char *line = "";
    sg_reader *r;
    size_t n;
    sg_status st;

    (void)ctx;
    if ((st = sg_reader_open(&r, path, err)))
        return st;
    while (!st && line)
        st = sg_reader_line(r, &line, &n, err);
    sg_reader_close(r);
    return st;
}

static sg_status read_whole(void *ctx, sg_error *err)
{
    sg_buf b = {0};
    const sg_status st =
        *(int *)ctx ? sg_file_read_any(&b, path, SIZE_MAX, err) : sg_file_read(&b, path, SIZE_MAX, err);

    sg_buf_free(&b);
    return st;
}

static sg_status map(void *ctx, sg_error *err)
{
    sg_map m;
    const sg_status st = sg_map_open(&m, path, err);

    (void)ctx;
    if (!st)
        sg_map_close(&m);
    return st;
}

static void reading_fails_cleanly(void **state)
{
    (void)state;
    memset(large, 'x', sizeof large);
    large[300] = large[sizeof large - 2] = '\n';
    assert_int_equal(sg_file_write(path, large, sizeof large, NULL), SG_OK);
    for (faults_kind kind = FAULTS_ALLOC; kind <= FAULTS_IO; kind++) {
        assert_true(faults_walk(kind, read_lines, NULL, NULL) >= 3);
        assert_true(faults_walk(kind, read_whole, NULL, &(int){0}) >= 1);
        assert_true(faults_walk(kind, read_whole, NULL, &(int){1}) >= 3);
    }
    assert_int_equal(faults_walk(FAULTS_IO, map, NULL, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_survive_every_fault),
        cmocka_unit_test(folders_survive_every_fault),
        cmocka_unit_test(reading_fails_cleanly),
    };

    return cmocka_run_group_tests(tests, make_dir, folder_drop);
}
