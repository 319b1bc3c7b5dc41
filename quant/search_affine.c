/*
 * Better blocks for q4_1 and q5_1: x ~ d * code + m, codes 0 .. top.
 *
 * Candidates stretch the codes' range over the block's and shift it: code = (x - min) * (top + s) /
 * (max - min) - s / 2 + shift: the stretches without a shift, then with each shift; where all
 * values count alike fewer, and shifts of the best of them, as more gains little there. For each,
 * least squares gives the d and m of its codes and the error they would leave. The best one,
 * rounded to f16, rounds the codes anew; two more rounds of least squares follow.
 */
#include "quant/search.h"

#include <math.h>

#include "quant/block32.h"
#include "quant/blocks.h"
#include "quant/round.h"
#include "quant/types.h"

const float qc_stretches[QC_STRETCHES] = {0, -0.5f, 0.5f, -1, 1, 1.5f, 2};
const float qc_shifts[QC_SHIFTS] = {0, -0.25f, 0.25f, -0.5f, 0.5f};

/* Weighted sums over a block of 1, y, l, l^2 and l * y, where y = x - base. */
struct sums {
	float w, y, l, l2, ly;
};

/* x ~ d * code + m */
struct line {
	float d, m;
};

static float determinant(const struct sums *s)
{
	return s->w * s->l2 - s->l * s->l;
}

/* The least-squares line; the determinant is not 0. */
static struct line solve(const struct sums *s, float base)
{
	struct line line;

	line.d = (s->w * s->ly - s->y * s->l) / determinant(s);
	line.m = base + (s->y - line.d * s->l) / s->w;
	return line;
}

/* What a search knows of its block. */
struct affine_search {
	const float *weight;
	float y[32], wy[32]; /* x - low, and that weighted */
	float low, span;
	int top;
	struct sums s;
	float best, stretch; /* of the best candidate so far */
	struct line line;
};

static void consider(struct affine_search *a, float stretch, float shift)
{
	float inverse = ((float)a->top + stretch) / a->span, from = shift - stretch / 2;
	float gain, det;
	struct sums *s = &a->s;

	s->l = s->l2 = s->ly = 0;
	for (int i = 0; i < 32; i++) {
		float l = (float)qc_clamp(qc_nearest(a->y[i] * inverse + from), 0, a->top);

		s->l += a->weight[i] * l;
		s->l2 += a->weight[i] * l * l;
		s->ly += a->wy[i] * l;
	}
	/* what the line takes off the variance: covariance^2 / variance of the codes */
	det = determinant(s);
	gain = s->w * s->ly - s->y * s->l;
	gain = gain * gain / det;
	if (det > 0 && gain > a->best) {
		a->best = gain;
		a->stretch = stretch;
		a->line = solve(s, a->low);
	}
}

/* The line of the best candidate; d = 0 when there is none. */
static struct line search(const float *x, const float *weight, int top)
{
	struct qc_range range = qc_range_of(x, 32);
	struct affine_search a = {
		.weight = weight, .low = range.min, .span = range.max - range.min, .top = top};
	const bool alike = weight == qc_ones;
	const int n = alike ? QC_FEW_STRETCHES : QC_STRETCHES;
	float stretch;

	for (int i = 0; i < 32; i++) {
		a.y[i] = x[i] - range.min;
		a.wy[i] = weight[i] * a.y[i];
		a.s.w += weight[i];
		a.s.y += a.wy[i];
	}
	for (int c = 0; c < n; c++)
		consider(&a, qc_stretches[c], qc_shifts[0]);
	stretch = a.stretch;
	for (int shift = 1; shift < QC_SHIFTS; shift++)
		for (int c = 0; c < (alike ? 1 : n); c++)
			consider(&a, alike ? stretch : qc_stretches[c], qc_shifts[shift]);
	return a.line;
}

/* The least-squares line for the codes that a block has. */
static struct line refit(const float *x, const float *weight, const uint8_t codes[32])
{
	struct sums s = {0};

	for (int i = 0; i < 32; i++) {
		float wl = weight[i] * (float)codes[i], y = x[i] - x[0];

		s.w += weight[i];
		s.y += weight[i] * y;
		s.l += wl;
		s.l2 += wl * (float)codes[i];
		s.ly += wl * y;
	}
	return determinant(&s) > 0 ? solve(&s, x[0]) : (struct line){0, 0};
}

/* A line as f16 fields and back; false when it is none. */
static bool line_round(struct line *line, uint8_t d[2], uint8_t m[2])
{
	qc_put_f16(d, line->d);
	qc_put_f16(m, line->m);
	line->d = qc_get_f16(d);
	line->m = qc_get_f16(m);
	return line->d != 0 && isfinite(line->d) && isfinite(line->m);
}

/* A line as f16 fields and 32 codes rounded on it; false when there is nothing to propose. */
static bool propose(const float *x, const float *weight, int top, uint8_t d[2], uint8_t m[2],
		    uint8_t codes[32])
{
	struct qc_range range = qc_range_of(x, 32);
	struct line line;

	if (!(range.max - range.min > QC_SEARCH_SMALLEST &&
	      range.max - range.min < QC_SEARCH_LARGEST))
		return false;
	line = search(x, weight, top);
	for (int round = 0;; round++) {
		float inverse;

		if (!line_round(&line, d, m))
			return false;
		inverse = 1 / line.d;
		for (int i = 0; i < 32; i++)
			codes[i] = (uint8_t)qc_clamp(qc_nearest((x[i] - line.m) * inverse), 0, top);
		if (round == QC_REFITS)
			return true;
		line = refit(x, weight, codes);
	}
}

static bool q4_1_propose(const float *x, const float *weight, uint8_t *dst)
{
	struct qc_block_q4_1 *block = (struct qc_block_q4_1 *)dst;
	uint8_t codes[32];

	if (!propose(x, weight, 15, block->d, block->m, codes))
		return false;
	qc_pack_nibbles(codes, block->q);
	return true;
}

static bool q5_1_propose(const float *x, const float *weight, uint8_t *dst)
{
	struct qc_block_q5_1 *block = (struct qc_block_q5_1 *)dst;
	uint8_t codes[32];

	if (!propose(x, weight, 31, block->d, block->m, codes))
		return false;
	qc_pack_nibbles(codes, block->q);
	qc_pack_fifth_bits(codes, block->high);
	return true;
}

void qc_search_q4_1(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_search_blocks(&qc_q4_1, q4_1_propose, x, dst, rows, cols, weight);
}

void qc_search_q5_1(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_search_blocks(&qc_q5_1, q5_1_propose, x, dst, rows, cols, weight);
}
