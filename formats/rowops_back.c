/*
 * Row operations of the way from GGUF to Hugging Face:
 *
 *   zip_rows      a a a, b b b  ->  a b a b a b     gate and up projection into one
 *   zip_columns   the same within each row          their biases, and both when they are transposed
 *   narrow        f32 rows whose values all are of a 16-bit type, as rows of that type
 */
#include <assert.h>
#include <string.h>

#include "formats/rowops.h"
#include "formats/source.h"
#include "quant/types.h"

/* Two sources of one shape, in turn. */
struct zip_source {
	struct qc_source base;
	const struct qc_source *inner[2];
};

/* Of the output rows [row, row + n) every second one is of inner[0], the first where row is even.
 */
static enum qc_status zip_rows_read(const struct qc_source *source, bool raw, uint64_t row,
				    uint64_t n, uint8_t *dst, struct qc_scratch *scratch,
				    struct qc_err *err)
{
	const struct zip_source *s = (const struct zip_source *)source;
	const size_t bytes = row_bytes(source, raw), before = scratch->used;
	enum qc_status status = QC_OK;

	for (unsigned which = 0; !status && which < 2; which++) {
		const uint64_t first = (row + 1 - which) / 2, end = (row + n + 1 - which) / 2;
		uint8_t *rows = qc_scratch_take(scratch, (end - first) * bytes);

		status = read_rows(s->inner[which], raw, first, end - first, rows, scratch, err);
		for (uint64_t r = first; !status && r < end; r++)
			memcpy(dst + (2 * r + which - row) * bytes, rows + (r - first) * bytes,
			       bytes);
		qc_scratch_give(scratch, before);
	}
	return status;
}

static enum qc_status zip_rows_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
					float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return zip_rows_read(source, false, row, n, (uint8_t *)dst, scratch, err);
}

static enum qc_status zip_rows_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
					void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return zip_rows_read(source, true, row, n, dst, scratch, err);
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t zip_rows_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct zip_source *s = (const struct zip_source *)source;
	const uint64_t half = n / 2 + 1;

	return qc_scratch_need(half * row_bytes_max(source)) +
	       larger(qc_source_scratch(s->inner[0], half), qc_source_scratch(s->inner[1], half));
}

/* The columns of all rows are turned, so both sources can be turned on their own. */
static const struct qc_source *zip_rows_transpose(struct qc_arena *arena,
						  const struct qc_source *source, uint64_t height,
						  uint64_t first, uint64_t step)
{
	const struct zip_source *s = (const struct zip_source *)source;
	const struct qc_source *turned[2];

	assert(height % 2 == 0);
	for (unsigned i = 0; i < 2; i++) {
		turned[i] = qc_source_transpose(arena, s->inner[i], height / 2, first, step);
		if (!turned[i])
			return NULL;
	}
	return qc_source_zip_columns(arena, turned[0], turned[1]);
}

static const struct qc_source_ops zip_rows_ops = {
	.name = "zip rows",
	.read_f32 = zip_rows_read_f32,
	.read_raw = zip_rows_read_raw,
	.scratch_bytes = zip_rows_scratch_bytes,
	.transpose = zip_rows_transpose,
};

static const struct qc_source_ops zip_rows_f32_ops = {
	.name = "zip rows",
	.read_f32 = zip_rows_read_f32,
	.scratch_bytes = zip_rows_scratch_bytes,
	.transpose = zip_rows_transpose,
};

/* A node over `a` and `b`; *raw: both have raw rows of one type. */
static struct zip_source *new_zip(struct qc_arena *arena, const struct qc_source *a,
				  const struct qc_source *b, bool *raw)
{
	struct zip_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	assert(a->rows == b->rows && a->cols == b->cols);
	s->base = *a;
	if (a->type != b->type)
		s->base.type = &qc_f32;
	*raw = a->type == b->type && a->ops->read_raw && b->ops->read_raw;
	s->inner[0] = a;
	s->inner[1] = b;
	return s;
}

const struct qc_source *qc_source_zip_rows(struct qc_arena *arena, const struct qc_source *a,
					   const struct qc_source *b)
{
	bool raw;
	struct zip_source *s = new_zip(arena, a, b, &raw);

	if (!s)
		return NULL;
	s->base.ops = raw ? &zip_rows_ops : &zip_rows_f32_ops;
	s->base.rows = 2 * a->rows;
	s->base.row_group = 2 * a->row_group;
	return &s->base;
}

/* to[2 i] = from[i] for n elements of `size` bytes. */
static void spread(uint8_t *to, const uint8_t *from, uint64_t n, size_t size)
{
	if (size == 2)
		for (uint64_t i = 0; i < n; i++)
			memcpy(to + 4 * i, from + 2 * i, 2);
	else if (size == 4)
		for (uint64_t i = 0; i < n; i++)
			memcpy(to + 8 * i, from + 4 * i, 4);
	else
		for (uint64_t i = 0; i < n; i++)
			memcpy(to + 2 * size * i, from + size * i, size);
}

static enum qc_status zip_columns_read(const struct qc_source *source, bool raw, uint64_t row,
				       uint64_t n, uint8_t *dst, struct qc_scratch *scratch,
				       struct qc_err *err)
{
	const struct zip_source *s = (const struct zip_source *)source;
	const size_t size = raw ? source->type->block_bytes : sizeof(float), before = scratch->used;
	const uint64_t elems = n * s->inner[0]->cols;
	uint8_t *rows = qc_scratch_take(scratch, elems * size);
	enum qc_status status = QC_OK;

	for (unsigned which = 0; !status && which < 2; which++) {
		status = read_rows(s->inner[which], raw, row, n, rows, scratch, err);
		if (!status)
			spread(dst + which * size, rows, elems, size);
	}
	qc_scratch_give(scratch, before);
	return status;
}

static enum qc_status zip_columns_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
					   float *dst, struct qc_scratch *scratch,
					   struct qc_err *err)
{
	return zip_columns_read(source, false, row, n, (uint8_t *)dst, scratch, err);
}

static enum qc_status zip_columns_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
					   void *dst, struct qc_scratch *scratch,
					   struct qc_err *err)
{
	return zip_columns_read(source, true, row, n, dst, scratch, err);
}

static size_t zip_columns_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct zip_source *s = (const struct zip_source *)source;

	return qc_scratch_need(n * row_bytes_max(s->inner[0])) +
	       larger(qc_source_scratch(s->inner[0], n), qc_source_scratch(s->inner[1], n));
}

static const struct qc_source_ops zip_columns_ops = {
	.name = "zip columns",
	.read_f32 = zip_columns_read_f32,
	.read_raw = zip_columns_read_raw,
	.scratch_bytes = zip_columns_scratch_bytes,
};

static const struct qc_source_ops zip_columns_f32_ops = {
	.name = "zip columns",
	.read_f32 = zip_columns_read_f32,
	.scratch_bytes = zip_columns_scratch_bytes,
};

const struct qc_source *qc_source_zip_columns(struct qc_arena *arena, const struct qc_source *a,
					      const struct qc_source *b)
{
	bool raw;
	struct zip_source *s = new_zip(arena, a, b, &raw);

	if (!s)
		return NULL;
	raw = raw && a->type->block_elems == 1;
	s->base.ops = raw ? &zip_columns_ops : &zip_columns_f32_ops;
	s->base.cols = 2 * a->cols;
	if (!s->base.type->is_float) /* blocks do not survive it */
		s->base.type = &qc_f32;
	return &s->base;
}

struct narrow_source {
	struct qc_source base;
	const struct qc_source *inner;
};

static enum qc_status narrow_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				      float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return qc_source_read_f32(((const struct narrow_source *)source)->inner, row, n, dst,
				  scratch, err);
}

static enum qc_status narrow_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				      void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const size_t before = scratch->used;
	float *values = qc_scratch_take(scratch, n * source->cols * sizeof(*values));
	enum qc_status status = narrow_read_f32(source, row, n, values, scratch, err);

	if (!status)
		source->type->quantize(values, dst, n, source->cols, NULL);
	qc_scratch_give(scratch, before);
	return status;
}

static size_t narrow_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	return qc_scratch_need(n * source->cols * sizeof(float)) +
	       qc_source_scratch(((const struct narrow_source *)source)->inner, n);
}

static const struct qc_source_ops narrow_ops = {
	.name = "narrow",
	.read_f32 = narrow_read_f32,
	.read_raw = narrow_read_raw,
	.scratch_bytes = narrow_scratch_bytes,
};

const struct qc_source *qc_source_narrow(struct qc_arena *arena, const struct qc_source *inner,
					 const struct qc_qtype *type)
{
	struct narrow_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	assert(type->is_float && type->block_elems == 1 && type->quantize);
	s->base = *inner;
	s->base.ops = &narrow_ops;
	s->base.type = type;
	s->inner = inner;
	return &s->base;
}
