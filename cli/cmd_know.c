/* cmd_know.c - sedge know: what a language model says about items or users, asked once and kept. */
#include "opt.h"
#include "progress.h"
#include "show.h"

static struct {
    const char *prompt, *llm, *cache, *out;
    bool dry;
    sg_list set;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING('p', "prompt", &arg.prompt, "FILE",
                  "template of the prompt: slots in braces, see docs/text.md"),
    SG_OPT_STRING('l', "llm", &arg.llm, "MODEL",
                  "folder or .gguf file of a chat model, or an endpoint's address"),
    SG_OPT_STRING('c', "cache", &arg.cache, "FILE",
                  "where answers are kept (SQLite); made when it is not there"),
    SG_OPT_STRING('o', "out", &arg.out, "FILE", "answers as JSON lines: id, prompt, answer"),
    SG_OPT_FLAG('n', "dry-run", &arg.dry,
                "says how many requests and tokens it would take, and asks nothing"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

static void print(const json_t *result)
{
    sg_show_members(result, "");
}

static int run(const sg_args *args)
{
    const sedge_know_params p = {.size = sizeof p,
                                 .run = sg_progress_run(args),
                                 .data = args->words.item[0],
                                 .prompt = arg.prompt,
                                 .llm = arg.llm,
                                 .cache = arg.cache,
                                 .out = arg.out,
                                 .dry = arg.dry,
                                 .set = arg.set.item,
                                 .n_set = arg.set.n};
    char *json = NULL;
    sedge_error err;
    const int st = sedge_know(&p, &json, &err);

    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_know = {
    .name = "know",
    .words = "DATA",
    .summary = "What a language model says about every item or user, asked once and kept",
    .about =
        "Every item (or with --of user every user) fills the slots of the template; the model's answers are "
        "kept in\n"
        "the cache by all that they depend on. A second run asks nothing, one that was killed goes on, and a "
        "changed\n"
        "item is asked about again. An endpoint's key comes from --key-file or $SEDGE_LLM_KEY, and stands "
        "nowhere\n"
        "else. What is told of a user ends before the events that are asked in validation and test (--held).",
    .examples = "  sedge know shop --prompt facts.txt --llm SmolLM2-135M-Instruct.gguf --cache know.db --out "
                "facts.jsonl\n"
                "  sedge know shop --prompt taste.txt --of user --llm http://127.0.0.1:8080/v1 --model qwen3 "
                "--cache know.db --dry-run\n"
                "  sedge embed shop --encoder all-MiniLM-L6-v2 --texts facts.jsonl --columns title",
    .least = 1,
    .most = 1,
    .options = options,
    .library = "know",
    .set = &arg.set,
    .run = run,
};
