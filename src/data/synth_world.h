/* synth_world.h - the shop behind a synthetic dataset: a tree of items, what is popular, what follows what.
 *
 * Items lie at places 0 .. n-1 so that every node of the tree is a range of places: category > subcategory > line (one brand's
 * products of one kind). Item numbers are a random permutation of places: they carry no information. */
#ifndef SG_DATA_SYNTH_WORLD_H
#define SG_DATA_SYNTH_WORLD_H

#include "base/buf.h"
#include "base/rng.h"
#include "data/synth.h"

#include <stdbool.h>
#include <stdint.h>

#define SG_SYNTH_VERSION 1 /* counts up when the same options give other data */

/* Shares that are part of the generator's definition (truth.json repeats them). */
#define SG_SYNTH_LINE 0.6 /* an event of interest: from the line the user is interested in */
#define SG_SYNTH_SUB  0.3 /* ... from its subcategory; the rest: from its category */
#define SG_SYNTH_STAY                                                                                        \
    0.5 /* a moved interest: in the same category for sure; the rest: in any category by popularity */
#define SG_SYNTH_PARTNER   0.7 /* a chain event: the partner item; the rest: anything from the partner's line */
#define SG_SYNTH_START     1672531200 /* 2023-01-01 */
#define SG_SYNTH_SPAN      (365 * 86400)
#define SG_SYNTH_COLD_FROM (SG_SYNTH_START + SG_SYNTH_SPAN / 10 * 9) /* cold items are sold from here on */
enum { SG_SYNTH_EVENTS_LEAST = 5, SG_SYNTH_TRIES = 64 };

/* First word of a counter: what the draws are for. */
typedef enum sg_synth_draw {
    SG_SYNTH_ORDER,
    SG_SYNTH_RANK,
    SG_SYNTH_FOLLOW,
    SG_SYNTH_NAME,
    SG_SYNTH_ITEM,
    SG_SYNTH_COUNT,
    SG_SYNTH_USER
} sg_synth_draw;

typedef struct sg_world {
    sg_synth_config c;
    uint32_t n;                         /* items */
    uint32_t n_category, n_sub, n_line; /* categories, subcategories of each, lines of each subcategory */
    uint32_t n_lines;                   /* all lines */
    uint32_t *item, *place;             /* owned (n): number of the item at a place, and back */
    double *mass[2];  /* owned (n + 1): popularity before a place; [0] warm items only, [1] all */
    double *category; /* owned (n_category + 1): popularity of categories before one; ends at 1 */
    uint32_t *follow; /* owned (n_category * n_sub): subcategory whose items follow as accessories */
    uint32_t n_warm;
} sg_world;

typedef struct sg_range {
    uint32_t begin, end;
} sg_range;

sg_status sg_world_new(sg_world **out, const sg_synth_config *c, sg_error *err);
void sg_world_free(sg_world *w);

sg_range sg_world_line(const sg_world *w, uint32_t line); /* places of a line, of lines a .. b - 1 */
sg_range sg_world_lines(const sg_world *w, uint32_t a, uint32_t b);
uint32_t sg_world_line_of(const sg_world *w, uint32_t place);
/* The line whose items follow those of a line, and the partner of the item at a place. */
uint32_t sg_world_next_line(const sg_world *w, uint32_t line);
uint32_t sg_world_partner(const sg_world *w, uint32_t place);

static inline bool sg_world_cold(const sg_world *w, uint32_t place)
{
    return w->mass[0][place + 1] == w->mass[0][place];
}

static inline sg_range sg_world_sub(const sg_world *w, uint32_t line)
{
    return sg_world_lines(w, line / w->n_line * w->n_line, line / w->n_line * w->n_line + w->n_line);
}

static inline uint32_t sg_world_category(const sg_world *w, uint32_t line)
{
    return line / (w->n_sub * w->n_line);
}

static inline sg_range sg_world_category_range(const sg_world *w, uint32_t category)
{
    const uint32_t n = w->n_sub * w->n_line;

    return sg_world_lines(w, category * n, category * n + n);
}

static inline uint64_t sg_world_random(const sg_world *w, sg_synth_draw what, uint64_t index, uint64_t b)
{
    return sg_rng_u64((uint64_t)w->c.seed, SG_RNG_SYNTH, (uint64_t)what << 48 | index, b);
}

/* Text of the item at a place, appended: "Lumora Nevi Hydrating Face Cream 50 ml", "Lumora",
 * "Beauty > Face Cream > Hydrating Face Cream". */
enum { SG_SYNTH_TEXTS = 3 };
extern const char *const sg_synth_text_names[SG_SYNTH_TEXTS];
void sg_synth_text(sg_buf *out, const sg_world *w, uint32_t place, int column);
void sg_synth_line_name(sg_buf *out, const sg_world *w, uint32_t line); /* the third, of a line */

/* One user's events, the same whoever asks and in whatever order. */
typedef struct sg_shopper {
    const sg_world *w;
    uint64_t user, draws; /* counter of random numbers */
    uint32_t n, i;        /* events in all; of the next one */
    uint32_t interest;    /* line, before the next event */
    uint32_t last;        /* place of the last item; UINT32_MAX: none */
    double *time;         /* owned: (n) shares of the user's own span, ascending */
    int64_t begin, end;   /* the user's own span in seconds */
    uint32_t *seen;       /* owned: open addressing over places, UINT32_MAX free */
    uint32_t seen_size;
    uint32_t cap, seen_cap; /* of time and seen */
} sg_shopper;

typedef struct sg_synth_event {
    uint32_t place;
    int64_t timestamp;
    float rating;
    int32_t action; /* 0 view, 1 cart, 2 buy */
} sg_synth_event;

uint32_t sg_shopper_count(const sg_world *w, uint64_t user); /* events of a user */
bool sg_shopper_start(sg_shopper *s, const sg_world *w,
                      uint64_t user);         /* false: out of memory; s zeroed before the first time */
int64_t sg_shopper_time(const sg_shopper *s); /* of the next event */
sg_synth_event sg_shopper_next(sg_shopper *s);
bool sg_shopper_seen(const sg_shopper *s, uint32_t place);
/* How much the shopper likes an item with the interest of now: near to it is better, and every item has its own quality. A rating is this,
 * plus a number from -1 to 1, rounded and cut to 1 .. 5. */
double sg_shopper_liking(const sg_shopper *s, uint32_t place);
void sg_shopper_fini(sg_shopper *s);

/* p (n): the chance of each place to be the shopper's next event, given all before it (see synth_odds.c). */
typedef struct sg_odds sg_odds;
sg_status sg_odds_new(sg_odds **out, const sg_world *w, sg_error *err); /* w is borrowed */
void sg_odds_free(sg_odds *o);
void sg_odds_next(double *p, const sg_odds *o, const sg_shopper *s);

#endif
