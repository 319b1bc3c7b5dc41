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

/* QC_UNSUPPORTED: the plan's input, opened anew, cannot be compared with its output. */
QC_MUST_CHECK
enum qc_status qc_tune_supports(const struct qc_plan *plan, const struct qc_model *model,
				struct qc_err *err);

/* After qc_jobs_measure(). Steps that are tuned become copies of what `*tuning` holds, which must
 * live until the jobs are done. Nothing, and *tuning NULL, when the options do not ask for it.
 * Errors of reading, of the text, of the engine. */
QC_MUST_CHECK
enum qc_status qc_tune_plan(struct qc_plan *plan, const struct qconv_options *options,
			    struct qc_tuning **tuning, struct qc_err *err);
/* Count the memory that it takes into plan->calibration.bytes and plan->peak_bytes, and divide
 * --mem-limit between its models; nothing when the options do not ask for it. Opens the model's
 * files, reads no text. QC_UNSUPPORTED: --mem-limit is too little; what would do is named. */
QC_MUST_CHECK
enum qc_status qc_tune_memory(struct qc_plan *plan, const struct qconv_options *options,
			      struct qc_err *err);
void qc_tuning_free(struct qc_tuning *tuning); /* NULL is allowed */

#endif
