/* The one-byte floats and E2M1, exact in f32. */
#ifndef QC_QUANT_F8_H
#define QC_QUANT_F8_H

#include <math.h>
#include <stdint.h>

#include "base/bytes.h"
#include "quant/half.h"

/* sign, `exp_bits` exponent bits, the rest mantissa: mant * 2^(1 - bias - mant_bits) in the lowest
 * binade, otherwise (1 + mant / 2^mant_bits) * 2^(exp - bias). No special values: the callers know
 * theirs. */
static inline float qc_minifloat(uint8_t code, int mant_bits, int bias)
{
	uint32_t mant = code & ((1u << mant_bits) - 1), exp = (code & 127u) >> mant_bits;
	float value;

	if (exp)
		value = qc_bits_f32((exp + 127 - (uint32_t)bias) << 23 | mant << (23 - mant_bits));
	else
		value = (float)mant * qc_bits_f32((uint32_t)(128 - bias - mant_bits) << 23);
	return code & 128 ? -value : value;
}

/* OCP E4M3 (float8_e4m3fn): bias 7, no infinities, 0x7f and 0xff are NaN, largest 448. */
static inline float qc_e4m3_to_f32(uint8_t code)
{
	return (code & 127) == 127 ? NAN : qc_minifloat(code, 3, 7);
}

/* OCP E5M2 (float8_e5m2): the upper half of an f16. */
static inline float qc_e5m2_to_f32(uint8_t code)
{
	return qc_f16_to_f32((uint16_t)(code << 8));
}

/* OCP E8M0: 2^(code - 127), 0xff is NaN; code 0 is the subnormal 2^-127. */
static inline float qc_e8m0_to_f32(uint8_t code)
{
	return code == 255 ? NAN : qc_bits_f32(code ? (uint32_t)code << 23 : 0x00400000);
}

/* E4M3FNUZ (Graphcore, AMD): bias 8, 0x80 is the only NaN, no negative zero, largest 240. */
static inline float qc_e4m3fnuz_to_f32(uint8_t code)
{
	return code == 128 ? NAN : qc_minifloat(code, 3, 8);
}

/* E5M2FNUZ: bias 16, 0x80 is the only NaN, largest 57344. */
static inline float qc_e5m2fnuz_to_f32(uint8_t code)
{
	return code == 128 ? NAN : qc_minifloat(code, 2, 16);
}

/* OCP E2M1: 0 .5 1 1.5 2 3 4 6 and, from code 8 on, their negatives. */
static inline float qc_e2m1_to_f32(uint8_t code)
{
	static const float magnitude[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};

	return code & 8 ? -magnitude[code & 7] : magnitude[code & 7];
}

#endif
