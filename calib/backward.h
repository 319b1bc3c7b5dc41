/*
 * The way back through the halves of a block: from the gradients at what a half gives to those at
 * what it got, and at the outputs of its matrices on the way. For graphs that qc_fisher_supports().
 */
#ifndef QC_CALIB_BACKWARD_H
#define QC_CALIB_BACKWARD_H

#include "calib/forward_parts.h"

/* Called with the gradients d[rows, weight->out] at the outputs of a matrix, which may be
 * overwritten; where a norm follows, at outputs divided by their root mean square. */
typedef enum qc_status qc_gradients_fn(void *user, const struct qc_weight *weight, float *d,
				       size_t rows, struct qc_err *err);
struct qc_gradients_to {
	qc_gradients_fn *take;
	void *user;
};

/* x[rows, width]: what the half of block `block` got, rows of whole windows of the forward pass
 * that is under way; dx[rows, width]: the gradients at what it gave, then at x. */
typedef enum qc_status qc_half_back_fn(struct qc_forward *f, uint32_t block, const float *x,
				       float *dx, size_t rows, const struct qc_gradients_to *to,
				       struct qc_err *err);
QC_MUST_CHECK
qc_half_back_fn qc_attention_back;
QC_MUST_CHECK
qc_half_back_fn qc_feed_forward_back;

/* dx = the gradients at x of y = x / rms(x) * weight, d being those at y; added to what dx has if
 * `adds`. weight NULL: 1. dx may be d. */
void qc_norm_back(const float *x, size_t rows, size_t n, const float *weight, float eps,
		  const float *d, float *dx, bool adds, int threads);

/* dx[rows, in] = beta dx + scale d[rows, out] w[out, in] */
void qc_product_back(size_t rows, size_t in, size_t out, float scale, const float *d,
		     const float *w, float beta, float *dx, int threads);

/* The gradients of `attention`, from d at its output (as out): dq as q, dk and dv as k and v;
 * without sinks and positions before the first. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_attend_back(const struct qc_attention *attention, const float *d, float *dq,
			      float *dk, float *dv, int threads, struct qc_err *err);
/* Bytes that a thread of it takes. */
uint64_t qc_attend_back_bytes(size_t length, size_t head_size);

/* Floats a row that the halves of a block take. */
uint64_t qc_back_columns(const struct qc_graph *graph, uint32_t block);

#endif
