/* cmd_recommend.c - sedge recommend: what next, for a known user or any history. */
#include "opt.h"
#include "progress.h"
#include "show.h"
#include "table.h"

#include <stdio.h>
#include <string.h>

static struct {
    const char *data, *user, *history, *query, *allow, *deny;
    bool explain;
    sg_list set, history_items, allow_items, deny_items;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING('u', "user", &arg.user, "U", "a user of the dataset"),
    SG_OPT_STRING('H', "history", &arg.history, "A,B,C", "or any history: item ids, oldest first"),
    SG_OPT_STRING(0, "query", &arg.query, "TEXT", "or documents for a text, of models that retrieve"),
    SG_OPT_STRING('d', "data", &arg.data, "DATA",
                  "dataset of users and titles (default: the one the model learned from)"),
    SG_OPT_STRING(0, "allow", &arg.allow, "A,B,C", "only these items"),
    SG_OPT_STRING(0, "deny", &arg.deny, "A,B,C", "never these items"),
    SG_OPT_FLAG('x', "explain", &arg.explain,
                "why: the path of the semantic ID, the events that moved the score"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

/* "a,b,c"; an item id with a comma is written with a backslash before it. */
static void split_ids(sg_list *list, const char *text)
{
    char *copy = text ? sg_pool_printf("%s", text) : NULL;

    while (copy && *copy) {
        char *id = copy, *to = copy;

        while (*copy && *copy != ',') {
            if (*copy == '\\' && copy[1])
                copy++;
            *to++ = *copy++;
        }
        copy += *copy == ',';
        *to = 0;
        sg_list_add(list, id);
    }
}

/* One line a level, and one for the end of an ID that ends early: "<1:12>  45.1 %  20 items  Sports > Running Shoes: cushioned running shoes" */
static void print_path(const json_t *path)
{
    const json_t *step;
    const char *key;
    json_t *value;
    const char *said = ""; /* by the step before: not said again */
    size_t i, w;

    json_array_foreach(path, i, step)
    {
        const json_t *words = sg_member(step, "words"), *word;
        const char *code = sg_member(step, "end")
                               ? sg_pool_printf("<%d:end>", (int)i + 1)
                               : sg_pool_printf("<%d:%.0f>", (int)i + 1, sg_number(step, "code"));
        const char *what = "";

        printf("      %-9s", code);
        if (sg_member(step, "probability"))
            printf(" %5.1f %%", 100 * sg_number(step, "probability"));
        printf(" %6s %-5s ", sg_count_text(sg_number(step, "items")),
               sg_number(step, "items") > 1 ? "items" : "item");
        json_object_foreach((json_t *)(size_t)step, key,
                            value) if (json_is_string(value) &&
                                       strlen(json_string_value(value)) > strlen(what)) what =
            json_string_value(value); /* the most telling value that most of these items share */
        json_array_foreach(words, w, word) what = sg_pool_printf("%s%s%s", what,
                                                                 w         ? " "
                                                                 : what[0] ? ": "
                                                                           : "",
                                                                 json_string_value(word));
        puts(strcmp(what, said) == 0 ? "" : what);
        said = what;
    }
}

static void print_reasons(const json_t *because)
{
    const json_t *event;
    size_t i;

    json_array_foreach(because, i, event)
        printf("      %+9.3f   %s  %s\n", sg_number(event, "effect"), sg_text(event, "item"),
               sg_short_text(sg_text(event, "title"), 70));
}

static void print_history(const json_t *result)
{
    const json_t *history = sg_member(result, "history"), *event;
    const size_t n = json_array_size(history);
    size_t i;

    printf("history of %s events%s\n", sg_count_text(sg_number(result, "history_length")),
           n > 5 ? ", the latest:" : ":");
    json_array_foreach(history, i, event) if (i + 5 >= n)
        printf("      %s  %s\n", sg_text(event, "item"), sg_short_text(sg_text(event, "title"), 80));
}

static void print(const json_t *result)
{
    static const char *const heading[] = {">", "item", ">score", "title"};
    const json_t *items = sg_member(result, "items"), *hit;
    size_t i;
    sg_table t;

    if (!arg.query)
        print_history(result);
    if (sg_number(result, "unknown") > 0)
        printf("%.0f items of the history are not in the catalogue and were left out\n",
               sg_number(result, "unknown"));
    if (!arg.query)
        putchar('\n');
    if (!arg.explain)
        sg_table_init(&t, heading, 4);
    json_array_foreach(items, i, hit)
    {
        if (arg.explain) {
            printf("%3.0f  %s  %.4f  %s\n", sg_number(hit, "rank"), sg_text(hit, "item"),
                   sg_number(hit, "score"), sg_short_text(sg_text(hit, "title"), 80));
            print_path(sg_member(hit, "path"));
            print_reasons(sg_member(hit, "because"));
            continue;
        }
        sg_table_add(&t, "%.0f", sg_number(hit, "rank"));
        sg_table_add(&t, "%s", sg_text(hit, "item"));
        sg_table_add(&t, "%.4f", sg_number(hit, "score"));
        sg_table_add(&t, "%s", sg_short_text(sg_text(hit, "title"), 80));
    }
    if (!arg.explain)
        sg_table_print(&t);
}

static int run(const sg_args *args)
{
    char *json = NULL;
    sedge_error err;
    int st;

    if (!arg.query && !arg.user == !arg.history)
        return sg_usage(args, arg.user ? "expected --user or --history, found both"
                                       : "expected --user U or --history A,B,C");
    split_ids(&arg.history_items, arg.history);
    split_ids(&arg.allow_items, arg.allow);
    split_ids(&arg.deny_items, arg.deny);
    const sedge_recommend_params p = {.size = sizeof p,
                                      .run = sg_progress_run(args),
                                      .model = args->words.item[0],
                                      .data = arg.data,
                                      .user = arg.user,
                                      .history = arg.history_items.item,
                                      .n_history = arg.history_items.n,
                                      .allow = arg.allow ? arg.allow_items.item : NULL,
                                      .n_allow = arg.allow_items.n,
                                      .deny = arg.deny_items.item,
                                      .n_deny = arg.deny_items.n,
                                      .explain = arg.explain,
                                      .set = arg.set.item,
                                      .n_set = arg.set.n,
                                      .query = arg.query};

    st = sedge_recommend(&p, &json, &err);
    sg_list_free(&arg.history_items);
    sg_list_free(&arg.allow_items);
    sg_list_free(&arg.deny_items);
    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_recommend = {
    .name = "recommend",
    .words = "DIR",
    .summary = "What next, for a known user or any history, with reasons; or documents for a text",
    .examples =
        "  sedge recommend run --user u17\n  sedge recommend run --history i3,i14,i159 -k 5 --explain\n"
        "  sedge recommend run --query 'vitamin D and bone loss'",
    .least = 1,
    .most = 1,
    .options = options,
    .library = "recommend",
    .set = &arg.set,
    .run = run,
};
