/* bench.c - sedge bench serve: what it sends, what it counts, and that a server which stands still is charged for it. */
#include "client.h"

#include <pthread.h>

static int start(void **state)
{
    static const char *const models[] = {"markov1", NULL};

    (void)state;
    return make_work(models);
}

/* Runs the bench on a server; the result is the caller's. */
static json_t *bench(const server *s, const char *options)
{
    char path[100];
    json_t *result;

    snprintf(path, sizeof path, "%s/result", work);
    assert_int_equal(shell("sedge bench serve http://127.0.0.1:%d -q --json %s >result", s->port, options),
                     0);
    result = json_load_file(path, 0, NULL);
    assert_non_null(result);
    return result;
}

static double number(json_t *result, const char *key)
{
    return json_number_value(json_object_get(result, key));
}

static double answers(json_t *result, const char *status)
{
    return json_number_value(json_object_get(json_object_get(result, "statuses"), status));
}

static double metric(const server *s, const char *name)
{
    answer a = ask(s, "GET", "/metrics", NULL);
    char line[200];
    const char *at;
    double value = 0;

    snprintf(line, sizeof line, "\n%s ", name);
    if ((at = strstr(a.body, line)))
        value = atof(at + strlen(line));
    answer_free(&a);
    return value;
}

static char *read_work(const char *name)
{
    char path[100];
    char *text = calloc(1, ANSWER_MAX);
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", work, name);
    if ((f = fopen(path, "r"))) {
        if (!fread(text, 1, ANSWER_MAX - 1, f))
            text[0] = 0;
        fclose(f);
    }
    return text;
}

static void every_request_that_is_due_is_sent_and_counted(void **state)
{
    json_t *r;
    server s;
    char *csv, *svg;
    double rows = 0;

    (void)state;
    server_start(&s, "markov1", "--threads 1 --queue-ms 10000");
    r = bench(
        &s, "--data shop --rate 200 --seconds 1 --warmup 0.2 --arrivals fixed --k 3 --csv t.csv --svg t.svg");
    assert_true(number(r, "requests") >= 199 && number(r, "requests") <= 201);
    assert_true(number(r, "good") == number(r, "requests"));
    assert_true(answers(r, "200") == number(r, "good"));
    assert_true(number(r, "timeouts") + number(r, "broken") + number(r, "never_sent") == 0);
    assert_true(number(r, "p50_ms") > 0 && number(r, "p50_ms") <= number(r, "p99_ms") &&
                number(r, "p99_ms") <= number(r, "max_ms"));
    /* what the server saw: the counted ones and those of the warm-up */
    assert_true(metric(&s, "sedge_requests_total{method=\"POST\",route=\"/v1/recommend\",status=\"200\"}") >=
                number(r, "requests") + 38);
    csv = read_work("t.csv");
    assert_int_equal(strncmp(csv, "from_ms,to_ms,good,other\n", 25), 0);
    for (char *line = strchr(csv, '\n') + 1, *end; (end = strchr(line, '\n')); line = end + 1) {
        double from, to, good, other;

        assert_int_equal(sscanf(line, "%lf,%lf,%lf,%lf", &from, &to, &good, &other), 4);
        assert_true(from < to);
        rows += good + other;
    }
    assert_true(rows == number(r, "requests"));
    svg = read_work("t.svg");
    assert_non_null(strstr(svg, "<svg "));
    assert_non_null(strstr(svg, "p99 "));
    assert_non_null(strstr(svg, "</svg>"));
    free(csv);
    free(svg);
    json_decref(r);
    assert_int_equal(server_stop(&s), 0);
}

/* The server stands still for 400 ms of a second. A client that waits for each answer before it asks again would have noticed one
 * slow request; forty were due meanwhile. */
static void *stand_still(void *ctx)
{
    const server *s = ctx;

    sleep_ms(700);
    kill(s->pid, SIGSTOP);
    sleep_ms(400);
    kill(s->pid, SIGCONT);
    return NULL;
}

static void standing_still_is_charged(void **state)
{
    pthread_t thread;
    char *csv;
    double slow = 0;
    json_t *r;
    server s;

    (void)state;
    server_start(&s, "markov1", "--threads 1 --queue-ms 10000");
    assert_int_equal(pthread_create(&thread, NULL, stand_still, &s), 0);
    r = bench(&s, "--data shop --rate 100 --seconds 2 --warmup 0 --arrivals fixed --csv t.csv");
    pthread_join(thread, NULL);
    csv = read_work("t.csv");
    for (char *line = strchr(csv, '\n') + 1, *end; (end = strchr(line, '\n')); line = end + 1) {
        double from, to, good, other;

        assert_int_equal(sscanf(line, "%lf,%lf,%lf,%lf", &from, &to, &good, &other), 4);
        if (from >= 100)
            slow += good;
    }
    assert_true(number(r, "good") == number(r, "requests"));
    assert_true(slow >=
                25); /* of 40 those that were due in its first 300 ms; a busy machine may only add to them */
    assert_true(number(r, "max_ms") >= 350);
    free(csv);
    json_decref(r);
    assert_int_equal(server_stop(&s), 0);
}

static void *stand_still_for_long(void *ctx)
{
    const server *s = ctx;

    sleep_ms(300);
    kill(s->pid, SIGSTOP);
    sleep_ms(1500);
    kill(s->pid, SIGCONT);
    return NULL;
}

/* Two connections are soon busy: what is due then waits for one, and is given up in its time as well. */
static void no_request_is_waited_for_longer_than_its_time(void **state)
{
    pthread_t thread;
    json_t *r;
    server s;

    (void)state;
    server_start(&s, "markov1", "--threads 1");
    assert_int_equal(pthread_create(&thread, NULL, stand_still_for_long, &s), 0);
    r = bench(&s,
              "--data shop --rate 50 --seconds 1 --warmup 0 --arrivals fixed --timeout 0.3 --connections 2");
    pthread_join(thread, NULL);
    assert_true(number(r, "timeouts") >= 2);
    assert_true(number(r, "never_sent") >= 5);
    assert_true(number(r, "good") + number(r, "timeouts") + number(r, "never_sent") + number(r, "broken") ==
                number(r, "requests"));
    assert_true(number(r, "max_ms") < 400);
    assert_true(number(r, "connections") <= 2);
    json_decref(r);
    assert_int_equal(server_stop(&s), 0);
}

static void answers_are_told_apart_by_status(void **state)
{
    json_t *r;
    server s;

    (void)state;
    assert_int_equal(
        shell("printf '{\"history\": [\"i3\"]}\\n{\"history\": 7}\\n\\n{\"user\": \"nobody\"}' >bodies"), 0);
    assert_int_equal(shell("printf '# ours\\nuse 0123456789abcdef\\n' >keys && chmod 600 keys"), 0);
    server_start(&s, "markov1", "--threads 1 --key-file keys --queue-ms 10000");
    r = bench(&s, "--bodies bodies --rate 300 --seconds 0.5 --warmup 0 --zipf 0 --key-file keys");
    assert_true(answers(r, "200") > 0 && answers(r, "400") > 0 && answers(r, "404") > 0);
    assert_true(number(r, "good") == answers(r, "200"));
    assert_true(answers(r, "200") + answers(r, "400") + answers(r, "404") == number(r, "requests"));
    json_decref(r);
    r = bench(&s, "--bodies bodies --rate 100 --seconds 0.2 --warmup 0");
    assert_true(answers(r, "401") == number(r, "requests"));
    assert_null(json_object_get(r, "p50_ms"));
    json_decref(r);
    assert_int_equal(server_stop(&s), 0);
}

/* The first user is asked for much more often than the last, and the same seed asks the same. */
static void users_are_drawn_by_zipf(void **state)
{
    json_t *a, *b;
    server s;

    (void)state;
    server_start(&s, "markov1", "--threads 1 --queue-ms 10000");
    a = bench(&s, "--data shop --rate 400 --seconds 0.5 --warmup 0 --zipf 3 --seed 5");
    b = bench(&s, "--data shop --rate 400 --seconds 0.5 --warmup 0 --zipf 3 --seed 5");
    assert_true(number(a, "requests") == number(b, "requests"));
    assert_true(number(a, "bytes") == number(b, "bytes"));
    json_decref(b);
    b = bench(&s, "--data shop --rate 400 --seconds 0.5 --warmup 0 --zipf 3 --seed 6");
    assert_true(number(a, "bytes") != number(b, "bytes"));
    json_decref(a);
    json_decref(b);
    assert_int_equal(server_stop(&s), 0);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    assert_int_not_equal(shell("sedge bench serve http://127.0.0.1:9 --data shop 2>said"), 0);
    assert_int_equal(shell("grep -q '127.0.0.1:9: cannot connect' said"), 0);
    assert_int_not_equal(shell("sedge bench serve 127.0.0.1 --data shop 2>said"), 0);
    assert_int_equal(shell("grep -q 'expected http://HOST:PORT' said"), 0);
    assert_int_not_equal(shell("sedge bench serve 2>said"), 0);
    assert_int_equal(shell("grep -q 'found neither' said"), 0);
    assert_int_not_equal(shell("sedge bench serv 2>said"), 0);
    assert_int_equal(shell("grep -q \"did you mean 'serve'\" said"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_that_is_due_is_sent_and_counted),
        cmocka_unit_test(standing_still_is_charged),
        cmocka_unit_test(no_request_is_waited_for_longer_than_its_time),
        cmocka_unit_test(answers_are_told_apart_by_status),
        cmocka_unit_test(users_are_drawn_by_zipf),
        cmocka_unit_test(says_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, start, remove_work);
}
