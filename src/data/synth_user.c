/* synth_user.c - one shopper of the synthetic shop, event by event.
 *
 * Before an event the interest (a line) moves with chance `drift`: in the same category (chance 0.5) or in one drawn by
 * popularity, to a line by the popularity of its items. Then the event is, with chance `noise`, any item on sale; else, with chance
 * `sequence`, an accessory of the last item (its partner with chance 0.7, else by popularity from the partner's line); else
 * one of interest: by popularity from the line (0.6), its subcategory (0.3) or its category (0.1). Cold items are on sale only in
 * the last tenth of time. An item the shopper already has is no event: all of this is drawn again, the move included; after 64
 * tries any unseen item on sale is taken. Nobody has more than three quarters of the catalogue. */
#include "base/alloc.h"
#include "data/synth_world.h"

#include <math.h>
#include <string.h>

static double uniform(sg_shopper *s)
{
    return (double)(sg_world_random(s->w, SG_SYNTH_USER, s->user, s->draws++) >> 11) * 0x1p-53;
}

static uint32_t below(sg_shopper *s, uint32_t n)
{
    return (uint32_t)(((sg_u128)sg_world_random(s->w, SG_SYNTH_USER, s->user, s->draws++) * n) >> 64);
}

uint32_t sg_shopper_count(const sg_world *w, uint64_t user)
{
    const double u = (double)(sg_world_random(w, SG_SYNTH_COUNT, user, 0) >> 11) * 0x1p-53;
    const double mean = w->c.events_mean - SG_SYNTH_EVENTS_LEAST;
    const double most = w->n / 4 * 3;
    double n = SG_SYNTH_EVENTS_LEAST;

    if (mean > 0) /* geometric from 0: P(k) = p (1 - p)^k, mean (1 - p) / p */
        n += floor(log1p(-u) / log(mean / (mean + 1)));
    return (uint32_t)(n < most ? n : most);
}

void sg_shopper_fini(sg_shopper *s)
{
    sg_free(s->time);
    sg_free(s->seen);
    *s = (sg_shopper){0};
}

static bool make_room(sg_shopper *s, uint32_t n)
{
    uint32_t size = 16;

    while (size < 2 * (uint64_t)n)
        size *= 2;
    if (n > s->cap || size > s->seen_cap) {
        sg_free(s->time);
        sg_free(s->seen);
        s->cap = s->seen_cap = 0;
        s->time = sg_alloc_array(n, sizeof *s->time);
        s->seen = sg_alloc_array(size, sizeof *s->seen);
        if (!s->time || !s->seen)
            return false;
        s->cap = n;
        s->seen_cap = size;
    }
    s->seen_size = size;
    memset(s->seen, 0xff, size * sizeof *s->seen);
    return true;
}

/* A place by popularity among those of the range that are on sale (all: cold ones too). */
static uint32_t popular(sg_shopper *s, sg_range r, bool all)
{
    const double *mass = s->w->mass[all];
    const double x = mass[r.begin] + uniform(s) * (mass[r.end] - mass[r.begin]);
    uint32_t a = r.begin, b = r.end; /* mass[a] <= x < mass[b], or x is rounded up to the end */

    while (b - a > 1) {
        const uint32_t middle = a + (b - a) / 2;

        if (mass[middle] <= x)
            a = middle;
        else
            b = middle;
    }
    while (mass[a + 1] == mass[a] && a > r.begin) /* only when x was rounded up */
        a--;
    return a;
}

static uint32_t category(sg_shopper *s)
{
    const double x = uniform(s);
    uint32_t a = 0, b = s->w->n_category;

    while (b - a > 1) {
        const uint32_t middle = a + (b - a) / 2;

        if (s->w->category[middle] <= x)
            a = middle;
        else
            b = middle;
    }
    return a;
}

static uint32_t line_in_category(sg_shopper *s, uint32_t c)
{
    return sg_world_line_of(s->w, popular(s, sg_world_category_range(s->w, c), true));
}

bool sg_shopper_start(sg_shopper *s, const sg_world *w, uint64_t user)
{
    const uint32_t n = sg_shopper_count(w, user);
    double sum = 0;

    if (!make_room(s, n))
        return false;
    s->w = w;
    s->user = user;
    s->draws = 0;
    s->n = n;
    s->i = 0;
    s->last = UINT32_MAX;
    /* Visits of a few events each: long gaps between visits, short ones inside. */
    for (uint32_t i = 0; i < n; i++) {
        s->time[i] = sum;
        sum -= log1p(-uniform(s)) * (uniform(s) < 0.6 ? 0.01 : 1);
    }
    for (uint32_t i = 0; i < n; i++)
        s->time[i] /= s->time[n - 1] > 0 ? s->time[n - 1] : 1;
    s->begin = SG_SYNTH_START + (int64_t)(uniform(s) * 0.95 * SG_SYNTH_SPAN);
    s->end = s->begin +
             (int64_t)((0.05 + 0.95 * uniform(s)) * (double)(SG_SYNTH_START + SG_SYNTH_SPAN - s->begin));
    s->interest = line_in_category(s, category(s));
    return true;
}

int64_t sg_shopper_time(const sg_shopper *s)
{
    return s->begin + (int64_t)(s->time[s->i] * (double)(s->end - s->begin));
}

static uint32_t seen_slot(const sg_shopper *s, uint32_t place)
{
    uint32_t k = (uint32_t)sg_rng_mix(place) & (s->seen_size - 1);

    while (s->seen[k] != UINT32_MAX && s->seen[k] != place)
        k = (k + 1) & (s->seen_size - 1);
    return k;
}

bool sg_shopper_seen(const sg_shopper *s, uint32_t place)
{
    return s->seen[seen_slot(s, place)] == place;
}

static uint32_t any_on_sale(sg_shopper *s, bool all)
{
    uint32_t p;

    do
        p = below(s, s->w->n);
    while (!all && sg_world_cold(s->w, p));
    return p;
}

static uint32_t accessory(sg_shopper *s, bool all)
{
    const uint32_t partner = sg_world_partner(s->w, s->last);

    if (uniform(s) < SG_SYNTH_PARTNER && (all || !sg_world_cold(s->w, partner)))
        return partner;
    return popular(s, sg_world_line(s->w, sg_world_line_of(s->w, partner)), all);
}

static uint32_t of_interest(sg_shopper *s, uint32_t interest, bool all)
{
    const double u = uniform(s);

    if (u < SG_SYNTH_LINE)
        return popular(s, sg_world_line(s->w, interest), all);
    if (u < SG_SYNTH_LINE + SG_SYNTH_SUB)
        return popular(s, sg_world_sub(s->w, interest), all);
    return popular(s, sg_world_category_range(s->w, sg_world_category(s->w, interest)), all);
}

/* One try: *interest may move. */
static uint32_t try_event(sg_shopper *s, uint32_t *interest, bool *accessory_event, bool all)
{
    const sg_synth_config *c = &s->w->c;

    *accessory_event = false;
    if (uniform(s) < c->drift) {
        const bool stay = uniform(s) < SG_SYNTH_STAY;

        *interest = line_in_category(s, stay ? sg_world_category(s->w, *interest) : category(s));
    }
    if (uniform(s) < c->noise)
        return any_on_sale(s, all);
    if (uniform(s) < c->sequence && s->last != UINT32_MAX) {
        *accessory_event = true;
        return accessory(s, all);
    }
    return of_interest(s, *interest, all);
}

/* The next unseen item on sale from a random place on; when there is none, any item on sale. */
static uint32_t unseen_on_sale(sg_shopper *s, bool all)
{
    const uint32_t p = any_on_sale(s, all);

    for (uint32_t i = 0, k = p; i < s->w->n; i++, k = k + 1 == s->w->n ? 0 : k + 1)
        if ((all || !sg_world_cold(s->w, k)) && !sg_shopper_seen(s, k))
            return k;
    return p;
}

double sg_shopper_liking(const sg_shopper *s, uint32_t place)
{
    const uint32_t line = sg_world_line_of(s->w, place);
    const double near = line == s->interest                                                     ? 1
                        : sg_world_category(s->w, line) == sg_world_category(s->w, s->interest) ? 0.4
                                                                                                : -0.4;
    const double quality = (double)(sg_world_random(s->w, SG_SYNTH_ITEM, place, 1) >> 11) * 0x1p-53 * 2 - 1;

    return 3.3 + near + quality;
}

static float rate(sg_shopper *s, uint32_t place)
{
    const double x = floor(sg_shopper_liking(s, place) + (uniform(s) * 2 - 1) + 0.5);

    return (float)(x < 1 ? 1 : x > 5 ? 5 : x);
}

sg_synth_event sg_shopper_next(sg_shopper *s)
{
    sg_synth_event e = {.timestamp = sg_shopper_time(s)};
    const bool all = e.timestamp >= SG_SYNTH_COLD_FROM;
    bool accessory_event = false;
    uint32_t slot = 0;
    int tries = 0;

    for (;; tries++) {
        uint32_t interest = s->interest;

        if (tries == SG_SYNTH_TRIES) {
            e.place = unseen_on_sale(s, all);
            slot = seen_slot(s, e.place);
            break;
        }
        e.place = try_event(s, &interest, &accessory_event, all);
        slot = seen_slot(s, e.place);
        if (s->seen[slot] == UINT32_MAX) {
            s->interest = interest;
            break;
        }
    }
    s->seen[slot] = e.place;
    s->last = e.place;
    s->i++;
    const double u = uniform(s);
    e.action = accessory_event ? (u < 0.4 ? 0 : u < 0.6 ? 1 : 2) : (u < 0.7 ? 0 : u < 0.9 ? 1 : 2);
    e.rating = rate(s, e.place);
    return e;
}
