/* synth_world.c - the tree and its popularity.
 *
 * Popularity of the item of rank r in its category (ranks are a random permutation, from 1): r^-skew, at least 1e-9.
 * Categories: rank^(-skew / 2).
 * A share `cold` of each line's items is sold only in the last tenth of time; one item of a line at least is always sold.
 * What follows: in each category the subcategories form one random circle; the items that follow those of line b of a
 * subcategory are those of line b (same brand) of the next one, and the j-th item's partner is the j-th item there. */
#include "data/synth_world.h"

#include "base/alloc.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const double WEIGHT_LEAST = 1e-9; /* still seen beside the sum of all others in double */

void sg_world_free(sg_world *w)
{
    if (!w)
        return;
    sg_free(w->item);
    sg_free(w->place);
    sg_free(w->mass[0]);
    sg_free(w->mass[1]);
    sg_free(w->category);
    sg_free(w->follow);
    sg_free(w);
}

/* About eight items a line; subcategories and lines in equal numbers. Small shops have fewer of all. */
static void shape(sg_world *w)
{
    uint32_t each;

    w->n_category = (uint32_t)w->c.categories < w->n / 4 ? (uint32_t)w->c.categories : w->n / 4;
    each = w->n / w->n_category;
    w->n_sub = (uint32_t)sqrt(each / 8.0);
    w->n_sub = w->n_sub < 1 ? 1 : w->n_sub > 64 ? 64 : w->n_sub;
    w->n_line = each / (8 * w->n_sub);
    w->n_line = w->n_line < 1 ? 1 : w->n_line > 256 ? 256 : w->n_line;
    w->n_lines = w->n_category * w->n_sub * w->n_line;
}

/* Line l begins at place floor(l n / n_lines). */
sg_range sg_world_lines(const sg_world *w, uint32_t a, uint32_t b)
{
    return (sg_range){(uint32_t)((uint64_t)a * w->n / w->n_lines),
                      (uint32_t)((uint64_t)b * w->n / w->n_lines)};
}

sg_range sg_world_line(const sg_world *w, uint32_t line)
{
    return sg_world_lines(w, line, line + 1);
}

uint32_t sg_world_line_of(const sg_world *w, uint32_t place)
{
    assert(w->n > 0);
    return (uint32_t)((((uint64_t)place + 1) * w->n_lines - 1) / w->n);
}

uint32_t sg_world_next_line(const sg_world *w, uint32_t line)
{
    const uint32_t sub = line / w->n_line, b = line % w->n_line;

    if (w->n_sub > 1)
        return w->follow[sub] * w->n_line + b;
    return sub * w->n_line + (b + 1) % w->n_line;
}

uint32_t sg_world_partner(const sg_world *w, uint32_t place)
{
    const uint32_t line = sg_world_line_of(w, place), next = sg_world_next_line(w, line);
    const sg_range from = sg_world_line(w, line), to = sg_world_line(w, next);
    const uint32_t j = place - from.begin + (next == line); /* alone: the neighbour */

    return to.begin + j % (to.end - to.begin);
}

static void make_follow(sg_world *w, uint32_t *scratch)
{
    for (uint32_t c = 0; c < w->n_category; c++) {
        sg_rng_permutation(scratch, w->n_sub, (uint64_t)w->c.seed, SG_RNG_SYNTH,
                           (uint64_t)SG_SYNTH_FOLLOW << 48 | c);
        for (uint32_t k = 0; k < w->n_sub; k++)
            w->follow[c * w->n_sub + scratch[k]] = c * w->n_sub + scratch[(k + 1) % w->n_sub];
    }
}

static void make_categories(sg_world *w)
{
    double sum = 0;

    for (uint32_t c = 0; c < w->n_category; c++)
        sum += pow(c + 1.0, -w->c.skew / 2);
    w->category[0] = 0;
    for (uint32_t c = 0; c < w->n_category; c++)
        w->category[c + 1] = w->category[c] + pow(c + 1.0, -w->c.skew / 2) / sum;
    w->category[w->n_category] = 1;
}

/* Cold items of a line are its last ones. Which items these are is random, because the order of items is. */
static uint32_t warm_end(const sg_world *w, uint32_t line)
{
    const sg_range r = sg_world_line(w, line);
    const uint32_t n = r.end - r.begin;
    const double u = (double)(sg_world_random(w, SG_SYNTH_ORDER, line, 1) >> 11) * 0x1p-53;
    const uint32_t cold = (uint32_t)(w->c.cold * n + u);

    return r.end - (cold < n ? cold : n - 1);
}

static void make_mass(sg_world *w, uint32_t *scratch)
{
    w->mass[0][0] = w->mass[1][0] = 0;
    for (uint32_t c = 0; c < w->n_category; c++) {
        const sg_range r = sg_world_category_range(w, c);
        uint32_t line = sg_world_line_of(w, r.begin), warm = warm_end(w, line);

        sg_rng_permutation(scratch, r.end - r.begin, (uint64_t)w->c.seed, SG_RNG_SYNTH,
                           (uint64_t)SG_SYNTH_RANK << 48 | c);
        for (uint32_t p = r.begin; p < r.end; p++) {
            const double power = pow(scratch[p - r.begin] + 1.0, -w->c.skew);
            const double weight = power > WEIGHT_LEAST ? power : WEIGHT_LEAST;

            if (p == sg_world_line(w, line + 1).begin)
                warm = warm_end(w, ++line);
            w->mass[1][p + 1] = w->mass[1][p] + weight;
            w->mass[0][p + 1] = w->mass[0][p] + (p < warm ? weight : 0);
            w->n_warm += p < warm;
        }
    }
}

sg_status sg_world_new(sg_world **out, const sg_synth_config *c, sg_error *err)
{
    sg_world *w = sg_alloc_zero(1, sizeof *w);
    uint32_t *scratch = NULL;

    *out = NULL;
    if (!w)
        return sg_fail_memory(err, "synthetic shop");
    w->c = *c;
    w->n = (uint32_t)c->items;
    shape(w);
    if (!(w->item = sg_alloc_array(w->n, sizeof *w->item)) ||
        !(w->place = sg_alloc_array(w->n, sizeof *w->place)) ||
        !(w->mass[0] = sg_alloc_array((size_t)w->n + 1, sizeof(double))) ||
        !(w->mass[1] = sg_alloc_array((size_t)w->n + 1, sizeof(double))) ||
        !(w->category = sg_alloc_array((size_t)w->n_category + 1, sizeof(double))) ||
        !(w->follow = sg_alloc_array((size_t)w->n_category * w->n_sub, sizeof *w->follow)) ||
        !(scratch = sg_alloc_array(w->n, sizeof *scratch))) {
        sg_free(scratch);
        sg_world_free(w);
        return sg_fail_memory(err, "synthetic shop");
    }
    sg_rng_permutation(w->item, w->n, (uint64_t)c->seed, SG_RNG_SYNTH, (uint64_t)SG_SYNTH_ORDER << 48);
    for (uint32_t p = 0; p < w->n; p++)
        w->place[w->item[p]] = p;
    make_follow(w, scratch);
    make_categories(w);
    make_mass(w, scratch);
    sg_free(scratch);
    *out = w;
    return SG_OK;
}
