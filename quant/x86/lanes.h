/*
 * Vectors of floats with one sub-block per lane, the same names for AVX2 (8 lanes) and AVX-512 (16
 * lanes), so that a search is written once and compiled for both. A sum that scalar C runs over the
 * elements of a sub-block is then vertical, in the same order and with the same roundings. Plain
 * operators (+ - * /) work on `lanes`.
 *
 * Empty when the compilation targets neither ISA.
 */
#ifndef QC_QUANT_X86_LANES_H
#define QC_QUANT_X86_LANES_H

#include "quant/x86/lanes_avx2.h"
#include "quant/x86/lanes_avx512.h"

#ifdef LANES_INLINE

LANES_INLINE struct lanes_table lanes_table_load(const float *p)
{
	struct lanes_table table;

	for (int i = 0; i < 16; i += LANES)
		table.part[i / LANES] = lanes_load(p + i);
	return table;
}

/* column[i] = element i of LANES consecutive groups of n values. */
LANES_INLINE void lanes_columns(const float *row, size_t n, lanes *column)
{
	for (size_t i = 0; i < n; i += LANES)
		lanes_transpose(row + i, n, column + i);
}

/* The sums of the squares of four super-blocks of 256: sequential sums, a lane for each. */
static inline __m128 lanes_square_sums(const float *x)
{
	__m128 sum = _mm_setzero_ps();

	for (size_t i = 0; i < 256; i += 4) {
		__m128 a = _mm_loadu_ps(x + i), b = _mm_loadu_ps(x + i + 256);
		__m128 c = _mm_loadu_ps(x + i + 512), d = _mm_loadu_ps(x + i + 768);

		_MM_TRANSPOSE4_PS(a, b, c, d);
		sum += a * a;
		sum += b * b;
		sum += c * c;
		sum += d * d;
	}
	return sum;
}

/* 32 code bytes */
LANES_INLINE void lanes_put32(uint8_t *dst, __m256i bytes)
{
	_mm256_storeu_si256((__m256i *)(void *)dst, bytes);
}

LANES_INLINE __m256i lanes_get32(const uint8_t *src)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)src);
}

LANES_INLINE __m256i lanes_low4(__m256i bytes)
{
	return _mm256_and_si256(bytes, _mm256_set1_epi8(15));
}

LANES_INLINE __m256i lanes_high4(__m256i bytes)
{
	return lanes_low4(_mm256_srli_epi16(bytes, 4));
}

/* low | high << 4 of bytes below 16 */
LANES_INLINE __m256i lanes_nibbles(__m256i low, __m256i high)
{
	return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
}

/* The low two bits of the bytes of q[0], q[1], q[2] and q[3], the first lowest. */
LANES_INLINE __m256i lanes_pairs(const __m256i q[4])
{
	__m256i three = _mm256_set1_epi8(3), low, high;

	low = _mm256_or_si256(_mm256_and_si256(q[0], three),
			      _mm256_slli_epi16(_mm256_and_si256(q[1], three), 2));
	high = _mm256_or_si256(_mm256_and_si256(q[2], three),
			       _mm256_slli_epi16(_mm256_and_si256(q[3], three), 2));
	return lanes_nibbles(low, high);
}

/* The pairs that q[k] gave. */
LANES_INLINE __m256i lanes_pair(__m256i pairs, int k)
{
	return _mm256_and_si256(_mm256_srl_epi16(pairs, _mm_cvtsi32_si128(2 * k)),
				_mm256_set1_epi8(3));
}

#endif
#endif
