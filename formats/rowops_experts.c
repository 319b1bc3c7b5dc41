/*
 * Row operations that experts need: one stored tensor that holds two matrices row by row, matrices
 * stored transposed, and one tensor made of many.
 *
 *   every_row      a b a b a b  ->  a a a         gate and up projection in one
 *   every_column   the same within each row       their biases
 *   transpose      [E, in, out] ->  [E, out, in]  experts as a batched product wants them
 *   stack          E x [out, in] -> [E, out, in]  experts stored one by one
 */
#include <assert.h>
#include <string.h>

#include "formats/parts.h"
#include "formats/rowops.h"
#include "formats/source.h"
#include "quant/types.h"

/* Inner rows that are turned at a time: their pieces and the output lines that they go to stay in
 * the first level cache. */
#define TURN_ROWS 16

/* Rows (or columns) first, first + step, ... of another source. */
struct every_source {
	struct qc_source base;
	const struct qc_source *inner;
	uint64_t first, step;
};

/* One read for the whole range, with the rows between: they lie beside each other on the disk, and
 * whoever wants those finds them in the page cache. */
static enum qc_status every_row_read(const struct qc_source *source, bool raw, uint64_t row,
				     uint64_t n, uint8_t *dst, struct qc_scratch *scratch,
				     struct qc_err *err)
{
	const struct every_source *s = (const struct every_source *)source;
	const size_t bytes = row_bytes(source, raw), before = scratch->used;
	const uint64_t run = n ? (n - 1) * s->step + 1 : 0;
	uint8_t *rows = qc_scratch_take(scratch, run * bytes);
	enum qc_status status =
		run ? read_rows(s->inner, raw, row * s->step + s->first, run, rows, scratch, err)
		    : QC_OK;

	for (uint64_t i = 0; !status && i < n; i++)
		memcpy(dst + i * bytes, rows + i * s->step * bytes, bytes);
	qc_scratch_give(scratch, before);
	return status;
}

static enum qc_status every_row_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
					 float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return every_row_read(source, false, row, n, (uint8_t *)dst, scratch, err);
}

static enum qc_status every_row_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
					 void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return every_row_read(source, true, row, n, dst, scratch, err);
}

static size_t every_row_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct every_source *s = (const struct every_source *)source;
	const uint64_t run = n ? (n - 1) * s->step + 1 : 0;

	return qc_scratch_need(run * row_bytes_max(source)) + qc_source_scratch(s->inner, run);
}

static const struct qc_source_ops every_row_ops = {
	.name = "every row",
	.read_f32 = every_row_read_f32,
	.read_raw = every_row_read_raw,
	.scratch_bytes = every_row_scratch_bytes,
};

static const struct qc_source_ops every_row_f32_ops = {
	.name = "every row",
	.read_f32 = every_row_read_f32,
	.scratch_bytes = every_row_scratch_bytes,
};

const struct qc_source *qc_source_every_row(struct qc_arena *arena, const struct qc_source *inner,
					    uint64_t first, uint64_t step)
{
	struct every_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	assert(step && first < step && inner->rows % step == 0);
	s->base = *inner;
	s->base.ops = inner->ops->read_raw ? &every_row_ops : &every_row_f32_ops;
	s->base.rows = inner->rows / step;
	s->base.row_group = inner->row_group > step ? inner->row_group / step : 1;
	s->inner = inner;
	s->first = first;
	s->step = step;
	return &s->base;
}

static enum qc_status every_column_read_f32(const struct qc_source *source, uint64_t row,
					    uint64_t n, float *dst, struct qc_scratch *scratch,
					    struct qc_err *err)
{
	const struct every_source *s = (const struct every_source *)source;
	const size_t before = scratch->used;
	float *rows = qc_scratch_take(scratch, n * s->inner->cols * sizeof(float));
	enum qc_status status = qc_source_read_f32(s->inner, row, n, rows, scratch, err);

	for (uint64_t i = 0; !status && i < n * source->cols; i++)
		dst[i] = rows[i * s->step + s->first];
	qc_scratch_give(scratch, before);
	return status;
}

static size_t every_column_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct every_source *s = (const struct every_source *)source;

	return qc_scratch_need(n * s->inner->cols * sizeof(float)) + qc_source_scratch(s->inner, n);
}

static const struct qc_source_ops every_column_ops = {
	.name = "every column",
	.read_f32 = every_column_read_f32,
	.scratch_bytes = every_column_scratch_bytes,
};

const struct qc_source *qc_source_every_column(struct qc_arena *arena,
					       const struct qc_source *inner, uint64_t first,
					       uint64_t step)
{
	struct every_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	assert(step && first < step && inner->cols % step == 0);
	s->base = *inner;
	s->base.ops = &every_column_ops;
	s->base.cols = inner->cols / step;
	if (!inner->type->is_float) /* columns cut through its blocks */
		s->base.type = &qc_f32;
	s->inner = inner;
	s->first = first;
	s->step = step;
	return &s->base;
}

/*
 * Matrices of `height` rows, each transposed. An output row is a column of them, so a range of n
 * output rows takes a piece of n * step columns from each of the `height` rows: one read a piece,
 * which is why ranges should be large (row_group). From a file the pieces are read; of any other
 * source, which can only be read by rows, whole rows.
 */
struct transpose_source {
	struct qc_source base;
	const struct qc_source *inner;
	const struct qc_source *bytes; /* the inner file's, NULL when inner is none */
	uint64_t height, first, step;
};

/* Columns of a matrix, and where in the output they go. */
struct turn {
	uint64_t matrix_row; /* the matrix's first in the inner source */
	uint64_t col, n;     /* columns col, col + step, ... */
	uint8_t *dst;	     /* n rows of `height` elements */
	bool raw;
};

/* Columns [col, col + span) of the inner rows [row, row + n). *stride: elements from row to row.
 * What it takes of the scratch is the caller's to give back. */
static enum qc_status load_pieces(const struct transpose_source *s, const struct turn *t,
				  uint64_t row, uint64_t n, uint64_t span, const uint8_t **pieces,
				  uint64_t *stride, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_qtype *type = s->inner->type;
	const uint64_t width = s->inner->cols, size = type->block_bytes, elems = type->block_elems;
	/* whole blocks: those that hold the columns */
	const uint64_t first = t->col / elems, blocks = (t->col + span - 1) / elems - first + 1;
	uint8_t *raw;
	float *values;
	enum qc_status status = QC_OK;

	if (!s->bytes) {
		values = qc_scratch_take(scratch, n * width * sizeof(float));
		*pieces = (const uint8_t *)(values + t->col);
		*stride = width;
		return qc_source_read_f32(s->inner, row, n, values, scratch, err);
	}
	raw = qc_scratch_take(scratch, n * blocks * size);
	for (uint64_t i = 0; !status && i < n; i++)
		status = qc_source_read_raw(s->bytes, ((row + i) * (width / elems) + first) * size,
					    blocks * size, raw + i * blocks * size, scratch, err);
	*pieces = raw;
	*stride = blocks * elems;
	if (status || t->raw)
		return status;
	values = qc_scratch_take(scratch, n * blocks * elems * sizeof(float));
	type->dequantize(raw, values, n * blocks);
	*pieces = (const uint8_t *)(values + (t->col - first * elems));
	return QC_OK;
}

/* dst[j][at + i] = pieces[i][j * step] for n pieces and t->n columns; elements of `size` bytes. */
static void scatter(const struct transpose_source *s, const struct turn *t, const uint8_t *pieces,
		    uint64_t stride, uint64_t at, uint64_t n, size_t size)
{
	for (uint64_t j = 0; j < t->n; j++) {
		uint8_t *dst = t->dst + (j * s->height + at) * size;
		const uint8_t *src = pieces + j * s->step * size;

		if (size == 2)
			for (uint64_t i = 0; i < n; i++)
				memcpy(dst + 2 * i, src + 2 * i * stride, 2);
		else if (size == 4)
			for (uint64_t i = 0; i < n; i++)
				memcpy(dst + 4 * i, src + 4 * i * stride, 4);
		else
			for (uint64_t i = 0; i < n; i++)
				memcpy(dst + size * i, src + size * i * stride, size);
	}
}

static enum qc_status turn(const struct transpose_source *s, const struct turn *t,
			   struct qc_scratch *scratch, struct qc_err *err)
{
	const uint64_t span = (t->n - 1) * s->step + 1;
	const size_t size = t->raw ? s->inner->type->block_bytes : sizeof(float);
	enum qc_status status = QC_OK;

	for (uint64_t at = 0; !status && at < s->height; at += TURN_ROWS) {
		const uint64_t left = s->height - at, n = left < TURN_ROWS ? left : TURN_ROWS;
		const size_t before = scratch->used;
		const uint8_t *pieces;
		uint64_t stride;

		status = load_pieces(s, t, t->matrix_row + at, n, span, &pieces, &stride, scratch,
				     err);
		if (!status)
			scatter(s, t, pieces, stride, at, n, size);
		qc_scratch_give(scratch, before);
	}
	return status;
}

static enum qc_status transpose_read(const struct qc_source *source, bool raw, uint64_t row,
				     uint64_t n, uint8_t *dst, struct qc_scratch *scratch,
				     struct qc_err *err)
{
	const struct transpose_source *s = (const struct transpose_source *)source;
	const uint64_t out_rows = s->inner->cols / s->step;
	enum qc_status status = QC_OK;

	while (!status && n) {
		const uint64_t from = row % out_rows, left = out_rows - from;
		const struct turn t = {
			.matrix_row = row / out_rows * s->height,
			.col = s->first + from * s->step,
			.n = n < left ? n : left,
			.dst = dst,
			.raw = raw,
		};

		status = turn(s, &t, scratch, err);
		row += t.n;
		n -= t.n;
		dst += t.n * row_bytes(source, raw);
	}
	return status;
}

static enum qc_status transpose_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
					 float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return transpose_read(source, false, row, n, (uint8_t *)dst, scratch, err);
}

static enum qc_status transpose_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
					 void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return transpose_read(source, true, row, n, dst, scratch, err);
}

static size_t transpose_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct transpose_source *s = (const struct transpose_source *)source;
	const uint64_t width = s->inner->cols, elems = s->inner->type->block_elems;
	const uint64_t span = n < width / s->step ? n * s->step : width;
	const uint64_t blocks = span / elems + 2; /* the ends may lie inside of one */

	if (!s->bytes)
		return qc_scratch_need(TURN_ROWS * width * sizeof(float)) +
		       qc_source_scratch(s->inner, TURN_ROWS);
	return qc_scratch_need(TURN_ROWS * blocks * s->inner->type->block_bytes) +
	       qc_scratch_need(TURN_ROWS * blocks * elems * sizeof(float));
}

static const struct qc_source_ops transpose_ops = {
	.name = "transpose",
	.read_f32 = transpose_read_f32,
	.read_raw = transpose_read_raw,
	.scratch_bytes = transpose_scratch_bytes,
};

static const struct qc_source_ops transpose_f32_ops = {
	.name = "transpose",
	.read_f32 = transpose_read_f32,
	.scratch_bytes = transpose_scratch_bytes,
};

const struct qc_source *qc_source_transpose(struct qc_arena *arena, const struct qc_source *inner,
					    uint64_t height, uint64_t first, uint64_t step)
{
	const bool from_file = qc_source_is_file(inner) && inner->type->dequantize &&
			       inner->cols % inner->type->block_elems == 0;
	struct transpose_source *s;

	if (inner->ops->transpose)
		return inner->ops->transpose(arena, inner, height, first, step);
	s = qc_arena_alloc(arena, sizeof(*s));
	if (!s)
		return NULL;
	assert(height && inner->rows % height == 0);
	assert(step && first < step && inner->cols % step == 0);
	if (from_file) {
		s->bytes = qc_source_bytes(arena, inner);
		if (!s->bytes)
			return NULL;
	}
	s->base = *inner;
	s->base.ops =
		from_file && inner->type->block_elems == 1 ? &transpose_ops : &transpose_f32_ops;
	s->base.rows = inner->rows / height * (inner->cols / step);
	s->base.cols = height;
	s->base.row_group = qc_transposed_row_group(height);
	if (s->base.ops != &transpose_ops && !inner->type->is_float) /* blocks do not survive it */
		s->base.type = &qc_f32;
	s->inner = inner;
	s->height = height;
	s->first = first;
	s->step = step;
	return &s->base;
}

/* Several sources of one shape, one after the other. */
struct stack_source {
	struct qc_source base;
	const struct qc_source *const *inner;
	uint64_t inner_rows;
};

static enum qc_status stack_read(const struct qc_source *source, bool raw, uint64_t row, uint64_t n,
				 uint8_t *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct stack_source *s = (const struct stack_source *)source;
	enum qc_status status = QC_OK;

	while (!status && n) {
		const uint64_t from = row % s->inner_rows, left = s->inner_rows - from;
		const uint64_t m = n < left ? n : left;

		status = read_rows(s->inner[row / s->inner_rows], raw, from, m, dst, scratch, err);
		row += m;
		n -= m;
		dst += m * row_bytes(source, raw);
	}
	return status;
}

static enum qc_status stack_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				     float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return stack_read(source, false, row, n, (uint8_t *)dst, scratch, err);
}

static enum qc_status stack_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				     void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return stack_read(source, true, row, n, dst, scratch, err);
}

static size_t stack_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct stack_source *s = (const struct stack_source *)source;
	const uint64_t most = n < s->inner_rows ? n : s->inner_rows;
	size_t bytes = 0;

	for (uint64_t i = 0; i < source->rows / s->inner_rows; i++) {
		const size_t one = qc_source_scratch(s->inner[i], most);

		bytes = one > bytes ? one : bytes;
	}
	return bytes;
}

static const struct qc_source_ops stack_ops = {
	.name = "stack",
	.read_f32 = stack_read_f32,
	.read_raw = stack_read_raw,
	.scratch_bytes = stack_scratch_bytes,
};

static const struct qc_source_ops stack_f32_ops = {
	.name = "stack",
	.read_f32 = stack_read_f32,
	.scratch_bytes = stack_scratch_bytes,
};

const struct qc_source *qc_source_stack(struct qc_arena *arena,
					const struct qc_source *const *inner, uint64_t n)
{
	struct stack_source *s = qc_arena_alloc(arena, sizeof(*s));
	bool raw = true, same_type = true;

	if (!s)
		return NULL;
	assert(n && inner[0]->rows);
	s->base = *inner[0];
	for (uint64_t i = 0; i < n; i++) {
		assert(inner[i]->rows == inner[0]->rows && inner[i]->cols == inner[0]->cols);
		raw = raw && inner[i]->ops->read_raw;
		same_type = same_type && inner[i]->type == inner[0]->type;
	}
	s->base.ops = raw && same_type ? &stack_ops : &stack_f32_ops;
	s->base.rows = n * inner[0]->rows;
	if (!same_type)
		s->base.type = &qc_f32;
	s->inner = inner;
	s->inner_rows = inner[0]->rows;
	return &s->base;
}
