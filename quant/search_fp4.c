/*
 * Better scales for groups of E2M1 codes: every candidate rounds the group once; what counts is the
 * squared error in units of the scale, times the scale squared, so that no magnitude overflows or
 * vanishes. Candidates are compared in f32 and the winner with the reference in f64.
 */
#include "quant/search_fp4.h"

#include <math.h>
#include <string.h>

#include "quant/e2m1.h"
#include "quant/e4m3.h"
#include "quant/e8m0.h"
#include "quant/search.h"

static void scales_set(struct qc_e4m3_scales *scales, unsigned c, float scale)
{
	float value = qc_ue4m3_to_f32((uint8_t)c);

	scales->scale[c] = scale;
	scales->inverse[c] = qc_finite_inverse(scale);
	scales->square[c] = value * value;
}

void qc_e4m3_scales_init(struct qc_e4m3_scales *scales, float unit)
{
	scales->unit = unit;
	for (unsigned c = 0; c < 128; c++)
		scales_set(scales, c, qc_ue4m3_to_f32((uint8_t)c) * unit);
}

void qc_e4m3_scales_init_divided(struct qc_e4m3_scales *scales, float divisor)
{
	scales->unit = 1 / divisor;
	for (unsigned c = 0; c < 128; c++)
		scales_set(scales, c, qc_ue4m3_to_f32((uint8_t)c) / divisor);
}

/* The sum of weight * (|x| / scale - its rounding)^2. */
static float unit_error(const float *x, const float *weight, int n, float inverse)
{
	float sum = 0;

	for (int i = 0; i < n; i++) {
		float magnitude = fabsf(x[i]) * inverse;
		float rest = magnitude - qc_e2m1_round(magnitude);

		sum += weight[i] * (rest * rest);
	}
	return sum;
}

static float magnitude_max(const float *x, int n)
{
	float max = 0;

	for (int i = 0; i < n; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	return max;
}

static double group_error(const float *x, const float *weight, const uint8_t codes[16], float scale)
{
	float y[16];

	for (int i = 0; i < 16; i++)
		y[i] = 0.5f * qc_e2m1_twice(codes[i]) * scale;
	return qc_squared_error(x, y, weight, 16);
}

/* One group: its scale and codes are replaced. */
static void search_group(const float *x, const float *weight, const struct qc_e4m3_scales *scales,
			 uint8_t *scale, uint8_t codes[16])
{
	float max = magnitude_max(x, 16), best_error = 0;
	int first = qc_f32_to_e4m3_saturated(max / (6 * scales->unit)), best = -1;
	uint8_t trial[16];

	if (max == 0 || first == 0x7f) /* nothing to encode, or no unit */
		return;
	for (int c = first - QC_E4M3_BELOW; c <= first + QC_E4M3_ABOVE; c++) {
		float error;

		if (c < 1 || c > 0x7e || scales->inverse[c] == 0)
			continue;
		error = unit_error(x, weight, 16, scales->inverse[c]) * scales->square[c];
		if (best < 0 || error < best_error) {
			best = c;
			best_error = error;
		}
	}
	if (best < 0)
		return;
	qc_e2m1_encode(x, 16, scales->inverse[best], trial);
	if (qc_error_below(group_error(x, weight, trial, scales->scale[best]),
			   group_error(x, weight, codes, scales->scale[*scale & 127]))) {
		*scale = (uint8_t)best;
		memcpy(codes, trial, sizeof(trial));
	}
}

void qc_improve_groups(const float *x, size_t n, const float *weight,
		       const struct qc_e4m3_scales *scales, bool in_blocks, uint8_t *dst_scales,
		       uint8_t *dst_codes)
{
	uint8_t codes[16];

	for (size_t i = 0; i < n / 16; i++) {
		uint8_t *packed = qc_group_codes(in_blocks, dst_codes, i);

		qc_group_unpack(in_blocks, packed, 16, codes);
		search_group(x + 16 * i, weight ? weight + 16 * i : qc_ones, scales,
			     qc_group_scale(in_blocks, dst_scales, i), codes);
		qc_group_pack(in_blocks, codes, 16, packed);
	}
}

/* The best exponent; `first` is in the middle of the three. */
static uint8_t search_exponent(const float *x, const float *weight, int first)
{
	float best_error = 0;
	int best = -1;

	for (int e = first - 1; e <= first + 1; e++) {
		float ratio = e < first ? 0.25f : e > first ? 4 : 1, error;

		if (e < 0 || e > 254)
			continue;
		error = unit_error(x, weight, 32, 1 / qc_e8m0_to_f32((uint8_t)e)) * ratio;
		if (best < 0 || error < best_error) {
			best = e;
			best_error = error;
		}
	}
	return (uint8_t)best;
}

static double mx_error(const float *x, const float *weight, const uint8_t codes[32], uint8_t scale)
{
	float y[32], unit = qc_e8m0_to_f32(scale); /* NaN for 255 */

	for (int i = 0; i < 32; i++)
		y[i] = 0.5f * qc_e2m1_twice(codes[i]) * unit;
	return qc_squared_error(x, y, weight, 32);
}

void qc_improve_blocks(const float *x, size_t n, const float *weight, bool in_blocks,
		       uint8_t *dst_scales, uint8_t *dst_codes)
{
	uint8_t codes[32], trial[32];

	for (size_t i = 0; i < n / 32; i++, x += 32) {
		uint8_t *packed = qc_mx_codes(in_blocks, dst_codes, i), e;
		uint8_t *scale = qc_mx_scale(in_blocks, dst_scales, i);
		const float *w = weight ? weight + 32 * i : qc_ones;
		float max = magnitude_max(x, 32);
		int first;

		if (max == 0)
			continue;
		first = qc_floor_log2(max) + 125;
		e = search_exponent(x, w, first < 0 ? 0 : first);
		qc_e2m1_encode(x, 32, 1 / qc_e8m0_to_f32(e), trial);
		qc_group_unpack(in_blocks, packed, 32, codes);
		if (qc_error_below(mx_error(x, w, trial, e), mx_error(x, w, codes, *scale))) {
			*scale = e;
			qc_group_pack(in_blocks, trial, 32, packed);
		}
	}
}
