/* Tensors read back, checked and measured against others, a range at a time, in parallel. */
#ifndef QC_CONVERT_COMPARE_H
#define QC_CONVERT_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/qconv.h"
#include "formats/model.h"

/* Over all elements, x of the source and y of the file, in double. */
struct qc_compare_sums {
	double err2, x2, y2, xy; /* sums of (x - y)^2, x^2, y^2, x * y */
	double max_abs;		 /* largest |x - y|; NaN once there was one */
	bool differs;		 /* any x != y */
};

struct qc_compare_pair {
	const struct qc_tensor *file;	/* its blocks are checked for what a model must not have */
	const struct qc_tensor *source; /* of as many elements; NULL: check only */
	struct qc_compare_sums sums;	/* zeroed by the caller */
};

/* Whether two tensors can be compared: both decode to numbers, or both are raw rows of one type
 * (then only `differs` is filled). */
bool qc_compare_possible(const struct qc_tensor *file, const struct qc_tensor *source);

/* Read everything once. The sums do not depend on the number of threads: ranges are of fixed size
 * and added in order. QC_BAD_INPUT names tensor and row of a scale or value that is not finite;
 * QC_IO, QC_INTERRUPTED, QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_compare(struct qc_compare_pair *pairs, size_t n,
			  const struct qconv_options *options, struct qc_err *err);

#endif
