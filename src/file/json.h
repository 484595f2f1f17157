/* json.h - strict JSON over jansson: errors name file, line and column; files are written atomically, in the order in
 * which the keys were set, numbers in the fewest digits that read back as the same number. */
#ifndef SG_FILE_JSON_H
#define SG_FILE_JSON_H

#include "base/buf.h"
#include "base/io.h"
#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_JSON_BYTES_MAX ((size_t)1 << 30)

/* Bytes that parsing takes, at most, with the value that comes out: a few characters may stand for a hundred times as many bytes, so that
 * files of strangers are weighed before they are parsed. sg_json_read refuses with a bytes_max of SG_JSON_SMALL or less what weighs more than
 * SG_JSON_WEIGHT_SMALL. */
size_t sg_json_weight(sg_bytes text);
#define SG_JSON_SMALL        ((size_t)64 << 20)
#define SG_JSON_WEIGHT_SMALL ((size_t)48 << 20)
sg_status sg_json_parse_light(json_t **out, sg_bytes text, size_t weight_max, const char *name,
                              sg_error *err);

/* Duplicate keys, broken UTF-8 and anything after the value are errors: "config.json:3:14: expected ...". Integers that int64_t does not
 * hold are reals. */
sg_status sg_json_parse(json_t **out, sg_bytes text, const char *name, sg_error *err);
/* Of strangers who write JSON as well as they can: a byte order mark before it, keys twice (the last one counts),
 * U+0000 in strings (so mind their lengths), bytes that are no UTF-8 and halves of surrogate pairs (U+FFFD). */
sg_status sg_json_parse_foreign(json_t **out, sg_bytes text, const char *name, sg_error *err);
sg_status sg_json_parse_by(json_t **out, sg_bytes text, size_t flags, const char *name,
                           sg_error *err); /* the two above: jansson's flags */
sg_status sg_json_read(json_t **out, const char *path, size_t bytes_max, sg_error *err); /* also .gz, .zst */
/* The next value of a file that has one a line, without the empty lines; NULL at the end. where: "FILE:LINE" of it, for messages. */
#define SG_JSON_WHERE 600
sg_status sg_json_line(json_t **out, char where[SG_JSON_WHERE], sg_reader *r, sg_error *err);
/* Indented by two spaces, arrays of plain values on one line; NaN and infinities, which JSON lacks, never occur in json_t. */
void sg_json_print(sg_buf *out, const json_t *value);
void sg_json_print_compact(sg_buf *out, const json_t *value); /* one line */
sg_status sg_json_write(const char *path, const json_t *value, sg_error *err);

/* Members of an object read from outside. `where` (a file name) begins the message:
 * "config.json: 'dim': expected an integer from 1 to 4096, found 0". Missing: SG_ERR_FORMAT "... expected, found nothing". */
sg_status sg_json_need_string(const char **out, const json_t *object, const char *key, const char *where,
                              sg_error *err);
sg_status sg_json_need_int(int64_t *out, const json_t *object, const char *key, int64_t least, int64_t most,
                           const char *where, sg_error *err);
sg_status sg_json_need_real(double *out, const json_t *object, const char *key, const char *where,
                            sg_error *err);
sg_status sg_json_need_object(json_t **out, const json_t *object, const char *key, const char *where,
                              sg_error *err); /* borrowed */
sg_status sg_json_need_array(json_t **out, const json_t *object, const char *key, const char *where,
                             sg_error *err); /* borrowed */
/* "an object", "a string \"abc\"", "12": what a message says was found. */
const char *sg_json_describe(const json_t *value, char text[64]);

#endif
