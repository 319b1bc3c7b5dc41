/*
 * q2_K: 256 values in 84 bytes, 2.625 bits per weight: sixteen groups g of 16 with a 4-bit scale
 * and minimum each.
 *
 *   byte    0           16             80     82     84
 *           | scales    | q            | d    | dmin |
 *                                        f16    f16
 *
 *   scales  byte g: scale sc[g] in the low nibble, minimum m[g] in the high one
 *   q       byte 32 h + i: elements 128 h + i, + 32, + 64, + 96, two bits each, the first lowest
 *
 *   x[16 g + i] = d * sc[g] * q[16 g + i] - dmin * m[g]
 */
#include <math.h>

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/kscale.h"
#include "quant/round.h"
#include "quant/search.h"
#include "quant/types.h"

const struct qc_affine_grid qc_q2_K_grid = {
	.first = -0.5f, .step = 0.1f, .last = 15, .absolute = true};

/* Fit each group by itself; without importance |x| weighs an absolute error. totals[g] is the
 * weight of group g as a whole. */
static void q2_K_fit(const float *x, const float *importance, uint8_t codes[256], float scale[16],
		     float min[16], float totals[16])
{
	float weight[16], sigma2 = qc_square_sum(x, 256) / 256;

	for (int g = 0; g < 16; g++, x += 16, codes += 16) {
		if (importance)
			qc_importance(x, importance + 16 * g, sigma2, 16, weight);
		else
			for (int i = 0; i < 16; i++)
				weight[i] = fabsf(x[i]);
		totals[g] = 0;
		for (int i = 0; i < 16; i++)
			totals[g] += weight[i];
		scale[g] = qc_search_affine(x, weight, 16, 3,
					    importance ? &qc_grid_weighted : &qc_q2_K_grid, codes,
					    &min[g]);
	}
}

/* What decoding multiplies by and subtracts in group g. */
static void q2_K_decode_scales(const struct qc_block_q2_K *block, int g, float *scale, float *min)
{
	*scale = qc_get_f16(block->d) * (float)(block->scales[g] & 15);
	*min = qc_get_f16(block->dmin) * (float)(block->scales[g] >> 4);
}

static void q2_K_encode(const float *x, const float *importance, void *dst)
{
	struct qc_block_q2_K *block = dst;
	float scale[16], min[16], totals[16], d, dmin;
	uint8_t codes[256], sc[16], m[16];

	q2_K_fit(x, importance, codes, scale, min, totals);
	if (importance) {
		d = qc_search_scales(scale, totals, 16, 15, sc);
		dmin = qc_search_scales(min, totals, 16, 15, m);
	} else {
		d = qc_code_scales(scale, 16, 15, 255, sc);
		dmin = qc_code_scales(min, 16, 15, 255, m);
	}
	qc_put_f16(block->d, d);
	qc_put_f16(block->dmin, dmin);

	/* Round again with the scales as they will be decoded. */
	for (int g = 0; g < 16; g++) {
		float group_scale, group_min;

		block->scales[g] = (uint8_t)(sc[g] | m[g] << 4);
		q2_K_decode_scales(block, g, &group_scale, &group_min);
		if (group_scale == 0) /* the search's codes stay */
			continue;
		for (int i = 16 * g; i < 16 * g + 16; i++)
			codes[i] = (uint8_t)qc_clamp(qc_nearest((x[i] + group_min) / group_scale),
						     0, 3);
	}
	qc_pack_pairs256(codes, block->q);
}

static void q2_K_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_encode_rows256(x, dst, rows, cols, weight, sizeof(struct qc_block_q2_K), q2_K_encode);
}

static void q2_K_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_q2_K *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		for (int g = 0; g < 16; g++) {
			float scale, min;

			q2_K_decode_scales(block, g, &scale, &min);
			for (int i = 16 * g; i < 16 * g + 16; i++)
				*x++ = scale * (float)qc_pair_at(block->q, i) - min;
		}
	}
}

static size_t q2_K_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_q2_K),
			    offsetof(struct qc_block_q2_K, d), 2);
}

const struct qc_qtype qc_q2_K = {
	.name = "q2_K",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_q2_K),
	.uses_imatrix = true,
	.quantize = q2_K_quantize,
	.search = qc_search_q2_K,
	.dequantize = q2_K_dequantize,
	.check = q2_K_check,
	.words = {{offsetof(struct qc_block_q2_K, d), 2, 2}},
};
