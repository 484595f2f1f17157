/* cache.c - three tables of SQLite. */
#include "lm/cache.h"

#include "base/alloc.h"
#include "file/sha256.h"
#include "file/sqlite.h"

#include <string.h>

enum { WAIT_MS = 10000 };

typedef enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    FIND,
    PUT,
    VECTOR,
    PUT_VECTOR,
    KNOW,
    EACH,
    ORPHANS,
    FORGET,
    N_STATEMENTS
} statement;
static const char *const sql[N_STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [FIND] = "SELECT text, cut FROM answers WHERE key = ? AND time >= ?",
    [PUT] =
        "INSERT OR REPLACE INTO answers (key, prompt, text, model, origin, tokens_in, tokens_out, time, cut) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [VECTOR] = "SELECT numbers FROM vectors WHERE key = ?",
    [PUT_VECTOR] = "INSERT OR REPLACE INTO vectors (key, encoder, numbers) VALUES (?, ?, ?)",
    [KNOW] = "INSERT OR REPLACE INTO knowledge (kind, id, origin, events, key) VALUES (?, ?, ?, ?, ?)",
    [EACH] =
        "SELECT k.kind, k.id, k.origin, k.events, k.key, a.prompt, a.text, a.model, a.time FROM knowledge k "
        "JOIN answers a ON a.key = k.key WHERE k.kind = ? AND k.origin = ? ORDER BY k.id",
    [ORPHANS] = "DELETE FROM answers WHERE key IN (SELECT key FROM knowledge WHERE kind = ?1 AND id = ?2) "
                "AND key NOT IN "
                "(SELECT key FROM knowledge WHERE NOT (kind = ?1 AND id = ?2))",
    [FORGET] = "DELETE FROM knowledge WHERE kind = ? AND id = ?",
};

static const char *const steps[] = {
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, prompt TEXT NOT NULL, text TEXT NOT NULL, "
    "model TEXT NOT NULL, origin TEXT NOT NULL, tokens_in REAL, tokens_out REAL, time INTEGER NOT NULL) "
    "WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, encoder TEXT NOT NULL, numbers BLOB NOT NULL) "
    "WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS knowledge (kind TEXT NOT NULL, id TEXT NOT NULL, origin TEXT NOT NULL, "
    "events INTEGER NOT NULL, "
    "key TEXT NOT NULL, PRIMARY KEY (kind, origin, id)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS knowledge_by_key ON knowledge (key);"
    "CREATE INDEX IF NOT EXISTS knowledge_by_id ON knowledge (kind, id);",
    /* of answers before this step nobody knows it: they count as whole */
    "ALTER TABLE answers ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;",
};

/* The log is not synced at every commit: a killed process loses nothing, a power cut the last answers, which are asked again. Prompts may
 * tell what users did: the file is its owner's alone. */
static const sg_sqlite_spec spec = {
    "cache", "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON",
    steps,   sizeof steps / sizeof *steps,
    sql,     N_STATEMENTS};

struct sg_cache {
    sg_sqlite file;
};

sg_status sg_cache_open(sg_cache **out, const char *path, sg_error *err)
{
    sg_cache *c = sg_alloc_zero(1, sizeof *c);
    sg_status st;

    *out = NULL;
    if (!c)
        return sg_fail_memory(err, "cache");
    if ((st = sg_sqlite_open(&c->file, path, &spec, WAIT_MS, err))) {
        sg_free(c);
        return st;
    }
    *out = c;
    return SG_OK;
}

void sg_cache_close(sg_cache *c)
{
    if (!c)
        return;
    sg_sqlite_close(&c->file);
    sg_free(c);
}

void sg_cache_key_of(sg_cache_key key, const sg_bytes *part, size_t n)
{
    sg_sha256 h;

    sg_sha256_init(&h);
    for (size_t i = 0; i < n; i++) {
        const uint64_t size = part[i].size;
        unsigned char length[8];

        for (int b = 0; b < 8; b++)
            length[b] = (unsigned char)(size >> 8 * b);
        sg_sha256_add(&h, length, sizeof length);
        if (part[i].size)
            sg_sha256_add(&h, part[i].data, part[i].size);
    }
    sg_sha256_hex(&h, key);
}

/* ---- statements ---------------------------------------------------------------------------------------------------------- */
static sg_status prepare(sg_cache *c, statement which, sqlite3_stmt **q, sg_error *err)
{
    const sg_status st = sg_sqlite_prepare(&c->file, which, err);

    *q = c->file.made[which];
    return st;
}

/* Texts are the caller's until the statement is reset. */
static int bind(sqlite3_stmt *q, int i, sg_bytes text)
{
    return sqlite3_bind_text64(q, i, text.size ? text.data : "", text.size, SQLITE_STATIC, SQLITE_UTF8);
}

static int bind_key(sqlite3_stmt *q, int i, const char *key)
{
    return sqlite3_bind_text(q, i, key, -1, SQLITE_STATIC);
}

sg_status sg_cache_begin(sg_cache *c, sg_error *err)
{
    return sg_sqlite_simple(&c->file, BEGIN, err);
}

sg_status sg_cache_commit(sg_cache *c, sg_error *err)
{
    return sg_sqlite_simple(&c->file, COMMIT, err);
}

void sg_cache_rollback(sg_cache *c)
{
    sg_sqlite_simple(&c->file, ROLLBACK, NULL);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------- */
sg_status sg_cache_find(sg_cache *c, const char *key, int64_t since, sg_buf *text, bool *cut, bool *found,
                        sg_error *err)
{
    sqlite3_stmt *q;
    sg_status st = prepare(c, FIND, &q, err);
    int rc;

    *cut = *found = false;
    if (st)
        return st;
    if (!(rc = bind_key(q, 1, key) | sqlite3_bind_int64(q, 2, since)) &&
        (rc = sqlite3_step(q)) == SQLITE_ROW) {
        const sg_bytes t = sg_sqlite_text(q, 0);

        sg_buf_add(text, t.data, t.size);
        *cut = sqlite3_column_int(q, 1) != 0;
        *found = true;
        if (text->failed)
            st = sg_fail_memory(err, "answer");
    } else if (rc != SQLITE_DONE) {
        st = sg_sqlite_fail(&c->file, rc, err);
    }
    sg_sqlite_reset(&c->file, FIND);
    return st;
}

sg_status sg_cache_put(sg_cache *c, const char *key, const sg_cache_answer *a, sg_error *err)
{
    sqlite3_stmt *q;
    const sg_status st = prepare(c, PUT, &q, err);

    return st ? st
              : sg_sqlite_finish(&c->file, PUT,
                                 bind_key(q, 1, key) | bind(q, 2, a->prompt) | bind(q, 3, a->text) |
                                     bind(q, 4, a->model) | bind(q, 5, a->origin) |
                                     sqlite3_bind_double(q, 6, a->tokens_in) |
                                     sqlite3_bind_double(q, 7, a->tokens_out) |
                                     sqlite3_bind_int64(q, 8, a->time) | sqlite3_bind_int(q, 9, a->cut),
                                 err);
}

/* ---- vectors ------------------------------------------------------------------------------------------------------------- */
sg_status sg_cache_vector(sg_cache *c, const char *key, float *out, int32_t *dim, bool *found, sg_error *err)
{
    sqlite3_stmt *q;
    sg_status st = prepare(c, VECTOR, &q, err);
    int rc;

    *found = false;
    if (st)
        return st;
    if (!(rc = bind_key(q, 1, key)) && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        const void *data = sqlite3_column_blob(q, 0);
        const size_t bytes = (size_t)sqlite3_column_bytes(q, 0), n = bytes / sizeof *out;

        if (n == 0 || bytes % sizeof *out || n > INT32_MAX || (*dim && n != (size_t)*dim)) {
            st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a vector of %d numbers, found %zu bytes",
                         c->file.path, (int)*dim, bytes);
        } else {
            *dim = (int32_t)n;
            *found = true;
            if (out)
                memcpy(out, data, bytes);
        }
    } else if (rc != SQLITE_DONE) {
        st = sg_sqlite_fail(&c->file, rc, err);
    }
    sg_sqlite_reset(&c->file, VECTOR);
    return st;
}

sg_status sg_cache_put_vector(sg_cache *c, const char *key, sg_bytes encoder, const float *x, int32_t dim,
                              sg_error *err)
{
    sqlite3_stmt *q;
    const sg_status st = prepare(c, PUT_VECTOR, &q, err);

    return st ? st
              : sg_sqlite_finish(
                    &c->file, PUT_VECTOR,
                    bind_key(q, 1, key) | bind(q, 2, encoder) |
                        sqlite3_bind_blob64(q, 3, x, (sqlite3_uint64)dim * sizeof *x, SQLITE_STATIC),
                    err);
}

/* ---- knowledge ----------------------------------------------------------------------------------------------------------- */
sg_status sg_cache_know(sg_cache *c, const sg_knowledge *k, sg_error *err)
{
    sqlite3_stmt *q;
    const sg_status st = prepare(c, KNOW, &q, err);

    return st ? st
              : sg_sqlite_finish(&c->file, KNOW,
                                 bind(q, 1, k->kind) | bind(q, 2, k->id) | bind(q, 3, k->origin) |
                                     sqlite3_bind_int64(q, 4, k->events) | bind(q, 5, k->key),
                                 err);
}

sg_status sg_cache_each(sg_cache *c, sg_bytes kind, sg_bytes origin, sg_knowledge_each *each, void *ctx,
                        sg_error *err)
{
    sqlite3_stmt *q;
    sg_status st = prepare(c, EACH, &q, err);
    int rc;

    if (st)
        return st;
    rc = bind(q, 1, kind) | bind(q, 2, origin);
    while (!st && !rc && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        const sg_knowledge k = {.kind = sg_sqlite_text(q, 0),
                                .id = sg_sqlite_text(q, 1),
                                .origin = sg_sqlite_text(q, 2),
                                .events = sqlite3_column_int64(q, 3),
                                .key = sg_sqlite_text(q, 4),
                                .prompt = sg_sqlite_text(q, 5),
                                .text = sg_sqlite_text(q, 6),
                                .model = sg_sqlite_text(q, 7),
                                .time = sqlite3_column_int64(q, 8)};

        st = each(ctx, &k, err);
        rc = SQLITE_OK;
    }
    if (!st && rc != SQLITE_DONE)
        st = sg_sqlite_fail(&c->file, rc, err);
    sg_sqlite_reset(&c->file, EACH);
    return st;
}

sg_status sg_knowledge_before(const sg_knowledge *k, int64_t first, sg_error *err)
{
    if (k->events <= first)
        return SG_OK;
    return sg_fail(
        err, SG_ERR_USAGE,
        "%.*s '%.*s': expected a text that was made before event %lld, found one that has seen %lld events",
        (int)k->kind.size, k->kind.data, (int)(k->id.size < 80 ? k->id.size : 80), k->id.data,
        (long long)first, (long long)k->events);
}

sg_status sg_cache_forget(sg_cache *c, sg_bytes kind, sg_bytes id, int64_t *n, sg_error *err)
{
    sqlite3_stmt *orphans, *forget;
    sg_status st;

    if ((st = prepare(c, ORPHANS, &orphans, err)) || (st = prepare(c, FORGET, &forget, err)) ||
        (st = sg_cache_begin(c, err)))
        return st;
    if (!(st = sg_sqlite_finish(&c->file, ORPHANS, bind(orphans, 1, kind) | bind(orphans, 2, id), err)) &&
        !(st = sg_sqlite_finish(&c->file, FORGET, bind(forget, 1, kind) | bind(forget, 2, id), err))) {
        *n = sqlite3_changes(c->file.db);
        st = sg_cache_commit(c, err);
    }
    if (st)
        sg_cache_rollback(c);
    return st;
}
