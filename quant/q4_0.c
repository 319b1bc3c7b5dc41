/*
 * q4_0: 32 values in 18 bytes, 4.5 bits per weight, symmetric.
 *
 *   byte    0      2                               18
 *           | d    | q[0]|q[16]<<4  ... q[15]|q[31]<<4 |
 *             f16
 *
 *   x[j] = d * (q[j] - 8)
 *
 * Without importance d = -m / 8 where m is the value of largest magnitude, so that m itself has
 * code 0; with it, d is searched (qc_search_symmetric). Where 1 / d overflows (|m| below
 * 8 * 2^-128) d is stored as a zero and codes are 0: the reference casts infinities there, which C
 * leaves undefined and x86 makes 0.
 */
#include "quant/block32.h"
#include "quant/blocks.h"
#include "quant/kscale.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

static void q4_0_encode(const float *x, const float *weight, uint8_t *dst)
{
	struct qc_block_q4_0 *block = (struct qc_block_q4_0 *)dst;
	uint8_t codes[32];
	float d;

	if (weight) {
		d = qc_search_symmetric(x, weight, 32, 8, codes);
	} else {
		d = qc_signed_max(x, 32) / -8;
		qc_round_codes(x, 0, d, 8.5f, 15, codes);
	}
	qc_put_f16(block->d, d);
	qc_pack_nibbles(codes, block->q);
}

static void q4_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_encode_rows32(x, dst, rows, cols, weight, sizeof(struct qc_block_q4_0), q4_0_encode);
}

static void q4_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q4_0 *block = src;
	uint8_t codes[32];

	for (; n_blocks > 0; n_blocks--, block++) {
		float d = qc_get_f16(block->d);

		qc_unpack_codes(block->q, 0, codes);
		for (int j = 0; j < 32; j++)
			*x++ = (float)(codes[j] - 8) * d;
	}
}

static size_t q4_0_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_q4_0), 0, 1);
}

const struct qc_qtype qc_q4_0 = {
	.name = "q4_0",
	.block_elems = 32,
	.block_bytes = sizeof(struct qc_block_q4_0),
	.uses_imatrix = true,
	.quantize = q4_0_quantize,
	.search = qc_search_q4_0,
	.dequantize = q4_0_dequantize,
	.check = q4_0_check,
	.words = {{0, 2, 1}},
};
