/* fm.c - reading the FM-index: open with everything checked, then backward search over a wavelet matrix.
 *
 * Symbols lie in planes of bits, highest first; a plane is in the order of a stable sort by the planes above, so two
 * ranks take a range of rows to the range of its zeros or ones in the next plane.     [Claude, Navarro, Ordonez 2015] */
#include "index/fm_image.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* Ranks count bits, and gcc turns sg_bits_count into one instruction where the machine has it: these functions exist twice,
 * and the loader takes the one that fits. (Not under sanitizers, which start later than the loader asks.) */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&     \
    !defined(__SANITIZE_THREAD__)
#define WITH_POPCNT __attribute__((target_clones("popcnt", "default")))
#else
#define WITH_POPCNT
#endif

/* ---- bit vectors --------------------------------------------------------------------------------------- */

/* Ones in bits from .. to - 1 of a line, counted from its first word. */
static inline uint32_t count_line(const uint64_t *line, uint32_t from, uint32_t to)
{
    uint32_t sum = 0;

    for (uint32_t k = from / 64; k * 64 < to; k++) {
        uint64_t w = line[k];

        if (k == from / 64)
            w &= ~UINT64_C(0) << from % 64;
        if (to - k * 64 < 64)
            w &= (UINT64_C(1) << to % 64) - 1;
        sum += sg_bits_count(w);
    }
    return sum;
}

static inline uint32_t rank(const uint64_t *v, uint32_t i)
{
    const uint64_t *line = v + (size_t)(i / SG_FM_LINE) * 8;

    return (uint32_t)line[0] + count_line(line, 32, i % SG_FM_LINE + 32);
}

uint32_t sg_fm_rank(const uint64_t *v, uint32_t i)
{
    return rank(v, i);
}

/* Both ends of a range; most are short and lie in one line. */
static inline sg_fm_range rank_range(const uint64_t *v, sg_fm_range r)
{
    const uint32_t first = rank(v, r.first);

    if (r.first / SG_FM_LINE != r.last / SG_FM_LINE)
        return (sg_fm_range){first, rank(v, r.last)};
    return (sg_fm_range){first, first + count_line(v + (size_t)(r.first / SG_FM_LINE) * 8,
                                                   r.first % SG_FM_LINE + 32, r.last % SG_FM_LINE + 32)};
}

/* ---- the image ----------------------------------------------------------------------------------------- */

static const void *place(const char *image, size_t *at, size_t bytes)
{
    const char *here = image ? image + *at : NULL;

    *at += (bytes + 63) & ~(size_t)63;
    return here;
}

bool sg_fm_place(sg_fm *f, const sg_fm_header *h, const char *image)
{
    const size_t line_bytes = sg_fm_line_words(h->n) * sizeof(uint64_t);
    size_t at = sizeof *h;

    if ((uint64_t)h->n * 8 + (uint64_t)h->symbols * 8 + (1u << 20) > SIZE_MAX / 2) /* 32-bit machines */
        return false;
    *f = (sg_fm){.n = h->n,
                 .n_items = h->n_items,
                 .symbols = h->symbols,
                 .step = h->step,
                 .levels = (int)h->levels,
                 .image = image,
                 .owned = f->owned,
                 .map = f->map};
    f->before = place(image, &at, ((size_t)h->symbols + 1) * sizeof *f->before);
    f->base = place(image, &at, (size_t)h->symbols * sizeof *f->base);
    for (int l = 0; l < f->levels; l++)
        f->plane[l] = place(image, &at, line_bytes);
    f->marked = place(image, &at, line_bytes);
    f->starts = place(image, &at, line_bytes);
    f->sample = place(image, &at, ((size_t)(h->n - 1) / h->step + 1) * sizeof *f->sample);
    f->bytes = at;
    return true;
}

static sg_status check_header(const sg_fm_header *h, size_t bytes, const char *name, sg_error *err)
{
    int levels = 1;

    if (bytes < sizeof *h || memcmp(h->magic, SG_FM_MAGIC, sizeof h->magic) != 0)
        return sg_fail(err, SG_ERR_FORMAT, "%s: not an FM-index", name);
    if (h->version != SG_FM_VERSION)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected FM-index version %d, found %u", name, SG_FM_VERSION,
                       h->version);
    if (h->symbols < SG_FM_FIRST_TOKEN + 1 || h->symbols > SG_FM_TOKENS_MAX + SG_FM_FIRST_TOKEN ||
        h->n_items < 1 || h->n > INT32_MAX || h->n_items >= h->n || h->step < 1 || h->step > SG_FM_STEP_MAX)
        return sg_fail(err, SG_ERR_FORMAT,
                       "%s: %u items, %u symbols, %u places, one kept in %u: out of range", name, h->n_items,
                       h->symbols, h->n, h->step);
    while (h->symbols > UINT32_C(1) << levels)
        levels++;
    if (h->levels != (uint32_t)levels)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected %d planes, found %u", name, levels, h->levels);
    for (size_t i = 0; i < sizeof h->zero / sizeof *h->zero; i++)
        if (h->zero[i])
            return sg_fail(err, SG_ERR_FORMAT, "%s: header is not zero where it should be", name);
    return SG_OK;
}

/* Counts are those of the bits, and there are no bits past the end. */
static bool vector_is_sound(const uint64_t *v, uint32_t n)
{
    uint32_t ones = 0;

    for (uint32_t line = 0; line <= n / SG_FM_LINE; line++, v += 8) {
        const uint32_t here = n - line * SG_FM_LINE < SG_FM_LINE ? n - line * SG_FM_LINE : SG_FM_LINE;

        if ((uint32_t)v[0] != ones || count_line(v, 32 + here, 512) != 0)
            return false;
        ones += count_line(v, 32, 32 + here);
    }
    return true;
}

/* Rows move inside the index: `before` and `base` are what the planes say. */
static bool symbols_are_sound(const sg_fm *f)
{
    if (f->before[0] != 0 || f->before[f->symbols] != f->n || f->before[1] != 1 ||
        f->before[2] != f->n_items + 1)
        return false;
    for (uint32_t c = 0; c < f->symbols; c++) {
        const sg_fm_range r = sg_fm_descend(f, (sg_fm_range){0, f->n}, c);

        if (f->before[c + 1] < f->before[c] || r.last - r.first != f->before[c + 1] - f->before[c] ||
            r.first != f->base[c])
            return false;
    }
    return true;
}

static sg_status check_image(sg_fm *f, const char *name, sg_error *err)
{
    const uint32_t kept = (f->n - 1) / f->step + 1;

    for (int l = 0; l < f->levels; l++) {
        if (!vector_is_sound(f->plane[l], f->n))
            return sg_fail(err, SG_ERR_FORMAT, "%s: plane %d: counts do not fit its bits", name, l + 1);
        f->zeros[l] = f->n - sg_fm_rank(f->plane[l], f->n);
    }
    if (!vector_is_sound(f->marked, f->n) || !vector_is_sound(f->starts, f->n) ||
        sg_fm_rank(f->marked, f->n) != kept || sg_fm_rank(f->starts, f->n) != f->n_items ||
        !sg_fm_bit(f->starts, 0))
        return sg_fail(err, SG_ERR_FORMAT, "%s: marked rows or starts of items do not fit their number",
                       name);
    for (uint32_t i = 0; i < kept; i++)
        if (f->sample[i] >= kept)
            return sg_fail(err, SG_ERR_FORMAT, "%s: a kept place lies outside the text", name);
    if (!symbols_are_sound(f))
        return sg_fail(err, SG_ERR_FORMAT, "%s: counts of symbols do not fit the planes", name);
    return SG_OK;
}

static sg_status adopt(sg_fm *f, sg_bytes file, const char *name, sg_error *err)
{
    const sg_fm_header *h = (const void *)file.data;
    sg_status st;

    if ((st = check_header(h, file.size, name, err)))
        return st;
    if (!sg_fm_place(f, h, file.data))
        return sg_fail(err, SG_ERR_MEMORY, "%s: too large for this machine", name);
    if (f->bytes != file.size)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected %zu bytes, found %zu", name, f->bytes, file.size);
    if (sg_image_checksum(file.data, file.size) != h->checksum)
        return sg_fail(err, SG_ERR_FORMAT, "%s: checksum does not match: the file is damaged", name);
    return check_image(f, name, err);
}

sg_status sg_fm_parse(sg_fm **out, sg_bytes file, const char *name, sg_error *err)
{
    sg_fm *f = sg_alloc_zero(1, sizeof *f);
    sg_status st;

    *out = NULL;
    if (!f)
        return sg_fail_memory(err, "FM-index");
    if ((uintptr_t)file.data % 8 != 0) {
        if (!(f->owned = sg_alloc(file.size))) {
            sg_free(f);
            return sg_fail_memory(err, "FM-index");
        }
        memcpy(f->owned, file.data, file.size);
        file.data = f->owned;
    }
    if ((st = adopt(f, file, name, err)) || (st = sg_fm_list_frequent(f, err))) {
        sg_fm_free(f);
        return st;
    }
    *out = f;
    return SG_OK;
}

sg_status sg_fm_open(sg_fm **out, const char *path, sg_error *err)
{
    sg_map map;
    sg_status st;

    *out = NULL;
    if ((st = sg_map_open(&map, path, err)))
        return st;
    if ((st = sg_fm_parse(out, (sg_bytes){map.data, map.size}, path, err)))
        sg_map_close(&map);
    else
        (*out)->map = map;
    return st;
}

sg_status sg_fm_save(const sg_fm *f, const char *path, sg_error *err)
{
    return sg_file_write(path, f->image, f->bytes, err);
}

void sg_fm_free(sg_fm *f)
{
    if (!f)
        return;
    if (f->map.data)
        sg_map_close(&f->map);
    sg_free(f->owned);
    sg_free(f->list);
    sg_free(f->listed);
    sg_free(f);
}

int32_t sg_fm_items(const sg_fm *f)
{
    return (int32_t)f->n_items;
}

int32_t sg_fm_tokens(const sg_fm *f)
{
    return (int32_t)(f->symbols - SG_FM_FIRST_TOKEN);
}

size_t sg_fm_bytes(const sg_fm *f)
{
    return f->bytes;
}

size_t sg_fm_memory(const sg_fm *f)
{
    return f->bytes + f->n_lists * sizeof *f->list + f->n_listed * sizeof *f->listed;
}

/* ---- search -------------------------------------------------------------------------------------------- */

WITH_POPCNT
sg_fm_range sg_fm_descend(const sg_fm *f, sg_fm_range r, uint32_t c)
{
    for (int l = 0; l < f->levels; l++) {
        const sg_fm_range ones = rank_range(f->plane[l], r);

        if (c >> (f->levels - 1 - l) & 1)
            r = (sg_fm_range){f->zeros[l] + ones.first, f->zeros[l] + ones.last};
        else
            r = (sg_fm_range){r.first - ones.first, r.last - ones.last};
    }
    return r;
}

/* From places of c in the last row of the matrix to rows whose suffix begins with it. */
static sg_fm_range rows_of(const sg_fm *f, sg_fm_range r, uint32_t c)
{
    return (sg_fm_range){r.first - f->base[c] + f->before[c], r.last - f->base[c] + f->before[c]};
}

sg_fm_range sg_fm_anywhere(const sg_fm *f)
{
    return (sg_fm_range){0, f->n};
}

sg_fm_range sg_fm_at_start(const sg_fm *f)
{
    return (sg_fm_range){f->before[1], f->before[2]};
}

sg_fm_range sg_fm_extend(const sg_fm *f, sg_fm_range r, int32_t token)
{
    if (token < 0 || token >= sg_fm_tokens(f) || r.first >= r.last)
        return (sg_fm_range){0, 0};

    const uint32_t c = (uint32_t)token + SG_FM_FIRST_TOKEN;

    if (r.last - r.first == f->n)
        return (sg_fm_range){f->before[c], f->before[c + 1]};
    return rows_of(f, sg_fm_descend(f, r, c), c);
}

typedef struct listing {
    const sg_fm *f;
    sg_fm_next *next;
    int32_t most, n;
    uint32_t ends;
} listing;

static void put_symbol(listing *w, sg_fm_range r, uint32_t c)
{
    if (c < SG_FM_FIRST_TOKEN) { /* the last item ends before the first mark, that is at the end symbol */
        w->ends += r.last - r.first;
        return;
    }
    if (w->n < w->most)
        w->next[w->n] = (sg_fm_next){(int32_t)(c - SG_FM_FIRST_TOKEN), rows_of(w->f, r, c)};
    w->n++;
}

/* Listing goes through the planes in blocks: all ranges of a block take one step down together. They do not depend on each other, so the
 * processor waits for many lines of memory at once; a block that has grown is cut in two, and scratch stays small. */
enum { BLOCK = 128 };

typedef struct part { /* the places of all symbols that begin with these bits */
    sg_fm_range range;
    uint32_t bits;
} part;

/* Parts of one level to those of the next, in order, at most twice as many. RANGE: rank_range for some machine. */
#define STEP_DOWN(RANGE)                                                                                     \
    int m = 0;                                                                                               \
                                                                                                             \
    for (int i = 0; i < n; i++) {                                                                            \
        const sg_fm_range r = in[i].range, ones = RANGE(v, r),                                               \
                          zeros = {r.first - ones.first, r.last - ones.last};                                \
                                                                                                             \
        out[m] = (part){zeros, in[i].bits << 1};                                                             \
        m += zeros.first != zeros.last;                                                                      \
        out[m] = (part){{n_zeros + ones.first, n_zeros + ones.last}, in[i].bits << 1 | 1};                   \
        m += ones.first != ones.last;                                                                        \
    }                                                                                                        \
    return m

WITH_POPCNT
static int step_down(part *out, const part *in, int n, const uint64_t *v, uint32_t n_zeros)
{
    STEP_DOWN(rank_range);
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) &&                            \
    !defined(__SANITIZE_THREAD__)
#include <immintrin.h>
#define WIDE __attribute__((target("avx512f,avx512vpopcntdq")))

/* A line is one register. Words of which all bits are asked for shift their mask out. */
WIDE static inline uint32_t wide_count(__m512i line, uint32_t to)
{
    const __m512i begin = _mm512_setr_epi64(0, 64, 128, 192, 256, 320, 384, 448), end = _mm512_set1_epi64(to);
    const __m512i past = _mm512_sllv_epi64(_mm512_set1_epi64(-1), _mm512_sub_epi64(end, begin));

    return (uint32_t)_mm512_reduce_add_epi64(
        _mm512_maskz_popcnt_epi64(_mm512_cmplt_epi64_mask(begin, end), _mm512_andnot_si512(past, line)));
}

WIDE static inline uint32_t wide_rank(const uint64_t *v, uint32_t i)
{
    const uint64_t *words = v + (size_t)(i / SG_FM_LINE) * 8;
    const __m512i line = _mm512_loadu_si512(words),
                  bits = _mm512_andnot_si512(_mm512_setr_epi64(0xffffffff, 0, 0, 0, 0, 0, 0, 0), line);

    return (uint32_t)words[0] + wide_count(bits, i % SG_FM_LINE + 32);
}

WIDE static inline sg_fm_range wide_range(const uint64_t *v, sg_fm_range r)
{
    return (sg_fm_range){wide_rank(v, r.first), wide_rank(v, r.last)};
}

WIDE static int step_down_wide(part *out, const part *in, int n, const uint64_t *v, uint32_t n_zeros)
{
    STEP_DOWN(wide_range);
}

static bool is_wide(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq");
}
#else
static bool is_wide(void)
{
    return false;
}
#define step_down_wide step_down
#endif

/* All symbols of some parts of a level, ascending. */
static void list_parts(listing *w, const part *in, int n, int level, bool wide)
{
    part block[2][2 * BLOCK + 1];
    int side = 0;

    for (; level < w->f->levels; level++, side = !side) {
        if (n > BLOCK) {
            list_parts(w, in, n / 2, level, wide);
            list_parts(w, in + n / 2, n - n / 2, level, wide);
            return;
        }
        n = (wide ? step_down_wide : step_down)(block[side], in, n, w->f->plane[level], w->f->zeros[level]);
        in = block[side];
    }
    for (int i = 0; i < n; i++)
        put_symbol(w, in[i].range, in[i].bits);
}

static const sg_fm_list *find_list(const sg_fm *f, sg_fm_range r)
{
    size_t low = 0, high = f->n_lists;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (f->list[middle].first < r.first)
            low = middle + 1;
        else
            high = middle;
    }
    return low < f->n_lists && f->list[low].first == r.first && f->list[low].last == r.last ? &f->list[low]
                                                                                            : NULL;
}

int32_t sg_fm_successors(const sg_fm *f, sg_fm_range r, sg_fm_next *next, int32_t most, uint32_t *ends)
{
    const sg_fm_list *known = find_list(f, r);
    listing w = {f, next, most, 0, 0};

    if (known) {
        if (most > 0)
            memcpy(next, f->listed + known->at,
                   (size_t)((int32_t)known->n < most ? (int32_t)known->n : most) * sizeof *next);
        w.n = (int32_t)known->n;
        w.ends = known->ends;
    } else if (r.last - r.first == f->n) { /* no string yet: every token that occurs */
        for (uint32_t c = SG_FM_FIRST_TOKEN; c < f->symbols; c++)
            if (f->before[c] < f->before[c + 1])
                put_symbol(&w, (sg_fm_range){f->base[c], f->base[c] + f->before[c + 1] - f->before[c]}, c);
        w.ends = f->n_items;
    } else if (r.first < r.last) {
        list_parts(&w, &(part){r, 0}, 1, 0, is_wide());
    }
    if (ends)
        *ends = w.ends;
    return w.n;
}

/* ---- frequent tokens ------------------------------------------------------------------------------------- */

enum { FREQUENT = 512 /* places of a token whose successors are worth keeping */, LIST_SHARE = 10 };

static int by_places(const void *x, const void *y)
{
    const sg_fm_list *a = x, *b = y;
    const uint32_t m = a->last - a->first, n = b->last - b->first;

    return m != n ? (m > n ? -1 : 1) : (a->first > b->first) - (a->first < b->first);
}

static int by_row(const void *x, const void *y)
{
    const sg_fm_list *a = x, *b = y;

    return (a->first > b->first) - (a->first < b->first);
}

sg_status sg_fm_list_frequent(sg_fm *f, sg_error *err)
{
    const size_t room = f->n / LIST_SHARE;
    size_t n = 0, kept = 0, used = 0, cap = 0;
    sg_fm_list *list;
    sg_fm_next *next;

    for (uint32_t c = 1; c < f->symbols; c++)
        n += f->before[c + 1] - f->before[c] >= FREQUENT;
    if (!n)
        return SG_OK;
    if (!(list = f->list = sg_alloc_array(n, sizeof *list)) ||
        !(next = sg_alloc_array(f->symbols, sizeof *next)))
        return sg_fail_memory(err, "FM-index");
    n = 0;
    for (uint32_t c = 1; c < f->symbols; c++)
        if (f->before[c + 1] - f->before[c] >= FREQUENT)
            list[n++] = (sg_fm_list){.first = f->before[c], .last = f->before[c + 1]};
    qsort(list, n, sizeof *list, by_places);
    for (; kept < n; kept++) { /* none of these ranges is all rows: the end symbol has a row of its own */
        sg_fm_list *l = &list[kept];

        l->n = (uint32_t)sg_fm_successors(f, (sg_fm_range){l->first, l->last}, next, (int32_t)f->symbols,
                                          &l->ends);
        l->at = (uint32_t)used;
        if (used + l->n > room)
            break;
        if (!sg_grow(&f->listed, &cap, used + l->n + 1, sizeof *next)) {
            sg_free(next);
            return sg_fail_memory(err, "FM-index");
        }
        memcpy(f->listed + used, next, l->n * sizeof *next);
        used += l->n;
    }
    sg_free(next);
    qsort(list, kept, sizeof *list, by_row);
    f->n_lists = kept;
    f->n_listed = used;
    return SG_OK;
}

WITH_POPCNT
uint32_t sg_fm_step_back(const sg_fm *f, uint32_t *row)
{
    uint32_t i = *row, c = 0;

    for (int l = 0; l < f->levels; l++) {
        const uint32_t ones = rank(f->plane[l], i);
        const bool bit = sg_fm_bit(f->plane[l], i);

        c = c << 1 | bit;
        i = bit ? f->zeros[l] + ones : i - ones;
    }
    *row = i - f->base[c] + f->before[c];
    return c;
}

sg_status sg_fm_locate(const sg_fm *f, uint32_t row, int32_t *item, int32_t *behind, sg_error *err)
{
    uint32_t steps = 0, at, start;

    while (!sg_fm_bit(f->marked, row)) {
        if (++steps == f->step)
            return sg_fail(err, SG_ERR_FORMAT,
                           "FM-index: a place is not among those kept: the file is damaged");
        sg_fm_step_back(f, &row);
    }
    at = f->sample[sg_fm_rank(f->marked, row)] * f->step + steps;
    if (at >= f->n)
        return sg_fail(err, SG_ERR_FORMAT, "FM-index: a place lies outside the text: the file is damaged");
    *item = (int32_t)sg_fm_rank(f->starts, at + 1) - 1;
    for (start = at; !sg_fm_bit(f->starts, start);) /* ends at bit 0 at the latest */
        start--;
    *behind = (int32_t)(at - start);
    return SG_OK;
}
