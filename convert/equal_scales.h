/*
 * The tensor scales of two tensors of one type. Where they are equal the blocks tell whether the
 * tensors are: layouts decode blocks and scale to values in different orders, so that the values
 * differ in their last bits.
 */
#ifndef QC_CONVERT_EQUAL_SCALES_H
#define QC_CONVERT_EQUAL_SCALES_H

#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "formats/model.h"

/* A zeroed struct is of tensors whose scales are not equal. */
struct qc_equal_scales {
	float *values; /* malloc; NULL: they differ, or there are none */
	uint64_t n;    /* of so many equal parts of the rows */
};

/* Read and compare the scales of two tensors; b may be NULL. QC_IO, QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_equal_scales_read(struct qc_equal_scales *scales, const struct qc_tensor *a,
				    const struct qc_tensor *b, struct qc_err *err);
void qc_equal_scales_clear(struct qc_equal_scales *scales);

#endif
