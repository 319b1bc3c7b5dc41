/*
 * Second moments of what goes into a matrix: H = sum of x'x over tokens, x being what the model
 * sees whose earlier weights are quantized, and D = sum of (y - x)'x, y being what the original
 * model sees there. With them
 *
 *   sum over tokens of |W y' - Q x'|^2 = (W - Q) H (W - Q)' + 2 (W - Q) D' W' + a constant,
 *
 * whose least (with lambda |W - Q|^2 added) is at the target W + W D (H + lambda)^-1: quantized
 * weights are fitted to the original's outputs, not to the original's weights.
 *
 * Where the outputs are added to a stream that is itself off by r in the quantized model, W y' + r'
 * is what they should be. Then T = sum of (W y' + r')x takes the place of D, which for a wide input
 * would be much larger: T - W H is W D with what r adds.
 */
#ifndef QC_CALIB_MOMENTS_H
#define QC_CALIB_MOMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "calib/gptq.h"
#include "calib/means.h"

/* Zeroed is empty. */
struct qc_moments {
	size_t n;
	uint64_t tokens;
	float *h, *d;	       /* [n, n]; malloc. Of h the upper triangle until it is completed */
	bool has_d;	       /* else it is 0 */
	size_t out;	       /* 0: there is no T; else no D */
	float *t;	       /* [out, n] */
	float lambda;	       /* that qc_moments_curvature() added */
	struct qc_means means; /* whoever adds rows adds them here too */
};

/* QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_moments_init(struct qc_moments *m, size_t n, size_t out, struct qc_err *err);
void qc_moments_clear(struct qc_moments *m);
/* Add `rows` tokens: x[rows, n] and y[rows, n], which is overwritten; y NULL: as x. */
void qc_moments_add(struct qc_moments *m, const float *x, float *y, size_t rows, int threads);
/* With T: x[rows, n] and what the outputs should be, wanted[rows, out]. */
void qc_moments_add_wanted(struct qc_moments *m, const float *x, const float *wanted, size_t rows,
			   int threads);
/* After the last: fill the lower triangle of h. False when a moment is NaN or infinite. */
bool qc_moments_complete(struct qc_moments *m);

/* The curvature H + lambda, lambda = damp * mean of the diagonal; takes m->h, completed. Errors as
 * qc_curvature_init(). */
QC_MUST_CHECK
enum qc_status qc_moments_curvature(struct qc_moments *m, float damp, struct qc_curvature *c,
				    struct qc_err *err);

/* Some rows of a weight W, in units: w = W / unit, [rows, n]; they begin with row `first` of it. */
struct qc_weight_rows {
	const float *w;
	float unit;
	size_t first, rows;
};

/* target[rows, n] = W + W D (H + lambda)^-1, in units too, with T - W H for W D where there is T.
 */
void qc_moments_target(const struct qc_moments *m, const struct qc_curvature *c,
		       const struct qc_weight_rows *w, float *target, int threads);

/* *error = the sum above, without its constant, for quantized rows q[rows, n], in units;
 * QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_moments_error(const struct qc_moments *m, const struct qc_weight_rows *w,
				const float *q, int threads, double *error, struct qc_err *err);

#endif
