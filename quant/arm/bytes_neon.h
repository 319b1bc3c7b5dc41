/* Vectors of 16 and 32 bytes for NEON: see quant/lanes/lanes.h; quant/x86/bytes_avx2.h comments the
 * functions. */
#ifndef QC_QUANT_ARM_BYTES_NEON_H
#define QC_QUANT_ARM_BYTES_NEON_H

#ifdef __AARCH64EL__

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define LANES_INLINE static inline __attribute__((always_inline))

typedef uint8x16_t bytes16;
typedef struct {
	bytes16 first, last;
} bytes32;

LANES_INLINE bytes16 bytes16_load(const void *p)
{
	return vld1q_u8(p);
}

LANES_INLINE void bytes16_store(void *p, bytes16 v)
{
	vst1q_u8(p, v);
}

LANES_INLINE bytes16 bytes16_load8(const void *p)
{
	return vcombine_u8(vld1_u8(p), vdup_n_u8(0));
}

LANES_INLINE void bytes16_store8(void *p, bytes16 v)
{
	vst1_u8(p, vget_low_u8(v));
}

LANES_INLINE bytes16 bytes16_low4(bytes16 v)
{
	return vandq_u8(v, vdupq_n_u8(15));
}

LANES_INLINE bytes16 bytes16_high4(bytes16 v)
{
	return vshrq_n_u8(v, 4);
}

LANES_INLINE bytes16 bytes16_nibbles(bytes16 low, bytes16 high)
{
	return vorrq_u8(low, vshlq_n_u8(high, 4));
}

LANES_INLINE bytes16 bytes16_zip_low(bytes16 a, bytes16 b)
{
	return vzip1q_u8(a, b);
}

LANES_INLINE bytes16 bytes16_zip_high(bytes16 a, bytes16 b)
{
	return vzip2q_u8(a, b);
}

LANES_INLINE bytes16 bytes16_firsts(bytes16 a, bytes16 b)
{
	return vcombine_u8(vget_low_u8(a), vget_low_u8(b));
}

LANES_INLINE bytes16 bytes16_last8(bytes16 v)
{
	return vextq_u8(v, vdupq_n_u8(0), 8);
}

LANES_INLINE bytes16 bytes16_pair_up(bytes16 a, bytes16 b)
{
	return bytes16_nibbles(vuzp1q_u8(a, b), vuzp2q_u8(a, b));
}

LANES_INLINE bytes16 bytes16_pair_down(bytes16 a, bytes16 b)
{
	return bytes16_nibbles(vuzp2q_u8(a, b), vuzp1q_u8(a, b));
}

LANES_INLINE bytes16 bytes16_look_up(bytes16 table, bytes16 v)
{
	return vqtbl1q_u8(table, v);
}

LANES_INLINE bytes32 bytes32_join(bytes16 first, bytes16 last)
{
	return (bytes32){first, last};
}

LANES_INLINE bytes16 bytes32_first(bytes32 v)
{
	return v.first;
}

LANES_INLINE bytes16 bytes32_last(bytes32 v)
{
	return v.last;
}

LANES_INLINE bytes32 bytes32_load(const void *p)
{
	return bytes32_join(vld1q_u8(p), vld1q_u8((const uint8_t *)p + 16));
}

LANES_INLINE void bytes32_store(void *p, bytes32 v)
{
	vst1q_u8(p, v.first);
	vst1q_u8((uint8_t *)p + 16, v.last);
}

LANES_INLINE bytes32 bytes32_set(int v)
{
	bytes16 all = vdupq_n_u8((uint8_t)v);

	return bytes32_join(all, all);
}

LANES_INLINE bytes32 bytes32_and(bytes32 a, bytes32 b)
{
	return bytes32_join(vandq_u8(a.first, b.first), vandq_u8(a.last, b.last));
}

LANES_INLINE bytes32 bytes32_or(bytes32 a, bytes32 b)
{
	return bytes32_join(vorrq_u8(a.first, b.first), vorrq_u8(a.last, b.last));
}

LANES_INLINE bytes32 bytes32_flip(bytes32 v, int bits)
{
	bytes16 all = vdupq_n_u8((uint8_t)bits);

	return bytes32_join(veorq_u8(v.first, all), veorq_u8(v.last, all));
}

LANES_INLINE bytes32 bytes32_subtract(bytes32 v, int n)
{
	bytes16 all = vdupq_n_u8((uint8_t)n);

	return bytes32_join(vsubq_u8(v.first, all), vsubq_u8(v.last, all));
}

LANES_INLINE bytes32 bytes32_min(bytes32 v, int top)
{
	bytes16 all = vdupq_n_u8((uint8_t)top);

	return bytes32_join(vminq_u8(v.first, all), vminq_u8(v.last, all));
}

LANES_INLINE bytes32 bytes32_if_above(bytes32 v, int n, int bits)
{
	bytes16 limit = vdupq_n_u8((uint8_t)n);

	return bytes32_and(bytes32_join(vcgtq_u8(v.first, limit), vcgtq_u8(v.last, limit)),
			   bytes32_set(bits));
}

LANES_INLINE bytes32 bytes32_if_bit(bytes32 v, int j, int bits)
{
	bytes16 bit = vdupq_n_u8((uint8_t)(1 << j));

	return bytes32_and(bytes32_join(vtstq_u8(v.first, bit), vtstq_u8(v.last, bit)),
			   bytes32_set(bits));
}

LANES_INLINE bytes32 bytes32_low4(bytes32 v)
{
	return bytes32_join(bytes16_low4(v.first), bytes16_low4(v.last));
}

LANES_INLINE bytes32 bytes32_high4(bytes32 v)
{
	return bytes32_join(bytes16_high4(v.first), bytes16_high4(v.last));
}

LANES_INLINE bytes32 bytes32_nibbles(bytes32 low, bytes32 high)
{
	return bytes32_join(bytes16_nibbles(low.first, high.first),
			    bytes16_nibbles(low.last, high.last));
}

LANES_INLINE bytes32 bytes32_twos(bytes32 low, bytes32 high)
{
	return bytes32_join(vorrq_u8(low.first, vshlq_n_u8(high.first, 2)),
			    vorrq_u8(low.last, vshlq_n_u8(high.last, 2)));
}

LANES_INLINE bytes32 bytes32_two(bytes32 v, int k)
{
	int8x16_t right = vdupq_n_s8((int8_t)(-2 * k));

	return bytes32_and(bytes32_join(vshlq_u8(v.first, right), vshlq_u8(v.last, right)),
			   bytes32_set(3));
}

/* 1, 2, 4 ... 128, twice. */
LANES_INLINE bytes16 bytes16_own_bit(void)
{
	return vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
}

LANES_INLINE uint32_t bytes16_fifth_bits(bytes16 v)
{
	bytes16 bits = vandq_u8(vtstq_u8(v, vdupq_n_u8(16)), bytes16_own_bit());

	return (uint32_t)vaddv_u8(vget_low_u8(bits)) | (uint32_t)vaddv_u8(vget_high_u8(bits)) << 8;
}

LANES_INLINE uint32_t bytes32_fifth_bits(bytes32 v)
{
	return bytes16_fifth_bits(v.first) | bytes16_fifth_bits(v.last) << 16;
}

LANES_INLINE bytes16 bytes16_of_fifth_bits(uint32_t bits)
{
	bytes16 each = vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));

	return vandq_u8(vtstq_u8(each, bytes16_own_bit()), vdupq_n_u8(16));
}

LANES_INLINE bytes32 bytes32_of_fifth_bits(uint32_t bits)
{
	return bytes32_join(bytes16_of_fifth_bits(bits), bytes16_of_fifth_bits(bits >> 16));
}

#endif
#endif
