/*
 * tq2_0: 256 ternary values in 66 bytes, 2.0625 bits per weight.
 *
 *   byte    0             64     66
 *           | q           | d    |
 *                           f16
 *
 *   q       byte 32 h + i: elements 128 h + i, + 32, + 64, + 96, two bits each, the first lowest
 *
 *   x[j] = (q[j] - 1) * d
 *
 * d = max|x|, so that encoding never uses code 3. Importance changes nothing.
 */
#include <string.h>

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

static void tq2_0_encode(const float *x, const float *importance, void *dst)
{
	struct qc_block_tq2_0 *block = dst;
	float d = qc_abs_max(x, 256), inverse = d != 0 ? 1 / d : 0;
	uint8_t codes[256];

	(void)importance;
	qc_ternary_codes(x, inverse, 256, codes);
	qc_pack_pairs256(codes, block->q);
	qc_put_f16(block->d, d);
}

static void tq2_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_encode_rows256(x, dst, rows, cols, weight, sizeof(struct qc_block_tq2_0), tq2_0_encode);
}

static void tq2_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_tq2_0 *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		float d = qc_get_f16(block->d);
		uint8_t q[64]; /* a copy, which does not overlap x */

		memcpy(q, block->q, sizeof(q));
		for (int j = 0; j < 8; j++, x += 32)
			for (int i = 0; i < 32; i++)
				x[i] = (float)((q[j / 4 * 32 + i] >> j % 4 * 2 & 3) - 1) * d;
	}
}

static size_t tq2_0_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_tq2_0),
			    offsetof(struct qc_block_tq2_0, d), 1);
}

const struct qc_qtype qc_tq2_0 = {
	.name = "tq2_0",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_tq2_0),
	.quantize = tq2_0_quantize,
	.search = qc_search_tq2_0,
	.dequantize = tq2_0_dequantize,
	.check = tq2_0_check,
	.words = {{offsetof(struct qc_block_tq2_0, d), 2, 1}},
};
