/* store.h - what users did since the dataset was made: appended, read by user, erased; and which items came and went. In an SQLite
 * file of one machine, or in PostgreSQL for servers on several.
 *
 * One handle is one connection and belongs to one thread at a time; any number may be open on a store, from any number of
 * processes. What a commit has returned from is on the disk: a process that is killed at any moment loses nothing that was
 * committed. Commits happen one after the other, whoever makes them, and events have numbers in that order: nothing is ever put
 * before an event of the same time that somebody has read.
 *
 * SG_ERR_AWAY: the store did not answer, or not in time. A handle finds back to it by itself, at its next use. */
#ifndef SG_SERVE_STORE_H
#define SG_SERVE_STORE_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_store sg_store;

typedef struct sg_store_event {
    sg_bytes user, item, action,
        id;       /* action, id: size 0: none. An id is stored once, whatever comes again under it */
    int64_t time; /* seconds since 1970 */
} sg_store_event;

/* where: a file, made when it is not there; or postgresql://USER@HOST/DATABASE, whose tables are made when they are not there.
 * wait_ms: what takes longer has failed. */
sg_status sg_store_open(sg_store **out, const char *where, int wait_ms, sg_error *err);
void sg_store_close(sg_store *s);
int sg_store_id_max(const char *where); /* bytes of an id that the store takes; 0: any */
/* Is it there? After it was away, the way to find out. */
sg_status sg_store_check(sg_store *s, sg_error *err);

sg_status sg_store_begin(sg_store *s, sg_error *err);
/* fresh (n): the event was not there under its id. Once in a transaction. */
sg_status sg_store_add(sg_store *s, const sg_store_event *e, bool *fresh, size_t n, sg_error *err);
/* SG_ERR_AWAY: it may have happened or not. */
sg_status sg_store_commit(sg_store *s, sg_error *err);
void sg_store_rollback(sg_store *s);

/* Calls each for the latest `most` events of a user, oldest first; returns what it returned when that is no
 * SG_OK. */
typedef sg_status sg_store_each(void *ctx, const sg_store_event *e, sg_error *err);
sg_status sg_store_events(sg_store *s, sg_bytes user, int most, sg_store_each *each, void *ctx,
                          sg_error *err);
sg_status sg_store_count(sg_store *s, sg_bytes user, int64_t *n, sg_error *err);
/* Was the user erased? What the dataset holds of such a user is not read any more; events that came later
 * are. */
sg_status sg_store_erased(sg_store *s, sg_bytes user, bool *erased, sg_error *err);
/* Removes the user's events, within a transaction. remember: the id stays, as erased. *n: events removed. */
sg_status sg_store_erase(sg_store *s, sg_bytes user, bool remember, int64_t *n, sg_error *err);
/* SQLite: moves the log into the file and empties it, so that what was erased is in neither. PostgreSQL: nothing; its own
 * upkeep takes what was erased out of its files. Outside a transaction. */
sg_status sg_store_flush(sg_store *s, sg_error *err);

/* An item that was added, or (gone) removed; the latest word on each id. */
typedef struct sg_store_item {
    sg_bytes id, texts;    /* texts: JSON; size 0: of an item that was only removed */
    sg_bytes tower, codes; /* the semantic ID that it got, "17,3,0", and what made it; size 0: none */
    int64_t expires;       /* seconds since 1970; 0: never */
} sg_store_item;
/* It is there, whatever was. Within a transaction, as the next. */
sg_status sg_store_put_item(sg_store *s, const sg_store_item *item, sg_error *err);
sg_status sg_store_remove_item(sg_store *s, sg_bytes id, sg_error *err); /* what is known of it stays */
/* Calls each for those that are gone, or those that are there, in the order in which they came. */
typedef sg_status sg_store_each_item(void *ctx, const sg_store_item *item, sg_error *err);
sg_status sg_store_items(sg_store *s, bool gone, sg_store_each_item *each, void *ctx, sg_error *err);

#endif
