/* stock.h - which items are on offer while a model serves: its own, less those that were removed, and those that came since.
 *
 * One thread at a time edits; edits are seen, all at once, when they are published. Any number of threads read: a view is one
 * moment and stays as it is until it is given back. An item that was removed stays known: a history may hold it. */
#ifndef SG_SERVE_STOCK_H
#define SG_SERVE_STOCK_H

#include "models/model.h"
#include "models/tower.h"

#include <jansson.h>

typedef struct sg_stock sg_stock;

/* Columns that name an item, the first that is there. */
enum { SG_N_TITLE_NAMES = 3 };
extern const char *const sg_title_names[SG_N_TITLE_NAMES];

typedef struct
    sg_added { /* an item that came, or came back, after the training; lives as long as the stock */
    sg_bytes id;
    sg_bytes title;  /* size 0: none */
    sg_bytes texts;  /* of its columns, as JSON: a value that threads share would be counted by all of them */
    int64_t expires; /* seconds since 1970; 0: never */
    const float *taken; /* what the model took of its vector; NULL: nothing */
    int32_t number;
    int32_t codes[]; /* its semantic ID */
} sg_added;

typedef struct sg_view {
    sg_offer offer;   /* for sessions */
    bool edited;      /* false: nothing was ever added or removed, and sessions need no offer */
    uint64_t recoded; /* items that came back with another semantic ID than they had */
    uint64_t version; /* of the stock: publications before it */
    int32_t n_items;  /* on offer */
    int32_t n_gone;
    const int32_t *
        gone; /* (n_gone) ascending leaves of the model's catalogue whose items are not on offer, where it never changes */
    size_t n_added;
    const sg_added *const *by_id; /* (n_added) those that were ever added, by their ids */
    const sg_added *const *later; /* (offer.n_codes) those with numbers that the model does not have */
    int held, reader;             /* the stock's */
    struct sg_view *next;
} sg_view;

sg_status sg_stock_new(sg_stock **out, const sg_model *m, const sg_tower *tower,
                       sg_error *err); /* both borrowed */
void sg_stock_free(sg_stock *s);       /* no view is left */

const sg_view *sg_stock_view(sg_stock *s); /* what was published last; held for the caller */
void sg_view_release(sg_stock *s, const sg_view *v);
bool sg_added_has_texts(const sg_added *a);
json_t *sg_added_texts(const sg_added *a);                   /* a new object; NULL: out of memory */
const sg_added *sg_view_find(const sg_view *v, sg_bytes id); /* NULL: was never added */
bool sg_view_offers(const sg_view *v, const sg_model *m, int32_t item);
int32_t sg_view_gone(const sg_view *v, int32_t first,
                     int32_t last); /* how many of `gone` are in first .. last - 1 */

typedef struct sg_arrival {
    sg_bytes id;
    const json_t *texts;  /* an object */
    int64_t expires;      /* 0: never */
    const int32_t *codes; /* its semantic ID of before, taken when it is still free; NULL: none */
    const float *
        x; /* its vector: where there are no such codes, and where sg_stock_reads_vectors. An item of the model's own needs
                       neither: it comes back as it was */
    int dim;          /* of x */
    bool record_only; /* what is known of it is noted, whether it is on offer stays as it is */
} sg_arrival;

/* Editing. SG_ERR_USAGE tells what is wrong with the item or the model; nothing has changed then. */
sg_status sg_stock_takes_items(const sg_stock *s, sg_error *err); /* can an item be added at all? */
bool sg_stock_reads_vectors(
    const sg_stock *s); /* does the model need the vector of an item that has codes? */
bool sg_stock_offers(const sg_stock *s, sg_bytes id);          /* with what is not published yet */
const sg_added *sg_stock_find(const sg_stock *s, sg_bytes id); /* the same; NULL: was never added */
/* Of an item that is not on offer, or record_only. */
sg_status sg_stock_add(const sg_added **out, sg_stock *s, const sg_arrival *a, sg_error *err);
sg_status sg_stock_remove(sg_stock *s, sg_bytes id, sg_error *err); /* SG_ERR_MISSING: is not on offer */
sg_status sg_stock_publish(sg_stock *s, sg_error *err);
size_t sg_stock_mark(const sg_stock *s);
void sg_stock_undo(sg_stock *s,
                   size_t mark); /* what came after the mark, or (0) since the last publication */

int64_t
sg_stock_next_expiry(const sg_stock *s); /* any thread: the earliest of those on offer; INT64_MAX: none */
const sg_added *sg_stock_expired(const sg_stock *s, int64_t now); /* on offer and over; NULL: none */

#endif
