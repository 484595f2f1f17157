/* client.c - slots that each carry one request through all its tries; one loop starts what may start and waits. */
#define _GNU_SOURCE /* memmem */
#include "lm/client.h"

#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "file/json.h"
#include "lm/endpoint.h"
#include "lm/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SG_OPTION_STRUCT sg_client_config
const sg_option sg_client_options[] = {SG_CLIENT_OPTIONS(SG_OPTION_ROW)};
const size_t sg_n_client_options = sizeof sg_client_options / sizeof *sg_client_options;

enum {
    KEY_MOST = 4096,
    KEY_LEAST =
        16, /* a shorter one may be a word: servers that want none are given "none" or "EMPTY", and answers hold such words */
    ANSWER_MOST = 256 << 20,
    SAID_MOST = 300,
    SAID_READ = SAID_MOST + 2 * KEY_MOST /* of a text that is no JSON */
};
static const double DELAY_MOST = 60, RETRY_AFTER_MOST = 3600, TICK = 0.25;

typedef enum slot_state { EMPTY, WAITING, FLYING } slot_state;

typedef struct slot {
    slot_state state;
    size_t i;          /* which request */
    int tries;         /* sent so far */
    double due;        /* WAITING: not before this time */
    sg_buf body;       /* the request as text */
    sg_client_ask ask; /* its costs; the body is already text */
} slot;

struct sg_client {
    sg_client_config config;
    char *url;     /* owned, without a slash at its end */
    char *key;     /* owned; "": none */
    sg_wire *wire; /* owned */
    slot *slot;    /* owned: (concurrency) */
    sg_client_use use;
    double next_request, next_tokens; /* pace: not before these times */
    double held;                      /* a 429: nothing before this time */
    uint64_t jitter;                  /* place in the random numbers */
};

/* ---- the key ------------------------------------------------------------------------------------------------------------- */
static sg_status check_key(const char *key, const char *where, sg_error *err)
{
    for (const char *p = key; *p; p++)
        if (*p <= ' ' || *p > '~' || *p == '"' ||
            *p == '\\') /* what JSON would spell otherwise could not be hidden */
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s: expected a key of printable characters in one line, without quotes", where);
    return SG_OK;
}

static sg_status read_key_file(char **out, const char *path, sg_error *err)
{
    char text[KEY_MOST + 1];
    struct stat s;
    ssize_t n = -1;
    const int fd = sg_io_fault() ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    sg_status st = SG_OK;

    if (fd < 0)
        return sg_fail_errno(err, path, "open");
    if (fstat(fd, &s))
        st = sg_fail_errno(err, path, "stat");
    else if (s.st_mode & (S_IRWXG | S_IRWXO))
        st = sg_fail(err, SG_ERR_USAGE,
                     "%s: expected a key file that only its owner may read (mode 0600), found mode %04o",
                     path, (unsigned)(s.st_mode & 07777));
    else if (sg_io_fault() || (n = read(fd, text, sizeof text)) < 0)
        st = sg_fail_errno(err, path, "read");
    else if (n > KEY_MOST)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a key of at most %d bytes", path, KEY_MOST);
    close(fd);
    if (st)
        return st;
    size_t size = n > 0 ? (size_t)n : 0;
    while (size && strchr(" \t\r\n", text[size - 1]))
        size--;
    if (memchr(text, 0, size) || size == 0)
        st = sg_fail(err, SG_ERR_FORMAT, "%s: expected a key, found %s", path,
                     size ? "a zero byte" : "nothing");
    else if (!(*out = sg_strndup(text, size)))
        st = sg_fail_memory(err, "key");
    memset(text, 0, sizeof text);
    return st ? st : check_key(*out, path, err);
}

static sg_status read_key(sg_client *c, sg_error *err)
{
    const char *value;

    if (*c->config.key_file)
        return read_key_file(&c->key, c->config.key_file, err);
    value = *c->config.key_env ? getenv(c->config.key_env) : NULL;
    if (!(c->key = sg_strdup(value ? value : "")))
        return sg_fail_memory(err, "key");
    return check_key(c->key, c->config.key_env, err);
}

/* A text without the key, in place; also without one that only stands there when another one is cut out. Returns its new size. */
static size_t cut_key(const sg_client *c, char *text, size_t size)
{
    const size_t n = strlen(c->key);
    size_t kept = 0;

    for (size_t i = 0; i < size; i++) {
        text[kept++] = text[i];
        if (n && kept >= n && memcmp(text + kept - n, c->key, n) == 0)
            kept -= n;
    }
    return kept;
}

/* Cuts the key out of what is said, and what "..." has left of one. */
static void hide_key(const sg_client *c, char *text)
{
    const char *cut;
    size_t n = strlen(c->key);

    text[cut_key(c, text, strlen(text))] = 0;
    if (!n || !(cut = strstr(text, "...")))
        return;
    while (--n && ((size_t)(cut - text) < n || memcmp(cut - n, c->key, n) != 0))
        ;
    memmove(text + (cut - text) - n, cut, strlen(cut) + 1);
}

static bool cut_strings(const sg_client *c, json_t *value);

static bool cut_string(const sg_client *c, json_t *s)
{
    const size_t size = json_string_length(s);
    char *text;

    if (!memmem(json_string_value(s), size, c->key, strlen(c->key)))
        return true;
    if (!(text = sg_strndup(json_string_value(s), size)))
        return false;
    const bool good = !json_string_setn_nocheck(s, text, cut_key(c, text, size));
    sg_free(text);
    return good;
}

/* Members that are named by the key go. */
static bool cut_members(const sg_client *c, json_t *object)
{
    json_t *member;
    const char *name;
    void *next;
    bool good = true;

    json_object_foreach_safe(object, next, name, member)
    {
        if (strstr(name, c->key))
            json_object_del(object, name);
        else
            good = good && cut_strings(c, member);
    }
    return good;
}

/* Cuts the key out of all that an answer holds. False: out of memory. */
static bool cut_strings(const sg_client *c, json_t *value)
{
    json_t *member;
    bool good = true;
    size_t i;

    if (json_is_string(value))
        return cut_string(c, value);
    if (json_is_object(value))
        return cut_members(c, value);
    json_array_foreach(value, i, member) good = good && cut_strings(c, member);
    return good;
}

/* ---- a client ------------------------------------------------------------------------------------------------------------ */
sg_status sg_client_new(sg_client **out, const char *url, const sg_client_config *config, sg_error *err)
{
    sg_wire_limits limits = {config->connect_seconds, config->first_byte_seconds, config->total_seconds,
                             ANSWER_MOST};
    size_t size = strlen(url);
    sg_client *c;
    sg_status st;

    *out = NULL;
    if ((st = sg_wire_check_url(url, err)))
        return st;
    if (!sg_utf8_valid(config->model, strlen(config->model)))
        return sg_fail(err, SG_ERR_USAGE, "model: expected a name in UTF-8, found bytes that are none");
    while (size && url[size - 1] == '/')
        size--;
    if (!(c = sg_alloc_zero(1, sizeof *c)))
        return sg_fail_memory(err, "client");
    c->config = *config;
    c->jitter = sg_rng_mix((uint64_t)getpid() ^ (uint64_t)(sg_now() * 1e6));
    const char *bundle = getenv("CURL_CA_BUNDLE"), *ca = *config->ca ? config->ca : bundle ? bundle : "";
    if (*config->ca && !sg_file_exists(config->ca))
        st = sg_fail(err, SG_ERR_MISSING, "ca: %s: expected a file of certificates, found none", config->ca);
    else if (!(c->url = sg_strndup(url, size)) ||
             !(c->slot = sg_alloc_zero((size_t)config->concurrency, sizeof *c->slot)))
        st = sg_fail_memory(err, "client");
    else if (!(st = read_key(c, err)))
        st = sg_wire_new(&c->wire, (size_t)config->concurrency, c->key, ca, &limits, err);
    if (st) {
        sg_client_free(c);
        return st;
    }
    *out = c;
    return SG_OK;
}

void sg_client_free(sg_client *c)
{
    if (!c)
        return;
    sg_wire_free(c->wire);
    for (int i = 0; c->slot && i < c->config.concurrency; i++)
        sg_buf_free(&c->slot[i].body);
    for (volatile char *p = c->key; p && *p; p++)
        *p = 0;
    sg_free(c->key);
    sg_free(c->url);
    sg_free(c->slot);
    sg_free(c);
}

const sg_client_use *sg_client_used(const sg_client *c)
{
    return &c->use;
}

const char *sg_client_url(const sg_client *c)
{
    return c->url;
}

const char *sg_client_model(const sg_client *c)
{
    return c->config.model;
}

/* ---- pace and budget ----------------------------------------------------------------------------------------------------- */
static double later(double a, double b)
{
    return a > b ? a : b;
}

static double earliest_start(const sg_client *c)
{
    return later(c->held, later(c->next_request, c->next_tokens));
}

static void pace_tokens(sg_client *c, double tokens, double now)
{
    if (c->config.tokens_a_minute > 0)
        c->next_tokens = later(c->next_tokens, now) + tokens * 60 / c->config.tokens_a_minute;
}

static double price(const sg_client *c, double tokens_in, double tokens_out)
{
    return (tokens_in * c->config.price_in + tokens_out * c->config.price_out) * 1e-6;
}

static bool fits(const sg_client *c, double in, double out)
{
    const sg_client_config *o = &c->config;

    return !(o->tokens_most > 0 && c->use.tokens_in + c->use.tokens_out + in + out > o->tokens_most) &&
           !(o->money_most > 0 && c->use.money + price(c, in, out) > o->money_most);
}

/* May this request be sent, with all that is under way answered as long as may be? *wait: it must wait for what is under way, which may
 * cost less. */
static sg_status check_budget(bool *wait, const sg_client *c, const slot *s, sg_error *err)
{
    const sg_client_config *o = &c->config;
    double in = s->ask.tokens_in, out = s->ask.tokens_out;

    *wait = false;
    if (o->calls_most && c->use.calls >= (uint64_t)o->calls_most)
        return sg_fail(err, SG_ERR_IO, "budget: calls_most: all %d calls are spent", o->calls_most);
    if (!fits(c, in, out)) {
        if (o->tokens_most > 0 && c->use.tokens_in + c->use.tokens_out + in + out > o->tokens_most)
            return sg_fail(
                err, SG_ERR_IO,
                "budget: tokens_most: %.0f of %.0f tokens are spent, and the next request may take %.0f",
                c->use.tokens_in + c->use.tokens_out, o->tokens_most, in + out);
        return sg_fail(err, SG_ERR_IO,
                       "budget: money_most: %.4g of %.4g is spent, and the next request may cost %.4g",
                       c->use.money, o->money_most, price(c, in, out));
    }
    for (int i = 0; i < o->concurrency; i++)
        if (c->slot[i].state == FLYING) {
            in += c->slot[i].ask.tokens_in;
            out += c->slot[i].ask.tokens_out;
        }
    *wait = !fits(c, in, out);
    return SG_OK;
}

/* ---- what a reply means -------------------------------------------------------------------------------------------------- */
static bool passes_by(int status)
{
    return status == 408 || status == 409 || status == 425 || status == 429 ||
           (status >= 500 && status != 501 && status != 505);
}

/* What a server says was wrong: {"error": {"message": ...}}, {"error": ...}, {"message": ...}, or the beginning of any text. */
static void said(char out[SAID_MOST], const sg_client *c, sg_bytes body)
{
    json_t *root = NULL;
    const json_t *error;
    const char *text = NULL;
    sg_buf clean = {0};

    if (!sg_json_parse_foreign(&root, body, "answer", NULL)) {
        error = json_object_get(root, "error");
        text = json_string_value(json_object_get(error ? error : root, "message"));
        if (!text)
            text = json_string_value(error);
    }
    if (text)
        sg_buf_puts(&clean, text);
    else if (root)
        sg_json_print_compact(&clean, root);
    else
        sg_utf8_clean(&clean, body.data, body.size < SAID_READ ? body.size : SAID_READ);
    if (clean.data && !clean.failed) {
        const size_t half =
            root || body.size <= SAID_READ ? 0 : strlen(c->key); /* a key that was not read to its end */

        clean.size = cut_key(c, clean.data, clean.size); /* before it is cut to length */
        clean.data[clean.size > half ? clean.size - half : 0] = 0;
    }
    snprintf(out, SAID_MOST, "%s", clean.data && !clean.failed ? clean.data : "");
    sg_buf_free(&clean);
    json_decref(root);
}

typedef enum verdict { GOOD, AGAIN, FAILED, REFUSED } verdict;

/* Reads the answer to JSON; err says why it is not GOOD. */
static verdict judge(json_t **root, const sg_client *c, const char *path, const sg_wire_reply *r, int tries,
                     sg_error *err)
{
    char text[SAID_MOST], times[32] = "";
    sg_error why;

    *root = NULL;
    if (tries > 1)
        snprintf(times, sizeof times, " after %d tries", tries);
    if (r->end != SG_WIRE_ANSWER) {
        sg_fail(err, SG_ERR_IO, "%s%s: %s%s", c->url, path, r->why, times);
        return r->end == SG_WIRE_UNTRUSTED ? REFUSED : r->end == SG_WIRE_LONG ? FAILED : AGAIN;
    }
    if (r->status < 200 || r->status > 299) {
        said(text, c, r->body);
        sg_fail(err, SG_ERR_IO, "%s%s: status %d%s%s%s%s", c->url, path, r->status, times, *text ? ": " : "",
                text,
                (r->status == 401 || r->status == 403) && !*c->key ? " (no key was sent: key_file, key_env)"
                                                                   : "");
        if (passes_by(r->status))
            return AGAIN;
        return r->status == 401 || r->status == 403 || r->status == 404 ? REFUSED : FAILED;
    }
    if (sg_json_parse_foreign(root, r->body, "answer", &why)) {
        if (*c->key &&
            strstr(why.message, " near '")) /* quotes a piece of the answer, which may be one of the key */
            *strstr(why.message, " near '") = 0;
        sg_fail(err, why.status == SG_ERR_MEMORY ? SG_ERR_MEMORY : SG_ERR_IO, "%s%s: %s%s", c->url, path,
                why.message, times);
        return why.status == SG_ERR_MEMORY ? FAILED : AGAIN;
    }
    if (strlen(c->key) >= KEY_LEAST && !cut_strings(c, *root)) {
        json_decref(*root);
        *root = NULL;
        sg_fail_memory(err, "answer");
        return FAILED;
    }
    return GOOD;
}

/* ---- what it cost -------------------------------------------------------------------------------------------------------- */
static void charge(sg_client *c, double tokens_in, double tokens_out)
{
    c->use.tokens_in += tokens_in;
    c->use.tokens_out += tokens_out;
    c->use.money += price(c, tokens_in, tokens_out);
}

static void charge_answer(sg_client *c, const slot *s, const json_t *answer, double now)
{
    const double in = sg_endpoint_usage(answer, "prompt_tokens", s->ask.tokens_in);
    const double out = sg_endpoint_usage(answer, "completion_tokens", s->ask.tokens_out);

    c->use.answers++;
    charge(c, in, out);
    pace_tokens(c, in + out - s->ask.tokens_in - s->ask.tokens_out, now);
}

/* Of what was sent and brought nothing that can be read nobody says what it cost: all that it could. A status that refuses costs nothing. */
static void charge_lost(sg_client *c, const slot *s, const sg_wire_reply *r)
{
    if (r->end == SG_WIRE_ANSWER ? r->status >= 200 && r->status <= 299 : r->sent)
        charge(c, s->ask.tokens_in, s->ask.tokens_out);
}

/* ---- the loop ------------------------------------------------------------------------------------------------------------ */
typedef struct run {
    sg_client *c;
    const sg_client_work *w;
    size_t next, done; /* requests made, ended */
    sg_status st;      /* not SG_OK: nothing new is sent */
    bool now;          /* and nothing is waited for */
    sg_error *err;
} run;

static void stop(run *x, sg_status st, bool now)
{
    x->st = x->st ? x->st : st;
    x->now = x->now || now;
}

static void clear(slot *s)
{
    s->state = EMPTY;
    sg_buf_free(&s->body);
}

static void make(run *x, slot *s)
{
    sg_error err;
    sg_status st;

    s->ask = (sg_client_ask){0};
    s->i = x->next++;
    s->tries = 0;
    s->due = 0;
    if ((st = x->w->make(x->w->ctx, s->i, &s->ask, &err))) {
        json_decref(s->ask.body);
        if (!x->st && x->err)
            *x->err = err;
        stop(x, st, st == SG_ERR_MEMORY);
        return;
    }
    sg_json_print_compact(&s->body, s->ask.body);
    json_decref(s->ask.body);
    s->ask.body = NULL;
    if (s->body.failed || !s->body.data) {
        clear(s);
        stop(x, sg_fail_memory(x->err, "request"), true);
        return;
    }
    s->state = WAITING;
}

static void send(run *x, slot *s, double now)
{
    sg_client *c = x->c;
    char url[SG_WIRE_URL_MOST + 64];
    bool wait;
    sg_status st;

    if ((st = check_budget(&wait, c, s, x->err))) {
        stop(x, st, false);
        return;
    }
    if (wait) /* for an answer: there is one to come */
        return;
    snprintf(url, sizeof url, "%s%s", c->url, x->w->path);
    if ((st = sg_wire_post(c->wire, (size_t)(s - c->slot), url, (sg_bytes){s->body.data, s->body.size},
                           x->err))) {
        stop(x, st, true);
        return;
    }
    s->state = FLYING;
    s->tries++;
    c->use.calls++;
    if (c->config.requests_a_minute > 0)
        c->next_request = later(c->next_request, now) + 60 / c->config.requests_a_minute;
    pace_tokens(c, s->ask.tokens_in + s->ask.tokens_out, now);
}

static void fail_request(run *x, slot *s, verdict v, const sg_error *why)
{
    sg_status st = why->status;

    if (v == FAILED && x->w->give_up && st != SG_ERR_MEMORY)
        st = x->w->give_up(x->w->ctx, s->i, why);
    if (st && !x->st && x->err)
        *x->err = *why;
    if (st == SG_ERR_MEMORY && st != why->status && !x->st)
        sg_fail_memory(x->err, "answers"); /* to give it up */
    if (st)
        stop(x, st, st == SG_ERR_MEMORY);
    clear(s);
    x->done++;
}

static void again(run *x, slot *s, const sg_wire_reply *r, const sg_error *why, double now)
{
    sg_client *c = x->c;
    const double grown = c->config.retry_seconds * ldexp(1, s->tries - 1 < 20 ? s->tries - 1 : 20);
    const double delay = (grown < DELAY_MOST ? grown : DELAY_MOST) *
                         (1 - 0.5 * sg_rng_double(c->jitter++, SG_RNG_SAMPLE, 0, 0));

    if (s->tries > c->config.retries || r->retry_after > RETRY_AFTER_MOST) {
        fail_request(x, s, FAILED, why);
        return;
    }
    s->due = now + later(delay, r->retry_after);
    if (r->status == 429)
        c->held = later(c->held, s->due);
    s->state = WAITING;
}

static void take(run *x, const sg_wire_reply *r)
{
    slot *s = &x->c->slot[r->slot];
    const double now = sg_now();
    json_t *answer;
    sg_error err = {0};
    verdict v = judge(&answer, x->c, x->w->path, r, s->tries, &err);
    sg_status st;

    if (v != GOOD)
        charge_lost(x->c, s, r);
    if (v == AGAIN && !x->st) {
        again(x, s, r, &err, now);
        return;
    }
    if (v == GOOD) {
        charge_answer(x->c, s, answer, now);
        if (!(st = x->w->take(x->w->ctx, s->i, answer, &err))) {
            clear(s);
            x->done++;
        } else if (st == SG_ERR_FORMAT) {
            char where[SG_WIRE_URL_MOST + 64];

            snprintf(where, sizeof where, "%s%s", x->c->url, x->w->path);
            hide_key(x->c, err.message);
            sg_error_prefix(&err, where);
            v = FAILED;
        } else {
            v = REFUSED;
        }
        json_decref(answer);
        if (!st)
            return;
    }
    fail_request(x, s, v, &err);
}

/* Starts what may start. Returns when something is next to do, in seconds from now. */
static double start(run *x)
{
    sg_client *c = x->c;
    const double now = sg_now();
    double next = now + TICK;

    for (int i = 0; i < c->config.concurrency && !x->st; i++) {
        slot *s = &c->slot[i];
        const double may = earliest_start(c);

        if (s->state == EMPTY && x->next < x->w->n)
            make(x, s);
        if (s->state != WAITING || x->st)
            continue;
        if (later(may, s->due) <= now)
            send(x, s, now);
        else if (later(may, s->due) < next)
            next = later(may, s->due);
    }
    return next - now;
}

static bool flying(const sg_client *c)
{
    for (int i = 0; i < c->config.concurrency; i++)
        if (c->slot[i].state == FLYING)
            return true;
    return false;
}

static sg_status tick(const run *x, const sg_progress *progress, sg_error *err)
{
    return sg_progress_tick(progress,
                            &(sg_progress_event){.stage = "ask",
                                                 .unit = "requests",
                                                 .done = (double)x->done,
                                                 .total = (double)x->w->n,
                                                 .loss = (double)NAN},
                            err);
}

sg_status sg_client_run(sg_client *c, const sg_client_work *w, const sg_progress *progress, sg_error *err)
{
    run x = {.c = c, .w = w, .err = err};
    sg_error ignored;

    if (!x.err)
        x.err = &ignored;
    while (!x.now && (x.st ? flying(c) : x.done < w->n)) {
        const double wait = start(&x);
        sg_wire_reply reply;
        bool came = false;
        sg_status st;

        if (x.now || (x.st && !flying(c)))
            break;
        if ((st = sg_wire_wait(c->wire, wait, &reply, &came, x.st ? &ignored : x.err)))
            stop(&x, st, true);
        else if (came)
            take(&x, &reply);
        if (!x.now && (st = tick(&x, progress, x.st ? &ignored : x.err)))
            stop(&x, st, true);
    }
    sg_wire_cut(c->wire);
    for (int i = 0; i < c->config.concurrency; i++) {
        if (c->slot[i].state == FLYING) /* the endpoint goes on with it */
            charge(c, c->slot[i].ask.tokens_in, c->slot[i].ask.tokens_out);
        clear(&c->slot[i]);
    }
    return x.st;
}
