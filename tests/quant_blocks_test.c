/* What holds for the blocks of every quant type: sizes, names, words of either byte order, what the
 * check finds. */
#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "base/bytes.h"
#include "quant/qtype.h"
#include "tests/quant_rows.h"
#include "tests/test.h"

static float decoded[ELEMS];
static uint8_t packed[MAX_BYTES], other[MAX_BYTES];

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
	blocks_that_pass_the_check_decode_to_finite_numbers();
	the_check_finds_the_first_bad_block();
	swapping_twice_is_the_identity();
	words_lie_inside_the_block_and_apart();
	swapping_reverses_each_word();
	names_are_unique_and_found_in_any_case();
	sizes_are_exact_or_refused();
	kinds_are_consistent();
	codes_without_a_finite_scale_are_zero();
	return test_end();
}
