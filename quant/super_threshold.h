/*
 * The scale of 256 ternary values, x ~ d * code with codes -1, 0 and 1.
 *
 * What is above d / 2 in magnitude gets a code of +-1. So a threshold gives the codes, and these
 * the best scale, xl / l2, the sums of weight * |x| and of weight above it; the error falls by xl^2
 * / l2. Thresholds are tried at parts of the largest magnitude, then between the best and its
 * neighbours, and from there a scale's own half is the next threshold, which never raises the
 * error.
 */
#ifndef QC_QUANT_SUPER_THRESHOLD_H
#define QC_QUANT_SUPER_THRESHOLD_H

#include "quant/super.h"

enum { THRESHOLD_COARSE = 8, THRESHOLD_FINE = 4, THRESHOLD_AGAIN = 3 };

struct threshold_sums {
	lanes xl, l2;
};

/* The sums above `n` thresholds; n is a constant where this is inlined. */
LANES_INLINE void threshold_add_up(const struct super *s, const lanes *threshold, int n,
				   struct threshold_sums *sums)
{
	lanes zero = lanes_set(0);

	for (int k = 0; k < n; k++)
		sums[k].xl = sums[k].l2 = zero;
	for (int i = 0; i < SUPER_ELEMS; i++) {
		lanes magnitude = lanes_abs(s->x[i]), weight = s->weight[i];
		lanes product = weight * magnitude;

#pragma GCC unroll 8
		for (int k = 0; k < n; k++) {
			lanes_mask above = lanes_lt(threshold[k], magnitude);

			sums[k].xl += lanes_select(above, product, zero);
			sums[k].l2 += lanes_select(above, weight, zero);
		}
	}
}

struct threshold_best {
	lanes merit, threshold, scale;
};

LANES_INLINE void threshold_consider(struct threshold_best *best, lanes threshold,
				     const struct threshold_sums *sums)
{
	lanes scale = super_ratio(sums->xl, sums->l2), merit = scale * sums->xl;
	lanes_mask better = lanes_lt(best->merit, merit);

	best->merit = lanes_select(better, merit, best->merit);
	best->threshold = lanes_select(better, threshold, best->threshold);
	best->scale = lanes_select(better, scale, best->scale);
}

/* The best scale found, rounded to f16. */
static inline lanes threshold_search(const struct super *s)
{
	/* down to where the largest magnitude is an outlier, 1.4 to 1.6 between neighbours */
	static const float coarse[THRESHOLD_COARSE] = {0.5f,  0.35f, 0.25f, 0.18f,
						       0.12f, 0.08f, 0.05f, 0.03f};
	static const float fine[THRESHOLD_FINE] = {1.22f, 1.1f, 0.9f, 0.8f};
	struct threshold_best best = {lanes_set(0), lanes_set(0), lanes_set(0)};
	struct threshold_sums sums[THRESHOLD_COARSE];
	lanes threshold[THRESHOLD_COARSE], centre;

	for (int k = 0; k < THRESHOLD_COARSE; k++)
		threshold[k] = s->extreme * lanes_set(coarse[k]);
	threshold_add_up(s, threshold, THRESHOLD_COARSE, sums);
	for (int k = 0; k < THRESHOLD_COARSE; k++)
		threshold_consider(&best, threshold[k], &sums[k]);
	centre = best.threshold;
	for (int k = 0; k < THRESHOLD_FINE; k++)
		threshold[k] = centre * lanes_set(fine[k]);
	threshold_add_up(s, threshold, THRESHOLD_FINE, sums);
	for (int k = 0; k < THRESHOLD_FINE; k++)
		threshold_consider(&best, threshold[k], &sums[k]);
	for (int k = 0; k < THRESHOLD_AGAIN; k++) {
		threshold[0] = best.scale * lanes_set(0.5f);
		threshold_add_up(s, threshold, 1, sums);
		threshold_consider(&best, threshold[0], &sums[0]);
	}
	return lanes_half(best.scale);
}

/* The codes of a block beside a scale, 0 for -1: halves get 0, as ties to even do. */
static inline void threshold_codes(const float *x, float d, uint8_t codes[SUPER_ELEMS])
{
	float inverse = d == 0 ? 0 : 1 / d;

	for (int i = 0; i < SUPER_ELEMS; i++) {
		float v = x[i] * inverse;
		int up = v > 0.5f, down = v < -0.5f;

		codes[i] = (uint8_t)(1 + up - down);
	}
}

#endif
