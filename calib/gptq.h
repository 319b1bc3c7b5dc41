/*
 * Codes for a weight matrix that keep its outputs, not its values: GPTQ.
 *
 * With H = X'X of what goes into the matrix (n columns), the error of quantized rows q in place of
 * t is the sum over rows of (t - q) H (t - q)'. H = R R' with R upper triangular and u the columns
 * of R divided by their diagonal element makes it
 *
 *   sum over columns k of R_kk^2 ( t_k + sum over j < k of (t_j - q_j) u_jk  -  q_k )^2
 *
 * so column after column is rounded with the errors of those before it fed back (Frantar et al.,
 * "GPTQ", 2022, in the form of Chee et al., "QuIP", 2023: the same codes without an inverse). A
 * block's scales are chosen by the type's own search on the values so corrected, weighted by
 * R_kk^2. Cyclic coordinate descent over scales and levels under all of H follows: no step raises
 * the error. Where a code stands for several elements these are rounded together (gptq_points.c).
 */
#ifndef QC_CALIB_GPTQ_H
#define QC_CALIB_GPTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "quant/grid.h"

/* Zeroed is empty. */
struct qc_curvature {
	size_t n;
	float *h;	 /* [n, n] symmetric, positive definite */
	float *u;	 /* [n, n] u: 1 on the diagonal, 0 below */
	float *diagonal; /* [n] R_kk^2 */
};

/* Take over h[n, n] (malloc) and factor it. QC_NO_MEMORY; QC_BAD_INPUT: not positive definite.
 * Cleared on failure. */
QC_MUST_CHECK
enum qc_status qc_curvature_init(struct qc_curvature *curvature, size_t n, float *h,
				 struct qc_err *err);
void qc_curvature_clear(struct qc_curvature *curvature);
/* What it says of a matrix that is not positive definite: QC_BAD_INPUT. */
QC_MUST_CHECK
enum qc_status qc_curvature_refuse(struct qc_err *err);

struct qc_gptq_options {
	const struct qc_grid *grid;
	int threads;
	enum qc_isa isa;
	unsigned passes; /* of coordinate descent at most */
	bool fixed;	 /* the scales are those that `blocks` has already */
};

/* Floats that a thread takes for inputs of n channels, here or in qc_moments_gain(). */
#define QC_GPTQ_WORK(n) (128 * (4 * (uint64_t)(n) + 3 * 256))

/* Quantize target[rows, n], n a multiple of the type's block, into `blocks`. The result does not
 * depend on the number of threads. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_gptq(const struct qc_curvature *curvature, const struct qc_gptq_options *options,
		       const float *target, size_t rows, uint8_t *blocks, struct qc_err *err);

#endif
