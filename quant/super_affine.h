/*
 * Better blocks for q4_K, q5_K and q2_K: x ~ d * sc[g] * code - dmin * m[g] in each group g, all
 * integers not negative.
 *
 * 1. Each group by itself: a line scale * code - min, min >= 0. Candidates stretch the codes' range
 *    over the group's and shift it (search_affine.c); least squares gives each one's line and
 *    error; the best one is refined by rounding the codes on it and solving again.
 * 2. d and dmin: from the largest scale and min divided by about the largest integer. As long as
 *    no code changes, the error grows by a quadratic form in what the rounding to sc and m takes a
 *    line away from its optimum, which tells the best divisors without a look at the values.
 * 3. sc and m of each group: those next to the line, by the error that they really leave; then d
 *    and dmin by least squares over all groups, and again.
 */
#ifndef QC_QUANT_SUPER_AFFINE_H
#define QC_QUANT_SUPER_AFFINE_H

#include "quant/round.h"
#include "quant/super.h"

enum { AFFINE_GROUPS = 16, AFFINE_REFITS = 2, AFFINE_ROUNDS = 3 };

struct affine_shape {
	int groups, n;		    /* groups of n values */
	float top;		    /* largest code */
	float fine;		    /* largest sc and m */
	int reach;		    /* sc is tried this far to both sides of the line, */
	int strides[AFFINE_ROUNDS]; /* in these steps */
	float first,
		step; /* divisors of the largest scale: fine + first, fine + first + step, ... */
	int n_divisors;
};

/* Weighted sums over a group of 1, x, l, l^2 and x * l. */
struct affine_sums {
	lanes w, x, l, l2, xl;
};

/* x ~ scale * l - min, for the codes that gave the sums. */
struct affine_line {
	lanes scale, min;
	struct affine_sums sums;
};

/* A super-block as it is encoded. */
struct affine_found {
	lanes d, dmin, error;
	lanes sc[AFFINE_GROUPS], m[AFFINE_GROUPS];
};

LANES_INLINE lanes affine_code(lanes x, lanes min, lanes inverse, lanes top)
{
	return super_whole(super_clamp((x + min) * inverse, lanes_set(0), top));
}

LANES_INLINE void affine_add(struct affine_sums *s, lanes x, lanes weight, lanes l)
{
	lanes wl = weight * l;

	s->l += wl;
	s->l2 += wl * l;
	s->xl += wl * x;
}

/* The least-squares line with min >= 0; false lanes have none. */
LANES_INLINE lanes_mask affine_solve(struct affine_line *line)
{
	const struct affine_sums *s = &line->sums;
	lanes zero = lanes_set(0), det = s->w * s->l2 - s->l * s->l;
	lanes scale = (s->w * s->xl - s->x * s->l) / det;
	lanes min = (s->l * s->xl - s->l2 * s->x) / det;
	lanes_mask below = lanes_lt(min, zero);

	line->scale = lanes_select(below, s->xl / s->l2, scale);
	line->min = lanes_select(below, zero, min);
	return lanes_and(lanes_lt(zero, det), lanes_lt(zero, line->scale));
}

/* What a line takes off the sum of the weighted squares. */
LANES_INLINE lanes affine_gain(const struct affine_line *line)
{
	const struct affine_sums *s = &line->sums;

	return line->scale * s->xl - line->min * s->x;
}

LANES_INLINE struct affine_line affine_choose(lanes_mask m, const struct affine_line *a,
					      const struct affine_line *b)
{
	return (struct affine_line){
		lanes_select(m, a->scale, b->scale),
		lanes_select(m, a->min, b->min),
		{lanes_select(m, a->sums.w, b->sums.w), lanes_select(m, a->sums.x, b->sums.x),
		 lanes_select(m, a->sums.l, b->sums.l), lanes_select(m, a->sums.l2, b->sums.l2),
		 lanes_select(m, a->sums.xl, b->sums.xl)}};
}

/* The sums of the codes rounded on a line. */
LANES_INLINE struct affine_sums affine_round(const lanes *x, const lanes *weight, int n, lanes top,
					     lanes scale, lanes min)
{
	lanes zero = lanes_set(0), inverse = super_ratio(lanes_set(1), scale);
	struct affine_sums s = {zero, zero, zero, zero, zero};

	for (int i = 0; i < n; i++) {
		affine_add(&s, x[i], weight[i], affine_code(x[i], min, inverse, top));
		s.w += weight[i];
		s.x += weight[i] * x[i];
	}
	return s;
}

/* Step 1. */
static inline struct affine_line affine_fit(const lanes *x, const lanes *weight,
					    const struct affine_shape *shape)
{
	lanes zero = lanes_set(0), top = lanes_set(shape->top), low = zero, high = x[0], range;
	struct affine_line best = {zero, zero, {zero, zero, zero, zero, zero}};
	lanes gain = zero;

	for (int i = 0; i < shape->n; i++) {
		low = lanes_min(low, x[i]);
		high = lanes_max(high, x[i]);
		best.sums.w += weight[i];
		best.sums.x += weight[i] * x[i];
	}
	range = high - low;
	best.min = zero - low;
	for (int c = 0; c < QC_STRETCHES * QC_SHIFTS; c++) {
		float stretch = qc_stretches[c / QC_SHIFTS];
		lanes inverse = lanes_set(shape->top + stretch) / range;
		lanes shift = lanes_set(qc_shifts[c % QC_SHIFTS] - stretch / 2);
		struct affine_line trial = best;
		lanes_mask better;

		trial.sums.l = trial.sums.l2 = trial.sums.xl = zero;
		for (int i = 0; i < shape->n; i++)
			affine_add(&trial.sums, x[i], weight[i],
				   super_whole(
					   super_clamp((x[i] - low) * inverse + shift, zero, top)));
		better = affine_solve(&trial);
		better = lanes_and(better, lanes_lt(gain, affine_gain(&trial)));
		best = affine_choose(better, &trial, &best);
		gain = lanes_select(better, affine_gain(&trial), gain);
	}
	for (int round = 0; round < AFFINE_REFITS; round++) {
		struct affine_line trial;

		trial.sums = affine_round(x, weight, shape->n, top, best.scale, best.min);
		best = affine_choose(affine_solve(&trial), &trial, &best);
	}
	return best;
}

/* The min that is best beside `scale` while no code changes. */
LANES_INLINE lanes affine_min_beside(const struct affine_line *line, lanes scale)
{
	return line->min + (scale - line->scale) * super_ratio(line->sums.l, line->sums.w);
}

/* Step 2, d: what its rounded scales add to the error when each min is the best beside them. */
LANES_INLINE lanes affine_scales_cost(const struct affine_line *line,
				      const struct affine_shape *shape, lanes d)
{
	lanes cost = lanes_set(0), inverse = super_ratio(lanes_set(1), d);

	for (int g = 0; g < shape->groups; g++) {
		const struct affine_sums *s = &line[g].sums;
		lanes sc = super_whole(
			super_clamp(line[g].scale * inverse, lanes_set(0), lanes_set(shape->fine)));
		lanes off = d * sc - line[g].scale;

		cost += off * off * (s->l2 - super_ratio(s->l * s->l, s->w));
	}
	return cost;
}

/* Step 2, dmin: what its rounded mins add. */
LANES_INLINE lanes affine_mins_cost(const struct affine_line *line,
				    const struct affine_shape *shape, lanes d, lanes dmin)
{
	lanes cost = lanes_set(0), zero = lanes_set(0), fine = lanes_set(shape->fine);
	lanes inverse = super_ratio(lanes_set(1), d), inverse_min = super_ratio(lanes_set(1), dmin);

	for (int g = 0; g < shape->groups; g++) {
		lanes sc = super_whole(super_clamp(line[g].scale * inverse, zero, fine));
		lanes min = affine_min_beside(&line[g], d * sc);
		lanes m = super_whole(super_clamp(min * inverse_min, zero, fine));
		lanes off = dmin * m - min;

		cost += off * off * line[g].sums.w;
	}
	return cost;
}

static inline void affine_divide(const struct affine_line *line, const struct affine_shape *shape,
				 struct affine_found *found)
{
	lanes zero = lanes_set(0), scale = zero, min = zero, best = lanes_set(INFINITY);

	for (int g = 0; g < shape->groups; g++) {
		scale = lanes_max(scale, line[g].scale);
		min = lanes_max(min, line[g].min);
	}
	found->d = found->dmin = zero;
	for (int k = 0; k < shape->n_divisors; k++) {
		float divisor = shape->fine + shape->first + shape->step * (float)k;
		lanes d = lanes_half(scale / lanes_set(divisor));
		lanes cost = affine_scales_cost(line, shape, d);
		lanes_mask better = lanes_lt(cost, best);

		best = lanes_select(better, cost, best);
		found->d = lanes_select(better, d, found->d);
	}
	best = lanes_set(INFINITY);
	for (int k = 0; k < shape->n_divisors; k++) {
		float divisor = shape->fine + shape->first + shape->step * (float)k;
		lanes dmin = lanes_half(min / lanes_set(divisor));
		lanes cost = affine_mins_cost(line, shape, found->d, dmin);
		lanes_mask better = lanes_lt(cost, best);

		best = lanes_select(better, cost, best);
		found->dmin = lanes_select(better, dmin, found->dmin);
	}
}

LANES_INLINE lanes affine_error(const lanes *x, const lanes *weight, int n, lanes top, lanes scale,
				lanes min)
{
	lanes inverse = super_ratio(lanes_set(1), scale), error = lanes_set(0);

	for (int i = 0; i < n; i++) {
		lanes off = x[i] + min;

		off -= scale * super_whole(super_clamp(off * inverse, lanes_set(0), top));
		error += weight[i] * (off * off);
	}
	return error;
}

/* Step 3: sc and m of group g near its line; returns the error. */
static inline lanes affine_settle(const struct super *s, const struct affine_shape *shape, int g,
				  const struct affine_line *line, int stride,
				  struct affine_found *found)
{
	const lanes *x = s->x + g * shape->n, *weight = s->weight + g * shape->n;
	lanes zero = lanes_set(0), one = lanes_set(1), fine = lanes_set(shape->fine);
	lanes best = lanes_set(INFINITY), inverse_min = super_ratio(one, found->dmin);
	lanes centre =
		super_whole(super_clamp(line->scale * super_ratio(one, found->d), zero, fine));

	found->sc[g] = centre;
	found->m[g] = zero;
	for (int a = -shape->reach; a <= shape->reach; a++) {
		lanes sc = super_clamp(centre + lanes_set((float)(a * stride)), zero, fine);
		lanes scale = found->d * sc, min = affine_min_beside(line, scale);
		lanes middle = super_whole(super_clamp(min * inverse_min, zero, fine));

		for (int b = -1; b <= 1; b++) {
			lanes m = super_clamp(middle + lanes_set((float)b), zero, fine);
			lanes error = affine_error(x, weight, shape->n, lanes_set(shape->top),
						   scale, found->dmin * m);
			lanes_mask better = lanes_lt(error, best);

			best = lanes_select(better, error, best);
			found->sc[g] = lanes_select(better, sc, found->sc[g]);
			found->m[g] = lanes_select(better, m, found->m[g]);
		}
	}
	return best;
}

/* Sums over a super-block of a^2, a * b, b^2, x * a and x * b, x ~ d * a - dmin * b. */
struct affine_total {
	lanes aa, ab, bb, xa, xb;
};

/* Least squares for d and dmin; as they were where it gives none. */
LANES_INLINE void affine_solve_total(const struct affine_total *t, lanes *d, lanes *dmin)
{
	lanes zero = lanes_set(0), det = t->aa * t->bb - t->ab * t->ab;
	lanes both = lanes_half((t->xa * t->bb - t->xb * t->ab) / det);
	lanes both_min = lanes_half((t->xa * t->ab - t->xb * t->aa) / det);
	lanes alone = lanes_half((t->xa + *dmin * t->ab) / t->aa);
	lanes_mask good = lanes_and(lanes_lt(zero, det), lanes_lt(zero, both));
	lanes_mask usable = lanes_and(lanes_lt(zero, alone), lanes_lt(alone, lanes_set(INFINITY)));

	good = lanes_and(good, lanes_lt(both, lanes_set(INFINITY)));
	good = lanes_and(good, lanes_lt(zero, both_min));
	good = lanes_and(good, lanes_lt(both_min, lanes_set(INFINITY)));
	*d = lanes_select(good, both, lanes_select(usable, alone, *d));
	*dmin = lanes_select(good, both_min, *dmin);
}

static inline void affine_search(const struct super *s, const struct affine_shape *shape,
				 struct affine_found *found)
{
	struct affine_line line[AFFINE_GROUPS];
	struct affine_found trial;

	for (int g = 0; g < shape->groups; g++)
		line[g] = affine_fit(s->x + g * shape->n, s->weight + g * shape->n, shape);
	affine_divide(line, shape, &trial);
	*found = trial;
	found->error = lanes_set(INFINITY);
	for (int round = 0;; round++) {
		struct affine_total t = {lanes_set(0), lanes_set(0), lanes_set(0), lanes_set(0),
					 lanes_set(0)};
		lanes_mask better;

		trial.error = lanes_set(0);
		for (int g = 0; g < shape->groups; g++)
			trial.error +=
				affine_settle(s, shape, g, &line[g], shape->strides[round], &trial);
		better = lanes_lt(trial.error, found->error);
		found->error = lanes_select(better, trial.error, found->error);
		found->d = lanes_select(better, trial.d, found->d);
		found->dmin = lanes_select(better, trial.dmin, found->dmin);
		for (int g = 0; g < shape->groups; g++) {
			found->sc[g] = lanes_select(better, trial.sc[g], found->sc[g]);
			found->m[g] = lanes_select(better, trial.m[g], found->m[g]);
		}
		if (round == AFFINE_ROUNDS - 1)
			return;
		for (int g = 0; g < shape->groups; g++) {
			lanes sc = trial.sc[g], m = trial.m[g];
			struct affine_line now;

			now.sums = affine_round(s->x + g * shape->n, s->weight + g * shape->n,
						shape->n, lanes_set(shape->top), trial.d * sc,
						trial.dmin * m);
			t.aa += sc * sc * now.sums.l2;
			t.ab += sc * m * now.sums.l;
			t.bb += m * m * now.sums.w;
			t.xa += sc * now.sums.xl;
			t.xb += m * now.sums.x;
			line[g] = affine_choose(affine_solve(&now), &now, &line[g]);
		}
		affine_solve_total(&t, &trial.d, &trial.dmin);
	}
}

/* What a lane's super-block is made of. */
struct affine_block {
	float d, dmin;
	uint8_t sc[AFFINE_GROUPS], m[AFFINE_GROUPS], codes[SUPER_ELEMS];
};

/* Lane k of what was found, with the codes of its 256 values. */
static inline void affine_take(const float *x, const struct affine_shape *shape,
			       const struct affine_found *found, size_t k, struct affine_block *out)
{
	float d[LANES], dmin[LANES], sc[LANES], m[LANES];

	lanes_store(d, found->d);
	lanes_store(dmin, found->dmin);
	out->d = d[k];
	out->dmin = dmin[k];
	for (int g = 0; g < shape->groups; g++) {
		float scale, min, inverse;

		lanes_store(sc, found->sc[g]);
		lanes_store(m, found->m[g]);
		out->sc[g] = (uint8_t)sc[k];
		out->m[g] = (uint8_t)m[k];
		scale = out->d * sc[k];
		min = out->dmin * m[k];
		inverse = scale == 0 ? 0 : 1 / scale;
		for (int i = g * shape->n; i < (g + 1) * shape->n; i++) {
			float code = (x[i] + min) * inverse;

			code = code > 0 ? code : 0;
			code = code < shape->top ? code : shape->top;
			out->codes[i] = (uint8_t)qc_nearest(code);
		}
	}
}

#endif
