/* Where everything of a plan lies: in the output, and in the input. */
#ifndef QC_CONVERT_PLAN_LAYOUT_H
#define QC_CONVERT_PLAN_LAYOUT_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"

/* Cut the steps into ranges, give every piece its place, and list all files of the output with
 * their headers. To be done again when pieces have changed. */
QC_MUST_CHECK
enum qc_status qc_plan_lay_out(struct qc_plan *plan, struct qc_err *err);

/* Set plan->order: files in the model's order, each from front to back; what lies nowhere in
 * particular comes last. */
QC_MUST_CHECK
enum qc_status qc_plan_order(struct qc_plan *plan, struct qc_err *err);

#endif
