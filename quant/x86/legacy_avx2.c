/*
 * q8_0, q4_0, q4_1, q5_0 and q5_1 with AVX2, eight blocks at a time.
 *
 * The blocks' extremes are reduced together (a transposing tree leaves block k's in lane k), so
 * that one vector division gives eight scales; the codes are then made block by block, eight
 * elements in a vector. Every operation on an element is the scalar definition's, in its order; a
 * block's maximum and minimum do not depend on the order of comparing except in the sign of a tie,
 * which is looked up. What the definition must decide itself (a reciprocal or a range that
 * overflows, importance weights, the blocks behind the last full group) is left to it.
 */
#include "quant/variants.h"

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/types.h"

#define INLINE static inline __attribute__((always_inline))

enum { QK = 32, LANES = 8, GROUP = 8 };

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

INLINE __m256 pick(__m256 a, __m256 b, enum extreme what)
{
	return what == SMALLEST ? _mm256_min_ps(a, b) : _mm256_max_ps(a, b);
}

INLINE __m256 magnitude(__m256 v)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

INLINE __m256 element_load(const float *x, enum extreme what)
{
	__m256 v = _mm256_loadu_ps(x);

	return what == MAGNITUDE ? magnitude(v) : v;
}

INLINE __m256 block_extremes(const float *x, enum extreme what)
{
	__m256 a = pick(element_load(x, what), element_load(x + 8, what), what);
	__m256 b = pick(element_load(x + 16, what), element_load(x + 24, what), what);

	return pick(a, b, what);
}

/* Halves: a b. */
INLINE __m256 merge_halves(__m256 a, __m256 b, enum extreme what)
{
	return pick(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31), what);
}

/* In each half: a a b b. */
INLINE __m256 merge_pairs(__m256 a, __m256 b, enum extreme what)
{
	return pick(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee), what);
}

/* In each half, of a = p p q q and b = r r s s: p q r s. */
INLINE __m256 merge_singles(__m256 a, __m256 b, enum extreme what)
{
	return pick(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd), what);
}

/* Lane k is the extreme of block k of the eight at x. */
INLINE __m256 group_extremes(const float *x, enum extreme what)
{
	__m256 r[4];

	for (int i = 0; i < 4; i++)
		r[i] = merge_halves(block_extremes(x + i * QK, what),
				    block_extremes(x + (i + 4) * QK, what), what);
	return merge_singles(merge_pairs(r[0], r[1], what), merge_pairs(r[2], r[3], what), what);
}

/* `value`, but in the lanes of `ties` the block's first element of the same magnitude. */
static __m256 settle_ties(const float *x, __m256 value, unsigned ties)
{
	float values[GROUP];

	_mm256_storeu_ps(values, value);
	for (; ties; ties &= ties - 1) {
		int k = __builtin_ctz(ties);
		const float *element = x + k * QK;
		while (fabsf(*element) != fabsf(values[k]))
			element++;
		values[k] = *element;
	}
	return _mm256_loadu_ps(values);
}

/* Each block's element of largest magnitude, the first of them; +0 for a block of zeros. */
INLINE __m256 group_peaks(const float *x)
{
	__m256 max = group_extremes(x, LARGEST), min = group_extremes(x, SMALLEST),
	       zero = _mm256_setzero_ps();
	__m256 opposite = _mm256_sub_ps(zero, min);
	__m256 peak = _mm256_blendv_ps(min, max, _mm256_cmp_ps(max, opposite, _CMP_GE_OQ));
	__m256 nonzero = _mm256_cmp_ps(peak, zero, _CMP_NEQ_OQ);
	__m256 ties = _mm256_and_ps(_mm256_cmp_ps(max, opposite, _CMP_EQ_OQ), nonzero);

	peak = _mm256_and_ps(peak, nonzero);
	return _mm256_movemask_ps(ties) ? settle_ties(x, peak, (unsigned)_mm256_movemask_ps(ties))
					: peak;
}

/* Each block's minimum: of zeros of both signs the first. */
INLINE __m256 group_minima(const float *x)
{
	__m256 min = group_extremes(x, SMALLEST);
	int zero = _mm256_movemask_ps(_mm256_cmp_ps(min, _mm256_setzero_ps(), _CMP_EQ_OQ));

	return zero ? settle_ties(x, min, (unsigned)zero) : min;
}

/* 1 / d, or 0 where d is zero. */
INLINE __m256 reciprocal(__m256 d)
{
	return _mm256_and_ps(_mm256_div_ps(_mm256_set1_ps(1), d),
			     _mm256_cmp_ps(d, _mm256_setzero_ps(), _CMP_NEQ_UQ));
}

/* Lanes whose magnitude is infinite. */
INLINE unsigned infinite(__m256 v)
{
	return (unsigned)_mm256_movemask_ps(
		_mm256_cmp_ps(magnitude(v), _mm256_set1_ps(INFINITY), _CMP_EQ_OQ));
}

INLINE void halves_store(uint16_t out[GROUP], __m256 v)
{
	_mm_storeu_si128((__m128i *)(void *)out, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

/* Let the definition write the blocks of `which`. */
static void group_redo(const struct qc_qtype *type, const float *x, uint8_t *dst, unsigned which)
{
	for (; which; which &= which - 1) {
		unsigned k = (unsigned)__builtin_ctz(which);
		type->quantize(x + k * QK, dst + k * type->block_bytes, 1, QK, NULL);
	}
}

/* 32 small integers as bytes, in order. */
INLINE __m256i bytes_pack(const __m256i v[4])
{
	__m256i bytes =
		_mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));

	/* packing works inside each half: gather the groups of four in order */
	return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* roundf(x * id): half away from zero. Adding the largest float below a half and truncating is
 * exact, where adding a half would round 0.49999997 up. */
INLINE __m256i q8_0_codes(const float *x, __m256 id)
{
	__m256 v = _mm256_mul_ps(_mm256_loadu_ps(x), id);
	__m256 half = _mm256_or_ps(_mm256_and_ps(v, _mm256_set1_ps(-0.0f)),
				   _mm256_set1_ps(0x1.fffffep-2f));

	return _mm256_cvttps_epi32(_mm256_add_ps(v, half));
}

INLINE void q8_0_group(const float *x, uint8_t *dst)
{
	__m256 d = _mm256_div_ps(group_extremes(x, MAGNITUDE), _mm256_set1_ps(127));
	__m256 id = reciprocal(d);
	uint16_t d16[GROUP];
	float ids[GROUP];

	halves_store(d16, d);
	_mm256_storeu_ps(ids, id);
	for (int k = 0; k < GROUP; k++) {
		uint8_t *block = dst + (size_t)k * sizeof(struct qc_block_q8_0);
		__m256 scale = _mm256_set1_ps(ids[k]);
		__m256i q[4];

		for (int i = 0; i < 4; i++)
			q[i] = q8_0_codes(x + k * QK + i * LANES, scale);
		memcpy(block, &d16[k], 2);
		_mm256_storeu_si256((__m256i *)(void *)(block + 2), bytes_pack(q));
	}
	group_redo(&qc_q8_0, x, dst, infinite(id));
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

/* 32 codes: the truncated (x - min) * id + bias, or x * id + bias without a minimum, at most `top`.
 */
INLINE __m256i small_codes(const float *x, bool has_min, __m256 min, __m256 id, float bias, int top)
{
	__m256i q[4];

	for (int i = 0; i < 4; i++) {
		__m256 v = _mm256_loadu_ps(x + i * LANES);
		if (has_min)
			v = _mm256_sub_ps(v, min);
		q[i] = _mm256_cvttps_epi32(
			_mm256_add_ps(_mm256_mul_ps(v, id), _mm256_set1_ps(bias)));
	}
	return _mm256_min_epu8(bytes_pack(q), _mm256_set1_epi8((char)top));
}

/* Codes j and j + 16 share byte j; bit 4 of code j is bit j of `high`. */
INLINE void small_pack(__m256i codes, uint8_t *high, uint8_t *q, bool five_bits)
{
	__m128i low = _mm256_castsi256_si128(codes), rest = _mm256_extracti128_si256(codes, 1);

	if (five_bits) {
		uint32_t fifth = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(codes, 3));
		memcpy(high, &fifth, 4);
		low = _mm_and_si128(low, _mm_set1_epi8(15));
	}
	rest = _mm_and_si128(_mm_slli_epi16(rest, 4), _mm_set1_epi8((char)0xf0));
	_mm_storeu_si128((__m128i *)(void *)q, _mm_or_si128(low, rest));
}

/* The types differ in has_min and five_bits only, constants where this is inlined. */
INLINE void small_group(const struct qc_qtype *type, const float *x, uint8_t *dst, bool has_min,
			bool five_bits)
{
	const int top = five_bits ? 31 : 15;
	const float bias = has_min ? 0.5f : (float)top / 2 + 1;
	__m256 min = _mm256_setzero_ps(), d, id;
	uint16_t d16[GROUP], m16[GROUP];
	float ids[GROUP], mins[GROUP];

	if (has_min) {
		min = group_minima(x);
		/* magnitude: where the definition takes 0 - 0 both are the same zero, which gives
		 * +0 */
		d = magnitude(_mm256_sub_ps(group_extremes(x, LARGEST), min));
		d = _mm256_div_ps(d, _mm256_set1_ps((float)top));
		halves_store(m16, min);
		_mm256_storeu_ps(mins, min);
	} else {
		d = _mm256_div_ps(group_peaks(x), _mm256_set1_ps(five_bits ? -16 : -8));
	}
	id = reciprocal(d);
	halves_store(d16, d);
	_mm256_storeu_ps(ids, id);
	for (int k = 0; k < GROUP; k++) {
		uint8_t *block = dst + (size_t)k * small_size(has_min, five_bits);
		__m256i codes;

		memcpy(block, &d16[k], 2);
		if (has_min) {
			memcpy(block + 2, &m16[k], 2);
			min = _mm256_set1_ps(mins[k]);
		}
		codes = small_codes(x + k * QK, has_min, min, _mm256_set1_ps(ids[k]), bias, top);
		small_pack(codes, block + small_high_at(has_min),
			   block + small_q_at(has_min, five_bits), five_bits);
	}
	group_redo(type, x, dst, infinite(id) | infinite(d));
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
		small_group(type, x, out, has_min, five_bits);
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
INLINE __m256 half_broadcast(const uint8_t *p)
{
	int16_t h;

	memcpy(&h, p, 2);
	return _mm256_cvtph_ps(_mm_set1_epi16(h));
}

/* Eight signed bytes at p, as floats. */
INLINE __m256 bytes_widen(const void *p)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p)));
}

static void q8_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *block = src;

	for (; n_blocks; n_blocks--, block += sizeof(struct qc_block_q8_0), x += QK) {
		__m256 d = half_broadcast(block);
		for (int i = 0; i < QK; i += LANES)
			_mm256_storeu_ps(x + i, _mm256_mul_ps(bytes_widen(block + 2 + i), d));
	}
}

/* 16 in every byte whose bit of `high` is set. */
INLINE __m256i fifth_bits(const uint8_t *high)
{
	int32_t bits;
	__m256i each, mine = _mm256_set1_epi64x((long long)0x8040201008040201);

	memcpy(&bits, high, 4);
	each = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
	each = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), each);
	each = _mm256_cmpeq_epi8(_mm256_and_si256(each, mine), mine);
	return _mm256_and_si256(each, _mm256_set1_epi8(16));
}

INLINE void small_dequantize(const void *src, float *x, size_t n_blocks, bool has_min,
			     bool five_bits)
{
	const __m256i zero = _mm256_set1_epi8(has_min ? 0 : five_bits ? 16 : 8);
	const uint8_t *block = src;

	for (; n_blocks; n_blocks--, block += small_size(has_min, five_bits), x += QK) {
		__m256 d = half_broadcast(block), m = _mm256_setzero_ps();
		__m128i q = _mm_loadu_si128(
			(const __m128i *)(const void *)(block + small_q_at(has_min, five_bits)));
		__m256i codes = _mm256_set_m128i(_mm_srli_epi16(q, 4), q);
		int8_t values[QK];

		codes = _mm256_and_si256(codes, _mm256_set1_epi8(15));
		if (five_bits)
			codes = _mm256_or_si256(codes, fifth_bits(block + small_high_at(has_min)));
		if (has_min)
			m = half_broadcast(block + 2);
		_mm256_storeu_si256((__m256i *)(void *)values, _mm256_sub_epi8(codes, zero));
		for (int i = 0; i < QK; i += LANES) {
			__m256 v = _mm256_mul_ps(bytes_widen(values + i), d);
			_mm256_storeu_ps(x + i, has_min ? _mm256_add_ps(v, m) : v);
		}
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

const struct qc_variant qc_variants_avx2_legacy[] = {
	{&qc_q8_0, QC_ISA_AVX2, q8_0_quantize, q8_0_dequantize},
	{&qc_q4_0, QC_ISA_AVX2, q4_0_quantize, q4_0_dequantize},
	{&qc_q4_1, QC_ISA_AVX2, q4_1_quantize, q4_1_dequantize},
	{&qc_q5_0, QC_ISA_AVX2, q5_0_quantize, q5_0_dequantize},
	{&qc_q5_1, QC_ISA_AVX2, q5_1_quantize, q5_1_dequantize},
	{.type = NULL},
};
