/* dir.c - names of files, and folders. */
#include "base/io.h"

#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool sg_file_exists(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

bool sg_dir_exists(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

char *sg_path_join(const char *dir, const char *name)
{
    const size_t n = strlen(dir);
    sg_buf b = {0};

    sg_buf_add(&b, dir, n);
    if (n && dir[n - 1] != '/')
        sg_buf_putc(&b, '/');
    sg_buf_puts(&b, name);
    return sg_buf_take(&b);
}

char *sg_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return sg_strdup(".");
    while (slash > path && slash[-1] == '/')
        slash--;
    return slash == path ? sg_strdup("/") : sg_strndup(path, (size_t)(slash - path));
}

const char *sg_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- folders ---- */

sg_status sg_dir_make(const char *path, sg_error *err)
{
    char *copy = sg_strdup(path);
    sg_status st = SG_OK;

    if (!copy)
        return sg_fail_memory(err, path);
    for (char *p = copy; !st && *p; p++) {
        char end;

        for (; *p == '/'; p++)
            continue;
        for (; *p && *p != '/'; p++)
            continue;
        end = *p;
        *p = 0;
        if (*copy && !sg_dir_exists(copy) && (sg_io_fault() || (mkdir(copy, 0777) && errno != EEXIST)))
            st = sg_fail_errno(err, copy, "cannot make folder");
        else if (*copy && !sg_dir_exists(copy))
            st = sg_fail(err, SG_ERR_IO, "%s: expected a folder, found a file", copy);
        *p = end;
        if (!end)
            break;
    }
    sg_free(copy);
    return st;
}

/* ---- what is in one ---- */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void sg_dir_list_free(char **name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sg_free(name[i]);
    sg_free(name);
}

sg_status sg_dir_list(char ***out, size_t *n, const char *dir, sg_error *err)
{
    DIR *d = sg_io_fault() ? NULL : opendir(dir);
    const struct dirent *e;
    char **name = NULL;
    size_t count = 0, cap = 0;
    sg_status st = SG_OK;

    *out = NULL;
    *n = 0;
    if (!d)
        return sg_fail_errno(err, dir, "cannot open folder");
    while (!st && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (!sg_grow(&name, &cap, count + 1, sizeof *name) || !(name[count] = sg_strdup(e->d_name)))
            st = sg_fail_memory(err, dir);
        else
            count++;
    }
    closedir(d);
    if (st) {
        sg_dir_list_free(name, count);
        return st;
    }
    if (count)
        qsort(name, count, sizeof *name, by_name);
    *out = name;
    *n = count;
    return SG_OK;
}
