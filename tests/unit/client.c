/* client.c - a client against an endpoint that misbehaves: what is tried again, what is final, what it says, and what it never says. */
#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "lm/client.h"

#include "folder.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../mock.h"

#define N(list) (sizeof(list) / sizeof *(list))

static int make_scratch(void **state)
{
    static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                          "ALL_PROXY",  "no_proxy",    "NO_PROXY"};

    for (size_t i = 0; i < N(proxies); i++)
        unsetenv(proxies[i]);
    unsetenv("SEDGE_LLM_KEY");
    return folder_make(state);
}

/* ---- work: n prompts "p0", "p1", ... ----------------------------------------------------------------------------------------- */
enum { MOST = 64 };
typedef struct work {
    int taken[MOST], given_up;
    bool wrong; /* an answer that was another prompt's */
    char why[1024];
} work;

static sg_status make(void *ctx, size_t i, sg_client_ask *out, sg_error *err)
{
    char prompt[16];

    (void)ctx;
    (void)err;
    snprintf(prompt, sizeof prompt, "p%zu", i);
    out->body =
        json_pack("{s:s, s:[{s:s, s:s}]}", "model", "m", "messages", "role", "user", "content", prompt);
    out->tokens_in = 10;
    out->tokens_out = 20;
    return SG_OK;
}

static sg_status take(void *ctx, size_t i, const json_t *answer, sg_error *err)
{
    const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
    const char *text = json_string_value(json_object_get(json_object_get(choice, "message"), "content"));
    char want[32];
    work *w = ctx;

    if (!text)
        return sg_fail(err, SG_ERR_FORMAT, "answer: expected choices");
    snprintf(want, sizeof want, "re: p%zu", i);
    w->wrong = w->wrong || strcmp(text, want) != 0;
    w->taken[i]++;
    return SG_OK;
}

static sg_status give_up(void *ctx, size_t i, const sg_error *why)
{
    work *w = ctx;

    (void)i;
    w->given_up++;
    snprintf(w->why, sizeof w->why, "%s", why->message);
    return SG_OK;
}

static sg_client_config usual(void)
{
    sg_client_config c;

    sg_options_init(&c, sg_client_options, sg_n_client_options);
    c.retry_seconds = 0.001;
    c.concurrency = 1;
    return c;
}

/* Runs n prompts against a script; every one that is not given up must be answered once. */
static sg_status run(const mock_step *script, size_t n_script, const sg_client_config *o, size_t n,
                     bool patient, work *w, sg_client_use *use, mock *m, sg_error *err)
{
    const sg_client_work all = {"/chat/completions", n, w, make, take, patient ? give_up : NULL};
    const int64_t live = sg_alloc_live();
    sg_client *c;
    sg_status st;

    *w = (work){0};
    *err = (sg_error){0};
    mock_start(m, script, n_script);
    assert_int_equal(sg_client_new(&c, m->url, o, err), SG_OK);
    st = sg_client_run(c, &all, NULL, err);
    *use = *sg_client_used(c);
    sg_client_free(c);
    mock_stop(m);
    assert_false(w->wrong);
    if (!st) {
        int taken = 0;

        for (size_t i = 0; i < n; i++) {
            assert_true(w->taken[i] <= 1);
            taken += w->taken[i];
        }
        assert_int_equal(taken + w->given_up, (int)n);
    }
    assert_int_equal(sg_alloc_live(), live);
    return st;
}

/* One request meets this step, and is answered at the second try, or, where a busy machine makes good answers late, at a later one. `lost`:
 * a try in vain may have cost all that it could. */
static void passes(const mock_step step, bool late, bool lost, const sg_client_config *o)
{
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    assert_int_equal(run(&step, 1, o, 1, false, &w, &use, &m, &err), SG_OK);
    assert_true(late ? use.calls >= 2 : use.calls == 2 && m.requests == 2);
    assert_int_equal(use.answers, 1);
    assert_true(use.tokens_in == 10 + (lost ? 10 * (double)(use.calls - 1) : 0));
    assert_true(use.tokens_out == 5 + (lost ? 20 * (double)(use.calls - 1) : 0));
}

static void tries_again_what_may_pass(void **state)
{
    (void)state;
    static const int statuses[] = {408, 409, 425, 429, 500, 502, 503, 504, 529};
    sg_client_config o = usual();

    for (size_t i = 0; i < N(statuses); i++)
        passes((mock_step){.kind = MOCK_STATUS, .status = statuses[i], .text = "{}"}, false, false, &o);
    passes((mock_step){.kind = MOCK_TEXT, .text = "<html>garbage"}, false, true, &o);
    passes((mock_step){.kind = MOCK_TEXT,
                       .text = "{\"choices\": [{\"message\": {\"content\": \"re"}, /* truncated JSON */
           false, true, &o);
    passes((mock_step){.kind = MOCK_TEXT, .text = ""}, false, true, &o);
    passes((mock_step){.kind = MOCK_CUT}, false, true, &o);
}

static void late_answers_are_tried_again(void **state)
{
    (void)state;
    sg_client_config o = usual();
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    o.first_byte_seconds = 0.2;
    passes((mock_step){.kind = MOCK_HANG}, true, true, &o);
    o = usual();
    o.total_seconds = 0.3;
    passes((mock_step){.kind = MOCK_TRICKLE}, true, true, &o);

    const mock_step never[] = {{.kind = MOCK_HANG}, {.kind = MOCK_HANG}};
    char want[200];
    o = usual();
    o.first_byte_seconds = 0.1;
    o.retries = 1;
    assert_int_equal(run(never, 2, &o, 1, false, &w, &use, &m, &err), SG_ERR_IO);
    snprintf(want, sizeof want, "%s/chat/completions: no answer began within 0.1 s after 2 tries", m.url);
    assert_string_equal(err.message, want);

    const mock_step slow[] = {{.kind = MOCK_TRICKLE}};
    o = usual();
    o.total_seconds = 0.25;
    o.retries = 0;
    assert_int_equal(run(slow, 1, &o, 1, false, &w, &use, &m, &err), SG_ERR_IO);
    snprintf(want, sizeof want, "%s/chat/completions: no whole answer within 0.25 s", m.url);
    assert_string_equal(err.message, want);
}

/* One request, one step, no way around it. */
static void ends(const mock_step step, sg_status status, const char *message)
{
    sg_client_config o = usual();
    char want[600];
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    o.retries = 0;
    assert_int_equal(run(&step, 1, &o, 3, false, &w, &use, &m, &err), status);
    snprintf(want, sizeof want, "%s/chat/completions: %s", m.url, message);
    assert_string_equal(err.message, want);
    assert_int_equal(m.requests, 1);
}

static void says_what_is_final(void **state)
{
    (void)state;
    ends((mock_step){.kind = MOCK_STATUS,
                     .status = 400,
                     .text = "{\"error\": {\"message\": \"context too long\"}}"},
         SG_ERR_IO, "status 400: context too long");
    ends((mock_step){.kind = MOCK_STATUS, .status = 404, .text = "{\"error\": \"no such model\"}"}, SG_ERR_IO,
         "status 404: no such model");
    ends((mock_step){.kind = MOCK_STATUS, .status = 401, .text = "who\nare you"}, SG_ERR_IO,
         "status 401: who?are you (no key was sent: key_file, key_env)");
    ends((mock_step){.kind = MOCK_STATUS, .status = 500, .text = ""}, SG_ERR_IO, "status 500");
    ends((mock_step){.kind = MOCK_STATUS, .status = 302, .text = ""}, SG_ERR_IO,
         "status 302"); /* a redirect is not followed */
    ends((mock_step){.kind = MOCK_TEXT, .text = "{\"object\": \"list\"}"}, SG_ERR_FORMAT,
         "answer: expected choices");
    ends((mock_step){.kind = MOCK_TEXT, .text = "{\"choices\": ["}, SG_ERR_IO,
         "answer:1:13: ']' expected near end of file");
}

static void one_bad_request_does_not_end_the_others(void **state)
{
    (void)state;
    const mock_step script[] = {{.kind = MOCK_GOOD},
                                {.kind = MOCK_STATUS, .status = 400, .text = "{}"},
                                {.kind = MOCK_TEXT, .text = "{}"}};
    const mock_step refused[] = {{.kind = MOCK_STATUS, .status = 403, .text = "{}"}};
    const sg_client_config o = usual();
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    assert_int_equal(run(script, N(script), &o, 6, true, &w, &use, &m, &err), SG_OK);
    assert_int_equal(w.given_up, 2);
    assert_int_equal(m.requests, 6);
    /* a refusal would meet all others, too */
    assert_int_equal(run(refused, 1, &o, 6, true, &w, &use, &m, &err), SG_ERR_IO);
    assert_int_equal(m.requests, 1);
    assert_int_equal(w.given_up, 0);
}

static void waits_as_long_as_the_server_says(void **state)
{
    (void)state;
    const mock_step step = {.kind = MOCK_STATUS, .status = 429, .text = "{}", .retry_after = "1"};
    const mock_step far = {.kind = MOCK_STATUS, .status = 429, .text = "{}", .retry_after = "86400"};
    sg_client_config o = usual();
    double start = mock_now();
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    o.concurrency = 4; /* the other requests are held back, too */
    assert_int_equal(run(&step, 1, &o, 8, false, &w, &use, &m, &err), SG_OK);
    assert_true(mock_now() - start >= 1);
    assert_int_equal(use.calls, 9);
    o = usual();
    assert_int_equal(run(&far, 1, &o, 1, false, &w, &use, &m, &err), SG_ERR_IO); /* a day is not waited for */
    assert_int_equal(use.calls, 1);
}

static void no_server(void **state)
{
    (void)state;
    sg_client_config o = usual();
    char want[300];
    sg_client *c;
    sg_error err;
    work w = {0};
    mock m;
    const sg_client_work all = {"/chat/completions", 1, &w, make, take, NULL};

    mock_start(&m, NULL, 0);
    mock_stop(&m); /* its port is free again */
    o.retries = 2;
    assert_int_equal(sg_client_new(&c, m.url, &o, &err), SG_OK);
    assert_int_equal(sg_client_run(c, &all, NULL, &err), SG_ERR_IO);
    assert_int_equal(sg_client_used(c)->calls, 3);
    assert_true(sg_client_used(c)->tokens_in == 0 && sg_client_used(c)->money == 0);
    snprintf(want, sizeof want, "%s/chat/completions: ", m.url);
    assert_memory_equal(err.message, want, strlen(want));
    assert_non_null(strstr(err.message, " after 3 tries"));
    sg_client_free(c);
}

static void keeps_to_its_concurrency(void **state)
{
    (void)state;
    sg_client_config o = usual();
    const sg_client_work all = {"/chat/completions", 24, NULL, make, take, NULL};
    sg_client_work mine = all;
    sg_client *c;
    sg_error err;
    work w = {0};
    mock m;

    o.concurrency = 5;
    mine.ctx = &w;
    mock_start(&m, NULL, 0);
    m.think = 0.05;
    assert_int_equal(sg_client_new(&c, m.url, &o, &err), SG_OK);
    assert_int_equal(sg_client_run(c, &mine, NULL, &err), SG_OK);
    assert_int_equal(m.requests, 24);
    assert_true(m.most_now <= 5 && m.most_now >= 2);
    sg_client_free(c);
    mock_stop(&m);
}

static void keeps_its_pace(void **state)
{
    (void)state;
    sg_client_config o = usual();
    double start = mock_now();
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    o.concurrency = 8;
    o.requests_a_minute = 600; /* the tenth is sent 0.9 s after the first at the earliest */
    assert_int_equal(run(NULL, 0, &o, 10, false, &w, &use, &m, &err), SG_OK);
    assert_true(mock_now() - start >= 0.9);
    o.requests_a_minute = 0;
    o.tokens_a_minute =
        6000; /* 30 tokens a request are thought of, 15 it took: the fourth after 0.45 s at the earliest */
    start = mock_now();
    assert_int_equal(run(NULL, 0, &o, 4, false, &w, &use, &m, &err), SG_OK);
    assert_true(mock_now() - start >= 0.45);
}

static void keeps_to_its_budget(void **state)
{
    (void)state;
    sg_client_config o = usual();
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    o.calls_most = 3;
    assert_int_equal(run(NULL, 0, &o, 8, false, &w, &use, &m, &err), SG_ERR_IO);
    assert_string_equal(err.message, "budget: calls_most: all 3 calls are spent");
    assert_int_equal(m.requests, 3);
    assert_int_equal(w.taken[0] + w.taken[1] + w.taken[2], 3); /* what was paid for is handed out */
    o = usual();
    o.tokens_most = 80; /* 15 an answer, 30 at most: after four 60 are spent, a fifth may take too many */
    assert_int_equal(run(NULL, 0, &o, 8, false, &w, &use, &m, &err), SG_ERR_IO);
    assert_string_equal(err.message,
                        "budget: tokens_most: 60 of 80 tokens are spent, and the next request may take 30");
    assert_int_equal(m.requests, 4);
    o = usual();
    o.price_in = 1;
    o.price_out = 2;
    o.money_most = 100e-6; /* 20 an answer, 50 at most */
    o.concurrency = 4;     /* what is under way counts with all it may cost */
    assert_int_equal(run(NULL, 0, &o, 8, false, &w, &use, &m, &err), SG_ERR_IO);
    assert_non_null(strstr(err.message, "budget: money_most: "));
    assert_true(use.money <= 100e-6);
    assert_int_equal(use.calls, use.answers);
    assert_true(m.requests <= 4);
}

/* Requests wait for those under way, whose answers are mostly shorter than they might be: more at once do not make a budget smaller. */
static void a_budget_waits_for_what_is_under_way(void **state)
{
    (void)state;
    sg_client_config o = usual();
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    o.concurrency = 8;
    o.tokens_most = 166; /* ten answers are 150, and the last one may be 15 longer; 30 at most each */
    assert_int_equal(run(NULL, 0, &o, 10, false, &w, &use, &m, &err), SG_OK);
    assert_true(m.requests == 10 && use.tokens_in + use.tokens_out == 150);
    o.tokens_most = 0;
    o.price_in = 1;
    o.price_out = 2;
    o.money_most = 231e-6; /* 20 an answer, 50 at most */
    assert_int_equal(run(NULL, 0, &o, 10, false, &w, &use, &m, &err), SG_OK);
    assert_int_equal(m.requests, 10);
    o.money_most = 0;
    o.tokens_most = 164;
    assert_int_equal(run(NULL, 0, &o, 10, false, &w, &use, &m, &err), SG_ERR_IO);
    assert_string_equal(err.message,
                        "budget: tokens_most: 135 of 164 tokens are spent, and the next request may take 30");
    assert_int_equal(m.requests, 9);
}

/* One good answer with this at its end; what the budget lost by it. */
static void costs(const char *usage, double tokens_in, double tokens_out)
{
    const sg_client_config o = usual();
    char text[400];
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    snprintf(text, sizeof text, "{\"choices\": [{\"message\": {\"content\": \"re: p0\"}}]%s}", usage);
    assert_int_equal(run(&(mock_step){.kind = MOCK_TEXT, .text = text}, 1, &o, 1, false, &w, &use, &m, &err),
                     SG_OK);
    assert_true(use.tokens_in == tokens_in && use.tokens_out == tokens_out);
}

static void counts_that_cannot_be_are_not_believed(void **state)
{
    (void)state;
    costs("", 10, 20);
    costs(", \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 3}", 7, 3);
    costs(", \"usage\": {\"prompt_tokens\": 7.0, \"completion_tokens\": 0}", 7, 0);
    costs(", \"usage\": {\"prompt_tokens\": 7}", 7, 20);
    costs(", \"usage\": {\"prompt_tokens\": -1000000000, \"completion_tokens\": -5}", 10, 20);
    costs(", \"usage\": {\"prompt_tokens\": 1000000001, \"completion_tokens\": 1e300}", 10, 20);
    costs(", \"usage\": {\"prompt_tokens\": 99999999999999999999999, \"completion_tokens\": \"3\"}", 10, 20);
    costs(", \"usage\": null", 10, 20);

    sg_client_config o = usual(); /* nor do they make a budget larger */
    const mock_step step = {.kind = MOCK_TEXT,
                            .text = "{\"choices\": [{\"message\": {\"content\": \"re: p0\"}}], \"usage\": "
                                    "{\"prompt_tokens\": -1000000000}}"};
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    o.tokens_most = 65;
    assert_int_equal(run(&step, 1, &o, 4, false, &w, &use, &m, &err), SG_ERR_IO);
    assert_string_equal(err.message,
                        "budget: tokens_most: 45 of 65 tokens are spent, and the next request may take 30");
    assert_int_equal(m.requests, 2);
}

/* No try that a provider may bill is left out: 30 tokens each, so that the fourth would go beyond 100. */
static void tries_in_vain_count(void **state)
{
    (void)state;
    const mock_step vain[][4] = {
        {{.kind = MOCK_HANG}, {.kind = MOCK_HANG}, {.kind = MOCK_HANG}, {.kind = MOCK_HANG}},
        {{.kind = MOCK_TRICKLE},
         {.kind = MOCK_CUT},
         {.kind = MOCK_TEXT, .text = "<html>"},
         {.kind = MOCK_CUT}}};
    const mock_step refused[] = {{.kind = MOCK_STATUS, .status = 503, .text = "{}"},
                                 {.kind = MOCK_STATUS, .status = 429, .text = "{}"}};
    sg_client_config o = usual();
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    o.tokens_most = 100;
    o.first_byte_seconds = 0.3;
    o.total_seconds = 1;
    for (size_t i = 0; i < N(vain); i++) {
        assert_int_equal(run(vain[i], 4, &o, 1, false, &w, &use, &m, &err), SG_ERR_IO);
        assert_string_equal(
            err.message, "budget: tokens_most: 90 of 100 tokens are spent, and the next request may take 30");
        assert_int_equal(m.requests, 3);
        assert_true(use.tokens_in == 30 && use.tokens_out == 60 && use.answers == 0);
    }
    o = usual();
    o.tokens_most = 30; /* refusals cost nothing */
    assert_int_equal(run(refused, 2, &o, 1, false, &w, &use, &m, &err), SG_OK);
    assert_true(use.calls == 3 && use.tokens_in + use.tokens_out == 15);
}

/* ---- the key -------------------------------------------------------------------------------------------------------------- */
#define SECRET "sk-very/secret+0123456789"

static char *write_key(const char *name, const char *text, mode_t mode)
{
    char *path = sg_path_join(folder, name);

    assert_int_equal(sg_file_write(path, text, strlen(text), NULL), SG_OK);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static void sends_the_key_and_never_tells_it(void **state)
{
    (void)state;
    static const mock_step echoes[] = {
        {.kind = MOCK_ECHO_KEY},
        {.kind = MOCK_STATUS, .status = 400, .text = "plain text with " SECRET " in it"},
        {.kind = MOCK_STATUS, .status = 400, .text = "{\"detail\": \"sk-very\\/secret+0123456789\"}"},
        {.kind = MOCK_TEXT, .text = "{\"" SECRET "\": "},
    };
    sg_client_config o = usual();
    char *path = write_key("key", SECRET "\n", 0600);
    sg_client_use use;
    sg_error err;
    work w;
    mock m;

    snprintf(o.key_file, sizeof o.key_file, "%s", path);
    o.retries = 0;
    for (size_t i = 0; i < N(echoes); i++) {
        assert_int_equal(run(&echoes[i], 1, &o, 1, false, &w, &use, &m, &err), SG_ERR_IO);
        assert_string_equal(m.authorization, "Bearer " SECRET);
        assert_null(strstr(err.message, "secret"));
    }
    assert_int_equal(run(echoes, 1, &o, 1, false, &w, &use, &m, &err), SG_ERR_IO);
    assert_non_null(strstr(err.message, "status 401: wrong key: Bearer "));
    /* from the environment */
    *o.key_file = 0;
    setenv("MY_KEY", SECRET, 1);
    snprintf(o.key_env, sizeof o.key_env, "MY_KEY");
    assert_int_equal(run(NULL, 0, &o, 1, false, &w, &use, &m, &err), SG_OK);
    assert_string_equal(m.authorization, "Bearer " SECRET);
    unsetenv("MY_KEY");
    assert_int_equal(run(NULL, 0, &o, 1, false, &w, &use, &m, &err), SG_OK);
    assert_string_equal(m.authorization, "");
    sg_free(path);
}

/* A key sent plainly is read by whom it passes. */
static void a_key_passes_no_proxy(void **state)
{
    (void)state;
    const sg_client_work all = {"/chat/completions", 1, NULL, make, take, NULL};
    mock proxy;

    mock_start(&proxy, NULL, 0);
    setenv("http_proxy", proxy.url, 1);
    for (int with_key = 0; with_key < 2; with_key++) {
        sg_client_config o = usual();
        sg_client_work mine = all;
        work w = {0};
        sg_client *c;
        sg_error err;
        mock m;

        snprintf(o.key_env, sizeof o.key_env, "MY_KEY");
        setenv("MY_KEY", with_key ? SECRET : "", 1);
        mine.ctx = &w;
        mock_start(&m, NULL, 0);
        assert_int_equal(sg_client_new(&c, m.url, &o, &err), SG_OK);
        assert_int_equal(sg_client_run(c, &mine, NULL, &err), SG_OK);
        assert_int_equal(m.requests, with_key);
        assert_int_equal(proxy.requests, 1); /* of the one without a key */
        assert_string_equal(m.authorization, with_key ? "Bearer " SECRET : "");
        sg_client_free(c);
        mock_stop(&m);
    }
    unsetenv("MY_KEY");
    unsetenv("http_proxy");
    assert_string_equal(proxy.authorization, "");
    mock_stop(&proxy);
}

/* What a proxy is told to reach a host over TLS: one request, then it hangs up. */
typedef struct gate {
    int socket;
    char said[2000];
} gate;

static void *keep_gate(void *ctx)
{
    gate *g = ctx;
    const int from = accept(g->socket, NULL, NULL);
    ssize_t n;
    size_t size = 0;

    while (size + 1 < sizeof g->said && !strstr(g->said, "\r\n\r\n") &&
           (n = read(from, g->said + size, sizeof g->said - 1 - size)) > 0)
        size += (size_t)n;
    close(from);
    return NULL;
}

static void a_proxy_of_https_sees_no_key(void **state)
{
    (void)state;
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof where;
    sg_client_config o = usual();
    gate g = {.socket = socket(AF_INET, SOCK_STREAM, 0)};
    char address[64];
    sg_client *c;
    sg_error err;
    work w = {0};
    pthread_t thread;
    const sg_client_work all = {"/chat/completions", 1, &w, make, take, NULL};

    assert_int_equal(bind(g.socket, (struct sockaddr *)&where, size) | listen(g.socket, 4), 0);
    assert_int_equal(getsockname(g.socket, (struct sockaddr *)&where, &size), 0);
    snprintf(address, sizeof address, "http://127.0.0.1:%d", ntohs(where.sin_port));
    assert_int_equal(pthread_create(&thread, NULL, keep_gate, &g), 0);
    setenv("https_proxy", address, 1);
    setenv("MY_KEY", SECRET, 1);
    snprintf(o.key_env, sizeof o.key_env, "MY_KEY");
    o.retries = 0;
    assert_int_equal(sg_client_new(&c, "https://sedge.invalid/v1", &o, &err), SG_OK);
    assert_int_equal(sg_client_run(c, &all, NULL, &err), SG_ERR_IO);
    pthread_join(thread, NULL);
    assert_memory_equal(g.said, "CONNECT sedge.invalid:443 ", 26);
    assert_null(strstr(g.said, "Authorization"));
    assert_true(sg_client_used(c)->tokens_in == 0); /* the request itself never left */
    sg_client_free(c);
    close(g.socket);
    unsetenv("https_proxy");
    unsetenv("MY_KEY");
}

#define LONG_REST   "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LONG_SECRET "sk-proj-" LONG_REST

/* The answer as text. */
static sg_status take_all(void *ctx, size_t i, const json_t *answer, sg_error *err)
{
    sg_buf *out = ctx;

    (void)i;
    if (!json_object_get(answer, "choices"))
        return sg_fail(err, SG_ERR_FORMAT, "answer: expected choices");
    sg_json_print_compact(out, answer);
    return SG_OK;
}

/* What is left of one answer, or what an error says of it, with this key. */
static void said_with(sg_buf *out, const char *key, const mock_step step)
{
    sg_client_config o = usual();
    const sg_client_work all = {"/chat/completions", 1, out, make, take_all, NULL};
    sg_client *c;
    sg_error err;
    mock m;

    o.retries = 0;
    snprintf(o.key_env, sizeof o.key_env, "MY_KEY");
    setenv("MY_KEY", key, 1);
    *out = (sg_buf){0};
    mock_start(&m, &step, 1);
    assert_int_equal(sg_client_new(&c, m.url, &o, &err), SG_OK);
    if (sg_client_run(c, &all, NULL, &err))
        sg_buf_puts(out, err.message);
    assert_int_equal(strlen(m.authorization), strlen("Bearer ") + strlen(key));
    sg_client_free(c);
    mock_stop(&m);
    unsetenv("MY_KEY");
}

/* Half a key is a secret, too: values that are shown in part, quoted pieces of what is no JSON, other spellings of a character. */
static void no_part_of_a_long_key_is_told(void **state)
{
    (void)state;
    char far[1200];
    sg_buf said;

    memset(far, '.', 560); /* the key begins where a first look at the text may end */
    snprintf(far + 560, sizeof far - 560, "%s", LONG_SECRET);
    const mock_step bad[] = {
        {.kind = MOCK_ECHO_KEY},
        {.kind = MOCK_TEXT, .text = "{\"choice\": \"" LONG_SECRET "\"}"},
        {.kind = MOCK_TEXT, .text = "{\"choices\": [\"a\", \"" LONG_SECRET "\"]}"},
        {.kind = MOCK_TEXT, .text = "{\"choices\": \"your key is " LONG_SECRET "\"}"},
        {.kind = MOCK_TEXT,
         .text = "{\"choices\": [{\"" LONG_SECRET "\": [\"\\u0073k-proj-" LONG_REST "\"]}]}"},
        {.kind = MOCK_TEXT, .text = "{\"choices\": \"sk-proj-" LONG_SECRET LONG_REST "\"}"},
        {.kind = MOCK_TEXT, .text = "{\"choices\": 0123456789abc}"},
        {.kind = MOCK_TEXT, .text = "{\"choices\": \"sk-proj-01\n\"}"},
        {.kind = MOCK_STATUS, .status = 400, .text = far},
        {.kind = MOCK_STATUS,
         .status = 400,
         .text = LONG_SECRET LONG_SECRET LONG_SECRET " and sk-proj-" LONG_SECRET LONG_REST},
    };
    for (size_t i = 0; i < N(bad); i++) {
        said_with(&said, LONG_SECRET, bad[i]);
        assert_null(strstr(said.data, "sk-proj"));
        assert_null(strstr(said.data, "0123456789"));
        sg_buf_free(&said);
    }
    said_with(
        &said, LONG_SECRET,
        (mock_step){.kind = MOCK_TEXT, .text = "{\"choices\": [\"your key is " LONG_SECRET ", sir\"]}"});
    assert_string_equal(said.data, "{\"choices\": [\"your key is , sir\"]}");
    sg_buf_free(&said);
    /* a word in place of a key stays where it is a word, and is not told in an error */
    said_with(&said, "none", (mock_step){.kind = MOCK_TEXT, .text = "{\"choices\": [\"none of them\"]}"});
    assert_string_equal(said.data, "{\"choices\": [\"none of them\"]}");
    sg_buf_free(&said);
    said_with(&said, "none", (mock_step){.kind = MOCK_STATUS, .status = 400, .text = "not none"});
    assert_null(strstr(said.data, "none"));
    sg_buf_free(&said);
}

/* Small sins of a server do not make anybody ask again, nor pay again. */
static void reads_answers_as_they_come(void **state)
{
    (void)state;
    static const char *const sins[] = {
        "\xef\xbb\xbf{\"choices\": []}",
        "{\"created\": 123456789012345678901234567890, \"choices\": []}",
        "{\"id\": 1, \"id\": 2, \"choices\": []}",
        "{\"choices\": [\"a\\u0000b\"]}",
        "{\"choices\": [\"a\\ud800b\"]}",
        "{\"choices\": [\"a\xff\"]}",
    };
    static const char *const want[] = {
        "{\"choices\": []}",
        "{\"created\": 1.2345678901234568e+29, \"choices\": []}",
        "{\"id\": 2, \"choices\": []}",
        "{\"choices\": [\"a\\u0000b\"]}",
        "{\"choices\": [\"a\357\277\275b\"]}",
        "{\"choices\": [\"a\xef\xbf\xbd\"]}",
    };
    sg_buf said;

    for (size_t i = 0; i < N(sins); i++) {
        said_with(&said, SECRET, (mock_step){.kind = MOCK_TEXT, .text = sins[i]}); /* with no tries but one */
        assert_string_equal(said.data, want[i]);
        sg_buf_free(&said);
    }
    said_with(&said, SECRET,
              (mock_step){.kind = MOCK_TEXT,
                          .text = "{\"choices\": [\"" SECRET "\\u0000" SECRET "\\ud800" SECRET "\"]}"});
    assert_string_equal(said.data, "{\"choices\": [\"\\u0000\xef\xbf\xbd\"]}");
    sg_buf_free(&said);
    said_with(&said, SECRET,
              (mock_step){.kind = MOCK_STATUS,
                          .status = 400,
                          .text = "\xef\xbb\xbf{\"error\": {\"message\": \"a\\ud800b\"}}"});
    assert_non_null(strstr(said.data, "status 400: a\xef\xbf\xbd"
                                      "b"));
    sg_buf_free(&said);
}

static void key_says(const char *text, mode_t mode, const char *message)
{
    sg_client_config o = usual();
    char *path = write_key("k", text, mode), want[600];
    sg_client *c;
    sg_error err;

    snprintf(o.key_file, sizeof o.key_file, "%s", path);
    assert_int_not_equal(sg_client_new(&c, "http://127.0.0.1:1/v1", &o, &err), SG_OK);
    assert_null(c);
    snprintf(want, sizeof want, "%s: %s", path, message);
    assert_string_equal(err.message, want);
    sg_free(path);
}

static void checks_keys_and_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *url, *message;
    } bad[] = {
        {"ftp://host/v1", "ftp://host/v1: expected http:// or https://"},
        {"http://", "expected an address such as http://127.0.0.1:8080/v1, found one that cannot be read"},
        {"http://me:secret@host/v1", "expected an address without user, password and query, found one of "
                                     "them (a key belongs into a file or the environment)"},
        {"http://host/v1?key=secret", "expected an address without user, password and query, found one of "
                                      "them (a key belongs into a file or the environment)"},
    };
    sg_client_config o = usual();
    char far[700] = "http://host/";
    sg_client *c;
    sg_error err;

    memset(far + strlen(far), 'a', sizeof far - 1 - strlen(far));
    assert_int_equal(sg_client_new(&c, far, &o, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "expected an address of at most 512 bytes, found 699");
    memcpy(o.model, "m\xff", 3);
    assert_int_equal(sg_client_new(&c, "http://127.0.0.1:1/v1", &o, &err), SG_ERR_USAGE);
    assert_string_equal(err.message, "model: expected a name in UTF-8, found bytes that are none");
    *o.model = 0;
    for (size_t i = 0; i < N(bad); i++) {
        assert_int_equal(sg_client_new(&c, bad[i].url, &o, &err), SG_ERR_USAGE);
        assert_string_equal(err.message, bad[i].message);
    }
    key_says("secret", 0644, "expected a key file that only its owner may read (mode 0600), found mode 0644");
    key_says("secret", 0660, "expected a key file that only its owner may read (mode 0600), found mode 0660");
    key_says("\n", 0600, "expected a key, found nothing");
    key_says("two secrets", 0600, "expected a key of printable characters in one line, without quotes");
    key_says("secret\r\nX-Header: 1", 0600,
             "expected a key of printable characters in one line, without quotes");
    snprintf(o.key_file, sizeof o.key_file, "%s/absent", folder);
    assert_int_equal(sg_client_new(&c, "http://127.0.0.1:1/v1", &o, &err), SG_ERR_MISSING);
}

/* ---- stopping ------------------------------------------------------------------------------------------------------------- */
static int after_two(void *user, const sg_progress_event *e)
{
    (void)user;
    return e->done >= 2;
}

static void stops_when_asked_and_works_again(void **state)
{
    (void)state;
    sg_client_config o = usual();
    const sg_progress progress = {after_two, NULL};
    sg_client *c;
    sg_error err;
    work w = {0};
    mock m;
    const sg_client_work all = {"/chat/completions", 40, &w, make, take, NULL};

    o.concurrency = 3;
    mock_start(&m, NULL, 0);
    m.think = 0.02;
    assert_int_equal(sg_client_new(&c, m.url, &o, &err), SG_OK);
    assert_int_equal(sg_client_run(c, &all, &progress, &err), SG_ERR_CANCEL);
    assert_true(m.requests < 40);
    w = (work){0};
    assert_int_equal(sg_client_run(c, &all, NULL, &err), SG_OK);
    for (int i = 0; i < 40; i++)
        assert_int_equal(w.taken[i], 1);
    sg_client_free(c);
    mock_stop(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tries_again_what_may_pass),
        cmocka_unit_test(late_answers_are_tried_again),
        cmocka_unit_test(says_what_is_final),
        cmocka_unit_test(one_bad_request_does_not_end_the_others),
        cmocka_unit_test(waits_as_long_as_the_server_says),
        cmocka_unit_test(no_server),
        cmocka_unit_test(keeps_to_its_concurrency),
        cmocka_unit_test(keeps_its_pace),
        cmocka_unit_test(keeps_to_its_budget),
        cmocka_unit_test(a_budget_waits_for_what_is_under_way),
        cmocka_unit_test(counts_that_cannot_be_are_not_believed),
        cmocka_unit_test(tries_in_vain_count),
        cmocka_unit_test(reads_answers_as_they_come),
        cmocka_unit_test(sends_the_key_and_never_tells_it),
        cmocka_unit_test(a_key_passes_no_proxy),
        cmocka_unit_test(a_proxy_of_https_sees_no_key),
        cmocka_unit_test(no_part_of_a_long_key_is_told),
        cmocka_unit_test(checks_keys_and_addresses),
        cmocka_unit_test(stops_when_asked_and_works_again),
    };
    return cmocka_run_group_tests(tests, make_scratch, folder_drop);
}
