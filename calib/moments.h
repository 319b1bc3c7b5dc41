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
#include "quant/qtype.h"

/* Zeroed is empty. */
struct qc_moments {
	size_t n;
	uint64_t tokens;
	float *h, *d;	       /* [n, n]; malloc. Of h the upper triangle until it is completed */
	bool has_d;	       /* else it is 0 */
	size_t out;	       /* 0: there is no T; else no D */
	float *t;	       /* [out, n] */
	bool settled;	       /* d is D (H + lambda)^-1, t is the target */
	float lambda;	       /* that qc_moments_curvature() added */
	struct qc_means means; /* whoever adds rows adds them here too */
};

/* QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_moments_init(struct qc_moments *m, size_t n, size_t out, struct qc_err *err);
void qc_moments_clear(struct qc_moments *m);
/* Add `rows` tokens: x[rows, n] and y[rows, n], which is overwritten; y NULL: as x, or
 * not known any more. */
void qc_moments_add(struct qc_moments *m, const float *x, float *y, size_t rows, int threads);
/* With T: x[rows, n] and what the outputs should be, wanted[rows, out]. */
void qc_moments_add_wanted(struct qc_moments *m, const float *x, const float *wanted, size_t rows,
			   int threads);
/* From now on only x is known, so that qc_moments_add() adds tokens without y: what is to be fitted
 * is settled by those so far, with the lambda of qc_moments_curvature(). w[out, n]: W, where there
 * is T. QC_NO_MEMORY; QC_BAD_INPUT: H is not positive definite, or as qc_moments_complete(). */
QC_MUST_CHECK
enum qc_status qc_moments_settle(struct qc_moments *m, float damp, const float *w, int threads,
				 struct qc_err *err);
/* After the last: fill the lower triangle of h. QC_BAD_INPUT: a moment is NaN or infinite. */
QC_MUST_CHECK
enum qc_status qc_moments_complete(struct qc_moments *m, struct qc_err *err);

/* The curvature H + lambda, lambda = damp * mean of the diagonal; takes m->h, completed, and makes
 * D (H + lambda)^-1 of m->d. Errors as qc_curvature_init(). */
QC_MUST_CHECK
enum qc_status qc_moments_curvature(struct qc_moments *m, float damp, int threads,
				    struct qc_curvature *c, struct qc_err *err);

/* Some rows of a weight W, in units: w = W / unit, [rows, n]; they begin with row `first` of it. */
struct qc_weight_rows {
	const float *w;
	float unit;
	size_t first, rows;
};

/* target[rows, n] = W + W D (H + lambda)^-1, in units too; where there is T, W + (T - W H)
 * (H + lambda)^-1 = (T + lambda W) (H + lambda)^-1. The curvature was made of these moments. */
void qc_moments_target(const struct qc_moments *m, const struct qc_curvature *c,
		       const struct qc_weight_rows *w, float *target, int threads);

/* Two ways to quantize these rows: blocks of one type, in units too. */
struct qc_two_rows {
	const struct qc_qtype *type;
	qc_dequantize_fn *dequantize;
	const uint8_t *a, *b;
};

/* *gain = by how much the sum above is less for a than for b; QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_moments_gain(const struct qc_moments *m, const struct qc_weight_rows *w,
			       const struct qc_two_rows *two, int threads, double *gain,
			       struct qc_err *err);

#endif
