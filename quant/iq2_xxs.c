/*
 * iq2_xxs: 256 values in 66 bytes, 2.0625 bits per weight: eight groups g of 32 values, as four
 * points of a grid with 256 of them.
 *
 *   byte    0      2                                    66
 *           | d    | group 0 | group 1 | ... | group 7  |
 *             f16
 *
 *   group   byte k = 0..3: the code of point k, that is of elements 8 k .. 8 k + 7, then a
 *           little-endian word: bits 7 k .. 7 k + 6 the signs of the first seven of them (the
 *           eighth sign makes the number of minus signs even), bits 28..31 the scale s
 *
 *   x[32 g + 8 k + i] = +- d * (s + 1/2) / 4 * level, where the i-th coordinate 0, 1, 2 of the
 *   point means the level 8, 25 or 43
 *
 * Encoding without importance (which the reference refuses) weighs with the squares.
 */
#include <string.h>

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/iq_search.h"
#include "quant/kscale.h"
#include "quant/search.h"
#include "quant/types.h"

static const struct qc_iq_search search = {
	.grid = &qc_grid_iq2_xxs,
	.near = &qc_near_iq2_xxs,
	.group = 32,
	.even_signs = true,
	.fit_range = true,
	.epsilon = QC_GROUP_EPS,
	.step = 0.1f,
	.last = 6,
	.again = QC_IQ_AGAIN_ALL,
};

void qc_iq2_xxs_encode(const struct qc_iq_kernel *kernel, const float *x, const float *importance,
		       void *dst)
{
	struct qc_block_iq2_xxs *block = dst;
	struct qc_iq_group groups[8];
	float weight[256], max, d;

	qc_search_weights(x, importance, qc_mean_square(x, 256), 256, weight);
	max = qc_iq_fit(kernel, &search, x, weight, groups);
	d = max / 31;
	memset(block, 0, sizeof(*block));
	if (max == 0)
		return;
	qc_put_f16(block->d, d);
	for (int g = 0; g < 8; g++) {
		uint32_t word = (uint32_t)qc_iq_scale_code(groups[g].scale, d, 15) << 28;

		for (int k = 0; k < 4; k++) {
			block->groups[g][k] = (uint8_t)groups[g].code[k];
			word |= (uint32_t)(groups[g].signs[k] & 127) << (7 * k);
		}
		qc_put_le32(block->groups[g] + 4, word);
	}
}

static void iq2_xxs_quantize(const float *x, void *dst, size_t rows, size_t cols,
			     const float *weight)
{
	qc_iq_quantize(&qc_iq2_xxs, qc_iq2_xxs_encode, &qc_iq_scalar, x, dst, rows, cols, weight);
}

static void iq2_xxs_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq2_xxs *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		for (int g = 0; g < 8; g++) {
			uint32_t word = qc_le32(block->groups[g] + 4);
			float d = qc_get_f16(block->d) * (0.5f + (float)(word >> 28)) * 0.25f;

			for (int k = 0; k < 4; k++, x += 8)
				qc_iq_decode(&qc_grid_iq2_xxs, block->groups[g][k], qc_iq2_levels,
					     d, qc_iq_even_signs(word >> (7 * k) & 127), x);
		}
	}
}

static size_t iq2_xxs_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_iq2_xxs), 0, 1);
}

const struct qc_qtype qc_iq2_xxs = {
	.name = "iq2_xxs",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_iq2_xxs),
	.needs_imatrix = true,
	.uses_imatrix = true,
	.quantize = iq2_xxs_quantize,
	.search = qc_search_iq2_xxs,
	.dequantize = iq2_xxs_dequantize,
	.check = iq2_xxs_check,
	.words = {{0, 2, 33}},
};
