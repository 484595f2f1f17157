/* cmd_compare.c - sedge compare: are two runs different, or was it the draw of users? */
#include "opt.h"
#include "progress.h"
#include "show.h"

static struct {
    sg_list set;
} arg;

static const sg_opt options[] = {
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

static void print(const json_t *result)
{
    sg_show_members(result, "");
}

static int run(const sg_args *args)
{
    const sedge_compare_params p = {.size = sizeof p,
                                    .run = sg_progress_run(args),
                                    .a = args->words.item[0],
                                    .b = args->words.item[1],
                                    .set = arg.set.item,
                                    .n_set = arg.set.n};
    char *json = NULL;
    sedge_error err;
    const int st = sedge_compare(&p, &json, &err);

    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_compare = {
    .name = "compare",
    .words = "RANKS RANKS",
    .summary = "Paired test between two runs on the same cases",
    .about = "RANKS are files that `sedge eval --per-user FILE` wrote: mean difference, bootstrap interval, "
             "two-sided p.",
    .examples = "  sedge eval a shop --per-user a.ranks && sedge eval b shop --per-user b.ranks && sedge "
                "compare a.ranks b.ranks",
    .least = 2,
    .most = 2,
    .options = options,
    .library = "compare",
    .set = &arg.set,
    .run = run,
};
