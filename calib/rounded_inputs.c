#include "calib/rounded_inputs.h"

#include <math.h>
#include <string.h>

#include "quant/e2m1.h"
#include "quant/e4m3.h"

enum { GROUP = 16, FP8_RANGE = 448, NVFP4_RANGE = 6 * FP8_RANGE };

static const struct {
	const char *name;
	enum qc_inputs inputs;
	float most; /* that a scale of 1 can mean */
} kinds[] = {{"nvfp4", QC_INPUTS_NVFP4, NVFP4_RANGE}, {"fp8", QC_INPUTS_FP8, FP8_RANGE}};

enum { N_KINDS = sizeof(kinds) / sizeof(*kinds) };

bool qc_inputs_find(const char *name, enum qc_inputs *inputs)
{
	for (size_t i = 0; i < N_KINDS; i++)
		if (!strcmp(kinds[i].name, name)) {
			*inputs = kinds[i].inputs;
			return true;
		}
	return false;
}

static float row_amax(const float *x, size_t n)
{
	float most = 0;

	for (size_t i = 0; i < n; i++)
		most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
	return most;
}

static float e2m1(float x)
{
	return copysignf(qc_e2m1_to_f32(qc_e2m1_even(fabsf(x))), x);
}

static void nvfp4_row(const float *x, size_t n, float scale, float *y)
{
	for (size_t at = 0; at < n; at += GROUP) {
		const size_t m = n - at < GROUP ? n - at : GROUP;
		const float amax = row_amax(x + at, m);
		const float s = qc_e4m3_to_f32(qc_f32_to_e4m3_saturated(amax / 6 / scale)) * scale;

		for (size_t i = at; i < at + m; i++)
			y[i] = !isfinite(x[i]) ? x[i] : s > 0 ? e2m1(x[i] / s) * s : 0;
	}
}

static void fp8_row(const float *x, size_t n, float scale, float *y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = isfinite(x[i])
			       ? qc_e4m3_to_f32(qc_f32_to_e4m3_saturated(x[i] / scale)) * scale
			       : x[i];
}

void qc_round_inputs(enum qc_inputs inputs, const float *x, size_t rows, size_t cols, float scale,
		     float *y, int threads)
{
	float most = 1;

	for (size_t i = 0; i < N_KINDS; i++)
		most = kinds[i].inputs == inputs ? kinds[i].most : most;
#pragma omp parallel for schedule(static) num_threads(threads)
	for (size_t r = 0; r < rows; r++) {
		const float *in = x + r * cols;
		float *out = y + r * cols;
		float g = scale > 0 ? scale * (NVFP4_RANGE / most) : row_amax(in, cols) / most;

		/* a row of zeros, or of numbers whose scale is below all floats */
		g = g > 0 ? g : 1;
		if (inputs == QC_INPUTS_NVFP4)
			nvfp4_row(in, cols, g, out);
		else
			fp8_row(in, cols, g, out);
	}
}
