/* Packed weights in safetensors: the bytes that the kernels make of the whole matrix, however it is
 * cut into ranges; scales shared where loaders need it; codes moved where they can be. */
#include <math.h>

#include "convert/check.h"
#include "convert/packing.h"
#include "convert/qconv.h"
#include "formats/safetensors.h"
#include "quant/bnb.h"
#include "quant/e4m3.h"
#include "quant/half.h"
#include "quant/mxfp4_pack.h"
#include "quant/nvfp4_pack.h"
#include "quant/types.h"
#include "tests/st_files.h"

#define GEMMA	   "samples/tiny-gemma3"
#define GPT_OSS	   "tests/data/models/tiny-gpt-oss"
#define MODULE	   "model.layers.0.mlp.down_proj"
#define MAX_VALUES (1u << 20)

/* A .safetensors file in memory. */
struct file {
	struct qc_arena arena;
	struct qc_safetensors_header header;
	char *data;
	const uint8_t *tensors;
};

static void file_open(struct file *file, const char *path)
{
	struct qc_err err = {0};
	size_t size, n;

	memset(file, 0, sizeof(*file));
	file->data = test_load(path, &size);
	n = (size_t)qc_le64(file->data);
	NEED(!qc_safetensors_parse(&file->header, file->data + 8, n, size - 8 - n, &file->arena,
				   &err),
	     "%s: %s", path, err.text);
	file->tensors = (const uint8_t *)file->data + 8 + n;
}

static void file_close(struct file *file)
{
	free(file->data);
	qc_arena_clear(&file->arena);
}

static const struct qc_safetensors_entry *entry_of(const struct file *file, const char *name)
{
	for (size_t i = 0; i < file->header.n; i++)
		if (!strcmp(file->header.entries[i].name, name))
			return &file->header.entries[i];
	return NULL;
}

/* The tensor has this type, these dimensions (transformers' order, -1 behind the last) and bytes.
 */
static void holds(const struct file *file, const char *name, const struct qc_qtype *type,
		  const int64_t *dims, const void *bytes, size_t size)
{
	const struct qc_safetensors_entry *e = entry_of(file, name);
	uint32_t n = 0;

	NEED(e, "there is no '%s'", name);
	while (dims[n] >= 0)
		n++;
	CHECK(e->type == type && e->n_dims == n, "'%s' is %s of %u dimensions, not %s of %u", name,
	      e->type->name, e->n_dims, type->name, n);
	for (uint32_t i = 0; i < n && i < e->n_dims; i++)
		CHECK(e->dims[n - 1 - i] == (uint64_t)dims[i], "'%s': dimension %u is %llu", name,
		      i, (unsigned long long)e->dims[n - 1 - i]);
	CHECK(e->end - e->begin == size && !memcmp(file->tensors + e->begin, bytes, size),
	      "'%s': other bytes (%llu, expected %zu)", name,
	      (unsigned long long)(e->end - e->begin), size);
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__, -1})
#define SCALAR	  ((const int64_t[]){-1})

static float *values; /* MAX_VALUES of them, about normal, with some large ones */

static void make_values(void)
{
	uint64_t state = 7;

	values = malloc(MAX_VALUES * sizeof(*values));
	NEED(values, "no memory");
	for (size_t i = 0; i < MAX_VALUES; i++) {
		float sum = 0;

		for (int k = 0; k < 4; k++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			sum += (float)(state >> 40) / 0x1p24f - 0.5f;
		}
		values[i] = sum * (i % 97 ? 0.05f : 0.5f);
	}
}

static void put_floats(uint8_t *to, const float *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		qc_put_le32(to + 4 * i, qc_f32_bits(from[i]));
}

/* A file of one f32 matrix, MODULE.weight, beginning with values[0]. */
static const char *matrix_file(const char *name, size_t rows, size_t cols)
{
	uint8_t *bytes = malloc(rows * cols * 4);
	char header[256];
	const char *path;

	NEED(bytes, "no memory");
	put_floats(bytes, values, rows * cols);
	snprintf(header, sizeof(header),
		 "{\"" MODULE
		 ".weight\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]}}",
		 rows, cols, rows * cols * 4);
	path = st_file(name, header, bytes, rows * cols * 4);
	free(bytes);
	return path;
}

static void converts(const char *input, const char *name, const struct qconv_options *options)
{
	struct qconv_error error = {0};
	int code = qconv_convert(input, st_path(name), options, NULL, &error);

	NEED(code == QCONV_DONE, "%s to %s: %d '%s'", input, name, code, error.text);
}

/* Verified and compared with its source: no difference at all. */
static void is_exact(const char *a, const char *b)
{
	size_t size_a, size_b;
	char *x = test_load(st_path(a), &size_a), *y = test_load(b, &size_b);

	CHECK(size_a == size_b && !memcmp(x, y, size_a), "%s and %s are not the same", a, b);
	free(x);
	free(y);
}

static void check_bnb(size_t rows, size_t cols, size_t block, bool nested, bool fp4)
{
	const struct qc_bnb4_kind *kind = fp4 ? &qc_bnb_fp4 : &qc_bnb_nf4;
	struct qconv_options options = {.quant = kind->name,
					.method = "reference",
					.blocksize = (int)block,
					.double_quant = nested,
					.threads = 3,
					.force = true};
	size_t n = rows * cols, n_blocks = (n + block - 1) / block, groups = (n_blocks + 255) / 256;
	uint8_t *packed = malloc((n + 1) / 2), *codes = malloc(n_blocks + 4), *bytes;
	float *absmax = malloc(n_blocks * 4), *nested_absmax = malloc(groups * 4), offset;
	struct qc_bnb_mean mean;
	struct file file;

	bytes = malloc(n_blocks * 4 + 1024);
	NEED(packed && codes && absmax && nested_absmax && bytes, "no memory");
	converts(matrix_file("in.safetensors", rows, cols), "out.safetensors", &options);
	file_open(&file, st_path("out.safetensors"));
	qc_bnb4_encode(kind, values, n, block, packed, absmax);
	holds(&file, MODULE ".weight", &qc_u8, DIMS((int64_t)(n + 1) / 2, 1), packed, (n + 1) / 2);
	put_floats(bytes, kind->map, 16);
	holds(&file, MODULE ".weight.quant_map", &qc_f32, DIMS(16), bytes, 64);
	if (nested) {
		qc_bnb_mean_init(&mean, n_blocks);
		qc_bnb_mean_add(&mean, absmax, n_blocks);
		offset = qc_bnb_mean_value(&mean);
		qc_bnb8_encode_python(absmax, n_blocks, offset, codes, nested_absmax);
		holds(&file, MODULE ".weight.absmax", &qc_u8, DIMS((int64_t)n_blocks), codes,
		      n_blocks);
		put_floats(bytes, nested_absmax, groups);
		holds(&file, MODULE ".weight.nested_absmax", &qc_f32, DIMS((int64_t)groups), bytes,
		      groups * 4);
		put_floats(bytes, qc_bnb_dynamic_map, 256);
		holds(&file, MODULE ".weight.nested_quant_map", &qc_f32, DIMS(256), bytes, 1024);
	} else {
		put_floats(bytes, absmax, n_blocks);
		holds(&file, MODULE ".weight.absmax", &qc_f32, DIMS((int64_t)n_blocks), bytes,
		      n_blocks * 4);
	}
	CHECK(entry_of(&file, fp4 ? MODULE ".weight.quant_state.bitsandbytes__fp4"
				  : MODULE ".weight.quant_state.bitsandbytes__nf4"),
	      "no quant_state");
	file_close(&file);
	free(bytes);
	free(nested_absmax);
	free(absmax);
	free(codes);
	free(packed);
}

static void bitsandbytes_blocks_cross_the_ends_of_rows(void)
{
	static const size_t shapes[][2] = {{64, 64},   {3, 100},   {7, 33},    {1, 1},
					   {900, 129}, {40, 7168}, {2, 70000}, {5, 16385}};
	static const size_t blocks[] = {32, 64, 1024};

	st_begin();
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		for (size_t b = 0; b < 3; b++)
			for (int form = 0; form < 4; form++)
				check_bnb(shapes[s][0], shapes[s][1], blocks[b], form & 1,
					  form & 2);
	st_end();
}

/* The offset of equal blocks is their absmax: as Python prints it. */
static void the_nested_offset_is_printed_as_python_prints_it(void)
{
	static const struct {
		float value;
		const char *text;
	} cases[] = {
		{1, ": 1.0}"},
		{0.5f, ": 0.5}"},
		{1024, ": 1024.0}"},
		{0.1f, ": 0.10000000149011612}"},
		{123456.789f, ": 123456.7890625}"},
		{0x1p-20f, ": 9.5367431640625e-07}"},
		{0x1p60f, ": 1.152921504606847e+18}"},
		{1e-4f, ": 9.999999747378752e-05}"},
		{0x1p-10f, ": 0.0009765625}"},
		{0x1p53f, ": 9007199254740992.0}"},
		{0x1p54f, ": 1.8014398509481984e+16}"},
	};
	struct qconv_options options = {.quant = "nf4", .double_quant = true, .force = true};
	float *kept = malloc(8 * 8 * sizeof(float));

	NEED(kept, "no memory");
	memcpy(kept, values, 8 * 8 * sizeof(float));
	st_begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct qc_safetensors_entry *e;
		struct file file;
		size_t len = strlen(cases[i].text);

		for (size_t k = 0; k < 8 * 8; k++)
			values[k] = cases[i].value;
		converts(matrix_file("in.safetensors", 8, 8), "out.safetensors", &options);
		file_open(&file, st_path("out.safetensors"));
		e = entry_of(&file, MODULE ".weight.quant_state.bitsandbytes__nf4");
		CHECK(e && e->end - e->begin > len &&
			      !memcmp(file.tensors + e->end - len, cases[i].text, len),
		      "%.9g: '%.*s'", (double)cases[i].value, e ? (int)(e->end - e->begin) : 0,
		      e ? (const char *)file.tensors + e->begin : "");
		file_close(&file);
	}
	memcpy(values, kept, 8 * 8 * sizeof(float));
	free(kept);
	st_end();
}

static void check_nvfp4(size_t rows, size_t cols, bool divide)
{
	const struct qc_nvfp4_producer *producer =
		divide ? &qc_nvfp4_compressed_tensors : &qc_nvfp4_modelopt;
	struct qconv_options options = {.quant = "nvfp4",
					.layout = divide ? "compressed-tensors" : "modelopt",
					.method = "reference",
					.threads = 2,
					.force = true};
	size_t n = rows * cols;
	uint8_t *codes = malloc(n / 2), *scales = malloc(n / 16), factor[4];
	float amax = 0, scale;
	struct file file;

	NEED(codes && scales, "no memory");
	for (size_t i = 0; i < n; i++)
		amax = fabsf(values[i]) > amax ? fabsf(values[i]) : amax;
	converts(matrix_file("in.safetensors", rows, cols), "out.safetensors", &options);
	file_open(&file, st_path("out.safetensors"));
	scale = producer->tensor_scale(amax, QC_NVFP4_RANGE, false);
	producer->encode(values, n, scale, false, codes, scales);
	qc_put_le32(factor, qc_f32_bits(scale));
	holds(&file, divide ? MODULE ".weight_packed" : MODULE ".weight", &qc_u8,
	      DIMS((int64_t)rows, (int64_t)cols / 2), codes, n / 2);
	holds(&file, MODULE ".weight_scale", &qc_f8_e4m3, DIMS((int64_t)rows, (int64_t)cols / 16),
	      scales, n / 16);
	holds(&file, divide ? MODULE ".weight_global_scale" : MODULE ".weight_scale_2", &qc_f32,
	      divide ? DIMS(1) : SCALAR, factor, 4);
	CHECK(file.header.n == 3, "%zu tensors", file.header.n);
	file_close(&file);
	free(scales);
	free(codes);
}

static void nvfp4_is_what_its_producers_write(void)
{
	static const size_t shapes[][2] = {{1, 16}, {5, 48}, {300, 1024}, {3, 100000}};

	st_begin();
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		for (int divide = 0; divide < 2; divide++)
			check_nvfp4(shapes[s][0], shapes[s][1], divide);
	st_end();
}

static void mxfp4_is_what_its_producers_write(void)
{
	const size_t rows = 300, cols = 1056, n = rows * cols;
	uint8_t *codes = malloc(n / 2), *scales = malloc(n / 32);

	NEED(codes && scales, "no memory");
	st_begin();
	for (int modelopt = 0; modelopt < 2; modelopt++) {
		const struct qc_mxfp4_producer *producer =
			modelopt ? &qc_mxfp4_modelopt : &qc_mxfp4_compressed_tensors;
		struct qconv_options options = {.quant = "mxfp4",
						.layout = modelopt ? "modelopt" : NULL,
						.method = "reference",
						.force = true};
		struct file file;

		converts(matrix_file("in.safetensors", rows, cols), "out.safetensors", &options);
		file_open(&file, st_path("out.safetensors"));
		producer->encode(values, n, codes, scales);
		holds(&file, modelopt ? MODULE ".weight" : MODULE ".weight_packed", &qc_u8,
		      DIMS((int64_t)rows, (int64_t)cols / 2), codes, n / 2);
		holds(&file, MODULE ".weight_scale", &qc_u8,
		      DIMS((int64_t)rows, (int64_t)cols / 32), scales, n / 32);
		file_close(&file);
	}
	st_end();
	free(scales);
	free(codes);
}

static void check_fp8(size_t rows, size_t cols, bool block)
{
	struct qconv_options options = {
		.quant = "fp8", .layout = block ? "block" : NULL, .threads = 2, .force = true};
	const char *scale_name = block ? MODULE ".weight_scale_inv" : MODULE ".weight_scale";
	size_t wide = block ? (cols + 127) / 128 : 1;
	const struct qc_safetensors_entry *codes, *scales;
	struct file file;

	converts(matrix_file("in.safetensors", rows, cols), "out.safetensors", &options);
	file_open(&file, st_path("out.safetensors"));
	codes = entry_of(&file, MODULE ".weight");
	scales = entry_of(&file, scale_name);
	NEED(codes && scales && codes->type == &qc_f8_e4m3 && scales->type == &qc_f32 &&
		     scales->n_dims == 2 && scales->dims[0] == wide,
	     "%s is not as it should be", scale_name);
	for (size_t i = 0; i < rows * cols; i++) {
		size_t row = i / cols, col = i % cols;
		size_t at = block ? row / 128 * wide + col / 128 : row;
		float scale = qc_bits_f32(qc_le32(file.tensors + scales->begin + 4 * at));
		float y = qc_e4m3_to_f32(file.tensors[codes->begin + i]) * scale;

		/* half a step of three mantissa bits, or of the smallest numbers */
		if (!(fabsf(y - values[i]) <= fabsf(values[i]) / 16 + scale * 0x1p-10f))
			FAIL_AT("%zux%zu [%zu]: %g became %g", rows, cols, i, (double)values[i],
				(double)y);
	}
	file_close(&file);
}

static void fp8_is_within_half_a_step(void)
{
	static const size_t shapes[][2] = {{1, 1}, {130, 257}, {256, 128}, {20, 30000}};

	st_begin();
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		for (int block = 0; block < 2; block++)
			check_fp8(shapes[s][0], shapes[s][1], block);
	st_end();
}

static uint32_t scalar_of(const struct file *file, int layer, const char *name)
{
	char full[128];
	const struct qc_safetensors_entry *e;

	snprintf(full, sizeof(full), "model.layers.%d.%s.weight_scale_2", layer, name);
	e = entry_of(file, full);
	NEED(e && e->end - e->begin == 4, "no '%s'", full);
	return qc_le32(file->tensors + e->begin);
}

static void layers_with_one_input_share_a_tensor_scale(void)
{
	struct qconv_options options = {.quant = "nvfp4"};
	struct file file;
	int different = 0;

	st_begin();
	converts(GEMMA, "out", &options);
	file_open(&file, st_path("out/model.safetensors"));
	for (int layer = 0; layer < 6; layer++) {
		uint32_t q = scalar_of(&file, layer, "self_attn.q_proj");
		uint32_t gate = scalar_of(&file, layer, "mlp.gate_proj");

		CHECK(q == scalar_of(&file, layer, "self_attn.k_proj") &&
			      q == scalar_of(&file, layer, "self_attn.v_proj"),
		      "layer %d: q, k and v have different scales", layer);
		CHECK(gate == scalar_of(&file, layer, "mlp.up_proj"),
		      "layer %d: gate and up have different scales", layer);
		different += gate != scalar_of(&file, layer, "mlp.down_proj");
		different += q != scalar_of(&file, layer, "self_attn.o_proj");
	}
	CHECK(different > 6, "every layer has the same scale");
	CHECK(!entry_of(&file, "model.layers.0.mlp.up_proj.input_scale"), "an input scale");
	file_close(&file);
	st_end();
}

/* There in one layout and back in the other: the same file. */
static void codes_are_moved_between_layouts(void)
{
	static const struct {
		const char *quant, *first, *second;
	} cases[] = {{"nvfp4", "modelopt", "compressed-tensors"},
		     {"nvfp4", "compressed-tensors", "modelopt"},
		     {"mxfp4", "modelopt", "compressed-tensors"},
		     {"mxfp4", "compressed-tensors", "modelopt"}};

	st_begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qconv_options options = {
			.quant = cases[i].quant, .layout = cases[i].first, .force = true};

		converts(GEMMA, "a", &options);
		options.layout = cases[i].second;
		converts(st_path("a"), "b", &options);
		options.layout = cases[i].first;
		converts(st_path("b"), "c", &options);
		is_exact("c/model.safetensors", st_path("a/model.safetensors"));
		is_exact("c/config.json", st_path("a/config.json"));
	}
	st_end();
}

static void gpt_oss_experts_come_back_from_every_form(void)
{
	struct qconv_options mxfp4 = {.quant = "mxfp4", .layout = "gpt-oss"};
	struct qconv_options bf16 = {.quant = "bf16"}, reference = mxfp4;

	st_begin();
	reference.method = "reference";
	converts(GPT_OSS, "same", &mxfp4);
	is_exact("same/model.safetensors", GPT_OSS "/model.safetensors");
	is_exact("same/config.json", GPT_OSS "/config.json");
	converts(GPT_OSS, "bf16", &bf16); /* turned: [experts, in, out] */
	converts(st_path("bf16"), "back", &reference);
	is_exact("back/model.safetensors", GPT_OSS "/model.safetensors");
	st_end();
}

static void experts_of_mxfp4_become_nvfp4_without_loss(void)
{
	struct qconv_options nvfp4 = {.quant = "nvfp4", .method = "reference"}, none = {0};
	struct qc_check_report report;
	struct qc_err err = {0};
	size_t n = 0;
	struct file file;

	st_begin();
	converts(GPT_OSS, "out", &nvfp4);
	file_open(&file, st_path("out/model.safetensors"));
	CHECK(entry_of(&file, "model.layers.0.mlp.experts.down_proj_weight_scale_2"), "not packed");
	file_close(&file);
	CHECK(!qc_check(&report, st_path("out"), GPT_OSS, &none, &err), "%s", err.text);
	for (size_t i = 0; i < report.n_errors; i++) {
		const struct qc_tensor_error *e = &report.errors[i];

		if (!strstr(e->name, "_exps.weight"))
			continue;
		CHECK(e->exact && !strcmp(e->type, "nvfp4"), "'%s' is %s, error %g", e->name,
		      e->type, e->rel_rmse);
		n++;
	}
	CHECK(n == 8, "%zu tensors of experts", n);
	qc_check_report_clear(&report);
	st_end();
}

static void input_scales_are_kept_when_all_weights_have_one(void)
{
	static const char header[] =
		"{\"a.weight\":{\"dtype\":\"U8\",\"shape\":[1,32],\"data_offsets\":[0,32]},"
		"\"a.weight_scale\":{\"dtype\":\"F8_E4M3\",\"shape\":[1,4],\"data_offsets\":[32,36]"
		"},"
		"\"a.weight_scale_2\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[36,40]},"
		"\"a.input_scale\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[40,44]}}";
	struct qconv_options options = {.quant = "nvfp4", .layout = "compressed-tensors"};
	uint8_t data[44], quarter[4];
	struct file file;

	for (int i = 0; i < 44; i++)
		data[i] = (uint8_t)(i < 32 ? i * 7 : 0x38);
	qc_put_le32(data + 36, qc_f32_bits(0.5f));
	qc_put_le32(data + 40, qc_f32_bits(0.25f));
	qc_put_le32(quarter, qc_f32_bits(4));
	st_begin();
	converts(st_file("in.safetensors", header, data, 44), "out.safetensors", &options);
	file_open(&file, st_path("out.safetensors"));
	holds(&file, "a.weight_packed", &qc_u8, DIMS(1, 32), data, 32);
	holds(&file, "a.weight_scale", &qc_f8_e4m3, DIMS(1, 4), data + 32, 4);
	holds(&file, "a.input_global_scale", &qc_f32, DIMS(1), quarter, 4);
	file_close(&file);
	st_end();
}

static void what_is_not_packed_is_listed_for_the_loader(void)
{
	const char *skips[] = {"layers[.]2[.]mlp", "k_proj"};
	struct qconv_options options = {.quant = "nf4", .skips = skips, .n_skips = 2};
	struct file file;
	char *config;

	st_begin();
	converts(GEMMA, "out", &options);
	file_open(&file, st_path("out/model.safetensors"));
	CHECK(entry_of(&file, "model.layers.2.mlp.up_proj.weight")->type == &qc_bf16 &&
		      entry_of(&file, "model.layers.3.mlp.up_proj.weight")->type == &qc_u8,
	      "--skip skips something else");
	file_close(&file);
	config = test_load(st_path("out/config.json"), NULL);
	CHECK(strstr(config, "\"llm_int8_skip_modules\": [\n      \"lm_head\",\n") &&
		      strstr(config, "\"model.layers.2.mlp.up_proj\"") &&
		      strstr(config, "\"model.layers.5.self_attn.k_proj\""),
	      "%s", config);
	free(config);
	st_end();
}

static void any_threads_and_any_cpu_give_the_same_bytes(void)
{
	st_begin();
	for (const struct qc_packing *const *p = qc_packings; *p; p++) {
		struct qconv_options options = {.quant = (*p)->name,
						.layout = (*p)->layout,
						.double_quant = (*p)->has_blocksize,
						.threads = 1,
						.force = true};
		const char *input = (*p)->experts || (*p)->experts_only ? GPT_OSS "-bf16" : GEMMA;

		converts(input, "a", &options);
		options.threads = 7;
		setenv("QCONV_CPU", "scalar", 1);
		converts(input, "b", &options);
		unsetenv("QCONV_CPU");
		is_exact("b/model.safetensors", st_path("a/model.safetensors"));
	}
	st_end();
}

int main(void)
{
	make_values();
	bitsandbytes_blocks_cross_the_ends_of_rows();
	the_nested_offset_is_printed_as_python_prints_it();
	nvfp4_is_what_its_producers_write();
	mxfp4_is_what_its_producers_write();
	fp8_is_within_half_a_step();
	layers_with_one_input_share_a_tensor_scale();
	codes_are_moved_between_layouts();
	gpt_oss_experts_come_back_from_every_form();
	experts_of_mxfp4_become_nvfp4_without_loss();
	input_scales_are_kept_when_all_weights_have_one();
	what_is_not_packed_is_listed_for_the_loader();
	any_threads_and_any_cpu_give_the_same_bytes();
	free(values);
	return test_end();
}
