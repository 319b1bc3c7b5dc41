/*
 * The forward pass: token ids to logits, in f32, from any model that has a graph.
 *
 * Memory is bounded by going through the model block by block: the weights of one half of a block
 * (of one expert) are decoded at a time and used for all windows, whose activations are carried
 * from block to block, in a temporary file where they are too many for memory. So each weight is
 * decoded once for all windows of a call, and logits, which would be much larger than anything
 * else, are made for as many rows as the caller asks for.
 */
#ifndef QC_CALIB_FORWARD_H
#define QC_CALIB_FORWARD_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "calib/graph.h"
#include "calib/rounded_inputs.h"

struct qc_forward;

/* Zeroed is fine. */
struct qc_forward_options {
	int threads;		 /* 0: one per processor */
	enum qc_yarn_range yarn; /* see graph.h */
	/* Set to nonzero to stop with QC_INTERRUPTED; NULL. */
	const volatile sig_atomic_t *stop;
	/* Activations go to a temporary file when more memory than this is needed with them; 0:
	 * they never do. */
	uint64_t mem_limit;
	const char *spill_dir; /* the folder of that file; NULL: $TMPDIR, else /var/tmp */
	/* After each block; NULL. */
	void (*progress)(void *progress_user, uint32_t blocks_done, uint32_t n_blocks);
	void *progress_user;
	/* Inputs of products are rounded as kernels with quantized activations do it: of weights
	 * with an input_scale by that; where the model has none, of all quantized weights of the
	 * blocks but the router. QC_USAGE when there are none. */
	enum qc_inputs inputs;
	/* What goes into every matrix product, before that: `rows` rows of weight->in columns for
	 * matrix `index` (an expert) of the weight. Called from one thread, in the order of rows.
	 * NULL. */
	enum qc_status (*input)(void *user, const struct qc_weight *weight, uint64_t index,
				const float *x, size_t rows, struct qc_err *err);
	void *user;
};

/* `model` is brought into GGUF's layout, must outlive the result and may serve only one at a time.
 * Errors as qc_graph_bind(). */
QC_MUST_CHECK
enum qc_status qc_forward_open(struct qc_forward **out, struct qc_model *model,
			       const struct qc_forward_options *options, struct qc_err *err);
void qc_forward_close(struct qc_forward *forward); /* NULL is allowed */

const struct qc_graph *qc_forward_graph(const struct qc_forward *forward);
int qc_forward_threads(const struct qc_forward *forward);

/* The bytes that a call with so many windows takes, beside the model; UINT64_MAX when they are
 * beyond counting. */
struct qc_forward_plan {
	uint64_t weights; /* the largest group decoded together: half a block, an expert */
	uint64_t states;  /* what is carried from block to block, in memory ... */
	uint64_t spilled; /* ... or in a temporary file; then `states` is small */
	uint64_t work; /* between the products of a half block, for as many windows as go at once */
	uint64_t head; /* the decoded output head, or the part of it that is at a time */
	uint64_t logits;
	uint64_t peak; /* the sum of all but `spilled` */
	uint64_t rows; /* that go through a half of a block at a time */
};
void qc_forward_plan(const struct qc_forward *forward, size_t n_windows, size_t length,
		     struct qc_forward_plan *plan);
/* Its peak, when everything is kept in memory. */
uint64_t qc_forward_bytes(const struct qc_forward *forward, size_t n_windows, size_t length);

/* Run `n_windows` windows of `length` >= 1 ids each through all blocks; none sees another. Their
 * states stay until the next call. QC_BAD_INPUT: an id is no token, or an activation is NaN or
 * infinite (the block is named); QC_NO_MEMORY, QC_INTERRUPTED, errors of reading. */
QC_MUST_CHECK
enum qc_status qc_forward_windows(struct qc_forward *forward, const uint32_t *ids, size_t n_windows,
				  size_t length, struct qc_err *err);

/* Logits of rows [row, row + n) of the last call (row = window * length + position), n * vocab
 * floats, soft-capped where the model says so. */
QC_MUST_CHECK
enum qc_status qc_forward_logits(struct qc_forward *forward, size_t row, size_t n, float *logits,
				 struct qc_err *err);

/* Rows of logits that fit into a buffer worth having: at least 1, at most `rows`. */
size_t qc_forward_logit_rows(const struct qc_forward *forward, size_t rows);

#endif
