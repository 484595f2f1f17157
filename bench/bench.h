/* bench.h - one CSV line a case: commit, machine, threads, case, least, median, unit. */
#ifndef BENCH_H
#define BENCH_H

#include "base/progress.h"
#include "math/math.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void bench_header(void)
{
    printf("commit,machine,threads,case,min,median,unit\n");
}

static inline const char *bench_commit(void)
{
    static char text[64];
    FILE *p = text[0] ? NULL : popen("git -C '" BENCH_SOURCE_DIR "' rev-parse --short HEAD 2>/dev/null", "r");

    if (p) {
        if (!fgets(text, sizeof text, p))
            snprintf(text, sizeof text, "unknown");
        pclose(p);
        text[strcspn(text, "\n")] = 0;
    }
    return text;
}

static inline int bench_ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* value (n) is sorted in place. */
static inline void bench_row(int threads, const char *name, double *value, int n, const char *unit)
{
    qsort(value, (size_t)n, sizeof *value, bench_ascending);
    printf("%s,%s,%d,%s,%.6g,%.6g,%s\n", bench_commit(), sg_cpu_name(), threads, name, value[0], value[n / 2],
           unit);
    fflush(stdout);
}

static inline void bench_value(const char *name, double value, const char *unit)
{
    bench_row(1, name, &value, 1, unit);
}

#endif
