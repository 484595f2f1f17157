/* retrieve.c - documents for a query over HTTP are those of the command; what is removed is never found; models that read histories say so. */
#include "client.h"

#include <math.h>

static server s;

static int start(void **state)
{
    static const char *const models[] = {"bm25", "pop", NULL};

    (void)state;
    if (make_work(models))
        return -1;
    server_start(&s, "bm25", "--threads 2 --store store.db --also pop=pop --k-max 80");
    return 0;
}

static int stop(void **state)
{
    assert_int_equal(server_stop(&s), 0);
    return remove_work(state);
}

/* The title of an item, which is what a query for it says. */
static void title_of(const char *item, char title[200])
{
    char path[100];

    snprintf(path, sizeof path, "/v1/items/%s", item);
    answer a = ask(&s, "GET", path, NULL);
    snprintf(title, 200, "%s", text_at(&a, "title"));
    answer_free(&a);
}

static void lists_are_those_of_the_command(void **state)
{
    (void)state;
    char title[200], body[400], path[100];

    title_of("i7", title);
    snprintf(body, sizeof body, "{\"query\": \"%s\", \"k\": 5}", title);
    answer a = ask(&s, "POST", "/v1/retrieve", body);
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(&a, "object"), "retrieval");
    assert_string_equal(text_at(&a, "query"), title);
    assert_int_equal(shell("sedge recommend bm25 -k 5 --json --query '%s' >own.json", title), 0);
    snprintf(path, sizeof path, "%s/own.json", work);
    json_t *own = json_load_file(path, 0, NULL);
    assert_non_null(own);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "items/%d/item", i);
        assert_string_equal(text_at(&a, path), json_string_value(member(own, path)));
        snprintf(path, sizeof path, "items/%d/score", i);
        assert_true(fabs(number_at(&a, path) - json_number_value(member(own, path))) < 1e-5);
    }
    json_decref(own);
    answer_free(&a);
}

static void removed_items_are_not_found_and_leave_no_gap(void **state)
{
    (void)state;
    char title[200], body[400], path[120], best[100];

    title_of("i9", title);
    snprintf(body, sizeof body, "{\"query\": \"%s\", \"k\": 4}", title);
    answer a = ask(&s, "POST", "/v1/retrieve", body), b;
    snprintf(best, sizeof best, "%s", text_at(&a, "items/0/item"));
    snprintf(path, sizeof path, "/v1/items/%s", best);
    assert_int_equal(status_of(&s, "DELETE", path, NULL), 200);
    b = ask(&s, "POST", "/v1/retrieve", body);
    for (int i = 0; i < 3; i++) {
        char to[100];

        snprintf(path, sizeof path, "items/%d/item", i + 1);
        snprintf(to, sizeof to, "items/%d/item", i);
        assert_string_equal(text_at(&b, to), text_at(&a, path));
    }
    assert_int_equal((int)number_at(&b, "items/3/rank"), 4);
    answer_free(&a);
    answer_free(&b);
    snprintf(body, sizeof body, "{\"query\": \"%s\", \"k\": 80}", title);
    a = ask(&s, "POST", "/v1/retrieve", body);
    assert_null(strstr(a.body, best));
    answer_free(&a);
}

static void refused_word_by_word(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body, *message;
        int status;
    } cases[] = {
        {"/v1/retrieve", "{}", "'query': expected, found nothing", 400},
        {"/v1/retrieve", "{\"query\": 3}", "'query': expected a string, found 3", 400},
        {"/v1/retrieve", "{\"query\": \"lamp\", \"k\": 81}", "'k': expected at most 80, found 81", 400},
        {"/v1/retrieve", "{\"query\": \"lamp\", \"model\": \"pop\"}", "pop answers histories, not queries",
         400},
        {"/v1/recommend", "{\"history\": [\"i3\"]}", "bm25 answers queries, not histories", 400},
        {"/v1/retrieve", "{\"query\": \"lamp\", \"model\": \"none\"}",
         "no model is named 'none'; GET /v1/models lists them", 404},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        answer a = ask(&s, "POST", cases[i].path, cases[i].body);

        assert_string_equal(text_at(&a, "error/message"), cases[i].message);
        assert_int_equal(a.status, cases[i].status);
        answer_free(&a);
    }
}

static void models_say_what_they_answer(void **state)
{
    (void)state;
    answer a = ask(&s, "GET", "/v1/models", NULL);

    assert_string_equal(text_at(&a, "data/0/roles/0"), "retrieve");
    assert_string_equal(text_at(&a, "data/1/roles/0"), "recommend");
    answer_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_those_of_the_command),
        cmocka_unit_test(removed_items_are_not_found_and_leave_no_gap),
        cmocka_unit_test(refused_word_by_word),
        cmocka_unit_test(models_say_what_they_answer),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
