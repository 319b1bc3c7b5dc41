/*
 * The producers' NVFP4 encoders of quant/nvfp4_pack.c: scales with one group of 16 per lane, then
 * codes in storage order. Every quotient, product and rounding is the definition's.
 */
#ifndef QC_QUANT_LANES_NVFP4_ENCODE_H
#define QC_QUANT_LANES_NVFP4_ENCODE_H

#include "quant/lanes/e2m1_lanes.h"

#ifdef LANES_INLINE

#include <string.h>

#include "quant/nvfp4_pack.h"
#include "quant/search_fp4.h"

/* qc_f32_to_e4m3_saturated() of x >= 0 */
LANES_INLINE lanes_int e4m3_code(lanes x)
{
	lanes capped = lanes_min(x, lanes_set(448));
	lanes_int bits = lanes_bits(capped), odd = lanes_int_and(lanes_int_right(bits, 20), 1);
	lanes_int normal = lanes_int_sum(lanes_int_add(bits, 0x7ffff - 0x3c000000), odd);
	lanes_int tiny = lanes_int_add(lanes_bits(capped + lanes_set(0x1p14f)), -0x46800000);

	normal = lanes_int_right(normal, 20);
	return lanes_bits(lanes_select(lanes_lt(capped, lanes_set(0x1p-6f)), lanes_of_bits(tiny),
				       lanes_of_bits(normal)));
}

/* qc_e4m3_to_f32() of codes 0..0x7e */
LANES_INLINE lanes e4m3_value(lanes_int code)
{
	lanes tiny = lanes_from_int(code) * lanes_set(0x1p-9f);
	lanes normal = lanes_of_bits(lanes_int_add(lanes_int_left(code, 20), 0x3c000000));

	return lanes_select(lanes_lt(tiny, lanes_set(0x1p-6f)), tiny, normal);
}

/* To bf16 and back, for finite values >= 0. */
LANES_INLINE lanes bf16_rounded(lanes x)
{
	lanes_int bits = lanes_bits(x), odd = lanes_int_and(lanes_int_right(bits, 16), 1);

	bits = lanes_int_sum(lanes_int_add(bits, 0x7fff), odd);
	return lanes_of_bits(lanes_int_left(lanes_int_right(bits, 16), 16));
}

/* The scale codes of groups with these largest magnitudes. */
LANES_INLINE lanes_int nvfp4_scales(lanes amax, bool divides, float tensor_scale, bool bf16)
{
	lanes zero = lanes_set(0), scale;
	lanes_int code;

	if (!divides) {
		scale = amax / lanes_set(6 * tensor_scale);
		scale = lanes_select(lanes_eq(scale, zero), lanes_set(1), scale);
		return e4m3_code(lanes_max(scale, lanes_set(0x1p-9f)));
	}
	scale = amax / lanes_set(6);
	if (bf16)
		scale = bf16_rounded(scale);
	code = e4m3_code(lanes_set(tensor_scale) * scale);
	return lanes_int_add_if(lanes_eq(lanes_from_int(code), zero), code, 0x20);
}

/* LANES groups at x: their scale codes, and what 1.0 means in each. */
LANES_INLINE void nvfp4_units(const float *x, bool divides, float tensor_scale, bool bf16,
			      lanes_int *codes, float unit[LANES])
{
	lanes column[16], max = lanes_set(0), value;

	lanes_columns(x, 16, column);
	for (int i = 0; i < 16; i++)
		max = lanes_max(lanes_abs(column[i]), max);
	*codes = nvfp4_scales(max, divides, tensor_scale, bf16);
	value = e4m3_value(*codes);
	lanes_store(unit,
		    divides ? value / lanes_set(tensor_scale) : value * lanes_set(tensor_scale));
}

LANES_INLINE void nvfp4_encode(bool divides, const float *x, size_t n, float tensor_scale,
			       bool bf16, bool in_blocks, uint8_t *dst_scales, uint8_t *dst_codes)
{
	float part[16 * LANES] = {0}, unit[LANES];
	int32_t scale[LANES];

	for (size_t first = 0; first < n / 16; first += LANES, x += 16 * LANES) {
		size_t count = n / 16 - first < LANES ? n / 16 - first : LANES;
		lanes_int scales;

		if (count < LANES)
			x = memcpy(part, x, count * 16 * sizeof(float));
		nvfp4_units(x, divides, tensor_scale, bf16, &scales, unit);
		memcpy(scale, &scales, sizeof(scale));
		for (size_t k = 0; k < count; k++) {
			lanes_int codes[16 / LANES];

			for (size_t i = 0; i < 16; i += LANES)
				codes[i / LANES] =
					e2m1_even(lanes_load(x + 16 * k + i) / lanes_set(unit[k]));
			*qc_group_scale(in_blocks, dst_scales, first + k) = (uint8_t)scale[k];
			e2m1_pack16(lanes_pack16(codes), in_blocks,
				    qc_group_codes(in_blocks, dst_codes, first + k));
		}
	}
}

static void nvfp4_encode_by(bool divides, const float *x, size_t n, float tensor_scale, bool bf16,
			    bool in_blocks, uint8_t *scales, uint8_t *codes)
{
	/* constants make an encoder of each */
	if (divides)
		nvfp4_encode(true, x, n, tensor_scale, bf16, in_blocks, scales, codes);
	else
		nvfp4_encode(false, x, n, tensor_scale, bf16, in_blocks, scales, codes);
}

#endif
#endif
