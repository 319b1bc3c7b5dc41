/* The table of inputs that may be scaled (calib/awq_groups.c) for who gathers them (calib/awq.c).
 */
#ifndef QC_CALIB_AWQ_GROUPS_H
#define QC_CALIB_AWQ_GROUPS_H

#include "calib/awq.h"

/* Kind `kind` of input in block `block`; false when it has none, or none that may be scaled.
 * `index` of the result is 0. */
bool qc_awq_group_of(const struct qc_graph *graph, uint32_t block, unsigned kind,
		     struct qc_awq_group *group);

#endif
