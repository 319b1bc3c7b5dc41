#include "convert/plan_steps.h"

#include "base/checked.h"
#include "convert/exact.h"
#include "convert/importance.h"
#include "convert/step.h"
#include "formats/arch/arch.h"

/* Experts that transformers keeps [experts, in, out] when they are floats, and that were stored the
 * other way round because they were quantized. */
static bool is_turned_by_encoding(const struct qc_tensor *tensor)
{
	return tensor->encoding && tensor->row && tensor->row->op == QC_ROWS_TRANSPOSE &&
	       !tensor->transposed && tensor->n_dims == 3;
}

/* One piece: rows of step->to. */
static enum qc_status plain_fill(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	struct qc_piece *piece = qc_arena_alloc(&plan->arena, sizeof(*piece));
	uint64_t elems, bytes;

	if (!piece)
		return qc_no_memory(err);
	if (plan->target->layout_kind == QC_LAYOUT_HF && is_turned_by_encoding(step->tensor) &&
	    qc_step_turn(plan, step, err))
		return err->status;
	step->copy = step->from == step->to && step->source->ops->read_raw && !step->tensor->scale;
	step->unit_elems = step->cols;
	step->n_units = step->rows;
	if (!qc_mul(step->rows, step->cols, &elems) || step->cols % step->to->block_elems ||
	    !qc_qtype_bytes(step->to, elems, &bytes))
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%s': %llu x %llu elements are not whole blocks of %s",
			       step->name, (unsigned long long)step->rows,
			       (unsigned long long)step->cols, step->to->name);
	*piece = (struct qc_piece){
		.name = step->name,
		.type = step->to,
		.n_dims = step->tensor->n_dims,
		.dims = step->tensor->dims,
		.bytes = bytes,
		.unit_bytes = step->cols / step->to->block_elems * step->to->block_bytes,
	};
	step->pieces = piece;
	step->n_pieces = 1;
	return QC_OK;
}

static enum qc_status step_fill(struct qc_plan *plan, struct qc_step *step,
				const struct qc_tensor *tensor, const struct qc_choice *choice,
				const struct qconv_options *options, struct qc_err *err)
{
	bool hf = plan->target->layout_kind == QC_LAYOUT_HF;

	step->tensor = tensor;
	step->name = hf ? tensor->stored_name : tensor->name;
	step->source = tensor->source;
	step->from = tensor->source->type;
	step->to = choice->type;
	step->packing = choice->packing;
	step->to_name = choice->packing ? choice->packing->name : choice->type->name;
	step->rows = tensor->source->rows;
	step->cols = tensor->source->cols;
	step->why = choice->why;
	step->fallback = choice->fallback;
	step->starved = choice->starved;
	return step->packing ? step->packing->plan(plan, step, options, err)
			     : plain_fill(plan, step, err);
}

/* What can be said when all steps are there. */
static enum qc_status finish_step(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	step->exact = step->exact || qc_step_is_exact(step);
	if (step->packing && step->packing->agree)
		s = step->packing->agree(plan, step, err);
	step->search = plan->search && !step->copy && (step->packing || step->to->search);
	if (!s)
		s = qc_step_watch_lattice(plan, step, err);
	/* raw rows are without the tensor's scale */
	step->raw = step->source->ops->read_raw && (step->copy || !step->tensor->scale);
	plan->measure = plan->measure || (step->measured_bytes && !step->copy);
	if (step->n_pieces > plan->max_pieces)
		plan->max_pieces = step->n_pieces;
	for (size_t i = 0; i < step->n_pieces; i++)
		step->pieces[i].number = plan->n_pieces++;
	return s;
}

static enum qc_status add_total(uint64_t *total, uint64_t value, struct qc_err *err)
{
	return qc_add(*total, value, total)
		       ? QC_OK
		       : qc_fail(err, QC_UNSUPPORTED, "the model has more than 2^64 bytes");
}

enum qc_status qc_plan_fill_steps(struct qc_plan *plan, const struct qc_choice *choices,
				  const struct qconv_options *options, struct qc_err *err)
{
	struct qc_model *model = plan->model;
	enum qc_status s = QC_OK;

	plan->steps = qc_arena_array(&plan->arena, model->n_tensors + 1, sizeof(*plan->steps));
	if (!plan->steps)
		return qc_no_memory(err);
	for (size_t i = 0; !s && i < model->n_tensors; i++) {
		const struct qc_tensor *tensor = &model->tensors[i];
		uint64_t stored = qc_tensor_stored_bytes(tensor);
		struct qc_step *step = &plan->steps[plan->n_steps];

		if (!choices[i].type && !choices[i].packing) {
			s = qc_model_add_drop(model, tensor->stored_name, stored, choices[i].why,
					      err);
			continue;
		}
		s = step_fill(plan, step, tensor, &choices[i], options, err);
		if (!s)
			s = add_total(&plan->source_bytes, stored, err);
		if (s)
			break;
		plan->n_weights += step->rows * step->cols;
		plan->n_fallbacks += step->fallback;
		plan->n_steps++;
	}
	for (size_t i = 0; !s && i < plan->n_steps; i++)
		s = finish_step(plan, &plan->steps[i], err);
	return s ? s : qc_importance_attach(plan, err);
}
