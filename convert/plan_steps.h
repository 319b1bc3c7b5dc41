/* The plan's first part: what becomes of every tensor. */
#ifndef QC_CONVERT_PLAN_STEPS_H
#define QC_CONVERT_PLAN_STEPS_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"
#include "convert/recipe.h"

/* Steps for all tensors that stay, drops for the others. choices[i] is of the model's tensor i. */
QC_MUST_CHECK
enum qc_status qc_plan_fill_steps(struct qc_plan *plan, const struct qc_choice *choices,
				  const struct qconv_options *options, struct qc_err *err);

#endif
