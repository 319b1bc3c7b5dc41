/*
 * qc_search_symmetric() with one group of 16 or 32 in each lane: every sum, product, division and
 * comparison is the scalar one in the scalar order, so the results are the same bits.
 */
#ifndef QC_QUANT_LANES_SYMMETRIC_SEARCH_H
#define QC_QUANT_LANES_SYMMETRIC_SEARCH_H

#include "quant/kscale.h"
#include "quant/lanes/lanes.h"

#ifdef LANES_INLINE

/* x[i], weight[i], weight[i] * x[i]: element i of every lane's group. */
struct symmetric_groups {
	lanes x[32], weight[32], wx[32];
};

/* The codes are made by `inverse`; 0 where a group counts as zero. `merit` is what the search
 * raises. */
struct symmetric_best {
	lanes scale, inverse, merit;
};

struct symmetric_trial {
	lanes inverse, sum_xl, sum_l2;
};

LANES_INLINE struct symmetric_trial symmetric_try(float steps, lanes extreme)
{
	return (struct symmetric_trial){lanes_set(steps) / extreme, lanes_set(0), lanes_set(0)};
}

/* |inverse * x| stays below nmax + 1 (but in tiny groups, whose result is replaced): plain rounding
 * is qc_nearest(). */
LANES_INLINE void symmetric_add(struct symmetric_trial *t, const struct symmetric_groups *g, int i,
				int nmax)
{
	lanes code = lanes_round(t->inverse * g->x[i]);

	code = lanes_min(lanes_max(code, lanes_set((float)-nmax)), lanes_set((float)(nmax - 1)));
	t->sum_xl += g->wx[i] * code;
	t->sum_l2 += g->weight[i] * code * code;
}

LANES_INLINE void symmetric_accept(struct symmetric_best *s, const struct symmetric_trial *t)
{
	lanes_mask better = lanes_and(lanes_lt(lanes_set(0), t->sum_l2),
				      lanes_lt(s->merit * t->sum_l2, t->sum_xl * t->sum_xl));
	lanes scale = t->sum_xl / t->sum_l2;

	s->inverse = lanes_select(better, t->inverse, s->inverse);
	s->scale = lanes_select(better, scale, s->scale);
	s->merit = lanes_select(better, scale * t->sum_xl, s->merit);
}

/* The first element of the largest magnitude in each lane, and the magnitude. */
LANES_INLINE lanes symmetric_extreme(const struct symmetric_groups *g, int n, lanes *magnitude)
{
	lanes extreme = lanes_set(0);

	*magnitude = lanes_set(0);
	for (int i = 0; i < n; i++) {
		lanes m = lanes_abs(g->x[i]);
		lanes_mask larger = lanes_lt(*magnitude, m);

		extreme = lanes_select(larger, g->x[i], extreme);
		*magnitude = lanes_select(larger, m, *magnitude);
	}
	return extreme;
}

/* qc_search_symmetric() in every lane, of finite values. */
LANES_INLINE struct symmetric_best symmetric_search(const struct symmetric_groups *g, int n,
						    int nmax)
{
	lanes zero = lanes_set(0), magnitude, extreme = symmetric_extreme(g, n, &magnitude);
	lanes_mask tiny = lanes_lt(magnitude, lanes_set(QC_GROUP_EPS));
	struct symmetric_trial t = symmetric_try((float)-nmax, extreme);
	struct symmetric_best s;

	for (int i = 0; i < n; i++)
		symmetric_add(&t, g, i, nmax);
	s.inverse = t.inverse;
	s.scale = lanes_select(lanes_eq(t.sum_l2, zero), zero, t.sum_xl / t.sum_l2);
	s.merit = s.scale * t.sum_xl;
	/* Steps -9 .. 9 without 0, three at a time: their chains of additions fill each other's
	 * gaps. */
	for (int first = -9; first < 9; first += 3) {
		float step = (float)(first < 0 ? first : first + 1);
		struct symmetric_trial a, b, c;

		a = symmetric_try(-((float)nmax + 0.1f * step), extreme);
		b = symmetric_try(-((float)nmax + 0.1f * (step + 1)), extreme);
		c = symmetric_try(-((float)nmax + 0.1f * (step + 2)), extreme);
		for (int i = 0; i < n; i++) {
			symmetric_add(&a, g, i, nmax);
			symmetric_add(&b, g, i, nmax);
			symmetric_add(&c, g, i, nmax);
		}
		symmetric_accept(&s, &a);
		symmetric_accept(&s, &b);
		symmetric_accept(&s, &c);
	}
	s.scale = lanes_select(tiny, zero, s.scale);
	s.inverse = lanes_select(tiny, zero, s.inverse);
	return s;
}

#endif
#endif
