/*
 * iq4_nl: 32 values in 18 bytes, 4.5 bits per weight, on a non-linear scale.
 *
 *   byte    0      2                        18
 *           | d    | q                      |
 *             f16
 *
 *   q       byte j holds elements j (low nibble) and j + 16 (high)
 *
 *   x[j] = d * level[q[j]], the levels of iq4.h
 */
#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/iq4.h"
#include "quant/search.h"
#include "quant/types.h"

static void iq4_nl_encode(const float *x, const float *importance, struct qc_block_iq4_nl *block)
{
	float weight[32], sigma2 = qc_square_sum(x, 32) * (2.0f / 32), scale;
	uint8_t codes[32];

	qc_search_weights(x, importance, sigma2, 32, weight);
	scale = qc_iq4_search(x, weight);
	qc_iq4_codes(x, scale, codes);
	qc_put_f16(block->d, scale);
	qc_pack_nibbles(codes, block->q);
}

static void iq4_nl_quantize(const float *x, void *dst, size_t rows, size_t cols,
			    const float *weight)
{
	struct qc_block_iq4_nl *block = dst;

	for (size_t row = 0; row < rows; row++)
		for (size_t col = 0; col < cols; col += 32, x += 32)
			iq4_nl_encode(x, weight ? weight + col : NULL, block++);
}

static void iq4_nl_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq4_nl *block = src;

	for (; n_blocks > 0; n_blocks--, block++, x += 32)
		qc_iq4_decode(block->q, qc_get_f16(block->d), x);
}

static size_t iq4_nl_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_iq4_nl), 0, 1);
}

const struct qc_qtype qc_iq4_nl = {
	.name = "iq4_nl",
	.block_elems = 32,
	.block_bytes = sizeof(struct qc_block_iq4_nl),
	.uses_imatrix = true,
	.quantize = iq4_nl_quantize,
	.search = qc_search_iq4_nl,
	.dequantize = iq4_nl_dequantize,
	.check = iq4_nl_check,
	.words = {{0, 2, 1}},
};
