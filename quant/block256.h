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

static inline float qc_abs_max(const float *x, size_t n)
{
	float max = 0;

	for (size_t i = 0; i < n; i++)
		max = max > fabsf(x[i]) ? max : fabsf(x[i]);
	return max;
}

/* The low two bits of 256 codes: byte 32 h + i holds elements 128 h + i, + 32, + 64 and + 96, the
 * first lowest. */
static inline void qc_pack_pairs256(const uint8_t codes[256], uint8_t out[64])
{
	for (int j = 0; j < 64; j++) {
		const uint8_t *q = codes + j / 32 * 128 + j % 32;

		out[j] = (uint8_t)((q[0] & 3) | (q[32] & 3) << 2 | (q[64] & 3) << 4 |
				   (q[96] & 3) << 6);
	}
}

/* The two bits of element j. */
static inline int qc_pair_at(const uint8_t packed[64], int j)
{
	return packed[j / 128 * 32 + j % 32] >> (j / 32 % 4 * 2) & 3;
}

#endif
