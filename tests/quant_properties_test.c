/* What holds for every quant type: encoding and decoding, whatever the numbers. */
#include <float.h>
#include <math.h>

#include "quant/qtype.h"
#include "tests/quant_rows.h"
#include "tests/test.h"

static float decoded[ELEMS];
static uint8_t packed[MAX_BYTES], other[MAX_BYTES];

static size_t bytes_of(const struct qc_qtype *type, size_t elems)
{
	uint64_t bytes = 0;

	NEED(qc_qtype_bytes(type, elems, &bytes) && bytes <= MAX_BYTES,
	     "%s: no size for %zu elements", type->name, elems);
	return (size_t)bytes;
}

/* Types whose codes do not divide -amax..amax evenly: what a bit of theirs is worth depends on the
 * values. */
static bool is_uneven(const struct qc_qtype *type)
{
	static const char *const names[] = {"iq3_s", "iq3_xxs", "tq2_0", "mxfp4", "nvfp4"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(type->name, names[i]))
			return true;
	return false;
}

/* A uniform quantizer of b bits over -amax..amax is off by at most amax * 2^(1-b), the clipped
 * extreme included; an uneven one may need another bit. */
static double error_limit(const struct qc_qtype *type, float x, float amax)
{
	unsigned bits = type->block_bytes * 8 / type->block_elems;

	if (!type->is_float)
		return ldexp(amax, 1 - (int)bits + is_uneven(type));
	return bits >= 32 ? 0
			  : fabsf(x) * 0x1p-8 + 0x1p-25; /* bf16 has 8 bits, f16 steps of 2^-24 */
}

static void check_errors(const struct qc_qtype *type, bool weighted)
{
	double sum = 0, limit_sum = 0;
	float amax = 0;

	for (int i = 0; i < ELEMS; i++)
		amax = fmaxf(amax, fabsf(values[i]));
	for (int i = 0; i < ELEMS; i++) {
		double diff = fabs((double)decoded[i] - values[i]),
		       limit = error_limit(type, values[i], amax);

		/* importance may give up single values, never the whole */
		if (!weighted)
			CHECK(diff <= limit, "%s[%d]: %g became %g", type->name, i, values[i],
			      decoded[i]);
		sum += diff * diff;
		limit_sum += limit * limit;
	}
	CHECK(sum <= limit_sum / 4, "%s, %s: RMS error %g, limit %g", type->name,
	      weighted ? "weighted" : "plain", sqrt(sum / ELEMS), sqrt(limit_sum / ELEMS) / 2);
}

static void decoding_what_was_encoded_is_close(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		for (int weighted = 0; weighted < 2; weighted++) {
			if (!can_quantize(*t, weighted))
				continue;
			fill_random(1);
			encode(*t, weighted, packed);
			decode(*t, packed, decoded);
			check_errors(*t, weighted);
		}
	}
}

static void zeros_stay_zero(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		for (int weighted = 0; weighted < 2; weighted++) {
			if (!can_quantize(*t, weighted))
				continue;
			fill_random(2);
			for (int i = 0; i < ELEMS; i++)
				values[i] = i % 3 ? 0.0f : -0.0f;
			encode(*t, weighted, packed);
			decode(*t, packed, decoded);
			for (int i = 0; i < ELEMS; i++)
				CHECK(decoded[i] == 0, "%s[%d]: zero became %g", (*t)->name, i,
				      decoded[i]);
		}
	}
}

/* No byte of the result comes from the destination or the stack. */
static void encoding_is_a_function_of_its_input(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		for (int weighted = 0; weighted < 2; weighted++) {
			size_t bytes = bytes_of(*t, ELEMS);

			if (!can_quantize(*t, weighted))
				continue;
			fill_random(3);
			memset(packed, 0, sizeof(packed));
			memset(other, 0xff, sizeof(other));
			encode(*t, weighted, packed);
			encode(*t, weighted, other);
			CHECK(!memcmp(packed, other, bytes), "%s: two runs differ", (*t)->name);
			for (size_t i = bytes; i < MAX_BYTES; i++)
				CHECK(packed[i] == 0 && other[i] == 0xff,
				      "%s: byte %zu behind the blocks was written", (*t)->name, i);
		}
	}
}

static void rows_do_not_depend_on_how_calls_are_split(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		for (int weighted = 0; weighted < 2; weighted++) {
			size_t row_bytes = bytes_of(*t, COLS);

			if (!can_quantize(*t, weighted))
				continue;
			fill_random(4);
			encode(*t, weighted, packed);
			for (size_t row = 0; row < ROWS; row++)
				(*t)->quantize(values + row * COLS, other + row * row_bytes, 1,
					       COLS, weighted ? importance : NULL);
			CHECK(!memcmp(packed, other, ROWS * row_bytes), "%s: row by row differs",
			      (*t)->name);
		}
	}
}

static void decoding_does_not_depend_on_how_calls_are_split(void)
{
	static float again[ELEMS];

	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		if (!(*t)->dequantize)
			continue;
		random_state = 5;
		for (int i = 0; i < MAX_BYTES; i++)
			packed[i] = (uint8_t)random32();
		decode(*t, packed, decoded);
		for (size_t i = 0; i < ELEMS / (*t)->block_elems; i++)
			(*t)->dequantize(packed + i * (*t)->block_bytes,
					 again + i * (*t)->block_elems, 1);
		for (int i = 0; i < ELEMS; i++)
			CHECK(isnan(decoded[i]) ? isnan(again[i]) : decoded[i] == again[i],
			      "%s[%d]: block by block gives %g, not %g", (*t)->name, i, again[i],
			      decoded[i]);
	}
}

static void extreme_values_encode_the_same_twice(void)
{
	static const float extremes[] = {FLT_MAX, -FLT_MAX, FLT_MIN, -FLT_MIN, 1e-45f, -1e-45f,
					 1e-39f,  -1e-39f,  0,	     -0.0f,    65504,  -65504.f,
					 65520,	  1e30f,    -1e30f,  3e38f,    1,      -1};

	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		for (int weighted = 0; weighted < 2; weighted++) {
			if (!can_quantize(*t, weighted))
				continue;
			fill_random(8);
			for (int i = 0; i < ELEMS; i++)
				values[i] = extremes[(i / 1024 ? random32() : (unsigned)i / 32) %
						     (sizeof(extremes) / sizeof(extremes[0]))];
			for (int i = 0; i < COLS; i++)
				importance[i] = i % 5 ? extremes[random32() % 2 * 4] : 0;
			for (int i = 0; i < COLS; i++)
				importance[i] = fabsf(importance[i]);
			memset(packed, 0, sizeof(packed));
			memset(other, 0xff, sizeof(other));
			encode(*t, weighted, packed);
			encode(*t, weighted, other);
			decode(*t, packed, decoded);
			CHECK(!memcmp(packed, other, bytes_of(*t, ELEMS)), "%s: two runs differ",
			      (*t)->name);
		}
	}
}

static void importance_of_zero_still_gives_numbers(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		if (!can_quantize(*t, true))
			continue;
		fill_random(9);
		memset(importance, 0, sizeof(importance));
		encode(*t, true, packed);
		decode(*t, packed, decoded);
		for (int i = 0; i < ELEMS; i++)
			CHECK(isfinite(decoded[i]), "%s[%d]: %g became %g", (*t)->name, i,
			      values[i], decoded[i]);
	}
}

/* Callers give weights to types that need them; without, the result is worse but defined. */
static void types_that_need_importance_encode_without_it(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		double sum = 0, square_sum = 0;

		if (!(*t)->quantize || !(*t)->needs_imatrix)
			continue;
		fill_random(11);
		memset(packed, 0, sizeof(packed));
		memset(other, 0xff, sizeof(other));
		encode(*t, false, packed);
		encode(*t, false, other);
		CHECK(!memcmp(packed, other, bytes_of(*t, ELEMS)), "%s: two runs differ",
		      (*t)->name);
		decode(*t, packed, decoded);
		for (int i = 0; i < ELEMS; i++) {
			double diff = (double)decoded[i] - values[i];

			sum += diff * diff;
			square_sum += (double)values[i] * values[i];
		}
		CHECK(sum < square_sum / 2, "%s: squared error %g of %g", (*t)->name, sum,
		      square_sum);
	}
}

static void empty_calls_write_nothing(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		uint8_t byte = 0x5a;
		float x = 7;

		if ((*t)->quantize) {
			(*t)->quantize(&x, &byte, 0, COLS, importance);
			(*t)->quantize(&x, &byte, ROWS, 0, importance);
		}
		if ((*t)->quantize && !(*t)->needs_imatrix)
			(*t)->quantize(&x, &byte, 0, 0, NULL);
		if ((*t)->dequantize)
			(*t)->dequantize(&byte, &x, 0);
		qc_qtype_swap(*t, &byte, 0);
		CHECK(byte == 0x5a && x == 7, "%s: an empty call wrote", (*t)->name);
	}
}

static float decode_one(const char *name, const void *bytes)
{
	const struct qc_qtype *type = qc_qtype_find(name);
	float x[256] = {0};

	NEED(type && type->dequantize, "'%s' cannot be decoded", name);
	type->dequantize(bytes, x, 1);
	return x[type->block_elems - 1];
}

static void plain_values_decode_as_written(void)
{
	static const struct {
		const char *name;
		uint8_t bytes[8];
		float value; /* of the block's last element */
	} cases[] = {
		{"i8", {0x80}, -128},
		{"u8", {0x80}, 128},
		{"i16", {0xfe, 0xff}, -2},
		{"u16", {0xfe, 0xff}, 65534},
		{"i32", {0, 0, 0, 0x80}, -0x1p31f},
		{"u32", {0, 0, 0, 0x80}, 0x1p31f},
		{"i64", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -1},
		{"u64", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0x1p64f},
		{"bool", {0}, 0},
		{"bool", {2}, 1},
		{"f64", {0, 0, 0, 0, 0, 0, 0xf8, 0xbf}, -1.5f},
		{"f64", {0, 0, 0, 0x10, 0, 0, 0xf0, 0x3f}, 1}, /* 1 + 2^-24: the tie goes to even */
		{"f32", {0, 0, 0xc0, 0x3f}, 1.5f},
		{"bf16", {0xc0, 0xbf}, -1.5f},
		{"f16", {1, 0}, 0x1p-24f},
		{"f8_e4m3", {0x7e}, 448},
		{"f8_e4m3", {0x81}, -0x1p-9f},
		{"f8_e5m2", {0x7b}, 57344},
		{"f8_e5m2", {0x01}, 0x1p-16f},
		{"f8_e5m2", {0xfc}, -INFINITY},
		{"f8_e8m0", {0}, 0x1p-127f},
		{"f8_e8m0", {254}, 0x1p127f},
		{"f8_e4m3fnuz", {0x7f}, 240},
		{"f8_e4m3fnuz", {0x81}, -0x1p-10f},
		{"f8_e4m3fnuz", {0x08}, 0x1p-7f},
		{"f8_e5m2fnuz", {0x7f}, 57344},
		{"f8_e5m2fnuz", {0x01}, 0x1p-17f},
		{"f8_e5m2fnuz", {0xbc}, -0.5f},
		{"f4", {0x7f}, 6},
		{"f4", {0xd0}, -3},
	};
	static const struct {
		const char *name;
		uint8_t byte;
	} nans[] = {{"f8_e4m3", 0x7f}, {"f8_e4m3", 0xff},     {"f8_e5m2", 0x7d},
		    {"f8_e8m0", 0xff}, {"f8_e4m3fnuz", 0x80}, {"f8_e5m2fnuz", 0x80}};
	float pair[2];
	uint8_t f4 = 0x7b;

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		float x = decode_one(cases[c].name, cases[c].bytes);

		CHECK(x == cases[c].value, "%s, case %zu: %.9g, not %.9g", cases[c].name, c, x,
		      cases[c].value);
	}
	for (size_t c = 0; c < sizeof(nans) / sizeof(nans[0]); c++)
		CHECK(isnan(decode_one(nans[c].name, &nans[c].byte)), "%s: %02x is %g",
		      nans[c].name, nans[c].byte, decode_one(nans[c].name, &nans[c].byte));
	qc_qtype_find("f4")->dequantize(&f4, pair, 1);
	CHECK(pair[0] == -1.5f && pair[1] == 6, "f4 7b: %g, %g; the low nibble comes first",
	      pair[0], pair[1]);
}

int main(void)
{
	decoding_what_was_encoded_is_close();
	zeros_stay_zero();
	encoding_is_a_function_of_its_input();
	rows_do_not_depend_on_how_calls_are_split();
	decoding_does_not_depend_on_how_calls_are_split();
	extreme_values_encode_the_same_twice();
	importance_of_zero_still_gives_numbers();
	types_that_need_importance_encode_without_it();
	empty_calls_write_nothing();
	plain_values_decode_as_written();
	return test_end();
}
