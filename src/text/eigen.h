/* eigen.h - eigenvalues and eigenvectors of a symmetric matrix, in double. */
#ifndef SG_TEXT_EIGEN_H
#define SG_TEXT_EIGEN_H

#include "base/status.h"

/* a (n, n), row-major, symmetric: replaced by the eigenvectors, one a row, unit length; value (n) descending. */
sg_status sg_eigen(double *a, double *value, int n, sg_error *err);

#endif
