/*
 * q1_0: 128 values in 18 bytes, 1.125 bits per weight: signs and their mean magnitude.
 *
 *   byte    0      2          18
 *           | d    | bits     |
 *             f16
 *
 *   bits    bit i of byte k is set when element 8 k + i is not negative
 *
 *   x[j] = bit j ? d : -d
 *
 * d = the mean of |x|. Importance changes nothing.
 */
#include <math.h>

#include "quant/blocks.h"
#include "quant/round.h"
#include "quant/types.h"

static void q1_0_encode(const float *x, struct qc_block_q1_0 *block)
{
	float sum = 0;

	for (int j = 0; j < 128; j++)
		sum += fabsf(x[j]);
	qc_put_f16(block->d, sum / 128);
	for (int k = 0; k < 16; k++, x += 8) {
		unsigned bits = 0;

		for (int i = 0; i < 8; i++)
			bits |= (unsigned)(x[i] >= 0) << i;
		block->q[k] = (uint8_t)bits;
	}
}

static void q1_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_block_q1_0 *block = dst;

	(void)weight;
	for (size_t n = rows * cols / 128; n > 0; n--, x += 128)
		q1_0_encode(x, block++);
}

static void q1_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q1_0 *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		float d = qc_get_f16(block->d);

		for (int j = 0; j < 128; j++)
			*x++ = block->q[j / 8] >> (j % 8) & 1 ? d : -d;
	}
}

static size_t q1_0_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_q1_0), 0, 1);
}

const struct qc_qtype qc_q1_0 = {
	.name = "q1_0",
	.block_elems = 128,
	.block_bytes = sizeof(struct qc_block_q1_0),
	.quantize = q1_0_quantize,
	.dequantize = q1_0_dequantize,
	.check = q1_0_check,
	.words = {{0, 2, 1}},
};
