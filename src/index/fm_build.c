/* fm_build.c - from items to the image of an FM-index: reversed items, suffix array, the symbol before each suffix, and
 * its bits plane by plane. 12 bytes a token beside the image. */
#include "index/fm_image.h"

#include "base/alloc.h"
#include "index/suffix.h"

#include <string.h>

static sg_status check_items(const int32_t *token, const int64_t *offsets, int32_t n_items, int32_t n_tokens,
                             int step, sg_error *err)
{
    if (n_items < 1 || n_tokens < 1 || n_tokens > SG_FM_TOKENS_MAX || step < 1 || step > SG_FM_STEP_MAX)
        return sg_fail(err, SG_ERR_USAGE,
                       "FM-index: expected at least one item, 1 to %d tokens and one place kept in 1 to %d, "
                       "found %d, %d and %d",
                       SG_FM_TOKENS_MAX, SG_FM_STEP_MAX, n_items, n_tokens, step);
    for (int32_t i = 0; i < n_items; i++)
        if (offsets[i + 1] < offsets[i])
            return sg_fail(err, SG_ERR_USAGE, "FM-index: item %d ends before it begins", i);
    if (offsets[n_items] - offsets[0] > INT32_MAX - 1 - (int64_t)n_items)
        return sg_fail(err, SG_ERR_USAGE, "FM-index: expected at most %d tokens and items, found more",
                       INT32_MAX - 1);
    for (int32_t i = 0; i < n_items; i++)
        for (int64_t k = offsets[i]; k < offsets[i + 1]; k++)
            if (token[k] < 0 || token[k] >= n_tokens)
                return sg_fail(err, SG_ERR_USAGE, "FM-index: item %d: expected tokens from 0 to %d, found %d",
                               i, n_tokens - 1, token[k]);
    return SG_OK;
}

static void set_bit(const uint64_t *v, uint32_t i)
{
    const uint32_t at = i % SG_FM_LINE + 32;

    ((uint64_t *)(uintptr_t)v)[(size_t)(i / SG_FM_LINE) * 8 + at / 64] |= UINT64_C(1)
                                                                          << at % 64; /* still ours alone */
}

static void count_lines(const uint64_t *v, uint32_t n)
{
    uint64_t *line = (uint64_t *)(uintptr_t)v;
    uint32_t ones = 0;

    for (uint32_t i = 0; i <= n / SG_FM_LINE; i++, line += 8) {
        const uint32_t here = ones;

        for (int k = 0; k < 8; k++)
            ones += sg_bits_count(line[k]);
        line[0] |= here; /* the count's place was zero */
    }
}

static void write_text(uint32_t *text, const sg_fm *f, const int32_t *token, const int64_t *offsets)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < f->n_items; i++) {
        set_bit(f->starts, at);
        for (int64_t k = offsets[i + 1]; k-- > offsets[i];)
            text[at++] = (uint32_t)token[k] + SG_FM_FIRST_TOKEN;
        text[at++] = 1;
    }
    text[at] = 0;
    count_lines(f->starts, f->n);
}

static void count_symbols(const sg_fm *f, const uint32_t *text)
{
    uint32_t *before = (uint32_t *)(uintptr_t)f->before;

    for (uint32_t i = 0; i < f->n; i++)
        before[text[i] + 1]++;
    for (uint32_t c = 0; c < f->symbols; c++)
        before[c + 1] += before[c];
}

/* symbol (n): before each row's suffix, sorted by plane after plane; spare (n). */
static void fill_planes(sg_fm *f, uint32_t *symbol, uint32_t *spare)
{
    for (int l = 0; l < f->levels; l++) {
        const int shift = f->levels - 1 - l;
        uint32_t zeros = 0, ones = 0;

        for (uint32_t i = 0; i < f->n; i++) {
            if (symbol[i] >> shift & 1) {
                set_bit(f->plane[l], i);
                spare[ones++] = symbol[i];
            } else {
                symbol[zeros++] = symbol[i];
            }
        }
        memcpy(symbol + zeros, spare, ones * sizeof *spare);
        f->zeros[l] = zeros;
        count_lines(f->plane[l], f->n);
    }
    for (uint32_t i = f->n; i-- > 0;)
        ((uint32_t *)(uintptr_t)f->base)[symbol[i]] = i;
}

static sg_status fill_image(sg_fm *f, const int32_t *token, const int64_t *offsets, sg_error *err)
{
    uint32_t *text = sg_alloc_array(f->n, sizeof *text), *spare = NULL,
             *sample = (uint32_t *)(uintptr_t)f->sample;
    int32_t *order = sg_alloc_array(f->n, sizeof *order);
    sg_status st = text && order ? SG_OK : sg_fail_memory(err, "FM-index");

    if (st)
        goto done;
    write_text(text, f, token, offsets);
    count_symbols(f, text);
    if ((st = sg_suffix_array(order, text, (int32_t)f->n, f->symbols, err)))
        goto done;
    if (!(spare = sg_alloc_array(f->n, sizeof *spare))) {
        st = sg_fail_memory(err, "FM-index");
        goto done;
    }
    for (uint32_t i = 0, kept = 0; i < f->n; i++) {
        const uint32_t at = (uint32_t)order[i];

        if (at % f->step == 0) {
            set_bit(f->marked, i);
            sample[kept++] = at / f->step;
        }
        order[i] = (int32_t)text[at ? at - 1 : f->n - 1]; /* places give way to symbols */
    }
    count_lines(f->marked, f->n);
    fill_planes(f, (uint32_t *)order, spare);
    for (uint32_t c = 0; c < f->symbols; c++) /* what does not occur: where it would be */
        if (f->before[c] == f->before[c + 1])
            ((uint32_t *)(uintptr_t)f->base)[c] = sg_fm_descend(f, (sg_fm_range){0, f->n}, c).first;
done:
    sg_free(text);
    sg_free(order);
    sg_free(spare);
    return st;
}

sg_status sg_fm_new(sg_fm **out, const int32_t *token, const int64_t *offsets, int32_t n_items,
                    int32_t n_tokens, int step, sg_error *err)
{
    sg_fm_header h = {
        .version = SG_FM_VERSION, .step = (uint32_t)(step > 0 ? step : SG_FM_STEP), .levels = 1};
    sg_fm *f;
    sg_status st;

    *out = NULL;
    if ((st = check_items(token, offsets, n_items, n_tokens, (int)h.step, err)))
        return st;
    memcpy(h.magic, SG_FM_MAGIC, sizeof h.magic);
    h.n = (uint32_t)(offsets[n_items] - offsets[0] + n_items + 1);
    h.n_items = (uint32_t)n_items;
    h.symbols = (uint32_t)n_tokens + SG_FM_FIRST_TOKEN;
    while (h.symbols > UINT32_C(1) << h.levels)
        h.levels++;
    if (!(f = sg_alloc_zero(1, sizeof *f)) || !sg_fm_place(f, &h, NULL) ||
        !(f->owned = sg_alloc_zero(f->bytes, 1))) {
        sg_free(f);
        return sg_fail_memory(err, "FM-index");
    }
    sg_fm_place(f, &h, f->owned);
    if ((st = fill_image(f, token, offsets, err)) || (st = sg_fm_list_frequent(f, err))) {
        sg_fm_free(f);
        return st;
    }
    memcpy(f->owned, &h, sizeof h);
    h.checksum = sg_image_checksum(f->owned, f->bytes);
    memcpy(f->owned, &h, sizeof h);
    *out = f;
    return SG_OK;
}
