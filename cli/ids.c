/* ids.c - codebook levels as a table, advice as sentences, prefixes as an indented list. */
#include "ids.h"

#include "opt.h"
#include "show.h"
#include "table.h"

#include <stdio.h>

void sg_show_codebook(const json_t *report)
{
    static const char *const heading[] = {"level",    ">codes",    ">used", ">perplexity",
                                          ">largest", ">a prefix", ">error"};
    const json_t *collisions = sg_member(report, "collisions"), *lengths = sg_member(report, "lengths"), *row,
                 *sentence;
    size_t i;
    bool errors = false;
    sg_table t;

    json_array_foreach(sg_member(report, "levels"), i, row) errors |= json_is_number(sg_member(row, "error"));
    sg_table_init(&t, heading, errors ? 7 : 6);
    json_array_foreach(sg_member(report, "levels"), i, row)
    {
        sg_table_add(&t, "%.0f", sg_number(row, "level"));
        sg_table_add(&t, "%.0f", sg_number(row, "codes"));
        sg_table_add(&t, "%.0f", sg_number(row, "used"));
        sg_table_add(&t, "%.1f", sg_number(row, "perplexity"));
        sg_table_add(&t, "%.1f %%", 100 * sg_number(row, "largest_share"));
        sg_table_add(&t, "%.1f", sg_number(row, "codes_per_prefix"));
        if (json_is_number(sg_member(row, "error")))
            sg_table_add(&t, "%.4f", sg_number(row, "error"));
        sg_table_end_row(&t);
    }
    sg_table_print(&t);
    printf("\n%s items, %.1f %% of the tuples unique before the collision digit (largest group %.0f)\n",
           sg_count_text(sg_number(report, "items")), 100 * sg_number(collisions, "unique_share"),
           sg_number(collisions, "largest"));
    if (lengths) {
        printf("%.2f codes an item:", sg_number(lengths, "mean"));
        json_array_foreach(sg_member(lengths, "items"), i, row) if (json_integer_value(row))
            printf(" %s of %zu", sg_count_text((double)json_integer_value(row)), i + 1);
        putchar('\n');
    }
    if (sg_member(report, "refresh"))
        printf("of %s items that were there %.1f %% keep their ID; %s are new, %s are gone\n",
               sg_count_text(sg_number(sg_member(report, "refresh"), "items")),
               100 * sg_number(sg_member(report, "refresh"), "kept"),
               sg_count_text(sg_number(sg_member(report, "refresh"), "new")),
               sg_count_text(sg_number(sg_member(report, "refresh"), "gone")));
    json_array_foreach(sg_member(report, "advice"), i, sentence) printf("%s\n", json_string_value(sentence));
}

/* "hair conditioner shampoo", or values with the share of items that have them */
static void print_facts(const char *indent, const char *name, const json_t *list)
{
    const json_t *fact;
    size_t i;

    if (json_array_size(list) == 0)
        return;
    printf("%s%-11s", indent, name);
    json_array_foreach(list, i, fact)
    {
        const char *text = sg_text(fact, sg_member(fact, "word") ? "word" : "value");

        printf("%s%s %.0f %%", i ? ", " : "", sg_short_text(text, 50), 100 * sg_number(fact, "share"));
    }
    putchar('\n');
}

void sg_show_prefixes(const json_t *report)
{
    const json_t *prefix, *example;
    const char *key;
    json_t *value;
    size_t i, k;

    json_array_foreach(sg_member(report, "prefixes"), i, prefix)
    {
        const json_t *codes = sg_member(prefix, "prefix");
        const size_t depth = json_array_size(codes);
        const char *indent = sg_pool_printf("%*s", (int)(2 * depth), "");

        printf("\n%*s", (int)(2 * (depth - 1)), "");
        for (k = 0; k < depth; k++)
            printf("<%zu:%" JSON_INTEGER_FORMAT ">", k + 1, json_integer_value(json_array_get(codes, k)));
        printf("  %s items\n", sg_count_text(sg_number(prefix, "items")));
        json_object_foreach((json_t *)(size_t)prefix, key, value) if (json_is_array(value) &&
                                                                      value != codes &&
                                                                      value != sg_member(prefix, "examples"))
            print_facts(indent, key, value);
        json_array_foreach(sg_member(prefix, "examples"), k, example)
            printf("%s%-11s%s  %s\n", indent, k ? "" : "examples", sg_text(example, "item"),
                   sg_short_text(sg_text(example, "title"), 70));
    }
}
