/*
 * q6_K with one group of 16 per lane: the search runs on transposed super-blocks
 * (symmetric_search.h), the final codes and the packing in storage order.
 */
#ifndef QC_QUANT_LANES_SYMMETRIC_KERNELS_H
#define QC_QUANT_LANES_SYMMETRIC_KERNELS_H

#include "quant/lanes/symmetric_search.h"

#ifdef LANES_INLINE

#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/round.h"
#include "quant/types.h"

/* What was found for each group of a super-block. */
struct symmetric_found {
	float scale[16], inverse[16];
};

/* Searches the 16 groups of a super-block; importance may be NULL. */
static inline void symmetric_fit(const float *x, const float *importance,
				 struct symmetric_found *found)
{
	for (size_t k = 0; k < 16; k += LANES) {
		struct symmetric_groups g;
		struct symmetric_best s;

		lanes_columns(x + k * 16, 16, g.x);
		if (importance)
			lanes_columns(importance + k * 16, 16, g.weight);
		else
			for (int i = 0; i < 16; i++)
				g.weight[i] = g.x[i] * g.x[i];
		for (int i = 0; i < 16; i++)
			g.wx[i] = g.weight[i] * g.x[i];
		s = symmetric_search(&g, 16, 32);
		lanes_store(found->scale + k, s.scale);
		lanes_store(found->inverse + k, s.inverse);
	}
}

/* 32 codes of groups j and j + 1 against the stored scales; where one is 0, the search's codes. */
LANES_INLINE bytes32 symmetric_encode(const float *x, const struct symmetric_found *found, size_t j,
				      float d, const int8_t *scales, int nmax)
{
	lanes_int v[32 / LANES];

	for (size_t i = 0; i < 32 / LANES; i++) {
		size_t group = j + i * LANES / 16;
		float scale = d * (float)scales[group], inverse = found->inverse[group];
		lanes in = lanes_load(x + 16 * j + i * LANES);

		in = scale != 0 ? in / lanes_set(scale) : lanes_set(inverse) * in;
		v[i] = lanes_int_clamp(lanes_nearest(in), -nmax, nmax - 1);
		v[i] = lanes_int_add(v[i], nmax);
		if (scale == 0 && inverse == 0) /* a zero group has code 0, not the code of 0 */
			v[i] = lanes_int_set(0);
	}
	return lanes_pack_bytes(v);
}

static inline void q6_K_put(const bytes32 code[8], struct qc_block_q6_K *b)
{
	for (int half = 0; half < 2; half++) {
		const bytes32 *q = code + 4 * half;
		bytes32 high01 = bytes32_twos(bytes32_high4(q[0]), bytes32_high4(q[1]));
		bytes32 high23 = bytes32_twos(bytes32_high4(q[2]), bytes32_high4(q[3]));

		bytes32_store(b->low + 64 * half,
			      bytes32_nibbles(bytes32_low4(q[0]), bytes32_low4(q[2])));
		bytes32_store(b->low + 64 * half + 32,
			      bytes32_nibbles(bytes32_low4(q[1]), bytes32_low4(q[3])));
		bytes32_store(b->high + 32 * half, bytes32_nibbles(high01, high23));
	}
}

static inline void q6_K_encode(const float *x, const float *importance, struct qc_block_q6_K *b)
{
	struct symmetric_found found;
	float top = 0, extreme = 0, inverse, d;
	bytes32 code[8];

	symmetric_fit(x, importance, &found);
	for (int g = 0; g < 16; g++) {
		float magnitude = fabsf(found.scale[g]);

		extreme = magnitude > top ? found.scale[g] : extreme;
		top = magnitude > top ? magnitude : top;
	}
	if (top < QC_GROUP_EPS) {
		memset(b, 0, sizeof(*b));
		return;
	}
	inverse = -128 / extreme;
	qc_put_f16(b->d, 1 / inverse);
	d = qc_get_f16(b->d);
	for (int g = 0; g < 16; g++) {
		int c = qc_nearest(inverse * found.scale[g]);

		b->scales[g] = (int8_t)(c < 127 ? c : 127);
	}
	for (size_t j = 0; j < 8; j++)
		code[j] = symmetric_encode(x, &found, 2 * j, d, b->scales, 32);
	q6_K_put(code, b);
}

static void q6_K_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_block_q6_K *block = dst;

	for (size_t row = 0; row < rows; row++)
		for (size_t col = 0; col < cols; col += 256, x += 256)
			q6_K_encode(x, weight ? weight + col : NULL, block++);
}

static void q6_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q6_K *b = src;

	for (size_t n = 0; n < n_blocks; n++, b++) {
		float d = qc_get_f16(b->d);

		for (int j = 0; j < 8; j++, x += 32) {
			bytes32 low = bytes32_load(b->low + j / 4 * 64 + (j & 1) * 32);
			bytes32 high = bytes32_two(bytes32_load(b->high + j / 4 * 32), j & 3);
			lanes v[32 / LANES];

			low = j & 2 ? bytes32_high4(low) : bytes32_low4(low);
			lanes_from_bytes(bytes32_nibbles(low, high), v);
#pragma GCC unroll 8
			for (int i = 0; i < 32 / LANES; i++) {
				int g = 2 * j + i * LANES / 16;
				lanes scale = lanes_set(d * (float)b->scales[g]);

				lanes_store(x + i * LANES, scale * (v[i] - lanes_set(32)));
			}
		}
	}
}

#endif
#endif
