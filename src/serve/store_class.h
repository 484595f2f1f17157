/* store_class.h - what a kind of store does; for store.c and the kinds. Comments are in store.h. */
#ifndef SG_SERVE_STORE_CLASS_H
#define SG_SERVE_STORE_CLASS_H

#include "serve/store.h"

typedef struct sg_store_class {
    int id_max;
    sg_status (*open)(sg_store **out, const char *where, int wait_ms, sg_error *err);
    void (*close)(sg_store *s);
    sg_status (*check)(sg_store *s, sg_error *err);
    sg_status (*begin)(sg_store *s, sg_error *err);
    sg_status (*add)(sg_store *s, const sg_store_event *e, bool *fresh, size_t n, sg_error *err);
    sg_status (*commit)(sg_store *s, sg_error *err);
    void (*rollback)(sg_store *s);
    sg_status (*events)(sg_store *s, sg_bytes user, int most, sg_store_each *each, void *ctx, sg_error *err);
    sg_status (*count)(sg_store *s, sg_bytes user, int64_t *n, sg_error *err);
    sg_status (*erased)(sg_store *s, sg_bytes user, bool *erased, sg_error *err);
    sg_status (*erase)(sg_store *s, sg_bytes user, bool remember, int64_t *n, sg_error *err);
    sg_status (*flush)(sg_store *s, sg_error *err);
    sg_status (*put_item)(sg_store *s, const sg_store_item *item, sg_error *err);
    sg_status (*remove_item)(sg_store *s, sg_bytes id, sg_error *err);
    sg_status (*items)(sg_store *s, bool gone, sg_store_each_item *each, void *ctx, sg_error *err);
} sg_store_class;

struct sg_store { /* the first member of every kind's own */
    const sg_store_class *class;
};

extern const sg_store_class sg_store_sqlite, sg_store_postgres;

#endif
