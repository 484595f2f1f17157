/* cmd_import.c - sedge import: files of the world into a dataset folder. */
#include "opt.h"
#include "progress.h"
#include "show.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    const char *out;
    sg_list item_text, user_series, set;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING('o', "out", &arg.out, "DATA", "dataset folder to make"),
    SG_OPT_LIST('i', "item-text", &arg.item_text, "FILE",
                "files about the items: titles, categories, brands"),
    SG_OPT_LIST('u', "user-series", &arg.user_series, "FILE",
                "files about the users: attributes, and what changes slowly, with times"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

/* Events come from files; a folder stands for them only where it is all there is. */
static bool is_file_to_import(const char *path, size_t n_words)
{
    struct stat s;

    return stat(path, &s) == 0 && (!S_ISDIR(s.st_mode) || n_words == 1);
}

/* The first word is a format when it is the name of one and no file of that name is there. */
static const char *leading_format(const sg_args *args)
{
    static const char *const formats[] = {"auto", "s3rec", "recbole", "movielens",      "amazon",
                                          "csv",  "tsv",   "jsonl",   "sequences-json", "beir"};

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i], args->words.item[0]) == 0 && !is_file_to_import(formats[i], args->words.n))
            return formats[i];
    return NULL;
}

static void print(const json_t *result)
{
    sg_show_members(result, "");
}

static int run(const sg_args *args)
{
    const char *format = leading_format(args);
    const size_t skip = format != NULL;
    char *json = NULL;
    sedge_error err;
    int st;

    if (!arg.out)
        return sg_usage(args, "expected -o DATA, the dataset folder to make");
    if (args->words.n == skip)
        return sg_usage(args, "expected a file after the format '%s'", format);
    if (format)
        sg_list_add(&arg.set, sg_pool_printf("format=%s", format));
    const sedge_import_params p = {.size = sizeof p,
                                   .run = sg_progress_run(args),
                                   .files = args->words.item + skip,
                                   .n_files = args->words.n - skip,
                                   .item_text = arg.item_text.item,
                                   .n_item_text = arg.item_text.n,
                                   .user_series = arg.user_series.item,
                                   .n_user_series = arg.user_series.n,
                                   .out = arg.out,
                                   .set = arg.set.item,
                                   .n_set = arg.set.n};

    st = sedge_import(&p, &json, &err);
    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_import = {
    .name = "import",
    .words = "[FORMAT] FILE...",
    .summary = "Interaction logs and item texts into a dataset folder",
    .about = "FORMAT is s3rec, recbole, movielens, amazon, csv, tsv, jsonl, sequences-json or beir (FILE is "
             "then a folder: documents, queries\n"
             "and judgements of retrieval); without it the content decides. Files may be gzip or zstd. "
             "Events are sorted by user and time, stably; every event that is dropped is counted.",
    .examples = "  sedge import s3rec Beauty.txt.zst --item-text Beauty.items.tsv.zst -o beauty\n"
                "  sedge import clicks.csv.gz --user customer --item sku --time ts --core-user 5 --core-item "
                "5 -o shop\n"
                "  sedge import beir scifact/ -o scifact.data",
    .least = 1,
    .most = 10000,
    .options = options,
    .library = "import",
    .set = &arg.set,
    .run = run,
};
