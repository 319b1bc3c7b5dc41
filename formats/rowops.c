/* Row operations: sources made of another source's rows in another order, a part of them, or with a
 * number added. */
#include <assert.h>
#include <string.h>

#include "formats/rowops.h"
#include "formats/source.h"
#include "quant/types.h"

/*
 * Permuting the rows of attention heads. With group = 6 rows a head, h = 3:
 *
 *   Hugging Face (halves)        0 1 2 3 4 5      pair i of the rotation: rows i and i + h
 *   GGUF's llama (interleaved)   0 3 1 4 2 5      pair i of the rotation: rows 2i and 2i + 1
 *
 * Neither direction reads more than it must when a range begins or ends inside a head: to
 * interleave, the even and the odd output rows are two runs of inner rows; the way back reads one
 * run of every other row per half.
 */
struct permute_source {
	struct qc_source base;
	const struct qc_source *inner;
	uint64_t group;
	bool inverse;
};

/* Output rows [a, b) of the group that begins at `first`, halves to interleaved. */
static enum qc_status interleave(const struct permute_source *p, bool raw, uint64_t first,
				 uint64_t a, uint64_t b, uint8_t *dst, struct qc_scratch *scratch,
				 struct qc_err *err)
{
	const size_t bytes = row_bytes(p->inner, raw);
	uint64_t even = (a + 1) / 2, n_even = (b + 1) / 2 - even, odd = a / 2, n_odd = b / 2 - odd;
	size_t before = scratch->used;
	uint8_t *evens = qc_scratch_take(scratch, (b - a) * bytes), *odds = evens + n_even * bytes;
	enum qc_status status = read_rows(p->inner, raw, first + even, n_even, evens, scratch, err);

	if (!status)
		status = read_rows(p->inner, raw, first + p->group / 2 + odd, n_odd, odds, scratch,
				   err);
	for (uint64_t r = a; !status && r < b; r++) {
		const uint8_t *src =
			r % 2 ? odds + (r / 2 - odd) * bytes : evens + (r / 2 - even) * bytes;

		memcpy(dst + (r - a) * bytes, src, bytes);
	}
	qc_scratch_give(scratch, before);
	return status;
}

/* Output rows [a, b) of the group that begins at `first`, interleaved to halves; [a, b) is the
 * whole group or inside one half of it. */
static enum qc_status deinterleave(const struct permute_source *p, bool raw, uint64_t first,
				   uint64_t a, uint64_t b, uint8_t *dst, struct qc_scratch *scratch,
				   struct qc_err *err)
{
	const size_t bytes = row_bytes(p->inner, raw);
	uint64_t half = p->group / 2;
	uint64_t from = a < half ? 2 * a : 2 * (a - half) + 1;
	uint64_t last = b <= half ? 2 * (b - 1) : 2 * (b - 1 - half) + 1;
	size_t before = scratch->used;
	uint8_t *rows = qc_scratch_take(scratch, (last - from + 1) * bytes);
	enum qc_status status =
		read_rows(p->inner, raw, first + from, last - from + 1, rows, scratch, err);

	for (uint64_t r = a; !status && r < b; r++) {
		uint64_t src = r < half ? 2 * r : 2 * (r - half) + 1;

		memcpy(dst + (r - a) * bytes, rows + (src - from) * bytes, bytes);
	}
	qc_scratch_give(scratch, before);
	return status;
}

static enum qc_status permute_read(const struct permute_source *p, bool raw, uint64_t row,
				   uint64_t n, uint8_t *dst, struct qc_scratch *scratch,
				   struct qc_err *err)
{
	const size_t bytes = row_bytes(p->inner, raw);
	enum qc_status status = QC_OK;

	for (uint64_t end = row + n; row < end && !status;) {
		uint64_t a = row % p->group, first = row - a;
		uint64_t b = end - first < p->group ? end - first : p->group;

		if (p->inverse) {
			if (a < p->group / 2 && b > p->group / 2 && b - a < p->group)
				b = p->group / 2;
			status = deinterleave(p, raw, first, a, b, dst, scratch, err);
		} else {
			status = interleave(p, raw, first, a, b, dst, scratch, err);
		}
		dst += (b - a) * bytes;
		row = first + b;
	}
	return status;
}

static enum qc_status permute_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				       float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return permute_read((const struct permute_source *)source, false, row, n, (uint8_t *)dst,
			    scratch, err);
}

static enum qc_status permute_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				       void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	return permute_read((const struct permute_source *)source, true, row, n, dst, scratch, err);
}

static size_t permute_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct permute_source *p = (const struct permute_source *)source;
	uint64_t most = p->inverse ? 2 * n : n;
	uint64_t rows = most < p->group ? most : p->group;

	return qc_scratch_need(rows * row_bytes_max(p->inner)) + qc_source_scratch(p->inner, rows);
}

/* The whole groups that the rows are in. */
static bool permute_extent(const struct qc_source *source, uint64_t row, uint64_t n,
			   struct qc_extent *extent)
{
	const struct permute_source *p = (const struct permute_source *)source;
	uint64_t first = row - row % p->group, end = row + n;

	if (end % p->group)
		end += p->group - end % p->group;
	if (!qc_source_extent(p->inner, first, end - first, extent))
		return false;
	extent->in_order = false;
	return true;
}

static const struct qc_source_ops permute_ops = {
	.name = "permute",
	.extent = permute_extent,
	.read_f32 = permute_read_f32,
	.read_raw = permute_read_raw,
	.scratch_bytes = permute_scratch_bytes,
};

static const struct qc_source_ops permute_f32_ops = {
	.name = "permute",
	.extent = permute_extent,
	.read_f32 = permute_read_f32,
	.scratch_bytes = permute_scratch_bytes,
};

const struct qc_source *qc_source_permute_heads(struct qc_arena *arena,
						const struct qc_source *inner, uint64_t group,
						bool inverse)
{
	struct permute_source *p = qc_arena_alloc(arena, sizeof(*p));

	if (!p)
		return NULL;
	assert(group && group % 2 == 0 && inner->rows % group == 0);
	p->base = *inner;
	p->base.ops = inner->ops->read_raw ? &permute_ops : &permute_f32_ops;
	p->base.row_group = group;
	p->inner = inner;
	p->group = group;
	p->inverse = inverse;
	return &p->base;
}

/* A number added to every value. */
struct add_source {
	struct qc_source base;
	const struct qc_source *inner;
	float addend;
};

static enum qc_status add_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				   float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct add_source *s = (const struct add_source *)source;
	enum qc_status status = qc_source_read_f32(s->inner, row, n, dst, scratch, err);

	for (uint64_t i = 0; !status && i < n * source->cols; i++)
		dst[i] += s->addend;
	return status;
}

static size_t add_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	return qc_source_scratch(((const struct add_source *)source)->inner, n);
}

static bool add_extent(const struct qc_source *source, uint64_t row, uint64_t n,
		       struct qc_extent *extent)
{
	if (!qc_source_extent(((const struct add_source *)source)->inner, row, n, extent))
		return false;
	extent->in_order = false;
	return true;
}

static const struct qc_source_ops add_ops = {
	.name = "add",
	.extent = add_extent,
	.read_f32 = add_read_f32,
	.scratch_bytes = add_scratch_bytes,
};

const struct qc_source *qc_source_add(struct qc_arena *arena, const struct qc_source *inner,
				      float addend)
{
	struct add_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	s->base = *inner;
	s->base.ops = &add_ops;
	s->base.type = &qc_f32; /* bf16 + 1 needs more bits than bf16 has */
	s->inner = inner;
	s->addend = addend;
	return &s->base;
}

/* A run of rows. */
struct slice_source {
	struct qc_source base;
	const struct qc_source *inner;
	uint64_t first;
};

static enum qc_status slice_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				     float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct slice_source *s = (const struct slice_source *)source;

	return qc_source_read_f32(s->inner, s->first + row, n, dst, scratch, err);
}

static enum qc_status slice_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				     void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct slice_source *s = (const struct slice_source *)source;

	return qc_source_read_raw(s->inner, s->first + row, n, dst, scratch, err);
}

static size_t slice_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	return qc_source_scratch(((const struct slice_source *)source)->inner, n);
}

static bool slice_extent(const struct qc_source *source, uint64_t row, uint64_t n,
			 struct qc_extent *extent)
{
	const struct slice_source *s = (const struct slice_source *)source;

	return qc_source_extent(s->inner, s->first + row, n, extent);
}

static const struct qc_source_ops slice_ops = {
	.name = "slice",
	.extent = slice_extent,
	.read_f32 = slice_read_f32,
	.read_raw = slice_read_raw,
	.scratch_bytes = slice_scratch_bytes,
};

static const struct qc_source_ops slice_f32_ops = {
	.name = "slice",
	.extent = slice_extent,
	.read_f32 = slice_read_f32,
	.scratch_bytes = slice_scratch_bytes,
};

const struct qc_source *qc_source_slice(struct qc_arena *arena, const struct qc_source *inner,
					uint64_t first, uint64_t rows)
{
	struct slice_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	assert(first <= inner->rows && rows <= inner->rows - first);
	s->base = *inner;
	s->base.ops = inner->ops->read_raw ? &slice_ops : &slice_f32_ops;
	s->base.rows = rows;
	s->inner = inner;
	s->first = first;
	return &s->base;
}
