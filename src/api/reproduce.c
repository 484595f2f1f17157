/* reproduce.c - a recipe from its raw files to its figures, and the figures against what was expected.
 *
 * The work folder keeps each stage's result and, in stages.json, its key: a hash over the stage's options, the program's
 * version and the key of the stage before. A stage whose key has not changed is not run again; one that has makes all that
 * follow run too. A training that was stopped goes on from its checkpoint. */
#include "api/recipe.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "file/sha256.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct set_list {
    char **item; /* owned strings */
    size_t n, cap;
} set_list;

typedef struct chain {
    sg_recipe recipe;
    const sedge_reproduce_params *p;
    const sedge_run *run;
    set_list files, item_text, user_series;            /* where the recipe's sources are here */
    char *out, *data, *model, *state_path, *eval_path; /* owned */
    json_t *state;                                     /* owned: {stage: {"key", "seconds", "done"}} */
    json_t *stages, *eval;                             /* owned */
    json_t *compared;                                  /* owned: figures beside what was expected */
    char key[65];                                      /* of the stage at hand */
    bool stale;         /* a stage before was run: everything after must be, too */
    double seconds_all; /* of all stages when they ran */
    sg_error *err;
} chain;

/* ---- options of a stage ------------------------------------------------------------------------------------------------ */
static void free_set(set_list *s)
{
    for (size_t i = 0; i < s->n; i++)
        sg_free(s->item[i]);
    sg_free(s->item);
    *s = (set_list){0};
}

static sg_status add_set(set_list *s, char *owned, sg_error *err)
{
    if (!owned || !sg_grow(&s->item, &s->cap, s->n + 1, sizeof *s->item)) {
        sg_free(owned);
        return sg_fail_memory(err, "options");
    }
    s->item[s->n++] = owned;
    return SG_OK;
}

static sg_status add_value(set_list *s, const char *key, const json_t *value, const chain *c)
{
    sg_buf text = {0};
    size_t i;
    json_t *member;

    sg_buf_printf(&text, "%s=", key);
    if (json_is_array(value))
        json_array_foreach(value, i, member)
        {
            if (i)
                sg_buf_putc(&text, ',');
            sg_json_print_compact(&text, member);
        }
    else if (json_is_string(value))
        sg_buf_puts(&text, json_string_value(value));
    else if (json_is_object(value) || json_is_null(value)) {
        sg_buf_free(&text);
        return sg_fail(c->err, SG_ERR_FORMAT,
                       "%s: %s: expected a number, a text, true or false, or a list of them", c->recipe.path,
                       key);
    } else
        sg_json_print_compact(&text, value);
    return add_set(s, sg_buf_take(&text), c->err);
}

/* The recipe's options of this stage, then those the caller set: "stage.key=value"; plain "key=value" is for training. */
static sg_status stage_options(set_list *s, const chain *c, const char *stage, const json_t *options)
{
    const size_t n = strlen(stage);
    const char *key;
    json_t *value;
    sg_status st;

    json_object_foreach((json_t *)(uintptr_t)options, key,
                        value) if ((st = add_value(s, key, value, c))) return st;
    for (size_t i = 0; i < c->p->n_set; i++) {
        const char *text = c->p->set[i] ? c->p->set[i] : "", *dot = strchr(text, '.'),
                   *equals = strchr(text, '=');
        const bool prefixed = dot && equals && dot < equals;

        if (prefixed ? (size_t)(dot - text) == n && strncmp(text, stage, n) == 0
                     : strcmp(stage, "train") == 0)
            if ((st = add_set(s, sg_strdup(prefixed ? dot + 1 : text), c->err)))
                return st;
    }
    return SG_OK;
}

static sg_status check_prefixes(const chain *c)
{
    static const char *const known[] = {"import", "synth", "embed", "tokenize", "train", "evaluate"};

    for (size_t i = 0; i < c->p->n_set; i++) {
        const char *text = c->p->set[i] ? c->p->set[i] : "", *dot = strchr(text, '.'),
                   *equals = strchr(text, '=');
        char stage[64];
        const char *near;
        bool found = false;

        if (!dot || !equals || dot > equals)
            continue;
        snprintf(stage, sizeof stage, "%.*s", (int)(dot - text), text);
        for (size_t k = 0; k < 6; k++)
            found |= strcmp(known[k], stage) == 0;
        if (found)
            continue;
        near = sg_nearest(stage, known, 6);
        return near ? sg_fail(c->err, SG_ERR_USAGE, "unknown stage '%s' (did you mean '%s'?)", stage, near)
                    : sg_fail(c->err, SG_ERR_USAGE,
                              "unknown stage '%s': import, synth, embed, tokenize, train or evaluate", stage);
    }
    return SG_OK;
}

/* ---- keys ---------------------------------------------------------------------------------------------------------------- */
static void next_key(chain *c, const char *stage, const set_list *options, const char *more)
{
    sg_sha256 h;

    sg_sha256_init(&h);
    sg_sha256_add(&h, SEDGE_VERSION, sizeof SEDGE_VERSION);
    sg_sha256_add(&h, c->key, strlen(c->key) + 1);
    sg_sha256_add(&h, stage, strlen(stage) + 1);
    for (size_t i = 0; i < options->n; i++)
        sg_sha256_add(&h, options->item[i], strlen(options->item[i]) + 1);
    sg_sha256_add(&h, more, strlen(more) + 1);
    sg_sha256_hex(&h, c->key);
}

static bool fresh_enough(const chain *c, const char *stage)
{
    const json_t *entry = json_object_get(c->state, stage);
    const char *key = json_string_value(json_object_get(entry, "key"));

    return !c->stale && !c->p->fresh && key && strcmp(key, c->key) == 0 &&
           json_is_true(json_object_get(entry, "done"));
}

static sg_status note_stage(chain *c, const char *stage, bool done, double seconds, sg_error *err)
{
    if (json_object_set_new(c->state, stage,
                            json_pack("{s:s, s:b, s:f}", "key", c->key, "done", done, "seconds", seconds)))
        return sg_fail_memory(err, "stages");
    return sg_json_write(c->state_path, c->state, err);
}

static sg_status report_stage(chain *c, const char *stage, double seconds, bool skipped)
{
    c->seconds_all += seconds;
    if (json_array_append_new(
            c->stages, json_pack("{s:s, s:f, s:b}", "name", stage, "seconds", seconds, "skipped", skipped)))
        return sg_fail_memory(c->err, "stages");
    return SG_OK;
}

/* Runs a stage unless its result is there; `work` does it. */
typedef int stage_fn(chain *c, const set_list *options, sedge_error *e);

static sg_status run_stage(chain *c, const char *name, const json_t *options, const char *more,
                           stage_fn *work)
{
    set_list set = {0};
    sedge_error e;
    double start;
    sg_status st;

    if ((st = stage_options(&set, c, name, options)))
        goto done;
    next_key(c, name, &set, more);
    if (fresh_enough(c, name)) {
        st = report_stage(
            c, name, json_number_value(json_object_get(json_object_get(c->state, name), "seconds")), true);
        goto done;
    }
    start = sg_now();
    if (work(c, &set, &e)) {
        st = sg_fail(c->err, (sg_status)e.status, "%s", e.message);
        goto done;
    }
    c->stale = true;
    if (!(st = note_stage(c, name, true, sg_now() - start, c->err)))
        st = report_stage(c, name, sg_now() - start, false);
done:
    free_set(&set);
    return st;
}

/* ---- the stages ------------------------------------------------------------------------------------------------------------ */
static const char *const *set_of(const set_list *s)
{
    return (const char *const *)s->item;
}

static char *source_path(const chain *c, const json_t *file)
{
    const char *path = json_string_value(json_object_get(file, "path"));

    return path[0] == '/' || !c->p->data ? sg_strdup(path) : sg_path_join(c->p->data, path);
}

/* The files as they are here, checked against the recipe; their sums go into `sums`. */
static sg_status find_files(set_list *out, sg_buf *sums, const chain *c, const json_t *files)
{
    size_t i;
    json_t *file;
    sg_status st;

    json_array_foreach(files, i, file)
    {
        const char *expected = json_string_value(json_object_get(file, "sha256"));
        char found[65];

        if ((st = add_set(out, source_path(c, file), c->err)) ||
            (st = sg_sha256_file(found, NULL, out->item[out->n - 1], c->err)))
            return st;
        if (expected && strcmp(expected, found) != 0)
            return sg_fail(c->err, SG_ERR_FORMAT, "%s: expected sha256 %s, found %s", out->item[out->n - 1],
                           expected, found);
        sg_buf_printf(sums, "%s ", found);
    }
    return SG_OK;
}

static int do_import(chain *c, const set_list *options, sedge_error *e)
{
    const sedge_import_params p = {.size = sizeof p,
                                   .run = c->run,
                                   .files = set_of(&c->files),
                                   .n_files = c->files.n,
                                   .item_text = set_of(&c->item_text),
                                   .n_item_text = c->item_text.n,
                                   .user_series = set_of(&c->user_series),
                                   .n_user_series = c->user_series.n,
                                   .out = c->data,
                                   .set = set_of(options),
                                   .n_set = options->n};

    return sedge_import(&p, NULL, e);
}

static int do_synth(chain *c, const set_list *options, sedge_error *e)
{
    const sedge_synth_params p = {
        .size = sizeof p, .run = c->run, .out = c->data, .set = set_of(options), .n_set = options->n};

    return sedge_synth(&p, NULL, e);
}

/* The value behind "KEY=", NULL: another key. */
static const char *value_of(const char *option, const char *key)
{
    const size_t size = strlen(key);

    return strncmp(option, key, size) == 0 && option[size] == '=' ? option + size + 1 : NULL;
}

/* "encoder", "cache" and "texts" stand among the options of the recipe, though they are parameters of their own. */
static int do_embed(chain *c, const set_list *options, sedge_error *e)
{
    const char **set = sg_alloc_array(options->n + 1, sizeof *set);
    sedge_embed_params p = {.size = sizeof p, .run = c->run, .data = c->data, .set = set};
    int st;

    if (!set) {
        sg_fail_memory(c->err, "options");
        return api_error(e, c->err, SG_ERR_MEMORY);
    }
    for (size_t i = 0; i < options->n; i++) {
        const char *encoder = value_of(options->item[i], "encoder"),
                   *cache = value_of(options->item[i], "cache"), *texts = value_of(options->item[i], "texts");

        if (encoder)
            p.encoder = encoder;
        else if (cache)
            p.cache = cache;
        else if (texts)
            p.texts = texts;
        else
            set[p.n_set++] = options->item[i];
    }
    st = sedge_embed(&p, NULL, e);
    sg_free(set);
    return st;
}

static int do_tokenize(chain *c, const set_list *options, sedge_error *e)
{
    const sedge_tokenize_params p = {
        .size = sizeof p, .run = c->run, .data = c->data, .set = set_of(options), .n_set = options->n};

    return sedge_tokenize(&p, NULL, e);
}

/* A training with this very key that was stopped is continued; anything else in the folder belongs to other options. */
static int do_train(chain *c, const set_list *options, sedge_error *e)
{
    const char *key = json_string_value(json_object_get(json_object_get(c->state, "train"), "key"));
    const bool resume = !c->stale && !c->p->fresh && key && strcmp(key, c->key) == 0;
    const sedge_train_params p = {.size = sizeof p,
                                  .run = c->run,
                                  .model = c->recipe.model,
                                  .data = c->data,
                                  .out = c->model,
                                  .resume = resume,
                                  .set = set_of(options),
                                  .n_set = options->n};
    sg_error err;
    sg_status st = resume ? SG_OK : sg_dir_remove(c->model, &err);

    if (!st)
        st = note_stage(c, "train", false, 0, &err);
    return st ? api_error(e, &err, st) : sedge_train(&p, NULL, e);
}

static int do_evaluate(chain *c, const set_list *options, sedge_error *e)
{
    const sedge_eval_params p = {.size = sizeof p,
                                 .run = c->run,
                                 .model = c->model,
                                 .data = c->data,
                                 .set = set_of(options),
                                 .n_set = options->n};
    sg_error err;
    char *json = NULL;
    int st = sedge_eval(&p, &json, e);

    if (!st && (st = sg_file_write(c->eval_path, json, strlen(json), &err)))
        api_error(e, &err, (sg_status)st);
    sedge_free(json);
    return st;
}

/* ---- measured and expected --------------------------------------------------------------------------------------------- */
static bool as_expected(const json_t *found, const json_t *figure)
{
    const json_t *least = json_object_get(figure, "least"), *most = json_object_get(figure, "most"),
                 *value = json_object_get(figure, "value");
    const double x = json_number_value(found);

    return json_is_number(found) && (!least || x >= json_number_value(least)) &&
           (!most || x <= json_number_value(most)) &&
           (!value ||
            fabs(x - json_number_value(value)) <= json_number_value(json_object_get(figure, "within")));
}

/* Rows {key: name, "metric", "expected", "measured", "pass"} of the figures expected of one part of the evaluation. */
static sg_status compare_part(json_t *out, bool *pass, const json_t *measured, const json_t *expected,
                              const char *key, const char *name, sg_error *err)
{
    const char *metric;
    json_t *figure;

    json_object_foreach((json_t *)(uintptr_t)expected, metric, figure)
    {
        const json_t *found = json_object_get(measured, metric);
        const bool good = as_expected(found, figure);
        json_t *row =
            json_pack("{s:s, s:s, s:O, s:b}", key, name, "metric", metric, "expected", figure, "pass", good);

        if (!row || json_object_set(row, "measured", found ? (json_t *)(uintptr_t)found : json_null()) ||
            json_array_append_new(out, row))
            return sg_fail_memory(err, "comparison");
        *pass = *pass && good;
    }
    return SG_OK;
}

/* "usage@2": x, and "usage": the least so far (last: the latest). */
static void note_figure(json_t *figures, const char *name, size_t level, double x, bool last)
{
    const json_t *worst = json_object_get(figures, name);
    char full[64];

    snprintf(full, sizeof full, "%s@%zu", name, level);
    json_object_set_new(figures, full, json_real(x));
    if (!worst || last || x < json_number_value(worst))
        json_object_set_new(figures, name, json_real(x));
}

/* What a recipe may expect of IDs (recipe.h), from the report that lies with them. */
static json_t *id_figures(const json_t *report)
{
    json_t *figures = json_pack("{s:O*}", "unique_share",
                                json_object_get(json_object_get(report, "collisions"), "unique_share"));
    size_t l;
    json_t *level;

    json_array_foreach(json_object_get(report, "levels"), l, level)
    {
        const double perplexity = json_number_value(json_object_get(level, "perplexity"));
        const json_t *error = json_object_get(level, "error");

        note_figure(figures, "usage", l + 1, json_number_value(json_object_get(level, "usage")), false);
        note_figure(figures, "perplexity", l + 1, perplexity, false);
        note_figure(figures, "evenness", l + 1,
                    perplexity / json_number_value(json_object_get(level, "codes")), false);
        if (json_is_number(error))
            note_figure(figures, "error", l + 1, json_number_value(error), true);
    }
    return figures;
}

/* Bad IDs are not worth a training. */
static sg_status refuse_bad_ids(const chain *c)
{
    size_t i;
    json_t *row;

    json_array_foreach(c->compared, i, row)
    {
        const json_t *figure = json_object_get(row, "expected"), *most = json_object_get(figure, "most"),
                     *least = json_object_get(figure, "least"), *value = json_object_get(figure, "value");
        const char *metric = json_string_value(json_object_get(row, "metric"));
        const double x = json_number_value(json_object_get(row, "measured"));

        if (json_is_true(json_object_get(row, "pass")))
            continue;
        if (!json_is_number(json_object_get(row, "measured")))
            return sg_fail(c->err, SG_ERR_FORMAT, "%s: IDs: %s is not known of these; nothing was trained",
                           c->recipe.path, metric);
        if (least && x < json_number_value(least))
            value = least;
        else if (most && x > json_number_value(most))
            value = most;
        return sg_fail(c->err, SG_ERR_FORMAT, "%s: IDs: %s is %.4g, expected %s %.4g; nothing was trained",
                       c->recipe.path, metric, x,
                       value == least  ? "at least"
                       : value == most ? "at most"
                                       : "about",
                       json_number_value(value));
    }
    return SG_OK;
}

static sg_status check_ids(chain *c)
{
    const json_t *expected = json_object_get(c->recipe.expected, "ids");
    json_t *report = NULL, *figures = NULL;
    sg_dataset *d = NULL;
    sg_ids ids = {0};
    const char *kept;
    bool pass = true;
    sg_status st;

    if (!expected)
        return SG_OK;
    if ((st = sg_dataset_open(&d, c->data, c->err)) || (st = sg_ids_open(&ids, d, c->err)))
        goto done;
    if (!(kept = sg_tensors_meta(ids.file, "report")))
        st = sg_fail(c->err, SG_ERR_MISSING, "%s: its IDs come without a report", c->data);
    else if (!(st = sg_json_parse(&report, (sg_bytes){kept, strlen(kept)}, "report of the semantic IDs",
                                  c->err)))
        st = (figures = id_figures(report))
                 ? compare_part(c->compared, &pass, figures, expected, "stage", "tokenize", c->err)
                 : sg_fail_memory(c->err, "comparison");
    if (!st)
        st = refuse_bad_ids(c);
done:
    json_decref(report);
    json_decref(figures);
    sg_ids_close(&ids);
    sg_dataset_close(d);
    return st;
}

static sg_status compare(bool *pass, const chain *c)
{
    static const char *const sides[] = {"unfiltered", "filtered"};
    const json_t *metrics = json_object_get(c->eval, "metrics"),
                 *ranking = json_object_get(c->eval, "ranking");
    const char *task;
    json_t *figures;
    sg_status st = SG_OK;

    *pass = true;
    for (int s = 0; !st && s < 2; s++)
        st = compare_part(c->compared, pass, json_object_get(metrics, sides[s]),
                          json_object_get(c->recipe.expected, sides[s]), "filter", sides[s], c->err);
    json_object_foreach(json_object_get(c->recipe.expected, "ranking"), task, figures)
    {
        if (st || (st = compare_part(c->compared, pass, json_object_get(ranking, task), figures, "task", task,
                                     c->err)))
            break;
    }
    return st;
}

static sg_status run_chain(chain *c)
{
    const sg_recipe *r = &c->recipe;
    sg_buf sums = {0};
    sg_status st = SG_OK;

    sg_buf_puts(&sums, r->model);
    if (r->synth) {
        st = run_stage(c, "synth", r->synth, "", do_synth);
    } else if (!(st = find_files(&c->files, &sums, c, r->files)) &&
               !(st = find_files(&c->item_text, &sums, c, r->item_text)) &&
               !(st = find_files(&c->user_series, &sums, c, r->user_series))) {
        st = sums.failed ? sg_fail_memory(c->err, "sources")
                         : run_stage(c, "import", r->import, sums.data, do_import);
    }
    sg_buf_free(&sums);
    if (st || (r->embed && (st = run_stage(c, "embed", r->embed, "", do_embed))) ||
        (r->tokenize &&
         ((st = run_stage(c, "tokenize", r->tokenize, "", do_tokenize)) || (st = check_ids(c)))) ||
        (st = run_stage(c, "train", r->train, r->model, do_train)))
        return st;
    return run_stage(c, "evaluate", r->evaluate, "", do_evaluate);
}

static sg_status open_work(chain *c)
{
    sg_status st;

    c->out = c->p->out ? sg_strdup(c->p->out) : sg_path_join("out", c->recipe.name);
    if (!c->out || !(c->data = sg_path_join(c->out, "data")) || !(c->model = sg_path_join(c->out, "model")) ||
        !(c->state_path = sg_path_join(c->out, "stages.json")) ||
        !(c->eval_path = sg_path_join(c->out, "eval.json")) || !(c->stages = json_array()) ||
        !(c->compared = json_array()))
        return sg_fail_memory(c->err, "work folder");
    if ((st = sg_dir_make(c->out, c->err)))
        return st;
    if (sg_file_exists(c->state_path) &&
        (st = sg_json_read(&c->state, c->state_path, SG_JSON_BYTES_MAX, c->err)))
        return st;
    if (!json_is_object(c->state)) {
        json_decref(c->state);
        c->state = json_object();
    }
    return c->state ? SG_OK : sg_fail_memory(c->err, "stages");
}

int sedge_reproduce(const sedge_reproduce_params *given, char **json, sedge_error *err)
{
    const double start = sg_now();
    sedge_reproduce_params p;
    api_call c;
    chain k = {.p = &p, .run = &c.run, .err = &c.err};
    bool pass;
    sg_status st = api_begin(&c, &p, sizeof p, given);

    c.run.size = sizeof c.run;
    if (st || (st = api_need(p.recipe, "a recipe", &c.err)) ||
        (st = api_recipe_read(&k.recipe, p.recipe, &c.err)) || (st = check_prefixes(&k)) ||
        (st = open_work(&k)) || (st = run_chain(&k)) ||
        (st = sg_json_read(&k.eval, k.eval_path, SG_JSON_BYTES_MAX, &c.err)) || (st = compare(&pass, &k)))
        goto done;
    c.result =
        json_pack("{s:s, s:s, s:s, s:O, s:O, s:O*, s:O*, s:O*, s:O*, s:O, s:b, s:f, s:f}", "recipe",
                  k.recipe.name, "model", k.recipe.model, "folder", k.out, "stages", k.stages, "metrics",
                  json_object_get(k.eval, "metrics"), "ranking", json_object_get(k.eval, "ranking"), "floors",
                  json_object_get(k.eval, "floors"), "oracle", json_object_get(k.eval, "oracle"), "receipt",
                  json_object_get(k.eval, "receipt"), "expected", k.compared, "pass", pass, "seconds",
                  sg_now() - start, "seconds_all", k.seconds_all);
    if (!c.result)
        st = sg_fail_memory(&c.err, "result");
done:
    json_decref(k.compared);
    json_decref(k.eval);
    json_decref(k.state);
    json_decref(k.stages);
    free_set(&k.files);
    free_set(&k.item_text);
    free_set(&k.user_series);
    sg_free(k.out);
    sg_free(k.data);
    sg_free(k.model);
    sg_free(k.state_path);
    sg_free(k.eval_path);
    api_recipe_free(&k.recipe);
    return api_end(&c, st, json, err);
}
