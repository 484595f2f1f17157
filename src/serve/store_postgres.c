/* store_postgres.c - the store in PostgreSQL: its tables, and what is asked of them.
 *
 * A handle is a connection (store_postgres_link.h). A reading statement that found it broken is asked again on a new one. A commit that
 * breaks is not: nobody knows whether it happened, and the caller says so.
 *
 * Transactions that write take one lock of the database first, whoever makes them. So they follow each other, numbers rise in the
 * order of commits, and no two of them ever wait for each other; each carries what many requests brought, in one statement. */
#include "serve/store_class.h"

#include "base/alloc.h"
#include "serve/store_postgres_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row of an index holds 2,704 bytes */
enum { ID_MAX = 2000, OID_TEXT = 25, OID_INT8 = 20 };

enum { ADD, EVENTS, COUNT, IS_ERASED, ERASE, REMEMBER, PUT_ITEM, REMOVE_ITEM, ITEMS, CHECK, N_STATEMENTS };
static const sg_pg_statement sql[N_STATEMENTS] = {
    [ADD] = {"add", "INSERT INTO sedge_events (user_id, item, time, action, id) "
                    "SELECT u, i, t, a, d FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], "
                    "$5::text[]) WITH ORDINALITY AS e (u, i, t, a, d, n) ORDER BY n "
                    "ON CONFLICT (id) DO NOTHING RETURNING id"},
    [EVENTS] = {"events", "SELECT user_id, item, time, action, id FROM (SELECT * FROM sedge_events WHERE "
                          "user_id = $1::text ORDER BY time DESC, number DESC LIMIT $2::int) AS latest "
                          "ORDER BY time, number"},
    [COUNT] = {"count", "SELECT count(*) FROM sedge_events WHERE user_id = $1::text"},
    [IS_ERASED] = {"is_erased", "SELECT 1 FROM sedge_erased WHERE user_id = $1::text"},
    [ERASE] = {"erase", "DELETE FROM sedge_events WHERE user_id = $1::text"},
    [REMEMBER] = {"remember", "INSERT INTO sedge_erased (user_id) VALUES ($1::text) ON CONFLICT DO NOTHING"},
    [PUT_ITEM] =
        {"put_item",
         "INSERT INTO sedge_items (id, gone, texts, tower, codes, expires) VALUES ($1::text, false, "
         "$2::text, "
         "$3::text, $4::text, $5::bigint) ON CONFLICT (id) DO UPDATE SET number = DEFAULT, gone = false, "
         "texts = excluded.texts, tower = excluded.tower, codes = excluded.codes, expires = "
         "excluded.expires"},
    [REMOVE_ITEM] = {"remove_item", "INSERT INTO sedge_items (id, gone) VALUES ($1::text, true) "
                                    "ON CONFLICT (id) DO UPDATE SET gone = true"},
    [ITEMS] =
        {"items",
         "SELECT id, texts, tower, codes, expires FROM sedge_items WHERE gone = $1::boolean ORDER BY number"},
    [CHECK] = {"ready", "SELECT 1"},
};
_Static_assert((int)N_STATEMENTS <= (int)SG_PG_STATEMENTS_MAX, "room for what is prepared");

/* Step i brings a store of version i to version i + 1. */
static const char *const steps[] = {
    "CREATE TABLE sedge_version (version int NOT NULL);"
    "INSERT INTO sedge_version VALUES (0);"
    "CREATE TABLE sedge_events (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id text COLLATE "
    "\"C\" NOT NULL, item text NOT NULL, time bigint NOT NULL, action text, id text COLLATE \"C\" UNIQUE);"
    "CREATE INDEX sedge_events_by_user ON sedge_events (user_id, time, number);"
    "CREATE TABLE sedge_erased (user_id text COLLATE \"C\" PRIMARY KEY);",
    "CREATE TABLE sedge_items (number bigint GENERATED ALWAYS AS IDENTITY, id text COLLATE \"C\" PRIMARY "
    "KEY, gone boolean NOT NULL, "
    "texts text, tower text, codes text, expires bigint);",
};
enum { VERSION = sizeof steps / sizeof *steps };

/* The lock of those who write, for a transaction or for as long as the connection holds it. */
#define LOCK_KEY "(hashtext('sedge'), hashtext(current_schema()))"
static const char begin_text[] =
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock" LOCK_KEY;

typedef struct store {
    sg_store base;
    sg_pg pg;
} store;

static sg_pg *pg_of(sg_store *s)
{
    return &((store *)s)->pg;
}

/* ---- tables ----------------------------------------------------------------------------------------- */
static sg_status read_version(sg_pg *p, int *version, sg_error *err)
{
    PGresult *r;
    sg_status st;

    *version = 0;
    if ((st = sg_pg_query(p, "SELECT to_regclass('sedge_version')", &r, err)))
        return st;
    const bool none = PQgetisnull(r, 0, 0);

    PQclear(r);
    if (none)
        return SG_OK;
    if ((st = sg_pg_query(p, "SELECT max(version) FROM sedge_version", &r, err)))
        return st;
    *version = atoi(PQgetvalue(r, 0, 0));
    PQclear(r);
    return SG_OK;
}

/* The version is read again under the lock: another process may have done it all meanwhile. The transaction begins when the lock is
 * there; one that waited for it within would remember from before that there was no table. */
static sg_status take_steps(sg_pg *p, sg_error *err)
{
    char set_version[80];
    int version = 0;
    sg_status st;

    snprintf(set_version, sizeof set_version, "UPDATE sedge_version SET version = %d", VERSION);
    if ((st = sg_pg_run(p, "SELECT pg_advisory_lock" LOCK_KEY, err)) ||
        (st = sg_pg_run(p, "BEGIN READ WRITE", err)))
        return st; /* a caller that gets an error drops the connection, and with it all of this */
    st = read_version(p, &version, err);
    for (int i = version; !st && i < VERSION; i++)
        st = sg_pg_run(p, steps[i], err);
    if (!st && version < VERSION)
        st = sg_pg_run(p, set_version, err);
    if (!st && !(st = sg_pg_run(p, "COMMIT", err)))
        st = sg_pg_run(p, "SELECT pg_advisory_unlock" LOCK_KEY, err);
    return st;
}

static sg_status check_tables(sg_pg *p, sg_error *err)
{
    int version = 0;
    sg_status st = read_version(p, &version, err);

    if (st || version == VERSION)
        return st;
    if (version > VERSION)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a store of version %d, found %d", p->name, VERSION,
                       version);
    return take_steps(p, err);
}

static void close_store(sg_store *base)
{
    sg_pg_fini(pg_of(base));
    sg_free(base);
}

static sg_status open_store(sg_store **out, const char *address, int wait_ms, sg_error *err)
{
    static const sg_pg_spec spec = {sql, check_tables};
    store *s = sg_alloc_zero(1, sizeof *s);
    sg_status st;

    if (!s)
        return sg_fail_memory(err, "store");
    s->base.class = &sg_store_postgres;
    if ((st = sg_pg_open(&s->pg, &spec, address, wait_ms, err))) {
        close_store(&s->base);
        return st;
    }
    *out = &s->base;
    return SG_OK;
}

static sg_status check(sg_store *base, sg_error *err)
{
    PGresult *r;
    const sg_status st = sg_pg_ask(pg_of(base), CHECK, &(sg_pg_params){0}, &r, err);

    PQclear(r);
    return st;
}

/* ---- writing ---------------------------------------------------------------------------------------- */
static sg_status begin(sg_store *base, sg_error *err)
{
    return sg_pg_begin(pg_of(base), begin_text, err);
}

static sg_status commit(sg_store *base, sg_error *err)
{
    return sg_pg_commit(pg_of(base), err);
}

static void rollback(sg_store *base)
{
    sg_pg_rollback(pg_of(base));
}

static void add_int(sg_buf *b, uint64_t v, int bytes)
{
    while (bytes--)
        sg_buf_putc(b, (char)(v >> 8 * bytes));
}

/* An array in the vendor's binary form: dimensions, whether it holds NULL, type, length, first index; then each with its size. */
static void start_array(sg_buf *b, uint32_t type, size_t n)
{
    add_int(b, 1, 4);
    add_int(b, 1, 4);
    add_int(b, type, 4);
    add_int(b, n, 4);
    add_int(b, 1, 4);
}

static void add_element(sg_buf *b, sg_bytes text)
{
    add_int(b, text.size ? text.size : UINT32_MAX, 4); /* nothing is NULL */
    sg_buf_add(b, text.data, text.size);
}

static void write_arrays(sg_buf array[5], const sg_store_event *e, size_t n)
{
    for (int a = 0; a < 5; a++)
        start_array(&array[a], a == 2 ? OID_INT8 : OID_TEXT, n);
    for (size_t i = 0; i < n; i++) {
        add_element(&array[0], e[i].user);
        add_element(&array[1], e[i].item);
        add_int(&array[2], 8, 4);
        add_int(&array[2], (uint64_t)e[i].time, 8);
        add_element(&array[3], e[i].action);
        add_element(&array[4], e[i].id);
    }
}

static bool is_value(const PGresult *r, int row, sg_bytes text)
{
    if (text.size == 0)
        return PQgetisnull(r, row, 0);
    return !PQgetisnull(r, row, 0) && (size_t)PQgetlength(r, row, 0) == text.size &&
           memcmp(PQgetvalue(r, row, 0), text.data, text.size) == 0;
}

static sg_status add(sg_store *base, const sg_store_event *e, bool *fresh, size_t n, sg_error *err)
{
    sg_buf array[5] = {0};
    PGresult *r = NULL;
    sg_pg_params p = {0};
    sg_status st = SG_OK;

    if (!n)
        return SG_OK;
    write_arrays(array, e, n);
    for (int a = 0; a < 5; a++) {
        if (array[a].failed || array[a].size > INT32_MAX)
            st = sg_fail_memory(err, "events");
        sg_pg_add(&p, (sg_bytes){array[a].data, array[a].size});
    }
    if (!st && !(st = sg_pg_ask(pg_of(base), ADD, &p, &r, err)))
        for (size_t i = 0, row = 0; i < n;
             i++) { /* what was stored comes back in the order in which it was sent */
            fresh[i] = (int)row < PQntuples(r) && is_value(r, (int)row, e[i].id);
            row += fresh[i];
        }
    PQclear(r);
    for (int a = 0; a < 5; a++)
        sg_buf_free(&array[a]);
    return st;
}

static sg_status erase(sg_store *base, sg_bytes user, bool remember, int64_t *n, sg_error *err)
{
    PGresult *r;
    sg_pg_params p = {0};
    sg_status st;

    sg_pg_add(&p, user);
    if ((st = sg_pg_ask(pg_of(base), ERASE, &p, &r, err)))
        return st;
    *n = strtoll(PQcmdTuples(r), NULL, 10);
    PQclear(r);
    if (!remember)
        return SG_OK;
    st = sg_pg_ask(pg_of(base), REMEMBER, &p, &r, err);
    PQclear(r);
    return st;
}

static sg_status flush(sg_store *base, sg_error *err)
{
    (void)base;
    (void)err;
    return SG_OK;
}

/* ---- reading ---------------------------------------------------------------------------------------- */
static sg_bytes text_at(const PGresult *r, int row, int column)
{
    return (sg_bytes){PQgetvalue(r, row, column), (size_t)PQgetlength(r, row, column)};
}

static sg_status events(sg_store *base, sg_bytes user, int most, sg_store_each *each, void *ctx,
                        sg_error *err)
{
    char limit[16];
    PGresult *r;
    sg_pg_params p = {0};
    sg_status st;

    snprintf(limit, sizeof limit, "%d", most);
    sg_pg_add(&p, user);
    p.value[p.n++] = limit;
    if ((st = sg_pg_ask(pg_of(base), EVENTS, &p, &r, err)))
        return st;
    for (int i = 0; !st && i < PQntuples(r); i++) {
        const sg_store_event e = {.user = text_at(r, i, 0),
                                  .item = text_at(r, i, 1),
                                  .time = strtoll(PQgetvalue(r, i, 2), NULL, 10),
                                  .action = text_at(r, i, 3),
                                  .id = text_at(r, i, 4)};

        st = each(ctx, &e, err);
    }
    PQclear(r);
    return st;
}

/* *out: the first column of the only row, 0 when there is none. */
static sg_status one_int(sg_store *base, int which, sg_bytes user, int64_t *out, sg_error *err)
{
    PGresult *r;
    sg_pg_params p = {0};
    sg_status st;

    *out = 0;
    sg_pg_add(&p, user);
    if ((st = sg_pg_ask(pg_of(base), which, &p, &r, err)))
        return st;
    if (PQntuples(r))
        *out = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return SG_OK;
}

static sg_status count(sg_store *base, sg_bytes user, int64_t *n, sg_error *err)
{
    return one_int(base, COUNT, user, n, err);
}

static sg_status was_erased(sg_store *base, sg_bytes user, bool *erased, sg_error *err)
{
    int64_t found;
    const sg_status st = one_int(base, IS_ERASED, user, &found, err);

    *erased = found != 0;
    return st;
}

static sg_status put_item(sg_store *base, const sg_store_item *item, sg_error *err)
{
    char expires[24];
    PGresult *r;
    sg_pg_params p = {0};
    sg_status st;

    snprintf(expires, sizeof expires, "%lld", (long long)item->expires);
    sg_pg_add(&p, item->id);
    sg_pg_add(&p, item->texts);
    sg_pg_add(&p, item->tower);
    sg_pg_add(&p, item->codes);
    p.value[p.n++] = expires;
    st = sg_pg_ask(pg_of(base), PUT_ITEM, &p, &r, err);
    PQclear(r);
    return st;
}

static sg_status remove_item(sg_store *base, sg_bytes id, sg_error *err)
{
    PGresult *r;
    sg_pg_params p = {0};
    sg_status st;

    sg_pg_add(&p, id);
    st = sg_pg_ask(pg_of(base), REMOVE_ITEM, &p, &r, err);
    PQclear(r);
    return st;
}

static sg_status items(sg_store *base, bool gone, sg_store_each_item *each, void *ctx, sg_error *err)
{
    PGresult *r;
    sg_pg_params p = {.n = 1, .value = {gone ? "true" : "false"}};
    sg_status st;

    if ((st = sg_pg_ask(pg_of(base), ITEMS, &p, &r, err)))
        return st;
    for (int i = 0; !st && i < PQntuples(r); i++) {
        const sg_store_item item = {.id = text_at(r, i, 0),
                                    .texts = text_at(r, i, 1),
                                    .tower = text_at(r, i, 2),
                                    .codes = text_at(r, i, 3),
                                    .expires = strtoll(PQgetvalue(r, i, 4), NULL, 10)};

        st = each(ctx, &item, err);
    }
    PQclear(r);
    return st;
}

const sg_store_class sg_store_postgres = {
    .id_max = ID_MAX,
    .open = open_store,
    .close = close_store,
    .check = check,
    .begin = begin,
    .add = add,
    .commit = commit,
    .rollback = rollback,
    .events = events,
    .count = count,
    .erased = was_erased,
    .erase = erase,
    .flush = flush,
    .put_item = put_item,
    .remove_item = remove_item,
    .items = items,
};
