/* progress.c - stage, bar, share, rate, time left, loss, memory. */
#include "progress.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const double REDRAW_SECONDS = 0.1, LINE_SECONDS = 5;

static struct {
    sedge_run run;
    bool terminal, drawn;
    char stage[64];
    double stage_start, last_draw;
    double from; /* `done` when the stage began: resumed work does not count for the rate */
} state;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1; /* the handler is gone after this: a second Ctrl-C ends the program at once */
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void print_count(char *out, size_t cap, double x)
{
    if (x >= 1e6)
        snprintf(out, cap, "%.2fM", x / 1e6);
    else if (x >= 1e4)
        snprintf(out, cap, "%.1fk", x / 1e3);
    else
        snprintf(out, cap, x >= 100 || x == floor(x) ? "%.0f" : "%.1f", x);
}

static void print_time(char *out, size_t cap, double seconds)
{
    const long s = (long)(seconds + 0.5);

    if (s >= 3600)
        snprintf(out, cap, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, cap, "%ld:%02ld", s / 60, s % 60);
}

static double memory_gb(void)
{
    struct rusage u;

    return getrusage(RUSAGE_SELF, &u) ? 0 : (double)u.ru_maxrss / (1024.0 * 1024.0);
}

/* Appends to a line of fixed size; what does not fit is left out. */
static void add(char *line, size_t cap, const char *text)
{
    const size_t n = strlen(line), more = strlen(text);

    if (n + more < cap)
        memcpy(line + n, text, more + 1);
}

static void format_line(char *line, size_t cap, const sedge_event *e, double t)
{
    char part[128], count[32];
    const double elapsed = t - state.stage_start, rate = elapsed > 0 ? (e->done - state.from) / elapsed : 0;

    snprintf(line, cap, "%-10s", e->stage);
    if (e->total > 0 && state.terminal) {
        const int width = 24, full = (int)(e->done / e->total * width);

        add(line, cap, "[");
        for (int i = 0; i < width; i++)
            add(line, cap, i < full ? "=" : i == full ? ">" : " ");
        add(line, cap, "] ");
    }
    if (e->total > 0) {
        snprintf(part, sizeof part, "%3.0f %%  ", 100 * e->done / e->total);
        add(line, cap, part);
    }
    print_count(count, sizeof count, e->done);
    snprintf(part, sizeof part, "%s %s", count, e->unit ? e->unit : "");
    add(line, cap, part);
    if (rate > 0) {
        print_count(count, sizeof count, rate);
        snprintf(part, sizeof part, "  %s/s", count);
        add(line, cap, part);
    }
    if (rate > 0 && e->total > e->done) {
        print_time(count, sizeof count, (e->total - e->done) / rate);
        snprintf(part, sizeof part, "  ETA %s", count);
        add(line, cap, part);
    }
    if (!isnan(e->loss)) {
        snprintf(part, sizeof part, "  loss %.4f", e->loss);
        add(line, cap, part);
    }
    snprintf(part, sizeof part, "  %.1f GB", memory_gb());
    add(line, cap, part);
}

void sg_progress_end(void)
{
    if (state.drawn)
        fputs("\r\033[K", stderr);
    state.drawn = false;
}

static int on_event(void *user, const sedge_event *e)
{
    const double t = now();
    char line[256];

    (void)user;
    if (e->message) {
        sg_progress_end();
        fprintf(stderr, "%-10s%s\n", e->stage, e->note ? e->note : "");
        return stop;
    }
    if (strcmp(state.stage, e->stage) != 0) {
        snprintf(state.stage, sizeof state.stage, "%s", e->stage);
        state.stage_start = t;
        state.from = e->done;
        state.last_draw = state.terminal ? 0 : t; /* short work draws no line in a log */
    }
    if (t - state.last_draw >= (state.terminal ? REDRAW_SECONDS : LINE_SECONDS)) {
        state.last_draw = t;
        format_line(line, sizeof line, e, t);
        if (state.terminal) {
            fprintf(stderr, "\r%s\033[K", line);
            state.drawn = true;
        } else {
            fprintf(stderr, "%s\n", line);
        }
    }
    return stop;
}

int sg_progress_until_signal(void *user, const sedge_event *e)
{
    (void)user;
    (void)e;
    return stop;
}

const sedge_run *sg_progress_run(const sg_args *args)
{
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    state.terminal = isatty(STDERR_FILENO);
    state.run = (sedge_run){.size = sizeof state.run,
                            .threads = args->common.threads,
                            .progress = args->common.quiet ? sg_progress_until_signal : on_event};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &state.run;
}

bool sg_progress_stopped(void)
{
    return stop;
}
