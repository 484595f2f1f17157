/* cmd_lm.c - sedge lm: a language model by itself. */
#include "opt.h"
#include "progress.h"
#include "show.h"

#include <stdio.h>
#include <string.h>

static struct {
    const char *prompt, *system, *text, *file, *out, *choices, *schema;
    bool chat;
    sg_list set, fm;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING('p', "prompt", &arg.prompt, "TEXT",
                  "generate: what to continue; score: what stands before every text"),
    SG_OPT_FLAG('c', "chat", &arg.chat,
                "the prompt is a user's turn, in the form that the model was trained on"),
    SG_OPT_STRING(0, "system", &arg.system, "TEXT", "chat: the system's turn (default: the template's own)"),
    SG_OPT_STRING(0, "text", &arg.text, "TEXT", "score, embed: one text"),
    SG_OPT_STRING('f', "file", &arg.file, "FILE",
                  "score, embed: a text a line; generate: prompts, {\"prompt\": ...} a line"),
    SG_OPT_STRING(0, "choices", &arg.choices, "FILE", "generate: the answer is one of the lines of this file"),
    SG_OPT_STRING(0, "schema", &arg.schema, "FILE", "generate: the answer is JSON that fits this JSON schema"),
    SG_OPT_LIST(0, "fm", &arg.fm, "FILE", "generate: the answer is a part of a line of these files"),
    SG_OPT_STRING('o', "out", &arg.out, "FILE", "embed: .safetensors file to write"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

/* One text as it is; of many, or beams, a JSON object a line. */
static void print_text(const json_t *result)
{
    const json_t *list = sg_member(result, "list") ? sg_member(result, "list") : sg_member(result, "beams");
    const json_t *one;
    size_t i;

    if (!list)
        puts(sg_text(result, "text"));
    json_array_foreach(list, i, one) {
        json_dumpf(one, stdout, JSON_COMPACT);
        putchar('\n');
    }
}

static void print(const json_t *result)
{
    sg_show_members(result, "");
}

static int run(const sg_args *args)
{
    static const struct {
        const char *name;
        int (*call)(const sedge_lm_params *, char **, sedge_error *);
        sg_print *print;
    } tasks[] = {{"generate", sedge_lm_generate, print_text},
                 {"score", sedge_lm_score, print},
                 {"embed", sedge_lm_embed, print}};
    const sedge_lm_params p = {.size = sizeof p,
                               .run = sg_progress_run(args),
                               .model = args->words.item[1],
                               .prompt = arg.prompt,
                               .system = arg.system,
                               .chat = arg.chat,
                               .text = arg.text,
                               .file = arg.file,
                               .out = arg.out,
                               .choices = arg.choices,
                               .schema = arg.schema,
                               .fm = arg.fm.item,
                               .n_fm = arg.fm.n,
                               .set = arg.set.item,
                               .n_set = arg.set.n};
    char *json = NULL;
    sedge_error err;

    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(args->words.item[0], tasks[i].name) == 0) {
            const int st = tasks[i].call(&p, &json, &err);

            return sg_show(args, st, json, &err, tasks[i].print);
        }
    return sg_usage(args, "expected generate, score or embed, found '%s'", args->words.item[0]);
}

const sg_verb sg_verb_lm = {
    .name = "lm",
    .words = "generate|score|embed MODEL",
    .summary = "A language model by itself: text from a prompt, how likely texts are, vectors of texts",
    .about = "A model is a Hugging Face folder or a .gguf file: decoders of the Llama family (Llama, "
             "SmolLM2, Qwen2,\n"
             "Qwen3), and for embed encoders of the BERT family, too. Weights of a .gguf file stay in their "
             "few bits.",
    .examples =
        "  sedge lm generate SmolLM2-135M-Instruct.gguf --chat --prompt 'What is a semantic ID?' --length "
        "64\n"
        "  sedge lm generate SmolLM2-135M-Instruct.gguf --chat --file prompts.jsonl --schema rating.json\n"
        "  sedge lm generate SmolLM2-135M-Instruct.gguf --prompt 'A film like Alien:' --choices titles.txt --beam 5\n"
        "  sedge lm score SmolLM2-135M-Instruct.gguf --prompt 'The capital of France is' --text ' Paris'\n"
        "  sedge lm embed all-MiniLM-L6-v2 --file texts.txt --out vectors.safetensors",
    .least = 2,
    .most = 2,
    .options = options,
    .library = "lm",
    .set = &arg.set,
    .run = run,
};
