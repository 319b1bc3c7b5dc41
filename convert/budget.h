/*
 * Types for a given size: --target-bpw and --target-size.
 *
 * Every matrix gets one type of a ladder so that the file stays within the size and the predicted
 * KL divergence from the unquantized model is least. The prediction is a sum over matrices, each
 *
 *   sensitivity * relative error,   relative error = sum h (w - decoded)^2 / sum h w^2
 *
 * h is the mean square of the input channel (an imatrix, or measured on the text; 1 without
 * either). The error is measured for every type on up to a million weights of the matrix. The
 * sensitivity is measured on a text (--calib): a few windows through the model with this matrix
 * alone quantized, or in large models a few matrices of one kind in neighbouring blocks together;
 * the divergence of the logits over the relative error that caused it. Without a text it is 1 for
 * all.
 */
#ifndef QC_CONVERT_BUDGET_H
#define QC_CONVERT_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "calib/imatrix.h"
#include "convert/plan.h"
#include "convert/recipe.h"

enum { QC_LADDER_MAX = 16 }; /* types on a ladder */

/* A matrix whose type is to be chosen. */
struct qc_budget_matrix {
	const struct qc_tensor *tensor;
	size_t index; /* among the model's tensors */
	uint64_t weights;
	const float *importance; /* [n matrices, cols]; NULL: 1 */
	uint64_t importance_rows;
	const struct qc_qtype *types[QC_LADDER_MAX];
	uint64_t bytes[QC_LADDER_MAX];
	double errors[QC_LADDER_MAX]; /* relative; */
	double costs[QC_LADDER_MAX];  /* predicted KL divergence */
	size_t n_types;
	size_t probe; /* the type that the sensitivity was measured with */
	double sensitivity;
};

struct qc_budget {
	struct qc_plan *plan;
	const struct qconv_options *options;
	struct qc_budget_matrix *matrices; /* malloc */
	size_t n;
};

/* The options ask for a size. */
bool qc_budget_asked(const struct qconv_options *options);

/* Choose again for the matrices that `choices` quantizes and no rule of the user names. plan->model
 * and plan->target are set. QC_USAGE: a size that is none, both options, a target that is not GGUF;
 * QC_REFUSED: it cannot be reached, and what can; errors of reading. */
QC_MUST_CHECK
enum qc_status qc_budget_choose(struct qc_plan *plan, const struct qconv_options *options,
				struct qc_choice *choices, struct qc_err *err);

/* budget_errors.c: errors[] of all matrices. */
QC_MUST_CHECK
enum qc_status qc_budget_errors(struct qc_budget *budget, struct qc_err *err);

/* budget_probe.c: the sensitivities, on the text options->calib; fills plan->imatrix first where it
 * is empty. */
QC_MUST_CHECK
enum qc_status qc_budget_probe(struct qc_budget *budget, struct qc_err *err);

/* Importance of every matrix from plan->imatrix. */
QC_MUST_CHECK
enum qc_status qc_budget_weigh(struct qc_budget *budget, struct qc_err *err);

#endif
