/*
 * q4_K: 256 values in 144 bytes, 4.5 bits per weight: eight groups g of 32 with a 6-bit scale and
 * minimum each.
 *
 *   byte    0      2      4        16             144
 *           | d    | dmin | packed | q            |
 *             f16    f16
 *
 *   packed  eight scales sc and eight minimums m, 6 bits each (kscale.h)
 *   q       byte 32 p + i: elements 64 p + i (low nibble) and 64 p + 32 + i (high)
 *
 *   x[32 g + i] = d * sc[g] * q[32 g + i] - dmin * m[g]
 */
#include "quant/blocks.h"
#include "quant/kscale.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

const struct qc_kparams qc_q4_K_params = {
	.nmax = 15,
	.limit = 255,
	.plain = {.first = -1.0f, .step = 0.1f, .last = 20},
};

static void q4_K_encode(const float *x, const float *importance, struct qc_block_q4_K *block)
{
	uint8_t codes[256];

	qc_fit_affine256(x, importance, &qc_q4_K_params, &block->scales, codes);
	qc_pack_nibbles256(codes, block->q);
}

static void q4_K_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_block_q4_K *block = dst;

	for (size_t row = 0; row < rows; row++)
		for (size_t col = 0; col < cols; col += 256, x += 256)
			q4_K_encode(x, weight ? weight + col : NULL, block++);
}

static void q4_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q4_K *block = src;
	float scale[8], min[8];

	for (; n_blocks > 0; n_blocks--, block++) {
		qc_kscales_decode(&block->scales, scale, min);
		for (int group = 0; group < 8; group++) {
			for (int i = 0; i < 32; i++) {
				int code = block->q[group / 2 * 32 + i] >> (group % 2 * 4) & 15;

				*x++ = scale[group] * (float)code - min[group];
			}
		}
	}
}

static size_t q4_K_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_q4_K), 0, 2);
}

const struct qc_qtype qc_q4_K = {
	.name = "q4_K",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_q4_K),
	.uses_imatrix = true,
	.quantize = q4_K_quantize,
	.search = qc_search_q4_K,
	.dequantize = q4_K_dequantize,
	.check = q4_K_check,
	.words = {{0, 2, 2}},
};
