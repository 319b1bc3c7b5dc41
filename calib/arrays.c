#include "calib/arrays.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "formats/gguf.h"
#include "quant/types.h"

enum { RANGE_BYTES = 1 << 20 };

void qc_arrays_init(struct qc_arrays *arrays)
{
	memset(arrays, 0, sizeof(*arrays));
	arrays->meta.arena = &arrays->arena;
}

void qc_arrays_clear(struct qc_arrays *arrays)
{
	free(arrays->tensors);
	free(arrays->data);
	qc_meta_clear(&arrays->meta);
	qc_arena_clear(&arrays->arena);
	memset(arrays, 0, sizeof(*arrays));
}

static enum qc_status grow(struct qc_arrays *arrays, struct qc_err *err)
{
	const size_t cap = arrays->cap ? 2 * arrays->cap : 64;
	struct qc_out_tensor *tensors;
	const void **data;

	if (arrays->n < arrays->cap)
		return QC_OK;
	tensors = reallocarray(arrays->tensors, cap, sizeof(*tensors));
	if (tensors)
		arrays->tensors = tensors;
	data = reallocarray(arrays->data, cap, sizeof(*data));
	if (data)
		arrays->data = data;
	if (!tensors || !data)
		return qc_no_memory(err);
	arrays->cap = cap;
	return QC_OK;
}

static enum qc_status add(struct qc_arrays *arrays, const char *prefix, const char *suffix,
			  const struct qc_qtype *type, const void *values, uint64_t cols,
			  uint64_t n, struct qc_err *err)
{
	struct qc_out_tensor tensor = {.type = type, .n_dims = n > 1 ? 2 : 1};
	uint64_t *dims = qc_arena_array(&arrays->arena, 2, sizeof(*dims));

	tensor.name = qc_arena_printf(&arrays->arena, "%s%s", prefix, suffix);
	if (!dims || !tensor.name || grow(arrays, err))
		return qc_no_memory(err);
	dims[0] = cols;
	dims[1] = n;
	tensor.dims = dims;
	if (!qc_mul(cols, n, &tensor.bytes) || !qc_qtype_bytes(type, tensor.bytes, &tensor.bytes))
		return qc_fail(err, QC_UNSUPPORTED, "'%s' is too large", tensor.name);
	arrays->tensors[arrays->n] = tensor;
	arrays->data[arrays->n++] = values;
	return QC_OK;
}

enum qc_status qc_arrays_add(struct qc_arrays *arrays, const char *prefix, const char *suffix,
			     const float *values, uint64_t cols, uint64_t n, struct qc_err *err)
{
	return add(arrays, prefix, suffix, &qc_f32, values, cols, n, err);
}

enum qc_status qc_arrays_add_f64(struct qc_arrays *arrays, const char *prefix, const char *suffix,
				 const double *values, uint64_t cols, uint64_t n,
				 struct qc_err *err)
{
	return add(arrays, prefix, suffix, &qc_f64, values, cols, n, err);
}

static void put_values(const struct qc_out_tensor *tensor, const void *values, uint8_t *dst)
{
	const uint64_t n = tensor->bytes / tensor->type->block_bytes;

	for (uint64_t i = 0; tensor->type == &qc_f32 && i < n; i++)
		qc_put_le32(dst + 4 * i, qc_f32_bits(((const float *)values)[i]));
	for (uint64_t i = 0; tensor->type == &qc_f64 && i < n; i++)
		qc_put_le64(dst + 8 * i, qc_f64_bits(((const double *)values)[i]));
}

enum qc_status qc_arrays_bytes(const struct qc_arrays *arrays, uint8_t **bytes, size_t *size,
			       struct qc_err *err)
{
	struct qc_out_file file = {0};
	enum qc_status s = qc_gguf_layout(arrays->tensors, arrays->n, &arrays->meta, &file, err);
	uint8_t *all = s ? NULL : calloc(1, file.total_bytes);

	*bytes = all;
	*size = file.total_bytes;
	if (!s && !all)
		s = qc_no_memory(err);
	if (!s)
		memcpy(all, file.header, file.header_bytes);
	for (size_t i = 0; !s && i < arrays->n; i++)
		put_values(&arrays->tensors[i], arrays->data[i], all + arrays->tensors[i].offset);
	free(file.header);
	return s;
}

/* A range of rows at a time, into one of the two. */
static enum qc_status read_rows(const struct qc_tensor *tensor, float *f32, double *f64,
				struct qc_err *err)
{
	const struct qc_source *source = tensor->source;
	const uint64_t row_bytes = (source->cols ? source->cols : 1) * sizeof(double);
	uint64_t step = row_bytes < RANGE_BYTES ? RANGE_BYTES / row_bytes : 1;
	struct qc_scratch scratch = {0};
	enum qc_status s = QC_OK;

	if (step > source->rows)
		step = source->rows;
	scratch.size = (qc_source_scratch(source, step) + 64) & ~(size_t)63;
	scratch.base = aligned_alloc(64, scratch.size);
	if (!scratch.base)
		return qc_no_memory(err);
	for (uint64_t row = 0; !s && row < source->rows; row += step) {
		const uint64_t left = source->rows - row, n = left < step ? left : step;
		const uint64_t at = row * source->cols;

		s = f32 ? qc_source_read_f32(source, row, n, f32 + at, &scratch, err)
			: qc_source_read_raw(source, row, n, f64 + at, &scratch, err);
		for (uint64_t i = 0; !s && f64 && i < n * source->cols; i++)
			f64[at + i] = qc_bits_f64(qc_le64(&f64[at + i]));
	}
	free(scratch.base);
	return s;
}

enum qc_status qc_array_read(const struct qc_tensor *tensor, float *dst, struct qc_err *err)
{
	return read_rows(tensor, dst, NULL, err);
}

enum qc_status qc_array_read_f64(const struct qc_tensor *tensor, double *dst, struct qc_err *err)
{
	if (tensor->source->type != &qc_f64)
		return qc_fail(err, QC_BAD_INPUT, "'%s' is %s, f64 is needed", tensor->stored_name,
			       tensor->source->type->name);
	return read_rows(tensor, NULL, dst, err);
}
