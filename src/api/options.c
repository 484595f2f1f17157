/* options.c - the tables of the verbs, and what they tell a program that wants to show them. */
#include "api/api.h"
#include "api/lm_documents.h"

#include "base/alloc.h"
#include "data/synth.h"
#include "file/receipt.h"
#include "lm/contrast.h"
#include "lm/llm.h"
#include "lm/merge.h"
#include "lm/tune.h"
#include "text/slots.h"
#include "quantize/tokenize.h"
#include "serve/load.h"
#include "serve/serve.h"
#include "text/lsa.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SG_OPTION_STRUCT api_import_config
const sg_option api_import_options[] = {API_IMPORT_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
#define SG_OPTION_STRUCT api_train_config
const sg_option api_train_options[] = {API_TRAIN_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
#define SG_OPTION_STRUCT api_eval_config
const sg_option api_eval_options[] = {API_EVAL_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
#define SG_OPTION_STRUCT api_recommend_config
const sg_option api_recommend_options[] = {API_RECOMMEND_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
#define SG_OPTION_STRUCT api_inspect_config
const sg_option api_inspect_options[] = {API_INSPECT_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT
#define SG_OPTION_STRUCT api_compare_config
const sg_option api_compare_options[] = {API_COMPARE_OPTIONS(SG_OPTION_ROW)};
#undef SG_OPTION_STRUCT

#define COUNT(table) (sizeof(table) / sizeof *(table))
const size_t api_n_import_options = COUNT(api_import_options), api_n_train_options = COUNT(api_train_options),
             api_n_eval_options = COUNT(api_eval_options),
             api_n_recommend_options = COUNT(api_recommend_options),
             api_n_inspect_options = COUNT(api_inspect_options),
             api_n_compare_options = COUNT(api_compare_options);

/* ---- setting -------------------------------------------------------------------------------------------------------- */
void api_defaults(const api_table *tables, size_t n_tables)
{
    for (size_t t = 0; t < n_tables; t++)
        sg_options_init(tables[t].config, tables[t].row, tables[t].n);
}

static sg_status set_one(const api_table *tables, size_t n_tables, const char *key, const char *value,
                         sg_error *err)
{
    const char *known[512], *near;
    size_t n = 0;

    for (size_t t = 0; t < n_tables; t++)
        if (sg_options_find(tables[t].row, tables[t].n, key))
            return sg_options_set(tables[t].config, tables[t].row, tables[t].n, key, value, err);
    for (size_t t = 0; t < n_tables; t++)
        for (size_t i = 0; i < tables[t].n && n < 512; i++)
            known[n++] = tables[t].row[i].name;
    near = sg_nearest(key, known, n);
    if (near)
        return sg_fail(err, SG_ERR_USAGE, "unknown option '%s' (did you mean '%s'?)", key, near);
    return sg_fail(err, SG_ERR_USAGE, "unknown option '%s'", key);
}

sg_status api_assign(const api_table *tables, size_t n_tables, const char *const *set, size_t n_set,
                     sg_error *err)
{
    sg_status st = SG_OK;

    for (size_t i = 0; !st && i < n_set; i++) {
        const char *equals = set[i] ? strchr(set[i], '=') : NULL;
        char *key;

        if (!equals || equals == set[i])
            return sg_fail(err, SG_ERR_USAGE, "expected key=value, found '%s'", set[i] ? set[i] : "");
        if (!(key = sg_strndup(set[i], (size_t)(equals - set[i]))))
            return sg_fail_memory(err, "options");
        st = set_one(tables, n_tables, key, equals + 1, err);
        sg_free(key);
    }
    return st;
}

/* A value of a recipe as the text that --set would have. */
static bool value_text(char *out, size_t cap, const json_t *value)
{
    const size_t size = json_is_string(value) ? json_string_length(value) : 0;
    sg_buf list = {0};
    size_t i;
    json_t *member;

    out[0] = 0;
    if (json_is_string(value))
        snprintf(out, cap, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(out, cap, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(out, cap, "%.17g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(out, cap, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_array(value)) { /* [512, 256] is "512,256" */
        json_array_foreach(value, i, member)
        {
            char one[64];

            if (json_is_array(member) || !value_text(one, sizeof one, member)) {
                sg_buf_free(&list);
                return false;
            }
            sg_buf_printf(&list, i ? ",%s" : "%s", one);
        }
        const bool fits = !list.failed && list.size < cap;
        snprintf(out, cap, "%s", fits && list.data ? list.data : "");
        sg_buf_free(&list);
        return fits;
    } else {
        return false;
    }
    return size < cap;
}

sg_status api_assign_object(const api_table *tables, size_t n_tables, const json_t *object, const char *where,
                            sg_error *err)
{
    const char *key;
    json_t *value;
    char text[1024];

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        sg_status st;

        if (!value_text(text, sizeof text, value))
            return sg_fail(err, SG_ERR_USAGE,
                           "%s: %s: expected a number, a text, true or false, or a list of them", where, key);
        if ((st = set_one(tables, n_tables, key, text, err))) {
            sg_error_prefix(err, where);
            return st;
        }
    }
    return SG_OK;
}

/* ---- showing ---------------------------------------------------------------------------------------------------------- */
static const char *type_name(sg_option_type type)
{
    static const char *const name[] = {"int", "float", "bool", "choice", "text"};

    return name[type];
}

static json_t *option_json(const sg_option *row)
{
    const char *initial = row->initial;
    const size_t n = strlen(initial), quoted = n >= 2 && initial[0] == '"' ? 1 : 0;
    const char *meaning = row->meaning;
    const size_t choices = row->type == SG_OPTION_choice ? strcspn(meaning, ":") : 0;
    json_t *o = json_pack("{s:s, s:s, s:s%}", "name", row->name, "type", type_name(row->type), "default",
                          initial + quoted, n - 2 * quoted);
    int bad = !o;

    if (row->type == SG_OPTION_choice) {
        bad |= json_object_set_new(o, "choices", json_stringn(meaning, choices));
        meaning += choices;
        meaning += strspn(meaning, ": ");
    } else if (row->type == SG_OPTION_int || row->type == SG_OPTION_float) {
        bad |= json_object_set_new(o, "least", json_real(row->least));
        bad |= json_object_set_new(o, "most", json_real(row->most));
    }
    bad |= json_object_set_new(o, "meaning", json_string(meaning));
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

json_t *api_options_json(const sg_option *table, size_t n)
{
    json_t *a = json_array();

    for (size_t i = 0; a && i < n; i++)
        if (json_array_append_new(a, option_json(&table[i]))) {
            json_decref(a);
            return NULL;
        }
    return a;
}

int sedge_options(const char *verb, char **json, sedge_error *err)
{
    const struct {
        const char *verb;
        const sg_option *row;
        size_t n;
    } tables[] = {
        {"import", api_import_options, api_n_import_options},
        {"synth", sg_synth_options, sg_n_synth_options},
        {"embed", sg_lsa_options, sg_n_lsa_options},
        {"embed", sg_sentence_options, sg_n_sentence_options},
        {"embed", sg_llm_options, sg_n_llm_options},
        {"embed", sg_client_options, sg_n_client_options},
        {"lm", sg_generate_options, sg_n_generate_options},
        {"lm", sg_sentence_options, sg_n_sentence_options},
        {"lm", sg_tune_options, sg_n_tune_options},
        {"lm", sg_contrast_options, sg_n_contrast_options},
        {"lm", sg_merge_options, sg_n_merge_options},
        {"lm", api_lessons_options, api_n_lessons_options},
        {"lm", api_queries_options, api_n_queries_options},
        {"lm", sg_retrieve_options, sg_n_retrieve_options},
        {"lm", sg_llm_options, sg_n_llm_options},
        {"lm", sg_client_options, sg_n_client_options},
        {"know", api_know_options, api_n_know_options},
        {"know", sg_slots_options, sg_n_slots_options},
        {"know", sg_generate_options, sg_n_generate_options},
        {"know", sg_llm_options, sg_n_llm_options},
        {"know", sg_client_options, sg_n_client_options},
        {"tokenize", sg_tokenize_options, sg_n_tokenize_options},
        {"train", sg_train_options, sg_n_train_options},
        {"train", api_train_options, api_n_train_options},
        {"eval", api_eval_options, api_n_eval_options},
        {"recommend", api_recommend_options, api_n_recommend_options},
        {"inspect", api_inspect_options, api_n_inspect_options},
        {"serve", sg_serve_options, sg_n_serve_options},
        {"bench", sg_load_options, sg_n_load_options},
        {"compare", api_compare_options, api_n_compare_options},
    };
    api_call c;
    sg_status st = api_begin(&c, NULL, 0, NULL);

    if (!st && !(c.result = json_array()))
        st = sg_fail_memory(&c.err, "options");
    for (size_t i = 0; !st && i < COUNT(tables); i++)
        if (verb && strcmp(tables[i].verb, verb) == 0) {
            json_t *rows = api_options_json(tables[i].row, tables[i].n);

            if (!rows || json_array_extend(c.result, rows))
                st = sg_fail_memory(&c.err, "options");
            json_decref(rows);
        }
    if (!st && json_array_size(c.result) == 0)
        st = sg_fail(&c.err, SG_ERR_USAGE, "no options are known of '%s'", verb ? verb : "");
    return api_end(&c, st, json, err);
}

/* ---- models ------------------------------------------------------------------------------------------------------------- */
static json_t *class_json(const sg_model_class *class, bool options)
{
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:[s*, s*, s*], s:s, s:b, s:b}", "name", class->name, "summary",
                  class->summary, "paper", class->paper, "roles",
                  class->recommend || class->score ? "recommend" : NULL, class->retrieve ? "retrieve" : NULL,
                  class->rank ? "rank" : NULL, "learns", class->fit ? "by counting" : "by gradients",
                  "needs_vectors", class->needs_vectors, "needs_ids", class->needs_ids);

    if (o && options &&
        json_object_set_new(o, "options", api_options_json(class->options, class->n_options))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

int sedge_models(const char *name, char **json, sedge_error *err)
{
    api_call c;
    sg_status st = api_begin(&c, NULL, 0, NULL);

    if (!st && name) {
        const sg_model_class *class = sg_model_class_find(name, &c.err);

        if (!class)
            st = c.err.status;
        else if (!(c.result = class_json(class, true)))
            st = sg_fail_memory(&c.err, "models");
    } else if (!st) {
        json_t *list;

        if (!(c.result = json_pack("{s:o}", "models", list = json_array())))
            st = sg_fail_memory(&c.err, "models");
        for (size_t i = 0; !st && sg_model_classes[i]; i++)
            if (json_array_append_new(list, class_json(sg_model_classes[i], false)))
                st = sg_fail_memory(&c.err, "models");
    }
    return api_end(&c, st, json, err);
}
