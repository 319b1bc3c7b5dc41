/*
 * q6_K: 256 values in 210 bytes, 6.5625 bits per weight, symmetric: sixteen groups g of 16 with an
 * 8-bit scale each.
 *
 *   byte    0              128       192          208    210
 *           | low          | high    | sc         | d    |
 *                                      int8[16]     f16
 *
 *   low, high   element 128 h + 32 k + i (h = 0..1, k = 0..3, i = 0..31) has its low nibble in byte
 *               64 h + 32 (k mod 2) + i of low, in the byte's upper half for k >= 2, and its upper
 *               two bits at bit 2 k of byte 32 h + i of high
 *
 *   x[16 g + i] = d * sc[g] * (q[16 g + i] - 32)
 */
#include <math.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/kpack.h"
#include "quant/kscale.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

void qc_q6_K_pack(const uint8_t codes[256], struct qc_block_q6_K *block)
{
	for (int half = 0; half < 2; half++) {
		const uint8_t *q = codes + 128 * half;
		uint8_t *low = block->low + 64 * half, *high = block->high + 32 * half;

		for (int i = 0; i < 32; i++) {
			low[i] = (uint8_t)((q[i] & 15) | (q[i + 64] & 15) << 4);
			low[i + 32] = (uint8_t)((q[i + 32] & 15) | (q[i + 96] & 15) << 4);
			high[i] = (uint8_t)(q[i] >> 4 | q[i + 32] >> 4 << 2 | q[i + 64] >> 4 << 4 |
					    q[i + 96] >> 4 << 6);
		}
	}
}

/* Search each group's scale; returns the one of largest magnitude. Without importance the squares
 * weigh. */
static float q6_K_fit(const float *x, const float *importance, uint8_t codes[256], float scales[16])
{
	float weight[16], max = 0;

	for (int g = 0; g < 16; g++) {
		for (int i = 0; i < 16; i++)
			weight[i] =
				importance ? importance[16 * g + i] : x[16 * g + i] * x[16 * g + i];
		scales[g] = qc_search_symmetric(x + 16 * g, weight, 16, 32, codes + 16 * g);
		if (fabsf(scales[g]) > fabsf(max))
			max = scales[g];
	}
	return max;
}

static void q6_K_encode(const float *x, const float *importance, struct qc_block_q6_K *block)
{
	uint8_t codes[256];
	float scales[16], max = q6_K_fit(x, importance, codes, scales), inverse, d;

	if (fabsf(max) < QC_GROUP_EPS) {
		memset(block, 0, sizeof(*block));
		return;
	}
	inverse = -128 / max;
	qc_put_f16(block->d, 1 / inverse);
	d = qc_get_f16(block->d);
	for (int g = 0; g < 16; g++) {
		int code = qc_nearest(inverse * scales[g]);
		float scale;

		block->scales[g] = (int8_t)(code < 127 ? code : 127);
		scale = d * (float)block->scales[g];
		if (scale == 0) /* the search's codes stay */
			continue;
		for (int i = 16 * g; i < 16 * g + 16; i++)
			codes[i] = (uint8_t)(32 + qc_clamp(qc_nearest(x[i] / scale), -32, 31));
	}
	qc_q6_K_pack(codes, block);
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
	const struct qc_block_q6_K *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		float d = qc_get_f16(block->d);

		for (int j = 0; j < 256; j++) {
			int half = j / 128, k = j / 32 % 4, i = j % 32;
			int low = block->low[64 * half + k % 2 * 32 + i] >> (k / 2 * 4) & 15;
			int high = block->high[32 * half + i] >> (2 * k) & 3;

			*x++ = d * (float)block->scales[j / 16] * (float)((low | high << 4) - 32);
		}
	}
}

static size_t q6_K_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_q6_K),
			    offsetof(struct qc_block_q6_K, d), 1);
}

const struct qc_qtype qc_q6_K = {
	.name = "q6_K",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_q6_K),
	.uses_imatrix = true,
	.quantize = q6_K_quantize,
	.search = qc_search_q6_K,
	.dequantize = q6_K_dequantize,
	.check = q6_K_check,
	.words = {{offsetof(struct qc_block_q6_K, d), 2, 1}},
};
