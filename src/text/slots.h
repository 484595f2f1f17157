/* slots.h - what a dataset knows of its items and users, as values for the slots of templates.
 *
 *   item   id, text (all columns that say something), and every text column by its name
 *   user   id, history (items in the order of events, by name), events (how many were told)
 *
 * A text about a user may only know what came before the first event that is learned or asked with it: the last `held` events are
 * never told, and `first` bounds what is. How far a user's text has seen is kept with it (sg_slots_told). */
#ifndef SG_TEXT_SLOTS_H
#define SG_TEXT_SLOTS_H

#include "base/option.h"
#include "data/dataset.h"
#include "text/template.h"

#define SG_SLOTS_OPTIONS(X)                                                                                  \
    X(choice, of, item, 0, 0, "item|user: whom the texts are about")                                         \
    X(text, columns, "", 0, 255, "slot text: text columns, comma separated (empty: all)")                    \
    X(text, history_column, "", 0, 255, "user: text column that names the items (empty: title, or all)")     \
    X(int, held, 2, 0, 2147483647, "user: this many last events are never told")                             \
    X(int, first, 0, 0, 2147483647,                                                                          \
      "user: only this many events from the first on are told (0: all but held)")                            \
    X(int, latest, 50, 1, 2147483647, "user: of those the last ones that are in the history")

typedef struct sg_slots_config {
    SG_SLOTS_OPTIONS(SG_OPTION_FIELD)
} sg_slots_config;
extern const sg_option sg_slots_options[];
extern const size_t sg_n_slots_options;

typedef struct sg_slots sg_slots; /* one thread's */
sg_status sg_slots_open(sg_slots **out, const sg_dataset *d, const sg_slots_config *c,
                        sg_error *err); /* d must outlive it */
void sg_slots_close(sg_slots *s);

const char *const *sg_slots_names(const sg_slots *s, size_t *n); /* for sg_template_bind */
const char *sg_slots_kind(const sg_slots *s);                    /* "item", "user" */
size_t sg_slots_subjects(const sg_slots *s);
sg_bytes sg_slots_id(const sg_slots *s, size_t subject);
int64_t
sg_slots_told(const sg_slots *s,
              size_t subject); /* events of a user, from the first on, that its values may tell; item: 0 */
/* The value of name number `which`; valid until one is asked of another subject. */
sg_status sg_slots_value(sg_slot_value *out, sg_slots *s, size_t subject, size_t which, sg_error *err);

#endif
