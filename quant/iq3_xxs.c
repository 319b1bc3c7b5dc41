/*
 * iq3_xxs: 256 values in 98 bytes, 3.0625 bits per weight: eight groups g of 32 values, as eight
 * points of a grid with 256 of them.
 *
 *   byte    0      2                66                98
 *           | d    | q              | words           |
 *             f16
 *
 *   q       byte j: the code of elements 4 j .. 4 j + 3
 *   words   little-endian word g: bits 7 k .. 7 k + 6 the signs of the first seven of elements
 *           32 g + 8 k .. 32 g + 8 k + 7 (the eighth makes the number of minus signs even), bits
 *           28..31 the scale s[g]
 *
 *   x[4 j + i] = +- d * (s[j / 8] + 1/2) / 2 * level, where the i-th coordinate of the point means
 *   a level below
 */
#include <string.h>

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/iq_search.h"
#include "quant/search.h"
#include "quant/types.h"

const float qc_iq3_xxs_levels[8] = {4, 12, 20, 28, 36, 44, 52, 62};

static const struct qc_iq_search search = {
	.grid = &qc_grid_iq3_xxs,
	.near = &qc_near_iq3_xxs,
	.group = 32,
	.even_signs = true,
	.epsilon = 1e-8f,
	.step = 0.2f,
	.last = 15,
	.again = QC_IQ_AGAIN_OFF_GRID,
};

void qc_iq3_xxs_encode(const struct qc_iq_kernel *kernel, const float *x, const float *importance,
		       void *dst)
{
	struct qc_block_iq3_xxs *block = dst;
	struct qc_iq_group groups[8];
	float weight[256], max, d;

	qc_search_weights(x, importance, 2 * qc_square_sum(x, 256) / 256, 256, weight);
	max = qc_iq_fit(kernel, &search, x, weight, groups);
	d = max / 31;
	memset(block, 0, sizeof(*block));
	if (max == 0)
		return;
	qc_put_f16(block->d, d * 1.0125f); /* found by trial, in the reference */
	for (int g = 0; g < 8; g++) {
		uint32_t word = (uint32_t)qc_iq_scale_code(groups[g].scale, d, 15) << 28;

		for (int k = 0; k < 4; k++)
			word |= (uint32_t)(groups[g].signs[k] & 127) << (7 * k);
		qc_put_le32(block->words[g], word);
		for (int k = 0; k < 8; k++)
			block->q[8 * g + k] = (uint8_t)groups[g].code[k];
	}
}

static void iq3_xxs_quantize(const float *x, void *dst, size_t rows, size_t cols,
			     const float *weight)
{
	qc_iq_quantize(&qc_iq3_xxs, qc_iq3_xxs_encode, &qc_iq_scalar, x, dst, rows, cols, weight);
}

static void iq3_xxs_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq3_xxs *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		for (int j = 0; j < 64; j++, x += 4) {
			uint32_t word = qc_le32(block->words[j / 8]);
			float d = qc_get_f16(block->d) * (0.5f + (float)(word >> 28)) * 0.5f;
			unsigned signs = qc_iq_even_signs(word >> (j / 2 % 4 * 7) & 127);

			qc_iq_decode(&qc_grid_iq3_xxs, block->q[j], qc_iq3_xxs_levels, d,
				     signs >> (j % 2 * 4), x);
		}
	}
}

static size_t iq3_xxs_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_iq3_xxs), 0, 1);
}

const struct qc_qtype qc_iq3_xxs = {
	.name = "iq3_xxs",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_iq3_xxs),
	.uses_imatrix = true,
	.quantize = iq3_xxs_quantize,
	.search = qc_search_iq3_xxs,
	.dequantize = iq3_xxs_dequantize,
	.check = iq3_xxs_check,
	.words = {{0, 2, 1}, {66, 4, 8}},
};
