/*
 * The loop around the searches of 32-element types with one block per lane: qc_search_blocks()
 * (quant/search.c) for LANES blocks at a time. Scales are searched on transposed blocks; codes are
 * made, decoded and compared in storage order.
 */
#ifndef QC_QUANT_LANES_SEARCH_RUN_H
#define QC_QUANT_LANES_SEARCH_RUN_H

#include "quant/lanes/lanes.h"

#ifdef LANES_INLINE

#include <math.h>
#include <string.h>

#include "quant/fast.h"
#include "quant/search.h"
#include "quant/types.h"

enum { SEARCH_BLOCK = 32, SEARCH_MAX_BYTES = 64 };

/* LANES blocks: the values as they lie, then element i of every block in lane order. `wx` is weight
 * * x. Without importance (plain) weight is not set, and a product with 1 is left out. */
struct search_group {
	const float *rows, *row_weights;
	bool weighted;
	lanes x[SEARCH_BLOCK], weight[SEARCH_BLOCK], wx[SEARCH_BLOCK];
};

/* A proposal for each of `count` blocks of the group; bit k of the result: block k has one. */
typedef unsigned search_propose_fn(const struct search_group *g, size_t count, uint8_t *trials);

/* Lanes that are not 0, infinite or NaN. */
LANES_INLINE lanes_mask search_usable(lanes v)
{
	return lanes_and(lanes_lt(lanes_abs(v), lanes_set(INFINITY)),
			 lanes_lt(lanes_set(0), lanes_abs(v)));
}

/* qc_squared_error() for n values, a multiple of 8; weight may be NULL. */
LANES_INLINE double search_error(const float *x, const float *y, const float *weight, size_t n)
{
	double sums[8], sum = 0;

	lanes_error_sums(x, y, weight, n, sums);
	for (int i = 0; i < 8; i++)
		sum += sums[i];
	return sum;
}

LANES_INLINE double search_block_error(const struct qc_qtype *type, const struct search_group *g,
				       size_t k, const float *y, const uint8_t *block)
{
	if (type->check && type->check(block, 1) == 0)
		return NAN;
	return search_error(g->rows + k * SEARCH_BLOCK, y,
			    g->weighted ? g->row_weights + k * SEARCH_BLOCK : NULL, SEARCH_BLOCK);
}

/* Replace the blocks of `proposed` whose trial is better. */
static inline void search_keep_better(const struct qc_qtype *type, qc_dequantize_fn *dequantize,
				      const struct search_group *g, size_t count, unsigned proposed,
				      const uint8_t *trials, uint8_t *blocks)
{
	float old[LANES * SEARCH_BLOCK], now[LANES * SEARCH_BLOCK];
	size_t bytes = type->block_bytes;

	if (!proposed)
		return;
	dequantize(blocks, old, count);
	dequantize(trials, now, count);
	for (size_t k = 0; k < count; k++) {
		double was, is;

		if (!(proposed >> k & 1))
			continue;
		was = search_block_error(type, g, k, old + k * SEARCH_BLOCK, blocks + k * bytes);
		is = search_block_error(type, g, k, now + k * SEARCH_BLOCK, trials + k * bytes);
		if (qc_error_below(is, was))
			memcpy(blocks + k * bytes, trials + k * bytes, bytes);
	}
}

static inline void search_group_load(struct search_group *g)
{
	lanes_columns(g->rows, SEARCH_BLOCK, g->x);
	if (g->weighted)
		lanes_columns(g->row_weights, SEARCH_BLOCK, g->weight);
	for (int i = 0; i < SEARCH_BLOCK; i++)
		g->wx[i] = g->x[i];
	for (int i = 0; g->weighted && i < SEARCH_BLOCK; i++)
		g->wx[i] *= g->weight[i];
}

/* The importance of blocks first .. first + count - 1 of rows of row_blocks blocks. */
static inline void search_weights(const float *weight, size_t first, size_t count,
				  size_t row_blocks, float *out)
{
	for (size_t k = 0; k < count; k++)
		memcpy(out + k * SEARCH_BLOCK, weight + (first + k) % row_blocks * SEARCH_BLOCK,
		       SEARCH_BLOCK * sizeof(float));
}

/* qc_quantize_fn for a type of 32 elements with a proposal. */
static inline void search_run(const struct qc_qtype *type, search_propose_fn *propose,
			      const float *x, void *dst, size_t rows, size_t cols,
			      const float *weight)
{
	qc_dequantize_fn *dequantize = qc_fast_dequantize(type, lanes_isa);
	size_t n_blocks = rows * cols / SEARCH_BLOCK, bytes = type->block_bytes;
	float part[LANES * SEARCH_BLOCK] = {0}, weights[LANES * SEARCH_BLOCK] = {0};
	uint8_t trials[LANES * SEARCH_MAX_BYTES];
	struct search_group g;

	qc_fast_quantize(type, lanes_isa)(x, dst, rows, cols, weight);
	g.weighted = weight != NULL;
	g.row_weights = weights;
	for (size_t first = 0; first < n_blocks; first += LANES) {
		size_t count = n_blocks - first < LANES ? n_blocks - first : LANES;
		unsigned proposed;

		g.rows = x + first * SEARCH_BLOCK;
		if (count < LANES) /* lanes without a block hold zeros, for which nothing is
				      proposed */
			g.rows = memcpy(part, g.rows, count * SEARCH_BLOCK * sizeof(float));
		if (weight)
			search_weights(weight, first, count, cols / SEARCH_BLOCK, weights);
		search_group_load(&g);
		proposed = propose(&g, count, trials);
		search_keep_better(type, dequantize, &g, count, proposed, trials,
				   (uint8_t *)dst + first * bytes);
	}
}

#endif
#endif
