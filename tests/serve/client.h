/* client.h - a server of our own on a free port of the loopback, and a client that says exactly what it is
 * told to.
 *
 * The server is the real command. Every test program makes its shop and models in a folder of its own. */
#ifndef TEST_SERVE_CLIENT_H
#define TEST_SERVE_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

enum {
    ANSWER_MAX = 1 << 20,
    WAIT_MS = 20000
}; /* a loaded machine with sanitizers may take its time; nothing waits for it */

/* Microseconds in which a test must have done something: tests that count on it wait it out, so it is longer only where all is slow. */
#ifdef SEDGE_SANITIZED
#define SANITIZED true
#define WINDOW_US "4000000"
#else
#define SANITIZED false
#define WINDOW_US "1000000"
#endif

static char work[64];

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* How often a test repeats what may go wrong rarely: a few times, or as often as SEDGE_SERVE_ROUNDS says. */
static int rounds(int usual)
{
    const char *asked = getenv("SEDGE_SERVE_ROUNDS");

    return asked && atoi(asked) > 0 ? atoi(asked) : usual;
}

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* Runs a shell command in the work folder, with `sedge` being ours. */
static int shell(const char *format, ...)
{
    char command[2000], all[2400];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    snprintf(all, sizeof all, "cd %s && sedge() { %s \"$@\"; } && %s", work, SEDGE_BINARY, command);
    return system(all);
}

/* A shop of 200 users and 80 items with semantic IDs, and the models asked for, each in a folder of its name.
 */
static int make_work(const char *const *models)
{
    snprintf(work, sizeof work, "/tmp/sedge-serve-XXXXXX");
    if (!mkdtemp(work) || shell("sedge synth -q -o shop --users 200 --items 80 --seed 3 --json >/dev/null") ||
        shell("sedge embed shop -q --dim 16 --json >/dev/null && sedge tokenize shop -q --codes 8 --levels 2 "
              "--json >/dev/null"))
        return -1;
    for (; *models; models++) {
        const char *set = !strcmp(*models, "tiger")
                              ? "--set dim=16 layers=1 heads=2 head_dim=8 ffn=32 epochs=1 valid_users=50"
                          : !strcmp(*models, "sasrec") ? "--set dim=16 layers=1 epochs=1 valid_users=50"
                                                       : "";

        if (shell("sedge train %s shop -q -o %s %s --json >/dev/null", *models, *models, set))
            return -1;
    }
    return 0;
}

static int remove_work(void **state)
{
    char command[100];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", work);
    return system(command);
}

/* ---- the server ------------------------------------------------------------------------------------- */
typedef struct server {
    pid_t pid;
    int port;
    char log[100];
} server;

static char *read_log(const server *s)
{
    char *text = calloc(1, ANSWER_MAX);
    FILE *f = fopen(s->log, "r");

    if (f) {
        if (!fread(text, 1, ANSWER_MAX - 1, f))
            text[0] = 0;
        fclose(f);
    }
    return text;
}

static bool log_has(const server *s, const char *what)
{
    char *text = read_log(s);
    const bool found = strstr(text, what) != NULL;

    free(text);
    return found;
}

/* Starts "sedge serve MODEL --port 0 OPTIONS"; does not wait. */
static void server_spawn(server *s, const char *model, const char *options)
{
    static int number;
    char command[2000];

    snprintf(s->log, sizeof s->log, "%s/log%d", work, number++);
    snprintf(command, sizeof command, "cd %s && exec %s serve %s --port 0 %s 2>%s", work, SEDGE_BINARY, model,
             options, s->log);
    s->port = 0;
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing running */
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
}

static void server_start(server *s, const char *model, const char *options)
{
    server_spawn(s, model, options);
    for (int ms = 0; ms < WAIT_MS && !s->port; ms += 5) {
        char *text = read_log(s), *port = strstr(text, "\"port\": ");

        if (port && strchr(port, '\n'))
            s->port = atoi(port + 8);
        free(text);
        if (!s->port && waitpid(s->pid, NULL, WNOHANG) == s->pid)
            break;
        sleep_ms(5);
    }
    if (!s->port) {
        char *text = read_log(s);

        print_error("the server did not start: %s\n", text);
        free(text);
    }
    assert_true(s->port > 0);
}

/* Exit code of a server that was told to stop, or stopped by itself. */
static int server_wait(server *s)
{
    int status = 0;

    for (int ms = 0; ms < WAIT_MS; ms += 5) {
        if (waitpid(s->pid, &status, WNOHANG) == s->pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        sleep_ms(5);
    }
    kill(s->pid, SIGKILL);
    waitpid(s->pid, &status, 0);
    return -100;
}

static int server_stop(server *s)
{
    kill(s->pid, SIGTERM);
    return server_wait(s);
}

/* ---- the client ------------------------------------------------------------------------------------- */
static int client_open(const server *s)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)s->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static bool send_bytes(int fd, const char *text, size_t size)
{
    while (size) {
        const ssize_t n = send(fd, text, size, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        text += n;
        size -= (size_t)n;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_bytes(fd, text, strlen(text));
}

typedef struct answer {
    int status;        /* 0: the connection ended, or nothing came in time */
    char *head, *body; /* owned: head */
    json_t *json;      /* owned; NULL: the body is none */
} answer;

static void answer_free(answer *a)
{
    json_decref(a->json);
    free(a->head);
    *a = (answer){0};
}

/* One answer from an open connection. head_only: the body is not sent. */
static answer receive(int fd, int wait_ms, bool head_only)
{
    answer a = {.head = calloc(1, ANSWER_MAX)};
    size_t size = 0, need = SIZE_MAX;
    const double until = seconds_now() + wait_ms / 1e3;

    while (size < need && size < ANSWER_MAX - 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const int left = (int)((until - seconds_now()) * 1000);
        ssize_t n;
        char *end, *length;

        if (left <= 0 || poll(&p, 1, left) <= 0 ||
            (n = recv(fd, a.head + size, ANSWER_MAX - 1 - size, 0)) <= 0)
            break;
        size += (size_t)n;
        if (need == SIZE_MAX && (end = strstr(a.head, "\r\n\r\n"))) {
            length = strstr(a.head, "Content-Length: ");
            a.body = end + 4;
            need = (size_t)(a.body - a.head) + (length && !head_only ? (size_t)atol(length + 16) : 0);
        }
    }
    if (size >= need && strncmp(a.head, "HTTP/1.1 ", 9) == 0) {
        a.status = atoi(a.head + 9);
        a.json = head_only ? NULL : json_loads(a.body, JSON_REJECT_DUPLICATES, NULL);
    }
    return a;
}

/* headers: lines that end with \r\n, or "" */
static void send_request(int fd, const char *method, const char *path, const char *headers, const char *body)
{
    const size_t size = strlen(path) + strlen(headers) + (body ? strlen(body) : 0) + 300;
    char *text = malloc(size), length[60] = "";

    if (body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    snprintf(text, size, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n%s", method, path, headers, length,
             body ? body : "");
    send_text(fd, text);
    free(text);
}

static answer ask_with(const server *s, const char *method, const char *path, const char *headers,
                       const char *body)
{
    const int fd = client_open(s);
    answer a = {0};

    if (fd < 0)
        return a;
    send_request(fd, method, path, headers, body);
    a = receive(fd, WAIT_MS, strcmp(method, "HEAD") == 0);
    close(fd);
    return a;
}

static answer ask(const server *s, const char *method, const char *path, const char *body)
{
    return ask_with(s, method, path, "", body);
}

static int status_of(const server *s, const char *method, const char *path, const char *body)
{
    answer a = ask(s, method, path, body);
    const int status = a.status;

    answer_free(&a);
    return status;
}

/* Member of an object by a path of keys and numbers: "items/0/score". NULL: not there. */
static json_t *member(json_t *v, const char *path)
{
    char key[200];

    while (v && *path) {
        const size_t n = strcspn(path, "/");

        snprintf(key, sizeof key, "%.*s", (int)n, path);
        v = json_is_array(v) ? json_array_get(v, (size_t)atoi(key)) : json_object_get(v, key);
        path += n + (path[n] == '/');
    }
    return v;
}

static const char *text_at(const answer *a, const char *path)
{
    const char *s = json_string_value(member(a->json, path));

    return s ? s : "(nothing)";
}

static double number_at(const answer *a, const char *path)
{
    return json_number_value(member(a->json, path));
}

static bool has_header(const answer *a, const char *line)
{
    char whole[200];

    snprintf(whole, sizeof whole, "\r\n%s\r\n", line);
    return strstr(a->head, whole) != NULL;
}

/* Status and error code of an answer that should be an error. */
#define assert_error(server, method, path, body, want_status, want_code)                                     \
    do {                                                                                                     \
        answer a_ = ask(server, method, path, body);                                                         \
        assert_int_equal(a_.status, want_status);                                                            \
        assert_string_equal(text_at(&a_, "error/code"), want_code);                                          \
        assert_true(strlen(text_at(&a_, "error/message")) > 9);                                              \
        answer_free(&a_);                                                                                    \
    } while (0)

#endif
