/*
 * q8_0: 32 values in 34 bytes, 8.5 bits per weight.
 *
 *   byte    0      2                        34
 *           | d    | q[0] q[1] ...    q[31] |
 *             f16    int8
 *
 *   x[j] = d * q[j]
 *
 * d = max|x| / 127, codes rounded to nearest with halves away from zero. Importance changes
 * nothing.
 */
#include "quant/block32.h"
#include "quant/blocks.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

static void q8_0_encode(const float *x, struct qc_block_q8_0 *block)
{
	float d = fabsf(qc_signed_max(x, 32)) / 127, inverse = d != 0 ? 1 / d : 0;

	qc_put_f16(block->d, d);
	for (int j = 0; j < 32; j++)
		block->q[j] = (int8_t)qc_round_away(x[j] * inverse);
}

static void q8_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_block_q8_0 *block = dst;

	(void)weight;
	for (size_t n = rows * cols / 32; n > 0; n--, x += 32)
		q8_0_encode(x, block++);
}

static void q8_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q8_0 *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		float d = qc_get_f16(block->d);

		for (int j = 0; j < 32; j++)
			*x++ = (float)block->q[j] * d;
	}
}

static size_t q8_0_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_q8_0), 0, 1);
}

const struct qc_qtype qc_q8_0 = {
	.name = "q8_0",
	.block_elems = 32,
	.block_bytes = sizeof(struct qc_block_q8_0),
	.quantize = q8_0_quantize,
	.search = qc_search_q8_0,
	.dequantize = q8_0_dequantize,
	.check = q8_0_check,
	.words = {{0, 2, 1}},
};
