/*
 * q8_0, q4_0, q4_1, q5_0 and q5_1 with AVX-512, sixteen blocks at a time.
 *
 * The blocks' extremes are reduced together (a transposing tree leaves block k's in lane k), so
 * that one vector division gives sixteen scales; the codes are then made block by block, sixteen
 * elements in a vector. Every operation on an element is the scalar definition's, in its order; a
 * block's maximum and minimum do not depend on the order of comparing except in the sign of a tie,
 * which is looked up. Where a reciprocal or a range overflows, the conversion of infinity or NaN to
 * integer gives 0x80000000, and cutting it to its low byte the definition's 0. Importance weights
 * and the blocks behind the last full group are left to the definition.
 */
#include "quant/variants.h"

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/types.h"

#define INLINE static inline __attribute__((always_inline))

enum { QK = 32, GROUP = 16 };

/* The layout of the 4- and 5-bit types as a formula: { d, m if it has a minimum, high if it has
 * five bits, q }. */
INLINE size_t small_high_at(bool has_min)
{
	return has_min ? 4 : 2;
}

INLINE size_t small_q_at(bool has_min, bool five_bits)
{
	return small_high_at(has_min) + (five_bits ? 4 : 0);
}

INLINE size_t small_size(bool has_min, bool five_bits)
{
	return small_q_at(has_min, five_bits) + 16;
}

enum extreme { LARGEST, SMALLEST, MAGNITUDE };

INLINE __m512 pick(__m512 a, __m512 b, enum extreme what)
{
	return what == SMALLEST ? _mm512_min_ps(a, b) : _mm512_max_ps(a, b);
}

INLINE __m512 block_extremes(const float *x, enum extreme what)
{
	__m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);

	if (what == MAGNITUDE)
		return _mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b));
	return pick(a, b, what);
}

/* Lanes of 128 bits: a a b b. */
INLINE __m512 merge_halves(__m512 a, __m512 b, enum extreme what)
{
	return pick(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee), what);
}

/* Of a = p p q q and b = r r s s: p q r s. */
INLINE __m512 merge_quarters(__m512 a, __m512 b, enum extreme what)
{
	return pick(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd), what);
}

/* The same two steps inside each lane of 128 bits. */
INLINE __m512 merge_pairs(__m512 a, __m512 b, enum extreme what)
{
	return pick(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee), what);
}

INLINE __m512 merge_singles(__m512 a, __m512 b, enum extreme what)
{
	return pick(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd), what);
}

/* Lane k is the extreme of block k of the sixteen at x. */
INLINE __m512 group_extremes(const float *x, enum extreme what)
{
	__m512 r[4];

	for (int i = 0; i < 4; i++) {
		const float *block = x + i * QK;
		__m512 low = merge_halves(block_extremes(block, what),
					  block_extremes(block + 4 * QK, what), what);
		__m512 high = merge_halves(block_extremes(block + 8 * QK, what),
					   block_extremes(block + 12 * QK, what), what);
		r[i] = merge_quarters(low, high, what);
	}
	return merge_singles(merge_pairs(r[0], r[1], what), merge_pairs(r[2], r[3], what), what);
}

/* The first element of the block at x whose magnitude is `magnitude` (there is one). */
static float first_of_magnitude(const float *x, float magnitude)
{
	__m512 m = _mm512_set1_ps(magnitude);
	unsigned low = _mm512_cmpeq_ps_mask(_mm512_abs_ps(_mm512_loadu_ps(x)), m);
	unsigned high = _mm512_cmpeq_ps_mask(_mm512_abs_ps(_mm512_loadu_ps(x + 16)), m);

	return x[__builtin_ctz(low | high << 16)];
}

/* `value`, but in the lanes of `ties` the block's first element of the same magnitude. */
static __m512 settle_ties(const float *x, __m512 value, unsigned ties)
{
	float values[GROUP];

	_mm512_storeu_ps(values, value);
	for (; ties; ties &= ties - 1) {
		int k = __builtin_ctz(ties);
		values[k] = first_of_magnitude(x + k * QK, fabsf(values[k]));
	}
	return _mm512_loadu_ps(values);
}

/* Each block's element of largest magnitude, the first of them; +0 for a block of zeros. */
INLINE __m512 group_peaks(const float *x)
{
	__m512 max = group_extremes(x, LARGEST), min = group_extremes(x, SMALLEST);
	__m512 opposite = _mm512_sub_ps(_mm512_setzero_ps(), min);
	__m512 peak = _mm512_mask_mov_ps(min, _mm512_cmp_ps_mask(max, opposite, _CMP_GE_OQ), max);
	unsigned nonzero = _mm512_cmp_ps_mask(peak, _mm512_setzero_ps(), _CMP_NEQ_OQ);
	unsigned ties = _mm512_cmpeq_ps_mask(max, opposite) & nonzero;

	peak = _mm512_maskz_mov_ps((__mmask16)nonzero, peak);
	return ties ? settle_ties(x, peak, ties) : peak;
}

/* Each block's minimum: of zeros of both signs the first. */
INLINE __m512 group_minima(const float *x)
{
	__m512 min = group_extremes(x, SMALLEST);
	unsigned zero = _mm512_cmpeq_ps_mask(min, _mm512_setzero_ps());

	return zero ? settle_ties(x, min, zero) : min;
}

/* 1 / d, or 0 where d is zero. */
INLINE __m512 reciprocal(__m512 d)
{
	return _mm512_maskz_div_ps(_mm512_cmp_ps_mask(d, _mm512_setzero_ps(), _CMP_NEQ_UQ),
				   _mm512_set1_ps(1), d);
}

INLINE void halves_store(uint16_t out[GROUP], __m512 v)
{
	_mm256_storeu_si256((__m256i *)(void *)out, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

/* roundf(x * id): half away from zero. Adding the largest float below a half and truncating is
 * exact, where adding a half would round 0.49999997 up. */
INLINE __m128i q8_0_codes(const float *x, __m512 id)
{
	__m512 v = _mm512_mul_ps(_mm512_loadu_ps(x), id);
	__m512i sign_bit = _mm512_set1_epi32((int)0x80000000);
	/* below_half | (v & sign_bit) */
	__m512 half = _mm512_castsi512_ps(
		_mm512_ternarylogic_epi32(_mm512_castps_si512(_mm512_set1_ps(0x1.fffffep-2f)),
					  _mm512_castps_si512(v), sign_bit, 0xf8));

	return _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(_mm512_add_ps(v, half)));
}

INLINE void q8_0_group(const float *x, uint8_t *dst)
{
	__m512 d = _mm512_div_ps(group_extremes(x, MAGNITUDE), _mm512_set1_ps(127));
	__m512 id = reciprocal(d);
	uint16_t d16[GROUP];
	float ids[GROUP];

	halves_store(d16, d);
	_mm512_storeu_ps(ids, id);
	for (int k = 0; k < GROUP; k++) {
		uint8_t *block = dst + (size_t)k * sizeof(struct qc_block_q8_0);
		__m512 scale = _mm512_set1_ps(ids[k]);
		memcpy(block, &d16[k], 2);
		_mm_storeu_si128((__m128i *)(void *)(block + 2), q8_0_codes(x + k * QK, scale));
		_mm_storeu_si128((__m128i *)(void *)(block + 18),
				 q8_0_codes(x + k * QK + 16, scale));
	}
}

static void q8_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	size_t n_blocks = rows * cols / QK;
	uint8_t *out = dst;

	(void)weight; /* the definition has no use for it either */
	for (; n_blocks >= GROUP;
	     n_blocks -= GROUP, x += GROUP * QK, out += GROUP * sizeof(struct qc_block_q8_0))
		q8_0_group(x, out);
	qc_q8_0.quantize(x, out, 1, n_blocks * QK, NULL);
}

/* 16 codes: (x - min) * id + bias, or x * id + bias without a minimum, truncated, at most `top`. */
INLINE __m512i small_codes(const float *x, bool has_min, __m512 min, __m512 id, float bias, int top)
{
	__m512 v = _mm512_loadu_ps(x);

	if (has_min)
		v = _mm512_sub_ps(v, min);
	v = _mm512_add_ps(_mm512_mul_ps(v, id), _mm512_set1_ps(bias));
	return _mm512_min_epi32(_mm512_cvttps_epi32(v), _mm512_set1_epi32(top));
}

/* The 4- and 5-bit codes of a block whose scales are written: codes j and j + 16 share byte j; bit
 * 4 of code j is bit j of `high`. */
INLINE void small_pack(__m512i a, __m512i b, uint8_t *high, uint8_t *q, bool five_bits)
{
	if (five_bits) {
		const __m512i fifth = _mm512_set1_epi32(16);
		uint32_t bits = _mm512_test_epi32_mask(a, fifth);
		bits |= (uint32_t)_mm512_test_epi32_mask(b, fifth) << 16;
		memcpy(high, &bits, 4);
		a = _mm512_and_si512(a, _mm512_set1_epi32(15));
	}
	a = _mm512_or_si512(a, _mm512_slli_epi32(b, 4));
	_mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(a));
}

/* The types differ in has_min and five_bits only, constants where this is inlined. */
INLINE void small_group(const float *x, uint8_t *dst, bool has_min, bool five_bits)
{
	const int top = five_bits ? 31 : 15;
	const float bias = has_min ? 0.5f : (float)top / 2 + 1;
	__m512 min = _mm512_setzero_ps(), d, id;
	uint16_t d16[GROUP], m16[GROUP];
	float ids[GROUP], mins[GROUP];

	if (has_min) {
		min = group_minima(x);
		/* abs: where the definition takes 0 - 0 both are the same zero, which gives +0 */
		d = _mm512_abs_ps(_mm512_sub_ps(group_extremes(x, LARGEST), min));
		d = _mm512_div_ps(d, _mm512_set1_ps((float)top));
		halves_store(m16, min);
		_mm512_storeu_ps(mins, min);
	} else {
		d = _mm512_div_ps(group_peaks(x), _mm512_set1_ps(five_bits ? -16 : -8));
	}
	id = reciprocal(d);
	halves_store(d16, d);
	_mm512_storeu_ps(ids, id);
	for (int k = 0; k < GROUP; k++) {
		uint8_t *block = dst + (size_t)k * small_size(has_min, five_bits);
		const __m512 scale = _mm512_set1_ps(ids[k]);
		__m512i a, b;

		memcpy(block, &d16[k], 2);
		if (has_min) {
			memcpy(block + 2, &m16[k], 2);
			min = _mm512_set1_ps(mins[k]);
		}
		a = small_codes(x + k * QK, has_min, min, scale, bias, top);
		b = small_codes(x + k * QK + 16, has_min, min, scale, bias, top);
		small_pack(a, b, block + small_high_at(has_min),
			   block + small_q_at(has_min, five_bits), five_bits);
	}
}

INLINE void small_quantize(const struct qc_qtype *type, const float *x, void *dst, size_t rows,
			   size_t cols, const float *weight, bool has_min, bool five_bits)
{
	size_t n_blocks = rows * cols / QK;
	uint8_t *out = dst;

	if (weight) {
		type->quantize(x, dst, rows, cols, weight);
		return;
	}
	for (; n_blocks >= GROUP;
	     n_blocks -= GROUP, x += GROUP * QK, out += GROUP * small_size(has_min, five_bits))
		small_group(x, out, has_min, five_bits);
	type->quantize(x, out, 1, n_blocks * QK, NULL);
}

static void q4_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	small_quantize(&qc_q4_0, x, dst, rows, cols, weight, false, false);
}

static void q4_1_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	small_quantize(&qc_q4_1, x, dst, rows, cols, weight, true, false);
}

static void q5_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	small_quantize(&qc_q5_0, x, dst, rows, cols, weight, false, true);
}

static void q5_1_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	small_quantize(&qc_q5_1, x, dst, rows, cols, weight, true, true);
}

/* The f16 at p in every lane. */
INLINE __m512 half_broadcast(const uint8_t *p)
{
	int16_t h;

	memcpy(&h, p, 2);
	return _mm512_cvtph_ps(_mm256_set1_epi16(h));
}

static void q8_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *block = src;

	for (; n_blocks; n_blocks--, block += sizeof(struct qc_block_q8_0), x += QK) {
		__m512 d = half_broadcast(block);
		for (int i = 0; i < QK; i += 16) {
			__m128i q = _mm_loadu_si128((const __m128i *)(const void *)(block + 2 + i));
			_mm512_storeu_ps(
				x + i,
				_mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)), d));
		}
	}
}

INLINE void small_dequantize(const void *src, float *x, size_t n_blocks, bool has_min,
			     bool five_bits)
{
	const float zero = has_min ? 0 : five_bits ? 16 : 8;
	/* the low four bits of a code -> its value without the fifth */
	const __m512 values =
		_mm512_sub_ps(_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
			      _mm512_set1_ps(zero));
	const uint8_t *block = src;

	for (; n_blocks; n_blocks--, block += small_size(has_min, five_bits), x += QK) {
		__m512i q = _mm512_cvtepu8_epi32(_mm_loadu_si128(
			(const __m128i *)(const void *)(block + small_q_at(has_min, five_bits))));
		__m512 a = _mm512_permutexvar_ps(q, values);
		__m512 b = _mm512_permutexvar_ps(_mm512_srli_epi32(q, 4), values);
		__m512 d = half_broadcast(block);

		if (five_bits) {
			const __m512 sixteen = _mm512_set1_ps(16);
			uint32_t high;

			memcpy(&high, block + small_high_at(has_min), 4);
			a = _mm512_mask_add_ps(a, (__mmask16)high, a, sixteen);
			b = _mm512_mask_add_ps(b, (__mmask16)(high >> 16), b, sixteen);
		}
		a = _mm512_mul_ps(a, d);
		b = _mm512_mul_ps(b, d);
		if (has_min) {
			__m512 m = half_broadcast(block + 2);
			a = _mm512_add_ps(a, m);
			b = _mm512_add_ps(b, m);
		}
		_mm512_storeu_ps(x, a);
		_mm512_storeu_ps(x + 16, b);
	}
}

static void q4_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	small_dequantize(src, x, n_blocks, false, false);
}

static void q4_1_dequantize(const void *src, float *x, size_t n_blocks)
{
	small_dequantize(src, x, n_blocks, true, false);
}

static void q5_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	small_dequantize(src, x, n_blocks, false, true);
}

static void q5_1_dequantize(const void *src, float *x, size_t n_blocks)
{
	small_dequantize(src, x, n_blocks, true, true);
}

const struct qc_variant qc_variants_avx512_legacy[] = {
	{&qc_q8_0, QC_ISA_AVX512, q8_0_quantize, q8_0_dequantize},
	{&qc_q4_0, QC_ISA_AVX512, q4_0_quantize, q4_0_dequantize},
	{&qc_q4_1, QC_ISA_AVX512, q4_1_quantize, q4_1_dequantize},
	{&qc_q5_0, QC_ISA_AVX512, q5_0_quantize, q5_0_dequantize},
	{&qc_q5_1, QC_ISA_AVX512, q5_1_quantize, q5_1_dequantize},
	{.type = NULL},
};
