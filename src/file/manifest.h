/* manifest.h - manifest.json: name, size and SHA-256 of every file of a folder, so that a copy can be checked.
 *
 *   {"files": {"config.json": {"bytes": 812, "sha256": "..."}, ...}}   names ascending; folders inside are not covered */
#ifndef SG_FILE_MANIFEST_H
#define SG_FILE_MANIFEST_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>

#define SG_MANIFEST_NAME "manifest.json"

/* Covers every plain file of the folder but the manifest itself. */
sg_status sg_manifest_write(const char *dir, sg_error *err);
/* Takes in these files, or strikes them off where they are gone; the others are not read again. */
sg_status sg_manifest_add(const char *dir, const char *const *name, size_t n, sg_error *err);
/* Every file is there with its size; with `deep` the bytes are hashed too. Files not listed are left alone. No manifest:
 * SG_ERR_MISSING. */
sg_status sg_manifest_check(const char *dir, bool deep, sg_error *err);

/* The same for named files and an object kept elsewhere (dataset.json keeps its own). */
sg_status sg_manifest_files(json_t **out, const char *dir, const char *const *name, size_t n, sg_error *err);
sg_status sg_manifest_check_files(const json_t *files, const char *dir, const char *where, bool deep,
                                  sg_error *err);

#endif
