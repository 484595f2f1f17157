/* npy.c - the header is read by a small parser of Python literals that knows nothing but what np.save writes. */
#include "text/npy.h"

#include "base/alloc.h"

#include <string.h>

enum { RANK_MAX = 32 };

typedef struct header {
    const char *at, *end;
    char descr[16];
    bool has_descr, has_order, has_shape, fortran;
    int rank;
    uint64_t dim[RANK_MAX];
} header;

static void skip_space(header *h)
{
    while (h->at < h->end && (*h->at == ' ' || *h->at == '\n' || *h->at == '\t' || *h->at == '\r'))
        h->at++;
}

/* Takes the text when it comes next. */
static bool take(header *h, const char *text)
{
    const size_t n = strlen(text);

    skip_space(h);
    if ((size_t)(h->end - h->at) < n || memcmp(h->at, text, n) != 0)
        return false;
    h->at += n;
    return true;
}

/* 'text' or "text" without escapes, up to cap - 1 bytes */
static bool take_string(header *h, char *out, size_t cap)
{
    size_t n = 0;

    skip_space(h);
    if (h->at == h->end || (*h->at != '\'' && *h->at != '"'))
        return false;
    for (const char quote = *h->at++; h->at < h->end; h->at++) {
        if (*h->at == quote) {
            h->at++;
            out[n] = 0;
            return true;
        }
        if (n + 1 == cap || *h->at == '\\')
            return false;
        out[n++] = *h->at;
    }
    return false;
}

static bool take_number(header *h, uint64_t *out)
{
    const char *first;

    skip_space(h);
    *out = 0;
    for (first = h->at; h->at < h->end && *h->at >= '0' && *h->at <= '9'; h->at++)
        if (__builtin_mul_overflow(*out, 10u, out) ||
            __builtin_add_overflow(*out, (uint64_t)(*h->at - '0'), out))
            return false;
    if (h->at == first)
        return false;
    take(h, "L"); /* written by Python 2 */
    return true;
}

static bool take_shape(header *h)
{
    if (!take(h, "("))
        return false;
    for (h->rank = 0; !take(h, ")");) {
        if (h->rank == RANK_MAX || !take_number(h, &h->dim[h->rank]))
            return false;
        h->rank++;
        if (!take(h, ","))
            return take(h, ")");
    }
    return true;
}

static sg_status parse_header(header *h, const char *name, sg_error *err)
{
    char key[32];

    if (!take(h, "{"))
        return sg_fail(err, SG_ERR_FORMAT, "%s: header: expected a Python dict", name);
    while (!take(h, "}")) {
        bool good = take_string(h, key, sizeof key) && take(h, ":");

        if (good && strcmp(key, "descr") == 0) {
            if (take(h, "["))
                return sg_fail(err, SG_ERR_FORMAT,
                               "%s: expected an array of floats, found a structured array", name);
            good = h->has_descr = take_string(h, h->descr, sizeof h->descr);
        } else if (good && strcmp(key, "fortran_order") == 0) {
            h->fortran = take(h, "True");
            good = h->has_order = h->fortran || take(h, "False");
        } else if (good && strcmp(key, "shape") == 0) {
            good = h->has_shape = take_shape(h);
        } else {
            good = false;
        }
        if (!good)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: header: expected 'descr', 'fortran_order' and 'shape' as np.save writes "
                           "them",
                           name);
        if (!take(h, ",")) {
            if (take(h, "}"))
                break;
            return sg_fail(err, SG_ERR_FORMAT, "%s: header: expected ',' or '}'", name);
        }
    }
    skip_space(h);
    if (h->at != h->end || !h->has_descr || !h->has_order || !h->has_shape)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: header: expected 'descr', 'fortran_order' and 'shape', and nothing after", name);
    return SG_OK;
}

static sg_status read_descr(sg_npy *out, const char *descr, const char *name, sg_error *err)
{
    const char order = descr[0];

    if (strchr(descr, 'O'))
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected an array of floats, found pickled Python objects, which could run "
                       "code: save a plain array with np.save(file, array.astype('f4'))",
                       name);
    if ((order != '<' && order != '>' && order != '=' && order != '|') || descr[1] != 'f' ||
        (strcmp(descr + 2, "2") != 0 && strcmp(descr + 2, "4") != 0 && strcmp(descr + 2, "8") != 0))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected floats of 2, 4 or 8 bytes, found dtype '%s'", name,
                       descr);
    out->big_endian = order == '>';
    out->bytes = descr[2] - '0';
    return SG_OK;
}

sg_status sg_npy_parse(sg_npy *out, sg_bytes file, const char *name, sg_error *err)
{
    const unsigned char *b = (const unsigned char *)file.data;
    size_t start, length, need;
    header h = {0};
    sg_status st;

    *out = (sg_npy){0};
    if (file.size < 10 || memcmp(b, "\x93NUMPY", 6) != 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a .npy file, found other first bytes", name);
    if (b[6] < 1 || b[6] > 3)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected .npy version 1, 2 or 3, found %d", name, b[6]);
    start = b[6] == 1 ? 10 : 12;
    length = b[8] | (size_t)b[9] << 8;
    if (b[6] > 1 && file.size >= 12)
        length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (file.size < start || file.size - start < length)
        return sg_fail(err, SG_ERR_FORMAT, "%s: header of %zu bytes is cut short", name, length);
    h.at = file.data + start;
    h.end = h.at + length;
    if ((st = parse_header(&h, name, err)) || (st = read_descr(out, h.descr, name, err)))
        return st;
    if (h.rank != 1 && h.rank != 2)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an array (items, dim), found %d dimensions", name,
                       h.rank);
    out->rows = h.dim[0];
    out->cols = h.rank == 2 ? h.dim[1] : 1;
    out->fortran = h.fortran;
    out->data = h.end;
    if (!sg_mul(&need, out->rows, out->cols) || !sg_mul(&need, need, (size_t)out->bytes) ||
        need != file.size - start - length)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected (%llu, %llu) numbers of %d bytes, found %zu bytes of data", name,
                       (unsigned long long)out->rows, (unsigned long long)out->cols, out->bytes,
                       file.size - start - length);
    return SG_OK;
}

float sg_npy_at(const sg_npy *a, uint64_t row, uint64_t col)
{
    const size_t at = (a->fortran ? col * a->rows + row : row * a->cols + col) * (size_t)a->bytes;
    unsigned char b[8] = {0};
    uint64_t bits = 0;
    uint32_t half;
    double wide;
    float x;

    memcpy(b, a->data + at, (size_t)a->bytes);
    for (int i = 0; i < a->bytes; i++)
        bits |= (uint64_t)b[a->big_endian ? a->bytes - 1 - i : i] << 8 * i;
    if (a->bytes == 2)
        return sg_f16_to_f32((uint16_t)bits);
    if (a->bytes == 8) {
        memcpy(&wide, &bits, sizeof wide);
        return (float)wide;
    }
    half = (uint32_t)bits;
    memcpy(&x, &half, sizeof x);
    return x;
}
