/*
 * iq4_nl and iq4_xs with one group of 32 per lane: qc_iq4_search() on transposed groups, every sum,
 * product, division and comparison in its order; the final codes and the packing in storage order.
 */
#ifndef QC_QUANT_LANES_IQ4_KERNELS_H
#define QC_QUANT_LANES_IQ4_KERNELS_H

#include "quant/lanes/lanes.h"

#ifdef LANES_INLINE

#include <string.h>

#include "quant/blocks.h"
#include "quant/iq4.h"
#include "quant/kscale.h"
#include "quant/round.h"
#include "quant/types.h"

/* Groups that fill all lanes, and in whole super-blocks of iq4_xs. */
enum { IQ4_GROUPS = LANES < 8 ? 8 : LANES, IQ4_BATCH = IQ4_GROUPS * 32 };

/* x[i] and weight[i]: element i of every lane's group. */
struct iq4_groups {
	lanes x[32], weight[32];
};

/* The levels by code, and the borders above the code of a half, a quarter and an eighth of them. */
struct iq4_tables {
	struct lanes_table levels, quarters, eighths, sixteenths;
};

static inline struct iq4_tables iq4_tables_load(void)
{
	float level[16], border[16 + 3] = {0};
	struct iq4_tables t;

	for (int i = 0; i < 16; i++)
		level[i] = (float)qc_iq4_levels[i];
	memcpy(border, qc_iq4_borders, sizeof(qc_iq4_borders));
	t.levels = lanes_table_load(level);
	t.quarters = lanes_table_load(border + 3);
	t.eighths = lanes_table_load(border + 1);
	t.sixteenths = lanes_table_load(border);
	return t;
}

/* qc_iq4_code(), NaN included */
LANES_INLINE lanes_int iq4_code(const struct iq4_tables *t, lanes x)
{
	lanes_int code = lanes_int_add_unless(lanes_lt(x, lanes_set(qc_iq4_borders[7])),
					      lanes_int_set(0), 8);

	code = lanes_int_add_unless(lanes_lt(x, lanes_look_up(&t->quarters, code)), code, 4);
	code = lanes_int_add_unless(lanes_lt(x, lanes_look_up(&t->eighths, code)), code, 2);
	return lanes_int_add_unless(lanes_lt(x, lanes_look_up(&t->sixteenths, code)), code, 1);
}

/* Least-squares sums of x against its levels. */
struct iq4_fit {
	lanes xq, q2;
};

static inline struct iq4_fit iq4_fit(const struct iq4_tables *t, const struct iq4_groups *g,
				     lanes inverse)
{
	struct iq4_fit fit = {lanes_set(0), lanes_set(0)};

	for (int i = 0; i < 32; i++) {
		lanes q = lanes_look_up(&t->levels, iq4_code(t, inverse * g->x[i]));
		lanes wq = g->weight[i] * q;

		fit.xq += wq * g->x[i];
		fit.q2 += wq * q;
	}
	return fit;
}

/* qc_iq4_search() in every lane. */
static inline lanes iq4_search(const struct iq4_tables *t, const struct iq4_groups *g)
{
	lanes zero = lanes_set(0), magnitude = zero, max = zero, scale, best;
	struct iq4_fit fit;

	for (int i = 0; i < 32; i++) {
		lanes m = lanes_abs(g->x[i]);
		lanes_mask larger = lanes_lt(magnitude, m);

		max = lanes_select(larger, g->x[i], max);
		magnitude = lanes_select(larger, m, magnitude);
	}
	scale = lanes_negate(max) / lanes_set((float)qc_iq4_levels[0]);
	fit = iq4_fit(t, g, lanes_set(1) / scale);
	scale = lanes_select(lanes_lt(zero, fit.q2), fit.xq / fit.q2, zero);
	best = scale * fit.xq;
	for (int step = -7; step <= 7; step++) {
		lanes_mask better;
		lanes trial;

		fit = iq4_fit(t, g, lanes_set((float)(step + qc_iq4_levels[0])) / max);
		trial = fit.xq / fit.q2;
		better =
			lanes_and(lanes_lt(zero, fit.q2), lanes_lt(best * fit.q2, fit.xq * fit.xq));
		scale = lanes_select(better, trial, scale);
		best = lanes_select(better, trial * fit.xq, best);
	}
	return lanes_select(lanes_lt(magnitude, lanes_set(QC_GROUP_EPS)), zero, scale);
}

/* LANES groups and their weights; importance may be NULL. A sigma2 of NULL: each group has its own.
 */
static inline void iq4_load(const float *x, const float *importance, const float *sigma2,
			    struct iq4_groups *g)
{
	lanes sum = lanes_set(0);

	lanes_columns(x, 32, g->x);
	if (importance)
		lanes_columns(importance, 32, g->weight);
	for (int i = 0; i < 32; i++)
		sum += g->x[i] * g->x[i];
	if (sigma2)
		sum = lanes_load(sigma2);
	else
		sum *= lanes_set(2.0f / 32);
	for (int i = 0; i < 32; i++) {
		lanes square = g->x[i] * g->x[i];

		if (importance)
			g->weight[i] *= lanes_sqrt(sum + square);
		else
			g->weight[i] = square;
	}
}

/* 32 codes of x / scale, as qc_iq4_codes(), packed. */
static inline void iq4_put(const struct iq4_tables *t, const float *x, float scale, uint8_t q[16])
{
	lanes inverse = lanes_set(scale != 0 ? 1 / scale : 0);
	lanes_int v[32 / LANES];
	bytes32 code;

	for (int i = 0; i < 32 / LANES; i++)
		v[i] = iq4_code(t, inverse * lanes_load(x + i * LANES));
	code = lanes_pack_bytes(v);
	bytes16_store(q, bytes16_nibbles(bytes32_first(code), bytes32_last(code)));
}

/* IQ4_BATCH values at element `at` of `end`, zeros behind the end. */
struct iq4_batch {
	size_t n; /* values before the end */
	const float *x, *importance;
	float padded[IQ4_BATCH], weights[IQ4_BATCH];
};

static inline void iq4_batch_init(struct iq4_batch *b, const float *x, size_t at, size_t end,
				  size_t cols, const float *weight)
{
	b->n = end - at < IQ4_BATCH ? end - at : IQ4_BATCH;
	b->x = x + at;
	b->importance = weight ? b->weights : NULL;
	if (b->n < IQ4_BATCH) {
		memset(b->padded, 0, sizeof(b->padded));
		memcpy(b->padded, b->x, b->n * sizeof(*x));
		b->x = b->padded;
	}
	for (size_t i = 0; weight && i < IQ4_BATCH; i += 32)
		memcpy(b->weights + i, weight + (at + i) % cols, 32 * sizeof(*weight));
}

/* The scales of a batch's groups; sigma2 as in iq4_load(). */
static inline void iq4_scales(const struct iq4_tables *t, const struct iq4_batch *b,
			      const float *sigma2, float scale[IQ4_GROUPS])
{
	for (int k = 0; k < IQ4_GROUPS; k += LANES) {
		struct iq4_groups g;

		iq4_load(b->x + 32 * k, b->importance ? b->importance + 32 * k : NULL,
			 sigma2 ? sigma2 + k : NULL, &g);
		lanes_store(scale + k, iq4_search(t, &g));
	}
}

static void iq4_nl_quantize(const float *x, void *dst, size_t rows, size_t cols,
			    const float *weight)
{
	struct qc_block_iq4_nl *block = dst;
	struct iq4_tables tables = iq4_tables_load();

	for (size_t at = 0; at < rows * cols; at += IQ4_BATCH) {
		struct iq4_batch b;
		float scale[IQ4_GROUPS];

		iq4_batch_init(&b, x, at, rows * cols, cols, weight);
		iq4_scales(&tables, &b, NULL, scale);
		for (size_t k = 0; k < b.n / 32; k++, block++) {
			iq4_put(&tables, b.x + 32 * k, scale[k], block->q);
			qc_put_f16(block->d, scale[k]);
		}
	}
}

/* The variance of each group's super-block, twice. */
static inline void iq4_xs_sigma2(const float *x, float sigma2[IQ4_GROUPS])
{
	float blocks[4 * 256] = {0}, sums[4];

	memcpy(blocks, x, IQ4_BATCH * sizeof(*x));
	quad_store(sums, lanes_square_sums(blocks) * quad_set(2.0f / 256));
	for (int i = 0; i < IQ4_GROUPS; i++)
		sigma2[i] = sums[i / 8];
}

static inline void iq4_xs_encode(const struct iq4_tables *t, const float *x, const float scale[8],
				 struct qc_block_iq4_xs *block)
{
	float magnitude = 0, max = 0, d, inverse;
	unsigned high = 0, low = 0;

	for (int g = 0; g < 8; g++) {
		float m = scale[g] < 0 ? -scale[g] : scale[g];

		max = m > magnitude ? scale[g] : max;
		magnitude = m > magnitude ? m : magnitude;
	}
	d = -max / 32;
	inverse = d != 0 ? 1 / d : 0;
	qc_put_f16(block->d, d);
	for (int g = 0; g < 8; g++) {
		int code = qc_clamp(qc_nearest(inverse * scale[g]), -32, 31);

		iq4_put(t, x + 32 * g, d * (float)code, block->q + 16 * g);
		low |= (unsigned)((code + 32) & 15) << (4 * g);
		high |= (unsigned)(code + 32) >> 4 << (2 * g);
	}
	qc_put_le32(block->scales_low, low);
	qc_put_le16(block->scales_high, (uint16_t)high);
}

static void iq4_xs_quantize(const float *x, void *dst, size_t rows, size_t cols,
			    const float *weight)
{
	struct qc_block_iq4_xs *block = dst;
	struct iq4_tables tables = iq4_tables_load();

	for (size_t at = 0; at < rows * cols; at += IQ4_BATCH) {
		float sigma2[IQ4_GROUPS] = {0}, scale[IQ4_GROUPS];
		struct iq4_batch b;

		iq4_batch_init(&b, x, at, rows * cols, cols, weight);
		if (weight)
			iq4_xs_sigma2(b.x, sigma2);
		iq4_scales(&tables, &b, sigma2, scale);
		for (size_t k = 0; k < b.n / 256; k++)
			iq4_xs_encode(&tables, b.x + 256 * k, scale + 8 * k, block++);
	}
}

/* 32 values: d * level */
static inline void iq4_decode(const uint8_t q[16], float d, float *x)
{
	bytes16 levels = bytes16_load(qc_iq4_levels), codes = bytes16_load(q);
	bytes16 low = bytes16_look_up(levels, bytes16_low4(codes));
	bytes16 high = bytes16_look_up(levels, bytes16_high4(codes));
	lanes v[32 / LANES];

	lanes_from_signed(bytes32_join(low, high), v);
#pragma GCC unroll 8
	for (int i = 0; i < 32 / LANES; i++)
		lanes_store(x + i * LANES, lanes_set(d) * v[i]);
}

static void iq4_nl_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq4_nl *b = src;

	for (size_t n = 0; n < n_blocks; n++, b++, x += 32)
		iq4_decode(b->q, qc_get_f16(b->d), x);
}

static void iq4_xs_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq4_xs *b = src;

	for (size_t n = 0; n < n_blocks; n++, b++) {
		unsigned high = qc_le16(b->scales_high), low = qc_le32(b->scales_low);
		float d = qc_get_f16(b->d);

		for (int g = 0; g < 8; g++, x += 32) {
			int code = (int)((low >> (4 * g) & 15) | (high >> (2 * g) & 3) << 4) - 32;

			iq4_decode(b->q + 16 * g, d * (float)code, x);
		}
	}
}

#endif
#endif
