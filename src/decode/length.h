/* length.h - lists of items whose IDs have several lengths, ranked by score per code. */
#ifndef SG_DECODE_LENGTH_H
#define SG_DECODE_LENGTH_H

#include "index/catalogue.h"

float sg_score_by_length(float score, int32_t item, const sg_catalogue *c,
                         float power); /* score / (codes of the item's ID)^power */
/* Divides each score by (codes of the item's ID)^power and brings the k best to the front, best first; ties keep their order. Items are
 * compared in blocks of so many as they came, those of the next behind those before, their scores moved down below these: so a short
 * list begins a longer one. item -1 (with what follows it) counts as not there. n >= k; more than k: up to a multiple of block. */
void sg_rank_by_length(int32_t *item, float *score, int n, int k, int block, const sg_catalogue *c,
                       float power);

#endif
