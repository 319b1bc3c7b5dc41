/*
 * iq2_xs: 256 values in 74 bytes, 2.3125 bits per weight: sixteen groups g of 16 values, as two
 * points of a grid with 512 of them.
 *
 *   byte    0      2                  66       74
 *           | d    | q                | scales |
 *             f16
 *
 *   q       little-endian word j: bits 0..8 the code of elements 8 j .. 8 j + 7, bits 9..15 the
 *           signs of the first seven (the eighth makes the number of minus signs even)
 *   scales  s[g]: a nibble of byte g / 2, the low one for even g
 *
 *   x[8 j + i] = +- d * (s[j / 2] + 1/2) / 4 * level, where the i-th coordinate 0, 1, 2 of the
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
	.grid = &qc_grid_iq2_xs,
	.near = &qc_near_iq2_xs,
	.group = 16,
	.even_signs = true,
	.epsilon = QC_GROUP_EPS,
	.step = 0.1f,
	.last = 9,
	.again = QC_IQ_AGAIN_OFF_GRID,
};

void qc_iq2_xs_encode(const struct qc_iq_kernel *kernel, const float *x, const float *importance,
		      void *dst)
{
	struct qc_block_iq2_xs *block = dst;
	struct qc_iq_group groups[16];
	float weight[256], max, d;

	qc_search_weights(x, importance, qc_mean_square(x, 256), 256, weight);
	max = qc_iq_fit(kernel, &search, x, weight, groups);
	d = max / 31;
	memset(block, 0, sizeof(*block));
	if (max == 0)
		return;
	qc_put_f16(block->d, d);
	for (int g = 0; g < 16; g++) {
		int code = qc_iq_scale_code(groups[g].scale, d, 15);

		block->scales[g / 2] |= (uint8_t)(code << (g % 2 * 4));
		for (int k = 0; k < 2; k++)
			qc_put_le16(block->q[2 * g + k],
				    (uint16_t)(groups[g].code[k] | groups[g].signs[k] << 9));
	}
}

static void iq2_xs_quantize(const float *x, void *dst, size_t rows, size_t cols,
			    const float *weight)
{
	qc_iq_quantize(&qc_iq2_xs, qc_iq2_xs_encode, &qc_iq_scalar, x, dst, rows, cols, weight);
}

static void iq2_xs_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq2_xs *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		for (int j = 0; j < 32; j++, x += 8) {
			unsigned word = qc_le16(block->q[j]);
			int code = block->scales[j / 4] >> (j / 2 % 2 * 4) & 15;
			float d = qc_get_f16(block->d) * (0.5f + (float)code) * 0.25f;

			qc_iq_decode(&qc_grid_iq2_xs, word & 511, qc_iq2_levels, d,
				     qc_iq_even_signs(word >> 9), x);
		}
	}
}

static size_t iq2_xs_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_iq2_xs), 0, 1);
}

const struct qc_qtype qc_iq2_xs = {
	.name = "iq2_xs",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_iq2_xs),
	.needs_imatrix = true,
	.uses_imatrix = true,
	.quantize = iq2_xs_quantize,
	.search = qc_search_iq2_xs,
	.dequantize = iq2_xs_dequantize,
	.check = iq2_xs_check,
	.words = {{0, 2, 33}},
};
