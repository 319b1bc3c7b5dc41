/*
 * What the 32-element types share: the row loop, the importance of each value, and the packing of
 * 4- and 5-bit codes. Element j and element j + 16 share byte j: the lower half of the block lies
 * in the low nibbles.
 */
#ifndef QC_QUANT_BLOCK32_H
#define QC_QUANT_BLOCK32_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "quant/round.h"

/* Encode 32 values; `weight` holds 32 search weights, or is NULL for the plain rounding. */
typedef void qc_encode32_fn(const float *x, const float *weight, uint8_t *block);

/* Mean of the squares of a row: a sequential f32 sum. */
static inline float qc_mean_square(const float *x, size_t cols)
{
	float sum = 0;

	for (size_t i = 0; i < cols; i++)
		sum += x[i] * x[i];
	return sum / (float)cols;
}

/* out[i] = importance[i] * sqrt(sigma2 + x[i]^2): the search weights of n values in a row or block
 * of variance sigma2. */
static inline void qc_importance(const float *x, const float *importance, float sigma2, size_t n,
				 float *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = importance[i] * sqrtf(sigma2 + x[i] * x[i]);
}

/* The row loop of qc_quantize_fn for a 32-element type. Search weights come from the variance of
 * the whole row. */
static inline void qc_encode_rows32(const float *x, uint8_t *block, size_t rows, size_t cols,
				    const float *importance, size_t block_bytes,
				    qc_encode32_fn *encode)
{
	float weight[32], sigma2 = 0;

	for (size_t row = 0; row < rows; row++) {
		if (importance)
			sigma2 = qc_mean_square(x, cols);
		for (size_t col = 0; col < cols; col += 32, x += 32, block += block_bytes) {
			if (importance)
				qc_importance(x, importance + col, sigma2, 32, weight);
			encode(x, importance ? weight : NULL, block);
		}
	}
}

/* The value of largest magnitude, with its sign; the first of equals. */
static inline float qc_signed_max(const float *x, int n)
{
	float magnitude = 0, value = 0;

	for (int i = 0; i < n; i++) {
		if (fabsf(x[i]) > magnitude) {
			magnitude = fabsf(x[i]);
			value = x[i];
		}
	}
	return value;
}

struct qc_range {
	float min, max;
};

static inline struct qc_range qc_range_of(const float *x, int n)
{
	struct qc_range r = {x[0], x[0]};

	for (int i = 1; i < n; i++) {
		if (x[i] < r.min)
			r.min = x[i];
		if (x[i] > r.max)
			r.max = x[i];
	}
	return r;
}

/* codes[j] = (x[j] - min) / d + offset truncated and at most `top`, with the reference's reciprocal
 * of d. */
static inline void qc_round_codes(const float *x, float min, float d, float offset, int top,
				  uint8_t codes[32])
{
	float inverse = d != 0 ? 1 / d : 0;

	for (int j = 0; j < 32; j++) {
		int code = qc_truncate((x[j] - min) * inverse + offset);

		codes[j] = (uint8_t)(code < top ? code : top);
	}
}

/* The low four bits of 32 codes. */
static inline void qc_pack_nibbles(const uint8_t codes[32], uint8_t out[16])
{
	for (int j = 0; j < 16; j++)
		out[j] = (uint8_t)((codes[j] & 15) | (codes[j + 16] & 15) << 4);
}

/* Bit 4 of 32 codes as a little-endian word: bit j belongs to element j. */
static inline void qc_pack_fifth_bits(const uint8_t codes[32], uint8_t out[4])
{
	uint32_t bits = 0;

	for (int j = 0; j < 32; j++)
		bits |= (uint32_t)(codes[j] >> 4 & 1) << j;
	qc_put_le32(out, bits);
}

/* The inverse of both; `high` is the word of fifth bits, 0 for 4-bit codes. */
static inline void qc_unpack_codes(const uint8_t q[16], uint32_t high, uint8_t codes[32])
{
	for (int j = 0; j < 16; j++) {
		codes[j] = (uint8_t)((q[j] & 15) | (high >> j & 1) << 4);
		codes[j + 16] = (uint8_t)(q[j] >> 4 | (high >> (j + 16) & 1) << 4);
	}
}

#endif
