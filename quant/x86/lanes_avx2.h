/*
 * Eight lanes, for AVX2: see lanes.h; lanes_avx512.h comments the functions.
 */
#ifndef QC_QUANT_X86_LANES_AVX2_H
#define QC_QUANT_X86_LANES_AVX2_H

#if defined(__AVX2__) && !defined(__AVX512F__)

#include "quant/fast.h"
#include "quant/x86/bytes_avx2.h"
#include "quant/x86/quads_avx.h"

enum { LANES = 8 };
static const enum qc_isa lanes_isa = QC_ISA_AVX2;
typedef __m256 lanes;
typedef __m256i lanes_int;
typedef __m256 lanes_mask;

LANES_INLINE lanes lanes_set(float v)
{
	return _mm256_set1_ps(v);
}

LANES_INLINE lanes lanes_load(const float *p)
{
	return _mm256_loadu_ps(p);
}

LANES_INLINE void lanes_store(float *p, lanes v)
{
	_mm256_storeu_ps(p, v);
}

LANES_INLINE lanes lanes_min(lanes a, lanes b)
{
	return _mm256_min_ps(a, b);
}

LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
	return _mm256_max_ps(a, b);
}

LANES_INLINE lanes lanes_abs(lanes v)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

LANES_INLINE lanes lanes_negate(lanes v)
{
	return _mm256_xor_ps(v, _mm256_set1_ps(-0.0f));
}

LANES_INLINE lanes lanes_copysign(lanes a, lanes b)
{
	return _mm256_or_ps(lanes_abs(a), _mm256_and_ps(b, _mm256_set1_ps(-0.0f)));
}

LANES_INLINE lanes lanes_sqrt(lanes v)
{
	return _mm256_sqrt_ps(v);
}

LANES_INLINE lanes lanes_round(lanes v)
{
	return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

LANES_INLINE lanes lanes_half(lanes v)
{
	return _mm256_cvtph_ps(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

LANES_INLINE lanes_mask lanes_lt(lanes a, lanes b)
{
	return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

LANES_INLINE lanes_mask lanes_eq(lanes a, lanes b)
{
	return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}

LANES_INLINE lanes_mask lanes_none(void)
{
	return _mm256_setzero_ps();
}

LANES_INLINE lanes_mask lanes_and(lanes_mask a, lanes_mask b)
{
	return _mm256_and_ps(a, b);
}

LANES_INLINE lanes_mask lanes_or(lanes_mask a, lanes_mask b)
{
	return _mm256_or_ps(a, b);
}

LANES_INLINE lanes_mask lanes_not(lanes_mask a)
{
	return _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));
}

LANES_INLINE int lanes_any(lanes_mask m)
{
	return _mm256_movemask_ps(m) != 0;
}

LANES_INLINE lanes lanes_select(lanes_mask m, lanes a, lanes b)
{
	return _mm256_blendv_ps(b, a, m);
}

LANES_INLINE lanes_int lanes_int_set(int v)
{
	return _mm256_set1_epi32(v);
}

LANES_INLINE lanes lanes_from_int(lanes_int v)
{
	return _mm256_cvtepi32_ps(v);
}

LANES_INLINE lanes_int lanes_int_and(lanes_int v, int bits)
{
	return _mm256_and_si256(v, lanes_int_set(bits));
}

LANES_INLINE lanes_int lanes_int_flip(lanes_int v, int bits)
{
	return _mm256_xor_si256(v, lanes_int_set(bits));
}

LANES_INLINE lanes_int lanes_int_min(lanes_int v, int high)
{
	return _mm256_min_epi32(v, lanes_int_set(high));
}

LANES_INLINE lanes_int lanes_int_max(lanes_int v, int low)
{
	return _mm256_max_epi32(v, lanes_int_set(low));
}

LANES_INLINE lanes_int lanes_int_add_unless(lanes_mask m, lanes_int v, int add)
{
	return _mm256_add_epi32(v, _mm256_andnot_si256(_mm256_castps_si256(m), lanes_int_set(add)));
}

LANES_INLINE lanes_int lanes_int_add_if(lanes_mask m, lanes_int v, int add)
{
	return _mm256_add_epi32(v, _mm256_and_si256(_mm256_castps_si256(m), lanes_int_set(add)));
}

LANES_INLINE lanes_int lanes_int_sum(lanes_int a, lanes_int b)
{
	return _mm256_add_epi32(a, b);
}

LANES_INLINE lanes_int lanes_int_right(lanes_int v, int bits)
{
	return _mm256_srli_epi32(v, bits);
}

LANES_INLINE lanes_int lanes_int_left(lanes_int v, int bits)
{
	return _mm256_slli_epi32(v, bits);
}

LANES_INLINE lanes_int lanes_int_select(lanes_mask m, lanes_int a, lanes_int b)
{
	return _mm256_blendv_epi8(b, a, _mm256_castps_si256(m));
}

LANES_INLINE lanes_mask lanes_int_lt(lanes_int a, lanes_int b)
{
	return _mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a));
}

LANES_INLINE void lanes_int_store(int32_t *p, lanes_int v)
{
	_mm256_storeu_si256((__m256i *)(void *)p, v);
}

LANES_INLINE lanes_int lanes_int_load(const int32_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

LANES_INLINE lanes_int lanes_from_u16(const uint16_t *p)
{
	return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

LANES_INLINE lanes lanes_table4(const float p[4])
{
	return _mm256_broadcast_ps((const __m128 *)(const void *)p);
}

LANES_INLINE lanes lanes_look_up4(lanes table, lanes_int index)
{
	return _mm256_permutevar_ps(table, index);
}

enum { LANES_TABLE8 = 1 };

LANES_INLINE lanes lanes_table8(const float p[8], int part)
{
	(void)part;
	return lanes_load(p);
}

LANES_INLINE lanes lanes_look_up8(const lanes table[LANES_TABLE8], lanes_int index)
{
	return _mm256_permutevar8x32_ps(table[0], index);
}

LANES_INLINE float lanes_least(lanes v)
{
	__m128 m = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	m = _mm_min_ps(m, _mm_movehl_ps(m, m));
	return _mm_cvtss_f32(_mm_min_ss(m, _mm_movehdup_ps(m)));
}

LANES_INLINE int lanes_int_least(lanes_int v)
{
	__m128i m = _mm_min_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	m = _mm_min_epi32(m, _mm_shuffle_epi32(m, 0x4e));
	return _mm_cvtsi128_si32(_mm_min_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}

LANES_INLINE lanes_int lanes_bits(lanes v)
{
	return _mm256_castps_si256(v);
}

LANES_INLINE lanes lanes_of_bits(lanes_int v)
{
	return _mm256_castsi256_ps(v);
}

LANES_INLINE unsigned lanes_mask_bits(lanes_mask m)
{
	return (unsigned)_mm256_movemask_ps(m);
}

LANES_INLINE lanes_int lanes_truncate(lanes v)
{
	return _mm256_cvttps_epi32(v);
}

LANES_INLINE bytes32 lanes_pack_signed(const lanes_int v[4])
{
	__m256i low = _mm256_packs_epi32(v[0], v[1]), high = _mm256_packs_epi32(v[2], v[3]);
	__m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);

	return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
}

LANES_INLINE bytes16 lanes_pack16(const lanes_int v[2])
{
	__m128i low = _mm256_castsi256_si128(_mm256_packs_epi32(v[0], v[1]));
	__m128i high = _mm256_extracti128_si256(_mm256_packs_epi32(v[0], v[1]), 1);

	low = _mm_packus_epi16(low, high); /* elements 0-3, 8-11, 4-7, 12-15 */
	return _mm_shuffle_epi32(low, _MM_SHUFFLE(3, 1, 2, 0));
}

LANES_INLINE void lanes_widen(bytes16 v, lanes_int out[2])
{
	out[0] = _mm256_cvtepu8_epi32(v);
	out[1] = _mm256_cvtepu8_epi32(bytes16_last8(v));
}

LANES_INLINE void lanes_widen_signed(bytes16 v, lanes_int out[2])
{
	out[0] = _mm256_cvtepi8_epi32(v);
	out[1] = _mm256_cvtepi8_epi32(bytes16_last8(v));
}

/* Through memory: loads widen for nothing, shuffles do not. */
LANES_INLINE void lanes_from_signed(bytes32 v, lanes out[4])
{
	int8_t bytes[32];

	bytes32_store(bytes, v);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		out[i] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes16_load8(bytes + 8 * i)));
}

LANES_INLINE void lanes_store_halves(uint16_t *p, lanes v)
{
	_mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

LANES_INLINE lanes lanes_set_half(int16_t h)
{
	return _mm256_cvtph_ps(_mm_set1_epi16(h));
}

struct lanes_table {
	lanes part[16 / LANES];
};

LANES_INLINE lanes lanes_look_up(const struct lanes_table *table, lanes_int index)
{
	lanes low = _mm256_permutevar8x32_ps(table->part[0], index);
	lanes high = _mm256_permutevar8x32_ps(table->part[1], index);

	return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}

LANES_INLINE bytes32 lanes_pack_bytes(const lanes_int v[4])
{
	__m256i low = _mm256_packs_epi32(v[0], v[1]), high = _mm256_packs_epi32(v[2], v[3]);
	__m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);

	return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
}

LANES_INLINE void lanes_from_bytes(bytes32 v, lanes out[4])
{
	uint8_t bytes[32];

	bytes32_store(bytes, v);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		out[i] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes16_load8(bytes + 8 * i)));
}

LANES_INLINE lanes lanes_gather(const float *table, lanes_int index)
{
	return _mm256_i32gather_ps(table, index, 4);
}

LANES_INLINE lanes lanes_even_parts(lanes a, lanes b)
{
	return _mm256_permute2f128_ps(a, b, 0x20);
}

LANES_INLINE lanes lanes_odd_parts(lanes a, lanes b)
{
	return _mm256_permute2f128_ps(a, b, 0x31);
}

LANES_INLINE lanes lanes_evens(lanes a, lanes b)
{
	return _mm256_shuffle_ps(a, b, 0x88);
}

LANES_INLINE lanes lanes_odds(lanes a, lanes b)
{
	return _mm256_shuffle_ps(a, b, 0xdd);
}

LANES_INLINE void lanes_error_sums(const float *x, const float *y, const float *weight, size_t n,
				   double sums[8])
{
	__m256d total[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};

	for (size_t i = 0; i < n; i += 4) {
		__m256d e =
			_mm256_cvtps_pd(_mm_loadu_ps(x + i)) - _mm256_cvtps_pd(_mm_loadu_ps(y + i));

		e *= e;
		if (weight)
			e *= _mm256_cvtps_pd(_mm_loadu_ps(weight + i));
		total[i / 4 % 2] += e;
	}
	_mm256_storeu_pd(sums, total[0]);
	_mm256_storeu_pd(sums + 4, total[1]);
}

static inline void lanes_transpose(const float *row, size_t stride, lanes column[8])
{
	__m256 t[8];
	__m256d u[8];

	for (size_t i = 0; i < 8; i += 2) {
		__m256 a = lanes_load(row + i * stride), b = lanes_load(row + (i + 1) * stride);

		t[i] = _mm256_unpacklo_ps(a, b);
		t[i + 1] = _mm256_unpackhi_ps(a, b);
	}
	for (int i = 0; i < 8; i += 4)
		for (int half = 0; half < 2; half++) {
			__m256d a = _mm256_castps_pd(t[i + half]);
			__m256d b = _mm256_castps_pd(t[i + half + 2]);

			u[i + 2 * half] = _mm256_unpacklo_pd(a, b);
			u[i + 2 * half + 1] = _mm256_unpackhi_pd(a, b);
		}
	/* u[4k + c] holds column 4j + c of rows 4k .. 4k + 3 in its 128-bit part j. */
	for (int c = 0; c < 4; c++) {
		column[c] = _mm256_castpd_ps(_mm256_permute2f128_pd(u[c], u[4 + c], 0x20));
		column[4 + c] = _mm256_castpd_ps(_mm256_permute2f128_pd(u[c], u[4 + c], 0x31));
	}
}

#endif
#endif
