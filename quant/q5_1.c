/*
 * q5_1: 32 values in 24 bytes, 6 bits per weight, with a minimum.
 *
 *   byte    0      2      4         8                                          24
 *           | d    | m    | high    | q[0]&15|(q[16]&15)<<4  ...  q[15]&15|(q[31]&15)<<4 |
 *             f16    f16    u32: bit j is q[j] >> 4
 *
 *   x[j] = d * q[j] + m
 *
 * Without importance m = min x and d = (max x - m) / 31; with it, both are searched
 * (qc_search_affine; m <= 0 then). Where 1 / d overflows (a range below 31 * 2^-128) or max - min
 * does, codes are 0: the reference casts infinities or NaNs there, which C leaves undefined and x86
 * makes 0.
 */
#include "quant/block32.h"
#include "quant/blocks.h"
#include "quant/kscale.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

static void q5_1_encode(const float *x, const float *weight, uint8_t *dst)
{
	struct qc_block_q5_1 *block = (struct qc_block_q5_1 *)dst;
	uint8_t codes[32];
	float d, m;

	if (weight) {
		d = qc_search_affine(x, weight, 32, 31, &qc_grid_weighted, codes, &m);
		m = -m;
	} else {
		struct qc_range range = qc_range_of(x, 32);

		m = range.min;
		d = (range.max - m) / 31;
		qc_round_codes(x, m, d, 0.5f, 31, codes);
	}
	qc_put_f16(block->d, d);
	qc_put_f16(block->m, m);
	qc_pack_nibbles(codes, block->q);
	qc_pack_fifth_bits(codes, block->high);
}

static void q5_1_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_encode_rows32(x, dst, rows, cols, weight, sizeof(struct qc_block_q5_1), q5_1_encode);
}

static void q5_1_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q5_1 *block = src;
	uint8_t codes[32];

	for (; n_blocks > 0; n_blocks--, block++) {
		float d = qc_get_f16(block->d), m = qc_get_f16(block->m);

		qc_unpack_codes(block->q, qc_le32(block->high), codes);
		for (int j = 0; j < 32; j++)
			*x++ = (float)codes[j] * d + m;
	}
}

static size_t q5_1_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_q5_1), 0, 2);
}

const struct qc_qtype qc_q5_1 = {
	.name = "q5_1",
	.block_elems = 32,
	.block_bytes = sizeof(struct qc_block_q5_1),
	.uses_imatrix = true,
	.quantize = q5_1_quantize,
	.search = qc_search_q5_1,
	.dequantize = q5_1_dequantize,
	.check = q5_1_check,
	.words = {{0, 2, 2}, {4, 4, 1}},
};
