/* Whole conversions through the library: the same bytes always, errors that name their place. */
#include <math.h>

#include "convert/manifest.h"
#include "convert/plan.h"
#include "convert/recipe.h"
#include "quant/fast.h"
#include "tests/convert_cases.h"
#include "tests/convert_run.h"
#include "tests/imatrix_build.h"
#include "tests/st_files.h"

/* Every tensor of `b` is in `a` with the same type and bytes. */
static void same_tensors(const char *a, const char *b)
{
	struct qc_manifest x = manifest_of(a), y = manifest_of(b);

	CHECK(x.n_tensors == y.n_tensors && x.n_tensors, "%s has %zu tensors, %s %zu", a,
	      x.n_tensors, b, y.n_tensors);
	for (size_t i = 0; i < y.n_tensors; i++) {
		const struct qc_manifest_entry *e = entry_of(&x, y.tensors[i].name);

		CHECK(e && !strcmp(e->type, y.tensors[i].type) &&
			      !strcmp(e->xxh3_128, y.tensors[i].xxh3_128),
		      "%s and %s: '%s' differs", a, b, y.tensors[i].name);
	}
	qc_manifest_clear(&x);
	qc_manifest_clear(&y);
}

/* llama.cpp's converter's bytes, by hashes that were made from files whose SHA-256 is its own. */
static void f16_has_the_bytes_of_llama_cpps_converter(void)
{
	struct qconv_options options = {.quant = "f16"};
	size_t size, n = 0;
	char *golden = test_load("tests/data/goldens/tiny-llama.f16.xxh3", &size), *save = NULL;
	struct qc_manifest manifest;

	st_begin();
	converts(LLAMA, "f16.gguf", &options);
	manifest = manifest_of("f16.gguf");
	for (char *line = strtok_r(golden, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save), n++) {
		char hash[33], type[16], name[128];
		const struct qc_manifest_entry *e;

		NEED(sscanf(line, "%32s %15s %127s", hash, type, name) == 3, "broken golden: %s",
		     line);
		e = entry_of(&manifest, name);
		CHECK(e && !strcmp(e->type, type) && !strcmp(e->xxh3_128, hash),
		      "'%s' is not the golden one", name);
	}
	CHECK(n == manifest.n_tensors && n == 39, "%zu tensors, %zu golden ones",
	      manifest.n_tensors, n);
	qc_manifest_clear(&manifest);
	free(golden);
	st_end();
}

static void every_recipe_gives_one_hash_for_all_cpus_and_threads(void)
{
	const char *recipe, *about;
	char imatrix[4608];

	st_begin();
	snprintf(imatrix, sizeof(imatrix), "%s", st_path("imatrix.dat"));
	imatrix_save_for(LLAMA, imatrix);
	for (unsigned i = 0; (recipe = qc_recipe_name(i, &about)); i++) {
		/* half of the blocks: all kinds of tensors, in half the time */
		struct qconv_options options = {.quant = recipe,
						.prune_layers = "1,2",
						.force = true,
						.no_manifest = true,
						.threads = 1};
		char first[33];

		if (strstr(about, "needs an imatrix")) {
			options.imatrix = imatrix;
			options.method = "reference"; /* the search takes seconds each time */
		}
		unsetenv("QCONV_CPU");
		memcpy(first, converts(LLAMA, "out.gguf", &options), sizeof(first));
		for (int isa = QC_ISA_SCALAR; isa <= QC_ISA_AVX512; isa++) {
			enum qc_isa found;

			setenv("QCONV_CPU", qc_isa_name((enum qc_isa)isa), 1);
			if (!qc_isa_detect(&found))
				continue; /* not on this CPU */
			options.threads = 1 + (int)(i + (unsigned)isa) % 8;
			CHECK(!strcmp(first, converts(LLAMA, "out.gguf", &options)),
			      "%s: other bytes with %s and %d threads", recipe, qc_isa_name(found),
			      options.threads);
		}
	}
	unsetenv("QCONV_CPU");
	st_end();
}

static void thread_counts_from_1_to_8_give_one_hash(void)
{
	struct qconv_options options = {.quant = "q4_k_m", .force = true};
	char first[33] = "";

	st_begin();
	for (int threads = 1; threads <= 8; threads++) {
		const char *hash;

		options.threads = threads;
		hash = converts(GEMMA, "out.gguf", &options);
		if (!*first)
			memcpy(first, hash, sizeof(first));
		CHECK(!strcmp(first, hash), "%d threads give %s, one gives %s", threads, hash,
		      first);
	}
	st_end();
}

static void one_pass_gives_the_bytes_of_two(void)
{
	static const char *const recipes[] = {"q4_0", "q4_k_m", "q6_k"};
	struct qconv_options options = {.quant = "f16"};

	st_begin();
	converts(LLAMA, "f16.gguf", &options);
	for (size_t i = 0; i < 3; i++) {
		options = (struct qconv_options){.quant = recipes[i], .force = true};
		converts(LLAMA, "one.gguf", &options);
		converts(st_path("f16.gguf"), "two.gguf", &options);
		same_tensors("one.gguf", "two.gguf");
	}
	st_end();
}

static void tensors_of_the_asked_type_are_copied(void)
{
	struct qconv_options options = {.quant = "q4_k_m"};
	char first[33];

	st_begin();
	memcpy(first, converts(GEMMA, "a.gguf", &options), sizeof(first));
	options.quant = NULL;
	CHECK(!strcmp(first, converts(st_path("a.gguf"), "b.gguf", &options)), "a copy differs");
	options.quant = "q4_k_m";
	options.force = true;
	CHECK(!strcmp(first, converts(st_path("a.gguf"), "b.gguf", &options)),
	      "a second pass differs");
	st_end();
}

static void values_that_no_model_has_are_named_and_refused(void)
{
	static const struct {
		float value;
		const char *quant, *says;
	} rows[] = {
		{NAN, "q4_0", "row 5, column 7 is nan"},
		{NAN, "f32", "row 5, column 7 is nan"}, /* a copy */
		{NAN, NULL, "'w.weight'"},
		{INFINITY, "q4_k_m", "row 5, column 7 is inf"},
		{-INFINITY, "bf16", "row 5, column 7 is -inf"},
		{70000.0f, "f16", "row 5, column 7 is 70000, more than the type holds"},
		{3.4e38f, "bf16", "more than the type holds"},
		{3e7f, "q4_0", "row 5, columns 0 to 31"},
		{3e7f, "q8_0", "overflows"},
		{1e9f, "q6_k", "row 5, columns 0 to 255"},
	};

	st_begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t at = 5 * 256 + 7;
		struct qconv_options options = {.quant = rows[i].quant};

		fails(matrix("in.safetensors", 16, 256, &at, &rows[i].value, 1), &options,
		      QCONV_FAILED, rows[i].says);
	}
	st_end();
}

/* Errors at two places, many ranges apart: always the first is told, however fast its thread was.
 */
static void the_lowest_error_is_told(void)
{
	size_t at[] = {1700 * 1024 + 3, 1500 * 1024 + 9, 2047 * 1024};
	float values[] = {NAN, INFINITY, NAN};
	char path[5000];

	st_begin();
	snprintf(path, sizeof(path), "%s", matrix("in.safetensors", 2048, 1024, at, values, 3));
	for (int i = 0; i < 30; i++) {
		struct qconv_options options = {.quant = "q8_0", .threads = 1 + i % 8};

		fails(path, &options, QCONV_FAILED, "row 1500, column 9 is inf");
	}
	st_end();
}

static void drops_are_listed_and_refused_when_strict(void)
{
	static const char header[] =
		"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
		"\"b\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[4,12]},"
		"\"e\":{\"dtype\":\"F32\",\"shape\":[0,8],\"data_offsets\":[12,12]},"
		"\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[12,16]}}";
	struct qconv_options options = {.quant = "q8_0", .strict = true};
	struct qc_manifest manifest;
	const char *path;

	st_begin();
	path = st_file("in.safetensors", header, "\1\2\3\4\5\0\0\0\6\0\0\0\0\0\200\77", 16);
	fails(path, &options, QCONV_REFUSED, "'a'");
	options.strict = false;
	converts(path, "out.gguf", &options);
	manifest = manifest_of("out.gguf");
	CHECK(manifest.n_tensors == 3 && entry_of(&manifest, "b") && entry_of(&manifest, "e") &&
		      entry_of(&manifest, "s"),
	      "%zu tensors", manifest.n_tensors);
	CHECK(!strcmp(entry_of(&manifest, "b")->type, "i32") &&
		      entry_of(&manifest, "b")->bytes == 8,
	      "the integers are not kept");
	qc_manifest_clear(&manifest);
	st_end();
}

static void options_that_make_no_sense_are_refused(void)
{
	struct qconv_options options = {.threads = -1};
	struct qconv_error error;

	st_begin();
	fails(GEMMA, &options, QCONV_USAGE, "threads");
	options = (struct qconv_options){.mem_limit = 1000000};
	fails(GEMMA, &options, QCONV_FAILED, "--mem-limit");
	options = (struct qconv_options){.quant = "q3"};
	fails(GEMMA, &options, QCONV_USAGE, "q4_k_m");
	CHECK(qconv_convert(GEMMA, st_path("out.png"), NULL, NULL, &error) == QCONV_USAGE &&
		      strstr(error.text, ".gguf"),
	      "'%s'", error.text);
	setenv("QCONV_CPU", "z80", 1);
	options = (struct qconv_options){0};
	fails(GEMMA, &options, QCONV_USAGE, "QCONV_CPU");
	unsetenv("QCONV_CPU");
	st_end();
}

static void the_plan_adds_up(void)
{
	struct qconv_options options = {.quant = "q4_k_m", .threads = 2};
	struct qc_model model;
	struct qc_plan plan;
	struct qc_err err = {0};
	uint64_t end = 0, bytes = 0;

	NEED(!qc_model_open(&model, GEMMA, &err), "%s", err.text);
	NEED(!qc_plan_build(&plan, &model, qc_format_find("gguf"), &options, &err), "%s", err.text);
	end = plan.out.files[0].header_bytes;
	for (size_t i = 0; i < plan.n_steps; i++) {
		const struct qc_step *step = &plan.steps[i];

		CHECK(step->n_pieces == 1 && step->pieces->offset >= end &&
			      step->pieces->offset - end < 32,
		      "'%s' at %llu, after %llu", step->name,
		      (unsigned long long)step->pieces->offset, (unsigned long long)end);
		CHECK(step->why && *step->why, "'%s' has no reason", step->name);
		end = step->pieces->offset + step->bytes;
		bytes += step->bytes;
	}
	CHECK(plan.out.total_bytes >= end && plan.out.total_bytes - end < 32, "%llu bytes in all",
	      (unsigned long long)plan.out.total_bytes);
	CHECK(plan.tensor_bytes == bytes && plan.n_weights == 4987904, "%llu weights",
	      (unsigned long long)plan.n_weights);
	CHECK(qc_plan_bpw(&plan) > 4.5 && qc_plan_bpw(&plan) < 5.5, "%g bits", qc_plan_bpw(&plan));
	CHECK(plan.peak_bytes < 32 << 20, "%llu bytes of memory",
	      (unsigned long long)plan.peak_bytes);
	qc_plan_clear(&plan);
	qc_model_close(&model);
}

int main(void)
{
	f16_has_the_bytes_of_llama_cpps_converter();
	every_recipe_gives_one_hash_for_all_cpus_and_threads();
	thread_counts_from_1_to_8_give_one_hash();
	one_pass_gives_the_bytes_of_two();
	tensors_of_the_asked_type_are_copied();
	values_that_no_model_has_are_named_and_refused();
	the_lowest_error_is_told();
	drops_are_listed_and_refused_when_strict();
	options_that_make_no_sense_are_refused();
	the_plan_adds_up();
	return test_end();
}
