#include "formats/layout_back.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strmap.h"
#include "base/text.h"
#include "formats/arch/arch.h"
#include "quant/types.h"

/* Values of a tensor that is read to see what they are of: GGUF's f32 tensors are small. */
#define MAX_PROBED (16u << 20)
#define PROBE	   4096 /* at a time */

struct back {
	struct qc_model *model;
	struct qc_tensor *old;
	size_t n_old;
	struct qc_strmap names; /* of the old tensors -> index */
	const struct qc_qtype *dtype;
	uint32_t heads, heads_kv;
	uint64_t n_experts;
};

/* llama.cpp's converter stores it as f32 whatever it was (prepare_tensors()). */
static bool is_f32_by_rule(const struct qc_tensor *tensor)
{
	return tensor->n_dims <= 1 || qc_text_ends(tensor->name, "_norm.weight") ||
	       qc_text_ends(tensor->name, ".ffn_gate_inp.weight") ||
	       !qc_text_ends(tensor->name, ".weight");
}

const struct qc_qtype *qc_layout_back_dtype(const struct qc_model *model)
{
	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *tensor = &model->tensors[i];

		if (tensor->source->type->is_float && !is_f32_by_rule(tensor))
			return tensor->source->type;
	}
	return &qc_bf16;
}

/* "model.layers.3.mlp.experts.7.up_proj.weight"; NULL when memory is out. */
static const char *hf_name(struct qc_arena *arena, const char *pattern, int32_t layer,
			   uint64_t expert)
{
	const char *name = qc_arch_block_name(arena, pattern, layer);
	const char *hole = name ? strstr(name, "{e}") : NULL;

	return hole ? qc_arena_printf(arena, "%.*s%llu%s", (int)(hole - name), name,
				      (unsigned long long)expert, hole + 3)
		    : name;
}

/* Whether all rows are numbers of back->dtype. */
static enum qc_status probe(const struct back *back, const struct qc_source *source, bool *fits,
			    struct qc_err *err)
{
	const uint64_t step = source->cols < PROBE ? PROBE / source->cols : 1;
	const size_t need = qc_source_scratch(source, step), n = step * source->cols;
	struct qc_scratch scratch = {.base = aligned_alloc(64, (need + 127) & ~(size_t)63),
				     .size = need};
	float *values = malloc(2 * n * sizeof(*values));
	uint8_t *narrow = malloc(4 * n);
	enum qc_status s = scratch.base && values && narrow ? QC_OK : qc_no_memory(err);

	*fits = true;
	for (uint64_t row = 0; !s && *fits && row < source->rows; row += step) {
		const uint64_t left = source->rows - row, rows = left < step ? left : step;
		const uint64_t m = rows * source->cols;

		s = qc_source_read_f32(source, row, rows, values, &scratch, err);
		if (s)
			break;
		back->dtype->quantize(values, narrow, rows, source->cols, NULL);
		back->dtype->dequantize(narrow, values + n, m);
		*fits = !memcmp(values, values + n, m * sizeof(*values));
	}
	free(scratch.base);
	free(values);
	free(narrow);
	return s;
}

/* The tensor in the type that the checkpoint has it in, when that holds it. */
static enum qc_status narrow(const struct back *back, struct qc_tensor *tensor, struct qc_err *err)
{
	const struct qc_source *source = tensor->source;
	bool fits;
	enum qc_status s;

	if (source->type != &qc_f32 || back->dtype->block_bytes != 2 || !source->rows ||
	    !source->cols || source->rows * source->cols > MAX_PROBED)
		return QC_OK;
	s = probe(back, source, &fits, err);
	if (s || !fits)
		return s;
	tensor->source = qc_source_narrow(&back->model->arena, source, back->dtype);
	return tensor->source ? QC_OK : qc_no_memory(err);
}

static enum qc_status unpermute(const struct back *back, struct qc_tensor *tensor, uint32_t heads,
				struct qc_err *err)
{
	const uint64_t rows = tensor->source->rows;

	if (!heads || rows % heads || rows / heads % 2)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%s': %llu rows are not %u heads of whole pairs",
			       tensor->name, (unsigned long long)rows, heads);
	tensor->source =
		qc_source_permute_heads(&back->model->arena, tensor->source, rows / heads, true);
	return tensor->source ? QC_OK : qc_no_memory(err);
}

/* The inverse of one row operation. */
static enum qc_status undo(const struct back *back, struct qc_tensor *tensor, enum qc_row_op op,
			   struct qc_err *err)
{
	switch (op) {
	case QC_ROWS_PERMUTE_Q:
		return unpermute(back, tensor, back->heads, err);
	case QC_ROWS_PERMUTE_K:
		return unpermute(back, tensor, back->heads_kv, err);
	case QC_ROWS_ADD_ONE:
		tensor->source = qc_source_add(&back->model->arena, tensor->source, -1);
		return tensor->source ? QC_OK : qc_no_memory(err);
	case QC_ROWS_TRANSPOSE:
		/* left as it is, as a quantized one would be: whoever writes plain floats turns
		 * it */
		if (tensor->n_dims == 3 && !tensor->encoding)
			tensor->encoding = "experts by rows";
		return QC_OK;
	default:
		return QC_OK;
	}
}

static enum qc_status add(struct back *back, struct qc_tensor tensor, bool f32_by_rule,
			  struct qc_err *err)
{
	enum qc_status s = undo(back, &tensor, tensor.row->op, err);

	if (!s && f32_by_rule)
		s = narrow(back, &tensor, err);
	return s ? s : qc_model_add_tensor(back->model, &tensor, err);
}

/* Row e of the factors, or the only one. */
static enum qc_status expert_factor(const struct back *back, const struct qc_source **factor,
				    uint64_t expert, struct qc_err *err)
{
	if (!*factor || (*factor)->rows == 1)
		return QC_OK;
	*factor = qc_source_slice(&back->model->arena, *factor, expert, 1);
	return *factor ? QC_OK : qc_no_memory(err);
}

/* One tensor an expert. */
static enum qc_status unstack(struct back *back, const struct qc_tensor *tensor, struct qc_err *err)
{
	struct qc_arena *arena = &back->model->arena;
	const uint64_t n = tensor->dims[tensor->n_dims - 1];
	enum qc_status s = QC_OK;

	if (tensor->n_dims < 2 || n != back->n_experts || !n || tensor->source->rows % n)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%s' is not one of %llu experts",
			       tensor->name, (unsigned long long)back->n_experts);
	for (uint64_t e = 0; !s && e < n; e++) {
		const uint64_t rows = tensor->source->rows / n;
		struct qc_tensor one = *tensor;

		one.n_dims--;
		one.expert = (int32_t)e;
		one.stored_name = hf_name(arena, tensor->row->hf, tensor->layer, e);
		one.name = qc_arch_expert_name(arena, tensor->row->gguf, tensor->layer, (int32_t)e);
		one.source = qc_source_slice(arena, tensor->source, e * rows, rows);
		if (!one.stored_name || !one.name || !one.source)
			return qc_no_memory(err);
		s = expert_factor(back, &one.scale, e, err);
		if (!s)
			s = expert_factor(back, &one.input_scale, e, err);
		if (!s)
			s = add(back, one, is_f32_by_rule(tensor), err);
	}
	return s;
}

static bool same_shape(const struct qc_tensor *a, const struct qc_tensor *b)
{
	return a->n_dims == b->n_dims && !memcmp(a->dims, b->dims, a->n_dims * sizeof(*a->dims)) &&
	       a->source->rows == b->source->rows && a->source->cols == b->source->cols;
}

/* Two halves of one tensor, row by row or column by column. */
static enum qc_status join(struct back *back, const struct qc_tensor *a, const struct qc_tensor *b,
			   struct qc_err *err)
{
	struct qc_arena *arena = &back->model->arena;
	const struct qc_arch_tensor *whole = a->row - 1;
	const bool columns = a->row->op == QC_COLS_EVEN;
	struct qc_tensor joined = *a;
	uint64_t *dims = qc_arena_array(arena, a->n_dims, sizeof(*dims));

	if (!dims)
		return qc_no_memory(err);
	if (!same_shape(a, b) || a->n_dims < 2)
		return qc_fail(err, QC_BAD_INPUT, "tensors '%s' and '%s' have other shapes",
			       a->name, b->name);
	memcpy(dims, a->dims, a->n_dims * sizeof(*dims));
	dims[columns ? 0 : 1] *= 2; /* of a checked product: two of it are in the file */
	joined.dims = dims;
	joined.row = whole;
	joined.name = qc_arch_block_name(arena, whole->gguf, a->layer);
	joined.stored_name = hf_name(arena, whole->hf, a->layer, 0);
	joined.source = columns ? qc_source_zip_columns(arena, a->source, b->source)
				: qc_source_zip_rows(arena, a->source, b->source);
	if (!joined.name || !joined.stored_name || !joined.source)
		return qc_no_memory(err);
	return add(back, joined, is_f32_by_rule(a), err);
}

/* Codes whose scales differ cannot lie in one tensor: as floats they can. */
static enum qc_status unscale(const struct back *back, struct qc_tensor *tensor, struct qc_err *err)
{
	if (!tensor->scale)
		return QC_OK;
	/* adding nothing makes f32 rows of it */
	tensor->source = qc_source_add(&back->model->arena, tensor->source, 0);
	tensor->scale = tensor->input_scale = NULL;
	return tensor->source ? QC_OK : qc_no_memory(err);
}

/* The tensor is one of two parts; both become one when the first is met. */
static enum qc_status join_parts(struct back *back, const struct qc_tensor *tensor,
				 struct qc_err *err)
{
	const bool first = *tensor->row[-1].hf;
	const struct qc_arch_tensor *other_row = tensor->row + (first ? 1 : -1);
	const char *other_name =
		qc_arch_block_name(&back->model->arena, other_row->gguf, tensor->layer);
	struct qc_tensor a = *tensor, b;
	const uint64_t *at;
	enum qc_status s;

	if (!other_name)
		return qc_no_memory(err);
	at = qc_strmap_find(&back->names, other_name, strlen(other_name));
	if (!at)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%s' is there without '%s'", tensor->name,
			       other_name);
	if (!first)
		return QC_OK;
	b = back->old[*at];
	s = unscale(back, &a, err);
	if (!s)
		s = unscale(back, &b, err);
	return s ? s : join(back, &a, &b, err);
}

/* Whether the block has gate projections that are stored one an expert. */
static bool has_single_experts(const struct back *back, int32_t layer)
{
	char name[64];
	const uint64_t *at;
	const int len = snprintf(name, sizeof(name), "blk.%d.ffn_gate_exps.weight", layer);

	at = qc_strmap_find(&back->names, name, (size_t)len);
	return at && back->old[*at].row && strstr(back->old[*at].row->hf, "{e}");
}

/* The other row of the same GGUF name that has one tensor an expert, where the block's others have;
 * else the tensor's own. */
static const struct qc_arch_tensor *choose_row(const struct back *back,
					       const struct qc_tensor *tensor)
{
	if (!back->model->single_experts && !has_single_experts(back, tensor->layer))
		return tensor->row;
	for (const struct qc_arch_tensor *row = back->model->arch->tensors; row->hf; row++)
		if (strstr(row->hf, "{e}") && !strcmp(row->gguf, tensor->row->gguf))
			return row;
	return tensor->row;
}

static enum qc_status convert_one(struct back *back, struct qc_tensor tensor, struct qc_err *err)
{
	const struct qc_model *model = back->model;

	if (model->arch->generate && !strcmp(tensor.name, "rope_freqs.weight"))
		return QC_OK;
	if (!tensor.row)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%s': architecture %s has no such tensor in a Hugging Face "
			       "checkpoint",
			       tensor.name, model->arch->name);
	tensor.row = choose_row(back, &tensor);
	if (!*tensor.row->hf)
		return join_parts(back, &tensor, err);
	if (strstr(tensor.row->hf, "{e}"))
		return unstack(back, &tensor, err);
	tensor.stored_name = hf_name(&back->model->arena, tensor.row->hf, tensor.layer, 0);
	if (!tensor.stored_name)
		return qc_no_memory(err);
	return add(back, tensor, is_f32_by_rule(&tensor), err);
}

enum qc_status qc_layout_back(struct qc_model *model, struct qc_err *err)
{
	struct back back = {
		.model = model,
		.old = model->tensors,
		.n_old = model->n_tensors,
		.dtype = qc_layout_back_dtype(model),
		.heads = qc_arch_u32(model, "{a}.attention.head_count", 0),
		.n_experts = qc_arch_u32(model, "{a}.expert_count", 0),
	};
	bool was_there;
	enum qc_status s = QC_OK;

	back.heads_kv = qc_arch_u32(model, "{a}.attention.head_count_kv", back.heads);
	for (size_t i = 0; !s && i < back.n_old; i++)
		s = qc_strmap_add(&back.names, back.old[i].name, strlen(back.old[i].name), i,
				  &was_there, err);
	model->tensors = NULL;
	model->n_tensors = model->cap_tensors = 0;
	for (size_t i = 0; !s && i < back.n_old; i++)
		s = convert_one(&back, back.old[i], err);
	qc_strmap_clear(&back.names);
	free(back.old);
	if (!s)
		model->layout = QC_LAYOUT_HF;
	return s;
}
