/*
 * The extremes of LANES blocks of 32 at once: a transposing tree leaves block k's in lane k. The
 * order of comparing makes no difference but in the sign of a tie between zeros.
 */
#ifndef QC_QUANT_X86_EXTREMES_H
#define QC_QUANT_X86_EXTREMES_H

#include "quant/x86/lanes.h"

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

#if defined(__AVX512F__)

LANES_INLINE lanes block_extremes(const float *x, enum extreme what)
{
	return pick(element_load(x, what), element_load(x + 16, what), what);
}

/* Parts of 128 bits: a a b b. */
LANES_INLINE lanes merge_halves(lanes a, lanes b, enum extreme what)
{
	return pick(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee), what);
}

/* Of a = p p q q and b = r r s s: p q r s. */
LANES_INLINE lanes merge_quarters(lanes a, lanes b, enum extreme what)
{
	return pick(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd), what);
}

/* The same two steps inside each part of 128 bits. */
LANES_INLINE lanes merge_pairs(lanes a, lanes b, enum extreme what)
{
	return pick(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee), what);
}

LANES_INLINE lanes merge_singles(lanes a, lanes b, enum extreme what)
{
	return pick(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd), what);
}

/* In part j of 128 bits: extremes of block 4 j of the sixteen at x. */
LANES_INLINE lanes merge_parts(const float *x, enum extreme what)
{
	lanes low = merge_halves(block_extremes(x, what), block_extremes(x + 4 * 32, what), what);
	lanes high = merge_halves(block_extremes(x + 8 * 32, what),
				  block_extremes(x + 12 * 32, what), what);

	return merge_quarters(low, high, what);
}

#else

LANES_INLINE lanes block_extremes(const float *x, enum extreme what)
{
	lanes a = pick(element_load(x, what), element_load(x + 8, what), what);
	lanes b = pick(element_load(x + 16, what), element_load(x + 24, what), what);

	return pick(a, b, what);
}

/* In each half: a a b b. */
LANES_INLINE lanes merge_pairs(lanes a, lanes b, enum extreme what)
{
	return pick(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee), what);
}

/* In each half, of a = p p q q and b = r r s s: p q r s. */
LANES_INLINE lanes merge_singles(lanes a, lanes b, enum extreme what)
{
	return pick(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd), what);
}

/* In half j: extremes of block 4 j of the eight at x. */
LANES_INLINE lanes merge_parts(const float *x, enum extreme what)
{
	lanes a = block_extremes(x, what), b = block_extremes(x + 4 * 32, what);

	return pick(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31), what);
}

#endif

/* Lane k is the extreme of block k of the LANES at x. */
LANES_INLINE lanes group_extremes(const float *x, enum extreme what)
{
	lanes low = merge_pairs(merge_parts(x, what), merge_parts(x + 32, what), what);
	lanes high = merge_pairs(merge_parts(x + 64, what), merge_parts(x + 96, what), what);

	return merge_singles(low, high, what);
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
