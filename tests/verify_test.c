/* Verification: damage is named, comparison is exact. */
#include "convert/check.h"
#include "convert/manifest.h"
#include "tests/convert_cases.h"
#include "tests/convert_run.h"
#include "tests/st_files.h"

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

int main(void)
{
	verify_names_what_has_changed();
	comparison_is_exact_and_does_not_depend_on_threads();
	comparison_finds_what_is_missing_or_of_another_shape();
	return test_end();
}
