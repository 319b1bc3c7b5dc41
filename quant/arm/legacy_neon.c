/*
 * q8_0, q4_0, q4_1, q5_0 and q5_1 with NEON, a block at a time.
 *
 * Every operation on an element is the scalar definition's, in its order; a block's maximum and
 * minimum do not depend on the order of comparing except in the sign of a tie, which is looked up.
 * What the definition must decide itself (a reciprocal or a range that overflows, importance
 * weights) is left to it.
 */
#include "quant/variants.h"

#include <arm_neon.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/types.h"

#define INLINE static inline __attribute__((always_inline))

enum { QK = 32, LANES = 4 };

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

INLINE float block_magnitude(const float *x)
{
	float32x4_t v = vabsq_f32(vld1q_f32(x));

	for (int i = LANES; i < QK; i += LANES)
		v = vmaxq_f32(v, vabsq_f32(vld1q_f32(x + i)));
	return vmaxvq_f32(v);
}

INLINE float block_largest(const float *x)
{
	float32x4_t v = vld1q_f32(x);

	for (int i = LANES; i < QK; i += LANES)
		v = vmaxq_f32(v, vld1q_f32(x + i));
	return vmaxvq_f32(v);
}

INLINE float block_smallest(const float *x)
{
	float32x4_t v = vld1q_f32(x);

	for (int i = LANES; i < QK; i += LANES)
		v = vminq_f32(v, vld1q_f32(x + i));
	return vminvq_f32(v);
}

/* The first element of the block at x whose magnitude is `magnitude` (there is one). */
static float first_of_magnitude(const float *x, float magnitude)
{
	while (fabsf(*x) != magnitude)
		x++;
	return *x;
}

/* The element of largest magnitude, the first of them; +0 for a block of zeros. */
INLINE float block_peak(const float *x)
{
	float max = block_largest(x), min = block_smallest(x);

	if (max != -min)
		return max > -min ? max : min;
	return max != 0 ? first_of_magnitude(x, max) : 0;
}

/* The f16 of v at p. */
INLINE void half_store(uint8_t *p, float v)
{
	uint16_t h = vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(v))), 0);

	memcpy(p, &h, 2);
}

/* The f16 at p in every lane. */
INLINE float32x4_t half_broadcast(const uint8_t *p)
{
	uint16_t h;

	memcpy(&h, p, 2);
	return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h)));
}

/* 16 small integers as bytes. */
INLINE uint8x16_t bytes_pack(const int32x4_t v[4])
{
	int16x8_t low = vcombine_s16(vmovn_s32(v[0]), vmovn_s32(v[1]));
	int16x8_t high = vcombine_s16(vmovn_s32(v[2]), vmovn_s32(v[3]));

	return vreinterpretq_u8_s8(vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}

/* 16 signed bytes as floats. */
INLINE void bytes_widen(int8x16_t bytes, float32x4_t out[4])
{
	int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));

	out[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
	out[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(low)));
	out[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
	out[3] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)));
}

static void q8_0_quantize(const float *x, void *dst, size_t rows, size_t cols, const float *weight)
{
	uint8_t *block = dst;

	(void)weight; /* the definition has no use for it either */
	for (size_t n = rows * cols / QK; n; n--, x += QK, block += sizeof(struct qc_block_q8_0)) {
		float d = block_magnitude(x) / 127, id = d != 0 ? 1 / d : 0;

		if (isinf(id)) {
			qc_q8_0.quantize(x, block, 1, QK, NULL);
			continue;
		}
		half_store(block, d);
		for (int half = 0; half < QK; half += 16) {
			int32x4_t q[4];
			for (int i = 0; i < 4; i++) /* to nearest, halves away from zero */
				q[i] = vcvtaq_s32_f32(
					vmulq_n_f32(vld1q_f32(x + half + i * LANES), id));
			vst1q_u8(block + 2 + half, bytes_pack(q));
		}
	}
}

/* 16 codes: the truncated (x - min) * id + bias, or x * id + bias without a minimum, at most `top`.
 */
INLINE uint8x16_t small_codes(const float *x, bool has_min, float min, float id, float bias,
			      uint8_t top)
{
	int32x4_t q[4];

	for (int i = 0; i < 4; i++) {
		float32x4_t v = vld1q_f32(x + i * LANES);
		if (has_min)
			v = vsubq_f32(v, vdupq_n_f32(min));
		v = vmulq_n_f32(v, id);
		q[i] = vcvtq_s32_f32(vaddq_f32(v, vdupq_n_f32(bias)));
	}
	return vminq_u8(bytes_pack(q), vdupq_n_u8(top));
}

/* 1, 2, 4 ... 128, twice. */
INLINE uint8x16_t bit_of_lane(void)
{
	return vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
}

/* Bit 4 of 16 codes, as two bytes. */
INLINE void fifth_bits_store(uint8_t high[2], uint8x16_t codes)
{
	uint8x16_t bits = vandq_u8(vtstq_u8(codes, vdupq_n_u8(16)), bit_of_lane());

	high[0] = vaddv_u8(vget_low_u8(bits));
	high[1] = vaddv_u8(vget_high_u8(bits));
}

/* 16 in each of 16 bytes whose bit is set. */
INLINE uint8x16_t fifth_bits_load(const uint8_t high[2])
{
	uint8x16_t bits = vcombine_u8(vdup_n_u8(high[0]), vdup_n_u8(high[1]));

	return vandq_u8(vtstq_u8(bits, bit_of_lane()), vdupq_n_u8(16));
}

/* The types differ in has_min and five_bits only, constants where this is inlined. */
INLINE void small_block(const struct qc_qtype *type, const float *x, uint8_t *block, bool has_min,
			bool five_bits)
{
	const uint8_t top = five_bits ? 31 : 15;
	const float bias = has_min ? 0.5f : (float)top / 2 + 1;
	uint8_t *high = block + small_high_at(has_min);
	uint8x16_t low_codes, high_codes;
	float min = 0, d, id;

	if (has_min) {
		min = block_smallest(x);
		if (min == 0) /* of zeros of both signs the first */
			min = first_of_magnitude(x, 0);
		/* magnitude: where the definition takes 0 - 0 both are the same zero, which gives
		 * +0 */
		d = fabsf(block_largest(x) - min) / top;
	} else {
		d = block_peak(x) / (five_bits ? -16 : -8);
	}
	id = d != 0 ? 1 / d : 0;
	if (isinf(id) || isinf(d)) {
		type->quantize(x, block, 1, QK, NULL);
		return;
	}
	half_store(block, d);
	if (has_min)
		half_store(block + 2, min);
	low_codes = small_codes(x, has_min, min, id, bias, top);
	high_codes = small_codes(x + 16, has_min, min, id, bias, top);
	if (five_bits) {
		fifth_bits_store(high, low_codes);
		fifth_bits_store(high + 2, high_codes);
		low_codes = vandq_u8(low_codes, vdupq_n_u8(15));
	}
	vst1q_u8(block + small_q_at(has_min, five_bits),
		 vorrq_u8(low_codes, vshlq_n_u8(high_codes, 4)));
}

INLINE void small_quantize(const struct qc_qtype *type, const float *x, void *dst, size_t rows,
			   size_t cols, const float *weight, bool has_min, bool five_bits)
{
	uint8_t *block = dst;

	if (weight) {
		type->quantize(x, dst, rows, cols, weight);
		return;
	}
	for (size_t n = rows * cols / QK; n; n--, x += QK, block += small_size(has_min, five_bits))
		small_block(type, x, block, has_min, five_bits);
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

/* 16 values of signed codes. */
INLINE void values_store(float *x, int8x16_t codes, float32x4_t d, bool has_min, float32x4_t m)
{
	float32x4_t v[4];

	bytes_widen(codes, v);
	for (int i = 0; i < 4; i++) {
		v[i] = vmulq_f32(v[i], d);
		vst1q_f32(x + i * LANES, has_min ? vaddq_f32(v[i], m) : v[i]);
	}
}

static void q8_0_dequantize(const void *src, float *x, size_t n_blocks)
{
	const uint8_t *block = src;

	for (; n_blocks; n_blocks--, block += sizeof(struct qc_block_q8_0), x += QK) {
		float32x4_t d = half_broadcast(block);
		values_store(x, vreinterpretq_s8_u8(vld1q_u8(block + 2)), d, false, d);
		values_store(x + 16, vreinterpretq_s8_u8(vld1q_u8(block + 18)), d, false, d);
	}
}

INLINE void small_dequantize(const void *src, float *x, size_t n_blocks, bool has_min,
			     bool five_bits)
{
	const int8x16_t zero = vdupq_n_s8(has_min ? 0 : five_bits ? 16 : 8);
	const uint8_t *block = src;

	for (; n_blocks; n_blocks--, block += small_size(has_min, five_bits), x += QK) {
		const uint8_t *high = block + small_high_at(has_min);
		uint8x16_t q = vld1q_u8(block + small_q_at(has_min, five_bits));
		uint8x16_t a = vandq_u8(q, vdupq_n_u8(15)), b = vshrq_n_u8(q, 4);
		float32x4_t d = half_broadcast(block), m = has_min ? half_broadcast(block + 2) : d;

		if (five_bits) {
			a = vorrq_u8(a, fifth_bits_load(high));
			b = vorrq_u8(b, fifth_bits_load(high + 2));
		}
		values_store(x, vsubq_s8(vreinterpretq_s8_u8(a), zero), d, has_min, m);
		values_store(x + 16, vsubq_s8(vreinterpretq_s8_u8(b), zero), d, has_min, m);
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

const struct qc_variant qc_variants_neon_legacy[] = {
	{&qc_q8_0, QC_ISA_NEON, q8_0_quantize, q8_0_dequantize},
	{&qc_q4_0, QC_ISA_NEON, q4_0_quantize, q4_0_dequantize},
	{&qc_q4_1, QC_ISA_NEON, q4_1_quantize, q4_1_dequantize},
	{&qc_q5_0, QC_ISA_NEON, q5_0_quantize, q5_0_dequantize},
	{&qc_q5_1, QC_ISA_NEON, q5_1_quantize, q5_1_dequantize},
	{.type = NULL},
};
