/* know.c - sedge_know against an endpoint in the test: asked once, kept, repaired, handed out; what is told of users; kills. */
#include "base/alloc.h"
#include "base/io.h"

#include "sedge/sedge.h"

#include "../scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../mock.h"

enum { USERS = 40, ITEMS = 30 };
static char scratch[SCRATCH_MAX], shop[SCRATCH_MAX + 16];

static const char *at(const char *name)
{
    static char path[8][SCRATCH_MAX + 40];
    static int next;
    char *p = path[next++ % 8];

    snprintf(p, sizeof path[0], "%s/%s", scratch, name);
    return p;
}

static int make_shop(void **state)
{
    const char *set[] = {"users=40", "items=30"};
    sedge_synth_params p = {.size = sizeof p, .set = set, .n_set = 2};

    (void)state;
    unsetenv("http_proxy");
    unsetenv("SEDGE_LLM_KEY");
    if (scratch_make(scratch, "know"))
        return -1;
    snprintf(shop, sizeof shop, "%s/shop", scratch);
    p.out = shop;
    return sedge_synth(&p, NULL, NULL);
}

static int drop_shop(void **state)
{
    (void)state;
    return sg_dir_remove(scratch, NULL);
}

static const char *write_template(const char *name, const char *text)
{
    const char *path = at(name);

    assert_int_equal(sg_file_write(path, text, strlen(text), NULL), SG_OK);
    return path;
}

#define FACTS "template facts 1\n[system]\nYou know shops.\n[user]\n{id}: what is {title}?\n"

static json_t *report; /* of the last good run */
static sedge_error failed;

static int run(const mock *m, const char *prompt, const char *cache, const char *out, bool dry,
               const char *const *set, size_t n_set)
{
    const sedge_know_params p = {.size = sizeof p,
                                 .data = shop,
                                 .prompt = prompt,
                                 .llm = m->url,
                                 .cache = at(cache),
                                 .out = out,
                                 .dry = dry,
                                 .set = set,
                                 .n_set = n_set};
    char *json = NULL;
    const int st = sedge_know(&p, &json, &failed);

    json_decref(report);
    report = NULL;
    if (!st)
        report = json_loads(json, 0, NULL);
    sedge_free(json);
    return st;
}

static int number(const char *key)
{
    const json_t *n = json_object_get(report, key);

    assert_non_null(n);
    return (int)json_number_value(n);
}

/* Line i of a file of JSON lines. */
static json_t *line_of(const char *path, size_t i)
{
    sg_buf text = {0};
    json_t *root = NULL;
    sg_error err;

    assert_int_equal(sg_file_read(&text, path, 1 << 24, &err), SG_OK);
    const char *p = text.data;
    for (; i; i--)
        p = strchr(p, '\n') + 1;
    root = json_loadb(p, strcspn(p, "\n"), 0, NULL);
    sg_buf_free(&text);
    assert_non_null(root);
    return root;
}

static size_t lines_of(const char *path)
{
    sg_buf text = {0};
    size_t n = 0;

    assert_int_equal(sg_file_read(&text, path, 1 << 24, NULL), SG_OK);
    for (size_t i = 0; i < text.size; i++)
        n += text.data[i] == '\n';
    sg_buf_free(&text);
    return n;
}

static void asks_every_item_once(void **state)
{
    (void)state;
    const char *prompt = write_template("facts.txt", FACTS), *out = at("facts.jsonl");
    mock m;

    mock_start(&m, NULL, 0);
    assert_int_equal(run(&m, prompt, "a.db", out, true, NULL, 0), SEDGE_OK);
    assert_int_equal(number("asked"), ITEMS);
    assert_true(number("tokens_in_about") > ITEMS * 10);
    assert_int_equal(number("tokens_out_most"), ITEMS * 128);
    assert_int_equal(m.requests, 0);
    assert_int_equal(run(&m, prompt, "a.db", out, false, NULL, 0), SEDGE_OK);
    assert_int_equal(m.requests, ITEMS);
    assert_int_equal(number("known"), ITEMS);
    assert_int_equal(number("tokens_out"), 5 * ITEMS);
    assert_int_equal(lines_of(out), ITEMS);
    json_t *line = line_of(out, 3);
    char want[300];
    snprintf(want, sizeof want, "re: %s", json_string_value(json_object_get(line, "prompt")));
    assert_string_equal(json_string_value(json_object_get(line, "answer")), want);
    snprintf(want, sizeof want, "%s: what is ", json_string_value(json_object_get(line, "id")));
    assert_memory_equal(json_string_value(json_object_get(line, "prompt")), want, strlen(want));
    json_decref(line);
    assert_int_equal(run(&m, prompt, "a.db", out, false, NULL, 0), SEDGE_OK); /* a rerun */
    assert_int_equal(m.requests, ITEMS);
    assert_int_equal(number("cached"), ITEMS);
    assert_int_equal(number("calls"), 0);
    assert_int_equal(lines_of(out), ITEMS);
    mock_stop(&m);
}

/* Answers only the second question of a conversation as it should, and some items never. */
static const char *reluctant(const char *prompt)
{
    return strncmp(prompt, "That is not", 11) == 0 ? "it is 7" : "no number";
}

static const char *stubborn(const char *prompt)
{
    (void)prompt;
    return "no number";
}

static void repairs_answers_and_falls_back(void **state)
{
    (void)state;
    const char *prompt =
        write_template("n.txt", "template n 1\nanswer match [0-9]+\nrepairs 1\n[user]\n{title}?\n");
    const char *fallback = write_template(
        "f.txt", "template f 1\nanswer match [0-9]+\nrepairs 2\nfallback \"not known\"\n[user]\n{title}?\n");
    const char *out = at("n.jsonl");
    const char *const allow[] = {"failures=30"};
    char want[300];
    json_t *line;
    mock m;

    mock_start(&m, NULL, 0);
    m.say = reluctant;
    assert_int_equal(run(&m, prompt, "b.db", out, false, NULL, 0), SEDGE_OK);
    assert_int_equal(number("repaired"), ITEMS);
    line = line_of(out, 0);
    assert_string_equal(json_string_value(json_object_get(line, "answer")), "7");
    json_decref(line);
    const size_t before = m.requests;
    assert_int_equal(run(&m, prompt, "b.db", out, false, NULL, 0),
                     SEDGE_OK); /* repaired answers are kept, too */
    assert_int_equal(m.requests, before);
    assert_int_equal(number("repaired"), ITEMS);
    m.say = stubborn;
    assert_int_equal(run(&m, fallback, "b.db", out, false, NULL, 0), SEDGE_OK);
    assert_int_equal(number("fallbacks"), ITEMS);
    line = line_of(out, ITEMS - 1);
    assert_string_equal(json_string_value(json_object_get(line, "answer")), "not known");
    json_decref(line);
    assert_int_equal(run(&m, prompt, "c.db", out, false, NULL, 0), SEDGE_ERR_FORMAT);
    snprintf(
        want, sizeof want,
        ": no good answer in 2 tries: expected a match of [0-9]+, found 'no number'. Please answer again.");
    assert_non_null(strstr(failed.message, want));
    assert_int_equal(run(&m, prompt, "c.db", out, false, allow, 1), SEDGE_OK);
    assert_int_equal(number("failures"), ITEMS);
    assert_int_equal(lines_of(out), 0);
    mock_stop(&m);
}

/* What the length has cut is said of each answer, and is asked for again where the template wants whole ones. */
static void answers_that_were_cut(void **state)
{
    (void)state;
    const char *prompt = write_template("c1.txt", FACTS), *out = at("cut.jsonl");
    const char *whole =
        write_template("c2.txt", "template facts 1\nwhole\nrepairs 1\nfallback none\n[user]\n{title}?\n");
    json_t *line;
    mock m;

    mock_start(&m, NULL, 0);
    m.reason = "length";
    for (int round = 0; round < 2; round++) { /* from the endpoint, and from the cache */
        assert_int_equal(run(&m, prompt, "cut.db", out, false, NULL, 0), SEDGE_OK);
        assert_int_equal(number("known"), ITEMS);
        assert_int_equal(number("answers_cut"), ITEMS);
        line = line_of(out, 0);
        assert_true(json_is_true(json_object_get(line, "cut")));
        json_decref(line);
    }
    assert_int_equal(m.requests, ITEMS);
    assert_int_equal(run(&m, whole, "cut.db", NULL, false, NULL, 0), SEDGE_OK);
    assert_int_equal(m.requests, 3 * ITEMS); /* each twice */
    assert_int_equal(number("fallbacks"), ITEMS);
    assert_non_null(strstr(
        m.last.data, ": expected one that comes to its end, found one that its length has cut. Please"));
    assert_int_equal(number("answers_cut"), 0);
    m.reason = "stop";
    assert_int_equal(run(&m, whole, "whole.db", out, false, NULL, 0), SEDGE_OK);
    assert_int_equal(number("known"), ITEMS);
    assert_int_equal(number("answers_cut"), 0);
    line = line_of(out, 0);
    assert_null(json_object_get(line, "cut"));
    json_decref(line);
    mock_stop(&m);
}

static void counts_failures(void **state)
{
    (void)state;
    const char *prompt = write_template("g.txt", FACTS);
    const mock_step script[] = {{.kind = MOCK_STATUS, .status = 400, .text = "{\"error\": \"no\"}"},
                                {.kind = MOCK_GOOD},
                                {.kind = MOCK_STATUS, .status = 400, .text = "{\"error\": \"no\"}"}};
    const char *const two[] = {"failures=2", "concurrency=1"}, *const one[] = {"failures=1", "concurrency=1"};
    char want[200];
    mock m;

    mock_start(&m, script, 3);
    assert_int_equal(run(&m, prompt, "d.db", at("d.jsonl"), false, two, 2), SEDGE_OK);
    assert_int_equal(number("failures"), 2);
    assert_int_equal(number("known"), ITEMS - 2);
    assert_int_equal(lines_of(at("d.jsonl")), ITEMS - 2);
    assert_int_equal(run(&m, prompt, "d.db", at("d.jsonl"), false, two, 2),
                     SEDGE_OK); /* only those two are asked again */
    assert_int_equal(number("asked"), 2);
    assert_int_equal(number("known"), ITEMS);
    mock_stop(&m);
    mock_start(&m, script, 3);
    assert_int_equal(run(&m, prompt, "e.db", NULL, false, one, 2), SEDGE_ERR_IO);
    snprintf(want, sizeof want, "%s/chat/completions: status 400: no", m.url);
    assert_string_equal(failed.message, want);
    mock_stop(&m);
}

/* Of a user nothing is told that is learned or asked with the text. */
static void tells_no_later_events(void **state)
{
    (void)state;
    const char *prompt = write_template(
        "u.txt",
        "template u 1\nslot history list=\"|\" keep=end else=none\n[user]\n{id} {events}: {history}\n");
    const char *const all[] = {"of=user", "held=0", "latest=100000", "history_column=title"},
                      *const some[] = {"of=user", "latest=100000"}, *const first[] = {"of=user", "first=3"};
    const char *out[] = {at("u0.jsonl"), at("u2.jsonl"), at("u3.jsonl")};
    mock m;

    mock_start(&m, NULL, 0);
    assert_int_equal(run(&m, prompt, "u.db", out[0], false, all, 4), SEDGE_OK);
    assert_int_equal(number("subjects"), USERS);
    assert_int_equal(run(&m, prompt, "u.db", out[1], false, some, 2), SEDGE_OK);
    assert_int_equal(run(&m, prompt, "u.db", out[2], false, first, 2), SEDGE_OK);
    for (size_t u = 0; u < USERS; u++) {
        json_t *line[3];
        const char *history[3];
        int events[3];

        for (int i = 0; i < 3; i++) {
            line[i] = line_of(out[i], u);
            history[i] = strstr(json_string_value(json_object_get(line[i], "prompt")), ": ") + 2;
            events[i] = (int)json_integer_value(json_object_get(line[i], "events"));
        }
        assert_int_equal(events[1], events[0] - 2);
        assert_true(events[2] <= 3 && events[2] <= events[1]);
        for (int i = 1; i < 3; i++) { /* a beginning of the whole history, of as many events as are said */
            int bars = 0;

            if (events[i] == 0)
                continue;
            assert_memory_equal(history[i], history[0], strlen(history[i]));
            for (const char *p = history[i]; *p; p++)
                bars += *p == '|';
            assert_int_equal(bars, events[i] - 1);
        }
        for (int i = 0; i < 3; i++)
            json_decref(line[i]);
    }
    mock_stop(&m);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    char want[300];
    const char *slot = write_template("w.txt", "template w 1\n[user]\n{titel}\n");
    const char *const embed_only[] = {"offers=embed"};
    mock m;

    mock_start(&m, NULL, 0);
    assert_int_equal(run(&m, slot, "w.db", NULL, false, NULL, 0), SEDGE_ERR_FORMAT);
    snprintf(want, sizeof want, "%s:3: unknown slot 'titel' (did you mean 'title'?)", slot);
    assert_string_equal(failed.message, want);
    slot = write_template("w2.txt", FACTS);
    assert_int_equal(run(&m, slot, "w.db", NULL, false, embed_only, 1), SEDGE_ERR_USAGE);
    snprintf(want, sizeof want, "%s needs chat: %s offers embed", slot, m.url);
    assert_string_equal(failed.message, want);
    mock_stop(&m);
}

/* A run that is killed in the middle: the next one asks only what was not kept, at most what was under way again. */
static void goes_on_after_a_kill(void **state)
{
    (void)state;
    const char *prompt = write_template("k.txt", FACTS);
    const char *const set[] = {"concurrency=3"};
    int status;
    pid_t child;
    mock m;

    mock_start(&m, NULL, 0);
    m.think = 0.03;
    if ((child = fork()) == 0) {
        run(&m, prompt, "k.db", NULL, false, set, 1);
        _exit(0);
    }
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&m.lock);
        const bool enough = m.requests >= 10;
        pthread_mutex_unlock(&m.lock);
        if (enough)
            break;
        mock_sleep(0.01);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    mock_sleep(0.2); /* what was under way is answered to nobody */
    const size_t before = m.requests;
    assert_true(WIFSIGNALED(status) && before >= 10 && before < ITEMS);
    assert_int_equal(run(&m, prompt, "k.db", at("k.jsonl"), false, set, 1), SEDGE_OK);
    assert_int_equal(number("known"), ITEMS);
    assert_true(m.requests <= ITEMS + 3);
    assert_int_equal(lines_of(at("k.jsonl")), ITEMS);
    mock_stop(&m);
}

/* Answers become item texts, and vectors of a changed text alone are made again. */
static void answers_become_vectors(void **state)
{
    (void)state;
    const char *path = at("texts.jsonl"), *const set[] = {"precision=f32"};
    sedge_embed_params p = {.size = sizeof p,
                            .data = shop,
                            .encoder = TEST_SOURCE_DIR "/tests/parity/bert",
                            .texts = path,
                            .set = set,
                            .n_set = 1};
    char *json, first[64];
    json_t *line = line_of(at("facts.jsonl"), 0);

    snprintf(first, sizeof first, "%s", json_string_value(json_object_get(line, "id")));
    json_decref(line);
    p.cache = at("v.db");
    for (int round = 0; round < 2; round++) {
        sg_buf text = {0};
        sedge_error err;

        line = line_of(at("facts.jsonl"), 1);
        sg_buf_printf(&text, "{\"id\": \"%s\", \"answer\": \"a b\"}\n{\"id\": \"%s\", \"answer\": \"%s\"}\n",
                      first, json_string_value(json_object_get(line, "id")), round ? "d" : "c");
        json_decref(line);
        assert_int_equal(sg_file_write(path, text.data, text.size, NULL), SG_OK);
        sg_buf_free(&text);
        if (sedge_embed(&p, &json, &err))
            fail_msg("%s", err.message);
        json_decref(report);
        report = json_loads(json, 0, NULL);
        sedge_free(json);
        assert_int_equal(number("items"), ITEMS);
        assert_int_equal(number("cached"), round ? ITEMS - 1 : 0);
        assert_int_equal(number("texts"),
                         round ? 1 : 3); /* two answers, and items without any, which are all the same */
    }
    sedge_error err;
    const char *bad = "{\"id\": \"nobody\", \"answer\": \"a\"}\n";
    char want[300];
    assert_int_equal(sg_file_write(path, bad, strlen(bad), NULL), SG_OK);
    assert_int_equal(sedge_embed(&p, &json, &err), SEDGE_ERR_MISSING);
    snprintf(want, sizeof want, "%s:1: expected an item of the dataset, found 'nobody'", path);
    assert_string_equal(err.message, want);
    p.encoder = "lsa";
    assert_int_equal(sedge_embed(&p, &json, &err), SEDGE_ERR_USAGE);
    assert_string_equal(err.message,
                        "cache: expected the folder of a model or an address as encoder, found lsa");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_every_item_once),  cmocka_unit_test(repairs_answers_and_falls_back),
        cmocka_unit_test(answers_that_were_cut), cmocka_unit_test(counts_failures),
        cmocka_unit_test(tells_no_later_events), cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(goes_on_after_a_kill),  cmocka_unit_test(answers_become_vectors),
    };
    const int bad = cmocka_run_group_tests(tests, make_shop, drop_shop);

    json_decref(report);
    return bad;
}
