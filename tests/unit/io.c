/* io.c - files are read whole, by line and decompressed; replaced wholly or not at all. */
#include "base/alloc.h"
#include "base/io.h"
#include "folder.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

static void put(const char *name, const void *data, size_t size)
{
    assert_int_equal(sg_file_write(in_folder(name), data, size, NULL), SG_OK);
}

static size_t gzip(char *out, size_t cap, const char *text, size_t size)
{
    z_stream z = {0};

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)text;
    z.avail_in = (unsigned)size;
    z.next_out = (unsigned char *)out;
    z.avail_out = (unsigned)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    const size_t n = cap - z.avail_out;
    deflateEnd(&z);
    return n;
}

static size_t zstd(char *out, size_t cap, const char *text, size_t size)
{
    const size_t n = ZSTD_compress(out, cap, text, size, 3);

    assert_false(ZSTD_isError(n));
    return n;
}

static void assert_lines(const char *name, const char *const *lines, size_t n)
{
    sg_reader *r;
    sg_error err = {0};
    const char *line;
    size_t size;

    assert_int_equal(sg_reader_open(&r, in_folder(name), &err), SG_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(sg_reader_line(r, &line, &size, &err), SG_OK);
        assert_non_null(line);
        assert_string_equal(line, lines[i]);
        assert_int_equal(size, strlen(lines[i]));
        assert_int_equal(sg_reader_line_number(r), i + 1);
    }
    assert_int_equal(sg_reader_line(r, &line, &size, &err), SG_OK);
    assert_null(line);
    assert_int_equal(sg_reader_offset(r), sg_reader_size(r));
    sg_reader_close(r);
}

static void reads_lines_of_every_ending(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbfone\ntwo\r\n\r\n\nlast";
    static const char *const lines[] = {"one", "two", "", "", "last"};
    char z[512];
    size_t n;

    put("plain", text, sizeof text - 1);
    assert_lines("plain", lines, 5);
    n = gzip(z, sizeof z, text, sizeof text - 1);
    put("gz", z, n);
    assert_lines("gz", lines, 5);
    n = zstd(z, sizeof z, text, sizeof text - 1);
    put("zst", z, n);
    assert_lines("zst", lines, 5);
    put("empty", "", 0);
    assert_lines("empty", NULL, 0);
    put("newline", "\n", 1);
    assert_lines("newline", (const char *[]){""}, 1);
    put("short", "ab", 2);
    assert_lines("short", (const char *[]){"ab"}, 1);
}

static void reads_concatenated_members(void **state)
{
    (void)state;
    static const char *const lines[] = {"a", "b", "c"};
    char z[1024];
    size_t n;

    n = gzip(z, sizeof z, "a\n", 2);
    n += gzip(z + n, sizeof z - n, "", 0);
    n += gzip(z + n, sizeof z - n, "b\nc", 3);
    memset(z + n, 0, 100);
    put("gz", z, n + 100);
    assert_lines("gz", lines, 3);

    memcpy(z, "\x50\x2a\x4d\x18\x03\0\0\0abc", 11); /* a skippable frame */
    n = 11 + zstd(z + 11, sizeof z - 11, "a\nb", 3);
    n += zstd(z + n, sizeof z - n, "", 0);
    n += zstd(z + n, sizeof z - n, "\nc\n", 3);
    put("zst", z, n);
    assert_lines("zst", lines, 3);
}

static sg_status read_all(const char *name, sg_buf *out, sg_error *err)
{
    return sg_file_read_any(out, in_folder(name), SIZE_MAX, err);
}

static void refuses_packed_data_cut_anywhere(void **state)
{
    (void)state;
    static char text[40000], z[40000];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * i % 7);
    for (int kind = 0; kind < 2; kind++) {
        const size_t n = (kind ? zstd : gzip)(z, sizeof z, text, sizeof text);

        for (size_t cut = kind ? 4 : 3; cut < n; cut++) {
            sg_error err = {0};
            sg_buf b = {0};

            put("cut", z, cut);
            assert_int_equal(read_all("cut", &b, &err), SG_ERR_FORMAT);
            assert_non_null(strstr(err.message, "data is cut short"));
            assert_null(b.data);
        }
        sg_buf b = {0};
        put("cut", z, n);
        assert_int_equal(read_all("cut", &b, NULL), SG_OK);
        assert_int_equal(b.size, sizeof text);
        assert_memory_equal(b.data, text, sizeof text);
        sg_buf_free(&b);
        if (kind == 1) /* this zstd frame has no checksum */
            continue;
        z[n - 6] ^= 0x55; /* its CRC */
        put("cut", z, n);
        assert_int_equal(read_all("cut", &b, NULL), SG_ERR_FORMAT);
    }
    const size_t n = gzip(z, sizeof z, "x", 1);
    sg_error err;
    sg_buf b = {0};
    memcpy(z + n, "junk", 4);
    put("junk", z, n + 4);
    assert_int_equal(read_all("junk", &b, &err), SG_ERR_FORMAT);
    assert_int_equal(sg_alloc_live(), 0);
}

static void reads_long_lines_up_to_the_limit(void **state)
{
    (void)state;
    const size_t n = SG_LINE_BYTES_MAX + ((size_t)4 << 20);
    char *text = sg_alloc(n);
    sg_error err;
    sg_reader *r;
    const char *line;
    size_t size;

    memset(text, 'x', n);
    text[3 << 20] = '\n';
    put("long", text, n);
    assert_int_equal(sg_reader_open(&r, in_folder("long"), &err), SG_OK);
    assert_int_equal(sg_reader_line(r, &line, &size, &err), SG_OK);
    assert_int_equal(size, 3 << 20);
    assert_int_equal(sg_reader_line(r, &line, &size, &err), SG_ERR_FORMAT);
    assert_non_null(strstr(err.message, "long:2: line is longer than 67108864 bytes"));
    sg_reader_close(r);
    sg_free(text);
}

static void says_what_is_missing(void **state)
{
    (void)state;
    sg_error err;
    sg_buf b = {0};
    sg_reader *r;
    sg_map m;
    char want[256];

    snprintf(want, sizeof want, "%s: cannot open: No such file or directory", in_folder("none"));
    assert_int_equal(sg_file_read(&b, in_folder("none"), 100, &err), SG_ERR_MISSING);
    assert_string_equal(err.message, want);
    assert_int_equal(sg_reader_open(&r, in_folder("none"), &err), SG_ERR_MISSING);
    assert_string_equal(err.message, want);
    assert_int_equal(sg_map_open(&m, in_folder("none"), &err), SG_ERR_MISSING);
    assert_string_equal(err.message, want);
    snprintf(want, sizeof want, "%s: expected a file, found a folder", folder);
    assert_int_equal(sg_map_open(&m, folder, &err), SG_ERR_IO);
    assert_string_equal(err.message, want);
    assert_int_equal(sg_reader_open(&r, folder, &err), SG_ERR_IO);
    put("ten", "0123456789", 10);
    snprintf(want, sizeof want, "%s: expected at most 9 bytes, found 10", in_folder("ten"));
    assert_int_equal(sg_file_read(&b, in_folder("ten"), 9, &err), SG_ERR_FORMAT);
    assert_string_equal(err.message, want);
    assert_int_equal(sg_file_read(&b, in_folder("ten"), 10, &err), SG_OK);
    assert_string_equal(b.data, "0123456789");
    sg_buf_free(&b);
}

static void maps_files_also_empty_ones(void **state)
{
    (void)state;
    sg_map m;

    put("map", "bytes", 5);
    assert_int_equal(sg_map_open(&m, in_folder("map"), NULL), SG_OK);
    assert_int_equal(m.size, 5);
    assert_memory_equal(m.data, "bytes", 5);
    sg_map_close(&m);
    put("map", "", 0);
    assert_int_equal(sg_map_open(&m, in_folder("map"), NULL), SG_OK);
    assert_int_equal(m.size, 0);
    assert_non_null(m.data);
    sg_map_close(&m);
}

static void writes_in_pieces_and_patches(void **state)
{
    (void)state;
    const size_t n = 700001;
    char *text = sg_alloc(n);
    sg_writer *w;
    sg_buf b = {0};

    for (size_t i = 0; i < n; i++)
        text[i] = (char)(i * 2654435761u >> 13);
    assert_int_equal(sg_writer_open(&w, in_folder("pieces"), NULL), SG_OK);
    for (size_t at = 0, step = 1; at < n; at += step, step = step * 3 + 1)
        assert_int_equal(sg_writer_put(w, text + at, step < n - at ? step : n - at, NULL), SG_OK);
    memcpy(text + 1000, "patch", 5);
    assert_int_equal(sg_writer_put_at(w, 1000, "patch", 5, NULL), SG_OK);
    assert_false(sg_file_exists(in_folder("pieces")));
    assert_int_equal(sg_writer_commit(w, NULL), SG_OK);
    assert_int_equal(sg_file_read(&b, in_folder("pieces"), n, NULL), SG_OK);
    assert_int_equal(b.size, n);
    assert_memory_equal(b.data, text, n);
    sg_buf_free(&b);
    sg_free(text);
}

static void paths_are_cut_and_joined(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a/b", "a", "b"}, {"b", ".", "b"}, {"/b", "/", "b"}, {"a//b", "a", "b"}, {"/a/b/c", "/a/b", "c"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *d = sg_path_dir(cases[i][0]);

        assert_string_equal(d, cases[i][1]);
        assert_string_equal(sg_path_base(cases[i][0]), cases[i][2]);
        sg_free(d);
    }
    char *p = sg_path_join("a", "b"), *q = sg_path_join("a/", "b");
    assert_string_equal(p, "a/b");
    assert_string_equal(q, "a/b");
    sg_free(p);
    sg_free(q);
}

static void folders_are_made_and_removed(void **state)
{
    (void)state;
    sg_error err;
    char want[256];

    assert_int_equal(sg_dir_make(in_folder("x/y//z/"), &err), SG_OK);
    assert_true(sg_dir_exists(in_folder("x/y/z")));
    assert_int_equal(sg_dir_make(in_folder("x/y"), &err), SG_OK);
    put("x/y/file", "1", 1);
    put("outside", "1", 1);
    assert_int_equal(symlink("../../outside", in_folder("x/y/link")), 0);
    assert_int_equal(symlink("..", in_folder("x/y/up")), 0);
    snprintf(want, sizeof want, "%s: expected a folder, found a file", in_folder("x/y/file"));
    assert_int_equal(sg_dir_make(in_folder("x/y/file/deep"), &err), SG_ERR_IO);
    assert_string_equal(err.message, want);
    assert_int_equal(sg_dir_remove(in_folder("x"), &err), SG_OK);
    assert_false(sg_dir_exists(in_folder("x")));
    assert_true(sg_file_exists(in_folder("outside")));
    assert_int_equal(sg_dir_remove(in_folder("x"), &err), SG_OK);
}

static void put_into(const sg_folder *f, const char *name, const char *text)
{
    char *path = sg_path_join(f->tmp, name);

    assert_int_equal(sg_file_write(path, text, strlen(text), NULL), SG_OK);
    sg_free(path);
}

static void folders_are_replaced_whole(void **state)
{
    (void)state;
    sg_error err;
    sg_folder f;
    char want[256];

    assert_int_equal(sg_folder_begin(&f, in_folder("new/data/"), "mark", &err), SG_OK);
    put_into(&f, "mark", "1");
    put_into(&f, "old", "1");
    assert_false(sg_dir_exists(in_folder("new/data")));
    assert_int_equal(sg_folder_commit(&f, &err), SG_OK);
    assert_true(sg_file_exists(in_folder("new/data/old")));

    assert_int_equal(symlink("new/data", in_folder("link")), 0);
    assert_int_equal(sg_folder_begin(&f, in_folder("link"), "mark", &err), SG_OK);
    put_into(&f, "mark", "2");
    assert_int_equal(sg_folder_commit(&f, &err), SG_OK);
    assert_true(sg_file_exists(in_folder("new/data/mark")));
    assert_true(sg_file_exists(in_folder("link/mark")));
    assert_false(sg_file_exists(in_folder("new/data/old")));

    assert_int_equal(sg_folder_begin(&f, in_folder("new/data"), "mark", &err), SG_OK);
    put_into(&f, "mark", "3");
    sg_folder_abort(&f);
    assert_true(sg_file_exists(in_folder("new/data/mark")));

    snprintf(want, sizeof want, "%s: exists and holds no mark: not replaced", in_folder("new"));
    assert_int_equal(sg_folder_begin(&f, in_folder("new"), "mark", &err), SG_ERR_USAGE);
    assert_string_equal(err.message, want);
    assert_int_equal(sg_dir_remove(in_folder("new/data"), &err), SG_OK);
    assert_int_equal(rmdir(in_folder("new")), 0); /* nothing else was left in it */
    assert_int_equal(sg_alloc_live(), 0);
}

/* Runs `begin` in a process of its own, which then waits to be killed. */
static pid_t start_and_hang(void (*begin)(void))
{
    int ready[2];
    char c;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        begin();
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return child;
}

static void kill_it(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void begin_folder(void)
{
    sg_folder f;
    char *deep;

    if (sg_folder_begin(&f, in_folder("swept/run"), "mark", NULL) ||
        !(deep = sg_path_join(f.tmp, "deep/deeper")) || sg_dir_make(deep, NULL))
        _exit(1);
    put_into(&f, "half", "1");
}

static void begin_file(void)
{
    sg_writer *w;

    if (sg_writer_open(&w, in_folder("swept/file"), NULL) || sg_writer_put_at(w, 0, "half", 4, NULL))
        _exit(1);
}

/* Entries of DIR/swept whose name begins with `prefix`. */
static int count(const char *prefix)
{
    DIR *d = opendir(in_folder("swept"));
    const struct dirent *e;
    int n = 0;

    assert_non_null(d);
    while ((e = readdir(d)))
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    closedir(d);
    return n;
}

static void replace_both(void)
{
    sg_folder f;

    assert_int_equal(sg_folder_begin(&f, in_folder("swept/run"), "mark", NULL), SG_OK);
    put_into(&f, "mark", "1");
    assert_int_equal(sg_folder_commit(&f, NULL), SG_OK);
    put("swept/file", "whole", 5);
}

static void what_the_killed_left_is_swept(void **state)
{
    (void)state;
    static const char *const of_the_user[] = {"run.sedge-tmp-",    "run.sedge-tmp-1x", "run.sedge-tmp-7-file",
                                              "run2.sedge-tmp-7",  "file.sedge-tmp-",  "file.tmp-1",
                                              "xfile.sedge-tmp-1", "run.sedge-old-1"};
    pid_t live[2];

    assert_int_equal(sg_dir_make(in_folder("swept"), NULL), SG_OK);
    for (size_t i = 0; i < sizeof of_the_user / sizeof *of_the_user; i++) {
        char name[64];

        snprintf(name, sizeof name, "swept/%s", of_the_user[i]);
        put(name, "mine", 4);
    }
    put("swept/run.sedge-tmp-8", "a file with a folder's name", 27);
    assert_int_equal(sg_dir_make(in_folder("swept/file.sedge-tmp-8/deep"), NULL), SG_OK);
    assert_int_equal(symlink("run2.sedge-tmp-7", in_folder("swept/file.sedge-tmp-9")), 0);
    kill_it(start_and_hang(begin_folder));
    kill_it(start_and_hang(begin_file));
    live[0] = start_and_hang(begin_folder);
    live[1] = start_and_hang(begin_file);
    const int before = count("");

    replace_both(); /* the killed pair was swept by the living pair, which stays */
    assert_int_equal(count(""), before + 2);
    kill_it(live[0]);
    kill_it(live[1]);
    assert_int_equal(count(""), before + 2);
    replace_both();
    assert_int_equal(count(""), before + 2 - 2);
    for (size_t i = 0; i < sizeof of_the_user / sizeof *of_the_user; i++) {
        char name[64];

        snprintf(name, sizeof name, "swept/%s", of_the_user[i]);
        assert_true(sg_file_exists(in_folder(name)));
    }
    assert_true(sg_file_exists(in_folder("swept/run.sedge-tmp-8")));
    assert_true(sg_dir_exists(in_folder("swept/file.sedge-tmp-8/deep")));
    assert_true(sg_file_exists(in_folder("swept/file.sedge-tmp-9")));
    assert_int_equal(count("run."), 5);
    assert_int_equal(count("file."), 4);
    assert_int_equal(sg_alloc_live(), 0);
}

/* Two that replace the same folder and file again and again never take the other's half for one left behind. */
static void sweeping_leaves_the_living_alone(void **state)
{
    (void)state;
    const pid_t child = fork();
    int status;

    assert_true(child >= 0);
    for (int i = 0; i < 200; i++) {
        sg_folder f;
        sg_error err = {0};
        char *path;
        bool ok;

        if (sg_folder_begin(&f, in_folder("both/run"), "mark", &err))
            fail_msg("%s", err.message);
        path = sg_path_join(f.tmp, "mark");
        ok = !sg_file_write(path, "1", 1, &err) && !sg_folder_commit(&f, &err) &&
             !sg_file_write(in_folder("both/file"), "1", 1, &err);
        sg_free(path);
        if (!ok && child == 0)
            _exit(1);
        if (!ok)
            fail_msg("%s", err.message);
    }
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    replace_both();
    assert_int_equal(sg_dir_remove(in_folder("both/run"), NULL), SG_OK);
    assert_int_equal(unlink(in_folder("both/file")), 0);
    assert_int_equal(rmdir(in_folder("both")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_lines_of_every_ending),
        cmocka_unit_test(reads_concatenated_members),
        cmocka_unit_test(refuses_packed_data_cut_anywhere),
        cmocka_unit_test(reads_long_lines_up_to_the_limit),
        cmocka_unit_test(says_what_is_missing),
        cmocka_unit_test(maps_files_also_empty_ones),
        cmocka_unit_test(writes_in_pieces_and_patches),
        cmocka_unit_test(paths_are_cut_and_joined),
        cmocka_unit_test(folders_are_made_and_removed),
        cmocka_unit_test(folders_are_replaced_whole),
        cmocka_unit_test(what_the_killed_left_is_swept),
        cmocka_unit_test(sweeping_leaves_the_living_alone),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
