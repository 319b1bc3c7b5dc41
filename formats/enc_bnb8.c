/*
 * bitsandbytes LLM.int8, as transformers saves it. A layer P is
 *
 *   P.weight          i8 [out, in]
 *   P.SCB             f32 [out]: the largest magnitude of each row
 *   P.weight_format   0: rows as they are (1 to 3, of old files, are layouts of certain GPUs)
 *
 *   w = weight * SCB[row] * (1/127), two rounded f32 products (bitsandbytes:
 * int8_vectorwise_dequant)
 *
 * Nothing stored tells what type the weight had; f16, in which LLM.int8 computes, holds such
 * products better than bf16.
 */
#include <stdlib.h>

#include "formats/fold.h"
#include "quant/bnb_decode.h"
#include "quant/types.h"

static const char *const triggers[] = {".SCB", NULL};
static const char *const leftovers[] = {".weight_format", NULL};

struct bnb8_source {
	struct qc_source base;
	const struct qc_source *weight, *row_absmax;
};

static enum qc_status bnb8_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				    float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct bnb8_source *s = (const struct bnb8_source *)source;
	size_t before = scratch->used, cols = source->cols;
	uint8_t *q = qc_scratch_take(scratch, n * cols);
	float *row_absmax = qc_scratch_take(scratch, n * sizeof(float));
	enum qc_status status = qc_source_read_raw(s->weight, row, n, q, scratch, err);

	if (!status)
		status = qc_source_read_f32(s->row_absmax, row, n, row_absmax, scratch, err);
	for (uint64_t r = 0; !status && r < n; r++)
		qc_bnb8_decode(q + r * cols, cols, row_absmax[r], dst + r * cols);
	qc_scratch_give(scratch, before);
	return status;
}

static size_t bnb8_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct bnb8_source *s = (const struct bnb8_source *)source;
	size_t weight = qc_source_scratch(s->weight, n),
	       scale = qc_source_scratch(s->row_absmax, n);

	return qc_scratch_need(n * source->cols) + qc_scratch_need(n * sizeof(float)) +
	       (weight > scale ? weight : scale);
}

static const struct qc_source_ops bnb8_ops = {
	.name = "bitsandbytes int8",
	.read_f32 = bnb8_read_f32,
	.scratch_bytes = bnb8_scratch_bytes,
};

/* weight_format: absent (rows) or one 0. */
static enum qc_status check_format(struct qc_fold *fold, const char *base, struct qc_err *err)
{
	const struct qc_tensor *format = qc_fold_find(fold, base, ".weight_format");
	enum qc_status s;
	float *value, found;

	if (!format)
		return QC_OK;
	if (!format->source->type->is_integer || qc_tensor_elems(format) != 1)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.160s' is not one integer",
			       format->stored_name);
	s = qc_fold_load_f32(format, 1, &value, err);
	if (s)
		return s;
	found = *value;
	free(value);
	if (found != 0)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%.160s' is %.0f, a layout for certain GPUs: only 0 (rows) "
			       "can be read; load and save the model with a current bitsandbytes",
			       format->stored_name, (double)found);
	qc_fold_consume(fold, format);
	return QC_OK;
}

static enum qc_status bnb8_fold(struct qc_fold *fold, const struct qc_tensor *trigger,
				const char *base, bool *taken, struct qc_err *err)
{
	static const struct qc_qtype *const only_i8[] = {&qc_i8, NULL};
	static const struct qc_qtype *const only_f32[] = {&qc_f32, NULL};
	struct bnb8_source *s = qc_arena_alloc(&fold->model->arena, sizeof(*s));
	struct qc_tensor *weight, *row_absmax;
	enum qc_status status;
	char shape[96];

	*taken = true;
	if (!s)
		return qc_no_memory(err);
	status = qc_fold_need(fold, base, ".weight", only_i8, -1, NULL, &weight, err);
	if (status)
		return status;
	qc_tensor_shape_text(weight, shape, sizeof(shape));
	if (weight->n_dims != 2)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.160s' is %s: a matrix belongs to a .SCB",
			       weight->stored_name, shape);
	status = qc_fold_need(fold, base, ".SCB", only_f32, 1, &weight->dims[1], &row_absmax, err);
	if (!status)
		status = check_format(fold, base, err);
	if (status)
		return status;
	qc_fold_consume(fold, trigger);
	s->weight = weight->source;
	s->row_absmax = row_absmax->source;
	s->base = *weight->source;
	s->base.ops = &bnb8_ops;
	s->base.type = &qc_f16;
	return qc_fold_replace(fold, weight, weight->stored_name, weight->n_dims, weight->dims,
			       &s->base, "bitsandbytes int8", err);
}

const struct qc_encoding qc_encoding_bnb8 = {
	.name = "bitsandbytes int8",
	.triggers = triggers,
	.fold = bnb8_fold,
	.leftovers = leftovers,
};
