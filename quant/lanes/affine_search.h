/*
 * The searches of kscale.h for q2_K, q4_K and q5_K with one group of 16 or 32 in each lane. Every
 * sum, product, division and comparison is the scalar one in the scalar order, so the results are
 * the same bits.
 *
 * Two sets of lanes go through a search together: a sum is a chain of dependent additions, and the
 * other set's chain fills the gaps.
 */
#ifndef QC_QUANT_LANES_AFFINE_SEARCH_H
#define QC_QUANT_LANES_AFFINE_SEARCH_H

#include <stdbool.h>

#include "quant/kscale.h"
#include "quant/lanes/lanes.h"

#ifdef LANES_INLINE

/* x[i] and weight[i]: element i of every lane's group. */
struct affine_groups {
	lanes x[32], weight[32];
	lanes code[32]; /* of the step under way */
};

/* State and result of qc_search_affine(): x ~ scale * code + min with codes made by `inverse` from
 * x - low. */
struct affine_best {
	lanes scale, min, error;
	lanes inverse, low;
	lanes x_min, x_max;
	lanes top; /* upper end of the range that the codes cover; infinite where the range is empty
		    */
	lanes sum_w, sum_x;
	lanes_mask wild; /* values too far out for simple rounding: the lane's result is void */
};

/* One step: codes' sums, then the scale and min that fit them best. */
struct affine_trial {
	lanes inverse, low;
	lanes sum_l, sum_l2, sum_xl;
	lanes scale, min, error;
};

LANES_INLINE lanes affine_code(lanes x, lanes inverse, lanes low, lanes nmax)
{
	lanes code = lanes_round(inverse * (x - low));

	return lanes_min(lanes_max(code, lanes_set(0)), nmax);
}

/* affine_code() rounds as qc_nearest() does up to 2^22. All its steps are monotonic in x: when the
 * least and the largest x stay below, so does every other. */
LANES_INLINE lanes_mask affine_wild(const struct affine_best *s, lanes inverse)
{
	lanes limit = lanes_set(4194303.0f);
	lanes_mask least = lanes_lt(lanes_abs(inverse * (s->x_min - s->min)), limit);
	lanes_mask largest = lanes_lt(lanes_abs(inverse * (s->x_max - s->min)), limit);

	return lanes_not(lanes_and(least, largest));
}

LANES_INLINE lanes affine_error(lanes x, lanes weight, lanes code, lanes scale, lanes min,
				bool absolute)
{
	lanes diff = scale * code + min - x;

	if (absolute)
		return weight * lanes_abs(diff);
	return weight * (diff * diff);
}

LANES_INLINE void affine_start(const struct affine_groups *g, int n, float nmax, bool absolute,
			       struct affine_best *s)
{
	lanes zero = lanes_set(0), x_min = g->x[0], x_max = g->x[0], error = zero;
	lanes sum_w = g->weight[0], sum_x = g->weight[0] * g->x[0];
	lanes_mask flat;

	for (int i = 1; i < n; i++) {
		x_min = lanes_min(g->x[i], x_min);
		x_max = lanes_max(g->x[i], x_max);
		sum_w += g->weight[i];
		sum_x += g->weight[i] * g->x[i];
	}
	s->x_min = x_min;
	s->x_max = x_max;
	s->sum_w = sum_w;
	s->sum_x = sum_x;
	s->min = s->low = lanes_select(lanes_lt(zero, x_min), zero, x_min);
	flat = lanes_eq(x_max, s->min);
	/* Flat lanes get inverse 0, codes 0 and a NaN for an error, which no step beats. */
	s->top = lanes_select(flat, lanes_set(__builtin_inff()), x_max);
	s->inverse = lanes_set(nmax) / (s->top - s->min);
	s->wild = affine_wild(s, s->inverse);
	s->scale = lanes_set(1) / s->inverse;
	for (int i = 0; i < n; i++) {
		lanes code = affine_code(g->x[i], s->inverse, s->min, lanes_set(nmax));

		error += affine_error(g->x[i], g->weight[i], code, s->scale, s->min, absolute);
	}
	s->error = error;
	s->scale = lanes_select(flat, zero, s->scale);
}

/* The step's inverse scale: `steps` codes in the range. */
LANES_INLINE struct affine_trial affine_try(struct affine_best *s, float steps)
{
	struct affine_trial t = {.inverse = lanes_set(steps) / (s->top - s->min), .low = s->min};

	t.sum_l = t.sum_l2 = t.sum_xl = t.error = lanes_set(0);
	s->wild = lanes_or(s->wild, affine_wild(s, t.inverse));
	return t;
}

LANES_INLINE void affine_add(struct affine_trial *t, struct affine_groups *g, int i, lanes nmax)
{
	lanes code = affine_code(g->x[i], t->inverse, t->low, nmax);
	lanes wl = g->weight[i] * code;

	g->code[i] = code;
	t->sum_l += wl;
	t->sum_l2 += wl * code;
	t->sum_xl += wl * g->x[i];
}

/* True in the lanes whose codes determine a scale and a min. */
LANES_INLINE lanes_mask affine_solve(struct affine_trial *t, const struct affine_best *s)
{
	lanes zero = lanes_set(0), det = s->sum_w * t->sum_l2 - t->sum_l * t->sum_l;
	lanes_mask above;

	t->scale = (s->sum_w * t->sum_xl - s->sum_x * t->sum_l) / det;
	t->min = (t->sum_l2 * s->sum_x - t->sum_l * t->sum_xl) / det;
	above = lanes_lt(zero, t->min);
	if (lanes_any(above)) { /* seldom, and a division is dear */
		t->min = lanes_select(above, zero, t->min);
		t->scale = lanes_select(above, t->sum_xl / t->sum_l2, t->scale);
	}
	return lanes_lt(zero, det);
}

LANES_INLINE void affine_add_error(struct affine_trial *t, const struct affine_groups *g, int i,
				   bool absolute)
{
	t->error += affine_error(g->x[i], g->weight[i], g->code[i], t->scale, t->min, absolute);
}

LANES_INLINE void affine_accept(struct affine_best *s, const struct affine_trial *t,
				lanes_mask solved)
{
	lanes_mask better = lanes_and(solved, lanes_lt(t->error, s->error));

	s->inverse = lanes_select(better, t->inverse, s->inverse);
	s->low = lanes_select(better, t->low, s->low);
	s->scale = lanes_select(better, t->scale, s->scale);
	s->min = lanes_select(better, t->min, s->min);
	s->error = lanes_select(better, t->error, s->error);
}

/* qc_search_affine() of groups of n in the lanes of both sets; `absolute` is the grid's. A min is
 * <= 0 here. False when a lane is wild. */
LANES_INLINE bool affine_search(struct affine_groups g[2], int n, int nmax,
				const struct qc_affine_grid *grid, bool absolute,
				struct affine_best s[2])
{
	affine_start(&g[0], n, (float)nmax, absolute, &s[0]);
	affine_start(&g[1], n, (float)nmax, absolute, &s[1]);
	for (int step = 0; step <= grid->last; step++) {
		float steps = grid->first + grid->step * (float)step + (float)nmax;
		struct affine_trial a = affine_try(&s[0], steps), b = affine_try(&s[1], steps);
		lanes_mask solved_a, solved_b;

		for (int i = 0; i < n; i++) {
			affine_add(&a, &g[0], i, lanes_set((float)nmax));
			affine_add(&b, &g[1], i, lanes_set((float)nmax));
		}
		solved_a = affine_solve(&a, &s[0]);
		solved_b = affine_solve(&b, &s[1]);
		for (int i = 0; i < n; i++) {
			affine_add_error(&a, &g[0], i, absolute);
			affine_add_error(&b, &g[1], i, absolute);
		}
		affine_accept(&s[0], &a, solved_a);
		affine_accept(&s[1], &b, solved_b);
	}
	return !lanes_any(lanes_or(s[0].wild, s[1].wild));
}

/* The n <= 32 scales (or mins) of a super-block in each lane, and the weights of their groups. */
struct scales_groups {
	int n;
	lanes x[32], weight[32];
	lanes code[32];
};

/* The merit of the codes is xl^2 / l2. */
struct scales_fit {
	lanes xl, l2;
};

/* Weighted error of the codes made by `inverse`; `bytes`: codes wrap in 8 bits, else they are cut
 * at nmax. */
LANES_INLINE lanes scales_error(const struct scales_groups *g, int nmax, lanes inverse, bool bytes)
{
	lanes error = lanes_set(0), scale = lanes_set(1) / inverse;

	for (int j = 0; j < g->n; j++) {
		lanes_int l = lanes_nearest(inverse * g->x[j]);
		lanes diff;

		l = bytes ? lanes_int_and(l, 255) : lanes_int_min(l, nmax);
		diff = g->x[j] - scale * lanes_from_int(l);
		error += g->weight[j] * diff * diff;
	}
	return error;
}

/* Move code j to where the others' scale wants it, in the lanes where that helps: those are
 * returned. */
LANES_INLINE lanes_mask scales_improve(struct scales_groups *g, int j, int nmax,
				       struct scales_fit *fit)
{
	lanes zero = lanes_set(0), wx = g->weight[j] * g->x[j], code = g->code[j], moved;
	struct scales_fit rest = {fit->xl - wx * code, fit->l2 - g->weight[j] * code * code};
	lanes_mask better = lanes_and(lanes_lt(zero, rest.xl), lanes_lt(zero, rest.l2));
	lanes_int l = lanes_int_min(lanes_nearest(g->x[j] * rest.l2 / rest.xl), nmax);

	moved = lanes_from_int(l);
	better = lanes_and(better, lanes_not(lanes_eq(moved, code)));
	rest.xl += wx * moved;
	rest.l2 += g->weight[j] * moved * moved;
	better = lanes_and(better,
			   lanes_lt(fit->xl * fit->xl * rest.l2, rest.xl * rest.xl * fit->l2));
	g->code[j] = lanes_select(better, lanes_from_int(lanes_int_and(l, 255)), code);
	fit->xl = lanes_select(better, rest.xl, fit->xl);
	fit->l2 = lanes_select(better, rest.l2, fit->l2);
	return better;
}

/* qc_search_scales() in every lane: leaves the codes (0..255) in *g and returns the scales. */
static inline lanes scales_search(struct scales_groups *g, int nmax)
{
	lanes zero = lanes_set(0), max = zero, inverse, best;
	struct scales_fit fit = {zero, zero};
	lanes_mask tiny, changed;

	for (int j = 0; j < g->n; j++)
		max = lanes_max(max, g->x[j]);
	tiny = lanes_lt(max, lanes_set(QC_GROUP_EPS));
	inverse = lanes_set((float)nmax) / max;
	best = scales_error(g, nmax, inverse, true);
	for (int step = -4; step <= 4; step++) {
		lanes trial = lanes_set(0.1f * (float)step + (float)nmax) / max, error;
		lanes_mask better;

		if (step == 0)
			continue;
		error = scales_error(g, nmax, trial, false);
		better = lanes_lt(error, best);
		best = lanes_select(better, error, best);
		inverse = lanes_select(better, trial, inverse);
	}
	for (int j = 0; j < g->n; j++) {
		lanes_int l = lanes_int_min(lanes_nearest(inverse * g->x[j]), nmax);
		lanes code = lanes_from_int(l);

		g->code[j] = lanes_from_int(lanes_int_and(l, 255));
		fit.xl += g->weight[j] * g->x[j] * code;
		fit.l2 += g->weight[j] * code * code;
	}
	/* A lane in which a pass changes nothing does not change in a further one either. */
	for (int pass = 0; pass < 5; pass++) {
		changed = lanes_none();
		for (int j = 0; j < g->n; j++)
			changed = lanes_or(changed, scales_improve(g, j, nmax, &fit));
		if (!lanes_any(changed))
			break;
	}
	for (int j = 0; j < g->n; j++)
		g->code[j] = lanes_select(tiny, zero, g->code[j]);
	return lanes_select(lanes_and(lanes_lt(zero, fit.l2), lanes_not(tiny)), fit.xl / fit.l2,
			    zero);
}

#endif
#endif
