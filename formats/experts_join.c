#include <stdlib.h>
#include <string.h>

#include "base/strmap.h"
#include "base/text.h"
#include "formats/arch/arch.h"
#include "formats/experts_split.h"

struct join {
	struct qc_model *model;
	struct qc_tensor *old;
	size_t n_old;
	struct qc_strmap names; /* canonical -> index of the old tensor */
	uint64_t n_experts;
};

/* What becomes one: by their canonical names, a pattern each; second NULL: there is only one. */
static const struct family {
	const char *fused; /* the end of its name */
	const char *first, *second;
} families[] = {
	{".experts.gate_up_proj", "blk.{i}.ffn_gate_exps.weight", "blk.{i}.ffn_up_exps.weight"},
	{".experts.down_proj", "blk.{i}.ffn_down_exps.weight", NULL},
	{".experts.gate_up_proj_bias", "blk.{i}.ffn_gate_exps.bias", "blk.{i}.ffn_up_exps.bias"},
	{".experts.down_proj_bias", "blk.{i}.ffn_down_exps.bias", NULL},
};

static bool is_one_of_many(const struct qc_tensor *tensor)
{
	return tensor->row && strstr(tensor->row->hf, "experts.{e}.");
}

/* The row of the tensor of all experts; NULL. */
static const struct qc_arch_tensor *fused_row(const struct qc_model *model, const char *end)
{
	for (const struct qc_arch_tensor *row = model->arch->tensors; row->hf; row++)
		if (qc_text_ends(row->hf, end))
			return row;
	return NULL;
}

static enum qc_status find(const struct join *join, const char *pattern, int32_t layer,
			   uint64_t expert, const struct qc_tensor **tensor, struct qc_err *err)
{
	const char *name =
		qc_arch_expert_name(&join->model->arena, pattern, layer, (int32_t)expert);
	const uint64_t *at = name ? qc_strmap_find(&join->names, name, strlen(name)) : NULL;

	if (!name)
		return qc_no_memory(err);
	if (!at)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%s' is missing", name);
	*tensor = &join->old[*at];
	return QC_OK;
}

/* Stack the factors of all experts, when every one has one. */
static enum qc_status stack_factors(struct qc_arena *arena, const struct qc_source **factors,
				    uint64_t n, const struct qc_source **out, struct qc_err *err)
{
	*out = NULL;
	for (uint64_t e = 0; e < n; e++)
		if (!factors[e] || factors[e]->rows != 1 || factors[e]->cols != 1)
			return QC_OK;
	*out = qc_source_stack(arena, factors, n);
	return *out ? QC_OK : qc_no_memory(err);
}

/* All experts' tensors of one pattern, one after the other. `values`: as floats where they have
 * factors. */
static enum qc_status stack(const struct join *join, const char *pattern, int32_t layer,
			    bool values, struct qc_tensor *out, struct qc_err *err)
{
	struct qc_arena *arena = &join->model->arena;
	const uint64_t n = join->n_experts;
	const struct qc_source **sources = qc_arena_array(arena, n, sizeof(*sources));
	const struct qc_source **scales = qc_arena_array(arena, n, sizeof(*scales));
	const struct qc_source **inputs = qc_arena_array(arena, n, sizeof(*inputs));
	uint64_t *dims;
	enum qc_status s = QC_OK;

	if (!sources || !scales || !inputs)
		return qc_no_memory(err);
	for (uint64_t e = 0; !s && e < n; e++) {
		const struct qc_tensor *one = NULL;

		s = find(join, pattern, layer, e, &one, err);
		if (s)
			return s;
		if (!e)
			*out = *one;
		sources[e] = one->source;
		scales[e] = one->scale;
		inputs[e] = one->input_scale;
		if (one->scale && values) /* adding nothing makes f32 rows of it */
			sources[e] = qc_source_add(arena, one->source, 0);
		if (!sources[e])
			return qc_no_memory(err);
	}
	dims = qc_arena_array(arena, (uint64_t)out->n_dims + 1, sizeof(*dims));
	if (!dims)
		return qc_no_memory(err);
	memcpy(dims, out->dims, out->n_dims * sizeof(*dims));
	dims[out->n_dims++] = n;
	out->dims = dims;
	out->source = qc_source_stack(arena, sources, n);
	out->scale = out->input_scale = NULL;
	if (!out->source)
		return qc_no_memory(err);
	s = values ? QC_OK : stack_factors(arena, scales, n, &out->scale, err);
	return s || values ? s : stack_factors(arena, inputs, n, &out->input_scale, err);
}

/* Gate and up, row by row. Codes whose factors may differ cannot lie in one tensor: as floats they
 * can. */
static enum qc_status stack_two(const struct join *join, const struct family *family, int32_t layer,
				struct qc_tensor *out, struct qc_err *err)
{
	struct qc_tensor second;
	enum qc_status s = stack(join, family->first, layer, true, out, err);
	uint64_t *dims;

	if (!s)
		s = stack(join, family->second, layer, true, &second, err);
	if (s)
		return s;
	dims = qc_arena_array(&join->model->arena, out->n_dims, sizeof(*dims));
	if (!dims)
		return qc_no_memory(err);
	memcpy(dims, out->dims, out->n_dims * sizeof(*dims));
	dims[out->n_dims - 2] *= 2;
	out->dims = dims;
	out->source = qc_source_zip_rows(&join->model->arena, out->source, second.source);
	return out->source ? QC_OK : qc_no_memory(err);
}

static enum qc_status join_one(const struct join *join, const struct family *family,
			       const struct qc_arch_tensor *row, int32_t layer, struct qc_err *err)
{
	struct qc_arena *arena = &join->model->arena;
	struct qc_tensor all;
	enum qc_status s = family->second ? stack_two(join, family, layer, &all, err)
					  : stack(join, family->first, layer, false, &all, err);

	if (s)
		return s;
	all.row = row;
	all.expert = -1;
	all.name = qc_arch_block_name(arena, row->gguf, layer);
	all.stored_name = qc_arch_block_name(arena, row->hf, layer);
	if (!all.name || !all.stored_name)
		return qc_no_memory(err);
	/* rows of inputs, as quantized ones have: whoever writes plain floats turns them */
	if (row->op == QC_ROWS_TRANSPOSE && !all.encoding)
		all.encoding = "experts by rows";
	return qc_model_add_tensor(join->model, &all, err);
}

/* The tensors that the tensor is the first of become one, others of them nothing. */
static enum qc_status convert_one(const struct join *join, const struct qc_tensor *tensor,
				  struct qc_err *err)
{
	for (size_t i = 0; is_one_of_many(tensor) && i < sizeof(families) / sizeof(families[0]);
	     i++) {
		const struct family *f = &families[i];
		const struct qc_arch_tensor *row = fused_row(join->model, f->fused);
		const bool first = !strcmp(tensor->row->gguf, f->first);

		if (!row || !(first || (f->second && !strcmp(tensor->row->gguf, f->second))))
			continue;
		return first && !tensor->expert ? join_one(join, f, row, tensor->layer, err)
						: QC_OK;
	}
	return qc_model_add_tensor(join->model, tensor, err);
}

enum qc_status qc_experts_join(struct qc_model *model, struct qc_err *err)
{
	struct join join = {.model = model, .old = model->tensors, .n_old = model->n_tensors};
	bool was_there;
	enum qc_status s = QC_OK;

	if (!model->arch || model->layout != QC_LAYOUT_HF || !qc_experts_are_turned(model) ||
	    !qc_experts_are_single(model))
		return QC_OK;
	join.n_experts = qc_arch_u32(model, "{a}.expert_count", 0);
	for (size_t i = 0; !s && i < join.n_old; i++)
		s = qc_strmap_add(&join.names, join.old[i].name, strlen(join.old[i].name), i,
				  &was_there, err);
	if (s) {
		qc_strmap_clear(&join.names);
		return s;
	}
	model->tensors = NULL;
	model->n_tensors = model->cap_tensors = 0;
	for (size_t i = 0; !s && i < join.n_old; i++)
		s = convert_one(&join, &join.old[i], err);
	qc_strmap_clear(&join.names);
	free(join.old);
	return s;
}
