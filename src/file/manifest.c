/* manifest.c - sizes are checked at every open, hashes when asked for. */
#include "file/manifest.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "file/json.h"
#include "file/sha256.h"

#include <string.h>
#include <sys/stat.h>

enum { BYTES_MAX = 64 << 20 };

/* Plain files of the folder, ascending; the caller's in every case. */
static sg_status list_files(char ***out, size_t *n, const char *dir, sg_error *err)
{
    size_t kept = 0;
    sg_status st = sg_dir_list(out, n, dir, err);

    if (st)
        return st;
    for (size_t i = 0; i < *n; i++) {
        char *name = (*out)[i], *path = st ? NULL : sg_path_join(dir, name);

        if (!st && !path)
            st = sg_fail_memory(err, dir);
        if (path && sg_file_exists(path) && strcmp(name, SG_MANIFEST_NAME) != 0)
            (*out)[kept++] = name;
        else
            sg_free(name);
        sg_free(path);
    }
    *n = kept;
    return st;
}

sg_status sg_manifest_files(json_t **out, const char *dir, const char *const *name, size_t n, sg_error *err)
{
    json_t *files = json_object();
    sg_status st = files ? SG_OK : sg_fail_memory(err, dir);

    for (size_t i = 0; !st && i < n; i++) {
        char *path = sg_path_join(dir, name[i]);
        char hex[65];
        uint64_t bytes;

        if (!path)
            st = sg_fail_memory(err, dir);
        else if (!sg_utf8_valid(name[i], strlen(name[i])))
            st = sg_fail(err, SG_ERR_USAGE, "%s: the file name is not UTF-8", path);
        else if (!(st = sg_sha256_file(hex, &bytes, path, err)) &&
                 json_object_set_new(files, name[i],
                                     json_pack("{s:I, s:s}", "bytes", (json_int_t)bytes, "sha256", hex)))
            st = sg_fail_memory(err, path);
        sg_free(path);
    }
    if (st) {
        json_decref(files);
        files = NULL;
    }
    *out = files;
    return st;
}

static sg_status check_file(const char *dir, const char *name, const json_t *entry, const char *where,
                            bool deep, sg_error *err)
{
    const char *want;
    char hex[65];
    int64_t bytes;
    uint64_t found;
    struct stat s;
    char *path;
    sg_status st;

    if (!*name || strchr(name, '/') || strcmp(name, "..") == 0 || strcmp(name, ".") == 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected plain file names, found '%s'", where, name);
    if ((st = sg_json_need_int(&bytes, entry, "bytes", 0, INT64_MAX, where, err)) ||
        (st = sg_json_need_string(&want, entry, "sha256", where, err)))
        return st;
    if (!(path = sg_path_join(dir, name)))
        return sg_fail_memory(err, where);
    if (sg_io_fault() || stat(path, &s))
        st = sg_fail_errno(err, path, "cannot open");
    else if (s.st_size != bytes)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected %lld bytes, found %lld", path, (long long)bytes,
                     (long long)s.st_size);
    else if (deep && !(st = sg_sha256_file(hex, &found, path, err)) && strcmp(hex, want) != 0)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected sha256 %.64s, found %s", path, want, hex);
    sg_free(path);
    return st;
}

sg_status sg_manifest_check_files(const json_t *files, const char *dir, const char *where, bool deep,
                                  sg_error *err)
{
    json_t *object = (json_t *)(uintptr_t)files;
    sg_status st = SG_OK;

    for (void *it = json_object_iter(object); !st && it; it = json_object_iter_next(object, it))
        st = check_file(dir, json_object_iter_key(it), json_object_iter_value(it), where, deep, err);
    return st;
}

sg_status sg_manifest_write(const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, SG_MANIFEST_NAME);
    json_t *files = NULL, *all = NULL;
    char **name = NULL;
    size_t n = 0;
    sg_status st;

    if (!path)
        return sg_fail_memory(err, dir);
    if (!(st = list_files(&name, &n, dir, err)) &&
        !(st = sg_manifest_files(&files, dir, (const char *const *)name, n, err))) {
        all = json_pack("{s:O}", "files", files);
        st = sg_json_write(path, all, err);
    }
    json_decref(all);
    json_decref(files);
    sg_dir_list_free(name, n);
    sg_free(path);
    return st;
}

sg_status sg_manifest_add(const char *dir, const char *const *name, size_t n, sg_error *err)
{
    char *path = sg_path_join(dir, SG_MANIFEST_NAME);
    json_t *all = NULL, *files;
    sg_status st;

    if (!path)
        return sg_fail_memory(err, dir);
    if (!(st = sg_json_read(&all, path, BYTES_MAX, err)))
        st = sg_json_need_object(&files, all, "files", path, err);
    for (size_t i = 0; !st && i < n; i++) {
        char *file = sg_path_join(dir, name[i]);
        json_t *one = NULL;

        if (!file)
            st = sg_fail_memory(err, dir);
        else if (!sg_file_exists(file))
            json_object_del(files, name[i]);
        else if (!(st = sg_manifest_files(&one, dir, name + i, 1, err)) && json_object_update(files, one))
            st = sg_fail_memory(err, dir);
        json_decref(one);
        sg_free(file);
    }
    if (!st)
        st = sg_json_write(path, all, err);
    json_decref(all);
    sg_free(path);
    return st;
}

sg_status sg_manifest_check(const char *dir, bool deep, sg_error *err)
{
    char *path = sg_path_join(dir, SG_MANIFEST_NAME);
    json_t *all = NULL, *files;
    sg_status st;

    if (!path)
        return sg_fail_memory(err, dir);
    if (!(st = sg_json_read(&all, path, BYTES_MAX, err)) &&
        !(st = sg_json_need_object(&files, all, "files", path, err)))
        st = sg_manifest_check_files(files, dir, path, deep, err);
    json_decref(all);
    sg_free(path);
    return st;
}
