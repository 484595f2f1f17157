/* cmd_serve.c - sedge serve: a model folder behind HTTP, until a signal. */
#include "opt.h"
#include "progress.h"
#include "show.h"

#include <stdio.h>

static struct {
    const char *data, *store, *encoder, *key_file;
    bool insecure;
    sg_list set, also;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING('d', "data", &arg.data, "DATA",
                  "dataset of users and titles (default: the one the model learned from)"),
    SG_OPT_LIST('a', "also", &arg.also, "NAME=DIR",
                "serve this model, too, to requests with \"model\": NAME; may be repeated"),
    SG_OPT_STRING(0, "store", &arg.store, "STORE",
                  "keep events of users and added items in this SQLite file, or in "
                  "postgresql://USER@HOST/DATABASE (default: none are taken)"),
    SG_OPT_STRING(0, "encoder", &arg.encoder, "DIR",
                  "language model for texts, and for items whose vectors are its (default: the model "
                  "folder's own encoder)"),
    SG_OPT_STRING(0, "key-file", &arg.key_file, "FILE",
                  "file of mode 0600 with lines 'use KEY' or 'admin KEY'"),
    SG_OPT_FLAG(0, "insecure", &arg.insecure, "without keys, also where others can reach the server"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

static void print_line(void *user, const char *line)
{
    fprintf(user, "%s\n", line);
    fflush(user);
}

static int run(const sg_args *args)
{
    sedge_run how = *sg_progress_run(args);
    sedge_error err;

    how.threads = args->common.threads;
    how.progress = sg_progress_until_signal; /* the log says what there is to say */
    const sedge_serve_params p = {.size = sizeof p,
                                  .run = &how,
                                  .model = args->words.item[0],
                                  .data = arg.data,
                                  .store = arg.store,
                                  .encoder = arg.encoder,
                                  .key_file = arg.key_file,
                                  .insecure = arg.insecure,
                                  .log = args->common.quiet ? NULL : print_line,
                                  .log_user = stderr,
                                  .set = arg.set.item,
                                  .n_set = arg.set.n,
                                  .also = arg.also.item,
                                  .n_also = arg.also.n};
    const int st = sedge_serve(&p, &err);

    if (st)
        fprintf(stderr, "sedge serve: %s\n", err.message);
    return sg_exit_code(st);
}

const sg_verb sg_verb_serve = {
    .name = "serve",
    .words = "DIR",
    .summary = "A model folder behind HTTP: recommendations, events of users, metrics",
    .about = "Answers at http://ADDRESS:PORT until SIGTERM or Ctrl-C, then finishes what is under way and "
             "exits with 0. The log on stderr\n"
             "is one JSON object a line. GET /openapi.json lists what can be asked; docs/serving.md and "
             "docs/operating.md tell the rest.",
    .examples = "  sedge serve run --store users.db\n"
                "  curl -s localhost:8080/v1/recommend -d '{\"history\": [\"i3\", \"i14\"], \"k\": 5}'\n"
                "  sedge serve run --address 0.0.0.0 --key-file keys --store postgresql://sedge@db/shop",
    .least = 1,
    .most = 1,
    .options = options,
    .library = "serve",
    .set = &arg.set,
    .run = run,
};
