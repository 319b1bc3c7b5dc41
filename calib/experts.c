/* Experts: all rows are routed first, then each expert's weights are decoded once and applied to
 * the rows that chose it. */
#include "calib/forward_parts.h"

#include <math.h>
#include <string.h>

/* What the experts see and who sees it, for rows [row, row + n). */
static enum qc_status route_rows(struct qc_forward *f, const struct qc_matrix *slots, size_t row,
				 size_t n, struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	const size_t width = g->width;
	float *in = qc_rows_place(&f->expert_in, row, f->expert_buffer), *logits = f->work;
	float *seen = in, *x; /* seen by the router */
	enum qc_status s = qc_rows_read(&f->x, row, n, f->x_buffer, &x, err);

	if (s)
		return s;
	qc_matrix_norm(f,
		       &slots[slots[QC_SLOT_PRE_FFW_NORM_2].weight ? QC_SLOT_PRE_FFW_NORM_2
								   : QC_SLOT_FFN_NORM],
		       x, n, width, in);
	if (g->arch->router_normed) {
		seen = logits + n * g->n_experts;
		qc_rms_norm(x, n, width, slots[QC_SLOT_ROUTER_SCALE].w, g->eps, seen, f->threads);
		qc_scale(seen, n * width, 1 / sqrtf((float)width), f->threads);
	}
	s = qc_matrix_apply(f, &slots[QC_SLOT_ROUTER], seen, n, logits, err);
	if (!s)
		qc_route(logits, n, g->n_experts, g->n_used, f->chosen + row * g->n_used,
			 f->chosen_weights + row * g->n_used, f->threads);
	return s ? s : qc_rows_write(&f->expert_in, row, n, in, err);
}

static enum qc_status route(struct qc_forward *f, const struct qc_graph_block *block,
			    struct qc_err *err)
{
	static const enum qc_slot list[] = {QC_SLOT_FFN_NORM, QC_SLOT_ROUTER, QC_SLOT_ROUTER_SCALE,
					    QC_SLOT_PRE_FFW_NORM_2, QC_SLOTS};
	const size_t step = f->chunk * f->length;
	struct qc_loaded loaded = {0};
	enum qc_status s = qc_loaded_read(f, block, list, &loaded, err);

	for (size_t row = 0; !s && row < f->rows; row += step)
		s = route_rows(f, loaded.slots, row, f->rows - row < step ? f->rows - row : step,
			       err);
	qc_loaded_clear(&loaded);
	return s;
}

/* Places in `chosen` in the order of experts, rows in order within each. */
static void sort_by_expert(struct qc_forward *f)
{
	const size_t n = f->rows * f->graph.n_used;
	const uint32_t n_experts = f->graph.n_experts;
	size_t *starts = f->expert_starts;

	memset(starts, 0, (n_experts + 1) * sizeof(*starts));
	for (size_t i = 0; i < n; i++)
		starts[f->chosen[i] + 1]++;
	for (uint32_t e = 0; e < n_experts; e++)
		starts[e + 1] += starts[e];
	for (size_t i = 0; i < n; i++)
		f->by_expert[starts[f->chosen[i]]++] = (uint32_t)i;
	/* each start has become the next one's */
	memmove(starts + 1, starts, n_experts * sizeof(*starts));
	starts[0] = 0;
}

/* One expert's decoded weights: gate and up are two matrices, or halves of one. */
struct expert {
	struct qc_matrix gate, up, down;
	uint64_t width;
	bool fused;
};

static enum qc_status load_expert(const struct qc_forward *f, const struct qc_graph_block *block,
				  uint32_t e, struct expert *expert, struct qc_err *err)
{
	const struct qc_weight *slots = block->slots;
	enum qc_status s;

	expert->fused = slots[QC_SLOT_GATE_UP_EXPS].tensor;
	expert->width = slots[QC_SLOT_DOWN_EXPS].in;
	s = qc_matrix_load(f, &slots[expert->fused ? QC_SLOT_GATE_UP_EXPS : QC_SLOT_GATE_EXPS], e,
			   &expert->gate, err);
	if (!s && !expert->fused)
		s = qc_matrix_load(f, &slots[QC_SLOT_UP_EXPS], e, &expert->up, err);
	return s ? s : qc_matrix_load(f, &slots[QC_SLOT_DOWN_EXPS], e, &expert->down, err);
}

static void clear_expert(struct expert *expert)
{
	qc_matrix_clear(&expert->gate);
	qc_matrix_clear(&expert->up);
	qc_matrix_clear(&expert->down);
}

/* x = what the experts see, of the `n` rows whose places in `chosen` are listed. */
static enum qc_status gather(const struct qc_forward *f, const uint32_t *places, size_t n, float *x,
			     struct qc_err *err)
{
	const size_t width = f->graph.width;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < n; i++) {
		float *row = x + i * width, *at;

		s = qc_rows_read(&f->expert_in, places[i] / f->graph.n_used, 1, row, &at, err);
		if (!s && at != row)
			memcpy(row, at, width * sizeof(*row));
	}
	return s;
}

/* Add one expert's output to those rows. */
static enum qc_status scatter(const struct qc_forward *f, const uint32_t *places, size_t n,
			      const float *x, struct qc_err *err)
{
	const size_t width = f->graph.width;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < n; i++) {
		const uint64_t row = places[i] / f->graph.n_used;
		const float weight = f->chosen_weights[places[i]];
		float *out;

		s = qc_rows_read(&f->expert_out, row, 1, f->expert_buffer, &out, err);
		for (size_t j = 0; !s && j < width; j++)
			out[j] += weight * x[i * width + j];
		if (!s)
			s = qc_rows_write(&f->expert_out, row, 1, out, err);
	}
	return s;
}

/* The `n` rows whose places are listed. */
static enum qc_status apply_expert(struct qc_forward *f, const struct expert *expert,
				   const uint32_t *places, size_t n, struct qc_err *err)
{
	float *x = f->work, *gate = x + n * f->graph.width, *up = gate + n * expert->width;
	enum qc_status s = qc_forward_stopped(f, err);

	if (!s)
		s = gather(f, places, n, x, err);
	if (!s)
		s = qc_matrix_apply_rows(f, &expert->gate, 0, expert->width, x, n, gate, err);
	if (!s && expert->fused)
		s = qc_matrix_apply_rows(f, &expert->gate, expert->width, expert->width, x, n, up,
					 err);
	else if (!s)
		s = qc_matrix_apply(f, &expert->up, x, n, up, err);
	if (s)
		return s;
	qc_activate(f->graph.arch->activation, gate, up, n * expert->width, f->threads);
	s = qc_matrix_apply(f, &expert->down, gate, n, x, err);
	return s ? s : scatter(f, places, n, x, err);
}

/* The sums begin at zero. */
static enum qc_status clear_outputs(struct qc_forward *f, struct qc_err *err)
{
	const size_t step = f->chunk * f->length;
	enum qc_status s = QC_OK;

	for (size_t row = 0; !s && row < f->rows; row += step) {
		const size_t n = f->rows - row < step ? f->rows - row : step;
		float *out = qc_rows_place(&f->expert_out, row, f->expert_buffer);

		memset(out, 0, n * f->graph.width * sizeof(*out));
		s = qc_rows_write(&f->expert_out, row, n, out, err);
	}
	return s;
}

enum qc_status qc_experts_run(struct qc_forward *f, const struct qc_graph_block *block,
			      struct qc_err *err)
{
	const size_t step = f->chunk * f->length;
	enum qc_status s = route(f, block, err);

	if (!s)
		s = clear_outputs(f, err);
	if (s)
		return s;
	sort_by_expert(f);
	for (uint32_t e = 0; !s && e < f->graph.n_experts; e++) {
		const size_t end = f->expert_starts[e + 1];
		struct expert expert = {0};

		if (f->expert_starts[e] == end)
			continue;
		s = load_expert(f, block, e, &expert, err);
		for (size_t at = f->expert_starts[e]; !s && at < end; at += step)
			s = apply_expert(f, &expert, f->by_expert + at,
					 end - at < step ? end - at : step, err);
		clear_expert(&expert);
	}
	return s;
}

uint64_t qc_experts_work(const struct qc_graph *graph, const struct qc_graph_block *block)
{
	const uint64_t routing = (uint64_t)graph->n_experts + graph->width;
	const uint64_t expert = graph->width + 2 * block->slots[QC_SLOT_DOWN_EXPS].in;

	if (!graph->n_experts)
		return 0;
	return routing > expert ? routing : expert;
}
