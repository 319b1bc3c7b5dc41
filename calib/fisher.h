/*
 * What errors of a matrix' outputs do to the predictions of a model.
 *
 * To second order, errors d of all outputs of a matrix cost E[(d g)^2] / 2 of KL divergence, g
 * being the gradient of -log p(y) at these outputs and y drawn from the model's own predictions p:
 * d M d' / 2 with M = E[g'g] (the Fisher information; M beside the second moments of the inputs is
 * the Kronecker factor of Martens and Grosse, 2015, and of Tseng et al., "Model-Preserving Adaptive
 * Rounding", 2025). M has a block for every QC_FISHER_ROWS outputs; between blocks it is taken to
 * be 0. What is kept are sums over tokens: nothing depends on the scale.
 *
 * Matrices whose output goes through a norm before it joins the residual stream have their
 * gradients at z / rms(z), as calib/tune_joint.c has their errors.
 */
#ifndef QC_CALIB_FISHER_H
#define QC_CALIB_FISHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "calib/forward.h"

enum { QC_FISHER_ROWS = 256 };

/* Zeroed is empty. */
struct qc_fisher {
	uint32_t n_blocks; /* of the model */
	uint64_t n_tokens;
	float **m; /* [n_blocks * QC_SLOTS], NULL where there is none; see qc_fisher_block() */
};

/* QC_UNSUPPORTED: the graph has a step that has no way back here (experts, embeddings of the
 * blocks' own, shared keys and values, soft-capped logits). */
QC_MUST_CHECK
enum qc_status qc_fisher_supports(const struct qc_graph *graph, struct qc_err *err);

/* Run `n_windows` windows of `length` ids forth and back, a few at a time. Errors as
 * qc_forward_windows(), and of qc_fisher_supports(). The result does not depend on the number of
 * threads. */
QC_MUST_CHECK
enum qc_status qc_fisher_learn(struct qc_fisher *fisher, struct qc_forward *forward,
			       const uint32_t *ids, size_t n_windows, size_t length,
			       struct qc_err *err);
void qc_fisher_clear(struct qc_fisher *fisher);

/* The block [n, n] of M for outputs [first, first + n) of slot `slot` of a block of the model,
 * `first` a multiple of QC_FISHER_ROWS and n what there is up to the next; NULL: not known. */
const float *qc_fisher_block(const struct qc_fisher *fisher, uint32_t block, enum qc_slot slot,
			     uint64_t first);

/* Bytes that qc_fisher_learn() takes beside the states of the forward pass; UINT64_MAX when they
 * are beyond counting. */
uint64_t qc_fisher_bytes(const struct qc_graph *graph, size_t n_windows, size_t length,
			 int threads);

#endif
