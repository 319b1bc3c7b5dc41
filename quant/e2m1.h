/*
 * OCP E2M1, the 4-bit float of MXFP4 and NVFP4, as its writers round to it.
 *
 *   code       0   1   2   3   4   5   6   7      8 .. 15: the same, negative
 *   value      0  .5   1  1.5  2   3   4   6
 *
 * A value halfway between two goes to the even code, or toward zero, as the producer has it; beyond
 * 6 all saturate. qc_e2m1_to_f32() is in quant/f8.h.
 */
#ifndef QC_QUANT_E2M1_H
#define QC_QUANT_E2M1_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "quant/f8.h"

/* The code 0..7 nearest to a magnitude >= 0, ties to the even code. */
static inline uint8_t qc_e2m1_even(float magnitude)
{
	return (uint8_t)((magnitude > 0.25f) + (magnitude >= 0.75f) + (magnitude > 1.25f) +
			 (magnitude >= 1.75f) + (magnitude > 2.5f) + (magnitude >= 3.5f) +
			 (magnitude > 5));
}

/* The code 0..7 nearest to a magnitude >= 0, ties toward zero. */
static inline uint8_t qc_e2m1_down(float magnitude)
{
	return (uint8_t)((magnitude > 0.25f) + (magnitude > 0.75f) + (magnitude > 1.25f) +
			 (magnitude > 1.75f) + (magnitude > 2.5f) + (magnitude > 3.5f) +
			 (magnitude > 5));
}

/* 8 where the sign bit is set: -0 and underflowed negatives keep it. */
static inline uint8_t qc_e2m1_sign(float x)
{
	return (uint8_t)(qc_f32_bits(x) >> 28 & 8);
}

/* Twice the value of a code 0..15, as ggml's tables have it: code 8 is +0. */
static inline float qc_e2m1_twice(uint8_t code)
{
	static const float twice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

	return twice[code];
}

/*
 * ggml's choice for x in a block whose half unit is `half` (E2M1 1.0 means 2 * half): the code
 * whose value is nearest to x in f32 arithmetic, of equally near ones the lowest. So ties go toward
 * zero, what rounds to zero has code 0 whatever its sign, and a scale of 0 gives code 0.
 */
static inline uint8_t qc_e2m1_ggml(float x, float half)
{
	float magnitude = fabsf(x), best = magnitude;
	uint8_t code = 0;

	for (uint8_t i = 1; i < 8; i++) {
		float error = fabsf(qc_e2m1_twice(i) * half - magnitude);

		if (error < best) {
			best = error;
			code = i;
		}
	}
	return (uint8_t)(code && x < 0 ? code | 8 : code);
}

/*
 * The E2M1 value nearest to `magnitude` >= 0, ties to even, for searches: adding and subtracting
 * 1.5 * 2^23 steps rounds to a multiple of the step, which is .5 below 2, 1 below 4, then 2.
 */
static inline float qc_e2m1_round(float magnitude)
{
	float capped = magnitude < 6 ? magnitude : 6;
	float shift = capped < 2 ? 0x1.8p22f : capped < 4 ? 0x1.8p23f : 0x1.8p24f;

	return (capped + shift) - shift;
}

/* The codes of that rounding for n values times `inverse`; what rounds to zero has code 0. */
static inline void qc_e2m1_encode(const float *x, size_t n, float inverse, uint8_t *codes)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t code = qc_e2m1_even(fabsf(x[i]) * inverse);

		codes[i] = (uint8_t)(code && x[i] < 0 ? code | 8 : code);
	}
}

/* Two codes a byte, the even element in the low nibble; n even. The order of every Hugging Face
 * layout. */
static inline void qc_e2m1_pack(const uint8_t *codes, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n / 2; i++)
		out[i] = (uint8_t)(codes[2 * i] | codes[2 * i + 1] << 4);
}

static inline void qc_e2m1_unpack(const uint8_t *packed, size_t n, uint8_t *codes)
{
	for (size_t i = 0; i < n / 2; i++) {
		codes[2 * i] = packed[i] & 15;
		codes[2 * i + 1] = packed[i] >> 4;
	}
}

#endif
