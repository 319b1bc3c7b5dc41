/*
 * Sixteen lanes, for AVX-512: see lanes.h. Comments say what lanes_avx2.h does too.
 */
#ifndef QC_QUANT_X86_LANES_AVX512_H
#define QC_QUANT_X86_LANES_AVX512_H

#if defined(__AVX512F__)

#include "quant/fast.h"
#include "quant/x86/bytes_avx2.h"
#include "quant/x86/quads_avx.h"

enum { LANES = 16 };
static const enum qc_isa lanes_isa = QC_ISA_AVX512;
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

/* The magnitude of a with the sign of b. */
LANES_INLINE lanes lanes_copysign(lanes a, lanes b)
{
	return _mm512_or_ps(lanes_abs(a), _mm512_and_ps(b, _mm512_set1_ps(-0.0f)));
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

/* Rounded to f16 and back. */
LANES_INLINE lanes lanes_half(lanes v)
{
	return _mm512_cvtph_ps(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
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

LANES_INLINE lanes_int lanes_int_and(lanes_int v, int bits)
{
	return _mm512_and_si512(v, lanes_int_set(bits));
}

/* v ^ bits */
LANES_INLINE lanes_int lanes_int_flip(lanes_int v, int bits)
{
	return _mm512_xor_si512(v, lanes_int_set(bits));
}

LANES_INLINE lanes_int lanes_int_min(lanes_int v, int high)
{
	return _mm512_min_epi32(v, lanes_int_set(high));
}

LANES_INLINE lanes_int lanes_int_max(lanes_int v, int low)
{
	return _mm512_max_epi32(v, lanes_int_set(low));
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

/* m ? a : b */
LANES_INLINE lanes_int lanes_int_select(lanes_mask m, lanes_int a, lanes_int b)
{
	return _mm512_mask_blend_epi32(m, b, a);
}

/* a < b */
LANES_INLINE lanes_mask lanes_int_lt(lanes_int a, lanes_int b)
{
	return _mm512_cmplt_epi32_mask(a, b);
}

LANES_INLINE void lanes_int_store(int32_t *p, lanes_int v)
{
	_mm512_storeu_si512(p, v);
}

LANES_INLINE lanes_int lanes_int_load(const int32_t *p)
{
	return _mm512_loadu_si512(p);
}

/* LANES 16-bit numbers. */
LANES_INLINE lanes_int lanes_from_u16(const uint16_t *p)
{
	return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* Four floats to look up by the low two bits of an index. */
LANES_INLINE lanes lanes_table4(const float p[4])
{
	return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
}

LANES_INLINE lanes lanes_look_up4(lanes table, lanes_int index)
{
	return _mm512_permutevar_ps(table, index);
}

/* Eight floats, in LANES_TABLE8 vectors, to look up by the low three bits of an index. */
enum { LANES_TABLE8 = 1 };

LANES_INLINE lanes lanes_table8(const float p[8], int part)
{
	(void)part;
	return _mm512_broadcast_f32x8(_mm256_loadu_ps(p));
}

LANES_INLINE lanes lanes_look_up8(const lanes table[LANES_TABLE8], lanes_int index)
{
	return _mm512_permutexvar_ps(index, table[0]);
}

/* The smallest number. */
LANES_INLINE float lanes_least(lanes v)
{
	return _mm512_reduce_min_ps(v);
}

LANES_INLINE int lanes_int_least(lanes_int v)
{
	return _mm512_reduce_min_epi32(v);
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

/* Bit i: lane i. */
LANES_INLINE unsigned lanes_mask_bits(lanes_mask m)
{
	return m;
}

/* Toward zero; anything where no integer holds that. */
LANES_INLINE lanes_int lanes_truncate(lanes v)
{
	return _mm512_cvttps_epi32(v);
}

/* 32 integers of -128..127 as bytes, in order. */
LANES_INLINE bytes32 lanes_pack_signed(const lanes_int v[2])
{
	return bytes32_join(_mm512_cvtepi32_epi8(v[0]), _mm512_cvtepi32_epi8(v[1]));
}

/* 16 integers of 0..255 as bytes, in order. */
LANES_INLINE bytes16 lanes_pack16(const lanes_int v[1])
{
	return _mm512_cvtepi32_epi8(v[0]);
}

/* 16 bytes as integers. */
LANES_INLINE void lanes_widen(bytes16 v, lanes_int out[1])
{
	out[0] = _mm512_cvtepu8_epi32(v);
}

LANES_INLINE void lanes_widen_signed(bytes16 v, lanes_int out[1])
{
	out[0] = _mm512_cvtepi8_epi32(v);
}

/* 32 signed bytes as floats. */
LANES_INLINE void lanes_from_signed(bytes32 v, lanes out[2])
{
	out[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes32_first(v)));
	out[1] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes32_last(v)));
}

LANES_INLINE void lanes_store_halves(uint16_t *p, lanes v)
{
	_mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

/* The f16 `h` in every lane. */
LANES_INLINE lanes lanes_set_half(int16_t h)
{
	return _mm512_cvtph_ps(_mm256_set1_epi16(h));
}

/* Sixteen floats to look up by the low four bits of an index. */
struct lanes_table {
	lanes part[16 / LANES];
};

LANES_INLINE lanes lanes_look_up(const struct lanes_table *table, lanes_int index)
{
	return _mm512_permutexvar_ps(index, table->part[0]);
}

/* 32 integers of 0..255 as bytes, in order. */
LANES_INLINE bytes32 lanes_pack_bytes(const lanes_int v[2])
{
	return bytes32_join(lanes_pack16(v), lanes_pack16(v + 1));
}

/* 32 bytes as floats. */
LANES_INLINE void lanes_from_bytes(bytes32 v, lanes out[2])
{
	out[0] = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes32_first(v)));
	out[1] = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes32_last(v)));
}

/* table[index] */
LANES_INLINE lanes lanes_gather(const float *table, lanes_int index)
{
	return _mm512_i32gather_ps(index, table, 4);
}

/* Parts of 128 bits: the even ones of a, then those of b. */
LANES_INLINE lanes lanes_even_parts(lanes a, lanes b)
{
	return _mm512_shuffle_f32x4(a, b, 0x88);
}

LANES_INLINE lanes lanes_odd_parts(lanes a, lanes b)
{
	return _mm512_shuffle_f32x4(a, b, 0xdd);
}

/* In every part of 128 bits: elements 0 and 2 of a, then of b. */
LANES_INLINE lanes lanes_evens(lanes a, lanes b)
{
	return _mm512_shuffle_ps(a, b, 0x88);
}

/* Elements 1 and 3. */
LANES_INLINE lanes lanes_odds(lanes a, lanes b)
{
	return _mm512_shuffle_ps(a, b, 0xdd);
}

/* sums[k]: the sum of (x - y)^2, times weight when it is not NULL, over elements k, k + 8 ... of n,
 * a multiple of 8. */
LANES_INLINE void lanes_error_sums(const float *x, const float *y, const float *weight, size_t n,
				   double sums[8])
{
	__m512d total = _mm512_setzero_pd();

	for (size_t i = 0; i < n; i += 8) {
		__m512d e = _mm512_cvtps_pd(_mm256_loadu_ps(x + i)) -
			    _mm512_cvtps_pd(_mm256_loadu_ps(y + i));

		e *= e;
		if (weight)
			e *= _mm512_cvtps_pd(_mm256_loadu_ps(weight + i));
		total += e;
	}
	_mm512_storeu_pd(sums, total);
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
