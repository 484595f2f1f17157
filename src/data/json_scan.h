/* json_scan.h - JSON text walked in place: values as spans, no tree, no allocation but for decoded strings.
 *
 * For files of many small objects, where a parser that builds every value would cost ten times the reading.
 * Strict by RFC 8259, or `loose`: also Python literals ('text', True, None), the form of Amazon's 2014
 * metadata. */
#ifndef SG_DATA_JSON_SCAN_H
#define SG_DATA_JSON_SCAN_H

#include "data/input.h"

typedef enum sg_json_kind {
    SG_JSON_NULL,
    SG_JSON_FALSE,
    SG_JSON_TRUE,
    SG_JSON_NUMBER,
    SG_JSON_STRING,
    SG_JSON_ARRAY,
    SG_JSON_OBJECT
} sg_json_kind;

typedef struct sg_json_value {
    sg_json_kind kind;
    sg_bytes text; /* number: its characters; string: what stands between the quotes; array, object: with the
                      brackets */
    bool escaped;  /* string: holds backslashes */
} sg_json_value;

typedef struct sg_json_scan {
    const char *at, *end;
    bool loose;
    bool first;          /* inside an object or array, before its first member */
    const char *problem; /* what was expected; NULL: all is well */
} sg_json_scan;

void sg_json_begin(sg_json_scan *s, sg_bytes text, bool loose);
/* One value at s->at, with what is inside it checked. False: s->problem says what was expected at s->at. */
bool sg_json_take(sg_json_scan *s, sg_json_value *out);
bool sg_json_end(sg_json_scan *s); /* nothing but white space is left, else a problem */

/* for (sg_json_enter(&s, '{'); sg_json_member(&s, &key, &value);) ... ; then s.problem tells the end from an
 * error */
void sg_json_enter(sg_json_scan *s, char bracket);
bool sg_json_member(sg_json_scan *s, sg_json_value *key, sg_json_value *value);
bool sg_json_element(sg_json_scan *s, sg_json_value *value);

/* The characters of a string value: its span, or decoded into room when there are escapes. False: out of
 * memory. */
bool sg_json_string(sg_bytes *out, const sg_json_value *v, sg_buf *room);

/* "PATH:LINE: column N: expected ..., found ..." for the scanner's problem; text is the row that begins at
 * `line`. */
sg_status sg_json_fail(const sg_json_scan *s, const sg_input *in, sg_bytes text, uint64_t line,
                       sg_error *err);

/* A file that is one large object or array: its members one after the other, each whole inside the window.
 * kind SG_JSON_OBJECT: key and value; SG_JSON_ARRAY: value. *got false: the end, after which nothing may
 * follow. */
typedef struct sg_json_file {
    sg_input *in; /* borrowed */
    sg_json_kind kind;
    bool first, done;
    uint64_t line; /* where the current member begins */
    sg_bytes text; /* the current member */
} sg_json_file;
sg_status sg_json_file_begin(sg_json_file *f, sg_input *in, sg_error *err);
sg_status sg_json_file_next(sg_json_file *f, sg_json_value *key, sg_json_value *value, bool *got,
                            sg_error *err);

#endif
