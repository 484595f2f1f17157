/* recipe.c - reads a recipe and refuses what it does not know, before anything runs. */
#include "api/recipe.h"

#include "base/alloc.h"
#include "file/yaml.h"

#include <stdio.h>
#include <string.h>

/* A recipe being checked: where each value stands in the file. */
typedef struct checker {
    const char *path;
    json_t *places;
    sg_error *err;
} checker;

static sg_status wrong(const checker *c, const char *key, const char *expected)
{
    const char *place = json_string_value(json_object_get(c->places, key));

    if (place)
        return sg_fail(c->err, SG_ERR_FORMAT, "%s:%s: %s: expected %s", c->path, place, key, expected);
    return sg_fail(c->err, SG_ERR_FORMAT, "%s: %s: expected %s", c->path, key, expected);
}

static sg_status only_keys(const checker *c, const char *where, const json_t *object,
                           const char *const *known, size_t n)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        bool found = false;
        char full[512];
        const char *near, *place;

        for (size_t i = 0; i < n; i++)
            found |= strcmp(known[i], key) == 0;
        if (found)
            continue;
        snprintf(full, sizeof full, "%s%s%s", where, where[0] ? "." : "", key);
        place = json_string_value(json_object_get(c->places, full));
        near = sg_nearest(key, known, n);
        return sg_fail(c->err, SG_ERR_FORMAT,
                       near ? "%s:%s: unknown key '%s' (did you mean '%s'?)" : "%s:%s: unknown key '%s'",
                       c->path, place ? place : "1", full, near);
    }
    return SG_OK;
}

/* An object, or nothing. */
static sg_status part(const checker *c, const json_t **out, const json_t *object, const char *where,
                      const char *key)
{
    char full[256];

    *out = json_object_get(object, key);
    snprintf(full, sizeof full, "%s%s%s", where, where[0] ? "." : "", key);
    if (*out && !json_is_object(*out))
        return wrong(c, full, "a mapping");
    return SG_OK;
}

static sg_status check_files(const checker *c, const json_t **out, const json_t *data, const char *key)
{
    static const char *const known[] = {"path", "sha256"};
    char full[256];
    size_t i;
    json_t *file;
    sg_status st;

    if (!(*out = json_object_get(data, key)))
        return SG_OK;
    snprintf(full, sizeof full, "data.%s", key);
    if (!json_is_array(*out))
        return wrong(c, full, "a list of files");
    json_array_foreach(*out, i, file)
    {
        const char *sha256 = json_string_value(json_object_get(file, "sha256"));

        snprintf(full, sizeof full, "data.%s.%zu", key, i);
        if (!json_is_object(file) || !json_is_string(json_object_get(file, "path")))
            return wrong(c, full, "a mapping with a path");
        if ((st = only_keys(c, full, file, known, 2)))
            return st;
        if (json_object_get(file, "sha256") && (!sha256 || strlen(sha256) != 64))
            return wrong(c, full, "a sha256 of 64 hexadecimal digits");
    }
    return SG_OK;
}

/* {metric: {least: NUMBER}, ...} */
static sg_status check_figures(const checker *c, const json_t *figures, const char *where)
{
    static const char *const known[] = {"least", "most", "value", "within"};
    const char *key;
    json_t *value;
    sg_status st;

    json_object_foreach((json_t *)(uintptr_t)figures, key, value)
    {
        char full[256];

        snprintf(full, sizeof full, "%s.%s", where, key);
        if (!json_is_object(value) || !(json_is_number(json_object_get(value, "least")) ||
                                        json_is_number(json_object_get(value, "most")) ||
                                        (json_is_number(json_object_get(value, "value")) &&
                                         json_is_number(json_object_get(value, "within")))))
            return wrong(c, full, "{least: NUMBER}, {most: NUMBER} or {value: NUMBER, within: NUMBER}");
        if ((st = only_keys(c, full, value, known, 4)))
            return st;
    }
    return SG_OK;
}

/* Figures of the IDs: unique_share, and of all levels or, as usage@2, of one: usage, perplexity, evenness (perplexity by codes), error. */
static sg_status check_id_figures(const checker *c, const json_t *figures, bool tokenized)
{
    static const char *const known[] = {"usage", "perplexity", "evenness", "error"};
    const char *key;
    json_t *value;

    if (figures && !tokenized)
        return wrong(c, "expected.ids", "a stage tokenize beside it");
    json_object_foreach((json_t *)(uintptr_t)figures, key, value)
    {
        const size_t n = strcspn(key, "@");
        const char *level = key + n + (key[n] == '@');
        bool found = strcmp(key, "unique_share") == 0;
        char full[256];

        for (size_t i = 0; i < 4; i++)
            found |= strlen(known[i]) == n && strncmp(key, known[i], n) == 0 &&
                     (!key[n] || (level[0] >= '1' && level[0] <= '9' && !level[1]));
        snprintf(full, sizeof full, "expected.ids.%s", key);
        if (!found)
            return wrong(c, full,
                         "unique_share, or usage, perplexity, evenness or error, as it stands or of a level "
                         "(usage@1)");
    }
    return check_figures(c, figures, "expected.ids");
}

static sg_status check_expected(const checker *c, const json_t *expected, bool tokenized)
{
    static const char *const sides[] = {"unfiltered", "filtered", "ranking", "ids"};
    const json_t *side, *figures;
    const char *task;
    json_t *value;
    sg_status st = only_keys(c, "expected", expected, sides, 4);

    for (int s = 0; !st && s < 2; s++) {
        char full[64];

        snprintf(full, sizeof full, "expected.%s", sides[s]);
        if (!(st = part(c, &side, expected, "expected", sides[s])))
            st = check_figures(c, side, full);
    }
    if (st || (st = part(c, &side, expected, "expected", "ids")) ||
        (st = check_id_figures(c, side, tokenized)) || (st = part(c, &side, expected, "expected", "ranking")))
        return st;
    json_object_foreach((json_t *)(uintptr_t)side, task, value)
    {
        char full[256];

        snprintf(full, sizeof full, "expected.ranking.%s", task);
        if ((st = part(c, &figures, side, "expected.ranking", task)) ||
            (st = check_figures(c, figures, full)))
            return st;
    }
    return SG_OK;
}

static sg_status check(sg_recipe *r, const checker *c)
{
    static const char *const top[] = {"name",     "about", "data",     "synth",   "embed",
                                      "tokenize", "train", "evaluate", "expected"};
    static const char *const data_keys[] = {"files", "item_text", "user_series", "options"},
                             *const train_keys[] = {"model", "options"};
    const json_t *data = NULL, *train = NULL;
    sg_status st;

    if (!json_is_object(r->root))
        return sg_fail(c->err, SG_ERR_FORMAT, "%s: expected a mapping", c->path);
    if ((st = only_keys(c, "", r->root, top, sizeof top / sizeof *top)) ||
        (st = part(c, &data, r->root, "", "data")) || (st = part(c, &r->synth, r->root, "", "synth")) ||
        (st = part(c, &r->embed, r->root, "", "embed")) ||
        (st = part(c, &r->tokenize, r->root, "", "tokenize")) ||
        (st = part(c, &train, r->root, "", "train")) ||
        (st = part(c, &r->evaluate, r->root, "", "evaluate")) ||
        (st = part(c, &r->expected, r->root, "", "expected")))
        return st;
    if (!(r->name = json_string_value(json_object_get(r->root, "name"))) || !r->name[0] ||
        r->name[0] == '/' || strstr(r->name, ".."))
        return wrong(c, "name", "a name such as beauty/tiger");
    if (!data == !r->synth)
        return wrong(c, "data", "either data or synth");
    if ((data && ((st = only_keys(c, "data", data, data_keys, 4)) ||
                  (st = check_files(c, &r->files, data, "files")) ||
                  (st = check_files(c, &r->item_text, data, "item_text")) ||
                  (st = check_files(c, &r->user_series, data, "user_series")) ||
                  (st = part(c, &r->import, data, "data", "options")))) ||
        (train && ((st = only_keys(c, "train", train, train_keys, 2)) ||
                   (st = part(c, &r->train, train, "train", "options")))) ||
        (r->expected && (st = check_expected(c, r->expected, r->tokenize != NULL))))
        return st;
    if (data && json_array_size(r->files) == 0)
        return wrong(c, "data.files", "at least one file");
    if (!(r->model = json_string_value(json_object_get(train, "model"))))
        return wrong(c, "train.model", "the name of a model");
    return SG_OK;
}

sg_status api_recipe_read(sg_recipe *out, const char *path, sg_error *err)
{
    checker c = {.path = path, .err = err};
    sg_status st;

    *out = (sg_recipe){0};
    if (!(out->path = sg_strdup(path)))
        return sg_fail_memory(err, path);
    if (!(st = sg_yaml_read(&out->root, &c.places, path, err)))
        st = check(out, &c);
    json_decref(c.places);
    if (st)
        api_recipe_free(out);
    return st;
}

void api_recipe_free(sg_recipe *r)
{
    sg_free(r->path);
    json_decref(r->root);
    *r = (sg_recipe){0};
}

sg_status api_recipe_train(const char *path, const char *model, const api_table *tables, size_t n_tables,
                           sg_error *err)
{
    sg_recipe r;
    char where[512];
    sg_status st;

    if ((st = api_recipe_read(&r, path, err)))
        return st;
    snprintf(where, sizeof where, "%s: train.options", path);
    if (strcmp(r.model, model) != 0)
        st = sg_fail(err, SG_ERR_USAGE, "%s: expected a recipe for %s, found one for %s", path, model,
                     r.model);
    else if (r.train)
        st = api_assign_object(tables, n_tables, r.train, where, err);
    api_recipe_free(&r);
    return st;
}
