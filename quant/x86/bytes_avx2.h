/*
 * Vectors of 16 and 32 bytes for AVX2 and AVX-512: see quant/lanes/lanes.h;
 * quant/arm/bytes_neon.h has the same.
 */
#ifndef QC_QUANT_X86_BYTES_AVX2_H
#define QC_QUANT_X86_BYTES_AVX2_H

#ifdef __AVX2__

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define LANES_INLINE static inline __attribute__((always_inline))

typedef __m128i bytes16;
typedef __m256i bytes32;

LANES_INLINE bytes16 bytes16_load(const void *p)
{
	return _mm_loadu_si128(p);
}

LANES_INLINE void bytes16_store(void *p, bytes16 v)
{
	_mm_storeu_si128(p, v);
}

/* Eight bytes, zeros behind. */
LANES_INLINE bytes16 bytes16_load8(const void *p)
{
	return _mm_loadl_epi64(p);
}

LANES_INLINE void bytes16_store8(void *p, bytes16 v)
{
	_mm_storel_epi64(p, v);
}

LANES_INLINE bytes16 bytes16_low4(bytes16 v)
{
	return _mm_and_si128(v, _mm_set1_epi8(15));
}

LANES_INLINE bytes16 bytes16_high4(bytes16 v)
{
	return bytes16_low4(_mm_srli_epi16(v, 4));
}

/* low | high << 4 of bytes below 16 */
LANES_INLINE bytes16 bytes16_nibbles(bytes16 low, bytes16 high)
{
	return _mm_or_si128(low, _mm_slli_epi16(high, 4));
}

/* a0 b0 a1 b1 ... a7 b7 */
LANES_INLINE bytes16 bytes16_zip_low(bytes16 a, bytes16 b)
{
	return _mm_unpacklo_epi8(a, b);
}

/* a8 b8 a9 b9 ... a15 b15 */
LANES_INLINE bytes16 bytes16_zip_high(bytes16 a, bytes16 b)
{
	return _mm_unpackhi_epi8(a, b);
}

/* The first 8 bytes of a, then those of b. */
LANES_INLINE bytes16 bytes16_firsts(bytes16 a, bytes16 b)
{
	return _mm_unpacklo_epi64(a, b);
}

/* The last 8 bytes, then zeros. */
LANES_INLINE bytes16 bytes16_last8(bytes16 v)
{
	return _mm_srli_si128(v, 8);
}

/* Each pair of bytes below 16 in one, first those of a: even | odd << 4. */
LANES_INLINE bytes16 bytes16_pair_up(bytes16 a, bytes16 b)
{
	const __m128i factors = _mm_set1_epi16(0x1001);

	return _mm_packus_epi16(_mm_maddubs_epi16(a, factors), _mm_maddubs_epi16(b, factors));
}

/* The same: even << 4 | odd. */
LANES_INLINE bytes16 bytes16_pair_down(bytes16 a, bytes16 b)
{
	const __m128i factors = _mm_set1_epi16(0x0110);

	return _mm_packus_epi16(_mm_maddubs_epi16(a, factors), _mm_maddubs_epi16(b, factors));
}

/* table[v], v below 16 */
LANES_INLINE bytes16 bytes16_look_up(bytes16 table, bytes16 v)
{
	return _mm_shuffle_epi8(table, v);
}

LANES_INLINE bytes32 bytes32_load(const void *p)
{
	return _mm256_loadu_si256(p);
}

LANES_INLINE void bytes32_store(void *p, bytes32 v)
{
	_mm256_storeu_si256(p, v);
}

LANES_INLINE bytes32 bytes32_set(int v)
{
	return _mm256_set1_epi8((char)v);
}

LANES_INLINE bytes32 bytes32_join(bytes16 first, bytes16 last)
{
	return _mm256_set_m128i(last, first);
}

LANES_INLINE bytes16 bytes32_first(bytes32 v)
{
	return _mm256_castsi256_si128(v);
}

LANES_INLINE bytes16 bytes32_last(bytes32 v)
{
	return _mm256_extracti128_si256(v, 1);
}

LANES_INLINE bytes32 bytes32_and(bytes32 a, bytes32 b)
{
	return _mm256_and_si256(a, b);
}

LANES_INLINE bytes32 bytes32_or(bytes32 a, bytes32 b)
{
	return _mm256_or_si256(a, b);
}

LANES_INLINE bytes32 bytes32_flip(bytes32 v, int bits)
{
	return _mm256_xor_si256(v, bytes32_set(bits));
}

LANES_INLINE bytes32 bytes32_subtract(bytes32 v, int n)
{
	return _mm256_sub_epi8(v, bytes32_set(n));
}

/* Of unsigned bytes. */
LANES_INLINE bytes32 bytes32_min(bytes32 v, int top)
{
	return _mm256_min_epu8(v, bytes32_set(top));
}

/* `bits` where v > n, both below 128; else 0. */
LANES_INLINE bytes32 bytes32_if_above(bytes32 v, int n, int bits)
{
	return _mm256_and_si256(_mm256_cmpgt_epi8(v, bytes32_set(n)), bytes32_set(bits));
}

/* `bits` where bit j is set, else 0. */
LANES_INLINE bytes32 bytes32_if_bit(bytes32 v, int j, int bits)
{
	bytes32 bit = bytes32_set(1 << j);

	return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit),
				bytes32_set(bits));
}

LANES_INLINE bytes32 bytes32_low4(bytes32 v)
{
	return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

LANES_INLINE bytes32 bytes32_high4(bytes32 v)
{
	return bytes32_low4(_mm256_srli_epi16(v, 4));
}

/* low | high << 4 of bytes below 16 */
LANES_INLINE bytes32 bytes32_nibbles(bytes32 low, bytes32 high)
{
	return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
}

/* low | high << 2 of bytes below 4 */
LANES_INLINE bytes32 bytes32_twos(bytes32 low, bytes32 high)
{
	return _mm256_or_si256(low, _mm256_slli_epi16(high, 2));
}

/* Bits 2 k and 2 k + 1. */
LANES_INLINE bytes32 bytes32_two(bytes32 v, int k)
{
	return _mm256_and_si256(_mm256_srl_epi16(v, _mm_cvtsi32_si128(2 * k)), _mm256_set1_epi8(3));
}

/* Bit j: bit 4 of byte j. */
LANES_INLINE uint32_t bytes32_fifth_bits(bytes32 v)
{
	return (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(v, 3));
}

/* 16 in byte j where bit j is set, else 0. */
LANES_INLINE bytes32 bytes32_of_fifth_bits(uint32_t bits)
{
	__m256i each, mine = _mm256_set1_epi64x((long long)0x8040201008040201);

	each = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
	each = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), each);
	each = _mm256_cmpeq_epi8(_mm256_and_si256(each, mine), mine);
	return _mm256_and_si256(each, _mm256_set1_epi8(16));
}

#endif
#endif
