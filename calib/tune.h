/*
 * Calibrated quantization, layer by layer: the windows of a text go through two models side by
 * side, the original and the one that is being quantized. Before a group of matrices with one input
 * is quantized, that input's second moments are gathered from both (calib/moments.h); so every
 * matrix sees its quantized predecessors, those in its own block too: q, k and v, then o, then gate
 * and up, then down.
 *
 * Memory beside both models' states: the moments of one input (two, and two more of the held-out
 * windows), what the solver takes, and the inputs of one matrix, all windows', if these are not
 * many and the models have no limit; else they go to a temporary file.
 */
#ifndef QC_CALIB_TUNE_H
#define QC_CALIB_TUNE_H

#include "calib/forward.h"
#include "calib/moments.h"

/* Of inputs that are kept in memory. */
#define QC_TUNE_KEPT_BYTES (256ull << 20)

/* A matrix that is to be quantized now. */
struct qc_tune_job {
	const struct qc_weight *weight; /* of the quantized model */
	uint32_t block;			/* that has it; n_blocks: the head */
	uint64_t index;			/* which of its matrices */
	struct qc_moments *moments;	/* without h, which the curvature has */
	const struct qc_curvature
		*curvature;	       /* NULL: an expert with too few tokens to learn from */
	const struct qc_moments *held; /* of the held-out windows */
};

struct qc_tune_options {
	float damp; /* for qc_moments_curvature(), with tokens enough */
	/* Whether a weight is to be quantized. */
	bool (*wants)(void *user, const struct qc_weight *weight);
	/* Quantize it: whoever reads the quantized model's weight afterwards gets the result. */
	enum qc_status (*solve)(void *user, const struct qc_tune_job *job, struct qc_err *err);
	/* Before each block; NULL. */
	void (*progress)(void *user, uint32_t block, uint32_t n_blocks);
	void *user;
};

/* Of n_learn windows to learn from, how many the original model goes through. */
size_t qc_tune_shared(const struct qc_graph *graph, size_t n_learn, size_t length);

/* Whether outputs of these matrices are fitted to what their stream lacks (moments with T). */
bool qc_tune_joins(const struct qc_graph *graph, int slot);

/* Run all blocks of both models, which have the same graph, on `n_windows` windows of `length` ids,
 * the last n_held of which are not learnt from. Afterwards qc_forward_logits() works: the quantized
 * model has the last states of all windows, the original those of qc_tune_shared() ones, then of
 * the held-out ones. Errors as qc_forward_windows(), and of solve(). */
QC_MUST_CHECK
enum qc_status qc_tune(struct qc_forward *original, struct qc_forward *quantized,
		       const uint32_t *ids, size_t n_windows, size_t length, size_t n_held,
		       const struct qc_tune_options *options, struct qc_err *err);

/* The mean divergence, in nats, of the predictions of `n` rows of b's last call from those of a's:
 * rows from row_a and row_b on. QC_NO_MEMORY, errors of reading. */
QC_MUST_CHECK
enum qc_status qc_tune_divergence(struct qc_forward *a, size_t row_a, struct qc_forward *b,
				  size_t row_b, size_t n, double *mean, struct qc_err *err);
/* That of each row. */
QC_MUST_CHECK
enum qc_status qc_tune_divergences(struct qc_forward *a, size_t row_a, struct qc_forward *b,
				   size_t row_b, size_t n, double *each, struct qc_err *err);

#endif
