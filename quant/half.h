/*
 * f16 and bf16 conversions, bit-exact on every host (no _Float16, no F16C needed).
 *
 * Round to nearest even. NaN: f16 gives sign | 0x7e00 (ggml's software conversion); bf16 keeps the
 * upper bits and sets the quiet bit (bits >> 16 | 64), as ggml's ggml_compute_fp32_to_bf16 does.
 */
#ifndef QC_QUANT_HALF_H
#define QC_QUANT_HALF_H

#include <stdint.h>

#include "base/bytes.h"

static inline float qc_f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t exp = h >> 10 & 31, mant = h & 0x3ff;

	if (exp == 31) /* infinity; a NaN becomes quiet, as in the reference and in F16C */
		return qc_bits_f32(sign | (mant ? 0x7fc00000 : 0x7f800000) | mant << 13);
	if (exp) /* normal */
		return qc_bits_f32(sign | (exp + 112) << 23 | mant << 13);
	/* zero, subnormal: mant * 2^-24 is exact */
	return qc_bits_f32(sign | qc_f32_bits((float)mant * 0x1p-24f));
}

static inline uint16_t qc_f32_to_f16(float f)
{
	uint32_t bits = qc_f32_bits(f), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;

	if (magnitude > 0x7f800000)
		return (uint16_t)(sign | 0x7e00);
	if (magnitude >= 0x477ff000) /* 65520 and above round to infinity */
		return (uint16_t)(sign | 0x7c00);
	if (magnitude <
	    0x38800000) /* below 2^-14: adding 0.5 lets the FPU round to a multiple of 2^-24 */
		return (uint16_t)(sign | (qc_f32_bits(qc_bits_f32(magnitude) + 0.5f) - 0x3f000000));
	/* rebias the exponent, round to nearest even on the 13 dropped bits */
	return (uint16_t)(sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

static inline float qc_bf16_to_f32(uint16_t h)
{
	return qc_bits_f32((uint32_t)h << 16);
}

static inline uint16_t qc_f32_to_bf16(float f)
{
	uint32_t bits = qc_f32_bits(f);

	if ((bits & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(bits >> 16 | 64);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
