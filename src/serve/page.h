/* page.h - the page at /, src/serve/ui/page.html, made into bytes by cmake/embed.cmake. */
#ifndef SG_SERVE_PAGE_H
#define SG_SERVE_PAGE_H

#include <stddef.h>

extern const unsigned char sg_page[]; /* followed by a 0 byte */
extern const size_t sg_page_bytes;

#endif
