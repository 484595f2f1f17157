/* import.c - the verbs that make a dataset: import and synth. */
#include "api/api.h"

#include "base/alloc.h"
#include "base/io.h"
#include "data/import.h"
#include "data/import_beir.h"
#include "data/synth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Days since 1970-01-01 of a date in the Gregorian calendar. [Hinnant, days_from_civil] */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t of_era = year - era * 400,
                  of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static sg_status read_time(int64_t *out, const char *name, const char *text, int64_t absent, sg_error *err)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, used = 0;
    char *end;
    long long seconds;

    *out = absent;
    if (!text[0])
        return SG_OK;
    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used) == 3 && !text[used] && month >= 1 &&
        month <= 12 && day >= 1 && day <= days[month - 1]) {
        *out = days_of(year, month, day) * 86400;
        return SG_OK;
    }
    seconds = strtoll(text, &end, 10);
    if (end == text || *end)
        return sg_fail(err, SG_ERR_USAGE, "%s: expected seconds since 1970 or YYYY-MM-DD, found '%s'", name,
                       text);
    *out = seconds;
    return SG_OK;
}

static sg_status read_separator(char *out, const char *text, sg_error *err)
{
    if (strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0)
        *out = '\t';
    else if (strlen(text) <= 1)
        *out = text[0];
    else
        return sg_fail(err, SG_ERR_USAGE, "separator: expected one character or tab, found '%s'", text);
    return SG_OK;
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static sg_status spec_of(sg_import_spec *spec, const api_import_config *o, const sedge_import_params *p,
                         sg_error *err)
{
    char *end;
    sg_status st;

    *spec = sg_import_defaults();
    spec->format = strcmp(o->format, "auto") ? o->format : NULL;
    spec->path = p->files;
    spec->n_path = (int)p->n_files;
    spec->item_text = p->item_text;
    spec->n_item_text = (int)p->n_item_text;
    spec->user_series = p->user_series;
    spec->n_user_series = (int)p->n_user_series;
    spec->name = or_null(o->name);
    spec->column_user = or_null(o->user);
    spec->column_item = or_null(o->item);
    spec->column_time = or_null(o->time);
    spec->column_rating = or_null(o->rating);
    spec->column_action = or_null(o->action);
    spec->no_header = !o->header;
    spec->dedup = o->dedup;
    spec->core_user = o->core_user;
    spec->core_item = o->core_item;
    spec->core_once = o->core_once;
    spec->length_min = o->length_min;
    spec->length_max = o->length_max;
    spec->cold = o->cold;
    spec->cold_seed = (uint64_t)o->cold_seed;
    spec->bad_rows_max = o->bad_rows;
    spec->column_item_id = or_null(o->item_id);
    spec->item_id_base = o->item_id_base;
    spec->item_columns = or_null(o->item_columns);
    spec->items_all = o->items_all;
    spec->memory_max = (size_t)o->memory << 20;
    if (o->rating_min[0]) {
        spec->rating_min = strtod(o->rating_min, &end);
        if (*end || isnan(spec->rating_min))
            return sg_fail(err, SG_ERR_USAGE, "rating_min: expected a number, found '%s'", o->rating_min);
    }
    if ((st = read_separator(&spec->separator, o->separator, err)) ||
        (st = read_time(&spec->time_min, "time_min", o->time_min, INT64_MIN, err)))
        return st;
    return read_time(&spec->time_max, "time_max", o->time_max, INT64_MAX, err);
}

/* A folder of documents, queries and judgements, which are no events. */
static sg_status import_beir(api_call *c, const api_import_config *o, const sedge_import_params *p)
{
    const sg_beir_spec spec = {.folder = p->files[0],
                               .name = or_null(o->name),
                               .dev = o->dev,
                               .dev_seed = (uint64_t)o->cold_seed,
                               .bad_rows_max = o->bad_rows};

    if (p->n_files != 1 || p->n_item_text || p->n_user_series)
        return sg_fail(&c->err, SG_ERR_USAGE, "beir: expected one folder and no other files");
    return sg_import_beir(p->out, &spec, &c->progress, &c->result, &c->err);
}

int sedge_import(const sedge_import_params *given, char **json, sedge_error *err)
{
    sedge_import_params p;
    api_import_config o;
    const api_table tables[] = {{&o, api_import_options, api_n_import_options}};
    sg_import_spec spec;
    api_call c;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(tables, 1);
    if (!st && p.n_files == 0)
        st = sg_fail(&c.err, SG_ERR_USAGE, "expected a file of events, found nothing");
    if (!st && (p.n_files > 10000 || p.n_item_text > 10000 || p.n_user_series > 10000))
        st = sg_fail(&c.err, SG_ERR_USAGE, "expected at most 10000 files");
    if (!st && !(st = api_need(p.out, "a folder for the dataset", &c.err)) &&
        !(st = api_assign(tables, 1, p.set, p.n_set, &c.err)) && !strcmp(o.format, "beir"))
        st = import_beir(&c, &o, &p);
    else if (!st && !(st = spec_of(&spec, &o, &p, &c.err)))
        st = sg_import(p.out, &spec, &c.progress, &c.result, &c.err);
    return api_end(&c, st, json, err);
}

int sedge_synth(const sedge_synth_params *given, char **json, sedge_error *err)
{
    sedge_synth_params p;
    sg_synth_config o;
    const api_table tables[] = {{&o, sg_synth_options, sg_n_synth_options}};
    api_call c;
    sg_pool *pool;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    api_defaults(tables, 1);
    if (!st && !(st = api_need(p.out, "a folder for the dataset", &c.err)) &&
        !(st = api_assign(tables, 1, p.set, p.n_set, &c.err)) && !(st = api_pool(&c, &pool)))
        st = sg_synth(p.out, &o, pool, &c.progress, &c.result, &c.err);
    return api_end(&c, st, json, err);
}
