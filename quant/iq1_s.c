/*
 * iq1_s: 256 values in 50 bytes, 1.5625 bits per weight: eight groups g of 32 ternary values, as
 * four points of the grid of iq1.h.
 *
 *   byte    0      2                34           50
 *           | d    | q              | words      |
 *             f16
 *
 *   q       byte 4 g + k: the lower eight bits of the code of elements 32 g + 8 k ..
 *           32 g + 8 k + 7
 *   words   little-endian word g: bits 3 k .. 3 k + 2 the upper bits of that code, bits 12..14 the
 *           scale s[g], bit 15 set when the group is moved down
 *
 *   x[32 g + 8 k + i] = d * (2 s[g] + 1) * (c - 1 +- 1/8), c the i-th coordinate of the point,
 *   minus when moved down
 *
 * Encoding without importance (which the reference refuses) weighs with the squares.
 */
#include <float.h>
#include <string.h>

#include "quant/block256.h"
#include "quant/blocks.h"
#include "quant/iq1.h"
#include "quant/iq_search.h"
#include "quant/search.h"
#include "quant/types.h"

/* Groups whose largest magnitude is below it are zero. */
#define EPSILON 1e-12f

/* Sums over the k smallest values, k = 0..32. */
struct prefix {
	float wx[33], w[33];
};

/* The sums of one move of a cut. */
static void cut_sums(const struct prefix *sum, int first, int second, int move,
		     struct qc_iq1_sums *out)
{
	const float *level = qc_iq1_levels[move];

	out->xq[move] = sum->wx[first] * level[0] + (sum->wx[second] - sum->wx[first]) * level[1] +
			(sum->wx[32] - sum->wx[second]) * level[2];
	out->q2[move] = sum->w[first] * level[0] * level[0] +
			(sum->w[second] - sum->w[first]) * level[1] * level[1] +
			(sum->w[32] - sum->w[second]) * level[2] * level[2];
}

/* For each cut, the sums of the three parts give the scale at once. */
struct qc_iq1_cut qc_iq1_s_cut(const float *x, const float *weight, const uint8_t order[32])
{
	struct qc_iq1_cut best = {.first = -1, .merit = -FLT_MAX};
	struct prefix sum;

	sum.wx[0] = sum.w[0] = 0;
	for (int j = 0; j < 32; j++) {
		int i = order[j];

		sum.wx[j + 1] = sum.wx[j] + weight[i] * x[i];
		sum.w[j + 1] = sum.w[j] + weight[i];
	}
	for (int first = 0; first <= 32; first++) {
		for (int second = first; second <= 32; second++) {
			struct qc_iq1_sums sums;

			cut_sums(&sum, first, second, 0, &sums);
			cut_sums(&sum, first, second, 1, &sums);
			qc_iq1_try(&sums, 2, first, second, &best);
		}
	}
	return best;
}

/* Fit a group; returns its scale, not negative. */
static float fit_group(const struct qc_iq_kernel *kernel, const float *x, const float *weight,
		       uint16_t points[4], bool *down)
{
	const float *levels[4];
	uint8_t order[32];
	struct qc_iq1_cut cut;
	bool mirrored;

	*down = false;
	for (int k = 0; k < 4; k++)
		points[k] = 0;
	if (qc_abs_max(x, 32) < EPSILON)
		return 0;
	kernel->sort(x, 32, order);
	cut = kernel->cut32(x, weight, order);
	if (cut.first < 0)
		return 0;
	mirrored = cut.scale < 0;
	qc_iq1_split(order, 32, cut.first, cut.second, mirrored, points);
	*down = (cut.move != 0) != mirrored;
	for (int k = 0; k < 4; k++)
		levels[k] = qc_iq1_levels[*down];
	return qc_iq1_to_grid(kernel, x, weight, 4, levels, fabsf(cut.scale), points);
}

void qc_iq1_s_encode(const struct qc_iq_kernel *kernel, const float *x, const float *importance,
		     void *dst)
{
	struct qc_block_iq1_s *block = dst;
	float weight[256], scale[8], max = 0, d;
	unsigned words[8];

	qc_search_weights(x, importance, 2 * qc_square_sum(x, 256) / 256, 256, weight);
	for (int g = 0; g < 8; g++) {
		uint16_t points[4];
		bool down;

		scale[g] = fit_group(kernel, x + 32 * g, weight + 32 * g, points, &down);
		max = max > scale[g] ? max : scale[g];
		words[g] = (unsigned)down << 15;
		for (int k = 0; k < 4; k++) {
			unsigned code = qc_iq_code(&qc_grid_iq1, points[k]);

			block->q[4 * g + k] = (uint8_t)code;
			words[g] |= code >> 8 << (3 * k);
		}
	}
	d = max / 15;
	qc_put_f16(block->d, max == 0 ? 0 : d * 1.125f); /* found by trial, in the reference */
	for (int g = 0; g < 8; g++) {
		if (max == 0)
			words[g] &= 0xfff;
		else
			words[g] |= (unsigned)qc_iq_scale_code(scale[g], d, 7) << 12;
		qc_put_le16(block->words[g], (uint16_t)words[g]);
	}
}

static void iq1_s_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_iq_quantize(&qc_iq1_s, qc_iq1_s_encode, &qc_iq_scalar, x, dst, rows, cols, weight);
}

static void iq1_s_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq1_s *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		for (int j = 0; j < 32; j++, x += 8) {
			unsigned word = qc_le16(block->words[j / 4]);
			float d = qc_get_f16(block->d) * (float)(2 * (word >> 12 & 7) + 1);

			qc_iq1_decode(block->q[j] | (word >> (j % 4 * 3) & 7) << 8, d, word >> 15,
				      x);
		}
	}
}

static size_t iq1_s_check(const void *src, size_t n_blocks)
{
	return qc_check_f16(src, n_blocks, sizeof(struct qc_block_iq1_s), 0, 1);
}

const struct qc_qtype qc_iq1_s = {
	.name = "iq1_s",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_iq1_s),
	.needs_imatrix = true,
	.uses_imatrix = true,
	.quantize = iq1_s_quantize,
	.search = qc_search_iq1_s,
	.dequantize = iq1_s_dequantize,
	.check = iq1_s_check,
	.words = {{0, 2, 1}, {34, 2, 8}},
};
