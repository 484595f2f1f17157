/* fm.c - size and speed of the FM-index over a corpus of ten million tokens.
 *
 * Items are titles of 4 to 20 tokens drawn from Zipf's law over 32,000 tokens, half of them by a word that likes to follow
 * the last one, so that strings repeat. A query is a string of 1 to 5 tokens that stands somewhere; the successor step is
 * its last one: the string's range is known, all tokens that may follow are listed with their ranges. Counts and successors
 * are compared with a hash of all strings of that length ("differ": 0 when exact); the first 1,000 queries are located,
 * and each place is looked up.
 *
 * usage: bench_fm [tokens [queries [compared]]]   (default 10000000 20000 100000) */
#include "base/alloc.h"
#include "base/io.h"
#include "base/rng.h"
#include "bench.h"
#include "index/fm.h"

#include <math.h>
#include <unistd.h>

enum { VOCABULARY = 32000, LONGEST = 5, SLOTS = 1 << 25 };

typedef struct corpus {
    int32_t n_items;
    int64_t n;
    int32_t *token;
    int64_t *offsets;
} corpus;

static void die(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static corpus make_corpus(int64_t n)
{
    corpus c = {.token = sg_alloc_array((size_t)n, sizeof *c.token),
                .offsets = sg_alloc_array((size_t)n / 4 + 2, sizeof *c.offsets)};

    if (!c.token || !c.offsets)
        die("out of memory");
    while (c.n < n) {
        int64_t left = 4 + (int64_t)sg_rng_below(17, 1, SG_RNG_TEST, 0, (uint64_t)c.n_items);

        c.offsets[c.n_items++] = c.n;
        for (int32_t before = -1; left > 0 && c.n < n; left--, c.n++) {
            const double u = sg_rng_double(1, SG_RNG_TEST, 1, (uint64_t)c.n);
            const uint64_t turn = sg_rng_below(8, 1, SG_RNG_TEST, 2, (uint64_t)c.n);

            if (before >= 0 && turn < 4) /* one of four that like to follow */
                c.token[c.n] = (int32_t)sg_rng_below(VOCABULARY, 2, SG_RNG_TEST, (uint64_t)before, turn);
            else
                c.token[c.n] = (int32_t)exp(u * log(VOCABULARY + 1.0)) - 1;
            before = c.token[c.n];
        }
    }
    c.offsets[c.n_items] = c.n;
    return c;
}

/* ---- the truth: how often each string of one length occurs ---------------------------------------------------- */

typedef struct counts { /* open addressing; strings are told apart by 64 mixed bits */
    uint64_t *key;
    uint32_t *times;
} counts;

static uint64_t string_key(const int32_t *token, int n)
{
    uint64_t key = (uint64_t)n;

    for (int i = 0; i < n; i++)
        key = sg_rng_mix(key * 0x9e3779b97f4a7c15u + (uint64_t)token[i] + 1);
    return key ? key : 1;
}

static size_t slot_of(const counts *h, uint64_t key)
{
    size_t at = key % SLOTS;

    while (h->key[at] && h->key[at] != key)
        at = (at + 1) % SLOTS;
    return at;
}

static void count_strings(counts *h, const corpus *c, int n)
{
    memset(h->key, 0, SLOTS * sizeof *h->key);
    memset(h->times, 0, SLOTS * sizeof *h->times);
    for (int32_t i = 0; i < c->n_items; i++)
        for (int64_t at = c->offsets[i]; at + n <= c->offsets[i + 1]; at++) {
            const uint64_t key = string_key(c->token + at, n);
            const size_t slot = slot_of(h, key);

            h->key[slot] = key;
            h->times[slot]++;
        }
}

typedef struct query {
    int64_t at;
    int n;
} query;

static void check(const sg_fm *f, const corpus *c, const query *q, size_t n_queries)
{
    counts here = {sg_alloc_array(SLOTS, 8), sg_alloc_array(SLOTS, 4)};
    counts longer = {sg_alloc_array(SLOTS, 8), sg_alloc_array(SLOTS, 4)};
    sg_fm_next *next = sg_alloc_array(VOCABULARY, sizeof *next);
    uint64_t differ = 0, asked = 0;
    int32_t string[LONGEST + 1];

    if (!here.key || !here.times || !longer.key || !longer.times || !next)
        die("out of memory");
    count_strings(&longer, c, 1);
    for (int n = 1; n <= LONGEST; n++) {
        const counts swap = here;

        here = longer;
        longer = swap;
        count_strings(&longer, c, n + 1);
        for (size_t i = 0; i < n_queries; i++) {
            sg_fm_range r = sg_fm_anywhere(f);
            uint32_t sum = 0, ends;
            int32_t found;

            if (q[i].n != n)
                continue;
            for (int k = 0; k < n; k++)
                r = sg_fm_extend(f, r, string[k] = c->token[q[i].at + k]);
            differ += r.last - r.first != here.times[slot_of(&here, string_key(string, n))];
            found = sg_fm_successors(f, r, next, VOCABULARY, &ends);
            for (int32_t k = 0; k < found;
                 k++) { /* each follows as often as it says; all places are accounted for */
                string[n] = next[k].token;
                differ += next[k].range.last - next[k].range.first !=
                          longer.times[slot_of(&longer, string_key(string, n + 1))];
                sum += next[k].range.last - next[k].range.first;
            }
            differ += sum + ends != r.last - r.first;
            asked++;
        }
    }
    for (size_t i = 0; i < n_queries && i < 1000; i++) {
        sg_fm_range r = sg_fm_anywhere(f);

        for (int k = 0; k < q[i].n; k++)
            r = sg_fm_extend(f, r, c->token[q[i].at + k]);
        for (uint32_t row = r.first; row < r.last && row < r.first + 20; row++) {
            int32_t item, behind;
            sg_error err;

            if (sg_fm_locate(f, row, &item, &behind, &err))
                die(err.message);
            differ += memcmp(c->token + c->offsets[item + 1] - behind - q[i].n, c->token + q[i].at,
                             (size_t)q[i].n * sizeof *c->token) != 0;
        }
    }
    bench_value("queries compared", (double)asked, "queries");
    bench_value("answers that differ", (double)differ, "answers");
    sg_free(here.key);
    sg_free(here.times);
    sg_free(longer.key);
    sg_free(longer.times);
    sg_free(next);
}

typedef struct timing {
    double extend, list, locate; /* microseconds */
    int found;
} timing;

static void report(const char *name, const timing *t, const query *q, size_t n_queries, int n, double *value)
{
    double mean = 0, found = 0;
    size_t k = 0;

    for (size_t i = 0; i < n_queries; i++)
        if (!n || q[i].n == n) {
            mean += t[i].list;
            found += t[i].found;
            value[k++] = t[i].list;
        }
    if (!k)
        return;
    bench_row(1, name, value, (int)k, "us");
    bench_value("  99th of 100", value[k / 100 * 99], "us");
    bench_value("  mean", mean / (double)k, "us");
    bench_value("  mean number of successors", found / (double)k, "tokens");
}

static void time_queries(const sg_fm *f, const corpus *c, const query *q, size_t n_queries)
{
    timing *t = sg_alloc_array(n_queries, sizeof *t);
    double *value = sg_alloc_array(n_queries, sizeof *value);
    sg_fm_next *next = sg_alloc_array(VOCABULARY, sizeof *next);
    char name[64];

    if (!t || !value || !next)
        die("out of memory");
    for (size_t i = 0; i < n_queries; i++) {
        sg_fm_range r = sg_fm_anywhere(f);
        int32_t item, behind;
        double start;
        sg_error err;

        for (int j = 0; j + 1 < q[i].n; j++)
            r = sg_fm_extend(f, r, c->token[q[i].at + j]);
        start = sg_now();
        r = sg_fm_extend(f, r, c->token[q[i].at + q[i].n - 1]);
        t[i].extend = (sg_now() - start) * 1e6;
        start = sg_now();
        t[i].found = sg_fm_successors(f, r, next, VOCABULARY, NULL);
        t[i].list = (sg_now() - start) * 1e6;
        start = sg_now();
        if (sg_fm_locate(f, r.first, &item, &behind, &err))
            die(err.message);
        t[i].locate = (sg_now() - start) * 1e6;
    }
    report("successors", t, q, n_queries, 0, value);
    for (int n = 1; n <= LONGEST; n++) {
        snprintf(name, sizeof name, "successors of %d tokens", n);
        report(name, t, q, n_queries, n, value);
    }
    for (size_t i = 0; i < n_queries; i++)
        value[i] = t[i].extend;
    bench_row(1, "extend by a token", value, (int)n_queries, "us");
    for (size_t i = 0; i < n_queries; i++)
        value[i] = t[i].locate;
    bench_row(1, "locate an occurrence", value, (int)n_queries, "us");
    sg_free(t);
    sg_free(value);
    sg_free(next);
}

int main(int argc, char **argv)
{
    const corpus c = make_corpus(argc > 1 ? atoll(argv[1]) : 10000000);
    const size_t n_queries = argc > 2 ? (size_t)atoll(argv[2]) : 20000,
                 compared = argc > 3 ? (size_t)atoll(argv[3]) : 100000;
    const size_t most = n_queries > compared ? n_queries : compared;
    query *q = sg_alloc_array(most + 1, sizeof *q);
    char path[64];
    double seconds;
    sg_fm *f;
    sg_error err;

    if (!q)
        die("out of memory");
    bench_header();
    seconds = -sg_now();
    if (sg_fm_new(&f, c.token, c.offsets, c.n_items, VOCABULARY, 0, &err))
        die(err.message);
    bench_value("build", seconds + sg_now(), "s");
    bench_value("size of the file", (double)sg_fm_bytes(f) / (double)c.n, "bytes a token");
    bench_value("size in memory", (double)sg_fm_memory(f) / (double)c.n, "bytes a token");
    snprintf(path, sizeof path, "bench-fm-%ld.bin", (long)getpid());
    if (sg_fm_save(f, path, &err))
        die(err.message);
    sg_fm_free(f);
    seconds = -sg_now();
    if (sg_fm_open(&f, path, &err))
        die(err.message);
    bench_value("open and check", seconds + sg_now(), "s");
    for (size_t i = 0, turn = 0; i < most; turn++) { /* where a whole string stands inside one item */
        const int32_t item = (int32_t)sg_rng_below((uint64_t)c.n_items, 3, SG_RNG_TEST, 0, turn);
        const int64_t length = c.offsets[item + 1] - c.offsets[item];
        const int n = 1 + (int)sg_rng_below(LONGEST, 3, SG_RNG_TEST, 1, turn);

        if (length >= n)
            q[i++] = (query){c.offsets[item] +
                                 (int64_t)sg_rng_below((uint64_t)(length - n + 1), 3, SG_RNG_TEST, 2, turn),
                             n};
    }
    time_queries(f, &c, q, n_queries);
    if (compared)
        check(f, &c, q, compared);
    sg_fm_free(f);
    unlink(path);
    sg_free(q);
    sg_free(c.token);
    sg_free(c.offsets);
    return 0;
}
