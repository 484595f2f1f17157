/* cmd_stats.c - sedge stats: what a dataset is like before anything learns from it. */
#include "opt.h"
#include "progress.h"
#include "show.h"
#include "table.h"

#include <stdio.h>
#include <time.h>

static const sg_opt options[] = {SG_OPT_END};

static void add_spread(sg_table *t, const char *name, const json_t *spread)
{
    sg_table_add(t, "%s", name);
    sg_table_add(t, "%.2f", sg_number(spread, "mean"));
    sg_table_add(t, "%s", sg_count_text(sg_number(spread, "median")));
    sg_table_add(t, "%s", sg_count_text(sg_number(spread, "p90")));
    sg_table_add(t, "%s", sg_count_text(sg_number(spread, "least")));
    sg_table_add(t, "%s", sg_count_text(sg_number(spread, "most")));
}

static void print_time(const json_t *when)
{
    char first[32], last[32];
    const time_t from = (time_t)sg_number(when, "first"), to = (time_t)sg_number(when, "last");
    struct tm tm;

    strftime(first, sizeof first, "%Y-%m-%d", gmtime_r(&from, &tm));
    strftime(last, sizeof last, "%Y-%m-%d", gmtime_r(&to, &tm));
    printf("%s to %s, %.1f %% of the events in the same second as the one before\n", first, last,
           100 * sg_number(when, "ties"));
}

static void print_cores(const json_t *cores)
{
    static const char *const heading[] = {">k-core", ">users", ">items", ">events"};
    const json_t *row;
    size_t i;
    sg_table t;

    sg_table_init(&t, heading, 4);
    json_array_foreach(cores, i, row)
    {
        sg_table_add(&t, "%.0f", sg_number(row, "k"));
        sg_table_add(&t, "%s", sg_count_text(sg_number(row, "users")));
        sg_table_add(&t, "%s", sg_count_text(sg_number(row, "items")));
        sg_table_add(&t, "%s", sg_count_text(sg_number(row, "events")));
    }
    sg_table_print(&t);
}

static void print_text(const json_t *columns)
{
    static const char *const heading[] = {"text", ">filled", ">bytes", ">different"};
    const json_t *row;
    size_t i;
    sg_table t;

    if (json_array_size(columns) == 0)
        return;
    putchar('\n');
    sg_table_init(&t, heading, 4);
    json_array_foreach(columns, i, row)
    {
        sg_table_add(&t, "%s", sg_text(row, "column"));
        sg_table_add(&t, "%.1f %%", 100 * sg_number(row, "filled"));
        sg_table_add(&t, "%.0f", sg_number(row, "bytes"));
        sg_table_add(&t, "%s", sg_count_text(sg_number(row, "different")));
    }
    sg_table_print(&t);
}

static void print_notes(const json_t *notes)
{
    const json_t *note;
    size_t i;

    if (json_array_size(notes))
        putchar('\n');
    json_array_foreach(notes, i, note) printf("note: %s\n", json_string_value(note));
}

static void print(const json_t *s)
{
    static const char *const heading[] = {"events a", ">mean", ">median", ">p90", ">least", ">most"};
    const json_t *items = sg_member(s, "item_events"), *asked = sg_member(s, "leave_one_out"), *early;
    sg_table t;

    printf("%s: %s users, %s items, %s events; %.4f %% of all pairs\n\n", sg_text(s, "name"),
           sg_count_text(sg_number(s, "users")), sg_count_text(sg_number(s, "items")),
           sg_count_text(sg_number(s, "events")), 100 * sg_number(s, "density"));
    sg_table_init(&t, heading, 6);
    add_spread(&t, "user", sg_member(s, "user_events"));
    add_spread(&t, "item", items);
    sg_table_print(&t);
    printf("\npopularity: Gini %.3f; the top 1 %% of the items has %.1f %% of the events\n",
           sg_number(items, "gini"), 100 * sg_number(items, "top_percent"));
    printf("repeats: %.2f %% of the events\n", 100 * sg_number(s, "repeats"));
    if (sg_member(s, "time"))
        print_time(sg_member(s, "time"));
    printf("\nleave-one-out: %s test cases; targets seen before %.2f %%, without a training event %.2f %%\n",
           sg_count_text(sg_number(asked, "cases")), 100 * sg_number(asked, "targets_seen_before"),
           100 * sg_number(asked, "targets_without_training_event"));
    if ((early = sg_member(asked, "targets_before_training_ends")))
        printf("%.1f %% of the test targets are older than the latest training event: a split by time would "
               "be stricter\n",
               100 * json_number_value(early));
    putchar('\n');
    print_cores(sg_member(s, "k_core"));
    print_text(sg_member(s, "text"));
    print_notes(sg_member(s, "notes"));
}

static int run(const sg_args *args)
{
    const sedge_stats_params p = {
        .size = sizeof p, .run = sg_progress_run(args), .data = args->words.item[0]};
    char *json = NULL;
    sedge_error err;
    const int st = sedge_stats(&p, &json, &err);

    return sg_show(args, st, json, &err, print);
}

const sg_verb sg_verb_stats = {
    .name = "stats",
    .words = "DATA",
    .summary = "Lengths, sparsity, ties, repeats, leaks, what k-core leaves",
    .least = 1,
    .most = 1,
    .options = options,
    .run = run,
};
