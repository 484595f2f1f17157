/* cmd_reproduce.c - sedge reproduce: a recipe from its raw files to its figures. */
#include "opt.h"
#include "progress.h"
#include "show.h"
#include "table.h"

#include <stdio.h>
#include <string.h>

static struct {
    const char *data, *out;
    bool fresh;
    sg_list set;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING('d', "data", &arg.data, "DIR",
                  "folder that the recipe's files lie in (default: the current one)"),
    SG_OPT_STRING('o', "out", &arg.out, "DIR", "work folder (default: out/NAME)"),
    SG_OPT_FLAG('f', "fresh", &arg.fresh, "every stage again, even where nothing has changed"),
    SG_OPT_SET(&arg.set, "options: stage.key=value, or key=value for training"),
    SG_OPT_END,
};

static bool passed; /* the figures are as good as expected */

static void print_stages(const json_t *result)
{
    static const char *const heading[] = {"stage", ">seconds", ""};
    const json_t *stage;
    size_t i;
    sg_table t;

    sg_table_init(&t, heading, 3);
    json_array_foreach(sg_member(result, "stages"), i, stage)
    {
        sg_table_add(&t, "%s", sg_text(stage, "name"));
        sg_table_add(&t, "%.1f", sg_number(stage, "seconds"));
        sg_table_add(&t, "%s", json_is_true(sg_member(stage, "skipped")) ? "from an earlier run" : "");
    }
    sg_table_add(&t, "all");
    sg_table_add(&t, "%.1f", sg_number(result, "seconds_all"));
    sg_table_end_row(&t);
    sg_table_print(&t);
}

static void print_expected(const json_t *expected)
{
    static const char *const heading[] = {"metric", "of", ">measured", "expected", ""};
    const json_t *row;
    size_t i;
    sg_table t;

    sg_table_init(&t, heading, 5);
    json_array_foreach(expected, i, row)
    {
        const json_t *figure = sg_member(row, "expected");
        const char *task = sg_text(row, "task"), *stage = sg_text(row, "stage");

        sg_table_add(&t, "%s", sg_text(row, "metric"));
        sg_table_add(&t, "%s",
                     task[0]                                           ? task
                     : stage[0]                                        ? "the IDs"
                     : strcmp(sg_text(row, "filter"), "filtered") == 0 ? "history filtered out"
                                                                       : "history kept");
        sg_table_add(&t, "%.4f", sg_number(row, "measured"));
        if (sg_member(figure, "least"))
            sg_table_add(&t, "at least %.4f", sg_number(figure, "least"));
        else if (sg_member(figure, "most"))
            sg_table_add(&t, "at most %.4f", sg_number(figure, "most"));
        else
            sg_table_add(&t, "%.4f within %.5f", sg_number(figure, "value"), sg_number(figure, "within"));
        sg_table_add(&t, "%s", json_is_true(sg_member(row, "pass")) ? "ok" : "MISSED");
    }
    sg_table_print(&t);
}

static void print(const json_t *result)
{
    print_stages(result);
    putchar('\n');
    sg_show_metrics(sg_text(result, "model"), sg_member(result, "metrics"), sg_member(result, "floors"),
                    sg_member(result, "oracle"));
    sg_show_ranking(sg_member(result, "ranking"));
    if (json_array_size(sg_member(result, "expected"))) {
        putchar('\n');
        print_expected(sg_member(result, "expected"));
    }
    printf("\n%s: %s; work folder %s\n", sg_text(result, "recipe"),
           json_is_true(sg_member(result, "pass")) ? "as expected" : "not as expected",
           sg_text(result, "folder"));
}

static int run(const sg_args *args)
{
    const sedge_reproduce_params p = {.size = sizeof p,
                                      .run = sg_progress_run(args),
                                      .recipe = args->words.item[0],
                                      .data = arg.data,
                                      .out = arg.out,
                                      .fresh = arg.fresh,
                                      .set = arg.set.item,
                                      .n_set = arg.set.n};
    char *json = NULL;
    sedge_error err;
    const int st = sedge_reproduce(&p, &json, &err);

    if (!st) {
        json_t *result = sg_result(json, NULL);

        passed = json_is_true(sg_member(result, "pass"));
        json_decref(result);
    }
    const int rc = sg_show(args, st, json, &err, print);

    if (st == SEDGE_ERR_CANCEL)
        fprintf(stderr, "the same command goes on from here\n");
    return rc ? rc : passed ? 0 : 1;
}

const sg_verb sg_verb_reproduce = {
    .name = "reproduce",
    .words = "RECIPE",
    .summary = "A recipe from its raw files to its figures, compared with the expected ones",
    .about = "Stages whose inputs and options have not changed are taken from the work folder. Exit code 1 "
             "when a figure is missed.",
    .examples =
        "  sedge reproduce recipes/shop/tiger.yaml\n"
        "  sedge reproduce recipes/beauty/tiger.yaml --data ../shared/data --set epochs=5 tokenize.codes=128",
    .least = 1,
    .most = 1,
    .options = options,
    .run = run,
};
