/*
 * iq3_s: 256 values in 110 bytes, 3.4375 bits per weight: eight groups g of 32 values, as eight
 * points of a grid with 512 of them.
 *
 *   byte    0      2              66       74         106      110
 *           | d    | q            | high   | signs    | scales |
 *             f16
 *
 *   q       byte j: the lower eight bits of the code of elements 4 j .. 4 j + 3
 *   high    the ninth bit: bit j mod 8 of byte j / 8
 *   signs   bit i of byte k: element 8 k + i is negative
 *   scales  s[g]: a nibble of byte g / 2, the low one for even g
 *
 *   x[4 j + i] = +- d * (2 s[j / 8] + 1) * (2 l + 1), l the i-th coordinate of the point
 */
#include <string.h>

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/iq_search.h"
#include "quant/search.h"
#include "quant/types.h"

const float qc_iq3_s_levels[8] = {1, 3, 5, 7, 9, 11, 13, 15};

static const struct qc_iq_search search = {
	.grid = &qc_grid_iq3_s,
	.near = &qc_near_iq3_s,
	.group = 32,
	.epsilon = 0x1p-149f, /* only zeros are below it */
	.step = 0.2f,
	.last = 9,
	.again = QC_IQ_AGAIN_IF_OFF,
};

/*
 * The reference writes codes and signs of a group behind those of the last group that was not zero,
 * but the ninth bits in their own place: behind a group of zeros, what is in the block does not fit
 * together. Its bytes are the definition, so they are the same here.
 */
static void iq3_s_pack(const struct qc_iq_group groups[8], struct qc_block_iq3_s *block)
{
	uint8_t *q = block->q, *signs = block->signs;

	for (int g = 0; g < 8; g++) {
		if (!groups[g].coded)
			continue;
		for (int k = 0; k < 8; k++) {
			*q++ = (uint8_t)groups[g].code[k];
			block->high[g] |= (uint8_t)(groups[g].code[k] >> 8 << k);
		}
		for (int k = 0; k < 4; k++)
			*signs++ = groups[g].signs[k];
	}
}

void qc_iq3_s_encode(const struct qc_iq_kernel *kernel, const float *x, const float *importance,
		     void *dst)
{
	struct qc_block_iq3_s *block = dst;
	struct qc_iq_group groups[8];
	float weight[256], max, d;

	qc_search_weights(x, importance, 2 * qc_square_sum(x, 256) / 256, 256, weight);
	max = qc_iq_fit(kernel, &search, x, weight, groups);
	d = max / 31;
	memset(block, 0, sizeof(*block));
	iq3_s_pack(groups, block);
	if (max == 0)
		return;
	qc_put_f16(block->d, d * 1.033f); /* found by trial, in the reference */
	for (int g = 0; g < 8; g++) {
		int code = qc_iq_scale_code(groups[g].scale, d, 15);

		block->scales[g / 2] |= (uint8_t)(code << (g % 2 * 4));
	}
}

static void iq3_s_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_iq_quantize(&qc_iq3_s, qc_iq3_s_encode, &qc_iq_scalar, x, dst, rows, cols, weight);
}

static void iq3_s_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq3_s *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		for (int j = 0; j < 64; j++, x += 4) {
			int code = block->scales[j / 16] >> (j / 8 % 2 * 4) & 15;
			float d = qc_get_f16(block->d) * (float)(1 + 2 * code);
			unsigned high = block->high[j / 8] >> (j % 8) & 1;

			qc_iq_decode(&qc_grid_iq3_s, block->q[j] | high << 8, qc_iq3_s_levels, d,
				     block->signs[j / 2] >> (j % 2 * 4), x);
		}
	}
}

static size_t iq3_s_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_iq3_s), 0, 1);
}

const struct qc_qtype qc_iq3_s = {
	.name = "iq3_s",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_iq3_s),
	.uses_imatrix = true,
	.quantize = iq3_s_quantize,
	.search = qc_search_iq3_s,
	.dequantize = iq3_s_dequantize,
	.check = iq3_s_check,
	.words = {{0, 2, 1}},
};
