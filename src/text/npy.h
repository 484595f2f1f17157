/* npy.h - a NumPy .npy file of floats, read where it lies.   [numpy.lib.format, versions 1.0 to 3.0]
 *
 * "\x93NUMPY", version, length of the header (2 bytes in version 1, else 4, little-endian), the header: a Python dict
 * literal {'descr': '<f4', 'fortran_order': False, 'shape': (12101, 384), }, then the numbers. Only f2, f4 and f8 are
 * taken, of either byte order; pickled objects never are. */
#ifndef SG_TEXT_NPY_H
#define SG_TEXT_NPY_H

#include "base/buf.h"
#include "base/half.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sg_npy {
    uint64_t rows, cols; /* a vector (n,) is (n, 1) */
    int bytes;           /* of a number: 2, 4, 8 */
    bool big_endian, fortran;
    const char *data; /* borrowed: rows * cols * bytes */
} sg_npy;

sg_status sg_npy_parse(sg_npy *out, sg_bytes file, const char *name,
                       sg_error *err); /* name begins every message */
float sg_npy_at(const sg_npy *a, uint64_t row, uint64_t col);

#endif
