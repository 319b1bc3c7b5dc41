/*
 * Calibration: windows of a text through a model, group by group, and what goes into its matrix
 * products summed up.
 */
#ifndef QC_CALIB_COLLECT_H
#define QC_CALIB_COLLECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "calib/eval.h"
#include "calib/forward.h"
#include "calib/stats.h"

enum {
	QC_COLLECT_MOST = 64,	     /* windows together: more make no weight cheaper to decode */
	QC_COLLECT_MEMORY = 1 << 30, /* bytes, beside the sums, where no limit was named */
};

struct qc_collect_options {
	size_t first; /* windows that the stats have already */
	size_t group; /* windows that go through the model together, at least 1 */
	bool head;    /* what goes into the output head too (llama-imatrix: --process-output) */
	/* Before each group with the number of windows done, and after the last; NULL. */
	void (*progress)(void *user, size_t done, size_t group);
	/* After each group: the stats have `done` windows. An error ends the collecting; NULL. */
	enum qc_status (*keep)(void *user, size_t done, struct qc_err *err);
	void *user;
};

/* `forward` was opened with qc_stats_input and `stats` as its option `input`. On QC_INTERRUPTED the
 * stats hold a part of a group. */
QC_MUST_CHECK
enum qc_status qc_collect(struct qc_forward *forward, struct qc_stats *stats,
			  const struct qc_windows *windows,
			  const struct qc_collect_options *options, struct qc_err *err);

/* Memory that collecting takes, beside the model, by groups of so many windows. */
struct qc_collect_plan {
	struct qc_forward_plan forward; /* without head and logits, which are not made */
	uint64_t stats;
	uint64_t peak; /* of both */
};
void qc_collect_plan(const struct qc_forward *forward, size_t group, size_t length,
		     struct qc_collect_plan *plan);

/* As many windows as fit into `memory` bytes together, at most `most`, at least 1. */
size_t qc_collect_group(const struct qc_forward *forward, size_t most, size_t length,
			uint64_t memory);

#endif
