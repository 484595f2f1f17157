/* json_place.h - where something stands in a JSON file that was read without its places, for messages. */
#ifndef SG_DATA_JSON_PLACE_H
#define SG_DATA_JSON_PLACE_H

#include <stddef.h>

/* The line, from 1, of a key of the file's one object, or of element number `place` (from 0; -1: the key) of the array behind it. 1 when it
 * is not there or the file cannot be read again. */
size_t sg_json_line_of(const char *path, const char *key, int place);

#endif
