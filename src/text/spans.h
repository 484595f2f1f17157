/* spans.h - runs of words of a text, drawn so that those which share words with another text come more often. */
#ifndef SG_TEXT_SPANS_H
#define SG_TEXT_SPANS_H

#include "base/buf.h"
#include "base/status.h"

#include <stdint.h>

typedef struct
    sg_span { /* bytes of the text, from the first letter of its first word to the end of its last one */
    size_t begin, end;
} sg_span;

typedef struct sg_span_how {
    int words;        /* of a span; of a text that has fewer: all of them */
    double sharpness; /* a span is e^sharpness times as likely for every word that it shares, and once more
                         for one that it begins with; 0: all are alike */
    uint64_t seed, number; /* of the draw */
} sg_span_how;

/* At most n spans, each once, the likeliest draw first; *n_out: how many (0: a text without words). Words are what stands between white
 * space; they are the same when their letters and digits are, and those of less than four do not count. query (size 0): none. */
sg_status sg_spans_draw(sg_span *out, int *n_out, int n, sg_bytes text, sg_bytes query,
                        const sg_span_how *how, sg_error *err);

#endif
