/* bpe.c - symbols in a list, candidate pairs in a heap; a candidate whose symbols have changed since is dropped when met. */
#include "text/bpe.h"

#include "base/utf8.h"

#include <string.h>

typedef struct sg_symbol {
    int32_t id;          /* NO_SYMBOL: merged into the one before */
    uint32_t prev, next; /* NONE at the ends */
} symbol;

typedef struct sg_candidate {
    uint32_t rank, at; /* position of the left symbol */
    int32_t left, right, id;
} candidate;

enum { NO_SYMBOL = -1 };
#define NONE  UINT32_MAX
#define EMPTY UINT64_MAX
/* Symbols that take part in no merge carry their id with this bit. */
#define FIXED (1 << 30)

static size_t slot_of(const sg_bpe *b, uint64_t pair)
{
    return (size_t)((pair * 0x9e3779b97f4a7c15u) >> 36) &
           (b->size - 1); /* upper bits: they depend on both halves */
}

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

size_t sg_bpe_slots(size_t n)
{
    size_t slots = 16;

    while (slots < 2 * n)
        slots *= 2;
    return slots;
}

sg_status sg_bpe_reserve(sg_bpe *b, size_t n, sg_error *err)
{
    b->size = sg_bpe_slots(n);
    if (!(b->merge = sg_alloc_array(b->size, sizeof *b->merge)))
        return sg_fail_memory(err, "merges");
    for (size_t i = 0; i < b->size; i++)
        b->merge[i].pair = EMPTY;
    return SG_OK;
}

void sg_bpe_add(sg_bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    const uint64_t pair = pair_of(left, right);
    size_t i = slot_of(b, pair);

    while (b->merge[i].pair != EMPTY && b->merge[i].pair != pair)
        i = (i + 1) & (b->size - 1);
    b->merge[i] = (sg_merge){pair, rank, id};
}

static const sg_merge *find(const sg_bpe *b, int32_t left, int32_t right)
{
    const uint64_t pair = pair_of(left, right);

    for (size_t i = slot_of(b, pair); b->merge[i].pair != EMPTY; i = (i + 1) & (b->size - 1))
        if (b->merge[i].pair == pair)
            return &b->merge[i];
    return NULL;
}

void sg_bpe_free(sg_bpe *b)
{
    sg_trie_free(&b->fixed);
    sg_buf_free(&b->prefix);
    sg_buf_free(&b->suffix);
    sg_free(b->merge);
    b->merge = NULL;
}

void sg_bpe_scratch_free(sg_bpe_scratch *s)
{
    sg_free(s->symbol);
    sg_free(s->heap);
    sg_buf_free(&s->key);
    *s = (sg_bpe_scratch){0};
}

/* ---- the heap: least rank first, then least position ------------------------------------------------------------------ */
static bool sooner(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void sink_down(candidate *heap, size_t n, size_t i)
{
    const candidate c = heap[i];

    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && sooner(&heap[child + 1], &heap[child]))
            child++;
        if (!sooner(&heap[child], &c))
            break;
        heap[i] = heap[child];
    }
    heap[i] = c;
}

static void rise(candidate *heap, size_t i)
{
    const candidate c = heap[i];

    for (size_t parent; i && (parent = (i - 1) / 2, sooner(&c, &heap[parent])); i = parent)
        heap[i] = heap[parent];
    heap[i] = c;
}

/* ---- symbols ------------------------------------------------------------------------------------------------------------ */
typedef struct run { /* the symbols so far */
    sg_bpe_scratch *scratch;
    size_t n;
    bool unknown; /* an unknown symbol waits to be added */
    bool failed;
} run;

static void add_symbol(run *r, int32_t id)
{
    if (!sg_grow(&r->scratch->symbol, &r->scratch->cap_symbol, r->n + 1, sizeof(symbol))) {
        r->failed = true;
        return;
    }
    r->scratch->symbol[r->n++].id = id;
}

static void add_unknown(run *r, const sg_bpe *b)
{
    if (r->unknown)
        add_symbol(r, b->unknown);
    r->unknown = false;
}

static int32_t find_character(const sg_bpe *b, sg_buf *key, const char *s, size_t size, bool first, bool last)
{
    if ((first || !b->prefix.size) && (!last || !b->suffix.size))
        return sg_trie_find(b->token, s, size);
    key->size = 0;
    if (!first)
        sg_buf_add(key, b->prefix.data, b->prefix.size);
    sg_buf_add(key, s, size);
    if (last)
        sg_buf_add(key, b->suffix.data, b->suffix.size);
    return sg_trie_find(b->token, key->data, key->size);
}

static bool has_bytes(const sg_bpe *b, const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (b->byte_id[(unsigned char)s[i]] < 0)
            return false;
    return true;
}

/* One character of the piece s (size), at `at`; returns its bytes. */
static size_t add_character(run *r, const sg_bpe *b, const char *s, size_t size, size_t at)
{
    size_t n;
    int32_t id;

    if (b->fixed.nodes && (id = sg_trie_longest(&b->fixed, s + at, size - at, &n)) >= 0) {
        add_unknown(r, b);
        add_symbol(r, id | FIXED);
        return n;
    }
    n = sg_utf8_bytes(s[at]);
    if ((id = find_character(b, &r->scratch->key, s + at, n, at == 0, at + n == size)) >= 0) {
        add_unknown(r, b);
        add_symbol(r, id);
    } else if (b->fall_back && has_bytes(b, s + at, n)) {
        for (size_t i = 0; i < n; i++)
            add_symbol(r, b->byte_id[(unsigned char)s[at + i]]);
    } else if (b->unknown >= 0) {
        if (!b->fuse_unknown)
            add_unknown(r, b);
        r->unknown = true;
    }
    return n;
}

static void consider(run *r, const sg_bpe *b, size_t *n_heap, uint32_t left, uint32_t right)
{
    const symbol *s = r->scratch->symbol;
    const sg_merge *m = find(b, s[left].id, s[right].id);

    if (!m)
        return;
    if (!sg_grow(&r->scratch->heap, &r->scratch->cap_heap, *n_heap + 1, sizeof(candidate))) {
        r->failed = true;
        return;
    }
    r->scratch->heap[*n_heap] = (candidate){m->rank, left, s[left].id, s[right].id, m->id};
    ++*n_heap;
}

static void merge_all(run *r, const sg_bpe *b)
{
    symbol *s = r->scratch->symbol;
    const uint32_t n = (uint32_t)r->n;
    size_t n_heap = 0;

    for (uint32_t i = 0; i < n; i++) {
        s[i].prev = i ? i - 1 : NONE;
        s[i].next = i + 1 < n ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i + 1 < n; i++)
        consider(r, b, &n_heap, i, i + 1);
    for (size_t i = n_heap / 2; i-- > 0;)
        sink_down(r->scratch->heap, n_heap, i);
    while (n_heap && !r->failed) {
        const candidate c = r->scratch->heap[0];
        const uint32_t right = s[c.at].next;

        r->scratch->heap[0] = r->scratch->heap[--n_heap];
        if (n_heap)
            sink_down(r->scratch->heap, n_heap, 0);
        if (s[c.at].id != c.left || right == NONE || s[right].id != c.right)
            continue;
        s[c.at].id = c.id;
        s[right].id = NO_SYMBOL;
        if ((s[c.at].next = s[right].next) != NONE)
            s[s[right].next].prev = c.at;
        for (int side = 0; side < 2; side++) {
            const uint32_t at = side ? c.at : s[c.at].prev;
            const size_t before = n_heap;

            if (at == NONE || s[at].next == NONE)
                continue;
            consider(r, b, &n_heap, at, s[at].next);
            if (n_heap > before)
                rise(r->scratch->heap, before);
        }
    }
}

bool sg_bpe_encode(sg_token_ids *out, const sg_bpe *b, sg_bpe_scratch *scratch, const char *text, size_t size)
{
    run r = {.scratch = scratch};
    int32_t id;

    scratch->key.failed = false; /* by a piece before this one */
    if (b->whole_first && (id = sg_trie_find(b->token, text, size)) >= 0)
        return sg_token_ids_add(out, id);
    if (b->bytes) {
        for (size_t i = 0; i < size; i++)
            if ((id = b->byte_id[(unsigned char)text[i]]) >= 0)
                add_symbol(&r, id);
            else if (b->unknown >= 0)
                add_symbol(&r, b->unknown);
    } else {
        for (size_t i = 0; i < size;)
            i += add_character(&r, b, text, size, i);
        add_unknown(&r, b);
    }
    if (r.failed || scratch->key.failed)
        return false;
    merge_all(&r, b);
    for (uint32_t i = 0; i < r.n && !r.failed; i = scratch->symbol[i].next)
        r.failed = !sg_token_ids_add(out, scratch->symbol[i].id & ~FIXED);
    return !r.failed;
}
