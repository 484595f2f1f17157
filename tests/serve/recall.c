/* recall.c - what was read of a history is not read again, and nobody can tell from the answers: after new events, also those
 * that another server wrote, after an erasure, after a reload. */
#include "client.h"

static server kept, fresh; /* the same model and store; one keeps what it read, the other does not */

static int start(void **state)
{
    static const char *const models[] = {"sasrec", "tiger", NULL};

    (void)state;
    if (make_work(models) ||
        shell("sedge train sasrec shop -q -o first --set dim=16 layers=2 length=6 step=2 positions=start "
              "epochs=1 valid_users=50 --json >/dev/null"))
        return -1;
    server_start(&kept, "first", "--threads 2 --store users.db --also ids=tiger");
    server_start(&fresh, "first", "--threads 2 --store users.db --also ids=tiger --cache 0");
    return 0;
}

static int stop(void **state)
{
    assert_int_equal(server_stop(&kept), 0);
    assert_int_equal(server_stop(&fresh), 0);
    return remove_work(state);
}

/* A value of /metrics. */
static double metric(const server *s, const char *name, const char *model)
{
    answer a = ask(s, "GET", "/metrics", NULL);
    char line[200];
    const char *at;
    double value;

    snprintf(line, sizeof line, "\n%s{model=\"%s\"} ", name, model);
    at = strstr(a.body, line);
    assert_non_null(at);
    value = atof(at + strlen(line));
    answer_free(&a);
    return value;
}

static void same_answers(const char *body)
{
    answer a = ask(&kept, "POST", "/v1/recommend", body), b = ask(&fresh, "POST", "/v1/recommend", body);

    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, b.body); /* every digit */
    answer_free(&a);
    answer_free(&b);
}

static void ask_for(const char *user)
{
    static const char *const models[] = {"sasrec", "ids"};
    char body[200];

    for (int m = 0; m < 2; m++) {
        snprintf(body, sizeof body, "{\"user\": \"%s\", \"model\": \"%s\", \"k\": 10}", user, models[m]);
        same_answers(body);
    }
}

static void event(const server *s, const char *user, int item, int time)
{
    char body[200];

    snprintf(body, sizeof body, "{\"events\": [{\"user\": \"%s\", \"item\": \"i%d\", \"timestamp\": %d}]}",
             user, item, time);
    assert_int_equal(status_of(s, "POST", "/v1/events", body), 200);
}

static void answers_are_the_same(void **state)
{
    const double before = metric(&kept, "sedge_past_hits_total", "sasrec");

    (void)state;
    for (int i = 0; i < 12; i++) { /* past the window of 6 as well; by either server */
        event(i % 2 ? &kept : &fresh, "ann", 2 + 3 * i, 2000000000 + i);
        ask_for("ann");
    }
    event(&kept, "ann", 9, 1500000000); /* late: it stands before the others */
    ask_for("ann");
    assert_true(metric(&kept, "sedge_past_hits_total", "sasrec") == before + 12);
    assert_true(metric(&kept, "sedge_past_hits_total", "ids") >= 12);
    assert_true(metric(&kept, "sedge_past_bytes", "sasrec") > 0);
    assert_true(metric(&kept, "sedge_pasts", "ids") >= 1);
    assert_true(metric(&fresh, "sedge_past_misses_total", "sasrec") == 0);
}

static void histories_are_found_by_what_they_hold(void **state)
{
    const double before = metric(&kept, "sedge_past_hits_total", "sasrec");
    char body[300] = "{\"history\": [\"i3\"";

    (void)state;
    for (int i = 0; i < 8; i++) {
        char whole[320];

        snprintf(whole, sizeof whole, "%s], \"k\": 10}", body);
        same_answers(whole);
        snprintf(body + strlen(body), sizeof body - strlen(body), ", \"i%d\"", 5 + 4 * i);
    }
    assert_true(metric(&kept, "sedge_past_hits_total", "sasrec") == before + 7);
}

static void the_erased_are_not_remembered(void **state)
{
    (void)state;
    event(&kept, "bob", 3, 2000000000);
    event(&kept, "bob", 5, 2000000001);
    ask_for("bob");
    const double n = metric(&kept, "sedge_pasts", "sasrec"),
                 forgotten = metric(&kept, "sedge_past_forgotten_total", "sasrec");

    assert_int_equal(status_of(&kept, "DELETE", "/v1/users/bob", NULL), 200);
    assert_true(metric(&kept, "sedge_pasts", "sasrec") == n - 1);
    assert_true(metric(&kept, "sedge_past_forgotten_total", "sasrec") == forgotten + 1);
    assert_error(&kept, "POST", "/v1/recommend", "{\"user\": \"bob\"}", 404, "not_found");
    event(&kept, "bob", 7, 2000000002);
    ask_for("bob");
    assert_int_equal(status_of(&fresh, "DELETE", "/v1/users/bob", NULL), 200); /* the other one does */
    event(&fresh, "bob", 8, 2000000003);
    ask_for("bob");
}

static void a_new_model_begins_anew(void **state)
{
    (void)state;
    ask_for("ann");
    assert_int_equal(
        shell("sedge train sasrec shop -q -o first --set dim=16 layers=1 length=6 positions=start seed=9 "
              "epochs=1 valid_users=50 --json >/dev/null"),
        0);
    assert_int_equal(status_of(&kept, "POST", "/admin/reload", NULL), 200);
    assert_int_equal(status_of(&fresh, "POST", "/admin/reload", NULL), 200);
    assert_true(metric(&kept, "sedge_past_hits_total", "sasrec") == 0);
    ask_for("ann");
    ask_for("ann");
    assert_true(metric(&kept, "sedge_past_hits_total", "sasrec") == 1);
}

/* ---- several models -------------------------------------------------------------------------------------- */
static void models_are_asked_for_by_name(void **state)
{
    answer a = ask(&kept, "GET", "/v1/models", NULL);

    (void)state;
    assert_string_equal(text_at(&a, "data/0/id"), "sasrec");
    assert_string_equal(text_at(&a, "data/1/id"), "ids");
    assert_string_equal(text_at(&a, "data/1/model"), "tiger");
    answer_free(&a);
    a = ask(&kept, "POST", "/v1/recommend", "{\"history\": [\"i3\"]}");
    assert_string_equal(text_at(&a, "model"), "sasrec");
    answer_free(&a);
    a = ask(&kept, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"model\": \"ids\", \"explain\": true}");
    assert_string_equal(text_at(&a, "model"), "ids");
    assert_non_null(member(a.json, "items/0/path"));
    answer_free(&a);
    a = ask(&kept, "POST", "/v1/rank",
            "{\"history\": [\"i3\"], \"model\": \"ids\", \"items\": [\"i5\", \"i7\"]}");
    assert_string_equal(text_at(&a, "model"), "ids");
    answer_free(&a);
    assert_error(&kept, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"model\": \"tiger\"}", 404,
                 "model_not_found");
}

static void refuses(const char *also, const char *message)
{
    server s;

    server_spawn(&s, "first", also);
    assert_int_equal(server_wait(&s), 2);
    if (!log_has(&s, message)) {
        char *text = read_log(&s);

        fail_msg("expected '%s', found '%s'", message, text);
    }
}

static void names_are_checked(void **state)
{
    (void)state;
    refuses("--also tiger",
            "also: expected NAME=DIR, the name of letters, digits, '.', '_' and '-', found 'tiger'");
    refuses("--also a=tiger a=tiger", "also: a model is named 'a' already");
    refuses("--also sasrec=tiger", "also: a model is named 'sasrec' already");
}

/* A reload takes all models or none. */
static void all_are_reloaded_or_none(void **state)
{
    server s;

    (void)state;
    assert_int_equal(shell("cp -r tiger other"), 0);
    server_start(&s, "sasrec", "--threads 1 --also b=other");
    assert_int_equal(shell("sedge train sasrec shop -q -o sasrec --set dim=16 layers=1 epochs=1 seed=4 "
                           "valid_users=50 --json "
                           ">/dev/null && rm other/model.safetensors"),
                     0);
    answer a = ask(&s, "GET", "/v1/models", NULL);
    char *sha = strdup(text_at(&a, "data/0/sha256"));

    answer_free(&a);
    assert_error(&s, "POST", "/admin/reload", NULL, 500, "reload_failed");
    a = ask(&s, "GET", "/v1/models", NULL);
    assert_string_equal(text_at(&a, "data/0/sha256"), sha);
    answer_free(&a);
    free(sha);
    assert_int_equal(status_of(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"model\": \"b\"}"),
                     200);
    assert_int_equal(server_stop(&s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same),
        cmocka_unit_test(histories_are_found_by_what_they_hold),
        cmocka_unit_test(the_erased_are_not_remembered),
        cmocka_unit_test(models_are_asked_for_by_name),
        cmocka_unit_test(a_new_model_begins_anew),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(all_are_reloaded_or_none),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
