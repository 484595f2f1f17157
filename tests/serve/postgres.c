/* postgres.c - what may happen to a PostgreSQL behind the server: it stops, it breaks connections, it says nothing, it is not what
 * it should be. Nothing acknowledged is lost, requests that need it are told so in time, the others are answered, and no log has
 * its password. */
#include "postgres.h"

#include <pthread.h>
#include <stdatomic.h>

static postgres pg;

static int start(void **state)
{
    static const char *const models[] = {"markov1", NULL};

    (void)state;
    return make_work(models) || !postgres_make(&pg);
}

static int stop(void **state)
{
    postgres_stop(&pg, SIGQUIT);
    assert_int_equal(shell("! grep -l " PG_SECRET " log*"), 0);
    return remove_work(state);
}

static void spawn_with(server *k, const char *options, const char *database)
{
    char where[200], all[400];

    postgres_where(&pg, where, sizeof where, database);
    snprintf(all, sizeof all, "%s --store %s", options, where);
    server_spawn(k, "markov1", all);
}

static void start_with(server *k, const char *options, const char *database)
{
    char where[200], all[400];

    postgres_where(&pg, where, sizeof where, database);
    snprintf(all, sizeof all, "%s --store %s", options, where);
    server_start(k, "markov1", all);
}

static void wait_ready(const server *k, int status)
{
    for (int ms = 0; ms < WAIT_MS; ms += 20) {
        if (status_of(k, "GET", "/readyz", NULL) == status)
            return;
        sleep_ms(20);
    }
    fail_msg("/readyz never said %d", status);
}

static bool store_up(const server *k)
{
    answer a = ask(k, "GET", "/metrics", NULL);
    const bool up = a.body && strstr(a.body, "\nsedge_store_up 1\n"),
               down = strstr(a.body, "\nsedge_store_up 0\n");

    assert_true(up != down);
    answer_free(&a);
    return up;
}

/* ---- what it should be ------------------------------------------------------------------------------ */
static void refuses_to_start(const char *options, const char *database, int code, const char *message)
{
    server k;

    spawn_with(&k, options, database);
    assert_int_equal(server_wait(&k), code);
    if (!log_has(&k, message)) {
        char *text = read_log(&k);

        fail_msg("expected '%s', found '%s'", message, text);
    }
}

static void refuses_what_it_cannot_use(void **state)
{
    char where[300];
    server k;

    (void)state;
    snprintf(where, sizeof where, "--store postgresql://sedge:x" PG_SECRET "@127.0.0.1:%d/postgres", pg.port);
    server_spawn(&k, "markov1", where);
    assert_int_equal(server_wait(&k), 1);
    assert_true(log_has(&k, "password authentication failed for user"));
    snprintf(where, sizeof where, "--store postgresql://sedge:" PG_SECRET "@127.0.0.1:%d/nowhere", pg.port);
    server_spawn(&k, "markov1", where);
    assert_int_equal(server_wait(&k), 1);
    assert_true(log_has(&k, "database \"nowhere\" does not exist"));

    refuses_to_start("--id-max 2001", "ids", 2, "id_max: expected at most 2000 with this store, found 2001");
    start_with(&k, "", "newer");
    assert_int_equal(server_stop(&k), 0);
    postgres_ask(&pg, "newer", "UPDATE sedge_version SET version = 99");
    refuses_to_start("", "newer", 1, "/newer: expected a store of version 1, found 99");
    postgres_ask(&pg, "postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    refuses_to_start("", "latin", 2, "/latin: expected a database in UTF8, found LATIN1");
    postgres_ask(&pg, "postgres", "ALTER SYSTEM SET fsync = off");
    postgres_ask(&pg, "postgres", "SELECT pg_reload_conf()");
    for (int ms = 0; ms < WAIT_MS && strcmp(postgres_ask(&pg, "postgres", "SHOW fsync"), "off") != 0;
         ms += 20)
        sleep_ms(20);
    refuses_to_start("", "unsafe", 2, "/unsafe: expected a server with fsync = on");
    postgres_ask(&pg, "postgres", "ALTER SYSTEM RESET fsync");
    postgres_ask(&pg, "postgres", "SELECT pg_reload_conf()");
    for (int ms = 0; ms < WAIT_MS && strcmp(postgres_ask(&pg, "postgres", "SHOW fsync"), "on") != 0; ms += 20)
        sleep_ms(20);
}

/* Servers that start together make the tables once. A commit waits for the disk, whatever the database says is usual. */
static void servers_start_together(void **state)
{
    enum { SERVERS = 4 };
    server k[SERVERS];

    (void)state;
    postgres_ask(&pg, "postgres", "CREATE DATABASE together");
    postgres_ask(&pg, "postgres", "ALTER DATABASE together SET synchronous_commit = off");
    for (int i = 0; i < SERVERS; i++)
        spawn_with(&k[i], "--threads 1", "together");
    for (int i = 0; i < SERVERS; i++) {
        for (int ms = 0; ms < WAIT_MS && !log_has(&k[i], "\"listening\""); ms += 10)
            sleep_ms(10);
        if (server_stop(&k[i])) {
            char *text = read_log(&k[i]);

            fail_msg("server %d: %s", i, text);
        }
    }
    assert_string_equal(postgres_ask(&pg, "together", "SELECT count(*) FROM sedge_version WHERE version = 1"),
                        "1");
}

/* ---- when it is away -------------------------------------------------------------------------------- */
typedef struct writer {
    const server *s;
    int number, acknowledged, refused;
    atomic_bool *stop;
} writer;

/* Each event until it is acknowledged, under one id. */
static void *write_events(void *ctx)
{
    writer *w = ctx;

    while (!atomic_load(w->stop)) {
        char body[200];
        int status;

        snprintf(body, sizeof body,
                 "{\"events\": [{\"user\": \"w%d\", \"item\": \"i3\", \"id\": \"w%d-%d\"}]}", w->number,
                 w->number, w->acknowledged);
        do {
            answer a = ask(w->s, "POST", "/v1/events", body);

            status = a.status;
            if (status == 503) {
                w->refused++;
                assert_string_equal(text_at(&a, "error/code"), "store_unavailable");
                assert_string_equal(text_at(&a, "error/type"), "server_error");
                assert_true(has_header(&a, "Retry-After: 1"));
                assert_null(strstr(a.body, "127.0.0.1")); /* where it is, is nobody's business */
                sleep_ms(10);
            } else {
                assert_int_equal(status, 200);
                assert_true(number_at(&a, "stored") + number_at(&a, "repeated") == 1);
            }
            answer_free(&a);
        } while (status != 200);
        w->acknowledged++;
    }
    return NULL;
}

static void nothing_is_lost_when_it_stops(void **state)
{
    enum { WRITERS = 3 };
    const int n_rounds = rounds(2);
    pthread_t thread[WRITERS];
    writer w[WRITERS];
    atomic_bool end = false;
    int acknowledged = 0, refused = 0;
    char expected[20];
    server k;

    (void)state;
    start_with(&k, "--threads 1 --log off", "outage");
    wait_ready(&k, 200);
    assert_true(store_up(&k));
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (writer){&k, i, 0, 0, &end};
        assert_int_equal(pthread_create(&thread[i], NULL, write_events, &w[i]), 0);
    }
    for (int round = 0; round < n_rounds; round++) {
        sleep_ms(100 + 37 * (round % 5));
        postgres_stop(&pg, round % 3 == 1 ? SIGINT : SIGQUIT);
        wait_ready(&k, 503);
        assert_false(store_up(&k));
        assert_error(&k, "POST", "/v1/recommend", "{\"user\": \"u2\"}", 503, "store_unavailable");
        assert_error(&k, "POST", "/v1/rank", "{\"user\": \"u2\", \"items\": [\"i3\"]}", 503,
                     "store_unavailable");
        assert_error(&k, "GET", "/v1/users/u2", NULL, 503, "store_unavailable");
        assert_error(&k, "DELETE", "/v1/users/u2", NULL, 503, "store_unavailable");
        assert_int_equal(status_of(&k, "POST", "/v1/recommend", "{\"history\": [\"i3\"]}"), 200);
        assert_int_equal(status_of(&k, "GET", "/healthz", NULL), 200);
        assert_true(postgres_start(&pg));
        wait_ready(&k, 200);
        assert_int_equal(status_of(&k, "POST", "/v1/recommend", "{\"user\": \"u2\"}"), 200);
    }
    atomic_store(&end, true);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(thread[i], NULL);
        acknowledged += w[i].acknowledged;
        refused += w[i].refused;
    }
    snprintf(expected, sizeof expected, "%d", acknowledged);
    assert_string_equal(postgres_ask(&pg, "outage", "SELECT count(*) FROM sedge_events"), expected);
    assert_true(refused > 0);
    print_message(
        "stopped %d times: %d events acknowledged, each there once; %d requests told to come again\n",
        n_rounds, acknowledged, refused);
    assert_true(log_has(&k, "\"store away\"") && log_has(&k, "\"store back\""));
    assert_int_equal(server_stop(&k), 0);
}

/* Nobody notices. */
static void broken_connections_are_made_anew(void **state)
{
    server k;

    (void)state;
    start_with(&k, "--threads 2 --log errors", "broken");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(
            status_of(&k, "POST", "/v1/events", "{\"events\": [{\"user\": \"ann\", \"item\": \"i3\"}]}"),
            200);
        assert_int_equal(status_of(&k, "POST", "/v1/recommend", "{\"user\": \"ann\"}"), 200);
        assert_int_equal(status_of(&k, "GET", "/v1/users/ann", NULL), 200);
        postgres_ask(&pg, "broken",
                     "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = "
                     "'sedge' AND "
                     "datname = 'broken'");
    }
    assert_string_equal(postgres_ask(&pg, "broken", "SELECT count(*) FROM sedge_events"), "5");
    assert_false(log_has(&k, "away"));
    assert_int_equal(server_stop(&k), 0);
}

static void signal_all(int n, const pid_t *pid, int signal)
{
    for (int i = 0; i < n; i++)
        kill(pid[i], signal);
}

/* It is there, and does not say a word: as behind a network that drops everything. */
static void a_silent_one_is_not_waited_for(void **state)
{
    pid_t pid[10] = {pg.pid};
    char *list;
    double begin;
    server k;
    int n = 1;

    (void)state;
    start_with(&k, "--threads 1 --log errors --store-ms 300", "silent");
    list = (char *)(uintptr_t)postgres_ask(&pg, "silent",
                                           "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE "
                                           "application_name = 'sedge' AND datname = 'silent'");
    for (char *end; n < 10 && (pid[n] = (pid_t)strtol(list, &end, 10)) > 0; list = end)
        n++;
    assert_int_equal(n, 4); /* itself, and the connections of reader, writer, worker */
    signal_all(n, pid, SIGSTOP);
    assert_int_equal(
        status_of(&k, "POST", "/v1/events", "{\"events\": [{\"user\": \"ann\", \"item\": \"i3\"}]}"), 503);
    wait_ready(&k, 503);
    begin = seconds_now();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(status_of(&k, "POST", "/v1/recommend", "{\"history\": [\"i3\"]}"), 200);
        assert_int_equal(status_of(&k, "POST", "/v1/recommend", "{\"user\": \"ann\"}"), 503);
    }
    assert_true(SANITIZED || seconds_now() - begin < 13); /* none of these waits for it: 20 would take 26 s */
    signal_all(n, pid, SIGCONT);
    wait_ready(&k, 200);
    assert_int_equal(
        status_of(&k, "POST", "/v1/events", "{\"events\": [{\"user\": \"ann\", \"item\": \"i3\"}]}"), 200);
    assert_int_equal(server_stop(&k), 0);
}

/* Somebody holds the lock of all writers, and a row as well. */
static void a_lock_is_not_waited_for(void **state)
{
    static const char event[] = "{\"events\": [{\"user\": \"ann\", \"item\": \"i3\"}]}";
    server k;
    pid_t holder;
    char command[300];

    (void)state;
    start_with(&k, "--threads 1 --log errors --store-ms 300", "locked");
    assert_int_equal(status_of(&k, "POST", "/v1/events", event), 200);
    snprintf(command, sizeof command,
             "psql -q -d 'host=127.0.0.1 port=%d user=sedge dbname=locked password=" PG_SECRET
             "' -c \"SELECT "
             "pg_advisory_lock(hashtext('sedge'), hashtext('public')), pg_sleep(60)\"",
             pg.port);
    holder = postgres_run(&pg, command);
    for (int ms = 0;
         ms < WAIT_MS &&
         strcmp(postgres_ask(&pg, "locked", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
                "0") == 0;
         ms += 20)
        sleep_ms(20);
    assert_int_equal(status_of(&k, "POST", "/v1/events", event), 503);
    wait_ready(&k, 200);
    assert_int_equal(status_of(&k, "POST", "/v1/recommend", "{\"user\": \"ann\"}"),
                     200); /* who reads is not in its way */
    postgres_ask(&pg, "locked",
                 "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE "
                 "'%%pg_sleep(60)%%' AND pid != pg_backend_pid()");
    waitpid(holder, NULL, 0);
    wait_ready(&k, 200);
    assert_int_equal(status_of(&k, "POST", "/v1/events", event), 200);
    assert_string_equal(postgres_ask(&pg, "locked", "SELECT count(*) FROM sedge_events"), "2");
    assert_int_equal(server_stop(&k), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_it_cannot_use),     cmocka_unit_test(servers_start_together),
        cmocka_unit_test(nothing_is_lost_when_it_stops),  cmocka_unit_test(broken_connections_are_made_anew),
        cmocka_unit_test(a_silent_one_is_not_waited_for), cmocka_unit_test(a_lock_is_not_waited_for),
    };
    const char *missing = postgres_missing(&pg);

    if (missing) {
        print_message("skipped: %s\n", missing);
        return 77;
    }
    return cmocka_run_group_tests(tests, start, stop);
}
