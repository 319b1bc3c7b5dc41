/* The searches of the types: never a larger error than the reference on any block, exact where the
 * block lies on the format's lattice, a function of their input alone, and the SIMD variants equal
 * to the definition. Types are looped over by the registry. */
#include "tests/search_inputs.h"

#include "quant/fast.h"
#include "quant/half.h"
#include "quant/qtype.h"
#include "quant/types.h"

static uint8_t again[MAX_BYTES + 1];
static enum qc_isa cpu; /* the variants equal the definitions: so these loops may use them */

/* The registry's types on `rows` x `cols` values. */
static void compare_type(const struct qc_qtype *type, size_t rows, size_t cols, const float *weight,
			 struct tally *tally)
{
	size_t n_blocks = rows * cols / type->block_elems;

	type->quantize(values, reference, rows, cols, weight);
	qc_fast_search(type, cpu)(values, searched, rows, cols, weight);
	type->dequantize(reference, before, n_blocks);
	type->dequantize(searched, after, n_blocks);
	for (size_t row = 0; row < rows; row++) {
		size_t at = row * cols;

		memmove(before, before + at, cols * sizeof(float));
		memmove(after, after + at, cols * sizeof(float));
		compare(type->name, tally, values + at, weight, cols, type->block_elems);
		type->dequantize(reference, before, n_blocks);
		type->dequantize(searched, after, n_blocks);
	}
}

static void no_block_of_any_type_gets_worse(void)
{
	int searches = 0;

	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		struct tally plain = {0}, weighted = {0};
		size_t enough = (*t)->block_elems == 256 ? 2500 : 50000;

		if (!(*t)->search)
			continue;
		searches++;
		for (uint64_t seed = 1; plain.blocks < enough; seed++) {
			fill_all(seed);
			compare_type(*t, ROWS, COLS, NULL, &plain);
		}
		for (uint64_t seed = 1000; weighted.blocks < enough; seed++) {
			fill_all(seed);
			compare_type(*t, ROWS, COLS, importance, &weighted);
		}
		CHECK(plain.better > plain.blocks / 8 && weighted.better > weighted.blocks / 8,
		      "%s: only %zu of %zu plain, %zu of %zu weighted blocks got better",
		      (*t)->name, plain.better, plain.blocks, weighted.better, weighted.blocks);
	}
	CHECK(searches >= 24, "%d types have a search", searches);
}

/* One row each: the golden inputs, all of which have a multiple of 256 values. */
static void no_block_of_the_golden_inputs_gets_worse(void)
{
	static const char *const names[] = {"normal", "heavy",	"llm",	"tiny",	 "large", "zeros",
					    "const",  "onehot", "ties", "signs", "grid"};

	for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
		char path[96], *data;
		struct tally tally = {0};
		size_t size;

		snprintf(path, sizeof(path), "tests/data/golden/inputs/%s.f32", names[k]);
		data = test_load(path, &size);
		NEED(size <= sizeof(values) && size % 1024 == 0, "%s: %zu bytes", path, size);
		for (size_t i = 0; i < size / 4; i++)
			values[i] = qc_bits_f32(qc_le32(data + 4 * i));
		for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
			if (!(*t)->search)
				continue;
			fill_all(77);
			for (size_t i = 0; i < size / 4; i++)
				values[i] = qc_bits_f32(qc_le32(data + 4 * i));
			compare_type(*t, 1, size / 4, NULL, &tally);
			compare_type(*t, 1, size / 4, importance, &tally);
		}
		free(data);
	}
}

static void a_search_is_a_function_of_its_rows(void)
{
	for (const struct qc_qtype *const *t = qc_qtypes; *t; t++) {
		size_t row_bytes = COLS / (*t)->block_elems * (*t)->block_bytes;
		qc_quantize_fn *search = qc_fast_search(*t, cpu);

		if (!(*t)->search)
			continue;
		for (int weighted = 0; weighted < 2; weighted++) {
			const float *weight = weighted ? importance : NULL;

			fill_all(5);
			memset(searched, 0, sizeof(searched));
			memset(again, 0xff, sizeof(again));
			search(values, searched, ROWS, COLS, weight);
			for (size_t row = 0; row < ROWS; row++)
				search(values + row * COLS, again + row * row_bytes, 1, COLS,
				       weight);
			CHECK(!memcmp(searched, again, ROWS * row_bytes),
			      "%s: row by row gives other bytes", (*t)->name);
		}
		search(values, searched, 0, COLS, NULL);
		search(values, searched, ROWS, 0, NULL);
		CHECK(!memcmp(searched, again, ROWS * row_bytes), "%s: an empty call wrote",
		      (*t)->name);
	}
}

/* The reference's exponent wraps to 255, which is none, for blocks of about 2^-126. */
static void mxfp4_exponents_are_always_numbers(void)
{
	for (int exponent = -149; exponent < 127; exponent++) {
		for (int i = 0; i < 32; i++)
			values[i] = ldexpf(random_normal() / 2, exponent);
		qc_mxfp4.search(values, searched, 1, 32, NULL);
		CHECK(qc_mxfp4.check(searched, 1) == 1, "values of 2^%d have exponent %d", exponent,
		      searched[0]);
	}
}

/* Every block d * integers, whatever of -8..7 (-16..15) they use, decodes to itself. */
static void lattices_are_found(const struct qc_qtype *type, unsigned magnitudes)
{
	for (int round = 0; round < 4000; round++) {
		float d = qc_f16_to_f32((uint16_t)(1 + random_bits() % 0x7bfe));
		int low = -(int)(random_bits() % (magnitudes + 1)), top = 0;
		int high = (int)(random_bits() % magnitudes);

		for (int i = 0; i < 32; i++) {
			int code = low + (int)(random_bits() % (unsigned)(high - low + 1));

			top = abs(code) > top ? abs(code) : top;
			values[i] = d * (float)code;
		}
		for (int weighted = 0; weighted < 2; weighted++) {
			for (int i = 0; i < 32; i++)
				importance[i] = 0.1f + fabsf(random_normal());
			type->search(values, searched, 1, 32, weighted ? importance : NULL);
			type->dequantize(searched, after, 1);
			for (int i = 0; i < 32; i++)
				CHECK(after[i] == values[i],
				      "%s, round %d, d %a, codes to %d: %a became %a", type->name,
				      round, (double)d, top, (double)values[i], (double)after[i]);
		}
	}
}

/* How much lower the error is on bell-shaped weights, per type: what the default method is for.
 * iq2_xxs and iq2_xs would come to 0.7 if their proposals weighed all values alike, and models to
 * more divergence: large values weigh more (SUPER_STEEPEST in quant/super.h says why). */
static void errors_fall_by_what_they_should(void)
{
	static const struct {
		const char *name;
		double at_most; /* squared error, searched over reference */
	} cases[] = {{"q4_0", 0.90},   {"q5_0", 0.90},	  {"q8_0", 0.89},    {"q4_1", 0.80},
		     {"q5_1", 0.80},   {"mxfp4", 0.935},  {"nvfp4", 0.76},   {"q2_K", 0.85},
		     {"q3_K", 0.94},   {"q4_K", 0.95},	  {"q5_K", 0.90},    {"q6_K", 0.89},
		     {"iq4_nl", 0.94}, {"iq4_xs", 0.94},  {"iq2_xxs", 0.92}, {"iq2_xs", 0.90},
		     {"iq2_s", 0.93},  {"iq3_xxs", 0.78}, {"iq3_s", 0.72},   {"iq1_s", 0.68},
		     {"iq1_m", 0.68},  {"tq1_0", 0.40},	  {"tq2_0", 0.40},   {"q2_0", 0.35}};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		const struct qc_qtype *type = qc_qtype_find(cases[c].name);
		double old, now;

		NEED(type && type->search, "'%s' has no search", cases[c].name);
		random_state = 9;
		fill_weights(values, ELEMS);
		type->quantize(values, reference, ROWS, COLS, NULL);
		type->search(values, searched, ROWS, COLS, NULL);
		type->dequantize(reference, before, ELEMS / type->block_elems);
		type->dequantize(searched, after, ELEMS / type->block_elems);
		old = squared_error(values, before, NULL, ELEMS);
		now = squared_error(values, after, NULL, ELEMS);
		CHECK(now <= cases[c].at_most * old,
		      "%s: %.4f of the reference's error, limit %.3f", type->name, now / old,
		      cases[c].at_most);
	}
}

/* Every variant that this CPU can run, on shapes that leave any number of blocks over. */
static void variants_equal_the_definition(void)
{
	static const size_t shapes[][2] = {{1, 64},   {3, 64},	{5, 192},  {1, 1024},
					   {7, 1024}, {2, 448}, {8, 1024}, {1, 960}};
	const struct qc_search_variant *v;
	size_t compared = 0;

	for (size_t i = 0; (v = qc_search_variant_at(i)); i++) {
		CHECK(qc_fast_search(v->type, v->isa) == v->search, "%s: another is chosen",
		      v->type->name);
		uint64_t seeds = v->type->block_elems == 256 ? 32 : 200;

		for (uint64_t seed = 1; v->isa <= cpu && seed < seeds; seed++) {
			size_t rows = shapes[seed % 8][0], at = 0, bytes;
			size_t cols = (shapes[seed % 8][1] + v->type->block_elems - 1) /
				      v->type->block_elems * v->type->block_elems;
			const float *weight = seed % 2 ? NULL : importance;

			bytes = rows * cols / v->type->block_elems * v->type->block_bytes;
			fill_all(seed);
			memset(again, 0xa5, sizeof(again));
			v->type->search(values, searched, rows, cols, weight);
			v->search(values, again, rows, cols, weight);
			while (at < bytes && searched[at] == again[at])
				at++;
			CHECK(at == bytes,
			      "%s %s, seed %d, %zu x %zu: block %zu byte %zu is %02x, not %02x",
			      v->type->name, qc_isa_name(v->isa), (int)seed, rows, cols,
			      at / v->type->block_bytes, at % v->type->block_bytes, again[at],
			      searched[at]);
			CHECK(again[bytes] == 0xa5, "%s %s: wrote behind the end", v->type->name,
			      qc_isa_name(v->isa));
			compared += bytes / v->type->block_bytes;
		}
	}
	printf("%s: %zu blocks compared\n", qc_isa_name(cpu), compared);
}

int main(void)
{
	NEED(qc_isa_detect(&cpu), "QCONV_CPU names no level of this CPU");
	variants_equal_the_definition();
	no_block_of_any_type_gets_worse();
	no_block_of_the_golden_inputs_gets_worse();
	a_search_is_a_function_of_its_rows();
	mxfp4_exponents_are_always_numbers();
	lattices_are_found(&qc_q4_0, 8);
	lattices_are_found(&qc_q5_0, 16);
	errors_fall_by_what_they_should();
	return test_end();
}
