/* controls.c - IDs that know nothing of the items' content: what is lost with them is what content was worth.
 *
 * atomic: one code an item, as many codes as items.  naive: the digits of the item's number, the highest first, as a text
 * model would spell it.  random: levels random codes.                                       [DSI: Tay et al. 2022] */
#include "quantize/quantize.h"

#include "base/alloc.h"
#include "base/rng.h"

sg_status sg_random_codes(sg_codes *out, const sg_quantize_data *d, const sg_tokenize_config *c,
                          sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    for (size_t i = 0; i < (size_t)out->n * (size_t)out->levels; i++)
        out->codes[i] = (int32_t)sg_rng_below((uint64_t)c->codes, (uint64_t)c->seed, SG_RNG_KMEANS, i, 0);
    return SG_OK;
}

/* The number of each item in `levels` digits of base `base`. */
static sg_status spell(sg_codes *out, int levels, int32_t base, sg_error *err)
{
    int32_t *codes = sg_alloc_array((size_t)out->n, (size_t)levels * sizeof *codes);

    if (!codes)
        return sg_fail_memory(err, "semantic IDs");
    for (int32_t i = 0; i < out->n; i++) {
        int32_t rest = i;

        for (int l = levels - 1; l >= 0; l--, rest /= base)
            codes[(size_t)i * (size_t)levels + (size_t)l] = rest % base;
    }
    sg_free(out->codes);
    out->codes = codes;
    out->levels = levels;
    for (int l = 0; l < levels; l++)
        out->size[l] = base;
    return SG_OK;
}

sg_status sg_atomic_codes(sg_codes *out, const sg_quantize_data *d, const sg_tokenize_config *c,
                          sg_pool *pool, const sg_progress *progress, sg_error *err)
{
    if (out->n > 65536)
        return sg_fail(err, SG_ERR_USAGE,
                       "atomic: expected at most 65536 items, the most codes of a level, found %d", out->n);
    return spell(out, 1, out->n, err);
}

sg_status sg_naive_codes(sg_codes *out, const sg_quantize_data *d, const sg_tokenize_config *c, sg_pool *pool,
                         const sg_progress *progress, sg_error *err)
{
    int levels = 1;

    for (int32_t rest = (out->n - 1) / 10; rest > 0; rest /= 10)
        levels++;
    return spell(out, levels, 10, err);
}
