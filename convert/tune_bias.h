/*
 * Biases that are calibrated with their matrices: the mean error of a matrix' outputs goes into its
 * bias (calib/means.h), matrix by matrix where that lowers the error of the mean on the held-out
 * windows.
 */
#ifndef QC_CONVERT_TUNE_BIAS_H
#define QC_CONVERT_TUNE_BIAS_H

#include "base/attr.h"
#include "base/error.h"
#include "calib/tune.h"
#include "convert/plan.h"

struct qc_tune_biases;

/* Put a source of values that can be changed on top of every bias of `model`, which is in the
 * layout of the plan's target. *biases NULL when there is none. QC_NO_MEMORY, errors of reading. */
QC_MUST_CHECK
enum qc_status qc_tune_biases_open(struct qc_tune_biases **biases, struct qc_plan *plan,
				   struct qc_model *model, struct qc_err *err);
void qc_tune_biases_free(struct qc_tune_biases *biases); /* NULL is allowed */

/* After the job's matrix was quantized: correct its bias, if it has one and tokens enough. `w`: the
 * matrix in the original model. */
QC_MUST_CHECK
enum qc_status qc_tune_bias(struct qc_tune_biases *biases, const struct qc_tune_job *job,
			    const struct qc_tensor *w, int threads, struct qc_err *err);

/* Whether the model reads the corrected values, or those it came with. */
void qc_tune_biases_show(struct qc_tune_biases *biases, bool corrected);

/* Matrices that have a corrected bias. */
size_t qc_tune_biases_count(const struct qc_tune_biases *biases);

/* The plan's steps write the corrected values, which must live until the jobs are done. */
void qc_tune_biases_finish(struct qc_tune_biases *biases);

#endif
