/* Two models against each other: metadata, tensor lists, types, values. */
#ifndef QC_CONVERT_DIFF_H
#define QC_CONVERT_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/check.h"
#include "convert/qconv.h"
#include "formats/model.h"

/* A metadata key that is not the same; a NULL side does not have it. */
struct qc_meta_difference {
	const struct qc_kv *a, *b;
	/* of two arrays of one type: elements at the same place that differ, the surplus of the
	 * longer one too, and the first of them */
	uint64_t n_elements, first;
};

/* A zeroed struct is an empty one. */
struct qc_diff {
	struct qc_model a, b;
	struct qc_meta_difference *keys; /* in a's order, then what only b has (malloc) */
	size_t n_keys;
	size_t n_removed, n_added, n_changed;
	/* of b against a: errors are relative to a, `missing` are only in a, `extra` only in b */
	struct qc_check_report tensors;
	size_t n_other_type; /* tensors of other types, whatever their values */
	bool equal;
};

/* Compare any two inputs that qconv reads, tensors by canonical names; memory as for a
 * verification. Values that differ are no error: see diff->equal. The errors of qc_model_open() and
 * qc_check_models(). */
QC_MUST_CHECK
enum qc_status qc_diff_run(struct qc_diff *diff, const char *a, const char *b,
			   const struct qconv_options *options, struct qc_err *err);
void qc_diff_clear(struct qc_diff *diff);

#endif
