/* Exact transcodes: codes are moved, values stay, and the way back gives the original bytes. */
#include <math.h>

#include "convert/check.h"
#include "convert/recipe.h"
#include "quant/mxfp4_to_nvfp4.h"
#include "quant/nvfp4_pack.h"
#include "tests/convert_run.h"
#include "tests/encoding_parts.h"
#include "tests/imatrix_build.h"
#include "tests/st_files.h"

#define GEMMA	"samples/tiny-gemma3"
#define LLAMA	"tests/data/models/tiny-llama"
#define GPT_OSS "tests/data/models/tiny-gpt-oss"

/* The file against what it was made from: as many tensors without any difference as it has. */
static size_t exact_tensors(const char *path, const char *against, size_t *n)
{
	static const struct qconv_options options;
	struct qc_check_report report = {0};
	struct qc_err err = {0};
	enum qc_status s = qc_check(&report, path, against, &options, &err);
	size_t exact = report.n_exact;

	CHECK(!s, "%s against %s: %s", path, against, err.text);
	*n = report.n_errors;
	qc_check_report_clear(&report);
	return exact;
}

/* A conversion after which every tensor is the same, as the plan says. */
static void moves(const char *input, const char *output, const char *quant, const char *layout)
{
	struct qconv_options options = {.quant = quant, .layout = layout};
	struct outcome said = converted(input, output, &options);
	size_t n, exact = exact_tensors(output, input, &n);

	CHECK(said.n && said.n_exact == said.n, "%s to %s: %zu of %zu are said to be exact", input,
	      output, said.n_exact, said.n);
	CHECK(n && exact == n, "%s to %s: %zu of %zu tensors are exact", input, output, exact, n);
}

static void nvfp4_goes_between_layouts_and_back(void)
{
	static const char *const models[] = {GEMMA, LLAMA};
	static const struct {
		const char *layout, *other;
	} ways[] = {{"modelopt", "compressed-tensors"}, {"compressed-tensors", "modelopt"}};

	for (size_t i = 0; i < 4; i++) {
		const char *layout = ways[i % 2].layout, *other = ways[i % 2].other;
		struct qconv_options options = {.quant = "nvfp4", .layout = layout};
		char first[4700], back[4700];

		st_begin();
		converted(models[i / 2], st_path("first"), &options);
		moves(st_path("first"), st_path("other"), "nvfp4", other);
		moves(st_path("other"), st_path("back"), "nvfp4", layout);
		snprintf(first, sizeof(first), "%s/model.safetensors", st_path("first"));
		snprintf(back, sizeof(back), "%s/model.safetensors", st_path("back"));
		st_same_files(first, back);
		st_end();
	}
}

static void nvfp4_goes_into_gguf(void)
{
	static const char *const layouts[] = {"modelopt", "compressed-tensors"};

	for (size_t i = 0; i < 2; i++) {
		struct qconv_options options = {.quant = "nvfp4", .layout = layouts[i]};

		st_begin();
		converted(LLAMA, st_path("dir"), &options);
		moves(st_path("dir"), st_path("a.gguf"), NULL, NULL);
		moves(st_path("a.gguf"), st_path("b.gguf"), NULL, NULL);
		st_same_files(st_path("a.gguf"), st_path("b.gguf"));
		st_end();
	}
}

static void mxfp4_goes_between_layouts_and_into_gguf(void)
{
	struct qconv_options options = {.quant = "mxfp4"};
	char first[4700], back[4700];
	size_t n, exact;

	st_begin();
	converted(GEMMA, st_path("first"), &options);
	moves(st_path("first"), st_path("other"), "mxfp4", "modelopt");
	moves(st_path("other"), st_path("back"), "mxfp4", "compressed-tensors");
	snprintf(first, sizeof(first), "%s/model.safetensors", st_path("first"));
	snprintf(back, sizeof(back), "%s/model.safetensors", st_path("back"));
	st_same_files(first, back);
	moves(st_path("other"), st_path("again"), "mxfp4", "modelopt");
	snprintf(first, sizeof(first), "%s/model.safetensors", st_path("other"));
	snprintf(back, sizeof(back), "%s/model.safetensors", st_path("again"));
	st_same_files(first, back);
	converted(st_path("first"), st_path("a.gguf"), &(struct qconv_options){0});
	converted(st_path("other"), st_path("b.gguf"), &(struct qconv_options){0});
	exact = exact_tensors(st_path("a.gguf"), st_path("b.gguf"), &n);
	CHECK(n && exact == n, "%zu of %zu tensors are the same", exact, n);
	st_end();
}

static void gpt_oss_keeps_its_own_blocks(void)
{
	char back[4700];

	st_begin();
	moves(GPT_OSS, st_path("a.gguf"), NULL, NULL);
	moves(GPT_OSS, st_path("dir"), "mxfp4", "gpt-oss");
	snprintf(back, sizeof(back), "%s/model.safetensors", st_path("dir"));
	st_same_files(back, GPT_OSS "/model.safetensors");
	st_end();
}

/* Rows `2 r + odd` of gate_up_proj_blocks and _scales are rows r of the GGUF's blocks, which have a
 * scale in front and element j + 16 beside element j. */
static void gpt_oss_experts_have_in_gguf_the_stored_codes(void)
{
	struct qc_model stored = {0}, gguf = {0};
	static const char *const names[] = {"blk.1.ffn_gate_exps.weight",
					    "blk.1.ffn_up_exps.weight"};

	st_begin();
	converted(GPT_OSS, st_path("a.gguf"), &(struct qconv_options){0});
	if (st_opens(&stored, GPT_OSS) && st_opens(&gguf, st_path("a.gguf"))) {
		const struct qc_tensor *both =
			st_tensor(&stored, "model.layers.1.mlp.experts.gate_up_proj");

		for (uint64_t odd = 0; odd < 2; odd++) {
			const struct qc_tensor *half = qc_model_find(&gguf, names[odd]);
			size_t row_bytes, size;
			uint8_t *x, *y;

			NEED(half, "no %s", names[odd]);
			x = st_raw(both, &size);
			row_bytes = size / both->source->rows;
			y = st_raw(half, &size);
			CHECK(size == half->source->rows * row_bytes && half->source->rows == 1024,
			      "%zu bytes in %llu rows", size,
			      (unsigned long long)half->source->rows);
			for (uint64_t r = 0; r < half->source->rows; r++)
				CHECK(!memcmp(x + (2 * r + odd) * row_bytes, y + r * row_bytes,
					      row_bytes),
				      "%s: row %llu differs", names[odd], (unsigned long long)r);
			free(x);
			free(y);
		}
	}
	qc_model_close(&stored);
	qc_model_close(&gguf);
	st_end();
}

static void gpt_oss_becomes_nvfp4_without_a_change(void)
{
	struct qconv_options options = {.quant = "nvfp4", .method = "reference"};
	struct outcome said;
	size_t n, exact;

	st_begin();
	said = converted(GPT_OSS, st_path("a.gguf"), &options);
	exact = exact_tensors(st_path("a.gguf"), GPT_OSS, &n);
	/* all but the embedding, the head and the attention's sixteen matrices */
	CHECK(said.n == 79 && said.n_exact == 61 && exact == 61,
	      "%zu of %zu are said to be exact, %zu are", said.n_exact, said.n, exact);
	st_end();
}

/* Exponents of a bag's 2 x 4 blocks of mxfp4: into nvfp4, how many are rounded? */
static struct outcome mxfp4_bag_to_nvfp4(const uint8_t exponents[8])
{
	struct st_build b = {0};
	uint8_t *codes = enc_bytes(128);
	struct qconv_options options = {.quant = "nvfp4"};
	struct outcome outcome;

	for (size_t i = 0; i < 8; i++)
		if (exponents[i] == 255)
			memset(codes + 16 * i, 0x80, 16);
	st_add(&b, "a.weight_packed", "U8", "[2,64]", codes, 128);
	st_add(&b, "a.weight_scale", "U8", "[2,4]", exponents, 8);
	free(codes);
	st_save(&b, "bag.safetensors");
	outcome = converted(st_path("bag.safetensors"), st_path("bag.gguf"), &options);
	return outcome;
}

static void exponents_that_do_not_fit_are_counted(void)
{
	static const uint8_t fit[8] = {100, 117, 110, 105, 101, 117, 103, 116};
	static const uint8_t edges[8] = {0, 17, 3, 5, 1, 9, 8, 2};
	static const uint8_t wide[8] = {99, 117, 110, 98, 101, 117, 103, 116};
	struct outcome o;
	size_t n;

	st_begin();
	o = mxfp4_bag_to_nvfp4(fit);
	CHECK(o.n_exact == 1 && !*o.finding, "'%s'", o.finding);
	CHECK(exact_tensors(st_path("bag.gguf"), st_path("bag.safetensors"), &n) == 1, "differs");
	st_end();
	st_begin();
	o = mxfp4_bag_to_nvfp4(edges);
	CHECK(o.n_exact == 1 && !*o.finding, "'%s'", o.finding);
	CHECK(exact_tensors(st_path("bag.gguf"), st_path("bag.safetensors"), &n) == 1, "differs");
	st_end();
	st_begin();
	o = mxfp4_bag_to_nvfp4(wide);
	CHECK(o.n_exact == 0 && strstr(o.finding, "2 of 8"), "'%s'", o.finding);
	CHECK(exact_tensors(st_path("bag.gguf"), st_path("bag.safetensors"), &n) == 0, "is exact");
	st_end();
}

/* Blocks of nothing but zeros have any exponent. */
static void blocks_of_zeros_fit_always(void)
{
	uint8_t exponents[8] = {117, 117, 117, 0, 117, 117, 254, 117};
	struct st_build b = {0};
	uint8_t codes[128];
	struct outcome o;
	size_t n;

	memset(codes, 0x2a, sizeof(codes));
	memset(codes + 3 * 16, 0x08, 16);
	memset(codes + 6 * 16, 0x80, 16);
	st_begin();
	st_add(&b, "a.weight_packed", "U8", "[2,64]", codes, 128);
	st_add(&b, "a.weight_scale", "U8", "[2,4]", exponents, 8);
	st_save(&b, "bag.safetensors");
	o = converted(st_path("bag.safetensors"), st_path("bag.gguf"),
		      &(struct qconv_options){.quant = "nvfp4"});
	CHECK(o.n_exact == 1 && !*o.finding, "'%s'", o.finding);
	CHECK(exact_tensors(st_path("bag.gguf"), st_path("bag.safetensors"), &n) == 1, "differs");
	st_end();
}

/* Blocks beyond what group scales alone can say are rounded, or cut off. */
static void without_a_tensor_scale_exponents_have_limits(void)
{
	static const struct {
		uint8_t exponent, code;
		float value;
	} rows[] = {
		{118, 7, 6 * 0x1p-9f},
		{135, 7, 6 * 0x1p8f},
		{117, 7, 3 * 0x1p-9f},
		{117, 1, 0},
		{117, 3, 0x1p-9f},
		{114, 7, 0x1p-9f * 0.5f},
		{90, 7, 0},
		{136, 3, 3 * 0x1p8f},
		{136, 7, 6 * 0x1p8f},
		{254, 1, 6 * 0x1p8f},
		{127, 15, -6},
		{117, 13, -0x1p-9f * 1.5f},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t mx[34] = {rows[i].exponent}, nv[36];
		float x[64];

		mx[1] = rows[i].code;
		qc_nvfp4_from_mxfp4(mx, 1, QC_MX_UNSCALED, nv);
		qc_nvfp4.dequantize(nv, x, 1);
		CHECK(x[0] == rows[i].value, "code %d under exponent %d is %g, not %g",
		      rows[i].code, rows[i].exponent, (double)x[0], (double)rows[i].value);
		for (int j = 1; j < 64; j++)
			CHECK(x[j] == 0, "element %d is %g", j, (double)x[j]);
	}
}

/* 2688 / amax and back, for what 16-bit weights give. */
static void divisors_and_multipliers_lead_back(void)
{
	for (uint32_t h = 0x2000; h < 0x4800; h += 7) {
		float amax = qc_f16_to_f32((uint16_t)h), multiplier = amax / 2688;
		float divisor = qc_nvfp4_divisor(multiplier);

		CHECK(qc_nvfp4_multiplier(divisor) == multiplier, "multiplier %.9g became %.9g",
		      (double)multiplier, (double)qc_nvfp4_multiplier(divisor));
		divisor = 2688 * (1 / amax);
		if ((h & 0x3ff) == 0x300) /* 7 * 2^k: its neighbour is a divisor of bf16 weights */
			continue;
		multiplier = qc_nvfp4_multiplier(divisor);
		CHECK(qc_nvfp4_divisor(multiplier) == divisor, "divisor %.9g became %.9g",
		      (double)divisor, (double)qc_nvfp4_divisor(multiplier));
		CHECK(fabsf(multiplier * divisor - 1) < 1e-6f, "%.9g and %.9g", (double)multiplier,
		      (double)divisor);
	}
}

/* GPTQ, 4 bits, groups of 32, zero point 8. */
static void symmetric_int4_in_groups_of_32_becomes_q4_0(void)
{
	struct st_build b = {0};
	uint8_t *words = enc_bytes(64 / 8 * 4 * 8), *scales = enc_f16(2 * 8), zeros[2 * 4];

	memset(zeros, 0x77, sizeof(zeros));
	st_begin();
	st_add(&b, "a.qweight", "I32", "[8,8]", words, 256);
	st_add(&b, "a.qzeros", "I32", "[2,1]", zeros, 8);
	st_add(&b, "a.scales", "F16", "[2,8]", scales, 32);
	st_save(&b, "bag.safetensors");
	moves(st_path("bag.safetensors"), st_path("a.gguf"), "q4_0", NULL);
	st_end();
	free(words);
	free(scales);
}

static void every_recipe_is_exact_into_itself(void)
{
	const char *recipe, *about;

	for (unsigned i = 0; (recipe = qc_recipe_name(i, &about)); i++) {
		struct qconv_options options = {.quant = recipe};
		const bool needy = strstr(about, "needs an imatrix") != NULL;

		st_begin();
		imatrix_save_for(LLAMA, st_path("imatrix.dat"));
		options.imatrix = needy ? st_path("imatrix.dat") : NULL;
		converted(LLAMA, st_path("a.gguf"), &options);
		moves(st_path("a.gguf"), st_path("b.gguf"), NULL, NULL);
		st_same_files(st_path("a.gguf"), st_path("b.gguf"));
		if (needy)
			converted(st_path("a.gguf"), st_path("c.gguf"), &options);
		else
			moves(st_path("a.gguf"), st_path("c.gguf"), recipe, NULL);
		st_same_files(st_path("a.gguf"), st_path("c.gguf"));
		st_end();
	}
}

/* A model that was trained for q4_0: its weights are the lattice's points as 16-bit floats. */
static void a_lattice_of_q4_0_is_found_again(void)
{
	static const struct {
		const char *plain, *says;
		bool exact;
	} rows[] = {
		{"f32", "", true}, {"f16", ", exact", true}, {"bf16", "but for rounding", false}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct qconv_options trained = {
			.quant = "q4_0", .method = "reference", .pure = true};
		struct qconv_options search = {.quant = "q4_0", .pure = true};
		struct qconv_options plain = {.quant = rows[i].plain};
		struct outcome said;
		size_t n, exact;

		st_begin();
		converted(GEMMA, st_path("trained.gguf"), &trained);
		converted(st_path("trained.gguf"), st_path("plain.gguf"), &plain);
		said = converted(st_path("plain.gguf"), st_path("found.gguf"), &search);
		exact = exact_tensors(st_path("found.gguf"), st_path("trained.gguf"), &n);
		CHECK(exact == n && n == 80, "%s: %zu of %zu tensors are the trained ones",
		      rows[i].plain, exact, n);
		CHECK(strstr(said.finding, rows[i].says), "%s: '%s'", rows[i].plain, said.finding);
		if (*rows[i].says)
			CHECK((said.n_exact == 80) == rows[i].exact, "%s: %zu are said to be exact",
			      rows[i].plain, said.n_exact);
		st_end();
	}
}

static void ordinary_weights_lie_on_no_lattice(void)
{
	struct outcome said;

	st_begin();
	said = converted(GEMMA, st_path("a.gguf"), &(struct qconv_options){.quant = "q4_0"});
	CHECK(!*said.finding, "'%s'", said.finding);
	st_end();
}

int main(void)
{
	nvfp4_goes_between_layouts_and_back();
	nvfp4_goes_into_gguf();
	mxfp4_goes_between_layouts_and_into_gguf();
	gpt_oss_keeps_its_own_blocks();
	gpt_oss_experts_have_in_gguf_the_stored_codes();
	gpt_oss_becomes_nvfp4_without_a_change();
	exponents_that_do_not_fit_are_counted();
	blocks_of_zeros_fit_always();
	without_a_tensor_scale_exponents_have_limits();
	divisors_and_multipliers_lead_back();
	symmetric_int4_in_groups_of_32_becomes_q4_0();
	every_recipe_is_exact_into_itself();
	a_lattice_of_q4_0_is_found_again();
	ordinary_weights_lie_on_no_lattice();
	return test_end();
}
