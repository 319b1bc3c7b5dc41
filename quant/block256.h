/*
 * What types with blocks of 256 share: the row loop, the weights of a search, and the packing of
 * 2-bit codes.
 */
#ifndef QC_QUANT_BLOCK256_H
#define QC_QUANT_BLOCK256_H

#include <stddef.h>
#include <stdint.h>

#include "quant/block32.h"

/* Encode 256 values; `importance` holds 256 values, or is NULL. */
typedef void qc_encode256_fn(const float *x, const float *importance, void *block);

/* The row loop of qc_quantize_fn. */
static inline void qc_encode_rows256(const float *x, void *dst, size_t rows, size_t cols,
				     const float *importance, size_t block_bytes,
				     qc_encode256_fn *encode)
{
	uint8_t *block = dst;

	for (size_t row = 0; row < rows; row++)
		for (size_t col = 0; col < cols; col += 256, x += 256, block += block_bytes)
			encode(x, importance ? importance + col : NULL, block);
}

static inline float qc_square_sum(const float *x, size_t n)
{
	float sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i] * x[i];
	return sum;
}

/* The weights of n values of a block: with importance as qc_importance(), else their squares. */
static inline void qc_search_weights(const float *x, const float *importance, float sigma2,
				     size_t n, float *weight)
{
	if (importance)
		qc_importance(x, importance, sigma2, n, weight);
	else
		for (size_t i = 0; i < n; i++)
			weight[i] = x[i] * x[i];
}

/* The largest magnitude of n values, a multiple of 8. Eight maxima keep it from waiting on one. */
static inline float qc_abs_max(const float *x, size_t n)
{
	float largest[8] = {0}, max = 0;

	for (size_t i = 0; i < n; i += 8)
		for (size_t k = 0; k < 8; k++)
			largest[k] = largest[k] > fabsf(x[i + k]) ? largest[k] : fabsf(x[i + k]);
	for (int k = 0; k < 8; k++)
		max = max > largest[k] ? max : largest[k];
	return max;
}

/*
 * What the ternary types do to n values: 0, 1 or 2 for those nearest to -d, 0 and d, inverse = 1 /
 * d and d the largest magnitude; qc_round_away() + 1, without branches so that compilers make
 * vectors of it. An inverse that overflows gives infinities and NaN, and code 1.
 */
static inline void qc_ternary_codes(const float *x, float inverse, size_t n, uint8_t *codes)
{
	for (size_t j = 0; j < n; j++) {
		float v = x[j] * inverse;
		int up = (v >= 0.5f) & (v < 2), down = (v <= -0.5f) & (v > -2);

		codes[j] = (uint8_t)(1 + up - down);
	}
}

/* The low two bits of 256 codes: byte 32 h + i holds elements 128 h + i, + 32, + 64 and + 96, the
 * first lowest. */
static inline void qc_pack_pairs256(const uint8_t codes[restrict 256], uint8_t out[restrict 64])
{
	for (int half = 0; half < 2; half++, codes += 128, out += 32)
		for (int i = 0; i < 32; i++)
			out[i] = (uint8_t)((codes[i] & 3) | (codes[i + 32] & 3) << 2 |
					   (codes[i + 64] & 3) << 4 | (codes[i + 96] & 3) << 6);
}

/* The two bits of element j. */
static inline int qc_pair_at(const uint8_t packed[64], int j)
{
	return packed[j / 128 * 32 + j % 32] >> (j / 32 % 4 * 2) & 3;
}

#endif
