/* The small sources of an adapter: a bias, a factor, a factor of the product turned round. */
#include "formats/lora_source.h"

#include <assert.h>

#include "formats/parts.h"

struct add_source {
	struct qc_source base;
	const struct qc_source *inner, *addend;
	float scale;
};

static enum qc_status add_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				   float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct add_source *s = (const struct add_source *)source;
	const size_t before = scratch->used;
	float *addend = qc_scratch_take(scratch, (size_t)(n * source->cols) * sizeof(float));
	enum qc_status status = qc_source_read_f32(s->inner, row, n, dst, scratch, err);

	if (!status)
		status = qc_source_read_f32(s->addend, row, n, addend, scratch, err);
	for (uint64_t i = 0; !status && i < n * source->cols; i++)
		dst[i] += s->scale * addend[i];
	qc_scratch_give(scratch, before);
	return status;
}

static size_t add_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct add_source *s = (const struct add_source *)source;
	const size_t inner = qc_source_scratch(s->inner, n),
		     addend = qc_source_scratch(s->addend, n);

	return qc_scratch_need((size_t)(n * source->cols) * sizeof(float)) +
	       (inner > addend ? inner : addend);
}

static const struct qc_source_ops add_ops = {
	.name = "lora bias",
	.read_f32 = add_read_f32,
	.scratch_bytes = add_scratch_bytes,
};

const struct qc_source *qc_lora_source_add(struct qc_arena *arena, const struct qc_source *inner,
					   const struct qc_qtype *type,
					   const struct qc_source *addend, float scale)
{
	struct add_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	assert(inner->rows == addend->rows && inner->cols == addend->cols);
	s->base = *inner;
	s->base.ops = &add_ops;
	s->base.type = type;
	s->inner = inner;
	s->addend = addend;
	s->scale = scale;
	return &s->base;
}

struct scale_source {
	struct qc_source base;
	const struct qc_source *inner;
	float factor;
};

static enum qc_status scale_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				     float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct scale_source *s = (const struct scale_source *)source;
	enum qc_status status = qc_source_read_f32(s->inner, row, n, dst, scratch, err);

	for (uint64_t i = 0; !status && i < n * source->cols; i++)
		dst[i] *= s->factor;
	return status;
}

static size_t scale_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	return qc_source_scratch(((const struct scale_source *)source)->inner, n);
}

static const struct qc_source_ops scale_ops = {
	.name = "scale",
	.read_f32 = scale_read_f32,
	.scratch_bytes = scale_scratch_bytes,
};

const struct qc_source *qc_lora_source_scale(struct qc_arena *arena, const struct qc_source *inner,
					     const struct qc_qtype *type, float factor)
{
	struct scale_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	s->base = *inner;
	s->base.ops = &scale_ops;
	s->base.type = type;
	s->inner = inner;
	s->factor = factor;
	return &s->base;
}

struct transpose_source {
	struct qc_source base;
	struct qc_part matrix;
};

static enum qc_status transpose_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
					 float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct transpose_source *s = (const struct transpose_source *)source;
	const struct qc_window window = {source->rows, 0, source->cols, row, n};
	const size_t before = scratch->used;
	float *columns = qc_scratch_take(scratch, (size_t)(n * source->cols) * sizeof(float));
	enum qc_status status = qc_part_read_f32(&s->matrix, &window, columns, scratch, err);

	if (!status)
		qc_transpose_f32(columns, source->cols, n, dst);
	qc_scratch_give(scratch, before);
	return status;
}

static size_t transpose_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct transpose_source *s = (const struct transpose_source *)source;

	return qc_scratch_need((size_t)(n * source->cols) * sizeof(float)) +
	       qc_part_scratch(&s->matrix, n * source->cols);
}

static const struct qc_source_ops transpose_ops = {
	.name = "transpose",
	.read_f32 = transpose_read_f32,
	.scratch_bytes = transpose_scratch_bytes,
};

const struct qc_source *qc_lora_source_transpose(struct qc_arena *arena,
						 const struct qc_tensor *matrix)
{
	struct transpose_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	s->base = (struct qc_source){.ops = &transpose_ops,
				     .rows = matrix->dims[0],
				     .cols = matrix->dims[1],
				     .type = matrix->source->type,
				     .row_group = qc_transposed_row_group(matrix->dims[1])};
	s->matrix = (struct qc_part){.bytes = qc_source_bytes(arena, matrix->source),
				     .type = matrix->source->type,
				     .name = matrix->stored_name};
	return s->matrix.bytes ? &s->base : NULL;
}
