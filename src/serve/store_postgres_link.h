/* store_postgres_link.h - a connection to PostgreSQL that is made again when it breaks, and what goes over it: texts, prepared statements,
 * transactions. Only the two files of the store name the vendor. */
#ifndef SG_SERVE_STORE_POSTGRES_LINK_H
#define SG_SERVE_STORE_POSTGRES_LINK_H

#include "base/buf.h"
#include "base/status.h"

#include <libpq-fe.h>

enum { SG_PG_STATEMENTS_MAX = 16, SG_PG_PARAMS_MAX = 5 };

typedef struct sg_pg sg_pg;
typedef struct sg_pg_statement {
    const char *name, *text;
} sg_pg_statement;

typedef struct sg_pg_spec {
    const sg_pg_statement
        *statement; /* at most SG_PG_STATEMENTS_MAX; prepared when they are asked for the first time */
    sg_status (*ready)(sg_pg *p, sg_error *err); /* what a new connection has to find; an error drops it */
} sg_pg_spec;

struct sg_pg {
    const sg_pg_spec *spec; /* borrowed */
    PGconn *db;             /* NULL: not connected */
    char *address, *name;   /* owned: as it was given; without what is secret */
    bool prepared[SG_PG_STATEMENTS_MAX], in_transaction, late;
    int wait_ms;
    double pause, next_try; /* seconds; sg_now() before which no connection is tried */
};

/* sg_pg_fini is due after an error, too. */
sg_status sg_pg_open(sg_pg *p, const sg_pg_spec *spec, const char *address, int wait_ms, sg_error *err);
void sg_pg_fini(sg_pg *p);

/* A text of one or more statements on the connection as it is, for `ready`; *out: the last result, the caller's. */
sg_status sg_pg_query(sg_pg *p, const char *text, PGresult **out, sg_error *err);
sg_status sg_pg_run(sg_pg *p, const char *text, sg_error *err);

typedef struct sg_pg_params {
    int n, size[SG_PG_PARAMS_MAX], binary[SG_PG_PARAMS_MAX];
    const char *value[SG_PG_PARAMS_MAX]; /* borrowed */
} sg_pg_params;

void sg_pg_add(sg_pg_params *to, sg_bytes text);
/* A prepared statement; *out: its result, the caller's (PQclear; NULL after an error). Outside a transaction, a connection that turns out to
 * be broken is made anew, once. */
sg_status sg_pg_ask(sg_pg *p, int statement, const sg_pg_params *params, PGresult **out, sg_error *err);

/* begin: the text that opens a transaction, which is tried again as a statement is. A commit that breaks is not: nobody knows whether it
 * happened. */
sg_status sg_pg_begin(sg_pg *p, const char *begin, sg_error *err);
sg_status sg_pg_commit(sg_pg *p, sg_error *err);
void sg_pg_rollback(sg_pg *p);

#endif
