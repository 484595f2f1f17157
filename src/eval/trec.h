/* trec.h - inside src/eval: lists and targets for trec_eval. Files appear whole or not at all. */
#ifndef SG_EVAL_TREC_H
#define SG_EVAL_TREC_H

#include "eval/ranks.h"

void sg_trec_put_id(sg_buf *b, sg_bytes id);      /* white space and '%' as %20, %25 */
sg_bytes sg_trec_id(sg_bytes word, sg_buf *room); /* and back; borrowed from word or room */

typedef struct sg_trec sg_trec;
sg_status sg_trec_open(sg_trec **out, const sg_dataset *d, const char *run_path, const char *qrels_path,
                       const char *model, int filter,
                       sg_error *err); /* a NULL path: not wanted; d borrowed */
sg_status sg_trec_list(void *ctx, int filter, const sg_case *c, const int32_t *item, const float *score,
                       int n, sg_error *err);
sg_status sg_trec_close(sg_trec *t, const sg_ranks *r,
                        sg_error *err); /* writes the targets; t is freed in every case */
void sg_trec_abort(sg_trec *t);         /* NULL is fine */

#endif
