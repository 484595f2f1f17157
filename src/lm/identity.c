/* identity.c - the sha256 of a model's files. */
#include "lm/identity.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/sha256.h"

#include <stdbool.h>
#include <string.h>

/* Files that decide what a model answers; notes and other formats of the weights do not. */
static bool counts(const char *name)
{
    static const char *const ends[] = {".json", ".safetensors", ".model", ".txt", ".gguf", ".zst", ".gz"};
    const size_t size = strlen(name);

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (size > strlen(ends[i]) && strcmp(name + size - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

static sg_status hash_path(sg_sha256 *h, const char *path, const char *shown, bool inside, sg_error *err);

/* Names in byte order: the modules of a sentence-transformers folder are folders inside it. */
static sg_status hash_folder(sg_sha256 *h, const char *dir, bool inside, sg_error *err)
{
    char **name;
    size_t n;
    sg_status st = sg_dir_list(&name, &n, dir, err);

    if (st)
        return st;
    for (size_t i = 0; i < n && !st; i++) {
        char *path = name[i][0] == '.' ? NULL : sg_path_join(dir, name[i]);

        if (name[i][0] != '.')
            st = path ? hash_path(h, path, name[i], inside, err) : sg_fail_memory(err, dir);
        sg_free(path);
    }
    sg_dir_list_free(name, n);
    return st;
}

static sg_status hash_path(sg_sha256 *h, const char *path, const char *shown, bool inside, sg_error *err)
{
    char hex[65];
    sg_status st;

    if (sg_dir_exists(path))
        return inside ? SG_OK : hash_folder(h, path, true, err);
    if (!counts(shown))
        return SG_OK;
    if ((st = sg_sha256_file(hex, NULL, path, err)))
        return st;
    sg_sha256_add(h, shown, strlen(shown) + 1);
    sg_sha256_add(h, hex, 64);
    return SG_OK;
}

sg_status sg_model_identify(char hex[65], const char *model, const char *adapter, sg_error *err)
{
    sg_sha256 h;
    sg_status st;

    sg_sha256_init(&h);
    if ((st = sg_dir_exists(model) ? hash_folder(&h, model, false, err)
                                   : hash_path(&h, model, ".gguf.gguf", false, err)) ||
        (adapter && (st = hash_folder(&h, adapter, false, err))))
        return st;
    sg_sha256_hex(&h, hex);
    return SG_OK;
}
