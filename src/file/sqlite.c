/* sqlite.c - opening, versions, statements. */
#include "file/sqlite.h"

#include "base/alloc.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

sg_status sg_sqlite_fail(const sg_sqlite *s, int rc, sg_error *err)
{
    const sg_status st = rc == SQLITE_BUSY                             ? SG_ERR_AWAY
                         : rc == SQLITE_NOTADB || rc == SQLITE_CORRUPT ? SG_ERR_FORMAT
                                                                       : SG_ERR_IO;

    if (rc == SQLITE_NOMEM)
        return sg_fail_memory(err, s->path);
    return sg_fail(err, st, "%s: %s", s->path, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

static sg_status run(const sg_sqlite *s, const char *text, sg_error *err)
{
    const int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);

    return rc ? sg_sqlite_fail(s, rc, err) : SG_OK;
}

sg_status sg_sqlite_int(const sg_sqlite *s, const char *text, int64_t *out, sg_error *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, text, -1, &q, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    const sg_status st = rc == SQLITE_ROW ? SG_OK : sg_sqlite_fail(s, rc, err);
    sqlite3_finalize(q);
    return st;
}

/* ---- opening ---------------------------------------------------------------------------------------- */
/* The version is read again within the transaction: another process may have done it all meanwhile. */
static sg_status take_steps(const sg_sqlite *s, sg_error *err)
{
    char set_version[48];
    int64_t version = 0;
    sg_status st;

    snprintf(set_version, sizeof set_version, "PRAGMA user_version = %d", s->spec->n_steps);
    if ((st = run(s, "BEGIN IMMEDIATE", err)))
        return st;
    st = sg_sqlite_int(s, "PRAGMA user_version", &version, err);
    for (int64_t i = version; !st && i < s->spec->n_steps; i++)
        st = run(s, s->spec->steps[i], err);
    if (st || (version < s->spec->n_steps && (st = run(s, set_version, err))) || (st = run(s, "COMMIT", err)))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

static sg_status make_tables(const sg_sqlite *s, sg_error *err)
{
    int64_t version = 0;
    sg_status st;

    if ((st = run(s, s->spec->pragmas, err)) || (st = sg_sqlite_int(s, "PRAGMA user_version", &version, err)))
        return st;
    if (version > s->spec->n_steps)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a %s of version %d, found %lld", s->path,
                       s->spec->what, s->spec->n_steps, (long long)version);
    return version == s->spec->n_steps ? SG_OK : take_steps(s, err);
}

sg_status sg_sqlite_open(sg_sqlite *s, const char *path, const sg_sqlite_spec *spec, int wait_ms,
                         sg_error *err)
{
    sg_status st;
    int fd, rc;

    *s = (sg_sqlite){
        .spec = spec, .made = sg_alloc_zero((size_t)spec->n_sql, sizeof *s->made), .path = sg_strdup(path)};
    if (!s->made || !s->path) {
        sg_sqlite_close(s);
        return sg_fail_memory(err, spec->what);
    }
    /* A new file is its owner's alone, and what SQLite puts beside it takes its mode. An old one is not touched: closing a file that
     * SQLite has open would drop its locks. */
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    rc =
        sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!rc)
        sqlite3_busy_timeout(s->db, wait_ms);
    st = rc ? sg_sqlite_fail(s, rc, err) : make_tables(s, err);
    if (st)
        sg_sqlite_close(s);
    return st;
}

void sg_sqlite_close(sg_sqlite *s)
{
    for (int i = 0; s->made && i < s->spec->n_sql; i++)
        sqlite3_finalize(s->made[i]);
    sqlite3_close(s->db);
    sg_free(s->made);
    sg_free(s->path);
    *s = (sg_sqlite){0};
}

/* ---- statements ------------------------------------------------------------------------------------- */
sg_status sg_sqlite_prepare(sg_sqlite *s, int which, sg_error *err)
{
    const int rc = s->made[which] ? SQLITE_OK
                                  : sqlite3_prepare_v3(s->db, s->spec->sql[which], -1,
                                                       SQLITE_PREPARE_PERSISTENT, &s->made[which], NULL);

    return rc ? sg_sqlite_fail(s, rc, err) : SG_OK;
}

void sg_sqlite_reset(sg_sqlite *s, int which)
{
    sqlite3_reset(s->made[which]);
    sqlite3_clear_bindings(s->made[which]);
}

sg_status sg_sqlite_finish(sg_sqlite *s, int which, int bound, sg_error *err)
{
    const int rc = bound ? bound : sqlite3_step(s->made[which]);
    const sg_status st = rc == SQLITE_DONE || rc == SQLITE_ROW ? SG_OK : sg_sqlite_fail(s, rc, err);

    sg_sqlite_reset(s, which);
    return st;
}

sg_status sg_sqlite_simple(sg_sqlite *s, int which, sg_error *err)
{
    const sg_status st = sg_sqlite_prepare(s, which, err);

    return st ? st : sg_sqlite_finish(s, which, 0, err);
}

sg_bytes sg_sqlite_text(sqlite3_stmt *q, int column)
{
    const void *text = sqlite3_column_text(q, column);

    return (sg_bytes){text ? text : "", (size_t)sqlite3_column_bytes(q, column)};
}
