/* help.c - what the option tables say: --help, the man page, the shell completion. */
#include "opt.h"

#include "sedge/sedge.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));

    return s ? s : "";
}

/* "--core-user", as it is typed */
static const char *dashed(const char *name)
{
    char *s = sg_pool_printf("%s", name);

    for (char *c = s; *c; c++)
        if (*c == '_')
            *c = '-';
    return s;
}

static const char *value_word(const json_t *row)
{
    const char *type = text_of(row, "type");

    if (strcmp(type, "choice") == 0)
        return text_of(row, "choices");
    return strcmp(type, "bool") == 0 ? "" : strcmp(type, "text") == 0 ? "TEXT" : "N";
}

static const char *number_text(const json_t *row, const char *key)
{
    return sg_pool_printf("%.15g", json_number_value(json_object_get(row, key)));
}

/* "width of the vectors (256; 1 to 4096)" */
static const char *library_help(const json_t *row)
{
    const char *type = text_of(row, "type"), *initial = text_of(row, "default"),
               *meaning = text_of(row, "meaning");

    if (strcmp(type, "int") == 0 || strcmp(type, "float") == 0)
        return sg_pool_printf("%s (default %s; %s to %s)", meaning, initial, number_text(row, "least"),
                              number_text(row, "most"));
    if (strcmp(type, "bool") == 0)
        return strcmp(initial, "true") == 0
                   ? sg_pool_printf("%s (default; --no-%s: not)", meaning, dashed(text_of(row, "name")))
                   : meaning;
    return initial[0] ? sg_pool_printf("%s (default %s)", meaning, initial) : meaning;
}

static const char *own_name(const sg_opt *o)
{
    const char *value =
        o->value ? sg_pool_printf(" %s%s", o->value,
                                  o->kind == SG_OPT_KIND_LIST || o->kind == SG_OPT_KIND_SET ? "..." : "")
                 : "";

    return o->letter ? sg_pool_printf("-%c, --%s%s", o->letter, o->name, value)
                     : sg_pool_printf("    --%s%s", o->name, value);
}

static const char *library_name(const json_t *row)
{
    const char *name = text_of(row, "name"), *value = value_word(row);
    const char *space = value[0] ? " " : "";

    return strlen(name) == 1 ? sg_pool_printf("-%s%s%s", name, space, value)
                             : sg_pool_printf("    --%s%s%s", dashed(name), space, value);
}

enum { COLUMN = 30, WIDTH = 100 };

/* Help text wrapped into its column. */
static void print_option(const char *name, const char *help)
{
    int at = printf("  %s", name);

    if (at > COLUMN - 2) {
        putchar('\n');
        at = 0;
    }
    at += printf("%*s", COLUMN - at, "");
    while (*help) {
        const int word = (int)strcspn(help, " ");

        if (at > COLUMN && at + 1 + word > WIDTH) {
            printf("\n%*s", COLUMN, "");
            at = COLUMN;
        } else if (at > COLUMN) {
            putchar(' ');
            at++;
        }
        at += printf("%.*s", word, help);
        help += word;
        help += strspn(help, " ");
    }
    putchar('\n');
}

static const char *usage_line(const sg_verb *verb)
{
    return sg_pool_printf("sedge %s%s%s [options]", verb->name, verb->words[0] ? " " : "", verb->words);
}

void sg_help_verb(const sg_verb *verb)
{
    json_t *library = sg_opt_library(verb), *row;
    size_t i;

    printf("Usage: %s\n\n%s.\n", usage_line(verb), verb->summary);
    if (verb->about)
        printf("\n%s\n", verb->about);
    if (verb->options->kind) {
        printf("\nOptions\n");
        for (const sg_opt *o = verb->options; o->kind; o++)
            print_option(own_name(o), o->help);
    }
    if (json_array_size(library)) {
        printf("\nOptions of the step (each is also --set KEY=VALUE)\n");
        json_array_foreach(library, i, row) print_option(library_name(row), library_help(row));
    }
    printf("\nOptions of every verb\n");
    for (const sg_opt *o = sg_common_options; o->kind; o++)
        print_option(own_name(o), o->help);
    if (verb->examples)
        printf("\nExamples\n%s\n", verb->examples);
    json_decref(library);
}

void sg_help_main(void)
{
    printf("Usage: sedge VERB [arguments] [options]\n\n"
           "Interaction logs and item content in, a trained, evaluated and explained generative recommender "
           "out.\n\n");
    for (const sg_verb *const *v = sg_verbs; *v; v++)
        print_option((*v)->name, (*v)->summary);
    printf("\n'sedge VERB --help' tells more; a first run:\n"
           "  sedge synth -o shop && sedge embed shop && sedge tokenize shop\n"
           "  sedge train tiger shop -o run && sedge eval run shop && sedge recommend run --user u1\n\n"
           "Exit codes: 0 done, 1 failed, 2 used wrongly.\n");
}

/* ---- man page ----------------------------------------------------------------------------------------------------- */
static void roff(const char *s)
{
    for (bool start = true; *s; start = *s++ == '\n') {
        if (start && (*s == '.' || *s == '\''))
            fputs("\\&", stdout);
        if (*s == '\\')
            fputs("\\e", stdout);
        else if (*s == '-')
            fputs("\\-", stdout);
        else
            putchar(*s);
    }
}

static void roff_option(const char *name, const char *help)
{
    printf(".TP\n.B ");
    roff(name + strspn(name, " "));
    putchar('\n');
    roff(help);
    putchar('\n');
}

static void roff_verb(const sg_verb *verb)
{
    json_t *library = sg_opt_library(verb), *row;
    size_t i;

    printf(".SS ");
    roff(usage_line(verb));
    putchar('\n');
    roff(verb->summary);
    puts(".");
    if (verb->about) {
        puts(".PP");
        roff(verb->about);
        putchar('\n');
    }
    for (const sg_opt *o = verb->options; o->kind; o++)
        roff_option(own_name(o), o->help);
    json_array_foreach(library, i, row) roff_option(library_name(row), library_help(row));
    if (verb->examples) {
        puts(".PP\nExamples:\n.PP\n.nf");
        roff(verb->examples);
        puts("\n.fi");
    }
    json_decref(library);
}

int sg_help_man(void)
{
    printf(".TH SEDGE 1 \"\" \"sedge %s\" \"User Commands\"\n", sedge_version());
    puts(".SH NAME\nsedge \\- generative recommenders from interaction logs and item content");
    puts(".SH SYNOPSIS\n.B sedge\n.I VERB\n[arguments] [options]");
    puts(".SH DESCRIPTION\nLogs and items are imported into a dataset folder, item text becomes vectors, "
         "vectors become semantic\n"
         "IDs, a model learns from the histories and is evaluated, explained and asked for recommendations. "
         "Results go to\n"
         "standard output, talk to standard error. A folder holds a dataset, a folder holds a model.");
    puts(".SH VERBS");
    for (const sg_verb *const *v = sg_verbs; *v; v++)
        roff_verb(*v);
    puts(".SH OPTIONS OF EVERY VERB");
    for (const sg_opt *o = sg_common_options; o->kind; o++)
        roff_option(own_name(o), o->help);
    puts(".SH EXIT STATUS\n0 done, 1 failed, 2 used wrongly.");
    return 0;
}

/* ---- completion --------------------------------------------------------------------------------------------------- */
static void bash_words(const sg_verb *verb)
{
    json_t *library = sg_opt_library(verb), *row;
    const sg_opt *const tables[] = {verb->options, sg_common_options};
    size_t i;

    printf("    %s) options=\"", verb->name);
    for (int t = 0; t < 2; t++)
        for (const sg_opt *o = tables[t]; o->kind; o++)
            printf("--%s ", o->name);
    json_array_foreach(library, i, row) if (strlen(text_of(row, "name")) > 1)
        printf("--%s ", dashed(text_of(row, "name")));
    printf("\" ;;\n");
    json_decref(library);
}

static void bash_choices(const sg_verb *verb)
{
    json_t *library = sg_opt_library(verb), *row;
    size_t i;

    json_array_foreach(library, i, row) if (strcmp(text_of(row, "type"), "choice") == 0)
    {
        printf("    %s:--%s) choices=\"", verb->name, dashed(text_of(row, "name")));
        for (const char *c = text_of(row, "choices"); *c; c++)
            putchar(*c == '|' ? ' ' : *c);
        puts("\" ;;");
    }
    json_decref(library);
}

/* The names of all models, with a space after each. */
static void bash_models(void)
{
    char *text = NULL;
    json_t *root, *row;
    size_t i;

    if (sedge_models(NULL, &text, NULL))
        return;
    root = json_loads(text, 0, NULL);
    json_array_foreach(json_object_get(root, "models"), i, row) printf("%s ", text_of(row, "name"));
    json_decref(root);
    sedge_free(text);
}

int sg_help_completion(const char *shell)
{
    if (strcmp(shell, "bash") != 0) {
        fprintf(stderr, "sedge help: --completion: expected bash, found '%s'\n", shell);
        return 2;
    }
    printf("# bash completion of sedge\n_sedge()\n{\n"
           "    local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" "
           "verb=\"${COMP_WORDS[1]}\"\n"
           "    local options= choices=\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"");
    for (const sg_verb *const *v = sg_verbs; *v; v++)
        printf("%s ", (*v)->name);
    printf("\" -- \"$word\"))\n        return\n    fi\n    case \"$verb:$before\" in\n");
    for (const sg_verb *const *v = sg_verbs; *v; v++)
        bash_choices(*v);
    printf("    train:train|models:models) choices=\"");
    bash_models();
    printf("\" ;;\n    esac\n    if [ -n \"$choices\" ]; then\n        COMPREPLY=($(compgen -W \"$choices\" "
           "-- \"$word\"))\n        return\n"
           "    fi\n    case \"$verb\" in\n");
    for (const sg_verb *const *v = sg_verbs; *v; v++)
        bash_words(*v);
    puts("    esac\n    if [ \"${word:0:1}\" = - ]; then\n        COMPREPLY=($(compgen -W \"$options\" -- "
         "\"$word\"))\n    else\n"
         "        COMPREPLY=($(compgen -f -- \"$word\"))\n    fi\n}\ncomplete -o filenames -F _sedge sedge");
    return 0;
}
