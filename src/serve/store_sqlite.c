/* store_sqlite.c - the store in a file of SQLite. */
#include "serve/store_class.h"

#include "base/alloc.h"
#include "file/sqlite.h"

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
    [PUT_ITEM] =
        "INSERT OR REPLACE INTO items (id, gone, texts, tower, codes, expires) VALUES (?, 0, ?, ?, ?, ?)",
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
    "CREATE TABLE IF NOT EXISTS items (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, gone INTEGER NOT "
    "NULL, "
    "texts TEXT, tower TEXT, codes TEXT, expires INTEGER);",
};
static const sg_sqlite_spec spec = {
    "store", "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON",
    steps,   sizeof steps / sizeof *steps,
    sql,     N_STATEMENTS};

typedef struct store {
    sg_store base;
    sg_sqlite file;
} store;

static sg_sqlite *file_of(sg_store *s)
{
    return &((store *)s)->file;
}

static void close_store(sg_store *s)
{
    sg_sqlite_close(file_of(s));
    sg_free(s);
}

static sg_status open_store(sg_store **out, const char *path, int wait_ms, sg_error *err)
{
    store *s = sg_alloc_zero(1, sizeof *s);
    sg_status st;

    if (!s)
        return sg_fail_memory(err, "store");
    s->base.class = &sg_store_sqlite;
    if ((st = sg_sqlite_open(&s->file, path, &spec, wait_ms, err))) {
        sg_free(s);
        return st;
    }
    *out = &s->base;
    return SG_OK;
}

/* Texts are the caller's until the statement is reset. */
static int bind_text(sqlite3_stmt *q, int i, sg_bytes text)
{
    return text.size ? sqlite3_bind_text(q, i, text.data, (int)text.size, SQLITE_STATIC)
                     : sqlite3_bind_null(q, i);
}

static sg_status begin(sg_store *s, sg_error *err)
{
    return sg_sqlite_simple(file_of(s), BEGIN, err);
}

static sg_status commit(sg_store *s, sg_error *err)
{
    return sg_sqlite_simple(file_of(s), COMMIT, err);
}

static void rollback(sg_store *s)
{
    sg_sqlite_simple(file_of(s), ROLLBACK, NULL);
}

static sg_status check(sg_store *s, sg_error *err)
{
    return sg_sqlite_simple(file_of(s), CHECK, err);
}

static sg_status add(sg_store *base, const sg_store_event *e, bool *fresh, size_t n, sg_error *err)
{
    sg_sqlite *s = file_of(base);
    sg_status st = sg_sqlite_prepare(s, ADD, err);
    sqlite3_stmt *q = s->made[ADD];

    for (size_t i = 0; !st && i < n; i++) {
        const int bound = bind_text(q, 1, e[i].user) | bind_text(q, 2, e[i].item) |
                          sqlite3_bind_int64(q, 3, e[i].time) | bind_text(q, 4, e[i].action) |
                          bind_text(q, 5, e[i].id);

        st = sg_sqlite_finish(s, ADD, bound, err);
        fresh[i] = !st && sqlite3_changes(s->db) > 0;
    }
    return st;
}

static sg_status events(sg_store *base, sg_bytes user, int most, sg_store_each *each, void *ctx,
                        sg_error *err)
{
    sg_sqlite *s = file_of(base);
    sg_status st = sg_sqlite_prepare(s, EVENTS, err);
    sqlite3_stmt *q = s->made[EVENTS];
    int rc;

    if (st)
        return st;
    rc = bind_text(q, 1, user) | sqlite3_bind_int(q, 2, most);
    while (!st && !rc && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        const sg_store_event e = {.user = sg_sqlite_text(q, 0),
                                  .item = sg_sqlite_text(q, 1),
                                  .time = sqlite3_column_int64(q, 2),
                                  .action = sg_sqlite_text(q, 3),
                                  .id = sg_sqlite_text(q, 4)};

        st = each(ctx, &e, err);
        rc = SQLITE_OK;
    }
    if (!st && rc != SQLITE_DONE)
        st = sg_sqlite_fail(s, rc, err);
    sg_sqlite_reset(s, EVENTS);
    return st;
}

/* *out: the first column of the only row, 0 when there is none. */
static sg_status one_int(sg_sqlite *s, statement which, sg_bytes user, int64_t *out, sg_error *err)
{
    sg_status st = sg_sqlite_prepare(s, which, err);
    int rc;

    *out = 0;
    if (st)
        return st;
    if ((rc = bind_text(s->made[which], 1, user)) == SQLITE_OK &&
        (rc = sqlite3_step(s->made[which])) == SQLITE_ROW)
        *out = sqlite3_column_int64(s->made[which], 0);
    else if (rc != SQLITE_DONE)
        st = sg_sqlite_fail(s, rc, err);
    sg_sqlite_reset(s, which);
    return st;
}

static sg_status count(sg_store *base, sg_bytes user, int64_t *n, sg_error *err)
{
    return one_int(file_of(base), COUNT, user, n, err);
}

static sg_status was_erased(sg_store *base, sg_bytes user, bool *erased, sg_error *err)
{
    int64_t found;
    const sg_status st = one_int(file_of(base), IS_ERASED, user, &found, err);

    *erased = found != 0;
    return st;
}

static sg_status erase(sg_store *base, sg_bytes user, bool remember, int64_t *n, sg_error *err)
{
    sg_sqlite *s = file_of(base);
    sg_status st;

    if ((st = sg_sqlite_prepare(s, ERASE, err)) || (st = sg_sqlite_prepare(s, REMEMBER, err)) ||
        (st = sg_sqlite_finish(s, ERASE, bind_text(s->made[ERASE], 1, user), err)))
        return st;
    *n = sqlite3_changes(s->db);
    return remember ? sg_sqlite_finish(s, REMEMBER, bind_text(s->made[REMEMBER], 1, user), err) : SG_OK;
}

static sg_status flush(sg_store *base, sg_error *err)
{
    const sg_sqlite *s = file_of(base);
    int64_t busy = 0;
    const sg_status st = sg_sqlite_int(s, "PRAGMA wal_checkpoint(TRUNCATE)", &busy, err);

    return !st && busy ? sg_fail(err, SG_ERR_IO, "%s: the log is in use and was not emptied", s->path) : st;
}

static sg_status put_item(sg_store *base, const sg_store_item *item, sg_error *err)
{
    sg_sqlite *s = file_of(base);
    const sg_status st = sg_sqlite_prepare(s, PUT_ITEM, err);
    sqlite3_stmt *q = s->made[PUT_ITEM];

    if (st)
        return st;
    return sg_sqlite_finish(s, PUT_ITEM,
                            bind_text(q, 1, item->id) | bind_text(q, 2, item->texts) |
                                bind_text(q, 3, item->tower) | bind_text(q, 4, item->codes) |
                                sqlite3_bind_int64(q, 5, item->expires),
                            err);
}

static sg_status remove_item(sg_store *base, sg_bytes id, sg_error *err)
{
    sg_sqlite *s = file_of(base);
    const sg_status st = sg_sqlite_prepare(s, REMOVE_ITEM, err);

    return st ? st : sg_sqlite_finish(s, REMOVE_ITEM, bind_text(s->made[REMOVE_ITEM], 1, id), err);
}

static sg_status items(sg_store *base, bool gone, sg_store_each_item *each, void *ctx, sg_error *err)
{
    sg_sqlite *s = file_of(base);
    sg_status st = sg_sqlite_prepare(s, ITEMS, err);
    sqlite3_stmt *q = s->made[ITEMS];
    int rc;

    if (st)
        return st;
    rc = sqlite3_bind_int(q, 1, gone);
    while (!st && !rc && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        const sg_store_item item = {.id = sg_sqlite_text(q, 0),
                                    .texts = sg_sqlite_text(q, 1),
                                    .tower = sg_sqlite_text(q, 2),
                                    .codes = sg_sqlite_text(q, 3),
                                    .expires = sqlite3_column_int64(q, 4)};

        st = each(ctx, &item, err);
        rc = SQLITE_OK;
    }
    if (!st && rc != SQLITE_DONE)
        st = sg_sqlite_fail(s, rc, err);
    sg_sqlite_reset(s, ITEMS);
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
