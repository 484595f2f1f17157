/* store.c - events of users: seen at once, stored once, never lost once acknowledged, gone when erased. In every kind of store. */
#include "postgres.h"

#include <pthread.h>

static server s;
static postgres pg;
static bool in_postgres; /* the kind of this round */

/* --store and what comes behind it, of a name */
static const char *store(const char *name)
{
    static char option[300];
    char where[200];

    if (in_postgres)
        postgres_where(&pg, where, sizeof where, name);
    else
        snprintf(where, sizeof where, "%s.db", name);
    snprintf(option, sizeof option, "--store %s", where);
    return option;
}

static void start_with(server *k, const char *options, const char *name)
{
    char all[600];

    snprintf(all, sizeof all, "%s %s", options, store(name));
    server_start(k, "markov1", all);
}

static int start(void **state)
{
    static const char *const models[] = {"markov1", NULL};

    (void)state;
    if (make_work(models) || (in_postgres && !postgres_make(&pg)))
        return -1;
    start_with(&s, "--threads 2", "users");
    return 0;
}

static int stop(void **state)
{
    assert_int_equal(server_stop(&s), 0);
    if (in_postgres) {
        assert_int_equal(shell("! grep -l " PG_SECRET " log*"), 0);
        postgres_stop(&pg, SIGQUIT);
    }
    return remove_work(state);
}

static answer recommend_to(const server *to, const char *user)
{
    char body[200];

    snprintf(body, sizeof body, "{\"user\": \"%s\", \"k\": 5, \"explain\": true}", user);
    return ask(to, "POST", "/v1/recommend", body);
}

/* The same items as for the same history without a user. */
static void new_events_count_at_once(void **state)
{
    static const char *const items[] = {"i3", "i14", "i15"};
    char history[200] = "";

    (void)state;
    assert_error(&s, "GET", "/v1/users/ann", NULL, 404, "not_found");
    for (int i = 0; i < 3; i++) {
        char body[300];
        answer a, b;

        snprintf(
            body, sizeof body,
            "{\"events\": [{\"user\": \"ann\", \"item\": \"%s\", \"timestamp\": %d, \"action\": \"buy\"}]}",
            items[i], 1000 + i);
        a = ask(&s, "POST", "/v1/events", body);
        assert_int_equal(a.status, 200);
        assert_true(number_at(&a, "stored") == 1);
        answer_free(&a);
        snprintf(history + strlen(history), sizeof history - strlen(history), "%s\"%s\"", i ? ", " : "",
                 items[i]);
        snprintf(body, sizeof body, "{\"history\": [%s], \"k\": 5}", history);
        a = recommend_to(&s, "ann");
        b = ask(&s, "POST", "/v1/recommend", body);
        assert_true(number_at(&a, "history_length") == i + 1);
        for (int r = 0; r < 5; r++) {
            char path[30];

            snprintf(path, sizeof path, "items/%d/item", r);
            assert_string_equal(text_at(&a, path), text_at(&b, path));
        }
        answer_free(&a);
        answer_free(&b);
    }
    answer a = ask(&s, "GET", "/v1/users/ann", NULL);

    assert_true(number_at(&a, "events_store") == 3 && number_at(&a, "events_dataset") == 0);
    assert_string_equal(text_at(&a, "events/2/item"), "i15");
    assert_string_equal(text_at(&a, "events/2/action"), "buy");
    assert_true(number_at(&a, "events/2/timestamp") == 1002);
    answer_free(&a);
}

static void they_stand_after_the_datasets(void **state)
{
    answer a = recommend_to(&s, "u2");
    const double before = number_at(&a, "history_length");

    (void)state;
    answer_free(&a);
    assert_int_equal(status_of(&s, "POST", "/v1/events",
                               "{\"events\": [{\"user\": \"u2\", \"item\": \"i7\", \"timestamp\": 5}]}"),
                     200);
    a = recommend_to(&s, "u2");
    assert_true(number_at(&a, "history_length") == before + 1);
    assert_string_equal(
        json_string_value(json_object_get(
            json_array_get(member(a.json, "history"), json_array_size(member(a.json, "history")) - 1),
            "item")),
        "i7");
    answer_free(&a);
}

static void an_event_with_an_id_is_stored_once(void **state)
{
    static const char body[] = "{\"events\": [{\"user\": \"bob\", \"item\": \"i3\", \"id\": \"e1\"}, "
                               "{\"user\": \"bob\", \"item\": \"what\"}]}";
    answer a = ask(&s, "POST", "/v1/events", body);

    (void)state;
    assert_true(number_at(&a, "stored") == 2 && number_at(&a, "repeated") == 0 &&
                number_at(&a, "unknown_items") == 1);
    answer_free(&a);
    a = ask(&s, "POST", "/v1/events", body);
    assert_true(number_at(&a, "stored") == 1 && number_at(&a, "repeated") == 1);
    answer_free(&a);
    a = recommend_to(&s, "bob");
    assert_true(number_at(&a, "history_length") == 1 && number_at(&a, "unknown") == 2);
    answer_free(&a);
}

static void all_or_none(void **state)
{
    (void)state;
    assert_error(&s, "POST", "/v1/events",
                 "{\"events\": [{\"user\": \"cy\", \"item\": \"i3\"}, {\"user\": \"cy\"}]}", 400,
                 "missing_parameter");
    assert_error(&s, "POST", "/v1/events",
                 "{\"events\": [{\"user\": \"cy\", \"item\": \"i3\", \"timestamp\": -1}]}", 400,
                 "out_of_range");
    assert_error(&s, "GET", "/v1/users/cy", NULL, 404, "not_found");
}

static bool store_holds(const char *text)
{
    if (in_postgres)
        return strcmp(
                   postgres_ask(&pg, "users", "SELECT count(*) FROM sedge_events WHERE user_id = '%s'", text),
                   "0") != 0;
    return shell("cat users.db users.db-wal 2>/dev/null | grep -aq '%s'", text) == 0;
}

static void erased_users_are_gone(void **state)
{
    answer a;

    (void)state;
    assert_int_equal(
        status_of(&s, "POST", "/v1/events", "{\"events\": [{\"user\": \"dorothea\", \"item\": \"i3\"}]}"),
        200);
    assert_true(store_holds("dorothea"));
    if (!in_postgres)
        assert_int_equal(
            shell("test $(stat -c %%a users.db) = 600 && test $(stat -c %%a users.db-wal) = 600"), 0);
    a = ask(&s, "DELETE", "/v1/users/dorothea", NULL);
    assert_int_equal(a.status, 200);
    assert_true(number_at(&a, "events") == 1 && json_is_false(member(a.json, "hidden_in_dataset")));
    answer_free(&a);
    assert_false(store_holds("dorothea")); /* not in the file, not in its log */
    assert_error(&s, "GET", "/v1/users/dorothea", NULL, 404, "not_found");
    assert_error(&s, "POST", "/v1/recommend", "{\"user\": \"dorothea\"}", 404, "not_found");

    a = ask(&s, "DELETE", "/v1/users/u3", NULL); /* a user of the dataset */
    assert_true(json_is_true(member(a.json, "hidden_in_dataset")));
    answer_free(&a);
    assert_error(&s, "GET", "/v1/users/u3", NULL, 404, "not_found");
    assert_error(&s, "POST", "/v1/recommend", "{\"user\": \"u3\"}", 404, "not_found");
    assert_int_equal(
        status_of(&s, "POST", "/v1/events", "{\"events\": [{\"user\": \"u3\", \"item\": \"i3\"}]}"), 200);
    a = recommend_to(&s, "u3"); /* begins anew */
    assert_true(number_at(&a, "history_length") == 1);
    answer_free(&a);
}

/* Every step-th of the users, and the last ones, over one connection: thousands of them would use up the ports. */
static void assert_known(const server *k, const int *user, int n, int step)
{
    const int fd = client_open(k);

    for (int i = 0; i < n; i++) {
        char path[100];
        answer a;

        if (i % step && i + 8 <= n)
            continue;
        snprintf(path, sizeof path, "/v1/users/user%d", user[i]);
        send_request(fd, "GET", path, "", NULL);
        a = receive(fd, WAIT_MS, false);
        if (a.status != 200)
            fail_msg("user%d, %d-th of %d acknowledged: status %d", user[i], i, n, a.status);
        answer_free(&a);
    }
    close(fd);
}

/* Acknowledged is on the disk: the server is killed at moments that nobody chose, under writes on several
 * connections. */
static void nothing_acknowledged_is_lost(void **state)
{
    enum { CLIENTS = 4, MOST = 2000 /* a round */ };
    const int n_rounds = rounds(6);
    int sent = 0, *acknowledged = calloc((size_t)n_rounds, MOST * sizeof *acknowledged), n = 0;
    uint32_t moment = 12345;
    server k;

    (void)state;
    for (int round = 0; round < n_rounds; round++) {
        const int before = n;
        int fd[CLIENTS], number[CLIENTS];
        bool alive = true;
        double until;
        answer a;

        start_with(&k, "--threads 1 --log errors", "killed");
        assert_known(&k, acknowledged, n, 4 + n / 16);
        for (int i = 0; i < CLIENTS; i++)
            fd[i] = client_open(&k);
        moment = moment * 1664525 + 1013904223;
        until = seconds_now() + 0.02 + 0.15 * (moment >> 8) / (1 << 24);
        for (int turn = 0; alive; turn++) {
            for (int i = 0; i < CLIENTS; i++) {
                char body[100];

                number[i] = sent++;
                snprintf(body, sizeof body, "{\"events\": [{\"user\": \"user%d\", \"item\": \"i3\"}]}",
                         number[i]);
                send_request(fd[i], "POST", "/v1/events", "", body);
            }
            if (turn && (seconds_now() > until || n + 2 * CLIENTS > before + MOST))
                kill(k.pid, SIGKILL);
            for (int i = 0; i < CLIENTS; i++) {
                a = receive(fd[i], WAIT_MS, false);
                if (a.status == 200)
                    acknowledged[n++] = number[i];
                else
                    alive = false;
                answer_free(&a);
            }
        }
        for (int i = 0; i < CLIENTS; i++)
            close(fd[i]);
        assert_int_equal(server_wait(&k), -SIGKILL);
    }
    assert_true(n >= n_rounds);
    start_with(&k, "--threads 1 --log errors", "killed");
    assert_known(&k, acknowledged, n, 1);
    print_message("killed %d times: of %d events %d were acknowledged, and all of these are there\n",
                  n_rounds, sent, n);
    free(acknowledged);
    assert_int_equal(server_stop(&k), 0);
}

/* A request that is sent again under its key stores nothing again, in whatever order and to whichever server. */
static void a_request_with_a_key_is_stored_once(void **state)
{
    static const char body[] =
        "{\"events\": [{\"user\": \"eve\", \"item\": \"i3\"}, {\"user\": \"eve\", \"item\": \"i3\"}, "
        "{\"user\": \"eve\", \"item\": \"i7\", \"id\": \"own\"}]}";
    static const char *const keys[] = {"k1", "k2", "k1"};
    char line[400], long_key[300];
    answer a;

    (void)state;
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "Idempotency-Key: %s\r\n", keys[i]);
        a = ask_with(&s, "POST", "/v1/events", line, body);
        assert_int_equal(a.status, 200);
        assert_true(number_at(&a, "stored") == (i == 0 ? 3 : i == 1 ? 2 : 0));
        assert_true(number_at(&a, "repeated") == (i == 0 ? 0 : i == 1 ? 1 : 3));
        answer_free(&a);
    }
    a = ask(&s, "GET", "/v1/users/eve", NULL);
    assert_true(number_at(&a, "events_store") == 5);
    answer_free(&a);
    memset(long_key, 'k', sizeof long_key - 1);
    for (int n = 245; n <= 246; n++) { /* with the number of the event it is an id, of 255 bytes at most */
        snprintf(line, sizeof line, "Idempotency-Key: %.*s\r\n", n, long_key);
        a = ask_with(&s, "POST", "/v1/events", line, body);
        assert_int_equal(a.status, n == 245 ? 200 : 400);
        if (n == 246)
            assert_string_equal(text_at(&a, "error/param"), "Idempotency-Key");
        answer_free(&a);
    }
    a = ask(&s, "GET", "/openapi.json", NULL);
    assert_string_equal(
        json_string_value(json_object_get(
            json_array_get(
                json_object_get(
                    json_object_get(json_object_get(member(a.json, "paths"), "/v1/events"), "post"),
                    "parameters"),
                0),
            "name")),
        "Idempotency-Key");
    answer_free(&a);
    a = ask_with(&s, "POST", "/v1/events", "Idempotency-Key: \xff\r\n", body);
    assert_int_equal(a.status, 400);
    answer_free(&a);
}

/* ---- two servers on one store ----------------------------------------------------------------------- */
/* What one has stored is in the very next recommendation of the other, and what one erases is gone from both. */
static void servers_see_each_others_events(void **state)
{
    server both[2];
    static const char body[] = "{\"events\": [{\"user\": \"ann\", \"item\": \"i3\", \"timestamp\": 7}]}";
    answer a;

    (void)state;
    for (int i = 0; i < 2; i++)
        start_with(&both[i], "--threads 2 --log errors", "shared");
    for (int i = 0; i < 60; i++) {
        assert_int_equal(status_of(&both[i % 2], "POST", "/v1/events", body), 200);
        a = recommend_to(&both[(i + 1) % 2], "ann");
        assert_true(number_at(&a, "history_length") == i + 1);
        answer_free(&a);
    }
    assert_int_equal(status_of(&both[0], "DELETE", "/v1/users/ann", NULL), 200);
    assert_int_equal(status_of(&both[1], "POST", "/v1/recommend", "{\"user\": \"ann\"}"), 404);
    assert_int_equal(status_of(&both[1], "DELETE", "/v1/users/u3", NULL), 200);
    assert_int_equal(status_of(&both[0], "POST", "/v1/recommend", "{\"user\": \"u3\"}"), 404);
    for (int i = 0; i < 2; i++)
        assert_int_equal(server_stop(&both[i]), 0);
}

typedef struct writer {
    const server *s;
    int number, events, stored;
} writer;

/* Requests of several users at once, each event of the same moment, and half of them sent by two writers. */
static void *write_events(void *ctx)
{
    writer *w = ctx;
    const int fd = client_open(w->s);

    for (int i = 0; i < w->events; i++) {
        char body[400];
        answer a;

        snprintf(
            body, sizeof body,
            "{\"events\": [{\"user\": \"%s\", \"item\": \"w%d-%d\", \"timestamp\": 7}, {\"user\": \"%s\", "
            "\"item\": \"w%d-%d\", \"timestamp\": 7}, {\"user\": \"common\", \"item\": \"i3\", \"id\": "
            "\"c%d\"}]}",
            w->number % 2 ? "ann" : "bob", w->number, i, w->number % 2 ? "bob" : "ann", w->number, i, i);
        send_request(fd, "POST", "/v1/events", "", body);
        a = receive(fd, WAIT_MS, false);
        if (a.status == 200)
            w->stored += (int)number_at(&a, "stored");
        answer_free(&a);
    }
    close(fd);
    return NULL;
}

static void assert_same_order(const server *k, const char *user, int writers, int events, answer *before)
{
    int next[8] = {0};
    char path[60];
    answer a;

    snprintf(path, sizeof path, "/v1/users/%s", user);
    a = ask(k, "GET", path, NULL);
    assert_true(number_at(&a, "events_store") == writers * events);
    for (size_t i = 0; i < json_array_size(member(a.json, "events"));
         i++) { /* the latest: each writer's in its order */
        int w, e;

        snprintf(path, sizeof path, "events/%zu/item", i);
        assert_int_equal(sscanf(text_at(&a, path), "w%d-%d", &w, &e), 2);
        assert_true(next[w] == 0 || e == next[w]);
        next[w] = e + 1;
    }
    if (before->json)
        assert_true(json_equal(before->json, a.json));
    answer_free(before);
    *before = a;
}

static void servers_write_the_same_users(void **state)
{
    enum { WRITERS = 4, EVENTS = 60 };
    pthread_t thread[WRITERS];
    writer w[WRITERS];
    server both[2];
    int stored = 0;
    answer a[2] = {{0}};

    (void)state;
    for (int i = 0; i < 2; i++)
        start_with(&both[i], "--threads 1 --log errors", "raced");
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (writer){&both[i % 2], i, EVENTS, 0};
        assert_int_equal(pthread_create(&thread[i], NULL, write_events, &w[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(thread[i], NULL);
        stored += w[i].stored;
    }
    assert_int_equal(stored, WRITERS * EVENTS * 2 + EVENTS); /* all there, and those of an id once */
    for (int i = 0; i < 2; i++) {
        assert_same_order(&both[i], "ann", WRITERS, EVENTS, &a[0]);
        assert_same_order(&both[i], "bob", WRITERS, EVENTS, &a[1]);
    }
    answer_free(&a[0]);
    answer_free(&a[1]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(server_stop(&both[i]), 0);
}

static void refuses_a_file_that_is_no_store(void **state)
{
    server k;

    (void)state;
    if (in_postgres)
        return;
    assert_int_equal(shell("seq 1000 > numbers"), 0);
    server_spawn(&k, "markov1", "--store numbers");
    assert_int_equal(server_wait(&k), 1);
    assert_true(log_has(&k, "numbers: file is not a database"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_events_count_at_once),
        cmocka_unit_test(they_stand_after_the_datasets),
        cmocka_unit_test(an_event_with_an_id_is_stored_once),
        cmocka_unit_test(all_or_none),
        cmocka_unit_test(erased_users_are_gone),
        cmocka_unit_test(nothing_acknowledged_is_lost),
        cmocka_unit_test(a_request_with_a_key_is_stored_once),
        cmocka_unit_test(servers_see_each_others_events),
        cmocka_unit_test(servers_write_the_same_users),
        cmocka_unit_test(refuses_a_file_that_is_no_store),
    };
    const int failed = cmocka_run_group_tests_name("sqlite", tests, start, stop);
    const char *missing = postgres_missing(&pg);

    if (missing) {
        print_message("postgres: skipped: %s\n", missing);
        return failed;
    }
    in_postgres = true;
    return failed + cmocka_run_group_tests_name("postgres", tests, start, stop);
}
