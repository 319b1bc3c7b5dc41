/*
 * q2_0: 64 values in 18 bytes, 2.25 bits per weight: -d, 0, d or 2 d.
 *
 *   byte    0      2          18
 *           | d    | q        |
 *             f16
 *
 *   q       byte k holds elements 4 k .. 4 k + 3, two bits each, the first lowest
 *
 *   x[j] = (q[j] - 1) * d
 *
 * d = max|x|, so that encoding never uses code 3. Importance changes nothing.
 */
#include <math.h>

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/kpack.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

/* Where the reciprocal of d overflows, the reference's cast leaves the lowest code on x86. */
static unsigned q2_0_code(float x)
{
	return fabsf(x) < 0x1p31f ? (unsigned)qc_clamp(qc_round_away(x) + 1, 0, 3) : 0;
}

void qc_q2_0_pack(const uint8_t codes[64], struct qc_block_q2_0 *block)
{
	for (int k = 0; k < 16; k++, codes += 4)
		block->q[k] = (uint8_t)(codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6);
}

static void q2_0_encode(const float *x, struct qc_block_q2_0 *block)
{
	float d = qc_abs_max(x, 64), inverse = d > 0 ? 1 / d : 0;
	uint8_t codes[64];

	for (int j = 0; j < 64; j++)
		codes[j] = (uint8_t)q2_0_code(x[j] * inverse);
	qc_q2_0_pack(codes, block);
	qc_put_f16(block->d, d);
}

static void q2_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	struct qc_block_q2_0 *block = dst;

	(void)weight;
	for (size_t n = rows * cols / 64; n > 0; n--, x += 64)
		q2_0_encode(x, block++);
}

static void q2_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q2_0 *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		float d = qc_get_f16(block->d);

		for (int j = 0; j < 64; j++)
			*x++ = (float)((block->q[j / 4] >> (j % 4 * 2) & 3) - 1) * d;
	}
}

static size_t q2_0_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_q2_0), 0, 1);
}

const struct qc_qtype qc_q2_0 = {
	.name = "q2_0",
	.block_elems = 64,
	.block_bytes = sizeof(struct qc_block_q2_0),
	.quantize = q2_0_quantize,
	.search = qc_search_q2_0,
	.dequantize = q2_0_dequantize,
	.check = q2_0_check,
	.words = {{0, 2, 1}},
};
