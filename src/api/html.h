/* html.h - a page that needs nothing but itself: text, curves and bars as inline SVG, light and dark by the reader's setting. */
#ifndef SG_API_HTML_H
#define SG_API_HTML_H

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

void sg_html_begin(sg_buf *b, const char *title);
void sg_html_end(sg_buf *b);
void sg_html_text(sg_buf *b, const char *text); /* escaped */
void sg_html_bytes(sg_buf *b, sg_bytes text);   /* escaped; bytes that are no UTF-8 become U+FFFD */
void sg_html_section(sg_buf *b, const char *title,
                     const char *note); /* closed by the next one or by the end; note may be NULL */
void sg_html_card(sg_buf *b, const char *label, const char *value,
                  const char *note); /* between <div class=cards> and </div> */

typedef struct sg_curve {
    const char *title, *x_label;
    const double *x, *y;
    size_t n;
    int best; /* this point is marked; -1: none */
} sg_curve;
void sg_html_curve(sg_buf *b, const sg_curve *c);

/* Counts as bars, largest first, with a line at the mean: how evenly codes are used. */
void sg_html_usage(sg_buf *b, const char *title, const int64_t *count, size_t n);

#endif
