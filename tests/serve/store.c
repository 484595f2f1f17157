/* store.c - events of users: seen at once, stored once, never lost once acknowledged, gone when erased. */
#include "client.h"

static server s;

static int start(void **state)
{
    static const char *const models[] = {"markov1", NULL};

    (void)state;
    if (make_work(models))
        return -1;
    server_start(&s, "markov1", "--threads 2 --store users.db");
    return 0;
}

static int stop(void **state)
{
    assert_int_equal(server_stop(&s), 0);
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
    assert_int_equal(shell("test $(stat -c %%a users.db) = 600 && test $(stat -c %%a users.db-wal) = 600"),
                     0);
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

        server_start(&k, "markov1", "--threads 1 --store killed.db --log errors");
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
    server_start(&k, "markov1", "--threads 1 --store killed.db --log errors");
    assert_known(&k, acknowledged, n, 1);
    print_message("killed %d times: of %d events %d were acknowledged, and all of these are there\n",
                  n_rounds, sent, n);
    free(acknowledged);
    assert_int_equal(server_stop(&k), 0);
}

static void refuses_a_file_that_is_no_store(void **state)
{
    server k;

    (void)state;
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
        cmocka_unit_test(refuses_a_file_that_is_no_store),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
