/* cmd_train.c - sedge train: any model on any dataset. */
#include "opt.h"
#include "progress.h"
#include "show.h"

#include <stdio.h>
#include <string.h>

static struct {
    const char *out, *recipe;
    bool resume;
    sg_list set;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING('o', "out", &arg.out, "DIR", "folder of the model"),
    SG_OPT_STRING('r', "recipe", &arg.recipe, "FILE", "YAML recipe whose training options come first"),
    SG_OPT_FLAG(0, "resume", &arg.resume, "go on from the checkpoint in DIR, when there is one"),
    SG_OPT_SET(&arg.set, "options of the model or of training; `sedge models MODEL` lists the model's"),
    SG_OPT_END,
};

static void print(const json_t *result)
{
    sg_show_members(result, "");
}

/* The words of the command again, quoted where a shell needs it. */
static void print_command(const sg_args *args)
{
    for (int i = 0; i < args->argc; i++) {
        const char *word = args->argv[i];
        const bool plain = word[0] && !word[strcspn(word, " \t\n'\"\\$&|;<>()*?[]#~`!{}")];

        if (plain) {
            fprintf(stderr, "%s%s", i ? " " : "", word);
            continue;
        }
        fprintf(stderr, "%s'", i ? " " : "");
        for (const char *c = word; *c; c++)
            fputs(*c == '\'' ? "'\\''" : (const char[]){*c, 0}, stderr);
        fputc('\'', stderr);
    }
}

static int run(const sg_args *args)
{
    char *json = NULL;
    sedge_error err;
    int st, rc;

    if (!arg.out)
        return sg_usage(args, "expected -o DIR, the folder of the model");
    const sedge_train_params p = {.size = sizeof p,
                                  .run = sg_progress_run(args),
                                  .model = args->words.item[0],
                                  .data = args->words.item[1],
                                  .out = arg.out,
                                  .recipe = arg.recipe,
                                  .resume = arg.resume,
                                  .set = arg.set.item,
                                  .n_set = arg.set.n};

    st = sedge_train(&p, &json, &err);
    rc = sg_show(args, st, json, &err, print);
    if (st == SEDGE_ERR_CANCEL) {
        fputs("go on with: ", stderr);
        print_command(args);
        fputs(arg.resume ? "\n" : " --resume\n", stderr);
    }
    return rc;
}

const sg_verb sg_verb_train = {
    .name = "train",
    .words = "MODEL DATA",
    .summary = "Any model: best on validation, checkpoints, bit-exact resume",
    .about = "The best model on validation ends up in DIR, with training.jsonl beside it. Ctrl-C stops after "
             "the step at hand and leaves a\n"
             "checkpoint; --resume goes on with the same bytes as a run that was never stopped.",
    .examples = "  sedge train tiger shop -o run\n"
                "  sedge train sasrec shop -o run --recipe recipes/beauty/sasrec.yaml --set dim=128 "
                "lr=0.0005 --seed 2",
    .least = 2,
    .most = 2,
    .options = options,
    .library = "train",
    .set = &arg.set,
    .run = run,
};
