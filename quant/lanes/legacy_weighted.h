/*
 * q4_0, q4_1, q5_0 and q5_1 with importance, one block per lane: the searches run on transposed
 * blocks, the codes are made in storage order.
 */
#ifndef QC_QUANT_LANES_LEGACY_WEIGHTED_H
#define QC_QUANT_LANES_LEGACY_WEIGHTED_H

#include "quant/lanes/affine_search.h"
#include "quant/lanes/symmetric_search.h"

#ifdef LANES_INLINE

#include <string.h>

#include "quant/block32.h"

enum {
	WEIGHTED_BLOCKS = 2 * LANES, /* affine_search() takes two sets of lanes */
	WEIGHTED_BATCH = WEIGHTED_BLOCKS * 32,
};

/* Consecutive blocks and what was found: a code is inverse * (x - low) rounded, x ~ d * code + m
 * with q4_1 and q5_1, d * code without a minimum (then low is 0). */
struct weighted_batch {
	size_t n; /* blocks; zeros behind the last */
	const float *x;
	float weight[WEIGHTED_BATCH], padded[WEIGHTED_BATCH];
	float d[WEIGHTED_BLOCKS], m[WEIGHTED_BLOCKS];
	float inverse[WEIGHTED_BLOCKS], low[WEIGHTED_BLOCKS];
};

/* The batch at value `at` of `end`. `sigma2` is that of row `row` and kept between calls. */
static inline void weighted_batch_init(struct weighted_batch *b, const float *x, size_t at,
				       size_t end, size_t cols, const float *importance,
				       size_t *row, float *sigma2)
{
	size_t n = end - at < WEIGHTED_BATCH ? end - at : WEIGHTED_BATCH;

	b->n = n / 32;
	b->x = x + at;
	if (n < WEIGHTED_BATCH) {
		memset(b->padded, 0, sizeof(b->padded));
		memset(b->weight, 0, sizeof(b->weight));
		memcpy(b->padded, b->x, n * sizeof(*x));
		b->x = b->padded;
	}
	for (size_t i = 0; i < n; i += 32) {
		const float *w = importance + (at + i) % cols;

		if (*row != (at + i) / cols) {
			*row = (at + i) / cols;
			*sigma2 = qc_mean_square(x + *row * cols, cols);
		}
		for (size_t k = i; k < i + 32; k += LANES, w += LANES) {
			lanes v = lanes_load(b->x + k);

			lanes_store(b->weight + k,
				    lanes_load(w) * lanes_sqrt(lanes_set(*sigma2) + v * v));
		}
	}
}

static inline void weighted_symmetric(struct weighted_batch *b, int nmax)
{
	for (size_t k = 0; k < b->n; k += LANES) {
		struct symmetric_groups g;
		struct symmetric_best s;

		lanes_columns(b->x + 32 * k, 32, g.x);
		lanes_columns(b->weight + 32 * k, 32, g.weight);
		for (int i = 0; i < 32; i++)
			g.wx[i] = g.weight[i] * g.x[i];
		s = symmetric_search(&g, 32, nmax);
		lanes_store(b->d + k, s.scale);
		lanes_store(b->inverse + k, s.inverse);
		lanes_store(b->low + k, lanes_set(0));
	}
}

/* False when the blocks need the scalar search. */
static inline bool weighted_affine(struct weighted_batch *b, int nmax)
{
	struct affine_groups g[2];
	struct affine_best s[2];

	for (int k = 0; k < 2; k++) {
		lanes_columns(b->x + LANES * 32 * k, 32, g[k].x);
		lanes_columns(b->weight + LANES * 32 * k, 32, g[k].weight);
	}
	if (!affine_search(g, 32, nmax, &qc_grid_weighted, false, s))
		return false;
	for (int k = 0; k < 2; k++) {
		lanes_store(b->d + LANES * k, s[k].scale);
		lanes_store(b->m + LANES * k, s[k].min);
		lanes_store(b->inverse + LANES * k, s[k].inverse);
		lanes_store(b->low + LANES * k, s[k].low);
	}
	return true;
}

/* The 32 codes of block k; least: what the smallest code is before `least` is taken away. */
LANES_INLINE bytes32 weighted_codes(const struct weighted_batch *b, size_t k, int least, int top)
{
	lanes inverse = lanes_set(b->inverse[k]), low = lanes_set(b->low[k]);
	lanes_int v[32 / LANES];

	for (int i = 0; i < 32 / LANES; i++) {
		lanes in = inverse * (lanes_load(b->x + 32 * k + (size_t)i * LANES) - low);

		v[i] = lanes_int_clamp(lanes_nearest(in), least, top);
		v[i] = lanes_int_add(v[i], -least);
		if (b->inverse[k] == 0) /* a zero block has code 0, not the code of 0 */
			v[i] = lanes_int_set(0);
	}
	return lanes_pack_bytes(v);
}

#endif
#endif
