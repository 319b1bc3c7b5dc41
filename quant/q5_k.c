/*
 * q5_K: 256 values in 176 bytes, 5.5 bits per weight: eight groups g of 32 with a 6-bit scale and
 * minimum each.
 *
 *   byte    0      2      4        16      48             176
 *           | d    | dmin | packed | high  | q            |
 *             f16    f16
 *
 *   packed  eight scales sc and eight minimums m, 6 bits each (kscale.h)
 *   high    bit g of byte i is the fifth bit of element 32 g + i
 *   q       byte 32 p + i: low nibbles of elements 64 p + i (low half) and 64 p + 32 + i (high)
 *
 *   x[32 g + i] = d * sc[g] * q[32 g + i] - dmin * m[g]
 */
#include "quant/blocks.h"
#include "quant/kpack.h"
#include "quant/kscale.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

const struct qc_kparams qc_q5_K_params = {
	.nmax = 31,
	.limit = 63,
	.plain = {.first = -0.5f, .step = 0.1f, .last = 15},
};

void qc_q5_K_pack(const uint8_t codes[256], struct qc_block_q5_K *block)
{
	qc_pack_nibbles256(codes, block->q);
	for (int i = 0; i < 32; i++) {
		int bits = 0;

		for (int group = 0; group < 8; group++)
			bits |= (codes[32 * group + i] >> 4) << group;
		block->high[i] = (uint8_t)bits;
	}
}

static void q5_K_encode(const float *x, const float *importance, struct qc_block_q5_K *block)
{
	uint8_t codes[256];

	qc_fit_affine256(x, importance, &qc_q5_K_params, &block->scales, codes);
	qc_q5_K_pack(codes, block);
}

static void q5_K_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_block_q5_K *block = dst;

	for (size_t row = 0; row < rows; row++)
		for (size_t col = 0; col < cols; col += 256, x += 256)
			q5_K_encode(x, weight ? weight + col : NULL, block++);
}

static void q5_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q5_K *block = src;
	float scale[8], min[8];

	for (; n_blocks > 0; n_blocks--, block++) {
		qc_kscales_decode(&block->scales, scale, min);
		for (int group = 0; group < 8; group++) {
			for (int i = 0; i < 32; i++) {
				int nibble = block->q[group / 2 * 32 + i] >> (group % 2 * 4) & 15;
				int code = nibble | (block->high[i] >> group & 1) << 4;

				*x++ = scale[group] * (float)code - min[group];
			}
		}
	}
}

static size_t q5_K_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_q5_K), 0, 2);
}

const struct qc_qtype qc_q5_K = {
	.name = "q5_K",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_q5_K),
	.uses_imatrix = true,
	.quantize = q5_K_quantize,
	.search = qc_search_q5_K,
	.dequantize = q5_K_dequantize,
	.check = q5_K_check,
	.words = {{0, 2, 2}},
};
