/* json_place.c - a second look at a file about which there is something to say. */
#include "data/json_place.h"

#include "base/io.h"
#include "data/json_scan.h"
#include "file/json.h"

#include <string.h>

static const char *find(sg_bytes text, const char *key, int place)
{
    sg_json_value name, value, element;
    sg_json_scan object, array;
    const char *at = NULL;
    sg_buf room = {0};
    sg_bytes plain;

    sg_json_begin(&object, text, false);
    for (sg_json_enter(&object, '{'); !at && sg_json_member(&object, &name, &value);) {
        if (!sg_json_string(&plain, &name, &room) || plain.size != strlen(key) ||
            memcmp(plain.data, key, plain.size) != 0)
            continue;
        at = name.text.data;
        sg_json_begin(&array, value.text, false);
        for (sg_json_enter(&array, '['); place >= 0 && sg_json_element(&array, &element); place--)
            at = element.text.data;
    }
    sg_buf_free(&room);
    return at;
}

size_t sg_json_line_of(const char *path, const char *key, int place)
{
    const char *at = NULL;
    sg_buf text = {0};
    size_t line = 1;

    if (!sg_file_read_any(&text, path, SG_JSON_BYTES_MAX, NULL))
        at = find((sg_bytes){text.data, text.size}, key, place);
    for (const char *p = text.data; at && p < at; p++)
        line += *p == '\n';
    sg_buf_free(&text);
    return line;
}
