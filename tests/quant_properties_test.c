/* What holds for every type in the registry, whatever its format: error limits, determinism, zero,
 * splitting, byte order. */
#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "base/bytes.h"
#include "quant/qtype.h"
#include "tests/test.h"

enum { ROWS = 4, COLS = 1024, ELEMS = ROWS * COLS, MAX_BYTES = ELEMS * 8 };

static float values[ELEMS], decoded[ELEMS], importance[COLS];
static uint8_t packed[MAX_BYTES], other[MAX_BYTES];

static uint64_t random_state;

static uint32_t random32(void)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(random_state >> 32);
}

/* -1 .. 1 */
static float random_unit(void)
{
	return (float)((int32_t)(random32() >> 7) - 0x1000000) * 0x1p-24f;
}

static void fill_random(uint64_t seed)
{
	random_state = seed;
	for (int i = 0; i < ELEMS; i++)
		values[i] = 0.02f * (random_unit() + random_unit() + random_unit());
	for (int i = 0; i < COLS; i++)
		importance[i] =
			0.01f + random_unit() * random_unit() * random_unit() * random_unit();
	for (int i = 0; i < COLS; i++)
		importance[i] = importance[i] > 0 ? importance[i] : 0.01f;
}

static size_t bytes_of(const struct qc_qtype *type, size_t elems)
{
	uint64_t bytes = 0;

	NEED(qc_qtype_bytes(type, elems, &bytes) && bytes <= MAX_BYTES,
	     "%s: no size for %zu elements", type->name, elems);
	return (size_t)bytes;
}

/* The call every test makes, with or without importance as the type asks; weighted may be refused.
 */
static bool can_quantize(const struct qc_qtype *type, bool weighted)
{
	return type->quantize && type->dequantize &&
	       (weighted ? type->uses_imatrix : !type->needs_imatrix);
}

static void encode(const struct qc_qtype *type, bool weighted, uint8_t *dst)
{
	type->quantize(values, dst, ROWS, COLS, weighted ? importance : NULL);
}

static void decode(const struct qc_qtype *type, const uint8_t *src, float *x)
{
	type->dequantize(src, x, ELEMS / type->block_elems);
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

/* Random bytes are legal blocks; those that check() lets pass decode to finite numbers (f64 may
 * exceed f32). */
static void blocks_that_pass_the_check_decode_to_finite_numbers(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		size_t n = ELEMS / (*t)->block_elems, good = 0;

		if (!(*t)->dequantize || (*t)->block_bytes / (*t)->block_elems > 4)
			continue;
		random_state = 6;
		for (int i = 0; i < MAX_BYTES; i++)
			packed[i] = (uint8_t)random32();
		decode(*t, packed, decoded);
		for (size_t i = 0; i < n; i++) {
			bool fine = !(*t)->check ||
				    (*t)->check(packed + i * (*t)->block_bytes, 1) == 1,
			     finite = true;

			for (size_t k = 0; k < (*t)->block_elems; k++)
				finite &= isfinite(decoded[i * (*t)->block_elems + k]) != 0;
			CHECK(!fine || finite, "%s: block %zu passes the check and is not finite",
			      (*t)->name, i);
			good += fine;
		}
		CHECK(good > n / 2, "%s: only %zu of %zu random blocks pass the check", (*t)->name,
		      good, n);
	}
}

/* All ones in the first words is a NaN in every float format; a second bad block behind the first
 * changes nothing. */
static void the_check_finds_the_first_bad_block(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		size_t n = ELEMS / (*t)->block_elems, size = (*t)->block_bytes, bad = n / 2, found;

		if (!(*t)->check || !can_quantize(*t, false) || (*t)->words[0].bytes == 0)
			continue;
		fill_random(7);
		encode(*t, false, packed);
		found = (*t)->check(packed, n);
		CHECK(found == n, "%s: finds fault with block %zu of a good tensor", (*t)->name,
		      found);
		memset(packed + bad * size + (*t)->words[0].offset, 0xff,
		       (size_t)(*t)->words[0].bytes * (*t)->words[0].count);
		found = (*t)->check(packed, n);
		CHECK(found == bad, "%s: finds block %zu, not %zu", (*t)->name, found, bad);
		memset(packed + (n - 1) * size, 0xff, size);
		found = (*t)->check(packed, n);
		CHECK(found == bad, "%s: finds block %zu, not %zu", (*t)->name, found, bad);
		CHECK((*t)->check(packed, 0) == 0, "%s: finds fault with no blocks", (*t)->name);
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

static void swapping_twice_is_the_identity(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		size_t n = MAX_BYTES / (*t)->block_bytes, changed = 0, words = 0,
		       size = n * (*t)->block_bytes;

		random_state = 10;
		for (int i = 0; i < MAX_BYTES; i++)
			packed[i] = other[i] = (uint8_t)random32();
		qc_qtype_swap(*t, packed, n);
		for (size_t i = 0; i < (*t)->block_bytes; i++)
			changed += packed[i] != other[i];
		for (int i = 0; i < 3 && (*t)->words[i].bytes; i++)
			words += (size_t)(*t)->words[i].bytes * (*t)->words[i].count;
		CHECK(words <= (*t)->block_bytes && changed <= words &&
			      (changed > 0) == (words > 0),
		      "%s: %zu bytes of the first block changed, %zu lie in words", (*t)->name,
		      changed, words);
		qc_qtype_swap(*t, packed, n);
		CHECK(!memcmp(packed, other, size), "%s: swapping twice changes bytes", (*t)->name);
	}
}

static void words_lie_inside_the_block_and_apart(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		size_t end = 0;

		for (int i = 0; i < 3 && (*t)->words[i].bytes; i++) {
			struct qc_words w = (*t)->words[i];

			CHECK(w.bytes == 2 || w.bytes == 4 || w.bytes == 8, "%s: words of %u bytes",
			      (*t)->name, w.bytes);
			CHECK(w.offset >= end, "%s: words at %u, the ones before end at %zu",
			      (*t)->name, w.offset, end);
			end = w.offset + (size_t)w.bytes * w.count;
		}
		CHECK(end <= (*t)->block_bytes, "%s: words end at %zu of %u", (*t)->name, end,
		      (*t)->block_bytes);
	}
}

static void swapping_reverses_each_word(void)
{
	static const struct {
		const char *name,
			*order; /* hexadecimal digits: where each of the first bytes comes from */
	} cases[] = {{"f32", "3210"},
		     {"f16", "10"},
		     {"f64", "76543210"},
		     {"c64", "32107654"},
		     {"i8", "0"},
		     {"bool", "0"},
		     {"q4_0", "1023456789"},
		     {"q4_1", "1032456789"},
		     {"mxfp4", "01"},
		     {"q5_0", "1054326789"},
		     {"q5_1", "1032765489"},
		     {"q4_K", "1032456789"}};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		const struct qc_qtype *type = qc_qtype_find(cases[c].name);

		NEED(type, "no type '%s'", cases[c].name);
		for (unsigned i = 0; i < 256; i++)
			packed[i] = (uint8_t)i;
		qc_qtype_swap(type, packed, 1);
		for (unsigned i = 0; cases[c].order[i]; i++)
			CHECK(packed[i] == cases[c].order[i] - '0', "%s: byte %u is %u, not %c",
			      type->name, i, packed[i], cases[c].order[i]);
	}
}

static void names_are_unique_and_found_in_any_case(void)
{
	static const char *const absent[] = {"",      "q",     "q4",	 "q4_", "q4_0 ",
					     " q4_0", "q4_00", "q4_k_m", "f3",	"f322"};

	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		char upper[32] = "", lower[32] = "";

		NEED(strlen((*t)->name) < sizeof(upper), "%s: name too long", (*t)->name);
		for (size_t i = 0; (*t)->name[i]; i++) {
			char c = (*t)->name[i];

			upper[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
			lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
		}
		CHECK(qc_qtype_find((*t)->name) == *t, "%s: another type has the name", (*t)->name);
		CHECK(qc_qtype_find(upper) == *t, "%s: not found as %s", (*t)->name, upper);
		CHECK(qc_qtype_find(lower) == *t, "%s: not found as %s", (*t)->name, lower);
	}
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		CHECK(!qc_qtype_find(absent[i]), "'%s' is found", absent[i]);
}

static void sizes_are_exact_or_refused(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		uint64_t bytes = 1, elems = (*t)->block_elems,
			 most = UINT64_MAX / (*t)->block_bytes;

		CHECK(qc_qtype_bytes(*t, 0, &bytes) && bytes == 0,
		      "%s: %" PRIu64 " bytes for nothing", (*t)->name, bytes);
		CHECK(qc_qtype_bytes(*t, 5 * elems, &bytes) &&
			      bytes == 5 * (uint64_t)(*t)->block_bytes,
		      "%s: %" PRIu64 " bytes for five blocks", (*t)->name, bytes);
		if (elems > 1)
			CHECK(!qc_qtype_bytes(*t, 5 * elems + 1, &bytes),
			      "%s: accepts part of a block", (*t)->name);
		if (most < UINT64_MAX / elems)
			CHECK(!qc_qtype_bytes(*t, (most + 1) * elems, &bytes),
			      "%s: accepts a size beyond 64 bits", (*t)->name);
	}
}

static void kinds_are_consistent(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		CHECK(!(*t)->needs_imatrix || (*t)->uses_imatrix,
		      "%s: needs importance but ignores it", (*t)->name);
		CHECK(!(*t)->quantize || (*t)->dequantize, "%s: can be written but not read",
		      (*t)->name);
		CHECK(!(*t)->is_float || ((*t)->block_elems == 1 && !(*t)->uses_imatrix),
		      "%s: not a plain float", (*t)->name);
		CHECK((*t)->block_elems > 0 && (*t)->block_bytes > 0, "%s: empty blocks",
		      (*t)->name);
	}
}

/*
 * Blocks whose reciprocal scale overflows, or whose range does: the reference casts infinities and
 * NaNs to integers, which C leaves undefined. Here every code is 0 (for q4_0 and q5_0 that is the
 * lowest level; the stored scale is 0).
 */
static void codes_without_a_finite_scale_are_zero(void)
{
	static const struct {
		const char *name;
		unsigned first_code_byte;
	} cases[] = {{"q8_0", 2}, {"q4_0", 2}, {"q4_1", 4}, {"q5_0", 2}, {"q5_1", 4}};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		const struct qc_qtype *type = qc_qtype_find(cases[c].name);
		bool has_min = cases[c].first_code_byte == 4;

		for (int huge = 0; huge <= has_min; huge++) {
			for (int i = 0; i < 32; i++)
				values[i] = (huge ? FLT_MAX : 1e-39f) * (float)(i % 3 - 1);
			type->quantize(values, packed, 1, 32, NULL);
			for (unsigned i = cases[c].first_code_byte; i < type->block_bytes; i++)
				CHECK(packed[i] == 0, "%s, %s: byte %u is %02x", type->name,
				      huge ? "huge" : "tiny", i, packed[i]);
			CHECK(qc_le16(packed) == (huge ? 0x7c00
						  : has_min || type->block_bytes == 34
							  ? 0
							  : packed[1] << 8),
			      "%s: scale %04x", type->name, qc_le16(packed));
		}
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

/* Every loop above passes over what has no codec, so say which types must have one. */
static void the_types_that_recipes_name_have_both_directions(void)
{
	static const char *const names[] = {
		"f64",	  "f32",    "f16",     "bf16",	 "q8_0",  "q4_0",    "q4_1",
		"q5_0",	  "q5_1",   "q2_K",    "q3_K",	 "q4_K",  "q5_K",    "q6_K",
		"iq1_s",  "iq1_m",  "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s",
		"iq4_nl", "iq4_xs", "tq1_0",   "tq2_0",	 "q1_0",  "q2_0"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct qc_qtype *type = qc_qtype_find(names[i]);

		CHECK(type && type->quantize && type->dequantize && type->check, "%s: incomplete",
		      names[i]);
	}
}

int main(void)
{
	the_types_that_recipes_name_have_both_directions();
	decoding_what_was_encoded_is_close();
	zeros_stay_zero();
	encoding_is_a_function_of_its_input();
	rows_do_not_depend_on_how_calls_are_split();
	decoding_does_not_depend_on_how_calls_are_split();
	blocks_that_pass_the_check_decode_to_finite_numbers();
	the_check_finds_the_first_bad_block();
	extreme_values_encode_the_same_twice();
	importance_of_zero_still_gives_numbers();
	types_that_need_importance_encode_without_it();
	empty_calls_write_nothing();
	swapping_twice_is_the_identity();
	words_lie_inside_the_block_and_apart();
	swapping_reverses_each_word();
	names_are_unique_and_found_in_any_case();
	sizes_are_exact_or_refused();
	kinds_are_consistent();
	codes_without_a_finite_scale_are_zero();
	plain_values_decode_as_written();
	return test_end();
}
