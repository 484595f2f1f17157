/* dsi_lessons.h - a batch of what a differentiable search index is taught, packed: what the encoder reads, what the decoder reads,
 * and what the decoder is to say to each of that. */
#ifndef SG_MODELS_DSI_LESSONS_H
#define SG_MODELS_DSI_LESSONS_H

#include "models/dsi_texts.h"
#include "models/names.h"

typedef enum sg_dsi_task { SG_DSI_TO_ID, SG_DSI_TO_TEXT, SG_DSI_BOTH, SG_DSI_SPANS } sg_dsi_task;

/* The first token that the encoder reads. */
enum { SG_DSI_INDEX, SG_DSI_RETRIEVE, SG_DSI_WRITE, SG_DSI_FILL, SG_DSI_FIRSTS, SG_DSI_GAPS = 16 };

typedef struct sg_dsi_tokens { /* behind the codes: where the others begin */
    int32_t bos, first, gap, word, n_words;
} sg_dsi_tokens;

typedef struct sg_dsi_lessons {
    const sg_names *names; /* borrowed, as are codes and texts */
    const int32_t *codes;  /* (documents, levels) */
    const sg_dsi_texts *texts;
    sg_dsi_tokens tokens;
    sg_dsi_form form;
    sg_dsi_task task;
    double drop;    /* share of words left out */
    size_t n_index; /* examples below it index documents, the others retrieve */
    uint64_t seed, step;

    /* filled, in step memory */
    int n, n_enc, n_dec, n_ids;
    int32_t *enc, *enc_at; /* tokens; (n + 1) */
    int32_t *dec, *dec_at, *begin, *size,
        *target;              /* target, one of begin .. begin + size - 1; -1: nothing is asked */
    int32_t *prefix;          /* row of the prefix that a token of the decoder ends, -1: none */
    int32_t *id_row, *id_doc; /* (n_ids) where the decoder is to say the first code of which document */
    int32_t *text;            /* words at hand */
} sg_dsi_lessons;

/* Room for n lessons. False: sticky in the graph. */
bool sg_dsi_lessons_take(sg_dsi_lessons *l, sg_graph *g, int n);
/* One more lesson: of example `number`. */
void sg_dsi_teach(sg_dsi_lessons *l, uint32_t number);

#endif
