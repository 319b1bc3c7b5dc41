/*
 * Four lanes, for NEON: see quant/lanes/lanes.h; quant/x86/lanes_avx512.h comments the functions.
 */
#ifndef QC_QUANT_ARM_LANES_NEON_H
#define QC_QUANT_ARM_LANES_NEON_H

#ifdef __AARCH64EL__

#include "quant/arm/bytes_neon.h"
#include "quant/arm/quads_neon.h"
#include "quant/fast.h"

enum { LANES = 4 };
static const enum qc_isa lanes_isa = QC_ISA_NEON;
typedef float32x4_t lanes;
typedef int32x4_t lanes_int;
typedef uint32x4_t lanes_mask;

LANES_INLINE lanes lanes_set(float v)
{
	return vdupq_n_f32(v);
}

LANES_INLINE lanes lanes_load(const float *p)
{
	return vld1q_f32(p);
}

LANES_INLINE void lanes_store(float *p, lanes v)
{
	vst1q_f32(p, v);
}

/* fmin, fmax, fminnm and fmaxnm have other rules for NaN and zeros. */
LANES_INLINE lanes lanes_min(lanes a, lanes b)
{
	return vbslq_f32(vcltq_f32(a, b), a, b);
}

LANES_INLINE lanes lanes_max(lanes a, lanes b)
{
	return vbslq_f32(vcgtq_f32(a, b), a, b);
}

LANES_INLINE lanes lanes_abs(lanes v)
{
	return vabsq_f32(v);
}

LANES_INLINE lanes lanes_negate(lanes v)
{
	return vnegq_f32(v);
}

LANES_INLINE lanes lanes_copysign(lanes a, lanes b)
{
	return vbslq_f32(vdupq_n_u32(0x80000000), b, a);
}

LANES_INLINE lanes lanes_sqrt(lanes v)
{
	return vsqrtq_f32(v);
}

LANES_INLINE lanes lanes_round(lanes v)
{
	return vrndnq_f32(v);
}

LANES_INLINE lanes lanes_half(lanes v)
{
	return vcvt_f32_f16(vcvt_f16_f32(v));
}

LANES_INLINE lanes_mask lanes_lt(lanes a, lanes b)
{
	return vcltq_f32(a, b);
}

LANES_INLINE lanes_mask lanes_eq(lanes a, lanes b)
{
	return vceqq_f32(a, b);
}

LANES_INLINE lanes_mask lanes_none(void)
{
	return vdupq_n_u32(0);
}

LANES_INLINE lanes_mask lanes_and(lanes_mask a, lanes_mask b)
{
	return vandq_u32(a, b);
}

LANES_INLINE lanes_mask lanes_or(lanes_mask a, lanes_mask b)
{
	return vorrq_u32(a, b);
}

LANES_INLINE lanes_mask lanes_not(lanes_mask a)
{
	return vmvnq_u32(a);
}

LANES_INLINE int lanes_any(lanes_mask m)
{
	return vmaxvq_u32(m) != 0;
}

LANES_INLINE lanes lanes_select(lanes_mask m, lanes a, lanes b)
{
	return vbslq_f32(m, a, b);
}

LANES_INLINE lanes_int lanes_int_set(int v)
{
	return vdupq_n_s32(v);
}

LANES_INLINE lanes lanes_from_int(lanes_int v)
{
	return vcvtq_f32_s32(v);
}

LANES_INLINE lanes_int lanes_int_and(lanes_int v, int bits)
{
	return vandq_s32(v, lanes_int_set(bits));
}

LANES_INLINE lanes_int lanes_int_flip(lanes_int v, int bits)
{
	return veorq_s32(v, lanes_int_set(bits));
}

LANES_INLINE lanes_int lanes_int_min(lanes_int v, int high)
{
	return vminq_s32(v, lanes_int_set(high));
}

LANES_INLINE lanes_int lanes_int_max(lanes_int v, int low)
{
	return vmaxq_s32(v, lanes_int_set(low));
}

LANES_INLINE lanes_int lanes_bits(lanes v)
{
	return vreinterpretq_s32_f32(v);
}

LANES_INLINE lanes lanes_of_bits(lanes_int v)
{
	return vreinterpretq_f32_s32(v);
}

LANES_INLINE lanes_int lanes_int_add_unless(lanes_mask m, lanes_int v, int add)
{
	return vaddq_s32(v, vbicq_s32(lanes_int_set(add), vreinterpretq_s32_u32(m)));
}

LANES_INLINE lanes_int lanes_int_add_if(lanes_mask m, lanes_int v, int add)
{
	return vaddq_s32(v, vandq_s32(lanes_int_set(add), vreinterpretq_s32_u32(m)));
}

LANES_INLINE lanes_int lanes_int_sum(lanes_int a, lanes_int b)
{
	return vaddq_s32(a, b);
}

LANES_INLINE lanes_int lanes_int_right(lanes_int v, int bits)
{
	return vreinterpretq_s32_u32(vreinterpretq_u32_s32(v) >> (uint32_t)bits);
}

LANES_INLINE lanes_int lanes_int_left(lanes_int v, int bits)
{
	return vreinterpretq_s32_u32(vreinterpretq_u32_s32(v) << (uint32_t)bits);
}

LANES_INLINE lanes_int lanes_int_select(lanes_mask m, lanes_int a, lanes_int b)
{
	return vbslq_s32(m, a, b);
}

LANES_INLINE lanes_mask lanes_int_lt(lanes_int a, lanes_int b)
{
	return vcltq_s32(a, b);
}

LANES_INLINE void lanes_int_store(int32_t *p, lanes_int v)
{
	vst1q_s32(p, v);
}

LANES_INLINE lanes_int lanes_int_load(const int32_t *p)
{
	return vld1q_s32(p);
}

LANES_INLINE lanes_int lanes_from_u16(const uint16_t *p)
{
	return vreinterpretq_s32_u32(vmovl_u16(vld1_u16(p)));
}

/* The places of the bytes of entry `index` in a table of floats. */
LANES_INLINE bytes16 lanes_places(lanes_int index)
{
	uint32x4_t first = vreinterpretq_u32_s32(index) * 0x04040404;

	return vreinterpretq_u8_u32(vaddq_u32(first, vdupq_n_u32(0x03020100)));
}

LANES_INLINE lanes lanes_table4(const float p[4])
{
	return lanes_load(p);
}

LANES_INLINE lanes lanes_look_up4(lanes table, lanes_int index)
{
	return vreinterpretq_f32_u8(
		vqtbl1q_u8(vreinterpretq_u8_f32(table), lanes_places(lanes_int_and(index, 3))));
}

enum { LANES_TABLE8 = 2 };

LANES_INLINE lanes lanes_table8(const float p[8], int part)
{
	return lanes_load(p + 4 * part);
}

LANES_INLINE lanes lanes_look_up8(const lanes table[LANES_TABLE8], lanes_int index)
{
	uint8x16x2_t bytes = {{vreinterpretq_u8_f32(table[0]), vreinterpretq_u8_f32(table[1])}};

	return vreinterpretq_f32_u8(vqtbl2q_u8(bytes, lanes_places(lanes_int_and(index, 7))));
}

struct lanes_table {
	lanes part[16 / LANES];
};

LANES_INLINE lanes lanes_look_up(const struct lanes_table *table, lanes_int index)
{
	uint8x16x4_t bytes = {
		{vreinterpretq_u8_f32(table->part[0]), vreinterpretq_u8_f32(table->part[1]),
		 vreinterpretq_u8_f32(table->part[2]), vreinterpretq_u8_f32(table->part[3])}};

	return vreinterpretq_f32_u8(vqtbl4q_u8(bytes, lanes_places(lanes_int_and(index, 15))));
}

LANES_INLINE lanes lanes_gather(const float *table, lanes_int index)
{
	const float each[4] = {table[vgetq_lane_s32(index, 0)], table[vgetq_lane_s32(index, 1)],
			       table[vgetq_lane_s32(index, 2)], table[vgetq_lane_s32(index, 3)]};

	return lanes_load(each);
}

LANES_INLINE float lanes_least(lanes v)
{
	return vminvq_f32(v);
}

LANES_INLINE int lanes_int_least(lanes_int v)
{
	return vminvq_s32(v);
}

LANES_INLINE unsigned lanes_mask_bits(lanes_mask m)
{
	static const uint32_t bit[4] = {1, 2, 4, 8};

	return vaddvq_u32(vandq_u32(m, vld1q_u32(bit)));
}

LANES_INLINE lanes_int lanes_truncate(lanes v)
{
	return vcvtq_s32_f32(v);
}

/* The low bytes of 16 integers. */
LANES_INLINE bytes16 lanes_pack16(const lanes_int v[4])
{
	int16x8_t low = vcombine_s16(vmovn_s32(v[0]), vmovn_s32(v[1]));
	int16x8_t high = vcombine_s16(vmovn_s32(v[2]), vmovn_s32(v[3]));

	return vreinterpretq_u8_s8(vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}

LANES_INLINE bytes32 lanes_pack_bytes(const lanes_int v[8])
{
	return bytes32_join(lanes_pack16(v), lanes_pack16(v + 4));
}

LANES_INLINE bytes32 lanes_pack_signed(const lanes_int v[8])
{
	return lanes_pack_bytes(v);
}

LANES_INLINE void lanes_widen(bytes16 v, lanes_int out[4])
{
	uint16x8_t low = vmovl_u8(vget_low_u8(v)), high = vmovl_high_u8(v);

	out[0] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low)));
	out[1] = vreinterpretq_s32_u32(vmovl_high_u16(low));
	out[2] = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high)));
	out[3] = vreinterpretq_s32_u32(vmovl_high_u16(high));
}

LANES_INLINE void lanes_widen_signed(bytes16 v, lanes_int out[4])
{
	int16x8_t low = vmovl_s8(vget_low_s8(vreinterpretq_s8_u8(v)));
	int16x8_t high = vmovl_high_s8(vreinterpretq_s8_u8(v));

	out[0] = vmovl_s16(vget_low_s16(low));
	out[1] = vmovl_high_s16(low);
	out[2] = vmovl_s16(vget_low_s16(high));
	out[3] = vmovl_high_s16(high);
}

LANES_INLINE void lanes_from_bytes(bytes32 v, lanes out[8])
{
	lanes_int each[8];

	lanes_widen(v.first, each);
	lanes_widen(v.last, each + 4);
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		out[i] = lanes_from_int(each[i]);
}

LANES_INLINE void lanes_from_signed(bytes32 v, lanes out[8])
{
	lanes_int each[8];

	lanes_widen_signed(v.first, each);
	lanes_widen_signed(v.last, each + 4);
#pragma GCC unroll 8
	for (int i = 0; i < 8; i++)
		out[i] = lanes_from_int(each[i]);
}

LANES_INLINE void lanes_store_halves(uint16_t *p, lanes v)
{
	vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}

LANES_INLINE lanes lanes_set_half(int16_t h)
{
	return vcvt_f32_f16(vreinterpret_f16_s16(vdup_n_s16(h)));
}

LANES_INLINE void lanes_transpose(const float *row, size_t stride, lanes column[4])
{
	quad_transpose(row, stride, column);
}

/* Of 128 bits there is one part. */
LANES_INLINE lanes lanes_even_parts(lanes a, lanes b)
{
	(void)b;
	return a;
}

LANES_INLINE lanes lanes_odd_parts(lanes a, lanes b)
{
	(void)a;
	return b;
}

LANES_INLINE lanes lanes_evens(lanes a, lanes b)
{
	return vuzp1q_f32(a, b);
}

LANES_INLINE lanes lanes_odds(lanes a, lanes b)
{
	return vuzp2q_f32(a, b);
}

LANES_INLINE void lanes_error_sums(const float *x, const float *y, const float *weight, size_t n,
				   double sums[8])
{
	float64x2_t total[4] = {vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0)};

	for (size_t i = 0; i < n; i += 4) {
		float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(y + i);
		float64x2_t low = vcvt_f64_f32(vget_low_f32(a)) - vcvt_f64_f32(vget_low_f32(b));
		float64x2_t high = vcvt_high_f64_f32(a) - vcvt_high_f64_f32(b);

		low *= low;
		high *= high;
		if (weight) {
			float32x4_t w = vld1q_f32(weight + i);

			low *= vcvt_f64_f32(vget_low_f32(w));
			high *= vcvt_high_f64_f32(w);
		}
		total[i / 2 % 4] += low;
		total[i / 2 % 4 + 1] += high;
	}
	for (int i = 0; i < 4; i++)
		vst1q_f64(sums + 2 * i, total[i]);
}

#endif
#endif
