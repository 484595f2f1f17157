/* store_sqlite.c - SQLite behind our own words; no other file names it. */
#include "serve/store_class.h"

#include "base/alloc.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

typedef enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    ADD,
    EVENTS,
    COUNT,
    IS_ERASED,
    ERASE,
    REMEMBER,
    PUT_ITEM,
    REMOVE_ITEM,
    ITEMS,
    CHECK,
    N_STATEMENTS
} statement;
static const char *const sql[N_STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [ADD] = "INSERT OR IGNORE INTO events (user, item, time, action, id) VALUES (?, ?, ?, ?, ?)",
    [EVENTS] = ("SELECT user, item, time, action, id FROM (SELECT * FROM events WHERE user = ? ORDER BY time "
                "DESC, number DESC LIMIT ?) "
                "ORDER BY time, number"),
    [COUNT] = "SELECT count(*) FROM events WHERE user = ?",
    [IS_ERASED] = "SELECT 1 FROM erased WHERE user = ?",
    [ERASE] = "DELETE FROM events WHERE user = ?",
    [REMEMBER] = "INSERT OR IGNORE INTO erased (user) VALUES (?)",
    [PUT_ITEM] = "INSERT OR REPLACE INTO items (id, gone, texts, tower, codes, expires) VALUES (?, 0, ?, ?, ?, ?)",
    [REMOVE_ITEM] = "INSERT INTO items (id, gone) VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET gone = 1",
    [ITEMS] = "SELECT id, texts, tower, codes, expires FROM items WHERE gone = ? ORDER BY number",
    [CHECK] = "SELECT 1",
};

/* Step i brings a store of version i to version i + 1. */
static const char *const steps[] = {
    "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, user TEXT NOT NULL, item TEXT NOT NULL, "
    "time INTEGER NOT NULL, action TEXT, id TEXT UNIQUE);"
    "CREATE INDEX IF NOT EXISTS events_by_user ON events (user, time, number);"
    "CREATE TABLE IF NOT EXISTS erased (user TEXT PRIMARY KEY) WITHOUT ROWID;",
    "CREATE TABLE IF NOT EXISTS items (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, gone INTEGER NOT NULL, "
    "texts TEXT, tower TEXT, codes TEXT, expires INTEGER);",
};
enum { VERSION = sizeof steps / sizeof *steps };

typedef struct store {
    sg_store base;
    sqlite3 *db;
    sqlite3_stmt *made[N_STATEMENTS]; /* on first use */
    char *path;                       /* owned */
} store;

static store *own(sg_store *s)
{
    return (store *)s;
}

static sg_status fail(const store *s, int rc, sg_error *err)
{
    if (rc == SQLITE_NOMEM)
        return sg_fail_memory(err, s->path);
    if (rc == SQLITE_BUSY)
        return sg_fail(err, SG_ERR_AWAY, "%s: %s", s->path,
                       s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
    return sg_fail(err, rc == SQLITE_NOTADB || rc == SQLITE_CORRUPT ? SG_ERR_FORMAT : SG_ERR_IO, "%s: %s",
                   s->path, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

static sg_status run_text(const store *s, const char *text, sg_error *err)
{
    const int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);

    return rc ? fail(s, rc, err) : SG_OK;
}

static sg_status read_int(const store *s, const char *text, int64_t *out, sg_error *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, text, -1, &q, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    const sg_status st = rc == SQLITE_ROW ? SG_OK : fail(s, rc, err);
    sqlite3_finalize(q);
    return st;
}

/* ---- opening ---------------------------------------------------------------------------------------- */
/* The version is read again within the transaction: another process may have done it all meanwhile. */
static sg_status take_steps(store *s, sg_error *err)
{
    char set_version[48];
    int64_t version = 0;
    sg_status st;

    snprintf(set_version, sizeof set_version, "PRAGMA user_version = %d", VERSION);
    if ((st = run_text(s, "BEGIN IMMEDIATE", err)))
        return st;
    st = read_int(s, "PRAGMA user_version", &version, err);
    for (int64_t i = version; !st && i < VERSION; i++)
        st = run_text(s, steps[i], err);
    if (st || (version < VERSION && (st = run_text(s, set_version, err))) ||
        (st = run_text(s, "COMMIT", err)))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

static sg_status make_tables(store *s, sg_error *err)
{
    int64_t version = 0;
    sg_status st;

    if ((st = run_text(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON",
                       err)) ||
        (st = read_int(s, "PRAGMA user_version", &version, err)))
        return st;
    if (version > VERSION)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a store of version %d, found %lld", s->path, VERSION,
                       (long long)version);
    return version == VERSION ? SG_OK : take_steps(s, err);
}

static void close_store(sg_store *base)
{
    store *s = own(base);

    for (int i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(s->made[i]);
    sqlite3_close(s->db);
    sg_free(s->path);
    sg_free(s);
}

static sg_status open_store(sg_store **out, const char *path, int wait_ms, sg_error *err)
{
    store *s = sg_alloc_zero(1, sizeof *s);
    sg_status st = SG_OK;
    int fd, rc;

    if (!s || !(s->path = sg_strdup(path))) {
        sg_free(s);
        return sg_fail_memory(err, "store");
    }
    s->base.class = &sg_store_sqlite;
    /* A new file is its owner's alone, and what SQLite puts beside it takes its mode. An old one is not
     * touched: closing a file that SQLite has open would drop its locks. */
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    rc =
        sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc)
        st = fail(s, rc, err);
    else
        sqlite3_busy_timeout(s->db, wait_ms);
    if (!st)
        st = make_tables(s, err);
    if (st) {
        close_store(&s->base);
        return st;
    }
    *out = &s->base;
    return SG_OK;
}

/* ---- statements ------------------------------------------------------------------------------------- */
static sg_status prepare(store *s, statement which, sg_error *err)
{
    int rc;

    if (s->made[which])
        return SG_OK;
    rc = sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &s->made[which], NULL);
    return rc ? fail(s, rc, err) : SG_OK;
}

/* Texts are the caller's until the statement is reset. */
static int bind_text(sqlite3_stmt *q, int i, sg_bytes text)
{
    return text.size ? sqlite3_bind_text(q, i, text.data, (int)text.size, SQLITE_STATIC)
                     : sqlite3_bind_null(q, i);
}

static void reset(store *s, statement which)
{
    sqlite3_reset(s->made[which]);
    sqlite3_clear_bindings(s->made[which]);
}

/* A statement without rows, or one whose rows nobody wants. */
static sg_status finish(store *s, statement which, int bound, sg_error *err)
{
    const int rc = bound ? bound : sqlite3_step(s->made[which]);
    const sg_status st = rc == SQLITE_DONE || rc == SQLITE_ROW ? SG_OK : fail(s, rc, err);

    reset(s, which);
    return st;
}

static sg_status simple(store *s, statement which, sg_error *err)
{
    const sg_status st = prepare(s, which, err);

    return st ? st : finish(s, which, 0, err);
}

static sg_status begin(sg_store *s, sg_error *err)
{
    return simple(own(s), BEGIN, err);
}

static sg_status commit(sg_store *s, sg_error *err)
{
    return simple(own(s), COMMIT, err);
}

static void rollback(sg_store *s)
{
    simple(own(s), ROLLBACK, NULL);
}

static sg_status check(sg_store *s, sg_error *err)
{
    return simple(own(s), CHECK, err);
}

static sg_status add(sg_store *base, const sg_store_event *e, bool *fresh, size_t n, sg_error *err)
{
    store *s = own(base);
    sg_status st = prepare(s, ADD, err);
    sqlite3_stmt *q = s->made[ADD];

    for (size_t i = 0; !st && i < n; i++) {
        const int bound = bind_text(q, 1, e[i].user) | bind_text(q, 2, e[i].item) |
                          sqlite3_bind_int64(q, 3, e[i].time) | bind_text(q, 4, e[i].action) |
                          bind_text(q, 5, e[i].id);

        st = finish(s, ADD, bound, err);
        fresh[i] = !st && sqlite3_changes(s->db) > 0;
    }
    return st;
}

static sg_bytes column_text(sqlite3_stmt *q, int i)
{
    const void *text = sqlite3_column_text(q, i);

    return (sg_bytes){text ? text : "", (size_t)sqlite3_column_bytes(q, i)};
}

static sg_status events(sg_store *base, sg_bytes user, int most, sg_store_each *each, void *ctx,
                        sg_error *err)
{
    store *s = own(base);
    sg_status st = prepare(s, EVENTS, err);
    sqlite3_stmt *q = s->made[EVENTS];
    int rc;

    if (st)
        return st;
    rc = bind_text(q, 1, user) | sqlite3_bind_int(q, 2, most);
    while (!st && !rc && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        const sg_store_event e = {.user = column_text(q, 0),
                                  .item = column_text(q, 1),
                                  .time = sqlite3_column_int64(q, 2),
                                  .action = column_text(q, 3),
                                  .id = column_text(q, 4)};

        st = each(ctx, &e, err);
        rc = SQLITE_OK;
    }
    if (!st && rc != SQLITE_DONE)
        st = fail(s, rc, err);
    reset(s, EVENTS);
    return st;
}

/* *out: the first column of the only row, 0 when there is none. */
static sg_status one_int(store *s, statement which, sg_bytes user, int64_t *out, sg_error *err)
{
    sg_status st = prepare(s, which, err);
    int rc;

    *out = 0;
    if (st)
        return st;
    if ((rc = bind_text(s->made[which], 1, user)) == SQLITE_OK &&
        (rc = sqlite3_step(s->made[which])) == SQLITE_ROW)
        *out = sqlite3_column_int64(s->made[which], 0);
    else if (rc != SQLITE_DONE)
        st = fail(s, rc, err);
    reset(s, which);
    return st;
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

static sg_status erase(sg_store *base, sg_bytes user, bool remember, int64_t *n, sg_error *err)
{
    store *s = own(base);
    sg_status st;

    if ((st = prepare(s, ERASE, err)) || (st = prepare(s, REMEMBER, err)) ||
        (st = finish(s, ERASE, bind_text(s->made[ERASE], 1, user), err)))
        return st;
    *n = sqlite3_changes(s->db);
    return remember ? finish(s, REMEMBER, bind_text(s->made[REMEMBER], 1, user), err) : SG_OK;
}

static sg_status flush(sg_store *base, sg_error *err)
{
    const store *s = own(base);
    int64_t busy = 0;
    const sg_status st = read_int(s, "PRAGMA wal_checkpoint(TRUNCATE)", &busy, err);

    return !st && busy ? sg_fail(err, SG_ERR_IO, "%s: the log is in use and was not emptied", s->path) : st;
}

static sg_status put_item(sg_store *base, const sg_store_item *item, sg_error *err)
{
    store *s = own(base);
    const sg_status st = prepare(s, PUT_ITEM, err);
    sqlite3_stmt *q = s->made[PUT_ITEM];

    if (st)
        return st;
    return finish(s, PUT_ITEM,
                  bind_text(q, 1, item->id) | bind_text(q, 2, item->texts) | bind_text(q, 3, item->tower) |
                      bind_text(q, 4, item->codes) | sqlite3_bind_int64(q, 5, item->expires),
                  err);
}

static sg_status remove_item(sg_store *base, sg_bytes id, sg_error *err)
{
    store *s = own(base);
    const sg_status st = prepare(s, REMOVE_ITEM, err);

    return st ? st : finish(s, REMOVE_ITEM, bind_text(s->made[REMOVE_ITEM], 1, id), err);
}

static sg_status items(sg_store *base, bool gone, sg_store_each_item *each, void *ctx, sg_error *err)
{
    store *s = own(base);
    sg_status st = prepare(s, ITEMS, err);
    sqlite3_stmt *q = s->made[ITEMS];
    int rc;

    if (st)
        return st;
    rc = sqlite3_bind_int(q, 1, gone);
    while (!st && !rc && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        const sg_store_item item = {.id = column_text(q, 0),
                                    .texts = column_text(q, 1),
                                    .tower = column_text(q, 2),
                                    .codes = column_text(q, 3),
                                    .expires = sqlite3_column_int64(q, 4)};

        st = each(ctx, &item, err);
        rc = SQLITE_OK;
    }
    if (!st && rc != SQLITE_DONE)
        st = fail(s, rc, err);
    reset(s, ITEMS);
    return st;
}

const sg_store_class sg_store_sqlite = {
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
