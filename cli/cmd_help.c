/* cmd_help.c - sedge help: the same texts as --help, and for packagers the man page and the completion. */
#include "opt.h"

#include "sedge/sedge.h"

#include <stdio.h>
#include <string.h>

static struct {
    bool man;
    const char *completion;
} arg;

static const sg_opt options[] = {
    SG_OPT_FLAG(0, "man", &arg.man, "print the man page"),
    SG_OPT_STRING(0, "completion", &arg.completion, "SHELL", "print the completion of this shell (bash)"),
    SG_OPT_END,
};

static int run(const sg_args *args)
{
    if (arg.man)
        return sg_help_man();
    if (arg.completion)
        return sg_help_completion(arg.completion);
    if (args->words.n == 0) {
        sg_help_main();
        return 0;
    }
    for (const sg_verb *const *v = sg_verbs; *v; v++)
        if (strcmp((*v)->name, args->words.item[0]) == 0) {
            sg_help_verb(*v);
            return 0;
        }
    return sg_usage(args, "unknown verb '%s'", args->words.item[0]);
}

const sg_verb sg_verb_help = {
    .name = "help",
    .words = "[VERB]",
    .summary = "This list, or all about one verb",
    .most = 1,
    .options = options,
    .run = run,
};
