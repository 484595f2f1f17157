/* replicas.c - two servers on one PostgreSQL behind nginx, as examples/nginx.conf sets it up. One after the other is killed under
 * load: nothing acknowledged is lost, nothing is stored twice, and hardly a request fails or is asked twice. */
#include "postgres.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    SERVERS = 2,
    KEYED = 2,
    PLAIN = 1,
    READERS = 2,
    CLIENTS = KEYED + PLAIN + READERS,
    REQUESTS = 3000 /* a round */
};

static postgres pg;
static server replica[SERVERS], proxy;

static void replica_start(int i)
{
    char where[200], options[400];

    postgres_where(&pg, where, sizeof where, "replicas");
    snprintf(options, sizeof options, "--threads 1 --log errors --port %d --store %s", replica[i].port,
             where);
    server_start(&replica[i], "markov1", options);
}

/* The example as it is, but for its ports and its certificate. */
static bool proxy_start(void)
{
    proxy.port = free_port();
    if (shell("sed -e 's/listen 443 ssl/listen 127.0.0.1:%d/' -e '/ssl_certificate/d' -e "
              "s/127.0.0.1:8080/127.0.0.1:%d/ -e "
              "s/127.0.0.1:8081/127.0.0.1:%d/ %s/examples/nginx.conf >part.conf",
              proxy.port, replica[0].port, replica[1].port, SEDGE_SOURCE) ||
        shell("{ [ $(id -u) != 0 ] || echo 'user root;'; echo 'daemon off; master_process off; "
              "worker_processes 1; "
              "pid nginx.pid; error_log nginx.error; events { worker_connections 512; }'; "
              "echo 'http { log_format asked \"$status $upstream_addr $uri\"; access_log nginx.log asked; "
              "client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; "
              "scgi_temp_path s; "
              "include part.conf; }'; } >nginx.conf"))
        return false;
    proxy.pid = fork();
    if (proxy.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("nginx", "nginx", "-p", work, "-c", "nginx.conf", "-e", "nginx.error", (char *)NULL);
        _exit(127);
    }
    for (int ms = 0; ms < WAIT_MS; ms += 20) {
        const int fd = client_open(&proxy);

        if (fd >= 0) {
            close(fd);
            return true;
        }
        sleep_ms(20);
    }
    return false;
}

static int start(void **state)
{
    static const char *const models[] = {"markov1", NULL};

    (void)state;
    if (make_work(models) || !postgres_make(&pg))
        return -1;
    for (int i = 0; i < SERVERS; i++) {
        replica[i].port = free_port();
        replica_start(i);
    }
    return proxy_start() ? 0 : -1;
}

static int stop(void **state)
{
    kill(proxy.pid, SIGTERM);
    waitpid(proxy.pid, NULL, 0);
    for (int i = 0; i < SERVERS; i++)
        assert_int_equal(server_stop(&replica[i]), 0);
    postgres_stop(&pg, SIGQUIT);
    return remove_work(state);
}

typedef struct client {
    int number;
    atomic_int asked; /* answers and failures, those of retries too */
    int failed, acknowledged;
    atomic_bool *end;
} client;

/* *fd: kept open from request to request, as clients do; 0: none */
static int ask_over(int *fd, const char *path, const char *headers, const char *body, answer *a)
{
    *a = (answer){0};
    if (*fd <= 0 && (*fd = client_open(&proxy)) < 0)
        return 0;
    send_request(*fd, "POST", path, headers, body);
    *a = receive(*fd, WAIT_MS, false);
    if (a->status != 200 || has_header(a, "Connection: close")) {
        close(*fd);
        *fd = 0;
    }
    return a->status;
}

/* Keyed writers send an event until it is acknowledged, plain ones once. */
static void *work_on(void *ctx)
{
    client *c = ctx;
    const bool reads = c->number >= KEYED + PLAIN, keyed = c->number < KEYED;
    int fd = 0;

    for (int i = 0; !atomic_load(c->end); i++) {
        char body[200], key[60] = "";
        bool good = false;

        if (reads && i % 2)
            snprintf(body, sizeof body, "{\"user\": \"w%d\", \"k\": 3}", i % 3);
        else if (reads)
            snprintf(body, sizeof body, "{\"history\": [\"i3\"], \"k\": 3}");
        else
            snprintf(body, sizeof body,
                     "{\"events\": [{\"user\": \"w%d\", \"item\": \"i3\", \"action\": \"%s\"}]}", c->number,
                     keyed ? "keyed" : "plain");
        if (keyed)
            snprintf(key, sizeof key, "Idempotency-Key: w%d-%d\r\n", c->number, i);
        do {
            answer a;

            good = ask_over(&fd, reads ? "/v1/recommend" : "/v1/events", key, body, &a) == 200;
            if (good && keyed && number_at(&a, "stored") + number_at(&a, "repeated") != 1)
                good = false;
            atomic_fetch_add(&c->asked, 1);
            c->failed += !good;
            answer_free(&a);
        } while (keyed && !good);
        c->acknowledged += good && !reads;
    }
    if (fd > 0)
        close(fd);
    return NULL;
}

static int asked_so_far(client *c)
{
    int n = 0;

    for (int i = 0; i < CLIENTS; i++)
        n += atomic_load(&c[i].asked);
    return n;
}

static void wait_for_requests(client *c, int n)
{
    const int until = asked_so_far(c) + n;

    for (int ms = 0; ms < 6 * WAIT_MS && asked_so_far(c) < until; ms += 2)
        sleep_ms(2);
    assert_true(asked_so_far(c) >= until);
}

static int count_stored(const char *action)
{
    return atoi(
        postgres_ask(&pg, "replicas", "SELECT count(*) FROM sedge_events WHERE action = '%s'", action));
}

static int count_lines(const char *pattern)
{
    char path[100], command[300];
    int n = -1;
    FILE *f;

    snprintf(path, sizeof path, "%s/nginx.log", work);
    snprintf(command, sizeof command, "grep -cE '%s' %s", pattern, path);
    if ((f = popen(command, "r"))) {
        assert_int_equal(fscanf(f, "%d", &n), 1);
        pclose(f);
    }
    return n;
}

static void nobody_notices_a_killed_server(void **state)
{
    const int n_rounds = rounds(2);
    pthread_t thread[CLIENTS];
    client c[CLIENTS];
    atomic_bool end = false;
    int keyed = 0, plain = 0, plain_failed = 0, failed = 0, twice;

    (void)state;
    memset(c, 0, sizeof c);
    for (int i = 0; i < 3; i++) { /* so that recommendations for them are there from the beginning */
        char body[100];

        snprintf(body, sizeof body, "{\"events\": [{\"user\": \"w%d\", \"item\": \"i3\"}]}", i);
        assert_int_equal(status_of(&proxy, "POST", "/v1/events", body), 200);
    }
    for (int i = 0; i < CLIENTS; i++) {
        c[i].number = i;
        c[i].end = &end;
        assert_int_equal(pthread_create(&thread[i], NULL, work_on, &c[i]), 0);
    }
    for (int round = 0; round < n_rounds; round++) {
        server *k = &replica[round % SERVERS];

        wait_for_requests(c, REQUESTS / 2);
        kill(k->pid, SIGKILL);
        assert_int_equal(server_wait(k), -SIGKILL);
        wait_for_requests(c, REQUESTS / 2);
        replica_start(round % SERVERS);
        sleep_ms(2500); /* nginx knows that it is back: fail_timeout */
    }
    wait_for_requests(c, REQUESTS / 2);
    atomic_store(&end, true);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(thread[i], NULL);
        failed += c[i].failed;
        if (i < KEYED)
            keyed += c[i].acknowledged;
        else if (i < KEYED + PLAIN) {
            plain += c[i].acknowledged;
            plain_failed += c[i].failed;
        }
    }
    twice = count_lines(" 127[.0-9:]+, 127"); /* two upstreams */
    print_message("killed %d times under %d requests: %d events acknowledged, %d requests failed (%d of them "
                  "writes without a "
                  "key), %d were asked of the other server\n",
                  n_rounds, asked_so_far(c), keyed + plain, failed, plain_failed, twice);
    assert_int_equal(count_stored("keyed"), keyed); /* each there, once */
    assert_true(count_stored("plain") >= plain && count_stored("plain") <= plain + plain_failed);
    assert_true(100 * (failed + twice) < asked_so_far(c));
}

/* What is said of errors and limits comes through, and what is for the machine alone does not. */
static void the_proxy_passes_on_what_servers_say(void **state)
{
    answer a;

    (void)state;
    assert_error(&proxy, "POST", "/v1/recommend", "{\"user\": \"nobody\"}", 404, "not_found");
    assert_error(&proxy, "POST", "/v1/events", "{\"events\": [{\"user\": \"a\"}]}", 400, "missing_parameter");
    a = ask_with(&proxy, "POST", "/v1/events", "Idempotency-Key: p\r\n", "{\"events\": [{\"user\": \"a\"}]}");
    assert_int_equal(a.status, 400);
    assert_string_equal(text_at(&a, "error/code"), "missing_parameter");
    answer_free(&a);
    assert_int_equal(status_of(&proxy, "DELETE", "/v1/users/w0", NULL), 200);
    assert_int_equal(status_of(&proxy, "POST", "/admin/reload", ""), 403);
    assert_int_equal(status_of(&proxy, "GET", "/metrics", NULL), 403);
    postgres_stop(&pg, SIGQUIT);
    for (int i = 0; i < SERVERS; i++)
        for (int ms = 0; ms < WAIT_MS && status_of(&replica[i], "GET", "/readyz", NULL) != 503; ms += 20)
            sleep_ms(20);
    for (int i = 0; i < 20; i++) {
        a = ask_with(&proxy, "POST", "/v1/events", "Idempotency-Key: q\r\n",
                     "{\"events\": [{\"user\": \"a\", \"item\": \"i3\"}]}");
        assert_int_equal(a.status, 503);
        assert_true(has_header(&a, "Retry-After: 1"));
        answer_free(&a);
        assert_int_equal(status_of(&proxy, "POST", "/v1/recommend", "{\"history\": [\"i3\"]}"), 200);
    }
    assert_true(postgres_start(&pg));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_notices_a_killed_server),
        cmocka_unit_test(the_proxy_passes_on_what_servers_say),
    };
    const char *missing = system("nginx -v 2>/dev/null") ? "nginx is not installed" : postgres_missing(&pg);

    if (missing) {
        print_message("skipped: %s\n", missing);
        return 77;
    }
    return cmocka_run_group_tests(tests, start, stop);
}
