/*
 * Inputs whose channels may be scaled without the model noticing (Lin et al., "AWQ", 2023): what
 * makes the channels takes the inverse of the scales, so it must be linear in its rows and nobody
 * but the matrices that are scaled may see it. And what goes into them, gathered over a text.
 */
#ifndef QC_CALIB_AWQ_H
#define QC_CALIB_AWQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "calib/forward.h"

/* Consumers at most; kinds of inputs (calib/awq_groups.c). */
enum { QC_AWQ_CONSUMERS = 4, QC_AWQ_KINDS = 8 };

/* Matrices with one input, and what makes it. */
struct qc_awq_group {
	unsigned kind;
	const struct qc_weight *producer; /* a norm, or a matrix (out > 1) ... */
	/* ... whose rows of matrix `index` from `first` on make the channels. */
	uint64_t first;
	/* Channels of the input that share a scale: `repeat` runs of `run` channels stand for one
	 * run of the producer (query heads that share values); 1 and n: none do. */
	uint64_t repeat, run;
	const struct qc_weight *consumers[QC_AWQ_CONSUMERS];
	size_t n_consumers;
	uint64_t index; /* which of the consumers' matrices, where all_matrices is not set */
	bool all_matrices;
	size_t n; /* channels of the input */
};

/* What went into a group, over the windows to learn from and over those held out. */
struct qc_awq_input {
	float *learn, *held; /* [n, n] sums of x'x */
	double *magnitude;   /* [n] sum of |x|, to learn from */
	uint64_t n_learn, n_held;
};

struct qc_awq_options {
	size_t n_held; /* of the windows, at the end */
	/* Whether a group is of interest: those that are not are not gathered. */
	bool (*wants)(void *user, const struct qc_awq_group *group);
	enum qc_status (*solve)(void *user, const struct qc_awq_group *group,
				const struct qc_awq_input *input, struct qc_err *err);
	void *user;
};

/* Run the windows through the model and call solve() with each group in turn. Afterwards the
 * model has the last states of all windows. `options->input` of the model is used meanwhile. Errors
 * as qc_forward_windows(), and of solve(); QC_BAD_INPUT: NaN or infinite inputs. */
QC_MUST_CHECK
enum qc_status qc_awq_run(struct qc_forward *model, const uint32_t *ids, size_t n_windows,
			  size_t length, const struct qc_awq_options *options, struct qc_err *err);

/* Bytes that the inputs of groups take at most at one time. */
uint64_t qc_awq_bytes(const struct qc_graph *graph);

#endif
