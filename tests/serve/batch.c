/* batch.c - requests that come together are computed together, and answered as each would be alone: the same items, in the same
 * order, with the same scores to the last digit. */
#include "client.h"

enum { N = 8 };

static int start(void **state)
{
    static const char *const models[] = {"tiger", "sasrec", NULL};

    (void)state;
    return make_work(models);
}

static void print_body(char body[300], int i)
{
    int at = i % 3 == 0 ? snprintf(body, 300, "{\"user\": \"u%d\", \"k\": 6, \"beam\": 12", i + 1) : 0;

    if (!at) {
        at = snprintf(body, 300, "{\"k\": 6, \"beam\": 12, \"history\": [");
        for (int j = 0; j <= i; j++)
            at += snprintf(body + at, 300 - (size_t)at, "%s\"i%d\"", j ? ", " : "", (7 * i + 5 * j) % 80);
        at += snprintf(body + at, 300 - (size_t)at, "]");
    }
    snprintf(body + at, 300 - (size_t)at, "}");
}

static double batches(const server *s)
{
    answer a = ask(s, "GET", "/metrics", NULL);
    const char *at = strstr(a.body, "\nsedge_batch_size_count ");
    const double n = at ? atof(at + 24) : -1;

    answer_free(&a);
    return n;
}

static void assert_same_items(const answer *a, const answer *b)
{
    for (int r = 0; r < 6; r++) {
        char path[30];

        snprintf(path, sizeof path, "items/%d/item", r);
        assert_string_equal(text_at(a, path), text_at(b, path));
        snprintf(path, sizeof path, "items/%d/score", r);
        assert_true(number_at(a, path) == number_at(b, path));
    }
}

static void same_together_as_alone(const char *model)
{
    answer alone[N], together;
    server one, many;
    char body[300];
    int fd[N];

    server_start(&one, model, "--threads 1 --batch 1");
    server_start(&many, model, "--threads 1 --batch 8 --batch-wait " WINDOW_US);
    for (int i = 0; i < N; i++) {
        print_body(body, i);
        alone[i] = ask(&one, "POST", "/v1/recommend", body);
        assert_int_equal(alone[i].status, 200);
        assert_int_equal(json_array_size(member(alone[i].json, "items")), 6);
        fd[i] = client_open(&many);
    }
    for (int i = 0; i < N; i++) {
        print_body(body, i);
        send_request(fd[i], "POST", "/v1/recommend", "", body);
    }
    for (int i = 0; i < N; i++) {
        together = receive(fd[i], WAIT_MS, false);
        assert_int_equal(together.status, 200);
        assert_same_items(&together, &alone[i]);
        answer_free(&together);
        answer_free(&alone[i]);
        close(fd[i]);
    }
    assert_true(batches(&one) == N);
    assert_true(batches(&many) == 2); /* histories with times and without run apart */
    assert_int_equal(server_stop(&one), 0);
    assert_int_equal(server_stop(&many), 0);
}

static void tiger_is_the_same_together(void **state)
{
    (void)state;
    same_together_as_alone("tiger");
}

static void sasrec_is_the_same_together(void **state)
{
    (void)state;
    same_together_as_alone("sasrec");
}

/* What is not alike does not wait for each other longer than the budget, and is not mixed up. */
static void different_requests_stay_apart(void **state)
{
    static const char *const bodies[] = {"{\"history\": [\"i3\"], \"k\": 1}",
                                         "{\"history\": [\"i3\"], \"k\": 2}",
                                         "{\"history\": [\"i3\"], \"k\": 1, \"deny\": [\"i5\"]}",
                                         "{\"history\": [\"i3\"], \"k\": 1, \"explain\": true}"};
    server s;
    int fd[4];

    (void)state;
    server_start(&s, "tiger", "--threads 1 --batch 8 --batch-wait 20000");
    for (int i = 0; i < 4; i++) {
        fd[i] = client_open(&s);
        send_request(fd[i], "POST", "/v1/recommend", "", bodies[i]);
    }
    for (int i = 0; i < 4; i++) {
        answer a = receive(fd[i], WAIT_MS, false);

        assert_int_equal(a.status, 200);
        assert_int_equal(json_array_size(member(a.json, "items")), i == 1 ? 2 : 1);
        assert_int_equal(member(a.json, "items/0/because") != NULL, i == 3);
        if (i == 2)
            assert_string_not_equal(text_at(&a, "items/0/item"), "i5");
        answer_free(&a);
        close(fd[i]);
    }
    assert_true(batches(&s) == 4);
    assert_int_equal(server_stop(&s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiger_is_the_same_together),
        cmocka_unit_test(sasrec_is_the_same_together),
        cmocka_unit_test(different_requests_stay_apart),
    };

    return cmocka_run_group_tests(tests, start, remove_work);
}
