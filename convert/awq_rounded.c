/* The model as a plan would write it, as rows of floats. */
#include <stdlib.h>
#include <string.h>

#include "calib/tune.h"
#include "convert/adapters.h"
#include "convert/awq_items.h"
#include "convert/importance.h"
#include "quant/grid.h"
#include "quant/types.h"

bool qc_step_rounding_of(const struct qc_plan *plan, const struct qc_step *step,
			 struct qc_step_rounding *r)
{
	const struct qc_grid *grid;

	*r = (struct qc_step_rounding){.step = step};
	if (step->copy)
		return true;
	if (!step->packing) {
		r->type = step->to != &qc_f32 ? step->to : NULL;
	} else {
		grid = step->packing->grid ? step->packing->grid(step) : NULL;
		if (!grid || step->tensor->transposed || step->cols % grid->type->block_elems)
			return false;
		r->type = grid->type;
	}
	if (!r->type)
		return true;
	r->quantize = step->search ? qc_fast_search(r->type, plan->isa)
				   : qc_fast_quantize(r->type, plan->isa);
	r->dequantize = qc_fast_dequantize(r->type, plan->isa);
	return r->quantize && r->dequantize;
}

/* A source whose rows come out rounded. */
struct rounded {
	struct qc_source base;
	const struct qc_source *inner;
	struct qc_step_rounding how;
	uint64_t slice; /* rows of a matrix */
	float *factors; /* one for each matrix; NULL: 1 */
};

static enum qc_status rounded_read(const struct qc_source *source, uint64_t row, uint64_t n,
				   float *dst, struct qc_scratch *scratch, struct qc_err *err)
{
	const struct rounded *r = (const struct rounded *)source;
	const struct qc_qtype *type = r->how.type;
	const size_t before = scratch->used, cols = (size_t)source->cols;
	enum qc_status s = qc_source_read_f32(r->inner, row, n, dst, scratch, err);
	uint8_t *blocks = qc_scratch_take(scratch, cols / type->block_elems * type->block_bytes);

	for (uint64_t i = row; !s && i < row + n; i++, dst += cols) {
		const float factor = r->factors ? r->factors[i / r->slice] : 1;

		for (size_t c = 0; factor != 1 && c < cols; c++)
			dst[c] /= factor;
		r->how.quantize(dst, blocks, 1, cols, qc_importance_row(r->how.step, i));
		r->how.dequantize(blocks, dst, cols / type->block_elems);
		for (size_t c = 0; factor != 1 && c < cols; c++)
			dst[c] *= factor;
	}
	qc_scratch_give(scratch, before);
	return s;
}

static size_t rounded_scratch(const struct qc_source *source, uint64_t n)
{
	const struct rounded *r = (const struct rounded *)source;
	const struct qc_qtype *type = r->how.type;

	return qc_source_scratch(r->inner, n) +
	       qc_scratch_need(source->cols / type->block_elems * type->block_bytes);
}

static const struct qc_source_ops rounded_ops = {
	.name = "rounded",
	.read_f32 = rounded_read,
	.scratch_bytes = rounded_scratch,
};

static enum qc_status round_tensor(struct qc_model *model, struct qc_tensor *tensor,
				   const struct qc_step_rounding *how, struct qc_err *err)
{
	const struct qc_step *step = how->step;
	const uint64_t n = tensor->n_dims > 2 ? tensor->dims[2] : 1;
	struct rounded *r = qc_arena_alloc(&model->arena, sizeof(*r));

	if (!r)
		return qc_no_memory(err);
	r->base = (struct qc_source){&rounded_ops, tensor->source->rows, tensor->source->cols,
				     &qc_f32, tensor->source->row_group};
	r->inner = tensor->source;
	r->how = *how;
	r->slice = r->base.rows / n;
	if (step->packing && step->packing->factor) {
		r->factors = qc_arena_array(&model->arena, n, sizeof(*r->factors));
		if (!r->factors)
			return qc_no_memory(err);
		for (uint64_t i = 0; i < n; i++)
			r->factors[i] = step->packing->factor(step, i);
	}
	tensor->source = &r->base;
	tensor->scale = NULL;
	return QC_OK;
}

/* By the names of steps, which are those of tensors in the target's layout. */
static enum qc_status round_all(const struct qc_plan *plan, struct qc_model *model,
				struct qc_err *err)
{
	struct qc_strmap map = {0};
	enum qc_status s = QC_OK;
	bool was_there;

	for (size_t i = 0; !s && i < plan->n_steps; i++) {
		const char *name = plan->steps[i].tensor->name;

		s = qc_strmap_add(&map, name, strlen(name), i, &was_there, err);
	}
	for (size_t i = 0; !s && i < model->n_tensors; i++) {
		struct qc_tensor *tensor = &model->tensors[i];
		const uint64_t *at = qc_strmap_find(&map, tensor->name, strlen(tensor->name));
		struct qc_step_rounding how;

		if (at && qc_step_rounding_of(plan, &plan->steps[*at], &how) && how.type &&
		    tensor->source->cols == plan->steps[*at].cols)
			s = round_tensor(model, tensor, &how, err);
	}
	qc_strmap_clear(&map);
	return s;
}

static enum qc_status open_rounded(const struct qc_awq *a, const struct qc_plan *plan,
				   struct qc_model *model, struct qc_err *err)
{
	enum qc_status s = qc_adapters_open(model, a->model.path, plan->target, a->options, err);

	if (!s)
		s = qc_plan_bring_text_to_layout(model, plan->target, a->options, err);
	if (!s && plan->scales)
		s = qc_channel_scales_apply(plan->scales, model, err);
	return s ? s : round_all(plan, model, err);
}

enum qc_status qc_awq_divergence(struct qc_awq *a, const struct qc_plan *plan, double *kld,
				 struct qc_err *err)
{
	const struct qc_forward_options options = {
		.threads = a->options->threads,
		.stop = a->options->stop,
		.mem_limit = a->options->mem_limit / 2,
	};
	const struct qc_windows *w = &a->windows;
	const size_t first = (w->n - a->n_held) * w->length;
	struct qc_model model = {0};
	struct qc_forward *forward = NULL;
	enum qc_status s = open_rounded(a, plan, &model, err);

	if (!s)
		s = qc_forward_open(&forward, &model, &options, err);
	if (!s)
		s = qc_forward_windows(forward, w->ids + first, a->n_held, w->length, err);
	if (!s)
		s = qc_tune_divergence(a->forward, first, forward, 0, a->n_held * w->length, kld,
				       err);
	qc_forward_close(forward);
	qc_model_close(&model);
	return s;
}
