/*
 * The nearest grid point with LANES candidates of a list at a time: qc_iq_nearest8() and its like
 * for 4 values. Each candidate's sum runs over its coordinates in their order.
 */
#ifndef QC_QUANT_LANES_IQ_NEAREST_H
#define QC_QUANT_LANES_IQ_NEAREST_H

#include "quant/lanes/lanes.h"

#ifdef LANES_INLINE

#include <float.h>

#include "quant/iq_search.h"

/* What coordinate i adds to a candidate's sum, by its level: of 8 coordinates with 4 levels, or 4
 * with 8. */
struct iq_terms {
	lanes of[8][LANES_TABLE8];
};

LANES_INLINE lanes iq_term_sum(const struct iq_terms *terms, lanes_int points, int dims)
{
	lanes sum;

	if (dims == 8) {
		sum = lanes_look_up4(terms->of[0][0], points);
#pragma GCC unroll 8
		for (int i = 1; i < 8; i++)
			sum += lanes_look_up4(terms->of[i][0], lanes_int_right(points, 2 * i));
	} else {
		sum = lanes_look_up8(terms->of[0], points);
		for (int i = 1; i < 4; i++)
			sum += lanes_look_up8(terms->of[i], lanes_int_right(points, 3 * i));
	}
	return sum;
}

/* The first of the candidates with the smallest sum; the first of all when no sum is a finite
 * number. */
LANES_INLINE uint16_t iq_least(const struct iq_terms *terms, struct qc_iq_list list, int dims)
{
	int n = (int)(list.end - list.begin), at;
	lanes best = lanes_set(FLT_MAX);
	lanes_int where = lanes_int_set(0), past = lanes_int_set(n);

	for (at = 0; at < n; at += LANES) {
		lanes sum = iq_term_sum(terms, lanes_from_u16(list.begin + at), dims);
		lanes_int index = lanes_int_count(at);
		lanes_mask better = lanes_and(lanes_lt(sum, best), lanes_int_lt(index, past));

		best = lanes_select(better, sum, best);
		where = lanes_int_select(better, index, where);
	}
	where = lanes_int_select(lanes_eq(best, lanes_set(lanes_least(best))), where,
				 lanes_int_set(n));
	return list.begin[lanes_int_least(where)];
}

static bool iq_nearest8(const struct qc_iq_near *near, const float levels[4], const float *x,
			const float *weight, float scale, uint16_t *point)
{
	struct qc_iq_list list = qc_iq_list_of(near, *point);
	lanes scaled = lanes_set(scale) * lanes_table4(levels);
	struct iq_terms terms;

	if (*list.begin == *point)
		return true;
	for (int i = 0; i < 8; i++) {
		lanes diff = scaled - lanes_set(x[i]);

		terms.of[i][0] = lanes_set(weight[i]) * diff * diff;
	}
	*point = iq_least(&terms, list, 8);
	return false;
}

static bool iq_nearest4(const struct qc_iq_near *near, const float levels[8], const float *x,
			const float *weight, float scale, uint16_t *point)
{
	struct qc_iq_list list = qc_iq_list_of(near, *point);
	struct iq_terms terms;

	if (*list.begin == *point)
		return true;
	for (int part = 0; part < LANES_TABLE8; part++) {
		lanes scaled = lanes_set(scale) * lanes_table8(levels, part);

		for (int i = 0; i < 4; i++) {
			lanes diff = scaled - lanes_set(x[i]);

			terms.of[i][part] = lanes_set(weight[i]) * diff * diff;
		}
	}
	*point = iq_least(&terms, list, 4);
	return false;
}

#endif
#endif
