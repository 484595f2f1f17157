/* sqlite.h - a file of SQLite with tables of our own: opened for its owner alone, brought to the version at hand, statements made on
 * first use. Who has tables binds and reads columns by sqlite3's own words. One thread uses a handle. */
#ifndef SG_FILE_SQLITE_H
#define SG_FILE_SQLITE_H

#include "base/buf.h"
#include "base/status.h"

#include <sqlite3.h>
#include <stdint.h>

typedef struct sg_sqlite_spec {
    const char *what;         /* "store": stands in errors */
    const char *pragmas;      /* run at each opening */
    const char *const *steps; /* (n_steps) step i brings tables of version i to version i + 1 */
    int n_steps;
    const char *const *sql; /* (n_sql) statements, named by their number */
    int n_sql;
} sg_sqlite_spec;

typedef struct sg_sqlite {
    const sg_sqlite_spec *spec; /* borrowed */
    sqlite3 *db;
    sqlite3_stmt **made; /* owned (n_sql): on first use */
    char *path;          /* owned */
} sg_sqlite;

/* wait_ms: for others who write. s zeroed; closed again when it fails. A newer version, or no such file: SG_ERR_FORMAT. */
sg_status sg_sqlite_open(sg_sqlite *s, const char *path, const sg_sqlite_spec *spec, int wait_ms,
                         sg_error *err);
void sg_sqlite_close(sg_sqlite *s);
/* What SQLite returned as our own; somebody else in the way: SG_ERR_AWAY. */
sg_status sg_sqlite_fail(const sg_sqlite *s, int rc, sg_error *err);
/* The first number of the answer to a text. */
sg_status sg_sqlite_int(const sg_sqlite *s, const char *text, int64_t *out, sg_error *err);

/* s->made[which] is there. */
sg_status sg_sqlite_prepare(sg_sqlite *s, int which, sg_error *err);
/* A statement without rows, or one whose rows nobody wants. bound: what binding returned. */
sg_status sg_sqlite_finish(sg_sqlite *s, int which, int bound, sg_error *err);
sg_status sg_sqlite_simple(sg_sqlite *s, int which, sg_error *err); /* without anything to bind */
void sg_sqlite_reset(sg_sqlite *s, int which);
sg_bytes sg_sqlite_text(sqlite3_stmt *q, int column); /* until the next step */

#endif
