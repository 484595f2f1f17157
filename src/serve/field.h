/* field.h - what a request body may hold: one table checks it and describes it in /openapi.json. */
#ifndef SG_SERVE_FIELD_H
#define SG_SERVE_FIELD_H

#include "serve/http.h"
#include "serve/serve.h"

#include <jansson.h>

typedef enum sg_field_type {
    SG_FIELD_TEXT,
    SG_FIELD_TEXTS,
    SG_FIELD_INT,
    SG_FIELD_INTS,
    SG_FIELD_BOOL,
    SG_FIELD_OBJECTS,
    SG_FIELD_MAP,   /* an object whose values are texts */
    SG_FIELD_INPUTS /* one text or a list of texts */
} sg_field_type;

typedef struct sg_field {
    const char *name;
    sg_field_type type;
    bool needed;
    size_t most;      /* place of the limit in sg_serve_config: length of a list, largest integer; 0: none */
    json_int_t least; /* INT without a place: any from here on */
    size_t longest;   /* place of the limit: bytes of a text; 0: id_max */
    const char *choices;          /* TEXT: "float|base64"; NULL: any */
    const struct sg_field *inner; /* OBJECTS: fields of each */
    const char *meaning;
} sg_field; /* a table ends with a field without a name */

/* Parses a body: JSON that is an object, within the limits. NULL: x holds the error. */
json_t *sg_fields_read(sg_exchange *x, const sg_field *table, const sg_serve_config *c);
json_t *sg_fields_schema(const sg_field *table,
                         const sg_serve_config *c); /* JSON schema; NULL: out of memory */

#endif
