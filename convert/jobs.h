/*
 * Jobs: the steps of a plan cut into ranges of rows, run in parallel, hashed in order.
 *
 * Steps are taken in the order in which their tensors lie in the input (plan->order), so that
 * inputs are read from front to back, once. Each range is read whole, then taken in chunks that
 * stay in the cache: widened to f32, checked for NaN and infinity, encoded, checked again (a value
 * or scale that the type cannot hold is an error, never an infinity in the file); then it is
 * written at its planned offset. Finished ranges wait in one of plan->n_slots slots; whichever
 * thread finds the next one in order ready hashes its source and its result and reports progress,
 * so that no thread spins. The result does not depend on the number of threads.
 */
#ifndef QC_CONVERT_JOBS_H
#define QC_CONVERT_JOBS_H

#include "base/attr.h"
#include "base/error.h"
#include "base/hash.h"
#include "convert/output.h"
#include "convert/plan.h"

struct qc_job_results {
	struct qc_digest128 *tensors; /* one per piece, by its number (malloc by qc_jobs_run) */
	struct qc_digest128
		*sources; /* one per file of the model, unless there is no manifest (malloc) */
	/* qc_read_back() sets them: of every file (malloc); of the output: the only file's, or of a
	 * directory's or a set's files */
	struct qc_digest128 *files;
	struct qc_digest128 file;
};

/* Read what packings must know before sizes are final, then settle the plan. Nothing without
 * plan->measure. Errors as below. */
QC_MUST_CHECK
enum qc_status qc_jobs_measure(struct qc_plan *plan, const struct qconv_options *options,
			       struct qc_err *err);

/* Run the whole (settled) plan into `output`, headers and copied files included. On failure the
 * error of the lowest range: QC_BAD_INPUT for values that no model may have, QC_UNSUPPORTED for
 * values that do not fit the type, naming tensor, row and column; QC_IO; QC_INTERRUPTED;
 * QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_jobs_run(const struct qc_plan *plan, struct qc_output *output,
			   const struct qconv_options *options, struct qc_job_results *results,
			   struct qc_err *err);

void qc_job_results_clear(struct qc_job_results *results);

#endif
