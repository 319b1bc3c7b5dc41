/*
 * The scales that GGUF keeps beside nvfp4 weights, folded into them:
 *
 *   blk.N.X.weight        nvfp4 [slices, rows, cols]
 *   blk.N.X.scale         f32 {1} or {slices}: values are the blocks' times this
 *   blk.N.X.input_scale   the same of the activations
 *
 * Some writers say blk.N.X.weight.scale. Weights of other types keep what stands beside them: it is
 * a tensor of its own there, and whoever computes with the file multiplies.
 */
#include "formats/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/e2m1.h"
#include "quant/e4m3.h"
#include "quant/types.h"

enum { GROUP = 16 };

struct scaled_source {
	struct qc_source base;
	const struct qc_source *inner; /* nvfp4 blocks */
	const float *factors;
	uint64_t n_factors, slice_rows;
};

static enum qc_status scaled_read_raw(const struct qc_source *source, uint64_t row, uint64_t n,
				      void *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct scaled_source *s = (const struct scaled_source *)source;

	return qc_source_read_raw(s->inner, row, n, dst, scratch, err);
}

/* The group's scale times the tensor's is rounded first, as those who store these scales decode. */
static void decode_block(const struct qc_block_nvfp4 *block, float factor, float *x)
{
	for (int s = 0; s < 4; s++, x += GROUP) {
		const float scale = qc_ue4m3_to_f32(block->d[s]) * factor;
		const uint8_t *q = block->q + GROUP / 2 * s;

		for (int j = 0; j < GROUP / 2; j++) {
			x[j] = 0.5f * qc_e2m1_twice(q[j] & 15) * scale;
			x[j + GROUP / 2] = 0.5f * qc_e2m1_twice(q[j] >> 4) * scale;
		}
	}
}

static enum qc_status scaled_read_f32(const struct qc_source *source, uint64_t row, uint64_t n,
				      float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct scaled_source *s = (const struct scaled_source *)source;
	const size_t before = scratch->used, blocks = source->cols / qc_nvfp4.block_elems;
	struct qc_block_nvfp4 *raw = qc_scratch_take(scratch, n * blocks * sizeof(*raw));
	const struct qc_block_nvfp4 *block = raw;
	enum qc_status status = qc_source_read_raw(s->inner, row, n, raw, scratch, err);

	for (uint64_t r = 0; !status && r < n; r++) {
		const uint64_t slice = s->n_factors == 1 ? 0 : (row + r) / s->slice_rows;

		for (size_t i = 0; i < blocks; i++, dst += qc_nvfp4.block_elems)
			decode_block(block++, s->factors[slice], dst);
	}
	qc_scratch_give(scratch, before);
	return status;
}

static size_t scaled_scratch_bytes(const struct qc_source *source, uint64_t n)
{
	const struct scaled_source *s = (const struct scaled_source *)source;
	const size_t blocks = source->cols / qc_nvfp4.block_elems;

	return qc_scratch_need(n * blocks * sizeof(struct qc_block_nvfp4)) +
	       qc_source_scratch(s->inner, n);
}

static bool scaled_extent(const struct qc_source *source, uint64_t row, uint64_t n,
			  struct qc_extent *extent)
{
	return qc_source_extent(((const struct scaled_source *)source)->inner, row, n, extent);
}

static const struct qc_source_ops scaled_ops = {
	.name = "tensor scale",
	.read_f32 = scaled_read_f32,
	.read_raw = scaled_read_raw,
	.extent = scaled_extent,
	.scratch_bytes = scaled_scratch_bytes,
};

/* The tensors by name, and which of them have been folded away. */
struct scales {
	struct qc_model *model;
	struct qc_strmap names;
	bool *folded;
	size_t n_folded;
};

/* The tensor with the weight's name, its ".weight" replaced by `suffix` or the suffix behind it;
 * SIZE_MAX. */
static size_t find_beside(const struct scales *scales, const char *weight, const char *suffix)
{
	static const char end[] = ".weight";
	char name[2 * QC_GGUF_MAX_NAME];
	size_t len = strlen(weight), n = strlen(suffix), bare = len;
	const uint64_t *at;

	if (len > sizeof(end) - 1 && !strcmp(weight + len - (sizeof(end) - 1), end))
		bare -= sizeof(end) - 1;
	memcpy(name, weight, len); /* at most QC_GGUF_MAX_NAME, checked on reading */
	memcpy(name + bare, suffix, n);
	at = qc_strmap_find(&scales->names, name, bare + n);
	if (!at) {
		memcpy(name, weight, len);
		memcpy(name + len, suffix, n);
		at = qc_strmap_find(&scales->names, name, len + n);
	}
	return at ? (size_t)*at : SIZE_MAX;
}

/* The factors of a tensor that has one, or one for each of `slices`; in the arena. */
static enum qc_status load_factors(struct qc_model *model, const struct qc_tensor *weight,
				   const struct qc_tensor *tensor, uint64_t slices,
				   const float **out, struct qc_err *err)
{
	const uint64_t n = qc_tensor_elems(tensor);
	float *factors;
	struct qc_scratch scratch = {0};
	enum qc_status s;

	if (tensor->source->type != &qc_f32 || (n != 1 && n != slices))
		return qc_fail(err, QC_BAD_INPUT,
			       "nvfp4 tensor '%s': its '%s' is %llu values of %s, f32 and 1 or "
			       "%llu of them are needed",
			       weight->name, tensor->name, (unsigned long long)n,
			       tensor->source->type->name, (unsigned long long)slices);
	factors = qc_arena_array(&model->arena, n, sizeof(*factors));
	scratch.size = qc_source_scratch(tensor->source, tensor->source->rows);
	scratch.base = aligned_alloc(64, (scratch.size + 127) & ~(size_t)63);
	s = factors && scratch.base ? qc_source_read_f32(tensor->source, 0, tensor->source->rows,
							 factors, &scratch, err)
				    : qc_no_memory(err);
	free(scratch.base);
	for (uint64_t i = 0; !s && i < n; i++)
		if (!(factors[i] >= 0 && isfinite(factors[i])))
			s = qc_fail(err, QC_BAD_INPUT,
				    "nvfp4 tensor '%s': '%s' [%llu] is %g, a finite number that is "
				    "not negative is needed",
				    weight->name, tensor->name, (unsigned long long)i,
				    (double)factors[i]);
	*out = factors;
	return s;
}

static enum qc_status fold_scale(struct scales *scales, struct qc_tensor *weight,
				 const char *suffix, const struct qc_source **out,
				 const float **factors, struct qc_err *err)
{
	struct qc_model *model = scales->model;
	const uint64_t slices = weight->n_dims > 2 ? weight->dims[2] : 1;
	const size_t at = find_beside(scales, weight->name, suffix);
	const struct qc_tensor *tensor = &model->tensors[at];
	enum qc_status s;

	if (at == SIZE_MAX || tensor == weight || scales->folded[at])
		return QC_OK;
	s = load_factors(model, weight, tensor, slices, factors, err);
	if (s)
		return s;
	scales->folded[at] = true;
	scales->n_folded++;
	*out = qc_source_values(&model->arena, *factors, qc_tensor_elems(tensor), 1);
	return *out ? QC_OK : qc_no_memory(err);
}

static enum qc_status fold_weight(struct scales *scales, struct qc_tensor *weight,
				  struct qc_err *err)
{
	struct qc_arena *arena = &scales->model->arena;
	const float *factors = NULL, *inputs;
	struct scaled_source *s;
	enum qc_status status = fold_scale(scales, weight, ".scale", &weight->scale, &factors, err);

	if (!status)
		status = fold_scale(scales, weight, ".input_scale", &weight->input_scale, &inputs,
				    err);
	if (status || !weight->scale)
		return status;
	s = qc_arena_alloc(arena, sizeof(*s));
	if (!s)
		return qc_no_memory(err);
	*s = (struct scaled_source){
		.base = *weight->source,
		.inner = weight->source,
		.factors = factors,
		.n_factors = weight->scale->rows,
		.slice_rows = weight->source->rows / weight->scale->rows,
	};
	s->base.ops = &scaled_ops;
	weight->source = &s->base;
	weight->encoding = "nvfp4 with a tensor scale";
	return QC_OK;
}

static bool may_be_scaled(const struct qc_tensor *tensor)
{
	return tensor->source->type == &qc_nvfp4 && tensor->source->rows;
}

/* Names of the tensors; nothing when there is no weight to fold. */
static enum qc_status index_tensors(struct scales *scales, struct qc_err *err)
{
	const struct qc_model *model = scales->model;
	size_t n = 0;
	bool was_there;

	while (n < model->n_tensors && !may_be_scaled(&model->tensors[n]))
		n++;
	if (n == model->n_tensors)
		return QC_OK;
	scales->folded = calloc(model->n_tensors, sizeof(*scales->folded));
	if (!scales->folded)
		return qc_no_memory(err);
	for (size_t i = 0; i < model->n_tensors; i++) {
		const char *name = model->tensors[i].name;

		if (qc_strmap_add(&scales->names, name, strlen(name), i, &was_there, err))
			return err->status;
	}
	return QC_OK;
}

/* A copy of the list as it is. */
static enum qc_status keep_stored(struct qc_model *model, struct qc_err *err)
{
	model->stored = qc_arena_array(&model->arena, model->n_tensors, sizeof(*model->stored));
	if (!model->stored)
		return qc_no_memory(err);
	memcpy(model->stored, model->tensors, model->n_tensors * sizeof(*model->stored));
	model->n_stored = model->n_tensors;
	return QC_OK;
}

static void remove_folded(const struct scales *scales)
{
	struct qc_model *model = scales->model;
	size_t n = 0;

	for (size_t i = 0; i < model->n_tensors; i++)
		if (!scales->folded[i])
			model->tensors[n++] = model->tensors[i];
	model->n_tensors = n;
}

enum qc_status qc_gguf_fold_scales(struct qc_model *model, struct qc_err *err)
{
	struct scales scales = {.model = model};
	enum qc_status s = index_tensors(&scales, err);

	for (size_t i = 0; !s && scales.folded && i < model->n_tensors; i++)
		if (may_be_scaled(&model->tensors[i]))
			s = fold_weight(&scales, &model->tensors[i], err);
	if (!s && scales.n_folded)
		s = keep_stored(model, err);
	if (!s && scales.n_folded)
		remove_folded(&scales);
	free(scales.folded);
	qc_strmap_clear(&scales.names);
	return s;
}
