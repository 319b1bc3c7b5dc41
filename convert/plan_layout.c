#include "convert/plan_layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "convert/side_files.h"
#include "convert/step.h"

static enum qc_status add(uint64_t *total, uint64_t value, struct qc_err *err)
{
	return qc_add(*total, value, total)
		       ? QC_OK
		       : qc_fail(err, QC_UNSUPPORTED, "the output would have more than 2^64 bytes");
}

static int by_place(const void *a, const void *b)
{
	const struct qc_piece *x = *(struct qc_piece *const *)a, *y = *(struct qc_piece *const *)b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Sums over the pieces, whose sizes may have changed. */
static enum qc_status sum_up(struct qc_plan *plan, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	plan->tensor_bytes = 0;
	for (size_t i = 0; !s && i < plan->n_steps; i++) {
		struct qc_step *step = &plan->steps[i];

		step->bytes = 0;
		for (size_t k = 0; !s && k < step->n_pieces; k++)
			s = add(&step->bytes, step->pieces[k].bytes, err);
		if (!s)
			s = add(&plan->tensor_bytes, step->bytes, err);
		qc_step_cut(step);
		qc_step_keep_sizes(plan, step);
	}
	return s;
}

/* The pieces with their places: the format's answer. */
static enum qc_status place_pieces(struct qc_plan *plan, struct qc_out_tensor *out,
				   struct qc_err *err)
{
	struct qc_layout_wish wish = {&plan->model->meta, plan->shard_bytes, plan->split};
	size_t n = 0;
	enum qc_status s;

	for (size_t i = 0; i < plan->n_steps; i++)
		for (size_t k = 0; k < plan->steps[i].n_pieces; k++) {
			struct qc_piece *piece = &plan->steps[i].pieces[k];

			plan->placed[n] = piece;
			out[n++] = (struct qc_out_tensor){
				.name = piece->name,
				.n_dims = piece->n_dims,
				.dims = piece->dims,
				.type = piece->type,
				.bytes = piece->bytes,
			};
		}
	s = plan->target->layout(out, n, &wish, &plan->out, err);
	for (size_t i = 0; !s && i < n; i++) {
		plan->placed[i]->file = out[i].file;
		plan->placed[i]->offset = out[i].offset;
	}
	if (!s && n)
		qsort(plan->placed, n, sizeof(*plan->placed), by_place);
	return s;
}

enum qc_status qc_plan_lay_out(struct qc_plan *plan, struct qc_err *err)
{
	struct qc_out_tensor *out = calloc(plan->n_pieces + 1, sizeof(*out));
	enum qc_status s;

	qc_out_clear(&plan->out);
	if (!plan->placed)
		plan->placed =
			qc_arena_array(&plan->arena, plan->n_pieces + 1, sizeof(*plan->placed));
	if (!out || !plan->placed) {
		free(out);
		return qc_no_memory(err);
	}
	s = sum_up(plan, err);
	if (!s)
		s = place_pieces(plan, out, err);
	free(out);
	if (!s && plan->target->is_dir)
		s = qc_side_files_add(plan, err);
	return s;
}

/* A step and where its tensor begins. */
struct position {
	size_t step, file;
	uint64_t offset;
};

static int by_position(const void *a, const void *b)
{
	const struct position *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->step < y->step ? -1 : x->step > y->step;
}

enum qc_status qc_plan_order(struct qc_plan *plan, struct qc_err *err)
{
	struct position *at = calloc(plan->n_steps + 1, sizeof(*at));

	plan->order = qc_arena_array(&plan->arena, plan->n_steps + 1, sizeof(*plan->order));
	if (!at || !plan->order) {
		free(at);
		return qc_no_memory(err);
	}
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct qc_step *step = &plan->steps[i];
		struct qc_extent extent;

		at[i] = (struct position){i, SIZE_MAX, 0};
		if (step->rows && qc_source_extent(step->source, 0, step->rows, &extent)) {
			at[i].file = step->tensor->file;
			at[i].offset = extent.offset;
		}
	}
	qsort(at, plan->n_steps, sizeof(*at), by_position);
	for (size_t i = 0; i < plan->n_steps; i++)
		plan->order[i] = at[i].step;
	free(at);
	return QC_OK;
}
