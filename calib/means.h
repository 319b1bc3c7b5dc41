/*
 * Means of what goes into a matrix, to correct its bias by: with x what the quantized model sees,
 * y what the original sees and weights c of tokens (1; those of an expert), the outputs
 * W y + b of the original are met in the mean of squares by
 *
 *   b' = b + ( W sum(c^2 y) - Q sum(c^2 x) ) / sum(c^2)
 *
 * and where other outputs are wanted (calib/moments.h) these stand for W y.
 */
#ifndef QC_CALIB_MEANS_H
#define QC_CALIB_MEANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"

/* Zeroed is empty. */
struct qc_means {
	size_t n, out;
	double *x, *d;	/* [n] sums of c^2 x and of c^2 (y - x); malloc */
	double *wanted; /* [out] sum of what is wanted; NULL: W y is */
	double weight;	/* sum of c^2 */
	uint64_t tokens;
};

/* QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_means_init(struct qc_means *m, size_t n, size_t out, struct qc_err *err);
void qc_means_clear(struct qc_means *m);

/* Add rows of c x and c d = c (y - x) (NULL: 0), or of x and `wanted`; weights: of each row, NULL:
 * 1. */
void qc_means_add(struct qc_means *m, const float *x, const float *d, const float *wanted,
		  size_t rows, const float *weights);

/* e[rows] = what outputs [first, first + rows) lack in the mean, with w[rows, n] and q[rows, n] of
 * the original and the quantized matrix; 0 without tokens. */
void qc_means_lack(const struct qc_means *m, size_t first, size_t rows, const float *w,
		   const float *q, double *e);

#endif
