/* --awq, and --calib: what calibration does between plan and jobs. */
#ifndef QC_CONVERT_AWQ_PLAN_H
#define QC_CONVERT_AWQ_PLAN_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"
#include "convert/qconv.h"
#include "convert/tune_plan.h"

/* QC_USAGE when options->awq does not go with the others. */
QC_MUST_CHECK
enum qc_status qc_awq_check(const struct qconv_options *options, struct qc_err *err);

/* Measure what the plan's packings must know, and calibrate where the options ask for it:
 * qc_tune_plan() (`*tuning` as there), and with options->awq the same for a plan with scaled
 * channels (formats/channel_scales.h), which takes the place of *plan when its predictions of the
 * held-out windows are nearer to the model's. */
QC_MUST_CHECK
enum qc_status qc_awq_plan(struct qc_plan *plan, const struct qconv_options *options,
			   struct qc_tuning **tuning, struct qc_err *err);

#endif
