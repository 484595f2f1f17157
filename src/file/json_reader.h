/* json_reader.h - JSON one step at a time, for texts too large to become a json_t: accepted is what sg_json_parse accepts, with the same
 * values, up to the limits below; no 0 byte, though, which jansson overlooks behind a number. Takes memory for a string with escapes, and
 * 16 to 24 bytes a key of the objects that are open. */
#ifndef SG_FILE_JSON_READER_H
#define SG_FILE_JSON_READER_H

#include "base/buf.h"
#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SG_JSON_KEYS_MAX ((size_t)1 << 21) /* of the objects that are open at once */
#define SG_JSON_ESCAPED_MAX                                                                                  \
    ((size_t)8 << 20) /* bytes of a string with escapes; a number has at most 65,536 */

typedef enum sg_json_step {
    SG_JSON_STEP_END,    /* behind the value, at the end of the text */
    SG_JSON_STEP_OBJECT, /* its members follow, then a SG_JSON_STEP_CLOSE */
    SG_JSON_STEP_ARRAY,
    SG_JSON_STEP_CLOSE,
    SG_JSON_STEP_STRING,
    SG_JSON_STEP_INTEGER,
    SG_JSON_STEP_REAL,
    SG_JSON_STEP_TRUE,
    SG_JSON_STEP_FALSE,
    SG_JSON_STEP_NULL,
} sg_json_step;

typedef struct sg_json_reader {
    sg_bytes text;    /* borrowed, as name is */
    const char *name; /* begins what errors say: "NAME:LINE:COLUMN: " */
    bool known;       /* the text was read before, without an error: keys are not looked at for twins again */
    sg_json_step step; /* the last one */
    sg_bytes key;      /* of a member; valid, as the string is, until the next step; no 0 byte follows */
    sg_bytes string;   /* decoded; of a number its characters */
    int64_t integer;
    size_t begin, at;            /* where the value begins, and where the next step does */
    size_t depth;                /* objects and arrays that are open */
    uint64_t seed;               /* of the hashes of keys */
    struct sg_json_level *level; /* owned, as all that follows */
    struct sg_json_key *seen;    /* keys of the objects that are open, those of the innermost last */
    uint32_t *slot;              /* index in seen + 1, 0: none; open addressing */
    size_t cap_level, n_seen, cap_seen, n_slot;
    sg_buf key_text, string_text, twin_text;
} sg_json_reader;

void sg_json_reader_init(sg_json_reader *r, sg_bytes text, const char *name);
void sg_json_reader_fini(sg_json_reader *r);
/* The next step. Text that is no JSON: SG_ERR_FORMAT. Not to be called after an error, or behind the end. */
sg_status sg_json_reader_next(sg_json_reader *r, sg_error *err);
/* After a step that opens an object or array: to its SG_JSON_STEP_CLOSE; otherwise nothing. *n, if not NULL: how many members it had.
 * text from begin to at is then the value. */
sg_status sg_json_reader_skip(sg_json_reader *r, size_t *n, sg_error *err);
double sg_json_reader_real(const sg_json_reader *r); /* of the number */
/* As sg_json_describe. */
const char *sg_json_reader_describe(const sg_json_reader *r, char text[64]);

#endif
