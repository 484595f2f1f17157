/* api.c - what each path answers; that the description, the router and the metrics agree with each other. */
#include "client.h"

static server s;

static int start(void **state)
{
    static const char *const models[] = {"tiger", NULL};

    (void)state;
    if (make_work(models))
        return -1;
    server_start(&s, "tiger", "--threads 2");
    return 0;
}

static int stop(void **state)
{
    assert_int_equal(server_stop(&s), 0);
    return remove_work(state);
}

/* The command and the server are two ways to the same numbers. */
static void recommends_what_the_command_does(void **state)
{
    answer a = ask(&s, "POST", "/v1/recommend",
                   "{\"history\": [\"i3\", \"i14\", \"i15\"], \"k\": 7, \"explain\": true}");
    char path[100];
    json_t *want;

    (void)state;
    assert_int_equal(shell("sedge recommend tiger --history i3,i14,i15 -k 7 --explain --json > want.json"),
                     0);
    snprintf(path, sizeof path, "%s/want.json", work);
    want = json_load_file(path, 0, NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(json_array_size(member(a.json, "items")), 7);
    assert_true(json_equal(member(a.json, "items"), member(want, "items")));
    assert_true(json_equal(member(a.json, "history"), member(want, "history")));
    assert_non_null(member(a.json, "items/0/path/0/words"));
    assert_string_equal(text_at(&a, "model"), "tiger");
    json_decref(want);
    answer_free(&a);
}

static void recommends_to_users(void **state)
{
    answer a = ask(&s, "POST", "/v1/recommend", "{\"user\": \"u1\"}");

    (void)state;
    assert_int_equal(a.status, 200);
    assert_int_equal(json_array_size(member(a.json, "items")), 10);
    assert_true(number_at(&a, "history_length") >= 2);
    assert_null(member(a.json, "items/0/path"));
    answer_free(&a);
    assert_error(&s, "POST", "/v1/recommend", "{\"user\": \"nobody\"}", 404, "not_found");
}

static void filters_hold(void **state)
{
    answer a = ask(&s, "POST", "/v1/recommend",
                   "{\"history\": [\"i3\"], \"k\": 50, \"allow\": [\"i1\", \"i2\", \"i3\", \"i5\", "
                   "\"what\"], \"deny\": [\"i2\"]}");

    (void)state;
    assert_int_equal(json_array_size(member(a.json, "items")), 2); /* i1 and i5: i2 is denied, i3 was seen */
    answer_free(&a);
    a = ask(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"allow\": [\"i3\"], \"seen\": true}");
    assert_string_equal(text_at(&a, "items/0/item"), "i3");
    answer_free(&a);
    a = ask(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"allow\": []}");
    assert_int_equal(a.status, 200);
    assert_int_equal(json_array_size(member(a.json, "items")), 0);
    answer_free(&a);
}

/* An item scores what it scores in a list of all, wherever it stands there and in the request. */
static void scores_the_items_it_is_given(void **state)
{
    answer all = ask(&s, "POST", "/v1/recommend",
                     "{\"history\": [\"i3\", \"i14\"], \"k\": 80, \"beam\": 80, \"seen\": true}");
    answer a = ask(
        &s, "POST", "/v1/rank",
        "{\"history\": [\"i3\", \"i14\"], \"items\": [\"i7\", \"what\", \"i3\", \"i44\", \"i7\", \"i60\"]}");
    int best = 0;

    (void)state;
    assert_int_equal(a.status, 200);
    assert_int_equal(json_array_size(member(all.json, "items")), 80);
    assert_int_equal(json_array_size(member(a.json, "items")), 6);
    assert_string_equal(text_at(&a, "items/1/item"), "what");
    assert_true(json_is_null(member(a.json, "items/1/score")) &&
                json_is_null(member(a.json, "items/1/rank")));
    for (int i = 0; i < 6; i++) {
        char path[40];
        int found = 0;

        if (i == 1)
            continue;
        for (int k = 0; k < 80; k++) {
            char where[40];

            snprintf(path, sizeof path, "items/%d/item", i);
            snprintf(where, sizeof where, "items/%d/item", k);
            if (strcmp(text_at(&a, path), text_at(&all, where)) != 0)
                continue;
            snprintf(path, sizeof path, "items/%d/score", i);
            snprintf(where, sizeof where, "items/%d/score", k);
            assert_true(number_at(&a, path) == number_at(&all, where));
            found++;
        }
        assert_int_equal(found, 1);
        snprintf(path, sizeof path, "items/%d/rank", i);
        assert_in_range((int)number_at(&a, path), 1, 4);
        best += number_at(&a, path) == 1 && i != 4; /* i7 is there twice */
    }
    assert_int_equal(best, 1);
    answer_free(&all);
    answer_free(&a);
    assert_error(&s, "POST", "/v1/rank", "{\"history\": [\"i3\"]}", 400, "missing_parameter");
    assert_error(&s, "POST", "/v1/rank", "{\"history\": [\"i3\"], \"items\": []}", 400, "out_of_range");
    assert_error(&s, "POST", "/v1/rank", "{\"items\": [\"i3\"]}", 400, "invalid_request");
    assert_error(&s, "POST", "/v1/rank", "{\"history\": [\"i3\"], \"items\": [\"what\", \"why\"]}", 404,
                 "not_found");
    assert_error(&s, "POST", "/v1/rank", "{\"user\": \"nobody\", \"items\": [\"i3\"]}", 404, "not_found");
}

static void puts_a_list_in_a_new_order(void **state)
{
    static const char *const given[] = {"i7", "i44", "i60", "i9"};
    answer a =
        ask(&s, "POST", "/v1/rank", "{\"user\": \"u1\", \"items\": [\"i7\", \"i44\", \"i60\", \"i9\"]}");
    answer b =
        ask(&s, "POST", "/v1/rerank", "{\"user\": \"u1\", \"items\": [\"i7\", \"i44\", \"i60\", \"i9\"]}");
    char path[40];

    (void)state;
    assert_int_equal(json_array_size(member(b.json, "results")), 4);
    for (int r = 0; r < 4; r++) {
        snprintf(path, sizeof path, "results/%d/index", r);
        const int index = (int)number_at(&b, path);

        assert_in_range(index, 0, 3);
        snprintf(path, sizeof path, "results/%d/item", r);
        assert_string_equal(text_at(&b, path), given[index]);
        snprintf(path, sizeof path, "results/%d/relevance_score", r);
        const double score = number_at(&b, path);

        snprintf(path, sizeof path, "items/%d/score", index);
        assert_true(score == number_at(&a, path));
        snprintf(path, sizeof path, "items/%d/rank", index);
        assert_true(number_at(&a, path) == r + 1);
    }
    answer_free(&a);
    answer_free(&b);
    b = ask(&s, "POST", "/v1/rerank",
            "{\"user\": \"u1\", \"items\": [\"i7\", \"i44\", \"what\", \"i7\"], \"top_n\": 2}");
    assert_int_equal(json_array_size(member(b.json, "results")), 2);
    answer_free(&b);
    b = ask(&s, "POST", "/v1/rerank", "{\"user\": \"u1\", \"items\": [\"i7\", \"i44\", \"what\", \"i7\"]}");
    assert_int_equal(json_array_size(member(b.json, "results")),
                     3); /* what the model does not know has no place */
    answer_free(&b);
}

static void says_what_is_wrong_with_a_request(void **state)
{
    answer a;

    (void)state;
    assert_error(&s, "POST", "/v1/recommend", "{\"usr\": \"u1\"}", 400, "unknown_parameter");
    assert_error(&s, "POST", "/v1/recommend", "{}", 400, "invalid_request");
    assert_error(&s, "POST", "/v1/recommend", "{\"user\": \"u1\", \"history\": [\"i3\"]}", 400,
                 "invalid_request");
    assert_error(&s, "POST", "/v1/recommend", "{\"history\": []}", 400, "out_of_range");
    assert_error(&s, "POST", "/v1/recommend", "{\"history\": [\"what\"]}", 404, "not_found");
    assert_error(&s, "POST", "/v1/recommend", "{\"user\": 7}", 400, "invalid_type");
    assert_error(&s, "POST", "/v1/recommend", "{\"user\": \"a\\u0000b\"}", 400, "invalid_json");
    assert_error(&s, "POST", "/v1/recommend", "{\"user\": \"u1\", \"k\": 1.5}", 400, "invalid_type");
    assert_error(&s, "POST", "/v1/recommend", "{\"user\": \"u1\", \"user\": \"u2\"}", 400, "invalid_json");
    assert_error(&s, "POST", "/v1/recommend", "{\"user\": \"u1\"} x", 400, "invalid_json");
    assert_error(&s, "POST", "/v1/recommend", "[]", 400, "invalid_type");
    assert_error(&s, "POST", "/v1/recommend", "", 400, "invalid_json");
    assert_error(&s, "POST", "/v1/events", "{\"events\": [{\"user\": \"a\", \"item\": \"b\"}]}", 501,
                 "no_store");
    a = ask(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"histroy\": [\"i3\"]}");
    assert_string_equal(text_at(&a, "error/param"),
                        "histroy"); /* what was sent; the message names what was meant */
    assert_string_equal(text_at(&a, "error/message"),
                        "unknown parameter 'histroy' (did you mean 'history'?)");
    answer_free(&a);
    a = ask(&s, "POST", "/v1/events", "{\"events\": [{\"user\": \"a\", \"itme\": \"b\"}]}");
    assert_string_equal(text_at(&a, "error/param"), "events[0].itme");
    answer_free(&a);
    a = ask(&s, "POST", "/v1/recommend",
            "{\"\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac"
            "\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac"
            "\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\": 1}");
    assert_int_equal(strlen(text_at(&a, "error/param")), 90); /* cut between characters of three bytes */
    answer_free(&a);
    a = ask(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\", 4]}");
    assert_string_equal(text_at(&a, "error/param"), "history[1]");
    assert_string_equal(text_at(&a, "error/message"), "'history[1]': expected a string, found 4");
    assert_string_equal(text_at(&a, "error/type"), "invalid_request_error");
    answer_free(&a);
}

static void shows_the_model_and_its_items(void **state)
{
    answer a = ask(&s, "GET", "/v1/models", NULL);

    (void)state;
    assert_string_equal(text_at(&a, "data/0/id"), "tiger");
    assert_true(number_at(&a, "data/0/items") == 80);
    assert_true(number_at(&a, "data/0/dataset/users") == 200);
    assert_non_null(member(a.json, "data/0/receipt/data/sha256"));
    answer_free(&a);

    a = ask(&s, "GET", "/v1/items/i3", NULL);
    assert_int_equal(json_array_size(member(a.json, "semantic_id")), 3);
    assert_true(number_at(&a, "path/2/items") == 1); /* the whole ID is this item alone */
    assert_true(number_at(&a, "path/0/items") >= number_at(&a, "path/1/items"));
    assert_non_null(member(a.json, "texts/title"));
    answer_free(&a);

    a = ask(&s, "GET", "/v1/items/%69%33", NULL); /* escaped */
    assert_string_equal(text_at(&a, "item"), "i3");
    answer_free(&a);
    assert_error(&s, "GET", "/v1/items/what", NULL, 404, "not_found");
    assert_error(&s, "GET", "/v1/items/a%2Fb", NULL, 404, "not_found"); /* an id may hold a slash */
    assert_error(&s, "GET", "/v1/items/%ff", NULL, 400, "invalid_request");
    assert_error(&s, "GET", "/v1/items/%0", NULL, 400, "invalid_request");
    assert_error(&s, "GET", "/v1/items/%00", NULL, 400, "invalid_request");
    a = ask(&s, "GET", "/v1/users/u1", NULL);
    assert_true(number_at(&a, "events_dataset") >= 2);
    assert_string_equal(text_at(&a, "events/0/from"), "dataset");
    answer_free(&a);
}

/* From the root to the leaves by the codes that each answer names: every item is met once, at the ID that it says it has. */
static int count_below(const char *prefix, int *items)
{
    char path[100];
    answer a, b;
    json_t *child;
    size_t i;
    int sum = 0, n;

    snprintf(path, sizeof path, *prefix ? "/v1/prefixes/%s" : "/v1/prefixes", prefix);
    a = ask(&s, "GET", path, NULL);
    assert_int_equal(a.status, 200);
    n = (int)number_at(&a, "items");
    assert_int_equal(json_array_size(member(a.json, "children")), (size_t)number_at(&a, "n_children"));
    json_array_foreach(member(a.json, "children"), i, child)
    {
        const int code = (int)json_integer_value(json_object_get(child, "code"));

        snprintf(path, sizeof path, *prefix ? "%s,%d" : "%s%d", prefix, code);
        const int below = count_below(path, items);

        assert_int_equal(below, (int)json_integer_value(json_object_get(child, "items")));
        sum += below;
    }
    if (i == 0) {
        assert_int_equal(json_array_size(member(a.json, "below")), 1);
        snprintf(path, sizeof path, "/v1/items/%s", text_at(&a, "below/0/item"));
        b = ask(&s, "GET", path, NULL);
        assert_true(json_equal(member(b.json, "semantic_id"), member(a.json, "codes")));
        answer_free(&b);
        ++*items;
    } else {
        assert_int_equal(sum, n);
    }
    answer_free(&a);
    return n;
}

static void the_tree_of_ids_can_be_browsed(void **state)
{
    static const char *const wrong[] = {
        "x", "1,", ",1", "1,,2", "1,2,3,4,5,6,7,8,9", "-1", "99999999999999999999", "1 "};
    int items = 0;

    (void)state;
    assert_int_equal(count_below("", &items), 80);
    assert_int_equal(items, 80);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char path[100];

        snprintf(path, sizeof path, "/v1/prefixes/%s", wrong[i]);
        if (wrong[i][1] == ' ')
            snprintf(path, sizeof path, "/v1/prefixes/1%%20");
        assert_error(&s, "GET", path, NULL, 400, "invalid_request");
    }
    assert_error(&s, "GET", "/v1/prefixes/77", NULL, 404, "not_found");
    assert_error(&s, "GET", "/v1/prefixes/1,2147483647", NULL, 404, "not_found");
}

static void shows_how_the_model_learned(void **state)
{
    answer a = ask(&s, "GET", "/v1/training", NULL);

    (void)state;
    assert_true(json_array_size(member(a.json, "curve")) >= 1);
    assert_true(number_at(&a, "curve/0/step") > 0);
    assert_true(number_at(&a, "curve/0/loss") > 0);
    assert_true(number_at(&a, "report/weights") > 0);
    assert_null(member(a.json, "data")); /* paths of this machine are nobody's business */
    answer_free(&a);
}

static void knows_its_paths_and_methods(void **state)
{
    answer a = ask(&s, "DELETE", "/v1/recommend", NULL);

    (void)state;
    assert_int_equal(a.status, 405);
    assert_true(has_header(&a, "Allow: POST"));
    answer_free(&a);
    a = ask(&s, "POST", "/v1/users/u1", "{}");
    assert_int_equal(a.status, 405);
    assert_true(has_header(&a, "Allow: GET, HEAD, DELETE"));
    answer_free(&a);
    assert_error(&s, "GET", "/nothing/here", NULL, 404, "unknown_path");
    assert_error(&s, "GET", "/v1/items/", NULL, 404, "unknown_path");
    assert_error(&s, "GET", "/v1/items/a/b", NULL, 404, "unknown_path");
    a = ask(&s, "HEAD", "/healthz", NULL);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    assert_int_equal(status_of(&s, "GET", "/healthz?verbose=1", NULL), 200);
    assert_int_equal(status_of(&s, "GET", "/readyz", NULL), 200);
}

/* Every path and method of /openapi.json is routed, and every method that is not listed is refused with those
 * that are. */
static void describes_what_it_routes(void **state)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH"};
    answer a = ask(&s, "GET", "/openapi.json", NULL);
    const char *path;
    json_t *operations;
    int n = 0;

    (void)state;
    assert_string_equal(text_at(&a, "openapi"), "3.1.0");
    json_object_foreach(json_object_get(a.json, "paths"), path,
                        operations) for (size_t m = 0; m < sizeof methods / sizeof *methods; m++)
    {
        char small[10] = "", real[100];
        const bool reload = strcmp(path, "/admin/reload") == 0 && strcmp(methods[m], "POST") == 0;
        json_t *operation;

        for (size_t i = 0; methods[m][i]; i++)
            small[i] = (char)(methods[m][i] + 32);
        snprintf(real, sizeof real, "%.*s%s", (int)strcspn(path, "{"), path, strchr(path, '{') ? "i3" : "");
        operation = json_object_get(operations, small);
        n += operation != NULL;
        if (reload)
            continue; /* tests of its own */
        answer b = ask(&s, methods[m], real, strcmp(methods[m], "GET") ? "{}" : NULL);

        assert_true(operation ? b.status != 405 && strcmp(text_at(&b, "error/code"), "unknown_path")
                              : b.status == 405);
        if (operation && json_object_get(operation, "requestBody"))
            assert_int_equal(b.status, 400); /* "{}" lacks something wherever a body is described */
        answer_free(&b);
    }
    assert_int_equal(n, 21);
    assert_non_null(json_object_get(member(a.json, "paths"), "/v1/recommend"));
    answer_free(&a);
}

/* The exposition format, line by line: families are announced once, before their samples; counters end in
 * _total. */
static void metrics_are_well_formed_and_count(void **state)
{
    answer a = ask(&s, "GET", "/metrics", NULL);
    char family[100] = "", type[20] = "", *line, *rest;
    double before, after;

    (void)state;
    assert_int_equal(a.status, 200);
    assert_true(has_header(&a, "Content-Type: text/plain; version=0.0.4"));
    assert_non_null(strstr(a.body, "sedge_model_info{model=\"tiger\",sha256=\""));
    assert_non_null(line = strstr(a.body, "\nprocess_open_fds "));
    assert_in_range(atoi(line + 18), 8, 64); /* the log, the port, epoll, this connection */
    assert_non_null(line = strstr(a.body, "\nprocess_resident_memory_bytes "));
    assert_true(atof(line + 31) > 1e6);
    line = strstr(a.body, "sedge_requests_total{method=\"GET\",route=\"/healthz\",status=\"200\"} ");
    before = line ? atof(strchr(line, '}') + 1) : 0;
    for (line = strtok_r(a.body, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[100], *end;

        if (sscanf(line, "# HELP %99s", name) == 1) {
            assert_true(strlen(line) > strlen(name) + 10);
            snprintf(family, sizeof family, "%s", name);
            type[0] = 0;
        } else if (line[0] == '#') {
            assert_int_equal(sscanf(line, "# TYPE %99s %19s", name, type), 2);
            assert_string_equal(name, family);
            assert_int_equal(strcmp(type, "counter") == 0,
                             strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_total"));
        } else {
            assert_true(type[0] && strncmp(line, family, strlen(family)) == 0);
            assert_non_null(end = strrchr(line, ' '));
            strtod(end, &end);
            assert_int_equal(*end, 0);
        }
    }
    answer_free(&a);
    assert_int_equal(status_of(&s, "GET", "/healthz", NULL), 200);
    a = ask(&s, "GET", "/metrics", NULL);
    line = strstr(a.body, "sedge_requests_total{method=\"GET\",route=\"/healthz\",status=\"200\"} ");
    assert_non_null(line);
    after = atof(strchr(line, '}') + 1);
    assert_true(after == before + 1);
    answer_free(&a);
}

static void logs_routes_and_traces_but_nobodys_name(void **state)
{
    answer a = ask_with(&s, "GET", "/v1/users/secret-user",
                        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n", NULL);

    (void)state;
    assert_int_equal(a.status, 404);
    answer_free(&a);
    for (int ms = 0; ms < WAIT_MS && !log_has(&s, "4bf92f3577b34da6a3ce929d0e0e4736"); ms += 5)
        sleep_ms(5);
    assert_true(log_has(&s, "\"route\": \"/v1/users/{id}\", \"status\": 404"));
    assert_true(log_has(&s, "\"trace_id\": \"4bf92f3577b34da6a3ce929d0e0e4736\""));
    assert_false(log_has(&s, "secret-user"));
}

/* What is asked for as gzip is the same text, shorter; what is short already stays as it is. */
static void answers_as_gzip_when_asked(void **state)
{
    static const char *const takes[] = {"gzip", "deflate, GZIP;q=0.5", "*", "br, *;q=0.1"};
    static const char *const takes_not[] = {"", "br", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "gzipped"};
    answer plain = ask(&s, "GET", "/openapi.json", NULL), a;
    char header[80], path[100];
    FILE *f;

    (void)state;
    assert_true(has_header(&plain, "Vary: Accept-Encoding"));
    for (size_t i = 0; i < sizeof takes / sizeof *takes; i++) {
        char *length;

        snprintf(header, sizeof header, "Accept-Encoding: %s\r\n", takes[i]);
        a = ask_with(&s, "GET", "/openapi.json", header, NULL);
        assert_int_equal(a.status, 200);
        assert_true(has_header(&a, "Content-Encoding: gzip"));
        assert_non_null(length = strstr(a.head, "Content-Length: "));
        assert_true(2 * atol(length + 16) < (long)strlen(plain.body));
        snprintf(path, sizeof path, "%s/packed", work);
        assert_non_null(f = fopen(path, "w"));
        assert_int_equal(fwrite(a.body, (size_t)atol(length + 16), 1, f), 1);
        fclose(f);
        snprintf(path, sizeof path, "%s/plain", work);
        assert_non_null(f = fopen(path, "w"));
        fputs(plain.body, f);
        fclose(f);
        assert_int_equal(shell("gzip -dc <packed | cmp - plain"), 0);
        answer_free(&a);
    }
    for (size_t i = 0; i < sizeof takes_not / sizeof *takes_not; i++) {
        snprintf(header, sizeof header, "Accept-Encoding: %s\r\n", takes_not[i]);
        a = ask_with(&s, "GET", "/openapi.json", header, NULL);
        assert_string_equal(a.body, plain.body);
        assert_null(strstr(a.head, "Content-Encoding"));
        answer_free(&a);
    }
    a = ask_with(&s, "GET", "/healthz", "Accept-Encoding: gzip\r\n", NULL);
    assert_null(strstr(a.head, "Content-Encoding"));
    answer_free(&a);
    a = ask_with(&s, "POST", "/v1/recommend", "Accept-Encoding: gzip\r\n",
                 "{\"history\": [\"i3\"], \"k\": 50}"); /* a worker's */
    assert_int_equal(a.status, 200);
    assert_true(has_header(&a, "Content-Encoding: gzip"));
    answer_free(&a);
    answer_free(&plain);
}

static void answers_many_requests_on_one_connection(void **state)
{
    const int fd = client_open(&s);

    (void)state;
    for (int i = 0; i < 20; i++) {
        answer a;

        send_request(fd, "POST", "/v1/recommend", "", "{\"history\": [\"i3\"], \"k\": 1}");
        a = receive(fd, WAIT_MS, false);
        assert_int_equal(a.status, 200);
        answer_free(&a);
    }
    close(fd);
}

/* Everything the page needs is in it, and it may load nothing else. */
static void the_page_stands_alone(void **state)
{
    answer a = ask(&s, "GET", "/", NULL);

    (void)state;
    assert_int_equal(a.status, 200);
    assert_true(has_header(&a, "Content-Type: text/html; charset=utf-8"));
    assert_non_null(strstr(a.head, "\r\nContent-Security-Policy: default-src 'none';"));
    assert_non_null(strstr(a.body, "</html>"));
    assert_null(strstr(a.body, "http://"));
    assert_null(strstr(a.body, "https://"));
    assert_null(strstr(a.body, " src="));
    assert_null(strstr(a.body, "innerHTML")); /* titles of items are text, whatever they hold */
    answer_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recommends_what_the_command_does),
        cmocka_unit_test(recommends_to_users),
        cmocka_unit_test(filters_hold),
        cmocka_unit_test(scores_the_items_it_is_given),
        cmocka_unit_test(puts_a_list_in_a_new_order),
        cmocka_unit_test(says_what_is_wrong_with_a_request),
        cmocka_unit_test(shows_the_model_and_its_items),
        cmocka_unit_test(the_tree_of_ids_can_be_browsed),
        cmocka_unit_test(shows_how_the_model_learned),
        cmocka_unit_test(knows_its_paths_and_methods),
        cmocka_unit_test(describes_what_it_routes),
        cmocka_unit_test(the_page_stands_alone),
        cmocka_unit_test(metrics_are_well_formed_and_count),
        cmocka_unit_test(logs_routes_and_traces_but_nobodys_name),
        cmocka_unit_test(answers_as_gzip_when_asked),
        cmocka_unit_test(answers_many_requests_on_one_connection),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
