/* The scales beside nvfp4 weights in GGUF: read into the weights, written beside them. */
#include <math.h>

#include "convert/convert.h"
#include "convert/manifest.h"
#include "tests/gguf_build.h"
#include "tests/st_files.h"

enum { ROWS = 2, COLS = 64, SLICES = 3, NVFP4 = 40, F32 = 0, F16 = 1 };

/* One tensor beside the weight. */
struct beside {
	const char *name;
	uint32_t type;
	uint64_t n;
	float values[SLICES];
};

/* Two codes a byte, E2M1 1 and -3; group scales 1, 2, 1/2 and 448. */
static void put_blocks(struct build *b, size_t n)
{
	static const uint8_t scales[4] = {0x38, 0x40, 0x30, 0x7e};

	for (size_t i = 0; i < n; i++) {
		build_bytes(b, scales, sizeof(scales));
		for (int j = 0; j < 32; j++)
			build_uint(b, 0xd2, 1);
	}
}

/* A file with blk.0.ffn_up_exps.weight [SLICES, ROWS, COLS] or, without slices, [ROWS, COLS]. */
static enum qc_status open_with(const char *weight, bool slices, const struct beside *beside,
				size_t n, struct qc_model *model, struct qc_err *err)
{
	const uint64_t dims[3] = {COLS, ROWS, SLICES};
	const size_t blocks = slices ? ROWS * SLICES : ROWS;
	struct build b = {0};
	uint64_t offset = (36 * blocks + 31) / 32 * 32;
	enum qc_status s;

	build_head(&b, 3, n + 1, 0);
	build_tensor(&b, weight, slices ? 3 : 2, dims, NVFP4, 0);
	for (size_t i = 0; i < n; i++, offset += 32)
		build_tensor(&b, beside[i].name, 1, &beside[i].n, beside[i].type, offset);
	build_align(&b, 32);
	put_blocks(&b, blocks);
	build_align(&b, 32);
	for (size_t i = 0; i < n; i++) {
		for (uint64_t k = 0; k < beside[i].n; k++)
			build_uint(&b, qc_f32_bits(beside[i].values[k]),
				   beside[i].type == F32 ? 4 : 2);
		build_align(&b, 32);
	}
	s = build_open(&b, model, err);
	free(b.data);
	return s;
}

static void check_values(const struct qc_tensor *weight, const float *factors, size_t n)
{
	static const float scales[4] = {1, 2, 0.5f, 448};
	float *x = tensor_values(weight);
	const size_t elems = (size_t)qc_tensor_elems(weight);

	for (size_t i = 0; i < elems; i++) {
		float factor = factors[n == 1 ? 0 : i / (ROWS * COLS)];
		float want = (i % 16 < 8 ? 1 : -3) * (scales[i % 64 / 16] * factor);

		CHECK(x[i] == want, "value %zu is %g, not %g", i, (double)x[i], (double)want);
	}
	free(x);
}

static void scales_are_folded_in_both_spellings(void)
{
	static const char *const names[][2] = {
		{"blk.0.a.scale", "blk.0.a.input_scale"},
		{"blk.0.a.weight.scale", "blk.0.a.weight.input_scale"}};

	for (size_t i = 0; i < 2; i++)
		for (size_t slices = 0; slices < 2; slices++) {
			const uint64_t n = slices ? SLICES : 1;
			const struct beside beside[2] = {
				{names[i][0], F32, n, {0.25f, 0.3f, 3}},
				{names[i][1], F32, n, {7, 8, 9}},
			};
			struct qc_model model = {0};
			struct qc_err err = {0};

			NEED(!open_with("blk.0.a.weight", slices, beside, 2, &model, &err), "%s",
			     err.text);
			CHECK(model.n_tensors == 1 && model.n_stored == 3,
			      "%zu tensors of %zu are left", model.n_tensors, model.n_stored);
			CHECK(model.tensors[0].scale && model.tensors[0].scale->rows == n,
			      "no scale of %llu", (unsigned long long)n);
			CHECK(model.tensors[0].input_scale &&
				      model.tensors[0].input_scale->rows == n,
			      "no input scale");
			check_values(&model.tensors[0], beside[0].values, (size_t)n);
			qc_model_close(&model);
		}
}

/* One factor may stand for all slices, and the input's may stand alone. */
static void one_scale_may_do(void)
{
	const struct beside one = {"blk.0.a.scale", F32, 1, {3}};
	const struct beside input = {"blk.0.a.input_scale", F32, 1, {3}};
	struct qc_model model = {0};
	struct qc_err err = {0};

	NEED(!open_with("blk.0.a.weight", true, &one, 1, &model, &err), "%s", err.text);
	CHECK(model.n_tensors == 1, "%zu tensors are left", model.n_tensors);
	check_values(&model.tensors[0], one.values, 1);
	qc_model_close(&model);
	NEED(!open_with("blk.0.a.weight", false, &input, 1, &model, &err), "%s", err.text);
	CHECK(model.n_tensors == 1 && !model.tensors[0].scale && model.tensors[0].input_scale,
	      "%zu tensors are left", model.n_tensors);
	check_values(&model.tensors[0], (float[]){1}, 1);
	qc_model_close(&model);
}

static void a_scale_that_belongs_to_no_weight_stays(void)
{
	const struct beside other = {"blk.0.b.scale", F32, 1, {3}};
	struct qc_model model = {0};
	struct qc_err err = {0};

	NEED(!open_with("blk.0.a.weight", false, &other, 1, &model, &err), "%s", err.text);
	CHECK(model.n_tensors == 2 && !model.tensors[0].scale, "%zu tensors", model.n_tensors);
	qc_model_close(&model);
}

static void scales_that_make_no_sense_are_refused(void)
{
	static const struct {
		struct beside scale;
		const char *says;
	} rows[] = {
		{{"blk.0.a.scale", F32, 1, {NAN}}, "nan"},
		{{"blk.0.a.scale", F32, 1, {INFINITY}}, "inf"},
		{{"blk.0.a.scale", F32, 1, {-1}}, "is -1"},
		{{"blk.0.a.scale", F32, 2, {1, 1}}, "2 values of f32"},
		{{"blk.0.a.scale", F16, 1, {1}}, "f16"},
		{{"blk.0.a.input_scale", F32, 3, {1, 2, NAN}}, "[2] is nan"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct qc_model model = {0};
		struct qc_err err = {0};
		enum qc_status s =
			open_with("blk.0.a.weight", true, &rows[i].scale, 1, &model, &err);

		CHECK(s == QC_BAD_INPUT && strstr(err.text, rows[i].says) &&
			      strstr(err.text, rows[i].scale.name) &&
			      strstr(err.text, "blk.0.a.weight"),
		      "row %zu: status %d, '%s'", i, s, err.text);
		qc_model_close(&model);
	}
}

/* A name as long as GGUF allows, so that no name with an ending is. */
static void the_longest_name_has_no_scale(void)
{
	char name[QC_GGUF_MAX_NAME + 1];
	struct qc_model model = {0};
	struct qc_err err = {0};

	memset(name, 'x', QC_GGUF_MAX_NAME);
	name[QC_GGUF_MAX_NAME] = 0;
	NEED(!open_with(name, false, NULL, 0, &model, &err), "%s", err.text);
	CHECK(model.n_tensors == 1 && !model.tensors[0].scale, "%zu tensors", model.n_tensors);
	qc_model_close(&model);
}

/* The scale makes the largest value of its matrix 6 times 448. */
static void written_scales_are_the_largest_values(void)
{
	struct qconv_options options = {.quant = "nvfp4"};
	struct qconv_error error = {0};
	struct qc_model source = {0}, model = {0};
	struct qc_manifest manifest;
	struct qc_err err = {0};
	const struct qc_tensor *w;
	size_t n_scales = 0;
	float amax = 0, factor = 0, *x;
	char *path;

	st_begin();
	CHECK(!qconv_convert("tests/data/models/tiny-llama", st_path("a.gguf"), &options, NULL,
			     &error),
	      "%s", error.text);
	path = qc_manifest_path(st_path("a.gguf"));
	NEED(path && !qc_manifest_read(&manifest, path, &err), "%s", err.text);
	for (size_t i = 0; i < manifest.n_tensors; i++)
		n_scales += strstr(manifest.tensors[i].name, ".scale") != NULL;
	CHECK(n_scales == 4 * 7, "%zu scales are stored", n_scales);
	qc_manifest_clear(&manifest);
	free(path);
	NEED(st_opens(&source, "tests/data/models/tiny-llama") &&
		     st_opens(&model, st_path("a.gguf")),
	     "cannot open");
	CHECK(model.n_tensors == source.n_tensors, "%zu tensors, %zu in the source",
	      model.n_tensors, source.n_tensors);
	w = qc_model_find(&source, "blk.2.ffn_down.weight");
	NEED(w, "no weight");
	x = tensor_values(w);
	for (uint64_t i = 0; i < qc_tensor_elems(w); i++)
		amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
	free(x);
	w = qc_model_find(&model, "blk.2.ffn_down.weight");
	NEED(w && w->scale, "no scale");
	CHECK(!qc_source_read_f32(w->scale, 0, 1, &factor, &(struct qc_scratch){0}, &err), "%s",
	      err.text);
	CHECK(factor == amax / 2688, "the scale is %.9g, the largest value %.9g", (double)factor,
	      (double)amax);
	qc_model_close(&source);
	qc_model_close(&model);
	st_end();
}

int main(void)
{
	scales_are_folded_in_both_spellings();
	one_scale_may_do();
	a_scale_that_belongs_to_no_weight_stays();
	scales_that_make_no_sense_are_refused();
	the_longest_name_has_no_scale();
	written_scales_are_the_largest_values();
	return test_end();
}
