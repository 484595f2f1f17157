/* store_postgres.c - PostgreSQL behind our own words; no other file names it.
 *
 * A handle is a connection. One that breaks is made again at the next use, at once the first time and then with pauses that grow; a
 * reading statement that found its connection broken is asked again on the new one. A commit that breaks is not: nobody knows
 * whether it happened, and the caller says so.
 *
 * Transactions that write take one lock of the database first, whoever makes them. So they follow each other, numbers rise in the
 * order of commits, and no two of them ever wait for each other; each carries what many requests brought, in one statement.
 *
 * No text of the vendor that could hold the address as it was given, password and all, is passed on. */
#include "serve/store_class.h"

#include "base/alloc.h"
#include "base/progress.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row of an index holds 2,704 bytes */
enum { ID_MAX = 2000, GRACE_MS = 1000, OID_TEXT = 25, OID_INT8 = 20 };
static const double PAUSE_FIRST = 0.1, PAUSE_MOST = 5;

typedef enum statement { ADD, EVENTS, COUNT, IS_ERASED, ERASE, REMEMBER, PUT_ITEM, REMOVE_ITEM, ITEMS, CHECK, N_STATEMENTS } statement;
static const struct {
    const char *name, *text;
} sql[N_STATEMENTS] = {
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
    [PUT_ITEM] = {"put_item", "INSERT INTO sedge_items (id, gone, texts, tower, codes, expires) VALUES ($1::text, false, $2::text, "
                              "$3::text, $4::text, $5::bigint) ON CONFLICT (id) DO UPDATE SET number = DEFAULT, gone = false, "
                              "texts = excluded.texts, tower = excluded.tower, codes = excluded.codes, expires = excluded.expires"},
    [REMOVE_ITEM] = {"remove_item", "INSERT INTO sedge_items (id, gone) VALUES ($1::text, true) "
                                    "ON CONFLICT (id) DO UPDATE SET gone = true"},
    [ITEMS] = {"items", "SELECT id, texts, tower, codes, expires FROM sedge_items WHERE gone = $1::boolean ORDER BY number"},
    [CHECK] = {"ready", "SELECT 1"},
};

/* Step i brings a store of version i to version i + 1. */
static const char *const steps[] = {
    "CREATE TABLE sedge_version (version int NOT NULL);"
    "INSERT INTO sedge_version VALUES (0);"
    "CREATE TABLE sedge_events (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id text COLLATE "
    "\"C\" NOT NULL, item text NOT NULL, time bigint NOT NULL, action text, id text COLLATE \"C\" UNIQUE);"
    "CREATE INDEX sedge_events_by_user ON sedge_events (user_id, time, number);"
    "CREATE TABLE sedge_erased (user_id text COLLATE \"C\" PRIMARY KEY);",
    "CREATE TABLE sedge_items (number bigint GENERATED ALWAYS AS IDENTITY, id text COLLATE \"C\" PRIMARY KEY, gone boolean NOT NULL, "
    "texts text, tower text, codes text, expires bigint);",
};
enum { VERSION = sizeof steps / sizeof *steps };

/* The lock of those who write, for a transaction or for as long as the connection holds it. */
#define LOCK_KEY "(hashtext('sedge'), hashtext(current_schema()))"
static const char begin_text[] =
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock" LOCK_KEY;

typedef struct store {
    sg_store base;
    PGconn *db;           /* NULL: not connected */
    char *address, *name; /* owned: as it was given; without what is secret */
    bool prepared[N_STATEMENTS], in_transaction, late;
    int wait_ms;
    double pause, next_try; /* seconds; sg_now() before which no connection is tried */
} store;

static store *own(sg_store *s)
{
    return (store *)s;
}

/* ---- errors ----------------------------------------------------------------------------------------- */
static void drop(store *s)
{
    PQfinish(s->db);
    s->db = NULL;
    s->in_transaction = false;
    memset(s->prepared, 0, sizeof s->prepared);
}

/* The vendor's texts have several lines, and one at the end. */
static sg_status fail_text(const store *s, sg_status st, const char *text, sg_error *err)
{
    char line[600];
    size_t n = 0;

    for (; *text && n < sizeof line - 1; text++)
        if (*text == '\t')
            line[n++] = ' ';
        else if (*text != '\n')
            line[n++] = *text;
        else if (text[1])
            line[n++] = ';';
    line[n] = 0;
    return sg_fail(err, st, "%s: %s", s->name, line);
}

/* States of SQL after which the same may work, here or on another server of the address: the server is stopping or starting (57P),
 * is a standby (25006), has no room for connections, memory, files (53), took too long (57014), another was in the way (55P03,
 * 40). */
static bool may_pass(const char *state)
{
    static const char *const list[] = {"08", "57P", "25006", "53", "57014", "55P03", "40"};

    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strncmp(state, list[i], strlen(list[i])) == 0)
            return true;
    return false;
}

static sg_status fail_lost(store *s, sg_error *err)
{
    const sg_status st = fail_text(s, SG_ERR_AWAY, PQerrorMessage(s->db), err);

    drop(s);
    return st;
}

static sg_status fail_late(store *s, sg_error *err)
{
    s->late = true;
    drop(s);
    return sg_fail(err, SG_ERR_AWAY, "%s: no answer within %d ms", s->name, s->wait_ms + GRACE_MS);
}

/* r is taken. */
static sg_status fail_result(store *s, PGresult *r, sg_error *err)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    sg_status st;

    if (PQstatus(s->db) != CONNECTION_OK) {
        PQclear(r);
        return fail_lost(s, err);
    }
    st = fail_text(s, state && may_pass(state) ? SG_ERR_AWAY : SG_ERR_IO, text ? text : "no result", err);
    if (state && (strncmp(state, "57P", 3) == 0 || strcmp(state, "25006") == 0))
        drop(s);
    PQclear(r);
    return st;
}

/* ---- one question and its answer -------------------------------------------------------------------- */
static bool wait_for(const store *s, short events, double until)
{
    struct pollfd p = {.fd = PQsocket(s->db), .events = events};
    double left;
    int n;

    do {
        left = until - sg_now();
        n = poll(&p, 1, left > 0 ? (int)(left * 1000) + 1 : 0);
    } while (n < 0 && errno == EINTR);
    return n != 0;
}

static sg_status send_out(store *s, double until, sg_error *err)
{
    int left;

    while ((left = PQflush(s->db)) > 0) {
        if (!wait_for(s, POLLIN | POLLOUT, until))
            return fail_late(s, err);
        if (!PQconsumeInput(s->db)) /* a server that cannot speak to us does not listen either */
            return fail_lost(s, err);
    }
    return left < 0 ? fail_lost(s, err) : SG_OK;
}

/* Of several results the last, or the first that is an error. */
static sg_status read_results(store *s, PGresult **out, double until, sg_error *err)
{
    PGresult *last = NULL, *r;

    for (;;) {
        while (PQisBusy(s->db)) {
            if (!wait_for(s, POLLIN, until)) {
                PQclear(last);
                return fail_late(s, err);
            }
            if (!PQconsumeInput(s->db)) {
                PQclear(last);
                return fail_lost(s, err);
            }
        }
        if (!(r = PQgetResult(s->db)))
            break;
        if (last && PQresultStatus(last) == PGRES_FATAL_ERROR) {
            PQclear(r);
            continue;
        }
        PQclear(last);
        last = r;
    }
    if (!last)
        return fail_lost(s, err);
    if (PQresultStatus(last) != PGRES_TUPLES_OK && PQresultStatus(last) != PGRES_COMMAND_OK)
        return fail_result(s, last, err);
    *out = last;
    return SG_OK;
}

static sg_status answer(store *s, int sent, PGresult **out, sg_error *err)
{
    const double until = sg_now() + (s->wait_ms + GRACE_MS) / 1e3;
    sg_status st;

    *out = NULL;
    if (!sent)
        return fail_lost(s, err);
    return (st = send_out(s, until, err)) ? st : read_results(s, out, until, err);
}

static sg_status run_text(store *s, const char *text, sg_error *err)
{
    PGresult *r;
    const sg_status st = answer(s, PQsendQuery(s->db, text), &r, err);

    PQclear(r);
    return st;
}

/* ---- connecting ------------------------------------------------------------------------------------- */
static void hush(void *ctx, const PGresult *r)
{
    (void)ctx;
    (void)r;
}

/* What a server has to promise, and what we ask of it. */
static sg_status set_up(store *s, sg_error *err)
{
    char text[600];
    PGresult *r;
    sg_status st;

    snprintf(
        text, sizeof text,
        "SET statement_timeout = %d; SET lock_timeout = %d; SET idle_in_transaction_session_timeout = %d; "
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') "
        "= 'off'; SELECT current_setting('fsync'), current_setting('server_encoding')",
        s->wait_ms, s->wait_ms, 2 * s->wait_ms);
    if ((st = answer(s, PQsendQuery(s->db, text), &r, err)))
        return st;
    if (strcmp(PQgetvalue(r, 0, 0), "on") != 0)
        st = sg_fail(err, SG_ERR_USAGE,
                     "%s: expected a server with fsync = on: without, what it has acknowledged may be lost",
                     s->name);
    else if (strcmp(PQgetvalue(r, 0, 1), "UTF8") != 0)
        st = sg_fail(err, SG_ERR_USAGE, "%s: expected a database in UTF8, found %s", s->name,
                     PQgetvalue(r, 0, 1));
    PQclear(r);
    return st;
}

static sg_status read_version(store *s, int *version, sg_error *err)
{
    PGresult *r;
    sg_status st;

    *version = 0;
    if ((st = answer(s, PQsendQuery(s->db, "SELECT to_regclass('sedge_version')"), &r, err)))
        return st;
    const bool none = PQgetisnull(r, 0, 0);

    PQclear(r);
    if (none)
        return SG_OK;
    if ((st = answer(s, PQsendQuery(s->db, "SELECT max(version) FROM sedge_version"), &r, err)))
        return st;
    *version = atoi(PQgetvalue(r, 0, 0));
    PQclear(r);
    return SG_OK;
}

/* The version is read again under the lock: another process may have done it all meanwhile. The transaction begins when the lock is
 * there; one that waited for it within would remember from before that there was no table. */
static sg_status take_steps(store *s, sg_error *err)
{
    char set_version[80];
    int version = 0;
    sg_status st;

    snprintf(set_version, sizeof set_version, "UPDATE sedge_version SET version = %d", VERSION);
    if ((st = run_text(s, "SELECT pg_advisory_lock" LOCK_KEY, err)) ||
        (st = run_text(s, "BEGIN READ WRITE", err)))
        return st; /* a caller that gets an error drops the connection, and with it all of this */
    st = read_version(s, &version, err);
    for (int i = version; !st && i < VERSION; i++)
        st = run_text(s, steps[i], err);
    if (!st && version < VERSION)
        st = run_text(s, set_version, err);
    if (!st && !(st = run_text(s, "COMMIT", err)))
        st = run_text(s, "SELECT pg_advisory_unlock" LOCK_KEY, err);
    return st;
}

static sg_status check_tables(store *s, sg_error *err)
{
    int version = 0;
    sg_status st = read_version(s, &version, err);

    if (st || version == VERSION)
        return st;
    if (version > VERSION)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a store of version %d, found %d", s->name, VERSION,
                       version);
    return take_steps(s, err);
}

/* What stands before the address is what it may change, what stands behind it is ours. target_session_attrs: of several servers
 * the one that can be written to. */
static sg_status dial(store *s, sg_error *err)
{
    char seconds[16];
    const char *const key[] = {"connect_timeout",
                               "target_session_attrs",
                               "keepalives_idle",
                               "keepalives_interval",
                               "keepalives_count",
                               "fallback_application_name",
                               "dbname",
                               "client_encoding",
                               NULL};
    const char *const value[] = {seconds, "read-write", "10", "5", "3", "sedge", s->address, "UTF8", NULL};

    snprintf(seconds, sizeof seconds, "%d", s->wait_ms < 2000 ? 2 : s->wait_ms / 1000);
    if (!(s->db = PQconnectdbParams(key, value, 1)))
        return sg_fail_memory(err, s->name);
    if (PQstatus(s->db) != CONNECTION_OK)
        return fail_lost(s, err);
    PQsetNoticeReceiver(s->db, hush, NULL);
    return PQsetnonblocking(s->db, 1) ? fail_lost(s, err) : SG_OK;
}

/* Servers that come back are not met by everybody in the same moment: pauses differ by a quarter, by the clock. */
static double spread(double pause)
{
    const double now = sg_now() * 1e6;

    return pause * (0.75 + 0.5 * (double)((uint64_t)now % 1000) / 1000);
}

static sg_status connect_again(store *s, sg_error *err)
{
    sg_status st;

    if (s->db)
        return SG_OK;
    if (sg_now() < s->next_try)
        return sg_fail(err, SG_ERR_AWAY, "%s: cannot be reached", s->name);
    if (!(st = dial(s, err)) && !(st = set_up(s, err)) && !(st = check_tables(s, err))) {
        s->pause = 0;
        return SG_OK;
    }
    drop(s);
    s->pause = s->pause < PAUSE_FIRST ? PAUSE_FIRST : 2 * s->pause < PAUSE_MOST ? 2 * s->pause : PAUSE_MOST;
    s->next_try = sg_now() + spread(s->pause);
    return st;
}

/* ---- opening ---------------------------------------------------------------------------------------- */
static const char *setting(const PQconninfoOption *o, const char *key)
{
    for (; o->keyword; o++)
        if (strcmp(o->keyword, key) == 0)
            return o->val ? o->val : "";
    return "";
}

/* A secret with a special character that is not escaped would stand as part of the host, the port or the database, and in messages
 * about them. */
static bool is_readable(const PQconninfoOption *o)
{
    const char *port = setting(o, "port");

    return !strchr(setting(o, "host"), '@') && !strchr(setting(o, "dbname"), '@') && !strchr(port, '@') &&
           port[strspn(port, "0123456789,")] == 0;
}

/* "postgresql://user@host:port/database", without secrets and other settings. */
static char *name_of(const PQconninfoOption *o)
{
    const char *user = setting(o, "user"), *port = setting(o, "port");
    sg_buf b = {0};

    sg_buf_printf(&b, "postgresql://%s%s%s%s%s/%s", user, *user ? "@" : "", setting(o, "host"),
                  *port ? ":" : "", port, setting(o, "dbname"));
    return sg_buf_take(&b);
}

static sg_status take_address(store *s, const char *address, sg_error *err)
{
    char *why = NULL;
    PQconninfoOption *o = PQconninfoParse(address, &why);
    sg_status st = SG_OK;

    PQfreemem(why); /* holds the address */
    if (!o || !is_readable(o))
        st = sg_fail(
            err, SG_ERR_USAGE,
            "store: expected postgresql://USER@HOST:PORT/DATABASE?SETTING=VALUE, with %%XX for special "
            "characters (%%40 for @, %%2F for /)");
    else if (!(s->address = sg_strdup(address)) || !(s->name = name_of(o)))
        st = sg_fail_memory(err, "store");
    PQconninfoFree(o);
    return st;
}

static void close_store(sg_store *base)
{
    store *s = own(base);

    drop(s);
    sg_free(s->address);
    sg_free(s->name);
    sg_free(s);
}

static sg_status open_store(sg_store **out, const char *address, int wait_ms, sg_error *err)
{
    store *s = sg_alloc_zero(1, sizeof *s);
    sg_status st;

    if (!s)
        return sg_fail_memory(err, "store");
    s->base.class = &sg_store_postgres;
    s->wait_ms = wait_ms;
    if ((st = take_address(s, address, err)) || (st = connect_again(s, err))) {
        close_store(&s->base);
        return st;
    }
    *out = &s->base;
    return SG_OK;
}

/* ---- statements ------------------------------------------------------------------------------------- */
typedef struct params {
    int n, size[5], binary[5];
    const char *value[5];
} params;

static void add_text(params *p, sg_bytes text)
{
    p->value[p->n] = text.data;
    p->size[p->n] = (int)text.size;
    p->binary[p->n++] = 1;
}

static sg_status prepare(store *s, statement which, sg_error *err)
{
    PGresult *r;
    sg_status st;

    if (s->prepared[which])
        return SG_OK;
    st = answer(s, PQsendPrepare(s->db, sql[which].name, sql[which].text, 0, NULL), &r, err);
    PQclear(r);
    s->prepared[which] = !st;
    return st;
}

static sg_status ask_once(store *s, statement which, const params *p, PGresult **out, sg_error *err)
{
    const sg_status st = prepare(s, which, err);

    *out = NULL;
    return st ? st
              : answer(s, PQsendQueryPrepared(s->db, sql[which].name, p->n, p->value, p->size, p->binary, 0),
                       out, err);
}

/* Outside a transaction, a connection that turns out to be broken is made anew, once. Not after a long silence: that would be
 * the second one for whoever waits. */
static sg_status ask(store *s, statement which, const params *p, PGresult **out, sg_error *err)
{
    const bool inside = s->in_transaction;
    sg_status st;

    *out = NULL;
    s->late = false;
    if ((st = connect_again(s, err)) || !(st = ask_once(s, which, p, out, err)))
        return st;
    if (s->db || inside || s->late || (st = connect_again(s, err)))
        return st;
    return ask_once(s, which, p, out, err);
}

static sg_status check(sg_store *base, sg_error *err)
{
    PGresult *r;
    const sg_status st = ask(own(base), CHECK, &(params){0}, &r, err);

    PQclear(r);
    return st;
}

/* ---- writing ---------------------------------------------------------------------------------------- */
static sg_status begin(sg_store *base, sg_error *err)
{
    store *s = own(base);
    sg_status st;

    s->late = false;
    if ((st = connect_again(s, err)))
        return st;
    st = run_text(s, begin_text, err);
    if (st && !s->db && !s->late && !(st = connect_again(s, err)))
        st = run_text(s, begin_text, err);
    s->in_transaction = !st;
    if (st && s->db)
        run_text(s, "ROLLBACK", NULL); /* of a BEGIN whose lock was not to be had */
    return st;
}

static sg_status commit(sg_store *base, sg_error *err)
{
    store *s = own(base);
    PGresult *r;
    sg_status st;

    if (!s->db)
        return sg_fail(err, SG_ERR_AWAY, "%s: the connection was lost", s->name);
    st = answer(s, PQsendQuery(s->db, "COMMIT"), &r, err);
    s->in_transaction = false;
    if (!st && strcmp(PQcmdStatus(r), "COMMIT") != 0) /* a transaction that had failed is rolled back by it */
        st = sg_fail(err, SG_ERR_IO, "%s: the transaction was rolled back", s->name);
    PQclear(r);
    return st;
}

static void rollback(sg_store *base)
{
    store *s = own(base);

    if (s->db && s->in_transaction && run_text(s, "ROLLBACK", NULL))
        drop(s);
    s->in_transaction = false;
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
    store *s = own(base);
    sg_buf array[5] = {0};
    PGresult *r = NULL;
    params p = {0};
    sg_status st = SG_OK;

    if (!n)
        return SG_OK;
    write_arrays(array, e, n);
    for (int a = 0; a < 5; a++) {
        if (array[a].failed || array[a].size > INT32_MAX)
            st = sg_fail_memory(err, "events");
        add_text(&p, (sg_bytes){array[a].data, array[a].size});
    }
    if (!st && !(st = ask(s, ADD, &p, &r, err)))
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
    store *s = own(base);
    PGresult *r;
    params p = {0};
    sg_status st;

    add_text(&p, user);
    if ((st = ask(s, ERASE, &p, &r, err)))
        return st;
    *n = strtoll(PQcmdTuples(r), NULL, 10);
    PQclear(r);
    if (!remember)
        return SG_OK;
    st = ask(s, REMEMBER, &p, &r, err);
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
    params p = {0};
    sg_status st;

    snprintf(limit, sizeof limit, "%d", most);
    add_text(&p, user);
    p.value[p.n++] = limit;
    if ((st = ask(own(base), EVENTS, &p, &r, err)))
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
static sg_status one_int(store *s, statement which, sg_bytes user, int64_t *out, sg_error *err)
{
    PGresult *r;
    params p = {0};
    sg_status st;

    *out = 0;
    add_text(&p, user);
    if ((st = ask(s, which, &p, &r, err)))
        return st;
    if (PQntuples(r))
        *out = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return SG_OK;
}

static sg_status count(sg_store *base, sg_bytes user, int64_t *n, sg_error *err)
{
    return one_int(own(base), COUNT, user, n, err);
}

static sg_status was_erased(sg_store *base, sg_bytes user, bool *erased, sg_error *err)
{
    int64_t found;
    const sg_status st = one_int(own(base), IS_ERASED, user, &found, err);

    *erased = found != 0;
    return st;
}

static sg_status put_item(sg_store *base, const sg_store_item *item, sg_error *err)
{
    char expires[24];
    PGresult *r;
    params p = {0};
    sg_status st;

    snprintf(expires, sizeof expires, "%lld", (long long)item->expires);
    add_text(&p, item->id);
    add_text(&p, item->texts);
    add_text(&p, item->tower);
    add_text(&p, item->codes);
    p.value[p.n++] = expires;
    st = ask(own(base), PUT_ITEM, &p, &r, err);
    PQclear(r);
    return st;
}

static sg_status remove_item(sg_store *base, sg_bytes id, sg_error *err)
{
    PGresult *r;
    params p = {0};
    sg_status st;

    add_text(&p, id);
    st = ask(own(base), REMOVE_ITEM, &p, &r, err);
    PQclear(r);
    return st;
}

static sg_status items(sg_store *base, bool gone, sg_store_each_item *each, void *ctx, sg_error *err)
{
    PGresult *r;
    params p = {.n = 1, .value = {gone ? "true" : "false"}};
    sg_status st;

    if ((st = ask(own(base), ITEMS, &p, &r, err)))
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
