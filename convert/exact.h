/* Which steps change no value: what is known while planning, and what the jobs find out. */
#ifndef QC_CONVERT_EXACT_H
#define QC_CONVERT_EXACT_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"

/* Known without reading: the same blocks, or floats that are wide enough. step->copy is set. */
bool qc_step_is_exact(const struct qc_step *step);

/* Have the step's blocks counted that lie on a lattice, where there may be one (step->search is
 * set). */
QC_MUST_CHECK
enum qc_status qc_step_watch_lattice(struct qc_plan *plan, struct qc_step *step,
				     struct qc_err *err);

/* After the jobs: what they have found becomes the steps' findings. */
QC_MUST_CHECK
enum qc_status qc_plan_conclude(struct qc_plan *plan, struct qc_err *err);

#endif
