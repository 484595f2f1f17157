/* lm_ask.c - sedge_lm_generate, _score and _embed at an endpoint: what a bad request costs, and what a cache saves. */
#include "base/io.h"

#include "sedge/sedge.h"

#include "../scratch.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "../mock.h"

static char scratch[SCRATCH_MAX];

static int make_scratch(void **state)
{
    (void)state;
    unsetenv("http_proxy");
    unsetenv("SEDGE_LLM_KEY");
    return scratch_make(scratch, "lm_ask");
}

static int drop_scratch(void **state)
{
    (void)state;
    return sg_dir_remove(scratch, NULL);
}

static const char *at(const char *name)
{
    static char path[8][SCRATCH_MAX + 40];
    static int next;
    char *p = path[next++ % 8];

    snprintf(p, sizeof path[0], "%s/%s", scratch, name);
    return p;
}

static const char *write_file(const char *name, const char *text)
{
    const char *path = at(name);

    assert_int_equal(sg_file_write(path, text, strlen(text), NULL), SG_OK);
    return path;
}

typedef int task(const sedge_lm_params *, char **, sedge_error *);

static const char *const one_by_one[] = {"concurrency=1", "retries=0", "offers=chat,score,embed"};
static sedge_error failed;

/* NULL: it failed. */
static json_t *run(task *what, const mock *m, const char *file, const char *cache)
{
    const sedge_lm_params p = {.size = sizeof p,
                               .model = m->url,
                               .chat = what == sedge_lm_generate,
                               .prompt = what == sedge_lm_score ? "ab" : NULL,
                               .file = file,
                               .out = what == sedge_lm_embed ? at("v.safetensors") : NULL,
                               .set = one_by_one,
                               .n_set = 3,
                               .cache = cache};
    json_t *result = NULL;
    char *json = NULL;

    if (!what(&p, &json, &failed))
        result = json_loads(json, JSON_ALLOW_NUL, NULL);
    sedge_free(json);
    return result;
}

static const json_t *entry(const json_t *result, size_t i)
{
    return json_array_get(json_object_get(result, "list"), i);
}

static int number(const json_t *o, const char *key)
{
    return (int)json_number_value(json_object_get(o, key));
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

static const mock_step second_is_bad[] = {
    {.kind = MOCK_GOOD}, {.kind = MOCK_STATUS, .status = 400, .text = "{\"error\": \"too long\"}"}};

static void one_bad_prompt_costs_no_other(void **state)
{
    (void)state;
    const char *file = write_file(
        "p.jsonl",
        "{\"prompt\": \"a\", \"id\": 7}\n\n{\"prompt\": \"b\", \"id\": \"x\"}\n{\"prompt\": \"c\"}\n");
    char want[400];
    json_t *r;
    mock m;

    mock_start(&m, second_is_bad, 2);
    assert_non_null(r = run(sedge_lm_generate, &m, file, at("g.db")));
    assert_string_equal(text_of(entry(r, 0), "text"), "re: a");
    assert_string_equal(text_of(entry(r, 0), "stopped"), "end");
    assert_string_equal(text_of(entry(r, 1), "id"), "x");
    assert_null(json_object_get(entry(r, 1), "text"));
    snprintf(want, sizeof want, "%s:3: %s/chat/completions: status 400: too long", file, m.url);
    assert_string_equal(text_of(entry(r, 1), "error"), want);
    assert_string_equal(text_of(entry(r, 2), "text"), "re: c");
    assert_true(number(r, "failures") == 1 && number(r, "texts") == 3 && number(r, "cached") == 0);
    json_decref(r);
    assert_int_equal(m.requests, 3);
    assert_non_null(r = run(sedge_lm_generate, &m, file, at("g.db"))); /* only the bad one is asked again */
    assert_int_equal(m.requests, 4);
    assert_true(!json_object_get(r, "failures") && number(r, "cached") == 2);
    assert_string_equal(text_of(entry(r, 1), "text"), "re: b");
    json_decref(r);
    mock_stop(&m);
    /* what would meet all of them ends it; what came before is kept */
    const mock_step refused[] = {{.kind = MOCK_GOOD}, {.kind = MOCK_STATUS, .status = 401, .text = "{}"}};
    mock_start(&m, refused, 2);
    assert_null(run(sedge_lm_generate, &m, file, at("h.db")));
    assert_int_equal(m.requests, 2);
    assert_non_null(r = run(sedge_lm_generate, &m, file, at("h.db")));
    assert_int_equal(m.requests, 4);
    json_decref(r);
    mock_stop(&m);
}

static void scores_are_kept(void **state)
{
    (void)state;
    const char *file = write_file("s.txt", "cd\nef\ng\n"), *more = write_file("s2.txt", "g\nhij\ncd\n");
    char want[400];
    json_t *r;
    mock m;

    mock_start(&m, second_is_bad, 2);
    assert_non_null(r = run(sedge_lm_score, &m, file, at("s.db")));
    assert_true(json_number_value(json_object_get(entry(r, 0), "logp")) == -1 &&
                number(entry(r, 0), "tokens") == 2);
    snprintf(want, sizeof want, "%s:2: %s/completions: status 400: too long", file, m.url);
    assert_string_equal(text_of(entry(r, 1), "error"), want);
    assert_true(number(r, "failures") == 1 && number(r, "tokens") == 3);
    json_decref(r);
    assert_int_equal(m.requests, 3);
    assert_non_null(r = run(sedge_lm_score, &m, more, at("s.db")));
    assert_int_equal(m.requests, 4);
    assert_true(number(r, "cached") == 2 && number(r, "tokens") == 6);
    assert_true(json_number_value(json_object_get(entry(r, 1), "logp")) == -1.5 &&
                number(entry(r, 2), "tokens") == 2);
    json_decref(r);
    assert_non_null(r = run(sedge_lm_score, &m, more, NULL));
    assert_int_equal(m.requests, 7);
    assert_null(json_object_get(r, "cached"));
    json_decref(r);
    mock_stop(&m);
}

static void vectors_are_kept(void **state)
{
    (void)state;
    const char *file = write_file("e.txt", "cd\nef\ng\n");
    json_t *r;
    mock m;

    mock_start(&m, NULL, 0);
    for (int round = 0; round < 2; round++) {
        assert_non_null(r = run(sedge_lm_embed, &m, file, at("e.db")));
        assert_int_equal(number(r, "cached"), 3 * round);
        assert_int_equal(m.requests, 1);
        json_decref(r);
    }
    mock_stop(&m);
}

/* An answer with U+0000 and half a surrogate pair is an answer: paid for once, kept, and given back as it was. */
static void odd_answers_are_kept(void **state)
{
    (void)state;
    const mock_step odd[] = {{.kind = MOCK_TEXT,
                              .text = "{\"choices\": [{\"message\": {\"content\": \"a\\u0000b\\ud800\"}}], "
                                      "\"usage\": {\"prompt_tokens\": -9}}"}};
    const char *file = write_file("o.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n");
    json_t *r;
    mock m;

    mock_start(&m, odd, 1);
    for (int round = 0; round < 2; round++) {
        assert_non_null(r = run(sedge_lm_generate, &m, file, at("o.db")));
        assert_int_equal(number(r, "cached"), 2 * round);
        assert_null(json_object_get(r, "failures"));
        const json_t *text = json_object_get(entry(r, 0), "text");
        assert_int_equal(json_string_length(text), 6);
        assert_memory_equal(json_string_value(text), "a\0b\xef\xbf\xbd", 6);
        assert_string_equal(text_of(entry(r, 1), "text"), "re: b");
        assert_int_equal(m.requests, 2);
        json_decref(r);
    }
    mock_stop(&m);
}

static void change(const char *path, const char *how)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, how, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* An answer of a model here that was kept and cannot be read is made again, and kept again. */
static void broken_entries_are_replaced(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "UPDATE answers SET text = '{\"text\": \"the'", "UPDATE answers SET text = '[]'",
        "UPDATE answers SET text = '{\"tokens\": 3}'", "UPDATE answers SET text = ''"};
    static const char *const set[] = {"length=5"};
    const sedge_lm_params p = {.size = sizeof p,
                               .model = TEST_SOURCE_DIR "/tests/parity/llama.gguf",
                               .prompt = "the cat",
                               .cache = at("b.db"),
                               .set = set,
                               .n_set = 1};
    char *first, *json;
    sedge_error err;

    assert_int_equal(sedge_lm_generate(&p, &first, &err), SEDGE_OK);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        change(p.cache, broken[i]);
        for (int round = 0; round < 2; round++) {
            if (sedge_lm_generate(&p, &json, &err))
                fail_msg("%s", err.message);
            json_t *was = json_loads(first, 0, NULL), *is = json_loads(json, 0, NULL);
            assert_string_equal(text_of(is, "text"), text_of(was, "text"));
            assert_int_equal(number(is, "cached"), round);
            json_decref(was);
            json_decref(is);
            sedge_free(json);
        }
    }
    sedge_free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_bad_prompt_costs_no_other),
        cmocka_unit_test(scores_are_kept),
        cmocka_unit_test(vectors_are_kept),
        cmocka_unit_test(odd_answers_are_kept),
        cmocka_unit_test(broken_entries_are_replaced),
    };
    return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
