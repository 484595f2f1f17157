/* yaml.h - recipes: YAML read into JSON values. Mappings, sequences and scalars of one document, typed as in the YAML 1.2
 * core schema (null ~, true false, integers, floats; quoted: strings; yes, no, on, off are strings). Anchors, aliases, tags
 * and repeated keys are refused: a recipe says what it means in one place. */
#ifndef SG_FILE_YAML_H
#define SG_FILE_YAML_H

#include "base/buf.h"
#include "base/status.h"

#include <jansson.h>

#define SG_YAML_BYTES_MAX ((size_t)4 << 20)

/* places (NULL is fine): an object "train.lr" -> "12:3", where each value stands, so that a wrong one can be reported as
 * "recipe.yaml:12:3: ...". Sequence members count from 0: "columns.0". Both results are owned by the caller. */
sg_status sg_yaml_read(json_t **out, json_t **places, const char *path, sg_error *err);
sg_status sg_yaml_parse(json_t **out, json_t **places, sg_bytes text, const char *name, sg_error *err);

#endif
