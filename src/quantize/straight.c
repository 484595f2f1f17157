/* straight.c - the rotation trick: what a gradient does on its way from a quantised vector q to the latent z.
 *
 *   q = lambda R z,  lambda = |q| / |z|,  R = I - 2 r r^T + 2 q0 z0^T,  r = (z0 + q0) / |z0 + q0|,  z0 = z/|z|, q0 = q/|q|
 *   dz = lambda R^T dq = lambda (dq - 2 r (r.dq) + 2 z0 (q0.dq));  lambda and R count as constants   [Fifty et al. 2025]
 * So the gradient keeps its angle to the vector, where straight-through only copies it. Where a direction is not
 * defined (z or q zero, or opposite) it is copied. */
#include "math/op.h"
#include "quantize/grid.h"

#include <math.h>

static void turn_back(float *dz, const float *dq, const float *z, const float *q, size_t d)
{
    double zz = 0, qq = 0, zq = 0, zg = 0, qg = 0;

    for (size_t i = 0; i < d; i++) {
        zz += (double)z[i] * (double)z[i];
        qq += (double)q[i] * (double)q[i];
        zq += (double)z[i] * (double)q[i];
        zg += (double)z[i] * (double)dq[i];
        qg += (double)q[i] * (double)dq[i];
    }

    const double nz = sqrt(zz), nq = sqrt(qq),
                 sum = nz > 0 && nq > 0 ? 2 + 2 * zq / (nz * nq) : 0; /* |z0 + q0|^2 */

    if (sum < 1e-6) {
        for (size_t i = 0; i < d; i++)
            dz[i] += dq[i];
        return;
    }
    for (size_t i = 0; i < d; i++) {
        const double z0 = (double)z[i] / nz, q0 = (double)q[i] / nq;

        dz[i] +=
            (float)(nq / nz * ((double)dq[i] - 2 * (z0 + q0) * (zg / nz + qg / nq) / sum + 2 * z0 * qg / nq));
    }
}

static void rotate_back(sg_graph *g, sg_tensor *out, void *saved)
{
    sg_tensor *z = *(sg_tensor **)saved;
    const size_t d = (size_t)out->dim[1];
    float *dz = sg_grad(g, z);

    for (size_t r = 0; dz && r < out->count; r += d)
        turn_back(dz + r, out->grad + r, z->data + r, out->data + r, d);
}

sg_tensor *sg_rotate_through(sg_graph *g, sg_tensor *value, sg_tensor *z)
{
    sg_tensor *y = value && z ? sg_tensor_2d(g, z->dim[0], z->dim[1]) : NULL;
    sg_tensor **saved = y ? sg_scratch(g, 1, sizeof *saved) : NULL;

    if (!saved)
        return NULL;
    for (size_t i = 0; i < y->count; i++)
        y->data[i] = value->data[i];
    *saved = z;
    if (sg_wants(g, z))
        sg_tape(g, y, rotate_back, saved);
    return y;
}
