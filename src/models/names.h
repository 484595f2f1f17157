/* names.h - what models that write semantic IDs share: token numbers of codes, vectors of whole prefixes, the softmax over
 * codes that exist.
 *
 * Token of code c at level l: first[l] + c. A prefix of two codes and more may have a vector of its own, which is added to
 * that of its last code: what is read then tells names apart as a table of names would, what is written are still codes. */
#ifndef SG_MODELS_NAMES_H
#define SG_MODELS_NAMES_H

#include "decode/beam.h"
#include "models/model.h"

typedef struct sg_names {
    const sg_catalogue *catalogue; /* borrowed */
    int levels,
        learned; /* codes of a name; those that the loss below asks for, the first: all unless the model says otherwise */
    int32_t first[SG_LEVELS_MAX], size[SG_LEVELS_MAX]; /* token range of each level */
    int32_t tokens;                                    /* of all levels */
    sg_param *token, *head; /* (tokens or more, dim): read, written; set by the model */
    sg_param *prefix;       /* (prefixes of two codes and more, dim), or NULL; set by the model */
    int32_t first_prefix[SG_LEVELS_MAX + 2]; /* row of the first prefix of this length; the last: how many */
    int32_t *node; /* owned: (names, levels) row of each prefix of a name, -1 for a single code */
    uint8_t *known[SG_LEVELS_MAX + 1]; /* owned: (nodes of the level) training has seen it; NULL: all */
    float scale;                       /* of logits */
} sg_names;

void sg_names_init(sg_names *s, const sg_catalogue *c);
sg_status sg_names_number(sg_names *s, sg_error *err); /* first_prefix and node */
void sg_names_free(sg_names *s);
/* row (levels) of each prefix of these codes, which no name may have: -1 also where the catalogue has no such prefix. */
void sg_names_rows(int32_t *row, const sg_names *s, const int32_t *codes);

/* A prefix, and a single first code, starts from the mean vector of its items: `spread` as in content.h. name (n_items): which
 * name of the catalogue an item bears; NULL: its own. */
sg_status sg_names_content(sg_names *s, const sg_train_data *t, const int32_t *name, double spread,
                           sg_error *err);
/* Names that only items without a training event bear are no answers while training: nothing is learned against them, and a
 * catalogue that takes them in later is the one they would have been trained beside. Fills `known`. */
sg_status sg_names_known(sg_names *s, const sg_train_data *t, const int32_t *name, sg_error *err);

/* Cross-entropy of each level over the codes that exist after the codes before it: x has a row for each code of each name, in this
 * order; none for the end of an ID, after which no other code exists. */
sg_tensor *sg_names_loss_legal(sg_graph *g, const sg_names *s, sg_tensor *x, const int32_t *name, int n,
                               float smoothing);
/* Decoding: the logits of rows->level from x (n, dim), already scaled; node (n): of each prefix, -1: the catalogue has none such.
 * legal: prefixes count. */
void sg_names_logits(sg_graph *g, const sg_names *s, const float *x, const int32_t *node, bool legal,
                     const sg_beam_rows *rows);

#endif
