/*
 * q6_K with one group of 16 per lane: the search runs on transposed super-blocks
 * (symmetric_search.h), the final codes and the packing in storage order.
 */
#ifndef QC_QUANT_X86_SYMMETRIC_KERNELS_H
#define QC_QUANT_X86_SYMMETRIC_KERNELS_H

#include "quant/x86/symmetric_search.h"

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
LANES_INLINE __m256i symmetric_encode(const float *x, const struct symmetric_found *found, size_t j,
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

static inline void q6_K_put(const __m256i code[8], struct qc_block_q6_K *b)
{
	for (int half = 0; half < 2; half++) {
		const __m256i *q = code + 4 * half;
		__m256i high01, high23;

		high01 =
			_mm256_or_si256(lanes_high4(q[0]), _mm256_slli_epi16(lanes_high4(q[1]), 2));
		high23 =
			_mm256_or_si256(lanes_high4(q[2]), _mm256_slli_epi16(lanes_high4(q[3]), 2));
		lanes_put32(b->low + 64 * half, lanes_nibbles(lanes_low4(q[0]), lanes_low4(q[2])));
		lanes_put32(b->low + 64 * half + 32,
			    lanes_nibbles(lanes_low4(q[1]), lanes_low4(q[3])));
		lanes_put32(b->high + 32 * half, lanes_nibbles(high01, high23));
	}
}

static inline void q6_K_encode(const float *x, const float *importance, struct qc_block_q6_K *b)
{
	struct symmetric_found found;
	float top = 0, extreme = 0, inverse, d;
	__m256i code[8];

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
			__m256i low = lanes_get32(b->low + j / 4 * 64 + (j & 1) * 32);
			__m256i high = lanes_get32(b->high + j / 4 * 32);
			uint8_t bytes[32];

			low = j & 2 ? lanes_high4(low) : lanes_low4(low);
			high = _mm256_srl_epi16(high, _mm_cvtsi32_si128(2 * (j & 3)));
			high = _mm256_and_si256(high, _mm256_set1_epi8(3));
			lanes_put32(bytes, lanes_nibbles(low, high));
			for (int i = 0; i < 32; i += LANES) {
				lanes scale = lanes_set(d * (float)b->scales[2 * j + i / 16]);
				lanes code = lanes_from_bytes(bytes + i);

				lanes_store(x + i, scale * (code - lanes_set(32)));
			}
		}
	}
}

#endif
#endif
