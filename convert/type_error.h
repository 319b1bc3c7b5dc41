/* How much a quant type loses, and how fast it is made: on numbers like a model's weights. */
#ifndef QC_CONVERT_TYPE_ERROR_H
#define QC_CONVERT_TYPE_ERROR_H

#include "base/attr.h"
#include "base/error.h"
#include "quant/fast.h"
#include "quant/qtype.h"

/* Relative root mean square errors, sqrt(sum (x - decoded)^2 / sum x^2), of the type's two
 * encoders; equal where the type has no search. */
struct qc_type_error {
	double reference, search;
};

/* Of 16 rows of 1024 numbers, the same in every build: about normally distributed, each row with
 * its own deviation, one number in 64 four times as large. All weigh the same. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_type_error(const struct qc_qtype *type, enum qc_isa isa,
			     struct qc_type_error *error, struct qc_err *err);

/* Nanoseconds a weight in one thread, on the same numbers. */
struct qc_type_speed {
	double reference, search, decode;
};

/* Runs for a twentieth of a second or more. QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_type_speed(const struct qc_qtype *type, enum qc_isa isa,
			     struct qc_type_speed *speed, struct qc_err *err);

#endif
