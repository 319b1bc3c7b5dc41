/*
 * Better blocks for q6_K, q3_K, iq4_xs, and those with one group: x ~ d * sc[g] * level[code] in
 * each group g. The levels are integers, or the sixteen of iq4.h.
 *
 * 1. Each group by itself: for levels that the value of largest magnitude might get (or numbers
 *    near them), all values are rounded on that scale, and least squares gives the scale and the
 *    error for these codes.
 * 2. d: the largest scale divided by about the largest integer, or the lowest. As long as no code
 *    changes, the error grows by the square of what the rounding to sc takes a scale away from its
 *    optimum.
 * 3. sc of each group: those next to the scale, by the error that they really leave; then d by
 *    least squares over all groups, and again.
 */
#ifndef QC_QUANT_SUPER_SYMMETRIC_H
#define QC_QUANT_SUPER_SYMMETRIC_H

#include "quant/iq4.h"
#include "quant/round.h"
#include "quant/super.h"

enum { SYMMETRIC_GROUPS = 16, SYMMETRIC_ROUNDS = 3 };

struct symmetric_shape {
	int groups, n;	      /* groups of n values */
	bool iq4;	      /* levels of iq4.h, not integers */
	float low, high;      /* levels */
	int n_steps;	      /* the largest value is tried at low and at high, */
	float step;	      /* and up to so many of these steps to both sides */
	float fine_low, fine; /* sc */
	float divisor_step;   /* d is tried for the largest scale at fine_low and at fine, two of */
	int n_divisors;	      /* these steps outside and so many, from 0, inside */
	int reach;	      /* sc is tried this far to both sides of the scale, */
	int strides[SYMMETRIC_ROUNDS]; /* in these steps; blocks of one group end at a 0 */
};

struct symmetric_levels {
	struct lanes_table level, quarters, eighths, sixteenths;
};

/* Least-squares sums of the values against their levels: the scale is xl / l2. */
struct symmetric_fit {
	lanes scale, xl, l2;
};

struct symmetric_found {
	lanes d, error, sc[SYMMETRIC_GROUPS];
};

static inline struct symmetric_levels symmetric_levels_load(void)
{
	float level[16], border[16 + 3] = {0};
	struct symmetric_levels t;

	for (int i = 0; i < 16; i++)
		level[i] = (float)qc_iq4_levels[i];
	memcpy(border, qc_iq4_borders, sizeof(qc_iq4_borders));
	t.level = lanes_table_load(level);
	t.quarters = lanes_table_load(border + 3);
	t.eighths = lanes_table_load(border + 1);
	t.sixteenths = lanes_table_load(border);
	return t;
}

/* The level nearest to v. */
LANES_INLINE lanes symmetric_level(const struct symmetric_shape *shape,
				   const struct symmetric_levels *t, lanes v)
{
	lanes_int code;

	if (!shape->iq4)
		return super_whole(super_clamp(v, lanes_set(shape->low), lanes_set(shape->high)));
	code = lanes_int_add_unless(lanes_lt(v, lanes_set(qc_iq4_borders[7])), lanes_int_set(0), 8);
	code = lanes_int_add_unless(lanes_lt(v, lanes_look_up(&t->quarters, code)), code, 4);
	code = lanes_int_add_unless(lanes_lt(v, lanes_look_up(&t->eighths, code)), code, 2);
	code = lanes_int_add_unless(lanes_lt(v, lanes_look_up(&t->sixteenths, code)), code, 1);
	return lanes_look_up(&t->level, code);
}

LANES_INLINE struct symmetric_fit symmetric_round(const lanes *x, const lanes *weight,
						  const struct symmetric_shape *shape,
						  const struct symmetric_levels *t, lanes inverse)
{
	struct symmetric_fit fit = {lanes_set(0), lanes_set(0), lanes_set(0)};

	for (int i = 0; i < shape->n; i++) {
		lanes l = symmetric_level(shape, t, x[i] * inverse), wl = weight[i] * l;

		fit.xl += wl * x[i];
		fit.l2 += wl * l;
	}
	fit.scale = super_ratio(fit.xl, fit.l2);
	return fit;
}

/* What has the larger merit, scale * xl. */
LANES_INLINE struct symmetric_fit symmetric_better(const struct symmetric_fit *a,
						   const struct symmetric_fit *b)
{
	lanes_mask m = lanes_lt(b->scale * b->xl, a->scale * a->xl);

	return (struct symmetric_fit){lanes_select(m, a->scale, b->scale),
				      lanes_select(m, a->xl, b->xl), lanes_select(m, a->l2, b->l2)};
}

/* Step 1. */
static inline struct symmetric_fit symmetric_start(const lanes *x, const lanes *weight,
						   const struct symmetric_shape *shape,
						   const struct symmetric_levels *t)
{
	lanes zero = lanes_set(0), magnitude = zero, extreme = zero;
	struct symmetric_fit best = {zero, zero, zero}, again;

	for (int i = 0; i < shape->n; i++) {
		lanes_mask larger = lanes_lt(magnitude, lanes_abs(x[i]));

		extreme = lanes_select(larger, x[i], extreme);
		magnitude = lanes_select(larger, lanes_abs(x[i]), magnitude);
	}
	for (int side = 0; side < 2; side++) {
		for (int k = -shape->n_steps; k <= shape->n_steps; k++) {
			float level = (side ? shape->high : shape->low) + shape->step * (float)k;
			lanes inverse = super_ratio(lanes_set(level), extreme);
			struct symmetric_fit trial = symmetric_round(x, weight, shape, t, inverse);

			best = symmetric_better(&trial, &best);
		}
	}
	again = symmetric_round(x, weight, shape, t, super_ratio(lanes_set(1), best.scale));
	return symmetric_better(&again, &best);
}

LANES_INLINE lanes symmetric_fine(const struct symmetric_shape *shape, lanes v)
{
	return super_whole(super_clamp(v, lanes_set(shape->fine_low), lanes_set(shape->fine)));
}

/* Step 2. */
static inline lanes symmetric_divide(const struct symmetric_fit *fit,
				     const struct symmetric_shape *shape)
{
	lanes zero = lanes_set(0), extreme = zero, best = lanes_set(INFINITY), best_d = zero;

	for (int g = 0; g < shape->groups; g++)
		extreme = lanes_select(lanes_lt(lanes_abs(extreme), lanes_abs(fit[g].scale)),
				       fit[g].scale, extreme);
	for (int side = 0; side < 2; side++) {
		for (int k = -2; k < shape->n_divisors; k++) {
			float off = shape->divisor_step * (float)k;
			float divisor = side ? shape->fine - off : shape->fine_low + off;
			lanes d = lanes_half(extreme / lanes_set(divisor)), cost = zero;
			lanes inverse = super_ratio(lanes_set(1), d);
			lanes_mask better;

			for (int g = 0; g < shape->groups; g++) {
				lanes off_optimum =
					fit[g].scale -
					d * symmetric_fine(shape, fit[g].scale * inverse);

				cost += off_optimum * off_optimum * fit[g].l2;
			}
			better = lanes_lt(cost, best);
			best = lanes_select(better, cost, best);
			best_d = lanes_select(better, d, best_d);
		}
	}
	return best_d;
}

LANES_INLINE lanes symmetric_error(const lanes *x, const lanes *weight,
				   const struct symmetric_shape *shape,
				   const struct symmetric_levels *t, lanes scale)
{
	lanes inverse = super_ratio(lanes_set(1), scale), error = lanes_set(0);

	for (int i = 0; i < shape->n; i++) {
		lanes off = x[i] - scale * symmetric_level(shape, t, x[i] * inverse);

		error += weight[i] * (off * off);
	}
	return error;
}

/* Step 3, sc of one group near the scale; returns the error. */
static inline lanes symmetric_settle(const lanes *x, const lanes *weight,
				     const struct symmetric_shape *shape,
				     const struct symmetric_levels *t, lanes scale, lanes d,
				     int stride, lanes *best_sc)
{
	lanes best = lanes_set(INFINITY);
	lanes centre = symmetric_fine(shape, scale * super_ratio(lanes_set(1), d));

	*best_sc = centre;
	for (int a = -shape->reach; a <= shape->reach; a++) {
		lanes sc = symmetric_fine(shape, centre + lanes_set((float)(a * stride)));
		lanes error = symmetric_error(x, weight, shape, t, d * sc);
		lanes_mask better = lanes_lt(error, best);

		best = lanes_select(better, error, best);
		*best_sc = lanes_select(better, sc, *best_sc);
	}
	return best;
}

/* v as f16, or `old` where that is 0, infinite or NaN. */
LANES_INLINE lanes symmetric_half(lanes v, lanes old)
{
	lanes half = lanes_half(v), magnitude = lanes_abs(half);
	lanes_mask usable = lanes_and(lanes_lt(lanes_set(0), magnitude),
				      lanes_lt(magnitude, lanes_set(INFINITY)));

	return lanes_select(usable, half, old);
}

static inline void symmetric_search(const struct super *s, const struct symmetric_shape *shape,
				    struct symmetric_found *found)
{
	struct symmetric_levels t = symmetric_levels_load();
	struct symmetric_fit fit[SYMMETRIC_GROUPS];
	struct symmetric_found trial;
	lanes zero = lanes_set(0);
	int n = shape->n;

	for (int g = 0; g < shape->groups; g++)
		fit[g] = symmetric_start(s->x + g * n, s->weight + g * n, shape, &t);
	trial.d = symmetric_divide(fit, shape);
	found->d = trial.d;
	found->error = lanes_set(INFINITY);
	for (int g = 0; g < shape->groups; g++)
		found->sc[g] = zero;
	for (int round = 0;; round++) {
		lanes xl = zero, l2 = zero;
		lanes_mask better;

		trial.error = zero;
		for (int g = 0; g < shape->groups; g++)
			trial.error += symmetric_settle(s->x + g * n, s->weight + g * n, shape, &t,
							fit[g].scale, trial.d,
							shape->strides[round], &trial.sc[g]);
		better = lanes_lt(trial.error, found->error);
		found->error = lanes_select(better, trial.error, found->error);
		found->d = lanes_select(better, trial.d, found->d);
		for (int g = 0; g < shape->groups; g++)
			found->sc[g] = lanes_select(better, trial.sc[g], found->sc[g]);
		if (round == SYMMETRIC_ROUNDS - 1)
			return;
		for (int g = 0; g < shape->groups; g++) {
			lanes sc = trial.sc[g];
			lanes_mask has_scale = lanes_not(lanes_eq(sc, zero));
			struct symmetric_fit now =
				symmetric_round(s->x + g * n, s->weight + g * n, shape, &t,
						super_ratio(lanes_set(1), trial.d * sc));

			xl += sc * now.xl;
			l2 += sc * sc * now.l2;
			fit[g].scale = lanes_select(has_scale, now.scale, fit[g].scale);
		}
		trial.d = symmetric_half(xl / l2, trial.d);
	}
}

/* The same for blocks of one group, whose scale is d itself: tried in steps of half a percent. */
static inline lanes symmetric_search_one(const struct super *s, const struct symmetric_shape *shape)
{
	struct symmetric_levels t = symmetric_levels_load();
	struct symmetric_fit fit = symmetric_start(s->x, s->weight, shape, &t);
	lanes d = lanes_half(fit.scale), best = lanes_set(INFINITY), best_d = d;

	for (int round = 0;; round++) {
		for (int a = -shape->reach; a <= shape->reach; a++) {
			float factor = 1 + 0.005f * (float)(a * shape->strides[round]);
			lanes trial = symmetric_half(d * lanes_set(factor), d);
			lanes error = symmetric_error(s->x, s->weight, shape, &t, trial);
			lanes_mask better = lanes_lt(error, best);

			best = lanes_select(better, error, best);
			best_d = lanes_select(better, trial, best_d);
		}
		if (round == SYMMETRIC_ROUNDS - 1 || !shape->strides[round + 1])
			return best_d;
		fit = symmetric_round(s->x, s->weight, shape, &t,
				      super_ratio(lanes_set(1), best_d));
		d = symmetric_half(fit.scale, best_d);
	}
}

/* What a lane's super-block is made of. */
struct symmetric_block {
	float d;
	int sc[SYMMETRIC_GROUPS];
	float scale[SYMMETRIC_GROUPS]; /* d * sc */
};

static inline void symmetric_take(const struct symmetric_shape *shape,
				  const struct symmetric_found *found, size_t k,
				  struct symmetric_block *out)
{
	float lane[LANES];

	lanes_store(lane, found->d);
	out->d = lane[k];
	for (int g = 0; g < shape->groups; g++) {
		lanes_store(lane, found->sc[g]);
		out->sc[g] = (int)lane[k];
		out->scale[g] = out->d * lane[k];
	}
}

/* The codes of n values on a scale, integers from low, less low. */
static inline void symmetric_codes(const float *x, const struct symmetric_shape *shape, float scale,
				   uint8_t *codes)
{
	float inverse = scale == 0 ? 0 : 1 / scale;

	for (int i = 0; i < shape->n; i++) {
		float code = x[i] * inverse;

		code = code > shape->low ? code : shape->low;
		code = code < shape->high ? code : shape->high;
		codes[i] = (uint8_t)(qc_nearest(code) - (int)shape->low);
	}
}

#endif
