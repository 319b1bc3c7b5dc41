/*
 * The trial scales of iq2 and iq3 with one trial per lane: qc_iq_kernel's try_scales. Every sum,
 * product, division and comparison is the scalar one in the scalar order.
 *
 * From one trial to the next few points round differently: consecutive trials with the same
 * neighbour list (a run) look through it together.
 */
#ifndef QC_QUANT_LANES_IQ_STEPS_H
#define QC_QUANT_LANES_IQ_STEPS_H

#include "quant/lanes/lanes.h"

#ifdef LANES_INLINE

#include <float.h>

#include "quant/iq_search.h"

enum {
	IQ_STEPS = 32, /* at most; the lanes behind the last trial compute for nobody */
	IQ_VECTORS = IQ_STEPS / LANES,
	IQ_TERMS = 32, /* 8 coordinates x 4 levels or 4 x 8 */
};

/* The trials of a group. */
struct iq_steps {
	int n, vectors; /* trials, and vectors that hold them */
	lanes inverse[IQ_VECTORS];
	lanes level[8][IQ_VECTORS]; /* scale * level */
	int32_t point[8][IQ_STEPS]; /* chosen for point k */
	int32_t key[IQ_STEPS];	    /* of the neighbour list, for the point under way */
	uint8_t off[IQ_STEPS];	    /* bit k: rounding missed the grid at point k */
	/* of the point under way: what coordinate i adds to a sum when its level is c, in row 4 i +
	 * c (8 i + c) */
	lanes term[IQ_VECTORS][IQ_TERMS];
};

LANES_INLINE void iq_steps_start(const struct qc_iq_search *search, float range, struct iq_steps *s)
{
	int levels = search->grid->levels;

	s->n = 2 * search->last + 1;
	s->vectors = (s->n + LANES - 1) / LANES;
	for (int v = 0; v < s->vectors; v++) {
		lanes step = lanes_from_int(lanes_int_count(v * LANES - search->last));
		lanes top = lanes_set((float)(2 * levels - 1)) + step * lanes_set(search->step);
		lanes scale;

		s->inverse[v] = top / lanes_set(range);
		scale = lanes_set(1) / s->inverse[v];
		for (int c = 0; c < levels; c++)
			s->level[c][v] = scale * lanes_set(qc_iq_odd_levels[c]);
	}
	for (int i = 0; i < s->n; i++)
		s->off[i] = 0;
}

/* Round the `dims` values at x for all trials: points and keys. */
LANES_INLINE void iq_steps_round(struct iq_steps *s, const float *x, int dims, int32_t *point)
{
	const int bits = dims == 8 ? 2 : 3, levels = dims == 8 ? 3 : 8;

	for (int v = 0; v < s->vectors; v++) {
		lanes_int p = lanes_int_set(0), key = p;

		for (int i = dims - 1; i >= 0; i--) {
			lanes in =
				lanes_set(0.5f) * (s->inverse[v] * lanes_set(x[i]) - lanes_set(1));
			lanes_int c = lanes_int_clamp(lanes_nearest(in), 0, levels - 1);

			p = lanes_int_sum(lanes_int_left(p, bits), c);
			if (levels == 3)
				key = lanes_int_sum(lanes_int_sum(lanes_int_left(key, 1), key), c);
		}
		lanes_int_store(point + v * LANES, p);
		lanes_int_store(s->key + v * LANES, levels == 3 ? key : p);
	}
}

LANES_INLINE void iq_steps_terms(struct iq_steps *s, int v, const float *x, const float *root,
				 int dims)
{
	const int levels = dims == 8 ? 3 : 8, rows = 32 / dims;

	for (int i = 0; i < dims; i++) {
		for (int c = 0; c < levels; c++) {
			lanes diff = s->level[c][v] - lanes_set(x[i]);

			s->term[v][rows * i + c] = lanes_set(root[i]) * diff * diff;
		}
	}
}

/* What coordinate i of a candidate adds in each trial of vector v. */
LANES_INLINE lanes iq_steps_term(const struct iq_steps *s, int v, unsigned point, int i, int dims)
{
	const unsigned bits = dims == 8 ? 2 : 3, rows = 1u << bits;

	return s->term[v][rows * (unsigned)i + (point >> (bits * (unsigned)i) & (rows - 1))];
}

LANES_INLINE lanes iq_steps_sum(const struct iq_steps *s, int v, unsigned point, int dims)
{
	lanes sum = iq_steps_term(s, v, point, 0, dims) + iq_steps_term(s, v, point, 1, dims) +
		    iq_steps_term(s, v, point, 2, dims) + iq_steps_term(s, v, point, 3, dims);

	if (dims == 8)
		sum = sum + iq_steps_term(s, v, point, 4, dims) +
		      iq_steps_term(s, v, point, 5, dims) + iq_steps_term(s, v, point, 6, dims) +
		      iq_steps_term(s, v, point, 7, dims);
	return sum;
}

/* For each trial of vector v the first of the list's points with the smallest sum; the first of all
 * when no sum is a finite number. */
LANES_INLINE lanes_int iq_steps_nearest(const struct iq_steps *s, int v, struct qc_iq_list list,
					int dims)
{
	lanes best = lanes_set(FLT_MAX);
	lanes_int winner = lanes_int_set(*list.begin);

	for (const uint16_t *p = list.begin; p < list.end; p++) {
		lanes sum = iq_steps_sum(s, v, *p, dims);

		winner = lanes_int_select(lanes_lt(sum, best), lanes_int_set(*p), winner);
		best = lanes_min(sum, best);
	}
	return winner;
}

/* Choose point k in all trials. */
LANES_INLINE void iq_steps_choose(struct iq_steps *s, const struct qc_iq_work *work, int k,
				  int dims)
{
	const struct qc_iq_near *near = work->search->near;
	const float *x = work->x + dims * k, *root = work->root + dims * k;
	int32_t *point = s->point[k];
	int with_terms = 0, end;

	iq_steps_round(s, x, dims, point);
	for (int first = 0; first < s->n; first = end) {
		const uint32_t *at = near->first + s->key[first];
		struct qc_iq_list list = {near->points + at[0], near->points + at[1]};

		for (end = first + 1; end < s->n && s->key[end] == s->key[first];)
			end++;
		if (*list.begin == point[first])
			continue;
		for (int v = first / LANES; v <= (end - 1) / LANES; v++) {
			lanes_int was, index = lanes_int_count(v * LANES);
			lanes_mask before = lanes_int_lt(index, lanes_int_set(first));
			lanes_mask inside = lanes_int_lt(index, lanes_int_set(end));

			if (v >= with_terms) {
				iq_steps_terms(s, v, x, root, dims);
				with_terms = v + 1;
			}
			was = lanes_int_load(point + v * LANES);
			inside = lanes_and(inside, lanes_not(before));
			lanes_int_store(
				point + v * LANES,
				lanes_int_select(inside, iq_steps_nearest(s, v, list, dims), was));
		}
		for (int i = first; i < end; i++)
			s->off[i] |= (uint8_t)(1u << k);
	}
}

/* Least-squares sums of the trials of vector v. */
LANES_INLINE void iq_steps_fit(const struct iq_steps *s, const struct qc_iq_work *work, int v,
			       int dims, float *xq, float *q2)
{
	const int bits = dims == 8 ? 2 : 3, levels = dims == 8 ? 4 : 8;
	lanes sum_xq = lanes_set(0), sum_q2 = lanes_set(0);
	const float *x = work->x, *weight = work->weight;

	for (int k = 0; k < work->n_points; k++) {
		lanes_int p = lanes_int_load(s->point[k] + v * LANES);

		for (int j = 0; j < dims; j++, x++, weight++) {
			lanes q = lanes_from_int(
				lanes_int_and(lanes_int_right(p, bits * j), levels - 1));

			q = q + q + lanes_set(1);
			sum_xq += lanes_set(*weight * *x) * q;
			sum_q2 += lanes_set(*weight) * q * q;
		}
	}
	lanes_store(xq, sum_xq);
	lanes_store(q2, sum_q2);
}

LANES_INLINE float iq_steps_best(const struct qc_iq_work *work, float range, float scale,
				 struct qc_iq_choice *best, int dims)
{
	float xq[IQ_STEPS], q2[IQ_STEPS], merit = 0;
	struct iq_steps s;
	int chosen = -1;

	iq_steps_start(work->search, range, &s);
	for (int k = 0; k < work->n_points; k++)
		iq_steps_choose(&s, work, k, dims);
	for (int v = 0; v < s.vectors; v++)
		iq_steps_fit(&s, work, v, dims, xq + v * LANES, q2 + v * LANES);
	for (int i = 0; i < s.n; i++) {
		if (q2[i] > 0 && xq[i] * xq[i] > merit * q2[i]) {
			scale = xq[i] / q2[i];
			merit = scale * xq[i];
			chosen = i;
		}
	}
	if (chosen < 0)
		return scale;
	for (int k = 0; k < work->n_points; k++)
		best->point[k] = (uint16_t)s.point[k][chosen];
	best->off = s.off[chosen];
	return scale;
}

static float iq_try_scales(const struct qc_iq_work *work, float range, float scale,
			   struct qc_iq_choice *best)
{
	/* constants make a search of each */
	return work->search->grid->dims == 8 ? iq_steps_best(work, range, scale, best, 8)
					     : iq_steps_best(work, range, scale, best, 4);
}

#endif
#endif
