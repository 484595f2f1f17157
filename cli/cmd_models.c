/* cmd_models.c - sedge models: what can be trained, from which paper, with which options. */
#include "opt.h"
#include "show.h"
#include "table.h"

#include <stdio.h>
#include <string.h>

static const sg_opt options[] = {SG_OPT_END};

static void print_one(const json_t *m)
{
    static const char *const heading[] = {"option", "default", "range", "meaning"};
    const json_t *rows = sg_member(m, "options"), *row;
    size_t i;
    sg_table t;

    printf("%s: %s\n%s\nlearns %s%s%s\n\n", sg_text(m, "name"), sg_text(m, "summary"), sg_text(m, "paper"),
           sg_text(m, "learns"),
           json_is_true(sg_member(m, "needs_vectors")) ? ", needs item vectors (sedge embed)" : "",
           json_is_true(sg_member(m, "needs_ids")) ? ", needs semantic IDs (sedge tokenize)" : "");
    sg_table_init(&t, heading, 4);
    json_array_foreach(rows, i, row)
    {
        const json_t *least = sg_member(row, "least");

        sg_table_add(&t, "%s", sg_text(row, "name"));
        sg_table_add(&t, "%s", sg_text(row, "default"));
        if (least)
            sg_table_add(&t, "%.10g .. %.10g", json_number_value(least), sg_number(row, "most"));
        else
            sg_table_add(&t, "%s",
                         strcmp(sg_text(row, "type"), "bool") == 0 ? "true, false" : sg_text(row, "choices"));
        sg_table_add(&t, "%s", sg_text(row, "meaning"));
    }
    sg_table_print(&t);
}

static void print(const json_t *result)
{
    static const char *const heading[] = {"model", "learns", "roles", "what", "paper"};
    const json_t *rows = sg_member(result, "models"), *row;
    size_t i;
    sg_table t;

    if (!rows) {
        print_one(result);
        return;
    }
    sg_table_init(&t, heading, 5);
    json_array_foreach(rows, i, row)
    {
        const char *roles = "";
        size_t r;
        json_t *role;

        json_array_foreach(sg_member(row, "roles"), r, role) roles =
            sg_pool_printf("%s%s%s", roles, r ? ", " : "", json_string_value(role));
        sg_table_add(&t, "%s", sg_text(row, "name"));
        sg_table_add(&t, "%s", sg_text(row, "learns"));
        sg_table_add(&t, "%s", roles);
        sg_table_add(&t, "%s", sg_text(row, "summary"));
        sg_table_add(&t, "%s", sg_text(row, "paper"));
    }
    sg_table_print(&t);
}

static int run(const sg_args *args)
{
    char *json = NULL;
    sedge_error err;
    const int st = sedge_models(args->words.n ? args->words.item[0] : NULL, &json, &err);

    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_models = {
    .name = "models",
    .words = "[MODEL]",
    .summary = "The models of this build, or one with its options",
    .most = 1,
    .options = options,
    .run = run,
};
