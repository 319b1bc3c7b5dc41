/* Quantized activations: what a kernel sees of them, by hand and by properties. */
#include "calib/rounded_inputs.h"

#include <math.h>

#include "tests/test.h"

enum { N = 40 };

static void near(const float *have, const float *want, int n, const char *what)
{
	for (int i = 0; i < n; i++)
		CHECK(fabsf(have[i] - want[i]) <= 1e-6f * fabsf(want[i]), "%s [%d]: %g, not %g",
		      what, i, (double)have[i], (double)want[i]);
}

/* Largest 12 and input_scale 12 / 2688: the group's scale is 448, a unit is 2. The second group's
 * is 448 / 4 and its unit .5; the third of zeros; the last one is short. */
static void nvfp4_has_a_scale_of_its_own_for_16_values(void)
{
	float x[N] = {12, -12, 1, .5f, .4f, 3, 5, 7, -9, 10, 11, 100}, y[N];
	const float want[N] = {12, -12, 1, 0, 0, 3, 4, 8, -8, 8, 12, 12};

	x[11] = 12;
	x[16] = 3;
	x[17] = .3f;
	x[18] = -1.3f;
	x[32] = 12;
	x[33] = 2;
	qc_round_inputs(QC_INPUTS_NVFP4, x, 1, N, 12.0f / 2688, y, 1);
	near(y, want, 12, "first group");
	near(y + 16, (const float[]){3, .25f, -1.5f}, 3, "second group");
	near(y + 32, (const float[]){12, 2, 0}, 3, "last group");
}

/* Beyond the calibrated range both saturate. */
static void what_was_never_seen_saturates(void)
{
	const float x[2] = {100, -7};
	float y[2];

	qc_round_inputs(QC_INPUTS_NVFP4, x, 1, 2, 12.0f / 2688, y, 1);
	near(y, (const float[]){12, -8}, 2, "nvfp4");
	qc_round_inputs(QC_INPUTS_FP8, x, 1, 2, 12.0f / 2688, y, 1);
	near(y, (const float[]){12, -6.857143f}, 2, "fp8");
}

/* 448 steps up to the largest; 3 bits of mantissa. */
static void fp8_rounds_to_four_significant_bits(void)
{
	const float x[6] = {448, 100, 105, -1.06f, .001f, 0};
	float y[6];

	qc_round_inputs(QC_INPUTS_FP8, x, 1, 6, 0, y, 1);
	near(y, (const float[]){448, 96, 104, -1, 0.001953125f, 0}, 6, "fp8");
}

static void a_row_does_not_depend_on_others(void)
{
	static const enum qc_inputs kinds[] = {QC_INPUTS_NVFP4, QC_INPUTS_FP8};
	float x[3 * N], together[3 * N], alone[N];

	for (int i = 0; i < 3 * N; i++)
		x[i] = (float)(i * 7919 % 1013 - 500) * (i < N ? 1e-20f : i < 2 * N ? 1 : 1e20f);
	for (int k = 0; k < 2; k++) {
		qc_round_inputs(kinds[k], x, 3, N, 0, together, 2);
		for (int r = 0; r < 3; r++) {
			double error = 0, square = 0;

			qc_round_inputs(kinds[k], x + r * N, 1, N, 0, alone, 1);
			CHECK(!memcmp(alone, together + r * N, sizeof(alone)), "kind %d row %d", k,
			      r);
			for (int i = 0; i < N; i++) {
				error += pow((double)alone[i] - x[r * N + i], 2);
				square += pow(x[r * N + i], 2);
			}
			CHECK(error > 0 && error < (k ? 1e-3 : 2e-2) * square,
			      "kind %d row %d: relative error %g", k, r, error / square);
		}
	}
}

static void what_is_not_finite_stays_so(void)
{
	const float x[4] = {NAN, INFINITY, 1, -INFINITY};
	float y[4];

	for (int k = 1; k < 3; k++) {
		qc_round_inputs((enum qc_inputs)k, x, 1, 4, 1, y, 1);
		CHECK(isnan(y[0]) && isinf(y[1]) && isinf(y[3]), "kind %d: %g %g %g", k,
		      (double)y[0], (double)y[1], (double)y[3]);
		memset(y, 1, sizeof(y));
		qc_round_inputs((enum qc_inputs)k, (const float[4]){0}, 1, 4, 0, y, 1);
		CHECK(y[0] == 0 && y[3] == 0, "kind %d: zeros become %g", k, (double)y[0]);
	}
}

static void names_are_known(void)
{
	enum qc_inputs inputs;

	CHECK(qc_inputs_find("nvfp4", &inputs) && inputs == QC_INPUTS_NVFP4, "nvfp4");
	CHECK(qc_inputs_find("fp8", &inputs) && inputs == QC_INPUTS_FP8, "fp8");
	CHECK(!qc_inputs_find("int8", &inputs), "int8");
}

int main(void)
{
	nvfp4_has_a_scale_of_its_own_for_16_values();
	what_was_never_seen_saturates();
	fp8_rounds_to_four_significant_bits();
	a_row_does_not_depend_on_others();
	what_is_not_finite_stays_so();
	names_are_known();
	return test_end();
}
