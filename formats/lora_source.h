/* Sources that a LoRA adapter puts on top of a model's tensors. See formats/source.h for what a
 * source is, and formats/lora.h for the formulas. None has raw rows unless it says so. */
#ifndef QC_FORMATS_LORA_SOURCE_H
#define QC_FORMATS_LORA_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "formats/model.h"
#include "formats/source.h"

/* inner + scale * B A. With `n_experts` > 1, inner is that many matrices, one after the other. A
 * matrix is [out, in], or [in, out] when `transposed`; then B A is too.
 *   a          n_experts * rank x in, plain floats
 *   b          out x rank * n_experts, plain floats, the expert changing fastest
 *   magnitude  DoRA's, `out` plain floats, or NULL; one expert, not transposed
 *
 * For each element, in f32: d = 0; for k = 0 .. rank - 1: d += b[k] * a[k]; w + scale * d. DoRA:
 * the row's norm is the square root of the sum of squares in f64, in order; the row is multiplied
 * by (float)(m / norm), or by 0 when it is all zero. So a value does not depend on the range it is
 * read in. The result's type is `type`: what the base's precision is. */
struct qc_lora_delta {
	const struct qc_source *inner;
	const struct qc_qtype *type;
	const struct qc_tensor *a, *b, *magnitude;
	uint64_t rank, n_experts;
	bool transposed;
	float scale;
};
QC_MUST_CHECK
const struct qc_source *qc_lora_source_delta(struct qc_arena *arena,
					     const struct qc_lora_delta *delta);

/* inner + scale * addend, of the same shape (a bias). */
QC_MUST_CHECK
const struct qc_source *qc_lora_source_add(struct qc_arena *arena, const struct qc_source *inner,
					   const struct qc_qtype *type,
					   const struct qc_source *addend, float scale);

/* inner * factor, of the type `type`: with 1, the same values in another precision. */
QC_MUST_CHECK
const struct qc_source *qc_lora_source_scale(struct qc_arena *arena, const struct qc_source *inner,
					     const struct qc_qtype *type, float factor);

/* The transpose of a stored matrix of plain floats. */
QC_MUST_CHECK
const struct qc_source *qc_lora_source_transpose(struct qc_arena *arena,
						 const struct qc_tensor *matrix);

#endif
