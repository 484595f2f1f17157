/* cmd_tokenize.c - sedge tokenize: item vectors to semantic IDs, with what the codebook doctor says. */
#include "ids.h"
#include "opt.h"
#include "progress.h"
#include "show.h"

static struct {
    const char *ids;
    int key_base;
    sg_list set;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING(0, "ids", &arg.ids, "FILE",
                  "instead of fitting: published IDs, {\"item\": [\"<a_1>\", \"<b_2>\", ...]}"),
    SG_OPT_INT(0, "key-base", &arg.key_base, "N", "with --ids: item id = key + N (default 0)"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

static int run(const sg_args *args)
{
    const sedge_tokenize_params p = {.size = sizeof p,
                                     .run = sg_progress_run(args),
                                     .data = args->words.item[0],
                                     .ids = arg.ids,
                                     .ids_key_base = arg.key_base,
                                     .set = arg.set.item,
                                     .n_set = arg.set.n};
    char *json = NULL;
    sedge_error err;
    const int st = sedge_tokenize(&p, &json, &err);

    return sg_show(args, st, json, &err, sg_show_codebook);
}

const sg_verb sg_verb_tokenize = {
    .name = "tokenize",
    .words = "DATA",
    .summary = "Item vectors to semantic IDs, with a codebook report",
    .about = "Every item gets a tuple of codes, unique through a last digit that tells collisions apart. The "
             "IDs lie in\n"
             "DATA/ids.safetensors; `sedge inspect ids DATA` says what each prefix holds.",
    .examples = "  sedge tokenize shop --method rkmeans\n  sedge tokenize shop --method rqvae --epochs 300 "
                "--codes 128",
    .least = 1,
    .most = 1,
    .options = options,
    .library = "tokenize",
    .set = &arg.set,
    .run = run,
};
