/* synth_odds.c - the chance of each item to be the next event of a shopper whose past is known.
 *
 *   p(i) = noise / n_sale + (1 - noise) (s C(i) + (1 - s) ((1 - drift) E(i | z) + drift M(i | z))),   0 for seen items,
 *
 * over its sum; s = sequence when there is a last item, C: accessories of it, E: interest z, M: interest after a move from z; see
 * synth_user.c. Exact given that not all of the first 64 draws are seen items; else every unseen item is as likely, which leaves the
 * order as it is. */
#include "base/alloc.h"
#include "data/synth_world.h"

struct sg_odds {
    const sg_world *w; /* borrowed */
    double *moved[2];  /* owned (n): M, but for the share of the category; [0] warm items only, [1] all */
};

static double mass(const sg_world *w, bool all, sg_range r)
{
    return w->mass[all][r.end] - w->mass[all][r.begin];
}

static double weight(const sg_world *w, bool all, uint32_t place)
{
    return w->mass[all][place + 1] - w->mass[all][place];
}

/* Given that the interest moves into a category: to line l by W_l / W_c (all items), then an event of interest. */
static void make_moved(sg_odds *o, bool all)
{
    const sg_world *w = o->w;

    for (uint32_t line = 0; line < w->n_lines; line++) {
        const sg_range l = sg_world_line(w, line), s = sg_world_sub(w, line),
                       c = sg_world_category_range(w, sg_world_category(w, line));
        const double total = mass(w, true, c);
        const double each = SG_SYNTH_LINE * mass(w, true, l) / total / mass(w, all, l) +
                            SG_SYNTH_SUB * mass(w, true, s) / total / mass(w, all, s) +
                            (1 - SG_SYNTH_LINE - SG_SYNTH_SUB) / mass(w, all, c);

        for (uint32_t p = l.begin; p < l.end; p++)
            o->moved[all][p] = each * weight(w, all, p);
    }
}

static void add_range(double *p, const sg_world *w, bool all, sg_range r, double share)
{
    const double each = share / mass(w, all, r);

    for (uint32_t k = r.begin; k < r.end; k++)
        p[k] += each * weight(w, all, k);
}

void sg_odds_next(double *p, const sg_odds *o, const sg_shopper *s)
{
    const sg_world *w = o->w;
    const sg_synth_config *c = &w->c;
    const bool all = sg_shopper_time(s) >= SG_SYNTH_COLD_FROM;
    const double chain = s->last == UINT32_MAX ? 0 : (1 - c->noise) * c->sequence,
                 interest = 1 - c->noise - chain;
    const double noise = c->noise / (all ? w->n : w->n_warm);
    const uint32_t z = sg_world_category(w, s->interest);
    double sum = 0;

    for (uint32_t k = 0; k < w->n_category; k++) {
        const double share = w->category[k + 1] - w->category[k];
        const double moved =
            interest * c->drift * ((1 - SG_SYNTH_STAY) * share + (k == z ? SG_SYNTH_STAY : 0));
        const sg_range r = sg_world_category_range(w, k);

        for (uint32_t i = r.begin; i < r.end; i++)
            p[i] = noise + moved * o->moved[all][i];
    }
    const double stays = interest * (1 - c->drift);
    add_range(p, w, all, sg_world_line(w, s->interest), stays * SG_SYNTH_LINE);
    add_range(p, w, all, sg_world_sub(w, s->interest), stays * SG_SYNTH_SUB);
    add_range(p, w, all, sg_world_category_range(w, z), stays * (1 - SG_SYNTH_LINE - SG_SYNTH_SUB));
    if (chain > 0) {
        const uint32_t partner = sg_world_partner(w, s->last);
        const double share = all || !sg_world_cold(w, partner) ? SG_SYNTH_PARTNER : 0;

        p[partner] += chain * share;
        add_range(p, w, all, sg_world_line(w, sg_world_line_of(w, partner)), chain * (1 - share));
    }
    for (uint32_t k = 0; !all && k < w->n; k++)
        if (sg_world_cold(w, k))
            p[k] = 0;
    for (uint32_t k = 0; k < s->seen_size; k++)
        if (s->seen[k] != UINT32_MAX)
            p[s->seen[k]] = 0;
    for (uint32_t k = 0; k < w->n; k++)
        sum += p[k];
    for (uint32_t k = 0; sum > 0 && k < w->n; k++)
        p[k] /= sum;
}

void sg_odds_free(sg_odds *o)
{
    if (!o)
        return;
    sg_free(o->moved[0]);
    sg_free(o->moved[1]);
    sg_free(o);
}

sg_status sg_odds_new(sg_odds **out, const sg_world *w, sg_error *err)
{
    sg_odds *o = sg_alloc_zero(1, sizeof *o);

    *out = NULL;
    if (!o || !(o->moved[0] = sg_alloc_array(w->n, sizeof(double))) ||
        !(o->moved[1] = sg_alloc_array(w->n, sizeof(double)))) {
        sg_odds_free(o);
        return sg_fail_memory(err, "oracle");
    }
    o->w = w;
    make_moved(o, false);
    make_moved(o, true);
    *out = o;
    return SG_OK;
}
