/* Rows times factors: weights whose input or output channels are scaled. */
#ifndef QC_FORMATS_ROWOPS_SCALE_H
#define QC_FORMATS_ROWOPS_SCALE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "formats/source.h"

/* Factors of a source's elements: element (r, c) is multiplied by by_row[r % n_by_row] and by
 * by_col[r / rows_per_set % n_sets][c]; where `instead` is given the elements are those. All may be
 * NULL. Finite; they live as long as the source. */
struct qc_factors {
	const float *by_row;
	uint64_t n_by_row;
	const float *by_col; /* [n_sets, cols] */
	uint64_t n_sets, rows_per_set;
	const float *instead; /* [rows, cols] */
};

/* f32 only; of the inner source's type where that has no blocks, else of f32. NULL only when memory
 * is out. */
QC_MUST_CHECK
const struct qc_source *qc_source_scaled(struct qc_arena *arena, const struct qc_source *inner,
					 const struct qc_factors *factors);

#endif
