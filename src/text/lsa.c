/* lsa.c - item vectors from text: tf-idf rows, reduced by a randomised SVD. */
#include "text/lsa.h"

#define SG_OPTION_STRUCT sg_lsa_config
const sg_option sg_lsa_options[] = {SG_LSA_OPTIONS(SG_OPTION_ROW)};
const size_t sg_n_lsa_options = sizeof sg_lsa_options / sizeof *sg_lsa_options;
