/* Experts: each has its own tokens, those that the quantized model sends there. Their inputs count
 * as much as the outputs do: times the square of the routing weight. */
#include "calib/tune_parts.h"

#include <stdlib.h>
#include <string.h>

struct stage {
	struct qc_tuning_state *t;
	const struct qc_weight *first; /* whose input is taken */
	const struct qc_weight *wanted[4];
	size_t n_wanted;
	bool sees_states; /* the input is what the experts see: known of the original model too */
	size_t seen;	  /* rows of the expert so far */
	float *x, *y;	  /* [rows, n] weighted inputs of one call */
	float *weights;	  /* [rows] */
};

/* What the original model's experts would see of the rows, times the weights. */
static enum qc_status original_rows(const struct stage *s, const uint32_t *places, size_t rows,
				    struct qc_err *err)
{
	const struct qc_forward *a = s->t->a, *b = s->t->b;
	const size_t n = s->first->in;
	enum qc_status status = QC_OK;

	for (size_t r = 0; !status && r < rows; r++) {
		float *y = s->y + r * n, *at;

		status = qc_rows_read(&a->expert_in, places[r] / a->graph.n_used, 1, y, &at, err);
		for (size_t i = 0; !status && i < n; i++)
			y[i] = at[i] * b->chosen_weights[places[r]];
	}
	return status;
}

static enum qc_status add_rows(struct stage *s, uint64_t expert, const float *x, size_t rows,
			       struct qc_err *err)
{
	struct qc_tuning_state *t = s->t;
	const struct qc_forward *b = t->b;
	const uint32_t *places = b->by_expert + b->expert_starts[expert] + s->seen;
	const size_t n = s->first->in;
	size_t learnt = 0;
	float *y = NULL;
	enum qc_status status = QC_OK;

	for (size_t r = 0; r < rows; r++) {
		learnt += places[r] / b->graph.n_used < t->first_held;
		s->weights[r] = b->chosen_weights[places[r]];
		for (size_t i = 0; i < n; i++)
			s->x[r * n + i] = x[r * n + i] * b->chosen_weights[places[r]];
	}
	if (s->sees_states) {
		y = s->y;
		status = original_rows(s, places, rows, err);
	}
	if (status)
		return status;
	if (learnt)
		qc_moments_add(&t->learn, s->x, y, learnt, b->threads);
	if (rows > learnt)
		qc_moments_add(&t->held, s->x + learnt * n, y ? y + learnt * n : NULL,
			       rows - learnt, b->threads);
	qc_means_add(&t->learn.means, s->x, y, NULL, learnt, s->weights);
	qc_means_add(&t->held.means, s->x + learnt * n, y ? y + learnt * n : NULL, NULL,
		     rows - learnt, s->weights + learnt);
	return QC_OK;
}

/* All rows of an expert come one after the other; with the last it is solved. */
static enum qc_status take_input(void *user, const struct qc_weight *weight, uint64_t index,
				 const float *x, size_t rows, struct qc_err *err)
{
	struct stage *s = user;
	struct qc_tuning_state *t = s->t;
	enum qc_status status = QC_OK;

	if (weight != s->first)
		return QC_OK;
	if (!s->seen)
		status = qc_tune_begin(t, weight->in, 0, err);
	if (!status)
		status = add_rows(s, index, x, rows, err);
	s->seen += rows;
	if (!status && s->seen == t->b->expert_starts[index + 1] - t->b->expert_starts[index]) {
		status = qc_tune_solve(t, s->wanted, s->n_wanted, index, err);
		qc_tune_end(t);
		s->seen = 0;
	}
	return status;
}

/* Experts that no token chose. */
static enum qc_status solve_unseen(struct stage *s, struct qc_err *err)
{
	const struct qc_forward *b = s->t->b;
	enum qc_status status = QC_OK;

	for (uint32_t e = 0; !status && e < b->graph.n_experts; e++) {
		if (b->expert_starts[e] != b->expert_starts[e + 1])
			continue;
		status = qc_tune_begin(s->t, s->first->in, 0, err);
		if (!status)
			status = qc_tune_solve(s->t, s->wanted, s->n_wanted, e, err);
		qc_tune_end(s->t);
	}
	return status;
}

static enum qc_status run_stage(struct qc_tuning_state *t, const enum qc_slot *slots,
				bool sees_states, struct qc_err *err)
{
	struct qc_forward *b = t->b;
	const struct qc_graph_block *block = &b->graph.blocks[t->block];
	struct stage s = {.t = t, .sees_states = sees_states};
	const size_t rows = b->chunk * b->length;
	enum qc_status status = QC_OK;

	while (*slots != QC_SLOTS && !block->slots[*slots].tensor)
		slots++;
	s.n_wanted = *slots == QC_SLOTS ? 0 : qc_tune_wanted(t, slots, s.wanted);
	if (!s.n_wanted)
		return QC_OK;
	s.first = &block->slots[*slots];
	s.x = qc_floats(rows, s.first->in, 1);
	s.y = qc_floats(rows, s.first->in, 1);
	s.weights = qc_floats(rows, 1, 1);
	if (!s.x || !s.y || !s.weights)
		status = qc_no_memory(err);
	b->options.input = take_input;
	b->options.user = &s;
	if (!status)
		status = qc_experts_run(b, block, err);
	b->options.input = NULL;
	if (!status)
		status = solve_unseen(&s, err);
	qc_tune_end(t);
	free(s.x);
	free(s.y);
	free(s.weights);
	return status;
}

enum qc_status qc_tune_experts(struct qc_tuning_state *t, struct qc_err *err)
{
	static const enum qc_slot inputs[] = {QC_SLOT_GATE_UP_EXPS, QC_SLOT_GATE_EXPS,
					      QC_SLOT_UP_EXPS, QC_SLOTS};
	static const enum qc_slot outputs[] = {QC_SLOT_DOWN_EXPS, QC_SLOTS};
	enum qc_status s = qc_experts_run(t->a, &t->a->graph.blocks[t->block], err);

	if (!s)
		s = run_stage(t, inputs, true, err);
	if (!s)
		s = run_stage(t, outputs, false, err);
	return s ? s : qc_experts_run(t->b, &t->b->graph.blocks[t->block], err);
}
