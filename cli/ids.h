/* ids.h - what the codebook doctor says, for people. */
#ifndef SEDGE_CLI_IDS_H
#define SEDGE_CLI_IDS_H

#include <jansson.h>

void sg_show_codebook(const json_t *report);
void sg_show_prefixes(const json_t *report);

#endif
