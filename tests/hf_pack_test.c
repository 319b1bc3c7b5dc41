/* Packed weights are what their producers write: bitsandbytes, NVFP4, MXFP4, FP8. */
#include <math.h>

#include "convert/qconv.h"
#include "formats/safetensors.h"
#include "quant/bnb.h"
#include "quant/mxfp4_pack.h"
#include "quant/nvfp4_pack.h"
#include "quant/types.h"
#include "tests/convert_run.h"
#include "tests/hf_pack_files.h"
#include "tests/st_files.h"

#define MODULE	   "model.layers.0.mlp.down_proj"
#define MAX_VALUES (1u << 20)

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

int main(void)
{
	make_values();
	bitsandbytes_blocks_cross_the_ends_of_rows();
	the_nested_offset_is_printed_as_python_prints_it();
	nvfp4_is_what_its_producers_write();
	mxfp4_is_what_its_producers_write();
	fp8_is_within_half_a_step();
	free(values);
	return test_end();
}
