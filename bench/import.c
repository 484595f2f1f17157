/* import.c - events a second and peak memory of imports of made logs: bench_import [EVENTS [FOLDER]]
 * (2,000,000, $TMPDIR).
 *
 * The log: EVENTS rows in order of time, ids of 13 and 10 characters as Amazon has them, 100,000 users and
 * 20,000 items drawn with a skew. Every import runs in a process of its own, so that its peak memory and
 * processor time are its own; processor time counts the thread that takes checksums too. "x4": four times the
 * events of the same users and items. */
#include "bench.h"

#include "base/io.h"
#include "base/rng.h"
#include "data/import.h"

#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNS = 5, USERS = 100000, ITEMS = 20000 };

typedef struct outcome {
    double seconds, cpu, megabytes;
    int status;
    char message[1024];
} outcome;

/* Small numbers are drawn more often than large ones. */
static uint64_t skewed(uint64_t n, uint64_t i, uint64_t what)
{
    const double u = sg_rng_double(1, SG_RNG_TEST, i, what);

    return (uint64_t)((double)n * u * u * u);
}

static void id(char text[32], char first, uint64_t number, int digits)
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint64_t mixed = sg_rng_mix(number + 1);

    text[0] = first;
    for (int k = 1; k < digits; k++, mixed /= 36)
        text[k] = alphabet[mixed % 36];
    text[digits] = 0;
}

typedef enum log_shape { CSV, JSONL, RECBOLE, S3REC, MOVIELENS } log_shape;

static void write_log(const char *path, log_shape shape, uint64_t events)
{
    FILE *f = fopen(path, "w");
    char user[32], item[32];

    if (!f) {
        perror(path);
        exit(1);
    }
    if (shape == CSV)
        fputs("user_id,item_id,rating,timestamp\n", f);
    if (shape == RECBOLE)
        fputs("user_id:token\titem_id:token\trating:float\ttimestamp:float\n", f);
    for (uint64_t i = 0; i < events; i++) {
        const uint64_t u = skewed(USERS, i, 0), t = skewed(ITEMS, i, 1),
                       rating = 1 + sg_rng_below(5, 1, SG_RNG_TEST, i, 2);
        const unsigned long long time = 1400000000 + i;

        id(user, 'A', u, 13);
        id(item, 'B', t, 10);
        switch (shape) {
        case CSV:
            fprintf(f, "%s,%s,%d.0,%llu\n", user, item, (int)rating, time);
            break;
        case RECBOLE:
            fprintf(f, "%s\t%s\t%d\t%llu\n", user, item, (int)rating, time);
            break;
        case JSONL:
            fprintf(f,
                    "{\"reviewerID\": \"%s\", \"asin\": \"%s\", \"reviewText\": \"It does what it says, and "
                    "it lasts.\", "
                    "\"overall\": %d.0, \"unixReviewTime\": %llu}\n",
                    user, item, (int)rating, time);
            break;
        case MOVIELENS:
            fprintf(f, "%llu::%llu::%d::%llu\n", (unsigned long long)u + 1, (unsigned long long)t + 1,
                    (int)rating, time);
            break;
        case S3REC:
            if (i % 20 == 0)
                fprintf(f, "%s%llu", i ? "\n" : "", (unsigned long long)i / 20 + 1);
            fprintf(f, " %llu", (unsigned long long)t + 1);
            break;
        }
    }
    fputc('\n', f);
    fclose(f);
}

static outcome import_once(const char *path, const char *dir, size_t memory_max, bool core)
{
    outcome o = {0};
    int ends[2];

    if (pipe(ends))
        exit(1);
    const pid_t child = fork();
    if (child == 0) {
        sg_import_spec spec = sg_import_defaults();
        const char *const paths[] = {path};
        struct rusage usage;
        json_t *report = NULL;
        sg_error err;

        spec.path = paths;
        spec.n_path = 1;
        spec.memory_max = memory_max;
        if (core)
            spec.core_user = spec.core_item = 5;
        o.status = (int)sg_import(dir, &spec, NULL, &report, &err);
        o.seconds = json_real_value(json_object_get(report, "seconds"));
        snprintf(o.message, sizeof o.message, "%s", o.status ? err.message : "");
        getrusage(RUSAGE_SELF, &usage);
        o.cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
        o.megabytes = (double)usage.ru_maxrss / 1024;
        _exit(write(ends[1], &o, sizeof o) != sizeof o);
    }
    close(ends[1]);
    if (read(ends[0], &o, sizeof o) != sizeof o)
        o.status = 1;
    close(ends[0]);
    waitpid(child, NULL, 0);
    if (o.status) {
        fprintf(stderr, "%s: %s\n", path, o.message);
        exit(1);
    }
    return o;
}

static void run_case(const char *name, const char *path, const char *dir, uint64_t events, size_t memory_max,
                     bool core)
{
    double seconds[RUNS], cpu[RUNS], megabytes[RUNS];
    char text[96];

    for (int r = 0; r < RUNS; r++) {
        const outcome o = import_once(path, dir, memory_max, core);

        seconds[r] = o.seconds / (double)events * 1e9;
        cpu[r] = o.cpu / (double)events * 1e9;
        megabytes[r] = o.megabytes;
    }
    bench_row(1, name, seconds, RUNS, "ns/event");
    snprintf(text, sizeof text, "%s, processor time", name);
    bench_row(1, text, cpu, RUNS, "ns/event");
    snprintf(text, sizeof text, "%s, peak memory", name);
    bench_row(1, text, megabytes, RUNS, "MiB");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        log_shape shape;
    } shapes[] = {
        {"csv", CSV}, {"recbole", RECBOLE}, {"amazon", JSONL}, {"movielens", MOVIELENS}, {"s3rec", S3REC}};
    const uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
    const char *tmp = argc > 2 ? argv[2] : getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char path[512], out[512];

    bench_header();
    snprintf(out, sizeof out, "%s/sedge-bench-%ld.out", tmp, (long)getpid());
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char name[64];

        snprintf(path, sizeof path, "%s/sedge-bench-%ld.%s", tmp, (long)getpid(), shapes[i].name);
        write_log(path, shapes[i].shape, events);
        snprintf(name, sizeof name, "%s, sorted in memory", shapes[i].name);
        run_case(name, path, out, events, 0, false);
        if (shapes[i].shape == CSV) {
            run_case("csv, sorted within 16 MiB", path, out, events, (size_t)16 << 20, false);
            run_case("csv, sorted in memory, 5-core", path, out, events, 0, true);
            run_case("csv, sorted within 16 MiB, 5-core", path, out, events, (size_t)16 << 20, true);
            write_log(path, CSV, 4 * events);
            run_case("csv x4, sorted within 16 MiB", path, out, 4 * events, (size_t)16 << 20, false);
        }
        remove(path);
    }
    sg_dir_remove(out, NULL);
    return 0;
}
