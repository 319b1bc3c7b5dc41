#include "convert/tuned.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "quant/qtype.h"

static enum qc_status tuned_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				     void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_tuned *t = (const struct qc_tuned *)source;
	uint64_t at = t->offset + row * t->row_bytes, left = n * t->row_bytes;
	uint8_t *to = dst;

	(void)scratch;
	while (left) {
		const ssize_t got = pread(t->file->fd, to, left, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return qc_fail_errno(err, got ? errno : EIO,
					     "cannot read quantized rows from a temporary file");
		to += got;
		at += (uint64_t)got;
		left -= (uint64_t)got;
	}
	return QC_OK;
}

static enum qc_status tuned_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				     float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_tuned *t = (const struct qc_tuned *)source;
	const size_t before = scratch->used, cols = (size_t)source->cols;
	uint8_t *blocks = qc_scratch_take(scratch, (size_t)(n * t->row_bytes));
	enum qc_status s = tuned_read_raw(source, row, n, blocks, scratch, err);

	if (!s)
		source->type->dequantize(blocks, dst, n * cols / source->type->block_elems);
	qc_scratch_give(scratch, before);
	for (uint64_t r = 0; !s && t->factors && r < n; r++)
		for (size_t i = 0; i < cols; i++)
			dst[r * cols + i] *= t->factors[(row + r) / t->slice];
	return s;
}

static size_t tuned_scratch(const struct qc_source *source, uint64_t n)
{
	return qc_scratch_need((size_t)(n * ((const struct qc_tuned *)source)->row_bytes));
}

static const struct qc_source_ops tuned_ops = {
	.name = "calibrated",
	.read_f32 = tuned_read_f32,
	.read_raw = tuned_read_raw,
	.scratch_bytes = tuned_scratch,
};

struct qc_tuned *qc_tuned_make(struct qc_arena *arena, const struct qc_spill *file, uint64_t offset,
			       const struct qc_qtype *type, uint64_t rows, uint64_t cols)
{
	struct qc_tuned *t = qc_arena_alloc(arena, sizeof(*t));

	if (t)
		*t = (struct qc_tuned){
			.base = {&tuned_ops, rows, cols, type, 1},
			.file = file,
			.offset = offset,
			.row_bytes = cols / type->block_elems * type->block_bytes,
			.slice = rows,
		};
	return t;
}

static enum qc_status write_rows(const struct qc_tuned *t, uint64_t row, uint64_t n,
				 const uint8_t *from, struct qc_err *err)
{
	uint64_t at = t->offset + row * t->row_bytes, left = n * t->row_bytes;

	while (left) {
		const ssize_t put = pwrite(t->file->fd, from, left, (off_t)at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return qc_fail_errno(err, put ? errno : EIO,
					     "cannot write quantized rows to a temporary file");
		from += put;
		at += (uint64_t)put;
		left -= (uint64_t)put;
	}
	return QC_OK;
}

enum qc_status qc_tuned_write(struct qc_overlay *o, uint64_t first, uint64_t step, uint64_t n,
			      const void *blocks, struct qc_err *err)
{
	const struct qc_tuned *t = o->tuned;
	const uint64_t together = step > 1 ? 1 : n;
	const uint8_t *from = blocks;
	enum qc_status s = QC_OK;

	for (uint64_t i = 0; !s && i < n; i += together, from += together * t->row_bytes)
		s = write_rows(t, first + i * step, together, from, err);
	for (uint64_t i = 0; !s && i < n; i++) {
		o->n_done += !o->done[first + i * step];
		o->done[first + i * step] = true;
	}
	return s;
}

/* Quantized by search and back. */
static enum qc_status read_searched(const struct qc_overlay *o, uint64_t row, uint64_t n,
				    float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_tuned *t = o->tuned;
	const size_t before = scratch->used, cols = (size_t)o->base.cols;
	enum qc_status s = qc_source_read_f32(o->inner, row, n, dst, scratch, err);
	uint8_t *blocks = qc_scratch_take(scratch, (size_t)t->row_bytes);

	for (uint64_t r = 0; !s && r < n; r++, dst += cols) {
		const float factor = t->factors ? t->factors[(row + r) / t->slice] : 1;

		for (size_t i = 0; i < cols; i++)
			dst[i] /= factor;
		o->search(dst, blocks, 1, cols, NULL);
		t->base.type->dequantize(blocks, dst, cols / t->base.type->block_elems);
		for (size_t i = 0; i < cols; i++)
			dst[i] *= factor;
	}
	qc_scratch_give(scratch, before);
	return s;
}

static enum qc_status overlay_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				       float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct qc_overlay *o = (const struct qc_overlay *)source;
	enum qc_status s = QC_OK;

	if (o->searches)
		return read_searched(o, row, n, dst, scratch, err);
	for (uint64_t part; !s && n; row += part, n -= part, dst += part * source->cols) {
		const bool done = o->done[row];

		for (part = 1; part < n && o->done[row + part] == done;)
			part++;
		s = qc_source_read_f32(done ? &o->tuned->base : o->inner, row, part, dst, scratch,
				       err);
	}
	return s;
}

static size_t overlay_scratch(const struct qc_source *source, uint64_t n)
{
	const struct qc_overlay *o = (const struct qc_overlay *)source;
	const size_t inner = qc_source_scratch(o->inner, n);
	const size_t tuned = qc_source_scratch(&o->tuned->base, n);

	return inner > tuned ? inner : tuned;
}

static const struct qc_source_ops overlay_ops = {
	.name = "overlay",
	.read_f32 = overlay_read_f32,
	.scratch_bytes = overlay_scratch,
};

struct qc_overlay *qc_overlay_make(struct qc_arena *arena, const struct qc_source *inner)
{
	struct qc_overlay *o = qc_arena_alloc(arena, sizeof(*o));
	bool *done = qc_arena_array(arena, inner->rows, sizeof(*done));

	if (o && done)
		*o = (struct qc_overlay){
			.base = {&overlay_ops, inner->rows, inner->cols, inner->type,
				 inner->row_group},
			.inner = inner,
			.done = done,
		};
	return done ? o : NULL;
}
