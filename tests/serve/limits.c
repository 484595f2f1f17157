/* limits.c - the table of limits, each at one less, the limit and one more; deadlines; who may ask. */
#include "client.h"

static server s;

#define LIMITS                                                                                               \
    "--threads 1 --k-max 5 --beam-max 6 --history-max 4 --list-max 3 --rank-max 2 --events-max 2 --id-max "  \
    "8 --depth-max "                                                                                         \
    "4 --body-max 300 "                                                                                      \
    "--header-max 600 --connections-max 4 --header-ms 400 --body-ms 400 --idle-ms 1500 --write-ms 400 "      \
    "--store limits.db"

static int start(void **state)
{
    static const char *const models[] = {"markov1", "tiger", NULL};

    (void)state;
    if (make_work(models))
        return -1;
    server_start(&s, "tiger", LIMITS);
    return 0;
}

static int stop(void **state)
{
    assert_int_equal(server_stop(&s), 0);
    return remove_work(state);
}

/* A body of the form PREFIX ONE, ONE, ... SUFFIX with n times ONE. */
static char *repeated(const char *prefix, const char *one, const char *between, int n, const char *suffix)
{
    const size_t size = strlen(prefix) + (size_t)n * (strlen(one) + strlen(between)) + strlen(suffix) + 1;
    char *text = calloc(1, size);

    strcat(text, prefix);
    for (int i = 0; i < n; i++) {
        strcat(text, i ? between : "");
        strcat(text, one);
    }
    return strcat(text, suffix);
}

static void limits_hold(void **state)
{
    static const struct {
        const char *path, *prefix, *one, *between, *suffix;
        int limit;
        const char *code;
    } cases[] = {
        {"/v1/recommend", "{\"history\": [", "\"i3\"", ", ", "], \"k\": 1}", 4, "out_of_range"},
        {"/v1/recommend", "{\"history\": [\"i3\"], \"k\": 1, \"allow\": [", "\"i5\"", ", ", "]}", 3,
         "out_of_range"},
        {"/v1/recommend", "{\"history\": [\"i3\"], \"k\": 1, \"deny\": [", "\"i5\"", ", ", "]}", 3,
         "out_of_range"},
        {"/v1/recommend", "{\"history\": [\"i3\", \"", "x", "", "\"], \"k\": 1}", 8, "out_of_range"},
        {"/v1/rank", "{\"history\": [\"i3\"], \"items\": [", "\"i5\"", ", ", "]}", 2, "out_of_range"},
        {"/v1/rerank", "{\"history\": [\"i3\"], \"items\": [", "\"i5\"", ", ", "]}", 2, "out_of_range"},
        {"/v1/events", "{\"events\": [", "{\"user\": \"a\", \"item\": \"i3\"}", ", ", "]}", 2,
         "out_of_range"},
        {"/v1/events", "{\"events\": [{\"user\": \"", "u", "", "\", \"item\": \"i3\"}]}", 8, "out_of_range"},
    };

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int off = -1; off <= 1; off++) {
            char *body = repeated(cases[c].prefix, cases[c].one, cases[c].between, cases[c].limit + off,
                                  cases[c].suffix);
            answer a = ask(&s, "POST", cases[c].path, body);

            assert_int_equal(a.status, off > 0 ? 400 : 200);
            if (off > 0)
                assert_string_equal(text_at(&a, "error/code"), cases[c].code);
            answer_free(&a);
            free(body);
        }
}

static void numbers_are_limited(void **state)
{
    static const struct {
        const char *key;
        int least, most;
    } cases[] = {{"k", 1, 5}, {"beam", 1, 6}};

    (void)state;
    for (size_t c = 0; c < 2; c++)
        for (int off = -1; off <= 1; off++)
            for (int end = 0; end < 2; end++) {
                const int value = (end ? cases[c].most : cases[c].least) + off;
                const bool good = value >= cases[c].least && value <= cases[c].most;
                char body[100];

                snprintf(body, sizeof body, "{\"history\": [\"i3\"], \"%s\": %d}", cases[c].key, value);
                assert_int_equal(status_of(&s, "POST", "/v1/recommend", body), good ? 200 : 400);
            }
    assert_error(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"k\": 99999999999}", 400,
                 "out_of_range");
    assert_error(&s, "POST", "/v1/recommend", "{\"history\": [\"i3\"], \"k\": 99999999999999999999999}", 400,
                 "invalid_type"); /* a real, as others' JSON has it */
}

static void nesting_is_limited(void **state)
{
    (void)state;
    /* three levels are {"events": [{...}]}: what is deeper is of a wrong type up to the limit, and not looked
     * at beyond */
    assert_error(&s, "POST", "/v1/events", "{\"events\": [[1]]}", 400, "invalid_type");
    assert_error(&s, "POST", "/v1/events", "{\"events\": [[[1]]]}", 400, "invalid_type");
    assert_error(&s, "POST", "/v1/events", "{\"events\": [[[[1]]]]}", 400, "out_of_range");
    assert_int_equal(
        status_of(&s, "POST", "/v1/events", "{\"events\": [{\"user\": \"[[[[[\", \"item\": \"\\\"[[[\"}]}"),
        200);
}

static void ids_in_paths_are_limited(void **state)
{
    (void)state;
    assert_error(&s, "GET", "/v1/items/1234567", NULL, 404, "not_found");
    assert_error(&s, "GET", "/v1/items/12345678", NULL, 404, "not_found");
    assert_error(&s, "GET", "/v1/items/123456789", NULL, 400, "out_of_range");
    assert_error(&s, "GET", "/v1/items/%31%32%33%34%35%36%37%38", NULL, 404,
                 "not_found"); /* as long as they are, not as they are written */
}

static void bodies_are_limited(void **state)
{
    (void)state;
    for (int off = -1; off <= 1; off++) {
        char *body = repeated("{\"history\": [\"i3\"], \"k\": 1}", " ", "", 300 + off - 27, "");
        answer a = ask(&s, "POST", "/v1/recommend", body);

        assert_int_equal(strlen(body), 300 + off);
        assert_int_equal(a.status, off > 0 ? 413 : 200);
        answer_free(&a);
        free(body);
    }
    assert_int_equal(status_of(&s, "GET", "/healthz", NULL), 200);
}

static void headers_are_limited(void **state)
{
    static const char fixed[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ";

    (void)state;
    for (int off = -1; off <= 1; off++) {
        /* counted to the end of the line before the empty one, as the vendor counts */
        char *text = repeated(fixed, "x", "", 600 + off - (int)strlen(fixed) - 4, "\r\n\r\n");
        const int fd = client_open(&s);
        answer a;

        assert_int_equal(strlen(text), 600 + off);
        send_text(fd, text);
        a = receive(fd, WAIT_MS, false);
        assert_int_equal(a.status, off > 0 ? 431 : 200);
        answer_free(&a);
        close(fd);
        free(text);
    }
}

/* One connection more than there may be waits until another ends. */
static void connections_are_limited(void **state)
{
    int fd[5];
    answer a;

    (void)state;
    sleep_ms(50); /* those of the tests before are gone */
    for (int n = 3; n <= 5; n++) {
        for (int i = 0; i < n; i++) {
            fd[i] = client_open(&s);
            send_request(fd[i], "GET", "/healthz", "", NULL);
            a = receive(fd[i], i < 4 ? WAIT_MS : 150, false);
            assert_int_equal(a.status, i < 4 ? 200 : 0);
            answer_free(&a);
        }
        if (n == 5) {
            close(fd[0]);
            a = receive(fd[4], WAIT_MS, false);
            assert_int_equal(a.status, 200);
            answer_free(&a);
        }
        for (int i = n == 5; i < n; i++)
            close(fd[i]);
        sleep_ms(50);
    }
}

static void connections_of_one_address_are_limited(void **state)
{
    server one;
    int fd[3];

    (void)state;
    server_start(&one, "markov1", "--threads 1 --address-max 2");
    for (int i = 0; i < 3; i++) {
        answer a;

        fd[i] = client_open(&one);
        send_request(fd[i], "GET", "/healthz", "", NULL);
        a = receive(fd[i], WAIT_MS, false);
        assert_int_equal(a.status, i < 2 ? 200 : 0); /* the third is closed at once */
        answer_free(&a);
    }
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    assert_int_equal(server_stop(&one), 0);
}

/* Milliseconds until the server ends this connection, while one byte is sent now and then; -1: it does not.
 */
static int cut_after(int fd, const char *first, int limit_ms)
{
    const double start = seconds_now();

    send_text(fd, first);
    while (seconds_now() - start < limit_ms / 1e3) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char some[500];

        if (poll(&p, 1, 30) > 0 && recv(fd, some, sizeof some, 0) <= 0)
            return (int)((seconds_now() - start) * 1000);
        if (!send_text(fd, "x"))
            return (int)((seconds_now() - start) * 1000);
    }
    return -1;
}

static void slow_clients_are_cut(void **state)
{
    static const struct {
        const char *first;
        int deadline;
    } cases[] = {
        {"GET /healthz HT", 400},                                                               /* header */
        {"POST /v1/recommend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200\r\n\r\n", 400}, /* body */
        {"", 400}, /* header, from nothing */
    };

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int fd = client_open(&s), ms = cut_after(fd, cases[c].first, cases[c].deadline + 1000);

        assert_true(ms >= cases[c].deadline - 50 && ms <= cases[c].deadline + 1000);
        close(fd);
        assert_int_equal(status_of(&s, "GET", "/healthz", NULL), 200); /* nobody else notices */
    }
}

/* A client that asks for megabytes and reads none of them. */
static void clients_that_do_not_read_are_cut(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const int fd = client_open(&s), small = 4096;
    const double start = seconds_now();
    double open = 2;

    (void)state;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 3000; i++)
        if (send(fd, request, strlen(request), MSG_NOSIGNAL | MSG_DONTWAIT) < (ssize_t)strlen(request))
            break;                                   /* the server reads no further: it waits for us */
    while (open > 1 && seconds_now() - start < 10) { /* connections: this one, and the one that asks */
        answer a = ask(&s, "GET", "/metrics", NULL);
        const char *at = a.body ? strstr(a.body, "\nsedge_connections ") : NULL;

        open = at ? atof(at + 19) : 2;
        answer_free(&a);
        sleep_ms(10);
    }
    assert_true(open == 1);
    assert_true(seconds_now() - start > 0.35 &&
                seconds_now() - start < 5); /* what it could send first took its time, too */
    close(fd);
}

static void idle_connections_are_closed(void **state)
{
    const int fd = client_open(&s);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    answer a;
    char c;

    (void)state;
    send_request(fd, "GET", "/healthz", "", NULL);
    a = receive(fd, WAIT_MS, false);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    assert_int_equal(poll(&p, 1, 300), 0);
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    assert_int_equal(recv(fd, &c, 1, 0), 0);
    close(fd);
}

/* ---- requests that are not what they should be ------------------------------------------------------ */
#define POST    "POST /v1/recommend HTTP/1.1\r\nHost: localhost\r\n"
#define BODY    "\r\n\r\n{\"history\": [\"i3\"]}"
#define GET     "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
#define END     "\r\n\r\n"
#define NEXT    "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define CHUNKED "Transfer-Encoding: chunked"

/* Requests that two readers could take for different ones, and some that are none: refused, and their connection ends, so that
 * nothing behind them is taken for a request. Those that are only unusual are answered. */
static const struct {
    const char *text;
    size_t size; /* there may be 0 bytes in it */
    int status;  /* 0: cut without an answer */
} odd[] = {
#define ODD(status, text)                                                                                    \
    {                                                                                                        \
        text, sizeof text - 1, status                                                                        \
    }
    /* a JSON that is none, whose error text ends in the middle of a character */
    ODD(400,
        POST "Content-Length: 33" END "{\"history\": [\"\\u0\xd6\x9a\xc6\xdd\xa2\xd3\xdf\xdd\x9a\": -5]}"),
    /* lengths */
    ODD(200, POST "Content-Length: 19" BODY),
    ODD(200, POST "Content-Length:\t19" BODY),
    ODD(200, POST "Content-Length: 019" BODY),
    ODD(200, POST "Content-Length: 19\r\nContent_Length: 5" BODY),
    ODD(400, POST "Content-Length: 19\r\nContent-Length: 19" BODY),
    ODD(400, POST "Content-Length: 19\r\nContent-Length: 5" BODY),
    ODD(400, POST "Content-Length: 19, 19" BODY),
    ODD(400, POST "Content-Length: -1" BODY),
    ODD(400, POST "Content-Length: +19" BODY),
    ODD(400, POST "Content-Length: 0x13" BODY),
    ODD(400, POST "Content-Length: 1e1" BODY),
    ODD(400, POST "Content-Length: 1 9" BODY),
    ODD(400, POST "Content-Length: 19abc" BODY),
    ODD(400, POST "Content-Length: 19;" BODY),
    ODD(400, POST "Content-Length:" BODY),
    ODD(400, POST "Content-Length:\v19" BODY),
    ODD(400, POST "Content-Length: 19\0" BODY),
    ODD(400, POST "Content-Length: \xef\xbc\x91\xef\xbc\x99" BODY), /* digits, but wide ones */
    ODD(400, POST "Content-Length : 19" BODY),
    ODD(400, POST "Content-Length\t: 19" BODY),
    ODD(400, POST " Content-Length: 19" BODY),
    ODD(413, POST "Content-Length: 99999999999999999999" BODY),
    ODD(413, POST "Content-Length: 18446744073709551635" BODY), /* 2^64 + 19 */
    /* a length beside chunks */
    ODD(400, POST "Content-Length: 19\r\n" CHUNKED BODY),
    ODD(400, POST CHUNKED "\r\nContent-Length: 19" BODY),
    ODD(400, POST "Content-Length: 19\r\nTransfer-Encoding: CHUNKED" BODY),
    ODD(400, POST "Content-Length: 19\r\nTransfer-Encoding: xchunked" BODY),
    ODD(400, POST "Content-Length: 19\r\nTransfer-Encoding:" BODY),
    ODD(400, POST "Content-Length: 19\r\nTransfer-Encoding : chunked" BODY),
    ODD(400, POST "Content-Length: 19\r\nTransfer-Encoding\t: chunked" BODY),
    ODD(400, POST "Content-Length: 19\r\nTransfer-Encoding\r\n: chunked" BODY),
    ODD(400, POST "Content-Length: 19\r\nTransfer-Encoding\0: chunked" BODY),
    ODD(400, POST "Content-Length: 19\r\n\0Transfer-Encoding: chunked" BODY),
    ODD(400, POST "Content-Length: 19\r\n " CHUNKED BODY),
    ODD(400, POST "Content-Length: 19\r\nX: y\r\n " CHUNKED BODY),
    ODD(400, POST "Content-Length: 19\r\nX: y\n" CHUNKED BODY),
    ODD(400, POST "Content-Length: 19\r\nX: y\r" CHUNKED BODY),
    ODD(400, POST "Content-Length: 19\r\nX: y\0" CHUNKED BODY),
    ODD(200, POST "Content-Length: 19\r\nTransfer_Encoding: chunked" BODY),
    /* chunks */
    ODD(411, POST CHUNKED END "0\r\n\r\n" NEXT),
    ODD(411, POST CHUNKED END "FFFFFFFFFFFFFFFF1\r\n" NEXT),
    ODD(411, POST CHUNKED END "10000000000000013\r\n{\"history\": [\"i3\"]}\r\n0\r\n\r\n" NEXT),
    ODD(411, POST CHUNKED END "-1\r\n" NEXT),
    ODD(411, POST CHUNKED END "0x13\r\n" NEXT),
    ODD(411, POST CHUNKED END "5;ext\r\nhello\r\n0\r\n\r\n" NEXT),
    ODD(411, POST CHUNKED END "13\n{\"history\": [\"i3\"]}\n0\n\n" NEXT),
    ODD(411, POST "Transfer-Encoding: identity" END NEXT),
    ODD(411, POST "Transfer-Encoding: \"chunked\"" END NEXT),
    ODD(411, POST "Transfer-Encoding: chunked;a=b" END NEXT),
    ODD(411, POST "Transfer-Encoding: gzip, chunked" END NEXT),
    ODD(411, POST "Transfer-Encoding: identity, chunked" END NEXT),
    ODD(411, POST CHUNKED "\r\nTransfer-Encoding: identity" END NEXT),
    ODD(400, POST "Transfer-Encoding: \vchunked" END NEXT),
    ODD(411, GET CHUNKED END "0\r\n\r\n" NEXT),
    /* lines */
    ODD(200, "\r\n" GET END),
    ODD(400, "GET /healthz HTTP/1.1\nHost: localhost\n\n"),
    ODD(400, "GET /healthz HTTP/1.1\r\nHost: localhost\n\n"),
    ODD(400, GET "X: a\n\r\n"),
    ODD(400, GET "\n"),
    ODD(400, GET "X: a\r\n b" END),
    ODD(400, GET "X: a\r\n\tb" END),
    ODD(400, GET "X: a\n b" END),
    ODD(400, GET "X: a\rb" END),
    ODD(400, GET "X: a\0b" END),
    ODD(400, GET "X: a\x01"
                 "b" END),
    ODD(400, GET "X: a\x7f"
                 "b" END),
    ODD(200, GET "X: \xc3\xa9" END),
    ODD(200, GET "X:a\r\nY: \t b \r\nZ:" END),
    ODD(400, GET "X" END),
    ODD(400, GET ": x" END),
    ODD(400, GET "X : a" END),
    ODD(400, GET "X Y: a" END),
    ODD(400, GET "X(y): a" END),
    ODD(400, GET "X\0: a" END),
    ODD(400, GET "X\x01: a" END),
    ODD(400, GET "\xc3\xa9: a" END),
    /* the first line */
    ODD(0, " GET /healthz HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "GET  /healthz HTTP/1.1\r\nHost: localhost" END),
    ODD(0, "GET\t/healthz\tHTTP/1.1\r\nHost: localhost" END),
    ODD(0, "GET /v1/items/a b HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "GET /healthz HTTP/1.1 \r\nHost: localhost" END),
    ODD(400, "GET\0 /healthz HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "GET /healthz\0 HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "GET /heal\0thz HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "G@T /healthz HTTP/1.1\r\nHost: localhost" END),
    ODD(405, "get /healthz HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "GET healthz HTTP/1.1\r\nHost: localhost" END),
    ODD(200, "GET /healthz?a=b&c HTTP/1.1\r\nHost: localhost" END),
    ODD(404, "GET /healthz#a HTTP/1.1\r\nHost: localhost" END),
    ODD(404, "GET /v1/../healthz HTTP/1.1\r\nHost: localhost" END),
    ODD(404, "OPTIONS * HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost" END),
    ODD(200, "GET http://localhost/healthz HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "GET http://localhost/healthz HTTP/1.1\r\nHost: localhost:1" END),
    ODD(403, "GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example" END),
    ODD(400, "GET /v1/items/%00 HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "GET /v1/items/%zz HTTP/1.1\r\nHost: localhost" END),
    ODD(400, "GET /v1/items/\xff HTTP/1.1\r\nHost: localhost" END),
    /* versions */
    ODD(200, "GET /healthz HTTP/1.0" END),
    ODD(200, "GET /healthz HTTP/1.2\r\nHost: localhost" END),
    ODD(400, "GET /healthz" END),
    ODD(505, "GET /healthz HTTP/0.9\r\nHost: localhost" END),
    ODD(505, "GET /healthz HTTP/2.0\r\nHost: localhost" END),
    ODD(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ODD(400, "GET /healthz HTTP/11\r\nHost: localhost" END),
    ODD(400, "GET /healthz HTTP/1.\r\nHost: localhost" END),
    ODD(400, "GET /healthz HTTP/1.10\r\nHost: localhost" END),
    ODD(400, "GET /healthz HTTP/1.1x\r\nHost: localhost" END),
    ODD(400, "GET /healthz http/1.1\r\nHost: localhost" END),
    ODD(400, "GET /healthz HTTPS/1.1\r\nHost: localhost" END),
    ODD(0, "GARBAGE" END),
    ODD(0, "\x16\x03\x01\x02\x01\x01\xfc\x03\x03" END), /* someone speaks TLS */
    /* who is asked, and who asks */
    ODD(400, "GET /healthz HTTP/1.1" END),
    ODD(400, GET "Host: localhost" END),
    ODD(400, GET "Host: evil.example" END),
    ODD(403, "GET /healthz HTTP/1.1\r\nHost:" END),
    ODD(403, "GET /healthz HTTP/1.1\r\nHost: evil.example" END),
    ODD(403, "GET /healthz HTTP/1.1\r\nHost: localhost.evil.example" END),
    ODD(403, "GET /healthz HTTP/1.1\r\nHost: localhost, evil.example" END),
    ODD(403, "GET /healthz HTTP/1.1\r\nHost: localhost@evil.example" END),
    ODD(200, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:99" END),
    ODD(403, GET "Origin: http://evil.example" END),
    ODD(200, "GET /healthz HTTP/1.1\r\nHost: localhost:1\r\nOrigin: http://localhost:1" END),
    ODD(400, GET "Authorization: Bearer a\r\nAuthorization: Bearer b" END),
    ODD(200, GET "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAR" END),
    ODD(200, GET "Connection: close, Content-Length\r\nContent-Length: 5" END "hello"),
#undef ODD
};

/* The first answer, and whether there is nothing more: neither another answer nor, where it was refused, a connection. */
static int sole_status(const char *text, size_t size)
{
    const int fd = client_open(&s);
    char got[4096] = "";
    size_t n = 0;
    ssize_t more = 1;

    assert_true(fd >= 0);
    send_bytes(fd, text, size);
    answer a = receive(fd, WAIT_MS, false);
    const int status = a.head && strncmp(a.head, "HTTP/1.1 ", 9) == 0 ? atoi(a.head + 9) : 0;
    const bool refused = status != 200;

    answer_free(&a);
    while (refused && n < sizeof got - 1 && (more = recv(fd, got + n, sizeof got - 1 - n, 0)) > 0)
        n += (size_t)more;
    close(fd);
    assert_null(strstr(got, "ready"));
    return status;
}

static void odd_requests_are_refused(void **state)
{
    int wrong = 0;

    (void)state;
    for (size_t c = 0; c < sizeof odd / sizeof *odd; c++) {
        const int status = sole_status(odd[c].text, odd[c].size);

        if (status != odd[c].status)
            print_error("case %zu, '%s': expected %d, found %d\n", c, odd[c].text, odd[c].status, status);
        wrong += status != odd[c].status;
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(status_of(&s, "GET", "/healthz", NULL), 200);
}

/* However a good request is cut into packets, and whatever stands before and behind it on its connection. */
static void good_requests_come_in_any_pieces(void **state)
{
    static const char text[] =
        "\r\n" POST
        "Accept: */*\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nEmpty:\r\n"
        "Content-Length: 19" BODY NEXT
        "GET http://localhost/healthz?a&b=c HTTP/1.1\r\nHost: localhost\r\n\r\n";
    uint32_t seed = 1;
    server one; /* with time for slow packets */

    (void)state;
    server_start(&one, "markov1", "--threads 1");
    for (int round = 0; round < 40; round++) {
        const int fd = client_open(&one), most = round ? 1 + round * 4 : 1;

        for (size_t at = 0, n; at < sizeof text - 1; at += n) {
            seed = seed * 1664525 + 1013904223;
            n = 1 + (seed >> 16) % (uint32_t)most;
            n = n < sizeof text - 1 - at ? n : sizeof text - 1 - at;
            assert_true(send_bytes(fd, text + at, n));
            if (seed >> 30 == 0)
                sleep_ms(1);
        }
        char got[8192] = "";
        size_t size = 0;
        int n_good = 0;

        for (const double until = seconds_now() + WAIT_MS / 1e3; n_good < 3 && seconds_now() < until;) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            const ssize_t more = poll(&p, 1, 100) > 0 ? recv(fd, got + size, sizeof got - 1 - size, 0) : 0;

            size += more > 0 ? (size_t)more : 0;
            n_good = 0;
            for (const char *at = got; (at = strstr(at, "HTTP/1.1 200 OK")); at++)
                n_good++;
        }
        assert_int_equal(n_good, 3);
        close(fd);
    }
    assert_int_equal(server_stop(&one), 0);
}

/* ---- keys ------------------------------------------------------------------------------------------- */
static void write_keys(const char *text, int mode)
{
    char path[100];
    FILE *f;

    snprintf(path, sizeof path, "%s/keys", work);
    f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    chmod(path, (mode_t)mode);
}

static int status_with(const server *k, const char *method, const char *path, const char *key)
{
    char header[200] = "";
    answer a;

    if (key)
        snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", key);
    a = ask_with(k, method, path, header, NULL);
    const int status = a.status;
    answer_free(&a);
    return status;
}

static void keys_open_what_they_may(void **state)
{
    server k;

    (void)state;
    write_keys("# ours\nuse use-key-0123456789\r\nadmin admin-key-0123456789\n", 0600);
    server_start(&k, "markov1", "--key-file keys --threads 1");
    assert_int_equal(status_with(&k, "GET", "/healthz", NULL), 200);
    assert_int_equal(status_with(&k, "GET", "/openapi.json", NULL), 200);
    assert_int_equal(status_with(&k, "GET", "/v1/models", NULL), 401);
    assert_int_equal(status_with(&k, "GET", "/metrics", NULL), 401);
    assert_int_equal(status_with(&k, "GET", "/v1/models", "use-key-012345678"), 401);
    assert_int_equal(status_with(&k, "GET", "/v1/models", "use-key-01234567890"), 401);
    assert_int_equal(status_with(&k, "GET", "/v1/models", ""), 401);
    assert_int_equal(status_with(&k, "GET", "/v1/models", "use-key-0123456789"), 200);
    assert_int_equal(status_with(&k, "GET", "/v1/models", "admin-key-0123456789"), 200);
    assert_int_equal(status_with(&k, "POST", "/admin/reload", NULL), 401);
    assert_int_equal(status_with(&k, "POST", "/admin/reload", "use-key-0123456789"), 403);
    write_keys("admin new-admin-key-0123\n", 0600); /* keys are read again with the model */
    assert_int_equal(status_with(&k, "POST", "/admin/reload", "admin-key-0123456789"), 200);
    assert_int_equal(status_with(&k, "GET", "/v1/models", "use-key-0123456789"), 401);
    assert_int_equal(status_with(&k, "GET", "/v1/models", "new-admin-key-0123"), 200);
    write_keys("nonsense\n", 0600); /* and a file that is no good changes nothing */
    assert_int_equal(status_with(&k, "POST", "/admin/reload", "new-admin-key-0123"), 500);
    assert_int_equal(status_with(&k, "GET", "/v1/models", "new-admin-key-0123"), 200);
    assert_int_equal(server_stop(&k), 0);
    assert_false(log_has(&k, "key-0123456789"));
    assert_false(log_has(&k, "new-admin-key"));
}

static void refuses_to_start_unsafely(void **state)
{
    server k;

    (void)state;
    server_spawn(&k, "markov1", "--address 0.0.0.0");
    assert_int_equal(server_wait(&k), 2);
    assert_true(
        log_has(&k, "address '0.0.0.0' can be reached by others: expected --key-file FILE, or --insecure"));
    write_keys("use use-key-0123456789\n", 0640);
    server_spawn(&k, "markov1", "--key-file keys");
    assert_int_equal(server_wait(&k), 2);
    assert_true(
        log_has(&k, "keys: expected a file that only its owner can read (chmod 600), found mode 640"));
    write_keys("use short\n", 0600);
    server_spawn(&k, "markov1", "--key-file keys");
    assert_int_equal(server_wait(&k), 1);
    assert_true(log_has(&k, "keys:1: expected a key of 16 to 4096 characters, found 5"));
    write_keys("use-key-0123456789\n", 0600);
    server_spawn(&k, "markov1", "--key-file keys");
    assert_int_equal(server_wait(&k), 1);
    assert_true(log_has(&k, "keys:1: expected 'use KEY' or 'admin KEY'"));
    assert_false(log_has(&k, "use-key-0123456789"));
    server_spawn(&k, "markov1", "--address localhost");
    assert_int_equal(server_wait(&k), 2);
    server_spawn(&k, "nowhere", "");
    assert_int_equal(server_wait(&k), 1);
    server_spawn(&k, "markov1", "--k-maxx 3");
    assert_int_equal(server_wait(&k), 2);
    assert_true(log_has(&k, "did you mean '--k-max'?"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(numbers_are_limited),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(ids_in_paths_are_limited),
        cmocka_unit_test(bodies_are_limited),
        cmocka_unit_test(headers_are_limited),
        cmocka_unit_test(connections_are_limited),
        cmocka_unit_test(connections_of_one_address_are_limited),
        cmocka_unit_test(slow_clients_are_cut),
        cmocka_unit_test(clients_that_do_not_read_are_cut),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(odd_requests_are_refused),
        cmocka_unit_test(good_requests_come_in_any_pieces),
        cmocka_unit_test(keys_open_what_they_may),
        cmocka_unit_test(refuses_to_start_unsafely),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
