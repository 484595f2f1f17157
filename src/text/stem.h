/* stem.h - words without their endings: "vitamins" and "vitamin" are one. Of Snowball's libstemmer, which a build may lack;
 * text/stem.c is the only file that names it. */
#ifndef SG_TEXT_STEM_H
#define SG_TEXT_STEM_H

#include "base/buf.h"
#include "base/status.h"

typedef struct sg_stemmer sg_stemmer;

/* algorithm: as libstemmer names it, "english", "porter" (the older one for English), "german" ... SG_ERR_MISSING: a build without. */
sg_status sg_stemmer_new(sg_stemmer **out, const char *algorithm, sg_error *err);
void sg_stemmer_free(sg_stemmer *s); /* NULL is fine */
/* A word in lower case becomes its stem. Not for several threads at once. */
sg_status sg_stem(sg_stemmer *s, sg_buf *word, sg_error *err);

#endif
