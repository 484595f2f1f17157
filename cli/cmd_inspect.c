/* cmd_inspect.c - sedge inspect: what is in a folder. */
#include "ids.h"
#include "opt.h"
#include "progress.h"
#include "show.h"
#include "table.h"

#include <stdio.h>
#include <string.h>

static struct {
    sg_list set;
} arg;

static const sg_opt options[] = {
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

static const char *shape_text(const json_t *shape)
{
    const char *text = "";
    json_t *n;
    size_t i;

    json_array_foreach(shape, i, n) text =
        sg_pool_printf("%s%s%" JSON_INTEGER_FORMAT, text, i ? " x " : "", json_integer_value(n));
    return text;
}

static void print_tensors(const json_t *tensors)
{
    static const char *const heading[] = {"tensor", "type", "shape", ">bytes"};
    const json_t *row;
    size_t i;
    sg_table t;

    sg_table_init(&t, heading, 4);
    json_array_foreach(tensors, i, row)
    {
        sg_table_add(&t, "%s", sg_text(row, "name"));
        sg_table_add(&t, "%s", sg_text(row, "dtype"));
        sg_table_add(&t, "%s", shape_text(sg_member(row, "shape")));
        sg_table_add(&t, "%s", sg_count_text(sg_number(row, "bytes")));
    }
    sg_table_print(&t);
}

static void print_dataset(const json_t *d)
{
    static const char *const heading[] = {"text", ">filled", "for example"};
    const json_t *vectors = sg_member(d, "vectors"), *ids = sg_member(d, "ids"), *row;
    const json_t *asked = sg_member(d, "asked"); /* of a collection */
    size_t i;
    sg_table t;

    if (asked)
        printf("dataset %s: %s documents, %s queries, judged: %s train, %s dev, %s test\n",
               sg_text(d, "name"), sg_count_text(sg_number(d, "items")),
               sg_count_text(sg_number(d, "queries")), sg_count_text(sg_number(asked, "train")),
               sg_count_text(sg_number(asked, "dev")), sg_count_text(sg_number(asked, "test")));
    else
        printf("dataset %s: %s users, %s items, %s events%s%s%s\n", sg_text(d, "name"),
               sg_count_text(sg_number(d, "users")), sg_count_text(sg_number(d, "items")),
               sg_count_text(sg_number(d, "events")),
               json_is_true(sg_member(d, "timestamps")) ? ", timestamps" : "",
               json_is_true(sg_member(d, "ratings")) ? ", ratings" : "",
               json_is_true(sg_member(d, "actions")) ? ", actions" : "");
    printf("sha256 %s\n", sg_text(d, "sha256"));
    if (vectors)
        printf("vectors: %.0f dimensions, %s\n", sg_number(vectors, "dim"), sg_text(vectors, "encoder"));
    else
        printf("no vectors (sedge embed)\n");
    if (ids)
        printf("semantic IDs: %s, codes %s\n", sg_text(ids, "method"), shape_text(sg_member(ids, "codes")));
    else
        printf("no semantic IDs (sedge tokenize)\n");
    if (json_array_size(sg_member(d, "columns")) == 0)
        return;
    putchar('\n');
    sg_table_init(&t, heading, 3);
    json_array_foreach(sg_member(d, "columns"), i, row)
    {
        sg_table_add(&t, "%s", sg_text(row, "name"));
        sg_table_add(&t, "%.1f %%", 100 * sg_number(row, "filled"));
        sg_table_add(&t, "%s", sg_short_text(sg_text(row, "example"), 70));
    }
    sg_table_print(&t);
}

static void print_model(const json_t *m)
{
    const json_t *report = sg_member(sg_member(m, "training"), "report");

    printf("%s: %s\n%s items, %s users\n\noptions\n", sg_text(m, "model"), sg_text(m, "paper"),
           sg_count_text(sg_number(m, "items")), sg_count_text(sg_number(m, "users")));
    sg_show_members(sg_member(m, "options"), "  ");
    if (sg_member(m, "catalogue"))
        printf("\ncatalogue: codes %s, %s bytes\n", shape_text(sg_member(sg_member(m, "catalogue"), "codes")),
               sg_count_text(sg_number(sg_member(m, "catalogue"), "bytes")));
    printf("\nreceipt\n");
    sg_show_members(sg_member(m, "receipt"), "  ");
    if (report) {
        printf("\ntraining\n");
        sg_show_members(report, "  ");
    }
    putchar('\n');
    print_tensors(sg_member(m, "tensors"));
}

static void print_values(const json_t *values)
{
    static const char *const heading[] = {"key", "kind", "value"};
    const json_t *row;
    size_t i;
    sg_table t;

    sg_table_init(&t, heading, 3);
    json_array_foreach(values, i, row)
    {
        const json_t *value = sg_member(row, "value");

        sg_table_add(&t, "%s", sg_text(row, "key"));
        sg_table_add(&t, "%s", sg_text(row, "kind"));
        if (sg_member(row, "count"))
            sg_table_add(&t, "%s of them", sg_count_text(sg_number(row, "count")));
        else if (json_is_string(value))
            sg_table_add(&t, "%s", sg_short_text(json_string_value(value), 60));
        else if (json_is_boolean(value))
            sg_table_add(&t, "%s", json_is_true(value) ? "true" : "false");
        else if (json_is_integer(value))
            sg_table_add(&t, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
            sg_table_add(&t, "%.7g", json_real_value(value));
        else /* an infinity or no number, which JSON lacks */
            sg_table_add(&t, "-");
    }
    sg_table_print(&t);
}

static void print(const json_t *result)
{
    const char *kind = sg_text(result, "kind");

    if (strcmp(kind, "dataset") == 0) {
        print_dataset(result);
    } else if (strcmp(kind, "model") == 0) {
        print_model(result);
    } else {
        if (strcmp(kind, "gguf") == 0) {
            print_values(sg_member(result, "values"));
            putchar('\n');
        }
        print_tensors(sg_member(result, "tensors"));
    }
}

static void print_ids(const json_t *result)
{
    sg_show_codebook(result);
    sg_show_prefixes(result);
}

static int run(const sg_args *args)
{
    const bool ids = args->words.n == 2;
    char *json = NULL;
    sedge_error err;
    int st;

    if (ids && strcmp(args->words.item[0], "ids") != 0)
        return sg_usage(args, "expected a folder, or ids DATA, found '%s'", args->words.item[0]);
    const sedge_inspect_params p = {.size = sizeof p,
                                    .run = sg_progress_run(args),
                                    .path = args->words.item[ids],
                                    .ids = ids,
                                    .set = arg.set.item,
                                    .n_set = arg.set.n};

    st = sedge_inspect(&p, &json, &err);
    return sg_show(args, st, json, &err, ids ? print_ids : print);
}

const sg_verb sg_verb_inspect = {
    .name = "inspect",
    .words = "[ids] FOLDER",
    .summary = "What is in a dataset, a model folder, a .safetensors or .gguf file; with ids: what each "
               "prefix holds",
    .examples = "  sedge inspect shop\n  sedge inspect run\n  sedge inspect ids shop --depth 2",
    .least = 1,
    .most = 2,
    .options = options,
    .library = "inspect",
    .set = &arg.set,
    .run = run,
};
