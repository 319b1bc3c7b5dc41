/* Four floats, and two times four, for NEON: see quant/lanes/lanes.h; quant/x86/quads_avx.h
 * comments the functions. */
#ifndef QC_QUANT_ARM_QUADS_NEON_H
#define QC_QUANT_ARM_QUADS_NEON_H

#ifdef __AARCH64EL__

#include <stdbool.h>

#include "quant/arm/bytes_neon.h"

typedef float32x4_t quad;
typedef struct {
	quad first, last;
} octet;

LANES_INLINE quad quad_set(float v)
{
	return vdupq_n_f32(v);
}

LANES_INLINE quad quad_load(const float *p)
{
	return vld1q_f32(p);
}

LANES_INLINE void quad_store(float *p, quad v)
{
	vst1q_f32(p, v);
}

LANES_INLINE quad quad_max(quad a, quad b)
{
	return vbslq_f32(vcgtq_f32(a, b), a, b);
}

LANES_INLINE bool quad_any_reaches(quad a, quad b)
{
	return vmaxvq_u32(vcgeq_f32(a, b)) != 0;
}

/* The estimate is right to 2^-8, a step of Newton's doubles the bits. */
LANES_INLINE quad quad_about_inverse(quad v)
{
	quad estimate = vrecpeq_f32(v);

	return estimate * vrecpsq_f32(v, estimate);
}

LANES_INLINE void quad_transpose(const float *row, size_t stride, quad column[4])
{
	quad a = quad_load(row), b = quad_load(row + stride);
	quad c = quad_load(row + 2 * stride), d = quad_load(row + 3 * stride);
	float64x2_t ab0 = vreinterpretq_f64_f32(vtrn1q_f32(a, b)); /* a0 b0 a2 b2 */
	float64x2_t ab1 = vreinterpretq_f64_f32(vtrn2q_f32(a, b)); /* a1 b1 a3 b3 */
	float64x2_t cd0 = vreinterpretq_f64_f32(vtrn1q_f32(c, d));
	float64x2_t cd1 = vreinterpretq_f64_f32(vtrn2q_f32(c, d));

	column[0] = vreinterpretq_f32_f64(vtrn1q_f64(ab0, cd0));
	column[1] = vreinterpretq_f32_f64(vtrn1q_f64(ab1, cd1));
	column[2] = vreinterpretq_f32_f64(vtrn2q_f64(ab0, cd0));
	column[3] = vreinterpretq_f32_f64(vtrn2q_f64(ab1, cd1));
}

LANES_INLINE octet octet_join(quad first, quad last)
{
	return (octet){first, last};
}

LANES_INLINE quad octet_first(octet v)
{
	return v.first;
}

LANES_INLINE quad octet_last(octet v)
{
	return v.last;
}

LANES_INLINE octet octet_sum(octet a, octet b)
{
	return octet_join(a.first + b.first, a.last + b.last);
}

#endif
#endif
