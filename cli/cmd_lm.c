/* cmd_lm.c - sedge lm: a language model by itself. */
#include "opt.h"
#include "progress.h"
#include "show.h"

#include <stdio.h>
#include <string.h>

static struct {
    const char *prompt, *system, *text, *file, *out, *choices, *schema, *adapter, *what, *by, *split, *cache;
    bool chat, resume;
    sg_list set, fm, deny;
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
    SG_OPT_STRING(0, "choices", &arg.choices, "FILE",
                  "generate: the answer is one of the lines of this file"),
    SG_OPT_STRING(0, "schema", &arg.schema, "FILE",
                  "generate: the answer is JSON that fits this JSON schema"),
    SG_OPT_LIST(0, "fm", &arg.fm, "FILE", "generate: the answer is a part of a line of these files"),
    SG_OPT_STRING('o', "out", &arg.out, "PATH",
                  "embed: .safetensors file to write; tune: folder; merge: folder or .gguf file; lessons: "
                  ".jsonl file; retrieve: TREC run"),
    SG_OPT_STRING(0, "for", &arg.what, "WHAT",
                  "lessons: titles, ngrams (both: from queries) or queries (from documents)"),
    SG_OPT_STRING(0, "by", &arg.by, "HOW", "retrieve: title or substring (default substring)"),
    SG_OPT_LIST(0, "deny", &arg.deny, "ID", "retrieve: documents that are never listed"),
    SG_OPT_STRING(0, "split", &arg.split, "NAME",
                  "train, dev or test (default: lessons train, retrieve test)"),
    SG_OPT_STRING('a', "adapter", &arg.adapter, "DIR",
                  "generate, score, embed, merge, retrieve: an adapter (PEFT's files) beside the model"),
    SG_OPT_STRING(0, "cache", &arg.cache, "FILE",
                  "generate, score, embed: where answers are kept (SQLite); made when it is not there"),
    SG_OPT_FLAG(0, "resume", &arg.resume, "tune: go on from the checkpoint in the folder, when there is one"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

/* One text as it is; of many, or beams, a JSON object a line. */
static void print_text(const json_t *result)
{
    const json_t *list = sg_member(result, "list") ? sg_member(result, "list") : sg_member(result, "beams");
    const json_t *one;
    size_t i;

    if (!list) {
        const json_t *text = sg_member(result, "text");

        fwrite(sg_text(result, "text"), 1, json_string_length(text), stdout); /* it may hold zeros */
        putchar('\n');
    }
    json_array_foreach(list, i, one)
    {
        json_dumpf(one, stdout, JSON_COMPACT);
        putchar('\n');
    }
}

static void print(const json_t *result)
{
    sg_show_members(result, "");
}

/* tune and merge. */
static int run_learning(const sg_args *args, bool tune)
{
    const int words = args->words.n;
    char *json = NULL;
    sedge_error err;

    if (words != (tune ? 3 : 2))
        return sg_usage(args, tune ? "expected tune MODEL DATA" : "expected merge MODEL");
    if (!arg.out)
        return sg_usage(args, "expected -o PATH, what to write");
    if (arg.chat)
        sg_list_add(&arg.set,
                    "chat=true"); /* of tune an option like the others; merge has none and says so */
    const sedge_tune_params p = {.size = sizeof p,
                                 .run = sg_progress_run(args),
                                 .model = args->words.item[1],
                                 .data = tune ? args->words.item[2] : NULL,
                                 .adapter = arg.adapter,
                                 .out = arg.out,
                                 .resume = arg.resume,
                                 .set = arg.set.item,
                                 .n_set = arg.set.n};
    const int st = tune ? sedge_lm_tune(&p, &json, &err) : sedge_lm_merge(&p, &json, &err);
    const int rc = sg_show(args, st, json, &err, print);

    if (st == SEDGE_ERR_CANCEL && tune)
        fprintf(stderr, "go on with the same command%s\n", arg.resume ? "" : " and --resume");
    return rc;
}

static int run_lessons(const sg_args *args)
{
    char *json = NULL;
    sedge_error err;

    if (args->words.n != 2)
        return sg_usage(args, "expected lessons DATA");
    if (!arg.what)
        return sg_usage(args, "expected --for titles, ngrams or queries");
    if (!arg.out)
        return sg_usage(args, "expected -o PATH, what to write");
    const sedge_lessons_params p = {.size = sizeof p,
                                    .run = sg_progress_run(args),
                                    .data = args->words.item[1],
                                    .what = arg.what,
                                    .split = arg.split,
                                    .out = arg.out,
                                    .set = arg.set.item,
                                    .n_set = arg.set.n};
    const int st = sedge_lm_lessons(&p, &json, &err);

    return sg_show(args, st, json, &err, print);
}

static int run_retrieve(const sg_args *args)
{
    char *json = NULL;
    sedge_error err;

    if (args->words.n != 3)
        return sg_usage(args, "expected retrieve MODEL DATA");
    const sedge_retrieve_params p = {.size = sizeof p,
                                     .run = sg_progress_run(args),
                                     .model = args->words.item[1],
                                     .adapter = arg.adapter,
                                     .data = args->words.item[2],
                                     .by = arg.by,
                                     .split = arg.split,
                                     .out = arg.out,
                                     .set = arg.set.item,
                                     .n_set = arg.set.n,
                                     .deny = arg.deny.item,
                                     .n_deny = arg.deny.n};
    const int st = sedge_lm_retrieve(&p, &json, &err);

    return sg_show(args, st, json, &err, print);
}

/* An option that a task does not have would do nothing: it is refused. */
static int check_options(const sg_args *args, const char *task)
{
    const struct {
        const char *name;
        bool given;
        const char *tasks;
    } known[] = {
        {"prompt", arg.prompt != NULL, "generate, score"},
        {"chat", arg.chat, "generate, score, tune"},
        {"system", arg.system != NULL, "generate, score"},
        {"text", arg.text != NULL, "score, embed"},
        {"file", arg.file != NULL, "generate, score, embed"},
        {"choices", arg.choices != NULL, "generate"},
        {"schema", arg.schema != NULL, "generate"},
        {"fm", arg.fm.n > 0, "generate"},
        {"out", arg.out != NULL, "embed, tune, merge, lessons, retrieve"},
        {"for", arg.what != NULL, "lessons"},
        {"by", arg.by != NULL, "retrieve"},
        {"split", arg.split != NULL, "lessons, retrieve"},
        {"adapter", arg.adapter != NULL, "generate, score, embed, merge, retrieve"},
        {"cache", arg.cache != NULL, "generate, score, embed"},
        {"resume", arg.resume, "tune"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].given && !strstr(known[i].tasks, task)) /* no task's name is part of another's */
            return sg_usage(args, "%s has no option --%s, which is one of %s", task, known[i].name,
                            known[i].tasks);
    return 0;
}

/* What got no answer is said, and no success. */
static int show(const sg_args *args, int status, char *json, const sedge_error *err, sg_print *how)
{
    json_t *result = status ? NULL : sg_result(json, NULL);
    const json_t *one;
    const int code = sg_show(args, status, json, err, how);
    const bool lost = sg_member(result, "failures") != NULL;
    size_t i;

    json_array_foreach(sg_member(result, "list"), i, one) if (*sg_text(one, "error"))
        fprintf(stderr, "sedge lm: %s\n", sg_text(one, "error"));
    json_decref(result);
    return lost ? 1 : code;
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
                               .n_set = arg.set.n,
                               .adapter = arg.adapter,
                               .cache = arg.cache};
    static const char *const names[] = {"generate", "score", "embed", "tune", "merge", "lessons", "retrieve"};
    char *json = NULL;
    sedge_error err;
    int bad = 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(args->words.item[0], names[i]) == 0 && (bad = check_options(args, names[i])))
            return bad;
    if (strcmp(args->words.item[0], "tune") == 0 || strcmp(args->words.item[0], "merge") == 0)
        return run_learning(args, args->words.item[0][0] == 't');
    if (strcmp(args->words.item[0], "lessons") == 0)
        return run_lessons(args);
    if (strcmp(args->words.item[0], "retrieve") == 0)
        return run_retrieve(args);
    if (args->words.n != 2)
        return sg_usage(args, "expected %s MODEL", args->words.item[0]);
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(args->words.item[0], tasks[i].name) == 0) {
            const int st = tasks[i].call(&p, &json, &err);

            return show(args, st, json, &err, tasks[i].print);
        }
    return sg_usage(args, "expected generate, score, embed, tune, merge, lessons or retrieve, found '%s'",
                    args->words.item[0]);
}

const sg_verb sg_verb_lm = {
    .name = "lm",
    .words = "generate|score|embed|tune|merge|retrieve MODEL [DATA], or lessons DATA",
    .summary = "A language model by itself: text from a prompt, how likely texts are, vectors of texts, "
               "tuning, retrieval",
    .about = "A model is a Hugging Face folder or a .gguf file: decoders of the Llama family (Llama, "
             "SmolLM2, Qwen2,\n"
             "Qwen3) and T5s; for embed encoders of the BERT family, too. Weights of a .gguf file stay in "
             "their few bits.\n"
             "generate --chat, score and embed also take the address of an endpoint that speaks OpenAI's "
             "dialect, http://HOST/v1.\n"
             "tune learns from DATA (.jsonl with prompts and completions, conversations, instructions, "
             "texts, or pairs of texts whose vectors\n"
             "shall be near; or plain text) and leaves an adapter in PEFT's files, or a model; merge writes "
             "a model, with an adapter or\n"
             "without, as a folder or a .gguf file.\n"
             "retrieve ranks the documents of a collection ('sedge import beir') for its queries, or items "
             "for users, by what the model writes,\n"
             "held to titles or to strings that stand in documents, and measures the lists; lessons makes "
             "DATA for tune from such data.",
    .examples =
        "  sedge lm generate SmolLM2-135M-Instruct.gguf --chat --prompt 'What is a semantic ID?' --length "
        "64\n"
        "  sedge lm generate SmolLM2-135M-Instruct.gguf --chat --file prompts.jsonl --schema rating.json\n"
        "  sedge lm generate SmolLM2-135M-Instruct.gguf --prompt 'A film like Alien:' --choices titles.txt "
        "--beam 5\n"
        "  sedge lm score SmolLM2-135M-Instruct.gguf --prompt 'The capital of France is' --text ' Paris'\n"
        "  sedge lm embed all-MiniLM-L6-v2 --file texts.txt --out vectors.safetensors\n"
        "  sedge lm generate https://HOST/v1 --model qwen3 --key-file key --chat --file prompts.jsonl\n"
        "  sedge lm tune SmolLM2-135M-Instruct.gguf chats.jsonl --out tuned --set rank=16 epochs=2\n"
        "  sedge lm generate SmolLM2-135M-Instruct.gguf --adapter tuned --chat --prompt 'What next?'\n"
        "  sedge lm merge SmolLM2-135M-Instruct.gguf --adapter tuned --out tuned.gguf --set type=q8_0\n"
        "  sedge lm lessons scifact --for ngrams --out lessons.jsonl\n"
        "  sedge lm retrieve SmolLM2-135M-Instruct.gguf --adapter tuned scifact --by substring --out "
        "run.trec",
    .least = 2,
    .most = 3,
    .options = options,
    .library = "lm",
    .set = &arg.set,
    .run = run,
};
