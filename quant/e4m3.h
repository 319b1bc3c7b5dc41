/*
 * OCP E4M3 (float8_e4m3fn): sign, 4 exponent bits of bias 7, 3 mantissa bits; no infinities, 0x7f
 * and 0xff are NaN, the largest value is 448 (0x7e), below 2^-6 the step is 2^-9.
 * qc_e4m3_to_f32() is in quant/f8.h.
 */
#ifndef QC_QUANT_E4M3_H
#define QC_QUANT_E4M3_H

#include <math.h>
#include <stdint.h>

#include "base/bytes.h"
#include "quant/f8.h"

/* Round to nearest, ties to even, as PyTorch's conversion does: what rounds beyond 448 (more
 * than 464) is NaN, with its sign. */
static inline uint8_t qc_f32_to_e4m3(float x)
{
	uint32_t bits = qc_f32_bits(x), sign = bits >> 24 & 0x80, magnitude = bits & 0x7fffffff;

	if (magnitude > 0x43e80000) /* above 464, infinity, NaN */
		return (uint8_t)(sign | 0x7f);
	if (magnitude < 0x3c800000) /* below 2^-6: adding 2^14 leaves a multiple of 2^-9 */
		return (uint8_t)(sign |
				 (qc_f32_bits(qc_bits_f32(magnitude) + 0x1p14f) - 0x46800000));
	return (uint8_t)(sign | (magnitude - 0x3c000000 + 0x7ffff + (magnitude >> 20 & 1)) >> 20);
}

/* The same with magnitudes above 448 cut to it first; NaN stays NaN. */
static inline uint8_t qc_f32_to_e4m3_saturated(float x)
{
	return qc_f32_to_e4m3(x > 448 ? 448 : x < -448 ? -448 : x);
}

/*
 * ggml's unsigned E4M3 scales (ggml-impl.h: ggml_fp32_to_ue4m3): ties away from zero on the first
 * dropped bit, below 2^-6 at most 7 steps of 2^-9, and no code with exponent 15 but 0x7e: 248 and
 * above give 448. What is not above zero gives 0.
 */
static inline uint8_t qc_f32_to_ue4m3(float x)
{
	uint32_t code;

	if (!(x > 0))
		return 0;
	if (x < 0x1p-6f) {
		code = (uint32_t)(x * 512 + 0.5f);
		return (uint8_t)(code < 7 ? code : 7);
	}
	if (x >= 248)
		return 0x7e;
	return (uint8_t)((qc_f32_bits(x) - 0x3c000000 + 0x80000) >> 20);
}

/* ggml's decoder: 0x7f is 0, bit 7 is ignored but for 0xff, which is 480. */
static inline float qc_ue4m3_to_f32(uint8_t code)
{
	return code == 0x7f ? 0 : qc_minifloat(code & 0x7f, 3, 7);
}

#endif
