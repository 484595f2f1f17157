/* cmd_embed.c - sedge embed: item text to vectors. */
#include "opt.h"
#include "progress.h"
#include "show.h"

static struct {
    const char *encoder, *vectors, *tensor, *ids, *cache, *texts;
    sg_list set;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING(
        'e', "encoder", &arg.encoder, "NAME",
        "lsa: tf-idf over word and character n-grams, randomised SVD (default); or the folder of a model, an "
        "endpoint's address, or another dataset, whose encoder is used again"),
    SG_OPT_STRING(0, "vectors", &arg.vectors, "FILE",
                  "instead of encoding: vectors from a .npy or .safetensors file"),
    SG_OPT_STRING(0, "tensor", &arg.tensor, "NAME",
                  "which tensor of the .safetensors file (default: the first that fits)"),
    SG_OPT_STRING(0, "ids", &arg.ids, "FILE", "item ids, one a line, that say which row is which"),
    SG_OPT_STRING(0, "cache", &arg.cache, "FILE",
                  "models: keeps vectors by the text they were made from, for the next time"),
    SG_OPT_STRING(0, "texts", &arg.texts, "FILE",
                  "models: texts of items, {\"id\", \"answer\"} a line, behind the columns that are named"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

static void print(const json_t *result)
{
    sg_show_members(result, "");
}

static int run(const sg_args *args)
{
    const sedge_embed_params p = {.size = sizeof p,
                                  .run = sg_progress_run(args),
                                  .data = args->words.item[0],
                                  .encoder = arg.encoder,
                                  .vectors = arg.vectors,
                                  .tensor = arg.tensor,
                                  .ids = arg.ids,
                                  .set = arg.set.item,
                                  .n_set = arg.set.n,
                                  .cache = arg.cache,
                                  .texts = arg.texts};
    char *json = NULL;
    sedge_error err;
    const int st = sedge_embed(&p, &json, &err);

    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_embed = {
    .name = "embed",
    .words = "DATA",
    .summary = "Item text to vectors, or vectors made elsewhere",
    .about =
        "The vectors lie in DATA/vectors.safetensors. The built-in encoder needs no download. A model is a\n"
        "Hugging Face or sentence-transformers folder of the BERT family (MiniLM, E5, BGE): config.json,\n"
        "model.safetensors, tokenizer.json. An endpoint (http://HOST/v1) speaks OpenAI's dialect; its key "
        "comes from\n"
        "--key-file or $SEDGE_LLM_KEY. With --cache only texts that are not in the file are encoded.",
    .examples = "  sedge embed shop --encoder lsa\n  sedge embed shop --encoder all-MiniLM-L6-v2 --columns "
                "title --cache vectors.db\n"
                "  sedge embed shop --vectors t5.npy --ids items.txt",
    .least = 1,
    .most = 1,
    .options = options,
    .library = "embed",
    .set = &arg.set,
    .run = run,
};
