/*
 * What each type does to numbers: how far a value may move, how much is lost over all, and which
 * types lose nothing more when their own values are encoded again.
 */
#include <math.h>

#include "quant/qtype.h"
#include "tests/test.h"

enum { ROWS = 4, COLS = 1024, ELEMS = ROWS * COLS, N_INPUTS = 8 };

/*
 * By type: the largest |x - decoded| of the reference encoder over the largest |x| of the block;
 * its relative RMS error on about normal numbers; whether the reference and the search encoder,
 * given the decoded numbers, give these numbers again. K- and IQ-types fit their scales to what
 * they are given, and the reference of the iq1 to iq3 types stretches them by a factor, so that
 * none of these does. Without weights, or with weights of 1 where there must be some.
 */
static const struct limit {
	const char *name;
	double value, rms;
	double reference_again, search_again;
} limits[] = {
	{"f32", 0, 0, 0, 0},
	{"f64", 0, 0, 0, 0},
	{"f16", 0.001, 0.00022, 0, 0},
	{"bf16", 0.004, 0.0018, 0, 0},
	{"q8_0", 0.0045, 0.0052, 0, 0},
	{"q5_1", 0.034, 0.038, 0, 0.5},
	{"q5_0", 0.063, 0.041, 0, 0},
	{"q4_1", 0.068, 0.077, 0, 0.5},
	{"q4_0", 0.126, 0.083, 0, 0},
	{"q6_K", 0.021, 0.0175, 0.5, 0.5},
	{"q5_K", 0.054, 0.0355, 0.5, 0.5},
	{"q4_K", 0.12, 0.070, 0.5, 0.5},
	{"q3_K", 0.28, 0.15, 0.5, 0.5},
	{"q2_K", 0.38, 0.30, 0.5, 0.5},
	{"iq4_nl", 0.125, 0.076, 0.5, 0.5},
	{"iq4_xs", 0.13, 0.077, 0.5, 0.5},
	{"iq3_s", 0.45, 0.17, 0.5, 0.5},
	{"iq3_xxs", 0.71, 0.22, 0.5, 0.5},
	{"iq2_s", 0.71, 0.27, 0.5, 0.5},
	{"iq2_xs", 0.80, 0.31, 0.5, 0.5},
	{"iq2_xxs", 0.86, 0.36, 0.5, 0.5},
	{"iq1_m", 1.45, 0.60, 0.5, 0.5},
	{"iq1_s", 1.0, 0.49, 0.5, 0.5},
	{"q2_0", 0.501, 0.72, 0, 0},
	{"tq2_0", 0.501, 0.78, 0, 0},
	{"tq1_0", 0.501, 0.78, 0, 0},
	{"q1_0", 0.95, 0.60, 0, 0},
	{"mxfp4", 0.25, 0.12, 0, 0},
	{"nvfp4", 1.0, 0.11, 1.2, 0},
};

static float values[ELEMS], decoded[ELEMS], again[ELEMS], ones[COLS];
static uint8_t packed[ELEMS * 8];
static uint64_t state;

/* -1 .. 1 */
static float random_unit(void)
{
	state = state * 6364136223846793005 + 1442695040888963407;
	return (float)((int32_t)(state >> 39) - 0x1000000) * 0x1p-24f;
}

/* 0, 4: about normal; 1, 5: heavy tails; 2, 6: outliers; 3, 7: uniform. */
static void fill(int input)
{
	state = (uint64_t)input + 1;
	for (int i = 0; i < ELEMS; i++) {
		float a = random_unit(), b = random_unit(), c = random_unit();

		values[i] = 0.02f * (input % 4 == 0   ? a + b + c
				     : input % 4 == 1 ? a * b * c
				     : input % 4 == 2 ? (i % 7 ? a : 8 * a)
						      : a);
	}
	for (int i = 0; i < COLS; i++)
		ones[i] = 1;
}

static void pass(const struct qc_qtype *type, qc_quantize_fn *quantize, const float *in, float *out)
{
	quantize(in, packed, ROWS, COLS, type->needs_imatrix ? ones : NULL);
	type->dequantize(packed, out, ELEMS / type->block_elems);
}

static double rms(const float *a, const float *b)
{
	double sum = 0;

	for (int i = 0; i < ELEMS; i++) {
		double diff = (double)a[i] - (b ? b[i] : 0);

		sum += diff * diff;
	}
	return sqrt(sum / ELEMS);
}

/* The largest move of a value over the largest value of its block. */
static double worst_move(const struct qc_qtype *type)
{
	const unsigned n = type->block_elems;
	double worst = 0;

	for (int at = 0; at < ELEMS; at += (int)n) {
		float amax = 0, move = 0;

		for (unsigned i = 0; i < n; i++) {
			amax = fmaxf(amax, fabsf(values[at + (int)i]));
			move = fmaxf(move, fabsf(values[at + (int)i] - decoded[at + (int)i]));
		}
		/* below 2^-14 f16 has fewer bits */
		if (amax > 0x1p-14f && move / amax > worst)
			worst = move / amax;
	}
	return worst;
}

static const struct qc_qtype *must_find(const char *name)
{
	const struct qc_qtype *type = qc_qtype_find(name);

	NEED(type && type->quantize && type->dequantize, "no type '%s'", name);
	return type;
}

static void every_type_has_a_row(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		bool found = false;

		for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
			found |= !strcmp(limits[i].name, (*t)->name);
		CHECK(found == ((*t)->quantize != NULL), "%s: %s row", (*t)->name,
		      found ? "a" : "no");
	}
}

static void values_stay_within_their_types_limit(const struct limit *limit)
{
	const struct qc_qtype *type = must_find(limit->name);

	for (int input = 0; input < N_INPUTS; input++) {
		double worst, error;

		fill(input);
		pass(type, type->quantize, values, decoded);
		worst = worst_move(type);
		error = rms(values, decoded) / rms(values, NULL);
		CHECK(worst <= limit->value, "%s, input %d: a value moves by %g of the largest, %g",
		      type->name, input, worst, limit->value);
		if (input % 4 == 0)
			CHECK(error <= limit->rms, "%s, input %d: relative RMS error %g, %g",
			      type->name, input, error, limit->rms);
	}
}

/* Encoding decoded numbers again changes nothing, or a part of what the first time changed. */
static void a_second_pass(const struct qc_qtype *type, qc_quantize_fn *quantize, double limit,
			  const char *method)
{
	for (int input = 0; input < N_INPUTS; input++) {
		double first, second;

		fill(input);
		pass(type, quantize, values, decoded);
		pass(type, quantize, decoded, again);
		first = rms(values, decoded);
		second = rms(decoded, again);
		CHECK(second <= limit * first,
		      "%s, %s, input %d: a second pass moves by %g, the first by %g", type->name,
		      method, input, second, first);
	}
}

int main(void)
{
	every_type_has_a_row();
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		const struct qc_qtype *type = must_find(limits[i].name);

		values_stay_within_their_types_limit(&limits[i]);
		a_second_pass(type, type->quantize, limits[i].reference_again, "reference");
		if (type->search)
			a_second_pass(type, type->search, limits[i].search_again, "search");
	}
	return test_end();
}
