/* gguf.c - reading. Strings and elements stay where they are in the file; decoding of blocks is in gguf_decode.c. */
#include "file/gguf.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    NESTED_MAX = 8,
    KEY_MAX = 65535,
    NAME_MAX_BYTES = 1024,
    NAME_SHOWN = 200,
    COUNT_MAX = 1 << 16 /* key-values, and tensors: files of the largest models have some thousands */,
    NAMES_MAX = 8 << 20
};

struct sg_gguf {
    char *name;             /* owned */
    sg_map map;             /* of a file opened here */
    sg_buf block;           /* keys and names, each with its 0 byte */
    sg_gguf_value *value;   /* owned, by key */
    sg_gguf_tensor *tensor; /* owned, by name */
    size_t n_values, n_tensors;
};

typedef struct cursor {
    const char *p, *end;
} cursor;

void sg_gguf_close(sg_gguf *g)
{
    if (!g)
        return;
    sg_buf_free(&g->block);
    sg_free(g->value);
    sg_free(g->tensor);
    sg_map_close(&g->map);
    sg_free(g->name);
    sg_free(g);
}

const char *sg_gguf_name(const sg_gguf *g)
{
    return g->name;
}

static size_t left(const cursor *c)
{
    return (size_t)(c->end - c->p);
}

static uint64_t little(const char *p, size_t bytes)
{
    uint64_t x = 0;

    for (size_t i = bytes; i-- > 0;)
        x = x << 8 | (unsigned char)p[i];
    return x;
}

static bool take(cursor *c, uint64_t *out, size_t bytes)
{
    if (left(c) < bytes)
        return false;
    *out = little(c->p, bytes);
    c->p += bytes;
    return true;
}

static bool take_string(cursor *c, sg_bytes *out)
{
    uint64_t size;

    if (!take(c, &size, 8) || size > left(c))
        return false;
    *out = (sg_bytes){c->p, (size_t)size};
    c->p += size;
    return true;
}

/* Bytes of an element of fixed size, 0: a string or an array. */
static size_t kind_bytes(uint64_t kind)
{
    static const unsigned char bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

    return kind < sizeof bytes ? bytes[kind] : 0;
}

/* ---- key-values ------------------------------------------------------------------------------------------------------------- */
/* Past `count` elements; an array within an array is an element. */
static bool skip(cursor *c, uint64_t kind, uint64_t count, int depth)
{
    const size_t each = kind_bytes(kind);
    uint64_t inner, n;
    sg_bytes s;

    if (each) {
        if (count > left(c) / each)
            return false;
        c->p += count * each;
        return true;
    }
    for (uint64_t i = 0; i < count; i++) {
        if (kind == SG_GGUF_STRING) {
            if (!take_string(c, &s))
                return false;
        } else if (kind != SG_GGUF_ARRAY || depth == NESTED_MAX || !take(c, &inner, 4) || !take(c, &n, 8) ||
                   !skip(c, inner, n, depth + 1)) {
            return false;
        }
    }
    return true;
}

static sg_status keep_name(sg_gguf *g, sg_bytes s, const char *what, sg_error *err)
{
    if (!s.size || memchr(s.data, 0, s.size) || !sg_utf8_valid(s.data, s.size))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected %s in UTF-8", g->name, what);
    if (g->block.size + s.size >= NAMES_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected keys and names of at most %d bytes", g->name,
                       NAMES_MAX);
    sg_buf_add(&g->block, s.data, s.size);
    sg_buf_putc(&g->block, 0);
    return g->block.failed ? sg_fail_memory(err, g->name) : SG_OK;
}

static sg_status read_value(sg_gguf *g, sg_gguf_value *v, cursor *c, sg_error *err)
{
    uint64_t kind, count = 1;
    sg_bytes key;
    sg_status st;

    if (!take_string(c, &key) || key.size > KEY_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: key-value %zu: the key is cut short or too long", g->name,
                       g->n_values);
    if ((st = keep_name(g, key, "a key", err)))
        return st;
    if (!take(c, &kind, 4) || kind > SG_GGUF_F64)
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%.*s': expected a known type of value", g->name, NAME_SHOWN,
                       g->block.data + g->block.size - key.size - 1);
    v->array = kind == SG_GGUF_ARRAY;
    if (v->array && (!take(c, &kind, 4) || kind > SG_GGUF_F64 || !take(c, &count, 8)))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%.*s': expected an array", g->name, NAME_SHOWN,
                       g->block.data + g->block.size - key.size - 1);
    v->kind = (sg_gguf_kind)kind;
    v->count = (size_t)count;
    v->data = c->p;
    /* an empty array of arrays takes no bytes: its count must not be believed either */
    if (!skip(c, kind, count, 0) || count > (uint64_t)(c->end - v->data))
        return sg_fail(err, SG_ERR_FORMAT, "%s: '%.*s': the value is cut short", g->name, NAME_SHOWN,
                       g->block.data + g->block.size - key.size - 1);
    v->bytes = (size_t)(c->p - v->data);
    return SG_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const sg_gguf_value *)a)->key, ((const sg_gguf_value *)b)->key);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const sg_gguf_tensor *)a)->name, ((const sg_gguf_tensor *)b)->name);
}

static int key_of(const void *key, const void *v)
{
    return strcmp(key, ((const sg_gguf_value *)v)->key);
}

static int name_of(const void *name, const void *t)
{
    return strcmp(name, ((const sg_gguf_tensor *)t)->name);
}

const char *sg_gguf_kind_name(sg_gguf_kind kind)
{
    static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};

    return names[kind];
}

size_t sg_gguf_values(const sg_gguf *g)
{
    return g->n_values;
}

const sg_gguf_value *sg_gguf_value_at(const sg_gguf *g, size_t i)
{
    return &g->value[i];
}

const sg_gguf_value *sg_gguf_find(const sg_gguf *g, const char *key)
{
    return bsearch(key, g->value, g->n_values, sizeof *g->value, key_of);
}

bool sg_gguf_number(double *out, const sg_gguf_value *v, size_t i)
{
    const size_t each = v ? kind_bytes(v->kind) : 0;
    uint64_t bits;
    uint32_t half;
    float single;

    *out = 0;
    if (!each || i >= v->count)
        return false;
    bits = little(v->data + i * each, each);
    switch (v->kind) {
    case SG_GGUF_I8:
        *out = (int8_t)bits;
        break;
    case SG_GGUF_I16:
        *out = (int16_t)bits;
        break;
    case SG_GGUF_I32:
        *out = (int32_t)bits;
        break;
    case SG_GGUF_I64:
        *out = (double)(int64_t)bits;
        break;
    case SG_GGUF_F32:
        half = (uint32_t)bits;
        memcpy(&single, &half, sizeof single);
        *out = single;
        break;
    case SG_GGUF_F64:
        memcpy(out, &bits, sizeof *out);
        break;
    default:
        *out = (double)bits;
        break;
    }
    return true;
}

bool sg_gguf_strings(sg_bytes *out, size_t n, const sg_gguf_value *v)
{
    cursor c;

    if (!v || v->kind != SG_GGUF_STRING || n > v->count)
        return false;
    c = (cursor){v->data, v->data + v->bytes};
    for (size_t i = 0; i < n; i++)
        if (!take_string(&c, &out[i]))
            return false;
    return true;
}

sg_bytes sg_gguf_string(const sg_gguf *g, const char *key)
{
    const sg_gguf_value *v = sg_gguf_find(g, key);
    sg_bytes s = {"", 0};

    if (v && !v->array)
        sg_gguf_strings(&s, 1, v);
    return s;
}

double sg_gguf_number_or(const sg_gguf *g, const char *key, double otherwise)
{
    const sg_gguf_value *v = sg_gguf_find(g, key);
    double x;

    return v && !v->array && sg_gguf_number(&x, v, 0) ? x : otherwise;
}

/* ---- tensors -------------------------------------------------------------------------------------------------------------------- */
static const struct {
    const char *name;
    unsigned short values, bytes; /* of a block; 0: only the name is known */
} types[] = {
    [0] = {"F32", 1, 4},       [1] = {"F16", 1, 2},     [2] = {"Q4_0", 32, 18},    [3] = {"Q4_1", 32, 20},
    [6] = {"Q5_0", 32, 22},    [7] = {"Q5_1", 32, 24},  [8] = {"Q8_0", 32, 34},    [9] = {"Q8_1", 0, 0},
    [10] = {"Q2_K", 0, 0},     [11] = {"Q3_K", 0, 0},   [12] = {"Q4_K", 256, 144}, [13] = {"Q5_K", 256, 176},
    [14] = {"Q6_K", 256, 210}, [15] = {"Q8_K", 0, 0},   [16] = {"IQ2_XXS", 0, 0},  [17] = {"IQ2_XS", 0, 0},
    [18] = {"IQ3_XXS", 0, 0},  [19] = {"IQ1_S", 0, 0},  [20] = {"IQ4_NL", 0, 0},   [21] = {"IQ3_S", 0, 0},
    [22] = {"IQ2_S", 0, 0},    [23] = {"IQ4_XS", 0, 0}, [24] = {"I8", 0, 0},       [25] = {"I16", 0, 0},
    [26] = {"I32", 0, 0},      [27] = {"I64", 0, 0},    [28] = {"F64", 0, 0},      [29] = {"IQ1_M", 0, 0},
    [30] = {"BF16", 1, 2},     [34] = {"TQ1_0", 0, 0},  [35] = {"TQ2_0", 0, 0},    [39] = {"MXFP4", 0, 0},
};

enum { N_TYPES = sizeof types / sizeof *types };

const char *sg_gguf_type_name(int type)
{
    return type >= 0 && type < N_TYPES && types[type].name ? types[type].name : "unknown";
}

size_t sg_gguf_block(int type)
{
    return type >= 0 && type < N_TYPES ? types[type].values : 0;
}

static sg_status read_tensor(sg_gguf *g, sg_gguf_tensor *t, uint64_t *offset, cursor *c, sg_error *err)
{
    uint64_t rank, type;
    sg_bytes name;
    sg_status st;

    if (!take_string(c, &name) || name.size > NAME_MAX_BYTES)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor %zu: the name is cut short or too long", g->name,
                       g->n_tensors);
    if ((st = keep_name(g, name, "a tensor's name", err)))
        return st;
    const char *shown = g->block.data + g->block.size - name.size - 1;
    if (!take(c, &rank, 4) || rank > SG_GGUF_RANK_MAX)
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': expected at most %d dimensions", g->name,
                       NAME_SHOWN, shown, SG_GGUF_RANK_MAX);
    t->rank = (int)rank;
    t->count = 1;
    for (int i = 0; i < t->rank; i++)
        if (!take(c, &t->dim[i], 8) || t->dim[i] > SIZE_MAX ||
            !sg_mul(&t->count, t->count, (size_t)t->dim[i]))
            return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': the shape is cut short or too large",
                           g->name, NAME_SHOWN, shown);
    if (!take(c, &type, 4) || !take(c, offset, 8))
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': type and place are cut short", g->name,
                       NAME_SHOWN, shown);
    t->type = type < N_TYPES ? (int)type : -1;
    const size_t block = sg_gguf_block(t->type);
    if (!block)
        return SG_OK;
    if (t->rank ? t->dim[0] % block : block > 1)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: tensor '%.*s': expected rows of a multiple of %zu values for %s", g->name,
                       NAME_SHOWN, shown, block, types[t->type].name);
    if (!sg_mul(&t->bytes, t->count / block, types[t->type].bytes))
        return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s': the shape is too large", g->name, NAME_SHOWN,
                       shown);
    return SG_OK;
}

typedef struct header {
    uint64_t n_tensors, n_values;
} header;

static sg_status read_header(header *h, const sg_gguf *g, cursor *c, sg_error *err)
{
    uint64_t version;

    if (left(c) < 4 || memcmp(c->p, "GGUF", 4) != 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a GGUF file", g->name);
    c->p += 4;
    if (!take(c, &version, 4))
        return sg_fail(err, SG_ERR_FORMAT, "%s: the header is cut short", g->name);
    if (version == 0x02000000 || version == 0x03000000)
        return sg_fail(err, SG_ERR_FORMAT, "%s: big-endian GGUF files are not supported", g->name);
    if (version != 2 && version != 3)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected GGUF version 2 or 3, found %u", g->name,
                       (unsigned)version);
    if (!take(c, &h->n_tensors, 8) || !take(c, &h->n_values, 8))
        return sg_fail(err, SG_ERR_FORMAT, "%s: the header is cut short", g->name);
    /* the least a key-value or a tensor takes, so that counts cannot ask for memory the file does not stand for */
    if (h->n_values > left(c) / 13 || h->n_tensors > left(c) / 24)
        return sg_fail(err, SG_ERR_FORMAT, "%s: the header counts more than the file can hold", g->name);
    if (h->n_values > COUNT_MAX || h->n_tensors > COUNT_MAX)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: expected at most %d key-values and tensors, found %" PRIu64 " and %" PRIu64,
                       g->name, COUNT_MAX, h->n_values, h->n_tensors);
    return SG_OK;
}

static sg_status read_values(sg_gguf *g, const header *h, cursor *c, sg_error *err)
{
    sg_status st;

    if (!(g->value = sg_alloc_zero((size_t)h->n_values, sizeof *g->value)))
        return sg_fail_memory(err, g->name);
    for (; g->n_values < h->n_values; g->n_values++)
        if ((st = read_value(g, &g->value[g->n_values], c, err)))
            return st;
    return SG_OK;
}

static sg_status read_tensors(sg_gguf *g, const header *h, uint64_t *offset, cursor *c, sg_error *err)
{
    sg_status st;

    if (!(g->tensor = sg_alloc_zero((size_t)h->n_tensors, sizeof *g->tensor)))
        return sg_fail_memory(err, g->name);
    for (; g->n_tensors < h->n_tensors; g->n_tensors++)
        if ((st = read_tensor(g, &g->tensor[g->n_tensors], &offset[g->n_tensors], c, err)))
            return st;
    return SG_OK;
}

/* Keys and names lie one after the other in the block, in the order read. */
static void set_names(sg_gguf *g)
{
    const char *at = g->block.data;

    for (size_t i = 0; i < g->n_values; i++, at += strlen(at) + 1)
        g->value[i].key = at;
    for (size_t i = 0; i < g->n_tensors; i++, at += strlen(at) + 1)
        g->tensor[i].name = at;
}

static sg_status place_data(sg_gguf *g, const uint64_t *offset, sg_bytes file, const char *infos_end,
                            sg_error *err)
{
    const double wanted = sg_gguf_number_or(g, "general.alignment", 32);
    size_t start = (size_t)(infos_end - file.data);

    if (!(wanted >= 8 && wanted <= 1 << 20 && (uint64_t)wanted % 8 == 0))
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected an alignment that is a multiple of 8, found %g",
                       g->name, wanted);
    const size_t alignment = (size_t)wanted;
    start = (start + alignment - 1) / alignment * alignment;
    for (size_t i = 0; i < g->n_tensors; i++) {
        sg_gguf_tensor *t = &g->tensor[i];

        if (offset[i] % alignment)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor '%.*s': expected a place that is a multiple of %zu", g->name,
                           NAME_SHOWN, t->name, alignment);
        if (!sg_gguf_block(t->type))
            continue;
        if (start > file.size ? t->bytes > 0
                              : offset[i] > file.size - start || t->bytes > file.size - start - offset[i])
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: tensor '%.*s': its %zu bytes reach past the end of the file", g->name,
                           NAME_SHOWN, t->name, t->bytes);
        t->data = start > file.size ? file.data : file.data + start + offset[i];
    }
    return SG_OK;
}

static sg_status check_twins(const sg_gguf *g, sg_error *err)
{
    for (size_t i = 1; i < g->n_tensors; i++)
        if (strcmp(g->tensor[i - 1].name, g->tensor[i].name) == 0)
            return sg_fail(err, SG_ERR_FORMAT, "%s: tensor '%.*s' occurs twice", g->name, NAME_SHOWN,
                           g->tensor[i].name);
    return SG_OK;
}

static sg_status parse(sg_gguf *g, sg_bytes file, sg_error *err)
{
    cursor c = {file.data, file.data + file.size};
    uint64_t *offset = NULL;
    header h = {0};
    sg_status st;

    if ((st = read_header(&h, g, &c, err)))
        return st;
    if (!(offset = sg_alloc_array((size_t)h.n_tensors, sizeof *offset)))
        return sg_fail_memory(err, g->name);
    if ((st = read_values(g, &h, &c, err)) || (st = read_tensors(g, &h, offset, &c, err)))
        goto done;
    set_names(g);
    qsort(g->value, g->n_values, sizeof *g->value, by_key);
    for (size_t i = 1; i < g->n_values && !st; i++)
        if (strcmp(g->value[i - 1].key, g->value[i].key) == 0)
            st = sg_fail(err, SG_ERR_FORMAT, "%s: key '%.*s' occurs twice", g->name, NAME_SHOWN,
                         g->value[i].key);
    if (st || (st = place_data(g, offset, file, c.p, err)))
        goto done;
    qsort(g->tensor, g->n_tensors, sizeof *g->tensor, by_name);
    st = check_twins(g, err);
done:
    sg_free(offset);
    return st;
}

static sg_status gguf_new(sg_gguf **out, const char *name, sg_error *err)
{
    sg_gguf *g = sg_alloc_zero(1, sizeof *g);

    *out = NULL;
    if (!g || !(g->name = sg_strdup(name))) {
        sg_free(g);
        return sg_fail_memory(err, name);
    }
    *out = g;
    return SG_OK;
}

sg_status sg_gguf_parse(sg_gguf **out, sg_bytes file, const char *name, sg_error *err)
{
    sg_gguf *g = NULL;
    sg_status st;

    *out = NULL;
    if ((st = gguf_new(&g, name, err)) || (st = parse(g, file, err))) {
        sg_gguf_close(g);
        return st;
    }
    *out = g;
    return SG_OK;
}

sg_status sg_gguf_open(sg_gguf **out, const char *path, sg_error *err)
{
    sg_gguf *g = NULL;
    sg_status st;

    *out = NULL;
    if ((st = gguf_new(&g, path, err)) || (st = sg_map_open(&g->map, path, err)) ||
        (st = parse(g, (sg_bytes){g->map.data, g->map.size}, err))) {
        sg_gguf_close(g);
        return st;
    }
    *out = g;
    return SG_OK;
}

sg_status sg_gguf_detect(bool *is, const char *path, sg_error *err)
{
    sg_map map;
    const sg_status st = sg_map_open(&map, path, err);

    *is = !st && map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    if (!st)
        sg_map_close(&map);
    return st;
}

size_t sg_gguf_count(const sg_gguf *g)
{
    return g->n_tensors;
}

const sg_gguf_tensor *sg_gguf_at(const sg_gguf *g, size_t i)
{
    return &g->tensor[i];
}

const sg_gguf_tensor *sg_gguf_tensor_find(const sg_gguf *g, const char *name)
{
    return bsearch(name, g->tensor, g->n_tensors, sizeof *g->tensor, name_of);
}
