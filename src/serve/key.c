/* key.c - keys as SHA-256: what is compared says nothing about the key, and all are compared, whole, whatever
 * the first byte. */
#include "serve/key.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/sha256.h"

#include <string.h>
#include <sys/stat.h>

enum { KEY_MIN = 16, KEY_MAX = 4096, FILE_BYTES_MAX = 1 << 20 };

typedef struct key {
    char hex[65];
    sg_scope scope;
} key;

struct sg_keys {
    key *list; /* owned */
    size_t n, cap;
};

static void hash(char hex[65], const char *text, size_t size)
{
    sg_sha256 h;

    sg_sha256_init(&h);
    sg_sha256_add(&h, text, size);
    sg_sha256_hex(&h, hex);
}

static sg_status add_line(sg_keys *k, const char *line, size_t size, const char *path, int number,
                          sg_error *err)
{
    const sg_scope scope = size > 4 && memcmp(line, "use ", 4) == 0     ? SG_SCOPE_USE
                           : size > 6 && memcmp(line, "admin ", 6) == 0 ? SG_SCOPE_ADMIN
                                                                        : SG_SCOPE_OPEN;
    const size_t skip = scope == SG_SCOPE_USE ? 4 : 6;

    if (size == 0 || line[0] == '#')
        return SG_OK;
    if (scope == SG_SCOPE_OPEN) /* the line is not repeated: it may be a key */
        return sg_fail(err, SG_ERR_FORMAT, "%s:%d: expected 'use KEY' or 'admin KEY'", path, number);
    for (size_t i = skip; i < size; i++)
        if (line[i] <= ' ' || line[i] > '~')
            return sg_fail(err, SG_ERR_FORMAT, "%s:%d: expected a key of printable characters without spaces",
                           path, number);
    if (size - skip < KEY_MIN || size - skip > KEY_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s:%d: expected a key of %d to %d characters, found %zu", path,
                       number, KEY_MIN, KEY_MAX, size - skip);
    if (!sg_grow(&k->list, &k->cap, k->n + 1, sizeof *k->list))
        return sg_fail_memory(err, "keys");
    hash(k->list[k->n].hex, line + skip, size - skip);
    k->list[k->n++].scope = scope;
    return SG_OK;
}

sg_status sg_keys_open(sg_keys **out, const char *path, sg_error *err)
{
    sg_keys *k = sg_alloc_zero(1, sizeof *k);
    sg_buf text = {0};
    struct stat s;
    int number = 0;
    sg_status st = SG_OK;

    *out = NULL;
    if (!k)
        return sg_fail_memory(err, "keys");
    if (stat(path, &s))
        st = sg_fail_errno(err, path, "cannot open");
    else if (s.st_mode & 077)
        st = sg_fail(err, SG_ERR_USAGE,
                     "%s: expected a file that only its owner can read (chmod 600), found mode %03o", path,
                     (unsigned)s.st_mode & 0777);
    else
        st = sg_file_read(&text, path, FILE_BYTES_MAX, err);
    for (size_t at = 0; !st && at < text.size;) {
        const char *line = text.data + at, *end = memchr(line, '\n', text.size - at);
        size_t size = end ? (size_t)(end - line) : text.size - at;

        at += size + 1;
        if (size && line[size - 1] == '\r')
            size--;
        st = add_line(k, line, size, path, ++number, err);
    }
    if (!st && k->n == 0)
        st = sg_fail(err, SG_ERR_FORMAT,
                     "%s: expected at least one line 'use KEY' or 'admin KEY', found none", path);
    if (text.data)
        memset(text.data, 0, text.size);
    sg_buf_free(&text);
    if (st) {
        sg_keys_free(k);
        return st;
    }
    *out = k;
    return SG_OK;
}

void sg_keys_free(sg_keys *k)
{
    if (k)
        sg_free(k->list);
    sg_free(k);
}

sg_scope sg_keys_scope(const sg_keys *k, const char *text, size_t size)
{
    sg_scope found = SG_SCOPE_OPEN;
    char hex[65];

    hash(hex, text, size);
    for (size_t i = 0; i < k->n; i++) {
        unsigned different = 0;

        for (int j = 0; j < 64; j++)
            different |= (unsigned)(hex[j] ^ k->list[i].hex[j]);
        found = different == 0 && k->list[i].scope > found ? k->list[i].scope : found;
    }
    return found;
}
