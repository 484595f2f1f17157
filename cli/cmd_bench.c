/* cmd_bench.c - sedge bench: what a running server bears. */
#include "opt.h"
#include "progress.h"
#include "show.h"

#include <stdio.h>
#include <string.h>

static struct {
    const char *data, *bodies, *key_file, *csv, *svg;
    sg_list set;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING('d', "data", &arg.data, "DATA", "dataset whose users are asked for"),
    SG_OPT_STRING(0, "bodies", &arg.bodies, "FILE", "or: what is sent, a body a line"),
    SG_OPT_STRING(0, "key-file", &arg.key_file, "FILE", "the server's; its first key is sent"),
    SG_OPT_STRING(0, "csv", &arg.csv, "FILE", "write the histogram of the times as a table"),
    SG_OPT_STRING(0, "svg", &arg.svg, "FILE", "write it as a picture"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

static void print(const json_t *result)
{
    sg_show_members(result, "");
}

static int run(const sg_args *args)
{
    const char *what = args->words.item[0], *const known[] = {"serve"};

    if (strcmp(what, known[0]) != 0)
        return sg_usage(args,
                        sedge_nearest(what, known, 1) ? "unknown bench '%s' (did you mean 'serve'?)"
                                                      : "unknown bench '%s'",
                        what);
    const sedge_bench_params p = {.size = sizeof p,
                                  .run = sg_progress_run(args),
                                  .url = args->words.n > 1 ? args->words.item[1] : "http://127.0.0.1:8080",
                                  .data = arg.data,
                                  .bodies = arg.bodies,
                                  .key_file = arg.key_file,
                                  .csv = arg.csv,
                                  .svg = arg.svg,
                                  .set = arg.set.item,
                                  .n_set = arg.set.n};
    char *json = NULL;
    sedge_error err;
    const int st = sedge_bench(&p, &json, &err);

    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_bench = {
    .name = "bench",
    .words = "serve [URL]",
    .summary = "Load on a running server: requests when they are due, times from when they were due",
    .about = "Requests are sent at their times whether or not earlier ones are answered, so a server that "
             "stands still is charged for "
             "every request of\nthat while. Users are drawn by Zipf's law. Times are those of answers 200 to "
             "299; 'sent_late' is from due "
             "to sent, and tells whether\nthe load came from this side as it should. URL is "
             "http://127.0.0.1:8080 when it is left out.",
    .examples =
        "  sedge bench serve --data shop --rate 200 --seconds 30 --svg times.svg\n"
        "  sedge bench serve http://10.0.0.7:8080 --bodies bodies.jsonl --rate 2000 --arrivals fixed --json",
    .least = 1,
    .most = 2,
    .options = options,
    .library = "bench",
    .set = &arg.set,
    .run = run,
};
