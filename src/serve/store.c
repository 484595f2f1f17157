/* store.c - which kind of store an address means, and the door to it. */
#include "serve/store_class.h"

#include <string.h>
#include <strings.h>

static bool is_postgres(const char *where)
{
    return strncasecmp(where, "postgresql://", 13) == 0 || strncasecmp(where, "postgres://", 11) == 0;
}

static const sg_store_class *class_of(const char *where)
{
#ifdef SG_POSTGRES
    return is_postgres(where) ? &sg_store_postgres : &sg_store_sqlite;
#else
    return is_postgres(where) ? NULL : &sg_store_sqlite;
#endif
}

sg_status sg_store_open(sg_store **out, const char *where, int wait_ms, sg_error *err)
{
    const sg_store_class *c = class_of(where);

    *out = NULL;
    return c ? c->open(out, where, wait_ms, err)
             : sg_fail(err, SG_ERR_USAGE,
                       "store: expected a file: this build knows no PostgreSQL (libpq was not there)");
}

int sg_store_id_max(const char *where)
{
    const sg_store_class *c = class_of(where);

    return c ? c->id_max : 0;
}

void sg_store_close(sg_store *s)
{
    if (s)
        s->class->close(s);
}

sg_status sg_store_check(sg_store *s, sg_error *err)
{
    return s->class->check(s, err);
}

sg_status sg_store_begin(sg_store *s, sg_error *err)
{
    return s->class->begin(s, err);
}

sg_status sg_store_add(sg_store *s, const sg_store_event *e, bool *fresh, size_t n, sg_error *err)
{
    return s->class->add(s, e, fresh, n, err);
}

sg_status sg_store_commit(sg_store *s, sg_error *err)
{
    return s->class->commit(s, err);
}

void sg_store_rollback(sg_store *s)
{
    s->class->rollback(s);
}

sg_status sg_store_events(sg_store *s, sg_bytes user, int most, sg_store_each *each, void *ctx, sg_error *err)
{
    return s->class->events(s, user, most, each, ctx, err);
}

sg_status sg_store_count(sg_store *s, sg_bytes user, int64_t *n, sg_error *err)
{
    return s->class->count(s, user, n, err);
}

sg_status sg_store_erased(sg_store *s, sg_bytes user, bool *erased, sg_error *err)
{
    return s->class->erased(s, user, erased, err);
}

sg_status sg_store_erase(sg_store *s, sg_bytes user, bool remember, int64_t *n, sg_error *err)
{
    return s->class->erase(s, user, remember, n, err);
}

sg_status sg_store_flush(sg_store *s, sg_error *err)
{
    return s->class->flush(s, err);
}

sg_status sg_store_put_item(sg_store *s, const sg_store_item *item, sg_error *err)
{
    return s->class->put_item(s, item, err);
}

sg_status sg_store_remove_item(sg_store *s, sg_bytes id, sg_error *err)
{
    return s->class->remove_item(s, id, err);
}

sg_status sg_store_items(sg_store *s, bool gone, sg_store_each_item *each, void *ctx, sg_error *err)
{
    return s->class->items(s, gone, each, ctx, err);
}
