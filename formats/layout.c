/*
 * From one layout to another: the row operations of the architecture's table, put on top of every
 * tensor's source; tensors that belong together stacked, tensors that hold two split.
 *
 * This is Hugging Face to GGUF; formats/layout_back.c goes the other way by the same table.
 */
#include "formats/model.h"

#include <stdlib.h>
#include <string.h>

#include "formats/arch/arch.h"
#include "formats/experts_split.h"
#include "formats/hf_back.h"

/* The tensors of all experts that become one. */
struct stack {
	struct qc_tensor tensor; /* the result; until then what the first of them was */
	const struct qc_source **sources, **scales, **input_scales; /* one an expert */
	uint32_t n;
};

/* What the operations need to know of the model, and what it had before. */
struct layout {
	struct qc_model *model;
	struct qc_tensor *old;
	size_t n_old;
	uint32_t heads, heads_kv, n_layers, n_experts;
	uint64_t n_tokens;     /* 0: no tokenizer */
	struct stack **stacks; /* of every row and block; NULL where there is none */
};

static enum qc_status permute(const struct layout *layout, struct qc_tensor *tensor, uint32_t heads,
			      struct qc_err *err)
{
	const uint64_t rows = tensor->source->rows;

	if (!heads || rows % heads || rows / heads % 2)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%.160s': %llu rows are not %u heads of whole pairs",
			       tensor->stored_name, (unsigned long long)rows, heads);
	tensor->source =
		qc_source_permute_heads(&layout->model->arena, tensor->source, rows / heads, false);
	return tensor->source ? QC_OK : qc_no_memory(err);
}

/* A copy of the tensor's dimensions with room for one more, to be changed; NULL when memory is out.
 */
static uint64_t *copy_dims(const struct layout *layout, const struct qc_tensor *tensor)
{
	uint64_t *dims = qc_arena_array(&layout->model->arena, tensor->n_dims + 1, sizeof(*dims));

	if (dims)
		memcpy(dims, tensor->dims, tensor->n_dims * sizeof(*dims));
	return dims;
}

/* llama.cpp wants exactly one row per token. */
static enum qc_status cut_to_vocab(const struct layout *layout, struct qc_tensor *tensor,
				   struct qc_err *err)
{
	const uint64_t n = layout->n_tokens;
	uint64_t *dims;

	if (!n || n == tensor->source->rows)
		return QC_OK;
	if (n > tensor->source->rows)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%.160s' has %llu rows, the tokenizer %llu tokens",
			       tensor->stored_name, (unsigned long long)tensor->source->rows,
			       (unsigned long long)n);
	dims = copy_dims(layout, tensor);
	if (!dims)
		return qc_no_memory(err);
	dims[tensor->n_dims - 1] = n;
	tensor->dims = dims;
	tensor->source = qc_source_slice(&layout->model->arena, tensor->source, 0, n);
	return tensor->source ? QC_OK : qc_no_memory(err);
}

/* Matrices the other way round, and of the result every step-th row from `first` on. */
static enum qc_status transpose(const struct layout *layout, struct qc_tensor *tensor,
				uint64_t first, uint64_t step, struct qc_err *err)
{
	uint64_t *dims = copy_dims(layout, tensor);

	if (!dims)
		return qc_no_memory(err);
	dims[0] = tensor->dims[1];
	dims[1] = tensor->dims[0] / step;
	tensor->source = qc_source_transpose(&layout->model->arena, tensor->source, tensor->dims[1],
					     first, step);
	tensor->dims = dims;
	tensor->transposed = false;
	return tensor->source ? QC_OK : qc_no_memory(err);
}

/* Rows (dimension 1) or columns (dimension 0) first, first + 2, ... */
static enum qc_status every_second(const struct layout *layout, struct qc_tensor *tensor,
				   uint32_t dim, uint64_t first, struct qc_err *err)
{
	struct qc_arena *arena = &layout->model->arena;
	/* a stack of vectors is read an element a row */
	const bool by_row = dim || tensor->source->cols == 1;
	uint64_t *dims;

	if (tensor->n_dims <= dim || tensor->dims[dim] % 2)
		return qc_fail(err, QC_UNSUPPORTED, "tensor '%.160s' is not of two halves",
			       tensor->stored_name);
	if (tensor->transposed)
		return transpose(layout, tensor, first, 2, err);
	dims = copy_dims(layout, tensor);
	if (!dims)
		return qc_no_memory(err);
	dims[dim] /= 2;
	tensor->dims = dims;
	tensor->source = by_row ? qc_source_every_row(arena, tensor->source, first, 2)
				: qc_source_every_column(arena, tensor->source, first, 2);
	return tensor->source ? QC_OK : qc_no_memory(err);
}

static enum qc_status apply(const struct layout *layout, struct qc_tensor *tensor,
			    enum qc_row_op op, struct qc_err *err)
{
	switch (op) {
	case QC_ROWS_SAME:
		return QC_OK;
	case QC_ROWS_PERMUTE_Q:
		return permute(layout, tensor, layout->heads, err);
	case QC_ROWS_PERMUTE_K:
		return permute(layout, tensor, layout->heads_kv, err);
	case QC_ROWS_ADD_ONE:
		tensor->source = qc_source_add(&layout->model->arena, tensor->source, 1);
		return tensor->source ? QC_OK : qc_no_memory(err);
	case QC_ROWS_VOCAB:
		return cut_to_vocab(layout, tensor, err);
	case QC_ROWS_TRANSPOSE:
		return tensor->transposed ? transpose(layout, tensor, 0, 1, err) : QC_OK;
	case QC_ROWS_EVEN:
	case QC_ROWS_ODD:
		return every_second(layout, tensor, 1, op == QC_ROWS_ODD, err);
	case QC_COLS_EVEN:
	case QC_COLS_ODD:
		return every_second(layout, tensor, 0, op == QC_COLS_ODD, err);
	}
	return qc_fail(err, QC_UNSUPPORTED, "tensor '%.160s': no such row operation",
		       tensor->stored_name);
}

/* Add what the tensor becomes: itself, or its parts. */
static enum qc_status add_result(struct layout *layout, struct qc_tensor tensor, struct qc_err *err)
{
	const struct qc_arch_tensor *whole = tensor.row, *part = whole ? whole + 1 : NULL;
	enum qc_status s = QC_OK;

	if (!part || !part->hf || *part->hf) {
		s = apply(layout, &tensor, whole ? whole->op : QC_ROWS_SAME, err);
		return s ? s : qc_model_add_tensor(layout->model, &tensor, err);
	}
	for (; !s && part->hf && !*part->hf; part++) {
		struct qc_tensor piece = tensor;

		piece.row = part;
		piece.name = qc_arch_block_name(&layout->model->arena, part->gguf, tensor.layer);
		if (!piece.name)
			return qc_no_memory(err);
		s = apply(layout, &piece, part->op, err);
		if (!s)
			s = qc_model_add_tensor(layout->model, &piece, err);
	}
	return s;
}

/* The stack of the tensor's row and block, made when there is none; NULL when memory is out. */
static struct stack *stack_of(struct layout *layout, const struct qc_tensor *tensor)
{
	const size_t row = (size_t)(tensor->row - layout->model->arch->tensors);
	struct stack **slot = &layout->stacks[row * layout->n_layers + (size_t)tensor->layer];
	struct qc_arena *arena = &layout->model->arena;
	struct stack *stack = *slot;

	if (stack)
		return stack;
	stack = qc_arena_alloc(arena, sizeof(*stack));
	if (!stack)
		return NULL;
	stack->tensor = *tensor;
	stack->sources = qc_arena_array(arena, layout->n_experts, sizeof(*stack->sources));
	stack->scales = qc_arena_array(arena, layout->n_experts, sizeof(*stack->scales));
	stack->input_scales =
		qc_arena_array(arena, layout->n_experts, sizeof(*stack->input_scales));
	if (!stack->sources || !stack->scales || !stack->input_scales)
		return NULL;
	*slot = stack;
	return stack;
}

/* One source of all factors, NULL in *out when no expert has one. */
static enum qc_status stack_factors(const struct layout *layout, const struct stack *stack,
				    const struct qc_source **factors, const struct qc_source **out,
				    struct qc_err *err)
{
	uint32_t n = 0;

	for (uint32_t e = 0; e < stack->n; e++)
		n += factors[e] && factors[e]->rows == 1 && factors[e]->cols == 1;
	*out = NULL;
	if (!n)
		return QC_OK;
	if (n < stack->n)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%.160s': %u of its %u experts have a scale of their own",
			       stack->tensor.stored_name, n, stack->n);
	*out = qc_source_stack(&layout->model->arena, factors, n);
	return *out ? QC_OK : qc_no_memory(err);
}

/* All experts are there: one tensor of them. */
static enum qc_status finish_stack(struct layout *layout, struct stack *stack, struct qc_err *err)
{
	struct qc_arena *arena = &layout->model->arena;
	struct qc_tensor *tensor = &stack->tensor;
	uint64_t *dims = copy_dims(layout, tensor);
	enum qc_status s;

	if (!dims)
		return qc_no_memory(err);
	dims[tensor->n_dims++] = stack->n;
	tensor->dims = dims;
	tensor->name = qc_arch_block_name(arena, tensor->row->gguf, tensor->layer);
	tensor->source = qc_source_stack(arena, stack->sources, stack->n);
	if (!tensor->name || !tensor->source)
		return qc_no_memory(err);
	s = stack_factors(layout, stack, stack->scales, &tensor->scale, err);
	if (!s)
		s = stack_factors(layout, stack, stack->input_scales, &tensor->input_scale, err);
	return s ? s : add_result(layout, *tensor, err);
}

static enum qc_status convert_one(struct layout *layout, const struct qc_tensor *tensor,
				  struct qc_err *err)
{
	const bool one_of_many = tensor->row && strstr(tensor->row->hf, "{e}");
	struct stack *stack;

	if (!one_of_many)
		return add_result(layout, *tensor, err);
	stack = stack_of(layout, tensor);
	if (!stack)
		return qc_no_memory(err);
	stack->sources[tensor->expert] = tensor->source;
	stack->scales[tensor->expert] = tensor->scale;
	stack->input_scales[tensor->expert] = tensor->input_scale;
	return ++stack->n < layout->n_experts ? QC_OK : finish_stack(layout, stack, err);
}

/* Move the last `n` tensors to the front. */
static enum qc_status move_to_front(struct qc_model *model, size_t n, struct qc_err *err)
{
	const size_t rest = model->n_tensors - n;
	struct qc_tensor *last;

	if (!n || !rest)
		return QC_OK;
	last = malloc(n * sizeof(*last));
	if (!last)
		return qc_no_memory(err);
	memcpy(last, model->tensors + rest, n * sizeof(*last));
	memmove(model->tensors + n, model->tensors, rest * sizeof(*last));
	memcpy(model->tensors, last, n * sizeof(*last));
	free(last);
	return QC_OK;
}

static enum qc_status generate(struct qc_model *model, struct qc_err *err)
{
	const size_t before = model->n_tensors;
	enum qc_status s = model->arch->generate ? model->arch->generate(model, err) : QC_OK;

	return s ? s : move_to_front(model, model->n_tensors - before, err);
}

/* Experts one by one where the architecture has them in one otherwise: together first, so that the
 * tensors come in the same order. Those with factors stay: gate's and up's may differ. */
static enum qc_status join_experts(struct qc_model *model, struct qc_err *err)
{
	for (size_t i = 0; i < model->n_tensors; i++)
		if (model->tensors[i].scale)
			return QC_OK;
	return qc_experts_join(model, err);
}

/* The model's list of tensors, made anew. */
static enum qc_status convert_all(struct layout *layout, struct qc_err *err)
{
	struct qc_model *model = layout->model;
	uint32_t n_rows = 0;
	enum qc_status s = QC_OK;

	while (model->arch->tensors[n_rows].hf)
		n_rows++;
	layout->stacks = calloc((size_t)n_rows * layout->n_layers + 1, sizeof(*layout->stacks));
	if (!layout->stacks)
		return qc_no_memory(err);
	layout->old = model->tensors;
	layout->n_old = model->n_tensors;
	model->tensors = NULL;
	model->n_tensors = model->cap_tensors = 0;
	for (size_t i = 0; !s && i < layout->n_old; i++)
		s = convert_one(layout, &layout->old[i], err);
	free(layout->old);
	free(layout->stacks);
	return s;
}

enum qc_status qc_model_set_layout(struct qc_model *model, enum qc_layout wanted,
				   struct qc_err *err)
{
	struct layout layout = {.model = model};
	const struct qc_kv *tokens = qc_meta_find(&model->meta, "tokenizer.ggml.tokens");
	enum qc_status s;

	if (model->layout == wanted || model->layout == QC_LAYOUT_PLAIN || !model->arch)
		return QC_OK;
	if (model->layout == QC_LAYOUT_GGUF && wanted == QC_LAYOUT_HF)
		return qc_hf_back(model, err);
	if (model->layout != QC_LAYOUT_HF || wanted != QC_LAYOUT_GGUF)
		return qc_fail(
			err, QC_UNSUPPORTED,
			"'%s': only a Hugging Face checkpoint can be brought to GGUF's layout",
			model->path);
	layout.heads = qc_arch_u32(model, "{a}.attention.head_count", 0);
	layout.heads_kv = qc_arch_u32(model, "{a}.attention.head_count_kv", layout.heads);
	layout.n_layers = qc_arch_u32(model, "{a}.block_count", 0);
	layout.n_experts = qc_arch_u32(model, "{a}.expert_count", 0);
	layout.n_tokens = tokens ? tokens->n : 0;
	s = join_experts(model, err);
	if (!s)
		s = convert_all(&layout, err);
	if (!s)
		s = generate(model, err);
	if (!s)
		model->layout = wanted;
	return s;
}
