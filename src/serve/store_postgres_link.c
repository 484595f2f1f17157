/* store_postgres_link.c - the connection: it breaks, and is made again at the next use, at once the first time and then with pauses that grow.
 *
 * No text of the vendor that could hold the address as it was given, password and all, is passed on. */
#include "serve/store_postgres_link.h"

#include "base/alloc.h"
#include "base/progress.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { GRACE_MS = 1000 };
static const double PAUSE_FIRST = 0.1, PAUSE_MOST = 5;

/* ---- errors ----------------------------------------------------------------------------------------- */
static void drop(sg_pg *p)
{
    PQfinish(p->db);
    p->db = NULL;
    p->in_transaction = false;
    memset(p->prepared, 0, sizeof p->prepared);
}

/* The vendor's texts have several lines, and one at the end. */
static sg_status fail_text(const sg_pg *p, sg_status st, const char *text, sg_error *err)
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
    return sg_fail(err, st, "%s: %s", p->name, line);
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

static sg_status fail_lost(sg_pg *p, sg_error *err)
{
    const sg_status st = fail_text(p, SG_ERR_AWAY, PQerrorMessage(p->db), err);

    drop(p);
    return st;
}

static sg_status fail_late(sg_pg *p, sg_error *err)
{
    p->late = true;
    drop(p);
    return sg_fail(err, SG_ERR_AWAY, "%s: no answer within %d ms", p->name, p->wait_ms + GRACE_MS);
}

/* r is taken. */
static sg_status fail_result(sg_pg *p, PGresult *r, sg_error *err)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    sg_status st;

    if (PQstatus(p->db) != CONNECTION_OK) {
        PQclear(r);
        return fail_lost(p, err);
    }
    st = fail_text(p, state && may_pass(state) ? SG_ERR_AWAY : SG_ERR_IO, text ? text : "no result", err);
    if (state && (strncmp(state, "57P", 3) == 0 || strcmp(state, "25006") == 0))
        drop(p);
    PQclear(r);
    return st;
}

/* ---- one question and its answer -------------------------------------------------------------------- */
static bool wait_for(const sg_pg *p, short events, double until)
{
    struct pollfd at = {.fd = PQsocket(p->db), .events = events};
    double left;
    int n;

    do {
        left = until - sg_now();
        n = poll(&at, 1, left > 0 ? (int)(left * 1000) + 1 : 0);
    } while (n < 0 && errno == EINTR);
    return n != 0;
}

static sg_status send_out(sg_pg *p, double until, sg_error *err)
{
    int left;

    while ((left = PQflush(p->db)) > 0) {
        if (!wait_for(p, POLLIN | POLLOUT, until))
            return fail_late(p, err);
        if (!PQconsumeInput(p->db)) /* a server that cannot speak to us does not listen either */
            return fail_lost(p, err);
    }
    return left < 0 ? fail_lost(p, err) : SG_OK;
}

/* Of several results the last, or the first that is an error. */
static sg_status read_results(sg_pg *p, PGresult **out, double until, sg_error *err)
{
    PGresult *last = NULL, *r;

    for (;;) {
        while (PQisBusy(p->db)) {
            if (!wait_for(p, POLLIN, until)) {
                PQclear(last);
                return fail_late(p, err);
            }
            if (!PQconsumeInput(p->db)) {
                PQclear(last);
                return fail_lost(p, err);
            }
        }
        if (!(r = PQgetResult(p->db)))
            break;
        if (last && PQresultStatus(last) == PGRES_FATAL_ERROR) {
            PQclear(r);
            continue;
        }
        PQclear(last);
        last = r;
    }
    if (!last)
        return fail_lost(p, err);
    if (PQresultStatus(last) != PGRES_TUPLES_OK && PQresultStatus(last) != PGRES_COMMAND_OK)
        return fail_result(p, last, err);
    *out = last;
    return SG_OK;
}

static sg_status answer(sg_pg *p, int sent, PGresult **out, sg_error *err)
{
    const double until = sg_now() + (p->wait_ms + GRACE_MS) / 1e3;
    sg_status st;

    *out = NULL;
    if (!sent)
        return fail_lost(p, err);
    return (st = send_out(p, until, err)) ? st : read_results(p, out, until, err);
}

sg_status sg_pg_query(sg_pg *p, const char *text, PGresult **out, sg_error *err)
{
    return answer(p, PQsendQuery(p->db, text), out, err);
}

sg_status sg_pg_run(sg_pg *p, const char *text, sg_error *err)
{
    PGresult *r;
    const sg_status st = sg_pg_query(p, text, &r, err);

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
static sg_status set_up(sg_pg *p, sg_error *err)
{
    char text[600];
    PGresult *r;
    sg_status st;

    snprintf(
        text, sizeof text,
        "SET statement_timeout = %d; SET lock_timeout = %d; SET idle_in_transaction_session_timeout = %d; "
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') "
        "= 'off'; SELECT current_setting('fsync'), current_setting('server_encoding')",
        p->wait_ms, p->wait_ms, 2 * p->wait_ms);
    if ((st = sg_pg_query(p, text, &r, err)))
        return st;
    if (strcmp(PQgetvalue(r, 0, 0), "on") != 0)
        st = sg_fail(err, SG_ERR_USAGE,
                     "%s: expected a server with fsync = on: without, what it has acknowledged may be lost",
                     p->name);
    else if (strcmp(PQgetvalue(r, 0, 1), "UTF8") != 0)
        st = sg_fail(err, SG_ERR_USAGE, "%s: expected a database in UTF8, found %s", p->name,
                     PQgetvalue(r, 0, 1));
    PQclear(r);
    return st;
}

/* What stands before the address is what it may change, what stands behind it is ours. target_session_attrs: of several servers
 * the one that can be written to. */
static sg_status dial(sg_pg *p, sg_error *err)
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
    const char *const value[] = {seconds, "read-write", "10", "5", "3", "sedge", p->address, "UTF8", NULL};

    snprintf(seconds, sizeof seconds, "%d", p->wait_ms < 2000 ? 2 : p->wait_ms / 1000);
    if (!(p->db = PQconnectdbParams(key, value, 1)))
        return sg_fail_memory(err, p->name);
    if (PQstatus(p->db) != CONNECTION_OK)
        return fail_lost(p, err);
    PQsetNoticeReceiver(p->db, hush, NULL);
    return PQsetnonblocking(p->db, 1) ? fail_lost(p, err) : SG_OK;
}

/* Servers that come back are not met by everybody in the same moment: pauses differ by a quarter, by the clock. */
static double spread(double pause)
{
    const double now = sg_now() * 1e6;

    return pause * (0.75 + 0.5 * (double)((uint64_t)now % 1000) / 1000);
}

static sg_status connect_again(sg_pg *p, sg_error *err)
{
    sg_status st;

    if (p->db)
        return SG_OK;
    if (sg_now() < p->next_try)
        return sg_fail(err, SG_ERR_AWAY, "%s: cannot be reached", p->name);
    if (!(st = dial(p, err)) && !(st = set_up(p, err)) && !(st = p->spec->ready(p, err))) {
        p->pause = 0;
        return SG_OK;
    }
    drop(p);
    p->pause = p->pause < PAUSE_FIRST ? PAUSE_FIRST : 2 * p->pause < PAUSE_MOST ? 2 * p->pause : PAUSE_MOST;
    p->next_try = sg_now() + spread(p->pause);
    return st;
}

/* ---- the address ---------------------------------------------------------------------------------------- */
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

static sg_status take_address(sg_pg *p, const char *address, sg_error *err)
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
    else if (!(p->address = sg_strdup(address)) || !(p->name = name_of(o)))
        st = sg_fail_memory(err, "store");
    PQconninfoFree(o);
    return st;
}

sg_status sg_pg_open(sg_pg *p, const sg_pg_spec *spec, const char *address, int wait_ms, sg_error *err)
{
    sg_status st;

    *p = (sg_pg){.spec = spec, .wait_ms = wait_ms};
    return (st = take_address(p, address, err)) ? st : connect_again(p, err);
}

void sg_pg_fini(sg_pg *p)
{
    drop(p);
    sg_free(p->address);
    sg_free(p->name);
}

/* ---- statements ------------------------------------------------------------------------------------- */
void sg_pg_add(sg_pg_params *to, sg_bytes text)
{
    to->value[to->n] = text.data;
    to->size[to->n] = (int)text.size;
    to->binary[to->n++] = 1;
}

static sg_status prepare(sg_pg *p, int which, sg_error *err)
{
    const sg_pg_statement *sql = &p->spec->statement[which];
    PGresult *r;
    sg_status st;

    if (p->prepared[which])
        return SG_OK;
    st = answer(p, PQsendPrepare(p->db, sql->name, sql->text, 0, NULL), &r, err);
    PQclear(r);
    p->prepared[which] = !st;
    return st;
}

static sg_status ask_once(sg_pg *p, int which, const sg_pg_params *q, PGresult **out, sg_error *err)
{
    const sg_status st = prepare(p, which, err);

    *out = NULL;
    return st ? st
              : answer(p,
                       PQsendQueryPrepared(p->db, p->spec->statement[which].name, q->n, q->value, q->size,
                                           q->binary, 0),
                       out, err);
}

/* Not again after a long silence: that would be the second one for whoever waits. */
sg_status sg_pg_ask(sg_pg *p, int which, const sg_pg_params *q, PGresult **out, sg_error *err)
{
    const bool inside = p->in_transaction;
    sg_status st;

    *out = NULL;
    p->late = false;
    if ((st = connect_again(p, err)) || !(st = ask_once(p, which, q, out, err)))
        return st;
    if (p->db || inside || p->late || (st = connect_again(p, err)))
        return st;
    return ask_once(p, which, q, out, err);
}

/* ---- transactions ----------------------------------------------------------------------------------- */
sg_status sg_pg_begin(sg_pg *p, const char *begin, sg_error *err)
{
    sg_status st;

    p->late = false;
    if ((st = connect_again(p, err)))
        return st;
    st = sg_pg_run(p, begin, err);
    if (st && !p->db && !p->late && !(st = connect_again(p, err)))
        st = sg_pg_run(p, begin, err);
    p->in_transaction = !st;
    if (st && p->db)
        sg_pg_run(p, "ROLLBACK", NULL); /* of a BEGIN whose lock was not to be had */
    return st;
}

sg_status sg_pg_commit(sg_pg *p, sg_error *err)
{
    PGresult *r;
    sg_status st;

    if (!p->db)
        return sg_fail(err, SG_ERR_AWAY, "%s: the connection was lost", p->name);
    st = sg_pg_query(p, "COMMIT", &r, err);
    p->in_transaction = false;
    if (!st && strcmp(PQcmdStatus(r), "COMMIT") != 0) /* a transaction that had failed is rolled back by it */
        st = sg_fail(err, SG_ERR_IO, "%s: the transaction was rolled back", p->name);
    PQclear(r);
    return st;
}

void sg_pg_rollback(sg_pg *p)
{
    if (p->db && p->in_transaction && sg_pg_run(p, "ROLLBACK", NULL))
        drop(p);
    p->in_transaction = false;
}
