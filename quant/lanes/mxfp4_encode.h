/*
 * The producers' MXFP4 encoders of quant/mxfp4_pack.c: exponents from the largest magnitudes of one
 * block of 32 per lane, then codes in storage order.
 */
#ifndef QC_QUANT_LANES_MXFP4_ENCODE_H
#define QC_QUANT_LANES_MXFP4_ENCODE_H

#include "quant/lanes/e2m1_lanes.h"

#ifdef LANES_INLINE

#include <string.h>

#include "quant/e8m0.h"
#include "quant/mxfp4_pack.h"

/* qc_e2m1_down() of |x| */
LANES_INLINE lanes_int e2m1_down(lanes x)
{
	static const float ties[7] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5};
	lanes magnitude = lanes_abs(x);
	lanes_int code = lanes_int_set(0);

	for (int i = 0; i < 7; i++)
		code = lanes_int_add_if(lanes_lt(lanes_set(ties[i]), magnitude), code, 1);
	return code;
}

LANES_INLINE uint8_t mxfp4_exponent(enum qc_mxfp4_rule rule, float amax)
{
	if (rule == QC_MXFP4_MODELOPT)
		return qc_e8m0_modelopt(amax);
	return rule == QC_MXFP4_COMPRESSED ? qc_e8m0_compressed(amax) : qc_e8m0_gpt_oss(amax);
}

/* Codes of x under `unit`; gpt-oss multiplies by its reciprocal, `inverse`. */
LANES_INLINE lanes_int mxfp4_codes(enum qc_mxfp4_rule rule, lanes x, float unit, float inverse)
{
	lanes zero = lanes_set(0), scaled;

	if (rule == QC_MXFP4_GPT_OSS) {
		scaled = x * lanes_set(inverse);
		return lanes_int_sum(e2m1_magnitude(scaled),
				     lanes_int_and(lanes_int_right(lanes_bits(scaled), 28), 8));
	}
	scaled = x / lanes_set(unit);
	if (rule == QC_MXFP4_COMPRESSED)
		return e2m1_even(scaled);
	return lanes_int_add_if(lanes_not(lanes_lt(zero, x)), e2m1_down(scaled), 8);
}

LANES_INLINE void mxfp4_largest(const float *x, float largest[LANES])
{
	lanes column[32], max = lanes_set(0);

	lanes_columns(x, 32, column);
	for (int i = 0; i < 32; i++)
		max = lanes_max(lanes_abs(column[i]), max);
	lanes_store(largest, max);
}

LANES_INLINE void mxfp4_encode(enum qc_mxfp4_rule rule, const float *x, size_t n, uint8_t *codes,
			       uint8_t *scales)
{
	float part[32 * LANES] = {0}, largest[LANES];

	for (size_t left = n / 32; left > 0;) {
		size_t count = left < LANES ? left : LANES;

		if (count < LANES)
			x = memcpy(part, x, count * 32 * sizeof(float));
		mxfp4_largest(x, largest);
		for (size_t k = 0; k < count; k++, x += 32, codes += 16) {
			uint8_t e = mxfp4_exponent(rule, largest[k]);
			float unit = qc_e8m0_to_f32(e), inverse = e ? 1 / unit : 0;
			lanes_int each[32 / LANES];

			for (size_t i = 0; i < 32; i += LANES)
				each[i / LANES] =
					mxfp4_codes(rule, lanes_load(x + i), unit, inverse);
			e2m1_pack32(lanes_pack_bytes(each), false, codes);
			*scales++ = e;
		}
		left -= count;
	}
}

static void mxfp4_encode_by(enum qc_mxfp4_rule rule, const float *x, size_t n, uint8_t *codes,
			    uint8_t *scales)
{
	if (rule == QC_MXFP4_MODELOPT)
		mxfp4_encode(QC_MXFP4_MODELOPT, x, n, codes, scales);
	else if (rule == QC_MXFP4_COMPRESSED)
		mxfp4_encode(QC_MXFP4_COMPRESSED, x, n, codes, scales);
	else
		mxfp4_encode(QC_MXFP4_GPT_OSS, x, n, codes, scales);
}

#endif
#endif
