/* E2M1 codes in vectors: rounding, packing and decoding, in the blocks of ggml and in pairs. */
#ifndef QC_QUANT_X86_E2M1_LANES_H
#define QC_QUANT_X86_E2M1_LANES_H

#include "quant/x86/lanes.h"

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

/* Sixteen codes as bytes in order. */
LANES_INLINE __m128i e2m1_int_bytes16(const lanes_int *code)
{
#if defined(__AVX512F__)
	return _mm512_cvtepi32_epi8(code[0]);
#else
	__m128i low = _mm256_castsi256_si128(_mm256_packs_epi32(code[0], code[1]));
	__m128i high = _mm256_extracti128_si256(_mm256_packs_epi32(code[0], code[1]), 1);

	low = _mm_packus_epi16(low, high); /* elements 0-3, 8-11, 4-7, 12-15 */
	return _mm_shuffle_epi32(low, _MM_SHUFFLE(3, 1, 2, 0));
#endif
}

/* The same of codes given as floats. */
LANES_INLINE __m128i e2m1_bytes16(const lanes *code)
{
	lanes_int v[16 / LANES];

	for (int i = 0; i < 16 / LANES; i++)
		v[i] = lanes_nearest(code[i]);
	return e2m1_int_bytes16(v);
}

LANES_INLINE __m128i e2m1_low(__m128i bytes)
{
	return _mm_and_si128(bytes, _mm_set1_epi8(15));
}

LANES_INLINE __m128i e2m1_high(__m128i bytes)
{
	return e2m1_low(_mm_srli_epi16(bytes, 4));
}

/* Sixteen codes of 8 bytes: halves in the nibbles (in_blocks) or pairs. */
LANES_INLINE __m128i e2m1_unpack16(const uint8_t *packed, bool in_blocks)
{
	__m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)packed);

	if (in_blocks)
		return _mm_unpacklo_epi64(e2m1_low(bytes), e2m1_high(bytes));
	return _mm_unpacklo_epi8(e2m1_low(bytes), e2m1_high(bytes));
}

LANES_INLINE void e2m1_pack16(__m128i codes, bool in_blocks, uint8_t *packed)
{
	__m128i bytes;

	if (in_blocks) {
		bytes = _mm_or_si128(codes, _mm_slli_epi16(_mm_srli_si128(codes, 8), 4));
	} else {
		bytes = _mm_maddubs_epi16(codes, _mm_set1_epi16(0x1001)); /* even + 16 * odd */
		bytes = _mm_packus_epi16(bytes, bytes);
	}
	_mm_storel_epi64((__m128i *)(void *)packed, bytes);
}

/* Thirty-two codes of 16 bytes likewise. */
LANES_INLINE __m256i e2m1_unpack32(const uint8_t *packed, bool in_blocks)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)packed);
	__m128i low = e2m1_low(bytes), high = e2m1_high(bytes);

	if (in_blocks)
		return _mm256_set_m128i(high, low);
	return _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high));
}

LANES_INLINE void e2m1_pack32(__m256i codes, bool in_blocks, uint8_t *packed)
{
	__m128i low = _mm256_castsi256_si128(codes), high = _mm256_extracti128_si256(codes, 1);
	__m128i bytes;

	if (in_blocks)
		bytes = _mm_or_si128(low, _mm_slli_epi16(high, 4));
	else
		bytes = _mm_packus_epi16(_mm_maddubs_epi16(low, _mm_set1_epi16(0x1001)),
					 _mm_maddubs_epi16(high, _mm_set1_epi16(0x1001)));
	_mm_storeu_si128((__m128i *)(void *)packed, bytes);
}

/* Twice the values of sixteen codes: qc_e2m1_twice(). */
LANES_INLINE __m128i e2m1_twice16(__m128i codes)
{
	const __m128i table =
		_mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

	return _mm_shuffle_epi8(table, codes);
}

/* Signed bytes times `factor`. */
LANES_INLINE void e2m1_scale16(__m128i bytes, float factor, float out[16])
{
#if defined(__AVX512F__)
	lanes_store(out, lanes_from_int(_mm512_cvtepi8_epi32(bytes)) * lanes_set(factor));
#else
	__m128i rest = _mm_srli_si128(bytes, 8);

	lanes_store(out, lanes_from_int(_mm256_cvtepi8_epi32(bytes)) * lanes_set(factor));
	lanes_store(out + 8, lanes_from_int(_mm256_cvtepi8_epi32(rest)) * lanes_set(factor));
#endif
}

/* E2M1 values times `scale`, the halving first: it is exact, where half of a scale may not be. */
LANES_INLINE void e2m1_decode16(__m128i codes, float scale, float out[16])
{
	e2m1_scale16(e2m1_twice16(codes), 0.5f, out);
	for (size_t i = 0; i < 16; i += LANES)
		lanes_store(out + i, lanes_load(out + i) * lanes_set(scale));
}

#endif
#endif
