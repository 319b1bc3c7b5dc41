/* E2M1 codes in vectors: rounding, packing and decoding, in the blocks of ggml and in pairs. */
#ifndef QC_QUANT_LANES_E2M1_LANES_H
#define QC_QUANT_LANES_E2M1_LANES_H

#include "quant/lanes/lanes.h"

#ifdef LANES_INLINE

#include <stdbool.h>

/* qc_e2m1_round() */
LANES_INLINE lanes e2m1_round(lanes magnitude)
{
	lanes capped = lanes_min(magnitude, lanes_set(6));
	lanes shift = lanes_select(lanes_lt(capped, lanes_set(4)), lanes_set(0x1.8p23f),
				   lanes_set(0x1.8p24f));

	shift = lanes_select(lanes_lt(capped, lanes_set(2)), lanes_set(0x1.8p22f), shift);
	return (capped + shift) - shift;
}

/* `value` with the sign of x; a zero may get either. */
LANES_INLINE lanes e2m1_signed(lanes value, lanes x)
{
	return lanes_select(lanes_lt(x, lanes_set(0)), lanes_negate(value), value);
}

/* The code, as a float, of a magnitude 0 .5 1 1.5 2 3 4 6 with the sign of x; 0 has code 0. */
LANES_INLINE lanes e2m1_code(lanes value, lanes x)
{
	lanes_mask negative = lanes_and(lanes_lt(x, lanes_set(0)), lanes_lt(lanes_set(0), value));
	lanes code = lanes_select(lanes_lt(value, lanes_set(4)), value + lanes_set(2),
				  value * lanes_set(0.5f) + lanes_set(4));

	code = lanes_select(lanes_lt(value, lanes_set(2)), value + value, code);
	return lanes_select(negative, code + lanes_set(8), code);
}

/*
 * qc_e2m1_even(|x|); NaN has code 0. In the binade of the magnitude, from [1, 2) up to [4, 8),
 * values are half a power of two apart: adding 2^22 times that power rounds to a multiple of the
 * step (ties to even) and leaves the multiple in the lowest bits. Each binade above the first holds
 * two codes, which is twice the exponent, bits 22 and up of the sum; another 6 steps make the
 * constants a multiple of 16.
 */
LANES_INLINE lanes_int e2m1_magnitude(lanes x)
{
	lanes magnitude = lanes_min(lanes_max(lanes_abs(x), lanes_set(0)), lanes_set(6));
	lanes power = lanes_of_bits(lanes_int_and(lanes_bits(magnitude), 0x7f800000));
	lanes_int shift = lanes_int_add(lanes_bits(lanes_max(power, lanes_set(1))), (22 << 23) + 6);
	lanes_int sum = lanes_bits(magnitude + lanes_of_bits(shift));

	return lanes_int_and(lanes_int_sum(sum, lanes_int_right(sum, 22)), 15);
}

/* The same plus 8 where x < 0. */
LANES_INLINE lanes_int e2m1_even(lanes x)
{
	return lanes_int_add_if(lanes_lt(x, lanes_set(0)), e2m1_magnitude(x), 8);
}

/* Sixteen codes, given as floats, as bytes in order. */
LANES_INLINE bytes16 e2m1_bytes16(const lanes *code)
{
	lanes_int v[16 / LANES];

	for (int i = 0; i < 16 / LANES; i++)
		v[i] = lanes_nearest(code[i]);
	return lanes_pack16(v);
}

/* Sixteen codes of 8 bytes: halves in the nibbles (in_blocks) or pairs. */
LANES_INLINE bytes16 e2m1_unpack16(const uint8_t *packed, bool in_blocks)
{
	bytes16 bytes = bytes16_load8(packed);
	bytes16 low = bytes16_low4(bytes), high = bytes16_high4(bytes);

	return in_blocks ? bytes16_firsts(low, high) : bytes16_zip_low(low, high);
}

LANES_INLINE void e2m1_pack16(bytes16 codes, bool in_blocks, uint8_t *packed)
{
	bytes16_store8(packed, in_blocks ? bytes16_nibbles(codes, bytes16_last8(codes))
					 : bytes16_pair_up(codes, codes));
}

/* Thirty-two codes of 16 bytes likewise. */
LANES_INLINE bytes32 e2m1_unpack32(const uint8_t *packed, bool in_blocks)
{
	bytes16 bytes = bytes16_load(packed);
	bytes16 low = bytes16_low4(bytes), high = bytes16_high4(bytes);

	if (in_blocks)
		return bytes32_join(low, high);
	return bytes32_join(bytes16_zip_low(low, high), bytes16_zip_high(low, high));
}

LANES_INLINE void e2m1_pack32(bytes32 codes, bool in_blocks, uint8_t *packed)
{
	bytes16 first = bytes32_first(codes), last = bytes32_last(codes);

	bytes16_store(packed,
		      in_blocks ? bytes16_nibbles(first, last) : bytes16_pair_up(first, last));
}

/* Twice the values of sixteen codes: qc_e2m1_twice(). */
LANES_INLINE bytes16 e2m1_twice16(bytes16 codes)
{
	static const int8_t table[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

	return bytes16_look_up(bytes16_load(table), codes);
}

/* Signed bytes times `factor`. */
LANES_INLINE void e2m1_scale16(bytes16 bytes, float factor, float out[16])
{
	lanes_int v[16 / LANES];

	lanes_widen_signed(bytes, v);
#pragma GCC unroll 4
	for (int i = 0; i < 16 / LANES; i++)
		lanes_store(out + i * LANES, lanes_from_int(v[i]) * lanes_set(factor));
}

/* E2M1 values times `scale`, the halving first: it is exact, where half of a scale may not be. */
LANES_INLINE void e2m1_decode16(bytes16 codes, float scale, float out[16])
{
	e2m1_scale16(e2m1_twice16(codes), 0.5f, out);
	for (size_t i = 0; i < 16; i += LANES)
		lanes_store(out + i, lanes_load(out + i) * lanes_set(scale));
}

#endif
#endif
