/* prefixes.c - the part of the codebook report that explains, in the model folder. */
#include "models/prefixes.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/json.h"
#include "index/catalogue.h"

#include <stdio.h>
#include <string.h>

#define IDS_BYTES_MAX ((size_t)256 << 20)

enum { WORDS = 5, KEY_MAX = SG_CATALOGUE_LEVELS_MAX * 8 };

static void print_key(char *key, const int32_t *codes, int depth)
{
    size_t at = 0;

    key[0] = 0;
    for (int l = 0; l < depth; l++)
        at += (size_t)snprintf(key + at, KEY_MAX - at, l ? ",%d" : "%d", (int)codes[l]);
}

static json_t *words_of(const json_t *list)
{
    json_t *words = json_array(), *one;
    size_t i;

    json_array_foreach(list, i, one) if (json_array_size(words) < WORDS && json_object_get(one, "word"))
        json_array_append(words, json_object_get(one, "word"));
    return words;
}

/* {"items", "words", column: value} of one prefix of the report. */
static json_t *entry_of(json_t *prefix)
{
    json_t *out = json_object(), *member;
    const char *name;

    json_object_set(out, "items", json_object_get(prefix, "items"));
    json_object_set_new(out, "words", words_of(json_object_get(prefix, "words")));
    json_object_foreach(prefix, name, member)
    {
        const json_t *first =
            json_array_get(member, 0); /* the report puts the most specific shared value first */

        if (json_object_get(first, "value") && json_number_value(json_object_get(first, "share")) >= 0.5)
            json_object_set(out, name, json_object_get(first, "value"));
    }
    return out;
}

sg_status sg_prefixes_save(const char *dir, const json_t *report, sg_error *err)
{
    json_t *all = json_object(), *prefix;
    char *path = sg_path_join(dir, "ids.json");
    sg_status st;
    size_t i;

    json_array_foreach(json_object_get(report, "prefixes"), i, prefix)
    {
        const json_t *list = json_object_get(prefix, "prefix");
        const size_t depth = json_array_size(list);
        int32_t codes[SG_CATALOGUE_LEVELS_MAX];
        char key[KEY_MAX];

        if (depth > SG_CATALOGUE_LEVELS_MAX || json_integer_value(json_object_get(prefix, "items")) < 2)
            continue;
        for (size_t l = 0; l < depth; l++)
            codes[l] = (int32_t)json_integer_value(json_array_get(list, l));
        print_key(key, codes, (int)depth);
        json_object_set_new(all, key, entry_of(prefix));
    }
    st = path && all ? sg_json_write(path, all, err) : sg_fail_memory(err, "ids.json");
    json_decref(all);
    sg_free(path);
    return st;
}

sg_status sg_prefixes_open(json_t **out, const char *dir, sg_error *err)
{
    char *path = sg_path_join(dir, "ids.json");
    sg_status st = SG_OK;

    *out = NULL;
    if (!path)
        return sg_fail_memory(err, "ids.json");
    if (sg_file_exists(path))
        st = sg_json_read(out, path, IDS_BYTES_MAX, err);
    sg_free(path);
    return st;
}

json_t *sg_prefixes_find(const json_t *prefixes, const int32_t *codes, int depth)
{
    char key[KEY_MAX];

    print_key(key, codes, depth);
    return json_object_get(prefixes, key);
}
