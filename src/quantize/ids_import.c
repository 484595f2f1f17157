/* ids_import.c - semantic IDs made elsewhere: {"0": ["<a_1>", "<b_2>", ...], ...}, as LETTER, MQL4GRec and others publish.
 *
 * A key is an item id, or with key_base the number that is key_base less than it; a code is the number at the end of its
 * token, or a plain number. Where one letter stands before the number it is that of the place, a for the first code.
 * All items need a tuple, all tuples the same length; equal ones get a collision digit. */
#include "quantize/tokenize.h"

#include "base/alloc.h"
#include "data/json_place.h"
#include "data/vocab.h"
#include "file/json.h"
#include "quantize/quantize.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CODES_MAX = 65536 };

/* The number at the end of "<a_17>", "a17" or 17; -1: none, or less than 0. *letter: what stands before it, 0: not one letter alone. */
static int64_t code_of(char *letter, const json_t *token)
{
    const char *text = json_string_value(token);
    size_t end, begin, first, before;

    *letter = 0;
    if (json_is_integer(token))
        return json_integer_value(token);
    if (!text)
        return -1;
    end = strlen(text);
    if (end && text[end - 1] == '>')
        end--;
    for (begin = end; begin && text[begin - 1] >= '0' && text[begin - 1] <= '9';)
        begin--;
    if (begin == end || end - begin > 6 || (begin && text[begin - 1] == '-'))
        return -1;
    first = text[0] == '<';
    before = begin - (begin > first && text[begin - 1] == '_');
    if (before == first + 1 && text[first] >= 'a' && text[first] <= 'z')
        *letter = text[first];
    return strtol(text + begin, NULL, 10);
}

static int32_t find_item(const sg_vocab *ids, const char *key, int key_base)
{
    char number[32], *end;
    long long value;

    if (key_base == 0)
        return sg_vocab_find(ids, (sg_bytes){key, strlen(key)});
    errno = 0;
    value = strtoll(key, &end, 10);
    if (errno || end == key || *end || value > INT32_MAX || value < INT32_MIN)
        return -1;
    const int n = snprintf(number, sizeof number, "%lld", value + key_base);
    return sg_vocab_find(ids, (sg_bytes){number, (size_t)n});
}

static sg_status read_tuple(sg_codes *c, int32_t item, const char *key, const json_t *tuple, const char *path,
                            sg_error *err)
{
    char found[64], letter;

    if (!json_is_array(tuple) || json_array_size(tuple) != (size_t)c->levels)
        return sg_fail(err, SG_ERR_FORMAT, "%s:%zu: '%s': expected an array of %d codes, found %s of %zu",
                       path, sg_json_line_of(path, key, -1), key, c->levels,
                       json_is_array(tuple) ? "one" : "something else", json_array_size(tuple));
    for (int l = 0; l < c->levels; l++) {
        const json_t *token = json_array_get(tuple, (size_t)l);
        const int64_t code = code_of(&letter, token);

        if (code < 0 || code >= CODES_MAX)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s:%zu: '%s': code %d: expected \"<%c_17>\" or a number below %d, found %s", path,
                           sg_json_line_of(path, key, l), key, l + 1, 'a' + l, CODES_MAX,
                           sg_json_describe(token, found));
        if (letter && letter != 'a' + l)
            return sg_fail(err, SG_ERR_FORMAT,
                           "%s:%zu: '%s': code %d: expected \"<%c_%d>\" at this place, found %s", path,
                           sg_json_line_of(path, key, l), key, l + 1, 'a' + l, (int)code,
                           sg_json_describe(token, found));
        c->codes[(size_t)item * (size_t)c->levels + (size_t)l] = (int32_t)code;
        c->size[l] = (int32_t)code + 1 > c->size[l] ? (int32_t)code + 1 : c->size[l];
    }
    return SG_OK;
}

static sg_status read_all(sg_codes *c, const json_t *index, const sg_dataset *d, const char *path,
                          int key_base, sg_error *err)
{
    sg_vocab *ids = NULL;
    uint8_t *seen = sg_alloc_zero((size_t)d->n_items, 1);
    int32_t found = 0;
    const char *key;
    json_t *tuple;
    sg_status st = seen ? sg_vocab_over(&ids, &d->item_ids, err) : sg_fail_memory(err, "semantic IDs");

    if (st)
        goto done;
    json_object_foreach((json_t *)(uintptr_t)index, key, tuple)
    {
        const int32_t item = find_item(ids, key, key_base);

        if (item < 0)
            continue; /* an item of a larger catalogue */
        if ((st = read_tuple(c, item, key, tuple, path, err)))
            goto done;
        found += !seen[item];
        seen[item] = 1;
    }
    for (int32_t i = 0; found < d->n_items && i < d->n_items; i++)
        if (!seen[i]) {
            const sg_bytes id = sg_strings_at(&d->item_ids, (size_t)i);

            st = sg_fail(err, SG_ERR_MISSING,
                         "%s: item '%.*s' has no codes (%d of %d items have none; keys are item ids less "
                         "key base %d)",
                         path, (int)(id.size < 200 ? id.size : 200), id.data, (int)(d->n_items - found),
                         (int)d->n_items, key_base);
            break;
        }
done:
    sg_vocab_free(ids);
    sg_free(seen);
    return st;
}

sg_status sg_ids_import(const sg_dataset *d, const char *path, int key_base, sg_error *err)
{
    json_t *index = NULL, *report = NULL;
    sg_codes c = {0};
    char options[64];
    size_t levels;
    sg_status st;

    if ((st = sg_json_read(&index, path, SG_JSON_BYTES_MAX, err)))
        return st;
    levels = json_array_size(json_object_iter_value(json_object_iter(index)));
    if (levels < 1 || levels > SG_LEVELS_MAX - 1) {
        st = sg_fail(err, SG_ERR_FORMAT,
                     "%s: expected an object {\"item\": [\"<a_1>\", ...]} with 1 to %d codes an item", path,
                     SG_LEVELS_MAX - 1);
        goto done;
    }
    snprintf(options, sizeof options, "{\"key_base\":\"%d\"}", key_base);
    if ((st = sg_codes_init(&c, d->n_items, (int)levels, 0, err)) ||
        (st = read_all(&c, index, d, path, key_base, err)) ||
        (st = sg_doctor(&report, &c, "import", NULL, 0, err)) || (st = sg_collisions_append(&c, 0, err)))
        goto done;
    json_object_set_new(report, "method", json_string("import"));
    json_object_set_new(json_object_get(report, "collisions"), "digit_codes",
                        json_integer(c.digit ? c.size[c.levels - 1] : 0));
    st = sg_codes_save(d, &c, 0, "import", options, report, err);
done:
    json_decref(report);
    json_decref(index);
    sg_codes_fini(&c);
    return st;
}
