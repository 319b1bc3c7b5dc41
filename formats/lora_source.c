/*
 * Adapters applied to rows while they are read.
 *
 * A range of n rows needs n rows of the left factor (n x rank), and of the right one (rank x cols)
 * a slice of some ranks at a time, whose products are added up in a buffer as large as the range:
 * memory for the range and about 256 KiB, whatever the rank and the size of the model. Which of A
 * and B is left depends on how the model stores the matrix:
 *
 *   [out, in]   left = B, rows of it               right = A, rows of it
 *   [in, out]   left = A, columns turned to rows   right = B, columns turned to rows
 */
#include "formats/lora_source.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "formats/parts.h"

#define SLICE_ELEMS (64u << 10) /* floats of the right factor that are in memory at a time */
#define BATCH_ELEMS (16u << 10) /* stored elements of which some are picked */
#define TILE	    16		/* columns whose sums stay in registers */
#define ROW_GROUP   16		/* rows that are worth loading the right factor for */

static struct qc_part part_of(struct qc_arena *arena, const struct qc_tensor *tensor)
{
	struct qc_part part = {.bytes = qc_source_bytes(arena, tensor->source),
			       .type = tensor->source->type,
			       .name = tensor->stored_name};

	return part;
}

static uint64_t at_least_one(uint64_t n)
{
	return n ? n : 1;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static size_t floats_need(uint64_t n)
{
	return qc_scratch_need((size_t)n * sizeof(float));
}

struct delta_source {
	struct qc_source base;
	const struct qc_source *inner;
	struct qc_part a, b, magnitude;
	uint64_t rank, n_experts;
	uint64_t in, out;	  /* columns of A, rows of B */
	uint64_t expert_rows;	  /* of the matrix as it is stored */
	uint64_t b_first, b_step; /* rows b_first, b_first + b_step, ... of B are the outputs */
	uint64_t slice, batch; /* ranks of the right factor, rows of B, that are loaded at a time */
	bool transposed;
	float scale;
};

/* Rows [first, first + n) of one expert. */
struct expert_rows {
	uint64_t expert, first, n;
};

/* dst[i * row_step + k * rank_step] = B[output first + i][first_rank + k] of the expert, for n
 * outputs and n_ranks ranks. */
struct b_window {
	uint64_t expert, first, n, first_rank, n_ranks;
	uint64_t row_step, rank_step;
};

static enum qc_status load_b(const struct delta_source *s, const struct b_window *w, float *dst,
			     struct qc_scratch *scratch, struct qc_err *err)
{
	const uint64_t width = s->rank * s->n_experts;
	const uint64_t col = w->first_rank * s->n_experts, cols = w->n_ranks * s->n_experts;
	const size_t before = scratch->used;
	const uint64_t most = (s->batch - 1) / s->b_step + 1;
	float *batch = qc_scratch_take(scratch, (size_t)(s->batch * cols) * sizeof(float));
	enum qc_status status = QC_OK;

	for (uint64_t done = 0; !status && done < w->n; done += most) {
		const uint64_t n = smaller(most, w->n - done);
		const struct qc_window window = {width, s->b_first + (w->first + done) * s->b_step,
						 (n - 1) * s->b_step + 1, col, cols};

		status = qc_part_read_f32(&s->b, &window, batch, scratch, err);
		for (uint64_t i = 0; !status && i < n; i++)
			for (uint64_t k = 0; k < w->n_ranks; k++)
				dst[(done + i) * w->row_step + k * w->rank_step] =
					batch[i * s->b_step * cols + k * s->n_experts + w->expert];
	}
	qc_scratch_give(scratch, before);
	return status;
}

static size_t load_b_need(const struct delta_source *s)
{
	const uint64_t elems = s->batch * s->rank * s->n_experts;

	return floats_need(elems) + qc_part_scratch(&s->b, elems);
}

/* left[i][k], n x rank */
static enum qc_status load_left(const struct delta_source *s, const struct expert_rows *rows,
				float *left, struct qc_scratch *scratch, struct qc_err *err)
{
	const size_t before = scratch->used;
	enum qc_status status = QC_OK;
	float *column;

	if (!s->transposed) {
		const struct b_window w = {rows->expert, rows->first, rows->n, 0,
					   s->rank,	 s->rank,     1};

		return load_b(s, &w, left, scratch, err);
	}
	column = qc_scratch_take(scratch, (size_t)rows->n * sizeof(float));
	for (uint64_t k = 0; !status && k < s->rank; k++) {
		const struct qc_window w = {s->in, rows->expert * s->rank + k, 1, rows->first,
					    rows->n};

		status = qc_part_read_f32(&s->a, &w, column, scratch, err);
		for (uint64_t i = 0; !status && i < rows->n; i++)
			left[i * s->rank + k] = column[i];
	}
	qc_scratch_give(scratch, before);
	return status;
}

/* right[k - first][c], n x cols */
static enum qc_status load_right(const struct delta_source *s, uint64_t expert, uint64_t first,
				 uint64_t n, float *right, struct qc_scratch *scratch,
				 struct qc_err *err)
{
	const struct b_window b = {expert, 0, s->out, first, n, 1, s->base.cols};
	const struct qc_window a = {s->in, expert * s->rank + first, n, 0, s->in};

	return s->transposed ? load_b(s, &b, right, scratch, err)
			     : qc_part_read_f32(&s->a, &a, right, scratch, err);
}

/* sum[c] += sum over k of left[k] * right[k][c], k in order. */
static void multiply_row(const float *left, const float *right, uint64_t n_ranks, uint64_t cols,
			 float *sum)
{
	uint64_t c = 0;

	for (; c + TILE <= cols; c += TILE) {
		float tile[TILE];

		memcpy(tile, sum + c, sizeof(tile));
		for (uint64_t k = 0; k < n_ranks; k++) {
			const float *row = right + k * cols + c;

			for (int i = 0; i < TILE; i++)
				tile[i] += left[k] * row[i];
		}
		memcpy(sum + c, tile, sizeof(tile));
	}
	for (; c < cols; c++)
		for (uint64_t k = 0; k < n_ranks; k++)
			sum[c] += left[k] * right[k * cols + c];
}

/* B A of these rows. */
static enum qc_status product(const struct delta_source *s, const struct expert_rows *rows,
			      float *sum, struct qc_scratch *scratch, struct qc_err *err)
{
	const uint64_t cols = s->base.cols;
	const size_t before = scratch->used;
	float *left = qc_scratch_take(scratch, (size_t)(rows->n * s->rank) * sizeof(float));
	float *right = qc_scratch_take(scratch, (size_t)(s->slice * cols) * sizeof(float));
	enum qc_status status = load_left(s, rows, left, scratch, err);

	memset(sum, 0, (size_t)(rows->n * cols) * sizeof(float));
	for (uint64_t k = 0; !status && k < s->rank; k += s->slice) {
		const uint64_t n = smaller(s->slice, s->rank - k);

		status = load_right(s, rows->expert, k, n, right, scratch, err);
		for (uint64_t i = 0; !status && i < rows->n; i++)
			multiply_row(left + i * s->rank + k, right, n, cols, sum + i * cols);
	}
	qc_scratch_give(scratch, before);
	return status;
}

static void normalize_row(float *row, uint64_t cols, float magnitude)
{
	double norm = 0;
	float factor = 0;

	for (uint64_t c = 0; c < cols; c++)
		norm += (double)row[c] * (double)row[c];
	if (norm != 0) /* a NaN goes on, and is found */
		factor = (float)((double)magnitude / sqrt(norm));
	for (uint64_t c = 0; c < cols; c++)
		row[c] *= factor;
}

static enum qc_status delta_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				     float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct delta_source *s = (const struct delta_source *)source;
	const uint64_t cols = source->cols, end = row + n;
	const size_t before = scratch->used;
	enum qc_status status = qc_source_read_f32(s->inner, row, n, dst, scratch, err);
	float *sum = qc_scratch_take(scratch, (size_t)(n * cols) * sizeof(float));

	for (uint64_t at = row; !status && at < end;) {
		struct expert_rows rows = {at / s->expert_rows, at % s->expert_rows, 0};
		float *to = dst + (at - row) * cols;

		rows.n = smaller(end - at, s->expert_rows - rows.first);
		status = product(s, &rows, sum, scratch, err);
		for (uint64_t i = 0; !status && i < rows.n * cols; i++)
			to[i] += s->scale * sum[i];
		at += rows.n;
	}
	if (!status && s->magnitude.bytes) { /* the sums are done with: their place is free */
		const struct qc_window w = {1, row, n, 0, 1};

		status = qc_part_read_f32(&s->magnitude, &w, sum, scratch, err);
		for (uint64_t i = 0; !status && i < n; i++)
			normalize_row(dst + i * cols, cols, sum[i]);
	}
	qc_scratch_give(scratch, before);
	return status;
}

static size_t delta_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct delta_source *s = (const struct delta_source *)source;
	const size_t inner = qc_source_scratch(s->inner, n),
		     magnitude = qc_part_scratch(&s->magnitude, n);
	const size_t column = floats_need(n) + qc_part_scratch(&s->a, n);
	const size_t slice = qc_part_scratch(&s->a, s->slice * source->cols);
	size_t factor = load_b_need(s), own;

	factor = column > factor ? column : factor;
	factor = slice > factor ? slice : factor;
	own = floats_need(n * s->rank) + floats_need(s->slice * source->cols) + factor;
	own = floats_need(n * source->cols) + (own > magnitude ? own : magnitude);
	return own > inner ? own : inner;
}

static const struct qc_source_ops delta_ops = {
	.name = "lora",
	.read_f32 = delta_read_f32,
	.scratch_bytes = delta_scratch_bytes,
};

/* Experts stored [in, out] and wanted [out, in]: the base is turned, and B's rows are rows then. */
static const struct qc_source *delta_transpose(struct qc_arena *arena,
					       const struct qc_source *source, uint64_t height,
					       uint64_t first, uint64_t step);

static const struct qc_source_ops delta_transposed_ops = {
	.name = "lora",
	.read_f32 = delta_read_f32,
	.scratch_bytes = delta_scratch_bytes,
	.transpose = delta_transpose,
};

/* What follows from the shapes. */
static void delta_measure(struct delta_source *s)
{
	s->base.ops = s->transposed ? &delta_transposed_ops : &delta_ops;
	if (s->base.row_group < ROW_GROUP)
		s->base.row_group = ROW_GROUP;
	s->expert_rows = s->base.rows / s->n_experts;
	/* to turn columns of B into rows, all of B is read: once, for all ranks */
	s->slice = s->transposed ? s->rank : smaller(s->rank, at_least_one(SLICE_ELEMS / s->in));
	s->batch = at_least_one(BATCH_ELEMS / (s->rank * s->n_experts));
}

static const struct qc_source *delta_transpose(struct qc_arena *arena,
					       const struct qc_source *source, uint64_t height,
					       uint64_t first, uint64_t step)
{
	const struct delta_source *old = (const struct delta_source *)source;
	struct delta_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	assert(height == old->expert_rows);
	*s = *old;
	s->inner = qc_source_transpose(arena, old->inner, height, first, step);
	if (!s->inner)
		return NULL;
	s->base = *s->inner;
	s->base.type = old->base.type;
	s->transposed = false;
	s->b_first = first;
	s->b_step = step;
	delta_measure(s);
	return &s->base;
}

const struct qc_source *qc_lora_source_delta(struct qc_arena *arena,
					     const struct qc_lora_delta *delta)
{
	struct delta_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	s->base = *delta->inner;
	s->base.type = delta->type;
	s->inner = delta->inner;
	s->a = part_of(arena, delta->a);
	s->b = part_of(arena, delta->b);
	if (delta->magnitude)
		s->magnitude = part_of(arena, delta->magnitude);
	if (!s->a.bytes || !s->b.bytes || (delta->magnitude && !s->magnitude.bytes))
		return NULL;
	s->rank = delta->rank;
	s->n_experts = delta->n_experts;
	s->in = delta->a->dims[0];
	s->out = delta->b->dims[1];
	s->b_step = 1;
	s->transposed = delta->transposed;
	delta_measure(s);
	s->scale = delta->scale;
	assert(s->base.cols == (s->transposed ? s->out : s->in));
	assert(s->expert_rows == (s->transposed ? s->in : s->out));
	assert(!delta->magnitude || (s->n_experts == 1 && !s->transposed));
	return &s->base;
}
