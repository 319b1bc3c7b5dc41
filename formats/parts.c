#include "formats/parts.h"

#include <assert.h>

enum qc_status qc_part_init(struct qc_part *part, struct qc_fold *fold,
			    const struct qc_tensor *tensor, const struct qc_qtype *type,
			    struct qc_err *err)
{
	if (!qc_source_is_file(tensor->source))
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.160s' is a part of two quantized weights",
			       tensor->stored_name);
	assert(type->block_elems == 1 && type->block_bytes == tensor->source->type->block_bytes);
	part->bytes = qc_source_bytes(&fold->model->arena, tensor->source);
	part->type = type;
	part->name = tensor->stored_name;
	return part->bytes ? QC_OK : qc_no_memory(err);
}

enum qc_status qc_part_read(const struct qc_part *part, const struct qc_window *w, void *dst,
			    struct qc_scratch *scratch, struct qc_err *err)
{
	uint64_t first = (w->row * w->width + w->col) * part->type->block_bytes;
	uint64_t run = w->cols * part->type->block_bytes;
	uint64_t stride = w->width * part->type->block_bytes;
	uint8_t *to = dst;
	enum qc_status s = QC_OK;

	if (w->cols == w->width)
		return qc_source_read_raw(part->bytes, first, w->rows * run, dst, scratch, err);
	for (uint64_t r = 0; !s && r < w->rows; r++, to += run)
		s = qc_source_read_raw(part->bytes, first + r * stride, run, to, scratch, err);
	return s;
}

enum qc_status qc_part_read_f32(const struct qc_part *part, const struct qc_window *w, float *dst,
				struct qc_scratch *scratch, struct qc_err *err)
{
	size_t before = scratch->used, n = (size_t)(w->rows * w->cols);
	void *raw = qc_scratch_take(scratch, n * part->type->block_bytes);
	enum qc_status s = qc_part_read(part, w, raw, scratch, err);

	if (!s)
		part->type->dequantize(raw, dst, n);
	qc_scratch_give(scratch, before);
	return s;
}

size_t qc_part_scratch(const struct qc_part *part, uint64_t elems)
{
	return part->bytes ? qc_scratch_need((size_t)elems * part->type->block_bytes) : 0;
}

/* A cache line of output at a time, so that each is written once. */
void qc_transpose_bytes(const uint8_t *src, size_t rows, size_t cols, uint8_t *dst)
{
	for (size_t r0 = 0; r0 < rows; r0 += 64) {
		size_t n = rows - r0 < 64 ? rows - r0 : 64;

		for (size_t c = 0; c < cols; c++)
			for (size_t r = r0; r < r0 + n; r++)
				dst[c * rows + r] = src[r * cols + c];
	}
}

void qc_transpose_f32(const float *src, size_t rows, size_t cols, float *dst)
{
	for (size_t r0 = 0; r0 < rows; r0 += 16) {
		size_t n = rows - r0 < 16 ? rows - r0 : 16;

		for (size_t c = 0; c < cols; c++)
			for (size_t r = r0; r < r0 + n; r++)
				dst[c * rows + r] = src[r * cols + c];
	}
}

uint64_t qc_transposed_row_group(uint64_t cols)
{
	uint64_t group = 256;

	while (group > 8 && cols > (1u << 20) / group)
		group /= 2;
	return group;
}

bool qc_group_size(uint64_t len, uint64_t n, uint64_t *size)
{
	if (!n || n > len)
		return false;
	*size = n == 1 ? len : 1;
	if (n == 1 || n == len)
		return true;
	for (uint64_t power = 2; power < len; power *= 2) {
		if (len / power + (len % power != 0) == n) {
			*size = power;
			return true;
		}
		if (power > UINT64_MAX / 4)
			break;
	}
	*size = len / n;
	return len % n == 0;
}

enum qc_status qc_part_check_not_empty(const struct qc_tensor *tensor, struct qc_err *err)
{
	for (uint32_t i = 0; i < tensor->n_dims; i++)
		if (!tensor->dims[i])
			return qc_fail(err, QC_BAD_INPUT,
				       "tensor '%.160s', a part of a quantized weight, has no "
				       "elements",
				       tensor->stored_name);
	return QC_OK;
}

enum qc_status qc_fold_drop(struct qc_fold *fold, const char *base, const char *suffix,
			    const char *reason, struct qc_err *err)
{
	const struct qc_tensor *tensor = qc_fold_find(fold, base, suffix);

	if (!tensor)
		return QC_OK;
	qc_fold_consume(fold, tensor);
	return qc_model_add_drop(fold->model, tensor->stored_name, qc_tensor_stored_bytes(tensor),
				 reason, err);
}

enum qc_status qc_fold_refuse(const struct qc_fold *fold, const char *base, const char *suffix,
			      const char *why, struct qc_err *err)
{
	const struct qc_tensor *tensor = qc_fold_find(fold, base, suffix);

	if (!tensor)
		return QC_OK;
	return qc_fail(err, QC_UNSUPPORTED, "quantized weight '%.160s': '%.160s' %s", base,
		       tensor->stored_name, why);
}

const char *qc_fold_name(struct qc_fold *fold, const char *base, const char *suffix)
{
	return qc_arena_printf(&fold->model->arena, "%s%s", base, suffix);
}
