/* What a forward pass takes: the arithmetic that its states and buffers are made by. */
#include "calib/forward_parts.h"

#include "base/checked.h"

enum { CHUNK_ROWS = 2048 }; /* enough for matrix products at full speed */

/* A half of a block, the router, an expert. */
uint64_t qc_largest_weights(const struct qc_graph *g)
{
	uint64_t most = g->ple_width ? g->ple_model_proj.in * g->ple_model_proj.out : 0;

	for (uint32_t i = 0; i < g->n_blocks; i++) {
		uint64_t sums[3] = {0, 0, 0};

		for (int slot = 0; slot < QC_SLOTS; slot++) {
			const struct qc_weight *w = &g->blocks[i].slots[slot];

			if (w->tensor)
				sums[w->count > 1 ? 2 : slot > QC_SLOT_POST_ATTN_NORM] +=
					w->in * w->out;
		}
		for (int k = 0; k < 3; k++)
			most = sums[k] > most ? sums[k] : most;
	}
	return most;
}

/* Floats a row that are carried from block to block, in memory or in a file. */
static uint64_t state_columns(const struct qc_graph *g)
{
	uint64_t n = g->width + (uint64_t)g->n_blocks * g->ple_width;

	if (g->n_experts)
		n += 2 * (uint64_t)g->width;
	for (uint32_t i = 0; i < g->n_blocks; i++)
		if (g->blocks[i].kv_kept)
			n += 2 * (uint64_t)g->blocks[i].heads_kv * g->blocks[i].head_size;
	return n;
}

/* Words a row that stay in memory in any case: which experts were chosen. */
static uint64_t chosen_columns(const struct qc_graph *g)
{
	return g->n_experts ? 3 * (uint64_t)g->n_used : 0;
}

/* Floats a row of one chunk that replace those in the file. */
static uint64_t buffer_columns(const struct qc_graph *g)
{
	return g->width + g->ple_width + (g->n_experts ? g->width : 0);
}

uint64_t qc_work_columns(const struct qc_graph *g)
{
	uint64_t most = (uint64_t)g->n_blocks * g->ple_width;

	for (uint32_t i = 0; i < g->n_blocks; i++) {
		const uint64_t n = qc_block_work(g, i);

		most = n > most ? n : most;
	}
	return most;
}

uint64_t qc_rounded_columns(const struct qc_forward *f)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < f->graph.n_blocks; i++)
		for (int slot = 0; slot < QC_SLOTS; slot++) {
			const struct qc_weight *w = &f->graph.blocks[i].slots[slot];

			if (qc_rounds_inputs(f, w) && w->in > most)
				most = w->in;
		}
	return most;
}

size_t qc_chunk_windows(size_t n_windows, size_t length)
{
	const size_t n = length < CHUNK_ROWS ? CHUNK_ROWS / length : 1;

	return n < n_windows ? n : n_windows;
}

uint64_t qc_spilled_bytes(const struct qc_graph *g, uint64_t rows)
{
	uint64_t n;

	return qc_mul(rows, state_columns(g), &n) && qc_mul(n, sizeof(float), &n) ? n : UINT64_MAX;
}

/* a * b floats in bytes; UINT64_MAX when they are too many, or one of them is. */
static uint64_t float_bytes(uint64_t a, uint64_t b)
{
	uint64_t n;

	return a != UINT64_MAX && qc_mul(a, b, &n) && qc_mul(n, sizeof(float), &n) ? n : UINT64_MAX;
}

static uint64_t sum(const uint64_t *terms, int n)
{
	uint64_t all = 0;

	for (int i = 0; i < n; i++)
		if (!qc_add(all, terms[i], &all))
			return UINT64_MAX;
	return all;
}

static void fill(const struct qc_forward *f, size_t n_windows, size_t length, bool spill,
		 struct qc_forward_plan *plan)
{
	const struct qc_graph *g = &f->graph;
	const uint64_t chunk = (uint64_t)qc_chunk_windows(n_windows, length) * length;
	const uint64_t tables = 2 * ((uint64_t)g->ropes[0].n_pairs + g->ropes[1].n_pairs);
	uint64_t rows, kept;

	if (!qc_mul(n_windows, length, &rows))
		rows = UINT64_MAX;
	kept = rows == UINT64_MAX ? UINT64_MAX : qc_spilled_bytes(g, rows);
	*plan = (struct qc_forward_plan){
		.rows = chunk,
		.weights = float_bytes(qc_largest_weights(g), 1),
		.states = sum((uint64_t[]){float_bytes(rows, chosen_columns(g)),
					   spill ? float_bytes(chunk, buffer_columns(g)) : kept},
			      2),
		.spilled = spill ? kept : 0,
		.work = sum(
			(uint64_t[]){
				float_bytes(chunk, qc_work_columns(g) + qc_rounded_columns(f)),
				float_bytes(length, tables),
				float_bytes(qc_attention_work(f->past, length, f->threads), 1)},
			3),
		.head = qc_head_bytes(f),
		/* and the states that they are made of, where these are in a file */
		.logits = float_bytes(qc_forward_logit_rows(f, rows),
				      (uint64_t)g->vocab + (spill ? g->width : 0)),
	};
	plan->peak = sum(
		(uint64_t[]){plan->weights, plan->states, plan->work, plan->head, plan->logits}, 5);
}

uint64_t qc_forward_bytes(const struct qc_forward *f, size_t n_windows, size_t length)
{
	struct qc_forward_plan plan;

	fill(f, n_windows, length, false, &plan);
	return plan.peak;
}

bool qc_must_spill(const struct qc_forward *f, size_t n_windows, size_t length)
{
	return f->options.mem_limit &&
	       qc_forward_bytes(f, n_windows, length) > f->options.mem_limit;
}

void qc_forward_plan(const struct qc_forward *f, size_t n_windows, size_t length,
		     struct qc_forward_plan *plan)
{
	fill(f, n_windows, length, qc_must_spill(f, n_windows, length), plan);
}
