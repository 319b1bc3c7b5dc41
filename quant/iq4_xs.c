/*
 * iq4_xs: 256 values in 136 bytes, 4.25 bits per weight, on a non-linear scale: eight groups g of
 * 32 with a 6-bit scale each.
 *
 *   byte    0      2      4     8              136
 *           | d    | high | low | q            |
 *             f16
 *
 *   high    little-endian word: the upper two bits of sc[g] at bit 2 g
 *   low     the lower four bits of sc[g]: byte g / 2, the low nibble for even g
 *   q       byte 16 g + j: elements 32 g + j (low nibble) and 32 g + 16 + j (high)
 *
 *   x[32 g + i] = d * (sc[g] - 32) * level[q[32 g + i]], the levels of iq4.h
 */
#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/iq4.h"
#include "quant/search.h"
#include "quant/types.h"

static void iq4_xs_encode(const float *x, const float *importance, void *dst)
{
	struct qc_block_iq4_xs *block = dst;
	float weight[32], sigma2 = qc_square_sum(x, 256) * (2.0f / 256), scale[8], d, inverse;
	unsigned high = 0, low = 0;

	for (int g = 0; g < 8; g++) {
		qc_search_weights(x + 32 * g, importance ? importance + 32 * g : NULL, sigma2, 32,
				  weight);
		scale[g] = qc_iq4_search(x + 32 * g, weight);
	}
	d = -qc_signed_max(scale, 8) / 32;
	inverse = d != 0 ? 1 / d : 0;
	qc_put_f16(block->d, d);
	for (int g = 0; g < 8; g++) {
		int code = qc_clamp(qc_nearest(inverse * scale[g]), -32, 31);
		uint8_t codes[32];

		qc_iq4_codes(x + 32 * g, d * (float)code, codes);
		qc_pack_nibbles(codes, block->q + 16 * g);
		low |= (unsigned)((code + 32) & 15) << (4 * g);
		high |= (unsigned)(code + 32) >> 4 << (2 * g);
	}
	qc_put_le32(block->scales_low, low);
	qc_put_le16(block->scales_high, (uint16_t)high);
}

static void iq4_xs_quantize(const float *x, void *dst, size_t rows, size_t cols,
			    const float *weight)
{
	qc_encode_rows256(x, dst, rows, cols, weight, sizeof(struct qc_block_iq4_xs),
			  iq4_xs_encode);
}

static void iq4_xs_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq4_xs *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		unsigned high = qc_le16(block->scales_high), low = qc_le32(block->scales_low);
		float d = qc_get_f16(block->d);

		for (int g = 0; g < 8; g++, x += 32) {
			int code = (int)((low >> (4 * g) & 15) | (high >> (2 * g) & 3) << 4) - 32;

			qc_iq4_decode(block->q + 16 * g, d * (float)code, x);
		}
	}
}

static size_t iq4_xs_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_iq4_xs), 0, 1);
}

const struct qc_qtype qc_iq4_xs = {
	.name = "iq4_xs",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_iq4_xs),
	.uses_imatrix = true,
	.quantize = iq4_xs_quantize,
	.search = qc_search_iq4_xs,
	.dequantize = iq4_xs_dequantize,
	.check = iq4_xs_check,
	.words = {{0, 2, 2}},
};
