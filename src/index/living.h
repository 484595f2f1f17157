/* living.h - a catalogue that takes in and loses items while others read it.
 *
 * One thread edits, any number of threads read. Readers never wait: a pin is two atomic accesses, and what it gives is
 * a catalogue like any other that stays as it is until the pin is taken back. Its nodes have the numbers, the order and
 * the children that a catalogue built anew from the same items would have; only item numbers may have gaps. Edits become
 * visible all at once when they are published.
 *
 * An edit copies the nodes on its path, 9 bytes a child and 4 more for each level further below: it takes microseconds
 * where a node has some hundred children, and longer in proportion where it has tens of thousands. */
#ifndef SG_INDEX_LIVING_H
#define SG_INDEX_LIVING_H

#include "index/catalogue.h"

enum { SG_LIVING_READERS_MAX = 256 };

typedef struct sg_living sg_living;

sg_status sg_living_new(sg_living **out, const sg_catalogue *base,
                        sg_error *err); /* base: borrowed, not a snapshot */
void sg_living_free(sg_living *l);      /* no reader is left */

/* Editing. On failure nothing has changed. An item number that was dropped may come back, with these codes or others. */
sg_status sg_living_put(sg_living *l, int32_t item, const int32_t *codes,
                        sg_error *err);                              /* codes (levels), free */
sg_status sg_living_drop(sg_living *l, int32_t item, sg_error *err); /* one item has to remain */
sg_status sg_living_publish(sg_living *l, sg_error *err);
const sg_catalogue *
sg_living_draft(const sg_living *l); /* with the edits that are not published; for the editor only */

/* Reading: a thread joins once, then pins a snapshot for each piece of work, one at a time. */
sg_status sg_living_join(sg_living *l, int *reader, sg_error *err);
void sg_living_leave(sg_living *l, int reader);
const sg_catalogue *sg_living_pin(sg_living *l, int reader);
void sg_living_unpin(sg_living *l, int reader);
uint64_t sg_catalogue_version(const sg_catalogue *c); /* of a snapshot: publications before it; else 0 */

#endif
