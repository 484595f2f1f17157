/* json.c - json [KEY/KEY]: reads one JSON value from stdin and prints it or a member; exit code 1 when it is no JSON. */
#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    json_error_t err;
    json_t *root = json_loadf(stdin, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &err), *at = root;

    if (!root) {
        fprintf(stderr, "json: line %d: %s\n", err.line, err.text);
        return 1;
    }
    for (char *key = argc > 1 ? strtok(argv[1], "/") : NULL; key; key = strtok(NULL, "/")) {
        at = json_is_array(at) ? json_array_get(at, strtoul(key, NULL, 10)) : json_object_get(at, key);
        if (!at) {
            fprintf(stderr, "json: no member '%s'\n", key);
            json_decref(root);
            return 1;
        }
    }
    if (json_is_string(at)) {
        puts(json_string_value(at));
    } else {
        json_dumpf(at, stdout, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        putchar('\n');
    }
    json_decref(root);
    return 0;
}
