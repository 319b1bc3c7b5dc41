/* Which steps are calibrated, and which of the engine's matrices are theirs. */
#include "convert/tune_items.h"

#include <stdlib.h>
#include <string.h>

#include "convert/plan_layout.h"
#include "convert/step.h"
#include "convert/target_gguf.h"
#include "formats/arch/arch.h"
#include "quant/types.h"

/* Experts that are one tensor [experts, in, out] are calibrated where each one's rows lie together,
 * and turned back in the end. */
static bool is_turned(const struct qc_step *step)
{
	return step->packing && step->tensor->n_dims > 2 && step->tensor->transposed;
}

/* The packing can have what is calibrated a matrix at a time, and turned back. */
static bool takes_matrices(const struct qc_step *step)
{
	const struct qc_tensor *tensor = step->tensor;
	const struct qc_arch_tensor *row = tensor->row;
	const bool of_two = row && row[1].hf && !*row[1].hf;

	if (is_turned(step) && !step->packing->keep)
		return false;
	/* round() must see all blocks together */
	return !step->packing->round || (tensor->n_dims == 2 && !of_two);
}

/* The grid of what a step becomes; NULL when it takes no part. */
static const struct qc_grid *step_grid(const struct qc_step *step)
{
	const struct qc_packing *packing = step->packing;
	const struct qc_tensor *tensor = step->tensor;
	const struct qc_grid *grid;

	if (step->copy || tensor->n_dims < 2 ||
	    (tensor->layer < 0 && strcmp(tensor->name, "output.weight")))
		return NULL;
	if (packing && !takes_matrices(step))
		return NULL;
	grid = !packing ? qc_grid_of(step->to) : packing->grid ? packing->grid(step) : NULL;
	return grid && tensor->dims[is_turned(step)] % grid->type->block_elems == 0 ? grid : NULL;
}

/* What the values of each matrix of a step are multiplied by. */
static enum qc_status find_factors(struct qc_tuning *t, struct qc_tune_item *item,
				   struct qc_err *err)
{
	const struct qc_step *step = item->step;
	const uint64_t n = step->tensor->n_dims > 2 ? step->tensor->dims[2] : 1;

	if (!step->packing || !step->packing->factor)
		return QC_OK;
	item->factors = qc_arena_array(&t->arena, n, sizeof(*item->factors));
	if (!item->factors)
		return qc_no_memory(err);
	for (uint64_t i = 0; i < n; i++)
		item->factors[i] = step->packing->factor(step, i);
	item->tuned->factors = item->factors;
	item->tuned->slice = item->rows->rows / n;
	return QC_OK;
}

/* Every expert is a tensor of its own. */
static bool is_single(const struct qc_tuning *t, const struct qc_tensor *tensor)
{
	return t->plan->target->layout_kind == QC_LAYOUT_HF && tensor->row &&
	       strstr(tensor->row->hf, "{e}");
}

/* Where a matrix of the engine is found: by its name, and where every expert is a tensor of its own
 * by its index too. */
static const char *key_of(struct qc_arena *arena, const char *name, bool single, uint64_t index)
{
	return single ? qc_arena_printf(arena, "%s %llu", name, (unsigned long long)index) : name;
}

static enum qc_status add_part(struct qc_tuning *t, struct qc_tune_item *item, const char *name,
			       uint64_t first, uint64_t step, struct qc_err *err)
{
	const struct qc_tensor *tensor = item->step->tensor;
	const bool single = is_single(t, tensor);
	struct qc_tune_part *part = &t->parts[t->n_parts];
	const char *key = name ? key_of(&t->arena, name, single, (uint64_t)tensor->expert) : NULL;
	bool was_there;

	*part = (struct qc_tune_part){.item = item, .first = first, .step = step, .single = single};
	part->rows =
		step > 1 ? qc_source_every_row(&t->arena, item->rows, first, step) : item->rows;
	if (!key || !part->rows)
		return qc_no_memory(err);
	return qc_strmap_add(&t->by_weight, key, strlen(key), t->n_parts++, &was_there, err);
}

/* A Hugging Face tensor may be two of the engine's. */
static enum qc_status add_parts(struct qc_tuning *t, struct qc_tune_item *item, struct qc_err *err)
{
	const struct qc_tensor *tensor = item->step->tensor;
	const struct qc_arch_tensor *row = tensor->row;
	const bool hf = row && t->plan->target->layout_kind == QC_LAYOUT_HF;
	enum qc_status s = QC_OK;

	if (!hf || !row[1].hf || *row[1].hf)
		return add_part(t, item,
				is_single(t, tensor)
					? qc_arch_block_name(&t->arena, row->gguf, tensor->layer)
					: tensor->name,
				0, 1, err);
	for (row++; !s && row->hf && !*row->hf; row++)
		s = add_part(t, item, qc_arch_block_name(&t->arena, row->gguf, tensor->layer),
			     row->op == QC_ROWS_ODD, 2, err);
	return s;
}

/* The step's rows, those of each matrix together. */
static enum qc_status find_rows(struct qc_tuning *t, struct qc_tune_item *item, struct qc_err *err)
{
	struct qc_tensor tensor = *item->step->tensor;
	enum qc_status s = QC_OK;

	tensor.source = item->step->source;
	item->turned = is_turned(item->step);
	if (item->turned)
		s = qc_tensor_turn(&tensor, &t->arena, err);
	item->rows = tensor.source;
	return s;
}

static enum qc_status add_item(struct qc_tuning *t, struct qc_step *step,
			       const struct qc_grid *grid, uint64_t *bytes, struct qc_err *err)
{
	struct qc_tune_item *item = &t->items[t->n_items];
	bool was_there;
	enum qc_status s;

	*item = (struct qc_tune_item){.step = step, .grid = grid};
	s = find_rows(t, item, err);
	if (s)
		return s;
	item->tuned = qc_tuned_make(&t->arena, &t->file, *bytes, grid->type, item->rows->rows,
				    item->rows->cols);
	if (!item->tuned)
		return qc_no_memory(err);
	s = qc_strmap_add(&t->by_name, step->tensor->name, strlen(step->tensor->name), t->n_items,
			  &was_there, err);
	if (s || was_there)
		return s;
	s = find_factors(t, item, err);
	if (!s)
		s = add_parts(t, item, err);
	*bytes += item->rows->rows * item->tuned->row_bytes;
	t->n_items++;
	return s;
}

enum qc_status qc_tune_find_items(struct qc_tuning *t, struct qc_err *err)
{
	enum { PARTS = 2 };
	struct qc_plan *plan = t->plan;
	uint64_t bytes = 0;
	enum qc_status s = QC_OK;

	t->items = calloc(plan->n_steps + 1, sizeof(*t->items));
	t->parts = calloc(plan->n_steps + 1, PARTS * sizeof(*t->parts));
	if (!t->items || !t->parts)
		return qc_no_memory(err);
	for (size_t i = 0; !s && i < plan->n_steps; i++) {
		const struct qc_grid *grid = step_grid(&plan->steps[i]);

		if (grid)
			s = add_item(t, &plan->steps[i], grid, &bytes, err);
	}
	return s ? s : qc_spill_open(&t->file, NULL, bytes, err);
}

const struct qc_tune_part *qc_tune_part_of(const struct qc_tuning *t, const char *name,
					   uint64_t index)
{
	const uint64_t *at = qc_strmap_find(&t->by_weight, name, strlen(name));
	char key[256];

	if (!at && snprintf(key, sizeof(key), "%s %llu", name, (unsigned long long)index) <
			   (int)sizeof(key))
		at = qc_strmap_find(&t->by_weight, key, strlen(key));
	return at ? &t->parts[*at] : NULL;
}

enum qc_status qc_tune_put_overlays(struct qc_tuning *t, struct qc_model *model, struct qc_err *err)
{
	for (size_t i = 0; i < model->n_tensors; i++) {
		struct qc_tensor *tensor = &model->tensors[i];
		const uint64_t *at =
			qc_strmap_find(&t->by_name, tensor->name, strlen(tensor->name));
		struct qc_tune_item *item = at ? &t->items[*at] : NULL;

		if (!item)
			continue;
		if (tensor->transposed && qc_tensor_turn(tensor, &model->arena, err))
			return err->status;
		if (tensor->source->rows != item->rows->rows ||
		    tensor->source->cols != item->rows->cols)
			return qc_fail(err, QC_IO,
				       "tensor '%s' has another shape: '%s' has changed",
				       tensor->name, model->path);
		item->overlay = qc_overlay_make(&model->arena, tensor->source);
		if (!item->overlay)
			return qc_no_memory(err);
		item->overlay->tuned = item->tuned;
		item->overlay->search = qc_fast_search(item->grid->type, t->plan->isa);
		tensor->source = &item->overlay->base;
	}
	return QC_OK;
}

/* Blocks that are moved. */
static void move(struct qc_tune_item *item)
{
	struct qc_step *step = item->step;

	step->source = &item->tuned->base;
	step->from = item->grid->type;
	step->copy = step->raw = true;
}

/* Values that are encoded once more, the other way round: the packing gives the same blocks. */
static enum qc_status encode_again(struct qc_tuning *t, struct qc_tune_item *item,
				   struct qc_err *err)
{
	const uint64_t dims[3] = {item->tuned->base.cols, item->step->tensor->dims[0],
				  item->step->tensor->dims[2]};
	struct qc_tensor tensor = *item->step->tensor;
	enum qc_status s;

	tensor.source = &item->tuned->base;
	tensor.dims = dims;
	tensor.transposed = false;
	s = qc_tensor_turn(&tensor, &t->arena, err);
	item->step->source = tensor.source;
	item->step->raw = false;
	item->step->packing->keep(item->step);
	return s;
}

enum qc_status qc_tune_finish(struct qc_tuning *t, struct qc_tune_item *item, struct qc_err *err)
{
	struct qc_step *step = item->step;
	enum qc_status s = QC_OK;

	if (item->turned)
		s = encode_again(t, item, err);
	else
		move(item);
	step->search = step->exact = false;
	step->lattice = NULL;
	qc_step_cut(step);
	qc_step_keep_sizes(t->plan, step);
	return s || item->rounded == 0 ? s
				       : step->packing->rounded(t->plan, step, item->rounded, err);
}
