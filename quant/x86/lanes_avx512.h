/*
 * Sixteen lanes, for AVX-512: see lanes.h. Comments say what lanes_avx2.h does too.
 */
#ifndef QC_QUANT_X86_LANES_AVX512_H
#define QC_QUANT_X86_LANES_AVX512_H

#if defined(__AVX512F__)

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define LANES_INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };
typedef __m512 lanes;
typedef __m512i lanes_int;
typedef __mmask16 lanes_mask;

LANES_INLINE lanes lanes_set(float v)
{
	return _mm512_set1_ps(v);
}

LANES_INLINE lanes lanes_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

LANES_INLINE void lanes_store(float *p, lanes v)
{
	_mm512_storeu_ps(p, v);
}

/* a < b ? a : b; b when either is NaN or both are zeros. */
LANES_INLINE lanes lanes_min(lanes a, lanes b)
{
	return _mm512_min_ps(a, b);
}

/* a > b ? a : b; b when either is NaN or both are zeros. */
LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
	return _mm512_max_ps(a, b);
}

LANES_INLINE lanes lanes_abs(lanes v)
{
	return _mm512_abs_ps(v);
}

LANES_INLINE lanes lanes_negate(lanes v)
{
	return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f));
}

LANES_INLINE lanes lanes_sqrt(lanes v)
{
	return _mm512_sqrt_ps(v);
}

/* Nearest integer, ties to even, still a float. */
LANES_INLINE lanes lanes_round(lanes v)
{
	return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* Comparisons with NaN are false. */
LANES_INLINE lanes_mask lanes_lt(lanes a, lanes b)
{
	return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

LANES_INLINE lanes_mask lanes_eq(lanes a, lanes b)
{
	return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

LANES_INLINE lanes_mask lanes_none(void)
{
	return 0;
}

LANES_INLINE lanes_mask lanes_and(lanes_mask a, lanes_mask b)
{
	return (lanes_mask)(a & b);
}

LANES_INLINE lanes_mask lanes_or(lanes_mask a, lanes_mask b)
{
	return (lanes_mask)(a | b);
}

LANES_INLINE lanes_mask lanes_not(lanes_mask a)
{
	return (lanes_mask)~a;
}

LANES_INLINE int lanes_any(lanes_mask m)
{
	return m != 0;
}

/* m ? a : b */
LANES_INLINE lanes lanes_select(lanes_mask m, lanes a, lanes b)
{
	return _mm512_mask_blend_ps(m, b, a);
}

LANES_INLINE lanes_int lanes_int_set(int v)
{
	return _mm512_set1_epi32(v);
}

LANES_INLINE lanes lanes_from_int(lanes_int v)
{
	return _mm512_cvtepi32_ps(v);
}

LANES_INLINE lanes_int lanes_int_add(lanes_int v, int add)
{
	return _mm512_add_epi32(v, lanes_int_set(add));
}

LANES_INLINE lanes_int lanes_int_and(lanes_int v, int bits)
{
	return _mm512_and_si512(v, lanes_int_set(bits));
}

LANES_INLINE lanes_int lanes_int_min(lanes_int v, int high)
{
	return _mm512_min_epi32(v, lanes_int_set(high));
}

LANES_INLINE lanes_int lanes_int_clamp(lanes_int v, int low, int high)
{
	return lanes_int_min(_mm512_max_epi32(v, lanes_int_set(low)), high);
}

/* qc_nearest(), for any v */
LANES_INLINE lanes_int lanes_nearest(lanes v)
{
	lanes_int bits = _mm512_castps_si512(v + lanes_set(12582912.0f));

	return lanes_int_add(lanes_int_and(bits, 0x7fffff), -0x400000);
}

/* m ? v : v + add */
LANES_INLINE lanes_int lanes_int_add_unless(lanes_mask m, lanes_int v, int add)
{
	return _mm512_mask_add_epi32(v, lanes_not(m), v, lanes_int_set(add));
}

/* m ? v + add : v */
LANES_INLINE lanes_int lanes_int_add_if(lanes_mask m, lanes_int v, int add)
{
	return _mm512_mask_add_epi32(v, m, v, lanes_int_set(add));
}

LANES_INLINE lanes_int lanes_int_sum(lanes_int a, lanes_int b)
{
	return _mm512_add_epi32(a, b);
}

/* Shifted, zeros coming in. */
LANES_INLINE lanes_int lanes_int_right(lanes_int v, int bits)
{
	return _mm512_srli_epi32(v, (unsigned)bits);
}

LANES_INLINE lanes_int lanes_int_left(lanes_int v, int bits)
{
	return _mm512_slli_epi32(v, (unsigned)bits);
}

/* The floats' bits, and back. */
LANES_INLINE lanes_int lanes_bits(lanes v)
{
	return _mm512_castps_si512(v);
}

LANES_INLINE lanes lanes_of_bits(lanes_int v)
{
	return _mm512_castsi512_ps(v);
}

/* Sixteen floats to look up by an index 0..15. */
struct lanes_table {
	lanes part[16 / LANES];
};

LANES_INLINE lanes lanes_look_up(const struct lanes_table *table, lanes_int index)
{
	return _mm512_permutexvar_ps(index, table->part[0]);
}

/* 32 integers of 0..255 as bytes, in order. */
LANES_INLINE __m256i lanes_pack_bytes(const lanes_int v[2])
{
	return _mm256_set_m128i(_mm512_cvtepi32_epi8(v[1]), _mm512_cvtepi32_epi8(v[0]));
}

/* LANES bytes as floats. */
LANES_INLINE lanes lanes_from_bytes(const uint8_t *p)
{
	return _mm512_cvtepi32_ps(
		_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

/* column[i] = element i of the LANES rows that start `stride` floats apart. */
static inline void lanes_transpose(const float *row, size_t stride, lanes column[16])
{
	__m512 t[16];
	__m512d u[16];

	for (size_t i = 0; i < 16; i += 2) {
		__m512 a = lanes_load(row + i * stride), b = lanes_load(row + (i + 1) * stride);

		t[i] = _mm512_unpacklo_ps(a, b);
		t[i + 1] = _mm512_unpackhi_ps(a, b);
	}
	for (int i = 0; i < 16; i += 4)
		for (int half = 0; half < 2; half++) {
			__m512d a = _mm512_castps_pd(t[i + half]);
			__m512d b = _mm512_castps_pd(t[i + half + 2]);

			u[i + 2 * half] = _mm512_unpacklo_pd(a, b);
			u[i + 2 * half + 1] = _mm512_unpackhi_pd(a, b);
		}
	/* u[4k + c] holds column 4j + c of rows 4k .. 4k + 3 in its 128-bit part j. */
	for (int c = 0; c < 4; c++) {
		__m512d even0 = _mm512_shuffle_f64x2(u[c], u[4 + c], 0x88);
		__m512d even1 = _mm512_shuffle_f64x2(u[8 + c], u[12 + c], 0x88);
		__m512d odd0 = _mm512_shuffle_f64x2(u[c], u[4 + c], 0xdd);
		__m512d odd1 = _mm512_shuffle_f64x2(u[8 + c], u[12 + c], 0xdd);

		column[c] = _mm512_castpd_ps(_mm512_shuffle_f64x2(even0, even1, 0x88));
		column[4 + c] = _mm512_castpd_ps(_mm512_shuffle_f64x2(odd0, odd1, 0x88));
		column[8 + c] = _mm512_castpd_ps(_mm512_shuffle_f64x2(even0, even1, 0xdd));
		column[12 + c] = _mm512_castpd_ps(_mm512_shuffle_f64x2(odd0, odd1, 0xdd));
	}
}

#endif
#endif
