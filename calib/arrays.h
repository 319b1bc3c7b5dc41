/* Arrays of floats under names, as the bytes of a GGUF file: importance matrices, and what is kept
 * of a calibration that was interrupted. */
#ifndef QC_CALIB_ARRAYS_H
#define QC_CALIB_ARRAYS_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/error.h"
#include "formats/format.h"
#include "formats/meta.h"
#include "formats/model.h"

struct qc_arrays {
	struct qc_arena arena;
	struct qc_meta meta; /* for the caller to fill */
	struct qc_out_tensor *tensors;
	const void **data; /* borrowed */
	size_t n, cap;
};

void qc_arrays_init(struct qc_arrays *arrays);
void qc_arrays_clear(struct qc_arrays *arrays);

/* Array PREFIX SUFFIX of n rows of cols floats, or doubles, which must outlive `arrays`. */
QC_MUST_CHECK
enum qc_status qc_arrays_add(struct qc_arrays *arrays, const char *prefix, const char *suffix,
			     const float *values, uint64_t cols, uint64_t n, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_arrays_add_f64(struct qc_arrays *arrays, const char *prefix, const char *suffix,
				 const double *values, uint64_t cols, uint64_t n,
				 struct qc_err *err);

/* The file (malloc). QC_UNSUPPORTED: a name is too long for GGUF; QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_arrays_bytes(const struct qc_arrays *arrays, uint8_t **bytes, size_t *size,
			       struct qc_err *err);

/* All elements of a tensor as floats, or of an f64 tensor as doubles. */
QC_MUST_CHECK
enum qc_status qc_array_read(const struct qc_tensor *tensor, float *dst, struct qc_err *err);
QC_MUST_CHECK
enum qc_status qc_array_read_f64(const struct qc_tensor *tensor, double *dst, struct qc_err *err);

#endif
