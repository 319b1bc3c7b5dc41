/* One range of rows: from the source to the bytes of the output. What a job does between queue and
 * file. */
#ifndef QC_CONVERT_ENCODE_H
#define QC_CONVERT_ENCODE_H

#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "convert/plan.h"
#include "formats/source.h"

/* A thread's buffers, sized by the plan. A zeroed struct is an empty one. */
struct qc_encoder {
	enum qc_isa isa;
	float *f32;    /* a chunk of a range */
	float *weight; /* of a chunk's values; NULL without an imatrix */
	struct qc_scratch scratch;
};

QC_MUST_CHECK
enum qc_status qc_encoder_init(struct qc_encoder *encoder, const struct qc_plan *plan,
			       struct qc_err *err);
void qc_encoder_clear(struct qc_encoder *encoder);

/* Units [unit, unit + n) of the step (n at most step->range_units) as bytes of its pieces, where
 * qc_step_buffer() says at `out`. `raw` is room for plan->range_raw_bytes: it gets the source's raw
 * rows unless the step has none, or copies them into its only piece (then they are `out`).
 * QC_BAD_INPUT, QC_UNSUPPORTED, QC_IO; every error names the tensor. */
QC_MUST_CHECK
enum qc_status qc_encode_units(struct qc_encoder *encoder, const struct qc_step *step,
			       uint64_t unit, uint64_t n, uint8_t *raw, uint8_t *out,
			       struct qc_err *err);

/* The same units measured by the step's packing: n * step->measured_bytes at `out`. */
QC_MUST_CHECK
enum qc_status qc_measure_units(struct qc_encoder *encoder, const struct qc_step *step,
				uint64_t unit, uint64_t n, uint8_t *raw, uint8_t *out,
				struct qc_err *err);

/* `size` bytes aligned to 64 (free with free()), NULL when memory is out. */
QC_MUST_CHECK
void *qc_aligned_buffer(size_t size);

#endif
