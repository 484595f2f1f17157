/* cmd_report.c - sedge report: a model folder as one page to look at. */
#include "opt.h"
#include "progress.h"
#include "show.h"

#include <stdio.h>

static struct {
    const char *out, *data;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING('o', "out", &arg.out, "FILE", "HTML file to write (default: DIR/report.html)"),
    SG_OPT_STRING('d', "data", &arg.data, "DATA", "dataset (default: the one the model learned from)"),
    SG_OPT_END,
};

static void print(const json_t *result)
{
    printf("%s\n", sg_text(result, "path"));
}

static int run(const sg_args *args)
{
    const char *dir = args->words.item[0];
    const sedge_report_params p = {.size = sizeof p,
                                   .run = sg_progress_run(args),
                                   .model = dir,
                                   .data = arg.data,
                                   .out = arg.out ? arg.out : sg_pool_printf("%s/report.html", dir)};
    char *json = NULL;
    sedge_error err;
    const int st = sedge_report(&p, &json, &err);

    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_report = {
    .name = "report",
    .words = "DIR",
    .summary =
        "A model folder as one HTML page: curves, metrics beside the floors, codebook, ID tree, examples",
    .about = "The page needs nothing but itself. Metrics are those of DIR/eval.json; without that file the "
             "model is evaluated first.",
    .examples = "  sedge report run -o report.html",
    .least = 1,
    .most = 1,
    .options = options,
    .run = run,
};
