/*
 * GPTQ of rows whose errors count together. With M over the outputs (calib/fisher.h) beside H of
 * the inputs, the errors e[rows, n] of a matrix cost the trace of M e H e'. M = R R' with R upper
 * triangular and u the columns of R divided by their diagonal element makes it
 *
 *   sum over rows k of R_kk^2 |e_k + sum over j < k of u_jk e_j|^2 under H
 *
 * so row after row is quantized towards its target with the errors of those before it made up for,
 * as column after column is in gptq.h.
 */
#ifndef QC_CALIB_COUPLED_H
#define QC_CALIB_COUPLED_H

#include "calib/fisher.h"
#include "calib/gptq.h"

/* As qc_gptq(), row 0 being the first of a block of M and `m` the blocks of these rows. The result
 * does not depend on the number of threads. QC_NO_MEMORY; QC_BAD_INPUT: M is not finite. */
QC_MUST_CHECK
enum qc_status qc_gptq_coupled(const struct qc_curvature *curvature,
			       const struct qc_gptq_options *options, const float *m,
			       const float *target, size_t rows, uint8_t *blocks,
			       struct qc_err *err);

/* Bytes that it takes for any matrix of the blocks. */
uint64_t qc_coupled_bytes(const struct qc_graph *graph, int threads);

#endif
