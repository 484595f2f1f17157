/* collection.h - queries, and how well documents answer them: what makes a dataset a retrieval collection.
 *
 *   collection.safetensors   query.id.bytes U8, query.id.offsets I64 (n_queries + 1), query.text.bytes, query.text.offsets;
 *                            for each split S of train, dev, test: S.offsets I64 (n_queries + 1), S.doc I32, S.grade I32,
 *                            judgements by query, then document
 *
 * Documents are the items of the dataset, which has neither users nor events. A grade above 0 says relevant, and how much. */
#ifndef SG_DATA_COLLECTION_H
#define SG_DATA_COLLECTION_H

#include "data/dataset.h"

typedef enum sg_collection_split {
    SG_COLLECTION_TRAIN,
    SG_COLLECTION_DEV,
    SG_COLLECTION_TEST
} sg_collection_split;
enum { SG_COLLECTION_SPLITS = 3, SG_GRADE_MAX = 1000 };
extern const char *const sg_collection_split_names[SG_COLLECTION_SPLITS]; /* "train", "dev", "test" */

typedef struct sg_judgements {
    int64_t n;
    const int64_t *offsets; /* (n_queries + 1) */
    const int32_t *doc;     /* (n) ascending for a query */
    const int32_t *grade;   /* (n) -SG_GRADE_MAX .. SG_GRADE_MAX */
} sg_judgements;

typedef struct sg_collection {
    sg_tensors *file; /* owned; NULL: made in memory */
    int32_t n_queries;
    sg_strings query_ids, query_text;
    sg_judgements split[SG_COLLECTION_SPLITS];
} sg_collection;

/* *out NULL: this dataset is none. Every offset, document and grade is checked. */
sg_status sg_collection_open(sg_collection **out, const sg_dataset *d, sg_error *err);
void sg_collection_close(sg_collection *c); /* NULL is fine */
/* Into the folder dir. */
sg_status sg_collection_write(const char *dir, const sg_collection *c, sg_error *err);

/* How many relevant documents the split names for a query; a query of which there are none is not asked. */
int32_t sg_collection_relevant(const sg_collection *c, sg_collection_split split, int32_t query);
int32_t sg_collection_asked(const sg_collection *c,
                            sg_collection_split split); /* queries with a relevant document */

#endif
