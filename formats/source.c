/* Sources at the bottom of every chain (file extents, computed values), and what all nodes share.
 */
#include "formats/source.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "quant/types.h"

#define SCRATCH_ALIGN 64

size_t qc_scratch_need(size_t size)
{
	return (size + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
}

void *qc_scratch_take(struct qc_scratch *scratch, size_t size)
{
	uint8_t *taken = scratch->base + scratch->used;
	size_t need = qc_scratch_need(size);

	assert(need >= size && need <= scratch->size - scratch->used);
	scratch->used += need;
	return taken;
}

void qc_scratch_give(struct qc_scratch *scratch, size_t used_before)
{
	assert(used_before <= scratch->used);
	scratch->used = used_before;
}

enum qc_status qc_source_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				  float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	assert(row <= source->rows && n <= source->rows - row);
	return source->ops->read_f32(source, row, n, dst, scratch, err);
}

enum qc_status qc_source_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				  void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	assert(source->ops->read_raw);
	assert(row <= source->rows && n <= source->rows - row);
	return source->ops->read_raw(source, row, n, dst, scratch, err);
}

size_t qc_source_scratch(const struct qc_source *source, uint64_t n)
{
	return source->ops->scratch_bytes(source, n);
}

void qc_source_shape(const struct qc_qtype *type, uint32_t n_dims, const uint64_t *dims,
		     uint64_t *rows, uint64_t *cols)
{
	uint64_t others = 1;
	bool empty = false;

	for (uint32_t i = 0; i < n_dims; i++)
		empty = empty || !dims[i];
	if (empty) { /* the other dimensions may be anything: their product means nothing */
		*rows = 0;
		*cols = type->block_elems;
		return;
	}
	for (uint32_t i = 1; i < n_dims; i++)
		others *= dims[i];
	if (n_dims >= 2 && dims[0] % type->block_elems == 0) {
		*rows = others;
		*cols = dims[0];
	} else {
		*rows = (n_dims ? others * dims[0] : 1) / type->block_elems;
		*cols = type->block_elems;
	}
}

bool qc_source_extent(const struct qc_source *source, uint64_t row, uint64_t n,
		      struct qc_extent *extent)
{
	return source->ops->extent && source->ops->extent(source, row, n, extent);
}

/* A contiguous extent of a file. */
struct file_source {
	struct qc_source base;
	const struct qc_file *file;
	uint64_t offset, row_bytes;
	bool big_endian;
};

static size_t file_blocks(const struct file_source *s, uint64_t n)
{
	return n * (s->base.cols / s->base.type->block_elems);
}

static enum qc_status file_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				    void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct file_source *s = (const struct file_source *)source;
	size_t bytes = n * s->row_bytes;

	(void)scratch;
	if (bytes) {
		enum qc_status status =
			qc_file_read(s->file, s->offset + row * s->row_bytes, dst, bytes, err);

		if (status)
			return status;
	}
	if (s->big_endian)
		qc_qtype_swap(source->type, dst, file_blocks(s, n));
	return QC_OK;
}

static enum qc_status file_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				    float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct file_source *s = (const struct file_source *)source;
	size_t before = scratch->used;
	enum qc_status status;
	void *raw;

	if (source->type == &qc_f32) { /* no second buffer */
		status = file_read_raw(source, row, n, dst, scratch, err);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		if (!status)
			qc_qtype_swap(source->type, dst, file_blocks(s, n));
#endif
		return status;
	}
	if (!source->type->dequantize)
		return qc_fail(err, QC_UNSUPPORTED, "%s values cannot be converted, only copied",
			       source->type->name);
	raw = qc_scratch_take(scratch, n * s->row_bytes);
	status = file_read_raw(source, row, n, raw, scratch, err);
	if (!status)
		source->type->dequantize(raw, dst, file_blocks(s, n));
	qc_scratch_give(scratch, before);
	return status;
}

static size_t file_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct file_source *s = (const struct file_source *)source;

	return source->type == &qc_f32 ? 0 : qc_scratch_need(n * s->row_bytes);
}

static bool file_extent(const struct qc_source *source, uint64_t row, uint64_t n,
			struct qc_extent *extent)
{
	const struct file_source *s = (const struct file_source *)source;

	*extent = (struct qc_extent){
		.file = s->file,
		.offset = s->offset + row * s->row_bytes,
		.bytes = n * s->row_bytes,
		.in_order = !s->big_endian,
	};
	return true;
}

static const struct qc_source_ops file_ops = {
	.name = "file",
	.extent = file_extent,
	.read_f32 = file_read_f32,
	.read_raw = file_read_raw,
	.scratch_bytes = file_scratch_bytes,
};

const struct qc_source *qc_source_file(struct qc_arena *arena, const struct qc_file *file,
				       uint64_t offset, const struct qc_qtype *type, uint64_t rows,
				       uint64_t cols, bool big_endian)
{
	struct file_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	assert(cols % type->block_elems == 0);
	s->base = (struct qc_source){
		.ops = &file_ops, .rows = rows, .cols = cols, .type = type, .row_group = 1};
	s->file = file;
	s->offset = offset;
	s->row_bytes = cols / type->block_elems * type->block_bytes;
	s->big_endian = big_endian;
	return &s->base;
}

bool qc_source_is_file(const struct qc_source *source)
{
	return source->ops == &file_ops && !((const struct file_source *)source)->big_endian;
}

const struct qc_source *qc_source_bytes(struct qc_arena *arena, const struct qc_source *file)
{
	const struct file_source *s = (const struct file_source *)file;

	assert(file->ops == &file_ops);
	return qc_source_file(arena, s->file, s->offset, &qc_u8, file->rows * s->row_bytes, 1,
			      false);
}

/* Floats in memory. */
struct values_source {
	struct qc_source base;
	const float *values;
};

static enum qc_status values_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				      float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct values_source *s = (const struct values_source *)source;

	(void)scratch;
	(void)err;
	memcpy(dst, s->values + row * source->cols, n * source->cols * sizeof(float));
	return QC_OK;
}

static enum qc_status values_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				      void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct values_source *s = (const struct values_source *)source;
	uint8_t *out = dst;

	(void)scratch;
	(void)err;
	for (uint64_t i = 0; i < n * source->cols; i++)
		qc_put_le32(out + i * 4, qc_f32_bits(s->values[row * source->cols + i]));
	return QC_OK;
}

static size_t values_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	(void)source;
	(void)n;
	return 0;
}

static const struct qc_source_ops values_ops = {
	.name = "values",
	.read_f32 = values_read_f32,
	.read_raw = values_read_raw,
	.scratch_bytes = values_scratch_bytes,
};

const struct qc_source *qc_source_values(struct qc_arena *arena, const float *values, uint64_t rows,
					 uint64_t cols)
{
	struct values_source *s = qc_arena_alloc(arena, sizeof(*s));

	if (!s)
		return NULL;
	s->base = (struct qc_source){
		.ops = &values_ops, .rows = rows, .cols = cols, .type = &qc_f32, .row_group = 1};
	s->values = values;
	return &s->base;
}
