/* import_beir.h - a retrieval collection in BEIR's layout into a dataset folder (data/collection.h).
 *
 *   FOLDER/corpus.jsonl     {"_id": ..., "title": ..., "text": ...}   title may be missing
 *   FOLDER/queries.jsonl    {"_id": ..., "text": ...}
 *   FOLDER/qrels/S.tsv      query-id, corpus-id, score, after a line that says so; S: train, dev, test. Or FOLDER/qrels_S.tsv
 *
 * each also as .gz or .zst. A row that is not what it should be ends the import, "FILE:LINE: expected ..., found ...". */
#ifndef SG_DATA_IMPORT_BEIR_H
#define SG_DATA_IMPORT_BEIR_H

#include "base/progress.h"
#include "base/status.h"

#include <jansson.h>
#include <stdint.h>

typedef struct sg_beir_spec {
    const char *folder;
    const char *name; /* NULL: that of the folder */
    double dev; /* share of the training queries that become dev where there is no file for it; 0: none */
    uint64_t dev_seed;
    int64_t bad_rows_max; /* judgements about unknown queries or documents that are skipped and counted */
} sg_beir_spec;

/* *report: name, format, sources [{path, rows}], items, queries, splits {S: {queries, judgements, relevant}}; owned by the caller. */
sg_status sg_import_beir(const char *dir, const sg_beir_spec *spec, const sg_progress *progress,
                         json_t **report, sg_error *err);

#endif
