/*
 * mxfp4: 32 values in 17 bytes, 4.25 bits per weight: E2M1 codes under one power of two.
 *
 *   byte    0     1                                   17
 *           | e   | q[0]|q[16]<<4  ... q[15]|q[31]<<4 |
 *             E8M0
 *
 *   x[j] = E2M1(q[j]) * 2^(e - 127)
 *
 * The reference takes e = floor(log2(largest)) - 2, which cuts magnitudes above 6 * 2^(e - 127)
 * off. It wraps in 8 bits for blocks below 2^-125: their codes are 0 all the same, but e = 255,
 * which the check refuses, can come out. A search never leaves that.
 */
#include <math.h>
#include <stdbool.h>

#include "quant/block32.h"
#include "quant/blocks.h"
#include "quant/e2m1.h"
#include "quant/e8m0.h"
#include "quant/search_fp4.h"
#include "quant/types.h"

/* 6 * 2^(252 - 127) is the largest power-of-two multiple of 6 that is a float. */
enum { LARGEST_SAFE = 252 };

static void mxfp4_encode(const float *x, const float *weight, uint8_t *dst)
{
	struct qc_block_mxfp4 *block = (struct qc_block_mxfp4 *)dst;
	uint8_t codes[32];

	(void)weight;
	block->e = qc_e8m0_ggml(fabsf(qc_signed_max(x, 32)));
	for (int j = 0; j < 32; j++)
		codes[j] = qc_e2m1_ggml(x[j], qc_e8m0_half(block->e));
	qc_pack_nibbles(codes, block->q);
}

static void mxfp4_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	(void)weight; /* the reference has no use for it */
	qc_encode_rows32(x, dst, rows, cols, NULL, sizeof(struct qc_block_mxfp4), mxfp4_encode);
}

static void mxfp4_search(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	uint8_t *row = dst;

	mxfp4_quantize(x, dst, rows, cols, weight);
	for (; rows > 0; rows--, x += cols, row += cols / 32 * sizeof(struct qc_block_mxfp4))
		qc_improve_blocks(x, cols, weight, true, row, row);
}

static void mxfp4_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_mxfp4 *block = src;
	uint8_t codes[32];

	for (; n_blocks > 0; n_blocks--, block++) {
		float half = qc_e8m0_half(block->e);

		qc_unpack_codes(block->q, 0, codes);
		for (int j = 0; j < 32; j++)
			*x++ = qc_e2m1_twice(codes[j]) * half;
	}
}

/* Codes of the two largest exponents may be more than a float holds; no encoder makes such. */
static bool is_finite(const struct qc_block_mxfp4 *block)
{
	float x[32];
	bool finite = block->e != 255;

	if (block->e <= LARGEST_SAFE)
		return true;
	mxfp4_dequantize(block, x, 1);
	for (int i = 0; i < 32; i++)
		finite &= isfinite(x[i]) != 0;
	return finite;
}

static size_t mxfp4_check(const void *src, size_t n_blocks)
{
	const struct qc_block_mxfp4 *block = src;

	for (size_t i = 0; i < n_blocks; i++)
		if (!is_finite(&block[i]))
			return i;
	return n_blocks;
}

const struct qc_qtype qc_mxfp4 = {
	.name = "mxfp4",
	.block_elems = 32,
	.block_bytes = sizeof(struct qc_block_mxfp4),
	.quantize = mxfp4_quantize,
	.search = mxfp4_search,
	.dequantize = mxfp4_dequantize,
	.check = mxfp4_check,
};
