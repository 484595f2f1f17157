/* loaded.h - a model that is being served: opened, held by whoever is at work with it, closed by the last
 * one. */
#ifndef SG_SERVE_LOADED_H
#define SG_SERVE_LOADED_H

#include "serve/recall.h"
#include "serve/source.h"

#include <stdatomic.h>
#include <time.h>

typedef struct sg_loaded {
    sg_source source;
    sg_tower *tower;   /* owned: texts to vectors to semantic IDs, as far as the folder has what it takes */
    sg_stock *stock;   /* owned: items on offer */
    time_t when;       /* opened */
    json_t *training;  /* owned: {"report", "curve"}, what the folder keeps of the training */
    sg_recall *recall; /* owned: pasts of histories; NULL: none are kept */
    atomic_int held;
    atomic_bool used;    /* a request was answered */
    atomic_int verified; /* 1: every byte was compared with its checksum, -1: and one was wrong; 0: not yet */
} sg_loaded;

/* Opens the folders and everything that requests need of them. data_dir NULL: the dataset the model learned
 * from, when it is still there. encoder: folder of a language model for texts, or NULL. verify: every byte against its checksum, and
 * one request is tried. Held once. */
sg_status sg_loaded_open(sg_loaded **out, const char *model_dir, const char *data_dir, const char *encoder,
                         bool verify, sg_error *err);
void sg_loaded_hold(sg_loaded *l);
void sg_loaded_release(sg_loaded *l); /* NULL is fine */

#endif
