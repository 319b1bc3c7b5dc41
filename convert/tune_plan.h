/* --calib: between plan and jobs, the blocks of quantized matrices are made by calibration
 * (calib/tune.h); the jobs then move them. */
#ifndef QC_CONVERT_TUNE_PLAN_H
#define QC_CONVERT_TUNE_PLAN_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"
#include "convert/qconv.h"

struct qc_tuning;

/* Whether the options ask for it. */
bool qc_tune_asked(const struct qconv_options *options);

/* After qc_jobs_measure(). Steps that are tuned become copies of what `*tuning` holds, which must
 * live until the jobs are done. Nothing, and *tuning NULL, when the options do not ask for it.
 * Errors of reading, of the text, of the engine. */
QC_MUST_CHECK
enum qc_status qc_tune_plan(struct qc_plan *plan, const struct qconv_options *options,
			    struct qc_tuning **tuning, struct qc_err *err);
/* The bytes of memory that it takes beside the plan's own, with --mem-limit as the options have it;
 * 0 when they do not ask for it. Opens the model's files, reads no text. */
QC_MUST_CHECK
enum qc_status qc_tune_memory(const struct qc_plan *plan, const struct qconv_options *options,
			      uint64_t *bytes, struct qc_err *err);
void qc_tuning_free(struct qc_tuning *tuning); /* NULL is allowed */

#endif
