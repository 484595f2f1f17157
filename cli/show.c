/* show.c - results for people. */
#include "show.h"

#include "progress.h"
#include "table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sg_exit_code(int status)
{
    return status == SEDGE_OK ? 0 : status == SEDGE_ERR_USAGE ? 2 : 1;
}

int sg_show(const sg_args *args, int status, char *json, const sedge_error *err, sg_print *print)
{
    bool unread = false;

    sg_progress_end();
    if (status) {
        fprintf(stderr, "sedge %s: %s\n", args->verb->name, err->message);
    } else if (args->common.json) {
        puts(json);
    } else {
        json_error_t why;
        json_t *result = sg_result(json, &why);

        if (result)
            print(result);
        else
            fprintf(stderr, "sedge %s: the result cannot be read: %s\n", args->verb->name, why.text);
        unread = !result;
        json_decref(result);
    }
    sedge_free(json);
    return unread ? 1 : sg_exit_code(status);
}

json_t *sg_result(const char *json, json_error_t *why)
{
    return json_loads(json, JSON_ALLOW_NUL, why);
}

const json_t *sg_member(const json_t *object, const char *key)
{
    return json_object_get(object, key);
}

const char *sg_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s ? s : "";
}

double sg_number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static const char *value_text(const char *key, const json_t *value)
{
    const double x = json_number_value(value);

    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "yes" : "no";
    if (json_is_integer(value))
        return sg_count_text(x);
    if (strcmp(key, "seconds") == 0)
        return sg_seconds_text(x);
    return sg_pool_printf("%.6g", x);
}

void sg_show_members(const json_t *object, const char *indent)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char *name = sg_pool_printf("%s", key);

        for (char *c = name; *c; c++)
            if (*c == '_')
                *c = ' ';
        if (json_is_object(value) && json_object_size(value)) {
            printf("%s%s\n", indent, name);
            sg_show_members(value, sg_pool_printf("%s  ", indent));
        } else if (json_is_string(value) || json_is_number(value) || json_is_boolean(value)) {
            printf("%s%-*s %s\n", indent, 24 - (int)strlen(indent), name, value_text(key, value));
        } else if (json_is_array(value) && json_array_size(value) &&
                   !json_is_object(json_array_get(value, 0)) && !json_is_array(json_array_get(value, 0))) {
            size_t i;
            json_t *member;

            printf("%s%-*s", indent, 24 - (int)strlen(indent), name);
            json_array_foreach(value, i, member) printf(" %s", value_text(key, member));
            putchar('\n');
        }
    }
}

/* ---- metrics ------------------------------------------------------------------------------------------------------------ */
static const char *const sides[] = {"unfiltered", "filtered"}, *const labels[] = {"history kept",
                                                                                  "history filtered out"};

enum { COLUMNS_MAX = 16 };

/* The metrics of the comparison: recall and ndcg at 5 and 10, or at the last two cut-offs. */
static size_t pick_metrics(const char **names, const json_t *metrics)
{
    static const char *const preferred[] = {"recall@5", "ndcg@5", "recall@10", "ndcg@10"};
    const json_t *side = json_object_get(metrics, json_object_get(metrics, sides[0]) ? sides[0] : sides[1]);
    const char *key;
    json_t *value;
    size_t n = 0, n_recall = 0;

    for (size_t i = 0; i < 4; i++)
        if (json_object_get(side, preferred[i]))
            names[n++] = preferred[i];
    if (n)
        return n;
    json_object_foreach((json_t *)(uintptr_t)side, key, value) n_recall += strncmp(key, "recall@", 7) == 0;
    json_object_foreach((json_t *)(uintptr_t)side, key,
                        value) if (strncmp(key, "recall@", 7) == 0 && n_recall-- <= 2 && n + 2 <= COLUMNS_MAX)
    {
        names[n++] = key;
        names[n++] = sg_pool_printf("ndcg@%s", key + 7);
    }
    return n;
}

static void add_row(sg_table *t, const char *name, const json_t *metrics, const json_t *shape,
                    const char *const *names, size_t n)
{
    sg_table_add(t, "%s", name);
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; json_object_get(shape, sides[s]) && i < n; i++) {
            const json_t *x = json_object_get(json_object_get(metrics, sides[s]), names[i]);

            if (json_is_number(x))
                sg_table_add(t, "%.4f", json_number_value(x));
            else
                sg_table_add(t, "-");
        }
    sg_table_end_row(t);
}

void sg_show_metrics(const char *name, const json_t *metrics, const json_t *floors, const json_t *oracle)
{
    const char *names[COLUMNS_MAX], *heading[1 + 2 * COLUMNS_MAX], *key;
    const size_t n = pick_metrics(names, metrics);
    size_t n_columns = 0;
    json_t *floor;
    sg_table t;

    heading[n_columns++] = "";
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; json_object_get(metrics, sides[s]) && i < n; i++)
            heading[n_columns++] = sg_pool_printf(">%s", names[i]);
    sg_table_init(&t, heading, n_columns);
    for (int s = 0; s < 2; s++)
        if (json_object_get(metrics, sides[s]))
            sg_table_group(&t, s == 0 || !json_object_get(metrics, sides[0]) ? 1 : 1 + n, labels[s]);
    add_row(&t, name, metrics, metrics, names, n);
    json_object_foreach((json_t *)(uintptr_t)floors, key, floor) if (strcmp(key, name) != 0)
        add_row(&t, key, json_object_get(floor, "metrics") ? json_object_get(floor, "metrics") : floor,
                metrics, names, n);
    if (json_is_object(oracle))
        add_row(&t, "oracle",
                json_object_get(oracle, "metrics") ? json_object_get(oracle, "metrics") : oracle, metrics,
                names, n);
    sg_table_print(&t);
}

static void add_answers(sg_table *t, const char *name, const json_t *values)
{
    static const char *const keys[] = {"auc", "gauc", "ne", "log_loss", "calibration"};

    sg_table_add(t, "%s", name);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *value = sg_member(values, keys[i]);

        sg_table_add(t, json_is_number(value) ? "%.4f" : "-", json_number_value(value));
    }
    sg_table_add(t, "%.0f", sg_number(values, "n"));
    sg_table_add(t, "%.0f", sg_number(values, "positives"));
    sg_table_end_row(t);
}

void sg_show_ranking(const json_t *ranking)
{
    static const char *const heading[] = {"ranking",   ">AUC",         ">GAUC",  ">NE",
                                          ">log-loss", ">calibration", ">asked", ">yes"};
    const char *key;
    json_t *value;
    sg_table t;

    if (json_object_size(ranking) == 0)
        return;
    putchar('\n');
    sg_table_init(&t, heading, sizeof heading / sizeof *heading);
    json_object_foreach((json_t *)(uintptr_t)ranking, key, value)
    {
        add_answers(&t, key, value);
        if (sg_member(value, "rare_items"))
            add_answers(&t, "  rare items", sg_member(value, "rare_items"));
        if (sg_member(value, "item_rate"))
            add_answers(&t, "  item's rate", sg_member(value, "item_rate"));
    }
    sg_table_print(&t);
    json_object_foreach((json_t *)(uintptr_t)ranking, key,
                        value) if (!json_is_number(sg_member(value, "auc")))
        printf("%s: all %s answers are %s: AUC, GAUC and NE compare with the other one\n", key,
               sg_count_text(sg_number(value, "n")), sg_number(value, "positives") > 0 ? "yes" : "no");
}
