/*
 * Four floats, and two times four, for what is not one group per lane: see quant/lanes/lanes.h;
 * quant/arm/quads_neon.h has the same. Plain operators (+ - * /) work on `quad`.
 */
#ifndef QC_QUANT_X86_QUADS_AVX_H
#define QC_QUANT_X86_QUADS_AVX_H

#ifdef __AVX2__

#include <stdbool.h>

#include "quant/x86/bytes_avx2.h"

typedef __m128 quad;
typedef __m256 octet;

LANES_INLINE quad quad_set(float v)
{
	return _mm_set1_ps(v);
}

LANES_INLINE quad quad_load(const float *p)
{
	return _mm_loadu_ps(p);
}

LANES_INLINE void quad_store(float *p, quad v)
{
	_mm_storeu_ps(p, v);
}

/* a > b ? a : b; b when either is NaN */
LANES_INLINE quad quad_max(quad a, quad b)
{
	return _mm_max_ps(a, b);
}

/* Some a >= b. */
LANES_INLINE bool quad_any_reaches(quad a, quad b)
{
	return _mm_movemask_ps(_mm_cmpge_ps(a, b)) != 0;
}

/* 1 / v, right to 2^-11. */
LANES_INLINE quad quad_about_inverse(quad v)
{
	return _mm_rcp_ps(v);
}

/* column[i] = element i of four rows that start `stride` floats apart. */
LANES_INLINE void quad_transpose(const float *row, size_t stride, quad column[4])
{
	__m128 a = quad_load(row), b = quad_load(row + stride);
	__m128 c = quad_load(row + 2 * stride), d = quad_load(row + 3 * stride);

	_MM_TRANSPOSE4_PS(a, b, c, d);
	column[0] = a;
	column[1] = b;
	column[2] = c;
	column[3] = d;
}

LANES_INLINE octet octet_join(quad first, quad last)
{
	return _mm256_set_m128(last, first);
}

LANES_INLINE quad octet_first(octet v)
{
	return _mm256_castps256_ps128(v);
}

LANES_INLINE quad octet_last(octet v)
{
	return _mm256_extractf128_ps(v, 1);
}

LANES_INLINE octet octet_sum(octet a, octet b)
{
	return a + b;
}

#endif
#endif
