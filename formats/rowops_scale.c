#include "formats/rowops_scale.h"

#include <string.h>

#include "quant/types.h"

struct scaled_source {
	struct qc_source base;
	const struct qc_source *inner;
	struct qc_factors factors;
};

static enum qc_status scaled_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				      float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct scaled_source *s = (const struct scaled_source *)source;
	const struct qc_factors *f = &s->factors;
	const size_t cols = (size_t)source->cols;
	enum qc_status status;

	if (f->instead) {
		memcpy(dst, f->instead + row * cols, n * cols * sizeof(*dst));
		return QC_OK;
	}
	status = qc_source_read_f32(s->inner, row, n, dst, scratch, err);
	for (uint64_t r = row; !status && r < row + n; r++, dst += cols) {
		const float by_row = f->by_row ? f->by_row[r % f->n_by_row] : 1;
		const float *by_col =
			f->by_col ? f->by_col + r / f->rows_per_set % f->n_sets * cols : NULL;

		for (size_t c = 0; c < cols; c++)
			dst[c] *= by_col ? by_row * by_col[c] : by_row;
	}
	return status;
}

static size_t scaled_scratch(const struct qc_source *source, uint64_t n)
{
	return qc_source_scratch(((const struct scaled_source *)source)->inner, n);
}

static const struct qc_source_ops scaled_ops = {
	.name = "scaled",
	.read_f32 = scaled_read_f32,
	.scratch_bytes = scaled_scratch,
};

const struct qc_source *qc_source_scaled(struct qc_arena *arena, const struct qc_source *inner,
					 const struct qc_factors *factors)
{
	struct scaled_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	s->base = (struct qc_source){&scaled_ops, inner->rows, inner->cols,
				     inner->type->block_elems > 1 ? &qc_f32 : inner->type,
				     inner->row_group};
	s->inner = inner;
	s->factors = *factors;
	return &s->base;
}
