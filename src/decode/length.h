/* length.h - lists of items whose IDs have several lengths, ranked by score per code. */
#ifndef SG_DECODE_LENGTH_H
#define SG_DECODE_LENGTH_H

#include "index/catalogue.h"

float sg_score_by_length(float score, int32_t item, const sg_catalogue *c, float power); /* score / (codes of the item's ID)^power */
/* Divides each score by (codes of the item's ID)^power and brings the k best to the front, best first; ties keep their order. item -1
 * (with what follows it) counts as not there. n >= k. */
void sg_rank_by_length(int32_t *item, float *score, int n, int k, const sg_catalogue *c, float power);

#endif
