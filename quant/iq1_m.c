/*
 * iq1_m: 256 values in 56 bytes, 1.75 bits per weight: sixteen groups g of 16 ternary values, as
 * two points of the grid of iq1.h that are moved up or down independently.
 *
 *   byte    0                32           48       56
 *           | q              | high       | scales |
 *
 *   q       byte j: the lower eight bits of the code of elements 8 j .. 8 j + 7
 *   high    a nibble for point j, the low one of byte j / 2 for even j: the upper three bits of the
 *           code, then a bit set when the point is moved down
 *   scales  four little-endian words: bits 3 (g mod 4) .. of word g / 4 the scale s[g]; bits 12..15
 *           of words 0, 1, 2, 3 are bits 0..3, 4..7, 8..11, 12..15 of d, an f16
 *
 *   x[8 j + i] = d * (2 s[j / 2] + 1) * (c - 1 +- 1/8), c the i-th coordinate of the point, minus
 *   when moved down
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
#define EPSILON 1e-7f

/* A fitted group. */
struct group {
	float scale;
	uint16_t point[2];
	int move;
};

static void add_sums(struct qc_iq1_sums *sums, const struct qc_iq1_sums *term)
{
	for (int move = 0; move < QC_IQ1_MOVES; move++) {
		sums->xq[move] += term->xq[move];
		sums->q2[move] += term->q2[move];
	}
}

/* Whether any move has more merit than the best so far. */
static bool has_merit(const struct qc_iq1_sums *sums, float merit)
{
	bool any = false;

	for (int move = 0; move < QC_IQ1_MOVES; move++) {
		float xq = sums->xq[move], q2 = sums->q2[move];

		any |= (q2 > 0) & (xq * xq > merit * q2);
	}
	return any;
}

/* What the j-th smallest value adds when its coordinate is c: terms[c][j]. */
static void find_terms(const float *x, const float *weight, const uint8_t order[16],
		       struct qc_iq1_sums terms[3][16])
{
	for (int c = 0; c < 3; c++) {
		for (int j = 0; j < 16; j++) {
			int i = order[j];

			for (int move = 0; move < QC_IQ1_MOVES; move++) {
				bool down = move >> (i < 8) & 1;
				float q = qc_iq1_levels[down][c], wq = weight[i] * q;

				terms[c][j].xq[move] = wq * x[i];
				terms[c][j].q2[move] = wq * q;
			}
		}
	}
}

/* The best of all cuts. Each cut's sums run from the smallest value to the largest; the upper part
 * is added to many cuts in turn, since a single sum would wait for every addition. */
struct qc_iq1_cut qc_iq1_m_cut(const float *x, const float *weight, const uint8_t order[16])
{
	struct qc_iq1_cut best = {.first = -1, .merit = -FLT_MAX};
	struct qc_iq1_sums terms[3][16], sums[17][17], lower = {{0}, {0}};

	find_terms(x, weight, order, terms);
	for (int first = 0; first <= 16; first++) {
		sums[first][first] = lower;
		for (int second = first + 1; second <= 16; second++) {
			sums[first][second] = sums[first][second - 1];
			add_sums(&sums[first][second], &terms[1][second - 1]);
		}
		if (first < 16)
			add_sums(&lower, &terms[0][first]);
	}
	for (int second = 0; second < 16; second++)
		for (int j = second; j < 16; j++)
			for (int first = 0; first <= second; first++)
				add_sums(&sums[first][second], &terms[2][j]);
	for (int first = 0; first <= 16; first++)
		for (int second = first; second <= 16; second++)
			if (has_merit(&sums[first][second], best.merit)) /* seldom */
				qc_iq1_try(&sums[first][second], QC_IQ1_MOVES, first, second,
					   &best);
	return best;
}

/* Point k = 0, 1 of a group moves down. */
static bool moves_down(int move, int k)
{
	return move >> (1 - k) & 1;
}

static struct group fit_group(const struct qc_iq_kernel *kernel, const float *x,
			      const float *weight)
{
	struct group group = {.scale = 0};
	const float *levels[2];
	uint8_t order[16];
	struct qc_iq1_cut cut;
	bool mirrored;

	if (qc_abs_max(x, 16) < EPSILON)
		return group;
	kernel->sort(x, 16, order);
	cut = kernel->cut16(x, weight, order);
	if (cut.first < 0)
		return group;
	mirrored = cut.scale < 0;
	group.move = mirrored ? QC_IQ1_MOVES - 1 - cut.move : cut.move;
	qc_iq1_split(order, 16, cut.first, cut.second, mirrored, group.point);
	for (int k = 0; k < 2; k++)
		levels[k] = qc_iq1_levels[moves_down(group.move, k)];
	group.scale = qc_iq1_to_grid(kernel, x, weight, 2, levels, fabsf(cut.scale), group.point);
	return group;
}

/* Code the scales for a first d, then fit d to all values. */
static float fit_scale(const float *x, const float *weight, const struct group groups[16], float d,
		       unsigned words[4])
{
	struct qc_iq1_fit fit = {0, 0};

	for (int g = 0; g < 16; g++) {
		int code = qc_iq_scale_code(groups[g].scale, d, 7);

		words[g / 4] |= (unsigned)code << (g % 4 * 3);
		for (int k = 0; k < 2; k++)
			qc_iq1_fit_point(&fit, x + 16 * g + 8 * k, weight + 16 * g + 8 * k,
					 groups[g].point[k],
					 qc_iq1_levels[moves_down(groups[g].move, k)],
					 (float)(2 * code + 1));
	}
	return fit.q2 > 0 ? fit.xq / fit.q2 : d;
}

void qc_iq1_m_encode(const struct qc_iq_kernel *kernel, const float *x, const float *importance,
		     void *dst)
{
	struct qc_block_iq1_m *block = dst;
	float weight[256], max = 0;
	struct group groups[16];
	unsigned words[4] = {0};
	uint8_t d[2];

	qc_search_weights(x, importance, 2 * qc_square_sum(x, 256) / 256, 256, weight);
	for (int g = 0; g < 16; g++) {
		groups[g] = fit_group(kernel, x + 16 * g, weight + 16 * g);
		max = max > groups[g].scale ? max : groups[g].scale;
	}
	for (int j = 0; j < 32; j++) {
		const struct group *group = &groups[j / 2];
		unsigned code = qc_iq_code(&qc_grid_iq1, group->point[j % 2]);
		unsigned down = max != 0 && moves_down(group->move, j % 2);

		block->q[j] = (uint8_t)code;
		if (j % 2 == 0)
			block->high[j / 2] = (uint8_t)(code >> 8 | down << 3);
		else
			block->high[j / 2] |= (uint8_t)((code >> 8 | down << 3) << 4);
	}
	if (max != 0) { /* the factor was found by trial, in the reference */
		qc_put_f16(d, fit_scale(x, weight, groups, max / 15, words) * 1.1125f);
		for (int k = 0; k < 4; k++)
			words[k] |= (qc_le16(d) >> (4 * k) & 15u) << 12;
	}
	for (int k = 0; k < 4; k++)
		qc_put_le16(block->scales[k], (uint16_t)words[k]);
}

static void iq1_m_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_iq_quantize(&qc_iq1_m, qc_iq1_m_encode, &qc_iq_scalar, x, dst, rows, cols, weight);
}

/* The f16 that is spread over the scale words. */
static uint16_t block_scale(const struct qc_block_iq1_m *block)
{
	unsigned d = 0;

	for (int k = 0; k < 4; k++)
		d |= (unsigned)(qc_le16(block->scales[k]) >> 12) << (4 * k);
	return (uint16_t)d;
}

static void iq1_m_dequantize(const void *src, float *x, size_t n_blocks)
{
	const struct qc_block_iq1_m *block = src;

	for (; n_blocks > 0; n_blocks--, block++) {
		float d = qc_f16_to_f32(block_scale(block));

		for (int j = 0; j < 32; j++, x += 8) {
			int scale = qc_le16(block->scales[j / 8]) >> (j / 2 % 4 * 3) & 7;
			unsigned high = block->high[j / 2] >> (j % 2 * 4);

			qc_iq1_decode(block->q[j] | (high & 7) << 8, d * (float)(2 * scale + 1),
				      high >> 3 & 1, x);
		}
	}
}

static size_t iq1_m_check(const void *src, size_t n_blocks)
{
	const struct qc_block_iq1_m *block = src;

	for (size_t i = 0; i < n_blocks; i++)
		if ((block_scale(&block[i]) & 0x7c00) == 0x7c00)
			return i;
	return n_blocks;
}

const struct qc_qtype qc_iq1_m = {
	.name = "iq1_m",
	.block_elems = 256,
	.block_bytes = sizeof(struct qc_block_iq1_m),
	.uses_imatrix = true,
	.quantize = iq1_m_quantize,
	.search = qc_search_iq1_m,
	.dequantize = iq1_m_dequantize,
	.check = iq1_m_check,
	.words = {{48, 2, 4}},
};
