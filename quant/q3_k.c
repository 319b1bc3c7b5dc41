/*
 * q3_K: 256 values in 110 bytes, 3.4375 bits per weight, symmetric: sixteen groups g of 16 with a
 * 6-bit scale each.
 *
 *   byte    0          32           96         108    110
 *           | high     | q          | scales   | d    |
 *                                                f16
 *
 *   high    bit k of byte i: the upper bit of element 32 k + i
 *   q       byte 32 h + i: elements 128 h + i, + 32, + 64, + 96, two lower bits each, the first
 *           lowest
 *   scales  sc[g]: its low four bits are a nibble of byte g mod 8 (the high nibble for g >= 8), its
 *           upper two are bits 2 (g div 4) of byte 8 + g mod 4
 *
 *   x[16 g + i] = d * (sc[g] - 32) * (q[16 g + i] - 4)
 */
#include <math.h>
#include <string.h>

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/kpack.h"
#include "quant/kscale.h"
#include "quant/q3_k.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

/* Least-squares sums of x against codes, as x^2 weighs it. */
struct fit {
	float xl, l2;
};

/* Move one code (-4..3) to where the others want it; false when that does not help. */
static bool q3_K_improve(float x, int8_t *code, struct fit *fit)
{
	float weight = x * x, l = (float)*code;
	struct fit rest = {fit->xl - weight * x * l, fit->l2 - weight * l * l};
	int moved;

	if (!(rest.xl > 0))
		return false;
	moved = qc_clamp(qc_nearest(x * rest.l2 / rest.xl), -4, 3);
	if (moved == *code)
		return false;
	rest.xl += weight * x * (float)moved;
	rest.l2 += weight * (float)moved * (float)moved;
	if (!(rest.l2 > 0 && rest.xl * rest.xl * fit->l2 > fit->xl * fit->xl * rest.l2))
		return false;
	*code = (int8_t)moved;
	*fit = rest;
	return true;
}

/* Fit 16 values without importance: the largest becomes -4, then codes move one at a time while
 * that helps. Codes are offset by 4, all 0 for an all-zero group. Returns the scale. */
static float q3_K_fit_plain(const float *x, uint8_t *codes)
{
	float max = qc_signed_max(x, 16), inverse;
	struct fit fit = {0, 0};
	bool changed = true;
	int8_t l[16];

	if (fabsf(max) < QC_GROUP_EPS) {
		memset(codes, 0, 16);
		return 0;
	}
	inverse = -4 / max;
	for (int i = 0; i < 16; i++) {
		float weight = x[i] * x[i];

		l[i] = (int8_t)qc_clamp(qc_nearest(inverse * x[i]), -4, 3);
		fit.xl += weight * x[i] * (float)l[i];
		fit.l2 += weight * (float)l[i] * (float)l[i];
	}
	for (int pass = 0; pass < 5 && changed; pass++) {
		changed = false;
		for (int i = 0; i < 16; i++)
			changed |= q3_K_improve(x[i], &l[i], &fit);
	}
	for (int i = 0; i < 16; i++)
		codes[i] = (uint8_t)(l[i] + 4);
	return fit.l2 > 0 ? fit.xl / fit.l2 : 0;
}

float qc_q3_K_code_scales(const float scale[16], uint8_t codes[16])
{
	float max = qc_signed_max(scale, 16), inverse = max != 0 ? -32 / max : 0;

	for (int g = 0; g < 16; g++) {
		int8_t l = (int8_t)qc_nearest(inverse * scale[g]); /* wraps, as the reference's */

		codes[g] = max != 0 ? (uint8_t)(qc_clamp(l, -32, 31) + 32) : 0;
	}
	return max != 0 ? 1 / inverse : 0;
}

/* The same for all groups of a block, with importance; returns d. */
static float q3_K_fit_weighted(const float *x, const float *importance, uint8_t codes[256],
			       uint8_t sc[16])
{
	float weight[16], scale[16], totals[16], sigma2 = 2 * qc_square_sum(x, 256) / 256;

	for (int g = 0; g < 16; g++, x += 16, importance += 16, codes += 16) {
		qc_importance(x, importance, sigma2, 16, weight);
		totals[g] = 0;
		for (int i = 0; i < 16; i++)
			totals[g] += weight[i];
		scale[g] = qc_search_symmetric(x, weight, 16, 4, codes);
	}
	return qc_search_symmetric(scale, totals, 16, 32, sc);
}

void qc_q3_K_pack_scales(const uint8_t sc[16], uint8_t packed[12])
{
	for (int i = 0; i < 8; i++)
		packed[i] = (uint8_t)((sc[i] & 15) | (sc[i + 8] & 15) << 4);
	for (int i = 0; i < 4; i++)
		packed[8 + i] = (uint8_t)(sc[i] >> 4 | sc[i + 4] >> 4 << 2 | sc[i + 8] >> 4 << 4 |
					  sc[i + 12] >> 4 << 6);
}

void qc_q3_K_scales(const struct qc_block_q3_K *block, int8_t scales[16])
{
	for (int g = 0; g < 16; g++) {
		int low = block->scales[g % 8] >> (g / 8 * 4) & 15;
		int high = block->scales[8 + g % 4] >> (g / 4 * 2) & 3;

		scales[g] = (int8_t)((low | high << 4) - 32);
	}
}

void qc_q3_K_pack(const uint8_t codes[256], struct qc_block_q3_K *block)
{
	memset(block->high, 0, sizeof(block->high));
	for (int j = 0; j < 256; j++)
		block->high[j % 32] |= (uint8_t)(codes[j] >> 2 << (j / 32));
	qc_pack_pairs256(codes, block->q);
}

static void q3_K_encode(const float *x, const float *importance, void *dst)
{
	struct qc_block_q3_K *block = dst;
	uint8_t codes[256], sc[16];
	int8_t signed_sc[16];
	float scale[16], d;

	if (importance) {
		d = q3_K_fit_weighted(x, importance, codes, sc);
	} else {
		for (int g = 0; g < 16; g++)
			scale[g] = q3_K_fit_plain(x + 16 * g, codes + 16 * g);
		d = qc_q3_K_code_scales(scale, sc);
	}
	qc_q3_K_pack_scales(sc, block->scales);
	qc_q3_K_scales(block, signed_sc);
	qc_put_f16(block->d, d);
	d = qc_get_f16(block->d);

	/* Round again with the scales as they will be decoded. */
	for (int g = 0; g < 16; g++) {
		float group_scale = d * (float)signed_sc[g];

		if (group_scale == 0) /* the search's codes stay */
			continue;
		for (int i = 16 * g; i < 16 * g + 16; i++)
			codes[i] = (uint8_t)(qc_clamp(qc_nearest(x[i] / group_scale), -4, 3) + 4);
	}
	qc_q3_K_pack(codes, block);
}

static void q3_K_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_encode_rows256(x, dst, rows, cols, weight, sizeof(struct qc_block_q3_K), q3_K_encode);
}

static void q3_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q3_K *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		float d = qc_get_f16(block->d);
		int8_t sc[16];

		qc_q3_K_scales(block, sc);
		for (int g = 0; g < 16; g++) {
			float scale = d * (float)sc[g];

			for (int j = 16 * g; j < 16 * g + 16; j++) {
				int high = block->high[j % 32] >> (j / 32) & 1;

				*x++ = scale * (float)((qc_pair_at(block->q, j) | high << 2) - 4);
			}
		}
	}
}

static size_t q3_K_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_q3_K),
			    offsetof(struct qc_block_q3_K, d), 1);
}

const struct qc_qtype qc_q3_K = {
	.name = "q3_K",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_q3_K),
	.uses_imatrix = true,
	.quantize = q3_K_quantize,
	.search = qc_search_q3_K,
	.dequantize = q3_K_dequantize,
	.check = q3_K_check,
	.words = {{offsetof(struct qc_block_q3_K, d), 2, 1}},
};
