/* Whole conversions through the library: same bytes always, errors that name their place, nothing
 * half done. */
#include "convert/convert.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#include "convert/check.h"
#include "convert/manifest.h"
#include "convert/plan.h"
#include "convert/recipe.h"
#include "quant/fast.h"
#include "tests/imatrix_build.h"
#include "tests/st_files.h"

#define GEMMA "samples/tiny-gemma3"
#define LLAMA "tests/data/models/tiny-llama"

/* Convert and expect success; the output's hash. */
static const char *converts(const char *input, const char *name,
			    const struct qconv_options *options)
{
	static struct qconv_summary summary;
	struct qconv_error error = {0};
	int code = qconv_convert(input, st_path(name), options, &summary, &error);

	CHECK(code == QCONV_DONE && !error.code, "%s to %s: %d '%s'", input, name, code,
	      error.text);
	return code ? "failed" : summary.xxh3_128;
}

/* Convert and expect `code` with `part` in the text, and neither output nor temporary file. */
static void fails(const char *input, const struct qconv_options *options, int code,
		  const char *part)
{
	struct qconv_error error = {0};
	int got = qconv_convert(input, st_path("refused.gguf"), options, NULL, &error);
	DIR *dir = opendir(st_dir);
	struct dirent *entry;

	CHECK(got == code && error.code == code && strstr(error.text, part),
	      "%s: %d '%s', expected %d '%s'", input, got, error.text, code, part);
	while ((entry = readdir(dir)))
		CHECK(!strstr(entry->d_name, "refused"), "%s: '%s' is left behind", input,
		      entry->d_name);
	closedir(dir);
}

static struct qc_manifest manifest_of(const char *name)
{
	struct qc_manifest manifest;
	struct qc_err err = {0};
	char *path = qc_manifest_path(st_path(name));

	NEED(path && !qc_manifest_read(&manifest, path, &err), "%s", err.text);
	free(path);
	return manifest;
}

static const struct qc_manifest_entry *entry_of(const struct qc_manifest *manifest,
						const char *name)
{
	for (size_t i = 0; i < manifest->n_tensors; i++)
		if (!strcmp(manifest->tensors[i].name, name))
			return &manifest->tensors[i];
	return NULL;
}

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
		struct qconv_options options = {
			.quant = recipe, .force = true, .no_manifest = true, .threads = 1};
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

/* A safetensors file with one f32 tensor "w.weight" of rows x cols small numbers, and the given
 * values at given places. */
static const char *matrix(const char *name, size_t rows, size_t cols, const size_t *at,
			  const float *values, size_t n)
{
	char header[256];
	uint8_t *data = malloc(rows * cols * 4);
	const char *path;

	NEED(data, "no memory");
	for (size_t i = 0; i < rows * cols; i++)
		qc_put_le32(data + 4 * i, qc_f32_bits((float)(i % 251) / 256 - 0.5f));
	for (size_t i = 0; i < n; i++)
		qc_put_le32(data + 4 * at[i], qc_f32_bits(values[i]));
	snprintf(header, sizeof(header),
		 "{\"w.weight\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]}}",
		 rows, cols, rows * cols * 4);
	path = st_file(name, header, data, rows * cols * 4);
	free(data);
	return path;
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

/* Interrupts from inside: called in output order, by one thread at a time. */
struct trigger {
	void (*act)(struct trigger *trigger);
	const char *path;
	volatile sig_atomic_t stop;
	uint64_t last;
	int calls;
};

static void on_progress(const struct qconv_progress *progress, void *user)
{
	struct trigger *trigger = user;

	if (strcmp(progress->phase, "convert"))
		return;
	CHECK(progress->bytes_done >= trigger->last &&
		      progress->bytes_done <= progress->bytes_total,
	      "%llu bytes after %llu", (unsigned long long)progress->bytes_done,
	      (unsigned long long)trigger->last);
	trigger->last = progress->bytes_done;
	if (!trigger->calls++)
		trigger->act(trigger);
}

static void act_stop(struct trigger *trigger)
{
	trigger->stop = 1;
}

static void act_truncate(struct trigger *trigger)
{
	NEED(!truncate(trigger->path, 4000), "cannot truncate");
}

/* One byte more: no read fails, only the last look at the input can tell. */
static void act_append(struct trigger *trigger)
{
	FILE *f = fopen(trigger->path, "ab");

	NEED(f && fputc('x', f) != EOF && !fclose(f), "cannot append");
}

static void a_run_that_is_disturbed_leaves_nothing(void)
{
	static const struct {
		void (*act)(struct trigger *trigger);
		int code;
		const char *says;
	} rows[] = {
		{act_stop, QCONV_INTERRUPTED, "interrupted"},
		{act_truncate, QCONV_FAILED, "changed while it was read"},
		{act_append, QCONV_FAILED, "changed while it was read"},
	};

	st_begin();
	for (size_t i = 0; i < 3; i++) {
		for (int threads = 1; threads <= 2; threads++) {
			struct trigger trigger = {.act = rows[i].act};
			struct qconv_options options = {.quant = "q4_0",
							.threads = threads,
							.progress = on_progress,
							.user = &trigger,
							.stop = &trigger.stop};

			trigger.path = matrix("in.safetensors", 4096, 1024, NULL, NULL, 0);
			fails(trigger.path, &options, rows[i].code, rows[i].says);
			CHECK(trigger.calls >= 1, "row %zu: not called", i);
		}
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

static void a_stale_manifest_goes_a_foreign_file_does_not(void)
{
	struct qconv_options options = {.quant = "q8_0"};

	st_begin();
	converts(GEMMA, "out.gguf", &options);
	NEED(!unlink(st_path("out.gguf")), "cannot remove");
	converts(GEMMA, "out.gguf", &options);
	CHECK(qconv_verify(st_path("out.gguf"), NULL, NULL) == QCONV_DONE,
	      "the new manifest does not fit");
	st_text("refused.gguf.qconv.json", "my notes");
	{
		struct qconv_error error;

		CHECK(qconv_convert(GEMMA, st_path("refused.gguf"), &options, NULL, &error) ==
				      QCONV_REFUSED &&
			      strstr(error.text, "qconv.json"),
		      "'%s'", error.text);
		CHECK(access(st_path("refused.gguf"), F_OK), "the output is there all the same");
	}
	st_end();
}

/* Flip one bit of the file. */
static void damage(const char *path, uint64_t at)
{
	FILE *f = fopen(path, "r+b");
	int c;

	NEED(f && !fseek(f, (long)at, SEEK_SET) && (c = fgetc(f)) != EOF, "cannot read %s", path);
	NEED(!fseek(f, (long)at, SEEK_SET) && fputc(c ^ 1, f) != EOF && !fclose(f),
	     "cannot write %s", path);
}

static void verify_names_what_has_changed(void)
{
	struct qconv_options options = {.quant = "q8_0"};
	struct qconv_error error;
	struct qc_manifest manifest;
	uint64_t offset;

	st_begin();
	converts(LLAMA, "out.gguf", &options);
	manifest = manifest_of("out.gguf");
	offset = entry_of(&manifest, "blk.1.ffn_up.weight")->offset + 100;
	qc_manifest_clear(&manifest);
	CHECK(qconv_verify(st_path("out.gguf"), NULL, &error) == QCONV_DONE && !*error.text, "'%s'",
	      error.text);
	damage(st_path("out.gguf"), offset);
	CHECK(qconv_verify(st_path("out.gguf"), NULL, &error) == QCONV_DIFFERENT &&
		      strstr(error.text, "'blk.1.ffn_up.weight'"),
	      "'%s'", error.text);
	damage(st_path("out.gguf"), offset);
	damage(st_path("out.gguf"),
	       0); /* no GGUF any more, but first of all not what was written */
	CHECK(qconv_verify(st_path("out.gguf"), NULL, &error) == QCONV_DIFFERENT &&
		      strstr(error.text, "header"),
	      "'%s'", error.text);
	damage(st_path("out.gguf"), 0);
	CHECK(qconv_verify(st_path("out.gguf"), NULL, &error) == QCONV_DONE, "'%s'", error.text);
	NEED(!truncate(st_path("out.gguf"), (off_t)offset), "cannot truncate");
	CHECK(qconv_verify(st_path("out.gguf"), NULL, &error) == QCONV_DIFFERENT &&
		      strstr(error.text, "the manifest says"),
	      "'%s'", error.text);
	st_text("out.gguf.qconv.json", "{\"qconv\": 1}");
	CHECK(qconv_verify(st_path("out.gguf"), NULL, &error) == QCONV_FAILED &&
		      strstr(error.text, "not a manifest"),
	      "'%s'", error.text);
	st_end();
}

/* The same sums for any number of threads, to the last bit. */
static void comparison_is_exact_and_does_not_depend_on_threads(void)
{
	struct qconv_options options = {.quant = "f32"};
	struct qc_check_report one, seven;
	struct qc_err err = {0};

	st_begin();
	converts(GEMMA, "f32.gguf", &options);
	options.quant = "q4_0";
	converts(GEMMA, "q4.gguf", &options);
	CHECK(!qc_check(&one, st_path("f32.gguf"), GEMMA, &options, &err), "%s", err.text);
	CHECK(one.hashes == QC_HASH_EQUAL && one.n_errors == 80 && one.n_exact == 80 &&
		      one.total_rel_rmse == 0,
	      "%zu compared, %zu exact", one.n_errors, one.n_exact);
	qc_check_report_clear(&one);
	options.threads = 1;
	CHECK(!qc_check(&one, st_path("q4.gguf"), GEMMA, &options, &err), "%s", err.text);
	options.threads = 7;
	CHECK(!qc_check(&seven, st_path("q4.gguf"), GEMMA, &options, &err), "%s", err.text);
	CHECK(one.total_rel_rmse > 0.02 && one.total_rel_rmse < 0.12, "error %g",
	      one.total_rel_rmse);
	CHECK(one.total_rel_rmse == seven.total_rel_rmse && one.n_errors == seven.n_errors,
	      "%.17g and %.17g", one.total_rel_rmse, seven.total_rel_rmse);
	for (size_t i = 0; i < one.n_errors; i++) {
		const struct qc_tensor_error *a = &one.errors[i], *b = &seven.errors[i];

		CHECK(a->rel_rmse == b->rel_rmse && a->cosine == b->cosine &&
			      a->max_abs == b->max_abs && a->exact == b->exact,
		      "%s: %.17g and %.17g", a->name, a->rel_rmse, b->rel_rmse);
		CHECK(a->exact ? a->rel_rmse == 0
			       : a->rel_rmse > 0 && a->cosine > 0.98 && a->sqnr_db > 15,
		      "%s: error %g, cosine %g", a->name, a->rel_rmse, a->cosine);
	}
	qc_check_report_clear(&one);
	qc_check_report_clear(&seven);
	st_end();
}

static void comparison_finds_what_is_missing_or_of_another_shape(void)
{
	static const char a[] =
		"{\"x.weight\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
		"\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]},"
		"\"z\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}}";
	static const char b[] = "{\"y\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
				"\"z2\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}";
	static const uint8_t zeros[16];
	struct qconv_options options = {0};
	struct qc_check_report report;
	struct qc_err err = {0};
	enum qc_status s;

	st_begin();
	converts(st_file("b.safetensors", b, zeros, 16), "b.gguf", &options);
	s = qc_check(&report, st_path("b.gguf"), st_file("a.safetensors", a, zeros, 16), &options,
		     &err);
	CHECK(s == QC_DIFFERENT && strstr(err.text, "'z'"), "%d '%s'", s, err.text);
	/* GGUF has no u8: the plan drops it, so nobody misses it */
	CHECK(report.n_missing == 1 && !strcmp(report.missing[0], "z"), "%zu missing",
	      report.n_missing);
	CHECK(report.n_extra == 1 && !strcmp(report.extra[0], "z2"), "%zu extra", report.n_extra);
	CHECK(report.n_mismatched == 1 && !strcmp(report.mismatched[0], "y"), "%zu mismatched",
	      report.n_mismatched);
	qc_check_report_clear(&report);
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

static void a_limit_on_file_sizes_is_an_error_and_leaves_nothing(void)
{
	struct qconv_options options = {.quant = "q8_0"};
	struct rlimit limit;

	st_begin();
	NEED(!getrlimit(RLIMIT_FSIZE, &limit), "no limits here");
	limit.rlim_cur = 1 << 20;
	NEED(!setrlimit(RLIMIT_FSIZE, &limit), "cannot set a limit");
	fails(GEMMA, &options, QCONV_FAILED, "bytes are missing");
	limit.rlim_cur = limit.rlim_max;
	NEED(!setrlimit(RLIMIT_FSIZE, &limit), "cannot set a limit");
	st_end();
}

int main(void)
{
	signal(SIGXFSZ, SIG_IGN);
	f16_has_the_bytes_of_llama_cpps_converter();
	every_recipe_gives_one_hash_for_all_cpus_and_threads();
	thread_counts_from_1_to_8_give_one_hash();
	one_pass_gives_the_bytes_of_two();
	tensors_of_the_asked_type_are_copied();
	values_that_no_model_has_are_named_and_refused();
	the_lowest_error_is_told();
	a_run_that_is_disturbed_leaves_nothing();
	drops_are_listed_and_refused_when_strict();
	options_that_make_no_sense_are_refused();
	a_stale_manifest_goes_a_foreign_file_does_not();
	verify_names_what_has_changed();
	comparison_is_exact_and_does_not_depend_on_threads();
	comparison_finds_what_is_missing_or_of_another_shape();
	the_plan_adds_up();
	a_limit_on_file_sizes_is_an_error_and_leaves_nothing();
	return test_end();
}
