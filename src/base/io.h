/* io.h - files: read whole, map, stream by line (plain, .gz, .zst), and replace atomically.
 *
 * A file is replaced in one way: write NAME.sedge-tmp-PID-N beside it, fsync, rename, fsync the folder. Whatever fails, the old
 * file is intact and the temporary one is removed (only the last steps, closing and the sync of the folder, can fail with the
 * new file already in place). A folder is replaced alike: assembled in NAME.sedge-tmp-PID-N, then swapped. What a killed process
 * left is removed by the next one that replaces NAME.
 * sg_io_fail_at(n) makes the n-th open, read, map, write, fsync, rename, close or mkdir from now fail with EIO, for tests. */
#ifndef SG_BASE_IO_H
#define SG_BASE_IO_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

sg_status sg_file_read(sg_buf *out, const char *path, size_t bytes_max, sg_error *err);
sg_status sg_file_write(const char *path, const void *data, size_t size, sg_error *err); /* atomic */
void sg_file_sweep(const char *path); /* what killed processes left of `path`; sg_writer_open does it, too */
bool sg_file_exists(const char *path);
bool sg_dir_exists(const char *path);
sg_status sg_dir_make(const char *path, sg_error *err);   /* with parents; an existing folder is fine */
sg_status sg_dir_remove(const char *path, sg_error *err); /* recursively; missing is fine */
sg_status sg_dir_sync(const char *path, sg_error *err);
/* Names of all that is in it, in byte order. */
sg_status sg_dir_list(char ***name, size_t *n, const char *dir, sg_error *err);
void sg_dir_list_free(char **name, size_t n);
char *sg_path_join(const char *dir, const char *name); /* owned by the caller; NULL when out of memory */
char *sg_path_dir(const char *path);                   /* folder part, "." when there is none */
const char *sg_path_base(const char *path);            /* borrowed: after the last '/' */

/* A folder being assembled beside its final place. An existing folder is replaced only when it is empty or holds the file
 * `marker`: nobody loses a home directory to a wrong -o. Between begin and commit files are written into `tmp`. */
typedef struct sg_folder {
    char *dir, *tmp; /* owned */
    int lock;        /* descriptor, while there is a tmp */
} sg_folder;
sg_status sg_folder_begin(sg_folder *out, const char *dir, const char *marker,
                          sg_error *err);                /* makes parents too */
sg_status sg_folder_commit(sg_folder *f, sg_error *err); /* f is empty afterwards in every case */
void sg_folder_abort(sg_folder *f);                      /* an empty one is fine */

/* A file being written beside its final place. */
typedef struct sg_writer sg_writer;
sg_status sg_writer_open(sg_writer **out, const char *path, sg_error *err);
sg_status sg_writer_put(sg_writer *w, const void *data, size_t size, sg_error *err);
sg_status sg_writer_put_at(sg_writer *w, uint64_t offset, const void *data, size_t size, sg_error *err);
sg_status sg_writer_commit(sg_writer *w, sg_error *err); /* sync and rename; w is freed in every case */
void sg_writer_abort(sg_writer *w);                      /* NULL is fine */

/* Read-only mapping; an empty file maps to size 0. */
typedef struct sg_map {
    const char *data;
    size_t size;
} sg_map;
sg_status sg_map_open(sg_map *out, const char *path, sg_error *err);
void sg_map_close(sg_map *m);
void sg_map_forget(const sg_map *m, size_t at,
                   size_t n); /* whole pages of at .. at + n - 1 leave memory until they are read again */

/* Bytes of a file, decompressed when its first bytes say gzip or zstd. Memory does not grow with the file. */
typedef struct sg_reader sg_reader;
sg_status sg_reader_open(sg_reader **out, const char *path, sg_error *err);
void sg_reader_close(sg_reader *r);
sg_status sg_reader_read(sg_reader *r, char *data, size_t cap, size_t *got,
                         sg_error *err); /* *got 0: the end */
/* Next line without its end (\n or \r\n), followed by a 0 byte, valid until the next call; *line NULL at the end. A byte
 * order mark before the first line is skipped. A line longer than SG_LINE_BYTES_MAX is an error that names its number. */
#define SG_LINE_BYTES_MAX ((size_t)64 << 20)
sg_status sg_reader_line(sg_reader *r, const char **line, size_t *size, sg_error *err);
uint64_t sg_reader_line_number(const sg_reader *r); /* of the line last returned, from 1 */
uint64_t sg_reader_offset(const sg_reader *r);      /* compressed bytes consumed, for progress */
uint64_t sg_reader_size(const sg_reader *r);        /* compressed bytes in all */
const char *sg_reader_path(const sg_reader *r);
bool sg_reader_seekable(const sg_reader *r); /* a regular file: a second pass can be made */

/* Whole file, decompressed. */
sg_status sg_file_read_any(sg_buf *out, const char *path, size_t bytes_max, sg_error *err);

void sg_io_fail_at(uint64_t n); /* tests only */
uint64_t sg_io_calls(void);
bool sg_io_fault(
    void); /* counts one operation; true: it must fail, errno is EIO. Called by whoever does I/O itself */

#endif
