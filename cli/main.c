/* main.c - sedge VERB: finds the verb, reads its options, runs it. */
#include "opt.h"

#include "sedge/sedge.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

extern const sg_verb sg_verb_import, sg_verb_synth, sg_verb_stats, sg_verb_embed, sg_verb_tokenize,
    sg_verb_train, sg_verb_eval, sg_verb_recommend, sg_verb_reproduce, sg_verb_models, sg_verb_inspect,
    sg_verb_report, sg_verb_compare, sg_verb_serve, sg_verb_lm, sg_verb_know, sg_verb_bench, sg_verb_help;

const sg_verb *const sg_verbs[] = {
    &sg_verb_import,
    &sg_verb_synth,
    &sg_verb_stats,
    &sg_verb_embed,
    &sg_verb_tokenize,
    &sg_verb_train,
    &sg_verb_eval,
    &sg_verb_recommend,
    &sg_verb_serve,
    &sg_verb_report,
    &sg_verb_reproduce,
    &sg_verb_models,
    &sg_verb_inspect,
    &sg_verb_compare,
    &sg_verb_lm,
    &sg_verb_know,
    &sg_verb_bench,
    &sg_verb_help,
    NULL,
};

static const sg_verb *find_verb(const char *name)
{
    for (const sg_verb *const *v = sg_verbs; *v; v++)
        if (strcmp((*v)->name, name) == 0)
            return *v;
    return NULL;
}

static int unknown_verb(const sg_args *args, const char *name)
{
    const char *known[32], *near;
    size_t n = 0;

    for (const sg_verb *const *v = sg_verbs; *v; v++)
        known[n++] = (*v)->name;
    near = sedge_nearest(name, known, n);
    if (near)
        return sg_usage(args, "unknown verb '%s' (did you mean '%s'?)", name, near);
    return sg_usage(args, "unknown verb '%s'", name);
}

static int run(sg_args *args)
{
    const char *first = args->argc > 1 ? args->argv[1] : NULL;
    int rc;

    if (!first)
        return sg_usage(args, "expected a verb");
    if (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0) {
        printf("sedge %s\n", sedge_version());
        return 0;
    }
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        sg_help_main();
        return 0;
    }
    if (first[0] == '-')
        return sg_usage(args, "expected a verb, found '%s'", first);
    if (!(args->verb = find_verb(first)))
        return unknown_verb(args, first);
    if ((rc = sg_opt_parse(args, args->argc - 2, args->argv + 2)))
        return rc;
    if (args->common.help) {
        sg_help_verb(args->verb);
        return 0;
    }
    return args->verb->run(args);
}

int main(int argc, char **argv)
{
    sg_args args = {.argc = argc, .argv = argv};
    int rc;

    setlocale(LC_CTYPE, "");
    rc = run(&args);
    sg_opt_free(&args);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "sedge: cannot write to standard output: %s\n", strerror(errno));
        return 1;
    }
    return rc;
}
