/* receipt.h - what a number depends on, as a JSON object that travels with the model and stands beside
 * every result.
 *
 * Only what can change the number goes in: no clock, no host name, so that the same run gives the same
 * bytes. */
#ifndef SG_FILE_RECEIPT_H
#define SG_FILE_RECEIPT_H

#include "base/option.h"
#include "base/status.h"

#include <jansson.h>

/* Sets object[key] = value; takes over value, NULL meaning out of memory. */
sg_status sg_receipt_put(json_t *object, const char *key, json_t *value, sg_error *err);
/* A number, or null for NaN: what could not be said. NULL: out of memory. */
json_t *sg_receipt_number(double x);
/* A new object at object[key]; *out is borrowed from it. */
sg_status sg_receipt_object(json_t **out, json_t *object, const char *key, sg_error *err);
sg_status sg_receipt_text(json_t *object, const char *key, const char *value, sg_error *err);

/* Options as {name: value}: numbers as numbers, so that the same text comes back. NULL: out of memory. */
json_t *sg_receipt_options(const void *config, const sg_option *table, size_t n);
/* And back into a struct; unknown names and wrong values are errors that begin with `where`. */
sg_status sg_receipt_read_options(void *config, const sg_option *table, size_t n, const json_t *options,
                                  const char *where, sg_error *err);

/* One line a leaf, "data.sha256: 1234...", keys in order. */
void sg_receipt_print(sg_buf *out, const json_t *receipt);

#endif
