/*
 * tq1_0: 256 ternary values in 54 bytes, 1.6875 bits per weight: five trits in a byte.
 *
 *   byte    0             48       52     54
 *           | q           | last   | d    |
 *                                    f16
 *
 *   trit k = 0..4 of a byte is one of 0, 1, 2:
 *   q[i],      i = 0..31:  element i + 32 k
 *   q[32 + i], i = 0..15:  element 160 + i + 16 k
 *   last[i],   i = 0..3:   element 240 + i + 4 k, k = 0..3 only
 *
 *   x[j] = (trit - 1) * d
 *
 * The trits are the first digits of byte / 256 as a fraction in base 3, so that decoding is a
 * multiplication: trit k is the integer part of 3 * fraction(3^k * byte / 256). d = max|x|.
 * Importance changes nothing.
 */
#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/kpack.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

/* Byte i of a run holds elements i + run * k for its trits k = 0..trits-1. */
static void pack_run(const uint8_t *codes, int run, int trits, uint8_t *bytes)
{
	uint8_t number[32] = {0};

	for (int k = 0; k < 5; k++)
		for (int i = 0; i < run; i++)
			number[i] = (uint8_t)(3 * number[i] + (k < trits ? codes[i + run * k] : 0));
	for (int i = 0; i < run; i++)
		bytes[i] = (uint8_t)((number[i] * 256 + 242) / 243); /* rounded up */
}

void qc_tq1_0_pack(const uint8_t codes[256], struct qc_block_tq1_0 *block)
{
	pack_run(codes, 32, 5, block->q);
	pack_run(codes + 160, 16, 5, block->q + 32);
	pack_run(codes + 240, 4, 4, block->last);
}

static inline float *tq1_0_unpack(const uint8_t *bytes, float d, int run, int trits, float *x)
{
	static const uint8_t powers[5] = {1, 3, 9, 27, 81};

	for (int k = 0; k < trits; k++, x += run) {
		for (int i = 0; i < run; i++) {
			uint8_t fraction = (uint8_t)(bytes[i] * powers[k]);

			x[i] = (float)((fraction * 3 >> 8) - 1) * d;
		}
	}
	return x;
}

static void tq1_0_encode(const float *x, const float *importance, void *dst)
{
	struct qc_block_tq1_0 *block = dst;
	float d = qc_abs_max(x, 256), inverse = d != 0 ? 1 / d : 0;
	uint8_t codes[256];

	(void)importance;
	qc_ternary_codes(x, inverse, 256, codes);
	qc_tq1_0_pack(codes, block);
	qc_put_f16(block->d, d);
}

static void tq1_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_encode_rows256(x, dst, rows, cols, weight, sizeof(struct qc_block_tq1_0), tq1_0_encode);
}

static void tq1_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_tq1_0 *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		struct qc_block_tq1_0 copy = *block; /* does not overlap x */
		float d = qc_get_f16(copy.d);

		x = tq1_0_unpack(copy.q, d, 32, 5, x);
		x = tq1_0_unpack(copy.q + 32, d, 16, 5, x);
		x = tq1_0_unpack(copy.last, d, 4, 4, x);
	}
}

static size_t tq1_0_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_tq1_0),
			    offsetof(struct qc_block_tq1_0, d), 1);
}

const struct qc_qtype qc_tq1_0 = {
	.name = "tq1_0",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_tq1_0),
	.quantize = tq1_0_quantize,
	.search = qc_search_tq1_0,
	.dequantize = tq1_0_dequantize,
	.check = tq1_0_check,
	.words = {{offsetof(struct qc_block_tq1_0, d), 2, 1}},
};
