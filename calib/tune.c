#include "calib/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/tune_parts.h"

/* Matrices with one input, in a half of a block; the first one's input is taken. */
struct stage {
	enum qc_slot slots[4]; /* ended by QC_SLOTS */
	/* What the output goes through to join the stream, which ends the half: itself, a norm, a
	 * factor; empty: it does not join. */
	struct qc_joint joint;
};

struct half_stages {
	const struct qc_half_kind *kind;
	struct stage stages[2];
};

static const struct half_stages attention_stages = {
	&qc_half_attention,
	{
		{.slots = {QC_SLOT_Q, QC_SLOT_K, QC_SLOT_V, QC_SLOTS}},
		{.slots = {QC_SLOT_O, QC_SLOTS},
		 .joint = {{QC_SLOT_O, QC_SLOT_POST_ATTN_NORM, QC_SLOTS}}},
	},
};

static const struct half_stages feed_forward_stages = {
	&qc_half_feed_forward,
	{
		{.slots = {QC_SLOT_GATE, QC_SLOT_UP, QC_SLOTS}},
		{.slots = {QC_SLOT_DOWN, QC_SLOTS},
		 .joint = {{QC_SLOT_DOWN, QC_SLOT_POST_FFW_NORM, QC_SLOTS}}},
	},
};

static const struct half_stages end_stages = {
	&qc_half_end,
	{
		{.slots = {QC_SLOT_PLE_GATE, QC_SLOTS}},
		{.slots = {QC_SLOT_PLE_PROJ, QC_SLOTS},
		 .joint = {{QC_SLOT_PLE_PROJ, QC_SLOT_PLE_NORM, QC_SLOT_OUT_SCALE, QC_SLOTS}}},
	},
};

/* Stops the chunk where it is: what comes behind is not needed now. */
static enum qc_status catch_input(void *user, const struct qc_weight *weight, uint64_t index,
				  const float *x, size_t rows, struct qc_err *err)
{
	struct qc_catch *c = user;

	(void)index;
	if (weight != c->weight)
		return QC_OK;
	c->x = x;
	c->rows = rows;
	return qc_fail(err, QC_INTERRUPTED, "input caught");
}

enum qc_status qc_tune_catch(const struct qc_half *half, size_t first, struct qc_catch *c,
			     const struct qc_weight *weight, struct qc_err *err)
{
	enum qc_status s;

	*c = (struct qc_catch){.weight = weight};
	half->f->options.input = catch_input;
	half->f->options.user = c;
	s = qc_half_run(half, first, err);
	half->f->options.input = NULL;
	return c->x ? QC_OK : s ? s : qc_fail(err, QC_UNSUPPORTED, "a weight is not used");
}

enum qc_status qc_tune_begin(struct qc_tuning_state *t, size_t n, size_t out, struct qc_err *err)
{
	enum qc_status s = qc_moments_init(&t->learn, n, out, err);

	return s ? s : qc_moments_init(&t->held, n, out, err);
}

void qc_tune_end(struct qc_tuning_state *t)
{
	qc_moments_clear(&t->learn);
	qc_moments_clear(&t->held);
}

/* With few tokens the moments say little: the fewer, the more they are damped. */
float qc_tune_damp(const struct qc_tuning_state *t)
{
	const double need = 4 * (double)t->learn.n, have = (double)t->learn.tokens;

	return t->options->damp * (float)(have < need ? need / have : 1);
}

enum qc_status qc_tune_solve(struct qc_tuning_state *t, const struct qc_weight *const *weights,
			     size_t n, uint64_t index, struct qc_err *err)
{
	const bool enough = t->learn.tokens && t->held.tokens;
	struct qc_curvature curvature = {0};
	enum qc_status s = qc_moments_complete(&t->learn, err);

	if (!s)
		s = qc_moments_complete(&t->held, err);
	if (!s && enough)
		s = qc_moments_curvature(&t->learn, qc_tune_damp(t), t->b->threads, &curvature,
					 err);
	if (s)
		return qc_fail_in(err, "'%s': tensor '%.160s'", t->b->graph.model->path,
				  weights[0]->tensor->name);
	for (size_t i = 0; !s && i < n; i++) {
		const struct qc_tune_job job = {
			weights[i], t->block, index, &t->learn, enough ? &curvature : NULL,
			&t->held};

		s = t->options->solve(t->options->user, &job, err);
	}
	qc_curvature_clear(&curvature);
	return s;
}

size_t qc_tune_wanted(struct qc_tuning_state *t, const enum qc_slot *slots,
		      const struct qc_weight *wanted[4])
{
	const struct qc_graph_block *block = &t->b->graph.blocks[t->block];
	size_t n = 0;

	for (; *slots != QC_SLOTS; slots++)
		if (block->slots[*slots].tensor &&
		    t->options->wants(t->options->user, &block->slots[*slots]))
			wanted[n++] = &block->slots[*slots];
	return n;
}

static enum qc_status gather(struct qc_tuning_state *t, const struct qc_half *a,
			     const struct qc_half *b, enum qc_slot slot, struct qc_err *err)
{
	const struct qc_weight *weight_a = &t->a->graph.blocks[t->block].slots[slot];
	const struct qc_weight *weight_b = &t->b->graph.blocks[t->block].slots[slot];
	/* a copy of the original's input, which may be the residual stream itself */
	float *y = qc_floats(t->b->chunk * t->b->length, weight_a->in, 1);
	struct qc_catch catch_a, catch_b;
	enum qc_status s = y ? QC_OK : qc_no_memory(err);

	for (size_t w = 0; !s && w < t->b->n_windows; w += t->b->chunk) {
		const struct qc_shared_windows shared = qc_tune_shared_of(t, w);
		const size_t length = t->b->length, rows = shared.n * length;

		s = qc_tune_settle(t, w, weight_b, NULL, err);
		if (!s && rows)
			s = qc_tune_catch(a, shared.first, &catch_a, weight_a, err);
		if (!s)
			s = qc_tune_catch(b, w, &catch_b, weight_b, err);
		if (s)
			break;
		if (rows)
			memcpy(y, catch_a.x, rows * weight_a->in * sizeof(*y));
		qc_tune_add(t, w * length, catch_b.x, catch_b.rows,
			    &(struct qc_originals){.at = shared.at * length, .y = y});
	}
	free(y);
	return s;
}

bool qc_tune_joins(const struct qc_graph *g, int slot)
{
	/* with experts beside it the sum of both is what joins the stream */
	return slot == QC_SLOT_O || slot == QC_SLOT_PLE_PROJ ||
	       (slot == QC_SLOT_DOWN && !g->n_experts);
}

/* *done: both models have gone through the half. */
static enum qc_status run_stage(struct qc_tuning_state *t, const struct qc_half *a,
				const struct qc_half_kind *kind, const struct stage *stage,
				bool *done, struct qc_err *err)
{
	const struct qc_graph *g = &t->b->graph;
	const struct qc_weight *weight = &g->blocks[t->block].slots[stage->slots[0]];
	const struct qc_weight *wanted[4];
	const size_t n_wanted = qc_tune_wanted(t, stage->slots, wanted);
	struct qc_half b = {0};
	enum qc_status s;

	*done = n_wanted && qc_tune_joins(g, stage->slots[0]);
	if (!n_wanted)
		return QC_OK;
	s = qc_tune_begin(t, weight->in, *done ? g->width : 0, err);
	if (!s)
		s = qc_half_open(t->b, t->block, kind, &b, err);
	if (!s && *done)
		s = qc_tune_joint(t, a, &b, &stage->joint, err);
	if (!s && !*done)
		s = gather(t, a, &b, stage->slots[0], err);
	qc_half_close(&b);
	if (!s && !*done)
		s = qc_tune_solve(t, wanted, n_wanted, 0, err);
	qc_tune_end(t);
	return s;
}

static enum qc_status run_half(const struct qc_half *half, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t w = 0; !s && w < half->f->n_windows; w += half->f->chunk)
		s = qc_half_run(half, w, err);
	return s;
}

static enum qc_status tune_half(struct qc_tuning_state *t, const struct half_stages *stages,
				struct qc_err *err)
{
	struct qc_half a = {0}, b = {0};
	bool done = false;
	enum qc_status s = qc_half_open(t->a, t->block, stages->kind, &a, err);

	for (int i = 0; !s && i < 2; i++)
		s = run_stage(t, &a, stages->kind, &stages->stages[i], &done, err);
	if (!s && !done)
		s = run_half(&a, err);
	qc_half_close(&a);
	if (s || done)
		return s;
	s = qc_half_open(t->b, t->block, stages->kind, &b, err);
	if (!s)
		s = run_half(&b, err);
	qc_half_close(&b);
	return s;
}

static enum qc_status tune_block(struct qc_tuning_state *t, struct qc_err *err)
{
	enum qc_status s = tune_half(t, &attention_stages, err);

	if (!s && t->b->graph.n_experts)
		s = qc_tune_experts(t, err);
	if (!s)
		s = tune_half(t, &feed_forward_stages, err);
	return s ? s : tune_half(t, &end_stages, err);
}

/* The output head, where it is no embedding as well. */
static enum qc_status tune_head(struct qc_tuning_state *t, struct qc_err *err)
{
	const struct qc_graph *g = &t->b->graph;
	const struct qc_weight *head = &g->head;
	const size_t length = t->b->length, step = t->b->chunk * length;
	float *y, *x_a, *x_b;
	enum qc_status s;

	if (head->tensor == g->embedding.tensor || !t->options->wants(t->options->user, head))
		return QC_OK;
	y = qc_floats(step, g->width, 1);
	s = y ? qc_tune_begin(t, g->width, 0, err) : qc_no_memory(err);
	for (size_t row = 0; !s && row < t->b->rows; row += step) {
		const size_t rows = t->b->rows - row < step ? t->b->rows - row : step;
		const struct qc_shared_windows shared = qc_tune_shared_of(t, row / length);

		s = qc_rows_read(&t->a->x, shared.first * length, shared.n * length, t->a->x_buffer,
				 &x_a, err);
		if (!s)
			s = qc_rows_read(&t->b->x, row, rows, t->b->x_buffer, &x_b, err);
		if (s)
			break;
		/* overwritten below */
		memcpy(y, x_a, shared.n * length * g->width * sizeof(*y));
		qc_tune_add(t, row, x_b, rows,
			    &(struct qc_originals){.at = shared.at * length, .y = y});
	}
	if (!s)
		s = qc_tune_solve(t, &head, 1, 0, err);
	qc_tune_end(t);
	free(y);
	return s;
}

static enum qc_status start(struct qc_tuning_state *t, const uint32_t *ids, size_t n_windows,
			    size_t length, struct qc_err *err)
{
	const size_t n_learn = t->first_held / length, n_held = n_windows - n_learn;
	uint32_t *ordered = malloc((n_windows * length + 1) * sizeof(*ids));
	enum qc_status s;

	if (!ordered)
		return qc_no_memory(err);
	qc_tune_order(t, ids, n_windows, length, ordered);
	s = qc_forward_start(t->b, ordered, n_windows, length, err);
	memmove(ordered + t->n_shared * length, ordered + n_learn * length,
		n_held * length * sizeof(*ordered));
	if (!s)
		s = qc_forward_start(t->a, ordered, t->n_shared + n_held, length, err);
	free(ordered);
	return s;
}

enum qc_status qc_tune(struct qc_forward *original, struct qc_forward *quantized,
		       const uint32_t *ids, size_t n_windows, size_t length, size_t n_held,
		       const struct qc_tune_options *options, struct qc_err *err)
{
	const size_t n_learn = n_windows - n_held;
	struct qc_tuning_state t = {
		.a = original,
		.b = quantized,
		.options = options,
		.n_shared = qc_tune_shared(&original->graph, n_learn, length),
		.first_held = n_learn * length,
	};
	const uint32_t n_blocks = original->graph.n_blocks;
	enum qc_status s = start(&t, ids, n_windows, length, err);

	for (; !s && t.block < n_blocks; t.block++) {
		if (options->progress)
			options->progress(options->user, t.block, n_blocks);
		s = tune_block(&t, err);
		if (!s)
			s = qc_forward_block_done(original, t.block, err);
		if (!s)
			s = qc_forward_block_done(quantized, t.block, err);
	}
	if (!s)
		s = qc_forward_finish(original, err);
	if (!s)
		s = qc_forward_finish(quantized, err);
	return s ? s : tune_head(&t, err);
}
