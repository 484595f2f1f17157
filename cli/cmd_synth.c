/* cmd_synth.c - sedge synth: a shop that never was. */
#include "opt.h"
#include "progress.h"
#include "show.h"

static struct {
    const char *out;
    sg_list set;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING('o', "out", &arg.out, "DATA", "dataset folder to make"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

static void print(const json_t *result)
{
    sg_show_members(result, "");
}

static int run(const sg_args *args)
{
    char *json = NULL;
    sedge_error err;
    int st;

    if (!arg.out)
        return sg_usage(args, "expected -o DATA, the dataset folder to make");
    const sedge_synth_params p = {.size = sizeof p,
                                  .run = sg_progress_run(args),
                                  .out = arg.out,
                                  .set = arg.set.item,
                                  .n_set = arg.set.n};

    st = sedge_synth(&p, &json, &err);
    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_synth = {
    .name = "synth",
    .words = "",
    .summary = "A synthetic shop with known structure, of any size",
    .about = "Items with titles, brands and categories drawn from latent clusters, users whose interests "
             "drift. What the generator knows\n"
             "is kept beside the data, so that `sedge eval` can print what an oracle would reach.",
    .examples = "  sedge synth -o shop\n  sedge synth --users 100000 --items 20000 -o large",
    .options = options,
    .library = "synth",
    .set = &arg.set,
    .run = run,
};
