/* The plan's last part: threads and memory. */
#ifndef QC_CONVERT_PLAN_COST_H
#define QC_CONVERT_PLAN_COST_H

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"

/* Of a plan whose ranges are cut: set threads (no more than there are ranges), n_slots and
 * peak_bytes. QC_USAGE for a number of threads below 0. */
QC_MUST_CHECK
enum qc_status qc_plan_count_cost(struct qc_plan *plan, const struct qconv_options *options,
				  struct qc_err *err);

#endif
