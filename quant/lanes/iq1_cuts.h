/*
 * The cuts of iq1_s and iq1_m (iq1.h) in lanes: every sum, product and comparison is the scalar one
 * in the scalar order.
 */
#ifndef QC_QUANT_LANES_IQ1_CUTS_H
#define QC_QUANT_LANES_IQ1_CUTS_H

#include "quant/lanes/lanes.h"

#ifdef LANES_INLINE

#include <float.h>

#include "quant/iq1.h"

/* Integers that order like the values, -0 and 0 the same. */
LANES_INLINE lanes_int iq1_keys(const float *x)
{
	lanes_int bits = lanes_bits(lanes_load(x) + lanes_set(0));
	lanes_mask negative = lanes_int_lt(bits, lanes_int_set(0));

	return lanes_int_select(negative, lanes_int_flip(bits, 0x7fffffff), bits);
}

/* A value's place is the number of those before it; n is 16 or 32. */
static void iq1_sort(const float *x, int n, uint8_t *order)
{
	lanes_int key[32 / LANES], place[32 / LANES];
	int32_t keys[32], places[32];

	for (int v = 0; v < n / LANES; v++) {
		key[v] = iq1_keys(x + v * LANES);
		place[v] = lanes_int_set(0);
		lanes_int_store(keys + v * LANES, key[v]);
	}
	for (int i = 0; i < n; i++) {
		lanes_int other = lanes_int_set(keys[i]), before = lanes_int_set(keys[i] - 1);

		/* as integers, other <= key is other - 1 < key: keys are above INT32_MIN */
		for (int v = 0; v < n / LANES; v++) {
			lanes_mask behind =
				lanes_int_lt(lanes_int_set(i), lanes_int_count(v * LANES));
			lanes_int than = lanes_int_select(behind, before, other);

			place[v] = lanes_int_add_if(lanes_int_lt(than, key[v]), place[v], 1);
		}
	}
	for (int v = 0; v < n / LANES; v++)
		lanes_int_store(places + v * LANES, place[v]);
	for (int i = 0; i < n; i++)
		order[places[i]] = (uint8_t)i;
}

/* Sums over the k smallest values, k = 0..32; zeros behind. */
struct iq1_prefix {
	float wx[33 + LANES], w[33 + LANES];
};

/* The sums of a move for cuts at `first` and LANES places from `second` on. */
LANES_INLINE void iq1_cut_sums(const struct iq1_prefix *sum, int first, int second, int move,
			       lanes *xq, lanes *q2)
{
	const float *level = qc_iq1_levels[move];
	lanes wx = lanes_load(sum->wx + second), w = lanes_load(sum->w + second);
	lanes l1 = lanes_set(level[1]), l2 = lanes_set(level[2]);

	*xq = lanes_set(sum->wx[first] * level[0]) + (wx - lanes_set(sum->wx[first])) * l1 +
	      (lanes_set(sum->wx[32]) - wx) * l2;
	*q2 = lanes_set(sum->w[first] * level[0] * level[0]) +
	      (w - lanes_set(sum->w[first])) * l1 * l1 + (lanes_set(sum->w[32]) - w) * l2 * l2;
}

/* The lanes whose cuts have more merit. */
LANES_INLINE unsigned iq1_better(lanes xq, lanes q2, float merit)
{
	lanes_mask larger = lanes_lt(lanes_set(merit) * q2, xq * xq);

	return lanes_mask_bits(lanes_and(lanes_lt(lanes_set(0), q2), larger));
}

static struct qc_iq1_cut iq1_cut32(const float *x, const float *weight, const uint8_t order[32])
{
	struct qc_iq1_cut best = {.first = -1, .merit = -FLT_MAX};
	struct iq1_prefix sum = {{0}, {0}};

	for (int j = 0; j < 32; j++) {
		int i = order[j];

		sum.wx[j + 1] = sum.wx[j] + weight[i] * x[i];
		sum.w[j + 1] = sum.w[j] + weight[i];
	}
	for (int first = 0; first <= 32; first++) {
		for (int second = first; second <= 32; second += LANES) {
			unsigned mask = second + LANES <= 33 ? ~0u : (1u << (33 - second)) - 1;
			float xq[2][LANES], q2[2][LANES];
			lanes a_xq, a_q2, b_xq, b_q2;

			iq1_cut_sums(&sum, first, second, 0, &a_xq, &a_q2);
			iq1_cut_sums(&sum, first, second, 1, &b_xq, &b_q2);
			mask &= iq1_better(a_xq, a_q2, best.merit) |
				iq1_better(b_xq, b_q2, best.merit);
			if (!mask) /* as it is nearly always */
				continue;
			lanes_store(xq[0], a_xq);
			lanes_store(q2[0], a_q2);
			lanes_store(xq[1], b_xq);
			lanes_store(q2[1], b_q2);
			for (; mask; mask &= mask - 1) {
				int at = __builtin_ctz(mask);
				struct qc_iq1_sums sums = {{xq[0][at], xq[1][at]},
							   {q2[0][at], q2[1][at]}};

				qc_iq1_try(&sums, 2, first, second + at, &best);
			}
		}
	}
	return best;
}

/* What the j-th smallest value adds for coordinate c: the four moves of xq, then those of q2. */
static inline void iq1_terms(const float *x, const float *weight, const uint8_t order[16],
			     octet term[3][16])
{
	for (int c = 0; c < 3; c++) {
		float up = qc_iq1_levels[0][c], down = qc_iq1_levels[1][c];
		const float by_first[4] = {up, up, down, down}, by_second[4] = {up, down, up, down};
		quad of_first = quad_load(by_first), of_second = quad_load(by_second);

		for (int j = 0; j < 16; j++) {
			int i = order[j];
			quad q = i < 8 ? of_first : of_second, wq = quad_set(weight[i]) * q;

			term[c][j] = octet_join(wq * quad_set(x[i]), wq * q);
		}
	}
}

/* The sums of all cuts at first .. first + 3, four chains of additions that fill each other's gaps;
 * lower[k]: the sum of the first k values' lower terms. */
static inline void iq1_sums4(octet term[3][16], const octet lower[17], int first,
			     octet sums[20][17])
{
	octet a, b, c, d;

	a = b = c = d = lower[0];
	for (int second = first; second <= 16; second++) {
		octet all_a, all_b, all_c, all_d;

		a = second == first ? lower[second] : a;
		b = second == first + 1 ? lower[second] : b;
		c = second == first + 2 ? lower[second] : c;
		d = second == first + 3 ? lower[second] : d;
		all_a = a;
		all_b = b;
		all_c = c;
		all_d = d;
		for (int j = second; j < 16; j++) {
			all_a = octet_sum(all_a, term[2][j]);
			all_b = octet_sum(all_b, term[2][j]);
			all_c = octet_sum(all_c, term[2][j]);
			all_d = octet_sum(all_d, term[2][j]);
		}
		sums[first][second] = all_a;
		sums[first + 1][second] = all_b;
		sums[first + 2][second] = all_c;
		sums[first + 3][second] = all_d;
		if (second < 16) {
			a = octet_sum(a, term[1][second]);
			b = octet_sum(b, term[1][second]);
			c = octet_sum(c, term[1][second]);
			d = octet_sum(d, term[1][second]);
		}
	}
}

/* The approximate merits of a cut's moves. */
LANES_INLINE quad iq1_merits(octet sums)
{
	quad xq = octet_first(sums);

	return xq * xq * quad_about_inverse(octet_last(sums));
}

/* Whether no sum of the group overflows or vanishes, so that q2 is between 1/65 and 2 of the
 * weights' sum for every cut. */
static inline bool iq1_ordinary(const float *x, const float *weight, const uint8_t order[16])
{
	float least = __builtin_fabsf(x[order[0]]), most = __builtin_fabsf(x[order[15]]), sum = 0;
	bool positive = true;

	for (int i = 0; i < 16; i++) {
		positive &= weight[i] >= 0;
		sum += weight[i];
	}
	return positive && sum > 0x1p-40f && sum < 0x1p40f && least < 0x1p40f && most < 0x1p40f;
}

/*
 * The definition takes each cut whose merit is above the last taken one's: many, as a rule, since
 * neighbouring cuts have similar merits. Here only the cuts within 2^-8 of the top (by an estimate
 * that is right to 2^-11, so that the rest are 2^-8.5 below it) are looked at, and the last one
 * taken is the same: while the two ways hold different cuts, a cut that not both of them take is at
 * most 2^-21 above what they hold, roundings included. After all 612 tests that is less than 2^-11,
 * short of the top.
 */
static struct qc_iq1_cut iq1_cut16(const float *x, const float *weight, const uint8_t order[16])
{
	struct qc_iq1_cut best = {.first = -1, .merit = -FLT_MAX};
	octet term[3][16], lower[17], sums[20][17];
	quad top = quad_set(0);
	float tops[4], most = 0;
	bool all;

	iq1_terms(x, weight, order, term);
	lower[0] = octet_join(quad_set(0), quad_set(0));
	for (int j = 0; j < 16; j++)
		lower[j + 1] = octet_sum(lower[j], term[0][j]);
	for (int first = 0; first <= 16; first += 4)
		iq1_sums4(term, lower, first, sums);
	for (int first = 0; first <= 16; first++)
		for (int second = first; second <= 16; second++)
			top = quad_max(iq1_merits(sums[first][second]), top);
	quad_store(tops, top);
	for (int move = 0; move < QC_IQ1_MOVES; move++)
		most = tops[move] > most ? tops[move] : most;
	all = !(most > 0x1p-40f && most < 0x1p40f && iq1_ordinary(x, weight, order));
	top = quad_set(most * (1 - 0x1p-8f));
	for (int first = 0; first <= 16; first++) {
		for (int second = first; second <= 16; second++) {
			quad merits = iq1_merits(sums[first][second]);
			struct qc_iq1_sums at;

			if (!quad_any_reaches(merits, top) && !all)
				continue;
			quad_store(at.xq, octet_first(sums[first][second]));
			quad_store(at.q2, octet_last(sums[first][second]));
			qc_iq1_try(&at, QC_IQ1_MOVES, first, second, &best);
		}
	}
	return best;
}

#endif
#endif
