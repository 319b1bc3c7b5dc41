/*
 * Better blocks for q4_0, q5_0 and q8_0: x ~ d * code, codes low .. high.
 *
 * For a few codes that the value of largest magnitude might get (integers or not: `tops`), all
 * values are rounded on that scale; the scale then moves to where least squares has it for these
 * codes, and the best of them is kept. Its f16 neighbour rounds the codes anew.
 *
 * Before that, 4- and 5-bit blocks are tried for a lattice: when all values are d * codes for an
 * f16 d, as in a model trained for this format, the largest value is d or -d times 1, 2, ... and
 * one of these d has no error at all.
 */
#include "quant/search.h"

#include <math.h>

#include "quant/block32.h"
#include "quant/blocks.h"
#include "quant/round.h"
#include "quant/types.h"

const struct qc_symmetric_range qc_q4_0_range = {
	.low = -8,
	.high = 7,
	.lattice = 8,
	.n_tops = 18,
	.tops = {-8, -8.25f, -7.75f, -8.5f, -7.5f, -8.75f, -7.25f, -9, -7, 7, 7.25f, 6.75f, 7.5f,
		 6.5f, 7.75f, 8, 8.25f, 8.5f},
};

const struct qc_symmetric_range qc_q5_0_range = {
	.low = -16,
	.high = 15,
	.lattice = 16,
	.n_tops = 18,
	.tops = {-16, -16.25f, -15.75f, -16.5f, -15.5f, -16.75f, -15.25f, -17, -15, 15, 15.25f,
		 14.75f, 15.5f, 14.5f, 15.75f, 16, 16.25f, 16.5f},
};

/* -128 is no code of the reference, and kernels count on that. */
const struct qc_symmetric_range qc_q8_0_range = {
	.low = -127,
	.high = 127,
	.n_tops = 10,
	.tops = {127, 127.25f, 126.75f, 127.5f, 126.5f, 127.75f, 126.25f, 128, 126, 128.25f},
};

/* The sums of least squares for the codes that `inverse` rounds to: d = xl / l2. */
static void fit(const float *x, const float *weight, const struct qc_symmetric_range *r,
		float inverse, float *xl, float *l2)
{
	*xl = *l2 = 0;
	for (int i = 0; i < 32; i++) {
		float l = (float)qc_clamp(qc_nearest(inverse * x[i]), r->low, r->high);

		*xl += weight[i] * x[i] * l;
		*l2 += weight[i] * l * l;
	}
}

/* The codes on scale d; false at the first value that is not d times its code, when all must be. */
static bool round_codes(const float *x, const struct qc_symmetric_range *r, float d, bool exactly,
			int codes[32])
{
	float inverse = 1 / d;

	for (int i = 0; i < 32; i++) {
		codes[i] = qc_clamp(qc_nearest(x[i] * inverse), r->low, r->high);
		if (exactly && (float)codes[i] * d != x[i])
			return false;
	}
	return true;
}

/* The lattice that the block lies on, `max` being its largest value: d as f16 and the codes. */
static bool find_lattice(const float *x, const struct qc_symmetric_range *r, float max,
			 uint8_t d[2], int codes[32])
{
	for (int k = r->lattice; k > 0; k--) {
		float scale = max / (float)-k;

		qc_put_f16(d, scale);
		if (qc_get_f16(d) == scale && round_codes(x, r, scale, true, codes))
			return true;
	}
	return false;
}

/* The best scale as f16, and 32 codes rounded on it; false when there is none to propose. */
static bool search(const float *x, const float *weight, const struct qc_symmetric_range *r,
		   uint8_t d[2], int codes[32])
{
	float max = qc_signed_max(x, 32), best = 0, scale = 0;

	if (!(fabsf(max) > QC_SEARCH_SMALLEST && fabsf(max) < QC_SEARCH_LARGEST))
		return false;
	if (find_lattice(x, r, max, d, codes))
		return true;
	for (int t = 0; t < r->n_tops; t++) {
		float xl, l2, merit;

		fit(x, weight, r, r->tops[t] / max, &xl, &l2);
		merit = xl * xl / l2;
		if (merit > best) { /* false for 0 / 0 */
			best = merit;
			scale = xl / l2;
		}
	}
	qc_put_f16(d, scale);
	scale = qc_get_f16(d);
	if (scale == 0 || !isfinite(scale))
		return false;
	return round_codes(x, r, scale, false, codes);
}

static bool q8_0_propose(const float *x, const float *weight, uint8_t *dst)
{
	struct qc_block_q8_0 *block = (struct qc_block_q8_0 *)dst;
	int codes[32];

	if (!search(x, weight, &qc_q8_0_range, block->d, codes))
		return false;
	for (int i = 0; i < 32; i++)
		block->q[i] = (int8_t)codes[i];
	return true;
}

static bool q4_0_propose(const float *x, const float *weight, uint8_t *dst)
{
	struct qc_block_q4_0 *block = (struct qc_block_q4_0 *)dst;
	uint8_t unsigned_codes[32];
	int codes[32];

	if (!search(x, weight, &qc_q4_0_range, block->d, codes))
		return false;
	for (int i = 0; i < 32; i++)
		unsigned_codes[i] = (uint8_t)(codes[i] + 8);
	qc_pack_nibbles(unsigned_codes, block->q);
	return true;
}

static bool q5_0_propose(const float *x, const float *weight, uint8_t *dst)
{
	struct qc_block_q5_0 *block = (struct qc_block_q5_0 *)dst;
	uint8_t unsigned_codes[32];
	int codes[32];

	if (!search(x, weight, &qc_q5_0_range, block->d, codes))
		return false;
	for (int i = 0; i < 32; i++)
		unsigned_codes[i] = (uint8_t)(codes[i] + 16);
	qc_pack_nibbles(unsigned_codes, block->q);
	qc_pack_fifth_bits(unsigned_codes, block->high);
	return true;
}

void qc_search_q8_0(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_search_blocks(&qc_q8_0, q8_0_propose, x, dst, rows, cols, weight);
}

void qc_search_q4_0(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_search_blocks(&qc_q4_0, q4_0_propose, x, dst, rows, cols, weight);
}

void qc_search_q5_0(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	qc_search_blocks(&qc_q5_0, q5_0_propose, x, dst, rows, cols, weight);
}
