/*
 * The shared exponents of MXFP4 blocks, as each producer derives them from a block's largest
 * magnitude. E8M0 code c means 2^(c - 127); 255 is NaN. qc_e8m0_to_f32() is in quant/f8.h.
 */
#ifndef QC_QUANT_E8M0_H
#define QC_QUANT_E8M0_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "quant/f8.h"

/* ggml's: 2^(code - 128), what doubled E2M1 values are multiplied by; no code is special. */
static inline float qc_e8m0_half(uint8_t code)
{
	return qc_bits_f32(code < 2 ? 0x00200000u << code : (uint32_t)(code - 1) << 23);
}

/* The exponent and the 23 mantissa bits of a positive finite x = (1 + mantissa / 2^23) *
 * 2^exponent, subnormals normalized. */
static inline int qc_f32_split(float x, uint32_t *mantissa)
{
	uint32_t bits = qc_f32_bits(x);
	int below = 0;

	for (; bits < 0x00800000; bits <<= 1)
		below++;
	*mantissa = bits & 0x007fffff;
	return (int)(bits >> 23) - 127 - below;
}

/* Whether the float nearest to k + units * 2^-24 is k, for a logarithm so close to an integer.
 * Floats beside k lie closer together on the side of zero when |k| is a power of two. */
static inline bool qc_log2_is_integer(int k, float units)
{
	int magnitude = k < 0 ? -k : k, half = 1;

	if ((units < 0) == (k > 0)) /* toward zero */
		magnitude--;
	while (2 * half <= magnitude)
		half *= 2;
	return magnitude > 0 && fabsf(units) <= (float)half;
}

/* log2(1 + m * 2^-24) is m * 1.4427 * 2^-24 for the few m that matter. */
#define QC_LOG2_E 1.442695f

/* floorf(log2f(x)) for x > 0, with the logarithm rounded to f32: for large exponents values just
 * below a power of two count as that power. */
static inline int qc_floor_log2(float x)
{
	uint32_t mantissa;
	int exponent = qc_f32_split(x, &mantissa);

	return exponent +
	       qc_log2_is_integer(exponent + 1, -QC_LOG2_E * (float)(0x800000 - mantissa));
}

/* ceilf(log2f(x)) for x > 0, likewise. */
static inline int qc_ceil_log2(float x)
{
	uint32_t mantissa;
	int exponent = qc_f32_split(x, &mantissa);

	return exponent +
	       (mantissa != 0 && !qc_log2_is_integer(exponent, 2 * QC_LOG2_E * (float)mantissa));
}

/* ggml: floor(log2(amax)) - 2, wrapped in 8 bits (below 2^-125); 0 for zeros. */
static inline uint8_t qc_e8m0_ggml(float amax)
{
	return amax > 0 ? (uint8_t)(qc_floor_log2(amax) + 125) : 0;
}

/* ModelOpt: ceil(log2(amax / 6)), at least -127: nothing is cut off. */
static inline uint8_t qc_e8m0_modelopt(float amax)
{
	float scale = amax / 6;
	int exponent = scale > 0 ? qc_ceil_log2(scale) : -127;

	return (uint8_t)(exponent > -127 ? exponent + 127 : 0);
}

/* compressed-tensors: floor(log2) - 2 after amax * 2^-exponent was rounded up from 1.75 on; at
 * least 0. The same on bf16 and f32 values. */
static inline uint8_t qc_e8m0_compressed(float amax)
{
	uint32_t exponent = (qc_f32_bits(amax) + 0x00200000) >> 23;

	return (uint8_t)(exponent > 2 ? exponent - 2 : 0);
}

/* gpt-oss (triton_kernels' downcast_to_mxfp): amax / 6 rounded up to a power of two; 0 for zeros.
 */
static inline uint8_t qc_e8m0_gpt_oss(float amax)
{
	return (uint8_t)((qc_f32_bits(amax / 6) + 0x007fffff) >> 23);
}

#endif
