#include "calib/awq.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/awq_groups.h"
#include "calib/forward_parts.h"
#include "calib/linalg.h"

/* A group whose inputs are being gathered. */
struct gathering {
	struct qc_awq_group group;
	struct qc_awq_input input;
	uint64_t seen, in_matrix; /* rows so far; of matrix `matrix` */
	uint64_t matrix;
	bool on;
};

struct state {
	struct qc_forward *f;
	const struct qc_awq_options *options;
	uint32_t block;
	struct gathering kinds[QC_AWQ_KINDS];
	bool skipped[QC_AWQ_KINDS]; /* in this block */
};

static void end(struct gathering *g)
{
	free(g->input.learn);
	free(g->input.held);
	free(g->input.magnitude);
	memset(g, 0, sizeof(*g));
}

static enum qc_status begin(struct gathering *g, const struct qc_awq_group *group,
			    struct qc_err *err)
{
	const size_t n = group->n;

	*g = (struct gathering){.group = *group, .on = true};
	g->input.learn = calloc(n * n, sizeof(float));
	g->input.held = calloc(n * n, sizeof(float));
	g->input.magnitude = calloc(n, sizeof(double));
	return g->input.learn && g->input.held && g->input.magnitude ? QC_OK : qc_no_memory(err);
}

/* Sums were made of the upper triangle. False when one is NaN or infinite. */
static bool complete(float *h, size_t n)
{
	bool finite = true;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++) {
			h[i * n + j] = h[j * n + i];
			finite = finite && isfinite(h[i * n + j]);
		}
	return finite;
}

static enum qc_status solve(struct state *s, struct gathering *g, struct qc_err *err)
{
	const size_t n = g->group.n;
	const bool finite = complete(g->input.learn, n);

	if (!complete(g->input.held, n) || !finite)
		return qc_fail(err, QC_BAD_INPUT,
			       "'%s': tensor '%.160s': NaN or infinite activations go into it",
			       s->f->graph.model->path, g->group.consumers[0]->tensor->name);
	return s->options->solve(s->options->user, &g->group, &g->input, err);
}

/* `rows` inputs, the first `learnt` of them to learn from. */
static void add(struct gathering *g, const float *x, size_t rows, size_t learnt, int threads)
{
	struct qc_awq_input *in = &g->input;
	const size_t n = g->group.n;

	for (size_t r = 0; r < learnt; r++)
		for (size_t i = 0; i < n; i++)
			in->magnitude[i] += fabsf(x[r * n + i]);
	if (learnt)
		qc_add_squares(learnt, n, x, in->learn, threads);
	if (rows > learnt)
		qc_add_squares(rows - learnt, n, x + learnt * n, in->held, threads);
	in->n_learn += learnt;
	in->n_held += rows - learnt;
}

/* Of the next `rows` rows, which come in order, how many are to learn from. */
static size_t count_learnt(const struct state *s, const struct gathering *g, bool routed,
			   size_t rows)
{
	const struct qc_forward *f = s->f;
	const size_t first_held = f->rows - s->options->n_held * f->length;
	size_t n = 0;

	if (!routed)
		return g->seen >= first_held	     ? 0
		       : first_held - g->seen < rows ? first_held - g->seen
						     : rows;
	for (size_t r = 0; r < rows; r++)
		n += f->by_expert[f->expert_starts[g->matrix] + g->in_matrix + r] /
			     f->graph.n_used <
		     first_held;
	return n;
}

/* Rows of the group in all. */
static uint64_t expected(const struct state *s, const struct gathering *g, bool routed)
{
	const struct qc_forward *f = s->f;

	if (!routed)
		return f->rows;
	return g->group.all_matrices
		       ? (uint64_t)f->rows * f->graph.n_used
		       : f->expert_starts[g->matrix + 1] - f->expert_starts[g->matrix];
}

static enum qc_status take(struct state *s, struct gathering *g, const struct qc_weight *weight,
			   uint64_t index, const float *x, size_t rows, struct qc_err *err)
{
	const bool routed = weight->count > 1;
	enum qc_status status = QC_OK;

	if (index != g->matrix)
		g->in_matrix = 0;
	g->matrix = index;
	g->group.index = g->group.all_matrices ? 0 : index;
	add(g, x, rows, count_learnt(s, g, routed, rows), s->f->threads);
	g->seen += rows;
	g->in_matrix += rows;
	if (g->seen < expected(s, g, routed))
		return QC_OK;
	if (g->input.n_learn && g->input.n_held)
		status = solve(s, g, err);
	end(g);
	return status;
}

static enum qc_status take_input(void *user, const struct qc_weight *weight, uint64_t index,
				 const float *x, size_t rows, struct qc_err *err)
{
	struct state *s = user;
	const struct qc_graph *graph = &s->f->graph;
	enum qc_status status = QC_OK;

	if (!weight->tensor || weight->tensor->layer < 0)
		return QC_OK;
	if ((uint32_t)weight->tensor->layer != s->block)
		memset(s->skipped, 0, sizeof(s->skipped));
	s->block = (uint32_t)weight->tensor->layer;
	for (unsigned k = 0; !status && k < QC_AWQ_KINDS; k++) {
		struct gathering *g = &s->kinds[k];
		struct qc_awq_group group;

		if (s->skipped[k] || !qc_awq_group_of(graph, s->block, k, &group) ||
		    group.consumers[0] != weight)
			continue;
		if (!g->on) {
			s->skipped[k] = !s->options->wants(s->options->user, &group);
			status = s->skipped[k] ? QC_OK : begin(g, &group, err);
		}
		if (!status && g->on)
			status = take(s, g, weight, index, x, rows, err);
	}
	return status;
}

enum qc_status qc_awq_run(struct qc_forward *model, const uint32_t *ids, size_t n_windows,
			  size_t length, const struct qc_awq_options *options, struct qc_err *err)
{
	struct state s = {.f = model, .options = options};
	enum qc_status status;

	model->options.input = take_input;
	model->options.user = &s;
	status = qc_forward_windows(model, ids, n_windows, length, err);
	model->options.input = NULL;
	for (unsigned k = 0; k < QC_AWQ_KINDS; k++)
		end(&s.kinds[k]);
	return status;
}

uint64_t qc_awq_bytes(const struct qc_graph *graph)
{
	uint64_t most = 0;

	for (uint32_t b = 0; b < graph->n_blocks; b++) {
		struct qc_awq_group group;
		uint64_t sum = 0;

		for (unsigned k = 0; k < QC_AWQ_KINDS; k++)
			if (qc_awq_group_of(graph, b, k, &group))
				sum += 2 * (uint64_t)group.n * group.n * sizeof(float);
		most = sum > most ? sum : most;
	}
	return most;
}
