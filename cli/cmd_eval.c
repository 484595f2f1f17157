/* cmd_eval.c - sedge eval: a model's metrics, with and without the history filter, the floors beside them. */
#include "opt.h"
#include "progress.h"
#include "show.h"
#include "table.h"

#include <stdio.h>
#include <string.h>

static struct {
    const char *run_path, *qrels, *per_user;
    sg_list set;
} arg;

static const sg_opt options[] = {
    SG_OPT_STRING(0, "run", &arg.run_path, "FILE", "write the ranked lists as a TREC run"),
    SG_OPT_STRING(0, "qrels", &arg.qrels, "FILE", "write the targets as TREC qrels"),
    SG_OPT_STRING(0, "per-user", &arg.per_user, "FILE", "write the rank of every case, for `sedge compare`"),
    SG_OPT_SET(&arg.set, "options by name"),
    SG_OPT_END,
};

/* All metrics of the model, a row a metric, a column a cut-off; the 95 % interval of recall and ndcg below. */
static void print_side(const char *title, const json_t *side, const json_t *intervals)
{
    const char *heading[20] = {""}, *cutoff[19], *key;
    size_t n = 0;
    json_t *value;
    sg_table t;

    json_object_foreach((json_t *)(uintptr_t)side, key, value) if (strncmp(key, "recall@", 7) == 0 && n < 19)
    {
        cutoff[n] = key + 7;
        heading[++n] = sg_pool_printf(">@%s", key + 7);
    }
    if (n == 0)
        return;
    printf("\n%s\n", title);
    sg_table_init(&t, heading, n + 1);
    json_object_foreach((json_t *)(uintptr_t)side, key, value)
    {
        const size_t stem = strcspn(key, "@");
        const char *name = sg_pool_printf("%.*s", (int)stem, key);

        if (strcmp(key + stem, sg_pool_printf("@%s", cutoff[0])) != 0)
            continue;
        sg_table_add(&t, "%s", name);
        for (size_t i = 0; i < n; i++) {
            const double x = sg_number(side, sg_pool_printf("%s@%s", name, cutoff[i]));

            sg_table_add(&t, x < 10 ? "%.4f" : "%.1f", x);
        }
        if (!json_is_array(sg_member(intervals, key)))
            continue;
        sg_table_add(&t, "  95%% interval");
        for (size_t i = 0; i < n; i++) {
            const json_t *range = sg_member(intervals, sg_pool_printf("%s@%s", name, cutoff[i]));

            sg_table_add(&t, "%.4f-%.4f", json_number_value(json_array_get(range, 0)),
                         json_number_value(json_array_get(range, 1)));
        }
    }
    sg_table_print(&t);
    json_object_foreach((json_t *)(uintptr_t)side, key, value) if (!strchr(key, '@') && json_is_number(value))
        printf("%s %.6g\n", key, json_number_value(value));
}

/* How many targets training has never seen, and how many of them were found; nothing when the whole result is about them. */
static void print_cold(const json_t *cold, const json_t *receipt)
{
    if (sg_number(cold, "targets") == 0 || sg_text(receipt, "cases_of")[0])
        return;
    printf("\ntargets without a training event: %.0f of the cases, %.2f %%; recall@10 %.4f, history filtered "
           "out %.4f\n",
           sg_number(cold, "targets"), 100 * sg_number(cold, "share"),
           sg_number(sg_member(cold, "unfiltered"), "recall@10"),
           sg_number(sg_member(cold, "filtered"), "recall@10"));
}

/* Documents for queries: a row a metric, a column a cut-off. */
static void print_retrieval(const json_t *metrics, const json_t *receipt)
{
    printf("%.0f queries of %s, %.0f documents\n", sg_number(receipt, "queries"), sg_text(receipt, "asked"),
           sg_number(receipt, "documents"));
    print_side("documents for queries", metrics, NULL);
}

static void print(const json_t *result)
{
    const json_t *metrics = sg_member(result, "metrics"), *intervals = sg_member(result, "intervals"),
                 *receipt = sg_member(result, "receipt");
    const char *model = sg_text(sg_member(receipt, "model"), "class");

    if (sg_member(result, "retrieval")) {
        print_retrieval(sg_member(result, "retrieval"), receipt);
        printf("\nreceipt\n");
        sg_show_members(receipt, "  ");
        return;
    }
    sg_show_metrics(model[0] ? model : "model", metrics, sg_member(result, "floors"),
                    sg_member(result, "oracle"));
    print_side("history kept", sg_member(metrics, "unfiltered"), sg_member(intervals, "unfiltered"));
    print_side("history filtered out", sg_member(metrics, "filtered"), sg_member(intervals, "filtered"));
    print_cold(sg_member(result, "cold"), receipt);
    sg_show_ranking(sg_member(result, "ranking"));
    printf("\nreceipt\n");
    sg_show_members(receipt, "  ");
    printf("\nevaluated in %s\n", sg_seconds_text(sg_number(result, "seconds")));
}

static int run(const sg_args *args)
{
    const sedge_eval_params p = {.size = sizeof p,
                                 .run = sg_progress_run(args),
                                 .model = args->words.item[0],
                                 .data = args->words.item[1],
                                 .run_path = arg.run_path,
                                 .qrels_path = arg.qrels,
                                 .per_user_path = arg.per_user,
                                 .set = arg.set.item,
                                 .n_set = arg.set.n};
    char *json = NULL;
    sedge_error err;
    const int st = sedge_eval(&p, &json, &err);

    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_eval = {
    .name = "eval",
    .words = "DIR|RUN DATA",
    .summary =
        "Metrics over the full catalogue, with and without the history filter, floors beside them, receipt",
    .about = "DIR is a model folder. RUN is a file of ranked documents as trec_eval reads it (QUERY Q0 "
             "DOCUMENT RANK SCORE TAG), by any\n"
             "system, for the queries of a collection.",
    .examples = "  sedge eval run shop\n  sedge eval run shop --split valid --k 10,50 --json\n  sedge eval "
                "bm25.run scifact.data",
    .least = 2,
    .most = 2,
    .options = options,
    .library = "eval",
    .set = &arg.set,
    .run = run,
};
