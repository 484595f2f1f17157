/* hostile.h - files made to take memory: opening one takes at most its size and 64 MiB, or it is refused. Each is opened in a process of its
 * own, whose largest resident size is what the kernel counted. */
#ifndef SG_TESTS_HOSTILE_H
#define SG_TESTS_HOSTILE_H

#include "base/alloc.h"
#include "base/io.h"
#include "scratch.h"
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1 << 20, MOST = 64 /* MiB beside the file */ };
static char dir[SCRATCH_MAX];

/* ---- opening ---------------------------------------------------------------------------------------------------------------- */
typedef struct hostile_kind { /* of file: how the process opens it */
    const char *name;
    sg_status (*open)(const char *path, sg_error *err);
} hostile_kind;

static sg_status open_tokenizer(const char *path, sg_error *err)
{
    sg_tokenizer *t;
    const sg_status st = sg_tokenizer_open(&t, path, err);

    sg_tokenizer_close(t);
    return st;
}

/* KiB, at most so far. Not ru_maxrss: that of a new program begins with what its parent had. */
static long resident(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[200];
    long kib = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

/* What the process that opens runs: the status, KiB taken, the message. */
static int open_here(const hostile_kind *kinds, size_t n, const char *kind, const char *path)
{
    sg_error err = {0};
    const long before = resident();

    for (size_t i = 0; i < n; i++)
        if (strcmp(kinds[i].name, kind) == 0) {
            const sg_status st = kinds[i].open(path, &err);

            return printf("%d %ld %s\n", (int)st, resident() - before, st ? err.message : "") < 0;
        }
    return 1;
}

typedef struct told {
    int st;
    long kib;
    char message[1100];
} told;

static told measure(const char *kind, const char *path)
{
    told t = {0};
    char line[1200] = "";
    int pipes[2], status;
    size_t n = 0;

    assert_int_equal(pipe(pipes), 0);
    fflush(stdout);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        execl("/proc/self/exe", "hostile", kind, path, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    for (ssize_t got = 1; got > 0 && n<sizeof line - 1; n += got> 0 ? (size_t)got : 0)
        got = read(pipes[0], line + n, sizeof line - 1 - n);
    close(pipes[0]);
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 ||
        sscanf(line, "%d %ld %1099[^\n]", &t.st, &t.kib, t.message) < 2)
        fail_msg("%s: ended with status %d", path, status);
    return t;
}

/* more: MiB beside the file, at most; refused: what the message says, NULL: it opens. */
static void check(const char *what, const char *kind, const char *name, const sg_buf *file, double more,
                  const char *refused)
{
    char path[300];
    sg_error err;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_false(file->failed);
    assert_int_equal(sg_file_write(path, file->data, file->size, &err), SG_OK);
    const double size = (double)file->size / MIB;
    const told t = measure(kind, path);
    const double took = (double)t.kib / 1024;
    printf("%-44s %7.1f MiB of file, %7.1f MiB taken: %s\n", what, size, took,
           t.st ? t.message + strlen(dir) + 1 : "opened");
    if (refused ? !t.st || !strstr(t.message, refused) : t.st != SG_OK)
        fail_msg("%s: expected %s, found '%s'", what, refused ? refused : "that it opens", t.message);
#ifndef SEDGE_SANITIZED
    if (took > size + more)
        fail_msg("%s: expected at most %.0f MiB beside a file of %.1f, found %.1f in all", what, more, size,
                 took);
#else
    (void)more;
#endif
    remove(path);
}

/* ---- making ----------------------------------------------------------------------------------------------------------------- */
static void repeat(sg_buf *b, const char *piece, size_t bytes)
{
    const size_t n = strlen(piece);

    for (size_t at = 0; at < bytes; at += n)
        sg_buf_add(b, piece, n);
}

static const char *const dense[] = {
    "{},",  "[],", "0,", "\"\",", "[0],", "{\"\":0},", "[[]],", "-1.5e9,", "\"abcdefghijklmnopqrstuvwxyz\",",
    "true,"};
enum { N_DENSE = sizeof dense / sizeof *dense };

/* Token i: a, b ... z, aa, ab ...; returns how many letters. */
static size_t spell(char text[8], int i)
{
    char back[8];
    size_t n = 0;

    for (int x = i + 1; x > 0; x = (x - 1) / 26)
        back[n++] = (char)('a' + (x - 1) % 26);
    for (size_t k = 0; k < n; k++)
        text[k] = back[n - 1 - k];
    text[n] = 0;
    return n;
}

#endif
