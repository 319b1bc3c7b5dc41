/*
 * The extremes of LANES blocks of 32 at once: a transposing tree leaves block k's in lane k. The
 * order of comparing makes no difference but in the sign of a tie between zeros.
 */
#ifndef QC_QUANT_LANES_EXTREMES_H
#define QC_QUANT_LANES_EXTREMES_H

#include "quant/lanes/lanes.h"

#ifdef LANES_INLINE

enum extreme { LARGEST, SMALLEST, MAGNITUDE };

LANES_INLINE lanes pick(lanes a, lanes b, enum extreme what)
{
	return what == SMALLEST ? lanes_min(a, b) : lanes_max(a, b);
}

LANES_INLINE lanes element_load(const float *x, enum extreme what)
{
	lanes v = lanes_load(x);

	return what == MAGNITUDE ? lanes_abs(v) : v;
}

LANES_INLINE lanes block_extremes(const float *x, enum extreme what)
{
	lanes v[32 / LANES];

#pragma GCC unroll 8
	for (int i = 0; i < 32 / LANES; i++)
		v[i] = element_load(x + i * LANES, what);
#pragma GCC unroll 4
	for (int n = 16 / LANES; n > 0; n /= 2)
#pragma GCC unroll 4
		for (int i = 0; i < n; i++)
			v[i] = pick(v[i], v[i + n], what);
	return v[0];
}

LANES_INLINE lanes merge_parts(lanes a, lanes b, enum extreme what)
{
	return pick(lanes_even_parts(a, b), lanes_odd_parts(a, b), what);
}

LANES_INLINE lanes merge_elements(lanes a, lanes b, enum extreme what)
{
	return pick(lanes_evens(a, b), lanes_odds(a, b), what);
}

/* In part j of 128 bits: extremes of block 4 j of the LANES at x. */
LANES_INLINE lanes quarter_extremes(const float *x, enum extreme what)
{
	lanes v[LANES / 4];

#pragma GCC unroll 4
	for (int i = 0; i < LANES / 4; i++)
		v[i] = block_extremes(x + 4 * 32 * i, what);
#pragma GCC unroll 2
	for (int n = LANES / 8; n > 0; n /= 2)
#pragma GCC unroll 2
		for (int i = 0; i < n; i++)
			v[i] = merge_parts(v[2 * i], v[2 * i + 1], what);
	return v[0];
}

/* Lane k is the extreme of block k of the LANES at x. */
LANES_INLINE lanes group_extremes(const float *x, enum extreme what)
{
	lanes low = merge_elements(quarter_extremes(x, what), quarter_extremes(x + 32, what), what);
	lanes high = merge_elements(quarter_extremes(x + 64, what), quarter_extremes(x + 96, what),
				    what);

	return merge_elements(low, high, what);
}

/* `value`, but in the lanes of `ties` the block's first element of the same magnitude. */
static lanes settle_ties(const float *x, lanes value, unsigned ties)
{
	float values[LANES];

	lanes_store(values, value);
	for (; ties; ties &= ties - 1) {
		int k = __builtin_ctz(ties);
		const float *element = x + k * 32;

		while (__builtin_fabsf(*element) != __builtin_fabsf(values[k]))
			element++;
		values[k] = *element;
	}
	return lanes_load(values);
}

/* Each block's element of largest magnitude, the first of them; +0 for a block of zeros. */
LANES_INLINE lanes group_peaks(const float *x)
{
	lanes max = group_extremes(x, LARGEST), min = group_extremes(x, SMALLEST);
	lanes zero = lanes_set(0), opposite = zero - min;
	lanes peak = lanes_select(lanes_lt(max, opposite), min, max);
	lanes_mask is_zero = lanes_eq(peak, zero);
	unsigned ties = lanes_mask_bits(lanes_and(lanes_eq(max, opposite), lanes_not(is_zero)));

	peak = lanes_select(is_zero, zero, peak);
	return ties ? settle_ties(x, peak, ties) : peak;
}

/* Each block's minimum: of zeros of both signs the first. */
LANES_INLINE lanes group_minima(const float *x)
{
	lanes min = group_extremes(x, SMALLEST);
	unsigned zeros = lanes_mask_bits(lanes_eq(min, lanes_set(0)));

	return zeros ? settle_ties(x, min, zeros) : min;
}

#endif
#endif
