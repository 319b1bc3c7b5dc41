/*
 * iq2_s: 256 values in 82 bytes, 2.5625 bits per weight: sixteen groups g of 16 values, as two
 * points of a grid with 1024 of them.
 *
 *   byte    0      2          34          66       74       82
 *           | d    | q        | signs     | high   | scales |
 *             f16
 *
 *   q       byte j: the lower eight bits of the code of elements 8 j .. 8 j + 7
 *   signs   byte j: their signs, bit i for element 8 j + i
 *   high    the upper two bits of the code: bit 2 (j mod 4) of byte j / 4
 *   scales  s[g]: a nibble of byte g / 2, the low one for even g
 *
 *   x[8 j + i] = +- d * (s[j / 2] + 1/2) / 4 * level, where the i-th coordinate 0, 1, 2 of the
 *   point means the level 8, 25 or 43
 */
#include <string.h>

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/iq_search.h"
#include "quant/search.h"
#include "quant/types.h"

static const struct qc_iq_search search = {
	.grid = &qc_grid_iq2_s,
	.near = &qc_near_iq2_s,
	.group = 16,
	.epsilon = 1e-8f,
	.step = 0.1f,
	.last = 9,
	.again = QC_IQ_AGAIN_OFF_GRID,
};

/* Unlike the others, a block without importance has a weight at 0. */
static void iq2_s_weights(const float *x, const float *importance, float weight[256])
{
	float sigma2 = 2 * qc_square_sum(x, 256) / 256;

	if (importance)
		qc_importance(x, importance, sigma2, 256, weight);
	else
		for (int i = 0; i < 256; i++)
			weight[i] = 0.25f * sigma2 + x[i] * x[i];
}

void qc_iq2_s_encode(const struct qc_iq_kernel *kernel, const float *x, const float *importance,
		     void *dst)
{
	struct qc_block_iq2_s *block = dst;
	struct qc_iq_group groups[16];
	float weight[256], max, d;

	iq2_s_weights(x, importance, weight);
	max = qc_iq_fit(kernel, &search, x, weight, groups);
	d = max / 31;
	memset(block, 0, sizeof(*block));
	for (int j = 0; j < 32; j++) {
		unsigned code = groups[j / 2].code[j % 2];

		block->q[j] = (uint8_t)code;
		block->signs[j] = groups[j / 2].signs[j % 2];
		block->high[j / 4] |= (uint8_t)(code >> 8 << (j % 4 * 2));
	}
	if (max == 0)
		return;
	qc_put_f16(block->d, d * 0.9875f); /* found by trial, in the reference */
	for (int g = 0; g < 16; g++) {
		int code = qc_iq_scale_code(groups[g].scale, d, 15);

		block->scales[g / 2] |= (uint8_t)(code << (g % 2 * 4));
	}
}

static void iq2_s_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_iq_quantize(&qc_iq2_s, qc_iq2_s_encode, &qc_iq_scalar, x, dst, rows, cols, weight);
}

static void iq2_s_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq2_s *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		for (int j = 0; j < 32; j++, x += 8) {
			int code = block->scales[j / 4] >> (j / 2 % 2 * 4) & 15;
			float d = qc_get_f16(block->d) * (0.5f + (float)code) * 0.25f;
			unsigned high = block->high[j / 4] >> (j % 4 * 2) & 3;

			qc_iq_decode(&qc_grid_iq2_s, block->q[j] | high << 8, qc_iq2_levels, d,
				     block->signs[j], x);
		}
	}
}

static size_t iq2_s_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_iq2_s), 0, 1);
}

const struct qc_qtype qc_iq2_s = {
	.name = "iq2_s",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_iq2_s),
	.uses_imatrix = true,
	.quantize = iq2_s_quantize,
	.search = qc_search_iq2_s,
	.dequantize = iq2_s_dequantize,
	.check = iq2_s_check,
	.words = {{0, 2, 1}},
};
