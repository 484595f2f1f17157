/* adapter_parts.h - what the files of adapters share. */
#ifndef SG_LM_ADAPTER_PARTS_H
#define SG_LM_ADAPTER_PARTS_H

#include "lm/adapter.h"

#define SG_ADAPTER_BEFORE "base_model.model." /* of every name of a tensor in a file */

/* Rows of tables, from adapter_config.json (o, read from `path`) and tensors: sets a->words, a->output and a->vocab. */
sg_status sg_adapter_rows_load(sg_adapter *a, const json_t *o, const char *path, const sg_weights *w,
                               const sg_tensors *file, sg_error *err);
/* A tensor of a file that is a table or rows of one, which that has read. */
bool sg_adapter_rows_have(const sg_adapter *a, const char *tensor);
/* An empty set of n rows of the word table, or of the output matrix; ids are the caller's to set, ascending. */
sg_status sg_adapter_rows_declare(sg_adapter *a, bool output, int n, sg_error *err);
bool sg_adapter_rows_tell(json_t *config,
                          const sg_adapter *a); /* what PEFT reads of them; false: out of memory */

#endif
