/* Reading single .safetensors files: what must be accepted, what refused, what is found inside. */
#include "formats/safetensors.h"

#include <time.h>

#include "formats/format.h"
#include "tests/st_files.h"

static void every_dtype_is_read_byte_for_byte(void)
{
	const struct qc_qtype *type;
	const char *dtype;

	for (unsigned i = 0; (dtype = qc_safetensors_dtype(i, &type)); i++) {
		struct qc_model model;
		uint8_t data[64];
		char header[256];
		uint64_t bytes;
		size_t size;

		for (size_t j = 0; j < sizeof(data); j++)
			data[j] = (uint8_t)(j * 37 + i);
		NEED(qc_qtype_bytes(type, 8, &bytes) && bytes <= sizeof(data),
		     "%s: 8 elements are no whole blocks", dtype);
		snprintf(header, sizeof(header),
			 "{\"w\":{\"dtype\":\"%s\",\"shape\":[2,4],\"data_offsets\":[0,%d]}}",
			 dtype, (int)bytes);
		if (!st_opens(&model, st_file("t.safetensors", header, data, bytes)))
			continue;
		CHECK(model.n_tensors == 1, "%s: %zu tensors", dtype, model.n_tensors);
		const struct qc_tensor *t = &model.tensors[0];
		CHECK(t->source->type == type, "%s: read as %s", dtype, t->source->type->name);
		CHECK(t->n_dims == 2 && t->dims[0] == 4 && t->dims[1] == 2,
		      "%s: %u dimensions, %d x %d", dtype, t->n_dims, (int)t->dims[0],
		      (int)t->dims[1]);
		CHECK(t->source->rows * t->source->cols == 8, "%s: %d rows of %d", dtype,
		      (int)t->source->rows, (int)t->source->cols);
		uint8_t *raw = st_raw(t, &size);
		CHECK(size == bytes && !memcmp(raw, data, size), "%s: %zu bytes of %d, or others",
		      dtype, size, (int)bytes);
		free(raw);
		qc_model_close(&model);
	}
}

static void tensors_may_lie_at_odd_offsets_in_any_order(void)
{
	const char *header = "{\"z\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]},"
			     "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
	const uint8_t data[9] = {7, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}; /* 7; 1.0, -2.0 */
	struct qc_scratch scratch = {0};
	struct qc_err err = {0};
	struct qc_model model;
	float values[2];

	if (!st_opens(&model, st_file("t.safetensors", header, data, sizeof(data))))
		return;
	CHECK(!strcmp(model.tensors[0].name, "a") && !strcmp(model.tensors[1].name, "z"),
	      "order: %s, %s", model.tensors[0].name, model.tensors[1].name);
	CHECK(!qc_source_read_f32(model.tensors[1].source, 0, 2, values, &scratch, &err), "%s",
	      err.text);
	CHECK(values[0] == 1.0f && values[1] == -2.0f, "%g %g", (double)values[0],
	      (double)values[1]);
	CHECK(model.arch_note && !model.arch && model.layout == QC_LAYOUT_PLAIN,
	      "a lone file is a plain bag and says so");
	qc_model_close(&model);
}

static void scalars_and_empty_tensors_have_few_rows(void)
{
	const char *header =
		"{\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
		"\"none\":{\"dtype\":\"BF16\",\"shape\":[0],\"data_offsets\":[4,4]},"
		"\"huge\":{\"dtype\":\"U8\",\"shape\":[18446744073709551615,0],\"data_offsets\":[4,"
		"4]},"
		"\"vector\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[4,10]},"
		"\"cube\":{\"dtype\":\"U8\",\"shape\":[2,3,4],\"data_offsets\":[10,34]},"
		"\"odd\":{\"dtype\":\"F4\",\"shape\":[2,3],\"data_offsets\":[34,37]}}";
	static const struct {
		const char *name, *shape;
		uint64_t rows, cols, elems;
	} expect[] = {
		{"cube", "2x3x4", 6, 4, 24}, /* 2-D and more: dims[0] is a row */
		{"huge", "18446744073709551615x0", 0, 1, 0},
		{"none", "0", 0, 1, 0},
		{"odd", "2x3", 3, 2, 6}, /* a row of 3 half bytes is no whole block */
		{"scalar", "scalar", 1, 1, 1},
		{"vector", "3", 3, 1, 3}, /* 1-D: one element a row */
	};
	const uint8_t data[37] = {0};
	struct qc_model model;

	if (!st_opens(&model, st_file("t.safetensors", header, data, sizeof(data))))
		return;
	CHECK(model.n_tensors == 6, "%zu tensors", model.n_tensors);
	for (size_t i = 0; i < model.n_tensors && i < 6; i++) {
		const struct qc_tensor *t = &model.tensors[i];
		char shape[64];

		qc_tensor_shape_text(t, shape, sizeof(shape));
		CHECK(!strcmp(t->name, expect[i].name), "%s, not %s", t->name, expect[i].name);
		CHECK(!strcmp(shape, expect[i].shape), "%s: shape '%s'", t->name, shape);
		CHECK(t->source->rows == expect[i].rows && t->source->cols == expect[i].cols,
		      "%s: %llu rows of %llu", t->name, (unsigned long long)t->source->rows,
		      (unsigned long long)t->source->cols);
		CHECK(qc_tensor_elems(t) == expect[i].elems, "%s: %llu elements", t->name,
		      (unsigned long long)qc_tensor_elems(t));
	}
	qc_model_close(&model);
}

static void a_rank_too_large_to_print_is_cut_short(void)
{
	uint64_t dims[32];
	struct qc_tensor t = {.n_dims = 32, .dims = dims};
	char shape[16];

	for (int i = 0; i < 32; i++)
		dims[i] = 100;
	qc_tensor_shape_text(&t, shape, sizeof(shape));
	CHECK(!strcmp(shape, "100x100x100x..."), "'%s'", shape);
}

static void escapes_in_names_are_decoded(void)
{
	const char *header =
		"{\"a\\u002eb\\/"
		"\\\"\\ud83d\\ude00\\n\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
	struct qc_model model;

	if (!st_opens(&model, st_file("t.safetensors", header, "x", 1)))
		return;
	CHECK(!strcmp(model.tensors[0].stored_name, "a.b/\"\xf0\x9f\x98\x80\n"), "'%s'",
	      model.tensors[0].stored_name);
	qc_model_close(&model);
}

static void refusals_name_the_cause(void)
{
#define U8(name, begin, end, n)                                                                    \
	"\"" name "\":{\"dtype\":\"U8\",\"shape\":[" #n "],\"data_offsets\":[" #begin "," #end "]" \
	"}"
	static const struct {
		const char *header, *part;
	} cases[] = {
		{"{" U8("w", 0, 2, 2) "}", "the download is incomplete"},
		{"{" U8("a", 0, 1, 1) "," U8("\\u0061", 0, 1, 1) "}", "a"},
		{"{" U8("a\\u0000b", 0, 1, 1) "}", "NUL"},
		{"{" U8("w", 0, 0, 0) "}", "1 bytes behind the last tensor"},
		{"{" U8("a", 0, 1, 1) "," U8("b", 2, 3, 1) "}", "a hole"},
		{"{" U8("a", 0, 1, 1) "," U8("b", 0, 1, 1) "}", "overlap"},
		{"{" U8("w", 0, 1, 2) "}", "2 elements of U8 are 2 bytes, but data_offsets hold 1"},
		{"{" U8("w", 1, 0, 1) "}", "end at 0, before they begin at 1"},
		{"{" U8("w", 0, 1, 1e0) "}", "dimension 0"},
		{"{" U8("w", 0, 1.0, 1) "}", "data_offsets"},
		{"{\"w\":{\"dtype\":\"Q4_0\",\"shape\":[1],\"data_offsets\":[0,1]}}", "\"Q4_0\""},
		{"{\"w\":{\"dtype\":\"u8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "\"u8\""},
		{"{\"w\":{\"shape\":[1],\"data_offsets\":[0,1]}}", "no dtype"},
		{"{\"__metadata__\":{\"a\":1},\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_"
		 "offsets\":[0,1]}}",
		 "__metadata__"},
		{"{\"w\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,1]"
		 "}}",
		 "2^64 elements"},
		{"{\"w\":{\"dtype\":\"F6_E2M3\",\"shape\":[1],\"data_offsets\":[0,1]}}",
		 "not whole bytes"},
		{"[]", "not an object"},
	};
#undef U8

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		st_refused(st_file("t.safetensors", cases[i].header, "x", 1), cases[i].part);
	st_refused(st_text("t.safetensors",
			   "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
		   "git lfs pull");
	st_refused(st_text("t.safetensors", "<!DOCTYPE html><html><body>404</body></html>"),
		   "HTML");
	st_refused(st_text("t.safetensors", "PK\3\4 and so on, long enough"), "zip");
	st_refused(st_text("t.safetensors", "GGUF\3 and so on, long enough"), "GGUF");
	st_refused(st_text("t.safetensors", ""), "empty");
	st_refused(st_text("t.safetensors", "short"), "5 bytes");
	st_refused(st_write("t.safetensors", "\xe8\3\0\0\0\0\0\0{\"w\":", 13),
		   "the download is incomplete");
	st_refused(st_text("model.bin", "PK\3\4 and so on"), "zip");
	st_refused(st_path("absent.safetensors"), "absent.safetensors");
	NEED(!mkfifo(st_path("pipe.safetensors"), 0600), "no FIFO");
	st_refused(st_path("pipe.safetensors"), "not a regular file");
}

static void content_is_recognised_without_the_extension(void)
{
	const char *header = "{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
	struct qc_model model;

	if (!st_opens(&model, st_file("weights", header, "x", 1)))
		return;
	CHECK(!strcmp(model.format->name, "safetensors"), "%s", model.format->name);
	qc_model_close(&model);
}

static void a_file_cut_or_grown_anywhere_is_refused(void)
{
	size_t size;
	char *data = test_load("tests/data/badfiles/st-ok-all-dtypes.safetensors", &size);
	char *copy = malloc(size + 1);

	NEED(copy, "no memory");
	for (size_t n = 0; n <= size + 1; n++) {
		struct qc_model model;
		struct qc_err err = {0};
		enum qc_status s;

		memcpy(copy, data, n < size ? n : size);
		copy[size] = 0;
		s = qc_model_open(&model, st_write("t.safetensors", copy, n), &err);
		CHECK(!s == (n == size), "%zu of %zu bytes: %s", n, size,
		      s ? err.text : "accepted");
		qc_model_close(&model);
	}
	free(copy);
	free(data);
}

static void a_changed_file_is_noticed(void)
{
	const char *header = "{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
	const char *path = st_file("t.safetensors", header, "x", 1);
	struct qc_err err = {0};
	struct qc_model model;

	if (!st_opens(&model, path))
		return;
	CHECK(!qc_model_unchanged(&model, &err), "unchanged: %s", err.text);
	NEED(!truncate(path, 3), "cannot cut the file");
	CHECK(qc_model_unchanged(&model, &err) == QC_IO, "the cut was not noticed");
	qc_model_close(&model);
}

/* One row of tests/data/badfiles/manifest.tsv: a .safetensors file, or the index of a directory. */
static void check_bad_file(const char *file, const char *format, bool accept)
{
	const struct qc_format *reader = qc_format_find("safetensors");
	struct qc_err err = {0};
	struct qc_model model;
	char path[512];
	enum qc_status s;

	snprintf(path, sizeof(path), "tests/data/badfiles/%s", file);
	if (!strcmp(format, "index")) {
		struct qc_hf_index index;
		size_t size;
		char *text = test_load(path, &size);

		s = qc_hf_index_parse(&index, text, size, &err);
		qc_hf_index_clear(&index);
		if (!s && !accept) { /* as a directory then: the shard does not exist */
			st_write("model.safetensors.index.json", text, size);
			s = qc_model_open_as(&model, qc_format_find("hf"), st_dir, &err);
			qc_model_close(&model);
		}
		free(text);
	} else {
		s = qc_model_open_as(&model, reader, path, &err);
		qc_model_close(&model);
	}
	CHECK(!s == accept, "%s: %s", file, s ? err.text : "accepted");
	CHECK(!s || (err.text[0] && !strchr(err.text, '\n')), "%s: the message is no line: '%s'",
	      file, err.text);
}

static void the_corpus_of_bad_files_gets_its_verdicts(void)
{
	FILE *f = fopen("tests/data/badfiles/manifest.tsv", "r");
	char file[256], format[32], expect[16], phase[16];
	int n = 0;

	NEED(f, "no manifest");
	while (fscanf(f, "%255s %31s %15s %15s", file, format, expect, phase) == 4) {
		bool accept = !strcmp(expect, "accept");

		if (!strcmp(format, "safetensors") || !strcmp(format, "index") ||
		    !strcmp(format, "bnb4"))
			n++, check_bad_file(file, format, accept);
	}
	fclose(f);
	CHECK(n > 150, "only %d files", n);
}

static void deep_nesting_is_refused_without_recursion(void)
{
	size_t depth = 100000, n = 0;
	char *header = malloc(2 * depth + 100);

	NEED(header, "no memory");
	n += (size_t)sprintf(
		header, "{\"w\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"x\":");
	memset(header + n, '[', depth);
	memset(header + n + depth, ']', depth);
	strcpy(header + n + 2 * depth, "}}");
	st_refused(st_file("t.safetensors", header, "", 0), "nested deeper");
	free(header);
}

static void a_hundred_thousand_tensors_are_read_in_linear_time(void)
{
	size_t n = 100000, at = 1;
	char *header = malloc(n * 128);
	struct timespec t0, t1;
	struct qc_model model;

	NEED(header, "no memory");
	header[0] = '{';
	for (size_t i = 0; i < n; i++)
		at += (size_t)sprintf(header + at,
				      "%s\"model.layers.%zu.mlp.down_proj.weight\":{\"dtype\":"
				      "\"U8\",\"shape\":[1,1],"
				      "\"data_offsets\":[%zu,%zu]}",
				      i ? "," : "", i, i, i + 1);
	strcpy(header + at, "}");
	char *data = calloc(1, n);
	NEED(data, "no memory");
	st_file("t.safetensors", header, data, n);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	if (st_opens(&model, st_path("t.safetensors"))) {
		clock_gettime(CLOCK_MONOTONIC, &t1);
		CHECK(model.n_tensors == n, "%zu tensors", model.n_tensors);
		printf("100,000 tensors: %.0f ms\n",
		       (double)(t1.tv_sec - t0.tv_sec) * 1e3 +
			       (double)(t1.tv_nsec - t0.tv_nsec) * 1e-6);
		qc_model_close(&model);
	}
	free(header);
	free(data);
}

int main(void)
{
	st_begin();
	every_dtype_is_read_byte_for_byte();
	tensors_may_lie_at_odd_offsets_in_any_order();
	scalars_and_empty_tensors_have_few_rows();
	a_rank_too_large_to_print_is_cut_short();
	escapes_in_names_are_decoded();
	refusals_name_the_cause();
	content_is_recognised_without_the_extension();
	a_file_cut_or_grown_anywhere_is_refused();
	a_changed_file_is_noticed();
	the_corpus_of_bad_files_gets_its_verdicts();
	deep_nesting_is_refused_without_recursion();
	a_hundred_thousand_tensors_are_read_in_linear_time();
	st_end();
	return test_end();
}
